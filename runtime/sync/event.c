/* SPDX-License-Identifier: MIT */
/* The event: one word, and a list of those who wait.
 *
 * Invariants
 *   1. word_ has SET once set; QUEUED while the list is not empty; LOCKED while somebody works on the list. SET and QUEUED exclude each other.
 *   2. The setter's last touch of the event is the store that says SET: a waiter that sees it may free the event. The waiters it took
 *      out with that store are its own until it has claimed each, or, where a cancel was quicker, marked it `done`. taken_ counts such takings.
 *   3. A waiter that a cancel has woken takes itself out: from the list under LOCKED if taken_ is what it was when it came, else a setter has
 *      it, and it waits for `done`.
 *
 * Memory ordering
 *   [set]   the store of SET releases, every look at word_ acquires: what happened before the set is visible to whoever was let through.
 *   [lock]  LOCKED is taken by an acquiring swap and given back by a releasing store.
 *   [done]  `done` is released after the setter has read the waiter's link, acquired by a cancelled waiter before its memory dies. */
#include "sync/wait.h"

#include <filch/sync.h>

#define SET 1u
#define LOCKED 2u
#define QUEUED 4u

struct waiter {
    struct waiter *next, *prev;
    struct fl_task *task;
    uint32_t taken; /* the event's when it came */
    _Atomic(bool) done;
};

static _Atomic(uint32_t) *word_of(filch_event *event)
{
    return fl_atomic(uint32_t, &event->word_);
}

/* Locks the list. @return the word without LOCKED. */
static uint32_t lock(filch_event *event)
{
    for (unsigned turn = 0;; turn++) {
        uint32_t word = load_relaxed(word_of(event));                              /* hint: the swap decides */
        if (!(word & LOCKED) && cas_acquire(word_of(event), &word, word | LOCKED)) /* [lock] pairs with unlock */
            return word;
        fl_lock_pause(turn);
    }
}

static void unlock(filch_event *event, uint32_t word)
{
    store_release(word_of(event), word); /* [lock] [set] pairs with lock and filch_event_wait */
}

void filch_event_set(filch_event *event)
{
    uint32_t word = load_relaxed(word_of(event));             /* hint: the swap decides */
    if (word == 0 && cas_release(word_of(event), &word, SET)) /* [set] pairs with filch_event_wait */
        return;
    word = lock(event);
    if (word & SET) {
        unlock(event, word);
        return;
    }
    struct waiter *w = word & QUEUED ? event->head_ : NULL;
    event->head_ = event->tail_ = NULL;
    event->taken_++;
    unlock(event, SET);
    while (w) {
        struct waiter *next = w->next;
        struct fl_task *task = w->task;
        __builtin_prefetch(next); /* a million waiters stand on a million pages */
        bool saved, mine = fl_wake_claim(task, 0, false, &saved);
        if (mine)
            fl_wake_deliver(task, saved); /* its frame may be gone since the claim */
        else
            store_release(&w->done, true); /* [done] pairs with take_out: a cancel was quicker, and its waiter waits for this */
        w = next;
    }
}

void filch_event_reset(filch_event *event)
{
    uint32_t word = load_relaxed(word_of(event));                            /* hint: the swap decides */
    for (unsigned turn = 0; word & SET; word = load_relaxed(word_of(event))) /* hint: the swap decides */
        if (word & LOCKED)                                                   /* somebody is about to find that it need not wait */
            turn = fl_lock_pause(turn);
        else if (cas_acq_rel(word_of(event), &word, 0)) /* [set] what led to the set is visible to who resets it */
            return;
}

bool filch_event_is_set(const filch_event *event)
{
    return load_acquire(fl_atomic(uint32_t, (uint32_t *)(uintptr_t)&event->word_)) & SET; /* [set] pairs with filch_event_set */
}

static void take_out(filch_event *event, struct waiter *w)
{
    uint32_t word = lock(event);
    if (event->taken_ == w->taken) {
        if (w->prev)
            w->prev->next = w->next;
        else
            event->head_ = w->next;
        if (w->next)
            w->next->prev = w->prev;
        else
            event->tail_ = w->prev;
        unlock(event, event->head_ ? word : word & ~QUEUED);
        return;
    }
    unlock(event, word);
    for (unsigned turn = 0; !load_acquire(&w->done); turn++) /* [done] pairs with filch_event_set */
        fl_lock_pause(turn);
}

/* Stands in the list, unless it is set by now. @return whether it does. */
static bool stand(filch_event *event, struct waiter *w)
{
    uint32_t word = lock(event);
    if (word & SET) {
        unlock(event, word);
        return false;
    }
    w->taken = event->taken_;
    w->prev = event->tail_;
    if (w->prev)
        w->prev->next = w;
    else
        event->head_ = w;
    event->tail_ = w;
    unlock(event, word | QUEUED);
    return true;
}

static const struct fl_why waits = {.name = "event"}, calls = {.name = "call"};

int filch_event_wait(filch_event *event)
{
    if (filch_event_is_set(event))
        return 0;
    struct fl_task stand_in, *task = fl_waiter(&stand_in);
    struct waiter w = {.task = task};
    fl_wait_begin(task);
    if (!stand(event, &w)) {
        fl_wait_end(task);
        return 0;
    }
    int r = fl_wait(task, &waits, event, true);
    if (r != 0)
        take_out(event, &w);
    return r;
}

void fl_event_wait_surely(filch_event *event)
{
    if (filch_event_is_set(event))
        return;
    struct fl_task stand_in, *task = fl_waiter(&stand_in);
    struct waiter w = {.task = task};
    fl_wake_arm(task, false);
    if (stand(event, &w))
        fl_wait(task, &calls, event, false);
    else
        fl_wait_end(task);
}
