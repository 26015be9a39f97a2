/* SPDX-License-Identifier: MIT */
/* The deadlock report: a wait-for graph of the parked tasks, and a cycle in it if there is one.
 *
 * An arrow leads from a task to each one that must act before it can go on: the holder of the lock it waits for, the children it joins.
 * A task that runs its child in place is not parked itself: it lies below the child on the child's stack, and joins it.
 * Whoever waits for an object that anybody may change (a channel, an event, a semaphore, a condition), or for an in-frame fork, has no arrow. If a task waits for a lock that is held by
 * somebody who is not a task of this runtime, that one may give it back, and there is no deadlock; a task that has ended won't. (If that was a thread that reads, and tasks read beside it, its end wakes nobody, and nobody
 * looks again until something has run.)
 *
 * No task moves while this runs: every worker but the caller's is kept asleep (sched/search.c). So stacks, and what lies in them, can be read as they stand. But a thread
 * from outside may wake a task, whose descriptor goes into a queue then. So what a task waits for is copied; once nothing has been woken after that, the copies are
 * true. The objects lie still, too: until its call returns, whoever waited for one has it kept. What is in them may change, and each is asked once. */
#include "debug/deadlock.h"

#include "base/panic.h"
#include "sched/worker.h"
#include "sync/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 20 /* tasks of a report that are in no cycle */

struct node {
    struct fl_task *task;
    const struct fl_why *why;
    const void *object; /* that it waits for */
    const void *holder; /* who must act: a task, a thread, FL_SOMEBODY; NULL: not known */
    size_t from;        /* how it was come to */
    size_t child;       /* where the search for its next arrow goes on */
    enum { NEW, OPEN, DONE } state;
};

struct name {
    const void *task;
    size_t node;
};

struct graph {
    struct filch_runtime *runtime;
    struct node *nodes; /* by scope, so that the children of one lie together */
    struct name *names; /* by task */
    size_t count, room;
    bool no_memory;
};

/* ---- who is there ---- */

__attribute__((no_sanitize("thread"))) static void add(struct graph *graph, struct fl_task *task)
{
    if (graph->count == graph->room && !graph->no_memory) {
        size_t room = graph->room ? 2 * graph->room : 64;
        struct node *nodes = realloc(graph->nodes, room * sizeof *nodes);
        graph->no_memory = !nodes;
        graph->nodes = nodes ? nodes : graph->nodes;
        graph->room = nodes ? room : graph->room;
    }
    if (!graph->no_memory)
        graph->nodes[graph->count++] = (struct node){.task = task,
                                                     .why = task->why ? task->why : &fl_why_join,
                                                     .object = task->why ? task->on : task->head.inner_,
                                                     .from = SIZE_MAX};
}

__attribute__((no_sanitize("thread"))) static void see(struct fl_stack *stack, void *arg)
{
    struct graph *graph = arg;
    struct fl_task *task = load_relaxed(fl_atomic(void *, &stack->task)); /* own: a parked task's stack */
    if (!task || task->stack != stack || !task->why)
        return;
    add(graph, task);
    while ((task = fl_container_of(task->scope->owner_, struct fl_task, head)) != &graph->runtime->root_task && !task->why)
        add(graph, task); /* it runs a child in place, this one or another */
}

static int by_scope(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct node *)a)->task->scope, y = (uintptr_t)((const struct node *)b)->task->scope;
    uintptr_t s = (uintptr_t)((const struct node *)a)->task, t = (uintptr_t)((const struct node *)b)->task;
    return x != y ? (x > y) - (x < y) : (s > t) - (s < t);
}

/* The first node that is a child of `scope`, or where it would be. */
static size_t first_child(const struct graph *graph, const void *scope)
{
    size_t low = 0, high = graph->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((uintptr_t)graph->nodes[middle].task->scope < (uintptr_t)scope)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int by_task(const void *a, const void *b)
{
    uintptr_t s = (uintptr_t)((const struct name *)a)->task, t = (uintptr_t)((const struct name *)b)->task;
    return (s > t) - (s < t);
}

static size_t find(const struct graph *graph, const void *task)
{
    struct name key = {.task = task}, *found = bsearch(&key, graph->names, graph->count, sizeof *graph->names, by_task);
    return found ? found->node : SIZE_MAX;
}

/* Asks each object once. @return whether somebody else than a task of the runtime may act: a holder, or who is called */
static bool ask_holders(struct graph *graph)
{
    bool outside = false;
    for (size_t i = 0; i < graph->count; i++) {
        struct node *node = &graph->nodes[i];
        node->holder = node->why->holder ? node->why->holder(node->object) : NULL;
        bool given = node->holder == node->task; /* and will be woken */
        bool known = !node->holder || find(graph, node->holder) != SIZE_MAX || fl_pool_has(&graph->runtime->pool, node->holder);
        outside = outside || given || !known || node->why == &fl_why_call;
    }
    return outside;
}

/* ---- the cycle ---- */

/* The next arrow of node `at`; SIZE_MAX: none is left. */
static size_t next_arrow(struct graph *graph, size_t at)
{
    struct node *node = &graph->nodes[at];
    if (node->why == &fl_why_join) {
        size_t child = node->child == 0 ? first_child(graph, node->object) : node->child - 1;
        node->child = child + 2;
        return child < graph->count && graph->nodes[child].task->scope == node->object ? child : SIZE_MAX;
    }
    if (node->child++ > 0)
        return SIZE_MAX;
    return node->holder ? find(graph, node->holder) : SIZE_MAX;
}

/* Depth first, without recursion. @return a node whose `from` leads round a cycle back to it, or SIZE_MAX */
static size_t find_cycle(struct graph *graph)
{
    for (size_t start = 0; start < graph->count; start++) {
        size_t at = start;
        if (graph->nodes[at].state != NEW)
            continue;
        graph->nodes[at].state = OPEN;
        while (at != SIZE_MAX) {
            size_t to = next_arrow(graph, at);
            if (to == SIZE_MAX) {
                graph->nodes[at].state = DONE;
                at = graph->nodes[at].from;
            } else if (graph->nodes[to].state == OPEN) {
                graph->nodes[to].from = at;
                return to;
            } else if (graph->nodes[to].state == NEW) {
                graph->nodes[to].state = OPEN;
                graph->nodes[to].from = at;
                at = to;
            }
        }
    }
    return SIZE_MAX;
}

/* ---- the text ---- */

static void tell(FILE *out, const struct graph *graph, const struct node *node)
{
    const char *name = fl_task_name(node->task);
    fprintf(out, "  task %p (%s) waits: %s", (const void *)node->task, name ? name : "no name", node->why->name);
    if (node->object)
        fprintf(out, " %p", node->object);
    if (node->holder)
        fprintf(out, find(graph, node->holder) == SIZE_MAX ? ", held by %p, a task that has ended" : ", held by %p", node->holder);
    fputc('\n', out);
}

/* `from` leads backwards: turned round, each line waits for the next. */
static void tell_cycle(FILE *out, struct graph *graph, size_t last)
{
    size_t length = 0, *path;
    for (size_t at = graph->nodes[last].from;; at = graph->nodes[at].from) {
        length++;
        if (at == last)
            break;
    }
    path = malloc(length * sizeof *path);
    if (!path)
        return;
    size_t at = last;
    for (size_t i = length; i-- > 0; at = graph->nodes[at].from)
        path[(i + 1) % length] = at;
    fprintf(out, "a cycle of %zu, each waits for the next and the last for the first:\n", length);
    for (size_t i = 0; i < length; i++)
        tell(out, graph, &graph->nodes[path[i]]);
    for (size_t i = 0; i < length; i++)
        graph->nodes[path[i]].task = NULL;
    free(path);
}

static char *describe(struct graph *graph)
{
    char *text = NULL;
    size_t size, shown = 0, others = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fprintf(out, "filch: deadlock in runtime %s: %zu tasks are parked, and nothing is left that could wake one\n", graph->runtime->name,
            graph->count);
    size_t last = find_cycle(graph);
    if (last != SIZE_MAX)
        tell_cycle(out, graph, last);
    for (size_t i = 0; i < graph->count; i++)
        others += graph->nodes[i].task != NULL;
    if (others)
        fprintf(out,
                last != SIZE_MAX ? "besides:\n" : "nobody holds what another waits for; they wait for what only one of them could do:\n");
    for (size_t i = 0; i < graph->count && shown < SHOWN; i++)
        if (graph->nodes[i].task) {
            tell(out, graph, &graph->nodes[i]);
            shown++;
        }
    if (others > shown)
        fprintf(out, "  and %zu more (filch_dump has all)\n", others - shown);
    return fclose(out) == 0 ? text : NULL;
}

static bool put_in_order(struct graph *graph)
{
    graph->names = malloc(graph->count * sizeof *graph->names);
    if (!graph->names)
        return false;
    qsort(graph->nodes, graph->count, sizeof *graph->nodes, by_scope);
    size_t kept = 0;
    for (size_t i = 0; i < graph->count; i++) /* several children may have named the same parent */
        if (i == 0 || graph->nodes[i].task != graph->nodes[kept - 1].task)
            graph->nodes[kept++] = graph->nodes[i];
    graph->count = kept;
    for (size_t i = 0; i < graph->count; i++)
        graph->names[i] = (struct name){graph->nodes[i].task, i};
    qsort(graph->names, graph->count, sizeof *graph->names, by_task);
    return true;
}

size_t fl_deadlock_find(struct filch_runtime *runtime, bool (*still)(struct filch_runtime *runtime), char **ret_text)
{
    struct graph graph = {.runtime = runtime};
    fl_stacks_each(runtime->stacks, see, &graph);
    bool seen = graph.count > 0 && !graph.no_memory && still(runtime);
    bool found = seen && put_in_order(&graph) && !ask_holders(&graph);
    *ret_text = found ? describe(&graph) : NULL;
    free(graph.names);
    free(graph.nodes);
    return found ? graph.count : 0;
}

void filch_deadlock_print(filch_runtime *runtime, const char *report)
{
    (void)runtime;
    fputs(report, stderr);
}

void filch_deadlock_panic(filch_runtime *runtime, const char *report)
{
    filch_deadlock_print(runtime, report);
    abort();
}
