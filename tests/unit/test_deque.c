/* SPDX-License-Identifier: MIT */
/* The laws of sched/deque and the owner's half in hot_.h, by one thread: what goes in comes out once, newest first for the owner, oldest first for
 * thieves, through growth and at any index.
 *
 * What is not tested here: owner and thieves at the same time, which is stress_deque and tests/model. */
#include "sched/deque.h"

#include <criterion/criterion.h>

static struct filch_deque_ deque;

static bool push(uintptr_t value)
{
    return fl_deque_push(&deque, &(struct fl_item){value, value + 1, value + 2});
}

/* The value of what is popped or stolen, or 0: nothing. */
static uintptr_t whole(const struct fl_item *item)
{
    cr_assert(item->arg == item->fn + 1 && item->whose == item->fn + 2);
    return item->fn;
}

static uintptr_t pop(void)
{
    struct fl_item item;
    return fl_deque_pop(&deque, &item) ? whole(&item) : 0;
}

static uintptr_t steal(void)
{
    struct fl_item item;
    return fl_deque_steal(&deque, &item) == FL_STEAL_GOT ? whole(&item) : 0;
}

static void init(void)
{
    cr_assert(fl_deque_init(&deque));
}

static void fini(void)
{
    fl_deque_fini(&deque);
}

TestSuite(deque, .init = init, .fini = fini);

Test(deque, a_new_one_is_empty_for_everybody)
{
    struct fl_item item;
    cr_assert(pop() == 0 && steal() == 0 && pop() == 0);
    cr_assert(fl_deque_steal(&deque, &item) == FL_STEAL_EMPTY);
    cr_assert(fl_deque_give(&deque, &item, 1) == 0);
    cr_assert(fl_deque_size_hint(&deque) == 0);
}

Test(deque, the_owner_takes_the_newest_and_a_thief_the_oldest)
{
    for (uintptr_t i = 1; i <= 10; i++)
        cr_assert(push(i));
    cr_assert(fl_deque_size_hint(&deque) == 10);
    for (uintptr_t i = 1; i <= 5; i++) {
        cr_assert(steal() == i);
        cr_assert(pop() == 11 - i);
    }
    cr_assert(pop() == 0 && steal() == 0 && fl_deque_size_hint(&deque) == 0);
    cr_assert(push(11) && pop() == 11 && push(12) && steal() == 12 && pop() == 0);
}

Test(deque, growth_loses_nothing_and_keeps_the_order)
{
    enum { MANY = 10 * FL_DEQUE_FIRST_CAPACITY };
    uintptr_t oldest = 1;
    for (uintptr_t i = 1; i <= MANY; i++) {
        cr_assert(push(i));
        if (i % 7 == 0)
            cr_assert(steal() == oldest++);
    }
    for (uintptr_t i = MANY; i >= oldest; i--)
        cr_assert(pop() == i);
    cr_assert(pop() == 0 && steal() == 0);
}

Test(deque, a_thief_that_makes_room_spares_the_growth)
{
    struct filch_buffer_ *first = deque.buffer_;
    for (uintptr_t i = 1; i <= 100 * FL_DEQUE_FIRST_CAPACITY; i++)
        cr_assert(push(i) && steal() == i);
    cr_assert(deque.buffer_ == first);
}

Test(deque, indices_may_be_huge)
{
    deque.bottom_ = deque.top_ = INT64_MAX / 2 - FL_DEQUE_FIRST_CAPACITY / 2;
    deque.limit_ = deque.top_ + FL_DEQUE_FIRST_CAPACITY;
    enum { MANY = 4 * FL_DEQUE_FIRST_CAPACITY };
    for (uintptr_t i = 1; i <= MANY; i++)
        cr_assert(push(i));
    for (uintptr_t i = 1; i <= MANY / 2; i++)
        cr_assert(steal() == i && pop() == MANY + 1 - i);
    cr_assert(pop() == 0 && steal() == 0);
}

Test(deque, giving_takes_the_older_half_at_most)
{
    struct fl_item items[16];
    for (uintptr_t i = 1; i <= 9; i++)
        cr_assert(push(i));
    cr_assert(fl_deque_give(&deque, items, 3) == 3);
    for (unsigned i = 0; i < 3; i++)
        cr_assert(whole(&items[i]) == i + 1);
    cr_assert(fl_deque_give(&deque, items, 16) == 3); /* half of six */
    for (unsigned i = 0; i < 3; i++)
        cr_assert(whole(&items[i]) == i + 4);
    cr_assert(fl_deque_give(&deque, items, 16) == 2 && whole(&items[0]) == 7 && whole(&items[1]) == 8);
    cr_assert(fl_deque_give(&deque, items, 16) == 1 && whole(&items[0]) == 9); /* the last one too */
    cr_assert(fl_deque_give(&deque, items, 16) == 0 && pop() == 0);
}

Test(deque, taking_back_wants_the_right_bottom_and_the_right_owner)
{
    int64_t bottom = filch_deque_put_(&deque, 1, 2, 3);
    cr_assert(bottom == 1);
    cr_assert(!filch_deque_take_back_(&deque, bottom + 1, 3) && !filch_deque_take_back_(&deque, bottom - 1, 3));
    cr_assert(!filch_deque_take_back_(&deque, -1, 3) && !filch_deque_take_back_(&deque, bottom, 4));
    cr_assert(fl_deque_size_hint(&deque) == 1);
    cr_assert(filch_deque_take_back_(&deque, bottom, 3));
    cr_assert(fl_deque_size_hint(&deque) == 0);
    cr_assert(!filch_deque_take_back_(&deque, bottom, 3));

    bottom = filch_deque_put_(&deque, 1, 2, 3);
    cr_assert(steal() == 1);
    cr_assert(!filch_deque_take_back_(&deque, bottom, 3)); /* a thief has it */
    cr_assert(push(5) && pop() == 5);
}

Test(deque, one_without_a_buffer_has_no_room)
{
    struct filch_deque_ none = {.limit_ = INT64_MIN};
    cr_assert(filch_deque_tight_(&none));
    cr_assert(!fl_deque_push(&none, &(struct fl_item){1, 2, 3}));
}
