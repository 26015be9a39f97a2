/* SPDX-License-Identifier: MIT */
/* The laws of sched/timer: nothing early, nothing lost, nothing twice, and a sleeper that trusts `next` neither oversleeps nor wakes for nothing.
 *
 * Time is the test's own: a wheel takes `now` as an argument. The comparison with a plain array prints its seed; FILCH_SEED repeats it.
 * What is not tested here: several threads at random, which is stress_timer. */
#include "sched/timer.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TICK (INT64_C(1) << FL_TIMER_TICK_SHIFT)
#define START (INT64_C(123456) * TICK + 777)

struct probe {
    struct fl_timer timer;
    int fired;
    int order;
};

static struct fl_wheel wheel;
static int fires;

static void count_fire(struct fl_timer *timer)
{
    struct probe *probe = fl_container_of(timer, struct probe, timer);
    probe->fired++;
    probe->order = fires++;
    fl_timer_done(timer);
}

static bool add(struct probe *probe, int64_t when)
{
    probe->timer.fire = count_fire;
    return fl_timer_add(&wheel, &probe->timer, when);
}

static int64_t next(void)
{
    return load_relaxed(&wheel.next); /* own: one thread */
}

static uint64_t random_state;

static uint64_t dice(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void seed(void)
{
    const char *given = getenv("FILCH_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    random_state = given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec * 2654435761u + 1;
    fprintf(stderr, "test_timer: FILCH_SEED=%llu\n", (unsigned long long)random_state);
}

static void init(void)
{
    fl_wheel_init(&wheel, START);
}

TestSuite(timer, .init = init);

Test(timer, none_fires_early)
{
    for (int bits = 0; bits < 62; bits++) {
        for (int64_t off = -1; off <= 1; off++) {
            fl_wheel_init(&wheel, START);
            struct probe probe = {0};
            int64_t when = START + (INT64_C(1) << bits) + off;
            add(&probe, when);
            cr_assert_eq(fl_wheel_expire(&wheel, START), when <= START && when % TICK == 0);
            cr_assert_eq(fl_wheel_expire(&wheel, when - 1), 0, "fired before its time, 2^%d %+d", bits, (int)off);
        }
    }
}

Test(timer, fires_within_a_tick)
{
    for (int bits = 0; bits < 62; bits++) {
        fl_wheel_init(&wheel, START);
        struct probe probe = {0};
        int64_t when = START + (INT64_C(1) << bits);
        add(&probe, when);
        cr_assert_eq(fl_wheel_expire(&wheel, when + TICK - 1), 1, "late, 2^%d", bits);
        cr_assert_eq(probe.fired, 1);
        cr_assert_eq(fl_wheel_expire(&wheel, INT64_MAX), 0, "twice");
    }
}

Test(timer, every_tick_of_a_second_fires_in_its_own)
{
    enum { N = 30000 };
    struct probe *probes = calloc(N, sizeof(*probes));
    for (int i = 0; i < N; i++)
        add(&probes[i], START + (i * INT64_C(7919) % N + 1) * TICK);
    for (int64_t tick = 1; tick <= N; tick++)
        cr_assert_eq(fl_wheel_expire(&wheel, START + tick * TICK + TICK - 1), 1, "tick %d", (int)tick);
    cr_assert_eq(load_relaxed(&wheel.count), 0); /* counter */
    free(probes);
}

Test(timer, past_fires_at_the_next_expire)
{
    struct probe probes[3] = {0};
    add(&probes[0], START - 5 * TICK);
    add(&probes[1], 0);
    add(&probes[2], INT64_MIN);
    cr_assert(fl_wheel_due(&wheel, START));
    cr_assert_eq(fl_wheel_expire(&wheel, START), 3);
    cr_assert(!fl_wheel_due(&wheel, START));
}

Test(timer, never_never_fires)
{
    struct probe probe = {0};
    cr_assert(!add(&probe, INT64_MAX));
    cr_assert_eq(next(), INT64_MAX);
    cr_assert_eq(fl_wheel_expire(&wheel, INT64_MAX), 0);
    cr_assert(!fl_timer_remove(&probe.timer));
}

Test(timer, removed_does_not_fire)
{
    struct probe probes[4] = {0};
    add(&probes[0], START + 3 * TICK);
    add(&probes[1], START + 3 * TICK);
    add(&probes[2], START + 5000 * TICK);
    add(&probes[3], START - TICK);
    cr_assert(fl_timer_remove(&probes[1].timer));
    cr_assert(fl_timer_remove(&probes[2].timer));
    cr_assert(fl_timer_remove(&probes[3].timer));
    cr_assert(!fl_timer_remove(&probes[3].timer), "it was idle already");
    cr_assert_eq(fl_wheel_expire(&wheel, INT64_MAX), 1);
    cr_assert_eq(probes[0].fired, 1);
}

Test(timer, can_be_added_again)
{
    struct probe probe = {0};
    for (int i = 1; i <= 100; i++) {
        add(&probe, START + i * 100 * TICK);
        cr_assert_eq(fl_wheel_expire(&wheel, START + i * 100 * TICK + TICK), 1);
    }
    cr_assert_eq(probe.fired, 100);
}

static void fire_and_add_late(struct fl_timer *timer)
{
    fl_timer_done(timer);
    fl_timer_add(&wheel, timer, 0);
}

Test(timer, late_ones_added_by_fire_wait_for_the_next_expire)
{
    struct fl_timer timer = {.fire = fire_and_add_late};
    fl_timer_add(&wheel, &timer, START);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(fl_wheel_expire(&wheel, START + TICK), 1);
        cr_assert(fl_wheel_due(&wheel, START + TICK));
    }
    fl_timer_remove(&timer);
}

static struct fl_timer *other;
static bool other_was_queued;

static void fire_and_remove_other(struct fl_timer *timer)
{
    other_was_queued = fl_timer_remove(other);
    fl_timer_done(timer);
}

Test(timer, one_that_is_due_can_be_removed_by_the_one_before)
{
    struct probe second = {0};
    struct fl_timer first = {.fire = fire_and_remove_other};
    other = &second.timer;
    fl_timer_add(&wheel, &first, START + TICK);
    add(&second, START + TICK);
    cr_assert_eq(fl_wheel_expire(&wheel, START + 9 * TICK), 1);
    cr_assert(other_was_queued);
    cr_assert_eq(second.fired, 0);
}

Test(timer, slots_fire_in_order_of_time)
{
    enum { N = 64 };
    struct probe probes[N] = {0};
    for (int i = 0; i < N; i++)
        add(&probes[i * 37 % N], START + (INT64_C(1) << (16 + i * 37 % N % 40)) + TICK);
    fl_wheel_expire(&wheel, INT64_MAX);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            if (probes[i].timer.when / TICK / 64 < probes[j].timer.when / TICK / 64 && i % 40 < j % 40 - 6)
                cr_assert_lt(probes[i].order, probes[j].order);
}

Test(timer, add_tells_when_a_sleeper_must_be_woken)
{
    struct probe probes[4] = {0};
    cr_assert(add(&probes[0], START + 1000 * TICK));
    cr_assert(!add(&probes[1], START + 2000 * TICK));
    cr_assert(add(&probes[2], START + 500 * TICK));
    cr_assert(add(&probes[3], START - TICK));
    cr_assert_eq(next(), 0);
}

Test(timer, a_sleeper_wakes_once_for_a_timer)
{
    for (int bits = 0; bits < 62; bits++) {
        struct probe probe = {0};
        fl_wheel_init(&wheel, START);
        add(&probe, START + (INT64_C(1) << bits));
        cr_assert_geq(next(), probe.timer.when);
        cr_assert_lt(next(), probe.timer.when + TICK);
        cr_assert_eq(fl_wheel_expire(&wheel, next()), 1, "2^%d", bits);
        cr_assert_eq(next(), INT64_MAX);
    }
}

Test(timer, removing_the_only_one_lets_a_sleeper_sleep)
{
    struct probe probe = {0};
    add(&probe, START + 300 * TICK);
    fl_timer_remove(&probe.timer);
    cr_assert_eq(next(), INT64_MAX);
}

Test(timer, a_removed_one_costs_one_wake_up_at_most)
{
    struct probe probes[2] = {0};
    add(&probes[0], START + 10000 * TICK);
    add(&probes[1], START + 10100 * TICK);
    fl_timer_remove(&probes[0].timer);
    int wakes = 0;
    while (!probes[1].fired) {
        fl_wheel_expire(&wheel, next());
        wakes++;
    }
    cr_assert_leq(wakes, 2);
}

Test(timer, a_jump_over_years_is_as_quick_as_one_over_a_tick)
{
    const int64_t year = INT64_C(31556952) * 1000000000;
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < 10000; i++) {
        struct probe probes[2] = {0};
        fl_wheel_init(&wheel, START);
        add(&probes[0], START + year);
        add(&probes[1], START + 3 * year);
        cr_assert_eq(fl_wheel_expire(&wheel, START + 2 * year), 1);
        cr_assert_eq(fl_wheel_expire(&wheel, START + 100 * year), 1);
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    cr_assert_lt(to.tv_sec - from.tv_sec, 5);
}

/* What a wheel should do, with nothing but an array. */
Test(timer, does_what_a_plain_array_does)
{
    enum { N = 400, STEPS = 200000 };
    static struct probe probes[N];
    static bool queued[N];
    int64_t now = START;
    int left = 0;
    seed();
    for (int step = 0; step < STEPS; step++) {
        int i = (int)(dice() % N);
        if (dice() % 8 < 5) {
            if (queued[i]) {
                cr_assert(fl_timer_remove(&probes[i].timer));
                queued[i] = false;
                left--;
            } else {
                int64_t when = now - 3 * TICK + (int64_t)(dice() % (UINT64_C(1) << dice() % 50));
                add(&probes[i], when);
                queued[i] = true;
                left++;
                cr_assert_lt(next(), when + TICK);
            }
            continue;
        }
        now += (int64_t)(dice() % (UINT64_C(1) << dice() % (dice() % 16 ? 24 : 46)));
        if (dice() % 4 == 0 && next() != INT64_MAX && next() > now)
            now = next();
        int64_t fires_until = now / TICK * TICK;
        size_t want = 0;
        for (int t = 0; t < N; t++)
            want += queued[t] && probes[t].timer.when <= fires_until;
        cr_assert_eq(fl_wheel_expire(&wheel, now), want, "step %d", step);
        int64_t least = INT64_MAX;
        for (int t = 0; t < N; t++) {
            bool due = queued[t] && probes[t].timer.when <= fires_until;
            cr_assert_eq(probes[t].fired, due, "step %d: timer %d", step, t);
            probes[t].fired = 0;
            if (due) {
                queued[t] = false;
                left--;
            }
            if (queued[t] && probes[t].timer.when < least)
                least = probes[t].timer.when;
        }
        cr_assert_eq(load_relaxed(&wheel.count), (uint64_t)left); /* counter */
        cr_assert_gt(next(), now, "woken for nothing, step %d", step);
        if (least == INT64_MAX)
            cr_assert_eq(next(), INT64_MAX);
        else
            cr_assert_lt(next(), least + TICK, "overslept, step %d", step);
    }
}

static _Atomic(int) gate;

static void fire_and_hang(struct fl_timer *timer)
{
    store_release(&gate, 1);         /* the gate: the test's thread waits for it */
    while (load_acquire(&gate) != 2) /* the gate */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    fl_timer_done(timer);
}

static void *expire_all(void *arg)
{
    (void)arg;
    fl_wheel_expire(&wheel, START + 100 * TICK);
    return NULL;
}

static void *remove_other(void *arg)
{
    fl_timer_remove(other);
    store_release((_Atomic(int) *)arg, 1); /* [done] as the test sees it */
    return NULL;
}

Test(timer, nothing_is_stranded_behind_a_stuck_fire)
{
    struct fl_timer stuck = {.fire = fire_and_hang};
    struct probe probes[100] = {0};
    fl_timer_add(&wheel, &stuck, START + TICK);
    for (int i = 0; i < 100; i++)
        add(&probes[i], START + 2 * TICK);
    pthread_t expirer;
    pthread_create(&expirer, NULL, expire_all, NULL);
    while (load_acquire(&gate) != 1) /* the gate */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cr_assert(fl_wheel_due(&wheel, START + 100 * TICK));
    cr_assert(fl_timer_remove(&probes[99].timer), "removal waits for its own fire only");
    cr_assert_eq(fl_wheel_expire(&wheel, START + 100 * TICK), 99);
    store_release(&gate, 2); /* the gate */
    pthread_join(expirer, NULL);
}

Test(timer, remove_waits_for_the_one_that_fires)
{
    struct fl_timer stuck = {.fire = fire_and_hang};
    _Atomic(int) removed = 0;
    fl_timer_add(&wheel, &stuck, START + TICK);
    pthread_t expirer, remover;
    pthread_create(&expirer, NULL, expire_all, NULL);
    while (load_acquire(&gate) != 1) /* the gate */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    other = &stuck;
    pthread_create(&remover, NULL, remove_other, &removed);
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    cr_assert(!load_acquire(&removed)); /* [done] as the test sees it */
    store_release(&gate, 2);            /* the gate */
    pthread_join(remover, NULL);
    cr_assert(load_acquire(&removed)); /* [done] as the test sees it */
    pthread_join(expirer, NULL);
}
