/* SPDX-License-Identifier: MIT */
/* See queens.h. */
#include "queens.h"

/* OEIS A000170 */
const int queens_solutions[] = {1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200, 73712, 365596, 2279184, 14772512};

/* whether a queen in this row and column is attacked by none in the rows above */
static inline bool free_of(const uint8_t *board, int row, int column)
{
    for (int i = 0; i < row; i++) {
        int distance = board[i] - column;
        if (distance == 0 || distance == row - i || distance == i - row)
            return false;
    }
    return true;
}

bool queens_safe(unsigned test, const uint8_t *board, int row, int column)
{
    for (int i = test == QUEENS_NEW ? row : 1; i < row; i++)
        if (!free_of(board, i, board[i]))
            return false;
    return free_of(board, row, column);
}
