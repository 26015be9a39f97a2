/* SPDX-License-Identifier: MIT */
/* runtime/sched/idle.h: no lost wake-up. Work is a word a piece, as visible and as takeable as the items of a deque; who takes one is busy for ever
 * (a task may stall), so whatever is left is somebody else's to find.
 *
 * A worker runs what sched/worker.c does: it searches, naps or dozes, looks again, sleeps. It is asleep once it has looked in vain and nobody has
 * woken it; when all threads have ended, those that were woken since go on one after the other, and so does who lingers, because its
 * sleep ends by itself. Then work may be left only if nobody sleeps, and the word must say what everybody does.
 *
 * Scenarios
 *   1  a producer, and a worker that goes to sleep
 *   2  the same by the inline look of include/filch/hot_.h
 *   3  one sleeps, one goes to sleep, two pieces
 *   4  one sleeps, one searches and finds a piece: it must wake the other for the second; two producers
 *   5  two go to sleep, one piece
 *   6  one naps, one sleeps, two pieces: the producer relies on the nap
 *   7  one finds a piece while another goes to sleep, two pieces
 *   8  one lingers, one sleeps, two pieces, two producers
 *   9  two go to sleep and both would linger; the producer looks at the word before
 *   10 a sleeper is woken by its own ring while a producer claims it; the other sleeper must not be forgotten
 *   11 the same with one that lingers
 *   12 somebody looks at the word while one goes to sleep and another is claimed: its fields never wrap
 *   13 somebody looks at the word while a sleeper is woken twice
 *   14 somebody looks at the word during a nap, and while the other would nap too
 *   15 three workers: one finds a piece, one goes to sleep, one sleeps
 *   16 a producer means to wake a sleeper who rises by itself, and meets one that only goes to sleep; somebody looks at the word
 *   17 one pauses between two searches, one sleeps, two pieces
 *   18 a relief searches and leaves, another sleeps: the producer relies on the search
 *   19 a relief sleeps, is dismissed and leaves, while a producer wakes it for a piece; another sleeps
 *   20 a relief leaves while another goes to sleep
 *   21 a relief joins, another sleeps and is woken by its own ring
 *   22 a relief leaves, one sleeps, one finds a piece, two pieces
 *   23 a relief that has stepped aside begins a task, in which it stalls, while a worker goes to sleep: that one must watch it
 *   24 the same while the worker naps first
 *   25 a worker is stalled; a relief leaves and steps aside while another worker goes to sleep: that one must watch */
#include "model.h"

#include "sched/idle.h"

#include <filch/hot_.h>

#define WORKERS (SCENARIO <= 2 ? 1 : SCENARIO == 15 || SCENARIO == 22 ? 3 : 2)
#define PIECES                                                                                                                   \
    (SCENARIO == 1 || SCENARIO == 2 || SCENARIO == 5 || SCENARIO == 9 || (SCENARIO >= 12 && SCENARIO <= 14) || SCENARIO == 16 || \
             (SCENARIO >= 18 && SCENARIO <= 21)                                                                                  \
         ? 1                                                                                                                     \
         : 2)

enum { NONE = 0, THERE = 1, TAKEN = 2 };
enum doing { SEARCHES, SLEEPS, BUSY, ASIDE, WATCHES };

static struct fl_idle idle;
static struct fl_sleeper sleepers[WORKERS];
static enum doing doing[WORKERS]; /* plain: each worker's own */
static _Atomic(int) work[PIECES];

/* ---- what sched/worker.c and sched/steal.c do ---- */

static void wake_one(int first)
{
    for (int i = 0; i < WORKERS; i++)
        if (fl_idle_claim(&idle, &sleepers[(first + i) % WORKERS]))
            return;
}

static bool visible(void)
{
    for (int i = 0; i < PIECES; i++)
        if (load_relaxed(&work[i]) == THERE)
            return true;
    return false;
}

/* A searcher asks the others. */
static bool find(int me)
{
    for (int i = 0; i < PIECES; i++) {
        int seen = load_relaxed(&work[i]);
        if (seen == THERE && cas_acquire(&work[i], &seen, TAKEN)) {
            doing[me] = BUSY;
            if (fl_idle_found(&idle))
                wake_one(0);
            return true;
        }
    }
    return false;
}

/* A searcher that found nothing goes to sleep, and wakes if it need not or was woken. @return whether it searches again. */
static bool sleep_(int me, bool linger)
{
    fl_idle_doze(&idle, &sleepers[me], linger);
    doing[me] = SLEEPS;
    if (!visible() && fl_idle_still(&sleepers[me]))
        return false;
    fl_idle_undo(&idle, &sleepers[me]);
    doing[me] = SEARCHES;
    return true;
}

/* Until it has found work or sleeps; if it is woken and finds nothing `rounds` times, what follows is left to settle. */
static void search(int me, bool linger, int rounds)
{
    for (int i = 0; i < rounds; i++)
        if (find(me) || !sleep_(me, linger))
            return;
    find(me);
}

static void produce(int piece, int first)
{
    store_release(&work[piece], THERE);
    if (fl_idle_wanted(&idle))
        wake_one(first);
}

static void produce_inline(int piece, int first)
{
    static struct filch_worker_ worker;
    worker.idle_ = (uint64_t *)&idle.word;
    store_release(&work[piece], THERE);
    if (filch_sleepers_(&worker) && fl_idle_wanted(&idle))
        wake_one(first);
}

/* ---- threads ---- */

static void *searcher(void *arg)
{
    search((int)(intptr_t)arg, false, 1);
    return NULL;
}

static void *lingerer(void *arg)
{
    search((int)(intptr_t)arg, true, 1);
    return NULL;
}

static void *finder(void *arg)
{
    search((int)(intptr_t)arg, false, 0);
    return NULL;
}

static void *napper(void *arg)
{
    int me = (int)(intptr_t)arg;
    if (find(me))
        return NULL;
    if (fl_idle_nap(&idle))
        fl_idle_nap_over(&idle);
    search(me, false, 1);
    return NULL;
}

static void *pauser(void *arg)
{
    int me = (int)(intptr_t)arg;
    if (find(me))
        return NULL;
    fl_idle_pause(&idle);
    fl_idle_search(&idle);
    search(me, false, 1);
    return NULL;
}

/* It sleeps; its ring has a completion. */
static void *riser(void *arg)
{
    int me = (int)(intptr_t)arg;
    fl_idle_undo(&idle, &sleepers[me]);
    doing[me] = SEARCHES;
    find(me);
    return NULL;
}

static void *producer(void *arg)
{
    produce((int)(intptr_t)arg, 0);
    return NULL;
}

/* It has ended its task. */
static void *late_sleeper(void *arg)
{
    int me = (int)(intptr_t)arg;
    fl_idle_search(&idle);
    doing[me] = SEARCHES;
    sleep_(me, false);
    return NULL;
}

/* A relief whose duty is over: it has gone round without finding that out, and leaves without another look. */
static void leave(int me)
{
    bool wake = fl_idle_leave(&idle);
    doing[me] = ASIDE;
    if (wake)
        wake_one(1);
}

static void *leaver(void *arg)
{
    leave((int)(intptr_t)arg);
    return NULL;
}

/* It sleeps, and is dismissed: fl_relief_assign claims it, if nobody else has. */
static void *dismissed(void *arg)
{
    int me = (int)(intptr_t)arg;
    fl_idle_undo(&idle, &sleepers[me]);
    doing[me] = SEARCHES;
    leave(me);
    return NULL;
}

/* A relief that was called. */
static void *joiner(void *arg)
{
    int me = (int)(intptr_t)arg;
    fl_idle_search(&idle);
    doing[me] = SEARCHES;
    search(me, false, 1);
    return NULL;
}

/* It steps aside afterwards. */
static void *parter(void *arg)
{
    int me = (int)(intptr_t)arg;
    bool wake = fl_idle_leave(&idle);
    doing[me] = ASIDE;
    if (wake)
        wake_one(1);
    fl_idle_part(&idle);
    return NULL;
}

/* A relief that had stepped aside takes a task, and stalls in it. */
static void *beginner(void *arg)
{
    doing[(int)(intptr_t)arg] = BUSY;
    if (fl_idle_take_part(&idle))
        wake_one(0);
    return NULL;
}

/* A worker that finds nothing: it keeps the watch if it must, and else sleeps. */
static void watch_or_sleep(int me)
{
    for (;;) {
        if (fl_idle_somebody_works(&idle) && fl_idle_nap(&idle)) {
            doing[me] = WATCHES;
            return;
        }
        fl_idle_doze(&idle, &sleepers[me], false);
        doing[me] = SLEEPS;
        if (!fl_idle_unwatched(&idle) && fl_idle_still(&sleepers[me]))
            return;
        fl_idle_undo(&idle, &sleepers[me]);
        doing[me] = SEARCHES;
    }
}

static void *watcher(void *arg)
{
    int me = (int)(intptr_t)arg;
    if (SCENARIO == 24 && fl_idle_nap(&idle))
        fl_idle_nap_over(&idle);
    watch_or_sleep(me);
    return NULL;
}

/* All threads have ended, and somebody is stalled. */
static void settle_watch(int me)
{
    if (doing[me] == SLEEPS && load_relaxed(&sleepers[me].state) != FL_ASLEEP) {
        fl_idle_undo(&idle, &sleepers[me]);
        watch_or_sleep(me);
    }
    assert(doing[me] == WATCHES);
}

static void *observer(void *arg)
{
    (void)arg;
    uint64_t word = load_relaxed(&idle.word);
    assert(fl_idle_searching(word) <= WORKERS);
    assert(fl_idle_sleeping(word) <= WORKERS);
    assert(fl_idle_napping(word) <= 1);
    assert(fl_idle_lingering(word) <= 1);
    return NULL;
}

static pthread_t begin(void *(*fn)(void *), int me)
{
    return start(fn, (void *)(intptr_t)me);
}

/* ---- before and after ---- */

/* The last `asleep` of the workers sleep, the others search; the very last one may linger. */
static void workers(int asleep, bool linger)
{
    for (int i = 0; i < WORKERS; i++) {
        doing[i] = SEARCHES;
        fl_idle_search(&idle);
    }
    for (int i = WORKERS - asleep; i < WORKERS; i++)
        sleep_(i, linger && i == WORKERS - 1);
}

/* All threads have ended. Who is no longer asleep goes on, and so does who lingers. */
static void settle(void)
{
    for (int round = 0; round <= PIECES; round++) { /* each but the last makes a worker busy, or there is nothing to do */
        for (int i = 0; i < WORKERS; i++) {
            if (doing[i] == SLEEPS && load_relaxed(&sleepers[i].state) != FL_ASLEEP) {
                fl_idle_undo(&idle, &sleepers[i]);
                doing[i] = SEARCHES;
            }
            if (doing[i] == SEARCHES)
                search(i, false, 1);
        }
    }
    uint64_t word = 0;
    for (int i = 0; i < WORKERS; i++) {
        assert(doing[i] != SEARCHES);
        word += doing[i] == SLEEPS ? FL_SLEEPING : 0;
    }
    assert(load_relaxed(&idle.word) == word);
    assert(word == 0 || !visible());
}

int main(void)
{
#if SCENARIO == 1 || SCENARIO == 2
    workers(0, false);
    pthread_t a = begin(searcher, 0);
    if (SCENARIO == 1)
        produce(0, 0);
    else
        produce_inline(0, 0);
    join(a);
#elif SCENARIO == 3
    workers(1, false);
    pthread_t a = begin(searcher, 0);
    produce(0, 0);
    produce(1, 0);
    join(a);
#elif SCENARIO == 4
    workers(1, false);
    pthread_t a = begin(searcher, 0), b = begin(producer, 0);
    produce(1, 0);
    join(a);
    join(b);
#elif SCENARIO == 5
    workers(0, false);
    pthread_t a = begin(searcher, 0), b = begin(searcher, 1);
    produce(0, 0);
    join(a);
    join(b);
#elif SCENARIO == 6
    workers(1, false);
    pthread_t a = begin(napper, 0);
    produce(0, 0);
    produce(1, 0);
    join(a);
#elif SCENARIO == 7
    workers(0, false);
    pthread_t a = begin(finder, 0), b = begin(searcher, 1);
    produce(0, 0);
    produce(1, 0);
    join(a);
    join(b);
#elif SCENARIO == 8
    workers(2, true);
    pthread_t a = begin(producer, 0);
    produce(1, 1);
    join(a);
#elif SCENARIO == 9
    workers(0, false);
    pthread_t a = begin(lingerer, 0), b = begin(lingerer, 1);
    observer(NULL);
    produce(0, 0);
    join(a);
    join(b);
#elif SCENARIO == 10
    workers(2, false);
    pthread_t a = begin(riser, 0), b = begin(producer, 0);
    produce(1, 0);
    join(a);
    join(b);
#elif SCENARIO == 11
    workers(2, true);
    pthread_t a = begin(riser, 1), b = begin(producer, 0);
    produce(1, 1);
    join(a);
    join(b);
#elif SCENARIO == 12
    workers(1, false);
    pthread_t a = begin(searcher, 0), b = begin(observer, 0);
    produce(0, 0);
    join(a);
    join(b);
#elif SCENARIO == 13
    workers(2, true);
    pthread_t a = begin(riser, 1), b = begin(observer, 0);
    produce(0, 1);
    join(a);
    join(b);
#elif SCENARIO == 14
    workers(0, false);
    pthread_t a = begin(napper, 0), b = begin(observer, 0);
    if (fl_idle_nap(&idle))
        fl_idle_nap_over(&idle);
    join(a);
    join(b);
#elif SCENARIO == 15
    workers(1, false);
    store_relaxed(&work[0], THERE);
    pthread_t a = begin(finder, 0), b = begin(searcher, 1);
    produce(1, 0);
    join(a);
    join(b);
#elif SCENARIO == 16
    workers(2, false);
    fl_idle_undo(&idle, &sleepers[0]);
    fl_idle_found(&idle);
    doing[0] = BUSY;
    pthread_t a = begin(late_sleeper, 0), b = begin(riser, 1), c = begin(observer, 0);
    produce(0, 0);
    join(a);
    join(b);
    join(c);
#elif SCENARIO == 17
    workers(1, false);
    pthread_t a = begin(pauser, 0);
    produce(0, 0);
    produce(1, 0);
    join(a);
#elif SCENARIO == 18
    workers(1, false);
    pthread_t a = begin(leaver, 0);
    produce(0, 1);
    join(a);
#elif SCENARIO == 19
    workers(2, false);
    pthread_t a = begin(dismissed, 0);
    produce(0, 0);
    join(a);
#elif SCENARIO == 20
    workers(0, false);
    pthread_t a = begin(leaver, 0), b = begin(searcher, 1);
    produce(0, 1);
    join(a);
    join(b);
#elif SCENARIO == 21
    workers(2, false);
    fl_idle_undo(&idle, &sleepers[0]); /* aside, to begin with */
    fl_idle_leave(&idle);
    doing[0] = ASIDE;
    pthread_t a = begin(joiner, 0), b = begin(riser, 1);
    produce(0, 0);
    join(a);
    join(b);
#elif SCENARIO == 22
    workers(1, false);
    store_relaxed(&work[0], THERE);
    pthread_t a = begin(leaver, 0), b = begin(finder, 1);
    produce(1, 2);
    join(a);
    join(b);
#elif SCENARIO == 23 || SCENARIO == 24
    workers(0, false);
    fl_idle_leave(&idle);
    doing[0] = ASIDE;
    store_relaxed(&idle.active, 1); /* init: before the threads */
    pthread_t a = begin(beginner, 0), b = begin(watcher, 1);
    join(a);
    join(b);
    settle_watch(1);
    return 0;
#elif SCENARIO == 25
    workers(0, false);
    store_relaxed(&idle.active, 3); /* init: before the threads; one is stalled */
    pthread_t a = begin(parter, 0), b = begin(watcher, 1);
    join(a);
    join(b);
    settle_watch(1);
    return 0;
#endif
    settle();
    return 0;
}
