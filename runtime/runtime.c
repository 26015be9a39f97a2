/* SPDX-License-Identifier: MIT */
/* The runtime: puts the floors together, starts and stops them.
 *
 * Start order                                    Shutdown order
 *   1. barrier, topology                           1. closed: filch_submit refuses
 *   2. stacks, descriptors, back-end               2. the root scope is empty, or was cancelled and is empty
 *   3. workers with their rings, no thread yet     3. ending: every worker leaves its loop when it finds nothing, and is joined
 *   4. root scope                                  4. helpers, workers with their rings (nothing is in flight: no task is left)
 *   5. threads, the monitor last; all signals      5. descriptors, stacks, topology
 *      blocked
 *
 * Invariant: nothing exists before filch_start and nothing after filch_stop: no constructor, no atexit, no signal handler, no global but the
 * registration for membarrier, which the kernel keeps for the process.
 * A forked child has the memory but no workers: filch_submit, filch_call and filch_stop on a runtime of the parent return -ECHILD there (a page that the kernel wipes on fork tells). */
#include "base/panic.h"
#include "debug/deadlock.h"
#include "debug/stall.h"
#include "io/op.h"
#include "machine/clock.h"
#include "machine/futex.h"
#include "sched/join.h"
#include "sched/relief.h"

#include <filch.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define THREAD_STACK (256 * 1024) /* a carrier's own stack: it only starts and ends there */
#define HELPERS 64                /* threads at most for calls that wait, if the host does not say */
#define HELPERS_MAX 1024
#define STALL_AFTER 10000000 /* ns */
#define RELIEFS 64           /* threads at most that stand in for stalled ones, if the host does not say */
#define GRACE 1000000000     /* ns a cancelled runtime is waited for */

const char *filch_version(void)
{
    return FILCH_VERSION;
}

int64_t filch_now(void)
{
    return fl_clock();
}

int64_t filch_after(int64_t ns)
{
    int64_t deadline;
    return __builtin_add_overflow(fl_clock(), ns, &deadline) ? FILCH_NEVER : deadline;
}

static int call_main(void *arg);

static const struct fl_hooks hooks = {
    .fork_ended = fl_fork_ended,
    .fork_awaited = fl_fork_awaited,
    .child_failed = fl_scope_child_failed,
    .unlink = fl_scope_unlink,
    .cancel_operation = fl_op_cancel,
    .locals_end = fl_locals_end,
    .stalled = fl_stall_tell,
    .call = call_main,
    .stuck = fl_deadlock_find,
};

/* ---- who am I ---- */

filch_runtime *filch_current(void)
{
    return fl_self()->runtime;
}

const void *filch_self(void)
{
    return fl_current();
}

const char *filch_name(void)
{
    struct fl_task *task = fl_current();
    return task ? fl_task_name(task) : NULL;
}

void filch_set_name(const char *name)
{
    struct fl_task *task = fl_current();
    if (task && !(task->flags & FL_TASK_FRAME))
        task->name = name;
}

unsigned filch_workers(const filch_runtime *runtime)
{
    return runtime->count;
}

int filch_worker_where(const filch_runtime *runtime, unsigned index, filch_worker_info *ret_info)
{
    if (index >= runtime->count)
        return -EINVAL;
    const struct fl_worker *w = runtime->workers[index];
    const struct fl_topology *topology = &runtime->topology;
    int cpu = load_relaxed(&((struct fl_worker *)(uintptr_t)w)->cpu); /* init: published by tid */
    filch_worker_info info = {.index = index,
                              .cpu = cpu >= 0 ? cpu : -1,
                              .core = -1,
                              .node = -1,
                              .tid = load_acquire(&((struct fl_worker *)(uintptr_t)w)->tid)}; /* [tid] */
    if (info.cpu >= 0) {
        info.core = topology->places[index % topology->cores].core;
        info.node = topology->places[index % topology->cores].node;
    }
    *ret_info = info;
    return 0;
}

/* ---- descriptors for those without a worker ---- */

struct fl_task *fl_outside_get(struct filch_runtime *runtime)
{
    fl_lock_take(&runtime->outside_lock);
    struct fl_task *task = fl_pool_get(&runtime->outside);
    fl_lock_give(&runtime->outside_lock);
    return task;
}

void fl_outside_put(struct filch_runtime *runtime, struct fl_task *task)
{
    fl_lock_take(&runtime->outside_lock);
    fl_pool_put(&runtime->outside, task);
    fl_lock_give(&runtime->outside_lock);
}

struct fl_stack *fl_outside_stack(struct filch_runtime *runtime, unsigned cls)
{
    fl_lock_take(&runtime->outside_lock);
    struct fl_stack *stack = fl_stack_get(&runtime->outside_stacks, cls);
    fl_lock_give(&runtime->outside_lock);
    return stack;
}

/* ---- isolated tasks: a kernel thread each ---- */

static void *thread_main(void *arg)
{
    struct fl_worker *w = arg;
    struct filch_runtime *runtime = w->runtime;
    struct fl_task *task = fl_worker_task(w);
    struct filch_scope *scope = task->scope;
    char name[16];
    snprintf(name, sizeof name, "%.10s/task", runtime->name);
    pthread_setname_np(pthread_self(), name); /* else it would be its creator's */
    filch_worker_tls_ = &w->hot;
    int result = task->fn(task->arg);
    if (task->flags & FL_TASK_LOCALS)
        fl_locals_end(task);
    filch_worker_tls_ = &fl_no_worker.hot;
    if (result < 0)
        runtime->hooks->child_failed(scope, result);
    if (task->flags & FL_TASK_LINKED)
        runtime->hooks->unlink(task);
    fl_outside_put(runtime, task);
    free(w);
    struct fl_task *joiner = fl_join_told(scope, 1);
    if (joiner)
        fl_make_ready(joiner);
    add_relaxed(&runtime->visitors, 1);           /* [visit] what keeps the runtime from here on, as `threads` did until here */
    if (sub_acq_rel(&runtime->threads, 1) == 1) { /* [threads] pairs with filch_stop */
        fl_futex_wake(&runtime->threads, INT_MAX);
        if (runtime->on_deadlock)
            fl_ring_wake(&runtime->workers[0]->ring); /* it may have gone to sleep because of this one */
    }
    sub_release(&runtime->visitors, 1); /* [visit] pairs with filch_stop */
    return NULL;
}

int fl_thread_spawn(struct filch_runtime *runtime, struct fl_task *task, size_t stack_size)
{
    struct fl_worker *w = aligned_alloc(_Alignof(struct fl_worker), sizeof *w);
    if (!w)
        return -ENOMEM;
    *w = (struct fl_worker){.hot = fl_no_worker.hot, .runtime = runtime};
    w->hot.kind_ = FL_KIND_THREAD;
    fl_worker_set_task(w, task);
    task->flags = FL_TASK_THREAD;
    size_t size = (size_t)1 << (FL_STACK_MIN_SHIFT + runtime->stack_class);
    pthread_t thread;
    add_relaxed(&runtime->threads, 1); /* [threads] the caller is counted itself, so it is not waited for yet */
    int r = fl_thread_start(&thread, size > stack_size ? size : stack_size, &runtime->cpus, thread_main, w);
    if (r < 0) {
        sub_relaxed(&runtime->threads, 1); /* [threads] as above */
        free(w);
        return r;
    }
    pthread_detach(thread);
    return 0;
}

/* ---- start ---- */

static int check(const filch_config *config)
{
    if (config->workers > FL_WORKERS_MAX || config->model > FILCH_MODEL_11 || config->pin > FILCH_PIN_CORES)
        return -EINVAL;
    if (config->io > FILCH_IO_EPOLL || config->helpers > HELPERS_MAX)
        return -EINVAL;
    if (config->stall_after < 0 || (config->on_stall && config->model == FILCH_MODEL_11))
        return -EINVAL;
    if (config->relief > FL_RELIEFS_MAX && config->relief != FILCH_RELIEF_NONE)
        return -EINVAL;
    if (config->model == FILCH_MODEL_N1 && config->workers > 1)
        return -EINVAL;
    size_t size = config->stack_size;
    if (size && (size & (size - 1) || size < (size_t)1 << FL_STACK_MIN_SHIFT || size > (size_t)1 << FL_STACK_MAX_SHIFT))
        return -EINVAL;
    return 0;
}

static void release(struct filch_runtime *runtime)
{
    fl_helpers_fini(&runtime->helpers); /* the last one may still be in filch_let_go */
    for (unsigned i = 0; runtime->workers && i < runtime->count + runtime->relief_max; i++)
        fl_worker_free(runtime->workers[i]);
    free(runtime->workers);
    fl_forks_fini(runtime);
    fl_pool_fini(&runtime->pool);
    fl_stacks_free(runtime->stacks);
    fl_topology_fini(&runtime->topology);
    if (runtime->alive)
        munmap(runtime->alive, 4096);
    free(runtime);
}

/* The monitor first: it makes reliefs. */
static void end_threads(struct filch_runtime *runtime, unsigned started)
{
    store_release(&runtime->state, FL_ENDING); /* [end] pairs with the search of a worker */
    fl_monitor_stop(runtime);
    for (unsigned i = 0; i < started; i++)
        fl_ring_wake(&runtime->workers[i]->ring);
    fl_relief_stop(runtime);
    for (unsigned i = 0; i < started; i++)
        pthread_join(runtime->workers[i]->thread, NULL);
}

static int start_threads(struct filch_runtime *runtime)
{
    unsigned started = 0;
    int r = 0;
    while (started < runtime->count && r == 0) {
        struct fl_worker *w = runtime->workers[started];
        r = fl_thread_start(&w->thread, THREAD_STACK, NULL, fl_worker_main, w);
        started += r == 0;
    }
    for (unsigned i = 0; i < started; i++)                   /* so that filch_worker_where knows */
        while (load_acquire(&runtime->workers[i]->tid) == 0) /* [tid] pairs with fl_worker_main */
            fl_futex_wait((_Atomic(uint32_t) *)&runtime->workers[i]->tid, 0, INT64_MAX);
    if (r == 0 && runtime->model != FILCH_MODEL_11)
        r = fl_monitor_start(runtime);
    if (r < 0)
        end_threads(runtime, started);
    return r;
}

static int build(struct filch_runtime *runtime, const filch_config *config)
{
    int r = fl_topology_init(&runtime->topology);
    if (r < 0)
        return r;
    runtime->cpus = fl_cpus_allowed();
    runtime->model = config->model;
    runtime->count = config->model == FILCH_MODEL_MN ? config->workers ? config->workers : runtime->topology.workers : 1;
    runtime->pin = config->pin == FILCH_PIN_CORES || (config->pin == FILCH_PIN_AUTO && runtime->topology.pin &&
                                                      runtime->count <= runtime->topology.cores && config->model != FILCH_MODEL_11);
    snprintf(runtime->name, sizeof runtime->name, "%s", config->name ? config->name : "filch");
    runtime->hooks = &hooks;
    runtime->on_deadlock = config->on_deadlock;
    runtime->on_stall = config->on_stall;
    runtime->stall_after = config->stall_after ? config->stall_after : STALL_AFTER;
    int cls = fl_stack_class(config->stack_size ? config->stack_size : 65536);
    if (cls < 0)
        return cls;
    runtime->stack_class = (unsigned)cls;
    fl_pool_init(&runtime->pool);
    runtime->outside.pool = &runtime->pool;
    runtime->alive = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (runtime->alive == MAP_FAILED) {
        runtime->alive = NULL;
        return -ENOMEM;
    }
    madvise(runtime->alive, 4096, MADV_WIPEONFORK); /* an old kernel: a child is not told, as without filch */
    store_relaxed(runtime->alive, 1);               /* init: no thread yet */
    r = fl_stacks_new(&runtime->stacks);
    if (r < 0)
        return r;
    fl_stack_cache_init(&runtime->outside_stacks, runtime->stacks);
    r = fl_backend_choose(&runtime->backend, config->io);
    if (r == 0)
        r = fl_helpers_init(&runtime->helpers, config->helpers ? config->helpers : HELPERS, &runtime->cpus);
    if (r < 0)
        return r;
    if (config->model == FILCH_MODEL_MN && config->relief != FILCH_RELIEF_NONE)
        runtime->relief_max = config->relief ? config->relief : RELIEFS;
    store_relaxed(&runtime->total, runtime->count);       /* init: no thread yet */
    store_relaxed(&runtime->idle.active, runtime->count); /* init: no thread yet */
    runtime->workers = calloc(runtime->count + runtime->relief_max, sizeof *runtime->workers);
    if (!runtime->workers)
        return -ENOMEM;
    for (unsigned i = 0; i < runtime->count; i++) {
        r = fl_worker_new(runtime, i, &runtime->workers[i]);
        if (r < 0)
            return r;
    }
    runtime->root_task = (struct fl_task){.flags = FL_TASK_THREAD, .runtime = runtime};
    runtime->root.owner_ = &runtime->root_task.head;
    fl_scope_root(&runtime->root);
    return start_threads(runtime);
}

/* What a panic shows besides its line. */
static void dump_current(void)
{
    filch_runtime *runtime = filch_current();
    if (runtime)
        filch_dump(runtime, STDERR_FILENO);
}

/* Once a process: a program may start many. */
static void announce(const struct filch_runtime *runtime)
{
    static _Atomic(bool) told;
    if (runtime->backend.remarkable && !exchange_relaxed(&told, true)) /* own: the first one */
        fprintf(stderr, "filch: blocking calls go by %s\n", runtime->backend.why);
}

int filch_start(const filch_config *config, filch_runtime **ret_runtime)
{
    filch_config defaults = {0};
    if (!config)
        config = &defaults;
    int r = check(config);
    if (r < 0)
        return r;
    fl_barrier_init();
    store_relaxed(&fl_panic_hook, dump_current); /* own: always the same */
    struct filch_runtime *runtime = aligned_alloc(_Alignof(struct filch_runtime), sizeof *runtime);
    if (!runtime)
        return -ENOMEM;
    memset(runtime, 0, sizeof *runtime);
    r = build(runtime, config);
    if (r < 0) {
        release(runtime);
        return r;
    }
    announce(runtime);
    if (runtime->on_stall)
        fl_stall_prepare(runtime);
    *ret_runtime = runtime;
    return 0;
}

void filch_hold(filch_runtime *runtime)
{
    add_relaxed(&runtime->held, 1); /* [held] what the thread does it does before filch_let_go */
}

void filch_let_go(filch_runtime *runtime)
{
    add_relaxed(&runtime->visitors, 1);             /* [visit] what keeps the runtime from here on, as `held` did until here */
    uint32_t held = sub_acq_rel(&runtime->held, 1); /* [held] pairs with the search of a worker */
    fl_panic_if(held == 0, "filch_let_go without filch_hold");
    if (held == 1 && runtime->on_deadlock)
        fl_ring_wake(&runtime->workers[0]->ring); /* it may have gone to sleep because of that */
    sub_release(&runtime->visitors, 1);           /* [visit] pairs with filch_stop */
}

filch_io filch_io_backend(const filch_runtime *runtime, const char **ret_why)
{
    if (ret_why)
        *ret_why = runtime->backend.why;
    return runtime->backend.epoll ? FILCH_IO_EPOLL : FILCH_IO_URING;
}

/* ---- submit ---- */

static bool in_child(const filch_runtime *runtime)
{
    return load_relaxed(runtime->alive) == 0; /* hint: wiped by fork(2), never written otherwise */
}

static int submit(filch_runtime *runtime, filch_fn *fn, void *arg)
{
    if (in_child(runtime))
        return -ECHILD;
    add_seq_cst(fl_join_others(&runtime->root), 1); /* [closed] counted before the look, so that filch_stop sees it or is seen */
    struct fl_task *task =
        load_seq_cst(&runtime->state) == FL_RUNNING ? fl_outside_get(runtime) : NULL;      /* [closed] pairs with filch_stop */
    int r = task ? 0 : load_relaxed(&runtime->state) == FL_RUNNING ? -ENOMEM : -ESHUTDOWN; /* hint: only words the error */
    if (task) {
        fl_task_begin(task, runtime, &runtime->root);
        task->fn = fn;
        task->arg = arg;
        task->flags = FL_TASK_NEW;
        task->sp = NULL;
        if (runtime->model == FILCH_MODEL_11) {
            r = fl_thread_spawn(runtime, task, 0);
            if (r < 0)
                fl_outside_put(runtime, task);
        } else {
            fl_push_from_outside(runtime, task);
        }
    }
    if (r < 0) {
        struct fl_task *joiner = fl_join_told(&runtime->root, 1);
        if (joiner)
            fl_make_ready(joiner);
    }
    return r;
}

int filch_submit(filch_runtime *runtime, filch_fn *fn, void *arg)
{
    return submit(runtime, fn, arg);
}

const struct fl_why fl_why_call = {.name = "call"};

struct call {
    filch_fn *fn; /* first: reports look here */
    void *arg;
    int result;
    filch_event ended;
};

static int call_main(void *arg)
{
    struct call *call = arg;
    call->result = call->fn(call->arg);
    filch_event_set(&call->ended); /* the last touch: the caller goes on */
    return 0;
}

int filch_call(filch_runtime *runtime, filch_fn *fn, void *arg)
{
    struct call call = {.fn = fn, .arg = arg};
    int r = submit(runtime, call_main, &call);
    if (r < 0)
        return r;
    fl_event_wait_surely(&call.ended, &fl_why_call); /* the frame is lent to the task: cancelled or not, it must end first */
    return call.result;
}

/* ---- stop ---- */

/* Waits until the root scope is empty. @return false: the deadline passed before. */
static bool drain(filch_runtime *runtime, int64_t deadline)
{
    struct fl_task *task = &runtime->root_task;
    store_relaxed(&task->futex, 0); /* init: nobody knows of the wait yet */
    if (fl_join_wait(&runtime->root))
        goto empty;
    while (load_acquire(&task->futex) == 0) { /* [futex] pairs with fl_make_ready */
        if (fl_futex_wait(&task->futex, 0, deadline))
            continue;
        if (fl_join_take_back(&runtime->root, FL_JOINER_WAITS))
            return false;
        deadline = INT64_MAX; /* the last task is on its way to wake us */
    }
empty:
    fl_join_reset(&runtime->root);
    return true;
}

int filch_stop(filch_runtime *runtime, int64_t deadline)
{
    if (!runtime)
        return 0;
    if (in_child(runtime))
        return -ECHILD;
    if (filch_current() == runtime || fl_helpers_has_me(&runtime->helpers))
        return -EDEADLK;
    store_seq_cst(&runtime->state, FL_CLOSED); /* [closed] pairs with submit */
    bool acts = deadline != FILCH_NEVER;       /* it will cancel what waits: that is no deadlock */
    if (acts)
        filch_hold(runtime);
    bool empty = drain(runtime, deadline);
    if (!empty) {
        fl_scope_cancel(&runtime->root, -ECANCELED);
        empty = drain(runtime, fl_clock() + GRACE);
    }
    if (acts)
        filch_let_go(runtime);
    if (!empty) {
        fprintf(stderr, "filch: %s: tasks still run after filch_stop cancelled them:\n", runtime->name);
        filch_dump(runtime, STDERR_FILENO);
        return -ETIMEDOUT;
    }
    for (unsigned turn = 0; load_acquire(&runtime->held) != 0; turn = fl_lock_pause(turn)) /* [held] pairs with filch_let_go */
        ;
    uint32_t threads;
    while ((threads = load_acquire(&runtime->threads)) != 0) /* [threads] pairs with thread_main */
        fl_futex_wait(&runtime->threads, threads, INT64_MAX);
    end_threads(runtime, runtime->count);
    for (unsigned turn = 0; load_acquire(&runtime->visitors) != 0; turn++) /* [visit] pairs with fl_make_ready */
        fl_lock_pause(turn);
    release(runtime);
    return 0;
}

int filch_run(const filch_config *config, filch_fn *fn, void *arg)
{
    if (fl_current())
        return -EDEADLK;
    filch_runtime *runtime;
    int r = filch_start(config, &runtime);
    if (r < 0)
        return r;
    r = filch_call(runtime, fn, arg);
    filch_stop(runtime, FILCH_NEVER);
    return r;
}
