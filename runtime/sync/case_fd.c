/* SPDX-License-Identifier: MIT */
/* A descriptor as a case of a select: a poll in the worker's ring. Its completion claims the wait if it is still the one that stood in line, and then sets an event
 * in the case's room, its last touch; leaving cancels the poll and waits for that, so that nothing in the kernel refers to the caller's frame afterwards. A plain
 * thread has no ring: it calls poll(2) itself (select.c). */
#include "machine/ring.h"
#include "sync/case.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>

#define UNASKED_PAUSE 1000000 /* ns */

struct room {
    struct fl_ring_op op;
    struct fl_ring *ring; /* NULL: none */
    struct fl_task *task;
    filch_event ended;
    int32_t won, result;
};

_Static_assert(sizeof(struct room) <= sizeof(((filch_case *)0)->room_), "the public header leaves room");

static struct room *room_of(filch_case *c)
{
    return (struct room *)(void *)c->room_;
}

static void polled(struct fl_ring_op *op, int32_t res, uint32_t flags)
{
    struct room *room = fl_container_of(op, struct room, op);
    struct fl_task *task = room->task;
    (void)flags;
    room->result = res == -EBADF ? POLLNVAL : res; /* somebody closes it, and poll(2) would have said so */
    bool saved, mine = fl_wake_claim(task, room->won, true, &saved);
    filch_event_set(&room->ended);
    if (mine)
        fl_wake_deliver(task, saved);
}

static bool is_ready(filch_case *c)
{
    struct pollfd one = {.fd = c->fd_, .events = c->events_};
    int r = poll(&one, 1, 0);
    c->result = r < 0 ? -errno : one.revents;
    return r != 0 && c->result != -EINTR;
}

static int stand(filch_case *c, struct fl_task *task, int32_t won)
{
    struct room *room = room_of(c);
    *room = (struct room){.op.done = polled, .task = task, .won = won};
    if (!task->runtime || c->fd_ < 0)
        return 0;
    struct fl_worker *w = fl_self();
    bool thread = w->hot.kind_ != FL_KIND_WORKER;
    if (thread)
        w = w->runtime->workers[0];
    struct io_uring_sqe sqe;
    io_uring_prep_poll_add(&sqe, c->fd_, (unsigned)c->events_ & 0xffff);
    fl_lock_take(&w->ring.lock);
    int r = fl_ring_queue_locked(&w->ring, &sqe, &room->op);
    fl_lock_give(&w->ring.lock);
    if (r < 0)
        return -ENOMEM; /* no ring space, whichever way the kernel says it */
    room->ring = &w->ring;
    if (thread && fl_ring_flush(&w->ring) < 0)
        fl_ring_wake(&w->ring); /* its owner tries again */
    return 0;
}

/* io_uring tells of POLLRDHUP to who has not asked, too, at once and again and again: then the select looks after a while whether there is more. */
static int asked_for(const filch_case *c, int result)
{
    int asked = result & (c->events_ | POLLERR | POLLHUP | POLLNVAL);
    if (result <= 0 || asked)
        return result < 0 ? result : asked;
    filch_sleep(UNASKED_PAUSE);
    return -EINTR;
}

static const struct fl_why ends = {.name = "poll"};

static void leave(filch_case *c, bool won)
{
    struct room *room = room_of(c);
    if (room->ring) {
        while (!filch_event_is_set(&room->ended) && fl_ring_cancel(room->ring, &room->op) < 0)
            sched_yield(); /* neither an entry nor memory for another way to say it: soon */
        fl_event_wait_surely(&room->ended, &ends);
        if (won)
            c->result = asked_for(c, room->result);
    }
}

const struct fl_case_kind fl_case_fd = {is_ready, is_ready, stand, leave};
