/* SPDX-License-Identifier: MIT */
/* Boost.Fiber: a task is a fiber, posted, with a small stack as in the library's own skynet; a join is fiber::join. With one worker the
 * scheduler is round_robin, the library's default, with more it is work_stealing over so many threads. Channels, mutex, condition and
 * futures are the library's. A loop is halved down to its grain, a half a fiber.
 *
 * It has no lock for readers and writers, no semaphore, no waiting for one of several channels, and a fiber cannot be called off: so no
 * rwlock, sem, select and cancel.
 *
 * Every fiber has a stack from the beginning, and the queues are first in, first out: a tree of tasks is there all at once before its
 * first leaf ends. So sizes are small. */
#include "peer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <memory>
#include <thread>
#include <utility>
#include <vector>
#include <boost/fiber/all.hpp>
#include <boost/version.hpp>

namespace fibers = boost::fibers;
using fibers::fiber;

static const int64_t bodies_at_a_time = 64;

template <typename Work> static fiber spawn(Work &&work)
{
    return fiber(fibers::launch::post, std::allocator_arg, fibers::fixedsize_stack(16384), std::forward<Work>(work));
}

/* Starts the other threads; the calling one is one of them. */
static void inside(void (*run)())
{
    if (peer_workers == 1) {
        run();
        return;
    }
    fibers::mutex mutex;
    fibers::condition_variable ended;
    bool over = false;
    std::vector<std::thread> others;
    for (int i = 1; i < peer_workers; i++)
        others.emplace_back([&] {
            fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(peer_workers);
            std::unique_lock<fibers::mutex> lock(mutex);
            ended.wait(lock, [&] { return over; });
        });
    fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(peer_workers);
    run();
    {
        std::unique_lock<fibers::mutex> lock(mutex);
        over = true;
    }
    ended.notify_all();
    for (std::thread &other : others)
        other.join();
}

template <typename Body> static void in_parts(int64_t begin, int64_t end, int64_t grain, const Body &body)
{
    if (end - begin <= grain) {
        body(begin, end);
        return;
    }
    int64_t middle = begin + (end - begin) / 2;
    fiber high = spawn([&body, middle, end, grain] { in_parts(middle, end, grain, body); });
    in_parts(begin, middle, grain, body);
    high.join();
}

/* ---- fork-join ---- */

static int64_t fib(int64_t n)
{
    if (n < 2)
        return n;
    int64_t left;
    fiber child = spawn([&left, n] { left = fib(n - 1); });
    int64_t right = fib(n - 2);
    child.join();
    return left + right;
}

static void run_fork()
{
    int64_t n = peer_number("n", 20);
    peer_start();
    int64_t got = fib(n);
    peer_stop(peer_fibonacci(n + 1) - 1);
    peer_check_fork(n, got);
}

static void integrate(integrate_piece &piece)
{
    integrate_piece half[2];
    if (!integrate_halve(&piece, peer_epsilon, half))
        return;
    fiber child = spawn([&half] { integrate(half[1]); });
    integrate(half[0]);
    child.join();
    integrate_add_up(&piece, half);
}

static void run_integrate()
{
    integrate_piece all = peer_integrate_set();
    peer_start();
    integrate(all);
    peer_stop(0);
    peer_check_integrate(&all);
}

static void run_flat()
{
    int64_t tasks = peer_number("tasks", 50000), once = 0;
    std::vector<uint8_t> touched(tasks);
    std::vector<fiber> children;
    children.reserve(tasks);
    peer_start();
    for (uint8_t &times : touched)
        children.push_back(spawn([&times] { times++; }));
    for (fiber &child : children)
        child.join();
    peer_stop(tasks);
    for (uint8_t times : touched)
        once += times == 1;
    peer_check("ran", once, tasks);
}

static void run_batch()
{
    int64_t batches = peer_number("batches", 1000), tasks = peer_number("tasks", 1000), ran = 0;
    std::vector<uint32_t> counts(tasks);
    std::vector<fiber> children;
    children.reserve(tasks);
    peer_start();
    for (int64_t k = 0; k < batches; k++) {
        children.clear();
        for (uint32_t &count : counts)
            children.push_back(spawn([&count] { count++; }));
        for (fiber &child : children)
            child.join();
    }
    peer_stop(batches * tasks);
    for (uint32_t count : counts)
        ran += count;
    peer_check("ran", ran, batches * tasks);
}

static int64_t add_up(int64_t first, int64_t length)
{
    if (length == 1)
        return first;
    int64_t sums[10], sum = 0;
    fiber children[10];
    for (int i = 0; i < 10; i++)
        children[i] = spawn([&sums, i, first, length] { sums[i] = add_up(first + i * (length / 10), length / 10); });
    for (int i = 0; i < 10; i++) {
        children[i].join();
        sum += sums[i];
    }
    return sum;
}

static void run_skynet()
{
    int64_t leaves = peer_skynet_leaves();
    peer_start();
    int64_t sum = add_up(0, leaves);
    peer_stop(0);
    peer_check_skynet(leaves, sum);
}

static uts_count visit(const uts_node &node)
{
    int children = uts_children(&peer_tree, &node);
    uts_count sum = uts_count_of(&node, children);
    std::vector<std::pair<uts_node, uts_count>> places(children);
    std::vector<fiber> below;
    below.reserve(children);
    for (int i = 0; i < children; i++) {
        uts_child(&node, i, &places[i].first);
        below.push_back(spawn([&place = places[i]] { place.second = visit(place.first); }));
    }
    for (int i = 0; i < children; i++) {
        below[i].join();
        uts_count_add(&sum, &places[i].second);
    }
    return sum;
}

static void run_uts()
{
    peer_tree_set();
    peer_start();
    uts_node root;
    uts_root(&peer_tree, &root);
    uts_count sum = visit(root);
    peer_stop(0);
    peer_check_tree(sum);
}

static int64_t queens;

static int64_t place(const peer_board &board)
{
    if (board.row == queens)
        return 1;
    int64_t solutions[QUEENS_MOST] = {}, sum = 0;
    std::vector<fiber> below;
    for (int column = 0; column < queens; column++) {
        if (!peer_safe(&board, board.row, column))
            continue;
        peer_board next = board;
        next.column[next.row++] = static_cast<uint8_t>(column);
        below.push_back(spawn([&solutions, column, next] { solutions[column] = place(next); }));
    }
    for (fiber &child : below)
        child.join();
    for (int64_t one : solutions)
        sum += one;
    return sum;
}

static void run_queens()
{
    queens = peer_queens_set();
    peer_start();
    int64_t solutions = place(peer_board{});
    peer_stop(0);
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
    fiber low = spawn([=] { merge(a, i, b, j, out); });
    merge(a + i, m - i, b + j, k - j, out + i + j);
    low.join();
}

static void sort(uint32_t *a, uint32_t *b, int64_t length, bool over)
{
    if (length <= peer_grain) {
        sort_serial(a, b, length, over);
        return;
    }
    int64_t half = length / 2;
    fiber low = spawn([=] { sort(a, b, half, !over); });
    sort(a + half, b + half, length - half, !over);
    low.join();
    uint32_t *from = over ? a : b, *to = over ? b : a;
    merge(from, half, from + half, length - half, to);
}

static void run_sort()
{
    peer_sort_set();
    peer_start();
    sort(peer_sort.data, peer_sort.spare, peer_sort.n, false);
    peer_stop(0);
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
        fiber high = spawn([&half] { multiply(half[1]); });
        multiply(half[0]);
        high.join();
    }
}

static void run_matmul()
{
    matmul_block all = peer_matmul_set();
    peer_start();
    multiply(all);
    peer_stop(0);
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
    in_parts(0, branch.half, STRASSEN_GRAIN, [&branch](int64_t begin, int64_t end) { strassen_before(&branch, begin, end); });
    std::vector<fiber> others;
    for (int i = 1; i < STRASSEN_PARTS; i++)
        others.push_back(spawn([&branch, i] { multiply_seven(branch.parts[i]); }));
    multiply_seven(branch.parts[0]);
    for (fiber &one : others)
        one.join();
    in_parts(0, branch.half, STRASSEN_GRAIN, [&branch](int64_t begin, int64_t end) { strassen_after(&branch, begin, end); });
    strassen_branch_free(&branch);
}

static void run_strassen()
{
    strassen_product all = peer_strassen_set();
    peer_start();
    multiply_seven(all);
    peer_stop(0);
    peer_check_strassen();
}

static void run_nbody()
{
    nbody_world world;
    peer_nbody_set(&world);
    peer_start();
    for (int64_t step = 0; step < peer_steps; step++) {
        nbody_begin_step(&world);
        in_parts(0, peer_bodies, bodies_at_a_time, [&world](int64_t begin, int64_t end) { nbody_kick(&world, begin, end); });
        nbody_end_step(&world);
    }
    peer_stop(0);
    peer_check_nbody(&world);
}

static void run_histogram()
{
    int64_t grain = peer_histogram_set(), sum[HISTOGRAM_BINS];
    std::atomic<int64_t> common[HISTOGRAM_BINS] = {};
    peer_start();
    in_parts(0, peer_histogram.bytes, grain, [&common](int64_t begin, int64_t end) {
        uint32_t bins[HISTOGRAM_BINS];
        histogram_count(peer_histogram.data + begin, end - begin, bins);
        for (int bin = 0; bin < HISTOGRAM_BINS; bin++)
            common[bin] += bins[bin];
    });
    peer_stop(0);
    std::copy(std::begin(common), std::end(common), sum);
    peer_check_histogram(sum);
}

/* ---- fibers that wait for what others have made ---- */

struct made {
    fibers::promise<void> promise;
    fibers::shared_future<void> future = promise.get_future().share();
};

/* A fiber a tile, which does all calls for it one after the other. */
static void factor_tile(std::vector<made> &tiles, int64_t i, int64_t j)
{
    for (int64_t k = 0; k < j; k++) {
        tiles[cholesky_place(i, k)].future.wait();
        tiles[cholesky_place(j, k)].future.wait();
        cholesky_update(&peer_cholesky, i, j, k);
    }
    if (i != j)
        tiles[cholesky_place(j, j)].future.wait();
    cholesky_end(&peer_cholesky, i, j);
    tiles[cholesky_place(i, j)].promise.set_value();
}

static void run_cholesky()
{
    peer_cholesky_set();
    std::vector<fiber> all;
    peer_start();
    std::vector<made> tiles(cholesky_tiles(&peer_cholesky));
    for (int64_t j = 0; j < peer_cholesky.edge; j++)
        for (int64_t i = j; i < peer_cholesky.edge; i++)
            all.push_back(spawn([&tiles, i, j] { factor_tile(tiles, i, j); }));
    for (fiber &one : all)
        one.join();
    peer_stop(0);
    peer_check_cholesky();
}

static void run_wavefront()
{
    wavefront_cells cells;
    int64_t edge = peer_wavefront_set(&cells);
    std::vector<fiber> all;
    peer_start();
    std::vector<made> tiles(edge * edge);
    for (int64_t i = 0; i < edge; i++)
        for (int64_t j = 0; j < edge; j++)
            all.push_back(spawn([&tiles, &cells, edge, i, j] {
                if (i > 0)
                    tiles[(i - 1) * edge + j].future.wait();
                if (j > 0)
                    tiles[i * edge + j - 1].future.wait();
                wavefront_compute(&cells, i, j);
                tiles[i * edge + j].promise.set_value();
            }));
    for (fiber &one : all)
        one.join();
    peer_stop(0);
    peer_check_wavefront(&cells);
}

/* ---- fibers that wait for each other ---- */

/* A door that opens once; how many stand before it. */
struct door {
    fibers::mutex mutex;
    fibers::condition_variable opened, arrived;
    bool open = false;
    int64_t waiting = 0, passed = 0;

    void wait()
    {
        std::unique_lock<fibers::mutex> lock(mutex);
        waiting++;
        arrived.notify_one();
        opened.wait(lock, [this] { return open; });
        passed++;
    }
    void wait_until_all(int64_t count)
    {
        std::unique_lock<fibers::mutex> lock(mutex);
        arrived.wait(lock, [this, count] { return waiting == count; });
    }
    void open_up()
    {
        std::unique_lock<fibers::mutex> lock(mutex);
        open = true;
        opened.notify_all();
    }
};

static void run_yield()
{
    int64_t tasks = peer_number("tasks", 1000), switches = peer_number("switches", 20000000);
    int64_t rounds = std::max<int64_t>(switches / tasks, 1);
    door before;
    std::vector<fiber> all;
    for (int64_t i = 0; i < tasks; i++)
        all.push_back(spawn([&] {
            before.wait();
            for (int64_t k = 0; k < rounds; k++)
                boost::this_fiber::yield();
        }));
    before.wait_until_all(tasks);
    peer_start();
    before.open_up();
    for (fiber &one : all)
        one.join();
    peer_stop(rounds * tasks);
    peer_check("yields", before.passed * rounds, rounds * tasks);
}

static void nap(int64_t us)
{
    boost::this_fiber::sleep_for(std::chrono::microseconds(us));
}

static void run_stuck()
{
    peer_hold hold = peer_hold_set();
    std::vector<fiber> all;
    peer_start();
    for (int64_t i = 0; i < hold.tasks; i++)
        all.push_back(spawn([&hold] { peer_hold_sleep(&hold, nap); }));
    all.push_back(spawn([&hold] { peer_hold_block(&hold, nap); }));
    for (fiber &one : all)
        one.join();
    peer_stop(0);
    peer_check_hold(&hold);
}

static void run_park()
{
    int64_t tasks = peer_number("tasks", 50000), before = peer_resident();
    door door;
    std::vector<fiber> all;
    all.reserve(tasks);
    peer_start();
    for (int64_t i = 0; i < tasks; i++)
        all.push_back(spawn([&door] { door.wait(); }));
    door.wait_until_all(tasks);
    peer_stop(0);
    peer_more("memory", "bytes/task", static_cast<double>(peer_resident() - before) / static_cast<double>(tasks));
    int64_t start = peer_now();
    door.open_up();
    for (fiber &one : all)
        one.join();
    peer_more("wake", "ms", static_cast<double>(peer_now() - start) / 1e6);
    peer_check("woken", door.passed, tasks);
}

static void run_pingpong()
{
    int64_t rounds = peer_number("rounds", 2000000), pings = 0, pongs = 0;
    fibers::unbuffered_channel<int64_t> there, back;
    peer_start();
    fiber second = spawn([&] {
        for (; pongs < rounds; pongs++)
            back.push(there.value_pop());
    });
    fiber first = spawn([&] {
        for (int64_t i = 0; i < rounds; i++) {
            there.push(i);
            pings += back.value_pop() == i;
        }
    });
    first.join();
    second.join();
    peer_stop(rounds);
    peer_check("pings", pings, rounds);
    peer_check("pongs", pongs, rounds);
}

static void run_threadring()
{
    struct station {
        fibers::unbuffered_channel<int64_t> in;
        int64_t passed = 0;
        bool ended = false;
    };
    int64_t passes = peer_number("passes", 5000000), tasks = peer_number("tasks", 503), name = 0, passed = 0, ended = 0;
    std::vector<station> stations(tasks);
    std::vector<fiber> all;
    peer_start();
    for (int64_t i = 0; i < tasks; i++)
        all.push_back(spawn([&, i] {
            station &self = stations[i], &next = stations[(i + 1) % tasks];
            fibers::channel_op_status status;
            int64_t token;
            while ((status = self.in.pop(token)) == fibers::channel_op_status::success && token > 0) {
                self.passed++;
                next.in.push(token - 1);
            }
            if (status == fibers::channel_op_status::success)
                name = i + 1;
            next.in.close();
            self.ended = true;
        }));
    stations[0].in.push(passes);
    for (fiber &one : all)
        one.join();
    peer_stop(passes);
    for (const station &one : stations) {
        passed += one.passed;
        ended += one.ended;
    }
    peer_check_ring(name, passed, ended);
}

/* Where creatures meet; who waits there is told by its own condition. */
struct creature {
    fibers::condition_variable met_one;
    bool waits = false;
    chameneos self;
};

struct meeting_place {
    fibers::mutex mutex;
    creature *waiting = nullptr;
    int64_t left;

    void visit(creature &self)
    {
        std::unique_lock<fibers::mutex> lock(mutex);
        while (left > 0) {
            if (creature *other = std::exchange(waiting, nullptr)) {
                left--;
                chameneos_meet(&self.self, &other->self);
                other->waits = false;
                other->met_one.notify_one();
            } else {
                waiting = &self;
                self.waits = true;
                self.met_one.wait(lock, [&self] { return !self.waits; });
            }
            lock.unlock(); /* it goes, and comes again */
            lock.lock();
        }
    }
};

static void run_chameneos()
{
    int64_t creatures = peer_number("creatures", 10), meetings = peer_number("meetings", 2000000);
    meeting_place place;
    place.left = meetings;
    std::vector<creature> living(creatures);
    std::vector<fiber> all;
    chameneos sum = {};
    for (int64_t i = 0; i < creatures; i++)
        living[i].self = chameneos_begin(i);
    peer_start();
    for (creature &one : living)
        all.push_back(spawn([&place, &one] { place.visit(one); }));
    for (fiber &one : all)
        one.join();
    peer_stop(meetings);
    for (const creature &one : living)
        chameneos_add(&sum, &one.self);
    peer_check_chameneos(&sum, creatures, meetings);
}

template <typename Channel> static void transfer(Channel &channel)
{
    int64_t senders = peer_number("senders", 1), receivers = peer_number("receivers", 1);
    int64_t each = std::max<int64_t>(peer_number("items", 4000000) / senders, 1), sum = 0, count = 0;
    std::vector<fiber> sending, receiving;
    fibers::mutex mutex;
    peer_start();
    for (int64_t i = 0; i < receivers; i++)
        receiving.push_back(spawn([&] {
            int64_t my_sum = 0, my_count = 0;
            for (int64_t item : channel) {
                my_sum += item;
                my_count++;
            }
            std::unique_lock<fibers::mutex> lock(mutex);
            sum += my_sum;
            count += my_count;
        }));
    for (int64_t i = 0; i < senders; i++)
        sending.push_back(spawn([&] {
            for (int64_t item = 1; item <= each; item++)
                channel.push(item);
        }));
    for (fiber &one : sending)
        one.join();
    channel.close();
    for (fiber &one : receiving)
        one.join();
    peer_stop(each * senders);
    peer_check("items", count, each * senders);
    peer_check("sum", sum, senders * (each * (each + 1) / 2));
}

static void run_chan()
{
    int64_t capacity = peer_number("capacity", 256);
    if (capacity == 0) {
        fibers::unbuffered_channel<int64_t> channel;
        transfer(channel);
    } else if (capacity >= 2 && (capacity & (capacity - 1)) == 0) {
        fibers::buffered_channel<int64_t> channel(capacity);
        transfer(channel);
    } else {
        peer_cannot("the capacity of a channel is a power of two");
    }
}

using numbers = fibers::buffered_channel<int64_t>;

static prodcons_sums produce(const peer_tree_of_channels &tree, int64_t level, numbers *in)
{
    int64_t number = 0, count = 0, sum = 0;
    auto next = [&] { return in ? in->pop(number) == fibers::channel_op_status::success : ++number <= tree.items; };
    if (level == tree.levels) {
        for (; next(); count++)
            sum += number;
        return prodcons_leaf(count, sum);
    }
    std::vector<std::unique_ptr<numbers>> out;
    std::vector<prodcons_sums> below(tree.fan);
    std::vector<fiber> children;
    for (int64_t i = 0; i < tree.fan; i++) {
        out.push_back(std::make_unique<numbers>(tree.capacity));
        children.push_back(spawn([&, i] { below[i] = produce(tree, level + 1, out[i].get()); }));
    }
    for (int64_t turn = 0; next(); turn = turn + 1 == tree.fan ? 0 : turn + 1)
        out[turn]->push(number);
    for (std::unique_ptr<numbers> &one : out)
        one->close();
    for (int64_t i = 0; i < tree.fan; i++) {
        children[i].join();
        if (i > 0)
            prodcons_add(&below[0], &below[i]);
    }
    return below[0];
}

static void run_prodcons()
{
    peer_tree_of_channels tree = peer_prodcons_set();
    if (tree.capacity < 2 || (tree.capacity & (tree.capacity - 1)) != 0)
        peer_cannot("the capacity of a channel is a power of two");
    peer_start();
    prodcons_sums sums = produce(tree, 0, nullptr);
    peer_stop(tree.items * tree.levels);
    peer_check_prodcons(&tree, &sums);
}

static int64_t all_units(const peer_mix &mix)
{
    std::vector<fiber> all;
    all.reserve(mix.units);
    int64_t start = peer_now();
    for (int64_t i = 0; i < mix.units; i++)
        all.push_back(spawn([&mix, unit = &mix.unit[i]] { peer_compute(&mix, unit); }));
    for (fiber &one : all)
        one.join();
    return peer_now() - start;
}

static void run_mix()
{
    peer_mix mix;
    std::vector<fiber> sleeping;
    std::atomic<bool> done{false};
    peer_mix_set(&mix);
    fibers::barrier begun(mix.sleepers + 1);
    peer_start();
    mix.alone = all_units(mix);
    peer_mix_again(&mix);
    for (int64_t i = 0; i < mix.sleepers; i++)
        sleeping.push_back(spawn([&, self = &mix.sleeper[i]] {
            begun.wait();
            while (!done) {
                boost::this_fiber::sleep_for(std::chrono::nanoseconds(peer_falls_asleep(&mix, self)));
                peer_wakes_up(self);
            }
        }));
    begun.wait();
    mix.beside = all_units(mix);
    done = true;
    for (fiber &one : sleeping)
        one.join();
    peer_stop(0);
    peer_check_mix(&mix);
}

static void run_timers()
{
    int64_t count;
    peer_nap *naps = peer_naps_set(&count);
    std::vector<fiber> all;
    all.reserve(count);
    peer_start();
    for (int64_t i = 0; i < count; i++)
        all.push_back(spawn([nap = &naps[i]] {
            int64_t start = peer_now();
            boost::this_fiber::sleep_for(std::chrono::nanoseconds(nap->ns));
            nap->late = peer_now() - start - nap->ns;
        }));
    for (fiber &one : all)
        one.join();
    peer_stop(0);
    peer_check_naps(naps, count);
}

static void run_mutex()
{
    peer_turns turns = peer_turns_set();
    int64_t counter = 0, longest = 0;
    fibers::mutex mutex;
    std::vector<fiber> all;
    peer_start();
    for (int64_t t = 0; t < turns.tasks; t++)
        all.push_back(spawn([&] {
            for (int64_t i = 0; i < turns.turns; i++) {
                std::lock_guard<fibers::mutex> lock(mutex);
                counter++;
            }
        }));
    for (fiber &one : all)
        one.join();
    peer_stop(turns.turns * turns.tasks);
    all.clear();
    for (int64_t t = 0; t < turns.tasks; t++)
        all.push_back(spawn([&] {
            for (int64_t i = 0; i < turns.fewer; i++) {
                int64_t begin = peer_now();
                std::lock_guard<fibers::mutex> lock(mutex);
                longest = std::max(longest, peer_now() - begin);
                counter++;
            }
        }));
    for (fiber &one : all)
        one.join();
    peer_check_turns(&turns, counter, longest);
}

static void run_cond()
{
    int64_t waiters = peer_number("waiters", 10000), rounds = peer_number("rounds", 5), through = 0, sum = 0;
    std::vector<fiber> all;
    peer_start();
    for (int64_t i = 0; i < rounds; i++) {
        door door;
        int64_t last = 0;
        all.clear();
        for (int64_t k = 0; k < waiters; k++)
            all.push_back(spawn([&] {
                std::unique_lock<fibers::mutex> lock(door.mutex);
                door.waiting++;
                door.arrived.notify_one();
                door.opened.wait(lock, [&door] { return door.open; });
                if (++door.passed == waiters)
                    last = peer_now();
            }));
        door.wait_until_all(waiters);
        {
            std::unique_lock<fibers::mutex> lock(door.mutex);
            door.open = true;
        }
        int64_t start = peer_now();
        door.opened.notify_all();
        for (fiber &one : all)
            one.join();
        sum += last - start;
        through += door.passed;
    }
    peer_stop(0);
    peer_check_cond(waiters, rounds, through, sum);
}

static const peer_workload workloads[] = {
    {"fork", run_fork, "\"n\": 20"},
    {"integrate", run_integrate, "\"n\": 8"},
    {"stuck", run_stuck, nullptr},
    {"flat", run_flat, "\"tasks\": 50000"},
    {"batch", run_batch, "\"batches\": 100"},
    {"skynet", run_skynet, "\"levels\": 4"},
    {"uts", run_uts, "\"tree\": \"default\""},
    {"queens", run_queens, "\"n\": 9"},
    {"sort", run_sort, nullptr},
    {"matmul", run_matmul, nullptr},
    {"strassen", run_strassen, nullptr},
    {"cholesky", run_cholesky, nullptr},
    {"nbody", run_nbody, nullptr},
    {"wavefront", run_wavefront, nullptr},
    {"histogram", run_histogram, nullptr},
    {"yield", run_yield, nullptr},
    {"pingpong", run_pingpong, nullptr},
    {"threadring", run_threadring, "\"passes\": 50000"},
    {"chameneos", run_chameneos, nullptr},
    {"chan", run_chan, nullptr},
    {"prodcons", run_prodcons, nullptr},
    {"park", run_park, "\"tasks\": 50000"},
    {"timers", run_timers, "\"tasks\": 50000"},
    {"mix", run_mix, nullptr},
    {"mutex", run_mutex, nullptr},
    {"cond", run_cond, nullptr},
    {nullptr, nullptr, nullptr},
};

int main(int argc, char **argv)
{
    peer self = {"boost-fiber", "Boost " BOOST_LIB_VERSION, workloads, 0};
    return peer_main_inside(&self, argc, argv, inside);
}
