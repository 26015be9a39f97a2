/* SPDX-License-Identifier: MIT */
/* Who stands in for whom: the duties of the reliefs.
 *
 * What is done about a stall depends on where the stalled carriers are:
 *   off the CPU   (asleep in the kernel, or announced) its CPU is free: a relief of full duty, as soon as anything is expected that it could do. As many as there are
 *                 CPUs without anybody to run on them, one a turn.
 *   on the CPU    more threads would not get more done. If something was woken, or came from outside, and nobody is free to serve it: one relief of light duty.
 *                 Work that has not begun waits, but not for ever: after CROWDED, and twice as long for each relief that computes already, one more may begin it.
 *                 Of a thousand tasks that compute, only some ten a minute come to have a thread of their own, and what sleeps, waits and is woken goes on all the time.
 * The last relief that there may be stays at light duty: a hundred who stall as soon as they begin cannot take all. One that was woken and stalls then can be taken for nothing else
 * before, and can take that one too.
 * Where more run than there are CPUs, the reliefs go back to light duty and, when nobody has been stalled for FL_LINGER, to rest.
 *
 * All of it is hints: whatever is decided, nothing is lost and nothing runs twice. The monitor alone makes reliefs and takes duties away; a task that announces a blocking
 * call may call one. */
#include "sched/duties.h"

#include "sched/relief.h"

#include <errno.h>
#include <limits.h>

#define CROWDED 10000000    /* ns */
#define LIGHT_EVERY 1000000 /* ns */
#define SPARE_AFTER 5000000 /* ns of being awake after which there is a relief in store */
#define MAKE_AGAIN 20000000 /* ns after which one more is tried for which there was no memory, descriptor or thread */

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
static unsigned place_of(struct filch_runtime *runtime, const struct fl_view *view, bool off)
{
    unsigned best = 0, least = UINT_MAX;
    for (unsigned host = 0; host < runtime->count; host++) {
        unsigned others = 0;
        bool stalled = false;
        for (unsigned i = 0; i < view->total; i++) {
            const struct fl_record *record = &runtime->monitor.records[i];
            struct fl_worker *w = runtime->workers[i];
            if (load_relaxed(&w->host) != host || (fl_is_relief(w) && fl_is_at_rest(w))) /* hint: a task may call one meanwhile */
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
static int make(struct filch_runtime *runtime, const struct fl_view *view)
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
static bool call(struct filch_runtime *runtime, const struct fl_view *view, bool off, enum fl_duty duty)
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

static void take_place_of_away(struct filch_runtime *runtime, struct fl_view *view)
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
    view->more = true;
}

static void serve_beside_computing(struct filch_runtime *runtime, struct fl_view *view)
{
    struct fl_monitor *monitor = &runtime->monitor;
    unsigned more = view->hogged > 2 * runtime->count ? view->hogged - 2 * runtime->count : 0;
    if (more > 0 && view->now - monitor->called_light < LIGHT_EVERY << (more < 10 ? more : 10))
        return;
    monitor->called_light = view->now;
    if (call(runtime, view, false, FL_DUTY_LIGHT))
        view->more = true;
}

/* What has not begun has waited long enough behind those that compute. */
static void begin_one_more(struct filch_runtime *runtime, struct fl_view *view)
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

static void dismiss_all(struct filch_runtime *runtime, const struct fl_view *view)
{
    for (unsigned i = runtime->count; i < view->total; i++)
        if (load_relaxed(&runtime->workers[i]->duty) != FL_DUTY_REST) /* own: nobody else takes duties away */
            fl_relief_assign(runtime->workers[i], FL_DUTY_REST);
}

/* They may nap for long, since nothing was expected. */
static void wake_light(struct filch_runtime *runtime)
{
    for (unsigned i = runtime->count; i < fl_total(runtime); i++) {
        struct fl_worker *w = runtime->workers[i];
        if (load_relaxed(&w->duty) == FL_DUTY_LIGHT && !fl_is_busy(w)) /* own: nobody else takes duties away */
            fl_ring_wake(&w->ring);
    }
}

/* More than there are CPUs, or more than are needed. */
static void step_back(struct filch_runtime *runtime, const struct fl_view *view)
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
    } else if (view->now - monitor->surplus_since > FL_LINGER) {
        if (!stalls)
            dismiss_all(runtime, view);
        else if ((light = one_of(runtime, FL_DUTY_LIGHT)))
            fl_relief_assign(light, FL_DUTY_REST);
        monitor->surplus_since = 0;
    }
}

void fl_duties_assign(struct filch_runtime *runtime, struct fl_view *view)
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
    if (view->light > 0 && (view->ready || view->ready_outside))
        wake_light(runtime);
    step_back(runtime, view);
    if (!view->idle && view->total - runtime->count == view->out && !one_comes(runtime) && view->now - monitor->awake_since > SPARE_AFTER)
        make(runtime, view); /* -ENOSPC, or it is tried again */
}
