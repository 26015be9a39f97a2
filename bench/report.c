/* SPDX-License-Identifier: MIT */
/* Minimum, median, maximum and spread ((max - min) / min), as text for people or as one JSON object a line for programs.
 *
 * The object: bench, workers (0: no runtime took part), model, runs, params, unit, min, median, max (of the workload's own figure);
 * wall_ms and cpu_ms, of a run on average, with what its form does before it starts the clock; peak_rss_bytes, check; then `more` with
 * the further figures, one object for each group of them ("lateness_us": {"p50": …}, medians over the runs), and with --vs the other
 * form's figures, `vs`, and `ratio`: this form's divided by the other's, pair by pair. With --vs all, `versus` is an array of such
 * objects, each with its `ratio` inside. `wrong` stands there, and is true, only after a wrong check. `distributions`, of a form with many
 * samples, has for each the unit, their number in a run, and at each `percent` the `value`, the median over the runs. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

struct summary {
    double min, median, max;
    size_t count;
};

static struct summary summarize(const double *values, size_t count)
{
    struct summary summary = {0};
    double *sorted = calloc(count + 1, sizeof *sorted);
    if (sorted && count) {
        memcpy(sorted, values, count * sizeof *sorted);
        bench_sort(sorted, count);
        summary = (struct summary){sorted[0], bench_median(sorted, count), sorted[count - 1], count};
    }
    free(sorted);
    return summary;
}

static struct summary summarize_series(const struct bench_series *series)
{
    return summarize(series->values, series->count);
}

/* this / other, pair by pair */
static struct summary ratio(const struct bench_series *mine, const struct bench_series *other)
{
    size_t count = mine->count < other->count ? mine->count : other->count;
    double *values = calloc(count + 1, sizeof *values);
    for (size_t i = 0; values && i < count; i++)
        values[i] = other->values[i] > 0 ? mine->values[i] / other->values[i] : 0;
    struct summary summary = summarize(values, values ? count : 0);
    free(values);
    return summary;
}

/* The series of `record` that has this name, or NULL. */
static const struct bench_series *series_named(const struct bench_record *record, const char *name)
{
    for (unsigned i = 0; i < record->used; i++)
        if (strcmp(record->series[i].name, name) == 0)
            return &record->series[i];
    return NULL;
}

static json_t *param_json(const struct bench_param *param)
{
    char choice[32];
    switch (param->kind) {
    case BENCH_INT:
        return json_integer(*param->at.number);
    case BENCH_REAL:
        return json_real(*param->at.real);
    case BENCH_CHOICE:
        return json_string(bench_choice(param->choices, *param->at.choice, choice));
    case BENCH_TEXT:
        return json_string(*param->at.text);
    case BENCH_FLAG:
        return json_boolean(*param->at.flag);
    case BENCH_NONE:
        break;
    }
    return json_null();
}

static json_t *params_json(const struct bench_settings *settings)
{
    json_t *params = json_object();
    for (const struct bench_param *param = settings->bench->params; param->key; param++)
        json_object_set_new(params, param->key, param_json(param));
    if (settings->bench->forms[1].name)
        json_object_set_new(params, "form", json_string(settings->form->name));
    return params;
}

static unsigned workers(const struct bench_settings *settings, const struct bench_outcome *outcome)
{
    switch (settings->form->place) {
    case BENCH_ALONE:
        return 0;
    case BENCH_APART:
    case BENCH_GO:
        return outcome->main.workers ? outcome->main.workers : (unsigned)settings->workers;
    default:
        return outcome->workers;
    }
}

/* ---- text ---- */

#define TITLE 80

static void text_row(const char *name, struct summary s)
{
    double scale = s.median < 0 ? -s.median : s.median;
    int digits = scale >= 1000 ? 0 : scale >= 100 ? 1 : scale >= 10 ? 2 : 3;
    printf("  %-34s %12.*f %12.*f %12.*f", name, digits, s.min, digits, s.median, digits, s.max);
    if (s.min > 0 && s.count > 1) /* one run has none */
        printf(" %9.1f %%\n", 100 * (s.max - s.min) / s.min);
    else
        printf(" %9s\n", "-");
}

static void text_pairs(const char *title, const json_t *object)
{
    const char *key;
    json_t *value;
    printf("  %-9s", title);
    json_object_foreach((json_t *)object, key, value)
    {
        char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(7));
        printf(" %s=%s", key, text ? text : json_string_value(value));
        free(text);
    }
    putchar('\n');
}

static const char *series_title(const struct bench_series *series, char title[TITLE])
{
    const char *dot = strchr(series->name, '.');
    snprintf(title, TITLE, "%s%s%s", series->name, series->name[0] && !dot ? ", " : "", dot ? "" : series->unit);
    return title;
}

/* The other form's figures, and the ratio of each that both have. */
static void text_versus(const struct bench_settings *settings, const struct bench_record *mine, const struct bench_form *form,
                        const struct bench_record *other)
{
    char title[TITLE], name[2 * TITLE];
    for (unsigned i = 0; i < other->used; i++) {
        snprintf(name, sizeof name, "%s, %s", form->name, series_title(&other->series[i], title));
        text_row(name, summarize_series(&other->series[i]));
    }
    for (unsigned i = 0; i < other->used; i++) {
        const struct bench_series *series = series_named(mine, other->series[i].name);
        if (!series)
            continue;
        snprintf(name, sizeof name, "%s / %s%s%s", settings->form->name, form->name, i ? ", " : "", series->name);
        text_row(name, ratio(series, &other->series[i]));
    }
}

void bench_report_text(const struct bench_settings *settings, const struct bench_outcome *outcome)
{
    char model[32], title[TITLE];
    const struct bench_record *record = &outcome->main;
    json_t *params = params_json(settings);
    printf("%s: %s\n", settings->bench->name, settings->bench->what);
    printf("  workers   %u, model %s, %d runs after a warm-up\n", workers(settings, outcome),
           bench_choice(bench_models, settings->model, model), (int)settings->runs);
    text_pairs("params", params);
    printf("  %-34s %12s %12s %12s %11s\n", "", "min", "median", "max", "spread");
    for (unsigned i = 0; i < record->used; i++)
        text_row(series_title(&record->series[i], title), summarize_series(&record->series[i]));
    for (unsigned v = 0; v < settings->versus_count; v++)
        text_versus(settings, record, settings->versus[v], &outcome->versus[v]);
    text_pairs("check", record->check);
    printf("  peak RSS  %.1f MiB\n", (double)outcome->peak_rss / (1 << 20));
    json_decref(params);
}

/* ---- JSON ---- */

static void put_summary(json_t *object, struct summary s)
{
    json_object_set_new(object, "min", json_real(s.min));
    json_object_set_new(object, "median", json_real(s.median));
    json_object_set_new(object, "max", json_real(s.max));
}

static json_t *series_json(const struct bench_series *series)
{
    json_t *object = json_pack("{s:s}", "unit", series->unit);
    put_summary(object, summarize_series(series));
    return object;
}

/* "lateness_us.p50" also goes into an object of its group. */
static void put_more(json_t *object, const struct bench_record *record)
{
    json_t *more = json_object();
    for (unsigned i = 1; i < record->used; i++) {
        const struct bench_series *series = &record->series[i];
        json_object_set_new(more, series->name, series_json(series));
        char group[48];
        size_t length = strcspn(series->name, ".");
        if (series->name[length] == 0)
            continue;
        memcpy(group, series->name, length);
        group[length] = 0;
        if (!json_object_get(object, group))
            json_object_set_new(object, group, json_object());
        json_object_set_new(json_object_get(object, group), series->name + length + 1, json_real(summarize_series(series).median));
    }
    if (json_object_size(more))
        json_object_set_new(object, "more", more);
    else
        json_decref(more);
}

static json_t *shape_json(const struct bench_shape *shape)
{
    const char *unit = strrchr(shape->name, '_');
    json_t *percents = json_array(), *values = json_array();
    double *column = calloc(shape->count + 1, sizeof *column);
    for (unsigned i = 0; column && i < BENCH_POINTS; i++) {
        for (size_t k = 0; k < shape->count; k++)
            column[k] = shape->values[k][i];
        json_array_append_new(percents, json_real(bench_points[i]));
        json_array_append_new(values, json_real(summarize(column, shape->count).median));
    }
    free(column);
    return json_pack("{s:s, s:I, s:o, s:o}", "unit", unit ? unit + 1 : "", "samples",
                     (json_int_t)(shape->count ? shape->samples / shape->count : 0), "percent", percents, "value", values);
}

static void put_distributions(json_t *object, const struct bench_record *record)
{
    if (record->shapes_used == 0)
        return;
    json_t *all = json_object();
    for (unsigned i = 0; i < record->shapes_used; i++)
        json_object_set_new(all, record->shapes[i].name, shape_json(&record->shapes[i]));
    json_object_set_new(object, "distributions", all);
}

static json_t *versus_json(const struct bench_form *form, const struct bench_record *record)
{
    json_t *object = json_pack("{s:s}", "form", form->name);
    put_summary(object, summarize_series(&record->series[0]));
    put_more(object, record);
    put_distributions(object, record);
    return object;
}

static json_t *ratio_json(const struct bench_record *mine, const struct bench_record *other)
{
    json_t *object = json_object(), *more = json_object();
    put_summary(object, ratio(&mine->series[0], &other->series[0]));
    for (unsigned i = 1; i < other->used; i++) {
        const struct bench_series *series = series_named(mine, other->series[i].name);
        if (!series)
            continue;
        json_t *one = json_object();
        put_summary(one, ratio(series, &other->series[i]));
        json_object_set_new(more, series->name, one);
    }
    if (json_object_size(more))
        json_object_set(object, "more", more);
    json_decref(more);
    return object;
}

void bench_report_json(const struct bench_settings *settings, const struct bench_outcome *outcome)
{
    char model[32];
    const struct bench_record *record = &outcome->main;
    json_t *object = json_pack("{s:s, s:i, s:s, s:I, s:o, s:s}", "bench", settings->bench->name, "workers", (int)workers(settings, outcome),
                               "model", bench_choice(bench_models, settings->model, model), "runs", (json_int_t)settings->runs, "params",
                               params_json(settings), "unit", settings->bench->unit);
    put_summary(object, summarize_series(&record->series[0]));
    json_object_set_new(object, "wall_ms", json_real(record->wall / 1e6 / (double)settings->runs));
    json_object_set_new(object, "cpu_ms", json_real(record->cpu / 1e6 / (double)settings->runs));
    json_object_set_new(object, "peak_rss_bytes", json_integer((json_int_t)outcome->peak_rss));
    json_object_set(object, "check", record->check);
    if (record->wrong)
        json_object_set_new(object, "wrong", json_true());
    put_more(object, record);
    put_distributions(object, record);
    if (settings->versus_count == 1) {
        json_object_set_new(object, "vs", versus_json(settings->versus[0], &outcome->versus[0]));
        json_object_set_new(object, "ratio", ratio_json(record, &outcome->versus[0]));
    } else if (settings->versus_count) {
        json_t *all = json_array();
        for (unsigned i = 0; i < settings->versus_count; i++) {
            json_t *versus = versus_json(settings->versus[i], &outcome->versus[i]);
            json_object_set_new(versus, "ratio", ratio_json(record, &outcome->versus[i]));
            json_array_append_new(all, versus);
        }
        json_object_set_new(object, "versus", all);
    }
    json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(object);
}
