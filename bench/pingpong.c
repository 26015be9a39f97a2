/* SPDX-License-Identifier: MIT */
/* pingpong: how fast do two tasks hand something to each other?
 *
 * Two tasks, two events: one sets `ping` and waits for `pong`, the other waits for `ping` and sets `pong`; each resets the event it
 * waited for, before it sets the other, so that neither can miss a turn. The figure is wall time divided by --rounds round trips: two
 * parks, two wakes, two switches. With one worker it is the price of parking; with two it shows whether the runtime keeps a pair
 * together or pays a wake-up of another core each time.
 *
 * Both tasks count their turns. The runtime is started once for all runs. */
#include "bench.h"

static int64_t rounds = 2000000;

struct table {
    filch_event ping, pong;
    int64_t pings, pongs;
};

static int first(void *arg)
{
    struct table *table = arg;
    for (; table->pings < rounds; table->pings++) {
        filch_event_set(&table->ping);
        int r = filch_event_wait(&table->pong);
        if (r < 0)
            return r;
        filch_event_reset(&table->pong);
    }
    return 0;
}

static int second(void *arg)
{
    struct table *table = arg;
    for (; table->pongs < rounds; table->pongs++) {
        int r = filch_event_wait(&table->ping);
        if (r < 0)
            return r;
        filch_event_reset(&table->ping);
        filch_event_set(&table->pong);
    }
    return 0;
}

static int pingpong(struct bench_run *run)
{
    struct table table = {0};
    int64_t start = filch_now();
    FILCH_SCOPE(s);
    int r = filch_spawn(&s, second, &table);
    if (r >= 0)
        r = filch_spawn(&s, first, &table);
    if (r < 0)
        return r;
    r = filch_join(&s);
    bench_result(run, (double)(filch_now() - start) / (double)rounds);
    bench_check(run, "pings", table.pings, rounds);
    bench_check(run, "pongs", table.pongs, rounds);
    return r;
}

const struct bench bench_pingpong = {
    .name = "pingpong",
    .what = "two tasks wake each other in turn over two events",
    .unit = "ns/round",
    .forms = {{"events", pingpong, BENCH_TASK}},
    .params = {BENCH_INT("rounds", rounds, 1, 1e12, "round trips")},
};
