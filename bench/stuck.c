/* SPDX-License-Identifier: MIT */
/* stuck: one task makes a call that blocks its kernel thread; how long are the others held up?
 *
 * --tasks tasks sleep a millisecond again and again. When all of them are under way, one more is in clock_nanosleep(2), the system
 * call, for --length ms. The figure is the longest that one of the others slept beyond its millisecond meanwhile, in ms: next to nothing
 * where somebody takes over, and as long as the call where nobody does. The runtime is told nothing of the call. This is the question
 * in its smallest form, to be put to many runtimes; `stall` has more kinds of it and distributions.
 *
 * Checked: all tasks have ended, and the call took as long as it should. The runtime is started once for all runs. */
#include "bench.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "util.h"

#define NAP FILCH_MSEC(1)

static int64_t tasks = 20, length_ms = 200;

struct hold {
    atomic_bool holding, over;
    atomic_int_fast64_t ended, under_way;
    int64_t held; /* ns that the call took */
};

struct sleeper {
    struct hold *hold;
    int64_t worst; /* ns slept beyond the nap */
};

static int sleeper(void *arg)
{
    struct sleeper *me = arg;
    atomic_fetch_add(&me->hold->under_way, 1);
    while (!atomic_load(&me->hold->over)) {
        int64_t begin = filch_now();
        int r = filch_sleep(NAP);
        if (r < 0)
            return r;
        int64_t late = filch_now() - begin - NAP;
        if (atomic_load(&me->hold->holding) && late > me->worst)
            me->worst = late;
    }
    atomic_fetch_add(&me->hold->ended, 1);
    return 0;
}

static int blocker(void *arg)
{
    struct hold *hold = arg;
    const struct timespec length = {.tv_sec = length_ms / 1000, .tv_nsec = length_ms % 1000 * 1000000};
    int64_t begin = filch_now();
    atomic_store(&hold->holding, true);
    int r = -clock_nanosleep(CLOCK_MONOTONIC, 0, &length, NULL);
    hold->held = filch_now() - begin;
    if (r == 0)
        r = filch_sleep(2 * NAP); /* who was held up says so while it counts */
    atomic_store(&hold->over, true);
    return r;
}

static int hold_up(struct hold *hold, struct sleeper *sleepers)
{
    int r = 0;
    FILCH_SCOPE(s);
    for (int64_t i = 0; r >= 0 && i < tasks; i++) {
        sleepers[i].hold = hold;
        r = filch_spawn(&s, sleeper, &sleepers[i]);
    }
    while (r >= 0 && atomic_load(&hold->under_way) < tasks)
        r = filch_sleep(NAP);
    if (r >= 0)
        r = filch_spawn(&s, blocker, hold);
    if (r < 0)
        atomic_store(&hold->over, true);
    int r_join = filch_join(&s);
    return r < 0 ? r : r_join;
}

static int stuck(struct bench_run *run)
{
    struct hold hold = {.held = 0};
    struct sleeper *sleepers = calloc((size_t)tasks, sizeof *sleepers);
    int64_t worst = 0;
    if (!sleepers)
        return -ENOMEM;
    int r = hold_up(&hold, sleepers);
    for (int64_t i = 0; i < tasks; i++)
        worst = sleepers[i].worst > worst ? sleepers[i].worst : worst;
    bench_result(run, (double)worst / 1e6);
    bench_check(run, "ended", (int64_t)atomic_load(&hold.ended), tasks);
    bench_check(run, "blocked", hold.held >= FILCH_MSEC(length_ms), 1);
    free(sleepers);
    return r;
}

const struct bench bench_stuck = {
    .name = "stuck",
    .what = "one task is in a blocking call: how long the others are held up",
    .unit = "ms",
    .forms = {{"nanosleep", stuck, BENCH_TASK}},
    .params =
        {
            BENCH_INT("tasks", tasks, 1, 1e5, "how many sleep"),
            BENCH_INT("length", length_ms, 1, 1e6, "ms, of the call"),
        },
};
