/* SPDX-License-Identifier: MIT */
/* Sleeping: a timer and a wait. */
#include "machine/clock.h"
#include "sync/wait.h"

#include <errno.h>

static const struct fl_why sleeps = {.name = "sleep"};

static void rise(struct fl_timer *timer)
{
    struct fl_task *task = fl_container_of(timer, struct fl_task, timer);
    bool saved, mine = fl_wake_claim(task, 0, false, &saved);
    fl_timer_done(timer);
    if (mine)
        fl_wake_deliver(task, saved);
}

void fl_timer_start(struct fl_task *task, struct fl_timer *timer, int64_t when)
{
    struct fl_worker *w = fl_self();
    if (likely(w->hot.kind_ == FL_KIND_WORKER)) {
        fl_timer_add(&w->wheel, timer, when); /* its owner is awake: it looks at the wheel before it sleeps */
        return;
    }
    w = task->runtime->workers[0];
    if (fl_timer_add(&w->wheel, timer, when))
        fl_ring_wake(&w->ring);
}

static int thread_sleep(int64_t deadline)
{
    struct timespec ts = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
        ;
    return 0;
}

int filch_sleep_until(int64_t deadline)
{
    struct fl_task *task = fl_current();
    if (unlikely(!task))
        return thread_sleep(deadline);
    task->timer.fire = rise;
    fl_wait_begin(task);
    if (deadline != FILCH_NEVER)
        fl_timer_start(task, &task->timer, deadline);
    int r = fl_wait(task, &sleeps, NULL, true);
    fl_timer_remove(&task->timer);
    return r;
}

int filch_sleep(int64_t ns)
{
    return filch_sleep_until(filch_after(ns));
}
