/* SPDX-License-Identifier: MIT */
/* queens: how much do tasks cost an irregular search with less than half a microsecond of work each?
 *
 * All ways to put --n queens on a board of n x n so that none attacks another: 14,200 for n = 12. A task is a placement: it has a board
 * with queens in the first rows, tries every column of the next row, and spawns a task for each that is not attacked (856,188 tasks for
 * n = 12). A board is a row of column numbers. --test says how a placement is tested: `pairs` compares every queen with every other, as
 * do Cilk-5, the Barcelona OpenMP Tasks Suite (Duran et al., ICPP 2009) and whoever took the program from them, so that figures can be
 * compared; `new` compares the new queen with those above it, which is enough, and leaves a quarter of the work beside each task. (Bit
 * masks would be faster still.)
 *
 * Forms: `scope`; `frame`; `serial`, which needs no copies of the board: it takes a queen off again. The runtime is started once for
 * all runs. */
#include "bench.h"

#include "kernels/queens.h"

#define MOST QUEENS_MOST

static int64_t n = 12;
static unsigned test;

struct placement {
    uint8_t board[MOST]; /* the column of the queen in each row */
    int row;             /* the first empty row */
    int solutions;
};

static int place_scope(void *arg)
{
    struct placement *placement = arg, next[MOST];
    int size = (int)n, count = 0;
    if (placement->row == size) {
        placement->solutions = 1;
        return 0;
    }
    FILCH_SCOPE(s);
    for (int column = 0; column < size; column++) {
        if (!queens_safe(test, placement->board, placement->row, column))
            continue;
        next[count] = *placement;
        next[count].board[next[count].row++] = (uint8_t)column;
        int r = filch_spawn(&s, place_scope, &next[count++]);
        if (r < 0)
            return r;
    }
    int r = filch_join(&s);
    placement->solutions = 0;
    while (count > 0)
        placement->solutions += next[--count].solutions;
    return r;
}

static int place_frame(void *arg)
{
    struct placement *placement = arg, next[MOST];
    filch_frame frames[MOST];
    int size = (int)n, count = 0;
    if (placement->row == size) {
        placement->solutions = 1;
        return 0;
    }
    for (int column = 0; column < size; column++) {
        if (!queens_safe(test, placement->board, placement->row, column))
            continue;
        next[count] = *placement;
        next[count].board[next[count].row++] = (uint8_t)column;
        filch_fork(&frames[count], place_frame, &next[count]);
        count++;
    }
    placement->solutions = 0;
    while (count-- > 0) {
        filch_meet(&frames[count]);
        placement->solutions += next[count].solutions;
    }
    return 0;
}

static int place_serial(uint8_t *board, int row)
{
    int size = (int)n, solutions = 0;
    if (row == size)
        return 1;
    for (int column = 0; column < size; column++) {
        if (!queens_safe(test, board, row, column))
            continue;
        board[row] = (uint8_t)column;
        solutions += place_serial(board, row + 1);
    }
    return solutions;
}

static void report(struct bench_run *run, int64_t start, int solutions)
{
    bench_result(run, (double)(filch_now() - start) / 1e6);
    bench_check(run, "solutions", solutions, queens_solutions[n]);
}

static int scope(struct bench_run *run)
{
    struct placement empty = {.row = 0};
    int64_t start = filch_now();
    int r = place_scope(&empty);
    report(run, start, empty.solutions);
    return r;
}

static int frame(struct bench_run *run)
{
    struct placement empty = {.row = 0};
    int64_t start = filch_now();
    int r = place_frame(&empty);
    report(run, start, empty.solutions);
    return r;
}

static int serial(struct bench_run *run)
{
    uint8_t board[MOST];
    int64_t start = filch_now();
    report(run, start, place_serial(board, 0));
    return 0;
}

const struct bench bench_queens = {
    .name = "queens",
    .what = "n queens on a board, all solutions, a task a placement",
    .unit = "ms",
    .forms = {{"scope", scope, BENCH_TASK}, {"frame", frame, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params = {BENCH_INT("n", n, 1, MOST, "queens"),
               BENCH_CHOICE("test", test, QUEENS_TESTS, "which queens are compared after each placement")},
};
