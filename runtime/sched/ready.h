/* SPDX-License-Identifier: MIT */
/* The ready queue: first in, first out, of tasks that parked and may go on. One a worker; the owner's side costs no locked instruction. Its owner may also take the
 * newest, which is for it to use with measure (sched/park.c).
 *
 * The owner pushes and pops; thieves take half. Mutual exclusion is biased towards the owner: it announces itself with a plain store,
 * looks whether a thief wants in, and is inside. A thief says that it wants in, runs the heavy barrier, takes the real lock, and waits
 * until the owner, if it was inside by the fast way, is out. From the barrier on until no thief wants in any more the owner takes the real lock too.
 * What is inside never runs user code, so a stalled task cannot keep its worker's queue shut.
 * No system call, no assembly, no TLS stands in this file: a model checker compiles it as it is (tests/model/).
 *
 * Invariants
 *   1. head <= tail; the tasks are the indices [head, tail), task i in slot i & mask.
 *   2. Only who is inside touches head, tail, mask and slots. Inside are: the owner while `inside` is 1 and it has read wants = 0 after
 *      that; or whoever holds `lock` and has read inside = 0 after its heavy barrier (thief), or holds `lock` (owner, which does so while a thief wants in, to
 *      grow, and always where the light barrier would be a fence).
 *
 * Memory ordering
 *   [bias]   owner: writes inside, light barrier, reads wants. Thief: counts wants up, heavy barrier, reads inside. One of them sees the other.
 *   [leave]  the owner stores inside = 0 with release, the thief loads it with acquire: it sees what the owner did inside.
 *   [calm]   a thief counts wants down with release after its work, the owner loads wants with acquire: it sees what the thief did.
 *
 * Rejected: a bounded ring whose head both sides swap (a locked instruction a pop: 4.4 ns of a yield's 12, and an overflow queue that
 * lets a burst starve what came first); a plain lock (two locked instructions a yield); batches that the owner takes out for
 * itself (stranded when it stalls).
 *
 * Who may call: push, the pops and fini the owner; take_half and size_hint anybody. */
#ifndef FL_SCHED_READY_H
#define FL_SCHED_READY_H

#include "base/atomic.h"
#include "base/attr.h"
#include "base/barrier.h"
#include "base/lock.h"

#include <stdlib.h>

#ifndef FL_READY_FIRST_CAPACITY
#define FL_READY_FIRST_CAPACITY 256 /* a power of two */
#endif
#ifndef FL_READY_SPINS
#define FL_READY_SPINS 2000 /* a thief gives up on an owner that the kernel has taken off its CPU while inside */
#endif

struct fl_task;

struct fl_ready {
    _Atomic(uint32_t) inside; /**< own: the owner is in by the fast way */
    _Atomic(uint64_t) head;
    _Atomic(uint64_t) tail;
    uint64_t mask;
    struct fl_task **slots;
    FL_ALIGN_PAIR _Atomic(uint32_t) wants; /**< thieves at the door */
    struct fl_lock lock;
};

/** @return false: no memory. */
FL_INLINE bool fl_ready_init(struct fl_ready *q)
{
    q->slots = malloc(FL_READY_FIRST_CAPACITY * sizeof(struct fl_task *));
    q->mask = FL_READY_FIRST_CAPACITY - 1;
    store_relaxed(&q->inside, 0); /* init: no thief yet */
    store_relaxed(&q->head, 0);   /* init: no thief yet */
    store_relaxed(&q->tail, 0);   /* init: no thief yet */
    store_relaxed(&q->wants, 0);  /* init: no thief yet */
    q->lock = (struct fl_lock){0};
    return q->slots != NULL;
}

FL_INLINE void fl_ready_fini(struct fl_ready *q)
{
    free(q->slots);
}

/** How many tasks there seem to be; may be stale, never a promise. */
FL_INLINE uint64_t fl_ready_size_hint(struct fl_ready *q)
{
    uint64_t h = load_relaxed(&q->head); /* hint: only tells whether a look is worth while */
    uint64_t t = load_relaxed(&q->tail); /* hint: as above */
    return t > h ? t - h : 0;
}

/** Doubles the ring; inside. @return false: no memory. */
FL_SLOW bool fl_ready_grow(struct fl_ready *q)
{
    uint64_t capacity = q->mask + 1;
    struct fl_task **wide = malloc(2 * capacity * sizeof(struct fl_task *));
    if (!wide)
        return false;
    uint64_t tail = load_relaxed(&q->tail);                  /* own: inside */
    for (uint64_t i = load_relaxed(&q->head); i < tail; i++) /* own: inside */
        wide[i & (2 * capacity - 1)] = q->slots[i & q->mask];
    free(q->slots);
    q->slots = wide;
    q->mask = 2 * capacity - 1;
    return true;
}

/** As fl_ready_push and fl_ready_pop, but false or NULL also where those would wait, or grow: for callers that have a slower way. They call nothing, so a
 * function that uses them and ends in a jump need save no registers. */
FL_INLINE bool fl_ready_push_fast(struct fl_ready *q, struct fl_task *task)
{
    store_relaxed(&q->inside, 1);           /* [bias] pairs with fl_ready_take_half */
    bool light = fl_barrier_try_light();    /* [bias] orders the store before the load */
    uint64_t tail = load_relaxed(&q->tail); /* own: only the owner appends */
    bool ok =
        light && likely(load_acquire(&q->wants) == 0) && likely(tail - load_relaxed(&q->head) <= q->mask); /* [calm] [bias]; own: inside */
    if (likely(ok)) {
        q->slots[tail & q->mask] = task;
        store_relaxed(&q->tail, tail + 1); /* own: inside; [leave] publishes it */
    }
    store_release(&q->inside, 0); /* [leave] pairs with fl_ready_take_half */
    return ok;
}

FL_INLINE struct fl_task *fl_ready_pop_fast(struct fl_ready *q, bool newest)
{
    struct fl_task *task = NULL;
    store_relaxed(&q->inside, 1);                        /* [bias] pairs with fl_ready_take_half */
    bool light = fl_barrier_try_light();                 /* [bias] orders the store before the load */
    if (light && likely(load_acquire(&q->wants) == 0)) { /* [calm] [bias] pairs with fl_ready_take_half */
        uint64_t head = load_relaxed(&q->head);          /* own: inside */
        uint64_t tail = load_relaxed(&q->tail);          /* own: inside */
        if (head != tail && newest) {
            task = q->slots[--tail & q->mask];
            store_relaxed(&q->tail, tail); /* own: inside; [leave] publishes it */
        } else if (head != tail) {
            task = q->slots[head & q->mask];
            store_relaxed(&q->head, head + 1); /* own: inside; [leave] publishes it */
        }
    }
    store_release(&q->inside, 0); /* [leave] pairs with fl_ready_take_half */
    return task;
}

FL_SLOW bool fl_ready_push_slow(struct fl_ready *q, struct fl_task *task)
{
    fl_lock_take(&q->lock);
    uint64_t tail = load_relaxed(&q->tail);                                 /* own: inside */
    bool ok = tail - load_relaxed(&q->head) <= q->mask || fl_ready_grow(q); /* own: inside */
    if (ok) {
        q->slots[tail & q->mask] = task;
        store_relaxed(&q->tail, tail + 1); /* own: inside; the lock publishes it */
    }
    fl_lock_give(&q->lock);
    return ok;
}

FL_SLOW struct fl_task *fl_ready_pop_slow(struct fl_ready *q)
{
    struct fl_task *task = NULL;
    fl_lock_take(&q->lock);
    uint64_t head = load_relaxed(&q->head); /* own: inside */
    if (head != load_relaxed(&q->tail)) {   /* own: inside */
        task = q->slots[head & q->mask];
        store_relaxed(&q->head, head + 1); /* own: inside; the lock publishes it */
    }
    fl_lock_give(&q->lock);
    return task;
}

/** Appends `task`. @return false: no memory, not appended. */
FL_INLINE bool fl_ready_push(struct fl_ready *q, struct fl_task *task)
{
    if (likely(fl_ready_push_fast(q, task)))
        return true;
    return fl_ready_push_slow(q, task);
}

/** Takes the oldest task, or NULL. */
FL_INLINE struct fl_task *fl_ready_pop(struct fl_ready *q)
{
    if (fl_ready_size_hint(q) == 0)
        return NULL;
    struct fl_task *task = fl_ready_pop_fast(q, false);
    return likely(task != NULL) ? task : fl_ready_pop_slow(q);
}

/** Takes the newest task, or, while a thief is about, the oldest; or NULL. */
FL_INLINE struct fl_task *fl_ready_pop_newest(struct fl_ready *q)
{
    if (fl_ready_size_hint(q) == 0)
        return NULL;
    struct fl_task *task = fl_ready_pop_fast(q, true);
    return likely(task != NULL) ? task : fl_ready_pop_slow(q);
}

/** The task `n` places behind the head, for prefetching; NULL when there is none. Owner only; may be stale: prefetch, don't touch. */
FL_INLINE struct fl_task *fl_ready_peek(struct fl_ready *q, uint64_t n)
{
    uint64_t i = load_relaxed(&q->head) + n;                          /* hint: only prefetched */
    return i < load_relaxed(&q->tail) ? q->slots[i & q->mask] : NULL; /* own: only the owner appends and replaces slots */
}

/** Takes the older half (rounded up, at most `max`) of another worker's queue, oldest first, into `ret_tasks`.
 * @return how many; 0: empty, or its owner was inside all the time. */
static inline unsigned fl_ready_take_half(struct fl_ready *q, struct fl_task **ret_tasks, unsigned max)
{
    add_seq_cst(&q->wants, 1); /* [bias] pairs with fl_ready_push_fast */
    fl_barrier_heavy();        /* [bias] orders the count before the read of inside */
    fl_lock_take(&q->lock);
    unsigned spins = 0, n = 0;
    while (load_acquire(&q->inside) != 0 && ++spins < FL_READY_SPINS) /* [leave] pairs with fl_ready_pop_fast */
        fl_relax();
    if (spins < FL_READY_SPINS) {
        uint64_t head = load_relaxed(&q->head);        /* own: inside */
        uint64_t size = load_relaxed(&q->tail) - head; /* own: inside */
        uint64_t take = size - size / 2;
        for (n = 0; n < take && n < max; n++)
            ret_tasks[n] = q->slots[(head + n) & q->mask];
        store_relaxed(&q->head, head + n); /* own: inside; the lock and [calm] publish it */
    }
    fl_lock_give(&q->lock);
    sub_release(&q->wants, 1); /* [calm] pairs with fl_ready_push_fast */
    return n;
}

#endif
