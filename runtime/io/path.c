/* SPDX-License-Identifier: MIT */
/* Names of files: rename, unlink, make, link, and what a name leads to.
 *
 * Each looks at directories, which may have to come from a disk or from another machine, and changes them. There is no form that would not
 * wait, so there is no fast path: the kernel carries such a request out on a thread of its own. */
#include "io/op.h"

#include <filch/io.h>

#include <fcntl.h>

int filch_statx(int dir_fd, const char *path, int flags, unsigned mask, struct statx *ret_statx)
{
    struct io_uring_sqe sqe;
    io_uring_prep_statx(&sqe, dir_fd, path, flags, mask, ret_statx);
    return fl_op_run(fl_current(), &sqe, true);
}

int filch_rename(const char *from, const char *to)
{
    return filch_renameat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int filch_renameat(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    struct io_uring_sqe sqe;
    io_uring_prep_renameat(&sqe, from_dir, from, to_dir, to, flags);
    return fl_op_run(fl_current(), &sqe, true);
}

int filch_unlink(const char *path)
{
    return filch_unlinkat(AT_FDCWD, path, 0);
}

int filch_unlinkat(int dir_fd, const char *path, int flags)
{
    struct io_uring_sqe sqe;
    io_uring_prep_unlinkat(&sqe, dir_fd, path, flags);
    return fl_op_run(fl_current(), &sqe, true);
}

int filch_mkdir(const char *path, mode_t mode)
{
    return filch_mkdirat(AT_FDCWD, path, mode);
}

int filch_mkdirat(int dir_fd, const char *path, mode_t mode)
{
    struct io_uring_sqe sqe;
    io_uring_prep_mkdirat(&sqe, dir_fd, path, mode);
    return fl_op_run(fl_current(), &sqe, true);
}

int filch_link(const char *from, const char *to)
{
    return filch_linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int filch_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    struct io_uring_sqe sqe;
    io_uring_prep_linkat(&sqe, from_dir, from, to_dir, to, flags);
    return fl_op_run(fl_current(), &sqe, true);
}

int filch_symlink(const char *target, const char *path)
{
    return filch_symlinkat(target, AT_FDCWD, path);
}

int filch_symlinkat(const char *target, int dir_fd, const char *path)
{
    struct io_uring_sqe sqe;
    io_uring_prep_symlinkat(&sqe, target, dir_fd, path);
    return fl_op_run(fl_current(), &sqe, true);
}
