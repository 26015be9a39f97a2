/* SPDX-License-Identifier: MIT */
/* The laws of what goes over sockets beside bytes: descriptors, errors, the caller's own pages, and signals, which do not. */
#include "pairs.h"

#include <linux/errqueue.h>
#include <signal.h>

TestSuite(messages, .timeout = 100);

/* ---- descriptors over sockets ---- */

union room {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static ssize_t send_descriptor(int over, int fd, const char *text, int flags)
{
    union room room;
    struct iovec part = {(void *)(uintptr_t)text, strlen(text)};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    memset(&room, 0, sizeof room);
    room.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&room.header), &fd, sizeof fd);
    return filch_sendmsg(over, &msg, flags);
}

/* @param ret_fd -1: none came */
static ssize_t recv_descriptor(int over, size_t len, int flags, int *ret_fd)
{
    union room room;
    char buf[16];
    struct iovec part = {buf, len};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    ssize_t r = filch_recvmsg(over, &msg, flags | MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = r > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    *ret_fd = -1;
    if (!header)
        return r;
    must(header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof *ret_fd) && !(msg.msg_flags & MSG_CTRUNC));
    memcpy(ret_fd, CMSG_DATA(header), sizeof *ret_fd);
    must(fcntl(*ret_fd, F_GETFD) == FD_CLOEXEC);
    return r;
}

static int take_descriptor(void *arg)
{
    int fd;
    must(recv_descriptor(*(int *)arg, 1, 0, &fd) == 1 && fd >= 0);
    must(filch_write(fd, "through", 7) == 7);
    return filch_close(fd);
}

static int pass_descriptor(void *arg)
{
    char buf[8];
    int ends[2], tube[2];
    (void)arg;
    unix_pair(ends);
    pipe_pair(tube);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, take_descriptor, &ends[0]) == 0);
    must(filch_sleep(FILCH_MSEC(2)) == 0); /* it is parked by now */
    must(send_descriptor(ends[1], tube[1], "x", 0) == 1);
    must(filch_join(&s) == 0);
    must(filch_read(tube[0], buf, sizeof buf) == 7);
    close_pair(ends);
    close_pair(tube);
    return 0;
}

Test(messages, a_descriptor_is_passed_to_who_is_parked)
{
    in_tasks(pass_descriptor, NULL);
}

static int pass_among_bytes(void *arg)
{
    int ends[2], fd;
    (void)arg;
    unix_pair(ends);
    must(filch_send(ends[1], "ab", 2, 0) == 2 && send_descriptor(ends[1], ends[0], "cd", MSG_ZEROCOPY) == 2);
    must(filch_send(ends[1], "efgh", 4, 0) == 4);
    must(recv_descriptor(ends[0], 8, MSG_WAITALL, &fd) == 4 && fd >= 0); /* what came with it, and no more */
    must(filch_close(fd) == 0);
    must(recv_descriptor(ends[0], 4, MSG_WAITALL, &fd) == 4 && fd == -1);
    must(send_descriptor(ends[1], ends[0], "ij", 0) == 2);
    char buf[2];
    struct iovec part = {buf, 2};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    must(filch_recvmsg(ends[0], &msg, 0) == 2 && msg.msg_flags & MSG_CTRUNC); /* no room for it */
    close_pair(ends);
    return 0;
}

Test(messages, MSG_WAITALL_ends_at_a_descriptor)
{
    int before = descriptors();
    everywhere(pass_among_bytes, NULL);
    descriptors_are(before);
}

struct taking {
    int over;
    bool taken;
};

static int take_in_a_race(void *arg)
{
    struct taking *taking = arg;
    int fd;
    ssize_t r = recv_descriptor(taking->over, 1, 0, &fd);
    must((r == 1 && fd >= 0) || r == -ECANCELED);
    taking->taken = r == 1;
    return r == 1 ? filch_close(fd) : 0;
}

static int race_descriptors(void *arg)
{
    unsigned dice = 2;
    int ends[2], fd;
    (void)arg;
    unix_pair(ends);
    for (int i = 0; i < RACES; i++) {
        struct taking taking = {.over = ends[0]};
        {
            FILCH_SCOPE(s);
            must(filch_spawn(&s, take_in_a_race, &taking) == 0);
            wait_at_random(&dice);
            if (dice >> 20 & 1)
                filch_cancel(&s);
            {
                FILCH_SHIELD(shield); /* who sends is not the one who is cancelled */
                must(send_descriptor(ends[1], ends[1], "x", 0) == 1);
            }
            wait_at_random(&dice);
            filch_cancel(&s);
            must(filch_join(&s) == 0);
        }
        ssize_t r = recv_descriptor(ends[0], 1, MSG_DONTWAIT, &fd);
        must(taking.taken ? r == -EAGAIN : r == 1 && fd >= 0 && filch_close(fd) == 0);
    }
    close_pair(ends);
    return 0;
}

Test(messages, a_descriptor_that_races_a_cancel_is_received_or_waits_still)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        int before = descriptors();
        must(filch_run(config, race_descriptors, NULL) == 0);
        descriptors_are(before);
    }
}

/* ---- errors ---- */

static int ask_for_error(void *arg)
{
    char buf[64], control[256];
    struct iovec part = {buf, sizeof buf};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    must(filch_recvmsg(*(int *)arg, &msg, MSG_ERRQUEUE) == 4 && msg.msg_flags & MSG_ERRQUEUE);
    struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
    must(header && header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_RECVERR);
    struct sock_extended_err error;
    memcpy(&error, CMSG_DATA(header), sizeof error);
    must(error.ee_errno == ECONNREFUSED && error.ee_origin == SO_EE_ORIGIN_ICMP);
    return 0;
}

static int wait_for_error(void *arg)
{
    union address nobody;
    socklen_t len;
    char buf[8];
    (void)arg;
    int gone = bound(AF_INET, SOCK_DGRAM, &nobody, &len), fd = socket(AF_INET, SOCK_DGRAM, 0);
    must(gone >= 0 && close(gone) == 0);
    must(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &(int){1}, sizeof(int)) == 0);
    must(filch_connect(fd, &nobody.any, len) == 0);
    must(filch_recv(fd, buf, sizeof buf, MSG_ERRQUEUE | MSG_DONTWAIT) == -EAGAIN);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, ask_for_error, &fd) == 0);
    must(filch_sleep(FILCH_MSEC(2)) == 0); /* it is parked by now */
    must(filch_send(fd, "ping", 4, 0) == 4);
    must(filch_join(&s) == 0);
    return filch_close(fd);
}

Test(messages, who_asks_for_the_error_queue_waits_for_an_error)
{
    in_tasks(wait_for_error, NULL);
}

static bool pipe_signal_pending(void)
{
    sigset_t set;
    must(sigpending(&set) == 0);
    return sigismember(&set, SIGPIPE);
}

static int send_to_nobody(void *arg)
{
    int ends[2], file = file_of(3 * MIB);
    (void)arg;
    for (size_t i = 0; i < LENGTH(every_stream); i++) {
        off_t offset = 0;
        struct iovec part = {"x", 1};
        struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
        every_stream[i](ends);
        must(filch_shutdown(ends[0], SHUT_WR) == 0);
        must(filch_send(ends[0], "x", 1, 0) == -EPIPE && filch_sendto(ends[0], "x", 1, 0, NULL, 0) == -EPIPE);
        must(filch_sendmsg(ends[0], &msg, 0) == -EPIPE && filch_send(ends[0], "x", 1, MSG_ZEROCOPY) == -EPIPE);
        must(filch_send_all(ends[0], "x", 1, 0, NULL) == -EPIPE);
        must(filch_sendfile(ends[0], file, &offset, 3 * MIB) == -EPIPE && offset == 0);
        must(!pipe_signal_pending());
        close_pair(ends);
    }
    return filch_close(file);
}

Test(messages, SIGPIPE_is_never_raised)
{
    fill(much, sizeof much, 0);
    everywhere(send_to_nobody, NULL); /* on a plain thread it would end the program */
}

/* ---- zero copy ---- */

static int lend_to(void *arg)
{
    size_t done;
    fill(much, MIB, 0);
    must(filch_send_all(*(int *)arg, much, MIB, MSG_ZEROCOPY, &done) == 0 && done == MIB);
    memset(much, 0, MIB);
    return 0;
}

static int borrow_from(void *arg)
{
    size_t done;
    unsigned char *buf = malloc(MIB);
    must(buf && filch_sleep(FILCH_MSEC(20)) == 0); /* most of it lies in the sender's queue by now */
    must(filch_recv_all(*(int *)arg, buf, MIB, 0, &done) == 0 && done == MIB);
    must(is_filled(buf, MIB, 0));
    free(buf);
    return 0;
}

static int lend_pages(void *arg)
{
    char buf[8];
    int ends[2];
    (void)arg;
    for (size_t i = 0; i < LENGTH(every_stream); i++) {
        every_stream[i](ends);
        setsockopt(ends[1], SOL_SOCKET, SO_ZEROCOPY, &(int){1}, sizeof(int)); /* else the plain call would ignore the flag */
        FILCH_SCOPE(s);
        must(filch_spawn(&s, lend_to, &ends[1]) == 0 && filch_spawn(&s, borrow_from, &ends[0]) == 0);
        must(filch_join(&s) == 0);
        ssize_t r = recv(ends[1], buf, sizeof buf, MSG_ERRQUEUE | MSG_DONTWAIT);
        must(r < 0 && (errno == EAGAIN || errno == EOPNOTSUPP)); /* nothing that the caller would have to collect */
        close_pair(ends);
    }
    return 0;
}

Test(messages, after_a_send_without_copying_the_buffer_is_the_callers_again)
{
    in_tasks(lend_pages, NULL);
}

static int lend_message(void *arg)
{
    char buf[8];
    int ends[2];
    (void)arg;
    tcp_pair(ends);
    struct iovec parts[] = {{"ab", 2}, {"cd", 2}};
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};
    must(filch_sendmsg(ends[1], &msg, MSG_ZEROCOPY) == 4);
    must(filch_sendto(ends[1], "ef", 2, MSG_ZEROCOPY, NULL, 0) == 2);
    must(filch_recv(ends[0], buf, sizeof buf, 0) == 6 && memcmp(buf, "abcdef", 6) == 0);
    must(filch_send(-1, "x", 1, MSG_ZEROCOPY) == -EBADF);
    close_pair(ends);
    return 0;
}

Test(messages, a_message_in_parts_is_sent_without_copying)
{
    everywhere(lend_message, NULL);
}
