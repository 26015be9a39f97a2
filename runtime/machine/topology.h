/* SPDX-License-Identifier: MIT */
/* Topology: which CPUs this process may use, where they lie, and how far they are from each other. See topology.c for the essay. */
#ifndef FL_MACHINE_TOPOLOGY_H
#define FL_MACHINE_TOPOLOGY_H

#include "base/attr.h"

/** How far two CPUs are apart; a thief tries near victims first. */
enum fl_distance {
    FL_DISTANCE_CORE = 0,  /**< hardware threads of one core */
    FL_DISTANCE_CACHE = 1, /**< they share some cache */
    FL_DISTANCE_NODE = 2,  /**< same NUMA node */
    FL_DISTANCE_FAR = 3,   /**< the rest */
    FL_DISTANCES = 4,
};

/** One place a worker can be put: the first allowed hardware thread of a core. */
struct fl_place {
    int cpu;   /**< OS index */
    int core;  /**< hwloc logical index of the core */
    int cache; /**< hwloc logical index of the widest cache shared with other cores, or -1 */
    int node;  /**< hwloc logical index of the nearest NUMA node */
};

struct fl_topology {
    unsigned cores;          /**< allowed cores: entries of places */
    unsigned cpus;           /**< allowed hardware threads (affinity mask ∩ online, cgroup cpuset is part of it) */
    double quota;            /**< CPUs' worth of time by the tightest cgroup ancestor, 0: none */
    char quota_from[256];    /**< the cgroup file that says so, or "" */
    unsigned workers;        /**< what to start by default: min(cores, ceil(quota)), at least 1 */
    bool pin;                /**< whether pinning is advised: no quota in force */
    struct fl_place *places; /**< `cores` entries, ordered so that neighbours are near */
};

/** Reads the machine. @return 0, -ENOMEM. On failure of hwloc itself it falls back on the affinity mask (still 0). */
int fl_topology_init(struct fl_topology *ret_topology);
/** The same of a machine that there need not be, in the words of hwloc_topology_set_synthetic(3): "pack:2 numa:2 core:16 pu:2".
 * @return 0; -EINVAL it is not understood; -ENOMEM. */
int fl_topology_describe(const char *described, struct fl_topology *ret_topology);
void fl_topology_fini(struct fl_topology *topology);

/** How far the places with indices a and b (into places, taken modulo cores) are apart. */
enum fl_distance fl_topology_distance(const struct fl_topology *topology, unsigned a, unsigned b);

/** Pins the calling thread to place `index` modulo cores. @return the CPU, or -errno. */
int fl_topology_pin(const struct fl_topology *topology, unsigned index);

#endif
