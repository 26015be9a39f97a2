/* SPDX-License-Identifier: MIT */
/* The laws of a cancelled blocking call, one by one: it returns, what it pointed to is the caller's, and what comes afterwards is still there for others.
 *
 * Each call waits for something that does not come. It is cancelled, its frame dies, another stands in its place, and only then comes what it waited for. What is not
 * tested here: that both come at once, a million times, which is stress_io. */
#include "api.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { FRAME = 2048 };

static struct world {
    int empty[2], full[2], stream[2], full_stream[2], listener, crowded, crowded_unix, file, gate[2], life[2];
    struct sockaddr_in address;
    struct sockaddr_un path;
    char folder[32], fifos[2][48]; /* for a reader, for a writer */
    pid_t child;
    _Atomic(uint32_t) word;
    atomic_int waiting, cut, later;
} world;

/* ---- the calls ---- */

#define Waits __attribute__((noinline)) static int /* a frame of its own */

Waits read_(void)
{
    char buf[FRAME];
    return (int)filch_read(world.empty[0], buf, sizeof buf);
}

Waits readv_(void)
{
    char buf[FRAME];
    struct iovec parts[] = {{buf, 10}, {buf + 10, sizeof buf - 10}};
    return (int)filch_readv(world.empty[0], parts, 2);
}

Waits read_all(void)
{
    char buf[FRAME];
    size_t done = 7;
    int r = filch_read_all(world.empty[0], buf, sizeof buf, &done);
    must(done == 0);
    return r;
}

Waits write_(void)
{
    char buf[FRAME] = "x";
    return (int)filch_write(world.full[1], buf, sizeof buf);
}

Waits writev_(void)
{
    char buf[FRAME] = "x";
    struct iovec parts[] = {{buf, 10}, {buf + 10, sizeof buf - 10}};
    return (int)filch_writev(world.full[1], parts, 2);
}

Waits write_all(void)
{
    char buf[FRAME] = "x";
    size_t done = 7;
    int r = filch_write_all(world.full[1], buf, sizeof buf, &done);
    must(done == 0);
    return r;
}

Waits recv_(void)
{
    char buf[FRAME];
    return (int)filch_recv(world.stream[0], buf, sizeof buf, 0);
}

Waits recv_wholly(void)
{
    char buf[FRAME];
    return (int)filch_recv(world.stream[0], buf, sizeof buf, MSG_WAITALL);
}

Waits recvfrom_(void)
{
    char buf[FRAME];
    struct sockaddr_storage who;
    socklen_t len = sizeof who;
    return (int)filch_recvfrom(world.stream[0], buf, sizeof buf, 0, (struct sockaddr *)&who, &len);
}

Waits recvmsg_(void)
{
    char buf[FRAME], control[256];
    struct sockaddr_storage who;
    struct iovec part = {buf, sizeof buf};
    struct msghdr msg = {.msg_name = &who,
                         .msg_namelen = sizeof who,
                         .msg_iov = &part,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof control};
    return (int)filch_recvmsg(world.stream[0], &msg, 0);
}

Waits send_(void)
{
    char buf[FRAME] = "x";
    return (int)filch_send(world.full_stream[1], buf, sizeof buf, 0);
}

Waits sendmsg_(void)
{
    char buf[FRAME] = "x";
    struct iovec part = {buf, sizeof buf};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    return (int)filch_sendmsg(world.full_stream[1], &msg, 0);
}

Waits send_all(void)
{
    char buf[FRAME] = "x";
    size_t done = 7;
    int r = filch_send_all(world.full_stream[1], buf, sizeof buf, 0, &done);
    must(done == 0);
    return r;
}

Waits sendfile_(void)
{
    off_t offset = 0;
    int r = (int)filch_sendfile(world.full_stream[1], world.file, &offset, FRAME);
    must(offset == 0);
    return r;
}

Waits splice_in(void)
{
    return (int)filch_splice(world.empty[0], NULL, world.full_stream[1], NULL, FRAME, 0);
}

Waits splice_out(void)
{
    return (int)filch_splice(world.stream[0], NULL, world.full[1], NULL, FRAME, 0);
}

Waits poll_in(void)
{
    return filch_poll(world.stream[0], POLLIN);
}

Waits poll_out(void)
{
    return filch_poll(world.full[1], POLLOUT);
}

Waits accept_(void)
{
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;
    return filch_accept(world.listener, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
}

static int connect_to(const void *address, socklen_t len, int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), r = filch_connect(fd, address, len);
    must(close(fd) == 0);
    return r;
}

Waits connect_(void)
{
    struct sockaddr_in address = world.address;
    return connect_to(&address, sizeof address, AF_INET);
}

Waits connect_unix(void)
{
    struct sockaddr_un path = world.path;
    return connect_to(&path, sizeof path, AF_UNIX);
}

static int open_fifo(int which, int flags)
{
    char path[sizeof world.fifos[0]];
    memcpy(path, world.fifos[which], sizeof path);
    return filch_open(path, flags | O_CLOEXEC, 0);
}

Waits open_reader(void)
{
    return open_fifo(0, O_RDONLY);
}

Waits open_writer(void)
{
    return open_fifo(1, O_WRONLY);
}

Waits waitid_(void)
{
    siginfo_t info;
    return filch_waitid(P_PID, (id_t)world.child, &info, WEXITED);
}

Waits waitid_any_change(void)
{
    siginfo_t info;
    return filch_waitid(P_PID, (id_t)world.child, &info, WEXITED | WSTOPPED);
}

Waits futex_(void)
{
    return filch_futex_wait(&world.word, 0, false);
}

static int never(void *arg)
{
    *(char *)arg = 1;
    must(!"a job that was withdrawn ran");
    return 0;
}

Waits offload_(void)
{
    char ran = 0;
    return filch_blocking(never, &ran);
}

Waits getaddrinfo_(void)
{
    char node[] = "127.0.0.1", service[] = "80";
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *list = NULL;
    int r = filch_getaddrinfo(node, service, &hints, &list);
    must(!list);
    return r;
}

Waits fsync_(void)
{
    return filch_fsync(world.file); /* in line for a helper; with io_uring it doesn't wait */
}

static int (*const every_call[])(void) = {
    read_,       readv_,   read_all,          write_,    writev_,  write_all,    recv_,   recv_wholly, recvfrom_,    recvmsg_,
    send_,       sendmsg_, send_all,          sendfile_, poll_in,  poll_out,     accept_, connect_,    connect_unix, open_reader,
    open_writer, waitid_,  waitid_any_change, futex_,    offload_, getaddrinfo_, fsync_,  splice_in,   splice_out,
};
enum { CALLS = LENGTH(every_call) };

/* ---- the world ---- */

/* A child that lives as long as this process at most. */
static void start_child(void)
{
    char *argv[] = {"cat", NULL};
    posix_spawn_file_actions_t actions;
    must(pipe2(world.life, O_CLOEXEC) == 0 && posix_spawn_file_actions_init(&actions) == 0);
    must(posix_spawn_file_actions_adddup2(&actions, world.life[0], 0) == 0);
    must(posix_spawnp(&world.child, "cat", &actions, NULL, argv, environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
}

static void end_child(void)
{
    must(kill(world.child, SIGKILL) == 0 && waitpid(world.child, NULL, 0) == world.child);
}

static int fill(int fd)
{
    char some[4096] = {0};
    ssize_t r;
    int sum = 0, flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    while ((r = write(fd, some, sizeof some)) > 0)
        sum += (int)r;
    while (write(fd, some, 1) == 1)
        sum++;
    fcntl(fd, F_SETFL, flags);
    return sum;
}

static int listening(int family, void *address, socklen_t len, int backlog)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(bind(fd, address, len) == 0 && listen(fd, backlog) == 0 && getsockname(fd, address, &len) == 0);
    return fd;
}

/* Until whoever comes next waits; the backlog is served when both ends are closed. */
static void crowd(int family, const void *address, socklen_t len)
{
    for (int i = 0; i < 4; i++) {
        int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(fd, address, len);
        close(fd);
    }
}

static void world_open(void)
{
    world = (struct world){.address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
                           .path.sun_family = AF_UNIX,
                           .folder = "/tmp/filch-api-XXXXXX"};
    struct sockaddr_in anywhere = world.address;
    must(mkdtemp(world.folder));
    for (int i = 0; i < 2; i++) {
        snprintf(world.fifos[i], sizeof world.fifos[i], "%s/fifo%d", world.folder, i);
        must(mkfifo(world.fifos[i], 0600) == 0);
    }
    snprintf(world.path.sun_path, sizeof world.path.sun_path, "%s/socket", world.folder);
    must(pipe2(world.empty, O_CLOEXEC) == 0 && pipe2(world.full, O_CLOEXEC) == 0 && pipe2(world.gate, O_CLOEXEC) == 0);
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, world.stream) == 0);
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, world.full_stream) == 0);
    world.listener = listening(AF_INET, &anywhere, sizeof anywhere, 5);
    world.crowded = listening(AF_INET, &world.address, sizeof world.address, 0);
    world.crowded_unix = listening(AF_UNIX, &world.path, sizeof world.path, 0);
    crowd(AF_INET, &world.address, sizeof world.address);
    crowd(AF_UNIX, &world.path, sizeof world.path);
    world.file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char some[FRAME] = "x";
    must(world.file >= 0 && write(world.file, some, sizeof some) == sizeof some);
    start_child();
}

static ssize_t drain(int fd)
{
    char some[4096];
    ssize_t r, sum = 0;
    while ((r = read(fd, some, sizeof some)) > 0)
        sum += r;
    return sum;
}

static void world_close(void)
{
    int fds[] = {world.empty[0],       world.empty[1],       world.full[0],  world.full[1], world.stream[0],    world.stream[1],
                 world.full_stream[0], world.full_stream[1], world.listener, world.crowded, world.crowded_unix, world.file,
                 world.gate[0],        world.gate[1],        world.life[0],  world.life[1]};
    for (size_t i = 0; i < LENGTH(fds); i++)
        must(close(fds[i]) == 0);
    must(unlink(world.fifos[0]) == 0 && unlink(world.fifos[1]) == 0 && unlink(world.path.sun_path) == 0 && rmdir(world.folder) == 0);
}

/* ---- what comes later ---- */

/* Where the dead frame was. */
__attribute__((noinline)) static void stand_there(void)
{
    volatile unsigned char canary[8192];
    for (size_t i = 0; i < sizeof canary; i++)
        canary[i] = 0xc5;
    atomic_fetch_add(&world.cut, 1);
    while (!atomic_load(&world.later))
        filch_yield();
    for (size_t i = 0; i < sizeof canary; i++)
        must(canary[i] == 0xc5);
}

static int cut_short(void *arg)
{
    int (*call)(void) = *(int (*const *)(void))arg;
    atomic_fetch_add(&world.waiting, 1);
    int r = call();
    stand_there();
    must((r == 0 && call == fsync_) || (r == filch_cancelled() && (r == -ECANCELED || r == -ETIMEDOUT)));
    return 0;
}

/* What they waited for comes now, and all of it is there. */
static void come(int full, int full_stream)
{
    char buf[100];
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    must(write(world.empty[1], "hello", 5) == 5 && send(world.stream[1], "hello", 5, 0) == 5);
    must(getsockname(world.listener, (struct sockaddr *)&address, &len) == 0);
    must(connect(connection, (struct sockaddr *)&address, len) == 0);
    must(kill(world.child, SIGKILL) == 0);
    atomic_store(&world.word, 1);
    usleep(10000);
    must(read(world.empty[0], buf, sizeof buf) == 5 && recv(world.stream[0], buf, sizeof buf, 0) == 5);
    must((fd = accept(world.listener, NULL, NULL)) >= 0 && close(fd) == 0 && close(connection) == 0);
    must(waitpid(world.child, NULL, 0) == world.child);
    must(fcntl(world.full[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(world.full_stream[0], F_SETFL, O_NONBLOCK) == 0);
    must(drain(world.full[0]) == full && drain(world.full_stream[0]) == full_stream);
    must(open(world.fifos[0], O_WRONLY | O_NONBLOCK | O_CLOEXEC) == -1 && errno == ENXIO); /* nobody has it open */
    must((fd = open(world.fifos[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC)) >= 0 && read(fd, buf, 1) == 0 && close(fd) == 0);
}

static int hold_the_helper(void *arg)
{
    char byte;
    atomic_fetch_add(&world.waiting, 1);
    must(read(world.gate[0], &byte, 1) == 1);
    return *(int *)arg;
}

static int offload_the_gate(void *arg)
{
    return filch_blocking(hold_the_helper, arg);
}

struct way {
    bool thread, deadline;
};

static void *cancel(void *scope)
{
    filch_cancel(scope);
    return NULL;
}

static void wait_and_cancel(const struct way *way, int full, int full_stream)
{
    FILCH_SCOPE_UNTIL(s, way->deadline ? filch_after(FILCH_MSEC(30)) : FILCH_NEVER);
    for (size_t i = 0; i < CALLS; i++)
        must(filch_spawn(&s, cut_short, (void *)&every_call[i]) == 0);
    while (atomic_load(&world.waiting) < CALLS + 1)
        filch_yield();
    filch_sleep(FILCH_MSEC(15)); /* all of them are parked by now, or late */
    if (way->thread)
        thread_join(thread_start(cancel, &s));
    else if (!way->deadline)
        filch_cancel(&s);
    for (int64_t end = filch_after(FILCH_SEC(10)); atomic_load(&world.cut) < CALLS; filch_yield())
        must(filch_now() < end);
    come(full, full_stream);
    atomic_store(&world.later, 1);
    must(filch_join(&s) == 0);
}

static int all_are_cut(void *arg)
{
    int answer = 42, full = fill(world.full[1]), full_stream = fill(world.full_stream[1]);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, offload_the_gate, &answer) == 0);
    while (atomic_load(&world.waiting) == 0)
        must(filch_sleep(FILCH_USEC(100)) == 0);
    wait_and_cancel(arg, full, full_stream);
    must(write(world.gate[1], "x", 1) == 1);
    return filch_join(&s);
}

static void everybody(struct way way)
{
    signal(SIGPIPE, SIG_IGN);
    FOR_EACH_CONFIG(config, every_config)
    {
        filch_config one_helper = *config;
        int before = descriptors();
        one_helper.helpers = 1;
        world_open();
        must(filch_run(&one_helper, all_are_cut, &way) == 0);
        world_close();
        must(descriptors() == before);
    }
}

Test(io_cancel, a_task_that_cancels_reaches_every_call_and_what_comes_later_stays)
{
    everybody((struct way){.thread = false});
}

Test(io_cancel, a_thread_that_cancels_reaches_every_call_and_what_comes_later_stays)
{
    everybody((struct way){.thread = true});
}

Test(io_cancel, a_deadline_reaches_every_call_and_what_comes_later_stays)
{
    everybody((struct way){.deadline = true});
}

static int called_in_vain(void *arg)
{
    FILCH_SCOPE(s);
    filch_cancel(&s);
    (void)arg;
    int before = descriptors();
    for (size_t i = 0; i < CALLS; i++)
        must(every_call[i]() == -ECANCELED);
    must(descriptors() == before);
    return 0;
}

Test(io_cancel, in_a_cancelled_scope_nothing_begins)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        world_open();
        fill(world.full[1]);
        fill(world.full_stream[1]);
        must(filch_run(config, called_in_vain, NULL) == 0);
        end_child();
        world_close();
    }
}

static int nobody_at_the_other_end(void *arg)
{
    int before = descriptors();
    (void)arg;
    for (int i = 0; i < 2; i++) {
        FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_MSEC(15)));
        must((i ? open_writer() : open_reader()) == -ETIMEDOUT);
    }
    must(descriptors() == before);
    return 0;
}

Test(io_cancel, a_fifo_that_nobody_opens_at_the_other_end_is_closed_again)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        world_open();
        must(filch_run(config, nobody_at_the_other_end, NULL) == 0);
        end_child();
        world_close();
    }
}

/* ---- a thread that cancels does nothing else ---- */

static struct {
    int broken[2], empty[2];
    _Atomic(filch_scope *) target;
    atomic_bool over;
} beside;

static int write_in_vain(void *arg)
{
    (void)arg;
    while (!atomic_load(&beside.over)) {
        must(filch_write(beside.broken[1], "x", 1) == -EPIPE);
        filch_yield();
    }
    return 0;
}

static int wait_to_be_cancelled(void *arg)
{
    char byte;
    (void)arg;
    for (int i = 0; i < 100; i++) {
        FILCH_SCOPE(s);
        atomic_store(&beside.target, &s);
        must(filch_read(beside.empty[0], &byte, 1) == -ECANCELED);
        while (atomic_load(&beside.target))
            filch_yield();
    }
    atomic_store(&beside.over, true);
    return 0;
}

static int some_wait_and_some_write(void *arg)
{
    FILCH_SCOPE(s);
    must(filch_spawn(&s, wait_to_be_cancelled, arg) == 0);
    for (int i = 0; i < 5; i++)
        must(filch_spawn(&s, write_in_vain, arg) == 0);
    return filch_join(&s);
}

static void *cancel_them(void *arg)
{
    while (!atomic_load(&beside.over)) {
        filch_scope *scope = atomic_load(&beside.target);
        if (scope) {
            filch_cancel(scope);
            atomic_store(&beside.target, NULL);
        }
        usleep(20);
    }
    return arg;
}

static int cancelled_beside_writers(void)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        must(pipe(beside.broken) == 0 && pipe(beside.empty) == 0 && close(beside.broken[0]) == 0);
        atomic_store(&beside.over, false);
        pthread_t thread = thread_start(cancel_them, NULL);
        must(filch_run(config, some_wait_and_some_write, NULL) == 0);
        thread_join(thread);
        must(close(beside.broken[1]) == 0 && close(beside.empty[0]) == 0 && close(beside.empty[1]) == 0);
    }
    return 0;
}

/* The write of a task would end the process there, by SIGPIPE. */
Test(io_cancel, a_thread_that_cancels_carries_out_nothing_of_the_tasks, .timeout = 30)
{
    must(in_child(cancelled_beside_writers) == 0);
}
