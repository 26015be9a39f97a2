/* SPDX-License-Identifier: MIT */
/* What ASan, TSan and Valgrind must be told when a thread changes stacks. Empty in an ordinary build.
 *
 * ASan keeps a fake stack and the stack's bounds a thread; TSan keeps a shadow stack and a vector clock a fiber (flag 0: a switch synchronises,
 * as the runtime's own hand-over does); Valgrind only wants the bounds of each stack.
 * Call order at a switch: before() on the old stack, the switch, after() as the first thing on the new one. */
#ifndef FL_MACHINE_SANITIZER_H
#define FL_MACHINE_SANITIZER_H

#include "base/attr.h"

#if defined(__SANITIZE_ADDRESS__)
#define FL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FL_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define FL_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FL_TSAN 1
#endif
#endif
#ifndef FL_ASAN
#define FL_ASAN 0
#endif
#ifndef FL_TSAN
#define FL_TSAN 0
#endif

#if FL_ASAN
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/asan_interface.h>
#endif
#if FL_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/** A TSan fiber for a new stack; NULL without TSan. */
FL_INLINE void *fl_sanitizer_new(void)
{
#if FL_TSAN
    return __tsan_create_fiber(0);
#else
    return NULL;
#endif
}

FL_INLINE void fl_sanitizer_free(void *fiber)
{
#if FL_TSAN
    if (fiber)
        __tsan_destroy_fiber(fiber);
#else
    (void)fiber;
#endif
}

/** The fiber of a kernel thread's own stack. */
FL_INLINE void *fl_sanitizer_thread(void)
{
#if FL_TSAN
    return __tsan_get_current_fiber();
#else
    return NULL;
#endif
}

/** Something goes by way of the kernel, where TSan does not look: whoever acquires `order` comes after those who released it before. */
FL_INLINE void fl_sanitizer_release(void *order)
{
#if FL_TSAN
    __tsan_release(order);
#endif
    (void)order;
}

FL_INLINE void fl_sanitizer_acquire(void *order)
{
#if FL_TSAN
    __tsan_acquire(order);
#endif
    (void)order;
}

#if FL_TSAN && defined(__clang__)
void __tsan_func_exit(void);
#elif FL_TSAN
void __tsan_func_exit(void *); /* gcc's built-in says so; nothing is passed that matters */
#endif

/** About to leave a stack for good with `frames` calls on it that never return: TSan's shadow of the call stack would grow with each use. */
FL_INLINE void fl_sanitizer_abandon(int frames)
{
#if FL_TSAN
    while (frames-- > 0)
#ifdef __clang__
        __tsan_func_exit();
#else
        __tsan_func_exit(NULL);
#endif
#endif
    (void)frames;
}

/** About to switch to the stack [low, high) with TSan fiber `fiber`. `save` keeps the fake stack of the one left; NULL: it is left for good. */
FL_INLINE void fl_sanitizer_before(void **save, uintptr_t low, uintptr_t high, void *fiber)
{
#if FL_ASAN
    __sanitizer_start_switch_fiber(save, (void *)low, high - low);
#endif
#if FL_TSAN
    __tsan_switch_to_fiber(fiber, 0);
#endif
    (void)save, (void)low, (void)high, (void)fiber;
}

/** The first thing on the new stack. `saved` is what before() stored when this stack was left, NULL on its first frame. */
FL_INLINE void fl_sanitizer_after(void *saved)
{
#if FL_ASAN
    __sanitizer_finish_switch_fiber(saved, NULL, NULL);
#endif
    (void)saved;
}

/** A stack is used from its first frame again: forget the poison that frames which never returned have left. */
FL_INLINE void fl_sanitizer_clean(uintptr_t low, uintptr_t high)
{
#if FL_ASAN
    __asan_unpoison_memory_region((void *)low, high - low);
#endif
    (void)low, (void)high;
}

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#define VALGRIND_STACK_REGISTER(low, high) ((void)(low), (void)(high), 0)
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#endif

#endif
