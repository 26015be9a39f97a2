/* SPDX-License-Identifier: MIT */
/* yield: what does a switch cost, and how does that grow with the number of stacks?
 *
 * --tasks tasks call filch_yield in turn until there have been --switches in all, and the figure is wall time divided by them. With two
 * tasks everything is in the nearest cache and the switch itself is seen; with 100,000 each visit finds a stack, a descriptor and a
 * queue entry that have left the caches long ago. One worker by default: with more, each goes round its own share.
 *
 * All tasks take part: before the clock starts, every one of them has begun and waits for an event; the parent, which sets it, then
 * waits in the join. The one visit that begins on the event, and the one that ends each task, are in the figure. Each task counts its
 * own yields, and their sum is checked. The runtime is started once for all runs. */
#include "bench.h"

#include <stdatomic.h>

static int64_t tasks = 1000, switches = 20000000;

struct circle {
    filch_event go;
    int64_t rounds;
    atomic_int_fast64_t waiting, yields;
};

static int member(void *arg)
{
    struct circle *circle = arg;
    atomic_fetch_add(&circle->waiting, 1);
    int r = filch_event_wait(&circle->go);
    int64_t done = 0;
    while (r == 0 && done < circle->rounds) {
        filch_yield();
        done++;
    }
    atomic_fetch_add(&circle->yields, done);
    return r;
}

static int yield(struct bench_run *run)
{
    struct circle circle = {.rounds = switches / tasks ? switches / tasks : 1};
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < tasks; i++) {
        int r = filch_spawn(&s, member, &circle);
        if (r < 0)
            return r;
    }
    while (atomic_load(&circle.waiting) < tasks)
        filch_yield();
    int64_t start = filch_now();
    filch_event_set(&circle.go);
    int r = filch_join(&s);
    bench_result(run, (double)(filch_now() - start) / (double)(circle.rounds * tasks));
    bench_check(run, "yields", atomic_load(&circle.yields), circle.rounds * tasks);
    return r;
}

const struct bench bench_yield = {
    .name = "yield",
    .what = "tasks that yield in turn: a switch",
    .unit = "ns/switch",
    .workers = 1,
    .forms = {{"tasks", yield, BENCH_TASK}},
    .params = {BENCH_INT("tasks", tasks, 1, 1e7, "how many take part"), BENCH_INT("switches", switches, 1, 1e12, "in all")},
};
