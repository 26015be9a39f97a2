/* SPDX-License-Identifier: MIT */
/* The tour's second chapter: one program under three threading models.
 *
 * Each trial (tour_trials.c) is run by filch_run under each model, with nothing changed but filch_config.model. A row of the table is a
 * trial, and one sentence below says what one sees; which sentence depends on the figures. Times are the best of a few tries; how long
 * others were held up is the median of them, since the best would hide it and the worst be the work of other programs. */
#include "tour.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tour_trials.h"
#include "util.h"

#define MODELS 3
#define TRIES 5

enum { M_11, M_N1, M_MN };

static const filch_model models[MODELS] = {[M_11] = FILCH_MODEL_11, [M_N1] = FILCH_MODEL_N1, [M_MN] = FILCH_MODEL_MN};
static const char *const model_names[MODELS] = {[M_11] = "1:1", [M_N1] = "N:1", [M_MN] = "M:N"};

/* ---- what one sees ---- */

struct found {
    struct trial trial[MODELS];
    int error[MODELS];
    unsigned cpus, workers; /* that we may use; of M:N */
    int64_t hold;           /* how long the one is blocked */
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
    double ms = (double)found->hold / 1e6, half = (double)found->hold / 2;
    if (figure(found, M_MN) > half)
        page_note("One task sits in read(2), %.0f ms, and no other worker can take over: the others wait for it.", ms);
    else if (figure(found, M_N1) > half)
        page_note(
            "One task sits in read(2), %.0f ms. With one worker, all others wait for it; under M:N another worker takes over the stuck "
            "one's tasks, timers and ring.",
            ms);
    else
        page_note("One task sits in read(2), %.0f ms. The others go on: what the stuck worker had is taken over.", ms);
}

static void say_parked_io(const struct found *found)
{
    if (fmax(figure(found, M_N1), figure(found, M_MN)) < (double)found->hold / 10)
        page_note("The same with filch_read: the task parks, the kernel works, the worker goes on. Nobody is held up, whatever the model.");
    else
        page_note(
            "The same with filch_read: the task parks, and its worker goes on. Others are late all the same, most likely because other "
            "programs take the processors away.");
}

static void say_processors(const struct found *found)
{
    char one[PAGE_NUMBER], many[PAGE_NUMBER];
    page_time(one, found->trial[M_N1].second);
    page_time(many, found->trial[M_MN].second);
    if (figure(found, M_MN) > 1.2)
        page_note("Tasks that only compute: what takes %s on one worker takes %s under M:N.", one, many);
    else if (found->workers == 1)
        page_note("Tasks that only compute: %s on one worker, %s under M:N, which has no more workers than one here.", one, many);
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
    {"parked_io", "ns", "others held up by filch_read", trial_parked_io, MIDDLE, true, say_parked_io},
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
    struct found found = {.cpus = tour->cpus, .workers = tour->started, .hold = tour->quick ? FILCH_MSEC(50) : FILCH_MSEC(200)};
    struct page_cell cells[1 + MODELS];
    bool failed = false;
    page_set(&cells[0], PAGE_STRONG, "%s", row->label);
    for (int model = 0; model < MODELS; model++) {
        struct trial *trial = &found.trial[model];
        trial->window = row->waits ? found.hold : tour->quick ? FILCH_MSEC(20) : FILCH_MSEC(500);
        trial->tasks = (tour->quick ? 200 : 2000) * (model == M_11 ? 1 : 10);
        progress_step("%s, %s", row->label, model_names[model]);
        found.error[model] = try_model(tour, row, model, tour->quick ? 1 : row->trial == trial_memory ? 1 : TRIES, &found);
        failed = failed || found.error[model] < 0;
    }
    for (int model = 0; model < MODELS; model++)
        show_value(row, &found, model, &cells[1 + model]);
    page_row(cells);
    for (int model = 0; model < MODELS; model++)
        if (found.error[model] < 0)
            page_complain("%s, %s: %s", row->label, model_names[model], strerror(-found.error[model]));
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
    page_set(&under[1 + M_MN], PAGE_FAINT, "%u worker%s", tour->started, tour->started == 1 ? "" : "s");
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
