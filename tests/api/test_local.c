/* SPDX-License-Identifier: MIT */
/* The laws of task-local values: each task has its own, wherever it runs and whoever runs it; they are destroyed once, when it ends, the latest first; a child gets
 * those of its parent if that is asked for. */
#include "api.h"

static atomic_int alive;

static void forget(void *value)
{
    free(value);
    atomic_fetch_sub(&alive, 1);
}

static void *copy(void *value)
{
    int *copied = malloc(sizeof *copied);
    *copied = *(int *)value;
    atomic_fetch_add(&alive, 1);
    return copied;
}

static const filch_local depth = {.destroy = forget, .inherit = copy}, lonely = {.destroy = forget}, plain = {0};

static int *number(int n)
{
    return copy(&n);
}

/* ---- one's own ---- */

/* A tree; every node begins without values, sets some or not, waits or not, and finds its own afterwards. */
static int grow(void *arg)
{
    int level = (int)(intptr_t)arg;
    must(!filch_local_get(&depth) && !filch_local_get(&plain));
    bool sets = level % 3 != 1, late = level % 2;
    int *mine = sets ? number(level) : NULL;
    if (!late)
        must(filch_local_set(&depth, mine) == 0);
    if (level == 0) {
        if (late)
            must(filch_local_set(&depth, mine) == 0);
        return 0;
    }
    {
        FILCH_SCOPE(s);
        for (int i = 0; i < 3; i++)
            must(filch_spawn(&s, grow, (void *)(intptr_t)(level - 1)) == 0);
        if (level % 4 == 0)
            filch_yield();
        must(filch_spawn_with(&s, &(filch_task_options){.name = "named"}, grow, (void *)(intptr_t)(level - 1)) == 0);
        must(filch_join(&s) == 0);
        must(filch_local_get(&depth) == (late ? NULL : mine));
        if (level % 4 == 2)
            filch_sleep(1000);
        must(filch_spawn(&s, grow, (void *)(intptr_t)(level - 1)) == 0); /* joined on leaving, if nobody took it */
        must(filch_join(&s) == 0);
    }
    must(filch_local_get(&depth) == (late ? NULL : mine) && !filch_local_get(&plain));
    if (late)
        must(filch_local_set(&depth, mine) == 0);
    return 0;
}

Test(local, each_task_has_its_own_wherever_it_runs)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        int levels = config->model == FILCH_MODEL_11 ? 3 : SANITIZED ? 5 : 6;
        must(filch_run(config, grow, (void *)(intptr_t)levels) == 0);
        must(atomic_load(&alive) == 0);
    }
}

/* ---- in place ---- */

static int last_seen;

static void see(void *value)
{
    last_seen = last_seen * 10 + (int)(intptr_t)value;
}

static const filch_local first = {.destroy = see}, second = {.destroy = see}, third = {.destroy = see};

static int set_three(void *arg)
{
    (void)arg;
    must(!filch_local_get(&first) && !filch_local_get(&second));
    must(filch_local_set(&first, (void *)1) == 0 && filch_local_set(&second, (void *)9) == 0 && filch_local_set(&third, (void *)3) == 0);
    must(filch_local_set(&second, (void *)2) == 0); /* the old value is the caller's affair */
    return 0;
}

static int set_in_place(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 2; i++) { /* one worker: the join runs them, in the caller's name */
        must(filch_spawn(&s, set_three, NULL) == 0);
        must(filch_spawn(&s, set_three, NULL) == 0);
        last_seen = 0;
        must(filch_join(&s) == 0);
        must(last_seen == 321321 && !filch_local_get(&first));
    }
    must(filch_local_set(&first, (void *)7) == 0);
    must(filch_spawn(&s, set_three, NULL) == 0);
    last_seen = 0;
    must(filch_join(&s) == 0 && last_seen == 321 && filch_local_get(&first) == (void *)7);
    must(filch_local_set(&first, NULL) == 0 && !filch_local_get(&first));
    return 0;
}

Test(local, values_end_with_their_task_the_latest_first)
{
    must(filch_run(&(filch_config){.workers = 1}, set_in_place, NULL) == 0);
    must(last_seen == 321); /* nothing of a value that was taken away */
}

/* ---- destroying ---- */

static filch_mutex mutex;
static atomic_int slow_ends;

static void end_slowly(void *value)
{
    (void)value;
    must(filch_sleep(FILCH_MSEC(1)) == 0);
    FILCH_GUARD(&mutex);
    filch_yield();
    atomic_fetch_add(&slow_ends, 1);
}

static const filch_local slow = {.destroy = end_slowly};

static void end_in_two_steps(void *value)
{
    must(filch_local_set(&slow, value) == 0);
}

static const filch_local two_steps = {.destroy = end_in_two_steps};

static int end_in_a_complicated_way(void *arg)
{
    must(filch_local_set(arg ? &two_steps : &slow, "value") == 0);
    return 0;
}

static int many_ends(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    for (intptr_t i = 0; i < 40; i++)
        must(filch_spawn(&s, end_in_a_complicated_way, (void *)(i % 2)) == 0);
    must(filch_join(&s) == 0);
    must(atomic_load(&slow_ends) == 40); /* the task had not ended before */
    return 0;
}

Test(local, destroying_may_wait_and_set_others)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        atomic_store(&slow_ends, 0);
        must(filch_run(config, many_ends, NULL) == 0);
    }
}

/* ---- inheriting ---- */

static int heir(void *arg)
{
    int *number_of_parent = arg, *own = filch_local_get(&depth);
    must(own && own != number_of_parent && *own == 42 && !filch_local_get(&lonely) && !strcmp(filch_local_get(&plain), "shared"));
    *own = 43;
    FILCH_SCOPE(s);
    must(filch_spawn(&s, grow, (void *)0) == 0); /* without being asked nothing is passed on */
    return filch_join(&s);
}

static int testator(void *arg)
{
    int *mine = number(42);
    (void)arg;
    must(filch_local_set(&depth, mine) == 0 && filch_local_set(&lonely, number(1)) == 0 && filch_local_set(&plain, "shared") == 0);
    FILCH_SCOPE(s);
    for (int i = 0; i < 20; i++)
        must(filch_spawn_with(&s, &(filch_task_options){.inherit = true, .stack_size = i % 5 ? 0 : 1 << 20}, heir, mine) == 0);
    must(filch_join(&s) == 0 && *(int *)filch_local_get(&depth) == 42);
    must(filch_local_set(&depth, NULL) == 0);
    forget(mine);
    return 0;
}

Test(local, a_child_inherits_if_asked)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        must(filch_run(config, testator, NULL) == 0);
        must(atomic_load(&alive) == 0);
    }
}

Test(local, a_plain_thread_has_none)
{
    must(filch_local_set(&plain, "x") == -EINVAL && !filch_local_get(&plain));
}
