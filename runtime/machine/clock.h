/* SPDX-License-Identifier: MIT */
/* The clock: CLOCK_MONOTONIC in nanoseconds, through the vDSO (about 20 ns). */
#ifndef FL_MACHINE_CLOCK_H
#define FL_MACHINE_CLOCK_H

#include "base/attr.h"

#include <time.h>

FL_INLINE int64_t fl_clock(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

#endif
