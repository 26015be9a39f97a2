/* SPDX-License-Identifier: MIT */
/* The task: three words in a deque, then perhaps a descriptor, then perhaps a stack.
 *
 * A spawned task is an item in its worker's deque: function, argument, scope. Nothing else exists of it until somebody runs it. A joiner runs its
 * own child as a plain call, on its own stack and under its own descriptor; the loop uses one descriptor over and over. Only when a task
 * parks does the stack it happens to run on become its own, with all the callers below it, and a fresh stack carries the loop on.
 *
 * States, and who may touch the descriptor in each
 *   running    the worker whose `current` it is, and only that one
 *   parked     sp, stack and low are valid; nobody touches it but through `wake`: who claims it (sched/wake.h) owns it
 *   ready      in a ready queue or the inject queue; who takes it from there owns it
 *   new        a descriptor made at the spawn because there was more to say than three words (a name, a stack of its own, from outside)
 *   ended      on a free list; `next` is the list's
 *
 * Everything up to `waits` but fn, arg and link is set when a task begins; what comes after only once it has FL_TASK_PARKED. */
#ifndef FL_SCHED_TASK_H
#define FL_SCHED_TASK_H

#include "base/atomic.h"
#include "base/list.h"
#include "base/lock.h"
#include "sched/timer.h"

#include <filch/task.h>

struct filch_runtime;
struct fl_locals;
struct fl_stack;

/** Flags of a task. All but zero send its end through the slow path. */
enum fl_task_flag {
    FL_TASK_LINKED = 1,   /**< in its scope's list of tasks that have parked (sync/cancel.c) */
    FL_TASK_FRAME = 2,    /**< carries a stolen in-frame fork, which counts in no scope (sync/frame.c) */
    FL_TASK_THREAD = 4,   /**< a kernel thread of its own (FILCH_MODEL_11), or a plain thread that waits */
    FL_TASK_NEW = 8,      /**< has not begun; `sp` is set if it was given a stack of its own */
    FL_TASK_PARKED = 16,  /**< has parked on the stack it runs on */
    FL_TASK_LOCALS = 32,  /**< has task-local values (sync/local.c) */
    FL_TASK_PINNED = 128, /**< goes on on its home worker alone (sched/announce.c) */
    FL_TASK_HOG = 64,     /**< has computed for long without a stop, while it had a stack to be kept (sched/relief.c) */
};

#define FL_TASK_BOUND (FL_TASK_THREAD | FL_TASK_PINNED) /* never in a ready queue */

/** One who has come first to the place where an in-frame fork ends and is met (sync/frame.c). */
struct fl_fork_end {
    struct fl_fork_end *next;
    int64_t token;
    struct fl_task *joiner; /**< who waits; NULL: the fork has ended, and this lies in its descriptor */
    int32_t result;
    bool ended;
};

#define FL_FORK_PLACES 16 /* parts of the table, a lock each */
#define FL_FORK_FEW 4     /* lists of a part before it grows; a power of two */

/** A part of the table of notes: linear hashing (W. Litwin, VLDB 1980), which grows by a list at a time, so that nobody waits for long. */
struct fl_fork_place {
    FL_ALIGN_PAIR struct fl_lock lock;
    uint64_t notes;
    uint64_t mask;  /**< lists at the last doubling, less 1; all-zero means FL_FORK_FEW - 1 */
    uint64_t split; /**< so many of these have been split in two since */
    uint64_t room;  /**< lists that `lists` has room for; 0: `few` */
    struct fl_fork_end **lists;
    struct fl_fork_end *few[FL_FORK_FEW];
};

#define FL_SOMEBODY ((const void *)1) /* a holder whom the object does not know */

/** Why a task is parked. */
struct fl_why {
    const char *name;
    /** Who must act before the object lets a task through: a task, a thread, FL_SOMEBODY; NULL: anybody may. For reports, while no task moves. */
    const void *(*holder)(const void *object);
};

struct fl_task {
    struct filch_task_head_ head; /**< innermost open scope; first, because the public inline functions look here */
    struct filch_scope *scope;    /**< the scope it is a child of */
    union {
        const char *name;
        int64_t token; /**< FL_TASK_FRAME: which in-frame fork it is; those have no name */
    };
    struct filch_runtime *runtime; /**< NULL: a plain thread */
    union {
        struct {
            filch_fn *fn; /**< what it runs; used once, when it begins */
            union {
                void *arg;
                struct fl_locals *locals; /**< FL_TASK_LOCALS: it has begun, and arg was used */
            };
            struct fl_list link; /**< FL_TASK_LINKED: in the scope's list */
        };
        struct fl_fork_end fork_end; /**< FL_TASK_FRAME: once it has ended, until it is met */
    };
    /* the second line: what a switch touches */
    uint32_t flags;           /**< enum fl_task_flag */
    int32_t err;              /**< errno, kept while parked */
    _Atomic(uint32_t) wake;   /**< sched/wake.h */
    _Atomic(uint32_t) futex;  /**< FL_TASK_THREAD: 1 once it may go on */
    _Atomic(uint64_t) waits;  /**< names the operation it is parked in, for cancelling it (io/op.c); 0: none */
    void *sp;                 /**< where it goes on; NULL: it has not begun */
    uintptr_t low;            /**< worker's floor for its stack */
    struct fl_stack *stack;   /**< the stack it parked on */
    const struct fl_why *why; /**< why it is parked, for dumps; lives for ever; NULL: it is not */
    union {
        const void *on;       /**< while it is parked: the object that it waits for */
        struct fl_task *next; /**< free list, inject queue */
    };
    /* the third line */
    struct fl_timer timer; /**< of its sleep: here and not on its stack, where each look would be a page of its own (docs/decisions/0008) */
    void *fake;            /**< ASan's handle of its frames, while it is parked */
    int32_t drained;       /**< the socket that it last received all from that was there, plus one: a hint (io/socket.c) */
    uint16_t home;         /**< FL_TASK_PINNED: index of that worker */
    uint8_t pins;          /**< FL_TASK_PINNED: how often */
    bool shaded;           /**< in a shield: cancels of the scope it is a child of pass it over; under that scope's lock */
};

_Static_assert(sizeof(struct fl_task) == 192, "three lines");
_Static_assert(offsetof(struct fl_task, head) == 0, "filch_scope_leave_ writes through owner_");
_Static_assert(offsetof(struct fl_task, flags) == 64, "a switch touches the second line");

/** Its name, or NULL. */
FL_INLINE const char *fl_task_name(const struct fl_task *task)
{
    return task->flags & FL_TASK_FRAME ? NULL : task->name;
}

/** A task of `runtime` and `scope` begins in `task`. */
FL_INLINE void fl_task_begin(struct fl_task *task, struct filch_runtime *runtime, struct filch_scope *scope)
{
    task->head.inner_ = scope;
    task->scope = scope;
    task->name = NULL;
    task->runtime = runtime;
    task->flags = 0;
    task->err = 0;
    task->shaded = false;
    store_relaxed(&task->wake, 0);                    /* init: nobody knows of the task */
    store_relaxed(&task->futex, 0);                   /* init: nobody knows of the task */
    store_relaxed(&task->waits, 0);                   /* init: nobody knows of the task */
    store_relaxed(&task->timer.state, FL_TIMER_IDLE); /* init: nobody knows of the task */
}

#endif
