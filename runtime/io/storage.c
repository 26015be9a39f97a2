/* SPDX-License-Identifier: MIT */
/* What lies under a file: writing it back, its length, its blocks, its pages in the cache.
 *
 * io_uring has 32 bits for the length of a range to write back or to advise on. A longer one goes as a request that no ring knows, with
 * all 64 bits; it is carried out by a kernel thread. */
#include "io/op.h"

#include <filch/io.h>

#include <fcntl.h>

static int sync_(int fd, unsigned flags)
{
    struct io_uring_sqe sqe;
    io_uring_prep_fsync(&sqe, fd, flags);
    return fl_op_run(fl_current(), &sqe, true);
}

int filch_fsync(int fd)
{
    return sync_(fd, 0);
}

int filch_fdatasync(int fd)
{
    return sync_(fd, IORING_FSYNC_DATASYNC);
}

/* `narrow` is the operation of io_uring, `wide` the same with a length of 64 bits, `how` the flags or the advice. */
static int range(int narrow, int wide, int fd, off_t offset, off_t len, unsigned how)
{
    struct io_uring_sqe sqe;
    if ((uint64_t)len <= UINT32_MAX)
        fl_request_prep(&sqe, narrow, fd, NULL, (uint64_t)offset, (unsigned)len);
    else
        fl_request_prep(&sqe, wide, fd, (void *)(uintptr_t)len, (uint64_t)offset, 0);
    sqe.rw_flags = (__kernel_rwf_t)how;
    return fl_op_run(fl_current(), &sqe, true);
}

int filch_sync_file_range(int fd, off_t offset, off_t count, unsigned flags)
{
    return range(IORING_OP_SYNC_FILE_RANGE, FL_REQUEST_SYNC_RANGE, fd, offset, count, flags);
}

int filch_fadvise(int fd, off_t offset, off_t len, int advice)
{
    return range(IORING_OP_FADVISE, FL_REQUEST_FADVISE, fd, offset, len, (unsigned)advice);
}

int filch_ftruncate(int fd, off_t length)
{
    struct io_uring_sqe sqe;
    fl_request_prep(&sqe, FL_REQUEST_FTRUNCATE, fd, NULL, (uint64_t)length, 0);
    return fl_op_run(fl_current(), &sqe, true);
}

int filch_fallocate(int fd, int mode, off_t offset, off_t len)
{
    struct io_uring_sqe sqe;
    io_uring_prep_fallocate(&sqe, fd, mode, offset, len);
    return fl_op_run(fl_current(), &sqe, true);
}
