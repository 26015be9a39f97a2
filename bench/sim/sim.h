/* SPDX-License-Identifier: MIT */
/* The simulator, as filch-bench sees it: a run of a task graph on a machine that there need not be.
 *
 * It is a library of its own because it holds the scheduler a second time: the same files of runtime/sched and runtime/sync, compiled for the
 * virtual machine in virtual.c. docs/concepts/bench.md says what is simulated and what is not. */
#ifndef FILCH_BENCH_SIM_H
#define FILCH_BENCH_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "../uts_tree.h"

#define SIM_API __attribute__((visibility("default")))

#define SIM_DISTANCES 4 /* enum fl_distance */

/** What a machine takes for what, ns unless said otherwise. In the order of sim_cost_names. */
enum sim_cost {
    SIM_COST_CLOCK,       /* reading the clock */
    SIM_COST_PAUSE,       /* a turn of a waiting loop */
    SIM_COST_LINE,        /* a line of cache from a core that shares some cache */
    SIM_COST_CORE,        /* the same from a hardware thread of the core: so many times that */
    SIM_COST_NODE,        /* from a core of the same memory node, without a cache in common: times */
    SIM_COST_FAR,         /* from another node: times */
    SIM_COST_STREAM,      /* each further line of a row: times */
    SIM_COST_BARRIER,     /* a heavy barrier while nobody else runs */
    SIM_COST_BARRIER_ANY, /* more if anybody else runs */
    SIM_COST_BARRIER_CPU, /* more for each further CPU that runs */
    SIM_COST_INTERRUPT,   /* what it takes from each that runs */
    SIM_COST_SLEEP,       /* the call that sleeps */
    SIM_COST_LATE,        /* how much later than asked a sleep ends */
    SIM_COST_WAKE,        /* the call that wakes */
    SIM_COST_WAKING,      /* from its begin until who is woken runs */
    SIM_COST_PARK,        /* a task parks, is made ready and goes on */
    SIM_COST_BESIDE,      /* work takes so many times as long when there is more than one worker */
    SIM_COSTS,
};

struct sim_costs {
    double of[SIM_COSTS];
};

/** What a worker's time goes to. In the order of sim_time_names. */
enum sim_time {
    SIM_TIME_WORK,      /* what the tasks do */
    SIM_TIME_SPAWN,     /* spawning, joining and running them, as one worker alone has to */
    SIM_TIME_ROUND,     /* looking round */
    SIM_TIME_MOVE,      /* fetching what lies with other workers; parking and going on */
    SIM_TIME_BESIDE,    /* being slower beside others */
    SIM_TIME_LOOK,      /* searching: looking at others, reading the clock */
    SIM_TIME_ASK,       /* waiting for a victim's answer, or for a lock */
    SIM_TIME_BARRIER,   /* heavy barriers */
    SIM_TIME_INTERRUPT, /* heavy barriers of others */
    SIM_TIME_WAKE,      /* waking others */
    SIM_TIME_WAKING,    /* having been woken */
    SIM_TIME_NAP,       /* napping */
    SIM_TIME_SLEEP,     /* sleeping */
    SIM_TIMES,
};

struct sim_name {
    const char *name, *unit, *help;
};
extern SIM_API const struct sim_name sim_cost_names[SIM_COSTS], sim_time_names[SIM_TIMES], sim_distance_names[SIM_DISTANCES];

/** A policy; the first is the runtime's. */
extern SIM_API const struct sim_name sim_policy_names[];
extern SIM_API const unsigned sim_policies;

enum sim_kind { SIM_FORK, SIM_UTS, SIM_WAVEFRONT, SIM_FLAT, SIM_RECORDED };

/** A step of a recorded task. */
struct sim_step {
    enum { SIM_STEP_WORK, SIM_STEP_SPAWN, SIM_STEP_JOIN, SIM_STEP_RELEASE } kind;
    union {
        int64_t work;  /* ns */
        uint32_t task; /* index */
    };
};

struct sim_task {
    uint32_t steps, count; /* first step, how many */
    uint32_t after;        /* so many others that release it; 0: it is spawned */
};

/** A task graph that was written down; task 0 begins. bench/simulate_graph.c reads it, bench/trace.c writes it. */
struct sim_recorded {
    struct sim_task *tasks;
    struct sim_step *steps;
    uint32_t count, step_count;
};

struct sim_graph {
    enum sim_kind kind;
    int64_t n;            /* fork: which number; flat: tasks; wavefront: tiles along an edge */
    struct uts_tree tree; /* uts */
    double work, spawn;   /* ns a task */
    struct sim_recorded *recorded;
};

struct sim_setup {
    const char *topology; /* in hwloc's words */
    unsigned workers, policy;
    uint64_t seed;
    struct sim_costs costs;
    struct sim_graph graph;
    void (*progress)(uint64_t tasks, void *arg); /* now and then; may be NULL */
    void *progress_arg;
};

struct sim_result {
    double makespan, span;   /* ns: from begin to end; the longest chain of tasks that wait for each other */
    double times[SIM_TIMES]; /* ns, of all workers; their sum is workers * makespan */
    uint64_t tasks;          /* that ran */
    int64_t check[3];        /* fork: the number; uts: nodes, leaves, depth; others: tasks that ran exactly once */
    uint64_t tries[SIM_DISTANCES], steals[SIM_DISTANCES], items[SIM_DISTANCES]; /* thefts by distance; what they brought */
    uint64_t barriers, wakes, naps, sleeps, parks;
    uint64_t in_class[SIM_DISTANCES]; /* other workers at each distance of the first one */
};

/** Runs it. @return 0; -EINVAL the topology is not understood; -E2BIG it has fewer cores than there are workers; -ENOMEM; -ENOTSUP built with ThreadSanitizer */
SIM_API int sim_run(const struct sim_setup *setup, struct sim_result *ret_result);

#endif
