/* SPDX-License-Identifier: MIT */
/* Kernel threads of the runtime: how all of them are started. */
#ifndef FL_MACHINE_THREAD_H
#define FL_MACHINE_THREAD_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

/** The CPUs that a thread may run on. */
struct fl_cpus {
    cpu_set_t set;
    bool known; /**< false where there are more CPUs than the set has room for */
};

/** Those of the calling thread. */
struct fl_cpus fl_cpus_allowed(void);

/** Starts a thread that begins with all signals blocked: they are the program's affair.
 * @param stack_size bytes; the system's default where a thread cannot do with so little (a program with much static TLS needs more)
 * @param cpus where it may run, if the kernel lets it; NULL: where the caller may
 * @return 0 or -errno: -EAGAIN no more threads, or no memory for one */
int fl_thread_start(pthread_t *ret_thread, size_t stack_size, const struct fl_cpus *cpus, void *(*main)(void *), void *arg);

#endif
