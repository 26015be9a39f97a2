/* SPDX-License-Identifier: MIT */
/* See wavefront.h. The other way is Myers', 64 cells at a time, bit by bit ("A fast bit-vector algorithm for approximate string matching
 * based on dynamic programming", JACM 1999; blocks as in Hyyrö, 2003). */
#include "wavefront.h"

#include <errno.h>
#include <stdlib.h>

#include "../util.h"

#define LETTERS 4

/* ---- a tile ---- */

static inline int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

void wavefront_compute(const struct wavefront_cells *cells, int64_t i, int64_t j)
{
    const struct wavefront *s = cells->strings;
    int64_t tile = s->tile, x0 = j * tile, y0 = i * tile;
    int64_t width = s->n - x0 < tile ? s->n - x0 : tile, height = s->n - y0 < tile ? s->n - y0 : tile;
    int32_t *row = cells->above + x0, *column = cells->left + y0, corner = cells->corners[i * s->edge + j];
    const uint8_t *across = s->across + x0, *down = s->down + y0;
    for (int64_t y = 0; y < height; y++) {
        int32_t diagonal = corner, before = column[y];
        corner = before;
        for (int64_t x = 0; x < width; x++) {
            int32_t up = row[x], substituted = diagonal + (across[x] != down[y]);
            before = least(substituted, least(up, before) + 1);
            diagonal = up;
            row[x] = before;
        }
        column[y] = before;
    }
    if (i + 1 < s->edge && j + 1 < s->edge)
        cells->corners[(i + 1) * s->edge + j + 1] = row[width - 1];
}

void wavefront_cells_free(struct wavefront_cells *cells)
{
    free(cells->above);
    free(cells->left);
    free(cells->corners);
}

int wavefront_cells_make(struct wavefront_cells *cells, const struct wavefront *s)
{
    int64_t edge = s->edge;
    *cells = (struct wavefront_cells){
        .strings = s,
        .above = calloc((size_t)s->n, sizeof *cells->above),
        .left = calloc((size_t)s->n, sizeof *cells->left),
        .corners = calloc((size_t)(edge * edge), sizeof *cells->corners),
    };
    if (!cells->above || !cells->left || !cells->corners) {
        wavefront_cells_free(cells);
        return -ENOMEM;
    }
    for (int64_t x = 0; x < s->n; x++)
        cells->above[x] = cells->left[x] = (int32_t)(x + 1);
    for (int64_t i = 0; i < edge; i++)
        cells->corners[i] = cells->corners[i * edge] = (int32_t)(i * s->tile);
    return 0;
}

int64_t wavefront_check(const struct wavefront_cells *cells, int64_t *ret_distance)
{
    const struct wavefront *s = cells->strings;
    int64_t right = 0;
    for (int64_t x = 0; x < s->n; x++)
        right += cells->above[x] == s->expected[x];
    *ret_distance = cells->above[s->n - 1];
    return right;
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

static void find_row(struct wavefront *s, struct word *words, uint64_t (*equal)[LETTERS], int64_t count)
{
    int32_t found = (int32_t)s->n;
    for (int64_t y = 0; y < s->n; y++)
        equal[y / 64][s->down[y]] |= (uint64_t)1 << y % 64;
    for (int64_t i = 0; i < count; i++)
        words[i] = (struct word){.plus = ~(uint64_t)0};
    for (int64_t x = 0; x < s->n; x++) {
        int difference = 1;
        for (int64_t i = 0; i < count; i++)
            difference = advance(&words[i], equal[i][s->across[x]], difference, (uint64_t)1 << (i + 1 < count ? 63 : (s->n - 1) % 64));
        s->expected[x] = found += difference;
    }
}

static int expect(struct wavefront *s)
{
    size_t count = ((size_t)s->n + 63) / 64;
    struct word *words = calloc(count, sizeof *words);
    uint64_t(*equal)[LETTERS] = calloc(count, sizeof *equal);
    if (words && equal)
        find_row(s, words, equal, (int64_t)count);
    int r = words && equal ? 0 : -ENOMEM;
    free(words);
    free(equal);
    return r;
}

/* ---- the strings ---- */

int wavefront_make(struct wavefront *s)
{
    uint64_t state = (uint64_t)s->seed;
    s->edge = (s->n + s->tile - 1) / s->tile;
    if (s->edge > WAVEFRONT_MOST_TILES)
        return -EINVAL;
    s->across = malloc((size_t)s->n);
    s->down = malloc((size_t)s->n);
    s->expected = calloc((size_t)s->n, sizeof *s->expected);
    if (!s->across || !s->down || !s->expected)
        return -ENOMEM;
    for (int64_t i = 0; i < s->n; i++) {
        s->across[i] = (uint8_t)(bench_random(&state) % LETTERS);
        s->down[i] = (uint8_t)(bench_random(&state) % LETTERS);
    }
    return expect(s);
}

void wavefront_free(struct wavefront *s)
{
    free(s->across);
    free(s->down);
    free(s->expected);
}
