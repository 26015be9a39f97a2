/* SPDX-License-Identifier: MIT */
/* Time: int64_t nanoseconds, points in time on CLOCK_MONOTONIC. */
#ifndef FILCH_TIME_H
#define FILCH_TIME_H

#include <filch/version.h>

#define FILCH_NSEC(n) ((int64_t)(n))
#define FILCH_USEC(n) ((int64_t)(n)*1000)
#define FILCH_MSEC(n) ((int64_t)(n)*1000000)
#define FILCH_SEC(n) ((int64_t)(n)*1000000000)

/** A deadline that never comes. */
#define FILCH_NEVER INT64_MAX

/** The time now, in nanoseconds of CLOCK_MONOTONIC. Context: any thread, never parks. */
FILCH_API int64_t filch_now(void);

/** The deadline `ns` nanoseconds from now; saturates at FILCH_NEVER. Context: any thread, never parks. */
FILCH_API int64_t filch_after(int64_t ns);

/** Parks the calling task for `ns` nanoseconds; a plain thread sleeps.
 * Never returns early with 0. The grain is about 33 microseconds.
 * @return 0; -ECANCELED or -ETIMEDOUT when a scope around the call was cancelled or ran out of time.
 * Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_sleep(int64_t ns);

/** As filch_sleep, until the point in time `deadline`. FILCH_NEVER sleeps until cancelled.
 * @return as filch_sleep. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_sleep_until(int64_t deadline);

#endif
