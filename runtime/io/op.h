/* SPDX-License-Identifier: MIT */
/* Operations: one request to the kernel, the task that is parked in it, and its way back. See op.c for the essay. */
#ifndef FL_IO_OP_H
#define FL_IO_OP_H

#include "machine/request.h"
#include "sync/wait.h"

#include <filch/task.h>

#include <sys/socket.h>

#define FL_OP_NOT_TAKEN (INT32_MIN + 1)

/** Runs one prepared request and parks the calling task until its last completion.
 * @param task the caller, or NULL: a plain thread, which waits itself (fl_request_do)
 * @param sqe prepared by io_uring_prep_*; what it points to is lent until this returns
 * @param cancellable whether a cancel reaches it (close is not)
 * @return the completion's result; FL_OP_NOT_TAKEN, where it isn't cancellable and nobody took it; -ECANCELED, -ETIMEDOUT; -ENOMEM, -EAGAIN, -EBUSY no ring space or stack: nothing was started. */
int fl_op_run(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable);

/** The same; *ret_again says whether the operation was started more than once, for those that leave something behind. */
int fl_op_run_again(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable, bool *ret_again);

/** Polls a descriptor as above. @param events of poll(2), and where fl_op_polls FL_EPOLL_EDGE and FL_EPOLL_TRUST
 * @return its events; -EPERM (epoll) it cannot be polled and never waits for anybody; -errno */
int fl_op_poll(struct fl_task *task, int fd, unsigned events, bool cancellable);

/** Sleeps a little, longer from time to time: for what can only be looked at again. @param pause 0 at first @return as filch_sleep */
int fl_op_pause(int64_t *pause);

/** For a call that has said EAGAIN: polls as above, before it is tried again. A descriptor may be ready, but not for what the call wants:
 * so when it was polled for this call before, and is ready all the same, first a pause. @param pause 0 before the first */
int fl_op_await(struct fl_task *task, int fd, unsigned events, bool cancellable, int64_t *pause);

/** For who closes a descriptor, before: what the task's runtime has queued for it the kernel is told of (what it carries out on threads of its own may
 * still look the number up later); where fl_op_polls, those who wait for it are told -EBADF. */
void fl_op_closing(const struct fl_task *task, int fd);
/** And after, where fl_op_polls: the same for those who came meanwhile. */
void fl_op_closed(const struct fl_task *task, int fd);
/** For who has made one: nothing that the rings knew of the number holds. */
void fl_op_made(const struct fl_task *task, int fd);

/** Has a helper carry the request out. It can be cancelled while no helper has begun it. @return as fl_op_run; -EAGAIN no helper */
int fl_op_help(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable);

#define FL_OP_MORE 2 /* calls that are served, if they are short, after it is time to look round */

/** A call of `task`, or of a plain thread, was served at once. Now and then others have their turn, so that a flood of what is ready keeps nobody waiting. Parks.
 * A task that is about to park by itself is given the time for it: one that gave way between what it received and its answer, or between that and its next wait,
 * would come back only after all others, and find that more had come to it. */
FL_INLINE void fl_op_served(const struct fl_task *task)
{
    struct fl_worker *w = fl_self();
    if (likely(task != NULL) && likely(w->hot.kind_ == FL_KIND_WORKER) &&
        unlikely(fl_worker_overdue(w, w->budget_full > FL_OP_MORE ? FL_OP_MORE : 0)))
        filch_yield();
}

/** Whether the task's runtime has no io_uring. */
FL_INLINE bool fl_op_polls(const struct fl_task *task)
{
    return task->runtime->backend.epoll;
}

/** What `task` knows of a socket that has nothing for a receiver just now: FL_EPOLL_EDGE and FL_EPOLL_TRUST, or 0. A plain thread waits in the ring of a worker, who
 * may sleep already, with nothing to verify; and on a relief no task is for long, but its edges would go on. */
FL_INLINE unsigned fl_op_known(const struct fl_task *task, const struct io_uring_sqe *sqe)
{
    if (!fl_op_polls(task) || task->flags & FL_TASK_THREAD || sqe->opcode != IORING_OP_RECV ||
        sqe->msg_flags & (MSG_OOB | MSG_ERRQUEUE | MSG_PEEK) || fl_is_relief(fl_self()))
        return 0;
    return task->drained == sqe->fd + 1 ? FL_EPOLL_EDGE | FL_EPOLL_TRUST : FL_EPOLL_EDGE;
}

/** Runs a request that no ring carries out: tries, waits and tries again, or asks a helper. See standin.c. @return as fl_op_run */
int fl_standin_run(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable);

/** Asks the kernel to cancel the operation that task->waits named; it may have ended. For the cancel of a scope (sync/wait.h). */
void fl_op_cancel(struct fl_task *task, uint64_t waits);

#endif
