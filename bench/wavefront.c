/* SPDX-License-Identifier: MIT */
/* wavefront: what do tasks cost that each wait for two others?
 *
 * The edit distance of two random strings of --n letters out of four by dynamic programming (Wagner and Fischer, "The string-to-string
 * correction problem", JACM 1974), in tiles of --tile x --tile cells: a tile can be computed after the one above and the one to its
 * left. So work begins in one corner, becomes wide along the diagonal and ends in the other corner; with n 16,384 and tile 256 it is
 * 4,096 tiles of some hundred microseconds, and not more than 64 of them at a time. Sequence alignment by Smith and Waterman has the
 * same form, and so has many a sweep over a grid.
 *
 * Forms: `count`, a tile has a count of those it still waits for; whoever takes it to zero spawns it, into the one scope around all,
 * or goes on with it itself if it is the one to the right. `events`, a task a tile from the start, which waits for the events of the
 * two. They are spawned last tile first, since a worker takes its newest child first. `diagonal`, what one does without either: all
 * tiles of a diagonal, then a join. `serial`, tile after tile.
 *
 * The lowest row of cells, the distances of all beginnings of one string from the whole of the other, is checked against one found in
 * another way (kernels/wavefront.h). The runtime is started once for all runs. */
#include "bench.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kernels/wavefront.h"
#include "trace.h"

static struct wavefront strings = {.n = 16384, .tile = 256, .seed = 1};

struct table;

struct tile {
    struct table *table;
    int32_t i, j;
    atomic_int missing; /* count: how many it still waits for */
    filch_event done;   /* events */
};

struct table {
    struct wavefront_cells cells;
    int64_t edge; /* tiles along it */
    struct tile *tiles;
    filch_scope *scope;
};

static void compute(const struct tile *self)
{
    wavefront_compute(&self->table->cells, self->i, self->j);
}

static struct tile *at(const struct table *table, int64_t i, int64_t j)
{
    return &table->tiles[i * table->edge + j];
}

/* ---- count ---- */

static bool last_missing(struct tile *self)
{
    return atomic_fetch_sub(&self->missing, 1) == 1;
}

static int run_count(void *arg)
{
    struct tile *self = arg;
    struct table *table = self->table;
    for (int r = 0;;) {
        if (self->i + self->j > 0)
            bench_trace_become(self->i * table->edge + self->j);
        compute(self);
        struct tile *below = self->i + 1 < table->edge ? at(table, self->i + 1, self->j) : NULL;
        struct tile *right = self->j + 1 < table->edge ? at(table, self->i, self->j + 1) : NULL;
        if (below)
            bench_trace_release((self->i + 1) * table->edge + self->j, 1 + (self->j > 0));
        if (right)
            bench_trace_release(self->i * table->edge + self->j + 1, 1 + (self->i > 0));
        if (below && last_missing(below))
            r = filch_spawn(table->scope, run_count, below);
        if (r < 0 || !right || !last_missing(right))
            return r;
        self = right;
    }
}

static int fill_count(struct table *table)
{
    FILCH_SCOPE(s);
    table->scope = &s;
    bench_trace_root();
    int r = filch_spawn(&s, run_count, table->tiles);
    r = r < 0 ? r : filch_join(&s);
    bench_trace_end();
    return r;
}

/* ---- events ---- */

static int run_event(void *arg)
{
    struct tile *self = arg;
    int r = self->i > 0 ? filch_event_wait(&at(self->table, self->i - 1, self->j)->done) : 0;
    if (r == 0 && self->j > 0)
        r = filch_event_wait(&at(self->table, self->i, self->j - 1)->done);
    if (r < 0)
        return r;
    compute(self);
    filch_event_set(&self->done);
    return 0;
}

static int fill_events(struct table *table)
{
    int r = 0;
    FILCH_SCOPE(s);
    for (int64_t i = table->edge * table->edge - 1; r == 0 && i >= 0; i--)
        r = filch_spawn(&s, run_event, &table->tiles[i]);
    return r < 0 ? r : filch_join(&s);
}

/* ---- diagonal ---- */

static int run_alone(void *arg)
{
    compute(arg);
    return 0;
}

static int fill_diagonals(struct table *table)
{
    int r = 0;
    FILCH_SCOPE(s);
    for (int64_t d = 0; r == 0 && d < 2 * table->edge - 1; d++) {
        int64_t first = d < table->edge ? 0 : d - table->edge + 1, last = d < table->edge ? d : table->edge - 1;
        for (int64_t i = first; r == 0 && i <= last; i++)
            r = filch_spawn(&s, run_alone, at(table, i, d - i));
        if (r == 0)
            r = filch_join(&s);
    }
    return r;
}

/* ---- serial ---- */

static int fill_serial(struct table *table)
{
    for (int64_t i = 0; i < table->edge * table->edge; i++)
        compute(&table->tiles[i]);
    return 0;
}

/* ---- one run ---- */

static void table_free(struct table *table)
{
    free(table->tiles);
    wavefront_cells_free(&table->cells);
}

static int table_make(struct table *table)
{
    int64_t edge = strings.edge;
    *table = (struct table){.edge = edge, .tiles = calloc((size_t)(edge * edge), sizeof *table->tiles)};
    int r = table->tiles ? wavefront_cells_make(&table->cells, &strings) : -ENOMEM;
    if (r < 0) {
        free(table->tiles);
        return r;
    }
    for (int64_t i = 0; i < edge; i++)
        for (int64_t j = 0; j < edge; j++) {
            *at(table, i, j) = (struct tile){.table = table, .i = (int32_t)i, .j = (int32_t)j};
            atomic_init(&at(table, i, j)->missing, (i > 0) + (j > 0));
        }
    return 0;
}

static int wavefront(struct bench_run *run, int (*fill)(struct table *table))
{
    struct table table;
    int r = table_make(&table);
    if (r < 0)
        return r;
    int64_t start = filch_now();
    r = fill(&table);
    bench_result(run, (double)(filch_now() - start) / 1e6);
    int64_t distance, right = wavefront_check(&table.cells, &distance);
    bench_check(run, "distance", distance, strings.expected[strings.n - 1]);
    bench_check(run, "right", right, strings.n);
    table_free(&table);
    return r;
}

static int count(struct bench_run *run)
{
    return wavefront(run, fill_count);
}

static int events(struct bench_run *run)
{
    return wavefront(run, fill_events);
}

static int diagonal(struct bench_run *run)
{
    return wavefront(run, fill_diagonals);
}

static int serial(struct bench_run *run)
{
    return wavefront(run, fill_serial);
}

static int prepare(void)
{
    int r = wavefront_make(&strings);
    if (r == -EINVAL)
        bench_say("wavefront: --n %lld with --tile %lld makes more than %d tiles along an edge", (long long)strings.n,
                  (long long)strings.tile, WAVEFRONT_MOST_TILES);
    return r;
}

static void finish(void)
{
    wavefront_free(&strings);
}

const struct bench bench_wavefront = {
    .name = "wavefront",
    .what = "tiles of an edit distance, each after those above and to its left",
    .unit = "ms",
    .prepare = prepare,
    .finish = finish,
    .forms =
        {
            {"count", count, BENCH_TASK},
            {"events", events, BENCH_TASK},
            {"diagonal", diagonal, BENCH_TASK},
            {"serial", serial, BENCH_ALONE},
        },
    .params =
        {
            BENCH_INT("n", strings.n, 1, 1e6, "letters of each string"),
            BENCH_INT("tile", strings.tile, 1, 1e6, "cells along an edge of a tile"),
            BENCH_INT("seed", strings.seed, 0, INT32_MAX, "of the strings"),
        },
};
