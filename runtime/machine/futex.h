/* SPDX-License-Identifier: MIT */
/* futex(2): how plain threads and isolated tasks wait. Private to the process. errno is left alone. */
#ifndef FL_MACHINE_FUTEX_H
#define FL_MACHINE_FUTEX_H

#include "base/attr.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/** Sleeps while *word is `value`, until woken or `deadline` (absolute ns of CLOCK_MONOTONIC; INT64_MAX: none). May return for no reason.
 * @return false: the deadline has passed. */
FL_INLINE bool fl_futex_wait(_Atomic(uint32_t) *word, uint32_t value, int64_t deadline)
{
    int saved = errno;
    struct timespec ts = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
    long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, deadline == INT64_MAX ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY);
    bool timely = !(r < 0 && errno == ETIMEDOUT);
    errno = saved;
    return timely;
}

FL_INLINE void fl_futex_wake(_Atomic(uint32_t) *word, int count)
{
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
    errno = saved;
}

#endif
