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
    const size_t sizes[] = {stack_size, 0};
    int r = EINVAL;
    for (unsigned i = 0; i < 4 && r != 0 && r != EAGAIN && r != ENOMEM; i++) /* none of the CPUs may be left, or none may be asked for */
        r = start(ret_thread, sizes[i / 2], i % 2 == 0 ? cpus : NULL, main, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -r;
}
