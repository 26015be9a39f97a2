/* SPDX-License-Identifier: MIT */
/* batch: what does a task cost when tasks come and go in batches?
 *
 * --batches times over, one task spawns --tasks empty tasks and joins them. Against `flat` everything fits into the caches and no more
 * than a batch is ever pending; with more workers it shows whether thieves and wake-ups cost more than the work they take. Wall time
 * divided by all tasks.
 *
 * Each task increments a counter of its own place in the batch; every counter must end at the number of batches. The runtime is started
 * once for all runs. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>

static int64_t batches = 1000, tasks = 1000;

static int count(void *arg)
{
    ++*(uint32_t *)arg;
    return 0;
}

static int one_batch(uint32_t *counts)
{
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < tasks; i++) {
        int r = filch_spawn(&s, count, &counts[i]);
        if (r < 0)
            return r;
    }
    return filch_join(&s);
}

static int batch(struct bench_run *run)
{
    uint32_t *counts = calloc((size_t)tasks, sizeof *counts);
    if (!counts)
        return -ENOMEM;
    int r = 0;
    int64_t start = filch_now(), sum = 0;
    for (int64_t i = 0; r >= 0 && i < batches; i++)
        r = one_batch(counts);
    bench_result(run, (double)(filch_now() - start) / (double)(batches * tasks));
    for (int64_t i = 0; i < tasks; i++)
        sum += counts[i] == batches ? batches : 0;
    free(counts);
    bench_check(run, "ran", sum, batches * tasks);
    return r;
}

const struct bench bench_batch = {
    .name = "batch",
    .what = "1000 times spawn 1000 empty tasks and join",
    .unit = "ns/task",
    .forms = {{"scope", batch, BENCH_TASK}},
    .params = {BENCH_INT("batches", batches, 1, 1e6, "how many batches"), BENCH_INT("tasks", tasks, 1, 1e6, "tasks in each")},
};
