/* SPDX-License-Identifier: MIT */
/* chameneos: what does it cost to be paired with whoever comes next?
 *
 * The chameneos-redux of the Computer Language Benchmarks Game, after Kaiser and Pradat-Peyre ("Chameneos, a concurrency game for
 * Java, Ada and others", AICCSA 2003). --creatures tasks, each blue, red or yellow, go to one meeting place again and again. The first
 * to come waits for the second; then both take the complement of the two colours (their own, if they are the same, else the third) and
 * go. After --meetings meetings the place is closed. The game has 6,000,000 of them, with three creatures and again with ten: blue red
 * yellow red yellow blue red yellow red blue; more creatures here go on from the start of that row. The figure is wall time divided by
 * meetings: a park and a wake each, and a place that all contend for.
 *
 * Forms: `mutex`, the place is a guarded structure, and a creature waits for an event of its own; `broker`, the place is a task that
 * receives creatures from one channel, pairs them, and sets their events: nothing is locked, but there are two more parks a meeting;
 * `serial`, creatures in a queue, of which two at a time meet and go to its end.
 *
 * What proves the work: each meeting is counted by both, so the counts add up to twice the meetings (which the game prints as well);
 * nobody met itself; and, with colours as numbers modulo 3, no meeting changes the sum of all colours. The runtime is started once for
 * all runs. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>

#include "kernels/chameneos.h"

static int64_t creatures = 10, meetings = 2000000;

struct creature;

struct place_data {
    int64_t left; /* meetings */
    struct creature *waiting;
};

FILCH_MUTEX_OF(place, struct place_data);
FILCH_CHAN_OF(gate, struct creature *);

struct forest {
    place place;
    gate *gate;
    struct creature *all;
};

struct creature {
    struct forest *forest;
    filch_event met_one; /* of the kind that resets itself */
    bool closed;         /* what the broker says instead of a meeting */
    struct chameneos self;
};

/* ---- mutex ---- */

/* Meets whoever waits; if nobody does, the caller is to wait for its own event. @return false when the place is closed */
static bool enter(struct creature *self, bool *ret_wait)
{
    FILCH_LOCKED(place, here, &self->forest->place);
    struct creature *other = here->waiting;
    *ret_wait = !other;
    if (here->left == 0)
        return false;
    here->waiting = other ? NULL : self;
    if (other) {
        here->left--;
        chameneos_meet(&self->self, &other->self);
        filch_event_set(&other->met_one);
    }
    return true;
}

static int live_mutex(void *arg)
{
    struct creature *self = arg;
    bool wait;
    int r = 0;
    while (r == 0 && enter(self, &wait))
        if (wait)
            r = filch_event_wait(&self->met_one);
    return r;
}

/* ---- broker ---- */

static int live_broker(void *arg)
{
    struct creature *self = arg;
    int r = 0;
    while (r == 0 && !self->closed) {
        r = gate_send(self->forest->gate, self);
        if (r == 0)
            r = filch_event_wait(&self->met_one);
    }
    return r;
}

/* Pairs those that come, then sends all away. */
static int broker(void *arg)
{
    struct forest *forest = arg;
    struct creature *one, *other;
    int r = 0;
    for (int64_t left = meetings; r == 0 && left > 0; left--) {
        r = gate_recv(forest->gate, &one);
        if (r == 0)
            r = gate_recv(forest->gate, &other);
        if (r < 0)
            return r;
        chameneos_meet(&one->self, &other->self);
        filch_event_set(&one->met_one);
        filch_event_set(&other->met_one);
    }
    for (int64_t i = 0; r == 0 && i < creatures; i++) {
        r = gate_recv(forest->gate, &one);
        if (r < 0)
            return r;
        one->closed = true;
        filch_event_set(&one->met_one);
    }
    return r;
}

/* ---- one run ---- */

static int live_all(struct forest *forest, filch_fn *live, filch_fn *beside)
{
    FILCH_SCOPE(s);
    int r = beside ? filch_spawn(&s, beside, forest) : 0;
    for (int64_t i = 0; r == 0 && i < creatures; i++)
        r = filch_spawn(&s, live, &forest->all[i]);
    return r < 0 ? r : filch_join(&s);
}

static void live_serially(struct forest *forest)
{
    for (int64_t i = 0, left = meetings; left > 0; left--, i = (i + 2) % creatures)
        chameneos_meet(&forest->all[i].self, &forest->all[(i + 1) % creatures].self);
}

static struct chameneos sum_of(const struct forest *forest)
{
    struct chameneos sum = {0};
    for (int64_t i = 0; i < creatures; i++)
        chameneos_add(&sum, &forest->all[i].self);
    return sum;
}

static void report(struct bench_run *run, int64_t start, const struct forest *forest, unsigned colours_before)
{
    bench_result(run, (double)(filch_now() - start) / (double)meetings);
    struct chameneos sum = sum_of(forest);
    bench_check(run, "met", sum.met, 2 * meetings);
    bench_check(run, "met_itself", sum.met_itself, 0);
    bench_check(run, "colours", sum.colour, colours_before);
}

static int chameneos(struct bench_run *run, filch_fn *live, filch_fn *beside)
{
    struct forest forest = {.place = FILCH_MUTEX_OF_INIT({.left = meetings}), .all = calloc((size_t)creatures, sizeof *forest.all)};
    int r = forest.all ? gate_new(0, &forest.gate) : -ENOMEM;
    for (int64_t i = 0; r == 0 && i < creatures; i++)
        forest.all[i] = (struct creature){.forest = &forest, .met_one = FILCH_EVENT_AUTO, .self = chameneos_begin(i)};
    if (r == 0) {
        unsigned before = sum_of(&forest).colour;
        int64_t start = filch_now();
        if (live)
            r = live_all(&forest, live, beside);
        else
            live_serially(&forest);
        report(run, start, &forest, before);
        gate_free(forest.gate);
    }
    free(forest.all);
    return r;
}

static int mutex(struct bench_run *run)
{
    return chameneos(run, live_mutex, NULL);
}

static int with_broker(struct bench_run *run)
{
    return chameneos(run, live_broker, broker);
}

static int serial(struct bench_run *run)
{
    return chameneos(run, NULL, NULL);
}

const struct bench bench_chameneos = {
    .name = "chameneos",
    .what = "tasks meet in pairs as they come (the Benchmarks Game's)",
    .unit = "ns/meeting",
    .forms = {{"mutex", mutex, BENCH_TASK}, {"broker", with_broker, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params =
        {
            BENCH_INT("creatures", creatures, 2, 1e6, "tasks that meet"),
            BENCH_INT("meetings", meetings, 1, 1e12, "in all"),
        },
};
