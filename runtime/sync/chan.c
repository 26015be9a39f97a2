/* SPDX-License-Identifier: MIT */
/* The channel: a ring of values, a queue of those who wait to send, and one of those who wait to receive, under one lock.
 *
 * A value goes straight from a sender to a receiver that waits: it is copied into the receiver's frame before that is claimed, and a receiver that a cancel was
 * quicker to wake never looks at it. The other way round a receiver that makes room takes in the value of the first sender that waits. So
 * the order of the values is that of the sends, and a value is neither lost nor doubled when a cancel comes between.
 *
 * Invariants (under the lock)
 *   1. While a receiver waits the ring is empty and no sender waits. While a sender waits the ring is full, or there is none.
 *   2. Once closed nobody waits to send, and somebody who would wait to receive is told instead.
 *
 * A receiver is claimed after the lock was given back, as everywhere (sync/waitq.h), so whoever has received may free the channel. A sender is claimed under it, because
 * its value must not be on its way between two locks: so a sender may not, while the receiver may still be inside. Growing an unbounded channel, and
 * closing one that many wait at, keep the lock for longer than the few dozen instructions that others do. */
#include "sync/waitq.h"

#include <filch/chan.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ELEMENT_MAX 65536
#define UNBOUNDED_FIRST 64

struct filch_chan {
    struct fl_lock lock;
    bool closed;
    size_t size, capacity; /* of a value; as asked for */
    size_t room;           /* values the ring has room for, a power of two or 0 */
    size_t head, count;
    char *ring;
    FL_ALIGN_LINE struct fl_waitq senders, receivers;
};

int filch_chan_new(size_t element_size, size_t capacity, filch_chan **ret_chan)
{
    if (element_size == 0 || element_size > ELEMENT_MAX)
        return -EINVAL;
    size_t room = capacity == FILCH_UNBOUNDED ? UNBOUNDED_FIRST : capacity ? 1 : 0;
    while (room < capacity && capacity != FILCH_UNBOUNDED && room <= SIZE_MAX / 2 / element_size)
        room *= 2;
    if (room < capacity && capacity != FILCH_UNBOUNDED)
        return -ENOMEM;
    filch_chan *chan = aligned_alloc(_Alignof(filch_chan), sizeof *chan);
    char *ring = room ? malloc(room * element_size) : NULL;
    if (!chan || (room && !ring)) {
        free(chan);
        free(ring);
        return -ENOMEM;
    }
    *chan = (filch_chan){.size = element_size, .capacity = capacity, .room = room, .ring = ring};
    *ret_chan = chan;
    return 0;
}

void filch_chan_free(filch_chan *chan)
{
    if (!chan)
        return;
    free(chan->ring);
    free(chan);
}

/* Small ones without a call. */
FL_INLINE void copy(void *to, const void *from, size_t size)
{
    if (likely(size == 8))
        memcpy(to, from, 8);
    else if (size == 4)
        memcpy(to, from, 4);
    else
        memcpy(to, from, size);
}

FL_INLINE void *slot(filch_chan *chan, size_t i)
{
    return chan->ring + ((chan->head + i) & (chan->room - 1)) * chan->size;
}

static bool grow(filch_chan *chan)
{
    if (chan->room > SIZE_MAX / 2 / chan->size)
        return false;
    char *wide = malloc(2 * chan->room * chan->size);
    if (!wide)
        return false;
    for (size_t i = 0; i < chan->count; i++)
        memcpy(wide + i * chan->size, slot(chan, i), chan->size);
    free(chan->ring);
    chan->ring = wide;
    chan->head = 0;
    chan->room *= 2;
    return true;
}

/* Whom to let go on once the lock is given back. */
struct woken {
    struct fl_task *task;
    bool saved;
};

FL_INLINE bool claim(struct fl_waiter *w, int result, struct woken *ret_woken)
{
    ret_woken->task = w->task;
    return fl_wake_claim(w->task, result, false, &ret_woken->saved);
}

FL_INLINE void give(filch_chan *chan, const struct woken *woken)
{
    fl_lock_give(&chan->lock);
    if (woken->task)
        fl_wake_deliver(woken->task, woken->saved);
}

/* With the lock, which it gives back, but not with -EAGAIN: it would have to wait. */
FL_INLINE int send_now(filch_chan *chan, const void *element)
{
    struct fl_waiter *w;
    int r = 0;
    while (likely(!chan->closed) && unlikely((w = fl_waitq_take(&chan->receivers)) != NULL)) {
        copy(w->data, element, chan->size);
        fl_lock_give(&chan->lock);
        if (fl_waitq_wake(w)) /* the last touch of the channel was before: who receives may free it */
            return 0;
        fl_lock_take(&chan->lock);
    }
    if (unlikely(chan->closed)) {
        r = -EPIPE;
    } else if (chan->count >= chan->capacity) {
        return -EAGAIN;
    } else if (unlikely(chan->count == chan->room) && !grow(chan)) {
        r = -ENOMEM;
    } else {
        copy(slot(chan, chan->count), element, chan->size);
        chan->count++;
    }
    fl_lock_give(&chan->lock);
    return r;
}

/* Under the lock. @return -EAGAIN: it would have to wait. */
FL_INLINE int recv_now(filch_chan *chan, void *ret_element, struct woken *ret_woken)
{
    struct fl_waiter *w;
    ret_woken->task = NULL;
    if (likely(chan->count > 0)) {
        copy(ret_element, slot(chan, 0), chan->size);
        chan->head++;
        chan->count--;
        while (unlikely((w = fl_waitq_take(&chan->senders)) != NULL)) {
            copy(slot(chan, chan->count), w->data, chan->size);
            if (claim(w, 0, ret_woken)) {
                chan->count++;
                return 0;
            }
            ret_woken->task = NULL;
        }
        return 0;
    }
    while ((w = fl_waitq_take(&chan->senders))) {
        copy(ret_element, w->data, chan->size);
        if (claim(w, 0, ret_woken))
            return 0;
        ret_woken->task = NULL;
    }
    return chan->closed ? -EPIPE : -EAGAIN;
}

/* Out of the line again after a wait that ended with an error. */
static void leave(filch_chan *chan, struct fl_waitq *q, struct fl_waiter *w, int error)
{
    if (q == &chan->receivers && error != -EPIPE) {
        fl_waitq_leave(q, &chan->lock, w);
        return;
    }
    fl_lock_take(&chan->lock); /* who took it out did all it does under the lock */
    if (w->queued)
        fl_waitq_remove(q, w);
    fl_lock_give(&chan->lock);
}

static const struct fl_why sends = {.name = "send"}, receives = {.name = "receive"};

/* Arms the caller, and waits in line unless it need not by now. */
static FL_NOINLINE int wait_to(filch_chan *chan, bool send, void *element)
{
    struct fl_task stand_in, *task = fl_waiter(&stand_in);
    struct fl_waiter w = {.task = task, .data = element};
    struct fl_waitq *q = send ? &chan->senders : &chan->receivers;
    struct woken woken;
    fl_wait_begin(task);
    fl_lock_take(&chan->lock);
    int r = send ? send_now(chan, element) : recv_now(chan, element, &woken);
    if (r != -EAGAIN) {
        if (!send)
            give(chan, &woken);
        fl_wait_end(task);
        return r;
    }
    fl_waitq_append(q, &w);
    fl_lock_give(&chan->lock);
    r = fl_wait(task, send ? &sends : &receives, chan, true);
    if (r != 0)
        leave(chan, q, &w, r);
    return r;
}

int filch_chan_try_send(filch_chan *chan, const void *element)
{
    fl_lock_take(&chan->lock);
    int r = send_now(chan, element);
    if (unlikely(r == -EAGAIN))
        fl_lock_give(&chan->lock);
    return r;
}

int filch_chan_try_recv(filch_chan *chan, void *ret_element)
{
    struct woken woken;
    fl_lock_take(&chan->lock);
    int r = recv_now(chan, ret_element, &woken);
    give(chan, &woken);
    return r;
}

int filch_chan_send(filch_chan *chan, const void *element)
{
    int r = filch_chan_try_send(chan, element);
    return likely(r != -EAGAIN) ? r : wait_to(chan, true, (void *)(uintptr_t)element);
}

int filch_chan_recv(filch_chan *chan, void *ret_element)
{
    int r = filch_chan_try_recv(chan, ret_element);
    return likely(r != -EAGAIN) ? r : wait_to(chan, false, ret_element);
}

void filch_chan_close(filch_chan *chan)
{
    struct woken woken;
    fl_lock_take(&chan->lock);
    chan->closed = true;
    for (int side = 0; side < 2; side++) {
        struct fl_waiter *w;
        while ((w = fl_waitq_take(side ? &chan->senders : &chan->receivers)))
            if (claim(w, -EPIPE, &woken))
                fl_wake_deliver(woken.task, woken.saved);
            else
                store_release(&w->done, true); /* [done] pairs with fl_waitq_let_go */
    }
    fl_lock_give(&chan->lock);
}

size_t filch_chan_length(filch_chan *chan)
{
    fl_lock_take(&chan->lock);
    size_t count = chan->count;
    fl_lock_give(&chan->lock);
    return count;
}
