/* SPDX-License-Identifier: MIT */
/* Panic: the end of a process whose programmer broke a rule that no error code can mend (unlocking what one does not hold, parking
 * outside a task). Prints one line and the hook's dump to stderr, then aborts. Conditions are never panics. */
#ifndef FL_BASE_PANIC_H
#define FL_BASE_PANIC_H

#include "base/attr.h"

/** Prints "filch: panic: <message>", calls the hook once, aborts. Context: anywhere. */
FL_NORETURN FL_COLD FL_PRINTF(1, 2) void fl_panic(const char *fmt, ...);

/** What fl_panic calls before it aborts (a dump of the runtime the thread belongs to), or NULL. */
extern void (*_Atomic fl_panic_hook)(void);

#define fl_panic_if(cond, ...)     \
    do {                           \
        if (unlikely(cond))        \
            fl_panic(__VA_ARGS__); \
    } while (0)

#ifndef NDEBUG
#define fl_assert(cond) fl_panic_if(!(cond), "assertion failed: %s (%s:%d)", #cond, __FILE__, __LINE__)
#else
#define fl_assert(cond) ((void)sizeof(cond))
#endif

#endif
