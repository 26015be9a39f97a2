/* SPDX-License-Identifier: MIT */
/* Three meeting places: once, where the first does the work and the others wait for it; the barrier, where the last lets all go; and the latch, where those who wait
 * are not those who are waited for. */
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

/* ---- the latch ---- */

static struct fl_lock *latch_lock(filch_latch *latch)
{
    return (struct fl_lock *)&latch->lock_;
}

void filch_latch_add(filch_latch *latch, int64_t n)
{
    fl_lock_take(latch_lock(latch));
    int64_t count = latch->count_ += n;
    struct fl_waiter *all = count == 0 ? fl_waitq_take_all(FL_WAITQ(latch)) : NULL;
    fl_lock_give(latch_lock(latch)); /* the last touch */
    if (count < 0)
        fl_misuse("filch_latch_add: the count is below zero", "latch", latch, NULL);
    fl_waitq_wake_all(all);
}

static const struct fl_why counts = {.name = "latch"};

int filch_latch_wait(filch_latch *latch)
{
    struct fl_task stand_in, *task = fl_waiter(&stand_in);
    struct fl_waiter w = {.task = task};
    fl_wait_begin(task);
    fl_lock_take(latch_lock(latch));
    bool open = latch->count_ == 0;
    if (!open)
        fl_waitq_append(FL_WAITQ(latch), &w);
    fl_lock_give(latch_lock(latch));
    if (open) {
        fl_wait_end(task);
        return 0;
    }
    int r = fl_wait(task, &counts, latch, true);
    if (r != 0)
        fl_waitq_leave(FL_WAITQ(latch), latch_lock(latch), &w);
    return r;
}
