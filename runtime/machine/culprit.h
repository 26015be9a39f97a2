/* SPDX-License-Identifier: MIT */
/* The culprit: what a kernel thread of our own process is doing, seen from another one without a signal and without stopping it. See
 * culprit.c and unwind.c.
 *
 * Any number of threads may call; those that need the unwinder's tables take turns, and one that has waited a tenth of a second for its
 * turn gives up. */
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

/** What the thread is doing just now. Never waits for the thread; where there is no /proc, a millisecond for the clock. @return 0; -ESRCH;
 * else -errno of open(2) or read(2) */
int fl_culprit_look(pid_t tid, struct fl_culprit *ret_culprit);

/** As words that follow a name: "in read(2) of fd 5 (pipe:[1234])", "on CPU, or ready to run", "in a page fault at 0x7f...". They claim
 * nothing that is not known; of a runnable thread it is not known whether it is in the kernel, unless its backtrace says so. @return length
 * of the text, which is cut to the size and always ends in 0 */
size_t fl_culprit_say(const struct fl_culprit *culprit, char *text, size_t size);

/** The calls on the thread's stack, innermost first. [low, high): the stack that it should be on; nothing if it is on another. Each address
 * lies behind the instruction that it stands for, as a return address does. A thread that sleeps is read as it sleeps; one that runs is
 * sampled by perf_event_open(2), where that is allowed, within 5 ms: then it was in user code. The thread may go on, end, or use the stack
 * again meanwhile: the answer is from one moment, or empty.
 * @param ret_sure so many of them, the first ones, follow from unwind tables; the others are guesses, to be marked as such
 * @return how many; 0: not to be had */
size_t fl_culprit_backtrace(pid_t tid, uintptr_t low, uintptr_t high, void **ret_pcs, size_t max, size_t *ret_sure);

/** The same of a stack that was left by fl_context_switch, which has stored `sp`. Somebody may go on there meanwhile: the answer is from one moment, or made up of several.
 * @return how many; 0: not to be had */
size_t fl_culprit_left(uintptr_t sp, uintptr_t low, uintptr_t high, void **ret_pcs, size_t max, size_t *ret_sure);

/** "function+0x12 (file.c:34)", "function+0x12 (libc.so.6)", "libc.so.6+0x1234" or "0x7f...", as far as is known of such an address.
 * @return whether it was looked up; false: others had the tables for 100 ms, and the text is the bare address */
bool fl_culprit_symbol(const void *pc, char *text, size_t size);

#endif
