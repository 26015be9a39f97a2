/* SPDX-License-Identifier: MIT */
/* What takes time although nobody calls for it: a line of another worker's that has to be fetched, a switch of stacks. The code says it where it happens, and
 * nothing is compiled for it. Where time is virtual (bench/sim, which puts a header of its own before this one), it passes there. */
#ifndef FL_MACHINE_COST_H
#define FL_MACHINE_COST_H

#include "base/attr.h"

enum fl_cost_kind {
    FL_COST_LOOK,   /**< at another worker, to find out whether there is anything to do for it */
    FL_COST_GLANCE, /**< at one field of another worker, in a row of many */
    FL_COST_SHARED, /**< at what every idle worker writes */
    FL_COST_TRY,    /**< nothing by itself: a thief has seen work, and tries to get it */
    FL_COST_FETCH,  /**< items that were another worker's */
    FL_COST_GIVE,   /**< the same, by that worker itself */
    FL_COST_PARK,   /**< a task parks, is made ready and goes on */
};

/** @param of the worker concerned @param count of what is fetched */
FL_INLINE void fl_cost(enum fl_cost_kind what, const void *of, unsigned count)
{
    (void)what, (void)of, (void)count;
}

#endif
