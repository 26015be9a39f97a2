/* SPDX-License-Identifier: MIT */
#include "machine/thread.h"

#include <errno.h>
#include <signal.h>

struct fl_cpus fl_cpus_allowed(void)
{
    struct fl_cpus cpus;
    cpus.known = sched_getaffinity(0, sizeof cpus.set, &cpus.set) == 0;
    return cpus;
}

static int start(pthread_t *ret_thread, size_t stack_size, const struct fl_cpus *cpus, void *(*main)(void *), void *arg)
{
    pthread_attr_t attr;
    int r = pthread_attr_init(&attr);
    if (r != 0)
        return r;
    if (stack_size)
        r = pthread_attr_setstacksize(&attr, stack_size);
    if (r == 0 && cpus && cpus->known)
        r = pthread_attr_setaffinity_np(&attr, sizeof cpus->set, &cpus->set);
    if (r == 0)
        r = pthread_create(ret_thread, &attr, main, arg);
    pthread_attr_destroy(&attr);
    return r;
}

int fl_thread_start(pthread_t *ret_thread, size_t stack_size, const struct fl_cpus *cpus, void *(*main)(void *), void *arg)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = start(ret_thread, stack_size, cpus, main, arg);
    if (r == EINVAL && stack_size)
        r = start(ret_thread, 0, cpus, main, arg);
    if (r == EINVAL) /* of these CPUs none is left, since the program's set was made smaller */
        r = start(ret_thread, 0, NULL, main, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -r;
}
