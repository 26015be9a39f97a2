/* SPDX-License-Identifier: MIT */
/* Atomic operations with the memory order in their name. Nobody else writes memory_order_*.
 *
 * Every operation on an _Atomic says its role in a comment beside it:
 *   [edge]    one of the edges that the file's essay names, e.g. "[publish] pairs with fl_deque_steal"
 *   own:      only the owner writes this; the owner itself may read it relaxed
 *   hint:     a stale value is fine, because ...
 *   counter:  statistics, or a number whose order against other memory does not matter
 *   init:     before anybody else knows of it, or published by the named edge
 *
 * A model checker compiles these names as they are (C11 atomics on the checker's own memory model); an interleaving
 * explorer may define FL_ATOMIC_HEADER to a header of its own that defines the same names. */
#ifndef FL_BASE_ATOMIC_H
#define FL_BASE_ATOMIC_H

#ifdef FL_ATOMIC_HEADER
#include FL_ATOMIC_HEADER
#else

#include <stdatomic.h>

#define load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define load_seq_cst(p) atomic_load_explicit((p), memory_order_seq_cst)
#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define store_seq_cst(p, v) atomic_store_explicit((p), (v), memory_order_seq_cst)
#define exchange_relaxed(p, v) atomic_exchange_explicit((p), (v), memory_order_relaxed)
#define exchange_acquire(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)
#define exchange_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define exchange_seq_cst(p, v) atomic_exchange_explicit((p), (v), memory_order_seq_cst)
/* cas_*: true when *p was *expected and is now desired; else *expected is what was seen. weak: may fail for no reason. */
#define cas_relaxed(p, expected, desired) \
    atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_relaxed, memory_order_relaxed)
#define cas_acquire(p, expected, desired) \
    atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_acquire, memory_order_relaxed)
#define cas_release(p, expected, desired) \
    atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_release, memory_order_relaxed)
#define cas_acq_rel(p, expected, desired) \
    atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_acq_rel, memory_order_acquire)
#define cas_seq_cst(p, expected, desired) \
    atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_seq_cst, memory_order_seq_cst)
#define cas_weak_acq_rel(p, expected, desired) \
    atomic_compare_exchange_weak_explicit((p), (expected), (desired), memory_order_acq_rel, memory_order_acquire)
#define add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define add_seq_cst(p, v) atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define add_release(p, v) atomic_fetch_add_explicit((p), (v), memory_order_release)
#define sub_relaxed(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define sub_release(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_release)
#define sub_acq_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define or_acquire(p, v) atomic_fetch_or_explicit((p), (v), memory_order_acquire)
#define or_acq_rel(p, v) atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)
#define or_seq_cst(p, v) atomic_fetch_or_explicit((p), (v), memory_order_seq_cst)
#define and_release(p, v) atomic_fetch_and_explicit((p), (v), memory_order_release)
#define and_acq_rel(p, v) atomic_fetch_and_explicit((p), (v), memory_order_acq_rel)
/* Orders everything; used only as one half of the asymmetric barrier (base/barrier.h). */
#define fence_seq_cst() atomic_thread_fence(memory_order_seq_cst)

#endif

/** A plain field of a public structure, as the atomic that it is. */
#define fl_atomic(type, p) ((_Atomic(type) *)(p))

#endif
