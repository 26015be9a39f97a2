/* SPDX-License-Identifier: MIT */
/* The channel: a ring of values, a queue of those who wait to send, and one of those who wait to receive; a lock at either end of the ring.
 *
 * send_lock is for where values come in, and for the queue of receivers, who wait for one to come in. recv_lock is for where they go out, and for the queue of
 * senders, who wait for one to go out. So a sender and a receiver that need not wait meet in nothing but the values, and in the other's count, which either looks
 * at when what it saw of it last is used up. Whoever would have to wait takes both locks, send_lock first, and looks again; everything else that is seldom takes both, too.
 * Without room there is nothing but waiting: then send_lock is for everything, and "all" locks are that one.
 *
 * A value goes straight from a sender to a receiver that waits: it is copied into the receiver's frame before that is claimed, and a receiver that a cancel was
 * quicker to wake never looks at it. The other way round a receiver that makes room takes in the value of the first sender that waits. So
 * the order of the values is that of the sends, and a value is neither lost nor doubled when a cancel comes between.
 *
 * Invariants (with both locks)
 *   1. While a receiver waits the ring is empty, and no sender waits but of the same select. While a sender waits the ring is full, or there is none.
 *   2. Once closed nobody waits to send, and somebody who would wait to receive is told instead.
 *   3. head_seen <= head <= tail_seen <= tail. tail - head <= limit <= room.
 *
 * Why one lock is enough for those who need not wait: the queue of receivers changes only under send_lock, that of senders only under both, and whoever joins either has both. A sender under send_lock that sees no
 * receiver puts its value into the ring; a receiver that joins later takes send_lock first, so it finds the value. A receiver under recv_lock that sees no sender takes a value
 * out; a sender that joins later finds the room. While somebody waits nobody of the other side passes by: a sender gives to the first receiver, and a receiver takes both locks.
 *
 * Memory ordering
 *   [value]  a slot is written before the tail is moved over it (release); a receiver reads it after it has read such a tail (acquire).
 *   [room]   a slot is read before the head is moved over it (release); a sender writes it again after it has read such a head (acquire).
 *   Everything else is the locks'. What is read without one (is_met_in, may_send, may_recv) is a hint.
 *
 * A receiver that selects may have lent the same place to several channels: nothing is copied there before the claim. It is claimed under send_lock, and
 * takes the locks itself before it goes on.
 *
 * Any other receiver is claimed after the lock was given back, as everywhere (sync/waitq.h). One that finds its value in the ring may be out while the sender still has its lock.
 * So whoever has received may free the channel: freeing takes the locks. A sender is claimed under both, because
 * its value must not be on its way between two locks; once claimed it touches the channel no more, also if it selects: whoever has its value may have freed it. Growing an unbounded channel, and
 * closing one that many wait at, keep the locks for longer than the few dozen instructions that others do.
 *
 * Rejected: one lock for both ends (what this was: with two workers 31 ns an item instead of 17 with room for 256, 50 instead of 9 with room for 100,000); a queue without
 * locks (cells with turns, by Vyukov): a sender that is preempted between its turn and its value holds up all receivers, and who waits for a value that is not the next one can be neither claimed nor counted. */
#include "sync/case.h"
#include "sync/waitq.h"

#include <filch/chan.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ELEMENT_MAX 65536
#ifndef UNBOUNDED_FIRST
#define UNBOUNDED_FIRST 64 /* values */
#endif

struct filch_chan {
    size_t size, capacity; /* of a value; as asked for */
    size_t room;           /* values the ring has room for, a power of two or 0; own: both locks */
    size_t limit;          /* of these it may hold: the smaller of capacity and room */
    char *ring;
    _Atomic(bool) closed; /* own: both locks */
    FL_APART(apart);
    /* where values come in, and those who wait for one; own: send_lock */
    struct fl_lock send_lock;
    _Atomic(size_t) tail; /* values that ever came in */
    size_t head_seen;     /* the last look at the head; it may have moved on */
    struct fl_waitq receivers;
    FL_APART(and_apart);
    /* where values go out, and those who wait for room; own: recv_lock */
    struct fl_lock recv_lock;
    _Atomic(size_t) head; /* values that ever went out */
    size_t tail_seen;
    struct fl_waitq senders;
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
    filch_chan *chan = malloc(sizeof *chan); /* not aligned_alloc, which takes none of the blocks that malloc has just got back */
    char *ring = room ? malloc(room * element_size) : NULL;
    if (!chan || (room && !ring)) {
        free(chan);
        free(ring);
        return -ENOMEM;
    }
    *chan =
        (filch_chan){.size = element_size, .capacity = capacity, .room = room, .limit = room < capacity ? room : capacity, .ring = ring};
    *ret_chan = chan;
    return 0;
}

FL_INLINE void take_locks(filch_chan *chan, bool both)
{
    fl_lock_take(&chan->send_lock);
    if (both)
        fl_lock_take(&chan->recv_lock);
}

FL_INLINE void give_locks(filch_chan *chan, bool both)
{
    if (both)
        fl_lock_give(&chan->recv_lock);
    fl_lock_give(&chan->send_lock);
}

/* All there are. */
FL_INLINE void take_all(filch_chan *chan)
{
    take_locks(chan, chan->capacity > 0);
}

FL_INLINE void give_all(filch_chan *chan)
{
    give_locks(chan, chan->capacity > 0);
}

void filch_chan_free(filch_chan *chan)
{
    if (!chan)
        return;
    take_all(chan); /* a sender may have handed over and not have given its lock back yet */
    bool waited_at = fl_waitq_first(&chan->senders) || fl_waitq_first(&chan->receivers);
    give_all(chan);
    if (waited_at)
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

FL_INLINE size_t head_of(filch_chan *chan)
{
    return load_acquire(&chan->head); /* [room] pairs with receivers' store */
}

FL_INLINE size_t tail_of(filch_chan *chan)
{
    return load_acquire(&chan->tail); /* [value] pairs with senders' store */
}

/* Exact with both locks, else a hint. */
FL_INLINE size_t count_of(filch_chan *chan)
{
    size_t head = head_of(chan);
    return tail_of(chan) - head;
}

FL_INLINE bool is_closed(filch_chan *chan)
{
    return load_relaxed(&chan->closed); /* own: a lock; or hint: it is looked at again with one */
}

/* Whether somebody seems to wait in `q`, or nobody ever will again. */
FL_INLINE bool is_met_in(filch_chan *chan, struct fl_waitq *q)
{
    return fl_waitq_first(q) || is_closed(chan);
}

/* Whether it seems that a send need not wait. */
FL_INLINE bool may_send(filch_chan *chan)
{
    return (chan->capacity > 0 && count_of(chan) < chan->capacity) || is_met_in(chan, &chan->receivers);
}

FL_INLINE bool may_recv(filch_chan *chan)
{
    return (chan->capacity > 0 && count_of(chan) > 0) || is_met_in(chan, &chan->senders);
}

FL_INLINE void *slot(filch_chan *chan, size_t i)
{
    return chan->ring + (i & (chan->room - 1)) * chan->size;
}

/* With both locks. */
static bool grow(filch_chan *chan)
{
    if (chan->room > SIZE_MAX / 2 / chan->size)
        return false;
    char *wide = malloc(2 * chan->room * chan->size);
    if (!wide)
        return false;
    for (size_t i = head_of(chan); i != tail_of(chan); i++)
        memcpy(wide + (i & (2 * chan->room - 1)) * chan->size, slot(chan, i), chan->size);
    free(chan->ring);
    chan->ring = wide;
    chan->room *= 2;
    chan->limit = chan->room;
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

FL_INLINE void deliver(const struct woken *woken, bool rendezvous)
{
    if (woken->task) {
        fl_wake_deliver(woken->task, woken->saved);
        if (rendezvous) /* with room between them both go on for longer if they don't give way */
            fl_worker_met();
    }
}

FL_INLINE void put_value(filch_chan *chan, const void *element)
{
    size_t tail = load_relaxed(&chan->tail); /* own: the lock */
    copy(slot(chan, tail), element, chan->size);
    store_release(&chan->tail, tail + 1); /* [value] pairs with tail_of */
}

/* With send_lock, or with both, which it gives back, but not with -EAGAIN: it would have to wait, or both are needed. */
FL_INLINE int send_now(filch_chan *chan, const void *element, bool both)
{
    struct fl_waiter *w;
    int r = 0;
    while (likely(!is_closed(chan)) && unlikely((w = fl_waitq_take(&chan->receivers)) != NULL)) {
        bool rendezvous = chan->capacity == 0;
        if (unlikely(w->result)) {
            struct woken woken;
            if (!claim(w, 0, &woken)) {
                store_release(&w->done, true); /* [done] pairs with fl_waitq_let_go */
                continue;
            }
            copy(w->data, element, chan->size);
            give_locks(chan, both);
            deliver(&woken, rendezvous);
            return 0;
        }
        copy(w->data, element, chan->size);
        give_locks(chan, both);
        if (fl_waitq_wake(w)) { /* the last touch of the channel was before: who receives may free it */
            if (rendezvous)
                fl_worker_met();
            return 0;
        }
        take_locks(chan, both);
    }
    size_t tail = load_relaxed(&chan->tail); /* own: the lock */
    if (unlikely(is_closed(chan))) {
        r = -EPIPE;
    } else if (likely(tail - chan->head_seen < chan->limit) || tail - (chan->head_seen = head_of(chan)) < chan->limit) {
        put_value(chan, element);
    } else if (!both || chan->limit == chan->capacity) {
        return -EAGAIN;
    } else if (!grow(chan)) {
        r = -ENOMEM;
    } else {
        put_value(chan, element);
    }
    give_locks(chan, both);
    return r;
}

/* With recv_lock. @return -EAGAIN: it would have to wait, or both locks are needed because a sender waits */
FL_INLINE int take_value(filch_chan *chan, void *ret_element)
{
    size_t head = load_relaxed(&chan->head); /* own: the lock */
    if (unlikely(fl_waitq_first(&chan->senders)))
        return -EAGAIN;
    if (unlikely(head == chan->tail_seen) && head == (chan->tail_seen = tail_of(chan)))
        return -EAGAIN;
    copy(ret_element, slot(chan, head), chan->size);
    store_release(&chan->head, head + 1); /* [room] pairs with head_of */
    return 0;
}

/* With all locks. @return -EAGAIN: it would have to wait. */
FL_INLINE int recv_now(filch_chan *chan, void *ret_element, struct woken *ret_woken, bool room)
{
    struct fl_waiter *w;
    ret_woken->task = NULL;
    size_t head = load_relaxed(&chan->head); /* own: the lock */
    if (room && head != (chan->tail_seen = tail_of(chan))) {
        copy(ret_element, slot(chan, head), chan->size);
        store_release(&chan->head, head + 1); /* [room] pairs with head_of */
        while ((w = fl_waitq_take(&chan->senders))) {
            size_t tail = load_relaxed(&chan->tail); /* own: the lock */
            copy(slot(chan, tail), w->data, chan->size);
            if (claim(w, 0, ret_woken)) {
                store_release(&chan->tail, tail + 1); /* [value] pairs with tail_of */
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

FL_INLINE void give_and_deliver(filch_chan *chan, bool both, const struct woken *woken)
{
    give_locks(chan, both);
    deliver(woken, !both);
}

/* Where there is room, when one lock was not enough. */
static FL_NOINLINE int send_with_both(filch_chan *chan, const void *element)
{
    take_locks(chan, true);
    int r = send_now(chan, element, true);
    if (r == -EAGAIN)
        give_locks(chan, true);
    return r;
}

static FL_NOINLINE int recv_with_both(filch_chan *chan, void *ret_element)
{
    struct woken woken;
    take_locks(chan, true);
    int r = recv_now(chan, ret_element, &woken, true);
    give_and_deliver(chan, true, &woken);
    return r;
}

/* Where there is none. */
FL_INLINE int recv_at_rendezvous(filch_chan *chan, void *ret_element)
{
    struct woken woken;
    take_locks(chan, false);
    int r = recv_now(chan, ret_element, &woken, false);
    give_and_deliver(chan, false, &woken);
    return r;
}

/* With all locks, which it gives back, but not with -EAGAIN: it would have to wait. */
FL_INLINE int do_now(filch_chan *chan, bool send, void *element, bool both)
{
    struct woken woken;
    if (send)
        return send_now(chan, element, both);
    int r = recv_now(chan, element, &woken, both);
    if (r != -EAGAIN)
        give_and_deliver(chan, both, &woken);
    return r;
}

/* Out of the line again: the wait has ended, but not by this waiter. */
static void leave(filch_chan *chan, struct fl_waitq *q, struct fl_waiter *w)
{
    if (q == &chan->receivers) {
        fl_waitq_leave(q, &chan->send_lock, w);
        return;
    }
    take_all(chan); /* who took it out did all it does under the locks */
    if (w->queued)
        fl_waitq_remove(q, w);
    give_all(chan);
}

/* Who has claimed the caller's wait under the lock must be out before it goes on. */
static void let_out(filch_chan *chan)
{
    take_all(chan);
    give_all(chan);
}

static const struct fl_why sends = {.name = "send"}, receives = {.name = "receive"};

/* Arms the caller, looks again, and stands in line if it must. For kernel threads; and where there is room, because that comes and goes while several workers are at
 * the channel, and a switch is dear for a look that finds some. */
static FL_NOINLINE int look_and_wait_to(filch_chan *chan, bool send, void *element)
{
    struct fl_task stand_in, *task = fl_waiter(&stand_in);
    struct fl_waiter w = {.task = task, .data = element};
    struct fl_waitq *q = send ? &chan->senders : &chan->receivers;
    bool both = chan->capacity > 0;
    fl_wait_begin(task);
    take_locks(chan, both);
    int r = do_now(chan, send, element, both);
    if (r != -EAGAIN) {
        fl_wait_end(task);
        return r;
    }
    fl_waitq_append(q, &w);
    give_locks(chan, both);
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
};

/* Its task was cancelled before it stood in line; with the lock, which it gives back. */
static FL_NOINLINE struct fl_task *cancelled_late(struct stand *stand)
{
    struct fl_task *task = stand->w.task;
    bool mine = fl_wait_cancelled_late(task);
    store_relaxed(&stand->w.done, true); /* own: the lock, which leaving takes; nobody was told */
    give_locks(stand->chan, false);
    return mine ? task : NULL;
}

/* With the lock, which it gives back. */
FL_INLINE struct fl_task *stand_in_line(struct stand *stand, bool send)
{
    filch_chan *chan = stand->chan;
    if (unlikely(!fl_wait_begin_late(stand->w.task)))
        return cancelled_late(stand);
    fl_waitq_append(send ? &chan->senders : &chan->receivers, &stand->w);
    give_locks(chan, false);
    return NULL;
}

/* Somebody has come meanwhile, or it was closed. */
static FL_NOINLINE struct fl_task *meet_late(struct stand *stand, bool send)
{
    struct fl_task *task = stand->w.task;
    int r = do_now(stand->chan, send, stand->w.data, false);
    if (r == -EAGAIN)
        return stand_in_line(stand, send);
    fl_wake_preempt(task, r);
    return task;
}

/* At a rendezvous, from the next stack: does it if it can be done by now, else stands in line. */
FL_INLINE struct fl_task *stand_late(struct stand *stand, bool send)
{
    filch_chan *chan = stand->chan;
    take_locks(chan, false);
    if (unlikely(is_met_in(chan, send ? &chan->receivers : &chan->senders)))
        return meet_late(stand, send);
    return stand_in_line(stand, send);
}

static struct fl_task *send_late(void *stand)
{
    return stand_late(stand, true);
}

static struct fl_task *recv_late(void *stand)
{
    return stand_late(stand, false);
}

static FL_NOINLINE int waited_in_vain(struct stand *stand, bool send, int r)
{
    filch_chan *chan = stand->chan;
    if (r == -EPIPE)
        let_out(chan);
    else if (r != -ENOMEM)
        leave(chan, send ? &chan->senders : &chan->receivers, &stand->w);
    return r;
}

FL_INLINE int wait_to(filch_chan *chan, bool send, void *element)
{
    struct fl_task *task = fl_current();
    if (unlikely(!task) || unlikely(task->flags & FL_TASK_THREAD))
        return look_and_wait_to(chan, send, element);
    struct stand stand = {.chan = chan, .w = {.task = task, .data = element}};
    fl_enlist(task);
    int r = fl_wait_late(task, send ? send_late : recv_late, &stand, send ? &sends : &receives, chan);
    return likely(r == 0) ? 0 : waited_in_vain(&stand, send, r);
}

static FL_NOINLINE int wait_to_send(filch_chan *chan, const void *element)
{
    return wait_to(chan, true, (void *)(uintptr_t)element);
}

static FL_NOINLINE int wait_to_recv(filch_chan *chan, void *ret_element)
{
    return wait_to(chan, false, ret_element);
}

/* With send_lock, which it gives back. */
FL_INLINE int send_with_one(filch_chan *chan, const void *element)
{
    int r = send_now(chan, element, false);
    if (likely(r != -EAGAIN))
        return r;
    bool alone = chan->limit == chan->capacity; /* else it may grow */
    give_locks(chan, false);
    return alone ? r : send_with_both(chan, element);
}

FL_INLINE int send_if_possible(filch_chan *chan, const void *element)
{
    take_locks(chan, false);
    return send_with_one(chan, element);
}

/* Where there is room. */
FL_INLINE int recv_from_room(filch_chan *chan, void *ret_element)
{
    fl_lock_take(&chan->recv_lock);
    int r = take_value(chan, ret_element);
    bool alone = r == 0 || (!fl_waitq_first(&chan->senders) && !is_closed(chan));
    fl_lock_give(&chan->recv_lock);
    return likely(alone) ? r : recv_with_both(chan, ret_element);
}

int filch_chan_try_send(filch_chan *chan, const void *element)
{
    return send_if_possible(chan, element);
}

int filch_chan_try_recv(filch_chan *chan, void *ret_element)
{
    return likely(chan->capacity > 0) ? recv_from_room(chan, ret_element) : recv_at_rendezvous(chan, ret_element);
}

/* Each of the two calls ends in one of three functions: so it saves no registers, and they no more than they need. */

/* With send_lock, which it gives back. */
static FL_NOINLINE int send_slow(filch_chan *chan, const void *element)
{
    int r = send_with_one(chan, element);
    return r != -EAGAIN ? r : look_and_wait_to(chan, true, (void *)(uintptr_t)element);
}

static FL_NOINLINE int send_with_room(filch_chan *chan, const void *element)
{
    take_locks(chan, false);
    size_t tail = load_relaxed(&chan->tail); /* own: the lock */
    if (unlikely(is_met_in(chan, &chan->receivers)) || unlikely(tail - chan->head_seen >= chan->limit))
        return send_slow(chan, element);
    put_value(chan, element);
    give_locks(chan, false);
    return 0;
}

static FL_NOINLINE int send_and_meet(filch_chan *chan, const void *element)
{
    int r = send_if_possible(chan, element);
    return likely(r != -EAGAIN) ? r : wait_to_send(chan, element);
}

int filch_chan_send(filch_chan *chan, const void *element)
{
    if (likely(chan->capacity > 0))
        return send_with_room(chan, element);
    return is_met_in(chan, &chan->receivers) ? send_and_meet(chan, element) : wait_to_send(chan, element);
}

static FL_NOINLINE int recv_with_room(filch_chan *chan, void *ret_element)
{
    int r = recv_from_room(chan, ret_element);
    return likely(r != -EAGAIN) ? r : look_and_wait_to(chan, false, ret_element);
}

static FL_NOINLINE int recv_and_meet(filch_chan *chan, void *ret_element)
{
    int r = recv_at_rendezvous(chan, ret_element);
    return likely(r != -EAGAIN) ? r : wait_to_recv(chan, ret_element);
}

int filch_chan_recv(filch_chan *chan, void *ret_element)
{
    if (likely(chan->capacity > 0))
        return recv_with_room(chan, ret_element);
    return is_met_in(chan, &chan->senders) ? recv_and_meet(chan, ret_element) : wait_to_recv(chan, ret_element);
}

void filch_chan_close(filch_chan *chan)
{
    struct woken woken;
    take_all(chan);
    store_relaxed(&chan->closed, true); /* own: both locks */
    for (int side = 0; side < 2; side++) {
        struct fl_waiter *w;
        while ((w = fl_waitq_take(side ? &chan->senders : &chan->receivers)))
            if (claim(w, -EPIPE, &woken))
                fl_wake_deliver(woken.task, woken.saved);
            else
                store_release(&w->done, true); /* [done] pairs with fl_waitq_let_go */
    }
    give_all(chan);
}

size_t filch_chan_length(filch_chan *chan)
{
    size_t count = count_of(chan); /* the tail may have moved between the two looks */
    return count < chan->capacity ? count : chan->capacity;
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
    take_all(chan);
    bool room = send ? count_of(chan) < chan->capacity : count_of(chan) > 0;
    bool now = room || is_closed(chan) || fl_waitq_others(send ? &chan->receivers : &chan->senders, task);
    if (!now)
        fl_waitq_append(send ? &chan->senders : &chan->receivers, w);
    give_all(chan);
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
    else if (q == &((filch_chan *)c->object_)->receivers || w->error)
        let_out(c->object_); /* not a sender whose value was taken: whoever has it may free the channel */
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
