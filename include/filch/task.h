/* SPDX-License-Identifier: MIT */
/* Tasks and scopes.
 *
 * A scope is a block that owns the tasks spawned into it. It lives in the parent's frame, so arguments and results
 * do too: no handles, no futures. What a scope lends to its children is declared *before* the scope.
 *
 *     struct part a = {...}, b = {...};
 *     FILCH_SCOPE(s);
 *     filch_spawn(&s, work, &a);
 *     filch_spawn(&s, work, &b);
 *     int r = filch_join(&s);
 *
 * A child that nobody stole is run by filch_join itself, on the parent's stack, as a plain call: for that time it *is* the parent's task (filch_self,
 * filch_name and the owner of a mutex say so). */
#ifndef FILCH_TASK_H
#define FILCH_TASK_H

#include <filch/hot_.h>
#include <filch/time.h>
#include <filch/version.h>

struct filch_link_ {
    struct filch_link_ *prev_, *next_;
};

/** A scope. Open it with FILCH_SCOPE or FILCH_SCOPE_UNTIL; every field is private. It must not be copied or moved. */
typedef struct filch_scope {
    struct filch_task_head_ *owner_; /* the task that opened it */
    struct filch_scope *parent_;     /* the scope around it */
    int64_t mine_;                   /* FILCH_CHILD_ for each child spawned by the owner, less those it ran in place; FILCH_JOINING_ */
    int64_t others_;                 /* atomic: minus the children that ended elsewhere; see runtime/sync/scope.c */
    uint32_t state_;                 /* atomic: which of the slow parts below are in use */
    int32_t result_;                 /* atomic: the first failure, or 0 */
    /* From here on valid only once state_ says so. */
    int32_t cancelled_;
    uint32_t lock_;
    uint32_t pins_;
    void *selector_, *canceller_;
    struct filch_link_ tasks_, scopes_, sibling_;
    struct {
        struct filch_link_ link_;
        int64_t when_;
        void *wheel_;
        void (*fire_)(void *);
        uint32_t state_;
    } timer_;
} filch_scope;

#define FILCH_CHILD_ ((int64_t)2)
#define FILCH_JOINING_ ((int64_t)1) /* the owner runs a child in place */

/* The seldom paths of the inline functions below. */
FILCH_API void filch_scope_enter_until_(filch_scope *scope, int64_t deadline);
FILCH_API void filch_shield_enter_(filch_scope *scope, int64_t deadline);
FILCH_API void filch_scope_leave_slow_(filch_scope *scope);
FILCH_API void filch_scope_outside_(void) __attribute__((noreturn, cold));
FILCH_API int filch_spawn_slow_(filch_scope *scope, filch_fn *fn, void *arg);
FILCH_API void filch_notify_(void);
FILCH_API int filch_join_slow_(filch_scope *scope);
FILCH_API void filch_child_failed_(filch_scope *scope, int result);

static inline void filch_scope_enter_(filch_scope *scope)
{
    struct filch_task_head_ *task = filch_self_()->current_;
    if (FILCH_UNLIKELY_(!task))
        filch_scope_outside_();
    scope->owner_ = task;
    __asm__ volatile("" : : "m"(scope->owner_)); /* two stores: as one of 16 bytes it would wait for the load */
    scope->parent_ = task->inner_;
    scope->mine_ = 0;
    scope->others_ = 0;
    scope->state_ = 0;
    scope->result_ = 0;
    task->inner_ = scope;
}

static inline void filch_scope_leave_(filch_scope *scope)
{
    int64_t others = __atomic_load_n(&scope->others_, __ATOMIC_ACQUIRE); /* [told] pairs with fl_join_told; first of all */
    uint32_t state = __atomic_load_n(&scope->state_, __ATOMIC_RELAXED);  /* hint: as above */
    if (FILCH_UNLIKELY_((scope->mine_ | others | state) != 0))
        filch_scope_leave_slow_(scope);
    else
        scope->owner_->inner_ = scope->parent_;
}

/** Opens scope `name` until the end of the enclosing block. Leaving the block joins it: after filch_join nothing is left to do;
 * without one (an early return, say) the children are cancelled and then joined.
 * Context: task only; leaving parks. */
#define FILCH_SCOPE(name)                                          \
    __attribute__((cleanup(filch_scope_leave_))) filch_scope name; \
    filch_scope_enter_(&name)

/** As FILCH_SCOPE; when `deadline` (absolute nanoseconds, see filch_after) passes, the scope is cancelled with -ETIMEDOUT: the parked
 * calls of the block and of all its children return that. A deadline can only shorten those around it. Context: task only. */
#define FILCH_SCOPE_UNTIL(name, deadline)                          \
    __attribute__((cleanup(filch_scope_leave_))) filch_scope name; \
    filch_scope_enter_until_(&name, deadline)

/** As FILCH_SCOPE, for clean-up that must still wait: no cancel and no deadline from around it reaches what is in the block, its children included. The scope itself
 * can be cancelled. Once the block is left everything is as before. Context: task only. */
#define FILCH_SHIELD(name) FILCH_SHIELD_UNTIL(name, FILCH_NEVER)

/** As FILCH_SHIELD, but not for ever: `deadline` as in FILCH_SCOPE_UNTIL. Context: task only. */
#define FILCH_SHIELD_UNTIL(name, deadline)                         \
    __attribute__((cleanup(filch_scope_leave_))) filch_scope name; \
    filch_shield_enter_(&name, deadline)

/** Makes a scope collect failures: one no longer cancels the other children. filch_join returns the first one as ever; what each child returned a filch_result
 * tells. Before anything is spawned into it. Context: the task that opened the scope, never parks. */
FILCH_API void filch_scope_collect(filch_scope *scope);

/** The deadline that is in force for the caller: the earliest of the scopes around it, up to a shield; FILCH_NEVER: none. Context: any thread, never parks. */
FILCH_API int64_t filch_deadline(void);

/** Spawns a task that runs `fn(arg)`, as a child of `scope`. It may run at once on another worker, at the latest in filch_join.
 * @param scope opened by the caller, or by an ancestor that the caller is a child of
 * @param arg lent to the child until the scope is joined
 * @return 0; -ENOMEM no memory for the task; -EAGAIN no kernel thread (FILCH_MODEL_11): nothing was spawned.
 * Context: task, parks (a spawner with a thousand unstarted children lets them go first). */
static inline FILCH_PARKS int filch_spawn(filch_scope *scope, filch_fn *fn, void *arg)
{
    struct filch_worker_ *w = filch_self_();
    int64_t bottom = __atomic_load_n(&w->deque_.bottom_, __ATOMIC_RELAXED); /* own: only its worker writes it */
    if (FILCH_UNLIKELY_(scope->owner_ != w->current_) || FILCH_UNLIKELY_(bottom >= w->deque_.limit_))
        return filch_spawn_slow_(scope, fn, arg);
    filch_deque_put_(&w->deque_, filch_slot_own_(&w->deque_, bottom), bottom, (uintptr_t)fn, (uintptr_t)arg, (uintptr_t)scope);
    scope->mine_ += FILCH_CHILD_;
    if (filch_sleepers_(w))
        filch_notify_();
    return 0;
}

/** What a child returned, by value. */
typedef struct filch_result {
    int value; /**< once the scope was joined */
    filch_fn *fn_;
    void *arg_;
} filch_result;

static inline int filch_result_run_(void *arg)
{
    filch_result *result = (filch_result *)arg;
    return result->value = result->fn_(result->arg_);
}

/** As filch_spawn; what `fn` returned is in ret_result->value once the scope was joined.
 * @param ret_result lent until then, as `arg` is @return as filch_spawn; then ret_result->value is the same. Context: task, parks. */
static inline FILCH_PARKS int filch_spawn_result(filch_scope *scope, filch_result *ret_result, filch_fn *fn, void *arg)
{
    ret_result->fn_ = fn;
    ret_result->arg_ = arg;
    ret_result->value = 0;
    int r = filch_spawn(scope, filch_result_run_, ret_result);
    if (FILCH_UNLIKELY_(r < 0))
        ret_result->value = r;
    return r;
}

/** What filch_spawn_with can be told; zero means "choose for me". */
typedef struct filch_task_options {
    const char *name;  /**< for dumps and gdb; not copied, must outlive the task */
    size_t stack_size; /**< bytes, rounded up to a power of two, at most 64 MiB; 0: the runtime's */
    bool inherit;      /**< the child begins with the caller's task-local values */
    bool
        isolated; /**< a kernel thread of its own, which it keeps to its end: for libraries that keep state by thread (OpenGL, CUDA), or for what blocks all the time. Same scopes,
                          same locks, same channels, same I/O; what parks a task blocks that thread. A thread costs some 20 us and a stack */
} filch_task_options;

/** As filch_spawn, with options.
 * @return as filch_spawn; -EINVAL stack size; -EAGAIN no kernel thread (isolated). Context: task, parks. */
FILCH_API FILCH_PARKS int filch_spawn_with(filch_scope *scope, const filch_task_options *options, filch_fn *fn, void *arg);

/** Waits for every child of `scope`, running those that nobody has taken yet. The scope can be used again afterwards.
 * Cannot be cancelled itself: a cancelled scope makes its children return.
 * @return the first failure of a child (its siblings were cancelled then), else 0. Context: the task that opened the scope, parks. */
static inline FILCH_PARKS int filch_join(filch_scope *scope)
{
    struct filch_worker_ *w = filch_self_();
    if (FILCH_UNLIKELY_(!w->current_) || FILCH_UNLIKELY_(w->current_->inner_ != scope)) /* the innermost one of the caller's */
        return filch_join_slow_(scope);
    while (scope->mine_ > FILCH_JOINING_) {
        struct filch_slot_ *slot;
        if (!filch_may_nest_(w) || FILCH_UNLIKELY_(!filch_deque_take_back_(&w->deque_, (uintptr_t)scope, &slot)))
            return filch_join_slow_(scope);
        scope->mine_ = (scope->mine_ - FILCH_CHILD_) | FILCH_JOINING_;
        int result = ((filch_fn *)slot->fn_)((void *)slot->arg_);
        if (FILCH_UNLIKELY_(result < 0))
            filch_child_failed_(scope, result);
        w = filch_self_();
    }
    scope->mine_ = 0;
    int64_t others = __atomic_load_n(&scope->others_, __ATOMIC_ACQUIRE);  /* [told] pairs with fl_join_told; first of all */
    uint32_t state = __atomic_load_n(&scope->state_, __ATOMIC_RELAXED);   /* hint: as above */
    int32_t failure = __atomic_load_n(&scope->result_, __ATOMIC_RELAXED); /* hint: as above */
    if (FILCH_LIKELY_((others | (int64_t)(state | (uint32_t)failure)) == 0))
        return 0;
    return filch_join_slow_(scope);
}

/** Cancels a scope: parked calls of its block and its children, now or later, return -ECANCELED. The first cancel counts, further ones do nothing.
 * @param scope must not have been left when the call begins; leaving it waits for a cancel that has begun. So a thread that is not one of its tasks needs something
 * that the owner waits for before it leaves, a lock around the call and around "it is gone", say, unless this cancel is what makes the owner leave. Context: task or any thread, never parks. */
FILCH_API void filch_cancel(filch_scope *scope);

/** Whether a scope around the caller was cancelled.
 * @return 0, -ECANCELED or -ETIMEDOUT; 0 on a plain thread. Context: any thread, never parks. */
FILCH_API int filch_cancelled(void);

/** Lets other tasks run: unstarted ones of this worker first, then those that yielded or were made ready before.
 * Context: task (a plain thread calls sched_yield), parks. */
FILCH_API FILCH_PARKS void filch_yield(void);

/** As filch_yield, but only if somebody waits for this worker, or it is time to look. A few instructions otherwise: for long loops that want to be polite.
 * Without it a long loop stops nobody either; but it becomes one of several threads that the kernel shares a CPU among.
 * Context: task or any thread, parks. */
static inline FILCH_PARKS void filch_yield_if_needed(void)
{
    if (FILCH_UNLIKELY_(__atomic_load_n(&filch_self_()->budget_, __ATOMIC_RELAXED) <=
                        0)) /* hint: who waits for this worker makes it negative */
        filch_yield();
}

/* ---- code that blocks its thread, or must stay on it ---- */

/** Announces that the calling task is about to block its kernel thread: another one takes its place at once. Nothing need be announced: a call that blocks unannounced is
 * noticed within a millisecond, or ten where nothing else was expected. Not nested, and the task may not park before filch_blocking_leave. For a function as a whole filch_blocking is simpler.
 * Context: task (a plain thread: does nothing), never parks. */
FILCH_API void filch_blocking_enter(void);

/** The blocking call is over. Context: the task that has called filch_blocking_enter, never parks. */
FILCH_API void filch_blocking_leave(void);

/** Pins the calling task to the kernel thread that it runs on, until filch_unpin was called as often: for a few lines that keep the address of a thread-local variable, or hold a
 * lock that belongs to a thread, across a call that parks. While the worker is stalled by another task, a pinned one waits; so it must not park while it holds a lock for which that other task may block its thread. A whole task that needs a thread of its own is better
 * isolated (filch_task_options). At most 255 times. Each is taken back by who made it, before it returns: a child that a join
 * runs in place would leave its parent pinned. Context: task (a plain thread: does nothing), never parks. */
FILCH_API void filch_pin(void);

/** Takes one filch_pin back. Context: the same task, never parks. */
FILCH_API void filch_unpin(void);

/** An id of the calling task while it lives, or NULL on a plain thread. Context: any thread, never parks. */
FILCH_API const void *filch_self(void);

/** The name of the calling task: as set, else NULL. Context: any thread, never parks. */
FILCH_API const char *filch_name(void);

/** Names the calling task; not copied. Context: task, never parks. */
FILCH_API void filch_set_name(const char *name);

/* ---- task-local values ---- */

/** A task-local variable: one value a task, NULL at first. Static, and there as long as any task that has a value. All-zero is valid. */
typedef struct filch_local {
    void (*destroy)(
        void *
            value); /**< called for a value that isn't NULL when its task ends, by that task, the latest first; may park, may set values; NULL: nothing */
    void *(*inherit)(
        void *
            value); /**< what a child that inherits gets for it, NULL for none; called by the parent at the spawn. Without this function a value that
                                      has no destroy is passed on as it is, and one that has is not */
} filch_local;

/** Sets the calling task's value; NULL takes it away. The old one is not destroyed. Each task has its own,
 * wherever it runs, also a child that a join runs in place. In-frame forks and the parts of filch_for have none of their own: they must neither set nor get any.
 * @return 0; -ENOMEM; -EINVAL on a plain thread. Context: task, never parks. */
FILCH_API int filch_local_set(const filch_local *local, void *value);

/** The calling task's value, or NULL. Context: any thread, never parks. */
FILCH_API void *filch_local_get(const filch_local *local);

/* ---- the in-frame fork: one child, no descriptor, no count ---- */

/** A forked call. Every field is private. Only inline functions take its address, so that a compiler keeps it in registers. */
typedef struct filch_frame {
    int64_t token_; /* which one, among all that are under way in this runtime; < 0: nobody was offered it */
    filch_fn *fn_;
    void *arg_;
} filch_frame;

FILCH_API int64_t filch_fork_slow_(filch_fn *fn, void *arg);
FILCH_API int filch_meet_slow_(int64_t token, filch_fn *fn, void *arg);

#define FILCH_KEPT_ ((int64_t)-1) /* a token: not offered, for want of a deque */

/** Offers `fn(arg)` to other workers while the caller goes on; filch_meet(frame) must follow in the same function, forks and meets nested like
 * brackets. About half the cost of a scope: it pays where a task is a few nanoseconds and the fork is fixed. The call has no
 * name and no scope of its own, and its failure cancels nobody.
 * @param frame in the caller's frame, until filch_meet returns; must not be copied
 * @return 0; -ENOMEM when nothing can be offered. Never needs to be checked: what was not offered (also in FILCH_MODEL_11) or not taken
 * filch_meet runs, so nothing before it may wait for the call. Context: task, never parks. */
static inline __attribute__((always_inline)) int filch_fork(filch_frame *frame, filch_fn *fn, void *arg)
{
    struct filch_worker_ *w = filch_self_();
    int64_t bottom = __atomic_load_n(&w->deque_.bottom_, __ATOMIC_RELAXED); /* own: only its worker writes it */
    frame->fn_ = fn;
    frame->arg_ = arg;
    if (FILCH_UNLIKELY_(bottom >= w->deque_.limit_)) {
        frame->token_ = filch_fork_slow_(fn, arg);
        return frame->token_ < FILCH_KEPT_ ? (int)frame->token_ : 0;
    }
    frame->token_ = filch_deque_put_(&w->deque_, filch_slot_own_(&w->deque_, bottom), bottom, (uintptr_t)fn, (uintptr_t)arg,
                                     (uintptr_t)w->current_->inner_ | FILCH_WHOSE_FRAME_);
    if (filch_sleepers_(w))
        filch_notify_();
    return 0;
}

/** Runs what `frame` offered if nobody took it, else waits for it. A compiler that sees the filch_fork before it sees whom it calls: it may inline that.
 * @return what `fn` returned. Context: the task that forked, parks. */
static inline __attribute__((always_inline)) FILCH_PARKS int filch_meet(filch_frame *frame)
{
    struct filch_worker_ *w = filch_self_();
    int64_t token = frame->token_;
    if (!filch_may_nest_(w) || FILCH_UNLIKELY_(!filch_deque_guessed_(&w->deque_, token)) ||
        FILCH_UNLIKELY_(!filch_deque_claim_(&w->deque_, token - FILCH_STEP_)))
        return filch_meet_slow_(token, frame->fn_, frame->arg_);
    return frame->fn_(frame->arg_);
}

/** One part of filch_for: the half-open range [begin, end). */
typedef int filch_for_fn(void *arg, int64_t begin, int64_t end);

/** Runs `fn` over [begin, end) in parts, in parallel, splitting where somebody is free to take a part.
 * @param grain the longest part that is not split; 0: chosen
 * @return the first failure seen (parts not yet begun are skipped then), else 0. Context: task, parks. */
FILCH_API FILCH_PARKS int filch_for(int64_t begin, int64_t end, int64_t grain, filch_for_fn *fn, void *arg);

#endif
