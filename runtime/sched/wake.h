/* SPDX-License-Identifier: MIT */
/* The wake word: a wait that several may end (an object, a timer, a cancel) is ended once.
 *
 * A waker may be there before the task is off its stack, and must not let it run then. So a wait has two steps, arming before anybody is told
 * of it and saving once the task is off its stack (the commit of the switch), and whoever ends it learns which steps were done:
 *
 *      0 --arm--> ARMED --save--> ARMED|SAVED --claim--> CLAIMED      the claimer makes the task ready
 *                   \--claim--> CLAIMED, then save fails              the switch makes the task ready
 *
 * A kernel thread has no stack to be saved: it sleeps on the word itself until it is CLAIMED.
 * No system call, no assembly, no TLS stands in this file: a model checker compiles it as it is (tests/model/).
 *
 * Invariants
 *   1. A wait is claimed at most once; exactly one of claimer and switch makes the task ready.
 *   2. A claim that was not of a SAVED wait is the claimer's last touch of the task: it may have gone on.
 *
 * Memory ordering
 *   [wake]  claim and save (both acq_rel) are read-modify-writes of one word: whichever comes second sees what the first did. The claimer's work
 *           is visible to the task through the queue that it is made ready in, or through this word when the switch makes it ready or it never
 *           parks.
 *
 * Who may call: claim anybody who was told of the wait; save the switch; the others the task itself. */
#ifndef FL_SCHED_WAKE_H
#define FL_SCHED_WAKE_H

#include "base/atomic.h"
#include "base/attr.h"
#include "sched/task.h"

/** Bits of a task's wake word. Zero: it does not wait. */
enum fl_wake_bit {
    FL_WAKE_ARMED = 1,       /**< it waits, or is about to: may be claimed */
    FL_WAKE_CANCELLABLE = 2, /**< a cancel may claim it too */
    FL_WAKE_SAVED = 4,       /**< it is off its stack: who claims it makes it ready; before that, the switch does */
    FL_WAKE_CLAIMED = 8,     /**< somebody has claimed it; the result stands above FL_WAKE_RESULT */
    FL_WAKE_THREAD = 16,     /**< a kernel thread sleeps on this word: who claims it wakes that */
    FL_WAKE_POLLS = 32,      /**< that thread sleeps in poll(2): who claims it writes to the eventfd that stands above FL_WAKE_RESULT */
};

#define FL_WAKE_DESCRIPTORS ((uint32_t)1 << 24) /* the eventfd is below this */

#define FL_WAKE_RESULT 8 /* bits to shift the negated result by */

/** Gets the calling task ready to be claimed. Between this and fl_wait others may be told of it. */
FL_INLINE void fl_wake_arm(struct fl_task *task, bool cancellable)
{
    store_relaxed(&task->futex, 0); /* init: nobody knows of the wait yet */
    /* init: published with whatever list the task joins next */
    store_release(&task->wake,
                  FL_WAKE_ARMED | (cancellable ? FL_WAKE_CANCELLABLE : 0) | (task->flags & FL_TASK_THREAD ? FL_WAKE_THREAD : 0));
}

/** The same for a task that is off its stack already, by the commit of its switch. */
FL_INLINE void fl_wake_arm_saved(struct fl_task *task)
{
    /* init: published with whatever list the task joins next */
    store_release(&task->wake, FL_WAKE_ARMED | FL_WAKE_CANCELLABLE | FL_WAKE_SAVED);
}

/** The wait of a task that is off its stack, and that nobody knows of, is over before it began. */
FL_INLINE void fl_wake_preempt(struct fl_task *task, int result)
{
    store_release(&task->wake, FL_WAKE_CLAIMED | (uint32_t)-result << FL_WAKE_RESULT); /* init: published by making it ready */
}

/** A kernel thread that has armed itself, and that nobody knows of yet, is to be woken by a write to `fd`. */
FL_INLINE void fl_wake_by_descriptor(struct fl_task *task, uint32_t fd)
{
    /* init: published with whatever list the thread joins next */
    store_release(&task->wake, FL_WAKE_ARMED | FL_WAKE_THREAD | FL_WAKE_POLLS | fd << FL_WAKE_RESULT);
}

/** Claims a waiting task: true once a wait.
 * @param result 0 or -errno @param cancel claims only what may be cancelled @param ret_seen the word as it was: SAVED, THREAD tell what to do next */
FL_INLINE bool fl_wake_swap(struct fl_task *task, int result, bool cancel, uint32_t *ret_seen)
{
    uint32_t seen = load_relaxed(&task->wake); /* hint: the swap decides */
    uint32_t need = FL_WAKE_ARMED | (cancel ? FL_WAKE_CANCELLABLE : 0);
    while ((seen & need) == need)
        /* [wake] pairs with fl_wake_save */
        if (likely(cas_weak_acq_rel(&task->wake, &seen, FL_WAKE_CLAIMED | (uint32_t)-result << FL_WAKE_RESULT))) {
            *ret_seen = seen;
            return true;
        }
    return false;
}

/** The task is off its stack. @return false: it was claimed before, what the claimer did is visible, and the caller makes it ready. */
FL_INLINE bool fl_wake_save(struct fl_task *task)
{
    uint32_t seen = load_relaxed(&task->wake); /* hint: the swap decides */
    while (seen & FL_WAKE_ARMED)
        if (likely(cas_weak_acq_rel(&task->wake, &seen, seen | FL_WAKE_SAVED))) /* [wake] pairs with fl_wake_swap */
            return true;
    load_acquire(&task->wake); /* [wake] what the claimer did is visible to the task */
    return false;
}

/** Takes the arming back after a park that could not happen. @return whether nobody has claimed it, or will. */
FL_INLINE bool fl_wake_disarm(struct fl_task *task)
{
    uint32_t seen = load_relaxed(&task->wake); /* hint: the swap decides */
    while (seen & FL_WAKE_ARMED)
        if (cas_weak_acq_rel(&task->wake, &seen, 0)) /* [wake] pairs with fl_wake_swap */
            return true;
    return false;
}

/** Whether the wait is claimed, for a task that need not park then and for a thread that looks before it sleeps. @param ret_seen the word */
FL_INLINE bool fl_wake_claimed(struct fl_task *task, uint32_t *ret_seen)
{
    *ret_seen = load_acquire(&task->wake); /* [wake] pairs with fl_wake_swap */
    return *ret_seen & FL_WAKE_CLAIMED;
}

/** The claimed wait is over. @return the claimer's result */
FL_INLINE int fl_wake_finish(struct fl_task *task)
{
    uint32_t seen = load_acquire(&task->wake); /* [wake] pairs with fl_wake_swap */
    store_relaxed(&task->wake, 0);             /* own: the wait is over */
    return -(int)(seen >> FL_WAKE_RESULT);
}

/** Ends a wait that was armed but need not be waited for: the caller owns the claim, or nobody knew of the wait but those whose claim does not matter.
 * A cancel that has claimed it makes nothing ready then, because the task was never saved, and a thread does not sleep on the word any more. */
FL_INLINE void fl_wait_end(struct fl_task *task)
{
    exchange_acq_rel(&task->wake, 0); /* [wake] pairs with fl_wake_swap */
}

#endif
