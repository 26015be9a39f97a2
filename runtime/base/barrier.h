/* SPDX-License-Identifier: MIT */
/* The asymmetric barrier: a store-load barrier of which one side is free.
 *
 * Dekker's pattern: A writes x and reads y, B writes y and reads x, and they must not both read the old value. Both need a
 * store-load barrier in between. If A does it a hundred million times a second and B seldom, A can do with a compiler barrier when B runs
 * membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), which makes every running thread of the process execute a full barrier before it
 * returns (membarrier(2)): either A's write came before that and B sees it, or A's read comes after and sees B's write.
 *
 *   fl_barrier_light   the frequent side   owner of a deque or ready queue, producers that look for sleepers
 *   fl_barrier_heavy   the seldom side     thieves, workers about to sleep
 *
 * Measured: push + pop 4.1 ns a task with it, 11.2 ns with a fence in pop; a heavy one costs 0.35 us alone and 8-15 us while a peer runs.
 * Where the kernel lacks membarrier both sides are seq_cst fences, chosen once at start (machine/barrier.c). Under the model checker both
 * sides are always fences, which is what the pair amounts to. */
#ifndef FL_BASE_BARRIER_H
#define FL_BASE_BARRIER_H

#include "base/atomic.h"
#include "base/attr.h"

#ifdef FL_MODEL

#ifndef fl_barrier_light /* a mutant may take it away */
#define fl_barrier_light() fence_seq_cst()
#endif
#ifndef fl_barrier_heavy
#define fl_barrier_heavy() fence_seq_cst()
#endif

FL_INLINE bool fl_barrier_try_light(void)
{
    fl_barrier_light();
    return true;
}

#else

/** Whether membarrier works; written before the first worker starts. */
extern __attribute__((visibility("hidden"))) _Atomic(bool) fl_barrier_asymmetric;

/** Registers the process for membarrier. Idempotent, any thread; before any use of the barriers. */
void fl_barrier_init(void);
/** For tests and benchmarks: makes both sides fences. Before any worker runs. */
void fl_barrier_force_symmetric(void);
void fl_barrier_heavy(void);

FL_COLD void fl_barrier_light_slow(void);

FL_INLINE void fl_barrier_light(void)
{
    fl_compiler_barrier();
    if (unlikely(!load_relaxed(&fl_barrier_asymmetric)))
        fl_barrier_light_slow();
    fl_compiler_barrier();
}

/** fl_barrier_light where it costs nothing; false: it would be a fence, and was not done. For functions that want to call nothing. */
FL_INLINE bool fl_barrier_try_light(void)
{
    fl_compiler_barrier();
    return likely(load_relaxed(&fl_barrier_asymmetric)); /* hint: written before the first worker starts */
}

#endif
#endif
