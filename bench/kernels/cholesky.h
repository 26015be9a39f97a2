/* SPDX-License-Identifier: MIT */
/* A = L L' in tiles, as bench/cholesky.c has it, but for the tasks: the kernels, the tiles, and what L must be.
 *
 * No BLAS: a tile keeps its transposed copy once it is final, so that all inner loops go along rows, and the compiler makes vectors of
 * them. A is made from an L of small whole numbers; all steps on the way back are exact then, in any order, and every element of L is
 * checked to be what it was.
 *
 * A tile (i, j) at or below the diagonal goes through j updates, with k from 0 to j - 1, one after the other, and its end:
 *
 *     update (i, j, k)    syrk where i = j, else gemm: needs tiles (i, k) and (j, k) final
 *     end (i, j)          potrf where i = j; else trsm, which needs tile (j, j) final */
#ifndef FILCH_BENCH_KERNELS_CHOLESKY_H
#define FILCH_BENCH_KERNELS_CHOLESKY_H

#include <stdint.h>

#define CHOLESKY_MOST_TILES 128 /* along an edge */

struct cholesky {
    int64_t n, tile; /* set by the caller */
    int64_t edge;
    double *given, *known; /* A and L: tiles at or below the diagonal, each row by row */
    double *lower, *upper; /* what is computed: tiles, and final ones transposed */
};

/** @return 0, -EINVAL if n is no multiple of a tile or there are too many, -ENOMEM */
int cholesky_make(struct cholesky *matrices);
void cholesky_free(struct cholesky *matrices);

/** The tiles before tile (i, j), i >= j, at or below the diagonal. */
static inline int64_t cholesky_place(int64_t i, int64_t j)
{
    return i * (i + 1) / 2 + j;
}

/** How many tiles there are. */
static inline int64_t cholesky_tiles(const struct cholesky *matrices)
{
    return cholesky_place(matrices->edge, 0);
}

/** Begins anew. */
void cholesky_reset(const struct cholesky *matrices);

void cholesky_update(const struct cholesky *matrices, int64_t i, int64_t j, int64_t k);
void cholesky_end(const struct cholesky *matrices, int64_t i, int64_t j);

int64_t cholesky_elements(const struct cholesky *matrices);

/** How many elements are right. */
int64_t cholesky_check(const struct cholesky *matrices);

#endif
