/* SPDX-License-Identifier: MIT */
/* The laws of pinned tasks: on the same kernel thread whatever they wait for and whoever wakes them, also on a relief that has been dismissed meanwhile; and afterwards anywhere
 * again. */
#include "stalls.h"

#include <poll.h>
#include <sys/socket.h>

struct pinning {
    filch_mutex mutex;
    filch_chan *there, *back;
    filch_event turn;
    int pipe[2];
    atomic_bool over;
};

static int spin_and_yield(void *arg)
{
    struct pinning *pinning = arg;
    while (!atomic_load(&pinning->over)) {
        compute_for(20000);
        filch_yield();
    }
    return 0;
}

static int spawn_all_the_time(void *arg)
{
    struct pinning *pinning = arg;
    atomic_int counted = 0;
    while (!atomic_load(&pinning->over)) {
        FILCH_SCOPE(s);
        for (int i = 0; i < 20; i++)
            must(filch_spawn(&s, count_one, &counted) == 0);
        must(filch_join(&s) == 0);
        must(filch_sleep(100000) == 0);
    }
    return 0;
}

static int lock_all_the_time(void *arg)
{
    struct pinning *pinning = arg;
    while (!atomic_load(&pinning->over)) {
        FILCH_GUARD(&pinning->mutex);
        must(filch_sleep(20000) == 0);
    }
    return 0;
}

static int write_all_the_time(void *arg)
{
    struct pinning *pinning = arg;
    while (!atomic_load(&pinning->over)) {
        must(filch_write(pinning->pipe[1], "x", 1) == 1);
        filch_event_set(&pinning->turn);
        must(filch_sleep(50000) == 0);
    }
    return 0;
}

static int answer_all(void *arg)
{
    struct pinning *pinning = arg;
    int64_t value;
    while (filch_chan_recv(pinning->there, &value) == 0)
        must(filch_chan_send(pinning->back, &value) == 0);
    return 0;
}

static int child_of_pinned(void *arg)
{
    must(filch_sleep(30000) == 0);
    return count_one(arg);
}

static void wait_in_every_way(struct pinning *pinning, int tid)
{
    int64_t value = 7;
    atomic_int counted = 0;
    char byte;
    filch_yield();
    must(my_tid() == tid);
    must(filch_sleep(50000) == 0);
    must(my_tid() == tid);
    filch_mutex_lock(&pinning->mutex);
    must(my_tid() == tid);
    filch_mutex_unlock(&pinning->mutex);
    must(filch_chan_send(pinning->there, &value) == 0);
    must(my_tid() == tid);
    must(filch_chan_recv(pinning->back, &value) == 0 && value == 7);
    must(my_tid() == tid);
    must(filch_read(pinning->pipe[0], &byte, 1) == 1);
    must(my_tid() == tid);
    {
        FILCH_SCOPE(s);
        for (int i = 0; i < 4; i++)
            must(filch_spawn(&s, child_of_pinned, &counted) == 0);
        must(filch_join(&s) == 0 && atomic_load(&counted) == 4);
        must(my_tid() == tid);
    }
    filch_case cases[] = {filch_case_recv(pinning->back, &value), filch_case_event(&pinning->turn),
                          filch_case_fd(pinning->pipe[0], POLLIN)};
    must(filch_select(cases, LENGTH(cases)) >= 1);
    must(my_tid() == tid);
    filch_event_reset(&pinning->turn);
    must(filch_event_wait(&pinning->turn) == 0);
    must(my_tid() == tid);
    filch_frame frame;
    filch_fork(&frame, count_one, &counted);
    compute_for(30000);
    must(filch_meet(&frame) == 0 && atomic_load(&counted) == 5);
    must(my_tid() == tid);
}

static int stay_pinned(void *arg)
{
    struct pinning *pinning = arg;
    for (int i = 0; i < 20; i++) {
        filch_pin();
        int tid = my_tid();
        wait_in_every_way(pinning, tid);
        filch_pin();
        must(filch_sleep(10000) == 0 && my_tid() == tid);
        filch_unpin();
        must(filch_sleep(10000) == 0 && my_tid() == tid);
        filch_yield();
        must(my_tid() == tid);
        filch_unpin();
        must(filch_sleep(10000) == 0);
    }
    return 0;
}

static int pinned_with_work_around(void *arg)
{
    struct pinning pinning = {0};
    filch_fn *const around[] = {spin_and_yield, spin_and_yield, spawn_all_the_time, lock_all_the_time, write_all_the_time, answer_all};
    (void)arg;
    must(pipe(pinning.pipe) == 0);
    must(filch_chan_new(sizeof(int64_t), 0, &pinning.there) == 0 && filch_chan_new(sizeof(int64_t), 0, &pinning.back) == 0);
    {
        FILCH_SCOPE(others);
        for (size_t i = 0; i < LENGTH(around); i++)
            must(filch_spawn(&others, around[i], &pinning) == 0);
        FILCH_SCOPE(s);
        must(filch_spawn(&s, stay_pinned, &pinning) == 0);
        must(filch_join(&s) == 0);
        atomic_store(&pinning.over, true);
        filch_chan_close(pinning.there);
        must(filch_join(&others) == 0);
    }
    filch_chan_free(pinning.there), filch_chan_free(pinning.back);
    return close(pinning.pipe[0]) + close(pinning.pipe[1]);
}

Test(pinned, a_pinned_task_stays_on_its_thread_whatever_it_waits_for, .timeout = 60)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, pinned_with_work_around, NULL) == 0);
}

static int pin_often(void *arg)
{
    for (int i = 0; i < 255; i++)
        filch_pin();
    int tid = my_tid();
    for (int i = 0; i < 255; i++) {
        if (i % 50 == 0)
            must(filch_sleep(10000) == 0);
        must(my_tid() == tid);
        filch_unpin();
    }
    return count_one(arg);
}

static int many_pinned(void *arg)
{
    FILCH_SCOPE(s);
    for (int i = 0; i < 200; i++)
        must(filch_spawn(&s, pin_often, arg) == 0);
    return filch_join(&s);
}

Test(pinned, many_may_be_pinned_and_often)
{
    filch_pin(), filch_unpin(); /* a plain thread stays where it is */
    FOR_EACH_CONFIG(config, every_config)
    {
        atomic_int ended = 0;
        must(filch_run(config, many_pinned, &ended) == 0);
        must(atomic_load(&ended) == 200);
    }
}

/* A joiner that is pinned, and children that end on any other worker, several at once. */
static int end_elsewhere(void *arg)
{
    compute_for(100000);
    return count_one(arg);
}

static int join_pinned(void *arg)
{
    atomic_int *joined = arg, ended = 0;
    filch_pin();
    int tid = my_tid();
    for (int i = 1; i <= 30; i++) {
        FILCH_SCOPE(s);
        for (int k = 0; k < 8; k++)
            must(filch_spawn(&s, k & 1 ? end_elsewhere : child_of_pinned, &ended) == 0);
        must(filch_sleep(50000) == 0);
        must(filch_join(&s) == 0);
        must(my_tid() == tid && atomic_load(&ended) == 8 * i);
    }
    filch_unpin();
    return count_one(joined);
}

static int several_join_pinned(void *arg)
{
    FILCH_SCOPE(s);
    for (int i = 0; i < 4; i++)
        must(filch_spawn(&s, join_pinned, arg) == 0);
    return filch_join(&s);
}

Test(pinned, a_pinned_joiner_is_woken_by_whoever_ends_last, .timeout = 60)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        atomic_int joined = 0;
        must(filch_run(config, several_join_pinned, &joined) == 0);
        must(atomic_load(&joined) == 4);
    }
}

/* ---- a lock that is free ---- */

struct counter_hall {
    bool rwlock;
    filch_mutex mutex;
    filch_rwlock shared;
    atomic_int asked, computing, served, over;
};

static void hall_lock(struct counter_hall *hall)
{
    if (hall->rwlock)
        filch_rwlock_write(&hall->shared);
    else
        filch_mutex_lock(&hall->mutex);
}

static void hall_unlock(struct counter_hall *hall)
{
    if (hall->rwlock)
        filch_rwlock_unlock(&hall->shared);
    else
        filch_mutex_unlock(&hall->mutex);
}

static int take_pinned(void *arg)
{
    struct counter_hall *hall = arg;
    filch_pin();
    for (int i = 0; i < 3; i++) {
        atomic_fetch_add(&hall->asked, 1);
        hall_lock(hall);
        hall_unlock(hall);
    }
    filch_unpin();
    return 0;
}

static void *take_as_thread(void *arg)
{
    struct counter_hall *hall = arg;
    atomic_fetch_add(&hall->asked, 1);
    hall_lock(hall);
    hall_unlock(hall);
    return count_one(&hall->served), NULL;
}

static int compute_until_over(void *arg)
{
    struct counter_hall *hall = arg;
    atomic_fetch_add(&hall->computing, 1);
    while (!atomic_load(&hall->over))
        ;
    return 0;
}

/* Its worker computes, and others who want the lock need not wait for that. */
Test(pinned, a_lock_that_is_free_does_not_wait_for_who_is_pinned)
{
    for (int kind = 0; kind < 2; kind++)
        for (int behind = 1; behind < 4; behind++) {
            struct counter_hall hall = {.rwlock = kind};
            filch_runtime *runtime;
            pthread_t threads[3];
            must(filch_start(&(filch_config){.workers = 1}, &runtime) == 0);
            hall_lock(&hall);
            must(filch_submit(runtime, take_pinned, &hall) == 0);
            await_count(&hall.asked, 1);
            usleep(5000); /* until it stands in line */
            must(filch_submit(runtime, compute_until_over, &hall) == 0);
            await_count(&hall.computing, 1);
            for (int i = 0; i < behind; i++) {
                threads[i] = thread_start(take_as_thread, &hall);
                await_count(&hall.asked, 2 + i);
                usleep(5000);
            }
            hall_unlock(&hall);
            await_count(&hall.served, behind);
            must(atomic_load(&hall.asked) == 1 + behind); /* the pinned one has not been there yet */
            atomic_store(&hall.over, 1);
            must(filch_stop(runtime, FILCH_NEVER) == 0);
            for (int i = 0; i < behind; i++)
                thread_join(threads[i]);
        }
}

/* ---- pinned to a relief ---- */

struct passenger {
    atomic_int on_relief, ended;
    filch_event go_on;
};

static int ride(void *arg)
{
    struct passenger *passenger = arg;
    char name[16] = "";
    must(pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strncmp(name, "law/r", 5) == 0);
    filch_pin();
    int tid = my_tid();
    atomic_fetch_add(&passenger->on_relief, 1);
    must(filch_sleep(FILCH_MSEC(5)) == 0 && my_tid() == tid);
    must(filch_event_wait(&passenger->go_on) == 0);
    must(my_tid() == tid);
    for (int i = 0; i < 20; i++) { /* by now its relief rests */
        atomic_int counted = 0;
        FILCH_SCOPE(s);
        for (int k = 0; k < 3; k++)
            must(filch_spawn(&s, child_of_pinned, &counted) == 0);
        must(filch_sleep(FILCH_MSEC(2)) == 0 && my_tid() == tid);
        must(filch_join(&s) == 0 && my_tid() == tid && atomic_load(&counted) == 3);
    }
    filch_unpin();
    for (int64_t end = filch_after(FILCH_SEC(10)); my_tid() == tid;
         must(filch_sleep(FILCH_MSEC(1)) == 0)) /* a relief that rests keeps nobody */
        must(filch_now() < end);
    return count_one(&passenger->ended);
}

static int stall_with_a_passenger(void *arg)
{
    FILCH_SCOPE(s);
    must(filch_spawn(&s, ride, arg) == 0);
    stall_me();
    return filch_join(&s);
}

Test(pinned, who_is_pinned_on_a_relief_goes_on_there_when_it_has_been_dismissed, .timeout = 60)
{
    FOR_EACH_CONFIG(config, every_size)
    for (enum way way = READ; way < WAYS; way++) {
        filch_runtime *runtime;
        struct passenger passenger = {0};
        if (way == LOCK || way == SPIN || !stall_init(way)) /* nobody begins anything beside those who compute, for a while */
            continue;
        must(filch_start(config, &runtime) == 0);
        for (unsigned i = 0; i + 1 < config->workers; i++)
            must(filch_submit(runtime, stop_me, &passenger.ended) == 0);
        await_count(&stall.inside, (int)config->workers - 1);
        must(filch_submit(runtime, stall_with_a_passenger, &passenger) == 0);
        await_count(&passenger.on_relief, 1);
        end_stalls();
        usleep(60000);
        filch_event_set(&passenger.go_on);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
        must(atomic_load(&passenger.ended) == (int)config->workers);
        stall_fini();
    }
}

/* ---- stalled there ---- */

enum { CROWD = 20 };

struct crowd {
    struct receiver {
        struct crowd *crowd;
        int ends[2];
    } receivers[CROWD];
    atomic_int there, received;
    filch_event go_on;
};

static void on_the_relief(struct crowd *crowd)
{
    char name[16] = "";
    must(pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strncmp(name, "law/r", 5) == 0);
    atomic_fetch_add(&crowd->there, 1);
}

static int receive_there(void *arg)
{
    struct receiver *it = arg;
    char byte;
    on_the_relief(it->crowd);
    must(filch_recv(it->ends[0], &byte, 1, 0) == 1);
    return count_one(&it->crowd->received);
}

/* Alone again on a relief that was dismissed, it keeps the carrier whose ring they all wait on. */
static int stall_there(void *arg)
{
    struct crowd *crowd = arg;
    filch_pin();
    int tid = my_tid();
    on_the_relief(crowd);
    must(filch_event_wait(&crowd->go_on) == 0 && my_tid() == tid);
    atomic_fetch_add(&crowd->there, 1);
    await_count(&crowd->received, CROWD);
    filch_unpin();
    return 0;
}

static int stall_with_a_crowd(void *arg)
{
    struct crowd *crowd = arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < CROWD; i++)
        must(filch_spawn(&s, receive_there, &crowd->receivers[i]) == 0);
    must(filch_spawn(&s, stall_there, crowd) == 0);
    stall_me();
    return filch_join(&s);
}

Test(pinned, nobody_is_stranded_by_one_that_stalls_on_a_relief_that_was_dismissed, .timeout = 60)
{
    struct crowd crowd = {0};
    filch_runtime *runtime;
    must(stall_init(READ));
    for (int i = 0; i < CROWD; i++) {
        crowd.receivers[i].crowd = &crowd;
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, crowd.receivers[i].ends) == 0);
    }
    must(filch_start(&(filch_config){.workers = 1, .name = "law"}, &runtime) == 0);
    must(filch_submit(runtime, stall_with_a_crowd, &crowd) == 0);
    await_count(&crowd.there, CROWD + 1);
    end_stalls();
    usleep(60000); /* by now the relief rests, and everybody sleeps */
    filch_event_set(&crowd.go_on);
    await_count(&crowd.there, CROWD + 2);
    usleep(30000); /* whoever was about has gone to sleep */
    for (int i = 0; i < CROWD; i++)
        must(write(crowd.receivers[i].ends[1], "x", 1) == 1);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
    must(atomic_load(&crowd.received) == CROWD);
    for (int i = 0; i < CROWD; i++)
        must(close(crowd.receivers[i].ends[0]) == 0 && close(crowd.receivers[i].ends[1]) == 0);
    stall_fini();
}
