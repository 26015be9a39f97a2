/* SPDX-License-Identifier: MIT */
/* The trials of the tour's second chapter.
 *
 * A trial is an ordinary first task. It works for the time it is given, counts what it did, and sets its figure:
 *
 *     spawn       scopes of 100 tasks each, spawned and joined: wall time a task, ns
 *     handover    two tasks wake each other in turn over two events: wall time a wake-up (half a round), ns
 *     yield       16 tasks yield: CPU time a yield, ns. Wall time would say less: threads that yield on several cores at once do not
 *                 switch. For the same reason a task that finds itself alone on its processor steps aside for a moment, until others come
 *     stuck       20 tasks sleep 1 ms in a loop while one sits in read(2), the plain system call, on an empty pipe that a foreign thread
 *                 writes to after a while: the longest that one of them slept beyond its millisecond, ns
 *     parked_io   the same with filch_read
 *     processors  4 tasks a CPU, 32 at least, compute: CPU time of the process / wall time; second: wall time, ns
 *     memory      tasks wait for one event: VmRSS then, less VmRSS before, bytes a task; second: the same difference of KernelStack in
 *                 /proc/meminfo, which counts for the whole machine, so it is only roughly that of the tasks
 *
 * Each proves what it can: every spawned task has counted, every byte has arrived. */
#include "tour_trials.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "util.h"

/* ---- spawn ---- */

#define BATCH 100

static int touch(void *arg)
{
    ++*(uint8_t *)arg;
    return 0;
}

static int spawn_batch(uint8_t touched[BATCH])
{
    FILCH_SCOPE(s);
    for (int i = 0; i < BATCH; i++) {
        int r = filch_spawn(&s, touch, &touched[i]);
        if (r < 0)
            return r;
    }
    return filch_join(&s);
}

int trial_spawn(void *arg)
{
    struct trial *trial = arg;
    uint8_t touched[BATCH] = {0};
    int64_t start = filch_now(), now = start;
    unsigned rounds = 0;
    for (; now - start < trial->window; now = filch_now())
        for (int i = 0; i < 8; i++, rounds++) {
            int r = spawn_batch(touched);
            if (r < 0)
                return r;
        }
    for (int i = 0; i < BATCH; i++)
        if (touched[i] != (uint8_t)rounds)
            return -EIO;
    trial->count = (double)rounds * BATCH;
    trial->figure = (double)(now - start) / trial->count;
    return 0;
}

/* ---- handover ---- */

struct court {
    filch_event ping, pong;
    int64_t window, rounds, took;
    bool over; /* written before ping is set, read after it was waited for */
};

static int take(filch_event *event)
{
    int r = filch_event_wait(event);
    filch_event_reset(event);
    return r;
}

static int serve(void *arg)
{
    struct court *court = arg;
    int64_t start = filch_now();
    for (int r; !court->over; court->rounds++) {
        if (court->rounds % 64 == 63)
            court->over = filch_now() - start >= court->window;
        filch_event_set(&court->ping);
        if ((r = take(&court->pong)) < 0)
            return r;
    }
    court->took = filch_now() - start;
    return 0;
}

static int answer(void *arg)
{
    struct court *court = arg;
    for (bool over = false; !over;) {
        int r = take(&court->ping);
        if (r < 0)
            return r;
        over = court->over;
        filch_event_set(&court->pong);
    }
    return 0;
}

int trial_handover(void *arg)
{
    struct trial *trial = arg;
    struct court court = {.window = trial->window};
    FILCH_SCOPE(s);
    int r = filch_spawn(&s, answer, &court);
    if (r >= 0)
        r = filch_spawn(&s, serve, &court);
    if (r < 0)
        return r;
    r = filch_join(&s);
    trial->count = 2 * (double)court.rounds;
    trial->figure = (double)court.took / trial->count;
    return r;
}

/* ---- yield ---- */

#define YIELDERS 16
#define ROUND 64
#define CPUS 1024

struct circle {
    int64_t end;
    atomic_bool over;
    atomic_int_fast64_t yields;
    atomic_uintptr_t last[CPUS]; /* who went round on this CPU last */
};

/* Whether nobody but `me` has gone round on this CPU since `me` did. */
static bool is_alone(struct circle *circle, uintptr_t me)
{
    unsigned cpu = (unsigned)sched_getcpu() % CPUS;
    return atomic_exchange_explicit(&circle->last[cpu], me, memory_order_relaxed) == me;
}

static int member(void *arg)
{
    struct circle *circle = arg;
    int64_t done = 0;
    while (!atomic_load_explicit(&circle->over, memory_order_relaxed)) {
        for (int i = 0; i < ROUND; i++)
            filch_yield();
        done += ROUND;
        if (is_alone(circle, (uintptr_t)&done))
            filch_sleep(FILCH_USEC(100));
        if (filch_now() >= circle->end)
            atomic_store_explicit(&circle->over, true, memory_order_relaxed);
    }
    atomic_fetch_add(&circle->yields, done);
    return 0;
}

int trial_yield(void *arg)
{
    struct trial *trial = arg;
    struct circle circle = {.end = filch_after(trial->window)};
    int64_t cpu = bench_cpu_time();
    FILCH_SCOPE(s);
    for (int i = 0; i < YIELDERS; i++) {
        int r = filch_spawn(&s, member, &circle);
        if (r < 0) {
            atomic_store(&circle.over, true);
            return r;
        }
    }
    int r = filch_join(&s);
    trial->count = (double)atomic_load(&circle.yields);
    trial->figure = (double)(bench_cpu_time() - cpu) / trial->count;
    return r;
}

/* ---- a blocking call ---- */

#define SLEEPERS 20
#define NAP FILCH_MSEC(1)

struct hold {
    int pipe[2];
    bool plain; /* read(2), not filch_read */
    int64_t length;
    atomic_bool holding, over;
    atomic_int_fast64_t worst; /* ns slept beyond the nap */
};

static void note_late(struct hold *hold, int64_t late)
{
    int_fast64_t worst = atomic_load(&hold->worst);
    while (late > worst && !atomic_compare_exchange_weak(&hold->worst, &worst, late))
        ;
}

static int sleeper(void *arg)
{
    struct hold *hold = arg;
    while (!atomic_load(&hold->over)) {
        int64_t begin = filch_now();
        int r = filch_sleep(NAP);
        if (r < 0)
            return r;
        if (atomic_load(&hold->holding))
            note_late(hold, filch_now() - begin - NAP);
    }
    return 0;
}

static int blocker(void *arg)
{
    struct hold *hold = arg;
    char c;
    atomic_store(&hold->holding, true);
    ssize_t r = hold->plain ? read(hold->pipe[0], &c, 1) : filch_read(hold->pipe[0], &c, 1);
    atomic_store(&hold->over, true);
    return r == 1 ? 0 : r < 0 && !hold->plain ? (int)r : -EIO;
}

/* A foreign thread, so that the end of the wait does not hang on any worker. */
static void *ring_bell(void *arg)
{
    struct hold *hold = arg;
    filch_sleep(hold->length);
    if (write(hold->pipe[1], "x", 1) != 1)
        close(hold->pipe[1]); /* ends the wait all the same */
    return NULL;
}

static int hold_up(struct hold *hold)
{
    pthread_t bell;
    bool rung = false;
    FILCH_SCOPE(s);
    int r = 0;
    for (int i = 0; r >= 0 && i < SLEEPERS; i++)
        r = filch_spawn(&s, sleeper, hold);
    if (r >= 0)
        r = filch_sleep(10 * NAP); /* all of them are under way then */
    if (r >= 0)
        r = -pthread_create(&bell, NULL, ring_bell, hold);
    rung = r >= 0;
    if (rung)
        r = filch_spawn(&s, blocker, hold);
    if (r < 0)
        atomic_store(&hold->over, true);
    int r_join = filch_join(&s);
    if (rung)
        pthread_join(bell, NULL);
    return r < 0 ? r : r_join;
}

static int trial_hold(struct trial *trial, bool plain)
{
    struct hold hold = {.plain = plain, .length = trial->window};
    if (pipe2(hold.pipe, O_CLOEXEC) < 0)
        return -errno;
    int r = hold_up(&hold);
    close(hold.pipe[0]);
    close(hold.pipe[1]);
    trial->figure = (double)atomic_load(&hold.worst);
    return r;
}

int trial_stuck(void *arg)
{
    return trial_hold(arg, true);
}

int trial_parked_io(void *arg)
{
    return trial_hold(arg, false);
}

/* ---- processors ---- */

#define TURNS 3000000 /* of the loop below: a few milliseconds */

static int compute(void *arg)
{
    uint64_t x = (uintptr_t)arg, sum = 0;
    for (int i = 0; i < TURNS; i++)
        sum += bench_random(&x);
    return sum == 42 ? -EIO : 0; /* uses the sum; this one does not come up */
}

int trial_processors(void *arg)
{
    struct trial *trial = arg;
    int64_t tasks = 4 * (int64_t)trial->cpus > 32 ? 4 * (int64_t)trial->cpus : 32;
    int64_t cpu = bench_cpu_time(), start = filch_now();
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < tasks; i++) {
        int r = filch_spawn(&s, compute, (void *)(uintptr_t)i);
        if (r < 0)
            return r;
    }
    int r = filch_join(&s);
    trial->second = (double)(filch_now() - start);
    trial->figure = (double)(bench_cpu_time() - cpu) / trial->second;
    return r;
}

/* ---- memory ---- */

struct hall {
    filch_event go;
    atomic_int_fast64_t arrived;
};

static int guest(void *arg)
{
    struct hall *hall = arg;
    atomic_fetch_add(&hall->arrived, 1);
    return filch_event_wait(&hall->go);
}

static double kernel_stacks(void)
{
    char line[256];
    double bytes = NAN;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "KernelStack: %lf", &bytes) == 1)
            bytes *= 1024;
    if (file)
        fclose(file);
    return bytes;
}

int trial_memory(void *arg)
{
    struct trial *trial = arg;
    struct hall hall = {.arrived = 0};
    double stacks = kernel_stacks(), before = (double)bench_memory("VmRSS:");
    int64_t spawned = 0;
    int r = 0;
    FILCH_SCOPE(s);
    for (; r >= 0 && spawned < trial->tasks; spawned += r >= 0)
        r = filch_spawn(&s, guest, &hall);
    if (r == -EAGAIN && spawned >= 100)
        r = 0; /* no more threads than these are allowed here */
    while (r >= 0 && atomic_load(&hall.arrived) < spawned)
        r = filch_sleep(FILCH_USEC(200));
    trial->count = (double)spawned;
    trial->figure = ((double)bench_memory("VmRSS:") - before) / trial->count;
    trial->second = (kernel_stacks() - stacks) / trial->count;
    filch_event_set(&hall.go);
    int r_join = filch_join(&s);
    return r < 0 ? r : r_join;
}
