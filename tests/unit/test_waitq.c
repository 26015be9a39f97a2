/* SPDX-License-Identifier: MIT */
/* The laws of sync/waitq: who was cancelled before its waker came is passed over, what was meant for it goes to the next, and it is told when nobody knows of it any
 * more.
 *
 * Waiters are stand-ins that never sleep: their wake words tell what would have happened. What is not tested here: both at the same time, which is stress_wait. */
#include "sync/waitq.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct fl_task tasks[3];
static struct fl_waiter waiters[3];

static void stand(struct fl_waitq *q)
{
    for (int i = 0; i < 3; i++) {
        tasks[i] = (struct fl_task){.flags = FL_TASK_THREAD};
        waiters[i] = (struct fl_waiter){.task = &tasks[i]};
        fl_wake_arm(&tasks[i], true);
        fl_waitq_append(q, &waiters[i]);
    }
}

static void cancel(int i)
{
    bool saved;
    cr_assert(fl_wake_claim(&tasks[i], -ECANCELED, true, &saved));
}

static bool woken(int i)
{
    uint32_t seen;
    return fl_wake_claimed(&tasks[i], &seen) && seen >> FL_WAKE_RESULT == 0;
}

static bool let_go(int i)
{
    return load_acquire(&waiters[i].done); /* [done] */
}

Test(waitq, first_come_first_served_and_anybody_may_leave)
{
    struct fl_waitq q = {.last = NULL};
    struct fl_lock lock = {0};
    stand(&q);
    cr_assert(fl_waitq_leave(&q, &lock, &waiters[1]) && !waiters[1].queued);
    cr_assert(fl_waitq_take(&q) == &waiters[0] && fl_waitq_take(&q) == &waiters[2] && !fl_waitq_take(&q));
    stand(&q);
    cr_assert(fl_waitq_leave(&q, &lock, &waiters[0]) && fl_waitq_leave(&q, &lock, &waiters[2]));
    cr_assert(fl_waitq_take_all(&q) == &waiters[1] && !waiters[1].next && !fl_waitq_take(&q));
}

Test(waitq, who_wakes_too_late_says_so)
{
    struct fl_waitq q = {.last = NULL};
    struct fl_lock lock = {0};
    stand(&q);
    cancel(0);
    cr_assert(fl_waitq_wake_all(fl_waitq_take_all(&q)) == 2);
    cr_assert(let_go(0) && !woken(0) && woken(1) && woken(2));
    cr_assert(!fl_waitq_leave(&q, &lock, &waiters[0])); /* returns at once */
}

Test(waitq, a_signal_passes_over_who_was_cancelled)
{
    filch_cond cond = {0};
    stand(FL_WAITQ(&cond));
    cancel(0);
    filch_cond_signal(&cond);
    cr_assert(let_go(0) && woken(1) && !woken(2));
    filch_cond_signal(&cond);
    cr_assert(woken(2));
    filch_cond_signal(&cond);
}

Test(waitq, a_unit_passes_over_who_was_cancelled)
{
    filch_sem sem = {.word_ = 1}; /* with waiters */
    stand(FL_WAITQ(&sem));
    cancel(0);
    cancel(1);
    filch_sem_release(&sem);
    cr_assert(let_go(0) && let_go(1) && woken(2) && !filch_sem_try(&sem));
    filch_sem_release(&sem);
    cr_assert(filch_sem_try(&sem) && !filch_sem_try(&sem));
    sem.word_ = 1;
    stand(FL_WAITQ(&sem));
    for (int i = 0; i < 3; i++)
        cancel(i);
    filch_sem_release(&sem);
    cr_assert(filch_sem_try(&sem) && !filch_sem_try(&sem)); /* nobody took it: it is there */
}
