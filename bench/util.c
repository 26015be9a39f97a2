/* SPDX-License-Identifier: MIT */
/* See util.h. The files of /proc are read with plain system calls: they never block for long. */
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

void bench_sort(double *values, size_t count)
{
    qsort(values, count, sizeof *values, ascending);
}

double bench_percentile(const double *sorted, size_t count, double percent)
{
    double exact = percent / 100 * (double)count;
    size_t rank = (size_t)exact;
    if ((double)rank < exact)
        rank++;
    return count ? sorted[rank ? rank - 1 : 0] : 0;
}

double bench_median(const double *sorted, size_t count)
{
    return count ? (sorted[(count - 1) / 2] + sorted[count / 2]) / 2 : 0;
}

int64_t bench_cpu_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint64_t bench_memory(const char *field)
{
    return bench_memory_of(getpid(), field);
}

uint64_t bench_memory_of(pid_t pid, const char *field)
{
    char path[64], text[8192];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[length > 0 ? length : 0] = 0;
    const char *at = strstr(text, field);
    return at ? strtoull(at + strlen(field), NULL, 10) * 1024 : 0;
}

void bench_peak_reset(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, "5", 1) < 0) {
        /* an older or a locked-down kernel: the peak then includes the warm-up */
    }
    close(fd);
}

uint64_t bench_peak(void)
{
    uint64_t peak = bench_memory("VmHWM:");
    struct rusage usage;
    if (peak == 0 && getrusage(RUSAGE_SELF, &usage) == 0)
        peak = (uint64_t)usage.ru_maxrss * 1024;
    return peak;
}

int bench_beside(const char *name, char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    char *slash = length < 0 ? NULL : memrchr(path, '/', (size_t)length);
    size_t room = slash ? size - (size_t)(slash + 1 - path) : 0;
    if ((size_t)snprintf(slash ? slash + 1 : NULL, room, "%s", name) >= room)
        return -ENOENT;
    return access(path, X_OK) < 0 ? -errno : 0;
}

int64_t bench_maps(void)
{
    static char text[1 << 16];
    int64_t lines = 0;
    ssize_t length;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    while ((length = read(fd, text, sizeof text)) > 0)
        for (ssize_t i = 0; i < length; i++)
            lines += text[i] == '\n';
    close(fd);
    return lines;
}

struct bench_thread {
    pthread_t id;
    int (*fn)(void *arg);
    void *arg;
    int result;
};

static void *run_thread(void *arg)
{
    struct bench_thread *thread = arg;
    thread->result = thread->fn(thread->arg);
    return NULL;
}

int bench_threads_start(struct bench_threads *threads, int64_t count, int (*fn)(void *arg), void *args, size_t size)
{
    pthread_attr_t small;
    *threads = (struct bench_threads){.all = calloc((size_t)count, sizeof *threads->all)};
    int error = threads->all ? pthread_attr_init(&small) : ENOMEM;
    if (error)
        return -error;
    pthread_attr_setstacksize(&small, 65536);
    while (error == 0 && threads->count < count) {
        struct bench_thread *thread = &threads->all[threads->count];
        *thread = (struct bench_thread){.fn = fn, .arg = (char *)args + (size_t)threads->count * size};
        error = pthread_create(&thread->id, &small, run_thread, thread);
        threads->count += error == 0;
    }
    pthread_attr_destroy(&small);
    return -error;
}

int bench_threads_join(struct bench_threads *threads)
{
    int r = 0;
    for (int64_t i = 0; i < threads->count; i++) {
        pthread_join(threads->all[i].id, NULL);
        r = r < 0 ? r : threads->all[i].result;
    }
    free(threads->all);
    return r;
}

int bench_threads(int64_t count, int (*fn)(void *arg), void *args, size_t size)
{
    struct bench_threads threads;
    int r = bench_threads_start(&threads, count, fn, args, size), failure = bench_threads_join(&threads);
    return r < 0 ? r : failure;
}
