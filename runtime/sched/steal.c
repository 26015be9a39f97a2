/* SPDX-License-Identifier: MIT */
/* Stealing: which victim, and what is taken.
 *
 * Victims are tried by distance (same core, shared cache, NUMA node, the rest), in random order inside a class, so that work stays near and
 * thieves don't all ask the same worker. Each is looked at before it is paid for: a theft costs a heavy barrier, which interrupts every
 * running worker (8-15 us on a virtual machine). From the deque the oldest item is taken, the root of the largest subtree; from the ready queue the
 * older half. What the victim would do for others if it were not busy, the thief does for it: it reaps its ring and fires its overdue timers.
 *
 * Invariant: nothing is taken that the victim has not published; a thief never waits for a victim that is stuck in user code. */
#include "sched/worker.h"

#include "machine/clock.h"

#include <errno.h>
#include <stdlib.h>

#define TAKE_MAX 128  /* tasks taken out of a ready queue at a time */
#define OVERDUE 50000 /* ns: a live worker fires its own timers sooner */

int fl_steal_init(struct fl_worker *w)
{
    struct filch_runtime *runtime = w->runtime;
    unsigned n = 0;
    w->victims = calloc(runtime->count, sizeof *w->victims);
    if (!w->victims)
        return -ENOMEM;
    for (unsigned distance = 0; distance < FL_DISTANCES; distance++) {
        w->victim_class[distance] = n;
        for (unsigned i = 0; i < runtime->count; i++)
            if (i != w->index && fl_topology_distance(&runtime->topology, w->index, i) == distance)
                w->victims[n++] = i;
    }
    w->victim_class[FL_DISTANCES] = n;
    return 0;
}

/* xorshift32 (G. Marsaglia, 2003). */
static uint32_t random_(struct fl_worker *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 17;
    w->random ^= w->random << 5;
    return w->random;
}

static struct fl_task *take_ready(struct fl_worker *w, struct fl_worker *victim)
{
    struct fl_task *loot[TAKE_MAX];
    unsigned n = fl_ready_take_half(&victim->ready, loot, TAKE_MAX);
    for (unsigned i = 1; i < n; i++)
        if (!fl_ready_push(&w->ready, loot[i]))
            fl_inject_push(&w->runtime->inject, loot[i]);
    return n ? loot[0] : NULL;
}

static struct fl_task *take_deque(struct fl_worker *w, struct fl_worker *victim)
{
    struct fl_item item;
    if (fl_deque_steal(&victim->hot.deque_, &item) != FL_STEAL_GOT)
        return NULL;
    struct fl_task *task = fl_item_task(w, &item);
    if (!task)
        fl_deque_push(&w->hot.deque_,
                      &item); /* no memory for a descriptor: keep the item, somebody waits for it; an empty deque has room */
    return task;
}

/* Does for a busy worker what it has no time for. */
static void look_after(struct fl_worker *victim, int64_t now)
{
    if (load_relaxed(&victim->sleeper.state) != FL_AWAKE) /* hint: a sleeper is woken by its own ring and timers */
        return;
    if (fl_ring_ready(&victim->ring))
        fl_ring_reap(&victim->ring, false);
    fl_ring_flush(&victim->ring);
    if (fl_wheel_due(&victim->wheel, now - OVERDUE))
        fl_wheel_expire(&victim->wheel, now);
}

static struct fl_task *rob(struct fl_worker *w, struct fl_worker *victim)
{
    bool deque = fl_deque_size_hint(&victim->hot.deque_) != 0, ready = fl_ready_size_hint(&victim->ready) != 0;
    if (!deque && !ready)
        return NULL;
    int64_t began = fl_clock();
    fl_count(&w->counters.steal_attempts, 1);
    struct fl_task *task = deque ? take_deque(w, victim) : NULL;
    if (!task && ready)
        task = take_ready(w, victim);
    int64_t now = fl_clock();
    w->theft_cost = now - began;
    w->theft_end = now;
    if (task)
        fl_count(&w->counters.steals, 1);
    return task;
}

struct fl_task *fl_steal(struct fl_worker *w)
{
    int64_t now = fl_clock();
    for (unsigned distance = 0; distance < FL_DISTANCES; distance++) {
        unsigned first = w->victim_class[distance], n = w->victim_class[distance + 1] - first;
        if (n == 0)
            continue;
        unsigned start = n > 1 ? random_(w) % n : 0;
        for (unsigned i = 0; i < n; i++) {
            struct fl_worker *victim = w->runtime->workers[w->victims[first + (start + i) % n]];
            look_after(victim, now);
            struct fl_task *task = rob(w, victim);
            if (task)
                return task;
        }
    }
    return NULL;
}

bool fl_work_visible(struct filch_runtime *runtime)
{
    if (load_relaxed(&runtime->inject.count) != 0) /* hint: behind the sleeper's barrier */
        return true;
    for (unsigned i = 0; i < runtime->count; i++) {
        struct fl_worker *w = runtime->workers[i];
        if (fl_deque_size_hint(&w->hot.deque_) != 0 || fl_ready_size_hint(&w->ready) != 0)
            return true;
    }
    return false;
}
