/* SPDX-License-Identifier: MIT */
/* The report of a stall: which task, in what, for how long.
 *
 * The monitor only says which worker; the look at its thread, at the tables for unwinding and at symbols takes milliseconds, and what the host does with a report may take longer
 * still. So a thread of the pool of helpers does it, one report at a time. The first time the tables have to be read, which takes some 50 ms: that is done when the runtime starts.
 *
 * Nothing is stopped meanwhile. The worker's last look round is read before and after: if it is the same, the task has not come back in between, and all that was
 * read belongs to it. Its name is the program's memory and may be gone by then: it is copied in a way that cannot fault, and forgotten if the task has come back.
 *
 * Where a task was spawned is kept nowhere, because spawning must cost nothing. But who spawned it is known by its scope, cannot end before it, and mostly waits for it: then its stack
 * says where. That is what is told: the task that spawned it, and the place to which that has come.
 *
 * Who blocks on a mutex of pthread's is told who seems to hold it: the thread that has locked it stands in the mutex (glibc), and of the tasks that are parked the one whose stack has
 * the mutex' address in it. That is a guess, and called one. */
#include "debug/stall.h"

#include "machine/backtrace.h"
#include "machine/clock.h"
#include "machine/culprit.h"
#include "machine/peek.h"

#include <filch/debug.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FRAMES 24         /* of a backtrace */
#define NAME 64           /* bytes of a task's name that are shown */
#define SEARCHED 10000    /* parked tasks whose stacks are searched for a mutex */
#define DEEP 16384        /* bytes of each */
#define LOOKS 5           /* at a thread that runs */
#define LOOK_AGAIN 200000 /* ns */
#define TEXT 6144         /* bytes of a report */

struct telling {
    struct fl_job job;
    struct filch_runtime *runtime;
    struct fl_worker *w;
    int64_t looked;
    struct fl_culprit culprit;
    uint64_t mutex; /* that it seems to wait for; 0: none */
    unsigned searched;
    char name[NAME], function[128], parent[512], where[256], holder[160], backtrace[4096], text[TEXT];
    uint64_t stack[DEEP / 8];
};

static FL_PRINTF(3, 4) size_t add(char *text, size_t size, const char *fmt, ...)
{
    va_list ap;
    size_t used = strlen(text);
    va_start(ap, fmt);
    int n = vsnprintf(text + used, size - used, fmt, ap);
    va_end(ap);
    return n > 0 ? (size_t)n : 0;
}

static bool still(const struct telling *t)
{
    return load_acquire(&t->w->looked) == t->looked; /* hint: it looks round before anything else changes */
}

/* ---- the mutex ---- */

__attribute__((no_sanitize("address", "thread"))) static void look_for_mutex(struct fl_stack *stack, void *arg)
{
    struct telling *t = arg;
    struct fl_task *task = load_relaxed(fl_atomic(void *, &stack->task)); /* hint: shown */
    const struct fl_why *why = task ? task->why : NULL;
    if (!why || task->stack != stack || t->holder[0] || t->searched++ >= SEARCHED)
        return;
    uintptr_t sp = (uintptr_t)task->sp, top = stack->top;
    if (sp < stack->low || sp >= top)
        return;
    size_t size = top - sp < DEEP ? top - sp : DEEP;
    char name[NAME];
    if (!fl_peek(t->stack, (void *)sp, size & ~(size_t)7))
        return;
    for (size_t i = 0; i < size / 8; i++)
        if (t->stack[i] == t->mutex) {
            fl_peek_string(name, sizeof name, fl_task_name(task));
            snprintf(t->holder, sizeof t->holder, "task %s%s%p, parked: %s", name[0] ? name : "", name[0] ? " " : "", (void *)task,
                     why->name);
            return;
        }
}

/* glibc's pthread_mutex_t: the word that its waiters sleep on, a count, the thread that holds it. */
static void find_holder(struct telling *t)
{
    int32_t mutex[3];
    const struct fl_culprit *culprit = &t->culprit;
    if (culprit->call != SYS_futex || culprit->args[0] == 0 || !fl_peek(mutex, (void *)(uintptr_t)culprit->args[0], sizeof mutex))
        return;
    if (mutex[0] == 0 || mutex[2] <= 0)
        return;
    unsigned total = fl_total(t->runtime), owner = total;
    for (unsigned i = 0; i < total; i++)
        if (load_relaxed(&t->runtime->workers[i]->tid) == mutex[2]) /* hint: it does not change */
            owner = i;
    if (owner == total)
        return; /* another thread's, or no mutex */
    t->mutex = culprit->args[0];
    fl_stacks_each(t->runtime->stacks, look_for_mutex, t);
    add(t->where, sizeof t->where, ", a mutex locked on worker %u", owner);
    if (t->holder[0])
        add(t->where, sizeof t->where, ", it seems by %s", t->holder);
}

/* ---- the task ---- */

/* What a task was begun with. */
static void say_function(const struct telling *t, const struct fl_task *task, char *text, size_t size)
{
    filch_fn *fn = task->flags & FL_TASK_FRAME ? NULL : task->fn;
    if (!fn || (fn == t->runtime->hooks->call && (task->flags & FL_TASK_LOCALS || !fl_peek(&fn, task->arg, sizeof fn))))
        return;
    fl_backtrace_symbol((const char *)(uintptr_t)fn + 1, text, size); /* as if it had been called there */
    char *offset = strstr(text, "+0x1");
    if (offset)
        memmove(offset, offset + 4, strlen(offset + 4) + 1);
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Where a parked task has called the runtime: what calls a function of the interface, itself on the stack or gone by a jump to another. */
static void say_place(const struct fl_task *task, char *text, size_t size)
{
    struct fl_stack stack;
    void *pcs[FRAMES];
    size_t sure = 0;
    if (!task->stack || !task->sp || !fl_peek(&stack, task->stack, sizeof stack))
        return;
    fl_backtrace_left((uintptr_t)task->sp, stack.low, stack.top, pcs, FRAMES, &sure);
    bool inside = true;
    for (size_t i = 0; i < sure; i++) {
        char symbol[160];
        bool called = fl_backtrace_called(pcs[i], symbol, sizeof symbol) && starts_with(symbol, "filch_");
        fl_backtrace_symbol(pcs[i], symbol, sizeof symbol);
        bool ours = starts_with(symbol, "filch_");
        if (!ours && (called || !inside)) {
            add(text, size, " at %s", symbol);
            return;
        }
        inside &= !ours;
    }
}

/* Who spawned a task of `scope`. The scope, and whose it is, are there as long as the task has not ended. */
static void look_at_parent(struct telling *t, struct filch_scope *scope)
{
    struct filch_task_head_ *head;
    struct fl_task parent;
    char name[NAME], function[128] = "";
    if (!scope || !fl_peek(&head, &scope->owner_, sizeof head) || !head)
        return;
    if (head == &t->runtime->root_task.head) {
        add(t->parent, sizeof t->parent, "filch_submit or filch_call");
        return;
    }
    if (!fl_peek(&parent, fl_container_of(head, struct fl_task, head), sizeof parent))
        return;
    fl_peek_string(name, sizeof name, fl_task_name(&parent));
    say_function(t, &parent, function, sizeof function);
    add(t->parent, sizeof t->parent, "%s%s%s", name[0] ? name : function[0] ? "" : "a task", name[0] && function[0] ? " = " : "", function);
    struct fl_why parked;
    if (parent.flags & FL_TASK_PARKED && parent.why && fl_peek(&parked, parent.why, sizeof parked)) {
        char why[NAME];
        fl_peek_string(why, sizeof why, parked.name);
        add(t->parent, sizeof t->parent, ", parked: %s", why);
        say_place(&parent, t->parent, sizeof t->parent);
    }
}

/* ---- the report ---- */

/* A copy is looked at: it may come back at any time. */
static void look_at_task(struct telling *t)
{
    struct fl_task task;
    struct filch_task_head_ *head =
        load_relaxed(fl_atomic(struct filch_task_head_ *, &t->w->hot.current_)); /* hint: of no use if it has come back */
    if (!head || !fl_peek(&task, fl_container_of(head, struct fl_task, head), sizeof task))
        return;
    fl_peek_string(t->name, sizeof t->name, fl_task_name(&task));
    say_function(t, &task, t->function, sizeof t->function);
    look_at_parent(t, task.scope);
}

__attribute__((no_sanitize("address", "thread"))) static void look_at_stack(struct telling *t, int tid)
{
    void *pcs[FRAMES];
    size_t sure = 0;
    struct fl_stack *stack = t->w->stack;
    uintptr_t low = stack ? stack->low : 0, high = stack ? stack->top : 0;
    size_t n = stack ? fl_backtrace_thread(tid, low, high, pcs, FRAMES, &sure) : 0;
    for (size_t i = 0; i < n; i++) {
        char symbol[160];
        fl_backtrace_symbol(pcs[i], symbol, sizeof symbol);
        add(t->backtrace, sizeof t->backtrace, "    %c %s\n", i < sure ? '#' : '?', symbol);
    }
}

static unsigned reliefs_out(struct filch_runtime *runtime)
{
    unsigned out = 0;
    for (unsigned i = runtime->count; i < fl_total(runtime); i++)
        out += load_relaxed(&runtime->workers[i]->duty) != FL_DUTY_REST; /* hint: shown */
    return out;
}

/* A thread that sleeps may be awake for a moment, to post completions of its ring: one that computes is never seen asleep. */
static int look(struct telling *t, int tid)
{
    int r = fl_culprit_look(tid, &t->culprit);
    for (unsigned i = 1; i < LOOKS && r == 0 && !t->culprit.off_cpu; i++) {
        nanosleep(&(struct timespec){.tv_nsec = LOOK_AGAIN}, NULL);
        r = fl_culprit_look(tid, &t->culprit);
    }
    return r;
}

static void tell(struct telling *t)
{
    struct filch_runtime *runtime = t->runtime;
    int tid = load_relaxed(&t->w->tid); /* hint: set before it ran anything */
    int64_t ns = fl_clock() - t->looked;
    if (!still(t) || look(t, tid) < 0)
        return;
    look_at_task(t);
    fl_culprit_say(&t->culprit, t->where, sizeof t->where);
    find_holder(t);
    look_at_stack(t, tid);
    if (!still(t))
        return;
    uint64_t untold = exchange_relaxed(&runtime->monitor.untold, 0); /* counter */
    filch_stall stall = {
        .worker = t->w->index,
        .tid = tid,
        .task = t->name[0] ? t->name : NULL,
        .function = t->function[0] ? t->function : NULL,
        .ns = ns,
        .off_cpu = t->culprit.off_cpu,
        .where = t->where,
        .parent = t->parent[0] ? t->parent : NULL,
        .backtrace = t->backtrace,
        .reliefs = reliefs_out(runtime),
        .relief_max = runtime->relief_max,
        .unreported = untold ? untold - 1 : 0, /* this one is among them, unless an earlier report has counted it */
        .text = t->text,
    };
    add(t->text, sizeof t->text,
        "filch: task %s%s%s has kept worker %u of %s (thread %d) for %.1f ms: %s; %u of %u reliefs out%s\n%s%s%s%s",
        stall.task       ? stall.task
        : stall.function ? ""
                         : "?",
        stall.task && stall.function ? " = " : "", stall.function ? stall.function : "", stall.worker, runtime->name, stall.tid,
        (double)ns / 1e6, stall.where, stall.reliefs, stall.relief_max,
        stall.relief_max && stall.reliefs >= stall.relief_max ? ", no more may be" : "", stall.backtrace,
        stall.parent ? "    spawned by " : "", stall.parent ? stall.parent : "", stall.parent ? "\n" : "");
    runtime->on_stall(runtime, &stall);
}

static void run(struct fl_job *job)
{
    struct telling *t = fl_container_of(job, struct telling, job);
    struct filch_runtime *runtime = t->runtime;
    tell(t);
    free(t);
    store_release(&runtime->monitor.telling, false); /* own: whoever has set it; the last touch */
}

bool fl_stall_tell(struct filch_runtime *runtime, struct fl_worker *w, int64_t looked)
{
    bool none = false;
    if (!cas_acq_rel(&runtime->monitor.telling, &none, true)) /* own: one at a time */
        return false;
    struct telling *t = calloc(1, sizeof *t);
    if (t) {
        t->job.run = run;
        t->job.lasts = true;
        t->runtime = runtime;
        t->w = w;
        t->looked = looked;
        fl_list_init(&t->job.node);
        if (fl_helpers_submit(&runtime->helpers, &t->job) == 0)
            return true;
    }
    free(t);
    store_release(&runtime->monitor.telling, false); /* own: as above */
    return false;
}

/* An address each of the program, of this library, and of the C library. */
static void read_tables(struct fl_job *job)
{
    const void *const places[] = {(const void *)getauxval(AT_ENTRY), (const void *)(uintptr_t)fl_stall_prepare,
                                  (const void *)(uintptr_t)nanosleep};
    char text[160];
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++)
        fl_backtrace_symbol(places[i], text, sizeof text);
    free(job);
}

void fl_stall_prepare(struct filch_runtime *runtime)
{
    static _Atomic(bool) begun;
    if (exchange_relaxed(&begun, true)) /* own: the first one */
        return;
    struct fl_job *job = calloc(1, sizeof *job);
    if (!job)
        return;
    job->run = read_tables;
    job->lasts = true;
    fl_list_init(&job->node);
    if (fl_helpers_submit(&runtime->helpers, job) < 0)
        free(job); /* then the first report does it */
}

void filch_stall_print(filch_runtime *runtime, const filch_stall *stall)
{
    (void)runtime;
    fputs(stall->text, stderr);
}
