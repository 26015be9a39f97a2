/* SPDX-License-Identifier: MIT */
/* The laws of a runtime's life: how one starts, takes work from anywhere, shows itself, and ends.
 *
 * What is tested here is seen from outside, often from plain threads. Times are generous: a law about time says "not before", or "long before something ten times
 * as late". What is not tested here: which CPUs the workers are pinned to, which depends on the machine (tests/unit/test_topology.c). */
#include "api.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>

static int answer(void *arg)
{
    return arg ? *(int *)arg : 42;
}

Test(run, run_returns_what_the_function_returned)
{
    int failure = -7;
    FOR_EACH_CONFIG(config, every_config)
    {
        must(filch_run(config, answer, NULL) == 42);
        must(filch_run(config, answer, &failure) == -7);
    }
    must(filch_run(NULL, answer, NULL) == 42);
}

Test(run, a_bad_config_is_EINVAL)
{
    static const filch_config bad[] = {
        {.workers = 5000},
        {.workers = 1025},
        {.stack_size = 100000},
        {.stack_size = 4096},
        {.stack_size = (size_t)128 << 20},
        {.model = FILCH_MODEL_N1, .workers = 2},
        {.model = (filch_model)3},
        {.pin = (filch_pinning)3},
    };
    FOR_EACH_CONFIG(config, bad)
    {
        filch_runtime *untouched = (filch_runtime *)&bad;
        must(filch_run(config, answer, NULL) == -EINVAL);
        must(filch_start(config, &untouched) == -EINVAL && untouched == (filch_runtime *)&bad);
    }
}

static int run_inside(void *arg)
{
    (void)arg;
    return filch_run(NULL, answer, NULL);
}

Test(run, run_inside_a_task_is_EDEADLK)
{
    must(filch_run(NULL, run_inside, NULL) == -EDEADLK);
}

/* ---- who am I ---- */

static int look_at_myself(void *arg)
{
    const filch_config *config = arg;
    filch_runtime *runtime = filch_current();
    must(runtime && filch_self());
    must(filch_workers(runtime) == (config->workers ? config->workers : 1));
    must(!filch_name());
    filch_set_name("me");
    must(strcmp(filch_name(), "me") == 0);
    for (unsigned i = 0; i < filch_workers(runtime); i++) {
        filch_worker_info info;
        must(filch_worker_where(runtime, i, &info) == 0);
        must(info.index == i && info.tid > 0 && info.cpu >= -1);
    }
    filch_worker_info info;
    must(filch_worker_where(runtime, filch_workers(runtime), &info) == -EINVAL);
    return 0;
}

Test(run, a_task_knows_its_runtime_and_itself)
{
    must(!filch_current() && !filch_self() && !filch_name() && filch_cancelled() == 0);
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, look_at_myself, (void *)config) == 0);
    must(!filch_current() && !filch_self());
}

Test(run, the_library_is_the_version_of_the_header)
{
    must(strcmp(filch_version(), FILCH_VERSION) == 0);
}

/* ---- work from anywhere ---- */

struct crowd {
    filch_runtime *runtime;
    atomic_int ran;
};

static int count_me(void *arg)
{
    struct crowd *crowd = arg;
    atomic_fetch_add(&crowd->ran, 1);
    return 5;
}

enum { EACH = 2000, THREADS = 4 };

static void *hand_in(void *arg)
{
    struct crowd *crowd = arg;
    for (int i = 0; i < EACH; i++) {
        must(filch_submit(crowd->runtime, count_me, crowd) == 0);
        if (i % 10 == 0)
            must(filch_call(crowd->runtime, count_me, crowd) == 5);
    }
    return NULL;
}

Test(run, plain_threads_submit_and_call_and_nothing_is_lost)
{
    FOR_EACH_CONFIG(config, every_loop)
    {
        struct crowd crowd = {0};
        must(filch_start(config, &crowd.runtime) == 0);
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            threads[i] = thread_start(hand_in, &crowd);
        for (int i = 0; i < THREADS; i++)
            thread_join(threads[i]);
        must(filch_stop(crowd.runtime, FILCH_NEVER) == 0);
        must(atomic_load(&crowd.ran) == THREADS * (EACH + EACH / 10));
    }
}

static void *stop_now(void *arg)
{
    must(filch_stop(arg, FILCH_NEVER) == 0);
    return NULL;
}

Test(run, another_thread_than_the_starter_may_stop)
{
    filch_runtime *runtime;
    must(filch_start(&(filch_config){.workers = 2}, &runtime) == 0);
    thread_join(thread_start(stop_now, runtime));
}

static int submit_more(void *arg)
{
    struct crowd *crowd = arg;
    for (int i = 0; i < 100; i++)
        must(filch_submit(filch_current(), count_me, crowd) == 0);
    must(filch_call(filch_current(), count_me, crowd) == 5);
    return 0;
}

Test(run, a_task_submits_to_and_calls_its_own_runtime)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct crowd crowd = {0};
        must(filch_run(config, submit_more, &crowd) == 0);
        must(atomic_load(&crowd.ran) == 101);
    }
}

static int fail(void *arg)
{
    (void)arg;
    return -EIO;
}

static int sleep_a_little(void *arg)
{
    atomic_int *result = arg;
    int r = filch_sleep(FILCH_MSEC(50));
    atomic_store(result, r + 1);
    return r;
}

Test(run, a_submitted_task_that_fails_cancels_nobody)
{
    filch_runtime *runtime;
    atomic_int result = -1000;
    must(filch_start(&(filch_config){.workers = 2}, &runtime) == 0);
    must(filch_submit(runtime, sleep_a_little, &result) == 0);
    must(filch_submit(runtime, fail, NULL) == 0);
    must(filch_call(runtime, fail, NULL) == -EIO);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
    must(atomic_load(&result) == 1);
}

/* ---- the end ---- */

struct sleeper {
    atomic_int started, result;
};

static int sleep_for_ever(void *arg)
{
    struct sleeper *sleeper = arg;
    atomic_fetch_add(&sleeper->started, 1);
    int r = filch_sleep_until(FILCH_NEVER);
    atomic_store(&sleeper->result, r);
    return r;
}

Test(run, stop_cancels_at_its_deadline_and_not_before)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        filch_runtime *runtime;
        struct sleeper sleeper = {0};
        must(filch_start(config, &runtime) == 0);
        must(filch_submit(runtime, sleep_for_ever, &sleeper) == 0);
        await_count(&sleeper.started, 1);
        int64_t deadline = filch_after(FILCH_MSEC(30));
        must(filch_stop(runtime, deadline) == 0);
        must(filch_now() >= deadline);
        must(atomic_load(&sleeper.result) == -ECANCELED);
    }
}

Test(run, stop_at_once_cancels_at_once)
{
    filch_runtime *runtime;
    struct sleeper sleeper = {0};
    must(filch_start(&(filch_config){.workers = 2}, &runtime) == 0);
    must(filch_submit(runtime, sleep_for_ever, &sleeper) == 0);
    await_count(&sleeper.started, 1);
    must(filch_stop(runtime, 0) == 0);
    must(atomic_load(&sleeper.result) == -ECANCELED);
}

struct late {
    filch_runtime *runtime;
    atomic_int started;
    int submitted, called, stopped;
};

static int submit_late(void *arg)
{
    struct late *late = arg;
    atomic_store(&late->started, 1);
    late->stopped = filch_stop(late->runtime, 0);
    must(filch_sleep_until(FILCH_NEVER) == -ECANCELED); /* filch_stop has begun */
    late->submitted = filch_submit(late->runtime, answer, NULL);
    late->called = filch_call(late->runtime, answer, NULL);
    return 0;
}

Test(run, a_runtime_that_stops_takes_no_new_work_and_a_task_cannot_stop_it)
{
    struct late late = {0};
    must(filch_start(&(filch_config){.workers = 2}, &late.runtime) == 0);
    must(filch_submit(late.runtime, submit_late, &late) == 0);
    await_count(&late.started, 1);
    must(filch_stop(late.runtime, filch_after(FILCH_MSEC(20))) == 0);
    must(late.stopped == -EDEADLK && late.submitted == -ESHUTDOWN && late.called == -ESHUTDOWN);
}

struct burner {
    atomic_int started, let_go;
};

static int burn_until_let_go(void *arg)
{
    struct burner *burner = arg;
    atomic_store(&burner->started, 1);
    while (!atomic_load(&burner->let_go))
        sched_yield();
    return 0;
}

Test(run, stop_says_ETIMEDOUT_for_a_task_that_does_not_end_and_can_be_called_again)
{
    filch_runtime *runtime;
    struct burner burner = {0};
    must(filch_start(&(filch_config){.workers = 2}, &runtime) == 0);
    must(filch_submit(runtime, burn_until_let_go, &burner) == 0);
    await_count(&burner.started, 1);
    must(filch_stop(runtime, 0) == -ETIMEDOUT);
    must(filch_submit(runtime, answer, NULL) == -ESHUTDOWN);
    atomic_store(&burner.let_go, 1);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
}

Test(run, stop_of_nothing_is_nothing)
{
    must(filch_stop(NULL, 0) == 0);
}

static int entries(const char *path)
{
    int n = 0;
    DIR *dir = opendir(path);
    must(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

Test(run, a_thousand_runtimes_leave_no_thread_and_no_descriptor)
{
    must(filch_run(&(filch_config){.workers = 2}, answer, NULL) == 42);
    int fds = entries("/proc/self/fd"), threads = entries("/proc/self/task");
    for (int i = 0; i < 1000; i++)
        must(filch_run(&(filch_config){.workers = 1 + (unsigned)i % 3}, answer, NULL) == 42);
    must(entries("/proc/self/fd") == fds);
    for (int tries = 0; entries("/proc/self/task") != threads; tries++) { /* the kernel's own may end a little later */
        must(tries < 1000);
        usleep(10000);
    }
}

/* ---- two of them ---- */

struct pair {
    filch_runtime *other;
    int depth;
};

static int call_across(void *arg)
{
    struct pair *pair = arg;
    if (pair->depth == 0)
        return 1;
    struct pair back = {filch_current(), pair->depth - 1};
    int r = filch_call(pair->other, call_across, &back);
    return r < 0 ? r : r + 1;
}

static int many_calls(void *arg)
{
    filch_runtime *other = arg;
    for (int i = 0; i < 1000; i++)
        must(filch_call(other, answer, NULL) == 42);
    return 0;
}

struct both {
    filch_runtime *here, *there;
};

static void *call_many(void *arg)
{
    struct both *both = arg;
    must(filch_call(both->here, many_calls, both->there) == 0);
    return NULL;
}

Test(run, two_runtimes_live_side_by_side_and_call_each_other)
{
    filch_runtime *a, *b;
    must(filch_start(&(filch_config){.workers = 2, .name = "a"}, &a) == 0);
    must(filch_start(&(filch_config){.model = FILCH_MODEL_N1, .name = "b"}, &b) == 0);
    must(filch_call(a, call_across, &(struct pair){b, 20}) == 21);
    struct both there = {a, b}, back = {b, a};
    pthread_t one = thread_start(call_many, &there), two = thread_start(call_many, &back);
    thread_join(one);
    thread_join(two);
    must(filch_stop(a, FILCH_NEVER) == 0);
    must(filch_call(b, answer, NULL) == 42);
    must(filch_stop(b, FILCH_NEVER) == 0);
}

/* ---- fork(2) ---- */

Test(run, a_forked_child_gets_ECHILD)
{
    filch_runtime *runtime;
    must(filch_start(&(filch_config){.workers = 2}, &runtime) == 0);
    pid_t child = fork();
    if (child == 0)
        _exit(filch_submit(runtime, answer, NULL) == -ECHILD && filch_call(runtime, answer, NULL) == -ECHILD &&
                      filch_stop(runtime, 0) == -ECHILD
                  ? 0
                  : 1);
    int status;
    must(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    must(filch_call(runtime, answer, NULL) == 42);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
}

/* Not under sanitizers: one of the parent's threads may hold a lock of their allocator just then, and nobody gives it back in the child. */
Test(run, a_forked_child_can_run_a_runtime_of_its_own, .disabled = SANITIZED)
{
    filch_runtime *runtime;
    must(filch_start(&(filch_config){.workers = 2}, &runtime) == 0);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        _exit(filch_run(&(filch_config){.workers = 2}, answer, NULL) == 42 ? 0 : 1);
    }
    int status;
    must(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
}

/* ---- looking inside ---- */

static int64_t cpu_used(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

Test(run, an_idle_runtime_uses_no_processor)
{
    filch_runtime *runtime;
    must(filch_start(&(filch_config){.workers = 2}, &runtime) == 0);
    must(filch_call(runtime, answer, NULL) == 42);
    usleep(200000);
    int64_t before = cpu_used();
    usleep(300000);
    must(cpu_used() - before < FILCH_MSEC(3));
    must(filch_stop(runtime, FILCH_NEVER) == 0);
}

static int named_sleeper(void *arg)
{
    filch_set_name("sandman");
    return sleep_for_ever(arg);
}

Test(run, a_dump_names_the_task_that_is_parked)
{
    filch_runtime *runtime;
    struct sleeper sleeper = {0};
    must(filch_start(&(filch_config){.workers = 2, .name = "dumped"}, &runtime) == 0);
    must(filch_submit(runtime, named_sleeper, &sleeper) == 0);
    await_count(&sleeper.started, 1);
    char text[8192] = "";
    for (int tries = 0; !strstr(text, "sandman"); tries++) {
        must(tries < 1000);
        usleep(10000);
        int ends[2];
        must(pipe(ends) == 0 && filch_dump(runtime, ends[1]) == 0);
        ssize_t n = read(ends[0], text, sizeof text - 1);
        must(n > 0);
        text[n] = '\0';
        close(ends[0]);
        close(ends[1]);
    }
    must(strstr(text, "dumped") && strstr(text, "2 workers") && strstr(text, "sleep"));
    must(strstr(text, "worker 0") && strstr(text, "worker 1"));
    must(filch_dump(runtime, -1) == -EBADF);
    must(filch_stop(runtime, 0) == 0);
}

static int yield_once(void *arg)
{
    (void)arg;
    filch_yield();
    return 0;
}

/* Their names end with them. */
static int come_and_go(void *arg)
{
    enum { BATCH = 32 };
    char *names[BATCH];
    while (!atomic_load((atomic_int *)arg)) {
        FILCH_SCOPE(s);
        for (int i = 0; i < BATCH; i++) {
            must((names[i] = strdup("a name that comes from the heap, and is longer than a line of a dump has room for it")));
            must(filch_spawn_with(&s, &(filch_task_options){.name = names[i]}, yield_once, NULL) == 0);
        }
        must(filch_join(&s) == 0);
        for (int i = 0; i < BATCH; i++)
            free(names[i]);
    }
    return 0;
}

static int compute_by_name(void *arg)
{
    filch_set_name("a tireless one");
    while (!atomic_load((atomic_int *)arg))
        ;
    return 0;
}

Test(run, a_dump_names_the_task_that_runs)
{
    filch_runtime *runtime;
    atomic_int over = 0;
    char text[8192] = "";
    must(filch_start(&(filch_config){.workers = 1}, &runtime) == 0);
    must(filch_submit(runtime, compute_by_name, &over) == 0);
    for (int tries = 0; !strstr(text, "a tireless one"); tries++) {
        must(tries < 1000);
        usleep(1000);
        int ends[2];
        must(pipe(ends) == 0 && filch_dump(runtime, ends[1]) == 0 && close(ends[1]) == 0);
        ssize_t n = read(ends[0], text, sizeof text - 1);
        must(n > 0 && close(ends[0]) == 0);
        text[n] = '\0';
    }
    atomic_store(&over, 1);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
}

Test(run, a_dump_reads_nothing_of_tasks_that_have_ended)
{
    filch_runtime *runtime;
    atomic_int over = 0;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    must(null >= 0 && filch_start(&(filch_config){.workers = 2}, &runtime) == 0);
    must(filch_submit(runtime, come_and_go, &over) == 0 && filch_submit(runtime, come_and_go, &over) == 0);
    for (int64_t end = filch_after(FILCH_MSEC(300)); filch_now() < end;)
        must(filch_dump(runtime, null) == 0);
    atomic_store(&over, 1);
    must(filch_stop(runtime, FILCH_NEVER) == 0 && close(null) == 0);
}

static int nap_and_yield(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        filch_yield();
    return filch_sleep(FILCH_MSEC(1));
}

static int nap_many(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 100; i++)
        must(filch_spawn(&s, nap_and_yield, NULL) == 0);
    return filch_join(&s);
}

Test(run, counters_count)
{
    filch_runtime *runtime;
    filch_stats before, after;
    must(filch_start(&(filch_config){.workers = 2}, &runtime) == 0);
    filch_stats_read(runtime, &before);
    must(filch_call(runtime, nap_many, NULL) == 0);
    filch_stats_read(runtime, &after);
    must(after.parks - before.parks >= 100 && after.dispatched - before.dispatched >= 100);
    must(after.timers - before.timers >= 100);
    must(after.stacks >= 1 && after.stack_bytes >= 65536 * after.stacks && after.stacks_guarded <= after.stacks);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
}
