/* SPDX-License-Identifier: MIT */
/* See peer.h. The serial parts are those of bench/sort.c, bench/matmul.c and bench/queens.c, line for line. */
#include "peer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../util.h"

int peer_workers = 1;

static struct {
    const struct peer_workload *workload;
    int argc;
    char **argv;
    bool timed, wrong;
    int64_t start, cpu;
    double value, wall_ms, cpu_ms;
    char check[1024], more[1024];
} now;

/* ---- arguments ---- */

const char *peer_text(const char *key, const char *otherwise)
{
    for (int i = 2; i + 1 < now.argc; i += 2)
        if (strncmp(now.argv[i], "--", 2) == 0 && strcmp(now.argv[i] + 2, key) == 0)
            return now.argv[i + 1];
    return otherwise;
}

int64_t peer_number(const char *key, int64_t otherwise)
{
    const char *text = peer_text(key, NULL);
    return text ? (int64_t)strtod(text, NULL) : otherwise;
}

void peer_cannot(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(3);
}

void peer_fail(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- clocks and checks ---- */

int64_t peer_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void peer_start(void)
{
    now.cpu = bench_cpu_time();
    now.start = peer_now();
}

void peer_stop(int64_t count)
{
    double wall = (double)(peer_now() - now.start);
    now.cpu_ms = (double)(bench_cpu_time() - now.cpu) / 1e6;
    now.wall_ms = wall / 1e6;
    now.value = count ? wall / (double)count : now.wall_ms;
}

void peer_value(double value)
{
    now.value = value;
}

double peer_cpu_ms(void)
{
    return now.cpu_ms;
}

void peer_check(const char *name, int64_t got, int64_t expected)
{
    size_t length = strlen(now.check);
    snprintf(now.check + length, sizeof now.check - length, "%s\"%s\": %" PRId64, length ? ", " : "", name, got);
    if (got != expected) {
        fprintf(stderr, "wrong: %s is %" PRId64 ", not %" PRId64 "\n", name, got, expected);
        now.wrong = true;
    }
}

void peer_more(const char *name, const char *unit, double value)
{
    size_t length = strlen(now.more);
    snprintf(now.more + length, sizeof now.more - length, "%s\"%s\": {\"unit\": \"%s\", \"value\": %.9g}", length ? ", " : "", name, unit,
             value);
}

/* ---- main ---- */

static void twice(void)
{
    for (int turn = 0; turn < 2; turn++) {
        now.timed = turn == 1;
        now.check[0] = now.more[0] = 0;
        if (now.timed)
            bench_peak_reset();
        now.workload->run();
    }
}

static void at_once(void (*run)(void))
{
    run();
}

static int list(const struct peer *peer)
{
    printf("{\"peer\": \"%s\", \"version\": \"%s\", \"workloads\": {", peer->name, peer->version);
    for (const struct peer_workload *one = peer->workloads; one->name; one++)
        printf("%s\"%s\": {%s}", one == peer->workloads ? "" : ", ", one->name, one->most ? one->most : "");
    puts("}}");
    return 0;
}

static const char *unit_of(const char *workload)
{
    static const char *const units[][2] = {
        {"fork", "ns/task"},      {"flat", "ns/task"}, {"batch", "ns/task"}, {"yield", "ns/switch"},
        {"pingpong", "ns/round"}, {"chan", "ns/item"}, {"mutex", "ns/pair"}, {"timers", "ms CPU"},
    };
    for (unsigned i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(units[i][0], workload) == 0)
            return units[i][1];
    return "ms";
}

int peer_main_inside(const struct peer *peer, int argc, char **argv, void (*inside)(void (*run)(void)))
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        return list(peer);
    if (argc < 2 || argc % 2 != 0) {
        fprintf(stderr, "usage: peer-%s --list\n       peer-%s WORKLOAD --workers N [--KEY VALUE]...\n", peer->name, peer->name);
        return 2;
    }
    now.argc = argc;
    now.argv = argv;
    for (now.workload = peer->workloads; now.workload->name && strcmp(now.workload->name, argv[1]) != 0; now.workload++)
        ;
    if (!now.workload->name)
        peer_cannot("it has no means for that workload");
    peer_workers = (int)peer_number("workers", 1);
    inside(twice);
    printf("{\"peer\": \"%s\", \"version\": \"%s\", \"workload\": \"%s\", \"unit\": \"%s\", \"value\": %.9g, \"workers\": %d, "
           "\"check\": {%s}, \"wall_ms\": %.9g, \"cpu_ms\": %.9g, \"peak_rss\": %" PRIu64 ", \"more\": {%s}}\n",
           peer->name, peer->version, argv[1], unit_of(argv[1]), now.value, peer->single ? 1 : peer_workers, now.check, now.wall_ms,
           now.cpu_ms, bench_peak(), now.more);
    fflush(stdout);
    return now.wrong;
}

int peer_main(const struct peer *peer, int argc, char **argv)
{
    return peer_main_inside(peer, argc, argv, at_once);
}

/* ---- fork, skynet, park ---- */

int64_t peer_fibonacci(int64_t n)
{
    int64_t a = 0, b = 1;
    while (n-- > 0) {
        int64_t sum = a + b;
        a = b;
        b = sum;
    }
    return a;
}

void peer_check_fork(int64_t n, int64_t fib)
{
    int64_t tasks = peer_fibonacci(n + 1) - 1;
    peer_check("fib", fib, peer_fibonacci(n));
    peer_check("tasks", tasks, tasks);
}

int64_t peer_skynet_leaves(void)
{
    int64_t leaves = 1;
    for (int64_t i = peer_number("levels", 6); i > 0; i--)
        leaves *= 10;
    return leaves;
}

void peer_check_skynet(int64_t leaves, int64_t sum)
{
    peer_check("sum", sum, leaves * (leaves - 1) / 2);
}

int64_t peer_resident(void)
{
    return (int64_t)bench_memory("VmRSS:");
}

/* ---- uts ---- */

struct uts_tree peer_tree;
static int sample;

static const struct {
    const char *name;
    struct uts_tree tree;
    struct peer_count count;
} samples[] = {
    {"T1", {UTS_GEOMETRIC, UTS_FIXED, 4, 15.0 / 64, 0.5, 10, 4, 19}, {4130071, 3305118, 10}},
    {"T3", {UTS_BINOMIAL, UTS_LINEAR, 2000, 0.124875, 0.5, 6, 8, 42}, {4112897, 3599034, 1572}},
    {"T5", {UTS_GEOMETRIC, UTS_LINEAR, 4, 15.0 / 64, 0.5, 20, 4, 34}, {4147582, 2181318, 20}},
    {"T1L", {UTS_GEOMETRIC, UTS_FIXED, 4, 15.0 / 64, 0.5, 13, 4, 29}, {102181082, 81746377, 13}},
    {"T3L", {UTS_BINOMIAL, UTS_LINEAR, 2000, 0.200014, 0.5, 6, 5, 7}, {111345631, 89076904, 17844}},
    {"default", {UTS_GEOMETRIC, UTS_LINEAR, 4, 15.0 / 64, 0.5, 6, 4, 0}, {1732, 1050, 6}},
};

void peer_tree_set(void)
{
    const char *name = peer_text("tree", "T1");
    for (sample = 0; sample < (int)BENCH_COUNT(samples); sample++)
        if (strcmp(samples[sample].name, name) == 0)
            break;
    if (sample == (int)BENCH_COUNT(samples) || peer_text("b0", NULL) || peer_text("depth", NULL) || peer_text("type", NULL))
        peer_cannot("of the UTS trees it knows T1, T3, T5, T1L, T3L and default");
    peer_tree = samples[sample].tree;
}

void peer_count_node(struct peer_count *sum, const struct uts_node *node, int children)
{
    sum->nodes = 1;
    sum->leaves = children == 0;
    sum->depth = node->depth;
}

void peer_count_add(struct peer_count *sum, const struct peer_count *below)
{
    sum->nodes += below->nodes;
    sum->leaves += below->leaves;
    sum->depth = below->depth > sum->depth ? below->depth : sum->depth;
}

void peer_check_tree(struct peer_count sum)
{
    const struct peer_count *expected = &samples[sample].count;
    peer_check("nodes", sum.nodes, expected->nodes);
    peer_check("depth", sum.depth, expected->depth);
    peer_check("leaves", sum.leaves, expected->leaves);
}

/* ---- queens ---- */

static int64_t queens;
static bool test_pairs;

int64_t peer_queens_set(void)
{
    queens = peer_number("n", 12);
    test_pairs = strcmp(peer_text("test", "pairs"), "pairs") == 0;
    return queens;
}

static inline bool free_of(const uint8_t *board, int row, int column)
{
    for (int i = 0; i < row; i++) {
        int distance = board[i] - column;
        if (distance == 0 || distance == row - i || distance == i - row)
            return false;
    }
    return true;
}

bool peer_safe(const struct peer_board *board, int row, int column)
{
    for (int i = test_pairs ? 1 : row; i < row; i++)
        if (!free_of(board->column, i, board->column[i]))
            return false;
    return free_of(board->column, row, column);
}

void peer_check_queens(int64_t solutions)
{
    static const int known[] = {1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200, 73712, 365596, 2279184, 14772512};
    peer_check("solutions", solutions, known[queens]);
}

/* ---- sort ---- */

#define RUN 12

uint32_t *peer_data, *peer_spare;
int64_t peer_sort_n, peer_grain;
static uint32_t *input;

static void sums(const uint32_t *a, int64_t *ret_sum, int64_t *ret_squares)
{
    uint64_t sum = 0, squares = 0;
    for (int64_t i = 0; i < peer_sort_n; i++) {
        sum += a[i];
        squares += (uint64_t)a[i] * a[i];
    }
    *ret_sum = (int64_t)(sum & INT64_MAX);
    *ret_squares = (int64_t)(squares & INT64_MAX);
}

void peer_sort_set(void)
{
    if (!input) {
        uint64_t state = (uint64_t)peer_number("seed", 1);
        peer_sort_n = peer_number("n", 10000000);
        peer_grain = peer_number("grain", 16384);
        input = calloc((size_t)peer_sort_n, sizeof *input);
        peer_data = calloc((size_t)peer_sort_n, sizeof *peer_data);
        peer_spare = calloc((size_t)peer_sort_n, sizeof *peer_spare);
        if (!input || !peer_data || !peer_spare)
            peer_fail("sort");
        for (int64_t i = 0; i < peer_sort_n; i++)
            input[i] = (uint32_t)(bench_random(&state) >> 32);
    }
    memcpy(peer_data, input, (size_t)peer_sort_n * sizeof *input);
}

static void insertion_sort(uint32_t *a, int64_t length)
{
    for (int64_t i = 1, j; i < length; i++) {
        uint32_t value = a[i];
        for (j = i; j > 0 && a[j - 1] > value; j--)
            a[j] = a[j - 1];
        a[j] = value;
    }
}

static void merge(const uint32_t *a, int64_t m, const uint32_t *b, int64_t k, uint32_t *out)
{
    const uint32_t *a_last = a + m - 1, *b_last = b + k - 1;
    uint32_t *last = out + m + k - 1;
    for (int64_t steps; (steps = m < k ? m : k) > 0; m = a_last - a + 1, k = b_last - b + 1) {
        for (int64_t i = 0; i < steps; i++) {
            uint32_t x = *a, y = *b, p = *a_last, q = *b_last;
            int64_t low = y < x, high = q < p;
            *out++ = x < y ? x : y;
            *last-- = p < q ? q : p;
            b += low;
            a += low ^ 1;
            a_last -= high;
            b_last -= high ^ 1;
        }
    }
    memcpy(out, a, (size_t)m * sizeof *a);
    memcpy(out + m, b, (size_t)k * sizeof *b);
}

void peer_merge(const uint32_t *a, int64_t m, const uint32_t *b, int64_t k, uint32_t *out)
{
    merge(a, m, b, k, out);
}

void peer_sort_serial(uint32_t *a, uint32_t *b, int64_t length, bool over)
{
    if (length <= RUN) {
        insertion_sort(a, length);
        if (over)
            memcpy(b, a, (size_t)length * sizeof *a);
        return;
    }
    int64_t half = length / 2;
    peer_sort_serial(a, b, half, !over);
    peer_sort_serial(a + half, b + half, length - half, !over);
    if (over)
        merge(a, half, a + half, length - half, b);
    else
        merge(b, half, b + half, length - half, a);
}

int64_t peer_place_of(uint32_t value, const uint32_t *b, int64_t k)
{
    int64_t low = 0;
    while (low < k) {
        int64_t middle = low + (k - low) / 2;
        if (b[middle] < value)
            low = middle + 1;
        else
            k = middle;
    }
    return low;
}

void peer_check_sort(void)
{
    int64_t ordered = peer_sort_n > 0, sum, squares, input_sum, input_squares;
    for (int64_t i = 1; i < peer_sort_n; i++)
        ordered += peer_data[i - 1] <= peer_data[i];
    sums(peer_data, &sum, &squares);
    sums(input, &input_sum, &input_squares);
    peer_check("ordered", ordered, peer_sort_n);
    peer_check("sum", sum, input_sum);
    peer_check("squares", squares, input_squares);
}

/* ---- matmul ---- */

#define LEAF 64

static double *a, *b, *c;
static int64_t n, stride;

typedef double quad __attribute__((vector_size(32), aligned(8), may_alias));

static inline __attribute__((always_inline)) void tile(const double *x, const double *y, double *z, int64_t common, int64_t step)
{
    quad sums[4][2];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 2; j++)
            sums[i][j] = *(const quad *)(z + i * step + 4 * j);
    for (int64_t k = 0; k < common; k++) {
        quad left = *(const quad *)(y + k * step), right = *(const quad *)(y + k * step + 4);
        for (int i = 0; i < 4; i++) {
            sums[i][0] += x[i * step + k] * left;
            sums[i][1] += x[i * step + k] * right;
        }
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 2; j++)
            *(quad *)(z + i * step + 4 * j) = sums[i][j];
}

static inline __attribute__((always_inline)) void leaf(const struct peer_block *w)
{
    int64_t step = stride, rows = w->rows & ~3, columns = w->columns & ~7;
    for (int64_t i = 0; i < rows; i += 4)
        for (int64_t j = 0; j < columns; j += 8)
            tile(w->a + i * step, w->b + j, w->c + i * step + j, w->common, step);
    for (int64_t i = 0; i < w->rows; i++) /* what is left at the right and at the bottom */
        for (int64_t j = i < rows ? columns : 0; j < w->columns; j++)
            for (int64_t k = 0; k < w->common; k++)
                w->c[i * step + j] += w->a[i * step + k] * w->b[k * step + j];
}

static void leaf_any(const struct peer_block *w)
{
    leaf(w);
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static void leaf_avx2(const struct peer_block *w)
{
    leaf(w);
}
#endif

static void (*multiply)(const struct peer_block *w) = leaf_any;

void peer_multiply(const struct peer_block *w)
{
    multiply(w);
}

enum peer_cut peer_halve(const struct peer_block *w, struct peer_block half[2])
{
    half[0] = half[1] = *w;
    int64_t most = w->rows > w->columns ? w->rows : w->columns;
    most = most > w->common ? most : w->common;
    if (most <= LEAF)
        return PEER_CUT_NONE;
    int64_t first = (most / 2 + 7) & ~7;
    if (most == w->rows) {
        half[0].rows = first;
        half[1].rows -= first;
        half[1].a += first * stride;
        half[1].c += first * stride;
        return PEER_CUT_ROWS;
    }
    if (most == w->columns) {
        half[0].columns = first;
        half[1].columns -= first;
        half[1].b += first;
        half[1].c += first;
        return PEER_CUT_COLUMNS;
    }
    half[0].common = first;
    half[1].common -= first;
    half[1].a += first;
    half[1].b += first * stride;
    return PEER_CUT_COMMON;
}

static void fill(void)
{
    uint64_t state = 1;
    n = peer_number("n", 1024);
    stride = ((n + 7) & ~7) + 8;
    size_t bytes = (size_t)(n * stride) * sizeof(double);
    a = aligned_alloc(64, bytes);
    b = aligned_alloc(64, bytes);
    c = aligned_alloc(64, bytes);
    if (!a || !b || !c)
        peer_fail("matmul");
    for (int64_t i = 0; i < n * stride; i++) {
        a[i] = (double)(bench_random(&state) % 8);
        b[i] = (double)(bench_random(&state) % 8);
    }
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        multiply = leaf_avx2;
#endif
}

struct peer_block peer_matmul_set(void)
{
    if (!a)
        fill();
    memset(c, 0, (size_t)(n * stride) * sizeof *c);
    return (struct peer_block){a, b, c, n, n, n};
}

void peer_check_matmul(void)
{
    int64_t sum = 0, trace = 0, got_sum = 0, got_trace = 0;
    for (int64_t k = 0; k < n; k++) {
        double down = 0, across = 0;
        for (int64_t i = 0; i < n; i++) {
            down += a[i * stride + k];
            across += b[k * stride + i];
            trace += (int64_t)(a[i * stride + k] * b[k * stride + i]);
            got_sum += (int64_t)c[k * stride + i];
        }
        sum += (int64_t)(down * across);
        got_trace += (int64_t)c[k * stride + k];
    }
    peer_check("sum", got_sum, sum);
    peer_check("trace", got_trace, trace);
}

/* ---- timers, mutex ---- */

struct peer_nap *peer_naps_set(int64_t *ret_count)
{
    uint64_t state = (uint64_t)peer_number("seed", 1), longest = (uint64_t)peer_number("longest", 1000) * 1000000;
    int64_t count = peer_number("tasks", 100000);
    struct peer_nap *naps = calloc((size_t)count, sizeof *naps);
    if (!naps)
        peer_fail("timers");
    for (int64_t i = 0; i < count; i++)
        naps[i].ns = (int64_t)(bench_random(&state) % longest);
    *ret_count = count;
    return naps;
}

void peer_check_naps(struct peer_nap *naps, int64_t count)
{
    static const struct {
        const char *name;
        double percent;
    } points[] = {{"lateness_us.p50", 50}, {"lateness_us.p99", 99}, {"lateness_us.max", 100}};
    double *late = calloc((size_t)count, sizeof *late);
    int64_t early = 0;
    if (!late)
        peer_fail("timers");
    for (int64_t i = 0; i < count; i++) {
        early += naps[i].late < 0;
        late[i] = (double)naps[i].late / 1e3;
    }
    bench_sort(late, (size_t)count);
    for (unsigned i = 0; i < BENCH_COUNT(points); i++)
        peer_more(points[i].name, "us", bench_percentile(late, (size_t)count, points[i].percent));
    peer_value(now.cpu_ms);
    peer_check("slept", count, count);
    peer_check("early", early, 0);
    free(late);
    free(naps);
}

struct peer_turns peer_turns_set(void)
{
    struct peer_turns turns = {.tasks = peer_number("tasks", 1)};
    int64_t pairs = peer_number("pairs", 20000000);
    if (peer_number("inside", 0))
        peer_cannot("it has nothing to do inside the lock");
    turns.turns = pairs / turns.tasks ? pairs / turns.tasks : 1;
    turns.fewer = turns.turns / 10 ? turns.turns / 10 : 1;
    return turns;
}

void peer_check_turns(const struct peer_turns *turns, int64_t counter, int64_t longest_ns)
{
    peer_more("longest wait", "us", (double)longest_ns / 1e3);
    peer_check("counter", counter, (turns->turns + turns->fewer) * turns->tasks);
}
