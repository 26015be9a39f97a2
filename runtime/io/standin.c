/* SPDX-License-Identifier: MIT */
/* Requests that no ring carries out, because there is none, or because the kernel is older than the operation.
 *
 * What has a descriptor that can be polled is tried without waiting; if it would wait, the task parks in a poll and tries again. So thousands may wait, and all of
 * them can be cancelled. What cannot be tried or polled (files, paths) waits for the disk at most, and is carried out by a helper: a kernel thread of a bounded pool.
 *
 * Nothing that may wait for ever goes to a helper, because a few such would stop all others and could not be cancelled. What is left, the task looks at
 * again and again, with pauses that grow (fl_op_pause): a FIFO that nobody has opened at the other end, children that have no descriptor, a
 * word that another process changes, a full line of connections or messages at a Unix socket, an error in a socket's queue that nobody
 * fetches. */
#include "io/op.h"

#include <filch/io.h>
#include <filch/task.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define IS_FIFO INT32_MIN /* from open_unless_fifo: neither a descriptor nor -errno */

/* ---- what can be tried ---- */

static bool is_message(const struct io_uring_sqe *sqe)
{
    switch (sqe->opcode) {
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
    case IORING_OP_RECV:
    case IORING_OP_SENDMSG:
    case IORING_OP_RECVMSG:
        return true;
    default:
        return false;
    }
}

/* Whether it reads or writes at the position of a descriptor. */
static bool is_stream_io(const struct io_uring_sqe *sqe)
{
    switch (sqe->opcode) {
    case IORING_OP_READ:
    case IORING_OP_WRITE:
    case IORING_OP_READV:
    case IORING_OP_WRITEV:
        return true;
    default:
        return false;
    }
}

/* What is the same when it is opened once more. The master of a pseudo-terminal would be another one, and many a device keeps what it has for the one that opened it. */
static bool opens_alike(int fd)
{
    struct stat stat;
    int number;
    if (fstat(fd, &stat) < 0)
        return false;
    return S_ISFIFO(stat.st_mode) || (isatty(fd) && ioctl(fd, TIOCGPTN, &number) < 0);
}

/* FIFOs and terminals know nothing of RWF_NOWAIT, and may wait though they were ready: for room for all that is written, or because somebody else has read. Opened once more,
 * in non-blocking mode, they do not, and the mode of the one that others use stays. @return a descriptor, which the caller closes; FL_REQUEST_UNKNOWN: it would not be the same;
 * -errno */
static int open_anew(int fd, int flags)
{
    char path[32];
    if (!opens_alike(fd))
        return FL_REQUEST_UNKNOWN;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int r = open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool exhausted = r < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM);
    return r >= 0 ? r : exhausted ? -errno : FL_REQUEST_UNKNOWN;
}

/* @return as fl_request_try */
static int try_opened_anew(const struct io_uring_sqe *sqe)
{
    struct io_uring_sqe again = *sqe;
    int flags = fcntl(sqe->fd, F_GETFL);
    if (flags < 0)
        return -errno;
    if (flags & O_NONBLOCK)
        return fl_request_do(sqe);
    again.fd = open_anew(sqe->fd, flags);
    if (again.fd < 0)
        return again.fd;
    int r = fl_request_do(&again);
    close(again.fd);
    return r;
}

/* It is ready, but there is no way to try just that. Somebody else may be quicker, and then a helper would wait for ever: so the descriptor stays in non-blocking mode. */
static int do_ready(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable)
{
    int r = is_stream_io(sqe) ? try_opened_anew(sqe) : FL_REQUEST_UNKNOWN;
    if (r != FL_REQUEST_UNKNOWN)
        return r;
    fl_request_never_wait(sqe->fd);
    return fl_op_help(task, sqe, cancellable);
}

/* Files are ready always, as poll(2) has it, and wait all the same; only epoll refuses to poll them. */
static bool is_file(int fd)
{
    struct stat stat;
    return fstat(fd, &stat) == 0 && (S_ISREG(stat.st_mode) || S_ISBLK(stat.st_mode));
}

static int try_(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable)
{
    int fd;
    unsigned events = (unsigned short)fl_request_awaits(sqe, &fd);
    int64_t pause = 0;
    bool tried = is_message(sqe) && sqe->ioprio & IORING_RECVSEND_POLL_FIRST;
    for (;; tried = false) {
        int code = cancellable ? fl_scope_cancelled(task) : 0;
        if (code)
            return code;
        int r = tried ? -EAGAIN : fl_request_try(sqe);
        bool unknown = r == FL_REQUEST_UNKNOWN;
        if (unknown && !events)
            return fl_op_help(task, sqe, cancellable);
        if ((r != -EAGAIN && r != -EINTR && !unknown) || (is_message(sqe) && sqe->msg_flags & MSG_DONTWAIT))
            return r;
        if (r == -EINTR)
            continue;
        r = fl_op_await(task, fd, events | fl_op_known(task, sqe), cancellable, &pause);
        if (r == -EPERM || (r >= 0 && !fl_op_polls(task) && is_file(fd)))
            return fl_op_help(task, sqe, cancellable); /* a file */
        if (r < 0)
            return r;
        if (unknown && (r = do_ready(task, sqe, cancellable)) != -EAGAIN)
            return r;
    }
}

/* ---- connect, splice ---- */

static int connect_(struct fl_task *task, const struct io_uring_sqe *sqe)
{
    int64_t pause = 0;
    int r, error = 0;
    socklen_t len = sizeof error;
    while ((r = fl_request_try(sqe)) == -EAGAIN) /* a Unix socket whose line is full */
        if ((r = fl_op_pause(&pause)) < 0)
            return r;
    if (r != -EINPROGRESS)
        return r;
    r = fl_op_poll(task, sqe->fd, POLLOUT, true);
    if (r >= 0)
        r = getsockopt(sqe->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? -error : -errno;
    return r;
}

#define SPLICE_FLAGS ((unsigned)(SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT))

/* What splice(2) says before it waits for anything. @return 0 or -errno */
static int splice_error(const struct io_uring_sqe *sqe)
{
    struct stat in, out;
    int in_flags = fcntl(sqe->splice_fd_in, F_GETFL), out_flags = fcntl(sqe->fd, F_GETFL);
    if (in_flags < 0 || out_flags < 0 || (in_flags & O_ACCMODE) == O_WRONLY || (out_flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    if (fstat(sqe->splice_fd_in, &in) < 0 || fstat(sqe->fd, &out) < 0)
        return -errno;
    bool from = S_ISFIFO(in.st_mode), to = S_ISFIFO(out.st_mode);
    if ((from && sqe->splice_off_in != UINT64_MAX) || (to && sqe->off != UINT64_MAX))
        return -ESPIPE;
    bool itself = from && to && in.st_ino == out.st_ino && in.st_dev == out.st_dev;
    bool appends = !to && out_flags & O_APPEND;
    return (from || to) && !itself && !appends && !(sqe->splice_flags & ~SPLICE_FLAGS) ? 0 : -EINVAL;
}

/* A terminal waits, whatever SPLICE_F_NONBLOCK says, unless it is in non-blocking mode: *fd becomes one that is, which the caller closes. @return 0 or -errno */
static int terminal_anew(int *fd)
{
    int flags = isatty(*fd) ? fcntl(*fd, F_GETFL) : O_NONBLOCK;
    int r = flags & O_NONBLOCK ? FL_REQUEST_UNKNOWN : open_anew(*fd, flags);
    if (r == FL_REQUEST_UNKNOWN) {
        if (!(flags & O_NONBLOCK))
            fl_request_never_wait(*fd);
        return 0;
    }
    if (r >= 0)
        *fd = r;
    return r < 0 ? r : 0;
}

static int try_splice(const struct io_uring_sqe *sqe)
{
    int in = sqe->splice_fd_in, out = sqe->fd;
    int r = terminal_anew(&in);
    if (r == 0)
        r = terminal_anew(&out);
    if (r == 0) {
        struct io_uring_sqe now = *sqe;
        now.splice_fd_in = in;
        now.fd = out;
        r = fl_request_try(&now);
    }
    if (in != sqe->splice_fd_in)
        close(in);
    if (out != sqe->fd)
        close(out);
    return r;
}

static int splice_(struct fl_task *task, const struct io_uring_sqe *sqe)
{
    int64_t pause = 0;
    int r = sqe->len > 0 ? splice_error(sqe) : 0;
    if (r < 0 || sqe->len == 0)
        return r;
    if (sqe->splice_flags & SPLICE_F_NONBLOCK)
        return try_splice(sqe);
    for (;;) {
        int in = fl_op_poll(task, sqe->splice_fd_in, POLLIN, true);
        int out = in >= 0 || in == -EPERM ? fl_op_poll(task, sqe->fd, POLLOUT, true) : in;
        if (out < 0 && out != -EPERM)
            return out;
        struct io_uring_sqe now = *sqe;
        now.splice_flags |= SPLICE_F_NONBLOCK;
        bool waits = in == -EPERM || out == -EPERM || (!fl_op_polls(task) && (is_file(sqe->splice_fd_in) || is_file(sqe->fd)));
        r = waits ? fl_op_help(task, &now, true) : try_splice(&now);
        if (r != -EAGAIN)
            return r;
        if ((r = fl_op_pause(&pause)) < 0) /* ready, but not for this */
            return r;
    }
}

/* ---- opening ---- */

static int32_t open_unless_fifo(void *arg)
{
    const struct io_uring_sqe *sqe = arg;
    const char *path = (const char *)(uintptr_t)sqe->addr;
    int flags = (int)sqe->open_flags;
    struct stat stat;
    if (!(flags & (O_NONBLOCK | O_PATH)) && (flags & O_ACCMODE) != O_RDWR) {
        int fd = openat(sqe->fd, path, O_PATH | O_CLOEXEC | (flags & O_NOFOLLOW));
        bool fifo = fd >= 0 && fstat(fd, &stat) == 0 && S_ISFIFO(stat.st_mode);
        if (fd >= 0)
            close(fd);
        if (fifo)
            return IS_FIFO;
    }
    return fl_request_do(sqe);
}

/* Whether anybody has, or had, the FIFO open for writing: what tee(2) says of an empty pipe. */
static bool has_writer(int fd, int scratch)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    if (poll(&one, 1, 0) > 0)
        return true;
    ssize_t r = tee(fd, scratch, 1, SPLICE_F_NONBLOCK);
    return r > 0 || (r < 0 && errno == EAGAIN);
}

static int await_writer(int fd)
{
    int64_t pause = 0;
    int scratch[2], r = 0;
    if (pipe2(scratch, O_CLOEXEC) < 0)
        return -errno;
    while (r == 0 && !has_writer(fd, scratch[1]))
        r = fl_op_pause(&pause);
    close(scratch[0]);
    close(scratch[1]);
    return r;
}

static int open_fifo(const struct io_uring_sqe *sqe)
{
    int64_t pause = 0;
    int flags = (int)sqe->open_flags, r = 0, fd;
    const char *path = (const char *)(uintptr_t)sqe->addr;
    while ((fd = openat(sqe->fd, path, flags | O_NONBLOCK, (mode_t)sqe->len)) < 0 && errno == ENXIO)
        if ((r = fl_op_pause(&pause)) < 0)
            return r;
    if (fd < 0)
        return -errno;
    if ((flags & O_ACCMODE) == O_RDONLY)
        r = await_writer(fd);
    if (r == 0 && fcntl(fd, F_SETFL, flags & ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC)) < 0)
        r = -errno;
    if (r == 0)
        return fd;
    close(fd);
    return r;
}

static int open_(struct fl_task *task, const struct io_uring_sqe *sqe)
{
    struct io_uring_sqe call;
    fl_request_prep(&call, FL_REQUEST_CALL, -1, (const void *)(uintptr_t)open_unless_fifo, (uint64_t)(uintptr_t)sqe, 0);
    int r = fl_op_help(task, &call, true);
    return r == IS_FIFO ? open_fifo(sqe) : r;
}

/* ---- processes and words ---- */

/* A descriptor that can be polled for what waitid(2) waits for. @return -1: there is none */
static int process_fd(const struct io_uring_sqe *sqe, bool *ret_ours)
{
    *ret_ours = sqe->len == P_PID;
    if ((sqe->file_index & (WEXITED | WSTOPPED | WCONTINUED)) != WEXITED)
        return -1;
    return sqe->len == P_PIDFD ? sqe->fd : sqe->len == P_PID ? (int)syscall(SYS_pidfd_open, sqe->fd, 0) : -1;
}

static int await_process(struct fl_task *task, const struct io_uring_sqe *sqe)
{
    int64_t pause = 0;
    bool ours;
    int r = fl_request_try(sqe), fd;
    if (r != -EAGAIN)
        return r;
    if ((fd = process_fd(sqe, &ours)) >= 0) {
        r = fl_op_poll(task, fd, POLLIN, true);
        if (ours)
            close(fd);
        if (r < 0)
            return r;
    }
    while ((r = fl_request_try(sqe)) == -EAGAIN)
        if ((r = fl_op_pause(&pause)) < 0)
            return r;
    return r;
}

static int await_word(const struct io_uring_sqe *sqe)
{
    int64_t pause = 0;
    _Atomic(uint32_t) *word = (_Atomic(uint32_t) *)(uintptr_t)sqe->addr;
    if (load_acquire(word) != (uint32_t)sqe->addr2) /* [word] pairs with whoever changes it, in another program perhaps */
        return -EAGAIN;
    do {
        int r = fl_op_pause(&pause);
        if (r < 0)
            return r;
    } while (load_acquire(word) == (uint32_t)sqe->addr2); /* [word] as above */
    return 0;
}

int fl_standin_run(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable)
{
    int code = cancellable ? fl_scope_cancelled(task) : 0;
    if (code)
        return code;
    switch (sqe->opcode) {
    case IORING_OP_OPENAT:
        return open_(task, sqe);
    case IORING_OP_CONNECT:
        return connect_(task, sqe);
    case IORING_OP_SPLICE:
        return splice_(task, sqe);
    case FL_REQUEST_WAITID:
        return await_process(task, sqe);
    case FL_REQUEST_FUTEX_WAIT:
        return await_word(sqe);
    default:
        return try_(task, sqe, cancellable);
    }
}
