/* SPDX-License-Identifier: MIT */
/* The laws of semaphores, condition variables, reader-writer locks, once and barriers: who comes first is served first, a wait that is cut short takes nothing along, and
 * tasks and plain threads stand in the same queues.
 *
 * What is not tested here: all of them under random cancels at once, which is stress_wait. */
#include "api.h"

#include <signal.h>

/* ---- semaphores ---- */

struct hall {
    filch_sem sem;
    atomic_int came, in, order;
    int place[8];
};

struct guest {
    struct hall *hall;
    int i;
};

static int enter_in_order(void *arg)
{
    struct guest *guest = arg;
    atomic_fetch_add(&guest->hall->came, 1);
    must(filch_sem_acquire(&guest->hall->sem) == 0);
    guest->hall->place[atomic_fetch_add(&guest->hall->order, 1)] = guest->i;
    filch_sem_release(&guest->hall->sem);
    return 0;
}

static int stand_in_line(void *arg)
{
    struct hall *hall = arg;
    struct guest guests[8];
    FILCH_SCOPE(s);
    for (int i = 0; i < 8; i++) {
        guests[i] = (struct guest){hall, i};
        must(filch_spawn(&s, enter_in_order, &guests[i]) == 0);
        while (atomic_load(&hall->came) <= i)
            filch_yield();
        filch_sleep(FILCH_MSEC(1)); /* until it stands in the queue */
    }
    must(atomic_load(&hall->order) == 0);
    filch_sem_release(&hall->sem);
    must(filch_join(&s) == 0);
    for (int i = 0; i < 8; i++)
        must(hall->place[i] == i);
    must(filch_sem_try(&hall->sem) && !filch_sem_try(&hall->sem));
    return 0;
}

Test(wait, a_semaphore_serves_in_the_order_of_arrival)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct hall hall = {0};
        must(filch_run(config, stand_in_line, &hall) == 0);
    }
}

Test(wait, a_semaphore_begins_with_what_it_is_given)
{
    static filch_sem sem = FILCH_SEM(2);
    must(filch_sem_try(&sem) && filch_sem_acquire(&sem) == 0 && !filch_sem_try(&sem));
    filch_sem_release(&sem);
    must(filch_sem_try(&sem));
}

static int give_up(void *arg)
{
    filch_sem *sem = arg;
    {
        FILCH_SCOPE_UNTIL(s, filch_after(FILCH_MSEC(2)));
        must(filch_sem_acquire(sem) == -ETIMEDOUT);
    }
    filch_sem_release(sem);
    must(filch_sem_try(sem)); /* the one that gave up did not take it */
    return 0;
}

Test(wait, a_wait_for_a_unit_that_is_cut_short_takes_none)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        filch_sem sem = {0};
        must(filch_run(config, give_up, &sem) == 0);
    }
}

static void *thread_releases(void *arg)
{
    usleep(1000);
    filch_sem_release(arg);
    return NULL;
}

static int acquire_one(void *arg)
{
    return filch_sem_acquire(arg);
}

Test(wait, threads_and_tasks_pass_units_to_each_other)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        filch_sem sem = {0};
        pthread_t thread = thread_start(thread_releases, &sem);
        must(filch_run(config, acquire_one, &sem) == 0);
        thread_join(thread);
        thread = thread_start(thread_releases, &sem);
        must(filch_sem_acquire(&sem) == 0); /* as a plain thread */
        thread_join(thread);
    }
}

/* ---- conditions ---- */

struct stock {
    filch_mutex mutex;
    filch_cond cond;
    int there, wanted, waiting;
    atomic_int got;
};

static int want_one(void *arg)
{
    struct stock *stock = arg;
    FILCH_GUARD(&stock->mutex);
    stock->waiting++;
    while (stock->there == 0)
        must(filch_cond_wait(&stock->cond, &stock->mutex) == 0);
    stock->there--;
    atomic_fetch_add(&stock->got, 1);
    return 0;
}

static int waiting(struct stock *stock)
{
    FILCH_GUARD(&stock->mutex);
    return stock->waiting;
}

static void put(struct stock *stock, int n)
{
    FILCH_GUARD(&stock->mutex);
    stock->there += n;
}

static int deliver(void *arg)
{
    struct stock *stock = arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 10; i++)
        must(filch_spawn(&s, want_one, stock) == 0);
    while (waiting(stock) < 10)
        filch_sleep(FILCH_USEC(100));
    filch_cond_signal(&stock->cond); /* nothing is there: whoever it wakes waits again */
    for (int i = 1; i <= 3; i++) {
        put(stock, 1);
        filch_cond_signal(&stock->cond);
        while (atomic_load(&stock->got) < i)
            filch_sleep(FILCH_USEC(100));
    }
    put(stock, 7);
    must(atomic_load(&stock->got) == 3);
    filch_cond_broadcast(&stock->cond);
    must(filch_join(&s) == 0 && stock->there == 0);
    {
        FILCH_SCOPE_UNTIL(late, filch_after(FILCH_MSEC(1)));
        FILCH_GUARD(&stock->mutex); /* held again whatever the wait returns: else the guard would panic */
        must(filch_cond_wait(&stock->cond, &stock->mutex) == -ETIMEDOUT);
    }
    return 0;
}

Test(wait, a_signal_wakes_one_and_a_broadcast_all)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct stock stock = {0};
        must(filch_run(config, deliver, &stock) == 0);
    }
}

/* ---- reader-writer locks ---- */

struct book {
    filch_rwlock lock;
    atomic_int readers, arrived, asked, written, refused;
};

static int read_together(void *arg)
{
    struct book *book = arg;
    filch_rwlock_read(&book->lock);
    atomic_fetch_add(&book->readers, 1);
    atomic_fetch_add(&book->arrived, 1);
    while (atomic_load(&book->arrived) < 4) /* all read at once */
        filch_sleep(FILCH_MSEC(1));
    filch_sleep(FILCH_MSEC(5));
    atomic_fetch_sub(&book->readers, 1);
    filch_rwlock_unlock(&book->lock);
    return 0;
}

static int write_alone(void *arg)
{
    struct book *book = arg;
    atomic_fetch_add(&book->asked, 1);
    filch_rwlock_write(&book->lock);
    must(atomic_load(&book->readers) == 0);
    atomic_store(&book->written, 1);
    filch_rwlock_unlock(&book->lock);
    return 0;
}

static int use_book(void *arg)
{
    struct book *book = arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 4; i++)
        must(filch_spawn(&s, read_together, book) == 0);
    while (atomic_load(&book->arrived) < 4)
        filch_yield();
    must(filch_rwlock_try_read(&book->lock) && !filch_rwlock_try_write(&book->lock));
    filch_rwlock_unlock(&book->lock);
    must(filch_spawn(&s, write_alone, book) == 0);
    while (atomic_load(&book->readers) > 0) { /* once the writer stands in the queue, readers stand behind it */
        if (!filch_rwlock_try_read(&book->lock)) {
            atomic_store(&book->refused, 1);
            break;
        }
        filch_rwlock_unlock(&book->lock);
        filch_yield();
    }
    must(filch_join(&s) == 0);
    return 0;
}

Test(wait, readers_share_writers_are_alone_and_stand_before_later_readers)
{
    int refused = 0; /* a slow machine may be too late to see it, but not each time */
    FOR_EACH_CONFIG(config, every_config)
    {
        struct book book = {0};
        must(filch_run(config, use_book, &book) == 0);
        refused += atomic_load(&book.refused);
    }
    must(refused > 0);
}

typedef void take_rwlock(filch_rwlock *rwlock);

struct siege {
    filch_rwlock lock;
    take_rwlock *hogs, *others;
    atomic_int turns; /* of the hogs, while somebody else waits or is about to */
    atomic_bool over;
};

/* Holds it whenever another one of them gives it back, and takes it again as soon as it has given it back. */
static int hog_lock(void *arg)
{
    struct siege *siege = arg;
    while (!atomic_load(&siege->over)) {
        siege->hogs(&siege->lock);
        must(atomic_fetch_add(&siege->turns, 1) < 50000000);
        filch_yield();
        filch_rwlock_unlock(&siege->lock);
    }
    return 0;
}

static int besiege(void *arg)
{
    enum { HOGS = 4, TURNS = 50 };
    struct siege *siege = arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < HOGS; i++)
        must(filch_spawn(&s, hog_lock, siege) == 0);
    for (int i = 0; i < TURNS; i++) {
        siege->others(&siege->lock);
        atomic_store(&siege->turns, 0);
        filch_rwlock_unlock(&siege->lock);
        filch_yield();
    }
    atomic_store(&siege->over, true);
    return filch_join(&s);
}

Test(wait, who_takes_a_reader_writer_lock_again_and_again_starves_nobody)
{
    static take_rwlock *const ways[] = {filch_rwlock_read, filch_rwlock_write};
    FOR_EACH_CONFIG(config, every_config)
    for (int way = 0; way < 4; way++) {
        struct siege siege = {.hogs = ways[way & 1], .others = ways[way >> 1]};
        must(filch_run(config, besiege, &siege) == 0);
    }
}

struct detour {
    filch_rwlock lock;
    atomic_int computing, over, asked, written;
};

static int compute_meanwhile(void *arg)
{
    struct detour *detour = arg;
    atomic_fetch_add(&detour->computing, 1);
    while (!atomic_load(&detour->over))
        ;
    return 0;
}

static int read_once(void *arg)
{
    struct detour *detour = arg;
    atomic_fetch_add(&detour->asked, 1);
    filch_rwlock_read(&detour->lock);
    filch_rwlock_unlock(&detour->lock);
    return 0;
}

static void *write_once(void *arg)
{
    struct detour *detour = arg;
    atomic_fetch_add(&detour->asked, 1);
    filch_rwlock_write(&detour->lock);
    atomic_store(&detour->written, 1);
    filch_rwlock_unlock(&detour->lock);
    return NULL;
}

/* A reader was woken and cannot come, because its worker computes. Readers that come and go meanwhile must let the writer behind it in. */
Test(wait, readers_pass_a_writer_only_for_a_while_if_one_that_was_woken_does_not_come)
{
    struct detour detour = {0};
    filch_runtime *runtime;
    must(filch_start(&(filch_config){.workers = 1, .relief = FILCH_RELIEF_NONE}, &runtime) == 0);
    filch_rwlock_write(&detour.lock);
    must(filch_submit(runtime, read_once, &detour) == 0);
    await_count(&detour.asked, 1);
    usleep(20000); /* until it stands in the queue */
    must(filch_submit(runtime, compute_meanwhile, &detour) == 0);
    await_count(&detour.computing, 1);
    pthread_t thread = thread_start(write_once, &detour);
    await_count(&detour.asked, 2);
    usleep(20000);
    filch_rwlock_unlock(&detour.lock);
    for (int64_t end = filch_after(FILCH_SEC(5)); !atomic_load(&detour.written);) {
        if (filch_rwlock_try_read(&detour.lock))
            filch_rwlock_unlock(&detour.lock);
        must(filch_now() < end);
    }
    atomic_store(&detour.over, 1);
    thread_join(thread);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
}

Test(wait, giving_back_a_lock_that_nobody_has_panics, .signal = SIGABRT)
{
    filch_rwlock lock = {0};
    filch_rwlock_unlock(&lock);
}

/* ---- once, barriers ---- */

struct once_only {
    filch_once once;
    atomic_int calls;
};

static int begin_slowly(void *arg)
{
    struct once_only *only = arg;
    filch_sleep(FILCH_MSEC(2));
    atomic_fetch_add(&only->calls, 1);
    return 42;
}

static int call_once(void *arg)
{
    struct once_only *only = arg;
    must(filch_once_call(&only->once, begin_slowly, only) == 42 && atomic_load(&only->calls) == 1);
    return 0;
}

static int call_once_often(void *arg)
{
    FILCH_SCOPE(s);
    for (int i = 0; i < 20; i++)
        must(filch_spawn(&s, call_once, arg) == 0);
    return filch_join(&s);
}

static void *thread_calls_once(void *arg)
{
    call_once(arg);
    return NULL;
}

Test(wait, once_is_once_and_nobody_goes_on_before_it_is_done)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct once_only only = {0};
        pthread_t thread = thread_start(thread_calls_once, &only);
        must(filch_run(config, call_once_often, &only) == 0);
        thread_join(thread);
    }
}

enum { PARTIES = 5, PHASES = 50 };

struct march {
    filch_barrier barrier;
    atomic_int phase[PHASES], last;
};

static int march(void *arg)
{
    struct march *m = arg;
    for (int i = 0; i < PHASES; i++) {
        atomic_fetch_add(&m->phase[i], 1);
        int r = filch_barrier_wait(&m->barrier, PARTIES);
        must(r == 0 || r == 1);
        must(atomic_load(&m->phase[i]) == PARTIES); /* all are here before anybody goes on */
        atomic_fetch_add(&m->last, r);
    }
    return 0;
}

static int march_together(void *arg)
{
    struct march *m = arg;
    {
        FILCH_SCOPE_UNTIL(s, filch_after(FILCH_MSEC(1)));
        must(filch_barrier_wait(&m->barrier, PARTIES) == -ETIMEDOUT); /* and is not counted as here */
    }
    FILCH_SCOPE(s);
    for (int i = 0; i < PARTIES; i++)
        must(filch_spawn(&s, march, m) == 0);
    return filch_join(&s);
}

Test(wait, a_barrier_lets_all_go_when_all_are_there)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct march m = {0};
        must(filch_run(config, march_together, &m) == 0);
        must(atomic_load(&m.last) == PHASES);
    }
}

/* ---- the latch ---- */

struct works {
    filch_latch latch;
    int done[20]; /* plain */
    atomic_int next;
};

static int work_for_latch(void *arg)
{
    struct works *works = arg;
    int i = atomic_fetch_add(&works->next, 1);
    filch_sleep(1000);
    works->done[i] = i + 1;
    filch_latch_add(&works->latch, -1);
    return 0;
}

static int wait_for_latch(void *arg)
{
    struct works *works = arg;
    must(filch_latch_wait(&works->latch) == 0);
    for (int i = 0; i < 20; i++)
        must(works->done[i] == i + 1);
    return 0;
}

static void *thread_waits_for_latch(void *arg)
{
    wait_for_latch(arg);
    return NULL;
}

static int use_latch(void *arg)
{
    struct works *works = arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 3; i++)
        must(filch_spawn(&s, wait_for_latch, works) == 0);
    {
        FILCH_SCOPE_UNTIL(short_time, filch_after(FILCH_MSEC(1)));
        must(filch_latch_wait(&works->latch) == -ETIMEDOUT);
    }
    for (int i = 0; i < 20; i++)
        must(filch_spawn(&s, work_for_latch, works) == 0);
    must(filch_join(&s) == 0 && filch_latch_wait(&works->latch) == 0);
    return 0;
}

Test(wait, a_latch_opens_when_all_is_done)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct works works = {.latch = FILCH_LATCH(19)};
        filch_latch_add(&works.latch, 1);
        pthread_t thread = thread_start(thread_waits_for_latch, &works);
        must(filch_run(config, use_latch, &works) == 0);
        thread_join(thread);
    }
}

Test(wait, a_latch_below_zero_panics, .signal = SIGABRT)
{
    filch_latch latch = {0};
    filch_latch_add(&latch, -1);
}
