/* SPDX-License-Identifier: MIT */
/* What the programs of laws need for Criterion's sake. */
#include <stdlib.h>
#include <unistd.h>

/* A law's process has Criterion's own standard output, on which only what the protocol allows may stand: what a law, or a program that it starts, prints goes to the
 * errors. BoxFort, which starts that process, tells it by this variable what to run. */
__attribute__((constructor)) static void print_with_the_errors(void)
{
    if (getenv("BXFI_MAP"))
        dup2(STDERR_FILENO, STDOUT_FILENO);
}

/* What Criterion itself never frees, LeakSanitizer need not tell. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:criterion_handle_args";
}
