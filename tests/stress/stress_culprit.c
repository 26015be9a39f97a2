/* SPDX-License-Identifier: MIT */
/* stress_culprit [SEED [SECONDS]]: threads that sleep, run, and end, looked at all the time, by two that look.
 *
 * Laws: no look crashes, waits, or is a data race; what it says of a thread that does nothing but sleep is true; calls that are sure begin
 * where a thread begins. */
#include "machine/culprit.h"

#include "base/atomic.h"
#include "base/panic.h"
#include "machine/backtrace.h"
#include "machine/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOVERS = 2, SHORT = 2, ALL = MOVERS + SHORT + 1, FRAMES = 32 };

static struct seat {
    _Atomic(pid_t) tid;
    _Atomic(uintptr_t) low, high;
    uint64_t state;
    pthread_t thread;
} seats[ALL];
static _Atomic(bool) ending;
static _Atomic(uint64_t) looks, frames, sure, names, work;
static int never[2];

static uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void sit(struct seat *seat)
{
    pthread_attr_t attr;
    void *base;
    size_t size;
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstack(&attr, &base, &size);
    pthread_attr_destroy(&attr);
    store_relaxed(&seat->low, (uintptr_t)base);         /* hint: who looks with the bounds of another stack sees nothing */
    store_relaxed(&seat->high, (uintptr_t)base + size); /* hint: as above */
    store_relaxed(&seat->tid, gettid());                /* hint: as above */
}

static FL_NOINLINE uint64_t deep(uint64_t *state, int depth)
{
    volatile char room[200];
    room[depth % 200] = 1;
    if (depth > 0)
        return deep(state, depth - 1) + (uint64_t)room[depth % 200];
    uint64_t which = dice(state) % 4;
    if (which == 0)
        usleep((unsigned)(dice(state) % 50));
    else if (which == 1)
        sched_yield();
    else
        for (uint64_t i = dice(state) % 20000; i > 0; i--)
            add_relaxed(&work, 1); /* counter */
    return which;
}

static void *move(void *arg)
{
    struct seat *seat = arg;
    sit(seat);
    while (!load_relaxed(&ending)) /* counter */
        deep(&seat->state, (int)(dice(&seat->state) % 20));
    return NULL;
}

static void *once(void *arg)
{
    struct seat *seat = arg;
    sit(seat);
    deep(&seat->state, 3);
    return NULL;
}

static void *start_again(void *arg)
{
    struct seat *seat = arg;
    pthread_t thread;
    while (!load_relaxed(&ending)) /* counter */
        if (pthread_create(&thread, NULL, once, seat) == 0)
            pthread_join(thread, NULL);
    return NULL;
}

static void *sleep_on(void *arg)
{
    char byte;
    sit(arg);
    ssize_t ignored = read(never[0], &byte, 1);
    (void)ignored;
    return NULL;
}

static void look(struct seat *seat, bool sleeper)
{
    struct fl_culprit seen;
    struct fl_watch watch;
    void *pcs[FRAMES];
    size_t certain;
    char text[256];
    pid_t tid = load_relaxed(&seat->tid);                                       /* hint: may have ended */
    uintptr_t low = load_relaxed(&seat->low), high = load_relaxed(&seat->high); /* hint: may be two threads' */
    if (tid == 0)
        return;
    int r = fl_culprit_look(tid, &seen);
    fl_panic_if(r != 0 && r != -ESRCH, "a look: %s", strerror(-r));
    if (r == 0) {
        fl_panic_if(fl_culprit_say(&seen, text, sizeof text) == 0, "nothing to say");
        fl_panic_if(sleeper && (!seen.off_cpu || seen.call != SYS_read || (int)seen.args[0] != never[0]), "who sleeps is %s", text);
    }
    r = fl_watch_open(&watch, tid);
    fl_panic_if(r != 0 && r != -ESRCH, "a watch: %s", strerror(-r));
    if (r == 0) {
        r = fl_watch_off_cpu(&watch);
        fl_panic_if(r != -ESRCH && r != 0 && r != 1, "a watch says %d", r);
        fl_watch_close(&watch);
    }
    size_t count = fl_backtrace_thread(tid, low, high, pcs, FRAMES, &certain);
    bool named = count > 0; /* on a busy machine the other who looks may have the tables for longer than one waits for them */
    for (size_t i = 0; i < count; i++)
        named = fl_backtrace_symbol(pcs[i], text, sizeof text);
#if FL_LIBDW
    fl_panic_if(named && count == certain && count < FRAMES && !strstr(text, "clone"), "%zu calls are sure, and the outermost is %s", count,
                text);
#endif
    add_relaxed(&looks, 1);      /* counter */
    add_relaxed(&frames, count); /* counter */
    add_relaxed(&sure, certain); /* counter */
    add_relaxed(&names, named);  /* counter */
}

static void *look_on(void *arg)
{
    uint64_t state = *(uint64_t *)arg;
    while (!load_relaxed(&ending)) { /* counter */
        uint64_t which = dice(&state) % ALL;
        look(&seats[which], which == ALL - 1);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)fl_clock(), seeds[2] = {seed * 7 | 1, seed * 13 | 1};
    int seconds = argc > 2 ? atoi(argv[2]) : 5;
    pthread_t lookers[2];
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    fl_panic_if(pipe2(never, O_CLOEXEC) != 0, "a pipe");
    for (int i = 0; i < ALL; i++) {
        seats[i].state = (seed + (uint64_t)i) * 0x9e3779b97f4a7c15u | 1;
        int r = pthread_create(&seats[i].thread, NULL, i < MOVERS ? move : i < MOVERS + SHORT ? start_again : sleep_on, &seats[i]);
        fl_panic_if(r != 0, "a thread: %s", strerror(r));
    }
    usleep(200000); /* the sleeper is in its read(2) */
    for (int i = 0; i < 2; i++)
        fl_panic_if(pthread_create(&lookers[i], NULL, look_on, &seeds[i]) != 0, "a thread");
    sleep((unsigned)seconds);
    store_relaxed(&ending, true); /* counter */
    for (int i = 0; i < 2; i++)
        pthread_join(lookers[i], NULL);
    fl_panic_if(write(never[1], "x", 1) != 1, "a write");
    for (int i = 0; i < ALL; i++)
        pthread_join(seats[i].thread, NULL);
    printf("%llu looks, %llu calls, %llu of them sure, %llu outermost ones named\n", (unsigned long long)load_relaxed(&looks), /* counter */
           (unsigned long long)load_relaxed(&frames), (unsigned long long)load_relaxed(&sure),                                 /* counter */
           (unsigned long long)load_relaxed(&names));                                                                          /* counter */
    return load_relaxed(&looks) == 0 || load_relaxed(&names) == 0;                                                             /* counter */
}
