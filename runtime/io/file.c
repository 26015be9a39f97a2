/* SPDX-License-Identifier: MIT */
/* Files: open, close, read, write and the positioned forms.
 *
 * What would not block is done at once by the plain system call, because a ready page costs one system call there and a parked task and
 * a completion through the ring: openat2(2) with RESOLVE_CACHED
 * for what a look at the path says is a file or a directory (opening a FIFO waits for its other end), preadv2(2) with RWF_NOWAIT. What says EAGAIN, or is not possible that way,
 * goes through the ring. Writes go through the ring always: whether one blocks is known only afterwards. So does close(2) of what may linger or
 * flush; a descriptor that was only read from, by its access mode, is closed at once (a close through the ring doubled the cost of a small file).
 *
 * A plain thread makes the plain system call. */
#include "io/op.h"

#include <filch/io.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define COUNT_MAX 0x7ffff000u /* what the kernel moves in one call */

static ssize_t error_or(ssize_t r)
{
    return r < 0 ? -errno : r;
}

int filch_open(const char *path, int flags, mode_t mode)
{
    return filch_openat(AT_FDCWD, path, flags, mode);
}

/* Whether `path` leads to a regular file or a directory without a look at the disk: opening that does not wait for anybody. */
static bool plain_and_cached(int dir_fd, const char *path, int flags)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC | (unsigned)(flags & (O_NOFOLLOW | O_DIRECTORY)), .resolve = RESOLVE_CACHED};
    struct stat stat;
    if (flags & (O_CREAT | O_TRUNC | O_TMPFILE))
        return false;
    int fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
    if (fd < 0)
        return false;
    bool plain = fstat(fd, &stat) == 0 && (S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode));
    close(fd);
    return plain;
}

int filch_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    struct fl_task *task = fl_current();
    if (!task)
        return (int)error_or(openat(dir_fd, path, flags, mode));
    int code = fl_scope_cancelled(task);
    if (code)
        return code;
    if (plain_and_cached(dir_fd, path, flags)) {
        struct open_how how = {.flags = (unsigned)flags | O_LARGEFILE, .resolve = RESOLVE_CACHED};
        long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
    }
    struct io_uring_sqe sqe;
    io_uring_prep_openat(&sqe, dir_fd, path, flags, mode);
    sqe.flags |= IOSQE_ASYNC; /* else the kernel would first try it with O_NONBLOCK, which a FIFO takes for an answer */
    return fl_op_run(task, &sqe, true);
}

int filch_close(int fd)
{
    struct fl_task *task = fl_current();
    if (!task)
        return (int)error_or(close(fd));
    int mode = fcntl(fd, F_GETFL);
    if (mode < 0 || (mode & O_ACCMODE) == O_RDONLY)
        return (int)error_or(close(fd));
    struct io_uring_sqe sqe;
    io_uring_prep_close(&sqe, fd);
    int r = fl_op_run(task, &sqe, false);
    if (r == -EAGAIN || r == -EBUSY || r == -ENOMEM) /* the ring took nothing */
        return (int)error_or(close(fd));
    return r == -EINTR || r <= -512 ? 0 : r; /* interrupted while it flushed: Linux has closed it all the same */
}

/* offset -1: the file's position. */
static ssize_t read_at(int fd, void *buf, size_t count, off_t offset)
{
    struct fl_task *task = fl_current();
    if (!task)
        return error_or(offset == -1 ? read(fd, buf, count) : pread(fd, buf, count, offset));
    int code = fl_scope_cancelled(task);
    if (code)
        return code;
    struct iovec part = {buf, count};
    ssize_t r = preadv2(fd, &part, 1, offset, RWF_NOWAIT);
    if (r >= 0 || (errno != EAGAIN && errno != EOPNOTSUPP && errno != EINTR && errno != ENOSYS && errno != EINVAL))
        return error_or(r);
    struct io_uring_sqe sqe;
    io_uring_prep_read(&sqe, fd, buf, count < COUNT_MAX ? (unsigned)count : COUNT_MAX, (uint64_t)offset);
    return fl_op_run(task, &sqe, true);
}

static ssize_t write_at(int fd, const void *buf, size_t count, off_t offset)
{
    struct fl_task *task = fl_current();
    if (!task)
        return error_or(offset == -1 ? write(fd, buf, count) : pwrite(fd, buf, count, offset));
    struct io_uring_sqe sqe;
    io_uring_prep_write(&sqe, fd, buf, count < COUNT_MAX ? (unsigned)count : COUNT_MAX, (uint64_t)offset);
    return fl_op_run(task, &sqe, true);
}

ssize_t filch_read(int fd, void *buf, size_t count)
{
    return read_at(fd, buf, count, -1);
}

ssize_t filch_write(int fd, const void *buf, size_t count)
{
    return write_at(fd, buf, count, -1);
}

ssize_t filch_pread(int fd, void *buf, size_t count, off_t offset)
{
    return offset < 0 ? -EINVAL : read_at(fd, buf, count, offset);
}

ssize_t filch_pwrite(int fd, const void *buf, size_t count, off_t offset)
{
    return offset < 0 ? -EINVAL : write_at(fd, buf, count, offset);
}
