/* SPDX-License-Identifier: MIT */
/* sort: does coarse work with much memory traffic become twice as fast on two workers?
 *
 * Sorts --n random 32-bit integers by merge sort with a parallel merge, the algorithm of Cilk-5's cilksort (after Akl and Santoro,
 * "Optimal parallel merging and sorting without memory conflicts", 1987): halves are sorted in parallel, each into the other of two
 * arrays, and merged in parallel by splitting the longer run in the middle and the other one where that value belongs. Below --grain
 * integers (some ten microseconds of work) both go on serially.
 *
 * `serial` is the same recursion without tasks and with whole merges: what one would write without a runtime. Both share the base,
 * kernels/sort.h. The unsorted copy is made before the clock starts. Only `scope` exists as a parallel form: with a task every ten microseconds the forms do not differ. The runtime is started
 * once for all runs. */
#include "bench.h"

#include "kernels/sort.h"
#include "trace.h"

static struct sort_input integers = {.n = 10000000, .seed = 1};
static int64_t grain = 16384;

struct merging {
    const uint32_t *a, *b;
    int64_t m, k;
    uint32_t *out;
};

static int merge_parallel(void *arg)
{
    struct merging w = *(struct merging *)arg;
    if (w.m < w.k)
        w = (struct merging){w.b, w.a, w.k, w.m, w.out};
    if (w.m + w.k <= grain) {
        sort_merge(w.a, w.m, w.b, w.k, w.out);
        return 0;
    }
    int64_t i = w.m / 2, j = sort_place_of(w.a[i], w.b, w.k);
    struct merging low = {w.a, w.b, i, j, w.out}, high = {w.a + i, w.b + j, w.m - i, w.k - j, w.out + i + j};
    FILCH_SCOPE(s);
    int r = bench_spawn(&s, merge_parallel, &low);
    if (r < 0)
        return r;
    r = merge_parallel(&high);
    return r < 0 ? r : bench_join(&s);
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
    int r = bench_spawn(&s, sort_parallel, &low);
    if (r < 0)
        return r;
    r = sort_parallel(&high);
    return r < 0 ? r : bench_join(&s);
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

static void report(struct bench_run *run, int64_t start)
{
    bench_result(run, (double)(filch_now() - start) / 1e6);
    int64_t sum, squares, ordered = sort_check(&integers, &sum, &squares);
    bench_check(run, "ordered", ordered, integers.n);
    bench_check(run, "sum", sum, integers.sum);
    bench_check(run, "squares", squares, integers.squares);
}

static int scope(struct bench_run *run)
{
    sort_reset(&integers);
    int64_t start = filch_now();
    bench_trace_root();
    int r = sort_parallel(&(struct sorting){integers.data, integers.spare, integers.n, false});
    bench_trace_end();
    report(run, start);
    return r;
}

static int serial(struct bench_run *run)
{
    sort_reset(&integers);
    int64_t start = filch_now();
    sort_serial(integers.data, integers.spare, integers.n, false);
    report(run, start);
    return 0;
}

static int prepare(void)
{
    int r = sort_make(&integers);
    if (r < 0)
        bench_say("sort: no memory for three arrays of %lld integers", (long long)integers.n);
    return r;
}

static void finish(void)
{
    sort_free(&integers);
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
            BENCH_INT("n", integers.n, 1, 1e9, "32-bit integers"),
            BENCH_INT("grain", grain, 32, 1e9, "serial from here on"),
            BENCH_INT("seed", integers.seed, 0, INT32_MAX, "of the random numbers"),
        },
};
