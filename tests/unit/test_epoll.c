/* SPDX-License-Identifier: MIT */
/* The laws of machine/epoll beyond those of every ring (test_ring.c): many wait for one descriptor, for different events, each is told of its own and once, whoever
 * asks; and what happened to a descriptor of the past is not told to who waits for a new one of the same number. */
#include "machine/ring.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct fl_backend backend;
static struct fl_ring ring;
static int ends[2]; /* a pair of stream sockets */

static void init(void)
{
    unsetenv("FILCH_IO");
    cr_assert_eq(fl_backend_choose(&backend, FILCH_IO_EPOLL), 0);
    cr_assert_eq(fl_ring_init(&ring, &backend), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
}

static void fini(void)
{
    cr_assert_not(fl_ring_inflight(&ring));
    fl_ring_fini(&ring);
}

TestSuite(epoll, .init = init, .fini = fini, .timeout = 30);

struct probe {
    struct fl_ring_op op;
    _Atomic(int) told;
    int32_t res;
};

static void note(struct fl_ring_op *op, int32_t res, uint32_t flags)
{
    struct probe *probe = fl_container_of(op, struct probe, op);
    (void)flags;
    probe->res = res;
    add_release(&probe->told, 1); /* [told] pairs with whoever waits for it */
}

static int begin_as(uint64_t who, struct probe *probe, int fd, unsigned events)
{
    struct io_uring_sqe sqe;
    *probe = (struct probe){.op.done = note};
    io_uring_prep_poll_add(&sqe, fd, events);
    sqe.addr = who;
    fl_lock_take(&ring.lock);
    int r = fl_ring_queue_locked(&ring, &sqe, &probe->op);
    fl_lock_give(&ring.lock);
    return r;
}

static int begin(struct probe *probe, int fd, unsigned events)
{
    return begin_as(0, probe, fd, events);
}

/* What has come of it by now: 0 nothing, else its result. */
static int32_t now(struct probe *probe)
{
    fl_ring_reap(&ring, true);
    cr_assert_leq(load_acquire(&probe->told), 1);            /* [told] pairs with note */
    return load_acquire(&probe->told) == 1 ? probe->res : 0; /* [told] as above */
}

static void fill(int fd)
{
    char some[4096] = {0};
    while (write(fd, some, sizeof some) > 0)
        ;
}

static void drain(int fd)
{
    char some[4096];
    while (read(fd, some, sizeof some) > 0)
        ;
}

/* ---- lines ---- */

Test(epoll, each_of_two_is_told_of_its_own_event)
{
    struct probe in, out;
    fill(ends[0]);
    cr_assert(begin(&in, ends[0], POLLIN) == 0 && begin(&out, ends[0], POLLOUT) == 0);
    cr_assert(now(&in) == 0 && now(&out) == 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert(now(&in) == POLLIN && now(&out) == 0);
    drain(ends[1]);
    cr_assert(now(&in) == POLLIN && now(&out) == POLLOUT);

    fill(ends[0]);
    drain(ends[0]);
    cr_assert(begin(&out, ends[0], POLLOUT) == 0 && begin(&in, ends[0], POLLIN) == 0); /* the other way round */
    drain(ends[1]);
    cr_assert(now(&in) == 0 && now(&out) == POLLOUT);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(now(&in), POLLIN);
}

Test(epoll, the_end_of_a_descriptor_is_told_to_all)
{
    enum { WAITERS = 300 };
    static struct probe probes[WAITERS];
    fill(ends[0]);
    for (int i = 0; i < WAITERS; i++)
        cr_assert_eq(begin(&probes[i], ends[0], i % 3 == 0 ? POLLIN : i % 3 == 1 ? POLLOUT : POLLPRI), 0);
    close(ends[1]);
    for (int i = 0; i < WAITERS; i++)
        cr_assert(now(&probes[i]) & POLLHUP);
}

Test(epoll, who_comes_later_is_told_as_well)
{
    struct probe first, second;
    cr_assert_eq(begin(&first, ends[0], POLLIN), 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(begin(&second, ends[0], POLLIN), 0);
    cr_assert(now(&first) == POLLIN && now(&second) == POLLIN);
    cr_assert_eq(begin(&first, ends[0], POLLIN), 0); /* the byte is still there */
    cr_assert_eq(now(&first), POLLIN);
}

Test(epoll, who_comes_while_an_event_is_fetched_is_told)
{
    struct probe first, second;
    cr_assert_eq(begin(&first, ends[0], POLLIN), 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    fl_ring_sleep(&ring, INT64_MAX);
    cr_assert(fl_ring_ready(&ring) && begin(&second, ends[0], POLLIN) == 0);
    fl_ring_reap(&ring, true); /* what was fetched is of the past, but the kernel says it again */
    cr_assert(now(&first) == POLLIN && now(&second) == POLLIN);
}

Test(epoll, what_cannot_be_polled_says_so)
{
    struct probe probe;
    int file = open("/proc/self/exe", O_RDONLY);
    cr_assert_eq(begin(&probe, file, POLLIN), -EPERM);
    cr_assert_eq(begin(&probe, -1, POLLIN), -EBADF);
    close(file);
    cr_assert_eq(begin(&probe, file, POLLIN), -EBADF);
    cr_assert_eq(fl_ring_reap(&ring, true), 0);
}

Test(epoll, closing_tells_who_waits_and_so_does_having_closed)
{
    struct probe before, between, others;
    int other = dup(ends[1]);
    cr_assert(begin(&before, ends[0], POLLIN) == 0 && begin(&others, other, POLLIN) == 0);
    fl_epoll_closing(&ring, ends[0]);
    fl_epoll_closing(&ring, -1);
    fl_epoll_closing(&ring, 1000000);
    cr_assert_eq(now(&before), -EBADF);
    cr_assert_eq(begin(&between, ends[0], POLLIN), 0);
    fl_epoll_closed(&ring, ends[0]);
    cr_assert_eq(now(&between), 0, "it is open still");
    close(ends[0]);
    fl_epoll_closed(&ring, ends[0]);
    fl_epoll_closed(&ring, -1);
    fl_epoll_closed(&ring, 1000000);
    cr_assert_eq(now(&between), -EBADF);
    cr_assert_eq(now(&others) & POLLIN, POLLIN);
    close(other);
}

Test(epoll, who_is_left_at_a_closed_descriptor_is_told)
{
    struct probe in, out;
    fill(ends[0]);
    cr_assert(begin(&in, ends[0], POLLIN) == 0 && begin(&out, ends[0], POLLOUT) == 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    fl_ring_sleep(&ring, INT64_MAX);
    close(ends[0]);
    cr_assert(now(&in) == POLLIN && now(&out) == -EBADF);
}

Test(epoll, a_high_descriptor_is_as_good_as_any)
{
    static const int numbers[] = {255, 256, 257, 1000, 65535, 65536, 65537, 200000};
    struct probe probe;
    struct rlimit many = {1 << 18, 1 << 18}, old;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    if (setrlimit(RLIMIT_NOFILE, &many) != 0)
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){old.rlim_max, old.rlim_max});
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        int fd = dup2(ends[0], numbers[i]);
        if (fd < 0) {
            cr_log_info("no descriptor %d here", numbers[i]);
            continue;
        }
        cr_assert_eq(begin(&probe, fd, POLLIN), 0);
        cr_assert_eq(now(&probe), 0);
        cr_assert_eq(write(ends[1], "x", 1), 1);
        cr_assert_eq(now(&probe), POLLIN);
        drain(fd);
        close(fd);
    }
}

/* ---- cancels ---- */

Test(epoll, a_cancel_takes_one_of_many_out)
{
    struct probe probes[5];
    for (int i = 0; i < 5; i++)
        cr_assert_eq(begin(&probes[i], ends[0], POLLIN), 0);
    cr_assert(fl_ring_cancel(&ring, &probes[4].op) == 0 && fl_ring_cancel(&ring, &probes[2].op) == 0 &&
              fl_ring_cancel(&ring, &probes[0].op) == 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(now(&probes[i]), i % 2 ? POLLIN : -ECANCELED);
}

Test(epoll, a_cancel_after_the_event_was_fetched_is_told_once)
{
    struct probe probe, next;
    cr_assert_eq(begin(&probe, ends[0], POLLIN), 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    fl_ring_sleep(&ring, INT64_MAX);
    cr_assert_eq(fl_ring_cancel(&ring, &probe.op), 0);
    cr_assert_eq(now(&probe), -ECANCELED);
    cr_assert_eq(begin(&next, ends[0], POLLIN), 0);
    cr_assert_eq(now(&next), POLLIN);
}

/* ---- the same number again ---- */

/* A new pair of sockets, of which the first has the number of the old one. */
static void renew(void)
{
    int fresh[2], number = ends[0];
    close(number);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fresh), 0);
    if (fresh[0] != number) {
        cr_assert_eq(dup2(fresh[0], number), number);
        close(fresh[0]);
    }
    ends[1] = fresh[1];
}

/* Nobody is told of anything but the new one. */
static void only_the_new_one_counts(void)
{
    struct probe probe;
    cr_assert_eq(begin(&probe, ends[0], POLLIN), 0);
    cr_assert_eq(now(&probe), 0);
    cr_assert_eq(now(&probe), 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(now(&probe), POLLIN);
}

Test(epoll, a_descriptor_that_was_closed_while_nobody_waited_is_forgotten)
{
    struct probe probe;
    cr_assert_eq(begin(&probe, ends[0], POLLIN), 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(now(&probe), POLLIN);
    renew();
    only_the_new_one_counts();
}

Test(epoll, an_event_that_was_fetched_of_a_closed_descriptor_is_not_the_new_ones)
{
    struct probe probe;
    cr_assert_eq(begin(&probe, ends[0], POLLIN), 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    fl_ring_sleep(&ring, INT64_MAX);
    cr_assert_eq(fl_ring_cancel(&ring, &probe.op), 0);
    renew();
    only_the_new_one_counts();
}

Test(epoll, a_closed_descriptor_that_lives_on_elsewhere_is_not_the_new_one)
{
    struct probe probe;
    int other = dup(ends[0]), peer = ends[1];
    cr_assert_eq(begin(&probe, ends[0], POLLIN), 0);
    cr_assert_eq(fl_ring_cancel(&ring, &probe.op), 0);
    renew();
    cr_assert_eq(write(peer, "x", 1), 1); /* what the kernel was told to look for, at a number that is another's now */
    only_the_new_one_counts();
    close(other);
}

Test(epoll, what_a_cancelled_wait_was_told_of_is_not_told_to_the_next_file_while_it_waits)
{
    struct probe probe, next;
    int other = dup(ends[0]), peer = ends[1];
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(begin(&probe, ends[0], POLLIN), 0);
        cr_assert_eq(fl_ring_cancel(&ring, &probe.op), 0);
    }
    renew();
    cr_assert_eq(begin(&next, ends[0], POLLIN), 0);
    cr_assert_eq(write(peer, "x", 1), 1);
    cr_assert_eq(now(&next), 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(now(&next), POLLIN);
    close(other);
}

/* A sleep is ended by what a cancelled wait left behind, but once. */
static bool is_woken(void)
{
    bool woken = poll(&(struct pollfd){.fd = ring.epoll.fd, .events = POLLIN}, 1, 5) == 1;
    fl_ring_reap(&ring, true);
    return woken;
}

Test(epoll, what_cancelled_waits_were_told_of_ends_one_sleep_at_most)
{
    struct probe probe;
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(begin(&probe, ends[0], i % 2 ? POLLIN : POLLOUT | POLLIN), 0);
        cr_assert_eq(fl_ring_cancel(&ring, &probe.op), 0);
    }
    is_woken(); /* of the room to write, perhaps */
    cr_assert(!is_woken());
    cr_assert_eq(begin(&probe, ends[0], POLLIN), 0);
    cr_assert_eq(fl_ring_cancel(&ring, &probe.op), 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert(is_woken());
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(write(ends[1], "x", 1), 1);
        cr_assert(!is_woken());
    }
}

/* ---- thieves ---- */

static _Atomic(bool) over;

static void *thief(void *arg)
{
    (void)arg;
    while (!load_relaxed(&over)) /* hint: seen soon */
        fl_ring_reap(&ring, false);
    return NULL;
}

/* ---- edges, and trust in them ---- */

#define TRUSTING (POLLIN | FL_EPOLL_EDGE | FL_EPOLL_TRUST)

/* A TCP connection in place of the pair. */
static void over_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), peer = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 1) == 0);
    cr_assert(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    cr_assert(connect(peer, (struct sockaddr *)&address, length) == 0);
    int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK), one = 1;
    cr_assert(accepted >= 0 && dup2(accepted, ends[0]) == ends[0] && dup2(peer, ends[1]) == ends[1]);
    cr_assert_eq(setsockopt(ends[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), 0);
    close(accepted), close(peer), close(listener);
}

static uint32_t tellings(int fd)
{
    return ring.epoll.chunks[fd / 256][fd % 256].telling;
}

/* Once a receiver has been told, and has found the socket empty. */
static void come_to_trust(void)
{
    struct probe probe;
    over_tcp();
    cr_assert_eq(begin(&probe, ends[0], POLLIN | FL_EPOLL_EDGE), 0);
    cr_assert(now(&probe) == 0 && write(ends[1], "x", 1) == 1);
    cr_assert_eq(now(&probe), POLLIN);
    drain(ends[0]);
}

Test(epoll, who_trusts_costs_no_telling_and_is_told)
{
    struct probe probe;
    come_to_trust();
    uint32_t before = tellings(ends[0]);
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(begin(&probe, ends[0], TRUSTING), 0);
        cr_assert(now(&probe) == 0 && write(ends[1], "x", 1) == 1);
        cr_assert_eq(now(&probe), POLLIN);
        drain(ends[0]);
    }
    cr_assert_leq(tellings(ends[0]) - before, 100); /* a wait may last, on a machine with much else to do */
}

Test(epoll, an_end_behind_what_was_received_is_told_to_who_trusts)
{
    struct probe probe;
    char byte;
    come_to_trust();
    cr_assert_eq(begin(&probe, ends[0], TRUSTING), 0);
    cr_assert(write(ends[1], "x", 1) == 1 && shutdown(ends[1], SHUT_WR) == 0);
    cr_assert(now(&probe) & POLLIN);
    cr_assert_eq(read(ends[0], &byte, 1), 1);
    cr_assert_eq(begin(&probe, ends[0], TRUSTING), 0);
    cr_assert(now(&probe) & POLLIN);
}

Test(epoll, an_end_that_comes_while_the_receiver_is_busy_is_told_to_who_trusts)
{
    struct probe probe;
    char byte;
    come_to_trust();
    cr_assert_eq(begin(&probe, ends[0], TRUSTING), 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(now(&probe), POLLIN);
    cr_assert_eq(shutdown(ends[1], SHUT_WR), 0);
    cr_assert_eq(read(ends[0], &byte, 1), 1);
    cr_assert_eq(begin(&probe, ends[0], TRUSTING), 0);
    cr_assert(now(&probe) & POLLIN);
}

Test(epoll, what_comes_while_nobody_waits_is_told_to_who_trusts)
{
    struct probe probe;
    come_to_trust();
    for (int edges = 1; edges < 5; edges++) {
        for (int i = 0; i < edges; i++) {
            cr_assert_eq(write(ends[1], "x", 1), 1);
            fl_ring_reap(&ring, true);
        }
        cr_assert_eq(begin(&probe, ends[0], TRUSTING), 0);
        cr_assert_eq(now(&probe), POLLIN);
        drain(ends[0]);
    }
}

/* The one who was told has taken a part only, or nothing; the other one had found the socket empty before. */
Test(epoll, nobody_trusts_once_another_was_told)
{
    struct probe probe, other;
    come_to_trust();
    for (int i = 0; i < 10; i++) {
        uint32_t before = tellings(ends[0]);
        cr_assert_eq(begin_as(1, &other, ends[0], TRUSTING), 0);
        cr_assert(now(&other) == 0 && write(ends[1], "x", 1) == 1);
        cr_assert_eq(now(&other), POLLIN);
        cr_assert_eq(begin(&probe, ends[0], TRUSTING), 0);
        cr_assert_eq(tellings(ends[0]), before + 2);
        cr_assert_eq(now(&probe), POLLIN);
        drain(ends[0]);
    }
}

static bool is_silent(void)
{
    cr_assert_eq(write(ends[1], "x", 1), 1);
    fl_ring_sleep(&ring, 1000000);
    return !fl_ring_ready(&ring);
}

Test(epoll, a_socket_that_nobody_waits_at_is_silenced)
{
    struct probe probe;
    come_to_trust();
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(write(ends[1], "x", 1), 1);
        fl_ring_reap(&ring, true);
    }
    cr_assert(is_silent());

    come_to_trust(); /* the same after an event that nothing is built on */
    cr_assert_eq(begin(&probe, ends[0], TRUSTING), 0);
    cr_assert_eq(send(ends[1], "xy", 2, MSG_OOB), 2);
    cr_assert(now(&probe) & POLLIN);
    drain(ends[0]);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(write(ends[1], "x", 1), 1);
        fl_ring_reap(&ring, true);
    }
    cr_assert(is_silent());
}

Test(epoll, a_socket_that_is_closed_here_and_lives_on_elsewhere_is_silenced)
{
    come_to_trust();
    int elsewhere = dup(ends[0]);
    fl_epoll_closing(&ring, ends[0]);
    close(ends[0]);
    fl_epoll_closed(&ring, ends[0]);
    fl_ring_reap(&ring, true);
    cr_assert(is_silent());
    close(elsewhere);
}

/* With a sleep that has no end of its own: trust is verified in it. */
static bool told_in_time(struct probe *probe)
{
    for (int i = 0; i < 10; i++) {
        if (now(probe))
            return true;
        fl_ring_sleep(&ring, INT64_MAX);
    }
    return false;
}

Test(epoll, trust_in_what_is_another_file_by_now_is_verified)
{
    struct probe probe;
    come_to_trust();
    int other[2];
    over_tcp(); /* at the same number */
    cr_assert(begin(&probe, ends[0], TRUSTING) == 0 && write(ends[1], "x", 1) == 1);
    cr_assert(told_in_time(&probe));

    come_to_trust(); /* the same with what cannot be trusted at all */
    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, other), 0);
    cr_assert_eq(dup2(other[0], ends[0]), ends[0]);
    cr_assert(write(other[1], "x", 1) == 1 && write(other[1], "y", 1) == 1);
    for (int i = 0; i < 2; i++) {
        char byte;
        cr_assert_eq(begin(&probe, ends[0], TRUSTING), 0);
        cr_assert((i == 0 ? told_in_time(&probe) : now(&probe) != 0) && read(ends[0], &byte, 1) == 1); /* the second one is no edge */
    }
}

/* What is said of the number meanwhile tells the kernel nothing of who waits there. */
Test(epoll, who_trusts_already_is_verified_whatever_is_heard_of_the_number)
{
    struct probe probe, other;
    come_to_trust();
    over_tcp();
    cr_assert_eq(begin(&probe, ends[0], TRUSTING), 0);
    fl_epoll_made(&ring, ends[0]);
    cr_assert(write(ends[1], "x", 1) == 1 && told_in_time(&probe) && probe.res == POLLIN);

    come_to_trust();
    cr_assert_eq(begin(&probe, ends[0], TRUSTING), 0);
    close(ends[0]);
    cr_assert_eq(begin(&other, ends[0], POLLIN), -EBADF);
    cr_assert(told_in_time(&probe) && probe.res == -EBADF);
}

Test(epoll, there_is_no_trust_in_a_number_that_was_closed_or_made)
{
    struct probe probe;
    for (int i = 0; i < 2; i++) {
        come_to_trust();
        over_tcp();
        if (i == 0)
            fl_epoll_made(&ring, ends[0]);
        else
            fl_epoll_closing(&ring, ends[0]);
        uint32_t before = tellings(ends[0]);
        cr_assert(begin(&probe, ends[0], TRUSTING) == 0 && tellings(ends[0]) == before + 1 && write(ends[1], "x", 1) == 1);
        cr_assert_eq(now(&probe), POLLIN);
    }
}

Test(epoll, who_trusts_is_cancelled_and_the_next_one_told)
{
    struct probe probe, other;
    come_to_trust();
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(begin(&probe, ends[0], TRUSTING), 0);
        cr_assert_eq(fl_ring_cancel(&ring, &probe.op), 0);
        if (i & 1)
            fl_ring_sleep(&ring, INT64_MAX); /* its line is verified without it */
        cr_assert_eq(begin(&probe, ends[0], TRUSTING), 0);
        if (i & 2)
            cr_assert_eq(begin(&other, ends[0], POLLIN), 0);
        cr_assert_eq(write(ends[1], "x", 1), 1);
        cr_assert(now(&probe) == POLLIN && (!(i & 2) || now(&other) == POLLIN));
        drain(ends[0]);
        if (i >= 8)
            i += 3; /* those with a sleep take their time */
    }
}

Test(epoll, nobody_trusts_but_tcp)
{
    struct probe probe;
    cr_assert_eq(begin(&probe, ends[0], POLLIN | FL_EPOLL_EDGE), 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(now(&probe), POLLIN);
    uint32_t before = tellings(ends[0]);
    cr_assert_eq(begin(&probe, ends[0], TRUSTING), 0);
    cr_assert(tellings(ends[0]) == before + 1 && now(&probe) == POLLIN);
}

/* ---- who asks ---- */

Test(epoll, thieves_tell_each_once_and_lose_no_wake)
{
    enum { PAIRS = 20, ROUNDS = 2000, THIEVES = 2 };
    static int in[PAIRS], out[PAIRS];
    static struct probe probes[PAIRS];
    pthread_t threads[THIEVES];
    for (int i = 0; i < PAIRS; i++) {
        int pair[2];
        cr_assert_eq(pipe(pair), 0);
        in[i] = pair[0];
        out[i] = pair[1];
    }
    for (int i = 0; i < THIEVES; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, thief, NULL), 0);
    for (int round = 0; round < ROUNDS; round++) {
        char byte;
        for (int i = 0; i < PAIRS; i++)
            cr_assert_eq(begin(&probes[i], in[i], POLLIN), 0);
        for (int i = 0; i < PAIRS; i++)
            cr_assert_eq(write(out[i], "x", 1), 1);
        for (int i = 0; i < PAIRS; i++) {
            while (load_acquire(&probes[i].told) == 0) /* [told] pairs with note */
                fl_ring_reap(&ring, true);
            cr_assert(load_acquire(&probes[i].told) == 1 && probes[i].res == POLLIN); /* [told] as above */
            cr_assert_eq(read(in[i], &byte, 1), 1);
        }
        fl_ring_wake(&ring);
        fl_ring_sleep(&ring, INT64_MAX); /* ends, whoever reaped the wake */
        fl_ring_reap(&ring, true);
    }
    store_relaxed(&over, true); /* hint: seen soon */
    for (int i = 0; i < THIEVES; i++)
        pthread_join(threads[i], NULL);
}
