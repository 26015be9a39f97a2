/* SPDX-License-Identifier: MIT */
/* stranded: a worker is stalled while an operation of another task is on its ring. How long until that task runs?
 *
 * A task reads from an empty pipe and parks, so its operation is on this worker's ring; the worker goes on with a task that keeps its carrier until
 * the first one has run:
 *
 *     spin   in a loop in user code
 *     read   in a read(2) of a pipe
 *
 * A plain thread waits for a moment and writes into the first pipe. From there to the reader's next instruction, --rounds times: "delay_us", of which the 99th percentile is the figure. Another worker is free; a
 * round in which that one took the task that stalls, so that nothing was stranded, does not count. */
#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

static int64_t rounds = 200, pause_us = 2000;

struct round {
    int data[2], keep[2]; /* pipes: what the reader waits for, what keeps the carrier */
    atomic_bool stalled, over, end;
    atomic_int_fast64_t written; /* when; 0: not yet */
    bool spins;
    pid_t reader, staller; /* the carriers they were on */
    double *us;
};

static int stall(void *arg)
{
    struct round *round = arg;
    char byte;
    round->staller = gettid();
    atomic_store(&round->stalled, true);
    if (!round->spins)
        return read(round->keep[0], &byte, 1) == 1 ? 0 : -EIO;
    while (!atomic_load_explicit(&round->over, memory_order_acquire))
        ;
    return 0;
}

/* @return whether something was stranded; -errno */
static int one_round(struct round *round, double *ret_us)
{
    char byte;
    FILCH_SCOPE(s);
    atomic_store(&round->over, false);
    round->reader = gettid();
    int r = filch_spawn(&s, stall, round);
    if (r < 0)
        return r;
    ssize_t n = filch_read(round->data[0], &byte, 1);
    *ret_us = (double)(filch_now() - atomic_load(&round->written)) / 1e3;
    atomic_store_explicit(&round->over, true, memory_order_release);
    if (n == 1 && !round->spins && write(round->keep[1], "", 1) != 1)
        return -EIO;
    r = filch_join(&s);
    return n != 1 ? (n < 0 ? (int)n : -EIO) : r < 0 ? r : round->reader == round->staller;
}

static int all_rounds(void *arg)
{
    struct round *round = arg;
    for (int64_t done = 0; done < rounds;) {
        int r = one_round(round, &round->us[done]);
        if (r < 0)
            return r;
        done += r;
    }
    return 0;
}

/* Writes into the pipe a moment after each stall has begun. */
static void *writer(void *arg)
{
    struct round *round = arg;
    while (!atomic_load(&round->end)) {
        if (!atomic_exchange(&round->stalled, false)) {
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
            continue;
        }
        nanosleep(&(struct timespec){.tv_nsec = pause_us * 1000}, NULL);
        atomic_store(&round->written, filch_now());
        if (write(round->data[1], "", 1) != 1)
            break;
    }
    return NULL;
}

static int stranded(struct bench_run *run, bool spins)
{
    struct round round = {.spins = spins, .us = calloc((size_t)rounds, sizeof(double))};
    pthread_t thread;
    if (!round.us)
        return -ENOMEM;
    if (filch_workers(bench_runtime(run)) < 2)
        return -EINVAL; /* nobody would be free */
    if (pipe(round.data) < 0 || pipe(round.keep) < 0)
        return -errno;
    int r = -pthread_create(&thread, NULL, writer, &round);
    if (r == 0) {
        r = filch_call(bench_runtime(run), all_rounds, &round);
        atomic_store(&round.end, true);
        pthread_join(thread, NULL);
    }
    if (r == 0) {
        bench_spread(run, "delay_us", round.us, (size_t)rounds);
        bench_result(run, bench_percentile(round.us, (size_t)rounds, 99));
        bench_check(run, "rounds", rounds, rounds);
    }
    for (int i = 0; i < 2; i++) {
        close(round.data[i]);
        close(round.keep[i]);
    }
    free(round.us);
    return r;
}

static int spin(struct bench_run *run)
{
    return stranded(run, true);
}

static int in_read(struct bench_run *run)
{
    return stranded(run, false);
}

const struct bench bench_stranded = {
    .name = "stranded",
    .what = "an operation on the ring of a worker that is stalled: until its task runs",
    .unit = "us p99",
    .workers = 2,
    .forms = {{"spin", spin, BENCH_BESIDE}, {"read", in_read, BENCH_BESIDE}},
    .params =
        {
            BENCH_INT("rounds", rounds, 1, 1e6, "in which something was stranded"),
            BENCH_INT("pause", pause_us, 1, 900000, "us from the stall to the event"),
        },
};
