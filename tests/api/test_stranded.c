/* SPDX-License-Identifier: MIT */
/* The laws of who is stuck: while a task keeps its kernel thread, whatever it does there, the operations that were begun on that thread end all the same, and
 * the tasks that wait for them go on elsewhere, soon.
 *
 * One of two workers is held while a thousand tasks begin to wait on the other. That one then is stuck for as long as it takes: until all thousand have gone on, or ten
 * seconds have passed. What is not tested here: sleeps, which is test_fair.c. */
#include "api.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { WAITERS = 1000, ROUNDS = 5, SOON = 20 /* ms */, AHEAD = 8 };

static struct waiter {
    int ends[2], kind;
    int64_t event, woken;
} waiters[WAITERS];

static atomic_int waiting, done, stuck;
static int hold[2], gate[2];

/* ---- who waits ---- */

static int wait_for_a_byte(void *arg)
{
    struct waiter *it = arg;
    char byte;
    atomic_fetch_add(&waiting, 1);
    if (it->kind == 0)
        must(filch_recv(it->ends[0], &byte, 1, 0) == 1);
    else if (it->kind == 1)
        must(filch_read(it->ends[0], &byte, 1) == 1);
    else
        must(filch_poll(it->ends[0], POLLIN) == POLLIN);
    it->woken = filch_now();
    atomic_fetch_add(&done, 1);
    return 0;
}

/* A few at a time, so that a delay is one's own, not that of a crowd on a machine that others use as well. */
static void *send_to_all(void *arg)
{
    (void)arg;
    await_count(&stuck, 1);
    usleep(5000);
    int64_t end = filch_after(FILCH_SEC(10));
    for (int i = 0; i < WAITERS; i++) {
        while (atomic_load(&done) < i - AHEAD && filch_now() < end)
            usleep(20);
        waiters[i].event = filch_now();
        must(write(waiters[i].ends[1], "x", 1) == 1);
    }
    while (atomic_load(&done) < WAITERS && filch_now() < end)
        usleep(500);
    atomic_fetch_add(&stuck, 1);
    must(write(gate[1], "x", 1) == 1);
    return NULL;
}

/* ---- ways to be stuck, until `stuck` is 2 and the gate has been written to; with the address of the page that is not there ---- */

static void spin(void *page)
{
    (void)page;
    while (atomic_load(&stuck) < 2)
        ;
}

static void sit_in_read(void *page)
{
    char byte;
    (void)page;
    while (read(gate[0], &byte, 1) != 1)
        must(errno == EINTR);
}

static void sit_in_futex(void *page)
{
    (void)page;
    while (atomic_load(&stuck) < 2)
        syscall(SYS_futex, &stuck, FUTEX_WAIT, 1, &(struct timespec){.tv_sec = 1}, NULL, 0);
}

static void sit_in_sigwait(void *page)
{
    sigset_t none;
    sigemptyset(&none);
    (void)page;
    while (atomic_load(&stuck) < 2)
        sigtimedwait(&none, NULL, &(struct timespec){.tv_nsec = 300000000});
}

static void touch(void *page)
{
    must(*(volatile char *)page == 0);
    must(atomic_load(&stuck) == 2);
}

/* ---- the law ---- */

static int keep_the_other(void *arg)
{
    char byte;
    atomic_store((atomic_int *)arg, 1);
    return read(hold[0], &byte, 1) == 1 ? 0 : 1;
}

struct way {
    void (*stick)(void *page);
    void *page;
};

static int get_stuck(void *arg)
{
    struct way *way = arg;
    atomic_int kept = 0;
    FILCH_SCOPE(s);
    must(filch_spawn(&s, keep_the_other, &kept) == 0);
    while (!atomic_load(&kept)) /* without parking: it is the other one that takes it */
        ;
    for (int i = 0; i < WAITERS; i++)
        must(filch_spawn(&s, wait_for_a_byte, &waiters[i]) == 0);
    while (atomic_load(&waiting) < WAITERS)
        filch_yield();
    must(filch_sleep(FILCH_MSEC(5)) == 0); /* the kernel has been told of all of them by then */
    must(atomic_load(&done) == 0);
    must(write(hold[1], "x", 1) == 1);
    atomic_store(&stuck, 1);
    way->stick(way->page);
    must(atomic_load(&done) == WAITERS);
    return filch_join(&s);
}

static int by_delay(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t p99(void)
{
    int64_t delays[WAITERS];
    for (int i = 0; i < WAITERS; i++)
        delays[i] = waiters[i].woken - waiters[i].event;
    qsort(delays, WAITERS, sizeof *delays, by_delay);
    return delays[WAITERS * 99 / 100];
}

static void open_all(void)
{
    struct rlimit many;
    must(getrlimit(RLIMIT_NOFILE, &many) == 0);
    many.rlim_cur = many.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &many) == 0);
    for (int i = 0; i < WAITERS; i++) {
        waiters[i].kind = i % 3;
        must((i % 3 == 1 ? pipe(waiters[i].ends) : socketpair(AF_UNIX, SOCK_STREAM, 0, waiters[i].ends)) == 0);
    }
    must(pipe(hold) == 0 && pipe(gate) == 0);
}

static void empty_all(void)
{
    char byte;
    for (int i = 2; i < WAITERS; i += 3) /* those that only polled */
        must(read(waiters[i].ends[0], &byte, 1) == 1);
    must(fcntl(gate[0], F_SETFL, O_NONBLOCK) == 0 && read(gate[0], &byte, 1) <= 1 && fcntl(gate[0], F_SETFL, 0) == 0);
}

/* Soon: the best of some rounds, because others may use this machine. */
static void nobody_is_stranded(struct way way)
{
    open_all();
    for (int round = 1;; round++) {
        atomic_store(&waiting, 0);
        atomic_store(&done, 0);
        atomic_store(&stuck, 0);
        pthread_t thread = thread_start(send_to_all, NULL);
        must(filch_run(&(filch_config){.workers = 2}, get_stuck, &way) == 0);
        thread_join(thread);
        empty_all();
        if (p99() < FILCH_MSEC(SOON))
            return;
        must(round < ROUNDS);
    }
}

Test(stranded, nobody_by_one_that_computes)
{
    nobody_is_stranded((struct way){spin, NULL});
}

Test(stranded, nobody_by_one_in_a_blocking_read)
{
    nobody_is_stranded((struct way){sit_in_read, NULL});
}

Test(stranded, nobody_by_one_that_waits_for_a_word)
{
    nobody_is_stranded((struct way){sit_in_futex, NULL});
}

Test(stranded, nobody_by_one_that_waits_for_a_signal)
{
    nobody_is_stranded((struct way){sit_in_sigwait, NULL});
}

/* ---- in a page fault ---- */

static int faults = -1;

/* Gives the page when the gate opens. */
static void *give_the_page(void *page)
{
    char byte;
    must(read(gate[0], &byte, 1) == 1);
    struct uffdio_zeropage zero = {.range = {(uintptr_t)page, 4096}};
    must(ioctl(faults, UFFDIO_ZEROPAGE, &zero) == 0);
    return NULL;
}

static void touch_what_is_given_late(void *page)
{
    pthread_t thread = thread_start(give_the_page, page);
    touch(page);
    thread_join(thread);
    must(madvise(page, 4096, MADV_DONTNEED) == 0);
}

Test(stranded, nobody_by_one_in_a_page_fault)
{
    struct uffdio_api api = {.api = UFFD_API};
    faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register range = {.range = {(uintptr_t)page, 4096}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (faults < 0 || ioctl(faults, UFFDIO_API, &api) < 0 || ioctl(faults, UFFDIO_REGISTER, &range) < 0)
        cr_skip_test("no userfaultfd(2) here");
    nobody_is_stranded((struct way){touch_what_is_given_late, page});
}

/* ---- in a wait that nothing interrupts ---- */

static int wait_at_the_gate(void *arg)
{
    char byte;
    (void)arg;
    return read(gate[0], &byte, 1) == 1 ? 0 : 1;
}

/* As vfork(2): the caller sleeps until the child has ended. */
static void sit_in_vfork(void *stack)
{
    int status;
    pid_t child = clone(wait_at_the_gate, (char *)stack + 65536, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    must(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

Test(stranded, nobody_by_one_that_nothing_interrupts, .disabled = SANITIZED)
{
    filch_runtime *runtime;
    must(filch_start(NULL, &runtime) == 0);
    filch_io io = filch_io_backend(runtime, NULL);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
    if (io == FILCH_IO_URING)
        cr_skip_test("io_uring ends an operation in the thread that began it, and only a signal could interrupt that");
    void *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    nobody_is_stranded((struct way){sit_in_vfork, stack});
}
