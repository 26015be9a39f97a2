/* SPDX-License-Identifier: MIT */
/* Requests without a ring: each operation of io_uring that filch uses, as the plain system call that it stands for.
 *
 * A request is written down once, as an entry of a submission queue, and can be carried out in three ways: by a ring; by fl_request_do on a thread that may
 * wait, a helper's or the caller's own; and, where a descriptor can be polled, by fl_request_try whenever it is ready. So the functions on the io floor do not know
 * which back-end there is.
 *
 * Trying must never wait, whatever mode the descriptor is in, and must not change a mode that others rely on: sockets have MSG_DONTWAIT, reads and writes RWF_NOWAIT.
 * accept(2), connect(2) and splice(2) have nothing of the kind: their sockets are set to non-blocking and stay so, as in every event loop. */
#include "machine/request.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_POSITION UINT64_MAX /* the offset that stands for the file's position */

static void *pointer(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

static int32_t error_or(ssize_t r)
{
    return r < 0 ? -errno : (int32_t)r;
}

void fl_request_prep(struct io_uring_sqe *sqe, int opcode, int fd, const void *addr, uint64_t addr2, unsigned len)
{
    *sqe = (struct io_uring_sqe){.opcode = (uint8_t)opcode, .fd = fd, .addr = (uint64_t)(uintptr_t)addr, .addr2 = addr2, .len = len};
}

/* ---- reading and writing ---- */

/* Direct I/O takes RWF_NOWAIT for how it begins: then it waits for the device. */
static bool is_direct(int fd)
{
    struct stat stat;
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && flags & O_DIRECT && fstat(fd, &stat) == 0 && (S_ISREG(stat.st_mode) || S_ISBLK(stat.st_mode));
}

static ssize_t move(const struct io_uring_sqe *sqe, const struct iovec *parts, int count, bool out, int flags)
{
    off_t offset = (off_t)sqe->off;
    if (flags & RWF_NOWAIT && is_direct(sqe->fd)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    ssize_t r = out ? pwritev2(sqe->fd, parts, count, offset, flags) : preadv2(sqe->fd, parts, count, offset, flags);
    if (r >= 0 || errno != EOPNOTSUPP || !(flags & RWF_NOWAIT) || sqe->off != AT_POSITION)
        return r;
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};
    r = out ? sendmsg(sqe->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) : recvmsg(sqe->fd, &msg, MSG_DONTWAIT);
    if (r < 0 && errno == ENOTSOCK)
        errno = EOPNOTSUPP;
    return r;
}

static int32_t move_one(const struct io_uring_sqe *sqe, bool out, int flags)
{
    struct iovec part = {pointer(sqe->addr), sqe->len};
    return error_or(move(sqe, &part, 1, out, flags));
}

static int32_t move_many(const struct io_uring_sqe *sqe, bool out, int flags)
{
    return error_or(move(sqe, pointer(sqe->addr), (int)sqe->len, out, flags));
}

/* ---- sockets ---- */

void fl_request_never_wait(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && !(flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static bool is_socket(int fd)
{
    int type;
    socklen_t len = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
}

static int32_t accept_(const struct io_uring_sqe *sqe)
{
    return error_or(accept4(sqe->fd, pointer(sqe->addr), pointer(sqe->addr2), (int)sqe->accept_flags));
}

static int32_t connect_(const struct io_uring_sqe *sqe)
{
    return error_or(connect(sqe->fd, pointer(sqe->addr), (socklen_t)sqe->addr2));
}

/* The flag is meant for the ring, and without the error queue it would leave its notices there for nobody. */
static int flags_of(const struct io_uring_sqe *sqe)
{
    return (int)(sqe->msg_flags & ~(unsigned)MSG_ZEROCOPY);
}

static int32_t socket_call(const struct io_uring_sqe *sqe, int more)
{
    int flags = flags_of(sqe) | more;
    switch (sqe->opcode) {
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
        return error_or(send(sqe->fd, pointer(sqe->addr), sqe->len, flags));
    case IORING_OP_RECV:
        return error_or(recv(sqe->fd, pointer(sqe->addr), sqe->len, flags));
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
        return error_or(sendmsg(sqe->fd, pointer(sqe->addr), flags));
    default:
        return error_or(recvmsg(sqe->fd, pointer(sqe->addr), flags));
    }
}

bool fl_request_hogs(const struct io_uring_sqe *sqe)
{
    return sqe->opcode == IORING_OP_SPLICE && (is_socket(sqe->fd) || is_socket(sqe->splice_fd_in));
}

bool fl_request_lasts(const struct io_uring_sqe *sqe)
{
    return sqe->opcode == FL_REQUEST_LONG_CALL || (sqe->opcode == IORING_OP_CLOSE && is_socket(sqe->fd));
}

static int32_t splice_(const struct io_uring_sqe *sqe, unsigned more)
{
    off_t in = (off_t)sqe->splice_off_in, out = (off_t)sqe->off;
    return error_or(splice(sqe->splice_fd_in, sqe->splice_off_in == AT_POSITION ? NULL : &in, sqe->fd,
                           sqe->off == AT_POSITION ? NULL : &out, sqe->len, sqe->splice_flags | more));
}

/* ---- waiting for others ---- */

static int32_t poll_(const struct io_uring_sqe *sqe, int timeout)
{
    struct pollfd one = {.fd = sqe->fd, .events = (short)sqe->poll32_events};
    int r = poll(&one, 1, timeout);
    if (r > 0 && one.revents & POLLNVAL)
        return -EBADF;
    return r < 0 ? -errno : r == 0 ? -EAGAIN : one.revents;
}

static int32_t waitid_(const struct io_uring_sqe *sqe, int more)
{
    siginfo_t *info = pointer(sqe->addr2), none;
    info = info ? info : &none;
    info->si_pid = 0;
    int32_t r = error_or(waitid((idtype_t)sqe->len, (id_t)sqe->fd, info, (int)sqe->file_index | more));
    return r == 0 && info->si_pid == 0 && more & WNOHANG && !(sqe->file_index & WNOHANG) ? -EAGAIN : r;
}

static int32_t futex_wait(const struct io_uring_sqe *sqe)
{
    int op = FUTEX_WAIT | (sqe->fd & FL_FUTEX_PRIVATE ? FUTEX_PRIVATE_FLAG : 0);
    return error_or(syscall(SYS_futex, pointer(sqe->addr), op, (uint32_t)sqe->addr2, NULL, NULL, 0));
}

/* ---- files ---- */

static int32_t open_(const struct io_uring_sqe *sqe)
{
    return error_or(openat(sqe->fd, pointer(sqe->addr), (int)sqe->open_flags, (mode_t)sqe->len));
}

static int32_t fsync_(const struct io_uring_sqe *sqe)
{
    return error_or(sqe->fsync_flags & IORING_FSYNC_DATASYNC ? fdatasync(sqe->fd) : fsync(sqe->fd));
}

static int32_t statx_(const struct io_uring_sqe *sqe)
{
    return error_or(statx(sqe->fd, pointer(sqe->addr), (int)sqe->statx_flags, sqe->len, pointer(sqe->off)));
}

int32_t fl_request_do(const struct io_uring_sqe *sqe)
{
    int fd = sqe->fd;
    const char *path = pointer(sqe->addr), *other = pointer(sqe->addr2);
    switch (sqe->opcode) {
    case IORING_OP_READ:
        return move_one(sqe, false, 0);
    case IORING_OP_WRITE:
        return move_one(sqe, true, 0);
    case IORING_OP_READV:
        return move_many(sqe, false, 0);
    case IORING_OP_WRITEV:
        return move_many(sqe, true, 0);
    case IORING_OP_OPENAT:
        return open_(sqe);
    case IORING_OP_CLOSE:
        return error_or(close(fd));
    case IORING_OP_FSYNC:
        return fsync_(sqe);
    case IORING_OP_SYNC_FILE_RANGE:
        return error_or(sync_file_range(fd, (off_t)sqe->off, sqe->len, sqe->sync_range_flags));
    case FL_REQUEST_SYNC_RANGE:
        return error_or(sync_file_range(fd, (off_t)sqe->off, (off_t)sqe->addr, sqe->sync_range_flags));
    case IORING_OP_FALLOCATE:
        return error_or(fallocate(fd, (int)sqe->len, (off_t)sqe->off, (off_t)sqe->addr));
    case FL_REQUEST_FTRUNCATE:
        return error_or(ftruncate(fd, (off_t)sqe->off));
    case IORING_OP_FADVISE:
        return -posix_fadvise(fd, (off_t)sqe->off, sqe->len, (int)sqe->fadvise_advice);
    case FL_REQUEST_FADVISE:
        return -posix_fadvise(fd, (off_t)sqe->off, (off_t)sqe->addr, (int)sqe->fadvise_advice);
    case IORING_OP_STATX:
        return statx_(sqe);
    case IORING_OP_RENAMEAT:
        return error_or(renameat2(fd, path, (int)sqe->len, other, sqe->rename_flags));
    case IORING_OP_UNLINKAT:
        return error_or(unlinkat(fd, path, (int)sqe->unlink_flags));
    case IORING_OP_MKDIRAT:
        return error_or(mkdirat(fd, path, (mode_t)sqe->len));
    case IORING_OP_LINKAT:
        return error_or(linkat(fd, path, (int)sqe->len, other, (int)sqe->hardlink_flags));
    case IORING_OP_SYMLINKAT:
        return error_or(symlinkat(path, fd, other));
    case IORING_OP_SPLICE:
        return splice_(sqe, 0);
    case IORING_OP_ACCEPT:
        return accept_(sqe);
    case IORING_OP_CONNECT:
        return connect_(sqe);
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
    case IORING_OP_RECV:
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
    case IORING_OP_RECVMSG:
        return socket_call(sqe, 0);
    case IORING_OP_SHUTDOWN:
        return error_or(shutdown(fd, (int)sqe->len));
    case IORING_OP_POLL_ADD:
        return poll_(sqe, -1);
    case FL_REQUEST_WAITID:
        return waitid_(sqe, 0);
    case FL_REQUEST_FUTEX_WAIT:
        return futex_wait(sqe);
    case FL_REQUEST_CALL:
    case FL_REQUEST_LONG_CALL:
        return ((int32_t(*)(void *))(uintptr_t)sqe->addr)(pointer(sqe->addr2));
    default:
        return -EINVAL;
    }
}

/* A close that waits: for what a socket lingers over, or a file flushes. */
static int32_t close_try(const struct io_uring_sqe *sqe)
{
    struct linger linger;
    socklen_t len = sizeof linger;
    int mode = fcntl(sqe->fd, F_GETFL);
    bool waits_ = mode >= 0 && (mode & O_ACCMODE) != O_RDONLY;
    if (waits_ && getsockopt(sqe->fd, SOL_SOCKET, SO_LINGER, &linger, &len) == 0)
        waits_ = linger.l_onoff;
    return waits_ ? FL_REQUEST_UNKNOWN : error_or(close(sqe->fd));
}

/* Files say of RWF_NOWAIT, too, that they don't know it. */
static int32_t known(int32_t r)
{
    return r == -EOPNOTSUPP ? FL_REQUEST_UNKNOWN : r;
}

static FL_NOINLINE int32_t try_other(const struct io_uring_sqe *sqe)
{
    switch (sqe->opcode) {
    case IORING_OP_READ:
        return known(move_one(sqe, false, RWF_NOWAIT));
    case IORING_OP_WRITE:
        return known(move_one(sqe, true, RWF_NOWAIT));
    case IORING_OP_READV:
        return known(move_many(sqe, false, RWF_NOWAIT));
    case IORING_OP_WRITEV:
        return known(move_many(sqe, true, RWF_NOWAIT));
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
    case IORING_OP_RECVMSG:
        return socket_call(sqe, MSG_DONTWAIT);
    case IORING_OP_ACCEPT:
        fl_request_never_wait(sqe->fd);
        return accept_(sqe);
    case IORING_OP_CONNECT:
        fl_request_never_wait(sqe->fd);
        return connect_(sqe);
    case IORING_OP_SPLICE:
        if (is_socket(sqe->fd))
            fl_request_never_wait(sqe->fd);
        if (is_socket(sqe->splice_fd_in))
            fl_request_never_wait(sqe->splice_fd_in);
        return splice_(sqe, SPLICE_F_NONBLOCK);
    case IORING_OP_POLL_ADD:
        return poll_(sqe, 0);
    case IORING_OP_CLOSE:
        return close_try(sqe);
    case IORING_OP_SHUTDOWN:
        return fl_request_do(sqe);
    case FL_REQUEST_WAITID:
        return waitid_(sqe, WNOHANG);
    default:
        return FL_REQUEST_UNKNOWN;
    }
}

int32_t fl_request_try(const struct io_uring_sqe *sqe)
{
    switch (sqe->opcode) { /* without the frame that the others need: what is received next is cold enough */
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
        return error_or(send(sqe->fd, pointer(sqe->addr), sqe->len, flags_of(sqe) | MSG_DONTWAIT));
    case IORING_OP_RECV:
        return error_or(recv(sqe->fd, pointer(sqe->addr), sqe->len, flags_of(sqe) | MSG_DONTWAIT));
    default:
        return try_other(sqe);
    }
}

short fl_request_awaits(const struct io_uring_sqe *sqe, int *ret_fd)
{
    *ret_fd = sqe->fd;
    switch (sqe->opcode) {
    case IORING_OP_READ:
    case IORING_OP_READV:
    case IORING_OP_ACCEPT:
        return POLLIN;
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG:
        return sqe->msg_flags & MSG_ERRQUEUE ? POLLERR : POLLIN;
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV:
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
    case IORING_OP_SENDMSG:
    case IORING_OP_SENDMSG_ZC:
    case IORING_OP_CONNECT:
        return POLLOUT;
    case IORING_OP_POLL_ADD:
        return (short)sqe->poll32_events;
    default:
        return 0;
    }
}
