/* SPDX-License-Identifier: MIT */
/* Scopes: spawn, join, and the tree along which a cancel travels.
 *
 * A scope lives in the frame of the task that opened it, its owner. The hot half of it is counts (sched/join.h); the slow half (list of parked
 * tasks, list of inner scopes, deadline) is not even initialised until somebody in it parks in a call that can be cancelled.
 *
 *   owner_  parent_  mine_  others_  state_  result_   |   cancelled_  lock_  pins_  tasks_  scopes_  sibling_  timer_
 *   ------------- hot: five stores -----------------       ------------- valid once state_ has READY --------------
 *
 * The tree. A task that parks for the first time enters the list of the scope it is a child of; the scopes between its innermost one and the first
 * that is linked already enter the list of their parent. So a task that never parks is in no list, and a cancel, which only has to reach parked
 * calls, finds every one of them: it marks each scope, and then claims the wait of each task in it and of each scope's
 * owner. What parks later sees the mark.
 *
 * Invariants
 *   1. A scope is not left before mine_ + others_ = 0.
 *   2. owner->head.inner_ is the innermost scope the owner has open; parent_ leads outwards to the runtime's root scope.
 *   3. tasks_ holds every task with FL_TASK_LINKED whose scope this is; scopes_ every scope with LINKED whose parent_ this is.
 *   4. A scope is cancelled at most once; cancelled_ goes from 0 to its code under the lock.
 *   5. While pins_ > 0 a cancel uses the scope's memory: leaving waits for it. So the owner may leave as soon as the cancel wakes it.
 *   6. A shield is a scope that is in no list, with what is in it: no cancel comes down to it. While its owner is inside, the owner is passed over by the
 *      cancels of the scopes outside that know of it: those of its own are SHADED, and as a child of another it is `shaded`.
 *
 * Memory ordering
 *   [ready]   state_ gets READY with release after the slow half is initialised; acquired before it is used.
 *   [cancel]  a cancel writes cancelled_, runs the heavy barrier and then reads the wake words; a parking task writes its wake word, light barrier, reads
 *             cancelled_. One of them sees the other (base/barrier.h).
 *   [told]    sched/join.h.
 *   The lists are under lock_. Lock order: one scope's lock at a time; ring locks and ready queues inside it.
 *
 * Rejected: every child in a list of its scope (a locked list operation a spawn); finding parked tasks by walking all stacks (a server's every deadline
 * would walk a million of them); checking the whole chain of scopes at each park (depth times parks). */
#include "sync/case.h"
#include "sync/wait.h"

#include "base/panic.h"
#include "machine/clock.h"
#include "machine/context.h"
#include "sched/join.h"

#include <errno.h>

#define READY 1u               /* the slow half is initialised */
#define INIT 2u                /* somebody initialises it */
#define LINKED 4u              /* in the parent's list */
#define TIMER 8u               /* has a deadline */
#define COLLECT 16u            /* a failure cancels nobody */
#define SHIELD 32u             /* cancels from outside end here */
#define LOCALS FL_SCOPE_LOCALS /* a child that runs in place has task-local values */
#define SHADED 64u             /* the owner is in a shield further in; under the lock */

#define SPAWN_BOUND 1024
#define WAKE_PART 32 /* tasks that a cancel wakes before it lets others at the list */

_Static_assert(sizeof(((struct filch_scope *)0)->timer_) == sizeof(struct fl_timer), "the public header leaves room for a timer");
_Static_assert(sizeof(struct fl_list) == sizeof(struct filch_link_), "the public header leaves room for list nodes");

static _Atomic(uint32_t) *state_of(struct filch_scope *scope)
{
    return fl_atomic(uint32_t, &scope->state_);
}

static _Atomic(int32_t) *cancelled_of(struct filch_scope *scope)
{
    return fl_atomic(int32_t, &scope->cancelled_);
}

static _Atomic(void *) *canceller_of(struct filch_scope *scope)
{
    return fl_atomic(void *, &scope->canceller_);
}

static struct fl_lock *lock_of(struct filch_scope *scope)
{
    return (struct fl_lock *)&scope->lock_;
}

static _Atomic(uint32_t) *pins_of(struct filch_scope *scope)
{
    return fl_atomic(uint32_t, &scope->pins_);
}

static struct fl_list *node(struct filch_link_ *link)
{
    return (struct fl_list *)link;
}

static struct fl_timer *timer_of(struct filch_scope *scope)
{
    return (struct fl_timer *)(void *)&scope->timer_;
}

static struct fl_task *owner_of(struct filch_scope *scope)
{
    return fl_container_of(scope->owner_, struct fl_task, head);
}

/* ---- the slow half ---- */

static void deadline_passed(struct fl_timer *timer)
{
    struct filch_scope *scope = (struct filch_scope *)((char *)timer - offsetof(struct filch_scope, timer_));
    fl_scope_cancel(scope, -ETIMEDOUT);
    fl_timer_done(timer);
}

static FL_COLD void prepare_slow(struct filch_scope *scope)
{
    if (or_acq_rel(state_of(scope), INIT) & INIT) {                               /* [ready] somebody else initialises it: wait for READY */
        for (unsigned turn = 0; !(load_acquire(state_of(scope)) & READY); turn++) /* [ready] pairs with the store below */
            fl_lock_pause(turn);
        return;
    }
    scope->lock_ = 0;
    scope->pins_ = 0;
    store_relaxed(cancelled_of(scope), 0);    /* init: published by READY */
    store_relaxed(canceller_of(scope), NULL); /* init: published by READY */
    fl_list_init(node(&scope->tasks_));
    fl_list_init(node(&scope->scopes_));
    fl_list_init(node(&scope->sibling_));
    *timer_of(scope) = (struct fl_timer){.fire = deadline_passed};
    or_acq_rel(state_of(scope), READY); /* [ready] pairs with prepare */
}

FL_INLINE void prepare(struct filch_scope *scope)
{
    if (unlikely(!(load_acquire(state_of(scope)) & READY))) /* [ready] pairs with prepare_slow */
        prepare_slow(scope);
}

void fl_scope_root(struct filch_scope *scope)
{
    prepare(scope);
    or_acq_rel(state_of(scope), LINKED); /* init: there is nothing around it */
}

/* ---- cancel ---- */

static void wake_cancelled(struct fl_task *task, int code)
{
    if (fl_wake(task, code, true))
        return;
    uint64_t waits = load_acquire(&task->waits); /* [waits] pairs with the operation's store before it is queued (io/op.c) */
    if (waits)
        task->runtime->hooks->cancel_operation(task, waits);
}

/* Marks `scope` on behalf of the cancel of `top`. @return false: it was cancelled before, and has a canceller of its own */
static bool mark(struct filch_scope *scope, struct filch_scope *top, int code)
{
    prepare(scope);
    fl_lock_take(lock_of(scope));
    bool first = load_relaxed(cancelled_of(scope)) == 0; /* own: the lock */
    if (first) {
        store_relaxed(canceller_of(scope), top);  /* own: its canceller */
        store_relaxed(cancelled_of(scope), code); /* [cancel] pairs with fl_wait_begin */
    }
    fl_lock_give(lock_of(scope));
    return first;
}

enum pass { MARK, WAKE };

/* The first inner scope that this pass of the cancel of `top` has not been to, pinned; or NULL. What has been looked at goes to the end of the list, so that the
 * next call begins with what has not. */
static struct filch_scope *pin_next(struct filch_scope *scope, struct filch_scope *top, enum pass pass)
{
    struct filch_scope *found = NULL;
    struct fl_list *head = node(&scope->scopes_), *first = NULL;
    fl_lock_take(lock_of(scope));
    while (!found && !fl_list_empty(head) && head->next != first) {
        struct fl_list *at = head->next;
        struct filch_scope *inner = fl_container_of((struct filch_link_ *)at, struct filch_scope, sibling_);
        fl_list_remove(at);
        fl_list_append(head, at);
        first = first ? first : at;
        if (pass == MARK ? load_relaxed(cancelled_of(inner)) == 0      /* hint: marking decides */
                         : load_relaxed(canceller_of(inner)) == top) { /* own: its canceller */
            add_relaxed(pins_of(inner), 1);                            /* own: the parent's lock keeps it from leaving until it is pinned */
            found = inner;
        }
    }
    fl_lock_give(lock_of(scope));
    return found;
}

/* In parts, so that tasks which end meanwhile need not wait for a million others to be woken. What has been looked at goes behind `end`. */
static void wake_all(struct filch_scope *scope)
{
    struct fl_list end, *tasks = node(&scope->tasks_);
    int code = load_relaxed(cancelled_of(scope)); /* own: its canceller */
    fl_lock_take(lock_of(scope));
    fl_list_append(tasks, &end);
    for (unsigned n = 1; tasks->next != &end; n++) {
        struct fl_list *at = tasks->next;
        struct fl_task *task = fl_container_of(at, struct fl_task, link);
        fl_list_remove(at);
        fl_list_append(tasks, at);
        __builtin_prefetch(fl_container_of(tasks->next, struct fl_task, link)); /* a million tasks are not in the cache */
        if (!task->shaded)
            wake_cancelled(task, code);
        if (n % WAKE_PART == 0) {
            fl_lock_give(lock_of(scope));
            fl_relax();
            fl_lock_take(lock_of(scope));
        }
    }
    fl_list_remove(&end);
    if (!(load_relaxed(state_of(scope)) & SHADED)) /* own: the lock */
        wake_cancelled(owner_of(scope), code);
    fl_lock_give(lock_of(scope));
}

/* Down the tree without recursion: scopes nest as deep as tasks do. `at` stays pinned while its inner scopes are dealt with; on the way
 * up parent_ leads back. */
static void walk(struct filch_scope *top, int code, enum pass pass)
{
    struct filch_scope *at = top;
    for (;;) {
        struct filch_scope *inner = pin_next(at, top, pass);
        if (inner) {
            if (pass == WAKE || mark(inner, top, code))
                at = inner;
            else
                sub_release(pins_of(inner), 1); /* [pin] pairs with filch_scope_leave_slow_ */
            if (pass == WAKE)
                store_relaxed(canceller_of(inner), NULL); /* own: its canceller */
            continue;
        }
        if (pass == WAKE)
            wake_all(at);
        if (at == top)
            return;
        struct filch_scope *up = at->parent_;
        sub_release(pins_of(at), 1); /* [pin] pairs with filch_scope_leave_slow_ */
        at = up;
    }
}

/* All are marked before anybody is woken: so one heavy barrier does for the whole tree, and who is woken finds every scope around it marked. What enters the tree
 * meanwhile is told by link_scope; what leaves it need not be. */
void fl_scope_cancel(struct filch_scope *top, int code)
{
    prepare(top);
    add_relaxed(pins_of(top), 1); /* own: the owner has not left it yet, and won't before it is told or a child ends */
    if (mark(top, top, code)) {
        walk(top, code, MARK);
        fl_barrier_heavy(); /* [cancel] pairs with fl_wait_begin */
        walk(top, code, WAKE);
    }
    sub_release(pins_of(top), 1); /* [pin] pairs with filch_scope_leave_slow_ */
}

void filch_cancel(filch_scope *scope)
{
    fl_scope_cancel(scope, -ECANCELED);
}

/* ---- the tree ---- */

/* Enters `scope` into its parent's list, once. */
static void link_scope(struct filch_scope *scope)
{
    prepare(scope);
    if (or_acq_rel(state_of(scope), LINKED) & LINKED) /* [link] who sets the bit links it */
        return;
    struct filch_scope *parent = scope->parent_;
    prepare(parent);
    fl_lock_take(lock_of(parent));
    fl_list_append(node(&parent->scopes_), node(&scope->sibling_));
    int code = load_relaxed(cancelled_of(parent)); /* own: the lock */
    fl_lock_give(lock_of(parent));
    if (code)
        fl_scope_cancel(scope, code);
}

static void unlink_scope(struct filch_scope *scope)
{
    struct filch_scope *parent = scope->parent_;
    fl_lock_take(lock_of(parent));
    fl_list_remove(node(&scope->sibling_));
    fl_lock_give(lock_of(parent));
}

/* Makes a task that is about to park known to every scope around it. */
static FL_NOINLINE void enlist_slow(struct fl_task *task)
{
    if (!(task->flags & FL_TASK_LINKED)) {
        struct filch_scope *outer = task->scope;
        prepare(outer);
        fl_lock_take(lock_of(outer));
        task->flags |= FL_TASK_LINKED;
        fl_list_append(node(&outer->tasks_), &task->link);
        fl_lock_give(lock_of(outer));
    }
    struct filch_scope *scope = task->head.inner_;
    for (; !(load_acquire(state_of(scope)) & (LINKED | SHIELD)); scope = scope->parent_) /* [link] */
        link_scope(scope);
}

void fl_scope_unlink(struct fl_task *task)
{
    fl_lock_take(lock_of(task->scope));
    fl_list_remove(&task->link);
    fl_lock_give(lock_of(task->scope));
}

void fl_enlist(struct fl_task *task)
{
    if (unlikely(!(task->flags & FL_TASK_LINKED) || !(load_acquire(state_of(task->head.inner_)) & (LINKED | SHIELD)))) /* [link] */
        enlist_slow(task);
}

void fl_wait_begin(struct fl_task *task)
{
    struct filch_scope *inner = task->head.inner_;
    if (!inner) { /* a plain thread is in no scope */
        fl_wake_arm(task, false);
        return;
    }
    fl_enlist(task);
    fl_wake_arm(task, true);
    fl_barrier_light();                           /* [cancel] pairs with fl_scope_cancel */
    int code = load_relaxed(cancelled_of(inner)); /* [cancel] the read behind the barrier */
    bool saved;
    if (unlikely(code != 0))
        fl_wake_claim(task, code, true, &saved);
}

bool fl_wait_begin_late(struct fl_task *task, bool *ret_mine)
{
    fl_wake_arm_saved(task);
    fl_barrier_light();                                       /* [cancel] pairs with fl_scope_cancel */
    int code = load_relaxed(cancelled_of(task->head.inner_)); /* [cancel] the read behind the barrier */
    uint32_t seen;
    if (likely(code == 0))
        return true;
    *ret_mine = fl_wake_swap(task, code, true, &seen);
    return false;
}

int fl_scope_cancelled(struct fl_task *task)
{
    for (struct filch_scope *scope = task->head.inner_; scope; scope = scope->parent_) {
        uint32_t state = load_acquire(state_of(scope)); /* [ready] pairs with prepare_slow */
        if (!(state & READY))
            continue;
        int code = load_acquire(cancelled_of(scope)); /* [cancel] */
        if (code || state & (LINKED | SHIELD))
            return code; /* a linked scope has been told of whatever was cancelled around it; a shield is not to know */
    }
    return 0;
}

int filch_cancelled(void)
{
    struct fl_task *task = fl_current();
    return task ? fl_scope_cancelled(task) : 0;
}

void fl_scope_child_failed(struct filch_scope *scope, int result)
{
    if (!scope->parent_)
        return; /* the runtime's root: what was submitted fails alone */
    int32_t none = 0;
    if (cas_acq_rel(fl_atomic(int32_t, &scope->result_), &none, result)) /* [told] the joiner reads it after the count */
        if (!(load_relaxed(state_of(scope)) & COLLECT))                  /* own: set before there were children */
            fl_scope_cancel(scope, -ECANCELED);
}

/* ---- the block ---- */

void filch_scope_outside_(void)
{
    fl_panic("a scope outside a task: use filch_run, or filch_submit from a plain thread");
}

static void arm_deadline(struct filch_scope *scope, int64_t deadline)
{
    if (deadline == FILCH_NEVER)
        return;
    prepare(scope);
    timer_of(scope)->when = deadline;
    or_acq_rel(state_of(scope), TIMER); /* own: leaving looks at it */
    if (deadline <= fl_clock())
        fl_scope_cancel(scope, -ETIMEDOUT);
    else
        fl_timer_start(owner_of(scope), timer_of(scope), deadline);
}

void filch_scope_enter_until_(filch_scope *scope, int64_t deadline)
{
    filch_scope_enter_(scope);
    arm_deadline(scope, deadline);
}

/* The scopes around a shield no longer know of its owner, or know of it again: its own ones, up to the next shield, which has seen to the rest, and the one that it is
 * a child of. */
static void shade(struct filch_scope *shield, bool shaded)
{
    struct fl_task *task = owner_of(shield);
    struct filch_scope *at = shield->parent_;
    for (; at->owner_ == shield->owner_; at = at->parent_) {
        prepare(at);
        fl_lock_take(lock_of(at));
        if (shaded)
            or_acq_rel(state_of(at), SHADED); /* own: the lock */
        else
            and_acq_rel(state_of(at), ~SHADED); /* own: the lock */
        fl_lock_give(lock_of(at));
        if (load_relaxed(state_of(at)) & SHIELD) /* own: the owner sets it */
            return;
    }
    prepare(task->scope);
    fl_lock_take(lock_of(task->scope));
    task->shaded = shaded;
    fl_lock_give(lock_of(task->scope));
}

void filch_scope_leave_slow_(filch_scope *scope)
{
    if (fl_join_missing(scope) != 0) {
        fl_scope_cancel(scope, -ECANCELED);
        filch_join(scope);
    }
    uint32_t state = load_acquire(state_of(scope)); /* [ready] pairs with prepare_slow */
    if (state & TIMER)
        fl_timer_remove(timer_of(scope));
    if (state & LINKED)
        unlink_scope(scope);
    if (state & READY)
        for (unsigned turn = 0; load_acquire(pins_of(scope)) != 0; turn = fl_lock_pause(turn)) /* [pin] pairs with fl_scope_cancel */
            ;
    scope->owner_->inner_ = scope->parent_;
    if (state & SHIELD)
        shade(scope, false);
}

void filch_scope_collect(filch_scope *scope)
{
    or_acq_rel(state_of(scope), COLLECT); /* own: before there are children */
}

void filch_shield_enter_(filch_scope *scope, int64_t deadline)
{
    filch_scope_enter_(scope);
    prepare(scope);
    or_acq_rel(state_of(scope), SHIELD); /* [link] it counts as linked, but is in no list */
    shade(scope, true);
    arm_deadline(scope, deadline);
}

int64_t filch_deadline(void)
{
    struct fl_task *task = fl_current();
    int64_t earliest = FILCH_NEVER;
    for (struct filch_scope *scope = task ? task->head.inner_ : NULL; scope; scope = scope->parent_) {
        uint32_t state = load_acquire(state_of(scope)); /* [ready] pairs with prepare_slow */
        if (state & TIMER && timer_of(scope)->when < earliest)
            earliest = timer_of(scope)->when;
        if (state & SHIELD)
            break;
    }
    return earliest;
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

/* A child with a descriptor of its own from the start. @return 0 or -errno. */
static int spawn_task(struct fl_worker *w, filch_scope *scope, const filch_task_options *options, filch_fn *fn, void *arg)
{
    bool thread = w->hot.kind_ == FL_KIND_THREAD;
    int cls = options->stack_size ? fl_stack_class(options->stack_size) : 0, error = 0;
    if (cls < 0)
        return cls;
    struct fl_task *task = thread ? fl_outside_get(w->runtime) : fl_pool_get(&w->pool);
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
        task->stack = fl_stack_get(&w->stacks, (unsigned)cls);
        if (task->stack) {
            task->stack->task = task;
            task->low = fl_stack_floor(task->stack);
            task->why = NULL;
            task->sp = fl_context_make(task->stack->top, fl_worker_loop);
            task->flags |= FL_TASK_PARKED;
        }
    }
    struct fl_item item = {.whose = (uintptr_t)task | FL_WHOSE_TASK};
    if ((cls > (int)w->runtime->stack_class && !task->stack) || !fl_deque_push(&w->hot.deque_, &item)) {
        if (task->flags & FL_TASK_PARKED)
            fl_stack_put(&w->stacks, task->stack);
        fl_pool_put(&w->pool, task);
        return -ENOMEM;
    }
    return 0;
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
    if (options->name || options->stack_size || options->inherit || w->hot.kind_ == FL_KIND_THREAD)
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
    if (w->hot.kind_ != FL_KIND_WORKER)
        return 0;
    fl_notify(w->runtime);
    if (mine && bound)
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
static void joiner_parked(void *arg)
{
    struct filch_scope *scope = arg;
    struct fl_task *owner = owner_of(scope); /* read before: once the count is published the scope may be gone */
    if (fl_join_wait(scope))
        fl_make_ready(owner);
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
    return load_relaxed(fl_atomic(int32_t, &scope->result_)); /* [told] written before the count of the child that failed */
}

void filch_child_failed_(filch_scope *scope, int result)
{
    fl_scope_child_failed(scope, result);
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
    w->hot.current_ = scope->owner_;
    if (task->flags & FL_TASK_LINKED)
        fl_scope_unlink(task);
    if (task->flags & FL_TASK_PARKED)
        store_relaxed(fl_atomic(void *, &task->stack->task),
                      owner_of(scope)->flags & FL_TASK_PARKED ? owner_of(scope) : NULL); /* hint: dumps look at it */
    fl_pool_put(&w->pool, task);
    if (result < 0)
        fl_scope_child_failed(scope, result);
}

/* A child that ran in place in the owner's name has ended: what was local to it ends too. */
FL_INLINE void end_locals(struct filch_scope *scope)
{
    struct fl_task *task = owner_of(scope);
    if (unlikely(task->flags & FL_TASK_LOCALS) && fl_locals_belong(task, scope)) {
        fl_locals_end(task);
        and_acq_rel(state_of(scope), ~LOCALS); /* own: only the owner sets it */
    }
}

/* Takes a child of `scope` from the worker's deque and runs it here. @return false: the newest item is none. */
static bool run_child(struct fl_worker *w, struct filch_scope *scope)
{
    struct fl_item item;
    if (!fl_deque_pop(&w->hot.deque_, &item))
        return false;
    if (item.whose == (uintptr_t)scope) {
        scope->mine_ = (scope->mine_ - FILCH_CHILD_) | FILCH_JOINING_;
        int result = ((filch_fn *)item.fn)((void *)item.arg);
        scope->mine_ &= ~FILCH_JOINING_;
        end_locals(scope);
        if (result < 0)
            fl_scope_child_failed(scope, result);
        return true;
    }
    struct fl_task *task = (struct fl_task *)(item.whose & ~FL_WHOSE_MASK);
    if (item.whose & FL_WHOSE_TASK && task->scope == scope && !task->sp) {
        run_task(w, scope, task);
        return true;
    }
    fl_deque_push(&w->hot.deque_, &item); /* cannot fail: its slot has just been freed */
    fl_notify(w->runtime);                /* for a moment it was not to be seen */
    return false;
}

int filch_join_slow_(filch_scope *scope)
{
    struct fl_worker *w = fl_self();
    if (w->hot.current_ != scope->owner_)
        fl_misuse("filch_join by a task that did not open the scope", "scope", scope, owner_of(scope));
    scope->mine_ &= ~FILCH_JOINING_;
    end_locals(scope);
    w = fl_self();
    if (w->hot.kind_ == FL_KIND_WORKER && fl_worker_spent(w)) {
        struct fl_task *first = fl_worker_look_round(w);
        if (first)
            fl_park_give_way(w, first);
        w = fl_self();
    }
    if (scope->owner_->inner_ == scope && !fl_deep(w)) /* a child in place belongs to the innermost scope */
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
    if (scope->owner_ != fl_self()->hot.current_)
        fl_misuse("filch_case_scope of a scope that the caller did not open", "scope", scope, owner_of(scope));
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
