/* SPDX-License-Identifier: MIT */
/* matmul: does compute-bound work become twice as fast on two workers, and cost no more on one?
 *
 * C += A B for --n x --n doubles, recursively: the longest of the three extents is halved until all are at most 64; halves of the rows
 * or columns of C are tasks, halves of the common extent follow each other. That is the cache-oblivious algorithm of Frigo, Leiserson,
 * Prokop and Ramachandran (FOCS 1999) as in Cilk-5's rectmul. The leaf is 262,144 multiply-adds in some ten microseconds.
 *
 * `serial` is the same recursion with plain calls, on the same leaf. kernels/matmul.h has the leaf, the matrices and the check. The
 * runtime is started once for all runs. */
#include "bench.h"

#include "kernels/matmul.h"

static struct matmul matrices = {.n = 1024};

static int multiply_parallel(void *arg)
{
    struct matmul_block half[2];
    enum matmul_cut cut = matmul_halve(arg, half);
    if (cut == MATMUL_CUT_NONE) {
        matmul_leaf(arg);
        return 0;
    }
    if (cut == MATMUL_CUT_COMMON) {
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

static void multiply_serial(const struct matmul_block *w)
{
    struct matmul_block half[2];
    if (matmul_halve(w, half) == MATMUL_CUT_NONE) {
        matmul_leaf(w);
        return;
    }
    multiply_serial(&half[0]);
    multiply_serial(&half[1]);
}

/* ---- one run ---- */

static void report(struct bench_run *run, int64_t start)
{
    bench_result(run, (double)(filch_now() - start) / 1e6);
    int64_t trace, sum = matmul_check(&matrices, &trace);
    bench_check(run, "sum", sum, matrices.sum);
    bench_check(run, "trace", trace, matrices.trace);
}

static int scope(struct bench_run *run)
{
    struct matmul_block all = matmul_whole(&matrices);
    int64_t start = filch_now();
    int r = multiply_parallel(&all);
    report(run, start);
    return r;
}

static int serial(struct bench_run *run)
{
    struct matmul_block all = matmul_whole(&matrices);
    int64_t start = filch_now();
    multiply_serial(&all);
    report(run, start);
    return 0;
}

static int prepare(void)
{
    int r = matmul_make(&matrices);
    if (r < 0)
        bench_say("matmul: no memory for three matrices of %lld x %lld", (long long)matrices.n, (long long)matrices.n);
    return r;
}

static void finish(void)
{
    matmul_free(&matrices);
}

const struct bench bench_matmul = {
    .name = "matmul",
    .what = "matrices of doubles multiplied recursively",
    .unit = "ms",
    .prepare = prepare,
    .finish = finish,
    .forms = {{"scope", scope, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params = {BENCH_INT("n", matrices.n, 1, 16384, "rows and columns")},
};
