/* SPDX-License-Identifier: MIT */
/* What came of a comparison.
 *
 * The ratio filch / peer is taken in each round and summarized by its median. The spread is from the smallest to the largest of these
 * ratios; with FIRM rounds or more the outermost on either side are left out. The margin is the median's distance from 1 as a factor. Who
 * has a margin larger than the spread, largest over smallest, is ahead; since the median lies inside the spread, the whole of it is then
 * on one side of 1. One round has no spread, and says nothing. */
#include "compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "util.h"

#define FIRM 5
#define NOISY_SPREAD 0.25
#define NOISY_OTHERS 0.10
#define LONG_ENOUGH 1.0 /* seconds of CPU; /proc/stat counts ticks of 10 ms */

static const char *const statuses[] = {"ok", "cannot", "wrong", "failed", "timeout"};

/* ---- figures ---- */

static struct compare_summary summarize(double *values, size_t count)
{
    struct compare_summary summary = {0};
    if (count == 0)
        return summary;
    bench_sort(values, count);
    size_t out = count >= FIRM;
    return (struct compare_summary){bench_median(values, count), values[out], values[count - 1 - out]};
}

struct compare_summary compare_summarize(const json_t *runs, const char *key)
{
    size_t count = json_array_size(runs), used = 0;
    double *values = calloc(count + 1, sizeof *values);
    for (size_t i = 0; values && i < count; i++) {
        const json_t *run = json_array_get(runs, i), *value = key ? json_object_get(run, key) : run;
        if (json_is_number(value))
            values[used++] = json_number_value(value);
    }
    struct compare_summary summary = summarize(values, values ? used : 0);
    free(values);
    return summary;
}

static const char *verdict_of(const struct compare_entry *entry)
{
    double margin = fabs(log(entry->ratio.median)), spread = log(entry->ratio.max / entry->ratio.min);
    if (json_array_size(entry->ratios) < 2 || !(margin > spread))
        return "can't tell";
    return entry->ratio.median < 1 ? "ahead" : "behind";
}

void compare_judge(struct compare_trial *trial)
{
    for (unsigned i = 0; i < trial->count; i++) {
        struct compare_entry *entry = &trial->entries[i];
        const struct compare_entry *filch = &trial->entries[entry->against];
        entry->ratios = json_array();
        for (size_t k = 0; entry->status == COMPARE_OK && filch != entry && k < json_array_size(entry->runs); k++) {
            double mine = json_number_value(json_object_get(json_array_get(filch->runs, k), "value"));
            double its = json_number_value(json_object_get(json_array_get(entry->runs, k), "value"));
            if (mine > 0 && its > 0)
                json_array_append_new(entry->ratios, json_real(mine / its));
        }
        if (json_array_size(entry->ratios) == 0)
            continue;
        entry->ratio = compare_summarize(entry->ratios, NULL);
        entry->verdict = verdict_of(entry);
    }
}

struct compare_noise compare_noise_of(const struct compare_trial *trials, unsigned count)
{
    struct compare_noise noise = {0};
    double *spreads = calloc((size_t)count * COMPARE_ENTRIES + 1, sizeof *spreads), others = 0, time = 0;
    size_t used = 0;
    for (unsigned t = 0; spreads && t < count; t++) {
        others += trials[t].others;
        time += trials[t].time;
        for (unsigned i = 0; i < trials[t].count; i++) {
            struct compare_summary value = compare_summarize(trials[t].entries[i].runs, "value");
            if (json_array_size(trials[t].entries[i].runs) >= 2 && value.median > 0)
                spreads[used++] = (value.max - value.min) / value.median;
        }
    }
    if (used) {
        bench_sort(spreads, used);
        noise.spread = bench_median(spreads, used);
        noise.known = true;
    }
    noise.others = time > LONG_ENOUGH && others > 0 ? others / time : 0;
    noise.noisy = (noise.known && noise.spread > NOISY_SPREAD) || noise.others > NOISY_OTHERS;
    free(spreads);
    return noise;
}

/* ---- text ---- */

void compare_params_text(const json_t *params, char *text, size_t size)
{
    const char *key;
    json_t *value;
    size_t length = 0;
    text[0] = 0;
    json_object_foreach((json_t *)params, key, value)
    {
        char *dump = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(7));
        length += (size_t)snprintf(text + length, size - length, "%s%s=%s", length ? " " : "", key, dump ? dump : json_string_value(value));
        free(dump);
        if (length >= size)
            return;
    }
}

static const char *figure(char text[24], double value)
{
    int digits = value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3;
    snprintf(text, 24, "%.*f", digits, value);
    return text;
}

/* Three digits that count: 0.0123, 1.02. */
static const char *ratio_figure(char text[24], double value)
{
    int digits = value >= 10 ? 1 : value >= 1 ? 2 : value >= 0.1 ? 3 : value >= 0.01 ? 4 : 5;
    snprintf(text, 24, "%.*f", digits, value);
    return text;
}

/* The parameters that are not those of the trial. */
static json_t *own_size(const json_t *params, const json_t *common)
{
    json_t *own = json_object(), *value;
    const char *key;
    json_object_foreach((json_t *)params, key, value)
    {
        if (!json_equal(value, json_object_get(common, key)))
            json_object_set(own, key, value);
    }
    return own;
}

static void print_entry(const struct compare_trial *trial, const struct compare_entry *entry)
{
    char name[160], params[100] = "", value[24], wall[24], cpu[24], low[24], middle[24], high[24], spread[24] = "-";
    json_t *own = own_size(entry->params, trial->params);
    compare_params_text(own, params, sizeof params);
    json_decref(own);
    snprintf(name, sizeof name, params[0] ? "%s, %s" : "%s", entry->system->name, params);
    struct compare_summary values = compare_summarize(entry->runs, "value");
    if (json_array_size(entry->runs) == 0 || entry->status != COMPARE_OK) {
        printf("  %-34s %s\n", name, entry->status == COMPARE_TIMEOUT ? "not done in time (--limit)" : entry->why);
        return;
    }
    if (json_array_size(entry->runs) > 1) /* one run has none */
        snprintf(spread, sizeof spread, "%.1f %%", values.median > 0 ? 100 * (values.max - values.min) / values.median : 0);
    printf("  %-34s %11s %8s %10s %10s %9.1f", name, figure(value, values.median), spread,
           figure(wall, compare_summarize(entry->runs, "wall_ms").median), figure(cpu, compare_summarize(entry->runs, "cpu_ms").median),
           compare_summarize(entry->runs, "peak_rss").median / (1 << 20));
    if (entry->verdict)
        printf("   %8s  %8s … %-8s %s", ratio_figure(middle, entry->ratio.median), ratio_figure(low, entry->ratio.min),
               ratio_figure(high, entry->ratio.max), entry->verdict);
    putchar('\n');
}

void compare_table(const struct compare_trial *trial)
{
    char params[200], cpus[200] = "";
    compare_params_text(trial->params, params, sizeof params);
    for (unsigned cpu = 0, length = 0; cpu < CPU_SETSIZE && length < sizeof cpus; cpu++)
        if (CPU_ISSET(cpu, &trial->cpus))
            length += (unsigned)snprintf(cpus + length, sizeof cpus - length, " %u", cpu);
    printf("\n%s %s — %u worker%s on CPU%s, %s\n", trial->workload, params, trial->workers, trial->workers == 1 ? "" : "s", cpus,
           trial->entries[0].unit);
    printf("  %-34s %11s %8s %10s %10s %9s   %8s  %8s   %-8s\n", "", "median", "spread", "wall ms", "CPU ms", "peak MiB", "filch/it",
           "from", "to");
    for (unsigned i = 0; i < trial->count; i++)
        print_entry(trial, &trial->entries[i]);
}

void compare_conclusion(const struct compare_trial *trials, unsigned count)
{
    unsigned compared = 0, ahead = 0, behind = 0;
    struct compare_noise noise = compare_noise_of(trials, count);
    for (unsigned t = 0; t < count; t++)
        for (unsigned i = 0; i < trials[t].count; i++) {
            const char *verdict = trials[t].entries[i].verdict;
            compared += verdict != NULL;
            ahead += verdict && strcmp(verdict, "ahead") == 0;
            behind += verdict && strcmp(verdict, "behind") == 0;
        }
    printf("\nfilch is ahead in %u of %u comparisons, behind in %u; of %u one can't tell.\n", ahead, compared, behind,
           compared - ahead - behind);
    for (unsigned t = 0; t < count; t++)
        for (unsigned i = 0; i < trials[t].count; i++) {
            const struct compare_entry *entry = &trials[t].entries[i];
            char middle[24];
            if (entry->verdict && json_array_size(entry->ratios) > 1 && strcmp(entry->verdict, "ahead") != 0)
                printf("  %s: %s, %u worker%s, %s: %s\n", entry->verdict, trials[t].workload, trials[t].workers,
                       trials[t].workers == 1 ? "" : "s", entry->system->name, ratio_figure(middle, entry->ratio.median));
            if (entry->status == COMPARE_WRONG)
                printf("  WRONG: %s, %s: %s\n", trials[t].workload, entry->system->name, entry->why);
        }
    if (noise.known)
        printf("The same program differs by %.0f %% between rounds (median); others used %.0f %% of the CPUs meanwhile.\n",
               100 * noise.spread, 100 * noise.others);
    if (noise.noisy)
        puts("This machine is too noisy to tell: above 25 % or 10 %, small margins here mean nothing.");
}

/* ---- JSON ---- */

static json_t *summary_json(struct compare_summary s)
{
    return json_pack("{s:f, s:f, s:f}", "median", s.median, "min", s.min, "max", s.max);
}

static json_t *entry_json(const struct compare_entry *entry)
{
    static const char *const keys[] = {"value", "wall_ms", "cpu_ms", "peak_rss"};
    json_t *object =
        json_pack("{s:s, s:s, s:O, s:O, s:s, s:O, s:i}", "system", entry->system->name, "status", statuses[entry->status], "command",
                  entry->command, "params", entry->params, "unit", entry->unit, "runs", entry->runs, "against", (int)entry->against);
    if (entry->status != COMPARE_OK)
        json_object_set_new(object, "why", json_string(entry->why));
    for (unsigned i = 0; json_array_size(entry->runs) && i < BENCH_COUNT(keys); i++)
        json_object_set_new(object, keys[i], summary_json(compare_summarize(entry->runs, keys[i])));
    if (entry->verdict)
        json_object_set_new(object, "ratio",
                            json_pack("{s:f, s:f, s:f, s:O, s:s}", "median", entry->ratio.median, "low", entry->ratio.min, "high",
                                      entry->ratio.max, "rounds", entry->ratios, "verdict", entry->verdict));
    return object;
}

static json_t *trial_json(const struct compare_trial *trial)
{
    json_t *cpus = json_array(), *entries = json_array();
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &trial->cpus))
            json_array_append_new(cpus, json_integer(cpu));
    for (unsigned i = 0; i < trial->count; i++)
        json_array_append_new(entries, entry_json(&trial->entries[i]));
    return json_pack("{s:s, s:i, s:o, s:O, s:o}", "workload", trial->workload, "workers", (int)trial->workers, "cpus", cpus, "params",
                     trial->params, "entries", entries);
}

/* What follows `key` and a separator in a file of such lines. */
static json_t *line_of(const char *path, const char *key, const char *separators)
{
    char line[512];
    json_t *found = NULL;
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof line, file)) {
        char *value = line + strcspn(line, separators);
        if (strncmp(line, key, strlen(key)) != 0 || !*value)
            continue;
        value += strspn(value, separators);
        value += strspn(value, " \"");
        value[strcspn(value, "\"\n")] = 0;
        found = json_string(value);
    }
    if (file)
        fclose(file);
    return found ? found : json_null();
}

json_t *compare_machine(void)
{
    struct utsname uts;
    char kernel[200];
    uname(&uts);
    snprintf(kernel, sizeof kernel, "%s %s %s", uts.sysname, uts.release, uts.machine);
    double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    cpu_set_t allowed;
    sched_getaffinity(0, sizeof allowed, &allowed);
    return json_pack("{s:o, s:i, s:i, s:I, s:s, s:o}", "cpu", line_of("/proc/cpuinfo", "model name", ":"), "cpus_online",
                     (int)sysconf(_SC_NPROCESSORS_ONLN), "cpus_allowed", CPU_COUNT(&allowed), "memory_bytes", (json_int_t)memory, "kernel",
                     kernel, "system", line_of("/etc/os-release", "PRETTY_NAME", "="));
}

json_t *compare_json(const struct compare_systems *systems, const struct compare_trial *trials, unsigned count)
{
    char date[32] = "";
    time_t now = time(NULL);
    struct tm tm;
    json_t *who = json_array(), *results = json_array();
    struct compare_noise noise = compare_noise_of(trials, count);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    for (unsigned i = 0; i < systems->count; i++)
        json_array_append_new(who, json_pack("{s:s, s:s, s:s}", "name", systems->all[i].name, "version", systems->all[i].version, "command",
                                             systems->all[i].program));
    for (unsigned t = 0; t < count; t++)
        json_array_append_new(results, trial_json(&trials[t]));
    return json_pack("{s:s, s:o, s:o, s:{s:f, s:f, s:b}, s:o}", "date", date, "machine", compare_machine(), "systems", who, "noise",
                     "spread", noise.spread, "others", noise.others, "noisy", (int)noise.noisy, "results", results);
}
