/* SPDX-License-Identifier: MIT */
/* Where task descriptors come from: slabs that live as long as the runtime, a LIFO free list a worker, a shared pool behind them.
 *
 * A worker that only steals ends more tasks than it spawns; above a bound it gives a batch to the pool, from which the
 * spawner refills. A list is LIFO because the descriptor that was freed last is the one still in the cache.
 *
 * Invariants: a descriptor's memory is never given back before the runtime ends; a worker's list is touched by its owner only; a descriptor on a
 * list has nothing set but its runtime. */
#ifndef FL_SCHED_POOL_H
#define FL_SCHED_POOL_H

#include "base/lock.h"
#include "sched/task.h"

#define FL_POOL_BATCH 256 /* descriptors moved between a worker and the pool at a time */
#define FL_POOL_SLAB 64   /* descriptors allocated at a time */

struct fl_slab;

/** The runtime's part. */
struct fl_pool {
    struct fl_lock lock;
    struct fl_task *free; /**< batches: the first of each links to the next batch by `arg` */
    struct fl_slab *slabs;
};

/** A worker's part. */
struct fl_pool_cache {
    struct fl_task *free; /**< LIFO, up to FL_POOL_BATCH */
    struct fl_task *full; /**< a second list of exactly so many, put before those, or NULL: whole lists move, and nobody walks one */
    int64_t count;        /**< in `free` */
    struct fl_pool *pool;
};

void fl_pool_init(struct fl_pool *pool);
void fl_pool_fini(struct fl_pool *pool);

/** Whether there has ever been a descriptor at this address. Slow. */
bool fl_pool_has(struct fl_pool *pool, const void *address);

struct fl_task *fl_pool_get_slow(struct fl_pool_cache *cache);
void fl_pool_put_slow(struct fl_pool_cache *cache);

/** A descriptor, or NULL: no memory. The caller begins it (fl_task_begin). */
FL_INLINE struct fl_task *fl_pool_get(struct fl_pool_cache *cache)
{
    struct fl_task *task = cache->free;
    if (unlikely(!task))
        return fl_pool_get_slow(cache);
    cache->free = task->next;
    cache->count--;
    __builtin_prefetch(cache->free, 1);
    __builtin_prefetch((char *)cache->free + FL_LINE, 1);
    return task;
}

/** Gives an ended task's descriptor back. */
FL_INLINE void fl_pool_put(struct fl_pool_cache *cache, struct fl_task *task)
{
    task->next = cache->free;
    cache->free = task;
    if (unlikely(++cache->count > FL_POOL_BATCH))
        fl_pool_put_slow(cache);
}

#endif
