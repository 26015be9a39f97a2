/* SPDX-License-Identifier: MIT */
/* The laws of sendfile, splice and poll: what POSIX and Linux say of them; that what is told is what has arrived, whenever the other end closes or time is up. */
#include "pairs.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

TestSuite(splice, .timeout = 100);
TestSuite(poll, .timeout = 100);

/* ---- sendfile ---- */

struct reader {
    int fd;
    int64_t until, got;  /* it stops after `until` bytes */
    filch_event *resume; /* and goes on to the end then; NULL: closes */
    bool stopped;
};

static int read_filled(void *arg)
{
    struct reader *reader = arg;
    size_t size = 100000;
    unsigned char *buf = malloc(size);
    ssize_t r = 1;
    while (r > 0) {
        if (!reader->stopped && reader->got >= reader->until) {
            reader->stopped = true;
            if (!reader->resume)
                break;
            must(filch_event_wait(reader->resume) == 0);
        }
        r = filch_read(reader->fd, buf, size);
        must(r >= 0 && is_filled(buf, (size_t)r, reader->got));
        reader->got += r;
    }
    free(buf);
    return filch_close(reader->fd);
}

static void send_file(make_pair *pair, size_t size, bool by_position)
{
    int ends[2], file = file_of(size);
    off_t offset = 0;
    pair(ends);
    struct reader reader = {.fd = ends[0], .until = INT64_MAX};
    FILCH_SCOPE(s);
    must(filch_spawn(&s, read_filled, &reader) == 0);
    size_t half = size / 2;
    must(filch_sendfile(ends[1], file, by_position ? NULL : &offset, half) == (ssize_t)half);
    must((by_position ? lseek(file, 0, SEEK_CUR) : offset) == (off_t)half);
    must(filch_sendfile(ends[1], file, by_position ? NULL : &offset, SIZE_MAX) == (ssize_t)(size - half));
    must(filch_sendfile(ends[1], file, by_position ? NULL : &offset, SIZE_MAX) == 0);
    must((by_position ? lseek(file, 0, SEEK_CUR) : offset) == (off_t)size);
    must(by_position || lseek(file, 0, SEEK_CUR) == 0);
    must(filch_close(ends[1]) == 0);
    must(filch_join(&s) == 0 && reader.got == (int64_t)size);
    must(filch_close(file) == 0);
}

static int send_files(void *arg)
{
    static const size_t sizes[] = {0, 1, 4 * KIB, 64 * KIB, MIB + 3, 5 * MIB + 1};
    (void)arg;
    for (size_t size = 0; size < LENGTH(sizes); size++)
        for (size_t pair = 0; pair < LENGTH(every_pair); pair++)
            for (int by_position = 0; by_position < 2; by_position++)
                send_file(every_pair[pair], sizes[size], by_position);
    return 0;
}

Test(splice, a_file_is_sent_whole_and_in_parts)
{
    int before = descriptors();
    fill(much, sizeof much, 0);
    in_tasks(send_files, NULL);
    descriptors_are(before);
}

/* With each pair, to a reader that stops at once, amid what is copied, and amid what is spliced. */
static int each_stop(int (*fn)(make_pair *pair, int file, int64_t until))
{
    int file = file_of(sizeof much);
    for (size_t i = 0; i < LENGTH(every_pair); i++)
        for (int64_t until = 0; until < 5 * MIB; until += 2 * MIB)
            must(fn(every_pair[i], file, until) == 0);
    return filch_close(file);
}

static int send_to_who_closes(make_pair *pair, int file, int64_t until)
{
    int ends[2];
    off_t offset = 0;
    pair(ends);
    struct reader reader = {.fd = ends[0], .until = until};
    FILCH_SCOPE(s);
    must(filch_spawn(&s, read_filled, &reader) == 0);
    ssize_t sent = filch_sendfile(ends[1], file, &offset, sizeof much);
    must(filch_join(&s) == 0);
    must(offset == (sent > 0 ? sent : 0) && offset >= reader.got && offset < (off_t)sizeof much);
    ssize_t r = filch_sendfile(ends[1], file, &offset, sizeof much);
    must((r == -EPIPE || r == -ECONNRESET) && offset == (sent > 0 ? sent : 0));
    must(lseek(file, 5, SEEK_SET) == 5);
    must(filch_sendfile(ends[1], file, NULL, sizeof much) == -EPIPE && lseek(file, 0, SEEK_CUR) == 5);
    return filch_close(ends[1]);
}

static int each_closes(void *arg)
{
    (void)arg;
    return each_stop(send_to_who_closes);
}

Test(splice, a_file_sent_to_who_closes_tells_what_was_sent)
{
    int before = descriptors();
    signal(SIGPIPE, SIG_IGN); /* a write to a pipe raises it, and under some models nobody has blocked it */
    fill(much, sizeof much, 0);
    in_tasks(each_closes, NULL);
    descriptors_are(before);
}

static void *read_some(void *arg)
{
    int fd = *(int *)arg;
    unsigned char *buf = malloc(2 * MIB);
    must(buf && recv(fd, buf, 2 * MIB, MSG_WAITALL) == 2 * MIB && close(fd) == 0);
    free(buf);
    return NULL;
}

Test(splice, a_thread_that_sends_a_file_to_who_closes_lives_on)
{
    fill(much, sizeof much, 0);
    int ends[2], file = file_of(sizeof much);
    for (size_t i = 0; i < LENGTH(every_stream); i++) {
        off_t offset = 0;
        every_stream[i](ends);
        pthread_t thread = thread_start(read_some, &ends[0]);
        ssize_t sent = filch_sendfile(ends[1], file, &offset, sizeof much); /* SIGPIPE would end the program */
        must(sent >= 2 * MIB && sent < (ssize_t)sizeof much && offset == sent);
        thread_join(thread);
        close(ends[1]);
    }
    close(file);
}

static int send_to_who_is_slow(make_pair *pair, int file, int64_t until)
{
    int ends[2];
    ssize_t sent;
    pair(ends);
    filch_event resume = {0};
    struct reader reader = {.fd = ends[0], .until = until, .resume = &resume};
    FILCH_SCOPE(s);
    must(filch_spawn(&s, read_filled, &reader) == 0);
    must(lseek(file, 0, SEEK_SET) == 0);
    {
        FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_MSEC(20)));
        sent = filch_sendfile(ends[1], file, NULL, SIZE_MAX);
        must(filch_cancelled() == -ETIMEDOUT && filch_sendfile(ends[1], file, NULL, 1) == -ETIMEDOUT);
    }
    sent = sent == -ETIMEDOUT ? 0 : sent;
    must(sent >= 0 && sent < (ssize_t)sizeof much && lseek(file, 0, SEEK_CUR) == sent);
    filch_event_set(&resume);
    must(filch_close(ends[1]) == 0);
    must(filch_join(&s) == 0 && reader.got == sent);
    return 0;
}

static int each_is_slow(void *arg)
{
    (void)arg;
    return each_stop(send_to_who_is_slow);
}

Test(splice, a_file_sent_by_a_deadline_tells_exactly_what_was_sent)
{
    int before = descriptors();
    fill(much, sizeof much, 0);
    in_tasks(each_is_slow, NULL);
    descriptors_are(before);
}

static int send_other_files(void *arg)
{
    char buf[64];
    int ends[2];
    off_t offset = 3, wrong = -1;
    (void)arg;
    unix_pair(ends);
    int version = filch_open("/proc/version", O_RDONLY, 0), file = file_of(10), copy = file_of(0);
    must(filch_sendfile(ends[0], version, NULL, 5) == 5); /* has no size, and cannot be spliced */
    must(filch_recv(ends[1], buf, sizeof buf, 0) == 5 && memcmp(buf, "Linux", 5) == 0);
    must(filch_sendfile(copy, file, &offset, 100) == 7 && offset == 10); /* to another file */
    must(filch_pread(copy, buf, sizeof buf, 0) == 7 && is_filled((unsigned char *)buf, 7, 3));
    must(filch_sendfile(ends[0], file, NULL, 0) == 0 && filch_sendfile(ends[0], file, &wrong, 1) == -EINVAL);
    must(filch_sendfile(ends[0], ends[1], NULL, 1) == -EINVAL);
    must(filch_sendfile(ends[0], -1, NULL, 1) == -EBADF && filch_sendfile(-1, file, NULL, 1) == -EBADF);
    close_pair(ends);
    close_pair((int[]){file, copy});
    return filch_close(version);
}

Test(splice, a_file_of_any_kind_is_sent_to_anything)
{
    fill(much, sizeof much, 0);
    everywhere(send_other_files, NULL);
}

/* ---- splice ---- */

static int splice_between(void *arg)
{
    char buf[32];
    int a[2], b[2], ends[2], file = file_of(100), other = file_of(0);
    off_t from = 90, to = 7, wrong = -1;
    (void)arg;
    pipe_pair(a);
    pipe_pair(b);
    unix_pair(ends);
    must(filch_splice(file, &from, a[1], NULL, 1000, 0) == 10 && from == 100 && lseek(file, 0, SEEK_CUR) == 0);
    must(filch_splice(file, &from, a[1], NULL, 1000, 0) == 0 && from == 100);
    must(filch_splice(file, NULL, a[1], NULL, 5, 0) == 5 && lseek(file, 0, SEEK_CUR) == 5);
    must(filch_splice(a[0], &to, b[1], NULL, 1, 0) == -ESPIPE && to == 7);
    must(filch_splice(a[0], NULL, b[1], NULL, 12, 0) == 12); /* from pipe to pipe */
    must(filch_splice(a[0], NULL, other, &to, ((size_t)1 << 32) + 1, 0) == 3 && to == 10);
    must(filch_pread(other, buf, sizeof buf, 0) == 10 && is_filled((unsigned char *)buf + 7, 3, 2));
    must(filch_splice(b[0], NULL, ends[0], NULL, 12, 0) == 12); /* from pipe to socket */
    must(filch_recv(ends[1], buf, sizeof buf, 0) == 12 && is_filled((unsigned char *)buf, 10, 90));
    must(is_filled((unsigned char *)buf + 10, 2, 0));

    must(filch_splice(a[0], NULL, b[1], NULL, 1, SPLICE_F_NONBLOCK) == -EAGAIN);
    must(filch_splice(file, NULL, other, NULL, 1, 0) == -EINVAL); /* no pipe */
    must(filch_splice(file, &wrong, a[1], NULL, 1, 0) == -EINVAL && wrong == -1);
    must(filch_splice(a[0], NULL, other, &wrong, 1, 0) == -EINVAL && wrong == -1);
    must(filch_splice(-1, NULL, a[1], NULL, 1, 0) == -EBADF && filch_splice(file, NULL, -1, NULL, 1, 0) == -EBADF);
    must(filch_close(a[1]) == 0 && filch_splice(a[0], NULL, b[1], NULL, 1, 0) == 0); /* at the end */
    must(filch_close(a[0]) == 0);
    close_pair(b);
    close_pair(ends);
    close_pair((int[]){file, other});
    return 0;
}

Test(splice, bytes_are_spliced_and_offsets_move)
{
    fill(much, sizeof much, 0);
    everywhere(splice_between, NULL);
}

struct joint {
    int in, out;
};

static int splice_one(void *arg)
{
    struct joint *joint = arg;
    must(filch_splice(joint->in, NULL, joint->out, NULL, 100, 0) == 1);
    return 0;
}

static int splice_later(void *arg)
{
    char byte;
    int a[2], b[2], mode = *(int *)arg;
    pipe_pair(a);
    pipe_pair(b);
    must(fcntl(a[0], F_SETFL, mode) == 0 && fcntl(b[1], F_SETFL, mode) == 0);
    {
        FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_MSEC(5)));
        must(filch_splice(a[0], NULL, b[1], NULL, 1, 0) == -ETIMEDOUT);
    }
    FILCH_SCOPE(s);
    must(filch_spawn(&s, splice_one, &(struct joint){a[0], b[1]}) == 0);
    must(filch_sleep(FILCH_MSEC(2)) == 0); /* it is parked by now */
    must(filch_write(a[1], "x", 1) == 1);
    must(filch_read(b[0], &byte, 1) == 1 && byte == 'x');
    must(filch_join(&s) == 0);
    close_pair(a);
    close_pair(b);
    return 0;
}

Test(splice, a_splice_waits_for_bytes)
{
    in_tasks(splice_later, &(int){0});
}

Test(splice, a_splice_waits_for_bytes_in_non_blocking_mode_too)
{
    in_tasks(splice_later, &(int){O_NONBLOCK});
}

/* ---- what splice(2) refuses, it refuses at once ---- */

static int splice_in_vain(void *arg)
{
    int ends[2], pair[2], file = file_of(1);
    off_t start = 0;
    (void)arg;
    pipe_pair(ends);
    for (size_t i = 0; i < LENGTH(every_stream); i++) {
        every_stream[i](pair);
        must(filch_splice(pair[0], NULL, pair[1], NULL, 1, 0) == -EINVAL);
        must(filch_splice(pair[0], NULL, ends[1], NULL, 0, 0) == 0);
        must(filch_splice(pair[0], NULL, ends[1], &start, 1, 0) == -ESPIPE);
        must(filch_splice(pair[0], NULL, ends[0], NULL, 1, 0) == -EBADF && filch_splice(ends[1], NULL, pair[0], NULL, 1, 0) == -EBADF);
        must(filch_splice(pair[0], NULL, -1, NULL, 1, 0) == -EBADF && filch_splice(-1, NULL, pair[0], NULL, 1, 0) == -EBADF);
        close_pair(pair);
    }
    must(filch_splice(ends[0], NULL, ends[1], NULL, 1, 0) == -EINVAL);
    must(filch_splice(file, NULL, file, NULL, 1, 0) == -EINVAL);
    close_pair(ends);
    return filch_close(file);
}

Test(splice, what_is_refused_is_refused_at_once)
{
    everywhere(splice_in_vain, NULL);
    must(filch_run(&(filch_config){.io = FILCH_IO_EPOLL}, splice_in_vain, NULL) == 0);
}

/* Nobody reads at the other end, and the terminal takes no more; the sleep goes on beside it. */
static int splice_to_a_terminal(void *arg)
{
    int ends[2], master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    int64_t began = filch_now();
    (void)arg;
    must(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC), modes = fcntl(slave, F_GETFL);
    must(slave >= 0);
    pipe_pair(ends);
    must(fcntl(ends[1], F_SETPIPE_SZ, 256 * KIB) > 0 && filch_write(ends[1], much, 200 * KIB) == 200 * KIB);
    {
        FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_MSEC(50)));
        while (filch_splice(ends[0], NULL, slave, NULL, 200 * KIB, 0) > 0)
            ;
    }
    must(filch_sleep(1) == 0 && filch_now() - began < FILCH_SEC(5) && fcntl(slave, F_GETFL) == modes);
    close_pair(ends);
    return filch_close(master) + filch_close(slave);
}

Test(splice, a_terminal_that_is_full_keeps_no_worker)
{
    must(filch_run(&(filch_config){.workers = 1, .relief = FILCH_RELIEF_NONE, .io = FILCH_IO_EPOLL}, splice_to_a_terminal, NULL) == 0);
    must(filch_run(&(filch_config){.workers = 1, .relief = FILCH_RELIEF_NONE}, splice_to_a_terminal, NULL) == 0);
}

/* ---- poll ---- */

/* The peer has shut down one half, and there is no room: neither has to do with what is asked. */
static int poll_half(void *arg)
{
    int ends[2];
    (void)arg;
    unix_pair(ends);
    while (filch_send(ends[0], much, sizeof much, MSG_DONTWAIT) > 0)
        ;
    must(filch_shutdown(ends[1], SHUT_WR) == 0 && filch_poll(ends[0], POLLIN) == POLLIN);
    filch_case c = filch_case_fd(ends[0], POLLOUT);
    {
        FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_MSEC(5)));
        must(filch_poll(ends[0], POLLOUT) == -ETIMEDOUT);
    }
    FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_MSEC(5)));
    must(filch_select(&c, 1) == -ETIMEDOUT);
    close_pair(ends);
    return 0;
}

static int poll_one_half(void *arg)
{
    must(filch_poll(*(int *)arg, POLLIN) == POLLIN);
    filch_case c = filch_case_fd(*(int *)arg, POLLIN);
    must(filch_select(&c, 1) == 0 && c.result == POLLIN);
    return 0;
}

static int poll_before_it_is_shut_down(void *arg)
{
    int ends[2];
    (void)arg;
    unix_pair(ends);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, poll_one_half, ends) == 0 && filch_sleep(FILCH_MSEC(2)) == 0);
    must(filch_shutdown(ends[1], SHUT_WR) == 0 && filch_join(&s) == 0);
    close_pair(ends);
    return 0;
}

Test(poll, nothing_is_told_that_nobody_asked_for)
{
    in_tasks(poll_half, NULL);
    in_tasks(poll_before_it_is_shut_down, NULL);
}

static int poll_what_is_ready(void *arg)
{
    int ends[2], file = file_of(1);
    (void)arg;
    for (size_t i = 0; i < LENGTH(every_stream); i++) {
        every_stream[i](ends);
        must(filch_poll(ends[0], POLLOUT) == POLLOUT && filch_poll(ends[0], POLLIN | POLLOUT) == POLLOUT);
        must(filch_send(ends[1], "x", 1, 0) == 1 && filch_poll(ends[0], POLLIN | POLLOUT) == (POLLIN | POLLOUT));
        must(filch_shutdown(ends[1], SHUT_WR) == 0 && filch_poll(ends[0], POLLRDHUP) == POLLRDHUP);
        must(filch_shutdown(ends[0], SHUT_WR) == 0 && filch_poll(ends[0], 0) == POLLHUP);
        close_pair(ends);
    }
    pipe_pair(ends);
    must(filch_poll(ends[1], POLLIN | POLLOUT) == POLLOUT);
    must(filch_write(ends[1], "x", 1) == 1 && filch_poll(ends[0], POLLIN) == POLLIN);
    must(filch_close(ends[1]) == 0 && filch_poll(ends[0], POLLIN) == (POLLIN | POLLHUP));
    must(filch_poll(ends[1], POLLOUT) == -EBADF && filch_poll(-1, POLLIN) == -EBADF);
    must(filch_close(ends[0]) == 0);
    pipe_pair(ends);
    must(filch_close(ends[0]) == 0 && filch_poll(ends[1], POLLOUT) == (POLLOUT | POLLERR) && filch_close(ends[1]) == 0);
    must(filch_poll(file, POLLIN | POLLOUT) == (POLLIN | POLLOUT)); /* a file always is */
    return filch_close(file);
}

Test(poll, a_poll_tells_what_has_happened)
{
    everywhere(poll_what_is_ready, NULL);
}

static int expect_input(void *arg)
{
    must(filch_poll(*(int *)arg, POLLIN) == POLLIN);
    return 0;
}

static int poll_what_comes(void *arg)
{
    int ends[2], event = eventfd(0, EFD_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    (void)arg;
    unix_pair(ends);
    {
        FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_MSEC(5)));
        must(filch_poll(event, POLLIN) == -ETIMEDOUT && filch_poll(event, POLLOUT) == -ETIMEDOUT);
    }
    int fds[] = {ends[0], event, timer}; /* lent to the tasks */
    FILCH_SCOPE(s);
    for (size_t i = 0; i < LENGTH(fds); i++)
        must(filch_spawn(&s, expect_input, &fds[i]) == 0);
    must(filch_sleep(FILCH_MSEC(2)) == 0); /* they are parked by now */
    must(filch_send(ends[1], "x", 1, 0) == 1 && eventfd_write(event, 1) == 0);
    must(timerfd_settime(timer, 0, &(struct itimerspec){.it_value.tv_nsec = 1000000}, NULL) == 0);
    must(filch_join(&s) == 0);
    close_pair(ends);
    close_pair((int[]){event, timer});
    return 0;
}

Test(poll, a_poll_waits_for_it)
{
    in_tasks(poll_what_comes, NULL);
}
