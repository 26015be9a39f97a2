/* SPDX-License-Identifier: MIT */
/* What every public header needs: the version, linkage, and the markers that say how a function behaves. */
#ifndef FILCH_VERSION_H
#define FILCH_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILCH_VERSION_MAJOR 0
#define FILCH_VERSION_MINOR 1
#define FILCH_VERSION_PATCH 0
#define FILCH_VERSION "0.1.0"

#ifdef __cplusplus
#define FILCH_API extern "C" __attribute__((visibility("default")))
#define FILCH_API_DATA extern "C" __attribute__((visibility("default")))
#else
#define FILCH_API __attribute__((visibility("default")))
#define FILCH_API_DATA extern __attribute__((visibility("default")))
#endif

/** Marks a function that may park the calling task. Documentation for the reader and for checkers. */
#define FILCH_PARKS

/** What a task runs: gets the argument it was spawned with; a negative result is a failure (-errno by habit). errno and the modes of floating-point arithmetic are the
 * task's own while it waits; who changes the modes puts them back before it returns, because the next task begins with those. */
typedef int filch_fn(void *arg);

/** The version of the library that is linked, as "0.1.0". Context: any thread, never parks. */
FILCH_API const char *filch_version(void);

#endif
