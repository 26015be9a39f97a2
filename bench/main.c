/* SPDX-License-Identifier: MIT */
/* filch-bench: how fast is filch here?
 *
 *     filch-bench list                        what there is
 *     filch-bench run NAME [--key value …]    one workload, measured
 *     filch-bench compare [NAME…]             beside other runtimes, in one go
 *     filch-bench sim [GRAPH…]                the scheduler where there are more cores than here
 *     filch-bench report OUT.html             a page with pictures of all that
 *     filch-bench tour                        filch shown in about a minute
 *
 * Exit status: 0; 1 something failed or a check was wrong; 2 the command line was not understood. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

static const struct bench *const benches[] = {
    &bench_fork,          &bench_integrate, &bench_flat,       &bench_batch,     &bench_skynet, &bench_uts,       &bench_queens,
    &bench_sort_integers, &bench_matmul,    &bench_strassen,   &bench_cholesky,  &bench_nbody,  &bench_wavefront, &bench_histogram,
    &bench_yield,         &bench_pingpong,  &bench_threadring, &bench_chameneos, &bench_chan,   &bench_prodcons,  &bench_select,
    &bench_park,          &bench_cancel,    &bench_timers,     &bench_mix,       &bench_server, &bench_mutex,     &bench_rwlock,
    &bench_sem,           &bench_cond,      &bench_idle,       &bench_tree,      &bench_echo,   &bench_http,      &bench_pread,
    &bench_stranded,      &bench_stall,     &bench_stuck,
};

static const char usage[] = "usage: filch-bench list                       the workloads and their parameters\n"
                            "       filch-bench run NAME [--key value …]   measure one; `run NAME --help` explains its keys\n"
                            "       filch-bench compare [NAME…]            beside other runtimes; `compare --help`\n"
                            "       filch-bench sim [GRAPH…]               how they scale with more cores than here; `sim --help`\n"
                            "       filch-bench report OUT.html [FILE…]    a page with pictures; `report --help`\n"
                            "       filch-bench tour                       filch shown in about a minute\n"
                            "       filch-bench --help | --version\n";

static void print_value(const struct bench_param *param)
{
    char choice[32];
    switch (param->kind) {
    case BENCH_INT:
        printf("%lld", (long long)*param->at.number);
        break;
    case BENCH_REAL:
        printf("%g", *param->at.real);
        break;
    case BENCH_CHOICE:
        fputs(bench_choice(param->choices, *param->at.choice, choice), stdout);
        break;
    case BENCH_TEXT:
        fputs(*param->at.text, stdout);
        break;
    case BENCH_FLAG:
    case BENCH_NONE:
        break;
    }
}

static int list(void)
{
    struct bench_settings settings;
    for (unsigned i = 0; i < BENCH_COUNT(benches); i++) {
        printf("%-10s %s\n%-10s", benches[i]->name, benches[i]->what, "");
        bench_settings_init(&settings, benches[i]);
        for (const struct bench_param *param = benches[i]->params; param->key; param++) {
            printf(" --%s ", param->key);
            print_value(param);
        }
        if (benches[i]->forms[1].name)
            printf(" --form %s", settings.forms);
        if (benches[i]->workers)
            printf(" --workers %d", (int)benches[i]->workers);
        putchar('\n');
    }
    puts("\nAll of them take --workers N, --runs R, --json and a few more: see `filch-bench run NAME --help`.");
    return 0;
}

static void explain_params(const struct bench_param *param)
{
    for (; param->key; param++) {
        printf("  --%-12s", param->key);
        if (param->kind != BENCH_FLAG) {
            putchar(' ');
            print_value(param);
        }
        printf("\n        %s", param->help);
        if (param->choices)
            printf(": %s", param->choices);
        else if (param->kind == BENCH_INT || param->kind == BENCH_REAL)
            printf(" (%.10g to %.10g)", param->min, param->max);
        putchar('\n');
    }
}

static int explain(const struct bench_settings *settings)
{
    printf("%s: %s (%s)\n\nIts parameters, with their defaults:\n", settings->bench->name, settings->bench->what, settings->bench->unit);
    explain_params(settings->bench->params);
    puts("\nThose of every workload:");
    explain_params(settings->common);
    return 0;
}

const struct bench *bench_named(const char *name)
{
    for (unsigned i = 0; i < BENCH_COUNT(benches); i++)
        if (strcmp(benches[i]->name, name) == 0)
            return benches[i];
    return NULL;
}

int bench_run_command(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    const struct bench *bench = bench_named(name);
    bool help = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    if (!bench) {
        FILE *out = help ? stdout : stderr;
        if (!help)
            bench_say("there is no workload '%s'", name);
        fputs("usage: filch-bench run NAME [--key value …], with one of the names\n ", out);
        for (unsigned i = 0; i < BENCH_COUNT(benches); i++)
            fprintf(out, " %s", benches[i]->name);
        fputc('\n', out);
        return help ? 0 : 2;
    }

    struct bench_settings settings;
    struct bench_outcome outcome;
    bench_settings_init(&settings, bench);
    if (bench_parse(&settings, argc - 1, argv + 1) < 0)
        return 2;
    if (settings.help)
        return explain(&settings);
    int r = bench_measure(&settings, &outcome);
    if (r >= 0)
        (settings.json ? bench_report_json : bench_report_text)(&settings, &outcome);
    bool wrong = outcome.main.wrong;
    for (unsigned i = 0; i < settings.versus_count; i++)
        wrong = wrong || outcome.versus[i].wrong;
    bench_record_fini(&outcome.main);
    for (unsigned i = 0; i < settings.versus_count; i++)
        bench_record_fini(&outcome.versus[i]);
    return r == -EINVAL ? 2 : r < 0 || wrong;
}

/* What was printed may not have come out: a full disk says so at the end. */
static int finish(int status)
{
    bool failed = fflush(stdout) != 0 || ferror(stdout);
    if (failed)
        bench_say("writing to standard output: %s", strerror(errno));
    return failed && status == 0 ? 1 : status;
}

static int run_command(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "list") == 0 && argc == 2)
        return list();
    if (strcmp(command, "run") == 0)
        return bench_run_command(argc - 1, argv + 1);
    if (strcmp(command, "compare") == 0)
        return bench_compare(argc - 1, argv + 1);
    if (strcmp(command, "sim") == 0)
        return bench_sim(argc - 1, argv + 1);
    if (strcmp(command, "report") == 0)
        return bench_report(argc - 1, argv + 1);
    if (strcmp(command, "tour") == 0)
        return bench_tour(argc - 1, argv + 1);
    if (strcmp(command, "--version") == 0)
        return printf("filch-bench %s\n", filch_version()) < 0;
    if (strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[argc - 1], "-h") == 0)
        return fputs(usage, stdout) < 0;
    if (strcmp(command, "list") == 0)
        bench_say("list takes no arguments");
    else if (*command)
        bench_say("there is no command '%s'; possible are list, run, compare, sim, report, tour, --help, --version", command);
    else
        fputs(usage, stderr);
    return 2;
}

int main(int argc, char **argv)
{
    return finish(run_command(argc, argv));
}
