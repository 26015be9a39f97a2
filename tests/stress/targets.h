/* SPDX-License-Identifier: MIT */
/* What the programs that cancel at random share: dice, scopes that may be shot at from outside, and a look at what lies in the place of a dead frame. */
#ifndef TARGETS_H
#define TARGETS_H

#include <filch.h>

#include "base/attr.h"
#include "base/panic.h"

#include <pthread.h>

enum { TARGETS = 64 };

static inline uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static inline uint64_t child_seed(uint64_t *state)
{
    return dice(state) * 0x9e3779b97f4a7c15u | 1;
}

/* A scope stands here from before its block waits until nobody uses it any more. */
static struct target {
    pthread_mutex_t lock;
    filch_scope *scope;
} targets[TARGETS];

static inline void targets_init(void)
{
    for (int i = 0; i < TARGETS; i++)
        pthread_mutex_init(&targets[i].lock, NULL);
}

/* Only short sections that do not park are under it. */
static inline struct target *aim(filch_scope *scope, uint64_t *state)
{
    for (unsigned i = (unsigned)(dice(state) % TARGETS), n = 0; n < TARGETS; n++) {
        struct target *target = &targets[(i + n) % TARGETS];
        pthread_mutex_lock(&target->lock);
        bool mine = !target->scope;
        if (mine)
            target->scope = scope;
        pthread_mutex_unlock(&target->lock);
        if (mine)
            return target;
    }
    return NULL;
}

static inline void unaim(struct target *target)
{
    if (!target)
        return;
    pthread_mutex_lock(&target->lock);
    target->scope = NULL;
    pthread_mutex_unlock(&target->lock);
}

static inline void shoot(uint64_t *state)
{
    struct target *target = &targets[dice(state) % TARGETS];
    pthread_mutex_lock(&target->lock);
    if (target->scope)
        filch_cancel(target->scope);
    pthread_mutex_unlock(&target->lock);
}

/* What a dead buffer's stack is used for next: a late write of the kernel's would show. */
static FL_NOINLINE void reuse_stack(unsigned yields)
{
    volatile unsigned char canary[9000];
    for (size_t i = 0; i < sizeof canary; i++)
        canary[i] = 0xc5;
    while (yields-- > 0)
        filch_yield();
    for (size_t i = 0; i < sizeof canary; i++)
        fl_panic_if(canary[i] != 0xc5, "a dead buffer was written to");
}

#endif
