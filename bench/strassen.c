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
 * A branch allocates eleven quarters of a matrix: for the eight sums, and for the three products that C has no room for. The sums are
 * a filch_for over rows, one pass before the products and one after them, so that the top of the tree is no serial part. Rows of what
 * is allocated are 8 doubles longer than needed: with a power of two all rows of a leaf would fall onto the same few cache sets.
 *
 * `serial` is the same recursion with plain calls. The matrices hold small integers, so that all sums and products are exact in any
 * order, and so is the check, the one of Freivalds ("Probabilistic machines can use less running time", IFIP 1977): for a random
 * vector x every row of C x must be that of A (B x). A wrong C passes with a probability of one in a thousand at most, and its sum
 * must be right as well. The runtime is started once for all runs. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>

#include "util.h"

#define TEMPS 11
#define PARTS 7
#define GRAIN 16 /* rows of sums in a part that is not split */
#define PAD 8

static int64_t n = 1024, cutoff = 64, stride;
static double *a, *b, *c;
static double *x, *abx;
static int64_t expected_sum;

/* c = a b, all of them `size` squared */
struct product {
    const double *a, *b;
    double *c;
    int64_t size, a_step, b_step, c_step;
};

/* ---- the leaf ---- */

static inline __attribute__((always_inline)) void leaf(const struct product *p)
{
    int64_t size = p->size;
    for (int64_t i = 0; i < size; i++) {
        double *restrict to = p->c + i * p->c_step;
        const double *left = p->a + i * p->a_step;
        for (int64_t j = 0; j < size; j++)
            to[j] = 0;
        for (int64_t k = 0; k < size; k++) {
            const double *restrict from = p->b + k * p->b_step;
            for (int64_t j = 0; j < size; j++)
                to[j] += left[k] * from[j];
        }
    }
}

static void leaf_any(const struct product *p)
{
    leaf(p);
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static void leaf_avx2(const struct product *p)
{
    leaf(p);
}
#endif

static void (*multiply)(const struct product *p) = leaf_any;

/* ---- a branch ---- */

enum { S1, S2, S3, S4, T1, T2, T3, T4, P1, P5, P6 }; /* what is allocated; the other four products lie in C */

struct branch {
    const struct product *whole;
    double *temps;
    int64_t half, step;
    struct product parts[PARTS];
};

static inline double *temp(const struct branch *w, int which, int64_t row)
{
    return w->temps + (which * w->half + row) * w->step;
}

/* The sums before the products, of rows [begin, end). */
static int before(void *arg, int64_t begin, int64_t end)
{
    const struct branch *w = arg;
    const struct product *p = w->whole;
    int64_t half = w->half;
    for (int64_t i = begin; i < end; i++) {
        const double *a1 = p->a + i * p->a_step, *a2 = a1 + half * p->a_step;
        const double *b1 = p->b + i * p->b_step, *b2 = b1 + half * p->b_step;
        double *restrict s1 = temp(w, S1, i), *restrict s2 = temp(w, S2, i), *restrict s3 = temp(w, S3, i), *restrict s4 = temp(w, S4, i);
        double *restrict t1 = temp(w, T1, i), *restrict t2 = temp(w, T2, i), *restrict t3 = temp(w, T3, i), *restrict t4 = temp(w, T4, i);
        for (int64_t j = 0; j < half; j++) {
            double a11 = a1[j], a12 = a1[j + half], a21 = a2[j], a22 = a2[j + half], sum = a21 + a22;
            s1[j] = sum;
            s2[j] = sum - a11;
            s3[j] = a11 - a21;
            s4[j] = a12 - (sum - a11);
        }
        for (int64_t j = 0; j < half; j++) {
            double b11 = b1[j], b12 = b1[j + half], b21 = b2[j], b22 = b2[j + half], difference = b12 - b11;
            t1[j] = difference;
            t2[j] = b22 - difference;
            t3[j] = b22 - b12;
            t4[j] = b22 - difference - b21;
        }
    }
    return 0;
}

/* Those after them: C holds P2, P3, P4 and P7 then. */
static int after(void *arg, int64_t begin, int64_t end)
{
    const struct branch *w = arg;
    const struct product *p = w->whole;
    int64_t half = w->half;
    for (int64_t i = begin; i < end; i++) {
        const double *p1 = temp(w, P1, i), *p5 = temp(w, P5, i), *p6 = temp(w, P6, i);
        double *c1 = p->c + i * p->c_step, *c2 = c1 + half * p->c_step;
        for (int64_t j = 0; j < half; j++) {
            double u2 = p1[j] + p6[j], u3 = u2 + c2[j + half];
            c1[j] += p1[j];
            c1[j + half] += u2 + p5[j];
            c2[j] = u3 - c2[j];
            c2[j + half] = u3 + p5[j];
        }
    }
    return 0;
}

static int branch(struct branch *w, const struct product *p)
{
    int64_t half = p->size / 2, step = half + PAD;
    w->whole = p;
    w->half = half;
    w->step = step;
    w->temps = malloc((size_t)(TEMPS * half * step) * sizeof(double));
    if (!w->temps)
        return -ENOMEM;
    const double *a11 = p->a, *a12 = a11 + half, *a22 = a12 + half * p->a_step;
    const double *b11 = p->b, *b21 = b11 + half * p->b_step, *b22 = b21 + half;
    double *c11 = p->c, *c12 = c11 + half, *c21 = c11 + half * p->c_step, *c22 = c21 + half;
    w->parts[0] = (struct product){a11, b11, temp(w, P1, 0), half, p->a_step, p->b_step, step};
    w->parts[1] = (struct product){a12, b21, c11, half, p->a_step, p->b_step, p->c_step};
    w->parts[2] = (struct product){temp(w, S4, 0), b22, c12, half, step, p->b_step, p->c_step};
    w->parts[3] = (struct product){a22, temp(w, T4, 0), c21, half, p->a_step, step, p->c_step};
    w->parts[4] = (struct product){temp(w, S1, 0), temp(w, T1, 0), temp(w, P5, 0), half, step, step, step};
    w->parts[5] = (struct product){temp(w, S2, 0), temp(w, T2, 0), temp(w, P6, 0), half, step, step, step};
    w->parts[6] = (struct product){temp(w, S3, 0), temp(w, T3, 0), c22, half, step, step, p->c_step};
    return 0;
}

/* ---- the recursion ---- */

static int multiply_parallel(void *arg);

static int multiply_parts(struct branch *w)
{
    FILCH_SCOPE(s);
    for (int i = 1; i < PARTS; i++) {
        int r = filch_spawn(&s, multiply_parallel, &w->parts[i]);
        if (r < 0)
            return r;
    }
    int r = multiply_parallel(&w->parts[0]);
    return r < 0 ? r : filch_join(&s);
}

static int multiply_parallel(void *arg)
{
    const struct product *p = arg;
    struct branch w;
    if (p->size <= cutoff) {
        multiply(p);
        return 0;
    }
    int r = branch(&w, p);
    if (r < 0)
        return r;
    r = filch_for(0, w.half, GRAIN, before, &w);
    if (r == 0)
        r = multiply_parts(&w);
    if (r == 0)
        r = filch_for(0, w.half, GRAIN, after, &w);
    free(w.temps);
    return r;
}

static int multiply_serial(const struct product *p)
{
    struct branch w;
    if (p->size <= cutoff) {
        multiply(p);
        return 0;
    }
    int r = branch(&w, p);
    if (r < 0)
        return r;
    before(&w, 0, w.half);
    for (int i = 0; r == 0 && i < PARTS; i++)
        r = multiply_serial(&w.parts[i]);
    after(&w, 0, w.half);
    free(w.temps);
    return r;
}

/* ---- one run ---- */

static struct product whole(void)
{
    for (int64_t i = 0; i < n * stride; i++)
        c[i] = -1; /* a part that nobody computes is seen */
    return (struct product){a, b, c, n, stride, stride, stride};
}

static void report(struct bench_run *run, int64_t start)
{
    bench_result(run, (double)(filch_now() - start) / 1e6);
    int64_t rows = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double cx = 0;
        for (int64_t j = 0; j < n; j++) {
            cx += c[i * stride + j] * x[j];
            sum += (int64_t)c[i * stride + j];
        }
        rows += cx == abx[i];
    }
    bench_check(run, "rows", rows, n);
    bench_check(run, "sum", sum, expected_sum);
}

static int scope(struct bench_run *run)
{
    struct product all = whole();
    int64_t start = filch_now();
    int r = multiply_parallel(&all);
    report(run, start);
    return r;
}

static int serial(struct bench_run *run)
{
    struct product all = whole();
    int64_t start = filch_now();
    int r = multiply_serial(&all);
    report(run, start);
    return r;
}

/* A matrix times a vector. */
static void apply(const double *matrix, const double *vector, double *ret_vector)
{
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t j = 0; j < n; j++)
            sum += matrix[i * stride + j] * vector[j];
        ret_vector[i] = sum;
    }
}

/* What C must be: A (B x), and the sum of all its elements by the sums of columns of A and rows of B. */
static int expect(void)
{
    double *bx = calloc((size_t)n, sizeof *bx);
    if (!bx)
        return -ENOMEM;
    apply(b, x, bx);
    apply(a, bx, abx);
    free(bx);
    expected_sum = 0;
    for (int64_t k = 0; k < n; k++) {
        double down = 0, across = 0;
        for (int64_t i = 0; i < n; i++) {
            down += a[i * stride + k];
            across += b[k * stride + i];
        }
        expected_sum += (int64_t)(down * across);
    }
    return 0;
}

static int prepare(void)
{
    uint64_t state = 1;
    for (int64_t size = n; size > cutoff; size /= 2)
        if (size % 2) {
            bench_say("strassen: --n %lld cannot be halved down to --cutoff %lld", (long long)n, (long long)cutoff);
            return -EINVAL;
        }
    stride = n + PAD;
    size_t count = (size_t)(n * stride);
    a = calloc(count, sizeof *a);
    b = calloc(count, sizeof *b);
    c = calloc(count, sizeof *c);
    x = calloc((size_t)n, sizeof *x);
    abx = calloc((size_t)n, sizeof *abx);
    if (!a || !b || !c || !x || !abx) {
        bench_say("strassen: no memory for three matrices of %lld x %lld", (long long)n, (long long)n);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        a[i] = (double)(bench_random(&state) % 8);
        b[i] = (double)(bench_random(&state) % 8);
    }
    for (int64_t i = 0; i < n; i++)
        x[i] = (double)(bench_random(&state) % 1024);
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        multiply = leaf_avx2;
#endif
    return expect();
}

static void finish(void)
{
    free(a);
    free(b);
    free(c);
    free(x);
    free(abx);
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
            BENCH_INT("n", n, 1, 8192, "rows and columns"),
            BENCH_INT("cutoff", cutoff, 16, 8192, "multiplied plainly from here on"),
        },
};
