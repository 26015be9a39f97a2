/* SPDX-License-Identifier: MIT */
/* stress_start_stop [SEED [SECONDS]]: three plain threads start runtimes of random shape, use them a little and stop them, all at the same time.
 *
 * Laws: a start succeeds, a stop comes to its end, whatever the tasks are doing: nothing yet, computing, asleep for ever, in a read that nothing ends, calling another
 * runtime; each task that was taken has run to its end by then, and those in the way of the deadline were told by -ECANCELED; no descriptor and no kernel thread is left over. */
#include <filch.h>

#include "base/atomic.h"
#include "base/panic.h"
#include "machine/clock.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 3, TASKS = 20 };

static _Atomic(uint64_t) started, tasks;
static _Atomic(bool) over;
static filch_runtime *common; /* one that lives all the time */

static uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

struct round {
    _Atomic(int) ended, cancelled;
    uint64_t state;
    int pipe_fds[2];
    bool forever; /* tasks may wait for what never comes */
};

struct job {
    struct round *round;
    uint64_t state;
};

static int nothing(void *arg)
{
    (void)arg;
    filch_yield();
    return 17;
}

static int child(void *arg)
{
    return filch_sleep((int64_t)(uintptr_t)arg % 100000);
}

static int job_main(void *arg)
{
    struct job job = *(struct job *)arg;
    free(arg);
    int r = 0;
    char byte;
    switch (dice(&job.state) % (job.round->forever ? 7 : 4)) {
    case 0:
        break;
    case 1:
        r = filch_sleep((int64_t)(dice(&job.state) % 300000));
        break;
    case 2: {
        FILCH_SCOPE(scope);
        for (int i = 0; i < 5; i++)
            fl_panic_if(filch_spawn(&scope, child, (void *)(uintptr_t)dice(&job.state)) != 0, "spawn");
        if (dice(&job.state) % 2)
            filch_join(&scope);
        break;
    }
    case 3:
        fl_panic_if(filch_call(common, nothing, NULL) != 17, "a call of another runtime");
        break;
    case 4:
        r = filch_sleep_until(FILCH_NEVER);
        fl_panic_if(r != -ECANCELED, "it was for ever: %d", r);
        break;
    case 5:
        r = (int)filch_read(job.round->pipe_fds[0], &byte, 1);
        fl_panic_if(r != -ECANCELED, "nothing was there to read: %d", r);
        break;
    default: {
        filch_event event = {0};
        FILCH_SCOPE_UNTIL(scope, filch_after(FILCH_SEC(1000)));
        r = filch_event_wait(&event);
        fl_panic_if(r != -ECANCELED, "nobody set it: %d", r);
    }
    }
    add_relaxed(&job.round->cancelled, r == -ECANCELED); /* counter */
    add_relaxed(&job.round->ended, 1);                   /* counter */
    return r;
}

static void play(uint64_t *state)
{
    struct round round = {.state = dice(state), .forever = dice(state) % 2};
    filch_config config = {.workers = 1 + (unsigned)(dice(state) % 4), .stack_size = (size_t)32768 << dice(state) % 3, .name = "stress"};
    switch (dice(state) % 8) {
    case 0:
        config.model = FILCH_MODEL_N1;
        config.workers = 1;
        break;
    case 1:
        config.model = FILCH_MODEL_11;
        config.stack_size = 0;
        break;
    }
    fl_panic_if(pipe(round.pipe_fds) != 0, "no descriptors");
    filch_runtime *runtime;
    int r = filch_start(&config, &runtime), n = (int)(dice(state) % TASKS);
    fl_panic_if(r != 0, "start: %d", r);
    for (int i = 0; i < n; i++) {
        struct job *job = malloc(sizeof *job);
        *job = (struct job){&round, dice(state) * 0x9e3779b97f4a7c15u | 1};
        r = filch_submit(runtime, job_main, job);
        fl_panic_if(r != 0, "submit: %d", r);
    }
    if (dice(state) % 2)
        fl_panic_if(filch_call(runtime, nothing, NULL) != 17, "call");
    r = filch_stop(runtime, round.forever ? filch_after((int64_t)(dice(state) % 1000000) - 1) : FILCH_NEVER);
    fl_panic_if(r != 0, "stop: %d", r);
    fl_panic_if(load_relaxed(&round.ended) != n, "%d of %d tasks have ended", load_relaxed(&round.ended), n); /* counter */
    close(round.pipe_fds[0]);
    close(round.pipe_fds[1]);
    add_relaxed(&started, 1);         /* counter */
    add_relaxed(&tasks, (uint64_t)n); /* counter */
}

static void *work(void *arg)
{
    uint64_t state = (uint64_t)(uintptr_t)arg;
    while (!load_relaxed(&over)) /* hint: a round more does no harm */
        play(&state);
    return NULL;
}

static void *pause_once(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return arg;
}

static int entries(const char *path)
{
    DIR *dir = opendir(path);
    int n = 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)fl_clock();
    double seconds = argc > 2 ? atof(argv[2]) : 5;
    printf("stress_start_stop: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    pthread_t threads[THREADS];
    pthread_create(&threads[0], NULL, pause_once, NULL); /* with the first one TSan starts one of its own */
    pthread_join(threads[0], NULL);
    int fds = entries("/proc/self/fd"), kernel_threads = entries("/proc/self/task");
    fl_panic_if(filch_start(&(filch_config){.workers = 2}, &common) != 0, "start");
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)((seed + i) * 0x9e3779b97f4a7c15u | 1));
    nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)}, NULL);
    store_relaxed(&over, true); /* hint: seen soon */
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    int r = filch_stop(common, FILCH_NEVER);
    fl_panic_if(r != 0, "stop: %d", r);
    for (int i = 0; entries("/proc/self/task") > kernel_threads; i++) { /* a detached thread needs a moment to be gone */
        fl_panic_if(i > 5000, "kernel threads are left over");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    fl_panic_if(entries("/proc/self/fd") != fds, "descriptors are left over");
    printf("stress_start_stop: %llu runtimes, %llu tasks\n", (unsigned long long)load_relaxed(&started),
           (unsigned long long)load_relaxed(&tasks)); /* counter */
    return 0;
}
