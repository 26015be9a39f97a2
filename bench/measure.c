/* SPDX-License-Identifier: MIT */
/* A warm-up, then the runs.
 *
 * With --vs the forms are run alternately in this one process (the others first), so that a drift of the machine's speed hits all
 * alike; the report then gives the ratio of each pair. The peak of memory begins anew after the warm-up, where the kernel can do that.
 *
 * Runtimes: see bench.h. One that is kept stays up during the serial runs of --vs; it sleeps then. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

static filch_runtime *runtime; /* the one that is up */

static filch_config config_of(const struct bench_settings *settings)
{
    return (filch_config){
        .workers = (unsigned)settings->workers,
        .model = (filch_model)settings->model,
        .pin = (filch_pinning)settings->pin,
        .stack_size = (size_t)settings->stack_size,
        .name = "bench",
    };
}

static int start(const filch_config *config, struct bench_outcome *outcome)
{
    int r = runtime ? 0 : filch_start(config, &runtime);
    if (r < 0)
        bench_say("the runtime cannot start: %s", strerror(-r));
    else
        outcome->workers = filch_workers(runtime);
    return r;
}

static void stop(void)
{
    filch_stop(runtime, FILCH_NEVER);
    runtime = NULL;
}

/* One line for each run, on a terminal or when runs are long. */
static void progress(const struct bench_settings *settings, int64_t number, int64_t last)
{
    bool terminal = isatty(STDERR_FILENO);
    if (!terminal && last < FILCH_SEC(1))
        return;
    const char *begin = terminal ? "\r\033[K" : "", *end = terminal ? "" : "\n";
    if (number > settings->runs)
        fputs(begin, stderr);
    else if (number == 0)
        fprintf(stderr, "%s%s: warm-up …%s", begin, settings->bench->name, end);
    else
        fprintf(stderr, "%s%s: run %d of %d …%s", begin, settings->bench->name, (int)number, (int)settings->runs, end);
}

static int as_task(void *arg)
{
    struct bench_run *run = arg;
    return run->form->run(run);
}

static int once(const struct bench_settings *settings, const struct bench_form *form, struct bench_outcome *outcome,
                struct bench_record *record, bool keep)
{
    struct bench_run run = {.form = form, .record = record, .config = config_of(settings), .check = json_object(), .keep = keep};
    int r = 0;
    if (form->place == BENCH_TASK || form->place == BENCH_BESIDE) {
        r = start(&run.config, outcome);
        if (r < 0)
            goto out;
        run.runtime = runtime;
    }
    run.start = filch_now();
    run.cpu = bench_cpu_time();
    r = form->place == BENCH_TASK ? filch_call(runtime, as_task, &run) : form->run(&run);
    if (r < 0)
        bench_say("%s: the run failed: %s", settings->bench->name, strerror(-r));
    if (settings->bench->fresh && runtime)
        stop();
out:
    bench_run_end(&run);
    return r;
}

int bench_measure(const struct bench_settings *settings, struct bench_outcome *outcome)
{
    const struct bench *bench = settings->bench;
    int64_t last = 0;
    *outcome = (struct bench_outcome){0};
    bench_record_init(&outcome->main, bench->unit, (size_t)settings->runs);
    for (unsigned i = 0; i < settings->versus_count; i++)
        bench_record_init(&outcome->versus[i], bench->unit, (size_t)settings->runs);
    int r = bench_form_possible(bench, settings->form);
    for (unsigned v = 0; r >= 0 && v < settings->versus_count; v++)
        r = bench_form_possible(bench, settings->versus[v]);
    if (r >= 0 && bench->prepare)
        r = bench->prepare();
    for (int64_t i = 0; r >= 0 && i <= settings->runs; i++) {
        if (i == 1)
            bench_peak_reset();
        progress(settings, i, last);
        int64_t begin = filch_now();
        for (unsigned v = 0; r >= 0 && v < settings->versus_count; v++)
            r = once(settings, settings->versus[v], outcome, &outcome->versus[v], i > 0);
        if (r >= 0)
            r = once(settings, settings->form, outcome, &outcome->main, i > 0);
        last = filch_now() - begin;
    }
    progress(settings, settings->runs + 1, 0);
    outcome->peak_rss = bench_peak();
    if (runtime)
        stop();
    if (bench->finish)
        bench->finish();
    for (unsigned v = 0; r >= 0 && v < settings->versus_count; v++)
        if (!json_equal(outcome->main.check, outcome->versus[v].check)) {
            bench_say("wrong: %s and %s came to different results", settings->form->name, settings->versus[v]->name);
            outcome->main.wrong = true;
        }
    return r;
}
