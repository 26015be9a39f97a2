/* SPDX-License-Identifier: MIT */
/* The tour's fourth chapter: a directory tree read and hashed, by the workload `tree`: on a plain thread with plain calls, by tasks on one
 * worker, and by tasks on all of them. All three must come to the same digest. */
#include "tour.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { TASKS, SERIAL }; /* the forms of `tree` */

static const struct way {
    const char *key, *label, *what;
    unsigned form;
    bool one;
} ways[] = {
    {"plain", "one plain thread", "files, one plain thread", SERIAL, true},
    {"one", "tasks on one worker", "files, one worker", TASKS, true},
    {"all", "tasks on all workers", "files, all workers", TASKS, false},
};

#define WAYS (sizeof ways / sizeof *ways)

struct result {
    double ms, files, bytes;
    char digest[80];
};

static int measure(struct tour *tour, const struct way *way, unsigned runs, struct result *ret_result)
{
    struct bench_record record;
    int r = tour_workload(tour, &bench_tree, way->form, way->one ? 1 : tour->workers, runs, way->what, &record);
    if (r >= 0) {
        *ret_result = (struct result){
            .ms = tour_best(&record, NULL),
            .files = (double)json_integer_value(json_object_get(record.check, "files")),
            .bytes = (double)json_integer_value(json_object_get(record.check, "bytes")),
        };
        const char *digest = json_string_value(json_object_get(record.check, "digest"));
        snprintf(ret_result->digest, sizeof ret_result->digest, "%s", digest ? digest : "");
    }
    bench_record_fini(&record);
    return r;
}

static void show(const struct way *way, const struct result *result, const struct result *first)
{
    struct page_cell cells[5];
    char number[PAGE_NUMBER];
    page_set(&cells[0], PAGE_STRONG, "%s", way->label);
    page_set(&cells[1], PAGE_PLAIN, "%s", page_time(number, result->ms * 1e6));
    page_set(&cells[2], PAGE_PLAIN, "%s", page_count(number, result->files / result->ms * 1e3));
    page_set(&cells[3], PAGE_PLAIN, "%s", page_count(number, result->bytes / result->ms / 1e3));
    page_set(&cells[4], result->ms < first->ms * 0.7 ? PAGE_GOOD : PAGE_PLAIN, "%.2f×", first->ms / result->ms);
    page_row(cells);
}

static void show_head(void)
{
    static const char *const titles[] = {"", "time", "files/s", "MB/s", "speed"};
    struct page_cell cells[5];
    for (unsigned i = 0; i < 5; i++)
        page_set(&cells[i], PAGE_FAINT, "%s", titles[i]);
    page_layout(5, 12);
    page_gap();
    page_row(cells);
    page_rule();
}

static json_t *result_json(const struct result *result)
{
    return json_pack("{s:f, s:f, s:f}", "ms", result->ms, "files", result->files, "bytes", result->bytes);
}

static int compare(struct tour *tour, json_t *report, unsigned runs)
{
    struct result results[WAYS];
    char files[PAGE_NUMBER], bytes[PAGE_NUMBER];
    bool same = true;
    for (unsigned i = 0; i < WAYS; i++) {
        int r = measure(tour, &ways[i], runs, &results[i]);
        if (r < 0)
            return r;
        if (i == 0) {
            page_text(
                "%s files below %s, %s, are in the page cache. A task for each file opens, reads, hashes (SHA-256) and closes it; what "
                "would block goes through the ring, and the task parks.",
                page_count(files, results->files), tour->dir, page_bytes(bytes, results->bytes));
            show_head();
        }
        show(&ways[i], &results[i], &results[0]);
        json_object_set_new(report, ways[i].key, result_json(&results[i]));
        same = same && strcmp(results[i].digest, results[0].digest) == 0;
    }
    page_gap();
    page_text(same ? "All three came to the same digest, %.16s… It is also what this prints:"
                   : "The digests differ: %.16s… is not the only one!",
              results[0].digest);
    page_line("  find %s -type f -print0 | xargs -0 sha256sum |", tour->dir);
    page_line("      LC_ALL=C sort -k2 | sha256sum");
    tour->wrong = tour->wrong || !same;
    json_object_set_new(report, "digest", json_string(results[0].digest));
    return 0;
}

static void set_dir(const char *dir)
{
    for (const struct bench_param *param = bench_tree.params; param->key; param++)
        if (strcmp(param->key, "dir") == 0)
            *param->at.text = dir;
}

/* As many files at once as descriptors are left, with some to spare for directories and rings. */
static void set_at_once(const struct tour *tour)
{
    struct rlimit files;
    int64_t most = 256, kept = 16 + 4 * (int64_t)tour->started;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < (rlim_t)(most + kept))
        most = (int64_t)files.rlim_cur > kept ? (int64_t)files.rlim_cur - kept : 1;
    tour_set(&bench_tree, "at-once", most);
}

int tour_files(struct tour *tour)
{
    unsigned runs = tour->quick ? 1 : 5;
    json_t *report = json_pack("{s:s}", "dir", tour->dir);
    page_chapter(4, "A directory tree, read and hashed by tasks");
    set_dir(tour->dir);
    set_at_once(tour);
    progress_steps(WAYS * (runs + 1));
    int r = compare(tour, report, runs);
    progress_end();
    json_object_set_new(tour->report, "files", report);
    return r;
}
