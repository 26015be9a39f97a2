/* SPDX-License-Identifier: MIT */
/* Who stalls a worker, for the host. See stall.c. */
#ifndef FL_DEBUG_STALL_H
#define FL_DEBUG_STALL_H

#include "sched/worker.h"

/** Has the host told of the task that `w` runs, if it still does when a helper comes to it; w had last looked round at `looked`. The monitor calls it. Never waits.
 * @return false: nobody is there to tell it now */
bool fl_stall_tell(struct filch_runtime *runtime, struct fl_worker *w, int64_t looked);

/** Before the first stall: a helper reads what a report needs of the program's files, once a process, because that takes longer than a short stall. Never
 * waits; but the end of the runtime does, for the helper. */
void fl_stall_prepare(struct filch_runtime *runtime);

#endif
