/* SPDX-License-Identifier: MIT */
/* stress_timer [SEED [SECONDS]]: four threads add, remove and expire timers of two wheels at random, on the real clock.
 *
 * Laws: each timer that was added is either fired once or removed, never both, never neither; none fires before its time; after a removal returns, its
 * memory is nobody's (it is freed at once, which is for ASan to check). A timer belongs to the thread that added it; anybody fires it. */
#include "sched/timer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/panic.h"

enum { THREADS = 4, WHEELS = 2, OWN = 200 };

struct probe {
    struct fl_timer timer;
    _Atomic(uint32_t) fired; /* since it was added */
    int64_t not_before;
};

static struct fl_wheel wheels[WHEELS];
static _Atomic(uint64_t) added, fired, removed;
static _Atomic(bool) stop;
static uint64_t seed;

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void fire(struct fl_timer *timer)
{
    struct probe *probe = fl_container_of(timer, struct probe, timer);
    fl_panic_if(now() < probe->not_before, "a timer fired %lld ns early", (long long)(probe->not_before - now()));
    fl_panic_if(add_relaxed(&probe->fired, 1) != 0, "a timer fired twice"); /* counter */
    add_relaxed(&fired, 1);                                                 /* counter */
    fl_timer_done(timer);
}

static void settle(struct probe **place)
{
    struct probe *probe = *place;
    bool was_queued = fl_timer_remove(&probe->timer);
    uint32_t count = load_relaxed(&probe->fired); /* [done] made it ours */
    bool never = probe->not_before == INT64_MAX;
    fl_panic_if(never && (was_queued || count), "a timer without a time was queued or fired");
    fl_panic_if(!never && count + was_queued != 1, "a timer was fired %u times and %s", count, was_queued ? "removed" : "not removed");
    add_relaxed(&removed, was_queued); /* counter */
    free(probe);
    *place = NULL;
}

static void *work(void *arg)
{
    uint64_t state = seed + ((uint64_t)(uintptr_t)arg + 1) * 0x9e3779b97f4a7c15u;
    struct probe *own[OWN] = {0};
    while (!load_relaxed(&stop)) { /* hint: a round more does no harm */
        uint64_t roll = dice(&state);
        struct probe **place = &own[dice(&state) % OWN];
        if (roll % 16 == 0) {
            struct fl_wheel *wheel = &wheels[dice(&state) % WHEELS];
            if (fl_wheel_due(wheel, now()) || roll % 32 == 0)
                fl_wheel_expire(wheel, now());
        } else if (*place) {
            settle(place);
        } else {
            *place = calloc(1, sizeof(**place));
            fl_panic_if(!*place, "out of memory");
            (*place)->timer.fire = fire;
            (*place)->not_before =
                roll % 50 == 0 ? INT64_MAX : now() - 20000 + (int64_t)(dice(&state) % (UINT64_C(1) << dice(&state) % 30));
            bool never = (*place)->not_before == INT64_MAX;
            add_relaxed(&added, !never); /* counter */
            fl_timer_add(&wheels[dice(&state) % WHEELS], &(*place)->timer, (*place)->not_before);
        }
    }
    for (int i = 0; i < OWN; i++)
        if (own[i])
            settle(&own[i]);
    return NULL;
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)now();
    double seconds = argc > 2 ? atof(argv[2]) : 2;
    printf("stress_timer: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    for (int i = 0; i < WHEELS; i++)
        fl_wheel_init(&wheels[i], now());
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i);
    nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)}, NULL);
    store_relaxed(&stop, true); /* hint: seen soon */
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);

    uint64_t expired = 0;
    for (int i = 0; i < WHEELS; i++) {
        unsigned long long left = load_relaxed(&wheels[i].count); /* counter */
        fl_panic_if(left != 0, "%llu timers are left", left);
        expired += load_relaxed(&wheels[i].expired); /* counter */
    }
    fl_panic_if(load_relaxed(&fired) != expired, "fired and expired differ");                                      /* counter */
    fl_panic_if(load_relaxed(&added) != expired + load_relaxed(&removed), "added timers are not fired + removed"); /* counter */
    printf("stress_timer: %llu added, %llu fired, %llu removed\n", (unsigned long long)load_relaxed(&added),       /* counter */
           (unsigned long long)expired, (unsigned long long)load_relaxed(&removed));                               /* counter */
    return 0;
}
