/* SPDX-License-Identifier: MIT */
/* The tour's second chapter: one program under three threading models.
 *
 * A trial is an ordinary first task. It is run by filch_run three times, with nothing changed but filch_config.model, and knows nothing of
 * it. It works for the time it is given, counts what it did, and sets its figure:
 *
 *     spawn       scopes of 100 tasks each, spawned and joined: wall time a task
 *     handover    two tasks wake each other in turn over two events: wall time a wake-up (half a round)
 *     yield       16 tasks yield: CPU time a yield. Wall time would say less: threads that yield on several cores at once do not switch
 *     stuck       20 tasks sleep 1 ms in a loop while one sits in read(2), the plain system call, on an empty pipe that a foreign thread
 *                 writes to after a while: the longest that one of them slept beyond its millisecond
 *     parked_io   the same with filch_read
 *     processors  4 tasks a core, 32 at least, compute: CPU time of the process / wall time
 *     memory      tasks wait for one event: VmRSS then, less VmRSS before, a task; beside it the same difference of KernelStack in
 *                 /proc/meminfo, which counts for the whole machine, so it is only roughly that of the tasks
 *
 * Times are the best of a few tries, how long others were held up is the median of them, both because other programs may be running. */
#include "tour.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

#define MODELS 3
#define TRIES 5

enum { M_11, M_N1, M_MN };

static const filch_model models[MODELS] = {[M_11] = FILCH_MODEL_11, [M_N1] = FILCH_MODEL_N1, [M_MN] = FILCH_MODEL_MN};
static const char *const model_names[MODELS] = {[M_11] = "1:1", [M_N1] = "N:1", [M_MN] = "M:N"};

/* What a trial is given, and what it finds. */
struct trial {
    int64_t window; /* ns it may take */
    int64_t tasks;  /* for `memory` */
    unsigned cpus;  /* that we may use */
    double figure;
    double count;  /* what was done in the window */
    double second; /* a further figure */
};

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

static int trial_spawn(void *arg)
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

static int trial_handover(void *arg)
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

struct circle {
    int64_t end;
    atomic_bool over;
    atomic_int_fast64_t yields;
};

static int member(void *arg)
{
    struct circle *circle = arg;
    int64_t done = 0;
    while (!atomic_load_explicit(&circle->over, memory_order_relaxed)) {
        filch_yield();
        if (++done % 256 == 0 && filch_now() >= circle->end)
            atomic_store_explicit(&circle->over, true, memory_order_relaxed);
    }
    atomic_fetch_add(&circle->yields, done);
    return 0;
}

static int trial_yield(void *arg)
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

static int trial_stuck(void *arg)
{
    return trial_hold(arg, true);
}

static int trial_parked_io(void *arg)
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

static int trial_processors(void *arg)
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

static int trial_memory(void *arg)
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

/* ---- what one sees ---- */

struct found {
    struct trial trial[MODELS];
    int error[MODELS];
    unsigned cpus;
    int64_t hold;
};

static double figure(const struct found *found, int model)
{
    return found->trial[model].figure;
}

static double times_better(const struct found *found)
{
    return figure(found, M_11) / figure(found, M_MN);
}

static void say_spawn(const struct found *found)
{
    char threads[PAGE_NUMBER], tasks[PAGE_NUMBER];
    page_note("In the same time, 1:1 makes and joins %s kernel threads and M:N %s tasks.", page_roughly(threads, found->trial[M_11].count),
              page_roughly(tasks, found->trial[M_MN].count));
}

static void say_handover(const struct found *found)
{
    char times[PAGE_NUMBER];
    page_roughly(times, times_better(found));
    if (times_better(found) >= 2)
        page_note(
            "To wake a thread is a matter for the kernel; to wake a task is a queue and a jump to its stack. M:N is %s times as fast.",
            times);
    else
        page_note("Here a task is woken on another worker, which costs what waking a thread costs.");
}

static void say_yield(const struct found *found)
{
    char times[PAGE_NUMBER];
    page_roughly(times, times_better(found));
    if (times_better(found) >= 2)
        page_note("From one task to the next without asking the kernel: %s times less work than between threads.", times);
    else
        page_note("Switching costs about the same under all models here.");
}

static void say_stuck(const struct found *found)
{
    char worst[PAGE_NUMBER];
    page_time(worst, figure(found, M_MN));
    if (figure(found, M_MN) < (double)found->hold / 4 && figure(found, M_N1) > (double)found->hold / 2)
        page_note(
            "One task sits in read(2), %.0f ms. With one worker, all others wait for it; under M:N another worker takes over the stuck "
            "one's tasks, timers and ring.",
            (double)found->hold / 1e6);
    else if (figure(found, M_MN) > (double)found->hold / 2)
        page_note("One task sits in read(2), %.0f ms, and there is no other worker that could take over: the others wait for it.",
                  (double)found->hold / 1e6);
    else
        page_note("One task sits in read(2), %.0f ms. The others go on: what the stuck worker had is taken over.",
                  (double)found->hold / 1e6);
}

static void say_parked_io(const struct found *found)
{
    double worst = fmax(figure(found, M_N1), figure(found, M_MN));
    if (worst < (double)found->hold / 4)
        page_note("The same with filch_read: the task parks, the kernel works, the worker goes on. Nobody is held up, under no model.");
    else
        page_note("The same with filch_read: the task parks. That somebody was held up all the same is the work of other programs.");
}

static void say_processors(const struct found *found)
{
    char one[PAGE_NUMBER], many[PAGE_NUMBER];
    page_time(one, found->trial[M_N1].second);
    page_time(many, found->trial[M_MN].second);
    if (figure(found, M_MN) > 1.2)
        page_note("Tasks that only compute: what takes %s on one worker takes %s under M:N.", one, many);
    else
        page_note("Tasks that only compute: %s on one worker, %s under M:N. There was no second processor to be had.", one, many);
}

static void say_memory(const struct found *found)
{
    char threads[PAGE_NUMBER], tasks[PAGE_NUMBER], kernel[PAGE_NUMBER];
    page_count(threads, found->trial[M_11].count);
    page_count(tasks, found->trial[M_MN].count);
    double hidden = found->trial[M_11].second;
    if (hidden >= 1024)
        page_note("Resident bytes, of %s threads and %s tasks. A thread has another stack in the kernel, %s, which this does not count.",
                  threads, tasks, page_bytes(kernel, hidden));
    else
        page_note("Resident bytes, of %s threads and %s tasks.", threads, tasks);
}

/* ---- the table ---- */

enum choice { SMALLEST, MIDDLE, LARGEST };

struct row {
    const char *key, *unit, *label;
    filch_fn *trial;
    enum choice choice; /* of the tries */
    bool waits;         /* the window is how long the one is blocked */
    void (*say)(const struct found *found);
};

static const struct row rows[] = {
    {"spawn", "ns", "spawn and join a task", trial_spawn, SMALLEST, false, say_spawn},
    {"handover", "ns", "wake another task", trial_handover, SMALLEST, false, say_handover},
    {"yield", "ns", "yield (CPU time)", trial_yield, SMALLEST, false, say_yield},
    {"stuck", "ns", "others held up by read(2)", trial_stuck, MIDDLE, true, say_stuck},
    {"parked_io", "ns", "… by filch_read", trial_parked_io, MIDDLE, true, say_parked_io},
    {"processors", "", "processors in use", trial_processors, LARGEST, false, say_processors},
    {"memory", "bytes", "memory of a parked task", trial_memory, SMALLEST, false, say_memory},
};

static int by_figure(const void *left, const void *right)
{
    double a = ((const struct trial *)left)->figure, b = ((const struct trial *)right)->figure;
    return (a > b) - (a < b);
}

static int try_model(const struct tour *tour, const struct row *row, int model, unsigned tries, struct found *found)
{
    struct trial trial[TRIES], given = found->trial[model];
    filch_config config = {.model = models[model], .workers = model == M_MN ? tour->workers : 0, .name = "tour"};
    given.cpus = found->cpus;
    for (unsigned i = 0; i < tries; i++) {
        trial[i] = given;
        int r = filch_run(&config, row->trial, &trial[i]);
        if (r < 0)
            return r;
    }
    qsort(trial, tries, sizeof *trial, by_figure);
    found->trial[model] = trial[row->choice == SMALLEST ? 0 : row->choice == MIDDLE ? tries / 2 : tries - 1];
    return 0;
}

/* Better or worse than the best of the row by much. */
static enum page_tone tone(const struct row *row, const struct found *found, int model)
{
    double value = figure(found, model), best = value;
    if (row->waits)
        return value > (double)found->hold / 2 ? PAGE_BAD : value < (double)found->hold / 10 ? PAGE_GOOD : PAGE_PLAIN;
    for (int i = 0; i < MODELS; i++)
        best = row->choice == LARGEST ? fmax(best, figure(found, i)) : fmin(best, figure(found, i));
    double worse = row->choice == LARGEST ? 8 * (best / value - 1) : value / best;
    return worse >= 5 ? PAGE_BAD : worse <= 2 ? PAGE_GOOD : PAGE_PLAIN;
}

static void show_value(const struct row *row, const struct found *found, int model, struct page_cell *cell)
{
    char number[PAGE_NUMBER];
    double value = figure(found, model);
    if (found->error[model] < 0)
        page_set(cell, PAGE_BAD, "%s", "failed");
    else if (strcmp(row->unit, "ns") == 0)
        page_set(cell, tone(row, found, model), "%s", page_time(number, value));
    else if (strcmp(row->unit, "bytes") == 0)
        page_set(cell, tone(row, found, model), "%s", page_bytes(number, value));
    else
        page_set(cell, tone(row, found, model), "%.2f of %u", value, found->cpus);
}

static json_t *row_json(const struct row *row, const struct found *found)
{
    json_t *object = json_pack("{s:s}", "unit", row->unit);
    for (int model = 0; model < MODELS; model++)
        json_object_set_new(object, model_names[model], found->error[model] < 0 ? json_null() : json_real(figure(found, model)));
    return object;
}

/* Measures a row and shows it. A model that fails does not keep the others from being shown. */
static void measure_row(struct tour *tour, const struct row *row, json_t *report)
{
    struct found found = {.hold = tour->quick ? FILCH_MSEC(50) : FILCH_MSEC(200)};
    struct page_cell cells[1 + MODELS];
    bool failed = false;
    cpu_set_t cpus;
    found.cpus = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
    page_set(&cells[0], PAGE_STRONG, "%s", row->label);
    for (int model = 0; model < MODELS; model++) {
        struct trial *trial = &found.trial[model];
        trial->window = row->waits ? found.hold : tour->quick ? FILCH_MSEC(20) : FILCH_MSEC(400);
        trial->tasks = (tour->quick ? 200 : 2000) * (model == M_11 ? 1 : 10);
        progress_step("%s, %s", row->label, model_names[model]);
        found.error[model] = try_model(tour, row, model, tour->quick ? 1 : row->trial == trial_memory ? 1 : TRIES, &found);
        failed = failed || found.error[model] < 0;
        show_value(row, &found, model, &cells[1 + model]);
    }
    page_row(cells);
    for (int model = 0; model < MODELS; model++)
        if (found.error[model] < 0)
            page_note("%s failed: %s", model_names[model], strerror(-found.error[model]));
    if (!failed)
        row->say(&found);
    tour->wrong = tour->wrong || failed;
    json_object_set_new(report, row->key, row_json(row, &found));
}

static void show_head(const struct tour *tour)
{
    struct page_cell head[1 + MODELS] = {{.text = ""}}, under[1 + MODELS] = {{.text = ""}};
    for (int model = 0; model < MODELS; model++)
        page_set(&head[1 + model], PAGE_STRONG, "%s", model_names[model]);
    page_set(&under[1 + M_11], PAGE_FAINT, "a thread each");
    page_set(&under[1 + M_N1], PAGE_FAINT, "one worker");
    page_set(&under[1 + M_MN], PAGE_FAINT, tour->workers ? "%u worker%s" : "all workers", tour->workers, tour->workers == 1 ? "" : "s");
    page_layout(1 + MODELS, 15);
    page_row(head);
    page_row(under);
    page_rule();
}

int tour_models(struct tour *tour)
{
    json_t *report = json_object();
    page_chapter(2, "Three threading models, one program");
    page_text("The same functions run three times: each task a kernel thread of its own (1:1), all tasks on one worker (N:1), and tasks on "
              "workers that steal from each other (M:N), which is what filch is for. One word in the configuration decides.");
    page_gap();
    show_head(tour);
    progress_steps(MODELS * BENCH_COUNT(rows));
    for (unsigned i = 0; i < BENCH_COUNT(rows); i++)
        measure_row(tour, &rows[i], report);
    progress_end();
    json_object_set_new(tour->report, "models", report);
    return 0;
}
