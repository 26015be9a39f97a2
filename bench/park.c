/* SPDX-License-Identifier: MIT */
/* park: what does a task cost that waits, and a million of them?
 *
 * --tasks tasks wait for one event. Four figures:
 *
 *     create   from the first spawn until all have arrived at the event, in ms (the workload's own figure)
 *     wake     from setting the event until the join has returned: all have run again and ended, in ms
 *     memory   resident bytes a task, while all are parked: VmRSS of /proc/self/status then, less VmRSS before the first spawn, divided by
 *              the tasks. Kernel memory (page tables, VMAs) is not in it.
 *     maps     lines of /proc/self/maps while all are parked. vm.max_map_count is 65,530 by default: with a VMA or two for each guarded
 *              stack there is no million of them.
 *
 * Form `floor` is the kernel's part of create, with no runtime: for each task a guard page and one page of memory, 68 KiB apart, asked for in vectors of
 * 64 where the kernel takes them. Guards need Linux 6.13; without them it is the memory alone.
 *
 * Each run has a fresh runtime, because one that has run before keeps stacks at hand; starting and stopping it are not timed. A counter
 * says when all have arrived: the parent looks at it between yields, and sleeps 100 us when they did not help. */
#include "bench.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "util.h"

static int64_t tasks = 1000000;

struct hall {
    filch_event go;
    atomic_int_fast64_t arrived, left;
};

static int guest(void *arg)
{
    struct hall *hall = arg;
    atomic_fetch_add(&hall->arrived, 1);
    int r = filch_event_wait(&hall->go);
    atomic_fetch_add(&hall->left, 1);
    return r;
}

static int park(struct bench_run *run)
{
    struct hall hall = {0};
    int64_t before = (int64_t)bench_memory("VmRSS:");
    int64_t start = filch_now();
    FILCH_SCOPE(s);
    for (int64_t i = 0; i < tasks; i++) {
        int r = filch_spawn(&s, guest, &hall);
        if (r < 0)
            return r;
    }
    for (unsigned turn = 0; atomic_load(&hall.arrived) < tasks; turn++)
        if (turn % 16 < 15)
            filch_yield();
        else
            filch_sleep(FILCH_USEC(100));
    bench_result(run, (double)(filch_now() - start) / 1e6);
    bench_more(run, "memory", "bytes/task", (double)((int64_t)bench_memory("VmRSS:") - before) / (double)tasks);
    bench_more(run, "maps", "lines", (double)bench_maps());

    start = filch_now();
    filch_event_set(&hall.go);
    int r = filch_join(&s);
    bench_more(run, "wake", "ms", (double)(filch_now() - start) / 1e6);
    bench_check(run, "woken", atomic_load(&hall.left), tasks);
    return r;
}

enum { SLOT = 65536 + 4096, PAGE = 4096, VECTOR = 64, PIDFD_SELF_ = -10000, POPULATE_WRITE = 23, GUARD_INSTALL = 102 };

/* madvise for page `page` of each of `count` slots. */
static void advise(char *slots, int64_t count, int64_t page, int advice)
{
    struct iovec ranges[VECTOR];
    for (int64_t i = 0; i < count; i++)
        ranges[i] = (struct iovec){slots + i * SLOT + page * PAGE, PAGE};
    if (syscall(SYS_process_madvise, PIDFD_SELF_, ranges, (size_t)count, advice, 0u) == count * PAGE)
        return;
    for (int64_t i = 0; i < count; i++)
        if (madvise(ranges[i].iov_base, PAGE, advice) != 0 && advice == POPULATE_WRITE)
            *(volatile char *)ranges[i].iov_base = 0;
}

static int floor_(struct bench_run *run)
{
    size_t bytes = (size_t)tasks * SLOT;
    int64_t start = filch_now();
    char *slots = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slots == MAP_FAILED)
        return -errno;
    madvise(slots, bytes, MADV_NOHUGEPAGE);
    for (int64_t i = 0; i < tasks; i += VECTOR) {
        int64_t count = tasks - i < VECTOR ? tasks - i : VECTOR;
        advise(slots + i * SLOT, count, 0, GUARD_INSTALL);
        advise(slots + i * SLOT, count, SLOT / PAGE - 1, POPULATE_WRITE);
    }
    bench_result(run, (double)(filch_now() - start) / 1e6);
    munmap(slots, bytes);
    return 0;
}

const struct bench bench_park = {
    .name = "park",
    .what = "a million tasks parked on one event: create, memory, maps, wake",
    .unit = "ms",
    .fresh = true,
    .forms = {{"event", park, BENCH_TASK}, {"floor", floor_, BENCH_ALONE}},
    .params = {BENCH_INT("tasks", tasks, 1, 1e8, "how many")},
};
