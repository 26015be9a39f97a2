/* SPDX-License-Identifier: MIT */
/* The laws of the report of stalls: who is told, of what, and when not. */
#include "api.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    atomic_int told;
    atomic_bool busy;
    int64_t ns;
    uint64_t unreported, stalls;
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
    filch_stats stats;
    filch_stats_read(runtime, &stats);
    last.ns = stall->ns;
    last.unreported = stall->unreported;
    last.stalls = stats.stalls;
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

/* They wait, each in its own way, and so are parked, while the child is told of; on two workers their stacks are not the child's. */
static filch_chan *channel;
static filch_event event;

static int spawn_reader(filch_scope *s)
{
    must(filch_spawn_with(s, &(filch_task_options){.name = "reader"}, block_in_read, NULL) == 0);
    return filch_sleep(FILCH_MSEC(1)); /* another worker takes it, or a relief goes on here */
}

int spawn_and_join(void *arg);
int spawn_and_recv(void *arg);
int spawn_and_wait(void *arg);

__attribute__((noinline)) int spawn_and_join(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    must(spawn_reader(&s) == 0);
    return filch_join(&s);
}

__attribute__((noinline)) int spawn_and_recv(void *arg)
{
    FILCH_SCOPE(s);
    must(spawn_reader(&s) == 0);
    must(filch_chan_recv(channel, arg) == 0);
    return filch_join(&s);
}

__attribute__((noinline)) int spawn_and_wait(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    must(spawn_reader(&s) == 0);
    must(filch_event_wait(&event) == 0);
    return filch_join(&s);
}

static void *write_when_told(void *arg)
{
    int before = *(int *)arg;
    must(told_since(before) && write(pipes[1], "x", 1) == 1);
    must(filch_chan_send(channel, &before) == 0);
    filch_event_set(&event);
    return arg;
}

/* Where a call of the interface has ended in a jump to what waits, only the call itself tells. */
Test(report, who_spawned_it_is_told_with_where_that_waits)
{
    static const struct {
        filch_fn *parent;
        const char *name, *why, *at;
    } ways[] = {
        {spawn_and_join, "spawn_and_join", ", parked: join", " at spawn_and_join+"},
        {spawn_and_recv, "spawn_and_recv", ", parked: receive", " at spawn_and_recv+"},
        {spawn_and_wait, "spawn_and_wait", ", parked: event", " at spawn_and_wait+"},
    };
    wanted = "reader";
    must(filch_chan_new(sizeof(int), 1, &channel) == 0);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        int before = atomic_load(&last.told), got = -1;
        filch_event_reset(&event);
        must(pipe(pipes) == 0);
        pthread_t thread = thread_start(write_when_told, &before);
        must(filch_run(&(filch_config){.workers = 2, .on_stall = keep, .name = "law"}, ways[i].parent, &got) == 0);
        thread_join(thread);
        must(strstr(last.parent, ways[i].name) && strstr(last.parent, ways[i].why) && strstr(last.text, "spawned by "));
        must(strstr(last.parent, " at ") ? strstr(last.parent, ways[i].at) != NULL : !FL_LIBDW);
        must(got == before || filch_chan_recv(channel, &got) == 0);
        close(pipes[0]), close(pipes[1]);
    }
    filch_chan_free(channel);
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

Test(report, one_that_is_told_of_is_not_among_those_that_were_not)
{
    must(pipe(pipes) == 0);
    must(filch_run(&(filch_config){.workers = 1, .on_stall = keep}, end_read_when_told, NULL) == 0);
    must(atomic_load(&last.told) >= 1 && last.unreported < last.stalls);
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

/* ---- on a relief that rests ---- */

static struct {
    atomic_int ready;
    filch_event go, ended;
    int64_t began;
} pinned;

static int stall_where_it_is_pinned(void *arg)
{
    (void)arg;
    filch_pin();
    atomic_store(&pinned.ready, (int)syscall(SYS_gettid));
    must(filch_event_wait(&pinned.go) == 0);
    pinned.began = filch_now();
    int before = atomic_load(&last.told);
    for (int64_t end = filch_after(FILCH_SEC(5)); atomic_load(&last.told) == before && filch_now() < end;)
        usleep(20000);
    filch_unpin();
    filch_event_set(&pinned.ended);
    return 0;
}

/* The only worker blocks until a relief has come, and has that task; then both have nothing to do. */
static int pin_one_to_a_relief(void *arg)
{
    FILCH_SCOPE(s);
    filch_pin();
    must(filch_spawn_with(&s, &(filch_task_options){.name = "pinned"}, stall_where_it_is_pinned, NULL) == 0);
    filch_blocking_enter();
    await_count(&pinned.ready, 1);
    filch_blocking_leave();
    must(atomic_load(&pinned.ready) != (int)syscall(SYS_gettid));
    must(filch_sleep(FILCH_MSEC(200)) == 0);
    atomic_store((atomic_int *)arg, 1);
    must(filch_event_wait(&pinned.ended) == 0);
    filch_unpin();
    return filch_join(&s);
}

static void *wake_the_pinned(void *arg)
{
    await_count(arg, 1);
    usleep(500000);
    filch_event_set(&pinned.go);
    return NULL;
}

Test(report, who_is_pinned_to_a_relief_that_rests_is_told_of_and_not_its_rest)
{
    atomic_int ready = 0;
    wanted = "pinned";
    pthread_t thread = thread_start(wake_the_pinned, &ready);
    must(filch_run(&(filch_config){.workers = 1, .on_stall = keep}, pin_one_to_a_relief, &ready) == 0);
    thread_join(thread);
    must(atomic_load(&last.told) == 1 && last.ns <= filch_now() - pinned.began + FILCH_MSEC(100) && last.ns < FILCH_SEC(5));
}

/* ---- one that comes back while it is looked at ---- */

static struct {
    int faults;
    char *page;
    atomic_int asked;
    atomic_bool gone;
    uint64_t junk[512];
} back;

/* Whoever reads the name waits until the task that had it is gone. */
static void *give_the_name(void *arg)
{
    struct uffd_msg message;
    must(read(back.faults, &message, sizeof message) == sizeof message);
    atomic_store(&back.asked, 1);
    while (!atomic_load(&back.gone))
        usleep(1000);
    struct uffdio_zeropage zero = {.range = {(uintptr_t)back.page, 4096}};
    must(ioctl(back.faults, UFFDIO_ZEROPAGE, &zero) == 0);
    return arg;
}

static int nap_until_asked(void *arg)
{
    (void)arg;
    for (int64_t end = filch_after(FILCH_SEC(10)); !atomic_load(&back.asked) && filch_now() < end;)
        usleep(1000);
    return atomic_load(&back.asked) ? 0 : -ETIMEDOUT;
}

__attribute__((noinline)) static int spawn_one_that_is_asked_for(void)
{
    volatile char deeper[2048];
    deeper[0] = 0;
    FILCH_SCOPE(s);
    must(filch_spawn_with(&s, &(filch_task_options){.name = back.page}, nap_until_asked, NULL) == 0);
    return filch_join(&s) + deeper[0];
}

/* Where its scope was stands what leads nowhere. */
__attribute__((noinline)) static void overwrite_its_scope(void)
{
    uint64_t *volatile there[2000];
    for (size_t i = 0; i < LENGTH(there); i++)
        there[i] = back.junk + 64;
    atomic_store(&back.gone, true);
    usleep(300000);
    must(there[0] == there[1]);
}

static int end_while_it_is_looked_at(void *arg)
{
    (void)arg;
    int r = spawn_one_that_is_asked_for();
    overwrite_its_scope();
    return r;
}

Test(report, who_comes_back_while_it_is_looked_at_leaves_nothing_to_stumble_over)
{
    struct uffdio_api api = {.api = UFFD_API};
    memset(back.junk, 0x5a, sizeof back.junk);
    back.faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC); /* also for what the kernel reads */
    back.page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register range = {.range = {(uintptr_t)back.page, 4096}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (back.faults < 0 || ioctl(back.faults, UFFDIO_API, &api) < 0 || ioctl(back.faults, UFFDIO_REGISTER, &range) < 0)
        cr_skip_test("no userfaultfd(2) for reads by the kernel here");
    pthread_t thread = thread_start(give_the_name, NULL);
    must(filch_run(&(filch_config){.workers = 1, .on_stall = keep}, end_while_it_is_looked_at, NULL) == 0);
    thread_join(thread);
}

/* ---- what a listener may not do ---- */

static _Atomic(int) refusal;

static void stop_from_within(filch_runtime *runtime, const filch_stall *stall)
{
    (void)stall;
    atomic_store(&refusal, filch_stop(runtime, FILCH_NEVER));
    atomic_fetch_add(&last.told, 1);
}

static int stop_where_calls_block(void *arg)
{
    return filch_stop(arg, FILCH_NEVER);
}

static int blocks(void *arg)
{
    return filch_blocking(stop_where_calls_block, arg);
}

Test(report, a_listener_cannot_stop_the_runtime)
{
    filch_runtime *runtime;
    must(filch_start(&(filch_config){.workers = 1, .on_stall = stop_from_within}, &runtime) == 0);
    must(filch_submit(runtime, one_long, NULL) == 0 && told_since(0));
    must(atomic_load(&refusal) == -EDEADLK);
    must(filch_call(runtime, blocks, runtime) == -EDEADLK);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
}
