/* SPDX-License-Identifier: MIT */
/* Who sleeps, who searches, who must be woken: the protocol between producers of work and idle workers.
 *
 * The hard part is that pushing work must cost nothing, waking a core costs its waker 12-40 us, and yet no wake-up may be lost. Three simple
 * ways fail: waking somebody at every push (a wake a task); waking only when everybody sleeps (parallelism never ramps
 * up); a counter that both sides update (a contended cache line a push). What is done instead, after Go's and Tokio's schedulers:
 *
 *   - An idle worker first *searches*. While anybody searches, producers wake nobody. A searcher that finds work and was the last to
 *     search wakes the next sleeper, so that a burst wakes as many as it can feed, one after the other.
 *   - One idle worker at a time may *nap* instead of sleeping: a sleep of at most a millisecond that ends by itself and is followed by a search.
 *     While anybody naps, producers wake nobody either. It is also the watch over workers that are busy for long: it sees their
 *     timers, completions and queues. A thief whose loot was worth less than the theft naps, twice as long each time: fine-grained
 *     work is left alone instead of being slowed down by a second worker.
 *   - A *sleeper* registers, runs the heavy barrier, looks everywhere once more, and only then sleeps in the kernel.
 *   - One sleeper at a time may *linger*: it sleeps, can be woken, but also looks round every two milliseconds while the runtime is not quite
 *     idle. It keeps the watch when all work comes from events, so that a worker woken by its own ring need not wake a second one.
 *
 * No system call, no assembly, no TLS stands in this file: a model checker compiles it as it is (tests/model/).
 *
 * Invariants
 *   1. word = searching + 2^16 sleeping + 2^32 napping + 2^48 lingering. Every idle worker is counted in exactly one of the first three; who lingers
 *      is counted in sleeping too; napping <= 1, lingering <= 1.
 *   2. A worker's `state` leaves FL_ASLEEP once a sleep, by the compare-and-swap of one waker or of the sleeper itself; who wins
 *      moves it from sleeping to searching in the word. So a wake-up is never spent on two, nor on nobody. Only then does the state become
 *      FL_AWAKE, and only then does the sleeper go on: whoever searches is counted as searching. (If it went on at once, its fl_idle_found could come before
 *      the waker's addition, take `searching` below zero, and nobody would be woken for what is left.)
 *   3. Work that was pushed is seen by a searcher or napper that looks after the push, or its producer wakes a sleeper.
 *   4. While somebody who takes part is not idle, not all others sleep unless they are woken: one naps, lingers or searches; or the one who is not idle found them
 *      so when it left, and woke one. So whoever stalls is watched.
 *
 * Memory ordering
 *   [doze]   producer: publishes work, light barrier, reads word. Sleeper: counts itself into word, heavy barrier, reads the queues.
 *            One of them sees the other.
 *            In the same way: who begins to take part counts itself into `active`, light barrier, reads word. A sleeper reads `active` behind its barrier.
 *   [state]  the waker's swap of state releases, the sleeper's read acquires: what the waker did before is visible to the woken.
 *   [last]   a searcher that found work leaves `searching` by an atomic subtraction, and who brings it to zero wakes a sleeper without looking at
 *            queues: a producer that skipped its wake-up because of this searcher is answered by this one. The subtraction and the look at the states behind
 *            it are seq_cst: a sleeper that is counted but cannot be claimed yet will look after that producer's push.
 *   The word's other operations are read-modify-writes and need no order of their own. */
#ifndef FL_SCHED_IDLE_H
#define FL_SCHED_IDLE_H

#include "base/atomic.h"
#include "base/attr.h"
#include "base/barrier.h"
#include "base/lock.h"

#define FL_SEARCHING ((uint64_t)1)
#define FL_SLEEPING ((uint64_t)1 << 16)
#define FL_NAPPING ((uint64_t)1 << 32)
#define FL_LINGERING ((uint64_t)1 << 48)

FL_INLINE unsigned fl_idle_searching(uint64_t word)
{
    return (unsigned)(word & 0xffff);
}

FL_INLINE unsigned fl_idle_sleeping(uint64_t word)
{
    return (unsigned)(word >> 16 & 0xffff);
}

FL_INLINE unsigned fl_idle_napping(uint64_t word)
{
    return (unsigned)(word >> 32 & 0xffff);
}

FL_INLINE unsigned fl_idle_lingering(uint64_t word)
{
    return (unsigned)(word >> 48);
}

/** Claimed: somebody has won its wake-up and is about to count it as searching. */
enum fl_sleep_state { FL_AWAKE = 0, FL_ASLEEP = 1, FL_LINGER = 2, FL_CLAIMED = 3 };

/** One worker's part. */
struct fl_sleeper {
    FL_ALIGN_LINE _Atomic(uint32_t) state; /**< enum fl_sleep_state */
};

/** The runtime's part. */
struct fl_idle {
    FL_ALIGN_PAIR _Atomic(uint64_t) word;
    _Atomic(uint32_t)
        active; /**< how many take part: the workers, and reliefs that have not stepped aside; never less than the word counts */
};

/** Whether anybody is idle: searches, naps or sleeps. */
FL_INLINE bool fl_idle_anybody(uint64_t word)
{
    return (word & (FL_LINGERING - 1)) != 0;
}

/** Whether a producer that has just published work should wake somebody. After this fl_idle_claim finds whom. */
FL_INLINE bool fl_idle_wanted(struct fl_idle *idle)
{
    fl_barrier_light();                        /* [doze] pairs with fl_idle_doze */
    uint64_t word = load_relaxed(&idle->word); /* [doze] the read behind the barrier */
    return unlikely((word & (0xffff * FL_SLEEPING)) != 0) && fl_idle_searching(word) == 0 && fl_idle_napping(word) == 0;
}

/** Claims the wake-up of a sleeper: true once only a sleep; the caller must then see to it that the worker's sleep in the kernel ends. */
FL_INLINE bool fl_idle_claim(struct fl_idle *idle, struct fl_sleeper *sleeper)
{
    uint32_t state = load_seq_cst(&sleeper->state); /* [doze] [last] behind what fl_idle_wanted or fl_idle_found has read */
    if (state == FL_AWAKE || state == FL_CLAIMED ||
        !cas_acq_rel(&sleeper->state, &state, FL_CLAIMED)) /* [state] pairs with fl_idle_still */
        return false;
    /* [last] the woken one searches; nobody else needs to be woken meanwhile */
    add_seq_cst(&idle->word, FL_SEARCHING - FL_SLEEPING - (state == FL_LINGER ? FL_LINGERING : 0));
    store_release(&sleeper->state, FL_AWAKE); /* [state] pairs with fl_idle_undo */
    return true;
}

/** The first half of a claim, for who wants a sleeper to stay where it is for a while: it doesn't go on before fl_idle_release, whatever ends its sleep.
 * @param ret_state for fl_idle_release @return false: it is awake, or somebody else has claimed it */
FL_INLINE bool fl_idle_hold(struct fl_sleeper *sleeper, uint32_t *ret_state)
{
    *ret_state = load_seq_cst(&sleeper->state); /* [doze] as in fl_idle_claim */
    return *ret_state != FL_AWAKE && *ret_state != FL_CLAIMED &&
           cas_acq_rel(&sleeper->state, ret_state, FL_CLAIMED); /* [state] pairs with fl_idle_still */
}

/** The second half: it is awake now; the caller sees to it that its sleep in the kernel ends. */
FL_INLINE void fl_idle_release(struct fl_idle *idle, struct fl_sleeper *sleeper, uint32_t state)
{
    add_seq_cst(&idle->word, FL_SEARCHING - FL_SLEEPING - (state == FL_LINGER ? FL_LINGERING : 0)); /* [last] as in fl_idle_claim */
    store_release(&sleeper->state, FL_AWAKE);                                                       /* [state] pairs with fl_idle_undo */
}

/** A worker takes part from now on: with a task, or in the search for one. @return whether it should wake somebody to keep the watch, if it has a task:
 * after this fl_idle_claim finds whom. */
FL_INLINE bool fl_idle_take_part(struct fl_idle *idle)
{
    /* [doze] pairs with fl_idle_unwatched; the barrier stands in fl_idle_wanted. Of [watch] (sched/monitor.c) as well: before the look at the monitor */
    add_seq_cst(&idle->active, 1);
    return fl_idle_wanted(idle);
}

/** It takes part no more, and is not idle either. */
FL_INLINE void fl_idle_part(struct fl_idle *idle)
{
    sub_relaxed(&idle->active, 1); /* counter: who sees it late watches for nothing */
}

/** Whether somebody who takes part is not idle, as far as a searcher can see. */
FL_INLINE bool fl_idle_somebody_works(struct fl_idle *idle)
{
    uint64_t word = load_relaxed(&idle->word); /* hint: decides between two ways to wait, both right */
    return fl_idle_searching(word) + fl_idle_sleeping(word) + fl_idle_napping(word) < load_relaxed(&idle->active); /* hint: as the word */
}

/** Whether somebody is not idle and nobody keeps the watch: who has registered as a sleeper, and does not linger, must not sleep then. */
FL_INLINE bool fl_idle_unwatched(struct fl_idle *idle)
{
    uint64_t word = load_relaxed(&idle->word); /* [doze] the read behind the barrier */
    return fl_idle_napping(word) == 0 && fl_idle_lingering(word) == 0 &&
           fl_idle_searching(word) + fl_idle_sleeping(word) < load_relaxed(&idle->active); /* [doze] pairs with fl_idle_take_part */
}

/** A worker that has run out of work begins to search. */
FL_INLINE void fl_idle_search(struct fl_idle *idle)
{
    add_seq_cst(&idle->word, FL_SEARCHING); /* [last] */
}

/** A searcher that found nothing waits for a moment (a tenth of a millisecond or so) in which it counts as busy, then calls fl_idle_search. Whoever wakes
 * nobody because of its earlier search is answered by the next one. */
FL_INLINE void fl_idle_pause(struct fl_idle *idle)
{
    add_seq_cst(&idle->word, -FL_SEARCHING); /* [last] */
}

/** A searcher has found work. @return whether it must wake the next one: nobody else searches or keeps the watch. */
FL_INLINE bool fl_idle_found(struct fl_idle *idle)
{
    uint64_t word =
        add_seq_cst(&idle->word, -FL_SEARCHING) - FL_SEARCHING; /* [last] pairs with fl_idle_wanted of a producer that saw it search */
    return (word & (0xffff * FL_SEARCHING)) == 0 && word < FL_NAPPING && word != 0;
}

/** A searcher that found nothing leaves: it is not idle any more, and does not look again. Somebody may have counted on its search. @return as fl_idle_found */
FL_INLINE bool fl_idle_leave(struct fl_idle *idle)
{
    return fl_idle_found(idle);
}

/** A searcher that found nothing starts a nap, unless somebody naps already. */
FL_INLINE bool fl_idle_nap(struct fl_idle *idle)
{
    uint64_t word = load_relaxed(&idle->word); /* hint: the swap decides */
    while (fl_idle_napping(word) == 0)
        if (cas_weak_acq_rel(&idle->word, &word, word + FL_NAPPING - FL_SEARCHING)) /* [last] moves it from searching to napping at once */
            return true;
    return false;
}

/** The nap is over: it searches again. */
FL_INLINE void fl_idle_nap_over(struct fl_idle *idle)
{
    add_seq_cst(&idle->word, FL_SEARCHING - FL_NAPPING); /* [last] */
}

/** A searcher that found nothing registers as a sleeper. It must look everywhere once more before it sleeps; if there is work it calls fl_idle_undo.
 * @param linger whether it would linger @return whether it does: false if somebody else lingers already. */
FL_INLINE bool fl_idle_doze(struct fl_idle *idle, struct fl_sleeper *sleeper, bool linger)
{
    uint64_t word = load_relaxed(&idle->word); /* hint: the swap decides */
    do
        linger = linger && fl_idle_lingering(word) == 0;
    while (!cas_seq_cst(&idle->word, &word,
                        word + FL_SLEEPING - FL_SEARCHING + (linger ? FL_LINGERING : 0))); /* [doze] pairs with fl_idle_wanted */
    /* [doze] pairs with the claim of a producer: it finds the state set, or its push is seen by the look that follows */
    store_release(&sleeper->state, linger ? FL_LINGER : FL_ASLEEP);
    fl_barrier_heavy(); /* [doze] orders count and state before the look at the queues */
    return linger;
}

/** The sleeper itself gives up its sleep (work seen, time out, completion). It searches afterwards, whether a waker was quicker or not.
 * @return false: a waker was quicker. */
FL_INLINE bool fl_idle_undo(struct fl_idle *idle, struct fl_sleeper *sleeper)
{
    if (fl_idle_claim(idle, sleeper))
        return true;
    for (unsigned turn = 0; load_acquire(&sleeper->state) != FL_AWAKE;) /* [state] pairs with fl_idle_claim: a moment */
        turn = fl_lock_pause(turn);
    return false;
}

/** Whether nobody has woken the sleeper yet. */
FL_INLINE bool fl_idle_still(struct fl_sleeper *sleeper)
{
    uint32_t state = load_acquire(&sleeper->state); /* [state] pairs with fl_idle_claim */
    return state == FL_ASLEEP || state == FL_LINGER;
}

#endif
