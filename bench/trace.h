/* SPDX-License-Identifier: MIT */
/* A workload's task graph, written down while it runs: who spawned whom, how long each worked between its spawns and joins. For `filch-bench sim`.
 *
 * A workload takes part by bench_spawn and bench_join in place of filch_spawn and filch_join; tasks that wait for others than their children say so by
 * bench_trace_release and bench_trace_become. Nothing but a look at a flag is added while nobody records, so this is for tasks of a microsecond and more.
 * Only with one worker: then one task runs at a time, and who that is needs no thread-local variable. See trace.c. */
#ifndef FILCH_BENCH_TRACE_H
#define FILCH_BENCH_TRACE_H

#include "bench.h"

extern bool bench_tracing;

int bench_trace_spawn(filch_scope *scope, filch_fn *fn, void *arg);
int bench_trace_join(filch_scope *scope);

static inline int bench_spawn(filch_scope *scope, filch_fn *fn, void *arg)
{
    return __builtin_expect(bench_tracing, false) ? bench_trace_spawn(scope, fn, arg) : filch_spawn(scope, fn, arg);
}

static inline int bench_join(filch_scope *scope)
{
    return __builtin_expect(bench_tracing, false) ? bench_trace_join(scope) : filch_join(scope);
}

/** The calling task is the first one of a run: what was written down before is forgotten. */
void bench_trace_root(void);

/** The first task is over; so is what is measured. */
void bench_trace_end(void);

/** One of `count` tasks for which the `which`-th (from 0) waits has done its part for it. Who becomes it comes by later. */
void bench_trace_release(int64_t which, unsigned count);

/** The caller goes on as the `which`-th of those; what it was has ended. */
void bench_trace_become(int64_t which);

/** Runs a workload on one worker and writes its graph down: "--record FILE WORKLOAD --key value …". @return an exit status */
int bench_record_graph(int argc, char **argv);

#endif
