/* SPDX-License-Identifier: MIT */
/* The counting semaphore: a word that holds the count, and a queue behind it.
 *
 * Invariants
 *   1. word_ is twice the count, plus WAITERS while the queue is not empty. With WAITERS the count is 0, and only who has the lock writes the word.
 *   2. A release with WAITERS hands its unit to the first waiter: nobody who comes later gets it.
 *   3. The last touch of a release is the swap that gives the unit, or the claim of a waiter: whoever takes it may free the semaphore.
 *
 * Memory ordering
 *   [unit]  giving a unit releases, taking it acquires; one that is handed over travels by the wake word. */
#include "sync/waitq.h"

#include <filch/sync.h>

#define WAITERS ((int64_t)1)
#define UNIT ((int64_t)2)

static _Atomic(int64_t) *word_of(filch_sem *sem)
{
    return fl_atomic(int64_t, &sem->word_);
}

static struct fl_lock *lock_of(filch_sem *sem)
{
    return (struct fl_lock *)&sem->lock_;
}

bool filch_sem_try(filch_sem *sem)
{
    int64_t word = load_relaxed(word_of(sem)); /* hint: the swap decides */
    while (word >= UNIT)
        if (cas_acquire(word_of(sem), &word, word - UNIT)) /* [unit] pairs with filch_sem_release */
            return true;
    return false;
}

static const struct fl_why waits = {.name = "semaphore"};

static FL_NOINLINE int acquire_slow(filch_sem *sem)
{
    struct fl_task stand_in, *task = fl_waiter(&stand_in);
    struct fl_waiter w = {.task = task};
    fl_wait_begin(task);
    fl_lock_take(lock_of(sem));
    for (int64_t word = 0; !(word & WAITERS);) {
        if (filch_sem_try(sem)) {
            fl_lock_give(lock_of(sem));
            fl_wait_end(task);
            return 0;
        }
        word = 0;
        if (cas_acquire(word_of(sem), &word, WAITERS)) /* [unit] */
            break;
    }
    fl_waitq_append(FL_WAITQ(sem), &w);
    fl_lock_give(lock_of(sem));
    int r = fl_wait(task, &waits, sem, true);
    if (r != 0 && fl_waitq_leave(FL_WAITQ(sem), lock_of(sem), &w)) {
        fl_lock_take(lock_of(sem));
        if (!sem->first_)
            and_release(word_of(sem), ~WAITERS); /* [unit] the lock: nobody else writes it */
        fl_lock_give(lock_of(sem));
    }
    return r;
}

int filch_sem_acquire(filch_sem *sem)
{
    return likely(filch_sem_try(sem)) ? 0 : acquire_slow(sem);
}

/* Puts a unit where anybody may take it, and free the semaphore. @return false: there are waiters. */
static bool give_unit(filch_sem *sem)
{
    int64_t word = load_relaxed(word_of(sem)); /* hint: the swap decides */
    while (!(word & WAITERS))
        if (cas_release(word_of(sem), &word, word + UNIT)) /* [unit] pairs with filch_sem_try */
            return true;
    return false;
}

static FL_NOINLINE void release_slow(filch_sem *sem)
{
    for (;;) {
        fl_lock_take(lock_of(sem));
        struct fl_waiter *w = fl_waitq_take(FL_WAITQ(sem));
        if (!sem->first_)
            and_release(word_of(sem), ~WAITERS); /* [unit] */
        fl_lock_give(lock_of(sem));
        if (w ? fl_waitq_wake(w) : give_unit(sem)) /* either is the last touch */
            return;
    }
}

void filch_sem_release(filch_sem *sem)
{
    if (unlikely(!give_unit(sem)))
        release_slow(sem);
}
