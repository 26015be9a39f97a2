/* SPDX-License-Identifier: MIT */
/* pread: what does a read of 4 KiB at a random place of a file cost?
 *
 * --reads reads in all of a file of --file MiB that is made in --dir, --tasks of them at a time, each into a buffer of its own. The figure is wall time a
 * read. The file is in the page cache; with --direct it is opened with O_DIRECT, past the cache, where the file system lets it be.
 *
 * `filch` is so many tasks that call filch_pread one after the other. The floors: `plain`, one thread that calls pread(2), one at a time
 * in any case; and `uring`, one thread with so many reads under way in one io_uring (single issuer, deferred task work). What counts is
 * the ratio to the better of the two: --vs all.
 *
 * Every block of the file begins with its number, and the number of each block that is read is compared. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

#define BLOCK 4096
#define BATCH 64
#define PIECE (1 << 20)

static int64_t tasks = 64, reads, megabytes = 256;
static const char *dir = "/var/tmp";
static bool direct;
static int file = -1;
static char *buffers;

struct reader {
    uint64_t random;
    int64_t left, wrong, block;
    char *buffer;
};

static struct reader *readers;

static off_t next_place(struct reader *reader)
{
    reader->block = (int64_t)(bench_random(&reader->random) % (uint64_t)(megabytes * (PIECE / BLOCK)));
    return reader->block * BLOCK;
}

static void note(struct reader *reader, ssize_t got)
{
    int64_t number;
    memcpy(&number, reader->buffer, sizeof number);
    reader->wrong += got != BLOCK || number != reader->block;
    reader->left--;
}

/* ---- the forms ---- */

static int read_task(void *arg)
{
    struct reader *reader = arg;
    while (reader->left) {
        off_t place = next_place(reader);
        note(reader, filch_pread(file, reader->buffer, BLOCK, place));
    }
    return 0;
}

static int by_tasks(void)
{
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < tasks; i++) {
        int r = filch_spawn(&s, read_task, &readers[i]);
        if (r < 0)
            return r;
    }
    return filch_join(&s);
}

static int by_calls(void)
{
    struct reader *reader = readers;
    for (int64_t i = 1; i < tasks; i++) {
        reader->left += readers[i].left;
        readers[i].left = 0;
    }
    while (reader->left) {
        off_t place = next_place(reader);
        note(reader, pread(file, reader->buffer, BLOCK, place));
    }
    return 0;
}

static void queue(struct io_uring *uring, struct reader *reader)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(uring);
    io_uring_prep_read(sqe, file, reader->buffer, BLOCK, (uint64_t)next_place(reader));
    io_uring_sqe_set_data(sqe, reader);
}

static int by_ring(void)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    struct io_uring_cqe *cqes[BATCH];
    struct io_uring uring;
    int r = io_uring_queue_init_params((unsigned)tasks, &uring, &params);
    if (r < 0)
        return r;
    for (int64_t i = 0; i < tasks; i++)
        queue(&uring, &readers[i]);
    for (int64_t under_way = tasks; r >= 0 && under_way;) {
        r = io_uring_submit_and_wait(&uring, 1);
        r = r == -EINTR ? 0 : r;
        unsigned count = io_uring_peek_batch_cqe(&uring, cqes, BATCH);
        for (unsigned i = 0; i < count; i++) {
            struct reader *reader = io_uring_cqe_get_data(cqes[i]);
            note(reader, cqes[i]->res);
            if (reader->left)
                queue(&uring, reader);
            else
                under_way--;
        }
        io_uring_cq_advance(&uring, count);
    }
    io_uring_queue_exit(&uring);
    return r;
}

/* ---- one run ---- */

static int whole(struct bench_run *run, int (*form)(void))
{
    int64_t wrong = 0, left = 0, each = reads / tasks ? reads / tasks : 1;
    for (int64_t i = 0; i < tasks; i++)
        readers[i] = (struct reader){.random = (uint64_t)i, .left = each, .buffer = buffers + i * BLOCK};
    int64_t start = filch_now();
    int r = form();
    bench_result(run, (double)(filch_now() - start) / (double)(each * tasks));
    for (int64_t i = 0; i < tasks; i++) {
        wrong += readers[i].wrong;
        left += readers[i].left;
    }
    bench_check(run, "wrong", wrong, 0);
    bench_check(run, "left", left, 0);
    return r;
}

static int pread_filch(struct bench_run *run)
{
    return whole(run, by_tasks);
}

static int pread_plain(struct bench_run *run)
{
    return whole(run, by_calls);
}

static int pread_uring(struct bench_run *run)
{
    return whole(run, by_ring);
}

/* ---- the file ---- */

static int fill(int fd)
{
    char *piece = calloc(1, PIECE);
    int r = piece ? 0 : -ENOMEM;
    for (int64_t i = 0; r == 0 && i < megabytes; i++) {
        for (int64_t j = 0; j < PIECE / BLOCK; j++) {
            int64_t number = i * (PIECE / BLOCK) + j;
            memcpy(piece + j * BLOCK, &number, sizeof number);
        }
        ssize_t written = write(fd, piece, PIECE);
        r = written == PIECE ? 0 : written < 0 ? -errno : -ENOSPC;
    }
    free(piece);
    return r == 0 && fsync(fd) < 0 ? -errno : r;
}

static int make_file(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/filch-bench-XXXXXX", dir);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        bench_say("pread: no file in %s: %s", dir, strerror(errno));
        return -EINVAL;
    }
    int r = fill(fd);
    if (r < 0)
        bench_say("pread: %lld MiB in %s: %s; --file and --dir may help", (long long)megabytes, dir, strerror(-r));
    if (r == 0) {
        file = open(path, O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));
        r = file < 0 ? -errno : 0;
        if (r == 0 && direct && pread(file, buffers, BLOCK, 0) < 0)
            r = -errno;
        if (r < 0)
            bench_say("pread: the file system of %s refuses %s: %s", dir, direct ? "O_DIRECT" : "the file", strerror(-r));
    }
    unlink(path);
    close(fd);
    return r < 0 ? -EINVAL : 0;
}

static void finish(void)
{
    if (file >= 0)
        close(file);
    free(readers);
    free(buffers);
}

static int prepare(void)
{
    if (reads == 0)
        reads = direct ? 20000 : 1000000;
    readers = calloc((size_t)tasks, sizeof *readers);
    buffers = aligned_alloc(BLOCK, (size_t)tasks * BLOCK);
    if (!readers || !buffers)
        return -ENOMEM;
    memset(buffers, 0, (size_t)tasks * BLOCK);
    return make_file();
}

const struct bench bench_pread = {
    .name = "pread",
    .what = "4 KiB at random places of a file",
    .unit = "ns/read",
    .workers = 1,
    .prepare = prepare,
    .finish = finish,
    .forms = {{"filch", pread_filch, BENCH_TASK}, {"plain", pread_plain, BENCH_ALONE}, {"uring", pread_uring, BENCH_ALONE}},
    .params =
        {
            BENCH_INT("tasks", tasks, 1, 4096, "how many reads at a time"),
            BENCH_INT("reads", reads, 0, 1e12, "in all; 0: chosen"),
            BENCH_INT("file", megabytes, 1, 1 << 20, "MiB of the file"),
            BENCH_TEXT("dir", dir, "where it is made"),
            BENCH_FLAG("direct", direct, "past the page cache"),
        },
};
