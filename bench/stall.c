/* SPDX-License-Identifier: MIT */
/* stall: whatever a task does to its carrier, do the others go on?
 *
 * --tasks tasks sleep a millisecond again and again, for --seconds. Lateness is what the clock says after filch_sleep has returned, less
 * what it said before the call, less the millisecond; its 99th percentile is the figure. Beside them others stall, for --stall ms at a time
 * with --pause ms of filch_sleep in between, as --kind says:
 *
 *     none    nobody
 *     cpu     a task computes
 *     allcpu  as many tasks as there are workers compute
 *     sleep   a task is in usleep(3)
 *     pipe    a task is in read(2) of a pipe, into which a plain thread writes
 *     fifo    as many tasks as workers are in read(2) of a FIFO each; if not told otherwise once, for 10 of 12 seconds
 *     mutex   a task sleeps, by filch_sleep, while it holds a pthread_mutex, and as many as there are workers are in pthread_mutex_lock
 *     fault   as many tasks as workers touch a page that a plain thread brings in time, by userfaultfd(2)
 *
 * Who is kept from waking for 200 ms says so once, so a stall that spoils most of the time may be less than a hundredth of the samples.
 * "due_us" is therefore the same with a sample for each millisecond at which a task would have woken: a lateness of 2.3 ms is also one of
 * 1.3 and one of 0.3. With it come "overdue", the part of all tasks' time for which they were late, and the number of wake-ups, of all and
 * of the task that had the fewest.
 *
 * In mutex the mutex is not given back before a worker has woken its holder, and there is none until it is given back: unless somebody else
 * helps, that lasts for ever. So whatever is not over after 20 s (or 8 more than it needs) says what it is doing, and fails. The holder may
 * give the mutex back on another kernel thread than the one it took it on; the C library's default mutex does not look.
 *
 * Forms: `filch`; `threads`, the same with a kernel thread for each task and clock_nanosleep(2), with the timer slack that threads have; and
 * `go`, goroutines with time.Sleep (peers/stall.go), for all kinds but mutex and fault, which Go does not let one say. Each run is a process
 * of its own, on as many of the allowed CPUs as there are workers, and hands over what it has measured through a pipe, as text: its CPU
 * time and number of stalls, for each task its number of wake-ups and, a line each, how late they were in ns.
 *
 * Checked: no task has stopped, that is, each woke at least a quarter as often as the time without stalls allows; none woke early; and at
 * least half of the stalls that there is time for took place, and took as long as they should. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

#define NAP FILCH_MSEC(1)
#define PATIENCE 20.0   /* seconds */
#define PEER "stall-go" /* beside this program */

enum { NONE, CPU, ALLCPU, SLEEP, PIPE, FIFO, MUTEX, FAULT };

static const char kinds[] = "none|cpu|allcpu|sleep|pipe|fifo|mutex|fault";
static const char *const names[] = {"none", "cpu", "allcpu", "sleep", "pipe", "fifo", "mutex", "fault"};
static const char *const doing[] = {
    "", "computing", "computing", "in usleep", "in read of a pipe", "in read of a FIFO", "asleep with the mutex", "touching a page"};

static int64_t tasks = 100, stall_ms = 200, pause_ms = 50, workers;
static double seconds = 3;
static unsigned kind;

/* How many samples a task may have. */
static int64_t room(void)
{
    return (int64_t)(seconds * 1e9) / NAP + 1;
}

/* How many tasks stall. */
static int64_t how_many(void)
{
    switch (kind) {
    case NONE:
        return 0;
    case ALLCPU:
    case FIFO:
    case FAULT:
        return workers;
    case MUTEX:
        return workers + 1;
    default:
        return 1;
    }
}

/* How many stalls one task has time for. */
static int64_t rounds(void)
{
    return kind == NONE ? 0 : (int64_t)(seconds * 1e3) / (stall_ms + pause_ms);
}

static double patience(void)
{
    double needed = seconds + 8;
    return needed > PATIENCE ? needed : PATIENCE;
}

/* ---- the process that is measured: what it is made of ---- */

struct sleeper {
    int64_t *late;                /* ns */
    atomic_int_fast64_t wake_ups; /* as many of them */
};

struct staller {
    atomic_int_fast64_t done;
    atomic_bool stalls; /* now */
    int request[2];     /* pipe: to the thread that ends a stall in read(2) */
    int data[2];        /* pipe or FIFO: what it writes into */
    int uffd;
    char *page;
    uint64_t sum;
};

static int64_t stallers_count, end; /* end: the time */
static struct sleeper *sleepers;
static struct staller *stallers;
static filch_runtime *runtime; /* NULL: plain threads */
static int (*nap)(int64_t ns);

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static filch_sem held; /* a unit for each that is to wait for the mutex */
static atomic_bool over;

static int thread_sleep(int64_t ns)
{
    struct timespec time = {.tv_sec = ns / FILCH_SEC(1), .tv_nsec = ns % FILCH_SEC(1)};
    return -clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static int sleeper(void *arg)
{
    struct sleeper *me = arg;
    int64_t before, count = 0, most = room();
    while (count < most && (before = filch_now()) < end) {
        int r = nap(NAP);
        if (r < 0)
            return r;
        me->late[count++] = filch_now() - before - NAP;
        atomic_store_explicit(&me->wake_ups, count, memory_order_relaxed);
    }
    return 0;
}

/* ---- one stall of each kind; none looks at errno, which may be another thread's by now ---- */

static int compute(struct staller *me)
{
    for (int64_t until = filch_after(FILCH_MSEC(stall_ms)); filch_now() < until;)
        for (int i = 0; i < 1000; i++)
            me->sum += bench_random(&me->sum);
    return 0;
}

static int in_usleep(struct staller *me)
{
    (void)me;
    return usleep((useconds_t)(stall_ms * 1000)) < 0 ? -EIO : 0;
}

static int in_read(struct staller *me)
{
    char byte;
    return write(me->request[1], "", 1) == 1 && read(me->data[0], &byte, 1) == 1 ? 0 : -EIO;
}

static int hold(struct staller *me)
{
    (void)me;
    pthread_mutex_lock(&mutex);
    for (int64_t i = 0; i < workers; i++)
        filch_sem_release(&held);
    int r = nap(FILCH_MSEC(stall_ms));
    pthread_mutex_unlock(&mutex);
    return r;
}

static int touch(struct staller *me)
{
    char got = *(volatile char *)me->page;
    return got != 1 || madvise(me->page, (size_t)sysconf(_SC_PAGESIZE), MADV_DONTNEED) < 0 ? -EIO : 0;
}

static int (*const stall_once[])(struct staller *me) = {NULL, compute, compute, in_usleep, in_read, in_read, hold, touch};

static int staller(void *arg)
{
    struct staller *me = arg;
    const int64_t length = FILCH_MSEC(stall_ms);
    int r = nap(FILCH_MSEC(pause_ms));
    for (int64_t begin; r >= 0 && (begin = filch_now()) + length <= end;) {
        atomic_store(&me->stalls, true);
        r = stall_once[kind](me);
        atomic_fetch_add(&me->done, filch_now() - begin >= length);
        atomic_store(&me->stalls, false);
        if (r >= 0)
            r = nap(FILCH_MSEC(pause_ms));
    }
    return r;
}

static int holder(void *arg)
{
    int r = staller(arg);
    atomic_store(&over, true);
    for (int64_t i = 0; i < workers; i++)
        filch_sem_release(&held);
    return r;
}

/* What counts is how often it had to wait for the mutex. */
static int locker(void *arg)
{
    struct staller *me = arg;
    for (;;) {
        int r = filch_sem_acquire(&held);
        if (r < 0 || atomic_load(&over))
            return r;
        if (pthread_mutex_trylock(&mutex) != 0) {
            atomic_store(&me->stalls, true);
            pthread_mutex_lock(&mutex);
            atomic_store(&me->stalls, false);
            atomic_fetch_add(&me->done, 1);
        }
        pthread_mutex_unlock(&mutex);
    }
}

/* ---- plain threads that end the stalls ---- */

static void *feeder(void *arg)
{
    struct staller *me = arg;
    char byte;
    while (read(me->request[0], &byte, 1) == 1 && thread_sleep(FILCH_MSEC(stall_ms)) == 0 && write(me->data[1], &byte, 1) == 1)
        ;
    return NULL;
}

static void *pager(void *arg)
{
    struct staller *me = arg;
    struct uffd_msg message;
    long size = sysconf(_SC_PAGESIZE);
    char *source = malloc((size_t)size);
    while (source && read(me->uffd, &message, sizeof message) == sizeof message && thread_sleep(FILCH_MSEC(stall_ms)) == 0) {
        struct uffdio_copy copy = {.dst = (uintptr_t)me->page, .src = (uintptr_t)source, .len = (uint64_t)size};
        memset(source, 1, (size_t)size);
        if (ioctl(me->uffd, UFFDIO_COPY, &copy) < 0)
            break;
    }
    free(source);
    return NULL;
}

static int open_uffd(void)
{
    struct uffdio_api api = {.api = UFFD_API};
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    if (fd < 0)
        return -errno;
    if (ioctl(fd, UFFDIO_API, &api) == 0)
        return fd;
    int r = -errno;
    close(fd);
    return r;
}

static int map_page(struct staller *me)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    me->uffd = open_uffd();
    if (me->uffd < 0)
        return me->uffd;
    me->page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (me->page == MAP_FAILED)
        return -errno;
    struct uffdio_register range = {.range = {.start = (uintptr_t)me->page, .len = size}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    return ioctl(me->uffd, UFFDIO_REGISTER, &range) < 0 ? -errno : 0;
}

static int make_fifo(int data[2])
{
    char folder[] = P_tmpdir "/filch-stall-XXXXXX", path[sizeof folder + 8];
    if (!mkdtemp(folder))
        return -errno;
    snprintf(path, sizeof path, "%s/fifo", folder);
    int r = mkfifo(path, 0600) < 0 ? -errno : 0;
    if (r == 0) {
        data[1] = open(path, O_RDWR | O_CLOEXEC); /* waits for nobody; the next one then neither */
        data[0] = data[1] < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        r = data[0] < 0 ? -errno : 0;
        unlink(path);
    }
    rmdir(folder);
    return r;
}

static int equip(struct staller *me)
{
    pthread_t thread;
    if (kind == FAULT) {
        int r = map_page(me);
        return r < 0 ? r : -pthread_create(&thread, NULL, pager, me);
    }
    if (kind != PIPE && kind != FIFO)
        return 0;
    int r = pipe2(me->request, O_CLOEXEC) < 0 ? -errno : 0;
    if (r == 0)
        r = kind == FIFO ? make_fifo(me->data) : pipe2(me->data, O_CLOEXEC) < 0 ? -errno : 0;
    return r < 0 ? r : -pthread_create(&thread, NULL, feeder, me);
}

/* ---- the process that is measured: its life ---- */

/* Ends the process if it is not over in time. */
static void *watch(void *arg)
{
    (void)arg;
    thread_sleep((int64_t)(patience() * 1e9));
    bench_say("stall: kind %s is stuck, it should have been over after %g s:", names[kind], seconds);
    for (int64_t i = 0; i < stallers_count; i++)
        if (atomic_load(&stallers[i].stalls))
            bench_say("  %s %" PRId64 " is %s, after %" PRId64 " stalls", runtime ? "task" : "thread", i,
                      kind == MUTEX && i > 0 ? "in pthread_mutex_lock" : doing[kind], (int64_t)atomic_load(&stallers[i].done));
    int64_t least = room(), most = 0;
    for (int64_t i = 0; i < tasks; i++) {
        int64_t count = atomic_load(&sleepers[i].wake_ups);
        least = count < least ? count : least;
        most = count > most ? count : most;
    }
    bench_say("  those that sleep woke %" PRId64 " to %" PRId64 " times", least, most);
    if (runtime)
        filch_dump(runtime, STDERR_FILENO);
    _exit(ETIMEDOUT);
}

static filch_fn *role(int64_t i)
{
    return kind != MUTEX ? staller : i == 0 ? holder : locker;
}

static int as_tasks(void *arg)
{
    (void)arg;
    int r = 0;
    FILCH_SCOPE(s);
    for (int64_t i = 0; r >= 0 && i < tasks; i++)
        r = filch_spawn(&s, sleeper, &sleepers[i]);
    for (int64_t i = 0; r >= 0 && i < stallers_count; i++)
        r = filch_spawn(&s, role(i), &stallers[i]);
    return r < 0 ? r : filch_join(&s);
}

static int as_threads(void)
{
    struct bench_threads sleeping, first, rest;
    int r = bench_threads_start(&sleeping, tasks, sleeper, sleepers, sizeof *sleepers), other = 0;
    if (r >= 0 && stallers_count > 0) {
        r = bench_threads_start(&first, 1, role(0), stallers, sizeof *stallers);
        if (r >= 0 && stallers_count > 1) {
            r = bench_threads_start(&rest, stallers_count - 1, role(1), stallers + 1, sizeof *stallers);
            other = bench_threads_join(&rest);
            r = r < 0 ? r : other;
        }
        other = bench_threads_join(&first);
        r = r < 0 ? r : other;
    }
    other = bench_threads_join(&sleeping);
    return r < 0 ? r : other;
}

static int build(void)
{
    pthread_t thread;
    stallers_count = how_many();
    sleepers = calloc((size_t)tasks, sizeof *sleepers);
    stallers = calloc((size_t)stallers_count + 1, sizeof *stallers);
    int64_t *late = malloc((size_t)(tasks * room()) * sizeof *late);
    if (!sleepers || !stallers || !late)
        return -ENOMEM;
    for (int64_t i = 0; i < tasks; i++)
        sleepers[i].late = late + i * room();
    int r = 0;
    for (int64_t i = 0; r >= 0 && i < stallers_count; i++)
        r = equip(&stallers[i]);
    return r < 0 ? r : -pthread_create(&thread, NULL, watch, NULL);
}

static int hand_over(int fd, int64_t cpu)
{
    int64_t stalls = 0;
    FILE *out = fdopen(fd, "w");
    if (!out)
        return -errno;
    for (int64_t i = 0; i < stallers_count; i++)
        stalls += atomic_load(&stallers[i].done);
    fprintf(out, "cpu %" PRId64 " stalls %" PRId64 "\n", cpu, stalls);
    for (int64_t i = 0; i < tasks; i++) {
        int64_t count = atomic_load(&sleepers[i].wake_ups);
        fprintf(out, "task %" PRId64 "\n", count);
        for (int64_t k = 0; k < count; k++)
            fprintf(out, "%" PRId64 "\n", sleepers[i].late[k]);
    }
    return fflush(out) == 0 ? 0 : -errno;
}

static int measured(const filch_config *config, int fd)
{
    int r = build();
    if (r >= 0 && config)
        r = filch_start(config, &runtime);
    if (r < 0)
        return r;
    nap = config ? filch_sleep : thread_sleep;
    int64_t cpu = bench_cpu_time();
    end = filch_after((int64_t)(seconds * 1e9));
    r = config ? filch_call(runtime, as_tasks, NULL) : as_threads();
    cpu = bench_cpu_time() - cpu;
    if (config && r >= 0)
        r = filch_stop(runtime, filch_after(FILCH_SEC(5)));
    return r < 0 ? r : hand_over(fd, cpu);
}

static int by_filch(const filch_config *config, int fd)
{
    return measured(config, fd);
}

static int by_threads(const filch_config *config, int fd)
{
    (void)config;
    return measured(NULL, fd);
}

/* ---- Go ---- */

static int by_go(const filch_config *config, int fd)
{
    (void)config;
    char path[4096], numbers[5][32];
    const double values[] = {seconds, (double)stall_ms, (double)pause_ms, (double)tasks, (double)workers};
    for (int i = 0; i < 5; i++)
        snprintf(numbers[i], sizeof numbers[i], "%.10g", values[i]);
    int r = bench_beside(PEER, path, sizeof path);
    if (r < 0 || dup2(fd, STDOUT_FILENO) < 0)
        return r < 0 ? r : -errno;
    execl(path, PEER, names[kind], numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], NULL);
    return -errno;
}

/* ---- the process that asks ---- */

typedef int body_fn(const filch_config *config, int fd);

/* The last `workers` of the allowed CPUs, for this process. */
static void settle(void)
{
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof cpus, &cpus) < 0)
        return;
    for (int cpu = 0, surplus = CPU_COUNT(&cpus) - (int)workers; surplus > 0 && cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &cpus)) {
            CPU_CLR(cpu, &cpus);
            surplus--;
        }
    sched_setaffinity(0, sizeof cpus, &cpus);
}

static _Noreturn void child(body_fn *body, const filch_config *config, int fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    settle();
    _exit(-body(config, fd));
}

static int read_all(FILE *in, int64_t *ret_cpu, int64_t *ret_stalls, int64_t *ret_least, double *us, size_t *ret_count)
{
    size_t count = 0;
    if (fscanf(in, "cpu %" SCNd64 " stalls %" SCNd64, ret_cpu, ret_stalls) != 2)
        return -EIO;
    *ret_least = room();
    for (int64_t i = 0, wake_ups, ns; i < tasks; i++) {
        if (fscanf(in, " task %" SCNd64, &wake_ups) != 1 || wake_ups < 0 || wake_ups > room())
            return -EIO;
        *ret_least = wake_ups < *ret_least ? wake_ups : *ret_least;
        for (int64_t k = 0; k < wake_ups; k++) {
            if (fscanf(in, "%" SCNd64, &ns) != 1)
                return -EIO;
            us[count++] = (double)ns / 1e3;
        }
    }
    *ret_count = count;
    return 0;
}

/* A sample for each nap that a late wake-up has cost. @return a new array */
static double *all_due(const double *us, size_t count, size_t *ret_count)
{
    const double step = (double)NAP / 1e3;
    size_t total = 0, used = 0;
    for (size_t i = 0; i < count; i++)
        total += 1 + (us[i] > 0 ? (size_t)(us[i] / step) : 0);
    double *due = malloc((total + 1) * sizeof *due);
    for (size_t i = 0; due && i < count; i++) {
        due[used++] = us[i];
        for (double left = us[i] - step; left >= 0 && used < total; left -= step)
            due[used++] = left;
    }
    *ret_count = used;
    return due;
}

static int report(struct bench_run *run, FILE *in)
{
    int64_t cpu, stalls, least, early = 0, expected = rounds();
    size_t count, due_count;
    double overdue = 0, *due = NULL, *us = malloc((size_t)(tasks * room()) * sizeof *us);
    int r = us ? read_all(in, &cpu, &stalls, &least, us, &count) : -ENOMEM;
    if (r == 0) {
        due = all_due(us, count, &due_count);
        r = due ? 0 : -ENOMEM;
    }
    if (r == 0) {
        for (size_t i = 0; i < count; i++) {
            overdue += us[i];
            early += us[i] < 0;
        }
        double quiet = seconds * 1e9 - (double)(expected * FILCH_MSEC(stall_ms));
        bench_spread(run, "lateness_us", us, count);
        bench_result(run, bench_percentile(us, count, 99));
        bench_spread(run, "due_us", due, due_count);
        bench_more(run, "overdue", "% of time", 100 * overdue / ((double)tasks * seconds * 1e6));
        bench_more(run, "wake-ups", "of all", (double)count);
        bench_more(run, "wake-ups.fewest", "", (double)least);
        bench_more(run, "stalls", "of all", (double)stalls);
        bench_more(run, "cpu", "% CPU", 100 * (double)cpu / (seconds * 1e9));
        bench_check(run, "stopped", (double)least < quiet / NAP / 4, 0);
        bench_check(run, "early", early, 0);
        bench_check(run, "stalled", 2 * stalls >= expected * how_many(), 1);
    }
    free(due);
    free(us);
    return r;
}

/* Waits for the process's first word, which it says when it has measured. */
static int wait_for(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    int r = poll(&one, 1, (int)((patience() + 3) * 1e3)); /* a process that looks after itself is quicker */
    return r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
}

static int apart(struct bench_run *run, body_fn *body)
{
    int data[2], status = 0;
    cpu_set_t cpus;
    workers = bench_config(run)->workers;
    if (workers == 0)
        workers = sched_getaffinity(0, sizeof cpus, &cpus) < 0 ? 1 : CPU_COUNT(&cpus);
    bench_workers(run, (unsigned)workers);
    if (pipe2(data, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0)
        child(body, bench_config(run), data[1]);
    int r = pid < 0 ? -errno : 0;
    close(data[1]);
    FILE *in = fdopen(data[0], "r");
    if (r == 0)
        r = in ? wait_for(data[0]) : -ENOMEM;
    if (r == 0)
        r = report(run, in);
    if (r == -ETIMEDOUT && pid > 0)
        kill(pid, SIGKILL);
    if (in) /* before the wait: whoever has more to say is ended by it */
        fclose(in);
    else
        close(data[0]);
    if (pid > 0)
        waitpid(pid, &status, 0);
    return r == -EIO && WIFEXITED(status) && WEXITSTATUS(status) ? -WEXITSTATUS(status) : r;
}

static int stall_filch(struct bench_run *run)
{
    return apart(run, by_filch);
}

static int stall_threads(struct bench_run *run)
{
    return apart(run, by_threads);
}

static int stall_go(struct bench_run *run)
{
    if (kind == MUTEX || kind == FAULT) {
        bench_say("stall: there is no kind %s in Go", names[kind]);
        return -ENOTSUP;
    }
    return apart(run, by_go);
}

static int prepare(void)
{
    if (kind == FIFO && !bench_given("seconds"))
        seconds = 12;
    if (kind == FIFO && !bench_given("stall"))
        stall_ms = seconds < 12 ? (int64_t)(seconds * 1e4 / 12) : 10000;
    if (kind != NONE && rounds() == 0) {
        bench_say("stall: in %g s there is no time for a stall of %" PRId64 " ms and a pause of %" PRId64 " ms", seconds, stall_ms,
                  pause_ms);
        return -EINVAL;
    }
    if (kind == FAULT) {
        int fd = open_uffd();
        if (fd < 0) {
            bench_say("stall: kind fault needs userfaultfd(2), which is forbidden or missing here: %s", strerror(-fd));
            return -ENOTSUP;
        }
        close(fd);
    }
    return 0;
}

const struct bench bench_stall = {
    .name = "stall",
    .what = "tasks stall their carriers: how late the others wake",
    .unit = "us p99",
    .workers = 2,
    .go_program = PEER,
    .prepare = prepare,
    .forms = {{"filch", stall_filch, BENCH_APART}, {"threads", stall_threads, BENCH_APART}, {"go", stall_go, BENCH_GO}},
    .params =
        {
            BENCH_CHOICE("kind", kind, kinds, "what the stalls are"),
            BENCH_INT("stall", stall_ms, 1, 3600000, "ms; of a fifo 10000"),
            BENCH_INT("pause", pause_ms, 1, 3600000, "ms between two stalls"),
            BENCH_INT("tasks", tasks, 1, 1e5, "how many sleep"),
            BENCH_REAL("seconds", seconds, 0.05, 3600, "of sleep; with fifo 12"),
        },
};
