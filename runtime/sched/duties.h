/* SPDX-License-Identifier: MIT */
/* Who stands in for stalled workers. See duties.c. */
#ifndef FL_SCHED_DUTIES_H
#define FL_SCHED_DUTIES_H

#include "sched/stalled.h"

#define FL_LINGER 20000000 /* ns after the last stall, or of one too many, until a relief goes to rest */

/** Calls, makes and dismisses reliefs after what the monitor has seen. The monitor alone. view->more is set where another one may be needed. */
void fl_duties_assign(struct filch_runtime *runtime, struct fl_view *view);

#endif
