/* SPDX-License-Identifier: MIT */
/* Strassen's recursion in Winograd's form, as bench/strassen.c has it, but for the tasks: the plain product at its leaves, the sums before
 * and after the seven products of a branch, the matrices, and what C must be.
 *
 * A branch allocates eleven quarters of a matrix: for the eight sums, and for the three products that C has no room for. Rows of what is
 * allocated are 8 doubles longer than needed: with a power of two all rows of a leaf would fall onto the same few cache sets.
 *
 * The matrices hold small integers, so that all sums and products are exact in any order, and so is the check, the one of Freivalds: for a
 * random vector x every row of C x must be that of A (B x). A wrong C passes with a probability of one in a thousand at most, and its sum
 * must be right as well. */
#ifndef FILCH_BENCH_KERNELS_STRASSEN_H
#define FILCH_BENCH_KERNELS_STRASSEN_H

#include <stdint.h>

#define STRASSEN_PARTS 7
#define STRASSEN_GRAIN 16 /* rows of sums in a part that is not split */

struct strassen {
    int64_t n, cutoff; /* set by the caller */
    int64_t stride, sum;
    double *a, *b, *c;
    double *x, *abx;
};

/* c = a b, all of them `size` squared */
struct strassen_product {
    const double *a, *b;
    double *c;
    int64_t size, a_step, b_step, c_step;
};

struct strassen_branch {
    const struct strassen_product *whole;
    double *temps;
    int64_t half, step;
    struct strassen_product parts[STRASSEN_PARTS];
};

/** @return 0, -EINVAL if n cannot be halved down to the cut-off, -ENOMEM */
int strassen_make(struct strassen *matrices);
void strassen_free(struct strassen *matrices);

/** All of C, which holds nothing of a run before. */
struct strassen_product strassen_whole(const struct strassen *matrices);

/** The plain product. */
void strassen_leaf(const struct strassen_product *product);

/** Allocates. @return 0 or -ENOMEM */
int strassen_branch_make(struct strassen_branch *branch, const struct strassen_product *product);
void strassen_branch_free(struct strassen_branch *branch);

/** The sums before the seven parts, and those after them, of rows [begin, end) of branch->half. */
void strassen_before(const struct strassen_branch *branch, int64_t begin, int64_t end);
void strassen_after(const struct strassen_branch *branch, int64_t begin, int64_t end);

/** How many rows of C pass the check; the sum is to be matrices->sum. */
int64_t strassen_check(const struct strassen *matrices, int64_t *ret_sum);

#endif
