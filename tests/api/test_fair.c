/* SPDX-License-Identifier: MIT */
/* The laws of taking turns: no task keeps another from running for ever by being busy with the scheduler, and a task that keeps its worker stalls only
 * itself.
 *
 * Each law has tasks that would go on for ever unless somebody else gets a turn, and gives up after ten seconds: what is checked is that the turn comes at all, not
 * when. What is not tested here: how long a turn takes (filch-bench yield, timers, pingpong). */
#include "api.h"

#include <netinet/in.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Long enough for any machine; a law that needs so long is broken. */
static bool patient(int64_t start)
{
    return filch_now() - start < FILCH_SEC(10);
}

/* ---- the oldest ---- */

static atomic_int old_one_ran;

static int old_one(void *arg)
{
    (void)arg;
    atomic_store(&old_one_ran, 1);
    return 0;
}

/* Forks and joins that never park, and never come down to what was spawned before. */
static int churn(void *arg)
{
    intptr_t depth = (intptr_t)arg;
    if (depth == 0)
        return 0;
    FILCH_SCOPE(s);
    must(filch_spawn(&s, churn, (void *)(depth - 1)) == 0);
    must(churn((void *)(depth - 1)) == 0);
    return filch_join(&s);
}

static int churn_until_the_old_one_ran(void *arg)
{
    (void)arg;
    atomic_store(&old_one_ran, 0);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, old_one, NULL) == 0);
    for (int64_t end = filch_after(FILCH_SEC(10)); atomic_load(&old_one_ran) == 0;) {
        must(churn((void *)10) == 0);
        must(filch_now() < end);
    }
    return filch_join(&s);
}

Test(fair, newer_tasks_do_not_keep_an_older_one_waiting_for_ever)
{
    must(filch_run(&(filch_config){.workers = 1}, churn_until_the_old_one_ran, NULL) == 0);
}

/* ---- yielders ---- */

static atomic_int goal, reached, begun;

static void set_goal(int tasks)
{
    atomic_store(&reached, 0);
    atomic_store(&begun, 0);
    atomic_store(&goal, tasks);
}

static bool over(void)
{
    return atomic_load(&reached) >= atomic_load(&goal);
}

static int reach(void *arg)
{
    (void)arg;
    atomic_fetch_add(&reached, 1);
    return 0;
}

static int yield_until_over(void *arg)
{
    (void)arg;
    for (int64_t start = filch_now(); !over(); filch_yield())
        must(patient(start));
    return 0;
}

static int yielders_and_unstarted(void *arg)
{
    set_goal(1000);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, yield_until_over, arg) == 0);
    must(filch_spawn(&s, yield_until_over, arg) == 0);
    for (int i = 0; i < 1000; i++)
        must(filch_spawn(&s, reach, arg) == 0);
    must(filch_spawn(&s, yield_until_over, arg) == 0);
    return filch_join(&s);
}

Test(fair, yielders_do_not_starve_a_thousand_unstarted_tasks)
{
    FOR_EACH_CONFIG(config, every_loop)
    must(filch_run(config, yielders_and_unstarted, NULL) == 0);
}

/* Yields to be dispatched at all: it was made ready, never spawned anew. */
static int reach_after_yields(void *arg)
{
    atomic_fetch_add(&begun, 1);
    for (int i = 0; i < 10; i++)
        filch_yield();
    return reach(arg);
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int flood_until_over(void *arg)
{
    (void)arg;
    for (int64_t start = filch_now(); !over();) {
        must(patient(start));
        FILCH_SCOPE(s);
        for (int i = 0; i < 3000; i++)
            must(filch_spawn(&s, do_nothing, arg) == 0);
        must(filch_join(&s) == 0);
    }
    return 0;
}

/* ---- a pair that wakes each other ---- */

struct pair {
    filch_event ping, pong;
};

static int ping(void *arg)
{
    struct pair *pair = arg;
    for (int64_t start = filch_now(); !over();) {
        must(patient(start));
        filch_event_set(&pair->ping);
        must(filch_event_wait(&pair->pong) == 0);
        filch_event_reset(&pair->pong);
    }
    filch_event_set(&pair->ping);
    return 0;
}

static int pong(void *arg)
{
    struct pair *pair = arg;
    for (int64_t start = filch_now(); !over();) {
        must(patient(start));
        must(filch_event_wait(&pair->ping) == 0);
        filch_event_reset(&pair->ping);
        filch_event_set(&pair->pong);
    }
    filch_event_set(&pair->pong);
    return 0;
}

static int nap_once(void *arg)
{
    atomic_fetch_add(&begun, 1);
    must(filch_sleep(FILCH_MSEC(1)) == 0);
    return reach(arg);
}

static int pair_and_others(void *arg)
{
    struct pair pair = {0};
    set_goal(3);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, ping, &pair) == 0);
    must(filch_spawn(&s, pong, &pair) == 0);
    must(filch_spawn(&s, reach, arg) == 0);
    must(filch_spawn(&s, reach_after_yields, arg) == 0);
    must(filch_spawn(&s, nap_once, arg) == 0);
    return filch_join(&s);
}

Test(fair, a_pair_that_wakes_each_other_does_not_starve_a_third)
{
    FOR_EACH_CONFIG(config, every_loop)
    must(filch_run(config, pair_and_others, NULL) == 0);
}

struct couple {
    filch_sem there, back;
    int64_t slice;
    atomic_int over, yields;
};

static void work_for(int64_t ns)
{
    for (int64_t end = filch_after(ns); filch_now() < end;)
        ;
}

static int go_there(void *arg)
{
    struct couple *couple = arg;
    while (!atomic_load(&couple->over)) {
        work_for(couple->slice);
        filch_sem_release(&couple->there);
        must(filch_sem_acquire(&couple->back) == 0);
    }
    filch_sem_release(&couple->there);
    return 0;
}

static int come_back(void *arg)
{
    struct couple *couple = arg;
    while (!atomic_load(&couple->over)) {
        must(filch_sem_acquire(&couple->there) == 0);
        work_for(couple->slice);
        filch_sem_release(&couple->back);
    }
    filch_sem_release(&couple->back);
    return 0;
}

static int yield_beside(void *arg)
{
    struct couple *couple = arg;
    while (!atomic_load(&couple->over)) {
        atomic_fetch_add(&couple->yields, 1);
        filch_yield();
    }
    return 0;
}

static int end_couple(void *arg)
{
    struct couple *couple = arg;
    atomic_store(&couple->over, 1);
    return 0;
}

/* One worker. The pair always has something ready when it parks; what is submitted must begin all the same. */
Test(fair, a_pair_that_parks_keeps_nobody_from_beginning, .timeout = 60)
{
    static const int64_t slices[] = {0, 20000, 60000};
    for (size_t i = 0; i < LENGTH(slices); i++) {
        struct couple couple = {.slice = slices[i]};
        filch_runtime *runtime;
        must(filch_start(&(filch_config){.workers = 1}, &runtime) == 0);
        must(filch_submit(runtime, go_there, &couple) == 0 && filch_submit(runtime, come_back, &couple) == 0);
        usleep(10000);
        must(filch_submit(runtime, end_couple, &couple) == 0);
        for (int64_t end = filch_after(FILCH_SEC(10)); !atomic_load(&couple.over); usleep(1000))
            must(filch_now() < end);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
    }
}

/* The same for one that yields. */
Test(fair, a_pair_that_parks_keeps_nobody_from_going_on, .timeout = 60)
{
    static const int64_t slices[] = {0, 20000, 60000};
    for (size_t i = 0; i < LENGTH(slices); i++) {
        struct couple couple = {.slice = slices[i]};
        filch_runtime *runtime;
        must(filch_start(&(filch_config){.workers = 1}, &runtime) == 0);
        must(filch_submit(runtime, yield_beside, &couple) == 0);
        must(filch_submit(runtime, go_there, &couple) == 0 && filch_submit(runtime, come_back, &couple) == 0);
        for (int64_t end = filch_after(FILCH_SEC(10)); atomic_load(&couple.yields) < 500; usleep(1000))
            must(filch_now() < end);
        atomic_store(&couple.over, 1);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
    }
}

/* ---- floods ---- */

static int read_byte(void *arg)
{
    char byte;
    must(filch_read(*(int *)arg, &byte, 1) == 1);
    return reach(NULL);
}

static void *write_later(void *arg)
{
    usleep(2000);
    must(write(*(int *)arg, "x", 1) == 1);
    return NULL;
}

static int flood_and_others(void *arg)
{
    int ends[2];
    must(pipe(ends) == 0);
    set_goal(3);
    {
        FILCH_SCOPE(s);
        must(filch_spawn(&s, nap_once, arg) == 0);
        must(filch_spawn(&s, read_byte, &ends[0]) == 0);
        must(filch_spawn(&s, reach_after_yields, arg) == 0);
        filch_yield();
        pthread_t thread = thread_start(write_later, &ends[1]);
        must(flood_until_over(arg) == 0);
        must(filch_join(&s) == 0);
        thread_join(thread);
    }
    close(ends[0]);
    close(ends[1]);
    return 0;
}

Test(fair, a_flood_of_spawns_does_not_starve_a_sleeper_a_reader_or_a_yielder)
{
    FOR_EACH_CONFIG(config, every_loop)
    must(filch_run(config, flood_and_others, NULL) == 0);
}

/* ---- calls that need not wait ---- */

static int peek_until_over(void *arg)
{
    char byte;
    for (int64_t start = filch_now(); !over();) {
        must(patient(start));
        must(filch_recv(*(int *)arg, &byte, 1, MSG_PEEK) == 1);
    }
    return 0;
}

static int read_until_over(void *arg)
{
    char byte;
    for (int64_t start = filch_now(); !over();) {
        must(patient(start));
        must(filch_pread(*(int *)arg, &byte, 1, 0) == 1);
    }
    return 0;
}

static int ready_and_others(void *arg)
{
    int ends[2], pipes[2], file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    must(file >= 0 && pipe(pipes) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && write(ends[1], "x", 1) == 1);
    set_goal(3);
    {
        FILCH_SCOPE(s);
        must(filch_spawn(&s, nap_once, arg) == 0);
        must(filch_spawn(&s, read_byte, &pipes[0]) == 0);
        filch_yield();
        must(filch_spawn(&s, reach, arg) == 0);
        must(filch_spawn(&s, peek_until_over, &ends[0]) == 0);
        must(filch_spawn(&s, read_until_over, &file) == 0);
        pthread_t thread = thread_start(write_later, &pipes[1]);
        must(filch_join(&s) == 0);
        thread_join(thread);
    }
    for (int i = 0; i < 2; i++)
        must(close(ends[i]) == 0 && close(pipes[i]) == 0);
    return close(file);
}

Test(fair, a_flood_of_what_is_ready_does_not_starve_a_sleeper_a_reader_or_an_unstarted_task)
{
    FOR_EACH_CONFIG(config, every_loop)
    must(filch_run(config, ready_and_others, NULL) == 0);
}

static int recurse(void *arg)
{
    int depth = *(int *)arg, below = depth - 1;
    if (depth == 0)
        return 0;
    filch_frame frame;
    filch_fork(&frame, recurse, &below);
    int other = below;
    must(recurse(&other) == 0);
    return filch_meet(&frame);
}

static int recurse_until_over(void *arg)
{
    (void)arg;
    for (int64_t start = filch_now(); !over();) {
        must(patient(start));
        int depth = 10;
        must(recurse(&depth) == 0);
    }
    return 0;
}

static int begin_and_reach(void *arg)
{
    atomic_fetch_add(&begun, 1);
    return reach(arg);
}

static int forks_and_others(void *arg)
{
    set_goal(3);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, nap_once, arg) == 0);
    must(filch_spawn(&s, reach_after_yields, arg) == 0);
    must(filch_spawn(&s, begin_and_reach, arg) == 0);
    while (atomic_load(&begun) < 3) /* what is older and has not begun may wait for its parent's join */
        filch_yield();
    must(filch_spawn(&s, recurse_until_over, arg) == 0);
    must(filch_spawn(&s, recurse_until_over, arg) == 0);
    return filch_join(&s);
}

Test(fair, a_flood_of_in_frame_forks_does_not_starve_the_others)
{
    FOR_EACH_CONFIG(config, every_loop)
    must(filch_run(config, forks_and_others, NULL) == 0);
}

static void *submit_later(void *arg)
{
    usleep(2000);
    for (int i = 0; i < 10; i++)
        must(filch_submit(arg, reach, NULL) == 0);
    return NULL;
}

Test(fair, yielders_do_not_starve_what_is_submitted)
{
    FOR_EACH_CONFIG(config, every_loop)
    {
        filch_runtime *runtime;
        must(filch_start(config, &runtime) == 0);
        set_goal(10);
        pthread_t thread = thread_start(submit_later, runtime);
        must(filch_submit(runtime, yield_until_over, NULL) == 0);
        must(filch_call(runtime, yield_until_over, NULL) == 0);
        thread_join(thread);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
    }
}

/* Each of its operations is the only one that is queued, and has ended before it would have to wait: a datagram socket is connected at once. */
static int connect_until_over(void *arg)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)arg;
    must(fd >= 0);
    for (int64_t start = filch_now(); !over();) {
        must(patient(start));
        must(filch_connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    }
    must(close(fd) == 0);
    return 0;
}

Test(fair, one_whose_operations_end_at_once_starves_nobody)
{
    FOR_EACH_CONFIG(config, every_loop)
    {
        filch_config alone = *config; /* or a relief would come to the others' help */
        filch_runtime *runtime;
        alone.relief = FILCH_RELIEF_NONE;
        must(filch_start(&alone, &runtime) == 0);
        set_goal(11);
        pthread_t thread = thread_start(submit_later, runtime);
        must(filch_submit(runtime, nap_once, NULL) == 0);
        must(filch_call(runtime, connect_until_over, NULL) == 0);
        thread_join(thread);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
    }
}

/* ---- a message that is sent among others ---- */

enum { MESSAGES = 150, COMPANY = 3 };

static struct {
    int message[2], wait[COMPANY][2];
    filch_event go;
    atomic_bool arrived;
} mail;

/* Outside of the runtime, so that nothing in it hastens the message. */
static void *take_messages(void *arg)
{
    char c;
    while (read(mail.message[1], &c, 1) == 1)
        atomic_store(&mail.arrived, true);
    return arg;
}

static int wait_in_company(void *arg)
{
    intptr_t i = (intptr_t)arg;
    char c;
    must(i == 0 || filch_event_wait(&mail.go) == 0);
    must(filch_recv(mail.wait[i][0], &c, 1, 0) == 1);
    return 0;
}

/* Its timer is due when the message is sent: then it has the worker until the message is there. */
static int compute_until_it_arrives(void *arg)
{
    (void)arg;
    must(filch_event_wait(&mail.go) == 0 && filch_sleep(FILCH_USEC(120)) == 0);
    for (int64_t start = filch_now(); !atomic_load(&mail.arrived);)
        must(patient(start));
    return 0;
}

static void keep_busy(int64_t ns)
{
    for (int64_t end = filch_now() + ns; filch_now() < end;)
        ;
}

static int send_among_others(void *arg)
{
    (void)arg;
    for (int i = 0; i < MESSAGES; i++) {
        atomic_store(&mail.arrived, false);
        filch_event_reset(&mail.go);
        FILCH_SCOPE(s);
        must(filch_spawn(&s, compute_until_it_arrives, NULL) == 0);
        for (intptr_t j = 1; j < COMPANY; j++)
            must(filch_spawn(&s, wait_in_company, (void *)j) == 0);
        must(filch_sleep(FILCH_MSEC(2)) == 0);
        must(filch_spawn(&s, wait_in_company, (void *)0) == 0 && filch_sleep(FILCH_USEC(300)) == 0);
        keep_busy(FILCH_USEC(60));
        filch_event_set(&mail.go);
        filch_yield(); /* the others wait: two of them for what is in line for the kernel */
        keep_busy(FILCH_USEC(130));
        must(filch_send(mail.message[0], "x", 1, 0) == 1);
        for (int j = 0; j < COMPANY; j++)
            must(write(mail.wait[j][1], "x", 1) == 1);
        must(filch_join(&s) == 0);
    }
    return 0;
}

Test(fair, a_message_goes_before_somebody_computes, .timeout = 60)
{
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, mail.message) == 0);
    for (int i = 0; i < COMPANY; i++)
        must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, mail.wait[i]) == 0);
    pthread_t thread = thread_start(take_messages, NULL);
    must(filch_run(&(filch_config){.workers = 1, .relief = FILCH_RELIEF_NONE}, send_among_others, NULL) == 0);
    must(filch_run(&(filch_config){.model = FILCH_MODEL_N1}, send_among_others, NULL) == 0);
    must(shutdown(mail.message[0], SHUT_WR) == 0);
    thread_join(thread);
}

/* ---- sleep ---- */

static int sleep_some(void *arg)
{
    static const int64_t lengths[] = {0, 1, 1000, 33000, 100000, 1000000, 3456789};
    (void)arg;
    must(filch_sleep(-1) == 0 && filch_sleep_until(1) == 0);
    for (size_t i = 0; i < LENGTH(lengths); i++) {
        int64_t deadline = filch_after(lengths[i]);
        must(filch_sleep(lengths[i]) == 0);
        must(filch_now() >= deadline);
        deadline = filch_after(lengths[i]);
        must(filch_sleep_until(deadline) == 0);
        must(filch_now() >= deadline);
    }
    return 0;
}

static int many_sleep_some(void *arg)
{
    FILCH_SCOPE(s);
    for (int i = 0; i < 50; i++)
        must(filch_spawn(&s, sleep_some, arg) == 0);
    return filch_join(&s);
}

Test(fair, no_sleep_ends_early)
{
    must(sleep_some(NULL) == 0);
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, many_sleep_some, NULL) == 0);
}

/* ---- tasks that keep their worker ---- */

enum { SLEEPERS = 50, NAPS = 5 };

static atomic_bool stalled;

/* Naps until it has done so a few times while somebody kept his worker. */
static int nap_while_stalled(void *arg)
{
    int64_t start = filch_now();
    for (int naps = 0; naps < NAPS; naps += atomic_load(&stalled)) {
        must(patient(start));
        must(filch_sleep(FILCH_MSEC(1)) == 0);
    }
    return reach(arg);
}

static int64_t thread_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

static int burn(void *arg)
{
    (void)arg;
    atomic_store(&stalled, true);
    for (int64_t start = thread_cpu(); !over() || thread_cpu() - start < FILCH_MSEC(200);)
        ;
    return 0;
}

static int sit_in_read(void *arg)
{
    char byte;
    atomic_store(&stalled, true);
    must(read(*(int *)arg, &byte, 1) == 1);
    must(over());
    return 0;
}

struct stall {
    filch_fn *fn;
    void *arg;
};

static int sleepers_and_stall(void *arg)
{
    struct stall *stall = arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < SLEEPERS; i++)
        must(filch_spawn(&s, nap_while_stalled, NULL) == 0);
    filch_yield();
    must(filch_spawn(&s, stall->fn, stall->arg) == 0);
    return filch_join(&s);
}

static void *write_when_over(void *arg)
{
    await_count(&reached, SLEEPERS);
    must(write(*(int *)arg, "x", 1) == 1);
    return NULL;
}

Test(fair, a_task_that_computes_leaves_the_others_going_on_the_other_worker)
{
    struct stall stall = {burn, NULL};
    set_goal(SLEEPERS);
    must(filch_run(&(filch_config){.workers = 2}, sleepers_and_stall, &stall) == 0);
}

Test(fair, a_task_that_sits_in_a_system_call_leaves_the_others_going_on_the_other_worker)
{
    int ends[2];
    must(pipe(ends) == 0);
    struct stall stall = {sit_in_read, &ends[0]};
    set_goal(SLEEPERS);
    pthread_t thread = thread_start(write_when_over, &ends[1]);
    must(filch_run(&(filch_config){.workers = 2}, sleepers_and_stall, &stall) == 0);
    thread_join(thread);
}
