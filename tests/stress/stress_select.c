/* SPDX-License-Identifier: MIT */
/* stress_select [SEED [SECONDS]]: selects over everything, among themselves and with plain calls, cut short at random.
 *
 * Rounds of a runtime with 1, 2, 8 or 64 workers and two plain threads beside it. Gamblers select over a random handful of cases: sending to and receiving from channels
 * of capacity 0, 2 and unbounded, a unit of a semaphore, an event that resets itself, a pipe, the end of a scope, a moment from now, nothing; half of them in a scope
 * with a deadline of a few microseconds. Runners hand tokens on between rendezvous channels by selects that have no time limit, until all laps are run.
 *
 * Laws: what was sent is received, once, or still in its channel, counted and summed; units come back; a byte of the pipe is read once; no token is lost, and the
 * laps end, so no wake-up is lost either. */
#include <filch.h>

#include "base/atomic.h"
#include "base/attr.h"
#include "base/panic.h"
#include "machine/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CHANNELS = 3, TRACKS = 3, GAMBLERS = 8, RUNNERS = 6, TOKENS = 3, TURNS = 150, LAPS = 600, UNITS = 2 };

static const size_t capacities[CHANNELS] = {0, 2, FILCH_UNBOUNDED};
static const unsigned workers[] = {1, 2, 8, 64};
static filch_chan *chans[CHANNELS], *tracks[TRACKS];
static _Atomic(int64_t) sent, received, sent_sum, received_sum, bytes_in, bytes_out, laps, selects, cut;
static filch_sem sem;
static filch_event bell, finish;
static int pipe_fds[2];

static uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

struct actor {
    uint64_t seed;
    bool thread;
};

static int nap(void *arg)
{
    filch_sleep((int64_t)(uintptr_t)arg);
    return 0;
}

/* ---- gamblers ---- */

enum { SEND, RECV, UNIT, BELL, PIPE, SCOPE, MOMENT, NOTHING, KINDS };

static int64_t number(struct actor *actor)
{
    return (int64_t)(dice(&actor->seed) % 1000 + 1);
}

static void won(struct actor *actor, int kind, const filch_case *c, int64_t out, int64_t in)
{
    char byte;
    switch (kind) {
    case SEND:
        fl_panic_if(c->result != 0, "a send's result is %d", c->result);
        add_relaxed(&sent, 1);       /* counter */
        add_relaxed(&sent_sum, out); /* counter */
        break;
    case RECV:
        fl_panic_if(c->result != 0, "a receive's result is %d", c->result);
        add_relaxed(&received, 1);      /* counter */
        add_relaxed(&received_sum, in); /* counter */
        break;
    case UNIT:
        if (!actor->thread && dice(&actor->seed) % 2)
            filch_yield();
        filch_sem_release(&sem);
        break;
    case PIPE:
        fl_panic_if(!(c->result & POLLIN), "the pipe's result is %d", c->result);
        if (read(pipe_fds[0], &byte, 1) == 1)
            add_relaxed(&bytes_out, 1); /* counter */
        break;
    default:
        fl_panic_if(c->result != 0, "a result is %d", c->result);
    }
}

static void gamble(struct actor *actor, filch_scope *children)
{
    enum { MOST = 6 };
    filch_case cases[MOST + 1];
    int kinds[MOST + 1], n = 0;
    int64_t out = number(actor), in = 0;
    for (uint64_t left = dice(&actor->seed) % MOST + 1; left > 0; left--) {
        int kind = (int)(dice(&actor->seed) % KINDS);
        if (kind == NOTHING && dice(&actor->seed) % 4)
            kind = RECV;
        filch_chan *chan = chans[dice(&actor->seed) % CHANNELS];
        kinds[n] = kind;
        cases[n] = kind == SEND                ? filch_case_send(chan, &out)
                   : kind == RECV              ? filch_case_recv(chan, &in)
                   : kind == UNIT              ? filch_case_sem(&sem)
                   : kind == BELL              ? filch_case_event(&bell)
                   : kind == PIPE              ? filch_case_fd(pipe_fds[0], POLLIN)
                   : kind == SCOPE && children ? filch_case_scope(children)
                   : kind == NOTHING           ? filch_case_default()
                                               : filch_case_until(filch_after((int64_t)(dice(&actor->seed) % 50000)));
        children = kind == SCOPE ? NULL : children; /* at most one case of a select */
        n++;
    }
    kinds[n] = MOMENT;
    cases[n++] = filch_case_until(filch_after((int64_t)(dice(&actor->seed) % 200000)));
    int i = filch_select(cases, (size_t)n);
    add_relaxed(&selects, 1); /* counter */
    if (i == -ETIMEDOUT)
        add_relaxed(&cut, 1); /* counter */
    else
        fl_panic_if(i < 0, "a select returned %d", i);
    if (i >= 0)
        won(actor, kinds[i], &cases[i], out, in);
    if (dice(&actor->seed) % 4 == 0)
        filch_event_set(&bell);
    if (dice(&actor->seed) % 4 == 0 && write(pipe_fds[1], "x", 1) == 1)
        add_relaxed(&bytes_in, 1); /* counter */
}

static int gambler(void *arg)
{
    struct actor *actor = arg;
    for (int turn = 0; turn < TURNS; turn++) {
        if (actor->thread) {
            gamble(actor, NULL);
            continue;
        }
        FILCH_SCOPE_UNTIL(s, dice(&actor->seed) % 2 ? FILCH_NEVER : filch_after((int64_t)(dice(&actor->seed) % 40000)));
        if (dice(&actor->seed) % 4 == 0)
            filch_spawn(&s, nap, (void *)(uintptr_t)(dice(&actor->seed) % 40000));
        gamble(actor, &s);
        filch_join(&s);
    }
    return 0;
}

/* ---- runners ---- */

static int runner(void *arg)
{
    struct actor *actor = arg;
    for (;;) {
        int64_t token;
        uint64_t first = dice(&actor->seed) % TRACKS;
        filch_case take[] = {filch_case_recv(tracks[first], &token), filch_case_recv(tracks[(first + 1) % TRACKS], &token),
                             filch_case_event(&finish)};
        if (filch_select(take, 3) == 2)
            return 0;
        if (add_relaxed(&laps, 1) >= LAPS) /* counter */
            filch_event_set(&finish);
        first = dice(&actor->seed) % TRACKS; /* two of three tracks: whoever takes from two has one in common with whoever hands on */
        filch_case hand[] = {filch_case_send(tracks[first], &token), filch_case_send(tracks[(first + 1) % TRACKS], &token),
                             filch_case_event(&finish)};
        if (filch_select(hand, 3) == 2)
            return 0;
    }
}

static int starter(void *arg)
{
    int64_t token = (int64_t)(uintptr_t)arg;
    filch_case hand[] = {filch_case_send(tracks[0], &token), filch_case_send(tracks[1], &token), filch_case_event(&finish)};
    fl_panic_if(filch_select(hand, 3) < 0, "a token does not start");
    return 0;
}

/* ---- a round ---- */

static struct actor actors[GAMBLERS + RUNNERS + 2];

static int everything(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    int r = 0;
    for (int i = 0; i < GAMBLERS + RUNNERS; i++)
        r |= filch_spawn(&s, i < GAMBLERS ? gambler : runner, &actors[i]);
    for (int i = 0; i < TOKENS; i++)
        r |= filch_spawn(&s, starter, (void *)(uintptr_t)i);
    fl_panic_if(r != 0, "no memory");
    return filch_join(&s);
}

static void *beside(void *arg)
{
    struct actor *actor = arg;
    if (dice(&actor->seed) % 2)
        gambler(actor);
    else
        runner(actor);
    return NULL;
}

static void play(uint64_t *state)
{
    pthread_t threads[2];
    int64_t value;
    char byte;
    sem = (filch_sem)FILCH_SEM(UNITS);
    bell = (filch_event)FILCH_EVENT_AUTO;
    finish = (filch_event){0};
    store_relaxed(&laps, 0); /* init: before any thread */
    for (int i = 0; i < CHANNELS; i++)
        fl_panic_if(filch_chan_new(sizeof value, capacities[i], &chans[i]) != 0, "no memory");
    for (int i = 0; i < TRACKS; i++)
        fl_panic_if(filch_chan_new(sizeof value, 0, &tracks[i]) != 0, "no memory");
    for (int i = 0; i < GAMBLERS + RUNNERS + 2; i++)
        actors[i] = (struct actor){.seed = dice(state) * 0x9e3779b97f4a7c15u | 1, .thread = i >= GAMBLERS + RUNNERS};
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, beside, &actors[GAMBLERS + RUNNERS + i]);
    int r = filch_run(&(filch_config){.workers = workers[dice(state) % 4]}, everything, NULL);
    fl_panic_if(r != 0, "the round returned %d", r);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < CHANNELS; i++) {
        while (filch_chan_try_recv(chans[i], &value) == 0) {
            add_relaxed(&received, 1);         /* counter */
            add_relaxed(&received_sum, value); /* counter */
        }
        filch_chan_free(chans[i]);
    }
    for (int i = 0; i < TRACKS; i++)
        filch_chan_free(tracks[i]);
    fl_panic_if(exchange_acq_rel(&sent, 0) != exchange_acq_rel(&received, 0), "a value was lost or doubled");              /* counter */
    fl_panic_if(exchange_acq_rel(&sent_sum, 0) != exchange_acq_rel(&received_sum, 0), "other values came than were sent"); /* counter */
    for (int i = 0; i < UNITS; i++)
        fl_panic_if(!filch_sem_try(&sem), "a unit was lost");
    fl_panic_if(filch_sem_try(&sem), "a unit was doubled");
    while (read(pipe_fds[0], &byte, 1) == 1)
        add_relaxed(&bytes_out, 1);                                                                    /* counter */
    fl_panic_if(exchange_acq_rel(&bytes_in, 0) != exchange_acq_rel(&bytes_out, 0), "a byte was lost"); /* counter */
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)fl_clock(), state = seed * 2 + 1, rounds = 0;
    double seconds = argc > 2 ? atof(argv[2]) : 4;
    printf("stress_select: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    fl_panic_if(pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC) != 0, "no pipe");
    for (int64_t end = fl_clock() + (int64_t)(seconds * 1e9); fl_clock() < end; rounds++)
        play(&state);
    printf("stress_select: %llu rounds, %lld selects, %lld cut short\n", (unsigned long long)rounds, (long long)load_relaxed(&selects),
           (long long)load_relaxed(&cut)); /* counter */
    return 0;
}
