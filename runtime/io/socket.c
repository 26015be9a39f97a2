/* SPDX-License-Identifier: MIT */
/* Sockets: accept, connect, recv, send.
 *
 * A socket that is ready is served by the plain system call with MSG_DONTWAIT; one that is not, through the ring, where the kernel waits. A short send is
 * reported as such. A plain thread makes the plain system call. */
#include "io/op.h"

#include <filch/io.h>

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#define COUNT_MAX 0x7ffff000u /* what the kernel moves in one call; a ring's entry has 32 bits for it */

static ssize_t error_or(ssize_t r)
{
    return r < 0 ? -errno : r;
}

static bool would_block(ssize_t r)
{
    return r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

int filch_accept(int fd, struct sockaddr *addr, socklen_t *addr_len, int flags)
{
    struct fl_task *task = fl_current();
    if (!task)
        return (int)error_or(accept4(fd, addr, addr_len, flags));
    struct io_uring_sqe sqe;
    io_uring_prep_accept(&sqe, fd, addr, addr_len, flags);
    return fl_op_run(task, &sqe, true);
}

int filch_connect(int fd, const struct sockaddr *addr, socklen_t addr_len)
{
    struct fl_task *task = fl_current();
    if (!task)
        return (int)error_or(connect(fd, addr, addr_len));
    struct io_uring_sqe sqe;
    io_uring_prep_connect(&sqe, fd, addr, addr_len);
    bool again;
    int r = fl_op_run_again(task, &sqe, true, &again);
    if (!again || (r != -EALREADY && r != -EISCONN))
        return r;
    /* The first one was interrupted, but the attempt goes on: as after EINTR of connect(2) it is waited for. */
    io_uring_prep_poll_add(&sqe, fd, POLLOUT);
    r = fl_op_run(task, &sqe, true);
    int error = 0;
    socklen_t len = sizeof error;
    if (r >= 0)
        r = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? -error : -errno;
    return r;
}

ssize_t filch_recv(int fd, void *buf, size_t len, int flags)
{
    struct fl_task *task = fl_current();
    len = len < COUNT_MAX ? len : COUNT_MAX;
    if (!task)
        return error_or(recv(fd, buf, len, flags));
    int code = fl_scope_cancelled(task);
    if (code)
        return code;
    if (!(flags & MSG_WAITALL)) { /* which must not return short because a part is there */
        ssize_t r = recv(fd, buf, len, flags | MSG_DONTWAIT);
        if (!would_block(r) || flags & MSG_DONTWAIT)
            return error_or(r);
    }
    struct io_uring_sqe sqe;
    io_uring_prep_recv(&sqe, fd, buf, len, flags);
    return fl_op_run(task, &sqe, true);
}

ssize_t filch_send(int fd, const void *buf, size_t len, int flags)
{
    struct fl_task *task = fl_current();
    flags |= MSG_NOSIGNAL;
    len = len < COUNT_MAX ? len : COUNT_MAX;
    if (!task)
        return error_or(send(fd, buf, len, flags));
    int code = fl_scope_cancelled(task);
    if (code)
        return code;
    ssize_t r = send(fd, buf, len, flags | MSG_DONTWAIT);
    if (!would_block(r) || flags & MSG_DONTWAIT)
        return error_or(r);
    struct io_uring_sqe sqe;
    io_uring_prep_send(&sqe, fd, buf, len, flags);
    return fl_op_run(task, &sqe, true);
}
