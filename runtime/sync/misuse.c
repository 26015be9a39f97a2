/* SPDX-License-Identifier: MIT */
/* What a panic says of a misused object: which one, who did it, who holds it. */
#include "base/panic.h"
#include "sync/wait.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static void describe(char *text, size_t size, const struct fl_task *task)
{
    const char *name = task ? fl_task_name(task) : NULL;
    if (task)
        snprintf(text, size, "task %p (%s)", (const void *)task, name ? name : "no name");
    else
        snprintf(text, size, "thread %ld", syscall(SYS_gettid));
}

void fl_misuse(const char *what, const char *kind, const void *object, const void *holder)
{
    char caller[128], held[64] = "";
    describe(caller, sizeof caller, fl_current());
    if (holder)
        snprintf(held, sizeof held, ", held by %p", holder);
    fl_panic("%s: %s %p%s; called by %s", what, kind, object, held, caller);
}
