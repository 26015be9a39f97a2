/* SPDX-License-Identifier: MIT */
/* Private: the few lines of the runtime that must be inline for spawn and join to cost nanoseconds. Use filch/task.h.
 *
 * The owner's side of the work-stealing deque lives here, because a call alone costs half of what a fork may; the thieves' side, and the essay with the
 * invariants and the memory ordering, in runtime/sched/deque.h, which builds on this file. Model checkers compile both. Written with the
 * compiler's __atomic builtins on plain types, so that C++ can include it.
 *
 * A worker's first lines are laid out here; the rest of it is the runtime's business. */
#ifndef FILCH_HOT_H
#define FILCH_HOT_H

#include <filch/version.h>

#define FILCH_LIKELY_(x) __builtin_expect(!!(x), 1)
#define FILCH_UNLIKELY_(x) __builtin_expect(!!(x), 0)

struct filch_scope;

/* The part of a task that inline functions must see. */
struct filch_task_head_ {
    struct filch_scope *inner_; /* innermost open scope */
};

/* An item of a deque: what to call, with what, and whose it is; for an in-frame fork that has been moved also its token. */
struct filch_slot_ {
    uintptr_t fn_, arg_, whose_;
    int64_t token_;
};

#define FILCH_STEP_ ((int64_t)sizeof(struct filch_slot_)) /* indices count bytes: an index, masked, is where its slot lies */
#define FILCH_WHOSE_FRAME_ ((uintptr_t)1)                 /* an in-frame fork; the rest is the scope it was forked in */

/* Slots follow. */
struct filch_buffer_ {
    int64_t mask_;                /* capacity - FILCH_STEP_ */
    struct filch_buffer_ *older_; /* the one this replaced */
    uintptr_t unused_[2];
};

struct filch_deque_ {
    int64_t bottom_; /* atomic: the owner writes it */
    int64_t limit_;  /* the owner's: a put at this index is for the slow path */
    char *slots_;    /* the owner's: those of buffer_ */
    int64_t mask_;   /* the owner's: that of buffer_ */
    /* From here on not for inline functions. */
    struct filch_buffer_ *buffer_; /* atomic: the owner writes it; NULL: no deque at all */
    int64_t full_;                 /* the owner's: a put at this index needs room to be made first */
    uintptr_t fenced_;             /* membarrier(2) is missing: inline functions find nothing here that they can use */
    int64_t names_;                /* the owner's: for forks that are not named after their place, runtime/sched/deque.h */
    uintptr_t unused_[8];
    int64_t top_; /* atomic: thieves and owner count it up */
    uintptr_t unused2_[15];
};

struct filch_worker_ {
    struct filch_task_head_ *current_; /* the task that runs; NULL: none */
    const uint64_t *idle_;             /* atomic: who searches and who sleeps, runtime/sched/idle.h */
    uintptr_t floor_;                  /* a call in place needs its frame above this address */
    int32_t budget_;                   /* atomic: calls in place and dispatches until the next look round */
    uint32_t kind_;
    uintptr_t unused_[12];
    struct filch_deque_ deque_;
};

/* The one thread-local variable: the calling thread's worker; on a plain thread one that has no task and no deque. */
FILCH_API_DATA __thread struct filch_worker_ *filch_worker_tls_ __attribute__((tls_model("initial-exec")));

/* Never cached by the compiler: a task that parked may go on on another thread. */
static inline struct filch_worker_ *filch_self_(void)
{
    struct filch_worker_ *worker;
#if defined(__x86_64__)
    __asm__ volatile("movq filch_worker_tls_@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(worker));
#elif defined(__aarch64__)
    uintptr_t offset;
    __asm__ volatile(
        "mrs %0, tpidr_el0\n\tadrp %1, :gottprel:filch_worker_tls_\n\tldr %1, [%1, #:gottprel_lo12:filch_worker_tls_]\n\tldr %0, [%0, %1]"
        : "=&r"(worker), "=&r"(offset));
#endif
    return worker;
}

/* The light half of the asymmetric barrier, runtime/base/barrier.h. Where membarrier is missing these functions never come to it. */
static inline void filch_barrier_(void)
{
#ifdef FL_MODEL
    FL_MODEL_LIGHT();
#else
    __asm__ volatile("" ::: "memory");
#endif
}

static inline struct filch_slot_ *filch_slot_at_(struct filch_buffer_ *buffer, int64_t index)
{
    return (struct filch_slot_ *)((char *)(buffer + 1) + (index & buffer->mask_));
}

/* The same for the owner, in the present buffer. */
static inline struct filch_slot_ *filch_slot_own_(const struct filch_deque_ *d, int64_t index)
{
    return (struct filch_slot_ *)(d->slots_ + (index & d->mask_));
}

/* Whether bottom is `guess`, in a way the compiler learns nothing from. A right guess takes the load of bottom off the critical path: push and pop otherwise
 * form a chain through memory, a store-to-load forwarding each, which no reordering hides. */
static inline bool filch_deque_guessed_(const struct filch_deque_ *d, int64_t guess)
{
#if defined(__x86_64__) && !defined(FL_MODEL)
    bool same;
    __asm__ volatile("cmpq %1, %2" : "=@cce"(same) : "r"(guess), "m"(d->bottom_) : "memory");
    return same;
#else
    return __atomic_load_n(&d->bottom_, __ATOMIC_RELAXED) == guess; /* own: only the owner writes it */
#endif
}

/* Puts an item at index b, which is bottom, into its slot. Returns bottom as it is now. */
static inline int64_t filch_deque_put_(struct filch_deque_ *d, struct filch_slot_ *slot, int64_t b, uintptr_t fn, uintptr_t arg,
                                       uintptr_t whose)
{
    __atomic_store_n(&slot->fn_, fn, __ATOMIC_RELAXED);               /* [publish] by the store of bottom */
    __atomic_store_n(&slot->arg_, arg, __ATOMIC_RELAXED);             /* [publish] by the store of bottom */
    __atomic_store_n(&slot->whose_, whose, __ATOMIC_RELAXED);         /* [publish] by the store of bottom */
    __atomic_store_n(&d->bottom_, b + FILCH_STEP_, __ATOMIC_RELEASE); /* [publish] pairs with fl_deque_steal */
    return b + FILCH_STEP_;
}

/* The first half of a claim of index b, the one below bottom. */
static inline void filch_deque_lower_(struct filch_deque_ *d, int64_t b)
{
    __atomic_store_n(
        &d->bottom_, b,
        __ATOMIC_RELEASE); /* [publish] of what lies below; [fence] the barrier that follows orders it before the read of top */
}

/* The second half. Returns whether it was still there. */
static inline bool filch_deque_lowered_(struct filch_deque_ *d, int64_t b)
{
    int64_t t = __atomic_load_n(&d->top_, __ATOMIC_RELAXED); /* [fence] the read behind the barrier */
    if (FILCH_LIKELY_(t < b))
        return true;
    bool got = t == b && __atomic_compare_exchange_n(&d->top_, &t, t + FILCH_STEP_, false, __ATOMIC_SEQ_CST,
                                                     __ATOMIC_SEQ_CST); /* [take] against a thief */
    __atomic_store_n(&d->bottom_, b + FILCH_STEP_,
                     __ATOMIC_RELAXED); /* own: gives the claim up; a thief that reads the old value misses nothing */
    return got;
}

static inline bool filch_deque_claim_(struct filch_deque_ *d, int64_t b)
{
    filch_deque_lower_(d, b);
    filch_barrier_(); /* [fence] pairs with fl_deque_steal */
    return filch_deque_lowered_(d, b);
}

/* Takes the newest item back if it is `whose`; its slot stays readable until the next put. Returns false when it is not, or a thief has it: nothing was taken. */
static inline bool filch_deque_take_back_(struct filch_deque_ *d, uintptr_t whose, struct filch_slot_ **ret_slot)
{
    int64_t b = __atomic_load_n(&d->bottom_, __ATOMIC_RELAXED) - FILCH_STEP_; /* own: only the owner writes it */
    struct filch_slot_ *slot = filch_slot_own_(d, b);
    *ret_slot = slot;
    return FILCH_LIKELY_(__atomic_load_n(&slot->whose_, __ATOMIC_RELAXED) == whose) && /* own: only the owner writes slots */
           filch_deque_claim_(d, b);
}

/* Whether the caller's stack has room for a call in place. */
static inline bool filch_shallow_(const struct filch_worker_ *worker)
{
#if defined(__x86_64__) && !defined(FL_MODEL)
    bool room; /* not by __builtin_frame_address, for which the whole function would have to keep a frame pointer */
    __asm__ volatile("cmpq %1, %%rsp" : "=@cca"(room) : "m"(worker->floor_));
    return room;
#else
    return (uintptr_t)__builtin_frame_address(0) > worker->floor_;
#endif
}

/* Whether the caller may run a child in place now: the look round is not due, and this stack has room. */
static inline bool filch_may_nest_(struct filch_worker_ *worker)
{
    /* unsigned: an isolated task's is never refilled */
    int32_t budget =
        (int32_t)((uint32_t)__atomic_load_n(&worker->budget_, __ATOMIC_RELAXED) - 1); /* hint: who wants a look makes it negative */
    __atomic_store_n(&worker->budget_, budget, __ATOMIC_RELAXED);                     /* hint: it does so again if this hides it */
    return FILCH_LIKELY_(budget > 0) && FILCH_LIKELY_(filch_shallow_(worker));
}

/* Whether somebody sleeps who may have to be woken for what was just put. (Where membarrier is missing: always.) */
static inline bool filch_sleepers_(struct filch_worker_ *worker)
{
    filch_barrier_();                                                 /* [doze] pairs with fl_idle_doze */
    uint64_t word = __atomic_load_n(worker->idle_, __ATOMIC_RELAXED); /* [doze] the read behind the barrier */
    return FILCH_UNLIKELY_((uint32_t)word > 0xffffu);
}

#endif
