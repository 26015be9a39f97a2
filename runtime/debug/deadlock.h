/* SPDX-License-Identifier: MIT */
/* Deadlock: who waits for whom, once nothing can happen any more. */
#ifndef FL_DEBUG_DEADLOCK_H
#define FL_DEBUG_DEADLOCK_H

#include <stdbool.h>

struct filch_runtime;

/** All workers of `runtime` but the caller are kept asleep, and nothing could wake a task but another task.
 * @param ret_text a report, which the caller frees; NULL: no memory for one
 * @return whether tasks are parked, and none waits for somebody from outside */
bool fl_deadlock_find(struct filch_runtime *runtime, char **ret_text);

#endif
