/* SPDX-License-Identifier: MIT */
/* The laws of sched/worker: while a task keeps one worker, another keeps the watch.
 *
 * One of two workers sits in a system call. The test takes its place in the idle protocol, where it searches and finds over and over, just while the other
 * makes up its mind whether to nap or to sleep. What is not tested here: what the watch does for the busy one, which is tests/api/test_fair.c. */
#include "sched/worker.h"

#include <criterion/criterion.h>
#include <filch/time.h>
#include <sched.h>
#include <unistd.h>

static struct filch_runtime *runtime;
static int ends[2];
static _Atomic(struct fl_worker *) stuck;

static int sit_in_read(void *arg)
{
    char byte;
    (void)arg;
    store_release(&stuck, fl_self()); /* [stuck] as the test sees it */
    return (int)read(ends[0], &byte, 1);
}

static void init(void)
{
    cpu_set_t free_cpu;
    cr_assert(pipe(ends) == 0 && filch_start(&(filch_config){.workers = 2, .pin = FILCH_PIN_CORES}, &runtime) == 0);
    cr_assert_eq(filch_submit(runtime, sit_in_read, NULL), 0);
    while (!load_acquire(&stuck)) /* [stuck] as the test sees it */
        usleep(100);
    CPU_ZERO(&free_cpu);
    int cpu = load_relaxed(&load_acquire(&stuck)->cpu); /* hint: regular, it stays; [stuck] as the test sees it */
    CPU_SET((unsigned)cpu, &free_cpu);
    sched_setaffinity(0, sizeof free_cpu, &free_cpu); /* the other worker runs at the same time as the test */
}

static void fini(void)
{
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(filch_stop(runtime, FILCH_NEVER), 0);
}

static bool searching(uint64_t word)
{
    return fl_idle_searching(word) != 0;
}

static bool watched(uint64_t word)
{
    return fl_idle_napping(word) != 0 || fl_idle_lingering(word) != 0;
}

/* Whether the idle word is seen as it should be within `patience`. */
static bool becomes(bool (*as_it_should)(uint64_t), int64_t patience)
{
    for (int64_t end = filch_after(patience); filch_now() < end;)
        if (as_it_should(load_relaxed(&runtime->idle.word))) /* hint: looked at again */
            return true;
    return false;
}

/* What the stuck worker would have done if it had found its task just now. */
static void search_and_find(unsigned turns)
{
    fl_idle_search(&runtime->idle);
    while (turns-- > 0)
        fl_compiler_barrier();
    if (fl_idle_found(&runtime->idle))
        fl_wake_one(runtime);
}

TestSuite(worker, .init = init, .fini = fini);

Test(worker, one_that_dozes_while_another_begins_to_run_keeps_the_watch)
{
    struct fl_worker *other = runtime->workers[load_acquire(&stuck) == runtime->workers[0]]; /* [stuck] as the test sees it */
    for (unsigned round = 0; round < 2000; round++) {
        fl_ring_wake(&other->ring);        /* the end of its nap */
        becomes(searching, FILCH_MSEC(1)); /* else the round is wasted */
        search_and_find(round * 7919 % 2048);
        cr_assert(becomes(watched, FILCH_SEC(5)), "nobody watches the busy worker, round %u", round);
    }
}
