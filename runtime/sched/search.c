/* SPDX-License-Identifier: MIT */
/* Out of work: what a worker does when its own queues are empty, until there is work or the runtime ends.
 *
 * In order: what is at hand (the ring, the timers, the inject queue), the others (sched/steal.c), and sleep, in the ring. How it sleeps depends on who is awake:
 * while others work it naps as the watch, so that what they are too busy to do is done soon; when everybody is out of work it lingers for a moment and then sleeps
 * until it is woken (sched/idle.h, docs/decisions/0004).
 *
 * Invariants
 *   1. Whoever sleeps without a limit has registered, passed a barrier, and looked everywhere again.
 *   2. A thief whose loot kept it busy for less than twice what the theft took naps, twice as long each time, up to a bound; worthy loot
 *      sets the nap back to the shortest (sched/policy.h).
 *   3. The last one to go to sleep asks whether anything is left that could wake a task, if the host wants to know. */
#include "machine/clock.h"
#include "machine/cost.h"
#include "sched/policy.h"
#include "sched/relief.h"

#include <sched.h>
#include <stdlib.h>

#define MANY_TIMERS 1024 /* with so many on its wheel a sleeper ... */
#define TOGETHER 100000  /* ... sleeps at least so long, ns: a few timers a wake-up, each still within 0.1 ms or so */
#define PAUSE 150000     /* ns to the next timer for which it is not worth while to register as a sleeper, with a heavy barrier */
#define LINGER 2000000   /* ns */
#define OVERDUE 50000    /* ns that an awake worker's timer may be late before others fire it */
#define IN_VAIN 64       /* looks at work that cannot be taken */

/* What is at hand without asking others. */
static struct fl_task *at_hand(struct fl_worker *w, int64_t now)
{
    w->asked = now;
    fl_ring_flush(&w->ring);
    if (fl_ring_promising(&w->ring))
        fl_ring_reap(&w->ring, true);
    fl_wheel_fire(&w->wheel, now);
    struct fl_task *task = fl_ready_pop(&w->ready);
    struct fl_item item;
    if (!task)
        task = fl_worker_injected(w);
    if (!task && (fl_deque_next(&w->hot.deque_, &item) || fl_deque_oldest(&w->hot.deque_, &item)) && !(task = fl_item_task(w, &item)))
        fl_deque_push(&w->hot.deque_, &item); /* one for which there was no descriptor, and is none yet; its slot has just been freed */
    return task;
}

int64_t fl_worker_earliest_timer(struct fl_worker *w)
{
    int64_t earliest = INT64_MAX;
    for (unsigned i = 0; i < fl_total(w->runtime); i++) {
        struct fl_worker *other = w->runtime->workers[i];
        fl_cost(FL_COST_GLANCE, other, 1);
        int64_t next = load_relaxed(&other->wheel.next); /* hint: a timer that is added later wakes or is looked after by its worker */
        if (other != w && next != INT64_MAX)
            next += OVERDUE;
        earliest = next < earliest ? next : earliest;
    }
    return earliest;
}

static int64_t until(int64_t now, int64_t when)
{
    return when == INT64_MAX ? INT64_MAX : when > now ? when - now : 0;
}

/* Whether tasks were dispatched anywhere since this was last asked. */
static bool others_were_active(struct fl_worker *w)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < fl_total(w->runtime); i++) {
        fl_cost(FL_COST_GLANCE, w->runtime->workers[i], 1);
        sum += load_relaxed(&w->runtime->workers[i]->counters.dispatched); /* hint: only decides whether to linger */
    }
    bool active = sum != w->seen_dispatched;
    w->seen_dispatched = sum;
    return active;
}

/* Sleeps until the next timer is due, for `limit` at most, or until woken; with many timers on the wheel a little longer, so that several are due when it is over. */
static void sleep_for_timer(struct fl_worker *w, int64_t timer, int64_t limit)
{
    if (timer > limit)
        fl_ring_sleep(&w->ring, limit);
    else if (timer > 0 && timer < TOGETHER && load_relaxed(&w->wheel.count) >= MANY_TIMERS) /* hint: how many, roughly */
        fl_ring_sleep(&w->ring, TOGETHER < limit ? TOGETHER : limit);
    else
        fl_ring_sleep_punctually(&w->ring, timer);
}

/* Sleeps for one nap as the watch: what others are too busy to do is done when it is over. */
static void nap(struct fl_worker *w, int64_t now)
{
    int64_t timer = until(now, fl_worker_earliest_timer(w));
    w->nap = fl_policy_nap(w->nap);
    sleep_for_timer(w, timer, w->nap);
    fl_idle_nap_over(&w->runtime->idle);
    w->nap = fl_policy_next_nap(w->nap);
}

/* ---- whether anything can still happen ---- */

/* Whether nobody works, and no timer, no operation, no kernel thread and no thread of the host is there that could wake a task. */
static bool is_quiet(struct filch_runtime *runtime)
{
    if (load_acquire(&runtime->threads) || load_acquire(&runtime->held) || load_acquire(&runtime->visitors))
        return false; /* [held] pairs with filch_let_go, [threads], [visit]: first of all, because what they did is visible then */
    uint64_t word = load_acquire(&runtime->idle.word); /* [doze] what the others did before they registered is visible */
    if (fl_idle_sleeping(word) < load_relaxed(&runtime->idle.active) || fl_work_visible(runtime)) /* hint: never too low */
        return false;
    for (unsigned i = 0; i < fl_total(runtime); i++) {
        struct fl_worker *w = runtime->workers[i];
        if (fl_is_relief(w) && load_relaxed(&w->sleeper.state) == FL_AWAKE && !load_acquire(&w->resting)) /* [duty] as for a call */
            return false;
        if (load_relaxed(&w->wheel.count) || fl_ring_inflight(&w->ring) ||
            load_relaxed(&w->pinned.count)) /* own: a worker that sleeps; the registering orders it */
            return false;
    }
    return load_relaxed(&runtime->state) != FL_ENDING; /* hint: then no task is left, and nothing will be found */
}

enum finding { NONE, DEADLOCK, DISTURBED };

/* Whether `other` keeps still: w itself, a relief that rests, which leaves its rest under the monitor's lock alone, and whoever can be held. */
static bool hold(struct fl_worker *w, struct fl_worker *other)
{
    other->held = FL_AWAKE;                                                   /* not held */
    if (other == w || (fl_is_relief(other) && load_acquire(&other->resting))) /* [duty] as for a call */
        return true;
    uint32_t state;
    if (!fl_idle_hold(&other->sleeper, &state))
        return false;
    other->held = state;
    return true;
}

static uint64_t sum_parks(struct filch_runtime *runtime)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < fl_total(runtime); i++)
        sum += load_relaxed(&runtime->workers[i]->counters.parks); /* counter; of workers that sleep */
    return sum;
}

/* Whether the tasks are stuck, and nobody has come meanwhile. */
static enum finding look(struct filch_runtime *runtime, char **ret_text)
{
    size_t parked = runtime->hooks->stuck(runtime, is_quiet, ret_text);
    uint64_t parks = sum_parks(runtime);
    if (!is_quiet(runtime))
        return DISTURBED;
    bool told = parked == runtime->told_parked && parks == runtime->told_parks; /* of these very tasks */
    if (parked == 0 || told)
        return NONE;
    runtime->told_parked = parked;
    runtime->told_parks = parks;
    return DEADLOCK;
}

/* Keeps the others asleep while it looks, whatever comes from outside. */
static enum finding look_while_all_sleep(struct fl_worker *w, char **ret_text)
{
    struct filch_runtime *runtime = w->runtime;
    unsigned held = 0, total;
    fl_lock_take(&runtime->monitor.lock); /* nobody runs tasks, so nobody but the monitor and reliefs that have been woken waits for it */
    for (total = fl_total(runtime); held < total && hold(w, runtime->workers[held]);)
        held++;
    enum finding finding = DISTURBED;
    if (held == total && is_quiet(runtime))
        finding = look(runtime, ret_text);
    while (held-- > 0)
        if (runtime->workers[held]->held != FL_AWAKE) {
            fl_idle_release(&runtime->idle, &runtime->workers[held]->sleeper, runtime->workers[held]->held);
            fl_ring_wake(&runtime->workers[held]->ring);
        }
    fl_lock_give(&runtime->monitor.lock);
    return finding;
}

/* Once each time that the runtime comes to a rest. */
static FL_NOINLINE void ask_whether_stuck(struct fl_worker *w)
{
    struct filch_runtime *runtime = w->runtime;
    uint64_t sum = 1;
    char *text = NULL;
    for (unsigned turn = 0;
         load_acquire(&runtime->visitors) && !fl_work_visible(runtime);) /* [visit] whoever has ended its sleep may not be out yet */
        turn = fl_lock_pause(turn);
    for (unsigned i = 0; i < fl_total(runtime); i++)
        sum += load_relaxed(&runtime->workers[i]->counters.dispatched);      /* counter; of workers that sleep */
    if (!is_quiet(runtime) || exchange_acq_rel(&runtime->asked, sum) == sum) /* own: the first of those that come to this at once */
        return;
    enum finding finding = look_while_all_sleep(w, &text);
    if (finding == DEADLOCK)
        runtime->on_deadlock(runtime, text ? text : "filch: deadlock, and no memory to say whose\n");
    if (finding == DISTURBED)
        store_relaxed(&runtime->asked, 0); /* own: whoever disturbed it comes to rest, and asks again */
    free(text);
}

/* Registers as a sleeper and sleeps until woken, until a completion or timer of its own, or until it has lingered. It searches again afterwards. */
static void sleep_(struct fl_worker *w)
{
    struct filch_runtime *runtime = w->runtime;
    bool others = load_relaxed(&runtime->idle.active) > 1, /* hint: who takes part later wakes one for the watch */
        linger = fl_idle_doze(&runtime->idle, &w->sleeper, others && others_were_active(w));
    fl_count(&w->counters.sleeps, 1);
    /* Somebody may have begun to run while this one made up its mind: then it keeps the watch instead. */
    bool unwatched = !linger && fl_idle_unwatched(&runtime->idle);
    if (!linger && unlikely(runtime->on_deadlock != NULL))
        ask_whether_stuck(w);
    if (!unwatched && !fl_work_visible(runtime) &&
        load_relaxed(&runtime->state) != FL_ENDING) { /* hint: who ends the runtime wakes every sleeper afterwards */
        int64_t began = fl_clock(), now = began;
        while (fl_idle_still(&w->sleeper) && !fl_ring_ready(&w->ring) && !fl_wheel_due(&w->wheel, now)) {
            int64_t timer = until(now, linger ? fl_worker_earliest_timer(w)
                                              : load_relaxed(&w->wheel.next)); /* hint: who adds an earlier one wakes the sleeper */
            int64_t limit = linger ? LINGER : fl_stack_trim_wanted(&w->stacks, FL_TRIM_KEEP) ? FL_TRIM_AFTER : INT64_MAX;
            sleep_for_timer(w, timer, limit);
            now = fl_clock();
            if (linger && now - began >= LINGER)
                break;
            if (linger && fl_worker_earliest_timer(w) <= now)
                break;
            if (!linger && now - began >= FL_TRIM_AFTER && fl_stack_trim_wanted(&w->stacks, FL_TRIM_KEEP))
                fl_stack_trim(&w->stacks, FL_TRIM_KEEP);
        }
    }
    fl_idle_undo(&runtime->idle, &w->sleeper);
}

/* Judges the last theft by how long its loot kept this worker busy. @return whether to leave the others alone for a nap. */
static bool theft_was_poor(struct fl_worker *w, int64_t now)
{
    if (w->theft_cost == 0)
        return false;
    bool poor = fl_policy_poor(now - w->theft_end, w->theft_cost);
    w->theft_cost = 0;
    if (!poor)
        w->nap = fl_policy.nap_first;
    return poor;
}

struct fl_task *fl_worker_search(struct fl_worker *w)
{
    struct filch_runtime *runtime = w->runtime;
    struct fl_idle *idle = &runtime->idle;
    struct fl_task *task = NULL;
    unsigned in_vain = 0;
aside:
    if (unlikely(!w->counted || !fl_full_duty(w)) &&
        ((task = fl_relief_aside(w)) || load_acquire(&runtime->state) == FL_ENDING)) /* [end] */
        return task;
    int64_t now = fl_clock();
    task = at_hand(w, now);
    if (task)
        return task;
    bool rest = theft_was_poor(w, now);
    fl_cost(FL_COST_SHARED, w, 1);
    fl_idle_search(idle);
    for (;;) {
        if (load_acquire(&runtime->state) == FL_ENDING) { /* [end] pairs with filch_stop */
            if (fl_idle_leave(idle))
                fl_wake_one(runtime);
            return NULL;
        }
        if (unlikely(!fl_full_duty(w))) {
            if (fl_idle_leave(idle))
                fl_wake_one(runtime);
            fl_monitor_stir(runtime, &runtime->monitor);
            goto aside;
        }
        now = fl_clock();
        if (!rest) {
            task = fl_steal(w);
            if (!task)
                task = at_hand(w, now);
        } else {
            task = at_hand(w, now);
        }
        if (task)
            break;
        rest = false;
        if (!fl_policy.sleeps) {
            fl_relax();
            continue;
        }
        int64_t timer = until(now, load_relaxed(&w->wheel.next)); /* hint: its own; an earlier one that others add waits as long at most */
        if (timer <= PAUSE) {
            fl_idle_pause(idle);
            if (timer > 0)
                sleep_for_timer(w, timer, PAUSE);
            fl_idle_search(idle);
            continue;
        }
        if (fl_idle_somebody_works(idle) && fl_idle_nap(idle))
            nap(w, now);
        else if (!fl_policy.looks_first || !fl_work_visible(runtime))
            sleep_(w);
        else if (++in_vain % IN_VAIN == 0)
            sched_yield();                     /* what it cannot get yet somebody holds who may want this CPU */
        store_relaxed(&w->looked, fl_clock()); /* hint: whether it is stalled */
    }
    fl_cost(FL_COST_SHARED, w, 1);
    if (fl_idle_found(idle))
        fl_wake_one(runtime);
    fl_monitor_stir(runtime, &runtime->monitor);
    return task;
}
