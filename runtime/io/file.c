/* SPDX-License-Identifier: MIT */
/* Descriptors: open, close, read and write, with their positioned and scattered forms.
 *
 * What would not wait is done at once by the plain system call, because a ready page costs one system call there and a parked task and a
 * completion through the ring: openat2(2) with RESOLVE_CACHED for what a look at the path says is a file or a directory (opening a FIFO
 * waits for its other end), preadv2(2) with RWF_NOWAIT. What says EAGAIN, or is not possible that way, goes through the ring. Writes go
 * through the ring always: whether one waits is known only afterwards. So does close(2) of what may flush; what has nothing to wait for, a socket that does not
 * linger, a pipe, what was only read from by its access mode, is closed at once (docs/decisions/0011-fast-path-before-the-ring.md).
 *
 * Direct I/O (O_DIRECT) does not know RWF_NOWAIT for what it is: the read is started without waiting, and then waited for. So such a
 * descriptor goes through the ring. Asking for the flag costs a third of reading 4 KiB from the cache, so it is done only if length and
 * offset would do for direct I/O, and only at one such read in ASK_EVERY of a descriptor: the worker remembers who has said no. What is
 * remembered may be stale, of a number that somebody has closed and opened again without this file; then at most so many reads wait for
 * the device with the worker.
 *
 * At the file's position io_uring has a fault (Linux 6.18): a read or write that came short is tried again, and if that fails, on a full
 * disk say, the completion tells the bytes of the first try, but the position stays before them. So it is noted before and put right
 * after. */
#include "base/atomic.h"
#include "io/company.h"
#include "io/op.h"

#include <filch/io.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define COUNT_MAX 0x7ffff000u /* what the kernel moves in one call */
#define POSITION (-1)         /* the offset that stands for the file's position */
#define FIFOS 2               /* that the kernel opens at a time */
#define SECTOR 512            /* direct I/O wants multiples of this at least */

static ssize_t error_or(ssize_t r)
{
    return r < 0 ? -errno : r;
}

static unsigned capped(size_t count)
{
    return count < COUNT_MAX ? (unsigned)count : COUNT_MAX;
}

/* ---- direct I/O ---- */

#define ASK_EVERY 64

/* What a worker remembers of a descriptor: its number plus one, times ASK_EVERY, plus how many more reads need not ask. */
static _Atomic(uint32_t) *slot_of(struct fl_worker *w, int fd)
{
    return &w->buffered[(unsigned)fd % FL_BUFFERED];
}

static void forget(filch_runtime *runtime, int fd)
{
    for (unsigned i = 0; runtime && i < fl_total(runtime); i++)
        store_relaxed(slot_of(runtime->workers[i], fd), 0); /* hint: who still finds the old one waits with its worker, once */
}

static bool is_direct(int fd)
{
    _Atomic(uint32_t) *slot = slot_of(fl_self(), fd);
    uint32_t known = ((uint32_t)fd + 1) * ASK_EVERY, seen = load_relaxed(slot); /* own: but for forget */
    if (seen - known - 1 < ASK_EVERY - 1) {
        store_relaxed(slot, seen - 1); /* own: as above */
        return false;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && flags & O_DIRECT)
        return true;
    store_relaxed(slot, known + ASK_EVERY - 1); /* own: as above */
    return false;
}

/* ---- open, close ---- */

/* What `path` leads to, without a look at the disk. @return its file type, S_IFMT; 0: that is not known */
static mode_t kind_if_cached(int dir_fd, const char *path, int flags)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC | (unsigned)(flags & (O_NOFOLLOW | O_DIRECTORY)), .resolve = RESOLVE_CACHED};
    struct stat stat;
    int fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
    if (fd < 0)
        return 0;
    mode_t kind = fstat(fd, &stat) == 0 ? stat.st_mode & S_IFMT : 0;
    close(fd);
    return kind;
}

/* @return a descriptor, or -1: ask the ring. */
static int open_now(int dir_fd, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned)flags | O_LARGEFILE, .resolve = RESOLVE_CACHED};
    return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
}

/* Of what is not known to be no FIFO: in non-blocking mode none of them waits. What is no file after all is opened once more. */
static int open_if_file(struct fl_task *task, const struct io_uring_sqe *sqe)
{
    struct io_uring_sqe now = *sqe;
    struct stat stat;
    now.open_flags |= O_NONBLOCK;
    int fd = fl_op_run(task, &now, true);
    if (fd < 0)
        return fd == -ENXIO || fd == -EAGAIN ? fl_standin_run(task, sqe, true) : fd;
    if (fstat(fd, &stat) == 0 && (S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode)) && fcntl(fd, F_SETFL, sqe->open_flags) == 0)
        return fd;
    close(fd);
    return fl_standin_run(task, sqe, true);
}

/* The kernel opens on threads of its own, of which there are few, four a CPU, and a FIFO may keep one for ever: so only some are opened by it at a time that are FIFOs, or
 * may be, since of a path that is not in the cache that is not known. */
static int open_by_ring(struct fl_task *task, const struct io_uring_sqe *sqe, mode_t kind)
{
    _Atomic(uint32_t) *fifos = &task->runtime->fifos;
    if (kind != 0 && kind != S_IFIFO)
        return fl_op_run(task, sqe, true);
    bool many = add_relaxed(fifos, 1) >= FIFOS; /* counter */
    int r = !many ? fl_op_run(task, sqe, true) : kind == S_IFIFO ? fl_standin_run(task, sqe, true) : open_if_file(task, sqe);
    sub_relaxed(fifos, 1); /* counter */
    return r;
}

static int open_(struct fl_task *task, int dir_fd, const char *path, int flags, mode_t mode)
{
    int r = task ? fl_scope_cancelled(task) : 0;
    if (r)
        return r;
    bool makes = flags & (O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY));
    bool meets = !(flags & (O_NONBLOCK | O_EXCL | O_PATH)) && (flags & O_ACCMODE) != O_RDWR; /* a FIFO's other end */
    mode_t kind = task && (!makes || meets) ? kind_if_cached(dir_fd, path, flags) : 0;
    if (!makes && (kind == S_IFREG || kind == S_IFDIR) && (r = open_now(dir_fd, path, flags)) >= 0)
        return r;
    struct io_uring_sqe sqe;
    io_uring_prep_openat(&sqe, dir_fd, path, flags, mode);
    sqe.flags |= IOSQE_ASYNC; /* else the kernel would first try it with O_NONBLOCK, which a FIFO takes for an answer */
    return task && meets ? open_by_ring(task, &sqe, kind) : fl_op_run(task, &sqe, true);
}

int filch_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    int fd = open_(fl_current(), dir_fd, path, flags, mode);
    if (fd >= 0 && flags & O_DIRECT)
        forget(filch_current(), fd);
    return fd;
}

int filch_open(const char *path, int flags, mode_t mode)
{
    return filch_openat(AT_FDCWD, path, flags, mode);
}

/* What closing a descriptor may wait for. */
enum closing { NOTHING, FLUSH, LINGERING };

static enum closing closing_of(int fd)
{
    struct linger linger;
    socklen_t len = sizeof linger;
    struct stat stat;
    int mode = fcntl(fd, F_GETFL);
    if (mode < 0 || (mode & O_ACCMODE) == O_RDONLY)
        return NOTHING;
    if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len) == 0)
        return linger.l_onoff ? LINGERING : NOTHING;
    return fstat(fd, &stat) == 0 && S_ISFIFO(stat.st_mode) ? NOTHING : FLUSH;
}

/* Where nothing is waited for, the caller closes it itself: then the file is gone when the call returns, its port free and its peer told. The ring tells of a
 * close before the kernel has let go of the file. What a socket lingers over the ring lets the worker's own thread wait for, or, told not to, nobody: so a helper does.
 * @return FL_OP_NOT_TAKEN: nobody does it for us */
static int close_parked(struct fl_task *task, const struct io_uring_sqe *sqe)
{
    if (fl_op_polls(task))
        return fl_op_run(task, sqe, false);
    switch (closing_of(sqe->fd)) {
    case FLUSH:
        return fl_op_run(task, sqe, false);
    case LINGERING:
        return fl_op_help(task, sqe, false);
    default:
        return FL_OP_NOT_TAKEN;
    }
}

int filch_close(int fd)
{
    struct fl_task *task = fl_current();
    struct io_uring_sqe sqe;
    io_uring_prep_close(&sqe, fd);
    bool polls = task && fl_op_polls(task);
    if (task)
        fl_op_closing(task, fd);
    int r = task ? close_parked(task, &sqe) : FL_OP_NOT_TAKEN;
    if (r == FL_OP_NOT_TAKEN)
        r = fl_op_run(NULL, &sqe, false);
    if (polls)
        fl_op_closed(task, fd);
    return r == -EINTR || r <= -512 ? 0 : r; /* interrupted while it flushed: Linux has closed it all the same */
}

/* ---- through the ring ---- */

static size_t total(const struct iovec *parts, int count)
{
    size_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += parts[i].iov_len;
    return sum;
}

/* @param count what was asked for: less may have been done. */
static ssize_t run(struct fl_task *task, const struct io_uring_sqe *sqe, size_t count)
{
    off_t before = task && (off_t)sqe->off == POSITION ? lseek(sqe->fd, 0, SEEK_CUR) : -1;
    ssize_t r = fl_op_run(task, sqe, true);
    if (before >= 0 && r > 0 && (size_t)r < count && lseek(sqe->fd, 0, SEEK_CUR) == before)
        lseek(sqe->fd, before + r, SEEK_SET);
    return r;
}

/* ---- read ---- */

/* preadv2(2) as it is: glibc's is a point at which a thread may be cancelled, which costs two locked instructions, a fiftieth of a read of 4 KiB. */
static ssize_t read_if_cached(int fd, const struct iovec *parts, int count, off_t offset)
{
    return syscall(SYS_preadv2, (long)fd, parts, (long)count, (long)offset, 0L, (long)RWF_NOWAIT);
}

/* @param aligned length and offset would do for direct I/O
 * @return the result, or -EAGAIN: ask the ring. */
static ssize_t read_now(struct fl_task *task, int fd, const struct iovec *parts, int count, off_t offset, bool aligned)
{
    if (!task)
        return -EAGAIN;
    int code = fl_scope_cancelled(task);
    if (code)
        return code;
    struct fl_worker *w = fl_self();
    if ((offset != POSITION && fl_company_waits(w, task)) || (aligned && is_direct(fd)))
        return -EAGAIN;
    ssize_t r = read_if_cached(fd, parts, count, offset);
    if (r < 0 && (errno == EOPNOTSUPP || errno == EINTR || errno == ENOSYS || errno == EINVAL))
        return -EAGAIN;
    r = error_or(r);
    if (r >= 0) {
        if (offset != POSITION) /* where the ring takes a second system call (run) */
            fl_company_read(w, task);
        fl_op_served(task);
    }
    return r;
}

static bool sectors(size_t count, off_t offset)
{
    return (count | (offset == POSITION ? 0 : (size_t)offset)) % SECTOR == 0;
}

static ssize_t read_at(int fd, void *buf, size_t count, off_t offset)
{
    struct fl_task *task = fl_current();
    ssize_t r = read_now(task, fd, &(struct iovec){buf, count}, 1, offset, sectors(count, offset));
    if (r != -EAGAIN)
        return r;
    struct io_uring_sqe sqe;
    io_uring_prep_read(&sqe, fd, buf, capped(count), (uint64_t)offset);
    return run(task, &sqe, count);
}

static ssize_t readv_at(int fd, const struct iovec *parts, int count, off_t offset)
{
    struct fl_task *task = fl_current();
    if (count < 0 || count > IOV_MAX)
        return -EINVAL;
    ssize_t r = read_now(task, fd, parts, count, offset, sectors(0, offset));
    if (r != -EAGAIN)
        return r;
    struct io_uring_sqe sqe;
    io_uring_prep_readv(&sqe, fd, parts, (unsigned)count, (uint64_t)offset);
    return run(task, &sqe, total(parts, count));
}

ssize_t filch_read(int fd, void *buf, size_t count)
{
    return read_at(fd, buf, count, POSITION);
}

ssize_t filch_pread(int fd, void *buf, size_t count, off_t offset)
{
    return offset < 0 ? -EINVAL : read_at(fd, buf, count, offset);
}

ssize_t filch_readv(int fd, const struct iovec *parts, int count)
{
    return readv_at(fd, parts, count, POSITION);
}

ssize_t filch_preadv(int fd, const struct iovec *parts, int count, off_t offset)
{
    return offset < 0 ? -EINVAL : readv_at(fd, parts, count, offset);
}

/* ---- write ---- */

static ssize_t write_at(int fd, const void *buf, size_t count, off_t offset)
{
    struct io_uring_sqe sqe;
    io_uring_prep_write(&sqe, fd, buf, capped(count), (uint64_t)offset);
    return run(fl_current(), &sqe, count);
}

static ssize_t writev_at(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (count < 0 || count > IOV_MAX)
        return -EINVAL;
    struct io_uring_sqe sqe;
    io_uring_prep_writev(&sqe, fd, parts, (unsigned)count, (uint64_t)offset);
    return run(fl_current(), &sqe, total(parts, count));
}

ssize_t filch_write(int fd, const void *buf, size_t count)
{
    return write_at(fd, buf, count, POSITION);
}

ssize_t filch_pwrite(int fd, const void *buf, size_t count, off_t offset)
{
    return offset < 0 ? -EINVAL : write_at(fd, buf, count, offset);
}

ssize_t filch_writev(int fd, const struct iovec *parts, int count)
{
    return writev_at(fd, parts, count, POSITION);
}

ssize_t filch_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return offset < 0 ? -EINVAL : writev_at(fd, parts, count, offset);
}
