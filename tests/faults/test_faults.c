/* SPDX-License-Identifier: MIT */
/* The laws of a kernel that refuses: nothing is lost, nobody waits for ever, and the one call that could not be made says so or is made later.
 *
 * What the kernel says is made up by shim.c, but for the completions that overflow, which do. What is not tested here: limits of the process, which are
 * tests/api/test_limits.c, and io_uring that is denied, which is tests/api/test_backend.c. */
#include "../api/api.h"
#include "shim.h"

#include <dirent.h>
#include <fcntl.h>
#include <liburing.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

static void breaks(struct fault *fault, int error, unsigned every)
{
    atomic_store(&fault->calls, 0);
    atomic_store(&fault->every, every);
    atomic_store(&fault->error, error);
}

static void heal(struct fault *fault)
{
    atomic_store(&fault->error, 0);
}

static int all_descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    must(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* ---- work that notices when something is lost ---- */

enum { PAIRS = 40, MESSAGES = 15 };

static struct pair {
    int ends[2], silent[2], out, in;
} pairs[PAIRS];
static atomic_int refused;

static bool was_refused(int64_t r)
{
    if (r != -EAGAIN && r != -EBUSY && r != -ENOMEM && r != -ENOSPC)
        return false;
    atomic_fetch_add(&refused, 1);
    filch_yield();
    return true;
}

static int put(void *arg)
{
    struct pair *pair = arg;
    while (pair->out < MESSAGES) {
        ssize_t r = filch_write(pair->ends[1], &pair->out, sizeof pair->out);
        must(r == sizeof pair->out || was_refused(r));
        pair->out += r > 0;
        must(filch_sleep(FILCH_USEC(50)) == 0);
    }
    return 0;
}

static int take(void *arg)
{
    struct pair *pair = arg;
    while (pair->in < MESSAGES) {
        int message = -1;
        ssize_t r = filch_read(pair->ends[0], &message, sizeof message);
        must((r == sizeof message && message == pair->in) || was_refused(r));
        pair->in += r > 0;
    }
    return 0;
}

/* In calls that end by their deadlines only. */
static int wait_in_vain(void *arg)
{
    struct pair *pair = arg;
    char byte;
    for (int i = 0; i < MESSAGES; i++) {
        FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_USEC(100)));
        int64_t r = i % 2 ? filch_recv(pair->silent[0], &byte, 1, 0) : filch_poll(pair->silent[0], POLLIN);
        must(r == -ETIMEDOUT || was_refused(r));
    }
    return 0;
}

static int work(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < PAIRS; i++) {
        must(pipe(pairs[i].ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i].silent) == 0);
        pairs[i].in = pairs[i].out = 0;
        must(filch_spawn(&s, take, &pairs[i]) == 0 && filch_spawn(&s, wait_in_vain, &pairs[i]) == 0 &&
             filch_spawn(&s, put, &pairs[i]) == 0);
    }
    must(filch_join(&s) == 0);
    for (int i = 0; i < PAIRS; i++)
        for (int end = 0; end < 2; end++)
            must(close(pairs[i].ends[end]) == 0 && close(pairs[i].silent[end]) == 0);
    return 0;
}

static bool has_uring(void)
{
    filch_runtime *runtime = NULL;
    unsetenv("FILCH_IO");
    must(filch_start(&(filch_config){.workers = 1}, &runtime) == 0);
    filch_io io = filch_io_backend(runtime, NULL);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
    return io == FILCH_IO_URING;
}

static const filch_config few[] = {{.workers = 1}, {.workers = 2}, {.workers = 8}, {.model = FILCH_MODEL_11}};
static const int errors[] = {EAGAIN, EBUSY, ENOMEM};

static void uring_only(void)
{
    if (!has_uring())
        cr_skip_test("no io_uring here");
}

/* Runs `fn` while `fault` holds. */
static void run_with(struct fault *fault, int error, unsigned every, filch_io io, filch_fn *fn)
{
    FOR_EACH_CONFIG(config, few)
    {
        filch_runtime *runtime;
        filch_config with_io = *config;
        int before = all_descriptors();
        with_io.io = io;
        must(filch_start(&with_io, &runtime) == 0);
        breaks(fault, error, every);
        must(filch_call(runtime, fn, NULL) == 0);
        heal(fault);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
        must(all_descriptors() == before);
    }
    must(atomic_load(&shim.faults) > 0);
}

/* ---- submissions ---- */

Test(faults, a_submission_that_fails_now_and_then_is_made_again)
{
    uring_only();
    for (size_t i = 0; i < LENGTH(errors); i++)
        for (unsigned every = 2; every < 5; every++)
            run_with(&shim.submit, errors[i], every, FILCH_IO_URING, work);
    must(atomic_load(&refused) == 0); /* there was room enough in the queue until the next time */
}

Test(faults, a_submission_that_is_interrupted_is_made_again)
{
    uring_only();
    run_with(&shim.submit, EINTR, 2, FILCH_IO_URING, work);
    must(atomic_load(&refused) == 0);
}

Test(faults, a_submission_may_take_some_entries_only)
{
    uring_only();
    for (unsigned some = 1; some < 8; some += 2) {
        atomic_store(&shim.some, some);
        FOR_EACH_CONFIG(config, few)
        must(filch_run(config, work, NULL) == 0);
    }
    must(atomic_load(&refused) == 0);
}

enum { CROWD = 1000 }; /* several times what a queue holds */

static atomic_int waiting, arrived, turned_away;
static int bell;

static int wait_for_the_bell(void *arg)
{
    (void)arg;
    atomic_fetch_add(&waiting, 1);
    int r = filch_poll(bell, POLLIN);
    must(r == POLLIN || was_refused(r));
    atomic_fetch_add(r == POLLIN ? &arrived : &turned_away, 1);
    return 0;
}

static int ring_the_bell(void *arg)
{
    int n = *(int *)arg;
    atomic_store(&waiting, 0);
    atomic_store(&arrived, 0);
    atomic_store(&turned_away, 0);
    bell = eventfd(0, EFD_CLOEXEC);
    must(bell >= 0);
    FILCH_SCOPE(s);
    for (int i = 0; i < n; i++)
        must(filch_spawn(&s, wait_for_the_bell, NULL) == 0);
    while (atomic_load(&waiting) < n)
        filch_yield();
    must(filch_sleep(FILCH_MSEC(5)) == 0);
    heal(&shim.submit);
    must(eventfd_write(bell, 1) == 0);
    must(filch_join(&s) == 0 && atomic_load(&arrived) + atomic_load(&turned_away) == n);
    return close(bell);
}

static int crowd(void *arg)
{
    int n = CROWD;
    (void)arg;
    return ring_the_bell(&n);
}

Test(faults, who_finds_no_room_while_the_kernel_takes_nothing_is_told_and_the_others_are_served)
{
    uring_only();
    for (size_t i = 0; i < LENGTH(errors); i++) {
        run_with(&shim.submit, errors[i], 1, FILCH_IO_URING, crowd);
        must(atomic_load(&turned_away) > 0 && atomic_load(&arrived) > 0);
    }
}

/* They are cancelled while the kernel takes nothing. */
static int wait_till_cancelled(void *arg)
{
    (void)arg;
    atomic_fetch_add(&waiting, 1);
    int r = filch_poll(bell, POLLIN);
    must(r == -ECANCELED || was_refused(r));
    return 0;
}

static void *heal_soon(void *arg)
{
    (void)arg;
    usleep(100000);
    heal(&shim.submit);
    return NULL;
}

static int cancel_the_crowd(void *arg)
{
    (void)arg;
    atomic_store(&waiting, 0);
    bell = eventfd(0, EFD_CLOEXEC);
    must(bell >= 0);
    heal(&shim.submit);
    pthread_t thread;
    {
        FILCH_SCOPE(s);
        for (int i = 0; i < CROWD; i++)
            must(filch_spawn(&s, wait_till_cancelled, NULL) == 0);
        while (atomic_load(&waiting) < CROWD)
            filch_yield();
        must(filch_sleep(FILCH_MSEC(5)) == 0);
        thread = thread_start(heal_soon, NULL);
        breaks(&shim.submit, EAGAIN, 1);
        filch_cancel(&s);
        must(filch_join(&s) == 0);
    }
    thread_join(thread);
    return close(bell);
}

Test(faults, a_crowd_is_cancelled_although_the_kernel_takes_nothing_for_a_while)
{
    uring_only();
    run_with(&shim.submit, EAGAIN, 1, FILCH_IO_URING, cancel_the_crowd);
    breaks(&shim.cancel, EINVAL, 1); /* before Linux 6.0 there is no way but by an entry */
    run_with(&shim.submit, EAGAIN, 1, FILCH_IO_URING, cancel_the_crowd);
    must(atomic_load(&shim.cancel.calls) > 0);
}

Test(faults, a_sleep_that_fails_is_slept_again)
{
    static const int sleeps[] = {EINTR, EAGAIN, EBUSY, ETIME};
    uring_only();
    for (size_t i = 0; i < LENGTH(sleeps); i++)
        for (unsigned every = 1; every < 4; every++)
            run_with(&shim.sleep, sleeps[i], every, FILCH_IO_URING, work);
    must(atomic_load(&refused) == 0);
}

/* ---- a message that needs no ring ---- */

static int unread[2][2], message[2];
static atomic_bool healed;

static int receive_unread(void *arg)
{
    char c;
    must(filch_recv(*(int *)arg, &c, 1, 0) == 1);
    return 0;
}

static void *heal_in_the_end(void *arg)
{
    sleep(2);
    atomic_store(&healed, true);
    heal(&shim.submit);
    return arg;
}

static int send_without_the_ring(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    must(filch_sleep(FILCH_MSEC(5)) == 0);
    breaks(&shim.submit, EBUSY, 1);
    pthread_t thread = thread_start(heal_in_the_end, NULL);
    must(filch_spawn(&s, receive_unread, unread[0]) == 0 && filch_spawn(&s, receive_unread, unread[1]) == 0);
    filch_yield();
    must(filch_sleep(FILCH_MSEC(5)) == 0);
    must(filch_send(message[0], "x", 1, 0) == 1 && !atomic_load(&healed));
    must(write(unread[0][1], "x", 1) == 1 && write(unread[1][1], "x", 1) == 1);
    must(filch_join(&s) == 0);
    thread_join(thread);
    return 0;
}

Test(faults, a_message_that_need_not_wait_does_not_wait_for_the_ring)
{
    uring_only();
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, message) == 0);
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, unread[0]) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, unread[1]) == 0);
    must(filch_run(&(filch_config){.workers = 1, .io = FILCH_IO_URING}, send_without_the_ring, NULL) == 0);
}

/* ---- a submission that lasts ---- */

enum { SUBMISSIONS = 100 };

static int yield_for_long(void *arg)
{
    atomic_bool *over = arg;
    while (!atomic_load(over))
        filch_yield();
    return 0;
}

static int write_often(void *arg)
{
    int fd = filch_open("/dev/null", O_WRONLY, 0);
    must(fd >= 0);
    for (int i = 0; i < SUBMISSIONS; i++)
        must(filch_write(fd, "x", 1) == 1);
    filch_close(fd);
    atomic_store((atomic_bool *)arg, true);
    return 0;
}

/* A worker that never sleeps, so that it tells the kernel between two turns of a task. */
static int write_among_others(void *arg)
{
    static atomic_bool over;
    filch_stats stats;
    atomic_store(&over, false);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, yield_for_long, &over) == 0 && filch_spawn(&s, write_often, &over) == 0);
    must(filch_join(&s) == 0);
    filch_stats_read(filch_current(), &stats);
    *(uint64_t *)arg = stats.stalls;
    return 0;
}

static uint64_t stalls_with(int64_t busy)
{
    uint64_t stalls = 0;
    atomic_store(&shim.busy, busy);
    must(filch_run(&(filch_config){.workers = 1, .io = FILCH_IO_URING}, write_among_others, &stalls) == 0);
    atomic_store(&shim.busy, 0);
    return stalls;
}

Test(faults, who_tells_the_kernel_of_operations_is_stalled_only_when_that_lasts)
{
    uring_only();
    must(stalls_with(1400000) < SUBMISSIONS / 10); /* other programs may stop it then */
    must(stalls_with(5000000) > SUBMISSIONS / 10);
}

/* ---- completions ---- */

enum { MANY = SANITIZED ? 6000 : 10000 }; /* more than the queue of completions holds */

enum { FEW = 200 };

static atomic_int kept;

static int keep_a_worker(void *arg)
{
    atomic_fetch_add(&kept, 1);
    while (!atomic_load((atomic_int *)arg))
        ;
    return 0;
}

static void *ring_while_nobody_looks(void *arg)
{
    await_count(&kept, 2);
    usleep(1000);
    must(eventfd_write(bell, 1) == 0);
    usleep(50000);
    atomic_store((atomic_int *)arg, 1);
    return NULL;
}

static int overflow(void *arg)
{
    atomic_int go = 0;
    (void)arg;
    atomic_store(&waiting, 0);
    atomic_store(&arrived, 0);
    atomic_store(&kept, 0);
    bell = eventfd(0, EFD_CLOEXEC);
    FILCH_SCOPE(s);
    for (int i = 0; i < MANY; i++)
        must(filch_spawn(&s, wait_for_the_bell, NULL) == 0);
    while (atomic_load(&waiting) < MANY)
        filch_yield();
    must(filch_sleep(FILCH_MSEC(20)) == 0);
    pthread_t thread = thread_start(ring_while_nobody_looks, &go);
    must(filch_spawn(&s, keep_a_worker, &go) == 0);
    while (atomic_load(&kept) == 0) /* without parking: the other one takes it */
        ;
    keep_a_worker(&go);
    thread_join(thread);
    must(filch_join(&s) == 0 && atomic_load(&arrived) == MANY);
    return close(bell);
}

Test(faults, completions_that_overflow_are_not_lost)
{
    must(filch_run(&(filch_config){.workers = 2, .io = FILCH_IO_EPOLL}, overflow, NULL) == 0);
    uring_only();
    must(filch_run(&(filch_config){.workers = 2, .io = FILCH_IO_URING}, overflow, NULL) == 0);
}

/* Their own worker never sleeps, and tells the kernel nothing. */
static int overflow_a_busy_worker(void *arg)
{
    bool yields = arg != NULL;
    atomic_store(&waiting, 0);
    atomic_store(&arrived, 0);
    bell = eventfd(0, EFD_CLOEXEC);
    FILCH_SCOPE(s);
    for (int i = 0; i < FEW; i++)
        must(filch_spawn(&s, wait_for_the_bell, NULL) == 0);
    while (atomic_load(&waiting) < FEW)
        filch_yield();
    must(filch_sleep(FILCH_MSEC(5)) == 0);
    must(eventfd_write(bell, 1) == 0);
    for (int64_t end = filch_after(FILCH_SEC(5)); atomic_load(&arrived) < FEW; yields ? filch_yield() : (void)0)
        must(filch_now() < end);
    must(filch_join(&s) == 0);
    return close(bell);
}

Test(faults, completions_that_overflow_are_fetched_though_their_worker_never_sleeps)
{
    uring_only();
    atomic_store(&shim.completions, 16);
    must(filch_run(&(filch_config){.workers = 1, .io = FILCH_IO_URING}, overflow_a_busy_worker, &bell) == 0);
    must(filch_run(&(filch_config){.workers = 2, .io = FILCH_IO_URING}, overflow_a_busy_worker, &bell) == 0);
    must(filch_run(&(filch_config){.workers = 2, .io = FILCH_IO_URING}, overflow_a_busy_worker, NULL) == 0);
    atomic_store(&shim.completions, 0);
}

/* ---- without copying ---- */

enum { SENDS = 10, SENT = 32768 };

static bool kernel_knows(int operation)
{
    struct io_uring_probe *probe = io_uring_get_probe();
    bool knows = probe && io_uring_opcode_supported(probe, operation);
    io_uring_free_probe(probe);
    return knows;
}

static void *drain(void *arg)
{
    static char some[SENT];
    while (recv(*(int *)arg, some, sizeof some, 0) > 0)
        ;
    return NULL;
}

static int send_without_copying(void *arg)
{
    static char buf[SENT];
    int each = *(int *)arg, listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    must(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 1) == 0);
    must(getsockname(listener, (struct sockaddr *)&address, &len) == 0 && connect(fd, (struct sockaddr *)&address, len) == 0);
    int other = accept(listener, NULL, NULL);
    pthread_t thread = thread_start(drain, &other);
    unsigned long before = atomic_load(&shim.notices), sends = 0;
    for (int i = 0; i < SENDS; i++) {
        struct iovec parts[2] = {{buf, SENT / 2}, {buf + SENT / 2, SENT / 2}};
        struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t r = i % 2 ? filch_sendmsg(fd, &msg, MSG_ZEROCOPY) : filch_send(fd, buf, SENT, MSG_ZEROCOPY);
        must(r > 0);
        sends += (unsigned long)each;
        must(atomic_load(&shim.notices) - before == sends); /* the kernel has let go of it by now */
    }
    must(filch_send(fd, buf, SENT, 0) > 0 && atomic_load(&shim.notices) - before == sends);
    must(shutdown(fd, SHUT_WR) == 0);
    thread_join(thread);
    return close(fd) | close(other) | close(listener);
}

Test(faults, what_is_to_be_sent_without_copying_goes_that_way_where_there_is_one)
{
    uring_only();
    if (!kernel_knows(IORING_OP_SEND_ZC) || !kernel_knows(IORING_OP_SENDMSG_ZC))
        cr_skip_test("the kernel knows no such thing");
    must(filch_run(&(filch_config){.workers = 1, .io = FILCH_IO_URING}, send_without_copying, &(int){1}) == 0);
    must(filch_run(&(filch_config){.workers = 2, .io = FILCH_IO_URING}, send_without_copying, &(int){1}) == 0);
    must(filch_run(&(filch_config){.workers = 1, .io = FILCH_IO_EPOLL}, send_without_copying, &(int){0}) == 0);
}

/* Keeps the worker for a while, so that both completions are there when it looks. */
static int keep_it_a_while(void *arg)
{
    while (!atomic_load((atomic_int *)arg)) {
        usleep(300);
        filch_yield();
    }
    return 0;
}

static int send_and_be_told_late(void *arg)
{
    atomic_int sent = 0;
    FILCH_SCOPE(s);
    must(filch_spawn(&s, keep_it_a_while, &sent) == 0);
    for (int i = 0; i < 20; i++)
        must(send_without_copying(arg) == 0);
    atomic_store(&sent, 1);
    return filch_join(&s);
}

Test(faults, who_sends_without_copying_is_told_the_result_though_the_notice_comes_first)
{
    uring_only();
    if (!kernel_knows(IORING_OP_SEND_ZC) || !kernel_knows(IORING_OP_SENDMSG_ZC))
        cr_skip_test("the kernel knows no such thing");
    atomic_store(&shim.swap, true);
    must(filch_run(&(filch_config){.workers = 1, .io = FILCH_IO_URING}, send_and_be_told_late, &(int){1}) == 0);
    must(atomic_load(&shim.swaps) > 0);
    atomic_store(&shim.swap, false);
}

/* ---- operations that the kernel does not know ---- */

static char folder[] = "/tmp/filch-faults-XXXXXX";

static int use_paths(void)
{
    struct statx stat;
    size_t size = 0;
    void *data = NULL;
    must(filch_mkdir("d", 0700) == 0 && filch_write_file("d/a", "hello", 5, 0600) == 0);
    must(filch_read_file("d/a", &data, &size) == 0 && size == 5 && memcmp(data, "hello", 5) == 0);
    free(data);
    must(filch_statx(AT_FDCWD, "d/a", 0, STATX_SIZE, &stat) == 0 && stat.stx_size == 5);
    must(filch_link("d/a", "d/b") == 0 && filch_symlink("a", "d/c") == 0 && filch_rename("d/b", "d/e") == 0);
    must(filch_unlink("d/c") == 0 && filch_unlink("d/e") == 0 && filch_unlink("d/b") == -ENOENT);
    int fd = filch_open("d/a", O_RDWR, 0);
    must(fd >= 0 && filch_fallocate(fd, 0, 0, 4096) == 0 && filch_ftruncate(fd, 100) == 0);
    must(filch_fsync(fd) == 0 && filch_fdatasync(fd) == 0 && filch_sync_file_range(fd, 0, 100, SYNC_FILE_RANGE_WRITE) == 0);
    must(filch_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0); /* so that the next read is not served at once */
    char buf[200], more[50];
    struct iovec parts[2] = {{buf, 50}, {more, 50}};
    must(filch_pread(fd, buf, sizeof buf, 0) == 100 && memcmp(buf, "hello\0", 6) == 0);
    must(filch_preadv(fd, parts, 2, 0) == 100 && filch_pwritev(fd, parts, 2, 100) == 100);
    must(filch_pwrite(fd, "x", 1, 200) == 1 && filch_pread(fd, buf, sizeof buf, 150) == 51);
    must(filch_close(fd) == 0);
    fd = filch_open("d/a", O_RDONLY | O_DIRECT, 0);
    _Alignas(4096) static char aligned[4096];
    must(fd < 0 || (filch_pread(fd, aligned, sizeof aligned, 0) == 201 && filch_close(fd) == 0));
    return filch_unlink("d/a") | filch_unlinkat(AT_FDCWD, "d", AT_REMOVEDIR);
}

static int talk(void *arg)
{
    char buf[10000];
    int fd = *(int *)arg;
    size_t done;
    struct iovec part = {buf, 5};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    must(filch_recv(fd, buf, sizeof buf, 0) == 5 && filch_recvmsg(fd, &msg, MSG_WAITALL) == 5);
    must(filch_read(fd, buf, sizeof buf) == 1);
    memset(buf, 'y', sizeof buf);
    for (int i = 0; i < 200; i++)
        must(filch_send_all(fd, buf, sizeof buf, 0, &done) == 0);
    must(filch_shutdown(fd, SHUT_WR) == 0 && filch_recv(fd, buf, 1, 0) == 0);
    return filch_close(fd);
}

static int use_sockets(void)
{
    char buf[7000];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
    must(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 1) == 0);
    must(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    FILCH_SCOPE(s);
    must(filch_connect(fd, (struct sockaddr *)&address, len) == 0);
    int other = filch_accept(listener, NULL, NULL, SOCK_CLOEXEC);
    must(other >= 0 && filch_spawn(&s, talk, &other) == 0);
    for (int i = 0; i < 3; i++) {
        must(filch_sleep(FILCH_MSEC(2)) == 0);
        if (i < 2)
            must(filch_send(fd, "hello", 5, i ? MSG_ZEROCOPY : 0) == 5);
        else
            must(filch_write(fd, "x", 1) == 1);
    }
    must(filch_poll(fd, POLLIN) == POLLIN);
    for (size_t sum = 0; sum < 2000000; sum += sizeof buf)
        must(filch_recv(fd, buf, sizeof buf < 2000000 - sum ? sizeof buf : 2000000 - sum, MSG_WAITALL) > 0);
    must(filch_recv(fd, buf, 1, 0) == 0 && filch_close(fd) == 0);
    must(filch_join(&s) == 0);
    return filch_close(listener);
}

static int open_the_other_end(void *arg)
{
    (void)arg;
    must(filch_sleep(FILCH_MSEC(5)) == 0);
    int fd = filch_open("fifo", O_WRONLY, 0);
    must(fd >= 0 && filch_write(fd, "z", 1) == 1);
    return filch_close(fd);
}

static int use_pipes(void)
{
    int from[2], to[2];
    char byte = 0;
    must(mkfifo("fifo", 0600) == 0 && pipe(from) == 0 && pipe(to) == 0);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, open_the_other_end, NULL) == 0);
    int fd = filch_open("fifo", O_RDONLY, 0);
    must(fd >= 0 && filch_read(fd, &byte, 1) == 1 && byte == 'z' && filch_read(fd, &byte, 1) == 0 && filch_close(fd) == 0);
    must(filch_write(from[1], "abc", 3) == 3 && filch_splice(from[0], NULL, to[1], NULL, 100, 0) == 3);
    must(filch_read(to[0], &byte, 1) == 1 && byte == 'a' && filch_join(&s) == 0 && filch_unlink("fifo") == 0);
    return filch_close(from[0]) | filch_close(from[1]) | filch_close(to[0]) | filch_close(to[1]);
}

static int use_others(void)
{
    char *argv[] = {"sleep", "0.01", NULL};
    siginfo_t info;
    pid_t pid;
    _Atomic(uint32_t) word = 1;
    must(filch_posix_spawnp(&pid, "sleep", argv, NULL, NULL) == 0);
    must(filch_waitid(P_PID, (id_t)pid, &info, WEXITED) == 0 && info.si_pid == pid);
    must(filch_waitid(P_PID, (id_t)pid, &info, WEXITED) == -ECHILD);
    must(filch_futex_wait(&word, 2, false) == -EAGAIN);
    FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_MSEC(5)));
    must(filch_futex_wait(&word, 1, false) == -ETIMEDOUT);
    return 0;
}

static int use_everything(void *arg)
{
    (void)arg;
    return use_paths() | use_sockets() | use_pipes() | use_others();
}

static const uint8_t operations[] = {
    IORING_OP_POLL_ADD,        IORING_OP_ASYNC_CANCEL, IORING_OP_READ,      IORING_OP_WRITE,    IORING_OP_READV,
    IORING_OP_WRITEV,          IORING_OP_OPENAT,       IORING_OP_CLOSE,     IORING_OP_FSYNC,    IORING_OP_FALLOCATE,
    IORING_OP_SYNC_FILE_RANGE, IORING_OP_FADVISE,      IORING_OP_STATX,     IORING_OP_RENAMEAT, IORING_OP_UNLINKAT,
    IORING_OP_MKDIRAT,         IORING_OP_LINKAT,       IORING_OP_SYMLINKAT, IORING_OP_SPLICE,   IORING_OP_ACCEPT,
    IORING_OP_CONNECT,         IORING_OP_SEND,         IORING_OP_RECV,      IORING_OP_SENDMSG,  IORING_OP_RECVMSG,
    IORING_OP_SHUTDOWN,        IORING_OP_SEND_ZC,      50 /* waitid */,     51 /* futex */,     55 /* ftruncate */,
};

Test(faults, an_operation_that_the_kernel_does_not_know_is_carried_out_otherwise)
{
    uring_only();
    must(mkdtemp(folder) && chdir(folder) == 0);
    for (size_t i = 0; i < LENGTH(operations); i++) {
        bool needed = operations[i] == IORING_OP_POLL_ADD || operations[i] == IORING_OP_ASYNC_CANCEL;
        atomic_store(&shim.missing, operations[i]);
        int64_t begun = filch_now();
        int before = all_descriptors(), r = filch_run(&(filch_config){.workers = 2, .io = FILCH_IO_URING}, use_everything, NULL);
        must(r == (needed ? -EOPNOTSUPP : 0) && all_descriptors() == before);
        must(filch_now() - begun < FILCH_SEC(5)); /* nor is it tried over and over */
        if (needed)
            must(filch_run(&(filch_config){.workers = 2}, use_everything, NULL) == 0);
    }
    atomic_store(&shim.missing, 0);
    must(filch_run(&(filch_config){.workers = 2, .io = FILCH_IO_EPOLL}, use_everything, NULL) == 0);
    must(chdir("/") == 0 && rmdir(folder) == 0);
}

/* ---- starts ---- */

static int start_with(struct fault *fault, int error, unsigned after, filch_io io)
{
    filch_runtime *runtime = NULL;
    int before = all_descriptors();
    atomic_store(&fault->after, after);
    breaks(fault, error, 1);
    int r = filch_start(&(filch_config){.workers = 4, .io = io}, &runtime);
    heal(fault);
    must((r == 0) == (runtime != NULL));
    if (r == 0) {
        must(filch_call(runtime, work, NULL) == 0 && filch_stop(runtime, FILCH_NEVER) == 0);
        r = -1000; /* it started */
    }
    must(all_descriptors() == before);
    return r;
}

Test(faults, a_ring_that_cannot_be_made_is_an_error_or_epoll)
{
    static const struct {
        int error, asked, chosen;
    } cases[] = {
        {EPERM, -EPERM, -1000}, {ENOSYS, -ENOSYS, -1000}, {ENOMEM, -ENOMEM, -1000}, {EMFILE, -EMFILE, -EMFILE}, {ENFILE, -ENFILE, -ENFILE},
    };
    uring_only();
    for (size_t i = 0; i < LENGTH(cases); i++) {
        must(start_with(&shim.init, cases[i].error, 0, FILCH_IO_URING) == cases[i].asked);
        must(start_with(&shim.init, cases[i].error, 0, FILCH_IO_AUTO) == cases[i].chosen);
        must(start_with(&shim.init, cases[i].error, 4, FILCH_IO_AUTO) == -cases[i].error); /* a later one: the choice has been made */
        must(start_with(&shim.init, cases[i].error, 0, FILCH_IO_EPOLL) == -1000);
    }
    must(start_with(&shim.probe, ENOMEM, 0, FILCH_IO_URING) == -EOPNOTSUPP && start_with(&shim.probe, ENOMEM, 0, FILCH_IO_AUTO) == -1000);
}

Test(faults, a_start_that_gets_no_descriptor_or_thread_says_so_and_leaves_nothing)
{
    unsetenv("FILCH_IO");
    for (unsigned after = 0; after < 5; after++) {
        must(start_with(&shim.eventfd, EMFILE, after, FILCH_IO_AUTO) == -EMFILE);
        must(start_with(&shim.epoll_create, ENFILE, after, FILCH_IO_EPOLL) == -ENFILE);
        must(start_with(&shim.epoll_ctl, ENOMEM, after, FILCH_IO_EPOLL) == -ENOMEM);
        must(start_with(&shim.thread, EAGAIN, after, FILCH_IO_AUTO) == -EAGAIN);
    }
}

/* ---- epoll ---- */

Test(faults, a_poll_that_the_kernel_refuses_is_refused_and_nobody_else_is_hurt)
{
    static const int polls[] = {ENOMEM, ENOSPC};
    unsetenv("FILCH_IO");
    for (size_t i = 0; i < LENGTH(polls); i++)
        for (unsigned every = 2; every < 5; every++)
            run_with(&shim.epoll_ctl, polls[i], every, FILCH_IO_EPOLL, work);
    must(atomic_load(&refused) > 0);
}

/* ---- helpers ---- */

static int answer(void *arg)
{
    return *(int *)arg;
}

static int ask_for_help(void *arg)
{
    int forty_two = 42, fds[2];
    bool polls = arg != NULL;
    struct addrinfo *list = NULL;
    breaks(&shim.thread, EAGAIN, 1);
    must(filch_blocking(answer, &forty_two) == -EAGAIN);
    must(filch_getaddrinfo("127.0.0.1", NULL, NULL, &list) == -EAGAIN && !list);
    int file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    must(file >= 0 && filch_fsync(file) == (polls ? -EAGAIN : 0));
    must(filch_open("/tmp/filch-faults", O_RDWR | O_CREAT | O_EXCL | O_DIRECTORY, 0600) == (polls ? -EAGAIN : -EINVAL));
    must(filch_close(file) == 0 && fcntl(file, F_GETFD) == -1); /* which never fails for that */
    must(pipe(fds) == 0 && filch_write(fds[1], "x", 1) == 1 && filch_close(fds[1]) == 0 && filch_close(fds[0]) == 0);
    heal(&shim.thread);
    must(filch_blocking(answer, &forty_two) == 42); /* and then they are there again */
    must(filch_getaddrinfo("127.0.0.1", NULL, NULL, &list) == 0 && list);
    freeaddrinfo(list);
    breaks(&shim.thread, EAGAIN, 1);
    must(filch_blocking(answer, &forty_two) == 42); /* one is enough */
    heal(&shim.thread);
    return 0;
}

Test(faults, without_a_helper_a_call_that_needs_one_says_EAGAIN_and_a_close_closes)
{
    unsetenv("FILCH_IO");
    for (filch_io io = FILCH_IO_AUTO; io <= FILCH_IO_EPOLL; io++) {
        filch_config config = {.workers = 2, .io = io};
        filch_runtime *runtime;
        if (filch_start(&config, &runtime) != 0)
            continue;
        bool polls = filch_io_backend(runtime, NULL) == FILCH_IO_EPOLL;
        must(filch_call(runtime, ask_for_help, polls ? &config : NULL) == 0 && filch_stop(runtime, FILCH_NEVER) == 0);
    }
}

/* ---- those that last ---- */

enum { SLOW = 80 }; /* more than there are helpers */

static atomic_int opened;

static int look_up_in_vain(void *arg)
{
    struct addrinfo *list = NULL;
    (void)arg;
    FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_MSEC(100)));
    must(filch_getaddrinfo("localhost", NULL, NULL, &list) == -ETIMEDOUT && !list);
    return 0;
}

static int32_t sleep_till_opened(void *arg)
{
    (void)arg;
    while (!atomic_load(&opened))
        usleep(1000);
    return 0;
}

static int offload_(void *arg)
{
    (void)arg;
    return filch_blocking(sleep_till_opened, NULL);
}

/* What needs a helper on epoll. */
static void use_a_file(void)
{
    FILCH_SCOPE_UNTIL(soon, filch_after(FILCH_SEC(5)));
    char *argv[] = {"true", NULL};
    pid_t pid;
    siginfo_t info;
    int file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    must(file >= 0 && filch_write(file, "x", 1) == 1 && filch_fsync(file) == 0 && filch_ftruncate(file, 100) == 0);
    must(filch_close(file) == 0 && filch_posix_spawnp(&pid, "true", argv, NULL, NULL) == 0);
    must(filch_waitid(P_PID, (id_t)pid, &info, WEXITED) == 0);
}

static int use_files_while_others_last(void *arg)
{
    FILCH_SCOPE(s);
    for (int i = 0; i < SLOW; i++)
        must(filch_spawn(&s, arg ? offload_ : look_up_in_vain, NULL) == 0);
    must(filch_sleep(FILCH_MSEC(20)) == 0);
    use_a_file();
    if (!arg)
        must(filch_join(&s) == 0);
    use_a_file();
    atomic_store(&opened, 1);
    return filch_join(&s);
}

static void *hear_again(void *arg)
{
    usleep(200000);
    atomic_store((atomic_int *)arg, 1);
    atomic_store(&shim.deaf, false);
    return NULL;
}

Test(faults, files_are_used_though_name_servers_are_deaf_and_a_stop_waits_for_those_who_asked)
{
    unsetenv("FILCH_IO");
    for (filch_io io = FILCH_IO_AUTO; io <= FILCH_IO_EPOLL; io++) {
        filch_config config = {.workers = 2, .io = io};
        filch_runtime *runtime;
        if (filch_start(&config, &runtime) != 0)
            continue;
        atomic_int heard = 0;
        atomic_store(&shim.lookups, 0);
        atomic_store(&shim.deaf, true);
        must(filch_call(runtime, use_files_while_others_last, NULL) == 0);
        pthread_t thread = thread_start(hear_again, &heard);
        must(filch_stop(runtime, filch_after(FILCH_MSEC(1))) == 0 && atomic_load(&heard));
        must(atomic_load(&shim.lookups) > 0 && atomic_load(&shim.lookups) < 64); /* nobody asks for who has gone */
        thread_join(thread);
    }
}

Test(faults, files_are_used_though_offloaded_functions_last)
{
    unsetenv("FILCH_IO");
    for (filch_io io = FILCH_IO_AUTO; io <= FILCH_IO_EPOLL; io++) {
        filch_config config = {.workers = 2, .io = io};
        filch_runtime *runtime;
        atomic_store(&opened, 0);
        if (filch_start(&config, &runtime) == 0)
            must(filch_call(runtime, use_files_while_others_last, &config) == 0 && filch_stop(runtime, FILCH_NEVER) == 0);
    }
}
