/* SPDX-License-Identifier: MIT */
/* mutex: what does a lock cost when nobody wants it, and when everybody does?
 *
 * --tasks tasks share --pairs turns: lock, increment a counter that is no atomic, unlock. The figure is wall time divided by all turns.
 * One task: the free lock. Eight on two workers: contention between cores, and between tasks of one core that must not be starved by
 * those that run.
 *
 * The longest wait is measured apart, in a second pass with a tenth of the turns, which reads the clock around every lock: in the first
 * pass that would cost more than the lock. With --inside each holder goes round an empty loop so many times, about three to a
 * nanosecond. The counter proves mutual exclusion and that no turn was lost. The runtime is started once for all runs. */
#include "bench.h"

#define MOST 1000

static int64_t tasks = 1, pairs = 20000000, inside = 0;

struct shared {
    filch_mutex mutex;
    int64_t counter;
};

struct visitor {
    struct shared *shared;
    int64_t turns, longest;
};

static inline void work_inside(void)
{
    for (int64_t i = 0; i < inside; i++)
        __asm__ volatile("" ::: "memory");
}

static int count(void *arg)
{
    struct visitor *visitor = arg;
    struct shared *shared = visitor->shared;
    for (int64_t i = 0; i < visitor->turns; i++) {
        filch_mutex_lock(&shared->mutex);
        shared->counter++;
        work_inside();
        filch_mutex_unlock(&shared->mutex);
    }
    return 0;
}

static int count_and_watch(void *arg)
{
    struct visitor *visitor = arg;
    struct shared *shared = visitor->shared;
    for (int64_t i = 0; i < visitor->turns; i++) {
        int64_t wait = filch_now();
        filch_mutex_lock(&shared->mutex);
        wait = filch_now() - wait;
        shared->counter++;
        work_inside();
        filch_mutex_unlock(&shared->mutex);
        visitor->longest = wait > visitor->longest ? wait : visitor->longest;
    }
    return 0;
}

static int pass(struct visitor *visitors, filch_fn *fn)
{
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < tasks; i++) {
        int r = filch_spawn(&s, fn, &visitors[i]);
        if (r < 0)
            return r;
    }
    return filch_join(&s);
}

static int mutex(struct bench_run *run)
{
    struct shared shared = {.counter = 0};
    static struct visitor visitors[MOST];
    int64_t turns = pairs / tasks ? pairs / tasks : 1, fewer = turns / 10 ? turns / 10 : 1, longest = 0;

    for (int64_t i = 0; i < tasks; i++)
        visitors[i] = (struct visitor){.shared = &shared, .turns = turns};
    int64_t start = filch_now();
    int r = pass(visitors, count);
    bench_result(run, (double)(filch_now() - start) / (double)(turns * tasks));

    for (int64_t i = 0; i < tasks; i++)
        visitors[i].turns = fewer;
    if (r >= 0)
        r = pass(visitors, count_and_watch);
    for (int64_t i = 0; i < tasks; i++)
        longest = visitors[i].longest > longest ? visitors[i].longest : longest;
    bench_more(run, "longest wait", "us", (double)longest / 1e3);
    bench_check(run, "counter", shared.counter, (turns + fewer) * tasks);
    return r;
}

const struct bench bench_mutex = {
    .name = "mutex",
    .what = "lock and unlock, free or with several tasks contending",
    .unit = "ns/pair",
    .forms = {{"mutex", mutex, BENCH_TASK}},
    .params = {BENCH_INT("tasks", tasks, 1, MOST, "how many share the lock"), BENCH_INT("pairs", pairs, 1, 1e12, "turns in all"),
               BENCH_INT("inside", inside, 0, 1e9, "turns of an empty loop while the lock is held")},
};
