/* SPDX-License-Identifier: MIT */
/* The laws of files: vectors, names, what lies under a file, direct I/O; and what a cancel does to each call.
 *
 * What is not tested here: plain reads and writes (test_io.c), files as a whole (test_whole.c). */
#include "files.h"

#include <sys/eventfd.h>
#include <time.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define GIB ((off_t)1 << 30)

/* ---- vectors ---- */

enum { PARTS = 1024 };

static int use_vectors(void *arg)
{
    char a[8] = "hello, ", b[8] = "world", c[64] = "";
    struct iovec out[] = {{a, 7}, {NULL, 0}, {b, 5}}, in[] = {{c, 3}, {c + 10, 50}};
    (void)arg;
    int fd = make("file", 0);
    must(filch_writev(fd, out, 3) == 12);
    must(filch_readv(fd, in, 2) == 0); /* at the end */
    must(filch_preadv(fd, in, 2, 0) == 12 && memcmp(c, "hel", 3) == 0 && memcmp(c + 10, "lo, world", 9) == 0);
    must(lseek(fd, 7, SEEK_SET) == 7);
    must(filch_readv(fd, in, 1) == 3 && memcmp(c, "wor", 3) == 0);
    must(filch_readv(fd, in, 2) == 2 && memcmp(c, "ld", 2) == 0); /* the position moves on */
    must(filch_pwritev(fd, out, 3, 100) == 12 && filch_pwritev(fd, out + 2, 1, 1) == 5);
    must(lseek(fd, 0, SEEK_CUR) == 12 && size_of(fd) == 112);
    must(filch_preadv(fd, in, 2, 100) == 12 && memcmp(c + 10, "lo, world", 9) == 0);
    must(filch_preadv(fd, in, 1, 0) == 3 && memcmp(c, "hwo", 3) == 0);
    must(filch_preadv(fd, in, 2, 112) == 0 && filch_preadv(fd, in, 2, 10 * GIB) == 0);
    unmake("file", fd);
    return 0;
}

Test(files, a_vector_is_read_and_written_in_order)
{
    everywhere(use_vectors);
}

static int count_parts(void *arg)
{
    static char bytes[PARTS + 1];
    static struct iovec parts[PARTS + 1];
    (void)arg;
    for (int i = 0; i <= PARTS; i++) {
        bytes[i] = (char)(i * 7);
        parts[i] = (struct iovec){&bytes[i], 1};
    }
    int fd = make("file", 0);
    must(filch_writev(fd, parts, 0) == 0 && filch_pwritev(fd, NULL, 0, 0) == 0);
    must(filch_writev(fd, parts, 1) == 1 && filch_writev(fd, parts, PARTS) == PARTS);
    must(filch_writev(fd, parts, PARTS + 1) == -EINVAL && filch_pwritev(fd, parts, PARTS + 1, 0) == -EINVAL);
    must(filch_writev(fd, parts, -1) == -EINVAL && filch_pwritev(fd, parts, -1, 0) == -EINVAL);
    must(size_of(fd) == 1 + PARTS);
    memset(bytes, 0, sizeof bytes);
    must(filch_readv(fd, parts, 0) == 0 && filch_preadv(fd, parts, 0, 0) == 0);
    must(filch_preadv(fd, parts, PARTS + 1, 0) == -EINVAL && filch_preadv(fd, parts, -1, 0) == -EINVAL);
    must(filch_readv(fd, parts, PARTS + 1) == -EINVAL && filch_readv(fd, parts, -1) == -EINVAL);
    must(filch_preadv(fd, parts, PARTS, 1) == PARTS);
    for (int i = 0; i < PARTS; i++)
        must(bytes[i] == (char)(i * 7));
    unmake("file", fd);
    return 0;
}

Test(files, a_vector_has_up_to_1024_parts)
{
    everywhere(count_parts);
}

static int make_vector_errors(void *arg)
{
    char byte = 0;
    struct iovec part = {&byte, 1}, negative = {&byte, (size_t)-1};
    int ends[2];
    (void)arg;
    must(filch_readv(-1, &part, 1) == -EBADF && filch_writev(-1, &part, 1) == -EBADF);
    must(filch_preadv(12345, &part, 1, 0) == -EBADF && filch_pwritev(12345, &part, 1, 0) == -EBADF);
    must(pipe(ends) == 0);
    must(filch_preadv(ends[0], &part, 1, 0) == -ESPIPE && filch_pread(ends[0], &byte, 1, 0) == -ESPIPE);
    must(filch_readv(ends[1], &part, 1) == -EBADF && filch_writev(ends[0], &part, 1) == -EBADF);
    must(filch_close(ends[0]) == 0 && filch_close(ends[1]) == 0);
    int fd = make("file", 0);
    must(filch_preadv(fd, &part, 1, -1) == -EINVAL && filch_pwritev(fd, &part, 1, -1) == -EINVAL);
    must(filch_preadv(fd, &part, 1, -2) == -EINVAL && filch_pwritev(fd, &part, 1, -2) == -EINVAL);
    must(filch_readv(fd, &negative, 1) == -EINVAL && filch_writev(fd, &negative, 1) == -EINVAL);
    must(filch_pread(fd, &byte, 1, -2) == -EINVAL && filch_pwrite(fd, &byte, 1, -2) == -EINVAL && size_of(fd) == 0);
    unmake("file", fd);
    return 0;
}

Test(files, wrong_vectors_and_offsets_come_as_errors)
{
    everywhere(make_vector_errors);
}

/* ---- more than 32 bits ---- */

static int use_far_offsets(void *arg)
{
    char x = 0;
    struct iovec part = {&x, 1};
    (void)arg;
    int fd = make("file", 0);
    must(filch_pwrite(fd, "a", 1, 5 * GIB) == 1 && filch_pwritev(fd, &(struct iovec){"b", 1}, 1, 5 * GIB + 1) == 1);
    must(size_of(fd) == 5 * GIB + 2);
    must(filch_pread(fd, &x, 1, 5 * GIB) == 1 && x == 'a' && filch_preadv(fd, &part, 1, 5 * GIB + 1) == 1 && x == 'b');
    must(filch_pread(fd, &x, 1, GIB) == 1 && x == 0 && filch_preadv(fd, &part, 1, GIB + 1) == 1 && x == 0);
    must(filch_fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, GIB, 4 * GIB + 1) == 0);
    must(filch_pread(fd, &x, 1, 5 * GIB) == 1 && x == 0 && filch_pread(fd, &x, 1, 5 * GIB + 1) == 1 && x == 'b');
    must(filch_ftruncate(fd, 6 * GIB) == 0 && size_of(fd) == 6 * GIB);
    must(filch_ftruncate(fd, 5 * GIB + 1) == 0 && size_of(fd) == 5 * GIB + 1);
    must(filch_pread(fd, &x, 1, 5 * GIB + 1) == 0);
    unmake("file", fd);
    return 0;
}

Test(files, an_offset_above_32_bits_is_as_good_as_any)
{
    everywhere(use_far_offsets);
}

static bool cached(int fd, off_t offset)
{
    char byte;
    return preadv2(fd, &(struct iovec){&byte, 1}, 1, offset, RWF_NOWAIT) == 1;
}

/* A range whose length is 4 KiB in 32 bits: all of it counts, so the page at 1 GiB is let go. */
static int use_long_ranges(void *arg)
{
    char page[4096] = "x";
    (void)arg;
    int fd = make("file", 0);
    must(filch_pwrite(fd, page, sizeof page, GIB) == sizeof page);
    must(filch_sync_file_range(fd, 0, 4 * GIB + 4096, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) == 0);
    must(filch_fsync(fd) == 0);
    bool tells = cached(fd, GIB); /* not every file system can be asked */
    must(filch_fadvise(fd, 0, 4096, POSIX_FADV_DONTNEED) == 0 && cached(fd, GIB) == tells);
    for (int i = 0; i == 0 || cached(fd, GIB); i++) /* an advice, which the kernel may be too busy to take */
        must(i < 1000 && filch_fadvise(fd, 0, 4 * GIB + 4096, POSIX_FADV_DONTNEED) == 0);
    unmake("file", fd);
    return 0;
}

Test(files, a_range_longer_than_32_bits_is_as_good_as_any)
{
    everywhere(use_long_ranges);
}

static int move_too_much(void *arg)
{
    size_t size = (size_t)5 * GIB, most = 0x7ffff000;
    char *buf = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct iovec parts[] = {{buf, 1}, {buf, size}};
    (void)arg;
    must(buf != MAP_FAILED);
    int null = filch_open("/dev/null", O_WRONLY, 0), fd = make("file", 0);
    must(null >= 0);
    must(filch_write(null, buf, size) == (ssize_t)most && filch_writev(null, parts, 2) == (ssize_t)most);
    must(filch_write_all(null, buf, size, NULL) == 0);
    must(filch_pwrite(fd, "abc", 3, 0) == 3);
    must(filch_pread(fd, buf, size, 0) == 3 && filch_preadv(fd, parts, 2, 0) == 3 && memcmp(buf, "bc", 2) == 0);
    must(filch_close(null) == 0 && munmap(buf, size) == 0);
    unmake("file", fd);
    return 0;
}

Test(files, one_call_moves_less_than_2_GiB)
{
    everywhere(move_too_much);
}

/* ---- what lies under a file ---- */

static int use_storage(void *arg)
{
    char text[8] = "";
    int ends[2];
    (void)arg;
    int fd = make("file", 0);
    must(filch_pwrite(fd, "abcdef", 6, 0) == 6);
    must(filch_fsync(fd) == 0 && filch_fdatasync(fd) == 0);
    must(filch_sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE) == 0);
    must(filch_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED) == 0 && filch_fadvise(fd, 0, 3, POSIX_FADV_RANDOM) == 0);
    must(filch_ftruncate(fd, 3) == 0 && size_of(fd) == 3 && filch_ftruncate(fd, 5) == 0 && size_of(fd) == 5);
    must(filch_pread(fd, text, sizeof text, 0) == 5 && memcmp(text, "abc\0", 5) == 0);
    must(filch_fallocate(fd, 0, 10, 90) == 0 && size_of(fd) == 100);
    must(filch_fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1000) == 0 && size_of(fd) == 100);

    must(filch_fallocate(fd, 0, 0, 0) == -EINVAL && filch_fallocate(fd, 0, -1, 1) == -EINVAL);
    must(filch_fallocate(fd, 1 << 20, 0, 1) == -EOPNOTSUPP);
    must(filch_ftruncate(fd, -1) == -EINVAL && size_of(fd) == 100);
    must(filch_fadvise(fd, 0, 0, 1000) == -EINVAL && filch_fadvise(fd, 0, -1, POSIX_FADV_NORMAL) == -EINVAL);
    must(filch_sync_file_range(fd, 0, 0, 1u << 20) == -EINVAL && filch_sync_file_range(fd, 0, -1, 0) == -EINVAL);
    must(filch_sync_file_range(fd, -1, 0, 0) == -EINVAL);
    unmake("file", fd);

    must(filch_fsync(-1) == -EBADF && filch_fdatasync(-1) == -EBADF && filch_ftruncate(-1, 0) == -EBADF);
    must(filch_fallocate(-1, 0, 0, 1) == -EBADF && filch_fadvise(-1, 0, 0, POSIX_FADV_NORMAL) == -EBADF);
    must(filch_sync_file_range(-1, 0, 0, 0) == -EBADF);
    must(pipe(ends) == 0);
    must(filch_fsync(ends[1]) == -EINVAL && filch_fdatasync(ends[1]) == -EINVAL && filch_ftruncate(ends[1], 0) == -EINVAL);
    must(filch_fallocate(ends[1], 0, 0, 1) == -ESPIPE && filch_fadvise(ends[1], 0, 0, POSIX_FADV_NORMAL) == -ESPIPE);
    must(filch_sync_file_range(ends[1], 0, 0, 0) == -ESPIPE);
    must(filch_close(ends[0]) == 0 && filch_close(ends[1]) == 0);
    return 0;
}

Test(files, lengths_blocks_and_pages_are_changed_and_written_back)
{
    everywhere(use_storage);
}

/* ---- names ---- */

static uint32_t links(const char *name)
{
    struct statx statx;
    must(filch_statx(AT_FDCWD, name, 0, STATX_NLINK, &statx) == 0);
    return statx.stx_nlink;
}

static uint32_t kind(const char *name)
{
    struct statx statx;
    int r = filch_statx(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &statx);
    must(r == 0 || r == -ENOENT);
    return r == 0 ? statx.stx_mode & S_IFMT : 0;
}

static int use_names(void *arg)
{
    char text[16];
    struct statx statx;
    (void)arg;
    must(filch_mkdir("one", 0700) == 0 && filch_mkdir("one", 0700) == -EEXIST && kind("one") == S_IFDIR);
    int dir = filch_open("one", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    must(dir >= 0);
    must(filch_mkdirat(dir, "two", 0700) == 0 && kind("one/two") == S_IFDIR);
    must(filch_close(make("file", 0)) == 0 && kind("file") == S_IFREG);

    must(filch_link("file", "also") == 0 && filch_linkat(AT_FDCWD, "file", dir, "too", 0) == 0 && links("file") == 3);
    must(filch_symlink("file", "soft") == 0 && filch_symlinkat("../file", dir, "soft") == 0 && kind("one/soft") == S_IFLNK);
    must(readlink("one/soft", text, sizeof text) == 7 && memcmp(text, "../file", 7) == 0);
    must(filch_linkat(AT_FDCWD, "soft", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW) == 0 && kind("followed") == S_IFREG);
    must(filch_linkat(AT_FDCWD, "soft", AT_FDCWD, "unfollowed", 0) == 0 && kind("unfollowed") == S_IFLNK);
    must(filch_statx(dir, "soft", 0, STATX_TYPE, &statx) == 0 && (statx.stx_mode & S_IFMT) == S_IFREG);
    must(filch_statx(dir, "", AT_EMPTY_PATH, STATX_TYPE, &statx) == 0 && (statx.stx_mode & S_IFMT) == S_IFDIR);

    must(filch_rename("also", "followed") == 0); /* two names of one file: Linux leaves both */
    must(filch_rename("followed", "moved") == 0 && kind("followed") == 0 && kind("moved") == S_IFREG);
    must(filch_renameat(AT_FDCWD, "moved", dir, "soft", RENAME_NOREPLACE) == -EEXIST);
    must(filch_renameat(AT_FDCWD, "moved", dir, "soft", RENAME_EXCHANGE) == 0);
    must(kind("moved") == S_IFLNK && kind("one/soft") == S_IFREG);
    must(filch_renameat(dir, "soft", AT_FDCWD, "moved", 0) == 0 && kind("moved") == S_IFREG && kind("one/soft") == 0);

    must(filch_unlink("one") == -EISDIR && filch_unlinkat(AT_FDCWD, "one", AT_REMOVEDIR) == -ENOTEMPTY);
    must(filch_unlinkat(AT_FDCWD, "file", AT_REMOVEDIR) == -ENOTDIR);
    must(filch_unlinkat(dir, "two", AT_REMOVEDIR) == 0 && filch_unlinkat(dir, "too", 0) == 0);
    must(filch_unlink("file") == 0 && filch_unlink("also") == 0 && filch_unlink("moved") == 0 && filch_unlink("soft") == 0);
    must(filch_unlink("unfollowed") == 0 && filch_unlink("file") == -ENOENT && kind("file") == 0);
    must(filch_close(dir) == 0 && filch_unlinkat(AT_FDCWD, "one", AT_REMOVEDIR) == 0);
    return 0;
}

Test(files, names_are_made_moved_and_taken_away)
{
    everywhere(use_names);
}

static int make_name_errors(void *arg)
{
    char name[300];
    struct statx statx, as_before;
    (void)arg;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    memset(&statx, 'x', sizeof statx);
    as_before = statx;
    must(filch_statx(AT_FDCWD, "none", 0, STATX_BASIC_STATS, &statx) == -ENOENT);
    must(filch_statx(AT_FDCWD, "/dev/null/none", 0, STATX_BASIC_STATS, &statx) == -ENOTDIR);
    must(filch_statx(AT_FDCWD, name, 0, STATX_BASIC_STATS, &statx) == -ENAMETOOLONG);
    must(filch_statx(-1, "none", 0, STATX_BASIC_STATS, &statx) == -EBADF);
    must(filch_statx(AT_FDCWD, "/", 1, STATX_BASIC_STATS, &statx) == -EINVAL);
    must(memcmp(&statx, &as_before, sizeof statx) == 0); /* untouched */
    must(filch_mkdir("none/dir", 0700) == -ENOENT && filch_mkdirat(-1, "dir", 0700) == -EBADF && filch_mkdir(name, 0700) == -ENAMETOOLONG);
    must(filch_rename("none", "other") == -ENOENT && filch_renameat(-1, "none", -1, "other", 0) == -EBADF);
    must(filch_renameat(AT_FDCWD, "none", AT_FDCWD, "other", RENAME_EXCHANGE | RENAME_NOREPLACE) == -EINVAL);
    must(filch_unlink("none") == -ENOENT && filch_unlinkat(-1, "none", 0) == -EBADF && filch_unlinkat(AT_FDCWD, "none", 1) == -EINVAL);
    must(filch_link("none", "other") == -ENOENT && filch_linkat(AT_FDCWD, "/", -1, "other", 0) == -EBADF);
    must(filch_link("/", "other") == -EPERM && filch_linkat(AT_FDCWD, "/", AT_FDCWD, "other", 1) == -EINVAL);
    must(filch_symlink("any", "none/link") == -ENOENT && filch_symlinkat("any", -1, "link") == -EBADF &&
         filch_symlink("", "link") == -ENOENT);
    must(filch_symlink("loop", "loop") == 0 && filch_symlink("any", "loop") == -EEXIST && filch_link("loop", "loop") == -EEXIST);
    must(filch_statx(AT_FDCWD, "loop", 0, STATX_BASIC_STATS, &statx) == -ELOOP && filch_open("loop", O_RDONLY, 0) == -ELOOP);
    must(filch_unlink("loop") == 0);
    return 0;
}

Test(files, wrong_names_come_as_errors)
{
    everywhere(make_name_errors);
}

/* ---- direct I/O ---- */

enum { PAGE = 4096, PAGES = 16, READS = 200 };

static bool flags_work(int flags)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | flags, 0600);
    bool works = fd >= 0 && (flags || (ftruncate(fd, PAGE) == 0 && (cached(fd, 0) || errno == EAGAIN)));
    if (fd >= 0)
        close(fd);
    return works;
}

static bool has_ring(void)
{
    return filch_io_backend(filch_current(), NULL) == FILCH_IO_URING;
}

static uint64_t waits(void)
{
    filch_stats stats;
    filch_stats_read(filch_current(), &stats);
    return has_ring() ? stats.operations : stats.parks;
}

/* @return how many were not done at once; without a ring fewer than that, since a helper may be quicker than the task is parked. */
static uint64_t read_pages(int fd, char *buf)
{
    uint64_t before = waits();
    for (int i = 0; i < READS; i++) {
        off_t at = i % PAGES * PAGE;
        must((i % 2 ? filch_preadv(fd, &(struct iovec){buf, PAGE}, 1, at) : filch_pread(fd, buf, PAGE, at)) == PAGE);
        must(buf[0] == (char)(i % PAGES) && buf[PAGE - 1] == (char)(i % PAGES));
    }
    return waits() - before;
}

/* A file whose pages are in the cache, open for direct I/O under the number by which they were read. */
static int open_again_for_direct(char *buf)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        int number = make("file", 0);
        must(filch_write(number, buf, PAGES * PAGE) == PAGES * PAGE);
        must(filch_fsync(number) == 0);
        must(read_pages(number, buf) == 0);
        must(filch_close(number) == 0);
        int fd = filch_open("file", O_RDWR | O_DIRECT | O_CLOEXEC, 0);
        if (fd == number)
            return fd;
        unmake("file", fd); /* the runtime itself opens files now and then, and one of those got the number */
    }
    return -1;
}

static int use_direct(void *arg)
{
    char *buf = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)arg;
    must(buf != MAP_FAILED);
    for (int i = 0; i < PAGES; i++)
        memset(buf + i * PAGE, i, PAGE);
    int fd = open_again_for_direct(buf);
    must(fd >= 0);
    uint64_t waited = read_pages(fd, buf);
    must(has_ring() ? waited == READS : waited > 0);
    must(filch_pwrite(fd, buf, PAGE, PAGES * PAGE) == PAGE);
    must(filch_pread(fd, buf, PAGE, (PAGES + 1) * PAGE) == 0);
    unmake("file", fd);
    return munmap(buf, PAGES * PAGE);
}

Test(files, a_direct_read_parks_and_one_from_the_cache_does_not)
{
    if (!flags_work(O_DIRECT) || !flags_work(0))
        cr_skip_test("/tmp knows no direct I/O, or does not tell what is cached");
    FOR_EACH_CONFIG(config, every_loop)
    hold(config, use_direct);
}

/* ---- many that read ---- */

enum { COMPANY = 64, READ_EACH = 2000, COMPUTING = 8, MANY = 200 };

static int read_file;
static bool reading;

static int read_again_and_again(void *arg)
{
    char *page = malloc(PAGE);
    must(page);
    for (int i = 0; i < READ_EACH; i++) {
        off_t at = (i + (int)(intptr_t)arg) % PAGES * PAGE;
        must(filch_pread(read_file, page, PAGE, at) == PAGE && page[0] == (char)(at / PAGE) && page[PAGE - 1] == (char)(at / PAGE));
    }
    free(page);
    reading = false;
    return 0;
}

static int take_turns(void *arg)
{
    (void)arg;
    while (reading)
        filch_yield();
    return 0;
}

/* @return how many reads of how many went through the ring */
static uint64_t read_by(int readers, int others)
{
    uint64_t before = waits();
    reading = true;
    FILCH_SCOPE(s);
    for (int i = 0; i < others; i++)
        must(filch_spawn(&s, take_turns, NULL) == 0);
    for (intptr_t i = 0; i < readers; i++)
        must(filch_spawn(&s, read_again_and_again, (void *)i) == 0);
    must(filch_join(&s) == 0);
    return waits() - before;
}

static int read_in_company(void *arg)
{
    char page[PAGE];
    (void)arg;
    read_file = make("file", 0);
    for (int i = 0; i < PAGES; i++) {
        memset(page, i, PAGE);
        must(filch_pwrite(read_file, page, PAGE, i * PAGE) == PAGE);
    }
    if (has_ring()) {
        must(read_by(COMPANY, 0) > COMPANY * READ_EACH / 2);
        must(read_by(1, COMPUTING) < READ_EACH / 50);
        must(read_by(2, COMPUTING) < 2 * READ_EACH / 50);
        must(read_by(16, MANY) < 16 * READ_EACH / 4);
    } else {
        read_by(COMPANY, 0);
    }
    unmake("file", read_file);
    return 0;
}

Test(files, reads_of_many_go_together_and_one_that_reads_alone_keeps_its_turn)
{
    if (!flags_work(0))
        cr_skip_test("/tmp does not tell what is cached");
    hold(&(filch_config){.workers = 1}, read_in_company);
}

/* ---- descriptors in non-blocking mode ---- */

struct pipe_end {
    int fd;
    bool vector;
    ssize_t result;
};

static int read_byte(void *arg)
{
    char byte = 0;
    struct pipe_end *end = arg;
    end->result = end->vector ? filch_readv(end->fd, &(struct iovec){&byte, 1}, 1) : filch_read(end->fd, &byte, 1);
    must(end->result != 1 || byte == 'x');
    return 0;
}

static int write_byte(void *arg)
{
    struct pipe_end *end = arg;
    end->result = end->vector ? filch_writev(end->fd, &(struct iovec){"x", 1}, 1) : filch_write(end->fd, "x", 1);
    return 0;
}

static int fill(int fd)
{
    char bytes[PAGE] = "";
    int n = 0;
    must(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
    for (ssize_t r; (r = write(fd, bytes, sizeof bytes)) > 0; n += (int)r)
        must(r == sizeof bytes);
    return n;
}

static int wait_without_blocking(void *arg)
{
    char bytes[PAGE];
    int ends[2];
    (void)arg;
    must(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    for (int vector = 0; vector < 2; vector++) {
        struct pipe_end in = {ends[0], vector, 0}, out = {ends[1], vector, 0};
        FILCH_SCOPE(s);
        must(filch_spawn(&s, read_byte, &in) == 0);
        must(filch_sleep(FILCH_MSEC(2)) == 0); /* it is parked by now: nothing is there */
        must(write(ends[1], "x", 1) == 1 && filch_join(&s) == 0 && in.result == 1);

        int left = fill(ends[1]);
        must(filch_spawn(&s, write_byte, &out) == 0);
        must(filch_sleep(FILCH_MSEC(2)) == 0); /* there is no room */
        for (; left > 0; left -= PAGE)
            must(read(ends[0], bytes, PAGE) == PAGE);
        must(filch_join(&s) == 0 && out.result == 1 && read(ends[0], bytes, PAGE) == 1);
    }
    must(filch_close(ends[0]) == 0 && filch_close(ends[1]) == 0);
    return 0;
}

Test(files, a_task_waits_for_a_pipe_in_non_blocking_mode_all_the_same)
{
    in_tasks(wait_without_blocking);
}

/* ---- ready, but not for this ---- */

static int add_a_lot(void *arg)
{
    uint64_t more = 100;
    must(filch_write(*(int *)arg, &more, sizeof more) == sizeof more);
    return 0;
}

static int wait_for_more_room(int fd)
{
    uint64_t count = UINT64_MAX - 10, more = 100;
    must(fd >= 0 && write(fd, &count, sizeof count) == sizeof count); /* there is room, but not for so much */
    clock_t before = clock();
    {
        FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_MSEC(150)));
        must(filch_write(fd, &more, sizeof more) == -ETIMEDOUT);
    }
    FILCH_SCOPE(s);
    must(filch_spawn(&s, add_a_lot, &fd) == 0);
    must(filch_sleep(FILCH_MSEC(60)) == 0);
    must(clock() - before < CLOCKS_PER_SEC / 10);
    must(read(fd, &count, sizeof count) == sizeof count && count == UINT64_MAX - 10);
    must(filch_join(&s) == 0 && read(fd, &count, sizeof count) == sizeof count && count == 100);
    return close(fd);
}

static int wait_for_more_room_in_either_mode(void *arg)
{
    (void)arg;
    return wait_for_more_room(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) | wait_for_more_room(eventfd(0, EFD_CLOEXEC));
}

Test(files, who_waits_for_more_room_than_there_is_keeps_no_processor)
{
    in_tasks(wait_for_more_room_in_either_mode);
}

enum { READERS = 8, BYTES = 160 };

static int read_its_share(void *arg)
{
    char byte;
    for (int i = 0; i < BYTES / READERS; i++)
        must(filch_read(*(int *)arg, &byte, 1) == 1);
    return 0;
}

static int share(void *arg)
{
    int ends[2];
    (void)arg;
    must(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    FILCH_SCOPE(s);
    for (int i = 0; i < READERS; i++)
        must(filch_spawn(&s, read_its_share, &ends[0]) == 0);
    clock_t before = clock();
    for (int i = 0; i < BYTES; i++)
        must(filch_sleep(FILCH_MSEC(2)) == 0 && write(ends[1], "x", 1) == 1);
    must(filch_join(&s) == 0);
    must(SANITIZED || clock() - before < CLOCKS_PER_SEC / 5); /* with a sanitizer on a busy machine the wake-ups alone take as much */
    return close(ends[0]) | close(ends[1]);
}

Test(files, those_that_share_a_pipe_in_non_blocking_mode_get_each_byte_and_keep_no_processor)
{
    in_tasks(share);
}

/* ---- cancelled ---- */

static int call_cancelled(void *arg)
{
    char byte = 'c';
    struct iovec part = {&byte, 1};
    struct statx statx;
    (void)arg;
    int fd = make("file", 0);
    must(filch_write(fd, "x", 1) == 1);
    FILCH_SCOPE(s);
    filch_cancel(&s);
    must(filch_open("file", O_RDONLY, 0) == -ECANCELED && filch_openat(AT_FDCWD, "new", O_CREAT | O_WRONLY, 0600) == -ECANCELED);
    must(filch_read(fd, &byte, 1) == -ECANCELED && filch_pread(fd, &byte, 1, 0) == -ECANCELED);
    must(filch_readv(fd, &part, 1) == -ECANCELED && filch_preadv(fd, &part, 1, 0) == -ECANCELED && byte == 'c');
    must(filch_write(fd, &byte, 1) == -ECANCELED && filch_pwrite(fd, &byte, 1, 0) == -ECANCELED);
    must(filch_writev(fd, &part, 1) == -ECANCELED && filch_pwritev(fd, &part, 1, 0) == -ECANCELED);
    must(filch_fsync(fd) == -ECANCELED && filch_fdatasync(fd) == -ECANCELED);
    must(filch_sync_file_range(fd, 0, 0, 0) == -ECANCELED && filch_sync_file_range(fd, 0, 5 * GIB, 0) == -ECANCELED);
    must(filch_fadvise(fd, 0, 0, 0) == -ECANCELED && filch_fadvise(fd, 0, 5 * GIB, 0) == -ECANCELED);
    must(filch_ftruncate(fd, 100) == -ECANCELED && filch_fallocate(fd, 0, 0, 100) == -ECANCELED);
    must(filch_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &statx) == -ECANCELED);
    must(filch_rename("file", "new") == -ECANCELED && filch_renameat(AT_FDCWD, "file", AT_FDCWD, "new", 0) == -ECANCELED);
    must(filch_unlink("file") == -ECANCELED && filch_unlinkat(AT_FDCWD, "file", 0) == -ECANCELED);
    must(filch_mkdir("new", 0700) == -ECANCELED && filch_mkdirat(AT_FDCWD, "new", 0700) == -ECANCELED);
    must(filch_link("file", "new") == -ECANCELED && filch_linkat(AT_FDCWD, "file", AT_FDCWD, "new", 0) == -ECANCELED);
    must(filch_symlink("file", "new") == -ECANCELED && filch_symlinkat("file", AT_FDCWD, "new") == -ECANCELED);
    must(access("new", F_OK) != 0 && lseek(fd, 0, SEEK_CUR) == 1 && lseek(fd, 0, SEEK_END) == 1);
    must(filch_close(fd) == 0 && filch_close(fd) == -EBADF); /* which is never cancelled */
    return unlink("file");
}

Test(files, a_call_in_a_cancelled_scope_does_nothing)
{
    in_tasks(call_cancelled);
}

static int open_fifo(void *arg)
{
    struct pipe_end *end = arg;
    end->result = filch_open("fifo", O_RDONLY | O_CLOEXEC, 0);
    return 0;
}

static int cancel_parked(void *arg)
{
    char bytes[PAGE];
    int ends[2], flags;
    filch_fn *const calls[] = {read_byte, write_byte, open_fifo};
    (void)arg;
    must(mkfifo("fifo", 0600) == 0 && pipe2(ends, O_CLOEXEC) == 0);
    flags = fcntl(ends[1], F_GETFL);
    int full = fill(ends[1]), other[2];
    must(fcntl(ends[1], F_SETFL, flags) == 0 && pipe2(other, O_CLOEXEC) == 0);
    for (size_t i = 0; i < 2 * LENGTH(calls); i++) {
        struct pipe_end end = {calls[i / 2] == read_byte ? other[0] : ends[1], i % 2, 0};
        FILCH_SCOPE(s);
        must(filch_spawn(&s, calls[i / 2], &end) == 0);
        must(filch_sleep(FILCH_MSEC(2)) == 0); /* it is parked by now */
        filch_cancel(&s);
        must(filch_join(&s) == 0 && end.result == -ECANCELED);
    }
    {
        FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_MSEC(2)));
        must(filch_readv(other[0], &(struct iovec){bytes, 1}, 1) == -ETIMEDOUT);
        must(filch_writev(ends[1], &(struct iovec){bytes, 1}, 1) == -ETIMEDOUT);
    }
    for (; full > 0; full -= PAGE)
        must(read(ends[0], bytes, PAGE) == PAGE);
    must(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 && read(ends[0], bytes, 1) == -1); /* nothing was written */
    for (int i = 0; i < 2; i++)
        must(filch_close(ends[i]) == 0 && filch_close(other[i]) == 0);
    return filch_unlink("fifo");
}

Test(files, a_parked_call_returns_when_it_is_cancelled)
{
    in_tasks(cancel_parked);
}

/* ---- what is no file ---- */

static int read_some(void *arg)
{
    struct pipe_end *end = arg;
    char bytes[4096];
    end->result = (int)filch_read(end->fd, bytes, sizeof bytes);
    return 0;
}

static int share_notices(void *arg)
{
    struct pipe_end ends[4];
    (void)arg;
    int fd = inotify_init1(IN_CLOEXEC), told = 0;
    must(fd >= 0 && inotify_add_watch(fd, ".", IN_CREATE) >= 0);
    FILCH_SCOPE(s);
    for (size_t i = 0; i < LENGTH(ends); i++) {
        ends[i] = (struct pipe_end){.fd = fd};
        must(filch_spawn(&s, read_some, &ends[i]) == 0);
    }
    must(filch_sleep(FILCH_MSEC(5)) == 0); /* they are parked by now */
    unmake("name", make("name", 0));
    must(filch_sleep(FILCH_MSEC(5)) == 0);
    filch_cancel(&s);
    must(filch_join(&s) == 0);
    for (size_t i = 0; i < LENGTH(ends); i++) {
        must(ends[i].result > 0 || ends[i].result == -ECANCELED);
        told += ends[i].result > 0;
    }
    must(told == 1 && filch_close(fd) == 0);
    return 0;
}

Test(files, who_shares_a_device_and_gets_nothing_can_be_cancelled)
{
    in_tasks(share_notices);
    hold(&(filch_config){.io = FILCH_IO_EPOLL}, share_notices);
}

static int use_terminal(void *arg)
{
    char bytes[16];
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    (void)arg;
    must(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    must(slave >= 0 && filch_write(slave, "out", 3) == 3);
    must(filch_read(master, bytes, sizeof bytes) == 3 && memcmp(bytes, "out", 3) == 0);
    must(filch_write(master, "in\n", 3) == 3);
    must(filch_read(slave, bytes, sizeof bytes) == 3 && memcmp(bytes, "in\n", 3) == 0);
    must(filch_close(slave) == 0 && filch_close(master) == 0);
    return 0;
}

Test(files, a_pseudo_terminal_has_two_ends)
{
    everywhere(use_terminal);
    hold(&(filch_config){.io = FILCH_IO_EPOLL}, use_terminal);
}

enum { FIFOS = 40 };

static int open_its_fifo(void *arg)
{
    return filch_open(arg, O_RDONLY | O_CLOEXEC, 0) == -ECANCELED ? 0 : -EPROTO;
}

static int wait_for_many_fifos(void *arg)
{
    char names[FIFOS][8];
    struct statx statx;
    (void)arg;
    {
        FILCH_SCOPE(s);
        for (int i = 0; i < FIFOS; i++) {
            snprintf(names[i], sizeof names[i], "%d", i);
            must(mkfifo(names[i], 0600) == 0 && filch_spawn(&s, open_its_fifo, names[i]) == 0);
        }
        must(filch_sleep(FILCH_MSEC(10)) == 0); /* they wait by now */
        FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_SEC(5)));
        must(filch_statx(AT_FDCWD, names[0], 0, STATX_SIZE, &statx) == 0);
        filch_cancel(&s);
        must(filch_join(&soon) == 0 && filch_join(&s) == 0);
    }
    for (int i = 0; i < FIFOS; i++)
        must(filch_unlink(names[i]) == 0);
    return 0;
}

Test(files, many_that_wait_for_the_other_end_of_a_fifo_stop_nobody)
{
    hold(&(filch_config){.workers = 1}, wait_for_many_fifos);
    hold(&(filch_config){.workers = 1, .io = FILCH_IO_EPOLL}, wait_for_many_fifos);
}
