/* SPDX-License-Identifier: MIT */
/* What came of a simulation: tables for people, an object for programs. */
#include "simulate.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

static const char *const sources[] = {"", "measured here", "assumed", "given"};

double simulate_speedup(const struct sim_result *result)
{
    double alone = result->times[SIM_TIME_WORK] + result->times[SIM_TIME_SPAWN];
    return result->makespan > 0 ? alone / result->makespan : 1;
}

static uint64_t sum(const uint64_t *values)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < SIM_DISTANCES; i++)
        all += values[i];
    return all;
}

void simulate_costs_text(const struct simulate_costs *costs)
{
    puts("costs");
    for (unsigned i = 0; i < SIM_COSTS; i++)
        printf("  %-12s %10.*f %-7s %-14s %s\n", sim_cost_names[i].name, sim_cost_names[i].unit[0] == 'x' ? 2 : 1, costs->costs.of[i],
               sim_cost_names[i].unit, sources[costs->source[i]], sim_cost_names[i].help);
}

void simulate_head_text(const struct simulate_graph *graph)
{
    printf("\n%s: %s", graph->name, graph->params);
    if (graph->graph.kind != SIM_RECORDED)
        printf("; work %.2f ns a task,", graph->graph.work);
    else
        putchar(';');
    printf(" spawn %.2f ns\n", graph->graph.spawn);
}

void simulate_run_text(const struct simulate_run *run, bool first)
{
    const struct sim_result *result = &run->result;
    double speedup = simulate_speedup(result), alone = result->times[SIM_TIME_WORK] + result->times[SIM_TIME_SPAWN];
    if (first)
        printf("  %7s  %-11s %11s %9s %10s %8s %9s %9s %8s %8s %7s %7s  %s\n", "workers", "policy", "ms", "speed-up", "efficiency",
               "at most", "tries", "thefts", "items", "barriers", "wakes", "parks", "machine");
    double bound = result->span > 0 && alone / result->span < run->workers ? alone / result->span : run->workers;
    printf("  %7u  %-11s %11.3f %9.2f %8.1f %% %8.1f %9llu %9llu %8llu %8llu %7llu %7llu  %s%s\n", run->workers,
           sim_policy_names[run->policy].name, result->makespan / 1e6, speedup, 100 * speedup / run->workers, bound,
           (unsigned long long)sum(result->tries), (unsigned long long)sum(result->steals), (unsigned long long)sum(result->items),
           (unsigned long long)result->barriers, (unsigned long long)result->wakes, (unsigned long long)result->parks, run->topology,
           run->wrong ? "  WRONG" : "");
    fflush(stdout);
}

/* The columns of those that are not nothing everywhere. */
void simulate_lost_text(const struct simulate_run *runs, unsigned count)
{
    bool shown[SIM_TIMES] = {false};
    for (unsigned i = 0; i < count; i++)
        for (unsigned t = 0; t < SIM_TIMES; t++)
            shown[t] |= runs[i].result.times[t] >= 0.00005 * runs[i].result.makespan * runs[i].workers;
    printf("  where the time of all workers goes, %%\n  %7s  %-11s", "workers", "policy");
    for (unsigned t = 0; t < SIM_TIMES; t++)
        if (shown[t])
            printf(" %9s", sim_time_names[t].name);
    putchar('\n');
    for (unsigned i = 0; i < count; i++) {
        printf("  %7u  %-11s", runs[i].workers, sim_policy_names[runs[i].policy].name);
        for (unsigned t = 0; t < SIM_TIMES; t++)
            if (shown[t])
                printf(" %9.2f", 100 * runs[i].result.times[t] / (runs[i].result.makespan * runs[i].workers));
        putchar('\n');
    }
}

json_t *simulate_costs_json(const struct simulate_costs *costs)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < SIM_COSTS; i++)
        json_object_set_new(
            object, sim_cost_names[i].name,
            json_pack("{s:f, s:s, s:s}", "value", costs->costs.of[i], "unit", sim_cost_names[i].unit, "source", sources[costs->source[i]]));
    return object;
}

static json_t *by_distance(const uint64_t *values)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < SIM_DISTANCES; i++)
        json_object_set_new(object, sim_distance_names[i].name, json_integer((json_int_t)values[i]));
    return object;
}

json_t *simulate_run_json(const struct simulate_run *run)
{
    const struct sim_result *result = &run->result;
    const struct simulate_graph *graph = run->graph;
    double speedup = simulate_speedup(result);
    json_t *times = json_object();
    for (unsigned t = 0; t < SIM_TIMES; t++)
        json_object_set_new(times, sim_time_names[t].name, json_real(result->times[t] / 1e6));
    json_t *object =
        json_pack("{s:s, s:s, s:f, s:f, s:i, s:s, s:I, s:s, s:f, s:f, s:f, s:f, s:I, s:[I,I,I], s:f, s:b}", "graph", graph->name, "params",
                  graph->params, "work_ns", graph->graph.work, "spawn_ns", graph->graph.spawn, "workers", (int)run->workers, "policy",
                  sim_policy_names[run->policy].name, "seed", (json_int_t)run->seed, "topology", run->topology, "makespan_ns",
                  result->makespan, "span_ns", result->span, "speedup", speedup, "efficiency", speedup / run->workers, "tasks",
                  (json_int_t)result->tasks, "check", (json_int_t)result->check[0], (json_int_t)result->check[1],
                  (json_int_t)result->check[2], "simulated_in_s", run->took, "wrong", run->wrong);
    json_object_set_new(object, "times_ms", times);
    json_object_set_new(object, "tries", by_distance(result->tries));
    json_object_set_new(object, "thefts", by_distance(result->steals));
    json_object_set_new(object, "items", by_distance(result->items));
    json_object_set_new(object, "others_at", by_distance(result->in_class));
    json_object_set_new(object, "barriers", json_integer((json_int_t)result->barriers));
    json_object_set_new(object, "wakes", json_integer((json_int_t)result->wakes));
    json_object_set_new(object, "naps", json_integer((json_int_t)result->naps));
    json_object_set_new(object, "sleeps", json_integer((json_int_t)result->sleeps));
    json_object_set_new(object, "parks", json_integer((json_int_t)result->parks));
    return object;
}

void simulate_progress(const char *format, ...)
{
    va_list arguments;
    bool terminal = isatty(STDERR_FILENO);
    static int64_t told;
    if (!format) {
        if (terminal)
            fputs("\r\033[K", stderr);
        return;
    }
    if (!terminal && told && filch_now() - told < FILCH_SEC(10))
        return;
    told = filch_now();
    if (terminal)
        fputs("\r\033[K", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (!terminal)
        fputc('\n', stderr);
}
