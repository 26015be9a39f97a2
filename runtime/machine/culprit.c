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
 * Sources: proc(5). */
#include "machine/culprit.h"

#include "machine/peek.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOKS 4       /* how often it is looked again when what was read does not fit */
#define STILL 1000000 /* ns: a CPU clock that stands for so long is that of a thread that sleeps */

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

/* By the number that the kernel makes its clock's of (CPUCLOCK_PERTHREAD, CPUCLOCK_SCHED). */
int64_t fl_thread_cpu_time(pid_t tid)
{
    struct timespec ts;
    clockid_t id = (clockid_t)(~(unsigned)tid << 3 | 6);
    return clock_gettime(id, &ts) == 0 ? (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec : -1;
}

static int clock_stands(pid_t tid)
{
    int64_t before = fl_thread_cpu_time(tid);
    nanosleep(&(struct timespec){.tv_nsec = STILL}, NULL);
    int64_t after = fl_thread_cpu_time(tid);
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

/* "syscall": "running", "-1 SP PC", or "NUMBER ARG... SP PC". */
bool fl_culprit_asleep(pid_t tid, struct fl_culprit *ret_culprit)
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
        int64_t before = fl_thread_cpu_time(tid);
        bool asleep = fl_culprit_asleep(tid, &seen);
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
        if (asleep == seen.off_cpu && (!asleep || before == fl_thread_cpu_time(tid)))
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
    const char *from = (const char *)(uintptr_t)address;
    char path[64], end = ' ';
    size_t length = fl_peek_string(path, sizeof path, from), count = 0;
    while (count < length && path[count] > ' ' && path[count] < 127)
        count++;
    bool whole = count == length && fl_peek(&end, from + length, 1) && end == '\0';
    if (count > 0)
        say(words, " of %.*s%s", (int)count, path, whole ? "" : "...");
}

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
        say_path(words, args[among(of_path_at, name)]);
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
