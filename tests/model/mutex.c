/* SPDX-License-Identifier: MIT */
/* runtime/sync/mutex.c: one holder at a time, who sees what the holders before it did; everybody who waits gets it; who has unlocked last may free it.
 *
 * What the mutex guards is plain: two holders are a race, and where races are not looked for (IMM) a count that is too small. A waiter that is
 * forgotten sleeps for ever (waits.h).
 *
 * Scenarios
 *   1  two threads
 *   2  two tasks
 *   3  one locks three times, so that the other may be woken and find it taken again: it is handed over then
 *   4  the same with two times, and the other is a task
 *   5  three threads
 *   6  one waits while two hold it, one of whom only tries
 *   7  whoever unlocks last frees it
 *   8  the same with three
 *   9  one who waits is pinned: the next is woken with it */
#include "waits.h"

#ifndef FL_MUTEX_SPINS
#define FL_MUTEX_SPINS (SCENARIO == 1)
#endif

/* Setting a bit that is set is one more write of the same to the checker, and another order of it with all others. Where three are about, only who finds
 * the bit clear sets it; two look at the very instruction. */
#if SCENARIO == 5 || SCENARIO == 8 || SCENARIO == 9
FL_INLINE uint32_t set_if_clear(_Atomic(uint32_t) *word, uint32_t bit)
{
    uint32_t seen = 0;
    while (!(seen & bit) && !cas_acquire(word, &seen, seen | bit))
        ;
    return seen;
}
#undef or_acquire
#define or_acquire(p, v) set_if_clear(p, v)
#endif

#include "sync/mutex.c"

static filch_mutex *mutex;
static int count; /* plain: the mutex guards it */
static int users; /* plain, likewise */

static void enter(void)
{
    filch_mutex_lock(mutex);
    count++;
}

static void round_(void)
{
    enter();
    filch_mutex_unlock(mutex);
}

static void *once_(void *arg)
{
    (void)arg;
    round_();
    return NULL;
}

static void *task_(void *arg)
{
    (void)arg;
    begin_task();
    round_();
    end_task();
    return NULL;
}

static void *pinned(void *arg)
{
    (void)arg;
    more_flags = FL_TASK_PINNED;
    round_();
    return NULL;
}

static void *tries(void *arg)
{
    (void)arg;
    if (filch_mutex_trylock(mutex)) {
        count += 10;
        filch_mutex_unlock(mutex);
    }
    return NULL;
}

static void *user(void *arg)
{
    (void)arg;
    enter();
    bool last = --users == 0;
    filch_mutex_unlock(mutex);
    if (last)
        free(mutex);
    return NULL;
}

int main(void)
{
    mutex = malloc(sizeof *mutex);
    mutex->word_ = 0;
    mutex->owner_ = mutex->head_ = mutex->tail_ = NULL;
#if SCENARIO == 1
    pthread_t a = start(once_, NULL);
    round_();
    join(a);
    assert(count == 2);
#elif SCENARIO == 2
    pthread_t a = start(task_, NULL);
    task_(NULL);
    join(a);
    assert(count == 2);
#elif SCENARIO == 3
    pthread_t a = start(once_, NULL);
    round_();
    round_();
    round_();
    join(a);
    assert(count == 4);
#elif SCENARIO == 4
    pthread_t a = start(task_, NULL);
    round_();
    round_();
    join(a);
    assert(count == 3);
#elif SCENARIO == 5
    pthread_t a = start(once_, NULL), b = start(once_, NULL);
    round_();
    join(a);
    join(b);
    assert(count == 3);
#elif SCENARIO == 9
    pthread_t a = start(pinned, NULL), b = start(once_, NULL);
    round_();
    join(a);
    join(b);
    assert(count == 3);
#elif SCENARIO == 6
    pthread_t a = start(once_, NULL), b = start(tries, NULL);
    round_();
    join(a);
    join(b);
    assert(count == 2 || count == 12);
#elif SCENARIO == 7
    users = 2;
    pthread_t a = start(user, NULL);
    user(NULL);
    join(a);
    assert(count == 2);
    return 0;
#elif SCENARIO == 8
    users = 3;
    pthread_t a = start(user, NULL), b = start(user, NULL);
    user(NULL);
    join(a);
    join(b);
    assert(count == 3);
    return 0;
#endif
    assert(mutex->word_ == 0);
    free(mutex);
    return 0;
}
