/* SPDX-License-Identifier: MIT */
/* The timer wheel: deadlines of a worker's tasks, in 6 rings of 256 slots. A slot of ring l spans 256^l ticks; a timer is in the finest ring that
 * reaches as far as it is away. Adding, removing and firing are O(1); a jump over a year costs as much as one over a tick.
 * After Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7.
 *
 * Time is counted in ticks of 2^15 ns. tick(when) rounds up and now's tick rounds down, hence nothing fires early, and at most a tick late by
 * the wheel's doing. 6 levels of 8 bits over a 15-bit tick are the 63 bits of a positive int64_t: no deadline is too far.
 *
 * Invariants (under the lock)
 *   1. A timer in slots[l][s] has tick > now_tick; with d = (tick >> 8 l) - (now_tick >> 8 l), 1 <= d <= 255, and s is the lowest byte of tick >> 8 l. So the
 *      slots of a ring, from the one after now's on and round, come in order, and none holds two different rounds. It stays true while now_tick moves up
 *      to any time before the slot begins: that is why a timer is found where it was put, and why there is no cascading tick by tick.
 *   2. used[l] bit s == slots[l][s] is not empty;  least[l][s] <= tick of all in it (a removal leaves it as it is).
 *   3. next <= the time of the first tick to collect; 0 while `late` or `due` hold something; INT64_MAX if nothing is queued.
 *   4. QUEUED: linked in a slot, `late` or `due`. FIRING: in no list; one thread is in fire. IDLE: in no list, the wheel knows nothing of it.
 *
 *        IDLE --add--> QUEUED --expire--> FIRING --fl_timer_done--> IDLE
 *          ^--------remove--'
 *
 *      All but fl_timer_done happen under the lock.
 *
 * Expiry at `now`: in each ring the slots after now_tick's up to that of now's tick have begun. They are moved to `due` as whole lists, without a look at their
 * timers. Then `due` is emptied from its head, one timer a turn of the lock: it is fired, or, if it was in a slot that has begun but not ended and
 * its time is yet to come, placed anew in a finer ring, which happens to a timer five times at most. Anybody who expires meanwhile helps.
 *
 * Memory ordering
 *   [lock]  base/lock.h: everything in the wheel; the timer's fields travel with it to the thread that fires it.
 *   [done]  what fire has done comes before fl_timer_remove returns; in particular the memory may then be freed.
 *   next is a hint and written under the lock only. Whoever sleeps until `next` must settle with adders by other means (sched/idle.h)
 *   that nobody sleeps over an earlier one; fl_timer_add's result says when that is called for.
 *
 * Who may call: any thread. fire runs without the lock, on the thread in fl_wheel_expire, which may be a thief's.
 *
 * Rejected: a heap (O(log n), and removal by index makes each sift write to timers of other tasks: cold lines); taking all that is due to a
 * local list and firing from there (saves a turn of the lock, 2-4 ns a timer, but then the timers behind one whose fire stalls can neither be fired by
 * another worker nor removed); sorting a begun slot within one turn of the lock (10^5 timers with the same far deadline hold up every adder for
 * milliseconds); waking at each cascade (least[] costs 12 KiB and spares a sleeper up to five wake-ups a timer); 64 slots a level
 * (measured with 10^5 timers within a second: each was moved twice instead of once, and a slot of the third level held up its worker for 6 ms);
 * choosing the ring by the highest digit in which tick and now differ (all 10^5 were moved at once when a digit turned over: 35 ms). */
#include "sched/timer.h"

#include <string.h>

#define SLOT_MASK (FL_TIMER_SLOTS - 1)
#define MOVES_A_TURN 32 /* timers moved to lower levels in one turn of the lock */

/* Rounds up; times so late that it would not fit are treated as never. */
static int64_t tick_of(int64_t when)
{
    return (when + ((INT64_C(1) << FL_TIMER_TICK_SHIFT) - 1)) >> FL_TIMER_TICK_SHIFT;
}

static bool is_never(int64_t when)
{
    return when > INT64_MAX - (INT64_C(1) << FL_TIMER_TICK_SHIFT);
}

static int digit(int64_t tick, int level)
{
    return (int)(tick >> (level * FL_TIMER_SLOT_BITS)) & SLOT_MASK;
}

/* The finest ring that reaches from now_tick to `tick`, which is later. */
static int level_of(const struct fl_wheel *wheel, int64_t tick)
{
    int level = 0;
    while ((tick >> (level * FL_TIMER_SLOT_BITS)) - (wheel->now_tick >> (level * FL_TIMER_SLOT_BITS)) > SLOT_MASK)
        level++;
    return level;
}

/* The first slot of a ring that is not empty, from the one after `from` on and round; or -1. */
static int first_used(const struct fl_wheel *wheel, int level, int from)
{
    int start = (from + 1) & SLOT_MASK;
    for (int i = 0; i <= FL_TIMER_WORDS; i++) {
        int word = (start / 64 + i) % FL_TIMER_WORDS;
        uint64_t bits = wheel->used[level][word];
        if (i == 0)
            bits &= ~0ull << start % 64;
        else if (i == FL_TIMER_WORDS)
            bits &= ~(~0ull << start % 64);
        if (bits)
            return word * 64 + __builtin_ctzll(bits);
    }
    return -1;
}

static void publish_next(struct fl_wheel *wheel)
{
    int64_t next = INT64_MAX;
    if (!fl_list_empty(&wheel->late) || !fl_list_empty(&wheel->due)) {
        next = 0;
    } else {
        for (int level = 0; level < FL_TIMER_LEVELS; level++) {
            int slot = first_used(wheel, level, digit(wheel->now_tick, level));
            if (slot >= 0 && wheel->least[level][slot] << FL_TIMER_TICK_SHIFT < next)
                next = wheel->least[level][slot] << FL_TIMER_TICK_SHIFT;
        }
    }
    store_relaxed(&wheel->next, next); /* own: under the lock; hint to others: they take the lock before they believe it */
}

/* Links a timer that is neither in a list nor due. */
static void place(struct fl_wheel *wheel, struct fl_timer *timer, int64_t tick)
{
    int level = level_of(wheel, tick), slot = digit(tick, level);
    uint64_t bit = 1ull << slot % 64, *used = &wheel->used[level][slot / 64];
    if (!(*used & bit) || tick < wheel->least[level][slot])
        wheel->least[level][slot] = tick;
    *used |= bit;
    fl_list_append(&wheel->slots[level][slot], &timer->link);
}

void fl_wheel_init(struct fl_wheel *wheel, int64_t now)
{
    memset(wheel, 0, sizeof(*wheel));
    wheel->now_tick = now >> FL_TIMER_TICK_SHIFT;
    store_relaxed(&wheel->next, INT64_MAX); /* own: not yet shared */
    fl_list_init(&wheel->late);
    fl_list_init(&wheel->due);
    for (int level = 0; level < FL_TIMER_LEVELS; level++)
        for (int slot = 0; slot < FL_TIMER_SLOTS; slot++)
            fl_list_init(&wheel->slots[level][slot]);
}

bool fl_timer_add(struct fl_wheel *wheel, struct fl_timer *timer, int64_t when)
{
    timer->when = when;
    timer->wheel = wheel;
    if (is_never(when))
        return false;
    int64_t tick = tick_of(when), next = 0;
    fl_lock_take(&wheel->lock);
    store_relaxed(&timer->state, FL_TIMER_QUEUED);                 /* own: under the lock */
    store_relaxed(&wheel->count, load_relaxed(&wheel->count) + 1); /* own: the lock; others take it as a hint */
    if (tick > wheel->now_tick) {
        place(wheel, timer, tick);
        next = tick << FL_TIMER_TICK_SHIFT;
    } else {
        fl_list_append(&wheel->late, &timer->link);
    }
    bool sooner = next < load_relaxed(&wheel->next); /* own: written under the lock */
    if (sooner)
        store_relaxed(&wheel->next, next); /* own: under the lock; hint to others, see publish_next */
    fl_lock_give(&wheel->lock);
    return sooner;
}

/* Unlinks a queued timer. */
static void take_out(struct fl_wheel *wheel, struct fl_timer *timer)
{
    struct fl_list *head = timer->link.prev;
    bool last = head == timer->link.next;
    fl_list_remove(&timer->link);
    store_relaxed(&wheel->count, load_relaxed(&wheel->count) - 1); /* own: the lock; others take it as a hint */
    if (!last)
        return;
    if (head != &wheel->late && head != &wheel->due) {
        size_t slot = (size_t)(head - &wheel->slots[0][0]);
        wheel->used[slot / FL_TIMER_SLOTS][slot % FL_TIMER_SLOTS / 64] &= ~(1ull << slot % 64);
    }
    publish_next(wheel);
}

bool fl_timer_remove(struct fl_timer *timer)
{
    bool queued = false;
    for (unsigned turn = 0;; turn++) {
        uint32_t state = load_acquire(&timer->state); /* [done] pairs with fl_timer_done */
        if (state == FL_TIMER_IDLE)
            return queued;
        if (state == FL_TIMER_QUEUED) {
            struct fl_wheel *wheel = timer->wheel;
            fl_lock_take(&wheel->lock);
            if (load_relaxed(&timer->state) == FL_TIMER_QUEUED) { /* own: it becomes and ceases to be QUEUED under the lock */
                take_out(wheel, timer);
                store_relaxed(&timer->state, FL_TIMER_IDLE); /* own: under the lock */
                queued = true;
            }
            fl_lock_give(&wheel->lock);
        } else {
            fl_lock_pause(turn);
        }
    }
}

/* Moves all of a slot to `due`. */
static void collect_slot(struct fl_wheel *wheel, int level, int slot)
{
    fl_list_splice(&wheel->due, &wheel->slots[level][slot]);
    wheel->used[level][slot / 64] &= ~(1ull << slot % 64);
}

/* Moves now_tick to `tick`, and every slot that begins by then to `due`, in the order of their times. */
static void collect(struct fl_wheel *wheel, int64_t tick)
{
    fl_list_splice(&wheel->due, &wheel->late);
    if (tick <= wheel->now_tick)
        return;
    for (int level = 0; level < FL_TIMER_LEVELS; level++) {
        int64_t from = wheel->now_tick >> (level * FL_TIMER_SLOT_BITS), to = tick >> (level * FL_TIMER_SLOT_BITS);
        int slot;
        while ((slot = first_used(wheel, level, (int)(from & SLOT_MASK))) >= 0 && ((slot - from) & SLOT_MASK) <= to - from)
            collect_slot(wheel, level, slot);
    }
    wheel->now_tick = tick;
}

size_t fl_wheel_expire(struct fl_wheel *wheel, int64_t now)
{
    size_t fired = 0;
    unsigned moved = 0;
    fl_lock_take(&wheel->lock);
    collect(wheel, now >> FL_TIMER_TICK_SHIFT);
    publish_next(wheel); /* from here on to the last of `due`: 0 */
    while (!fl_list_empty(&wheel->due)) {
        struct fl_timer *timer = fl_container_of(wheel->due.next, struct fl_timer, link);
        int64_t tick = tick_of(timer->when);
        bool fires = tick <= wheel->now_tick;
        fl_list_remove(&timer->link);
        __builtin_prefetch(wheel->due.next->next);                      /* many at once are seldom in the cache */
        __builtin_prefetch((char *)wheel->due.next->next - FL_LINE, 1); /* what its fire function will touch first, if it is a task's own */
        if (fires) {
            store_relaxed(&wheel->count, load_relaxed(&wheel->count) - 1); /* own: the lock; others take it as a hint */
            store_relaxed(&timer->state, FL_TIMER_FIRING);                 /* own: under the lock */
        } else {
            place(wheel, timer, tick);
        }
        if (fl_list_empty(&wheel->due))
            publish_next(wheel);
        if (!fires && ++moved % MOVES_A_TURN)
            continue;
        fl_lock_give(&wheel->lock);
        if (fires) {
            timer->fire(timer);
            fired++;
        } else {
            fl_relax(); /* lets somebody in */
        }
        fl_lock_take(&wheel->lock);
    }
    fl_lock_give(&wheel->lock);
    if (fired)
        add_relaxed(&wheel->expired, fired); /* counter */
    return fired;
}
