/* SPDX-License-Identifier: MIT */
/* The laws of tasks and scopes: what is spawned runs once and has ended when its scope ends, however deep, however many, on whatever workers.
 *
 * Beside them the in-frame fork and filch_for, which are joined the same way, and what a task keeps while it is parked: errno and the
 * rounding mode. What is not tested here: cancelling (test_cancel.c) and who runs when (test_fair.c). */
#include "api.h"

#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- spawn and join ---- */

struct node {
    int depth, width;
    int64_t count;
};

static int grow(void *arg)
{
    struct node *node = arg;
    struct node children[8];
    node->count = 1;
    if (node->depth == 0)
        return 0;
    if (node->depth % 3 == 0)
        filch_yield();
    FILCH_SCOPE(s);
    for (int i = 0; i < node->width; i++) {
        children[i] = (struct node){node->depth - 1, node->width, 0};
        must(filch_spawn(&s, grow, &children[i]) == 0);
    }
    int r = filch_join(&s);
    for (int i = 0; i < node->width; i++)
        node->count += children[i].count;
    return r;
}

Test(scope, a_tree_of_tasks_adds_up_on_any_workers_and_models)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct node root = config->model == FILCH_MODEL_11 ? (struct node){3, 6, 0} : (struct node){6, 6, 0};
        must(filch_run(config, grow, &root) == 0);
        must(root.count == (config->model == FILCH_MODEL_11 ? 259 : 55987));
    }
}

static int add_one(void *arg)
{
    atomic_fetch_add_explicit((_Atomic(int64_t) *)arg, 1, memory_order_relaxed);
    return 0;
}

struct flood {
    int64_t tasks;
    _Atomic(int64_t) ran;
};

static int spawn_flood(void *arg)
{
    struct flood *flood = arg;
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < flood->tasks; i++)
        must(filch_spawn(&s, add_one, &flood->ran) == 0);
    return filch_join(&s);
}

Test(scope, ten_million_tasks_of_one_parent_run_once_each)
{
    struct flood flood = {.tasks = SANITIZED ? 200000 : 10000000};
    must(filch_run(&(filch_config){.workers = 2}, spawn_flood, &flood) == 0);
    must(atomic_load(&flood.ran) == flood.tasks);
}

Test(scope, a_flood_of_tasks_runs_on_any_workers)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct flood flood = {.tasks = config->model == FILCH_MODEL_11 ? 200 : 30000};
        must(filch_run(config, spawn_flood, &flood) == 0);
        must(atomic_load(&flood.ran) == flood.tasks);
    }
}

static int reuse(void *arg)
{
    _Atomic(int64_t) ran = 0;
    (void)arg;
    FILCH_SCOPE(s);
    for (int i = 1; i <= 100; i++) {
        for (int j = 0; j < 10; j++)
            must(filch_spawn(&s, add_one, &ran) == 0);
        must(filch_join(&s) == 0 && atomic_load(&ran) == 10 * i);
    }
    return 0;
}

/* ---- a spawner that is far ahead lets its children go first ---- */

struct race {
    atomic_int begun;
    int fork;      /* one fork a spawn */
    int nest;      /* so many forks inside each other before */
    int64_t long_; /* ns a child */
};

static int begin(void *arg)
{
    struct race *race = arg;
    atomic_fetch_add(&race->begun, 1);
    for (int64_t end = filch_after(race->long_); race->long_ && filch_now() < end;)
        ;
    return 0;
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void nest(int depth)
{
    filch_frame frame;
    filch_fork(&frame, do_nothing, NULL);
    if (depth > 0)
        nest(depth - 1);
    must(filch_meet(&frame) == 0);
}

static int run_ahead(void *arg)
{
    struct race *race = arg;
    int n = race->long_ ? 3000 : 100000, most = 1024 * (1 + (int)filch_workers(filch_current())); /* thieves have deques too */
    nest(race->nest);
    FILCH_SCOPE(s);
    for (int i = 0; i < n; i++) {
        must(filch_spawn(&s, begin, race) == 0);
        if (race->fork) {
            filch_frame frame;
            filch_fork(&frame, do_nothing, NULL);
            must(filch_meet(&frame) == 0);
        }
        must(i - atomic_load(&race->begun) <= most);
    }
    return filch_join(&s);
}

Test(scope, a_spawner_is_never_far_ahead_of_its_children)
{
    static const struct race races[] = {{.fork = 0}, {.fork = 1}, {.nest = 2500}, {.long_ = 20000}, {.long_ = 100000}};
    FOR_EACH_CONFIG(config, every_loop)
    for (size_t i = 0; i < LENGTH(races); i++) {
        struct race race = races[i];
        filch_config large = *config;
        large.stack_size = 1 << 20;
        large.relief = FILCH_RELIEF_NONE; /* a relief has a deque of its own */
        must(filch_run(&large, run_ahead, &race) == 0);
    }
}

Test(scope, a_scope_can_be_used_again_after_a_join)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, reuse, NULL) == 0);
}

static int empty_scope(void *arg)
{
    (void)arg;
    FILCH_SCOPE(a);
    FILCH_SCOPE_UNTIL(b, FILCH_NEVER);
    must(filch_join(&b) == 0);
    return filch_cancelled();
}

Test(scope, an_empty_scope_joins_at_once)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, empty_scope, NULL) == 0);
}

struct late_child {
    atomic_int ended;
};

static int end_late(void *arg)
{
    struct late_child *child = arg;
    filch_sleep(FILCH_MSEC(2));
    filch_yield();
    atomic_fetch_add(&child->ended, 1);
    return 0;
}

static int no_early_end(void *arg)
{
    struct late_child child = {0};
    (void)arg;
    for (int i = 0; i < 10; i++) {
        FILCH_SCOPE(s);
        for (int j = 0; j < 10; j++)
            must(filch_spawn(&s, end_late, &child) == 0);
        must(filch_join(&s) == 0);
        must(atomic_load(&child.ended) == 10 * (i + 1));
    }
    return 0;
}

Test(scope, no_scope_ends_before_its_children)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, no_early_end, NULL) == 0);
}

/* ---- nested and ancestral ---- */

static int nested(void *arg)
{
    _Atomic(int64_t) outer = 0, inner = 0;
    (void)arg;
    FILCH_SCOPE(a);
    for (int i = 0; i < 10; i++) {
        must(filch_spawn(&a, add_one, &outer) == 0);
        FILCH_SCOPE(b);
        must(filch_spawn(&b, add_one, &inner) == 0);
        must(filch_spawn(&a, add_one, &outer) == 0);
        must(filch_spawn(&b, add_one, &inner) == 0);
        must(filch_join(&b) == 0);
        must(atomic_load(&inner) == 2 * (i + 1));
    }
    must(filch_join(&a) == 0);
    must(atomic_load(&outer) == 20);
    return 0;
}

Test(scope, scopes_nest_and_each_joins_its_own)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, nested, NULL) == 0);
}

struct heir {
    filch_scope *scope;
    int depth;
    _Atomic(int64_t) *ran;
};

static struct heir heirs[12];

static int beget(void *arg)
{
    struct heir *heir = arg;
    atomic_fetch_add(heir->ran, 1);
    if (heir->depth < 11) {
        heirs[heir->depth + 1] = (struct heir){heir->scope, heir->depth + 1, heir->ran};
        must(filch_spawn(heir->scope, beget, &heirs[heir->depth + 1]) == 0);
    }
    return 0;
}

static int dynasty(void *arg)
{
    _Atomic(int64_t) ran = 0;
    (void)arg;
    FILCH_SCOPE(s);
    heirs[0] = (struct heir){&s, 0, &ran};
    must(filch_spawn(&s, beget, &heirs[0]) == 0);
    must(filch_join(&s) == 0);
    must(atomic_load(&ran) == 12);
    return 0;
}

Test(scope, a_child_may_spawn_siblings_into_the_scope_of_its_parent)
{
    FOR_EACH_CONFIG(config, every_config)
    for (int i = 0; i < 50; i++)
        must(filch_run(config, dynasty, NULL) == 0);
}

/* ---- deep ---- */

static int descend(void *arg)
{
    int64_t depth = *(int64_t *)arg;
    if (depth == 0)
        return 1;
    int64_t below = depth - 1;
    FILCH_SCOPE(s);
    must(filch_spawn(&s, descend, &below) == 0);
    return filch_join(&s);
}

static int descend_frames(void *arg)
{
    int64_t depth = *(int64_t *)arg;
    if (depth == 0)
        return 0;
    int64_t below = depth - 1;
    filch_frame frame;
    filch_fork(&frame, descend_frames, &below);
    int r = filch_meet(&frame);
    return r < 0 ? r : r + 1;
}

Test(scope, recursion_goes_a_hundred_thousand_deep_on_small_stacks)
{
    FOR_EACH_CONFIG(config, every_loop)
    {
        filch_config small = *config;
        small.stack_size = 65536;
        int64_t depth = SANITIZED ? 10000 : 100000;
        must(filch_run(&small, descend, &depth) == 0);
        must(filch_run(&small, descend_frames, &depth) == depth);
    }
}

/* ---- names and stacks ---- */

static int is_named(void *arg)
{
    const char *name = filch_name();
    must(name && strcmp(name, arg) == 0);
    filch_yield();
    must(strcmp(filch_name(), arg) == 0);
    return 0;
}

static int spawn_named(void *arg)
{
    static char names[20][8];
    (void)arg;
    filch_set_name("parent");
    FILCH_SCOPE(s);
    for (int i = 0; i < 20; i++) {
        snprintf(names[i], sizeof names[i], "n%d", i);
        must(filch_spawn_with(&s, &(filch_task_options){.name = names[i]}, is_named, names[i]) == 0);
    }
    must(filch_join(&s) == 0);
    must(strcmp(filch_name(), "parent") == 0);
    return 0;
}

Test(scope, a_task_has_the_name_it_was_spawned_with)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, spawn_named, NULL) == 0);
}

static int use_stack(void *arg)
{
    volatile char big[900 * 1024];
    (void)arg;
    for (size_t i = 0; i < sizeof big; i += 1024)
        big[i] = (char)i;
    filch_yield();
    for (size_t i = 0; i < sizeof big; i += 1024)
        must(big[i] == (char)i);
    return 0;
}

static int spawn_large(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 8; i++)
        must(filch_spawn_with(&s, &(filch_task_options){.stack_size = 1 << 20}, use_stack, NULL) == 0);
    must(filch_spawn_with(&s, &(filch_task_options){.stack_size = (size_t)128 << 20}, use_stack, NULL) == -EINVAL);
    must(filch_spawn_with(&s, NULL, empty_scope, NULL) == 0);
    return filch_join(&s);
}

Test(scope, a_stack_of_a_mebibyte_can_be_used)
{
    FOR_EACH_CONFIG(config, every_loop)
    must(filch_run(config, spawn_large, NULL) == 0);
    must(filch_run(&(filch_config){.workers = 2, .stack_size = 1 << 20}, use_stack, NULL) == 0);
}

/* ---- in-frame forks ---- */

static int fib(void *arg)
{
    int *n = arg;
    if (*n < 2)
        return 0;
    int a = *n - 1, b = *n - 2;
    filch_frame frame;
    filch_fork(&frame, fib, &a);
    must(fib(&b) == 0);
    must(filch_meet(&frame) == 0);
    *n = a + b;
    return 0;
}

static int fib_yielding(void *arg)
{
    int *n = arg;
    if (*n < 2)
        return 0;
    int a = *n - 1, b = *n - 2;
    filch_frame frame;
    filch_fork(&frame, fib_yielding, &a);
    if (*n % 5 == 0)
        filch_yield();
    must(fib_yielding(&b) == 0);
    must(filch_meet(&frame) == 0);
    *n = a + b;
    return 0;
}

Test(scope, forks_in_a_frame_add_up)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        int n = 20;
        must(filch_run(config, fib, &n) == 0 && n == 6765);
        n = 20;
        must(filch_run(config, fib_yielding, &n) == 0 && n == 6765);
    }
}

static int result_of(void *arg)
{
    return *(int *)arg;
}

static int nap_result(void *arg)
{
    filch_sleep(FILCH_MSEC(1));
    return *(int *)arg;
}

static int brackets(void *arg)
{
    int one = 1, two = -2, three = 3;
    (void)arg;
    for (int i = 0; i < 20; i++) {
        filch_frame a, b, c;
        filch_fork(&a, result_of, &one);
        filch_fork(&b, nap_result, &two);
        filch_fork(&c, result_of, &three);
        must(filch_meet(&c) == 3);
        must(filch_meet(&b) == -2);
        must(filch_meet(&a) == 1);
    }
    return filch_cancelled();
}

Test(scope, frames_nest_like_brackets_and_their_failures_cancel_nobody)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, brackets, NULL) == 0);
}

static int wait_then_result(void *arg)
{
    filch_event *event = arg;
    must(filch_event_wait(event) == 0);
    return 77;
}

/* Forks, parks so that the loop runs what was forked, and forks again where the first one stood. */
static int fork_while_one_is_under_way(void *arg)
{
    filch_event first = {0}, second = {0};
    int two = 2, three = 3;
    (void)arg;
    FILCH_SCOPE(s);
    for (int older = 0; older < 3; older++) { /* with nothing, something, more below it in the deque */
        for (int i = 0; i < older; i++)
            must(filch_spawn(&s, empty_scope, NULL) == 0);
        filch_frame a, b, c, d;
        filch_fork(&a, wait_then_result, &first);
        filch_sleep(FILCH_MSEC(1));
        filch_fork(&b, result_of, &two);
        filch_yield();
        filch_fork(&c, wait_then_result, &second);
        filch_sleep(FILCH_MSEC(1));
        filch_fork(&d, nap_result, &three);
        must(filch_meet(&d) == 3);
        filch_event_set(&second);
        must(filch_meet(&c) == 77);
        must(filch_meet(&b) == 2);
        filch_event_set(&first);
        must(filch_meet(&a) == 77);
        must(filch_join(&s) == 0);
        filch_event_reset(&first);
        filch_event_reset(&second);
    }
    return 0;
}

Test(scope, a_fork_that_is_under_way_is_not_taken_for_the_next)
{
    FOR_EACH_CONFIG(config, every_loop)
    must(filch_run(config, fork_while_one_is_under_way, NULL) == 0);
}

/* A chain of forks as long as what is left, off each node of a spine of forks. */
static int chain(void *arg)
{
    int n = *(int *)arg, less = n - 1;
    if (n <= 0)
        return 0;
    filch_frame frame;
    filch_fork(&frame, chain, &less);
    return filch_meet(&frame);
}

static int spine(void *arg)
{
    int n = *(int *)arg, less = n - 1;
    if (n <= 0)
        return 0;
    filch_frame a, b;
    filch_fork(&a, chain, &n);
    filch_fork(&b, spine, &less);
    must(filch_meet(&b) == 0);
    return filch_meet(&a);
}

static int grow_a_spine(void *arg)
{
    int n = 2000;
    filch_stats stats;
    (void)arg;
    must(spine(&n) == 0);
    filch_stats_read(filch_current(), &stats);
    must(stats.stacks < 512);
    return 0;
}

Test(scope, recursion_through_forks_goes_depth_first_and_takes_few_stacks)
{
    must(filch_run(&(filch_config){.workers = 1}, grow_a_spine, NULL) == 0);
    must(filch_run(&(filch_config){.workers = 2}, grow_a_spine, NULL) == 0);
}

static int fork_and_wait(void *arg)
{
    filch_frame frame;
    filch_fork(&frame, wait_then_result, arg);
    filch_yield();
    must(filch_meet(&frame) == 77);
    return 0;
}

static int many_fork_and_wait(void *arg)
{
    filch_event go = {0};
    (void)arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 20000; i++)
        must(filch_spawn(&s, fork_and_wait, &go) == 0);
    filch_yield();
    filch_event_set(&go);
    return filch_join(&s);
}

/* Each is looked up in a table when it ends and when it is met; if that were a list this would take minutes. */
Test(scope, twenty_thousand_forks_may_be_awaited_at_once)
{
    FOR_EACH_CONFIG(config, every_loop)
    {
        filch_config small = *config;
        small.stack_size = 16384;
        must(filch_run(&small, many_fork_and_wait, NULL) == 0);
    }
}

struct mixed {
    int depth;
    int64_t count;
};

static int mix(void *arg)
{
    struct mixed *mixed = arg;
    mixed->count = 1;
    if (mixed->depth == 0)
        return 0;
    struct mixed a = {mixed->depth - 1, 0}, b = a, c = a;
    filch_frame frame;
    filch_fork(&frame, mix, &a);
    {
        FILCH_SCOPE(s);
        must(filch_spawn(&s, mix, &b) == 0);
        if (mixed->depth % 4 == 1)
            filch_yield();
        filch_frame inner;
        filch_fork(&inner, mix, &c);
        must(filch_meet(&inner) == 0);
        must(filch_join(&s) == 0);
    }
    must(filch_meet(&frame) == 0);
    mixed->count += a.count + b.count + c.count;
    return 0;
}

Test(scope, frames_and_scopes_mix)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct mixed root = {config->model == FILCH_MODEL_11 ? 4 : 9, 0};
        must(filch_run(config, mix, &root) == 0);
        must(root.count == (config->model == FILCH_MODEL_11 ? 121 : 29524));
    }
}

/* From now on this process and its children have no membarrier(2), as in some containers and on kernels before 4.14. */
static void deny_membarrier(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &(struct sock_fprog){LENGTH(code), code}) == 0);
    must(syscall(SYS_membarrier, 0, 0, 0) == -1 && errno == ENOSYS);
}

static int look_at_a_fork(void *arg)
{
    filch_frame frame;
    filch_fork(&frame, do_nothing, arg);
    must(frame.token_ & 1); /* never what bottom is: the inline meet, which has no fence, does not take it */
    return filch_meet(&frame);
}

Test(scope, frames_and_scopes_mix_without_membarrier_too)
{
    deny_membarrier();
    must(filch_run(&(filch_config){.workers = 2}, look_at_a_fork, NULL) == 0);
    FOR_EACH_CONFIG(config, every_config)
    {
        struct mixed root = {config->model == FILCH_MODEL_11 ? 4 : 9, 0};
        must(filch_run(config, mix, &root) == 0);
        must(root.count == (config->model == FILCH_MODEL_11 ? 121 : 29524));
        int n = 20;
        must(filch_run(config, fib_yielding, &n) == 0 && n == 6765);
    }
    FOR_EACH_CONFIG(config, every_loop)
    must(filch_run(config, fork_while_one_is_under_way, NULL) == 0);
}

/* ---- filch_for ---- */

static int sum_range(void *arg, int64_t begin, int64_t end)
{
    must(begin < end);
    int64_t sum = 0;
    for (int64_t i = begin; i < end; i++)
        sum += i;
    atomic_fetch_add((_Atomic(int64_t) *)arg, sum);
    return 0;
}

static int fail_at_777(void *arg, int64_t begin, int64_t end)
{
    atomic_fetch_add((_Atomic(int64_t) *)arg, end - begin);
    return begin <= 777 && 777 < end ? -EDOM : 0;
}

static int use_for(void *arg)
{
    (void)arg;
    static const int64_t grains[] = {0, 1, 7, 1000, INT64_MAX};
    for (size_t i = 0; i < LENGTH(grains); i++) {
        _Atomic(int64_t) sum = 0;
        must(filch_for(-10, 10001, grains[i], sum_range, &sum) == 0);
        must(atomic_load(&sum) == 10000 * 10001 / 2 - 55);
    }
    _Atomic(int64_t) sum = 0;
    must(filch_for(5, 5, 0, sum_range, &sum) == 0 && filch_for(5, 4, 0, sum_range, &sum) == 0 && atomic_load(&sum) == 0);
    must(filch_for(0, 1000000, 10, fail_at_777, &sum) == -EDOM);
    must(atomic_load(&sum) < 1000000);
    return filch_cancelled();
}

Test(scope, a_loop_covers_its_range_once_and_stops_at_a_failure)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, use_for, NULL) == 0);
}

/* ---- what a task keeps ---- */

/* Never inlined: the address of errno must not be kept across a call that parks. */
__attribute__((noinline)) static int errno_get(void)
{
    return errno;
}

__attribute__((noinline)) static void errno_set(int value)
{
    errno = value;
}

static int keep_errno(void *arg)
{
    int mine = *(int *)arg;
    errno_set(mine);
    for (int i = 0; i < 100; i++) {
        if (i % 25 == 0)
            must(filch_sleep(FILCH_USEC(100)) == 0);
        else
            filch_yield();
        must(errno_get() == mine);
    }
    return 0;
}

static int keep_errnos(void *arg)
{
    int values[50];
    (void)arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 50; i++) {
        values[i] = i + 1;
        must(filch_spawn(&s, keep_errno, &values[i]) == 0);
    }
    return filch_join(&s);
}

Test(scope, errno_belongs_to_the_task)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, keep_errnos, NULL) == 0);
}

#if defined(__x86_64__)
static void round_to(unsigned mode)
{
    unsigned mxcsr = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr((mxcsr & ~0x6000u) | mode << 13);
    unsigned short x87;
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    x87 = (unsigned short)((x87 & ~0xc00) | mode << 10);
    __asm__ volatile("fldcw %0" : : "m"(x87));
}
#define ROUNDINGS 4
#elif defined(__aarch64__)
static void round_to(unsigned mode)
{
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    __asm__ volatile("msr fpcr, %0" : : "r"((fpcr & ~((uint64_t)3 << 22)) | (uint64_t)mode << 22));
}
#define ROUNDINGS 4
#endif

struct third {
    double plus, minus;
    long double plus_long;
};

__attribute__((noinline)) static struct third a_third(void)
{
    volatile double one = 1, three = 3;
    volatile long double one_long = 1, three_long = 3;
    return (struct third){one / three, -one / three, one_long / three_long};
}

static int keep_rounding(void *arg)
{
    unsigned mode = *(unsigned *)arg;
    round_to(mode);
    struct third want = a_third();
    for (int i = 0; i < 100; i++) {
        if (i % 25 == 0)
            must(filch_sleep(FILCH_USEC(100)) == 0);
        else
            filch_yield();
        struct third got = a_third();
        must(got.plus == want.plus && got.minus == want.minus && got.plus_long == want.plus_long);
    }
    round_to(0);
    return 0;
}

static int keep_roundings(void *arg)
{
    unsigned modes[40];
    (void)arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 40; i++) {
        modes[i] = (unsigned)i % ROUNDINGS;
        must(filch_spawn(&s, keep_rounding, &modes[i]) == 0);
    }
    return filch_join(&s);
}

Test(scope, the_rounding_mode_belongs_to_the_task)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, keep_roundings, NULL) == 0);
}
