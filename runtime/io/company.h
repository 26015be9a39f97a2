/* SPDX-License-Identifier: MIT */
/* Company: whether a read goes through the ring although it would not wait, because other tasks of this worker read as well.
 *
 * A read of what is in the page cache is done at once by a system call of its own. Where dozens of tasks read, it is cheaper to queue the reads: one system
 * call carries all of them out, and each of them costs less there (the call that does not wait is preadv2(2), a tenth dearer than pread(2)). But whoever queues gives
 * up its turn. One that reads among tasks that compute would get a read a turn, instead of as many as fit into 50 us; so we must know that there is company.
 *
 * Two signs. As long as reads are done at once: that it is somebody else who reads, CHANGES times. From then on reads are queued, and the sign is how many are
 * queued behind the first before the kernel is told: more than FEW, and more than one in SHARE of the tasks that were ready. Else, or when the same task reads
 * twice in a row, it is given up until the reader has changed as often again. Of more than MOST tasks the buffers are out of the cache by the time their turn comes; reads of one
 * task in a row are cheaper then.
 *
 * The owner of the worker alone. Nothing here is wrong about anything but time. */
#ifndef FL_IO_COMPANY_H
#define FL_IO_COMPANY_H

#include "sched/worker.h"

#define FL_COMPANY_CHANGES 16
#define FL_COMPANY_FEW 4
#define FL_COMPANY_SHARE 8
#define FL_COMPANY_MOST 256

/** A read was done at once. */
FL_INLINE void fl_company_read(struct fl_worker *w, const struct fl_task *task)
{
    struct fl_company *company = &w->company;
    if (company->last == task)
        return;
    company->last = ++company->changes < FL_COMPANY_CHANGES ? task : NULL;
    company->behind = FL_COMPANY_MOST; /* the benefit of the doubt, once */
}

/** Whether there were enough readers in the last batch, and this is another one. */
FL_INLINE bool fl_company_lasts(const struct fl_company *company, const struct fl_task *task, bool first)
{
    return task != company->last && (!first || (company->behind > FL_COMPANY_FEW && company->behind > company->ready / FL_COMPANY_SHARE));
}

/** Whether the read of `task` goes with others. */
FL_INLINE bool fl_company_waits(struct fl_worker *w, const struct fl_task *task)
{
    struct fl_company *company = &w->company;
    uint32_t ready = fl_ready_size_hint(&w->ready);
    if (likely(company->changes < FL_COMPANY_CHANGES) || fl_ring_polls(&w->ring) || ready == 0 || ready > FL_COMPANY_MOST)
        return false;
    bool first = fl_ring_queued(&w->ring) == 0;
    if (!fl_company_lasts(company, task, first)) {
        company->changes = 0;
        return false;
    }
    company->last = task;
    company->behind = first ? 0 : company->behind + 1;
    if (first)
        company->ready = ready;
    return true;
}

#endif
