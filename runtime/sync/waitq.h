/* SPDX-License-Identifier: MIT */
/* A queue of those who wait for an object, first come first served. The object has a lock of its own, under which everything here is done
 * but waiting and waking, and a look whether anybody is there, for a hint.
 *
 * A waiter lies in the frame of its call. Its wait may be ended by two: whoever takes it out of the queue and claims it (fl_waitq_wake), or a cancel, which
 * knows nothing of the queue. So a waker that comes second has taken out a waiter that is about to go on: it says so by `done`, and the
 * waiter, which finds itself out of the queue, waits for that before its memory dies.
 *
 * A select stands in many queues with a waiter in each, all of one task (sync/select.c). Which of them was claimed is the claim's result; for all the
 * others the claim is what a cancel is: something quicker.
 *
 * A waker claims after it has given the object's lock back, and then touches the object no more: whoever is woken may free it. */
#ifndef FL_SYNC_WAITQ_H
#define FL_SYNC_WAITQ_H

#include "base/lock.h"
#include "sync/wait.h"

struct fl_waiter {
    struct fl_waiter *prev, *next; /**< own: the object's lock */
    struct fl_task *task;
    void *data;         /**< what the object hands over or is handed */
    uint32_t kind;      /**< the object's */
    int32_t result;     /**< what its claim says when it is one of several of its task: which one; else 0 */
    int32_t error;      /**< then: what the object says, 0 or -errno */
    bool queued;        /**< own: the object's lock */
    _Atomic(bool) done; /**< a waker that was too late doesn't touch it any more */
};

/** The queue as it stands in a public structure, `first_` and `last_`. All-zero is empty. */
#define FL_WAITQ(object) ((struct fl_waitq *)(void *)&(object)->first_)

struct fl_waitq {
    _Atomic(struct fl_waiter *) first; /**< own: the object's lock; for others a hint */
    struct fl_waiter *last;
};

FL_INLINE struct fl_waiter *fl_waitq_first(struct fl_waitq *q)
{
    return load_relaxed(&q->first); /* own: the object's lock; or hint: whoever has none looks again with it */
}

/** Whether somebody else than `task` waits; with the lock. */
FL_INLINE bool fl_waitq_others(struct fl_waitq *q, const struct fl_task *task)
{
    struct fl_waiter *w = fl_waitq_first(q);
    while (w && w->task == task)
        w = w->next;
    return w != NULL;
}

FL_INLINE void fl_waitq_append(struct fl_waitq *q, struct fl_waiter *w)
{
    w->prev = q->last;
    w->next = NULL;
    if (q->last)
        q->last->next = w;
    else
        store_relaxed(&q->first, w); /* own: the object's lock */
    q->last = w;
    w->queued = true;
}

FL_INLINE void fl_waitq_prepend(struct fl_waitq *q, struct fl_waiter *w)
{
    struct fl_waiter *first = fl_waitq_first(q);
    w->prev = NULL;
    w->next = first;
    if (first)
        first->prev = w;
    else
        q->last = w;
    store_relaxed(&q->first, w); /* own: the object's lock */
    w->queued = true;
}

FL_INLINE void fl_waitq_remove(struct fl_waitq *q, struct fl_waiter *w)
{
    if (w->prev)
        w->prev->next = w->next;
    else
        store_relaxed(&q->first, w->next); /* own: the object's lock */
    if (w->next)
        w->next->prev = w->prev;
    else
        q->last = w->prev;
    w->queued = false;
}

/** Takes the first waiter out, or NULL. */
FL_INLINE struct fl_waiter *fl_waitq_take(struct fl_waitq *q)
{
    struct fl_waiter *w = fl_waitq_first(q);
    if (w)
        fl_waitq_remove(q, w);
    return w;
}

/** Takes all out, linked by `next`. */
FL_INLINE struct fl_waiter *fl_waitq_take_all(struct fl_waitq *q)
{
    struct fl_waiter *all = fl_waitq_first(q);
    for (struct fl_waiter *w = all; w; w = w->next)
        w->queued = false;
    store_relaxed(&q->first, NULL); /* own: the object's lock */
    q->last = NULL;
    return all;
}

/** Claims a waiter that was taken out. @param error what the object says, 0 or -errno @return false: something was quicker */
FL_INLINE bool fl_waiter_claim(struct fl_waiter *w, int error, bool *ret_saved)
{
    if (unlikely(w->result)) {
        w->error = error;
        error = w->result;
    }
    return fl_wake_claim(w->task, error, false, ret_saved);
}

/** Wakes a waiter that was taken out; without the lock. @return false: it was cancelled, and is gone now. */
FL_INLINE bool fl_waitq_wake(struct fl_waiter *w)
{
    struct fl_task *task = w->task;
    bool saved;
    if (fl_waiter_claim(w, 0, &saved)) {
        fl_wake_deliver(task, saved); /* the waiter's frame may be gone since the claim */
        return true;
    }
    store_release(&w->done, true); /* [done] pairs with fl_waitq_let_go */
    return false;
}

/** Wakes all of a list that was taken out. @return how many had not been cancelled. */
FL_INLINE unsigned fl_waitq_wake_all(struct fl_waiter *w)
{
    unsigned woken = 0;
    while (w) {
        struct fl_waiter *next = w->next;
        __builtin_prefetch(next);
        woken += fl_waitq_wake(w);
        w = next;
    }
    return woken;
}

/** A wait has ended with an error, and the waiter was out of the queue by then: waits until its waker, which came too late, has let go of it. */
FL_INLINE void fl_waitq_let_go(struct fl_waiter *w)
{
    for (unsigned turn = 0; !load_acquire(&w->done); turn = fl_lock_pause(turn)) /* [done] pairs with fl_waitq_wake */
        ;
}

/** A wait has ended with an error: sees to it that nobody knows of the waiter any more. @return whether it was still in the queue. */
FL_INLINE bool fl_waitq_leave(struct fl_waitq *q, struct fl_lock *lock, struct fl_waiter *w)
{
    fl_lock_take(lock);
    bool queued = w->queued;
    if (queued)
        fl_waitq_remove(q, w);
    fl_lock_give(lock);
    if (!queued)
        fl_waitq_let_go(w);
    return queued;
}

#endif
