/* SPDX-License-Identifier: MIT */
/* Stealing: which victim, and what is taken. The numbers are in sched/policy.h.
 *
 * Victims are tried by distance (same core, shared cache, NUMA node, the rest), in random order inside a class, so that work stays near and
 * thieves don't all ask the same worker. Each is looked at before it is paid for: a theft costs a heavy barrier, which interrupts every
 * running worker (8-15 us on a virtual machine). So a thief first begs: it leaves its name with the victim and makes its look round due. A victim
 * that runs fine-grained tasks comes by within a fraction of a microsecond and gives away the older half of its deque, which it may do without
 * any barrier. One that does not answer, because it is busy for long or stuck, is robbed: of the oldest item, the root of the largest subtree. From
 * the ready queue the older half is taken. What the victim would do for others if it were not busy, the thief does for it: it reaps its ring and fires its overdue timers.
 *
 * Invariant: nothing is taken that the victim has not published; a thief never waits for a victim that is stuck in user code. */
#include "sched/worker.h"

#include "machine/clock.h"
#include "machine/cost.h"
#include "sched/policy.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#define STALLED 200000 /* ns after which a worker that has not looked round is taken to be in a long task */
#define TAKE_MAX 128   /* tasks taken out of a ready queue at a time */
#define OVERDUE 50000  /* ns: a live worker fires its own timers sooner */

int fl_steal_init(struct fl_worker *w)
{
    struct filch_runtime *runtime = w->runtime;
    unsigned n = 0;
    if (fl_is_relief(w))
        return 0;
    w->victims = calloc(runtime->count, sizeof *w->victims);
    if (!w->victims)
        return -ENOMEM;
    for (unsigned distance = 0; distance < FL_DISTANCES; distance++) {
        w->victim_class[distance] = n;
        for (unsigned i = 0; i < runtime->count; i++)
            if (i != w->index && fl_policy_class(fl_topology_distance(&runtime->topology, w->index, i)) == distance)
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
    struct fl_task *loot[TAKE_MAX], *first = NULL;
    unsigned n = fl_ready_take_half(&victim->ready, loot, TAKE_MAX);
    fl_cost(FL_COST_FETCH, victim, n);
    for (unsigned i = 0; i < n; i++)
        if (unlikely(loot[i]->flags & FL_TASK_HOG) && !fl_full_duty(w))
            fl_worker_put_aside(w, loot[i]);
        else if (!first)
            first = loot[i];
        else if (!fl_ready_push(&w->ready, loot[i]))
            fl_inject_push(&w->runtime->inject, loot[i]);
    return first;
}

/* An item for which a thief's deque has no memory goes to everybody. */
static FL_COLD void keep(struct fl_worker *w, const struct fl_item *item)
{
    struct fl_task *task;
    while (!(task = fl_item_task(w, item)))
        sched_yield(); /* no memory for a descriptor either: somebody's end frees one */
    fl_inject_push(&w->runtime->inject, task);
}

void fl_steal_give(struct fl_worker *w)
{
    struct fl_worker *thief = exchange_acq_rel(&w->beggar, NULL); /* [beg] pairs with beg; the thief waits for its mail from here on */
    if (!thief)
        return;
    thief->mail.count = fl_deque_give(&w->hot.deque_, thief->mail.items, fl_policy.most);
    fl_cost(FL_COST_GIVE, thief, thief->mail.count);
    store_release(&thief->mail.state, FL_MAIL_HERE); /* [mail] pairs with beg */
}

/* What a victim says to who begs: nothing, for it is busy; nothing, for it is asked already; or what it gives, if it has anything. */
enum answer { SILENT, OCCUPIED, ANSWERED };

/* Asks the victim for work and waits a moment. @return the oldest item it gave, as a task, or NULL */
static struct fl_task *beg(struct fl_worker *w, struct fl_worker *victim, enum answer *ret_answer)
{
    struct fl_worker *nobody = NULL, *me = w;
    struct fl_mail *mail = &w->mail;
    *ret_answer = SILENT;
    store_relaxed(&mail->state, FL_MAIL_NONE);                                        /* own: published by the swap below */
    if (!cas_acq_rel(&victim->beggar, &nobody, w)) {                                  /* [beg] pairs with fl_steal_give */
        if (fl_policy.passes && fl_clock() - load_relaxed(&victim->looked) < STALLED) /* hint: it will answer the other */
            *ret_answer = OCCUPIED;
        return NULL;
    }
    for (int64_t until = fl_clock() + fl_policy.patience;
         load_acquire(&mail->state) != FL_MAIL_HERE;) {                     /* [mail] pairs with fl_steal_give */
        if (fl_clock() >= until && cas_acq_rel(&victim->beggar, &me, NULL)) /* [beg] taken back: it has not seen it */
            return NULL;
        me = w;
        fl_worker_ask(victim);
        for (unsigned i = 0; i < 8; i++)
            fl_relax();
    }
    *ret_answer = ANSWERED;
    fl_cost(FL_COST_FETCH, victim, mail->count);
    struct fl_task *task = NULL;
    for (unsigned i = 0; i < mail->count; i++)
        if (i > 0 || !(task = fl_item_task(w, &mail->items[0])))
            if (!fl_deque_push(&w->hot.deque_, &mail->items[i]))
                keep(w, &mail->items[i]);
    return task;
}

static struct fl_task *take_deque(struct fl_worker *w, struct fl_worker *victim)
{
    struct fl_item item;
    if (fl_deque_steal(&victim->hot.deque_, &item) != FL_STEAL_GOT)
        return NULL;
    fl_cost(FL_COST_FETCH, victim, 1);
    struct fl_task *task = fl_item_task(w, &item);
    if (!task)
        fl_deque_push(&w->hot.deque_,
                      &item); /* no memory for a descriptor: keep the item, somebody waits for it; an empty deque has room */
    return task;
}

/* A carrier that spins in user code never enters the kernel, which has completions for it: an interrupt makes it. */
static void kick(struct fl_worker *w, struct fl_worker *victim, int64_t now)
{
    if (!fl_ring_wants_kick(&victim->ring) || now - load_relaxed(&victim->looked) < STALLED) /* hint: it looks again soon */
        return;
    fl_barrier_heavy(); /* own: for its interrupt alone */
    w->nap = 0;         /* they are there in a moment */
}

/* Does for a busy worker what it has no time for. */
static void look_after(struct fl_worker *w, struct fl_worker *victim, int64_t now)
{
    if (load_relaxed(&victim->sleeper.state) != FL_AWAKE) /* hint: a sleeper is woken by its own ring and timers */
        return;
    kick(w, victim, now);
    if (fl_ring_polls(&victim->ring) ? fl_ring_promising(&victim->ring) : fl_ring_ready(&victim->ring))
        fl_ring_reap(&victim->ring, false);
    fl_ring_flush_try(&victim->ring);
    if (fl_wheel_due(&victim->wheel, now - OVERDUE))
        fl_wheel_expire(&victim->wheel, now);
}

static struct fl_task *rob(struct fl_worker *w, struct fl_worker *victim)
{
    bool deque = fl_deque_size_hint(&victim->hot.deque_) != 0, ready = fl_ready_size_hint(&victim->ready) != 0;
    if (!deque && !ready)
        return NULL;
    int64_t began = fl_clock();
    if (unlikely(!fl_full_duty(w))) { /* of those that are not stalled nothing, and of nobody what has not begun */
        deque = false;
        ready = ready && began - load_relaxed(&victim->looked) > STALLED; /* hint: it looks again soon */
    }
    if (!deque && !ready)
        return NULL;
    fl_count(&w->counters.steal_attempts, 1);
    fl_cost(FL_COST_TRY, victim, 1);
    enum answer answer = SILENT;
    struct fl_task *task = deque && fl_policy.asks ? beg(w, victim, &answer) : NULL;
    if (answer == OCCUPIED && !ready)
        return NULL; /* nothing was tried */
    if (!task && deque && answer == SILENT)
        task = take_deque(w, victim);
    if (!task && ready)
        task = take_ready(w, victim);
    int64_t now = fl_clock();
    w->theft_cost = now - began;
    w->theft_end = now;
    if (task)
        fl_count(&w->counters.steals, 1);
    return task;
}

void fl_steal_relieve(struct fl_worker *w, struct fl_worker *victim, int64_t now)
{
    look_after(w, victim, now);
    struct fl_task *task = fl_ready_size_hint(&victim->ready) != 0 ? take_ready(w, victim) : NULL;
    if (task && !fl_ready_push(&w->ready, task))
        fl_inject_push(&w->runtime->inject, task);
}

static struct fl_task *visit(struct fl_worker *w, struct fl_worker *victim, int64_t now)
{
    fl_cost(FL_COST_LOOK, victim, 1);
    look_after(w, victim, now);
    return rob(w, victim);
}

struct fl_task *fl_steal(struct fl_worker *w)
{
    struct filch_runtime *runtime = w->runtime;
    struct fl_worker *host = runtime->workers[load_relaxed(&w->host)]; /* own: its own; whose neighbours are a relief's too */
    int64_t now = fl_clock();
    struct fl_task *task = w != host ? visit(w, host, now) : NULL;
    for (unsigned distance = 0; !task && distance < FL_DISTANCES; distance++) {
        unsigned first = host->victim_class[distance], n = host->victim_class[distance + 1] - first;
        unsigned start = n > 1 ? random_(w) % n : 0;
        for (unsigned i = 0; !task && i < n; i++)
            task = visit(w, runtime->workers[host->victims[first + (start + i) % n]], now);
    }
    for (unsigned i = runtime->count; !task && i < fl_total(runtime); i++)
        if (i != w->index)
            task = visit(w, runtime->workers[i], now);
    return task;
}

bool fl_work_visible(struct filch_runtime *runtime)
{
    if (load_relaxed(&runtime->inject.count) != 0 || load_relaxed(&runtime->heavy.count) != 0) /* hint: behind the sleeper's barrier */
        return true;
    for (unsigned i = 0; i < fl_total(runtime); i++) {
        struct fl_worker *w = runtime->workers[i];
        fl_cost(FL_COST_GLANCE, w, 1);
        if (fl_deque_size_hint(&w->hot.deque_) != 0 || fl_ready_size_hint(&w->ready) != 0)
            return true;
    }
    return false;
}
