/* SPDX-License-Identifier: MIT */
/* mix: what do tasks that compute and tasks that sleep cost each other?
 *
 * --units tasks compute, --rounds rounds of a random number generator each (some 50 microseconds), and never park. First they are
 * alone. Then --sleepers tasks are there as well, each of which sleeps again and again for a random time of up to --longest ms, until
 * the last unit is done. The figure is the wall time of all units beside the sleepers, divided by their number, `alone` the same
 * without sleepers, and `throughput` what is left of the first's: alone / mix. Lateness is what the clock said after filch_sleep had
 * returned, less what it said before the call, less the time asked for. Nobody yields here: a sleeper that is due waits until a worker
 * has done with a unit or a few of them and looks round, and then those that are due as well wait for each other; so it matters how
 * many sleepers there are for each unit.
 *
 * Form `serial` computes the units in a loop, and there are no sleepers: what a unit costs without a runtime.
 *
 * The units' results are added up and checked against a sum computed before, and no sleep may be too short. The runtime is started
 * once for all runs. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>

#include "kernels/mix.h"
#include "util.h"

#define MOST_SAMPLES 100000 /* of lateness, in all */

static int64_t units = 4000, rounds = 50000, sleepers = 100, longest = 20, expected;

struct unit {
    uint64_t number, result;
};

struct sleeper {
    filch_latch *begun;
    uint64_t state;
    double *late;
    int64_t slept, kept, early;
};

static int compute(void *arg)
{
    struct unit *unit = arg;
    unit->result = mix_unit(unit->number, rounds);
    return 0;
}

static int compute_all(struct unit *all)
{
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < units; i++) {
        int r = filch_spawn(&s, compute, &all[i]);
        if (r < 0)
            return r;
    }
    return filch_join(&s);
}

static int64_t room(void)
{
    return sleepers ? MOST_SAMPLES / sleepers + 1 : 0;
}

/* Sleeps until it is called off. */
static int sleep_on(void *arg)
{
    struct sleeper *self = arg;
    filch_latch_add(self->begun, -1);
    for (;;) {
        int64_t ns = mix_nap(&self->state, longest), start = filch_now();
        int r = filch_sleep(ns);
        if (r < 0)
            return r == -ECANCELED ? 0 : r;
        int64_t late = filch_now() - start - ns;
        self->slept++;
        self->early += late < 0;
        if (self->kept < room())
            self->late[self->kept++] = (double)late / 1e3;
    }
}

/* @param ret_ns how long the units took */
static int compute_beside(struct unit *all, struct sleeper *sleeper, int64_t *ret_ns)
{
    filch_latch begun = FILCH_LATCH(sleepers);
    int r = 0;
    FILCH_SCOPE(s);
    for (int64_t i = 0; r == 0 && i < sleepers; i++) {
        sleeper[i].begun = &begun;
        r = filch_spawn(&s, sleep_on, &sleeper[i]);
    }
    if (r == 0)
        r = filch_latch_wait(&begun);
    if (r < 0)
        return r;
    int64_t start = filch_now();
    r = compute_all(all);
    *ret_ns = filch_now() - start;
    filch_cancel(&s);
    int failed = filch_join(&s);
    return r < 0 ? r : failed;
}

static int64_t sum_of(const struct unit *all)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < units; i++)
        sum += all[i].result;
    return (int64_t)(sum & INT64_MAX);
}

static struct unit *new_units(void)
{
    struct unit *all = calloc((size_t)units, sizeof *all);
    for (int64_t i = 0; all && i < units; i++)
        all[i].number = (uint64_t)i;
    return all;
}

/* All sleepers' samples in one array, from its beginning. */
static size_t gather(double *samples, const struct sleeper *sleeper, int64_t *ret_slept, int64_t *ret_early)
{
    size_t count = 0;
    *ret_slept = *ret_early = 0;
    for (int64_t i = 0; i < sleepers; i++) {
        *ret_slept += sleeper[i].slept;
        *ret_early += sleeper[i].early;
        for (int64_t k = 0; k < sleeper[i].kept; k++)
            samples[count++] = sleeper[i].late[k];
    }
    return count;
}

static void report(struct bench_run *run, int64_t ns, int64_t sum, int64_t early)
{
    bench_result(run, (double)ns / (double)units / 1e3);
    bench_check(run, "sum", sum, expected);
    bench_check(run, "early", early, 0);
}

static int measure(struct bench_run *run, struct unit *all, struct sleeper *sleeper, double *samples)
{
    int64_t start = filch_now(), ns = 0, slept, early;
    int r = compute_all(all);
    int64_t alone = filch_now() - start, sum = sum_of(all);
    for (int64_t i = 0; i < units; i++)
        all[i].result = 0;
    if (r == 0)
        r = compute_beside(all, sleeper, &ns);
    if (r < 0)
        return r;
    size_t count = gather(samples, sleeper, &slept, &early);
    report(run, ns, sum == expected ? sum_of(all) : sum, early);
    bench_more(run, "alone", "us/unit", (double)alone / (double)units / 1e3);
    bench_more(run, "throughput", "of alone", (double)alone / (double)ns);
    bench_more(run, "sleeps", "", (double)slept);
    if (count)
        bench_spread(run, "lateness_us", samples, count);
    return 0;
}

static int mix(struct bench_run *run)
{
    struct unit *all = new_units();
    struct sleeper *sleeper = calloc((size_t)sleepers + 1, sizeof *sleeper);
    double *late = calloc((size_t)(sleepers * room() + 1), sizeof *late), *samples = calloc((size_t)(sleepers * room() + 1), sizeof *late);
    int r = all && sleeper && late && samples ? 0 : -ENOMEM;
    for (int64_t i = 0; r == 0 && i < sleepers; i++)
        sleeper[i] = (struct sleeper){.state = (uint64_t)i, .late = late + i * room()};
    if (r == 0)
        r = measure(run, all, sleeper, samples);
    free(all);
    free(sleeper);
    free(late);
    free(samples);
    return r;
}

static int serial(struct bench_run *run)
{
    struct unit *all = new_units();
    if (!all)
        return -ENOMEM;
    int64_t start = filch_now();
    for (int64_t i = 0; i < units; i++)
        compute(&all[i]);
    int64_t ns = filch_now() - start;
    report(run, ns, sum_of(all), 0);
    free(all);
    return 0;
}

static int prepare(void)
{
    struct unit *all = new_units();
    if (!all)
        return -ENOMEM;
    for (int64_t i = 0; i < units; i++)
        compute(&all[i]);
    expected = sum_of(all);
    free(all);
    return 0;
}

const struct bench bench_mix = {
    .name = "mix",
    .what = "tasks that compute beside tasks that sleep: throughput, lateness",
    .unit = "us/unit",
    .prepare = prepare,
    .forms = {{"mix", mix, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params =
        {
            BENCH_INT("units", units, 1, 1e8, "of computing"),
            BENCH_INT("rounds", rounds, 1, 1e10, "of a unit"),
            BENCH_INT("sleepers", sleepers, 0, 1e6, "tasks that sleep"),
            BENCH_INT("longest", longest, 1, 1e6, "ms, of a sleep"),
        },
};
