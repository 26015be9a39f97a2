/* SPDX-License-Identifier: MIT */
/* The channel: a ring of values, a queue of those who wait to send, and one of those who wait to receive, under one lock.
 *
 * A value goes straight from a sender to a receiver that waits: it is copied into the receiver's frame before that is claimed, and a receiver that a cancel was
 * quicker to wake never looks at it. The other way round a receiver that makes room takes in the value of the first sender that waits. So
 * the order of the values is that of the sends, and a value is neither lost nor doubled when a cancel comes between.
 *
 * Invariants (under the lock)
 *   1. While a receiver waits the ring is empty, and no sender waits but of the same select. While a sender waits the ring is full, or there is none.
 *   2. Once closed nobody waits to send, and somebody who would wait to receive is told instead.
 *
 * A receiver that selects may have lent the same place to several channels: nothing is copied there before the claim. It is claimed under the lock, and
 * takes the lock itself before it goes on.
 *
 * Any other receiver is claimed after the lock was given back, as everywhere (sync/waitq.h), so whoever has received may free the channel. A sender is claimed under it, because
 * its value must not be on its way between two locks: so a sender may not, while the receiver may still be inside. Growing an unbounded channel, and
 * closing one that many wait at, keep the lock for longer than the few dozen instructions that others do. */
#include "sync/case.h"
#include "sync/waitq.h"

#include <filch/chan.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ELEMENT_MAX 65536
#define UNBOUNDED_FIRST 64

struct filch_chan {
    struct fl_lock lock;
    _Atomic(bool) closed;
    size_t size, capacity; /* of a value; as asked for */
    size_t room;           /* values the ring has room for, a power of two or 0 */
    size_t head;
    _Atomic(size_t) count;
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
    if (fl_waitq_first(&chan->senders) || fl_waitq_first(&chan->receivers))
        fl_misuse("filch_chan_free: somebody waits at this channel", "channel", chan, NULL);
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

FL_INLINE size_t count_of(filch_chan *chan)
{
    return load_relaxed(&chan->count); /* own: the lock; or hint: a select looks again with it */
}

FL_INLINE void set_count(filch_chan *chan, size_t count)
{
    store_relaxed(&chan->count, count); /* own: the lock */
}

FL_INLINE bool is_closed(filch_chan *chan)
{
    return load_relaxed(&chan->closed); /* own: the lock; or hint: a select looks again with it */
}

/* Whether it seems that a send need not wait. */
FL_INLINE bool may_send(filch_chan *chan)
{
    return count_of(chan) < chan->capacity || fl_waitq_first(&chan->receivers) || is_closed(chan);
}

FL_INLINE bool may_recv(filch_chan *chan)
{
    return count_of(chan) > 0 || fl_waitq_first(&chan->senders) || is_closed(chan);
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
    for (size_t i = 0; i < count_of(chan); i++)
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
    return fl_waiter_claim(w, result, &ret_woken->saved);
}

FL_INLINE void give(filch_chan *chan, const struct woken *woken)
{
    bool rendezvous = chan->capacity == 0;
    fl_lock_give(&chan->lock);
    if (woken->task) {
        fl_wake_deliver(woken->task, woken->saved);
        if (rendezvous) /* with room between them both go on for longer if they don't give way */
            fl_worker_met();
    }
}

/* With the lock, which it gives back, but not with -EAGAIN: it would have to wait. */
FL_INLINE int send_now(filch_chan *chan, const void *element)
{
    struct fl_waiter *w;
    struct woken woken;
    int r = 0;
    while (likely(!is_closed(chan)) && unlikely((w = fl_waitq_take(&chan->receivers)) != NULL)) {
        if (unlikely(w->result)) {
            if (!claim(w, 0, &woken)) {
                store_release(&w->done, true); /* [done] pairs with fl_waitq_let_go */
                continue;
            }
            copy(w->data, element, chan->size);
            give(chan, &woken);
            return 0;
        }
        copy(w->data, element, chan->size);
        bool rendezvous = chan->capacity == 0;
        fl_lock_give(&chan->lock);
        if (fl_waitq_wake(w)) { /* the last touch of the channel was before: who receives may free it */
            if (rendezvous)
                fl_worker_met();
            return 0;
        }
        fl_lock_take(&chan->lock);
    }
    size_t count = count_of(chan);
    if (unlikely(is_closed(chan))) {
        r = -EPIPE;
    } else if (count >= chan->capacity) {
        return -EAGAIN;
    } else if (unlikely(count == chan->room) && !grow(chan)) {
        r = -ENOMEM;
    } else {
        copy(slot(chan, count), element, chan->size);
        set_count(chan, count + 1);
    }
    fl_lock_give(&chan->lock);
    return r;
}

/* Under the lock. @return -EAGAIN: it would have to wait. */
FL_INLINE int recv_now(filch_chan *chan, void *ret_element, struct woken *ret_woken)
{
    struct fl_waiter *w;
    ret_woken->task = NULL;
    size_t count = count_of(chan);
    if (likely(count > 0)) {
        copy(ret_element, slot(chan, 0), chan->size);
        chan->head++;
        set_count(chan, --count);
        while (unlikely((w = fl_waitq_take(&chan->senders)) != NULL)) {
            copy(slot(chan, count), w->data, chan->size);
            if (claim(w, 0, ret_woken)) {
                set_count(chan, count + 1);
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
    return is_closed(chan) ? -EPIPE : -EAGAIN;
}

/* Out of the line again: the wait has ended, but not by this waiter. */
static void leave(filch_chan *chan, struct fl_waitq *q, struct fl_waiter *w)
{
    if (q == &chan->receivers) {
        fl_waitq_leave(q, &chan->lock, w);
        return;
    }
    fl_lock_take(&chan->lock); /* who took it out did all it does under the lock */
    if (w->queued)
        fl_waitq_remove(q, w);
    fl_lock_give(&chan->lock);
}

/* Who has claimed the caller's wait under the lock must be out before it goes on. */
static void let_out(filch_chan *chan)
{
    fl_lock_take(&chan->lock);
    fl_lock_give(&chan->lock);
}

static const struct fl_why sends = {.name = "send"}, receives = {.name = "receive"};

/* Arms the caller, looks again, and stands in line if it must. For kernel threads; and where there is room, because that comes and goes while several workers are at
 * the channel, and a switch is dear for a look that finds some. */
static FL_NOINLINE int look_and_wait_to(filch_chan *chan, bool send, void *element)
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
    if (r == -EPIPE)
        let_out(chan);
    else if (r != 0)
        leave(chan, q, &w);
    return r;
}

struct stand {
    filch_chan *chan;
    struct fl_waiter w;
    bool send;
};

/* From the next stack: does it if it can be done by now, else stands in line. @return whether the task need not wait */
static bool stand_late(void *arg)
{
    struct stand *stand = arg;
    filch_chan *chan = stand->chan;
    struct fl_waiter *w = &stand->w;
    struct fl_task *task = w->task;
    struct woken woken;
    bool mine;
    fl_lock_take(&chan->lock);
    int r = stand->send ? send_now(chan, w->data) : recv_now(chan, w->data, &woken);
    if (unlikely(r != -EAGAIN)) {
        if (!stand->send)
            give(chan, &woken);
        fl_wake_preempt(task, r);
        return true;
    }
    if (unlikely(!fl_wait_begin_late(task, &mine))) {
        store_relaxed(&w->done, true); /* own: the lock, which leaving takes; nobody was told */
        fl_lock_give(&chan->lock);
        return mine;
    }
    fl_waitq_append(stand->send ? &chan->senders : &chan->receivers, w);
    fl_lock_give(&chan->lock);
    return false;
}

static FL_NOINLINE int wait_to(filch_chan *chan, bool send, void *element)
{
    struct fl_task *task = fl_current();
    if (!task || task->flags & FL_TASK_THREAD || chan->capacity > 0)
        return look_and_wait_to(chan, send, element);
    struct stand stand = {.chan = chan, .w = {.task = task, .data = element}, .send = send};
    fl_enlist(task);
    int r = fl_wait_late(task, stand_late, &stand, send ? &sends : &receives, chan);
    if (likely(r == 0))
        return 0;
    if (r == -EPIPE)
        let_out(chan);
    else if (r != -ENOMEM)
        leave(chan, send ? &chan->senders : &chan->receivers, &stand.w);
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
    int r = may_send(chan) ? filch_chan_try_send(chan, element) : -EAGAIN;
    return likely(r != -EAGAIN) ? r : wait_to(chan, true, (void *)(uintptr_t)element);
}

int filch_chan_recv(filch_chan *chan, void *ret_element)
{
    int r = may_recv(chan) ? filch_chan_try_recv(chan, ret_element) : -EAGAIN;
    return likely(r != -EAGAIN) ? r : wait_to(chan, false, ret_element);
}

void filch_chan_close(filch_chan *chan)
{
    struct woken woken;
    fl_lock_take(&chan->lock);
    store_relaxed(&chan->closed, true); /* own: the lock */
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
    size_t count = count_of(chan);
    fl_lock_give(&chan->lock);
    return count;
}

/* ---- as a case of a select ---- */

static bool send_is_possible(filch_case *c)
{
    return may_send(c->object_);
}

static bool recv_is_possible(filch_case *c)
{
    return may_recv(c->object_);
}

static bool take_send(filch_case *c)
{
    return may_send(c->object_) && (c->result = filch_chan_try_send(c->object_, c->value_)) != -EAGAIN;
}

static bool take_recv(filch_case *c)
{
    return may_recv(c->object_) && (c->result = filch_chan_try_recv(c->object_, c->value_)) != -EAGAIN;
}

static int stand(filch_case *c, struct fl_task *task, int32_t won, bool send)
{
    filch_chan *chan = c->object_;
    struct fl_waiter *w = fl_case_waiter(c);
    *w = (struct fl_waiter){.task = task, .data = c->value_, .result = won};
    fl_lock_take(&chan->lock);
    bool room = send ? count_of(chan) < chan->capacity : count_of(chan) > 0;
    bool now = room || is_closed(chan) || fl_waitq_others(send ? &chan->receivers : &chan->senders, task);
    if (!now)
        fl_waitq_append(send ? &chan->senders : &chan->receivers, w);
    fl_lock_give(&chan->lock);
    return now ? -EAGAIN : 0;
}

static int stand_to_send(filch_case *c, struct fl_task *task, int32_t won)
{
    return stand(c, task, won, true);
}

static int stand_to_recv(filch_case *c, struct fl_task *task, int32_t won)
{
    return stand(c, task, won, false);
}

static void leave_case(filch_case *c, struct fl_waitq *q, bool won)
{
    struct fl_waiter *w = fl_case_waiter(c);
    if (!won)
        leave(c->object_, q, w);
    else
        let_out(c->object_);
    c->result = w->error;
}

static void leave_send(filch_case *c, bool won)
{
    leave_case(c, &((filch_chan *)c->object_)->senders, won);
}

static void leave_recv(filch_case *c, bool won)
{
    leave_case(c, &((filch_chan *)c->object_)->receivers, won);
}

const struct fl_case_kind fl_case_send = {send_is_possible, take_send, stand_to_send, leave_send};
const struct fl_case_kind fl_case_recv = {recv_is_possible, take_recv, stand_to_recv, leave_recv};
