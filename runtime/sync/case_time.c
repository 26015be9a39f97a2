/* SPDX-License-Identifier: MIT */
/* A point in time as a case of a select: a timer in the case's room. The timer claims the wait only while it is one that a cancel may end, so a select that is on
 * its way out, and waits for something else there, is not taken for the one that stood in line. A plain thread needs none: it sleeps until then. */
#include "machine/clock.h"
#include "sync/case.h"

struct room {
    struct fl_timer timer;
    struct fl_task *task;
    int32_t won;
};

_Static_assert(sizeof(struct room) <= sizeof(((filch_case *)0)->room_), "the public header leaves room");

static struct room *room_of(filch_case *c)
{
    return (struct room *)(void *)c->room_;
}

static void strike(struct fl_timer *timer)
{
    struct room *room = fl_container_of(timer, struct room, timer);
    struct fl_task *task = room->task;
    bool saved, mine = fl_wake_claim(task, room->won, true, &saved);
    fl_timer_done(timer);
    if (mine)
        fl_wake_deliver(task, saved);
}

static bool has_come(filch_case *c)
{
    return c->when_ != FILCH_NEVER && c->when_ <= fl_clock();
}

static bool come(filch_case *c)
{
    c->result = 0;
    return has_come(c);
}

static int stand(filch_case *c, struct fl_task *task, int32_t won)
{
    *room_of(c) = (struct room){.timer.fire = strike, .task = task, .won = won};
    if (task->runtime && c->when_ != FILCH_NEVER)
        fl_timer_start(task, &room_of(c)->timer, c->when_);
    return 0;
}

static void leave(filch_case *c, bool won)
{
    (void)won;
    c->result = 0;
    fl_timer_remove(&room_of(c)->timer);
}

const struct fl_case_kind fl_case_until = {has_come, come, stand, leave};
