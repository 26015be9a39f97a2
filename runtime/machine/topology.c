/* SPDX-License-Identifier: MIT */
/* Topology: the CPUs this process may use, and the cores and caches they lie in. (How much of their time the cgroups leave it: machine/quota.c.)
 * Read once when a runtime starts; nothing here is hot.
 *
 * Invariants
 *   1. 1 <= workers <= cores <= cpus, and workers = min(cores, ceil(quota)), at least 1, where a quota is known.
 *   2. places[i].cpu are pairwise distinct, and so are places[i].core: one place a core. Places of one cache, and of one node, stand
 *      side by side, because hwloc's logical order walks the tree depth first.
 *   3. The kernel's affinity mask is the truth, hwloc only explains it: on this machine {allowed CPUs} = sched_getaffinity of the process,
 *      which the kernel has already cut down to the cpuset and to what is online. A CPU that hwloc does not know (a container that shows
 *      only part of /sys) is a place of its own at the end; a CPU that only hwloc knows is no place. If hwloc fails altogether, all
 *      CPUs are of the first kind. OS indices may have gaps: none is ever compared with a count.
 *   4. When hwloc describes another machine (HWLOC_SYNTHETIC, HWLOC_XMLFILE), affinity says nothing and its allowed set is
 *      the truth. Pinning then fails for the CPUs that do not exist here, with an error and no harm.
 *   5. A good guest: the discovery never rebinds a thread, reads no I/O device, sets no environment variable, and leaves stdout alone
 *      (hwloc may complain on stderr about broken firmware tables, and the files of /sys that it has open meanwhile are not CLOEXEC).
 *   6. cache and core numbers are unique across levels: hwloc's logical index, shifted by the number of objects on the levels above of
 *      the same kind. Where all cores are alike the shift is 0.
 *
 * Memory ordering: none. A struct fl_topology is constant between init and fini; whoever hands it to a thread orders that.
 *
 * Who calls: init and fini, a runtime's start and end, and the `filch` command; pin, a carrier for itself; distance, anyone.
 *
 * Choices with a loser
 *   - The affinity of the process (its main thread), not of the caller. A pinned carrier, or any thread that its owner pinned, may start a
 *     runtime: it would get a single worker, and nobody would see why.
 *   - A quota that is no smaller than the allowed CPUs can never throttle us, so it does not stop pinning. This is what a container
 *     with exclusive CPUs looks like (a cpuset of n and a quota of n), where pinning is at its best.
 *   - One place a core, not a hardware thread: two workers of one core share its caches and ports, and quota counts threads as whole CPUs.
 *   - No hwloc x86 back-end (it rebinds the calling thread to each CPU in turn), no CPU kinds (they have counted CPUs outside the cgroup,
 *     and been wrong on whole families), no distance matrices (the tree is enough to order victims).
 *   - No hwloc_set_cpubind: its process variant moves the host's threads, and with a foreign topology it succeeds and does nothing.
 *   - Discovery that leaves out what the cpuset forbids (hwloc's default): forbidden memory nodes vanish, and with them the node that a CPU
 *     lies in. Hence HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED, and numbers that are the same inside and outside of a container. */
#define _GNU_SOURCE 1
#include "machine/topology.h"

#include "machine/quota.h"

#include <errno.h>
#include <hwloc.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#define CPUS_MAX (1 << 20) /* ends the search for a mask the kernel finds long enough */

static int read_affinity(hwloc_bitmap_t ret_allowed)
{
    for (int cpus = CPU_SETSIZE; cpus <= CPUS_MAX; cpus *= 2) {
        size_t size = CPU_ALLOC_SIZE(cpus);
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (!set)
            return -ENOMEM;
        int err = sched_getaffinity(getpid(), size, set) ? errno : 0;
        for (int cpu = 0; !err && cpu < cpus; cpu++)
            if (CPU_ISSET_S(cpu, size, set) && hwloc_bitmap_set(ret_allowed, (unsigned)cpu))
                err = ENOMEM;
        CPU_FREE(set);
        if (err != EINVAL)
            return -err;
    }
    return -EINVAL;
}

/* @param described in hwloc's words, or NULL: this machine */
static hwloc_topology_t discover(const char *described)
{
    hwloc_topology_t machine;
    if (hwloc_topology_init(&machine))
        return NULL;
    if (described && hwloc_topology_set_synthetic(machine, described)) {
        hwloc_topology_destroy(machine);
        return NULL;
    }
    hwloc_topology_set_io_types_filter(machine, HWLOC_TYPE_FILTER_KEEP_NONE);
    hwloc_topology_set_icache_types_filter(machine, HWLOC_TYPE_FILTER_KEEP_NONE);
    hwloc_topology_set_type_filter(machine, HWLOC_OBJ_MISC, HWLOC_TYPE_FILTER_KEEP_NONE);
    unsigned long flags = HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED | HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING;
    flags |= HWLOC_TOPOLOGY_FLAG_NO_DISTANCES | HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS | HWLOC_TOPOLOGY_FLAG_NO_CPUKINDS;
    hwloc_topology_set_flags(machine, flags);
    if (hwloc_topology_load(machine)) {
        hwloc_topology_destroy(machine);
        return NULL;
    }
    return machine;
}

static bool same_kind(hwloc_obj_type_t a, hwloc_obj_type_t b)
{
    if (hwloc_obj_type_is_cache(a))
        return hwloc_obj_type_is_cache(b);
    return b == HWLOC_OBJ_CORE || b == HWLOC_OBJ_PU;
}

/* Invariant 7, for caches, and for cores with the threads that have none. */
static int number(hwloc_topology_t machine, hwloc_obj_t object)
{
    unsigned shift = 0;
    for (int depth = 0; depth < object->depth; depth++)
        if (same_kind(object->type, hwloc_get_depth_type(machine, depth)))
            shift += hwloc_get_nbobjs_by_depth(machine, depth);
    return (int)(shift + object->logical_index);
}

static int widest_shared_cache(hwloc_topology_t machine, hwloc_obj_t core)
{
    hwloc_obj_t widest = NULL;
    for (hwloc_obj_t at = core->parent; at; at = at->parent)
        if (hwloc_obj_type_is_dcache(at->type) && !hwloc_bitmap_isequal(at->cpuset, core->cpuset))
            widest = at;
    return widest ? number(machine, widest) : -1;
}

static int nearest_node(hwloc_obj_t core)
{
    hwloc_obj_t at = core;
    while (at && !at->memory_arity)
        at = at->parent;
    for (at = at ? at->memory_first_child : NULL; at && at->type != HWLOC_OBJ_NUMANODE;)
        at = at->memory_first_child; /* through memory-side caches */
    return at ? (int)at->logical_index : 0;
}

/* Takes the CPUs that hwloc knows out of `allowed`. */
static void place_known(struct fl_topology *topology, hwloc_topology_t machine, hwloc_bitmap_t allowed)
{
    hwloc_obj_t pu = NULL, last = NULL;
    while ((pu = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_PU, pu))) {
        if (!hwloc_bitmap_isset(allowed, pu->os_index))
            continue;
        hwloc_bitmap_clr(allowed, pu->os_index);
        hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(machine, HWLOC_OBJ_CORE, pu);
        if (!core)
            core = pu;
        if (core == last)
            continue;
        last = core;
        topology->places[topology->cores++] = (struct fl_place){
            .cpu = (int)pu->os_index,
            .core = number(machine, core),
            .cache = widest_shared_cache(machine, core),
            .node = nearest_node(core),
        };
    }
}

static void place_unknown(struct fl_topology *topology, hwloc_topology_t machine, hwloc_const_bitmap_t allowed)
{
    int core = 0;
    if (machine)
        core = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_CORE) + hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_PU);
    for (int cpu = hwloc_bitmap_first(allowed); cpu >= 0; cpu = hwloc_bitmap_next(allowed, cpu))
        topology->places[topology->cores++] = (struct fl_place){.cpu = cpu, .core = core++, .cache = -1, .node = 0};
}

static unsigned default_workers(const struct fl_topology *topology)
{
    if (topology->quota <= 0 || topology->quota >= topology->cores)
        return topology->cores;
    unsigned whole = (unsigned)topology->quota;
    return whole + (topology->quota > whole);
}

/* @param machine NULL: hwloc has failed @param ours whether it is meant to be the one that this process has a share of */
static int make(hwloc_topology_t machine, bool ours, struct fl_topology *ret_topology)
{
    struct fl_topology topology = {0};
    hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
    int rc = allowed ? 0 : -ENOMEM;
    if (rc)
        goto out;

    bool here = !machine || hwloc_topology_is_thissystem(machine);
    if ((!here || read_affinity(allowed)) && machine)
        rc = hwloc_bitmap_copy(allowed, hwloc_topology_get_allowed_cpuset(machine)) ? -ENOMEM : 0;
    if (!rc && hwloc_bitmap_iszero(allowed))
        rc = hwloc_bitmap_set(allowed, 0) ? -ENOMEM : 0;
    if (rc)
        goto out;

    topology.cpus = (unsigned)hwloc_bitmap_weight(allowed);
    topology.places = calloc(topology.cpus, sizeof *topology.places);
    if (!topology.places) {
        rc = -ENOMEM;
        goto out;
    }
    if (machine)
        place_known(&topology, machine, allowed);
    place_unknown(&topology, machine, allowed);

    if (ours)
        topology.quota = fl_quota_here(topology.quota_from, sizeof topology.quota_from);
    topology.workers = default_workers(&topology);
    topology.pin = topology.quota <= 0 || topology.quota >= topology.cpus;
    *ret_topology = topology;
out:
    if (machine)
        hwloc_topology_destroy(machine);
    hwloc_bitmap_free(allowed);
    return rc;
}

int fl_topology_init(struct fl_topology *ret_topology)
{
    return make(discover(NULL), true, ret_topology);
}

int fl_topology_describe(const char *described, struct fl_topology *ret_topology)
{
    hwloc_topology_t machine = discover(described);
    return machine ? make(machine, false, ret_topology) : -EINVAL;
}

void fl_topology_fini(struct fl_topology *topology)
{
    if (!topology)
        return;
    free(topology->places);
    *topology = (struct fl_topology){0};
}

enum fl_distance fl_topology_distance(const struct fl_topology *topology, unsigned a, unsigned b)
{
    const struct fl_place *p = &topology->places[a % topology->cores], *q = &topology->places[b % topology->cores];
    if (p->core == q->core)
        return FL_DISTANCE_CORE;
    if (p->cache >= 0 && p->cache == q->cache)
        return FL_DISTANCE_CACHE;
    return p->node == q->node ? FL_DISTANCE_NODE : FL_DISTANCE_FAR;
}

int fl_topology_pin(const struct fl_topology *topology, unsigned index)
{
    int cpu = topology->places[index % topology->cores].cpu;
    size_t size = CPU_ALLOC_SIZE(cpu + 1);
    cpu_set_t *set = CPU_ALLOC(cpu + 1);
    if (!set)
        return -ENOMEM;
    CPU_ZERO_S(size, set);
    CPU_SET_S((size_t)cpu, size, set);
    int rc = sched_setaffinity(0, size, set) ? -errno : cpu;
    CPU_FREE(set);
    return rc;
}
