/* SPDX-License-Identifier: MIT */
/* OpenMP: a task is `#pragma omp task`, a join `taskwait`; one thread of a parallel region begins. Built twice from this file: with gcc for
 * libgomp, with clang for libomp.
 *
 * Tasks of OpenMP cannot wait for anything but their children, dependences and locks: `taskyield` may do nothing (and does in libgomp),
 * and there are neither channels nor timers. So it has no yield, pingpong, chan, park and timers. */
#include "peer.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

static void *make(int64_t count, size_t size)
{
    void *array = calloc((size_t)count, size);
    if (!array)
        peer_fail("calloc");
    return array;
}

static int64_t fib(int64_t n)
{
    int64_t left, right;
    if (n < 2)
        return n;
#pragma omp task shared(left) firstprivate(n)
    left = fib(n - 1);
    right = fib(n - 2);
#pragma omp taskwait
    return left + right;
}

static void run_fork(void)
{
    int64_t n = peer_number("n", 38), got = 0;
#pragma omp parallel
#pragma omp single
    {
        peer_start();
        got = fib(n);
        peer_stop(peer_fibonacci(n + 1) - 1);
    }
    peer_check_fork(n, got);
}

static void run_flat(void)
{
    int64_t tasks = peer_number("tasks", 1000000), once = 0;
    uint8_t *touched = make(tasks, 1);
#pragma omp parallel
#pragma omp single
    {
        peer_start();
        for (int64_t i = 0; i < tasks; i++)
#pragma omp task firstprivate(i)
            touched[i]++;
#pragma omp taskwait
        peer_stop(tasks);
    }
    for (int64_t i = 0; i < tasks; i++)
        once += touched[i] == 1;
    peer_check("ran", once, tasks);
    free(touched);
}

static void run_batch(void)
{
    int64_t batches = peer_number("batches", 1000), tasks = peer_number("tasks", 1000), ran = 0;
    uint32_t *counts = make(tasks, sizeof *counts);
#pragma omp parallel
#pragma omp single
    {
        peer_start();
        for (int64_t k = 0; k < batches; k++) {
            for (int64_t i = 0; i < tasks; i++)
#pragma omp task firstprivate(i)
                counts[i]++;
#pragma omp taskwait
        }
        peer_stop(batches * tasks);
    }
    for (int64_t i = 0; i < tasks; i++)
        ran += counts[i];
    peer_check("ran", ran, batches * tasks);
    free(counts);
}

static int64_t add_up(int64_t first, int64_t length)
{
    int64_t sums[10], sum = 0;
    if (length == 1)
        return first;
    for (int i = 0; i < 10; i++)
#pragma omp task shared(sums) firstprivate(i, first, length)
        sums[i] = add_up(first + i * (length / 10), length / 10);
#pragma omp taskwait
    for (int i = 0; i < 10; i++)
        sum += sums[i];
    return sum;
}

static void run_skynet(void)
{
    int64_t leaves = peer_skynet_leaves(), sum = 0;
#pragma omp parallel
#pragma omp single
    {
        peer_start();
        sum = add_up(0, leaves);
        peer_stop(0);
    }
    peer_check_skynet(leaves, sum);
}

struct visit {
    struct uts_node node;
    struct uts_count below;
};

static void visit(struct visit *self)
{
    int children = uts_children(&peer_tree, &self->node);
    self->below = uts_count_of(&self->node, children);
    if (children == 0)
        return;
    struct visit *child = make(children, sizeof *child);
    for (int i = 0; i < children; i++) {
        struct visit *one = &child[i];
        uts_child(&self->node, i, &one->node);
#pragma omp task firstprivate(one)
        visit(one);
    }
#pragma omp taskwait
    for (int i = 0; i < children; i++)
        uts_count_add(&self->below, &child[i].below);
    free(child);
}

static void run_uts(void)
{
    struct visit root;
    peer_tree_set();
#pragma omp parallel
#pragma omp single
    {
        peer_start();
        uts_root(&peer_tree, &root.node);
        visit(&root);
        peer_stop(0);
    }
    peer_check_tree(root.below);
}

static int64_t queens;

static int64_t place(const struct peer_board *board)
{
    int64_t solutions[PEER_QUEENS] = {0}, sum = 0;
    if (board->row == queens)
        return 1;
    for (int column = 0; column < queens; column++) {
        if (!peer_safe(board, board->row, column))
            continue;
        struct peer_board next = *board;
        next.column[next.row++] = (uint8_t)column;
#pragma omp task shared(solutions) firstprivate(next, column)
        solutions[column] = place(&next);
    }
#pragma omp taskwait
    for (int column = 0; column < queens; column++)
        sum += solutions[column];
    return sum;
}

static void run_queens(void)
{
    struct peer_board empty = {.row = 0};
    int64_t solutions = 0;
    queens = peer_queens_set();
#pragma omp parallel
#pragma omp single
    {
        peer_start();
        solutions = place(&empty);
        peer_stop(0);
    }
    peer_check_queens(solutions);
}

static void merge(const uint32_t *a, int64_t m, const uint32_t *b, int64_t k, uint32_t *out)
{
    if (m + k <= peer_grain) {
        peer_merge(a, m, b, k, out);
        return;
    }
    if (m < k) {
        merge(b, k, a, m, out);
        return;
    }
    int64_t i = m / 2, j = peer_place_of(a[i], b, k);
#pragma omp task
    merge(a, i, b, j, out);
    merge(a + i, m - i, b + j, k - j, out + i + j);
#pragma omp taskwait
}

static void sort(uint32_t *a, uint32_t *b, int64_t length, bool over)
{
    if (length <= peer_grain) {
        peer_sort_serial(a, b, length, over);
        return;
    }
    int64_t half = length / 2;
#pragma omp task
    sort(a, b, half, !over);
    sort(a + half, b + half, length - half, !over);
#pragma omp taskwait
    uint32_t *from = over ? a : b, *to = over ? b : a;
    merge(from, half, from + half, length - half, to);
}

static void run_sort(void)
{
    peer_sort_set();
#pragma omp parallel
#pragma omp single
    {
        peer_start();
        sort(peer_data, peer_spare, peer_sort_n, false);
        peer_stop(0);
    }
    peer_check_sort();
}

static void multiply(const struct peer_block *w)
{
    struct peer_block half[2];
    enum peer_cut cut = peer_halve(w, half);
    if (cut == PEER_CUT_NONE) {
        peer_multiply(w);
    } else if (cut == PEER_CUT_COMMON) {
        multiply(&half[0]);
        multiply(&half[1]);
    } else {
#pragma omp task shared(half)
        multiply(&half[1]);
        multiply(&half[0]);
#pragma omp taskwait
    }
}

static void run_matmul(void)
{
    struct peer_block all = peer_matmul_set();
#pragma omp parallel
#pragma omp single
    {
        peer_start();
        multiply(&all);
        peer_stop(0);
    }
    peer_check_matmul();
}

/* A lock is held by a task, and nothing in between is a scheduling point; so no thread waits for what it holds itself. */
static void run_mutex(void)
{
    struct peer_turns turns = peer_turns_set();
    int64_t counter = 0, longest = 0;
    omp_lock_t lock;
    omp_init_lock(&lock);
#pragma omp parallel
#pragma omp single
    {
        peer_start();
        for (int64_t t = 0; t < turns.tasks; t++)
#pragma omp task shared(counter, lock)
            for (int64_t i = 0; i < turns.turns; i++) {
                omp_set_lock(&lock);
                counter++;
                omp_unset_lock(&lock);
            }
#pragma omp taskwait
        peer_stop(turns.turns * turns.tasks);
        for (int64_t t = 0; t < turns.tasks; t++)
#pragma omp task shared(counter, lock, longest)
            for (int64_t i = 0; i < turns.fewer; i++) {
                int64_t wait = peer_now();
                omp_set_lock(&lock);
                wait = peer_now() - wait;
                longest = wait > longest ? wait : longest;
                counter++;
                omp_unset_lock(&lock);
            }
#pragma omp taskwait
    }
    omp_destroy_lock(&lock);
    peer_check_turns(&turns, counter, longest);
}

static const struct peer_workload workloads[] = {
    {"fork", run_fork, NULL},   {"flat", run_flat, NULL},
    {"batch", run_batch, NULL}, {"skynet", run_skynet, NULL},
    {"uts", run_uts, NULL},     {"queens", run_queens, NULL},
    {"sort", run_sort, NULL},   {"matmul", run_matmul, NULL},
    {"mutex", run_mutex, NULL}, {0},
};

static void inside(void (*run)(void))
{
    omp_set_dynamic(0);
    omp_set_num_threads(peer_workers);
    run();
}

int main(int argc, char **argv)
{
#ifdef __clang__
    struct peer peer = {.name = "libomp", .version = "clang " __clang_version__, .workloads = workloads};
#else
    struct peer peer = {.name = "libgomp", .version = "gcc " __VERSION__, .workloads = workloads};
#endif
    return peer_main_inside(&peer, argc, argv, inside);
}
