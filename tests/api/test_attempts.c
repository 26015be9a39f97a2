/* SPDX-License-Identifier: MIT */
/* The laws of what a receive tries before it waits: an attempt where the last one took all that was there is a system call that mostly finds nothing, unless the
 * peers are quick. They are counted, by a recv that stands before libc's. */
#include "pairs.h"

#include <dlfcn.h>

TestSuite(attempts, .timeout = 100);

enum { MESSAGES = 1600 };

static atomic_int attempts;

/* The library's calls come here, since a program's own function comes before that of a library. */
FILCH_API ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    atomic_fetch_add(&attempts, 1);
    return ((__typeof__(&recv))dlsym(RTLD_NEXT, "recv"))(fd, buf, len, flags);
}

static bool is_on_uring(void)
{
    return filch_io_backend(filch_current(), NULL) == FILCH_IO_URING;
}

static uint64_t operations(void)
{
    filch_stats stats;
    filch_stats_read(filch_current(), &stats);
    return stats.operations;
}

struct talk {
    int ends[2];
    atomic_bool waits;
};

/* Each message has room to spare: the socket is drained by it. */
static int receive(void *arg)
{
    struct talk *talk = arg;
    char buf[8];
    for (int i = 0; i < MESSAGES; i++) {
        atomic_store(&talk->waits, true);
        must(filch_recv(talk->ends[0], buf, sizeof buf, 0) == 1);
    }
    return 0;
}

/* Only when somebody is parked there. */
static int send_late(void *arg)
{
    struct talk *talk = arg;
    for (int i = 0; i < MESSAGES; i++) {
        while (!atomic_load(&talk->waits))
            filch_yield();
        atomic_store(&talk->waits, false);
        must(send(talk->ends[1], "x", 1, 0) == 1);
    }
    return 0;
}

static void talk_with_late(struct talk *talk)
{
    FILCH_SCOPE(s);
    must(filch_spawn(&s, receive, talk) == 0 && filch_spawn(&s, send_late, talk) == 0);
    must(filch_join(&s) == 0);
}

static int count_in_vain(void *arg)
{
    struct talk talk = {0};
    int allowed =
        is_on_uring() ? MESSAGES / 32 : MESSAGES + MESSAGES / 32; /* epoll says that something is there, and it is then received */
    (void)arg;
    unix_pair(talk.ends);
    atomic_store(&attempts, 0);
    talk_with_late(&talk);
    must(atomic_load(&attempts) >= MESSAGES / 128 && atomic_load(&attempts) <= allowed);
    close_pair(talk.ends);
    return 0;
}

Test(attempts, few_are_made_in_vain)
{
    must(filch_run(&(filch_config){.workers = 1, .relief = FILCH_RELIEF_NONE}, count_in_vain, NULL) == 0);
    must(filch_run(&(filch_config){.workers = 1, .relief = FILCH_RELIEF_NONE, .io = FILCH_IO_EPOLL}, count_in_vain, NULL) == 0);
}

static int learn_again(void *arg)
{
    struct talk talk = {0};
    char buf[8];
    (void)arg;
    unix_pair(talk.ends);
    talk_with_late(&talk);
    uint64_t before = operations();
    for (int i = 0; i < MESSAGES; i++) {
        must(send(talk.ends[1], "x", 1, 0) == 1);
        must(filch_recv(talk.ends[0], buf, sizeof buf, 0) == 1);
    }
    must(operations() - before < MESSAGES / 8 || !is_on_uring()); /* with epoll a drained socket is never tried */
    close_pair(talk.ends);
    return 0;
}

Test(attempts, they_come_back_where_they_find_something)
{
    must(filch_run(&(filch_config){.workers = 1, .relief = FILCH_RELIEF_NONE}, learn_again, NULL) == 0);
}
