/* SPDX-License-Identifier: MIT */
/* Timers: a hierarchical wheel a worker, under a lock of its own, so that any thread can add, remove and expire. See timer.c for the essay. */
#ifndef FL_SCHED_TIMER_H
#define FL_SCHED_TIMER_H

#include "base/atomic.h"
#include "base/list.h"
#include "base/lock.h"

#define FL_TIMER_TICK_SHIFT 15 /* a tick is 2^15 ns = 32.8 us */
#define FL_TIMER_SLOT_BITS 8
#define FL_TIMER_SLOTS (1 << FL_TIMER_SLOT_BITS)
#define FL_TIMER_LEVELS 6
#define FL_TIMER_WORDS (FL_TIMER_SLOTS / 64)

enum fl_timer_state { FL_TIMER_IDLE = 0, FL_TIMER_QUEUED = 1, FL_TIMER_FIRING = 2 };

struct fl_wheel;

/** One timer, in the memory of whoever waits. All-zero is valid and idle. */
struct fl_timer {
    struct fl_list link;    /**< own: the wheel's lock */
    int64_t when;           /**< absolute ns of CLOCK_MONOTONIC */
    struct fl_wheel *wheel; /**< where it was added */
    /** Called once, without the wheel's lock, on the thread that expired it. It must call fl_timer_done(timer) as its last touch of the timer's
     * memory: whoever waits in fl_timer_remove goes on then and may free it. It must not park, nor remove or add this timer before that; it may
     * add others, and remove those whose fire functions remove nothing. */
    void (*fire)(struct fl_timer *timer);
    _Atomic(uint32_t) state; /**< enum fl_timer_state */
};

struct fl_wheel {
    _Atomic(int64_t) next; /**< fl_wheel_expire has nothing to do before then (ns); 0: now, INT64_MAX: never. For anybody, as a hint */
    struct fl_lock lock;
    int64_t now_tick;                               /**< all ticks up to and including this one have been collected */
    _Atomic(uint64_t) count;                        /**< timers queued, `late` and `due` included */
    struct fl_list late;                            /**< added when their tick had passed; due at the next expire */
    struct fl_list due;                             /**< collected, and being fired one by one by whoever expires */
    _Atomic(uint64_t) expired;                      /**< counter */
    uint64_t used[FL_TIMER_LEVELS][FL_TIMER_WORDS]; /**< a bit a slot that is not empty */
    int64_t least[FL_TIMER_LEVELS][FL_TIMER_SLOTS]; /**< no timer of the slot has an earlier tick; only where `used` has a bit */
    struct fl_list slots[FL_TIMER_LEVELS][FL_TIMER_SLOTS];
};

void fl_wheel_init(struct fl_wheel *wheel, int64_t now);

/** Adds `timer` (idle; its `fire` set). Any thread. A time that has passed fires at the next expire; INT64_MAX (FILCH_NEVER) never fires and
 * leaves the timer idle. @return whether the wheel's `next` became earlier, so that a sleeper that counts on the old one must be woken. */
bool fl_timer_add(struct fl_wheel *wheel, struct fl_timer *timer, int64_t when);

/** Takes `timer` out: afterwards it is idle and its fire function neither runs nor will. Waits (spins, then yields the CPU) while it fires on another thread,
 * for that one call, not for others that are due. Idle timers are left alone. Any thread, but not from its own fire function.
 * @return whether it was still queued: its fire function has not been called. */
bool fl_timer_remove(struct fl_timer *timer);

FL_INLINE void fl_timer_done(struct fl_timer *timer)
{
    store_release(&timer->state, FL_TIMER_IDLE); /* [done] pairs with fl_timer_remove */
}

/** Fires every timer whose time, rounded up to a tick, is <= now; any thread, several at once. None fires early; those of one call fire about in the order
 * of their times. Timers that fire functions add are not fired in the same call if late, so that it ends. @return how many this call fired. */
size_t fl_wheel_expire(struct fl_wheel *wheel, int64_t now);

/** Whether something may be due. One load. */
FL_INLINE bool fl_wheel_due(struct fl_wheel *wheel, int64_t now)
{
    return load_relaxed(&wheel->next) <= now; /* hint: the lock is taken before anything is believed */
}

/** Fires what is due. @return whether anything was. */
FL_INLINE bool fl_wheel_fire(struct fl_wheel *wheel, int64_t now)
{
    return fl_wheel_due(wheel, now) && fl_wheel_expire(wheel, now) != 0;
}

#endif
