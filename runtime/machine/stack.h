/* SPDX-License-Identifier: MIT */
/* Task stacks: guarded, coloured, in arenas, with size classes. See stack.c for the essay. */
#ifndef FL_MACHINE_STACK_H
#define FL_MACHINE_STACK_H

#include "base/atomic.h"
#include "base/attr.h"

#define FL_STACK_MIN_SHIFT 14 /* 16 KiB */
#define FL_STACK_MAX_SHIFT 26 /* 64 MiB */
#define FL_STACK_CLASSES (FL_STACK_MAX_SHIFT - FL_STACK_MIN_SHIFT + 1)
#define FL_STACK_COLOURS 32     /* of one cache line each */
#define FL_STACK_BATCH_MAX 64   /* fresh stacks made at once, at most */
#define FL_STACK_CACHE_MAX 4096 /* a worker's cache of one class; half of it spills to the shared pool above this */
#define FL_STACK_MAGAZINE (FL_STACK_CACHE_MAX / 2)

struct fl_stack_arena;

/** The control block at the top of a stack, just above the first frame. The stack's user grows down from `top`. A stack of class c occupies
 * 2^(FL_STACK_MIN_SHIFT + c) bytes above a guard page. One cache line. */
struct fl_stack {
    struct fl_stack *next; /**< free lists */
    uintptr_t low;         /**< lowest usable address (above the guard) */
    uintptr_t top;         /**< initial stack pointer, 16-byte aligned, below this structure */
    /** Whoever owns the stack says here what runs on it; NULL while free. Not touched by this module but to clear it. Who looks from another
     * thread (fl_stacks_each) does so by load_relaxed(fl_atomic(void *, &stack->task)). */
    void *task;
    void *sanitizer;              /**< TSan fiber (machine/sanitizer.h), made with the slot's first stack, destroyed by fl_stacks_free */
    struct fl_stack_arena *arena; /**< where the slot lies */
    struct fl_stack *chain;       /**< the next chain in the shared pool; only in the first stack of a chain */
    unsigned valgrind_id;         /**< from VALGRIND_STACK_REGISTER, or 0 */
    uint16_t run;                 /**< stacks in this chain; only in the first one */
    uint8_t cls;                  /**< size class */
    uint8_t guard;                /**< enum filch_guard_kind: what guards this stack */
};

/** All stacks of one runtime. */
struct fl_stacks;

/** The stacks one worker keeps at hand. Only its owner touches it; no locks. */
struct fl_stack_cache {
    struct fl_stack *free[FL_STACK_CLASSES]; /**< LIFO, up to FL_STACK_MAGAZINE */
    unsigned count[FL_STACK_CLASSES];        /**< stacks in `free` */
    struct fl_stack *full[FL_STACK_CLASSES]; /**< a second list, of full->run stacks put before those in `free`, or NULL */
    unsigned batch[FL_STACK_CLASSES];        /**< how many fresh stacks to make next time: doubles to a bound while demand goes on */
    struct fl_stacks *stacks;
};

/** The class for stacks of at least `size` bytes, guard page excluded. @return the class, or -EINVAL: more than 64 MiB. */
int fl_stack_class(size_t size);

/** @return 0, -ENOMEM. */
int fl_stacks_new(struct fl_stacks **ret_stacks);
/** Unmaps every arena; no stack of it may be in use. NULL is allowed. */
void fl_stacks_free(struct fl_stacks *stacks);

void fl_stack_cache_init(struct fl_stack_cache *cache, struct fl_stacks *stacks);
/** Gives all to the shared pool. Not on a stack that lies in this cache. */
void fl_stack_cache_fini(struct fl_stack_cache *cache);

/** The slow part of fl_stack_get: the cache's second list, then the shared pool, else a batch of fresh stacks. NULL: no memory or address space. */
struct fl_stack *fl_stack_get_slow(struct fl_stack_cache *cache, unsigned cls);
/** The slow part of fl_stack_put: `free` is over its bound and becomes the second list; that goes to the shared pool. The stack just put stays in `free`. */
void fl_stack_put_slow(struct fl_stack_cache *cache, unsigned cls);
/** Looks whether the canary was overwritten (FILCH_GUARD_CANARY; true for other kinds). For the stack's user, before it puts the stack. */
bool fl_stack_intact(const struct fl_stack *stack);

/** A stack of class `cls`, or NULL. */
FL_INLINE struct fl_stack *fl_stack_get(struct fl_stack_cache *cache, unsigned cls)
{
    struct fl_stack *stack = cache->free[cls];
    if (unlikely(!stack))
        return fl_stack_get_slow(cache, cls);
    cache->free[cls] = stack->next;
    cache->count[cls]--;
    __builtin_prefetch(stack->next, 1); /* each is a page of its own, and mostly cold */
    return stack;
}

/** Gives a stack back. The caller may still be running on it until it switches away: it goes to the top of this worker's own cache. */
FL_INLINE void fl_stack_put(struct fl_stack_cache *cache, struct fl_stack *stack)
{
    unsigned cls = stack->cls;
    store_relaxed(fl_atomic(void *, &stack->task), NULL); /* hint: a looker that still sees the task sees one that has just ended */
    stack->next = cache->free[cls];
    cache->free[cls] = stack;
    if (unlikely(++cache->count[cls] > FL_STACK_MAGAZINE))
        fl_stack_put_slow(cache, cls);
}

/** Gives the memory of all but `keep` free stacks a class (of this cache and the shared pool) back to the kernel; they stay usable, guarded when used again.
 * Not on a stack that lies in this cache: it would be pulled from under the caller's feet unless it is among the `keep` newest.
 * About 0.4 us a stack. @return how many; 0 also while somebody else trims or looks (fl_stacks_each): try later. */
size_t fl_stack_trim(struct fl_stack_cache *cache, unsigned keep);
/** The same, but stops after about `most` stacks (at least one chain), for a caller that must not be away for long. */
size_t fl_stack_trim_some(struct fl_stack_cache *cache, unsigned keep, size_t most);
/** Whether fl_stack_trim would have something to do. */
bool fl_stack_trim_wanted(const struct fl_stack_cache *cache, unsigned keep);

/** Calls `see` for every stack that exists, free or not, in address order. Safe while stacks come and go, and takes no lock; those made meanwhile may be missed.
 * `see` may read low, top, cls, guard and task. Stacks whose memory was given back (fl_stack_trim) are passed over. Any thread. */
void fl_stacks_each(struct fl_stacks *stacks, void (*see)(struct fl_stack *stack, void *arg), void *arg);

struct fl_stacks_info {
    uint64_t stacks;  /**< made and guarded, in use or free */
    uint64_t guarded; /**< of these, with a guard page */
    uint64_t bytes;   /**< address space of the arenas */
    int guard;        /**< enum filch_guard_kind of new stacks */
};
void fl_stacks_info(struct fl_stacks *stacks, struct fl_stacks_info *ret_info);

/** For tests: a guard kind no better than `kind` is used for stacks made from now on. */
void fl_stacks_limit_guard(struct fl_stacks *stacks, int kind);

#endif
