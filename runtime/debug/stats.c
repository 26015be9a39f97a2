/* SPDX-License-Identifier: MIT */
/* Counters: each worker counts for itself; here they are summed. */
#include "sched/worker.h"

#include <filch/debug.h>

#define SUM(field) ret_stats->field += load_relaxed(&w->counters.field) /* counter */

void filch_stats_read(const filch_runtime *runtime, filch_stats *ret_stats)
{
    struct fl_monitor *monitor = &((filch_runtime *)(uintptr_t)runtime)->monitor;
    *ret_stats = (filch_stats){0};
    for (unsigned i = 0; i < fl_total(runtime); i++) {
        struct fl_worker *w = runtime->workers[i];
        SUM(dispatched);
        SUM(parks);
        SUM(steals);
        SUM(steal_attempts);
        SUM(wakes);
        SUM(sleeps);
        ret_stats->operations += load_relaxed(&w->ring.operations) + load_relaxed(&w->ring.helped); /* counter */
        ret_stats->timers += load_relaxed(&w->wheel.expired);                                       /* counter */
    }
    ret_stats->stalls = load_relaxed(&monitor->stalls);          /* counter */
    ret_stats->relief_calls = load_relaxed(&monitor->calls);     /* counter */
    ret_stats->relief_refused = load_relaxed(&monitor->refused); /* counter */
    ret_stats->reliefs = fl_total(runtime) - runtime->count;
    struct fl_stacks_info info;
    fl_stacks_info(runtime->stacks, &info);
    ret_stats->stacks = info.stacks;
    ret_stats->stacks_guarded = info.guarded;
    ret_stats->stack_bytes = info.bytes;
    ret_stats->guard = (filch_guard_kind)info.guard;
}
