/* SPDX-License-Identifier: MIT */
/* The laws of closing a descriptor that others wait for: on epoll each of them comes back with -EBADF, whichever call it is in and however
 * close the race; on io_uring it keeps the file that it waits for, and comes back when something happens there. What is not tested here:
 * that a close lingers, which is test_sockets.c. */
#include "pairs.h"

#include <fcntl.h>
#include <poll.h>

static bool on_epoll(void)
{
    return filch_io_backend(filch_current(), NULL) == FILCH_IO_EPOLL;
}

/* The ring of a relief may take any number at any time, also one that has just been closed. */
static void without_reliefs(filch_fn *law)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        filch_config alone = *config;
        alone.relief = FILCH_RELIEF_NONE;
        must(filch_run(&alone, law, NULL) == 0);
    }
}

/* ---- each call ---- */

static int recv_(int fd)
{
    char byte;
    return (int)filch_recv(fd, &byte, 1, 0);
}

static int recv_wholly(int fd)
{
    char bytes[10];
    return (int)filch_recv(fd, bytes, sizeof bytes, MSG_WAITALL);
}

static int recv_message(int fd)
{
    char byte;
    struct iovec part = {&byte, 1};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    return (int)filch_recvmsg(fd, &msg, 0);
}

static int read_(int fd)
{
    char byte;
    return (int)filch_read(fd, &byte, 1);
}

static int read_parts(int fd)
{
    char bytes[2];
    struct iovec parts[] = {{bytes, 1}, {bytes + 1, 1}};
    return (int)filch_readv(fd, parts, 2);
}

static int send_(int fd)
{
    return (int)filch_send(fd, much, sizeof much, 0);
}

static int write_(int fd)
{
    return (int)filch_write(fd, much, sizeof much);
}

static int poll_in(int fd)
{
    return filch_poll(fd, POLLIN);
}

static int poll_out(int fd)
{
    return filch_poll(fd, POLLOUT);
}

static int accept_(int fd)
{
    return filch_accept(fd, NULL, NULL, SOCK_CLOEXEC);
}

static int splice_from(int fd)
{
    int ends[2];
    pipe_pair(ends);
    int r = (int)filch_splice(fd, NULL, ends[1], NULL, 100, 0);
    close_pair(ends);
    return r;
}

static int select_(int fd)
{
    filch_case cases[] = {filch_case_fd(fd, POLLIN), filch_case_until(FILCH_NEVER)};
    must(filch_select(cases, 2) == 0);
    return cases[0].result == POLLNVAL ? -EBADF : cases[0].result;
}

static void full_unix_pair(int ends[2])
{
    unix_pair(ends);
    must(send(ends[0], much, sizeof much, MSG_DONTWAIT) > 0);
    while (send(ends[0], much, 1000, MSG_DONTWAIT) > 0)
        ;
}

static void full_pipe(int ends[2])
{
    int swap[2];
    pipe_pair(swap);
    ends[0] = swap[1];
    ends[1] = swap[0];
    must(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    while (write(ends[0], much, 4096) > 0)
        ;
    must(fcntl(ends[0], F_SETFL, 0) == 0);
}

static void listening_pair(int ends[2])
{
    union address address;
    socklen_t len;
    ends[0] = bound(AF_INET, SOCK_STREAM, &address, &len);
    ends[1] = dup(0);
    must(ends[0] >= 0 && ends[1] >= 0 && listen(ends[0], 1) == 0);
}

static const struct call {
    int (*call)(int fd);
    make_pair *pair;
} calls[] = {
    {recv_, tcp_pair},    {recv_, unix_pair},      {recv_wholly, tcp_pair},   {recv_message, unix_pair}, {read_, pipe_pair},
    {read_, tcp_pair},    {read_parts, pipe_pair}, {send_, full_unix_pair},   {write_, full_unix_pair},  {write_, full_pipe},
    {poll_in, tcp_pair},  {poll_out, full_pipe},   {accept_, listening_pair}, {splice_from, pipe_pair},  {splice_from, tcp_pair},
    {select_, unix_pair}, {select_, pipe_pair},
};

struct waiter {
    const struct call *call;
    int fd, result;
    atomic_int begun;
};

static int wait_at(void *arg)
{
    struct waiter *waiter = arg;
    atomic_store(&waiter->begun, 1);
    waiter->result = waiter->call->call(waiter->fd);
    return 0;
}

enum { TOGETHER = 3 };

static int close_each(void *arg)
{
    (void)arg;
    if (!on_epoll())
        return 0;
    for (size_t i = 0; i < LENGTH(calls); i++) {
        struct waiter waiters[TOGETHER];
        int ends[2];
        calls[i].pair(ends);
        FILCH_SCOPE(s);
        for (int j = 0; j < TOGETHER; j++) {
            waiters[j] = (struct waiter){.call = &calls[i], .fd = ends[0]};
            must(filch_spawn(&s, wait_at, &waiters[j]) == 0);
        }
        for (int j = 0; j < TOGETHER; j++)
            while (!atomic_load(&waiters[j].begun))
                must(filch_sleep(FILCH_USEC(100)) == 0);
        must(filch_sleep(FILCH_MSEC(3)) == 0);
        must(filch_close(ends[0]) == 0);
        must(filch_join(&s) == 0);
        for (int j = 0; j < TOGETHER; j++)
            if (waiters[j].result != -EBADF) {
                fprintf(stderr, "call %zu: %d\n", i, waiters[j].result);
                must(waiters[j].result == -EBADF);
            }
        must(close(ends[1]) == 0);
    }
    return 0;
}

Test(close, whoever_waits_on_epoll_comes_back_with_EBADF)
{
    int before = descriptors();
    without_reliefs(close_each);
    descriptors_are(before);
}

/* ---- the number is somebody else's at once ---- */

/* Whether an epoll instance of this process has it. */
static bool is_registered(int fd)
{
    DIR *dir = opendir("/proc/self/fd");
    bool found = false;
    must(dir);
    for (struct dirent *entry; !found && (entry = readdir(dir));) {
        char link[64] = "", path[300], line[200];
        int target;
        if (readlinkat(dirfd(dir), entry->d_name, link, sizeof link - 1) < 0 || !strstr(link, "[eventpoll]"))
            continue;
        snprintf(path, sizeof path, "/proc/self/fdinfo/%s", entry->d_name);
        FILE *file = fopen(path, "r");
        while (file && !found && fgets(line, sizeof line, file))
            found = sscanf(line, "tfd: %d", &target) == 1 && target == fd;
        if (file)
            fclose(file);
    }
    closedir(dir);
    return found;
}

/* A thread of its own waits in another way: then that must do. */
static void await_registered(int fd)
{
    for (int64_t end = filch_after(FILCH_MSEC(20)); !is_registered(fd) && filch_now() < end;)
        must(filch_sleep(FILCH_USEC(200)) == 0);
}

static int reuse(void *arg)
{
    static const struct call recv_call = {recv_, unix_pair};
    (void)arg;
    if (!on_epoll())
        return 0;
    int same = 0;
    for (int i = 0; i < 50; i++) {
        int ends[2], other[2], number;
        char byte = 0;
        unix_pair(ends);
        unix_pair(other);
        struct waiter waiter = {.call = &recv_call, .fd = ends[0]};
        FILCH_SCOPE(s);
        must(filch_spawn(&s, wait_at, &waiter) == 0);
        while (!atomic_load(&waiter.begun))
            must(filch_sleep(FILCH_USEC(100)) == 0);
        await_registered(ends[0]);
        must(send(other[1], "x", 1, 0) == 1 && filch_close(ends[0]) == 0);
        number = fcntl(other[0], F_DUPFD, ends[0]); /* another one, if the runtime's own threads have just opened a file */
        same += number == ends[0];
        must(number >= 0 && filch_join(&s) == 0);
        must(waiter.result == -EBADF && recv(number, &byte, 1, MSG_DONTWAIT) == 1 && byte == 'x');
        must(close(number) == 0 && close(ends[1]) == 0);
        close_pair(other);
    }
    must(same > 25);
    return 0;
}

Test(close, whoever_waited_reads_nothing_of_the_next_file_with_the_number)
{
    without_reliefs(reuse);
}

/* ---- another file at the number, behind our back ---- */

static int answer_later(void *arg)
{
    int fd = *(int *)arg;
    must(filch_sleep(FILCH_MSEC(1)) == 0); /* the receiver waits by then */
    must(send(fd, "abc", 3, 0) == 3);
    return 0;
}

/* It receives, with room for more than comes, so that it would trust in what the back-end knows of the socket. */
static void receive_a_little(int fd, int peer)
{
    char bytes[16];
    FILCH_SCOPE(s);
    must(filch_spawn(&s, answer_later, &peer) == 0);
    int64_t before = filch_now();
    must(filch_recv(fd, bytes, sizeof bytes, 0) == 3 && filch_now() - before < FILCH_SEC(1));
    must(filch_join(&s) == 0);
}

static int come_back(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        int ends[2], other[2];
        tcp_pair(ends);
        (i & 1 ? unix_pair : tcp_pair)(other);
        for (int k = 0; k < 4; k++)
            receive_a_little(ends[0], ends[1]);
        must(dup2(other[0], ends[0]) == ends[0]);
        for (int k = 0; k < 4; k++)
            receive_a_little(ends[0], other[1]);
        close_pair(ends);
        close_pair(other);
    }
    return 0;
}

Test(close, who_receives_from_another_socket_of_the_number_hears_of_it)
{
    FOR_EACH_CONFIG(config, every_loop)
    must(filch_run(config, come_back, NULL) == 0);
}

static void *send_late(void *fd)
{
    usleep(20000); /* the receiver waits by then */
    must(send(*(int *)fd, "abc", 3, 0) == 3);
    return NULL;
}

/* The same on a thread of its own, while the workers sleep. */
static int come_back_late(void *arg)
{
    char bytes[16];
    int *ends = arg, other[2];
    tcp_pair(other);
    for (int i = 0; i < 3; i++) {
        pthread_t sender = thread_start(send_late, i < 2 ? &ends[1] : &other[1]);
        must(filch_recv(ends[0], bytes, sizeof bytes, 0) == 3);
        thread_join(sender);
        if (i == 1)
            must(dup2(other[0], ends[0]) == ends[0]);
        usleep(100000); /* then nobody is awake */
    }
    close_pair(other);
    return 0;
}

static int come_back_on_a_thread(void *arg)
{
    (void)arg;
    int ends[2];
    tcp_pair(ends);
    FILCH_SCOPE(s);
    must(filch_spawn_with(&s, &(filch_task_options){.isolated = true}, come_back_late, ends) == 0);
    must(filch_join(&s) == 0);
    close_pair(ends);
    return 0;
}

Test(close, an_isolated_task_that_receives_from_another_socket_of_the_number_hears_of_it, .timeout = 20)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, come_back_on_a_thread, NULL) == 0);
}

/* ---- races ---- */

struct race {
    int fd, result;
    unsigned dice;
};

static int race_to_wait(void *arg)
{
    struct race *race = arg;
    wait_at_random(&race->dice);
    race->result = race->dice >> 30 & 1 ? recv_(race->fd) : poll_in(race->fd);
    return 0;
}

static int race(void *arg)
{
    unsigned dice = 1;
    (void)arg;
    if (!on_epoll())
        return 0;
    for (int i = 0; i < 10 * RACES; i++) {
        struct race waiter = {.dice = (unsigned)i * 7919};
        int ends[2];
        unix_pair(ends);
        waiter.fd = fcntl(ends[0], F_DUPFD_CLOEXEC, 500); /* a number that nobody who opens a file is given, when it is free again */
        must(waiter.fd >= 500 && close(ends[0]) == 0);
        FILCH_SCOPE(s);
        must(filch_spawn(&s, race_to_wait, &waiter) == 0);
        wait_at_random(&dice);
        must(filch_close(waiter.fd) == 0 && filch_join(&s) == 0);
        must(waiter.result == -EBADF && close(ends[1]) == 0);
    }
    return 0;
}

Test(close, who_begins_to_wait_while_it_is_closed_comes_back_too)
{
    static const filch_config many[] = {{.workers = 2, .relief = FILCH_RELIEF_NONE},
                                        {.workers = 4, .relief = FILCH_RELIEF_NONE},
                                        {.model = FILCH_MODEL_11, .relief = FILCH_RELIEF_NONE}};
    FOR_EACH_CONFIG(config, many)
    must(filch_run(config, race, NULL) == 0);
}

/* ---- io_uring ---- */

static int keep(void *arg)
{
    static const struct call recv_call = {recv_, tcp_pair}, poll_call = {poll_in, tcp_pair};
    (void)arg;
    if (on_epoll())
        return 0;
    for (int i = 0; i < 2; i++) {
        struct waiter waiter = {.call = i ? &recv_call : &poll_call};
        int ends[2];
        char byte;
        tcp_pair(ends);
        waiter.fd = ends[0];
        FILCH_SCOPE(s);
        must(filch_spawn(&s, wait_at, &waiter) == 0);
        while (!atomic_load(&waiter.begun))
            must(filch_sleep(FILCH_USEC(100)) == 0);
        must(filch_sleep(FILCH_MSEC(5)) == 0);
        must(filch_close(ends[0]) == 0 && filch_sleep(FILCH_MSEC(5)) == 0);
        must(recv(ends[1], &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN); /* the file is open still */
        must(send(ends[1], "x", 1, 0) == 1 && filch_join(&s) == 0);
        must(waiter.result == (i ? 1 : POLLIN) && close(ends[1]) == 0);
    }
    return 0;
}

Test(close, whoever_waits_on_io_uring_keeps_the_file)
{
    without_reliefs(keep);
}

/* ---- what has begun is with the file that had the number then ---- */

struct handover {
    int before[2], after[2];
    bool begun;
    int received;
    char bytes[8];
};

static int receive_before(void *arg)
{
    struct handover *it = arg;
    it->begun = true;
    it->received = (int)filch_recv(it->before[0], it->bytes, sizeof it->bytes, 0);
    return 0;
}

static int close_and_make(void *arg)
{
    for (int i = 0; i < 100; i++) {
        struct handover it = {0};
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, it.before) == 0);
        FILCH_SCOPE(s);
        must(filch_spawn(&s, receive_before, &it) == 0);
        while (!it.begun)
            filch_yield();
        if (i % 3 == 1)
            filch_yield();
        must(filch_shutdown(it.before[0], SHUT_RDWR) == 0 && filch_close(it.before[0]) == 0);
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, it.after) == 0);
        must(send(it.after[1], "after", 5, 0) == 5);
        must(filch_join(&s) == 0);
        must(it.received == 0 || (on_epoll() && it.received == -EBADF));
        must(recv(it.after[0], it.bytes, sizeof it.bytes, MSG_DONTWAIT) == 5);
        must(close(it.before[1]) == 0 && close(it.after[0]) == 0 && close(it.after[1]) == 0);
    }
    (void)arg;
    return 0;
}

static int several_close_and_make(void *arg)
{
    FILCH_SCOPE(s);
    for (int i = 0; i < 8; i++)
        must(filch_spawn(&s, close_and_make, arg) == 0);
    return filch_join(&s);
}

static int write_before(void *arg)
{
    struct handover *it = arg;
    it->begun = true;
    it->received = (int)filch_write(it->before[1], "before", 6);
    return 0;
}

static int close_and_open(void *arg)
{
    for (int i = 0; i < 100; i++) {
        struct handover it = {0};
        must(pipe(it.before) == 0);
        FILCH_SCOPE(s);
        must(filch_spawn(&s, write_before, &it) == 0);
        while (!it.begun)
            filch_yield();
        must(filch_close(it.before[1]) == 0);
        must(pipe(it.after) == 0);
        must(filch_join(&s) == 0 && it.received == 6);
        must(read(it.before[0], it.bytes, sizeof it.bytes) == 6 && read(it.before[0], it.bytes, 1) == 0);
        must(close(it.before[0]) == 0 && close(it.after[0]) == 0 && close(it.after[1]) == 0);
    }
    (void)arg;
    return 0;
}

/* With one worker, who has begun a call has come as far as it gets before anybody else runs. */
Test(close, what_has_begun_goes_to_the_file_that_had_the_number)
{
    filch_fn *const laws[] = {close_and_make, several_close_and_make, close_and_open};
    static const filch_config alone[] = {{.workers = 1, .relief = FILCH_RELIEF_NONE}, {.model = FILCH_MODEL_N1}};
    FOR_EACH_CONFIG(config, alone)
    for (int law = 0; law < 3; law++)
        must(filch_run(config, laws[law], NULL) == 0);
}
