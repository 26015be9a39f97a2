/* SPDX-License-Identifier: MIT */
/* Before runtime/machine/cost.h in the simulator: what is said there takes virtual time. */
#ifndef FILCH_BENCH_SIM_COST_H
#define FILCH_BENCH_SIM_COST_H

#define fl_cost fl_cost_in_fact
#include_next "machine/cost.h"
#undef fl_cost

void fl_cost(enum fl_cost_kind what, const void *of, unsigned count);

#endif
