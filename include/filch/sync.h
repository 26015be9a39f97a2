/* SPDX-License-Identifier: MIT */
/* Waiting for each other. All-zero is valid, nothing allocates, every object works from tasks of several runtimes and plain threads. */
#ifndef FILCH_SYNC_H
#define FILCH_SYNC_H

#include <filch/version.h>

/** An event. All-zero is an unset one of the manual kind: once set it stays set, and everybody who waits goes on. FILCH_EVENT_AUTO is an unset one that
 * resets itself: each set lets one through, whoever has waited longest or comes next; a second set before that changes nothing. */
typedef struct filch_event {
    uint32_t word_;  /* atomic */
    uint32_t taken_; /* how often a set has taken the whole line */
    void *first_, *last_;
} filch_event;

#define FILCH_EVENT_AUTO_ 8u
#define FILCH_EVENT_AUTO           \
    {                              \
        FILCH_EVENT_AUTO_, 0, 0, 0 \
    }

/** Sets `event` and lets go on who waits for it: all, or, of the kind that resets itself, one. What happened before is visible to them. Who was let
 * through may free the event if it knows that no other set is under way.
 * Context: task or any thread, never parks. */
FILCH_API void filch_event_set(filch_event *event);

/** Makes `event` unset again. Context: task or any thread, never parks. */
FILCH_API void filch_event_reset(filch_event *event);

/** Whether `event` is set. Context: task or any thread, never parks. */
FILCH_API bool filch_event_is_set(const filch_event *event);

/** Waits until `event` is set, and resets it if it is of that kind.
 * @return 0; -ECANCELED or -ETIMEDOUT when a scope around the call was cancelled; -ENOMEM no stack to go on with. Context: task or any thread, parks. */
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

/** A counting semaphore. All-zero has no unit; FILCH_SEM(n) has n. */
typedef struct filch_sem {
    int64_t word_; /* atomic */
    uint32_t lock_, pad_;
    void *first_, *last_;
} filch_sem;

#define FILCH_SEM(units)                 \
    {                                    \
        2 * (int64_t)(units), 0, 0, 0, 0 \
    }

/** Takes a unit, waiting for one if need be; whoever has waited longest gets the next.
 * @return 0; -ECANCELED or -ETIMEDOUT when a scope around the call was cancelled: no unit was taken; -ENOMEM no stack to go on with, the same.
 * Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_sem_acquire(filch_sem *sem);

/** Takes a unit if there is one. @return whether it did. Context: task or any thread, never parks. */
FILCH_API bool filch_sem_try(filch_sem *sem);

/** Gives a unit; at most 2^62 - 1 may be there. Whoever takes it may free the semaphore, if nobody else uses it. Context: task or any thread, never parks. */
FILCH_API void filch_sem_release(filch_sem *sem);

/** A condition variable. All-zero is valid. */
typedef struct filch_cond {
    uint32_t lock_, pad_;
    void *first_, *last_;
} filch_cond;

/** Gives `mutex` back, waits for a signal, and locks `mutex` again. There are no spurious wake-ups, but others may have held the mutex since the signal:
 * wait in a loop that looks at the condition.
 * @param mutex held by the caller, and again when this returns, whatever it returns
 * @return 0; -ECANCELED or -ETIMEDOUT when a scope around the call was cancelled; -ENOMEM no stack to go on with. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_cond_wait(filch_cond *cond, filch_mutex *mutex);

/** Wakes whoever has waited longest, if anybody waits. Context: task or any thread, never parks. */
FILCH_API void filch_cond_signal(filch_cond *cond);

/** Wakes all that wait. Context: task or any thread, never parks. */
FILCH_API void filch_cond_broadcast(filch_cond *cond);

/** A lock that many may hold to read, or one to write. First come first served, but for who comes while those whose turn it is are being woken: it may pass them, until
 * they are there, and once. Neither side starves. All-zero is unlocked. */
typedef struct filch_rwlock {
    uint32_t lock_;
    int32_t readers_;
    uint32_t waking_, passed_;
    const void *writer_;
    void *first_, *last_;
    uint32_t coming_, outsiders_;
    int64_t since_;
} filch_rwlock;

/** Locks for reading; waits behind writers that wait. Not to be taken twice by the same task: a writer in between would wait for ever.
 * Cannot fail and cannot be cancelled. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS void filch_rwlock_read(filch_rwlock *rwlock);

/** Locks for writing. Cannot fail and cannot be cancelled; locking what one writes panics. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS void filch_rwlock_write(filch_rwlock *rwlock);

/** Locks for reading if that needs no waiting. @return whether the caller has it now. Context: task or any thread, never parks. */
FILCH_API bool filch_rwlock_try_read(filch_rwlock *rwlock);

/** Locks for writing if that needs no waiting. @return whether the caller has it now. Context: task or any thread, never parks. */
FILCH_API bool filch_rwlock_try_write(filch_rwlock *rwlock);

/** Gives the lock back, whichever way it was taken; panics if nobody has it, or another writes. Context: the holder, never parks. */
FILCH_API void filch_rwlock_unlock(filch_rwlock *rwlock);

/** Something to be done once. All-zero: not done. */
typedef struct filch_once {
    uint32_t state_; /* atomic */
    int result_;
    filch_event done_;
} filch_once;

/** Calls `fn(arg)` if nobody has, and waits until it has returned, whoever calls it. Not from within `fn`.
 * @return what `fn` returned. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_once_call(filch_once *once, filch_fn *fn, void *arg);

/** A latch: waits until a count comes to zero, as a WaitGroup does elsewhere. For work that is not the children of one scope. All-zero is open; FILCH_LATCH(n) has n to
 * wait for. */
typedef struct filch_latch {
    int64_t count_;
    uint32_t lock_, pad_;
    void *first_, *last_;
} filch_latch;

#define FILCH_LATCH(n)  \
    {                   \
        (n), 0, 0, 0, 0 \
    }

/** Adds `n`, which may be negative, to the count; at zero all who wait go on, and what happened before is visible to them. Panics below zero. Who was let
 * through may free the latch if nobody else is to use it. Context: task or any thread, never parks. */
FILCH_API void filch_latch_add(filch_latch *latch, int64_t n);

/** Waits until the count is zero.
 * @return 0; -ECANCELED or -ETIMEDOUT when a scope around the call was cancelled; -ENOMEM no stack to go on with. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_latch_wait(filch_latch *latch);

/** A barrier: a place where tasks wait for each other, over and over. All-zero is valid. */
typedef struct filch_barrier {
    uint32_t lock_, here_;
    void *first_, *last_;
} filch_barrier;

/** Waits until `parties` have come, all with the same number.
 * @return 1 for the one who came last, 0 for the others; -ECANCELED or -ETIMEDOUT when a scope around the call was cancelled, -ENOMEM no stack to go on with: the
 * caller does not count as here then, unless the others are on their way already. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_barrier_wait(filch_barrier *barrier, unsigned parties);

#define FILCH_CONCAT2_(a, b) a##b
#define FILCH_CONCAT_(a, b) FILCH_CONCAT2_(a, b)

/** Holds `mutex` from here to the end of the enclosing block, whatever way it is left. A declaration. Context: as filch_mutex_lock. */
#define FILCH_GUARD(mutex) \
    __attribute__((cleanup(filch_guard_leave_), unused)) filch_mutex *FILCH_CONCAT_(filch_guard_, __LINE__) = filch_guard_enter_(mutex)

/** At file scope: a mutex type `name` that carries its data, a value of `type`, which is reached only while the mutex is held. All-zero is unlocked, with an all-zero
 * value; FILCH_MUTEX_OF_INIT(...) gives another.
 *
 *     FILCH_MUTEX_OF(accounts, struct accounts_data);
 *     static accounts bank;
 *     {
 *         FILCH_LOCKED(accounts, a, &bank);    // a is a struct accounts_data *, until the block is left
 *         a->count++;
 *     }
 *
 * Besides: name_lock returns the pointer, name_try the pointer or NULL, name_unlock takes it, name_wait waits for a condition with it, as filch_cond_wait.
 *
 * There is no poison. No task is ever torn out of its block: a cancelled scope makes calls return, and the block is left as by any other return; a panic
 * ends the process. So a value is left half-changed only where its own code returns in the middle of a change. */
#define FILCH_MUTEX_OF(name, type)                                                                                  \
    typedef type name##_value_;                                                                                     \
    typedef struct name {                                                                                           \
        filch_mutex mutex_;                                                                                         \
        name##_value_ value_;                                                                                       \
    } name;                                                                                                         \
    static inline __attribute__((unused)) name *name##_of_(const name##_value_ *held_)                              \
    {                                                                                                               \
        return (name *)((char *)(uintptr_t)held_ - offsetof(name, value_));                                         \
    }                                                                                                               \
    static inline __attribute__((unused)) FILCH_PARKS name##_value_ *name##_lock(name *locked_)                     \
    {                                                                                                               \
        filch_mutex_lock(&locked_->mutex_);                                                                         \
        return &locked_->value_;                                                                                    \
    }                                                                                                               \
    static inline __attribute__((unused)) name##_value_ *name##_try(name *locked_)                                  \
    {                                                                                                               \
        return filch_mutex_trylock(&locked_->mutex_) ? &locked_->value_ : NULL;                                     \
    }                                                                                                               \
    static inline __attribute__((unused)) void name##_unlock(const name##_value_ *held_)                            \
    {                                                                                                               \
        filch_mutex_unlock(&name##_of_(held_)->mutex_);                                                             \
    }                                                                                                               \
    static inline __attribute__((unused)) FILCH_PARKS int name##_wait(const name##_value_ *held_, filch_cond *cond) \
    {                                                                                                               \
        return filch_cond_wait(cond, &name##_of_(held_)->mutex_);                                                   \
    }                                                                                                               \
    static inline __attribute__((unused)) void name##_leave_(name##_value_ *const *held_)                           \
    {                                                                                                               \
        if (*held_)                                                                                                 \
            name##_unlock(*held_);                                                                                  \
    }                                                                                                               \
    struct name /* so that a semicolon follows */

#define FILCH_MUTEX_OF_INIT(...)     \
    {                                \
        {0, 0, 0, 0, 0}, __VA_ARGS__ \
    }

/** Declares `variable`, a pointer to what `mutex`, a FILCH_MUTEX_OF type `name`, carries, and holds the mutex to the end of the enclosing block, whatever way it is
 * left. Context: as filch_mutex_lock. */
#define FILCH_LOCKED(name, variable, mutex) \
    __attribute__((cleanup(name##_leave_), unused)) name##_value_ *const variable = name##_lock(mutex)

/** The same if it is free; else `variable` is NULL. Context: as filch_mutex_trylock. */
#define FILCH_TRY_LOCKED(name, variable, mutex) \
    __attribute__((cleanup(name##_leave_), unused)) name##_value_ *const variable = name##_try(mutex)

#endif
