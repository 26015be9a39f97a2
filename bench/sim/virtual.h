/* SPDX-License-Identifier: MIT */
/* The virtual machine, as the program that runs on it sees it: time passes when somebody spends it. See virtual.c. */
#ifndef FILCH_BENCH_SIM_VIRTUAL_H
#define FILCH_BENCH_SIM_VIRTUAL_H

#include "sched/worker.h"
#include "sim.h"

#define SIM_PS 1000 /* picoseconds in a nanosecond: a spawn takes a few of these */

/** A CPU, with the one thread that it has. */
struct sim_cpu {
    int64_t now; /* ps; of one that sleeps: when it goes on by itself */
    int64_t spent[SIM_TIMES];
    enum sim_time last; /* what it has spent on last */

    struct fl_worker *worker; /* NULL: the host */
    unsigned index, place;    /* place: in the queue */
    enum { SIM_RUNS, SIM_SLEEPS, SIM_ENDED } state;
    enum sim_time sleeps_as;
    int64_t slept, woken; /* since when it sleeps; when it was woken, or -1 */
    int64_t debt;         /* what barriers of others have taken since it ran */
    struct filch_worker_ *tls;
    void *sp, *fake, *stack;
    unsigned completed, reaped, flags; /* its ring */
    uint64_t tries[SIM_DISTANCES], steals[SIM_DISTANCES], items[SIM_DISTANCES], barriers, wakes, naps, sleeps, parks;
};

extern struct sim_cpu *sim_cpu; /* that runs */
extern int64_t sim_horizon;     /* until when nobody else has anything to do */

/** Others are earlier now: they go first. */
void sim_go_on(void);

/** The calling CPU spends `ps` picoseconds. */
FL_INLINE void sim_spend(int64_t ps, enum sim_time on)
{
    struct sim_cpu *cpu = sim_cpu;
    cpu->now += ps;
    cpu->spent[on] += ps;
    cpu->last = on;
    if (cpu->now > sim_horizon)
        sim_go_on();
}

/** What it takes to fetch `lines` lines that lie with another worker, ps. */
int64_t sim_lines(unsigned other, unsigned lines);

/** Makes a machine of `count` CPUs and the host, who runs; each CPU is given its worker and started. @return 0 or -ENOMEM */
int sim_machine_init(const struct sim_costs *costs, unsigned count, struct filch_runtime *runtime);
void sim_machine_fini(void);
void sim_machine_start(unsigned index, struct fl_worker *w);

/** The host waits until so much time has passed. */
void sim_host_wait(int64_t ns);
/** The host waits until sim_host_wake, or all CPUs have ended. */
void sim_host_sleep(void);
void sim_host_wake(void);

/** From now on, and until now, is what counts. @return ps between the two */
void sim_account_begin(void);
int64_t sim_account_end(struct sim_result *result);

#endif
