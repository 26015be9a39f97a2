/* SPDX-License-Identifier: MIT */
/* Attributes and small helpers every floor uses. */
#ifndef FL_BASE_ATTR_H
#define FL_BASE_ATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define FL_NOINLINE __attribute__((noinline))
#define FL_COLD __attribute__((noinline, cold))
#define FL_INLINE static inline __attribute__((always_inline))
/** The seldom path of an inline function, in a header: never inlined, not missed where it is not called. */
#define FL_SLOW __attribute__((noinline, cold, unused)) static
#define FL_NORETURN __attribute__((noreturn))
#define FL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/** Bytes two cores never share by accident: a line and the one that the adjacent-line prefetcher drags in. */
#define FL_LINE 64
#define FL_ALIGN_LINE __attribute__((aligned(FL_LINE)))
#define FL_ALIGN_PAIR __attribute__((aligned(2 * FL_LINE)))
/** Between two fields: what stands on either side is never on one line, wherever malloc puts the structure. */
#define FL_APART(name) char name[FL_LINE]

#define fl_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/** Forbids the compiler to move memory accesses across; no instruction. */
FL_INLINE void fl_compiler_barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

/** Tells the CPU that this is a spin loop. */
FL_INLINE void fl_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

#endif
