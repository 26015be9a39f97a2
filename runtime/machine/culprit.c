/* SPDX-License-Identifier: MIT */
/* What a kernel thread of this process is doing.
 *
 * A thread may look at the others of its process by /proc/self/task/<tid>, whatever ptrace restrictions (Yama, hidepid) say: "stat" has the
 * state, "wchan" the place in the kernel, and "syscall" the number of the system call with its arguments, stack pointer and program
 * counter, all while the thread sleeps. Nothing is sent to the thread and it is not stopped; the kernel only makes sure that it does not
 * run while it reads. "syscall" belongs to root in a process that is not dumpable (prctl(2), PR_SET_DUMPABLE): then only the state is
 * known.
 *
 * Three files are read one after the other, while the thread goes on as it likes. So what they say is believed if it fits: "syscall" says
 * "running" just when the state is not one of sleep, and of a thread that sleeps, the CPU clock has not moved from before the first to
 * after the last, by not a nanosecond: so it has slept all the time. Else it is looked again, a few times; what then still does not fit is
 * left out.
 *
 * A system call number of -1, in a thread that sleeps, means that it has come into the kernel by an exception: a page fault that waits for
 * the disk, for memory, for mmap_lock or for a userfaultfd. Stopping and freezing look the same; the state and wchan tell them apart.
 *
 * Where a backtrace starts
 *   asleep   pc and sp of "syscall", and a copy of the stack from sp up by process_vm_readv(2) on ourselves, which fails where a load would
 *            fault. The CPU clock must stand still meanwhile here, too.
 *   running  nobody can tell its registers but the kernel, so that is asked: a sampling event of the software clock on this thread, in user
 *            code only, with all user registers and a copy of the stack in each sample, taken in the timer's interrupt. The event ends
 *            itself with its first sample. perf_event_paranoid of 2 (the kernel's default) allows this for threads of one's own; 3
 *            (Debian's default), and seccomp profiles of container engines, forbid it: then there is no backtrace. A thread that is in the
 *            kernel, or waits for a CPU, gives no sample either.
 * Both are a copy of one moment. Whatever the thread does afterwards changes nothing in it, and every address in it is checked against the
 * copy's bounds (unwind.c).
 *
 * What all this can wait for is memory: pages of that stack, of code and of tables that are not there must be read, as for any other load.
 *
 * Sources: proc(5), perf_event_open(2), process_vm_readv(2). */
#include "machine/culprit.h"

#include "base/atomic.h"
#include "machine/clock.h"
#include "machine/context.h"
#include "machine/unwind.h"

#include <asm/perf_regs.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOKS 4              /* how often it is looked again when what was read does not fit */
#define STILL 1000000        /* ns: a CPU clock that stands for so long is that of a thread that sleeps */
#define TURN 100000000       /* ns: to wait for another caller of the unwinder */
#define SAMPLE_WAIT 5000000  /* ns: for a sample */
#define SAMPLE_PERIOD 250000 /* ns of the thread's CPU time */
#define SAMPLE_STACK 49152   /* bytes: a record has 16 bits for its length */
#define RING_PAGES 16        /* a power of two; at 4 KiB each, more than one record */

/* Made by calls.py. */
extern const char *const fl_call_names[];
extern const unsigned fl_call_count;

/* ---- /proc ---- */

static bool exists(pid_t tid)
{
    return syscall(SYS_tgkill, (long)getpid(), (long)tid, 0L) == 0 || errno != ESRCH;
}

static int open_file(pid_t tid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/%s", tid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : !exists(tid) ? -ESRCH : -errno;
}

/* @return bytes, without the 0 that is put behind them, or -errno */
static ssize_t read_text(int fd, char *text, size_t size)
{
    ssize_t n = pread(fd, text, size - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return n >= 0 ? n : -errno;
}

static ssize_t read_file(pid_t tid, const char *name, char *text, size_t size)
{
    int fd = open_file(tid, name);
    text[0] = '\0';
    if (fd < 0)
        return fd;
    ssize_t n = read_text(fd, text, size);
    close(fd);
    return n;
}

/* The state in a line of "stat": behind the name, which may have brackets and blanks of its own. 0: none */
static char state_of(const char *text)
{
    const char *end = strrchr(text, ')');
    return end && end[1] == ' ' ? end[2] : '\0';
}

static bool sleeps(char state)
{
    return state == 'S' || state == 'D';
}

/* CPU time of a thread, by the number that the kernel makes its clock's of (CPUCLOCK_PERTHREAD, CPUCLOCK_SCHED). @return ns, or -1 */
static int64_t cpu_time(pid_t tid)
{
    struct timespec ts;
    clockid_t id = (clockid_t)(~(unsigned)tid << 3 | 6);
    return clock_gettime(id, &ts) == 0 ? (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec : -1;
}

static int clock_stands(pid_t tid)
{
    int64_t before = cpu_time(tid);
    nanosleep(&(struct timespec){.tv_nsec = STILL}, NULL);
    int64_t after = cpu_time(tid);
    return before >= 0 && after >= 0 ? before == after : exists(tid) ? 0 : -ESRCH;
}

int fl_watch_open(struct fl_watch *watch, pid_t tid)
{
    int fd = open_file(tid, "stat");
    if (fd == -ESRCH || fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
        return fd;
    *watch = (struct fl_watch){.stat_fd = fd < 0 ? -1 : fd, .tid = tid};
    return 0;
}

void fl_watch_close(struct fl_watch *watch)
{
    if (watch->stat_fd >= 0)
        close(watch->stat_fd);
    watch->stat_fd = -1;
}

int fl_watch_off_cpu(const struct fl_watch *watch)
{
    char text[256];
    if (watch->stat_fd < 0)
        return clock_stands(watch->tid);
    ssize_t n = read_text(watch->stat_fd, text, sizeof text);
    char state = state_of(text);
    return n < 0 && n != -ESRCH ? clock_stands(watch->tid) : n <= 0 || state == 'X' || state == 'Z' ? -ESRCH : sleeps(state);
}

/* "syscall": "running", "-1 SP PC", or "NUMBER ARG... SP PC". @return whether the thread was asleep */
static bool read_call(pid_t tid, struct fl_culprit *ret_culprit)
{
    char text[256], *at = text, *end;
    uint64_t words[8];
    unsigned count = 0;
    if (read_file(tid, "syscall", text, sizeof text) <= 0 || strncmp(text, "running", 7) == 0)
        return false;
    long call = strtol(text, &end, 10);
    if (end == text)
        return false;
    for (at = end; count < 8; count++, at = end) {
        words[count] = strtoull(at, &end, 16);
        if (end == at)
            break;
    }
    if (count != (call < 0 ? 2 : 8))
        return false;
    ret_culprit->call = call < 0 ? -1 : call;
    memcpy(ret_culprit->args, words, call < 0 ? 0 : sizeof ret_culprit->args);
    ret_culprit->sp = (uintptr_t)words[count - 2];
    ret_culprit->pc = (uintptr_t)words[count - 1];
    return true;
}

int fl_culprit_look(pid_t tid, struct fl_culprit *ret_culprit)
{
    struct fl_culprit seen;
    char text[256];
    for (int look = 0; look < LOOKS; look++) {
        seen = (struct fl_culprit){.call = -1};
        int64_t before = cpu_time(tid);
        bool asleep = read_call(tid, &seen);
        ssize_t n = read_file(tid, "stat", text, sizeof text);
        if (n < 0 && n != -ESRCH && exists(tid)) {
            int stands = n == -ENOENT || n == -EACCES ? clock_stands(tid) : (int)n;
            if (stands < 0)
                return stands;
            *ret_culprit = (struct fl_culprit){.call = -1, .off_cpu = stands};
            return 0;
        }
        seen.state = state_of(text);
        if (n <= 0 || seen.state == 'X' || seen.state == 'Z') /* Z: the first thread has ended, the process goes on */
            return n < 0 && n != -ESRCH ? (int)n : -ESRCH;
        seen.off_cpu = sleeps(seen.state);
        if (seen.off_cpu && read_file(tid, "wchan", seen.wchan, sizeof seen.wchan) > 0 && strcmp(seen.wchan, "0") == 0)
            seen.wchan[0] = '\0';
        if (asleep == seen.off_cpu && (!asleep || before == cpu_time(tid)))
            break;
        seen = (struct fl_culprit){.call = -1, .state = seen.state, .off_cpu = seen.off_cpu};
    }
    *ret_culprit = seen;
    return 0;
}

/* ---- in words ---- */

struct words {
    char *text;
    size_t size, length;
};

FL_PRINTF(2, 3) static void say(struct words *words, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(words->text + words->length, words->size - words->length, format, ap);
    va_end(ap);
    words->length += n < 0 ? 0 : (size_t)n;
    if (words->length >= words->size)
        words->length = words->size - 1;
}

/* Calls whose first argument is a descriptor, and those with a path as the first argument, or as the second behind a directory. */
static const char of_fd[] =
    " read write pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 close ioctl fcntl flock fsync fdatasync sync_file_range "
    "ftruncate"
    " fallocate getdents getdents64 lseek fstat fadvise64 readahead syncfs accept accept4 connect sendto recvfrom sendmsg recvmsg sendmmsg "
    "recvmmsg"
    " shutdown epoll_wait epoll_pwait epoll_pwait2 epoll_ctl io_uring_enter io_uring_register sendfile splice tee vmsplice copy_file_range"
    " fchmod fchown fchdir fstatfs fgetxattr fsetxattr pidfd_send_signal timerfd_settime ";
static const char of_path[] = " open creat stat lstat access truncate unlink mkdir rmdir rename link symlink chmod chown lchown readlink "
                              "statfs chdir execve mknod uselib ";
static const char of_path_at[] =
    " openat openat2 newfstatat statx faccessat faccessat2 unlinkat mkdirat renameat renameat2 linkat fchmodat fchownat readlinkat mknodat"
    " utimensat execveat name_to_handle_at ";

static bool among(const char *names, const char *name)
{
    char word[48];
    snprintf(word, sizeof word, " %s ", name);
    return strstr(names, word);
}

static void say_fd(struct words *words, uint64_t arg)
{
    char path[64], target[128];
    snprintf(path, sizeof path, "/proc/self/fd/%d", (int)arg);
    ssize_t n = readlink(path, target, sizeof target - 1);
    say(words, " of fd %d", (int)arg);
    if (n > 0) {
        target[n] = '\0';
        say(words, " (%s%s)", target, n == sizeof target - 1 ? "..." : "");
    }
}

/* A string that may be anything by now. */
static void say_path(struct words *words, uint64_t address)
{
    char path[64];
    size_t count = 0;
    while (count < sizeof path - 1 && fl_unwind_peek(&path[count], (uintptr_t)address + count, 1) && path[count] > ' ' && path[count] < 127)
        count++;
    bool whole = count < sizeof path - 1 && path[count] == '\0';
    path[count] = '\0';
    if (count > 0)
        say(words, " of %s%s", path, whole ? "" : "...");
}

static bool take_turn(void);
static void give_turn(void);

static void say_call(struct words *words, const struct fl_culprit *culprit)
{
    const uint64_t *args = culprit->args;
    const char *name = (unsigned long)culprit->call < fl_call_count ? fl_call_names[culprit->call] : NULL;
    if (!name) {
        say(words, "in system call %ld", culprit->call);
        return;
    }
    say(words, "in %s(2)", name);
    if (among(of_fd, name)) {
        say_fd(words, args[0]);
    } else if (among(of_path, name) || among(of_path_at, name)) {
        if (take_turn()) {
            say_path(words, args[among(of_path_at, name)]);
            give_turn();
        }
    } else if (strcmp(name, "futex") == 0) {
        say(words, " on 0x%llx", (unsigned long long)args[0]);
    } else if (strcmp(name, "poll") == 0 || strcmp(name, "ppoll") == 0) {
        say(words, " of %llu descriptors", (unsigned long long)args[1]);
    } else if (strcmp(name, "wait4") == 0 || strcmp(name, "waitid") == 0) {
        int pid = (int)args[strcmp(name, "waitid") == 0];
        say(words, pid > 0 ? " for %d" : " for a child", pid);
    }
}

size_t fl_culprit_say(const struct fl_culprit *culprit, char *text, size_t size)
{
    struct words words = {text, size, 0};
    if (size == 0)
        return 0;
    text[0] = '\0';
    bool frozen = strstr(culprit->wchan, "freez") || strstr(culprit->wchan, "signal") || strstr(culprit->wchan, "ptrace");
    if (!culprit->off_cpu) {
        say(&words, "%s",
            culprit->state == 'R' || culprit->state == '\0'  ? "on CPU, or ready to run"
            : culprit->state == 'T' || culprit->state == 't' ? "stopped"
                                                             : "in an unknown state");
        return words.length;
    }
    if (culprit->call >= 0)
        say_call(&words, culprit);
    else if (culprit->pc && !frozen)
        say(&words, "in a page fault at 0x%llx", (unsigned long long)culprit->pc);
    else
        say(&words, "off CPU");
    if (culprit->state == 'D')
        say(&words, ", uninterruptible");
    if (culprit->wchan[0])
        say(&words, ", asleep in %s", culprit->wchan);
    return words.length;
}

/* ---- backtrace ---- */

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER; /* the unwinder's tables and the snapshot */
static struct fl_snapshot snapshot;

static bool take_turn(void)
{
    struct timespec until; /* in a child of fork the one before may not exist any more */
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += TURN;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return pthread_mutex_timedlock(&turn, &until) == 0;
}

static void give_turn(void)
{
    pthread_mutex_unlock(&turn);
}

static bool fits(uintptr_t sp, uintptr_t low, uintptr_t high)
{
    return sp >= low && sp < high && sp % 8 == 0;
}

/* What lies from `sp` on, into the snapshot. */
static bool copy_stack(uintptr_t sp, uintptr_t high)
{
    size_t size = (high - sp) & ~(size_t)7;
    size = size > FL_UNWIND_BYTES ? FL_UNWIND_BYTES : size;
    snapshot.known = UINT64_C(1) << FL_UNWIND_SP;
    snapshot.regs[FL_UNWIND_SP] = sp;
    snapshot.low = sp;
    snapshot.high = sp + size;
    return fl_unwind_peek(snapshot.words, sp, size);
}

enum look { TAKEN, ELSEWHERE, NOT_SO };

/* Fills the snapshot of a thread that sleeps. NOT_SO: it doesn't */
static enum look look_asleep(pid_t tid, uintptr_t low, uintptr_t high)
{
    struct fl_culprit seen;
    int64_t before = cpu_time(tid);
    if (!read_call(tid, &seen))
        return NOT_SO;
    if (seen.pc == 0 || !fits(seen.sp, low, high))
        return ELSEWHERE;
    if (!copy_stack(seen.sp, high))
        return ELSEWHERE;
    if (before < 0 || cpu_time(tid) != before)
        return NOT_SO;
    snapshot.pc = seen.pc;
    snapshot.exact = seen.call < 0;
    return TAKEN;
}

/* Fills the snapshot of a stack that nobody runs on. */
static bool look_left(uintptr_t sp, uintptr_t low, uintptr_t high)
{
    static const unsigned char numbers[] = {FL_CONTEXT_NUMBERS};
    if (!fits(sp, low, high) || high - sp < FL_CONTEXT_SIZE || !copy_stack(sp, high))
        return false;
    const uint64_t *saved = snapshot.words + FL_CONTEXT_REGS / 8;
    for (size_t i = 0; i < sizeof numbers; i++) {
        snapshot.regs[numbers[i]] = saved[i];
        snapshot.known |= UINT64_C(1) << numbers[i];
    }
    snapshot.pc = saved[sizeof numbers];
    snapshot.exact = false;
    snapshot.regs[FL_UNWIND_SP] = sp + FL_CONTEXT_SIZE;
    return true;
}

/* The registers that are sampled, and the DWARF number of each, in the order of the kernel's numbers, which is that of the sample. -1: the
 * program counter */
#if defined(__x86_64__)
#define SAMPLE_REGS    \
    (UINT64_C(0x1ff) | \
     UINT64_C(0xff) << PERF_REG_X86_R8) /* ax bx cx dx si di bp sp ip, r8-r15: without flags and segments, which not all kernels give */
static const signed char dwarf_numbers[] = {0, 3, 2, 1, 4, 5, 6, 7, -1, 8, 9, 10, 11, 12, 13, 14, 15};
#else
#define SAMPLE_REGS ((UINT64_C(1) << PERF_REG_ARM64_MAX) - 1)
static const signed char dwarf_numbers[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                                            17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, -1};
#endif
#define SAMPLE_COUNT (sizeof dwarf_numbers)

/* A record: header, ABI, registers, size of the stack's copy, the copy, how much of it is valid. */
static bool take_sample(const struct perf_event_header *record, uintptr_t low, uintptr_t high)
{
    const uint64_t *at = (const uint64_t *)(record + 1), *end = (const uint64_t *)((const char *)record + record->size);
    if (end - at < (ptrdiff_t)(2 + SAMPLE_COUNT) || *at++ != PERF_SAMPLE_REGS_ABI_64)
        return false;
    snapshot.known = 0;
    for (size_t i = 0; i < SAMPLE_COUNT; i++, at++) {
        if (dwarf_numbers[i] < 0) {
            snapshot.pc = *at;
            continue;
        }
        snapshot.regs[dwarf_numbers[i]] = *at;
        snapshot.known |= UINT64_C(1) << dwarf_numbers[i];
    }
    uint64_t size = *at++, sp = snapshot.regs[FL_UNWIND_SP];
    if (size == 0 || size % 8 != 0 || (uint64_t)(end - at) < size / 8 + 1 || !fits(sp, low, high))
        return false;
    uint64_t valid = at[size / 8];
    if (valid > size)
        return false;
    valid = valid > high - sp ? high - sp : valid;
    valid &= ~UINT64_C(7);
    memcpy(snapshot.words, at, valid);
    snapshot.low = sp;
    snapshot.high = sp + valid;
    snapshot.exact = true;
    return true;
}

/* Waits for the one sample of an event. */
static bool await_sample(int fd, struct perf_event_mmap_page *ring, uintptr_t low, uintptr_t high)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = RING_PAGES * page;
    const char *data = (const char *)ring + page;
    int64_t until = fl_clock() + SAMPLE_WAIT, left;
    uint64_t at = 0;
    while ((left = until - fl_clock()) > 0) {
        int n = ppoll(&poll_fd, 1, &(struct timespec){.tv_nsec = left}, NULL);
        if (n < 0 && errno != EINTR)
            return false;
        uint64_t head = load_acquire(fl_atomic(uint64_t, &ring->data_head)); /* own: the kernel writes it, behind the records */
        while (at < head) {
            const struct perf_event_header *record = (const void *)(data + at);
            if (head - at < sizeof *record || record->size < sizeof *record || record->size > size - at)
                return false;
            if (record->type == PERF_RECORD_SAMPLE)
                return take_sample(record, low, high);
            at += record->size;
        }
        if (n > 0 && poll_fd.revents & (POLLHUP | POLLERR))
            return false; /* the thread has ended, or the event has been used up by what was lost */
    }
    return false;
}

/* Fills the snapshot of a thread that runs. */
static bool look_running(pid_t tid, uintptr_t low, uintptr_t high)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof attr,
        .config = PERF_COUNT_SW_CPU_CLOCK,
        .sample_period = SAMPLE_PERIOD,
        .sample_type = PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER,
        .sample_regs_user = SAMPLE_REGS,
        .sample_stack_user = SAMPLE_STACK,
        .wakeup_events = 1,
        .disabled = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
    };
    size_t size = (RING_PAGES + 1) * (size_t)sysconf(_SC_PAGESIZE);
    bool taken = false;
    int fd = (int)syscall(SYS_perf_event_open, &attr, (long)tid, -1L, -1L, (long)PERF_FLAG_FD_CLOEXEC);
    if (fd < 0)
        return false;
    void *ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ring != MAP_FAILED) {
        taken = ioctl(fd, PERF_EVENT_IOC_REFRESH, 1) == 0 && await_sample(fd, ring, low, high);
        munmap(ring, size);
    }
    close(fd);
    return taken;
}

size_t fl_culprit_backtrace(pid_t tid, uintptr_t low, uintptr_t high, void **ret_pcs, size_t max, size_t *ret_sure)
{
    size_t count = 0;
    *ret_sure = 0;
    if (!take_turn())
        return 0;
    enum look look = look_asleep(tid, low, high);
    if (look == NOT_SO && look_running(tid, low, high))
        look = TAKEN;
    if (look == NOT_SO) /* it may sleep by now */
        look = look_asleep(tid, low, high);
    if (look == TAKEN)
        count = fl_unwind(&snapshot, ret_pcs, max, ret_sure);
    give_turn();
    return count;
}

size_t fl_culprit_left(uintptr_t sp, uintptr_t low, uintptr_t high, void **ret_pcs, size_t max, size_t *ret_sure)
{
    size_t count = 0;
    *ret_sure = 0;
    if (!take_turn())
        return 0;
    if (look_left(sp, low, high))
        count = fl_unwind(&snapshot, ret_pcs, max, ret_sure);
    give_turn();
    return count;
}

bool fl_culprit_symbol(const void *pc, char *text, size_t size)
{
    bool ours = size > 0 && take_turn();
    if (ours) {
        fl_unwind_symbol((uintptr_t)pc, text, size);
        give_turn();
    } else if (size > 0) {
        snprintf(text, size, "%p", pc);
    }
    return ours;
}
