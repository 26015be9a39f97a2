/* SPDX-License-Identifier: MIT */
/* The virtual machine: CPUs that take turns on one thread, in the order of their clocks.
 *
 * The scheduler's files are compiled for it as they are. What they call of the floor `machine` they find here: the clock, the heavy barrier, the ring in
 * which a worker sleeps; and what takes time without a call they say (machine/cost.h). Each of these spends time on the CPU that runs. A CPU whose clock has passed
 * that of another lets the other one go first; so all see each other's memory as it would be at that time, and whoever looks at a deque finds in it what
 * was there then. Between two such points a CPU is alone, and nothing takes time that is not spent. It is a simulation by discrete events in which an event is a
 * piece of the program itself.
 *
 * Invariants
 *   1. The CPU that runs is not in the queue; of those in the queue none is earlier than its clock, or it lets them go first at its next spending.
 *   2. In the queue are all CPUs that run, and those that sleep with a limit, ordered by clock, then by index: the same setup gives the same run.
 *   3. Once the account is begun, what a CPU has spent, and slept, is what its clock has advanced by, but for `debt`.
 *   4. The host, a CPU without a worker, is the thread that has called; it starts the others and waits for them.
 *
 * What barriers of others take from a CPU is its debt until it runs next: it was in the middle of something whose end they have put off.
 *
 * Left out: the monitor and its reliefs (no task blocks its CPU here), I/O, timers of tasks, memory bandwidth, what tasks share besides the lines they are
 * passed in, and whatever else a machine does to those who use it together, but for the cost `beside`. */
#include "virtual.h"

#include "base/panic.h"
#include "machine/clock.h"
#include "machine/context.h"
#include "machine/cost.h"
#include "machine/sanitizer.h"
#include "sched/relief.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CARRIER_STACK 65536
#define LOOK_LINES 5 /* of another worker: its sleep, ring, timers, both ends of its deque, its ready queue; together */

static struct {
    int64_t clock, pause, barrier, barrier_any, barrier_cpu, interrupt, sleep, late, wake, waking, park, glance; /* ps */
    int64_t line[SIM_DISTANCES];
    double stream;
    struct filch_runtime *runtime;
    struct sim_cpu *cpus, host, **queue;
    unsigned count, queued, ended;
    uintptr_t host_low, host_high;
    int64_t begun;
    bool host_woken;
} m;

struct sim_cpu *sim_cpu;
int64_t sim_horizon;

_Atomic(bool) fl_barrier_asymmetric = true;

/* ---- the queue: a binary heap ---- */

static bool earlier(const struct sim_cpu *a, const struct sim_cpu *b)
{
    return a->now < b->now || (a->now == b->now && a->index < b->index);
}

static void put(struct sim_cpu *cpu, unsigned place)
{
    m.queue[place] = cpu;
    cpu->place = place;
}

static void sift_up(struct sim_cpu *cpu, unsigned place)
{
    for (; place > 0 && earlier(cpu, m.queue[(place - 1) / 2]); place = (place - 1) / 2)
        put(m.queue[(place - 1) / 2], place);
    put(cpu, place);
}

static void sift_down(struct sim_cpu *cpu, unsigned place)
{
    for (;;) {
        unsigned child = 2 * place + 1;
        if (child >= m.queued)
            break;
        if (child + 1 < m.queued && earlier(m.queue[child + 1], m.queue[child]))
            child++;
        if (!earlier(m.queue[child], cpu))
            break;
        put(m.queue[child], place);
        place = child;
    }
    put(cpu, place);
}

static void enter(struct sim_cpu *cpu)
{
    sift_up(cpu, m.queued++);
}

static struct sim_cpu *first(void)
{
    fl_panic_if(m.queued == 0, "the simulated runtime is stuck: all of its workers sleep");
    struct sim_cpu *cpu;
    while ((cpu = m.queue[0])->debt) {
        cpu->now += cpu->debt;
        cpu->spent[SIM_TIME_INTERRUPT] += cpu->debt;
        cpu->last = SIM_TIME_INTERRUPT;
        cpu->debt = 0;
        sift_down(cpu, 0);
    }
    return cpu;
}

/* ---- from one CPU to another ---- */

static void bounds(const struct sim_cpu *cpu, uintptr_t *low, uintptr_t *high)
{
    if (!cpu->worker)
        *low = m.host_low, *high = m.host_high;
    else if (cpu->worker->stack && cpu->worker->thread_sp)
        *low = cpu->worker->stack->low, *high = cpu->worker->stack->top;
    else
        *low = (uintptr_t)cpu->stack, *high = *low + CARRIER_STACK;
}

static void change_to(struct sim_cpu *to, bool for_good)
{
    struct sim_cpu *from = sim_cpu;
    uintptr_t low, high;
    sim_horizon = m.queued ? m.queue[0]->now : INT64_MAX;
    if (to == from) /* it has slept, and so has everybody else */
        return;
    from->tls = filch_worker_tls_;
    filch_worker_tls_ = to->tls;
    sim_cpu = to;
    bounds(to, &low, &high);
    fl_sanitizer_before(for_good ? NULL : &from->fake, low, high, NULL);
    fl_context_switch(&from->sp, to->sp);
    fl_sanitizer_after(from->fake); /* `from` is the one that has been gone back to */
}

/* The CPU that runs does not: it sleeps, or has ended. */
static void leave(bool for_good)
{
    struct sim_cpu *to = first();
    struct sim_cpu *last = m.queue[--m.queued];
    if (last != to)
        sift_down(last, 0);
    change_to(to, for_good);
}

void sim_go_on(void)
{
    struct sim_cpu *cpu = sim_cpu, *to = first();
    if (!earlier(to, cpu)) { /* it had debts */
        sim_horizon = to->now;
        return;
    }
    sift_down(cpu, 0); /* in its place */
    change_to(to, false);
}

/* ---- what the runtime finds in place of the floor below ---- */

int64_t fl_clock(void)
{
    sim_spend(m.clock, !sim_cpu->worker || sim_cpu->worker->hot.current_ ? SIM_TIME_ROUND : SIM_TIME_LOOK);
    return sim_cpu->now / SIM_PS;
}

void fl_relax(void)
{
    sim_spend(m.pause, SIM_TIME_ASK);
}

int sim_sched_yield(void)
{
    fl_relax();
    return 0;
}

int sim_nanosleep(const struct timespec *time, struct timespec *ret_left)
{
    (void)ret_left;
    sim_spend(((int64_t)time->tv_sec * 1000000000 + time->tv_nsec) * SIM_PS, SIM_TIME_ASK);
    return 0;
}

void fl_barrier_heavy(void)
{
    int64_t others = 0;
    sim_cpu->barriers++;
    for (unsigned i = 0; i < m.count; i++)
        if (&m.cpus[i] != sim_cpu && m.cpus[i].state == SIM_RUNS) {
            m.cpus[i].debt += m.interrupt;
            others++;
        }
    sim_spend(m.barrier + (others > 0 ? m.barrier_any + (others - 1) * m.barrier_cpu : 0), SIM_TIME_BARRIER);
}

void fl_barrier_light_slow(void)
{
}

static enum fl_distance distance(unsigned a, unsigned b)
{
    return fl_topology_distance(&m.runtime->topology, a, b);
}

int64_t sim_lines(unsigned other, unsigned lines)
{
    int64_t line = m.line[distance(sim_cpu->index, other)];
    return lines ? line + (int64_t)(m.stream * (double)line * (lines - 1)) : 0;
}

void fl_cost(enum fl_cost_kind what, const void *of, unsigned count)
{
    const struct fl_worker *other = of;
    struct sim_cpu *cpu = sim_cpu;
    if (!cpu->worker)
        return;
    enum fl_distance far = distance(cpu->index, other->index);
    switch (what) {
    case FL_COST_LOOK: /* of one that sleeps nothing changes, and its lines are here */
        if (m.cpus[other->index].state == SIM_RUNS)
            sim_spend(sim_lines(other->index, LOOK_LINES), SIM_TIME_LOOK);
        else
            sim_spend(m.glance, SIM_TIME_LOOK);
        break;
    case FL_COST_GLANCE:
        if (other != cpu->worker)
            sim_spend(m.cpus[other->index].state == SIM_RUNS ? (int64_t)(m.stream * (double)m.line[far]) : m.glance, SIM_TIME_LOOK);
        break;
    case FL_COST_SHARED: /* as often as not it was the farthest one that wrote it last */
        sim_spend(m.line[distance(cpu->index, cpu->index < m.count / 2 ? m.count - 1 : 0)], SIM_TIME_LOOK);
        break;
    case FL_COST_TRY:
        cpu->tries[far]++;
        break;
    case FL_COST_FETCH:
        cpu->steals[far] += count > 0;
        cpu->items[far] += count;
        sim_spend(sim_lines(other->index, 1 + count / 2), SIM_TIME_MOVE);
        break;
    case FL_COST_GIVE:
        sim_spend(sim_lines(other->index, 1 + count / 2), SIM_TIME_MOVE);
        break;
    case FL_COST_PARK:
        cpu->parks++;
        sim_spend(m.park, SIM_TIME_MOVE);
        break;
    }
}

/* ---- the ring: nothing but somewhere to sleep ---- */

static struct sim_cpu *cpu_of(const struct fl_ring *ring)
{
    return &m.cpus[fl_container_of(ring, struct fl_worker, ring)->index];
}

int fl_ring_init(struct fl_ring *ring, const struct fl_backend *backend)
{
    struct sim_cpu *cpu = cpu_of(ring);
    *ring = (struct fl_ring){.wake_fd = -1, .backend = backend};
    ring->uring.cq.khead = &cpu->reaped;
    ring->uring.cq.ktail = &cpu->completed;
    ring->uring.sq.kflags = &cpu->flags;
    return 0;
}

void fl_ring_fini(struct fl_ring *ring)
{
    (void)ring;
}

/* How a sleep ended, in the account. */
static void account_sleep(struct sim_cpu *cpu, int64_t end)
{
    int64_t woken = cpu->woken >= 0 ? cpu->woken : end;
    cpu->spent[cpu->sleeps_as] += woken - cpu->slept;
    cpu->spent[SIM_TIME_WAKING] += end - woken;
    cpu->last = cpu->woken >= 0 ? SIM_TIME_WAKING : cpu->sleeps_as;
}

static void sleep_until(int64_t end)
{
    struct sim_cpu *cpu = sim_cpu;
    cpu->state = SIM_SLEEPS;
    cpu->slept = cpu->now;
    cpu->woken = -1;
    cpu->now = end;
    if (end != INT64_MAX)
        enter(cpu);
    leave(false);
    cpu->state = SIM_RUNS;
    account_sleep(cpu, cpu->now);
}

static void wake(struct sim_cpu *cpu, int64_t after)
{
    int64_t then = sim_cpu->now + after;
    if (cpu->state != SIM_SLEEPS || cpu->woken >= 0 || then >= cpu->now)
        return;
    bool queued = cpu->now != INT64_MAX;
    cpu->woken = sim_cpu->now;
    cpu->now = then;
    if (queued)
        sift_up(cpu, cpu->place);
    else
        enter(cpu);
    sim_horizon = m.queue[0]->now;
}

void fl_uring_sleep(struct fl_ring *ring, int64_t timeout)
{
    struct sim_cpu *cpu = sim_cpu;
    bool naps = load_relaxed(&cpu->worker->sleeper.state) == FL_AWAKE; /* own: its own */
    cpu->sleeps_as = naps ? SIM_TIME_NAP : SIM_TIME_SLEEP;
    sim_spend(m.sleep, cpu->sleeps_as);
    if (fl_ring_ready(ring) || timeout <= 0)
        return;
    naps ? cpu->naps++ : cpu->sleeps++;
    sleep_until(timeout >= INT64_MAX / SIM_PS / 2 ? INT64_MAX : cpu->now + timeout * SIM_PS + m.late);
}

void fl_ring_wake(struct fl_ring *ring)
{
    struct sim_cpu *cpu = cpu_of(ring);
    cpu->completed += cpu->completed == cpu->reaped;
    wake(cpu, m.waking);
    sim_cpu->wakes++;
    sim_spend(m.wake, SIM_TIME_WAKE);
}

unsigned fl_uring_reap(struct fl_ring *ring, bool owner)
{
    struct sim_cpu *cpu = cpu_of(ring);
    unsigned n = cpu->completed - cpu->reaped;
    (void)owner;
    cpu->reaped = cpu->completed;
    return n;
}

int fl_uring_flush(struct fl_ring *ring)
{
    (void)ring;
    return 0;
}

void fl_uring_flush_try(struct fl_ring *ring)
{
    (void)ring;
}

/* No ring is one of these. */
unsigned fl_epoll_reap(struct fl_ring *ring, bool owner)
{
    (void)ring, (void)owner;
    return 0;
}

void fl_epoll_sleep(struct fl_ring *ring, int64_t timeout)
{
    (void)ring, (void)timeout;
}

/* ---- the host ---- */

void sim_host_wait(int64_t ns)
{
    sim_cpu->sleeps_as = SIM_TIME_SLEEP;
    sleep_until(sim_cpu->now + ns * SIM_PS);
}

void sim_host_sleep(void)
{
    sim_cpu->sleeps_as = SIM_TIME_SLEEP;
    if (!m.host_woken)
        sleep_until(INT64_MAX);
    m.host_woken = false;
}

void sim_host_wake(void)
{
    m.host_woken = true;
    wake(&m.host, 0);
}

/* ---- CPUs begin and end ---- */

static void carrier(void)
{
    fl_sanitizer_after(NULL);
    struct sim_cpu *cpu = sim_cpu;
    struct fl_worker *w = cpu->worker;
    static int error;
    void *fake = NULL;
    (void)fake;
    filch_worker_tls_ = &w->hot;
    w->err = &error;
    w->thread_low = (uintptr_t)cpu->stack;
    w->thread_high = w->thread_low + CARRIER_STACK;
    w->dug = cpu->now / SIM_PS;
    store_relaxed(&w->tid, 1);         /* init: published by nothing but the order of events */
    store_relaxed(&w->looked, w->dug); /* hint: as everywhere */
    void *sp = fl_context_make(w->stack->top, fl_worker_loop);
    w->hot.floor_ = fl_stack_floor(w->stack);
    fl_sanitizer_before(&fake, w->stack->low, w->stack->top, NULL);
    fl_context_switch(&w->thread_sp, sp);
    fl_sanitizer_after(fake);
    cpu->state = SIM_ENDED;
    if (++m.ended == m.count)
        sim_host_wake();
    leave(true);
}

void sim_machine_start(unsigned index, struct fl_worker *w)
{
    struct sim_cpu *cpu = &m.cpus[index];
    cpu->worker = w;
    cpu->now = m.host.now;
    cpu->sp = fl_context_make(((uintptr_t)cpu->stack + CARRIER_STACK) & ~(uintptr_t)15, carrier);
    enter(cpu);
    sim_horizon = m.queue[0]->now;
}

static int64_t ps(double ns)
{
    return (int64_t)(ns * SIM_PS + 0.5);
}

static void read_costs(const double of[SIM_COSTS])
{
    m.clock = ps(of[SIM_COST_CLOCK]);
    m.pause = of[SIM_COST_PAUSE] < 1 ? SIM_PS : ps(of[SIM_COST_PAUSE]); /* else a wait would not end */
    m.line[FL_DISTANCE_CORE] = ps(of[SIM_COST_LINE] * of[SIM_COST_CORE]);
    m.line[FL_DISTANCE_CACHE] = ps(of[SIM_COST_LINE]);
    m.line[FL_DISTANCE_NODE] = ps(of[SIM_COST_LINE] * of[SIM_COST_NODE]);
    m.line[FL_DISTANCE_FAR] = ps(of[SIM_COST_LINE] * of[SIM_COST_FAR]);
    m.glance = ps(of[SIM_COST_LINE] * of[SIM_COST_CORE] * of[SIM_COST_STREAM]);
    m.stream = of[SIM_COST_STREAM];
    m.barrier = ps(of[SIM_COST_BARRIER]);
    m.barrier_any = ps(of[SIM_COST_BARRIER_ANY]);
    m.barrier_cpu = ps(of[SIM_COST_BARRIER_CPU]);
    m.interrupt = ps(of[SIM_COST_INTERRUPT]);
    m.sleep = ps(of[SIM_COST_SLEEP]);
    m.late = ps(of[SIM_COST_LATE]);
    m.wake = ps(of[SIM_COST_WAKE]);
    m.waking = ps(of[SIM_COST_WAKING]);
    m.park = ps(of[SIM_COST_PARK]);
}

static void read_host_bounds(void)
{
    pthread_attr_t attr;
    void *low = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstack(&attr, &low, &size);
        pthread_attr_destroy(&attr);
    }
    m.host_low = (uintptr_t)low;
    m.host_high = (uintptr_t)low + size;
}

int sim_machine_init(const struct sim_costs *costs, unsigned count, struct filch_runtime *runtime)
{
    memset(&m, 0, sizeof m);
    m.runtime = runtime;
    m.count = count;
    m.cpus = calloc(count, sizeof *m.cpus);
    m.queue = calloc(count + 1, sizeof(struct sim_cpu *));
    if (!m.cpus || !m.queue)
        return -ENOMEM;
    read_costs(costs->of);
    read_host_bounds();
    for (unsigned i = 0; i < count; i++) {
        m.cpus[i].index = i;
        m.cpus[i].woken = -1;
        m.cpus[i].tls = &fl_no_worker.hot;
        m.cpus[i].stack = malloc(CARRIER_STACK);
        if (!m.cpus[i].stack)
            return -ENOMEM;
    }
    m.host.index = count;
    m.host.woken = -1;
    m.host.tls = filch_worker_tls_;
    sim_cpu = &m.host;
    sim_horizon = INT64_MAX;
    return 0;
}

void sim_machine_fini(void)
{
    for (unsigned i = 0; m.cpus && i < m.count; i++)
        free(m.cpus[i].stack);
    free(m.cpus);
    free(m.queue);
    memset(&m, 0, sizeof m);
}

/* ---- the account ---- */

void sim_account_begin(void)
{
    m.begun = sim_cpu->now;
    for (unsigned i = 0; i < m.count; i++) {
        struct sim_cpu *cpu = &m.cpus[i];
        memset(cpu->spent, 0, sizeof cpu->spent);
        memset(cpu->tries, 0, sizeof cpu->tries);
        memset(cpu->steals, 0, sizeof cpu->steals);
        memset(cpu->items, 0, sizeof cpu->items);
        cpu->barriers = cpu->wakes = cpu->naps = cpu->sleeps = cpu->parks = 0;
        cpu->debt = 0;
        if (cpu->state == SIM_RUNS)
            cpu->spent[cpu->last] = cpu->now - m.begun; /* what it is in the middle of */
        cpu->slept = m.begun;
        if (cpu->woken >= 0)
            cpu->woken = m.begun;
    }
}

int64_t sim_account_end(struct sim_result *result)
{
    int64_t end = sim_cpu->now;
    for (unsigned i = 0; i < m.count; i++) {
        struct sim_cpu *cpu = &m.cpus[i];
        if (cpu->state == SIM_RUNS)
            cpu->spent[cpu->last] -= cpu->now - end;
        else
            account_sleep(cpu, end);
        for (unsigned t = 0; t < SIM_TIMES; t++)
            result->times[t] += (double)cpu->spent[t] / SIM_PS;
        for (unsigned d = 0; d < SIM_DISTANCES; d++) {
            result->tries[d] += cpu->tries[d];
            result->steals[d] += cpu->steals[d];
            result->items[d] += cpu->items[d];
        }
        result->barriers += cpu->barriers;
        result->wakes += cpu->wakes;
        result->naps += cpu->naps;
        result->sleeps += cpu->sleeps;
        result->parks += cpu->parks;
    }
    return end - m.begun;
}
