/* SPDX-License-Identifier: MIT */
/* See sort.h. */
#include "sort.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../util.h"

#define RUN 12 /* sorted by insertion */

static void insertion_sort(uint32_t *a, int64_t length)
{
    for (int64_t i = 1, j; i < length; i++) {
        uint32_t value = a[i];
        for (j = i; j > 0 && a[j - 1] > value; j--)
            a[j] = a[j - 1];
        a[j] = value;
    }
}

/* From either end, as many steps as the shorter run is long stay inside both, whatever the data; what is left in the middle is merged in
 * the same way. Of equal integers those of `a` come first, seen from both ends. */
void sort_merge(const uint32_t *a, int64_t m, const uint32_t *b, int64_t k, uint32_t *out)
{
    const uint32_t *a_last = a + m - 1, *b_last = b + k - 1;
    uint32_t *last = out + m + k - 1;
    for (int64_t steps; (steps = m < k ? m : k) > 0; m = a_last - a + 1, k = b_last - b + 1) {
        for (int64_t i = 0; i < steps; i++) {
            uint32_t x = *a, y = *b, p = *a_last, q = *b_last;
            int64_t low = y < x, high = q < p;
            *out++ = x < y ? x : y;
            *last-- = p < q ? q : p;
            b += low;
            a += low ^ 1;
            a_last -= high;
            b_last -= high ^ 1;
        }
    }
    memcpy(out, a, (size_t)m * sizeof *a);
    memcpy(out + m, b, (size_t)k * sizeof *b);
}

void sort_serial(uint32_t *a, uint32_t *b, int64_t length, bool over)
{
    if (length <= RUN) {
        insertion_sort(a, length);
        if (over)
            memcpy(b, a, (size_t)length * sizeof *a);
        return;
    }
    int64_t half = length / 2;
    sort_serial(a, b, half, !over);
    sort_serial(a + half, b + half, length - half, !over);
    if (over)
        sort_merge(a, half, a + half, length - half, b);
    else
        sort_merge(b, half, b + half, length - half, a);
}

int64_t sort_place_of(uint32_t value, const uint32_t *b, int64_t k)
{
    int64_t low = 0;
    while (low < k) {
        int64_t middle = low + (k - low) / 2;
        if (b[middle] < value)
            low = middle + 1;
        else
            k = middle;
    }
    return low;
}

/* ---- the integers ---- */

static void sums(const uint32_t *a, int64_t n, int64_t *ret_sum, int64_t *ret_squares)
{
    uint64_t sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += a[i];
        squares += (uint64_t)a[i] * a[i];
    }
    *ret_sum = (int64_t)(sum & INT64_MAX);
    *ret_squares = (int64_t)(squares & INT64_MAX);
}

void sort_reset(const struct sort_input *s)
{
    memcpy(s->data, s->input, (size_t)s->n * sizeof *s->data);
}

int64_t sort_check(const struct sort_input *s, int64_t *ret_sum, int64_t *ret_squares)
{
    int64_t ordered = s->n > 0;
    for (int64_t i = 1; i < s->n; i++)
        ordered += s->data[i - 1] <= s->data[i];
    sums(s->data, s->n, ret_sum, ret_squares);
    return ordered;
}

int sort_make(struct sort_input *s)
{
    uint64_t state = (uint64_t)s->seed;
    s->input = calloc((size_t)s->n, sizeof *s->input);
    s->data = calloc((size_t)s->n, sizeof *s->data);
    s->spare = calloc((size_t)s->n, sizeof *s->spare);
    if (!s->input || !s->data || !s->spare)
        return -ENOMEM;
    for (int64_t i = 0; i < s->n; i++)
        s->input[i] = (uint32_t)(bench_random(&state) >> 32);
    sums(s->input, s->n, &s->sum, &s->squares);
    return 0;
}

void sort_free(struct sort_input *s)
{
    free(s->input);
    free(s->data);
    free(s->spare);
}
