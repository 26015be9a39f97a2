/* SPDX-License-Identifier: MIT */
/* The laws of machine/context: each context keeps its callee-saved registers, its stack and its floating-point control, whatever the others do.
 *
 * Contexts run as coroutines of the test's thread, on plain memory. What is not tested here: every register by hand, which is tests/aarch64 for the other CPU; and a
 * context that goes on on another thread, which every stress program does. */
#include "machine/context.h"

#include "machine/sanitizer.h"

#include <criterion/criterion.h>
#include <string.h>

enum { CONTEXTS = 5, ROUNDS = 1000, SIZE = 65536 };

static void *main_sp, *sp[CONTEXTS];
static int running, rounds[CONTEXTS], broken;
static _Alignas(64) char stacks[CONTEXTS][SIZE];

static void back(int self)
{
    fl_context_switch(&sp[self], main_sp);
}

static void visit(int which)
{
    running = which;
    fl_context_switch(&main_sp, sp[which]);
}

#if defined(__x86_64__)
static void control_set(unsigned mode)
{
    __builtin_ia32_ldmxcsr((__builtin_ia32_stmxcsr() & ~0x6000u) | (mode & 3) << 13);
    unsigned short x87;
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    x87 = (unsigned short)((x87 & ~0xc00u) | (mode & 3) << 10);
    __asm__ volatile("fldcw %0" : : "m"(x87));
}

static bool control_is(unsigned mode)
{
    unsigned short x87;
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    return (__builtin_ia32_stmxcsr() >> 13 & 3) == (mode & 3) && (x87 >> 10 & 3u) == (mode & 3);
}

/* Switches away with all six registers holding what only this context knows. @return whether they still do. */
__attribute__((noinline)) static bool registers_survive(uint64_t seed, int self)
{
    register uint64_t b __asm__("rbx") = seed + 1;
    register uint64_t c __asm__("r12") = seed + 2;
    register uint64_t d __asm__("r13") = seed + 3;
    register uint64_t e __asm__("r14") = seed + 4;
    register uint64_t f __asm__("r15") = seed + 5;
    __asm__ volatile("" : "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
    back(self);
    __asm__ volatile("" : "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
    return b == seed + 1 && c == seed + 2 && d == seed + 3 && e == seed + 4 && f == seed + 5;
}
#else
static void control_set(unsigned mode)
{
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    __asm__ volatile("msr fpcr, %0" : : "r"((fpcr & ~((uint64_t)3 << 22)) | (uint64_t)(mode & 3) << 22));
}

static bool control_is(unsigned mode)
{
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return (fpcr >> 22 & 3) == (mode & 3);
}

__attribute__((noinline)) static bool registers_survive(uint64_t seed, int self)
{
    volatile uint64_t copy = seed;
    back(self);
    return copy == seed;
}
#endif

static void coroutine(void)
{
    int self = running;
    unsigned char pattern[256];
    control_set((unsigned)self);
    for (;;) {
        memset(pattern, self * 16 + rounds[self] % 16, sizeof pattern);
        uint64_t seed = ((uint64_t)self << 32 | (uint64_t)rounds[self]) * 0x9e3779b97f4a7c15u;
        broken += !registers_survive(seed, self);
        broken += !control_is((unsigned)self);
        for (size_t i = 0; i < sizeof pattern; i++)
            broken += pattern[i] != (unsigned char)(self * 16 + rounds[self] % 16);
        rounds[self]++;
    }
}

static uintptr_t frame_at_entry;

static void note_frame(void)
{
    frame_at_entry = (uintptr_t)__builtin_frame_address(0);
    fl_context_switch(&sp[0], main_sp);
}

Test(context, each_keeps_its_registers_its_stack_and_its_floating_point_control, .disabled = FL_ASAN)
{
    for (int i = 0; i < CONTEXTS; i++)
        sp[i] = fl_context_make((uintptr_t)stacks[i] + SIZE, coroutine);
    control_set(0);
    uint64_t dice = 88172645463325252u;
    int visits[CONTEXTS] = {0};
    for (int i = 0; i < ROUNDS * CONTEXTS; i++) {
        dice ^= dice << 13, dice ^= dice >> 7, dice ^= dice << 17;
        int which = (int)(dice % CONTEXTS);
        visits[which]++;
        visit(which);
        cr_assert(control_is(0));
    }
    cr_assert(broken == 0);
    for (int i = 0; i < CONTEXTS; i++)
        cr_assert(rounds[i] == visits[i] - 1 && visits[i] > 100);
}

Test(context, an_entry_is_called_with_an_aligned_stack, .disabled = FL_ASAN)
{
    sp[0] = fl_context_make((uintptr_t)stacks[0] + SIZE, note_frame);
    visit(0);
    cr_assert(frame_at_entry % 16 == 0); /* with a frame pointer: two words below the call */
    cr_assert(frame_at_entry > (uintptr_t)stacks[0] + SIZE - 256 && frame_at_entry < (uintptr_t)stacks[0] + SIZE);
}

Test(context, making_one_writes_only_below_its_top)
{
    memset(stacks[0], 0x5a, SIZE);
    fl_context_make((uintptr_t)stacks[0] + SIZE / 2, coroutine);
    for (size_t i = 0; i < SIZE; i++)
        cr_assert(stacks[0][i] == 0x5a || (i < SIZE / 2 && i >= SIZE / 2 - 176));
}
