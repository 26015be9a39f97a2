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
 *   3. The table has about as many lists as notes: one for each joiner that is parked and each fork that has ended and is not met, however many.
 *   4. A joiner goes on once it has been given the result, or has found the runner's note.
 *
 * Rejected: result and state in the caller's frame, which the deque then has to point to (5.7 ns a fork against 4.3, docs/decisions/0013). */
#include "sched/park.h"
#include "base/panic.h"
#include "sync/wait.h"

#include <filch/task.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 1024        /* forks after which the inline part comes to the slow one again, when a spawner has set a bound (sync/scope.c) */
#define SLOW ((int64_t)1) /* in a token: its meet comes here as well */

int64_t filch_fork_slow_(filch_fn *fn, void *arg)
{
    struct fl_worker *w = fl_self();
    fl_panic_if(!w->hot.current_, "filch_fork outside a task");
    if (w->hot.kind_ != FL_KIND_WORKER)
        return FILCH_KEPT_;
    struct filch_deque_ *d = &w->hot.deque_;
    struct fl_item item = {(uintptr_t)fn, (uintptr_t)arg, (uintptr_t)w->hot.current_->inner_ | FL_WHOSE_FRAME, fl_deque_token(d)};
    if (!fl_deque_push(d, &item))
        return -ENOMEM;
    fl_deque_bound(d, DEPTH);
    fl_notify(w->runtime);
    return item.token | SLOW;
}

/* ---- notes ---- */

static uint64_t hash(int64_t token)
{
    return (uint64_t)token * 0x9e3779b97f4a7c15u; /* 2^64 by the golden ratio: Knuth, volume 3, 6.4 */
}

static struct fl_fork_place *place_of(struct filch_runtime *runtime, int64_t token)
{
    return &runtime->forks[hash(token) >> 60];
}

_Static_assert(FL_FORK_PLACES == 1 << (64 - 60), "place_of");

static uint64_t mask_of(const struct fl_fork_place *place)
{
    return place->mask ? place->mask : FL_FORK_FEW - 1;
}

static struct fl_fork_end **list_of(struct fl_fork_place *place, int64_t token)
{
    uint64_t mask = mask_of(place), h = hash(token) >> 20, i = h & mask;
    if (i < place->split)
        i = h & (2 * mask + 1);
    return place->room ? &place->lists[i] : &place->few[i];
}

/* Where the note of a token is linked, or NULL. Under the place's lock. */
static struct fl_fork_end **find(struct fl_fork_place *place, int64_t token)
{
    for (struct fl_fork_end **at = list_of(place, token); *at; at = &(*at)->next)
        if ((*at)->token == token)
            return at;
    return NULL;
}

static void take_note(struct fl_fork_place *place, struct fl_fork_end **at)
{
    *at = (*at)->next;
    place->notes--;
}

/* Splits the next list in two. Under the lock; there is room. */
static void split(struct fl_fork_place *place)
{
    uint64_t mask = mask_of(place);
    struct fl_fork_end *note = place->lists[place->split];
    place->lists[place->split] = place->lists[place->split + mask + 1] = NULL;
    if (++place->split > mask) {
        place->mask = 2 * mask + 1;
        place->split = 0;
    }
    while (note) {
        struct fl_fork_end *next = note->next, **list = list_of(place, note->token);
        note->next = *list;
        *list = note;
        note = next;
    }
}

/* Gives the lock back to get room for more lists. No memory: it stays as it is, only slower. */
static FL_COLD void widen(struct fl_fork_place *place)
{
    uint64_t had = place->room, room = had ? 2 * had : 4 * FL_FORK_FEW;
    fl_lock_give(&place->lock);
    struct fl_fork_end **lists = malloc(room * sizeof *lists);
    fl_lock_take(&place->lock);
    if (lists && place->room == had) {
        struct fl_fork_end **old = place->lists;
        memcpy(lists, had ? old : place->few, (had ? had : FL_FORK_FEW) * sizeof *lists);
        place->lists = lists;
        place->room = room;
        lists = old;
    }
    fl_lock_give(&place->lock);
    free(lists);
    fl_lock_take(&place->lock);
}

/* Under the lock, which may be given back for a moment once the note is there. */
static void leave_note(struct fl_fork_place *place, struct fl_fork_end *note)
{
    struct fl_fork_end **list = list_of(place, note->token);
    note->next = *list;
    *list = note;
    if (++place->notes <= mask_of(place) + 1 + place->split)
        return;
    if (place->room <= mask_of(place) + 1 + place->split)
        widen(place);
    if (place->room > mask_of(place) + 1 + place->split)
        split(place);
}

void fl_forks_fini(struct filch_runtime *runtime)
{
    for (unsigned i = 0; i < FL_FORK_PLACES; i++)
        free(runtime->forks[i].lists);
}

/* ---- ending and meeting ---- */

bool fl_fork_awaited(struct filch_runtime *runtime, int64_t token)
{
    struct fl_fork_place *place = place_of(runtime, token);
    fl_lock_take(&place->lock);
    bool awaited = find(place, token);
    fl_lock_give(&place->lock);
    return awaited;
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
    take_note(place, at);
    joiners->result = result;
    joiners->ended = true;
    fl_lock_give(&place->lock);
    fl_make_ready(joiner);
    return true;
}

/* The commit of a joiner's park. */
static struct fl_task *joiner_parked(void *arg)
{
    struct fl_fork_end *mine = arg;
    struct fl_task *task = mine->joiner;
    struct fl_fork_place *place = place_of(task->runtime, mine->token);
    fl_lock_take(&place->lock);
    bool ended = find(place, mine->token);
    if (!ended)
        leave_note(place, mine);
    fl_lock_give(&place->lock);
    return ended ? task : NULL;
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

static const struct fl_why meets = {.name = "meet"};

static int wait_for(int64_t token)
{
    struct fl_worker *w = fl_self();
    struct fl_fork_end mine = {.token = token, .joiner = fl_worker_task(w)};
    if (!joiner_over(&mine))
        fl_park_surely(w, joiner_parked, &mine, &meets, NULL, joiner_over);
    if (mine.ended) /* told before this was made ready */
        return mine.result;
    struct fl_fork_place *place = place_of(mine.joiner->runtime, token);
    fl_lock_take(&place->lock);
    struct fl_fork_end **at = find(place, token), *theirs = *at;
    take_note(place, at);
    fl_lock_give(&place->lock);
    int result = theirs->result;
    fl_worker_put_task(fl_self(), fl_container_of(theirs, struct fl_task, fork_end));
    return result;
}

int filch_meet_slow_(int64_t token, filch_fn *fn, void *arg)
{
    if (token < 0)
        return fn(arg);
    bool bounded = token & SLOW;
    token &= ~SLOW;
    struct fl_worker *w = fl_self();
    if (fl_worker_spent(w)) {
        fl_park_round(w);
        w = fl_self();
    }
    struct fl_item item;
    if (fl_deque_pop(&w->hot.deque_, &item)) {
        bool mine = item.whose & FL_WHOSE_FRAME && item.token == token;
        if (mine && bounded)
            fl_deque_bound(&w->hot.deque_, 0); /* as it was before this fork: the next spawn must see it */
        if (mine && !fl_deep(w))
            return fn(arg);
        if (mine) /* it has been met: under another name it leaves no graves */
            item.token = token = fl_deque_name(&w->hot.deque_);
        fl_deque_push(&w->hot.deque_, &item); /* cannot fail: its slot has just been freed */
        fl_notify(w->runtime);                /* for a moment it was not to be seen */
    }
    return wait_for(token);
}
