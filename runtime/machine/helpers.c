/* SPDX-License-Identifier: MIT */
/* The pool of helpers: kernel threads that make calls which wait.
 *
 * Some jobs may last: a function of the program's, a resolver that hears nothing for half a minute. These never get all threads: a quarter
 * is kept for what waits for the disk at most, so that reads of files go on whatever the others do. Each kind has a line; of the two first
 * ones that may be begun the older goes first.
 *
 * A job stands in line until a helper takes it. Threads are started when a job finds no idle one, up to the bound, and stay until the runtime stops: an idle one costs a
 * kernel stack and a few pages. They block all signals and may run on every CPU the runtime's starter might run on, not just on that of the worker that started
 * them.
 *
 * Invariants
 *   1. A job is in line exactly while its node is linked; node and all numbers change under the lock.
 *   2. While jobs are due, in line and not too many that last, as many idle threads have been called as are due, or all that are idle have
 *      and there are no more than may be. Who ends a job that lasted makes another one due perhaps, and is a thread for it.
 *   3. A job that was withdrawn is not run; one that was not, is, and its memory lives until then.
 *
 * Memory ordering: the lock; `calls` changes under it, and is read under it before a thread sleeps on it, so no call is lost. */
#include "machine/helpers.h"

#include "base/attr.h"
#include "machine/futex.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>

#define STACK (1024 * 1024) /* bytes: what a resolver, or a function of the program, may need */

int fl_helpers_init(struct fl_helpers *helpers, unsigned max, const struct fl_cpus *cpus)
{
    unsigned kept = max > 1 ? (max + 3) / 4 : 0;
    *helpers = (struct fl_helpers){.max = max, .lasting_max = max - kept, .threads = calloc(max, sizeof *helpers->threads), .cpus = cpus};
    fl_list_init(&helpers->line);
    fl_list_init(&helpers->lasting_line);
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

static void put_in(struct fl_helpers *helpers, struct fl_job *job)
{
    job->turn = helpers->turns++;
    fl_list_append(job->lasts ? &helpers->lasting_line : &helpers->line, &job->node);
    *(job->lasts ? &helpers->lasting_jobs : &helpers->jobs) += 1;
}

static void take_out(struct fl_helpers *helpers, struct fl_job *job)
{
    fl_list_remove(&job->node);
    *(job->lasts ? &helpers->lasting_jobs : &helpers->jobs) -= 1;
}

/* How many of those in line may be begun. */
static unsigned due(const struct fl_helpers *helpers)
{
    unsigned room = helpers->lasting_max - helpers->lasting;
    return helpers->jobs + (helpers->lasting_jobs < room ? helpers->lasting_jobs : room);
}

/* The oldest that is due. */
static struct fl_job *next_due(struct fl_helpers *helpers)
{
    struct fl_job *job = NULL, *lasting = NULL;
    if (helpers->jobs != 0)
        job = fl_container_of(helpers->line.next, struct fl_job, node);
    if (helpers->lasting_jobs != 0 && helpers->lasting < helpers->lasting_max)
        lasting = fl_container_of(helpers->lasting_line.next, struct fl_job, node);
    return !job || (lasting && lasting->turn < job->turn) ? lasting : job;
}

/* The next job; NULL: the pool ends. */
static struct fl_job *await(struct fl_helpers *helpers, bool has_lasted)
{
    fl_lock_take(&helpers->lock);
    helpers->lasting -= has_lasted;
    while (due(helpers) == 0 && !helpers->ending) {
        uint32_t seen = load_relaxed(&helpers->calls); /* own: the lock */
        helpers->idle++;
        fl_lock_give(&helpers->lock);
        fl_futex_wait(&helpers->calls, seen, INT64_MAX);
        fl_lock_take(&helpers->lock);
        helpers->idle--;
    }
    struct fl_job *job = next_due(helpers);
    if (job) {
        take_out(helpers, job);
        helpers->lasting += job->lasts;
    }
    fl_lock_give(&helpers->lock);
    return job;
}

static void *helper_main(void *arg)
{
    struct fl_helpers *helpers = arg;
    struct fl_job *job;
    prctl(PR_SET_NAME, "filch/helper");
    for (bool lasts = false; (job = await(helpers, lasts));) {
        lasts = job->lasts;
        job->run(job);
    }
    return NULL;
}

int fl_helpers_submit(struct fl_helpers *helpers, struct fl_job *job)
{
    int r = 0;
    fl_lock_take(&helpers->lock);
    unsigned before = due(helpers);
    put_in(helpers, job);
    bool more = due(helpers) > before, call = more && helpers->idle > before;
    if (more && !call && helpers->count < helpers->max) { /* under the lock: it waits for no other thread, and seldom happens */
        r = fl_thread_start(&helpers->threads[helpers->count], STACK, helpers->cpus, helper_main, helpers);
        helpers->count += r == 0;
    }
    if (helpers->count == 0) {
        take_out(helpers, job);
        fl_lock_give(&helpers->lock);
        return r == -ENOMEM ? r : -EAGAIN;
    }
    if (call)
        add_relaxed(&helpers->calls, 1); /* own: the lock */
    fl_lock_give(&helpers->lock);
    if (call)
        fl_futex_wake(&helpers->calls, 1);
    return 0;
}

bool fl_helpers_has_me(struct fl_helpers *helpers)
{
    bool has = false;
    fl_lock_take(&helpers->lock);
    for (unsigned i = 0; i < helpers->count && !has; i++)
        has = pthread_equal(helpers->threads[i], pthread_self());
    fl_lock_give(&helpers->lock);
    return has;
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
