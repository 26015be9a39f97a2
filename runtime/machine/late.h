/* SPDX-License-Identifier: MIT */
/* Late sleeps: how much later than asked the kernel ends them, and so how much less to ask for.
 *
 * A sleep of 1 ms ends some 5 us late on hardware, and 20 to 60 us late on a virtual machine whose CPU has been halted. Nearly all of that is the same each
 * time: the way out of the halt. So we measure it, keep the lower edge of what is seen, and ask for that much less. A sleep that ends
 * too soon is followed by a short one, or by a wait of some microseconds; a timer never fires before it is due, because whoever fires it looks at the clock.
 *
 * The longer a CPU has been halted, the longer its way out: so there is an edge for each order of magnitude. It falls fast and rises slowly,
 * because a CPU that others keep awake is not late, and whoever asked for less than it should is back too soon each time.
 *
 * No system call, no clock, no atomics: the owner of a ring alone asks. */
#ifndef FL_MACHINE_LATE_H
#define FL_MACHINE_LATE_H

#include "base/attr.h"

#include <stdint.h>

#define FL_LATE_CLASSES 8
#define FL_LATE_SHORTEST 32768 /* ns; from class to class twice as much */
#define FL_LATE_MOST 100000    /* ns: what is later has met something else */
#define FL_LATE_AIM 20000      /* ns after the time: who is back before it has been woken for nothing */

struct fl_late {
    int32_t edge[FL_LATE_CLASSES]; /**< ns; 0: unknown yet */
};

FL_INLINE unsigned fl_late_class(int64_t timeout)
{
    unsigned class = 0;
    for (int64_t most = FL_LATE_SHORTEST; class < FL_LATE_CLASSES - 1 && timeout >= most; most *= 2)
        class ++;
    return class;
}

/** @param timeout ns, at least 0 @return what to ask the kernel for, to sleep so long; 0 or less: the shortest sleep would be longer */
FL_INLINE int64_t fl_late_ask(const struct fl_late *late, int64_t timeout)
{
    int32_t edge = late->edge[fl_late_class(timeout)];
    return edge > FL_LATE_AIM ? timeout - (edge - FL_LATE_AIM) : timeout;
}

/** A sleep that was to last `timeout` ended by itself, `over` ns later than what was asked for. */
FL_INLINE void fl_late_learn(struct fl_late *late, int64_t timeout, int64_t over)
{
    int32_t *edge = &late->edge[fl_late_class(timeout)], seen = over < 0 ? 0 : over < FL_LATE_MOST ? (int32_t)over : FL_LATE_MOST;
    *edge += seen < *edge ? (seen - *edge) / 4 : (seen - *edge + 31) / 32;
}

#endif
