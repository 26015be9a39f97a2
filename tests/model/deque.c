/* SPDX-License-Identifier: MIT */
/* runtime/sched/deque.h and the owner's side of it in include/filch/hot_.h: each item is taken exactly once and whole, by the owner or a
 * thief; what it points to is visible; a thief gets the oldest; growth loses nothing and old buffers may still be read.
 *
 * Scenarios, with a first capacity of two, from 16 on of four
 *   1  the last item: a pop against a steal
 *   2  two items, two pops against two steals: the owner runs into the thief
 *   3  two items, a pop against two thieves
 *   4  slots used again: push pop push pop against two steals
 *   5  an empty deque is popped (bottom is -1 for a while) against two steals, then used
 *   6  growth under a thief: three items, two steals
 *   7  growth by an owner whose top is old: three items, three steals
 *   8  growth with two thieves
 *   9  growth twice, the thief stands in the first buffer
 *   10 round the buffer without growing
 *   11 as a join does it: the newest item is taken back, against two steals
 *   12 two items, two pops against two thieves of two steals
 *   13 the owner gives the older half away, against two steals
 *   14 it gives the last item away, against two thieves
 *   15 two in-frame forks, met where they were put, against two steals
 *   16 a fork above an older item: the loop leaves graves, against a steal
 *   17 the same after the fork was popped and put back */
#include "model.h"

#if SCENARIO >= 16 /* graves need room */
#undef FL_DEQUE_FIRST_CAPACITY
#define FL_DEQUE_FIRST_CAPACITY 4
#endif
#include "sched/deque.h"

#define ITEMS 5

static struct filch_deque_ deque;
static int payload[ITEMS]; /* plain: written before the push */
static struct once taken[ITEMS];

#if SCENARIO >= 15
static int64_t tokens[ITEMS]; /* of forks; written before the item is published */
static struct once met[ITEMS];
#endif

static int check(const struct fl_item *item)
{
    int i = (int)item->fn - 1;
    assert(i >= 0 && i < ITEMS);
    assert(item->arg == (uintptr_t)&payload[i]);
    assert((item->whose & ~FL_WHOSE_MASK) == (uintptr_t)(8 * (i + 100)));
#if SCENARIO >= 15
    assert(!(item->whose & FL_WHOSE_FRAME) || item->token == tokens[i]);
#endif
    assert(*(int *)item->arg == i + 10);
    once(&taken[i]);
    return i;
}

/* ---- the owner ---- */

static void push(int i)
{
    payload[i] = i + 10;
    struct fl_item item = {.fn = (uintptr_t)(i + 1), .arg = (uintptr_t)&payload[i], .whose = (uintptr_t)(8 * (i + 100))};
    bool ok = fl_deque_push(&deque, &item);
    assert(ok);
}

static bool pop(void)
{
    struct fl_item item;
    if (!fl_deque_pop(&deque, &item))
        return false;
    check(&item);
    return true;
}

/* As a join does: item i, if it is the newest. */
static bool take_back(int i)
{
    struct filch_slot_ *slot;
    if (!filch_deque_take_back_(&deque, (uintptr_t)(8 * (i + 100)), &slot))
        return false;
    struct fl_item item = {slot->fn_, slot->arg_, slot->whose_, 0};
    int got = check(&item);
    assert(got == i);
    return true;
}

#if SCENARIO >= 15
/* As filch_fork and filch_meet do it; the scope is 8 * (i + 100). */
static void fork_(int i)
{
    payload[i] = i + 10;
    int64_t b = load_relaxed(FL_DEQUE_BOTTOM(&deque));
    assert(b < deque.limit_);
    tokens[i] = b + FILCH_STEP_;
    int64_t token = filch_deque_put_(&deque, filch_slot_own_(&deque, b), b, (uintptr_t)(i + 1), (uintptr_t)&payload[i],
                                     (uintptr_t)(8 * (i + 100)) | FL_WHOSE_FRAME);
    assert(token == tokens[i]);
}

static bool meet(int i)
{
    if (!filch_deque_guessed_(&deque, tokens[i]) || !filch_deque_claim_(&deque, tokens[i] - FILCH_STEP_))
        return false;
    once(&taken[i]);
    once(&met[i]);
    return true;
}

/* As the loop does it. Bottom never comes back to a token that is still to be met, unless the fork stands there, or top has passed it. */
static void next(void)
{
    struct fl_item item;
    if (fl_deque_next(&deque, &item) || fl_deque_oldest(&deque, &item))
        check(&item);
    for (int i = 0; i < ITEMS; i++)
        assert(tokens[i] == 0 || happened(&met[i]) || load_relaxed(FL_DEQUE_TOP(&deque)) >= tokens[i] ||
               load_relaxed(FL_DEQUE_BOTTOM(&deque)) > tokens[i]);
}
#endif

static void give(unsigned most)
{
    struct fl_item items[2];
    unsigned n = fl_deque_give(&deque, items, most);
    assert(n <= most);
    int last = -1;
    for (unsigned i = 0; i < n; i++) {
        int got = check(&items[i]);
        assert(got > last);
        last = got;
    }
}

/* ---- thieves ---- */

/* @return the item, or `last`. */
static int steal(int last)
{
    struct fl_item item;
    if (fl_deque_steal(&deque, &item) != FL_STEAL_GOT)
        return last;
    int i = check(&item);
    assert(i > last); /* the oldest first */
    return i;
}

static void *one(void *arg)
{
    (void)arg;
    steal(-1);
    return NULL;
}

static void *two(void *arg)
{
    (void)arg;
    steal(steal(-1));
    return NULL;
}

static void *three(void *arg)
{
    (void)arg;
    steal(steal(steal(-1)));
    return NULL;
}

/* ---- */

/* Only the owner is left: what is in the deque and what was taken is all there ever was. */
static void all_taken(int n)
{
    struct fl_item item;
    while (pop() || (fl_deque_oldest(&deque, &item) && check(&item) >= 0))
        ;
    for (int i = 0; i < n; i++)
        assert(happened(&taken[i]));
    fl_deque_fini(&deque);
}

int main(void)
{
    bool ok = fl_deque_init(&deque, 0);
    assert(ok);
#if SCENARIO == 1
    pthread_t a = start(one, NULL);
    push(0);
    pop();
    join(a);
    all_taken(1);
#elif SCENARIO == 2
    pthread_t a = start(two, NULL);
    push(0);
    push(1);
    pop();
    pop();
    join(a);
    all_taken(2);
#elif SCENARIO == 3
    pthread_t a = start(one, NULL), b = start(one, NULL);
    push(0);
    push(1);
    pop();
    join(a);
    join(b);
    all_taken(2);
#elif SCENARIO == 4
    pthread_t a = start(two, NULL);
    push(0);
    pop();
    push(1);
    pop();
    join(a);
    all_taken(2);
#elif SCENARIO == 5
    pthread_t a = start(two, NULL);
    pop();
    push(0);
    push(1);
    join(a);
    all_taken(2);
#elif SCENARIO == 6
    pthread_t a = start(two, NULL);
    push(0);
    push(1);
    push(2);
    pop();
    join(a);
    all_taken(3);
#elif SCENARIO == 7
    pthread_t a = start(three, NULL);
    push(0);
    push(1);
    push(2);
    join(a);
    all_taken(3);
#elif SCENARIO == 8
    pthread_t a = start(one, NULL), b = start(one, NULL);
    push(0);
    push(1);
    push(2);
    join(a);
    join(b);
    all_taken(3);
#elif SCENARIO == 9
    pthread_t a = start(one, NULL);
    for (int i = 0; i < 5; i++)
        push(i);
    pop();
    join(a);
    all_taken(5);
#elif SCENARIO == 10
    pthread_t a = start(two, NULL);
    push(0);
    pop();
    push(1);
    push(2);
    pop();
    push(3);
    join(a);
    all_taken(4);
#elif SCENARIO == 11
    pthread_t a = start(two, NULL);
    push(0);
    push(1);
    struct filch_slot_ *slot;
    bool wrong = filch_deque_take_back_(&deque, 800, &slot);
    assert(!wrong); /* not the newest: nothing is touched */
    if (take_back(1))
        take_back(0);
    join(a);
    all_taken(2);
#elif SCENARIO == 12
    pthread_t a = start(two, NULL), b = start(two, NULL);
    push(0);
    push(1);
    pop();
    pop();
    join(a);
    join(b);
    all_taken(2);
#elif SCENARIO == 13
    pthread_t a = start(two, NULL);
    push(0);
    push(1);
    push(2);
    give(2);
    pop();
    join(a);
    all_taken(3);
#elif SCENARIO == 14
    pthread_t a = start(one, NULL), b = start(one, NULL);
    push(0);
    give(2);
    push(1);
    pop();
    join(a);
    join(b);
    all_taken(2);
#elif SCENARIO == 15
    pthread_t a = start(two, NULL);
    fork_(0);
    fork_(1);
    if (meet(1))
        meet(0);
    join(a);
    all_taken(2);
#elif SCENARIO == 16
    pthread_t a = start(one, NULL);
    push(0);
    fork_(1);
    next();
    next();
    join(a);
    all_taken(2);
#elif SCENARIO == 17
    struct fl_item item;
    pthread_t a = start(one, NULL);
    push(0);
    fork_(1);
    if (fl_deque_pop(&deque, &item)) { /* not the one that was looked for: it goes back */
        bool back = fl_deque_push(&deque, &item);
        assert(back);
    }
    next();
    join(a);
    all_taken(2);
#endif
    return 0;
}
