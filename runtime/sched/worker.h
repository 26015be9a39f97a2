/* SPDX-License-Identifier: MIT */
/* The worker: what runs tasks on one CPU, and the runtime that owns the workers. See worker.c for the loop. */
#ifndef FL_SCHED_WORKER_H
#define FL_SCHED_WORKER_H

#include "machine/helpers.h"
#include "machine/ring.h"
#include "machine/sanitizer.h"
#include "machine/stack.h"
#include "machine/thread.h"
#include "machine/topology.h"
#include "sched/deque.h"
#include "sched/idle.h"
#include "sched/inject.h"
#include "sched/monitor.h"
#include "sched/pool.h"
#include "sched/ready.h"
#include "sched/task.h"
#include "sched/timer.h"

#include <filch/runtime.h>

#include <pthread.h>

struct fl_worker;

/** What the floors above give the scheduler, so that no arrow points up. */
struct fl_hooks {
    bool (*fork_ended)(struct fl_task *task, int result); /**< an in-frame fork has ended here; false: its descriptor is kept */
    bool (*fork_awaited)(struct filch_runtime *runtime, int64_t token); /**< its joiner is parked, so its descriptor won't be kept */
    void (*child_failed)(struct filch_scope *scope, int result);        /**< a child returned a negative result */
    void (*unlink)(struct fl_task *task);                               /**< a FL_TASK_LINKED task has ended */
    void (*cancel_operation)(struct fl_task *task, uint64_t waits);     /**< a task parked in an operation was cancelled */
    void (*locals_end)(struct fl_task *task);                           /**< a FL_TASK_LOCALS task ends: may park */
    bool (*stalled)(struct filch_runtime *runtime, struct fl_worker *w, int64_t looked); /**< the host wants to know who stalls w */
    filch_fn *call; /**< what filch_call submits; its argument begins with the program's function. For reports */
    /** Nothing can happen but by tasks: how many are parked, if none can go on; 0: one can, or `still` says that somebody has come meanwhile. */
    size_t (*stuck)(struct filch_runtime *runtime, bool (*still)(struct filch_runtime *runtime), char **ret_text);
};

/** What a worker is for. Regular ones have full duty for ever; a relief's is set by who calls and who dismisses it (sched/relief.c). */
enum fl_duty {
    FL_DUTY_FULL = 0,  /**< takes whatever there is */
    FL_DUTY_LIGHT = 1, /**< only what has been made ready, and timers and completions: beside carriers that compute */
    FL_DUTY_REST = 2,  /**< nothing */
};

/** What the calling thread is: a worker's carrier, that of an isolated task, or none of ours. */
enum fl_worker_kind { FL_KIND_WORKER = 0, FL_KIND_THREAD = 1, FL_KIND_NONE = 2 };

#define FL_MAIL_MAX 64 /* items given away at a time */

/** What a thief that begs is given, by the victim itself. */
struct fl_mail {
    FL_ALIGN_PAIR _Atomic(uint32_t) state; /**< enum fl_mail_state */
    uint32_t count;
    struct fl_item items[FL_MAIL_MAX];
};

enum fl_mail_state { FL_MAIL_NONE = 0, FL_MAIL_HERE = 1 };

struct fl_counters {
    _Atomic(uint64_t) dispatched, parks, steals, steal_attempts, wakes, sleeps;
};

/** Adds to a counter that only the owner writes. */
FL_INLINE void fl_count(_Atomic(uint64_t) *counter, uint64_t n)
{
    store_relaxed(counter, load_relaxed(counter) + n); /* counter */
}

/** What is done on the next stack, once the task that parked is wholly off its own: only then may others find it.
 * @return that task, if it is to be made ready at once; NULL: it waits, and may have gone on already */
typedef struct fl_task *fl_commit_fn(void *arg);

#define FL_BUFFERED 64 /* descriptors whose kind a worker remembers */

/** Whether tasks read one after the other here (io/company.h). */
struct fl_company {
    const struct fl_task *last; /**< who read last; only compared */
    uint32_t changes;           /**< how often it was somebody else, while reads were done at once */
    uint32_t behind;            /**< reads queued behind the first that the kernel has not been told of */
    uint32_t ready;             /**< tasks that were ready at that first one */
};

struct fl_worker {
    struct filch_worker_ hot; /**< current task, floor, budget, kind, deque: what inline functions of programs touch */
    struct filch_runtime *runtime;

    /* the line of the loop: owner only */
    FL_ALIGN_LINE struct filch_scope *ended_scope; /**< children of this scope have ended here ... */
    uint32_t turns;                                /**< so many ready tasks go before the deque */
    uint32_t in_a_row;                             /**< how many newest ones have gone first */
    bool met;                /**< a task has met another since one parked here: the newest ready one goes first, at the next park */
    int64_t ended;           /**< ... so many, which it has not been told of yet */
    struct fl_task *yielded; /**< to append to the ready queue after the switch */
    int *err;                /**< where the carrier's errno is */
    fl_commit_fn *commit;    /**< to call after the switch */
    void *commit_arg;
    struct fl_stack *stack; /**< what it runs on */
    struct fl_task *spare;  /**< the descriptor of the next task the loop runs, or NULL */
    struct fl_pool_cache pool;
    struct fl_stack_cache stacks;
    struct fl_counters counters;

    struct fl_ready ready;
    struct fl_sleeper sleeper;
    struct fl_inject pinned;                          /**< ready tasks that go on nowhere else */
    FL_ALIGN_PAIR _Atomic(struct fl_worker *) beggar; /**< a thief that asks to be given work */
    struct fl_mail mail;                              /**< what this worker was given when it asked */
    struct fl_ring ring;
    struct fl_wheel wheel;

    /* seldom */
    _Atomic(uint32_t) buffered[FL_BUFFERED]; /**< descriptors that are not for direct I/O (io/file.c) */
    struct fl_company company;
    uint32_t found, untried;       /**< how often attempts to receive find something, receives since the last one (io/socket.c), ... */
    uint32_t spared;               /**< ... and how many are passed to the ring before the next */
    unsigned index;                /**< in the runtime's workers; reliefs come after the regular ones */
    _Atomic(unsigned) host;        /**< the regular worker on whose CPU it runs */
    bool fifo;                     /**< its carrier is real-time without time slices: those on one CPU take turns only if they yield */
    bool counted;                  /**< it takes part in the idle protocol */
    _Atomic(uint32_t) duty;        /**< enum fl_duty */
    _Atomic(bool) resting;         /**< a relief that can be called */
    _Atomic(int64_t) blocked;      /**< since when its task has been in a call that was announced, ns; 0: it is in none */
    _Atomic(int64_t) noticed;      /**< when it had last looked round before a stall that the monitor knows of, ns */
    unsigned rounds;               /**< looks round */
    unsigned next_other;           /**< whom it looks at next */
    _Atomic(int64_t) stall_of;     /**< when it had last looked round before a stall on the CPU that somebody has noticed, ns */
    uint32_t held;                 /**< the state of `sleeper` while somebody holds it (sched/search.c); the monitor's lock */
    uint32_t random;               /**< xorshift state */
    int32_t budget_full;           /**< what budget starts at: fewer when tasks are long */
    _Atomic(int64_t) looked;       /**< when it last looked round, ns */
    _Atomic(uint32_t) tells;       /**< of how many operations it tells the kernel, which carries some of them out meanwhile */
    int64_t dug;                   /**< when it gave the oldest item a turn, ns */
    int64_t asked;                 /**< when it last told the kernel of operations, or asked it, ns */
    unsigned source;               /**< whose turn it is in fl_worker_injected */
    bool inject_turn, deque_turn;  /**< whose turn it is when it looks round */
    bool graves_turn;              /**< the same where a deque ends in graves */
    int64_t nap;                   /**< length of the next nap, ns */
    int64_t theft_end, theft_cost; /**< of the last theft; 0: judged */
    uint64_t seen_dispatched;      /**< of the whole runtime, when it last lingered */
    unsigned *victims;             /**< indices of the others, nearest first */
    unsigned victim_class[FL_DISTANCES + 1]; /**< where each distance begins in victims */
    pthread_t thread;
    _Atomic(int) tid;
    _Atomic(int) cpu; /**< where it is pinned, or negative */
    void *abandoned;  /**< where a stack that nobody comes back to would go on */
    void *thread_sp;  /**< the carrier's own stack, while the loop runs */
    void *thread_fiber;
    uintptr_t thread_low, thread_high;
} FL_ALIGN_PAIR;

#define FL_TRIM_AFTER 1000000000 /* ns of rest after which a worker gives the memory of spare stacks back ... */
#define FL_TRIM_KEEP 64          /* ... but for so many a class */

#define FL_WORKERS_MAX 1024
#define FL_RELIEFS_MAX 1024

enum fl_runtime_state { FL_RUNNING = 0, FL_CLOSED = 1, FL_ENDING = 2 };

struct filch_runtime {
    struct fl_idle idle;
    struct fl_inject inject;
    unsigned count;             /**< regular workers */
    unsigned relief_max;        /**< reliefs at most */
    _Atomic(uint32_t) total;    /**< workers that there are, reliefs included: entries of `workers` */
    struct fl_worker **workers; /**< room for all */
    struct fl_inject heavy;     /**< ready hogs that a relief of light duty has passed over */
    struct fl_monitor monitor;
    const struct fl_hooks *hooks;
    struct fl_backend backend;
    struct fl_helpers helpers;
    struct fl_cpus cpus; /**< where threads beside the workers may run: where its starter might */
    struct fl_stacks *stacks;
    unsigned stack_class;
    filch_model model;
    struct fl_pool pool;
    struct fl_topology topology;
    bool pin;
    char name[12];
    _Atomic(uint32_t) state;        /**< enum fl_runtime_state */
    _Atomic(uint32_t) threads;      /**< futex: kernel threads of isolated tasks that have not ended */
    _Atomic(uint32_t) *alive;       /**< a page the kernel wipes in a forked child: 0 there */
    _Atomic(uint32_t) held;         /**< threads of the host that may yet wake a task */
    _Atomic(uint64_t) asked;        /**< how much had happened when it was last asked whether it is stuck */
    uint64_t told_parks;            /**< how many parks there had been when a deadlock was last told; the monitor's lock */
    size_t told_parked;             /**< how many tasks were parked then, 0: none was told; the monitor's lock */
    filch_stall_fn *on_stall;       /**< NULL: the host doesn't want to know */
    int64_t stall_after;            /**< ns */
    filch_deadlock_fn *on_deadlock; /**< NULL: the host doesn't want to know */
    _Atomic(uint32_t) visitors;     /**< plain threads and other runtimes' workers that are about to wake a worker */
    _Atomic(uint32_t) fifos;        /**< counter: being opened (io/file.c) */
    _Atomic(uint32_t) wake_next;    /**< where the search for a sleeper starts */
    struct fl_task root_task;       /**< owner of the root scope: stands for the thread that stops the runtime */
    struct filch_scope root;        /**< the scope of everything submitted */
    struct fl_fork_place forks[FL_FORK_PLACES];
    struct fl_lock outside_lock; /**< guards outside: descriptors for tasks that come from plain threads */
    struct fl_pool_cache outside;
    struct fl_stack_cache outside_stacks;
};

/** Stands for the worker of a plain thread: it has no task, no deque, no runtime. */
extern __attribute__((visibility("hidden"))) struct fl_worker fl_no_worker;

/** The calling thread's worker, or fl_no_worker. Read again after every call that may park. */
FL_INLINE struct fl_worker *fl_self(void)
{
    return (struct fl_worker *)filch_self_();
}

/** How many workers there are, reliefs included. Any thread. */
FL_INLINE unsigned fl_total(const struct filch_runtime *runtime)
{
    return load_acquire(&((struct filch_runtime *)(uintptr_t)runtime)->total); /* [total] pairs with fl_relief_new */
}

FL_INLINE bool fl_is_relief(const struct fl_worker *w)
{
    return w->index >= w->runtime->count;
}

/** Whether it may take everything that there is. */
FL_INLINE bool fl_full_duty(struct fl_worker *w)
{
    return load_relaxed(&w->duty) == FL_DUTY_FULL; /* hint: whoever changes it wakes the relief */
}

/** The task a worker runs; NULL: the loop, or a plain thread. */
FL_INLINE struct fl_task *fl_worker_task(const struct fl_worker *w)
{
    return (struct fl_task *)w->hot.current_; /* the head is a task's first member */
}

FL_INLINE void fl_worker_set_task(struct fl_worker *w, struct fl_task *task)
{
    store_relaxed(fl_atomic(struct filch_task_head_ *, &w->hot.current_), task ? &task->head : NULL); /* own: others take it as a hint */
}

/** Whether it runs a task, for others. */
FL_INLINE bool fl_is_busy(struct fl_worker *w)
{
    return load_relaxed(fl_atomic(struct filch_task_head_ *, &w->hot.current_)) != NULL; /* hint: looked at again, or of no consequence */
}

/** The calling task, or NULL on a plain thread or in the loop. */
FL_INLINE struct fl_task *fl_current(void)
{
    return fl_worker_task(fl_self());
}

/** The floor for calls in place on a stack: a quarter of it is left to each task that is run. */
FL_INLINE uintptr_t fl_stack_floor(const struct fl_stack *stack)
{
    return stack->low + ((uintptr_t)1 << (FL_STACK_MIN_SHIFT + stack->cls) >> 2);
}

/** Puts a descriptor where the loop finds one first. */
FL_INLINE void fl_worker_put_task(struct fl_worker *w, struct fl_task *task)
{
    if (likely(!w->spare))
        w->spare = task;
    else
        fl_pool_put(&w->pool, task);
}

#define FL_ASKED (INT32_MIN / 2) /* a budget of whose worker somebody wants a look round */

/** Wants it to look round at its next dispatch. It may write over that: so whoever wants it says it again until it has looked. Any thread. */
FL_INLINE void fl_worker_ask(struct fl_worker *w)
{
    store_relaxed(fl_atomic(int32_t, &w->hot.budget_), FL_ASKED); /* hint: as above */
}

FL_INLINE bool fl_worker_is_asked(struct fl_worker *w)
{
    return load_relaxed(fl_atomic(int32_t, &w->hot.budget_)) < FL_ASKED / 2; /* hint: as above */
}

/** Makes the call to the kernel due, for a look round that comes before the next search. The owner alone. */
FL_INLINE void fl_worker_make_call_due(struct fl_worker *w)
{
    w->asked = 0;
}

/** Counts a dispatch. @return whether it is time to look round: because somebody has asked for it, or by its count since `more` dispatches. */
FL_INLINE bool fl_worker_overdue(struct fl_worker *w, int32_t more)
{
    _Atomic(int32_t) *budget = fl_atomic(int32_t, &w->hot.budget_);
    int32_t left = load_relaxed(budget) - 1; /* hint: fl_worker_ask */
    store_relaxed(budget, left);             /* hint: as above */
    return unlikely(left + more <= 0);
}

/** Counts a dispatch. @return whether it is time to look round. */
FL_INLINE bool fl_worker_due(struct fl_worker *w)
{
    return fl_worker_overdue(w, 0);
}

/** Whether it is time to look round, as somebody else has counted. */
FL_INLINE bool fl_worker_spent(struct fl_worker *w)
{
    return load_relaxed(fl_atomic(int32_t, &w->hot.budget_)) <= 0; /* hint: fl_worker_due */
}

/** The calling task has met another at a rendezvous: it gives way to that one when it parks. */
FL_INLINE void fl_worker_met(void)
{
    struct fl_worker *w = fl_self();
    if (likely(w->hot.kind_ == FL_KIND_WORKER))
        w->met = true;
}

/** Whether other tasks wait for this worker. */
FL_INLINE bool fl_worker_busy(struct fl_worker *w)
{
    return fl_ready_size_hint(&w->ready) != 0 || fl_deque_size_hint(&w->hot.deque_) != 0;
}

/** Whether the caller's frame leaves no room to run a task in place. */
FL_INLINE bool fl_deep(struct fl_worker *w)
{
    return (uintptr_t)__builtin_frame_address(0) <= w->hot.floor_;
}

/** Makes a parked or new task runnable: at the end of this worker's ready queue, else of the runtime's inject queue; wakes somebody if need be.
 * The caller owns the task (it has claimed its wake). Any thread. Never fails. */
void fl_make_ready(struct fl_task *task);

/** The same for a task, parked or new, that comes from none of the runtime's workers: to the inject queue; wakes a worker, and the monitor if it must know. */
FL_NOINLINE void fl_push_from_outside(struct filch_runtime *runtime, struct fl_task *task);

/** Wakes a sleeping worker. */
FL_COLD void fl_wake_one(struct filch_runtime *runtime);

/** After work was published: wakes somebody if nobody would look. */
FL_INLINE void fl_notify(struct filch_runtime *runtime)
{
    if (fl_idle_wanted(&runtime->idle))
        fl_wake_one(runtime);
}

/** Looks at the ring, the timers, and whose turn it is; resets the budget. @return a task that must go first, or NULL. */
FL_COLD struct fl_task *fl_worker_look_round(struct fl_worker *w);

/** Whether nobody is ready on a worker whose task is about to wait, and it is not time to look round. */
FL_INLINE bool fl_worker_is_dry(struct fl_worker *w)
{
    return fl_ready_size_hint(&w->ready) == 0 && fl_deque_size_hint(&w->hot.deque_) == 0 && !w->ended_scope && fl_full_duty(w) &&
           !fl_worker_spent(w);
}

/** The kernel is told of what is queued, and what has ended is heard of, by a task that is about to wait for its operation while nobody else is ready: the loop would do just
 * that, but needs a stack first. Its own may have ended then, too. */
FL_NOINLINE void fl_worker_hear(struct fl_worker *w);

#define IO_LINES 10 /* of a stack, from where a task in an operation was left up to the frame of who called it */

/** Fetches what resuming the tasks a few places on will touch. Only when the queue is so long that they are not in the cache anyway. */
FL_INLINE void fl_worker_prefetch(struct fl_worker *w)
{
    if (likely(fl_ready_size_hint(&w->ready) < 2048))
        return;
    struct fl_task *far = fl_ready_peek(&w->ready, 8), *near = fl_ready_peek(&w->ready, 4);
    if (unlikely(!far || !near)) /* thieves were here */
        return;
    __builtin_prefetch(&far->sp, 1);
    char *sp = near->sp;
    for (int line = 0; line < 7; line++)
        __builtin_prefetch(sp + line * FL_LINE, 1);
}

/** The same for the next task but one, for a task that parks where the kernel works between two turns: nothing of theirs is in the cache by then, however few they
 * are. */
FL_INLINE void fl_worker_prefetch_next(struct fl_worker *w)
{
    struct fl_task *near = FL_TSAN ? NULL : fl_ready_peek(&w->ready, 1); /* it may run elsewhere by now */
    if (!near)
        return;
    char *sp = near->sp;
    for (int line = 0; line < IO_LINES; line++)
        __builtin_prefetch(sp + line * FL_LINE, 1);
}

/** Tells the scope whose children ended here how many did. @return its joiner, if that was all it waited for: the caller must run it or make it ready. */
struct fl_task *fl_worker_tell(struct fl_worker *w);

/** A ready hog is not for this worker. */
void fl_worker_put_aside(struct fl_worker *w, struct fl_task *task);

/** The next task that its duty allows of those in no ready queue: pinned here, from outside, put aside; or NULL. */
struct fl_task *fl_worker_injected(struct fl_worker *w);

/** When the earliest timer of all workers is due, ns; of others a little later, for those that are awake to look after theirs. */
int64_t fl_worker_earliest_timer(struct fl_worker *w);

/** Out of work: looks at hand and at the others, and sleeps, until there is a task. NULL: the runtime ends. sched/search.c */
struct fl_task *fl_worker_search(struct fl_worker *w);

/** The bottom frame of every stack: runs tasks one after another until the runtime ends. */
void fl_worker_loop(void);

/** The thread of a worker. */
void *fl_worker_main(void *worker);

/** @return 0, -ENOMEM or a code of fl_ring_init. The thread is not started. */
int fl_worker_new(struct filch_runtime *runtime, unsigned index, struct fl_worker **ret_worker);
void fl_worker_free(struct fl_worker *w);

/* sched/steal.c */

/** Fills w->victims; a relief has its host's. @return 0 or -ENOMEM. */
int fl_steal_init(struct fl_worker *w);

/** Gives the thief that begs of this worker a part of its deque. Called when `beggar` is set, by the owner, at its look round. */
FL_COLD void fl_steal_give(struct fl_worker *w);

/** Does for a stalled worker what it has no time for, and takes over the older half of what is ready there. At the caller's look round. */
FL_COLD void fl_steal_relieve(struct fl_worker *w, struct fl_worker *victim, int64_t now);

/** Tries to take work from the others once round. @return a task, or NULL. */
struct fl_task *fl_steal(struct fl_worker *w);

/** Whether any worker or the inject queue seems to have work that nobody runs. */
bool fl_work_visible(struct filch_runtime *runtime);

/** Gives an item of a deque the descriptor it runs with. NULL: no memory for one. */
struct fl_task *fl_item_task(struct fl_worker *w, const struct fl_item *item);

/** A descriptor for callers that have no worker of their own; the runtime's lock. */
struct fl_task *fl_outside_get(struct filch_runtime *runtime);
void fl_outside_put(struct filch_runtime *runtime, struct fl_task *task);
/** The same for stacks; the worker that the task ends on keeps it. */
struct fl_stack *fl_outside_stack(struct filch_runtime *runtime, unsigned cls);

#endif
