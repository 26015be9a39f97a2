/* SPDX-License-Identifier: MIT */
/* The monitor: a thread that sees which workers are stalled, and who is to stand in for them (relief.c).
 *
 * A worker is stalled when its task has not called the runtime for STALLED: it computes, or it is in a system call, or in a page fault. That hurts nobody while another worker is
 * idle: that one keeps the watch (idle.h), and the monitor sleeps. Each worker writes down when it looks round. When that is long ago, the monitor makes the next look due
 * and comes back after RECHECK: who has not answered by then has not dispatched since. Nothing is asked of a worker that runs short tasks, and no signal is
 * sent to one that runs a long one.
 *
 * When does it look? A wake-up by the clock costs 3 us on bare metal and 20 on a virtual machine, so it cannot look a thousand times a second for nothing.
 *   - Workers that are busy notice each other: now and then a look round reads when another one has looked last, and wakes the monitor. This costs nothing and takes 0.3 ms.
 *   - A worker that was the last to be idle, and is no more, stirs it; it looks again after FIRST.
 *   - Else, which matters when the last live worker stalls, it looks as often as costs it half a percent of a CPU (slow_tick).
 *   - For FAST after a stall has begun it looks every TICK: where one task stalls, others will.
 *
 * What is done about it depends on where the stalled carriers are:
 *   off the CPU   (asleep in the kernel, or announced) its CPU is free: a relief of full duty, as soon as anything is expected that it could do. As many as there are
 *                 CPUs without anybody to run on them, one a turn.
 *   on the CPU    more threads would not get more done. If something was woken, or came from outside, and nobody is free to serve it: one relief of light duty.
 *                 Work that has not begun waits, but not for ever: after CROWDED, and twice as long for each relief that computes already, one more may begin it.
 *                 Of a thousand tasks that compute, only some ten a minute come to have a thread of their own, and what sleeps, waits and is woken goes on all the time.
 * The last relief that there may be stays at light duty: a hundred who stall as soon as they begin cannot take all. One that was woken and stalls then can be taken for nothing else
 * before, and can take that one too.
 * Where more run than there are CPUs, the reliefs go back to light duty and, when nobody has been stalled for LINGER, to rest.
 *
 * Invariants
 *   1. While the monitor sleeps, a worker is idle, or the last one that was is about to stir it. If the host wants to know of stalls, all who take part are idle, or who is
 *      not is about to stir it.
 *   2. Only the monitor makes reliefs and takes duties away; a task that announces a blocking call may call one.
 *   3. Its decisions are hints: whatever it decides, nothing is lost and nothing runs twice.
 *
 * Memory ordering
 *   [watch]  the monitor sets `asleep`, then reads the idle word, and who takes part; a worker leaves the idle word, a relief begins to take part, then reads `asleep`; all
 *            seq_cst: one sees the other. */
#include "sched/monitor.h"

#include "machine/clock.h"
#include "machine/futex.h"
#include "sched/relief.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define STALLED 200000 /* ns */
#define TICK 700000    /* ns between looks for FAST after the last stall has begun; else as often as SHARE allows, and at least every ... */
#define TICK_MAX 4000000     /* ns */
#define FAST 1000000000      /* ns */
#define SHARE 200            /* one part in so many of a CPU is what looking may cost while nothing stalls */
#define FIRST 250000         /* ns: after it was stirred, when a worker has just begun */
#define RECHECK 150000       /* ns */
#define OVERDUE 50000        /* ns: a live worker fires its timers sooner */
#define STATE_EVERY 3000000  /* ns between looks at whether a stalled carrier is on its CPU */
#define CROWDED 10000000     /* ns */
#define LINGER 20000000      /* ns */
#define LIGHT_EVERY 1000000  /* ns */
#define SPARE_AFTER 5000000  /* ns of being awake after which there is a relief in store */
#define TELL_EVERY 100000000 /* ns between reports */
#define CALM 10
#define MAKE_AGAIN 20000000 /* ns after which one more is tried for which there was no memory, descriptor or thread */
#define STACK (256 * 1024)

/** What it knows of one worker. */
struct fl_record {
    int64_t asked;     /**< when its worker had last looked round when the monitor made its look due, ns; 0: it has not */
    int64_t asked_at;  /**< when that was */
    int64_t asked_cpu; /**< CPU time that its carrier had used by then, ns */
    int64_t state_at;  /**< when `off` was found out */
    bool told;         /**< the host was */
    bool stalled;
    bool off; /**< its carrier is not on the CPU: it sleeps in the kernel */
};

/** What it sees in one turn. */
struct view {
    int64_t now;
    unsigned total;
    unsigned running, computing,
        away;                  /**< workers of full duty, and light ones that compute: not stalled; stalled on the CPU; stalled off it */
    unsigned light;            /**< reliefs of light duty that are not stalled */
    unsigned hogged;           /**< reliefs among `computing` */
    unsigned out;              /**< reliefs that do not rest */
    bool idle;                 /**< somebody of full duty is */
    bool watched;              /**< so it need not be watched */
    bool recheck;              /**< somebody has been asked */
    bool ready, ready_outside; /**< what was woken waits with stalled workers; with nobody */
    bool unstarted, expected;  /**< what has not begun waits; timers or operations are there */
};

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

static bool is_at_rest(struct fl_worker *w)
{
    return load_acquire(&w->resting) && load_relaxed(&w->duty) == FL_DUTY_REST; /* [duty] as for a call; hint */
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

static bool judge(struct fl_worker *w, struct fl_record *record, struct view *view)
{
    bool busy = fl_is_busy(w);
    int64_t looked = load_relaxed(&w->looked); /* hint: looked at again */
    if (load_relaxed(&w->blocked)) {           /* hint: looked at again */
        store_relaxed(&w->noticed, looked);    /* hint: for those who would tell */
        record->off = true;
        record->state_at = 0;
        return true;
    }
    if (!busy || view->now - looked < STALLED) {
        record->asked = 0;
        return false;
    }
    _Atomic(int32_t) *budget = fl_atomic(int32_t, &w->hot.budget_);
    if (record->asked != looked || load_relaxed(budget) > 0) { /* hint: who dispatches writes it, and perhaps over what was asked */
        store_relaxed(budget, 0);                              /* hint: makes it look round; said again until it answers */
        ask(w, record, looked, view->now);
        view->recheck = true;
        return false;
    }
    if (!record->stalled && view->now - record->asked_at < RECHECK / 2) {
        view->recheck = true;
        return false;
    }
    if (!record->stalled || view->now - record->state_at > STATE_EVERY) {
        record->off = is_off(w, record, view->now);
        record->state_at = view->now;
    }
    store_relaxed(&w->noticed, looked); /* hint: for those who would tell */
    if (!record->stalled && !record->off && clock_of(w) - record->asked_cpu < RECHECK / 2) {
        ask(w, record, looked, view->now); /* neither asleep nor computing: other programs have its CPU */
        return false;
    }
    if (!record->off)
        store_relaxed(&w->stall_of, looked); /* hint: for its own look round */
    return true;
}

/* What others could do for a stalled worker, or have done for it. */
static bool has_ready(struct fl_worker *w, int64_t now)
{
    return fl_ready_size_hint(&w->ready) != 0 || fl_wheel_due(&w->wheel, now - OVERDUE) ||
           (fl_ring_polls(&w->ring) ? fl_ring_promising(&w->ring) : fl_ring_ready(&w->ring) || fl_ring_wants_kick(&w->ring));
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

/* How many must be idle so that nothing need be watched: for a host that wants to know of stalls all who take part, also a relief that runs a task which is pinned there. */
static unsigned enough(struct filch_runtime *runtime)
{
    return runtime->on_stall ? load_seq_cst(&runtime->idle.active) : 1; /* [watch] pairs with fl_idle_take_part */
}

static void see(struct filch_runtime *runtime, struct view *view)
{
    struct fl_monitor *monitor = &runtime->monitor;
    *view = (struct view){.now = fl_clock(), .total = fl_total(runtime)};
    for (unsigned i = 0; i < view->total; i++) {
        struct fl_worker *w = runtime->workers[i];
        struct fl_record *record = &monitor->records[i];
        view->unstarted |= fl_deque_size_hint(&w->hot.deque_) != 0;
        view->expected |= load_relaxed(&w->wheel.count) != 0 || fl_ring_inflight(&w->ring); /* hint: looked at again */
        if (fl_is_relief(w) && is_at_rest(w)) {
            record->stalled = false;
            record->asked = 0;
            continue;
        }
        view->out += fl_is_relief(w);
        bool stalled = judge(w, record, view);
        if (stalled && !record->stalled) {
            add_relaxed(&monitor->stalls, 1); /* counter */
            add_relaxed(&monitor->untold, 1); /* counter */
            record->told = false;
            monitor->fast_until = view->now + FAST;
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
    view->watched = fl_monitor_needless(word, enough(runtime));
    view->idle = fl_idle_anybody(word);
    view->ready_outside = load_relaxed(&runtime->inject.count) != 0; /* hint: looked at again */
    view->unstarted |= load_relaxed(&runtime->heavy.count) != 0;     /* hint: looked at again */
}

/* A relief of duty `from` that is not stalled. */
static struct fl_worker *one_of(struct filch_runtime *runtime, enum fl_duty from)
{
    for (unsigned i = runtime->count; i < fl_total(runtime); i++) {
        struct fl_worker *w = runtime->workers[i];
        if (load_relaxed(&w->duty) == (uint32_t)from && !runtime->monitor.records[i].stalled) /* own: nobody else takes duties away */
            return w;
    }
    return NULL;
}

/* The place of a stalled worker, on or off its CPU, that has the fewest others. */
static unsigned place_of(struct filch_runtime *runtime, const struct view *view, bool off)
{
    unsigned best = 0, least = UINT_MAX;
    for (unsigned host = 0; host < runtime->count; host++) {
        unsigned others = 0;
        bool stalled = false;
        for (unsigned i = 0; i < view->total; i++) {
            const struct fl_record *record = &runtime->monitor.records[i];
            struct fl_worker *w = runtime->workers[i];
            if (load_relaxed(&w->host) != host || (fl_is_relief(w) && is_at_rest(w))) /* hint: a task may call one meanwhile */
                continue;
            stalled |= record->stalled && record->off == off;
            others += !record->stalled || !record->off;
        }
        if (stalled && others < least) {
            least = others;
            best = host;
        }
    }
    return best;
}

/* Whether one that was made, or dismissed, is on its way to rest: it can be called in a moment. */
static bool one_comes(struct filch_runtime *runtime)
{
    for (unsigned i = runtime->count; i < fl_total(runtime); i++) {
        struct fl_worker *w = runtime->workers[i];
        if (load_relaxed(&w->duty) == FL_DUTY_REST && !load_acquire(&w->resting) &&
            !fl_is_busy(w)) /* own: the monitor's; [duty] as for a call */
            return true;
    }
    return false;
}

/* Makes one, unless there was no memory, descriptor or thread for one a moment ago. It can be called in the next turn, when it has come to rest. */
static int make(struct filch_runtime *runtime, const struct view *view)
{
    struct fl_monitor *monitor = &runtime->monitor;
    if (view->now < monitor->make_again)
        return -EAGAIN;
    int r = fl_relief_new(runtime);
    if (r < 0 && r != -ENOSPC)
        monitor->make_again = view->now + MAKE_AGAIN;
    return r;
}

/* Calls one that rests, or makes one. */
static bool call(struct filch_runtime *runtime, const struct view *view, bool off, enum fl_duty duty)
{
    unsigned host = place_of(runtime, view, off);
    if (fl_relief_call(runtime, host, duty) || one_comes(runtime))
        return true;
    int r = make(runtime, view);
    if (r < 0)
        add_relaxed(&runtime->monitor.refused, 1); /* counter */
    return r == 0;
}

/* Whether one more would be the last: that one must not be caught by a task that stalls. */
static bool is_last(const struct filch_runtime *runtime, unsigned out)
{
    return runtime->relief_max > 1 && out >= runtime->relief_max;
}

static void take_place_of_away(struct filch_runtime *runtime, struct view *view)
{
    struct fl_worker *light = one_of(runtime, FL_DUTY_LIGHT);
    bool last = is_last(runtime, view->out + !light);
    if (light && last) {
        add_relaxed(&runtime->monitor.refused, 1); /* counter */
        return;
    }
    if (light)
        fl_relief_assign(light, FL_DUTY_FULL);
    else if (!call(runtime, view, true, FL_DUTY_FULL))
        return;
    view->recheck = true; /* perhaps another one */
}

static void serve_beside_computing(struct filch_runtime *runtime, struct view *view)
{
    struct fl_monitor *monitor = &runtime->monitor;
    unsigned more = view->hogged > 2 * runtime->count ? view->hogged - 2 * runtime->count : 0;
    if (more > 0 && view->now - monitor->called_light < LIGHT_EVERY << (more < 10 ? more : 10))
        return;
    monitor->called_light = view->now;
    if (call(runtime, view, false, FL_DUTY_LIGHT))
        view->recheck = true;
}

/* What has not begun has waited long enough behind those that compute. */
static void begin_one_more(struct filch_runtime *runtime, struct view *view)
{
    struct fl_monitor *monitor = &runtime->monitor;
    struct fl_worker *light = one_of(runtime, FL_DUTY_LIGHT);
    if (monitor->crowded_since == 0)
        monitor->crowded_since = view->now;
    if (view->now - monitor->crowded_since < CROWDED << (view->hogged < 10 ? view->hogged : 10))
        return;
    monitor->crowded_since = view->now;
    if (is_last(runtime, view->out + !light))
        add_relaxed(&monitor->refused, 1); /* counter */
    else if (light)
        fl_relief_assign(light, FL_DUTY_FULL);
    else
        call(runtime, view, false, FL_DUTY_FULL);
}

static void dismiss_all(struct filch_runtime *runtime, const struct view *view)
{
    for (unsigned i = runtime->count; i < view->total; i++)
        if (load_relaxed(&runtime->workers[i]->duty) != FL_DUTY_REST) /* own: nobody else takes duties away */
            fl_relief_assign(runtime->workers[i], FL_DUTY_REST);
}

/* More than there are CPUs, or more than are needed. */
static void step_back(struct filch_runtime *runtime, const struct view *view)
{
    struct fl_monitor *monitor = &runtime->monitor;
    struct fl_worker *full = one_of(runtime, FL_DUTY_FULL), *light;
    bool stalls = view->computing + view->away != 0, surplus = view->out != 0 && (!stalls || view->light > 1);
    if (full && view->running + view->computing > runtime->count)
        fl_relief_assign(full, FL_DUTY_LIGHT);
    if (!surplus) {
        monitor->surplus_since = 0;
    } else if (monitor->surplus_since == 0) {
        monitor->surplus_since = view->now;
    } else if (view->now - monitor->surplus_since > LINGER) {
        if (!stalls)
            dismiss_all(runtime, view);
        else if ((light = one_of(runtime, FL_DUTY_LIGHT)))
            fl_relief_assign(light, FL_DUTY_REST);
        monitor->surplus_since = 0;
    }
}

static void act(struct filch_runtime *runtime, struct view *view)
{
    struct fl_monitor *monitor = &runtime->monitor;
    unsigned busy = view->running + view->computing;
    bool waits = view->ready || view->ready_outside || view->unstarted;
    if (runtime->relief_max == 0)
        return;
    bool crowded = !view->idle && view->running == 0 && busy >= runtime->count && view->unstarted;
    if (!crowded)
        monitor->crowded_since = 0;
    if (!view->idle && view->away > 0 && busy < runtime->count && (waits || view->expected))
        take_place_of_away(runtime, view);
    else if (!view->idle && view->computing > 0 && view->light == 0 &&
             (view->ready || (view->running == 0 && (view->ready_outside || view->expected))))
        serve_beside_computing(runtime, view);
    else if (crowded)
        begin_one_more(runtime, view);
    step_back(runtime, view);
    if (!view->idle && view->total - runtime->count == view->out && !one_comes(runtime) && view->now - monitor->awake_since > SPARE_AFTER)
        make(runtime, view); /* -ENOSPC, or it is tried again */
}

/* Waits until somebody wakes it, and at most until `until`. */
static void wait_(struct filch_runtime *runtime, uint32_t state, int64_t until)
{
    struct fl_monitor *monitor = &runtime->monitor;
    if (state == FL_MONITOR_SLEEPS) {
        if (fl_monitor_doze(monitor, &runtime->idle, enough(runtime)) &&
            !fl_monitor_needless(load_seq_cst(&runtime->idle.word), enough(runtime))) /* [watch] who has begun to take part before that */
            store_relaxed(&monitor->asleep, FL_MONITOR_AWAKE);                        /* own: it looks round now */
    } else
        store_seq_cst(&monitor->asleep, state); /* [watch] as fl_monitor_doze */
    while (load_acquire(&monitor->asleep) == state &&
           load_acquire(&runtime->state) != FL_ENDING) /* [watch] pairs with fl_monitor_wake; [end] */
        if (!fl_futex_wait(&monitor->asleep, state, until))
            break;
    store_relaxed(&monitor->asleep, FL_MONITOR_AWAKE); /* own: it looks round now */
}

static int64_t thread_clock(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* How long to the next look while nothing is amiss, so that looking costs what it may. */
static int64_t slow_tick(struct fl_monitor *monitor)
{
    int64_t used = thread_clock() - monitor->used;
    monitor->used += used;
    monitor->cost += (used - monitor->cost) / 16;
    int64_t tick = monitor->cost * SHARE;
    return tick < TICK ? TICK : tick > TICK_MAX ? TICK_MAX : tick;
}

static void *monitor_main(void *arg)
{
    struct filch_runtime *runtime = arg;
    struct fl_monitor *monitor = &runtime->monitor;
    struct view view;
    bool fresh = true;
    unsigned calm = 0; /* so many times in a row nothing had to be watched */
    char name[16];
    snprintf(name, sizeof name, "%.*s/mon", 11, runtime->name);
    prctl(PR_SET_NAME, name);
    prctl(PR_SET_TIMERSLACK, 1000);
    monitor->awake_since = fl_clock();
    while (load_acquire(&runtime->state) != FL_ENDING) { /* [end] pairs with filch_stop */
        see(runtime, &view);
        act(runtime, &view);
        int64_t tick = slow_tick(monitor);
        calm = view.watched && !view.recheck ? calm + 1 : 0;
        if (view.recheck) {
            nanosleep(&(struct timespec){.tv_nsec = RECHECK}, NULL);
        } else if (fresh) {
            nanosleep(&(struct timespec){.tv_nsec = FIRST}, NULL);
            fresh = false;
        } else if (calm < CALM) {
            wait_(runtime, FL_MONITOR_DOZES, view.now + (view.now < monitor->fast_until ? TICK : tick));
        } else {
            wait_(runtime, FL_MONITOR_SLEEPS, view.out ? view.now + LINGER : INT64_MAX);
            monitor->awake_since = fl_clock();
            fresh = true;
        }
    }
    return NULL;
}

void fl_monitor_wake(struct filch_runtime *runtime)
{
    struct fl_monitor *monitor = &runtime->monitor;
    if (exchange_acq_rel(&monitor->asleep, FL_MONITOR_AWAKE) != FL_MONITOR_AWAKE) /* [watch] pairs with wait_ */
        fl_futex_wake(&monitor->asleep, INT_MAX);
}

void fl_monitor_stirred(struct filch_runtime *runtime)
{
    if (!fl_monitor_needless(load_seq_cst(&runtime->idle.word), enough(runtime))) /* [watch] behind the leaving of it */
        fl_monitor_wake(runtime);
}

bool fl_monitor_notice(struct filch_runtime *runtime, struct fl_worker *other, int64_t now)
{
    int64_t looked = load_relaxed(&other->looked); /* hint: looked at again */
    if (likely(now - looked < STALLED) || !fl_is_busy(other))
        return false;
    if (load_relaxed(&other->noticed) != looked) /* hint: looked at again */
        fl_monitor_wake(runtime);
    return true;
}

int fl_monitor_start(struct filch_runtime *runtime)
{
    struct fl_monitor *monitor = &runtime->monitor;
    pthread_attr_t attr;
    monitor->records = calloc(runtime->count + runtime->relief_max, sizeof *monitor->records);
    if (!monitor->records)
        return -ENOMEM;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    int r = pthread_create(&monitor->thread, &attr, monitor_main, runtime);
    if (r == EINVAL) /* a program with much static TLS needs more */
        r = pthread_create(&monitor->thread, NULL, monitor_main, runtime);
    pthread_attr_destroy(&attr);
    monitor->started = r == 0;
    return -r;
}

void fl_monitor_stop(struct filch_runtime *runtime)
{
    struct fl_monitor *monitor = &runtime->monitor;
    if (monitor->started) {
        fl_monitor_wake(runtime);
        pthread_join(monitor->thread, NULL);
        monitor->started = false;
    }
    free(monitor->records);
    monitor->records = NULL;
}
