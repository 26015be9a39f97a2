/* SPDX-License-Identifier: MIT */
/* Who is stalled: what the monitor sees when it looks. See stalled.c. */
#ifndef FL_SCHED_STALLED_H
#define FL_SCHED_STALLED_H

#include "sched/worker.h"

#define FL_STALLED 200000  /* ns without a look round after which a busy worker may be stalled */
#define FL_TELLING 1000000 /* ns that it may tell the kernel of operations, and ... */
#define FL_TOLD 30000      /* ... ns for each */
#define FL_RECHECK 150000  /* ns from asking it to the look whether it is, at least */

/** How long a worker may be without a look round. */
FL_INLINE int64_t fl_patience(struct fl_worker *w)
{
    uint32_t tells = load_relaxed(&w->tells); /* hint: it is looked at again */
    return unlikely(tells) ? FL_TELLING + FL_TOLD * (int64_t)tells : FL_STALLED;
}

/** What the monitor knows of one worker. */
struct fl_record {
    int64_t asked;     /**< when its worker had last looked round when the monitor made its look due, ns; 0: it has not */
    int64_t asked_at;  /**< when that was */
    int64_t asked_cpu; /**< CPU time that its carrier had used by then, ns */
    int64_t state_at;  /**< when `off` was found out */
    int64_t since;     /**< when it was found to be stalled, ns */
    bool lasts;        /**< that is no matter of a moment */
    bool told;         /**< the host was */
    bool stalled;
    bool off; /**< its carrier is not on the CPU: it sleeps in the kernel */
};

/** What it sees in one turn. */
struct fl_view {
    int64_t now;
    unsigned total;
    unsigned running;          /**< workers of full duty that are not stalled */
    unsigned computing;        /**< workers that are stalled on the CPU, */
    unsigned away;             /**< and off it */
    unsigned light;            /**< reliefs of light duty that are not stalled */
    unsigned hogged;           /**< reliefs among `computing` */
    unsigned out;              /**< reliefs that do not rest */
    bool idle;                 /**< somebody of full duty is */
    bool watched;              /**< so it need not be watched */
    int64_t recheck;           /**< somebody has been asked: ns until that is looked at; 0: nobody has */
    bool more;                 /**< perhaps another relief is to be called */
    bool urgent;               /**< a stall would keep somebody waiting, or stalls have lately left CPUs without work */
    bool ready, ready_outside; /**< what was woken waits with stalled workers; with nobody */
    bool unstarted, expected;  /**< what has not begun waits; timers or operations are there */
};

/** Whether a relief rests. */
FL_INLINE bool fl_is_at_rest(struct fl_worker *w)
{
    return load_acquire(&w->resting) && load_relaxed(&w->duty) == FL_DUTY_REST; /* [duty] as for a call; hint */
}

/** How many must be idle so that nothing need be watched: for a host that wants to know of stalls all who take part, also a relief that runs a task which is pinned there. */
FL_INLINE unsigned fl_enough_idle(struct filch_runtime *runtime)
{
    return runtime->on_stall ? load_seq_cst(&runtime->idle.active) : 1; /* [watch] pairs with fl_idle_take_part */
}

/** Whether anything comes soon that a stalled worker would keep waiting: an operation or a timer, or something from outside. A hint. Any thread. */
bool fl_anything_soon(struct filch_runtime *runtime, int64_t now);

/** Looks at every worker: asks who may be stalled, finds out who is, and how, and has the host told. The monitor alone. */
void fl_stalled_see(struct filch_runtime *runtime, struct fl_view *view);

#endif
