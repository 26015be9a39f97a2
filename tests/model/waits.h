/* SPDX-License-Identifier: MIT */
/* What stands in for sync/wait.h and sched/park.c where an object that one waits on is checked: the object's own file is compiled as it is, on the
 * real wake word (sched/wake.h) and the real spin lock (base/lock.h).
 *
 * Who waits. A thread of the checker is a plain thread to the object: its stand-in of a task lies in the frame of its call, and it sleeps on the wake word.
 * Between begin_task and end_task it is a task, which switches away and goes on once it was made ready. Frames die when a call returns and a task when
 * it ends, so touching somebody who has gone on is touching freed memory (RC11 notices that, IMM doesn't).
 *
 * Who is cancelled. One task, the `victim`: cancel() does what fl_scope_cancel does, and may come at any time, once.
 *
 * Nobody waits for ever. Who sleeps does nothing but look, and run.sh has GenMC check liveness: an execution at whose end somebody waits, though all who
 * wait have seen the last that was written to what they look at, is an error. */
#ifndef FL_TESTS_MODEL_WAITS_H
#define FL_TESTS_MODEL_WAITS_H

#include "model.h"

#define FL_SYNC_WAIT_H

#include "base/lock.h"
#include "sched/wake.h"

#include <filch/sync.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifndef ECANCELED /* the checker's own errno.h has few */
#define ECANCELED 125
#endif
#ifndef EPIPE
#define EPIPE 32
#endif

#define fl_misuse(what, ...) assert(!(what))

/* The lock is taken by the swap alone. Looking before it, and trying once outside the loop, as base/lock.h does, are many more executions of the same
 * (ready.c has the whole). */
#define fl_lock_take(lock) take_lock(lock)
FL_INLINE void take_lock(struct fl_lock *lock)
{
    uint32_t word;
    do
        word = 0;
    while (!cas_acquire(&lock->word, &word, 1));
}

/* ---- who waits ---- */

static __thread struct fl_task *self; /* NULL: a plain thread */
static __thread uint32_t more_flags;  /* of a plain thread that waits */
static struct fl_task victim;
static _Atomic(int) cancelled; /* the code with which */

FL_INLINE void begin_task(void)
{
    self = malloc(sizeof *self);
    self->flags = 0;
    self->runtime = (void *)self; /* some */
}

FL_INLINE void end_task(void)
{
    free(self);
    self = NULL;
}

/* It is there as long as its scope, so it need not be ended; what comes behind end_victim is not cancelled. */
FL_INLINE void begin_victim(void)
{
    victim.runtime = (void *)&victim;
    self = &victim;
}

FL_INLINE void end_victim(void)
{
    self = NULL;
}

FL_INLINE struct fl_task *fl_current(void)
{
    return self;
}

FL_INLINE struct fl_task *fl_waiter(struct fl_task *stand_in)
{
    if (self)
        return self;
    stand_in->flags = FL_TASK_THREAD | more_flags;
    stand_in->runtime = NULL;
    return stand_in;
}

FL_INLINE const void *fl_caller(void)
{
    return self ? (const void *)self : (const void *)(pthread_self() + 1);
}

/* Whom the scheduler lets run first is of no concern here. */
FL_INLINE void fl_worker_met(void)
{
}

/* ---- claiming ---- */

/* Of a task: the queue that it goes into. */
FL_INLINE void fl_make_ready(struct fl_task *task)
{
    store_release(&task->futex, 1);
}

FL_INLINE bool fl_wake_claim(struct fl_task *task, int result, bool cancel, bool *ret_saved)
{
    uint32_t seen;
    if (!fl_wake_swap(task, result, cancel, &seen))
        return false;
    *ret_saved = seen & FL_WAKE_SAVED;
    return true;
}

FL_INLINE void fl_wake_deliver(struct fl_task *task, bool saved)
{
    if (saved)
        fl_make_ready(task);
}

FL_INLINE bool fl_wake(struct fl_task *task, int result, bool cancel)
{
    bool saved;
    if (!fl_wake_claim(task, result, cancel, &saved))
        return false;
    fl_wake_deliver(task, saved);
    return true;
}

FL_INLINE void cancel(void)
{
    store_relaxed(&cancelled, -ECANCELED);
    fl_barrier_heavy();
    fl_wake(&victim, -ECANCELED, true);
}

/* ---- waiting ---- */

FL_INLINE void fl_wait_begin(struct fl_task *task)
{
    bool saved;
    fl_wake_arm(task, task == &victim);
    if (task != &victim)
        return;
    fl_barrier_light();
    int code = load_relaxed(&cancelled);
    if (code != 0)
        fl_wake_claim(task, code, true, &saved);
}

#ifndef NO_STACK
#define NO_STACK 0 /* 1: a victim that is to park finds no memory for a stack */
#endif

FL_INLINE int fl_wait(struct fl_task *task, const struct fl_why *why, const void *on, bool fallible)
{
    uint32_t seen;
    (void)why, (void)on;
    if (task->flags & FL_TASK_THREAD) {
        while (!fl_wake_claimed(task, &seen))
            ;
    } else if (!fl_wake_claimed(task, &seen)) {
        if (NO_STACK && fallible && task == &victim) {
            if (fl_wake_disarm(task))
                return -ENOMEM;
        } else if (fl_wake_save(task)) {
            while (load_acquire(&task->futex) == 0)
                ;
        }
    }
    return fl_wake_finish(task);
}

/* ---- waiting that begins on the next stack ---- */

FL_INLINE void fl_enlist(struct fl_task *task)
{
    (void)task; /* cancel() knows the victim anyway */
}

FL_INLINE bool fl_wait_begin_late(struct fl_task *task)
{
    fl_wake_arm_saved(task);
    if (task != &victim)
        return true;
    fl_barrier_light();
    return load_relaxed(&cancelled) == 0;
}

FL_INLINE bool fl_wait_cancelled_late(struct fl_task *task)
{
    uint32_t seen;
    return fl_wake_swap(task, load_relaxed(&cancelled), true, &seen);
}

/* What the task does after it has left its stack. */
FL_INLINE void leave_stack(struct fl_task *task, struct fl_task *(*stand)(void *arg), void *arg)
{
    struct fl_task *ready_now = stand(arg);
    assert(!ready_now || ready_now == task);
    if (ready_now) { /* if not, it may be gone */
        uint32_t ready = load_relaxed(&task->futex);
        assert(!ready); /* not by somebody else as well */
        fl_make_ready(task);
    }
}

#if NEXT_STACK /* by a thread of its own, because the task may go on before that has ended. A checker cannot have many. */
struct late {
    struct fl_task *task;
    struct fl_task *(*stand)(void *arg);
    void *arg;
};

static void *next_stack(void *arg)
{
    struct late *late = arg;
    leave_stack(late->task, late->stand, late->arg);
    return NULL;
}
#endif

FL_INLINE int fl_wait_late(struct fl_task *task, struct fl_task *(*stand)(void *arg), void *arg, const struct fl_why *why, const void *on)
{
    (void)why, (void)on;
    if (NO_STACK && task == &victim)
        return -ENOMEM;
    store_relaxed(&task->futex, 0);
#if NEXT_STACK
    struct late late = {task, stand, arg};
    start(next_stack, &late);
#else
    leave_stack(task, stand, arg);
#endif
    while (load_acquire(&task->futex) == 0)
        ;
    return fl_wake_finish(task);
}

#endif
