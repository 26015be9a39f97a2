/* SPDX-License-Identifier: MIT */
/* Select: one of several, once.
 *
 * First one or two cases are drawn by lot and tried; then every case is asked, without a lock, whether it seems to be possible, and of those that say so one is drawn
 * and tried under its object's lock, until one succeeds. If none does, the task stands in line at every object, with a waiter in each, and parks. All these waiters lead to one wait, and a wait
 * is claimed once (sched/wake.h): so whoever claims it has let its case happen, and for every other object the task is one whose wait was cancelled, which is passed
 * over, and what was meant for it goes to the next. Then it leaves all the lines.
 *
 * While it stands in line it does nothing itself. If, in joining a line, it finds that the case is possible by now, it leaves those it stands in and starts
 * again: doing it there would need a claim of its own wait and of somebody else's in one step, and two selects that meet on two channels could each wait for
 * the other's. (Go locks all channels of a select in the order of their addresses instead.)
 *
 * Invariants
 *   1. A case happens either here, when nobody knows of any wait of this task, or by the one claim of its wait.
 *   2. When filch_select returns, nobody knows of any of its cases: not an object, not a timer, not the kernel.
 *   3. Cases whose leaving parks (descriptors) are left last, when nobody else can claim a wait of this task but by those cases; and those claim only
 *      what a cancel may end, which leaving is not (but for the pause after an event that nobody asked for, case_fd.c, which may be cut short).
 *
 * A plain thread that waits for descriptors sleeps in poll(2), with an eventfd among them by which a claimer wakes it instead of its futex. A claimer writes to it
 * after the claim, so a thread that was claimed reads it before it is closed. */
#include "machine/clock.h"
#include "machine/futex.h"
#include "sync/case.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CASES_MAX (1 << 20)
#ifndef DRAWS
#define DRAWS 2
#endif
#define THREAD_POLLS 256 /* descriptors of a plain thread, its eventfd among them */

static bool never(filch_case *c)
{
    (void)c;
    return false;
}

static int stand_nowhere(filch_case *c, struct fl_task *task, int32_t won)
{
    (void)c, (void)task, (void)won;
    return 0;
}

static void leave_nothing(filch_case *c, bool won)
{
    (void)c, (void)won;
}

static const struct fl_case_kind case_none = {never, never, stand_nowhere, leave_nothing};

/* By enum filch_case_kind_; a default case does not happen before the others were asked. */
static const struct fl_case_kind *const kinds[] = {&case_none,  &fl_case_send,  &fl_case_recv,  &fl_case_event, &fl_case_sem,
                                                   &fl_case_fd, &fl_case_until, &fl_case_scope, &case_none};

static const struct fl_case_kind *kind_of(const filch_case *c)
{
    return likely(c->kind_ < sizeof kinds / sizeof *kinds) ? kinds[c->kind_] : &case_none;
}

/* A number below n. */
FL_INLINE size_t lot(struct fl_worker *w, size_t n)
{
    uint32_t x = w->random;
    if (unlikely(w->hot.kind_ != FL_KIND_WORKER))
        x = (uint32_t)fl_clock() * 2654435761u + (uint32_t)(uintptr_t)__builtin_frame_address(0); /* a plain thread has no state of ours */
    x = x ? x : 1;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    if (likely(w->hot.kind_ == FL_KIND_WORKER))
        w->random = x;
    return (size_t)((uint64_t)x * n >> 32);
}

/* ---- now ---- */

/* Asks all, and draws among those that say yes. @return the index of a case that has happened, or -EAGAIN */
static FL_NOINLINE int take_any(filch_case *cases, size_t count)
{
    size_t ready = 0;
    int fallback = -EAGAIN;
    for (size_t i = 0; i < count; i++) {
        filch_case *c = &cases[i];
        c->ready_ = kind_of(c)->ready(c);
        ready += c->ready_;
        if (c->kind_ == FILCH_CASE_DEFAULT_)
            fallback = (int)i;
    }
    for (; ready > 0; ready--) {
        size_t skip = ready > 1 ? lot(fl_self(), ready) : 0, i = 0;
        while (!cases[i].ready_ || skip-- > 0)
            i++;
        if (kind_of(&cases[i])->take(&cases[i]))
            return (int)i;
        cases[i].ready_ = false;
    }
    if (fallback >= 0)
        cases[fallback].result = 0;
    return fallback;
}

/* Draws first: where most are possible that asks one instead of all, whose lines others may be writing to. Those that were drawn in vain are drawn by
 * lot too, so among the possible ones the odds stay even. */
FL_INLINE int take_one(filch_case *cases, size_t count)
{
    for (int draw = 0; draw < DRAWS && count > 1; draw++) {
        size_t i = lot(fl_self(), count);
        if (kind_of(&cases[i])->take(&cases[i]))
            return (int)i;
    }
    return take_any(cases, count);
}

/* ---- later ---- */

static const struct fl_why selects = {.name = "select"};

/* The earliest time among the cases, of a plain thread. */
static int64_t earliest(const filch_case *cases, size_t count, int *ret_index)
{
    int64_t when = INT64_MAX;
    *ret_index = -1;
    for (size_t i = 0; i < count; i++)
        if (cases[i].kind_ == FILCH_CASE_UNTIL_ && cases[i].when_ < when) {
            when = cases[i].when_;
            *ret_index = (int)i;
        }
    return when;
}

/* A plain thread lets a case happen that only it can see. @return false: somebody has claimed its wait */
static bool claim_self(struct fl_task *task, int index)
{
    uint32_t seen;
    return fl_wake_swap(task, FL_CASE_WON(index), false, &seen);
}

static int thread_sleeps(struct fl_task *task, const filch_case *cases, size_t count)
{
    int first;
    int64_t when = earliest(cases, count, &first);
    uint32_t seen;
    while (!fl_wake_claimed(task, &seen))
        if (!fl_futex_wait(&task->wake, seen, when) && when <= fl_clock())
            claim_self(task, first);
    return fl_wake_finish(task);
}

static int thread_polls(struct fl_task *task, filch_case *cases, size_t count, int wake_fd)
{
    struct pollfd fds[THREAD_POLLS] = {{.fd = wake_fd, .events = POLLIN}};
    int which[THREAD_POLLS], first;
    nfds_t n = 1;
    for (size_t i = 0; i < count; i++)
        if (cases[i].kind_ == FILCH_CASE_FD_) {
            which[n] = (int)i;
            fds[n++] = (struct pollfd){.fd = cases[i].fd_, .events = cases[i].events_};
        }
    int64_t when = earliest(cases, count, &first);
    for (int found = -1; found < 0;) {
        int64_t left = when - fl_clock();
        struct timespec ts = {.tv_sec = left > 0 ? left / 1000000000 : 0, .tv_nsec = left > 0 ? left % 1000000000 : 0};
        int r = ppoll(fds, n, when == INT64_MAX ? NULL : &ts, NULL), error = -errno;
        if (r < 0 && error != -EINTR && fl_wake_disarm(task))
            return error;
        if (r < 0 && error != -EINTR)
            fds[0].revents = POLLIN, r = 1; /* claimed meanwhile */
        for (nfds_t i = 1; r > 0 && i < n && found < 0; i++)
            if (fds[i].revents) {
                found = which[i];
                cases[found].result = fds[i].revents;
            }
        if (found < 0 && when <= fl_clock())
            found = first;
        if (r > 0 && fds[0].revents)
            found = 0; /* whichever: it is claimed */
        if (found >= 0 && !claim_self(task, found)) {
            uint64_t told;
            while (read(wake_fd, &told, sizeof told) < 0 && errno == EINTR) /* who has claimed it is about to write */
                ;
        }
    }
    return fl_wake_finish(task);
}

static int wait(struct fl_task *task, filch_case *cases, size_t count, int wake_fd)
{
    if (likely(task->runtime != NULL))
        return fl_wait(task, &selects, cases, true);
    return wake_fd < 0 ? thread_sleeps(task, cases, count) : thread_polls(task, cases, count, wake_fd);
}

/* Stands in every line and waits. @return the index of the case that has happened; -EAGAIN: one may be possible now; another error */
static int wait_for_one(struct fl_task *task, filch_case *cases, size_t count, int wake_fd)
{
    size_t stood = 0;
    int r = 0;
    fl_wait_begin(task);
    if (wake_fd >= 0)
        fl_wake_by_descriptor(task, (uint32_t)wake_fd);
    while (stood < count && (r = kind_of(&cases[stood])->stand(&cases[stood], task, FL_CASE_WON(stood))) == 0)
        stood++;
    if (stood == count || !fl_wake_disarm(task)) /* not: it was claimed while it stood in line */
        r = wait(task, cases, count, wake_fd);
    int won = r <= -FL_CASE_FIRST ? -r - FL_CASE_FIRST : -1;
    for (int parking = 0; parking < 2; parking++)
        for (size_t i = 0; i < stood; i++)
            if ((cases[i].kind_ == FILCH_CASE_FD_) == parking)
                kind_of(&cases[i])->leave(&cases[i], (int)i == won);
    if (won < 0)
        return r;
    /* a poll that was cancelled by mistake, or interrupted, says nothing of its descriptor */
    return cases[won].kind_ == FILCH_CASE_FD_ && (cases[won].result == -ECANCELED || cases[won].result == -EINTR) ? -EAGAIN : won;
}

/* Whether the cases make sense for a plain thread. @return 0, an error, or with *ret_wake_fd >= 0 what wakes it out of poll(2) */
static int prepare_thread(const filch_case *cases, size_t count, int *ret_wake_fd)
{
    size_t polls = 0;
    for (size_t i = 0; i < count; i++) {
        if (cases[i].kind_ == FILCH_CASE_SCOPE_)
            return -EINVAL;
        polls += cases[i].kind_ == FILCH_CASE_FD_;
    }
    if (polls == 0)
        return 0;
    if (polls >= THREAD_POLLS)
        return -EINVAL;
    *ret_wake_fd = eventfd(0, EFD_CLOEXEC);
    if (*ret_wake_fd < 0)
        return -errno;
    if ((uint32_t)*ret_wake_fd < FL_WAKE_DESCRIPTORS)
        return 0;
    close(*ret_wake_fd);
    *ret_wake_fd = -1;
    return -EMFILE;
}

/* Two selects that stand in each other's lines in opposite order may find each other there, and both start again, several times over. */
static void back_off(unsigned tries)
{
#ifndef FL_MODEL
    for (size_t n = tries < 4 ? 0 : lot(fl_self(), (size_t)1 << (tries < 12 ? tries : 12)); n > 0; n--)
        fl_relax();
#else
    (void)tries;
#endif
}

static FL_NOINLINE int select_slow(filch_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cases[i].kind_ > FILCH_CASE_DEFAULT_)
            return -EINVAL;
    struct fl_task stand_in, *task = fl_waiter(&stand_in);
    int wake_fd = -1, r = task->runtime ? 0 : prepare_thread(cases, count, &wake_fd);
    if (r < 0)
        return r;
    unsigned tries = 0;
    do {
        back_off(tries++);
        r = wait_for_one(task, cases, count, wake_fd);
        if (r == -EAGAIN)
            r = take_one(cases, count);
    } while (r == -EAGAIN);
    if (wake_fd >= 0)
        close(wake_fd);
    return r;
}

int filch_select(filch_case *cases, size_t count)
{
    if (unlikely(count > CASES_MAX))
        return -EINVAL;
    int r = take_one(cases, count);
    return likely(r != -EAGAIN) ? r : select_slow(cases, count);
}
