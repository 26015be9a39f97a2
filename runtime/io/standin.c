/* SPDX-License-Identifier: MIT */
/* Requests that no ring carries out, because there is none, or because the kernel is older than the operation.
 *
 * What has a descriptor that can be polled is tried without waiting; if it would wait, the task parks in a poll and tries again. So thousands may wait, and all of
 * them can be cancelled. What cannot be tried or polled (files, paths) waits for the disk at most, and is carried out by a helper: a kernel thread of a bounded pool.
 *
 * Nothing that may wait for ever goes to a helper, because a few such would stop all others and could not be cancelled. What is left, the task looks at
 * again and again, with pauses that grow up to PAUSE_MAX: a FIFO that nobody has opened at the other end, children that have no descriptor, a word that another
 * process changes, a full line of connections at a Unix socket. */
#include "io/op.h"

#include <filch/io.h>
#include <filch/task.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE_FIRST 50000 /* ns */
#define PAUSE_MAX 5000000 /* ns: how late such a wait may end */
#define IS_FIFO INT32_MIN /* from open_unless_fifo: neither a descriptor nor -errno */

static int pause_(int64_t *pause)
{
    int r = filch_sleep(*pause);
    *pause = 2 * *pause < PAUSE_MAX ? 2 * *pause : PAUSE_MAX;
    return r;
}

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

static int try_(struct fl_task *task, const struct io_uring_sqe *sqe, bool cancellable)
{
    int fd;
    short events = fl_request_awaits(sqe, &fd);
    for (;;) {
        int code = cancellable ? fl_scope_cancelled(task) : 0;
        if (code)
            return code;
        int r = fl_request_try(sqe);
        bool unknown = r == -EOPNOTSUPP;
        if (unknown && !events)
            return fl_op_help(task, sqe, cancellable);
        if ((r != -EAGAIN && r != -EINTR && !unknown) || (is_message(sqe) && sqe->msg_flags & MSG_DONTWAIT))
            return r;
        if (r == -EINTR)
            continue;
        r = fl_op_poll(task, fd, events, cancellable);
        if (r == -EPERM || (r >= 0 && unknown))
            return fl_op_help(task, sqe, cancellable); /* a file; or one that is ready, but cannot be asked for just that */
        if (r < 0)
            return r;
    }
}

/* ---- MSG_WAITALL: until all is there ---- */

/* Moves a message's parts on by what has been received. */
static void advance(struct msghdr *msg, size_t n)
{
    while (msg->msg_iovlen > 0 && n >= msg->msg_iov->iov_len) {
        n -= msg->msg_iov->iov_len;
        msg->msg_iov++;
        msg->msg_iovlen--;
    }
    if (msg->msg_iovlen > 0) {
        msg->msg_iov->iov_base = (char *)msg->msg_iov->iov_base + n;
        msg->msg_iov->iov_len -= n;
    }
}

static size_t length_of(const struct msghdr *msg)
{
    size_t sum = 0;
    for (size_t i = 0; i < msg->msg_iovlen; i++)
        sum += msg->msg_iov[i].iov_len;
    return sum;
}

static bool is_stream(int fd)
{
    int type;
    socklen_t len = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

static int receive_parts(struct fl_task *task, const struct io_uring_sqe *sqe, struct msghdr *msg)
{
    struct io_uring_sqe one;
    struct msghdr rest = *msg;
    size_t left = length_of(msg), done = 0;
    do {
        io_uring_prep_recvmsg(&one, sqe->fd, &rest, sqe->msg_flags & ~(unsigned)MSG_WAITALL);
        int r = try_(task, &one, true);
        if (done == 0) { /* who sent it, and what came with it, is told once */
            msg->msg_namelen = rest.msg_namelen;
            msg->msg_controllen = rest.msg_controllen;
            msg->msg_flags = rest.msg_flags;
            rest.msg_name = rest.msg_control = NULL;
            rest.msg_namelen = 0;
            rest.msg_controllen = 0;
        }
        if (r <= 0)
            return done ? (int)done : r;
        done += (size_t)r;
        left -= (size_t)r;
        advance(&rest, (size_t)r);
    } while (left > 0);
    return (int)done;
}

static int receive_all(struct fl_task *task, const struct io_uring_sqe *sqe)
{
    struct iovec one = {(void *)(uintptr_t)sqe->addr, sqe->len};
    struct msghdr single = {.msg_iov = &one, .msg_iovlen = 1}, *msg = &single;
    if (sqe->opcode == IORING_OP_RECV)
        return receive_parts(task, sqe, msg);
    msg = (struct msghdr *)(uintptr_t)sqe->addr;
    struct iovec *own = malloc(msg->msg_iovlen * sizeof *own), *parts = msg->msg_iov;
    if (!own && msg->msg_iovlen)
        return -ENOMEM;
    memcpy(own, parts, msg->msg_iovlen * sizeof *own);
    msg->msg_iov = own;
    int r = receive_parts(task, sqe, msg);
    msg->msg_iov = parts;
    free(own);
    return r;
}

static int message(struct fl_task *task, const struct io_uring_sqe *sqe)
{
    bool receives = sqe->opcode == IORING_OP_RECV || sqe->opcode == IORING_OP_RECVMSG;
    bool all = receives && sqe->msg_flags & MSG_WAITALL && !(sqe->msg_flags & (MSG_DONTWAIT | MSG_PEEK | MSG_ERRQUEUE));
    return all && is_stream(sqe->fd) ? receive_all(task, sqe) : try_(task, sqe, true);
}

static int connect_(struct fl_task *task, const struct io_uring_sqe *sqe)
{
    int64_t pause = PAUSE_FIRST;
    int r, error = 0;
    socklen_t len = sizeof error;
    while ((r = fl_request_try(sqe)) == -EAGAIN) /* a Unix socket whose line is full */
        if ((r = pause_(&pause)) < 0)
            return r;
    if (r != -EINPROGRESS)
        return r;
    r = fl_op_poll(task, sqe->fd, POLLOUT, true);
    if (r >= 0)
        r = getsockopt(sqe->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? -error : -errno;
    return r;
}

static int splice_(struct fl_task *task, const struct io_uring_sqe *sqe)
{
    int64_t pause = PAUSE_FIRST;
    if (sqe->splice_flags & SPLICE_F_NONBLOCK)
        return fl_request_try(sqe);
    for (;;) {
        int in = fl_op_poll(task, sqe->splice_fd_in, POLLIN, true);
        int out = in >= 0 || in == -EPERM ? fl_op_poll(task, sqe->fd, POLLOUT, true) : in;
        if (out < 0 && out != -EPERM)
            return out;
        struct io_uring_sqe now = *sqe;
        now.splice_flags |= SPLICE_F_NONBLOCK;
        int r = in == -EPERM || out == -EPERM ? fl_op_help(task, &now, true) : fl_request_try(&now);
        if (r != -EAGAIN)
            return r;
        if ((r = pause_(&pause)) < 0) /* ready, but not for this */
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
    int64_t pause = PAUSE_FIRST;
    int scratch[2], r = 0;
    if (pipe2(scratch, O_CLOEXEC) < 0)
        return -errno;
    while (r == 0 && !has_writer(fd, scratch[1]))
        r = pause_(&pause);
    close(scratch[0]);
    close(scratch[1]);
    return r;
}

static int open_fifo(const struct io_uring_sqe *sqe)
{
    int64_t pause = PAUSE_FIRST;
    int flags = (int)sqe->open_flags, r = 0, fd;
    const char *path = (const char *)(uintptr_t)sqe->addr;
    while ((fd = openat(sqe->fd, path, flags | O_NONBLOCK, (mode_t)sqe->len)) < 0 && errno == ENXIO)
        if ((r = pause_(&pause)) < 0)
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

static int close_(struct fl_task *task, const struct io_uring_sqe *sqe)
{
    struct filch_runtime *runtime = task->runtime;
    for (unsigned i = 0; fl_op_polls(task) && i < runtime->count; i++)
        fl_epoll_closing(&runtime->workers[i]->ring, sqe->fd);
    int r = try_(task, sqe, false);
    return r == -EAGAIN || r == -ENOMEM ? fl_request_do(sqe) : r; /* no helper */
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
    int64_t pause = PAUSE_FIRST;
    bool ours;
    int r = fl_request_try(sqe), fd;
    if (r != -EAGAIN)
        return r;
    if ((fd = process_fd(sqe, &ours)) >= 0) {
        r = fl_op_poll(task, fd, POLLIN, true);
        if (ours)
            close(fd);
        return r < 0 ? r : fl_request_try(sqe);
    }
    while ((r = fl_request_try(sqe)) == -EAGAIN)
        if ((r = pause_(&pause)) < 0)
            return r;
    return r;
}

static int await_word(const struct io_uring_sqe *sqe)
{
    int64_t pause = PAUSE_FIRST;
    _Atomic(uint32_t) *word = (_Atomic(uint32_t) *)(uintptr_t)sqe->addr;
    if (load_acquire(word) != (uint32_t)sqe->addr2) /* [word] pairs with whoever changes it, in another program perhaps */
        return -EAGAIN;
    do {
        int r = pause_(&pause);
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
    case IORING_OP_CLOSE:
        return close_(task, sqe);
    case IORING_OP_CONNECT:
        return connect_(task, sqe);
    case IORING_OP_SPLICE:
        return splice_(task, sqe);
    case FL_REQUEST_WAITID:
        return await_process(task, sqe);
    case FL_REQUEST_FUTEX_WAIT:
        return await_word(sqe);
    default:
        return is_message(sqe) ? message(task, sqe) : try_(task, sqe, cancellable);
    }
}
