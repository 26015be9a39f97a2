/* SPDX-License-Identifier: MIT */
/* stress_ready [SEED [SECONDS]]: one owner appends and takes at random, two thieves take halves, the ring starts with four slots and grows.
 *
 * Laws: each task that was appended is taken exactly once; every taker sees tasks in the order in which they were appended; what the owner wrote before it
 * appended a task is seen by whoever takes it (plain memory, which is for TSan to check).
 * The first half of the time runs with the asymmetric barrier, the second with fences on both sides. */
#define FL_READY_FIRST_CAPACITY 4
#include "sched/ready.h"

#include "base/panic.h"
#include "machine/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THIEVES = 2, TASKS = 30000, LOOT = 128 };

/* The queue holds pointers and never looks behind them: a number and a plain word stand for a task. */
struct number {
    size_t index, payload;
};

static struct fl_ready queue;
static struct number numbers[TASKS];
static _Atomic(uint8_t) taken[TASKS];
static _Atomic(bool) over;
static _Atomic(uint64_t) stolen, thefts;
static uint64_t seed;

static uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* `next`: the lowest number this taker may see. */
static void take(struct fl_task *task, size_t *next)
{
    struct number *number = (struct number *)(void *)task;
    fl_panic_if(number < numbers || number >= numbers + TASKS, "not a task: %p", (void *)task);
    fl_panic_if(number->index != (size_t)(number - numbers) || number->payload != ~number->index,
                "the task is visible, what it holds is not");
    fl_panic_if(add_relaxed(&taken[number->index], 1) != 0, "task %zu was taken twice", number->index); /* counter */
    fl_panic_if(number->index < *next, "task %zu was taken after task %zu", number->index, *next - 1);
    *next = number->index + 1;
}

static void *steal(void *arg)
{
    uint64_t state = seed + (uint64_t)(uintptr_t)arg * 7919 + 1;
    size_t next = 0;
    while (!load_relaxed(&over)) { /* hint: a round more does no harm */
        if (fl_ready_size_hint(&queue) == 0) {
            fl_relax();
            continue;
        }
        struct fl_task *loot[LOOT];
        unsigned max = 1 + (unsigned)(dice(&state) % LOOT), n = fl_ready_take_half(&queue, loot, max);
        fl_panic_if(n > max, "took %u of at most %u", n, max);
        for (unsigned i = 0; i < n; i++)
            take(loot[i], &next);
        add_relaxed(&stolen, n);     /* counter */
        add_relaxed(&thefts, n > 0); /* counter */
    }
    return NULL;
}

static void own(uint64_t *state)
{
    struct fl_task *task;
    size_t next = 0;
    for (size_t appended = 0; appended < TASKS;) {
        uint64_t pushes = dice(state) % (UINT64_C(1) << dice(state) % 11), pops = dice(state) % (UINT64_C(1) << dice(state) % 11);
        for (; pushes > 0 && appended < TASKS; pushes--, appended++) {
            numbers[appended] = (struct number){appended, ~appended};
            fl_panic_if(!fl_ready_push(&queue, (struct fl_task *)(void *)&numbers[appended]), "out of memory");
        }
        for (; pops > 0 && (task = fl_ready_pop(&queue)); pops--)
            take(task, &next);
    }
    while ((task = fl_ready_pop(&queue)))
        take(task, &next);
}

static void play(uint64_t *state)
{
    memset(taken, 0, sizeof taken);
    fl_panic_if(!fl_ready_init(&queue), "out of memory");
    store_relaxed(&over, false); /* init: no thief yet */
    pthread_t threads[THIEVES];
    for (int i = 0; i < THIEVES; i++)
        pthread_create(&threads[i], NULL, steal, (void *)(uintptr_t)(i + 1));
    own(state);
    store_relaxed(&over, true); /* hint: seen soon */
    for (int i = 0; i < THIEVES; i++)
        pthread_join(threads[i], NULL);
    fl_panic_if(fl_ready_size_hint(&queue) != 0, "tasks are left");
    for (size_t i = 0; i < TASKS; i++)
        fl_panic_if(load_relaxed(&taken[i]) != 1, "task %zu was lost", i); /* counter */
    fl_ready_fini(&queue);
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)fl_clock();
    double seconds = argc > 2 ? atof(argv[2]) : 4;
    printf("stress_ready: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    uint64_t state = seed * 2 + 1, rounds = 0;
    fl_barrier_init();
    for (int half = 0; half < 2; half++) {
        for (int64_t end = fl_clock() + (int64_t)(seconds / 2 * 1e9); fl_clock() < end; rounds++)
            play(&state);
        fl_barrier_force_symmetric();
    }
    printf("stress_ready: %llu rounds of %d tasks, %llu stolen in %llu thefts\n", (unsigned long long)rounds, TASKS,
           (unsigned long long)load_relaxed(&stolen), (unsigned long long)load_relaxed(&thefts)); /* counter */
    return 0;
}
