/* SPDX-License-Identifier: MIT */
/* The laws of machine/culprit and machine/backtrace, with what that stands on: what is said of a thread is so, the calls come in their
 * order, and whatever the thread does meanwhile, nothing crashes and nothing waits.
 *
 * Samples of a thread that runs need perf_event_open(2), and the names of the test's own functions libdw: where they are missing, the test
 * is skipped and says why. */
#include "machine/backtrace.h"
#include "machine/culprit.h"

#include "../deny.h"
#include "base/atomic.h"
#include "machine/clock.h"
#include "machine/context.h"
#include "machine/peek.h"
#include "machine/sanitizer.h"
#include "machine/symbol.h"
#include "machine/unwind.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(culprit, .timeout = 60);

#define FRAMES 32

/* A thread that does something until it is told to end. */
static struct suspect {
    pthread_t thread;
    void (*act)(void);
    _Atomic(pid_t) tid;
    uintptr_t low, high;
} suspect;

static _Atomic(bool) ending;
static int pipe_fds[2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char *page;
static _Atomic(uint64_t) turns;

static void *suspect_main(void *arg)
{
    struct suspect *it = arg;
    pthread_attr_t attr;
    void *base;
    size_t size;
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstack(&attr, &base, &size);
    pthread_attr_destroy(&attr);
    it->low = (uintptr_t)base;
    it->high = (uintptr_t)base + size;
    store_release(&it->tid, gettid()); /* [suspect] pairs with fl_tests_start: the bounds */
    it->act();
    return NULL;
}

void fl_tests_start(void (*act)(void));
void fl_tests_start(void (*act)(void))
{
    suspect.act = act;
    cr_assert_eq(pthread_create(&suspect.thread, NULL, suspect_main, &suspect), 0);
    while (load_acquire(&suspect.tid) == 0) /* [suspect] pairs with fl_tests_start */
        usleep(100);
}

static pid_t tid(void)
{
    return load_relaxed(&suspect.tid); /* own: set before */
}

static void end(void)
{
    store_relaxed(&ending, true); /* counter */
    pthread_join(suspect.thread, NULL);
}

/* Looks until the thread sleeps in a call, or not in one. */
static struct fl_culprit await_sleep(long call)
{
    struct fl_culprit seen;
    for (int i = 0; i < 5000; i++) {
        cr_assert_eq(fl_culprit_look(tid(), &seen), 0);
        if (seen.off_cpu && seen.call == call)
            return seen;
        usleep(1000);
    }
    cr_assert(false, "off CPU %d, call %ld, not %ld", seen.off_cpu, seen.call, call);
    return seen;
}

static void said(const struct fl_culprit *culprit, const char *start)
{
    char text[256];
    size_t length = fl_culprit_say(culprit, text, sizeof text);
    cr_assert(length == strlen(text) && strncmp(text, start, strlen(start)) == 0, "\"%s\" does not begin with \"%s\"", text, start);
    for (size_t size = 1; size < 40; size++) {
        char part[40];
        cr_assert(fl_culprit_say(culprit, part, size) == strlen(part) && strncmp(part, text, strlen(part)) == 0);
    }
}

static bool watched(void)
{
    struct fl_watch watch;
    cr_assert_eq(fl_watch_open(&watch, tid()), 0);
    int off = fl_watch_off_cpu(&watch);
    fl_watch_close(&watch);
    cr_assert(off == 0 || off == 1);
    return off;
}

/* ---- what they do ---- */

static void (*volatile depth)(void); /* what is done at the depth of three calls; volatile: no compiler knows it */

int fl_tests_inner(void);
int fl_tests_middle(void);
int fl_tests_outer(void);

FL_NOINLINE int fl_tests_inner(void)
{
    depth();
    fl_compiler_barrier();
    return 1;
}

FL_NOINLINE int fl_tests_middle(void)
{
    char room[300];
    __asm__ volatile("" : : "r"(room) : "memory");
    int r = fl_tests_inner() + 1;
    __asm__ volatile("" : : "r"(room) : "memory");
    return r;
}

FL_NOINLINE int fl_tests_outer(void)
{
    int r = fl_tests_middle() + 1;
    fl_compiler_barrier();
    return r;
}

static void act_read(void)
{
    char byte;
    ssize_t ignored = read(pipe_fds[0], &byte, 1);
    (void)ignored;
    fl_compiler_barrier();
}

static void act_nanosleep(void)
{
    while (!load_relaxed(&ending)) /* counter */
        nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
}

static void act_lock(void)
{
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
}

static void act_spin(void)
{
    while (!load_relaxed(&ending)) /* counter */
        add_relaxed(&turns, 1);    /* counter */
}

static void act_clock(void)
{
    while (!load_relaxed(&ending)) /* counter */
        fl_clock();
}

static void act_fault(void)
{
    *(volatile char *)page = 1;
    fl_compiler_barrier();
}

static void act_nothing(void)
{
}

static void deep_read(void)
{
    depth = act_read;
    fl_tests_outer();
}

static void deep_nanosleep(void)
{
    depth = act_nanosleep;
    fl_tests_outer();
}

static void deep_lock(void)
{
    depth = act_lock;
    fl_tests_outer();
}

static void deep_spin(void)
{
    depth = act_spin;
    fl_tests_outer();
}

static void deep_clock(void)
{
    depth = act_clock;
    fl_tests_outer();
}

static void deep_fault(void)
{
    depth = act_fault;
    fl_tests_outer();
}

static void let_read_end(void)
{
    cr_assert_eq(write(pipe_fds[1], "x", 1), 1);
    end();
}

/* A join may be a moment before the end. */
static void is_over(void)
{
    struct fl_culprit seen;
    int r;
    for (int i = 0; i < 5000 && (r = fl_culprit_look(tid(), &seen)) == 0; i++)
        usleep(1000);
    cr_assert_eq(r, -ESRCH);
}

/* ---- looks ---- */

Test(culprit, a_read_is_told_with_its_descriptor)
{
    char start[128], target[64] = "";
    char link[32];
    cr_assert_eq(pipe(pipe_fds), 0);
    fl_tests_start(act_read);
    struct fl_culprit seen = await_sleep(SYS_read);
    cr_assert(seen.state == 'S' && (int)seen.args[0] == pipe_fds[0] && seen.args[2] == 1);
    cr_assert(seen.pc && seen.sp >= suspect.low && seen.sp < suspect.high && watched());
    snprintf(link, sizeof link, "/proc/self/fd/%d", pipe_fds[0]);
    cr_assert_gt(readlink(link, target, sizeof target - 1), 0);
    snprintf(start, sizeof start, "in read(2) of fd %d (%s)", pipe_fds[0], target);
    said(&seen, start);
    let_read_end();
}

Test(culprit, a_sleep_is_told)
{
    fl_tests_start(act_nanosleep);
    struct fl_culprit seen = await_sleep(SYS_clock_nanosleep);
    said(&seen, "in clock_nanosleep(2)");
    end();
}

Test(culprit, a_lock_is_told_with_its_address)
{
    char start[64];
    pthread_mutex_lock(&mutex);
    fl_tests_start(act_lock);
    struct fl_culprit seen = await_sleep(SYS_futex);
    snprintf(start, sizeof start, "in futex(2) on 0x%lx", (unsigned long)&mutex);
    said(&seen, start);
    pthread_mutex_unlock(&mutex);
    end();
}

Test(culprit, who_spins_is_on_CPU_or_ready)
{
    struct fl_culprit seen;
    fl_tests_start(act_spin);
    for (int i = 0; i < 50; i++) {
        cr_assert(fl_culprit_look(tid(), &seen) == 0 && !seen.off_cpu && seen.state == 'R' && seen.call == -1 && seen.pc == 0);
        cr_assert(!watched());
        usleep(100);
    }
    said(&seen, "on CPU, or ready to run");
    end();
}

static char fifo[] = "/tmp/filch-culprit-XXXXXX";

static void act_open(void)
{
    close(open(fifo, O_RDONLY));
}

Test(culprit, a_path_is_told)
{
    char start[64];
    close(mkstemp(fifo));
    unlink(fifo);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    fl_tests_start(act_open);
    struct fl_culprit seen = await_sleep(SYS_openat);
    snprintf(start, sizeof start, "in openat(2) of %s", fifo);
    said(&seen, start);
    close(open(fifo, O_WRONLY));
    end();
    unlink(fifo);
}

static int fault_fd = -1;

static void make_fault(void)
{
    struct uffdio_api api = {.api = UFFD_API};
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    fault_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    if (fault_fd < 0)
        cr_skip_test("userfaultfd(2) is not allowed: %s", strerror(errno));
    page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register range = {.range = {(uintptr_t)page, size}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    cr_assert(page != MAP_FAILED && ioctl(fault_fd, UFFDIO_API, &api) == 0 && ioctl(fault_fd, UFFDIO_REGISTER, &range) == 0);
}

static void let_fault_end(void)
{
    struct uffdio_zeropage zero = {.range = {(uintptr_t)page, (size_t)sysconf(_SC_PAGESIZE)}};
    cr_assert_eq(ioctl(fault_fd, UFFDIO_ZEROPAGE, &zero), 0);
    end();
}

Test(culprit, a_page_fault_is_told)
{
    make_fault();
    fl_tests_start(act_fault);
    struct fl_culprit seen = await_sleep(-1);
    cr_assert(seen.pc && seen.sp >= suspect.low && seen.sp < suspect.high);
    said(&seen, "in a page fault at 0x");
    let_fault_end();
}

Test(culprit, who_has_ended_is_ESRCH)
{
    struct fl_watch watch, late;
    void *pcs[FRAMES];
    size_t sure;
    cr_assert_eq(pipe(pipe_fds), 0);
    fl_tests_start(act_read);
    cr_assert_eq(fl_watch_open(&watch, tid()), 0);
    let_read_end();
    is_over();
    cr_assert_eq(fl_watch_off_cpu(&watch), -ESRCH);
    fl_watch_close(&watch);
    cr_assert_eq(fl_watch_open(&late, tid()), -ESRCH);
    cr_assert_eq(fl_backtrace_thread(tid(), suspect.low, suspect.high, pcs, FRAMES, &sure), 0);
}

Test(culprit, in_a_process_that_cannot_be_dumped_the_state_is_known)
{
    void *some[FRAMES];
    size_t certain;
    struct fl_culprit seen;
    if (geteuid() == 0)
        cr_assert(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    cr_assert_eq(prctl(PR_SET_DUMPABLE, 0), 0);
    cr_assert_eq(pipe(pipe_fds), 0);
    fl_tests_start(act_read);
    while (!watched())
        usleep(100);
    cr_assert_eq(fl_culprit_look(tid(), &seen), 0);
    cr_assert(seen.off_cpu && seen.state == 'S' && seen.call == -1 && seen.pc == 0 && seen.sp == 0);
    said(&seen, "off CPU");
    cr_assert_eq(fl_backtrace_thread(tid(), suspect.low, suspect.high, some, FRAMES, &certain), 0);
    let_read_end();
    is_over();
}

Test(culprit, without_proc_the_clock_tells_who_sleeps)
{
    char root[] = "/tmp/filch-culprit-XXXXXX";
    struct fl_culprit seen;
    struct fl_watch watch;
    if (geteuid() != 0)
        cr_skip_test("only root may change the root");
    cr_assert(mkdtemp(root) && chdir("/tmp") == 0 && pipe(pipe_fds) == 0);
    cr_assert_eq(chroot(root), 0);
    rmdir(strrchr(root, '/') + 1);
    fl_tests_start(act_read);
    while (!watched())
        ;
    cr_assert_eq(fl_culprit_look(tid(), &seen), 0);
    cr_assert(seen.off_cpu && seen.state == 0 && seen.call == -1 && seen.pc == 0);
    said(&seen, "off CPU");
    cr_assert_eq(fl_watch_open(&watch, tid()), 0);
    let_read_end();
    is_over();
    cr_assert_eq(fl_watch_off_cpu(&watch), -ESRCH);
    store_relaxed(&ending, false);  /* counter */
    store_relaxed(&suspect.tid, 0); /* own: it has ended */
    fl_tests_start(act_spin);
    bool asleep = true;
    for (int i = 0; asleep && i < 5000; i++) /* while others have its CPU its clock stands, too */
        asleep = watched();
    cr_assert(!asleep);
    for (int i = 0; seen.off_cpu && i < 5000; i++)
        cr_assert_eq(fl_culprit_look(tid(), &seen), 0);
    cr_assert(!seen.off_cpu);
    said(&seen, "on CPU, or ready to run");
    end();
}

Test(culprit, a_system_call_that_nobody_knows_is_told_by_its_number)
{
    struct fl_culprit made = {.off_cpu = true, .state = 'D', .call = 99999, .wchan = "somewhere"};
    said(&made, "in system call 99999, uninterruptible, asleep in somewhere");
    said(&(struct fl_culprit){.off_cpu = true, .state = 'S', .call = -1}, "off CPU");
    said(&(struct fl_culprit){.state = 'T', .call = -1}, "stopped");
    said(&(struct fl_culprit){.off_cpu = true, .state = 'S', .call = SYS_openat, .args = {0, 8}}, "in openat(2)");
    said(&(struct fl_culprit){.off_cpu = true, .state = 'S', .call = SYS_read, .args = {77777}}, "in read(2) of fd 77777");
}

/* ---- backtraces ---- */

static void *pcs[FRAMES];
static char lines[FRAMES][128];
static size_t count, sure;

static void backtrace(uintptr_t low, uintptr_t high)
{
    count = fl_backtrace_thread(tid(), low, high, pcs, FRAMES, &sure);
    cr_assert(sure <= count && count <= FRAMES);
    for (size_t i = 0; i < count; i++)
        fl_backtrace_symbol(pcs[i], lines[i], sizeof lines[i]);
    if (getenv("FILCH_SHOW"))
        for (size_t i = 0; i < count; i++)
            fprintf(stderr, "  #%zu %s%s\n", i, i < sure ? "" : "? ", lines[i]);
}

static size_t line_of(const char *function)
{
    size_t length = strlen(function);
    for (size_t i = 0; i < count; i++)
        if (strncmp(lines[i], function, length) == 0 && lines[i][length] == '+')
            return i;
    return FRAMES;
}

#ifndef FL_LIBDW
#define FL_LIBDW 0
#endif

static bool may_sample(void)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_CPU_CLOCK, .exclude_kernel = 1, .disabled = 1};
    int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
    close(fd);
    return fd >= 0;
}

#if FL_LIBDW
/* Who did it, and how it came there, each once. */
static void in_order(const char *innermost)
{
    size_t inner = line_of("fl_tests_inner"), act = line_of(innermost);
    cr_assert(act < inner && inner < FRAMES, "%zu lines, %s at %zu, inner at %zu", count, innermost, act, inner);
    cr_assert_eq(line_of("fl_tests_middle"), inner + 1);
    cr_assert_eq(line_of("fl_tests_outer"), inner + 2);
    cr_assert_lt(inner + 2, count);
#ifdef HAVE_LINES
    cr_assert(strstr(lines[inner], "(test_culprit.c:"), "%s", lines[inner]);
#endif
}
#else
/* Functions of a program are not among its dynamic symbols; and there may be anything in between. */
static void in_order(const char *innermost)
{
    static int (*const functions[])(void) = {fl_tests_inner, fl_tests_middle, fl_tests_outer};
    unsigned found = 0;
    (void)innermost;
    for (size_t i = 0; i < count && found < 3; i++)
        found += (uintptr_t)pcs[i] - (uintptr_t)functions[found] < 250;
    cr_assert_eq(found, 3, "%u of three in %zu lines", found, count);
    cr_assert_eq(sure, 1);
}
#endif

/* The sanitizers' frames are aligned in a way that no prologue tells: there some are found by guessing. */
static void is_sure(void)
{
    if (FL_LIBDW && !FL_ASAN && !FL_TSAN)
        cr_assert_gt(sure, line_of("fl_tests_outer"));
}

Test(culprit, a_backtrace_of_a_read)
{
    cr_assert_eq(pipe(pipe_fds), 0);
    fl_tests_start(deep_read);
    await_sleep(SYS_read);
    backtrace(suspect.low, suspect.high);
    let_read_end();
    in_order("act_read");
    is_sure();
}

Test(culprit, a_backtrace_of_a_sleep)
{
    fl_tests_start(deep_nanosleep);
    await_sleep(SYS_clock_nanosleep);
    backtrace(suspect.low, suspect.high);
    end();
    in_order("act_nanosleep");
    is_sure();
}

Test(culprit, a_backtrace_of_a_lock)
{
    pthread_mutex_lock(&mutex);
    fl_tests_start(deep_lock);
    await_sleep(SYS_futex);
    backtrace(suspect.low, suspect.high);
    pthread_mutex_unlock(&mutex);
    end();
    in_order("act_lock");
    is_sure();
}

Test(culprit, a_backtrace_of_a_page_fault)
{
    make_fault();
    fl_tests_start(deep_fault);
    await_sleep(-1);
    backtrace(suspect.low, suspect.high);
    let_fault_end();
    in_order("act_fault");
    is_sure();
}

static void is_sampled(void (*deep)(void), const char *innermost)
{
    fl_tests_start(deep);
    for (int i = 0; i < 50; i++) { /* which may have no CPU for 5 ms */
        int64_t before = fl_clock();
        backtrace(suspect.low, suspect.high);
        if (count > 0)
            break;
        cr_assert_lt(fl_clock() - before, INT64_C(1000000000));
    }
    end();
    if (!may_sample())
        cr_skip_test("perf_event_open(2) is not allowed: %s", strerror(errno));
    cr_assert_gt(count, 0);
    in_order(innermost);
    if (FL_LIBDW)
        cr_assert_eq(sure, count);
}

Test(culprit, a_backtrace_of_who_spins)
{
    is_sampled(deep_spin, "act_spin");
}

Test(culprit, a_backtrace_of_who_reads_the_clock_goes_through_the_vdso)
{
    is_sampled(deep_clock, "act_clock");
}

Test(culprit, without_permission_to_sample_there_is_none_of_who_spins)
{
    cr_assert(deny(SYS_perf_event_open, EACCES));
    fl_tests_start(deep_spin);
    backtrace(suspect.low, suspect.high);
    end();
    cr_assert_eq(count, 0);
}

Test(culprit, where_memory_of_ours_may_not_be_read_a_pipe_does)
{
    char to[8] = "";
    cr_assert(deny(SYS_process_vm_readv, EPERM));
    cr_assert(fl_peek(to, "good", 5) && strcmp(to, "good") == 0);
    cr_assert(!fl_peek(to, (const void *)8, 8));
    cr_assert_eq(pipe(pipe_fds), 0);
    fl_tests_start(deep_read);
    await_sleep(SYS_read);
    backtrace(suspect.low, suspect.high);
    let_read_end();
    in_order("act_read");
}

static void *backtrace_main(void *arg)
{
    backtrace(suspect.low, suspect.high);
    return arg;
}

Test(culprit, a_small_stack_is_enough_to_look_from)
{
    pthread_attr_t attr;
    pthread_t thread;
    cr_assert_eq(pipe(pipe_fds), 0);
    fl_tests_start(deep_read);
    await_sleep(SYS_read);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    cr_assert_eq(pthread_create(&thread, &attr, backtrace_main, NULL), 0);
    pthread_join(thread, NULL);
    let_read_end();
    in_order("act_read");
}

Test(culprit, a_module_more_or_less_changes_nothing)
{
    cr_assert_eq(pipe(pipe_fds), 0);
    fl_tests_start(deep_read);
    await_sleep(SYS_read);
    backtrace(suspect.low, suspect.high);
    void *module = dlopen("libthread_db.so.1", RTLD_LAZY);
    if (module) {
        char text[64];
        fl_backtrace_symbol((char *)dlsym(module, "td_init") + 1, text, sizeof text);
        cr_assert(strncmp(text, "td_init+0x1 (", 13) == 0, "%s", text);
    }
    backtrace(suspect.low, suspect.high);
    in_order("act_read");
    if (module)
        dlclose(module);
    backtrace(suspect.low, suspect.high);
    let_read_end();
    if (!module)
        cr_skip_test("%s", dlerror());
    in_order("act_read");
}

Test(culprit, on_another_stack_there_is_none)
{
    cr_assert_eq(pipe(pipe_fds), 0);
    fl_tests_start(deep_read);
    await_sleep(SYS_read);
    backtrace(0x10000, 0x20000);
    cr_assert_eq(count, 0);
    backtrace(0, 0);
    cr_assert_eq(count, 0);
    backtrace(suspect.low, suspect.low + 64);
    cr_assert_eq(count, 0);
    let_read_end();
}

/* ---- a stack of our own, as tasks have ---- */

#define ROOM (256 * 1024)
static char own_stack[ROOM] __attribute__((aligned(64)));
static void *thread_sp, *own_sp;

static void on_own_stack(void)
{
    depth = act_read;
    fl_tests_outer();
    fl_context_switch(&own_sp, thread_sp);
}

static void act_on_own_stack(void)
{
    own_sp = fl_context_make((uintptr_t)own_stack + ROOM, on_own_stack);
    fl_context_switch(&thread_sp, own_sp);
}

Test(culprit, a_backtrace_ends_at_the_first_frame_of_a_stack_of_our_own, .disabled = FL_ASAN)
{
    cr_assert_eq(pipe(pipe_fds), 0);
    fl_tests_start(act_on_own_stack);
    await_sleep(SYS_read);
    backtrace((uintptr_t)own_stack, (uintptr_t)own_stack + ROOM);
    size_t whole = count;
    cr_assert_gt(whole, 0);
    if (FL_LIBDW) {
        in_order("act_read");
        cr_assert(line_of("fl_context_first") == count - 1 && line_of("on_own_stack") == count - 2);
        cr_assert_eq(sure, count);
    }
    backtrace(suspect.low, suspect.high);
    cr_assert_eq(count, 0);
    let_read_end();
}

/* ---- garbage ---- */

static struct fl_snapshot made;

static void is_harmless(void)
{
    char text[64];
    count = fl_unwind(&made, pcs, FRAMES, &sure);
    cr_assert(count >= 1 && count <= FRAMES && sure <= count);
    for (size_t i = 0; i < count; i++) {
        fl_symbol((uintptr_t)pcs[i], text, 1 + i % sizeof text);
        cr_assert_lt(strlen(text), 1 + i % sizeof text);
    }
}

Test(culprit, garbage_is_harmless)
{
    uint64_t dice = 88172645463325252u;
    uintptr_t code = (uintptr_t)fl_tests_inner, libc = (uintptr_t)nanosleep;
    for (int round = 0; round < 2000; round++) {
        uint64_t words = round % 64;
        made.low = round % 3 == 0 ? (uintptr_t)made.words : round % 3 == 1 ? 0x1000 : UINTPTR_MAX - words * 8 - 7;
        made.low &= ~(uintptr_t)7;
        made.high = made.low + words * 8;
        for (uint64_t i = 0; i < words; i++) {
            dice ^= dice << 13, dice ^= dice >> 7, dice ^= dice << 17;
            made.words[i] = dice % 4 == 0   ? code + dice / 4 % 4096
                            : dice % 4 == 1 ? libc + dice / 4 % 65536
                            : dice % 4 == 2 ? made.low + dice / 4 % 512
                                            : dice;
        }
        made.pc = round % 5 == 0 ? dice : round % 5 == 1 ? 0 : round % 5 == 2 ? libc + dice % 65536 : code + dice % 4096;
        made.exact = dice >> 60 & 1;
        made.known = round % 7 == 0 ? UINT32_MAX & ((UINT64_C(1) << FL_UNWIND_REGS) - 1) : UINT64_C(1) << FL_UNWIND_SP;
        for (unsigned reg = 0; reg < FL_UNWIND_REGS; reg++)
            made.regs[reg] = reg % 2 ? dice * reg : made.low + reg * 8;
        made.regs[FL_UNWIND_SP] = round % 11 == 0 ? dice : made.low;
        is_harmless();
    }
}

Test(culprit, symbols_of_anything_are_harmless)
{
    static const uintptr_t odd[] = {0, 1, 4095, UINTPTR_MAX, UINTPTR_MAX - 1, (uintptr_t)1 << 63, 0xffffffffff600000};
    char text[64], one[1] = "x";
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        fl_backtrace_symbol((void *)odd[i], text, sizeof text);
        cr_assert(strncmp(text, "0x", 2) == 0, "%s", text);
    }
    fl_backtrace_symbol((void *)one, text, sizeof text);
    fl_backtrace_symbol((void *)one, one, 1);
    cr_assert_eq(one[0], '\0');
    uintptr_t libc = (uintptr_t)getppid; /* which a sanitizer does not replace */
    fl_backtrace_symbol((void *)(libc + 1), text, sizeof text);
    cr_assert(strncmp(text, "getppid+0x1 (", 13) == 0 || strncmp(text, "__getppid+0x1 (", 15) == 0, "%s", text);
}

/* ---- threads that move ---- */

#define LOOKS_EACH 2000
#define MOVERS 3

static struct suspect movers[MOVERS];

static void act_move(void)
{
    int fds[2];
    char byte = 0;
    unsigned dice = 1;
    cr_assert_eq(pipe2(fds, O_NONBLOCK), 0);
    while (!load_relaxed(&ending)) { /* counter */
        dice = dice * 1103515245 + 12345;
        switch (dice >> 16 & 3) {
        case 0:
            usleep(20);
            break;
        case 1:
            byte += write(fds[1], &byte, 1) == 1 && read(fds[0], &byte, 1) == 1;
            break;
        case 2:
            sched_yield();
            break;
        default:
            for (int i = 0; i < 1000; i++)
                add_relaxed(&turns, 1); /* counter */
        }
    }
    close(fds[0]);
    close(fds[1]);
}

static void deep_move(void)
{
    depth = act_move;
    fl_tests_outer();
}

static void *short_lived(void *arg)
{
    while (!load_relaxed(&ending)) { /* counter */
        struct suspect *it = arg;
        pthread_t thread;
        it->act = act_nothing;
        if (pthread_create(&thread, NULL, suspect_main, it) == 0)
            pthread_join(thread, NULL);
    }
    return NULL;
}

Test(culprit, threads_that_move_are_looked_at_all_the_time)
{
    void *mine[FRAMES];
    char text[256];
    for (int i = 0; i < MOVERS; i++) {
        movers[i].act = deep_move;
        cr_assert_eq(pthread_create(&movers[i].thread, NULL, i < MOVERS - 1 ? suspect_main : short_lived, &movers[i]), 0);
        while (load_acquire(&movers[i].tid) == 0) /* [suspect] pairs with fl_tests_start */
            usleep(100);
    }
    int seen_asleep = 0, seen_running = 0, with_frames = 0;
    int64_t longest = 0;
    for (int look = 0; look < LOOKS_EACH; look++) {
        struct suspect *it = &movers[look % MOVERS];
        struct fl_culprit seen;
        pid_t it_tid = load_acquire(&it->tid); /* [suspect] pairs with fl_tests_start */
        int64_t before = fl_clock();
        int r = fl_culprit_look(it_tid, &seen);
        cr_assert(r == 0 || r == -ESRCH, "%d", r);
        if (r == 0) {
            cr_assert(fl_culprit_say(&seen, text, sizeof text) > 0);
            seen_asleep += seen.off_cpu;
            seen_running += !seen.off_cpu;
        }
        if (look % 4 == 0 || look % MOVERS == MOVERS - 1) {
            size_t found, certain;
            found = fl_backtrace_thread(it_tid, movers[look % (MOVERS - 1)].low, movers[look % (MOVERS - 1)].high, mine, FRAMES, &certain);
            cr_assert(certain <= found && found <= FRAMES);
            with_frames += found > 0;
            for (size_t i = 0; i < found; i++)
                fl_backtrace_symbol(mine[i], text, sizeof text);
        }
        int64_t took = fl_clock() - before;
        longest = took > longest ? took : longest;
    }
    store_relaxed(&ending, true); /* counter */
    for (int i = 0; i < MOVERS; i++)
        pthread_join(movers[i].thread, NULL);
    if (getenv("FILCH_SHOW"))
        fprintf(stderr, "%d asleep, %d running, %d backtraces, longest %.1f ms\n", seen_asleep, seen_running, with_frames,
                (double)longest / 1e6);
    cr_assert(seen_asleep > 0 && seen_running > 0);
}
