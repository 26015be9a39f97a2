/* SPDX-License-Identifier: MIT */
/* Ring: one io_uring, in which a worker sleeps and through which tasks do their I/O. It knows no task: completions call back. See ring.c. */
#ifndef FL_MACHINE_RING_H
#define FL_MACHINE_RING_H

#include "base/atomic.h"
#include "base/attr.h"
#include "base/lock.h"

#include <liburing.h>

/** What a completion calls. Lives until `done` was called for its last completion. */
struct fl_ring_op {
    /** Called once a completion, on the thread that reaped it, without the ring's lock. */
    void (*done)(struct fl_ring_op *op, int32_t res, uint32_t flags);
};

struct fl_ring {
    struct fl_lock lock;          /**< guards uring's two sides; the owner sleeps in the kernel without it */
    _Atomic(uint32_t) queued;     /**< entries in the submission queue that the kernel has not been told of */
    _Atomic(uint32_t) inflight;   /**< operations of callers that have not completed, queued ones included */
    _Atomic(uint64_t) operations; /**< counter: ever queued by callers */
    int wake_fd;                  /**< eventfd on which a multishot poll stands */
    _Atomic(bool) armed;          /**< own: the lock; that poll stands */
    struct fl_ring_op wake_op;
    struct io_uring uring;
};

/** @return 0 or -errno: -ENOSYS, -EPERM io_uring is missing or forbidden; -ENOMEM; -EMFILE, -ENFILE. */
int fl_ring_init(struct fl_ring *ring);
void fl_ring_fini(struct fl_ring *ring);

/** Queues one operation under the ring's lock, which the caller holds. Tells the kernel only when the queue is full.
 * @param sqe prepared by io_uring_prep_*; copied
 * @param op called back; its address is what a cancel names
 * @return 0; -EBUSY, -EAGAIN, -ENOMEM the kernel takes no more now: nothing was queued. */
int fl_ring_queue_locked(struct fl_ring *ring, const struct io_uring_sqe *sqe, struct fl_ring_op *op);

/** Queues a cancel of `op`, which may have ended; tells the kernel at once. The op's own completion tells what came of it. @return as above. */
int fl_ring_cancel(struct fl_ring *ring, struct fl_ring_op *op);

/** Tells the kernel of what is queued. Any thread. @return 0 or -errno, what is queued stays so. */
int fl_ring_flush(struct fl_ring *ring);

/** The same for another thread than the owner: does nothing while somebody is inside. */
void fl_ring_flush_try(struct fl_ring *ring);

/** Calls back for every completion that is there. Any thread; `owner`: the caller is the one who sleeps in it. @return how many. */
unsigned fl_ring_reap(struct fl_ring *ring, bool owner);

/** Sleeps until a completion is there, fl_ring_wake was called since the last reap, or `timeout` nanoseconds have passed (FILCH_NEVER: never; 0: looks only).
 * Flushes first. The owner alone. */
void fl_ring_sleep(struct fl_ring *ring, int64_t timeout);

/** Ends the owner's sleep, present or next. Any thread, any number of times. */
void fl_ring_wake(struct fl_ring *ring);

/** Whether completions are there. Two loads. */
FL_INLINE bool fl_ring_ready(struct fl_ring *ring)
{
    _Atomic(unsigned) *head = fl_atomic(unsigned, ring->uring.cq.khead), *tail = fl_atomic(unsigned, ring->uring.cq.ktail);
    return load_relaxed(head) != load_acquire(tail); /* hint: whoever reaps looks again under the lock */
}

#endif
