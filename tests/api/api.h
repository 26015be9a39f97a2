/* SPDX-License-Identifier: MIT */
/* What the programs of laws share: a check that may fail anywhere, and short words for what every law needs.
 *
 * Criterion's own assertions jump back into its runner, which is impossible from a task's stack or from another kernel thread, and each costs a
 * message to another process. `must` says where it failed and aborts; Criterion reports the law as crashed. */
#ifndef API_H
#define API_H

#include <filch.h>

#include <criterion/criterion.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define must(condition) ((condition) ? (void)0 : must_failed(__FILE__, __LINE__, #condition))

static inline _Noreturn void must_failed(const char *file, int line, const char *text)
{
    fprintf(stderr, "%s:%d: must(%s)\n", file, line, text);
    abort();
}

/* Open descriptors of the program. Those of the runtime and the C library do not count: a relief, with a ring, may be made at any time, the monitor has a file of
 * /proc open for a thread that stalls, and malloc(3) in a thread that has just begun looks into /sys or /proc for how many CPUs there are. */
static inline int descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    must(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char link[64] = "";
        if (readlinkat(dirfd(dir), entry->d_name, link, sizeof link - 1) < 0)
            continue;
        n += !strstr(link, "[io_uring]") && !strstr(link, "[eventfd]") && !strstr(link, "[eventpoll]") && strncmp(link, "/proc/", 6) != 0 &&
             strncmp(link, "/sys/", 5) != 0;
    }
    closedir(dir);
    return n;
}

/* Sanitizers make everything slower and memory dearer: laws that count to millions count to fewer. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* Each way to run that matters: fewer, as many and more workers than processors, and each threading model. */
static const filch_config every_config[] = {
    {.workers = 1}, {.workers = 2}, {.workers = 8}, {.workers = 64}, {.model = FILCH_MODEL_N1}, {.model = FILCH_MODEL_11},
};

/* Those with a scheduler of their own. */
static const filch_config every_loop[] = {{.workers = 1}, {.workers = 2}, {.workers = 8}, {.model = FILCH_MODEL_N1}};

#define FOR_EACH_CONFIG(config, list) for (const filch_config *config = list; config < list + LENGTH(list); config++)

static inline pthread_t thread_start(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    must(pthread_create(&thread, NULL, fn, arg) == 0);
    return thread;
}

static inline void thread_join(pthread_t thread)
{
    must(pthread_join(thread, NULL) == 0);
}

/* Waits as a plain thread until *flag is at least `value`; ten seconds are for ever. */
static inline void await_count(atomic_int *flag, int value)
{
    for (int64_t end = filch_after(FILCH_SEC(10)); atomic_load(flag) < value;) {
        must(filch_now() < end);
        usleep(200);
    }
}

/* Runs `fn` in a child, whose limits, environment and so on are its own. @return 0 if it returned 0. */
static inline int in_child(int (*fn)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(20); /* nobody else would end it */
        _exit(fn());
    }
    int status = -1;
    must(child > 0 && waitpid(child, &status, 0) == child);
    return status;
}

static inline void limit(int resource, rlim_t value)
{
    struct rlimit old;
    must(getrlimit(resource, &old) == 0);
    old.rlim_cur = value;
    must(setrlimit(resource, &old) == 0);
}

#endif
