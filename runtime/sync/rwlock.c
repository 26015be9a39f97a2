/* SPDX-License-Identifier: MIT */
/* The reader-writer lock: two counts and one queue for both sides, barging with a promise as in the mutex.
 *
 * A reader that finds a writer waiting stands behind it, so writers don't starve; when a writer leaves, all readers up to the next writer are woken at once. Until those who
 * were woken are there, whoever comes may pass them: to hand the lock over to somebody who does not run yet would make all others wait for that, and each turn
 * from then on cost a switch (eight tasks on two workers never came out of it). Who was woken and finds it taken goes back to the head of the queue, and is promised it: the next
 * unlock that can hands it over. But whoever was woken may be long in coming, on a busy worker, and while a queue stands it is passed for 2 ms, or 64 times if that takes longer: then its first is
 * promised the lock as well, and whoever comes stands behind. A pinned waiter may be long in coming because only one worker can run it: with it the next is woken, too, and where nobody else waits all of them are called then.
 *
 * Invariants (under the lock)
 *   1. readers_ > 0 and writer_ exclude each other.
 *   2. waking_ counts those who were woken, not handed the lock, and have not tried yet, but for pinned ones. Meanwhile an unlock wakes nobody whom it does not hand the lock:
 *      the last of them takes it, or finds somebody who holds it and will wake.
 *   3. With neither readers nor a writer, nor anybody on the way who is counted, the queue is empty.
 *   4. coming_ counts those who were handed the lock from outside their runtime and do not run yet; outsiders_ the readers that are plain threads. For reports.
 * The waits cannot be cancelled, so a waiter that is taken out is always woken.
 *
 * Who finds it held looks seldom: each look takes the line from who takes the lock again and again. (With a first pause of one turn instead of 16, eight tasks on two workers took
 * 33 ns a round instead of 18.) */
#include "machine/clock.h"
#include "sync/waitq.h"

#include <filch/sync.h>

enum { READER = 0, WRITER = 1 };

#define PASSES 64       /* of those in the queue between two looks at how long that goes on already */
#define OVERDUE 2000000 /* ns of it after which they are promised the lock */
#define LONG_AGO 1      /* in since_: they are */
#define LOOKS 3         /* before parking, each after twice as long a pause: in all about what parking and being woken costs */
#define FIRST_PAUSE 16  /* turns of the first one */

struct turn {
    struct fl_waiter waiter;
    const struct filch_runtime *runtime; /* the task's, which lies elsewhere; NULL: a plain thread */
    unsigned tries;
    bool given;   /* the lock was handed over */
    bool counted; /* in waking_ */
    bool pinned;  /* only one worker can run it */
    bool coming;  /* in coming_ */
};

static struct turn *turn_of(struct fl_waiter *w)
{
    return fl_container_of(w, struct turn, waiter);
}

static struct fl_lock *lock_of(filch_rwlock *rwlock)
{
    return (struct fl_lock *)&rwlock->lock_;
}

/* Whether those in the queue have been passed for so long that it is their turn. */
static bool is_overdue(const filch_rwlock *rwlock)
{
    return rwlock->since_ == LONG_AGO;
}

/* So many have passed those in the queue since the last look. @return whether one more may */
static FL_NOINLINE FL_COLD bool look_how_long(filch_rwlock *rwlock)
{
    if (!is_overdue(rwlock) && fl_clock() - rwlock->since_ > OVERDUE)
        rwlock->since_ = LONG_AGO;
    rwlock->passed_ = is_overdue(rwlock) ? PASSES : 0;
    return !is_overdue(rwlock) || rwlock->readers_ == 0;
}

/* A first attempt, which looks at no clock; any other; one of who has waited, before whom nobody goes. */
enum attempt { FIRST, NEXT, WOKEN };

/* @param task the caller, or NULL: a plain thread */
FL_INLINE bool take(filch_rwlock *rwlock, uint32_t kind, const struct fl_task *task, enum attempt attempt)
{
    if (rwlock->writer_ || (kind == WRITER && rwlock->readers_ > 0))
        return false;
    if (rwlock->first_ && attempt != WOKEN) {
        if (rwlock->waking_ == 0 || (unlikely(rwlock->passed_ >= PASSES) && (attempt == FIRST || !look_how_long(rwlock))))
            return false;
        rwlock->passed_++;
    }
    if (kind == WRITER) {
        rwlock->writer_ = task ? (const void *)task : (const void *)pthread_self();
    } else {
        rwlock->readers_++;
        if (unlikely(!task))
            rwlock->outsiders_++;
    }
    return true;
}

FL_INLINE bool take_and_give(filch_rwlock *rwlock, uint32_t kind, const struct fl_task *task, enum attempt attempt)
{
    bool got = take(rwlock, kind, task, attempt);
    fl_lock_give(lock_of(rwlock));
    return got;
}

static bool try_take(filch_rwlock *rwlock, uint32_t kind)
{
    const struct fl_task *task = fl_current();
    fl_lock_take(lock_of(rwlock));
    return take_and_give(rwlock, kind, task, NEXT);
}

/* The same, but not if somebody else is at work on it: to wait right there would keep him waiting. */
FL_INLINE bool take_at_once(filch_rwlock *rwlock, uint32_t kind, enum attempt attempt)
{
    const struct fl_task *task = fl_current(); /* before it has the lock: others wait */
    return fl_lock_try(lock_of(rwlock)) && take_and_give(rwlock, kind, task, attempt);
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
    bool got = take(rwlock, w->kind, fl_current(), woken ? WOKEN : NEXT), own = rwlock->writer_ == self && !got;
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
        for (unsigned pause = 0; pause < (unsigned)FIRST_PAUSE << i; pause++)
            fl_relax();
        if (take_at_once(rwlock, kind, NEXT))
            return;
    }
    struct fl_task stand_in, *task = fl_waiter(&stand_in);
    struct turn turn = {.waiter = {.task = task, .kind = kind, .data = (void *)(uintptr_t)fl_caller()},
                        .runtime = task->runtime,
                        .pinned = task->flags & FL_TASK_PINNED};
    do {
        fl_wake_arm(task, false);
        if (take_or_stand(rwlock, &turn)) {
            fl_wait_end(task);
            return;
        }
        fl_wait(task, &locks, rwlock, false);
    } while (!turn.given);
    if (unlikely(turn.coming)) {
        fl_lock_take(lock_of(rwlock));
        rwlock->coming_--;
        fl_lock_give(lock_of(rwlock));
    }
}

void filch_rwlock_read(filch_rwlock *rwlock)
{
    if (unlikely(!take_at_once(rwlock, READER, FIRST)))
        take_slow(rwlock, READER);
}

void filch_rwlock_write(filch_rwlock *rwlock)
{
    if (unlikely(!take_at_once(rwlock, WRITER, FIRST)))
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
    const struct fl_task *self = fl_current();
    turn_of(w)->coming = !self || self->runtime != turn_of(w)->runtime;
    rwlock->coming_ += turn_of(w)->coming;
    if (w->kind == WRITER) {
        rwlock->writer_ = w->data;
    } else {
        rwlock->readers_++;
        rwlock->outsiders_ += !turn_of(w)->runtime;
    }
}

/* Nobody has it: hands it to the first in the queue if it was promised it, or to the first that is not pinned if that has been passed too often; else calls that, and all pinned
 * ones before it. If it is a reader those behind it go along, up to the next writer. @return who must be woken, linked by `next`. */
static FL_NOINLINE struct fl_waiter *pass_on(filch_rwlock *rwlock)
{
    struct fl_waitq *q = FL_WAITQ(rwlock);
    struct fl_waiter *first = fl_waitq_first(q), *woken = NULL, **end = &woken, *next;
    bool promised = first && turn_of(first)->tries > 1;
    while (!promised && first && turn_of(first)->pinned)
        first = first->next;
    bool overdue = rwlock->waking_ > 0 && is_overdue(rwlock);
    bool given = promised || (first && overdue), before = !given;
    if (rwlock->waking_ > 0 && !given && !overdue)
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
    if (!given) {
        rwlock->passed_ = 0;
        rwlock->since_ = fl_clock();
    }
    return woken;
}

/* Else there is nobody, or somebody is on the way already. */
FL_INLINE bool is_anybody_s_turn(filch_rwlock *rwlock)
{
    struct fl_waiter *first = fl_waitq_first(FL_WAITQ(rwlock));
    return first && (rwlock->waking_ == 0 || turn_of(first)->tries > 1 || is_overdue(rwlock));
}

/* With the lock, which it gives back. */
static FL_NOINLINE void pass_on_and_give(filch_rwlock *rwlock)
{
    struct fl_waiter *woken = pass_on(rwlock);
    fl_lock_give(lock_of(rwlock));
    fl_waitq_wake_all(woken);
}

static FL_NOINLINE FL_COLD void not_held(filch_rwlock *rwlock)
{
    const void *writer = rwlock->writer_;
    fl_lock_give(lock_of(rwlock));
    fl_misuse("filch_rwlock_unlock: the caller does not hold this lock", "rwlock", rwlock, writer);
}

void filch_rwlock_unlock(filch_rwlock *rwlock)
{
    const struct fl_task *task = fl_current();
    const void *self = likely(task != NULL) ? (const void *)task : (const void *)pthread_self();
    fl_lock_take(lock_of(rwlock));
    if (rwlock->writer_) {
        if (unlikely(rwlock->writer_ != self))
            return not_held(rwlock);
        rwlock->writer_ = NULL;
    } else {
        if (unlikely(rwlock->readers_ <= 0))
            return not_held(rwlock);
        rwlock->readers_--;
        if (unlikely(!task) && rwlock->outsiders_ > 0)
            rwlock->outsiders_--;
    }
    if (rwlock->readers_ == 0 && is_anybody_s_turn(rwlock))
        return pass_on_and_give(rwlock);
    fl_lock_give(lock_of(rwlock));
}
