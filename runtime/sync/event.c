/* SPDX-License-Identifier: MIT */
/* The event: one word, and a line of those who wait.
 *
 * The manual kind stays set, and a set lets everybody through. The automatic kind lets one through for each set: it is handed to whoever has waited longest, or
 * stays until somebody comes.
 *
 * Invariants
 *   1. word_ has SET once set; QUEUED while the line is not empty; LOCKED while somebody works on the line. SET and QUEUED exclude each other. AUTO never
 *      changes.
 *   2. The setter's last touch of a manual event is the store that says SET: a waiter that sees it may free the event. The waiters it took
 *      out with that store are its own until it has claimed each, or, where something was quicker, marked it `done`. taken_ counts such takings, so that
 *      nobody has to walk along a million waiters under LOCKED; what `queued` says of those is out of date.
 *   3. Of an automatic one the setter's last touch is the swap that says SET, or the claim of a waiter.
 *   4. A waiter whose wait was ended otherwise takes itself out: from the line under LOCKED if it is in it, else a setter has it, and it waits for `done`.
 *
 * Memory ordering
 *   [set]   the store of SET releases, every look at word_ acquires: what happened before the set is visible to whoever was let through. Handed over, it
 *           travels by the wake word.
 *   [lock]  LOCKED is taken by an acquiring swap and given back by a releasing store.
 *   `done` is that of sync/waitq.h. */
#include "sync/case.h"
#include "sync/waitq.h"

#include <filch/sync.h>

#define SET 1u
#define LOCKED 2u
#define QUEUED 4u
#define AUTO 8u

_Static_assert(AUTO == FILCH_EVENT_AUTO_, "the public header knows the bit");

static _Atomic(uint32_t) *word_of(filch_event *event)
{
    return fl_atomic(uint32_t, &event->word_);
}

/* The line; under LOCKED. */
static struct fl_waitq *line_of(filch_event *event)
{
    return FL_WAITQ(event);
}

/* Locks the line. @return the word without LOCKED. (Here and below each turn looks anew: a checker can tell then that waiting changes nothing.) */
static uint32_t lock(filch_event *event)
{
    for (unsigned turn = 0;; turn = fl_lock_pause(turn)) {
        uint32_t word = load_relaxed(word_of(event));                              /* hint: the swap decides */
        if (!(word & LOCKED) && cas_acquire(word_of(event), &word, word | LOCKED)) /* [lock] pairs with unlock */
            return word;
    }
}

static void unlock(filch_event *event, uint32_t word)
{
    store_release(word_of(event), word); /* [lock] [set] pairs with lock and filch_event_wait */
}

/* Everybody goes. */
static void set_manual(filch_event *event)
{
    uint32_t word = lock(event);
    if (word & SET) {
        unlock(event, word);
        return;
    }
    struct fl_waiter *w = fl_waitq_first(line_of(event));
    *line_of(event) = (struct fl_waitq){.last = NULL};
    event->taken_++;
    unlock(event, SET);
    while (w) {
        struct fl_waiter *next = w->next;
        __builtin_prefetch(next); /* a million waiters stand on a million pages */
        fl_waitq_wake(w);
        w = next;
    }
}

/* Whoever has waited longest goes. */
static void set_auto(filch_event *event)
{
    struct fl_waiter *w;
    do {
        uint32_t word = lock(event);
        w = fl_waitq_take(line_of(event));
        unlock(event, !w ? word | SET : fl_waitq_first(line_of(event)) ? word : word & ~QUEUED);
    } while (w && !fl_waitq_wake(w));
}

void filch_event_set(filch_event *event)
{
    uint32_t word = load_relaxed(word_of(event));                              /* hint: the swap decides */
    if ((word & ~AUTO) == 0 && cas_release(word_of(event), &word, word | SET)) /* [set] pairs with filch_event_wait */
        return;
    if (word & AUTO)
        set_auto(event);
    else
        set_manual(event);
}

/* Takes SET away. @return whether it was there */
static bool unset(filch_event *event)
{
    unsigned turn = 0;
    for (uint32_t word; (word = load_relaxed(word_of(event))) & SET;) /* hint: the swap decides */
        if (word & LOCKED)                                            /* somebody is about to find that it need not wait */
            turn = fl_lock_pause(turn);
        else if (cas_acq_rel(word_of(event), &word, word & ~SET)) /* [set] what led to the set is visible to who resets it */
            return true;
    return false;
}

void filch_event_reset(filch_event *event)
{
    unset(event);
}

bool filch_event_is_set(const filch_event *event)
{
    return load_acquire(fl_atomic(uint32_t, (uint32_t *)(uintptr_t)&event->word_)) & SET; /* [set] pairs with filch_event_set */
}

/* Whether the caller need not wait; an automatic event is unset by that. */
static bool passes(filch_event *event)
{
    uint32_t word = load_acquire(word_of(event)); /* [set] pairs with filch_event_set */
    return word & SET && (likely(!(word & AUTO)) || unset(event));
}

/* Stands in line, unless it is set by now. @return whether it does. */
static bool stand(filch_event *event, struct fl_waiter *w)
{
    uint32_t word = lock(event);
    if (word & SET) {
        unlock(event, word);
        return false;
    }
    w->kind = event->taken_;
    fl_waitq_append(line_of(event), w);
    unlock(event, word | QUEUED);
    return true;
}

/* Out of the line again: the wait has ended, but not by a set. */
static void leave(filch_event *event, struct fl_waiter *w)
{
    uint32_t word = lock(event);
    bool queued = w->queued && event->taken_ == w->kind;
    if (queued)
        fl_waitq_remove(line_of(event), w);
    unlock(event, fl_waitq_first(line_of(event)) ? word : word & ~QUEUED);
    if (!queued)
        fl_waitq_let_go(w);
}

static const struct fl_why waits = {.name = "event"};

int filch_event_wait(filch_event *event)
{
    while (!passes(event)) {
        struct fl_task stand_in, *task = fl_waiter(&stand_in);
        struct fl_waiter w = {.task = task};
        fl_wait_begin(task);
        if (stand(event, &w)) {
            int r = fl_wait(task, &waits, event, true);
            if (r != 0)
                leave(event, &w);
            return r;
        }
        fl_wait_end(task);
    }
    return 0;
}

void fl_event_wait_surely(filch_event *event, const struct fl_why *why)
{
    if (filch_event_is_set(event))
        return;
    struct fl_task stand_in, *task = fl_waiter(&stand_in);
    struct fl_waiter w = {.task = task};
    fl_wake_arm(task, false);
    if (stand(event, &w))
        fl_wait(task, why, event, false);
    else
        fl_wait_end(task);
}

/* ---- as a case of a select ---- */

static bool may_pass(filch_case *c)
{
    return load_relaxed(word_of(c->object_)) & SET; /* hint: passing decides */
}

static bool pass(filch_case *c)
{
    c->result = 0;
    return passes(c->object_);
}

static int stand_for_set(filch_case *c, struct fl_task *task, int32_t won)
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

const struct fl_case_kind fl_case_event = {may_pass, pass, stand_for_set, leave_case};
