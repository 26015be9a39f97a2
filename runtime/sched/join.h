/* SPDX-License-Identifier: MIT */
/* The count by which a joiner waits: the part of a scope the scheduler must know.
 *
 * mine_    plain: children the owner spawned, less those it ran in place, in units of FILCH_CHILD_; plus FILCH_JOINING_ while it runs one in place. Only the
 *          owner touches it.
 * others_  atomic: minus the children that ended elsewhere, plus those that others spawned. When the owner parks to join, it adds what it
 *          misses, mine_, and the bias FL_JOINER_WAITS; whoever brings the sum to exactly the bias makes the owner ready.
 *
 * So a child that is run in place costs two plain additions, and one that ends elsewhere at most an atomic one; a worker that ends many children
 * of one scope in a row tells the scope once (fl_worker_tell). Children not yet told of keep the scope alive: the joiner misses them.
 * A worker may keep back what it has to tell while it runs another child of the same scope, because the joiner waits for that one too.
 *
 * A joiner that waits for other things besides adds FL_JOINER_SELECTS instead: who brings the sum to that must first claim its wait, and the joiner takes
 * the addition back if something else was quicker. Until it has, or was told, the scope is there.
 *
 * Memory ordering
 *   [told]  the subtraction releases what the children did, the addition (or the joiner's load, when nothing is missing) acquires it; subtractions of
 *           several workers form one release sequence. */
#ifndef FL_SCHED_JOIN_H
#define FL_SCHED_JOIN_H

#include "base/atomic.h"
#include "sched/task.h"

#define FL_JOINER_WAITS ((int64_t)1 << 62)
#define FL_JOINER_SELECTS ((int64_t)1 << 61)

/** Where scope->selector_ points while its owner selects. */
struct fl_join_selector {
    struct fl_task *task;
    int32_t won;        /**< what the claim says */
    _Atomic(bool) done; /**< something was quicker, and the teller has let go */
};

/** The last child that `scope`'s owner selects on has ended. @return the owner, if the caller must make it run. worker.c */
struct fl_task *fl_join_tell_selector(struct filch_scope *scope);

FL_INLINE _Atomic(int64_t) *fl_join_others(struct filch_scope *scope)
{
    return fl_atomic(int64_t, &scope->others_);
}

/** How many children mine_ stands for. */
FL_INLINE int64_t fl_join_mine(const struct filch_scope *scope)
{
    return scope->mine_ / FILCH_CHILD_; /* never negative */
}

/** `n` children have ended elsewhere. @return the owner, if it waits and that was all: the caller must make it run. The scope may be gone then. */
FL_INLINE struct fl_task *fl_join_told(struct filch_scope *scope, int64_t n)
{
    struct fl_task *owner = fl_container_of(scope->owner_, struct fl_task, head);
    int64_t left = sub_acq_rel(fl_join_others(scope), n) - n; /* [told] pairs with fl_join_wait */
    if (unlikely(left == FL_JOINER_SELECTS))
        return fl_join_tell_selector(scope);
    return left == FL_JOINER_WAITS ? owner : NULL;
}

/** The owner, off its stack, waits for what it misses. @return whether nothing was missing after all: then it must be made ready. */
FL_INLINE bool fl_join_wait(struct filch_scope *scope)
{
    int64_t missing = fl_join_mine(scope) + FL_JOINER_WAITS;
    return add_acq_rel(fl_join_others(scope), missing) + missing == FL_JOINER_WAITS; /* [told] pairs with fl_join_told */
}

/** The same for an owner that waits for other things besides. */
FL_INLINE bool fl_join_select(struct filch_scope *scope)
{
    int64_t missing = fl_join_mine(scope) + FL_JOINER_SELECTS;
    return add_acq_rel(fl_join_others(scope), missing) + missing == FL_JOINER_SELECTS; /* [told] pairs with fl_join_told */
}

/** Takes the wait back that was begun with `bias`. @return false: that was all, and who told it is on the way to the owner */
FL_INLINE bool fl_join_take_back(struct filch_scope *scope, int64_t bias)
{
    int64_t seen = load_relaxed(fl_join_others(scope)); /* hint: the swap decides */
    while (seen != bias)
        if (cas_weak_acq_rel(fl_join_others(scope), &seen, seen - fl_join_mine(scope) - bias)) /* [told] pairs with fl_join_told */
            return true;
    return false;
}

/** How many children the owner would wait for now; 0: none, and what they did is visible. */
FL_INLINE int64_t fl_join_missing(struct filch_scope *scope)
{
    return fl_join_mine(scope) + load_acquire(fl_join_others(scope)); /* [told] pairs with fl_join_told */
}

/** Nothing is missing: counts from zero again. */
FL_INLINE void fl_join_reset(struct filch_scope *scope)
{
    scope->mine_ = 0;
    store_relaxed(fl_join_others(scope), 0); /* own: no child is left */
}

#endif
