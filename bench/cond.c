/* SPDX-License-Identifier: MIT */
/* cond: how long until all have gone on that wait for one condition?
 *
 * --waiters tasks wait for a flag under one mutex; when all of them wait, one sets it and broadcasts. The figure is the time from the
 * broadcast until the last has had the mutex again, in ms, the mean of --rounds such rounds. Each round has waiters of its own; making them
 * is not timed.
 *
 * Form `pthread` is the same with plain threads, with stacks as small as a task's. Where there is no room for so many the run fails, and
 * says so.
 *
 * Who has gone through is counted under the mutex. The runtime is started once for all runs. */
#include "bench.h"

#include <pthread.h>
#include <stdatomic.h>

#include "util.h"

static int64_t waiters = 10000, rounds = 5;

struct hall {
    filch_mutex mutex;
    filch_cond cond;
    pthread_mutex_t plain_mutex;
    pthread_cond_t plain_cond;
    bool open;
    int64_t through, last; /* how many, and when the last of them */
    atomic_int_fast64_t arrived;
};

static void go_through(struct hall *hall)
{
    if (++hall->through == waiters)
        hall->last = filch_now();
}

/* Who is counted here holds the mutex until it waits: whoever has the mutex after all were counted finds them waiting. */
static void await_arrivals(struct hall *hall)
{
    for (unsigned turn = 0; atomic_load(&hall->arrived) < waiters; turn++)
        if (turn % 16 < 15)
            filch_yield();
        else
            filch_sleep(FILCH_USEC(100));
}

static int waiter(void *arg)
{
    struct hall *hall = arg;
    int r = 0;
    FILCH_GUARD(&hall->mutex);
    atomic_fetch_add(&hall->arrived, 1);
    while (!hall->open && r == 0)
        r = filch_cond_wait(&hall->cond, &hall->mutex);
    if (r == 0)
        go_through(hall);
    return r;
}

static int with_tasks(struct hall *hall, int64_t *ret_start)
{
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < waiters; i++) {
        int r = filch_spawn(&s, waiter, hall);
        if (r < 0)
            return r;
    }
    await_arrivals(hall);
    filch_mutex_lock(&hall->mutex);
    hall->open = true;
    filch_mutex_unlock(&hall->mutex);
    *ret_start = filch_now();
    filch_cond_broadcast(&hall->cond);
    return filch_join(&s);
}

static int waiter_plain(void *arg)
{
    struct hall *hall = arg;
    pthread_mutex_lock(&hall->plain_mutex);
    atomic_fetch_add(&hall->arrived, 1);
    while (!hall->open)
        pthread_cond_wait(&hall->plain_cond, &hall->plain_mutex);
    go_through(hall);
    pthread_mutex_unlock(&hall->plain_mutex);
    return 0;
}

static int with_threads(struct hall *hall, int64_t *ret_start)
{
    struct bench_threads threads;
    int r = bench_threads_start(&threads, waiters, waiter_plain, hall, 0);
    if (r == 0)
        await_arrivals(hall);
    pthread_mutex_lock(&hall->plain_mutex);
    hall->open = true;
    pthread_mutex_unlock(&hall->plain_mutex);
    *ret_start = filch_now();
    pthread_cond_broadcast(&hall->plain_cond);
    int failure = bench_threads_join(&threads);
    return r < 0 ? r : failure;
}

static int cond_by(struct bench_run *run, int (*one)(struct hall *hall, int64_t *ret_start))
{
    int64_t sum = 0, through = 0;
    int r = 0;
    for (int64_t i = 0; r == 0 && i < rounds; i++) {
        struct hall hall = {.plain_mutex = PTHREAD_MUTEX_INITIALIZER, .plain_cond = PTHREAD_COND_INITIALIZER};
        int64_t start = 0;
        r = one(&hall, &start);
        sum += hall.last - start;
        through += hall.through;
    }
    if (r < 0)
        return r;
    bench_result(run, (double)sum / 1e6 / (double)rounds);
    bench_check(run, "through", through, waiters * rounds);
    return 0;
}

static int cond(struct bench_run *run)
{
    return cond_by(run, with_tasks);
}

static int plain(struct bench_run *run)
{
    return cond_by(run, with_threads);
}

const struct bench bench_cond = {
    .name = "cond",
    .what = "10,000 tasks wait for one condition: a broadcast",
    .unit = "ms",
    .forms = {{"cond", cond, BENCH_TASK}, {"pthread", plain, BENCH_ALONE}},
    .params = {BENCH_INT("waiters", waiters, 1, 1e7, "how many"), BENCH_INT("rounds", rounds, 1, 1e6, "broadcasts a run")},
};
