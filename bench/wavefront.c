/* SPDX-License-Identifier: MIT */
/* wavefront: what do tasks cost that each wait for two others?
 *
 * The edit distance of two random strings of --n letters out of four by dynamic programming (Wagner and Fischer, "The string-to-string
 * correction problem", JACM 1974), in tiles of --tile x --tile cells: a tile can be computed after the one above and the one to its
 * left. So work begins in one corner, becomes wide along the diagonal and ends in the other corner; with n 16,384 and tile 256 it is
 * 4,096 tiles of some hundred microseconds, and not more than 64 of them at a time. Sequence alignment by Smith and Waterman has the
 * same form, and so has many a sweep over a grid.
 *
 * Only what lies between tiles is kept: the row of cells above each column of tiles, the column to the left of each row of them, and
 * the corners.
 *
 * Forms: `count`, a tile has a count of those it still waits for; whoever takes it to zero spawns it, into the one scope around all,
 * or goes on with it itself if it is the one to the right. `events`, a task a tile from the start, which waits for the events of the
 * two. They are spawned last tile first, since a worker takes its newest child first. `diagonal`, what one does without either: all
 * tiles of a diagonal, then a join. `serial`, tile after tile.
 *
 * The lowest row of cells, the distances of all beginnings of one string from the whole of the other, is checked against one found in
 * another way, 64 cells at a time, bit by bit (Myers, "A fast bit-vector algorithm for approximate string matching based on dynamic
 * programming", JACM 1999; blocks as in Hyyrö, 2003). The runtime is started once for all runs. */
#include "bench.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "util.h"

#define LETTERS 4
#define MOST_TILES 1024 /* along an edge */

static int64_t n = 16384, tile = 256, seed = 1;
static uint8_t *across, *down; /* the strings */
static int32_t *expected;      /* the lowest row of cells */

struct table;

struct tile {
    struct table *table;
    int32_t i, j;
    atomic_int missing; /* count: how many it still waits for */
    filch_event done;   /* events */
};

struct table {
    int64_t edge; /* tiles along it */
    struct tile *tiles;
    int32_t *above, *left; /* above[x]: cell x of the lowest row so far; left[y]: cell y of the rightmost column so far */
    int32_t *corners;      /* the cell at the upper left of each tile */
    filch_scope *scope;
};

/* ---- a tile ---- */

static inline int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static void compute(const struct tile *self)
{
    struct table *table = self->table;
    int64_t x0 = self->j * tile, y0 = self->i * tile;
    int64_t width = n - x0 < tile ? n - x0 : tile, height = n - y0 < tile ? n - y0 : tile;
    int32_t *row = table->above + x0, *column = table->left + y0, corner = table->corners[self->i * table->edge + self->j];
    for (int64_t y = 0; y < height; y++) {
        int32_t diagonal = corner, before = column[y];
        corner = before;
        for (int64_t x = 0; x < width; x++) {
            int32_t up = row[x], substituted = diagonal + (across[x0 + x] != down[y0 + y]);
            before = least(substituted, least(up, before) + 1);
            diagonal = up;
            row[x] = before;
        }
        column[y] = before;
    }
    if (self->i + 1 < table->edge && self->j + 1 < table->edge)
        table->corners[(self->i + 1) * table->edge + self->j + 1] = row[width - 1];
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
        compute(self);
        struct tile *below = self->i + 1 < table->edge ? at(table, self->i + 1, self->j) : NULL;
        struct tile *right = self->j + 1 < table->edge ? at(table, self->i, self->j + 1) : NULL;
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
    int r = filch_spawn(&s, run_count, table->tiles);
    return r < 0 ? r : filch_join(&s);
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
    free(table->above);
    free(table->left);
    free(table->corners);
}

static int table_make(struct table *table)
{
    int64_t edge = (n + tile - 1) / tile;
    size_t count = (size_t)(edge * edge);
    *table = (struct table){
        .edge = edge,
        .tiles = calloc(count, sizeof *table->tiles),
        .above = calloc((size_t)n, sizeof *table->above),
        .left = calloc((size_t)n, sizeof *table->left),
        .corners = calloc(count, sizeof *table->corners),
    };
    if (!table->tiles || !table->above || !table->left || !table->corners) {
        table_free(table);
        return -ENOMEM;
    }
    for (int64_t x = 0; x < n; x++)
        table->above[x] = table->left[x] = (int32_t)(x + 1);
    for (int64_t i = 0; i < edge; i++) {
        table->corners[i] = table->corners[i * edge] = (int32_t)(i * tile);
        for (int64_t j = 0; j < edge; j++) {
            *at(table, i, j) = (struct tile){.table = table, .i = (int32_t)i, .j = (int32_t)j};
            atomic_init(&at(table, i, j)->missing, (i > 0) + (j > 0));
        }
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
    int64_t right = 0;
    for (int64_t x = 0; x < n; x++)
        right += table.above[x] == expected[x];
    bench_check(run, "distance", table.above[n - 1], expected[n - 1]);
    bench_check(run, "right", right, n);
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

/* ---- the lowest row in another way ---- */

/* 64 cells of a column as differences from each to the next: the bits say where it is 1 and where -1. */
struct word {
    uint64_t plus, minus;
};

/* Goes on by one column. `in` is the difference along the cells above the word.
 * @return the one along the cell of the bit `last` */
static int advance(struct word *word, uint64_t equal, int in, uint64_t last)
{
    uint64_t vertical = equal | word->minus;
    if (in < 0)
        equal |= 1;
    uint64_t horizontal = (((equal & word->plus) + word->plus) ^ word->plus) | equal;
    uint64_t plus = word->minus | ~(horizontal | word->plus), minus = word->plus & horizontal;
    int out = plus & last ? 1 : minus & last ? -1 : 0;
    plus = plus << 1 | (in > 0);
    minus = minus << 1 | (in < 0);
    word->plus = minus | ~(vertical | plus);
    word->minus = plus & vertical;
    return out;
}

static void find_row(struct word *words, uint64_t (*equal)[LETTERS], int64_t count)
{
    int32_t found = (int32_t)n;
    for (int64_t y = 0; y < n; y++)
        equal[y / 64][down[y]] |= (uint64_t)1 << y % 64;
    for (int64_t i = 0; i < count; i++)
        words[i] = (struct word){.plus = ~(uint64_t)0};
    for (int64_t x = 0; x < n; x++) {
        int difference = 1;
        for (int64_t i = 0; i < count; i++)
            difference = advance(&words[i], equal[i][across[x]], difference, (uint64_t)1 << (i + 1 < count ? 63 : (n - 1) % 64));
        expected[x] = found += difference;
    }
}

static int expect(void)
{
    size_t count = ((size_t)n + 63) / 64;
    struct word *words = calloc(count, sizeof *words);
    uint64_t(*equal)[LETTERS] = calloc(count, sizeof *equal);
    if (words && equal)
        find_row(words, equal, (int64_t)count);
    int r = words && equal ? 0 : -ENOMEM;
    free(words);
    free(equal);
    return r;
}

static int prepare(void)
{
    uint64_t state = (uint64_t)seed;
    if ((n + tile - 1) / tile > MOST_TILES) {
        bench_say("wavefront: --n %lld with --tile %lld makes more than %d tiles along an edge", (long long)n, (long long)tile, MOST_TILES);
        return -EINVAL;
    }
    across = malloc((size_t)n);
    down = malloc((size_t)n);
    expected = calloc((size_t)n, sizeof *expected);
    if (!across || !down || !expected)
        return -ENOMEM;
    for (int64_t i = 0; i < n; i++) {
        across[i] = (uint8_t)(bench_random(&state) % LETTERS);
        down[i] = (uint8_t)(bench_random(&state) % LETTERS);
    }
    return expect();
}

static void finish(void)
{
    free(across);
    free(down);
    free(expected);
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
            BENCH_INT("n", n, 1, 1e6, "letters of each string"),
            BENCH_INT("tile", tile, 1, 1e6, "cells along an edge of a tile"),
            BENCH_INT("seed", seed, 0, INT32_MAX, "of the strings"),
        },
};
