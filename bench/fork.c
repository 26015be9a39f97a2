/* SPDX-License-Identifier: MIT */
/* fork: what do spawn and join cost, when there is nothing else?
 *
 * fib(n) by its definition, without a cut-off: every call with n >= 2 spawns fib(n - 1) as a task, calls fib(n - 2) itself, and joins.
 * That is fib(n + 1) - 1 spawned tasks (63,245,985 for n = 38), and the figure is wall time divided by them. It is the "fib" of Cilk-5
 * (Frigo, Leiserson, Randall, PLDI 1998) and of every paper since.
 *
 * Forms: `scope` is what everybody writes (FILCH_SCOPE, filch_spawn, filch_join; argument and result in the parent's frame). `frame` is
 * the in-frame fork (filch_fork, filch_meet; the number travels as the argument, the result is the return value). `serial` makes the
 * two calls; it is held back from inlining them, else the compiler unrolls the recursion and the two programs are no longer the same.
 *
 * The result proves that every task ran exactly once: it is the number of tasks that returned 1. The runtime is started once for all
 * runs. */
#include "bench.h"

static int64_t n = 38;

struct part {
    int n;
    int fib;
};

static int fib_scope(void *arg)
{
    struct part *part = arg;
    if (part->n < 2) {
        part->fib = part->n;
        return 0;
    }
    struct part left = {.n = part->n - 1}, right = {.n = part->n - 2};
    FILCH_SCOPE(s);
    int r = filch_spawn(&s, fib_scope, &left);
    if (r < 0)
        return r;
    fib_scope(&right);
    r = filch_join(&s);
    part->fib = left.fib + right.fib;
    return r;
}

static int fib_frame(void *arg)
{
    intptr_t number = (intptr_t)arg;
    if (number < 2)
        return (int)number;
    filch_frame frame;
    filch_fork(&frame, fib_frame, (void *)(number - 1));
    int right = fib_frame((void *)(number - 2));
    return filch_meet(&frame) + right;
}

static __attribute__((noinline)) int fib_serial(intptr_t number)
{
    return number < 2 ? (int)number : fib_serial(number - 1) + fib_serial(number - 2);
}

static int64_t fibonacci(int64_t number)
{
    int64_t a = 0, b = 1;
    while (number--) {
        int64_t sum = a + b;
        a = b;
        b = sum;
    }
    return a;
}

static void report(struct bench_run *run, int64_t start, int fib)
{
    int64_t tasks = fibonacci(n + 1) - 1;
    bench_result(run, (double)(filch_now() - start) / (double)(tasks ? tasks : 1));
    bench_check(run, "fib", fib, fibonacci(n));
    bench_check(run, "tasks", tasks, tasks);
}

static int scope(struct bench_run *run)
{
    struct part root = {.n = (int)n};
    int64_t start = filch_now();
    int r = fib_scope(&root);
    report(run, start, root.fib);
    return r;
}

static int frame(struct bench_run *run)
{
    int64_t start = filch_now();
    report(run, start, fib_frame((void *)(intptr_t)n));
    return 0;
}

static int serial(struct bench_run *run)
{
    int64_t start = filch_now();
    report(run, start, fib_serial(n));
    return 0;
}

const struct bench bench_fork = {
    .name = "fork",
    .what = "fib(n), a task a call, no cut-off: what spawn and join cost",
    .unit = "ns/task",
    .forms = {{"scope", scope, BENCH_TASK}, {"frame", frame, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params = {BENCH_INT("n", n, 1, 46, "which Fibonacci number")},
};
