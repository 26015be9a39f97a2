/* SPDX-License-Identifier: MIT */
/* The pool of helpers: kernel threads that make calls which wait.
 *
 * A job stands in line until a helper takes it. Threads are started when a job finds no idle one, up to the bound, and stay until the runtime stops: an idle one costs a
 * kernel stack and a few pages. They block all signals and may run on every CPU the runtime's starter might run on, not just on that of the worker that started
 * them.
 *
 * Invariants
 *   1. A job is in line exactly while its node is linked; node, jobs, idle and count change under the lock.
 *   2. While jobs are in line, as many idle threads have been called as there are jobs, or all that are idle have and there are no more than may be.
 *   3. A job that was withdrawn is not run; one that was not, is, and its memory lives until then.
 *
 * Memory ordering: the lock; `calls` changes under it, and is read under it before a thread sleeps on it, so no call is lost. */
#include "machine/helpers.h"

#include "base/attr.h"
#include "machine/futex.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>

#define STACK (1024 * 1024) /* bytes: what a resolver, or a function of the program, may need */

int fl_helpers_init(struct fl_helpers *helpers, unsigned max)
{
    *helpers = (struct fl_helpers){.max = max, .threads = calloc(max, sizeof *helpers->threads)};
    fl_list_init(&helpers->line);
    helpers->bound = sched_getaffinity(0, sizeof helpers->cpus, &helpers->cpus) == 0;
    return helpers->threads ? 0 : -ENOMEM;
}

void fl_helpers_fini(struct fl_helpers *helpers)
{
    if (!helpers->threads)
        return;
    fl_lock_take(&helpers->lock);
    helpers->ending = true;
    add_relaxed(&helpers->calls, 1); /* own: the lock */
    fl_lock_give(&helpers->lock);
    fl_futex_wake(&helpers->calls, INT_MAX);
    for (unsigned i = 0; i < helpers->count; i++)
        pthread_join(helpers->threads[i], NULL);
    free(helpers->threads);
}

static void take_out(struct fl_helpers *helpers, struct fl_job *job)
{
    fl_list_remove(&job->node);
    helpers->jobs--;
}

/* The next job; NULL: the pool ends. */
static struct fl_job *await(struct fl_helpers *helpers)
{
    fl_lock_take(&helpers->lock);
    while (fl_list_empty(&helpers->line) && !helpers->ending) {
        uint32_t seen = load_relaxed(&helpers->calls); /* own: the lock */
        helpers->idle++;
        fl_lock_give(&helpers->lock);
        fl_futex_wait(&helpers->calls, seen, INT64_MAX);
        fl_lock_take(&helpers->lock);
        helpers->idle--;
    }
    struct fl_job *job = NULL;
    if (!fl_list_empty(&helpers->line)) {
        job = fl_container_of(helpers->line.next, struct fl_job, node);
        take_out(helpers, job);
    }
    fl_lock_give(&helpers->lock);
    return job;
}

static void *helper_main(void *arg)
{
    struct fl_helpers *helpers = arg;
    struct fl_job *job;
    prctl(PR_SET_NAME, "filch/helper");
    while ((job = await(helpers)))
        job->run(job);
    return NULL;
}

static int start(struct fl_helpers *helpers, pthread_t *ret_thread)
{
    pthread_attr_t attr;
    sigset_t all, old;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    if (helpers->bound)
        pthread_attr_setaffinity_np(&attr, sizeof helpers->cpus, &helpers->cpus);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(ret_thread, &attr, helper_main, helpers);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return -r;
}

int fl_helpers_submit(struct fl_helpers *helpers, struct fl_job *job)
{
    int r = 0;
    fl_lock_take(&helpers->lock);
    bool call = helpers->idle > helpers->jobs;
    if (!call && helpers->count < helpers->max) { /* under the lock: it waits for no other thread, and seldom happens */
        r = start(helpers, &helpers->threads[helpers->count]);
        helpers->count += r == 0;
    }
    if (helpers->count == 0) {
        fl_lock_give(&helpers->lock);
        return r == -ENOMEM ? r : -EAGAIN;
    }
    fl_list_append(&helpers->line, &job->node);
    helpers->jobs++;
    if (call)
        add_relaxed(&helpers->calls, 1); /* own: the lock */
    fl_lock_give(&helpers->lock);
    if (call)
        fl_futex_wake(&helpers->calls, 1);
    return 0;
}

bool fl_helpers_withdraw(struct fl_helpers *helpers, struct fl_job *job, const _Atomic(uint64_t) *word, uint64_t value)
{
    fl_lock_take(&helpers->lock);
    bool mine = load_relaxed(word) == value && !fl_list_empty(&job->node); /* own: the lock, once it is set */
    if (mine)
        take_out(helpers, job);
    fl_lock_give(&helpers->lock);
    return mine;
}

void fl_helpers_settle(struct fl_helpers *helpers, _Atomic(uint64_t) *word)
{
    fl_lock_take(&helpers->lock);
    store_release(word, 0); /* own: the lock */
    fl_lock_give(&helpers->lock);
}
