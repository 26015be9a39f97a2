/* SPDX-License-Identifier: MIT */
/* See cholesky.h. */
#include "cholesky.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../util.h"

static inline double *tile_of(const struct cholesky *m, double *tiles, int64_t i, int64_t j)
{
    return tiles + cholesky_place(i, j) * m->tile * m->tile;
}

/* ---- the kernels ---- */

/* c -= a b, of which only the columns up to the row's own if `triangle` */
static inline __attribute__((always_inline)) void subtract(const double *a, const double *b, double *restrict c, int64_t size,
                                                           bool triangle)
{
    for (int64_t y = 0; y < size; y++)
        for (int64_t k = 0; k < size; k++)
            for (int64_t x = 0, width = triangle ? y + 1 : size; x < width; x++)
                c[y * size + x] -= a[y * size + k] * b[k * size + x];
}

static inline __attribute__((always_inline)) void subtract_either(const double *a, const double *b, double *restrict c, int64_t size,
                                                                  bool triangle)
{
    if (triangle)
        subtract(a, b, c, size, true);
    else
        subtract(a, b, c, size, false);
}

static void subtract_any(const double *a, const double *b, double *restrict c, int64_t size, bool triangle)
{
    subtract_either(a, b, c, size, triangle);
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static void subtract_avx2(const double *a, const double *b, double *restrict c, int64_t size,
                                                              bool triangle)
{
    subtract_either(a, b, c, size, triangle);
}
#endif

static void (*subtract_product)(const double *a, const double *b, double *restrict c, int64_t size, bool triangle) = subtract_any;

static void transpose(const double *from, double *restrict to, int64_t size)
{
    for (int64_t y = 0; y < size; y++)
        for (int64_t x = 0; x < size; x++)
            to[x * size + y] = from[y * size + x];
}

void cholesky_update(const struct cholesky *m, int64_t i, int64_t j, int64_t k)
{
    subtract_product(tile_of(m, m->lower, i, k), tile_of(m, m->upper, j, k), tile_of(m, m->lower, i, j), m->tile, i == j);
}

static void potrf(const struct cholesky *m, int64_t j)
{
    double *c = tile_of(m, m->lower, j, j), *l = tile_of(m, m->upper, j, j);
    int64_t size = m->tile;
    for (int64_t k = 0; k < size; k++) {
        double root = sqrt(c[k * size + k]);
        for (int64_t y = 0; y < size; y++)
            l[k * size + y] = y < k ? 0 : c[y * size + k] / root;
        for (int64_t y = k + 1; y < size; y++)
            for (int64_t x = k + 1; x <= y; x++)
                c[y * size + x] -= l[k * size + y] * l[k * size + x];
    }
    transpose(l, c, size);
}

static void trsm(const struct cholesky *m, int64_t i, int64_t j)
{
    double *c = tile_of(m, m->lower, i, j), *l = tile_of(m, m->upper, j, j);
    int64_t size = m->tile;
    for (int64_t y = 0; y < size; y++) {
        double *restrict row = c + y * size;
        for (int64_t k = 0; k < size; k++) {
            double element = row[k] /= l[k * size + k];
            for (int64_t x = k + 1; x < size; x++)
                row[x] -= element * l[k * size + x];
        }
    }
    transpose(c, tile_of(m, m->upper, i, j), size);
}

void cholesky_end(const struct cholesky *m, int64_t i, int64_t j)
{
    if (i == j)
        potrf(m, j);
    else
        trsm(m, i, j);
}

/* ---- the matrices ---- */

int64_t cholesky_elements(const struct cholesky *m)
{
    return cholesky_tiles(m) * m->tile * m->tile;
}

void cholesky_reset(const struct cholesky *m)
{
    memcpy(m->lower, m->given, (size_t)cholesky_elements(m) * sizeof *m->lower);
}

int64_t cholesky_check(const struct cholesky *m)
{
    int64_t right = 0, count = cholesky_elements(m);
    for (int64_t i = 0; i < count; i++)
        right += m->lower[i] == m->known[i];
    return right;
}

/* A = L L', with the kernel that subtracts: 0 - L (-L'). */
static void multiply(const struct cholesky *m)
{
    for (int64_t i = 0; i < m->edge; i++)
        for (int64_t j = 0; j <= i; j++) {
            double *minus = tile_of(m, m->upper, i, j);
            transpose(tile_of(m, m->known, i, j), minus, m->tile);
            for (int64_t e = 0; e < m->tile * m->tile; e++)
                minus[e] = -minus[e];
        }
    for (int64_t i = 0; i < m->edge; i++)
        for (int64_t j = 0; j <= i; j++)
            for (int64_t k = 0; k <= j; k++)
                subtract_product(tile_of(m, m->known, i, k), tile_of(m, m->upper, j, k), tile_of(m, m->given, i, j), m->tile, false);
}

static void make_known(const struct cholesky *m)
{
    uint64_t state = 1;
    for (int64_t i = 0; i < m->edge; i++)
        for (int64_t j = 0; j <= i; j++)
            for (int64_t y = 0; y < m->tile; y++)
                for (int64_t x = 0; x < m->tile; x++) {
                    bool diagonal = i == j && x == y, zero = i == j && x > y;
                    double element = diagonal ? (double)(1 + bench_random(&state) % 4) : (double)(bench_random(&state) % 7) - 3;
                    tile_of(m, m->known, i, j)[y * m->tile + x] = zero ? 0 : element;
                }
}

int cholesky_make(struct cholesky *m)
{
    m->edge = m->n / m->tile;
    if (m->n % m->tile || m->edge > CHOLESKY_MOST_TILES)
        return -EINVAL;
    double **all[] = {&m->given, &m->known, &m->lower, &m->upper};
    for (unsigned i = 0; i < BENCH_COUNT(all); i++) {
        *all[i] = calloc((size_t)cholesky_elements(m), sizeof **all[i]);
        if (!*all[i])
            return -ENOMEM;
    }
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        subtract_product = subtract_avx2;
#endif
    make_known(m);
    multiply(m);
    return 0;
}

void cholesky_free(struct cholesky *m)
{
    free(m->given);
    free(m->known);
    free(m->lower);
    free(m->upper);
}
