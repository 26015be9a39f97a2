/* SPDX-License-Identifier: MIT */
/* The laws of sync/scope that need more scopes than a test has room for stacks.
 *
 * The tree is built by hand: an owner that never runs, in an operation that never ends, stands for the task that opened a scope. What is not tested here:
 * everything that a program can see, which is tests/api. */
#include "sync/wait.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct inner {
    struct fl_task owner;
    struct filch_scope scope;
};

static unsigned told;

static int64_t used(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return FILCH_SEC(t.tv_sec) + t.tv_nsec;
}

static void tell(struct fl_task *task, uint64_t waits)
{
    (void)task, (void)waits;
    told++;
    cr_assert_lt(used(), FILCH_SEC(10), "%u told so far", told);
}

static const struct fl_hooks hooks = {.cancel_operation = tell};
static struct filch_runtime runtime = {.hooks = &hooks};
static struct fl_task top_owner = {.runtime = &runtime};
static struct filch_scope top = {.owner_ = &top_owner.head};

static void open_inner(struct inner *inner, struct filch_scope *parent)
{
    inner->scope = (struct filch_scope){.owner_ = &inner->owner.head, .parent_ = parent};
    inner->owner = (struct fl_task){.head.inner_ = &inner->scope, .runtime = &runtime, .flags = FL_TASK_LINKED, .waits = 1};
    fl_enlist(&inner->owner);
}

Test(scope, a_cancel_does_not_look_at_each_inner_scope_for_each_other)
{
    enum { N = 200000 }; /* if it did: minutes */
    struct inner *inner = calloc(N, sizeof(*inner));
    fl_scope_root(&top);
    for (int i = 0; i < N; i++)
        open_inner(&inner[i], &top);
    fl_scope_cancel(&top, -ECANCELED);
    cr_assert_eq(told, N);
    for (int i = 0; i < N; i++)
        cr_assert_eq(inner[i].scope.cancelled_, -ECANCELED);
    free(inner);
}
