/* SPDX-License-Identifier: MIT */
/* The life of an operation.
 *
 *   prepare -> queue in the worker's ring -> park -> completion (any thread that reaps the ring) -> ready -> result
 *                                             \-> cancel: asks the kernel, changes nothing here; the completion still comes
 *
 * The operation and the buffers it names lie in the task's frame. The kernel may write to them until the operation's completion, so nothing but
 * the completion ends the wait: a cancel, a deadline, the end of a scope only ask the kernel to hurry. Bytes that were moved before the request
 * to cancel took hold are reported as such.
 *
 * Invariants
 *   1. fl_op_run returns only after the completion, or before anything was queued.
 *   2. task->waits is the operation from before it is queued until after its completion; a cancel that finds it there takes the ring's lock after the
 *      operation's entry was queued, so the request to cancel comes later in the ring than what it cancels.
 *   3. A request to cancel may come too late and find nothing, or find a later operation of the same task at the same address: that one, if
 *      no scope around it is cancelled, is simply started again (nothing was moved).
 *
 * Memory ordering
 *   [waits]  the task writes waits under the ring's lock and then reads the scope's mark; the canceller writes the mark, heavy barrier, reads waits.
 *            The task's light barrier in between pairs with it: one of them sees the other.
 *
 * The wait is armed as not cancellable: only the completion claims it. */
#include "io/op.h"

#include <errno.h>

/* What a system call that the kernel's helper thread was interrupted in says to itself (linux/errno.h); it may leak into a completion. */
#define RESTART_FIRST 512
#define RESTART_LAST 516

struct op {
    struct fl_ring_op ring_op;
    struct fl_task *task;
    int result;
};

/* An operation as a canceller may know it: address and worker, without touching memory that may be gone. */
#define ADDRESS_BITS 48

static uint64_t name_of(const struct op *op, unsigned worker)
{
    return (uint64_t)worker << ADDRESS_BITS | (uint64_t)(uintptr_t)&op->ring_op;
}

void fl_op_cancel(struct fl_task *task, uint64_t waits)
{
    uint64_t address = waits & (((uint64_t)1 << ADDRESS_BITS) - 1);
    fl_ring_cancel(&task->runtime->workers[waits >> ADDRESS_BITS]->ring, (struct fl_ring_op *)(uintptr_t)address);
}

static void completed(struct fl_ring_op *ring_op, int32_t res, uint32_t flags)
{
    struct op *op = fl_container_of(ring_op, struct op, ring_op);
    struct fl_task *task = op->task;
    (void)flags;
    op->result = res;
    fl_wake(task, 0, false); /* the operation's memory is the task's again */
}

static const struct fl_why operates = {.name = "io"};

static int run_once(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable)
{
    struct fl_worker *w = fl_self();
    bool thread = w->hot.kind_ != FL_KIND_WORKER;
    if (thread)
        w = w->runtime->workers[0];
    struct op op = {.ring_op.done = completed, .task = task, .result = -EINVAL};
    fl_wake_arm(task, false);
    fl_lock_take(&w->ring.lock);
    int code = 0;
    if (cancellable) {
        store_release(&task->waits, name_of(&op, w->index)); /* [waits] pairs with the cancel of a scope */
        fl_barrier_light();                                  /* [waits] orders the store before the look at the mark */
        code = fl_scope_cancelled(task);
    }
    int r = code ? code : fl_ring_queue_locked(&w->ring, sqe, &op.ring_op);
    fl_lock_give(&w->ring.lock);
    if (r == 0) {
        if (thread && fl_ring_flush(&w->ring) < 0)
            fl_ring_wake(&w->ring); /* its owner tries again */
        fl_wait(task, &operates, NULL, false);
        r = op.result;
    } else {
        fl_wait_end(task);
    }
    store_release(&task->waits, 0); /* [waits] a canceller that still has the name finds nothing in the ring */
    return r;
}

int fl_op_run(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable)
{
    bool again;
    return fl_op_run_again(task, sqe, cancellable, &again);
}

int fl_op_run_again(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable, bool *ret_again)
{
    *ret_again = false;
    if (!task)
        return fl_request_do(sqe);
    fl_enlist(task);
    for (;; *ret_again = true) {
        int r = run_once(task, sqe, cancellable);
        if (!cancellable)
            return r;
        if (r != -ECANCELED && r != -EINTR && !(r <= -RESTART_FIRST && r >= -RESTART_LAST))
            return r;
        int code = fl_scope_cancelled(task);
        if (code)
            return code;
    }
}
