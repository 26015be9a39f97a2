/* SPDX-License-Identifier: MIT */
/* `filch topo`: which CPUs a runtime may use, how far they are from each other, and so how many workers it starts. */
#define _GNU_SOURCE 1
#include "command.h"
#include "machine/topology.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MATRIX_MAX 16

static const char *const distance_names[FL_DISTANCES] = {"same core", "shared cache", "same node", "the rest"};

/* The environment variable by which hwloc was told of another machine, or NULL. */
static const char *foreign_machine(void)
{
    static const char *const names[] = {"HWLOC_SYNTHETIC", "HWLOC_XMLFILE", "HWLOC_FSROOT"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]))
            return names[i];
    return NULL;
}

static unsigned count_nodes(const struct fl_topology *topology)
{
    unsigned nodes = 0;
    for (unsigned i = 0; i < topology->cores; i++) {
        unsigned j = 0;
        while (topology->places[j].node != topology->places[i].node)
            j++;
        nodes += j == i;
    }
    return nodes;
}

static const char *why_workers(const struct fl_topology *topology)
{
    return topology->workers < topology->cores ? "the quota, rounded up" : "one a core";
}

static const char *why_pin(const struct fl_topology *topology)
{
    if (!topology->pin)
        return "a quota is in force";
    return topology->quota > 0 ? "the quota is no smaller than the CPUs" : "no quota is in force";
}

static unsigned matrix_size(const struct fl_topology *topology)
{
    return topology->cores < MATRIX_MAX ? topology->cores : MATRIX_MAX;
}

static void print_number(const char *name, unsigned value, const char *why)
{
    printf("%-8s %7u  %s\n", name, value, why);
}

static void print_cache(int cache)
{
    if (cache < 0)
        printf("  %5s", "-");
    else
        printf("  %5d", cache);
}

static void print_topology(const struct fl_topology *topology)
{
    const char *foreign = foreign_machine();
    if (foreign)
        printf("%s is set: this describes another machine, and pinning may fail\n\n", foreign);

    print_number("cpus", topology->cpus, "hardware threads that are online and that affinity and cpusets allow");
    print_number("cores", topology->cores, "places for workers: the first such thread of each core");
    print_number("nodes", count_nodes(topology), "NUMA nodes they lie in");
    if (topology->quota > 0)
        printf("%-8s %7.4g  CPUs' worth of time, by %s\n", "quota", topology->quota, topology->quota_from);
    else
        printf("%-8s %7s  no cgroup limits the CPU time\n", "quota", "none");
    print_number("workers", topology->workers, why_workers(topology));
    printf("%-8s %7s  %s\n", "pinned", topology->pin ? "yes" : "no", why_pin(topology));

    printf("\nplace  worker    cpu   core  cache   node\n");
    for (unsigned i = 0; i < topology->cores; i++) {
        const struct fl_place *place = &topology->places[i];
        if (i < topology->workers)
            printf("%5u  %6u  %5d  %5d", i, i, place->cpu, place->core);
        else
            printf("%5u  %6s  %5d  %5d", i, "-", place->cpu, place->core);
        print_cache(place->cache);
        printf("  %5d\n", place->node);
    }

    unsigned size = matrix_size(topology);
    printf("\ndistance");
    for (int i = 0; i < FL_DISTANCES; i++)
        printf("%s %d %s", i ? "," : ":", i, distance_names[i]);
    if (size < topology->cores)
        printf(" (the first %u places)", size);
    printf("\n     ");
    for (unsigned b = 0; b < size; b++)
        printf(" %2u", b);
    putchar('\n');
    for (unsigned a = 0; a < size; a++) {
        printf("%5u", a);
        for (unsigned b = 0; b < size; b++)
            printf(" %2d", fl_topology_distance(topology, a, b));
        putchar('\n');
    }
}

static json_t *places_json(const struct fl_topology *topology)
{
    json_t *places = json_array();
    for (unsigned i = 0; i < topology->cores; i++) {
        const struct fl_place *place = &topology->places[i];
        json_t *worker = i < topology->workers ? json_integer(i) : json_null();
        json_t *cache = place->cache >= 0 ? json_integer(place->cache) : json_null();
        json_array_append_new(places, json_pack("{s:o, s:i, s:i, s:o, s:i}", "worker", worker, "cpu", place->cpu, "core", place->core,
                                                "cache", cache, "node", place->node));
    }
    return places;
}

static json_t *distances_json(const struct fl_topology *topology)
{
    json_t *rows = json_array();
    unsigned size = matrix_size(topology);
    for (unsigned a = 0; a < size; a++) {
        json_t *row = json_array();
        for (unsigned b = 0; b < size; b++)
            json_array_append_new(row, json_integer(fl_topology_distance(topology, a, b)));
        json_array_append_new(rows, row);
    }
    return rows;
}

static int print_topology_json(const struct command *self, const struct fl_topology *topology)
{
    json_t *quota = topology->quota > 0 ? json_real(topology->quota) : json_null();
    json_t *root = json_pack("{s:s?, s:i, s:i, s:i, s:o, s:s?, s:i, s:s, s:b, s:s, s:o, s:o}", "described_by", foreign_machine(), "cpus",
                             (int)topology->cpus, "cores", (int)topology->cores, "nodes", (int)count_nodes(topology), "quota", quota,
                             "quota_from", topology->quota > 0 ? topology->quota_from : NULL, "workers", (int)topology->workers,
                             "workers_why", why_workers(topology), "pin", topology->pin, "pin_why", why_pin(topology), "places",
                             places_json(topology), "distances", distances_json(topology));
    return print_json(self, root);
}

static int run_topo(const struct command *self, int argc, char **argv)
{
    bool json = false;
    int status = take_options(self, argc, argv, &json);
    if (status >= 0)
        return status;

    struct fl_topology topology;
    int rc = fl_topology_init(&topology);
    if (rc < 0) {
        fprintf(stderr, "filch topo: %s\n", strerror(-rc));
        return FAILED;
    }
    status = DONE;
    if (json)
        status = print_topology_json(self, &topology);
    else
        print_topology(&topology);
    fl_topology_fini(&topology);
    return status;
}

const struct command command_topo = {"topo", "what a runtime chooses on this machine, and why",
                                     "Usage: filch topo [--json]\n"
                                     "\n"
                                     "Prints which CPUs a runtime may use, how far they are from each other, the CPU\n"
                                     "quota and the cgroup file it comes from, and so how many workers it starts.\n"
                                     "\n"
                                     "  --json      one JSON object instead of text\n"
                                     "  -h, --help  this text\n"
                                     "\n"
                                     "cache is the widest cache that a core shares with others, '-' if there is none.\n"
                                     "HWLOC_SYNTHETIC and HWLOC_XMLFILE make hwloc describe another machine.\n",
                                     run_topo};
