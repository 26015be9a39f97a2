/* SPDX-License-Identifier: MIT */
/* Runtimes: any number side by side, each a pool of workers with its own tasks. There is no global one. */
#ifndef FILCH_RUNTIME_H
#define FILCH_RUNTIME_H

#include <filch/version.h>

typedef struct filch_runtime filch_runtime;

/** The three threading models: the same program under each, so that anyone can measure the difference. */
typedef enum filch_model {
    FILCH_MODEL_MN = 0, /**< many tasks on some workers that steal: the model filch is for */
    FILCH_MODEL_N1 = 1, /**< many tasks on one worker */
    FILCH_MODEL_11 = 2, /**< every task a kernel thread of its own */
} filch_model;

/** Whether workers are pinned to CPUs. Pinning is best effort and never makes a start fail. */
typedef enum filch_pinning {
    FILCH_PIN_AUTO = 0,  /**< pinned, unless a CPU quota is in force or there are more workers than CPUs */
    FILCH_PIN_NONE = 1,  /**< never */
    FILCH_PIN_CORES = 2, /**< always, round the allowed CPUs when there are more workers than those */
} filch_pinning;

/** What carries out blocking calls. FILCH_IO=uring or FILCH_IO=epoll in the environment goes before what the program says, unless it runs with more rights
 * than its user (secure_getenv(3)). */
typedef enum filch_io {
    FILCH_IO_AUTO = 0,  /**< io_uring if the kernel lets us, else epoll */
    FILCH_IO_URING = 1, /**< io_uring, or the start fails */
    FILCH_IO_EPOLL = 2, /**< epoll, and kernel threads for what it cannot wait for */
} filch_io;

/** Told of a deadlock: every task of `runtime` is parked, and no timer, no operation and no thread that it knows of could wake one. Called on a worker's thread, outside
 * any task, once each time that it comes to that; it must not wait, but may cancel scopes or set events.
 * @param report text, some lines, that says who waits for what and who holds it; gone when this returns */
typedef void filch_deadlock_fn(filch_runtime *runtime, const char *report);

/** A task that keeps its kernel thread: it computes, or blocks in a call that filch knows nothing of. Everything in it is gone when filch_stall_fn returns. */
typedef struct filch_stall {
    unsigned worker;  /**< whose thread it keeps; reliefs have indices from filch_workers() on */
    int tid;          /**< the kernel thread's id */
    const char *task; /**< the task's name, or NULL */
    const char *
        function; /**< what the task was begun with, "parse (reader.c:17)" as far as is known, or NULL. The one that stalls may be called from there, or be a child that runs in place */
    int64_t ns;   /**< so long already */
    bool off_cpu; /**< it sleeps in the kernel; else it computes, or waits for a CPU */
    const char *where; /**< in words: the system call and what for, a page fault, who holds the mutex */
    const char *
        parent; /**< who spawned it, and, if that is parked, where: "accept_all (server.c:40), parked: join at serve (server.c:88)"; NULL: not known */
    const char *backtrace; /**< lines, innermost call first, those that are guessed marked by "?"; "": not to be had */
    unsigned reliefs;      /**< threads that stand in for stalled ones now */
    unsigned relief_max;   /**< of so many at most; when all are out, what has not begun waits until one is back */
    uint64_t unreported;   /**< stalls since the last report that were not reported */
    const char *text;      /**< all of this as lines of text */
} filch_stall;

/** Told of a stall, once for each that lasts, while it lasts; at most ten a second. Called on a kernel thread of the pool of helpers; the next report waits until it returns. */
typedef void filch_stall_fn(filch_runtime *runtime, const filch_stall *stall);

#define FILCH_RELIEF_NONE ((unsigned)-1)

/** How a runtime is made. Zero means "choose for me" in every field. */
typedef struct filch_config {
    unsigned workers;  /**< how many; 0: one per allowed core, at most the CPU quota; 1 to 1024 */
    filch_model model; /**< which threading model */
    filch_pinning pin; /**< pinning of workers */
    size_t stack_size; /**< bytes of a task's stack; 0: 65,536; a power of two, 16 KiB to 64 MiB */
    const char *name;  /**< for kernel thread names and dumps; copied; NULL: "filch" */
    /** Who is told of a deadlock: filch_deadlock_print, filch_deadlock_panic, or one of the host's own; NULL: nobody. With it the host says that its other
     * threads, and tasks of its other runtimes, wake no tasks of this one but while they hold it (filch_hold). Not with FILCH_MODEL_11, whose tasks are
     * kernel threads. */
    filch_deadlock_fn *on_deadlock;
    filch_io io; /**< what carries out blocking calls */
    unsigned
        helpers; /**< kernel threads at most for calls that the kernel has no other way to wait for; started when needed; 0: 64; up to 1024.
                     Three quarters of them may be at calls that last (filch_blocking, filch_getaddrinfo, a close that lingers), the others are
                     for files; a single one is for both */
    unsigned
        relief; /**< kernel threads at most, beside the workers, that go on in place of stalled ones; started when needed; 0: 64; up to 1024;
                     FILCH_RELIEF_NONE: none. Only FILCH_MODEL_MN has any */
    filch_stall_fn
        *on_stall;       /**< who is told of stalls: filch_stall_print, or one of the host's own; NULL: nobody. Not with FILCH_MODEL_11 */
    int64_t stall_after; /**< ns that a stall lasts before it is reported; 0: 10 ms */
} filch_config;

/** Runs `fn(arg)` as the first task of a new runtime, waits until it and all it spawned have ended, and stops the runtime.
 * @param config how to make the runtime, or NULL
 * @return what `fn` returned; or before it ran: -EINVAL bad config, -ENOMEM, -EMFILE/-ENFILE no descriptors for the rings,
 *   -EAGAIN no kernel threads, -EPERM/-ENOSYS io_uring was asked for, but is forbidden or missing here, -EDEADLK called from a task
 * Context: any thread that is not a task; blocks it. */
FILCH_API int filch_run(const filch_config *config, filch_fn *fn, void *arg);

/** Makes a runtime and starts its workers.
 * @param config how to make it, or NULL
 * @param ret_runtime where the runtime goes; the caller ends it with filch_stop; untouched on failure
 * @return 0 or a code of filch_run. Context: any thread, never parks. */
FILCH_API int filch_start(const filch_config *config, filch_runtime **ret_runtime);

/** Hands `fn(arg)` to a runtime as a task of its own: nobody joins it, its result is dropped, filch_stop waits for it.
 * @return 0; -ENOMEM; -ESHUTDOWN when filch_stop has begun. Context: task or any thread, never parks. */
FILCH_API int filch_submit(filch_runtime *runtime, filch_fn *fn, void *arg);

/** Runs `fn(arg)` as a task of `runtime` and waits for its result.
 * @return what `fn` returned; -ENOMEM; -ESHUTDOWN. Context: task or any thread, parks (blocks a plain thread). */
FILCH_API FILCH_PARKS int filch_call(filch_runtime *runtime, filch_fn *fn, void *arg);

/** Ends a runtime: takes no new work, waits for the submitted tasks until `deadline`, then cancels what is left and waits for
 * that a second more. Look-ups that a cancelled filch_getaddrinfo has left behind cannot be stopped: it waits for those as well, past any
 * deadline, which may be half a minute if no name server answers (resolv.conf(5): timeout, attempts). On 0 the runtime is gone with its
 * threads and memory. NULL is allowed.
 * @param deadline absolute, nanoseconds of CLOCK_MONOTONIC; 0: cancel at once; FILCH_NEVER: only wait
 * @return 0; -ETIMEDOUT when tasks still run (they are named on stderr; the runtime lives on, call again);
 *   -EDEADLK called from one of its own tasks, from its on_stall, or in a function that filch_blocking runs. Context: any thread, blocks it. */
FILCH_API int filch_stop(filch_runtime *runtime, int64_t deadline);

/** Writes the report to stderr. Context: config.on_deadlock. */
FILCH_API void filch_deadlock_print(filch_runtime *runtime, const char *report);

/** Writes the report to stderr. Context: config.on_stall. */
FILCH_API void filch_stall_print(filch_runtime *runtime, const filch_stall *stall);

/** Writes the report to stderr and aborts. Context: config.on_deadlock. */
FILCH_API void filch_deadlock_panic(filch_runtime *runtime, const char *report);

/** Says that a thread from outside may yet wake tasks of `runtime`, or give it new ones: until filch_let_go, as often as this was called, there is no deadlock.
 * Context: any thread, never parks. */
FILCH_API void filch_hold(filch_runtime *runtime);

/** Takes one filch_hold back; filch_stop and filch_run wait for that. Context: any thread, never parks. */
FILCH_API void filch_let_go(filch_runtime *runtime);

/** The runtime of the calling task, or NULL on a plain thread. Context: any thread, never parks. */
FILCH_API filch_runtime *filch_current(void);

/** How many workers a runtime has. Context: any thread, never parks. */
FILCH_API unsigned filch_workers(const filch_runtime *runtime);

/** Where one worker runs. */
typedef struct filch_worker_info {
    unsigned index; /**< 0 to filch_workers() - 1 */
    int cpu;        /**< the OS index of the CPU it is pinned to, or -1 */
    int core;       /**< logical index of the core, or -1 */
    int node;       /**< logical index of the NUMA node, or -1 */
    int tid;        /**< the kernel thread's id */
} filch_worker_info;

/** Tells where worker `index` runs.
 * @return 0; -EINVAL no such worker. Context: any thread, never parks. */
FILCH_API int filch_worker_where(const filch_runtime *runtime, unsigned index, filch_worker_info *ret_info);

#endif
