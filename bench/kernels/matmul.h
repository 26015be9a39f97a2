/* SPDX-License-Identifier: MIT */
/* C += A B, as bench/matmul.c has it, but for the tasks: halving, the leaf, the matrices, and what C must be.
 *
 * The leaf keeps a tile of 4 x 8 sums in registers; it exists twice, for any CPU and for AVX2 with FMA. Rows are n + 8 doubles apart: with
 * a power of two all rows of a leaf would fall onto the same few cache sets. The matrices hold small integers, so that all sums are exact
 * in any order: the sum and the trace of C are checked against those computed from A and B. */
#ifndef FILCH_BENCH_KERNELS_MATMUL_H
#define FILCH_BENCH_KERNELS_MATMUL_H

#include <stdint.h>

#define MATMUL_LEAF 64

struct matmul {
    int64_t n; /* set by the caller */
    double *a, *b, *c;
    int64_t stride, sum, trace;
};

struct matmul_block {
    const double *a, *b;
    double *c;
    int64_t rows, columns, common, stride;
};

enum matmul_cut { MATMUL_CUT_NONE, MATMUL_CUT_ROWS, MATMUL_CUT_COLUMNS, MATMUL_CUT_COMMON };

/** @return 0 or -ENOMEM */
int matmul_make(struct matmul *matrices);
void matmul_free(struct matmul *matrices);

/** All of it; C is zero. */
struct matmul_block matmul_whole(const struct matmul *matrices);

void matmul_leaf(const struct matmul_block *block);

/** The sum of C, to be matrices->sum; and its trace. */
int64_t matmul_check(const struct matmul *matrices, int64_t *ret_trace);

/** Halves a block along its longest extent. The halves are multiples of 8, so that only the matrix's own edge has odd tiles. */
static inline enum matmul_cut matmul_halve(const struct matmul_block *w, struct matmul_block half[2])
{
    half[0] = half[1] = *w;
    int64_t most = w->rows > w->columns ? w->rows : w->columns;
    most = most > w->common ? most : w->common;
    if (most <= MATMUL_LEAF)
        return MATMUL_CUT_NONE;
    int64_t first = (most / 2 + 7) & ~7;
    if (most == w->rows) {
        half[0].rows = first;
        half[1].rows -= first;
        half[1].a += first * w->stride;
        half[1].c += first * w->stride;
        return MATMUL_CUT_ROWS;
    }
    if (most == w->columns) {
        half[0].columns = first;
        half[1].columns -= first;
        half[1].b += first;
        half[1].c += first;
        return MATMUL_CUT_COLUMNS;
    }
    half[0].common = first;
    half[1].common -= first;
    half[1].a += first;
    half[1].b += first * w->stride;
    return MATMUL_CUT_COMMON;
}

#endif
