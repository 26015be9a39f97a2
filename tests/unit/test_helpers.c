/* SPDX-License-Identifier: MIT */
/* The laws of machine/helpers: every job is run once, in order, on no more threads than allowed, and one that was withdrawn isn't. */
#include "machine/helpers.h"

#include "../deny.h"
#include "base/attr.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct fl_helpers helpers;
static sem_t go, ran;

static void init(void)
{
    cr_assert(sem_init(&go, 0, 0) == 0 && sem_init(&ran, 0, 0) == 0);
}

TestSuite(helpers, .init = init, .timeout = 30);

/* What a job is here: it waits for `go`, if it should, and notes when it ran. */
struct work {
    struct fl_job job;
    bool waits;
    int turn;
};

static _Atomic(int) turns, inside, most;

static void work(struct fl_job *job)
{
    struct work *it = fl_container_of(job, struct work, job);
    int here = add_relaxed(&inside, 1) + 1; /* counter */
    if (here > load_relaxed(&most))         /* hint: those that wait inside are counted by the last of them */
        store_relaxed(&most, here);         /* hint: as above */
    while (it->waits && sem_wait(&go) != 0)
        ;
    sub_relaxed(&inside, 1);               /* counter */
    it->turn = add_relaxed(&turns, 1) + 1; /* counter */
    sem_post(&ran);
}

static int submit_kind(struct work *it, bool waits, bool lasts)
{
    *it = (struct work){.job.run = work, .job.lasts = lasts, .waits = waits};
    fl_list_init(&it->job.node);
    return fl_helpers_submit(&helpers, &it->job);
}

static int submit(struct work *it, bool waits)
{
    return submit_kind(it, waits, false);
}

static void await(sem_t *sem, int times)
{
    while (times > 0)
        times -= sem_wait(sem) == 0;
}

static unsigned locked(const unsigned *count)
{
    fl_lock_take(&helpers.lock);
    unsigned value = *count;
    fl_lock_give(&helpers.lock);
    return value;
}

static void until(const unsigned *count, unsigned value)
{
    while (locked(count) != value)
        usleep(100);
}

static int threads(void)
{
    int count = -2; /* . and .. */
    DIR *dir = opendir("/proc/self/task");
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

Test(helpers, one_helper_runs_jobs_in_the_order_of_arrival)
{
    enum { JOBS = 100 };
    static struct work works[JOBS];
    cr_assert_eq(fl_helpers_init(&helpers, 1, NULL), 0);
    for (int i = 0; i < JOBS; i++)
        cr_assert_eq(submit(&works[i], i == 0), 0);
    sem_post(&go);
    await(&ran, JOBS);
    for (int i = 0; i < JOBS; i++)
        cr_assert_eq(works[i].turn, i + 1);
    cr_assert_eq(locked(&helpers.count), 1);
    fl_helpers_fini(&helpers);
}

Test(helpers, there_are_no_more_than_allowed)
{
    enum { JOBS = 20, MAX = 3 };
    static struct work works[JOBS];
    cr_assert_eq(fl_helpers_init(&helpers, MAX, NULL), 0);
    for (int i = 0; i < JOBS; i++)
        cr_assert_eq(submit(&works[i], true), 0);
    while (load_relaxed(&inside) < MAX) /* counter */
        usleep(100);
    usleep(10000); /* a fourth would be inside by now */
    for (int i = 0; i < JOBS; i++)
        sem_post(&go);
    await(&ran, JOBS);
    cr_assert(load_relaxed(&most) == MAX && locked(&helpers.count) == MAX); /* hint: all have ended */
    fl_helpers_fini(&helpers);
}

Test(helpers, two_jobs_for_one_that_is_idle_start_a_second)
{
    for (int round = 0; round < 50; round++) {
        struct work first, pair[2];
        cr_assert(fl_helpers_init(&helpers, 8, NULL) == 0 && submit(&first, false) == 0);
        await(&ran, 1);
        until(&helpers.idle, 1);
        cr_assert(submit(&pair[0], true) == 0 && submit(&pair[1], true) == 0);
        while (load_relaxed(&inside) < 2) /* counter */
            usleep(10);
        sem_post(&go);
        sem_post(&go);
        await(&ran, 2);
        cr_assert_eq(locked(&helpers.count), 2);
        fl_helpers_fini(&helpers);
    }
}

Test(helpers, those_that_are_idle_are_used_again)
{
    struct work works[3];
    cr_assert_eq(fl_helpers_init(&helpers, 8, NULL), 0);
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 3; i++)
            cr_assert_eq(submit(&works[i], false), 0);
        await(&ran, 3);
        until(&helpers.idle, locked(&helpers.count));
    }
    cr_assert_leq(locked(&helpers.count), 3);
    fl_helpers_fini(&helpers);
}

Test(helpers, only_what_nobody_has_begun_is_withdrawn)
{
    struct work begun, queued, last;
    _Atomic(uint64_t) word = 5;
    cr_assert_eq(fl_helpers_init(&helpers, 1, NULL), 0);
    cr_assert(submit(&begun, true) == 0 && submit(&queued, false) == 0 && submit(&last, false) == 0);
    while (load_relaxed(&inside) == 0) /* counter */
        usleep(100);
    cr_assert(!fl_helpers_withdraw(&helpers, &begun.job, &word, 5), "it runs");
    cr_assert(!fl_helpers_withdraw(&helpers, &queued.job, &word, 4), "the word says otherwise");
    cr_assert(fl_helpers_withdraw(&helpers, &queued.job, &word, 5));
    cr_assert(!fl_helpers_withdraw(&helpers, &queued.job, &word, 5), "it has been");
    sem_post(&go);
    await(&ran, 2);
    cr_assert(!fl_helpers_withdraw(&helpers, &last.job, &word, 5), "it has ended");
    cr_assert(begun.turn == 1 && last.turn == 2 && queued.turn == 0);
    fl_helpers_settle(&helpers, &word);
    cr_assert_eq(load_relaxed(&word), 0); /* own: one thread */
    fl_helpers_fini(&helpers);
}

Test(helpers, without_a_thread_it_is_EAGAIN_and_with_one_the_job_waits_for_it)
{
    struct work works[3];
    cr_assert(fl_helpers_init(&helpers, 8, NULL) == 0 && submit(&works[0], true) == 0);
    cr_assert(deny(SYS_clone3, ENOSYS) && deny(SYS_clone, EAGAIN)); /* which the first helper may still use, but doesn't */
    cr_assert_eq(submit(&works[1], false), 0);
    sem_post(&go);
    await(&ran, 2);
    cr_assert_eq(locked(&helpers.count), 1);
    fl_helpers_fini(&helpers);
    cr_assert_eq(fl_helpers_init(&helpers, 8, NULL), 0);
    cr_assert_eq(submit(&works[2], false), -EAGAIN);
    cr_assert(fl_list_empty(&works[2].job.node) && locked(&helpers.jobs) == 0);
    fl_helpers_fini(&helpers);
}

Test(helpers, the_end_runs_what_is_in_line_and_joins)
{
    enum { JOBS = 50 };
    static struct work works[JOBS];
    int before = threads();
    cr_assert_eq(fl_helpers_init(&helpers, 4, NULL), 0);
    for (int i = 0; i < JOBS; i++)
        cr_assert_eq(submit(&works[i], false), 0);
    fl_helpers_fini(&helpers);
    cr_assert_eq(load_relaxed(&turns), JOBS); /* counter */
    for (int i = 0; threads() != before && i < 5000; i++)
        usleep(1000); /* a thread that was joined stands in /proc for a moment longer */
    cr_assert_eq(threads(), before);
    cr_assert_eq(fl_helpers_init(&helpers, 4, NULL), 0);
    fl_helpers_fini(&helpers); /* without ever a thread */
}

/* ---- jobs that last ---- */

Test(helpers, those_that_last_leave_a_quarter_for_the_others)
{
    static const struct {
        unsigned max, lasting;
    } cases[] = {{1, 1}, {2, 1}, {3, 2}, {4, 3}, {5, 3}, {8, 6}, {64, 48}};
    static struct work works[80], quick[20];
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned max = cases[i].max, lasting = cases[i].lasting, kept = max - lasting;
        cr_assert_eq(fl_helpers_init(&helpers, max, NULL), 0);
        for (unsigned j = 0; j < max + 10; j++)
            cr_assert_eq(submit_kind(&works[j], true, true), 0);
        while ((unsigned)load_relaxed(&inside) < lasting) /* counter */
            usleep(100);
        usleep(2000);                                                                      /* one more would be inside by now */
        cr_assert(load_relaxed(&inside) == (int)lasting && locked(&helpers.count) <= max); /* counter */
        for (unsigned j = 0; j < kept; j++)
            cr_assert_eq(submit(&quick[j], true), 0);
        while ((unsigned)load_relaxed(&inside) < max) /* counter */
            usleep(100);
        for (unsigned j = 0; j < max + 10 + kept; j++)
            sem_post(&go);
        await(&ran, (int)(max + 10 + kept));
        cr_assert_leq(locked(&helpers.count), max);
        fl_helpers_fini(&helpers);
    }
}

Test(helpers, one_helper_runs_jobs_of_both_kinds_in_the_order_of_arrival)
{
    enum { JOBS = 100 };
    static struct work works[JOBS];
    cr_assert_eq(fl_helpers_init(&helpers, 1, NULL), 0);
    for (int i = 0; i < JOBS; i++)
        cr_assert_eq(submit_kind(&works[i], i == 0, i % 3 == 0), 0);
    sem_post(&go);
    await(&ran, JOBS);
    for (int i = 0; i < JOBS; i++)
        cr_assert_eq(works[i].turn, i + 1);
    fl_helpers_fini(&helpers);
}

Test(helpers, those_that_last_are_withdrawn_and_run_at_the_end_too)
{
    static struct work works[10];
    _Atomic(uint64_t) word = 5;
    cr_assert_eq(fl_helpers_init(&helpers, 2, NULL), 0);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(submit_kind(&works[i], i == 0, true), 0);
    cr_assert(fl_helpers_withdraw(&helpers, &works[5].job, &word, 5) && fl_helpers_withdraw(&helpers, &works[9].job, &word, 5));
    cr_assert(fl_list_empty(&works[5].job.node) && locked(&helpers.lasting_jobs) <= 8);
    sem_post(&go);
    fl_helpers_fini(&helpers);
    cr_assert(load_relaxed(&turns) == 8 && works[5].turn == 0 && works[8].turn == 8); /* counter */
}

Test(helpers, a_mixture_is_run_whoever_comes_and_goes)
{
    enum { JOBS = 3000 };
    static struct work works[JOBS];
    unsigned dice = 1;
    for (unsigned max = 1; max < 6; max++) {
        store_relaxed(&turns, 0); /* counter */
        cr_assert_eq(fl_helpers_init(&helpers, max, NULL), 0);
        for (int i = 0; i < JOBS; i++) {
            dice = dice * 1103515245 + 12345;
            cr_assert_eq(submit_kind(&works[i], false, dice >> 16 & 1), 0);
            if ((dice >> 20) % 64 == 0)
                usleep(100); /* they fall idle */
        }
        await(&ran, JOBS);
        fl_helpers_fini(&helpers);
        cr_assert_eq(load_relaxed(&turns), JOBS); /* counter */
    }
}

/* ---- what a helper is ---- */

struct look {
    struct fl_job job;
    sigset_t mask;
    cpu_set_t cpus;
};

static void look(struct fl_job *job)
{
    struct look *it = fl_container_of(job, struct look, job);
    pthread_sigmask(SIG_BLOCK, NULL, &it->mask);
    sched_getaffinity(0, sizeof it->cpus, &it->cpus);
    sem_post(&ran);
}

Test(helpers, a_helper_takes_no_signal_and_runs_wherever_the_starter_might)
{
    struct look it = {.job.run = look};
    cpu_set_t all, one;
    cr_assert_eq(sched_getaffinity(0, sizeof all, &all), 0);
    struct fl_cpus allowed = fl_cpus_allowed();
    cr_assert_eq(fl_helpers_init(&helpers, 1, &allowed), 0);
    CPU_ZERO(&one);
    for (unsigned cpu = 0; CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0); /* as a worker that is pinned */
    fl_list_init(&it.job.node);
    cr_assert_eq(fl_helpers_submit(&helpers, &it.job), 0);
    await(&ran, 1);
    cr_assert(CPU_EQUAL(&it.cpus, &all));
    cr_assert(sigismember(&it.mask, SIGTERM) && sigismember(&it.mask, SIGUSR1));
    fl_helpers_fini(&helpers);
}
