/* SPDX-License-Identifier: MIT */
/* Quota: the CPU time that the cgroups leave this process. See quota.c. */
#ifndef FL_MACHINE_QUOTA_H
#define FL_MACHINE_QUOTA_H

#include <stddef.h>

/** The quota of this process, in CPUs; 0: none. @param ret_from the cgroup file that says so, cut to `from_size` bytes; unchanged if there is none */
double fl_quota_here(char *ret_from, size_t from_size);

/** The same from the cgroup files below `root` (normally "/") for the process whose /proc/self/cgroup and /proc/self/mountinfo text is
 * given: min over all visible ancestors, v1 (cpu.cfs_quota_us / cpu.cfs_period_us) and v2 (cpu.max). ret_from may be NULL. Split out for tests. */
double fl_quota_of(const char *root, const char *self_cgroup, const char *mountinfo, char *ret_from, size_t from_size);

#endif
