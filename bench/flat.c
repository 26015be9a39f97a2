/* SPDX-License-Identifier: MIT */
/* flat: what does a task cost when one task spawns a million?
 *
 * One task spawns --tasks empty tasks into one scope, then joins. It is the hard case for work stealing: the tree has no depth, so a
 * second worker can only take tasks one by one from the only deque, each worth a few nanoseconds; and a runtime that keeps every
 * pending task needs memory for a million. The figure is wall time, first spawn to the end of the join, divided by the tasks. Peak
 * memory is reported with it: /proc/self/status, VmHWM, from after the warm-up on.
 *
 * "Empty" here is one increment of a byte of its own, which costs next to nothing and proves that each task ran exactly once; the bytes
 * are looked at outside the timed part. They are part of the peak (1 byte a task). The runtime is started once for all runs. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>

static int64_t tasks = 1000000;

static int touch(void *arg)
{
    ++*(uint8_t *)arg;
    return 0;
}

static int flat_on(struct bench_run *run, uint8_t *touched)
{
    int64_t start = filch_now();
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < tasks; i++) {
        int r = filch_spawn(&s, touch, &touched[i]);
        if (r < 0)
            return r;
    }
    int r = filch_join(&s);
    bench_result(run, (double)(filch_now() - start) / (double)tasks);
    return r;
}

static int flat(struct bench_run *run)
{
    uint8_t *touched = calloc((size_t)tasks, 1);
    if (!touched)
        return -ENOMEM;
    int r = flat_on(run, touched);
    int64_t once = 0;
    for (int64_t i = 0; i < tasks; i++)
        once += touched[i] == 1;
    free(touched);
    bench_check(run, "ran", once, tasks);
    return r;
}

const struct bench bench_flat = {
    .name = "flat",
    .what = "one task spawns a million empty ones and joins",
    .unit = "ns/task",
    .forms = {{"scope", flat, BENCH_TASK}},
    .params = {BENCH_INT("tasks", tasks, 1, 1e9, "how many")},
};
