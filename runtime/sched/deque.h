/* SPDX-License-Identifier: MIT */
/* The work-stealing deque of Chase and Lev, with the asymmetric fence.
 *
 * An item is three words: function, argument, and whose it is. So a task that is never stolen and never parks needs no descriptor, no free
 * list and no second cache line: the deque is where it lives (docs/decisions/0001-tasks-live-in-the-deque.md).
 *
 * The owner pushes and pops at the bottom, thieves take at the top. Sources: D. Chase and Y. Lev, "Dynamic circular work-stealing deque",
 * SPAA 2005; N. M. Le, A. Pop, A. Cohen and F. Zappa Nardelli, "Correct and efficient work-stealing for weak memory models", PPoPP 2013.
 * The owner's side is inline in programs, so it stands in include/filch/hot_.h: filch_deque_put_, filch_deque_claim_ and what they need. This
 * file adds growth, the general pop and the thief. A model checker compiles both as they are (tests/model/).
 *
 * Invariants
 *   1. top <= bottom + 1; the items are the indices [top, bottom). top never decreases. Both are signed and 64 bits wide: they neither wrap
 *      nor mistake bottom - 1 for a large number when bottom is 0.
 *   2. Item i stands in slot i & mask of every buffer that was current while i was in the deque.
 *   3. bottom - top <= capacity; the owner writes slot i only while bottom - top < capacity by a top it has read, so a thief that reads an
 *      overwritten or torn slot holds an index below the present top, and its compare-and-swap fails.
 *   4. A buffer that was replaced stays readable until fl_deque_fini: a thief may still hold it.
 *
 * Memory ordering
 *   [publish] filch_deque_put_ stores bottom with release, fl_deque_steal loads it with acquire: whoever sees the index sees the slot and what the
 *             item points to.
 *   [buffer]  the owner stores a new buffer with release after copying into it, a thief loads it with acquire after bottom: it sees the copied items. It
 *             must be loaded after bottom, else it may be too small for the index.
 *   [take]    owner and thieves agree on the last item, thieves on every item, by compare-and-swap of top, which only ever counts up.
 *   [fence]   pop writes bottom and then reads top; a thief reads top and then bottom. Without a store-load barrier in both, owner and thief could
 *             take the same item. The owner's is filch_barrier_, the thief's fl_barrier_heavy (base/barrier.h).
 *             One barrier covers one theft: an owner whose read of top came before the thief's swap takes index top + 1 without looking again, so
 *             a thief that wants a second item needs a second barrier.
 *   The owner's own reads of bottom and buffer are relaxed: nobody else writes them. pop reads top relaxed: a smaller, older value only sends it to
 *   the compare-and-swap.
 *
 * Who may call: push, pop, give, room and fini the owner alone; steal and size_hint anybody. */
#ifndef FL_SCHED_DEQUE_H
#define FL_SCHED_DEQUE_H

#include "base/atomic.h"
#include "base/attr.h"
#include "base/barrier.h"

#include <filch/hot_.h>

#include <stdlib.h>

#ifndef FL_DEQUE_FIRST_CAPACITY
#define FL_DEQUE_FIRST_CAPACITY 1024 /* a power of two */
#endif

/** What the deque holds, as its users see it. */
struct fl_item {
    uintptr_t fn, arg, whose;
};

enum fl_stolen { FL_STEAL_EMPTY = 0, FL_STEAL_GOT = 1, FL_STEAL_LOST = 2 };

/* The fields, as the atomics that they are. */
#define FL_DEQUE_BOTTOM(d) fl_atomic(int64_t, &(d)->bottom_)
#define FL_DEQUE_TOP(d) fl_atomic(int64_t, &(d)->top_)
#define FL_DEQUE_BUFFER(d) fl_atomic(struct filch_buffer_ *, &(d)->buffer_)

FL_INLINE struct filch_buffer_ *fl_deque_buffer_new(int64_t capacity, struct filch_buffer_ *older)
{
    struct filch_buffer_ *buffer = malloc(sizeof *buffer + (size_t)capacity * sizeof(struct filch_slot_));
    if (!buffer)
        return NULL;
    buffer->mask_ = capacity - 1;
    buffer->older_ = older;
    return buffer;
}

FL_INLINE void fl_slot_read(struct filch_slot_ *slot, struct fl_item *ret_item)
{
    ret_item->fn = load_relaxed(fl_atomic(uintptr_t, &slot->fn_));   /* [publish] visible because bottom was acquired; own for the owner */
    ret_item->arg = load_relaxed(fl_atomic(uintptr_t, &slot->arg_)); /* [publish] as above */
    ret_item->whose = load_relaxed(fl_atomic(uintptr_t, &slot->whose_)); /* [publish] as above */
}

FL_INLINE void fl_slot_write(struct filch_slot_ *slot, const struct fl_item *item)
{
    store_relaxed(fl_atomic(uintptr_t, &slot->fn_), item->fn);       /* [buffer] by the store of buffer_ */
    store_relaxed(fl_atomic(uintptr_t, &slot->arg_), item->arg);     /* [buffer] as above */
    store_relaxed(fl_atomic(uintptr_t, &slot->whose_), item->whose); /* [buffer] as above */
}

/** @return false: no memory. */
FL_INLINE bool fl_deque_init(struct filch_deque_ *d)
{
    struct filch_buffer_ *buffer = fl_deque_buffer_new(FL_DEQUE_FIRST_CAPACITY, NULL);
    if (!buffer)
        return false;
    store_relaxed(FL_DEQUE_BOTTOM(d), 0);      /* init: no thief yet */
    store_relaxed(FL_DEQUE_TOP(d), 0);         /* init: no thief yet */
    store_relaxed(FL_DEQUE_BUFFER(d), buffer); /* init: no thief yet */
    d->limit_ = FL_DEQUE_FIRST_CAPACITY;
    d->mask_ = buffer->mask_;
    return true;
}

FL_INLINE void fl_deque_fini(struct filch_deque_ *d)
{
    struct filch_buffer_ *buffer = load_relaxed(FL_DEQUE_BUFFER(d)); /* own: no thief any more */
    while (buffer) {
        struct filch_buffer_ *older = buffer->older_;
        free(buffer);
        buffer = older;
    }
}

/** How many items there seem to be; may be stale, never a promise. */
FL_INLINE int64_t fl_deque_size_hint(struct filch_deque_ *d)
{
    int64_t t = load_relaxed(FL_DEQUE_TOP(d));    /* hint: only tells whether a look is worth while */
    int64_t b = load_relaxed(FL_DEQUE_BOTTOM(d)); /* hint: as above */
    return b > t ? b - t : 0;
}

/** Makes room to push: a newer top, else a larger buffer. @return false: no memory. */
FL_SLOW bool fl_deque_room(struct filch_deque_ *d)
{
    if (d->limit_ == INT64_MIN)
        return false;
    struct filch_buffer_ *old = load_relaxed(FL_DEQUE_BUFFER(d)); /* own: only the owner replaces it */
    int64_t b = load_relaxed(FL_DEQUE_BOTTOM(d));                 /* own: only the owner writes it */
    int64_t t = load_acquire(FL_DEQUE_TOP(d)); /* [take] pairs with the swap of a thief, whose read of the slot came before it */
    int64_t capacity = old->mask_ + 1;
    if (b - t < capacity - capacity / 4) {
        d->limit_ = t + capacity;
        return true;
    }
    struct filch_buffer_ *wide = fl_deque_buffer_new(2 * capacity, old);
    if (!wide) {
        d->limit_ = t + capacity;
        return b < d->limit_;
    }
    for (int64_t i = t; i < b; i++) {
        struct fl_item item;
        fl_slot_read(filch_slot_at_(old, i), &item);
        fl_slot_write(filch_slot_at_(wide, i), &item);
    }
    store_release(FL_DEQUE_BUFFER(d), wide); /* [buffer] pairs with fl_deque_steal */
    d->limit_ = t + 2 * capacity;
    d->mask_ = wide->mask_;
    return true;
}

/** Puts an item at the bottom. @return false: no memory, nothing pushed. */
FL_INLINE bool fl_deque_push(struct filch_deque_ *d, const struct fl_item *item)
{
    if (filch_deque_tight_(d) && !fl_deque_room(d))
        return false;
    filch_deque_put_(d, item->fn, item->arg, item->whose);
    return true;
}

/** Takes the newest item. @return false: empty. */
FL_INLINE bool fl_deque_pop(struct filch_deque_ *d, struct fl_item *ret_item)
{
    int64_t b = load_relaxed(FL_DEQUE_BOTTOM(d)) - 1;                /* own: only the owner writes it */
    struct filch_buffer_ *buffer = load_relaxed(FL_DEQUE_BUFFER(d)); /* own: only the owner replaces it */
    if (!filch_deque_claim_(d, b))
        return false;
    fl_slot_read(filch_slot_at_(buffer, b), ret_item); /* nobody overwrites it before the owner's next push */
    return true;
}

/** The owner takes up to `most` of its oldest items, at most half of what is there, to give them away. It is the only one who pops, so it needs no barrier against
 * itself, and one swap of top covers them all. @return how many. */
FL_INLINE unsigned fl_deque_give(struct filch_deque_ *d, struct fl_item *ret_items, unsigned most)
{
    int64_t t = load_acquire(FL_DEQUE_TOP(d));                       /* [take] pairs with the swap that made it so */
    int64_t b = load_relaxed(FL_DEQUE_BOTTOM(d));                    /* own: only the owner writes it */
    struct filch_buffer_ *buffer = load_relaxed(FL_DEQUE_BUFFER(d)); /* own: only the owner replaces it */
    if (t >= b)
        return 0;
    unsigned n = (unsigned)((b - t + 1) / 2 < most ? (b - t + 1) / 2 : most);
    for (unsigned i = 0; i < n; i++)
        fl_slot_read(filch_slot_at_(buffer, t + i), &ret_items[i]);
    return cas_seq_cst(FL_DEQUE_TOP(d), &t, t + n) ? n : 0; /* [take] against thieves */
}

/** Takes the oldest item. FL_STEAL_LOST: another thief or the owner was quicker. */
FL_INLINE enum fl_stolen fl_deque_steal(struct filch_deque_ *d, struct fl_item *ret_item)
{
    int64_t t = load_acquire(FL_DEQUE_TOP(d));    /* [take] pairs with the swap that made it so */
    fl_barrier_heavy();                           /* [fence] pairs with filch_deque_claim_ */
    int64_t b = load_acquire(FL_DEQUE_BOTTOM(d)); /* [publish] pairs with filch_deque_put_ */
    if (t >= b)
        return FL_STEAL_EMPTY;
    struct filch_buffer_ *buffer = load_acquire(FL_DEQUE_BUFFER(d)); /* [buffer] pairs with fl_deque_room */
    fl_slot_read(filch_slot_at_(buffer, t), ret_item);
    return cas_seq_cst(FL_DEQUE_TOP(d), &t, t + 1) ? FL_STEAL_GOT : FL_STEAL_LOST; /* [take] the one who counts top up has the item */
}

#endif
