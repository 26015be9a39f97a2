/* SPDX-License-Identifier: MIT */
/* The laws of isolated tasks: a kernel thread of their own to their end, on which they do whatever any task does. */
#include "stalls.h"

static const filch_task_options isolated = {.name = "isolated", .isolated = true};

struct isolation {
    int ids[64];
    unsigned workers;
    filch_mutex mutex;
    filch_event event;
    filch_chan *there, *back, *never;
    int pipe[2], sum;
    atomic_int counted;
};

static void know_workers(struct isolation *isolation)
{
    filch_runtime *runtime = filch_current();
    isolation->workers = filch_workers(runtime);
    for (unsigned i = 0; i < isolation->workers; i++) {
        filch_worker_info info;
        must(filch_worker_where(runtime, i, &info) == 0);
        isolation->ids[i] = info.tid;
    }
}

/* Whether the calling thread is a worker's: a regular one's, or a relief's. */
static bool on_worker(const struct isolation *isolation)
{
    char name[16] = "";
    int tid = my_tid();
    for (unsigned i = 0; i < isolation->workers; i++)
        if (isolation->ids[i] == tid)
            return true;
    return pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strncmp(name, "law/r", 5) == 0;
}

static int child_on_a_worker(void *arg)
{
    struct isolation *isolation = arg;
    must(on_worker(isolation));
    filch_yield();
    must(filch_sleep(20000) == 0);
    must(on_worker(isolation));
    return count_one(&isolation->counted);
}

static int grandchild(void *arg)
{
    struct isolation *isolation = arg;
    must(!on_worker(isolation));
    must(filch_sleep(20000) == 0);
    return count_one(&isolation->counted);
}

static int fail_with_seven(void *arg)
{
    (void)arg;
    return -7;
}

static int give_back_seventeen(void *arg)
{
    (void)arg;
    return 17;
}

static int add_range(void *arg, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++)
        atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static int sleep_until_cancelled(void *arg)
{
    must(filch_sleep(FILCH_SEC(1000)) == -ECANCELED);
    return count_one(arg);
}

/* Everything that a task does. */
static int live_alone(void *arg)
{
    struct isolation *isolation = arg;
    int tid = my_tid();
    int64_t value = 5;
    char byte;
    must(!on_worker(isolation) && filch_current() && filch_self() && strcmp(filch_name(), "isolated") == 0);
    filch_yield();
    filch_yield_if_needed();
    filch_pin(), filch_blocking_enter(), filch_blocking_leave(), filch_unpin();
    must(filch_sleep(200000) == 0);
    for (int i = 0; i < 20; i++) {
        FILCH_GUARD(&isolation->mutex);
        isolation->sum++;
        must(filch_sleep(1000) == 0);
    }
    for (int i = 0; i < 10; i++)
        must(filch_chan_send(isolation->there, &value) == 0 && filch_chan_recv(isolation->back, &value) == 0 && value == 5);
    must(filch_event_wait(&isolation->event) == 0);
    must(filch_write(isolation->pipe[1], "x", 1) == 1 && filch_read(isolation->pipe[0], &byte, 1) == 1);
    filch_case cases[] = {filch_case_recv(isolation->never, &value), filch_case_event(&isolation->event)};
    must(filch_select(cases, 2) == 1);
    filch_case waits[] = {filch_case_recv(isolation->never, &value), filch_case_until(filch_after(FILCH_MSEC(1)))};
    must(filch_select(waits, 2) == 1);
    {
        FILCH_SCOPE(s);
        int before = atomic_load(&isolation->counted);
        for (int i = 0; i < 5; i++)
            must(filch_spawn(&s, child_on_a_worker, isolation) == 0);
        for (int i = 0; i < 3; i++)
            must(filch_spawn_with(&s, &isolated, grandchild, isolation) == 0);
        must(filch_spawn_with(&s, &(filch_task_options){.name = "large", .stack_size = 1 << 20}, child_on_a_worker, isolation) == 0);
        must(filch_join(&s) == 0 && atomic_load(&isolation->counted) - before >= 9);
    }
    {
        FILCH_SCOPE(s);
        filch_result result;
        must(filch_spawn_result(&s, &result, give_back_seventeen, NULL) == 0 && filch_join(&s) == 0 && result.value == 17);
        must(filch_spawn(&s, fail_with_seven, NULL) == 0 && filch_join(&s) == -7);
    }
    {
        FILCH_SCOPE_UNTIL(s, filch_after(FILCH_MSEC(2)));
        must(filch_sleep(FILCH_SEC(100)) == -ETIMEDOUT);
    }
    {
        FILCH_SCOPE(s);
        atomic_int ended = 0;
        must(filch_spawn(&s, sleep_until_cancelled, &ended) == 0 && filch_spawn_with(&s, &isolated, sleep_until_cancelled, &ended) == 0);
        must(filch_sleep(FILCH_MSEC(1)) == 0);
        filch_cancel(&s);
        filch_join(&s);
        must(atomic_load(&ended) == 2);
    }
    atomic_int ran = 0;
    filch_frame frame;
    filch_fork(&frame, count_one, &ran);
    must(filch_meet(&frame) == 0 && filch_for(0, 100, 0, add_range, &ran) == 0 && atomic_load(&ran) == 101);
    must(my_tid() == tid);
    return 17;
}

static int echo_numbers(void *arg)
{
    struct isolation *isolation = arg;
    int64_t value;
    while (filch_chan_recv(isolation->there, &value) == 0)
        must(filch_chan_send(isolation->back, &value) == 0);
    return 0;
}

static int set_soon(void *arg)
{
    must(filch_sleep(FILCH_MSEC(2)) == 0);
    filch_event_set(&((struct isolation *)arg)->event);
    return 0;
}

static int isolate(void *arg)
{
    struct isolation isolation = {0};
    (void)arg;
    know_workers(&isolation);
    must(pipe(isolation.pipe) == 0);
    must(filch_chan_new(sizeof(int64_t), 0, &isolation.never) == 0);
    must(filch_chan_new(sizeof(int64_t), 0, &isolation.there) == 0 && filch_chan_new(sizeof(int64_t), 0, &isolation.back) == 0);
    {
        FILCH_SCOPE(others);
        must(filch_spawn(&others, echo_numbers, &isolation) == 0 && filch_spawn(&others, set_soon, &isolation) == 0);
        FILCH_SCOPE(s);
        for (int i = 0; i < 4; i++)
            must(filch_spawn_with(&s, &isolated, live_alone, &isolation) == 0);
        must(filch_join(&s) == 0);
        must(isolation.sum == 80);
        filch_chan_close(isolation.there);
        must(filch_join(&others) == 0);
    }
    filch_chan_free(isolation.there), filch_chan_free(isolation.back), filch_chan_free(isolation.never);
    return close(isolation.pipe[0]) + close(isolation.pipe[1]);
}

Test(isolated, an_isolated_task_has_a_thread_of_its_own_and_does_what_any_task_does, .timeout = 60)
{
    FOR_EACH_CONFIG(config, every_size)
    for (int i = 0; i < (SANITIZED ? 2 : 10); i++)
        must(filch_run(config, isolate, NULL) == 0);
    must(filch_run(&(filch_config){.model = FILCH_MODEL_N1, .name = "law"}, isolate, NULL) == 0);
}

static int meet_at_barrier(void *arg)
{
    must(filch_barrier_wait(arg, 201) >= 0);
    return 0;
}

static int compare_cpus(void *arg)
{
    const cpu_set_t *starter = arg;
    cpu_set_t mine;
    must(sched_getaffinity(0, sizeof mine, &mine) == 0 && CPU_EQUAL(&mine, starter));
    return 0;
}

static int compare_cpus_by_a_child(void *arg)
{
    FILCH_SCOPE(s);
    must(filch_spawn_with(&s, &isolated, compare_cpus, arg) == 0);
    return compare_cpus(arg) | filch_join(&s);
}

static int spawn_where_i_am_bound(void *arg)
{
    cpu_set_t mine;
    must(sched_getaffinity(0, sizeof mine, &mine) == 0 && CPU_COUNT(&mine) == 1);
    FILCH_SCOPE(s);
    must(filch_spawn_with(&s, &isolated, compare_cpus_by_a_child, arg) == 0);
    return filch_join(&s);
}

Test(isolated, they_are_not_bound_to_the_cpu_of_the_worker_that_spawns_them)
{
    cpu_set_t starter;
    must(sched_getaffinity(0, sizeof starter, &starter) == 0);
    if (CPU_COUNT(&starter) < 2)
        cr_skip_test("one CPU is all there is");
    must(filch_run(&(filch_config){.workers = 1, .pin = FILCH_PIN_CORES}, spawn_where_i_am_bound, &starter) == 0);
}

static int two_hundred_alone(void *arg)
{
    filch_barrier barrier = {0};
    (void)arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 200; i++)
        must(filch_spawn_with(&s, &isolated, meet_at_barrier, &barrier) == 0);
    must(filch_barrier_wait(&barrier, 201) >= 0);
    return filch_join(&s);
}

Test(isolated, two_hundred_isolated_tasks_at_once, .timeout = 60)
{
    FOR_EACH_CONFIG(config, every_size)
    must(filch_run(config, two_hundred_alone, NULL) == 0);
}

static atomic_int destroyed;

static void destroy(void *value)
{
    must(value == &destroyed);
    atomic_fetch_add(&destroyed, 1);
}

static const filch_local destroys = {.destroy = destroy}, passes;

static int has_locals(void *arg)
{
    must(filch_local_get(&passes) == arg && !filch_local_get(&destroys));
    must(filch_local_set(&destroys, &destroyed) == 0 && filch_local_get(&destroys) == &destroyed);
    must(filch_local_set(&passes, NULL) == 0 && filch_sleep(10000) == 0);
    return 0;
}

static int alone_with_locals(void *arg)
{
    must(filch_local_set(&passes, arg) == 0);
    FILCH_SCOPE(s);
    for (int i = 0; i < 10; i++)
        must(filch_spawn_with(&s, &(filch_task_options){.isolated = true, .inherit = true}, has_locals, arg) == 0);
    must(filch_join(&s) == 0);
    must(filch_local_get(&passes) == arg);
    return 0;
}

Test(isolated, an_isolated_task_has_locals_and_inherits)
{
    FOR_EACH_CONFIG(config, every_size)
    {
        int value;
        atomic_store(&destroyed, 0);
        must(filch_run(config, alone_with_locals, &value) == 0);
        must(atomic_load(&destroyed) == 10);
    }
}

static int wait_for_event(void *arg)
{
    return filch_event_wait(arg);
}

static int failing_alone(void *arg)
{
    (void)arg;
    {
        FILCH_SCOPE(s);
        atomic_int ended = 0;
        must(filch_spawn_with(&s, &isolated, sleep_until_cancelled, &ended) == 0);
        must(filch_spawn(&s, sleep_until_cancelled, &ended) == 0);
        must(filch_spawn_with(&s, &isolated, fail_with_seven, NULL) == 0);
        must(filch_join(&s) == -7 && atomic_load(&ended) == 2);
    }
    FILCH_SCOPE_UNTIL(t, filch_after(FILCH_MSEC(5)));
    must(filch_spawn_with(&t, &isolated, wait_for_event, &(filch_event){0}) == 0);
    must(filch_join(&t) == -ETIMEDOUT);
    return 0;
}

Test(isolated, an_isolated_task_is_cancelled_and_its_failure_cancels)
{
    FOR_EACH_CONFIG(config, every_size)
    for (int i = 0; i < 10; i++)
        must(filch_run(config, failing_alone, NULL) == 0);
}

/* Whatever the workers do, an isolated task sleeps, reads and is called. */
static int alone_beside_stalls(void *arg)
{
    struct others *others = arg;
    FILCH_SCOPE(s);
    must(filch_spawn_with(&s, &isolated, sleeps, others) == 0 && filch_spawn_with(&s, &isolated, reads, others) == 0);
    for (int i = 0; i < others->blockers; i++)
        must(filch_spawn(&s, stall_before_a_child, others) == 0);
    return filch_join(&s);
}

Test(isolated, they_go_on_while_all_workers_are_stalled, .timeout = 60)
{
    FOR_EACH_CONFIG(config, every_size)
    for (enum way way = READ; way < WAYS; way++) {
        if (way == LOCK || !stall_init(way))
            continue;
        struct others others = {.blockers = (int)config->workers};
        filch_runtime *runtime;
        must(pipe(others.pipe) == 0 && filch_start(config, &runtime) == 0);
        must(filch_submit(runtime, alone_beside_stalls, &others) == 0);
        await_while_writing(&stall.inside, others.blockers, others.pipe[1]);
        atomic_store(&others.now, true);
        await_while_writing(&others.done, 2, others.pipe[1]);
        end_stalls();
        must(filch_stop(runtime, FILCH_NEVER) == 0);
        close(others.pipe[0]), close(others.pipe[1]);
        stall_fini();
    }
}
