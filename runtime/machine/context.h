/* SPDX-License-Identifier: MIT */
/* Context: changing from one stack to another within a kernel thread.
 *
 * What is kept is what the psABI calls callee-saved: on x86-64 rbx, rbp, r12-r15, the control bits of MXCSR and the x87 control word; on AArch64
 * x19-x30, d8-d15 and FPCR. Everything else the compiler has saved before the call, because the switch is an ordinary
 * function to it. Both control words are written back only if they differ: reading costs little, writing flushes the pipeline.
 *
 * The return is `ret`. The return predictor then has the address behind the last call of this function, which is the right one as long as all
 * switches are made from one place (fl_context_leave), and it stays in step for the callers above. With pop and jmp the prediction of the switch itself is as good,
 * but the entry that its call has pushed is left over, and every return above it misses: a yield took 18.7 ns instead of 11.8.
 * (Two stacks that switch from different places, in a loop of nothing else, show the opposite: 3.3 ns with jmp, 7.4 with ret.)
 *
 * Rejected: ucontext (two system calls a switch for the signal mask), setjmp/longjmp (mangled pointers, checks by _FORTIFY_SOURCE), saving all
 * vector registers (caller-saved by the ABI). */
#ifndef FL_MACHINE_CONTEXT_H
#define FL_MACHINE_CONTEXT_H

#include "base/attr.h"

/** What a saved stack begins with, for who unwinds it: at `FL_CONTEXT_REGS + 8 i` bytes register FL_CONTEXT_NUMBERS[i] of DWARF, then where to go on, with so many bytes off the stack. */
#if defined(__x86_64__)
#define FL_CONTEXT_REGS 8
#define FL_CONTEXT_NUMBERS 15, 14, 13, 12, 3, 6
#define FL_CONTEXT_SIZE 64
#else
#define FL_CONTEXT_REGS 0
#define FL_CONTEXT_NUMBERS 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29
#define FL_CONTEXT_SIZE 176
#endif

/** Leaves the running stack, storing where in *save_sp, and goes on where `to_sp` was stored. Returns when somebody switches back; by then
 * the kernel thread may be another one. */
void fl_context_switch(void **save_sp, void *to_sp);

/** As fl_context_switch; when somebody switches back it jumps to `after`, and returns what that returns. A caller that ends in it need not keep anything, not
 * even registers, across the switch: what a switch saves is then saved once. */
int fl_context_leave(void **save_sp, void *to_sp, int (*after)(void));

/** Prepares a stack: the first switch to the returned pointer calls `entry`, which must not return.
 * @param top 16-byte aligned; 72 bytes (x86-64) or 176 bytes (AArch64) below it are written */
void *fl_context_make(uintptr_t top, void (*entry)(void));

#endif
