/* SPDX-License-Identifier: MIT */
/* The laws of machine/topology: which CPUs, how far apart, and what the cgroups leave.
 *
 * Quotas are read from cgroup trees of our own in a temporary directory; machines are hwloc's synthetic ones. Every test is a
 * process of its own, so the environment and the affinity that one changes are nobody else's.
 *
 * What is not tested here: that the kernel's own cgroup files look as in these trees. `filch topo` in a limited container shows that. */
#define _GNU_SOURCE 1
#include "machine/quota.h"
#include "machine/topology.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <hwloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT "33 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"

static char root[] = "/tmp/filch-topology-XXXXXX";
static char from[256];

static void make_root(void)
{
    cr_assert(mkdtemp(root));
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status, (void)type, (void)ftw;
    return remove(path);
}

static void remove_root(void)
{
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text)
{
    char full[512];
    int length = snprintf(full, sizeof full, "%s%s", root, path);
    cr_assert(length > 0 && length < (int)sizeof full);
    for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')); *at++ = '/') {
        *at = '\0';
        cr_assert(!mkdir(full, 0755) || errno == EEXIST);
    }
    FILE *file = fopen(full, "we");
    cr_assert(file, "%s", full);
    fputs(text, file);
    cr_assert_eq(fclose(file), 0);
}

static double quota(const char *self_cgroup, const char *mountinfo)
{
    return fl_quota_of(root, self_cgroup, mountinfo, from, sizeof from);
}

static void from_is(const char *path)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    cr_assert_str_eq(from, full);
}

TestSuite(topology);
TestSuite(topology_quota, .init = make_root, .fini = remove_root);

/* ---- quota, v2 ---- */

Test(topology_quota, none_without_files)
{
    strcpy(from, "something old");
    cr_assert_eq(quota("0::/a/b\n", V2_MOUNT), 0);
    cr_assert_str_empty(from);
}

Test(topology_quota, none_without_cgroups)
{
    cr_assert_eq(quota("", ""), 0);
    cr_assert_eq(quota("0::/a\n", ""), 0);
    cr_assert_eq(quota("", V2_MOUNT), 0);
}

Test(topology_quota, v2_own_group)
{
    put("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    cr_assert_eq(quota("0::/a\n", V2_MOUNT), 1.5);
    from_is("/sys/fs/cgroup/a/cpu.max");
}

Test(topology_quota, v2_at_the_mount_itself)
{
    put("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    cr_assert_eq(quota("0::/\n", V2_MOUNT), 0.5);
    from_is("/sys/fs/cgroup/cpu.max");
}

Test(topology_quota, v2_max_is_none)
{
    put("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
    cr_assert_eq(quota("0::/a\n", V2_MOUNT), 0);
    cr_assert_str_empty(from);
}

Test(topology_quota, v2_ancestor_is_tighter)
{
    put("/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
    cr_assert_eq(quota("0::/a/b/c\n", V2_MOUNT), 2);
    from_is("/sys/fs/cgroup/a/cpu.max");
}

Test(topology_quota, v2_descendant_is_tighter)
{
    put("/sys/fs/cgroup/a/cpu.max", "400000 100000\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "30000 10000\n");
    cr_assert_eq(quota("0::/a/b\n", V2_MOUNT), 3);
    from_is("/sys/fs/cgroup/a/b/cpu.max");
}

Test(topology_quota, v2_siblings_and_children_do_not_count)
{
    put("/sys/fs/cgroup/a/cpu.max", "400000 100000\n");
    put("/sys/fs/cgroup/a/child/cpu.max", "100000 100000\n");
    put("/sys/fs/cgroup/ab/cpu.max", "100000 100000\n");
    cr_assert_eq(quota("0::/a\n", V2_MOUNT), 4);
}

Test(topology_quota, v2_group_was_removed)
{
    put("/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
    cr_assert_eq(quota("0::/a/b (deleted)\n", V2_MOUNT), 2);
}

Test(topology_quota, malformed_files_say_nothing)
{
    const char *texts[] = {"",
                           "\n",
                           "max\n",
                           "100000\n",
                           "0 100000\n",
                           "100000 0\n",
                           "-1 100000\n",
                           "ten 20\n",
                           "1 2 3\n",
                           "100000 100000x\n",
                           "100000 -100000\n",
                           "99999999999999999999999 100000\n",
                           "maximum 1\n",
                           "1.5 1.0\n",
                           "100000,100000\n"};
    put("/sys/fs/cgroup/cpu.max", "700000 100000\n");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put("/sys/fs/cgroup/a/cpu.max", texts[i]);
        cr_assert_eq(quota("0::/a\n", V2_MOUNT), 7, "\"%s\"", texts[i]);
    }
}

Test(topology_quota, a_directory_in_place_of_a_file_says_nothing)
{
    put("/sys/fs/cgroup/a/cpu.max/x", "");
    put("/sys/fs/cgroup/cpu.max", "100000 100000\n");
    cr_assert_eq(quota("0::/a\n", V2_MOUNT), 1);
}

/* ---- quota, v1 and both ---- */

Test(topology_quota, v1_own_group)
{
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    cr_assert_eq(quota("9:memory:/m\n4:cpu,cpuacct:/a\n", V1_MOUNT), 2.5);
    from_is("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us");
}

Test(topology_quota, v1_minus_one_is_none)
{
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    cr_assert_eq(quota("4:cpu,cpuacct:/a\n", V1_MOUNT), 0);
}

Test(topology_quota, v1_ancestor_is_tighter)
{
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "300000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
    cr_assert_eq(quota("4:cpu,cpuacct:/a/b\n", V1_MOUNT), 1);
    from_is("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us");
}

Test(topology_quota, v1_without_its_period_says_nothing)
{
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "100000\n");
    cr_assert_eq(quota("4:cpu,cpuacct:/a\n", V1_MOUNT), 0);
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "0\n");
    cr_assert_eq(quota("4:cpu,cpuacct:/a\n", V1_MOUNT), 0);
}

Test(topology_quota, v1_controllers_that_only_begin_with_cpu_do_not_count)
{
    put("/sys/fs/cgroup/cpuset/cpu.cfs_quota_us", "100000\n");
    put("/sys/fs/cgroup/cpuset/cpu.cfs_period_us", "100000\n");
    cr_assert_eq(quota("4:cpuset:/\n3:cpuacct:/\n", "33 30 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset,cpuacct\n"), 0);
}

Test(topology_quota, hybrid_takes_the_tighter_hierarchy)
{
    const char *mounts = "34 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n" V1_MOUNT;
    put("/sys/fs/cgroup/unified/u/cpu.max", "300000 100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "200000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    cr_assert_eq(quota("4:cpu,cpuacct:/a\n0::/u\n", mounts), 2);
    put("/sys/fs/cgroup/unified/u/cpu.max", "100000 100000\n");
    cr_assert_eq(quota("4:cpu,cpuacct:/a\n0::/u\n", mounts), 1);
    from_is("/sys/fs/cgroup/unified/u/cpu.max");
}

/* ---- quota, what /proc says about mounts ---- */

Test(topology_quota, mount_root_is_taken_off_the_path)
{
    const char *mounts = "30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    put("/sys/fs/cgroup/job/cpu.max", "100000 100000\n");
    cr_assert_eq(quota("0::/docker/abc\n", mounts), 2);
    cr_assert_eq(quota("0::/docker/abc/job\n", mounts), 1);
}

Test(topology_quota, a_mount_of_somebody_elses_group_does_not_count)
{
    const char *mounts = "30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    cr_assert_eq(quota("0::/docker/abcd\n", mounts), 0);
    cr_assert_eq(quota("0::/docker\n", mounts), 0);
    cr_assert_eq(quota("0::/../abc\n", mounts), 0);
}

Test(topology_quota, paths_that_lead_out_of_the_namespace)
{
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    put("/sys/fs/cgroup/job/cpu.max", "100000 100000\n");
    const char *above = "30 23 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    const char *beside = "30 23 0:26 /../other /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    cr_assert_eq(quota("0::/job\n", above), 2, "the mount is an ancestor, what lies between has no known name");
    cr_assert_eq(quota("0::/../../job\n", above), 1);
    cr_assert_eq(quota("0::/job\n", beside), 0);
    cr_assert_eq(quota("0::/../other/job\n", beside), 1);
    cr_assert_eq(quota("0::/../job\n", V2_MOUNT), 0);
}

Test(topology_quota, strange_names)
{
    put("/mnt/c g/a:b c/cpu.max", "100000 100000\n");
    cr_assert_eq(quota("0::/top dir/a:b c\n", "30 23 0:26 /top\\040dir /mnt/c\\040g rw - cgroup2 cgroup2 rw\n"), 1);
}

Test(topology_quota, optional_fields_and_other_mounts)
{
    put("/sys/fs/cgroup/a/cpu.max", "100000 100000\n");
    const char *mounts = "22 27 0:21 / /proc rw - proc proc rw\n"
                         "garbage\n"
                         "\n"
                         "1 2 3 4\n"
                         "1 2 3 / / rw - \n"
                         "30 23 0:26 / /sys/fs/cgroup rw shared:4 master:1 propagate_from:2 - cgroup2 none rw";
    cr_assert_eq(quota("no colon\n:\n::\n1:cpu\n0::relative\n0::/a", mounts), 1);
}

Test(topology_quota, root_may_end_in_a_slash_and_from_may_be_absent)
{
    put("/sys/fs/cgroup/a/cpu.max", "100000 100000\n");
    char slashed[64], tiny[8];
    snprintf(slashed, sizeof slashed, "%s/", root);
    cr_assert_eq(fl_quota_of(slashed, "0::/a\n", V2_MOUNT, from, sizeof from), 1);
    from_is("/sys/fs/cgroup/a/cpu.max");
    cr_assert_eq(fl_quota_of(root, "0::/a\n", V2_MOUNT, NULL, 0), 1);
    cr_assert_eq(fl_quota_of(root, "0::/a\n", V2_MOUNT, tiny, sizeof tiny), 1);
    cr_assert_str_eq(tiny, "/tmp/fi");
}

/* ---- this machine ---- */

/* The affinity of this process, and its first CPU. */
static int get_affinity(cpu_set_t *set)
{
    cr_assert_eq(sched_getaffinity(0, sizeof *set, set), 0);
    int cpu = 0;
    while (!CPU_ISSET(cpu, set))
        cpu++;
    return cpu;
}

static unsigned cpus_in(const cpu_set_t *set)
{
    return (unsigned)CPU_COUNT(set);
}

Test(topology, places_are_distinct_and_allowed)
{
    struct fl_topology topology;
    cpu_set_t set;
    get_affinity(&set);
    cr_assert_eq(fl_topology_init(&topology), 0);
    cr_assert_eq(topology.cpus, cpus_in(&set));
    cr_assert(topology.workers >= 1 && topology.workers <= topology.cores && topology.cores <= topology.cpus);
    for (unsigned i = 0; i < topology.cores; i++) {
        cr_assert(CPU_ISSET(topology.places[i].cpu, &set));
        cr_assert(topology.places[i].node >= 0);
        for (unsigned j = 0; j < i; j++)
            cr_assert_neq(topology.places[i].core, topology.places[j].core);
        for (unsigned j = 0; j < topology.cores; j++) {
            cr_assert_eq(fl_topology_distance(&topology, i, j), fl_topology_distance(&topology, j, i));
            cr_assert_eq(fl_topology_distance(&topology, i, j) == FL_DISTANCE_CORE, i == j);
        }
    }
    fl_topology_fini(&topology);
}

Test(topology, affinity_is_respected)
{
    struct fl_topology topology;
    cpu_set_t set;
    get_affinity(&set);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &set))
            continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
        cr_assert_eq(fl_topology_init(&topology), 0);
        cr_assert_eq(topology.cpus, 1);
        cr_assert_eq(topology.cores, 1);
        cr_assert_eq(topology.workers, 1);
        cr_assert_eq(topology.places[0].cpu, cpu);
        fl_topology_fini(&topology);
    }
}

struct pinned {
    struct fl_topology topology;
    cpu_set_t before, after;
    int rc;
};

static void *init_while_pinned(void *arg)
{
    struct pinned *pinned = arg;
    int cpu = get_affinity(&pinned->before);
    CPU_ZERO(&pinned->before);
    CPU_SET(cpu, &pinned->before);
    pinned->rc = sched_setaffinity(0, sizeof pinned->before, &pinned->before);
    if (!pinned->rc)
        pinned->rc = fl_topology_init(&pinned->topology);
    sched_getaffinity(0, sizeof pinned->after, &pinned->after);
    return NULL;
}

Test(topology, a_pinned_thread_sees_what_the_process_may_use)
{
    struct pinned pinned = {0};
    cpu_set_t set;
    pthread_t thread;
    get_affinity(&set);
    cr_assert_eq(pthread_create(&thread, NULL, init_while_pinned, &pinned), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(pinned.rc, 0);
    cr_assert_eq(pinned.topology.cpus, cpus_in(&set));
    cr_assert(CPU_EQUAL(&pinned.before, &pinned.after), "the discovery rebinds nobody");
    fl_topology_fini(&pinned.topology);
}

Test(topology, pin_moves_the_calling_thread_only)
{
    struct fl_topology topology;
    cr_assert_eq(fl_topology_init(&topology), 0);
    unsigned last = topology.cores - 1;
    int cpu = fl_topology_pin(&topology, last + 3 * topology.cores);
    cr_assert_eq(cpu, topology.places[last].cpu);
    cr_assert_eq(sched_getcpu(), cpu);
    cpu_set_t set;
    cr_assert_eq(get_affinity(&set), cpu);
    cr_assert_eq(CPU_COUNT(&set), 1);
    fl_topology_fini(&topology);
}

Test(topology, pin_to_a_cpu_that_does_not_exist_is_an_error)
{
    cpu_set_t before, after;
    get_affinity(&before);
    const int missing[] = {20000, 100000};
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        struct fl_place place = {.cpu = missing[i]};
        struct fl_topology topology = {.cores = 1, .cpus = 1, .workers = 1, .places = &place};
        cr_assert_eq(fl_topology_pin(&topology, 0), -EINVAL);
    }
    get_affinity(&after);
    cr_assert(CPU_EQUAL(&before, &after));
}

Test(topology, fini_of_nothing)
{
    fl_topology_fini(NULL);
    struct fl_topology topology = {0};
    fl_topology_fini(&topology);
    fl_topology_fini(&topology);
}

Test(topology, init_and_fini_in_a_loop)
{
    for (int i = 0; i < 20; i++) {
        struct fl_topology topology;
        cr_assert_eq(fl_topology_init(&topology), 0);
        fl_topology_fini(&topology);
    }
}

/* ---- other machines ---- */

static void init_machine(struct fl_topology *topology, const char *synthetic)
{
    setenv("HWLOC_SYNTHETIC", synthetic, 1);
    cr_assert_eq(fl_topology_init(topology), 0);
}

Test(topology, distances_of_two_packages)
{
    struct fl_topology topology;
    init_machine(&topology, "pack:2 numa:1 l3:2 core:2 pu:2");
    cr_assert_eq(topology.cores, 8);
    cr_assert_eq(topology.cpus, 16);
    for (unsigned a = 0; a < 8; a++) {
        cr_assert_eq(topology.places[a].cpu, (int)(2 * a));
        cr_assert_eq(topology.places[a].core, (int)a);
        cr_assert_eq(topology.places[a].cache, (int)(a / 2));
        cr_assert_eq(topology.places[a].node, (int)(a / 4));
        for (unsigned b = 0; b < 8; b++) {
            enum fl_distance distance = a == b           ? FL_DISTANCE_CORE
                                        : a / 2 == b / 2 ? FL_DISTANCE_CACHE
                                        : a / 4 == b / 4 ? FL_DISTANCE_NODE
                                                         : FL_DISTANCE_FAR;
            cr_assert_eq(fl_topology_distance(&topology, a, b), distance, "%u to %u", a, b);
            cr_assert_eq(fl_topology_distance(&topology, a + 8, b + 16), distance, "indices are taken modulo cores");
        }
    }
    fl_topology_fini(&topology);
}

Test(topology, widest_shared_cache_counts)
{
    struct fl_topology topology;
    init_machine(&topology, "pack:1 l3:1 l2:2 core:2 pu:1");
    cr_assert_eq(topology.cores, 4);
    cr_assert_eq(fl_topology_distance(&topology, 0, 3), FL_DISTANCE_CACHE);
    fl_topology_fini(&topology);
}

Test(topology, private_caches_are_not_shared)
{
    struct fl_topology topology;
    init_machine(&topology, "pack:2 core:2 l2:1 l1:1 pu:1");
    cr_assert_eq(topology.cores, 4);
    for (unsigned i = 0; i < topology.cores; i++)
        cr_assert_eq(topology.places[i].cache, -1);
    cr_assert_eq(fl_topology_distance(&topology, 0, 1), FL_DISTANCE_NODE);
    fl_topology_fini(&topology);
}

/* Of four cores with two threads each, one has lost its first thread, one its second, and one both. */
Test(topology, os_indices_may_have_gaps, .init = make_root, .fini = remove_root)
{
    char file[64];
    snprintf(file, sizeof file, "%s/machine.xml", root);
    hwloc_topology_t machine;
    hwloc_bitmap_t online = hwloc_bitmap_alloc();
    cr_assert_eq(hwloc_bitmap_list_sscanf(online, "1,2,6-7"), 0);
    cr_assert_eq(hwloc_topology_init(&machine), 0);
    cr_assert_eq(hwloc_topology_set_synthetic(machine, "pack:2 core:2 pu:2"), 0);
    cr_assert_eq(hwloc_topology_load(machine), 0);
    cr_assert_eq(hwloc_topology_restrict(machine, online, 0), 0);
    cr_assert_eq(hwloc_topology_export_xml(machine, file, 0), 0);
    hwloc_topology_destroy(machine);
    hwloc_bitmap_free(online);

    struct fl_topology topology;
    setenv("HWLOC_XMLFILE", file, 1);
    cr_assert_eq(fl_topology_init(&topology), 0);
    cr_assert_eq(topology.cpus, 4);
    cr_assert_eq(topology.cores, 3);
    const int cpus[] = {1, 2, 6};
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(topology.places[i].cpu, cpus[i]);
    fl_topology_fini(&topology);
}

Test(topology, more_than_1024_cpus)
{
    struct fl_topology topology;
    init_machine(&topology, "pack:16 numa:1 l3:8 core:8 pu:2");
    cr_assert_eq(topology.cores, 1024);
    cr_assert_eq(topology.cpus, 2048);
    cr_assert_eq(topology.places[1023].cpu, 2046);
    cr_assert_eq(fl_topology_distance(&topology, 0, 1023), FL_DISTANCE_FAR);
    cr_assert_eq(fl_topology_pin(&topology, 1023), -EINVAL);
    fl_topology_fini(&topology);
}

Test(topology, one_that_is_described_is_there_whatever_this_machine_is)
{
    struct fl_topology topology;
    cr_assert_eq(fl_topology_describe("pack:2 numa:2 l3:2 core:4 pu:2", &topology), 0);
    cr_assert_eq(topology.cores, 32);
    cr_assert_eq(topology.cpus, 64);
    cr_assert_eq(topology.quota, 0);
    cr_assert_eq(fl_topology_distance(&topology, 0, 3), FL_DISTANCE_CACHE);
    cr_assert_eq(fl_topology_distance(&topology, 0, 4), FL_DISTANCE_NODE);
    cr_assert_eq(fl_topology_distance(&topology, 0, 8), FL_DISTANCE_FAR);
    fl_topology_fini(&topology);
    cr_assert_eq(fl_topology_describe("a round table", &topology), -EINVAL);
}

/* A container may show less of the machine than it lets us use. */
Test(topology, a_cpu_that_hwloc_does_not_know_is_a_place)
{
    struct fl_topology topology;
    cpu_set_t set;
    get_affinity(&set);
    setenv("HWLOC_THISSYSTEM", "1", 1);
    init_machine(&topology, "core:1 pu:1");
    cr_assert_eq(topology.cpus, cpus_in(&set));
    cr_assert_eq(topology.cores, cpus_in(&set));
    for (unsigned i = 0; i < topology.cores; i++) {
        cr_assert(CPU_ISSET(topology.places[i].cpu, &set));
        for (unsigned j = 0; j < i; j++)
            cr_assert_eq(fl_topology_distance(&topology, i, j), FL_DISTANCE_NODE);
    }
    fl_topology_fini(&topology);
}

Test(topology, an_unreadable_machine_still_has_the_affinity_mask)
{
    struct fl_topology topology;
    cpu_set_t set;
    get_affinity(&set);
    setenv("HWLOC_COMPONENTS", "stop", 1);
    cr_assert_eq(fl_topology_init(&topology), 0);
    cr_assert_eq(topology.cpus, cpus_in(&set));
    cr_assert_eq(topology.cores, cpus_in(&set));
    fl_topology_fini(&topology);
}
