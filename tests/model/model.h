/* SPDX-License-Identifier: MIT */
/* What every harness begins with: the checker's threads and assertions, and exactly-once counting.
 *
 * A harness is a small program of two or three threads that includes the very header it checks, compiled with -DFL_MODEL and small
 * capacities; -DSCENARIO=n picks one of its programs. run.sh runs them all; mutants.sh lists the mistakes that they must notice. A checker runs
 * every execution that the memory model allows, so a scenario is as short as the mistake it is after.
 *
 * What the model does not show: the light half of the asymmetric barrier is a fence here and no instruction in a program. So a load before it that
 * ought to acquire, or a store behind it that ought to release, is not missed if it does not.
 *
 * Loops. A loop that waits must do nothing but look, so that the checker sees that going round once more changes nothing; a counted
 * loop has a small bound. */
#ifndef FL_TESTS_MODEL_H
#define FL_TESTS_MODEL_H

#define __builtin_ia32_pause() ((void)0)    /* fl_relax: nothing to a checker */
#define FL_MODEL_LIGHT() fl_barrier_light() /* the public header's name for it */

#include "base/atomic.h"
#include "base/attr.h"
#include "base/barrier.h"

/* The lock swaps 1 into a word that may be 1 already. To a checker each such swap is one more write that everybody may read: here it is a swap
 * that fails. */
#undef exchange_acquire
#define exchange_acquire(p, v)                 \
    ({                                         \
        uint32_t free_ = 0;                    \
        cas_acquire((p), &free_, (v)) ? 0 : 1; \
    })

/* What a mutant has in place of a compare-and-swap. */
#define store_for_cas(p, expected, desired) (store_release((p), (desired)), (void)(expected), true)
#define store_for_compare_exchange(p, expected, desired, ...) (__atomic_store_n((p), (desired), __ATOMIC_SEQ_CST), (void)(expected), true)

#include <assert.h>
#include <pthread.h>

#ifndef SCENARIO
#define SCENARIO 1
#endif

/** Something that must happen exactly once, whoever does it. */
struct once {
    _Atomic(int) times;
};

FL_INLINE void once(struct once *what)
{
    int before = add_relaxed(&what->times, 1);
    assert(before == 0);
}

FL_INLINE bool happened(struct once *what)
{
    return load_relaxed(&what->times) != 0;
}

FL_INLINE pthread_t start(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    int r = pthread_create(&thread, NULL, fn, arg);
    assert(r == 0);
    return thread;
}

FL_INLINE void join(pthread_t thread)
{
    int r = pthread_join(thread, NULL);
    assert(r == 0);
}

#endif
