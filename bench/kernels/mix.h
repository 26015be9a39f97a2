/* SPDX-License-Identifier: MIT */
/* A unit of bench/mix.c: it computes, and never waits. */
#ifndef FILCH_BENCH_KERNELS_MIX_H
#define FILCH_BENCH_KERNELS_MIX_H

#include <stdint.h>

#include "../util.h"

static inline uint64_t mix_unit(uint64_t number, int64_t rounds)
{
    uint64_t state = number, result = 0;
    for (int64_t i = 0; i < rounds; i++)
        result += bench_random(&state);
    return result;
}

/** What a sleeper sleeps next, in ns. */
static inline int64_t mix_nap(uint64_t *state, int64_t longest_ms)
{
    return (int64_t)(bench_random(state) % ((uint64_t)longest_ms * 1000000));
}

#endif
