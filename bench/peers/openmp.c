/* SPDX-License-Identifier: MIT */
/* OpenMP: a task is `#pragma omp task`, a join `taskwait`; one thread of a parallel region begins. Built twice from this file: with gcc for
 * libgomp, with clang for libomp.
 *
 * What waits for other work says so by `depend` (cholesky, wavefront); a loop is `for schedule(dynamic)`, or `taskloop` within tasks; bins
 * are a reduction of an array.
 *
 * Tasks of OpenMP cannot wait for anything but their children, dependences and locks: `taskyield` may do nothing (and does in libgomp),
 * and there are neither channels nor timers, and no lock but the plain one. So it has no yield, pingpong, threadring, chameneos, chan,
 * prodcons, select, park, cancel, timers, mix, rwlock, sem and cond: whatever one writes there for tasks to wait by keeps a thread.
 *
 * A task that waits for a child has the child's frame on top of its own, so a deep tree needs a deep stack. It is asked for as users do,
 * by OMP_STACKSIZE and `ulimit -s`; both are read when a program starts, so it starts itself once more. */
#include "peer.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define DEEP_STACK "1G"
#define DEEP ((rlim_t)1 << 30)
#define BODIES_AT_A_TIME 64

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

static void integrate(struct integrate_piece *piece)
{
    struct integrate_piece half[2];
    if (!integrate_halve(piece, peer_epsilon, half))
        return;
#pragma omp task shared(half)
    integrate(&half[1]);
    integrate(&half[0]);
#pragma omp taskwait
    integrate_add_up(piece, half);
}

static void run_integrate(void)
{
    struct integrate_piece all = peer_integrate_set();
#pragma omp parallel
#pragma omp single
    {
        peer_start();
        integrate(&all);
        peer_stop(0);
    }
    peer_check_integrate(&all);
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
    int64_t solutions[QUEENS_MOST] = {0}, sum = 0;
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
        sort_merge(a, m, b, k, out);
        return;
    }
    if (m < k) {
        merge(b, k, a, m, out);
        return;
    }
    int64_t i = m / 2, j = sort_place_of(a[i], b, k);
#pragma omp task
    merge(a, i, b, j, out);
    merge(a + i, m - i, b + j, k - j, out + i + j);
#pragma omp taskwait
}

static void sort(uint32_t *a, uint32_t *b, int64_t length, bool over)
{
    if (length <= peer_grain) {
        sort_serial(a, b, length, over);
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
        sort(peer_sort.data, peer_sort.spare, peer_sort.n, false);
        peer_stop(0);
    }
    peer_check_sort();
}

static void multiply(const struct matmul_block *w)
{
    struct matmul_block half[2];
    enum matmul_cut cut = matmul_halve(w, half);
    if (cut == MATMUL_CUT_NONE) {
        matmul_leaf(w);
    } else if (cut == MATMUL_CUT_COMMON) {
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
    struct matmul_block all = peer_matmul_set();
#pragma omp parallel
#pragma omp single
    {
        peer_start();
        multiply(&all);
        peer_stop(0);
    }
    peer_check_matmul();
}

static void multiply_seven(const struct strassen_product *p)
{
    struct strassen_branch w;
    if (p->size <= peer_strassen.cutoff) {
        strassen_leaf(p);
        return;
    }
    if (strassen_branch_make(&w, p) < 0)
        peer_fail("malloc");
#pragma omp taskloop grainsize(STRASSEN_GRAIN) shared(w)
    for (int64_t row = 0; row < w.half; row++)
        strassen_before(&w, row, row + 1);
    for (int i = 1; i < STRASSEN_PARTS; i++)
#pragma omp task shared(w) firstprivate(i)
        multiply_seven(&w.parts[i]);
    multiply_seven(&w.parts[0]);
#pragma omp taskwait
#pragma omp taskloop grainsize(STRASSEN_GRAIN) shared(w)
    for (int64_t row = 0; row < w.half; row++)
        strassen_after(&w, row, row + 1);
    strassen_branch_free(&w);
}

static void run_strassen(void)
{
    struct strassen_product all = peer_strassen_set();
#pragma omp parallel
#pragma omp single
    {
        peer_start();
        multiply_seven(&all);
        peer_stop(0);
    }
    peer_check_strassen();
}

/* The calls in the order of the plain loops; what they read and write says the rest. */
static void factor(const char *tile)
{
    int64_t edge = peer_cholesky.edge;
    for (int64_t k = 0; k < edge; k++) {
#pragma omp task depend(inout : tile[cholesky_place(k, k)])
        cholesky_end(&peer_cholesky, k, k);
        for (int64_t i = k + 1; i < edge; i++)
#pragma omp task depend(in : tile[cholesky_place(k, k)]) depend(inout : tile[cholesky_place(i, k)])
            cholesky_end(&peer_cholesky, i, k);
        for (int64_t i = k + 1; i < edge; i++)
            for (int64_t j = k + 1; j <= i; j++)
#pragma omp task depend(in : tile[cholesky_place(i, k)], tile[cholesky_place(j, k)]) depend(inout : tile[cholesky_place(i, j)])
                cholesky_update(&peer_cholesky, i, j, k);
    }
#pragma omp taskwait
}

static void run_cholesky(void)
{
    peer_cholesky_set();
    char *tile = make(cholesky_tiles(&peer_cholesky), 1); /* their names */
#pragma omp parallel
#pragma omp single
    {
        peer_start();
        factor(tile);
        peer_stop(0);
    }
    free(tile);
    peer_check_cholesky();
}

static void run_nbody(void)
{
    struct nbody_world world;
    peer_nbody_set(&world);
    peer_start();
    for (int64_t step = 0; step < peer_steps; step++) {
        nbody_begin_step(&world);
#pragma omp parallel for schedule(dynamic, BODIES_AT_A_TIME)
        for (int64_t i = 0; i < peer_bodies; i++)
            nbody_kick(&world, i, i + 1);
        nbody_end_step(&world);
    }
    peer_stop(0);
    peer_check_nbody(&world);
}

/* One row and one column more, which nobody writes. */
static void fill(const struct wavefront_cells *cells, int64_t edge, const char *tile)
{
    int64_t width = edge + 1;
    for (int64_t i = 0; i < edge; i++)
        for (int64_t j = 0; j < edge; j++) {
            const char *self = &tile[(i + 1) * width + j + 1];
#pragma omp task depend(in : self[-width], self[-1]) depend(out : self[0])
            wavefront_compute(cells, i, j);
        }
#pragma omp taskwait
}

static void run_wavefront(void)
{
    struct wavefront_cells cells;
    int64_t edge = peer_wavefront_set(&cells);
    char *tile = make((edge + 1) * (edge + 1), 1);
#pragma omp parallel
#pragma omp single
    {
        peer_start();
        fill(&cells, edge, tile);
        peer_stop(0);
    }
    free(tile);
    peer_check_wavefront(&cells);
}

static void run_histogram(void)
{
    int64_t grain = peer_histogram_set(), bytes = peer_histogram.bytes, bins[HISTOGRAM_BINS] = {0};
    peer_start();
#pragma omp parallel for schedule(dynamic) reduction(+ : bins)
    for (int64_t begin = 0; begin < bytes; begin += grain) {
        uint32_t counted[HISTOGRAM_BINS];
        histogram_count(peer_histogram.data + begin, bytes - begin < grain ? bytes - begin : grain, counted);
        for (int bin = 0; bin < HISTOGRAM_BINS; bin++)
            bins[bin] += counted[bin];
    }
    peer_stop(0);
    peer_check_histogram(bins);
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
    {"fork", run_fork, NULL},           {"integrate", run_integrate, NULL},
    {"flat", run_flat, NULL},           {"batch", run_batch, NULL},
    {"skynet", run_skynet, NULL},       {"uts", run_uts, NULL},
    {"queens", run_queens, NULL},       {"sort", run_sort, NULL},
    {"matmul", run_matmul, NULL},       {"strassen", run_strassen, NULL},
    {"cholesky", run_cholesky, NULL},   {"nbody", run_nbody, NULL},
    {"wavefront", run_wavefront, NULL}, {"histogram", run_histogram, NULL},
    {"mutex", run_mutex, NULL},         {0},
};

static void inside(void (*run)(void))
{
    omp_set_dynamic(0);
    omp_set_num_threads(peer_workers);
    run();
}

static void start_deep(char **argv)
{
    struct rlimit stack;
    if (getenv("OMP_STACKSIZE") || setenv("OMP_STACKSIZE", DEEP_STACK, 1) < 0)
        return;
    if (getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur < DEEP) {
        stack.rlim_cur = stack.rlim_max < DEEP ? stack.rlim_max : DEEP;
        setrlimit(RLIMIT_STACK, &stack);
    }
    execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
    start_deep(argv);
#ifdef __clang__
    struct peer peer = {.name = "libomp", .version = "clang " __clang_version__, .workloads = workloads};
#else
    struct peer peer = {.name = "libgomp", .version = "gcc " __VERSION__, .workloads = workloads};
#endif
    return peer_main_inside(&peer, argc, argv, inside);
}
