/* SPDX-License-Identifier: MIT */
/* The mutex: one word to take it by, a list of those who wait, barging with a promise.
 *
 * Whoever comes first takes a free mutex, also past those who were woken for it: handing it over at each unlock would make every pair cost a
 * switch. So that nobody starves, a waiter that was woken and found it taken again goes back to the head of the list, and from the second time on it
 * is promised the mutex: the next unlock hands it over. A pinned waiter may be long in coming, because only one worker can run it: the first time the next in
 * the list is woken with it. After M. Burrows' nsync (designated waker) and WebKit's parking lot.
 *
 * Invariants
 *   1. HELD: somebody has it; owner_ says who (written by the holder after taking, before giving back).
 *   2. QUEUED: the list is not empty. LOCKED: somebody works on the list. Meanwhile nobody else changes the word, but for HELD, which anybody may set:
 *      so who finds it free and the list locked takes it as everybody does, and only while it is held the word may be stored.
 *   3. WAKING: a waiter was woken and has not tried yet; one that is not pinned, if any waits and none has been promised it. Meanwhile an unlock wakes no other.
 *   4. The unlocker's last touch of the mutex is the store or swap that gives it back: the next holder may free it.
 *
 * Memory ordering
 *   [hold]  giving back releases, taking acquires, also through a hand-over (the wake word orders that).
 *   [lock]  LOCKED: acquiring swap, releasing store.
 *
 * Cost. Most turns of a mutex that is much wanted come while somebody is on the way: WAKING and often QUEUED are set, and the one that runs takes it again
 * and again. Those turns, too, are one locked instruction to take it and one to give it back: HELD is set whatever else the word says. (As two swaps that
 * expect an empty word, and two more that do not, eight tasks on two workers took twice as long.)
 * Who finds it held looks seldom: each look takes the line from the one that runs. */
#include "sync/wait.h"

#include <filch/sync.h>

#define HELD 1u
#define LOCKED 2u
#define QUEUED 4u
#define WAKING 8u

/* Looks at a held mutex before parking, each after twice as long: in all about what parking and being woken costs. */
#ifndef FL_MUTEX_SPINS
#define FL_MUTEX_SPINS 6
#endif

struct waiter {
    struct waiter *next;
    struct fl_task *task;
    unsigned tries;
    bool given;  /* the mutex was handed over */
    bool pinned; /* only one worker can run it */
};

static _Atomic(uint32_t) *word_of(filch_mutex *mutex)
{
    return fl_atomic(uint32_t, &mutex->word_);
}

static _Atomic(const void *) *owner_of(filch_mutex *mutex)
{
    return (_Atomic(const void *) *)&mutex->owner_;
}

/* Somebody is about to have it, who waits in vain. */
static const void *holder(const void *mutex)
{
    const void *owner = load_relaxed(owner_of((filch_mutex *)(uintptr_t)mutex)); /* hint: reported */
    return owner ? owner : FL_SOMEBODY;
}

static const struct fl_why locks = {"mutex", holder};

static uint32_t lock(filch_mutex *mutex)
{
    for (unsigned turn = 0;; turn = fl_lock_pause(turn)) {
        uint32_t word = load_relaxed(word_of(mutex));                              /* hint: the swap decides */
        if (!(word & LOCKED) && cas_acquire(word_of(mutex), &word, word | LOCKED)) /* [lock] */
            return word;
    }
}

/* Takes the mutex if it is free. (Here and below each turn looks anew: a checker can tell then that waiting changes nothing.) */
static bool take(filch_mutex *mutex, uint32_t clear)
{
    unsigned turn = 0;
    for (uint32_t word; !((word = load_relaxed(word_of(mutex))) & HELD);) { /* hint: the swap decides */
        if (word & LOCKED)
            turn = fl_lock_pause(turn);
        else if (cas_acquire(word_of(mutex), &word, (word | HELD) & ~clear)) /* [hold] pairs with filch_mutex_unlock */
            return true;
    }
    return false;
}

/* As above, in one step, whatever else the word says. */
static bool grab(filch_mutex *mutex)
{
    return !(or_acquire(word_of(mutex), HELD) & HELD); /* [hold] pairs with filch_mutex_unlock */
}

static FL_NOINLINE void lock_slow(filch_mutex *mutex, const void *self)
{
    if (load_relaxed(owner_of(mutex)) == self) /* hint: only the caller writes its own name */
        fl_misuse("filch_mutex_lock: the caller holds this mutex already", "mutex", mutex, self);
    for (unsigned i = 0; i < FL_MUTEX_SPINS; i++) {
        if (take(mutex, 0))
            return;
        for (unsigned pause = 0; pause < 1u << i; pause++)
            fl_relax();
    }
    struct fl_task stand_in, *task = fl_waiter(&stand_in);
    struct waiter w = {.task = task, .pinned = task->flags & FL_TASK_PINNED};
    fl_wake_arm(task, false);
    for (;;) {
        uint32_t word = lock(mutex);
        uint32_t clear = w.tries ? WAKING : 0;
        if (!(word & HELD) && grab(mutex)) {
            and_release(word_of(mutex), ~(LOCKED | clear)); /* [lock] */
            fl_wait_end(task);
            return;
        }
        word |= HELD;  /* until we let go of the list */
        if (w.tries) { /* it has waited longest */
            w.next = mutex->head_;
            mutex->head_ = &w;
            if (!w.next)
                mutex->tail_ = &w;
        } else {
            w.next = NULL;
            if (word & QUEUED)
                ((struct waiter *)mutex->tail_)->next = &w;
            else
                mutex->head_ = &w;
            mutex->tail_ = &w;
        }
        w.tries++;
        store_release(word_of(mutex), (word | QUEUED) & ~clear); /* [lock] */
        fl_wait(task, &locks, mutex, false);
        if (w.given)
            return;
        if (take(mutex, WAKING))
            return;
        fl_wake_arm(task, false);
    }
}

void filch_mutex_lock(filch_mutex *mutex)
{
    const void *self = fl_caller();
    if (unlikely(!grab(mutex)))
        lock_slow(mutex, self);
    store_relaxed(owner_of(mutex), self); /* own: the holder */
}

bool filch_mutex_trylock(filch_mutex *mutex)
{
    if (!take(mutex, 0))
        return false;
    store_relaxed(owner_of(mutex), fl_caller()); /* own: the holder */
    return true;
}

/* Whether there is somebody to wake, and nobody on the way, or somebody works on the list. */
static bool is_wanted(uint32_t word)
{
    return word & LOCKED || (word & (QUEUED | WAKING)) == QUEUED;
}

/* Takes those out of the list, which is not empty, whom an unlock wakes: the first if it was promised the mutex; else all up to the first that is not pinned.
 * @return linked by `next` */
static struct waiter *call_waiters(filch_mutex *mutex)
{
    struct waiter *first = mutex->head_, *last = first;
    first->given = first->tries > 1;
    while (!first->given && last->pinned && last->next)
        last = last->next;
    mutex->head_ = last->next;
    last->next = NULL;
    return first;
}

static FL_NOINLINE void unlock_slow(filch_mutex *mutex)
{
    uint32_t word = lock(mutex), rest = word & ~HELD;
    struct waiter *woken = NULL;
    if ((word & (QUEUED | WAKING)) == QUEUED) { /* else somebody is on the way */
        woken = call_waiters(mutex);
        rest = (woken->given ? word : rest | WAKING) & (mutex->head_ ? ~0u : ~QUEUED); /* handed over, it stays HELD */
    }
    store_release(word_of(mutex), rest); /* [hold] [lock] */
    while (woken) {
        struct fl_task *task = woken->task;
        woken = woken->next;
        fl_wake(task, 0, false);
    }
}

void filch_mutex_unlock(filch_mutex *mutex)
{
    const void *self = fl_caller();
    const void *owner = load_relaxed(owner_of(mutex)); /* own: the holder */
    if (unlikely(owner != self))
        fl_misuse("filch_mutex_unlock: the caller does not hold this mutex", "mutex", mutex, owner);
    store_relaxed(owner_of(mutex), NULL);                                                         /* own: the holder */
    uint32_t word = load_relaxed(word_of(mutex));                                                 /* hint: the swap decides */
    if (unlikely(is_wanted(word)) || unlikely(!cas_release(word_of(mutex), &word, word & ~HELD))) /* [hold] pairs with filch_mutex_lock */
        unlock_slow(mutex);
}
