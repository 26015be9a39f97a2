/* SPDX-License-Identifier: MIT */
/* The tour's first chapter: the machine, and what filch made of it.
 *
 * The runtime is asked, not the machine, wherever both could be: workers and places by filch_worker_where, stacks by filch_stats_read. That
 * I/O goes through io_uring is looked up twice: the rings that this process has open (/proc/self/fd), and how many operations a task's
 * reads and writes on a pipe took. */
#include "tour.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "util.h"

#define STACK_SIZE 65536 /* the default */

struct places {
    unsigned workers, pinned;
    unsigned cores, nodes; /* that workers are pinned to */
    filch_worker_info *info;
};

/* ---- what the kernel says ---- */

/* What stands behind `key` and a colon in a file of /proc, or NULL. */
static char *look_up(const char *path, const char *key, char *line, int size)
{
    FILE *file = fopen(path, "re");
    char *found = NULL;
    while (file && !found && fgets(line, size, file))
        if (strncmp(line, key, strlen(key)) == 0 && strchr(line, ':')) {
            found = strchr(line, ':') + 1;
            found += strspn(found, " \t");
            found[strcspn(found, "\n")] = 0;
        }
    if (file)
        fclose(file);
    return found;
}

static unsigned allowed_cpus(void)
{
    size_t size = CPU_ALLOC_SIZE(CPU_SETSIZE * 8);
    cpu_set_t *set = CPU_ALLOC(CPU_SETSIZE * 8);
    unsigned count = set && sched_getaffinity(0, size, set) == 0 ? (unsigned)CPU_COUNT_S(size, set) : 0;
    if (set)
        CPU_FREE(set);
    return count;
}

static unsigned open_rings(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char target[64] = "";
        ssize_t length = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
        count += length > 0 && strncmp(target, "anon_inode:[io_uring]", sizeof target) == 0;
    }
    if (dir)
        closedir(dir);
    return count;
}

static void show_system(struct tour *tour, json_t *machine)
{
    struct utsname system = {0};
    char line[512], memory[PAGE_NUMBER], free_memory[PAGE_NUMBER];
    uname(&system);
    tour->cpus = allowed_cpus();
    page_pair("system", "%s %s, %s", system.sysname, system.release, system.machine);
    json_object_set_new(machine, "kernel", json_string(system.release));
    const char *model = look_up("/proc/cpuinfo", "model name", line, sizeof line);
    page_pair("processor", "%s; %u CPU%s that we may use", model ? model : system.machine, tour->cpus, tour->cpus == 1 ? "" : "s");
    json_object_set_new(machine, "cpu", json_string(model ? model : system.machine));
    json_object_set_new(machine, "cpus", json_integer(tour->cpus));
    const char *total = look_up("/proc/meminfo", "MemTotal", line, sizeof line);
    page_bytes(memory, total ? strtod(total, NULL) * 1024 : 0);
    const char *available = look_up("/proc/meminfo", "MemAvailable", line, sizeof line);
    page_bytes(free_memory, available ? strtod(available, NULL) * 1024 : 0);
    page_pair("memory", "%s, %s of it available", memory, free_memory);
}

/* Says so when other programs take processors from us: every figure of the tour is worse then. */
static void show_load(const struct tour *tour, json_t *machine)
{
    double load = 0;
    if (getloadavg(&load, 1) == 1 && load > 0.3 * tour->cpus)
        page_pair(
            "load",
            "%.1f processors' worth of work were asked for in the last minute: unless that was you, the figures will be worse than they "
            "could be",
            load);
    json_object_set_new(machine, "load", json_real(load));
}

/* ---- what filch says ---- */

/* How many different values a field of the workers' places has. */
static unsigned different(const struct places *places, int (*field)(const filch_worker_info *))
{
    unsigned count = 0;
    for (unsigned i = 0; i < places->workers; i++) {
        bool seen = field(&places->info[i]) < 0;
        for (unsigned k = 0; k < i && !seen; k++)
            seen = field(&places->info[k]) == field(&places->info[i]);
        count += !seen;
    }
    return count;
}

static int core_of(const filch_worker_info *info)
{
    return info->core;
}

static int node_of(const filch_worker_info *info)
{
    return info->node;
}

static int ask_places(const filch_runtime *runtime, struct places *ret_places)
{
    struct places places = {.workers = filch_workers(runtime)};
    places.info = calloc(places.workers, sizeof *places.info);
    if (!places.info)
        return -ENOMEM;
    for (unsigned i = 0; i < places.workers; i++) {
        filch_worker_where(runtime, i, &places.info[i]);
        places.pinned += places.info[i].cpu >= 0;
    }
    places.cores = different(&places, core_of);
    places.nodes = different(&places, node_of);
    *ret_places = places;
    return 0;
}

static const char *plural(unsigned count)
{
    return count == 1 ? "" : "s";
}

static void show_topology(const struct tour *tour, const struct places *places)
{
    unsigned n = places->workers, nodes = places->nodes;
    bool pinned = places->pinned == n;
    if (pinned && tour->workers == 0 && n == 1)
        page_pair("workers", "one, for the one core that we may use; no CPU quota limits it, so it is pinned");
    else if (pinned && tour->workers == 0)
        page_pair("workers", "%u, one for each core that we may use, in %u NUMA node%s; no CPU quota limits them, so each is pinned", n,
                  nodes, plural(nodes));
    else if (pinned)
        page_pair("workers", "%u as asked for, pinned to %u core%s in %u NUMA node%s", n, places->cores, plural(places->cores), nodes,
                  plural(nodes));
    else if (tour->workers > tour->cpus)
        page_pair("workers", "%u as asked for; that is more than CPUs, so they are not pinned", n);
    else
        page_pair("workers", "%u, not%s pinned: a CPU quota is in force, or pinning is forbidden here (`filch topo` says which)", n,
                  places->pinned ? " all" : "");
}

#define SHOWN 16 /* workers; there may be a thousand */

static void show_places(const struct places *places)
{
    for (unsigned i = 0; i < places->workers && i < SHOWN; i++) {
        const filch_worker_info *info = &places->info[i];
        char word[32];
        snprintf(word, sizeof word, "worker %u", info->index);
        if (info->cpu >= 0)
            page_pair(word, "on CPU %d (core %d, NUMA node %d), kernel thread %d", info->cpu, info->core, info->node, info->tid);
        else
            page_pair(word, "on any CPU, kernel thread %d", info->tid);
    }
    if (places->workers > SHOWN)
        page_pair("…", "and %u more", places->workers - SHOWN);
}

static json_t *places_json(const struct places *places)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < places->workers; i++) {
        const filch_worker_info *info = &places->info[i];
        json_array_append_new(
            list, json_pack("{s:i, s:i, s:i, s:i}", "worker", (int)info->index, "cpu", info->cpu, "core", info->core, "node", info->node));
    }
    return list;
}

/* ---- stacks and I/O ---- */

static void show_stacks(const filch_stats *stats, json_t *machine)
{
    static const char *const names[] = {"none", "marker", "mprotect", "canary"};
    static const char *const texts[] = {
        "not guarded",
        "each ends in a guard page, a marker in the page table (MADV_GUARD_INSTALL): a million of them need no mappings of their own",
        "each ends in a protected page, as long as vm.max_map_count allows; the rest have a canary",
        "this kernel allows no more guard pages: a canary at the end of each is looked at when it is given back",
    };
    unsigned guard = (unsigned)stats->guard < BENCH_COUNT(names) ? (unsigned)stats->guard : 0;
    page_pair("stacks", "%d KiB a task, address space that becomes memory only where it is touched; %s", STACK_SIZE / 1024, texts[guard]);
    json_object_set_new(machine, "guard", json_string(names[guard]));
}

struct echo {
    int pipe[2];
    char got;
};

static int write_late(void *arg)
{
    struct echo *echo = arg;
    filch_sleep(FILCH_MSEC(1)); /* so that the reader has to wait */
    return (int)filch_write(echo->pipe[1], "x", 1);
}

static int read_through_pipe(void *arg)
{
    struct echo *echo = arg;
    if (pipe2(echo->pipe, O_CLOEXEC) < 0)
        return -errno;
    FILCH_SCOPE(s);
    int r = filch_spawn(&s, write_late, echo);
    if (r >= 0)
        r = (int)filch_read(echo->pipe[0], &echo->got, 1);
    int r_join = filch_join(&s);
    filch_close(echo->pipe[0]);
    filch_close(echo->pipe[1]);
    return r < 0 ? r : r_join;
}

static int show_io(filch_runtime *runtime, json_t *machine)
{
    struct echo echo = {.got = 0};
    filch_stats before, after;
    filch_stats_read(runtime, &before);
    int r = filch_call(runtime, read_through_pipe, &echo);
    filch_stats_read(runtime, &after);
    if (r < 0 || echo.got != 'x') {
        page_complain("a task could not read from a pipe: %s", strerror(r < 0 ? -r : EIO));
        return r < 0 ? r : -EIO;
    }
    unsigned rings = open_rings(), operations = (unsigned)(after.operations - before.operations);
    if (rings)
        page_pair("I/O", "io_uring, a ring a worker: %u open now; a message through a pipe took %u operations", rings, operations);
    else
        page_pair("I/O", "without io_uring; a message through a pipe took %u operations", operations);
    json_object_set_new(machine, "rings", json_integer(rings));
    json_object_set_new(machine, "operations", json_integer(operations));
    return 0;
}

/* ---- the chapter ---- */

static int show_runtime(struct tour *tour, filch_runtime *runtime, json_t *machine)
{
    struct places places;
    filch_stats stats;
    int r = ask_places(runtime, &places);
    if (r < 0)
        return r;
    filch_stats_read(runtime, &stats);
    tour->started = places.workers;
    show_topology(tour, &places);
    show_places(&places);
    show_stacks(&stats, machine);
    r = show_io(runtime, machine);
    json_object_set_new(machine, "workers", places_json(&places));
    free(places.info);
    return r;
}

static void complain(int r)
{
    if (r == -EPERM || r == -ENOSYS || r == -EACCES)
        page_complain("io_uring is forbidden or missing here (%s). Containers often forbid it: see the seccomp profile, and "
                      "/proc/sys/kernel/io_uring_disabled",
                      strerror(-r));
    else
        page_complain("the runtime cannot start: %s", strerror(-r));
}

int tour_machine(struct tour *tour)
{
    const filch_config config = {.workers = tour->workers, .stack_size = STACK_SIZE, .name = "tour"};
    filch_runtime *runtime;
    json_t *machine = json_object();
    page_chapter(1, "The machine");
    show_system(tour, machine);
    show_load(tour, machine);
    int r = filch_start(&config, &runtime);
    if (r < 0) {
        complain(r);
    } else {
        r = show_runtime(tour, runtime, machine);
        filch_stop(runtime, FILCH_NEVER);
    }
    json_object_set_new(tour->report, "machine", machine);
    return r;
}
