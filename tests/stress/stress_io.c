/* SPDX-License-Identifier: MIT */
/* stress_io [SEED [SECONDS [KIND]]]: every blocking call, cut short at random moments.
 *
 * Rounds of a runtime with 1, 2 or 8 workers or with a kernel thread a task, on io_uring and on epoll. Players open a scope that is cancelled soon, by a deadline of at
 * most 200 us, by another task or by a plain thread, and make a call in it, whose buffers, addresses and vectors lie in a frame that dies at once. A plain thread feeds and
 * drains what they wait for, at random moments, and now and then leaves everything full or empty for a while. KIND: only calls whose name begins so.
 *
 * Laws: a call returns what it is allowed to, and an error of a cancel only in a cancelled scope; after it has returned nobody writes to its frame. Streams carry
 * numbered bytes, which are checked as they come: none is lost, doubled or out of place, whether it was moved by a call that ended well or by one that was cut short.
 * A descriptor that was made is returned: there are as many after a round as before. Who was waited for and reported dead is gone, all others are still there. A function
 * that was offloaded ran once, or not at all if the call says so. Nobody waits for ever. */
#include "targets.h"

#include "base/atomic.h"
#include "machine/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { PLAYERS = 16, ROUND = 150 /* ms */, PERIOD = 1 << 16 /* of the content */, FRAME = 4096, CHILDREN = 16, FD_MAX = 8 };

static unsigned char content[2 * PERIOD];
static char folder[] = "/tmp/filch-stress-XXXXXX";
static bool zero_copy;            /* in this round; then who was cut short may have to wait until the peer has taken what was sent */
static _Atomic(bool) over, ended; /* no new calls; all have returned */
static _Atomic(uint32_t) favour;  /* 0 nobody, 1 who puts, 2 who takes */

/* ---- streams ---- */

/* One side of a stream: a descriptor and how many bytes have gone through it. Who holds the lock is alone there. */
struct side {
    filch_mutex lock;
    int fd, file; /* file: the content, to send from */
    bool socket;
    uint64_t at;
};

/* What is put in at one side comes out at the other; of a chain, by way of a splice from the one in the middle to the next. */
static struct stream {
    struct side in, middle, next, out;
} streams[7];
enum { PIPES = 2, UNIX = 4, TCP = 5, STREAMS = sizeof streams / sizeof *streams }; /* up to there: pipes, Unix sockets, TCP, then chains */

static unsigned char *from(const struct side *side)
{
    return content + side->at % PERIOD;
}

static size_t some(uint64_t *state, size_t most)
{
    size_t n = 1 + dice(state) % ((size_t)1 << dice(state) % 17);
    return n < most ? n : most;
}

static void note_taken(struct side *side, const void *buf, int64_t n)
{
    fl_panic_if(n > 0 && memcmp(buf, from(side), (size_t)n) != 0, "what was put in does not come out, at byte %llu of fd %d",
                (unsigned long long)side->at, side->fd);
    side->at += n > 0 ? (uint64_t)n : 0;
}

static int64_t of_all(int r, size_t done, int64_t *ret_moved)
{
    *ret_moved = (int64_t)done;
    return r;
}

static FL_NOINLINE int64_t take_from(struct side *side, uint64_t *state)
{
    unsigned char buf[FRAME];
    size_t n = some(state, sizeof buf), half = n / 2, done = 0;
    struct iovec parts[2] = {{buf, half}, {buf + half, n - half}};
    struct sockaddr_storage who;
    socklen_t len = sizeof who;
    struct msghdr msg = {.msg_name = &who, .msg_namelen = len, .msg_iov = parts, .msg_iovlen = 2};
    int64_t r, moved = -1;
    switch (dice(state) % (side->socket ? 9 : 3)) {
    case 0:
        r = filch_read(side->fd, buf, n);
        break;
    case 1:
        r = filch_readv(side->fd, parts, 2);
        break;
    case 2:
        r = filch_read_all(side->fd, buf, n, &done);
        r = of_all((int)r, done, &moved);
        break;
    case 3:
        r = filch_recv(side->fd, buf, n, 0);
        break;
    case 4:
        r = filch_recv(side->fd, buf, n, MSG_WAITALL);
        break;
    case 5:
        r = filch_recv_all(side->fd, buf, n, 0, &done);
        r = of_all((int)r, done, &moved);
        break;
    case 6:
        r = filch_recvfrom(side->fd, buf, n, 0, (struct sockaddr *)&who, &len);
        break;
    default:
        r = filch_recvmsg(side->fd, &msg, dice(state) % 2 ? MSG_WAITALL : 0);
    }
    note_taken(side, buf, moved < 0 ? r : moved);
    return r;
}

static FL_NOINLINE int64_t send_file(struct side *side, size_t n, uint64_t *state)
{
    off_t at = (off_t)(side->at % PERIOD), before = at;
    n = n < PERIOD - (size_t)at ? n : PERIOD - (size_t)at;
    bool given = dice(state) % 2;
    fl_panic_if(lseek(side->file, at, SEEK_SET) != at, "seek");
    int64_t r = filch_sendfile(side->fd, side->file, given ? &at : NULL, n);
    at = given ? at : lseek(side->file, 0, SEEK_CUR);
    fl_panic_if(at - before != (r > 0 ? r : 0), "sendfile returned %lld and moved by %lld", (long long)r, (long long)(at - before));
    return r;
}

static FL_NOINLINE int64_t put_into(struct side *side, uint64_t *state)
{
    unsigned char buf[FRAME];
    size_t n = some(state, sizeof buf), half = n / 2, done = 0;
    struct iovec parts[2] = {{buf, half}, {buf + half, n - half}};
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};
    int64_t r, moved = -1;
    memcpy(buf, from(side), n);
    switch (dice(state) % (side->socket ? 9 : 3)) {
    case 0:
        r = filch_write(side->fd, buf, n);
        break;
    case 1:
        r = filch_writev(side->fd, parts, 2);
        break;
    case 2:
        r = filch_write_all(side->fd, buf, n, &done);
        r = of_all((int)r, done, &moved);
        break;
    case 3:
        r = filch_send(side->fd, buf, n, 0);
        break;
    case 4:
        r = filch_send(side->fd, from(side), some(state, PERIOD), 0);
        break;
    case 5:
        r = filch_send_all(side->fd, buf, n, 0, &done);
        r = of_all((int)r, done, &moved);
        break;
    case 6:
        r = filch_send(side->fd, buf, n, zero_copy ? MSG_ZEROCOPY : 0);
        break;
    case 7:
        r = filch_sendmsg(side->fd, &msg, 0);
        break;
    default:
        r = send_file(side, some(state, PERIOD), state);
    }
    moved = moved < 0 ? r : moved;
    side->at += moved > 0 ? (uint64_t)moved : 0;
    return r;
}

static int64_t take(uint64_t *state)
{
    struct side *side = &streams[dice(state) % STREAMS].out;
    if (load_relaxed(&favour) == 1 || !filch_mutex_trylock(&side->lock)) /* hint: who is favoured for now */
        return 0;
    int64_t r = take_from(side, state);
    filch_mutex_unlock(&side->lock);
    return r;
}

static int64_t put(uint64_t *state)
{
    struct side *side = &streams[dice(state) % STREAMS].in;
    if (load_relaxed(&favour) == 2 || !filch_mutex_trylock(&side->lock)) /* hint: as above */
        return 0;
    int64_t r = put_into(side, state);
    filch_mutex_unlock(&side->lock);
    return r;
}

static int64_t splice_(uint64_t *state)
{
    struct stream *stream = &streams[TCP + dice(state) % (STREAMS - TCP)];
    if (!filch_mutex_trylock(&stream->middle.lock))
        return 0;
    int64_t r = filch_splice(stream->middle.fd, NULL, stream->next.fd, NULL, some(state, PERIOD), 0);
    stream->middle.at += r > 0 ? (uint64_t)r : 0;
    filch_mutex_unlock(&stream->middle.lock);
    return r;
}

static int64_t poll_(uint64_t *state)
{
    struct stream *stream = &streams[dice(state) % STREAMS];
    int events = dice(state) % 2 ? POLLIN : POLLOUT, r = filch_poll(events == POLLIN ? stream->out.fd : stream->in.fd, events);
    fl_panic_if(r >= 0 && (r & events) == 0, "poll returned %d", r);
    return r;
}

/* ---- connections and descriptors that are handed over ---- */

static int listener, narrow, narrow_unix, envelopes[2];
static struct sockaddr_in address, narrow_address;
static struct sockaddr_un narrow_path = {.sun_family = AF_UNIX};
static _Atomic(uint64_t) connected, accepted, tried, succeeded, served, sent, received;

static FL_NOINLINE int64_t accept_(uint64_t *state)
{
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    (void)state;
    int fd = filch_accept(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
    if (fd < 0)
        return fd;
    fl_panic_if(peer.sin_family != AF_INET, "the peer's address is not there");
    add_relaxed(&accepted, 1); /* counter */
    fl_panic_if(filch_close(fd) != 0, "close");
    return 0;
}

/* To a listener with hardly any room, which is served seldom. */
static FL_NOINLINE int64_t connect_(uint64_t *state)
{
    bool unix_ = dice(state) % 2;
    struct sockaddr_un path = narrow_path;
    struct sockaddr_in place = narrow_address;
    int fd = socket(unix_ ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fl_panic_if(fd < 0, "socket");
    add_relaxed(&tried, 1); /* counter */
    int r = unix_ ? filch_connect(fd, (struct sockaddr *)&path, sizeof path) : filch_connect(fd, (struct sockaddr *)&place, sizeof place);
    if (r == 0) {
        struct sockaddr_storage peer;
        socklen_t size = sizeof peer;
        fl_panic_if(getpeername(fd, (struct sockaddr *)&peer, &size) < 0, "it is not connected");
        add_relaxed(&succeeded, 1); /* counter */
    }
    fl_panic_if(close(fd) != 0, "close");
    return r;
}

/* A message with a descriptor. */
static FL_NOINLINE int64_t unwrap(uint64_t *state)
{
    char byte = 0;
    union {
        struct cmsghdr first;
        char room[CMSG_SPACE(sizeof(int) * FD_MAX)];
    } control;
    struct iovec part = {&byte, 1};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    (void)state;
    ssize_t r = filch_recvmsg(envelopes[0], &msg, MSG_CMSG_CLOEXEC);
    if (r < 0)
        return r;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    fl_panic_if(r != 1 || byte != 'e' || !c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)), "an empty envelope");
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    fl_panic_if(close(fd) != 0, "close");
    add_relaxed(&received, 1); /* counter */
    return 0;
}

static void wrap(void)
{
    char byte = 'e';
    union {
        struct cmsghdr first;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.first = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}};
    struct iovec part = {&byte, 1};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    memcpy(CMSG_DATA(&control.first), &listener, sizeof listener);
    if (sendmsg(envelopes[1], &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == 1)
        add_relaxed(&sent, 1); /* counter */
}

/* ---- files ---- */

static char data_path[64], fifo_path[64];
static int data_fd, direct_fd;

static FL_NOINLINE int64_t fifo(uint64_t *state)
{
    char path[64];
    memcpy(path, fifo_path, sizeof path);
    int fd = filch_open(path, (dice(state) % 2 ? O_RDONLY : O_WRONLY) | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    fl_panic_if(filch_close(fd) != 0, "close");
    return 0;
}

static FL_NOINLINE int64_t direct(uint64_t *state)
{
    _Alignas(4096) unsigned char buf[FRAME];
    off_t at = (off_t)(dice(state) % (PERIOD / FRAME) * FRAME);
    ssize_t r = filch_pread(direct_fd, buf, sizeof buf, at);
    fl_panic_if(r > 0 && (r != FRAME || memcmp(buf, content + at, FRAME) != 0), "pread: %zd", r);
    return r;
}

static FL_NOINLINE int64_t sync_(uint64_t *state)
{
    if (dice(state) % 8 != 0)
        return 0;
    off_t at = (off_t)(dice(state) % PERIOD);
    ssize_t r = filch_pwrite(data_fd, content + at, 100, at);
    fl_panic_if(r > 0 && r != 100, "pwrite: %zd", r);
    return r < 0 ? r : dice(state) % 2 ? filch_fsync(data_fd) : filch_fdatasync(data_fd);
}

static FL_NOINLINE int64_t stat_(uint64_t *state)
{
    struct statx stat;
    char path[64];
    (void)state;
    memcpy(path, data_path, sizeof path);
    int r = filch_statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &stat);
    fl_panic_if(r == 0 && stat.stx_size != 2 * PERIOD, "statx says %llu", (unsigned long long)stat.stx_size);
    return r;
}

/* ---- others ---- */

static struct child {
    filch_mutex lock;
    _Atomic(pid_t) pid; /* 0: none */
} children[CHILDREN];
static _Atomic(uint32_t) word;

static FL_NOINLINE int64_t wait_child(uint64_t *state)
{
    siginfo_t info;
    struct child *child = &children[dice(state) % CHILDREN];
    if (!filch_mutex_trylock(&child->lock))
        return 0;
    pid_t pid = load_relaxed(&child->pid); /* own: the lock */
    int r = pid ? filch_waitid(P_PID, (id_t)pid, &info, WEXITED) : 0;
    fl_panic_if(r == 0 && pid && info.si_pid != pid, "waitid tells of %d instead of %d", info.si_pid, pid);
    if (r == 0)
        store_relaxed(&child->pid, 0); /* own: the lock */
    filch_mutex_unlock(&child->lock);
    return r;
}

static FL_NOINLINE int64_t start_child(uint64_t *state)
{
    char *argv[] = {"sleep", dice(state) % 2 ? "0" : "0.02", NULL};
    struct child *child = &children[dice(state) % CHILDREN];
    if (dice(state) % 16 != 0 || !filch_mutex_trylock(&child->lock))
        return 0;
    pid_t pid = 0;
    int r = load_relaxed(&child->pid) ? 0 : filch_posix_spawnp(&pid, "sleep", argv, NULL, NULL); /* own: the lock */
    if (pid)
        store_relaxed(&child->pid, pid); /* own: the lock */
    fl_panic_if((r == 0) < (pid != 0), "a child although it failed");
    filch_mutex_unlock(&child->lock);
    return r;
}

static FL_NOINLINE int64_t futex_(uint64_t *state)
{
    (void)state;
    int r = filch_futex_wait(&word, load_relaxed(&word), false); /* hint: any value may be waited for */
    return r == -EAGAIN ? 0 : r;
}

struct job {
    int ran, pause;
};

static int ran(void *arg)
{
    struct job *job = arg;
    usleep((unsigned)job->pause);
    job->ran++;
    return 42;
}

static FL_NOINLINE int64_t offload(uint64_t *state)
{
    struct job job = {0, (int)(dice(state) % 100)};
    int r = filch_blocking(ran, &job);
    fl_panic_if(job.ran != (r == 42), "offload returned %d, and the function ran %d times", r, job.ran);
    return r;
}

static FL_NOINLINE int64_t resolve(uint64_t *state)
{
    char name[16] = "127.0.0.1";
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *list = NULL;
    if (dice(state) % 4 == 0) {
        strcpy(name, "localhost");
        hints.ai_flags = 0;
    }
    int r = filch_getaddrinfo(name, "80", &hints, &list);
    fl_panic_if((r == 0) != (list != NULL), "getaddrinfo returned %d", r);
    if (list)
        freeaddrinfo(list);
    return r;
}

static int64_t sleep_(uint64_t *state)
{
    return filch_sleep((int64_t)(dice(state) % 100000));
}

/* ---- players ---- */

static struct kind {
    const char *name;
    int64_t (*call)(uint64_t *state);
    _Atomic(uint64_t) done, cut;
} kinds[] = {
    {.name = "take", .call = take},      {.name = "take", .call = take},         {.name = "put", .call = put},
    {.name = "put", .call = put},        {.name = "splice", .call = splice_},    {.name = "poll", .call = poll_},
    {.name = "accept", .call = accept_}, {.name = "connect", .call = connect_},  {.name = "unwrap", .call = unwrap},
    {.name = "fifo", .call = fifo},      {.name = "direct", .call = direct},     {.name = "sync", .call = sync_},
    {.name = "stat", .call = stat_},     {.name = "waitid", .call = wait_child}, {.name = "spawn", .call = start_child},
    {.name = "futex", .call = futex_},   {.name = "offload", .call = offload},   {.name = "resolve", .call = resolve},
    {.name = "sleep", .call = sleep_},
};
enum { KINDS = sizeof kinds / sizeof *kinds };
static const char *only = "";

static void judge(struct kind *kind, int64_t r)
{
    add_relaxed(r < 0 ? &kind->cut : &kind->done, 1); /* counter */
    if (r >= 0)
        return;
    fl_panic_if(r != -ECANCELED && r != -ETIMEDOUT, "%s returned %lld", kind->name, (long long)r);
    for (int64_t since = fl_clock(); filch_cancelled() == 0;
         sched_yield()) /* a cancel travels: it may have reached the task before its scope */
        fl_panic_if(fl_clock() - since > FILCH_SEC(10), "%s returned %lld in a scope that was not cancelled", kind->name, (long long)r);
}

static int cancel_soon(void *arg)
{
    filch_scope *scope = arg;
    filch_sleep((int64_t)((uintptr_t)scope >> 6) % 100000);
    filch_cancel(scope);
    return 0;
}

static FL_NOINLINE void play_once(uint64_t *state)
{
    struct kind *kind = &kinds[dice(state) % KINDS];
    unsigned how = (unsigned)(dice(state) % 4);
    if (strncmp(kind->name, only, strlen(only)) != 0)
        return;
    FILCH_SCOPE_UNTIL(scope, how > 1 ? filch_after((int64_t)(dice(state) % 200000)) : FILCH_NEVER);
    struct target *target = how == 0 ? aim(&scope, state) : NULL;
    if (how == 0 ? !target : how == 1 ? filch_spawn(&scope, cancel_soon, &scope) != 0 : false)
        return;
    for (unsigned i = 0; i < 3 && filch_cancelled() == 0; i++) {
        int64_t r = kind->call(state);
        reuse_stack((unsigned)(dice(state) % 4));
        judge(kind, r);
    }
    unaim(target);
}

static int player(void *arg)
{
    uint64_t state = (uint64_t)(uintptr_t)arg;
    while (!load_relaxed(&over)) { /* hint: a turn more does no harm */
        play_once(&state);
        filch_yield();
    }
    return 0;
}

static int shooter(void *arg)
{
    uint64_t state = (uint64_t)(uintptr_t)arg;
    while (!load_relaxed(&over)) { /* hint: as above */
        shoot(&state);
        filch_sleep((int64_t)(dice(&state) % 50000));
    }
    return 0;
}

/* ---- outside ---- */

static void feed(struct side *side, uint64_t *state)
{
    if (!filch_mutex_trylock(&side->lock))
        return;
    struct pollfd one = {.fd = side->fd, .events = POLLOUT};
    if (poll(&one, 1, 0) > 0) { /* then there is room for one page in a pipe */
        size_t n = some(state, FRAME);
        ssize_t r = side->socket ? send(side->fd, from(side), n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(side->fd, from(side), n);
        side->at += r > 0 ? (uint64_t)r : 0;
    }
    filch_mutex_unlock(&side->lock);
}

static void drain(struct side *side, uint64_t *state)
{
    unsigned char buf[FRAME];
    if (!filch_mutex_trylock(&side->lock))
        return;
    struct pollfd one = {.fd = side->fd, .events = POLLIN};
    if (poll(&one, 1, 0) > 0)
        note_taken(side, buf, read(side->fd, buf, some(state, sizeof buf)));
    filch_mutex_unlock(&side->lock);
}

static void accept_some(int fd, _Atomic(uint64_t) *count)
{
    for (int new; (new = accept(fd, NULL, NULL)) >= 0; close(new))
        add_relaxed(count, 1); /* counter */
}

static void connect_one(void)
{
    if (load_relaxed(&connected) - load_relaxed(&accepted) > 50) /* counter */
        return;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        add_relaxed(&connected, 1); /* counter */
    close(fd);
}

static void change_word(void)
{
    add_relaxed(&word, 1); /* counter */
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void open_fifo(uint64_t *state)
{
    int fd = open(fifo_path, (dice(state) % 2 ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
}

static void *outsider(void *arg)
{
    uint64_t state = (uint64_t)(uintptr_t)arg;
    while (!load_relaxed(&over)) { /* hint: seen soon */
        switch (dice(&state) % 12) {
        case 0:
        case 1:
            feed(&streams[dice(&state) % STREAMS].in, &state);
            break;
        case 2:
        case 3:
            drain(&streams[dice(&state) % STREAMS].out, &state);
            break;
        case 4:
            connect_one();
            break;
        case 5:
            accept_some(dice(&state) % 2 ? narrow : narrow_unix, &served);
            break;
        case 6:
            wrap();
            break;
        case 7:
            change_word();
            break;
        case 8:
            open_fifo(&state);
            break;
        case 9:
            if (dice(&state) % 16 == 0)
                store_relaxed(&favour, (uint32_t)(dice(&state) % 3)); /* hint: seen soon */
            break;
        default:
            shoot(&state);
        }
        if (dice(&state) % 2)
            nanosleep(&(struct timespec){.tv_nsec = (long)(dice(&state) % 60000)}, NULL);
    }
    while (zero_copy && !load_relaxed(&ended)) /* hint: seen soon */
        drain(&streams[dice(&state) % STREAMS].out, &state);
    return NULL;
}

/* ---- rounds ---- */

static int listen_at(struct sockaddr_in *ret_address, int backlog)
{
    socklen_t size = sizeof *ret_address;
    *ret_address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fl_panic_if(bind(fd, (struct sockaddr *)ret_address, size) != 0 || listen(fd, backlog) != 0, "no listener");
    fl_panic_if(getsockname(fd, (struct sockaddr *)ret_address, &size) != 0, "no name");
    return fd;
}

static void pair(int domain, int ends[2])
{
    struct sockaddr_in place;
    int small = 4096;
    if (domain == AF_UNIX) {
        fl_panic_if(socketpair(domain, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0, "no pair");
    } else {
        int fd = listen_at(&place, 1);
        ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        fl_panic_if(connect(ends[1], (struct sockaddr *)&place, sizeof place) != 0 || (ends[0] = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) < 0,
                    "no pair");
        close(fd);
    }
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    setsockopt(ends[0], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
}

static void small_pipe(int ends[2])
{
    fl_panic_if(pipe2(ends, O_CLOEXEC) != 0, "no pipe");
    fcntl(ends[1], F_SETPIPE_SZ, 8192);
}

static void open_stream(struct stream *stream, int number)
{
    int ends[2];
    bool chain = number >= TCP;
    *stream = (struct stream){.in.socket = number >= PIPES && number < TCP};
    if (stream->in.socket)
        pair(number < UNIX ? AF_UNIX : AF_INET, ends);
    else
        small_pipe(ends);
    stream->in.fd = ends[1];
    stream->in.file = open(data_path, O_RDONLY | O_CLOEXEC);
    (chain ? &stream->middle : &stream->out)->fd = ends[0];
    stream->out.socket = stream->in.socket;
    if (chain) {
        stream->out.socket = number == STREAMS - 1;
        if (stream->out.socket)
            pair(AF_UNIX, ends);
        else
            small_pipe(ends);
        stream->next.fd = ends[1];
        stream->out.fd = ends[0];
    }
}

static void close_side(struct side *side)
{
    if (side->fd > 0)
        close(side->fd);
    if (side->file > 0)
        close(side->file);
}

/* What nobody has taken must still be there. */
static void close_stream(struct stream *stream, int number)
{
    unsigned char buf[FRAME];
    uint64_t hidden = 0;
    ssize_t r;
    close_side(&stream->in);
    close_side(&stream->next);
    while ((r = read(stream->out.fd, buf, sizeof buf)) > 0)
        note_taken(&stream->out, buf, r);
    fl_panic_if(number >= TCP && stream->out.at != stream->middle.at, "%llu bytes were spliced, %llu came",
                (unsigned long long)stream->middle.at, (unsigned long long)stream->out.at);
    while (number >= TCP && (r = read(stream->middle.fd, buf, sizeof buf)) > 0)
        hidden += (uint64_t)r;
    fl_panic_if(stream->out.at + hidden != stream->in.at, "stream %d: %llu bytes went in, %llu came out", number,
                (unsigned long long)stream->in.at, (unsigned long long)(stream->out.at + hidden));
    close_side(&stream->middle);
    close_side(&stream->out);
}

static void fill_full(void)
{
    for (int i = 0; i < 4; i++) { /* nobody gets in for a while */
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(fd, (struct sockaddr *)&narrow_address, sizeof narrow_address);
        close(fd);
    }
}

static void open_all(void)
{
    for (int i = 0; i < STREAMS; i++)
        open_stream(&streams[i], i);
    listener = listen_at(&address, 128);
    narrow = listen_at(&narrow_address, 0);
    narrow_unix = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(narrow_path.sun_path);
    fl_panic_if(bind(narrow_unix, (struct sockaddr *)&narrow_path, sizeof narrow_path) != 0 || listen(narrow_unix, 0) != 0, "no listener");
    fcntl(narrow, F_SETFL, O_NONBLOCK);
    fcntl(narrow_unix, F_SETFL, O_NONBLOCK);
    fill_full();
    fl_panic_if(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, envelopes) != 0, "no pair");
    data_fd = open(data_path, O_RDWR | O_CLOEXEC);
    direct_fd = open(data_path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (direct_fd < 0) /* a file system that has none */
        direct_fd = open(data_path, O_RDONLY | O_CLOEXEC);
    store_relaxed(&connected, 0); /* init: no thread yet */
    store_relaxed(&accepted, 0);  /* init: as above */
}

static void reap_children(void)
{
    for (int i = 0; i < CHILDREN; i++) {
        pid_t pid = exchange_relaxed(&children[i].pid, 0); /* own: no thread is left */
        fl_panic_if(pid && waitpid(pid, NULL, 0) != pid, "a child was reaped behind our back");
    }
    fl_panic_if(waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD, "a child that nobody was told of");
}

static void close_all(void)
{
    for (int i = 0; i < STREAMS; i++)
        close_stream(&streams[i], i);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    accept_some(listener, &accepted);
    accept_some(narrow, &served);
    accept_some(narrow_unix, &served);
    close(listener);
    close(narrow);
    close(narrow_unix);
    close(envelopes[0]);
    close(envelopes[1]);
    close(data_fd);
    close(direct_fd);
    reap_children();
    fl_panic_if(load_relaxed(&connected) != load_relaxed(&accepted), "%llu connections were made, %llu accepted", /* counter */
                (unsigned long long)load_relaxed(&connected), (unsigned long long)load_relaxed(&accepted));       /* counter */
}

static int descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void end(filch_runtime *runtime, uint64_t *state)
{
    int r = -ETIMEDOUT;
    for (int turn = 0; r == -ETIMEDOUT && turn < 10; turn++)
        r = filch_stop(runtime, filch_after(FILCH_MSEC(dice(state) % 2 ? 0 : 20)));
    fl_panic_if(r != 0, "stop: %d: somebody waits for ever", r);
}

static void play(uint64_t *state)
{
    static const unsigned workers[] = {1, 2, 8, 0};
    int before = descriptors();
    unsigned count = workers[dice(state) % 4];
    filch_config config = {.workers = count,
                           .model = count ? FILCH_MODEL_MN : FILCH_MODEL_11,
                           .io = dice(state) % 2 ? FILCH_IO_AUTO : FILCH_IO_EPOLL,
                           .helpers = dice(state) % 2 ? 2 : 0};
    filch_runtime *runtime;
    pthread_t thread;
    open_all();
    zero_copy = dice(state) % 3 == 0;
    store_relaxed(&over, false);  /* init: no thread yet */
    store_relaxed(&ended, false); /* init: as above */
    fl_panic_if(filch_start(&config, &runtime) != 0, "start");
    pthread_create(&thread, NULL, outsider, (void *)(uintptr_t)child_seed(state));
    for (int i = 0; i < PLAYERS; i++)
        fl_panic_if(filch_submit(runtime, player, (void *)(uintptr_t)child_seed(state)) != 0, "submit");
    fl_panic_if(filch_submit(runtime, shooter, (void *)(uintptr_t)child_seed(state)) != 0, "submit");
    nanosleep(&(struct timespec){.tv_nsec = ROUND * 1000000L}, NULL);
    store_relaxed(&over, true); /* hint: seen soon */
    end(runtime, state);
    store_relaxed(&ended, true); /* hint: seen soon */
    pthread_join(thread, NULL);
    close_all();
    int after = descriptors();
    fl_panic_if(after != before, "%d descriptors before, %d after a round with %u workers on %s", before, after, count,
                config.io == FILCH_IO_EPOLL ? "epoll" : "what is there");
}

static void make_files(void)
{
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (unsigned char)(i % PERIOD * 31 >> 3 ^ i % PERIOD >> 9);
    fl_panic_if(!mkdtemp(folder), "no folder");
    snprintf(data_path, sizeof data_path, "%s/data", folder);
    snprintf(fifo_path, sizeof fifo_path, "%s/fifo", folder);
    snprintf(narrow_path.sun_path, sizeof narrow_path.sun_path, "%s/socket", folder);
    int fd = open(data_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    fl_panic_if(write(fd, content, sizeof content) != sizeof content || close(fd) != 0 || mkfifo(fifo_path, 0600) != 0, "no files");
}

static void remove_files(void)
{
    unlink(data_path);
    unlink(fifo_path);
    unlink(narrow_path.sun_path);
    rmdir(folder);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)fl_clock();
    double seconds = argc > 2 ? atof(argv[2]) : 8;
    only = argc > 3 ? argv[3] : "";
    printf("stress_io: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    targets_init();
    make_files();
    uint64_t state = seed * 2 + 1;
    int rounds = 0;
    for (int64_t until = fl_clock() + (int64_t)(seconds * 1e9); fl_clock() < until; rounds++)
        play(&state);
    remove_files();
    printf("stress_io: %d rounds\n", rounds);
    for (int i = 0; i < KINDS; i++)
        printf("   %-8s %8llu done %8llu cut short\n", kinds[i].name, (unsigned long long)load_relaxed(&kinds[i].done), /* counter */
               (unsigned long long)load_relaxed(&kinds[i].cut));                                                        /* counter */
    return 0;
}
