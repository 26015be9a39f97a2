/* SPDX-License-Identifier: MIT */
/* stress_stack [SEED [SECONDS]]: four threads get, use, put and trim stacks of three classes from caches of their own, and look at all of them meanwhile.
 *
 * Laws: a stack is in one hand only, and keeps what was written to it until it is put; whoever looks sees whole headers; each stack in use at the end is seen. */
#include "machine/stack.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/panic.h"
#include "machine/sanitizer.h"

enum { THREADS = 4, OWN = FL_TSAN ? 300 : 6000, CLASSES = 3 };

static struct fl_stacks *stacks;
static _Atomic(bool) stop;
static _Atomic(uint64_t) gets, trims, looks;
static _Atomic(uint64_t) in_use;
static uint64_t seed;

static uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void see(struct fl_stack *stack, void *arg)
{
    fl_panic_if(stack->top != (uintptr_t)stack || stack->low >= stack->top || stack->cls >= CLASSES, "a broken header was seen");
    *(uint64_t *)arg += load_relaxed(fl_atomic(void *, &stack->task)) != NULL; /* hint: its owner sets it any time */
}

static void *work(void *arg)
{
    uint64_t state = seed + ((uint64_t)(uintptr_t)arg + 1) * 0x9e3779b97f4a7c15u, ignored = 0, want = 0, have = 0;
    struct fl_stack **own = calloc(OWN, sizeof(struct fl_stack *));
    struct fl_stack_cache cache;
    fl_stack_cache_init(&cache, stacks);
    while (!load_relaxed(&stop)) { /* hint: a round more does no harm */
        uint64_t roll = dice(&state);
        if (have == want)
            want = dice(&state) % OWN;
        if (roll % 4096 == 0) {
            add_relaxed(&trims, fl_stack_trim_some(&cache, (unsigned)(dice(&state) % 3000), dice(&state) % 10000)); /* counter */
        } else if (roll % 4096 == 1) {
            fl_stacks_each(stacks, see, &ignored);
            add_relaxed(&looks, 1); /* counter */
        } else if (roll % 65536 == 2) {
            fl_stack_cache_fini(&cache);
        } else if (have < want) {
            struct fl_stack *stack = fl_stack_get(&cache, (unsigned)(dice(&state) % CLASSES));
            fl_panic_if(!stack, "out of memory");
            fl_panic_if(stack->task, "a stack was got twice");
            uint64_t *words = (uint64_t *)stack->top;
            words[-1] = words[-2] = (uintptr_t)stack ^ (uintptr_t)own;
            store_relaxed(fl_atomic(void *, &stack->task), own); /* hint: see fl_stacks_each */
            own[have++] = stack;
            add_relaxed(&gets, 1); /* counter */
        } else if (have > 0) {
            struct fl_stack *stack = own[--have];
            uint64_t *words = (uint64_t *)stack->top;
            fl_panic_if(stack->task != own, "a stack lost its task");
            fl_panic_if(words[-1] != ((uintptr_t)stack ^ (uintptr_t)own) || words[-1] != words[-2], "a stack lost what was on it");
            fl_stack_put(&cache, stack);
        }
    }
    add_relaxed(&in_use, have); /* counter */
    fl_stack_cache_fini(&cache);
    free(own);
    return NULL;
}

int main(int argc, char **argv)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)t.tv_nsec;
    double seconds = argc > 2 ? atof(argv[2]) : 2;
    printf("stress_stack: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    fl_panic_if(fl_stacks_new(&stacks), "out of memory");
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i);
    nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)}, NULL);
    store_relaxed(&stop, true); /* hint: seen soon */
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    uint64_t seen = 0;
    fl_stacks_each(stacks, see, &seen);
    fl_panic_if(seen != load_relaxed(&in_use), "%llu stacks seen", (unsigned long long)seen);             /* counter */
    printf("stress_stack: %llu got, %llu trimmed, %llu looks\n", (unsigned long long)load_relaxed(&gets), /* counter */
           (unsigned long long)load_relaxed(&trims), (unsigned long long)load_relaxed(&looks));           /* counter */
    fl_stacks_free(stacks);
    return 0;
}
