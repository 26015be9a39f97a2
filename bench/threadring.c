/* SPDX-License-Identifier: MIT */
/* threadring: what does a wake-up cost among hundreds of tasks of which one at a time can run?
 *
 * The thread-ring of the Computer Language Benchmarks Game: 503 tasks, named 1 to 503, stand in a ring and pass a token from each to
 * the next --passes times; who has it then says its name. A park, a wake and a switch a pass, and the figure is wall time divided by
 * them, the 503 spawns and ends included. The game took 50,000,000 passes, and 1,000 to show what must come out; here it is 5,000,000.
 * More workers cannot help: what is seen is whether they hurt.
 *
 * Forms: `chan`, a channel of --capacity (0: a rendezvous) before each task; `events`, an event that resets itself before each, the
 * token in common memory; `serial`, a token carried along a linked list. The token counts down; the task that gets 0 ends the ring by
 * letting the next one know, and so on round.
 *
 * The name is checked: passes mod 503 + 1, which is 498 for 1,000 and 292 for 50,000,000, as published. So is that every task has
 * ended and how often the token was passed. The runtime is started once for all runs. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>

static int64_t passes = 5000000, tasks = 503, capacity;

struct ring;

/* The place before a task; it has the token while it counts. */
struct station {
    struct ring *ring;
    struct station *next;
    filch_chan *chan;
    filch_event event;
    int64_t name, passed;
    bool ended;
};

struct ring {
    struct station *stations;
    int64_t token, name; /* written by who has the token; name 0: it goes round */
};

/* ---- channels ---- */

static int pass_chan(void *arg)
{
    struct station *station = arg;
    int64_t token;
    int r;
    while ((r = filch_chan_recv(station->chan, &token)) == 0 && token > 0) {
        token--;
        station->passed++;
        r = filch_chan_send(station->next->chan, &token);
        if (r < 0)
            return r;
    }
    if (r == 0)
        station->ring->name = station->name;
    filch_chan_close(station->next->chan);
    station->ended = true;
    return r == -EPIPE ? 0 : r;
}

static int start_chan(struct ring *ring)
{
    return filch_chan_send(ring->stations[0].chan, &passes);
}

/* ---- events ---- */

static int pass_event(void *arg)
{
    struct station *station = arg;
    struct ring *ring = station->ring;
    int r;
    while ((r = filch_event_wait(&station->event)) == 0 && ring->name == 0 && ring->token > 0) {
        ring->token--;
        station->passed++;
        filch_event_set(&station->next->event);
    }
    if (r == 0 && ring->name == 0)
        ring->name = station->name;
    station->ended = true;
    if (r == 0)
        filch_event_set(&station->next->event);
    return r;
}

static int start_event(struct ring *ring)
{
    ring->token = passes;
    filch_event_set(&ring->stations[0].event);
    return 0;
}

/* ---- the ring ---- */

static void ring_free(struct ring *ring)
{
    for (int64_t i = 0; ring->stations && i < tasks; i++)
        filch_chan_free(ring->stations[i].chan);
    free(ring->stations);
}

static int ring_make(struct ring *ring)
{
    *ring = (struct ring){.stations = calloc((size_t)tasks, sizeof *ring->stations)};
    int r = ring->stations ? 0 : -ENOMEM;
    for (int64_t i = 0; r == 0 && i < tasks; i++) {
        ring->stations[i] =
            (struct station){.ring = ring, .next = &ring->stations[(i + 1) % tasks], .event = FILCH_EVENT_AUTO, .name = i + 1};
        r = filch_chan_new(sizeof(int64_t), (size_t)capacity, &ring->stations[i].chan);
    }
    if (r < 0)
        ring_free(ring);
    return r;
}

static int go_round(struct ring *ring, filch_fn *fn, int (*start)(struct ring *ring))
{
    int r = 0;
    FILCH_SCOPE(s);
    for (int64_t i = 0; r == 0 && i < tasks; i++)
        r = filch_spawn(&s, fn, &ring->stations[i]);
    if (r == 0)
        r = start(ring);
    return r < 0 ? r : filch_join(&s);
}

static int go_round_serially(struct ring *ring)
{
    struct station *station = ring->stations;
    for (ring->token = passes; ring->token > 0; ring->token--) {
        station->passed++;
        station = station->next;
    }
    ring->name = station->name;
    for (int64_t i = 0; i < tasks; i++)
        ring->stations[i].ended = true;
    return 0;
}

static void report(struct bench_run *run, int64_t start, const struct ring *ring)
{
    int64_t passed = 0, ended = 0;
    bench_result(run, (double)(filch_now() - start) / (double)passes);
    for (int64_t i = 0; i < tasks; i++) {
        passed += ring->stations[i].passed;
        ended += ring->stations[i].ended;
    }
    bench_check(run, "name", ring->name, passes % tasks + 1);
    bench_check(run, "passes", passed, passes);
    bench_check(run, "ended", ended, tasks);
}

static int in_tasks(struct bench_run *run, filch_fn *fn, int (*start)(struct ring *ring))
{
    struct ring ring;
    int r = ring_make(&ring);
    if (r < 0)
        return r;
    int64_t begin = filch_now();
    r = go_round(&ring, fn, start);
    report(run, begin, &ring);
    ring_free(&ring);
    return r;
}

static int chan(struct bench_run *run)
{
    return in_tasks(run, pass_chan, start_chan);
}

static int events(struct bench_run *run)
{
    return in_tasks(run, pass_event, start_event);
}

static int serial(struct bench_run *run)
{
    struct ring ring;
    int r = ring_make(&ring);
    if (r < 0)
        return r;
    int64_t begin = filch_now();
    r = go_round_serially(&ring);
    report(run, begin, &ring);
    ring_free(&ring);
    return r;
}

const struct bench bench_threadring = {
    .name = "threadring",
    .what = "503 tasks in a ring pass a token (the Benchmarks Game's)",
    .unit = "ns/pass",
    .forms = {{"chan", chan, BENCH_TASK}, {"events", events, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params =
        {
            BENCH_INT("passes", passes, 1, 1e12, "of the token"),
            BENCH_INT("tasks", tasks, 2, 1e6, "in the ring"),
            BENCH_INT("capacity", capacity, 0, 1e6, "of the channels; 0: a rendezvous"),
        },
};
