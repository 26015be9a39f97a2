/* SPDX-License-Identifier: MIT */
/* Splice, and sendfile made of it.
 *
 * Sendfile reads at places that it counts itself, and moves the offset, or the file's position, in the end by what the other side has taken. What lies
 * in the buffer or the pipe by then was never read, as far as anybody can tell.
 *
 * The first COPIED bytes go through a buffer, by the calls that are tried before they wait: that is two plain system calls a piece where the file is in
 * the page cache and the socket has room. Only who has more to send pays for a pipe, and for splices: the kernel fills the pipe on a thread of its own, and
 * while the socket is full the task is parked in a poll. Whatever stands against splicing - no descriptors, no such large pipe, a file of /proc, an output in append
 * mode - means copying the rest as well. So does a plain thread, because a splice to a broken socket would raise SIGPIPE.
 *
 * Figures (EPYC, 2 CPUs, TCP over loopback to a thread that reads, us until it has answered, best of many, minimum of three runs or more; above 256 KiB a run is
 * easily twice as slow as another):
 *
 *                              4 KiB  64 KiB  256 KiB  1 MiB  4 MiB  64 MiB
 *   copied                        17      27       67    239   1160   22300
 *   a pipe of 1 MiB               32      41       61    195    451   13700
 *   the first 512 KiB copied      17      27       68    228    613   14800
 *   sendfile(2)                   15      25       48    134    427   10800
 *
 * A pipe of 64 KiB took twice as long as copying at any size. Pieces of 128 or 256 KiB were no faster to copy. MSG_MORE between the pieces made no difference,
 * because a piece is larger than a segment; and where the file ends before `count`, it would hold back the end. */
#include "io/op.h"

#include <filch/io.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#define COUNT_MAX 0x7ffff000u      /* what the kernel moves in one call */
#define PIECE ((size_t)64 << 10)   /* the buffer */
#define COPIED ((size_t)512 << 10) /* before it is worth splicing */
#define PIPE ((size_t)1 << 20)     /* what everybody may have, by default */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* -1 is the ring's word for "at the position". */
static int64_t place(const off_t *offset)
{
    return offset ? *offset : -1;
}

ssize_t filch_splice(int fd_in, off_t *off_in, int fd_out, off_t *off_out, size_t len, unsigned flags)
{
    struct io_uring_sqe sqe;
    if ((off_in && *off_in < 0) || (off_out && *off_out < 0))
        return -EINVAL;
    io_uring_prep_splice(&sqe, fd_in, place(off_in), fd_out, place(off_out), (unsigned)least(len, COUNT_MAX), flags);
    int r = fl_op_run(fl_current(), &sqe, true);
    if (r > 0 && off_in)
        *off_in += r;
    if (r > 0 && off_out)
        *off_out += r;
    return r;
}

/* ---- sendfile ---- */

struct job {
    int out, in;
    off_t from;
    size_t count, done;
};

static off_t at(const struct job *job)
{
    return job->from + (off_t)job->done;
}

static ssize_t put(int fd, const void *buf, size_t n)
{
    ssize_t r = filch_send(fd, buf, n, MSG_WAITALL); /* the ring need not wake us for every piece */
    return r == -ENOTSOCK ? filch_write(fd, buf, n) : r;
}

/* Until `end` bytes are done. @return > 0, 0 at the end of the file, -errno */
static ssize_t copy(struct job *job, size_t end)
{
    size_t room = least(end - job->done, PIECE);
    char *buf = malloc(room);
    ssize_t r = buf ? 1 : -ENOMEM;
    while (r > 0 && job->done < end) {
        ssize_t n = r = filch_pread(job->in, buf, least(end - job->done, room), at(job));
        for (ssize_t put_ = 0; r > 0 && put_ < n; put_ += r)
            if ((r = put(job->out, buf + put_, (size_t)(n - put_))) > 0)
                job->done += (size_t)r;
    }
    free(buf);
    return r;
}

static bool large_pipe(int ends[2])
{
    if (!fl_current() || pipe2(ends, O_CLOEXEC) < 0)
        return false;
    if (fcntl(ends[1], F_SETPIPE_SZ, (int)PIPE) >= (int)PIPE)
        return true;
    close(ends[0]);
    close(ends[1]);
    return false;
}

/* As copy, up to the end; -EINVAL: that cannot be spliced. */
static ssize_t splice_rest(struct job *job)
{
    int ends[2];
    ssize_t r = 1;
    if (!large_pipe(ends))
        return -EINVAL;
    while (r > 0 && job->done < job->count) {
        off_t from = at(job);
        ssize_t held = r = filch_splice(job->in, &from, ends[1], NULL, least(job->count - job->done, PIPE), 0);
        for (; r > 0 && held > 0; held -= r)
            if ((r = filch_splice(ends[0], NULL, job->out, NULL, (size_t)held, 0)) > 0)
                job->done += (size_t)r;
    }
    close(ends[0]);
    close(ends[1]);
    return r;
}

static ssize_t send_all_of(struct job *job)
{
    ssize_t r = copy(job, least(job->count, COPIED));
    if (r > 0 && job->done < job->count)
        r = splice_rest(job);
    if (r == -EINVAL && job->done > 0)
        r = copy(job, job->count);
    return job->done > 0 ? (ssize_t)job->done : r;
}

ssize_t filch_sendfile(int fd_out, int fd_in, off_t *offset, size_t count)
{
    off_t from = offset ? *offset : lseek(fd_in, 0, SEEK_CUR);
    if (from < 0)
        return offset || errno == ESPIPE ? -EINVAL : -errno; /* as sendfile(2) has it */
    struct job job = {fd_out, fd_in, from, least(count, SSIZE_MAX), 0};
    ssize_t r = count > 0 ? send_all_of(&job) : 0;
    if (offset)
        *offset = at(&job);
    else if (job.done > 0)
        lseek(fd_in, at(&job), SEEK_SET);
    return r;
}
