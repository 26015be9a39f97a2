/* SPDX-License-Identifier: MIT */
/* What the laws of stalled workers, of pinned and of isolated tasks share: every way to stall a carrier, and tasks that must go on meanwhile. */
#ifndef STALLS_H
#define STALLS_H

#include "pairs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

static const filch_config every_size[] = {{.workers = 1, .name = "law"}, {.workers = 2, .name = "law"}, {.workers = 8, .name = "law"}};

static __attribute__((noinline, unused)) int my_tid(void)
{
    return (int)syscall(SYS_gettid);
}

/* Kernel threads of this process whose name begins like that. */
static inline int threads_named(const char *name)
{
    DIR *dir = opendir("/proc/self/task");
    int n = 0;
    must(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[300], comm[64] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        n += read(fd, comm, sizeof comm - 1) > 0 && strncmp(comm, name, strlen(name)) == 0;
        close(fd);
    }
    closedir(dir);
    return n;
}

static inline void compute_for(int64_t ns)
{
    for (int64_t end = filch_after(ns); filch_now() < end;)
        ;
}

/* ---- ways to stall ---- */

enum way { READ, SPIN, NAP, LOCK, FAULT, ANNOUNCED, WAYS };

enum { MOST = 16, PAGE = 4096 };

/* One law at a time, each in a process of its own. */
static struct {
    enum way way;
    int pipe[2];
    atomic_int inside, places;
    atomic_bool over;
    pthread_mutex_t lock; /* held by a task that is parked */
    filch_event give_lock_back;
    char *pages;
    int faults; /* descriptor; -1: not allowed here */
} stall;

static inline bool fault_init(void)
{
    stall.faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (stall.faults < 0)
        return false;
    struct uffdio_api api = {.api = UFFD_API};
    stall.pages = mmap(NULL, MOST * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(stall.pages != MAP_FAILED);
    struct uffdio_register range = {.range = {(uintptr_t)stall.pages, MOST * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    return ioctl(stall.faults, UFFDIO_API, &api) == 0 && ioctl(stall.faults, UFFDIO_REGISTER, &range) == 0;
}

/* @return false: this way is not possible here */
static inline bool stall_init(enum way way)
{
    memset(&stall, 0, sizeof stall);
    stall.way = way;
    must(pipe(stall.pipe) == 0 && pthread_mutex_init(&stall.lock, NULL) == 0);
    stall.faults = -1;
    return way != FAULT || fault_init();
}

static inline void stall_fini(void)
{
    close(stall.pipe[0]), close(stall.pipe[1]);
    if (stall.faults >= 0) {
        close(stall.faults);
        munmap(stall.pages, MOST * PAGE);
    }
}

static inline void stall_me(void)
{
    char byte;
    int place = atomic_fetch_add(&stall.places, 1);
    must(place < MOST);
    atomic_fetch_add(&stall.inside, 1);
    switch (stall.way) {
    case READ:
        must(read(stall.pipe[0], &byte, 1) == 1);
        break;
    case SPIN:
        while (!atomic_load(&stall.over))
            ;
        break;
    case NAP:
        while (!atomic_load(&stall.over))
            usleep(20000);
        break;
    case LOCK:
        pthread_mutex_lock(&stall.lock);
        pthread_mutex_unlock(&stall.lock);
        break;
    case FAULT:
        must(((volatile char *)stall.pages)[place * PAGE] == 0);
        break;
    default:
        filch_blocking_enter();
        must(read(stall.pipe[0], &byte, 1) == 1);
        filch_blocking_leave();
    }
    atomic_fetch_sub(&stall.inside, 1);
}

static inline void end_stalls(void)
{
    static const char bytes[MOST];
    atomic_store(&stall.over, true);
    must(write(stall.pipe[1], bytes, MOST) == MOST);
    filch_event_set(&stall.give_lock_back);
    if (stall.way == FAULT) {
        struct uffdio_zeropage all = {.range = {(uintptr_t)stall.pages, MOST * PAGE}};
        must(ioctl(stall.faults, UFFDIO_ZEROPAGE, &all) == 0);
    }
}

/* ---- the others ---- */

enum { ROUNDS = 5 };

struct others {
    atomic_int begun, done, count;
    atomic_bool now; /* all are stalled: rounds count from here on */
    int unix_[2], pipe[2], blockers;
    filch_chan *there, *back;
    atomic_int late; /* unstarted when all stalled, and has run since */
    filch_runtime *runtime;
};

/* Counts a round of one of the others. @return whether it goes on */
static inline bool again(struct others *others, int *rounds)
{
    if (*rounds < 0) {
        *rounds = 0;
        atomic_fetch_add(&others->begun, 1);
    } else if (atomic_load(&others->now)) {
        ++*rounds;
    }
    if (*rounds < ROUNDS)
        return true;
    atomic_fetch_add(&others->done, 1);
    return false;
}

static inline int sleeps(void *arg)
{
    for (int rounds = -1; again(arg, &rounds);)
        must(filch_sleep(FILCH_MSEC(1)) == 0);
    return 0;
}

/* Bytes come from a plain thread. */
static inline int reads(void *arg)
{
    char byte;
    for (int rounds = -1; again(arg, &rounds);)
        must(filch_read(((struct others *)arg)->pipe[0], &byte, 1) == 1);
    return 0;
}

static inline int comes_late(void *arg)
{
    atomic_fetch_add(&((struct others *)arg)->late, 1);
    return 0;
}

/* Spawns something that cannot begin before somebody else comes, and stalls. */
static inline int stall_before_a_child(void *arg)
{
    FILCH_SCOPE(s);
    must(filch_spawn(&s, comes_late, arg) == 0);
    stall_me();
    return filch_join(&s);
}

static inline int count_one(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static inline int stop_me(void *arg)
{
    stall_me();
    return count_one(arg);
}

static inline void await_while_writing(atomic_int *flag, int value, int fd)
{
    for (int64_t end = filch_after(FILCH_SEC(10)); atomic_load(flag) < value; usleep(1000)) {
        must(filch_now() < end);
        must(write(fd, "x", 1) == 1);
    }
}

#endif
