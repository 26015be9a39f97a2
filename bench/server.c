/* SPDX-License-Identifier: MIT */
/* server: what does a child cost a scope that is never joined, and does it leave anything behind?
 *
 * One scope spawns --children children in a loop and is joined at the very end, as a server's scope of connections is. A child only counts
 * itself. The figure is wall time, first spawn to the end of the join, divided by the children. Resident memory is read after the first
 * hundredth of the spawns and after the last: `growth` is the difference, and `bounded` proves that it stayed below --bound MiB, whatever the
 * number of children.
 *
 * Children count without an atomic addition, each in a counter of the thread it runs on; where threads are many (a thread a task), the
 * later ones share one. The runtime is started once for all runs. */
#include "bench.h"

#include <stdatomic.h>

#include "util.h"

#define MOST_THREADS 4096

static int64_t children = 100000000, bound = 8;

static struct counter {
    _Alignas(64) atomic_int_fast64_t ended; /* only its thread writes it, but for `others` */
} counters[MOST_THREADS], others;

static atomic_uint threads;
static _Thread_local struct counter *mine;

static __attribute__((noinline)) struct counter *new_counter(void)
{
    unsigned number = atomic_fetch_add(&threads, 1);
    return number < MOST_THREADS ? &counters[number] : &others;
}

static int child(void *arg)
{
    (void)arg;
    if (!mine)
        mine = new_counter();
    if (mine == &others)
        atomic_fetch_add(&others.ended, 1);
    else
        atomic_store_explicit(&mine->ended, atomic_load_explicit(&mine->ended, memory_order_relaxed) + 1, memory_order_relaxed);
    return 0;
}

static int64_t ended(void)
{
    int64_t sum = atomic_load(&others.ended);
    for (unsigned i = 0; i < MOST_THREADS; i++)
        sum += atomic_load(&counters[i].ended);
    return sum;
}

static int serve(struct bench_run *run)
{
    int64_t before = ended(), begun = 0;
    int64_t start = filch_now();
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < children; i++) {
        if (i == children / 100)
            begun = (int64_t)bench_memory("VmRSS:");
        int r = filch_spawn(&s, child, NULL);
        if (r < 0)
            return r;
    }
    int64_t growth = (int64_t)bench_memory("VmRSS:") - begun;
    int r = filch_join(&s);
    bench_result(run, (double)(filch_now() - start) / (double)children);
    bench_more(run, "growth", "KiB", (double)growth / 1024);
    bench_check(run, "bounded", growth < bound << 20, true);
    bench_check(run, "ended", ended() - before, children);
    return r;
}

const struct bench bench_server = {
    .name = "server",
    .what = "a scope with 100 million children over its life: each, and memory",
    .unit = "ns/child",
    .forms = {{"scope", serve, BENCH_TASK}},
    .params =
        {
            BENCH_INT("children", children, 1, 1e12, "how many"),
            BENCH_INT("bound", bound, 1, 1e6, "MiB of growth that are allowed"),
        },
};
