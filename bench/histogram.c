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

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define BINS 256
#define SETS 4

enum { DATA_UNIFORM, DATA_SKEWED, DATA_SAME };

static int64_t bytes = 100000000, grain = 65536, seed = 1;
static unsigned kind;
static uint8_t *data;
static int64_t sum, squares;

/* ---- a part ---- */

static void count(const uint8_t *part, int64_t length, uint32_t ret_bins[BINS])
{
    uint32_t sets[SETS][BINS];
    int64_t i = 0;
    memset(sets, 0, sizeof sets);
    for (; i + SETS <= length; i += SETS)
        for (int k = 0; k < SETS; k++)
            sets[k][part[i + k]]++;
    for (; i < length; i++)
        sets[0][part[i]]++;
    for (int bin = 0; bin < BINS; bin++)
        ret_bins[bin] = sets[0][bin] + sets[1][bin] + sets[2][bin] + sets[3][bin];
}

/* ---- in parallel ---- */

struct common {
    atomic_int_fast64_t bins[BINS];
};

static int count_part(void *arg, int64_t begin, int64_t end)
{
    struct common *common = arg;
    uint32_t bins[BINS];
    count(data + begin, end - begin, bins);
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
        count(data + range->begin, range->end - range->begin, range->bins);
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
    int64_t got = 0, got_sum = 0, got_squares = 0;
    bench_result(run, (double)(filch_now() - start) / 1e6);
    for (int bin = 0; bin < BINS; bin++) {
        got += bins[bin];
        got_sum += bin * bins[bin];
        got_squares += bin * bin * bins[bin];
    }
    bench_check(run, "bytes", got, bytes);
    bench_check(run, "sum", got_sum, sum);
    bench_check(run, "squares", got_squares, squares);
}

static int for_(struct bench_run *run)
{
    struct common common = {0};
    int64_t bins[BINS], start = filch_now();
    int r = filch_for(0, bytes, grain, count_part, &common);
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
    struct range all = {.end = bytes};
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
    count(data, bytes, counted);
    widen(counted, bins);
    report(run, start, bins);
    return 0;
}

static uint8_t make(uint64_t random)
{
    switch (kind) {
    case DATA_SKEWED:
        return (uint8_t)(random & random >> 8 & random >> 16);
    case DATA_SAME:
        return 170;
    default:
        return (uint8_t)random;
    }
}

static int prepare(void)
{
    uint64_t state = (uint64_t)seed;
    data = malloc((size_t)bytes);
    if (!data) {
        bench_say("histogram: no memory for %lld bytes", (long long)bytes);
        return -ENOMEM;
    }
    sum = squares = 0;
    for (int64_t i = 0; i < bytes; i++) {
        int64_t byte = data[i] = make(bench_random(&state));
        sum += byte;
        squares += byte * byte;
    }
    return 0;
}

static void finish(void)
{
    free(data);
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
            BENCH_INT("bytes", bytes, 1, 4e9, "how many"),
            BENCH_INT("grain", grain, 1024, 4e9, "bytes counted in one go"),
            BENCH_CHOICE("data", kind, "uniform|skewed|same", "what they are"),
            BENCH_INT("seed", seed, 0, INT32_MAX, "of the random bytes"),
        },
};
