/* SPDX-License-Identifier: MIT */
/* Sockets, and the poll of one descriptor.
 *
 * What is ready is served at once by the plain system call that does not wait (fl_request_try), unless it is sent among others; the rest goes through the back-end,
 * which waits. Accept and connect nearly always wait, so they are not tried. O_NONBLOCK says nothing to a task: who does not want to wait passes MSG_DONTWAIT. The forms
 * with an address are recvmsg and sendmsg underneath, because the ring has no address for a recv.
 *
 * MSG_WAITALL. The plain call waits for all on a stream, and for one record on any other socket. The ring glues records together, sees the same bytes again
 * under MSG_PEEK, and does not say what came with a second piece; and an attempt that does not wait returns the part that is there. So we forget the flag but for
 * streams, go on there where a piece ended (take_all), and look until all is there to be seen (peek_all). As in the plain call, received descriptors end it early:
 * the bytes that they came with are not to be mixed with later ones.
 *
 * MSG_ZEROCOPY. The ring's own operation says twice that it is done: with the result, and when the kernel has let go of the pages. fl_op_run returns at the
 * second, and the buffer is the caller's again. On TCP that is when the peer has acknowledged all of it; no cancel hastens that. Where the socket or the kernel knows no such
 * thing, or no more memory may be pinned, the bytes are copied. Over loopback they are in any case, at the receiver's half, which makes it dearer (EPYC, us until the
 * receiver has answered, best of many, minimum of three runs):
 *
 *               4 KiB  16 KiB  64 KiB  256 KiB  1 MiB  16 MiB
 *   copied         15      16      23       44    164    5570
 *   zero copy      17      19      30       66    226    8680 */
#include "io/op.h"

#include <filch/io.h>

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#ifndef SCM_PIDFD
#define SCM_PIDFD 4 /* Linux 6.5 */
#endif

#define COUNT_MAX 0x7ffff000u     /* what the kernel moves in one call; a ring's entry has 32 bits for it */
#define FOUND_ALL 4096u           /* a worker's `found` when every attempt on a drained socket finds something */
#define FOUND_FEW (FOUND_ALL / 3) /* below that they are not worth a system call each */
#define FOUND_MEMORY 16           /* attempts that count */
#define SPARED_MAX 128            /* one in so many at least is made all the same */
#define SPARED_LESS 8             /* the part of it that is left when one finds something; it doubles when one finds nothing */
#define CALL_DUE 2                /* so many queued operations are worth a system call */

static unsigned capped(size_t len)
{
    return len < COUNT_MAX ? (unsigned)len : COUNT_MAX;
}

/* What need not wait is done at once. @return -EAGAIN: it must */
static int try_(struct fl_task *task, const struct io_uring_sqe *sqe)
{
    int code = task ? fl_scope_cancelled(task) : -EAGAIN;
    int r = code ? code : fl_request_try(sqe);
    return r == -EINTR ? -EAGAIN : r;
}

/* What an attempt that returned `r` comes to. */
static int finish(struct fl_task *task, const struct io_uring_sqe *sqe, int r)
{
    if (r == -EAGAIN)
        return fl_op_run(task, sqe, true);
    fl_op_served(task);
    return r;
}

static int run(const struct io_uring_sqe *sqe)
{
    struct fl_task *task = fl_current();
    return finish(task, sqe, try_(task, sqe));
}

/* Whether a message goes out sooner, or cheaper, by a ring: others wait for the worker, whose messages go with it in one system call; or that call is due in any case
 * once this task waits, for what is queued already. And while the task waits, what it will receive next may have come. */
static bool goes_with_others(const struct fl_task *task, const struct io_uring_sqe *sqe)
{
    struct fl_worker *w = fl_self();
    bool sends = sqe->opcode == IORING_OP_SEND || sqe->opcode == IORING_OP_SENDMSG;
    if (!sends || fl_op_polls(task) || !fl_ring_accepts(&w->ring))
        return false;
    if (fl_worker_busy(w))
        return true;
    bool due = fl_ring_queued(&w->ring) >= CALL_DUE;
    if (due)
        fl_worker_make_call_due(w); /* who comes first now may be the task of a timer, and compute */
    return due;
}

/* Whether the last receive had room for more. Only a hint, because the number may be another socket's by now; what follows from it is looked after
 * (machine/epoll.c). */
static bool is_drained(const struct fl_task *task, const struct io_uring_sqe *sqe)
{
    return sqe->opcode == IORING_OP_RECV && !(sqe->msg_flags & (MSG_OOB | MSG_ERRQUEUE | MSG_PEEK)) && task->drained == sqe->fd + 1;
}

/* Whether to try to receive from a drained socket all the same: if on this worker something tends to have come meanwhile. */
static bool is_worth_trying(struct fl_worker *w)
{
    if (w->found <= FOUND_FEW && ++w->untried < w->spared)
        return false;
    w->untried = 0;
    return true;
}

static void learn(struct fl_worker *w, bool found)
{
    w->found += (found ? FOUND_ALL / FOUND_MEMORY : 0) - w->found / FOUND_MEMORY;
    w->spared = found ? w->spared / SPARED_LESS : w->spared == 0 ? 1 : w->spared < SPARED_MAX ? 2 * w->spared : SPARED_MAX;
}

/* With epoll an attempt costs more than it finds. */
static int receive_when_ready(struct fl_task *task, const struct io_uring_sqe *sqe)
{
    int r = fl_op_poll(task, sqe->fd, POLLIN | fl_op_known(task, sqe), true);
    task->drained = 0;                          /* no more: it must be told anew should the attempt be interrupted */
    return r < 0 && r != -EPERM ? r : run(sqe); /* a file, by now: it says what it is */
}

static int receive_drained(struct fl_task *task, const struct io_uring_sqe *sqe)
{
    struct fl_worker *w = fl_self();
    if (fl_op_polls(task))
        return receive_when_ready(task, sqe);
    if (!is_worth_trying(w))
        return fl_op_run(task, sqe, true);
    int r = try_(task, sqe);
    learn(w, r >= 0);
    return finish(task, sqe, r);
}

static int receive_or_send(struct fl_task *task, struct io_uring_sqe *sqe)
{
    if (goes_with_others(task, sqe))
        return fl_op_run(task, sqe, true);
    if (fl_op_polls(task) || fl_backend_knows(&task->runtime->backend, IORING_OP_SOCKET)) /* which is as old as the flag */
        sqe->ioprio = IORING_RECVSEND_POLL_FIRST;                                         /* what was tried here need not be tried there */
    return is_drained(task, sqe) ? receive_drained(task, sqe) : run(sqe);
}

/* A message; MSG_DONTWAIT: or none. */
static int transfer(struct io_uring_sqe *sqe)
{
    struct fl_task *task = fl_current();
    if (!task)
        return run(sqe);
    if (sqe->msg_flags & MSG_DONTWAIT)
        return try_(task, sqe);
    int r = receive_or_send(task, sqe);
    if (sqe->opcode == IORING_OP_RECV)
        task->drained = r > 0 && (unsigned)r < sqe->len && !(sqe->msg_flags & MSG_PEEK) ? sqe->fd + 1 : 0;
    return r;
}

int filch_poll(int fd, int events)
{
    struct fl_task *task = fl_current();
    struct io_uring_sqe sqe;
    io_uring_prep_poll_add(&sqe, fd, (unsigned)events & 0xffff);
    if (fd < 0)
        return -EBADF; /* poll(2) passes over such a descriptor */
    int r = try_(task, &sqe);
    return r == -EAGAIN ? fl_op_poll(task, fd, (unsigned)events & 0xffff, true) : finish(task, &sqe, r);
}

/* ---- connections ---- */

int filch_accept(int fd, struct sockaddr *addr, socklen_t *addr_len, int flags)
{
    struct io_uring_sqe sqe;
    io_uring_prep_accept(&sqe, fd, addr, addr_len, flags);
    struct fl_task *task = fl_current();
    int r = fl_op_run(task, &sqe, true);
    if (r >= 0 && task && fl_op_polls(task))
        fl_op_made(task, r);
    return r;
}

int filch_connect(int fd, const struct sockaddr *addr, socklen_t addr_len)
{
    struct io_uring_sqe sqe;
    io_uring_prep_connect(&sqe, fd, addr, addr_len);
    bool again;
    struct fl_task *task = fl_current();
    if (task)
        task->drained = 0; /* a new socket, mostly */
    int r = fl_op_run_again(task, &sqe, true, &again);
    if (!again || (r != -EALREADY && r != -EISCONN))
        return r;
    /* The first one was interrupted, but the attempt goes on: as after EINTR of connect(2) it is waited for. */
    int error = 0;
    socklen_t len = sizeof error;
    r = filch_poll(fd, POLLOUT);
    if (r >= 0)
        r = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? -error : -errno;
    return r;
}

int filch_shutdown(int fd, int how)
{
    struct io_uring_sqe sqe;
    io_uring_prep_shutdown(&sqe, fd, how);
    return run(&sqe);
}

/* ---- sending ---- */

static int send_zero_copy(struct io_uring_sqe sqe)
{
    sqe.opcode = sqe.opcode == IORING_OP_SEND ? IORING_OP_SEND_ZC : IORING_OP_SENDMSG_ZC;
    return fl_op_run(fl_current(), &sqe, true);
}

static int send_by(struct io_uring_sqe *sqe)
{
    bool zero_copy = (sqe->msg_flags & (MSG_ZEROCOPY | MSG_DONTWAIT)) == MSG_ZEROCOPY;
    sqe->msg_flags = (sqe->msg_flags & ~(unsigned)MSG_ZEROCOPY) | MSG_NOSIGNAL;
    int r = zero_copy ? send_zero_copy(*sqe) : -EOPNOTSUPP;
    return r == -EOPNOTSUPP || r == -ENOBUFS || r == -ENOMEM ? transfer(sqe) : r;
}

ssize_t filch_send(int fd, const void *buf, size_t len, int flags)
{
    struct io_uring_sqe sqe;
    io_uring_prep_send(&sqe, fd, buf, capped(len), flags);
    return send_by(&sqe);
}

ssize_t filch_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    struct io_uring_sqe sqe;
    io_uring_prep_sendmsg(&sqe, fd, msg, (unsigned)flags);
    return send_by(&sqe);
}

ssize_t filch_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr, socklen_t addr_len)
{
    struct iovec part = {(void *)(uintptr_t)buf, capped(len)};
    struct msghdr msg = {.msg_name = (void *)(uintptr_t)addr, .msg_namelen = addr_len, .msg_iov = &part, .msg_iovlen = 1};
    return filch_sendmsg(fd, &msg, flags);
}

/* ---- receiving ---- */

static ssize_t recvmsg_(int fd, struct msghdr *msg, int flags)
{
    struct io_uring_sqe sqe;
    io_uring_prep_recvmsg(&sqe, fd, msg, (unsigned)flags);
    return transfer(&sqe);
}

/* Into one part of what was asked for; on success the rest of `msg` is as if this were all. */
static ssize_t recv_part(int fd, struct msghdr *msg, const struct msghdr *asked, struct iovec part, int flags)
{
    struct msghdr piece = *asked;
    piece.msg_iov = &part;
    piece.msg_iovlen = 1;
    ssize_t r = recvmsg_(fd, &piece, flags);
    if (r <= 0)
        return r;
    piece.msg_iov = asked->msg_iov;
    piece.msg_iovlen = asked->msg_iovlen;
    *msg = piece;
    return r;
}

static bool brought_descriptors(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
        if (c->cmsg_level == SOL_SOCKET && (c->cmsg_type == SCM_RIGHTS || c->cmsg_type == SCM_PIDFD))
            return true;
    return msg->msg_flags & MSG_CTRUNC;
}

/* What is left of the part in which the first `done` bytes end; empty: nothing is left. */
static struct iovec rest_of(const struct msghdr *msg, size_t done)
{
    for (size_t i = 0; i < msg->msg_iovlen; done -= msg->msg_iov[i++].iov_len)
        if (done < msg->msg_iov[i].iov_len)
            return (struct iovec){(char *)msg->msg_iov[i].iov_base + done, msg->msg_iov[i].iov_len - done};
    return (struct iovec){0};
}

static ssize_t take_all(int fd, struct msghdr *msg, int flags)
{
    const struct msghdr asked = *msg;
    struct iovec rest;
    flags |= asked.msg_controllen ? 0 : MSG_WAITALL; /* the ring need not wake us for every piece, then */
    ssize_t done = recvmsg_(fd, msg, flags), r = done;
    while (r > 0 && !brought_descriptors(msg) && (rest = rest_of(&asked, (size_t)done)).iov_len > 0) {
        r = recv_part(fd, msg, &asked, rest, flags);
        done += r > 0 ? r : 0;
    }
    return done;
}

/* Nothing tells that more has come than was seen already, so it looks again after a while. */
static ssize_t peek_all(int fd, struct msghdr *msg, int flags)
{
    const struct msghdr asked = *msg;
    size_t all = 0;
    for (size_t i = 0; i < asked.msg_iovlen; i++)
        all += asked.msg_iov[i].iov_len;
    for (;; *msg = asked) {
        ssize_t r = recvmsg_(fd, msg, flags);
        struct pollfd end = {.fd = fd, .events = POLLRDHUP};
        if (r <= 0 || (size_t)r >= all || brought_descriptors(msg) || poll(&end, 1, 0) != 0)
            return r;
        int code = filch_sleep(FILCH_MSEC(1));
        if (code)
            return code;
    }
}

ssize_t filch_recvmsg(int fd, struct msghdr *msg, int flags)
{
    int type = 0;
    socklen_t len = sizeof type;
    if (!fl_current() || (flags & (MSG_WAITALL | MSG_DONTWAIT)) != MSG_WAITALL)
        return recvmsg_(fd, msg, flags);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return -errno;
    flags &= ~MSG_WAITALL;
    if (type != SOCK_STREAM)
        return recvmsg_(fd, msg, flags);
    return flags & MSG_PEEK ? peek_all(fd, msg, flags) : take_all(fd, msg, flags);
}

ssize_t filch_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr, socklen_t *addr_len)
{
    struct iovec part = {buf, capped(len)};
    struct msghdr msg = {.msg_name = addr, .msg_namelen = addr ? *addr_len : 0, .msg_iov = &part, .msg_iovlen = 1};
    ssize_t r = filch_recvmsg(fd, &msg, flags);
    if (r >= 0 && addr)
        *addr_len = msg.msg_namelen;
    return r;
}

ssize_t filch_recv(int fd, void *buf, size_t len, int flags)
{
    struct io_uring_sqe sqe;
    if (flags & MSG_WAITALL)
        return filch_recvfrom(fd, buf, len, flags, NULL, NULL);
    io_uring_prep_recv(&sqe, fd, buf, capped(len), flags);
    return transfer(&sqe);
}
