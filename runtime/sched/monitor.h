/* SPDX-License-Identifier: MIT */
/* The monitor: the thread that notices stalls, and calls reliefs. See monitor.c. */
#ifndef FL_SCHED_MONITOR_H
#define FL_SCHED_MONITOR_H

#include "base/atomic.h"
#include "base/attr.h"
#include "base/lock.h"
#include "sched/idle.h"

#include <pthread.h>

struct filch_runtime;
struct fl_record;

struct fl_worker;

enum fl_monitor_state {
    FL_MONITOR_AWAKE = 0,
    FL_MONITOR_DOZES = 1,  /**< to its next look, or until somebody notices a stall */
    FL_MONITOR_SLEEPS = 2, /**< until nobody is idle any more */
    FL_MONITOR_CALM = 3,   /**< to its next look, which is far, since a stall would keep nobody waiting */
};

struct fl_monitor {
    FL_ALIGN_PAIR _Atomic(uint32_t) asleep; /**< futex: enum fl_monitor_state */
    struct fl_lock lock;                    /**< guards whose duty is what, and who is called */
    pthread_t thread;
    bool started;
    struct fl_record *records;       /**< what it knows of each worker */
    int64_t used, cost;              /**< CPU time, ns: so far, and of a look on average */
    int64_t fast_until;              /**< ns */
    int64_t awake_since;             /**< ns */
    int64_t surplus_since;           /**< since when there has been one worker too many, ns; 0: there is none */
    int64_t crowded_since;           /**< since when unstarted work has been waiting behind those that compute, ns; 0: none is */
    int64_t called_light;            /**< when the last relief of light duty was called, ns */
    int64_t make_again;              /**< no relief is made before that, ns */
    _Atomic(uint64_t) stalls, calls; /**< counters: stalls noticed; reliefs called */
    int64_t told_at;                 /**< when a stall was last reported, ns */
    _Atomic(bool) telling;           /**< somebody reports one */
    _Atomic(uint64_t) untold;        /**< counter: not reported since */
    _Atomic(uint64_t) refused;       /**< counter: times that one was wanted and there were as many as may be */
};

/** Starts its thread. @return 0, -EAGAIN no kernel thread, -ENOMEM */
int fl_monitor_start(struct filch_runtime *runtime);

/** Ends its thread. All zero is allowed. */
void fl_monitor_stop(struct filch_runtime *runtime);

FL_COLD void fl_monitor_wake(struct filch_runtime *runtime);

/** Something has come from outside. If the workers are stalled the monitor must know; any thread, that keeps the runtime. */
FL_INLINE void fl_monitor_tell(struct filch_runtime *runtime, struct fl_monitor *monitor)
{
    if (unlikely(load_relaxed(&monitor->asleep) == FL_MONITOR_CALM)) /* hint: at worst it is a look later */
        fl_monitor_wake(runtime);
}

/** Whether so many are idle that the monitor need not watch. */
FL_INLINE bool fl_monitor_needless(uint64_t word, unsigned enough)
{
    return fl_idle_searching(word) + fl_idle_sleeping(word) + fl_idle_napping(word) >= enough;
}

/** The monitor would sleep. @return whether it may until it is woken: enough are idle, and who ceases to be stirs it. */
FL_INLINE bool fl_monitor_doze(struct fl_monitor *monitor, struct fl_idle *idle, unsigned enough)
{
    store_seq_cst(&monitor->asleep, FL_MONITOR_SLEEPS);         /* [watch] pairs with fl_monitor_stir */
    if (fl_monitor_needless(load_seq_cst(&idle->word), enough)) /* [watch] behind it */
        return true;
    store_relaxed(&monitor->asleep, FL_MONITOR_AWAKE); /* own: it looks round now */
    return false;
}

FL_COLD void fl_monitor_stirred(struct filch_runtime *runtime);

/** A worker has ceased to be idle: if it was the last one, the monitor watches over it. */
FL_INLINE void fl_monitor_stir(struct filch_runtime *runtime, struct fl_monitor *monitor)
{
    if (unlikely(load_seq_cst(&monitor->asleep) == FL_MONITOR_SLEEPS)) /* [watch] behind the leaving of the idle word */
        fl_monitor_stirred(runtime);
}

/** A busy worker looks whether `other` is stalled, and says so. @return whether it seems to be */
bool fl_monitor_notice(struct filch_runtime *runtime, struct fl_worker *other, int64_t now);

#endif
