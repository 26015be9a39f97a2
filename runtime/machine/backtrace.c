/* SPDX-License-Identifier: MIT */
/* A backtrace of another thread of this process, or of a stack that was left.
 *
 * It starts from a snapshot of the stack and of the registers that are known:
 *   asleep   pc and sp of "syscall", and a copy of the stack from sp up by process_vm_readv(2) on ourselves, which fails where a load would
 *            fault. The CPU clock must stand still meanwhile here, too.
 *   running  nobody can tell its registers but the kernel, so that is asked: a sampling event of the software clock on this thread, in user
 *            code only, with all user registers and a copy of the stack in each sample, taken in the timer's interrupt. The event ends
 *            itself with its first sample. perf_event_paranoid of 2 (the kernel's default) allows this for threads of one's own; 3
 *            (Debian's default), and seccomp profiles of container engines, forbid it: then there is no backtrace. A thread that is in the
 *            kernel, or waits for a CPU, gives no sample either.
 * Both are a copy of one moment. Whatever the thread does afterwards changes nothing in it, and every address in it is checked against the
 * copy's bounds (unwind.c).
 *
 * What all this can wait for is memory: pages of that stack, of code and of tables that are not there must be read, as for any other load.
 *
 * Sources: proc(5), perf_event_open(2), process_vm_readv(2). */
#include "machine/backtrace.h"

#include "base/atomic.h"
#include "machine/clock.h"
#include "machine/code.h"
#include "machine/context.h"
#include "machine/culprit.h"
#include "machine/module.h"
#include "machine/peek.h"
#include "machine/symbol.h"
#include "machine/unwind.h"

#include <asm/perf_regs.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TURN 100000000       /* ns: to wait for another caller of the unwinder */
#define SAMPLE_WAIT 5000000  /* ns: for a sample */
#define SAMPLE_PERIOD 250000 /* ns of the thread's CPU time */
#define SAMPLE_STACK 49152   /* bytes: a record has 16 bits for its length */
#define RING_PAGES 16        /* a power of two; at 4 KiB each, more than one record */

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER; /* the unwinder's tables and the snapshot */
static struct fl_snapshot snapshot;

static bool take_turn(void)
{
    struct timespec until; /* in a child of fork the one before may not exist any more */
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += TURN;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return pthread_mutex_timedlock(&turn, &until) == 0;
}

static void give_turn(void)
{
    pthread_mutex_unlock(&turn);
}

static bool fits(uintptr_t sp, uintptr_t low, uintptr_t high)
{
    return sp >= low && sp < high && sp % 8 == 0;
}

/* What lies from `sp` on, into the snapshot. */
static bool copy_stack(uintptr_t sp, uintptr_t high)
{
    size_t size = (high - sp) & ~(size_t)7;
    size = size > FL_UNWIND_BYTES ? FL_UNWIND_BYTES : size;
    snapshot.known = UINT64_C(1) << FL_UNWIND_SP;
    snapshot.regs[FL_UNWIND_SP] = sp;
    snapshot.low = sp;
    snapshot.high = sp + size;
    return fl_peek(snapshot.words, (const void *)sp, size);
}

enum look { TAKEN, ELSEWHERE, NOT_SO };

/* Fills the snapshot of a thread that sleeps. NOT_SO: it doesn't */
static enum look look_asleep(pid_t tid, uintptr_t low, uintptr_t high)
{
    struct fl_culprit seen;
    int64_t before = fl_thread_cpu_time(tid);
    if (!fl_culprit_asleep(tid, &seen))
        return NOT_SO;
    if (seen.pc == 0 || !fits(seen.sp, low, high))
        return ELSEWHERE;
    if (!copy_stack(seen.sp, high))
        return ELSEWHERE;
    if (before < 0 || fl_thread_cpu_time(tid) != before)
        return NOT_SO;
    snapshot.pc = seen.pc;
    snapshot.exact = seen.call < 0;
    return TAKEN;
}

/* Fills the snapshot of a stack that nobody runs on. */
static bool look_left(uintptr_t sp, uintptr_t low, uintptr_t high)
{
    static const unsigned char numbers[] = {FL_CONTEXT_NUMBERS};
    if (!fits(sp, low, high) || high - sp < FL_CONTEXT_SIZE || !copy_stack(sp, high))
        return false;
    const uint64_t *saved = snapshot.words + FL_CONTEXT_REGS / 8;
    for (size_t i = 0; i < sizeof numbers; i++) {
        snapshot.regs[numbers[i]] = saved[i];
        snapshot.known |= UINT64_C(1) << numbers[i];
    }
    snapshot.pc = saved[sizeof numbers];
    snapshot.exact = false;
    snapshot.regs[FL_UNWIND_SP] = sp + FL_CONTEXT_SIZE;
    return true;
}

/* The registers that are sampled, and the DWARF number of each, in the order of the kernel's numbers, which is that of the sample. -1: the
 * program counter */
#if defined(__x86_64__)
#define SAMPLE_REGS    \
    (UINT64_C(0x1ff) | \
     UINT64_C(0xff) << PERF_REG_X86_R8) /* ax bx cx dx si di bp sp ip, r8-r15: without flags and segments, which not all kernels give */
static const signed char dwarf_numbers[] = {0, 3, 2, 1, 4, 5, 6, 7, -1, 8, 9, 10, 11, 12, 13, 14, 15};
#else
#define SAMPLE_REGS ((UINT64_C(1) << PERF_REG_ARM64_MAX) - 1)
static const signed char dwarf_numbers[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                                            17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, -1};
#endif
#define SAMPLE_COUNT (sizeof dwarf_numbers)

/* A record: header, ABI, registers, size of the stack's copy, the copy, how much of it is valid. */
static bool take_sample(const struct perf_event_header *record, uintptr_t low, uintptr_t high)
{
    const uint64_t *at = (const uint64_t *)(record + 1), *end = (const uint64_t *)((const char *)record + record->size);
    if (end - at < (ptrdiff_t)(2 + SAMPLE_COUNT) || *at++ != PERF_SAMPLE_REGS_ABI_64)
        return false;
    snapshot.known = 0;
    for (size_t i = 0; i < SAMPLE_COUNT; i++, at++) {
        if (dwarf_numbers[i] < 0) {
            snapshot.pc = *at;
            continue;
        }
        snapshot.regs[dwarf_numbers[i]] = *at;
        snapshot.known |= UINT64_C(1) << dwarf_numbers[i];
    }
    uint64_t size = *at++, sp = snapshot.regs[FL_UNWIND_SP];
    if (size == 0 || size % 8 != 0 || (uint64_t)(end - at) < size / 8 + 1 || !fits(sp, low, high))
        return false;
    uint64_t valid = at[size / 8];
    if (valid > size)
        return false;
    valid = valid > high - sp ? high - sp : valid;
    valid &= ~UINT64_C(7);
    memcpy(snapshot.words, at, valid);
    snapshot.low = sp;
    snapshot.high = sp + valid;
    snapshot.exact = true;
    return true;
}

/* Waits for the one sample of an event. */
static bool await_sample(int fd, struct perf_event_mmap_page *ring, uintptr_t low, uintptr_t high)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = RING_PAGES * page;
    const char *data = (const char *)ring + page;
    int64_t until = fl_clock() + SAMPLE_WAIT, left;
    uint64_t at = 0;
    while ((left = until - fl_clock()) > 0) {
        int n = ppoll(&poll_fd, 1, &(struct timespec){.tv_nsec = left}, NULL);
        if (n < 0 && errno != EINTR)
            return false;
        uint64_t head = load_acquire(fl_atomic(uint64_t, &ring->data_head)); /* own: the kernel writes it, behind the records */
        while (at < head) {
            const struct perf_event_header *record = (const void *)(data + at);
            if (head - at < sizeof *record || record->size < sizeof *record || record->size > size - at)
                return false;
            if (record->type == PERF_RECORD_SAMPLE)
                return take_sample(record, low, high);
            at += record->size;
        }
        if (n > 0 && poll_fd.revents & (POLLHUP | POLLERR))
            return false; /* the thread has ended, or the event has been used up by what was lost */
    }
    return false;
}

/* Fills the snapshot of a thread that runs. */
static bool look_running(pid_t tid, uintptr_t low, uintptr_t high)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof attr,
        .config = PERF_COUNT_SW_CPU_CLOCK,
        .sample_period = SAMPLE_PERIOD,
        .sample_type = PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER,
        .sample_regs_user = SAMPLE_REGS,
        .sample_stack_user = SAMPLE_STACK,
        .wakeup_events = 1,
        .disabled = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
    };
    size_t size = (RING_PAGES + 1) * (size_t)sysconf(_SC_PAGESIZE);
    bool taken = false;
    int fd = (int)syscall(SYS_perf_event_open, &attr, (long)tid, -1L, -1L, (long)PERF_FLAG_FD_CLOEXEC);
    if (fd < 0)
        return false;
    void *ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ring != MAP_FAILED) {
        taken = ioctl(fd, PERF_EVENT_IOC_REFRESH, 1) == 0 && await_sample(fd, ring, low, high);
        munmap(ring, size);
    }
    close(fd);
    return taken;
}

size_t fl_backtrace_thread(pid_t tid, uintptr_t low, uintptr_t high, void **ret_pcs, size_t max, size_t *ret_sure)
{
    size_t count = 0;
    *ret_sure = 0;
    if (!take_turn())
        return 0;
    enum look look = look_asleep(tid, low, high);
    if (look == NOT_SO && look_running(tid, low, high))
        look = TAKEN;
    if (look == NOT_SO) /* it may sleep by now */
        look = look_asleep(tid, low, high);
    if (look == TAKEN)
        count = fl_unwind(&snapshot, ret_pcs, max, ret_sure);
    give_turn();
    return count;
}

size_t fl_backtrace_left(uintptr_t sp, uintptr_t low, uintptr_t high, void **ret_pcs, size_t max, size_t *ret_sure)
{
    size_t count = 0;
    *ret_sure = 0;
    if (!take_turn())
        return 0;
    if (look_left(sp, low, high))
        count = fl_unwind(&snapshot, ret_pcs, max, ret_sure);
    give_turn();
    return count;
}

bool fl_backtrace_symbol(const void *pc, char *text, size_t size)
{
    bool ours = size > 0 && take_turn();
    if (ours) {
        fl_symbol((uintptr_t)pc, text, size);
        give_turn();
    } else if (size > 0) {
        snprintf(text, size, "%p", pc);
    }
    return ours;
}

bool fl_backtrace_called(const void *pc, char *text, size_t size)
{
    uintptr_t target = 0;
    if (size == 0 || !take_turn())
        return false;
    fl_modules_know();
    bool known = fl_code_is_return((uintptr_t)pc, &target) && target;
    if (known)
        fl_symbol(target + 1, text, size);
    give_turn();
    return known;
}
