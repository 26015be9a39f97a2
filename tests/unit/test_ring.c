/* SPDX-License-Identifier: MIT */
/* The laws of machine/ring, of either kind: what ends a sleep is never lost, whoever reaps.
 *
 * The kernel ends a wake poll by itself only when it has no room for its completions; here a cancel ends it. Where the owner would be in the kernel the test
 * asks poll(2), which sees of the ring what a sleeper does. What is not tested here: what only epoll does, which is test_epoll.c, and operations of tasks, which is
 * tests/api. */
#include "machine/ring.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

static struct fl_backend backend;
static struct fl_ring ring;

static void init(filch_io io)
{
    unsetenv("FILCH_IO");
    cr_assert_eq(fl_backend_choose(&backend, io), 0);
    cr_assert_eq(fl_ring_init(&ring, &backend), 0);
}

static void init_uring(void)
{
    init(FILCH_IO_URING);
}

static void init_epoll(void)
{
    init(FILCH_IO_EPOLL);
}

static void fini(void)
{
    fl_ring_fini(&ring);
}

TestSuite(uring, .init = init_uring, .fini = fini, .timeout = 20);
TestSuite(epoll_ring, .init = init_epoll, .fini = fini, .timeout = 20);

/* A law of both kinds. */
#define Law(name)           \
    static void name(void); \
    Test(uring, name)       \
    {                       \
        name();             \
    }                       \
    Test(epoll_ring, name)  \
    {                       \
        name();             \
    }                       \
    static void name(void)

/* What a sleep would end with, if it had begun already. */
static bool would_end_a_sleep(void)
{
    struct pollfd kernel = {.fd = fl_ring_polls(&ring) ? ring.epoll.fd : ring.uring.ring_fd, .events = POLLIN};
    return poll(&kernel, 1, 5000) == 1;
}

/* The owner has armed the wake poll, and will not look at it again before it has slept. */
static void arm(void)
{
    fl_ring_sleep(&ring, 1);
    cr_assert(fl_ring_polls(&ring) || load_relaxed(&ring.polls) > 0); /* own: one thread */
}

Law(a_wake_ends_a_sleep_as_often_as_it_comes)
{
    arm();
    for (int i = 0; i < 1000; i++) {
        cr_assert(!fl_ring_ready(&ring));
        fl_ring_wake(&ring);
        cr_assert(would_end_a_sleep());
        cr_assert_eq(fl_ring_reap(&ring, true), 1);
    }
}

Law(a_wake_that_comes_before_the_sleep_ends_it)
{
    arm();
    fl_ring_wake(&ring);
    fl_ring_sleep(&ring, INT64_MAX);
    cr_assert(fl_ring_ready(&ring));
    fl_ring_sleep(&ring, INT64_MAX); /* nobody has reaped */
    cr_assert_eq(fl_ring_reap(&ring, true), 1);
    cr_assert(!fl_ring_ready(&ring));
}

Law(a_wake_that_another_reaps_is_handed_on_to_the_owner)
{
    arm();
    fl_ring_wake(&ring);
    cr_assert(would_end_a_sleep());
    cr_assert_eq(fl_ring_reap(&ring, false), 1);
    cr_assert(would_end_a_sleep());
}

Law(a_wake_that_ended_the_sleep_and_another_reaps_is_handed_on_too)
{
    arm();
    fl_ring_wake(&ring);
    fl_ring_sleep(&ring, INT64_MAX);
    cr_assert_eq(fl_ring_reap(&ring, false), 1);
    cr_assert(would_end_a_sleep());
}

Test(uring, a_wake_poll_that_ended_under_anothers_hands_stands_again)
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

/* ---- operations ---- */

struct probe {
    struct fl_ring_op op;
    int told;
    int32_t res;
};

static void note(struct fl_ring_op *op, int32_t res, uint32_t flags)
{
    struct probe *probe = fl_container_of(op, struct probe, op);
    (void)flags;
    probe->told++;
    probe->res = res;
}

static int begin(struct probe *probe, int fd, short events)
{
    struct io_uring_sqe sqe;
    *probe = (struct probe){.op.done = note};
    io_uring_prep_poll_add(&sqe, fd, (unsigned)events);
    fl_lock_take(&ring.lock);
    int r = fl_ring_queue_locked(&ring, &sqe, &probe->op);
    fl_lock_give(&ring.lock);
    return r;
}

static void until_told(struct probe *probe)
{
    while (!probe->told) {
        fl_ring_sleep(&ring, INT64_MAX);
        fl_ring_reap(&ring, true);
    }
    cr_assert_eq(probe->told, 1);
}

/* The kernel takes nothing: -EBADF. */
static int refuse(int ring_fd)
{
    int before = ring.uring.enter_ring_fd;
    ring.uring.enter_ring_fd = ring_fd;
    return before;
}

Test(uring, a_wake_that_another_meets_while_the_kernel_takes_nothing_is_handed_on)
{
    struct probe probe;
    arm();
    cr_assert_eq(begin(&probe, ring.wake_fd, POLLPRI), 0);
    int ring_fd = refuse(-1);
    fl_ring_wake(&ring);
    cr_assert(would_end_a_sleep());
    cr_assert_eq(fl_ring_reap(&ring, false), 1);
    cr_assert(would_end_a_sleep(), "the owner sleeps on");
    refuse(ring_fd);
    cr_assert_eq(fl_ring_cancel(&ring, &probe.op), 0);
    until_told(&probe);
}

Test(uring, a_wake_poll_that_ended_while_the_kernel_takes_nothing_is_left_to_the_owner)
{
    struct probe probe;
    arm();
    cr_assert_eq(begin(&probe, ring.wake_fd, POLLPRI), 0);
    cr_assert_eq(fl_ring_cancel(&ring, &ring.wake_op), 0);
    int ring_fd = refuse(-1);
    for (int i = 0; i < 3; i++) {
        cr_assert(would_end_a_sleep(), "the owner sleeps on");
        fl_ring_reap(&ring, false);
    }
    cr_assert(fl_ring_ready(&ring));
    refuse(ring_fd);
    for (int i = 0; i < 3; i++)
        fl_ring_reap(&ring, false);
    cr_assert(would_end_a_sleep(), "nobody has told the owner");
    while (fl_ring_reap(&ring, true) > 0)
        ;
    fl_ring_wake(&ring);
    cr_assert(would_end_a_sleep(), "the next wake is lost");
    cr_assert_eq(fl_ring_cancel(&ring, &probe.op), 0);
    until_told(&probe);
}

static int ends[2];

Law(an_event_ends_a_sleep_and_is_told_once)
{
    struct probe probe;
    cr_assert_eq(pipe(ends), 0);
    for (int i = 0; i < 100; i++) {
        char byte;
        cr_assert_eq(begin(&probe, ends[0], POLLIN), 0);
        cr_assert_eq(write(ends[1], "x", 1), 1);
        until_told(&probe);
        cr_assert_eq(probe.res, POLLIN);
        cr_assert_eq(read(ends[0], &byte, 1), 1);
    }
    cr_assert_not(fl_ring_inflight(&ring));
    cr_assert_eq(load_relaxed(&ring.operations), 100); /* counter */
}

Law(a_cancel_is_told_once_and_so_is_what_ended_before_it)
{
    struct probe probe;
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(begin(&probe, ends[0], POLLIN), 0);
    cr_assert_eq(fl_ring_cancel(&ring, &probe.op), 0);
    until_told(&probe);
    cr_assert_eq(probe.res, -ECANCELED);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(begin(&probe, ends[0], POLLIN), 0);
    fl_ring_flush(&ring);
    fl_ring_sleep(&ring, INT64_MAX); /* the event is fetched, or its completion there */
    cr_assert_eq(fl_ring_cancel(&ring, &probe.op), 0);
    until_told(&probe);
    cr_assert_eq(fl_ring_cancel(&ring, &probe.op), 0); /* too late altogether */
    for (int i = 0; i < 10; i++)
        fl_ring_reap(&ring, true);
    cr_assert_eq(probe.told, 1);
    cr_assert_not(fl_ring_inflight(&ring));
}

Law(a_thousand_wait_and_each_is_told)
{
    enum { WAITERS = 1000 };
    static struct probe probes[WAITERS];
    cr_assert_eq(pipe(ends), 0);
    for (int i = 0; i < WAITERS; i++)
        cr_assert_eq(begin(&probes[i], ends[0], POLLIN), 0);
    fl_ring_flush(&ring);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    for (int i = 0; i < WAITERS; i++)
        until_told(&probes[i]);
    cr_assert_not(fl_ring_inflight(&ring));
}
