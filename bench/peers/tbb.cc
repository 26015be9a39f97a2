/* SPDX-License-Identifier: MIT */
/* oneTBB: a task is task_group::run, a join task_group::wait; one of two halves the caller does itself, as in the library's own examples.
 * Everything runs inside a task_arena of --workers, and global_control holds the pool to that.
 *
 * A task of oneTBB cannot wait for another without keeping its thread (task::suspend is there to give it back to something outside), so
 * there is no yield, pingpong, chan, park and timers. */
#include "peer.h"

#include <cstdio>
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/mutex.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>
#include <oneapi/tbb/version.h>

using oneapi::tbb::task_group;

template <typename Work> static void inside(const Work &work)
{
    oneapi::tbb::global_control limit(oneapi::tbb::global_control::max_allowed_parallelism, peer_workers);
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
    int64_t solutions[PEER_QUEENS] = {}, sum = 0;
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
        peer_merge(a, m, b, k, out);
        return;
    }
    int64_t i = m / 2, j = peer_place_of(a[i], b, k);
    task_group group;
    group.run([=] { merge(a, i, b, j, out); });
    merge(a + i, m - i, b + j, k - j, out + i + j);
    group.wait();
}

static void sort(uint32_t *a, uint32_t *b, int64_t length, bool over)
{
    if (length <= peer_grain) {
        peer_sort_serial(a, b, length, over);
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
        sort(peer_data, peer_spare, peer_sort_n, false);
        peer_stop(0);
    });
    peer_check_sort();
}

static void multiply(const peer_block &w)
{
    peer_block half[2];
    peer_cut cut = peer_halve(&w, half);
    if (cut == PEER_CUT_NONE) {
        peer_multiply(&w);
    } else if (cut == PEER_CUT_COMMON) {
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
    peer_block all = peer_matmul_set();
    inside([&] {
        peer_start();
        multiply(all);
        peer_stop(0);
    });
    peer_check_matmul();
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

static const peer_workload workloads[] = {
    {"fork", run_fork, nullptr},   {"flat", run_flat, nullptr},     {"batch", run_batch, nullptr}, {"skynet", run_skynet, nullptr},
    {"uts", run_uts, nullptr},     {"queens", run_queens, nullptr}, {"sort", run_sort, nullptr},   {"matmul", run_matmul, nullptr},
    {"mutex", run_mutex, nullptr}, {nullptr, nullptr, nullptr},
};

int main(int argc, char **argv)
{
    char version[64];
    std::snprintf(version, sizeof version, "oneTBB %s", TBB_runtime_version());
    peer self = {"tbb", version, workloads, 0};
    return peer_main(&self, argc, argv);
}
