/* SPDX-License-Identifier: MIT */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <liburing.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct shim shim;

static bool fails(struct fault *fault)
{
    int error = atomic_load(&fault->error);
    unsigned every = atomic_load(&fault->every), after = atomic_load(&fault->after);
    if (error == 0)
        return false;
    unsigned call = atomic_fetch_add(&fault->calls, 1) + 1;
    if (call < after || (every > 1 && call % every != 0))
        return false;
    atomic_fetch_add(&shim.faults, 1);
    errno = error;
    return true;
}

/* The next definition of a function, which is the real one. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Takes some of the entries: what is queued behind them is out of sight meanwhile. */
static int submit_some(struct io_uring *ring, unsigned most)
{
    unsigned tail = ring->sq.sqe_tail, ready = io_uring_sq_ready(ring);
    if (ready > most)
        ring->sq.sqe_tail = tail - (ready - most);
    int r = REAL(io_uring_submit)(ring);
    ring->sq.sqe_tail = tail;
    return r;
}

static int64_t cpu_time(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void compute(int64_t ns)
{
    for (int64_t end = cpu_time() + ns; cpu_time() < end;)
        ;
}

int io_uring_submit(struct io_uring *ring)
{
    unsigned most = atomic_load(&shim.some);
    if (atomic_load(&shim.busy))
        compute(atomic_load(&shim.busy));
    if (fails(&shim.submit))
        return -atomic_load(&shim.submit.error);
    return most ? submit_some(ring, most) : REAL(io_uring_submit)(ring);
}

int io_uring_register_sync_cancel(struct io_uring *ring, struct io_uring_sync_cancel_reg *reg)
{
    return fails(&shim.cancel) ? -atomic_load(&shim.cancel.error) : REAL(io_uring_register_sync_cancel)(ring, reg);
}

int io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags, sigset_t *sig, size_t size)
{
    return fails(&shim.sleep) ? -atomic_load(&shim.sleep.error) : REAL(io_uring_enter2)(fd, to_submit, min_complete, flags, sig, size);
}

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params)
{
    unsigned completions = atomic_load(&shim.completions);
    if (completions) {
        params->cq_entries = completions;
        entries = entries < completions ? entries : completions; /* else the kernel would not have it */
    }
    return fails(&shim.init) ? -atomic_load(&shim.init.error) : REAL(io_uring_queue_init_params)(entries, ring, params);
}

struct io_uring_probe *io_uring_get_probe_ring(struct io_uring *ring)
{
    struct io_uring_probe *probe = fails(&shim.probe) ? NULL : REAL(io_uring_get_probe_ring)(ring);
    int missing = atomic_load(&shim.missing);
    if (probe && missing)
        probe->ops[missing].flags &= (unsigned short)~IO_URING_OP_SUPPORTED;
    return probe;
}

/* As if another thread had fetched the result of such a send and not told of it yet: the notice is seen first, and the result by the next look. */
static unsigned notice_first(struct io_uring_cqe **cqes, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = i + 1; j < n; j++)
            if (cqes[i]->flags & IORING_CQE_F_MORE && cqes[j]->flags & IORING_CQE_F_NOTIF && cqes[i]->user_data == cqes[j]->user_data) {
                struct io_uring_cqe result = *cqes[i];
                *cqes[i] = *cqes[j];
                *cqes[j] = result;
                atomic_fetch_add(&shim.swaps, 1);
                return i + 1;
            }
    return n;
}

unsigned io_uring_peek_batch_cqe(struct io_uring *ring, struct io_uring_cqe **cqes, unsigned count)
{
    unsigned n = REAL(io_uring_peek_batch_cqe)(ring, cqes, count);
    if (atomic_load(&shim.swap))
        n = notice_first(cqes, n);
    for (unsigned i = 0; i < n; i++)
        if (cqes[i]->flags & IORING_CQE_F_NOTIF)
            atomic_fetch_add(&shim.notices, 1);
    return n;
}

int eventfd(unsigned count, int flags)
{
    return fails(&shim.eventfd) ? -1 : REAL(eventfd)(count, flags);
}

int epoll_create1(int flags)
{
    return fails(&shim.epoll_create) ? -1 : REAL(epoll_create1)(flags);
}

int epoll_ctl(int fd, int op, int target, struct epoll_event *event)
{
    return fails(&shim.epoll_ctl) ? -1 : REAL(epoll_ctl)(fd, op, target, event);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret_list)
{
    atomic_fetch_add(&shim.lookups, 1);
    while (atomic_load(&shim.deaf))
        usleep(1000);
    return REAL(getaddrinfo)(node, service, hints, ret_list);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    return fails(&shim.thread) ? atomic_load(&shim.thread.error) : REAL(pthread_create)(thread, attr, fn, arg);
}
