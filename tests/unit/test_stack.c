/* SPDX-License-Identifier: MIT */
/* The laws of machine/stack: where a stack lies, what guards it, what caching and trimming keep, and what happens at the end of memory.
 *
 * Every test is a process of its own, so limits that one sets are nobody else's; what must die dies in a forked child.
 * What is not tested here: several threads at random, which is stress_stack. */
#include "machine/stack.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <filch/debug.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/sanitizer.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static struct fl_stacks *stacks;
static struct fl_stack_cache cache;
static unsigned cls; /* of 64 KiB */

static void init(void)
{
    cr_assert_eq(fl_stacks_new(&stacks), 0);
    fl_stack_cache_init(&cache, stacks);
    cls = (unsigned)fl_stack_class(64 * KIB);
}

static void fini(void)
{
    fl_stack_cache_fini(&cache);
    fl_stacks_free(stacks);
}

TestSuite(stack, .init = init, .fini = fini);

static struct fl_stacks_info info(void)
{
    struct fl_stacks_info now;
    fl_stacks_info(stacks, &now);
    return now;
}

static size_t resident(void)
{
    unsigned long size = 0, pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    cr_assert(statm && fscanf(statm, "%lu %lu", &size, &pages) == 2);
    fclose(statm);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* A number of /proc/self/status, in bytes. */
static size_t status(const char *field)
{
    char line[256];
    size_t kib = 0, length = strlen(field);
    FILE *file = fopen("/proc/self/status", "r");
    cr_assert(file);
    while (fgets(line, sizeof(line), file))
        if (!strncmp(line, field, length) && line[length] == ':')
            kib = strtoul(line + length + 1, NULL, 10);
    fclose(file);
    return kib * KIB;
}

static unsigned mappings(void)
{
    unsigned lines = 0;
    int c;
    FILE *maps = fopen("/proc/self/maps", "r");
    while ((c = getc(maps)) != EOF)
        lines += c == '\n';
    fclose(maps);
    return lines;
}

static unsigned descriptors(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static struct fl_stack **get_many(unsigned n)
{
    struct fl_stack **got = calloc(n, sizeof(struct fl_stack *));
    for (unsigned i = 0; i < n; i++) {
        got[i] = fl_stack_get(&cache, cls);
        cr_assert(got[i]);
    }
    return got;
}

static void put_many(struct fl_stack **got, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        fl_stack_put(&cache, got[i]);
    free(got);
}

/* The signal that a child dies of when it writes a byte there, or 0. */
static int write_kills(uintptr_t address)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        *(volatile char *)address = 1;
        _exit(0);
    }
    int how = 0;
    waitpid(child, &how, 0);
    return WIFSIGNALED(how) ? WTERMSIG(how) : 0;
}

Test(stack, class_is_the_least_that_is_enough)
{
    cr_assert_eq(fl_stack_class(64 * MIB), FL_STACK_CLASSES - 1);
    cr_assert_eq(fl_stack_class(64 * MIB + 1), -EINVAL);
    cr_assert_eq(fl_stack_class(SIZE_MAX), -EINVAL);
    for (size_t size = 1; size <= 64 * MIB; size = size * 5 / 4 + 1) {
        int c = fl_stack_class(size);
        cr_assert_geq(c, 0);
        cr_assert_geq(16 * KIB << c, size);
        cr_assert(c == fl_stack_class(1) || 16 * KIB << (c - 1) < size);
    }
}

Test(stack, is_as_large_as_its_class_above_a_guard)
{
    for (unsigned c = (unsigned)fl_stack_class(1); c < FL_STACK_CLASSES; c++) {
        size_t size = 16 * KIB << c, page = (size_t)sysconf(_SC_PAGESIZE);
        for (unsigned i = 0; i < 40 && size * i < 256 * MIB; i++) {
            struct fl_stack *stack = fl_stack_get(&cache, c);
            cr_assert(stack);
            uintptr_t end = stack->low + size;
            cr_assert_eq(stack->low % page, 0);
            cr_assert_eq(stack->top % 16, 0);
            cr_assert_leq(stack->top, (uintptr_t)stack);
            cr_assert_leq((uintptr_t)(stack + 1), end);
            cr_assert_geq(stack->top - (end - 4096), 1900, "header and colour leave too little of the top page");
            cr_assert_eq(stack->cls, c);
            cr_assert_null(stack->task);
            memset((void *)stack->low, 0xff, 64);
            memset((void *)(stack->top - 8192 + 64), 0xff, 8192 - 64);
        }
    }
}

Test(stack, neighbours_have_different_colours)
{
    struct fl_stack **got = get_many(256);
    unsigned seen[64] = {0}, colours = 0;
    for (unsigned i = 0; i < 256; i++)
        colours += seen[got[i]->top / 64 % 64]++ == 0;
    cr_assert_eq(colours, FL_STACK_COLOURS);
    for (unsigned i = 0; i < 64; i++)
        cr_assert_leq(seen[i], 256 / FL_STACK_COLOURS + 2);
    put_many(got, 256);
}

/* A TLB finds its set by the lowest bits of the page's number. */
Test(stack, the_first_pages_of_many_are_in_all_sets_of_a_tlb)
{
    enum { SETS = 128, MANY = 512 };
    struct fl_stack **got = get_many(MANY);
    unsigned seen[SETS] = {0};
    for (unsigned i = 0; i < MANY; i++)
        seen[(got[i]->top - 1) / (uintptr_t)sysconf(_SC_PAGESIZE) % SETS]++;
    for (unsigned i = 0; i < SETS; i++)
        cr_assert(seen[i] > 0 && seen[i] <= 3 * MANY / SETS);
    put_many(got, MANY);
}

Test(stack, writing_into_the_guard_kills)
{
    for (int kind = FILCH_GUARD_MARKER; kind <= FILCH_GUARD_MPROTECT; kind++) {
        fl_stacks_limit_guard(stacks, kind);
        struct fl_stack *last = NULL;
        for (int i = 0; i < 100; i++) /* fresh ones, alone and from batches */
            last = fl_stack_get(&cache, cls);
        cr_assert_geq(last->guard, kind);
        cr_assert_eq(write_kills(last->low), 0);
        cr_assert_eq(write_kills(last->top - 1), 0);
        cr_assert_eq(write_kills(last->low - 1), SIGSEGV);
        cr_assert_eq(write_kills(last->low - (uintptr_t)sysconf(_SC_PAGESIZE)), SIGSEGV);
    }
}

Test(stack, every_stack_of_a_batch_is_guarded)
{
    struct fl_stack **got = get_many(300);
    struct fl_stacks_info now = info();
    cr_assert_geq(now.stacks, 300);
    cr_assert_eq(now.guarded, now.stacks);
    for (unsigned i = 0; i < 300; i += 7)
        cr_assert_eq(write_kills(got[i]->low - 1), SIGSEGV, "stack %u", i);
    put_many(got, 300);
}

Test(stack, mprotect_ends_at_a_quarter_of_the_mappings)
{
    unsigned long max = 0;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    if (!file || fscanf(file, "%lu", &max) != 1 || max > 200000)
        cr_skip_test("vm.max_map_count is unknown or large");
    fclose(file);
    cls = (unsigned)fl_stack_class(16 * KIB);
    fl_stacks_limit_guard(stacks, FILCH_GUARD_MPROTECT);
    unsigned n = (unsigned)(max / 4 + 200);
    struct fl_stack **got = get_many(n);
    cr_assert_eq(info().guarded, max / 4);
    cr_assert_eq(info().guard, FILCH_GUARD_CANARY);
    cr_assert_eq(got[n - 1]->guard, FILCH_GUARD_CANARY);
    cr_assert_lt(mappings(), max * 3 / 4, "the host has mappings left");

    /* Another runtime may protect again once this one has gone. */
    free(got);
    fini();
    init();
    fl_stacks_limit_guard(stacks, FILCH_GUARD_MPROTECT);
    cr_assert_eq(fl_stack_get(&cache, cls)->guard, FILCH_GUARD_MPROTECT);
}

Test(stack, canary_sees_what_ran_over)
{
    fl_stacks_limit_guard(stacks, FILCH_GUARD_CANARY);
    struct fl_stack *stack = fl_stack_get(&cache, cls);
    cr_assert_eq(stack->guard, FILCH_GUARD_CANARY);
    memset((void *)stack->low, 0xff, stack->top - stack->low);
    cr_assert(fl_stack_intact(stack), "all that is usable may be used");
    for (unsigned off = 1; off <= 4096; off += 13) {
        *(char *)(stack->low - off) = 1;
        cr_assert(!fl_stack_intact(stack), "%u bytes below", off);
        *(char *)(stack->low - off) = 0;
    }
    cr_assert(fl_stack_intact(stack));
}

Test(stack, canary_costs_no_memory)
{
    if (FL_ASAN)
        cr_skip_test("ASan's own memory blurs the figures");
    fl_stacks_limit_guard(stacks, FILCH_GUARD_CANARY);
    size_t before = resident();
    struct fl_stack **got = get_many(4096);
    for (unsigned i = 0; i < 4096; i++)
        cr_assert(fl_stack_intact(got[i]));
    cr_assert_lt(resident() - before, 4096 * 4096 + 4 * MIB, "a page a stack");
    put_many(got, 4096);
}

Test(stack, guards_can_be_forgone)
{
    fl_stacks_limit_guard(stacks, FILCH_GUARD_NONE);
    struct fl_stack *stack = fl_stack_get(&cache, cls);
    cr_assert_eq(stack->guard, FILCH_GUARD_NONE);
    cr_assert_eq(info().guard, FILCH_GUARD_NONE);
    fl_stacks_limit_guard(stacks, FILCH_GUARD_MARKER);
    cr_assert_eq(info().guard, FILCH_GUARD_NONE, "no better than it was");
    cr_assert_eq(info().guarded, 0);
}

Test(stack, last_put_is_next_got)
{
    struct fl_stack *a = fl_stack_get(&cache, cls), *b = fl_stack_get(&cache, cls);
    cr_assert_neq(a, b);
    a->task = &cache;
    fl_stack_put(&cache, b);
    fl_stack_put(&cache, a);
    cr_assert_null(a->task);
    cr_assert_eq(fl_stack_get(&cache, cls), a);
    cr_assert_eq(fl_stack_get(&cache, cls), b);
}

Test(stack, all_got_are_different)
{
    enum { N = 10000 };
    struct fl_stack **got = get_many(N);
    for (unsigned i = 0; i < N; i++)
        got[i]->task = got[i];
    for (unsigned i = 0; i < N; i++)
        cr_assert_eq(got[i]->task, got[i]);
    put_many(got, N);
    got = get_many(N);
    for (unsigned i = 0; i < N; i++) {
        cr_assert_null(got[i]->task, "got twice");
        got[i]->task = got[i];
    }
    put_many(got, N);
}

Test(stack, surplus_spills_to_the_others)
{
    enum { N = 3 * FL_STACK_CACHE_MAX };
    struct fl_stack_cache second;
    fl_stack_cache_init(&second, stacks);
    put_many(get_many(N), N);
    uint64_t made = info().stacks;
    unsigned got = 0;
    while (info().stacks == made) {
        cr_assert(fl_stack_get(&second, cls));
        got++;
    }
    cr_assert_geq(got, N - FL_STACK_CACHE_MAX - 1);
    fl_stack_cache_fini(&second);
}

Test(stack, one_just_put_stays_in_its_cache)
{
    enum { N = 3 * FL_STACK_CACHE_MAX };
    struct fl_stack **got = get_many(N);
    for (unsigned i = 0; i < N; i++) {
        fl_stack_put(&cache, got[i]);
        cr_assert_eq(fl_stack_get(&cache, cls), got[i]);
        fl_stack_put(&cache, got[i]);
    }
    free(got);
}

Test(stack, a_cache_at_its_end_gives_all_away)
{
    put_many(get_many(5000), 5000);
    uint64_t made = info().stacks;
    fl_stack_cache_fini(&cache);
    struct fl_stack **got = get_many((unsigned)made);
    cr_assert_eq(info().stacks, made);
    put_many(got, (unsigned)made);
}

Test(stack, trim_gives_memory_back)
{
    if (FL_ASAN)
        cr_skip_test("ASan's own memory blurs the figures");
    enum { N = 20000 };
    put_many(get_many(10), 10);
    size_t before = resident(), tables = status("VmPTE");
    for (int round = 0; round < 3; round++) {
        put_many(get_many(N), N);
        cr_assert_gt(resident(), before + N * 4096);
        cr_assert(fl_stack_trim_wanted(&cache, 0));
        cr_assert_geq(fl_stack_trim(&cache, 0), N);
        cr_assert(!fl_stack_trim_wanted(&cache, 0));
        cr_assert_lt(resident(), before + 2 * MIB);
    }
    if (info().guard == FILCH_GUARD_MARKER)
        cr_assert_lt(status("VmPTE"), tables + N * 128 + MIB);
}

Test(stack, trim_keeps_what_it_is_told_to)
{
    static const unsigned keeps[] = {0,    1,    10, FL_STACK_MAGAZINE - 1, FL_STACK_MAGAZINE, FL_STACK_MAGAZINE + 1, FL_STACK_CACHE_MAX,
                                     9000, 11000};
    for (unsigned k = 0; k < sizeof(keeps) / sizeof(*keeps); k++) {
        fini();
        init();
        put_many(get_many(10000), 10000);
        uint64_t made = info().stacks;
        size_t free_now = made, want = free_now > keeps[k] ? free_now - keeps[k] : 0;
        cr_assert_eq(fl_stack_trim_wanted(&cache, keeps[k]), want > 0);
        cr_assert_eq(fl_stack_trim(&cache, keeps[k]), want, "keep %u", keeps[k]);
        cr_assert(!fl_stack_trim_wanted(&cache, keeps[k]));
        struct fl_stack **got = get_many((unsigned)made);
        put_many(got, (unsigned)made);
    }
}

Test(stack, trim_can_stop_early)
{
    put_many(get_many(10000), 10000);
    size_t trimmed = fl_stack_trim_some(&cache, 0, 100);
    cr_assert_geq(trimmed, 100);
    cr_assert_leq(trimmed, 100 + FL_STACK_MAGAZINE);
    cr_assert(fl_stack_trim_wanted(&cache, 0));
}

Test(stack, trimmed_ones_are_guarded_and_clean_when_used_again)
{
    for (int kind = FILCH_GUARD_MARKER; kind <= FILCH_GUARD_MPROTECT; kind++) {
        fl_stacks_limit_guard(stacks, kind);
        for (int round = 0; round < 3; round++) {
            struct fl_stack **got = get_many(500);
            for (unsigned i = 0; i < 500; i++) {
                cr_assert_eq(*(uint64_t *)got[i]->low, 0);
                cr_assert_null(got[i]->task);
                memset((void *)got[i]->low, 0xff, 64);
            }
            for (unsigned i = 0; i < 500; i += 61)
                cr_assert_eq(write_kills(got[i]->low - 1), SIGSEGV);
            put_many(got, 500);
            cr_assert_geq(fl_stack_trim(&cache, 0), 500);
        }
        cr_assert_lt(info().stacks, 1200, "trimmed ones are used before fresh ones");
    }
}

static struct fl_stack *seen_before;
static unsigned seen, trimmed_meanwhile;

static void see(struct fl_stack *stack, void *arg)
{
    (void)arg;
    cr_assert_gt(stack, seen_before, "in address order, none twice");
    seen_before = stack;
    cr_assert_eq(stack->top, (uintptr_t)stack);
    seen += load_relaxed(fl_atomic(void *, &stack->task)) != NULL; /* hint: one thread */
}

static void see_and_trim(struct fl_stack *stack, void *arg)
{
    see(stack, arg);
    trimmed_meanwhile += (unsigned)fl_stack_trim(&cache, 0);
}

Test(stack, each_sees_every_one_in_use)
{
    struct fl_stack **got = get_many(3000);
    struct fl_stack *large[20];
    for (unsigned i = 0; i < 20; i++)
        (large[i] = fl_stack_get(&cache, 7))->task = got;
    for (unsigned i = 0; i < 3000; i++)
        got[i]->task = got;
    for (unsigned i = 0; i < 1000; i++)
        fl_stack_put(&cache, got[i]);
    fl_stack_trim(&cache, 100);
    fl_stacks_each(stacks, see, NULL);
    cr_assert_eq(seen, 2020);
    free(got);
}

Test(stack, none_is_trimmed_while_somebody_looks)
{
    put_many(get_many(100), 100);
    fl_stacks_each(stacks, see_and_trim, NULL);
    cr_assert_eq(trimmed_meanwhile, 0);
    cr_assert(fl_stack_trim_wanted(&cache, 0));
    cr_assert_geq(fl_stack_trim(&cache, 0), 100);
    put_many(get_many(100), 100);
}

Test(stack, exhaustion_fails_the_call_and_passes)
{
    if (FL_ASAN)
        cr_skip_test("ASan needs terabytes of address space");
    struct rlimit old;
    getrlimit(RLIMIT_AS, &old);
    fl_stack_put(&cache, fl_stack_get(&cache, cls));
    struct rlimit low = {status("VmSize") + 40 * MIB + 512 * KIB, old.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_AS, &low), 0);

    static struct fl_stack *got[2000];
    unsigned n = 0;
    errno = 4711;
    while (n < 2000 && (got[n] = fl_stack_get(&cache, cls)))
        n++;
    cr_assert_geq(n, 40 * MIB / (64 * KIB) * 9 / 10, "nearly all of the address space is used");
    cr_assert_lt(n, 2000);
    cr_assert_null(fl_stack_get(&cache, cls), "and it stays so");
    cr_assert_null(fl_stack_get(&cache, FL_STACK_CLASSES - 1));
    cr_assert_eq(errno, 4711);

    for (unsigned i = 0; i < n; i++)
        fl_stack_put(&cache, got[i]);
    for (unsigned i = 0; i < n; i++)
        cr_assert(fl_stack_get(&cache, cls));
    cr_assert_null(fl_stack_get(&cache, cls));
    setrlimit(RLIMIT_AS, &old);
    cr_assert(fl_stack_get(&cache, cls));
    cr_assert(fl_stack_get(&cache, FL_STACK_CLASSES - 1));
}

Test(stack, a_small_runtime_fits_into_a_small_limit)
{
    if (FL_ASAN)
        cr_skip_test("ASan needs terabytes of address space");
    struct rlimit old;
    getrlimit(RLIMIT_AS, &old);
    struct rlimit low = {status("VmSize") + 2 * MIB, old.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_AS, &low), 0);
    for (int i = 0; i < 16; i++)
        cr_assert(fl_stack_get(&cache, cls));
}

Test(stack, nothing_is_left_behind)
{
    fini();
    unsigned files = descriptors();
    size_t size = status("VmSize"), maps = 0;
    for (int round = 0; round < 50; round++) {
        init();
        cr_assert_eq(descriptors(), files);
        put_many(get_many(1000), 1000);
        fl_stack_trim(&cache, 10);
        put_many(get_many(100), 100);
        fini();
        if (round == 10)
            size = status("VmSize"), maps = mappings();
    }
    cr_assert_leq(mappings(), maps);
    if (!FL_ASAN)
        cr_assert_leq(status("VmSize"), size);
    fl_stacks_free(NULL);
    init();
}

Test(stack, runtimes_do_not_share)
{
    struct fl_stacks *others;
    struct fl_stack_cache other;
    cr_assert_eq(fl_stacks_new(&others), 0);
    fl_stack_cache_init(&other, others);
    struct fl_stack **got = get_many(100);
    struct fl_stack *theirs = fl_stack_get(&other, cls);
    for (unsigned i = 0; i < 100; i++)
        got[i]->task = got;
    cr_assert_null(theirs->task);
    fl_stack_put(&other, theirs);
    fl_stack_cache_fini(&other);
    fl_stacks_free(others);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(got[i]->task, got);
    put_many(got, 100);
}
