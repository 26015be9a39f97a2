/* SPDX-License-Identifier: MIT */
/* runtime/sched/wake.h: a wait is claimed once, and exactly one of claimer and switch makes the task ready; whoever it is, the task sees what
 * the claimer did and what it wrote itself before it left its stack.
 *
 * The task is a thread up to its switch; from there on it is whoever makes it ready. What it goes on with writes to the frame of the wait: a
 * claimer that touches that frame later is a race.
 *
 * Scenarios
 *   1  an object wakes
 *   2  an object and a cancel
 *   3  an object, and a cancel of a wait that must not be cancelled
 *   4  the park fails for want of memory, while an object and a cancel are at it
 *   5  the wait is over before it began, a cancel notwithstanding; the next wait has its own end
 *   6  a kernel thread, an object and a cancel
 *   7  the cancel comes first, so that the task need not park */
#include "model.h"

#include "sched/wake.h"

#define BY_OBJECT 0
#define BY_CANCEL (-125)

static struct fl_task task;
static _Atomic(struct fl_task *) object; /* who waits for it */
static int frame;                        /* plain: the waiter's memory */
static int stack;                        /* plain: what the switch saves */
static int gift, notice;                 /* plain: what object and cancel leave behind */
static struct once ready, claimed;

/* The task runs again, on whatever worker. */
static void go_on(void)
{
    once(&ready);
    assert(frame == 1 && stack == 1);
    uint32_t seen;
    bool over = fl_wake_claimed(&task, &seen);
    assert(over);
    int result = fl_wake_finish(&task);
    assert(result == BY_OBJECT || result == BY_CANCEL);
    assert(result == BY_OBJECT ? gift == 1 : notice == 1);
    frame = 2;
}

/* The switch and its commit. */
static void switch_away(void)
{
    stack = 1;
    if (!fl_wake_save(&task))
        go_on();
}

/* Claimed before it switched. */
static void stay(void)
{
    stack = 1;
    go_on();
}

static void claim(int result, bool cancel)
{
    uint32_t seen;
    if (!fl_wake_swap(&task, result, cancel, &seen))
        return;
    once(&claimed);
    assert(!cancel || seen & FL_WAKE_CANCELLABLE);
    if (seen & FL_WAKE_SAVED) {
        assert(frame == 1); /* it stands until the task is made ready */
        go_on();
    }
}

static void *set(void *arg)
{
    (void)arg;
    gift = 1;
    if (load_acquire(&object))
        claim(BY_OBJECT, false);
    return NULL;
}

static void *cancel(void *arg)
{
    (void)arg;
    notice = 1;
    claim(BY_CANCEL, true);
    return NULL;
}

static void begin(bool cancellable)
{
    frame = 1;
    fl_wake_arm(&task, cancellable);
    store_release(&object, &task);
}

int main(void)
{
#if SCENARIO == 1
    pthread_t a = start(set, NULL);
    begin(false);
    switch_away();
    join(a);
#elif SCENARIO == 2
    pthread_t a = start(set, NULL), b = start(cancel, NULL);
    begin(true);
    switch_away();
    join(a);
    join(b);
#elif SCENARIO == 3
    pthread_t a = start(set, NULL), b = start(cancel, NULL);
    begin(false);
    switch_away();
    join(a);
    join(b);
    if (happened(&ready))
        assert(gift == 1);
#elif SCENARIO == 4
    pthread_t a = start(set, NULL), b = start(cancel, NULL);
    begin(true);
    if (fl_wake_disarm(&task))
        frame = 2; /* it returns with an error */
    else
        stay();
    join(a);
    join(b);
#elif SCENARIO == 5
    pthread_t a = start(cancel, NULL);
    frame = 1;
    fl_wake_arm(&task, true);
    fl_wait_end(&task); /* the object was set */
    fl_wake_arm(&task, false);
    switch_away();
    join(a);
    assert(!happened(&ready));        /* whether the cancel claimed the first wait or came too late */
    store_relaxed(&claimed.times, 0); /* the second is another */
    store_release(&object, &task);
    set(NULL);
#elif SCENARIO == 6
    pthread_t a = start(set, NULL), b = start(cancel, NULL);
    task.flags = FL_TASK_THREAD;
    begin(true);
    uint32_t seen;
    if (fl_wake_claimed(&task, &seen))
        stay();
    else
        assert(seen & FL_WAKE_THREAD); /* it would sleep */
    join(a);
    join(b);
    if (happened(&claimed) && !happened(&ready))
        stay();
#elif SCENARIO == 7
    pthread_t a = start(cancel, NULL);
    begin(true);
    uint32_t seen;
    if (fl_wake_claimed(&task, &seen))
        stay();
    else
        switch_away();
    join(a);
#endif
    assert(happened(&claimed) == happened(&ready));
    return 0;
}
