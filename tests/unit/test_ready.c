/* SPDX-License-Identifier: MIT */
/* The laws of sched/ready, by one thread: first in, first out, through growth; a thief takes the older half.
 *
 * Tasks are only addresses here; nothing of them is touched. What is not tested here: the owner and thieves at the same time, which is stress_ready and
 * tests/model. */
#include "sched/ready.h"

#include <criterion/criterion.h>

static struct fl_ready queue;

static struct fl_task *task(uintptr_t number)
{
    return (struct fl_task *)(number * 128);
}

static void init(void)
{
    cr_assert(fl_ready_init(&queue));
}

static void fini(void)
{
    fl_ready_fini(&queue);
}

TestSuite(ready, .init = init, .fini = fini);

Test(ready, a_new_one_is_empty)
{
    struct fl_task *got[1];
    cr_assert(!fl_ready_pop(&queue) && !fl_ready_peek(&queue, 0));
    cr_assert(fl_ready_take_half(&queue, got, 1) == 0 && fl_ready_size_hint(&queue) == 0);
}

Test(ready, first_in_first_out)
{
    for (uintptr_t round = 0; round < 1000; round++) {
        for (uintptr_t i = 1; i <= 7; i++)
            cr_assert(fl_ready_push(&queue, task(7 * round + i)));
        cr_assert(fl_ready_peek(&queue, 0) == task(7 * round + 1) && fl_ready_peek(&queue, 6) == task(7 * round + 7));
        cr_assert(!fl_ready_peek(&queue, 7));
        for (uintptr_t i = 1; i <= 7; i++)
            cr_assert(fl_ready_pop(&queue) == task(7 * round + i));
        cr_assert(!fl_ready_pop(&queue));
    }
}

Test(ready, growth_keeps_the_order)
{
    enum { MANY = 20 * FL_READY_FIRST_CAPACITY };
    uintptr_t oldest = 1;
    for (uintptr_t i = 1; i <= MANY; i++) {
        cr_assert(fl_ready_push(&queue, task(i)));
        if (i % 3 == 0)
            cr_assert(fl_ready_pop(&queue) == task(oldest++));
    }
    cr_assert(fl_ready_size_hint(&queue) == MANY - oldest + 1);
    while (oldest <= MANY)
        cr_assert(fl_ready_pop(&queue) == task(oldest++));
    cr_assert(!fl_ready_pop(&queue));
}

Test(ready, a_thief_takes_the_older_half_rounded_up)
{
    struct fl_task *got[64];
    for (uintptr_t i = 1; i <= 21; i++)
        cr_assert(fl_ready_push(&queue, task(i)));
    cr_assert(fl_ready_take_half(&queue, got, 64) == 11);
    for (uintptr_t i = 0; i < 11; i++)
        cr_assert(got[i] == task(i + 1));
    cr_assert(fl_ready_take_half(&queue, got, 2) == 2 && got[0] == task(12) && got[1] == task(13));
    cr_assert(fl_ready_pop(&queue) == task(14));
    cr_assert(fl_ready_size_hint(&queue) == 7);
    while (fl_ready_size_hint(&queue) > 1)
        cr_assert(fl_ready_pop(&queue));
    cr_assert(fl_ready_take_half(&queue, got, 64) == 1 && got[0] == task(21)); /* the last one too */
    cr_assert(fl_ready_take_half(&queue, got, 64) == 0 && !fl_ready_pop(&queue));
    cr_assert(fl_ready_push(&queue, task(22)) && fl_ready_pop(&queue) == task(22));
}

Test(ready, a_thief_gives_up_on_an_owner_that_stays_inside)
{
    struct fl_task *got[1];
    cr_assert(fl_ready_push(&queue, task(1)));
    store_relaxed(&queue.inside, 1); /* as in the middle of a push or pop; one thread */
    cr_assert(fl_ready_take_half(&queue, got, 1) == 0);
    store_release(&queue.inside, 0); /* own: one thread */
    cr_assert(fl_ready_take_half(&queue, got, 1) == 1 && got[0] == task(1));
}

Test(ready, the_owner_may_take_the_newest)
{
    fl_barrier_init();
    cr_assert(!fl_ready_pop_newest(&queue));
    for (int i = 1; i <= 4; i++)
        cr_assert(fl_ready_push(&queue, task(i)));
    if (!load_relaxed(&fl_barrier_asymmetric)) /* hint: one thread */
        return;
    cr_assert(fl_ready_pop_newest(&queue) == task(4) && fl_ready_pop(&queue) == task(1));
    cr_assert(fl_ready_push(&queue, task(5)) && fl_ready_pop_newest(&queue) == task(5) && fl_ready_pop_newest(&queue) == task(3));
    cr_assert(fl_ready_pop(&queue) == task(2) && !fl_ready_pop_newest(&queue));
}

Test(ready, while_a_thief_wants_in_the_owner_takes_the_lock)
{
    fl_barrier_init();
    add_seq_cst(&queue.wants, 1); /* own: one thread */
    cr_assert(!fl_ready_push_fast(&queue, task(1)));
    cr_assert(fl_ready_push(&queue, task(1)));
    cr_assert(!fl_ready_pop_fast(&queue, false));
    cr_assert(fl_ready_pop(&queue) == task(1));
    sub_release(&queue.wants, 1);             /* own: one thread */
    if (load_relaxed(&fl_barrier_asymmetric)) /* hint: one thread */
        cr_assert(fl_ready_push_fast(&queue, task(2)) && fl_ready_pop_fast(&queue, false) == task(2) && !fl_ready_pop_fast(&queue, false));
    fl_barrier_force_symmetric(); /* then it always takes it */
    cr_assert(!fl_ready_push_fast(&queue, task(3)) && fl_ready_push(&queue, task(3)));
    cr_assert(!fl_ready_pop_fast(&queue, false) && fl_ready_pop(&queue) == task(3));
}
