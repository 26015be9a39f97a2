/* SPDX-License-Identifier: MIT */
/* The laws of events and mutexes: nobody waits for what has happened, nobody is two in a lock, and an object is its owner's again when a call
 * returns.
 *
 * Waiters are tasks of one or two runtimes and plain threads, mixed. What is not tested here: cancelled waits (test_cancel.c). */
#include "api.h"

#include <signal.h>

/* ---- events ---- */

struct meeting {
    filch_event go;
    atomic_int arrived, left;
    int payload;
};

static int wait_for_go(void *arg)
{
    struct meeting *meeting = arg;
    atomic_fetch_add(&meeting->arrived, 1);
    must(filch_event_wait(&meeting->go) == 0);
    must(meeting->payload == 77 && filch_event_is_set(&meeting->go));
    atomic_fetch_add(&meeting->left, 1);
    return 0;
}

static void *thread_waits_for_go(void *arg)
{
    wait_for_go(arg);
    return NULL;
}

enum { TASKS = 20, THREADS = 3 };

static int wait_in_crowd(void *arg)
{
    FILCH_SCOPE(s);
    for (int i = 0; i < TASKS; i++)
        must(filch_spawn(&s, wait_for_go, arg) == 0);
    return filch_join(&s);
}

static int set_go(void *arg)
{
    struct meeting *meeting = arg;
    meeting->payload = 77;
    filch_event_set(&meeting->go);
    return 0;
}

Test(sync, a_set_wakes_tasks_of_two_runtimes_and_plain_threads)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        for (int by_task = 0; by_task < 2; by_task++) {
            struct meeting meeting = {0};
            filch_runtime *a, *b;
            pthread_t threads[THREADS];
            must(filch_start(config, &a) == 0 && filch_start(config, &b) == 0);
            for (int i = 0; i < THREADS; i++)
                threads[i] = thread_start(thread_waits_for_go, &meeting);
            must(filch_submit(a, wait_in_crowd, &meeting) == 0 && filch_submit(b, wait_in_crowd, &meeting) == 0);
            await_count(&meeting.arrived, 2 * TASKS + THREADS);
            usleep(1000);
            must(atomic_load(&meeting.left) == 0);
            if (by_task)
                must(filch_call(b, set_go, &meeting) == 0);
            else
                set_go(&meeting);
            for (int i = 0; i < THREADS; i++)
                thread_join(threads[i]);
            must(filch_stop(a, FILCH_NEVER) == 0 && filch_stop(b, FILCH_NEVER) == 0);
            must(atomic_load(&meeting.left) == 2 * TASKS + THREADS);
            must(filch_event_wait(&meeting.go) == 0);
        }
    }
}

static int set_and_reset(void *arg)
{
    filch_event event = {0};
    (void)arg;
    must(!filch_event_is_set(&event));
    for (int i = 0; i < 3; i++) {
        filch_event_set(&event);
        filch_event_set(&event);
        must(filch_event_is_set(&event) && filch_event_wait(&event) == 0 && filch_event_is_set(&event));
        filch_event_reset(&event);
        filch_event_reset(&event);
        must(!filch_event_is_set(&event));
        FILCH_SCOPE_UNTIL(s, filch_after(FILCH_MSEC(1)));
        must(filch_event_wait(&event) == -ETIMEDOUT);
    }
    return 0;
}

Test(sync, an_event_stays_set_until_it_is_reset)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, set_and_reset, NULL) == 0);
}

/* Never waits for long: each time it stands in the list and takes itself out again. */
static int come_late(void *arg)
{
    struct meeting *meeting = arg;
    FILCH_SCOPE(s);
    filch_cancel(&s);
    atomic_fetch_add(&meeting->arrived, 1);
    while (!atomic_load(&meeting->left)) {
        int r = filch_event_wait(&meeting->go);
        must(r == 0 || r == -ECANCELED);
    }
    must(filch_join(&s) == 0);
    return 0;
}

Test(sync, a_late_waiter_does_not_undo_a_reset)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct meeting meeting = {0};
        filch_runtime *runtime;
        must(filch_start(config, &runtime) == 0);
        must(filch_submit(runtime, come_late, &meeting) == 0);
        await_count(&meeting.arrived, 1);
        for (int i = SANITIZED ? 20000 : 200000; i > 0; i--) {
            filch_event_set(&meeting.go);
            filch_event_reset(&meeting.go);
            must(!filch_event_is_set(&meeting.go));
        }
        atomic_store(&meeting.left, 1);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
    }
}

static int set_it(void *arg)
{
    filch_event_set(arg);
    return 0;
}

/* The frame that the event lies in is written over as soon as the wait has returned. */
__attribute__((noinline)) static void wait_in_frame(filch_scope *scope)
{
    filch_event event = {0};
    must(filch_spawn(scope, set_it, &event) == 0);
    must(filch_event_wait(&event) == 0);
    memset(&event, 0xa5, sizeof event);
    __asm__ volatile("" : : "r"(&event) : "memory");
}

static int wait_in_frames(void *arg)
{
    FILCH_SCOPE(s);
    for (int i = *(int *)arg; i > 0; i--)
        wait_in_frame(&s);
    return filch_join(&s);
}

static int two_wait_in_frames(void *arg)
{
    FILCH_SCOPE(s);
    must(filch_spawn(&s, wait_in_frames, arg) == 0);
    must(filch_spawn(&s, wait_in_frames, arg) == 0);
    return filch_join(&s);
}

Test(sync, an_event_may_end_as_soon_as_its_wait_returns)
{
    int rounds = SANITIZED ? 5000 : 50000; /* twice that in all */
    must(filch_run(&(filch_config){.workers = 2}, two_wait_in_frames, &rounds) == 0);
    rounds = 500;
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, two_wait_in_frames, &rounds) == 0);
}

struct ball {
    filch_event ping, pong;
    int rounds, hits;
};

static int return_ball(void *arg)
{
    struct ball *ball = arg;
    for (int i = 0; i < ball->rounds; i++) {
        must(filch_event_wait(&ball->ping) == 0);
        filch_event_reset(&ball->ping);
        ball->hits++;
        filch_event_set(&ball->pong);
    }
    return 0;
}

static void *play(void *arg)
{
    struct ball *ball = arg;
    for (int i = 0; i < ball->rounds; i++) {
        ball->hits++;
        filch_event_set(&ball->ping);
        must(filch_event_wait(&ball->pong) == 0);
        filch_event_reset(&ball->pong);
    }
    return NULL;
}

Test(sync, a_task_and_a_plain_thread_play_ping_pong)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct ball ball = {.rounds = 1000};
        filch_runtime *runtime;
        must(filch_start(config, &runtime) == 0);
        must(filch_submit(runtime, return_ball, &ball) == 0);
        play(&ball);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
        must(ball.hits == 2 * ball.rounds);
    }
}

/* ---- mutexes ---- */

struct account {
    filch_mutex mutex;
    int rounds;
    int64_t sum; /* plain: the mutex guards it */
    int inside;
};

static int deposit(void *arg)
{
    struct account *account = arg;
    for (int i = 0; i < account->rounds; i++) {
        filch_mutex_lock(&account->mutex);
        must(account->inside++ == 0);
        int64_t seen = account->sum;
        if (i % 64 == 0)
            filch_yield(); /* sched_yield on a plain thread */
        account->sum = seen + 1;
        account->inside--;
        filch_mutex_unlock(&account->mutex);
        if (i % 7 == 0 && filch_mutex_trylock(&account->mutex)) {
            must(account->inside == 0);
            filch_mutex_unlock(&account->mutex);
        }
    }
    return 0;
}

static int deposit_together(void *arg)
{
    FILCH_SCOPE(s);
    for (int i = 0; i < 8; i++)
        must(filch_spawn(&s, deposit, arg) == 0);
    return filch_join(&s);
}

static void *thread_deposits(void *arg)
{
    deposit(arg);
    return NULL;
}

Test(sync, one_at_a_time_holds_a_mutex_task_or_thread)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct account account = {.rounds = 3000};
        pthread_t one = thread_start(thread_deposits, &account), two = thread_start(thread_deposits, &account);
        must(filch_run(config, deposit_together, &account) == 0);
        thread_join(one);
        thread_join(two);
        must(account.sum == 10 * account.rounds);
    }
}

static filch_mutex guarded;

static int leave_guarded(int way)
{
    for (int i = 0; i < 3; i++) {
        FILCH_GUARD(&guarded);
        must(!filch_mutex_trylock(&guarded));
        if (way == 0)
            return 0;
        if (way == 1)
            break;
        if (way == 2)
            continue;
    }
    must(filch_mutex_trylock(&guarded));
    filch_mutex_unlock(&guarded);
    return 0;
}

static int leave_every_way(void *arg)
{
    (void)arg;
    for (int way = 0; way < 4; way++) {
        must(leave_guarded(way) == 0);
        must(filch_mutex_trylock(&guarded));
        filch_mutex_unlock(&guarded);
    }
    return 0;
}

Test(sync, a_guard_lets_go_whatever_way_its_block_is_left)
{
    leave_every_way(NULL);
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, leave_every_way, NULL) == 0);
}

static filch_mutex abused;

static int lock_twice(void *arg)
{
    (void)arg;
    filch_mutex_lock(&abused);
    filch_mutex_lock(&abused);
    return 0;
}

static int lock_abused(void *arg)
{
    (void)arg;
    filch_mutex_lock(&abused);
    return 0;
}

static int unlock_abused(void *arg)
{
    (void)arg;
    filch_mutex_unlock(&abused);
    return 0;
}

static int unlock_of_another(void *arg)
{
    filch_mutex_lock(&abused);
    FILCH_SCOPE(s);
    must(filch_spawn_with(&s, &(filch_task_options){.name = "thief"}, unlock_abused, arg) == 0);
    return filch_join(&s);
}

Test(sync, locking_what_one_holds_panics_in_a_task, .signal = SIGABRT)
{
    filch_run(&(filch_config){.workers = 1}, lock_twice, NULL);
}

Test(sync, locking_what_one_holds_panics_on_a_plain_thread, .signal = SIGABRT)
{
    lock_twice(NULL);
}

Test(sync, unlocking_what_nobody_holds_panics, .signal = SIGABRT)
{
    filch_run(&(filch_config){.workers = 1}, unlock_abused, NULL);
}

Test(sync, unlocking_what_another_task_holds_panics, .signal = SIGABRT)
{
    filch_run(&(filch_config){.workers = 1}, unlock_of_another, NULL);
}

Test(sync, unlocking_what_a_task_holds_panics_on_a_plain_thread, .signal = SIGABRT)
{
    must(filch_run(&(filch_config){.workers = 1}, lock_abused, NULL) == 0);
    filch_mutex_unlock(&abused);
}

/* ---- a mutex that carries its data ---- */

struct pair {
    long left, right;
    int waiters;
};

FILCH_MUTEX_OF(locked_pair, struct pair);

static locked_pair shared = FILCH_MUTEX_OF_INIT({.left = 5, .right = 5});
static filch_cond shared_changed;

static int change_guarded(void *arg)
{
    for (int i = 0; i < 500; i++) {
        if (i % 10 == 0) {
            FILCH_TRY_LOCKED(locked_pair, p, &shared);
            must(!p || p->left == p->right);
            continue; /* whatever way the block is left */
        }
        FILCH_LOCKED(locked_pair, p, &shared);
        p->left++;
        if (arg && i % 100 == 1)
            filch_yield();
        p->right++;
    }
    struct pair *p = locked_pair_lock(&shared);
    must(p->left == p->right);
    p->waiters--;
    locked_pair_unlock(p);
    filch_cond_broadcast(&shared_changed);
    return 0;
}

static void *thread_changes_guarded(void *arg)
{
    change_guarded(arg);
    return NULL;
}

static int guarded_by_all(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 8; i++)
        must(filch_spawn(&s, change_guarded, "task") == 0);
    {
        FILCH_LOCKED(locked_pair, p, &shared);
        while (p->waiters > 0)
            must(locked_pair_wait(p, &shared_changed) == 0);
    }
    return filch_join(&s);
}

Test(sync, what_a_mutex_carries_is_reached_by_one_at_a_time)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct pair *p = locked_pair_try(&shared);
        must(p && !locked_pair_try(&shared));
        *p = (struct pair){.left = 5, .right = 5, .waiters = 9};
        locked_pair_unlock(p);
        pthread_t thread = thread_start(thread_changes_guarded, NULL);
        must(filch_run(config, guarded_by_all, NULL) == 0);
        thread_join(thread);
        p = locked_pair_lock(&shared);
        must(p->left == 5 + 9 * 450 && p->right == p->left);
        locked_pair_unlock(p);
    }
}
