/* SPDX-License-Identifier: MIT */
/* The laws of stalled workers: whatever a task does to its carrier, the others go on; what goes on in its place is bounded, exact, and costs nothing once it is over; a
 * deadlock is still told of, and only a deadlock.
 *
 * Each law gives up after ten seconds: what is checked is that the others go on at all, not how soon (filch-bench stall). */
#include "stalls.h"

static int reliefs(void)
{
    return threads_named("law/r");
}

/* Who has been joined may not be gone from /proc yet. */
static void all_are_gone(void)
{
    for (int64_t end = filch_after(FILCH_SEC(10)); threads_named("law/") != 0; usleep(1000))
        must(filch_now() < end);
}

/* ---- the others ---- */

static int hold_lock_while_parked(void *arg)
{
    pthread_mutex_lock(&stall.lock);
    atomic_fetch_add((atomic_int *)arg, 1);
    must(filch_event_wait(&stall.give_lock_back) == 0);
    pthread_mutex_unlock(&stall.lock); /* perhaps by another thread: a plain mutex doesn't mind */
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

Test(stall, the_others_go_on_while_all_workers_are_in_a_read, .timeout = 60)
{
    all_stall_everywhere(READ);
}

Test(stall, the_others_go_on_while_all_workers_compute, .timeout = 60)
{
    all_stall_everywhere(SPIN);
}

Test(stall, the_others_go_on_while_all_workers_sleep_in_the_kernel, .timeout = 60)
{
    all_stall_everywhere(NAP);
}

Test(stall, the_others_go_on_while_all_workers_wait_for_a_thread_lock_of_a_parked_task, .timeout = 60)
{
    all_stall_everywhere(LOCK);
}

Test(stall, the_others_go_on_while_all_workers_are_in_a_page_fault, .timeout = 60)
{
    all_stall_everywhere(FAULT);
}

Test(stall, the_others_go_on_while_all_workers_block_and_have_said_so, .timeout = 60)
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
        all_are_gone();
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
    must(filch_start(config, &runtime) == 0);
    for (int64_t end = filch_after(FILCH_SEC(10)); reliefs() == 0;) { /* where the monitor gets no CPU in time none comes */
        struct many many = {.stalls = 50};
        must(filch_now() < end && filch_call(runtime, many_stalls, &many) == 0);
    }
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

/* Those whom a relief runs, all there at once, and a dump that somebody does not read on. */
static struct {
    atomic_int begun, ended;
    filch_event end;
    filch_runtime *runtime;
    int pipe[2];
} crowd;

static int wait_for_the_end(void *arg)
{
    atomic_fetch_add(&crowd.begun, 1);
    must(filch_event_wait(&crowd.end) == 0);
    atomic_fetch_add(&crowd.ended, 1);
    return arg != NULL;
}

static int end_all(void *arg)
{
    filch_event_set(&crowd.end);
    return arg != NULL;
}

static void *dump(void *arg)
{
    must(filch_dump(crowd.runtime, crowd.pipe[1]) == 0);
    close(crowd.pipe[1]);
    return arg;
}

static size_t resident(void)
{
    size_t size = 0, pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    must(statm && fscanf(statm, "%zu %zu", &size, &pages) == 2);
    fclose(statm);
    return pages * PAGE;
}

/* Whoever looks at stacks keeps a relief that comes to rest from giving its own back; it does that later. */
Test(stall, what_a_relief_has_gathered_is_given_back_once_it_rests, .timeout = 60, .disabled = SANITIZED)
{
    enum { CROWD = 3000 }; /* fewer than a worker keeps for itself */
    const filch_config one = {.workers = 1, .relief = 1, .name = "law"};
    char bytes[4096];
    must(stall_init(READ) && pipe(crowd.pipe) == 0);
    crowd.runtime = start_with_reliefs(&one);
    usleep(2500000); /* what it has now it keeps */
    size_t before = resident();
    must(filch_submit(crowd.runtime, stop_me, &crowd.ended) == 0);
    await_count(&stall.inside, 1);
    for (int i = 0; i < CROWD; i++)
        must(filch_submit(crowd.runtime, wait_for_the_end, NULL) == 0);
    await_count(&crowd.begun, CROWD);
    must(resident() > before + CROWD * (size_t)PAGE / 2);

    pthread_t thread = thread_start(dump, NULL);
    must(read(crowd.pipe[0], bytes, 1) == 1);
    usleep(100000); /* it has filled the pipe, and waits in the middle of the stacks */
    must(filch_submit(crowd.runtime, end_all, NULL) == 0);
    await_count(&crowd.ended, CROWD);
    end_stalls();
    await_count(&crowd.ended, CROWD + 1);
    usleep(200000); /* the relief is at rest */
    while (read(crowd.pipe[0], bytes, sizeof bytes) > 0)
        ;
    thread_join(thread);

    for (int64_t end = filch_after(FILCH_SEC(10)); resident() > before + CROWD * (size_t)PAGE / 4; usleep(10000))
        must(filch_now() < end);
    must(filch_stop(crowd.runtime, FILCH_NEVER) == 0);
    close(crowd.pipe[0]);
    stall_fini();
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
            all_are_gone();
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

struct loop_beside {
    atomic_int slept;
    int64_t end;
};

#define SEEN (-1000) /* ends the loop */

static int short_part(void *arg, int64_t begin, int64_t end)
{
    struct loop_beside *beside = arg;
    (void)begin, (void)end;
    must(filch_now() < beside->end);
    return atomic_load(&beside->slept) ? SEEN : 0;
}

static int loop_of_short_parts(void *arg)
{
    struct loop_beside beside = {.end = filch_after(FILCH_SEC(10))};
    (void)arg;
    FILCH_SCOPE(s);
    must(filch_spawn(&s, sleep_ten_times, &beside.slept) == 0);
    filch_yield();
    must(filch_for(0, INT64_MAX, 1, short_part, &beside) == SEEN);
    return filch_join(&s);
}

Test(stall, a_parallel_loop_lets_a_sleeper_wake, .timeout = 60)
{
    static const filch_config alone[] = {{.workers = 1, .relief = FILCH_RELIEF_NONE}, {.model = FILCH_MODEL_N1}};
    FOR_EACH_CONFIG(config, alone)
    must(filch_run(config, loop_of_short_parts, NULL) == 0);
}

/* ---- nobody has time to look after others ---- */

struct beside {
    int data[2];
    atomic_bool read, over;
    atomic_int yielders;
};

static int compute_until_read(void *arg)
{
    struct beside *beside = arg;
    for (int64_t end = filch_after(FILCH_SEC(20)); !atomic_load(&beside->read) && filch_now() < end;)
        ;
    return atomic_load(&beside->read) ? 0 : -ETIMEDOUT;
}

static int yield_all_the_time(void *arg)
{
    struct beside *beside = arg;
    atomic_fetch_add(&beside->yielders, 1);
    while (!atomic_load(&beside->over))
        filch_yield();
    return 0;
}

static void *write_later(void *arg)
{
    struct beside *beside = arg;
    usleep(20000);
    must(write(beside->data[1], "x", 1) == 1);
    return NULL;
}

/* Its operation is on the ring of the worker that then computes, unless the other one has taken that task. */
static int read_beside(void *arg)
{
    struct beside *beside = arg;
    char byte;
    FILCH_SCOPE(s);
    must(filch_spawn(&s, compute_until_read, beside) == 0);
    must(filch_read(beside->data[0], &byte, 1) == 1);
    atomic_store(&beside->read, true);
    return filch_join(&s);
}

static int read_and_yield(void *arg)
{
    struct beside *beside = arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 4; i++)
        must(filch_spawn(&s, yield_all_the_time, beside) == 0);
    while (atomic_load(&beside->yielders) < 4)
        must(filch_sleep(FILCH_USEC(100)) == 0);
    int r = 0;
    for (int i = 0; i < 10 && r == 0; i++) {
        pthread_t thread = thread_start(write_later, beside);
        atomic_store(&beside->read, false);
        r = read_beside(beside);
        thread_join(thread);
    }
    atomic_store(&beside->over, true);
    return filch_join(&s) < 0 ? -1 : r;
}

Test(stall, operations_of_a_stalled_worker_go_on_though_nobody_is_idle_and_none_comes, .timeout = 120)
{
    static const filch_config few[] = {
        {.workers = 2, .relief = FILCH_RELIEF_NONE}, {.workers = 2}, {.workers = 3, .relief = FILCH_RELIEF_NONE}};
    FOR_EACH_CONFIG(config, few)
    {
        struct beside beside = {.over = false};
        must(pipe(beside.data) == 0);
        must(filch_run(config, read_and_yield, &beside) == 0);
        close(beside.data[0]), close(beside.data[1]);
    }
}

/* ---- without a descriptor ---- */

struct few {
    atomic_int stalled, slept;
    atomic_bool over;
    int blockers, filled, pipe[2];
    int fds[256];
};

static int read_until_they_sleep(void *arg)
{
    struct few *few = arg;
    char byte;
    atomic_fetch_add(&few->stalled, 1);
    return read(few->pipe[0], &byte, 1) == 1 && byte == 'y' ? 0 : -ETIMEDOUT;
}

/* Ends the stalls when the others have slept, or are not going to. */
static void *write_when_they_sleep(void *arg)
{
    struct few *few = arg;
    for (int64_t end = filch_after(FILCH_SEC(5)); atomic_load(&few->slept) < 20 && filch_now() < end;)
        usleep(1000);
    for (int i = 0; i < few->blockers; i++)
        must(write(few->pipe[1], atomic_load(&few->slept) < 20 ? "n" : "y", 1) == 1);
    return NULL;
}

/* Counts once all have stalled. */
static int sleep_and_count(void *arg)
{
    struct few *few = arg;
    while (!atomic_load(&few->over)) {
        must(filch_sleep(FILCH_MSEC(1)) == 0);
        if (atomic_load(&few->stalled) == few->blockers)
            atomic_fetch_add(&few->slept, 1);
    }
    return 0;
}

static int stall_twice(void *arg)
{
    struct few *few = arg;
    int fd, r = 0;
    FILCH_SCOPE(s);
    must(filch_spawn(&s, sleep_and_count, few) == 0);
    for (int round = 0; round < 2 && r == 0; round++) {
        FILCH_SCOPE(blockers);
        atomic_store(&few->stalled, 0);
        atomic_store(&few->slept, 0);
        for (int i = 0; i < few->blockers; i++)
            must(filch_spawn(&blockers, read_until_they_sleep, few) == 0);
        pthread_t thread = thread_start(write_when_they_sleep, few);
        r = filch_join(&blockers);
        thread_join(thread);
        must(r < 0 || filch_sleep(FILCH_MSEC(300)) == 0); /* there are reliefs now, and they rest */
        while (round == 0 && few->filled < (int)LENGTH(few->fds) && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
            few->fds[few->filled++] = fd;
        must(few->filled < (int)LENGTH(few->fds));
    }
    atomic_store(&few->over, true);
    return filch_join(&s) < 0 ? -1 : r;
}

Test(stall, nobody_is_stranded_when_no_descriptor_is_left, .timeout = 120)
{
    limit(RLIMIT_NOFILE, LENGTH(((struct few *)NULL)->fds));
    FOR_EACH_CONFIG(config, every_size)
    {
        struct few few = {.blockers = (int)config->workers};
        must(pipe(few.pipe) == 0);
        must(filch_run(config, stall_twice, &few) == 0);
        close(few.pipe[0]), close(few.pipe[1]);
        while (few.filled > 0)
            close(few.fds[--few.filled]);
    }
}

/* ---- what it costs that one has said so ---- */

/* How often the monitor has gone to sleep. */
static long sleeps_of_monitor(void)
{
    long n = -1;
    DIR *dir = opendir("/proc/self/task");
    must(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[300], text[4096];
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
        text[size > 0 ? size : 0] = '\0';
        if (fd >= 0)
            close(fd);
        const char *at = strstr(text, "\nvoluntary_ctxt_switches:");
        if (at && strncmp(text, "Name:\tlaw/mon\n", 14) == 0)
            n = strtol(at + strlen("\nvoluntary_ctxt_switches:"), NULL, 10);
    }
    closedir(dir);
    must(n >= 0);
    return n;
}

static int announce_and_nap(void *arg)
{
    filch_blocking_enter();
    while (!atomic_load((atomic_bool *)arg))
        usleep(20000);
    filch_blocking_leave();
    return 0;
}

static int yield_now_and_then(void *arg)
{
    while (!atomic_load((atomic_bool *)arg)) {
        compute_for(10000);
        filch_yield();
    }
    return 0;
}

static double cpu_time(void)
{
    struct timespec ts;
    must(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) == 0);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct looks {
    double looks, cpu; /* in a second */
};

/* Looks a second, when the monitor has become used to the stall. */
static int count_looks(void *arg)
{
    struct looks *looks = arg;
    atomic_bool over = false;
    FILCH_SCOPE(s);
    must(filch_spawn(&s, announce_and_nap, &over) == 0 && filch_sleep(FILCH_MSEC(2)) == 0);
    for (int i = 0; i < 3; i++)
        must(filch_spawn(&s, yield_now_and_then, &over) == 0);
    must(filch_sleep(FILCH_MSEC(1200)) == 0);
    long before = sleeps_of_monitor();
    double cpu = cpu_time();
    must(filch_sleep(FILCH_SEC(1)) == 0);
    *looks = (struct looks){(double)(sleeps_of_monitor() - before), cpu_time() - cpu};
    atomic_store(&over, true);
    return filch_join(&s);
}

/* Those who compute would tell of it at every fourth look round, thousands of times a second. Where they get no CPU, since others use this machine, nothing is learned. */
Test(stall, a_call_that_was_announced_is_not_noticed_again_and_again, .timeout = 60)
{
    int learned = 0;
    for (int round = 0; round < 10; round++) {
        struct looks seen;
        must(filch_run(&(filch_config){.workers = 1, .name = "law"}, count_looks, &seen) == 0);
        if (seen.cpu > 0.25 && seen.looks / seen.cpu < 2500)
            return;
        learned += seen.cpu > 0.25;
    }
    must(learned == 0);
}
