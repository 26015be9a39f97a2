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
 * No BLAS: a tile keeps its transposed copy once it is final, so that all inner loops go along rows, and the compiler makes vectors of
 * them. A is made from an L of small whole numbers; all steps on the way back are exact then, in any order, and every element of L is
 * checked to be what it was. The runtime is started once for all runs. */
#include "bench.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define MOST_TILES 128 /* along an edge */

static int64_t n = 2048, tile = 64, edge;
static double *given, *known; /* A and L: tiles at or below the diagonal, each row by row */
static double *lower, *upper; /* what is computed: tiles, and final ones transposed */

/* The tiles before tile (i, j), i >= j, at or below the diagonal. */
static inline int64_t place_of(int64_t i, int64_t j)
{
    return i * (i + 1) / 2 + j;
}

static inline double *tile_of(double *tiles, int64_t i, int64_t j)
{
    return tiles + place_of(i, j) * tile * tile;
}

/* ---- the kernels ---- */

/* c -= a b, of which only the columns up to the row's own if `triangle` */
static inline __attribute__((always_inline)) void subtract(const double *a, const double *b, double *restrict c, bool triangle)
{
    int64_t size = tile;
    for (int64_t y = 0; y < size; y++)
        for (int64_t k = 0; k < size; k++)
            for (int64_t x = 0, width = triangle ? y + 1 : size; x < width; x++)
                c[y * size + x] -= a[y * size + k] * b[k * size + x];
}

static inline __attribute__((always_inline)) void subtract_either(const double *a, const double *b, double *restrict c, bool triangle)
{
    if (triangle)
        subtract(a, b, c, true);
    else
        subtract(a, b, c, false);
}

static void subtract_any(const double *a, const double *b, double *restrict c, bool triangle)
{
    subtract_either(a, b, c, triangle);
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static void subtract_avx2(const double *a, const double *b, double *restrict c, bool triangle)
{
    subtract_either(a, b, c, triangle);
}
#endif

static void (*subtract_product)(const double *a, const double *b, double *restrict c, bool triangle) = subtract_any;

static void transpose(const double *from, double *restrict to)
{
    for (int64_t y = 0; y < tile; y++)
        for (int64_t x = 0; x < tile; x++)
            to[x * tile + y] = from[y * tile + x];
}

/* syrk where i = j, else gemm */
static void update(int64_t i, int64_t j, int64_t k)
{
    subtract_product(tile_of(lower, i, k), tile_of(upper, j, k), tile_of(lower, i, j), i == j);
}

static void potrf(int64_t j)
{
    double *c = tile_of(lower, j, j), *l = tile_of(upper, j, j);
    int64_t size = tile;
    for (int64_t k = 0; k < size; k++) {
        double root = sqrt(c[k * size + k]);
        for (int64_t y = 0; y < size; y++)
            l[k * size + y] = y < k ? 0 : c[y * size + k] / root;
        for (int64_t y = k + 1; y < size; y++)
            for (int64_t x = k + 1; x <= y; x++)
                c[y * size + x] -= l[k * size + y] * l[k * size + x];
    }
    transpose(l, c);
}

static void trsm(int64_t i, int64_t j)
{
    double *c = tile_of(lower, i, j), *l = tile_of(upper, j, j);
    int64_t size = tile;
    for (int64_t y = 0; y < size; y++) {
        double *restrict row = c + y * size;
        for (int64_t k = 0; k < size; k++) {
            double element = row[k] /= l[k * size + k];
            for (int64_t x = k + 1; x < size; x++)
                row[x] -= element * l[k * size + x];
        }
    }
    transpose(c, tile_of(upper, i, j));
}

static void finish_tile(int64_t i, int64_t j)
{
    if (i == j)
        potrf(j);
    else
        trsm(i, j);
}

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
    return &graph->calls[place_of(i, j) * edge + k];
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
        for (int64_t below = j + 1; r == 0 && below < edge; below++)
            r = one_less(call_of(graph, below, j, j));
        return r;
    }
    for (int64_t column = j + 1; r == 0 && column <= i; column++)
        r = one_less(call_of(graph, i, column, j));
    for (int64_t below = i + 1; r == 0 && below < edge; below++)
        r = one_less(call_of(graph, below, i, j));
    return r;
}

static int run_call(void *arg)
{
    struct call *call = arg;
    if (call->k < call->j) {
        update(call->i, call->j, call->k);
        return one_less(call + 1);
    }
    finish_tile(call->i, call->j);
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
    struct graph graph = {.calls = calloc((size_t)(place_of(edge, 0) * edge), sizeof *graph.calls)};
    if (!graph.calls)
        return -ENOMEM;
    for (int64_t i = 0; i < edge; i++)
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
    struct work *self = arg, *row = &self->all[place_of(self->i, 0)], *other = &self->all[place_of(self->j, 0)];
    int r = 0;
    for (int64_t k = 0; r == 0 && k < self->j; k++) {
        r = filch_event_wait(&row[k].final);
        if (r == 0)
            r = filch_event_wait(&other[k].final);
        if (r == 0)
            update(self->i, self->j, k);
    }
    if (r == 0 && self->i != self->j)
        r = filch_event_wait(&other[self->j].final);
    if (r < 0)
        return r;
    finish_tile(self->i, self->j);
    filch_event_set(&self->final);
    return 0;
}

static int run_tiles(struct work *all)
{
    int r = 0;
    FILCH_SCOPE(s);
    for (int64_t j = edge - 1; r == 0 && j >= 0; j--)
        for (int64_t i = edge - 1; r == 0 && i >= j; i--)
            r = filch_spawn(&s, run_tile, &all[place_of(i, j)]);
    return r < 0 ? r : filch_join(&s);
}

static int factor_events(void)
{
    struct work *all = calloc((size_t)place_of(edge, 0), sizeof *all);
    if (!all)
        return -ENOMEM;
    for (int64_t i = 0; i < edge; i++)
        for (int64_t j = 0; j <= i; j++)
            all[place_of(i, j)] = (struct work){.all = all, .i = i, .j = j};
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
    trsm(step->i, step->k);
    return 0;
}

static int run_update(void *arg)
{
    struct step *step = arg;
    update(step->i, step->j, step->k);
    return 0;
}

static int run_steps(struct step *steps)
{
    int r = 0;
    FILCH_SCOPE(s);
    for (int64_t k = 0; r == 0 && k < edge; k++) {
        potrf(k);
        for (int64_t i = k + 1; r == 0 && i < edge; i++) {
            steps[i] = (struct step){i, k, k};
            r = filch_spawn(&s, run_trsm, &steps[i]);
        }
        if (r == 0)
            r = filch_join(&s);
        for (int64_t i = k + 1; r == 0 && i < edge; i++)
            for (int64_t j = k + 1; r == 0 && j <= i; j++) {
                steps[place_of(i, j)] = (struct step){i, j, k};
                r = filch_spawn(&s, run_update, &steps[place_of(i, j)]);
            }
        if (r == 0)
            r = filch_join(&s);
    }
    return r;
}

static int factor_scope(void)
{
    struct step *steps = calloc((size_t)place_of(edge, 0), sizeof *steps);
    int r = steps ? run_steps(steps) : -ENOMEM;
    free(steps);
    return r;
}

/* ---- serial ---- */

static int factor_serial(void)
{
    for (int64_t k = 0; k < edge; k++) {
        potrf(k);
        for (int64_t i = k + 1; i < edge; i++)
            trsm(i, k);
        for (int64_t i = k + 1; i < edge; i++)
            for (int64_t j = k + 1; j <= i; j++)
                update(i, j, k);
    }
    return 0;
}

/* ---- one run ---- */

static size_t elements(void)
{
    return (size_t)(place_of(edge, 0) * tile * tile);
}

static int cholesky(struct bench_run *run, int (*factor)(void))
{
    int64_t right = 0;
    memcpy(lower, given, elements() * sizeof *lower);
    int64_t start = filch_now();
    int r = factor();
    bench_result(run, (double)(filch_now() - start) / 1e6);
    for (size_t i = 0; i < elements(); i++)
        right += lower[i] == known[i];
    bench_check(run, "right", right, (int64_t)elements());
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

/* A = L L', with the kernel that subtracts: 0 - L (-L'). */
static void multiply(void)
{
    for (int64_t i = 0; i < edge; i++)
        for (int64_t j = 0; j <= i; j++) {
            double *minus = tile_of(upper, i, j);
            transpose(tile_of(known, i, j), minus);
            for (int64_t e = 0; e < tile * tile; e++)
                minus[e] = -minus[e];
        }
    for (int64_t i = 0; i < edge; i++)
        for (int64_t j = 0; j <= i; j++)
            for (int64_t k = 0; k <= j; k++)
                subtract_product(tile_of(known, i, k), tile_of(upper, j, k), tile_of(given, i, j), false);
}

static void make_known(void)
{
    uint64_t state = 1;
    for (int64_t i = 0; i < edge; i++)
        for (int64_t j = 0; j <= i; j++)
            for (int64_t y = 0; y < tile; y++)
                for (int64_t x = 0; x < tile; x++) {
                    bool diagonal = i == j && x == y, zero = i == j && x > y;
                    double element = diagonal ? (double)(1 + bench_random(&state) % 4) : (double)(bench_random(&state) % 7) - 3;
                    tile_of(known, i, j)[y * tile + x] = zero ? 0 : element;
                }
}

static int prepare(void)
{
    edge = n / tile;
    if (n % tile || edge > MOST_TILES) {
        bench_say("cholesky: --n %lld must be a multiple of --tile %lld, and at most %d of them", (long long)n, (long long)tile,
                  MOST_TILES);
        return -EINVAL;
    }
    double **all[] = {&given, &known, &lower, &upper};
    for (unsigned i = 0; i < BENCH_COUNT(all); i++) {
        *all[i] = calloc(elements(), sizeof **all[i]);
        if (!*all[i]) {
            bench_say("cholesky: no memory for four triangles of %lld x %lld", (long long)n, (long long)n);
            return -ENOMEM;
        }
    }
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        subtract_product = subtract_avx2;
#endif
    make_known();
    multiply();
    return 0;
}

static void finish(void)
{
    free(given);
    free(known);
    free(lower);
    free(upper);
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
            BENCH_INT("n", n, 1, 8192, "rows and columns"),
            BENCH_INT("tile", tile, 1, 1024, "rows and columns of a tile"),
        },
};
