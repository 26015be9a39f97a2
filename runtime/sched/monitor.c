/* SPDX-License-Identifier: MIT */
/* The monitor: a thread that sees which workers are stalled (stalled.c) and has others stand in for them (duties.c, relief.c). Here: when it looks.
 *
 * A stalled worker hurts nobody while another one is idle: that one keeps the watch (idle.h), and the monitor sleeps.
 *
 * When does it look? A wake-up by the clock costs 3 us on bare metal and 20 on a virtual machine, so it cannot look a thousand times a second for nothing.
 *   - Workers that are busy notice each other: now and then a look round reads when another one has looked last, and wakes the monitor, unless it is calm. This costs
 *     nothing and takes 0.3 ms.
 *   - A worker that was the last to be idle, and is no more, stirs it; it looks again after FIRST.
 *   - Else, which matters when the last live worker stalls, it looks as often as costs it half a percent of a CPU (slow_tick).
 *   - As seldom as TICK_MAX where a stall would keep nobody waiting: all compute, and nothing is expected (stalled.c). What comes from outside wakes it then.
 *   - For a while after a stall that hurts has begun it looks every TICK: where one task stalls, others will. For FAST_FIRST (stalled.c), and for FAST if it was no
 *     matter of a moment, as the host's other guests make them.
 *
 * Invariant: while the monitor sleeps, a worker is idle, or the last one that was is about to stir it. If the host wants to know of stalls, all who take part are idle, or
 * who is not is about to stir it.
 *
 * Memory ordering
 *   [watch]  the monitor sets `asleep`, then reads the idle word, and who takes part; a worker leaves the idle word, a relief begins to take part, then reads `asleep`; all
 *            seq_cst: one sees the other. */
#include "sched/monitor.h"

#include "machine/clock.h"
#include "machine/futex.h"
#include "sched/duties.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#define TICK 700000 /* ns between looks for a while after the last stall has begun; else as often as SHARE allows, and at least every ... */
#define TICK_MAX 4000000 /* ns */
#define SHARE 200        /* one part in so many of a CPU is what looking may cost while nothing stalls */
#define FIRST 250000     /* ns: after it was stirred, when a worker has just begun */
#define WATCHED_FOR 10   /* looks in a row at which enough were idle, before it sleeps */
#define STACK (256 * 1024)

/* Waits until somebody wakes it, and at most until `until`. @return whether somebody has */
static bool wait_(struct filch_runtime *runtime, uint32_t state, int64_t until)
{
    struct fl_monitor *monitor = &runtime->monitor;
    if (state == FL_MONITOR_SLEEPS) {
        if (fl_monitor_doze(monitor, &runtime->idle, fl_enough_idle(runtime)) &&
            !fl_monitor_needless(load_seq_cst(&runtime->idle.word),
                                 fl_enough_idle(runtime)))     /* [watch] who has begun to take part before that */
            store_relaxed(&monitor->asleep, FL_MONITOR_AWAKE); /* own: it looks round now */
    } else
        store_seq_cst(&monitor->asleep, state); /* [watch] as fl_monitor_doze */
    while (load_acquire(&monitor->asleep) == state &&
           load_acquire(&runtime->state) != FL_ENDING) /* [watch] pairs with fl_monitor_wake; [end] */
        if (!fl_futex_wait(&monitor->asleep, state, until))
            break;
    return exchange_acq_rel(&monitor->asleep, FL_MONITOR_AWAKE) != state; /* own: it looks round now */
}

static int64_t thread_clock(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* How long to the next look while nothing is amiss, so that looking costs what it may. */
static int64_t slow_tick(struct fl_monitor *monitor)
{
    int64_t used = thread_clock() - monitor->used;
    monitor->used += used;
    monitor->cost += (used - monitor->cost) / 16;
    int64_t tick = monitor->cost * SHARE;
    return tick < TICK ? TICK : tick > TICK_MAX ? TICK_MAX : tick;
}

static void *monitor_main(void *arg)
{
    struct filch_runtime *runtime = arg;
    struct fl_monitor *monitor = &runtime->monitor;
    struct fl_view view;
    bool fresh = true, called = false; /* out of its calm */
    unsigned watched = 0;              /* so many times in a row nothing had to be watched */
    char name[16];
    snprintf(name, sizeof name, "%.*s/mon", 11, runtime->name);
    prctl(PR_SET_NAME, name);
    prctl(PR_SET_TIMERSLACK, 1000);
    monitor->awake_since = fl_clock();
    while (load_acquire(&runtime->state) != FL_ENDING) { /* [end] pairs with filch_stop */
        fl_stalled_see(runtime, &view);
        fl_duties_assign(runtime, &view);
        int64_t tick = slow_tick(monitor);
        bool at_once = view.more || (view.recheck && view.urgent);
        watched = view.watched && !view.recheck && !view.more ? watched + 1 : 0;
        if (at_once) {
            nanosleep(&(struct timespec){.tv_nsec = view.recheck ? view.recheck : FL_RECHECK}, NULL);
        } else if (fresh) {
            nanosleep(&(struct timespec){.tv_nsec = FIRST}, NULL);
            fresh = false;
        } else if (watched < WATCHED_FOR && (view.urgent || called)) {
            wait_(runtime, FL_MONITOR_DOZES, view.now + (view.now < monitor->fast_until ? TICK : tick));
            called = false; /* not for each of many that come from outside */
        } else if (watched < WATCHED_FOR) {
            called = wait_(runtime, FL_MONITOR_CALM, view.now + TICK_MAX);
        } else {
            wait_(runtime, FL_MONITOR_SLEEPS, view.out ? view.now + FL_LINGER : INT64_MAX);
            monitor->awake_since = fl_clock();
            fresh = true;
        }
    }
    return NULL;
}

void fl_monitor_wake(struct filch_runtime *runtime)
{
    struct fl_monitor *monitor = &runtime->monitor;
    if (exchange_acq_rel(&monitor->asleep, FL_MONITOR_AWAKE) != FL_MONITOR_AWAKE) /* [watch] pairs with wait_ */
        fl_futex_wake(&monitor->asleep, INT_MAX);
}

void fl_monitor_stirred(struct filch_runtime *runtime)
{
    if (!fl_monitor_needless(load_seq_cst(&runtime->idle.word), fl_enough_idle(runtime))) /* [watch] behind the leaving of it */
        fl_monitor_wake(runtime);
}

bool fl_monitor_notice(struct filch_runtime *runtime, struct fl_worker *other, int64_t now)
{
    int64_t looked = load_relaxed(&other->looked); /* hint: looked at again */
    if (likely(now - looked < fl_patience(other)) || !fl_is_busy(other))
        return false;
    bool known = load_relaxed(&other->noticed) == looked; /* hint: looked at again */
    /* hint: while it is calm it looks by itself, 4 ms later at most, and then sees whether `other` has left its CPU */
    if (!known && (load_relaxed(&runtime->monitor.asleep) != FL_MONITOR_CALM || fl_anything_soon(runtime, now)))
        fl_monitor_wake(runtime);
    return true;
}

int fl_monitor_start(struct filch_runtime *runtime)
{
    struct fl_monitor *monitor = &runtime->monitor;
    monitor->records = calloc(runtime->count + runtime->relief_max, sizeof *monitor->records);
    if (!monitor->records)
        return -ENOMEM;
    int r = fl_thread_start(&monitor->thread, STACK, NULL, monitor_main, runtime);
    monitor->started = r == 0;
    return r;
}

void fl_monitor_stop(struct filch_runtime *runtime)
{
    struct fl_monitor *monitor = &runtime->monitor;
    if (monitor->started) {
        fl_monitor_wake(runtime);
        pthread_join(monitor->thread, NULL);
        monitor->started = false;
    }
    free(monitor->records);
    monitor->records = NULL;
}
