/* SPDX-License-Identifier: MIT */
/* Calls for which the kernel has no operation, on the threads of the pool of helpers: any function of the program's, and the resolver.
 *
 * A function that a helper runs cannot be stopped, and what it uses lies in the caller's frame, so the caller waits for its end even if it is cancelled meanwhile. The resolver may
 * take half a minute; it works on copies of its own, so that a cancelled caller can go, and whoever comes last frees them. */
#include "io/op.h"

#include <filch/io.h>

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

int filch_blocking(filch_fn *fn, void *arg)
{
    struct io_uring_sqe sqe;
    fl_request_prep(&sqe, FL_REQUEST_LONG_CALL, -1, (const void *)(uintptr_t)fn, (uint64_t)(uintptr_t)arg, 0);
    return fl_op_run(fl_current(), &sqe, true);
}

/* ---- names ---- */

enum { LOOKING, FOUND, ABANDONED };

struct lookup {
    struct fl_job job;
    filch_runtime *runtime;
    filch_event ended;
    _Atomic(uint32_t) state;
    int result;
    struct addrinfo hints, *list;
    bool hinted;
    const char *service; /* in text, behind the node; NULL: none */
    bool has_node;
    char text[];
};

static int error_of(int eai)
{
    switch (eai) {
    case 0:
        return 0;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
        return -ENOENT;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_FAMILY:
        return -EAFNOSUPPORT;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return errno ? -errno : -EIO;
    case EAI_FAIL:
        return -EIO;
    default:
        return -EINVAL;
    }
}

static int look_up(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret_list)
{
    errno = 0;
    return error_of(getaddrinfo(node, service, hints, ret_list));
}

static void discard(struct lookup *lookup)
{
    if (lookup->list)
        freeaddrinfo(lookup->list);
    free(lookup);
}

static void resolve(struct fl_job *job)
{
    struct lookup *lookup = fl_container_of(job, struct lookup, job);
    filch_runtime *runtime = lookup->runtime;
    if (load_acquire(&lookup->state) == LOOKING) /* [state] as below; not of one that was abandoned in line: thousands may have been */
        lookup->result =
            look_up(lookup->has_node ? lookup->text : NULL, lookup->service, lookup->hinted ? &lookup->hints : NULL, &lookup->list);
    uint32_t expected = LOOKING;
    if (cas_acq_rel(&lookup->state, &expected, FOUND)) /* [state] pairs with the caller's: whoever comes second frees it */
        filch_event_set(&lookup->ended);
    else
        discard(lookup);
    filch_let_go(runtime);
}

static struct lookup *lookup_new(const char *node, const char *service, const struct addrinfo *hints)
{
    size_t node_size = node ? strlen(node) + 1 : 0, service_size = service ? strlen(service) + 1 : 0;
    struct lookup *lookup = malloc(sizeof *lookup + node_size + service_size);
    if (!lookup)
        return NULL;
    *lookup = (struct lookup){.job.run = resolve, .job.lasts = true, .hinted = hints != NULL, .has_node = node != NULL};
    if (hints)
        lookup->hints = (struct addrinfo){.ai_flags = hints->ai_flags,
                                          .ai_family = hints->ai_family,
                                          .ai_socktype = hints->ai_socktype,
                                          .ai_protocol = hints->ai_protocol};
    if (node)
        memcpy(lookup->text, node, node_size);
    if (service)
        lookup->service = memcpy(lookup->text + node_size, service, service_size);
    fl_list_init(&lookup->job.node);
    return lookup;
}

int filch_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret_list)
{
    struct fl_task *task = fl_current();
    if (!task)
        return look_up(node, service, hints, ret_list);
    int r = fl_scope_cancelled(task);
    if (r)
        return r;
    struct lookup *lookup = lookup_new(node, service, hints);
    if (!lookup)
        return -ENOMEM;
    lookup->runtime = task->runtime;
    filch_hold(task->runtime);
    r = fl_helpers_submit(&task->runtime->helpers, &lookup->job);
    if (r < 0) {
        filch_let_go(task->runtime);
        free(lookup);
        return r;
    }
    r = filch_event_wait(&lookup->ended);
    uint32_t expected = LOOKING;
    if (r < 0 && cas_acq_rel(&lookup->state, &expected, ABANDONED)) /* [state] pairs with resolve */
        return r;
    fl_event_wait_surely(&lookup->ended, &fl_why_call); /* cancelled as it ended: the setting of the event touches it still */
    if (r == 0 && (r = lookup->result) == 0) {
        *ret_list = lookup->list;
        lookup->list = NULL;
    }
    discard(lookup);
    return r;
}
