/* SPDX-License-Identifier: MIT */
/* The laws of cancelling: a cancelled scope makes its parked calls return, all of them, wherever they wait, and nothing else.
 *
 * A scope is cancelled by filch_cancel, by the first failure of a child, by its deadline, or by leaving it without a join. What is not tested here: that a cancel and the
 * completion it races with agree, millions of times, which is stress_cancel. */
#include "api.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* ---- what waits ---- */

/* Everything a task can wait in; each returns what its call returned, and finds everything it needs in `world`. */
static struct world {
    filch_event never;
    int pipe[2], listener, stream[2];
} world;

static void world_open(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    must(pipe(world.pipe) == 0);
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, world.stream) == 0);
    world.listener = socket(AF_INET, SOCK_STREAM, 0);
    must(bind(world.listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(world.listener, 5) == 0);
}

static atomic_int waiting;

static int wait_in_sleep(void *arg)
{
    (void)arg;
    atomic_fetch_add(&waiting, 1);
    return filch_sleep(FILCH_SEC(1000));
}

static int wait_in_event(void *arg)
{
    (void)arg;
    atomic_fetch_add(&waiting, 1);
    return filch_event_wait(&world.never);
}

/* The buffer is on the stack, and must stay as it is from the return on, however late the kernel would write. */
static int wait_in_read(void *arg)
{
    char buf[4096];
    (void)arg;
    memset(buf, 'c', sizeof buf);
    atomic_fetch_add(&waiting, 1);
    ssize_t r = filch_read(world.pipe[0], buf, sizeof buf);
    for (int i = 0; i < 20; i++) {
        for (size_t at = 0; at < sizeof buf; at++)
            must(buf[at] == 'c');
        filch_yield();
    }
    return (int)r;
}

static int wait_in_recv(void *arg)
{
    char buf[512];
    (void)arg;
    atomic_fetch_add(&waiting, 1);
    return (int)filch_recv(world.stream[0], buf, sizeof buf, 0);
}

static int wait_in_accept(void *arg)
{
    (void)arg;
    atomic_fetch_add(&waiting, 1);
    return filch_accept(world.listener, NULL, NULL, 0);
}

static int wait_in_a_scope_of_its_own(void *arg)
{
    FILCH_SCOPE(s);
    must(filch_spawn(&s, wait_in_sleep, arg) == 0);
    must(filch_spawn(&s, wait_in_event, arg) == 0);
    return filch_join(&s); /* not cancelled itself, but its children are */
}

static int sleep_uncounted(void *arg)
{
    (void)arg;
    return filch_sleep(FILCH_SEC(1000));
}

/* The fork may begin as late as at the meet, so it isn't counted. */
static int wait_in_a_frame(void *arg)
{
    filch_frame frame;
    filch_fork(&frame, sleep_uncounted, arg);
    int r = wait_in_event(arg);
    return filch_meet(&frame) == r ? r : 1;
}

static filch_fn *const every_wait[] = {
    wait_in_sleep, wait_in_event, wait_in_read, wait_in_recv, wait_in_accept, wait_in_a_scope_of_its_own, wait_in_a_frame,
};

enum { WAITERS = 8 }; /* in every_wait: two in the last but one */

/* ---- cancelled from outside and inside ---- */

struct waiter {
    filch_fn *fn;
    int result;
};

static int note_result(void *arg)
{
    struct waiter *waiter = arg;
    waiter->result = waiter->fn(NULL);
    must(filch_cancelled() == waiter->result); /* who comes late is told as well */
    must(filch_sleep(FILCH_SEC(1000)) == waiter->result);
    must(filch_event_wait(&world.never) == waiter->result);
    return 0;
}

static void *cancel_when_all_wait(void *arg)
{
    await_count(&waiting, WAITERS);
    usleep(20000); /* most of them are parked by now; those that are not yet are told when they park */
    filch_cancel(arg);
    filch_cancel(arg); /* the first one counts */
    return NULL;
}

static int all_wait(void *arg)
{
    bool by_thread = arg != NULL;
    struct waiter waiters[LENGTH(every_wait)];
    pthread_t thread = 0;
    atomic_store(&waiting, 0);
    FILCH_SCOPE(s);
    for (size_t i = 0; i < LENGTH(every_wait); i++) {
        waiters[i] = (struct waiter){every_wait[i], 1};
        must(filch_spawn(&s, note_result, &waiters[i]) == 0);
    }
    if (by_thread)
        thread = thread_start(cancel_when_all_wait, &s);
    else
        while (atomic_load(&waiting) < WAITERS)
            filch_yield();
    if (!by_thread)
        filch_cancel(&s);
    must(filch_join(&s) == 0);
    for (size_t i = 0; i < LENGTH(every_wait); i++)
        must(waiters[i].result == -ECANCELED);
    must(filch_cancelled() == -ECANCELED); /* the block is part of the scope */
    if (by_thread)
        thread_join(thread);
    return 0;
}

Test(cancel, a_cancel_by_a_task_reaches_every_wait)
{
    world_open();
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, all_wait, NULL) == 0);
}

Test(cancel, a_cancel_by_a_plain_thread_reaches_every_wait)
{
    world_open();
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, all_wait, &world) == 0);
}

static int waits_at_once(void *arg)
{
    (void)arg;
    int64_t start = filch_now();
    {
        FILCH_SCOPE(s);
        filch_cancel(&s);
        must(filch_cancelled() == -ECANCELED);
        for (size_t i = 0; i < LENGTH(every_wait); i++)
            must(every_wait[i](NULL) == -ECANCELED);
        for (size_t i = 0; i < LENGTH(every_wait); i++)
            must(filch_spawn(&s, every_wait[i], NULL) == 0);
        must(filch_join(&s) == -ECANCELED);
    }
    must(filch_cancelled() == 0);
    must(filch_now() - start < FILCH_SEC(10));
    return filch_sleep(FILCH_USEC(100));
}

Test(cancel, a_wait_in_a_cancelled_scope_returns_at_once_and_after_it_waits_again)
{
    world_open();
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, waits_at_once, NULL) == 0);
}

static int outer_not_told(void *arg)
{
    (void)arg;
    struct waiter waiter = {wait_in_sleep, 1};
    FILCH_SCOPE(outer);
    {
        FILCH_SCOPE(inner);
        must(filch_spawn(&inner, note_result, &waiter) == 0);
        filch_yield();
        filch_cancel(&inner);
        must(filch_join(&inner) == 0);
    }
    must(waiter.result == -ECANCELED && filch_cancelled() == 0);
    return filch_join(&outer);
}

Test(cancel, a_cancel_goes_inwards_only)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, outer_not_told, NULL) == 0);
}

/* ---- by a failure ---- */

static int fail(void *arg)
{
    filch_sleep(FILCH_MSEC(2));
    return *(int *)arg;
}

static int fail_among_waiters(void *arg)
{
    int failure = -EXDEV;
    (void)arg;
    FILCH_SCOPE(outer);
    {
        FILCH_SCOPE(s);
        for (int round = 0; round < 3; round++)
            for (size_t i = 0; i < LENGTH(every_wait); i++)
                must(filch_spawn(&s, every_wait[i], NULL) == 0);
        must(filch_spawn(&s, fail, &failure) == 0);
        must(filch_join(&s) == -EXDEV);
        must(filch_cancelled() == -ECANCELED);
    }
    must(filch_cancelled() == 0);
    return filch_join(&outer);
}

Test(cancel, the_first_failure_cancels_the_siblings_and_is_the_result_of_the_join)
{
    world_open();
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, fail_among_waiters, NULL) == 0);
}

/* ---- by leaving ---- */

static int count_end(void *arg)
{
    must(filch_sleep(FILCH_SEC(1000)) == -ECANCELED);
    atomic_fetch_add((atomic_int *)arg, 1);
    return -ECANCELED;
}

static int return_early(atomic_int *ended)
{
    FILCH_SCOPE(outer);
    must(filch_spawn(&outer, count_end, ended) == 0);
    FILCH_SCOPE(inner);
    for (int i = 0; i < 10; i++)
        must(filch_spawn(&inner, count_end, ended) == 0);
    if (atomic_load(ended) == 0)
        return 7;
    return filch_join(&inner);
}

static int leave_early(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        atomic_int ended = 0;
        must(return_early(&ended) == 7);
        must(atomic_load(&ended) == 11);
        must(filch_cancelled() == 0);
    }
    return 0;
}

Test(cancel, leaving_without_a_join_cancels_and_waits)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, leave_early, NULL) == 0);
}

/* ---- by a deadline ---- */

static int time_out(void *arg)
{
    struct waiter waiters[LENGTH(every_wait)];
    (void)arg;
    int64_t deadline = filch_after(FILCH_MSEC(20));
    {
        FILCH_SCOPE_UNTIL(s, deadline);
        for (size_t i = 0; i < LENGTH(every_wait); i++) {
            waiters[i] = (struct waiter){every_wait[i], 1};
            must(filch_spawn(&s, note_result, &waiters[i]) == 0);
        }
        must(filch_sleep(FILCH_SEC(1000)) == -ETIMEDOUT);
        must(filch_join(&s) == 0);
        must(filch_cancelled() == -ETIMEDOUT);
    }
    for (size_t i = 0; i < LENGTH(every_wait); i++)
        must(waiters[i].result == -ETIMEDOUT);
    must(filch_now() >= deadline && filch_now() - deadline < FILCH_SEC(10));
    must(filch_cancelled() == 0);
    return 0;
}

Test(cancel, a_deadline_ends_every_wait_with_ETIMEDOUT)
{
    world_open();
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, time_out, NULL) == 0);
}

static int nested_deadlines(void *arg)
{
    (void)arg;
    int64_t deadline = filch_after(FILCH_MSEC(10));
    {
        FILCH_SCOPE_UNTIL(outer, deadline);
        FILCH_SCOPE_UNTIL(inner, filch_after(FILCH_SEC(1000)));
        must(filch_sleep(FILCH_SEC(1000)) == -ETIMEDOUT); /* the outer one's */
        must(filch_now() >= deadline);
    }
    {
        FILCH_SCOPE_UNTIL(outer, filch_after(FILCH_SEC(1000)));
        {
            FILCH_SCOPE_UNTIL(inner, filch_after(FILCH_MSEC(5)));
            must(filch_sleep(FILCH_SEC(1000)) == -ETIMEDOUT);
        }
        must(filch_cancelled() == 0 && filch_sleep(FILCH_MSEC(1)) == 0);
        {
            FILCH_SCOPE_UNTIL(past, 1);
            must(filch_cancelled() == -ETIMEDOUT && filch_sleep(FILCH_SEC(1000)) == -ETIMEDOUT);
        }
        {
            FILCH_SCOPE_UNTIL(never, FILCH_NEVER);
            must(filch_sleep(FILCH_MSEC(1)) == 0);
        }
        must(filch_cancelled() == 0);
    }
    return 0;
}

Test(cancel, nested_deadlines_only_shorten)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, nested_deadlines, NULL) == 0);
}

static int quick(void *arg)
{
    (void)arg;
    return 0;
}

static int no_deadline_reached(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        FILCH_SCOPE_UNTIL(s, filch_after(FILCH_SEC(1000)));
        must(filch_spawn(&s, quick, NULL) == 0);
        must(filch_join(&s) == 0 && filch_cancelled() == 0);
    }
    return 0;
}

Test(cancel, a_deadline_that_is_not_reached_leaves_nothing_behind)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, no_deadline_reached, NULL) == 0);
}

/* ---- what is not cancelled ---- */

static filch_mutex mutex;

static int hold_a_while(void *arg)
{
    atomic_int *held = arg;
    FILCH_GUARD(&mutex);
    atomic_store(held, 1);
    for (int64_t end = filch_after(FILCH_MSEC(5)); filch_now() < end;) /* its sleep would be cancelled */
        filch_yield();
    atomic_store(held, 2);
    return 0;
}

static int lock_cancelled(void *arg)
{
    atomic_int held = 0;
    (void)arg;
    FILCH_SCOPE(s);
    must(filch_spawn(&s, hold_a_while, &held) == 0);
    while (!atomic_load(&held))
        filch_yield();
    filch_cancel(&s);
    filch_mutex_lock(&mutex);
    must(atomic_load(&held) == 2);
    filch_mutex_unlock(&mutex);
    must(filch_join(&s) == 0);
    return 0;
}

Test(cancel, a_lock_and_a_join_wait_although_cancelled)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, lock_cancelled, NULL) == 0);
}

static int read_something(void *arg)
{
    char byte = 0;
    atomic_fetch_add(&waiting, 1);
    int r = (int)filch_read(world.pipe[0], &byte, 1);
    must(r != 1 || byte == 'x');
    *(int *)arg = r;
    return 0;
}

static int bytes_are_not_lost(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        int r = 0;
        FILCH_SCOPE(s);
        must(filch_spawn(&s, read_something, &r) == 0);
        filch_yield();
        must(write(world.pipe[1], "x", 1) == 1);
        filch_cancel(&s);
        must(filch_join(&s) == 0);
        char byte;
        if (r != 1) {
            must(r == -ECANCELED);
            must(read(world.pipe[0], &byte, 1) == 1); /* it is still there */
        }
    }
    return 0;
}

Test(cancel, a_byte_is_read_or_still_there)
{
    world_open();
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, bytes_are_not_lost, NULL) == 0);
}

/* ---- who asks ---- */

static int compute_until_cancelled(void *arg)
{
    int64_t deadline = filch_after(FILCH_MSEC(10));
    int code;
    (void)arg;
    {
        FILCH_SHIELD(shield); /* passes nothing on, and has none of its own */
        FILCH_SCOPE_UNTIL(s, deadline);
        FILCH_SCOPE(inner);
        while (!(code = filch_cancelled()))
            must(filch_now() < deadline + FILCH_SEC(5));
        must(code == -ETIMEDOUT && filch_now() >= deadline && filch_sleep(1) == -ETIMEDOUT);
    }
    deadline = filch_after(FILCH_MSEC(1));
    FILCH_SCOPE_UNTIL(around, deadline);
    FILCH_SHIELD(shield);
    while (filch_now() < deadline + FILCH_MSEC(1))
        must(filch_cancelled() == 0);
    return 0;
}

/* Also where nobody else looks at the timers of a worker that computes. */
Test(cancel, who_computes_and_asks_hears_of_a_deadline)
{
    static const filch_config alone[] = {
        {.workers = 1, .relief = FILCH_RELIEF_NONE}, {.model = FILCH_MODEL_N1}, {.workers = 1}, {.workers = 2}};
    FOR_EACH_CONFIG(config, alone)
    must(filch_run(config, compute_until_cancelled, NULL) == 0);
}
