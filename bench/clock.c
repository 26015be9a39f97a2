/* SPDX-License-Identifier: MIT */
/* A clock that goes on by a microsecond whenever it is read, for counts of instructions: preloaded into filch-bench by
 * tools/bench-instructions.
 *
 * How often a worker looks round depends on how long its tasks take. Under Valgrind, on a machine that does other work, that is never
 * twice the same, and the counts of two runs differ by some percent. By this clock all tasks are short, and they differ by less than a
 * thousandth of that. Only the monotonic clock is so; the others are the kernel's. */
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STEP 1000 /* ns */

int clock_gettime(clockid_t id, struct timespec *ret_time)
{
    static atomic_int_fast64_t now = 1000000000;
    if (id != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, id, ret_time);
    int64_t time = atomic_fetch_add_explicit(&now, STEP, memory_order_relaxed);
    *ret_time = (struct timespec){.tv_sec = time / 1000000000, .tv_nsec = time % 1000000000};
    return 0;
}
