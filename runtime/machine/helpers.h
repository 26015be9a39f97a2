/* SPDX-License-Identifier: MIT */
/* Helpers: a bounded number of kernel threads for calls that wait and that nobody else can wait for. They know no task: a job calls back. See helpers.c. */
#ifndef FL_MACHINE_HELPERS_H
#define FL_MACHINE_HELPERS_H

#include "base/atomic.h"
#include "base/list.h"
#include "base/lock.h"
#include "machine/thread.h"

#include <pthread.h>

struct fl_job {
    struct fl_list node; /**< in line, or by itself */
    /** Called once, on a helper's thread, with no lock; the job may be gone when it returns. */
    void (*run)(struct fl_job *job);
    bool lasts;    /**< it may take as long as it likes: not all threads are for such */
    uint64_t turn; /**< in line: when it came */
};

struct fl_helpers {
    struct fl_lock lock;
    struct fl_list line, lasting_line; /**< jobs that nobody has begun, oldest first: short ones; those that may last */
    unsigned max, lasting_max;         /**< threads at most; of them such as are at a job that may last */
    unsigned jobs, lasting_jobs;       /**< in either line */
    unsigned lasting;                  /**< threads that are at a job that may last */
    uint64_t turns;                    /**< jobs that ever came */
    unsigned count, idle;              /**< threads there are; such as wait for a job */
    bool ending;                       /**< nobody submits any more */
    _Atomic(uint32_t) calls;           /**< futex: changes when an idle one is wanted */
    pthread_t *threads;                /**< `max`, of which `count` are there */
    const struct fl_cpus *cpus;        /**< where they may run: not a worker's CPU alone */
};

/** A quarter of `max`, one at least if there are two, is kept for jobs that do not last. @param cpus where they may run; outlives them
 * @return 0 or -ENOMEM. No thread is started. */
int fl_helpers_init(struct fl_helpers *helpers, unsigned max, const struct fl_cpus *cpus);
/** Nobody waits for a job any more. */
void fl_helpers_fini(struct fl_helpers *helpers);

/** Whether the caller is one of them: it cannot wait for their end. */
bool fl_helpers_has_me(struct fl_helpers *helpers);

/** Puts a job in line, and starts a thread if none is idle and there may be one more. Never waits.
 * @return 0; -EAGAIN there is no thread and none can be started: nothing was put in line. */
int fl_helpers_submit(struct fl_helpers *helpers, struct fl_job *job);

/** Takes a job out of line, if it still stands there, and if *word is still `value`: that says that the job is. @return whether it will not be run */
bool fl_helpers_withdraw(struct fl_helpers *helpers, struct fl_job *job, const _Atomic(uint64_t) *word, uint64_t value);

/** Sets *word to 0, so that nobody is in fl_helpers_withdraw with its old value when this returns. */
void fl_helpers_settle(struct fl_helpers *helpers, _Atomic(uint64_t) *word);

#endif
