/* SPDX-License-Identifier: MIT */
/* The inject queue: tasks that come from outside the workers (plain threads, other runtimes), first in, first out, one a runtime.
 *
 * A lock and an intrusive list: it never fails for want of memory, and it is not on the way of tasks that workers spawn or make ready.
 *
 * Memory ordering: the lock. `count` is a hint for those who only look; a pusher that must know whether it is seen runs fl_idle_wanted
 * afterwards, whose barrier pairs with the sleeper's. */
#ifndef FL_SCHED_INJECT_H
#define FL_SCHED_INJECT_H

#include "base/lock.h"
#include "sched/task.h"

struct fl_inject {
    FL_ALIGN_PAIR struct fl_lock lock;
    _Atomic(uint32_t) count;
    struct fl_task *head, *tail;
};

FL_INLINE void fl_inject_push(struct fl_inject *q, struct fl_task *task)
{
    task->next = NULL;
    fl_lock_take(&q->lock);
    if (q->tail)
        q->tail->next = task;
    else
        q->head = task;
    q->tail = task;
    store_relaxed(&q->count, load_relaxed(&q->count) + 1); /* own: the lock; others take it as a hint */
    fl_lock_give(&q->lock);
}

FL_INLINE struct fl_task *fl_inject_pop(struct fl_inject *q)
{
    if (load_relaxed(&q->count) == 0) /* hint: a sleeper looks again behind its barrier */
        return NULL;
    fl_lock_take(&q->lock);
    struct fl_task *task = q->head;
    if (task) {
        q->head = task->next;
        if (!q->head)
            q->tail = NULL;
        store_relaxed(&q->count, load_relaxed(&q->count) - 1); /* own: the lock */
    }
    fl_lock_give(&q->lock);
    return task;
}

#endif
