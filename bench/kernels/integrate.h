/* SPDX-License-Identifier: MIT */
/* Adaptive quadrature of f(x) = x (x x + 1), as bench/integrate.c has it, for whatever runs the recursion.
 *
 * Whether a piece is good enough hangs on its last bits, so the number of pieces does too. A compiler that may fuse a product with a sum
 * would come to others: therefore products are rounded, as the language's own arithmetic would have it. */
#ifndef FILCH_BENCH_KERNELS_INTEGRATE_H
#define FILCH_BENCH_KERNELS_INTEGRATE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/* An interval, and what lies below the chord over it; what was found in the end, and in how many pieces. */
struct integrate_piece {
    double x1, y1, x2, y2, area;
    int64_t areas;
};

static inline double integrate_rounded(double product)
{
#if defined(__x86_64__)
    __asm__("" : "+x"(product));
#elif defined(__aarch64__)
    __asm__("" : "+w"(product));
#else
    __asm__("" : "+m"(product));
#endif
    return product;
}

static inline double integrate_f(double x)
{
    return x * (integrate_rounded(x * x) + 1);
}

static inline struct integrate_piece integrate_piece_of(double x1, double y1, double x2, double y2, double area)
{
    struct integrate_piece piece = {x1, y1, x2, y2, area, 0};
    return piece;
}

/** From 0 to n. */
static inline struct integrate_piece integrate_all(double n)
{
    return integrate_piece_of(0, 0, n, integrate_f(n), 0);
}

/** Halves a piece. @return false if it is good enough: then it holds its result */
static inline bool integrate_halve(struct integrate_piece *piece, double epsilon, struct integrate_piece half[2])
{
    double width = (piece->x2 - piece->x1) / 2, x = piece->x1 + width, y = integrate_f(x);
    double left = integrate_rounded((piece->y1 + y) / 2 * width), right = integrate_rounded((y + piece->y2) / 2 * width);
    double difference = left + right - piece->area;
    if (difference < epsilon && difference > -epsilon) {
        piece->area = left + right;
        piece->areas = 1;
        return false;
    }
    half[0] = integrate_piece_of(piece->x1, piece->y1, x, y, left);
    half[1] = integrate_piece_of(x, y, piece->x2, piece->y2, right);
    return true;
}

static inline void integrate_add_up(struct integrate_piece *piece, const struct integrate_piece half[2])
{
    piece->area = half[0].area + half[1].area;
    piece->areas = half[0].areas + half[1].areas;
}

/** Whether the integral is right: quadrature is off by less than epsilon for each area, and rounding adds a part in 10^13. */
static inline bool integrate_right(const struct integrate_piece *all, double n, double epsilon)
{
    double exact = n * n * (n * n + 2) / 4;
    return fabs(all->area - exact) <= epsilon * (double)all->areas + exact * 1e-13;
}

#endif
