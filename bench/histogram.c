/* SPDX-License-Identifier: MIT */
/* histogram: does a reduction over much memory become twice as fast on two workers?
 *
 * Counts how often each of the 256 values occurs among --bytes bytes. Phoenix (Ranger et al., HPCA 2007) has it as `histogram`. The
 * obvious loop, with one counter a value for all workers, is the slowest: so each part counts into bins of its own and adds them to
 * the others' when it is done.
 *
 * Forms: `for` is a filch_for; a part is at most --grain bytes, which take some tens of microseconds, and adds its 256 bins to common
 * ones by atomic additions. `scope` halves the range down to the grain, and a task returns its bins in its parent's frame: nothing is
 * shared, but there are more additions. `serial` is one loop over all. All count into four sets of bins in turn, since the same value
 * twice in a row would wait for its own counter in the store buffer.
 *
 * --data: `uniform`; `skewed`, where small values are frequent and one in eight bytes is 0; `same`, a single value. What proves the
 * work are the count, sum and sum of squares of the bytes, added up from them when they were made. The runtime is started once for all
 * runs. */
#include "bench.h"

#include <stdatomic.h>

#include "kernels/histogram.h"

#define BINS HISTOGRAM_BINS

static struct histogram input = {.bytes = 100000000, .seed = 1};
static int64_t grain = 65536;

struct common {
    atomic_int_fast64_t bins[BINS];
};

static int count_part(void *arg, int64_t begin, int64_t end)
{
    struct common *common = arg;
    uint32_t bins[BINS];
    histogram_count(input.data + begin, end - begin, bins);
    for (int bin = 0; bin < BINS; bin++)
        if (bins[bin])
            atomic_fetch_add(&common->bins[bin], bins[bin]);
    return 0;
}

struct range {
    int64_t begin, end;
    uint32_t bins[BINS];
};

static int count_range(void *arg)
{
    struct range *range = arg, right;
    if (range->end - range->begin <= grain) {
        histogram_count(input.data + range->begin, range->end - range->begin, range->bins);
        return 0;
    }
    int64_t end = range->end, middle = range->begin + (end - range->begin) / 2;
    right.begin = range->end = middle;
    right.end = end;
    FILCH_SCOPE(s);
    int r = filch_spawn(&s, count_range, &right);
    if (r < 0)
        return r;
    r = count_range(range);
    if (r == 0)
        r = filch_join(&s);
    for (int bin = 0; r == 0 && bin < BINS; bin++)
        range->bins[bin] += right.bins[bin];
    return r;
}

/* ---- one run ---- */

static void report(struct bench_run *run, int64_t start, const int64_t bins[BINS])
{
    int64_t bytes, sum, squares;
    bench_result(run, (double)(filch_now() - start) / 1e6);
    histogram_sums(bins, &bytes, &sum, &squares);
    bench_check(run, "bytes", bytes, input.bytes);
    bench_check(run, "sum", sum, input.sum);
    bench_check(run, "squares", squares, input.squares);
}

static int for_(struct bench_run *run)
{
    struct common common = {0};
    int64_t bins[BINS], start = filch_now();
    int r = filch_for(0, input.bytes, grain, count_part, &common);
    for (int bin = 0; bin < BINS; bin++)
        bins[bin] = atomic_load(&common.bins[bin]);
    report(run, start, bins);
    return r;
}

static void widen(const uint32_t from[BINS], int64_t ret_bins[BINS])
{
    for (int bin = 0; bin < BINS; bin++)
        ret_bins[bin] = from[bin];
}

static int scope(struct bench_run *run)
{
    struct range all = {.end = input.bytes};
    int64_t bins[BINS], start = filch_now();
    int r = count_range(&all);
    widen(all.bins, bins);
    report(run, start, bins);
    return r;
}

static int serial(struct bench_run *run)
{
    uint32_t counted[BINS];
    int64_t bins[BINS], start = filch_now();
    histogram_count(input.data, input.bytes, counted);
    widen(counted, bins);
    report(run, start, bins);
    return 0;
}

static int prepare(void)
{
    int r = histogram_make(&input);
    if (r < 0)
        bench_say("histogram: no memory for %lld bytes", (long long)input.bytes);
    return r;
}

static void finish(void)
{
    histogram_free(&input);
}

const struct bench bench_histogram = {
    .name = "histogram",
    .what = "how often each byte occurs: bins of one's own, merged",
    .unit = "ms",
    .prepare = prepare,
    .finish = finish,
    .forms = {{"for", for_, BENCH_TASK}, {"scope", scope, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params =
        {
            BENCH_INT("bytes", input.bytes, 1, 4e9, "how many"),
            BENCH_INT("grain", grain, 1024, 4e9, "bytes counted in one go"),
            BENCH_CHOICE("data", input.kind, HISTOGRAM_DATA, "what they are"),
            BENCH_INT("seed", input.seed, 0, INT32_MAX, "of the random bytes"),
        },
};
