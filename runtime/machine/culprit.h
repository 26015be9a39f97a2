/* SPDX-License-Identifier: MIT */
/* The culprit: what a kernel thread of our own process is doing, seen from another one without a signal and without stopping it. Any number
 * of threads may call. See culprit.c; where it has come to in its program: backtrace.h. */
#ifndef FL_MACHINE_CULPRIT_H
#define FL_MACHINE_CULPRIT_H

#include "base/attr.h"

#include <sys/types.h>

/** A thread that is asked again and again whether it sleeps. */
struct fl_watch {
    int stat_fd; /**< /proc/self/task/<tid>/stat; -1: there is no /proc */
    pid_t tid;
};

/** @return 0; -ESRCH the thread does not exist; -EMFILE, -ENFILE, -ENOMEM */
int fl_watch_open(struct fl_watch *watch, pid_t tid);
void fl_watch_close(struct fl_watch *watch);
/** Whether the thread sleeps in the kernel: one pread(2), a few microseconds. Where /proc is missing: whether its CPU clock stands still
 * for a millisecond.
 * @return 1 it does; 0 it runs or waits for a CPU; -ESRCH it has ended */
int fl_watch_off_cpu(const struct fl_watch *watch);

struct fl_culprit {
    bool off_cpu;     /**< sleeps in the kernel (state S or D), else runs or is runnable */
    char state;       /**< of /proc/.../stat: R S D T ...; 0: unknown */
    long call;        /**< number of the system call that it sleeps in; -1: none, or unknown */
    uint64_t args[6]; /**< its arguments, if `call` is not -1 */
    uintptr_t pc, sp; /**< user registers while it sleeps, where known; else 0 */
    char wchan[32];   /**< where in the kernel it sleeps; "": unknown */
};

/** CPU time that a thread has used. It stands still, by not a nanosecond, while the thread sleeps. @return ns, or -1 */
int64_t fl_thread_cpu_time(pid_t tid);

/** The call that the thread sleeps in, and its registers: one read, which by itself is no proof that the thread has not run meanwhile.
 * @return whether it was asleep; if not, nothing is filled in */
bool fl_culprit_asleep(pid_t tid, struct fl_culprit *ret_culprit);

/** What the thread is doing just now. Never waits for the thread; where there is no /proc, a millisecond for the clock. @return 0; -ESRCH;
 * else -errno of open(2) or read(2) */
int fl_culprit_look(pid_t tid, struct fl_culprit *ret_culprit);

/** As words that follow a name: "in read(2) of fd 5 (pipe:[1234])", "on CPU, or ready to run", "in a page fault at 0x7f...". They claim
 * nothing that is not known; of a runnable thread it is not known whether it is in the kernel, unless its backtrace says so. @return length
 * of the text, which is cut to the size and always ends in 0 */
size_t fl_culprit_say(const struct fl_culprit *culprit, char *text, size_t size);

#endif
