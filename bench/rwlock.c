/* SPDX-License-Identifier: MIT */
/* rwlock: what does a lock cost that many hold to read, and now and then one to write?
 *
 * --tasks tasks lock and unlock --rounds times each, to read with a chance of --readers percent, else to write; the dice of each task are the same in every run. The
 * figure is wall time divided by all rounds. Tasks that never wait are never preempted: with one worker they come one after the other, and
 * the lock is free.
 *
 * Form `pthread` is glibc's lock between as many plain threads, with its default kind, which lets readers pass writers that wait.
 *
 * A writer increments two numbers that are no atomics, a reader compares them: `torn` counts the pairs that differed, and the number at the
 * end is the number of writers. The runtime is started once for all runs. */
#include "bench.h"

#include <pthread.h>

#include "util.h"

#define MOST 1000

static int64_t tasks = 8, rounds = 2000000, readers = 95;

struct shared {
    filch_rwlock rwlock;
    pthread_rwlock_t plain;
    int64_t first, second;
};

struct visitor {
    struct shared *shared;
    uint64_t dice;
    int64_t written, torn;
};

static bool reads(struct visitor *visitor)
{
    return bench_random(&visitor->dice) % 100 < (uint64_t)readers;
}

static void look(struct visitor *visitor)
{
    visitor->torn += visitor->shared->first != visitor->shared->second;
}

static void change(struct visitor *visitor)
{
    visitor->shared->first++;
    visitor->shared->second++;
    visitor->written++;
}

/* Visitors lie side by side in memory: the copy keeps one's dice from invalidating another's. */
static int visit(void *arg)
{
    struct visitor visitor = *(struct visitor *)arg;
    filch_rwlock *rwlock = &visitor.shared->rwlock;
    for (int64_t i = 0; i < rounds; i++) {
        if (reads(&visitor)) {
            filch_rwlock_read(rwlock);
            look(&visitor);
        } else {
            filch_rwlock_write(rwlock);
            change(&visitor);
        }
        filch_rwlock_unlock(rwlock);
    }
    *(struct visitor *)arg = visitor;
    return 0;
}

static int visit_plain(void *arg)
{
    struct visitor visitor = *(struct visitor *)arg;
    pthread_rwlock_t *rwlock = &visitor.shared->plain;
    for (int64_t i = 0; i < rounds; i++) {
        if (reads(&visitor)) {
            pthread_rwlock_rdlock(rwlock);
            look(&visitor);
        } else {
            pthread_rwlock_wrlock(rwlock);
            change(&visitor);
        }
        pthread_rwlock_unlock(rwlock);
    }
    *(struct visitor *)arg = visitor;
    return 0;
}

static int with_tasks(struct visitor *visitors)
{
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < tasks; i++) {
        int r = filch_spawn(&s, visit, &visitors[i]);
        if (r < 0)
            return r;
    }
    return filch_join(&s);
}

static int with_threads(struct visitor *visitors)
{
    return bench_threads(tasks, visit_plain, visitors, sizeof *visitors);
}

static int rwlock_by(struct bench_run *run, int (*all)(struct visitor *visitors))
{
    struct shared shared = {.plain = PTHREAD_RWLOCK_INITIALIZER};
    static struct visitor visitors[MOST];
    int64_t written = 0, torn = 0;
    for (int64_t i = 0; i < tasks; i++)
        visitors[i] = (struct visitor){.shared = &shared, .dice = (uint64_t)i};
    int64_t start = filch_now();
    int r = all(visitors);
    bench_result(run, (double)(filch_now() - start) / (double)(rounds * tasks));
    for (int64_t i = 0; i < tasks; i++) {
        written += visitors[i].written;
        torn += visitors[i].torn;
    }
    bench_check(run, "written", shared.first, written);
    bench_check(run, "torn", torn, 0);
    return r;
}

static int rwlock(struct bench_run *run)
{
    return rwlock_by(run, with_tasks);
}

static int plain(struct bench_run *run)
{
    return rwlock_by(run, with_threads);
}

const struct bench bench_rwlock = {
    .name = "rwlock",
    .what = "lock and unlock by many readers and a few writers",
    .unit = "ns/pair",
    .forms = {{"rwlock", rwlock, BENCH_TASK}, {"pthread", plain, BENCH_ALONE}},
    .params =
        {
            BENCH_INT("tasks", tasks, 1, MOST, "how many share the lock"),
            BENCH_INT("rounds", rounds, 1, 1e12, "of each task"),
            BENCH_INT("readers", readers, 0, 100, "percent of the rounds"),
        },
};
