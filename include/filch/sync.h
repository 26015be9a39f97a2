/* SPDX-License-Identifier: MIT */
/* Waiting for each other. All-zero is valid, nothing allocates, every object works from tasks of several runtimes and plain threads. */
#ifndef FILCH_SYNC_H
#define FILCH_SYNC_H

#include <filch/version.h>

/** An event: once set it stays set, and everybody who waits goes on. All-zero is an unset event. */
typedef struct filch_event {
    uint32_t word_;  /* atomic */
    uint32_t taken_; /* how often a set has taken the list */
    void *head_, *tail_;
} filch_event;

/** Sets `event` and wakes all that wait for it. What happened before is visible to them. When this returns, and after a wait returned, the
 * event may be freed by the waiter only if it knows that no other set is under way.
 * Context: task or any thread, never parks. */
FILCH_API void filch_event_set(filch_event *event);

/** Makes `event` unset again. Context: task or any thread, never parks. */
FILCH_API void filch_event_reset(filch_event *event);

/** Whether `event` is set. Context: task or any thread, never parks. */
FILCH_API bool filch_event_is_set(const filch_event *event);

/** Waits until `event` is set.
 * @return 0; -ECANCELED or -ETIMEDOUT when a scope around the call was cancelled. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_event_wait(filch_event *event);

/** A mutual exclusion lock. All-zero is an unlocked mutex. */
typedef struct filch_mutex {
    uint32_t word_; /* atomic */
    uint32_t pad_;
    const void *owner_;
    void *head_, *tail_;
} filch_mutex;

/** Locks `mutex`. Cannot fail and cannot be cancelled; locking what one holds panics.
 * Context: task or any thread, parks. */
FILCH_API FILCH_PARKS void filch_mutex_lock(filch_mutex *mutex);

/** Locks `mutex` if it is free. @return whether it is the caller's now. Context: task or any thread, never parks. */
FILCH_API bool filch_mutex_trylock(filch_mutex *mutex);

/** Unlocks `mutex`; panics if the caller does not hold it. Context: the holder, never parks. */
FILCH_API void filch_mutex_unlock(filch_mutex *mutex);

static inline void filch_guard_leave_(filch_mutex **mutex)
{
    filch_mutex_unlock(*mutex);
}

static inline FILCH_PARKS filch_mutex *filch_guard_enter_(filch_mutex *mutex)
{
    filch_mutex_lock(mutex);
    return mutex;
}

#define FILCH_CONCAT2_(a, b) a##b
#define FILCH_CONCAT_(a, b) FILCH_CONCAT2_(a, b)

/** Holds `mutex` from here to the end of the enclosing block, whatever way it is left. A declaration. Context: as filch_mutex_lock. */
#define FILCH_GUARD(mutex) \
    __attribute__((cleanup(filch_guard_leave_), unused)) filch_mutex *FILCH_CONCAT_(filch_guard_, __LINE__) = filch_guard_enter_(mutex)

#endif
