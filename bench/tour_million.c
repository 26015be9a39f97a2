/* SPDX-License-Identifier: MIT */
/* The tour's third chapter: a million tasks, by the workloads `flat`, `skynet` and `park`.
 *
 * The million that are parked at once need memory: 4.3 KiB each, and some page tables. As many are made as two thirds of what is
 * available have room for; that is the least of MemAvailable, what the cgroup at the root of our view has left, and RLIMIT_AS with 68 KiB
 * of address space for each. */
#include "tour.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "util.h"

#define MILLION 1000000
#define PARKED_BYTES 4500.0
#define STACK_BYTES (65536.0 + 4096)

/* ---- how many ---- */

static double number_in(const char *path, const char *format)
{
    char line[256];
    double number = INFINITY, found;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, format, &found) == 1)
            number = found;
    if (file)
        fclose(file);
    return number;
}

static double memory_left(void)
{
    double left = number_in("/proc/meminfo", "MemAvailable: %lf") * 1024;
    double used2 = number_in("/sys/fs/cgroup/memory.current", "%lf");
    double used1 = number_in("/sys/fs/cgroup/memory/memory.usage_in_bytes", "%lf");
    if (isfinite(used2))
        left = fmin(left, number_in("/sys/fs/cgroup/memory.max", "%lf") - used2);
    if (isfinite(used1))
        left = fmin(left, number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes", "%lf") - used1);
    return left;
}

static int64_t how_many(const struct tour *tour)
{
    struct rlimit space;
    double most = tour->quick ? MILLION / 20 : MILLION, fit = memory_left() * 2 / 3 / PARKED_BYTES;
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
        fit = fmin(fit, (double)space.rlim_cur / 2 / STACK_BYTES);
    return fit >= most ? (int64_t)most : fit < 1000 ? 1000 : (int64_t)(fit / 1000) * 1000;
}

/* ---- rows ---- */

struct row {
    const char *label;
    double tasks, ns, bytes; /* bytes: of all tasks together; NAN: not shown */
};

static void show(const struct row *row)
{
    struct page_cell cells[6];
    char number[PAGE_NUMBER];
    page_set(&cells[0], PAGE_STRONG, "%s", row->label);
    page_set(&cells[1], PAGE_PLAIN, "%s", page_count(number, row->tasks));
    page_set(&cells[2], PAGE_PLAIN, "%s", page_time(number, row->ns));
    page_set(&cells[3], PAGE_GOOD, "%s", page_time(number, row->ns / row->tasks));
    page_set(&cells[4], PAGE_PLAIN, "%s", page_rate(number, row->tasks / row->ns * 1e9));
    if (row->bytes < 1 << 20)
        page_set(&cells[5], PAGE_PLAIN, "< 1\u00a0MiB");
    else
        page_set(&cells[5], PAGE_PLAIN, "%s", isnan(row->bytes) ? "" : page_bytes(number, row->bytes));
    page_row(cells);
}

static void put(struct tour *tour, const char *key, const struct row *row)
{
    json_t *object = json_pack("{s:f, s:f}", "tasks", row->tasks, "ns", row->ns);
    if (!isnan(row->bytes))
        json_object_set_new(object, "bytes", json_real(row->bytes));
    json_object_set_new(json_object_get(tour->report, "million"), key, object);
}

static int spawn_flat(struct tour *tour, unsigned runs)
{
    struct bench_record record;
    struct row row = {.label = "spawned by one", .tasks = tour->quick ? MILLION / 10 : MILLION};
    double before = (double)bench_memory("VmRSS:");
    tour_set(&bench_flat, "tasks", (int64_t)row.tasks);
    int r = tour_workload(tour, &bench_flat, 0, tour->workers, runs, "a million tasks from one", &record);
    row.ns = tour_best(&record, NULL) * row.tasks;
    row.bytes = fmax((double)bench_peak() - before, 0);
    bench_record_fini(&record);
    if (r < 0)
        return r;
    show(&row);
    page_note("A task that never parks needs no stack of its own, and a spawner that is far ahead lets its children go first: a million "
              "pending tasks never exist.");
    put(tour, "flat", &row);
    return 0;
}

static int spawn_tree(struct tour *tour, unsigned runs)
{
    struct bench_record record;
    int64_t levels = tour->quick ? 5 : 6, leaves = tour->quick ? MILLION / 10 : MILLION;
    struct row row = {.label = "as a tree", .tasks = (double)(leaves + leaves / 9)};
    double before = (double)bench_memory("VmRSS:");
    char sum[PAGE_NUMBER];
    tour_set(&bench_skynet, "levels", levels);
    int r = tour_workload(tour, &bench_skynet, 0, tour->workers, runs, "a tree of a million leaves", &record);
    row.ns = tour_best(&record, NULL) * 1e6;
    row.bytes = fmax((double)bench_peak() - before, 0);
    page_count(sum, (double)json_integer_value(json_object_get(record.check, "sum")));
    bench_record_fini(&record);
    if (r < 0)
        return r;
    show(&row);
    page_note("Skynet: each task spawns ten and adds up what they return. The sum of all leaves, %s, is right.", sum);
    put(tour, "skynet", &row);
    return 0;
}

static void say_parked(const struct row *row, double mappings)
{
    char each[PAGE_NUMBER], maps[PAGE_NUMBER];
    page_bytes(each, row->bytes / row->tasks);
    page_count(maps, mappings);
    page_note(
        "All of them wait for one event at the same time, each on a stack of its own: %s a task, and %s memory mappings for all of them.",
        each, maps);
}

static int park_all(struct tour *tour)
{
    struct bench_record record;
    struct row parked = {.label = "parked at once", .tasks = (double)how_many(tour)}, woken = parked;
    woken.label = "woken again";
    double mappings = (double)bench_maps();
    tour_set(&bench_park, "tasks", (int64_t)parked.tasks);
    int r = tour_workload(tour, &bench_park, 0, tour->workers, 1, "a million tasks parked", &record);
    parked.ns = tour_best(&record, NULL) * 1e6;
    parked.bytes = tour_best(&record, "memory") * parked.tasks;
    woken.ns = tour_best(&record, "wake") * 1e6;
    woken.bytes = NAN;
    if (r >= 0) {
        show(&parked);
        if (!tour->quick && parked.tasks < MILLION)
            page_note("There is no memory at hand for a million.");
        say_parked(&parked, fmax(tour_best(&record, "maps") - mappings, 0)); /* others may have gone meanwhile */
        show(&woken);
        page_note("One call sets the event; every task has run again, ended, and been joined by then.");
        put(tour, "parked", &parked);
        put(tour, "woken", &woken);
    }
    bench_record_fini(&record);
    return r;
}

static void show_head(void)
{
    static const char *const titles[] = {"", "tasks", "time", "a task", "a second", "memory"};
    struct page_cell cells[BENCH_COUNT(titles)];
    for (unsigned i = 0; i < BENCH_COUNT(titles); i++)
        page_set(&cells[i], PAGE_FAINT, "%s", titles[i]);
    page_layout(BENCH_COUNT(titles), 11);
    page_row(cells);
    page_rule();
}

int tour_million(struct tour *tour)
{
    unsigned runs = tour->quick ? 1 : 10;
    json_object_set_new(tour->report, "million", json_object());
    page_chapter(3, "A million tasks");
    show_head();
    progress_steps(2 * (runs + 1) + 2);
    int r = spawn_flat(tour, runs);
    if (r >= 0)
        r = spawn_tree(tour, runs);
    if (r >= 0)
        r = park_all(tour);
    progress_end();
    return r;
}
