/* SPDX-License-Identifier: MIT */
/* What a report measures, and in which order.
 *
 * Everything is a command of filch-bench that the reader can repeat, run as a process of its own: `compare` for what others are measured
 * beside, `run` for the rest. The report keeps each command with what it said. How often runtimes enter the kernel is counted in between
 * by report_entries.c.
 *
 *     models   compare with what the table of threading models needs; the same workloads with filch under 1:1 and N:1; kernel entries
 *     compare  compare with our choice of workloads or the user's, on one CPU and on all; what can become faster also on 2, 4, 8, …
 *     latency  stall, filch beside threads and Go, with several kinds of stalls; echo and http, beside the floors and servers in Go
 *
 * A step that fails is noted and left out. How long it still takes is a guess for each step, corrected by how long the steps so far have
 * taken in proportion to theirs. */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "util.h"

#define STEPS 96
#define EACH 1.7 /* seconds: what one process of a comparison takes, by and large */

struct step {
    char *words;                         /* of a command; or */
    const struct compare_system *system; /* whose entries are counted, */
    const char *model;                   /* of filch */
    bool bound;                          /* to one CPU, as `compare` binds who has one worker */
    double guess;                        /* seconds */
};

struct plan {
    const struct report_options *options;
    struct compare_systems systems;
    struct step steps[STEPS];
    unsigned count, cpus;
};

static const char *const figures_of_models[] = {"flat", "yield", "pingpong", "park", "stuck", "queens", "sort"};
static const char *const choice[] = {"fork", "skynet", "uts:tree=T1", "matmul", "chan", "mutex", "timers"};
static const char *const computing[] = {"fork",   "integrate", "skynet",   "uts",   "queens",    "sort",
                                        "matmul", "strassen",  "cholesky", "nbody", "wavefront", "histogram"};
static const char *const servers[] = {"echo", "http"};
static const char *const stalls[] = {"none", "cpu", "sleep", "allcpu"};

/* Sizes that take no time: to see a page, not to measure. */
static const struct {
    const char *name, *params;
} small[] = {
    {"fork", "n=16"},
    {"flat", "tasks=5000"},
    {"batch", "batches=5,tasks=500"},
    {"skynet", "levels=3"},
    {"uts", "tree=default"},
    {"queens", "n=7"},
    {"sort", "n=400000,grain=16384"},
    {"matmul", "n=256"},
    {"yield", "switches=20000"},
    {"pingpong", "rounds=5000"},
    {"chan", "items=20000,capacity=256"},
    {"park", "tasks=1000"},
    {"timers", "tasks=1000,longest=100"},
    {"mutex", "tasks=4,pairs=20000"},
    {"stuck", "length=50"},
};

/* ---- the plan ---- */

static struct step *add(struct plan *plan, double guess)
{
    struct step *step = &plan->steps[plan->count < STEPS - 1 ? plan->count++ : STEPS - 1];
    *step = (struct step){.guess = guess};
    return step;
}

__attribute__((format(printf, 3, 4))) static struct step *add_command(struct plan *plan, double guess, const char *format, ...)
{
    va_list arguments;
    struct step *step = add(plan, guess);
    va_start(arguments, format);
    if (vasprintf(&step->words, format, arguments) < 0)
        step->words = NULL;
    va_end(arguments);
    return step;
}

struct list {
    char text[4096];
    unsigned count;
};

static bool is_in(const char *word, const struct list *list)
{
    size_t length = strcspn(word, ":");
    for (const char *at = list->text; *at; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, ": ") == length && strncmp(at, word, length) == 0)
            return true;
    return false;
}

static void list_append(struct list *list, const char *word)
{
    size_t length = strlen(list->text);
    snprintf(list->text + length, sizeof list->text - length, "%s%s", length ? " " : "", word);
    list->count++;
}

/* Unless there is one of that name. @param quick with a small size in place of any other */
static void list_add(struct list *list, const char *word, bool quick)
{
    char small_one[128];
    const size_t name = strcspn(word, ":");
    for (unsigned i = 0; quick && i < BENCH_COUNT(small); i++)
        if (strlen(small[i].name) == name && strncmp(small[i].name, word, name) == 0) {
            snprintf(small_one, sizeof small_one, "%s:%s", small[i].name, small[i].params);
            word = small_one;
            break;
        }
    if (!is_in(word, list))
        list_append(list, word);
}

static bool computes(const char *word)
{
    for (unsigned i = 0; i < BENCH_COUNT(computing); i++)
        if (strlen(computing[i]) == strcspn(word, ":") && strncmp(computing[i], word, strlen(computing[i])) == 0)
            return true;
    return false;
}

static void plan_compare(struct plan *plan)
{
    const struct report_options *options = plan->options;
    const char *peers = options->peers ? options->peers : "", *flag = options->peers ? " --peers " : "";
    struct list all = {.text = ""}, faster = {.text = ""};
    char *own = strdup(options->workloads ? options->workloads : ""), *rest = NULL;
    for (char *word = own ? strtok_r(own, " ", &rest) : NULL; word; word = strtok_r(NULL, " ", &rest))
        if (strchr(word, ':')) /* a size that the user gives stays */
            list_append(&all, word);
        else
            list_add(&all, word, options->quick);
    free(own);
    for (unsigned i = 0; (options->what & REPORT_MODELS) && i < BENCH_COUNT(figures_of_models); i++)
        list_add(&all, figures_of_models[i], options->quick);
    for (unsigned i = 0; (options->what & REPORT_COMPARE) && !options->workloads && i < BENCH_COUNT(choice); i++)
        list_add(&all, choice[i], options->quick);
    own = strdup(all.text);
    for (char *word = own ? strtok_r(own, " ", &rest) : NULL; word; word = strtok_r(NULL, " ", &rest))
        if (computes(word))
            list_append(&faster, word);
    free(own);
    double each = EACH * (options->quick ? 0.25 : 1) * plan->systems.count * options->rounds;
    if (all.count) {
        char cpus[16] = "1";
        if (plan->cpus > 1)
            snprintf(cpus, sizeof cpus, "1,%u", plan->cpus);
        add_command(plan, each * all.count * (plan->cpus > 1 ? 2 : 1), "compare %s --workers %s --rounds %u%s%s --json", all.text, cpus,
                    options->rounds, flag, peers);
    }
    struct list between = {.text = ""};
    for (unsigned cpus = 2; cpus < plan->cpus; cpus *= 2, between.count++)
        snprintf(between.text + strlen(between.text), 16, "%s%u", between.count ? "," : "", cpus);
    if ((options->what & REPORT_COMPARE) && faster.count && between.count)
        add_command(plan, each * faster.count * between.count, "compare %s --workers %s --rounds %u%s%s --json", faster.text, between.text,
                    options->rounds, flag, peers);
}

/* What the peers of the other models do, by filch under theirs. */
static void plan_models(struct plan *plan)
{
    static const char *const models[] = {"11", "n1"};
    const unsigned scale = plan->options->quick ? 10 : 1;
    for (unsigned m = 0; m < BENCH_COUNT(models); m++) {
        const bool threads = m == 0;
        char tail[64];
        snprintf(tail, sizeof tail, "--model %s --workers 1 --runs %u --json", models[m], plan->options->rounds);
        add_command(plan, 1, "run flat --tasks %u %s", (threads ? 20000 : 1000000) / scale, tail)->bound = true;
        add_command(plan, 1, "run yield --tasks 1000 --switches %u %s", (threads ? 200000 : 5000000) / scale, tail)->bound = true;
        add_command(plan, 1, "run pingpong --rounds %u %s", (threads ? 100000 : 500000) / scale, tail)->bound = true;
        add_command(plan, 1, "run park --tasks %u %s", (threads ? 5000 : 100000) / scale, tail)->bound = true;
        add_command(plan, 1, "run stuck --length %u %s", scale > 1 ? 50 : 200, tail);
        add_command(plan, 1, "run sort --n %u %s", 10000000 / scale, tail);
    }
    for (unsigned i = 0; i < plan->systems.count; i++) {
        const struct compare_system *system = &plan->systems.all[i];
        static const char *const of_filch[] = {"mn", "n1", "11"};
        bool filch = i == 0, waits = json_object_get(system->workloads, "yield") || json_object_get(system->workloads, "pingpong");
        for (unsigned m = 0; m < (filch ? 3 : waits ? 1 : 0); m++) {
            struct step *step = add(plan, plan->options->quick ? 1.5 : 4);
            step->system = system;
            step->model = filch ? of_filch[m] : NULL;
        }
    }
}

static void plan_latency(struct plan *plan)
{
    const bool quick = plan->options->quick;
    const double seconds = quick ? 0.5 : 3;
    for (unsigned i = 0; i < BENCH_COUNT(stalls); i++)
        add_command(plan, 4 * seconds * 3, "run stall --kind %s --seconds %g --vs all --runs %d --json", stalls[i], seconds, quick ? 1 : 3);
    for (unsigned i = 0; i < BENCH_COUNT(servers); i++)
        add_command(plan, 4 * 2 * 4, "run %s --connections %d --seconds %g --vs all --runs %d --json", servers[i], quick ? 50 : 1000,
                    quick ? 0.5 : 2.0, quick ? 1 : 3);
}

/* ---- steps ---- */

static _Noreturn void become(char *const argv[], bool bound, int out)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(report_last_cpu(), &one);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* the processes of a comparison are ended with it */
    if (bound)
        sched_setaffinity(0, sizeof one, &one);
    dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    execv(argv[0], argv);
    _exit(127);
}

/* One command of filch-bench; what it says about itself on stderr is for the user. @return its last line of JSON, or NULL and why */
static json_t *run_command(const struct plan *plan, const struct step *step, char why[200])
{
    char *text = strdup(step->words), *argv[REPORT_WORDS] = {plan->systems.all[0].program};
    int out = memfd_create("out", MFD_CLOEXEC), status = 0;
    struct stat stat;
    json_t *line = NULL;
    if (text)
        report_words(argv, 1, text);
    fflush(NULL);
    pid_t pid = text && out >= 0 ? fork() : -1;
    if (pid == 0)
        become(argv, step->bound, out);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    char *said = pid > 0 && fstat(out, &stat) == 0 ? calloc((size_t)stat.st_size + 1, 1) : NULL;
    if (said && pread(out, said, (size_t)stat.st_size, 0) == stat.st_size)
        line = compare_line(said);
    if (pid < 0)
        snprintf(why, 200, "no process could be started");
    else if (WIFSIGNALED(status))
        snprintf(why, 200, "ended by signal %d", WTERMSIG(status));
    else
        snprintf(why, 200, "status %d", WEXITSTATUS(status));
    free(said);
    if (out >= 0)
        close(out);
    free(text);
    return line;
}

static json_t *take_step(const struct plan *plan, const struct step *step)
{
    char why[200], *command = NULL;
    if (step->system)
        return json_pack("{s:o}", "entries", report_entries(step->system, step->model, plan->options->quick));
    json_t *line = step->words ? run_command(plan, step, why) : NULL;
    char binding[32] = "";
    if (step->bound)
        snprintf(binding, sizeof binding, "taskset -c %d ", report_last_cpu());
    if (asprintf(&command, "%sfilch-bench %s", binding, step->words) < 0)
        command = NULL;
    json_t *taken = json_pack("{s:s}", "command", command ? command : "");
    if (line)
        json_object_set_new(taken, "output", line);
    else
        json_object_set_new(taken, "why", json_string(why));
    free(command);
    return taken;
}

static void tell(const struct plan *plan, unsigned index, double elapsed)
{
    const struct step *step = &plan->steps[index];
    double before = 0, after = 0;
    for (unsigned i = 0; i < plan->count; i++)
        *(i < index ? &before : &after) += plan->steps[i].guess;
    double left = after * (before > 0 ? elapsed / before : 1);
    fprintf(stderr, "report: step %u of %u, about %.0f %s left: ", index + 1, plan->count, left < 100 ? left : left / 60,
            left < 100 ? "s" : "min");
    if (step->system)
        fprintf(stderr, "kernel entries of %s%s%s\n", step->system->name, step->model ? ", model " : "", step->model ? step->model : "");
    else
        fprintf(stderr, "%.100s%s\n", step->words, strlen(step->words) > 100 ? " …" : "");
}

static json_t *take_steps(const struct plan *plan)
{
    char date[32] = "";
    time_t now = time(NULL);
    struct tm tm;
    json_t *measured = json_array(), *systems = json_array();
    int64_t start = filch_now();
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    for (unsigned i = 0; i < plan->count; i++) {
        tell(plan, i, (double)(filch_now() - start) / 1e9);
        json_array_append_new(measured, take_step(plan, &plan->steps[i]));
    }
    for (unsigned i = 0; i < plan->systems.count; i++)
        json_array_append_new(systems, json_pack("{s:s, s:s}", "name", plan->systems.all[i].name, "version", plan->systems.all[i].version));
    return json_pack("{s:i, s:s, s:b, s:f, s:o, s:o, s:o}", "report", 1, "date", date, "quick", (int)plan->options->quick, "seconds",
                     (double)(filch_now() - start) / 1e9, "machine", compare_machine(), "systems", systems, "measured", measured);
}

int report_measure(const struct report_options *options, json_t **ret_report)
{
    struct plan *plan = calloc(1, sizeof *plan);
    cpu_set_t allowed;
    if (!plan)
        return -ENOMEM;
    plan->options = options;
    sched_getaffinity(0, sizeof allowed, &allowed);
    plan->cpus = (unsigned)CPU_COUNT(&allowed);
    int r = compare_find(&plan->systems, options->peers);
    if (r >= 0) {
        if (options->what & (REPORT_MODELS | REPORT_COMPARE))
            plan_compare(plan);
        if (options->what & REPORT_MODELS)
            plan_models(plan);
        if (options->what & REPORT_LATENCY)
            plan_latency(plan);
        *ret_report = take_steps(plan);
    }
    for (unsigned i = 0; i < plan->count; i++)
        free(plan->steps[i].words);
    compare_systems_fini(&plan->systems);
    free(plan);
    return r < 0 ? r : 0;
}
