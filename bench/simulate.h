/* SPDX-License-Identifier: MIT */
/* What `filch-bench sim` is made of: the command (simulate.c), what things cost here (simulate_costs.c), graphs by name and from files
 * (simulate_graph.c), and what came of it (simulate_report.c). The simulator itself is bench/sim. docs/concepts/bench.md says what it
 * can be asked and how it is held to the truth. */
#ifndef FILCH_BENCH_SIMULATE_H
#define FILCH_BENCH_SIMULATE_H

#include <jansson.h>

#include "sim/sim.h"

/** Where a cost is from. */
enum simulate_source { SIMULATE_NONE, SIMULATE_MEASURED, SIMULATE_ASSUMED, SIMULATE_GIVEN };

struct simulate_costs {
    struct sim_costs costs;
    enum simulate_source source[SIM_COSTS];
};

struct simulate_graph {
    char name[32], params[160]; /* what it was asked for with */
    struct sim_graph graph;
    bool work_given, spawn_given;
    int64_t check[3]; /* what a run must come to; negative: not known */
    uint64_t tasks;   /* how many there will be; 0: not known */
};

/** One run. */
struct simulate_run {
    const struct simulate_graph *graph;
    unsigned workers, policy;
    uint64_t seed;
    char topology[200];
    struct sim_result result;
    double took; /* s */
    bool wrong;
};

/* ---- simulate_costs.c ---- */

/** "key=value,key=value". @return 0, or -EINVAL once it has said what is wrong */
int simulate_read_costs(struct simulate_costs *costs, const char *text);

/** A JSON object with the keys of costs, or with one under `costs`, as `--json` prints it; `metal`: those of a server without a hypervisor, by the book.
 * @return 0, or -EINVAL once it has said what is wrong */
int simulate_load_costs(struct simulate_costs *costs, const char *name);

/** Measures or assumes whatever is still missing. @return 0 or -errno, once it has said what failed */
int simulate_find_costs(struct simulate_costs *costs);

/** Measures what a task of the graph takes, unless it was given. @return as above */
int simulate_find_work(struct simulate_graph *graph);

/** A run of `filch-bench run WORKLOAD …` on as many CPUs: the least of its figure. @return 0 or -errno, once it has said what failed */
int simulate_real_run(const char *const words[], unsigned workers, unsigned runs, double *ret_best);

/* ---- simulate_graph.c ---- */

/** "uts:tree=T1L,work=150". @return 0, or -EINVAL once it has said what is wrong */
int simulate_read_graph(struct simulate_graph *ret_graph, const char *definition);

/** One that was written down, docs/concepts/bench.md: "FILE" or "FILE,spawn=NS". @return 0; -EINVAL, -ENOMEM, or what the file says, once it has said what is wrong */
int simulate_load_graph(struct simulate_graph *ret_graph, const char *definition);

void simulate_graph_fini(struct simulate_graph *graph);

/** A machine for so many workers where none was described: eight cores to a cache, eight caches to a package. */
void simulate_topology(unsigned workers, char *text, size_t size);

/* ---- simulate_report.c ---- */

/** (work + spawn) / makespan. */
double simulate_speedup(const struct sim_result *result);

void simulate_costs_text(const struct simulate_costs *costs);
void simulate_head_text(const struct simulate_graph *graph);
void simulate_run_text(const struct simulate_run *run, bool first);
void simulate_lost_text(const struct simulate_run *runs, unsigned count);

json_t *simulate_costs_json(const struct simulate_costs *costs);
json_t *simulate_run_json(const struct simulate_run *run);

/** A line on stderr that the next one replaces; NULL: away with it. */
void simulate_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
