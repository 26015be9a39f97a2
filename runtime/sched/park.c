/* SPDX-License-Identifier: MIT */
/* Parking and waking.
 *
 * A task that parks keeps the stack it happens to run on, with all callers below it, and its worker goes on elsewhere: straight to a ready
 * task's stack if there is one, else to a fresh stack with the loop. There is no scheduler stack to bounce off.
 *
 * The race of parking: a waker may be there before the task is off its stack. So nothing that lets others resume the task happens before
 * the switch; it happens after it, on the next stack (fl_after_switch): the commit. For waits that several may end (an object, a timer, a cancel) the
 * commit is one bit in the task's wake word (sched/wake.h).
 *
 * Most parks pop the next ready task and switch to it, no more. That way stands in functions which save no registers and end in a jump (next_at_once, park_for,
 * resumed_claimed; docs/decisions/0027-a-park-ends-in-a-jump.md). All the rest, a look round, a fresh stack, a first park, is behind park_slow.
 *
 * Invariants
 *   1. A wait is claimed at most once; exactly one of claimer and switch makes the task ready.
 *   2. After its claim a claimer touches neither the task (but for fl_wake_deliver) nor the waiter's memory, unless the waiter waits for it by other
 *      means (a timer's FL_TIMER_FIRING, the lock of an object).
 *   3. Whoever is told of a wait takes itself out before the wait's memory dies: objects under their own lock, timers by fl_timer_remove.
 *   4. errno survives; nothing that lives on the worker is kept across the switch: the worker is read again after it.
 *
 * Memory ordering: sched/wake.h, and the queues a task is made ready in.
 *
 * Which task next: after a task that has met another at a rendezvous, the newest ready one, because what was handed over is in the cache and whoever waits for it keeps a stack, but
 * the oldest after so many in a row; else
 * unstarted ones of the own deque come first (they are the newest); every so many dispatches whatever is ready, injected, or, if tasks keep waking each other,
 * unstarted. A yield therefore starts unstarted tasks before it goes round those that yielded. */
#include "sched/park.h"

#include "base/panic.h"
#include "machine/clock.h"
#include "machine/context.h"
#include "machine/cost.h"
#include "machine/futex.h"
#include "machine/sanitizer.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#define NEWEST_IN_A_ROW 32 /* a pair may go on for so many parks while older tasks are ready */

static const struct fl_why yields = {.name = "yield"};

FL_INLINE void append(struct fl_worker *w, struct fl_task *task)
{
    if (unlikely(task->flags & FL_TASK_PINNED))
        fl_inject_push(&w->runtime->workers[task->home]->pinned, task); /* its own: it has run here, or was taken from there */
    /* whoever comes out of the ready queue is switched to: only tasks that have a stack may be there */
    else if (unlikely(task->flags & FL_TASK_NEW && !task->sp) || unlikely(!fl_ready_push(&w->ready, task)))
        fl_inject_push(&w->runtime->inject, task);
}

FL_INLINE struct fl_task *call_commit(struct fl_worker *w)
{
    fl_commit_fn *fn = w->commit;
    w->commit = NULL;
    return fn(w->commit_arg);
}

/* A task that is ready by the time it is off its stack. */
static void append_left(struct fl_worker *w, struct fl_task *task)
{
    append(w, task);
    fl_notify(w->runtime);
}

FL_INLINE void after_switch(struct fl_worker *w)
{
    struct fl_task *left = w->yielded;
    if (likely(left != NULL))
        w->yielded = NULL;
    else if (w->commit)
        left = call_commit(w);
    if (left)
        append_left(w, left);
}

void fl_after_switch(struct fl_worker *w)
{
    after_switch(w);
}

/* The task that runs has been switched back to. */
static FL_NOINLINE int resumed_slow(struct fl_worker *w)
{
    struct fl_task *task = fl_worker_task(w);
    fl_sanitizer_after(task->fake);
    if (w->yielded || w->commit)
        after_switch(w);
    else
        fl_notify(w->runtime);
    *w->err = task->err; /* this carrier's now */
    task->why = NULL;
    return 0;
}

static int resumed(void)
{
    struct fl_worker *w = fl_self();
    struct fl_task *yielded = w->yielded, *task = fl_worker_task(w);
    if (FL_ASAN || FL_TSAN || unlikely(!yielded) || unlikely(yielded->flags & (FL_TASK_NEW | FL_TASK_PINNED)) ||
        unlikely(!fl_ready_push_fast(&w->ready, yielded)))
        return resumed_slow(w);
    w->yielded = NULL;
    if (filch_sleepers_(&w->hot))
        return resumed_slow(w); /* there is work for them */
    *w->err = task->err;
    task->why = NULL;
    return 0;
}

/* The same where the task has waited for a claim. @return the claimer's result */
static int resumed_claimed(void)
{
    struct fl_worker *w = fl_self();
    struct fl_task *task = fl_worker_task(w);
    if (FL_ASAN || FL_TSAN || unlikely(!w->commit)) {
        resumed_slow(w);
        return fl_wake_finish(task);
    }
    struct fl_task *left = call_commit(w);
    if (unlikely(left != NULL))
        append_left(w, left);
    *w->err = task->err;
    task->why = NULL;
    return fl_wake_finish(task);
}

/* Leaves the stack of `from`, which has one of its own, for the one of `to`. Returns what `after` does, when `from` is resumed. */
FL_INLINE int leave_for(struct fl_worker *w, struct fl_task *from, struct fl_task *to, int (*after)(void))
{
    w->stack = to->stack;
    w->hot.floor_ = to->low;
    fl_worker_set_task(w, to);
    from->err = *w->err;
    fl_sanitizer_before(&from->fake, w->stack->low, w->stack->top, w->stack->sanitizer);
    return fl_context_leave(&from->sp, to->sp, after);
}

/* The same for a fresh stack, on which the loop begins with `to` if it isn't NULL. */
static FL_NOINLINE int leave_for_fresh(struct fl_worker *w, struct fl_task *from, struct fl_task *to, struct fl_stack *fresh,
                                       int (*after)(void))
{
    fl_sanitizer_clean(fresh->low, fresh->top);
    void *sp = fl_context_make(fresh->top, fl_worker_loop);
    w->stack = fresh;
    w->hot.floor_ = fl_stack_floor(fresh);
    fl_worker_set_task(w, to);
    from->err = *w->err;
    fl_sanitizer_before(&from->fake, w->stack->low, w->stack->top, w->stack->sanitizer);
    return fl_context_leave(&from->sp, sp, after);
}

FL_INLINE int leave(struct fl_worker *w, struct fl_task *from, struct fl_task *to, struct fl_stack *fresh, int (*after)(void))
{
    if (unlikely(!(from->flags & FL_TASK_PARKED))) { /* the first time: from now on the stack is its own */
        from->stack = w->stack;
        store_relaxed(fl_atomic(void *, &from->stack->task), from); /* hint: dumps look at it */
        from->low = w->hot.floor_;
        from->flags |= FL_TASK_PARKED;
    }
    return fresh ? leave_for_fresh(w, from, to, fresh, after) : leave_for(w, from, to, after);
}

/* Whether a ready task goes before those that have not begun. */
FL_INLINE bool goes_before_new(struct fl_worker *w)
{
    return w->met || likely(fl_deque_size_hint(&w->hot.deque_) == 0);
}

/* Whether it is the newest ready task's turn, else the oldest one's. */
FL_INLINE bool is_newests_turn(struct fl_worker *w)
{
    return w->met && w->in_a_row + 1 < NEWEST_IN_A_ROW;
}

/* Its turn is over. */
FL_INLINE void note_turn(struct fl_worker *w, bool newest)
{
    w->in_a_row = newest ? w->in_a_row + 1 : 0;
    w->met = false;
}

/* The ready task whose turn it is; NULL: there is none, or somebody else is at the queue. */
FL_INLINE struct fl_task *pop_at_once(struct fl_worker *w, bool newest)
{
    struct fl_task *to = fl_ready_pop_fast(&w->ready, newest);
    if (likely(to != NULL))
        note_turn(w, newest);
    return to;
}

/* The next task to switch to, or NULL with a fresh stack for the loop; false: neither. */
static bool choose(struct fl_worker *w, struct fl_task **ret_to, struct fl_stack **ret_fresh)
{
    struct fl_task *to = NULL;
    if (unlikely(w->ended_scope != NULL))
        to = fl_worker_tell(w);
    if (!to && goes_before_new(w)) {
        bool newest = is_newests_turn(w);
        to = newest ? fl_ready_pop_newest(&w->ready) : fl_ready_pop(&w->ready);
        note_turn(w, newest);
    }
    w->met = false;
    struct fl_stack *fresh = NULL;
    if (!to && !(fresh = fl_stack_get(&w->stacks, w->runtime->stack_class)) && !(to = fl_ready_pop(&w->ready)))
        return false;
    *ret_to = to;
    *ret_fresh = fresh;
    return true;
}

/* Looks round. @return who must go first, and the stack for it if it has none; NULL: nobody. */
static FL_NOINLINE struct fl_task *first_of_round(struct fl_worker *w, struct fl_stack **ret_fresh)
{
    struct fl_task *first = fl_worker_look_round(w);
    if (!first)
        return NULL;
    if (first->flags & FL_TASK_NEW && !first->sp && !(*ret_fresh = fl_stack_get(&w->stacks, w->runtime->stack_class))) {
        append(w, first);
        return NULL;
    }
    if (w->ended_scope) {
        struct fl_task *joiner = fl_worker_tell(w);
        if (joiner)
            append(w, joiner);
    }
    return first;
}

/* What most parks come to: the task that is next has a stack, and so has the one that parks. Counts the dispatch.
 * @return that task; NULL: there is more to do, for park_slow */
FL_INLINE struct fl_task *next_at_once(struct fl_worker *w, const struct fl_task *task)
{
    if (fl_worker_due(w) || unlikely(w->ended_scope != NULL) || unlikely(!(task->flags & FL_TASK_PARKED)))
        return NULL;
    if (is_newests_turn(w))
        return pop_at_once(w, true);
    return goes_before_new(w) ? pop_at_once(w, false) : NULL;
}

/* What is called on the next stack. */
FL_INLINE void set_commit(struct fl_worker *w, fl_commit_fn *commit, void *arg)
{
    w->commit = commit;
    w->commit_arg = arg;
}

/* It is about to leave its stack. */
FL_INLINE void note_park(struct fl_worker *w, struct fl_task *task, const struct fl_why *why, const void *on)
{
    task->why = why;
    task->on = on;
    fl_count(&w->counters.parks, 1);
    fl_cost(FL_COST_PARK, w, 1);
}

/* The rest of a park whose commit is set, and which is counted as a dispatch. */
static FL_NOINLINE int park_slow(struct fl_worker *w, const struct fl_why *why, const void *on, int (*after)(void))
{
    struct fl_task *task = fl_worker_task(w), *to = NULL;
    struct fl_stack *fresh = NULL;
    if (fl_worker_spent(w)) /* tasks that only wake each other must not starve timers, the ring and what comes from outside */
        to = first_of_round(w, &fresh);
    if (likely(!to) && unlikely(!choose(w, &to, &fresh))) {
        w->commit = NULL;
        return -ENOMEM;
    }
    note_park(w, task, why, on);
    return leave(w, task, to, fresh, after);
}

FL_INLINE int park_for(struct fl_worker *w, struct fl_task *task, struct fl_task *to, const struct fl_why *why, const void *on,
                       int (*after)(void))
{
    note_park(w, task, why, on);
    return leave_for(w, task, to, after);
}

FL_INLINE int park(struct fl_worker *w, struct fl_task *task, const struct fl_why *why, const void *on, int (*after)(void))
{
    struct fl_task *to = next_at_once(w, task);
    return likely(to != NULL) ? park_for(w, task, to, why, on, after) : park_slow(w, why, on, after);
}

int fl_park(struct fl_worker *w, fl_commit_fn *commit, void *arg, const struct fl_why *why, const void *on)
{
    set_commit(w, commit, arg);
    return park(w, fl_worker_task(w), why, on, resumed);
}

void fl_park_surely(struct fl_worker *w, fl_commit_fn *commit, void *arg, const struct fl_why *why, const void *on, bool (*over)(void *arg))
{
    while (!over(arg) && fl_park(w, commit, arg, why, on) != 0) {
        /* No memory for a stack, nobody ready to switch to: others must end first. */
        struct fl_task *first = fl_worker_look_round(w);
        if (first)
            append(w, first);
        else
            sched_yield();
    }
}

bool fl_park_yield(struct fl_worker *w)
{
    struct fl_task *task = fl_worker_task(w), *to;
    struct fl_stack *fresh;
    w->met = false; /* a yield keeps to the order */
    if (!choose(w, &to, &fresh))
        return false;
    w->yielded = task;
    task->why = &yields;
    leave(w, task, to, fresh, resumed);
    return true;
}

FL_INLINE void give_way(struct fl_worker *w, struct fl_task *task, struct fl_task *first)
{
    if (unlikely(w->ended_scope != NULL)) {
        struct fl_task *joiner = fl_worker_tell(w);
        if (joiner)
            append(w, joiner);
    }
    struct fl_stack *fresh = NULL;
    if (unlikely(first->flags & FL_TASK_NEW) && !first->sp && !(fresh = fl_stack_get(&w->stacks, w->runtime->stack_class))) {
        append(w, first);
        return;
    }
    fl_worker_prefetch(w);
    w->yielded = task;
    task->why = &yields;
    leave(w, task, first, fresh, resumed);
}

void fl_park_round(struct fl_worker *w)
{
    struct fl_task *first = fl_worker_look_round(w);
    if (first)
        give_way(w, fl_worker_task(w), first);
}

static FL_NOINLINE void yield_slow(struct fl_worker *w)
{
    if (unlikely(w->hot.kind_ != FL_KIND_WORKER)) {
        sched_yield();
        return;
    }
    struct fl_task *first = NULL;
    if (fl_worker_spent(w))
        first = fl_worker_look_round(w);
    if (!first && fl_deque_size_hint(&w->hot.deque_) != 0) {
        fl_park_yield(w);
        return;
    }
    if (!first)
        first = fl_ready_pop(&w->ready);
    if (first)
        give_way(w, fl_worker_task(w), first);
}

static FL_NOINLINE void give_way_slow(struct fl_worker *w, struct fl_task *first)
{
    give_way(w, fl_worker_task(w), first);
}

void filch_yield(void)
{
    struct fl_worker *w = fl_self();
    if (unlikely(w->hot.kind_ != FL_KIND_WORKER) || unlikely(fl_worker_due(w)) || unlikely(fl_deque_size_hint(&w->hot.deque_) != 0)) {
        yield_slow(w);
        return;
    }
    struct fl_task *first = fl_ready_pop_fast(&w->ready, false), *task = fl_worker_task(w);
    if (unlikely(!first)) {
        yield_slow(w);
        return;
    }
    if (FL_ASAN || FL_TSAN || unlikely(w->ended_scope != NULL) || unlikely(first->flags & FL_TASK_NEW) ||
        unlikely(!(task->flags & FL_TASK_PARKED))) {
        give_way_slow(w, first);
        return;
    }
    fl_worker_prefetch(w);
    w->yielded = task;
    task->why = &yields;
    leave_for(w, task, first, resumed);
}

void fl_wake_thread(struct fl_task *task, uint32_t seen)
{
    uint64_t one = 1;
    if (!(seen & FL_WAKE_POLLS)) {
        fl_futex_wake(&task->wake, 1);
        return;
    }
    int saved = errno;
    while (write((int)(seen >> FL_WAKE_RESULT), &one, sizeof one) < 0 && errno == EINTR)
        ;
    errno = saved;
}

/* The commit of fl_wait. */
static struct fl_task *save(void *arg)
{
    struct fl_task *task = arg;
    return fl_wake_save(task) ? NULL : task;
}

static bool claimed(void *arg)
{
    uint32_t seen;
    return fl_wake_claimed(arg, &seen);
}

void fl_park_thread(struct fl_task *task, const struct fl_why *why, const void *on)
{
    task->why = why;
    task->on = on;
    while (load_acquire(&task->futex) == 0) /* [futex] pairs with fl_make_ready */
        fl_futex_wait(&task->futex, 0, INT64_MAX);
    task->why = NULL;
}

int fl_wait_late(struct fl_task *task, fl_commit_fn *stand, void *arg, const struct fl_why *why, const void *on)
{
    struct fl_worker *w = fl_self();
    set_commit(w, stand, arg);
    return park(w, task, why, on, resumed_claimed);
}

static FL_NOINLINE int wait_thread(struct fl_task *task, const struct fl_why *why, const void *on)
{
    uint32_t seen;
    task->why = why;
    task->on = on;
    while (!fl_wake_claimed(task, &seen))
        fl_futex_wait(&task->wake, seen, INT64_MAX);
    task->why = NULL;
    return fl_wake_finish(task);
}

/* The rest of a wait whose commit is set, where there is more to do than to switch. */
static FL_NOINLINE int wait_slow(struct fl_worker *w, const struct fl_why *why, const void *on, bool fallible)
{
    struct fl_task *task = fl_worker_task(w);
    if (park_slow(w, why, on, resumed) != 0) {
        if (!fallible)
            fl_park_surely(w, save, task, why, on, claimed);
        else if (fl_wake_disarm(task))
            return -ENOMEM;
    }
    return fl_wake_finish(task);
}

int fl_wait(struct fl_task *task, const struct fl_why *why, const void *on, bool fallible)
{
    if (unlikely(task->flags & FL_TASK_THREAD))
        return wait_thread(task, why, on);
    struct fl_worker *w = fl_self();
    fl_assert(fl_worker_task(w) == task);
    if (claimed(task)) /* else the commit looks again */
        return fl_wake_finish(task);
    set_commit(w, save, task);
    struct fl_task *to = next_at_once(w, task);
    return likely(to != NULL) ? park_for(w, task, to, why, on, resumed_claimed) : wait_slow(w, why, on, fallible);
}
