/* SPDX-License-Identifier: MIT */
/* The laws of carriers under SCHED_FIFO, where the kernel gives nobody who shares a CPU a turn unless somebody yields or blocks. */
#include "api.h"

#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

TestSuite(realtime, .timeout = 60);

static bool become_realtime(void)
{
    return sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}) == 0;
}

static int await_by_yields(void *arg)
{
    while (!atomic_load((atomic_bool *)arg))
        filch_yield();
    return 0;
}

/* The others go on a relief meanwhile, on this CPU, and leave it only of their own will. */
static int stall_and_come_back(void *arg)
{
    atomic_bool over = false;
    FILCH_SCOPE(s);
    for (int i = 0; i < *(int *)arg; i++)
        must(filch_spawn(&s, await_by_yields, &over) == 0);
    usleep(50000);
    atomic_store(&over, true);
    return filch_join(&s);
}

Test(realtime, who_waits_by_yields_on_a_relief_lets_the_stalled_one_come_back)
{
    if (!become_realtime())
        cr_skip_test("SCHED_FIFO is not allowed here");
    alarm(20); /* the law's own runner may get no turn */
    for (int waiters = 1; waiters <= 3; waiters++)
        must(filch_run(&(filch_config){.workers = 1, .pin = FILCH_PIN_CORES}, stall_and_come_back, &waiters) == 0);
}

static int set_flag(void *arg)
{
    atomic_store((atomic_bool *)arg, true);
    return 0;
}

static int await_an_isolated_one(void *arg)
{
    atomic_bool over = false;
    (void)arg;
    FILCH_SCOPE(s);
    must(filch_spawn_with(&s, &(filch_task_options){.isolated = true}, set_flag, &over) == 0);
    while (!atomic_load(&over))
        filch_yield();
    return filch_join(&s);
}

Test(realtime, who_waits_by_yields_lets_an_isolated_task_go_on)
{
    if (!become_realtime())
        cr_skip_test("SCHED_FIFO is not allowed here");
    alarm(20);
    must(filch_run(&(filch_config){.workers = 1, .pin = FILCH_PIN_CORES}, await_an_isolated_one, NULL) == 0);
}
