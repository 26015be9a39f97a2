/* SPDX-License-Identifier: MIT */
/* The laws of stalled workers: whatever a task does to its carrier, the others go on; what goes on in its place is bounded, exact, and costs nothing once it is over. Also
 * of what a task may say of itself: that it is about to block, that it must stay where it is, that it wants a thread of its own.
 *
 * Each law gives up after ten seconds: what is checked is that the others go on at all, not how soon (filch-bench stall). */
#include "pairs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

static const filch_config every_size[] = {{.workers = 1, .name = "law"}, {.workers = 2, .name = "law"}, {.workers = 8, .name = "law"}};

static __attribute__((noinline)) int my_tid(void)
{
    return (int)syscall(SYS_gettid);
}

/* Kernel threads of this process whose name begins like that. */
static int threads_named(const char *name)
{
    DIR *dir = opendir("/proc/self/task");
    int n = 0;
    must(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[300], comm[64] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        n += read(fd, comm, sizeof comm - 1) > 0 && strncmp(comm, name, strlen(name)) == 0;
        close(fd);
    }
    closedir(dir);
    return n;
}

static int reliefs(void)
{
    return threads_named("law/r");
}

/* ---- ways to stall ---- */

enum way { READ, SPIN, NAP, LOCK, FAULT, ANNOUNCED, WAYS };

enum { MOST = 16, PAGE = 4096 };

/* One law at a time, each in a process of its own. */
static struct {
    enum way way;
    int pipe[2];
    atomic_int inside, places;
    atomic_bool over;
    pthread_mutex_t lock; /* held by a task that is parked */
    filch_event give_lock_back;
    char *pages;
    int faults; /* descriptor; -1: not allowed here */
} stall;

static bool fault_init(void)
{
    stall.faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (stall.faults < 0)
        return false;
    struct uffdio_api api = {.api = UFFD_API};
    stall.pages = mmap(NULL, MOST * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(stall.pages != MAP_FAILED);
    struct uffdio_register range = {.range = {(uintptr_t)stall.pages, MOST * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    return ioctl(stall.faults, UFFDIO_API, &api) == 0 && ioctl(stall.faults, UFFDIO_REGISTER, &range) == 0;
}

/* @return false: this way is not possible here */
static bool stall_init(enum way way)
{
    memset(&stall, 0, sizeof stall);
    stall.way = way;
    must(pipe(stall.pipe) == 0 && pthread_mutex_init(&stall.lock, NULL) == 0);
    stall.faults = -1;
    return way != FAULT || fault_init();
}

static void stall_fini(void)
{
    close(stall.pipe[0]), close(stall.pipe[1]);
    if (stall.faults >= 0) {
        close(stall.faults);
        munmap(stall.pages, MOST * PAGE);
    }
}

static void stall_me(void)
{
    char byte;
    int place = atomic_fetch_add(&stall.places, 1);
    must(place < MOST);
    atomic_fetch_add(&stall.inside, 1);
    switch (stall.way) {
    case READ:
        must(read(stall.pipe[0], &byte, 1) == 1);
        break;
    case SPIN:
        while (!atomic_load(&stall.over))
            ;
        break;
    case NAP:
        while (!atomic_load(&stall.over))
            usleep(20000);
        break;
    case LOCK:
        pthread_mutex_lock(&stall.lock);
        pthread_mutex_unlock(&stall.lock);
        break;
    case FAULT:
        must(((volatile char *)stall.pages)[place * PAGE] == 0);
        break;
    default:
        filch_blocking_enter();
        must(read(stall.pipe[0], &byte, 1) == 1);
        filch_blocking_leave();
    }
    atomic_fetch_sub(&stall.inside, 1);
}

static void end_stalls(void)
{
    static const char bytes[MOST];
    atomic_store(&stall.over, true);
    must(write(stall.pipe[1], bytes, MOST) == MOST);
    filch_event_set(&stall.give_lock_back);
    if (stall.way == FAULT) {
        struct uffdio_zeropage all = {.range = {(uintptr_t)stall.pages, MOST * PAGE}};
        must(ioctl(stall.faults, UFFDIO_ZEROPAGE, &all) == 0);
    }
}

static int hold_lock_while_parked(void *arg)
{
    pthread_mutex_lock(&stall.lock);
    atomic_fetch_add((atomic_int *)arg, 1);
    must(filch_event_wait(&stall.give_lock_back) == 0);
    pthread_mutex_unlock(&stall.lock); /* perhaps by another thread: a plain mutex doesn't mind */
    return 0;
}

/* ---- the others ---- */

enum { ROUNDS = 5 };

struct others {
    atomic_int begun, done, count;
    atomic_bool now; /* all are stalled: rounds count from here on */
    int unix_[2], pipe[2], blockers;
    filch_chan *there, *back;
    atomic_int late; /* unstarted when all stalled, and has run since */
    filch_runtime *runtime;
};

/* Counts a round of one of the others. @return whether it goes on */
static bool again(struct others *others, int *rounds)
{
    if (*rounds < 0) {
        *rounds = 0;
        atomic_fetch_add(&others->begun, 1);
    } else if (atomic_load(&others->now)) {
        ++*rounds;
    }
    if (*rounds < ROUNDS)
        return true;
    atomic_fetch_add(&others->done, 1);
    return false;
}

static int sleeps(void *arg)
{
    for (int rounds = -1; again(arg, &rounds);)
        must(filch_sleep(FILCH_MSEC(1)) == 0);
    return 0;
}

/* Politely: hundreds of thousands of yields would show nothing more. */
static int yields(void *arg)
{
    for (int rounds = -1; again(arg, &rounds); filch_sleep(300000))
        for (int i = 0; i < 10; i++)
            filch_yield();
    return 0;
}

static int calls_there(void *arg)
{
    struct others *others = arg;
    int64_t value = 1;
    for (int rounds = -1; again(arg, &rounds); must(filch_sleep(200000) == 0)) {
        must(filch_chan_send(others->there, &value) == 0 && filch_chan_recv(others->back, &value) == 0);
    }
    filch_chan_close(others->there);
    return 0;
}

static int answers(void *arg)
{
    struct others *others = arg;
    int64_t value;
    while (filch_chan_recv(others->there, &value) == 0)
        must(filch_chan_send(others->back, &value) == 0);
    return 0;
}

static int echoes(void *arg)
{
    struct others *others = arg;
    char byte;
    while (filch_recv(others->unix_[1], &byte, 1, 0) == 1)
        must(filch_send(others->unix_[1], &byte, 1, 0) == 1);
    return 0;
}

static int asks_the_echo(void *arg)
{
    struct others *others = arg;
    char byte = 'x';
    for (int rounds = -1; again(arg, &rounds); must(filch_sleep(200000) == 0))
        must(filch_send(others->unix_[0], &byte, 1, 0) == 1 && filch_recv(others->unix_[0], &byte, 1, 0) == 1);
    must(filch_shutdown(others->unix_[0], SHUT_WR) == 0);
    return 0;
}

/* Bytes come from a plain thread. */
static int reads(void *arg)
{
    char byte;
    for (int rounds = -1; again(arg, &rounds);)
        must(filch_read(((struct others *)arg)->pipe[0], &byte, 1) == 1);
    return 0;
}

static int comes_late(void *arg)
{
    atomic_fetch_add(&((struct others *)arg)->late, 1);
    return 0;
}

/* Spawns something that cannot begin before somebody else comes, and stalls. */
static int stall_before_a_child(void *arg)
{
    FILCH_SCOPE(s);
    must(filch_spawn(&s, comes_late, arg) == 0);
    stall_me();
    return filch_join(&s);
}

static int others_and_stalls(void *arg)
{
    struct others *others = arg;
    filch_fn *const kinds[] = {sleeps, sleeps, yields, yields, calls_there, asks_the_echo, reads};
    FILCH_SCOPE(s);
    must(filch_spawn(&s, answers, others) == 0 && filch_spawn(&s, echoes, others) == 0);
    for (size_t i = 0; i < LENGTH(kinds); i++)
        must(filch_spawn(&s, kinds[i], others) == 0);
    if (stall.way == LOCK)
        must(filch_spawn(&s, hold_lock_while_parked, &others->begun) == 0);
    atomic_store(&others->count, LENGTH(kinds));
    for (int64_t end = filch_after(FILCH_SEC(10)); atomic_load(&others->begun) < (int)LENGTH(kinds) + (stall.way == LOCK);) {
        must(filch_now() < end);
        must(filch_sleep(100000) == 0);
    }
    for (int i = 0; i < others->blockers; i++)
        must(filch_spawn(&s, stall_before_a_child, others) == 0);
    return filch_join(&s);
}

static int answer_seventeen(void *arg)
{
    filch_yield();
    return arg ? 17 : 0;
}

static int count_one(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static void await_while_writing(atomic_int *flag, int value, int fd)
{
    for (int64_t end = filch_after(FILCH_SEC(10)); atomic_load(flag) < value; usleep(1000)) {
        must(filch_now() < end);
        must(write(fd, "x", 1) == 1);
    }
}

static void all_stall(const filch_config *config, enum way way)
{
    if (!stall_init(way))
        return;
    struct others others = {.blockers = (int)config->workers};
    must(pipe(others.pipe) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, others.unix_) == 0);
    must(filch_chan_new(sizeof(int64_t), 0, &others.there) == 0 && filch_chan_new(sizeof(int64_t), 0, &others.back) == 0);
    must(filch_start(config, &others.runtime) == 0);
    must(filch_submit(others.runtime, others_and_stalls, &others) == 0);
    await_while_writing(&stall.inside, others.blockers, others.pipe[1]);
    atomic_store(&others.now, true);
    await_while_writing(&others.done, atomic_load(&others.count), others.pipe[1]);
    await_count(&others.late, others.blockers);
    atomic_int counted = 0;
    for (int i = 0; i < 20; i++)
        must(filch_submit(others.runtime, count_one, &counted) == 0);
    for (int i = 0; i < 5; i++)
        must(filch_call(others.runtime, answer_seventeen, &others) == 17);
    await_count(&counted, 20);
    must(atomic_load(&stall.inside) == others.blockers);
    end_stalls();
    must(filch_stop(others.runtime, FILCH_NEVER) == 0);
    must(atomic_load(&stall.inside) == 0 && atomic_load(&others.late) == others.blockers);
    filch_chan_free(others.there), filch_chan_free(others.back);
    for (int i = 0; i < 2; i++)
        close(others.pipe[i]), close(others.unix_[i]);
    stall_fini();
}

static void all_stall_everywhere(enum way way)
{
    FOR_EACH_CONFIG(config, every_size)
    all_stall(config, way);
}

Test(stall, the_others_go_on_while_all_workers_are_in_a_read, .timeout = 120)
{
    all_stall_everywhere(READ);
}

Test(stall, the_others_go_on_while_all_workers_compute, .timeout = 120)
{
    all_stall_everywhere(SPIN);
}

Test(stall, the_others_go_on_while_all_workers_sleep_in_the_kernel, .timeout = 120)
{
    all_stall_everywhere(NAP);
}

Test(stall, the_others_go_on_while_all_workers_wait_for_a_thread_lock_of_a_parked_task, .timeout = 120)
{
    all_stall_everywhere(LOCK);
}

Test(stall, the_others_go_on_while_all_workers_are_in_a_page_fault, .timeout = 120)
{
    all_stall_everywhere(FAULT);
}

Test(stall, the_others_go_on_while_all_workers_block_and_have_said_so, .timeout = 120)
{
    all_stall_everywhere(ANNOUNCED);
}

/* ---- how many ---- */

enum { BLOCKERS = 12 };

static int stall_and_count(void *arg)
{
    stall_me();
    return count_one(arg);
}

struct crowd {
    struct others others;
    atomic_int ended;
};

static int crowd_of_stalls(void *arg)
{
    struct crowd *crowd = arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 3; i++)
        must(filch_spawn(&s, sleeps, &crowd->others) == 0);
    for (int64_t end = filch_after(FILCH_SEC(10)); atomic_load(&crowd->others.begun) < 3; must(filch_sleep(100000) == 0))
        must(filch_now() < end);
    for (int i = 0; i < BLOCKERS; i++)
        must(filch_spawn(&s, stall_and_count, &crowd->ended) == 0);
    return filch_join(&s);
}

/* Twelve stall, and there are two reliefs at most: the last one is kept for who has begun. */
static void more_stalls_than_reliefs(enum way way, unsigned workers, unsigned relief)
{
    filch_runtime *runtime;
    struct crowd crowd = {0};
    must(stall_init(way));
    must(filch_start(&(filch_config){.workers = workers, .relief = relief, .name = "law"}, &runtime) == 0);
    must(filch_submit(runtime, crowd_of_stalls, &crowd) == 0);
    await_count(&stall.inside, (int)workers);
    for (int i = 0; i < 30; i++, usleep(3000))
        must(threads_named("law/") <= (int)(workers + relief) + 1);
    atomic_store(&crowd.others.now, true);
    await_count(&crowd.others.done, 3);
    must(threads_named("law/") <= (int)(workers + relief) + 1);
    end_stalls();
    must(filch_stop(runtime, FILCH_NEVER) == 0);
    must(atomic_load(&crowd.ended) == BLOCKERS);
    stall_fini();
}

Test(stall, there_are_never_more_reliefs_than_allowed_and_the_last_is_for_who_has_begun, .timeout = 60)
{
    more_stalls_than_reliefs(READ, 2, 2);
    more_stalls_than_reliefs(READ, 1, 3);
    more_stalls_than_reliefs(SPIN, 2, 2);
    more_stalls_than_reliefs(NAP, 2, 2);
}

Test(stall, blocking_that_is_announced_does_not_take_the_last_relief_either, .timeout = 60)
{
    for (int i = 0; i < 10; i++) {
        more_stalls_than_reliefs(ANNOUNCED, 2, 2);
        more_stalls_than_reliefs(ANNOUNCED, 1, 3);
    }
}

static int stall_for_a_while(void *arg)
{
    usleep(50000);
    return count_one(arg);
}

static int some_stall_for_a_while(void *arg)
{
    FILCH_SCOPE(s);
    for (int i = 0; i < 4; i++)
        must(filch_spawn(&s, stall_for_a_while, arg) == 0);
    must(filch_sleep(FILCH_MSEC(5)) == 0);
    return filch_join(&s);
}

Test(stall, there_are_none_where_none_are_wanted)
{
    static const filch_config without[] = {{.workers = 1, .relief = FILCH_RELIEF_NONE, .name = "law"},
                                           {.workers = 2, .relief = FILCH_RELIEF_NONE, .name = "law"},
                                           {.model = FILCH_MODEL_N1, .name = "law"},
                                           {.model = FILCH_MODEL_N1, .relief = 5, .name = "law"}};
    FOR_EACH_CONFIG(config, without)
    {
        filch_runtime *runtime;
        atomic_int ended = 0;
        must(filch_start(config, &runtime) == 0);
        must(filch_submit(runtime, some_stall_for_a_while, &ended) == 0);
        usleep(30000);
        must(reliefs() == 0);
        must(threads_named("law/") <= (int)filch_workers(runtime) + 1);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
        must(atomic_load(&ended) == 4);
    }
}

Test(stall, a_number_of_reliefs_that_cannot_be_is_refused)
{
    filch_runtime *runtime;
    must(filch_start(&(filch_config){.workers = 1, .relief = 1025}, &runtime) == -EINVAL);
    must(filch_start(&(filch_config){.workers = 1, .relief = 1024}, &runtime) == 0);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
}

/* ---- a thousand ---- */

static void compute_for(int64_t ns)
{
    for (int64_t end = filch_after(ns); filch_now() < end;)
        ;
}

struct many {
    int stalls;
    atomic_int ended, slept, next;
    atomic_bool over;
};

static int stall_briefly(void *arg)
{
    struct many *many = arg;
    switch (atomic_fetch_add(&many->next, 1) % 4) {
    case 0:
        compute_for(FILCH_MSEC(1));
        break;
    case 1:
        usleep(1500);
        break;
    case 2:
        filch_blocking_enter();
        usleep(1000);
        filch_blocking_leave();
        break;
    default:
        must(filch_sleep(FILCH_MSEC(1)) == 0);
        compute_for(FILCH_MSEC(1));
    }
    return count_one(&many->ended);
}

static int sleep_all_the_time(void *arg)
{
    struct many *many = arg;
    while (!atomic_load(&many->over)) {
        must(filch_sleep(500000) == 0);
        atomic_fetch_add(&many->slept, 1);
    }
    return 0;
}

static int many_stalls(void *arg)
{
    struct many *many = arg;
    FILCH_SCOPE(sleepers);
    for (int i = 0; i < 3; i++)
        must(filch_spawn(&sleepers, sleep_all_the_time, many) == 0);
    for (int left = many->stalls; left > 0; left -= 50) {
        FILCH_SCOPE(s);
        for (int i = 0; i < 50; i++)
            must(filch_spawn(&s, stall_briefly, many) == 0);
        must(filch_join(&s) == 0);
    }
    atomic_store(&many->over, true);
    return filch_join(&sleepers);
}

Test(stall, after_a_thousand_short_stalls_everything_has_run_once_and_there_are_no_more_threads_than_may_be, .timeout = 60)
{
    FOR_EACH_CONFIG(config, every_size)
    {
        filch_config bounded = *config;
        filch_runtime *runtime;
        struct many many = {.stalls = 1000};
        bounded.relief = 4;
        must(filch_start(&bounded, &runtime) == 0);
        must(filch_submit(runtime, many_stalls, &many) == 0);
        while (!atomic_load(&many.over)) {
            must(threads_named("law/") <= (int)config->workers + 4 + 1);
            usleep(20000);
        }
        must(threads_named("law/") <= (int)config->workers + 4 + 1);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
        must(atomic_load(&many.ended) == 1000 && atomic_load(&many.slept) > 0);
        must(threads_named("law/") == 0);
    }
}

/* ---- when it is over ---- */

static int64_t process_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static filch_runtime *start_with_reliefs(const filch_config *config)
{
    filch_runtime *runtime;
    struct many many = {.stalls = 50};
    must(filch_start(config, &runtime) == 0);
    must(filch_call(runtime, many_stalls, &many) == 0);
    must(reliefs() > 0);
    return runtime;
}

Test(stall, reliefs_that_rest_use_no_cpu, .timeout = 60)
{
    FOR_EACH_CONFIG(config, every_size)
    {
        filch_runtime *runtime = start_with_reliefs(config);
        int64_t used = INT64_MAX;
        usleep(100000);
        for (int i = 0; i < 5 && used > FILCH_MSEC(3); i++) { /* another program's noise is not ours */
            int64_t before = process_cpu();
            usleep(300000);
            used = process_cpu() - before;
        }
        must(used <= FILCH_MSEC(3));
        must(reliefs() > 0);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
    }
}

static int stop_me(void *arg)
{
    stall_me();
    return count_one(arg);
}

static void *end_stalls_later(void *arg)
{
    usleep(30000);
    end_stalls();
    return arg;
}

static int sleep_for_ever(void *arg)
{
    must(filch_sleep(FILCH_SEC(1000)) == -ECANCELED);
    return count_one(arg);
}

Test(stall, a_runtime_is_stopped_while_reliefs_are_out, .timeout = 60)
{
    for (enum way way = READ; way < WAYS; way++)
        FOR_EACH_CONFIG(config, every_size)
        {
            filch_runtime *runtime;
            atomic_int ended = 0, slept = 0;
            if (!stall_init(way) || way == LOCK)
                continue;
            must(filch_start(config, &runtime) == 0);
            for (unsigned i = 0; i < config->workers + 1; i++)
                must(filch_submit(runtime, stop_me, &ended) == 0);
            must(filch_submit(runtime, sleep_for_ever, &slept) == 0);
            await_count(&stall.inside, (int)config->workers);
            pthread_t thread = thread_start(end_stalls_later, NULL);
            must(filch_stop(runtime, filch_after(FILCH_MSEC(10))) == 0);
            thread_join(thread);
            must(atomic_load(&ended) == (int)config->workers + 1 && atomic_load(&slept) == 1);
            must(threads_named("law/") == 0);
            stall_fini();
        }
}

Test(stall, what_reliefs_do_is_counted_and_dumped)
{
    struct many many = {.stalls = 200};
    filch_runtime *runtime;
    filch_stats before, after;
    char text[8192];
    must(filch_start(&every_size[0], &runtime) == 0);
    filch_stats_read(runtime, &before);
    must(filch_call(runtime, many_stalls, &many) == 0);
    filch_stats_read(runtime, &after);
    must(before.stalls == 0 && after.stalls > 0 && after.relief_calls > 0 && after.reliefs >= 1 && after.relief_refused == 0);
    must(after.dispatched - before.dispatched >= 100 && after.parks > before.parks && after.timers - before.timers >= 50);
    int ends[2];
    must(pipe(ends) == 0 && filch_dump(runtime, ends[1]) == 0);
    ssize_t n = read(ends[0], text, sizeof text - 1);
    must(n > 0);
    text[n] = 0;
    must(strstr(text, "runtime law: 1 workers") && strstr(text, "worker 0 ") && strstr(text, "relief 1 "));
    close(ends[0]), close(ends[1]);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
}

/* No descriptors are left for a relief's ring: nobody goes on, but nothing is used up by trying, either. */
static int stall_without_descriptors(void)
{
    filch_runtime *runtime;
    filch_stats before, after;
    atomic_int ended = 0;
    must(stall_init(READ));
    must(filch_start(&every_size[1], &runtime) == 0);
    for (int i = 0; i < 3; i++)
        must(filch_submit(runtime, stop_me, &ended) == 0);
    limit(RLIMIT_NOFILE, 3);
    await_count(&stall.inside, 2);
    usleep(50000);
    filch_stats_read(runtime, &before);
    usleep(500000);
    filch_stats_read(runtime, &after);
    must(after.stacks <= before.stacks + 8);
    limit(RLIMIT_NOFILE, 1024);
    await_count(&stall.inside, 3);
    end_stalls();
    must(filch_stop(runtime, FILCH_NEVER) == 0);
    return atomic_load(&ended) - 3;
}

Test(stall, without_descriptors_for_a_relief_nothing_is_used_up, .timeout = 60)
{
    must(in_child(stall_without_descriptors) == 0);
}

/* ---- deadlocks ---- */

static struct {
    atomic_int count;
    filch_event event;
} told;

static void hear(filch_runtime *runtime, const char *report)
{
    (void)runtime;
    must(strstr(report, "deadlock in runtime law"));
    atomic_fetch_add(&told.count, 1);
    filch_event_set(&told.event);
}

static filch_config asking(const filch_config *config)
{
    filch_config asks = *config;
    asks.on_deadlock = hear;
    memset(&told, 0, sizeof told);
    return asks;
}

static int wait_for_the_report(void *arg)
{
    (void)arg;
    return filch_event_wait(&told.event);
}

static int compute_for_a_while(void *arg)
{
    compute_for((intptr_t)arg);
    return 0;
}

static int nap_for_a_while(void *arg)
{
    usleep((useconds_t)((intptr_t)arg / 1000));
    return 0;
}

static int nap_announced(void *arg)
{
    filch_blocking_enter();
    usleep((useconds_t)((intptr_t)arg / 1000));
    filch_blocking_leave();
    return 0;
}

static int sleep_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        must(filch_sleep(500000) == 0);
    return 0;
}

static filch_fn *const busy[] = {compute_for_a_while, nap_for_a_while, nap_announced};

struct quarrel {
    filch_fn *busy;
    int64_t length;
    int times;
};

/* Some stall while others sleep, so that reliefs come; they end, and what is left waits for the report. */
static int stall_then_deadlock(void *arg)
{
    struct quarrel *quarrel = arg;
    int workers = (int)filch_workers(filch_current());
    for (int i = 0; i < quarrel->times; i++) {
        FILCH_SCOPE(s);
        filch_event_reset(&told.event);
        must(filch_spawn(&s, wait_for_the_report, NULL) == 0);
        for (int k = 0; k < workers; k++) {
            must(filch_spawn(&s, sleep_some, NULL) == 0);
            must(filch_spawn(&s, quarrel->busy, (void *)(intptr_t)quarrel->length) == 0);
        }
        must(filch_join(&s) == 0);
        must(atomic_load(&told.count) == i + 1);
    }
    return 0;
}

Test(stall, a_deadlock_is_told_of_after_reliefs_have_come_and_gone, .timeout = 60)
{
    static const int64_t lengths[] = {1000000, 8000000, 30000000};
    FOR_EACH_CONFIG(config, every_size)
    for (size_t way = 0; way < LENGTH(busy); way++)
        for (size_t i = 0; i < LENGTH(lengths); i++) {
            filch_config asks = asking(config);
            must(filch_run(&asks, stall_then_deadlock, &(struct quarrel){busy[way], lengths[i], 3}) == 0);
        }
}

static int wait_for_event(void *arg)
{
    return filch_event_wait(arg);
}

struct setting {
    filch_fn *busy;
    filch_event event;
};

static int stall_then_set(void *arg)
{
    struct setting *setting = arg;
    setting->busy((void *)(intptr_t)FILCH_MSEC(30));
    filch_event_set(&setting->event);
    return 0;
}

static int wait_for_one_who_stalls(void *arg)
{
    for (int i = 0; i < 5; i++) {
        struct setting setting = {.busy = *(filch_fn *const *)arg};
        FILCH_SCOPE(s);
        for (int k = 0; k < 3; k++)
            must(filch_spawn(&s, wait_for_event, &setting.event) == 0);
        must(filch_spawn(&s, sleep_some, NULL) == 0 && filch_spawn(&s, stall_then_set, &setting) == 0);
        must(filch_join(&s) == 0);
    }
    return 0;
}

Test(stall, who_is_stalled_may_yet_act, .timeout = 60)
{
    FOR_EACH_CONFIG(config, every_size)
    for (size_t way = 0; way < LENGTH(busy); way++) {
        filch_config asks = asking(config);
        must(filch_run(&asks, wait_for_one_who_stalls, (void *)&busy[way]) == 0);
        must(atomic_load(&told.count) == 0);
    }
}

static int wait_and_isolated(void *arg)
{
    FILCH_SCOPE(s);
    must(filch_spawn(&s, wait_for_the_report, NULL) == 0 && filch_spawn(&s, wait_for_the_report, NULL) == 0);
    must(filch_spawn_with(&s, &(filch_task_options){.isolated = true}, nap_for_a_while, arg) == 0);
    return filch_join(&s);
}

Test(stall, a_deadlock_is_told_of_after_an_isolated_task_has_ended, .timeout = 60)
{
    FOR_EACH_CONFIG(config, every_size)
    for (int i = 0; i < 10; i++) {
        filch_config asks = asking(config);
        must(filch_run(&asks, wait_and_isolated, (void *)(intptr_t)(i * FILCH_MSEC(3))) == 0);
        must(atomic_load(&told.count) == 1);
    }
}

Test(stall, a_deadlock_is_told_of_on_the_smallest_stacks)
{
    FOR_EACH_CONFIG(config, every_size)
    {
        filch_config asks = asking(config);
        asks.stack_size = 16384;
        must(filch_run(&asks, stall_then_deadlock, &(struct quarrel){nap_for_a_while, FILCH_MSEC(2), 5}) == 0);
    }
}

/* A timer that fires on a relief that rests, again and again, while the others come to a rest: there is always one who may go on. */
static int pinned_naps(void *arg)
{
    filch_pin();
    for (int i = 0; i < 100; i++) {
        must(filch_sleep(300000 + (i & 7) * 50000) == 0);
        filch_event_set(arg);
    }
    filch_unpin();
    return 0;
}

static int pinned_to_whoever(void *arg)
{
    (void)arg;
    filch_event event = {0};
    FILCH_SCOPE(s);
    for (int i = 0; i < 4; i++)
        must(filch_spawn(&s, pinned_naps, &event) == 0);
    for (int i = 0; i < 4; i++)
        must(filch_spawn(&s, nap_for_a_while, (void *)(intptr_t)FILCH_MSEC(3)) == 0);
    for (int i = 0; i < 50; i++) {
        must(filch_event_wait(&event) == 0);
        filch_event_reset(&event);
    }
    return filch_join(&s);
}

Test(stall, who_is_pinned_to_a_relief_that_rests_may_yet_act, .timeout = 60)
{
    FOR_EACH_CONFIG(config, every_size)
    for (int i = 0; i < 5; i++) {
        filch_config asks = asking(config);
        must(filch_run(&asks, pinned_to_whoever, NULL) == 0);
        must(atomic_load(&told.count) == 0);
    }
}

/* ---- pinned ---- */

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

Test(stall, a_pinned_task_stays_on_its_thread_whatever_it_waits_for, .timeout = 60)
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

Test(stall, many_may_be_pinned_and_often)
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

Test(stall, a_pinned_joiner_is_woken_by_whoever_ends_last, .timeout = 60)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        atomic_int joined = 0;
        must(filch_run(config, several_join_pinned, &joined) == 0);
        must(atomic_load(&joined) == 4);
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

Test(stall, who_is_pinned_on_a_relief_goes_on_there_when_it_has_been_dismissed, .timeout = 60)
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

/* ---- isolated ---- */

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

Test(stall, an_isolated_task_has_a_thread_of_its_own_and_does_what_any_task_does, .timeout = 60)
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

Test(stall, two_hundred_isolated_tasks_at_once, .timeout = 60)
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

Test(stall, an_isolated_task_has_locals_and_inherits)
{
    FOR_EACH_CONFIG(config, every_size)
    {
        int value;
        atomic_store(&destroyed, 0);
        must(filch_run(config, alone_with_locals, &value) == 0);
        must(atomic_load(&destroyed) == 10);
    }
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

Test(stall, an_isolated_task_is_cancelled_and_its_failure_cancels)
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

Test(stall, isolated_tasks_go_on_while_all_workers_are_stalled, .timeout = 60)
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

/* ---- politely ---- */

static int sleep_ten_times(void *arg)
{
    for (int i = 0; i < 10; i++)
        must(filch_sleep(FILCH_MSEC(1)) == 0);
    return count_one(arg);
}

static int long_but_polite(void *arg)
{
    atomic_int slept = 0;
    (void)arg;
    FILCH_SCOPE(s);
    must(filch_spawn(&s, sleep_ten_times, &slept) == 0);
    filch_yield();
    for (int64_t end = filch_after(FILCH_SEC(10)); atomic_load(&slept) == 0; filch_yield_if_needed())
        must(filch_now() < end);
    return filch_join(&s);
}

Test(stall, who_yields_if_needed_lets_a_sleeper_wake)
{
    static const filch_config alone[] = {{.workers = 1, .relief = FILCH_RELIEF_NONE}, {.workers = 1}, {.model = FILCH_MODEL_N1}};
    FOR_EACH_CONFIG(config, alone)
    must(filch_run(config, long_but_polite, NULL) == 0);
    filch_yield_if_needed();
}
