/* SPDX-License-Identifier: MIT */
/* The in-frame fork: one child, offered from the caller's own frame, of which nothing is left in memory but its item in the deque.
 *
 * If the item is still there when the caller comes back for it, it is taken out and the call is made as if the caller had made it: no descriptor,
 * no count, and nothing whose address a compiler would have to keep, so that it may inline the call or make a loop of it. Only a thief (or the
 * loop, while the caller is parked) wraps it in a descriptor. Then runner and joiner meet in a table of the runtime, under the fork's token: whoever comes
 * first leaves a note. The runner's lies in its descriptor, the joiner's in its frame, so that neither needs memory.
 *
 * Invariants
 *   1. A token names one fork from its fork to its meet (sched/deque.h, invariant 5).
 *   2. There is at most one note of a token: the runner's once it has ended, or the joiner's while it is parked.
 *   3. A joiner goes on once it has been given the result, or has found the runner's note.
 *
 * Rejected: result and state in the caller's frame, which the deque then has to point to (5.7 ns a fork against 4.3, docs/decisions/0013). */
#include "sched/park.h"
#include "base/panic.h"
#include "sync/wait.h"

#include <filch/task.h>

#include <errno.h>

#define DEPTH 1024        /* forks after which the inline part comes to the slow one again, when a spawner has set a bound (sync/scope.c) */
#define SLOW ((int64_t)1) /* in a token: no index, so that its meet comes here as well */

int64_t filch_fork_slow_(filch_fn *fn, void *arg)
{
    struct fl_worker *w = fl_self();
    fl_panic_if(!w->hot.current_, "filch_fork outside a task");
    if (w->hot.kind_ != FL_KIND_WORKER)
        return FILCH_KEPT_;
    struct fl_item item = {(uintptr_t)fn, (uintptr_t)arg, (uintptr_t)w->hot.current_->inner_ | FL_WHOSE_FRAME,
                           fl_deque_token(&w->hot.deque_)};
    if (!fl_deque_push(&w->hot.deque_, &item))
        return -ENOMEM;
    fl_deque_bound(&w->hot.deque_, DEPTH);
    fl_notify(w->runtime);
    return w->hot.deque_.fenced_ ? item.token | SLOW : item.token;
}

static struct fl_fork_place *place_of(struct filch_runtime *runtime, int64_t token)
{
    return &runtime->forks[token / FILCH_STEP_ % FL_FORK_PLACES];
}

/* Where the note of a token is linked, or NULL. Under the place's lock. */
static struct fl_fork_end **find(struct fl_fork_place *place, int64_t token)
{
    for (struct fl_fork_end **at = &place->first; *at; at = &(*at)->next)
        if ((*at)->token == token)
            return at;
    return NULL;
}

static void leave_note(struct fl_fork_place *place, struct fl_fork_end *note)
{
    note->next = place->first;
    place->first = note;
}

bool fl_fork_ended(struct fl_task *task, int result)
{
    int64_t token = task->token;
    struct fl_fork_place *place = place_of(task->runtime, token);
    fl_lock_take(&place->lock);
    struct fl_fork_end **at = find(place, token);
    if (!at) {
        task->fork_end = (struct fl_fork_end){.token = token, .result = result};
        leave_note(place, &task->fork_end);
        fl_lock_give(&place->lock);
        return false;
    }
    struct fl_fork_end *joiners = *at;
    struct fl_task *joiner = joiners->joiner; /* read before the lock is given: the note is gone once the joiner goes on */
    *at = joiners->next;
    joiners->result = result;
    joiners->ended = true;
    fl_lock_give(&place->lock);
    fl_make_ready(joiner);
    return true;
}

/* The commit of a joiner's park. */
static void joiner_parked(void *arg)
{
    struct fl_fork_end *mine = arg;
    struct fl_task *task = mine->joiner;
    struct fl_fork_place *place = place_of(task->runtime, mine->token);
    fl_lock_take(&place->lock);
    bool ended = find(place, mine->token);
    if (!ended)
        leave_note(place, mine);
    fl_lock_give(&place->lock);
    if (ended)
        fl_make_ready(task);
}

static bool joiner_over(void *arg)
{
    struct fl_fork_end *mine = arg;
    struct fl_fork_place *place = place_of(mine->joiner->runtime, mine->token);
    fl_lock_take(&place->lock);
    bool ended = mine->ended || find(place, mine->token);
    fl_lock_give(&place->lock);
    return ended;
}

static int wait_for(int64_t token)
{
    struct fl_worker *w = fl_self();
    struct fl_fork_end mine = {.token = token, .joiner = fl_worker_task(w)};
    if (!joiner_over(&mine))
        fl_park_surely(w, joiner_parked, &mine, "meet", joiner_over);
    if (mine.ended) /* told before this was made ready */
        return mine.result;
    struct fl_fork_place *place = place_of(mine.joiner->runtime, token);
    fl_lock_take(&place->lock);
    struct fl_fork_end **at = find(place, token), *theirs = *at;
    *at = theirs->next;
    fl_lock_give(&place->lock);
    int result = theirs->result;
    fl_worker_put_task(fl_self(), fl_container_of(theirs, struct fl_task, fork_end));
    return result;
}

int filch_meet_slow_(int64_t token, filch_fn *fn, void *arg)
{
    if (token < 0)
        return fn(arg);
    token &= ~SLOW;
    struct fl_worker *w = fl_self();
    if (fl_worker_spent(w)) {
        struct fl_task *first = fl_worker_look_round(w);
        if (first)
            fl_park_give_way(w, first);
        w = fl_self();
    }
    struct fl_item item;
    if (!fl_deep(w) && fl_deque_pop(&w->hot.deque_, &item)) {
        if (item.whose & FL_WHOSE_FRAME && item.token == token)
            return fn(arg);
        fl_deque_push(&w->hot.deque_, &item); /* cannot fail: its slot has just been freed */
    }
    return wait_for(token);
}
