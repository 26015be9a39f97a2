/* SPDX-License-Identifier: MIT */
/* Symbol: the name of a place in the code. One caller at a time. See symbol.c. */
#ifndef FL_MACHINE_SYMBOL_H
#define FL_MACHINE_SYMBOL_H

#include "base/attr.h"

/** "function+0x12 (file.c:34)", "function+0x12 (libc.so.6)", "libc.so.6+0x1234" or "0x7f...", as far as is known of an address behind the
 * instruction that is meant. */
void fl_symbol(uintptr_t pc, char *text, size_t size);

#endif
