/* SPDX-License-Identifier: MIT */
/* The condition variable. A waiter stands in the queue before it gives the mutex back, so whoever changes the condition under that mutex and signals
 * finds it. There are no spurious wake-ups, but between the signal and the waiter's turn at the mutex others may have been there.
 *
 * A signal that meets a waiter which a cancel was quicker to wake goes to the next one: none is lost. */
#include "sync/waitq.h"

#include <filch/sync.h>

static struct fl_lock *lock_of(filch_cond *cond)
{
    return (struct fl_lock *)&cond->lock_;
}

static const struct fl_why waits = {.name = "condition"};

int filch_cond_wait(filch_cond *cond, filch_mutex *mutex)
{
    struct fl_task stand_in, *task = fl_waiter(&stand_in);
    struct fl_waiter w = {.task = task};
    fl_wait_begin(task);
    fl_lock_take(lock_of(cond));
    fl_waitq_append(FL_WAITQ(cond), &w);
    fl_lock_give(lock_of(cond));
    filch_mutex_unlock(mutex);
    int r = fl_wait(task, &waits, cond, true);
    if (r != 0)
        fl_waitq_leave(FL_WAITQ(cond), lock_of(cond), &w);
    filch_mutex_lock(mutex);
    return r;
}

void filch_cond_signal(filch_cond *cond)
{
    struct fl_waiter *w;
    do {
        fl_lock_take(lock_of(cond));
        w = fl_waitq_take(FL_WAITQ(cond));
        fl_lock_give(lock_of(cond));
    } while (w && !fl_waitq_wake(w));
}

void filch_cond_broadcast(filch_cond *cond)
{
    fl_lock_take(lock_of(cond));
    struct fl_waiter *all = fl_waitq_take_all(FL_WAITQ(cond));
    fl_lock_give(lock_of(cond));
    fl_waitq_wake_all(all);
}
