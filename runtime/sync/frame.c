/* SPDX-License-Identifier: MIT */
/* The in-frame fork: one child, offered from the caller's own frame.
 *
 * The deque item is the frame itself, told from a task by its lowest bit. If it is still there when the caller comes back for it, it is
 * taken out and called: no descriptor was made, nothing was counted, and the call is as if the caller had made it. Only a thief (or the loop, while the
 * caller is parked) wraps it in a descriptor.
 *
 * Invariants
 *   1. state_ is OFFERED while the frame is in a deque or runs elsewhere; ENDED when its result is there; otherwise the address of the joiner's task, which
 *      is parked. KEPT: it was never offered.
 *   2. Exactly one of runner and joiner makes the joiner go on: whoever comes second to state_.
 *
 * Memory ordering
 *   [end]  the runner's exchange of state_ releases the result, the joiner's exchange or load acquires it. */
#include "sched/park.h"
#include "base/panic.h"
#include "sync/wait.h"

#include <filch/task.h>

#include <errno.h>

#define OFFERED ((uintptr_t)0) /* filch_fork says so too */
#define ENDED ((uintptr_t)1)
#define KEPT ((uintptr_t)2)

static _Atomic(uintptr_t) *state_of(filch_frame *frame)
{
    return fl_atomic(uintptr_t, &frame->state_);
}

int filch_fork_slow_(filch_frame *frame, filch_fn *fn, void *arg)
{
    struct fl_worker *w = fl_self();
    fl_panic_if(!w->hot.current_, "filch_fork outside a task");
    if (w->hot.kind_ == FL_KIND_WORKER && fl_deque_room(&w->hot.deque_))
        return filch_fork(frame, fn, arg);
    frame->fn_ = fn;
    frame->arg_ = arg;
    frame->bottom_ = -1;                  /* no deque ends there: filch_meet comes to the slow path */
    store_relaxed(state_of(frame), KEPT); /* own: nobody else knows of it */
    return w->hot.kind_ == FL_KIND_WORKER ? -ENOMEM : 0;
}

int filch_forked_slow_(void)
{
    fl_notify(fl_self()->runtime);
    return 0;
}

void fl_frame_ended(struct filch_frame *frame, int result)
{
    frame->result_ = result;
    uintptr_t was = exchange_acq_rel(state_of(frame), ENDED); /* [end] pairs with filch_meet_slow_; the frame may be gone from here on */
    if (was != OFFERED)
        fl_make_ready((struct fl_task *)was);
}

struct joiner {
    filch_frame *frame;
    struct fl_task *task;
};

/* The commit of a joiner's park. */
static void joiner_parked(void *arg)
{
    struct joiner *joiner = arg;
    struct fl_task *task = joiner->task; /* read before: once the address is published the joiner may go on */
    uintptr_t offered = OFFERED;
    if (!cas_acq_rel(state_of(joiner->frame), &offered, (uintptr_t)task)) /* [end] pairs with fl_frame_ended */
        fl_make_ready(task);
}

static bool joiner_over(void *arg)
{
    struct joiner *joiner = arg;
    return load_acquire(state_of(joiner->frame)) == ENDED; /* [end] pairs with fl_frame_ended */
}

static int wait_for(filch_frame *frame)
{
    struct fl_worker *w = fl_self();
    struct joiner joiner = {frame, fl_worker_task(w)};
    if (load_acquire(state_of(frame)) != ENDED) /* [end] pairs with fl_frame_ended */
        fl_park_surely(w, joiner_parked, &joiner, "meet", joiner_over);
    load_acquire(state_of(frame)); /* [end] pairs with fl_frame_ended */
    return frame->result_;
}

int filch_meet_slow_(filch_frame *frame)
{
    struct fl_worker *w = fl_self();
    if (load_relaxed(state_of(frame)) == KEPT) /* own: nobody else knows of it */
        return frame->fn_(frame->arg_);
    if (w->hot.kind_ == FL_KIND_WORKER && fl_worker_spent(w)) {
        struct fl_task *first = fl_worker_look_round(w);
        if (first)
            fl_park_give_way(w, first);
        w = fl_self();
    }
    struct fl_item item;
    if (!fl_deep(w) && load_acquire(state_of(frame)) == OFFERED && fl_deque_pop(&w->hot.deque_, &item)) { /* [end] waiting looks again */
        if (item.whose == ((uintptr_t)frame | FL_WHOSE_FRAME))
            return ((filch_fn *)item.fn)((void *)item.arg);
        fl_deque_push(&w->hot.deque_, &item); /* cannot fail: its slot has just been freed */
    }
    return wait_for(frame);
}
