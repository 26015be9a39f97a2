/* SPDX-License-Identifier: MIT */
/* One process of a comparison: bound to CPUs before it starts, in a process group of its own, so that all of it can be ended; what it
 * prints goes into memory. Its limit is kept by a pidfd. When this program ends early, the kernel ends the child.
 *
 * How much others used the same CPUs in the meantime is what /proc/stat counts for these CPUs, stolen time included, less what
 * wait4(2) says of the child and those it has waited for. The kernel counts ticks of 10 ms, so this is good for sums only. */
#include "compare.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* Seconds in which these CPUs did anything, ever. */
static double busy(const cpu_set_t *cpus)
{
    char line[512];
    double ticks = 0;
    FILE *file = fopen("/proc/stat", "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file)) {
        unsigned long long t[8] = {0};
        unsigned cpu;
        if (sscanf(line, "cpu%u %llu %llu %llu %llu %llu %llu %llu %llu", &cpu, &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) >=
                5 &&
            CPU_ISSET(cpu, cpus))
            ticks += (double)(t[0] + t[1] + t[2] + t[5] + t[6] + t[7]); /* user, nice, system, irq, softirq, steal */
    }
    fclose(file);
    return ticks / (double)sysconf(_SC_CLK_TCK);
}

static _Noreturn void become(char *const argv[], const cpu_set_t *cpus, int out, int err)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sched_setaffinity(0, sizeof *cpus, cpus);
    dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execv(argv[0], argv);
    dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* Until it has ended or time is up. It is a zombie then, so that its group's number is still its own. */
static bool wait_for(pid_t child, double limit)
{
    int fd = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int64_t end = filch_after((int64_t)(limit * 1e9)), left;
    int r = 0;
    while (r <= 0 && (left = end - filch_now()) > 0) {
        r = fd < 0 ? waitid(P_PID, (id_t)child, &(siginfo_t){0}, WEXITED | WNOWAIT) + 1 : poll(&poll_fd, 1, (int)(left / 1000000) + 1);
        if (r < 0 && errno != EINTR)
            break;
    }
    if (fd >= 0)
        close(fd);
    kill(-child, SIGKILL);
    return r > 0;
}

static char *text_of(int fd)
{
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        return NULL;
    char *text = calloc((size_t)stat.st_size + 1, 1);
    if (text && pread(fd, text, (size_t)stat.st_size, 0) < 0)
        text[0] = 0;
    return text;
}

static int watch(char *const argv[], const cpu_set_t *cpus, double limit, int out, int err, struct compare_process *process)
{
    struct rusage usage;
    double before = busy(cpus);
    int64_t start = filch_now();
    pid_t child = fork();
    if (child < 0)
        return -errno;
    if (child == 0)
        become(argv, cpus, out, err);
    setpgid(child, child);
    process->timeout = !wait_for(child, limit);
    process->wall = (double)(filch_now() - start) / 1e9;
    while (wait4(child, &process->status, 0, &usage) < 0 && errno == EINTR)
        ;
    process->cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    process->peak_rss = (double)usage.ru_maxrss * 1024;
    process->others = busy(cpus) - before - process->cpu;
    process->out = text_of(out);
    process->err = text_of(err);
    return process->out && process->err ? 0 : -ENOMEM;
}

int compare_run(char *const argv[], const cpu_set_t *cpus, double limit, struct compare_process *process)
{
    int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
    *process = (struct compare_process){0};
    fflush(NULL);
    int r = out < 0 || err < 0 ? -errno : watch(argv, cpus, limit, out, err, process);
    if (out >= 0)
        close(out);
    if (err >= 0)
        close(err);
    return r;
}

void compare_process_fini(struct compare_process *process)
{
    free(process->out);
    free(process->err);
    *process = (struct compare_process){0};
}

json_t *compare_line(const char *text)
{
    json_t *last = NULL;
    for (; text && *text; text += text[0] == '\n') {
        size_t length = strcspn(text, "\n");
        json_t *object = text[0] == '{' ? json_loadb(text, length, 0, NULL) : NULL;
        if (json_is_object(object)) {
            json_decref(last);
            last = object;
        } else {
            json_decref(object);
        }
        text += length;
    }
    return last;
}
