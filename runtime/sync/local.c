/* SPDX-License-Identifier: MIT */
/* Task-local values: a short list a task, which hangs where the argument was that it began with.
 *
 * A child that its parent runs in place goes by the parent's descriptor (sync/scope.c). So that it has values of its own all the same, the parent's are set aside
 * meanwhile, and its own list says which scope it is a child of: the innermost one of the task's that has FILCH_JOINING_. The inline join knows nothing of that; it
 * goes the long way, because the floor of a task that has values is set so high that nothing seems to fit on its stack.
 *
 * Invariants
 *   1. FL_TASK_LOCALS: task->locals is the list, and the floor of the task's stack is NO_ROOM.
 *   2. The list ends before anything else runs under the descriptor: at the end of the task, or when filch_join finds the child of its scope ended,
 *      which it notices because the floor, and FL_SCOPE_LOCALS in the scope, send it the long way. */
#include "sync/scope.h"

#include <errno.h>
#include <stdlib.h>

#define NO_ROOM UINTPTR_MAX

struct value {
    struct value *next;
    const filch_local *local;
    void *value;
};

struct fl_locals {
    struct value *first;         /* the latest */
    struct filch_scope *joining; /* of which it is a child that runs in place; NULL: it has the descriptor to itself */
};

/* ---- the list ---- */

static struct value *find(const struct fl_task *task, const filch_local *local)
{
    struct value *v = task && task->flags & FL_TASK_LOCALS ? task->locals->first : NULL;
    while (v && v->local != local)
        v = v->next;
    return v;
}

/* The scope that a child which runs under this descriptor is a child of, or NULL. */
static struct filch_scope *joining(const struct fl_task *task)
{
    for (struct filch_scope *scope = task->head.inner_; scope->owner_ == &task->head; scope = scope->parent_)
        if (scope->mine_ & FILCH_JOINING_)
            return scope;
    return NULL;
}

static void set_floor(struct fl_task *task, bool room)
{
    struct fl_worker *w = fl_self();
    if (w->hot.kind_ != FL_KIND_WORKER)
        return; /* a kernel thread of its own: its children have theirs */
    w->hot.floor_ = room ? fl_stack_floor(w->stack) : NO_ROOM;
    if (task->flags & FL_TASK_PARKED)
        task->low = w->hot.floor_;
}

/* From here on the calling task has values. */
static void install(struct fl_task *task, struct fl_locals *locals)
{
    locals->joining = joining(task);
    if (locals->joining)
        or_acq_rel(fl_scope_state(locals->joining), FL_SCOPE_LOCALS); /* own: the owner, which is this task */
    task->locals = locals;
    task->flags |= FL_TASK_LOCALS;
    set_floor(task, false);
}

bool fl_locals_belong(const struct fl_task *task, const struct filch_scope *scope)
{
    return task->locals->joining == scope;
}

static void destroy_all(struct fl_locals *locals)
{
    while (locals->first) { /* destroying may set others */
        struct value v = *locals->first;
        free(locals->first);
        locals->first = v.next;
        if (v.value && v.local->destroy)
            v.local->destroy(v.value);
    }
    free(locals);
}

void fl_locals_end(struct fl_task *task)
{
    destroy_all(task->locals);
    task->flags &= ~(uint32_t)FL_TASK_LOCALS;
    set_floor(task, true);
}

struct fl_locals *fl_locals_set_aside(struct fl_task *task)
{
    if (likely(!(task->flags & FL_TASK_LOCALS)))
        return NULL;
    task->flags &= ~(uint32_t)FL_TASK_LOCALS;
    set_floor(task, true);
    return task->locals;
}

void fl_locals_put_back(struct fl_task *task, struct fl_locals *locals)
{
    if (likely(!locals))
        return;
    task->locals = locals;
    task->flags |= FL_TASK_LOCALS;
    set_floor(task, false);
}

/* ---- the API ---- */

int filch_local_set(const filch_local *local, void *value)
{
    struct fl_task *task = fl_current();
    if (!task)
        return -EINVAL;
    struct value *v = find(task, local);
    if (v) {
        v->value = value;
        return 0;
    }
    if (!value)
        return 0;
    struct value *made = malloc(sizeof *made);
    struct fl_locals *fresh = task->flags & FL_TASK_LOCALS ? NULL : calloc(1, sizeof *fresh);
    if (!made || !(task->flags & FL_TASK_LOCALS || fresh)) {
        free(made);
        free(fresh);
        return -ENOMEM;
    }
    if (fresh)
        install(task, fresh);
    *made = (struct value){.next = task->locals->first, .local = local, .value = value};
    task->locals->first = made;
    return 0;
}

void *filch_local_get(const filch_local *local)
{
    struct value *v = find(fl_current(), local);
    return v ? v->value : NULL;
}

/* ---- inheriting ---- */

struct fl_heir {
    filch_fn *fn;
    void *arg;
    struct fl_locals *locals;
};

void fl_locals_disinherit(struct fl_heir *heir)
{
    if (heir && heir->locals)
        destroy_all(heir->locals);
    free(heir);
}

static void *passed_on(const struct value *v)
{
    if (!v->value)
        return NULL;
    return v->local->inherit ? v->local->inherit(v->value) : v->local->destroy ? NULL : v->value;
}

/* In the same order. @return false: no memory, some are there */
static bool pass_on(const struct value *from, struct value **end)
{
    for (; from; from = from->next) {
        struct value *made = malloc(sizeof *made);
        if (!made)
            return false;
        *made = (struct value){.local = from->local, .value = passed_on(from)};
        if (made->value) {
            *end = made;
            end = &made->next;
        } else {
            free(made);
        }
    }
    return true;
}

int fl_locals_bequeath(filch_fn *fn, void *arg, struct fl_heir **ret_heir)
{
    const struct fl_task *task = fl_current();
    struct fl_heir *heir = malloc(sizeof *heir);
    struct fl_locals *locals = calloc(1, sizeof *locals);
    bool ok = heir && locals && (!(task && task->flags & FL_TASK_LOCALS) || pass_on(task->locals->first, &locals->first));
    if (!ok) {
        if (locals)
            destroy_all(locals);
        free(heir);
        *ret_heir = NULL;
        return -ENOMEM;
    }
    *heir = (struct fl_heir){fn, arg, locals};
    *ret_heir = heir;
    return 0;
}

int fl_locals_run_heir(void *arg)
{
    struct fl_heir heir = *(struct fl_heir *)arg;
    free(arg);
    install(fl_current(), heir.locals);
    return heir.fn(heir.arg);
}
