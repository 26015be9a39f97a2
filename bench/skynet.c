/* SPDX-License-Identifier: MIT */
/* skynet: a tree of ten children a node, a million leaves: what do a million tasks with a result cost?
 *
 * A task with a range of numbers spawns ten tasks with a tenth of it each and adds up what they return; a task with one number returns
 * it. With --levels 6 that is 1,000,000 leaves and 1,111,111 tasks, and the sum is 499,999,500,000. Definition:
 * github.com/atemerev/skynet, "The million tasks benchmark", where results go through channels; here they go through the parent's frame
 * and the join. The figure is the wall time of the whole tree.
 *
 * Forms: `scope`; `frame` with ten in-frame forks, met in reverse order; `serial`. The runtime is started once for all runs. */
#include "bench.h"

#define CHILDREN 10

static int64_t levels = 6;

struct range {
    int64_t first, length, sum;
};

/* Field by field: a whole struct would be copied as one 16-byte load of two 8-byte stores, which stalls. */
static inline void set_part(struct range *part, const struct range *range, int64_t length, int i)
{
    part->first = range->first + i * length;
    part->length = length;
}

static void add_up(struct range *range, const struct range *parts)
{
    range->sum = 0;
    for (int i = 0; i < CHILDREN; i++)
        range->sum += parts[i].sum;
}

static int sum_scope(void *arg)
{
    struct range *range = arg, parts[CHILDREN];
    if (range->length == 1) {
        range->sum = range->first;
        return 0;
    }
    int64_t length = range->length / CHILDREN;
    FILCH_SCOPE(s);
    for (int i = 0; i < CHILDREN; i++) {
        set_part(&parts[i], range, length, i);
        int r = filch_spawn(&s, sum_scope, &parts[i]);
        if (r < 0)
            return r;
    }
    int r = filch_join(&s);
    add_up(range, parts);
    return r;
}

static int sum_frame(void *arg)
{
    struct range *range = arg, parts[CHILDREN];
    if (range->length == 1) {
        range->sum = range->first;
        return 0;
    }
    int64_t length = range->length / CHILDREN;
    filch_frame frames[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        set_part(&parts[i], range, length, i);
        filch_fork(&frames[i], sum_frame, &parts[i]);
    }
    for (int i = CHILDREN - 1; i >= 0; i--)
        filch_meet(&frames[i]);
    add_up(range, parts);
    return 0;
}

static int sum_serial(void *arg)
{
    struct range *range = arg;
    range->sum = range->length == 1 ? range->first : 0;
    for (int i = 0; i < CHILDREN && range->length > 1; i++) {
        struct range child;
        set_part(&child, range, range->length / CHILDREN, i);
        sum_serial(&child);
        range->sum += child.sum;
    }
    return 0;
}

static int skynet(struct bench_run *run, filch_fn *sum)
{
    struct range root = {.length = 1};
    for (int64_t i = 0; i < levels; i++)
        root.length *= CHILDREN;
    int64_t start = filch_now();
    int r = sum(&root);
    bench_result(run, (double)(filch_now() - start) / 1e6);
    bench_check(run, "sum", root.sum, root.length * (root.length - 1) / 2);
    return r;
}

static int scope(struct bench_run *run)
{
    return skynet(run, sum_scope);
}

static int frame(struct bench_run *run)
{
    return skynet(run, sum_frame);
}

static int serial(struct bench_run *run)
{
    return skynet(run, sum_serial);
}

const struct bench bench_skynet = {
    .name = "skynet",
    .what = "a tree of ten children a node, sums by join",
    .unit = "ms",
    .forms = {{"scope", scope, BENCH_TASK}, {"frame", frame, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params = {BENCH_INT("levels", levels, 0, 9, "10^levels leaves")},
};
