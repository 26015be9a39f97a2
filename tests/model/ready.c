/* SPDX-License-Identifier: MIT */
/* runtime/sched/ready.h: each task is taken exactly once, by the owner or a thief; whoever takes gets them in the order they came; only who is
 * inside touches the ring (its slots are plain: touching them otherwise is a race); growth loses nothing.
 *
 * Scenarios, all with a first capacity of two
 *   1  push push pop against a thief
 *   2  two thieves and a pop
 *   3  growth under a thief
 *   4  what a thief emptied is filled again
 *   5  a pop first, so that the thief meets an owner that was inside before
 *   6  the owner takes the newest, and fills its slot again, under a thief */
#include "model.h"

#include "sched/ready.h"

#define TASKS 4
#define LOOT 4

struct fl_task {
    int number; /* plain: written before the push */
    struct once taken;
};

static struct fl_ready queue;
static struct fl_task tasks[TASKS];

/* A taker's next task. @return its number. */
static int check(struct fl_task *task, int last)
{
    assert(task->number > last); /* in the order they came */
    once(&task->taken);
    return task->number;
}

static void push(int i)
{
    tasks[i].number = i + 1;
    bool ok = fl_ready_push(&queue, &tasks[i]);
    assert(ok);
}

static int pop(int last)
{
    struct fl_task *task = fl_ready_pop(&queue);
    return task ? check(task, last) : last;
}

static void pop_newest(void)
{
    struct fl_task *task = fl_ready_pop_newest(&queue);
    if (task)
        check(task, 0);
}

static int rob(unsigned max, int last)
{
    struct fl_task *loot[LOOT];
    unsigned n = fl_ready_take_half(&queue, loot, max);
    assert(n <= max);
    for (unsigned i = 0; i < n; i++)
        last = check(loot[i], last);
    return last;
}

static void *one_round(void *arg)
{
    (void)arg;
    rob(LOOT, 0);
    return NULL;
}

static void *two_rounds(void *arg)
{
    (void)arg;
    rob(1, rob(1, 0));
    return NULL;
}

static void all_taken(int n, int last)
{
    while (fl_ready_size_hint(&queue) != 0)
        last = pop(last);
    for (int i = 0; i < n; i++)
        assert(happened(&tasks[i].taken));
    fl_ready_fini(&queue);
}

int main(void)
{
    bool ok = fl_ready_init(&queue);
    int last = 0;
    assert(ok);
#if SCENARIO == 1
    pthread_t a = start(one_round, NULL);
    push(0);
    push(1);
    last = pop(last);
    join(a);
    all_taken(2, last);
#elif SCENARIO == 2
    push(0);
    push(1);
    pthread_t a = start(one_round, NULL), b = start(one_round, NULL);
    last = pop(last);
    join(a);
    join(b);
    all_taken(2, last);
#elif SCENARIO == 3
    push(0);
    push(1);
    pthread_t a = start(one_round, NULL);
    push(2);
    last = pop(last);
    join(a);
    all_taken(3, last);
#elif SCENARIO == 4
    pthread_t a = start(two_rounds, NULL);
    push(0);
    push(1);
    join(a);
    all_taken(2, last);
#elif SCENARIO == 5
    push(0);
    pthread_t a = start(one_round, NULL);
    last = pop(last);
    push(1);
    last = pop(last);
    join(a);
    all_taken(2, last);
#elif SCENARIO == 6
    push(0);
    push(1);
    pthread_t a = start(one_round, NULL);
    pop_newest();
    push(2);
    join(a);
    all_taken(3, last);
#endif
    return 0;
}
