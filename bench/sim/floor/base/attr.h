/* SPDX-License-Identifier: MIT */
/* Before runtime/base/attr.h in the simulator: waiting for another thread takes virtual time. */
#ifndef FILCH_BENCH_SIM_ATTR_H
#define FILCH_BENCH_SIM_ATTR_H

#include <sched.h>
#include <time.h>

#define fl_relax fl_relax_in_fact
#include_next "base/attr.h"
#undef fl_relax

/** A turn of waiting. */
void fl_relax(void);

int sim_sched_yield(void);
int sim_nanosleep(const struct timespec *time, struct timespec *ret_left);
#define sched_yield sim_sched_yield
#define nanosleep sim_nanosleep

#endif
