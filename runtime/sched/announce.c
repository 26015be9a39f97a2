/* SPDX-License-Identifier: MIT */
/* What a task says of itself: that it is about to block, that it must stay where it is.
 *
 * A call that blocks need not be announced: the monitor finds out. Who announces it spares the others the millisecond until then.
 *
 * A pinned task goes on nowhere but on the worker it was pinned on. Whoever makes it ready puts it into that worker's own inbox, which nobody steals from
 * (fl_make_ready, append in park.c); so no ready queue ever holds one, and whoever takes a task from a queue need not look. */
#include "base/panic.h"
#include "machine/clock.h"
#include "sched/relief.h"

void filch_blocking_enter(void)
{
    struct fl_worker *w = fl_self();
    if (w->hot.kind_ != FL_KIND_WORKER)
        return;
    struct filch_runtime *runtime = w->runtime;
    fl_panic_if(!w->hot.current_ || load_relaxed(&w->blocked), "filch_blocking_enter within another one"); /* own: this worker's */
    store_seq_cst(&w->blocked, fl_clock());            /* [watch] before the look at who is idle */
    uint64_t word = load_seq_cst(&runtime->idle.word); /* [watch] pairs with the search of a worker */
    if (!fl_idle_anybody(word) && runtime->relief_max &&
        (!fl_relief_call(runtime, load_relaxed(&w->host), FL_DUTY_FULL) || /* own: its own */
         load_relaxed(&runtime->monitor.asleep) == FL_MONITOR_SLEEPS))     /* hint: it comes by soon if not */
        fl_monitor_wake(runtime);                                          /* to make one; to let it rest again */
}

void filch_blocking_leave(void)
{
    struct fl_worker *w = fl_self();
    if (w->hot.kind_ != FL_KIND_WORKER)
        return;
    fl_panic_if(!load_relaxed(&w->blocked),
                "filch_blocking_leave without filch_blocking_enter, or the task has parked in between"); /* own: this worker's */
    store_relaxed(&w->looked, fl_clock());                                                               /* hint: it is not stalled */
    store_relaxed(&w->blocked, 0);                                                                       /* hint: as above */
}

void filch_pin(void)
{
    struct fl_worker *w = fl_self();
    if (w->hot.kind_ != FL_KIND_WORKER)
        return;
    struct fl_task *task = fl_worker_task(w);
    fl_panic_if(!task, "filch_pin outside a task");
    if (!(task->flags & FL_TASK_PINNED)) {
        task->flags |= FL_TASK_PINNED;
        task->home = (uint16_t)w->index;
        task->pins = 0;
    }
    fl_panic_if(task->pins == UINT8_MAX, "a task is pinned more than %d times", UINT8_MAX);
    task->pins++;
}

void filch_unpin(void)
{
    struct fl_worker *w = fl_self();
    if (w->hot.kind_ != FL_KIND_WORKER)
        return;
    struct fl_task *task = fl_worker_task(w);
    fl_panic_if(!task || !(task->flags & FL_TASK_PINNED), "filch_unpin without filch_pin");
    if (--task->pins == 0)
        task->flags &= ~(uint32_t)FL_TASK_PINNED;
}
