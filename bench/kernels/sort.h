/* SPDX-License-Identifier: MIT */
/* Merge sort, as bench/sort.c has it, but for the tasks: the serial base, the integers, and what must come out.
 *
 * The base is an insertion sort of short runs, and a merge that works from both ends at once and has no branch that depends on the data.
 * Checked are order, and a sum and a sum of squares modulo 2^63 against those of the input. */
#ifndef FILCH_BENCH_KERNELS_SORT_H
#define FILCH_BENCH_KERNELS_SORT_H

#include <stdbool.h>
#include <stdint.h>

struct sort_input {
    int64_t n, seed; /* set by the caller */
    uint32_t *input, *data, *spare;
    int64_t sum, squares;
};

/** @return 0 or -ENOMEM */
int sort_make(struct sort_input *integers);
void sort_free(struct sort_input *integers);

/** Puts the unsorted integers into `data`. */
void sort_reset(const struct sort_input *integers);

/** a[0..m) and b[0..k), both sorted, into out. */
void sort_merge(const uint32_t *a, int64_t m, const uint32_t *b, int64_t k, uint32_t *out);

/** Sorts a[0..length), leaving the result in `a` or, if `over`, in `b`. */
void sort_serial(uint32_t *a, uint32_t *b, int64_t length, bool over);

/** How many of b[0..k) are less than `value`. */
int64_t sort_place_of(uint32_t value, const uint32_t *b, int64_t k);

/** How many of `data` stand in order; their sums are to be those of `integers`. */
int64_t sort_check(const struct sort_input *integers, int64_t *ret_sum, int64_t *ret_squares);

#endif
