/* SPDX-License-Identifier: MIT */
/* The fields of a scope, as the runtime sees them. Both halves of what a scope does are built on this: scope.c, who owns whom, and cancel.c, who is told of a cancel. */
#ifndef FL_SYNC_SCOPE_H
#define FL_SYNC_SCOPE_H

#include "sync/wait.h"

/** Bits of state_. */
enum fl_scope_bit {
    FL_SCOPE_READY = 1,    /**< the slow half is initialised */
    FL_SCOPE_INIT = 2,     /**< somebody initialises it */
    FL_SCOPE_LINKED = 4,   /**< in the parent's list */
    FL_SCOPE_TIMER = 8,    /**< has a deadline */
    FL_SCOPE_COLLECT = 16, /**< a failure cancels nobody */
    FL_SCOPE_SHIELD = 32,  /**< cancels from outside end here */
    FL_SCOPE_SHADED = 64,  /**< the owner is in a shield further in; under the lock */
    FL_SCOPE_LOCALS = 128, /**< a child that the owner runs in place has task-local values */
};

FL_INLINE _Atomic(uint32_t) *fl_scope_state(struct filch_scope *scope)
{
    return fl_atomic(uint32_t, &scope->state_);
}

FL_INLINE struct fl_task *fl_scope_owner(struct filch_scope *scope)
{
    return fl_container_of(scope->owner_, struct fl_task, head);
}

/** The block is left, and every child has ended: nobody knows of the scope when this returns. */
void fl_scope_withdraw(struct filch_scope *scope);

#endif
