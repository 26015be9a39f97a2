/* SPDX-License-Identifier: MIT */
/* A runtime on the virtual machine: built as runtime.c builds one, but for threads, rings, the monitor and its reliefs.
 *
 * The workers search, find nothing and go to sleep, as those of a runtime do that has just been started. Then the root task is injected, as by a plain thread, and
 * from its first instruction to its last time is accounted for. */
#include "base/panic.h"
#include "graphs.h"
#include "machine/clock.h"
#include "machine/sanitizer.h"
#include "sched/join.h"
#include "sched/policy.h"
#include "sched/relief.h"
#include "sync/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE 10000000 /* ns until all workers have gone to sleep */

struct fl_policy fl_policy = FL_POLICY;

/* ---- policies ---- */

/* The runtime's own, but for what its name says. In the order of their names. */
static struct fl_policy policy(unsigned which)
{
    struct fl_policy policy = FL_POLICY;
    switch (which) {
    case 1:
        policy.near_first = false;
        break;
    case 2:
        policy.most = 1;
        break;
    case 3:
        policy.asks = false;
        break;
    case 4:
        policy.patience *= 10;
        break;
    case 5:
        policy.worth = 0;
        break;
    case 6:
        policy.nap_most = policy.nap_first;
        break;
    case 7:
        policy.passes = false;
        break;
    case 8:
        policy.looks_first = false;
        break;
    case 9:
        policy.passes = policy.looks_first = false;
        break;
    case 10:
        policy.sleeps = false;
        policy.worth = 0;
        break;
    }
    return policy;
}

const struct sim_name sim_policy_names[] = {
    {"runtime", "",
     "what the scheduler does: near victims first, asks for half unless another asks, robs who does not answer, naps after poor thefts"},
    {"random", "", "victims at random, near or far"},
    {"one", "", "a victim gives its oldest item, not half"},
    {"rob", "", "takes without asking: one item and a heavy barrier each time"},
    {"patient", "", "waits ten times as long for an answer"},
    {"eager", "", "no theft counts as poor"},
    {"short-naps", "", "naps do not grow"},
    {"rude", "", "robs a victim whom another thief asks already"},
    {"look-late", "", "looks whether there is work only behind the barrier of a sleeper"},
    {"rude-late", "", "rude and look-late"},
    {"spin", "", "never sleeps: searches until it finds"},
};
const unsigned sim_policies = sizeof sim_policy_names / sizeof *sim_policy_names;

/* ---- names ---- */

const struct sim_name sim_cost_names[SIM_COSTS] = {
    [SIM_COST_CLOCK] = {"clock", "ns", "reading the clock"},
    [SIM_COST_PAUSE] = {"pause", "ns", "a turn of a waiting loop"},
    [SIM_COST_LINE] = {"line", "ns", "a line of cache from a core with a cache in common"},
    [SIM_COST_CORE] = {"core", "x line", "from a hardware thread of the same core"},
    [SIM_COST_NODE] = {"node", "x line", "from a core of the same node, no cache in common"},
    [SIM_COST_FAR] = {"far", "x line", "from a core of another node"},
    [SIM_COST_STREAM] = {"stream", "x line", "each further line of a row"},
    [SIM_COST_BARRIER] = {"barrier", "ns", "a heavy barrier while nobody else runs"},
    [SIM_COST_BARRIER_ANY] = {"barrier-any", "ns", "more if anybody else runs"},
    [SIM_COST_BARRIER_CPU] = {"barrier-cpu", "ns", "more for each further CPU that runs"},
    [SIM_COST_INTERRUPT] = {"interrupt", "ns", "what it takes from each that runs"},
    [SIM_COST_SLEEP] = {"sleep", "ns", "the call that sleeps"},
    [SIM_COST_LATE] = {"late", "ns", "how much later than asked a sleep ends"},
    [SIM_COST_WAKE] = {"wake", "ns", "the call that wakes"},
    [SIM_COST_WAKING] = {"waking", "ns", "from its begin until the woken one runs"},
    [SIM_COST_PARK] = {"park", "ns", "a task parks, is made ready and goes on"},
    [SIM_COST_BESIDE] = {"beside", "x work", "work beside other workers takes so many times as long"},
};

const struct sim_name sim_time_names[SIM_TIMES] = {
    [SIM_TIME_WORK] = {"work", "ns", "what the tasks do"},
    [SIM_TIME_SPAWN] = {"spawn", "ns", "spawning, joining and running them, as one worker alone has to"},
    [SIM_TIME_ROUND] = {"round", "ns", "looking round"},
    [SIM_TIME_MOVE] = {"move", "ns", "fetching what lies with other workers, parking and going on"},
    [SIM_TIME_BESIDE] = {"beside", "ns", "being slower beside others"},
    [SIM_TIME_LOOK] = {"look", "ns", "looking at others for work"},
    [SIM_TIME_ASK] = {"ask", "ns", "waiting for a victim's answer"},
    [SIM_TIME_BARRIER] = {"barrier", "ns", "heavy barriers"},
    [SIM_TIME_INTERRUPT] = {"interrupt", "ns", "heavy barriers of others"},
    [SIM_TIME_WAKE] = {"wake", "ns", "waking others"},
    [SIM_TIME_WAKING] = {"waking", "ns", "woken, and not yet running"},
    [SIM_TIME_NAP] = {"nap", "ns", "napping"},
    [SIM_TIME_SLEEP] = {"sleep", "ns", "sleeping"},
};

const struct sim_name sim_distance_names[SIM_DISTANCES] = {
    [FL_DISTANCE_CORE] = {"core", "", "hardware threads of one core"},
    [FL_DISTANCE_CACHE] = {"cache", "", "they share some cache"},
    [FL_DISTANCE_NODE] = {"node", "", "same memory node"},
    [FL_DISTANCE_FAR] = {"far", "", "the rest"},
};
_Static_assert((int)SIM_DISTANCES == (int)FL_DISTANCES, "one each");

/* ---- what the scheduler calls and has no use for here ---- */

static bool none_ended(struct fl_task *task, int result)
{
    (void)task, (void)result;
    return true;
}

static bool none_awaited(struct filch_runtime *runtime, int64_t token)
{
    (void)runtime, (void)token;
    return false;
}

static const struct fl_hooks hooks = {
    .fork_ended = none_ended,
    .fork_awaited = none_awaited,
    .child_failed = fl_scope_child_failed,
    .unlink = fl_scope_unlink,
    .locals_end = fl_locals_end,
};

bool fl_monitor_notice(struct filch_runtime *runtime, struct fl_worker *other, int64_t now)
{
    (void)runtime, (void)other, (void)now;
    return false;
}

void fl_monitor_stirred(struct filch_runtime *runtime)
{
    (void)runtime;
}

void fl_monitor_wake(struct filch_runtime *runtime)
{
    (void)runtime;
}

struct fl_task *fl_relief_aside(struct fl_worker *w)
{
    (void)w;
    return NULL;
}

void fl_relief_hand_over(struct fl_worker *w)
{
    (void)w;
}

int fl_thread_spawn(struct filch_runtime *runtime, struct fl_task *task, size_t stack_size)
{
    (void)runtime, (void)task, (void)stack_size;
    return -ENOTSUP;
}

int64_t filch_after(int64_t ns)
{
    return fl_clock() + ns;
}

struct fl_task *fl_outside_get(struct filch_runtime *runtime)
{
    return fl_pool_get(&runtime->outside);
}

void fl_outside_put(struct filch_runtime *runtime, struct fl_task *task)
{
    fl_pool_put(&runtime->outside, task);
}

struct fl_stack *fl_outside_stack(struct filch_runtime *runtime, unsigned cls)
{
    return fl_stack_get(&runtime->outside_stacks, cls);
}

/* ---- a runtime ---- */

static int build(struct filch_runtime *runtime, const struct sim_setup *setup)
{
    unsigned count = setup->workers;
    runtime->model = FILCH_MODEL_MN;
    runtime->count = count;
    runtime->hooks = &hooks;
    runtime->stack_class = (unsigned)fl_stack_class(65536);
    fl_pool_init(&runtime->pool);
    runtime->outside.pool = &runtime->pool;
    int r = fl_stacks_new(&runtime->stacks);
    if (r < 0)
        return r;
    fl_stack_cache_init(&runtime->outside_stacks, runtime->stacks);
    store_relaxed(&runtime->total, count);       /* init: no worker yet */
    store_relaxed(&runtime->idle.active, count); /* init: no worker yet */
    runtime->workers = calloc(count, sizeof *runtime->workers);
    if (!runtime->workers)
        return -ENOMEM;
    r = sim_machine_init(&setup->costs, count, runtime);
    uint64_t random = setup->seed;
    for (unsigned i = 0; r == 0 && i < count; i++) {
        r = fl_worker_new(runtime, i, &runtime->workers[i]);
        if (r == 0 && setup->seed) {
            random = random * 6364136223846793005 + 1442695040888963407; /* Knuth's generator: xorshift wants no zero */
            runtime->workers[i]->random = (uint32_t)(random >> 33) | 1;
        }
    }
    runtime->root_task = (struct fl_task){.flags = FL_TASK_THREAD, .runtime = runtime};
    runtime->root.owner_ = &runtime->root_task.head;
    fl_scope_root(&runtime->root);
    return r;
}

static void release(struct filch_runtime *runtime)
{
    for (unsigned i = 0; runtime->workers && i < runtime->count; i++)
        fl_worker_free(runtime->workers[i]);
    free(runtime->workers);
    fl_forks_fini(runtime);
    fl_pool_fini(&runtime->pool);
    fl_stacks_free(runtime->stacks);
    fl_topology_fini(&runtime->topology);
    sim_machine_fini();
    free(runtime);
}

struct root {
    const struct sim_setup *setup;
    struct sim_result *result;
    int r;
};

static int root_main(void *arg)
{
    struct root *root = arg;
    sim_account_begin();
    root->r = sim_graph_run(&root->setup->graph, root->setup, root->result);
    root->result->makespan = (double)sim_account_end(root->result) / SIM_PS;
    sim_host_wake();
    return 0;
}

static int submit(struct filch_runtime *runtime, filch_fn *fn, void *arg)
{
    struct fl_task *task = fl_outside_get(runtime);
    if (!task)
        return -ENOMEM;
    add_seq_cst(fl_join_others(&runtime->root), 1); /* own: as in runtime.c; nobody closes it meanwhile */
    fl_task_begin(task, runtime, &runtime->root);
    task->fn = fn;
    task->arg = arg;
    task->flags = FL_TASK_NEW;
    task->sp = NULL;
    fl_inject_push(&runtime->inject, task);
    fl_notify(runtime);
    return 0;
}

static void count_classes(const struct fl_topology *topology, unsigned workers, struct sim_result *result)
{
    for (unsigned i = 1; i < workers; i++)
        result->in_class[fl_topology_distance(topology, 0, i)]++;
}

static int run(struct filch_runtime *runtime, const struct sim_setup *setup, struct sim_result *result)
{
    struct root root = {.setup = setup, .result = result};
    for (unsigned i = 0; i < runtime->count; i++)
        sim_machine_start(i, runtime->workers[i]);
    sim_host_wait(SETTLE);
    int r = submit(runtime, root_main, &root);
    if (r == 0)
        sim_host_sleep();
    store_release(&runtime->state, FL_ENDING); /* [end] as filch_stop does */
    for (unsigned i = 0; i < runtime->count; i++)
        fl_ring_wake(&runtime->workers[i]->ring);
    sim_host_sleep();
    return r < 0 ? r : root.r;
}

int sim_run(const struct sim_setup *setup, struct sim_result *ret_result)
{
    if (FL_TSAN)
        return -ENOTSUP;
    struct filch_runtime *runtime = aligned_alloc(_Alignof(struct filch_runtime), sizeof *runtime);
    if (!runtime)
        return -ENOMEM;
    memset(runtime, 0, sizeof *runtime);
    struct sim_result result = {0};
    int r = fl_topology_describe(setup->topology, &runtime->topology);
    if (r == 0 && runtime->topology.cores < setup->workers)
        r = -E2BIG;
    if (r == 0) {
        fl_policy = policy(setup->policy);
        r = build(runtime, setup);
        if (r == 0)
            r = run(runtime, setup, &result);
    }
    count_classes(&runtime->topology, r == 0 ? setup->workers : 0, &result);
    release(runtime);
    if (r == 0)
        *ret_result = result;
    return r;
}
