/* SPDX-License-Identifier: MIT */
/* cancel: how long does it take to call off a million tasks that wait?
 *
 * --tasks tasks in one scope wait for what never comes. The figure is the time from filch_cancel until the join has returned, in ms: every
 * one of them has been found, has run again, been told -ECANCELED, and ended. How much of that was within filch_cancel is reported with
 * it. Making them is not timed; it is what `park` measures, and so is waking them by what they wait for.
 *
 * Forms: `event`, all at the same one; `sleep`, until FILCH_NEVER; `scopes`, at an event too, but each within a scope of its own, so
 * that the cancel comes down a tree.
 *
 * Who was told -ECANCELED is counted. Each run has a fresh runtime, as in `park`. */
#include "bench.h"

#include <errno.h>
#include <stdatomic.h>

static int64_t tasks = 1000000;

struct hall {
    filch_event never;
    atomic_int_fast64_t arrived, cancelled;
};

static int leave(struct hall *hall, int r)
{
    if (r != -ECANCELED)
        return r;
    atomic_fetch_add(&hall->cancelled, 1);
    return 0;
}

static int guest(void *arg)
{
    struct hall *hall = arg;
    atomic_fetch_add(&hall->arrived, 1);
    return leave(hall, filch_event_wait(&hall->never));
}

static int sleeper(void *arg)
{
    struct hall *hall = arg;
    atomic_fetch_add(&hall->arrived, 1);
    return leave(hall, filch_sleep_until(FILCH_NEVER));
}

static int guest_in_scope(void *arg)
{
    FILCH_SCOPE(s);
    return guest(arg);
}

static int cancel(struct bench_run *run, filch_fn *fn)
{
    struct hall hall = {0};
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < tasks; i++) {
        int r = filch_spawn(&s, fn, &hall);
        if (r < 0)
            return r;
    }
    for (unsigned turn = 0; atomic_load(&hall.arrived) < tasks; turn++)
        if (turn % 16 < 15)
            filch_yield();
        else
            filch_sleep(FILCH_USEC(100));
    int64_t start = filch_now();
    filch_cancel(&s);
    int64_t told = filch_now();
    int r = filch_join(&s);
    bench_result(run, (double)(filch_now() - start) / 1e6);
    bench_more(run, "filch_cancel", "ms", (double)(told - start) / 1e6);
    bench_check(run, "cancelled", atomic_load(&hall.cancelled), tasks);
    return r;
}

static int event(struct bench_run *run)
{
    return cancel(run, guest);
}

static int sleep_(struct bench_run *run)
{
    return cancel(run, sleeper);
}

static int scopes(struct bench_run *run)
{
    return cancel(run, guest_in_scope);
}

const struct bench bench_cancel = {
    .name = "cancel",
    .what = "a million parked tasks are cancelled",
    .unit = "ms",
    .fresh = true,
    .forms = {{"event", event, BENCH_TASK}, {"sleep", sleep_, BENCH_TASK}, {"scopes", scopes, BENCH_TASK}},
    .params = {BENCH_INT("tasks", tasks, 1, 1e8, "how many")},
};
