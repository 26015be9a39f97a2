/* SPDX-License-Identifier: MIT */
/* Two meeting places: once, where the first does the work and the others wait for it, and the barrier, where the last lets all go. */
#include "sync/waitq.h"

#include <filch/sync.h>

#include <errno.h>

/* ---- once ---- */

enum { FRESH = 0, BEGUN = 1, DONE = 2 };

static const struct fl_why waits = {.name = "once"};

int filch_once_call(filch_once *once, filch_fn *fn, void *arg)
{
    _Atomic(uint32_t) *state = fl_atomic(uint32_t, &once->state_);
    uint32_t seen = load_acquire(state); /* [done] pairs with the store below */
    if (likely(seen == DONE))
        return once->result_;
    seen = FRESH;
    if (!cas_acq_rel(state, &seen,
                     BEGUN)) { /* [done] who finds it DONE sees the result, also by a swap that fails; else the event brings it */
        if (seen != DONE)
            fl_event_wait_surely(&once->done_, &waits);
        return once->result_;
    }
    int result = once->result_ = fn(arg);
    store_release(state, DONE); /* [done] */
    filch_event_set(&once->done_);
    return result;
}

/* ---- the barrier ---- */

static struct fl_lock *lock_of(filch_barrier *barrier)
{
    return (struct fl_lock *)&barrier->lock_;
}

static const struct fl_why meets = {.name = "barrier"};

int filch_barrier_wait(filch_barrier *barrier, unsigned parties)
{
    struct fl_task stand_in, *task = fl_waiter(&stand_in);
    struct fl_waiter w = {.task = task};
    fl_wait_begin(task);
    fl_lock_take(lock_of(barrier));
    if (++barrier->here_ >= parties) {
        barrier->here_ = 0;
        struct fl_waiter *all = fl_waitq_take_all(FL_WAITQ(barrier));
        fl_lock_give(lock_of(barrier));
        fl_wait_end(task);
        fl_waitq_wake_all(all);
        return 1;
    }
    fl_waitq_append(FL_WAITQ(barrier), &w);
    fl_lock_give(lock_of(barrier));
    int r = fl_wait(task, &meets, barrier, true);
    if (r == 0)
        return 0;
    fl_lock_take(lock_of(barrier));
    bool queued = w.queued;
    if (queued) {
        fl_waitq_remove(FL_WAITQ(barrier), &w);
        barrier->here_--; /* under the same lock, else the barrier could open for one too few */
    }
    fl_lock_give(lock_of(barrier));
    if (!queued)
        fl_waitq_let_go(&w);
    return r;
}
