/* SPDX-License-Identifier: MIT */
/* park: what does a task cost that waits, and a million of them?
 *
 * --tasks tasks wait for one event. Four figures:
 *
 *     create   from the first spawn until all have arrived at the event, in ms (the workload's own figure)
 *     wake     from setting the event until the join has returned: all have run again and ended, in ms
 *     memory   resident bytes a task, while all are parked: VmRSS of /proc/self/status then, less VmRSS before the first spawn, divided by
 *              the tasks. Kernel memory (page tables, VMAs) is not in it.
 *     maps     lines of /proc/self/maps while all are parked. vm.max_map_count is 65,530 by default: with a VMA or two for each guarded
 *              stack there is no million of them.
 *
 * Each run has a fresh runtime, because one that has run before keeps stacks at hand; starting and stopping it are not timed. A counter
 * says when all have arrived: the parent looks at it between yields, and sleeps 100 us when they did not help. */
#include "bench.h"

#include <stdatomic.h>

#include "util.h"

static int64_t tasks = 1000000;

struct hall {
    filch_event go;
    atomic_int_fast64_t arrived, left;
};

static int guest(void *arg)
{
    struct hall *hall = arg;
    atomic_fetch_add(&hall->arrived, 1);
    int r = filch_event_wait(&hall->go);
    atomic_fetch_add(&hall->left, 1);
    return r;
}

static int park(struct bench_run *run)
{
    struct hall hall = {0};
    int64_t before = (int64_t)bench_memory("VmRSS:");
    int64_t start = filch_now();
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < tasks; i++) {
        int r = filch_spawn(&s, guest, &hall);
        if (r < 0)
            return r;
    }
    for (unsigned turn = 0; atomic_load(&hall.arrived) < tasks; turn++)
        if (turn % 16 < 15)
            filch_yield();
        else
            filch_sleep(FILCH_USEC(100));
    bench_result(run, (double)(filch_now() - start) / 1e6);
    bench_more(run, "memory", "bytes/task", (double)((int64_t)bench_memory("VmRSS:") - before) / (double)tasks);
    bench_more(run, "maps", "lines", (double)bench_maps());

    start = filch_now();
    filch_event_set(&hall.go);
    int r = filch_join(&s);
    bench_more(run, "wake", "ms", (double)(filch_now() - start) / 1e6);
    bench_check(run, "woken", atomic_load(&hall.left), tasks);
    return r;
}

const struct bench bench_park = {
    .name = "park",
    .what = "a million tasks parked on one event: create, memory, maps, wake",
    .unit = "ms",
    .fresh = true,
    .forms = {{"event", park, BENCH_TASK}},
    .params = {BENCH_INT("tasks", tasks, 1, 1e8, "how many")},
};
