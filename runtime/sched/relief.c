/* SPDX-License-Identifier: MIT */
/* Relief: who goes on while a worker is stalled.
 *
 * What a stalled worker owns can be taken from outside at any time (worker.c, invariant 1). So nothing is handed over when a carrier is stuck: one more worker
 * comes, with a deque, a ring and a carrier of its own, on the same CPU, and steals. When the stalled one is back it finds its world as it left it, less
 * what was stolen; the relief steps aside.
 *
 * The duty of a relief is what the monitor (duties.c), or a task that announces a blocking call, wants it to be:
 *
 *      REST ----call----> FULL <---assign---> LIGHT ---assign---> REST
 *         \-----call------------------------>/
 *
 *   FULL   a worker as any other: it takes part in the idle protocol, steals whatever there is. For a carrier that has left its CPU.
 *   LIGHT  beside carriers that compute. The CPU is taken, so starting more work would only add threads; but what was woken must go on: it serves
 *          timers, completions and ready tasks of stalled workers, and what comes from outside. A task that has turned out to compute for long
 *          (FL_TASK_HOG) it puts aside, for those of full duty. It is not in the idle protocol: nobody who spawns shall wake it.
 *   REST   sleeps in its ring, for ever, or until a timer or an operation ends that a task left on it: whom that wakes it passes on. It leaves its stacks to the others. Its carrier is the cache:
 *          no thread ends before the runtime does, because the kernel cancels what a thread has submitted when it exits.
 *
 * Host and relief share a CPU by the kernel's time slices. Under SCHED_FIFO there are none: there a worker yields at each look round, or tasks that wait
 * on one by yielding would wait for ever for the other.
 *
 * Invariants
 *   1. `duty` changes under the monitor's lock; the relief follows at its next look round or when it is out of work. `resting` is true only while it is REST and has
 *      nothing in its queues; only such a one is called. It ceases to rest under that lock too: who holds it knows that those that rest keep still.
 *   2. `active` counts a relief (`counted`) from when it takes part, with a task or at full duty, until it steps aside: before it is in the idle word, and after. So who goes to
 *      sleep knows whether somebody is left to be watched, and who begins while all sleep wakes one.
 *   3. A relief that leaves the idle protocol answers, as any searcher that has found something, for the producers that counted on its search.
 *   4. workers[0, total) are there until the runtime ends.
 *
 * Memory ordering
 *   [total]  a new relief is published by the release store of `total`.
 *   [duty]   `duty` is released by who calls and acquired by the relief: it sees its host. */
#include "sched/relief.h"

#include "machine/clock.h"

#include <errno.h>
#include <stdlib.h>

#define NAP_MIN 50000      /* ns between two looks of a light relief that found nothing ... */
#define NAP_MAX 400000     /* ... at most */
#define NAP_CALM 4000000   /* ... while the monitor is calm, and wakes it when something is to be served */
#define TRIM_PART 1024     /* stacks whose memory is given back at a time */
#define STACK (256 * 1024) /* a carrier's own stack */

int fl_relief_new(struct filch_runtime *runtime)
{
    unsigned index = fl_total(runtime);
    struct fl_worker *w;
    if (index - runtime->count >= runtime->relief_max)
        return -ENOSPC;
    if (!(w = runtime->workers[index])) { /* else the last try ended for want of a thread */
        int r = fl_worker_new(runtime, index, &w);
        if (r < 0)
            return r;
        store_relaxed(&w->duty, FL_DUTY_REST); /* init: published by total */
        runtime->workers[index] = w;
    }
    int r = fl_thread_start(&w->thread, STACK, NULL, fl_worker_main, w);
    if (r < 0)
        return r;
    store_release(&runtime->total, index + 1); /* [total] pairs with fl_total */
    return 0;
}

void fl_relief_stop(struct filch_runtime *runtime)
{
    for (unsigned i = runtime->count; i < fl_total(runtime); i++)
        fl_ring_wake(&runtime->workers[i]->ring);
    for (unsigned i = runtime->count; i < fl_total(runtime); i++)
        pthread_join(runtime->workers[i]->thread, NULL);
}

bool fl_relief_call(struct filch_runtime *runtime, unsigned host, enum fl_duty duty)
{
    struct fl_worker *w = NULL, *light = NULL;
    unsigned total = fl_total(runtime), out = 0;
    fl_lock_take(&runtime->monitor.lock);
    for (unsigned i = runtime->count; i < total; i++) {
        struct fl_worker *relief = runtime->workers[i];
        uint32_t has = load_relaxed(&relief->duty);                         /* own: the lock */
        bool rests = has == FL_DUTY_REST && load_acquire(&relief->resting); /* [duty] pairs with fl_relief_aside */
        out += !rests;
        w = rests && !w ? relief : w;
        light = has == FL_DUTY_LIGHT && !fl_is_busy(relief) ? relief : light;
    }
    unsigned most =
        runtime->relief_max > 1 ? runtime->relief_max - 1 : runtime->relief_max; /* the last one must not be caught by a task that stalls */
    if (duty == FL_DUTY_FULL && light && out <= most) {
        w = light; /* it stays where it is */
    } else if (w) {
        store_relaxed(&w->host, host); /* own: the lock; published by its duty */
        duty = out < most ? duty : FL_DUTY_LIGHT;
    }
    if (w)
        store_release(&w->duty, duty); /* [duty] pairs with fl_relief_aside */
    fl_lock_give(&runtime->monitor.lock);
    if (!w)
        return false;
    add_relaxed(&runtime->monitor.calls, 1); /* counter */
    fl_ring_wake(&w->ring);
    return true;
}

void fl_relief_assign(struct fl_worker *w, enum fl_duty duty)
{
    struct filch_runtime *runtime = w->runtime;
    fl_lock_take(&runtime->monitor.lock);
    store_release(&w->duty, duty); /* [duty] pairs with fl_relief_aside */
    fl_lock_give(&runtime->monitor.lock);
    fl_idle_claim(&runtime->idle, &w->sleeper); /* it may sleep as any other */
    fl_ring_wake(&w->ring);
}

/* Gives what is ready here to everybody. @return whether anything was. */
static bool pass_on(struct fl_worker *w)
{
    struct fl_task *task;
    bool any = false;
    while ((task = fl_ready_pop(&w->ready))) {
        fl_inject_push(&w->runtime->inject, task);
        any = true;
    }
    return any;
}

void fl_relief_hand_over(struct fl_worker *w)
{
    struct fl_item item;
    struct fl_task *task;
    bool any = pass_on(w);
    while (fl_deque_oldest(&w->hot.deque_, &item)) {
        if (!(task = fl_item_task(w, &item))) {
            fl_deque_push(&w->hot.deque_, &item); /* no memory for a descriptor; its slot has just been freed */
            break;
        }
        fl_inject_push(&w->runtime->inject, task);
        any = true;
    }
    if (any)
        fl_notify(w->runtime);
}

/* Completions and timers of its own. */
static void own_events(struct fl_worker *w)
{
    fl_ring_flush(&w->ring);
    if (fl_ring_promising(&w->ring))
        fl_ring_reap(&w->ring, true);
    fl_wheel_fire(&w->wheel, fl_clock());
}

static int64_t until(int64_t when)
{
    int64_t now = fl_clock();
    return when == INT64_MAX ? INT64_MAX : when > now ? when - now : 0;
}

/* It may be called, and whoever looks for a deadlock takes it for asleep. */
static void begin_rest(struct fl_worker *w)
{
    store_release(&w->resting, true); /* [duty] pairs with fl_relief_call: nothing is left here */
    if (w->runtime->on_deadlock)
        fl_ring_wake(&w->runtime->workers[0]->ring); /* it may have gone to sleep, and found this one about */
}

/* Before it touches its ring and its timers: not while somebody looks for a deadlock. */
static void end_rest(struct fl_worker *w)
{
    fl_lock_take(&w->runtime->monitor.lock);
    store_relaxed(&w->resting, false); /* own: the lock; who would call it reads its duty as well */
    fl_lock_give(&w->runtime->monitor.lock);
}

/* What it has left to the others may be more than they use: it gives the memory back, as a worker does that sleeps; a worker that fell asleep before does not see
 * it. In parts, since it may be called; and a part a second while others work, who may yet need it. @return how long it sleeps at most */
static int64_t spare(struct fl_worker *w, int64_t since)
{
    if (!fl_stack_trim_wanted(&w->stacks, FL_TRIM_KEEP))
        return INT64_MAX;
    if (fl_clock() - since < FL_TRIM_AFTER)
        return FL_TRIM_AFTER;
    bool some = fl_stack_trim_some(&w->stacks, FL_TRIM_KEEP, TRIM_PART) != 0; /* else somebody else trims, or looks at them */
    return some && !fl_idle_somebody_works(&w->runtime->idle) ? 0 : FL_TRIM_AFTER;
}

/* Sleeps until it is called, and passes on whom its ring and its timers wake. @return a task that is pinned here, or NULL */
static struct fl_task *rest(struct fl_worker *w)
{
    struct fl_task *task = NULL;
    int64_t since = fl_clock();
    fl_stack_cache_fini(&w->stacks);
    do {
        own_events(w);
        fl_relief_hand_over(w);
        if ((task = fl_inject_pop(&w->pinned)))
            return task;
        int64_t most = spare(w, since),
                timer = until(load_relaxed(&w->wheel.next)); /* own: nobody adds timers here but tasks that run here */
        begin_rest(w);
        if (load_acquire(&w->duty) == FL_DUTY_REST &&      /* [duty] pairs with fl_relief_call */
            load_relaxed(&w->runtime->state) != FL_ENDING) /* hint: who ends the runtime wakes it afterwards */
            timer < most ? fl_ring_sleep_punctually(&w->ring, timer) : fl_ring_sleep(&w->ring, most);
        end_rest(w);
    } while (load_acquire(&w->duty) == FL_DUTY_REST &&       /* [duty] as above */
             load_relaxed(&w->runtime->state) != FL_ENDING); /* hint: as above */
    return NULL;
}

static struct fl_task *serve(struct fl_worker *w)
{
    own_events(w);
    struct fl_task *task = fl_ready_pop(&w->ready);
    struct fl_item item;
    if (!task && (fl_deque_next(&w->hot.deque_, &item) || fl_deque_oldest(&w->hot.deque_, &item)) && !(task = fl_item_task(w, &item)))
        fl_deque_push(&w->hot.deque_, &item); /* one for which there was no descriptor, and is none yet; its slot has just been freed */
    if (!task)
        task = fl_worker_injected(w);
    return task ? task : fl_steal(w);
}

/* Where its host runs, if anybody is bound to a place. */
static void go_to_host(struct fl_worker *w)
{
    struct filch_runtime *runtime = w->runtime;
    unsigned host = load_relaxed(&w->host);                                                  /* own: acquired with its duty */
    if (runtime->pin && load_relaxed(&w->cpu) != load_relaxed(&runtime->workers[host]->cpu)) /* own: its own; hint: set long ago */
        store_relaxed(&w->cpu, fl_topology_pin(&runtime->topology, host));                   /* own: its own */
}

/* It steps aside: those who sleep need not watch it. */
static void part(struct fl_worker *w)
{
    if (w->counted) {
        w->counted = false;
        fl_idle_part(&w->runtime->idle);
    }
}

/* It takes part, with `task` or in the search for one. Those who went to sleep when nobody was left to be watched shall watch it. */
static struct fl_task *take_part(struct fl_worker *w, struct fl_task *task)
{
    w->counted = true;
    if (fl_idle_take_part(&w->runtime->idle) && task)
        fl_wake_one(w->runtime);
    fl_monitor_stir(w->runtime, &w->runtime->monitor);
    return task;
}

struct fl_task *fl_relief_aside(struct fl_worker *w)
{
    struct filch_runtime *runtime = w->runtime;
    struct fl_task *task;
    int64_t nap = NAP_MIN;
    part(w);
    for (;;) {
        if (load_acquire(&runtime->state) == FL_ENDING) /* [end] pairs with filch_stop */
            return NULL;
        uint32_t duty = load_acquire(&w->duty); /* [duty] pairs with fl_relief_call */
        if (duty == FL_DUTY_REST) {
            if ((task = rest(w))) {
                store_relaxed(&w->looked, fl_clock()); /* hint: its rest was no stall */
                return take_part(w, task);
            }
            go_to_host(w);
            nap = NAP_MIN;
            continue;
        }
        store_relaxed(&w->looked, fl_clock()); /* hint: it is not stalled */
        if (duty == FL_DUTY_FULL)
            return take_part(w, NULL);
        if ((task = serve(w)))
            return take_part(w, task);
        int64_t timer = until(fl_worker_earliest_timer(w));
        if (timer <= nap)
            fl_ring_sleep_punctually(&w->ring, timer);
        else
            fl_ring_sleep(&w->ring, nap);
        int64_t most = load_relaxed(&runtime->monitor.asleep) == FL_MONITOR_CALM ? NAP_CALM : NAP_MAX; /* hint: a nap */
        nap = 2 * nap < most ? 2 * nap : most;
    }
}
