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
    return fl_deque_push(&deque, &(struct fl_item){value, value + 1, 8 * (value + 2), 0});
}

/* The value of what is popped or stolen, or 0: nothing. */
static uintptr_t whole(const struct fl_item *item)
{
    cr_assert(item->arg == item->fn + 1 && item->whose == 8 * (item->fn + 2), "%zu %zu %zu", (size_t)item->fn, (size_t)item->arg,
              (size_t)item->whose);
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
    cr_assert(fl_deque_init(&deque, 0));
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
    fini();
    cr_assert(fl_deque_init(&deque, (INT64_MAX / 2 - FL_DEQUE_FIRST_CAPACITY / 2 * FILCH_STEP_) & -FILCH_STEP_));
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

/* What the inline functions do. */
static int64_t put(uintptr_t fn, uintptr_t arg, uintptr_t whose)
{
    int64_t b = deque.bottom_;
    cr_assert(b < deque.limit_);
    return filch_deque_put_(&deque, filch_slot_own_(&deque, b), b, fn, arg, whose);
}

Test(deque, taking_back_wants_the_right_owner)
{
    struct filch_slot_ *slot;
    put(1, 2, 24);
    cr_assert(!filch_deque_take_back_(&deque, 32, &slot));
    cr_assert(fl_deque_size_hint(&deque) == 1);
    cr_assert(filch_deque_take_back_(&deque, 24, &slot) && slot->fn_ == 1 && slot->arg_ == 2);
    cr_assert(fl_deque_size_hint(&deque) == 0);
    cr_assert(!filch_deque_take_back_(&deque, 24, &slot));

    put(1, 2, 24);
    struct fl_item item;
    cr_assert(fl_deque_steal(&deque, &item) == FL_STEAL_GOT);
    cr_assert(!filch_deque_take_back_(&deque, 24, &slot)); /* a thief has it */
    cr_assert(push(5) && pop() == 5);
}

Test(deque, a_bound_stops_the_inline_put_alone)
{
    fl_deque_bound(&deque, 3);
    for (uintptr_t i = 1; i <= 3; i++)
        put(i, i + 1, 8 * (i + 2));
    cr_assert(deque.bottom_ >= deque.limit_);
    cr_assert(push(4) && push(5));
    fl_deque_bound(&deque, INT32_MAX);
    cr_assert(deque.limit_ == deque.full_); /* never further than there is room */
    for (uintptr_t i = 5; i >= 1; i--)
        cr_assert(pop() == i);
}

Test(deque, a_fork_keeps_its_token_wherever_it_is_moved)
{
    static struct filch_deque_ thiefs;
    cr_assert(fl_deque_init(&thiefs, 1 << 20));
    struct fl_item item;
    int64_t token = put(1, 2, 24 | FL_WHOSE_FRAME);
    cr_assert(fl_deque_steal(&deque, &item) == FL_STEAL_GOT && item.token == token && item.whose == (24 | FL_WHOSE_FRAME));
    for (int i = 0; i < 3; i++) { /* out of one deque into another, and through a growth */
        cr_assert(fl_deque_push(&thiefs, &item));
        for (int64_t k = 0; k < 2 * FL_DEQUE_FIRST_CAPACITY; k++)
            cr_assert(fl_deque_push(&thiefs, &(struct fl_item){.fn = 9}));
        for (int64_t k = 0; k < 2 * FL_DEQUE_FIRST_CAPACITY; k++)
            cr_assert(fl_deque_pop(&thiefs, &item) && item.fn == 9);
        cr_assert(fl_deque_pop(&thiefs, &item) && item.token == token);
        cr_assert(fl_deque_push(&deque, &item) && fl_deque_give(&deque, &item, 1) == 1 && item.token == token);
    }
    fl_deque_fini(&thiefs);
}

Test(deque, once_the_loop_has_taken_a_fork_bottom_never_comes_back_to_its_token)
{
    struct fl_item item;
    cr_assert(push(1) && push(2));
    int64_t token = put(3, 4, 40 | FL_WHOSE_FRAME);
    cr_assert(fl_deque_next(&deque, &item) && item.fn == 3 && item.token == token); /* the newest first */
    cr_assert(deque.bottom_ > token && !fl_deque_next(&deque, &item) && pop() == 0 && deque.bottom_ > token);
    struct filch_slot_ *slot;
    cr_assert(!filch_deque_take_back_(&deque, 24, &slot));
    cr_assert(push(5) && pop() == 5 && deque.bottom_ > token); /* above the graves all is as ever */
    cr_assert(fl_deque_oldest(&deque, &item) && whole(&item) == 1);
    cr_assert(steal() == 2 && steal() == 0); /* a grave is nobody's loot */
    cr_assert(!fl_deque_oldest(&deque, &item) && fl_deque_size_hint(&deque) == 0 && deque.top_ > token);
    cr_assert(push(6) && pop() == 6);

    token = put(8, 9, 40 | FL_WHOSE_FRAME); /* alone: a pop moves top past it */
    cr_assert(fl_deque_next(&deque, &item) && item.token == token && deque.top_ == token && deque.bottom_ == token);
    cr_assert(push(10) && fl_deque_push(&deque, &item) && push(11)); /* a moved one needs no grave */
    int64_t bottom = deque.bottom_;
    cr_assert(fl_deque_next(&deque, &item) && whole(&item) == 11);
    cr_assert(fl_deque_next(&deque, &item) && item.token == token && deque.bottom_ == bottom - 2 * FILCH_STEP_);
    cr_assert(pop() == 10);

    int64_t name = fl_deque_name(&deque), another = fl_deque_name(&deque);
    cr_assert(name != another && name % FILCH_STEP_ != 0 && name % 2 == 0); /* no index; its lowest bit is for others */
}

Test(deque, graves_do_not_count_among_what_is_given)
{
    struct fl_item items[8];
    cr_assert(push(1));
    put(2, 3, 40 | FL_WHOSE_FRAME);
    cr_assert(fl_deque_next(&deque, &items[0]) && push(4) && push(5) && push(6));
    cr_assert(fl_deque_give(&deque, items, 8) == 1 && whole(&items[0]) == 1); /* half of six: it and two graves */
    cr_assert(fl_deque_give(&deque, items, 8) == 2 && whole(&items[0]) == 4);
}

Test(deque, without_membarrier_inline_functions_find_nothing)
{
    static struct filch_deque_ fenced = {.fenced_ = 1};
    struct filch_slot_ *slot;
    struct fl_item item;
    cr_assert(fl_deque_init(&fenced, 0));
    for (uintptr_t i = 1; i <= 3 * FL_DEQUE_FIRST_CAPACITY; i++) {
        cr_assert(fl_deque_push(&fenced, &(struct fl_item){.fn = i, .whose = 24}));
        fl_deque_bound(&fenced, 100);
        cr_assert(fenced.bottom_ >= fenced.limit_ && !filch_deque_take_back_(&fenced, 24, &slot));
    }
    for (uintptr_t i = 3 * FL_DEQUE_FIRST_CAPACITY; i >= 1; i--)
        cr_assert(fl_deque_pop(&fenced, &item) && item.fn == i);
    fl_deque_fini(&fenced);
}

Test(deque, one_without_a_buffer_has_no_room)
{
    struct filch_deque_ none = {.limit_ = INT64_MIN, .full_ = INT64_MIN};
    cr_assert(!fl_deque_push(&none, &(struct fl_item){.fn = 1}));
}
