/* SPDX-License-Identifier: MIT */
/* In place of runtime/machine/clock.h in the simulator: virtual time, in nanoseconds. To read it takes some. */
#ifndef FL_MACHINE_CLOCK_H
#define FL_MACHINE_CLOCK_H

#include "base/attr.h"

int64_t fl_clock(void);

#endif
