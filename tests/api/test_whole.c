/* SPDX-License-Identifier: MIT */
/* The laws of all of it: no short counts, what was done is told when it fails, and files read and written as a whole.
 *
 * What is not tested here: the same for sockets (test_io.c). */
#include "files.h"

#include <sys/socket.h>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { PIECE = 1000, PIECES = 20, LARGE = 10 << 20 };

static char byte_at(size_t i)
{
    return (char)(i * 31 >> 3);
}

static void check(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        must(bytes[i] == byte_at(i));
}

static char *bytes_made(size_t size)
{
    char *bytes = malloc(size + 1);
    must(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(i);
    return bytes;
}

/* ---- short counts ---- */

struct peer {
    int fd;
    pthread_t thread; /* to be interrupted as it reads, or 0 */
};

static void *write_pieces(void *arg)
{
    struct peer *peer = arg;
    char *bytes = bytes_made(PIECE * PIECES);
    for (int i = 0; i < PIECES; i++) {
        usleep(500);
        if (peer->thread)
            pthread_kill(peer->thread, SIGUSR1);
        must(write(peer->fd, bytes + i * PIECE, PIECE) == PIECE);
    }
    close(peer->fd);
    free(bytes);
    return NULL;
}

/* Reads `count` bytes of PIECE * PIECES. */
static void read_pieces(size_t count, bool interrupted)
{
    char bytes[PIECE * PIECES];
    size_t done = 1;
    int ends[2];
    must(count <= sizeof bytes && pipe2(ends, O_CLOEXEC) == 0);
    struct peer peer = {ends[1], interrupted ? pthread_self() : 0};
    pthread_t thread = thread_start(write_pieces, &peer);
    must(filch_read_all(ends[0], bytes, count, &done) == 0 && done == count);
    check(bytes, count);
    must(filch_read_all(ends[0], bytes, sizeof bytes, &done) == 0 && done == sizeof bytes - count); /* the end came first */
    must(filch_read_all(ends[0], bytes, sizeof bytes, NULL) == 0);
    thread_join(thread);
    must(filch_close(ends[0]) == 0);
}

static int read_all_pieces(void *arg)
{
    (void)arg;
    read_pieces(PIECE * PIECES, false);
    read_pieces(PIECE * PIECES - 500, false);
    return 0;
}

Test(whole, pieces_are_read_until_all_is_there_or_it_ends)
{
    everywhere(read_all_pieces);
}

static void noticed(int sig)
{
    (void)sig;
}

Test(whole, a_plain_thread_that_is_interrupted_goes_on)
{
    struct sigaction action = {.sa_handler = noticed}; /* without SA_RESTART */
    must(sigaction(SIGUSR1, &action, NULL) == 0);
    read_pieces(PIECE * PIECES, true);
}

static void *read_slowly(void *arg)
{
    struct peer *peer = arg;
    char bytes[5000];
    size_t at = 0;
    for (ssize_t r; (r = read(peer->fd, bytes, sizeof bytes)) > 0; at += (size_t)r)
        for (ssize_t i = 0; i < r; i++)
            must(bytes[i] == byte_at(at + (size_t)i));
    must(at == 1 << 20);
    return NULL;
}

static int write_all_through_a_pipe(void *arg)
{
    char *bytes = bytes_made(1 << 20);
    size_t done = 0;
    int ends[2];
    (void)arg;
    must(pipe2(ends, O_CLOEXEC) == 0);
    struct peer peer = {ends[0], 0};
    pthread_t thread = thread_start(read_slowly, &peer);
    must(filch_write_all(ends[1], bytes, 1 << 20, &done) == 0 && done == 1 << 20);
    must(filch_close(ends[1]) == 0);
    thread_join(thread);
    must(filch_close(ends[0]) == 0);
    free(bytes);
    return 0;
}

Test(whole, more_than_a_pipe_holds_is_written)
{
    everywhere(write_all_through_a_pipe);
}

static int use_positions(void *arg)
{
    off_t far = (off_t)5 << 30;
    char *bytes = bytes_made(LARGE), back[100];
    size_t done = 1;
    (void)arg;
    int fd = make("file", 0);
    must(filch_pwrite_all(fd, bytes, LARGE, far, &done) == 0 && done == LARGE);
    must(lseek(fd, 0, SEEK_CUR) == 0 && size_of(fd) == (uint64_t)far + LARGE);
    memset(bytes, 0, LARGE);
    must(filch_pread_all(fd, bytes, LARGE, far, &done) == 0 && done == LARGE);
    check(bytes, LARGE);
    must(filch_pread_all(fd, back, sizeof back, far + LARGE - 10, &done) == 0 && done == 10 && memcmp(back, bytes + LARGE - 10, 10) == 0);
    must(filch_pread_all(fd, back, sizeof back, far + LARGE, &done) == 0 && done == 0);
    must(filch_pread_all(fd, back, 0, 0, &done) == 0 && done == 0 && filch_pwrite_all(fd, back, 0, 0, NULL) == 0 && done == 0);
    free(bytes);
    unmake("file", fd);
    return 0;
}

Test(whole, positions_are_kept_apart_from_the_file_s)
{
    everywhere(use_positions);
}

/* ---- failures ---- */

static int fail_in_all(void *arg)
{
    char bytes[10] = "";
    size_t done;
    (void)arg;
    must((done = 1, filch_read_all(-1, bytes, 10, &done)) == -EBADF && done == 0 && filch_read_all(-1, bytes, 10, NULL) == -EBADF);
    must((done = 1, filch_write_all(-1, bytes, 10, &done)) == -EBADF && done == 0);
    must((done = 1, filch_pread_all(-1, bytes, 10, 0, &done)) == -EBADF && done == 0);
    must((done = 1, filch_pwrite_all(-1, bytes, 10, 0, &done)) == -EBADF && done == 0);
    must(filch_pread_all(0, bytes, 10, -1, NULL) == -EINVAL && filch_pwrite_all(0, bytes, 10, -1, NULL) == -EINVAL);
    int full = filch_open("/dev/full", O_WRONLY | O_CLOEXEC, 0);
    must(full >= 0);
    must((done = 1, filch_write_all(full, bytes, 10, &done)) == -ENOSPC && done == 0 && filch_close(full) == 0);
    must(filch_write_file("/dev/full", bytes, 10, 0) == -ENOSPC);
    must(filch_write_file("none/file", bytes, 10, 0600) == -ENOENT && filch_write_file("/", bytes, 10, 0600) == -EISDIR);
    return 0;
}

Test(whole, what_fails_says_so_and_how_much_was_done)
{
    everywhere(fail_in_all);
}

static int write_past_the_limit(void *arg)
{
    char bytes[16384] = "";
    size_t done = 0;
    (void)arg;
    int fd = make("file", 0);
    must(filch_write_all(fd, bytes, sizeof bytes, &done) == -EFBIG && done == 10000 && size_of(fd) == 10000);
    must(lseek(fd, 0, SEEK_CUR) == 10000); /* io_uring would leave it behind */
    must(lseek(fd, 9000, SEEK_SET) == 9000 && filch_writev(fd, &(struct iovec){bytes, 2000}, 1) == 1000 && lseek(fd, 0, SEEK_CUR) == 10000);
    must(filch_pwrite_all(fd, bytes, sizeof bytes, 5000, &done) == -EFBIG && done == 5000);
    must(filch_write_file("other", bytes, sizeof bytes, 0600) == -EFBIG && filch_unlink("other") == 0);
    unmake("file", fd);
    return 0;
}

static int write_limited(void)
{
    signal(SIGXFSZ, SIG_IGN);
    limit(RLIMIT_FSIZE, 10000);
    everywhere(write_past_the_limit);
    return 0;
}

Test(whole, a_write_that_ends_at_a_limit_tells_what_was_written)
{
    must(in_child(write_limited) == 0);
}

/* Writes of a plain thread return 0 from here on. */
static void write_nothing(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pwritev2, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
    };
    struct sock_fprog program = {LENGTH(code), code};
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static int write_to_a_wall(void)
{
    size_t done = 1;
    write_nothing();
    return filch_write_all(2, "x", 1, &done) == -EIO && done == 0 && filch_write_all(2, "", 0, &done) == 0 ? 0 : 1;
}

Test(whole, a_write_that_moves_nothing_ends_with_EIO)
{
    must(in_child(write_to_a_wall) == 0);
}

/* ---- cancelled ---- */

struct part {
    int fd;
    size_t size, done;
    int result;
};

static int read_part(void *arg)
{
    char bytes[PIECE];
    struct part *part = arg;
    part->result = filch_read_all(part->fd, bytes, PIECE, &part->done);
    check(bytes, part->done);
    return 0;
}

static int write_part(void *arg)
{
    struct part *part = arg;
    char *bytes = bytes_made(part->size);
    part->result = filch_write_all(part->fd, bytes, part->size, &part->done);
    free(bytes);
    return 0;
}

static void await_bytes(int fd, int count)
{
    int n = -1;
    for (int64_t end = filch_after(FILCH_SEC(10)); n != count;) {
        must(filch_now() < end && ioctl(fd, FIONREAD, &n) == 0);
        must(filch_sleep(FILCH_MSEC(1)) == 0);
    }
}

static int cancel_in_all(void *arg)
{
    char *bytes = bytes_made(1 << 20);
    int ends[2];
    (void)arg;
    must(pipe2(ends, O_CLOEXEC) == 0);
    int room = fcntl(ends[1], F_GETPIPE_SZ);
    struct part in = {.fd = ends[0]}, out = {.fd = ends[1], .size = 1 << 20};
    FILCH_SCOPE(s);
    must(filch_spawn(&s, read_part, &in) == 0 && write(ends[1], bytes, 300) == 300);
    await_bytes(ends[0], 0); /* it waits for the rest by now */
    filch_cancel(&s);
    must(filch_join(&s) == 0 && in.result == -ECANCELED && in.done == 300);
    must(filch_read_all(ends[0], bytes, 1, &in.done) == -ECANCELED && in.done == 0);
    {
        FILCH_SHIELD(shield);
        FILCH_SCOPE(t);
        must(filch_spawn(&t, write_part, &out) == 0);
        await_bytes(ends[0], room);
        filch_cancel(&t);
        must(filch_join(&t) == 0 && out.result == -ECANCELED && out.done == (size_t)room);
    }
    close(ends[1]);
    must(read(ends[0], bytes, 1 << 20) == room && read(ends[0], bytes, 1) == 0); /* just what was told */
    close(ends[0]);
    free(bytes);
    return 0;
}

Test(whole, what_was_moved_before_a_cancel_is_told)
{
    in_tasks(cancel_in_all);
}

static int read_fifo(void *arg)
{
    void *data = arg;
    size_t size = 77;
    int r = filch_read_file("fifo", &data, &size);
    must(data == arg && size == 77); /* untouched */
    *(int *)arg = r;
    return 0;
}

static int write_fifo(void *arg)
{
    char *bytes = bytes_made(1 << 20);
    *(int *)arg = filch_write_file("fifo", bytes, 1 << 20, 0);
    free(bytes);
    return 0;
}

static void cancel_in_fifo(filch_fn *fn, const char *first)
{
    must(mkfifo("fifo", 0600) == 0);
    int fd = open("fifo", O_RDWR | O_CLOEXEC), before = descriptors(), r = 0;
    must(fd >= 0 && write(fd, first, strlen(first)) == (ssize_t)strlen(first));
    FILCH_SCOPE(s);
    must(filch_spawn(&s, fn, &r) == 0 && filch_sleep(FILCH_MSEC(5)) == 0); /* it has something open by now, and memory */
    filch_cancel(&s);
    must(filch_join(&s) == 0 && r == -ECANCELED && descriptors() == before);
    close(fd);
    must(unlink("fifo") == 0);
}

static int cancel_read_file(void *arg)
{
    void *data;
    (void)arg;
    cancel_in_fifo(read_fifo, "something");
    FILCH_SCOPE(s);
    filch_cancel(&s);
    must(filch_read_file("/dev/null", &data, NULL) == -ECANCELED && filch_write_file("new", "", 0, 0600) == -ECANCELED);
    return access("new", F_OK) == 0;
}

static int cancel_write_file(void *arg)
{
    (void)arg;
    cancel_in_fifo(write_fifo, "");
    return 0;
}

Test(whole, a_file_that_was_being_read_is_closed_when_cancelled)
{
    in_tasks(cancel_read_file);
}

Test(whole, a_file_that_was_being_written_is_closed_when_cancelled)
{
    in_tasks(cancel_write_file);
}

/* ---- whole files ---- */

static void read_back(const char *name, size_t size)
{
    void *data = NULL;
    size_t read = 1;
    must(filch_read_file(name, &data, &read) == 0 && read == size && ((char *)data)[size] == 0);
    check(data, size);
    free(data);
}

static int use_whole_files(void *arg)
{
    static const size_t sizes[] = {LARGE, 0, 1, 16382, 16383, 16384, 16385, 32766, 32767, 32768, 5};
    char *bytes = bytes_made(LARGE);
    struct statx statx;
    (void)arg;
    for (size_t i = 0; i < LENGTH(sizes); i++) { /* over one another */
        must(filch_write_file("file", bytes, sizes[i], 0640) == 0);
        read_back("file", sizes[i]);
    }
    must(filch_statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS, &statx) == 0 && (statx.stx_mode & 07777) == 0640);
    free(bytes);
    return filch_unlink("file");
}

Test(whole, what_is_written_is_read_back)
{
    umask(022);
    everywhere(use_whole_files);
}

static int read_special_files(void *arg)
{
    void *data = &data;
    size_t size = 77;
    char *text;
    (void)arg;
    must(filch_read_file("none", &data, &size) == -ENOENT && filch_read_file("/", &data, &size) == -EISDIR);
    must(data == &data && size == 77); /* untouched */
    must(filch_read_file("/proc/self/status", &data, &size) == 0);
    text = data;
    must(size > 500 && strlen(text) == size && strncmp(text, "Name:", 5) == 0 && strstr(text, "nonvoluntary_ctxt_switches:"));
    free(data);
    must(filch_read_file("/dev/null", &data, &size) == 0 && size == 0 && *(char *)data == 0);
    free(data);
    return 0;
}

Test(whole, files_without_a_size_are_read_and_missing_ones_are_not)
{
    everywhere(read_special_files);
}

static void *feed_fifo(void *arg)
{
    struct peer peer = {open("fifo", O_WRONLY), 0};
    (void)arg;
    must(peer.fd >= 0);
    return write_pieces(&peer);
}

static int read_a_fifo(void *arg)
{
    (void)arg;
    must(mkfifo("fifo", 0600) == 0);
    pthread_t thread = thread_start(feed_fifo, NULL);
    read_back("fifo", PIECE * PIECES);
    thread_join(thread);
    return filch_unlink("fifo");
}

Test(whole, a_pipe_is_read_until_it_ends)
{
    everywhere(read_a_fifo);
}

static int read_too_much(void *arg)
{
    void *data = NULL;
    size_t size;
    (void)arg;
    int fd = make("file", 0);
    must(filch_ftruncate(fd, (off_t)1 << 40) == 0);
    must(filch_read_file("file", &data, &size) == -EFBIG && !data);
    unmake("file", fd);
    return 0;
}

static int read_limited(void)
{
    limit(RLIMIT_AS, (rlim_t)8 << 30);
    everywhere(read_too_much);
    return 0;
}

Test(whole, a_file_larger_than_memory_is_EFBIG, .disabled = SANITIZED)
{
    must(in_child(read_limited) == 0);
}

static int peek_in_pieces(void *arg)
{
    int ends[2];
    char bytes[9] = "";
    size_t done;
    (void)arg;
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    must(send(ends[1], "abc", 3, 0) == 3 && send(ends[1], "def", 3, 0) == 3 && shutdown(ends[1], SHUT_WR) == 0);
    must(filch_recv_all(ends[0], bytes, 8, MSG_PEEK, &done) == 0 && done == 6 && strcmp(bytes, "abcdef") == 0);
    memset(bytes, 0, sizeof bytes);
    must(filch_recv_all(ends[0], bytes, 8, 0, &done) == 0 && done == 6 && strcmp(bytes, "abcdef") == 0);
    return close(ends[0]) + close(ends[1]);
}

Test(whole, a_look_at_all_of_it_sees_each_byte_once)
{
    must(peek_in_pieces(NULL) == 0);
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, peek_in_pieces, NULL) == 0);
}
