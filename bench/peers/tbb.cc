/* SPDX-License-Identifier: MIT */
/* oneTBB: a task is task_group::run, a join task_group::wait; one of two halves the caller does itself, as in the library's own examples.
 * What waits for other work is a node of a flow graph (cholesky, wavefront), a loop a parallel_for; bins are enumerable_thread_specific.
 * Everything runs inside a task_arena of --workers, and global_control holds the pool to that.
 *
 * A task of oneTBB cannot wait for another without keeping its thread (task::suspend is there to give it back to something outside), so
 * there is no yield, pingpong, threadring, chameneos, chan, prodcons, select, park, cancel, timers, mix, sem and cond.
 *
 * A task that waits for a child has the child's frame on top of its own, so a deep tree needs deep stacks: global_control gives them to
 * the pool, and the caller is a thread that has one, too. */
#include "peer.h"

#include <pthread.h>
#include <cstdio>
#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <utility>
#include <vector>
#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/enumerable_thread_specific.h>
#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/mutex.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/rw_mutex.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>
#include <oneapi/tbb/version.h>

using oneapi::tbb::blocked_range;
using oneapi::tbb::global_control;
using oneapi::tbb::task_group;
namespace flow = oneapi::tbb::flow;

static const size_t deep = size_t(1) << 30;

template <typename Work> static void inside(const Work &work)
{
    global_control limit(global_control::max_allowed_parallelism, peer_workers);
    global_control stacks(global_control::thread_stack_size, deep);
    oneapi::tbb::task_arena arena(peer_workers);
    arena.execute(work);
}

static int64_t fib(int64_t n)
{
    if (n < 2)
        return n;
    int64_t left, right;
    task_group group;
    group.run([&left, n] { left = fib(n - 1); });
    right = fib(n - 2);
    group.wait();
    return left + right;
}

static void run_fork()
{
    int64_t n = peer_number("n", 38), got = 0;
    inside([&] {
        peer_start();
        got = fib(n);
        peer_stop(peer_fibonacci(n + 1) - 1);
    });
    peer_check_fork(n, got);
}

static void integrate(integrate_piece &piece)
{
    integrate_piece half[2];
    if (!integrate_halve(&piece, peer_epsilon, half))
        return;
    task_group group;
    group.run([&half] { integrate(half[1]); });
    integrate(half[0]);
    group.wait();
    integrate_add_up(&piece, half);
}

static void run_integrate()
{
    integrate_piece all = peer_integrate_set();
    inside([&] {
        peer_start();
        integrate(all);
        peer_stop(0);
    });
    peer_check_integrate(&all);
}

static void run_flat()
{
    int64_t tasks = peer_number("tasks", 1000000), once = 0;
    std::vector<uint8_t> touched(tasks);
    inside([&] {
        peer_start();
        task_group group;
        for (int64_t i = 0; i < tasks; i++)
            group.run([&touched, i] { touched[i]++; });
        group.wait();
        peer_stop(tasks);
    });
    for (uint8_t times : touched)
        once += times == 1;
    peer_check("ran", once, tasks);
}

static void run_batch()
{
    int64_t batches = peer_number("batches", 1000), tasks = peer_number("tasks", 1000), ran = 0;
    std::vector<uint32_t> counts(tasks);
    inside([&] {
        peer_start();
        for (int64_t k = 0; k < batches; k++) {
            task_group group;
            for (int64_t i = 0; i < tasks; i++)
                group.run([&counts, i] { counts[i]++; });
            group.wait();
        }
        peer_stop(batches * tasks);
    });
    for (uint32_t count : counts)
        ran += count;
    peer_check("ran", ran, batches * tasks);
}

static int64_t add_up(int64_t first, int64_t length)
{
    if (length == 1)
        return first;
    int64_t sums[10], sum = 0;
    task_group group;
    for (int i = 0; i < 10; i++)
        group.run([&sums, i, first, length] { sums[i] = add_up(first + i * (length / 10), length / 10); });
    group.wait();
    for (int64_t one : sums)
        sum += one;
    return sum;
}

static void run_skynet()
{
    int64_t leaves = peer_skynet_leaves(), sum = 0;
    inside([&] {
        peer_start();
        sum = add_up(0, leaves);
        peer_stop(0);
    });
    peer_check_skynet(leaves, sum);
}

static uts_count visit(const uts_node &node)
{
    int children = uts_children(&peer_tree, &node);
    uts_count sum = uts_count_of(&node, children);
    if (children == 0)
        return sum;
    struct place {
        uts_node node;
        uts_count below;
    };
    std::unique_ptr<place[]> child(new place[children]);
    task_group group;
    for (int i = 0; i < children; i++) {
        uts_child(&node, i, &child[i].node);
        group.run([one = &child[i]] { one->below = visit(one->node); });
    }
    group.wait();
    for (int i = 0; i < children; i++)
        uts_count_add(&sum, &child[i].below);
    return sum;
}

static void run_uts()
{
    uts_count sum;
    peer_tree_set();
    inside([&] {
        peer_start();
        uts_node root;
        uts_root(&peer_tree, &root);
        sum = visit(root);
        peer_stop(0);
    });
    peer_check_tree(sum);
}

static int64_t queens;

static int64_t place(const peer_board &board)
{
    if (board.row == queens)
        return 1;
    int64_t solutions[QUEENS_MOST] = {}, sum = 0;
    task_group group;
    for (int column = 0; column < queens; column++) {
        if (!peer_safe(&board, board.row, column))
            continue;
        peer_board next = board;
        next.column[next.row++] = static_cast<uint8_t>(column);
        group.run([&solutions, column, next] { solutions[column] = place(next); });
    }
    group.wait();
    for (int64_t one : solutions)
        sum += one;
    return sum;
}

static void run_queens()
{
    int64_t solutions = 0;
    queens = peer_queens_set();
    inside([&] {
        peer_start();
        solutions = place(peer_board{});
        peer_stop(0);
    });
    peer_check_queens(solutions);
}

static void merge(const uint32_t *a, int64_t m, const uint32_t *b, int64_t k, uint32_t *out)
{
    if (m < k) {
        std::swap(a, b);
        std::swap(m, k);
    }
    if (m + k <= peer_grain) {
        sort_merge(a, m, b, k, out);
        return;
    }
    int64_t i = m / 2, j = sort_place_of(a[i], b, k);
    task_group group;
    group.run([=] { merge(a, i, b, j, out); });
    merge(a + i, m - i, b + j, k - j, out + i + j);
    group.wait();
}

static void sort(uint32_t *a, uint32_t *b, int64_t length, bool over)
{
    if (length <= peer_grain) {
        sort_serial(a, b, length, over);
        return;
    }
    int64_t half = length / 2;
    task_group group;
    group.run([=] { sort(a, b, half, !over); });
    sort(a + half, b + half, length - half, !over);
    group.wait();
    uint32_t *from = over ? a : b, *to = over ? b : a;
    merge(from, half, from + half, length - half, to);
}

static void run_sort()
{
    peer_sort_set();
    inside([] {
        peer_start();
        sort(peer_sort.data, peer_sort.spare, peer_sort.n, false);
        peer_stop(0);
    });
    peer_check_sort();
}

static void multiply(const matmul_block &w)
{
    matmul_block half[2];
    matmul_cut cut = matmul_halve(&w, half);
    if (cut == MATMUL_CUT_NONE) {
        matmul_leaf(&w);
    } else if (cut == MATMUL_CUT_COMMON) {
        multiply(half[0]);
        multiply(half[1]);
    } else {
        task_group group;
        group.run([&half] { multiply(half[1]); });
        multiply(half[0]);
        group.wait();
    }
}

static void run_matmul()
{
    matmul_block all = peer_matmul_set();
    inside([&] {
        peer_start();
        multiply(all);
        peer_stop(0);
    });
    peer_check_matmul();
}

static void multiply_seven(const strassen_product &product)
{
    strassen_branch branch;
    if (product.size <= peer_strassen.cutoff) {
        strassen_leaf(&product);
        return;
    }
    if (strassen_branch_make(&branch, &product) < 0)
        peer_fail("malloc");
    blocked_range<int64_t> rows(0, branch.half, STRASSEN_GRAIN);
    oneapi::tbb::parallel_for(rows, [&](const blocked_range<int64_t> &part) { strassen_before(&branch, part.begin(), part.end()); });
    task_group group;
    for (int i = 1; i < STRASSEN_PARTS; i++)
        group.run([&branch, i] { multiply_seven(branch.parts[i]); });
    multiply_seven(branch.parts[0]);
    group.wait();
    oneapi::tbb::parallel_for(rows, [&](const blocked_range<int64_t> &part) { strassen_after(&branch, part.begin(), part.end()); });
    strassen_branch_free(&branch);
}

static void run_strassen()
{
    strassen_product all = peer_strassen_set();
    inside([&] {
        peer_start();
        multiply_seven(all);
        peer_stop(0);
    });
    peer_check_strassen();
}

using call = flow::continue_node<flow::continue_msg>;

/* The calls of tile (i, j) lie side by side from calls[place * edge] on: its updates, which need what each other has written, and its end. */
static void factor()
{
    const int64_t edge = peer_cholesky.edge;
    flow::graph graph;
    std::deque<call> calls;
    std::vector<call *> at(cholesky_tiles(&peer_cholesky) * edge);
    auto call_of = [&](int64_t i, int64_t j, int64_t k) -> call *& { return at[cholesky_place(i, j) * edge + k]; };
    for (int64_t i = 0; i < edge; i++)
        for (int64_t j = 0; j <= i; j++) {
            for (int64_t k = 0; k < j; k++)
                call_of(i, j, k) =
                    &calls.emplace_back(graph, [=](const flow::continue_msg &) { cholesky_update(&peer_cholesky, i, j, k); });
            call_of(i, j, j) = &calls.emplace_back(graph, [=](const flow::continue_msg &) { cholesky_end(&peer_cholesky, i, j); });
            for (int64_t k = 0; k < j; k++) {
                make_edge(*call_of(i, j, k), *call_of(i, j, k + 1));
                make_edge(*call_of(i, k, k), *call_of(i, j, k));
                if (i != j)
                    make_edge(*call_of(j, k, k), *call_of(i, j, k));
            }
            if (i != j)
                make_edge(*call_of(j, j, j), *call_of(i, j, j));
        }
    call_of(0, 0, 0)->try_put(flow::continue_msg());
    graph.wait_for_all();
}

static void run_cholesky()
{
    peer_cholesky_set();
    inside([] {
        peer_start();
        factor();
        peer_stop(0);
    });
    peer_check_cholesky();
}

static void run_nbody()
{
    nbody_world world;
    peer_nbody_set(&world);
    inside([&] {
        peer_start();
        for (int64_t step = 0; step < peer_steps; step++) {
            nbody_begin_step(&world);
            oneapi::tbb::parallel_for(blocked_range<int64_t>(0, peer_bodies),
                                      [&](const blocked_range<int64_t> &part) { nbody_kick(&world, part.begin(), part.end()); });
            nbody_end_step(&world);
        }
        peer_stop(0);
    });
    peer_check_nbody(&world);
}

static void fill(const wavefront_cells &cells, int64_t edge)
{
    flow::graph graph;
    std::deque<call> tiles;
    for (int64_t i = 0; i < edge; i++)
        for (int64_t j = 0; j < edge; j++) {
            call &self = tiles.emplace_back(graph, [&cells, i, j](const flow::continue_msg &) { wavefront_compute(&cells, i, j); });
            if (i > 0)
                make_edge(tiles[(i - 1) * edge + j], self);
            if (j > 0)
                make_edge(tiles[i * edge + j - 1], self);
        }
    tiles.front().try_put(flow::continue_msg());
    graph.wait_for_all();
}

static void run_wavefront()
{
    wavefront_cells cells;
    int64_t edge = peer_wavefront_set(&cells);
    inside([&] {
        peer_start();
        fill(cells, edge);
        peer_stop(0);
    });
    peer_check_wavefront(&cells);
}

static void run_histogram()
{
    using bins = std::array<int64_t, HISTOGRAM_BINS>;
    int64_t grain = peer_histogram_set();
    bins sum = {};
    inside([&] {
        peer_start();
        oneapi::tbb::enumerable_thread_specific<bins> of_threads(bins{});
        oneapi::tbb::parallel_for(
            blocked_range<int64_t>(0, peer_histogram.bytes, grain),
            [&](const blocked_range<int64_t> &part) {
                uint32_t counted[HISTOGRAM_BINS];
                bins &mine = of_threads.local();
                histogram_count(peer_histogram.data + part.begin(), part.end() - part.begin(), counted);
                for (int bin = 0; bin < HISTOGRAM_BINS; bin++)
                    mine[bin] += counted[bin];
            },
            oneapi::tbb::simple_partitioner());
        of_threads.combine_each([&sum](const bins &one) {
            for (int bin = 0; bin < HISTOGRAM_BINS; bin++)
                sum[bin] += one[bin];
        });
        peer_stop(0);
    });
    peer_check_histogram(sum.data());
}

static void run_mutex()
{
    peer_turns turns = peer_turns_set();
    int64_t counter = 0, longest = 0;
    oneapi::tbb::mutex mutex;
    inside([&] {
        task_group group;
        peer_start();
        for (int64_t t = 0; t < turns.tasks; t++)
            group.run([&] {
                for (int64_t i = 0; i < turns.turns; i++) {
                    oneapi::tbb::mutex::scoped_lock lock(mutex);
                    counter++;
                }
            });
        group.wait();
        peer_stop(turns.turns * turns.tasks);
        for (int64_t t = 0; t < turns.tasks; t++)
            group.run([&] {
                for (int64_t i = 0; i < turns.fewer; i++) {
                    int64_t begin = peer_now();
                    oneapi::tbb::mutex::scoped_lock lock(mutex);
                    longest = std::max(longest, peer_now() - begin);
                    counter++;
                }
            });
        group.wait();
    });
    peer_check_turns(&turns, counter, longest);
}

static void run_rwlock()
{
    peer_visits visits;
    oneapi::tbb::rw_mutex mutex;
    peer_visits_set(&visits);
    inside([&] {
        task_group group;
        peer_start();
        for (int64_t t = 0; t < visits.tasks; t++)
            group.run([&, t] {
                peer_visitor self = visits.visitor[t];
                for (int64_t i = 0; i < visits.rounds; i++) {
                    bool reads = peer_reads(&visits, &self);
                    oneapi::tbb::rw_mutex::scoped_lock lock(mutex, !reads);
                    if (reads)
                        peer_look(&visits, &self);
                    else
                        peer_change(&visits, &self);
                }
                visits.visitor[t] = self;
            });
        group.wait();
        peer_stop(visits.tasks * visits.rounds);
    });
    peer_check_visits(&visits);
}

static const peer_workload workloads[] = {
    {"fork", run_fork, nullptr},           {"integrate", run_integrate, nullptr}, {"flat", run_flat, nullptr},
    {"batch", run_batch, nullptr},         {"skynet", run_skynet, nullptr},       {"uts", run_uts, nullptr},
    {"queens", run_queens, nullptr},       {"sort", run_sort, nullptr},           {"matmul", run_matmul, nullptr},
    {"strassen", run_strassen, nullptr},   {"cholesky", run_cholesky, nullptr},   {"nbody", run_nbody, nullptr},
    {"wavefront", run_wavefront, nullptr}, {"histogram", run_histogram, nullptr}, {"mutex", run_mutex, nullptr},
    {"rwlock", run_rwlock, nullptr},       {nullptr, nullptr, nullptr},
};

static void on_a_deep_stack(void (*run)())
{
    pthread_t thread;
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0 || pthread_attr_setstacksize(&attr, deep) != 0)
        peer_fail("pthread_attr_setstacksize");
    auto begin = [](void *arg) -> void * {
        reinterpret_cast<void (*)()>(arg)();
        return nullptr;
    };
    if (pthread_create(&thread, &attr, begin, reinterpret_cast<void *>(run)) != 0)
        peer_fail("pthread_create");
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attr);
}

int main(int argc, char **argv)
{
    char version[64];
    std::snprintf(version, sizeof version, "oneTBB %s", TBB_runtime_version());
    peer self = {"tbb", version, workloads, 0};
    return peer_main_inside(&self, argc, argv, on_a_deep_stack);
}
