/* SPDX-License-Identifier: MIT */
/* stress_deque [SEED [SECONDS]]: one owner pushes and pops at random, three thieves steal, the buffer starts with four slots and grows.
 *
 * Laws: each item that was pushed is taken exactly once; the three words of an item are never torn; what the owner wrote before it pushed an item is seen by
 * whoever takes it (a plain array, which is for TSan to check); thieves take in the order of the pushes.
 * The first half of the time runs with the asymmetric barrier, the second with fences on both sides. */
#define FL_DEQUE_FIRST_CAPACITY 4
#include "sched/deque.h"

#include "base/panic.h"
#include "machine/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THIEVES = 3, ITEMS = 30000 };

static struct filch_deque_ deque;
static uintptr_t payload[ITEMS];
static _Atomic(uint8_t) taken[ITEMS];
static _Atomic(bool) over;
static _Atomic(uint64_t) stolen, lost;
static uint64_t seed;

static uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uintptr_t mix(uintptr_t i)
{
    return i * 0x9e3779b97f4a7c15u << 3; /* no bits of a fork */
}

static void take(const struct fl_item *item)
{
    uintptr_t i = item->fn;
    fl_panic_if(i >= ITEMS || item->arg != ~i || item->whose != mix(i), "a torn item");
    fl_panic_if(payload[i] != mix(i + 1), "the item is visible, what it names is not");
    fl_panic_if(add_relaxed(&taken[i], 1) != 0, "item %zu was taken twice", (size_t)i); /* counter */
}

static void *steal(void *arg)
{
    (void)arg;
    uintptr_t last = 0;
    while (!load_relaxed(&over)) { /* hint: a round more does no harm */
        if (fl_deque_size_hint(&deque) == 0) {
            fl_relax();
            continue;
        }
        struct fl_item item;
        enum fl_stolen r = fl_deque_steal(&deque, &item);
        if (r == FL_STEAL_GOT) {
            take(&item);
            fl_panic_if(item.fn + 1 <= last, "item %zu was stolen after item %zu", (size_t)item.fn, (size_t)last - 1);
            last = item.fn + 1;
            add_relaxed(&stolen, 1); /* counter */
        } else if (r == FL_STEAL_LOST) {
            add_relaxed(&lost, 1); /* counter */
        }
    }
    return NULL;
}

static void own(uint64_t *state)
{
    uintptr_t next = 0;
    struct fl_item item;
    while (next < ITEMS) {
        uint64_t pushes = dice(state) % (UINT64_C(1) << dice(state) % 11), pops = dice(state) % (UINT64_C(1) << dice(state) % 11);
        for (; pushes > 0 && next < ITEMS; pushes--, next++) {
            payload[next] = mix(next + 1);
            fl_panic_if(!fl_deque_push(&deque, &(struct fl_item){next, ~next, mix(next), 0}), "out of memory");
        }
        for (; pops > 0 && fl_deque_pop(&deque, &item); pops--)
            take(&item);
    }
    while (fl_deque_pop(&deque, &item))
        take(&item);
}

static void play(uint64_t *state)
{
    memset(taken, 0, sizeof taken);
    deque.fenced_ = !load_relaxed(&fl_barrier_asymmetric); /* init: before any thread */
    fl_panic_if(!fl_deque_init(&deque, 0), "out of memory");
    store_relaxed(&over, false); /* init: no thief yet */
    pthread_t threads[THIEVES];
    for (int i = 0; i < THIEVES; i++)
        pthread_create(&threads[i], NULL, steal, NULL);
    own(state);
    store_relaxed(&over, true); /* hint: seen soon */
    for (int i = 0; i < THIEVES; i++)
        pthread_join(threads[i], NULL);
    fl_panic_if(fl_deque_size_hint(&deque) != 0, "items are left");
    for (size_t i = 0; i < ITEMS; i++)
        fl_panic_if(load_relaxed(&taken[i]) != 1, "item %zu was lost", i); /* counter */
    fl_deque_fini(&deque);
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)fl_clock();
    double seconds = argc > 2 ? atof(argv[2]) : 4;
    printf("stress_deque: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    uint64_t state = seed * 2 + 1, rounds = 0;
    fl_barrier_init();
    for (int half = 0; half < 2; half++) {
        for (int64_t end = fl_clock() + (int64_t)(seconds / 2 * 1e9); fl_clock() < end; rounds++)
            play(&state);
        fl_barrier_force_symmetric();
    }
    printf("stress_deque: %llu rounds of %d items, %llu stolen, %llu races lost\n", (unsigned long long)rounds, ITEMS,
           (unsigned long long)load_relaxed(&stolen), (unsigned long long)load_relaxed(&lost)); /* counter */
    return 0;
}
