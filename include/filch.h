/* SPDX-License-Identifier: MIT */
/* filch: an M:N work-stealing runtime for Linux. This header is all a program includes.
 *
 *     #include <filch.h>
 *     #include <stdio.h>
 *
 *     static int hello(void *arg)
 *     {
 *             const char *who = arg;
 *             filch_sleep(FILCH_MSEC(10));    // parks this task; its worker runs the others
 *             printf("hello, %s\n", who);
 *             return 0;
 *     }
 *
 *     static int first(void *arg)
 *     {
 *             FILCH_SCOPE(s);                 // owns what is spawned into it
 *             filch_spawn(&s, hello, "one");
 *             filch_spawn(&s, hello, "two");
 *             return filch_join(&s);          // waits; the first failure, or 0
 *     }
 *
 *     int main(void)
 *     {
 *             return filch_run(NULL, first, NULL);
 *     }
 *
 * Rules that hold for every function: errors are negative errno values and never `errno`; times are int64_t
 * nanoseconds of CLOCK_MONOTONIC; everything embeddable is valid when all zero; fields that end in `_` are private.
 * "Parks" means: the calling task may stop here while its worker runs others, and may go on on another kernel
 * thread. Keep no address of a thread-local variable, `&errno` included, across a call that parks. */
#ifndef FILCH_H
#define FILCH_H

#include <filch/version.h>

#include <filch/time.h>

#include <filch/runtime.h>

#include <filch/task.h>

#include <filch/sync.h>

#include <filch/select.h>

#include <filch/chan.h>

#include <filch/io.h>

#include <filch/debug.h>

#endif
