/* SPDX-License-Identifier: MIT */
/* A spin lock for sections of a few dozen instructions: a word, all-zero is free. It guards what several workers share now and
 * then (a timer wheel, the pool of spare stacks, one end of a channel), never anything that waits.
 *
 * Invariants
 *   1. word == 1 while somebody is inside, else 0.
 *   2. Inside, nobody parks, blocks, or calls what a user wrote. So the wait is as long as the section, plus, if the holder is preempted,
 *      until it runs again, plus the same of another lock where one is taken inside (sync/chan.c).
 *   3. A waiter that has spun for a while gives its CPU away: sched_yield first; when that does not help, a short sleep, because yielding
 *      never lets a thread of lower priority run and the holder may be one (SCHED_FIFO hosts).
 *
 * Memory ordering
 *   [lock]  everything done before fl_lock_give is seen by whoever takes the lock next (release store; acquire exchange).
 *   The looking before the exchange (test and test-and-set) is relaxed: it only saves the line from bouncing.
 *
 * Who may call: any thread. Not from a signal handler, not recursively. errno survives.
 *
 * Rejected: a ticket or queue lock (fair, but a preempted waiter holds up all behind it, which is worse than unfairness with more threads
 * than CPUs); a futex lock (a third state and a system call on the giving side, for sections that end sooner than a wake-up takes);
 * pthread_spinlock_t (no yield: a preempted holder costs its waiters a whole time slice). */
#ifndef FL_BASE_LOCK_H
#define FL_BASE_LOCK_H

#include <errno.h>
#include <sched.h>
#include <time.h>

#include "base/atomic.h"
#include "base/attr.h"

#define FL_LOCK_SPINS 100  /* looks before the first yield: ~4 us of pause instructions on a current x86 */
#define FL_LOCK_YIELDS 100 /* yields before the first sleep */

struct fl_lock {
    _Atomic(uint32_t) word; /**< 1: taken */
};

/** One turn of waiting for another thread, the `turn`-th (from 0): spins, then yields, then sleeps 50 us. Keeps errno.
 * @return the number of the next turn. (A checker can tell that a waiting loop changes nothing only if no turn is counted.) */
FL_INLINE unsigned fl_lock_pause(unsigned turn)
{
#ifdef FL_MODEL
    return turn;
#else
    if (turn < FL_LOCK_SPINS) {
        fl_relax();
        return turn + 1;
    }
    int saved = errno;
    if (turn < FL_LOCK_SPINS + FL_LOCK_YIELDS)
        sched_yield();
    else
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    errno = saved;
    return turn + (turn < FL_LOCK_SPINS + FL_LOCK_YIELDS);
#endif
}

/** @return whether the lock was free and is now ours. */
FL_INLINE bool fl_lock_try(struct fl_lock *lock)
{
    return !load_relaxed(&lock->word) &&      /* hint: a stale 0 is found out by the exchange, a stale 1 is a failed try */
           !exchange_acquire(&lock->word, 1); /* [lock] pairs with fl_lock_give */
}

__attribute__((unused)) FL_COLD static void fl_lock_take_slow(struct fl_lock *lock)
{
    unsigned turn = 0;
    do {
        turn = fl_lock_pause(turn);
    } while (!fl_lock_try(lock));
}

FL_INLINE void fl_lock_take(struct fl_lock *lock)
{
    if (unlikely(!fl_lock_try(lock)))
        fl_lock_take_slow(lock);
}

FL_INLINE void fl_lock_give(struct fl_lock *lock)
{
    store_release(&lock->word, 0); /* [lock] pairs with fl_lock_try */
}

#endif
