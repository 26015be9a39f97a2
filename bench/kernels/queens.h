/* SPDX-License-Identifier: MIT */
/* Queens on a board, as bench/queens.c has it, but for the tasks: whether a placement is good, and how many solutions there are. */
#ifndef FILCH_BENCH_KERNELS_QUEENS_H
#define FILCH_BENCH_KERNELS_QUEENS_H

#include <stdbool.h>
#include <stdint.h>

#define QUEENS_MOST 16
#define QUEENS_TESTS "pairs|new"

enum queens_test { QUEENS_PAIRS, QUEENS_NEW };

extern const int queens_solutions[QUEENS_MOST + 1];

/** Whether a queen can be put into this row and column of a board, the columns of the queens in the rows above: these compared with each
 * other as well, if all pairs are. A call everywhere, so that all run the very same code here. */
bool queens_safe(unsigned test, const uint8_t *board, int row, int column);

#endif
