/* SPDX-License-Identifier: MIT */
/* Parking: the only place where a task stops. See park.c for the essay. */
#ifndef FL_SCHED_PARK_H
#define FL_SCHED_PARK_H

#include "sched/wake.h"
#include "sched/worker.h"

/** Stops the calling task and runs others until somebody makes it ready. `commit(arg)` is called on the next stack, when the task is wholly
 * off its own. @param why, on the object it waits for: for dumps and reports
 * @return 0; -ENOMEM: no stack to go on with, nothing happened, commit was not called. Not for FL_TASK_THREAD. */
int fl_park(struct fl_worker *w, fl_commit_fn *commit, void *arg, const struct fl_why *why, const void *on);

/** As fl_park for those that cannot fail: with no memory for a stack it keeps trying, until `over(arg)` says that there is nothing to wait for any more. */
void fl_park_surely(struct fl_worker *w, fl_commit_fn *commit, void *arg, const struct fl_why *why, const void *on,
                    bool (*over)(void *arg));

/** Parks and joins the end of this worker's ready queue. @return false: it could not (no stack), nothing happened. */
bool fl_park_yield(struct fl_worker *w);

/** Looks round, and gives way to who must go first. The caller may be with another worker afterwards. */
void fl_park_round(struct fl_worker *w);

/** Blocks the kernel thread of an FL_TASK_THREAD until it is made ready. Its futex was set to 0 before anybody knew. */
void fl_park_thread(struct fl_task *task, const struct fl_why *why, const void *on);

/** What a resumed or first-run stack does first: the commit of whoever left. */
void fl_after_switch(struct fl_worker *w);

/* ---- waiting for somebody's claim ---- */

/** Wakes the kernel thread whose word was `seen` when it was claimed. Its memory may be gone; of it only the address is used. An eventfd is there until somebody has written
 * to it. */
FL_NOINLINE void fl_wake_thread(struct fl_task *task, uint32_t seen);

/** Claims a waiting task: true once a wait. The claimer then calls fl_wake_deliver(task, *ret_saved), and touches neither
 * the waiter's memory nor, for an isolated task, the task any more: it may have gone on.
 * @param result what fl_wait returns: 0 or -errno @param cancel claims only what may be cancelled */
FL_INLINE bool fl_wake_claim(struct fl_task *task, int result, bool cancel, bool *ret_saved)
{
    uint32_t seen;
    if (!fl_wake_swap(task, result, cancel, &seen))
        return false;
    *ret_saved = seen & FL_WAKE_SAVED;
    if (unlikely(seen & FL_WAKE_THREAD))
        fl_wake_thread(task, seen);
    return true;
}

/** Lets a claimed task go on. */
FL_INLINE void fl_wake_deliver(struct fl_task *task, bool saved)
{
    if (saved)
        fl_make_ready(task);
}

/** Claims and delivers. @return whether it was this call that did. */
FL_INLINE bool fl_wake(struct fl_task *task, int result, bool cancel)
{
    bool saved;
    if (!fl_wake_claim(task, result, cancel, &saved))
        return false;
    fl_wake_deliver(task, saved);
    return true;
}

/** Parks, and has `stand(arg)` called on the next stack, when the task is off its own: that arms it (fl_wake_arm_saved) and tells others of the wait, or ends it
 * (fl_wake_preempt) and returns the task, or finds it cancelled (fl_wait_begin_late). So nothing need be done twice, and the saving costs nothing. For a worker's task only.
 * @return as fl_wait with `fallible`; -ENOMEM: `stand` was not called */
int fl_wait_late(struct fl_task *task, fl_commit_fn *stand, void *arg, const struct fl_why *why, const void *on);

/** Parks until claimed. Any kind of task, armed before. When it returns anything but the result of the object it waited for, the caller may still stand
 * in that object's list and must take itself out.
 * @return the claimer's result; -ENOMEM (only if `fallible`): no stack to go on with, nobody has claimed it and nobody will. */
int fl_wait(struct fl_task *task, const struct fl_why *why, const void *on, bool fallible);

#endif
