/* SPDX-License-Identifier: MIT */
/* What every object that one waits on needs: who is the waiter, and the two ends of a wait that may be cancelled. */
#ifndef FL_SYNC_WAIT_H
#define FL_SYNC_WAIT_H

#include "sched/park.h"

#include <filch/sync.h>
#include <filch/time.h>

#include <pthread.h>

/** The waiter of a call: the calling task, or a stand-in for a plain thread, which lives in the caller's frame.
 * Both can be armed, claimed and waited for alike. */
FL_INLINE struct fl_task *fl_waiter(struct fl_task *stand_in)
{
    struct fl_task *task = fl_current();
    if (likely(task != NULL))
        return task;
    *stand_in = (struct fl_task){.flags = FL_TASK_THREAD};
    return stand_in;
}

/** Who calls, for an object that remembers its holder: the task, or the thread. */
FL_INLINE const void *fl_caller(void)
{
    struct fl_task *task = fl_current();
    return task ? (const void *)task : (const void *)pthread_self();
}

/** Arms `task` for a wait that a cancel may end: makes it known to the scopes it is in. If one of them was cancelled the wait is claimed already and
 * fl_wait returns at once. */
void fl_wait_begin(struct fl_task *task);

/** As the second half of fl_wait_begin for a task that is off its stack (fl_wait_late), and was enlisted before: arms it.
 * @return false: a scope around it was cancelled. Nobody is to be told of the wait then; fl_wait_cancelled_late is to be called */
FL_INLINE bool fl_wait_begin_late(struct fl_task *task)
{
    fl_wake_arm_saved(task);
    fl_barrier_light();                                                                   /* [cancel] pairs with fl_scope_cancel */
    return likely(load_acquire(fl_atomic(int32_t, &task->head.inner_->cancelled_)) == 0); /* [cancel] the read behind the barrier */
}

/** What follows when that has returned false. @return whether the caller makes the task ready; else a canceller does */
bool fl_wait_cancelled_late(struct fl_task *task);

/** The code with which a scope around `task` was cancelled, or 0. */
int fl_scope_cancelled(struct fl_task *task);

/** Cancels a scope and everything in it with `code` (-ECANCELED, -ETIMEDOUT). */
void fl_scope_cancel(struct filch_scope *scope, int code);

/** Makes a task that is about to park known to every scope around it, so that a cancel finds it. fl_wait_begin does it itself. */
void fl_enlist(struct fl_task *task);

/** Puts a timer on the caller's worker, or on the first of the task's runtime; wakes who must know. */
void fl_timer_start(struct fl_task *task, struct fl_timer *timer, int64_t when);

/** As filch_event_wait, but cannot fail and cannot be cancelled. */
void fl_event_wait_surely(filch_event *event, const struct fl_why *why);

/** Ends the process: `what` was done to an object. The line names it, the caller, and the holder if it isn't NULL. */
FL_NORETURN FL_COLD void fl_misuse(const char *what, const char *kind, const void *object, const void *holder);

/** Parked in filch_join on a scope; in filch_call, into any runtime. */
extern const struct fl_why fl_why_join, fl_why_call;

/** Makes an all-zero scope with an owner the root of a tree. */
void fl_scope_root(struct filch_scope *scope);

/** A child of `scope` returned a negative result: the first one cancels its siblings. */
void fl_scope_child_failed(struct filch_scope *scope, int result);

/** A task with FL_TASK_LINKED has ended. */
void fl_scope_unlink(struct fl_task *task);

/** An in-frame fork was run by a thief, or by the loop, and has returned `result`. @return false: its descriptor is kept until it is met. */
bool fl_fork_ended(struct fl_task *task, int result);

/** Whether the joiner of an in-frame fork waits for it. */
bool fl_fork_awaited(struct filch_runtime *runtime, int64_t token);

/** Frees the table of forks; nobody uses it any more. */
void fl_forks_fini(struct filch_runtime *runtime);

/* ---- sync/local.c ---- */

struct fl_heir;

/** The end of a task, or of a child that ran in place, with FL_TASK_LOCALS: destroys its values. May park. */
void fl_locals_end(struct fl_task *task);

/** Whether the values of `task`, which has some, are those of a child of `scope` that it runs in place. */
bool fl_locals_belong(const struct fl_task *task, const struct filch_scope *scope);

/** Before and after a task runs a child in place: its values, or NULL, which fl_locals_put_back takes too. */
struct fl_locals *fl_locals_set_aside(struct fl_task *task);
void fl_locals_put_back(struct fl_task *task, struct fl_locals *locals);

/** What a child that inherits runs instead of `fn(arg)`: fl_locals_run_heir(heir). @return 0, -ENOMEM with *ret_heir NULL */
int fl_locals_bequeath(filch_fn *fn, void *arg, struct fl_heir **ret_heir);
int fl_locals_run_heir(void *heir);
/** The child could not be spawned. NULL is allowed. */
void fl_locals_disinherit(struct fl_heir *heir);

/** Starts an isolated task on a kernel thread of its own, with a stack of at least `stack_size` bytes and the runtime's size. @return 0 or -errno. runtime.c gives it. */
int fl_thread_spawn(struct filch_runtime *runtime, struct fl_task *task, size_t stack_size);

#endif
