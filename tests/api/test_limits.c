/* SPDX-License-Identifier: MIT */
/* The laws of scarcity: when descriptors, memory or threads run out, the one call that needed them says so, nothing is lost, and when there is room again the
 * runtime goes on.
 *
 * A limit holds for a whole process, so each law runs in a forked child, which tells how it ended by its status. What is not tested
 * here: memory that runs out within a runtime's start at each single allocation. */
#include "api.h"

#include <fcntl.h>

static void unlimit(int resource)
{
    struct rlimit old;
    must(getrlimit(resource, &old) == 0);
    old.rlim_cur = old.rlim_max;
    must(setrlimit(resource, &old) == 0);
}

static int nap(void *arg)
{
    (void)arg;
    return filch_sleep(FILCH_MSEC(1));
}

static int work_a_little(void *arg)
{
    FILCH_SCOPE(s);
    for (int i = 0; i < 100; i++)
        must(filch_spawn(&s, nap, arg) == 0);
    return filch_join(&s);
}

/* ---- descriptors ---- */

static int start_without_descriptors(void)
{
    filch_runtime *runtime = NULL;
    rlim_t at = 3;
    int r;
    for (limit(RLIMIT_NOFILE, at); (r = filch_start(&(filch_config){.workers = 2}, &runtime)) != 0; limit(RLIMIT_NOFILE, ++at)) {
        must(r == -EMFILE && !runtime);
        must(at < 64);
    }
    must(at > 3);
    must(filch_call(runtime, work_a_little, NULL) == 0);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
    return 0;
}

Test(limits, a_start_without_descriptors_is_EMFILE_and_leaves_none_open)
{
    must(in_child(start_without_descriptors) == 0);
}

static int open_without_descriptors(void *arg)
{
    int null[100], n = 0, r;
    (void)arg;
    while ((r = filch_open("/dev/null", O_RDONLY, 0)) >= 0) {
        must(n < 100);
        null[n++] = r;
    }
    must(r == -EMFILE && n > 0);
    must(work_a_little(NULL) == 0);
    while (n > 0)
        must(filch_close(null[--n]) == 0);
    must((r = filch_open("/dev/null", O_RDONLY, 0)) >= 0);
    return filch_close(r);
}

static int run_with_few_descriptors(void)
{
    filch_runtime *runtime;
    must(filch_start(&(filch_config){.workers = 2}, &runtime) == 0);
    limit(RLIMIT_NOFILE, 40);
    must(filch_call(runtime, open_without_descriptors, NULL) == 0);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
    return 0;
}

Test(limits, an_open_without_descriptors_is_EMFILE_and_nothing_else_fails)
{
    must(in_child(run_with_few_descriptors) == 0);
}

/* ---- locked memory ---- */

static int run_without_locked_memory(void)
{
    limit(RLIMIT_MEMLOCK, 0);
    int r = filch_run(&(filch_config){.workers = 2}, work_a_little, NULL);
    must(r == 0 || r == -ENOMEM); /* older kernels count rings as locked memory */
    return 0;
}

Test(limits, without_locked_memory_a_runtime_works_or_says_ENOMEM)
{
    must(in_child(run_without_locked_memory) == 0);
}

/* ---- address space ---- */

static size_t address_space(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    must(f && fscanf(f, "%lu", &pages) == 1);
    fclose(f);
    return pages * 4096;
}

static int start_without_memory(void)
{
    filch_runtime *runtime = NULL;
    size_t used = address_space();
    int r = -ENOMEM;
    for (size_t more = 0; r != 0; more += 1 << 20) {
        must(more < (size_t)4 << 30);
        limit(RLIMIT_AS, used + more);
        r = filch_start(&(filch_config){.workers = 4}, &runtime);
        must(r == 0 || ((r == -ENOMEM || r == -EAGAIN) && !runtime));
    }
    must(filch_stop(runtime, FILCH_NEVER) == 0);
    unlimit(RLIMIT_AS);
    must(filch_run(&(filch_config){.workers = 4}, work_a_little, NULL) == 0);
    return 0;
}

Test(limits, a_start_without_memory_says_so, .disabled = SANITIZED)
{
    must(in_child(start_without_memory) == 0);
}

static atomic_int began, ended, refused, woken;
static filch_event go;

static int park_if_possible(void *arg)
{
    (void)arg;
    atomic_fetch_add(&began, 1);
    int r = filch_event_wait(&go);
    must(r == 0 || r == -ENOMEM);
    atomic_fetch_add(r == 0 ? &woken : &refused, 1);
    atomic_fetch_add(&ended, 1);
    return 0;
}

/* Parks children until no stack is left for one more; then nothing may be lost: each child has been told so, or is woken later. */
static int park_too_many(void *arg)
{
    int spawned = 0, named = 0;
    (void)arg;
    limit(RLIMIT_AS, address_space() + ((size_t)64 << 20));
    FILCH_SCOPE(s);
    for (int seen = 0, idle = 0; atomic_load(&refused) == 0 && idle < 100 && spawned < 100000;
         idle = seen == atomic_load(&began) ? idle + 1 : 0) {
        seen = atomic_load(&began);
        for (int i = 0; i < 16; i++) {
            int r = filch_spawn(&s, park_if_possible, NULL);
            must(r == 0 || r == -ENOMEM);
            spawned += r == 0;
        }
        filch_yield(); /* without a stack for the others it does nothing */
    }
    int r = filch_spawn_with(&s, &(filch_task_options){.name = "large", .stack_size = 64 << 20}, park_if_possible, NULL);
    must(r == -ENOMEM);
    must(spawned < 100000);
    r = filch_spawn_with(&s, &(filch_task_options){.name = "named"}, park_if_possible, NULL);
    must(r == 0 || r == -ENOMEM);
    named += r == 0;
    filch_event_set(&go);
    must(filch_join(&s) == 0);
    must(atomic_load(&ended) == spawned + named);
    unlimit(RLIMIT_AS);
    return work_a_little(NULL);
}

static int park_without_memory(void)
{
    filch_runtime *runtime;
    for (unsigned workers = 1; workers <= 2; workers++) {
        atomic_store(&began, 0);
        atomic_store(&ended, 0);
        atomic_store(&refused, 0);
        atomic_store(&woken, 0);
        filch_event_reset(&go);
        must(filch_start(&(filch_config){.workers = workers}, &runtime) == 0);
        must(filch_call(runtime, park_too_many, NULL) == 0);
        must(filch_call(runtime, work_a_little, NULL) == 0);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
    }
    return 0;
}

Test(limits, without_memory_for_a_stack_one_wait_fails_and_no_task_is_lost, .disabled = SANITIZED)
{
    must(in_child(park_without_memory) == 0);
}
