/* SPDX-License-Identifier: MIT */
/* stress_idle [SEED [SECONDS]]: the protocol of sched/idle.h between model workers that sleep in poll(2) on eventfds, without any timeout.
 *
 * Each worker has a box of jobs that only it fills, by plain stores as the deque does, and that everybody empties; a plain thread fills one more. A job may fill new jobs into
 * the box of the worker that does it. Bursts come with pauses, so that the workers fall asleep again and again; one in a while some job holds its worker for milliseconds.
 *
 * Laws: no wake-up is lost (all jobs get done although a sleeper never wakes by itself: if nothing is done for 20 seconds while jobs wait, that is said); of
 * napping and lingering workers there is at most one each; when all is over, the word counts nobody. */
#include "sched/idle.h"

#include "base/lock.h"
#include "base/panic.h"
#include "machine/clock.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { WORKERS = 4, BOXES = WORKERS + 1 };

struct box {
    FL_ALIGN_PAIR _Atomic(uint64_t) filled;  /* written by its owner only */
    FL_ALIGN_PAIR _Atomic(uint64_t) emptied; /* by compare-and-swap */
};

static struct fl_idle idle;
static struct box boxes[BOXES]; /* the last one is the plain thread's */
static struct worker {
    struct fl_sleeper sleeper;
    int event;
    unsigned index;
    uint64_t state;
    pthread_t thread;
} workers[WORKERS];
static _Atomic(uint64_t) done, sleeps, naps, wakes, next_wake;
static _Atomic(bool) ending;

static uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void pause_ns(int64_t ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static void wake_one(void)
{
    uint64_t start = add_relaxed(&next_wake, 1); /* hint: spreads the wakes */
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *w = &workers[(start + i) % WORKERS];
        if (fl_idle_claim(&idle, &w->sleeper)) {
            add_relaxed(&wakes, 1); /* counter */
            eventfd_write(w->event, 1);
            return;
        }
    }
}

static void fill(struct box *box)
{
    store_release(&box->filled, load_relaxed(&box->filled) + 1); /* own: only the owner of the box */
    if (fl_idle_wanted(&idle))
        wake_one();
}

static bool empty(struct box *box)
{
    uint64_t at = load_relaxed(&box->emptied);       /* hint: the swap decides */
    while (at < load_acquire(&box->filled))          /* hint: the caller looks again behind its barrier */
        if (cas_acq_rel(&box->emptied, &at, at + 1)) /* counter */
            return true;
    return false;
}

static bool visible(void)
{
    for (unsigned i = 0; i < BOXES; i++)
        if (load_relaxed(&boxes[i].emptied) < load_relaxed(&boxes[i].filled)) /* hint: behind the sleeper's barrier */
            return true;
    return false;
}

static bool look(struct worker *w)
{
    for (unsigned i = 0; i < BOXES; i++)
        if (empty(&boxes[(w->index + i) % BOXES]))
            return true;
    return false;
}

static void job(struct worker *w)
{
    uint64_t roll = dice(&w->state);
    for (uint64_t i = roll % 64; i > 0; i--)
        fl_relax();
    if (roll >> 8 & 1)
        for (unsigned more = roll >> 9 & 1; more < 2; more++) /* 0.75 new ones on average: it dies out */
            fill(&boxes[w->index]);
    if ((roll >> 16) % 2048 == 0)
        pause_ns((int64_t)(roll >> 32) % 3000000); /* its box must be emptied by others meanwhile */
    add_relaxed(&done, 1);                         /* counter */
}

static void check(void)
{
    uint64_t word = load_relaxed(&idle.word); /* hint: any value it ever has must hold */
    unsigned total = fl_idle_searching(word) + fl_idle_sleeping(word) + fl_idle_napping(word);
    fl_panic_if(total > WORKERS, "%u of %u workers are idle", total, WORKERS);
    fl_panic_if(fl_idle_napping(word) > 1, "%u nap", fl_idle_napping(word));
    fl_panic_if(fl_idle_lingering(word) > 1, "%u linger", fl_idle_lingering(word));
    fl_panic_if(fl_idle_lingering(word) > fl_idle_sleeping(word), "who lingers does not count as sleeping");
}

static void nap(struct worker *w)
{
    struct pollfd event = {.fd = w->event, .events = POLLIN};
    poll(&event, 1, 1);
    fl_idle_nap_over(&idle);
    add_relaxed(&naps, 1); /* counter */
}

static void doze(struct worker *w)
{
    bool linger = fl_idle_doze(&idle, &w->sleeper, dice(&w->state) & 1);
    if (!visible() && !load_relaxed(&ending)) { /* hint: who ends wakes all afterwards */
        struct pollfd event = {.fd = w->event, .events = POLLIN};
        while (fl_idle_still(&w->sleeper) && !load_relaxed(&ending)) { /* hint: as above */
            int r = poll(&event, 1, linger ? 2 : -1);
            if (r > 0) {
                eventfd_t ignored;
                eventfd_read(w->event, &ignored);
            }
            if (linger && r == 0)
                break;
        }
        add_relaxed(&sleeps, 1); /* counter */
    }
    fl_idle_undo(&idle, &w->sleeper);
}

/* As the worker's search: @return false when it is over. */
static bool search(struct worker *w)
{
    fl_idle_search(&idle);
    bool found = false;
    while (!load_acquire(&ending) && !(found = look(w))) { /* hint: who ends wakes all afterwards */
        check();
        uint64_t word = load_relaxed(&idle.word); /* hint: both ways to wait are right */
        if (fl_idle_searching(word) + fl_idle_sleeping(word) + fl_idle_napping(word) < WORKERS && fl_idle_nap(&idle))
            nap(w);
        else
            doze(w);
    }
    if (fl_idle_found(&idle))
        wake_one();
    return found;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (;;) {
        while (empty(&boxes[w->index]))
            job(w);
        if (!search(w))
            return NULL;
        job(w);
    }
}

static uint64_t filled(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < BOXES; i++)
        sum += load_relaxed(&boxes[i].filled); /* counter */
    return sum;
}

/* Waits until all that was filled is done. */
static void settle(void)
{
    uint64_t seen = load_relaxed(&done);                                                /* counter */
    for (int64_t since = fl_clock(); load_relaxed(&done) < filled(); pause_ns(20000)) { /* counter */
        uint64_t now = load_relaxed(&done);                                             /* counter */
        if (now != seen) {
            seen = now;
            since = fl_clock();
        }
        fl_panic_if(fl_clock() - since > INT64_C(20000000000), "a wake-up was lost: %llu of %llu jobs done, word %llx",
                    (unsigned long long)now, (unsigned long long)filled(), (unsigned long long)load_relaxed(&idle.word)); /* counter */
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)fl_clock();
    double seconds = argc > 2 ? atof(argv[2]) : 4;
    printf("stress_idle: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    fl_barrier_init();
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].index = i;
        workers[i].state = seed + (i + 1) * 0x9e3779b97f4a7c15u;
        workers[i].event = eventfd(0, EFD_CLOEXEC);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    uint64_t state = seed * 2 + 1, bursts = 0;
    for (int64_t end = fl_clock() + (int64_t)(seconds * 1e9); fl_clock() < end; bursts++) {
        for (uint64_t n = 1 + dice(&state) % (1u << dice(&state) % 6); n > 0; n--)
            fill(&boxes[WORKERS]);
        if (dice(&state) % 4 == 0)
            settle();
        pause_ns((int64_t)(dice(&state) % (1u << dice(&state) % 23)));
    }
    settle();
    store_release(&ending, true); /* hint: and all are woken */
    for (unsigned i = 0; i < WORKERS; i++)
        eventfd_write(workers[i].event, 1);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned i = 0; i < WORKERS; i++)
        close(workers[i].event);              /* one that has claimed another's sleep wakes it, though that one may have ended by then */
    uint64_t word = load_relaxed(&idle.word); /* counter */
    fl_panic_if(word != 0, "nobody is left, but the word is %llx", (unsigned long long)word);
    printf("stress_idle: %llu bursts, %llu jobs, %llu sleeps, %llu naps, %llu wakes\n", (unsigned long long)bursts,
           (unsigned long long)load_relaxed(&done), (unsigned long long)load_relaxed(&sleeps), (unsigned long long)load_relaxed(&naps),
           (unsigned long long)load_relaxed(&wakes)); /* counter */
    return 0;
}
