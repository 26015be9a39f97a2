/* SPDX-License-Identifier: MIT */
/* See histogram.h. */
#include "histogram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../util.h"

#define SETS 4

void histogram_count(const uint8_t *part, int64_t length, uint32_t ret_bins[HISTOGRAM_BINS])
{
    uint32_t sets[SETS][HISTOGRAM_BINS];
    int64_t i = 0;
    memset(sets, 0, sizeof sets);
    for (; i + SETS <= length; i += SETS)
        for (int k = 0; k < SETS; k++)
            sets[k][part[i + k]]++;
    for (; i < length; i++)
        sets[0][part[i]]++;
    for (int bin = 0; bin < HISTOGRAM_BINS; bin++)
        ret_bins[bin] = sets[0][bin] + sets[1][bin] + sets[2][bin] + sets[3][bin];
}

void histogram_sums(const int64_t bins[HISTOGRAM_BINS], int64_t *ret_bytes, int64_t *ret_sum, int64_t *ret_squares)
{
    *ret_bytes = *ret_sum = *ret_squares = 0;
    for (int bin = 0; bin < HISTOGRAM_BINS; bin++) {
        *ret_bytes += bins[bin];
        *ret_sum += bin * bins[bin];
        *ret_squares += bin * bin * bins[bin];
    }
}

static uint8_t make(unsigned kind, uint64_t random)
{
    switch ((enum histogram_kind)kind) {
    case HISTOGRAM_SKEWED:
        return (uint8_t)(random & random >> 8 & random >> 16);
    case HISTOGRAM_SAME:
        return 170;
    case HISTOGRAM_UNIFORM:
        break;
    }
    return (uint8_t)random;
}

int histogram_make(struct histogram *histogram)
{
    uint64_t state = (uint64_t)histogram->seed;
    histogram->data = malloc((size_t)histogram->bytes);
    if (!histogram->data)
        return -ENOMEM;
    int64_t bytes = histogram->bytes, sum = 0, squares = 0;
    unsigned kind = histogram->kind;
    uint8_t *data = histogram->data;
    for (int64_t i = 0; i < bytes; i++) {
        int64_t byte = data[i] = make(kind, bench_random(&state));
        sum += byte;
        squares += byte * byte;
    }
    histogram->sum = sum;
    histogram->squares = squares;
    return 0;
}

void histogram_free(struct histogram *histogram)
{
    free(histogram->data);
}
