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
 *   1. top <= bottom + 1 slot; the items are the indices [top, bottom). top never decreases. Both are signed, 64 bits wide, and count bytes, a slot being
 *      FILCH_STEP_: they neither wrap nor mistake the index below bottom for a large number when bottom is 0.
 *   2. Item i stands at i & mask in every buffer that was current while i was in the deque.
 *   3. bottom - top <= capacity; the owner writes slot i only while bottom - top < capacity by a top it has read, so a thief that reads an
 *      overwritten or torn slot holds an index below the present top, and its compare-and-swap fails.
 *   4. A buffer that was replaced stays readable until fl_deque_fini: a thief may still hold it.
 *   5. An in-frame fork is named by its token, by rule the index behind it where it is put, so that its meet need only compare bottom with it. While it has
 *      not been met, no other fork of the runtime has that token, and bottom is equal to it only if the fork stands there: the deques of a runtime use different
 *      indices; a thief, or a pop of the last item, moves top past the index for good; a fork that is met where it stands frees it as it is
 *      met. There remains the loop, which takes a fork above other items while its caller is parked: it leaves two graves there, which only top passes.
 *      A fork that is put again somewhere else carries its token along.
 *   6. limit_ <= full_ <= top + capacity; slots_ and mask_ are those of the present buffer, unless fenced_.
 *
 * Memory ordering
 *   [publish] filch_deque_put_ stores bottom with release, fl_deque_steal loads it with acquire: whoever sees the index sees the slot and what the
 *             item points to.
 *   [buffer]  the owner stores a new buffer with release after copying into it, a thief loads it with acquire after bottom: it sees the copied items. It
 *             must be loaded after bottom, else it may be too small for the index.
 *   [take]    owner and thieves agree on the last item, thieves on every item, by compare-and-swap of top, which only ever counts up.
 *   [fence]   pop writes bottom and then reads top; a thief reads top and then bottom. Without a store-load barrier in both, owner and thief could
 *             take the same item. The owner's is fl_barrier_light, inline filch_barrier_, the thief's fl_barrier_heavy (base/barrier.h). Where the light one is
 *             a fence, inline functions are kept away: they find every put at its limit and nothing of theirs to take.
 *             One barrier covers one theft: an owner whose read of top came before the thief's swap takes index top + 1 without looking again, so
 *             a thief that wants a second item needs a second barrier.
 *   The owner's own reads of bottom and buffer are relaxed: nobody else writes them. pop reads top relaxed: a smaller, older value only sends it to
 *   the compare-and-swap.
 *
 * Who may call: push, pop, next, give, room, bound, name, oldest and fini the owner alone; steal and size_hint anybody. */
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
    int64_t token; /**< FL_WHOSE_FRAME only */
};

/** In the lowest bits of an item's `whose`, which is a scope otherwise: an in-frame fork, a descriptor, a fork that has a token of its own. */
#define FL_WHOSE_FRAME FILCH_WHOSE_FRAME_
#define FL_WHOSE_TASK ((uintptr_t)2)
#define FL_WHOSE_MOVED ((uintptr_t)4)
#define FL_WHOSE_MASK ((uintptr_t)7)

#define FL_WHOSE_GRAVE FL_WHOSE_TASK /* nobody's: where a fork stood */

#define FL_TOKEN_NAME ((int64_t)2) /* in a token: a name, no index */

enum fl_stolen { FL_STEAL_EMPTY = 0, FL_STEAL_GOT = 1, FL_STEAL_LOST = 2 };

/** Field by field: a checker takes a copy of a structure for a call of memcpy, and doesn't know that. */
FL_INLINE void fl_item_copy(struct fl_item *to, const struct fl_item *from)
{
    to->fn = from->fn;
    to->arg = from->arg;
    to->whose = from->whose;
    to->token = from->token;
}

/* The fields, as the atomics that they are. */
#define FL_DEQUE_BOTTOM(d) fl_atomic(int64_t, &(d)->bottom_)
#define FL_DEQUE_TOP(d) fl_atomic(int64_t, &(d)->top_)
#define FL_DEQUE_BUFFER(d) fl_atomic(struct filch_buffer_ *, &(d)->buffer_)

FL_INLINE struct filch_buffer_ *fl_deque_buffer_new(int64_t capacity, struct filch_buffer_ *older)
{
    struct filch_buffer_ *buffer = malloc(sizeof *buffer + (size_t)capacity * sizeof(struct filch_slot_));
    if (!buffer)
        return NULL;
    for (int64_t i = 0; i < capacity; i++) /* an owner looks at slots that were never written */
        ((struct filch_slot_ *)(buffer + 1))[i].whose_ = 0;
    buffer->mask_ = (capacity - 1) * FILCH_STEP_;
    buffer->older_ = older;
    return buffer;
}

FL_INLINE void fl_slot_read(struct filch_buffer_ *buffer, int64_t index, struct fl_item *ret_item)
{
    struct filch_slot_ *slot = filch_slot_at_(buffer, index);
    ret_item->fn = load_relaxed(fl_atomic(uintptr_t, &slot->fn_));   /* [publish] visible because bottom was acquired; own for the owner */
    ret_item->arg = load_relaxed(fl_atomic(uintptr_t, &slot->arg_)); /* [publish] as above */
    ret_item->whose = load_relaxed(fl_atomic(uintptr_t, &slot->whose_)); /* [publish] as above */
    ret_item->token = index + FILCH_STEP_;
    if (unlikely(ret_item->whose & FL_WHOSE_MOVED))
        ret_item->token = load_relaxed(fl_atomic(int64_t, &slot->token_)); /* [publish] as above */
}

FL_INLINE void fl_slot_write(struct filch_slot_ *slot, const struct fl_item *item)
{
    store_relaxed(fl_atomic(uintptr_t, &slot->fn_), item->fn);       /* [buffer] by the store of buffer_ */
    store_relaxed(fl_atomic(uintptr_t, &slot->arg_), item->arg);     /* [buffer] as above */
    store_relaxed(fl_atomic(uintptr_t, &slot->whose_), item->whose); /* [buffer] as above */
    if (unlikely(item->whose & FL_WHOSE_MOVED))
        store_relaxed(fl_atomic(int64_t, &slot->token_), item->token); /* [buffer] as above */
}

/* Where inline functions find nothing of theirs. */
static struct filch_slot_ fl_no_slot;

/* Shows inline functions the buffer, unless they would need a fence. */
FL_INLINE void fl_deque_show(struct filch_deque_ *d, struct filch_buffer_ *buffer, int64_t full)
{
    d->full_ = full;
    d->limit_ = d->fenced_ ? INT64_MIN : full;
    d->slots_ = d->fenced_ ? (char *)&fl_no_slot : (char *)(buffer + 1);
    d->mask_ = d->fenced_ ? 0 : buffer->mask_;
}

/** fenced_ is set already. @param first index of the first item, a multiple of FILCH_STEP_: those of several deques must differ for ever, because they name forks
 * @return false: no memory. */
FL_INLINE bool fl_deque_init(struct filch_deque_ *d, int64_t first)
{
    struct filch_buffer_ *buffer = fl_deque_buffer_new(FL_DEQUE_FIRST_CAPACITY, NULL);
    if (!buffer)
        return false;
    store_relaxed(FL_DEQUE_BOTTOM(d), first);  /* init: no thief yet */
    store_relaxed(FL_DEQUE_TOP(d), first);     /* init: no thief yet */
    store_relaxed(FL_DEQUE_BUFFER(d), buffer); /* init: no thief yet */
    d->names_ = first;
    fl_deque_show(d, buffer, first + FL_DEQUE_FIRST_CAPACITY * FILCH_STEP_);
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
    return b > t ? (b - t) / FILCH_STEP_ : 0;
}

/** Makes room to push: a newer top, else a larger buffer. @return false: no memory. */
FL_SLOW bool fl_deque_room(struct filch_deque_ *d)
{
    struct filch_buffer_ *old = load_relaxed(FL_DEQUE_BUFFER(d)); /* own: only the owner replaces it */
    if (!old)
        return false;
    int64_t b = load_relaxed(FL_DEQUE_BOTTOM(d)); /* own: only the owner writes it */
    int64_t t = load_acquire(FL_DEQUE_TOP(d));    /* [take] pairs with the swap of a thief, whose read of the slot came before it */
    int64_t capacity = old->mask_ + FILCH_STEP_;
    struct filch_buffer_ *wide = b - t < capacity - capacity / 4 ? NULL : fl_deque_buffer_new(2 * capacity / FILCH_STEP_, old);
    if (!wide) {
        fl_deque_show(d, old, t + capacity);
        return b < d->full_;
    }
    for (int64_t i = t; i < b; i += FILCH_STEP_) {
        struct fl_item item;
        fl_slot_read(old, i, &item);
        fl_slot_write(filch_slot_at_(wide, i), &item);
    }
    store_release(FL_DEQUE_BUFFER(d), wide); /* [buffer] pairs with fl_deque_steal */
    fl_deque_show(d, wide, t + 2 * capacity);
    return true;
}

/** Sends the owner to the slow path of an inline put again after `n` more at most. */
FL_INLINE void fl_deque_bound(struct filch_deque_ *d, int64_t n)
{
    int64_t bound = load_relaxed(FL_DEQUE_BOTTOM(d)) + n * FILCH_STEP_; /* own: only the owner writes it */
    if (likely(!d->fenced_))
        d->limit_ = bound < d->full_ ? bound : d->full_;
}

/** The token of a fork that is put now. */
FL_INLINE int64_t fl_deque_token(struct filch_deque_ *d)
{
    return load_relaxed(FL_DEQUE_BOTTOM(d)) + FILCH_STEP_; /* own: only the owner writes it */
}

/** Puts an item at the bottom. @return false: no memory, nothing pushed. */
FL_INLINE bool fl_deque_push(struct filch_deque_ *d, const struct fl_item *item)
{
    int64_t b = load_relaxed(FL_DEQUE_BOTTOM(d)); /* own: only the owner writes it */
    if (unlikely(b >= d->full_) && !fl_deque_room(d))
        return false;
    struct filch_slot_ *slot = filch_slot_at_(load_relaxed(FL_DEQUE_BUFFER(d)), b); /* own: only the owner replaces it */
    uintptr_t whose = item->whose;
    if (unlikely(whose & FL_WHOSE_FRAME) && item->token != b + FILCH_STEP_) {
        store_relaxed(fl_atomic(int64_t, &slot->token_), item->token); /* [publish] by the store of bottom */
        whose |= FL_WHOSE_MOVED;
    }
    filch_deque_put_(d, slot, b, item->fn, item->arg, whose);
    return true;
}

/** Takes the newest item. @return false: empty, or only what lies below graves is left. */
FL_INLINE bool fl_deque_pop(struct filch_deque_ *d, struct fl_item *ret_item)
{
    int64_t b = load_relaxed(FL_DEQUE_BOTTOM(d)) - FILCH_STEP_;      /* own: only the owner writes it */
    struct filch_buffer_ *buffer = load_relaxed(FL_DEQUE_BUFFER(d)); /* own: only the owner replaces it */
    filch_deque_lower_(d, b);
    fl_barrier_light(); /* [fence] pairs with fl_deque_steal */
    if (!filch_deque_lowered_(d, b))
        return false;
    fl_slot_read(buffer, b, ret_item); /* nobody overwrites it before the owner's next push */
    if (likely(ret_item->whose != FL_WHOSE_GRAVE))
        return true;
    store_relaxed(FL_DEQUE_BOTTOM(d), b + FILCH_STEP_); /* own: it stays, if it was not the last */
    return false;
}

/** The owner takes up to `most` of its oldest items, at most half of what is there, to give them away. It is the only one who pops, so it needs no barrier against
 * itself, and one swap of top covers them all. @return how many; also 0 if there were only graves, or a thief was quicker. */
FL_INLINE unsigned fl_deque_give(struct filch_deque_ *d, struct fl_item *ret_items, unsigned most)
{
    int64_t t = load_acquire(FL_DEQUE_TOP(d));                       /* [take] pairs with the swap that made it so */
    int64_t b = load_relaxed(FL_DEQUE_BOTTOM(d));                    /* own: only the owner writes it */
    struct filch_buffer_ *buffer = load_relaxed(FL_DEQUE_BUFFER(d)); /* own: only the owner replaces it */
    if (t >= b)
        return 0;
    int64_t half = ((b - t) / FILCH_STEP_ + 1) / 2;
    unsigned n = half < most ? (unsigned)half : most;
    unsigned items = 0;
    for (unsigned i = 0; i < n; i++) {
        fl_slot_read(buffer, t + i * FILCH_STEP_, &ret_items[items]);
        items += likely(ret_items[items].whose != FL_WHOSE_GRAVE);
    }
    return cas_seq_cst(FL_DEQUE_TOP(d), &t, t + n * FILCH_STEP_) ? items : 0; /* [take] against thieves */
}

/** The owner takes its oldest item. @return false: empty. */
FL_INLINE bool fl_deque_oldest(struct filch_deque_ *d, struct fl_item *ret_item)
{
    while (fl_deque_size_hint(d) != 0)
        if (fl_deque_give(d, ret_item, 1) == 1)
            return true;
    return false;
}

/* A fork was popped from above others: its index must not be used again. @return false: empty; without memory for the graves the fork is back where it stood, and
 * *ret_item is the oldest instead. */
FL_SLOW bool fl_deque_bury(struct filch_deque_ *d, struct fl_item *ret_item)
{
    static const struct fl_item grave = {.whose = FL_WHOSE_GRAVE};
    int64_t end =
        load_relaxed(FL_DEQUE_BOTTOM(d)) + 3 * FILCH_STEP_; /* own: only the owner writes it; the item itself must be able to go back */
    if (end > d->full_ && (!fl_deque_room(d) || end > d->full_)) {
        fl_deque_push(d, ret_item); /* cannot fail: its slot has just been freed */
        return fl_deque_oldest(d, ret_item);
    }
    fl_deque_push(d, &grave); /* there is room */
    fl_deque_push(d, &grave);
    return true;
}

/** As fl_deque_pop, for the loop: the item is run elsewhere than where its owner joins or meets it. */
FL_INLINE bool fl_deque_next(struct filch_deque_ *d, struct fl_item *ret_item)
{
    if (!fl_deque_pop(d, ret_item))
        return false;
    if (likely(!(ret_item->whose & FL_WHOSE_FRAME)) || ret_item->whose & FL_WHOSE_MOVED ||
        ret_item->token == load_relaxed(FL_DEQUE_BOTTOM(d))) /* own: only the owner writes it; it was the last: top has passed it */
        return true;
    struct fl_item copy; /* so that *ret_item itself may stay in registers */
    fl_item_copy(&copy, ret_item);
    bool got = fl_deque_bury(d, &copy);
    fl_item_copy(ret_item, &copy);
    return got;
}

/** A token that is no index and was never used. */
FL_INLINE int64_t fl_deque_name(struct filch_deque_ *d)
{
    d->names_ += FILCH_STEP_;
    return d->names_ | FL_TOKEN_NAME;
}

/** Takes the oldest item. FL_STEAL_LOST: another thief or the owner was quicker, or it was a grave, which is gone now. */
FL_INLINE enum fl_stolen fl_deque_steal(struct filch_deque_ *d, struct fl_item *ret_item)
{
    int64_t t = load_acquire(FL_DEQUE_TOP(d));    /* [take] pairs with the swap that made it so */
    fl_barrier_heavy();                           /* [fence] pairs with filch_deque_claim_ */
    int64_t b = load_acquire(FL_DEQUE_BOTTOM(d)); /* [publish] pairs with filch_deque_put_ */
    if (t >= b)
        return FL_STEAL_EMPTY;
    struct filch_buffer_ *buffer = load_acquire(FL_DEQUE_BUFFER(d)); /* [buffer] pairs with fl_deque_room */
    fl_slot_read(buffer, t, ret_item);
    if (!cas_seq_cst(FL_DEQUE_TOP(d), &t, t + FILCH_STEP_)) /* [take] the one who counts top up has the item */
        return FL_STEAL_LOST;
    return likely(ret_item->whose != FL_WHOSE_GRAVE) ? FL_STEAL_GOT : FL_STEAL_LOST;
}

#endif
