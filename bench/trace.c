/* SPDX-License-Identifier: MIT */
/* See trace.h. Time between two events is that of the task that ran: since the last spawn, join, begin or end, whoever's it was.
 *
 * Tasks are numbered as they are first named. What a step costs to write down, two readings of the clock and some memory, is not the task's: the clock
 * is read when an event begins and again when it has been written. */
#include "trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

enum kind { WORK, SPAWN, JOIN, RELEASE };

struct step {
    enum kind kind;
    int64_t value; /* ns, or a task */
};

struct task {
    struct step *steps;
    size_t count, room;
    unsigned after;
};

bool bench_tracing;

static struct task *tasks;
static size_t task_count, task_room, current;
static int64_t *waiting; /* the task that is the which-th of those that wait, or 0 */
static size_t waiting_room;
static int64_t since;
static bool failed, rooted;

static void *grown(void *array, size_t *room, size_t wanted, size_t size)
{
    if (wanted < *room)
        return array;
    size_t larger = 2 * wanted + 64;
    char *moved = realloc(array, larger * size);
    if (!moved) {
        failed = true;
        return array;
    }
    memset(moved + *room * size, 0, (larger - *room) * size);
    *room = larger;
    return moved;
}

static size_t new_task(void)
{
    tasks = grown(tasks, &task_room, task_count, sizeof *tasks);
    return failed ? 0 : task_count++;
}

static void step(enum kind kind, int64_t value)
{
    struct task *task = &tasks[current];
    task->steps = grown(task->steps, &task->room, task->count, sizeof *task->steps);
    if (!failed)
        task->steps[task->count++] = (struct step){kind, value};
}

/* What has passed is the current task's. */
static void charge(void)
{
    int64_t now = filch_now();
    if (!failed && now > since)
        step(WORK, now - since);
}

static void go_on(void)
{
    since = filch_now();
}

void bench_trace_root(void)
{
    if (!bench_tracing)
        return;
    for (size_t i = 0; i < task_count; i++)
        free(tasks[i].steps);
    if (task_room)
        memset(tasks, 0, task_room * sizeof *tasks);
    if (waiting_room)
        memset(waiting, 0, waiting_room * sizeof *waiting);
    task_count = 0;
    current = new_task();
    rooted = true;
    go_on();
}

void bench_trace_end(void)
{
    if (bench_tracing)
        charge();
}

/* ---- children ---- */

struct child {
    size_t task;
    filch_fn *fn;
    void *arg;
};

static int run_child(void *arg)
{
    struct child child = *(struct child *)arg;
    size_t before = current;
    charge();
    free(arg);
    current = child.task;
    go_on();
    int r = child.fn(child.arg);
    charge();
    current = before;
    go_on();
    return r;
}

int bench_trace_spawn(filch_scope *scope, filch_fn *fn, void *arg)
{
    charge();
    struct child *child = malloc(sizeof *child);
    if (!child)
        return -ENOMEM;
    *child = (struct child){new_task(), fn, arg};
    step(SPAWN, (int64_t)child->task);
    int r = filch_spawn(scope, run_child, child);
    if (r < 0)
        free(child);
    go_on();
    return r;
}

int bench_trace_join(filch_scope *scope)
{
    size_t self = current;
    charge();
    step(JOIN, 0);
    go_on();
    int r = filch_join(scope);
    current = self; /* what has passed since the last child's end is nobody's */
    go_on();
    return r;
}

/* ---- tasks that wait for others ---- */

static size_t waiting_task(int64_t which)
{
    waiting = grown(waiting, &waiting_room, (size_t)which, sizeof *waiting);
    if (failed)
        return 0;
    if (!waiting[which])
        waiting[which] = (int64_t)new_task();
    return (size_t)waiting[which];
}

void bench_trace_release(int64_t which, unsigned count)
{
    if (!bench_tracing)
        return;
    charge();
    size_t task = waiting_task(which);
    tasks[task].after = count;
    step(RELEASE, (int64_t)task);
    go_on();
}

void bench_trace_become(int64_t which)
{
    if (!bench_tracing)
        return;
    charge();
    current = waiting_task(which);
    go_on();
}

/* ---- the file ---- */

static int write_graph(const char *name, const char *what)
{
    FILE *file = fopen(name, "we");
    if (!file)
        return -errno;
    int64_t work = 0;
    fprintf(file, "# the tasks of filch-bench run %s, on one worker; times in ns. docs/concepts/bench.md explains the lines\n", what);
    for (size_t i = 0; i < task_count; i++) {
        fprintf(file, tasks[i].after ? "task %zu after %u\n" : "task %zu\n", i, tasks[i].after);
        for (size_t n = 0; n < tasks[i].count; n++) {
            static const char *const words[] = {"work", "spawn", "join", "release"};
            const struct step *one = &tasks[i].steps[n];
            work += one->kind == WORK ? one->value : 0;
            if (one->kind == JOIN)
                fprintf(file, "%s\n", words[one->kind]);
            else
                fprintf(file, "%s %lld\n", words[one->kind], (long long)one->value);
        }
    }
    bool bad = ferror(file);
    if (fclose(file) != 0 || bad)
        return -EIO;
    printf("%s: %zu tasks, %.3f ms of work\n", name, task_count, (double)work / 1e6);
    return 0;
}

static const char *const recordable[] = {"sort", "wavefront"};

int bench_record_graph(int argc, char **argv)
{
    const char *file = argc > 1 ? argv[1] : NULL, *workload = argc > 2 ? argv[2] : "";
    bool known = false;
    for (unsigned i = 0; i < BENCH_COUNT(recordable); i++)
        known |= strcmp(recordable[i], workload) == 0;
    if (!known) {
        bench_say("--record takes a file and a workload that says what its tasks are: sort or wavefront, with their keys");
        return 2;
    }
    char **words = calloc((size_t)argc + 5, sizeof(char *)), what[256] = "";
    if (!words)
        return 1;
    words[0] = argv[0];
    for (int i = 2; i < argc; i++) {
        words[i - 1] = argv[i];
        size_t length = strlen(what);
        snprintf(what + length, sizeof what - length, "%s%s", i > 2 ? " " : "", argv[i]);
    }
    char *rest[] = {(char *)(uintptr_t) "--workers", (char *)(uintptr_t) "1", (char *)(uintptr_t) "--runs", (char *)(uintptr_t) "1"};
    memcpy(words + argc - 1, rest, sizeof rest);
    bench_tracing = true;
    int status = bench_run_command(argc + 3, words), r = 0;
    if (status == 0 && !rooted) {
        bench_say("this form of %s does not say what its tasks are: leave --form out", workload);
        status = 2;
    }
    if (status == 0)
        r = failed ? -ENOMEM : write_graph(file, what);
    if (r < 0)
        bench_say("%s: %s", file, strerror(-r));
    for (size_t i = 0; i < task_count; i++)
        free(tasks[i].steps);
    free(tasks);
    free(waiting);
    free(words);
    return r < 0 ? 1 : status;
}
