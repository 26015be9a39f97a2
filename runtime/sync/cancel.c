/* SPDX-License-Identifier: MIT */
/* Cancelling: the tree of scopes, and the way a cancel takes through it.
 *
 * A scope has a hot half, which is counts (sched/join.h), and a slow half: the list of its parked tasks, the list of its inner scopes, the deadline. The slow half is
 * not even initialised until somebody in it parks in a call that can be cancelled.
 *
 *   owner_  parent_  mine_  others_  state_  result_   |   cancelled_  lock_  pins_  tasks_  scopes_  sibling_  timer_ ...
 *   ------------- hot: five stores -----------------       ------------- valid once state_ has READY -----------------
 *
 * A task that parks for the first time enters the list of the scope it is a child of; the scopes between its innermost one and the first
 * that is linked already enter the list of their parent. So a task that never parks is in no list, and a cancel, which only has to reach parked
 * calls, finds every one of them: it marks each scope, and then claims the wait of each task in it and of each scope's
 * owner. What parks later sees the mark.
 *
 * Invariants
 *   1. tasks_ holds every task with FL_TASK_LINKED whose scope this is; scopes_ every scope with LINKED whose parent_ this is.
 *   2. A scope is cancelled at most once; cancelled_ goes from 0 to its code under the lock.
 *   3. While pins_ > 0 a cancel uses the scope's memory: leaving waits for it. So the owner may leave as soon as the cancel wakes it.
 *   4. A shield is a scope that is in no list, with what is in it: no cancel comes down to it. While its owner is inside, the owner is passed over by the
 *      cancels of the scopes outside that know of it: those of its own are SHADED, and as a child of another it is `shaded`.
 *
 * Memory ordering
 *   [ready]   state_ gets READY with release after the slow half is initialised; acquired before it is used.
 *   [cancel]  a cancel writes cancelled_, runs the heavy barrier and then reads the wake words; a parking task writes its wake word, light barrier, reads
 *             cancelled_. One of them sees the other (base/barrier.h).
 *   The lists are under lock_. Lock order: one scope's lock at a time; ring locks and ready queues inside it.
 *
 * Rejected: every child in a list of its scope (a locked list operation a spawn); finding parked tasks by walking all stacks (a server's every deadline
 * would walk a million of them); checking the whole chain of scopes at each park (depth times parks). */
#include "machine/clock.h"
#include "sync/scope.h"

#include <errno.h>

#define WAKE_PART 32 /* tasks that a cancel wakes before it lets others at the list */

_Static_assert(sizeof(((struct filch_scope *)0)->timer_) == sizeof(struct fl_timer), "the public header leaves room for a timer");
_Static_assert(sizeof(struct fl_list) == sizeof(struct filch_link_), "the public header leaves room for list nodes");

static _Atomic(int32_t) *code_of(struct filch_scope *scope)
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

/* ---- the slow half ---- */

static void deadline_passed(struct fl_timer *timer)
{
    struct filch_scope *scope = (struct filch_scope *)((char *)timer - offsetof(struct filch_scope, timer_));
    fl_scope_cancel(scope, -ETIMEDOUT);
    fl_timer_done(timer);
}

static FL_COLD void prepare_slow(struct filch_scope *scope)
{
    if (or_acq_rel(fl_scope_state(scope), FL_SCOPE_INIT) & FL_SCOPE_INIT) { /* [ready] somebody else initialises it: wait for READY */
        for (unsigned turn = 0; !(load_acquire(fl_scope_state(scope)) & FL_SCOPE_READY); turn++) /* [ready] pairs with the store below */
            fl_lock_pause(turn);
        return;
    }
    scope->lock_ = 0;
    scope->pins_ = 0;
    store_relaxed(code_of(scope), 0);         /* init: published by READY */
    store_relaxed(canceller_of(scope), NULL); /* init: published by READY */
    fl_list_init(node(&scope->tasks_));
    fl_list_init(node(&scope->scopes_));
    fl_list_init(node(&scope->sibling_));
    *timer_of(scope) = (struct fl_timer){.fire = deadline_passed};
    or_acq_rel(fl_scope_state(scope), FL_SCOPE_READY); /* [ready] pairs with prepare */
}

FL_INLINE void prepare(struct filch_scope *scope)
{
    if (unlikely(!(load_acquire(fl_scope_state(scope)) & FL_SCOPE_READY))) /* [ready] pairs with prepare_slow */
        prepare_slow(scope);
}

void fl_scope_root(struct filch_scope *scope)
{
    prepare(scope);
    or_acq_rel(fl_scope_state(scope), FL_SCOPE_LINKED); /* init: there is nothing around it */
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
    bool first = load_relaxed(code_of(scope)) == 0; /* own: the lock */
    if (first) {
        store_relaxed(canceller_of(scope), top); /* own: its canceller */
        store_release(code_of(scope), code);     /* [cancel] pairs with fl_wait_begin; [pin] comes before it */
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
        if (pass == MARK ? load_relaxed(code_of(inner)) == 0           /* hint: marking decides */
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
    int code = load_relaxed(code_of(scope)); /* own: its canceller */
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
    if (!(load_relaxed(fl_scope_state(scope)) & FL_SCOPE_SHADED)) /* own: the lock */
        wake_cancelled(fl_scope_owner(scope), code);
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
                sub_release(pins_of(inner), 1); /* [pin] pairs with fl_scope_withdraw */
            if (pass == WAKE)
                store_relaxed(canceller_of(inner), NULL); /* own: its canceller */
            continue;
        }
        if (pass == WAKE)
            wake_all(at);
        if (at == top)
            return;
        struct filch_scope *up = at->parent_;
        sub_release(pins_of(at), 1); /* [pin] pairs with fl_scope_withdraw */
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
    sub_release(pins_of(top), 1); /* [pin] pairs with fl_scope_withdraw */
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
    if (or_acq_rel(fl_scope_state(scope), FL_SCOPE_LINKED) & FL_SCOPE_LINKED) /* [link] who sets the bit links it */
        return;
    struct filch_scope *parent = scope->parent_;
    prepare(parent);
    fl_lock_take(lock_of(parent));
    fl_list_append(node(&parent->scopes_), node(&scope->sibling_));
    int code = load_relaxed(code_of(parent)); /* own: the lock */
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
    for (; !(load_acquire(fl_scope_state(scope)) & (FL_SCOPE_LINKED | FL_SCOPE_SHIELD)); scope = scope->parent_) /* [link] */
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
    if (unlikely(!(task->flags & FL_TASK_LINKED) ||
                 !(load_acquire(fl_scope_state(task->head.inner_)) & (FL_SCOPE_LINKED | FL_SCOPE_SHIELD)))) /* [link] */
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
    fl_barrier_light();                      /* [cancel] pairs with fl_scope_cancel */
    int code = load_acquire(code_of(inner)); /* [cancel] the read behind the barrier; [pin] whoever sees it sees the pin */
    bool saved;
    if (unlikely(code != 0))
        fl_wake_claim(task, code, true, &saved);
}

bool fl_wait_cancelled_late(struct fl_task *task)
{
    uint32_t seen;
    int code = load_acquire(code_of(task->head.inner_)); /* [cancel] as it was seen behind the barrier; [pin] as above */
    return fl_wake_swap(task, code, true, &seen);
}

int fl_scope_cancelled(struct fl_task *task)
{
    for (struct filch_scope *scope = task->head.inner_; scope; scope = scope->parent_) {
        uint32_t state = load_acquire(fl_scope_state(scope)); /* [ready] pairs with prepare_slow */
        if (!(state & FL_SCOPE_READY))
            continue;
        int code = load_acquire(code_of(scope)); /* [cancel] */
        if (code || state & (FL_SCOPE_LINKED | FL_SCOPE_SHIELD))
            return code; /* a linked scope has been told of whatever was cancelled around it; a shield is not to know */
    }
    return 0;
}

/* Where there are no reliefs nobody fires the timers of a worker that computes: whoever asks finds out by himself. */
static int look_at_deadlines(struct fl_task *task)
{
    int64_t earliest = filch_deadline();
    if (earliest == FILCH_NEVER || earliest > fl_clock())
        return 0;
    for (struct filch_scope *scope = task->head.inner_; scope; scope = scope->parent_) {
        uint32_t state = load_acquire(fl_scope_state(scope)); /* [ready] pairs with prepare_slow */
        if (state & FL_SCOPE_TIMER && timer_of(scope)->when <= fl_clock())
            fl_scope_cancel(scope, -ETIMEDOUT);
        if (state & FL_SCOPE_SHIELD)
            break;
    }
    return fl_scope_cancelled(task);
}

int filch_cancelled(void)
{
    struct fl_task *task = fl_current();
    int code = task ? fl_scope_cancelled(task) : 0;
    return code || !task || task->runtime->relief_max > 0 ? code : look_at_deadlines(task);
}

void fl_scope_child_failed(struct filch_scope *scope, int result)
{
    if (!scope->parent_)
        return; /* the runtime's root: what was submitted fails alone */
    int32_t none = 0;
    if (cas_acq_rel(fl_atomic(int32_t, &scope->result_), &none, result)) /* [told] the joiner reads it after the count */
        if (!(load_relaxed(fl_scope_state(scope)) & FL_SCOPE_COLLECT))   /* own: set before there were children */
            fl_scope_cancel(scope, -ECANCELED);
}

/* ---- deadlines and shields ---- */

static void arm_deadline(struct filch_scope *scope, int64_t deadline)
{
    if (deadline == FILCH_NEVER)
        return;
    prepare(scope);
    timer_of(scope)->when = deadline;
    or_acq_rel(fl_scope_state(scope), FL_SCOPE_TIMER); /* own: leaving looks at it */
    if (deadline <= fl_clock())
        fl_scope_cancel(scope, -ETIMEDOUT);
    else
        fl_timer_start(fl_scope_owner(scope), timer_of(scope), deadline);
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
    struct fl_task *task = fl_scope_owner(shield);
    struct filch_scope *at = shield->parent_;
    for (; at->owner_ == shield->owner_; at = at->parent_) {
        prepare(at);
        fl_lock_take(lock_of(at));
        if (shaded)
            or_acq_rel(fl_scope_state(at), FL_SCOPE_SHADED); /* own: the lock */
        else
            and_acq_rel(fl_scope_state(at), ~FL_SCOPE_SHADED); /* own: the lock */
        fl_lock_give(lock_of(at));
        if (load_relaxed(fl_scope_state(at)) & FL_SCOPE_SHIELD) /* own: the owner sets it */
            return;
    }
    prepare(task->scope);
    fl_lock_take(lock_of(task->scope));
    task->shaded = shaded;
    fl_lock_give(lock_of(task->scope));
}

void filch_shield_enter_(filch_scope *scope, int64_t deadline)
{
    filch_scope_enter_(scope);
    prepare(scope);
    or_acq_rel(fl_scope_state(scope), FL_SCOPE_SHIELD); /* [link] it counts as linked, but is in no list */
    shade(scope, true);
    arm_deadline(scope, deadline);
}

int64_t filch_deadline(void)
{
    struct fl_task *task = fl_current();
    int64_t earliest = FILCH_NEVER;
    for (struct filch_scope *scope = task ? task->head.inner_ : NULL; scope; scope = scope->parent_) {
        uint32_t state = load_acquire(fl_scope_state(scope)); /* [ready] pairs with prepare_slow */
        if (state & FL_SCOPE_TIMER && timer_of(scope)->when < earliest)
            earliest = timer_of(scope)->when;
        if (state & FL_SCOPE_SHIELD)
            break;
    }
    return earliest;
}

/* ---- leaving ---- */

void fl_scope_withdraw(struct filch_scope *scope)
{
    uint32_t state = load_acquire(fl_scope_state(scope)); /* [ready] pairs with prepare_slow */
    if (state & FL_SCOPE_TIMER)
        fl_timer_remove(timer_of(scope));
    if (state & FL_SCOPE_LINKED)
        unlink_scope(scope);
    if (state & FL_SCOPE_READY)
        for (unsigned turn = 0; load_acquire(pins_of(scope)) != 0; turn = fl_lock_pause(turn)) /* [pin] pairs with fl_scope_cancel */
            ;
    if (state & FL_SCOPE_SHIELD)
        shade(scope, false);
}
