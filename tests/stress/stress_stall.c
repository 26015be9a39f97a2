/* SPDX-License-Identifier: MIT */
/* stress_stall [SEED [SECONDS]]: tasks that stall their carriers at random, among others.
 *
 * Rounds of a runtime with 1 to 8 workers and some number of reliefs, also none and one. Tasks fork and join, pass items through channels, sleep, read and write pipes, hold a
 * mutex; and any of them may compute for long, sleep in the kernel, sit in a read(2), announce a blocking call, be pinned over what parks, or spawn a child that is isolated,
 * wherever it is. A plain thread submits and calls beside. Some rounds would be told of a deadlock, which there is none, and some are told of stalls.
 *
 * Laws: every item that was sent is received once; every task that was spawned has run once; a pinned task stays on its thread; what one holds nobody else has; every round comes to its
 * end, with no more kernel threads than may be. Plain memory where a lock or a channel guards it, for TSan. */
#include <filch.h>

#include "base/atomic.h"
#include "base/attr.h"
#include "base/panic.h"
#include "machine/clock.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAIRS = 2, ITEMS = 150, TREES = 3, DEPTH = 5, PIPES = 2, BYTES = 60, SLEEPERS = 3, NAPS = 40, LOCKERS = 3, TURNS = 40, CALLS = 20 };

static _Atomic(uint64_t) stalls, reports, tasks;

static uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t child_seed(uint64_t *state)
{
    return dice(state) * 0x9e3779b97f4a7c15u | 1;
}

struct round {
    uint64_t seed;
    unsigned often; /* one in so many turns stalls */
    filch_runtime *runtime;
    filch_chan *chans[PAIRS];
    int pipes[PIPES][2], dead_end[2]; /* nobody writes to the last one but for who sits in a read of it */
    _Atomic(int64_t) spawned, ran;
    _Atomic(int64_t) left[PAIRS], sum[PAIRS];
    filch_mutex mutex;
    int64_t locked; /* under the mutex */
};

struct actor {
    struct round *round;
    uint64_t seed;
    int me;
};

/* Lives as long as the round. */
static struct actor actors[128];
static unsigned actors_used;

static struct actor *new_actor(struct round *round, uint64_t *state, int me)
{
    fl_panic_if(actors_used == sizeof actors / sizeof *actors, "too few actors");
    actors[actors_used] = (struct actor){round, child_seed(state), me};
    return &actors[actors_used++];
}

/* ---- stalls ---- */

static FL_NOINLINE int my_tid(void)
{
    return (int)syscall(SYS_gettid);
}

static void compute_for(int64_t ns)
{
    for (int64_t end = fl_clock() + ns; fl_clock() < end;)
        ;
}

/* A read that waits until a byte comes, from whoever sits in the same: as many bytes as reads go in, later. */
static void *write_later(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = 700000}, NULL);
    fl_panic_if(write(((struct round *)arg)->dead_end[1], "x", 1) != 1, "a write to a pipe");
    return NULL;
}

static void sit_in_read(struct round *round)
{
    char byte;
    pthread_t thread;
    int r = pthread_create(&thread, NULL, write_later, round);
    fl_panic_if(r != 0, "no kernel thread: %d", r);
    while (read(round->dead_end[0], &byte, 1) != 1)
        fl_panic_if(errno != EINTR, "a read of a pipe");
    pthread_join(thread, NULL);
}

static int alone(void *arg)
{
    struct round *round = arg;
    int tid = my_tid();
    filch_sleep(20000);
    usleep(100);
    fl_panic_if(my_tid() != tid, "an isolated task has changed threads");
    add_relaxed(&round->ran, 1); /* counter */
    return 0;
}

static void spawn_isolated(struct round *round)
{
    FILCH_SCOPE(s);
    add_relaxed(&round->spawned, 1); /* counter */
    int r = filch_spawn_with(&s, &(filch_task_options){.isolated = true}, alone, round);
    fl_panic_if(r != 0, "no isolated task: %d", r);
    r = filch_join(&s);
    fl_panic_if(r != 0, "an isolated task returned %d", r);
}

static void stay_pinned(struct round *round, uint64_t *state)
{
    filch_pin();
    int tid = my_tid();
    for (int i = 0; i < 3; i++) {
        switch (dice(state) % 4) {
        case 0:
            filch_yield();
            break;
        case 1:
            filch_sleep((int64_t)(dice(state) % 300000));
            break;
        case 2:
            spawn_isolated(round);
            break;
        default:
            compute_for((int64_t)(dice(state) % 300000));
        }
        fl_panic_if(my_tid() != tid, "a pinned task has changed threads");
    }
    filch_unpin();
}

static void perhaps_stall(struct round *round, uint64_t *state)
{
    if (dice(state) % round->often)
        return;
    add_relaxed(&stalls, 1); /* counter */
    switch (dice(state) % 8) {
    case 0:
    case 1:
        compute_for((int64_t)(dice(state) % 1500000));
        break;
    case 2:
        usleep((useconds_t)(dice(state) % 2000));
        break;
    case 3:
        sit_in_read(round);
        break;
    case 4:
        filch_blocking_enter();
        usleep((useconds_t)(dice(state) % 1000));
        filch_blocking_leave();
        break;
    case 5:
        filch_blocking_enter();
        sit_in_read(round);
        filch_blocking_leave();
        break;
    case 6:
        stay_pinned(round, state);
        break;
    default:
        spawn_isolated(round);
    }
}

/* ---- the tasks ---- */

static int send_items(void *arg)
{
    struct actor *actor = arg;
    struct round *round = actor->round;
    for (int64_t i = 1; i <= ITEMS; i++) {
        int r = filch_chan_send(round->chans[actor->me], &i);
        fl_panic_if(r != 0, "a send returned %d", r);
        perhaps_stall(round, &actor->seed);
    }
    if (sub_acq_rel(&round->left[actor->me], 1) == 1) /* counter: the others have sent all they will */
        filch_chan_close(round->chans[actor->me]);
    add_relaxed(&round->ran, 1); /* counter */
    return 0;
}

static int recv_items(void *arg)
{
    struct actor *actor = arg;
    struct round *round = actor->round;
    int64_t item;
    while (filch_chan_recv(round->chans[actor->me], &item) == 0) {
        add_relaxed(&round->sum[actor->me], item); /* counter */
        perhaps_stall(round, &actor->seed);
    }
    add_relaxed(&round->ran, 1); /* counter */
    return 0;
}

struct branch {
    struct round *round;
    uint64_t seed;
    int depth;
};

static int grow(void *arg)
{
    struct branch branch = *(struct branch *)arg;
    perhaps_stall(branch.round, &branch.seed);
    if (branch.depth > 0) {
        struct branch left = {branch.round, child_seed(&branch.seed), branch.depth - 1}, right = left;
        right.seed = child_seed(&branch.seed);
        add_relaxed(&branch.round->spawned, 2); /* counter */
        if (branch.seed % 3 == 0) {
            filch_frame frame;
            filch_fork(&frame, grow, &left);
            grow(&right);
            filch_meet(&frame);
        } else {
            FILCH_SCOPE(s);
            fl_panic_if(filch_spawn(&s, grow, &left) != 0 || filch_spawn(&s, grow, &right) != 0, "no memory");
            perhaps_stall(branch.round, &branch.seed);
            int r = filch_join(&s);
            fl_panic_if(r != 0, "a join returned %d", r);
        }
    }
    add_relaxed(&branch.round->ran, 1); /* counter */
    return 0;
}

static int plant(void *arg)
{
    struct actor *actor = arg;
    struct branch root = {actor->round, child_seed(&actor->seed), DEPTH};
    return grow(&root);
}

static int write_bytes(void *arg)
{
    struct actor *actor = arg;
    for (int i = 0; i < BYTES; i++) {
        char byte = (char)i;
        fl_panic_if(filch_write(actor->round->pipes[actor->me][1], &byte, 1) != 1, "a write");
        perhaps_stall(actor->round, &actor->seed);
    }
    add_relaxed(&actor->round->ran, 1); /* counter */
    return 0;
}

static int read_bytes(void *arg)
{
    struct actor *actor = arg;
    for (int i = 0; i < BYTES; i++) {
        char byte;
        fl_panic_if(filch_read(actor->round->pipes[actor->me][0], &byte, 1) != 1 || byte != (char)i, "byte %d", i);
        perhaps_stall(actor->round, &actor->seed);
    }
    add_relaxed(&actor->round->ran, 1); /* counter */
    return 0;
}

static int sleep_often(void *arg)
{
    struct actor *actor = arg;
    for (int i = 0; i < NAPS; i++) {
        int64_t until = filch_after((int64_t)(dice(&actor->seed) % 400000));
        int r = filch_sleep_until(until);
        fl_panic_if(r != 0 || filch_now() < until, "a sleep returned %d, %lld ns early", r, (long long)(until - filch_now()));
        perhaps_stall(actor->round, &actor->seed);
        filch_yield_if_needed();
    }
    add_relaxed(&actor->round->ran, 1); /* counter */
    return 0;
}

static int lock_often(void *arg)
{
    struct actor *actor = arg;
    for (int i = 0; i < TURNS; i++) {
        FILCH_GUARD(&actor->round->mutex);
        int64_t seen = actor->round->locked;
        perhaps_stall(actor->round, &actor->seed);
        if (dice(&actor->seed) % 8 == 0)
            filch_yield();
        actor->round->locked = seen + 1;
    }
    add_relaxed(&actor->round->ran, 1); /* counter */
    return 0;
}

static void spawn(filch_scope *scope, struct round *round, uint64_t *state, filch_fn *fn, int me)
{
    add_relaxed(&round->spawned, 1); /* counter */
    int r = filch_spawn(scope, fn, new_actor(round, state, me));
    fl_panic_if(r != 0, "a spawn returned %d", r);
}

static int everything(void *arg)
{
    struct round *round = arg;
    uint64_t state = round->seed;
    FILCH_SCOPE(s);
    for (int i = 0; i < PAIRS; i++)
        for (int k = 0; k < 2; k++) {
            spawn(&s, round, &state, send_items, i);
            spawn(&s, round, &state, recv_items, i);
        }
    for (int i = 0; i < PIPES; i++) {
        spawn(&s, round, &state, write_bytes, i);
        spawn(&s, round, &state, read_bytes, i);
    }
    for (int i = 0; i < SLEEPERS; i++)
        spawn(&s, round, &state, sleep_often, i);
    for (int i = 0; i < LOCKERS; i++)
        spawn(&s, round, &state, lock_often, i);
    for (int i = 0; i < TREES; i++)
        spawn(&s, round, &state, plant, i);
    return filch_join(&s);
}

/* ---- beside ---- */

static int submitted(void *arg)
{
    struct round *round = arg;
    uint64_t state = (uint64_t)fl_clock() | 1;
    perhaps_stall(round, &state);
    add_relaxed(&round->ran, 1); /* counter */
    return 5;
}

static void *come_from_outside(void *arg)
{
    struct actor *actor = arg;
    for (int i = 0; i < CALLS; i++) {
        add_relaxed(&actor->round->spawned, 2); /* counter */
        fl_panic_if(filch_submit(actor->round->runtime, submitted, actor->round) != 0, "no memory");
        int r = filch_call(actor->round->runtime, submitted, actor->round);
        fl_panic_if(r != 5, "a call returned %d", r);
    }
    filch_let_go(actor->round->runtime);
    return NULL;
}

static void no_deadlock(filch_runtime *runtime, const char *report)
{
    fputs(report, stderr);
    filch_dump(runtime, STDERR_FILENO);
    fl_panic("a deadlock was told of, and there is none");
}

static void told(filch_runtime *runtime, const filch_stall *stall)
{
    fl_panic_if(stall->worker >= filch_workers(runtime) + stall->relief_max || stall->reliefs > stall->relief_max || stall->ns <= 0,
                "a report that cannot be: %s", stall->text);
    add_relaxed(&reports, 1); /* counter */
}

/* Regular workers, the monitor and reliefs: their names begin with the runtime's, and no two have the same. Who is started by a task has its carrier's name, and then that of
 * an isolated task, whose thread may end a moment later than its scope. A thread of the round before, which had another name, may be there still: a join returns before
 * the kernel has taken it off its list. */
static unsigned carriers(const char *runtime, char (*names)[16])
{
    size_t length = strlen(runtime);
    DIR *dir = opendir("/proc/self/task");
    unsigned n = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir)) && n < 128;) {
        char path[300];
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (!file)
            continue;
        bool is_new =
            fgets(names[n], sizeof names[n], file) && strncmp(names[n], runtime, length) == 0 && strcmp(names[n] + length, "/task\n") != 0;
        for (unsigned i = 0; i < n; i++)
            is_new = is_new && strcmp(names[i], names[n]) != 0;
        n += is_new;
        fclose(file);
    }
    if (dir)
        closedir(dir);
    return n;
}

static void play(uint64_t *state)
{
    static const unsigned limits[] = {0, 0, 1, 2, 3, 8, FILCH_RELIEF_NONE};
    static const unsigned rates[] = {10, 40, 200};
    static unsigned turn;
    char name[8];
    snprintf(name, sizeof name, "chaos%u", turn++ % 10);
    struct round round = {.seed = child_seed(state), .often = rates[dice(state) % 3]};
    filch_config config = {.workers = 1 + (unsigned)(dice(state) % 8), .relief = limits[dice(state) % 7], .name = name};
    unsigned most = config.workers + 1 + (config.relief == FILCH_RELIEF_NONE ? 0 : config.relief ? config.relief : 64);
    if (dice(state) % 2)
        config.on_deadlock = no_deadlock;
    if (dice(state) % 2) {
        config.on_stall = told;
        config.stall_after = 500000;
    }
    if (dice(state) % 8 == 0)
        config.stack_size = 32768;
    for (int i = 0; i < PAIRS; i++) {
        fl_panic_if(filch_chan_new(sizeof(int64_t), i ? dice(state) % 5 : 0, &round.chans[i]) != 0, "no memory");
        store_relaxed(&round.left[i], 2); /* init: before any thread */
    }
    for (int i = 0; i < PIPES; i++)
        fl_panic_if(pipe(round.pipes[i]) != 0, "no descriptors");
    fl_panic_if(pipe(round.dead_end) != 0, "no descriptors");
    actors_used = 0;
    int r = filch_start(&config, &round.runtime);
    fl_panic_if(r != 0, "start: %d", r);
    filch_hold(round.runtime);
    pthread_t thread;
    pthread_create(&thread, NULL, come_from_outside, &(struct actor){&round, child_seed(state), 0});
    add_relaxed(&round.spawned, 1); /* counter */
    r = filch_call(round.runtime, everything, &round);
    fl_panic_if(r != 0, "the round returned %d", r);
    static char names[128][16];
    unsigned there = carriers(name, names);
    for (unsigned i = 0; there > most && i < there; i++)
        fputs(names[i], stderr);
    fl_panic_if(there > most, "%u carriers, where there may be %u", there, most);
    pthread_join(thread, NULL);
    r = filch_stop(round.runtime, FILCH_NEVER);
    fl_panic_if(r != 0, "stop: %d", r);
    int64_t spawned = load_relaxed(&round.spawned) - 1, ran = load_relaxed(&round.ran); /* counter; `everything` does not count itself */
    fl_panic_if(spawned != ran, "%lld tasks were spawned, %lld have run", (long long)spawned, (long long)ran);
    for (int i = 0; i < PAIRS; i++) {
        int64_t sum = load_relaxed(&round.sum[i]); /* counter */
        fl_panic_if(sum != 2 * ITEMS * (ITEMS + 1) / 2, "other items came than were sent: %lld", (long long)sum);
        fl_panic_if(filch_chan_length(round.chans[i]) != 0, "an item is left");
        filch_chan_free(round.chans[i]);
    }
    fl_panic_if(round.locked != LOCKERS * TURNS, "two held the mutex at once");
    for (int i = 0; i < PIPES; i++)
        close(round.pipes[i][0]), close(round.pipes[i][1]);
    close(round.dead_end[0]), close(round.dead_end[1]);
    add_relaxed(&tasks, (uint64_t)ran); /* counter */
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)fl_clock(), state = seed * 2 + 1, rounds = 0;
    double seconds = argc > 2 ? atof(argv[2]) : 5;
    printf("stress_stall: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    for (int64_t end = fl_clock() + (int64_t)(seconds * 1e9); fl_clock() < end; rounds++)
        play(&state);
    printf("stress_stall: %llu rounds, %llu tasks, %llu stalls, %llu told of\n", (unsigned long long)rounds,
           (unsigned long long)load_relaxed(&tasks),                                               /* counter */
           (unsigned long long)load_relaxed(&stalls), (unsigned long long)load_relaxed(&reports)); /* counter */
    return 0;
}
