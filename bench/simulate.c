/* SPDX-License-Identifier: MIT */
/* sim: the scheduler on machines that there are not here, docs/concepts/bench.md.
 *
 * Each graph is run on each number of workers under each policy, one run after the other; a run is a function of its setup alone, so that the same costs and
 * the same seed give the same answer. With --validate the same graphs are run for real as well, with one worker and with two, and the difference is shown. */
#include "simulate.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "trace.h"
#include "util.h"

#define GRAPHS 16
#define WORKERS 16
#define POLICIES 16
#define RUNS (GRAPHS * WORKERS * POLICIES)
#define ERROR_MOST 0.15 /* of --validate */

static const char usage[] =
    "usage: filch-bench sim [GRAPH[:KEY=VALUE,…]…] [--graph FILE[,spawn=NS]]… [--workers N,M,…] [--topology TEXT]\n"
    "                       [--policy A,B,…] [--cost KEY=NUMBER,…] [--costs FILE] [--seed N] [--json] [--list]\n"
    "       filch-bench sim --validate [GRAPH…] [--rounds R] [--cost …] [--json]\n"
    "       filch-bench sim --record FILE WORKLOAD [--key value …]\n"
    "\n"
    "Runs the scheduler's own code on virtual workers, with the costs of this machine: how task graphs scale\n"
    "where there are more cores than here, and where the time goes.\n"
    "\n"
    "  GRAPH            fork, uts, wavefront, flat; default: uts. Keys: --list; work and spawn are ns a task,\n"
    "                   measured here unless they are given\n"
    "  --graph          one from a file\n"
    "  --workers        default: 8,16,64; up to 1024\n"
    "  --topology       in hwloc's words, a worker a core: 'pack:4 numa:2 core:16 pu:2'; default: eight cores to\n"
    "                   a cache, eight caches to a package, as many as it takes\n"
    "  --policy         default: runtime, what the scheduler does; `all`; --list says what they are\n"
    "  --cost           instead of what would be measured or assumed\n"
    "  --costs          all of them: `metal`, a server without a hypervisor, by the book; or from a file, as --json\n"
    "                   prints them\n"
    "  --seed           of the thieves' choices; default: 1\n"
    "  --validate       the same with 1 and 2 workers, simulated and for real; default: all four graphs\n"
    "  --rounds         real runs of each; default: 9\n"
    "  --record         runs sort or wavefront on one worker and writes its task graph down, for --graph\n"
    "  --json           one JSON object in place of the tables\n"
    "  --list           graphs, policies and costs\n"
    "  -h, --help       this\n"
    "\n"
    "docs/concepts/bench.md says what is simulated, what is not, and how to read the tables.\n"
    "Exit status: 0; 1 a check was wrong, a simulation was more than 15 % off the truth (--validate), or something\n"
    "failed; 2 the command line was not understood.\n";

struct options {
    struct simulate_graph graphs[GRAPHS];
    unsigned graph_count, workers[WORKERS], worker_count, policies[POLICIES], policy_count, rounds;
    const char *topology, *record;
    struct simulate_costs costs;
    uint64_t seed;
    bool json, validate;
};

/* ---- the command line ---- */

static int read_workers(struct options *options, const char *text)
{
    options->worker_count = 0;
    for (char *end; *text; text = end + (*end == ',')) {
        long workers = strtol(text, &end, 10);
        if (end == text || (*end && *end != ',') || workers < 1 || workers > 1024 || options->worker_count == WORKERS) {
            bench_say("--workers takes up to %d numbers from 1 to 1024 with commas, not '%s'", WORKERS, text);
            return -EINVAL;
        }
        options->workers[options->worker_count++] = (unsigned)workers;
    }
    return options->worker_count ? 0 : -EINVAL;
}

static int read_policies(struct options *options, const char *text)
{
    options->policy_count = 0;
    if (strcmp(text, "all") == 0) {
        for (unsigned i = 0; i < sim_policies; i++)
            options->policies[options->policy_count++] = i;
        return 0;
    }
    for (size_t length; *text; text += length + (text[length] == ',')) {
        unsigned found = sim_policies;
        length = strcspn(text, ",");
        for (unsigned i = 0; i < sim_policies; i++)
            if (strlen(sim_policy_names[i].name) == length && strncmp(sim_policy_names[i].name, text, length) == 0)
                found = i;
        if (found == sim_policies || options->policy_count == POLICIES) {
            bench_say("there is no policy '%.*s'; `filch-bench sim --list` names them", (int)length, text);
            return -EINVAL;
        }
        options->policies[options->policy_count++] = found;
    }
    return options->policy_count ? 0 : -EINVAL;
}

static void list(void)
{
    puts("graphs\n"
         "  fork         n=34           fib(n), a task a call\n"
         "  uts          tree=T1        a tree that nobody can foresee; tree is one of\n"
         "                              " UTS_SAMPLES ";\n"
         "                              depth and seed of it can be replaced\n"
         "  wavefront    tiles=64       so many squared, each after the one above and the one to its left\n"
         "  flat         tasks=1000000  from one task\n"
         "  of each: work=NS, spawn=NS  what a task takes, and what being a task takes, on one worker");
    puts("policies");
    for (unsigned i = 0; i < sim_policies; i++)
        printf("  %-12s %s\n", sim_policy_names[i].name, sim_policy_names[i].help);
    puts("costs");
    for (unsigned i = 0; i < SIM_COSTS; i++)
        printf("  %-12s %-7s %s\n", sim_cost_names[i].name, sim_cost_names[i].unit, sim_cost_names[i].help);
    puts("times");
    for (unsigned i = 0; i < SIM_TIMES; i++)
        printf("  %-12s %s\n", sim_time_names[i].name, sim_time_names[i].help);
}

static int read_number(const char *key, const char *text, double min, double max, double *ret_number)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end || !(number >= min && number <= max) || number != floor(number)) {
        bench_say("--%s takes a whole number from %.0f to %.0f, not '%s'", key, min, max, text);
        return -EINVAL;
    }
    *ret_number = number;
    return 0;
}

static int add_graph(struct options *options, const char *text, bool file)
{
    if (options->graph_count == GRAPHS) {
        bench_say("sim: more than %d graphs", GRAPHS);
        return -EINVAL;
    }
    struct simulate_graph *graph = &options->graphs[options->graph_count++];
    return file ? simulate_load_graph(graph, text) : simulate_read_graph(graph, text);
}

/* @return 0, 1 when all has been said, or -errno */
static int parse(struct options *options, int argc, char **argv)
{
    static const struct option table[] = {
        {"graph", required_argument, NULL, 'g'},
        {"workers", required_argument, NULL, 'w'},
        {"topology", required_argument, NULL, 't'},
        {"policy", required_argument, NULL, 'p'},
        {"cost", required_argument, NULL, 'c'},
        {"costs", required_argument, NULL, 'C'},
        {"seed", required_argument, NULL, 's'},
        {"rounds", required_argument, NULL, 'r'},
        {"validate", no_argument, NULL, 'v'},
        {"json", no_argument, NULL, 'j'},
        {"list", no_argument, NULL, 'L'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    double number;
    int r = 0;
    options->seed = 1;
    options->rounds = 9;
    options->policy_count = 1; /* the first: the runtime's */
    opterr = 0;
    optind = 0;
    for (int c; r == 0 && (c = getopt_long(argc, argv, ":h", table, NULL)) != -1;) {
        switch (c) {
        case 'g':
            r = add_graph(options, optarg, true);
            break;
        case 'w':
            r = read_workers(options, optarg);
            break;
        case 't':
            options->topology = optarg;
            break;
        case 'p':
            r = read_policies(options, optarg);
            break;
        case 'c':
            r = simulate_read_costs(&options->costs, optarg);
            break;
        case 'C':
            r = simulate_load_costs(&options->costs, optarg);
            break;
        case 's':
            r = read_number("seed", optarg, 1, UINT32_MAX, &number);
            options->seed = r == 0 ? (uint64_t)number : 0;
            break;
        case 'r':
            r = read_number("rounds", optarg, 1, 1000, &number);
            options->rounds = r == 0 ? (unsigned)number : 0;
            break;
        case 'v':
            options->validate = true;
            break;
        case 'j':
            options->json = true;
            break;
        case 'L':
            list();
            return 1;
        case 'h':
            fputs(usage, stdout);
            return 1;
        default:
            bench_say(c == ':' ? "%s needs a value" : "no option '%s'; `filch-bench sim --help` lists them", argv[optind - 1]);
            return -EINVAL;
        }
    }
    for (; r == 0 && optind < argc; optind++)
        r = add_graph(options, argv[optind], false);
    return r;
}

/* ---- runs ---- */

struct progress {
    const struct simulate_run *run;
    int64_t began;
};

static void tell(uint64_t tasks, void *arg)
{
    const struct progress *progress = arg;
    const struct simulate_run *run = progress->run;
    double seconds = (double)(filch_now() - progress->began) / 1e9;
    if (seconds < 1)
        return;
    if (run->graph->tasks)
        simulate_progress("%s, %u workers, %s: %.0f %%, about %.0f s left …", run->graph->name, run->workers,
                          sim_policy_names[run->policy].name, 100 * (double)tasks / (double)run->graph->tasks,
                          seconds * ((double)run->graph->tasks / (double)tasks - 1));
    else
        simulate_progress("%s, %u workers, %s: %llu tasks …", run->graph->name, run->workers, sim_policy_names[run->policy].name,
                          (unsigned long long)tasks);
}

static bool is_right(const struct simulate_graph *graph, const struct sim_result *result)
{
    bool right = true;
    for (unsigned i = 0; i < 3; i++)
        right = right && (graph->check[i] < 0 || graph->check[i] == result->check[i]);
    return right && (graph->tasks == 0 || result->tasks == graph->tasks);
}

static int simulate(struct simulate_run *run, const struct simulate_costs *costs)
{
    struct progress progress = {run, filch_now()};
    struct sim_setup setup = {
        .topology = run->topology,
        .workers = run->workers,
        .policy = run->policy,
        .seed = run->seed,
        .costs = costs->costs,
        .graph = run->graph->graph,
        .progress = tell,
        .progress_arg = &progress,
    };
    int r = sim_run(&setup, &run->result);
    run->took = (double)(filch_now() - progress.began) / 1e9;
    if (run->took >= 1)
        simulate_progress(NULL);
    run->wrong = r == 0 && !is_right(run->graph, &run->result);
    if (r == -EINVAL)
        bench_say("sim: hwloc does not understand --topology '%s'; such as 'pack:4 numa:2 core:16 pu:2' it does", run->topology);
    else if (r == -E2BIG)
        bench_say("sim: --topology '%s' has fewer cores than --workers %u, and a worker runs on each", run->topology, run->workers);
    else if (r < 0)
        bench_say("sim: %s with %u workers: %s", run->graph->name, run->workers,
                  r == -ENOTSUP ? "not in a build with ThreadSanitizer" : strerror(-r));
    if (run->wrong && run->graph->graph.kind == SIM_RECORDED)
        bench_say("sim: %s: of %u tasks %lld ran once: others wait for each other in a circle", run->graph->params,
                  run->graph->graph.recorded->count, (long long)run->result.check[0]);
    else if (run->wrong)
        bench_say("sim: wrong: %s with %u workers came to %lld, not %lld", run->graph->name, run->workers, (long long)run->result.check[0],
                  (long long)run->graph->check[0]);
    return r == -E2BIG ? -EINVAL : r;
}

static int run_graph(const struct options *options, const struct simulate_graph *graph, struct simulate_run *runs, unsigned *ret_count)
{
    unsigned count = 0;
    int r = 0;
    if (!options->json)
        simulate_head_text(graph);
    for (unsigned w = 0; r == 0 && w < options->worker_count; w++)
        for (unsigned p = 0; r == 0 && p < options->policy_count; p++) {
            struct simulate_run *run = &runs[count++];
            *run = (struct simulate_run){
                .graph = graph, .workers = options->workers[w], .policy = options->policies[p], .seed = options->seed};
            if (options->topology)
                snprintf(run->topology, sizeof run->topology, "%s", options->topology);
            else
                simulate_topology(run->workers, run->topology, sizeof run->topology);
            r = simulate(run, &options->costs);
            if (r == 0 && !options->json)
                simulate_run_text(run, count == 1);
        }
    if (r == 0 && !options->json)
        simulate_lost_text(runs, count);
    *ret_count = count;
    return r;
}

static int simulate_all(struct options *options)
{
    static struct simulate_run runs[WORKERS * POLICIES];
    json_t *results = json_array();
    bool wrong = false;
    if (options->costs.source[SIM_COST_BESIDE] == SIMULATE_NONE) { /* that of two virtual CPUs says nothing of others */
        options->costs.costs.of[SIM_COST_BESIDE] = 1;
        options->costs.source[SIM_COST_BESIDE] = SIMULATE_ASSUMED;
    }
    int r = simulate_find_costs(&options->costs);
    for (unsigned i = 0; r == 0 && i < options->graph_count; i++)
        r = simulate_find_work(&options->graphs[i]);
    if (r == 0 && !options->json)
        simulate_costs_text(&options->costs);
    for (unsigned i = 0; r == 0 && i < options->graph_count; i++) {
        unsigned count;
        r = run_graph(options, &options->graphs[i], runs, &count);
        for (unsigned n = 0; r == 0 && n < count; n++) {
            wrong |= runs[n].wrong;
            json_array_append_new(results, simulate_run_json(&runs[n]));
        }
    }
    if (r == 0 && options->json) {
        json_t *all = json_pack("{s:o, s:O}", "costs", simulate_costs_json(&options->costs), "runs", results);
        json_dumpf(all, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
        putchar('\n');
        json_decref(all);
    }
    json_decref(results);
    return r == -EINVAL ? 2 : r < 0 || wrong;
}

/* ---- against the truth ---- */

/* The command line for the same thing, and how its figure becomes ns. */
static double real_words(const struct simulate_graph *graph, const char *words[20], char numbers[4][32])
{
    const struct uts_tree *tree = &graph->graph.tree;
    snprintf(numbers[0], 32, "%lld", (long long)graph->graph.n);
    switch (graph->graph.kind) {
    case SIM_FORK:
        memcpy(words, (const char *[]){"fork", "--n", numbers[0], NULL}, 4 * sizeof *words);
        return (double)graph->tasks;
    case SIM_FLAT:
        memcpy(words, (const char *[]){"flat", "--tasks", numbers[0], NULL}, 4 * sizeof *words);
        return (double)graph->tasks;
    case SIM_WAVEFRONT:
        snprintf(numbers[0], 32, "%lld", (long long)graph->graph.n * 256);
        memcpy(words, (const char *[]){"wavefront", "--n", numbers[0], "--tile", "256", NULL}, 6 * sizeof *words);
        return 1e6;
    case SIM_UTS: {
        static const char *const types[] = {"binomial", "geometric", "hybrid", "balanced"}, *const shapes[] = {"linear", "expdec", "cyclic",
                                                                                                               "fixed"};
        static char more[4][32];
        snprintf(more[0], 32, "%.17g", tree->b0);
        snprintf(more[1], 32, "%.17g", tree->q);
        snprintf(more[2], 32, "%.17g", tree->shift);
        snprintf(more[3], 32, "%lld", (long long)tree->m);
        snprintf(numbers[0], 32, "%lld", (long long)tree->depth);
        snprintf(numbers[1], 32, "%lld", (long long)tree->seed);
        memcpy(words,
               (const char *[]){"uts", "--type", types[tree->type], "--shape", shapes[tree->shape], "--b0", more[0], "--q", more[1],
                                "--shift", more[2], "--m", more[3], "--depth", numbers[0], "--seed", numbers[1], NULL},
               18 * sizeof *words);
        return 1e6;
    }
    case SIM_RECORDED:
        break;
    }
    return 0;
}

static int validate_one(const struct options *options, const struct simulate_graph *graph, unsigned workers, json_t *results, bool *ret_far)
{
    const char *words[20];
    char numbers[4][32];
    struct simulate_run run = {.graph = graph, .workers = workers, .seed = options->seed};
    double figure, factor = real_words(graph, words, numbers);
    simulate_topology(workers, run.topology, sizeof run.topology);
    int r = simulate_real_run(words, workers, options->rounds, &figure);
    if (r == 0)
        r = simulate(&run, &options->costs);
    if (r < 0)
        return r;
    double real = figure * factor, error = run.result.makespan / real - 1;
    bool far = !(fabs(error) <= ERROR_MOST) || run.wrong;
    *ret_far |= far;
    json_array_append_new(results,
                          json_pack("{s:s, s:s, s:i, s:f, s:f, s:f, s:b}", "graph", graph->name, "params", graph->params, "workers",
                                    (int)workers, "real_ns", real, "simulated_ns", run.result.makespan, "error", error, "good", !far));
    if (!options->json)
        printf("  %-10s %-24s %7u %12.3f %12.3f %+9.1f %%  %s\n", graph->name, graph->params, workers, real / 1e6,
               run.result.makespan / 1e6, 100 * error,
               run.wrong ? "WRONG"
               : far     ? "too far off"
                         : "");
    return 0;
}

static int validate(struct options *options)
{
    json_t *results = json_array();
    bool far = false;
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        bench_say("sim: there is one CPU only: two workers share it, and their simulation knows nothing of that");
    int r = simulate_find_costs(&options->costs);
    if (r == 0 && !options->json) {
        simulate_costs_text(&options->costs);
        printf("\nsimulated, and for real\n  %-10s %-24s %7s %12s %12s %11s\n", "graph", "", "workers", "real ms", "simulated ms", "error");
    }
    for (unsigned i = 0; r == 0 && i < options->graph_count; i++) {
        struct simulate_graph *graph = &options->graphs[i];
        if (graph->graph.kind == SIM_RECORDED) {
            bench_say("sim: --validate knows the graphs by name only: what to run for '%s' it cannot know", graph->params);
            r = -EINVAL;
            break;
        }
        r = simulate_find_work(graph);
        for (unsigned workers = 1; r == 0 && workers <= 2; workers++)
            r = validate_one(options, graph, workers, results, &far);
    }
    if (r == 0 && options->json) {
        json_t *all = json_pack("{s:o, s:O}", "costs", simulate_costs_json(&options->costs), "validation", results);
        json_dumpf(all, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
        putchar('\n');
        json_decref(all);
    }
    json_decref(results);
    return r == -EINVAL ? 2 : r < 0 || far;
}

int bench_sim(int argc, char **argv)
{
    static const char *const four[] = {"fork", "uts", "wavefront", "flat"};
    static struct options options;
    if (argc > 1 && strcmp(argv[1], "--record") == 0)
        return bench_record_graph(argc - 1, argv + 1);
    int r = parse(&options, argc, argv);
    if (r == 0 && options.worker_count == 0)
        r = read_workers(&options, "8,16,64");
    bool none = options.graph_count == 0;
    for (unsigned i = 0; r == 0 && none && i < BENCH_COUNT(four); i++)
        if (options.validate || i == 1)
            r = add_graph(&options, four[i], false);
    int status = r == 1 ? 0 : r < 0 ? (r == -ENOMEM ? 1 : 2) : options.validate ? validate(&options) : simulate_all(&options);
    for (unsigned i = 0; i < options.graph_count; i++)
        simulate_graph_fini(&options.graphs[i]);
    return status;
}
