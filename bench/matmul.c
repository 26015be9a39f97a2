/* SPDX-License-Identifier: MIT */
/* matmul: does compute-bound work become twice as fast on two workers, and cost no more on one?
 *
 * C += A B for --n x --n doubles, recursively: the longest of the three extents is halved until all are at most 64; halves of the rows
 * or columns of C are tasks, halves of the common extent follow each other. That is the cache-oblivious algorithm of Frigo, Leiserson,
 * Prokop and Ramachandran (FOCS 1999) as in Cilk-5's rectmul. The leaf, 262,144 multiply-adds in some ten microseconds, keeps a tile of
 * 4 x 8 sums in registers; it exists twice, for any CPU and for AVX2 with FMA. Rows are n + 8 doubles apart: with a power of two all
 * rows of a leaf would fall onto the same few cache sets.
 *
 * `serial` is the same recursion with plain calls, on the same leaf. The matrices hold small integers, so that all sums are exact in
 * any order: the sum and the trace of C are checked against those computed from A and B. The runtime is started once for all runs. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define LEAF 64

static int64_t n = 1024;
static double *a, *b, *c;
static int64_t stride, sum, trace;

struct block {
    const double *a, *b;
    double *c;
    int64_t rows, columns, common;
};

/* ---- the leaf ---- */

typedef double quad __attribute__((vector_size(32), aligned(8), may_alias));

/* a tile of 4 x 8 of C */
static inline __attribute__((always_inline)) void tile(const double *x, const double *y, double *z, int64_t common, int64_t step)
{
    quad sums[4][2];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 2; j++)
            sums[i][j] = *(const quad *)(z + i * step + 4 * j);
    for (int64_t k = 0; k < common; k++) {
        quad left = *(const quad *)(y + k * step), right = *(const quad *)(y + k * step + 4);
        for (int i = 0; i < 4; i++) {
            sums[i][0] += x[i * step + k] * left;
            sums[i][1] += x[i * step + k] * right;
        }
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 2; j++)
            *(quad *)(z + i * step + 4 * j) = sums[i][j];
}

static inline __attribute__((always_inline)) void leaf(const struct block *w)
{
    int64_t step = stride, rows = w->rows & ~3, columns = w->columns & ~7;
    for (int64_t i = 0; i < rows; i += 4)
        for (int64_t j = 0; j < columns; j += 8)
            tile(w->a + i * step, w->b + j, w->c + i * step + j, w->common, step);
    for (int64_t i = 0; i < w->rows; i++) /* what is left at the right and at the bottom */
        for (int64_t j = i < rows ? columns : 0; j < w->columns; j++)
            for (int64_t k = 0; k < w->common; k++)
                w->c[i * step + j] += w->a[i * step + k] * w->b[k * step + j];
}

static void leaf_any(const struct block *w)
{
    leaf(w);
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static void leaf_avx2(const struct block *w)
{
    leaf(w);
}
#endif

static void (*multiply)(const struct block *w) = leaf_any;

/* ---- the recursion ---- */

enum cut { CUT_NONE, CUT_ROWS, CUT_COLUMNS, CUT_COMMON };

/* Halves a block along its longest extent. The halves are multiples of 8, so that only the matrix's own edge has odd tiles. */
static enum cut halve(const struct block *w, struct block half[2])
{
    half[0] = half[1] = *w;
    int64_t most = w->rows > w->columns ? w->rows : w->columns;
    most = most > w->common ? most : w->common;
    if (most <= LEAF)
        return CUT_NONE;
    int64_t first = (most / 2 + 7) & ~7;
    if (most == w->rows) {
        half[0].rows = first;
        half[1].rows -= first;
        half[1].a += first * stride;
        half[1].c += first * stride;
        return CUT_ROWS;
    }
    if (most == w->columns) {
        half[0].columns = first;
        half[1].columns -= first;
        half[1].b += first;
        half[1].c += first;
        return CUT_COLUMNS;
    }
    half[0].common = first;
    half[1].common -= first;
    half[1].a += first;
    half[1].b += first * stride;
    return CUT_COMMON;
}

static int multiply_parallel(void *arg)
{
    struct block half[2];
    enum cut cut = halve(arg, half);
    if (cut == CUT_NONE) {
        multiply(arg);
        return 0;
    }
    if (cut == CUT_COMMON) {
        int r = multiply_parallel(&half[0]);
        return r < 0 ? r : multiply_parallel(&half[1]);
    }
    FILCH_SCOPE(s);
    int r = filch_spawn(&s, multiply_parallel, &half[1]);
    if (r < 0)
        return r;
    r = multiply_parallel(&half[0]); /* in the order of the serial code */
    return r < 0 ? r : filch_join(&s);
}

static void multiply_serial(const struct block *w)
{
    struct block half[2];
    if (halve(w, half) == CUT_NONE) {
        multiply(w);
        return;
    }
    multiply_serial(&half[0]);
    multiply_serial(&half[1]);
}

/* ---- one run ---- */

static void report(struct bench_run *run, int64_t start)
{
    bench_result(run, (double)(filch_now() - start) / 1e6);
    int64_t got_sum = 0, got_trace = 0;
    for (int64_t i = 0; i < n; i++) {
        got_trace += (int64_t)c[i * stride + i];
        for (int64_t j = 0; j < n; j++)
            got_sum += (int64_t)c[i * stride + j];
    }
    bench_check(run, "sum", got_sum, sum);
    bench_check(run, "trace", got_trace, trace);
}

static struct block whole(void)
{
    memset(c, 0, (size_t)(n * stride) * sizeof *c);
    return (struct block){a, b, c, n, n, n};
}

static int scope(struct bench_run *run)
{
    struct block all = whole();
    int64_t start = filch_now();
    int r = multiply_parallel(&all);
    report(run, start);
    return r;
}

static int serial(struct bench_run *run)
{
    struct block all = whole();
    int64_t start = filch_now();
    multiply_serial(&all);
    report(run, start);
    return 0;
}

static int prepare(void)
{
    uint64_t state = 1;
    stride = ((n + 7) & ~7) + 8;
    size_t bytes = (size_t)(n * stride) * sizeof(double);
    a = aligned_alloc(64, bytes);
    b = aligned_alloc(64, bytes);
    c = aligned_alloc(64, bytes);
    if (!a || !b || !c) {
        bench_say("matmul: no memory for three matrices of %lld x %lld", (long long)n, (long long)n);
        return -ENOMEM;
    }
    for (int64_t i = 0; i < n * stride; i++) {
        a[i] = (double)(bench_random(&state) % 8);
        b[i] = (double)(bench_random(&state) % 8);
    }
    sum = trace = 0;
    for (int64_t k = 0; k < n; k++) {
        double down = 0, across = 0;
        for (int64_t i = 0; i < n; i++) {
            down += a[i * stride + k];
            across += b[k * stride + i];
            trace += (int64_t)(a[i * stride + k] * b[k * stride + i]);
        }
        sum += (int64_t)(down * across);
    }
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        multiply = leaf_avx2;
#endif
    return 0;
}

static void finish(void)
{
    free(a);
    free(b);
    free(c);
}

const struct bench bench_matmul = {
    .name = "matmul",
    .what = "matrices of doubles multiplied recursively",
    .unit = "ms",
    .prepare = prepare,
    .finish = finish,
    .forms = {{"scope", scope, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params = {BENCH_INT("n", n, 1, 16384, "rows and columns")},
};
