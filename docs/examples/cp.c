/* SPDX-License-Identifier: MIT */
/* cp: copies a big file, several ranges at a time.
 *
 * Some tasks take ranges of 1 MiB, the next one each, and copy them by filch_pread_all and filch_pwrite_all: while one waits for the disk another has
 * something to write. The first that fails cancels the others. Holes stay holes: they are skipped, and the length is set first. What is no
 * file on a disk (a pipe, /proc, a file that grows) is read on until it ends.
 *
 * The copy is made under another name beside its place and renamed when all is well, so there is never half a file, and what was there stays if
 * anything fails. Taking the half file away must work after a cancel, too: a shield.
 *
 * The permissions are those of the source, without set-user-ID and its like: the owner may be another. */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((off_t)1 << 20)

static long at_once = 8;
static bool sync_it, keep_partial;

struct copy {
    const char *from_name, *to_name;
    int from, to;
    struct stat stat; /* of the source */
    char target[PATH_MAX], partial[PATH_MAX + 32];
    _Atomic int64_t next, done;
};

/* ---- ranges ---- */

/* lseek(2) with SEEK_DATA or SEEK_HOLE, which moves nothing that is of use here. Out of line: errno must not be read on both sides of a call that parks. */
static __attribute__((noinline)) off_t seek(int fd, off_t at, int whence, off_t otherwise)
{
    off_t found = lseek(fd, at, whence);
    return found >= 0 ? found : errno == ENXIO ? INT64_MAX : otherwise;
}

static off_t lesser(off_t a, off_t b)
{
    return a < b ? a : b;
}

/* Copies [begin, end), which holds data and at most PIECE bytes. */
static int copy_data(struct copy *copy, char *bytes, off_t begin, off_t end)
{
    size_t count = (size_t)(end - begin), got;
    int r = filch_pread_all(copy->from, bytes, count, begin, &got);
    if (r < 0) {
        if (r != -ECANCELED)
            complain("cannot read '%s': %s", copy->from_name, strerror(-r));
        return r;
    }
    if (got < count) {
        complain("'%s' became shorter while it was copied", copy->from_name);
        return -EIO;
    }
    r = filch_pwrite_all(copy->to, bytes, count, begin, NULL);
    if (r < 0 && r != -ECANCELED)
        complain("cannot write '%s': %s", copy->to_name, strerror(-r));
    return r;
}

/* Copies what is no hole in [begin, end). */
static int copy_range(struct copy *copy, char *bytes, off_t begin, off_t end)
{
    bool sparse = copy->stat.st_blocks < copy->stat.st_size / 512;
    int r = 0;
    while (r == 0 && begin < end) {
        off_t data = sparse ? lesser(seek(copy->from, begin, SEEK_DATA, begin), end) : begin;
        off_t hole = sparse && data < end ? lesser(seek(copy->from, data, SEEK_HOLE, end), end) : end;
        if (data < hole)
            r = copy_data(copy, bytes, data, hole);
        atomic_fetch_add(&copy->done, hole - begin);
        begin = hole;
    }
    return r;
}

static int range_task(void *arg)
{
    struct copy *copy = arg;
    off_t begin;
    char *bytes = malloc(PIECE);
    int r = bytes ? 0 : -ENOMEM;
    while (r == 0 && (begin = atomic_fetch_add(&copy->next, PIECE)) < copy->stat.st_size)
        r = copy_range(copy, bytes, begin, lesser(begin + PIECE, copy->stat.st_size));
    free(bytes);
    return r;
}

static int copy_ranges(struct copy *copy)
{
    int r = 0;
    FILCH_SCOPE(scope);
    for (long i = 0; r == 0 && i < at_once && i * PIECE < copy->stat.st_size; i++)
        r = filch_spawn(&scope, range_task, copy);
    int joined = filch_join(&scope);
    return joined ? joined : r;
}

/* What comes behind the size that the source said it had, or all. */
static int copy_rest(struct copy *copy)
{
    bool seekable = lseek(copy->from, 0, SEEK_CUR) >= 0;
    off_t at = copy->stat.st_size;
    char *bytes = malloc(PIECE);
    ssize_t n;
    int r = 0;
    if (!bytes)
        return -ENOMEM;
    while (r == 0 && (n = seekable ? filch_pread(copy->from, bytes, PIECE, at) : filch_read(copy->from, bytes, PIECE)) != 0) {
        r = n < 0 ? (int)n : filch_pwrite_all(copy->to, bytes, (size_t)n, at, NULL);
        if (r == -ESPIPE) /* a pipe or a terminal is written to */
            r = filch_write_all(copy->to, bytes, (size_t)n, NULL);
        if (r < 0 && r != -ECANCELED)
            complain("cannot copy '%s' to '%s': %s", copy->from_name, copy->to_name, strerror(-r));
        at += n > 0 ? n : 0;
        atomic_fetch_add(&copy->done, n > 0 ? n : 0);
    }
    free(bytes);
    return r;
}

static int copy_content(struct copy *copy)
{
    int r = 0;
    if (!S_ISREG(copy->stat.st_mode) || !copy->partial[0]) /* no places on either side: one after the other */
        copy->stat.st_size = 0;
    if (copy->stat.st_size > 0) {
        filch_fadvise(copy->from, 0, 0, POSIX_FADV_SEQUENTIAL);
        r = filch_ftruncate(copy->to, copy->stat.st_size);
        if (r < 0)
            complain("cannot write '%s': %s", copy->to_name, strerror(-r));
        else
            r = copy_ranges(copy);
    }
    return r < 0 ? r : copy_rest(copy);
}

/* ---- progress ---- */

static void print_progress(const struct copy *copy, int64_t began)
{
    double mb = (double)atomic_load(&copy->done) / 1e6, seconds = (double)(filch_now() - began) / 1e9;
    if (copy->stat.st_size > 0)
        fprintf(stderr, "\r%s: %3.0f %%, %.0f MB/s\033[K", copy->to_name, mb * 1e8 / (double)copy->stat.st_size, mb / seconds);
    else
        fprintf(stderr, "\r%s: %.0f MB, %.0f MB/s\033[K", copy->to_name, mb, mb / seconds);
}

static int progress_task(void *arg)
{
    int64_t began = filch_now();
    int r = filch_sleep(FILCH_SEC(1));
    bool shown = r == 0;
    for (; r == 0; r = filch_sleep(FILCH_MSEC(250)))
        print_progress(arg, began);
    if (shown)
        fputs("\r\033[K", stderr);
    return 0;
}

static int copy_with_progress(struct copy *copy)
{
    if (!isatty(STDERR_FILENO))
        return copy_content(copy);
    FILCH_SCOPE(scope);
    filch_spawn(&scope, progress_task, copy);
    int r = copy_content(copy);
    filch_cancel(&scope);
    return r;
}

/* ---- names ---- */

/* Where the copy goes: into a directory of that name, or to the file that a link of that name leads to. */
static int find_target(struct copy *copy)
{
    struct stat stat_to;
    char *real = realpath(copy->to_name, NULL);
    const char *target = real ? real : copy->to_name, *base = strrchr(copy->from_name, '/');
    bool directory = stat(target, &stat_to) == 0 && S_ISDIR(stat_to.st_mode);
    int n = directory ? snprintf(copy->target, sizeof copy->target, "%s/%s", target, base ? base + 1 : copy->from_name)
                      : snprintf(copy->target, sizeof copy->target, "%s", target);
    free(real);
    if (n >= (int)sizeof copy->target) {
        complain("'%s': %s", copy->to_name, strerror(ENAMETOOLONG));
        return -ENAMETOOLONG;
    }
    if (stat(copy->target, &stat_to) < 0) {
        stat_to.st_mode = S_IFREG;
    } else if (stat_to.st_dev == copy->stat.st_dev && stat_to.st_ino == copy->stat.st_ino) {
        complain("'%s' and '%s' are the same file", copy->from_name, copy->to_name);
        return -EINVAL;
    } else if (S_ISDIR(stat_to.st_mode)) {
        complain("'%s' is a directory, and is not replaced by a file", copy->target);
        return -EISDIR;
    }
    if (S_ISREG(stat_to.st_mode))
        snprintf(copy->partial, sizeof copy->partial, "%.*s.cp-%x-%llx",
                 (int)(strrchr(copy->target, '/') ? strrchr(copy->target, '/') + 1 - copy->target : 0), copy->target, (unsigned)getpid(),
                 (unsigned long long)filch_now());
    return 0;
}

/* Makes the directory that the copy is in remember its name. */
static int sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%.*s.", slash ? (int)(slash + 1 - path) : 0, path);
    int fd = filch_open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), r = fd < 0 ? fd : filch_fsync(fd);
    if (fd >= 0)
        filch_close(fd);
    return r;
}

/* The new name, and with --sync also on the disk. */
static int put_in_place(struct copy *copy)
{
    int r = or_error(fchmod(copy->to, copy->stat.st_mode & 0777));
    if (r == 0 && sync_it)
        r = filch_fsync(copy->to);
    if (r == 0)
        r = filch_rename(copy->partial, copy->target);
    if (r == 0) {
        copy->partial[0] = 0;
        r = sync_it ? sync_directory(copy->target) : 0;
    }
    if (r < 0 && r != -ECANCELED)
        complain("cannot finish '%s': %s", copy->target, strerror(-r));
    return r;
}

/* ---- the whole ---- */

static int copy_to(struct copy *copy)
{
    bool partial = copy->partial[0] != 0;
    const char *name = partial ? copy->partial : copy->target;
    copy->to = filch_open(name, O_WRONLY | O_CLOEXEC | O_NOCTTY | (partial ? O_CREAT | O_EXCL : 0), 0600);
    if (copy->to < 0) {
        if (copy->to != -ECANCELED)
            complain("cannot write '%s': %s", name, strerror(-copy->to));
        return copy->to;
    }
    int r = copy_with_progress(copy);
    if (r == 0 && partial)
        r = put_in_place(copy);
    else if (r == 0 && sync_it)
        r = filch_fsync(copy->to);
    int closed = filch_close(copy->to);
    if (r == 0 && closed < 0) {
        complain("cannot write '%s': %s", copy->target, strerror(-closed));
        r = closed;
    }
    if (r < 0 && copy->partial[0] && keep_partial) {
        complain("what was copied is in '%s'", copy->partial);
    } else if (r < 0 && copy->partial[0]) {
        FILCH_SHIELD_UNTIL(shield, filch_after(FILCH_SEC(10)));
        filch_unlink(copy->partial);
    }
    return r;
}

static int cp(void *arg)
{
    struct copy *copy = arg;
    copy->from = filch_open(copy->from_name, O_RDONLY | O_CLOEXEC, 0);
    if (copy->from < 0) {
        complain("cannot read '%s': %s", copy->from_name, strerror(-copy->from));
        return FAILED;
    }
    int r = 0;
    fstat(copy->from, &copy->stat);
    if (S_ISDIR(copy->stat.st_mode)) {
        complain("'%s' is a directory; this copies single files", copy->from_name);
        r = -EISDIR;
    }
    if (r == 0)
        r = find_target(copy);
    if (r == 0)
        r = copy_to(copy);
    filch_close(copy->from);
    return r < 0 ? FAILED : DONE;
}

static const char help[] = "Usage: cp [OPTION]... SOURCE DESTINATION\n"
                           "Copies a file, several ranges of 1 MiB at a time; into DESTINATION if that is a directory.\n\n"
                           "  --tasks N         so many ranges at a time; default: 8\n"
                           "  --sync            return when the copy is on the disk\n"
                           "  --keep-partial    if it fails, leave what was copied, and say where\n" WORKERS_HELP;

int main(int argc, char **argv)
{
    const struct setting settings[] = {
        WORKERS_SETTING,
        {.name = "tasks", .number = &at_once, .least = 1, .most = 1024},
        {.name = "sync", .flag = &sync_it},
        {.name = "keep-partial", .flag = &keep_partial},
    };
    static struct copy copy;
    int operands = take_options(argc, argv, settings, sizeof settings / sizeof *settings, help, 2, 2);
    copy.from_name = argv[operands];
    copy.to_name = argv[operands + 1];
    return run_tool(cp, &copy);
}
