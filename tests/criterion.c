/* SPDX-License-Identifier: MIT */
/* What Criterion itself never frees, LeakSanitizer need not tell. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:criterion_handle_args";
}
