/* SPDX-License-Identifier: MIT */
/* The reader-writer lock: two counts and one queue for both sides. A reader that finds a writer waiting stands behind it, so writers don't starve; when a writer
 * leaves, all readers up to the next writer go on at once. What is given back is handed over: nobody who comes later gets between.
 *
 * Invariants (under the lock)
 *   1. readers_ > 0 and writer_ exclude each other.
 *   2. With neither, the queue is empty. The first in the queue is a writer, or there is a writer.
 * The waits cannot be cancelled, so a waiter that is taken out is always woken. */
#include "sync/waitq.h"

#include <filch/sync.h>

enum { READER = 0, WRITER = 1 };

static struct fl_lock *lock_of(filch_rwlock *rwlock)
{
    return (struct fl_lock *)&rwlock->lock_;
}

static bool take(filch_rwlock *rwlock, uint32_t kind, const void *self)
{
    if (rwlock->writer_ || rwlock->first_ || (kind == WRITER && rwlock->readers_ > 0))
        return false;
    if (kind == WRITER)
        rwlock->writer_ = self;
    else
        rwlock->readers_++;
    return true;
}

static bool try_take(filch_rwlock *rwlock, uint32_t kind)
{
    const void *self = fl_caller();
    fl_lock_take(lock_of(rwlock));
    bool got = take(rwlock, kind, self);
    fl_lock_give(lock_of(rwlock));
    return got;
}

static const void *holder(const void *rwlock)
{
    return ((const filch_rwlock *)rwlock)->writer_;
}

static const struct fl_why locks = {"rwlock", holder};

static FL_NOINLINE void take_slow(filch_rwlock *rwlock, uint32_t kind)
{
    const void *self = fl_caller();
    struct fl_task stand_in, *task = fl_waiter(&stand_in);
    struct fl_waiter w = {.task = task, .kind = kind, .data = (void *)(uintptr_t)self};
    fl_wake_arm(task, false);
    fl_lock_take(lock_of(rwlock));
    bool got = take(rwlock, kind, self), own = rwlock->writer_ == self;
    if (!got && !own)
        fl_waitq_append(FL_WAITQ(rwlock), &w);
    fl_lock_give(lock_of(rwlock));
    if (!got && own)
        fl_misuse("filch_rwlock: the caller writes under this lock already", "rwlock", rwlock, self);
    if (got)
        fl_wait_end(task);
    else
        fl_wait(task, &locks, rwlock, false);
}

void filch_rwlock_read(filch_rwlock *rwlock)
{
    if (unlikely(!try_take(rwlock, READER)))
        take_slow(rwlock, READER);
}

void filch_rwlock_write(filch_rwlock *rwlock)
{
    if (unlikely(!try_take(rwlock, WRITER)))
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

/* Nobody has it: gives it to the first in the queue. @return who must be woken, linked by `next`. */
static struct fl_waiter *pass_on(filch_rwlock *rwlock)
{
    struct fl_waitq *q = FL_WAITQ(rwlock);
    struct fl_waiter *first = fl_waitq_take(q), *last = first, *next;
    if (!first)
        return NULL;
    if (first->kind == WRITER) {
        rwlock->writer_ = first->data;
        first->next = NULL;
        return first;
    }
    rwlock->readers_ = 1;
    while ((next = fl_waitq_first(q)) && next->kind == READER) {
        last->next = fl_waitq_take(q);
        last = last->next;
        rwlock->readers_++;
    }
    last->next = NULL;
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
