/* SPDX-License-Identifier: MIT */
/* See strassen.h. */
#include "strassen.h"

#include <errno.h>
#include <stdlib.h>

#include "../util.h"

#define TEMPS 11
#define PAD 8

/* ---- the leaf ---- */

static inline __attribute__((always_inline)) void leaf(const struct strassen_product *p)
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

static void leaf_any(const struct strassen_product *p)
{
    leaf(p);
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static void leaf_avx2(const struct strassen_product *p)
{
    leaf(p);
}
#endif

static void (*multiply)(const struct strassen_product *p) = leaf_any;

void strassen_leaf(const struct strassen_product *product)
{
    multiply(product);
}

/* ---- a branch ---- */

enum { S1, S2, S3, S4, T1, T2, T3, T4, P1, P5, P6 }; /* what is allocated; the other four products lie in C */

static inline double *temp(const struct strassen_branch *w, int which, int64_t row)
{
    return w->temps + (which * w->half + row) * w->step;
}

void strassen_before(const struct strassen_branch *w, int64_t begin, int64_t end)
{
    const struct strassen_product *p = w->whole;
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
}

/* C holds P2, P3, P4 and P7 then. */
void strassen_after(const struct strassen_branch *w, int64_t begin, int64_t end)
{
    const struct strassen_product *p = w->whole;
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
}

int strassen_branch_make(struct strassen_branch *w, const struct strassen_product *p)
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
    w->parts[0] = (struct strassen_product){a11, b11, temp(w, P1, 0), half, p->a_step, p->b_step, step};
    w->parts[1] = (struct strassen_product){a12, b21, c11, half, p->a_step, p->b_step, p->c_step};
    w->parts[2] = (struct strassen_product){temp(w, S4, 0), b22, c12, half, step, p->b_step, p->c_step};
    w->parts[3] = (struct strassen_product){a22, temp(w, T4, 0), c21, half, p->a_step, step, p->c_step};
    w->parts[4] = (struct strassen_product){temp(w, S1, 0), temp(w, T1, 0), temp(w, P5, 0), half, step, step, step};
    w->parts[5] = (struct strassen_product){temp(w, S2, 0), temp(w, T2, 0), temp(w, P6, 0), half, step, step, step};
    w->parts[6] = (struct strassen_product){temp(w, S3, 0), temp(w, T3, 0), c22, half, step, step, p->c_step};
    return 0;
}

void strassen_branch_free(struct strassen_branch *w)
{
    free(w->temps);
}

/* ---- the matrices ---- */

struct strassen_product strassen_whole(const struct strassen *m)
{
    for (int64_t i = 0; i < m->n * m->stride; i++)
        m->c[i] = -1; /* a part that nobody computes is seen */
    return (struct strassen_product){m->a, m->b, m->c, m->n, m->stride, m->stride, m->stride};
}

int64_t strassen_check(const struct strassen *m, int64_t *ret_sum)
{
    int64_t rows = 0, sum = 0;
    for (int64_t i = 0; i < m->n; i++) {
        double cx = 0;
        for (int64_t j = 0; j < m->n; j++) {
            cx += m->c[i * m->stride + j] * m->x[j];
            sum += (int64_t)m->c[i * m->stride + j];
        }
        rows += cx == m->abx[i];
    }
    *ret_sum = sum;
    return rows;
}

/* A matrix times a vector. */
static void apply(const struct strassen *m, const double *matrix, const double *vector, double *ret_vector)
{
    for (int64_t i = 0; i < m->n; i++) {
        double sum = 0;
        for (int64_t j = 0; j < m->n; j++)
            sum += matrix[i * m->stride + j] * vector[j];
        ret_vector[i] = sum;
    }
}

/* What C must be: A (B x), and the sum of all its elements by the sums of columns of A and rows of B. */
static int expect(struct strassen *m)
{
    double *bx = calloc((size_t)m->n, sizeof *bx);
    if (!bx)
        return -ENOMEM;
    apply(m, m->b, m->x, bx);
    apply(m, m->a, bx, m->abx);
    free(bx);
    m->sum = 0;
    for (int64_t k = 0; k < m->n; k++) {
        double down = 0, across = 0;
        for (int64_t i = 0; i < m->n; i++) {
            down += m->a[i * m->stride + k];
            across += m->b[k * m->stride + i];
        }
        m->sum += (int64_t)(down * across);
    }
    return 0;
}

static void fill(struct strassen *m)
{
    uint64_t state = 1;
    for (int64_t i = 0; i < m->n * m->stride; i++) {
        m->a[i] = (double)(bench_random(&state) % 8);
        m->b[i] = (double)(bench_random(&state) % 8);
    }
    for (int64_t i = 0; i < m->n; i++)
        m->x[i] = (double)(bench_random(&state) % 1024);
}

int strassen_make(struct strassen *m)
{
    for (int64_t size = m->n; size > m->cutoff; size /= 2)
        if (size % 2)
            return -EINVAL;
    m->stride = m->n + PAD;
    size_t count = (size_t)(m->n * m->stride);
    m->a = calloc(count, sizeof *m->a);
    m->b = calloc(count, sizeof *m->b);
    m->c = calloc(count, sizeof *m->c);
    m->x = calloc((size_t)m->n, sizeof *m->x);
    m->abx = calloc((size_t)m->n, sizeof *m->abx);
    if (!m->a || !m->b || !m->c || !m->x || !m->abx)
        return -ENOMEM;
    fill(m);
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        multiply = leaf_avx2;
#endif
    return expect(m);
}

void strassen_free(struct strassen *m)
{
    free(m->a);
    free(m->b);
    free(m->c);
    free(m->x);
    free(m->abx);
}
