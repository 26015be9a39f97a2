/* SPDX-License-Identifier: MIT */
/* timers: what do sleepers cost, and how late do they wake?
 *
 * --tasks tasks sleep once each, for a random time below --longest ms (the same times in every run). The figure is CPU time, of the
 * whole process, user and system, from the first spawn to the end of the join, in ms. Lateness is what the clock said after filch_sleep
 * had returned, less what it said before the call, less the time asked for: it includes the wait for a worker that is busy with others
 * that are due. None may be early.
 *
 * Form `floor` is what the kernel takes for waking up so often, with no runtime and nothing to do: one thread sleeps --nap us at a time
 * until --longest ms are over. With naps of twice the p50 lateness it is what no runtime on this machine gets below.
 *
 * The runtime is started once for all runs. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "util.h"

static int64_t tasks = 100000, longest = 1000, seed = 1, nap_us = 160;

struct nap {
    int64_t ns, late;
};

static int sleeper(void *arg)
{
    struct nap *nap = arg;
    int64_t start = filch_now();
    int r = filch_sleep(nap->ns);
    nap->late = filch_now() - start - nap->ns;
    return r;
}

static int nap_all(struct nap *naps)
{
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < tasks; i++) {
        int r = filch_spawn(&s, sleeper, &naps[i]);
        if (r < 0)
            return r;
    }
    return filch_join(&s);
}

static int timers(struct bench_run *run)
{
    uint64_t state = (uint64_t)seed;
    struct nap *naps = calloc((size_t)tasks, sizeof *naps);
    double *late = calloc((size_t)tasks, sizeof *late);
    int r = naps && late ? 0 : -ENOMEM;
    for (int64_t i = 0; r == 0 && i < tasks; i++)
        naps[i].ns = (int64_t)(bench_random(&state) % (uint64_t)FILCH_MSEC(longest));
    if (r == 0) {
        int64_t cpu = bench_cpu_time(), start = filch_now(), early = 0;
        r = nap_all(naps);
        bench_result(run, (double)(bench_cpu_time() - cpu) / 1e6);
        bench_more(run, "wall", "ms", (double)(filch_now() - start) / 1e6);
        for (int64_t i = 0; i < tasks; i++) {
            early += naps[i].late < 0;
            late[i] = (double)naps[i].late / 1e3;
        }
        bench_spread(run, "lateness_us", late, (size_t)tasks);
        bench_check(run, "slept", tasks, tasks);
        bench_check(run, "early", early, 0);
    }
    free(naps);
    free(late);
    return r;
}

static int floor_(struct bench_run *run)
{
    int64_t cpu = bench_cpu_time(), end = filch_after(FILCH_MSEC(longest)), naps = 0;
    prctl(PR_SET_TIMERSLACK, 1ul); /* ns: else the kernel adds 50 us to each */
    for (; filch_now() < end; naps++)
        clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = nap_us * 1000}, NULL);
    prctl(PR_SET_TIMERSLACK, 0ul);
    bench_result(run, (double)(bench_cpu_time() - cpu) / 1e6);
    bench_more(run, "wake-ups", "", (double)naps);
    return 0;
}

const struct bench bench_timers = {
    .name = "timers",
    .what = "100,000 tasks sleep a random time: CPU, and how late they are",
    .unit = "ms CPU",
    .forms = {{"sleep", timers, BENCH_TASK}, {"floor", floor_, BENCH_ALONE}},
    .params =
        {
            BENCH_INT("tasks", tasks, 1, 1e8, "how many"),
            BENCH_INT("longest", longest, 1, 1e6, "ms"),
            BENCH_INT("seed", seed, 0, INT32_MAX, "of the random times"),
            BENCH_INT("nap", nap_us, 1, 999999, "us; for the floor"),
        },
};
