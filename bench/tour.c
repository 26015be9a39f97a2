/* SPDX-License-Identifier: MIT */
/* tour: filch shown to somebody who has just built it, in a minute.
 *
 *     1  the machine    what filch found, and where it put its workers        tour_machine.c
 *     2  three models   one program on kernel threads, N:1 and M:N            tour_models.c, tour_trials.c
 *     3  a million      tasks spawned, in a tree, and parked                  tour_million.c
 *     4  files          a directory tree read and hashed by tasks             tour_files.c
 *
 * Chapters 3 and 4 run the workloads that `filch-bench run` measures, in fewer runs, and show the best of them; chapter 2 has trials of
 * its own, which last as long as they are given and count what was done, so that the tour takes the same time on a slow model as on a
 * fast one. A chapter starts and stops its own runtimes: nothing is left over for the next one.
 *
 * What is said under a figure is chosen by the figure: where a machine is different, so are the sentences. Every figure shown also goes
 * into one JSON object, which --json prints in place of the page. Exit status: 0; 1 something failed or a check was wrong; 2 the command
 * line was not understood. */
#include "tour.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"

static const char usage[] = "usage: filch-bench tour [--quick] [--workers N] [--dir DIR] [--json]\n"
                            "\n"
                            "Shows filch in four chapters, in about a minute: the machine, three threading models\n"
                            "side by side, a million tasks, and a directory tree read and hashed by tasks.\n"
                            "\n"
                            "  --quick        smaller sizes, a few seconds: a test, not a measurement\n"
                            "  --workers N    workers of the M:N model; default: one per allowed core\n"
                            "  --dir DIR      whose files are hashed; default: /usr/include, or else /usr/share\n"
                            "  --json         the figures as one JSON object, and no text\n"
                            "  -h, --help     this\n";

/* ---- workloads ---- */

void tour_set(const struct bench *bench, const char *key, int64_t value)
{
    for (const struct bench_param *param = bench->params; param->key; param++)
        if (param->kind == BENCH_INT && strcmp(param->key, key) == 0)
            *param->at.number = value;
}

double tour_best(const struct bench_record *record, const char *name)
{
    for (unsigned i = 0; i < record->used; i++) {
        const struct bench_series *series = &record->series[i];
        double best = NAN;
        for (size_t k = 0; k < series->count; k++)
            best = fmin(best, series->values[k]);
        if (name ? strcmp(series->name, name) == 0 : i == 0)
            return best;
    }
    return NAN;
}

static int as_task(void *arg)
{
    struct bench_run *run = arg;
    return run->form->run(run);
}

/* @param runtime started if it is needed and NULL; the caller stops it */
static int run_once(const struct bench_form *form, unsigned workers, struct bench_record *record, bool keep, filch_runtime **runtime)
{
    struct bench_run run = {.form = form, .record = record, .check = json_object(), .keep = keep};
    const filch_config config = {.workers = workers, .name = "tour"};
    int r = 0;
    if (form->place == BENCH_TASK && !*runtime)
        r = filch_start(&config, runtime);
    run.runtime = *runtime;
    if (r >= 0)
        r = form->place == BENCH_TASK ? filch_call(run.runtime, as_task, &run) : form->run(&run);
    bench_run_end(&run);
    return r;
}

static void stop(filch_runtime **runtime)
{
    filch_stop(*runtime, FILCH_NEVER);
    *runtime = NULL;
}

int tour_workload(struct tour *tour, const struct bench *bench, unsigned form, unsigned workers, unsigned runs, const char *what,
                  struct bench_record *record)
{
    filch_runtime *runtime = NULL;
    bench_record_init(record, bench->unit, runs);
    int r = bench->prepare ? bench->prepare() : 0;
    if (r < 0)
        return r;
    for (unsigned i = 0; r >= 0 && i <= runs; i++) {
        if (i)
            progress_step("%s, run %u of %u", what, i, runs);
        else
            progress_step("%s, warm-up", what);
        r = run_once(&bench->forms[form], workers, record, i > 0, &runtime);
        if (bench->fresh)
            stop(&runtime);
        if (i == 0)
            bench_peak_reset();
    }
    stop(&runtime);
    if (bench->finish)
        bench->finish();
    if (r < 0)
        page_complain("%s: %s", bench->name, strerror(-r));
    tour->wrong = tour->wrong || record->wrong;
    return r;
}

/* ---- the way through ---- */

static void command(const char *arguments, const char *what)
{
    char text[128];
    bool brief = strlen(program_invocation_name) <= 24;
    snprintf(text, sizeof text, "%s %s", brief ? program_invocation_name : program_invocation_short_name, arguments);
    page_command(text, what);
}

static void farewell(void)
{
    page_chapter(5, "What next");
    command("list", "the workloads");
    command("run fork --workers 1", "one of them, measured");
    command("run yield --model 11", "on kernel threads");
    page_command("docs/GUIDE.md", "how to write programs");
    page_gap();
}

static int walk(struct tour *tour)
{
    static int (*const chapters[])(struct tour *) = {tour_machine, tour_models, tour_million, tour_files};
    int r = 0;
    page_title("filch " FILCH_VERSION ": a tour", tour->quick ? "quick: a test, no measurement" : "about a minute");
    for (unsigned i = 0; r >= 0 && i < BENCH_COUNT(chapters); i++)
        r = chapters[i](tour);
    progress_end();
    if (r >= 0)
        farewell();
    return r;
}

static int read_workers(const char *text, unsigned *ret_workers)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < 0 || value > 1024) {
        bench_say("tour: --workers takes a whole number from 0 to 1024, not '%s'", text);
        return -EINVAL;
    }
    *ret_workers = (unsigned)value;
    return 0;
}

static int read_dir(const char *text, const char **ret_dir)
{
    struct stat status;
    if (lstat(text, &status) < 0 || !S_ISDIR(status.st_mode)) {
        bench_say("tour: '%s' is not a directory (links are not followed)", text);
        return -EINVAL;
    }
    *ret_dir = text;
    return 0;
}

/* @return 0; 1: the help was asked for; -EINVAL once it has said what is wrong. */
static int read_options(struct tour *tour, int argc, char **argv)
{
    static const struct option options[] = {{"quick", no_argument, NULL, 'q'},     {"workers", required_argument, NULL, 'w'},
                                            {"dir", required_argument, NULL, 'd'}, {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},      {0}};
    int r = 0;
    opterr = 0;
    optind = 0;
    for (int c; r == 0 && (c = getopt_long(argc, argv, ":h", options, NULL)) != -1;)
        switch (c) {
        case 'q':
            tour->quick = true;
            break;
        case 'j':
            tour->json = true;
            break;
        case 'w':
            r = read_workers(optarg, &tour->workers);
            break;
        case 'd':
            r = read_dir(optarg, &tour->dir);
            break;
        case 'h':
            return 1;
        default:
            bench_say(c == ':' ? "tour: %s needs a value" : "tour: no option '%s'; see filch-bench tour --help", argv[optind - 1]);
            r = -EINVAL;
        }
    if (r == 0 && optind < argc) {
        bench_say("tour: no place for '%s'; see filch-bench tour --help", argv[optind]);
        r = -EINVAL;
    }
    return r;
}

int bench_tour(int argc, char **argv)
{
    struct tour tour = {.dir = access("/usr/include", R_OK | X_OK) == 0 ? "/usr/include" : "/usr/share"};
    int r = read_options(&tour, argc, argv);
    if (r > 0)
        return fputs(usage, stdout) < 0;
    if (r < 0)
        return 2;
    tour.report = json_pack("{s:s, s:b}", "filch", filch_version(), "quick", tour.quick);
    page_open(tour.json);
    r = walk(&tour);
    if (tour.wrong)
        json_object_set_new(tour.report, "wrong", json_true());
    if (r >= 0 && tour.json) {
        json_dumpf(tour.report, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
        putchar('\n');
    }
    if (page_close() < 0)
        r = -EIO;
    json_decref(tour.report);
    return r < 0 || tour.wrong;
}
