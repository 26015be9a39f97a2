/* SPDX-License-Identifier: MIT */
/* See peer.h. */
#include "peer.h"

#include <errno.h>
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
    char check[1024], more[2048];
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

double peer_real(const char *key, double otherwise)
{
    const char *text = peer_text(key, NULL);
    return text ? strtod(text, NULL) : otherwise;
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
        {"fork", "ns/task"},       {"flat", "ns/task"},         {"batch", "ns/task"}, {"yield", "ns/switch"}, {"pingpong", "ns/round"},
        {"threadring", "ns/pass"}, {"chameneos", "ns/meeting"}, {"chan", "ns/item"},  {"prodcons", "ns/hop"}, {"select", "ns/item"},
        {"timers", "ms CPU"},      {"mix", "us/unit"},          {"mutex", "ns/pair"}, {"rwlock", "ns/pair"},  {"sem", "ns/pair"},
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

/* Hands over what a kernel's `make` returned. */
static void made(int r)
{
    if (r == -EINVAL)
        peer_cannot("these parameters do not go together");
    errno = -r;
    if (r < 0)
        peer_fail("no room for the input");
}

static void *make(int64_t count, size_t size)
{
    void *array = calloc((size_t)count + 1, size);
    if (!array)
        peer_fail("calloc");
    return array;
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

/* ---- integrate ---- */

double peer_epsilon;
static double upper_end;

struct integrate_piece peer_integrate_set(void)
{
    upper_end = peer_real("n", 1000);
    peer_epsilon = peer_real("epsilon", 1e-9);
    return integrate_all(upper_end);
}

void peer_check_integrate(const struct integrate_piece *all)
{
    peer_check("areas", all->areas, all->areas);
    peer_check("right", integrate_right(all, upper_end, peer_epsilon), 1);
}

/* ---- uts ---- */

struct uts_tree peer_tree;
static const struct uts_sample *sample;

void peer_tree_set(void)
{
    const char *name = peer_text("tree", "T1");
    for (sample = uts_samples; sample->name && strcmp(sample->name, name) != 0; sample++)
        ;
    if (!sample->name || peer_text("b0", NULL) || peer_text("depth", NULL) || peer_text("type", NULL))
        peer_cannot("of the UTS trees it knows " UTS_SAMPLES);
    peer_tree = sample->tree;
}

void peer_check_tree(struct uts_count sum)
{
    peer_check("nodes", sum.nodes, sample->count.nodes);
    peer_check("depth", sum.depth, sample->count.depth);
    peer_check("leaves", sum.leaves, sample->count.leaves);
}

/* ---- queens ---- */

static int64_t queens;
static unsigned test;

int64_t peer_queens_set(void)
{
    queens = peer_number("n", 12);
    test = strcmp(peer_text("test", "pairs"), "pairs") == 0 ? QUEENS_PAIRS : QUEENS_NEW;
    return queens;
}

bool peer_safe(const struct peer_board *board, int row, int column)
{
    return queens_safe(test, board->column, row, column);
}

void peer_check_queens(int64_t solutions)
{
    peer_check("solutions", solutions, queens_solutions[queens]);
}

/* ---- sort, matmul ---- */

struct sort_input peer_sort;
int64_t peer_grain;

void peer_sort_set(void)
{
    if (!peer_sort.input) {
        peer_grain = peer_number("grain", 16384);
        peer_sort = (struct sort_input){.n = peer_number("n", 10000000), .seed = peer_number("seed", 1)};
        made(sort_make(&peer_sort));
    }
    sort_reset(&peer_sort);
}

void peer_check_sort(void)
{
    int64_t sum, squares, ordered = sort_check(&peer_sort, &sum, &squares);
    peer_check("ordered", ordered, peer_sort.n);
    peer_check("sum", sum, peer_sort.sum);
    peer_check("squares", squares, peer_sort.squares);
}

static struct matmul matrices;

struct matmul_block peer_matmul_set(void)
{
    if (!matrices.a) {
        matrices.n = peer_number("n", 1024);
        made(matmul_make(&matrices));
    }
    return matmul_whole(&matrices);
}

void peer_check_matmul(void)
{
    int64_t trace, sum = matmul_check(&matrices, &trace);
    peer_check("sum", sum, matrices.sum);
    peer_check("trace", trace, matrices.trace);
}

/* ---- strassen, cholesky ---- */

struct strassen peer_strassen;

struct strassen_product peer_strassen_set(void)
{
    if (!peer_strassen.a) {
        peer_strassen = (struct strassen){.n = peer_number("n", 1024), .cutoff = peer_number("cutoff", 64)};
        made(strassen_make(&peer_strassen));
    }
    return strassen_whole(&peer_strassen);
}

void peer_check_strassen(void)
{
    int64_t sum, rows = strassen_check(&peer_strassen, &sum);
    peer_check("rows", rows, peer_strassen.n);
    peer_check("sum", sum, peer_strassen.sum);
}

struct cholesky peer_cholesky;

void peer_cholesky_set(void)
{
    if (!peer_cholesky.given) {
        peer_cholesky = (struct cholesky){.n = peer_number("n", 2048), .tile = peer_number("tile", 64)};
        made(cholesky_make(&peer_cholesky));
    }
    cholesky_reset(&peer_cholesky);
}

void peer_check_cholesky(void)
{
    peer_check("right", cholesky_check(&peer_cholesky), cholesky_elements(&peer_cholesky));
}

/* ---- nbody, wavefront, histogram ---- */

static struct nbody cluster;
int64_t peer_steps, peer_bodies;

void peer_nbody_set(struct nbody_world *world)
{
    if (!cluster.initial) {
        peer_steps = peer_number("steps", 20);
        peer_bodies = peer_number("bodies", 20000);
        cluster = (struct nbody){
            .bodies = peer_bodies,
            .seed = peer_number("seed", 1),
            .radius = peer_real("radius", 0.25),
            .dt = peer_real("dt", 0.01),
        };
        made(nbody_make(&cluster));
    }
    made(nbody_world_make(world, &cluster));
}

void peer_check_nbody(struct nbody_world *world)
{
    peer_check("pairs", world->pairs, world->pairs);
    peer_check("sampled_pairs", world->sampled_pairs, cluster.sampled_pairs);
    peer_check("energy_kept", nbody_energy_kept(world), 1);
    peer_check("stands_still", nbody_stands_still(world), 1);
    nbody_world_free(world);
}

static struct wavefront strings;

int64_t peer_wavefront_set(struct wavefront_cells *cells)
{
    if (!strings.expected) {
        strings = (struct wavefront){.n = peer_number("n", 16384), .tile = peer_number("tile", 256), .seed = peer_number("seed", 1)};
        made(wavefront_make(&strings));
    }
    made(wavefront_cells_make(cells, &strings));
    return strings.edge;
}

void peer_check_wavefront(struct wavefront_cells *cells)
{
    int64_t distance, right = wavefront_check(cells, &distance);
    peer_check("distance", distance, strings.expected[strings.n - 1]);
    peer_check("right", right, strings.n);
    wavefront_cells_free(cells);
}

struct histogram peer_histogram;

int64_t peer_histogram_set(void)
{
    if (!peer_histogram.data) {
        if (strcmp(peer_text("data", "uniform"), "uniform") != 0)
            peer_cannot("its bytes are uniform");
        peer_histogram = (struct histogram){.bytes = peer_number("bytes", 100000000), .seed = peer_number("seed", 1)};
        made(histogram_make(&peer_histogram));
    }
    return peer_number("grain", 65536);
}

void peer_check_histogram(const int64_t bins[HISTOGRAM_BINS])
{
    int64_t bytes, sum, squares;
    histogram_sums(bins, &bytes, &sum, &squares);
    peer_check("bytes", bytes, peer_histogram.bytes);
    peer_check("sum", sum, peer_histogram.sum);
    peer_check("squares", squares, peer_histogram.squares);
}

/* ---- threadring, chameneos, prodcons ---- */

void peer_check_ring(int64_t name, int64_t passed, int64_t ended)
{
    int64_t passes = peer_number("passes", 5000000), tasks = peer_number("tasks", 503);
    peer_check("name", name, passes % tasks + 1);
    peer_check("passes", passed, passes);
    peer_check("ended", ended, tasks);
}

void peer_check_chameneos(const struct chameneos *sum, int64_t creatures, int64_t meetings)
{
    struct chameneos before = {.met = 0};
    for (int64_t i = 0; i < creatures; i++) {
        struct chameneos one = chameneos_begin(i);
        chameneos_add(&before, &one);
    }
    peer_check("met", sum->met, 2 * meetings);
    peer_check("met_itself", sum->met_itself, 0);
    peer_check("colours", sum->colour, before.colour);
}

struct peer_tree_of_channels peer_prodcons_set(void)
{
    struct peer_tree_of_channels tree = {
        .items = peer_number("items", 500000),
        .fan = peer_number("fan", 4),
        .levels = peer_number("levels", 4),
        .capacity = peer_number("capacity", 64),
    };
    if (tree.fan > PRODCONS_MOST_FAN)
        peer_cannot("it has not as many consumers");
    return tree;
}

void peer_check_prodcons(const struct peer_tree_of_channels *tree, const struct prodcons_sums *sums)
{
    peer_check("items", sums->count, tree->items);
    peer_check("sum", sums->sum, tree->items * (tree->items + 1) / 2);
    peer_check("dealt_fairly", prodcons_fair(sums), 1);
}

/* ---- stuck ---- */

struct peer_hold peer_hold_set(void)
{
    return (struct peer_hold){.tasks = peer_number("tasks", 20)};
}

void peer_hold_sleep(struct peer_hold *hold, void (*nap)(int64_t us))
{
    __atomic_fetch_add(&hold->under_way, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&hold->over, __ATOMIC_SEQ_CST)) {
        int64_t begin = peer_now();
        nap(1000);
        int64_t late = peer_now() - begin - 1000000, worst = __atomic_load_n(&hold->worst, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&hold->holding, __ATOMIC_SEQ_CST) && late > worst &&
               !__atomic_compare_exchange_n(&hold->worst, &worst, late, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            ;
    }
    __atomic_fetch_add(&hold->ended, 1, __ATOMIC_SEQ_CST);
}

void peer_hold_block(struct peer_hold *hold, void (*nap)(int64_t us))
{
    int64_t ns = peer_number("length", 200) * 1000000;
    struct timespec length = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    while (__atomic_load_n(&hold->under_way, __ATOMIC_SEQ_CST) < hold->tasks)
        nap(1000);
    int64_t begin = peer_now();
    __atomic_store_n(&hold->holding, 1, __ATOMIC_SEQ_CST);
    clock_nanosleep(CLOCK_MONOTONIC, 0, &length, NULL);
    hold->held = peer_now() - begin;
    nap(2000); /* who was held up says so while it counts */
    __atomic_store_n(&hold->over, 1, __ATOMIC_SEQ_CST);
}

void peer_check_hold(const struct peer_hold *hold)
{
    peer_value((double)hold->worst / 1e6);
    peer_check("ended", hold->ended, hold->tasks);
    peer_check("blocked", hold->held >= peer_number("length", 200) * 1000000, 1);
}

/* ---- timers, mix ---- */

/* Sorts them. */
static void lateness(double *us, size_t count)
{
    static const struct {
        const char *name;
        double percent;
    } points[] = {
        {"lateness_us.p10", 10},     {"lateness_us.p25", 25},     {"lateness_us.p50", 50},  {"lateness_us.p75", 75},
        {"lateness_us.p90", 90},     {"lateness_us.p95", 95},     {"lateness_us.p98", 98},  {"lateness_us.p99", 99},
        {"lateness_us.p99.5", 99.5}, {"lateness_us.p99.9", 99.9}, {"lateness_us.max", 100},
    };
    bench_sort(us, count);
    for (unsigned i = 0; count && i < BENCH_COUNT(points); i++)
        peer_more(points[i].name, "us", bench_percentile(us, count, points[i].percent));
}

struct peer_nap *peer_naps_set(int64_t *ret_count)
{
    uint64_t state = (uint64_t)peer_number("seed", 1), longest = (uint64_t)peer_number("longest", 1000) * 1000000;
    int64_t count = peer_number("tasks", 100000);
    struct peer_nap *naps = make(count, sizeof *naps);
    for (int64_t i = 0; i < count; i++)
        naps[i].ns = (int64_t)(bench_random(&state) % longest);
    *ret_count = count;
    return naps;
}

void peer_check_naps(struct peer_nap *naps, int64_t count)
{
    double *late = make(count, sizeof *late);
    int64_t early = 0;
    for (int64_t i = 0; i < count; i++) {
        early += naps[i].late < 0;
        late[i] = (double)naps[i].late / 1e3;
    }
    lateness(late, (size_t)count);
    peer_value(now.cpu_ms);
    peer_check("slept", count, count);
    peer_check("early", early, 0);
    free(late);
    free(naps);
}

#define MOST_SAMPLES 100000 /* of lateness, in all */

void peer_mix_set(struct peer_mix *mix)
{
    *mix = (struct peer_mix){
        .units = peer_number("units", 4000),
        .rounds = peer_number("rounds", 50000),
        .sleepers = peer_number("sleepers", 100),
        .longest = peer_number("longest", 20),
    };
    mix->unit = make(mix->units, sizeof *mix->unit);
    mix->sleeper = make(mix->sleepers, sizeof *mix->sleeper);
    for (int64_t i = 0; i < mix->units; i++)
        mix->unit[i].number = (uint64_t)i;
    for (int64_t i = 0; i < mix->sleepers; i++)
        mix->sleeper[i] = (struct peer_sleeper){
            .state = (uint64_t)i,
            .room = MOST_SAMPLES / mix->sleepers + 1,
            .late = make(MOST_SAMPLES / mix->sleepers + 1, sizeof(double)),
        };
}

void peer_compute(const struct peer_mix *mix, struct peer_unit *unit)
{
    unit->result = mix_unit(unit->number, mix->rounds);
}

int64_t peer_falls_asleep(const struct peer_mix *mix, struct peer_sleeper *sleeper)
{
    sleeper->nap = mix_nap(&sleeper->state, mix->longest);
    sleeper->start = peer_now();
    return sleeper->nap;
}

void peer_wakes_up(struct peer_sleeper *sleeper)
{
    int64_t late = peer_now() - sleeper->start - sleeper->nap;
    sleeper->slept++;
    sleeper->early += late < 0;
    if (sleeper->kept < sleeper->room)
        sleeper->late[sleeper->kept++] = (double)late / 1e3;
}

static int64_t sum_of_units(const struct peer_mix *mix)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < mix->units; i++)
        sum += mix->unit[i].result;
    return (int64_t)(sum & INT64_MAX);
}

void peer_mix_again(struct peer_mix *mix)
{
    mix->sum = sum_of_units(mix);
    for (int64_t i = 0; i < mix->units; i++)
        mix->unit[i].result = 0;
}

void peer_check_mix(struct peer_mix *mix)
{
    double *late = make(MOST_SAMPLES + mix->sleepers, sizeof *late);
    int64_t slept = 0, early = 0;
    size_t count = 0;
    for (int64_t i = 0; i < mix->sleepers; i++) {
        struct peer_sleeper *sleeper = &mix->sleeper[i];
        slept += sleeper->slept;
        early += sleeper->early;
        for (int64_t k = 0; k < sleeper->kept; k++)
            late[count++] = sleeper->late[k];
        free(sleeper->late);
    }
    peer_value((double)mix->beside / (double)mix->units / 1e3);
    peer_check("sum", sum_of_units(mix), mix->sum);
    peer_check("early", early, 0);
    peer_more("alone", "us/unit", (double)mix->alone / (double)mix->units / 1e3);
    peer_more("throughput", "of alone", (double)mix->alone / (double)mix->beside);
    peer_more("sleeps", "", (double)slept);
    lateness(late, count);
    free(late);
    free(mix->unit);
    free(mix->sleeper);
}

/* ---- mutex, rwlock, sem, cond ---- */

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

void peer_visits_set(struct peer_visits *visits)
{
    *visits = (struct peer_visits){
        .tasks = peer_number("tasks", 8),
        .rounds = peer_number("rounds", 2000000),
        .readers = peer_number("readers", 95),
    };
    visits->visitor = make(visits->tasks, sizeof *visits->visitor);
    for (int64_t i = 0; i < visits->tasks; i++)
        visits->visitor[i].dice = (uint64_t)i;
}

bool peer_reads(const struct peer_visits *visits, struct peer_visitor *visitor)
{
    return bench_random(&visitor->dice) % 100 < (uint64_t)visits->readers;
}

void peer_look(const struct peer_visits *visits, struct peer_visitor *visitor)
{
    visitor->torn += visits->first != visits->second;
}

void peer_change(struct peer_visits *visits, struct peer_visitor *visitor)
{
    visits->first++;
    visits->second++;
    visitor->written++;
}

void peer_check_visits(struct peer_visits *visits)
{
    int64_t written = 0, torn = 0;
    for (int64_t i = 0; i < visits->tasks; i++) {
        written += visits->visitor[i].written;
        torn += visits->visitor[i].torn;
    }
    peer_check("written", visits->first, written);
    peer_check("torn", torn, 0);
    free(visits->visitor);
}

struct peer_units peer_units_set(void)
{
    struct peer_units units = {.tasks = peer_number("tasks", 1), .units = peer_number("units", 1)};
    int64_t pairs = peer_number("pairs", 20000000);
    units.turns = pairs / units.tasks ? pairs / units.tasks : 1;
    units.fewer = units.turns / 10 ? units.turns / 10 : 1;
    return units;
}

void peer_check_units(const struct peer_units *units, int64_t done, int64_t beyond, int64_t left)
{
    peer_check("turns", done, (units->turns + units->fewer) * units->tasks);
    peer_check("beyond", beyond, 0);
    peer_check("left", left, units->units);
}

void peer_check_cond(int64_t waiters, int64_t rounds, int64_t through, int64_t sum_ns)
{
    peer_value((double)sum_ns / 1e6 / (double)rounds);
    peer_check("through", through, waiters * rounds);
}
