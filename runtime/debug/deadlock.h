/* SPDX-License-Identifier: MIT */
/* Deadlock: who waits for whom, once nothing can happen any more. */
#ifndef FL_DEBUG_DEADLOCK_H
#define FL_DEBUG_DEADLOCK_H

struct filch_runtime;

/** All workers of `runtime` sleep and nothing could wake a task but another task: reports that to the host if tasks are parked, and none waits for somebody from
 * outside. Called by the last worker, before it sleeps. */
void fl_deadlock_report(struct filch_runtime *runtime);

#endif
