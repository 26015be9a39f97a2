/* SPDX-License-Identifier: MIT */
/* The reader-writer lock: two counts and one queue for both sides, barging with a promise as in the mutex.
 *
 * A reader that finds a writer waiting stands behind it, so writers don't starve; when a writer leaves, all readers up to the next writer are woken at once. Until those who
 * were woken are there, whoever comes may pass them: to hand the lock over to somebody who does not run yet would make all others wait for that, and each turn
 * from then on cost a switch (eight tasks on two workers never came out of it). Who was woken and finds it taken goes back to the head of the queue, and is promised it: the next
 * unlock that can hands it over. But whoever was woken may be long in coming, on a busy worker, and while a queue stands only so many pass it: then its first is promised
 * the lock as well, and whoever comes stands behind. A pinned waiter may be long in coming because only one worker can run it: with it the next is woken, too.
 *
 * Invariants (under the lock)
 *   1. readers_ > 0 and writer_ exclude each other.
 *   2. waking_ counts those who were woken, not handed the lock, and have not tried yet, but for pinned ones. Meanwhile an unlock wakes nobody whom it does not hand the lock:
 *      the last of them takes it, or finds somebody who holds it and will wake.
 *   3. With neither readers nor a writer, nor anybody on the way who is counted, the queue is empty.
 *   4. coming_ counts those who were handed the lock and do not run yet; outsiders_ the readers that are plain threads. For reports.
 * The waits cannot be cancelled, so a waiter that is taken out is always woken. */
#include "sync/waitq.h"

#include <filch/sync.h>

enum { READER = 0, WRITER = 1 };

#define PASSES 256 /* before those in the queue are promised the lock: tens of microseconds of short turns */
#define LOOKS 6    /* before parking, each after twice as long: in all about what parking and being woken costs */

struct turn {
    struct fl_waiter waiter;
    unsigned tries;
    bool given;   /* the lock was handed over */
    bool counted; /* in waking_ */
    bool pinned;  /* only one worker can run it */
};

static struct turn *turn_of(struct fl_waiter *w)
{
    return fl_container_of(w, struct turn, waiter);
}

static struct fl_lock *lock_of(filch_rwlock *rwlock)
{
    return (struct fl_lock *)&rwlock->lock_;
}

/* Whether those in the queue have been passed so often that it is their turn. */
static bool is_overdue(const filch_rwlock *rwlock)
{
    return rwlock->passed_ >= PASSES;
}

/* @param woken whether it has waited: nobody goes before it */
static bool take(filch_rwlock *rwlock, uint32_t kind, const void *self, bool woken)
{
    if (rwlock->writer_ || (kind == WRITER && rwlock->readers_ > 0))
        return false;
    if (rwlock->first_ && !woken) {
        if (rwlock->waking_ == 0 || (rwlock->readers_ > 0 && is_overdue(rwlock)))
            return false;
        rwlock->passed_++;
    }
    if (kind == WRITER) {
        rwlock->writer_ = self;
    } else {
        rwlock->readers_++;
        rwlock->outsiders_ += !fl_current();
    }
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

static const void *holder(const void *object)
{
    filch_rwlock *rwlock = (filch_rwlock *)(uintptr_t)object;
    fl_lock_take(lock_of(rwlock));
    bool on_the_way = rwlock->coming_ > 0 || (!rwlock->writer_ && (rwlock->waking_ > 0 || rwlock->readers_ == 0));
    const void *known = on_the_way || rwlock->outsiders_ > 0 ? FL_SOMEBODY : rwlock->writer_;
    fl_lock_give(lock_of(rwlock));
    return known;
}

static const struct fl_why locks = {"rwlock", holder};

/* Tries, or stands in line. @return whether the caller has it */
static bool take_or_stand(filch_rwlock *rwlock, struct turn *turn)
{
    struct fl_waiter *w = &turn->waiter;
    const void *self = w->data;
    bool woken = turn->tries > 0;
    fl_lock_take(lock_of(rwlock));
    rwlock->waking_ -= turn->counted;
    turn->counted = false;
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
    struct turn turn = {.waiter = {.task = task, .kind = kind, .data = (void *)(uintptr_t)fl_caller()},
                        .pinned = task->flags & FL_TASK_PINNED};
    do {
        fl_wake_arm(task, false);
        if (take_or_stand(rwlock, &turn)) {
            fl_wait_end(task);
            return;
        }
        fl_wait(task, &locks, rwlock, false);
    } while (!turn.given);
    fl_lock_take(lock_of(rwlock));
    rwlock->coming_--;
    fl_lock_give(lock_of(rwlock));
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

static void hand_over(filch_rwlock *rwlock, struct fl_waiter *w)
{
    rwlock->coming_++;
    if (w->kind == WRITER) {
        rwlock->writer_ = w->data;
    } else {
        rwlock->readers_++;
        rwlock->outsiders_ += !w->task->runtime;
    }
}

/* Nobody has it: hands it to the first in the queue if it was promised it, or to the first that is not pinned if that has been passed too often; else calls that, and all pinned
 * ones before it. If it is a reader those behind it go along, up to the next writer. @return who must be woken, linked by `next`. */
static struct fl_waiter *pass_on(filch_rwlock *rwlock)
{
    struct fl_waitq *q = FL_WAITQ(rwlock);
    struct fl_waiter *first = fl_waitq_first(q), *woken = NULL, **end = &woken, *next;
    bool promised = first && turn_of(first)->tries > 1;
    while (!promised && first && turn_of(first)->pinned)
        first = first->next;
    bool given = promised || (first && rwlock->waking_ > 0 && is_overdue(rwlock)), before = !given;
    if (rwlock->waking_ > 0 && !given)
        return NULL;
    for (struct fl_waiter *w = given ? first : fl_waitq_first(q); w; w = next) {
        next = w->next;
        if (!before && w != first && (w->kind == WRITER || first->kind == WRITER))
            break;
        before = before && w != first;
        if (given && w != first && turn_of(w)->pinned)
            continue;
        fl_waitq_remove(q, w);
        turn_of(w)->given = given;
        turn_of(w)->counted = !given && !turn_of(w)->pinned;
        rwlock->waking_ += turn_of(w)->counted;
        if (given)
            hand_over(rwlock, w);
        *end = w;
        end = &w->next;
    }
    *end = NULL;
    rwlock->passed_ = given ? rwlock->passed_ : 0;
    return woken;
}

static void leave_reader(filch_rwlock *rwlock)
{
    rwlock->readers_--;
    rwlock->outsiders_ -= !fl_current() && rwlock->outsiders_ > 0;
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
            leave_reader(rwlock);
        if (rwlock->readers_ == 0)
            woken = pass_on(rwlock);
    }
    fl_lock_give(lock_of(rwlock));
    if (!held)
        fl_misuse("filch_rwlock_unlock: the caller does not hold this lock", "rwlock", rwlock, writer);
    fl_waitq_wake_all(woken);
}
