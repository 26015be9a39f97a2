/* SPDX-License-Identifier: MIT */
/* The AArch64 switch, run on an AArch64 machine or under qemu-aarch64 (run.sh). A plain program: prints a line a law, returns how many
 * were broken.
 *
 * Two contexts, the program's own stack and one made on a buffer, switch to and fro. */
#include "machine/context.h"

#include <fenv.h>
#include <stdio.h>
#include <unwind.h>

uint32_t registers_survive(void **save_sp, void *to_sp, uint64_t seed);

static char stack[1 << 16] __attribute__((aligned(16)));
static void *main_sp, *task_sp;
static int failures;

static void law(const char *name, bool holds)
{
    printf("%s %s\n", holds ? "ok    " : "BROKEN", name);
    failures += !holds;
}

static void start(void (*entry)(void))
{
    task_sp = fl_context_make((uintptr_t)stack + sizeof stack, entry);
    fl_context_switch(&main_sp, task_sp);
}

static void to_task(void)
{
    fl_context_switch(&main_sp, task_sp);
}

static void to_main(void)
{
    fl_context_switch(&task_sp, main_sp);
}

/* ---- one stack after the other ---- */

static int turns;

static void count_turns(void)
{
    for (;;) {
        turns++;
        to_main();
    }
}

static void ping_pong(void)
{
    start(count_turns);
    for (int i = 1; i < 100000; i++)
        to_task();
    law("each switch to a context goes on where it stopped", turns == 100000);
}

/* ---- the first frame ---- */

static uintptr_t first_sp;

static void note_sp(void)
{
    __asm__ volatile("mov %0, sp" : "=r"(first_sp));
    to_main();
}

static void first_frame(void)
{
    start(note_sp);
    law("the entry runs on the stack it was given", first_sp > (uintptr_t)stack && first_sp <= (uintptr_t)stack + sizeof stack);
    law("its stack pointer is 16-byte aligned", first_sp % 16 == 0);
}

/* ---- registers ---- */

static uint32_t task_changed = ~0u;

static void fill_registers(void)
{
    uint32_t changed = 0;
    for (uint64_t i = 0;; i++) {
        changed |= registers_survive(&task_sp, main_sp, 0x1111222233330000 + 64 * i);
        task_changed = changed;
    }
}

static void callee_saved(void)
{
    uint32_t changed = 0;
    start(fill_registers);
    for (uint64_t i = 0; i < 1000; i++)
        changed |= registers_survive(&main_sp, task_sp, 0xaaaabbbbcccc0000 + 64 * i);
    law("x19-x29 and d8-d15 survive on the program's stack", changed == 0);
    law("x19-x29 and d8-d15 survive on a made stack", task_changed == 0);
}

/* ---- the rounding mode ---- */

static int rounding_first = -1, rounding_later = -1;

static void round_up(void)
{
    rounding_first = fegetround();
    fesetround(FE_UPWARD);
    for (;;) {
        to_main();
        rounding_later = fegetround();
    }
}

static void rounding(void)
{
    fesetround(FE_DOWNWARD);
    start(round_up);
    bool own = fegetround() == FE_DOWNWARD;
    fesetround(FE_TOWARDZERO);
    to_task();
    own = own && fegetround() == FE_TOWARDZERO;
    fesetround(FE_TONEAREST);
    law("a new context rounds to nearest", rounding_first == FE_TONEAREST);
    law("a rounding mode does not leak into the context switched to", own);
    law("a rounding mode is kept across a switch", rounding_later == FE_UPWARD);
}

/* ---- unwinding ---- */

static int frames;
static _Unwind_Reason_Code unwound;

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *arg)
{
    (void)context, (void)arg;
    return ++frames < 100 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

static void unwind(void)
{
    unwound = _Unwind_Backtrace(count_frame, NULL);
    to_main();
}

static void backtrace_ends(void)
{
    start(unwind);
    law("a backtrace ends at the first frame", unwound == _URC_END_OF_STACK && frames >= 2 && frames <= 4);
}

int main(void)
{
    ping_pong();
    first_frame();
    callee_saved();
    rounding();
    backtrace_ends();
    return failures;
}
