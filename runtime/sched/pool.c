/* SPDX-License-Identifier: MIT */
#include "sched/pool.h"

#include <stdlib.h>

struct fl_slab {
    struct fl_slab *next;
    FL_ALIGN_PAIR struct fl_task tasks[FL_POOL_SLAB];
};

void fl_pool_init(struct fl_pool *pool)
{
    *pool = (struct fl_pool){0};
}

void fl_pool_fini(struct fl_pool *pool)
{
    while (pool->slabs) {
        struct fl_slab *slab = pool->slabs;
        pool->slabs = slab->next;
        free(slab);
    }
}

bool fl_pool_has(struct fl_pool *pool, const void *address)
{
    bool has = false;
    fl_lock_take(&pool->lock);
    for (struct fl_slab *slab = pool->slabs; slab && !has; slab = slab->next)
        has = (uintptr_t)address - (uintptr_t)slab->tasks < sizeof slab->tasks;
    fl_lock_give(&pool->lock);
    return has;
}

struct fl_task *fl_pool_get_slow(struct fl_pool_cache *cache)
{
    struct fl_pool *pool = cache->pool;
    struct fl_task *batch = cache->full;
    cache->full = NULL;
    if (!batch) {
        fl_lock_take(&pool->lock);
        batch = pool->free;
        if (batch)
            pool->free = batch->arg;
        fl_lock_give(&pool->lock);
    }
    if (batch) {
        cache->free = batch->next;
        cache->count = FL_POOL_BATCH - 1;
        return batch;
    }
    struct fl_slab *slab = aligned_alloc(_Alignof(struct fl_slab), sizeof *slab);
    if (!slab)
        return NULL;
    for (int i = FL_POOL_SLAB - 1; i >= 0; i--) {
        struct fl_task *task = &slab->tasks[i];
        *task = (struct fl_task){.next = i + 1 < FL_POOL_SLAB ? task + 1 : NULL};
    }
    fl_lock_take(&pool->lock);
    slab->next = pool->slabs;
    pool->slabs = slab;
    fl_lock_give(&pool->lock);
    cache->free = slab->tasks[0].next;
    cache->count = FL_POOL_SLAB - 1;
    return &slab->tasks[0];
}

void fl_pool_put_slow(struct fl_pool_cache *cache)
{
    struct fl_task *newest = cache->free, *batch = cache->full;
    cache->full = newest->next;
    newest->next = NULL;
    cache->count = 1;
    if (!batch)
        return;
    fl_lock_take(&cache->pool->lock);
    batch->arg = cache->pool->free;
    cache->pool->free = batch;
    fl_lock_give(&cache->pool->lock);
}
