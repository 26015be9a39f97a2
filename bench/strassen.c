/* SPDX-License-Identifier: MIT */
/* strassen: what do tasks cost a recursion that branches seven ways and allocates at every branch?
 *
 * C = A B for --n x --n doubles by Strassen's recursion ("Gaussian elimination is not optimal", Numerische Mathematik 13, 1969) in
 * Winograd's form: seven products of half the size, eight sums before them and seven after. The seven are tasks; below --cutoff a
 * product is a plain one. With n 1,024 and cutoff 64 that is 2,401 plain products of 64 x 64 below 400 branches, and 0.63 thousand
 * million multiply-adds where the definition has 1.07. Cilk-5 (Frigo, Leiserson, Randall, PLDI 1998) has the program as `strassen`,
 * the Barcelona OpenMP Tasks Suite (Duran et al., ICPP 2009) as well. n must be a power of two there; here it must come to the cut-off
 * or below by halving without a remainder.
 *
 * The sums are a filch_for over rows, one pass before the products and one after them, so that the top of the tree is no serial part.
 * `serial` is the same recursion with plain calls. kernels/strassen.h has the sums, the product at the leaves, the matrices, and the
 * check, the one of Freivalds ("Probabilistic machines can use less running time", IFIP 1977). The runtime is started once for all
 * runs. */
#include "bench.h"

#include <errno.h>

#include "kernels/strassen.h"

static struct strassen matrices = {.n = 1024, .cutoff = 64};

static int before(void *arg, int64_t begin, int64_t end)
{
    strassen_before(arg, begin, end);
    return 0;
}

static int after(void *arg, int64_t begin, int64_t end)
{
    strassen_after(arg, begin, end);
    return 0;
}

static int multiply_parallel(void *arg);

static int multiply_parts(struct strassen_branch *w)
{
    FILCH_SCOPE(s);
    for (int i = 1; i < STRASSEN_PARTS; i++) {
        int r = filch_spawn(&s, multiply_parallel, &w->parts[i]);
        if (r < 0)
            return r;
    }
    int r = multiply_parallel(&w->parts[0]);
    return r < 0 ? r : filch_join(&s);
}

static int multiply_parallel(void *arg)
{
    const struct strassen_product *p = arg;
    struct strassen_branch w;
    if (p->size <= matrices.cutoff) {
        strassen_leaf(p);
        return 0;
    }
    int r = strassen_branch_make(&w, p);
    if (r < 0)
        return r;
    r = filch_for(0, w.half, STRASSEN_GRAIN, before, &w);
    if (r == 0)
        r = multiply_parts(&w);
    if (r == 0)
        r = filch_for(0, w.half, STRASSEN_GRAIN, after, &w);
    strassen_branch_free(&w);
    return r;
}

static int multiply_serial(const struct strassen_product *p)
{
    struct strassen_branch w;
    if (p->size <= matrices.cutoff) {
        strassen_leaf(p);
        return 0;
    }
    int r = strassen_branch_make(&w, p);
    if (r < 0)
        return r;
    strassen_before(&w, 0, w.half);
    for (int i = 0; r == 0 && i < STRASSEN_PARTS; i++)
        r = multiply_serial(&w.parts[i]);
    strassen_after(&w, 0, w.half);
    strassen_branch_free(&w);
    return r;
}

/* ---- one run ---- */

static void report(struct bench_run *run, int64_t start)
{
    bench_result(run, (double)(filch_now() - start) / 1e6);
    int64_t sum, rows = strassen_check(&matrices, &sum);
    bench_check(run, "rows", rows, matrices.n);
    bench_check(run, "sum", sum, matrices.sum);
}

static int scope(struct bench_run *run)
{
    struct strassen_product all = strassen_whole(&matrices);
    int64_t start = filch_now();
    int r = multiply_parallel(&all);
    report(run, start);
    return r;
}

static int serial(struct bench_run *run)
{
    struct strassen_product all = strassen_whole(&matrices);
    int64_t start = filch_now();
    int r = multiply_serial(&all);
    report(run, start);
    return r;
}

static int prepare(void)
{
    int r = strassen_make(&matrices);
    if (r == -EINVAL)
        bench_say("strassen: --n %lld cannot be halved down to --cutoff %lld", (long long)matrices.n, (long long)matrices.cutoff);
    else if (r < 0)
        bench_say("strassen: no memory for three matrices of %lld x %lld", (long long)matrices.n, (long long)matrices.n);
    return r;
}

static void finish(void)
{
    strassen_free(&matrices);
}

const struct bench bench_strassen = {
    .name = "strassen",
    .what = "matrices multiplied by Strassen's recursion, seven tasks a branch",
    .unit = "ms",
    .prepare = prepare,
    .finish = finish,
    .forms = {{"scope", scope, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params =
        {
            BENCH_INT("n", matrices.n, 1, 8192, "rows and columns"),
            BENCH_INT("cutoff", matrices.cutoff, 16, 8192, "multiplied plainly from here on"),
        },
};
