/* SPDX-License-Identifier: MIT */
/* The policy of stealing: whom a thief tries first, whether it asks, how much it is given, and when it leaves the others alone.
 *
 * Numbers and decisions only; how they are carried out is sched/steal.c and sched/search.c, and who is woken is sched/idle.h. The scheduler has one policy, a
 * constant, so that what is asked here is decided when it is compiled. The simulator (bench/sim) compiles the same files with FL_POLICY_VARIES and runs
 * others beside it: a policy that is to be tried is a line there, and what proves better becomes the constant here.
 *
 * No system call, no clock, no TLS, no atomics: any thread may ask. */
#ifndef FL_SCHED_POLICY_H
#define FL_SCHED_POLICY_H

#include "base/attr.h"
#include "machine/topology.h"

struct fl_policy {
    bool near_first;   /**< victims by distance, at random within a class; false: at random among all */
    bool asks;         /**< a thief begs before it robs */
    bool passes;       /**< a victim whom another thief asks already is passed over, unless it is stalled; false: robbed */
    bool looks_first;  /**< a worker about to sleep looks whether there is work before it pays for a barrier, not only behind it */
    bool sleeps;       /**< a worker that finds nothing naps or sleeps; false: it goes on searching */
    unsigned most;     /**< items that a victim gives at a time, of its older half; at most FL_MAIL_MAX */
    int64_t patience;  /**< ns a thief waits for its victim to answer before it takes without asking */
    int64_t worth;     /**< a theft was poor if its loot lasted for less than so many times what it took; 0: none is */
    int64_t nap_first; /**< ns */
    int64_t nap_most;  /**< ns */
};

/** The scheduler's own. */
#define FL_POLICY                                                                                                                        \
    {                                                                                                                                    \
        .near_first = true, .asks = true, .passes = true, .looks_first = true, .sleeps = true, .most = 64, .patience = 3000, .worth = 2, \
        .nap_first = 20000, .nap_most = 500000                                                                                           \
    }

#ifdef FL_POLICY_VARIES
extern struct fl_policy fl_policy;
#else
static const struct fl_policy fl_policy = FL_POLICY;
#endif

/** The class in which a victim stands that is so far away: the nearer ones are tried first. */
FL_INLINE unsigned fl_policy_class(enum fl_distance distance)
{
    return fl_policy.near_first ? distance : FL_DISTANCE_FAR;
}

/** Whether a theft was not worth what it took, if its loot lasted for `lasted`. */
FL_INLINE bool fl_policy_poor(int64_t lasted, int64_t took)
{
    return lasted < fl_policy.worth * took;
}

/** How long to nap, where the last naps led to `nap`. */
FL_INLINE int64_t fl_policy_nap(int64_t nap)
{
    return nap > fl_policy.nap_first ? nap : fl_policy.nap_first;
}

/** What follows that nap. */
FL_INLINE int64_t fl_policy_next_nap(int64_t nap)
{
    return 2 * nap < fl_policy.nap_most ? 2 * nap : fl_policy.nap_most;
}

#endif
