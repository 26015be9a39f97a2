/* SPDX-License-Identifier: MIT */
/* integrate: what do tasks cost a recursion that decides by arithmetic how deep it goes?
 *
 * The integral of f(x) = x (x x + 1) from 0 to --n by adaptive quadrature: the area below a chord is compared with that below the two
 * chords through the middle; if they differ by --epsilon or more, both halves are integrated in the same way, one of them as a task. A
 * call is one evaluation of f and a dozen further operations, a few nanoseconds. Intervals become shorter where the curve bends more,
 * so the tree is deeper to the right. It is the `integrate` of the benchmarks of Lace (van Dijk, van de Pol, MuCoCoS 2014), with its
 * function and epsilon 1e-9; theirs is n = 10,000, where a task is spawned 175,004,987 times.
 *
 * Forms: `scope`; `frame`; `serial`, the two calls, held back from being inlined. The sum is always that of the left half plus that of
 * the right one, so that all forms come to the same bits, and to the same number of areas. What proves the work is the integral, n n
 * (n n + 2) / 4, but for what quadrature is off by. The runtime is started once for all runs. */
#include "bench.h"

#include <stdio.h>

#include "kernels/integrate.h"

static double n = 1000, epsilon = 1e-9;

static int integrate_scope(void *arg)
{
    struct integrate_piece half[2];
    if (!integrate_halve(arg, epsilon, half))
        return 0;
    FILCH_SCOPE(s);
    int r = filch_spawn(&s, integrate_scope, &half[1]);
    if (r < 0)
        return r;
    integrate_scope(&half[0]);
    r = filch_join(&s);
    integrate_add_up(arg, half);
    return r;
}

static int integrate_frame(void *arg)
{
    struct integrate_piece half[2];
    if (!integrate_halve(arg, epsilon, half))
        return 0;
    filch_frame frame;
    filch_fork(&frame, integrate_frame, &half[1]);
    integrate_frame(&half[0]);
    filch_meet(&frame);
    integrate_add_up(arg, half);
    return 0;
}

static __attribute__((noinline)) int integrate_serial(void *arg)
{
    struct integrate_piece half[2];
    if (!integrate_halve(arg, epsilon, half))
        return 0;
    integrate_serial(&half[0]);
    integrate_serial(&half[1]);
    integrate_add_up(arg, half);
    return 0;
}

static int integrate(struct bench_run *run, filch_fn *fn)
{
    struct integrate_piece all = integrate_all(n);
    char text[64];
    int64_t start = filch_now();
    int r = fn(&all);
    bench_result(run, (double)(filch_now() - start) / 1e6);
    snprintf(text, sizeof text, "%.12g", all.area);
    bench_check_text(run, "integral", text);
    bench_check(run, "areas", all.areas, all.areas);
    bench_check(run, "right", integrate_right(&all, n, epsilon), 1);
    return r;
}

static int scope(struct bench_run *run)
{
    return integrate(run, integrate_scope);
}

static int frame(struct bench_run *run)
{
    return integrate(run, integrate_frame);
}

static int serial(struct bench_run *run)
{
    return integrate(run, integrate_serial);
}

const struct bench bench_integrate = {
    .name = "integrate",
    .what = "adaptive quadrature, a task a half, no cut-off",
    .unit = "ms",
    .forms = {{"scope", scope, BENCH_TASK}, {"frame", frame, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params =
        {
            BENCH_REAL("n", n, 1, 1e5, "the upper end"),
            BENCH_REAL("epsilon", epsilon, 1e-12, 1e6, "how much an area may change by being halved"),
        },
};
