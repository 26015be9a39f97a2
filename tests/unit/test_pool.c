/* SPDX-License-Identifier: MIT */
/* The laws of sched/pool: a descriptor is in one hand only, and what one worker frees too much of, another gets.
 *
 * What is not tested here: several threads at a time, which stress_tasks does. */
#include "sched/pool.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { MANY = 20 * FL_POOL_BATCH };

static struct fl_pool pool;
static struct fl_pool_cache one, two;
static struct fl_task *tasks[MANY];

static void init(void)
{
    fl_pool_init(&pool);
    one = two = (struct fl_pool_cache){.pool = &pool};
}

static void fini(void)
{
    fl_pool_fini(&pool);
}

static int by_address(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    return (x > y) - (x < y);
}

static void get_all(struct fl_pool_cache *cache)
{
    for (int i = 0; i < MANY; i++)
        cr_assert((tasks[i] = fl_pool_get(cache)) != NULL);
    qsort(tasks, MANY, sizeof *tasks, by_address);
    for (int i = 0; i < MANY; i++)
        cr_assert((uintptr_t)tasks[i] % FL_LINE == 0 && (i == 0 || tasks[i] >= tasks[i - 1] + 1));
}

TestSuite(pool, .init = init, .fini = fini);

Test(pool, descriptors_are_distinct_and_aligned)
{
    get_all(&one);
}

Test(pool, the_last_one_put_is_the_next_one_got)
{
    struct fl_task *a = fl_pool_get(&one), *b = fl_pool_get(&one);
    fl_pool_put(&one, a);
    fl_pool_put(&one, b);
    cr_assert(fl_pool_get(&one) == b && fl_pool_get(&one) == a);
}

Test(pool, what_is_put_too_much_goes_to_others)
{
    get_all(&one);
    struct fl_task *lowest = tasks[0], *highest = tasks[MANY - 1];
    for (int i = 0; i < MANY; i++)
        fl_pool_put(&one, tasks[i]);
    cr_assert(one.count <= FL_POOL_BATCH && one.full && pool.free != NULL);
    int64_t kept = one.count + FL_POOL_BATCH;
    for (int64_t i = 0; i < MANY - kept; i++) { /* not a new one among them */
        struct fl_task *task = fl_pool_get(&two);
        cr_assert(task >= lowest && task <= highest);
    }
    cr_assert(pool.free == NULL && one.count + FL_POOL_BATCH == kept && two.count == 0 && !two.full);
}

Test(pool, round_and_round_between_two_workers_nothing_is_lost_or_doubled)
{
    for (int round = 0; round < 20; round++) {
        get_all(round % 2 ? &one : &two);
        for (int i = 0; i < MANY; i++)
            fl_pool_put(i % 3 ? &one : &two, tasks[i]);
    }
    get_all(&one);
    get_all(&two);
}
