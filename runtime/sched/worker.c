/* SPDX-License-Identifier: MIT */
/* The worker's loop.
 *
 * The loop runs at the bottom of a task stack and calls unstarted tasks there, one after another. When one of them parks, it keeps
 * that stack, and a fresh one carries the loop on; when the next task is a parked one, the loop's own stack is empty but for the loop: it
 * goes back to the cache and the worker switches over. So a task that never parks costs no switch and no stack.
 *
 * Where work comes from, in order: the own deque (newest first), the ready queue (oldest first); then it is searched for (sched/search.c). Every `budget` dispatches it looks round first; what is ready by then goes before the deque, but the next time the deque
 * goes first, so that unstarted tasks and those that go round through the ready queue share the worker, whichever are more;
 * every DIG_EVERY the oldest item of the deque has its turn before the newer ones. The
 * budget follows the length of the tasks: it is refilled with what took about LOOK_EVERY last time, between 1 and BUDGET_MAX.
 *
 * Invariants
 *   1. What the worker owns and others may need (deque, ready queue, timers, ring) is reachable without its help at any time, also while a
 *      task keeps the carrier. What is not reachable (children ended but not told of, the commit of a switch) is dealt with before the next
 *      task of another scope runs.
 *   2. w->hot.current_ is NULL exactly while the loop runs, or a task that is about to wait for the kernel hears what it has (fl_worker_hear).
 *   3. The worker is read again (fl_self) after every call that may park. */
#include "sched/worker.h"

#include "base/panic.h"
#include "machine/clock.h"
#include "machine/context.h"
#include "machine/cost.h"
#include "machine/futex.h"
#include "machine/sanitizer.h"
#include "sched/join.h"
#include "sched/park.h"
#include "sched/relief.h"

#include <filch/debug.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BUDGET_MAX 256
#define LOOK_EVERY 50000   /* ns between looks round, roughly */
#define ASK_EVERY 200000   /* ns that an operation waits for others, while there is work to do */
#define MANY 32            /* operations that wait for no more */
#define DIG_EVERY 50000000 /* ns between turns of the oldest unstarted task, if it has none otherwise */
#define OTHERS 8           /* workers it looks at then, at most */
#define NOTICE_EVERY 4     /* looks round between looks at another worker */
#define LONG 150000        /* ns of a task that the monitor may have noticed */
#define TURNS_MAX 256      /* ready tasks that go before the deque after a look round */
#define FEW 16 /* tasks that events made ready on a worker which is about to run them: not worth a wake-up, the watch sees them */

static const uint64_t nobody_sleeps, somebody_sleeps = UINT32_MAX;
struct fl_worker fl_no_worker = {.hot = {.kind_ = FL_KIND_NONE,
                                         .budget_ = INT32_MAX,
                                         .idle_ = &nobody_sleeps,
                                         .deque_ = {.limit_ = INT64_MIN, .full_ = INT64_MIN, .slots_ = (char *)&fl_no_slot}}};
__thread struct filch_worker_ *filch_worker_tls_ = &fl_no_worker.hot;

/* ---- making ready, waking ---- */

void fl_wake_one(struct filch_runtime *runtime)
{
    uint32_t start = add_relaxed(&runtime->wake_next, 1); /* hint: only spreads the wakes */
    unsigned total = fl_total(runtime);
    for (unsigned i = 0; i < total; i++) {
        struct fl_worker *w = runtime->workers[i < runtime->count ? (start + i) % runtime->count : i];
        fl_cost(FL_COST_GLANCE, w, 1);
        if (fl_idle_claim(&runtime->idle, &w->sleeper)) {
            add_relaxed(&w->counters.wakes, 1); /* counter */
            fl_ring_wake(&w->ring);
            return;
        }
    }
}

void fl_push_from_outside(struct filch_runtime *runtime, struct fl_task *task)
{
    add_relaxed(&runtime->visitors, 1); /* [visit] the task is not in a queue yet, so the runtime is there */
    fl_inject_push(&runtime->inject, task);
    fl_notify(runtime);
    fl_monitor_tell(runtime, &runtime->monitor);
    sub_release(&runtime->visitors, 1); /* [visit] pairs with filch_stop */
}

/* A task that no ready queue is for. */
static FL_COLD void make_bound_ready(struct fl_task *task)
{
    if (task->flags & FL_TASK_THREAD) {
        _Atomic(uint32_t) *futex = &task->futex;
        store_release(futex, 1); /* [futex] pairs with fl_park_thread; the task may be gone from here on */
        fl_futex_wake(futex, 1);
        return;
    }
    struct filch_runtime *runtime = task->runtime;
    add_relaxed(&runtime->visitors, 1); /* [visit] the task is not in a queue yet, so the runtime is there */
    struct fl_worker *home = runtime->workers[task->home];
    fl_inject_push(&home->pinned, task);
    if (home != fl_self())
        fl_ring_wake(&home->ring);
    sub_release(&runtime->visitors, 1); /* [visit] pairs with filch_stop */
}

/* Whether somebody is to be woken for what was made ready here: else the loop will run it itself, next. */
FL_INLINE bool is_worth_telling(struct fl_worker *w)
{
    return w->hot.current_ || fl_ready_size_hint(&w->ready) >= FEW;
}

/* A thief is at the queue, or it must grow, or the barrier is a fence. */
static FL_NOINLINE void push_slow(struct fl_worker *w, struct fl_task *task)
{
    if (!fl_ready_push(&w->ready, task))
        fl_inject_push(&w->runtime->inject, task);
    if (is_worth_telling(w))
        fl_notify(w->runtime);
}

static FL_NOINLINE void notify(struct fl_worker *w)
{
    fl_notify(w->runtime);
}

/* Calls nothing but what it ends in, and so saves no registers. */
void fl_make_ready(struct fl_task *task)
{
    struct fl_worker *w = fl_self();
    if (unlikely(task->flags & FL_TASK_BOUND)) {
        make_bound_ready(task);
        return;
    }
    if (unlikely(w->hot.kind_ != FL_KIND_WORKER) || unlikely(w->runtime != task->runtime)) {
        fl_push_from_outside(task->runtime, task);
        return;
    }
    for (int line = 0; line < 6; line++) /* it is resumed soon, and has perhaps not been touched for long */
        __builtin_prefetch((char *)task->sp + line * FL_LINE, 1);
    if (unlikely(!fl_ready_push_fast(&w->ready, task))) {
        push_slow(w, task);
        return;
    }
    if (filch_sleepers_(&w->hot) && is_worth_telling(w))
        notify(w);
}

struct fl_task *fl_join_tell_selector(struct filch_scope *scope)
{
    struct fl_join_selector *selector = scope->selector_;
    struct fl_task *task = selector->task;
    bool saved;
    if (fl_wake_claim(task, selector->won, false, &saved))
        return saved ? task : NULL;       /* of its memory nothing is touched any more */
    store_release(&selector->done, true); /* [selected] pairs with the leaving of a scope's case (sync/scope.c) */
    return NULL;
}

struct fl_task *fl_worker_tell(struct fl_worker *w)
{
    struct filch_scope *scope = w->ended_scope;
    w->ended_scope = NULL;
    struct fl_task *joiner = fl_join_told(scope, w->ended);
    if (joiner && unlikely(joiner->flags & FL_TASK_BOUND)) {
        fl_make_ready(joiner);
        joiner = NULL;
    }
    return joiner;
}

/* ---- running ---- */

/* What a task that parked, failed, or was more than a plain child leaves behind. @return false: it was an in-frame fork, which counts in no scope, and its
 * descriptor is gone. */
static FL_NOINLINE bool end_slow(struct fl_worker *w, struct fl_task *task, int result)
{
    if (task->flags & FL_TASK_LOCALS) {
        fl_worker_set_task(w, task);
        w->runtime->hooks->locals_end(task);
        w = fl_self();
        fl_worker_set_task(w, NULL);
    }
    if (result < 0 && !(task->flags & FL_TASK_FRAME))
        w->runtime->hooks->child_failed(task->scope, result);
    if (task->flags & FL_TASK_LINKED)
        w->runtime->hooks->unlink(task);
    if (task->flags & FL_TASK_PARKED)
        store_relaxed(fl_atomic(void *, &task->stack->task), NULL); /* hint: dumps look at it */
    task->scope = NULL;                                             /* fl_item_task: whoever uses it next begins from scratch */
    if (task->flags & FL_TASK_FRAME) {
        if (w->runtime->hooks->fork_ended(task, result))
            fl_worker_put_task(w, task);
        return false;
    }
    return true;
}

/* A task that the loop ran has ended. @return the worker, another one if what was left to do has parked */
FL_INLINE struct fl_worker *end(struct fl_worker *w, struct fl_task *task, int result)
{
    struct filch_scope *scope = task->scope;
    if (unlikely((task->flags | (uint32_t)(result < 0)) != 0)) {
        bool counts = end_slow(w, task, result);
        w = fl_self();
        if (!counts)
            return w;
    }
    fl_worker_put_task(w, task);
    if (likely(w->ended_scope == scope)) {
        w->ended++;
        return w;
    }
    if (w->ended_scope) {
        struct fl_task *joiner = fl_worker_tell(w);
        if (joiner)
            fl_make_ready(joiner);
    }
    w->ended_scope = scope;
    w->ended = 1;
    return w;
}

/* From the loop on an otherwise empty stack to a task that has a stack of its own. */
static FL_NORETURN FL_NOINLINE void resume(struct fl_worker *w, struct fl_task *task)
{
    void *sp = task->sp;
    fl_worker_prefetch(w);
    fl_panic_if(w->stack->guard == FILCH_GUARD_CANARY && !fl_stack_intact(w->stack),
                "a task has overflowed its stack of %zu bytes (no guard pages here: see filch_stats)",
                (size_t)1 << (FL_STACK_MIN_SHIFT + w->stack->cls));
    fl_stack_put(&w->stacks, w->stack);
    fl_worker_set_task(w, task);
    w->stack = task->stack;
    w->hot.floor_ = task->low;
    fl_sanitizer_abandon(2); /* this one and the loop */
    fl_sanitizer_before(NULL, w->stack->low, w->stack->top, w->stack->sanitizer);
    fl_context_switch(&w->abandoned, sp); /* not a local: ASan has let go of this frame */
    __builtin_unreachable();
}

static FL_NORETURN FL_NOINLINE void back_to_thread(struct fl_worker *w)
{
    fl_stack_put(&w->stacks, w->stack);
    w->stack = NULL;
    fl_sanitizer_abandon(2); /* this one and the loop */
    fl_sanitizer_before(NULL, w->thread_low, w->thread_high, w->thread_fiber);
    fl_context_switch(&w->abandoned, w->thread_sp);
    __builtin_unreachable();
}

/* An in-frame fork. */
static FL_NOINLINE struct fl_task *fork_task(struct fl_worker *w, struct fl_item item)
{
    struct fl_task *task = w->spare ? w->spare : fl_pool_get(&w->pool);
    if (!task)
        return NULL;
    /* It may keep its descriptor after its end, but never the last one: others must go on, its joiner among them, which can run it itself. */
    if (!(w->spare = fl_pool_get(&w->pool)) && !w->runtime->hooks->fork_awaited(w->runtime, item.token)) {
        w->spare = task;
        return NULL;
    }
    fl_task_begin(task, w->runtime, (struct filch_scope *)(item.whose & ~FL_WHOSE_MASK));
    task->fn = (filch_fn *)item.fn;
    task->arg = (void *)item.arg;
    task->token = item.token;
    task->flags = FL_TASK_FRAME | FL_TASK_NEW;
    task->sp = NULL;
    return task;
}

FL_INLINE struct fl_task *item_task(struct fl_worker *w, const struct fl_item *item)
{
    if (unlikely(item->whose & FL_WHOSE_TASK))
        return (struct fl_task *)(item->whose & ~FL_WHOSE_MASK);
    if (unlikely(item->whose & FL_WHOSE_FRAME))
        return fork_task(w, (struct fl_item){item->fn, item->arg, item->whose, item->token});
    struct fl_task *task = w->spare;
    if (likely(task != NULL))
        w->spare = NULL;
    else if (!(task = fl_pool_get(&w->pool)))
        return NULL;
    if (likely((uintptr_t)task->scope == item->whose))
        task->name = NULL; /* as its last task left it: that one neither parked nor failed (end) */
    else
        fl_task_begin(task, w->runtime, (struct filch_scope *)item->whose);
    task->fn = (filch_fn *)item->fn;
    task->arg = (void *)item->arg;
    task->flags = FL_TASK_NEW;
    task->sp = NULL;
    return task;
}

struct fl_task *fl_item_task(struct fl_worker *w, const struct fl_item *item)
{
    return item_task(w, item);
}

/* ---- looking for work ---- */

/* Newest first may leave what was spawned before waiting for as long as the newer ones spawn others. Now and then the oldest has its turn. */
static FL_NOINLINE struct fl_task *dig(struct fl_worker *w, int64_t now)
{
    struct fl_item item;
    w->dug = now;
    if (!fl_deque_oldest(&w->hot.deque_, &item))
        return NULL;
    struct fl_task *task = fl_item_task(w, &item);
    if (!task)
        fl_deque_push(&w->hot.deque_, &item); /* no memory for a descriptor; there is room, because one has just been taken */
    return task;
}

/* What there is to tell the kernel, and to hear from it. Many at once are cheaper, for the kernel and for the caches; but none waits for long. What has ended is heard of for
 * nothing if it is in the ring already; what the kernel keeps until it is called, and epoll, cost a system call, and are left to the next search if that is soon. */
static void ask_kernel(struct fl_worker *w, int64_t now)
{
    struct fl_ring *ring = &w->ring;
    bool due = now - w->asked >= ASK_EVERY, polls = fl_ring_polls(ring);
    uint32_t queued = fl_ring_queued(ring);
    if (queued >= MANY || (due && (queued != 0 || polls || fl_ring_wants_kick(ring)))) {
        w->asked = now;
        store_relaxed(&w->tells, queued + 1); /* hint: for who looks whether it is stalled */
        fl_ring_flush(ring);
        store_relaxed(&w->tells, 0); /* hint: as above */
    }
    if (due ? fl_ring_promising(ring) : !polls && fl_ring_ready(ring))
        fl_ring_reap(ring, true);
}

void fl_worker_hear(struct fl_worker *w)
{
    struct fl_task *task = fl_worker_task(w);
    fl_worker_set_task(w, NULL);         /* what the kernel takes is not its time, and what it wakes goes on here, and next */
    w->asked = load_relaxed(&w->looked); /* own: its own, and near enough */
    fl_ring_flush(&w->ring);
    if (fl_ring_promising(&w->ring))
        fl_ring_reap(&w->ring, true);
    if (load_relaxed(&w->wheel.count)) /* hint: its own */
        fl_wheel_fire(&w->wheel, fl_clock());
    fl_worker_set_task(w, task);
}

/* One that is stalled is told of, and what was woken there taken over: nobody may be idle for long who would. */
static void look_at_others(struct fl_worker *w, int64_t now)
{
    unsigned total = fl_total(w->runtime);
    for (unsigned i = 0; i < OTHERS && i < total; i++) {
        struct fl_worker *other = w->runtime->workers[w->next_other++ % total];
        if (other != w && fl_monitor_notice(w->runtime, other, now)) {
            fl_steal_relieve(w, other, now);
            return;
        }
    }
}

struct fl_task *fl_worker_look_round(struct fl_worker *w)
{
    if (load_relaxed(&w->beggar)) /* hint: it asks again */
        fl_steal_give(w);
    int64_t before = load_relaxed(&w->looked), now = fl_clock(), took = now - before; /* own: its own */
    if (unlikely(w->fifo)) {
        sched_yield(); /* tasks here may wait, by yielding, for what only another carrier on this CPU can do */
        now = fl_clock();
    }
    store_relaxed(&w->looked, now);                                                       /* hint: others see by it whether it is stalled */
    if (unlikely(took > LONG) && load_relaxed(&w->stall_of) == before && w->hot.current_) /* hint: it may be noticed too late */
        fl_worker_task(w)->flags |= FL_TASK_HOG;
    if (took < LOOK_EVERY / 2)
        w->budget_full = w->budget_full * 2 < BUDGET_MAX ? w->budget_full * 2 : BUDGET_MAX;
    else if (took > LOOK_EVERY)
        w->budget_full = w->budget_full / 4 > 1 ? w->budget_full / 4 : 1;
    store_relaxed(fl_atomic(int32_t, &w->hot.budget_), w->budget_full); /* hint: fl_worker_due */
    fl_panic_if(load_relaxed(&w->blocked),
                "a task has parked between filch_blocking_enter and filch_blocking_leave"); /* own: this worker's */
    if (++w->rounds % NOTICE_EVERY == 0)
        look_at_others(w, now);
    ask_kernel(w, now);
    fl_wheel_fire(&w->wheel, now);
    if (unlikely(load_relaxed(&w->duty) == FL_DUTY_REST)) /* hint: it looks again */
        fl_relief_hand_over(w);
    uint64_t ready = fl_ready_size_hint(&w->ready);
    w->turns = ready < TURNS_MAX ? (uint32_t)ready : TURNS_MAX;
    w->deque_turn = !w->deque_turn && fl_deque_size_hint(&w->hot.deque_) != 0;
    if (w->deque_turn) {
        w->turns = 0;
        w->met = false;
        if (ready != 0)
            fl_notify(w->runtime); /* others may have time for them */
        return NULL;
    }
    w->inject_turn = !w->inject_turn;
    struct fl_task *task = w->inject_turn ? fl_worker_injected(w) : fl_ready_pop(&w->ready);
    if (!task)
        task = w->inject_turn ? fl_ready_pop(&w->ready) : fl_worker_injected(w);
    if (!task && now - w->dug > DIG_EVERY)
        task = dig(w, now);
    if (fl_ready_size_hint(&w->ready) != 0)
        fl_notify(w->runtime); /* what was made ready here behind that task: it may be a long one */
    return task;
}

void fl_worker_put_aside(struct fl_worker *w, struct fl_task *task)
{
    fl_inject_push(&w->runtime->heavy, task);
    fl_notify(w->runtime);
}

static struct fl_task *from_outside(struct fl_worker *w, bool full)
{
    struct fl_task *task;
    while ((task = fl_inject_pop(&w->runtime->inject)) && unlikely(task->flags & FL_TASK_HOG) && !full)
        fl_worker_put_aside(w, task);
    return task;
}

/* In turn, so that none of them keeps the others waiting. */
struct fl_task *fl_worker_injected(struct fl_worker *w)
{
    bool full = fl_full_duty(w);
    struct fl_task *task = NULL;
    for (unsigned i = 0; !task && i < 3; i++) {
        unsigned source = w->source++ % 3;
        task = source == 0   ? fl_inject_pop(&w->pinned)
               : source == 1 ? from_outside(w, full)
               : full        ? fl_inject_pop(&w->runtime->heavy)
                             : NULL;
    }
    return task;
}

/* No memory for a descriptor: the item goes back, somebody else's end will free one. */
static FL_COLD void put_back(struct fl_worker *w, const struct fl_item *item)
{
    fl_deque_push(&w->hot.deque_, item); /* cannot fail: its slot has just been freed */
    sched_yield();
}

/* The item in hand belongs to another scope than the children that ended here last: that one is told first, and if its joiner waited for just that, it
 * goes before the item. Depth first keeps the number of stacks small. @return the joiner; the item is back in the deque then. */
static FL_NOINLINE struct fl_task *joiner_first(struct fl_worker *w, struct fl_item item)
{
    struct fl_task *joiner = fl_worker_tell(w);
    if (joiner)
        fl_deque_push(&w->hot.deque_, &item); /* cannot fail: its slot has just been freed */
    return joiner;
}

/* What lies below graves goes every other time, oldest first, in turn with the ready queue, where the callers are for whose forks the graves were dug. */
static FL_COLD struct fl_task *below_graves(struct fl_worker *w)
{
    struct fl_item item;
    w->graves_turn = !w->graves_turn;
    if (!w->graves_turn || !fl_deque_oldest(&w->hot.deque_, &item))
        return NULL;
    if (w->ended_scope) {
        struct fl_task *joiner = fl_worker_tell(w);
        if (joiner)
            fl_make_ready(joiner);
    }
    struct fl_task *task = fl_item_task(w, &item);
    if (!task)
        put_back(w, &item);
    return task;
}

/* The next task, or NULL when the runtime ends. */
FL_INLINE struct fl_task *next(struct fl_worker *w)
{
    struct fl_task *task = NULL;
    struct fl_item item;
    if (fl_worker_due(w)) {
        task = fl_worker_look_round(w);
    } else if (unlikely(w->turns > 0)) {
        w->turns--;
        task = fl_ready_pop(&w->ready);
    }
    if (likely(!task) && likely(fl_deque_next(&w->hot.deque_, &item))) {
        if (unlikely((uintptr_t)w->ended_scope != item.whose) && w->ended_scope && (task = joiner_first(w, item)))
            return task;
        task = item_task(w, &item);
        if (likely(task != NULL))
            return task;
        put_back(w, &(struct fl_item){item.fn, item.arg, item.whose, item.token});
    }
    if (!task && unlikely(fl_deque_size_hint(&w->hot.deque_) != 0) && (task = below_graves(w)))
        return task;
    if (w->ended_scope) {
        struct fl_task *joiner = fl_worker_tell(w);
        if (joiner && !task)
            return joiner;
        if (joiner)
            fl_make_ready(joiner);
    }
    if (!task)
        task = fl_ready_pop(&w->ready);
    return task ? task : fl_worker_search(w);
}

void fl_worker_loop(void)
{
    struct fl_worker *w = fl_self();
    fl_sanitizer_after(NULL);
    fl_after_switch(w);
    struct fl_task *task = fl_worker_task(w); /* a stack that was made for one task begins with it */
    for (;;) {
        if (!task)
            task = next(w);
        if (unlikely(!task))
            back_to_thread(w);
        fl_count(&w->counters.dispatched, 1);
        if (!(task->flags & FL_TASK_NEW) || (unlikely(task->sp != NULL) && w->stack != task->stack))
            resume(w, task);
        fl_worker_set_task(w, task);
        task->flags &= ~(uint32_t)FL_TASK_NEW;
        int result = task->fn(task->arg);
        w = fl_self();
        fl_worker_set_task(w, NULL);
        w = end(w, task, result);
        task = NULL;
    }
}

/* ---- life ---- */

static void thread_bounds(struct fl_worker *w)
{
    pthread_attr_t attr;
    void *low = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstack(&attr, &low, &size);
        pthread_attr_destroy(&attr);
    }
    w->thread_low = (uintptr_t)low;
    w->thread_high = (uintptr_t)low + size;
    w->thread_fiber = fl_sanitizer_thread();
}

void *fl_worker_main(void *arg)
{
    struct fl_worker *w = arg;
    struct filch_runtime *runtime = w->runtime;
    char name[32]; /* the kernel takes 15 characters */
    if (fl_is_relief(w))
        snprintf(name, sizeof name, "%.9s/r%u", runtime->name, w->index - runtime->count);
    else
        snprintf(name, sizeof name, "%s/%u", runtime->name, w->index);
    name[15] = 0;
    pthread_setname_np(pthread_self(), name);
    if (runtime->pin && !fl_is_relief(w))
        store_relaxed(&w->cpu, fl_topology_pin(&runtime->topology, w->index)); /* init: published by tid */
    w->fifo = (sched_getscheduler(0) & ~SCHED_RESET_ON_FORK) == SCHED_FIFO;
    filch_worker_tls_ = &w->hot;
    thread_bounds(w);
    w->err = &errno;
    store_release(&w->tid, (int)syscall(SYS_gettid)); /* [tid] pairs with start_threads */
    fl_futex_wake((_Atomic(uint32_t) *)&w->tid, INT32_MAX);
    w->dug = fl_clock();
    store_relaxed(&w->looked, w->dug); /* hint: as above */
    void *sp = fl_context_make(w->stack->top, fl_worker_loop);
    w->hot.floor_ = fl_stack_floor(w->stack);
    void *fake = NULL;
    (void)fake;
    fl_sanitizer_before(&fake, w->stack->low, w->stack->top, w->stack->sanitizer);
    fl_context_switch(&w->thread_sp, sp);
    fl_sanitizer_after(fake);
    filch_worker_tls_ = &fl_no_worker.hot;
    return NULL;
}

/* Each deque of a runtime has a share of the indices of its own. A theft and a pop of the last item use one up for good. With 64 workers a share is 2^51 of them: at
 * 10^8 a second it lasts for 8 months; after that a worker comes to where its neighbour began, and two forks have one token only if one of them has
 * been under way since then. */
static int64_t first_index(struct filch_runtime *runtime, unsigned index)
{
    return INT64_MAX / 2 / (int64_t)(runtime->count + runtime->relief_max) * (int64_t)index & -FILCH_STEP_;
}

int fl_worker_new(struct filch_runtime *runtime, unsigned index, struct fl_worker **ret_worker)
{
    struct fl_worker *w = aligned_alloc(_Alignof(struct fl_worker), sizeof *w);
    if (!w)
        return -ENOMEM;
    *w = (struct fl_worker){.runtime = runtime,
                            .index = index,
                            .host = index % runtime->count,
                            .counted = index < runtime->count,
                            .random = 2463534242u + index * 7919u,
                            .cpu = -1};
    w->hot.budget_ = w->budget_full = 8;
    w->pool.pool = &runtime->pool;
    w->hot.deque_.fenced_ = !load_relaxed(&fl_barrier_asymmetric); /* init: chosen before any worker is made */
    w->hot.idle_ = w->hot.deque_.fenced_ ? &somebody_sleeps : (const uint64_t *)&runtime->idle.word;
    w->ring.wake_fd = -1;
    fl_stack_cache_init(&w->stacks, runtime->stacks);
    fl_wheel_init(&w->wheel, fl_clock());
    int r = fl_ring_init(&w->ring, &runtime->backend);
    if (r == 0 && !(fl_deque_init(&w->hot.deque_, first_index(runtime, index)) && fl_ready_init(&w->ready) && fl_steal_init(w) == 0 &&
                    (w->stack = fl_stack_get(&w->stacks, runtime->stack_class)) &&
                    (w->spare = fl_pool_get(&w->pool)))) /* so that a worker can always run one task at a time */
        r = -ENOMEM;
    if (r < 0) { /* a relief is tried again: nothing is left behind */
        if (w->stack)
            fl_stack_put(&w->stacks, w->stack);
        fl_stack_cache_fini(&w->stacks);
        fl_worker_free(w);
        return r;
    }
    *ret_worker = w;
    return 0;
}

void fl_worker_free(struct fl_worker *w)
{
    if (!w)
        return;
    fl_ring_fini(&w->ring);
    fl_deque_fini(&w->hot.deque_);
    fl_ready_fini(&w->ready);
    free(w->victims);
    free(w);
}
