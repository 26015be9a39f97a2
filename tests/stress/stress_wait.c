/* SPDX-License-Identifier: MIT */
/* stress_wait [SEED [SECONDS]]: every object that one waits at, with waits that are cut short at random.
 *
 * Rounds of a runtime with 1, 2, 8 or 64 workers, and two plain threads beside it. Tasks send and receive numbers through channels of capacity 0, 3 and unbounded, take and
 * give units of a semaphore, put and take tokens under a mutex with a condition, read and write under a reader-writer lock. Half of the tasks' waits stand in a
 * scope with a deadline of a few microseconds.
 *
 * Laws: what was sent, and nothing else, is received, once; what one sender sent arrives in its order; never more holders than units, and as many units
 * at the end as at the beginning; each token is taken once; writers are alone; nobody waits for ever. Plain memory throughout, for TSan. */
#include <filch.h>

#include "base/atomic.h"
#include "base/attr.h"
#include "base/panic.h"
#include "machine/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { SENDERS = 4, RECEIVERS = 3, TURNS = 300, UNITS = 3, CHANNELS = 3 };

static const size_t capacities[CHANNELS] = {0, 3, FILCH_UNBOUNDED};
static const unsigned workers[] = {1, 2, 8, 64};
static filch_chan *chans[CHANNELS];
static _Atomic(int64_t) sent[CHANNELS], received[CHANNELS], sent_sum[CHANNELS], received_sum[CHANNELS], senders_left[CHANNELS];
static filch_sem sem;
static _Atomic(int) holders;
static filch_mutex mutex;
static filch_cond cond;
static int tokens, tokens_taken; /* under the mutex */
static filch_rwlock rwlock;
static int left, right; /* under the reader-writer lock */
static _Atomic(uint64_t) cut, waits;

static uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

struct value {
    uint32_t sender, number;
};

struct actor {
    uint64_t seed;
    int chan, me;
    bool thread; /* a plain thread has no scopes */
};

/* Some wait, perhaps with a deadline. */
static int perhaps_cut(struct actor *actor, int (*wait)(struct actor *actor, void *arg), void *arg)
{
    add_relaxed(&waits, 1); /* counter */
    if (actor->thread || dice(&actor->seed) % 2)
        return wait(actor, arg);
    FILCH_SCOPE_UNTIL(s, filch_after((int64_t)(dice(&actor->seed) % 30000)));
    int r = wait(actor, arg);
    fl_panic_if(r != 0 && r != -ETIMEDOUT && r != -EPIPE, "a wait returned %d", r);
    add_relaxed(&cut, r == -ETIMEDOUT); /* counter */
    return r;
}

/* ---- channels ---- */

static int send_value(struct actor *actor, void *arg)
{
    return filch_chan_send(chans[actor->chan], arg);
}

static int recv_value(struct actor *actor, void *arg)
{
    return filch_chan_recv(chans[actor->chan], arg);
}

static int send_many(void *arg)
{
    struct actor *actor = arg;
    for (uint32_t i = 1; i <= TURNS; i++) {
        struct value value = {(uint32_t)actor->me, i};
        int r = perhaps_cut(actor, send_value, &value);
        fl_panic_if(r != 0 && r != -ETIMEDOUT, "a send returned %d", r);
        if (r == 0) {
            add_relaxed(&sent[actor->chan], 1);     /* counter */
            add_relaxed(&sent_sum[actor->chan], i); /* counter */
        }
    }
    if (sub_acq_rel(&senders_left[actor->chan], 1) == 1) /* [last] the others have sent all they will */
        filch_chan_close(chans[actor->chan]);
    return 0;
}

static int recv_many(void *arg)
{
    struct actor *actor = arg;
    uint32_t last[SENDERS] = {0};
    for (;;) {
        struct value value = {UINT32_MAX, 0};
        int r = perhaps_cut(actor, recv_value, &value);
        if (r == -ETIMEDOUT)
            continue;
        if (r == -EPIPE)
            return 0;
        fl_panic_if(r != 0 || value.sender >= SENDERS, "a receive returned %d", r);
        fl_panic_if(value.number <= last[value.sender], "%u of sender %u came after %u", value.number, value.sender, last[value.sender]);
        last[value.sender] = value.number;
        add_relaxed(&received[actor->chan], 1);                /* counter */
        add_relaxed(&received_sum[actor->chan], value.number); /* counter */
    }
}

/* ---- the others ---- */

static int acquire(struct actor *actor, void *arg)
{
    (void)actor, (void)arg;
    return filch_sem_acquire(&sem);
}

static int hold_units(void *arg)
{
    struct actor *actor = arg;
    for (int i = 0; i < TURNS; i++) {
        if (perhaps_cut(actor, acquire, NULL) != 0)
            continue;
        fl_panic_if(add_acq_rel(&holders, 1) >= UNITS, "more holders than units"); /* counter */
        if (!actor->thread && dice(&actor->seed) % 4 == 0)
            filch_yield();
        sub_acq_rel(&holders, 1); /* counter */
        filch_sem_release(&sem);
    }
    return 0;
}

static int take_token(struct actor *actor, void *arg)
{
    (void)actor, (void)arg;
    FILCH_GUARD(&mutex);
    while (tokens == 0) {
        int r = filch_cond_wait(&cond, &mutex);
        if (r != 0)
            return r;
    }
    tokens--;
    tokens_taken++;
    return 0;
}

static int take_tokens(void *arg)
{
    struct actor *actor = arg;
    for (int got = 0; got < TURNS;)
        got += perhaps_cut(actor, take_token, NULL) == 0;
    return 0;
}

static int put_tokens(void *arg)
{
    struct actor *actor = arg;
    for (int put = 0; put < TURNS;) {
        int n = 1 + (int)(dice(&actor->seed) % 3);
        n = n < TURNS - put ? n : TURNS - put;
        filch_mutex_lock(&mutex);
        tokens += n;
        filch_mutex_unlock(&mutex);
        if (n == 1)
            filch_cond_signal(&cond);
        else
            filch_cond_broadcast(&cond);
        put += n;
        if (!actor->thread && dice(&actor->seed) % 8 == 0)
            filch_sleep(1000);
    }
    return 0;
}

static int read_and_write(void *arg)
{
    struct actor *actor = arg;
    for (int i = 0; i < TURNS; i++) {
        if (dice(&actor->seed) % 4 == 0) {
            filch_rwlock_write(&rwlock);
            left++;
            if (!actor->thread && dice(&actor->seed) % 8 == 0)
                filch_yield();
            right++;
        } else {
            filch_rwlock_read(&rwlock);
            fl_panic_if(left != right, "a reader met a writer");
            if (!actor->thread && dice(&actor->seed) % 16 == 0)
                filch_yield();
        }
        filch_rwlock_unlock(&rwlock);
    }
    return 0;
}

/* ---- a round ---- */

static struct actor actors[64];

static struct actor *new_actor(unsigned *used, uint64_t *state, int chan, int me, bool thread)
{
    struct actor *actor = &actors[(*used)++];
    *actor = (struct actor){.seed = dice(state) * 0x9e3779b97f4a7c15u | 1, .chan = chan, .me = me, .thread = thread};
    return actor;
}

static int everything(void *arg)
{
    uint64_t *state = arg;
    unsigned used = 2;
    FILCH_SCOPE(s);
    for (int chan = 0; chan < CHANNELS; chan++) {
        for (int i = 0; i < SENDERS; i++)
            fl_panic_if(filch_spawn(&s, send_many, new_actor(&used, state, chan, i, false)) != 0, "no memory");
        for (int i = 0; i < RECEIVERS; i++)
            fl_panic_if(filch_spawn(&s, recv_many, new_actor(&used, state, chan, i, false)) != 0, "no memory");
    }
    for (int i = 0; i < 5; i++)
        fl_panic_if(filch_spawn(&s, hold_units, new_actor(&used, state, 0, i, false)) != 0, "no memory");
    for (int i = 0; i < 3; i++) {
        fl_panic_if(filch_spawn(&s, take_tokens, new_actor(&used, state, 0, i, false)) != 0, "no memory");
        fl_panic_if(filch_spawn(&s, put_tokens, new_actor(&used, state, 0, i, false)) != 0, "no memory");
    }
    for (int i = 0; i < 4; i++)
        fl_panic_if(filch_spawn(&s, read_and_write, new_actor(&used, state, 0, i, false)) != 0, "no memory");
    return filch_join(&s);
}

/* What a plain thread does beside. */
static void *beside(void *arg)
{
    struct actor *actor = arg;
    if (actor->me == 0) {
        recv_many(actor);
        hold_units(actor);
    } else {
        read_and_write(actor);
        put_tokens(actor);
        take_tokens(actor);
        hold_units(actor);
    }
    return NULL;
}

static void play(uint64_t *state)
{
    pthread_t threads[2];
    unsigned used = 0;
    sem = (filch_sem)FILCH_SEM(UNITS);
    tokens = tokens_taken = left = right = 0;
    for (int i = 0; i < CHANNELS; i++) {
        fl_panic_if(filch_chan_new(sizeof(struct value), capacities[i], &chans[i]) != 0, "no memory");
        store_relaxed(&senders_left[i], SENDERS); /* init: before any thread */
    }
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, beside, new_actor(&used, state, (int)(dice(state) % CHANNELS), i, true));
    int r = filch_run(&(filch_config){.workers = workers[dice(state) % 4]}, everything, state);
    fl_panic_if(r != 0, "the round returned %d", r);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < CHANNELS; i++) {
        fl_panic_if(exchange_acq_rel(&sent[i], 0) != exchange_acq_rel(&received[i], 0), "a value was lost or doubled"); /* counter */
        fl_panic_if(exchange_acq_rel(&sent_sum[i], 0) != exchange_acq_rel(&received_sum[i], 0),
                    "other values came than were sent"); /* counter */
        fl_panic_if(filch_chan_length(chans[i]) != 0, "a value is left");
        filch_chan_free(chans[i]);
    }
    for (int i = 0; i < UNITS; i++)
        fl_panic_if(!filch_sem_try(&sem), "a unit was lost");
    fl_panic_if(filch_sem_try(&sem), "a unit was doubled");
    fl_panic_if(tokens != 0 || tokens_taken != 4 * TURNS, "%d tokens left, %d taken", tokens, tokens_taken);
    fl_panic_if(left != right, "two wrote at once");
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)fl_clock(), state = seed * 2 + 1, rounds = 0;
    double seconds = argc > 2 ? atof(argv[2]) : 4;
    printf("stress_wait: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    for (int64_t end = fl_clock() + (int64_t)(seconds * 1e9); fl_clock() < end; rounds++)
        play(&state);
    printf("stress_wait: %llu rounds, %llu waits, %llu cut short\n", (unsigned long long)rounds, (unsigned long long)load_relaxed(&waits),
           (unsigned long long)load_relaxed(&cut)); /* counter */
    return 0;
}
