/* SPDX-License-Identifier: MIT */
/* The parallel loop: lazy binary splitting on the in-frame fork.
 *
 * A range is walked in parts of the grain; before each part, if this worker has nothing left that a thief could take, the
 * remaining range is halved and one half offered (A. Tzannes et al., "Lazy binary-splitting", PPoPP 2010). So there is one split a theft, not
 * one a part, and with nobody idle the loop is a loop.
 *
 * Between two parts the worker looks round when it is due, as it does before a child in place: timers and completions are not kept waiting by a loop, and whoever
 * waits for this worker sees that it answers. Where it gives way, its other half may begin on a stack of its own; there are as many walkers then as the range
 * can be halved, at most.
 *
 * A failure is kept in the loop's frame; parts that have not begun are skipped once it is seen. */
#include "sched/park.h"

#include <filch/task.h>

#define PARTS 64 /* parts a worker the default grain aims at */

struct loop {
    filch_for_fn *fn;
    void *arg;
    int64_t grain;
    _Atomic(int) failure;
};

struct range {
    struct loop *loop;
    int64_t begin, end;
};

/* Lets others go first, now and then. */
static void between_parts(void)
{
    struct fl_worker *w = fl_self();
    if (w->hot.kind_ == FL_KIND_WORKER && fl_worker_due(w))
        fl_park_round(w);
}

static int walk(void *arg)
{
    struct range *range = arg;
    struct loop *loop = range->loop;
    int64_t begin = range->begin, end = range->end;
    while (begin < end && load_relaxed(&loop->failure) == 0) { /* hint: a late look costs one part */
        if (end - begin > loop->grain && fl_deque_size_hint(&fl_self()->hot.deque_) == 0) {
            int64_t middle = begin + (end - begin) / 2;
            struct range left = {loop, begin, middle}, right = {loop, middle, end};
            filch_frame frame;
            filch_fork(&frame, walk, &right);
            walk(&left);
            filch_meet(&frame);
            return 0;
        }
        int64_t stop = end - begin > loop->grain ? begin + loop->grain : end;
        int r = loop->fn(loop->arg, begin, stop), none = 0;
        if (r < 0)
            cas_acq_rel(&loop->failure, &none, r); /* [first] the first failure counts; meet orders it before the end */
        begin = stop;
        if (begin < end)
            between_parts();
    }
    return 0;
}

int filch_for(int64_t begin, int64_t end, int64_t grain, filch_for_fn *fn, void *arg)
{
    struct fl_worker *w = fl_self();
    if (grain <= 0) {
        int64_t parts = (int64_t)PARTS * (w->runtime ? w->runtime->count : 1);
        grain = end > begin ? (end - begin) / parts : 1;
        grain = grain > 0 ? grain : 1;
    }
    struct loop loop = {.fn = fn, .arg = arg, .grain = grain};
    if (w->hot.current_) {
        struct range all = {&loop, begin, end};
        walk(&all);
        return load_acquire(&loop.failure); /* [first] */
    }
    for (; begin < end; begin += grain) {
        int r = fn(arg, begin, end - begin > grain ? begin + grain : end);
        if (r < 0)
            return r;
    }
    return 0;
}
