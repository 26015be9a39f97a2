/* SPDX-License-Identifier: MIT */
/* Peek: memory of this process that may be gone, or be written meanwhile. Any thread may call. See peek.c. */
#ifndef FL_MACHINE_PEEK_H
#define FL_MACHINE_PEEK_H

#include "base/attr.h"

/** Copies `size` bytes from `from`, in which a load could fault. @return whether all of it could be read; if not, `to` may have a part */
bool fl_peek(void *to, const void *from, size_t size);

/** Copies a string that may be anything by now: to its end, to `size` - 1 bytes, or as far as it is there: the page behind it may be missing.
 * @return its length; `to` always ends in 0 */
size_t fl_peek_string(char *to, size_t size, const char *from);

#endif
