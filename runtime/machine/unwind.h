/* SPDX-License-Identifier: MIT */
/* Unwind: from a copy of a stack, and the registers that are known, to the calls. See unwind.c. */
#ifndef FL_MACHINE_UNWIND_H
#define FL_MACHINE_UNWIND_H

#include "base/attr.h"

#if defined(__x86_64__)
#define FL_UNWIND_REGS 17 /* rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, r8-r15, return address */
#define FL_UNWIND_FP 6
#define FL_UNWIND_SP 7
#else
#define FL_UNWIND_REGS 32 /* x0-x30, sp */
#define FL_UNWIND_FP 29
#define FL_UNWIND_SP 31
#endif

#define FL_UNWIND_BYTES (64 * 1024) /* of a stack, at most: what is deeper is not told */

/** A stack at one moment. */
struct fl_snapshot {
    uintptr_t pc;
    bool exact;                          /**< pc is an instruction that is to be run, else one behind that which runs */
    uint64_t known;                      /**< bits: registers below whose value is known; always the stack pointer */
    uint64_t regs[FL_UNWIND_REGS];       /**< by their DWARF number */
    uintptr_t low, high;                 /**< what was copied: [sp, high), high - low <= FL_UNWIND_BYTES */
    uint64_t words[FL_UNWIND_BYTES / 8]; /**< the copy */
};

/** The calls on it, innermost first: as fl_backtrace_thread. One caller at a time. */
size_t fl_unwind(const struct fl_snapshot *snapshot, void **ret_pcs, size_t max, size_t *ret_sure);

#endif
