/* SPDX-License-Identifier: MIT */
/* See matmul.h. */
#include "matmul.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../util.h"

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

static inline __attribute__((always_inline)) void leaf(const struct matmul_block *w)
{
    int64_t step = w->stride, rows = w->rows & ~3, columns = w->columns & ~7;
    for (int64_t i = 0; i < rows; i += 4)
        for (int64_t j = 0; j < columns; j += 8)
            tile(w->a + i * step, w->b + j, w->c + i * step + j, w->common, step);
    for (int64_t i = 0; i < w->rows; i++) /* what is left at the right and at the bottom */
        for (int64_t j = i < rows ? columns : 0; j < w->columns; j++)
            for (int64_t k = 0; k < w->common; k++)
                w->c[i * step + j] += w->a[i * step + k] * w->b[k * step + j];
}

static void leaf_any(const struct matmul_block *w)
{
    leaf(w);
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static void leaf_avx2(const struct matmul_block *w)
{
    leaf(w);
}
#endif

static void (*multiply)(const struct matmul_block *w) = leaf_any;

void matmul_leaf(const struct matmul_block *block)
{
    multiply(block);
}

/* ---- the matrices ---- */

struct matmul_block matmul_whole(const struct matmul *m)
{
    memset(m->c, 0, (size_t)(m->n * m->stride) * sizeof *m->c);
    return (struct matmul_block){m->a, m->b, m->c, m->n, m->n, m->n, m->stride};
}

int64_t matmul_check(const struct matmul *m, int64_t *ret_trace)
{
    int64_t sum = 0;
    *ret_trace = 0;
    for (int64_t i = 0; i < m->n; i++) {
        *ret_trace += (int64_t)m->c[i * m->stride + i];
        for (int64_t j = 0; j < m->n; j++)
            sum += (int64_t)m->c[i * m->stride + j];
    }
    return sum;
}

int matmul_make(struct matmul *m)
{
    uint64_t state = 1;
    m->stride = ((m->n + 7) & ~7) + 8;
    size_t bytes = (size_t)(m->n * m->stride) * sizeof(double);
    m->a = aligned_alloc(64, bytes);
    m->b = aligned_alloc(64, bytes);
    m->c = aligned_alloc(64, bytes);
    if (!m->a || !m->b || !m->c)
        return -ENOMEM;
    for (int64_t i = 0; i < m->n * m->stride; i++) {
        m->a[i] = (double)(bench_random(&state) % 8);
        m->b[i] = (double)(bench_random(&state) % 8);
    }
    m->sum = m->trace = 0;
    for (int64_t k = 0; k < m->n; k++) {
        double down = 0, across = 0;
        for (int64_t i = 0; i < m->n; i++) {
            down += m->a[i * m->stride + k];
            across += m->b[k * m->stride + i];
            m->trace += (int64_t)(m->a[i * m->stride + k] * m->b[k * m->stride + i]);
        }
        m->sum += (int64_t)(down * across);
    }
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        multiply = leaf_avx2;
#endif
    return 0;
}

void matmul_free(struct matmul *m)
{
    free(m->a);
    free(m->b);
    free(m->c);
}
