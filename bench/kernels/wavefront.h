/* SPDX-License-Identifier: MIT */
/* The edit distance of two random strings in tiles, as bench/wavefront.c has it, but for the tasks: the strings, the cells of a tile, and
 * the lowest row of cells found in another way.
 *
 * Only what lies between tiles is kept: the row of cells above each column of tiles, the column to the left of each row of them, and
 * the corners. Tile (i, j) can be computed after (i - 1, j) and (i, j - 1). */
#ifndef FILCH_BENCH_KERNELS_WAVEFRONT_H
#define FILCH_BENCH_KERNELS_WAVEFRONT_H

#include <stdint.h>

#define WAVEFRONT_MOST_TILES 1024 /* along an edge */

struct wavefront {
    int64_t n, tile, seed;  /* set by the caller */
    uint8_t *across, *down; /* the strings */
    int32_t *expected;      /* the lowest row of cells */
    int64_t edge;           /* tiles along it */
};

struct wavefront_cells {
    const struct wavefront *strings;
    int32_t *above, *left; /* above[x]: cell x of the lowest row so far; left[y]: cell y of the rightmost column so far */
    int32_t *corners;      /* the cell at the upper left of each tile */
};

/** @return 0, -EINVAL if there are too many tiles, -ENOMEM */
int wavefront_make(struct wavefront *strings);
void wavefront_free(struct wavefront *strings);

/** Cells of which no tile has been computed. @return 0 or -ENOMEM */
int wavefront_cells_make(struct wavefront_cells *cells, const struct wavefront *strings);
void wavefront_cells_free(struct wavefront_cells *cells);

void wavefront_compute(const struct wavefront_cells *cells, int64_t i, int64_t j);

/** How many cells of the lowest row are right; the distance is to be strings->expected[n - 1]. */
int64_t wavefront_check(const struct wavefront_cells *cells, int64_t *ret_distance);

#endif
