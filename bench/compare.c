/* SPDX-License-Identifier: MIT */
/* compare: filch and other runtimes in one go, docs/concepts/bench.md.
 *
 * Trials come one after the other, each with all its rounds; within a round everybody runs once, A B C A B C, so that a drift of the
 * machine hits all alike. Nobody is measured in this process, which sleeps meanwhile.
 *
 * A run that is wrong, fails or takes too long is the last one of its entry: the others go on without it, and the exit status is 1. How
 * long it still takes is what each entry took last; who has not run yet counts as the mean of those that have. */
#include "compare.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "util.h"

#define TRIALS 256
#define FIRST_GUESS 3.0 /* seconds a run, as long as none is known */

static const char usage[] =
    "usage: filch-bench compare [WORKLOAD[:KEY=VALUE,…]…] [--peers A,B,…] [--external NAME=COMMAND]…\n"
    "                           [--workers N,M,…] [--rounds R] [--limit SECONDS] [--json] [--list]\n"
    "\n"
    "Runs workloads under filch and under other runtimes, a process each, interleaved and bound to the\n"
    "same CPUs, and says who is ahead: the ratio filch / peer of each round, its median and its spread.\n"
    "\n"
    "  WORKLOAD         default: all that compare has sizes for; --list names them\n"
    "  --peers          who takes part; default: all that were built; `none`: nobody\n"
    "  --external       one more, by a shell command that takes the arguments of a peer\n"
    "  --workers        default: 1,2 where there are two CPUs\n"
    "  --rounds         default: 5\n"
    "  --limit          for each process, with start and warm-up; default: 60\n"
    "  --json           one JSON object in place of the tables\n"
    "  --list           the peers with their versions, what they can express, and the sizes asked for\n"
    "  -h, --help       this\n"
    "\n"
    "docs/concepts/bench.md has the definitions, the JSON, and how to add a runtime.\n"
    "Exit status: 0; 1 a check was wrong, or somebody failed or took too long; 2 the command line was not understood.\n";

/* What is asked for unless the user says otherwise: long enough to be measured, short enough for the slowest. */
static const struct plan {
    const char *name, *params;
} plans[] = {
    {"fork", "n=30"},
    {"fork", "n=30,form=frame"}, /* ours has two ways to write it; the others have one, and run it again */
    {"integrate", "n=1000,epsilon=1e-9"},
    {"flat", "tasks=1000000"},
    {"batch", "batches=1000,tasks=1000"},
    {"skynet", "levels=6"},
    {"uts", "tree=T1"},
    {"uts", "tree=T3"},
    {"uts", "tree=deep"},
    {"uts", "tree=chains"},
    {"queens", "n=11"},
    {"sort", "n=10000000,grain=16384"},
    {"matmul", "n=768"},
    {"strassen", "n=1024,cutoff=64"},
    {"cholesky", "n=2048,tile=64"},
    {"nbody", "bodies=20000,steps=10"},
    {"wavefront", "n=16384,tile=256"},
    {"histogram", "bytes=100000000,grain=65536"},
    {"yield", "tasks=1000,switches=5000000"},
    {"pingpong", "rounds=500000"},
    {"threadring", "passes=1000000,tasks=503"},
    {"chameneos", "creatures=10,meetings=500000"},
    {"chan", "items=2000000,capacity=256"},
    {"prodcons", "items=200000,fan=4,levels=4,capacity=64"},
    {"select", "channels=8,capacity=256,items=1000000"},
    {"park", "tasks=100000"},
    {"cancel", "tasks=100000"},
    {"stuck", "tasks=20,length=200"},
    {"timers", "tasks=100000,longest=1000"},
    {"mix", "units=4000,rounds=50000,sleepers=100,longest=20"},
    {"mutex", "tasks=8,pairs=2000000"},
    {"rwlock", "tasks=8,rounds=250000,readers=95"},
    {"sem", "tasks=8,units=4,pairs=2000000"},
    {"cond", "waiters=10000,rounds=5"},
};

struct options {
    const char *peers, *externals[COMPARE_SYSTEMS];
    unsigned external_count, workers[16], workers_count;
    long rounds;
    double limit;
    bool json, list;
};

/* ---- the command line ---- */

/* 1000000, 1e6, 64K; anything else is a text. */
static json_t *value_of(const char *text)
{
    char *end;
    double number = strtod(text, &end);
    if (end != text && (*end == 'K' || *end == 'M' || *end == 'G')) {
        number *= *end == 'K' ? 1 << 10 : *end == 'M' ? 1 << 20 : 1 << 30;
        end++;
    }
    if (end == text || *end)
        return json_string(text);
    return (double)(int64_t)number == number ? json_integer((int64_t)number) : json_real(number);
}

/* "key=value,key=value" into an object. */
static int read_params(json_t *params, const char *text)
{
    char pair[256];
    while (*text) {
        size_t length = strcspn(text, ",");
        snprintf(pair, sizeof pair, "%.*s", (int)length, text);
        char *value = strchr(pair, '=');
        if (!value || value == pair || !value[1] || length >= sizeof pair) {
            bench_say("parameters are KEY=VALUE,KEY=VALUE, not '%s'", text);
            return -EINVAL;
        }
        *value++ = 0;
        json_object_set_new(params, pair, value_of(value));
        text += length + (text[length] == ',');
    }
    return 0;
}

static int read_workers(struct options *options, const char *text)
{
    options->workers_count = 0;
    for (char *end; *text; text = end + (*end == ',')) {
        long workers = strtol(text, &end, 10);
        if (end == text || (*end && *end != ',') || workers < 1 || workers > 1024 ||
            options->workers_count == BENCH_COUNT(options->workers)) {
            bench_say("--workers takes numbers from 1 to 1024 with commas, not '%s'", text);
            return -EINVAL;
        }
        options->workers[options->workers_count++] = (unsigned)workers;
    }
    return options->workers_count ? 0 : -EINVAL;
}

static int read_number(const char *key, const char *text, double min, double max, double *ret_number)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end || !(number >= min && number <= max)) {
        bench_say("--%s takes a number from %g to %g, not '%s'", key, min, max, text);
        return -EINVAL;
    }
    *ret_number = number;
    return 0;
}

/* @return 0, 1 when it was --help, or -EINVAL */
static int parse(struct options *options, int argc, char **argv)
{
    static const struct option table[] = {
        {"peers", required_argument, NULL, 'p'},  {"external", required_argument, NULL, 'x'}, {"workers", required_argument, NULL, 'w'},
        {"rounds", required_argument, NULL, 'r'}, {"limit", required_argument, NULL, 'l'},    {"json", no_argument, NULL, 'j'},
        {"list", no_argument, NULL, 'L'},         {"help", no_argument, NULL, 'h'},           {0},
    };
    double number = 0;
    int r = 0;
    *options = (struct options){.rounds = 5, .limit = 60};
    opterr = 0;
    optind = 0;
    for (int c; r == 0 && (c = getopt_long(argc, argv, ":h", table, NULL)) != -1;) {
        switch (c) {
        case 'p':
            options->peers = optarg;
            break;
        case 'x':
            if (options->external_count < COMPARE_SYSTEMS)
                options->externals[options->external_count++] = optarg;
            break;
        case 'w':
            r = read_workers(options, optarg);
            break;
        case 'r':
            r = read_number("rounds", optarg, 1, 1000, &number);
            options->rounds = (long)number;
            break;
        case 'l':
            r = read_number("limit", optarg, 0.1, 86400, &options->limit);
            break;
        case 'j':
            options->json = true;
            break;
        case 'L':
            options->list = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 1;
        default:
            bench_say(c == ':' ? "%s needs a value" : "no option '%s'; `filch-bench compare --help` lists them", argv[optind - 1]);
            return -EINVAL;
        }
    }
    return r;
}

/* ---- trials ---- */

/* As many of the allowed CPUs as there are workers, of each core one first. */
static cpu_set_t choose_cpus(unsigned workers)
{
    cpu_set_t allowed, chosen;
    unsigned count = 0;
    CPU_ZERO(&chosen);
    sched_getaffinity(0, sizeof allowed, &allowed);
    for (int turn = 0; turn < 2; turn++)
        for (unsigned cpu = 0; cpu < CPU_SETSIZE && count < workers; cpu++) {
            char path[96];
            unsigned first = cpu;
            snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", cpu);
            FILE *file = CPU_ISSET(cpu, &allowed) && !CPU_ISSET(cpu, &chosen) ? fopen(path, "re") : NULL;
            if (file && fscanf(file, "%u", &first) != 1)
                first = cpu;
            if (file)
                fclose(file);
            if (!CPU_ISSET(cpu, &allowed) || CPU_ISSET(cpu, &chosen) || (turn == 0 && first != cpu && CPU_ISSET(first, &allowed)))
                continue;
            CPU_SET(cpu, &chosen);
            count++;
        }
    return chosen;
}

static const struct plan *plan_of(const char *name, size_t length)
{
    for (unsigned i = 0; i < BENCH_COUNT(plans); i++)
        if (strlen(plans[i].name) == length && strncmp(plans[i].name, name, length) == 0)
            return &plans[i];
    return NULL;
}

static bool somebody_can(const struct compare_systems *systems, const char *workload)
{
    bool can = false;
    for (unsigned i = 1; i < systems->count; i++)
        can |= !systems->all[i].workloads || json_object_get(systems->all[i].workloads, workload);
    return can;
}

static bool has_param(const struct bench_param *params, const char *key)
{
    while (params->key && strcmp(params->key, key) != 0)
        params++;
    return params->key;
}

/* What `filch-bench run` would refuse, before the first minute has passed. */
static int check_trial(const struct compare_trial *trial)
{
    const struct bench *bench = bench_named(trial->workload);
    struct bench_settings settings;
    const char *key;
    json_t *value;
    if (!bench) {
        bench_say("there is no workload '%s'; `filch-bench compare --list` names them", trial->workload);
        return -EINVAL;
    }
    bench_settings_init(&settings, bench);
    json_object_foreach(trial->params, key, value)
    {
        (void)value;
        if (!has_param(bench->params, key) && !has_param(settings.common, key)) {
            bench_say("%s has no parameter '%s'; `filch-bench run %s --help` lists them", bench->name, key, bench->name);
            return -EINVAL;
        }
    }
    return 0;
}

/* Parameters of `plan`, and of `definition` behind its name: `fork`, `fork:n=20`. */
static int add_trial(struct compare_trial *trials, unsigned index, const struct compare_systems *systems, const struct plan *plan,
                     const char *definition, unsigned workers)
{
    struct compare_trial *trial = &trials[index];
    size_t length = strcspn(definition, ":");
    *trial = (struct compare_trial){.workers = workers, .cpus = choose_cpus(workers), .params = json_object()};
    snprintf(trial->workload, sizeof trial->workload, "%.*s", (int)length, definition);
    int r = plan ? read_params(trial->params, plan->params) : 0;
    if (r == 0)
        r = read_params(trial->params, definition + length + (definition[length] == ':'));
    if (r == 0)
        r = check_trial(trial);
    if (r == 0)
        compare_plan(trials, index, systems);
    return r;
}

/* What the user asks for: a workload with parameters, or a plan. */
struct wish {
    const struct plan *plan;
    const char *definition;
};

/* A name alone stands for all plans that it has. @return how many wishes there are then */
static unsigned add_wishes(struct wish *wishes, unsigned count, const char *name)
{
    const struct plan *plan = plan_of(name, strcspn(name, ":"));
    if (strchr(name, ':') || !plan) {
        if (count < TRIALS)
            wishes[count++] = (struct wish){plan, name};
        return count;
    }
    for (; count < TRIALS && plan < plans + BENCH_COUNT(plans); plan++)
        if (strcmp(plan->name, name) == 0)
            wishes[count++] = (struct wish){plan, name};
    return count;
}

/* @return how many, or -EINVAL */
static int add_trials(struct compare_trial *trials, const struct compare_systems *systems, const struct options *options, int count,
                      char *const names[])
{
    struct wish wishes[TRIALS];
    unsigned wish_count = 0, trial_count = 0;
    for (int i = 0; i < count; i++)
        wish_count = add_wishes(wishes, wish_count, names[i]);
    for (unsigned i = 0; count == 0 && i < BENCH_COUNT(plans); i++)
        if (somebody_can(systems, plans[i].name))
            wishes[wish_count++] = (struct wish){&plans[i], plans[i].name};
    for (unsigned i = 0; i < wish_count; i++)
        for (unsigned w = 0; w < options->workers_count && trial_count < TRIALS; w++, trial_count++)
            if (add_trial(trials, trial_count, systems, wishes[i].plan, wishes[i].definition, options->workers[w]) < 0)
                return -EINVAL;
    return (int)trial_count;
}

/* ---- rounds ---- */

struct progress {
    const struct compare_trial *trials;
    unsigned count, done, total;
    long rounds;
    int64_t told;
};

/* What is still to come, in seconds. */
static double left(const struct progress *progress, unsigned trial, long round, unsigned entry)
{
    double known = 0, sum = 0;
    unsigned knowing = 0, unknown = 0;
    for (unsigned t = 0; t < progress->count; t++)
        for (unsigned e = 0; e < progress->trials[t].count; e++) {
            const struct compare_entry *one = &progress->trials[t].entries[e];
            long rounds = t < trial ? 0 : t > trial ? progress->rounds : progress->rounds - round - (e < entry);
            known += one->last;
            knowing += one->last > 0;
            if (one->status == COMPARE_OK && one->last > 0)
                sum += (double)rounds * one->last;
            else if (one->status == COMPARE_OK)
                unknown += (unsigned)rounds;
        }
    return sum + unknown * (knowing ? known / knowing : FIRST_GUESS);
}

/* A line on a terminal, rewritten; elsewhere one when a trial begins and every ten seconds. */
static void tell(struct progress *progress, unsigned trial, long round, unsigned entry)
{
    bool terminal = isatty(STDERR_FILENO);
    const struct compare_trial *current = &progress->trials[trial];
    if (!terminal && (round || entry) && filch_now() - progress->told < FILCH_SEC(10))
        return;
    double seconds = left(progress, trial, round, entry);
    progress->told = filch_now();
    fprintf(stderr, "%s%s, %u worker%s, round %ld of %ld: %s … run %u of %u, about %.0f %s left%s", terminal ? "\r\033[K" : "",
            current->workload, current->workers, current->workers == 1 ? "" : "s", round + 1, progress->rounds,
            current->entries[entry].system->name, progress->done + 1, progress->total, seconds < 100 ? seconds : seconds / 60,
            seconds < 100 ? "s" : "min", terminal ? "" : "\n");
}

/* Of `more`, which may be all that a program has to say, the first line. */
static void fail(struct compare_entry *entry, enum compare_status status, const char *why, const char *more)
{
    size_t length = strcspn(more, "\n");
    entry->status = status;
    snprintf(entry->why, sizeof entry->why, "%s%s%.*s", why, length ? ": " : "", (int)(length < 150 ? length : 150), more);
}

/* Both ways a line is written, into one: a peer's, and that of `filch-bench run`. */
static json_t *run_of(const json_t *line, bool filch, const struct compare_process *process)
{
    json_t *run = json_object(), *more = json_object(), *value;
    const char *key;
    json_object_set(run, "value", json_object_get(line, filch ? "median" : "value"));
    json_object_set(run, "wall_ms", json_object_get(line, "wall_ms"));
    json_object_set(run, "cpu_ms", json_object_get(line, "cpu_ms"));
    json_object_set(run, "peak_rss", json_object_get(line, filch ? "peak_rss_bytes" : "peak_rss"));
    json_object_set(run, "workers", json_object_get(line, "workers"));
    json_object_set(run, "check", json_object_get(line, "check"));
    json_object_foreach(json_object_get(line, "more"), key, value)
    {
        json_t *figure = json_object();
        json_object_set(figure, "unit", json_object_get(value, "unit"));
        json_object_set(figure, "value", json_object_get(value, filch ? "median" : "value"));
        json_object_set_new(more, key, figure);
    }
    json_object_set_new(run, "more", more);
    if (json_object_get(line, "distributions"))
        json_object_set(run, "distributions", json_object_get(line, "distributions"));
    json_object_set_new(
        run, "process",
        json_pack("{s:f, s:f, s:f}", "wall_ms", process->wall * 1e3, "cpu_ms", process->cpu * 1e3, "peak_rss", process->peak_rss));
    return run;
}

/* Every figure that a peer proves is one that filch proves too, and the same. @return NULL, or what is wrong */
static const char *disproved(const json_t *check, const json_t *filch)
{
    const char *key;
    json_t *value;
    if (json_object_size(check) == 0)
        return "it proves nothing";
    json_object_foreach((json_t *)check, key, value)
    {
        json_t *known = json_object_get(filch, key);
        if (!known)
            return "it proves something else than filch";
        if (!json_is_number(value) || json_number_value(value) != json_number_value(known))
            return "it came to another result than filch";
    }
    return NULL;
}

static void judge_line(const struct compare_trial *trial, struct compare_entry *entry, const json_t *line,
                       const struct compare_process *process)
{
    const struct compare_entry *against = &trial->entries[entry->against];
    bool filch = against == entry;
    json_t *check = json_object_get(line, "check");
    const char *unit = json_string_value(json_object_get(line, "unit"));
    char *text = json_dumps(check ? check : json_null(), JSON_COMPACT | JSON_ENCODE_ANY);
    json_t *known = json_object_get(json_array_get(against->runs, json_array_size(against->runs) - 1), "check");
    const char *wrong = filch && !json_object_get(line, "wrong") ? NULL : !filch && !known ? NULL : disproved(check, known);
    snprintf(entry->unit, sizeof entry->unit, "%s", unit ? unit : "");
    json_array_append_new(entry->runs, run_of(line, filch, process));
    if (wrong || json_object_get(line, "wrong"))
        fail(entry, COMPARE_WRONG, wrong ? wrong : "wrong check", text ? text : "");
    else if (!json_is_number(json_object_get(line, filch ? "median" : "value")))
        fail(entry, COMPARE_FAILED, "its line has no value", "");
    else if (!filch && against->unit[0] && strcmp(against->unit, entry->unit) != 0)
        fail(entry, COMPARE_FAILED, "it measures in another unit", entry->unit);
    else if (process->status != 0)
        fail(entry, COMPARE_FAILED, "it failed", process->err);
    free(text);
}

static void run_entry(struct compare_trial *trial, struct compare_entry *entry, double limit)
{
    struct compare_process process;
    char **argv = compare_argv(entry), text[64];
    int r = argv ? compare_run(argv, &trial->cpus, limit, &process) : -ENOMEM;
    json_t *line = r < 0 ? NULL : compare_line(process.out);
    free(argv);
    if (r < 0) {
        fail(entry, COMPARE_FAILED, "it could not be started", strerror(-r));
        return;
    }
    entry->last = process.wall;
    trial->others += process.others;
    trial->time += process.wall * CPU_COUNT(&trial->cpus);
    snprintf(text, sizeof text, WIFSIGNALED(process.status) ? "ended by signal %d" : "status %d",
             WIFSIGNALED(process.status) ? WTERMSIG(process.status) : WEXITSTATUS(process.status));
    if (process.timeout)
        fail(entry, COMPARE_TIMEOUT, "it was not done in time", "");
    else if (WIFEXITED(process.status) && WEXITSTATUS(process.status) == 3 && &trial->entries[entry->against] != entry)
        fail(entry, COMPARE_CANNOT, "it cannot express that", process.err);
    else if (line)
        judge_line(trial, entry, line, &process);
    else
        fail(entry, COMPARE_FAILED, text, process.err);
    json_decref(line);
    compare_process_fini(&process);
}

static void run_trial(struct compare_trial *trial, struct progress *progress, unsigned index, const struct options *options)
{
    for (long round = 0; round < options->rounds; round++)
        for (unsigned i = 0; i < trial->count; i++, progress->done++)
            if (trial->entries[i].status == COMPARE_OK) {
                tell(progress, index, round, i);
                run_entry(trial, &trial->entries[i], options->limit);
            }
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

/* ---- the command ---- */

static int list(const struct compare_systems *systems)
{
    puts("peers");
    for (unsigned i = 0; i < systems->count; i++) {
        const struct compare_system *system = &systems->all[i];
        const char *name;
        json_t *most;
        printf("  %-14s %s\n  %-14s", system->name, system->version, "");
        json_object_foreach(system->workloads, name, most)
        {
            char text[128];
            compare_params_text(most, text, sizeof text);
            printf(text[0] ? " %s (%s)" : " %s", name, text);
        }
        puts(i == 0 ? " all of them" : system->workloads ? "" : " says nothing; is asked for each");
    }
    puts("workloads, and the sizes asked for");
    for (unsigned i = 0; i < BENCH_COUNT(plans); i++)
        printf("  %-14s %s\n", plans[i].name, plans[i].params);
    return 0;
}

static json_t *settings_json(const struct options *options, int argc, char **argv)
{
    json_t *words = json_array();
    for (int i = 0; i < argc; i++)
        json_array_append_new(words, json_string(argv[i]));
    return json_pack("{s:I, s:f, s:o}", "rounds", (json_int_t)options->rounds, "limit", options->limit, "arguments", words);
}

static bool went_well(const struct compare_trial *trials, unsigned count)
{
    for (unsigned t = 0; t < count; t++)
        for (unsigned i = 0; i < trials[t].count; i++)
            if (trials[t].entries[i].status != COMPARE_OK && trials[t].entries[i].status != COMPARE_CANNOT)
                return false;
    return true;
}

static int compare(const struct options *options, const struct compare_systems *systems, struct compare_trial *trials, int argc,
                   char **argv)
{
    char *const *names = argv + optind;
    int count = add_trials(trials, systems, options, argc - optind, names);
    if (count < 0)
        return 2;
    struct progress progress = {.trials = trials, .count = (unsigned)count, .rounds = options->rounds};
    for (int t = 0; t < count; t++)
        progress.total += trials[t].count * (unsigned)options->rounds;
    for (int t = 0; t < count; t++) {
        run_trial(&trials[t], &progress, (unsigned)t, options);
        compare_judge(&trials[t]);
        if (!options->json)
            compare_table(&trials[t]);
        fflush(stdout);
    }
    if (options->json) {
        json_t *object = compare_json(systems, trials, (unsigned)count);
        json_object_set_new(object, "settings", settings_json(options, argc, argv));
        json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
        putchar('\n');
        json_decref(object);
    } else {
        compare_conclusion(trials, (unsigned)count);
    }
    return !went_well(trials, (unsigned)count);
}

int bench_compare(int argc, char **argv)
{
    struct options options;
    struct compare_systems systems = {0};
    struct compare_trial *trials = calloc(TRIALS, sizeof *trials);
    int r = trials ? parse(&options, argc, argv) : -ENOMEM;
    if (r != 0) {
        free(trials);
        return r < 0 ? 2 : 0;
    }
    cpu_set_t allowed;
    sched_getaffinity(0, sizeof allowed, &allowed);
    if (options.workers_count == 0)
        read_workers(&options, CPU_COUNT(&allowed) > 1 ? "1,2" : "1");
    r = compare_find(&systems, options.peers);
    for (unsigned i = 0; r >= 0 && i < options.external_count; i++)
        r = compare_add_external(&systems, options.externals[i]);
    int status = r < 0 ? 2 : options.list ? list(&systems) : compare(&options, &systems, trials, argc, argv);
    for (unsigned t = 0; t < TRIALS; t++)
        compare_trial_fini(&trials[t]);
    compare_systems_fini(&systems);
    free(trials);
    return status;
}
