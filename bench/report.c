/* SPDX-License-Identifier: MIT */
/* Minimum, median, maximum and spread ((max - min) / min), as text for people or as one JSON object a line for programs.
 *
 * The object: bench, workers (0: no runtime took part), model, runs, params, unit, min, median, max (of the workload's own figure),
 * peak_rss_bytes, check; then `more` with the further figures, one object for each group of them ("lateness_us": {"p50": …}, medians
 * over the runs), and with --vs the other form's figures and `ratio`: this form's divided by the other's, pair by pair. `wrong` stands
 * there, and is true, only after a wrong check. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

struct summary {
    double min, median, max;
};

static struct summary summarize(const double *values, size_t count)
{
    struct summary summary = {0};
    double *sorted = calloc(count + 1, sizeof *sorted);
    if (sorted && count) {
        memcpy(sorted, values, count * sizeof *sorted);
        bench_sort(sorted, count);
        summary = (struct summary){sorted[0], bench_median(sorted, count), sorted[count - 1]};
    }
    free(sorted);
    return summary;
}

static struct summary summarize_series(const struct bench_series *series)
{
    return summarize(series->values, series->count);
}

/* this / other, pair by pair */
static struct summary ratio(const struct bench_outcome *outcome)
{
    const struct bench_series *mine = &outcome->main.series[0], *other = &outcome->versus.series[0];
    size_t count = mine->count < other->count ? mine->count : other->count;
    double *values = calloc(count + 1, sizeof *values);
    for (size_t i = 0; values && i < count; i++)
        values[i] = other->values[i] > 0 ? mine->values[i] / other->values[i] : 0;
    struct summary summary = summarize(values, values ? count : 0);
    free(values);
    return summary;
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
    return settings->form->place == BENCH_ALONE ? 0 : outcome->workers;
}

/* ---- text ---- */

static void text_row(const char *name, struct summary s)
{
    double scale = s.median < 0 ? -s.median : s.median;
    int digits = scale >= 1000 ? 0 : scale >= 100 ? 1 : scale >= 10 ? 2 : 3;
    printf("  %-22s %12.*f %12.*f %12.*f", name, digits, s.min, digits, s.median, digits, s.max);
    if (s.min > 0)
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

void bench_report_text(const struct bench_settings *settings, const struct bench_outcome *outcome)
{
    char model[32], name[80];
    const struct bench_record *record = &outcome->main;
    json_t *params = params_json(settings);
    printf("%s: %s\n", settings->bench->name, settings->bench->what);
    printf("  workers   %u, model %s, %d runs after a warm-up\n", workers(settings, outcome),
           bench_choice(bench_models, settings->model, model), (int)settings->runs);
    text_pairs("params", params);
    printf("  %-22s %12s %12s %12s %11s\n", "", "min", "median", "max", "spread");
    for (unsigned i = 0; i < record->used; i++) {
        const struct bench_series *series = &record->series[i];
        const char *dot = strchr(series->name, '.');
        snprintf(name, sizeof name, "%s%s%s", series->name, i && !dot ? ", " : "", dot ? "" : series->unit);
        text_row(name, summarize_series(series));
    }
    if (settings->versus) {
        snprintf(name, sizeof name, "%s, %s", settings->versus->name, settings->bench->unit);
        text_row(name, summarize_series(&outcome->versus.series[0]));
        snprintf(name, sizeof name, "%s / %s", settings->form->name, settings->versus->name);
        text_row(name, ratio(outcome));
    }
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

void bench_report_json(const struct bench_settings *settings, const struct bench_outcome *outcome)
{
    char model[32];
    const struct bench_record *record = &outcome->main;
    json_t *object = json_pack("{s:s, s:i, s:s, s:I, s:o, s:s}", "bench", settings->bench->name, "workers", (int)workers(settings, outcome),
                               "model", bench_choice(bench_models, settings->model, model), "runs", (json_int_t)settings->runs, "params",
                               params_json(settings), "unit", settings->bench->unit);
    put_summary(object, summarize_series(&record->series[0]));
    json_object_set_new(object, "peak_rss_bytes", json_integer((json_int_t)outcome->peak_rss));
    json_object_set(object, "check", record->check);
    if (record->wrong)
        json_object_set_new(object, "wrong", json_true());
    put_more(object, record);
    if (settings->versus) {
        json_t *versus = json_pack("{s:s}", "form", settings->versus->name), *ratios = json_object();
        put_summary(versus, summarize_series(&outcome->versus.series[0]));
        put_summary(ratios, ratio(outcome));
        json_object_set_new(object, "vs", versus);
        json_object_set_new(object, "ratio", ratios);
    }
    json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(object);
}
