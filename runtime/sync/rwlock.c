/* SPDX-License-Identifier: MIT */
/* The reader-writer lock: two counts and one queue for both sides, barging with a promise as in the mutex.
 *
 * A reader that finds a writer waiting stands behind it, so writers don't starve; when a writer leaves, all readers up to the next writer are woken at once. Until those who
 * were woken are there, whoever comes may pass them: to hand the lock over to somebody who does not run yet would make all others wait for that, and each turn
 * from then on cost a switch (eight tasks on two workers never came out of it). Who was woken and finds it taken goes back to the head of the queue, and is promised it: the next
 * unlock that can hands it over.
 *
 * Invariants (under the lock)
 *   1. readers_ > 0 and writer_ exclude each other.
 *   2. waking_ counts those who were woken, not handed the lock, and have not tried yet. Meanwhile an unlock wakes nobody whom it does not hand the lock: the last of
 *      them takes it, or finds somebody who holds it and will wake.
 *   3. With neither readers nor a writer, nor anybody on the way, the queue is empty.
 * The waits cannot be cancelled, so a waiter that is taken out is always woken. */
#include "sync/waitq.h"

#include <filch/sync.h>

enum { READER = 0, WRITER = 1 };

#define LOOKS 6 /* before parking, each after twice as long: in all about what parking and being woken costs */

struct turn {
    struct fl_waiter waiter;
    unsigned tries;
    bool given; /* the lock was handed over */
};

static struct turn *turn_of(struct fl_waiter *w)
{
    return fl_container_of(w, struct turn, waiter);
}

static struct fl_lock *lock_of(filch_rwlock *rwlock)
{
    return (struct fl_lock *)&rwlock->lock_;
}

/* @param woken whether it has waited: nobody goes before it */
static bool take(filch_rwlock *rwlock, uint32_t kind, const void *self, bool woken)
{
    if (rwlock->writer_ || (kind == WRITER && rwlock->readers_ > 0))
        return false;
    if (rwlock->first_ && rwlock->waking_ == 0 && !woken)
        return false;
    if (kind == WRITER)
        rwlock->writer_ = self;
    else
        rwlock->readers_++;
    return true;
}

static bool take_and_give(filch_rwlock *rwlock, uint32_t kind)
{
    bool got = take(rwlock, kind, fl_caller(), false);
    fl_lock_give(lock_of(rwlock));
    return got;
}

static bool try_take(filch_rwlock *rwlock, uint32_t kind)
{
    fl_lock_take(lock_of(rwlock));
    return take_and_give(rwlock, kind);
}

/* The same, but not if somebody else is at work on it: to wait right there would keep him waiting. */
static bool take_at_once(filch_rwlock *rwlock, uint32_t kind)
{
    return fl_lock_try(lock_of(rwlock)) && take_and_give(rwlock, kind);
}

static const void *holder(const void *rwlock)
{
    return ((const filch_rwlock *)rwlock)->writer_;
}

static const struct fl_why locks = {"rwlock", holder};

/* Tries, or stands in line. @return whether the caller has it */
static bool take_or_stand(filch_rwlock *rwlock, struct turn *turn)
{
    struct fl_waiter *w = &turn->waiter;
    const void *self = w->data;
    bool woken = turn->tries > 0;
    fl_lock_take(lock_of(rwlock));
    rwlock->waking_ -= woken;
    bool got = take(rwlock, w->kind, self, woken), own = rwlock->writer_ == self && !got;
    if (!got && !own) {
        if (woken)
            fl_waitq_prepend(FL_WAITQ(rwlock), w);
        else
            fl_waitq_append(FL_WAITQ(rwlock), w);
        turn->tries++;
    }
    fl_lock_give(lock_of(rwlock));
    if (own)
        fl_misuse("filch_rwlock: the caller writes under this lock already", "rwlock", rwlock, self);
    return got;
}

static FL_NOINLINE void take_slow(filch_rwlock *rwlock, uint32_t kind)
{
    for (unsigned i = 0; i < LOOKS; i++) {
        for (unsigned pause = 0; pause < 1u << i; pause++)
            fl_relax();
        if (take_at_once(rwlock, kind))
            return;
    }
    struct fl_task stand_in, *task = fl_waiter(&stand_in);
    struct turn turn = {.waiter = {.task = task, .kind = kind, .data = (void *)(uintptr_t)fl_caller()}};
    do {
        fl_wake_arm(task, false);
        if (take_or_stand(rwlock, &turn)) {
            fl_wait_end(task);
            return;
        }
        fl_wait(task, &locks, rwlock, false);
    } while (!turn.given);
}

void filch_rwlock_read(filch_rwlock *rwlock)
{
    if (unlikely(!take_at_once(rwlock, READER)))
        take_slow(rwlock, READER);
}

void filch_rwlock_write(filch_rwlock *rwlock)
{
    if (unlikely(!take_at_once(rwlock, WRITER)))
        take_slow(rwlock, WRITER);
}

bool filch_rwlock_try_read(filch_rwlock *rwlock)
{
    return try_take(rwlock, READER);
}

bool filch_rwlock_try_write(filch_rwlock *rwlock)
{
    return try_take(rwlock, WRITER);
}

/* Nobody has it: calls the first in the queue, and if that is a reader those behind it up to the next writer; gives it to them if the first was promised
 * it. @return who must be woken, linked by `next`. */
static struct fl_waiter *pass_on(filch_rwlock *rwlock)
{
    struct fl_waitq *q = FL_WAITQ(rwlock);
    struct fl_waiter *first = fl_waitq_first(q), *last = NULL, *w;
    bool given = first && turn_of(first)->tries > 1;
    if (!first || (rwlock->waking_ > 0 && !given))
        return NULL;
    int32_t count = 0;
    while ((w = fl_waitq_first(q)) && (!last || (w->kind == READER && last->kind == READER))) {
        fl_waitq_remove(q, w);
        turn_of(w)->given = given;
        count++;
        if (last)
            last->next = w;
        last = w;
    }
    last->next = NULL;
    if (!given)
        rwlock->waking_ = (uint32_t)count;
    else if (first->kind == WRITER)
        rwlock->writer_ = first->data;
    else
        rwlock->readers_ = count;
    return first;
}

void filch_rwlock_unlock(filch_rwlock *rwlock)
{
    const void *self = fl_caller();
    fl_lock_take(lock_of(rwlock));
    const void *writer = rwlock->writer_;
    bool held = rwlock->writer_ ? rwlock->writer_ == self : rwlock->readers_ > 0;
    struct fl_waiter *woken = NULL;
    if (held) {
        if (rwlock->writer_)
            rwlock->writer_ = NULL;
        else
            rwlock->readers_--;
        if (rwlock->readers_ == 0)
            woken = pass_on(rwlock);
    }
    fl_lock_give(lock_of(rwlock));
    if (!held)
        fl_misuse("filch_rwlock_unlock: the caller does not hold this lock", "rwlock", rwlock, writer);
    fl_waitq_wake_all(woken);
}
