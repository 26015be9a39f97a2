/* SPDX-License-Identifier: MIT */
/* runtime/sched/monitor.h with sched/idle.h: while the monitor is asleep somebody is idle, or is about to wake it. Who is idle keeps the watch; nobody must take the other's word for it
 * that somebody does.
 *
 * When all threads have ended the monitor sleeps only if somebody is still idle, or everybody if so many are asked for.
 *
 * Scenarios
 *   1  one searches and finds work
 *   2  one sleeps, is woken and finds work
 *   3  two find work, one after the other
 *   4  one finds work and searches again
 *   5  one naps and finds work
 *   6  one finds work while another runs out of it
 *   7  one finds work, and wakes one that sleeps
 *   8  all must be idle, and one finds work while another naps */
#include "model.h"

#include "sched/monitor.h"

static struct fl_idle idle;
static struct fl_sleeper sleeper;
static struct fl_monitor monitor;

#define ENOUGH (SCENARIO == 8 ? 2 : 1)

/* As sched/monitor.c; its futex is its word. */
void fl_monitor_stirred(struct filch_runtime *runtime)
{
    (void)runtime;
    if (!fl_monitor_needless(load_seq_cst(&idle.word), ENOUGH))
        exchange_acq_rel(&monitor.asleep, FL_MONITOR_AWAKE);
}

static void *watcher(void *arg)
{
    (void)arg;
    fl_monitor_doze(&monitor, &idle, ENOUGH);
    return NULL;
}

/* The end of fl_worker_search. @return whether another one must be woken */
static bool found(void)
{
    bool wake = fl_idle_found(&idle);
    if (wake)
        fl_idle_claim(&idle, &sleeper);
    fl_monitor_stir(NULL, &monitor);
    return wake;
}

static void *finder(void *arg)
{
    (void)arg;
    found();
    return NULL;
}

static void *riser(void *arg)
{
    (void)arg;
    fl_idle_undo(&idle, &sleeper);
    found();
    return NULL;
}

static void *napper(void *arg)
{
    (void)arg;
    if (fl_idle_nap(&idle))
        fl_idle_nap_over(&idle);
    found();
    return NULL;
}

static void *drowser(void *arg)
{
    (void)arg;
    if (fl_idle_nap(&idle))
        fl_idle_nap_over(&idle);
    return NULL;
}

static void *finder_and_searcher(void *arg)
{
    (void)arg;
    found();
    fl_idle_search(&idle);
    found();
    return NULL;
}

static void *idler(void *arg)
{
    (void)arg;
    fl_idle_search(&idle);
    return NULL;
}

int main(void)
{
    static void *(*const threads[][2])(void *) = {{finder}, {riser},         {finder, finder}, {finder_and_searcher},
                                                  {napper}, {finder, idler}, {finder},         {finder, drowser}};
    void *(*const *mine)(void *) = threads[SCENARIO - 1];
    pthread_t a, b, m;
    fl_idle_search(&idle);
    if (SCENARIO == 3 || SCENARIO == 8)
        fl_idle_search(&idle);
    if (SCENARIO == 2)
        fl_idle_doze(&idle, &sleeper, false);
    if (SCENARIO == 7) {
        fl_idle_search(&idle);
        fl_idle_doze(&idle, &sleeper, false);
    }
    m = start(watcher, NULL);
    a = start(mine[0], NULL);
    if (mine[1])
        b = start(mine[1], NULL);
    join(m);
    join(a);
    if (mine[1])
        join(b);
    assert(!load_relaxed(&monitor.asleep) || fl_monitor_needless(load_relaxed(&idle.word), ENOUGH));
    return 0;
}
