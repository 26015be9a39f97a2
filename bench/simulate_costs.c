/* SPDX-License-Identifier: MIT */
/* What things cost on this machine. The parts of the runtime's own machine floor are timed one by one, by one thread or two, each on a CPU of its own;
 * tasks are timed by running small workloads in processes of their own, as the user would; the fastest of several runs counts.
 *
 * Two CPUs do not tell what a line costs from another node, nor what a barrier costs with a hundred running: these are assumed, as factors of
 * what was measured, and said to be. What was given is not measured. */
#include "simulate.h"

#include "base/barrier.h"
#include "machine/backend.h"
#include "machine/clock.h"
#include "machine/ring.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "compare.h"
#include "util.h"

#define SAMPLES 201
#define LIMIT 300.0 /* s, of a process */
#define PROCESSES 5

/* By the book: a server of our days without a hypervisor. What was not measured is from the first column of factors here, too. */
static const struct sim_costs metal = {{
    [SIM_COST_CLOCK] = 20,
    [SIM_COST_PAUSE] = 30,
    [SIM_COST_LINE] = 50,
    [SIM_COST_CORE] = 0.3,
    [SIM_COST_NODE] = 2,
    [SIM_COST_FAR] = 4,
    [SIM_COST_STREAM] = 0.2,
    [SIM_COST_BARRIER] = 350,
    [SIM_COST_BARRIER_ANY] = 1200,
    [SIM_COST_BARRIER_CPU] = 30,
    [SIM_COST_INTERRUPT] = 700,
    [SIM_COST_SLEEP] = 400,
    [SIM_COST_LATE] = 53000,
    [SIM_COST_WAKE] = 1500,
    [SIM_COST_WAKING] = 5000,
    [SIM_COST_PARK] = 60,
    [SIM_COST_BESIDE] = 1,
}};

/* ---- given ---- */

static int set(struct simulate_costs *costs, const char *key, size_t length, double value)
{
    for (unsigned i = 0; i < SIM_COSTS; i++)
        if (strlen(sim_cost_names[i].name) == length && strncmp(sim_cost_names[i].name, key, length) == 0) {
            bool good = value >= (i == SIM_COST_BESIDE ? 1 : 0) && value <= 1e9;
            if (!good)
                bench_say("cost %.*s is a number from %d to 1e9", (int)length, key, i == SIM_COST_BESIDE);
            costs->costs.of[i] = value;
            costs->source[i] = SIMULATE_GIVEN;
            return good ? 0 : -EINVAL;
        }
    bench_say("there is no cost '%.*s'; `filch-bench sim --list` names them", (int)length, key);
    return -EINVAL;
}

int simulate_read_costs(struct simulate_costs *costs, const char *text)
{
    int r = 0;
    while (r == 0 && *text) {
        size_t length = strcspn(text, "=,");
        char *end;
        double value = text[length] == '=' ? strtod(text + length + 1, &end) : 0;
        if (text[length] != '=' || end == text + length + 1 || (*end && *end != ',')) {
            bench_say("--cost takes KEY=NUMBER,KEY=NUMBER, not '%s'", text);
            return -EINVAL;
        }
        r = set(costs, text, length, value);
        text = end + (*end == ',');
    }
    return r;
}

int simulate_load_costs(struct simulate_costs *costs, const char *name)
{
    if (strcmp(name, "metal") == 0) {
        costs->costs = metal;
        for (unsigned i = 0; i < SIM_COSTS; i++)
            costs->source[i] = SIMULATE_ASSUMED;
        return 0;
    }
    json_error_t error;
    json_t *file = json_load_file(name, 0, &error), *object = json_object_get(file, "costs"), *value;
    const char *key;
    int r = 0;
    if (!json_is_object(file)) {
        bench_say("--costs: '%s' is neither `metal` nor a file with a JSON object: %s", name,
                  file ? "it holds something else" : error.text);
        json_decref(file);
        return -EINVAL;
    }
    json_object_foreach(object ? object : file, key, value)
    {
        const json_t *number = json_is_object(value) ? json_object_get(value, "value") : value;
        if (r == 0 && !json_is_number(number)) {
            bench_say("--costs: '%s' in '%s' is no number", key, name);
            r = -EINVAL;
        }
        if (r == 0)
            r = set(costs, key, strlen(key), json_number_value(number));
    }
    json_decref(file);
    return r;
}

/* ---- two threads ---- */

static int cpus[2]; /* that this process may use; the second is negative where there is one only */

static void read_cpus(void)
{
    cpu_set_t allowed;
    unsigned count = 0;
    cpus[0] = cpus[1] = -1;
    sched_getaffinity(0, sizeof allowed, &allowed);
    for (int cpu = 0; cpu < CPU_SETSIZE && count < 2; cpu++)
        if (CPU_ISSET((unsigned)cpu, &allowed))
            cpus[count++] = cpu;
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

/* What it takes when nobody disturbs it, without the luckiest ones: the lower quartile. */
static double usual(double *samples, size_t count)
{
    bench_sort(samples, count);
    return bench_percentile(samples, count, 25);
}

/* What both sides see. */
static struct {
    _Alignas(128) _Atomic(uint32_t) ball;
    _Alignas(128) _Atomic(uint32_t) stop;
    _Alignas(128) _Atomic(uint32_t) ready;
    _Alignas(128) _Atomic(int64_t) woken;
    struct fl_ring ring;
    struct fl_backend backend;
    double alone, beside;
} both;

static void *other(void *arg)
{
    pin(cpus[1]);
    ((void (*)(void))arg)();
    return NULL;
}

/* Runs `here` while `there` runs on the other CPU. */
static int together(void (*here)(void), void (*there)(void))
{
    pthread_t thread;
    store_relaxed(&both.stop, 0);  /* init: there is no other thread yet */
    store_relaxed(&both.ready, 0); /* init: as above */
    int r = pthread_create(&thread, NULL, other, (void *)there);
    if (r)
        return -r;
    while (!load_acquire(&both.ready)) /* [pair] pairs with get_ready */
        sched_yield();
    here();
    store_release(&both.stop, 1); /* [pair] pairs with stopped */
    pthread_join(thread, NULL);
    return 0;
}

static void get_ready(void)
{
    store_release(&both.ready, 1); /* [pair] pairs with together */
}

static bool stopped(void)
{
    return load_acquire(&both.stop); /* [pair] pairs with together */
}

/* ---- one by one ---- */

static void time_clock(struct sim_costs *costs)
{
    double samples[SAMPLES];
    for (unsigned i = 0; i < SAMPLES; i++) {
        int64_t begin = fl_clock();
        for (unsigned n = 0; n < 1000; n++)
            fl_clock();
        samples[i] = (double)(fl_clock() - begin) / 1001;
    }
    costs->of[SIM_COST_CLOCK] = usual(samples, SAMPLES);
    for (unsigned i = 0; i < SAMPLES; i++) {
        int64_t begin = fl_clock();
        for (unsigned n = 0; n < 1000; n++)
            fl_relax();
        samples[i] = (double)(fl_clock() - begin) / 1000;
    }
    costs->of[SIM_COST_PAUSE] = usual(samples, SAMPLES);
}

/* The ball goes there as an odd number and comes back as an even one. */
static void play_there(void)
{
    get_ready();
    while (!stopped()) {
        uint32_t seen = load_acquire(&both.ball); /* [ball] pairs with play_here */
        if (seen & 1)
            store_release(&both.ball, seen + 1); /* [ball] pairs with play_here */
    }
}

static double line_ns;

static void play_here(void)
{
    double samples[SAMPLES];
    uint32_t ball = 0;
    store_release(&both.ball, 0); /* [ball] pairs with play_there */
    for (unsigned i = 0; i < SAMPLES; i++) {
        int64_t begin = fl_clock();
        for (unsigned n = 0; n < 200; n++) {
            store_release(&both.ball, ++ball); /* [ball] pairs with play_there */
            ball++;
            while (load_acquire(&both.ball) != ball) /* [ball] pairs with play_there */
                if (fl_clock() - begin > 50000000)   /* the other one is not running */
                    break;
        }
        samples[i] = (double)(fl_clock() - begin) / 400;
    }
    line_ns = usual(samples, SAMPLES);
}

static double barrier_ns(unsigned count)
{
    double samples[SAMPLES];
    for (unsigned i = 0; i < SAMPLES; i++) {
        int64_t begin = fl_clock();
        for (unsigned n = 0; n < count; n++)
            fl_barrier_heavy();
        samples[i] = (double)(fl_clock() - begin) / count;
    }
    return usual(samples, SAMPLES);
}

/* A chain of additions and shifts that nothing overlaps. */
static uint64_t compute(unsigned count)
{
    uint64_t sum = 88172645463325252;
    for (unsigned i = 0; i < count; i++) {
        sum ^= sum << 13;
        sum ^= sum >> 7;
        sum ^= sum << 17;
        __asm__ volatile("" : "+r"(sum));
    }
    return sum;
}

#define CHUNK 1000 /* about 2 us */
#define KEPT 4096  /* chunks whose time is kept */
#define BARRIERS 401

static _Atomic(uint64_t) chunks;        /* done there */
static _Atomic(int64_t) chunk_ns[KEPT]; /* what they took */

static void compute_there(void)
{
    uint64_t done = 0;
    store_release(&chunks, 0); /* [chunk] pairs with chunks_reach */
    get_ready();
    for (int64_t begin = fl_clock(), end; !stopped(); begin = end) {
        compute(CHUNK);
        end = fl_clock();
        store_relaxed(&chunk_ns[done % KEPT], end - begin); /* [chunk] by the store of the count */
        store_release(&chunks, ++done);                     /* [chunk] pairs with chunks_reach */
    }
}

/* Waits until so many are done, for a second at most. @return how many are */
static uint64_t chunks_reach(uint64_t count)
{
    uint64_t done;
    for (int64_t end = fl_clock() + 1000000000;
         (done = load_acquire(&chunks)) < count && fl_clock() < end;) /* [chunk] pairs with compute_there */
        ;
    return done;
}

static double chunk_sum(uint64_t first, uint64_t end)
{
    int64_t sum = 0;
    for (uint64_t i = first; i < end; i++)
        sum += load_relaxed(&chunk_ns[i % KEPT]); /* [chunk] behind the count */
    return (double)sum;
}

static double barrier_beside, interrupt_ns;

/* A barrier while the other one runs, which has just ended a chunk; and how much longer the chunks take that it falls into. */
static void interrupt(void)
{
    double undisturbed[BARRIERS], lost[BARRIERS], cost[BARRIERS];
    for (unsigned i = 0; i < BARRIERS; i++) {
        uint64_t first = chunks_reach(load_relaxed(&chunks) + 1); /* counter */
        undisturbed[i] = chunk_sum(first, chunks_reach(first + 1));
    }
    double chunk = usual(undisturbed, BARRIERS);
    for (unsigned i = 0; i < BARRIERS; i++) {
        uint64_t first = chunks_reach(load_relaxed(&chunks) + 1); /* counter */
        int64_t begin = fl_clock();
        fl_barrier_heavy();
        cost[i] = (double)(fl_clock() - begin);
        uint64_t end = chunks_reach(load_relaxed(&chunks) + 1); /* counter */
        lost[i] = end - first < KEPT ? chunk_sum(first, end) - (double)(end - first) * chunk : 1e9;
    }
    interrupt_ns = usual(lost, BARRIERS);
    interrupt_ns = interrupt_ns > 0 ? interrupt_ns : 0;
    barrier_beside = usual(cost, BARRIERS);
}

static void sleep_there(void)
{
    fl_ring_init(&both.ring, &both.backend);
    get_ready();
    while (!stopped()) {
        fl_ring_sleep(&both.ring, 100000000);
        store_release(&both.woken, fl_clock()); /* [woken] pairs with wake_here */
        fl_ring_reap(&both.ring, true);
    }
    fl_ring_fini(&both.ring);
}

static double wake_ns, waking_ns;

static void wake_here(void)
{
    double call[SAMPLES], latency[SAMPLES];
    for (unsigned i = 0; i < SAMPLES; i++) {
        usleep(300);
        int64_t before = load_acquire(&both.woken), begin = fl_clock(), after; /* [woken] pairs with sleep_there */
        fl_ring_wake(&both.ring);
        call[i] = (double)(fl_clock() - begin);
        while ((after = load_acquire(&both.woken)) == before && fl_clock() - begin < 100000000) /* [woken] pairs with sleep_there */
            ;
        latency[i] = after > begin ? (double)(after - begin) : call[i];
    }
    wake_ns = usual(call, SAMPLES);
    waking_ns = usual(latency, SAMPLES);
}

static void time_sleep(struct sim_costs *costs)
{
    struct fl_ring *ring = &both.ring;
    double samples[SAMPLES];
    if (fl_ring_init(ring, &both.backend) < 0)
        return;
    for (unsigned i = 0; i < SAMPLES; i++) {
        int64_t begin = fl_clock();
        fl_ring_sleep(ring, 0);
        samples[i] = (double)(fl_clock() - begin);
    }
    costs->of[SIM_COST_SLEEP] = usual(samples, SAMPLES);
    for (unsigned i = 0; i < SAMPLES; i++) {
        int64_t begin = fl_clock();
        fl_ring_sleep(ring, 50000);
        samples[i] = (double)(fl_clock() - begin) - 50000 - costs->of[SIM_COST_SLEEP];
    }
    costs->of[SIM_COST_LATE] = usual(samples, SAMPLES);
    if (costs->of[SIM_COST_LATE] < 0)
        costs->of[SIM_COST_LATE] = 0;
    fl_ring_fini(ring);
}

/* Both compute, and one alone. The least counts, since others on these CPUs make it longer than it is. */
static double compute_ns(void)
{
    double least = 1e18;
    for (unsigned i = 0; i < 25; i++) {
        int64_t begin = fl_clock();
        compute(1000000);
        double took = (double)(fl_clock() - begin);
        least = took < least ? took : least;
    }
    return least;
}

static void compute_here(void)
{
    both.beside = compute_ns();
}

/* A task that waits for its child through an event: it parks, is made ready, and goes on. */
struct park {
    filch_event event;
    double ns;
};

static int set_event(void *arg)
{
    filch_event_set(arg);
    return 0;
}

static int parks(void *arg)
{
    struct park *park = arg;
    double samples[SAMPLES];
    for (unsigned i = 0; i < SAMPLES; i++) {
        int64_t begin = fl_clock();
        for (unsigned n = 0; n < 200; n++) {
            FILCH_SCOPE(s);
            filch_event_reset(&park->event);
            int r = filch_spawn(&s, set_event, &park->event);
            if (r < 0)
                return r;
            filch_event_wait(&park->event);
            filch_join(&s);
        }
        samples[i] = (double)(fl_clock() - begin) / 200;
    }
    park->ns = usual(samples, SAMPLES);
    return 0;
}

/* Fills in what was not given. */
static void take(struct simulate_costs *costs, const struct sim_costs *measured, enum sim_cost cost)
{
    if (costs->source[cost] != SIMULATE_NONE)
        return;
    costs->costs.of[cost] = measured->of[cost];
    costs->source[cost] = SIMULATE_MEASURED;
}

static bool wanted(const struct simulate_costs *costs)
{
    for (unsigned i = 0; i < SIM_COSTS; i++)
        if (costs->source[i] == SIMULATE_NONE)
            return true;
    return false;
}

static int measure_pairs(struct sim_costs *measured)
{
    int r = together(play_here, play_there);
    measured->of[SIM_COST_LINE] = line_ns;
    if (r == 0)
        r = together(interrupt, compute_there);
    measured->of[SIM_COST_BARRIER_ANY] =
        barrier_beside > measured->of[SIM_COST_BARRIER] ? barrier_beside - measured->of[SIM_COST_BARRIER] : 0;
    measured->of[SIM_COST_INTERRUPT] = interrupt_ns;
    if (r == 0)
        r = together(wake_here, sleep_there);
    measured->of[SIM_COST_WAKE] = wake_ns;
    measured->of[SIM_COST_WAKING] = waking_ns;
    both.alone = compute_ns();
    if (r == 0)
        r = together(compute_here, compute_there);
    measured->of[SIM_COST_BESIDE] = both.beside > both.alone ? both.beside / both.alone : 1;
    return r;
}

int simulate_find_costs(struct simulate_costs *costs)
{
    static const enum sim_cost alone[] = {SIM_COST_CLOCK, SIM_COST_PAUSE, SIM_COST_BARRIER, SIM_COST_SLEEP, SIM_COST_LATE, SIM_COST_PARK};
    static const enum sim_cost pairs[] = {SIM_COST_LINE, SIM_COST_BARRIER_ANY, SIM_COST_INTERRUPT,
                                          SIM_COST_WAKE, SIM_COST_WAKING,      SIM_COST_BESIDE};
    struct sim_costs measured = metal;
    struct park park = {0};
    cpu_set_t before;
    if (!wanted(costs))
        return 0;
    simulate_progress("what things cost here …");
    sched_getaffinity(0, sizeof before, &before);
    read_cpus();
    fl_barrier_init();
    int r = fl_backend_choose(&both.backend, FILCH_IO_AUTO);
    if (r < 0)
        goto out;
    filch_run(&(filch_config){.workers = 1, .relief = FILCH_RELIEF_NONE}, parks, &park);
    measured.of[SIM_COST_PARK] = park.ns;
    pin(cpus[0]);
    time_clock(&measured);
    time_sleep(&measured);
    measured.of[SIM_COST_BARRIER] = barrier_ns(10);
    for (unsigned i = 0; i < BENCH_COUNT(alone); i++)
        take(costs, &measured, alone[i]);
    if (cpus[1] >= 0)
        r = measure_pairs(&measured);
    for (unsigned i = 0; r == 0 && cpus[1] >= 0 && i < BENCH_COUNT(pairs); i++)
        take(costs, &measured, pairs[i]);
    for (unsigned i = 0; i < SIM_COSTS; i++)
        if (costs->source[i] == SIMULATE_NONE) {
            costs->costs.of[i] = metal.of[i];
            costs->source[i] = SIMULATE_ASSUMED;
        }
    sched_setaffinity(0, sizeof before, &before);
out:
    simulate_progress(NULL);
    if (r < 0)
        bench_say("sim: what things cost could not be measured: %s", strerror(-r));
    return r;
}

/* ---- tasks ---- */

static int one_process(const char *const words[], unsigned workers, unsigned runs, double *ret_best)
{
    char *argv[32] = {(char *)(uintptr_t) "/proc/self/exe", (char *)(uintptr_t) "run"}, number[24], times[24];
    unsigned count = 2;
    cpu_set_t allowed, chosen;
    CPU_ZERO(&chosen);
    sched_getaffinity(0, sizeof allowed, &allowed);
    for (int cpu = 0; cpu < CPU_SETSIZE && (unsigned)CPU_COUNT(&chosen) < workers; cpu++)
        if (CPU_ISSET((unsigned)cpu, &allowed))
            CPU_SET((unsigned)cpu, &chosen);
    for (unsigned i = 0; words[i] && count < 24; i++)
        argv[count++] = (char *)(uintptr_t)words[i];
    snprintf(number, sizeof number, "%u", workers);
    snprintf(times, sizeof times, "%u", runs);
    char *rest[] = {"--workers", number, "--runs", times, "--json", NULL};
    memcpy(argv + count, rest, sizeof rest);
    simulate_progress("%s, %u worker%s, for real …", words[0], workers, workers == 1 ? "" : "s");
    struct compare_process process;
    int r = compare_run(argv, &chosen, LIMIT, &process);
    simulate_progress(NULL);
    if (r < 0) {
        bench_say("sim: `filch-bench run %s` could not be started: %s", words[0], strerror(-r));
        return r;
    }
    json_t *line = compare_line(process.out);
    json_t *figure = json_object_get(line, "min"); /* nobody disturbs the simulated one either */
    if (process.status != 0 || process.timeout || !json_is_number(figure)) {
        bench_say("sim: `filch-bench run %s` %s: %s", words[0], process.timeout ? "took too long" : "failed", process.err);
        r = -EIO;
    } else {
        *ret_best = json_number_value(figure);
    }
    json_decref(line);
    compare_process_fini(&process);
    return r;
}

/* What takes some ns takes half as long again in one process as in the next, by where its stacks and code happen to lie: so the best of several. */

int simulate_real_run(const char *const words[], unsigned workers, unsigned runs, double *ret_best)
{
    *ret_best = INFINITY;
    for (unsigned i = 0; i < PROCESSES; i++) {
        double best = 0;
        int r = one_process(words, workers, (runs + PROCESSES - 1) / PROCESSES, &best);
        if (r < 0)
            return r;
        *ret_best = best < *ret_best ? best : *ret_best;
    }
    return 0;
}

/* As many spawns as a spawner may make before it must let them go first, without their joins. */
static int spawns(void *arg)
{
    double samples[SAMPLES];
    static filch_event unused;
    for (unsigned i = 0; i < SAMPLES; i++) {
        FILCH_SCOPE(s);
        int64_t begin = fl_clock();
        for (unsigned n = 0; n < 900; n++) {
            int r = filch_spawn(&s, set_event, &unused);
            if (r < 0)
                return r;
        }
        samples[i] = (double)(fl_clock() - begin) / 900;
        int r = filch_join(&s);
        if (r < 0)
            return r;
    }
    *(double *)arg = usual(samples, SAMPLES);
    return 0;
}

#define RUNS 41 /* of some ms: some of them are not disturbed, even where others use the CPUs, and the predictors have learnt */

/* What it is to be a task that its parent's join runs: fork's, less what the calls alone take. */
static int find_spawn(double *ret_work, double *ret_spawn)
{
    static double work, spawn; /* once is enough */
    int r = 0;
    if (work == 0) {
        double all = 0, alone = 0;
        r = simulate_real_run((const char *const[]){"fork", "--n", "30", "--form", "serial", NULL}, 1, RUNS, &alone);
        if (r == 0)
            r = simulate_real_run((const char *const[]){"fork", "--n", "30", NULL}, 1, RUNS, &all);
        if (r == 0) {
            work = alone;
            spawn = all > alone ? all - alone : 0;
        }
    }
    *ret_work = work;
    *ret_spawn = spawn;
    return r;
}

static int measure_work(enum sim_kind kind, double *ret_work, double *ret_spawn)
{
    double all = 0, ignored;
    int r = kind == SIM_FLAT ? filch_run(&(filch_config){.workers = 1, .relief = FILCH_RELIEF_NONE}, spawns, ret_spawn)
                             : find_spawn(kind == SIM_FORK ? ret_work : &ignored, ret_spawn);
    if (r < 0)
        return r;
    switch (kind) {
    case SIM_UTS: /* of T1, fewer levels: 63,914 nodes */
        r = simulate_real_run((const char *const[]){"uts", "--tree", "T1", "--depth", "7", NULL}, 1, RUNS, &all);
        *ret_work = all * 1e6 / 63914 - *ret_spawn;
        break;
    case SIM_WAVEFRONT: /* 64 tiles of 256 x 256 cells */
        r = simulate_real_run((const char *const[]){"wavefront", "--n", "2048", NULL}, 1, RUNS, &all);
        *ret_work = all * 1e6 / 64 - *ret_spawn;
        break;
    case SIM_FLAT:
        r = simulate_real_run((const char *const[]){"flat", "--tasks", "50000", NULL}, 1, RUNS, &all);
        *ret_work = all - *ret_spawn;
        break;
    case SIM_FORK:
    case SIM_RECORDED: /* says what its tasks take */
        break;
    }
    *ret_work = *ret_work > 0 ? *ret_work : 0;
    return r;
}

int simulate_find_work(struct simulate_graph *graph)
{
    static struct {
        double work, spawn;
        bool is;
    } found[SIM_RECORDED + 1]; /* once is enough */
    enum sim_kind kind = graph->graph.kind;
    int r = 0;
    if (!found[kind].is && !(graph->spawn_given && (graph->work_given || kind == SIM_RECORDED))) {
        r = measure_work(kind, &found[kind].work, &found[kind].spawn);
        found[kind].is = r == 0;
    }
    if (!graph->work_given)
        graph->graph.work = found[kind].work;
    if (!graph->spawn_given)
        graph->graph.spawn = found[kind].spawn;
    return r;
}
