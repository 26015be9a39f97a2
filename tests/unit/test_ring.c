/* SPDX-License-Identifier: MIT */
/* The laws of machine/ring: what ends a sleep is never lost, whoever reaps.
 *
 * The kernel ends a wake poll by itself only when it has no room for its completions; here a cancel ends it. Where the owner would be in the kernel the test
 * asks poll(2), which sees of the ring what a sleeper does. What is not tested here: operations of tasks, which is tests/api. */
#include "machine/ring.h"

#include <criterion/criterion.h>
#include <poll.h>

static struct fl_backend backend;
static struct fl_ring ring;

static void init(void)
{
    cr_assert_eq(fl_backend_choose(&backend, FILCH_IO_URING), 0);
    cr_assert_eq(fl_ring_init(&ring, &backend), 0);
}

static void fini(void)
{
    fl_ring_fini(&ring);
}

/* What a sleep would end with, if it had begun already. */
static bool would_end_a_sleep(void)
{
    struct pollfd kernel = {.fd = ring.uring.ring_fd, .events = POLLIN};
    return poll(&kernel, 1, 5000) == 1;
}

/* The owner has armed the wake poll, and will not look at it again before it has slept. */
static void arm(void)
{
    fl_ring_sleep(&ring, 1);
    cr_assert(load_relaxed(&ring.armed)); /* own: one thread */
}

TestSuite(ring, .init = init, .fini = fini);

Test(ring, a_wake_ends_a_sleep_as_often_as_it_comes)
{
    arm();
    for (int i = 0; i < 1000; i++) {
        cr_assert(!fl_ring_ready(&ring));
        fl_ring_wake(&ring);
        cr_assert(would_end_a_sleep());
        cr_assert_eq(fl_ring_reap(&ring, true), 1);
    }
}

Test(ring, a_wake_that_another_reaps_is_handed_on_to_the_owner)
{
    arm();
    fl_ring_wake(&ring);
    cr_assert(would_end_a_sleep());
    cr_assert_eq(fl_ring_reap(&ring, false), 1);
    cr_assert(would_end_a_sleep());
}

Test(ring, a_wake_poll_that_ended_under_anothers_hands_stands_again)
{
    arm();
    cr_assert_eq(fl_ring_cancel(&ring, &ring.wake_op), 0);
    for (unsigned reaped = 0; reaped < 2; reaped += fl_ring_reap(&ring, false)) /* the poll's end and the answer to the cancel */
        cr_assert(would_end_a_sleep());
    cr_assert(would_end_a_sleep(), "the owner sleeps on");
    while (fl_ring_reap(&ring, true) > 0)
        ;
    fl_ring_wake(&ring);
    cr_assert(would_end_a_sleep(), "the next wake is lost");
}
