/* SPDX-License-Identifier: MIT */
/* Scopes: who owns whom. Spawn and join.
 *
 * A scope lives in the frame of the task that opened it, its owner. Children are counted, not listed (sched/join.h); the joiner runs those that nobody has taken, in place, and
 * parks for the rest. How a cancel finds what is parked in a scope is cancel.c.
 *
 * Invariants
 *   1. A scope is not left before its children have ended.
 *   2. owner->head.inner_ is the innermost scope the owner has open; parent_ leads outwards to the runtime's root scope.
 *   3. A child that is run in place goes by its parent's descriptor, unless it was spawned with one of its own, and belongs to the innermost scope.
 *
 * Memory ordering
 *   [told]  sched/join.h. */
#include "base/panic.h"
#include "machine/context.h"
#include "sched/join.h"
#include "sync/case.h"
#include "sync/scope.h"

#include <errno.h>

#define SPAWN_BOUND 1024

/* ---- the block ---- */

void filch_scope_outside_(void)
{
    fl_panic("a scope outside a task: use filch_run, or filch_submit from a plain thread");
}

void filch_scope_leave_slow_(filch_scope *scope)
{
    if (fl_join_missing(scope) != 0) {
        fl_scope_cancel(scope, -ECANCELED);
        filch_join(scope);
    }
    fl_scope_withdraw(scope);
    scope->owner_->inner_ = scope->parent_;
}

void filch_scope_collect(filch_scope *scope)
{
    or_acq_rel(fl_scope_state(scope), FL_SCOPE_COLLECT); /* own: before there are children */
}

/* ---- spawn ---- */

/* Moves what ended elsewhere from one count to the other, so that mine_ is what the owner would wait for. */
static void settle(filch_scope *scope)
{
    int64_t ended = load_acquire(fl_join_others(scope)); /* [told] pairs with fl_join_told */
    if (ended < 0) {
        add_acq_rel(fl_join_others(scope), -ended); /* [told] later ends are counted from here */
        scope->mine_ += FILCH_CHILD_ * ended;
    }
}

void filch_notify_(void)
{
    fl_notify(fl_self()->runtime);
}

/* A spawner with SPAWN_BOUND unstarted children lets them go first. Called when the deque's bound is reached; sets the next. */
static void let_them_go_first(struct fl_worker *w, filch_scope *scope)
{
    settle(scope);
    int64_t unstarted;
    while ((unstarted = fl_deque_size_hint(&w->hot.deque_)) >= SPAWN_BOUND && fl_join_mine(scope) >= SPAWN_BOUND && fl_park_yield(w)) {
        w = fl_self();
        settle(scope);
    }
    int64_t mine = fl_join_mine(scope) < unstarted ? fl_join_mine(scope) : unstarted;
    fl_deque_bound(&w->hot.deque_, mine < SPAWN_BOUND ? SPAWN_BOUND - mine : SPAWN_BOUND / 16);
}

static void begin_on_own_stack(struct fl_task *task)
{
    task->stack->task = task;
    task->low = fl_stack_floor(task->stack);
    task->why = NULL;
    task->sp = fl_context_make(task->stack->top, fl_worker_loop);
    task->flags |= FL_TASK_PARKED;
}

/* A child with a descriptor of its own from the start. @return 0 or -errno. */
static int spawn_task(struct fl_worker *w, filch_scope *scope, const filch_task_options *options, filch_fn *fn, void *arg)
{
    bool thread = options->isolated || w->runtime->model == FILCH_MODEL_11, outside = w->hot.kind_ == FL_KIND_THREAD;
    int cls = options->stack_size ? fl_stack_class(options->stack_size) : 0, error = 0;
    if (cls < 0)
        return cls;
    struct fl_task *task = thread || outside ? fl_outside_get(w->runtime) : fl_pool_get(&w->pool);
    if (!task)
        return -ENOMEM;
    fl_task_begin(task, w->runtime, scope);
    task->fn = fn;
    task->arg = arg;
    task->name = options->name;
    task->flags = FL_TASK_NEW;
    task->sp = NULL;
    if (thread) {
        if ((error = fl_thread_spawn(w->runtime, task, options->stack_size)) < 0)
            fl_outside_put(w->runtime, task);
        return error;
    }
    if (cls > (int)w->runtime->stack_class) {
        task->stack = outside ? fl_outside_stack(w->runtime, (unsigned)cls) : fl_stack_get(&w->stacks, (unsigned)cls);
        if (!task->stack)
            error = -ENOMEM;
        else
            begin_on_own_stack(task);
    }
    if (!error && outside) { /* an isolated task has no deque */
        fl_push_from_outside(w->runtime, task);
    } else if (!error && !fl_deque_push(&w->hot.deque_, &(struct fl_item){.whose = (uintptr_t)task | FL_WHOSE_TASK}))
        error = -ENOMEM;
    if (!error)
        return 0;
    if (task->flags & FL_TASK_PARKED)
        fl_stack_put(&w->stacks, task->stack);
    if (outside)
        fl_outside_put(w->runtime, task);
    else
        fl_pool_put(&w->pool, task);
    return error;
}

static int spawn(filch_scope *scope, const filch_task_options *options, filch_fn *fn, void *arg)
{
    struct fl_worker *w = fl_self();
    fl_panic_if(!w->hot.current_, "filch_spawn outside a task: use filch_submit");
    bool mine = scope->owner_ == w->hot.current_,
         bound = load_relaxed(FL_DEQUE_BOTTOM(&w->hot.deque_)) >= w->hot.deque_.limit_; /* own: this worker's */
    if (mine)
        scope->mine_ += FILCH_CHILD_;
    else
        add_acq_rel(fl_join_others(scope), 1); /* [told] the caller is a child of it, so it can't be joined before this */
    int error = 0;
    if (options->name || options->stack_size || options->inherit || options->isolated || w->hot.kind_ == FL_KIND_THREAD)
        error = spawn_task(w, scope, options, fn, arg);
    else if (!fl_deque_push(&w->hot.deque_, &(struct fl_item){.fn = (uintptr_t)fn, .arg = (uintptr_t)arg, .whose = (uintptr_t)scope}))
        error = -ENOMEM;
    if (error) {
        if (mine)
            scope->mine_ -= FILCH_CHILD_;
        else
            sub_acq_rel(fl_join_others(scope), 1); /* [told] as if it had never been */
        return error;
    }
    fl_notify(w->runtime);
    if (mine && bound && w->hot.kind_ == FL_KIND_WORKER)
        let_them_go_first(w, scope);
    return 0;
}

int filch_spawn_slow_(filch_scope *scope, filch_fn *fn, void *arg)
{
    return spawn(scope, &(filch_task_options){0}, fn, arg);
}

int filch_spawn_with(filch_scope *scope, const filch_task_options *options, filch_fn *fn, void *arg)
{
    static const filch_task_options none;
    if (!options)
        options = &none;
    if (!options->inherit)
        return spawn(scope, options, fn, arg);
    struct fl_heir *heir;
    int r = fl_locals_bequeath(fn, arg, &heir);
    if (r == 0)
        r = spawn(scope, options, fl_locals_run_heir, heir);
    if (r < 0)
        fl_locals_disinherit(heir);
    return r;
}

/* ---- join ---- */

const struct fl_why fl_why_join = {.name = "join"};

/* The commit of a joiner's park. */
static struct fl_task *joiner_parked(void *arg)
{
    struct filch_scope *scope = arg;
    struct fl_task *owner = fl_scope_owner(scope); /* read before: once the count is published the scope may be gone */
    return fl_join_wait(scope) ? owner : NULL;
}

static bool joiner_over(void *arg)
{
    return fl_join_missing(arg) == 0;
}

/* Parks until no child is left. */
static int wait_for_children(struct filch_scope *scope)
{
    if (fl_join_missing(scope) != 0) {
        struct fl_worker *w = fl_self();
        if (unlikely(w->hot.kind_ == FL_KIND_THREAD)) {
            struct fl_task *task = fl_worker_task(w);
            store_relaxed(&task->futex, 0); /* init: nobody knows of the wait yet */
            if (!fl_join_wait(scope))
                fl_park_thread(task, &fl_why_join, scope);
        } else {
            fl_park_surely(w, joiner_parked, scope, &fl_why_join, scope, joiner_over);
        }
    }
    fl_join_reset(scope);
    int32_t result = load_relaxed(fl_atomic(int32_t, &scope->result_));   /* [told] written before the count of the child that failed */
    if (result && load_relaxed(fl_scope_state(scope)) & FL_SCOPE_COLLECT) /* own: set before there were children */
        store_relaxed(fl_atomic(int32_t, &scope->result_), 0);            /* own: no child is left that could fail */
    return result;
}

/* A named child has a descriptor of its own; without a stack of its own it runs in place as well. */
static void run_task(struct fl_worker *w, struct filch_scope *scope, struct fl_task *task)
{
    scope->mine_ -= FILCH_CHILD_;
    task->flags &= ~(uint32_t)FL_TASK_NEW;
    fl_worker_set_task(w, task);
    int result = task->fn(task->arg);
    if (unlikely(task->flags & FL_TASK_LOCALS))
        fl_locals_end(task);
    w = fl_self();
    fl_worker_set_task(w, fl_scope_owner(scope));
    if (task->flags & FL_TASK_LINKED)
        fl_scope_unlink(task);
    if (task->flags & FL_TASK_PARKED)
        store_relaxed(fl_atomic(void *, &task->stack->task),
                      fl_scope_owner(scope)->flags & FL_TASK_PARKED ? fl_scope_owner(scope) : NULL); /* hint: dumps look at it */
    fl_pool_put(&w->pool, task);
    if (result < 0)
        fl_scope_child_failed(scope, result);
}

/* A child that ran in place in the owner's name has ended: what was local to it ends too. */
FL_INLINE void end_locals(struct filch_scope *scope)
{
    struct fl_task *task = fl_scope_owner(scope);
    if (unlikely(task->flags & FL_TASK_LOCALS) && fl_locals_belong(task, scope)) {
        fl_locals_end(task);
        and_acq_rel(fl_scope_state(scope), ~FL_SCOPE_LOCALS); /* own: only the owner sets it */
    }
}

/* One that filch_join has run in place. */
void filch_child_failed_(filch_scope *scope, int result)
{
    scope->mine_ &= ~FILCH_JOINING_;
    end_locals(scope); /* before its parent's scope is cancelled for it, as everywhere */
    fl_scope_child_failed(scope, result);
}

/* Runs a child that has no descriptor, in the owner's name. */
static void run_item(struct filch_scope *scope, const struct fl_item *item)
{
    scope->mine_ = (scope->mine_ - FILCH_CHILD_) | FILCH_JOINING_;
    int result = ((filch_fn *)item->fn)((void *)item->arg);
    scope->mine_ &= ~FILCH_JOINING_;
    end_locals(scope);
    if (result < 0)
        fl_scope_child_failed(scope, result);
}

/* Takes a child of `scope` from the worker's deque and runs it here. @return false: the newest item is none. */
static bool run_child(struct fl_worker *w, struct filch_scope *scope)
{
    struct fl_item item;
    if (!fl_deque_pop(&w->hot.deque_, &item))
        return false;
    struct fl_task *owner = fl_scope_owner(scope), *task = (struct fl_task *)(item.whose & ~FL_WHOSE_MASK);
    bool plain = item.whose == (uintptr_t)scope, named = item.whose & FL_WHOSE_TASK && task->scope == scope && !task->sp;
    if (!plain && !named) {
        fl_deque_push(&w->hot.deque_, &item); /* cannot fail: its slot has just been freed */
        fl_notify(w->runtime);                /* for a moment it was not to be seen */
        return false;
    }
    struct fl_locals *aside = fl_locals_set_aside(owner);
    if (plain)
        run_item(scope, &item);
    else
        run_task(w, scope, task);
    fl_locals_put_back(owner, aside);
    return true;
}

/* Whether the owner's stack has room for a child in place; its floor doesn't tell while it has task-local values. */
static bool has_room(struct fl_worker *w, struct filch_scope *scope)
{
    if (likely(!(fl_scope_owner(scope)->flags & FL_TASK_LOCALS)) || w->hot.kind_ != FL_KIND_WORKER)
        return !fl_deep(w);
    return (uintptr_t)__builtin_frame_address(0) > fl_stack_floor(w->stack);
}

int filch_join_slow_(filch_scope *scope)
{
    struct fl_worker *w = fl_self();
    if (w->hot.current_ != scope->owner_)
        fl_misuse("filch_join by a task that did not open the scope", "scope", scope, fl_scope_owner(scope));
    scope->mine_ &= ~FILCH_JOINING_;
    end_locals(scope);
    w = fl_self();
    if (w->hot.kind_ == FL_KIND_WORKER && fl_worker_spent(w)) {
        fl_park_round(w);
        w = fl_self();
    }
    /* A child in place belongs to the innermost scope; one that is not pinned does not run on the stack of one that is. */
    if (scope->owner_->inner_ == scope && has_room(w, scope) && !(fl_scope_owner(scope)->flags & FL_TASK_PINNED))
        while (scope->mine_ >= FILCH_CHILD_) {
            if (!run_child(w, scope))
                return wait_for_children(scope);
            w = fl_self();
            if (fl_worker_due(w) && w->hot.kind_ == FL_KIND_WORKER)
                return filch_join_slow_(scope);
        }
    return wait_for_children(scope);
}

/* ---- as a case of a select ---- */

static struct fl_join_selector *selector_of(filch_case *c)
{
    return (struct fl_join_selector *)(void *)c->room_;
}

static bool has_ended(filch_case *c)
{
    struct filch_scope *scope = c->object_;
    if (!fl_current())
        return false; /* a plain thread: filch_select says so */
    if (scope->owner_ != fl_self()->hot.current_)
        fl_misuse("filch_case_scope of a scope that the caller did not open", "scope", scope, fl_scope_owner(scope));
    c->result = 0;
    return fl_join_missing(scope) == 0;
}

static int stand_for_end(filch_case *c, struct fl_task *task, int32_t won)
{
    struct filch_scope *scope = c->object_;
    struct fl_join_selector *selector = selector_of(c);
    selector->task = task;
    selector->won = won;
    store_relaxed(&selector->done, false); /* init: published by the addition */
    scope->selector_ = selector;
    if (!fl_join_select(scope))
        return 0;
    fl_join_reset(scope);
    return -EAGAIN;
}

static void leave_end(filch_case *c, bool won)
{
    struct filch_scope *scope = c->object_;
    c->result = 0;
    if (!won && fl_join_take_back(scope, FL_JOINER_SELECTS))
        return;
    for (unsigned turn = 0; !won && !load_acquire(&selector_of(c)->done); turn = fl_lock_pause(turn)) /* [selected] */
        ;
    fl_join_reset(scope); /* that was all */
}

const struct fl_case_kind fl_case_scope = {has_ended, has_ended, stand_for_end, leave_end};
