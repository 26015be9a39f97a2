/* SPDX-License-Identifier: MIT */
/* The laws of blocking calls: what POSIX says, -errno instead of errno, and only the task waits.
 *
 * What is not tested here: cancelled calls (test_cancel.c) and descriptors or memory running out (test_limits.c). */
#include "api.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* ---- files ---- */

static int use_file(void *arg)
{
    char path[] = "/tmp/filch-api-XXXXXX", buf[64];
    (void)arg;
    int made = mkstemp(path);
    must(made >= 0 && close(made) == 0);
    int fd = filch_open(path, O_RDWR | O_TRUNC, 0);
    must(fd >= 0);
    must(filch_write(fd, "hello, ", 7) == 7 && filch_write(fd, "world", 5) == 5);
    must(filch_read(fd, buf, sizeof buf) == 0); /* at the end */
    must(filch_pread(fd, buf, sizeof buf, 0) == 12 && memcmp(buf, "hello, world", 12) == 0);
    must(filch_pread(fd, buf, 3, 7) == 3 && memcmp(buf, "wor", 3) == 0);
    must(filch_pread(fd, buf, 3, 12) == 0 && filch_pread(fd, buf, 3, 1000) == 0 && filch_pread(fd, buf, 0, 0) == 0);
    must(filch_pwrite(fd, "W", 1, 7) == 1);
    must(filch_pwrite(fd, "far", 3, 100000) == 3);
    must(filch_pread(fd, buf, sizeof buf, 99998) == 5 && memcmp(buf, "\0\0far", 5) == 0); /* short: the file ends there */
    must(lseek(fd, 0, SEEK_SET) == 0);
    must(filch_read(fd, buf, 5) == 5 && memcmp(buf, "hello", 5) == 0);
    must(filch_read(fd, buf, 7) == 7 && memcmp(buf, ", World", 7) == 0); /* the position moves on */
    must(filch_pread(fd, buf, 1, -1) == -EINVAL && filch_pwrite(fd, buf, 1, -1) == -EINVAL);
    must(filch_close(fd) == 0 && filch_close(fd) == -EBADF);

    fd = filch_open(path, O_RDONLY | O_CLOEXEC, 0);
    must(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    must(filch_write(fd, "x", 1) == -EBADF);
    must(filch_close(fd) == 0);
    must(unlink(path) == 0);

    fd = filch_open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    must(fd >= 0 && filch_open(path, O_RDWR | O_CREAT | O_EXCL, 0600) == -EEXIST);
    must(filch_close(fd) == 0 && unlink(path) == 0);
    return 0;
}

static int use_directory(void *arg)
{
    char byte;
    (void)arg;
    int dir = filch_open("/proc", O_RDONLY | O_DIRECTORY, 0);
    must(dir >= 0);
    int fd = filch_openat(dir, "version", O_RDONLY, 0);
    must(fd >= 0 && filch_read(fd, &byte, 1) == 1 && byte == 'L');
    must(filch_read(dir, &byte, 1) == -EISDIR);
    must(filch_close(fd) == 0 && filch_close(dir) == 0);
    return 0;
}

static int make_errors(void *arg)
{
    char byte = 0;
    (void)arg;
    must(filch_open("/nonexistent/file", O_RDONLY, 0) == -ENOENT);
    must(filch_open("/dev/null/file", O_RDONLY, 0) == -ENOTDIR);
    must(filch_openat(-1, "file", O_RDONLY, 0) == -EBADF);
    must(filch_read(-1, &byte, 1) == -EBADF && filch_write(-1, &byte, 1) == -EBADF);
    must(filch_pread(12345, &byte, 1, 0) == -EBADF && filch_pwrite(12345, &byte, 1, 0) == -EBADF);
    must(filch_recv(-1, &byte, 1, 0) == -EBADF && filch_send(-1, &byte, 1, 0) == -EBADF);
    must(filch_accept(-1, NULL, NULL, 0) == -EBADF && filch_close(-1) == -EBADF);
    int null = filch_open("/dev/null", O_RDWR, 0);
    must(null >= 0);
    must(filch_recv(null, &byte, 1, 0) == -ENOTSOCK && filch_send(null, &byte, 1, 0) == -ENOTSOCK);
    must(filch_read(null, &byte, 1) == 0 && filch_write(null, &byte, 1) == 1);
    must(filch_close(null) == 0);
    int ends[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    must(filch_close(ends[1]) == 0);
    must(filch_recv(ends[0], &byte, 1, 0) == 0);
    must(filch_send(ends[0], &byte, 1, 0) == -EPIPE); /* and no SIGPIPE */
    must(filch_close(ends[0]) == 0);
    return 0;
}

Test(io, files_are_read_and_written)
{
    must(use_file(NULL) == 0); /* a plain thread makes the plain call */
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, use_file, NULL) == 0);
}

Test(io, files_are_opened_below_a_directory)
{
    must(use_directory(NULL) == 0);
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, use_directory, NULL) == 0);
}

Test(io, errors_come_as_negative_errno)
{
    must(make_errors(NULL) == 0);
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, make_errors, NULL) == 0);
}

/* ---- pipes ---- */

enum { MEBIBYTE = 1 << 20 };

struct stream {
    int in, out;
    int64_t total;
};

static int pour(void *arg)
{
    struct stream *stream = arg;
    unsigned char buf[5000];
    for (int64_t at = 0; at < MEBIBYTE;) {
        size_t n = MEBIBYTE - at < (int64_t)sizeof buf ? (size_t)(MEBIBYTE - at) : sizeof buf;
        for (size_t i = 0; i < n; i++)
            buf[i] = (unsigned char)((at + (int64_t)i) * 31 >> 3);
        ssize_t r = filch_write(stream->out, buf, n); /* a full pipe parks it */
        must(r > 0);
        at += r;
    }
    return filch_close(stream->out);
}

static int drain(void *arg)
{
    struct stream *stream = arg;
    unsigned char buf[3000];
    ssize_t r;
    while ((r = filch_read(stream->in, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < r; i++, stream->total++)
            must(buf[i] == (unsigned char)(stream->total * 31 >> 3));
    must(r == 0);
    return filch_close(stream->in);
}

static int through_pipes(void *arg)
{
    struct stream streams[8];
    (void)arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 8; i++) {
        int ends[2];
        must(pipe(ends) == 0);
        streams[i] = (struct stream){ends[0], ends[1], 0};
        must(filch_spawn(&s, pour, &streams[i]) == 0);
        must(filch_spawn(&s, drain, &streams[i]) == 0);
    }
    must(filch_join(&s) == 0);
    for (int i = 0; i < 8; i++)
        must(streams[i].total == MEBIBYTE);
    return 0;
}

Test(io, every_byte_goes_through_a_pipe_in_order)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, through_pipes, NULL) == 0);
}

/* ---- sockets ---- */

enum { CONNECTIONS = 100, MESSAGES = 10 };

static struct server {
    int listener;
    struct sockaddr_in address;
    atomic_int echoed;
} server;

static int echo(void *arg)
{
    char buf[100];
    int fd = (int)(intptr_t)arg;
    ssize_t r;
    while ((r = filch_recv(fd, buf, sizeof buf, 0)) > 0) {
        for (ssize_t at = 0; at < r;) {
            ssize_t sent = filch_send(fd, buf + at, (size_t)(r - at), 0);
            must(sent > 0);
            at += sent;
        }
        atomic_fetch_add(&server.echoed, (int)r);
    }
    must(r == 0);
    return filch_close(fd);
}

static int serve(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < CONNECTIONS; i++) {
        struct sockaddr_in peer;
        socklen_t len = sizeof peer;
        int fd = filch_accept(server.listener, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
        must(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
        must(len == sizeof peer && peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
        must(filch_spawn(&s, echo, (void *)(intptr_t)fd) == 0);
    }
    return filch_join(&s);
}

static int visit(void *arg)
{
    unsigned who = (unsigned)(intptr_t)arg;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0);
    must(filch_connect(fd, (struct sockaddr *)&server.address, sizeof server.address) == 0);
    for (unsigned i = 0; i < MESSAGES; i++) {
        unsigned message[2] = {who, i}, answer[2];
        must(filch_send(fd, message, sizeof message, 0) == sizeof message);
        must(filch_recv(fd, answer, sizeof answer, MSG_WAITALL) == sizeof answer);
        must(memcmp(message, answer, sizeof answer) == 0);
    }
    return filch_close(fd);
}

static int serve_visitors(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    must(filch_spawn(&s, serve, NULL) == 0);
    for (intptr_t i = 0; i < CONNECTIONS; i++)
        must(filch_spawn(&s, visit, (void *)i) == 0);
    return filch_join(&s);
}

Test(io, a_server_echoes_a_hundred_connections)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        socklen_t len = sizeof server.address;
        server.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        server.listener = socket(AF_INET, SOCK_STREAM, 0);
        must(bind(server.listener, (struct sockaddr *)&server.address, len) == 0 && listen(server.listener, CONNECTIONS) == 0);
        must(getsockname(server.listener, (struct sockaddr *)&server.address, &len) == 0);
        atomic_store(&server.echoed, 0);
        must(filch_run(config, serve_visitors, NULL) == 0);
        must(atomic_load(&server.echoed) == CONNECTIONS * MESSAGES * 8);
        close(server.listener);
    }
}

static int connect_to_nobody(void *arg)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    must(filch_connect(fd, arg, sizeof(struct sockaddr_in)) == -ECONNREFUSED);
    return filch_close(fd);
}

Test(io, connecting_to_nobody_is_refused)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* bound but not listening: nobody else gets this port */
    must(bind(fd, (struct sockaddr *)&address, len) == 0 && getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    must(connect_to_nobody(&address) == 0);
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, connect_to_nobody, &address) == 0);
    close(fd);
}

/* ---- lengths ---- */

static const size_t huge[] = {(size_t)1 << 32, ((size_t)1 << 32) + 1}; /* in 32 bits: nothing, and one byte */

struct transfer {
    char *buf;
    size_t len;
    int ends[2];
    ssize_t filled, result, arrived;
};

static int recv_huge(void *arg)
{
    struct transfer *transfer = arg;
    transfer->result = filch_recv(transfer->ends[0], transfer->buf, transfer->len, 0);
    return 0;
}

static int send_huge(void *arg)
{
    struct transfer *transfer = arg;
    transfer->result = filch_send(transfer->ends[1], transfer->buf, transfer->len, 0);
    return filch_close(transfer->ends[1]);
}

static int lend_huge(void *arg)
{
    char some[4096] = "hello";
    struct transfer *transfer = arg;
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, transfer->ends) == 0);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, recv_huge, transfer) == 0);
    must(filch_sleep(FILCH_MSEC(2)) == 0); /* it is parked by now: nothing is there */
    must(filch_send(transfer->ends[1], some, 5, 0) == 5);
    must(filch_join(&s) == 0);
    must(transfer->result == 5 && memcmp(transfer->buf, "hello", 5) == 0);

    for (ssize_t r; (r = send(transfer->ends[1], some, sizeof some, MSG_DONTWAIT)) > 0;)
        transfer->filled += r;
    must(filch_spawn(&s, send_huge, transfer) == 0);
    must(filch_sleep(FILCH_MSEC(2)) == 0); /* it is parked by now: there is no room */
    for (ssize_t r; (r = filch_recv(transfer->ends[0], some, sizeof some, 0)) != 0; transfer->arrived += r)
        must(r > 0);
    must(filch_join(&s) == 0);
    must(transfer->result > 1 && transfer->arrived == transfer->filled + transfer->result);
    return filch_close(transfer->ends[0]);
}

Test(io, a_length_above_32_bits_is_as_good_as_any)
{
    char *buf = mmap(NULL, (size_t)5 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    must(buf != MAP_FAILED);
    FOR_EACH_CONFIG(config, every_config)
    {
        for (size_t i = 0; i < LENGTH(huge); i++) {
            struct transfer transfer = {.buf = buf, .len = huge[i]};
            must(filch_run(config, lend_huge, &transfer) == 0);
        }
    }
    munmap(buf, (size_t)5 << 30);
}

/* ---- programs ---- */

static int await_by_descriptor(void *arg)
{
    siginfo_t info = {0};
    pid_t pid;
    char script[] = "sleep 0.02; exit 5", name[] = "sh", option[] = "-c";
    char *const argv[] = {name, option, script, NULL};
    (void)arg;
    must(filch_posix_spawnp(&pid, "sh", argv, NULL, NULL) == 0);
    int fd = (int)syscall(SYS_pidfd_open, pid, O_NONBLOCK);
    must(fd >= 0 && filch_waitid(P_PIDFD, (id_t)fd, &info, WEXITED) == 0 && info.si_pid == pid && info.si_status == 5);
    return close(fd);
}

/* O_NONBLOCK says nothing to a task. */
Test(io, a_program_is_waited_for_by_a_descriptor_in_non_blocking_mode)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, await_by_descriptor, NULL) == 0);
    must(filch_run(&(filch_config){.io = FILCH_IO_EPOLL}, await_by_descriptor, NULL) == 0);
}

static int accept_datagrams(void *arg)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)arg;
    FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_SEC(5)));
    must(fd >= 0 && filch_accept(fd, NULL, NULL, 0) == -EOPNOTSUPP);
    return close(fd);
}

Test(io, what_accepts_nothing_says_so)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, accept_datagrams, NULL) == 0);
    must(filch_run(&(filch_config){.io = FILCH_IO_EPOLL}, accept_datagrams, NULL) == 0);
}

/* ---- what a program is given ---- */

static int give_descriptors(void *arg)
{
    siginfo_t info;
    pid_t pid;
    char script[] = "for i in 21 22 23; do test -e /proc/self/fd/$i || exit 1; done", name[] = "sh", option[] = "-c";
    char *const argv[] = {name, option, script, NULL};
    (void)arg;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    must(fd >= 0 && dup3(fd, 20, O_CLOEXEC) == 20);
    for (int i = 21; i <= 23; i++)
        must(dup2(fd, i) == i); /* these are left to it */
    must(filch_posix_spawnp(&pid, "sh", argv, NULL, (int[]){20, 20, 20}) == 0);
    must(filch_waitid(P_PID, (id_t)pid, &info, WEXITED) == 0 && info.si_status == 0);
    must(filch_posix_spawnp(&pid, "sh", argv, NULL, (int[]){-1, 30, -1}) == -EBADF);
    for (int i = 20; i <= 23; i++)
        must(close(i) == 0);
    must(close(fd) == 0);
    return 0;
}

Test(io, a_program_loses_no_descriptor_to_its_first_three)
{
    must(filch_run(NULL, give_descriptors, NULL) == 0);
}
