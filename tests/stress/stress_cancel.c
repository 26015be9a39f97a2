/* SPDX-License-Identifier: MIT */
/* stress_cancel [SEED [SECONDS]]: random cancels and deadlines over every call that parks, with buffers on stacks that die at once.
 *
 * Rounds of a runtime with 1 to 4 workers. Victims open a scope, with a deadline of at most a millisecond or none, in which they and some children wait: asleep, for an
 * event that is seldom set, in reads of a pipe, of a socket, in accept, at a mutex. Others cancel those scopes: a sibling task, a plain thread, a
 * failing child. Feeders write numbered bytes to the pipe and the socket and connect to the listener.
 *
 * Laws: a call that was cancelled returns -ECANCELED or -ETIMEDOUT, and only in a cancelled scope; after it has returned nobody writes to its buffer (it lay on a stack that is reused at
 * once, and a canary of it is looked at later); bytes and connections are neither lost nor doubled; nobody waits for ever. */
#include "targets.h"

#include "base/atomic.h"
#include "machine/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VICTIMS = 6, ROUND = 300 /* ms */ };

static int pipe_fds[2], pair_fds[2], listener;
static struct sockaddr_in address;
static _Atomic(uint64_t) piped_in, piped_out, paired_in, paired_out, connected, accepted;
static _Atomic(uint64_t) cancels, timeouts, waits;
static filch_mutex mutex;
static filch_event seldom;
static _Atomic(bool) over;

/* ---- what a victim waits in; each returns 0 or the code of a cancel ---- */

static int judge(int64_t r)
{
    add_relaxed(&waits, 1); /* counter */
    if (r >= 0)
        return 0;
    fl_panic_if(r != -ECANCELED && r != -ETIMEDOUT, "a call returned %lld", (long long)r);
    for (int64_t since = fl_clock(); filch_cancelled() == 0;
         sched_yield()) /* a cancel travels: it may have reached the task before its scope */
        fl_panic_if(fl_clock() - since > FILCH_SEC(10), "a call returned %lld in a scope that was not cancelled", (long long)r);
    add_relaxed(r == -ECANCELED ? &cancels : &timeouts, 1); /* counter */
    return (int)r;
}

static FL_NOINLINE ssize_t read_some(uint64_t *state)
{
    unsigned char buffer[700];
    ssize_t r = filch_read(pipe_fds[0], buffer, 1 + dice(state) % sizeof buffer);
    for (ssize_t i = 0; i < r; i++)
        fl_panic_if(buffer[i] != 'p', "a byte of the pipe is %d", buffer[i]);
    if (r > 0)
        add_relaxed(&piped_out, (uint64_t)r); /* counter */
    return r;
}

static FL_NOINLINE ssize_t recv_some(uint64_t *state)
{
    unsigned char buffer[700];
    ssize_t r = filch_recv(pair_fds[0], buffer, 1 + dice(state) % sizeof buffer, 0);
    for (ssize_t i = 0; i < r; i++)
        fl_panic_if(buffer[i] != 's', "a byte of the socket is %d", buffer[i]);
    if (r > 0)
        add_relaxed(&paired_out, (uint64_t)r); /* counter */
    return r;
}

static FL_NOINLINE int accept_one(void)
{
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    int fd = filch_accept(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
    if (fd >= 0) {
        fl_panic_if(peer.sin_family != AF_INET, "the peer's address is not there");
        add_relaxed(&accepted, 1); /* counter */
        fl_panic_if(filch_close(fd) != 0, "close");
    }
    return fd;
}

static int lock_for_a_while(uint64_t *state)
{
    FILCH_GUARD(&mutex);
    return dice(state) % 4 == 0 ? filch_sleep(FILCH_USEC(20)) : 0;
}

static int wait_once(uint64_t *state)
{
    int64_t r = 0;
    switch (dice(state) % 7) {
    case 0:
        r = filch_sleep((int64_t)(dice(state) % 300000));
        break;
    case 1:
        r = filch_sleep_until(FILCH_NEVER);
        fl_panic_if(r == 0, "it was for ever");
        break;
    case 2:
        r = filch_event_wait(&seldom);
        break;
    case 3:
        r = read_some(state);
        break;
    case 4:
        r = recv_some(state);
        break;
    case 5:
        r = accept_one();
        break;
    default:
        r = lock_for_a_while(state);
    }
    reuse_stack(dice(state) % 2);
    return judge(r);
}

/* ---- victims ---- */

struct victim {
    uint64_t state;
    int depth;
    int ran;
};

static int victim_main(void *arg);

static int failing(void *arg)
{
    uint64_t state = (uint64_t)(uintptr_t)arg;
    filch_sleep((int64_t)(dice(&state) % 200000));
    return -EBADMSG;
}

static int inner_block(struct victim *victim)
{
    uint64_t *state = &victim->state;
    struct victim children[3];
    int n = 0;
    int64_t deadline = dice(state) % 2 ? filch_after((int64_t)(dice(state) % 1000000) - 1000) : FILCH_NEVER;
    bool fails = dice(state) % 4 == 0, aims = deadline == FILCH_NEVER || dice(state) % 2;
    int r = 0;
    FILCH_SCOPE_UNTIL(scope, deadline);
    struct target *target = aims && !fails ? aim(&scope, state) : NULL;
    bool mortal = deadline != FILCH_NEVER || fails || target || filch_cancelled();
    if (fails)
        fl_panic_if(filch_spawn(&scope, failing, (void *)(uintptr_t)child_seed(state)) != 0, "spawn");
    for (; mortal && victim->depth < 3 && n < (int)(dice(state) % 4); n++) {
        children[n] = (struct victim){.state = child_seed(state), .depth = victim->depth + 1};
        fl_panic_if(filch_spawn(&scope, victim_main, &children[n]) != 0, "spawn");
    }
    while (mortal && r == 0)
        r = wait_once(state);
    if (dice(state) % 2) {
        int joined = filch_join(&scope);
        fl_panic_if(joined < 0 && joined != -EBADMSG && joined != -ECANCELED && joined != -ETIMEDOUT, "join: %d", joined);
        for (int i = 0; i < n; i++)
            fl_panic_if(children[i].ran != 1, "a child ran %d times", children[i].ran);
    }
    unaim(target);
    return r;
}

static int victim_main(void *arg)
{
    struct victim *victim = arg;
    int r = inner_block(victim);
    reuse_stack(false);
    victim->ran++;
    return r;
}

static int victim_loop(void *arg)
{
    uint64_t state = (uint64_t)(uintptr_t)arg;
    while (!load_relaxed(&over)) { /* hint: a round more does no harm */
        struct victim victim = {.state = child_seed(&state)};
        victim_main(&victim);
        filch_yield();
    }
    return 0;
}

static int shooter(void *arg)
{
    uint64_t state = (uint64_t)(uintptr_t)arg;
    while (!load_relaxed(&over)) { /* hint: seen soon */
        shoot(&state);
        filch_sleep((int64_t)(dice(&state) % 100000));
        if (dice(&state) % 64 == 0) {
            filch_event_set(&seldom);
            filch_event_reset(&seldom);
        }
    }
    return 0;
}

/* ---- outside ---- */

static void feed(int fd, char byte, uint64_t size, _Atomic(uint64_t) *count, bool socket)
{
    char bytes[1500];
    memset(bytes, byte, sizeof bytes);
    ssize_t r = socket ? send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) : write(fd, bytes, size);
    if (r > 0)
        add_relaxed(count, (uint64_t)r); /* counter */
}

static void *feeder(void *arg)
{
    uint64_t state = (uint64_t)(uintptr_t)arg;
    while (!load_relaxed(&over)) { /* hint: seen soon */
        uint64_t size = 1 + dice(&state) % (1u << dice(&state) % 11);
        switch (dice(&state) % 4) {
        case 0:
            if (load_relaxed(&piped_in) - load_relaxed(&piped_out) < 30000) /* counter */
                feed(pipe_fds[1], 'p', size, &piped_in, false);
            break;
        case 1:
            feed(pair_fds[1], 's', size, &paired_in, true);
            break;
        case 2: {
            if (load_relaxed(&connected) - load_relaxed(&accepted) > 50) /* counter */
                break;
            int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
                add_relaxed(&connected, 1); /* counter */
            close(fd);
            break;
        }
        default:
            shoot(&state);
        }
        nanosleep(&(struct timespec){.tv_nsec = (long)(dice(&state) % 100000)}, NULL);
    }
    return NULL;
}

static void open_all(void)
{
    fl_panic_if(pipe(pipe_fds) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair_fds) != 0, "no descriptors");
    listener = socket(AF_INET, SOCK_STREAM, 0);
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    fl_panic_if(bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 128) != 0, "no listener");
    fl_panic_if(getsockname(listener, (struct sockaddr *)&address, &size) != 0, "no name");
}

/* What nobody has taken must still be there. */
static uint64_t drain(int fd, bool socket)
{
    uint64_t sum = 0;
    char bytes[4096];
    ssize_t r;
    while ((r = socket ? recv(fd, bytes, sizeof bytes, 0) : read(fd, bytes, sizeof bytes)) > 0)
        sum += (uint64_t)r;
    return sum;
}

static void close_all(void)
{
    close(pipe_fds[1]);
    close(pair_fds[1]);
    add_relaxed(&piped_out, drain(pipe_fds[0], false)); /* counter */
    add_relaxed(&paired_out, drain(pair_fds[0], true)); /* counter */
    close(pipe_fds[0]);
    close(pair_fds[0]);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd))
        add_relaxed(&accepted, 1); /* counter */
    close(listener);
}

static void play(uint64_t *state)
{
    filch_config config = {.workers = 1 + (unsigned)(dice(state) % 4)};
    filch_runtime *runtime;
    pthread_t thread;
    open_all();
    store_relaxed(&over, false); /* init: no thread yet */
    fl_panic_if(filch_start(&config, &runtime) != 0, "start");
    pthread_create(&thread, NULL, feeder, (void *)(uintptr_t)child_seed(state));
    for (int i = 0; i < VICTIMS; i++)
        fl_panic_if(filch_submit(runtime, victim_loop, (void *)(uintptr_t)child_seed(state)) != 0, "submit");
    fl_panic_if(filch_submit(runtime, shooter, (void *)(uintptr_t)child_seed(state)) != 0, "submit");
    nanosleep(&(struct timespec){.tv_nsec = ROUND * 1000000L}, NULL);
    store_relaxed(&over, true); /* hint: seen soon */
    pthread_join(thread, NULL);
    int r = filch_stop(runtime, filch_after(FILCH_MSEC(dice(state) % 2 ? 0 : 20)));
    fl_panic_if(r == -ETIMEDOUT, "somebody waits for ever");
    fl_panic_if(r != 0, "stop: %d", r);
    close_all();
    fl_panic_if(load_relaxed(&piped_in) != load_relaxed(&piped_out), "%llu bytes went into the pipe, %llu came out",     /* counter */
                (unsigned long long)load_relaxed(&piped_in), (unsigned long long)load_relaxed(&piped_out));              /* counter */
    fl_panic_if(load_relaxed(&paired_in) != load_relaxed(&paired_out), "%llu bytes went into the socket, %llu came out", /* counter */
                (unsigned long long)load_relaxed(&paired_in), (unsigned long long)load_relaxed(&paired_out));            /* counter */
    fl_panic_if(load_relaxed(&connected) != load_relaxed(&accepted), "%llu connections were made, %llu accepted",        /* counter */
                (unsigned long long)load_relaxed(&connected), (unsigned long long)load_relaxed(&accepted));              /* counter */
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)fl_clock();
    double seconds = argc > 2 ? atof(argv[2]) : 6;
    printf("stress_cancel: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    targets_init();
    uint64_t state = seed * 2 + 1;
    int rounds = 0;
    for (int64_t end = fl_clock() + (int64_t)(seconds * 1e9); fl_clock() < end; rounds++)
        play(&state);
    printf("stress_cancel: %d rounds, %llu waits, %llu cancelled, %llu timed out, %llu bytes piped, %llu sent, %llu connections\n", rounds,
           (unsigned long long)load_relaxed(&waits), (unsigned long long)load_relaxed(&cancels),
           (unsigned long long)load_relaxed(&timeouts),                                               /* counter */
           (unsigned long long)load_relaxed(&piped_in), (unsigned long long)load_relaxed(&paired_in), /* counter */
           (unsigned long long)load_relaxed(&connected));                                             /* counter */
    return 0;
}
