/* SPDX-License-Identifier: MIT */
/* sem: what does a unit of a semaphore cost when there are enough, and when there are not?
 *
 * --tasks tasks share --pairs turns: acquire one of --units, release it. The figure is wall time divided by all turns. One task and one
 * unit: the free semaphore. More tasks than units, on two workers: contention.
 *
 * Form `pthread` is sem_t between as many plain threads.
 *
 * What is inside is counted apart, in a second pass with a tenth of the turns: an atomic counter in the first would cost as much as the
 * semaphore. `beyond` counts the turns that found more inside than there are units, `left` what can be acquired at the end. The
 * runtime is started once for all runs. */
#include "bench.h"

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "util.h"

#define MOST 1000

static int64_t tasks = 1, units = 1, pairs = 20000000;

struct shared {
    filch_sem sem;
    sem_t plain;
    int64_t turns; /* of each */
    bool watch;
    atomic_int_fast64_t inside, beyond, done;
};

static void be_inside(struct shared *shared)
{
    if (!shared->watch)
        return;
    if (atomic_fetch_add(&shared->inside, 1) >= units)
        atomic_fetch_add(&shared->beyond, 1);
    atomic_fetch_sub(&shared->inside, 1);
}

static int visit(void *arg)
{
    struct shared *shared = arg;
    int64_t turns = shared->turns, done = 0;
    int r = 0;
    while (done < turns && (r = filch_sem_acquire(&shared->sem)) == 0) {
        be_inside(shared);
        filch_sem_release(&shared->sem);
        done++;
    }
    atomic_fetch_add(&shared->done, done);
    return r;
}

static int visit_plain(void *arg)
{
    struct shared *shared = arg;
    int64_t turns = shared->turns, done = 0;
    while (done < turns) {
        while (sem_wait(&shared->plain) != 0)
            ; /* a signal */
        be_inside(shared);
        sem_post(&shared->plain);
        done++;
    }
    atomic_fetch_add(&shared->done, done);
    return 0;
}

static int with_tasks(struct shared *shared)
{
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < tasks; i++) {
        int r = filch_spawn(&s, visit, shared);
        if (r < 0)
            return r;
    }
    return filch_join(&s);
}

static int with_threads(struct shared *shared)
{
    return bench_threads(tasks, visit_plain, shared, 0);
}

/* Both passes, by tasks or by threads. */
static int passes(struct bench_run *run, struct shared *shared, int (*all)(struct shared *shared))
{
    int64_t turns = pairs / tasks ? pairs / tasks : 1, fewer = turns / 10 ? turns / 10 : 1;
    shared->turns = turns;
    int64_t start = filch_now();
    int r = all(shared);
    bench_result(run, (double)(filch_now() - start) / (double)(turns * tasks));

    shared->turns = fewer;
    shared->watch = true;
    if (r >= 0)
        r = all(shared);
    bench_check(run, "turns", atomic_load(&shared->done), (turns + fewer) * tasks);
    bench_check(run, "beyond", atomic_load(&shared->beyond), 0);
    return r;
}

static int sem(struct bench_run *run)
{
    struct shared shared = {.sem = FILCH_SEM(units)};
    int64_t left = 0;
    int r = passes(run, &shared, with_tasks);
    while (filch_sem_try(&shared.sem))
        left++;
    bench_check(run, "left", left, units);
    return r;
}

static int plain(struct bench_run *run)
{
    struct shared shared = {.turns = 0};
    int64_t left = 0;
    if (sem_init(&shared.plain, 0, (unsigned)units) != 0)
        return -errno;
    int r = passes(run, &shared, with_threads);
    while (sem_trywait(&shared.plain) == 0)
        left++;
    bench_check(run, "left", left, units);
    sem_destroy(&shared.plain);
    return r;
}

const struct bench bench_sem = {
    .name = "sem",
    .what = "acquire and release a unit, free or with more tasks than units",
    .unit = "ns/pair",
    .forms = {{"sem", sem, BENCH_TASK}, {"pthread", plain, BENCH_ALONE}},
    .params =
        {
            BENCH_INT("tasks", tasks, 1, MOST, "how many share the semaphore"),
            BENCH_INT("units", units, 1, 1e9, "how many may be inside"),
            BENCH_INT("pairs", pairs, 1, 1e12, "turns in all"),
        },
};
