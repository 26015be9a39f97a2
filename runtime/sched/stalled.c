/* SPDX-License-Identifier: MIT */
/* Who is stalled, and how.
 *
 * A worker is stalled when its task has not called the runtime for FL_STALLED: it computes, or it is in a system call, or in a page fault. Each worker writes down when it
 * looks round. When that is long ago, its next look is made due, and what it has done is seen FL_RECHECK or more later: who has not answered by then has not dispatched since.
 * Nothing is asked of a worker that runs short tasks, and no signal is sent to one that runs a long one.
 *
 * A stall hurts if it keeps something waiting that comes by itself, or if it leaves a CPU without work. Where all compute, and nothing is expected, it does
 * neither, and the monitor need not look often: a look costs a busy CPU 20 to 60 us on a virtual machine.
 *
 * A worker that tells the kernel of operations keeps its tasks waiting, too, while the kernel carries out those that need not wait: dozens of messages, of 10 us each. No
 * task of it is to blame, and a relief on the same CPU would only be in its way. So it is given longer.
 *
 * One that has neither computed nor slept in the meantime is not stalled: other programs have its CPU. A task that announces a blocking call is believed. */
#include "sched/stalled.h"

#include "machine/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FAST_FIRST 50000000  /* ns after a stall that hurts in which the monitor looks often, ... */
#define FAST 1000000000      /* ... and after one that ... */
#define LASTS 2000000        /* ... is still there so long after it was found, ns */
#define ENDING 2000          /* ns that the kernel takes for the end of an operation, ... */
#define ENDING_MOST 500000   /* ... of many that end at once */
#define SOON 10000000        /* ns */
#define OVERDUE 50000        /* ns: a live worker fires its timers sooner */
#define STATE_EVERY 3000000  /* ns between looks at whether a stalled carrier is on its CPU */
#define TELL_EVERY 100000000 /* ns between reports */

/* Whether the thread sleeps in the kernel. @return 1, 0, or negative: it cannot be seen, since the program has no descriptor left for one */
static int is_off_cpu(int tid)
{
    char path[48], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *at = strrchr(text, ')');
    return at && at[1] == ' ' && (at[2] == 'S' || at[2] == 'D' || at[2] == 'T' || at[2] == 't');
}

/* CPU time that a worker's carrier has used, ns. */
static int64_t clock_of(struct fl_worker *w)
{
    struct timespec ts;
    clockid_t clock;
    if (pthread_getcpuclockid(w->thread, &clock) != 0 || clock_gettime(clock, &ts) < 0)
        return 0;
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* How long it has to answer. The kernel ends operations in whatever system call their submitter makes next, copying what they have received, and what it is told of it
 * begins at once: no task is to blame for what many of them take. Epoll only tells. */
static int64_t time_to_answer(struct fl_worker *w)
{
    bool ending = !fl_ring_polls(&w->ring) && (fl_ring_ready(&w->ring) || fl_ring_wants_kick(&w->ring));
    int64_t ends = ending ? ENDING * (int64_t)fl_ring_inflight(&w->ring) : 0;
    return FL_RECHECK + (load_relaxed(&w->tells) ? FL_TELLING : ends < ENDING_MOST ? ends : ENDING_MOST); /* hint: it is looked at again */
}

static void ask(struct fl_worker *w, struct fl_record *record, int64_t looked, int64_t now)
{
    record->asked = looked;
    record->asked_at = now;
    record->asked_cpu = clock_of(w);
}

/* Whether its carrier is off the CPU. Where that cannot be seen, its clock tells: one that waits for a CPU is taken for asleep then, and at worst there is a relief too many. */
static bool is_off(struct fl_worker *w, struct fl_record *record, int64_t now)
{
    int off = is_off_cpu(load_relaxed(&w->tid)); /* hint: set before it ran anything */
    if (off >= 0)
        return off;
    int64_t cpu = clock_of(w);
    off = cpu - record->asked_cpu < (now - record->asked_at) / 2;
    if (record->stalled) { /* from here to the next look */
        record->asked_cpu = cpu;
        record->asked_at = now;
    }
    return off;
}

/* What others could do for a stalled worker, or have done for it. */
static bool has_ready(struct fl_worker *w, int64_t now)
{
    return fl_ready_size_hint(&w->ready) != 0 || fl_wheel_due(&w->wheel, now - OVERDUE) ||
           (fl_ring_polls(&w->ring) ? fl_ring_promising(&w->ring) : fl_ring_ready(&w->ring) || fl_ring_wants_kick(&w->ring));
}

static void recheck(struct fl_view *view, int64_t time)
{
    view->recheck = view->recheck && view->recheck < time ? view->recheck : time; /* who has longer is looked at again then */
}

static bool judge(struct fl_worker *w, struct fl_record *record, struct fl_view *view)
{
    bool busy = fl_is_busy(w);
    int64_t looked = load_relaxed(&w->looked); /* hint: looked at again */
    if (load_relaxed(&w->blocked)) {           /* hint: looked at again */
        store_relaxed(&w->noticed, looked);    /* hint: for those who would tell */
        record->off = true;
        record->state_at = 0;
        return true;
    }
    if (!busy || view->now - looked < fl_patience(w)) {
        record->asked = 0;
        return false;
    }
    if (record->asked != looked || !fl_worker_is_asked(w)) {
        fl_worker_ask(w);
        ask(w, record, looked, view->now);
        recheck(view, time_to_answer(w));
        if (view->now >= w->runtime->monitor.fast_until)
            view->urgent |= has_ready(w, view->now) || is_off_cpu(load_relaxed(&w->tid)) > 0; /* hint: set before it ran anything */
        return false;
    }
    int64_t time = record->stalled ? 0 : time_to_answer(w);
    if (view->now - record->asked_at < time / 2) {
        recheck(view, time / 2);
        return false;
    }
    if (!record->stalled || view->now - record->state_at > STATE_EVERY) {
        record->off = is_off(w, record, view->now);
        record->state_at = view->now;
    }
    store_relaxed(&w->noticed, looked); /* hint: for those who would tell */
    if (!record->stalled && !record->off && clock_of(w) - record->asked_cpu < time / 2) {
        record->asked_at = view->now; /* neither asleep nor computing: other programs have its CPU */
        return false;
    }
    if (load_relaxed(&w->looked) != looked) { /* hint: it has answered, and the monitor was slow */
        record->asked = 0;
        return false;
    }
    if (!record->off)
        store_relaxed(&w->stall_of, looked); /* hint: for its own look round */
    return true;
}

/* Has the host told, if the stall has lasted long enough and none was reported just now. */
static void tell(struct filch_runtime *runtime, struct fl_worker *w, struct fl_record *record, int64_t now)
{
    struct fl_monitor *monitor = &runtime->monitor;
    int64_t looked = load_relaxed(&w->looked); /* hint: checked again by who reports it */
    if (now - looked < runtime->stall_after || now - monitor->told_at < TELL_EVERY || !runtime->hooks->stalled(runtime, w, looked))
        return;
    record->told = true;
    monitor->told_at = now;
}

static bool expects_soon(struct filch_runtime *runtime, int64_t now)
{
    for (unsigned i = 0; i < fl_total(runtime); i++) {
        struct fl_worker *w = runtime->workers[i];
        if (fl_ring_inflight(&w->ring) || load_relaxed(&w->wheel.next) - SOON < now) /* hint: it looks again */
            return true;
    }
    return false;
}

bool fl_anything_soon(struct filch_runtime *runtime, int64_t now)
{
    return load_relaxed(&runtime->inject.count) != 0 || expects_soon(runtime, now); /* hint: as above */
}

void fl_stalled_see(struct filch_runtime *runtime, struct fl_view *view)
{
    struct fl_monitor *monitor = &runtime->monitor;
    bool soon = runtime->on_stall || expects_soon(runtime, fl_clock());
    int64_t fast = 0;
    *view = (struct fl_view){.now = fl_clock(), .total = fl_total(runtime)};
    for (unsigned i = 0; i < view->total; i++) {
        struct fl_worker *w = runtime->workers[i];
        struct fl_record *record = &monitor->records[i];
        view->unstarted |= fl_deque_size_hint(&w->hot.deque_) != 0;
        view->expected |= load_relaxed(&w->wheel.count) != 0 || fl_ring_inflight(&w->ring); /* hint: looked at again */
        if (fl_is_relief(w) && fl_is_at_rest(w)) {
            record->stalled = false;
            record->asked = 0;
            continue;
        }
        view->out += fl_is_relief(w);
        bool was_off = record->stalled && record->off, stalled = judge(w, record, view);
        bool begun = stalled && !record->stalled, begun_off = stalled && record->off && !was_off;
        if (begun) {
            add_relaxed(&monitor->stalls, 1); /* counter */
            add_relaxed(&monitor->untold, 1); /* counter */
            record->told = false;
        }
        if (begun || begun_off) {
            record->lasts = false;
            record->since = view->now;
        }
        if (stalled && (record->off || soon)) {
            bool lasts = !record->lasts && view->now - record->since >= LASTS;
            record->lasts |= lasts;
            fast = lasts ? FAST : (begun || begun_off) && fast < FAST_FIRST ? FAST_FIRST : fast;
        }
        record->stalled = stalled;
        if (stalled && runtime->on_stall && !record->told)
            tell(runtime, w, record, view->now);
        if (stalled) {
            *(record->off ? &view->away : &view->computing) += 1;
            view->hogged += !record->off && fl_is_relief(w);
            view->ready |= has_ready(w, view->now);
        } else {
            *(fl_full_duty(w) ? &view->running : &view->light) += 1;
        }
    }
    uint64_t word = load_seq_cst(&runtime->idle.word); /* [watch] pairs with fl_monitor_stir */
    view->watched = fl_monitor_needless(word, fl_enough_idle(runtime));
    view->idle = fl_idle_anybody(word);
    view->ready_outside = load_relaxed(&runtime->inject.count) != 0; /* hint: looked at again */
    view->unstarted |= load_relaxed(&runtime->heavy.count) != 0;     /* hint: looked at again */
    if (view->now + fast > monitor->fast_until)
        monitor->fast_until = view->now + fast;
    view->urgent |= soon || view->ready || view->ready_outside || view->now < monitor->fast_until;
}
