/* SPDX-License-Identifier: MIT */
/* The laws of machine/late: what is asked for never exceeds what is wanted, comes to the lower edge of how late sleeps end, and comes back from it.
 *
 * Time is the test's own. How punctual a real sleep is shows `filch-bench run stall --kind none`. */
#include "machine/late.h"

#include <criterion/criterion.h>

#define MS 1000000

static struct fl_late late;

/* n sleeps that end so late; how long the last one was to be. */
static void sleeps(int n, int64_t timeout, int64_t over)
{
    for (int i = 0; i < n; i++)
        fl_late_learn(&late, timeout, over);
}

static int64_t less(int64_t timeout)
{
    return timeout - fl_late_ask(&late, timeout);
}

Test(late, one_that_knows_nothing_asks_for_what_it_wants)
{
    for (int64_t timeout = 0; timeout < 1000 * MS; timeout = 2 * timeout + 1)
        cr_assert_eq(fl_late_ask(&late, timeout), timeout);
}

Test(late, it_asks_for_less_by_how_late_sleeps_are_and_aims_behind_the_time)
{
    sleeps(300, MS, 55000);
    cr_assert(less(MS) > 34000 && less(MS) <= 55000 - FL_LATE_AIM, "%lld ns less", (long long)less(MS));
}

Test(late, it_keeps_to_the_lower_edge)
{
    for (int i = 0; i < 300; i++) {
        sleeps(1, MS, 45000);
        sleeps(1, MS, 65000);
    }
    cr_assert(less(MS) > 45000 - 5000 - FL_LATE_AIM && less(MS) < 45000 + 5000 - FL_LATE_AIM, "%lld ns less", (long long)less(MS));
}

Test(late, a_cpu_that_is_awake_is_noticed_within_a_few_sleeps)
{
    sleeps(300, MS, 60000);
    sleeps(3, MS, 2000);
    cr_assert_leq(less(MS), 2000 + 58000 * 27 / 64 - FL_LATE_AIM + 10, "%lld ns less", (long long)less(MS));
    sleeps(2, MS, 2000);
    cr_assert_eq(less(MS), 0);
}

Test(late, what_was_held_up_by_others_counts_as_little_more)
{
    sleeps(300, MS, 50000);
    int64_t before = less(MS);
    sleeps(1, MS, 50 * MS);
    cr_assert_leq(less(MS) - before, (FL_LATE_MOST - 50000) / 32 + 1);
    sleeps(3000, MS, 50 * MS);
    cr_assert_leq(less(MS), FL_LATE_MOST - FL_LATE_AIM);
}

Test(late, short_and_long_sleeps_are_learnt_apart)
{
    sleeps(300, MS, 60000);
    cr_assert_eq(less(FL_LATE_SHORTEST), 0);
    cr_assert_eq(less(50 * MS), 0);
    cr_assert_gt(less(MS), 0);
    cr_assert_eq(fl_late_class(0), 0);
    cr_assert_eq(fl_late_class(FL_LATE_SHORTEST), 1);
    cr_assert_eq(fl_late_class(INT64_MAX), FL_LATE_CLASSES - 1);
}

Test(late, one_that_ended_too_soon_is_not_late)
{
    sleeps(300, MS, 60000);
    sleeps(300, MS, -1000);
    cr_assert_eq(less(MS), 0);
}
