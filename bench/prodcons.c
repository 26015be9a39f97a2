/* SPDX-License-Identifier: MIT */
/* prodcons: what does an item cost that goes through many hands?
 *
 * A tree of producers and consumers. The root makes --items numbers, 1, 2, 3 and so on, and deals them out in turn to --fan tasks that
 * it has spawned, each through a bounded channel of --capacity; each of these does the same with what it receives, down to level
 * --levels, where tasks add up what comes. A channel is full as long as what is below it is slower than what is above, so producers
 * and consumers stop each other all the time, and 341 tasks (with fan 4 and 4 levels) are at it at once. The figure is wall time
 * divided by the channels that the items went through, items times levels.
 *
 * `serial` is the same tree with calls in place of channels: what dealing out and adding up cost by themselves. Count and sum of what
 * has arrived are checked, and that no leaf has got more than another by more than one item. The runtime is started once for all runs. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>

#include "kernels/prodcons.h"

static int64_t items = 500000, fan = 4, levels = 4, bound = 64;

FILCH_CHAN_OF(numbers, int64_t);

/* ---- with channels ---- */

struct node {
    numbers *in; /* NULL: the root, which makes them */
    int64_t level;
    struct prodcons_sums sums;
};

static int next_number(const struct node *node, int64_t *number)
{
    if (node->in)
        return numbers_recv(node->in, number);
    return ++*number > items ? -EPIPE : 0;
}

static int consume(struct node *node)
{
    int64_t number = 0, count = 0, sum = 0;
    int r;
    while ((r = next_number(node, &number)) == 0) {
        count++;
        sum += number;
    }
    node->sums = prodcons_leaf(count, sum);
    return r == -EPIPE ? 0 : r;
}

static int produce(void *arg);

/* Deals out what comes to tasks of its own. */
static int deal_out(const struct node *node, struct node *child)
{
    int64_t number = 0;
    int r = 0;
    FILCH_SCOPE(s);
    for (int64_t i = 0; r == 0 && i < fan; i++)
        r = filch_spawn(&s, produce, &child[i]);
    for (int64_t turn = 0; r == 0 && (r = next_number(node, &number)) == 0; turn = turn + 1 == fan ? 0 : turn + 1)
        r = numbers_send(child[turn].in, number);
    if (r != -EPIPE)
        return r;
    for (int64_t i = 0; i < fan; i++)
        numbers_close(child[i].in);
    return filch_join(&s);
}

static int produce(void *arg)
{
    struct node *node = arg, child[PRODCONS_MOST_FAN] = {{0}};
    int r = 0;
    if (node->level == levels)
        return consume(node);
    for (int64_t i = 0; r == 0 && i < fan; i++) {
        child[i].level = node->level + 1;
        r = numbers_new((size_t)bound, &child[i].in);
    }
    if (r == 0)
        r = deal_out(node, child);
    node->sums = child[0].sums;
    for (int64_t i = 1; i < fan; i++)
        prodcons_add(&node->sums, &child[i].sums);
    for (int64_t i = 0; i < fan; i++)
        numbers_free(child[i].in);
    return r;
}

/* ---- with calls ---- */

struct plain {
    struct plain *child;
    int64_t turn, count, sum;
};

static void deal(struct plain *node, int64_t number)
{
    while (node->child) {
        struct plain *next = &node->child[node->turn];
        node->turn = node->turn + 1 == fan ? 0 : node->turn + 1;
        node = next;
    }
    node->count++;
    node->sum += number;
}

/* The tree level by level in one array, the root first. */
static struct plain *grow(int64_t *ret_inner, int64_t *ret_nodes)
{
    int64_t inner = 0, width = 1;
    for (int64_t level = 0; level < levels; level++, width *= fan)
        inner += width;
    struct plain *nodes = calloc((size_t)(inner + width), sizeof *nodes);
    for (int64_t i = 0; nodes && i < inner; i++)
        nodes[i].child = &nodes[i * fan + 1];
    *ret_inner = inner;
    *ret_nodes = inner + width;
    return nodes;
}

/* ---- one run ---- */

static void report(struct bench_run *run, int64_t start, const struct prodcons_sums *sums)
{
    bench_result(run, (double)(filch_now() - start) / (double)(items * levels));
    bench_check(run, "items", sums->count, items);
    bench_check(run, "sum", sums->sum, items * (items + 1) / 2);
    bench_check(run, "dealt_fairly", prodcons_fair(sums), 1);
}

static int chan(struct bench_run *run)
{
    struct node root = {0};
    int64_t start = filch_now();
    int r = produce(&root);
    report(run, start, &root.sums);
    return r;
}

static int serial(struct bench_run *run)
{
    int64_t inner, count;
    struct plain *nodes = grow(&inner, &count);
    struct prodcons_sums sums, leaf;
    if (!nodes)
        return -ENOMEM;
    int64_t start = filch_now();
    for (int64_t number = 1; number <= items; number++)
        deal(nodes, number);
    sums = prodcons_leaf(nodes[inner].count, nodes[inner].sum);
    for (int64_t i = inner + 1; i < count; i++) {
        leaf = prodcons_leaf(nodes[i].count, nodes[i].sum);
        prodcons_add(&sums, &leaf);
    }
    report(run, start, &sums);
    free(nodes);
    return 0;
}

static int prepare(void)
{
    double leaves = 1;
    for (int64_t level = 0; level < levels; level++)
        leaves *= (double)fan;
    if (leaves <= 1 << 20)
        return 0;
    bench_say("prodcons: --fan %lld and --levels %lld make more than %d leaves", (long long)fan, (long long)levels, 1 << 20);
    return -EINVAL;
}

const struct bench bench_prodcons = {
    .name = "prodcons",
    .what = "a tree of producers and consumers with bounded channels between",
    .unit = "ns/hop",
    .prepare = prepare,
    .forms = {{"chan", chan, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params =
        {
            BENCH_INT("items", items, 1, 1e9, "that the root makes"),
            BENCH_INT("fan", fan, 1, PRODCONS_MOST_FAN, "consumers of each producer"),
            BENCH_INT("levels", levels, 1, 20, "of channels"),
            BENCH_INT("capacity", bound, 0, 1e6, "of each channel; 0: a rendezvous"),
        },
};
