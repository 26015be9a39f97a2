/* SPDX-License-Identifier: MIT */
/* Reliefs: further workers, that stand in for those that are stalled. See relief.c. */
#ifndef FL_SCHED_RELIEF_H
#define FL_SCHED_RELIEF_H

#include "sched/worker.h"

/** Starts one more relief, at rest. The monitor alone. @return 0; -ENOSPC there are as many as may be; -EAGAIN no kernel thread; -ENOMEM; a code of fl_ring_init. */
int fl_relief_new(struct filch_runtime *runtime);

/** Ends the threads of all. The runtime's state is FL_ENDING. */
void fl_relief_stop(struct filch_runtime *runtime);

/** Gives a relief that rests a duty on the CPU of regular worker `host`; the last that there may be gets light duty. For full duty one of light duty that has nothing to do will do.
 * Any thread; never parks. @return false: there is none. */
bool fl_relief_call(struct filch_runtime *runtime, unsigned host, enum fl_duty duty);

/** Changes the duty of one that was called. Any thread; never waits. */
void fl_relief_assign(struct fl_worker *relief, enum fl_duty duty);

/** What a relief does that is out of work and has not full duty: rests, or serves what is ready.
 * @return a task; NULL: it has full duty now and searches as any worker, or the runtime ends */
struct fl_task *fl_relief_aside(struct fl_worker *w);

/** Gives everything in a relief's queues to the others: it is to rest. The owner, at its look round. */
FL_COLD void fl_relief_hand_over(struct fl_worker *w);

#endif
