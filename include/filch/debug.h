/* SPDX-License-Identifier: MIT */
/* Looking inside: counters of a runtime, and a dump of its workers and tasks. */
#ifndef FILCH_DEBUG_H
#define FILCH_DEBUG_H

#include <filch/runtime.h>
#include <filch/version.h>

/** How stacks are guarded. */
typedef enum filch_guard_kind {
    FILCH_GUARD_NONE = 0,
    FILCH_GUARD_MARKER = 1,   /**< MADV_GUARD_INSTALL, Linux 6.13 or later */
    FILCH_GUARD_MPROTECT = 2, /**< a protected page a stack, up to a quarter of vm.max_map_count */
    FILCH_GUARD_CANARY = 3,   /**< the lowest page must still be zero when a parked task ends there; else panic */
} filch_guard_kind;

/** Counters since the start, summed over the workers. They are read while the workers run: each is right, together they may be a moment apart. */
typedef struct filch_stats {
    uint64_t dispatched;     /**< tasks started or resumed by a worker's loop */
    uint64_t parks;          /**< times a task stopped */
    uint64_t steals;         /**< tasks taken from another worker */
    uint64_t steal_attempts; /**< thefts paid for, worth it or not */
    uint64_t wakes;          /**< workers woken */
    uint64_t sleeps;         /**< times a worker went to sleep with nothing to do */
    uint64_t operations;     /**< operations submitted to a ring */
    uint64_t timers;         /**< timers that expired */
    uint64_t stalls;         /**< times a task was found to keep its kernel thread while others may have waited */
    uint64_t relief_calls;   /**< times that another thread was called in its place */
    uint64_t relief_refused; /**< times that one was wanted while there were as many as may be */
    uint64_t reliefs;        /**< such threads that exist, most of them at rest */
    uint64_t stacks;         /**< task stacks that exist */
    uint64_t stacks_guarded; /**< of these, with a guard page */
    uint64_t stack_bytes;    /**< address space of the stacks */
    filch_guard_kind guard;  /**< the guard that new stacks get */
} filch_stats;

/** Reads the counters. Context: any thread, never parks. */
FILCH_API void filch_stats_read(const filch_runtime *runtime, filch_stats *ret_stats);

/** Writes what the runtime's workers and parked tasks are doing to `fd`, as text: a line a worker, a line a task with its name, why it is parked and for
 * what. Takes no lock that a stalled task could hold; a task that moves meanwhile may be missed.
 * @return 0 or -errno of the write. Context: any thread, blocks in write(2). */
FILCH_API int filch_dump(const filch_runtime *runtime, int fd);

#endif
