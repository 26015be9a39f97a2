/* SPDX-License-Identifier: MIT */
/* Deadlock: who waits for whom, once nothing can happen any more. */
#ifndef FL_DEBUG_DEADLOCK_H
#define FL_DEBUG_DEADLOCK_H

#include <stdbool.h>
#include <stddef.h>

struct filch_runtime;

/** All workers of `runtime` but the caller are kept asleep, and nothing could wake a task but another task.
 * @param still whether nobody from outside has woken one meanwhile @param ret_text a report, which the caller frees; NULL: no memory for one
 * @return how many tasks are parked; 0: one of them waits for somebody from outside, or somebody has come */
size_t fl_deadlock_find(struct filch_runtime *runtime, bool (*still)(struct filch_runtime *runtime), char **ret_text);

#endif
