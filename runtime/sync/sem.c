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
#include "sync/case.h"
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

/* (Here and below each turn looks anew: a checker can tell then that waiting changes nothing.) */
bool filch_sem_try(filch_sem *sem)
{
    for (int64_t word; (word = load_relaxed(word_of(sem))) >= UNIT;) /* hint: the swap decides */
        if (cas_acquire(word_of(sem), &word, word - UNIT))           /* [unit] pairs with filch_sem_release */
            return true;
    return false;
}

static const struct fl_why waits = {.name = "semaphore"};

/* Stands in line. @return false: there is a unit */
static bool stand(filch_sem *sem, struct fl_waiter *w)
{
    fl_lock_take(lock_of(sem));
    bool stands = false;
    for (int64_t word; !stands && (word = load_relaxed(word_of(sem))) < UNIT;) /* hint: the swap decides */
        stands = word & WAITERS || cas_relaxed(word_of(sem), &word, WAITERS);  /* own: the lock, from here on */
    if (stands)
        fl_waitq_append(FL_WAITQ(sem), w);
    fl_lock_give(lock_of(sem));
    return stands;
}

/* Out of the line again: the wait has ended, but not by a unit. */
static void leave(filch_sem *sem, struct fl_waiter *w)
{
    if (!fl_waitq_leave(FL_WAITQ(sem), lock_of(sem), w))
        return;
    fl_lock_take(lock_of(sem));
    if (!fl_waitq_first(FL_WAITQ(sem)))
        and_release(word_of(sem), ~WAITERS); /* [unit] the lock: nobody else writes it */
    fl_lock_give(lock_of(sem));
}

static FL_NOINLINE int acquire_slow(filch_sem *sem)
{
    struct fl_task stand_in, *task = fl_waiter(&stand_in);
    struct fl_waiter w = {.task = task};
    for (;;) {
        fl_wait_begin(task);
        if (stand(sem, &w))
            break;
        fl_wait_end(task);
        if (filch_sem_try(sem))
            return 0;
    }
    int r = fl_wait(task, &waits, sem, true);
    if (r != 0)
        leave(sem, &w);
    return r;
}

int filch_sem_acquire(filch_sem *sem)
{
    return likely(filch_sem_try(sem)) ? 0 : acquire_slow(sem);
}

/* Puts a unit where anybody may take it, and free the semaphore. @param word as it seems to be @return false: it is another, or there are waiters. */
FL_INLINE bool put_unit(filch_sem *sem, int64_t word)
{
    return !(word & WAITERS) && cas_release(word_of(sem), &word, word + UNIT); /* [unit] pairs with filch_sem_try */
}

/* @return false: there are waiters. */
static bool give_unit(filch_sem *sem)
{
    for (int64_t word; !((word = load_relaxed(word_of(sem))) & WAITERS);) /* hint: the swap decides */
        if (put_unit(sem, word))
            return true;
    return false;
}

static FL_NOINLINE void release_slow(filch_sem *sem)
{
    for (;;) {
        fl_lock_take(lock_of(sem));
        struct fl_waiter *w = fl_waitq_take(FL_WAITQ(sem));
        if (!fl_waitq_first(FL_WAITQ(sem)))
            and_release(word_of(sem), ~WAITERS); /* [unit] */
        fl_lock_give(lock_of(sem));
        /* hint: the swap decides; either is the last touch */
        if (w ? fl_waitq_wake(w) : put_unit(sem, load_relaxed(word_of(sem))))
            return;
    }
}

void filch_sem_release(filch_sem *sem)
{
    if (unlikely(!give_unit(sem)))
        release_slow(sem);
}

/* ---- as a case of a select ---- */

static bool may_take(filch_case *c)
{
    return load_relaxed(word_of(c->object_)) >= UNIT; /* hint: taking it decides */
}

static bool take_unit(filch_case *c)
{
    c->result = 0;
    return filch_sem_try(c->object_);
}

static int stand_for_unit(filch_case *c, struct fl_task *task, int32_t won)
{
    struct fl_waiter *w = fl_case_waiter(c);
    *w = (struct fl_waiter){.task = task, .result = won};
    return stand(c->object_, w) ? 0 : -EAGAIN;
}

static void leave_case(filch_case *c, bool won)
{
    c->result = 0;
    if (!won)
        leave(c->object_, fl_case_waiter(c));
}

const struct fl_case_kind fl_case_sem = {may_take, take_unit, stand_for_unit, leave_case};
