/* SPDX-License-Identifier: MIT */
/* idle: what does a runtime cost that has nothing to do, and how fast is it back?
 *
 * Three parts, seen from a plain thread beside a runtime that is started once for all runs:
 *
 *     idle   the thread sleeps for --seconds; the figure is the CPU time of the whole process meanwhile, in percent of one CPU
 *     wake   a task is parked on an event, and every worker sleeps; after a pause of --pause us the thread sets the event. From there to
 *            the task's next instruction, --wakes times: "wake_us"
 *     call   the same with filch_call: from the call until it has returned what the task returned, thus there and back: "call_us"
 *
 * The pauses are what makes it a wake-up: without them a worker might still be looking for work. */
#include "bench.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "util.h"

static double seconds = 2;
static int64_t wakes = 1000, pause_us = 1000;

static void nap(double ns)
{
    struct timespec time = {.tv_sec = (time_t)(ns / 1e9)};
    time.tv_nsec = (long)(ns - (double)time.tv_sec * 1e9);
    nanosleep(&time, NULL);
}

static void nothing_to_do(struct bench_run *run)
{
    int64_t start = filch_now(), cpu = bench_cpu_time();
    nap(seconds * 1e9);
    bench_result(run, 100 * (double)(bench_cpu_time() - cpu) / (double)(filch_now() - start));
}

struct door {
    filch_event event;
    atomic_int_fast64_t knocked; /* when */
    atomic_int_fast64_t waiting; /* how often the task came to wait */
    double *us;
};

static int doorman(void *arg)
{
    struct door *door = arg;
    int64_t done = 0;
    for (int r = 0; done < wakes; done++) {
        atomic_store(&door->waiting, done + 1);
        r = filch_event_wait(&door->event);
        if (r < 0)
            return r;
        door->us[done] = (double)(filch_now() - atomic_load(&door->knocked)) / 1e3;
        filch_event_reset(&door->event);
    }
    atomic_store(&door->waiting, done + 1); /* `door` may be gone from here on */
    return 0;
}

static int wake(struct bench_run *run, double *us)
{
    struct door door = {.us = us};
    int r = filch_submit(bench_runtime(run), doorman, &door);
    if (r < 0)
        return r;
    for (int64_t i = 0; i <= wakes; i++) {
        while (atomic_load(&door.waiting) <= i)
            nap(20e3);
        if (i == wakes)
            break;
        nap((double)pause_us * 1e3);
        atomic_store(&door.knocked, filch_now());
        filch_event_set(&door.event);
    }
    bench_spread(run, "wake_us", us, (size_t)wakes);
    bench_check(run, "wakes", wakes, wakes);
    return 0;
}

static int number(void *arg)
{
    return *(int *)arg;
}

static int call(struct bench_run *run, double *us)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < wakes; i++) {
        int one = 1;
        nap((double)pause_us * 1e3);
        int64_t start = filch_now();
        int r = filch_call(bench_runtime(run), number, &one);
        us[i] = (double)(filch_now() - start) / 1e3;
        if (r < 0)
            return r;
        sum += r;
    }
    bench_spread(run, "call_us", us, (size_t)wakes);
    bench_check(run, "calls", sum, wakes);
    return 0;
}

static int idle(struct bench_run *run)
{
    double *us = calloc((size_t)wakes, sizeof *us);
    if (!us)
        return -ENOMEM;
    nothing_to_do(run);
    int r = wake(run, us);
    if (r >= 0)
        r = call(run, us);
    free(us);
    return r;
}

const struct bench bench_idle = {
    .name = "idle",
    .what = "CPU of a runtime with nothing to do, and its wake-up from outside",
    .unit = "% CPU",
    .forms = {{"idle", idle, BENCH_BESIDE}},
    .params =
        {
            BENCH_REAL("seconds", seconds, 0.001, 3600, "of doing nothing"),
            BENCH_INT("wakes", wakes, 1, 1e6, "of each kind"),
            BENCH_INT("pause", pause_us, 1, 1e6, "us before each"),
        },
};
