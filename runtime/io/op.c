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
 *   1. fl_op_run returns only after the last completion, or before anything was queued. A zero-copy send has two, the result and the notice that the
 *      kernel has let go of the buffer. Two threads may reap them, and tell of the second first.
 *   2. task->waits is the operation from before it is queued until after its completion; a cancel that finds it there takes the ring's lock after the
 *      operation's entry was queued, so the request to cancel comes later in the ring than what it cancels.
 *   3. Who cancels what the kernel does not keep for us (a poll of epoll, a job) looks at task->waits again under the lock of the line it stands in, and the
 *      task clears it under that lock: while it names the operation, its memory is there.
 *   4. A request to cancel may come too late and find nothing, or find a later operation of the same task at the same address: that one, if
 *      no scope around it is cancelled, is simply started again (nothing was moved).
 *
 * Memory ordering
 *   [waits]  the task writes waits under the ring's lock and then reads the scope's mark; the canceller writes the mark, heavy barrier, reads waits.
 *            The task's light barrier in between pairs with it: one of them sees the other.
 *
 *   [told]   of the two completions of a zero-copy send, the one that is told of second wakes the task, and so after what the first wrote.
 *
 * The wait is armed as not cancellable: only the completion claims it.
 *
 * What the ring does not carry out, because it is epoll or the kernel too old, and what it would hold others up with, stands in elsewhere (standin.c), by polls and jobs that go through here too. */
#include "io/op.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>

/* What a system call that the kernel's helper thread was interrupted in says to itself (linux/errno.h); it may leak into a completion. */
#define RESTART_FIRST 512
#define RESTART_LAST 516

#define SUBMIT_FOR 1000000000 /* ns; then who closes a descriptor goes on, though not all is submitted */
#define PAUSE_FIRST 50000     /* ns */
#define PAUSE_MAX 5000000     /* ns: how late a wait that can only look may end */

/* In a ring, or in line at a descriptor. */
struct op {
    struct fl_ring_op ring_op;
    struct fl_task *task;
    int result;
    _Atomic(uint32_t) told; /* how many of two completions, in either order */
};

/* By a helper. */
struct help {
    struct fl_job job;
    struct fl_task *task;
    const struct io_uring_sqe *sqe;
    int result;
    bool withdrawn; /* it was never begun */
};

/* An operation as a canceller may know it: address and place, without touching memory that may be gone. The place is a worker's ring or the helpers. */
#define ADDRESS_BITS 48
#define HELPERS 0xffff

static uint64_t name_of(const void *op, unsigned place)
{
    return (uint64_t)place << ADDRESS_BITS | (uint64_t)(uintptr_t)op;
}

/* Whether the calling thread is a carrier of the runtime's. */
static bool is_carrier(const struct filch_runtime *runtime)
{
    const struct fl_worker *w = fl_self();
    return w->runtime == runtime && w->hot.kind_ == FL_KIND_WORKER;
}

static int try_to_cancel(struct fl_ring *ring, struct fl_task *task, uint64_t waits, struct op *op)
{
    bool may_submit = is_carrier(task->runtime);
    fl_lock_take(&ring->lock);
    int r = load_relaxed(&task->waits) == waits ? fl_ring_cancel_locked(ring, &op->ring_op, may_submit) : 0; /* [waits] invariant 3 */
    fl_lock_give(&ring->lock);
    if (r > 0)
        fl_ring_cancelled(ring, &op->ring_op);
    return r;
}

static void cancel_in_ring(struct fl_ring *ring, struct fl_task *task, uint64_t waits, struct op *op)
{
    while (try_to_cancel(ring, task, waits, op) < 0) {
        fl_ring_reap(ring, ring == &fl_self()->ring); /* old kernels take nothing while completions have no room */
        sched_yield();
    }
}

static void job_ended(struct help *help)
{
    struct filch_runtime *runtime = help->task->runtime;
    fl_wake(help->task, 0, false); /* the operation's memory is the task's again */
    filch_let_go(runtime);
}

void fl_op_cancel(struct fl_task *task, uint64_t waits)
{
    struct filch_runtime *runtime = task->runtime;
    void *op = (void *)(uintptr_t)(waits & (((uint64_t)1 << ADDRESS_BITS) - 1));
    struct help *help = op;
    unsigned place = (unsigned)(waits >> ADDRESS_BITS);
    if (place != HELPERS) {
        cancel_in_ring(&runtime->workers[place]->ring, task, waits, op);
    } else if (fl_helpers_withdraw(&runtime->helpers, &help->job, &task->waits, waits)) {
        help->withdrawn = true;
        job_ended(help);
    }
}

static void completed(struct fl_ring_op *ring_op, int32_t res, uint32_t flags)
{
    struct op *op = fl_container_of(ring_op, struct op, ring_op);
    struct fl_task *task = op->task;
    bool notice = flags & IORING_CQE_F_NOTIF; /* says of a zero-copy send that the kernel has let go of the buffer, and nothing more */
    if (!notice)
        op->result = res;
    bool one_of_two = notice || flags & IORING_CQE_F_MORE;
    if (!one_of_two || add_acq_rel(&op->told, 1) == 1) /* [told] pairs with itself: whoever comes second sees what the first did */
        fl_wake(task, 0, false);                       /* the operation's memory is the task's again */
}

static const struct fl_why operates = {.name = "io"};

/* Whose ring the caller's operations go through. */
static struct fl_worker *carrier_of(bool *ret_foreign)
{
    struct fl_worker *w = fl_self();
    *ret_foreign = w->hot.kind_ != FL_KIND_WORKER;
    return *ret_foreign ? w->runtime->workers[0] : w;
}

/* Before its operation can be found; the ring's lock is held. @return 0, or the caller's scope is cancelled */
FL_INLINE int publish(struct fl_task *task, const struct op *op, const struct fl_worker *w)
{
    store_release(&task->waits, name_of(op, w->index)); /* [waits] pairs with the cancel of a scope */
    fl_barrier_light();                                 /* [waits] orders the store before the look at the mark */
    return fl_scope_cancelled(task);
}

static FL_NOINLINE void flush_for_thread(struct fl_ring *ring)
{
    if (fl_ring_flush(ring) < 0)
        fl_ring_wake(ring); /* its owner tries again */
}

/* Before the wait for an operation: the kernel is heard if there is nothing else to do. @return whether it has ended */
FL_INLINE bool hear(struct fl_worker *w, struct fl_task *task)
{
    uint32_t seen;
    if (!fl_worker_is_dry(w)) {
        fl_worker_prefetch_next(w);
        return false;
    }
    fl_worker_hear(w);
    return fl_wake_claimed(task, &seen);
}

static int run_in_ring(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable)
{
    bool thread;
    struct fl_worker *w = carrier_of(&thread);
    struct fl_ring *ring = &w->ring;
    struct op op = {.ring_op.done = completed, .task = task, .result = -EINVAL};
    fl_wake_arm(task, false);
    fl_lock_take(&ring->lock);
    int r = cancellable ? publish(task, &op, w) : 0;
    r = r ? r : fl_uring_queue_locked(ring, sqe, &op.ring_op);
    fl_lock_give(&ring->lock);
    bool served = false;
    if (r == 0) {
        if (unlikely(thread))
            flush_for_thread(ring);
        else
            served = hear(w, task);
        fl_wait(task, &operates, NULL, false);
        r = op.result;
    } else {
        fl_wait_end(task);
        r = cancellable ? r : FL_OP_NOT_TAKEN;
    }
    store_release(&task->waits, 0); /* [waits] a canceller that still has the name finds nothing in the ring */
    if (served)
        fl_op_served(task);
    return r;
}

/* The same in line at a descriptor of an epoll instance, until it is ready. */
static int wait_in_line(struct fl_task *task, int fd, unsigned events, bool cancellable)
{
    bool thread;
    struct fl_worker *w = carrier_of(&thread);
    struct fl_ring *ring = &w->ring;
    struct op op = {.ring_op.done = completed, .task = task, .result = -EINVAL};
    fl_wake_arm(task, false);
    fl_lock_take(&ring->lock);
    int r = cancellable ? publish(task, &op, w) : 0;
    r = r ? r : fl_epoll_queue_locked(ring, fd, events, (uint64_t)(uintptr_t)task, &op.ring_op);
    uint32_t closes = fl_epoll_closes_locked(ring, fd);
    fl_lock_give(&ring->lock);
    if (r == 0) {
        if (!thread)
            fl_worker_prefetch_next(w);
        fl_wait(task, &operates, NULL, false);
        r = op.result;
    } else {
        fl_wait_end(task);
    }
    fl_lock_take(&ring->lock);
    store_release(&task->waits, 0); /* [waits] invariant 3 */
    if (r >= 0 && fl_epoll_closes_locked(ring, fd) != closes)
        r = -EBADF; /* it was ready, and closed before the task ran again: the number may be another file's */
    fl_lock_give(&ring->lock);
    return r;
}

static void carry_out(struct fl_job *job)
{
    struct help *help = fl_container_of(job, struct help, job);
    help->result = fl_request_do(help->sqe);
    job_ended(help);
}

/* *ret_again: it was withdrawn, and nothing has happened. */
static int help_once(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable, bool *ret_again)
{
    struct filch_runtime *runtime = task->runtime;
    bool thread;
    add_relaxed(&carrier_of(&thread)->ring.helped, 1); /* counter */
    struct help help = {.job.run = carry_out, .job.lasts = fl_request_lasts(sqe), .task = task, .sqe = sqe, .result = -EINVAL};
    *ret_again = false;
    fl_list_init(&help.job.node);
    fl_wake_arm(task, false);
    filch_hold(runtime); /* for who asks whether anything can still happen */
    int r = fl_helpers_submit(&runtime->helpers, &help.job);
    if (r < 0) {
        filch_let_go(runtime);
        fl_wait_end(task);
        return cancellable ? r : FL_OP_NOT_TAKEN;
    }
    if (cancellable) {
        store_release(&task->waits, name_of(&help, HELPERS)); /* [waits] as above, but the job is in line already: */
        fl_barrier_light();                                   /* [waits] as above */
        if (fl_scope_cancelled(task))                         /* [waits] ... who cancelled before that did not see it */
            fl_op_cancel(task, name_of(&help, HELPERS));
    }
    fl_wait(task, &operates, NULL, false);
    fl_helpers_settle(&runtime->helpers, &task->waits);
    *ret_again = help.withdrawn;
    return help.result;
}

int fl_op_run(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable)
{
    bool again;
    return fl_op_run_again(task, sqe, cancellable, &again);
}

/* Whether a result says that the operation was interrupted, and nothing was moved. */
static bool is_interrupted(int r)
{
    return r == -ECANCELED || r == -EINTR || (r <= -RESTART_FIRST && r >= -RESTART_LAST);
}

/* Old kernels, and files that cannot tell when they are ready, take O_NONBLOCK for an answer. @return 0: try again */
static FL_NOINLINE int wait_for_ready(struct fl_task *task, const struct io_uring_sqe *sqe, int64_t *pause)
{
    int fd;
    switch (sqe->opcode) {
    case IORING_OP_ACCEPT:
    case IORING_OP_READ:
    case IORING_OP_READV:
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV: {
        short events = fl_request_awaits(sqe, &fd);
        int r = fl_op_await(task, fd, events, true, pause);
        return r < 0 ? r : 0;
    }
    default:
        return -EAGAIN;
    }
}

/* So do pipes, but there are two ends to wait for. */
static bool is_refused_splice(const struct io_uring_sqe *sqe, int r)
{
    return r == -EAGAIN && sqe->opcode == IORING_OP_SPLICE && !(sqe->splice_flags & SPLICE_F_NONBLOCK);
}

/* It may be served at once, again and again. */
static int stand_in(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable)
{
    int r = fl_standin_run(task, sqe, cancellable);
    fl_op_served(task);
    return r;
}

int fl_op_run_again(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable, bool *ret_again)
{
    *ret_again = false;
    if (!task)
        return fl_request_do(sqe);
    fl_enlist(task);
    if (unlikely(fl_op_polls(task)) || unlikely(!fl_backend_knows(&task->runtime->backend, sqe->opcode)) || unlikely(fl_request_hogs(sqe)))
        return stand_in(task, sqe, cancellable);
    for (int64_t pause = 0;; *ret_again = true) {
        int r = run_in_ring(task, sqe, cancellable), code;
        if (!cancellable && r != -ECANCELED) /* which is what the kernel says when the thread that submitted it exits */
            return r;
        if (is_refused_splice(sqe, r))
            return stand_in(task, sqe, cancellable);
        if (cancellable && r == -EAGAIN && (r = wait_for_ready(task, sqe, &pause)) == 0)
            continue;
        if (!is_interrupted(r))
            return r;
        if (cancellable && (code = fl_scope_cancelled(task)))
            return code;
    }
}

static int poll_by_epoll(struct fl_task *task, int fd, unsigned events, bool cancellable)
{
    fl_enlist(task);
    for (;;) {
        int r = wait_in_line(task, fd, events, cancellable), code;
        if (!is_interrupted(r))
            return r;
        if (cancellable && (code = fl_scope_cancelled(task)))
            return code;
    }
}

static int poll_by_ring(struct fl_task *task, int fd, unsigned events, bool cancellable)
{
    struct io_uring_sqe sqe;
    io_uring_prep_poll_add(&sqe, fd, events);
    for (int64_t pause = 0;;) {
        int r = fl_op_run(task, &sqe, cancellable), seen = r & (int)(events | POLLERR | POLLHUP);
        if (r <= 0 || seen)
            return r < 0 ? r : seen;
        r = fl_op_pause(&pause); /* POLLRDHUP, which io_uring tells also who has not asked, at once and again and again */
        if (r < 0 && cancellable)
            return r;
    }
}

int fl_op_poll(struct fl_task *task, int fd, unsigned events, bool cancellable)
{
    return task && fl_op_polls(task) ? poll_by_epoll(task, fd, events, cancellable) : poll_by_ring(task, fd, events, cancellable);
}

int fl_op_pause(int64_t *pause)
{
    *pause = *pause < PAUSE_FIRST ? PAUSE_FIRST : 2 * *pause < PAUSE_MAX ? 2 * *pause : PAUSE_MAX;
    return filch_sleep(*pause);
}

int fl_op_await(struct fl_task *task, int fd, unsigned events, bool cancellable, int64_t *pause)
{
    struct pollfd now = {.fd = fd, .events = (short)events};
    if (*pause != 0 && poll(&now, 1, 0) > 0) {
        int r = fl_op_pause(pause);
        if (r < 0)
            return r;
    } else {
        *pause = 1; /* not the first time */
    }
    return fl_op_poll(task, fd, events, cancellable);
}

/* What is queued and names the descriptor is for the file that has the number now. Somebody may be submitting it, held up in the kernel, or the kernel take nothing while
 * completions have no room. */
static void submit_before_close(struct fl_ring *ring, int fd)
{
    int64_t end = INT64_MAX;
    for (unsigned turn = 0; fl_ring_queued(ring) > 0 && fl_uring_closing(ring, fd) < 0 && fl_clock() < end; turn = fl_lock_pause(turn)) {
        end = turn == 0 ? fl_clock() + SUBMIT_FOR : end;
        fl_ring_reap(ring, ring == &fl_self()->ring);
    }
}

void fl_op_closing(const struct fl_task *task, int fd)
{
    bool polls = fl_op_polls(task);
    for (unsigned i = 0; i < fl_total(task->runtime); i++) {
        struct fl_ring *ring = &task->runtime->workers[i]->ring;
        if (polls)
            fl_epoll_closing(ring, fd);
        else
            submit_before_close(ring, fd);
    }
}

void fl_op_closed(const struct fl_task *task, int fd)
{
    for (unsigned i = 0; i < fl_total(task->runtime); i++)
        fl_epoll_closed(&task->runtime->workers[i]->ring, fd);
}

void fl_op_made(const struct fl_task *task, int fd)
{
    for (unsigned i = 0; i < fl_total(task->runtime); i++)
        fl_epoll_made(&task->runtime->workers[i]->ring, fd);
}

int fl_op_help(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable)
{
    for (;;) {
        bool again;
        int r = help_once(task, sqe, cancellable, &again), code;
        if (!again)
            return r;
        if ((code = fl_scope_cancelled(task)))
            return code;
    }
}
