/* SPDX-License-Identifier: MIT */
/* runtime/sched/join.h and the inline spawn, join and leave of include/filch/task.h: exactly one makes the joiner run, not before its last child
 * has ended, and then it sees what the children did; nobody touches the scope after that.
 *
 * In scenarios 1 to 4 the joiner frees its scope once it runs: a late touch is an error.
 *
 * Scenarios
 *   1  two children that ended elsewhere are told of one by one
 *   2  two are told of at once, and nothing may be missing when the joiner looks
 *   3  a child that ended elsewhere had spawned one that ends on a third worker
 *   4  three children, two of them told of at once
 *   5  inline join: nothing is missing, because a stolen child of an inner scope spawned into this one, and what it spawned has ended
 *      elsewhere too
 *   6  the same, and the scope is left without a join
 *   7  inline spawn and join: two children, run in place or taken by a thief */
#include "model.h"

#if SCENARIO >= 5
/* The inline functions find their worker in TLS, by assembly; here it is a variable. */
#define __builtin_frame_address(level) ((void *)1) /* above a floor of zero */
#define filch_self_ filch_self_of_this_thread_
#include <filch/hot_.h>
#undef filch_self_
static struct filch_worker_ worker;
static struct filch_worker_ *filch_self_(void)
{
    return &worker;
}
#include <filch/task.h>
#endif

#include "sched/deque.h"
#include "sched/join.h"

#include <stdlib.h>

#define CHILDREN (SCENARIO == 4 ? 3 : 2)

static struct fl_task owner;
static struct once ended[CHILDREN], resumed;
static int did[CHILDREN]; /* plain: what each child did */
static _Atomic(bool) spawned;

static int run(void *arg)
{
    int i = (int)(intptr_t)arg;
    once(&ended[i]);
    did[i] = i + 1;
    return 0;
}

static void all_visible(void)
{
    for (int i = 0; i < CHILDREN; i++)
        assert(did[i] == i + 1);
}

#if SCENARIO < 5

static struct filch_scope *scope;

/* The joiner goes on, on whatever worker. */
static void resume(void)
{
    once(&resumed);
    all_visible();
    fl_join_reset(scope);
    free(scope);
}

static void tell(int64_t n)
{
    struct fl_task *joiner = fl_join_told(scope, n);
    assert(!joiner || joiner == &owner);
    if (joiner)
        resume();
}

/* The owner has left its stack. */
static void wait_(void)
{
    if (fl_join_wait(scope))
        resume();
}

static void *one(void *arg)
{
    run(arg);
    tell(1);
    return NULL;
}

static void *two(void *arg)
{
    (void)arg;
    run((void *)0);
    run((void *)1);
    tell(2);
    return NULL;
}

static void *parent(void *arg)
{
    add_acq_rel(fl_join_others(scope), 1); /* as filch_spawn by a task that is not the owner */
    store_release(&spawned, true);
    return one(arg);
}

static void *grandchild(void *arg)
{
    return load_acquire(&spawned) ? one(arg) : NULL;
}

int main(void)
{
    scope = malloc(sizeof *scope);
    scope->owner_ = &owner.head;
    scope->mine_ = FILCH_CHILD_ * (SCENARIO == 3 ? 1 : CHILDREN);
    scope->others_ = 0;
#if SCENARIO == 1
    pthread_t a = start(one, (void *)0), b = start(one, (void *)1);
    wait_();
    join(a);
    join(b);
#elif SCENARIO == 2
    pthread_t a = start(two, NULL);
    if (fl_join_missing(scope) == 0)
        resume();
    else
        wait_();
    join(a);
#elif SCENARIO == 3
    pthread_t a = start(parent, (void *)0), b = start(grandchild, (void *)1);
    wait_();
    join(a);
    join(b);
    if (!happened(&ended[1]))
        one((void *)1);
#elif SCENARIO == 4
    pthread_t a = start(two, NULL), b = start(one, (void *)2);
    wait_();
    join(a);
    join(b);
#endif
    assert(happened(&resumed));
    return 0;
}

#else

static struct filch_scope scope, inner;
static const uint64_t nobody_sleeps;
static bool slow;

/* The slow parts. What waits here would park. */
int filch_join_slow_(filch_scope *s)
{
    slow = fl_join_missing(s) != 0;
    return 0;
}

void filch_scope_leave_slow_(filch_scope *s)
{
    slow = fl_join_missing(s) != 0;
}

void filch_scope_outside_(void)
{
    assert(false);
}

int filch_spawn_slow_(filch_scope *s, filch_fn *fn, void *arg)
{
    (void)s, (void)fn, (void)arg;
    assert(false);
    return 0;
}

void filch_notify_(void)
{
    assert(false);
}

void filch_child_failed_(filch_scope *s, int result)
{
    (void)s, (void)result;
    assert(false);
}

static void tell(struct filch_scope *s)
{
    struct fl_task *joiner = fl_join_told(s, 1);
    assert(!joiner); /* nobody waits */
}

static void *parent(void *arg)
{
    add_acq_rel(fl_join_others(&scope), 1); /* as filch_spawn by a task that is not the owner */
    store_release(&spawned, true);
    run(arg);
    tell(&inner);
    return NULL;
}

static void *grandchild(void *arg)
{
    if (load_acquire(&spawned)) {
        run(arg);
        tell(&scope);
    }
    return NULL;
}

static void *thief(void *arg)
{
    struct fl_item item;
    (void)arg;
    if (fl_deque_steal(&worker.deque_, &item) == FL_STEAL_GOT) {
        assert(item.whose == (uintptr_t)&scope);
        run((void *)item.arg);
        tell(&scope);
    }
    return NULL;
}

int main(void)
{
    bool ok = fl_deque_init(&worker.deque_, 0);
    assert(ok);
    worker.idle_ = &nobody_sleeps;
    worker.budget_ = 10;
    worker.current_ = &owner.head;
    filch_scope_enter_(&scope);
#if SCENARIO == 5 || SCENARIO == 6
    filch_scope_enter_(&inner);
    inner.mine_ = FILCH_CHILD_;
    pthread_t a = start(parent, (void *)0), b = start(grandchild, (void *)1);
    if (fl_join_missing(&inner) == 0) {
        fl_join_reset(&inner);
        filch_scope_leave_(&inner);
        if (SCENARIO == 5)
            filch_join(&scope);
        else
            filch_scope_leave_(&scope);
        if (!slow)
            all_visible();
    }
    join(a);
    join(b);
#elif SCENARIO == 7
    pthread_t a = start(thief, NULL);
    filch_spawn(&scope, run, (void *)0);
    filch_spawn(&scope, run, (void *)1);
    filch_join(&scope);
    if (!slow)
        all_visible();
    join(a);
#endif
    fl_deque_fini(&worker.deque_);
    return 0;
}

#endif
