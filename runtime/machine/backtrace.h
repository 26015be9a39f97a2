/* SPDX-License-Identifier: MIT */
/* Backtrace: the calls on another thread's stack, or on one that was left. See backtrace.c and unwind.c.
 *
 * Any number of threads may call; they take turns, and one that has waited a tenth of a second for its turn gives up. */
#ifndef FL_MACHINE_BACKTRACE_H
#define FL_MACHINE_BACKTRACE_H

#include "base/attr.h"

#include <sys/types.h>

/** The calls on the thread's stack, innermost first. [low, high): the stack that it should be on; nothing if it is on another. Each address
 * lies behind the instruction that it stands for, as a return address does. A thread that sleeps is read as it sleeps; one that runs is
 * sampled by perf_event_open(2), where that is allowed, within 5 ms: then it was in user code. The thread may go on, end, or use the stack
 * again meanwhile: the answer is from one moment, or empty.
 * @param ret_sure so many of them, the first ones, follow from unwind tables; the others are guesses, to be marked as such
 * @return how many; 0: not to be had */
size_t fl_backtrace_thread(pid_t tid, uintptr_t low, uintptr_t high, void **ret_pcs, size_t max, size_t *ret_sure);

/** The same of a stack that was left by fl_context_switch, which has stored `sp`. Somebody may go on there meanwhile: the answer is from one moment, or made up of several.
 * @return how many; 0: not to be had */
size_t fl_backtrace_left(uintptr_t sp, uintptr_t low, uintptr_t high, void **ret_pcs, size_t max, size_t *ret_sure);

/** The function that was called by the instruction before `pc`, as fl_backtrace_symbol with an offset of 1. What lies above `pc` on the
 * stack may be another function: the one called has ended in a jump to it.
 * @return whether it is known, which it is for a direct call */
bool fl_backtrace_called(const void *pc, char *text, size_t size);

/** "function+0x12 (file.c:34)", "function+0x12 (libc.so.6)", "libc.so.6+0x1234" or "0x7f...", as far as is known of such an address.
 * @return whether it was looked up; false: others had the tables for 100 ms, and the text is the bare address */
bool fl_backtrace_symbol(const void *pc, char *text, size_t size);

#endif
