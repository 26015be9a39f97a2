/* SPDX-License-Identifier: MIT */
/* Task graphs as programs on the virtual machine: the workloads of filch-bench with the same names, which spend their time instead of using it.
 *
 * They spawn and join as any program does, by the inline functions of <filch/task.h>; whether a child is run in place, by the loop or by a thief is the
 * scheduler's business. What a task takes on one worker is given: `work`, and `spawn` for being a task. What comes to it by running elsewhere is added here: a
 * child that finds itself on another worker than its parent was on fetches the lines of its argument, and of its scope, and touches both again when it ends.
 *
 * `path` is the length of the longest chain of tasks up to the point: a child begins with its parent's, and a join takes the longest of those it waits for. That of the root at its
 * end is the graph's span: no number of workers is faster.
 *
 * A tree is made as it is walked, as in bench/uts.c, so that of a hundred million nodes only those exist that somebody is at. */
#include "graphs.h"

#include <filch/task.h>

#include <errno.h>
#include <stdlib.h>

#define FEW 8              /* children whose array is in the frame */
#define PROGRESS (1 << 20) /* tasks between calls */

static struct {
    int64_t work, spawn, beside; /* ps a task */
    const struct sim_setup *setup;
    const struct sim_graph *graph;
    uint64_t tasks;
} run;

/* ---- what a task takes ---- */

static void report(void)
{
    if (run.setup->progress)
        run.setup->progress(run.tasks, run.setup->progress_arg);
}

FL_INLINE void spend(int64_t spawn, int64_t work, int64_t beside)
{
    struct sim_cpu *cpu = sim_cpu;
    cpu->now += spawn + beside;
    cpu->spent[SIM_TIME_SPAWN] += spawn;
    cpu->spent[SIM_TIME_BESIDE] += beside;
    sim_spend(work, SIM_TIME_WORK);
}

/* One task, from its begin to its end. @return how long it takes if nothing comes between */
FL_INLINE int64_t work(void)
{
    if (unlikely(++run.tasks % PROGRESS == 0))
        report();
    spend(run.spawn, run.work, run.beside);
    return run.spawn + run.work + run.beside;
}

/* A task was spawned by worker `from`: it may have moved. */
FL_INLINE void fetch(unsigned from)
{
    if (unlikely(from != sim_cpu->index))
        sim_spend(sim_lines(from, 2), SIM_TIME_MOVE);
}

FL_INLINE int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* ---- fork ---- */

struct part {
    int n, fib;
    unsigned from;
    int64_t path;
};

static int fib(void *arg)
{
    struct part *part = arg;
    fetch(part->from);
    if (part->n < 2) {
        part->fib = part->n;
        fetch(part->from);
        return 0;
    }
    int64_t path = part->path + work();
    struct part left = {.n = part->n - 1, .from = sim_cpu->index, .path = path},
                right = {.n = part->n - 2, .from = left.from, .path = path};
    FILCH_SCOPE(s);
    int r = filch_spawn(&s, fib, &left);
    if (r < 0)
        return r;
    right.from = sim_cpu->index; /* a call moves nowhere */
    fib(&right);
    r = filch_join(&s);
    part->fib = left.fib + right.fib;
    part->path = later(left.path, right.path);
    fetch(part->from);
    return r;
}

static int run_fork(struct sim_result *result)
{
    struct part root = {.n = (int)run.graph->n, .from = sim_cpu->index};
    int r = fib(&root);
    result->check[0] = root.fib;
    result->span = (double)root.path;
    return r;
}

/* ---- uts ---- */

/* A node on its way down, and what was found below it, itself included, on the way up. */
struct visit {
    union {
        struct uts_node node;
        struct {
            int64_t nodes, leaves;
            uint32_t depth;
        } below;
    };
    unsigned from;
    int64_t path;
};

static int visit_node(void *arg);

FL_INLINE int visit_children(const struct uts_node *node, int children, struct visit *child, struct visit *sum)
{
    FILCH_SCOPE(s);
    for (int i = 0; i < children; i++) {
        uts_child(node, i, &child[i].node);
        child[i].from = sim_cpu->index;
        child[i].path = sum->path;
        int r = filch_spawn(&s, visit_node, &child[i]);
        if (r < 0)
            return r;
    }
    int r = filch_join(&s);
    for (int i = 0; i < children; i++) {
        sum->below.nodes += child[i].below.nodes;
        sum->below.leaves += child[i].below.leaves;
        sum->below.depth = child[i].below.depth > sum->below.depth ? child[i].below.depth : sum->below.depth;
        sum->path = later(sum->path, child[i].path);
    }
    return r;
}

static FL_NOINLINE int visit_few(const struct uts_node *node, int children, struct visit *sum)
{
    struct visit child[FEW];
    return visit_children(node, children, child, sum);
}

static FL_NOINLINE int visit_many(const struct uts_node *node, int children, struct visit *sum)
{
    struct visit *child = malloc((size_t)children * sizeof *child);
    int r = child ? visit_children(node, children, child, sum) : -ENOMEM;
    free(child);
    return r;
}

static int visit_node(void *arg)
{
    struct visit *visit = arg;
    fetch(visit->from);
    int children = uts_children(&run.graph->tree, &visit->node), r = 0;
    struct visit sum = {.below = {1, children == 0, visit->node.depth}, .from = visit->from, .path = visit->path + work()};
    if (children > 0)
        r = (children <= FEW ? visit_few : visit_many)(&visit->node, children, &sum);
    *visit = sum;
    fetch(sum.from);
    return r;
}

static int run_uts(struct sim_result *result)
{
    struct visit root = {.from = sim_cpu->index};
    uts_root(&run.graph->tree, &root.node);
    int r = visit_node(&root);
    result->check[0] = root.below.nodes;
    result->check[1] = root.below.leaves;
    result->check[2] = root.below.depth;
    result->span = (double)root.path;
    return r;
}

/* ---- wavefront: a tile after the one above and the one to its left ---- */

struct tile {
    uint16_t from, missing, ran;
    int64_t path;
};

struct table {
    int64_t edge;
    struct tile *tiles;
    filch_scope *scope;
};

static struct table table;

static bool last_missing(struct tile *tile, int64_t path)
{
    tile->path = later(tile->path, path);
    return --tile->missing == 0;
}

static int run_tile(void *arg)
{
    struct tile *tile = arg;
    for (int r = 0;;) {
        int64_t index = tile - table.tiles, i = index / table.edge, j = index % table.edge;
        fetch(tile->from);
        int64_t path = tile->path += work();
        tile->ran++;
        struct tile *below = i + 1 < table.edge ? tile + table.edge : NULL, *right = j + 1 < table.edge ? tile + 1 : NULL;
        fetch(tile->from); /* what the others have left in counts and rows */
        if (below && last_missing(below, path)) {
            below->from = (uint16_t)sim_cpu->index;
            r = filch_spawn(table.scope, run_tile, below);
        }
        if (r < 0 || !right || !last_missing(right, path))
            return r;
        right->from = (uint16_t)sim_cpu->index;
        tile = right;
    }
}

static int run_table(void)
{
    FILCH_SCOPE(s);
    table.scope = &s;
    int r = filch_spawn(&s, run_tile, table.tiles);
    return r < 0 ? r : filch_join(&s);
}

static int run_wavefront(struct sim_result *result)
{
    int64_t edge = run.graph->n, count = edge * edge;
    table = (struct table){.edge = edge, .tiles = calloc((size_t)count, sizeof *table.tiles)};
    if (!table.tiles)
        return -ENOMEM;
    for (int64_t i = 0; i < count; i++)
        table.tiles[i] = (struct tile){.from = (uint16_t)sim_cpu->index, .missing = (uint16_t)((i >= edge) + (i % edge > 0))};
    int r = run_table();
    for (int64_t i = 0; i < count; i++)
        result->check[0] += table.tiles[i].ran == 1;
    result->span = (double)table.tiles[count - 1].path;
    free(table.tiles);
    return r;
}

/* ---- flat ---- */

struct flat {
    unsigned from;
    uint8_t ran;
};

static int touch(void *arg)
{
    struct flat *flat = arg;
    if (unlikely(++run.tasks % PROGRESS == 0))
        report();
    if (unlikely(flat->from != sim_cpu->index)) /* those that are taken together lie together, and their scope is told once for all */
        sim_spend((int64_t)(run.setup->costs.of[SIM_COST_STREAM] * (double)sim_lines(flat->from, 1) / 4), SIM_TIME_MOVE);
    spend(0, run.work, run.beside);
    flat->ran++;
    return 0;
}

static int spawn_all(struct flat *flat, int64_t count)
{
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < count; i++) {
        flat[i].from = sim_cpu->index;
        sim_spend(run.spawn, SIM_TIME_SPAWN);
        int r = filch_spawn(&s, touch, &flat[i]);
        if (r < 0)
            return r;
    }
    return filch_join(&s);
}

static int run_flat(struct sim_result *result)
{
    int64_t count = run.graph->n;
    struct flat *flat = calloc((size_t)count, sizeof *flat);
    if (!flat)
        return -ENOMEM;
    int r = spawn_all(flat, count);
    for (int64_t i = 0; i < count; i++)
        result->check[0] += flat[i].ran == 1;
    result->span = (double)(count * run.spawn + run.work + run.beside);
    free(flat);
    return r;
}

/* ---- recorded ---- */

struct running {
    unsigned index, from;
    int64_t path;
    struct running *next; /* children of one join */
};

static filch_scope *outermost; /* of what waits for others than its parent */
static uint32_t *times_run, *missing;
static int64_t *ready_path;

static int run_recorded_task(void *arg);

/* All that waited for this one, and for no other any more. */
static int release(uint32_t index, int64_t path)
{
    if (ready_path[index] < path)
        ready_path[index] = path;
    if (--missing[index] > 0)
        return 0;
    struct running *next = malloc(sizeof *next);
    if (!next)
        return -ENOMEM;
    *next = (struct running){.index = index, .from = sim_cpu->index, .path = ready_path[index]};
    return filch_spawn(outermost, run_recorded_task, next);
}

static int steps_to_join(const struct sim_step **step, const struct sim_step *end, int64_t *path)
{
    struct running *children = NULL;
    int r = 0;
    FILCH_SCOPE(s);
    for (; r == 0 && *step < end && (*step)->kind != SIM_STEP_JOIN; ++*step)
        if ((*step)->kind == SIM_STEP_WORK) {
            int64_t ps = (*step)->work * SIM_PS,
                    beside = run.setup->workers > 1 ? (int64_t)((double)ps * (run.setup->costs.of[SIM_COST_BESIDE] - 1)) : 0;
            spend(0, ps, beside);
            *path += ps + beside;
        } else if ((*step)->kind == SIM_STEP_SPAWN) {
            struct running *child = malloc(sizeof *child);
            if (!child) {
                r = -ENOMEM;
                break;
            }
            sim_spend(run.spawn, SIM_TIME_SPAWN);
            *path += run.spawn;
            *child = (struct running){.index = (*step)->task, .from = sim_cpu->index, .path = *path, .next = children};
            children = child;
            r = filch_spawn(&s, run_recorded_task, child);
        } else {
            r = release((*step)->task, *path);
        }
    int joined = filch_join(&s);
    for (struct running *child = children, *next; child; child = next) {
        *path = later(*path, child->path);
        next = child->next;
        free(child);
    }
    *step += *step < end;
    return r < 0 ? r : joined;
}

static int run_recorded_task(void *arg)
{
    struct running *running = arg;
    const struct sim_recorded *recorded = run.graph->recorded;
    const struct sim_task *task = &recorded->tasks[running->index];
    const struct sim_step *step = &recorded->steps[task->steps], *end = step + task->count;
    int r = 0;
    fetch(running->from);
    times_run[running->index]++;
    if (unlikely(++run.tasks % PROGRESS == 0))
        report();
    while (r == 0 && step < end)
        r = steps_to_join(&step, end, &running->path);
    fetch(running->from);
    if (task->after > 0) { /* nobody's child: its path is the graph's, and nobody else has its memory */
        ready_path[running->index] = running->path;
        free(running);
    }
    return r;
}

static int run_root(struct running *root)
{
    FILCH_SCOPE(s);
    outermost = &s;
    int r = filch_spawn(&s, run_recorded_task, root);
    return r < 0 ? r : filch_join(&s);
}

static int run_recorded(struct sim_result *result)
{
    const struct sim_recorded *recorded = run.graph->recorded;
    struct running root = {.from = sim_cpu->index};
    times_run = calloc(recorded->count, sizeof *times_run);
    missing = calloc(recorded->count, sizeof *missing);
    ready_path = calloc(recorded->count, sizeof *ready_path);
    int r = times_run && missing && ready_path ? 0 : -ENOMEM;
    for (uint32_t i = 0; r == 0 && i < recorded->count; i++)
        missing[i] = recorded->tasks[i].after;
    if (r == 0)
        r = run_root(&root);
    int64_t span = root.path;
    for (uint32_t i = 0; r == 0 && i < recorded->count; i++) {
        result->check[0] += times_run[i] == 1;
        span = later(span, ready_path[i]);
    }
    result->span = (double)span;
    free(times_run);
    free(missing);
    free(ready_path);
    return r;
}

int sim_graph_run(const struct sim_graph *graph, const struct sim_setup *setup, struct sim_result *result)
{
    static int (*const programs[])(struct sim_result * result) = {
        [SIM_FORK] = run_fork, [SIM_UTS] = run_uts, [SIM_WAVEFRONT] = run_wavefront, [SIM_FLAT] = run_flat, [SIM_RECORDED] = run_recorded,
    };
    double beside = setup->workers > 1 ? graph->work * (setup->costs.of[SIM_COST_BESIDE] - 1) : 0;
    run.work = (int64_t)(graph->work * SIM_PS + 0.5);
    run.spawn = (int64_t)(graph->spawn * SIM_PS + 0.5);
    run.beside = (int64_t)(beside * SIM_PS + 0.5);
    run.setup = setup;
    run.graph = graph;
    run.tasks = 0;
    int r = programs[graph->kind](result);
    result->tasks = run.tasks;
    result->span /= SIM_PS;
    return r;
}
