/* SPDX-License-Identifier: MIT */
/* The heavy side of base/barrier.h, by membarrier(2). */
#include "base/barrier.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

_Atomic(bool) fl_barrier_asymmetric;
static bool forced_symmetric;

/* A full barrier of the hardware. Written as an instruction: ThreadSanitizer has no model of fences and gcc warns of them there. */
static inline void full_barrier(void)
{
#if defined(__x86_64__)
    __asm__ volatile("lock; orq $0, (%%rsp)" ::: "memory", "cc");
#elif defined(__aarch64__)
    __asm__ volatile("dmb ish" ::: "memory");
#endif
}

void fl_barrier_init(void)
{
    if (!forced_symmetric && syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0)
        store_relaxed(&fl_barrier_asymmetric, true);
}

void fl_barrier_force_symmetric(void)
{
    forced_symmetric = true;
    store_relaxed(&fl_barrier_asymmetric, false);
}

void fl_barrier_light_slow(void)
{
    full_barrier();
}

void fl_barrier_heavy(void)
{
    full_barrier();
    if (load_relaxed(&fl_barrier_asymmetric))
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}
