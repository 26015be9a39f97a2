/* SPDX-License-Identifier: MIT */
/* chan: what does an item cost that goes through a channel?
 *
 * --senders tasks send --items numbers in all through one channel of --capacity, --receivers tasks receive them until it is closed. The figure is wall time
 * divided by the items. The sum of what was received is checked. The runtime is started once for all runs. */
#include "bench.h"

#include <errno.h>
#include <stdatomic.h>

static int64_t senders = 1, receivers = 1, capacity = 256, items = 4000000;

struct pipe {
    filch_chan *chan;
    int64_t each;
    atomic_int_fast64_t left, sum, count;
};

static int sender(void *arg)
{
    struct pipe *pipe = arg;
    int r = 0;
    for (int64_t i = 1; r == 0 && i <= pipe->each; i++)
        r = filch_chan_send(pipe->chan, &i);
    if (atomic_fetch_sub(&pipe->left, 1) == 1)
        filch_chan_close(pipe->chan);
    return r;
}

static int receiver(void *arg)
{
    struct pipe *pipe = arg;
    int64_t value, sum = 0, count = 0;
    int r;
    while ((r = filch_chan_recv(pipe->chan, &value)) == 0) {
        sum += value;
        count++;
    }
    atomic_fetch_add(&pipe->sum, sum);
    atomic_fetch_add(&pipe->count, count);
    return r == -EPIPE ? 0 : r;
}

static int transfer(struct pipe *pipe)
{
    FILCH_SCOPE(s);
    int r = 0;
    for (int64_t i = 0; r == 0 && i < receivers; i++)
        r = filch_spawn(&s, receiver, pipe);
    for (int64_t i = 0; r == 0 && i < senders; i++)
        r = filch_spawn(&s, sender, pipe);
    return r < 0 ? r : filch_join(&s);
}

static int chan(struct bench_run *run)
{
    struct pipe pipe = {.each = items / senders ? items / senders : 1, .left = senders};
    int r = filch_chan_new(sizeof(int64_t), (size_t)capacity, &pipe.chan);
    if (r < 0)
        return r;
    int64_t start = filch_now();
    r = transfer(&pipe);
    bench_result(run, (double)(filch_now() - start) / (double)(pipe.each * senders));
    bench_check(run, "items", atomic_load(&pipe.count), pipe.each * senders);
    bench_check(run, "sum", atomic_load(&pipe.sum), senders * (pipe.each * (pipe.each + 1) / 2));
    filch_chan_free(pipe.chan);
    return r;
}

const struct bench bench_chan = {
    .name = "chan",
    .what = "items through a channel: a send and a receive",
    .unit = "ns/item",
    .forms = {{"chan", chan, BENCH_TASK}},
    .params =
        {
            BENCH_INT("senders", senders, 1, 1000, "tasks that send"),
            BENCH_INT("receivers", receivers, 1, 1000, "tasks that receive"),
            BENCH_INT("capacity", capacity, 0, 1e9, "items; 0: a rendezvous"),
            BENCH_INT("items", items, 1, 1e12, "in all"),
        },
};
