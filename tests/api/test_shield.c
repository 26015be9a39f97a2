/* SPDX-License-Identifier: MIT */
/* The laws of what a scope can be told besides: a shield keeps cancels and deadlines out, a collecting scope lets the others go on after a failure, results come
 * back by value, and whoever cancels a scope is out of it before it is left.
 *
 * What is not tested here: cancels as such, which is test_cancel. */
#include "api.h"

/* ---- the shield ---- */

static int read_byte(int fd)
{
    char byte;
    return (int)filch_read(fd, &byte, 1);
}

static int sleep_shielded(void *arg)
{
    (void)arg;
    return filch_sleep(FILCH_MSEC(3));
}

/* In a scope that is, or is about to be, cancelled with `code`. */
static int clean_up(int code)
{
    int pair[2];
    filch_event event = {0};
    must(pipe(pair) == 0);
    {
        FILCH_SHIELD(shield);
        must(filch_cancelled() == 0 && filch_deadline() == FILCH_NEVER);
        must(filch_sleep(FILCH_MSEC(3)) == 0);
        must(filch_spawn(&shield, sleep_shielded, NULL) == 0);
        must(filch_spawn(&shield, sleep_shielded, NULL) == 0);
        must(filch_join(&shield) == 0);
        must(filch_write(pair[1], "x", 1) == 1 && read_byte(pair[0]) == 1);
        {
            FILCH_SCOPE_UNTIL(inner, filch_after(FILCH_MSEC(2))); /* what is inside the shield counts */
            must(filch_event_wait(&event) == -ETIMEDOUT && read_byte(pair[0]) == -ETIMEDOUT);
            FILCH_SHIELD(again);
            must(filch_sleep(FILCH_MSEC(1)) == 0);
        }
        must(filch_sleep(FILCH_MSEC(1)) == 0 && filch_cancelled() == 0);
    }
    {
        FILCH_SHIELD_UNTIL(shield, filch_after(FILCH_MSEC(2)));
        must(filch_deadline() < FILCH_NEVER);
        must(filch_event_wait(&event) == -ETIMEDOUT && filch_cancelled() == -ETIMEDOUT);
    }
    {
        FILCH_SHIELD(shield);
        filch_cancel(&shield);
        must(filch_event_wait(&event) == -ECANCELED);
    }
    close(pair[0]), close(pair[1]);
    /* outside again */
    must(filch_cancelled() == code && filch_sleep(FILCH_SEC(1000)) == code && filch_event_wait(&event) == code);
    return 0;
}

static int cancelled_before(void *arg)
{
    (void)arg;
    {
        FILCH_SCOPE(s);
        filch_cancel(&s);
        clean_up(-ECANCELED);
    }
    FILCH_SCOPE_UNTIL(s, filch_now());
    FILCH_SCOPE(inner);
    return clean_up(-ETIMEDOUT);
}

static int deadline_inside(void *arg)
{
    (void)arg;
    FILCH_SCOPE_UNTIL(s, filch_after(FILCH_MSEC(2))); /* while the shield is up */
    FILCH_SCOPE(inner);
    return clean_up(-ETIMEDOUT);
}

struct cleaner {
    atomic_int begun, ended;
};

static int clean_up_as_a_child(void *arg)
{
    struct cleaner *cleaner = arg;
    atomic_fetch_add(&cleaner->begun, 1);
    clean_up(-ECANCELED);
    atomic_fetch_add(&cleaner->ended, 1);
    return 0;
}

/* One child has parked before, so that it is known to the scope. */
static int clean_up_known(void *arg)
{
    filch_sleep(FILCH_USEC(100));
    FILCH_SCOPE(own);
    return clean_up_as_a_child(arg);
}

static int children_clean_up(void *arg)
{
    struct cleaner cleaner = {0};
    (void)arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 5; i++) {
        must(filch_spawn(&s, clean_up_as_a_child, &cleaner) == 0);
        must(filch_spawn(&s, clean_up_known, &cleaner) == 0);
    }
    while (atomic_load(&cleaner.begun) < 10)
        filch_yield();
    filch_cancel(&s);
    must(filch_join(&s) == 0 && atomic_load(&cleaner.ended) == 10);
    return 0;
}

Test(shield, clean_up_waits_although_the_scope_was_cancelled)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        must(filch_run(config, cancelled_before, NULL) == 0);
        must(filch_run(config, deadline_inside, NULL) == 0);
        must(filch_run(config, children_clean_up, NULL) == 0);
    }
}

/* ---- collecting ---- */

static int returns(void *arg)
{
    return (int)(intptr_t)arg;
}

static int waits_then_returns(void *arg)
{
    int r = filch_sleep(FILCH_MSEC(2));
    return r ? r : (int)(intptr_t)arg;
}

static int collect(void *arg)
{
    enum { CHILDREN = 40 };
    filch_result results[CHILDREN];
    (void)arg;
    FILCH_SCOPE(s);
    filch_scope_collect(&s);
    for (int i = 0; i < CHILDREN; i++)
        must(filch_spawn_result(&s, &results[i], i % 2 ? returns : waits_then_returns, (void *)(intptr_t)(i % 4 ? i : -i)) == 0);
    int first = filch_join(&s);
    must(first < 0 && -first % 4 == 0);
    for (int i = 0; i < CHILDREN; i++)
        must(results[i].value == (i % 4 ? i : -i));
    must(filch_cancelled() == 0);
    must(filch_spawn(&s, returns, NULL) == 0 && filch_join(&s) == 0); /* used again, it begins anew */
    must(filch_spawn(&s, waits_then_returns, (void *)(intptr_t)-3) == 0 && filch_join(&s) == -3 && filch_join(&s) == 0);
    return 0;
}

Test(shield, a_collecting_scope_lets_the_others_go_on)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, collect, NULL) == 0);
}

/* ---- deadlines ---- */

static int look_at_deadline(void *arg)
{
    return filch_deadline() == *(int64_t *)arg ? 0 : -EDOM;
}

static int deadlines(void *arg)
{
    int64_t late = filch_after(FILCH_SEC(100)), early = filch_after(FILCH_SEC(50));
    (void)arg;
    must(filch_deadline() == FILCH_NEVER);
    FILCH_SCOPE_UNTIL(a, early);
    must(filch_deadline() == early);
    FILCH_SCOPE_UNTIL(b, late);
    must(filch_deadline() == early);
    must(filch_spawn(&b, look_at_deadline, &early) == 0 && filch_join(&b) == 0);
    FILCH_SHIELD_UNTIL(c, late);
    must(filch_deadline() == late);
    return 0;
}

Test(shield, the_deadline_in_force_can_be_asked_for)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, deadlines, NULL) == 0);
    must(filch_deadline() == FILCH_NEVER);
}

/* ---- deep ---- */

static int dive(void *arg)
{
    int *left = arg;
    if ((*left)-- == 0)
        return filch_sleep(FILCH_SEC(1000));
    FILCH_SCOPE(s);
    must(filch_spawn(&s, dive, left) == 0);
    return filch_join(&s);
}

static int dive_until(void *arg)
{
    int depth = SANITIZED ? 500 : 10000;
    (void)arg;
    FILCH_SCOPE_UNTIL(s, filch_after(FILCH_MSEC(100)));
    must(filch_spawn(&s, dive, &depth) == 0);
    must(filch_join(&s) == -ETIMEDOUT && depth == -1);
    return 0;
}

Test(shield, a_deadline_reaches_ten_thousand_scopes_down)
{
    FOR_EACH_CONFIG(config, every_loop)
    must(filch_run(config, dive_until, NULL) == 0);
}

/* ---- cancelled by a stranger, and left at once ---- */

struct guest {
    _Atomic(filch_scope *) scope;
    atomic_int cancelled, over;
};

static void *cancel_scopes(void *arg)
{
    struct guest *guest = arg;
    while (!atomic_load(&guest->over)) {
        filch_scope *scope = atomic_exchange(&guest->scope, NULL);
        if (!scope) {
            sched_yield();
            continue;
        }
        filch_cancel(scope);
        atomic_fetch_add(&guest->cancelled, 1);
    }
    return NULL;
}

static __attribute__((noinline)) int open_and_leave(struct guest *guest)
{
    filch_event never = {0};
    FILCH_SCOPE(s);
    atomic_store(&guest->scope, &s);
    return filch_event_wait(&never);
}

/* Lies where the scope lay. */
static __attribute__((noinline)) int untouched(void)
{
    volatile unsigned char frame[1024];
    int sum = 0;
    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = 0x55;
    for (int turn = 0; turn < 20; turn++)
        for (size_t i = 0; i < sizeof frame; i++)
            sum += frame[i] != 0x55;
    return sum == 0;
}

static int be_cancelled(void *arg)
{
    struct guest *guest = arg;
    for (int i = 0; i < (SANITIZED ? 100 : 500); i++)
        must(open_and_leave(guest) == -ECANCELED && untouched());
    atomic_store(&guest->over, 1);
    return 0;
}

Test(shield, a_scope_may_be_left_as_soon_as_a_cancel_has_woken_its_owner)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct guest guest = {.over = 0};
        pthread_t thread = thread_start(cancel_scopes, &guest);
        must(filch_run(config, be_cancelled, &guest) == 0);
        thread_join(thread);
    }
}
