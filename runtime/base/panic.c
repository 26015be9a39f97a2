/* SPDX-License-Identifier: MIT */
#include "base/panic.h"
#include "base/atomic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void (*_Atomic fl_panic_hook)(void);

void fl_panic(const char *fmt, ...)
{
    char line[512];
    int n = snprintf(line, sizeof line, "filch: panic: ");
    va_list ap;
    va_start(ap, fmt);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
    va_end(ap);
    n = m < 0 ? n : n + m < (int)sizeof line - 1 ? n + m : (int)sizeof line - 2;
    line[n++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)n);
    (void)ignored;
    /* own: whoever swaps it out; the first panic dumps, one inside the dump must not come back here */
    void (*hook)(void) = exchange_acq_rel(&fl_panic_hook, NULL);
    if (hook)
        hook();
    abort();
}
