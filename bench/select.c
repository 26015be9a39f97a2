/* SPDX-License-Identifier: MIT */
/* select: what does an item cost that one of several senders sends, to a receiver that selects among their channels?
 *
 * --channels channels of --capacity, a task that sends to each, one that receives from all by filch_select until all are closed. The figure is wall time divided
 * by the items. The count and the sum of what was received are checked. The runtime is started once for all runs. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>

static int64_t channels = 8, capacity = 256, items = 2000000;

struct source {
    filch_chan *chan;
    int64_t each;
};

static int sender(void *arg)
{
    struct source *source = arg;
    int r = 0;
    for (int64_t i = 1; r == 0 && i <= source->each; i++)
        r = filch_chan_send(source->chan, &i);
    filch_chan_close(source->chan);
    return r;
}

struct sums {
    int64_t count, sum;
};

/* Receives until every channel is closed; a closed one is switched off. */
static int receive_all(const struct source *sources, filch_case *cases, struct sums *sums)
{
    int64_t value = 0, left = channels;
    for (int64_t i = 0; i < channels; i++)
        cases[i] = filch_case_recv(sources[i].chan, &value);
    while (left > 0) {
        int i = filch_select(cases, (size_t)channels);
        if (i < 0)
            return i;
        if (cases[i].result == 0) {
            sums->count++;
            sums->sum += value;
        } else {
            cases[i] = (filch_case){0};
            left--;
        }
    }
    return 0;
}

static int transfer(struct source *sources, filch_case *cases, struct sums *sums)
{
    FILCH_SCOPE(s);
    int r = 0;
    for (int64_t i = 0; r == 0 && i < channels; i++)
        r = filch_spawn(&s, sender, &sources[i]);
    if (r == 0)
        r = receive_all(sources, cases, sums);
    return r < 0 ? r : filch_join(&s);
}

static int run_select(struct bench_run *run)
{
    int64_t each = items / channels ? items / channels : 1, made = 0;
    struct source *sources = calloc((size_t)channels, sizeof *sources);
    filch_case *cases = calloc((size_t)channels, sizeof *cases);
    struct sums sums = {0};
    int r = sources && cases ? 0 : -ENOMEM;
    while (r == 0 && made < channels) {
        sources[made].each = each;
        r = filch_chan_new(sizeof(int64_t), (size_t)capacity, &sources[made].chan);
        made += r == 0;
    }
    int64_t start = filch_now();
    if (r == 0)
        r = transfer(sources, cases, &sums);
    bench_result(run, (double)(filch_now() - start) / (double)(each * channels));
    bench_check(run, "items", sums.count, each * channels);
    bench_check(run, "sum", sums.sum, channels * (each * (each + 1) / 2));
    for (int64_t i = 0; i < made; i++)
        filch_chan_free(sources[i].chan);
    free(sources);
    free(cases);
    return r;
}

const struct bench bench_select = {
    .name = "select",
    .what = "items from several channels by select",
    .unit = "ns/item",
    .forms = {{"select", run_select, BENCH_TASK}},
    .params =
        {
            BENCH_INT("channels", channels, 1, 1000, "with a sender each"),
            BENCH_INT("capacity", capacity, 0, 1e9, "items; 0: a rendezvous"),
            BENCH_INT("items", items, 1, 1e12, "in all"),
        },
};
