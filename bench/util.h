/* SPDX-License-Identifier: MIT */
/* Small things that several workloads need: random numbers, order statistics, what the kernel knows about this process, and plain threads to compare with. */
#ifndef FILCH_BENCH_UTIL_H
#define FILCH_BENCH_UTIL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/** The next of a sequence of random numbers: splitmix64 (Steele, Lea, Flood, OOPSLA 2014). Any start value is good. */
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

void bench_sort(double *values, size_t count);

/** The smallest of `count` sorted values that `percent` percent of them do not exceed (nearest rank). */
double bench_percentile(const double *sorted, size_t count, double percent);

/** The median of sorted values: of an even number, the mean of the two in the middle. */
double bench_median(const double *sorted, size_t count);

/** CPU time of the whole process, in nanoseconds. */
int64_t bench_cpu_time(void);

/** A field of /proc/self/status in bytes ("VmRSS:", "VmHWM:"), 0 if it is not there. */
uint64_t bench_memory(const char *field);

/** The same of another process. */
uint64_t bench_memory_of(pid_t pid, const char *field);

/** Lets the peak of resident memory begin anew, where the kernel can (proc(5), clear_refs). */
void bench_peak_reset(void);

/** The peak of resident memory, in bytes. */
uint64_t bench_peak(void);

/** Where a program lies that was built beside this one. @return 0 or -errno */
int bench_beside(const char *name, char *ret_path, size_t size);

/** How many mappings this process has. */
int64_t bench_maps(void);

/** Plain threads that run at once. */
struct bench_threads {
    struct bench_thread *all;
    int64_t count;
};

/** Starts `count` threads with stacks of 64 KiB, the i-th with `fn(args + i * size)`.
 * @return 0, or -errno when one could not be started: those before it run, and bench_threads_join waits for them in any case */
int bench_threads_start(struct bench_threads *threads, int64_t count, int (*fn)(void *arg), void *args, size_t size);

/** Waits until all have returned. @return the first failure of one, or 0 */
int bench_threads_join(struct bench_threads *threads);

/** Both. */
int bench_threads(int64_t count, int (*fn)(void *arg), void *args, size_t size);

#endif
