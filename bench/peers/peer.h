/* SPDX-License-Identifier: MIT */
/* What the peers in C and C++ share: arguments, clocks, checks, the line of JSON, and the serial parts of workloads, so that they differ
 * in nothing but their runtime. The interface to the outside is docs/concepts/bench.md.
 *
 * A peer has a table of workloads. The function of one does the work once: it makes ready what it needs, calls peer_start, works, calls
 * peer_stop, and proves by peer_check that the work was done. peer_main calls it twice; the second time counts. */
#ifndef FILCH_BENCH_PEER_H
#define FILCH_BENCH_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "../kernels/chameneos.h"
#include "../kernels/cholesky.h"
#include "../kernels/histogram.h"
#include "../kernels/integrate.h"
#include "../kernels/matmul.h"
#include "../kernels/mix.h"
#include "../kernels/nbody.h"
#include "../kernels/prodcons.h"
#include "../kernels/queens.h"
#include "../kernels/sort.h"
#include "../kernels/strassen.h"
#include "../kernels/wavefront.h"
#include "../uts_tree.h"

struct peer_workload {
    const char *name;
    void (*run)(void);
    const char *most; /* what it can stand, as the inside of a JSON object: "\"n\": 20"; NULL: anything */
};

struct peer {
    const char *name, *version;
    const struct peer_workload *workloads; /* the last has no name */
    int single;                            /* it uses one processor, whatever --workers is */
};

/** Reads the arguments, runs, prints. @return exit status */
int peer_main(const struct peer *peer, int argc, char **argv);

/** For a runtime that must be entered first: `run` is called between reading the arguments and printing, once. */
int peer_main_inside(const struct peer *peer, int argc, char **argv, void (*inside)(void (*run)(void)));

/** --workers */
extern int peer_workers;

/** The value of --key, or `otherwise`. */
int64_t peer_number(const char *key, int64_t otherwise);
double peer_real(const char *key, double otherwise);
const char *peer_text(const char *key, const char *otherwise);

/** Ends the program: it has no means for these parameters. */
void peer_cannot(const char *why) __attribute__((noreturn));

/** Ends the program: something failed. */
void peer_fail(const char *what) __attribute__((noreturn));

int64_t peer_now(void);

/** Wall and CPU time from here on, */
void peer_start(void);

/** up to here; the figure is the wall time in ns, divided by `count`; 0: in ms. */
void peer_stop(int64_t count);

/** Replaces the figure. */
void peer_value(double value);
double peer_cpu_ms(void);

void peer_check(const char *name, int64_t got, int64_t expected);
void peer_more(const char *name, const char *unit, double value);

/* ---- what workloads have beside their tasks ---- */

int64_t peer_fibonacci(int64_t n);
void peer_check_fork(int64_t n, int64_t fib);
int64_t peer_skynet_leaves(void);
void peer_check_skynet(int64_t leaves, int64_t sum);

/** Resident memory in bytes, now. */
int64_t peer_resident(void);

/* integrate */
extern double peer_epsilon;
struct integrate_piece peer_integrate_set(void); /* before each run */
void peer_check_integrate(const struct integrate_piece *all);

/* uts */
extern struct uts_tree peer_tree;
void peer_tree_set(void);
void peer_check_tree(struct uts_count sum);

/* queens */
struct peer_board {
    uint8_t column[QUEENS_MOST];
    int row; /* the first empty one */
};
bool peer_safe(const struct peer_board *board, int row, int column);
int64_t peer_queens_set(void); /* how many */
void peer_check_queens(int64_t solutions);

/* sort */
extern struct sort_input peer_sort;
extern int64_t peer_grain;
void peer_sort_set(void); /* before each run */
void peer_check_sort(void);

/* matmul */
struct matmul_block peer_matmul_set(void); /* before each run */
void peer_check_matmul(void);

/* strassen */
extern struct strassen peer_strassen;
struct strassen_product peer_strassen_set(void); /* before each run */
void peer_check_strassen(void);

/* cholesky */
extern struct cholesky peer_cholesky;
void peer_cholesky_set(void); /* before each run */
void peer_check_cholesky(void);

/* nbody; the world belongs to the caller until it is checked */
extern int64_t peer_steps, peer_bodies;
void peer_nbody_set(struct nbody_world *world);
void peer_check_nbody(struct nbody_world *world);

/* wavefront; the cells as well */
int64_t peer_wavefront_set(struct wavefront_cells *cells); /* tiles along an edge */
void peer_check_wavefront(struct wavefront_cells *cells);

/* histogram */
extern struct histogram peer_histogram;
int64_t peer_histogram_set(void); /* the grain */
void peer_check_histogram(const int64_t bins[HISTOGRAM_BINS]);

/* threadring */
void peer_check_ring(int64_t name, int64_t passed, int64_t ended);

/* chameneos */
void peer_check_chameneos(const struct chameneos *sum, int64_t creatures, int64_t meetings);

/* prodcons */
struct peer_tree_of_channels {
    int64_t items, fan, levels, capacity;
};
struct peer_tree_of_channels peer_prodcons_set(void);
void peer_check_prodcons(const struct peer_tree_of_channels *tree, const struct prodcons_sums *sums);

/* mix: `alone` and `beside` are the times of the two passes */
struct peer_unit {
    uint64_t number, result;
};
struct peer_sleeper {
    uint64_t state;
    int64_t start, nap, slept, early, kept, room;
    double *late;
};
struct peer_mix {
    int64_t units, rounds, sleepers, longest, alone, beside, sum;
    struct peer_unit *unit;
    struct peer_sleeper *sleeper;
};
void peer_mix_set(struct peer_mix *mix);
void peer_compute(const struct peer_mix *mix, struct peer_unit *unit);
int64_t peer_falls_asleep(const struct peer_mix *mix, struct peer_sleeper *sleeper); /* for how long, in ns */
void peer_wakes_up(struct peer_sleeper *sleeper);
void peer_mix_again(struct peer_mix *mix); /* between the passes */
void peer_check_mix(struct peer_mix *mix);

/* stuck: what the tasks of any runtime do, given its own way to sleep */
struct peer_hold {
    int64_t tasks, under_way, holding, over, ended, worst, held;
};
struct peer_hold peer_hold_set(void);
void peer_hold_sleep(struct peer_hold *hold, void (*nap)(int64_t us));
void peer_hold_block(struct peer_hold *hold, void (*nap)(int64_t us));
void peer_check_hold(const struct peer_hold *hold); /* the figure, too */

/* timers */
struct peer_nap {
    int64_t ns, late;
};
struct peer_nap *peer_naps_set(int64_t *ret_count);
void peer_check_naps(struct peer_nap *naps, int64_t count);

/* mutex: turns of each task in the first and in the second pass */
struct peer_turns {
    int64_t tasks, turns, fewer;
};
struct peer_turns peer_turns_set(void);
void peer_check_turns(const struct peer_turns *turns, int64_t counter, int64_t longest_ns);

/* rwlock */
struct peer_visitor {
    uint64_t dice;
    int64_t written, torn;
};
struct peer_visits {
    int64_t tasks, rounds, readers, first, second; /* the two numbers are what the lock guards */
    struct peer_visitor *visitor;
};
void peer_visits_set(struct peer_visits *visits);
bool peer_reads(const struct peer_visits *visits, struct peer_visitor *visitor); /* or writes */
void peer_look(const struct peer_visits *visits, struct peer_visitor *visitor);
void peer_change(struct peer_visits *visits, struct peer_visitor *visitor);
void peer_check_visits(struct peer_visits *visits);

/* sem: turns of each task in the first and in the second pass */
struct peer_units {
    int64_t tasks, units, turns, fewer;
};
struct peer_units peer_units_set(void);
void peer_check_units(const struct peer_units *units, int64_t done, int64_t beyond, int64_t left);

/* cond: a time from the broadcast to the last, of each round */
void peer_check_cond(int64_t waiters, int64_t rounds, int64_t through, int64_t sum_ns);

#ifdef __cplusplus
}
#endif

#endif
