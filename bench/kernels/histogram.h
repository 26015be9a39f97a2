/* SPDX-License-Identifier: MIT */
/* How often each byte occurs, as bench/histogram.c has it, but for the tasks: the bytes, counting a part of them, and what must come out. */
#ifndef FILCH_BENCH_KERNELS_HISTOGRAM_H
#define FILCH_BENCH_KERNELS_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BINS 256
#define HISTOGRAM_DATA "uniform|skewed|same"

enum histogram_kind { HISTOGRAM_UNIFORM, HISTOGRAM_SKEWED, HISTOGRAM_SAME };

struct histogram {
    int64_t bytes, seed; /* set by the caller */
    unsigned kind;
    uint8_t *data;
    int64_t sum, squares;
};

/** @return 0 or -ENOMEM */
int histogram_make(struct histogram *histogram);
void histogram_free(struct histogram *histogram);

/** Into four sets of bins in turn, since the same value twice in a row would wait for its own counter in the store buffer. */
void histogram_count(const uint8_t *part, int64_t length, uint32_t ret_bins[HISTOGRAM_BINS]);

/** What `bins` say: to be bytes, sum and squares. */
void histogram_sums(const int64_t bins[HISTOGRAM_BINS], int64_t *ret_bytes, int64_t *ret_sum, int64_t *ret_squares);

#endif
