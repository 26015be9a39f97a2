/* SPDX-License-Identifier: MIT */
/* cholesky: how are tasks told what they depend on, and what does each way cost?
 *
 * A = L L' for a symmetric matrix of --n x --n doubles in tiles of --tile x --tile (Buttari, Langou, Kurzak, Dongarra, "A class of
 * parallel tiled linear algebra algorithms for multicore architectures", Parallel Computing 35, 2009). Four kernels, by their names in
 * BLAS and LAPACK: potrf factors a tile of the diagonal; trsm divides a tile below it by that one; syrk and gemm subtract from a tile
 * of the diagonal, or from another one, the product of two tiles to the left. With n 2,048 and tile 64 these are 32, 496, 496 and 4,960
 * calls of some tens of microseconds, or n^3 / 3 operations.
 *
 * Forms, which differ in what they say of the dependencies:
 *   count   a task a call; each has a count of the calls it waits for, and whoever takes that to zero spawns it, into the one scope around
 *           all: the graph of the calls as it is, and no task that waits
 *   events  a task a tile, which does all calls for that tile one after the other, and waits for the events of the tiles it needs. They
 *           are spawned last tile first, since a worker takes its newest child first: so one worker never waits
 *   scope   fork and join: a column of trsm, a join, all syrk and gemm with it, a join
 *   serial  the same calls in plain loops
 *
 * The kernels are those of kernels/cholesky.h. A is made from an L of small whole numbers; all steps on the way back are exact then, in
 * any order, and every element of L is checked to be what it was. The runtime is started once for all runs. */
#include "bench.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kernels/cholesky.h"

static struct cholesky matrices = {.n = 2048, .tile = 64};

/* ---- count ---- */

struct graph;

/* A call: an update of tile (i, j) with column k < j, or, where k = j, its end. */
struct call {
    struct graph *graph;
    int32_t i, j, k;
    atomic_int missing;
};

struct graph {
    struct call *calls;
    filch_scope *scope;
};

static struct call *call_of(const struct graph *graph, int64_t i, int64_t j, int64_t k)
{
    return &graph->calls[cholesky_place(i, j) * matrices.edge + k];
}

static int run_call(void *arg);

static int one_less(struct call *call)
{
    return atomic_fetch_sub(&call->missing, 1) == 1 ? filch_spawn(call->graph->scope, run_call, call) : 0;
}

/* Tile (i, j) is final: calls that waited for it. */
static int tell(struct graph *graph, int64_t i, int64_t j)
{
    int r = 0;
    if (i == j) {
        for (int64_t below = j + 1; r == 0 && below < matrices.edge; below++)
            r = one_less(call_of(graph, below, j, j));
        return r;
    }
    for (int64_t column = j + 1; r == 0 && column <= i; column++)
        r = one_less(call_of(graph, i, column, j));
    for (int64_t below = i + 1; r == 0 && below < matrices.edge; below++)
        r = one_less(call_of(graph, below, i, j));
    return r;
}

static int run_call(void *arg)
{
    struct call *call = arg;
    if (call->k < call->j) {
        cholesky_update(&matrices, call->i, call->j, call->k);
        return one_less(call + 1);
    }
    cholesky_end(&matrices, call->i, call->j);
    return tell(call->graph, call->i, call->j);
}

static int run_graph(struct graph *graph)
{
    FILCH_SCOPE(s);
    graph->scope = &s;
    int r = filch_spawn(&s, run_call, call_of(graph, 0, 0, 0));
    return r < 0 ? r : filch_join(&s);
}

static int factor_count(void)
{
    struct graph graph = {.calls = calloc((size_t)(cholesky_tiles(&matrices) * matrices.edge), sizeof *graph.calls)};
    if (!graph.calls)
        return -ENOMEM;
    for (int64_t i = 0; i < matrices.edge; i++)
        for (int64_t j = 0; j <= i; j++)
            for (int64_t k = 0; k <= j; k++) {
                struct call *call = call_of(&graph, i, j, k);
                *call = (struct call){.graph = &graph, .i = (int32_t)i, .j = (int32_t)j, .k = (int32_t)k};
                int operands = k < j ? 1 + (i != j) : i != j; /* final tiles that it reads, besides the update before it */
                atomic_init(&call->missing, operands + (k > 0));
            }
    int r = run_graph(&graph);
    free(graph.calls);
    return r;
}

/* ---- events ---- */

struct work {
    struct work *all;
    int64_t i, j;
    filch_event final;
};

static int run_tile(void *arg)
{
    struct work *self = arg, *row = &self->all[cholesky_place(self->i, 0)], *other = &self->all[cholesky_place(self->j, 0)];
    int r = 0;
    for (int64_t k = 0; r == 0 && k < self->j; k++) {
        r = filch_event_wait(&row[k].final);
        if (r == 0)
            r = filch_event_wait(&other[k].final);
        if (r == 0)
            cholesky_update(&matrices, self->i, self->j, k);
    }
    if (r == 0 && self->i != self->j)
        r = filch_event_wait(&other[self->j].final);
    if (r < 0)
        return r;
    cholesky_end(&matrices, self->i, self->j);
    filch_event_set(&self->final);
    return 0;
}

static int run_tiles(struct work *all)
{
    int r = 0;
    FILCH_SCOPE(s);
    for (int64_t j = matrices.edge - 1; r == 0 && j >= 0; j--)
        for (int64_t i = matrices.edge - 1; r == 0 && i >= j; i--)
            r = filch_spawn(&s, run_tile, &all[cholesky_place(i, j)]);
    return r < 0 ? r : filch_join(&s);
}

static int factor_events(void)
{
    struct work *all = calloc((size_t)cholesky_tiles(&matrices), sizeof *all);
    if (!all)
        return -ENOMEM;
    for (int64_t i = 0; i < matrices.edge; i++)
        for (int64_t j = 0; j <= i; j++)
            all[cholesky_place(i, j)] = (struct work){.all = all, .i = i, .j = j};
    int r = run_tiles(all);
    free(all);
    return r;
}

/* ---- scope ---- */

struct step {
    int64_t i, j, k;
};

static int run_trsm(void *arg)
{
    struct step *step = arg;
    cholesky_end(&matrices, step->i, step->k);
    return 0;
}

static int run_update(void *arg)
{
    struct step *step = arg;
    cholesky_update(&matrices, step->i, step->j, step->k);
    return 0;
}

static int run_steps(struct step *steps)
{
    int r = 0;
    FILCH_SCOPE(s);
    for (int64_t k = 0; r == 0 && k < matrices.edge; k++) {
        cholesky_end(&matrices, k, k);
        for (int64_t i = k + 1; r == 0 && i < matrices.edge; i++) {
            steps[i] = (struct step){i, k, k};
            r = filch_spawn(&s, run_trsm, &steps[i]);
        }
        if (r == 0)
            r = filch_join(&s);
        for (int64_t i = k + 1; r == 0 && i < matrices.edge; i++)
            for (int64_t j = k + 1; r == 0 && j <= i; j++) {
                steps[cholesky_place(i, j)] = (struct step){i, j, k};
                r = filch_spawn(&s, run_update, &steps[cholesky_place(i, j)]);
            }
        if (r == 0)
            r = filch_join(&s);
    }
    return r;
}

static int factor_scope(void)
{
    struct step *steps = calloc((size_t)cholesky_tiles(&matrices), sizeof *steps);
    int r = steps ? run_steps(steps) : -ENOMEM;
    free(steps);
    return r;
}

/* ---- serial ---- */

static int factor_serial(void)
{
    for (int64_t k = 0; k < matrices.edge; k++) {
        cholesky_end(&matrices, k, k);
        for (int64_t i = k + 1; i < matrices.edge; i++)
            cholesky_end(&matrices, i, k);
        for (int64_t i = k + 1; i < matrices.edge; i++)
            for (int64_t j = k + 1; j <= i; j++)
                cholesky_update(&matrices, i, j, k);
    }
    return 0;
}

/* ---- one run ---- */

static int cholesky(struct bench_run *run, int (*factor)(void))
{
    cholesky_reset(&matrices);
    int64_t start = filch_now();
    int r = factor();
    bench_result(run, (double)(filch_now() - start) / 1e6);
    bench_check(run, "right", cholesky_check(&matrices), cholesky_elements(&matrices));
    return r;
}

static int count(struct bench_run *run)
{
    return cholesky(run, factor_count);
}

static int events(struct bench_run *run)
{
    return cholesky(run, factor_events);
}

static int scope(struct bench_run *run)
{
    return cholesky(run, factor_scope);
}

static int serial(struct bench_run *run)
{
    return cholesky(run, factor_serial);
}

static int prepare(void)
{
    int r = cholesky_make(&matrices);
    if (r == -EINVAL)
        bench_say("cholesky: --n %lld must be a multiple of --tile %lld, and at most %d of them", (long long)matrices.n,
                  (long long)matrices.tile, CHOLESKY_MOST_TILES);
    else if (r < 0)
        bench_say("cholesky: no memory for four triangles of %lld x %lld", (long long)matrices.n, (long long)matrices.n);
    return r;
}

static void finish(void)
{
    cholesky_free(&matrices);
}

const struct bench bench_cholesky = {
    .name = "cholesky",
    .what = "a matrix factored in tiles, tasks that depend on each other",
    .unit = "ms",
    .prepare = prepare,
    .finish = finish,
    .forms =
        {
            {"count", count, BENCH_TASK},
            {"events", events, BENCH_TASK},
            {"scope", scope, BENCH_TASK},
            {"serial", serial, BENCH_ALONE},
        },
    .params =
        {
            BENCH_INT("n", matrices.n, 1, 8192, "rows and columns"),
            BENCH_INT("tile", matrices.tile, 1, 1024, "rows and columns of a tile"),
        },
};
