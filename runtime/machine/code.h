/* SPDX-License-Identifier: MIT */
/* Code: what the instructions around an address say. One caller at a time, behind fl_modules_know. See code.c. */
#ifndef FL_MACHINE_CODE_H
#define FL_MACHINE_CODE_H

#include "base/attr.h"

/** Whether an address is one that a call returns to, by its looks. @param ret_target the function called; 0: not known */
bool fl_code_is_return(uintptr_t pc, uintptr_t *ret_target);

/** A return address as it is followed: AArch64 may sign it in its upper bits. */
uintptr_t fl_code_plain(uint64_t address);

#endif
