/* SPDX-License-Identifier: MIT */
/* A program with a data race, on purpose: two tasks on two workers increment a plain global. ThreadSanitizer must say so (racy.sh), else
 * its silence about everything else proves nothing: it could have lost track at a switch, or take every hand-over between tasks for a
 * synchronisation.
 *
 * The two wait for each other before they start, with relaxed atomics, which order nothing: so they do run at the same time, on two
 * workers. */
#include <filch.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#define INCREMENTS 100000

static atomic_int arrived;
static volatile long total;

static int increment(void *arg)
{
    (void)arg;
    atomic_fetch_add_explicit(&arrived, 1, memory_order_relaxed);
    for (int64_t end = filch_after(FILCH_SEC(20)); atomic_load_explicit(&arrived, memory_order_relaxed) < 2;) {
        if (filch_now() > end)
            return -1;
        sched_yield();
    }
    for (int i = 0; i < INCREMENTS; i++)
        total++;
    return 0;
}

static int first(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    filch_spawn(&s, increment, NULL);
    filch_spawn(&s, increment, NULL);
    return filch_join(&s);
}

int main(void)
{
    int r = filch_run(&(filch_config){.workers = 2}, first, NULL);
    printf("%ld of %d increments, result %d\n", total, 2 * INCREMENTS, r);
    return r ? 1 : 0;
}
