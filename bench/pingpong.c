/* SPDX-License-Identifier: MIT */
/* pingpong: how fast do two tasks hand something to each other?
 *
 * Form `chan`: two tasks, two rendezvous channels; one sends a number through the first and receives it through the second, the other the other way round. Form
 * `events`: two tasks, two events: one sets `ping` and waits for `pong`, the other waits for `ping` and sets `pong`; each resets the event it
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

struct court {
    filch_chan *there, *back;
    int64_t pings, pongs;
};

static int serve(void *arg)
{
    struct court *court = arg;
    int r = 0;
    for (int64_t ball; r == 0 && court->pings < rounds; court->pings += r == 0 && ball == court->pings) {
        r = filch_chan_send(court->there, &court->pings);
        if (r == 0)
            r = filch_chan_recv(court->back, &ball);
    }
    return r;
}

static int return_(void *arg)
{
    struct court *court = arg;
    int r = 0;
    for (int64_t ball; r == 0 && court->pongs < rounds; court->pongs += r == 0) {
        r = filch_chan_recv(court->there, &ball);
        if (r == 0)
            r = filch_chan_send(court->back, &ball);
    }
    return r;
}

static int rally(struct court *court)
{
    FILCH_SCOPE(s);
    int r = filch_spawn(&s, return_, court);
    if (r >= 0)
        r = filch_spawn(&s, serve, court);
    return r < 0 ? r : filch_join(&s);
}

static int over_channels(struct bench_run *run)
{
    struct court court = {0};
    int r = filch_chan_new(sizeof(int64_t), 0, &court.there);
    if (r == 0)
        r = filch_chan_new(sizeof(int64_t), 0, &court.back);
    int64_t start = filch_now();
    if (r == 0)
        r = rally(&court);
    bench_result(run, (double)(filch_now() - start) / (double)rounds);
    bench_check(run, "pings", court.pings, rounds);
    bench_check(run, "pongs", court.pongs, rounds);
    filch_chan_free(court.there);
    filch_chan_free(court.back);
    return r;
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
    .what = "two tasks wake each other in turn",
    .unit = "ns/round",
    .forms = {{"chan", over_channels, BENCH_TASK}, {"events", pingpong, BENCH_TASK}},
    .params = {BENCH_INT("rounds", rounds, 1, 1e12, "round trips")},
};
