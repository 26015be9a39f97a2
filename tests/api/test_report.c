/* SPDX-License-Identifier: MIT */
/* The laws of the report of stalls: who is told, of what, and when not. */
#include "api.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static struct {
    atomic_int told;
    atomic_bool busy;
    int64_t ns;
    unsigned worker, reliefs, relief_max;
    bool off_cpu;
    char task[64], function[128], parent[512], where[256], backtrace[4096], text[8192];
} last;

static atomic_int slow_us;
static const char *wanted; /* only this task is kept: on a machine with much else to do others come late, too */

/* Keeps the last one that was told. */
static void keep(filch_runtime *runtime, const filch_stall *stall)
{
    must(runtime && !atomic_exchange(&last.busy, true)); /* one at a time */
    must(filch_current() == NULL && stall->tid > 0 && stall->text[strlen(stall->text) - 1] == '\n');
    if (wanted && (!stall->task || strcmp(stall->task, wanted) != 0)) {
        atomic_store(&last.busy, false);
        return;
    }
    last.ns = stall->ns;
    last.worker = stall->worker;
    last.reliefs = stall->reliefs;
    last.relief_max = stall->relief_max;
    last.off_cpu = stall->off_cpu;
    snprintf(last.task, sizeof last.task, "%s", stall->task ? stall->task : "");
    snprintf(last.function, sizeof last.function, "%s", stall->function ? stall->function : "");
    snprintf(last.parent, sizeof last.parent, "%s", stall->parent ? stall->parent : "");
    snprintf(last.where, sizeof last.where, "%s", stall->where);
    snprintf(last.backtrace, sizeof last.backtrace, "%s", stall->backtrace);
    snprintf(last.text, sizeof last.text, "%s", stall->text);
    usleep((useconds_t)atomic_load(&slow_us));
    atomic_store(&last.busy, false);
    atomic_fetch_add(&last.told, 1);
}

static int pipes[2];

/* Until somebody was told, at most for some seconds. */
static bool told_since(int before)
{
    for (int64_t end = filch_after(FILCH_SEC(10)); filch_now() < end; usleep(1000))
        if (atomic_load(&last.told) > before)
            return true;
    return false;
}

/* With a name that a stripped program has as well. */
int block_in_read(void *arg);

__attribute__((noinline)) int block_in_read(void *arg)
{
    char byte;
    (void)arg;
    int r = (int)read(pipes[0], &byte, 1);
    __asm__ volatile("" : "+r"(r)); /* a frame of its own */
    return r == 1 ? 0 : -1;
}

static int compute(void *arg)
{
    int before = atomic_load(&last.told);
    (void)arg;
    for (int64_t end = filch_after(FILCH_SEC(10)); atomic_load(&last.told) == before && filch_now() < end;)
        ;
    return 0;
}

static int end_read_when_told(void *arg)
{
    int before = atomic_load(&last.told);
    (void)arg;
    FILCH_SCOPE(s);
    must(filch_spawn_with(&s, &(filch_task_options){.name = "reader"}, block_in_read, NULL) == 0);
    filch_sleep(FILCH_MSEC(1)); /* lets it begin */
    for (int64_t end = filch_after(FILCH_SEC(10)); atomic_load(&last.told) == before && filch_now() < end;)
        filch_sleep(FILCH_MSEC(1));
    must(write(pipes[1], "x", 1) == 1);
    return filch_join(&s);
}

TestSuite(report);

Test(report, who_blocks_is_named_with_the_call)
{
    wanted = "reader";
    for (unsigned workers = 1; workers <= 2; workers++) {
        must(pipe(pipes) == 0);
        filch_config config = {.workers = workers, .on_stall = keep, .relief = 7};
        must(filch_run(&config, end_read_when_told, NULL) == 0);
        must(strcmp(last.task, "reader") == 0 && strstr(last.function, "block_in_read") && last.off_cpu);
        must(strstr(last.where, "in read(2) of fd ") && last.ns >= FILCH_MSEC(10) && last.relief_max == 7 && last.reliefs <= 7);
        must(strstr(last.text, "reader") && strstr(last.text, "block_in_read") && strstr(last.text, "in read(2)"));
        must(!last.backtrace[0] || strstr(last.backtrace, "block_in_read")); /* none where /proc does not tell */
        close(pipes[0]), close(pipes[1]);
    }
}

/* It joins, and so it is parked, while the child is told of; on two workers its stack is not the child's. */
int spawn_and_join(void *arg);

__attribute__((noinline)) int spawn_and_join(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    must(filch_spawn_with(&s, &(filch_task_options){.name = "reader"}, block_in_read, NULL) == 0);
    must(filch_sleep(FILCH_MSEC(1)) == 0); /* another worker takes it, or a relief goes on here */
    return filch_join(&s);
}

static void *write_when_told(void *arg)
{
    must(told_since(0) && write(pipes[1], "x", 1) == 1);
    return arg;
}

Test(report, who_spawned_it_is_told_with_where_that_waits)
{
    wanted = "reader";
    must(pipe(pipes) == 0);
    pthread_t thread = thread_start(write_when_told, NULL);
    must(filch_run(&(filch_config){.workers = 2, .on_stall = keep, .name = "law"}, spawn_and_join, NULL) == 0);
    thread_join(thread);
    must(strstr(last.parent, "spawn_and_join") && strstr(last.parent, ", parked: join") && strstr(last.text, "spawned by "));
    must(!strstr(last.parent, " at ") || strstr(last.parent, " at spawn_and_join")); /* where it can be unwound */
}

static int submitted(void *arg)
{
    atomic_int *ended = arg;
    block_in_read(NULL);
    atomic_store(ended, 1);
    return 0;
}

Test(report, who_comes_from_outside_was_spawned_by_nobody)
{
    filch_runtime *runtime;
    atomic_int ended = 0;
    must(pipe(pipes) == 0 && filch_start(&(filch_config){.workers = 2, .on_stall = keep}, &runtime) == 0);
    must(filch_submit(runtime, submitted, &ended) == 0 && told_since(0) && strcmp(last.parent, "filch_submit or filch_call") == 0);
    must(write(pipes[1], "x", 1) == 1 && filch_stop(runtime, FILCH_NEVER) == 0 && atomic_load(&ended) == 1);
}

Test(report, who_computes_is_told_apart)
{
    filch_config config = {.workers = 1, .on_stall = keep, .stall_after = FILCH_MSEC(2)};
    must(filch_run(&config, compute, NULL) == 0);
    must(atomic_load(&last.told) >= 1 && !last.off_cpu && !last.task[0] && last.ns >= FILCH_MSEC(2) && last.ns < FILCH_SEC(5));
}

static int short_stalls(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        usleep(2000);
        filch_yield();
    }
    return 0;
}

Test(report, short_stalls_are_counted_and_not_told)
{
    filch_runtime *runtime;
    filch_stats stats = {0};
    for (int round = 0; round < 5 && stats.stalls < 10; round++) { /* the monitor may not get a CPU in time */
        must(filch_start(&(filch_config){.workers = 1, .on_stall = keep, .stall_after = FILCH_SEC(5)}, &runtime) == 0);
        must(filch_call(runtime, short_stalls, NULL) == 0);
        filch_stats_read(runtime, &stats);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
    }
    must(atomic_load(&last.told) == 0 && stats.stalls >= 10);
}

static int one_long(void *arg)
{
    (void)arg;
    usleep(300000);
    return 0;
}

Test(report, a_stall_is_told_of_once_however_long)
{
    must(filch_run(&(filch_config){.workers = 1, .on_stall = keep, .stall_after = FILCH_MSEC(1)}, one_long, NULL) == 0);
    must(atomic_load(&last.told) == 1);
}

static int many_long(void *arg)
{
    (void)arg;
    for (int i = 0; i < 60; i++) {
        usleep(10000);
        filch_yield();
    }
    return 0;
}

Test(report, no_more_than_ten_a_second_are_told)
{
    int64_t began = filch_now();
    must(filch_run(&(filch_config){.workers = 1, .on_stall = keep, .stall_after = FILCH_MSEC(1)}, many_long, NULL) == 0);
    must(atomic_load(&last.told) >= 1 && atomic_load(&last.told) <= 1 + (filch_now() - began) / FILCH_MSEC(100));
}

/* The callback may take its time: the others wait for nobody. */
Test(report, a_slow_listener_holds_up_nobody)
{
    atomic_store(&slow_us, 400000);
    must(pipe(pipes) == 0);
    must(filch_run(&(filch_config){.workers = 1, .on_stall = keep, .helpers = 1}, end_read_when_told, NULL) == 0);
    must(atomic_load(&last.told) >= 1);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static int hold(void *arg)
{
    pthread_mutex_t *held = arg;
    int before = atomic_load(&last.told);
    must(pthread_mutex_lock(held) == 0); /* not pinned: who waits for it may keep the worker */
    for (int64_t end = filch_after(FILCH_SEC(10)); atomic_load(&last.told) == before && filch_now() < end;)
        filch_sleep(FILCH_MSEC(5));
    must(pthread_mutex_unlock(held) == 0);
    return 0;
}

static int lock(void *arg)
{
    (void)arg;
    return -pthread_mutex_lock(&mutex) - pthread_mutex_unlock(&mutex);
}

static int hold_and_lock(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    must(filch_spawn_with(&s, &(filch_task_options){.name = "holder"}, hold, &mutex) == 0);
    filch_sleep(FILCH_MSEC(3));
    must(filch_spawn_with(&s, &(filch_task_options){.name = "locker"}, lock, NULL) == 0);
    return filch_join(&s);
}

Test(report, who_waits_for_a_mutex_is_told_with_who_holds_it)
{
    wanted = "locker";
    must(filch_run(&(filch_config){.workers = 2, .on_stall = keep}, hold_and_lock, NULL) == 0);
    must(strstr(last.where, "in futex(2)") && strstr(last.where, "a mutex locked on worker") && strstr(last.where, "holder"));
}

Test(report, what_cannot_be_is_EINVAL)
{
    filch_runtime *runtime;
    must(filch_start(&(filch_config){.on_stall = keep, .model = FILCH_MODEL_11}, &runtime) == -EINVAL);
    must(filch_start(&(filch_config){.stall_after = -1}, &runtime) == -EINVAL);
}

Test(report, it_is_stopped_while_one_is_told)
{
    atomic_store(&slow_us, 100000);
    for (int i = 0; i < 5; i++)
        must(filch_run(&(filch_config){.workers = 1, .on_stall = keep, .stall_after = 1}, one_long, NULL) == 0);
    must(told_since(-1));
}
