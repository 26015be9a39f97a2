/* SPDX-License-Identifier: MIT */
/* sort: does coarse work with much memory traffic become twice as fast on two workers?
 *
 * Sorts --n random 32-bit integers by merge sort with a parallel merge, the algorithm of Cilk-5's cilksort (after Akl and Santoro,
 * "Optimal parallel merging and sorting without memory conflicts", 1987): halves are sorted in parallel, each into the other of two
 * arrays, and merged in parallel by splitting the longer run in the middle and the other one where that value belongs. Below --grain
 * integers (some ten microseconds of work) both go on serially.
 *
 * `serial` is the same recursion without tasks and with whole merges: what one would write without a runtime. Both share the base: an
 * insertion sort of short runs, and a merge that works from both ends at once and has no branch that depends on the data.
 *
 * The unsorted copy is made before the clock starts. Checked: order, and a sum and a sum of squares modulo 2^63 against those of the
 * input. Only `scope` exists as a parallel form: with a task every ten microseconds the forms do not differ. The runtime is started
 * once for all runs. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define RUN 12 /* sorted by insertion */

static int64_t n = 10000000, grain = 16384, seed = 1;
static uint32_t *input, *data, *spare;
static int64_t input_sum, input_squares;

/* ---- the serial base ---- */

static void insertion_sort(uint32_t *a, int64_t length)
{
    for (int64_t i = 1, j; i < length; i++) {
        uint32_t value = a[i];
        for (j = i; j > 0 && a[j - 1] > value; j--)
            a[j] = a[j - 1];
        a[j] = value;
    }
}

/* a[0..m) and b[0..k), both sorted, into out. From either end, as many steps as the shorter run is long stay inside both, whatever the
 * data; what is left in the middle is merged in the same way. Of equal integers those of `a` come first, seen from both ends. */
static void merge(const uint32_t *a, int64_t m, const uint32_t *b, int64_t k, uint32_t *out)
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

/* sorts a[0..length), leaving the result in `a` or, if `over`, in `b` */
static void sort_serial(uint32_t *a, uint32_t *b, int64_t length, bool over)
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
        merge(a, half, a + half, length - half, b);
    else
        merge(b, half, b + half, length - half, a);
}

/* ---- in parallel ---- */

struct merging {
    const uint32_t *a, *b;
    int64_t m, k;
    uint32_t *out;
};

/* how many of b[0..k) are less than `value` */
static int64_t place_of(uint32_t value, const uint32_t *b, int64_t k)
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

static int merge_parallel(void *arg)
{
    struct merging w = *(struct merging *)arg;
    if (w.m < w.k)
        w = (struct merging){w.b, w.a, w.k, w.m, w.out};
    if (w.m + w.k <= grain) {
        merge(w.a, w.m, w.b, w.k, w.out);
        return 0;
    }
    int64_t i = w.m / 2, j = place_of(w.a[i], w.b, w.k);
    struct merging low = {w.a, w.b, i, j, w.out}, high = {w.a + i, w.b + j, w.m - i, w.k - j, w.out + i + j};
    FILCH_SCOPE(s);
    int r = filch_spawn(&s, merge_parallel, &low);
    if (r < 0)
        return r;
    r = merge_parallel(&high);
    return r < 0 ? r : filch_join(&s);
}

struct sorting {
    uint32_t *a, *b;
    int64_t length;
    bool over;
};

static int sort_parallel(void *arg);

static int sort_halves(const struct sorting *w, int64_t half)
{
    struct sorting low = {w->a, w->b, half, !w->over}, high = {w->a + half, w->b + half, w->length - half, !w->over};
    FILCH_SCOPE(s);
    int r = filch_spawn(&s, sort_parallel, &low);
    if (r < 0)
        return r;
    r = sort_parallel(&high);
    return r < 0 ? r : filch_join(&s);
}

static int sort_parallel(void *arg)
{
    const struct sorting *w = arg;
    if (w->length <= grain) {
        sort_serial(w->a, w->b, w->length, w->over);
        return 0;
    }
    int64_t half = w->length / 2;
    int r = sort_halves(w, half);
    if (r < 0)
        return r;
    uint32_t *from = w->over ? w->a : w->b, *to = w->over ? w->b : w->a;
    return merge_parallel(&(struct merging){from, from + half, half, w->length - half, to});
}

/* ---- one run ---- */

static void sums(const uint32_t *a, int64_t *ret_sum, int64_t *ret_squares)
{
    uint64_t sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += a[i];
        squares += (uint64_t)a[i] * a[i];
    }
    *ret_sum = (int64_t)(sum & INT64_MAX);
    *ret_squares = (int64_t)(squares & INT64_MAX);
}

static void report(struct bench_run *run, int64_t start)
{
    bench_result(run, (double)(filch_now() - start) / 1e6);
    int64_t ordered = n > 0, sum, squares;
    for (int64_t i = 1; i < n; i++)
        ordered += data[i - 1] <= data[i];
    sums(data, &sum, &squares);
    bench_check(run, "ordered", ordered, n);
    bench_check(run, "sum", sum, input_sum);
    bench_check(run, "squares", squares, input_squares);
}

static int scope(struct bench_run *run)
{
    memcpy(data, input, (size_t)n * sizeof *data);
    int64_t start = filch_now();
    int r = sort_parallel(&(struct sorting){data, spare, n, false});
    report(run, start);
    return r;
}

static int serial(struct bench_run *run)
{
    memcpy(data, input, (size_t)n * sizeof *data);
    int64_t start = filch_now();
    sort_serial(data, spare, n, false);
    report(run, start);
    return 0;
}

static int prepare(void)
{
    uint64_t state = (uint64_t)seed;
    input = calloc((size_t)n, sizeof *input);
    data = calloc((size_t)n, sizeof *data);
    spare = calloc((size_t)n, sizeof *spare);
    if (!input || !data || !spare) {
        bench_say("sort: no memory for three arrays of %lld integers", (long long)n);
        return -ENOMEM;
    }
    for (int64_t i = 0; i < n; i++)
        input[i] = (uint32_t)(bench_random(&state) >> 32);
    sums(input, &input_sum, &input_squares);
    return 0;
}

static void finish(void)
{
    free(input);
    free(data);
    free(spare);
}

const struct bench bench_sort_integers = {
    .name = "sort",
    .what = "merge sort with a parallel merge",
    .unit = "ms",
    .prepare = prepare,
    .finish = finish,
    .forms = {{"scope", scope, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params =
        {
            BENCH_INT("n", n, 1, 1e9, "32-bit integers"),
            BENCH_INT("grain", grain, 32, 1e9, "serial from here on"),
            BENCH_INT("seed", seed, 0, INT32_MAX, "of the random numbers"),
        },
};
