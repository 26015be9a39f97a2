/* SPDX-License-Identifier: MIT */
/* The laws of sched/idle, by one thread: every idle worker is counted once, a sleep is claimed once, and a producer wakes somebody only when nobody
 * searches or keeps the watch.
 *
 * What is not tested here: that no wake-up is lost between threads, which is stress_idle and tests/model. */
#include "sched/idle.h"

#include <criterion/criterion.h>

static struct fl_idle idle;
static struct fl_sleeper a, b;

static bool counts(unsigned searching, unsigned sleeping, unsigned napping, unsigned lingering)
{
    uint64_t word = load_relaxed(&idle.word); /* own: one thread */
    return fl_idle_searching(word) == searching && fl_idle_sleeping(word) == sleeping && fl_idle_napping(word) == napping &&
           fl_idle_lingering(word) == lingering;
}

static void sleep_as(struct fl_sleeper *sleeper)
{
    fl_idle_search(&idle);
    cr_assert(!fl_idle_doze(&idle, sleeper, false));
}

Test(idle, while_nobody_is_idle_nobody_is_woken)
{
    cr_assert(counts(0, 0, 0, 0) && !fl_idle_wanted(&idle) && !fl_idle_claim(&idle, &a) && !fl_idle_still(&a));
}

Test(idle, a_searcher_that_was_the_last_wakes_a_sleeper)
{
    fl_idle_search(&idle);
    cr_assert(counts(1, 0, 0, 0));
    cr_assert(!fl_idle_found(&idle)); /* nobody sleeps */
    cr_assert(counts(0, 0, 0, 0));
    sleep_as(&a);
    fl_idle_search(&idle);
    fl_idle_search(&idle);
    cr_assert(counts(2, 1, 0, 0));
    cr_assert(!fl_idle_wanted(&idle)); /* somebody searches */
    cr_assert(!fl_idle_found(&idle));  /* not the last */
    cr_assert(fl_idle_found(&idle));
    cr_assert(counts(0, 1, 0, 0) && fl_idle_wanted(&idle));
}

Test(idle, a_sleep_is_claimed_once_and_the_woken_one_searches)
{
    sleep_as(&a);
    sleep_as(&b);
    cr_assert(counts(0, 2, 0, 0) && fl_idle_still(&a) && fl_idle_still(&b) && fl_idle_wanted(&idle));
    cr_assert(fl_idle_claim(&idle, &a));
    cr_assert(counts(1, 1, 0, 0) && !fl_idle_still(&a) && fl_idle_still(&b));
    cr_assert(!fl_idle_claim(&idle, &a) && !fl_idle_undo(&idle, &a)); /* it has been woken */
    cr_assert(counts(1, 1, 0, 0) && !fl_idle_wanted(&idle));
    cr_assert(fl_idle_undo(&idle, &b)); /* by itself */
    cr_assert(counts(2, 0, 0, 0) && !fl_idle_claim(&idle, &b));
}

Test(idle, one_at_a_time_naps_and_keeps_producers_from_waking)
{
    sleep_as(&a);
    fl_idle_search(&idle);
    cr_assert(fl_idle_nap(&idle));
    cr_assert(counts(0, 1, 1, 0) && !fl_idle_wanted(&idle));
    fl_idle_search(&idle);
    cr_assert(!fl_idle_nap(&idle));
    cr_assert(counts(1, 1, 1, 0));
    cr_assert(!fl_idle_found(&idle)); /* the napper keeps the watch */
    fl_idle_nap_over(&idle);
    cr_assert(counts(1, 1, 0, 0) && !fl_idle_wanted(&idle));
    cr_assert(fl_idle_nap(&idle));
    fl_idle_nap_over(&idle);
    cr_assert(fl_idle_found(&idle));
    cr_assert(counts(0, 1, 0, 0));
}

Test(idle, one_at_a_time_lingers_and_can_be_woken_like_a_sleeper)
{
    fl_idle_search(&idle);
    cr_assert(fl_idle_doze(&idle, &a, true));
    cr_assert(counts(0, 1, 0, 1) && fl_idle_wanted(&idle));
    fl_idle_search(&idle);
    cr_assert(!fl_idle_doze(&idle, &b, true)); /* somebody lingers already */
    cr_assert(counts(0, 2, 0, 1) && fl_idle_still(&b));
    cr_assert(fl_idle_claim(&idle, &a));
    cr_assert(counts(1, 1, 0, 0) && !fl_idle_still(&a));
    cr_assert(fl_idle_doze(&idle, &a, true)); /* it may again */
    cr_assert(fl_idle_undo(&idle, &a) && fl_idle_undo(&idle, &b));
    cr_assert(counts(2, 0, 0, 0));
    fl_idle_found(&idle);
    cr_assert(!fl_idle_found(&idle) && counts(0, 0, 0, 0));
}
