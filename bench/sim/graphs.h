/* SPDX-License-Identifier: MIT */
/* Task graphs as programs on the virtual machine. See graphs.c. */
#ifndef FILCH_BENCH_SIM_GRAPHS_H
#define FILCH_BENCH_SIM_GRAPHS_H

#include "virtual.h"

/** Runs the graph as the calling task, and says what came of it. @return 0 or -ENOMEM */
int sim_graph_run(const struct sim_graph *graph, const struct sim_setup *setup, struct sim_result *result);

#endif
