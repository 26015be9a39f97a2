/* SPDX-License-Identifier: MIT */
/* The dump: a line a worker, a line a parked task, by reading only.
 *
 * Parked tasks are found through the stacks: each says which task parked on it last. Nothing is locked but the list of arenas (which only
 * grows), so a dump works while the runtime is stuck, and may show a task as it was a moment ago; memory of descriptors and stacks
 * outlives every task, so a stale look never faults. A name does not: it is read as memory that may be gone. */
#include "machine/peek.h"
#include "sched/worker.h"

#include <filch/debug.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

struct out {
    int fd;
    int error;
    unsigned parked;
};

static FL_PRINTF(2, 3) void line(struct out *out, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    n = n < (int)sizeof text ? n : (int)sizeof text - 1;
    for (char *at = text; n > 0 && !out->error;) {
        ssize_t r = write(out->fd, at, (size_t)n);
        if (r < 0 && errno != EINTR)
            out->error = -errno;
        else if (r > 0)
            at += r, n -= (int)r;
    }
}

/* Who is parked on a stack, as it stands. */
struct sight {
    const struct fl_task *task;
    const struct fl_why *why;
    const char *name;
};

__attribute__((no_sanitize("address", "thread"))) static struct sight look_at(struct fl_stack *stack)
{
    struct fl_task *task = load_relaxed(fl_atomic(void *, &stack->task)); /* hint: shown */
    bool parked = task && task->stack == stack && task->why;
    return parked ? (struct sight){task, task->why, fl_task_name(task)} : (struct sight){0};
}

static void see(struct fl_stack *stack, void *arg)
{
    struct out *out = arg;
    char name[64];
    struct sight sight = look_at(stack);
    if (!sight.why)
        return;
    fl_peek_string(name, sizeof name, sight.name);
    struct sight again = look_at(stack); /* if it has ended meanwhile, so may have its name */
    if (again.task != sight.task || again.name != sight.name || !again.why)
        return;
    out->parked++;
    line(out, "  task %p  %-16s parked: %-9s stack %p\n", (const void *)sight.task, name[0] ? name : "-", sight.why->name,
         (void *)stack->low);
}

static struct fl_task *running(struct fl_worker *w)
{
    return (struct fl_task *)load_relaxed(fl_atomic(struct filch_task_head_ *, &w->hot.current_)); /* hint: shown */
}

__attribute__((no_sanitize("address", "thread"))) static const char *name_of(const struct fl_task *task)
{
    return task ? fl_task_name(task) : NULL;
}

static void worker(struct out *out, struct fl_worker *w)
{
    char name[64];
    struct fl_task *task = running(w);
    fl_peek_string(name, sizeof name, name_of(task));
    bool asleep = load_relaxed(&w->sleeper.state) != FL_AWAKE; /* hint: shown */
    int cpu = load_relaxed(&w->cpu);                           /* hint: shown */
    int tid = load_relaxed(&w->tid);                           /* hint: shown */
    const char *state = task ? "running" : asleep ? "asleep" : "looking";
    if (fl_is_relief(w) && load_relaxed(&w->resting)) /* hint: shown */
        state = "resting";
    line(out, "  %s %-3u cpu %-3d tid %-7d %-8s deque %-6lld ready %-6llu", fl_is_relief(w) ? "relief" : "worker", w->index, cpu, tid,
         state, (long long)fl_deque_size_hint(&w->hot.deque_), (unsigned long long)fl_ready_size_hint(&w->ready));
    bool named = name[0] && running(w) == task; /* if it has ended meanwhile, so may have its name */
    line(out, task ? " task %p%s%s\n" : "\n", (void *)task, named ? "  " : "", named ? name : "");
}

int filch_dump(const filch_runtime *runtime, int fd)
{
    struct out out = {.fd = fd};
    struct fl_inject *inject = &((filch_runtime *)(uintptr_t)runtime)->inject;
    line(&out, "runtime %s: %u workers, %u injected\n", runtime->name, runtime->count, load_relaxed(&inject->count)); /* hint: shown */
    for (unsigned i = 0; i < fl_total(runtime); i++)
        worker(&out, runtime->workers[i]);
    fl_stacks_each(runtime->stacks, see, &out);
    line(&out, "  %u parked\n", out.parked);
    return out.error;
}
