/* SPDX-License-Identifier: MIT */
/* What has arrived at the leaves of the tree of bench/prodcons.c. */
#ifndef FILCH_BENCH_KERNELS_PRODCONS_H
#define FILCH_BENCH_KERNELS_PRODCONS_H

#include <stdbool.h>
#include <stdint.h>

#define PRODCONS_MOST_FAN 16

struct prodcons_sums {
    int64_t count, sum, least, most;
};

static inline struct prodcons_sums prodcons_leaf(int64_t count, int64_t sum)
{
    struct prodcons_sums leaf = {count, sum, count, count};
    return leaf;
}

static inline void prodcons_add(struct prodcons_sums *sums, const struct prodcons_sums *below)
{
    sums->count += below->count;
    sums->sum += below->sum;
    sums->least = sums->least < below->least ? sums->least : below->least;
    sums->most = sums->most > below->most ? sums->most : below->most;
}

/** No leaf has got more than another by more than one item. */
static inline bool prodcons_fair(const struct prodcons_sums *sums)
{
    return sums->most - sums->least <= 1;
}

#endif
