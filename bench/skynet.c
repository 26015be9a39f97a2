/* SPDX-License-Identifier: MIT */
/* skynet: a tree of ten children a node, a million leaves: what do a million tasks with a result cost?
 *
 * A task with a range of numbers spawns ten tasks with a tenth of it each and adds up what they return; a task with one number returns
 * it. With --levels 6 that is 1,000,000 leaves and 1,111,111 tasks, and the sum is 499,999,500,000. Definition:
 * github.com/atemerev/skynet, "The million tasks benchmark", where results go through channels; here they go through the parent's frame
 * and the join, unless the form is `chan`. The figure is the wall time of the whole tree.
 *
 * Forms: `scope`; `frame` with ten in-frame forks, met in reverse order; `chan` as defined: every inner node has a rendezvous channel, through which
 * its children send what they came to, and nothing comes back through the frame; `serial`. The runtime is started once for all runs. */
#include "bench.h"

#define CHILDREN 10

static int64_t levels = 6;

FILCH_CHAN_OF(numbers, int64_t);

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

struct node {
    struct range range;
    numbers *up;
};

static int sum_chan(void *arg);

/* Spawns `count` nodes, receives what each has to say, and sees them end: then nobody uses the channel any more. */
static int receive_all(struct node *nodes, numbers *down, int count, int64_t *ret_sum)
{
    int64_t sum = 0, number = 0;
    int r = 0;
    FILCH_SCOPE(s);
    for (int i = 0; i < count; i++) {
        nodes[i].up = down;
        r = filch_spawn(&s, sum_chan, &nodes[i]);
        if (r < 0)
            return r;
    }
    for (int i = 0; i < count; i++) {
        r = numbers_recv(down, &number);
        if (r < 0)
            return r;
        sum += number;
    }
    *ret_sum = sum;
    return filch_join(&s);
}

static int sum_nodes(struct node *nodes, int count, int64_t *ret_sum)
{
    numbers *down;
    int r = numbers_new(0, &down);
    if (r < 0)
        return r;
    r = receive_all(nodes, down, count, ret_sum);
    numbers_free(down);
    return r;
}

static int sum_chan(void *arg)
{
    struct node *node = arg, nodes[CHILDREN];
    int64_t sum = node->range.first;
    int r = 0;
    if (node->range.length > 1) {
        for (int i = 0; i < CHILDREN; i++)
            set_part(&nodes[i].range, &node->range, node->range.length / CHILDREN, i);
        r = sum_nodes(nodes, CHILDREN, &sum);
    }
    return r < 0 ? r : numbers_send(node->up, sum);
}

static int sum_chan_root(void *arg)
{
    struct range *range = arg;
    struct node root = {.range = *range};
    return sum_nodes(&root, 1, &range->sum);
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

static int chan(struct bench_run *run)
{
    return skynet(run, sum_chan_root);
}

static int serial(struct bench_run *run)
{
    return skynet(run, sum_serial);
}

const struct bench bench_skynet = {
    .name = "skynet",
    .what = "a tree of ten children a node, sums by join or by channel",
    .unit = "ms",
    .forms = {{"scope", scope, BENCH_TASK}, {"frame", frame, BENCH_TASK}, {"chan", chan, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params = {BENCH_INT("levels", levels, 0, 9, "10^levels leaves")},
};
