/* SPDX-License-Identifier: MIT */
/* What a run says about itself. Figures of the warm-up are dropped, its check is not. */
#include "harness.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

void bench_record_init(struct bench_record *record, const char *unit, size_t runs)
{
    *record = (struct bench_record){.runs = runs, .used = 1};
    record->series[0] = (struct bench_series){.unit = unit, .values = calloc(runs, sizeof(double))};
}

void bench_record_fini(struct bench_record *record)
{
    for (unsigned i = 0; i < record->used; i++)
        free(record->series[i].values);
    for (unsigned i = 0; i < record->shapes_used; i++)
        free(record->shapes[i].values);
    json_decref(record->check);
    *record = (struct bench_record){0};
}

filch_runtime *bench_runtime(const struct bench_run *run)
{
    return run->runtime;
}

const filch_config *bench_config(const struct bench_run *run)
{
    return &run->config;
}

void bench_workers(struct bench_run *run, unsigned workers)
{
    run->record->workers = workers;
}

static void keep(const struct bench_run *run, struct bench_series *series, double value)
{
    if (run->keep && series->values && series->count < run->record->runs)
        series->values[series->count++] = value;
}

void bench_result(struct bench_run *run, double value)
{
    if (run->keep) {
        run->record->wall += (double)(filch_now() - run->start);
        run->record->cpu += (double)(bench_cpu_time() - run->cpu);
    }
    keep(run, &run->record->series[0], value);
}

void bench_more(struct bench_run *run, const char *name, const char *unit, double value)
{
    struct bench_record *record = run->record;
    unsigned i = 1;
    while (i < record->used && strcmp(record->series[i].name, name) != 0)
        i++;
    if (i == BENCH_SERIES)
        return;
    struct bench_series *series = &record->series[i];
    if (i == record->used) {
        record->used++;
        *series = (struct bench_series){.unit = unit, .values = calloc(record->runs, sizeof(double))};
        snprintf(series->name, sizeof series->name, "%s", name);
    }
    keep(run, series, value);
}

const double bench_points[BENCH_POINTS] = {0, 1, 5, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99, 99.999, 100};

void bench_distribution(struct bench_run *run, const char *name, const double at[BENCH_POINTS], size_t samples)
{
    struct bench_record *record = run->record;
    unsigned i = 0;
    while (i < record->shapes_used && strcmp(record->shapes[i].name, name) != 0)
        i++;
    if (!run->keep || i == BENCH_DISTRIBUTIONS)
        return;
    struct bench_shape *shape = &record->shapes[i];
    if (i == record->shapes_used) {
        record->shapes_used++;
        *shape = (struct bench_shape){.values = calloc(record->runs, sizeof *shape->values)};
        snprintf(shape->name, sizeof shape->name, "%s", name);
    }
    if (!shape->values || shape->count == record->runs)
        return;
    memcpy(shape->values[shape->count++], at, sizeof *shape->values);
    shape->samples += samples;
}

void bench_spread(struct bench_run *run, const char *name, double *samples, size_t count)
{
    static const struct {
        const char *name;
        double percent;
    } points[] = {{"p50", 50}, {"p99", 99}, {"max", 100}};
    const char *unit = strrchr(name, '_');
    double at[BENCH_POINTS];
    bench_sort(samples, count);
    for (unsigned i = 0; i < BENCH_COUNT(points); i++) {
        char full[48];
        snprintf(full, sizeof full, "%s.%s", name, points[i].name);
        bench_more(run, full, unit ? unit + 1 : "", bench_percentile(samples, count, points[i].percent));
    }
    for (unsigned i = 0; i < BENCH_POINTS; i++)
        at[i] = bench_percentile(samples, count, bench_points[i]);
    bench_distribution(run, name, at, count);
}

void bench_check(struct bench_run *run, const char *name, int64_t got, int64_t expected)
{
    json_object_set_new(run->check, name, json_integer(got));
    if (got != expected) {
        bench_say("wrong: %s is %" PRId64 ", not %" PRId64, name, got, expected);
        run->record->wrong = true;
    }
}

void bench_check_text(struct bench_run *run, const char *name, const char *text)
{
    json_object_set_new(run->check, name, json_string(text));
}

void bench_run_end(struct bench_run *run)
{
    struct bench_record *record = run->record;
    if (!record->check) {
        record->check = run->check;
    } else {
        if (!json_equal(record->check, run->check)) {
            bench_say("wrong: the check of this run differs from that of the first");
            record->wrong = true;
        }
        json_decref(run->check);
    }
    run->check = NULL;
}
