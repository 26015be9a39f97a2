/* SPDX-License-Identifier: MIT */
/* The laws of sockets: what POSIX says of connections, streams and datagrams, and that a task waits where a thread would be told to come back.
 *
 * Each law that can hold on a plain thread is tried there first. What is not tested here: the first steps, an echo server among them (test_io.c), what messages carry beside
 * bytes (test_messages.c), and that every call is reached by a cancel (test_cancel.c). */
#include "pairs.h"

#include <poll.h>
#include <time.h>

TestSuite(sockets, .timeout = 100);

/* ---- connections ---- */

struct meeting {
    int family, listener;
    union address address;
    socklen_t len;
};

static int connect_and_say(void *arg)
{
    struct meeting *meeting = arg;
    char answer[6];
    int fd = socket(meeting->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0 && filch_connect(fd, &meeting->address.any, meeting->len) == 0);
    must(filch_send(fd, "hello", 5, 0) == 5 && filch_shutdown(fd, SHUT_WR) == 0);
    must(filch_recv(fd, answer, sizeof answer, MSG_WAITALL) == 6 && memcmp(answer, "olleh!", 6) == 0); /* its other half goes on */
    must(filch_recv(fd, answer, sizeof answer, 0) == 0);
    return filch_close(fd);
}

static int accept_and_answer(void *arg)
{
    struct meeting *meeting = arg;
    union address peer;
    socklen_t len = sizeof peer;
    char heard[10];
    size_t done;
    int fd = filch_accept(meeting->listener, &peer.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    must(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(fd, F_GETFL) & O_NONBLOCK);
    must(len == meeting->len && peer.any.sa_family == meeting->family);
    must(filch_recv_all(fd, heard, sizeof heard, 0, &done) == 0 && done == 5 && memcmp(heard, "hello", 5) == 0);
    must(filch_send_all(fd, "olleh!", 6, 0, NULL) == 0);
    return filch_close(fd);
}

static int meet(void *arg)
{
    FILCH_SCOPE(s);
    must(filch_spawn(&s, connect_and_say, arg) == 0);
    must(filch_spawn(&s, accept_and_answer, arg) == 0);
    return filch_join(&s);
}

static bool meet_over(int family)
{
    struct meeting meeting = {.family = family};
    meeting.listener = bound(family, SOCK_STREAM, &meeting.address, &meeting.len);
    if (meeting.listener < 0)
        return false;
    must(listen(meeting.listener, 5) == 0);
    in_tasks(meet, &meeting);
    close(meeting.listener);
    return true;
}

Test(sockets, two_meet_over_ipv4_and_one_half_outlives_the_other)
{
    must(meet_over(AF_INET));
}

Test(sockets, two_meet_over_ipv6_and_one_half_outlives_the_other)
{
    if (!meet_over(AF_INET6))
        cr_skip_test("there is no IPv6 here");
}

static int shut_down(void *arg)
{
    char byte;
    int ends[2];
    (void)arg;
    for (size_t i = 0; i < LENGTH(every_stream); i++) {
        every_stream[i](ends);
        must(filch_shutdown(ends[0], SHUT_RD) == 0 && filch_recv(ends[0], &byte, 1, 0) == 0);
        must(filch_send(ends[0], "x", 1, 0) == 1 && filch_recv(ends[1], &byte, 1, 0) == 1);
        must(filch_shutdown(ends[0], SHUT_WR) == 0 && filch_recv(ends[1], &byte, 1, 0) == 0);
        must(filch_send(ends[0], "x", 1, 0) == -EPIPE);
        must(filch_shutdown(ends[0], 12) == -EINVAL && filch_shutdown(-1, SHUT_RD) == -EBADF);
        close_pair(ends);
    }
    pipe_pair(ends);
    must(filch_shutdown(ends[0], SHUT_RD) == -ENOTSOCK);
    close_pair(ends);
    return 0;
}

Test(sockets, each_half_is_shut_down_by_itself)
{
    everywhere(shut_down, NULL);
}

static int expect_end(void *arg)
{
    char byte;
    must(filch_recv(*(int *)arg, &byte, 1, 0) == 0);
    return 0;
}

static int shut_down_under_a_reader(void *arg)
{
    int ends[2];
    (void)arg;
    for (size_t i = 0; i < LENGTH(every_stream); i++) {
        every_stream[i](ends);
        FILCH_SCOPE(s);
        must(filch_spawn(&s, expect_end, &ends[0]) == 0);
        must(filch_sleep(FILCH_MSEC(2)) == 0);
        must(filch_shutdown(ends[0], SHUT_RD) == 0);
        must(filch_join(&s) == 0);
        close_pair(ends);
    }
    return 0;
}

Test(sockets, a_shutdown_ends_who_is_parked_in_a_recv)
{
    in_tasks(shut_down_under_a_reader, NULL);
}

static int unix_path(union address *ret_address)
{
    static int number;
    *ret_address = (union address){.un.sun_family = AF_UNIX};
    snprintf(ret_address->un.sun_path + 1, sizeof ret_address->un.sun_path - 1, "filch-api-%d-%d", (int)getpid(), number++);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); /* the name is an abstract one: it goes with the socket */
}

static int connect_to(void *arg)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0);
    int r = filch_connect(fd, arg, sizeof(struct sockaddr_un));
    must(filch_close(fd) == 0);
    return r;
}

static int find_nobody(void *arg)
{
    union address address;
    (void)arg;
    int fd = unix_path(&address);
    must(connect_to(&address) == -ECONNREFUSED); /* nobody has that name */
    must(bind(fd, &address.any, sizeof address.un) == 0);
    must(connect_to(&address) == -ECONNREFUSED); /* but doesn't listen */
    address = (union address){.un = {AF_UNIX, "/nonexistent/socket"}};
    must(connect_to(&address) == -ENOENT);
    must(filch_connect(-1, &address.any, sizeof address.un) == -EBADF);
    return filch_close(fd);
}

Test(sockets, connecting_to_nobody_fails)
{
    everywhere(find_nobody, NULL);
}

/* Fills the queue of a listener until who comes next has to wait. @return how many it takes */
static int fill_queue(const union address *address, int fillers[16])
{
    for (int n = 0; n < 16; n++) {
        fillers[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(fillers[n], &address->any, sizeof address->un) < 0) {
            must(errno == EAGAIN);
            close(fillers[n]);
            return n;
        }
    }
    abort();
}

static int wait_in_the_queue(void *arg)
{
    union address address;
    int fillers[16], listener = unix_path(&address), n;
    (void)arg;
    must(bind(listener, &address.any, sizeof address.un) == 0 && listen(listener, 1) == 0);
    n = fill_queue(&address, fillers);
    {
        FILCH_SCOPE_UNTIL(s, filch_after(FILCH_MSEC(20)));
        must(connect_to(&address) == -ETIMEDOUT);
    }
    {
        FILCH_SCOPE(s);
        must(filch_spawn(&s, connect_to, &address) == 0);
        must(filch_sleep(FILCH_MSEC(5)) == 0);
        for (int i = 0; i <= n; i++) { /* room for the one that waits */
            int fd = filch_accept(listener, NULL, NULL, 0);
            must(fd >= 0 && filch_close(fd) == 0);
        }
        must(filch_join(&s) == 0);
    }
    while (n > 0)
        close(fillers[--n]);
    return filch_close(listener);
}

Test(sockets, a_connect_to_a_full_queue_waits_for_room)
{
    in_tasks(wait_in_the_queue, NULL);
}

/* ---- accept and cancel ---- */

static struct {
    union address address;
    int listener;
    atomic_int accepted;
} race;

static int accept_in_a_race(void *arg)
{
    int fd = filch_accept(race.listener, NULL, NULL, SOCK_CLOEXEC);
    (void)arg;
    must(fd >= 0 || fd == -ECANCELED);
    atomic_fetch_add(&race.accepted, fd >= 0);
    return fd >= 0 ? filch_close(fd) : 0;
}

static int race_accepts(void *arg)
{
    unsigned dice = 1;
    int fd;
    (void)arg;
    atomic_store(&race.accepted, 0);
    for (int i = 0; i < RACES; i++) {
        FILCH_SCOPE(s);
        must(filch_spawn(&s, accept_in_a_race, NULL) == 0);
        wait_at_random(&dice);
        if (dice >> 20 & 1)
            filch_cancel(&s);
        {
            FILCH_SHIELD(shield); /* the client is not the one who is cancelled */
            must(connect_to(&race.address) == 0);
        }
        wait_at_random(&dice);
        filch_cancel(&s);
        must(filch_join(&s) == 0);
    }
    FILCH_SCOPE_UNTIL(late, filch_after(FILCH_SEC(10)));
    for (int left = RACES - atomic_load(&race.accepted); left > 0; left--) /* each was accepted, or waits still */
        must((fd = filch_accept(race.listener, NULL, NULL, 0)) >= 0 && filch_close(fd) == 0);
    FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_MSEC(5)));
    must(filch_accept(race.listener, NULL, NULL, 0) == -ETIMEDOUT);
    return 0;
}

Test(sockets, a_connection_that_races_a_cancel_is_accepted_or_waits_still)
{
    race.listener = unix_path(&race.address);
    must(bind(race.listener, &race.address.any, sizeof race.address.un) == 0 && listen(race.listener, RACES) == 0);
    FOR_EACH_CONFIG(config, every_config)
    {
        int before = descriptors();
        must(filch_run(config, race_accepts, NULL) == 0);
        descriptors_are(before);
    }
    close(race.listener);
}

/* ---- descriptors that do not wait ---- */

static int wait_on_nonblocking(void *arg)
{
    char buf[8];
    struct meeting *meeting = arg;
    FILCH_SCOPE(s);
    must(filch_spawn(&s, accept_and_answer, meeting) == 0);
    must(filch_sleep(FILCH_MSEC(2)) == 0); /* it is parked in its accept by now */
    int fd = socket(meeting->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(fd >= 0 && filch_connect(fd, &meeting->address.any, meeting->len) == 0);
    must(filch_sleep(FILCH_MSEC(2)) == 0); /* and in its recv */
    must(filch_send(fd, "hello", 5, 0) == 5 && filch_shutdown(fd, SHUT_WR) == 0);
    must(filch_recv(fd, buf, sizeof buf, MSG_WAITALL) == 6);
    must(filch_join(&s) == 0 && filch_close(fd) == 0);

    int ends[2];
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    for (ssize_t r; (r = filch_send(ends[0], much, sizeof much, MSG_DONTWAIT)) != -EAGAIN;)
        must(r > 0);
    {
        FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_MSEC(5)));
        must(filch_send(ends[0], much, sizeof much, 0) == -ETIMEDOUT);
    }
    close_pair(ends);
    return 0;
}

Test(sockets, a_task_waits_on_a_descriptor_in_nonblocking_mode)
{
    struct meeting meeting = {.family = AF_INET};
    meeting.listener = bound(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, &meeting.address, &meeting.len);
    must(meeting.listener >= 0 && listen(meeting.listener, 5) == 0);
    in_tasks(wait_on_nonblocking, &meeting);
    close(meeting.listener);
}

static int never_wait(void *arg)
{
    char byte;
    struct iovec part = {&byte, 1};
    int ends[2];
    (void)arg;
    for (size_t i = 0; i < LENGTH(every_stream); i++) {
        every_stream[i](ends);
        struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
        int64_t before = filch_now();
        must(filch_recv(ends[0], &byte, 1, MSG_DONTWAIT) == -EAGAIN);
        must(filch_recv(ends[0], &byte, 1, MSG_DONTWAIT | MSG_WAITALL) == -EAGAIN);
        must(filch_recvfrom(ends[0], &byte, 1, MSG_DONTWAIT, NULL, NULL) == -EAGAIN);
        must(filch_recvmsg(ends[0], &msg, MSG_DONTWAIT) == -EAGAIN);
        must(filch_send(ends[1], "ab", 2, MSG_DONTWAIT | MSG_ZEROCOPY) == 2);
        must(filch_recv(ends[0], much, sizeof much, MSG_WAITALL | MSG_DONTWAIT) == 2);
        for (ssize_t r; (r = filch_send(ends[0], much, sizeof much, MSG_DONTWAIT)) != -EAGAIN;)
            must(r > 0);
        must(filch_sendto(ends[0], much, sizeof much, MSG_DONTWAIT, NULL, 0) == -EAGAIN);
        must(filch_sendmsg(ends[0], &msg, MSG_DONTWAIT) == -EAGAIN);
        must(filch_now() - before < FILCH_SEC(5));
        close_pair(ends);
    }
    return 0;
}

Test(sockets, with_MSG_DONTWAIT_nothing_waits)
{
    everywhere(never_wait, NULL);
}

static int note(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
    return 0;
}

static int keep_the_worker(void *arg)
{
    char byte;
    int ends[2];
    (void)arg;
    unix_pair(ends);
    atomic_int noted = 0;
    FILCH_SCOPE(s);
    must(filch_spawn(&s, note, &noted) == 0);
    must(filch_recv(ends[0], &byte, 1, MSG_DONTWAIT) == -EAGAIN && filch_send(ends[0], "x", 1, MSG_DONTWAIT) == 1);
    must(atomic_load(&noted) == 0);
    close_pair(ends);
    return filch_join(&s);
}

Test(sockets, with_MSG_DONTWAIT_nobody_else_runs_meanwhile)
{
    must(filch_run(&(filch_config){.workers = 1}, keep_the_worker, NULL) == 0);
}

/* ---- datagrams ---- */

static int send_datagrams(void *arg)
{
    union address addresses[2], from;
    socklen_t len, from_len = sizeof from;
    char buf[8];
    (void)arg;
    int a = bound(AF_INET, SOCK_DGRAM, &addresses[0], &len), b = bound(AF_INET, SOCK_DGRAM, &addresses[1], &len);
    must(a >= 0 && b >= 0);
    must(filch_sendto(a, "hello, world", 12, 0, &addresses[1].any, len) == 12);
    must(filch_sendto(a, NULL, 0, 0, &addresses[1].any, len) == 0);
    must(filch_sendto(a, "last", 4, 0, &addresses[1].any, len) == 4);
    must(filch_recvfrom(b, buf, sizeof buf, MSG_PEEK | MSG_TRUNC, &from.any, &from_len) == 12); /* the length that it has, not what fits */
    must(from_len == len && memcmp(&from.in, &addresses[0].in, len) == 0);
    memset(&from, 0, sizeof from);
    from_len = sizeof from;
    must(filch_recvfrom(b, buf, sizeof buf, 0, &from.any, &from_len) == 8 && memcmp(buf, "hello, w", 8) == 0);
    must(from_len == len && from.in.sin_port == addresses[0].in.sin_port);
    must(filch_recv(b, buf, sizeof buf, 0) == 0); /* a datagram without bytes */
    must(filch_recv(b, buf, sizeof buf, MSG_WAITALL) == 4);

    struct iovec parts[] = {{"on", 2}, {"e", 1}}, into[] = {{buf, 1}, {buf + 1, 1}};
    struct msghdr msg = {.msg_name = &addresses[0], .msg_namelen = len, .msg_iov = parts, .msg_iovlen = 2};
    must(filch_sendmsg(b, &msg, 0) == 3);
    msg = (struct msghdr){.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = into, .msg_iovlen = 2};
    must(filch_recvmsg(a, &msg, 0) == 2 && msg.msg_flags == MSG_TRUNC && memcmp(buf, "on", 2) == 0);
    must(msg.msg_namelen == len && from.in.sin_port == addresses[1].in.sin_port);
    must(filch_sendto(b, "x", 1, 0, NULL, 0) == -EDESTADDRREQ);
    close_pair((int[]){a, b});
    return 0;
}

Test(sockets, datagrams_keep_their_bounds_and_tell_where_they_come_from)
{
    everywhere(send_datagrams, NULL);
}

static int take_two(void *arg)
{
    union address from;
    socklen_t len = sizeof from;
    char buf[8];
    int fd = *(int *)arg;
    must(filch_recvfrom(fd, buf, sizeof buf, 0, &from.any, &len) == 1 && len == sizeof from.in && from.in.sin_port != 0);
    must(filch_recvfrom(fd, buf, sizeof buf, 0, NULL, NULL) == 0);
    return 0;
}

static int wait_for_datagrams(void *arg)
{
    union address address;
    socklen_t len;
    (void)arg;
    int fd = bound(AF_INET, SOCK_DGRAM, &address, &len);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, take_two, &fd) == 0);
    for (size_t size = 1; size < 2; size--) {
        must(filch_sleep(FILCH_MSEC(2)) == 0); /* it is parked by now */
        must(filch_sendto(fd, "x", size, 0, &address.any, len) == (ssize_t)size);
    }
    must(filch_join(&s) == 0);
    return filch_close(fd);
}

Test(sockets, who_is_parked_is_told_where_a_datagram_comes_from)
{
    in_tasks(wait_for_datagrams, NULL);
}

struct records {
    int ends[2], type;
};

static int take_records(void *arg)
{
    struct records *records = arg;
    char buf[16];
    must(filch_recv(records->ends[0], buf, sizeof buf, MSG_WAITALL) == 3 && memcmp(buf, "one", 3) == 0);
    must(filch_recv(records->ends[0], buf, 2, 0) == 2 && filch_recv(records->ends[0], buf, sizeof buf, 0) == 5);
    must(memcmp(buf, "three", 5) == 0); /* the rest of the second was lost with it */
    return 0;
}

static int send_records(void *arg)
{
    struct records *records = arg;
    must(socketpair(AF_UNIX, records->type, 0, records->ends) == 0);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, take_records, records) == 0);
    must(filch_sleep(FILCH_MSEC(2)) == 0); /* it is parked by now */
    must(filch_send(records->ends[1], "one", 3, MSG_ZEROCOPY) == 3);
    must(filch_sleep(FILCH_MSEC(2)) == 0);
    must(filch_send(records->ends[1], "two", 3, 0) == 3 && filch_send(records->ends[1], "three", 5, 0) == 5);
    must(filch_join(&s) == 0);
    close_pair(records->ends);
    return 0;
}

Test(sockets, records_over_unix_sockets_are_never_joined)
{
    struct records dgram = {.type = SOCK_DGRAM}, seqpacket = {.type = SOCK_SEQPACKET};
    in_tasks(send_records, &dgram);
    in_tasks(send_records, &seqpacket);
}

/* ---- MSG_WAITALL, MSG_PEEK ---- */

static int say_in_parts(void *arg)
{
    int fd = *(int *)arg;
    for (const char *at = "0123456789"; *at; at += 2) {
        must(filch_send(fd, at, 2, 0) == 2);
        must(filch_sleep(FILCH_MSEC(1)) == 0);
    }
    return 0;
}

static void hear_all(int fd, int flags)
{
    char buf[10] = "";
    must(filch_recv(fd, buf, sizeof buf, MSG_WAITALL | flags) == 10 && memcmp(buf, "0123456789", 10) == 0);
}

static void hear_all_in_parts(int fd, int flags)
{
    char a[3], b[1], c[6];
    struct iovec parts[] = {{a, 3}, {b, 0}, {b, 1}, {c, 6}};
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 4};
    must(filch_recvmsg(fd, &msg, MSG_WAITALL | flags) == 10);
    must(memcmp(a, "012", 3) == 0 && b[0] == '3' && memcmp(c, "456789", 6) == 0);
    must(msg.msg_iov == parts && msg.msg_iovlen == 4 && parts[3].iov_len == 6);
}

static int hear(void *arg)
{
    void (*const every_way[])(int, int) = {hear_all, hear_all_in_parts};
    int ends[2], flags = *(int *)arg;
    for (size_t i = 0; i < LENGTH(every_stream); i++) {
        every_stream[i](ends);
        for (size_t way = 0; way < LENGTH(every_way); way++) {
            FILCH_SCOPE(s);
            must(filch_spawn(&s, say_in_parts, &ends[1]) == 0);
            every_way[way](ends[0], flags);
            if (flags & MSG_PEEK)
                hear_all(ends[0], 0);
            must(filch_join(&s) == 0);
        }
        close_pair(ends);
    }
    return 0;
}

Test(sockets, with_MSG_WAITALL_all_comes_at_once)
{
    in_tasks(hear, &(int){0});
}

Test(sockets, with_MSG_PEEK_too_and_it_is_still_there)
{
    in_tasks(hear, &(int){MSG_PEEK});
}

static int hear_less(void *arg)
{
    char buf[10];
    int ends[2];
    (void)arg;
    for (size_t i = 0; i < LENGTH(every_stream); i++) {
        every_stream[i](ends);
        must(filch_send(ends[1], "abc", 3, 0) == 3);
        must(filch_recv(ends[0], buf, sizeof buf, MSG_PEEK) == 3);
        if (filch_current()) { /* a part that has come is told of, though the deadline was first */
            FILCH_SCOPE_UNTIL(s, filch_after(FILCH_MSEC(5)));
            must(filch_recv(ends[0], buf, sizeof buf, MSG_WAITALL | MSG_PEEK) == -ETIMEDOUT); /* it stays there */
            must(filch_sleep(0) == -ETIMEDOUT);
        }
        if (filch_current()) {
            FILCH_SCOPE_UNTIL(s, filch_after(FILCH_MSEC(5)));
            must(filch_recv(ends[0], buf, sizeof buf, MSG_WAITALL) == 3);
            must(filch_recv(ends[0], buf, sizeof buf, MSG_WAITALL) == -ETIMEDOUT);
        }
        must(filch_send(ends[1], "defg", 4, 0) == 4 && filch_shutdown(ends[1], SHUT_WR) == 0);
        ssize_t more = filch_current() ? 4 : 7;
        must(filch_recv(ends[0], buf, sizeof buf, MSG_WAITALL | MSG_PEEK) == more);
        must(filch_recv(ends[0], buf, sizeof buf, MSG_WAITALL) == more && memcmp(buf + more - 4, "defg", 4) == 0);
        must(filch_recv(ends[0], buf, sizeof buf, MSG_WAITALL) == 0);
        close_pair(ends);
    }
    return 0;
}

Test(sockets, MSG_WAITALL_ends_early_at_the_end_or_a_deadline_and_tells_what_came)
{
    everywhere(hear_less, NULL);
}

static int move_all(void *arg)
{
    unsigned char out[100], in[200];
    size_t done = 1;
    int ends[2];
    (void)arg;
    fill(out, sizeof out, 0);
    unix_pair(ends);
    must(filch_recv_all(ends[0], in, 0, 0, &done) == 0 && done == 0);
    must(filch_send_all(ends[0], out, 100, 0, &done) == 0 && done == 100);
    must(filch_shutdown(ends[0], SHUT_WR) == 0);
    must(filch_recv_all(ends[1], in, 200, 0, &done) == 0 && done == 100 && is_filled(in, 100, 0));
    must(filch_close(ends[0]) == 0);
    must(filch_send_all(ends[1], out, 100, 0, &done) == -EPIPE && done == 0);
    must(filch_recv_all(-1, in, 1, 0, &done) == -EBADF && done == 0 && filch_send_all(-1, in, 1, 0, NULL) == -EBADF);
    return filch_close(ends[1]);
}

Test(sockets, all_is_sent_and_received_or_how_much)
{
    everywhere(move_all, NULL);
}

static int send_too_much(void *arg)
{
    int ends[2];
    (void)arg;
    for (size_t i = 0; i < LENGTH(every_stream); i++) {
        size_t sent, got;
        every_stream[i](ends);
        {
            FILCH_SCOPE_UNTIL(s, filch_after(FILCH_MSEC(20)));
            must(filch_send_all(ends[1], much, sizeof much, 0, &sent) == -ETIMEDOUT);
        }
        must(sent < sizeof much && filch_close(ends[1]) == 0);
        unsigned char *buf = malloc(sizeof much);
        must(buf && filch_recv_all(ends[0], buf, sizeof much, 0, &got) == 0);
        must(got == sent && memcmp(buf, much, got) == 0);
        free(buf);
        must(filch_close(ends[0]) == 0);
    }
    return 0;
}

Test(sockets, a_deadline_tells_exactly_how_much_was_sent)
{
    fill(much, sizeof much, 0);
    in_tasks(send_too_much, NULL);
}

/* ---- ready, but not for this ---- */

static int send_to_a_full_line(void *arg)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX}; /* with no name: it is given one */
    socklen_t len = sizeof addr;
    (void)arg;
    int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must(from >= 0 && to >= 0 && bind(to, (struct sockaddr *)&addr, sizeof addr.sun_family) == 0);
    must(getsockname(to, (struct sockaddr *)&addr, &len) == 0);
    while (sendto(from, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&addr, len) == 1)
        ;
    clock_t before = clock();
    {
        FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_MSEC(400)));
        must(filch_sendto(from, "x", 1, 0, (struct sockaddr *)&addr, len) == -ETIMEDOUT);
    }
    must(clock() - before < CLOCKS_PER_SEC / 10);
    must(filch_close(from) == 0 && filch_close(to) == 0);
    return 0;
}

Test(sockets, who_waits_for_another_s_line_keeps_no_processor)
{
    must(filch_run(&(filch_config){.workers = 1}, send_to_a_full_line, NULL) == 0);
    must(filch_run(&(filch_config){.workers = 1, .io = FILCH_IO_EPOLL}, send_to_a_full_line, NULL) == 0);
}

static int receive_out_of_band(void *arg)
{
    char bytes[8];
    int ends[2];
    (void)arg;
    tcp_pair(ends);
    must(filch_send(ends[0], "abc", 3, 0) == 3 && filch_recv(ends[1], bytes, sizeof bytes, 0) == 3);
    must(filch_recv(ends[1], bytes, 1, MSG_OOB) == -EINVAL); /* there is none */
    must(filch_send(ends[0], "def", 3, 0) == 3 && filch_recv(ends[1], bytes, sizeof bytes, 0) == 3);
    must(filch_send(ends[0], "!", 1, MSG_OOB) == 1 && filch_poll(ends[1], POLLPRI) == POLLPRI);
    must(filch_recv(ends[1], bytes, 1, MSG_OOB) == 1 && bytes[0] == '!');
    close_pair(ends);
    return 0;
}

Test(sockets, the_urgent_byte_is_received_though_all_else_was)
{
    everywhere(receive_out_of_band, NULL);
    must(filch_run(&(filch_config){.io = FILCH_IO_EPOLL}, receive_out_of_band, NULL) == 0);
}

/* ---- two receivers ---- */

enum { TURNS = 20 };

struct turns {
    int ends[2], late;
    filch_sem heads, rests, messages;
};

static int take_heads(void *arg)
{
    struct turns *turns = arg;
    char head[4];
    for (int i = 0; i < TURNS; i++) {
        must(filch_sem_acquire(&turns->heads) == 0);
        must(filch_recv(turns->ends[0], head, sizeof head, 0) == 4);
        filch_sem_release(&turns->rests);
    }
    return 0;
}

static int take_rests(void *arg)
{
    struct turns *turns = arg;
    char rest[64];
    for (int i = 0; i < TURNS; i++) {
        must(filch_sem_acquire(&turns->rests) == 0);
        int64_t before = filch_now();
        must(filch_recv(turns->ends[0], rest, sizeof rest, 0) == 6);
        turns->late += filch_now() - before > FILCH_MSEC(10);
        filch_sem_release(&turns->heads);
        filch_sem_release(&turns->messages);
    }
    return 0;
}

static int take_turns(void *arg)
{
    struct turns turns = {.heads = FILCH_SEM(1), .messages = FILCH_SEM(1)};
    (void)arg;
    tcp_pair(turns.ends);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, take_heads, &turns) == 0 && filch_spawn(&s, take_rests, &turns) == 0);
    for (int i = 0; i < TURNS; i++) {
        must(filch_sem_acquire(&turns.messages) == 0 && filch_sleep(FILCH_MSEC(1)) == 0); /* somebody waits for the head */
        must(send(turns.ends[1], "head, rest", 10, 0) == 10);
    }
    must(filch_join(&s) == 0);
    must(turns.late <= TURNS / 2);
    close_pair(turns.ends);
    return 0;
}

Test(sockets, what_another_receiver_has_left_is_there_at_once)
{
    FOR_EACH_CONFIG(config, every_loop)
    must(filch_run(config, take_turns, NULL) == 0);
}

/* ---- a close that waits ---- */

static int beat(void *arg)
{
    atomic_int *beats = arg;
    while (filch_sleep(FILCH_MSEC(2)) == 0)
        atomic_fetch_add(beats, 1);
    return 0;
}

static int close_lingering(void *arg)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 1};
    atomic_int beats = 0;
    int ends[2];
    (void)arg;
    tcp_pair(ends);
    must(setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
    while (send(ends[0], much, sizeof much, MSG_DONTWAIT) > 0)
        ;
    FILCH_SCOPE(s);
    must(filch_spawn(&s, beat, &beats) == 0 && filch_sleep(FILCH_MSEC(5)) == 0);
    int64_t before = filch_now();
    must(filch_close(ends[0]) == 0 && filch_now() - before > FILCH_MSEC(500)); /* the peer does not read */
    must(atomic_load(&beats) > 20);
    must(filch_close(ends[1]) == 0);
    filch_cancel(&s);
    return filch_join(&s);
}

Test(sockets, only_the_task_waits_for_what_a_closed_one_lingers_over)
{
    must(filch_run(&(filch_config){.workers = 1}, close_lingering, NULL) == 0);
    must(filch_run(&(filch_config){.workers = 1, .io = FILCH_IO_EPOLL}, close_lingering, NULL) == 0);
}
