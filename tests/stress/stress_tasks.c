/* SPDX-License-Identifier: MIT */
/* stress_tasks [SEED [SECONDS]]: random trees of tasks, one after the other, each in a runtime of its own with 1 to 8 workers, under plain threads that submit, lock and set.
 *
 * A node of the tree does a few random things (computes, yields, sleeps, waits for an event that another task or a plain thread sets, adds under a mutex, leaves a scope early)
 * and has random children: in scopes, by name, with a larger stack, spawned into the scope of an ancestor, as in-frame forks, as parts of a loop.
 *
 * Laws: every node runs exactly once and has ended when what owns it ends; the count that each node returns for its subtree adds up; the sum under the mutex is
 * exact; nobody writes to a frame that it does not own any more (a canary in every node). Plain memory throughout, so that TSan and ASan check the hand-overs. */
#include <filch.h>

#include "base/atomic.h"
#include "base/attr.h"
#include "base/panic.h"
#include "machine/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 2, CHILDREN = 6, DEEP = 12 };

struct node {
    filch_scope *outer; /* a scope of an ancestor that stays open, or NULL */
    uint64_t state;
    int64_t count; /* nodes in this subtree, itself included; written when it ends */
    int depth;
    int runs;
};

/* Work that plain threads hand in and are handed. */
struct post {
    filch_event *event;
    struct post *next;
};

static _Atomic(int64_t) budget, ended, adopted, submitted, outstanding;
static filch_mutex mutex;
static int64_t guarded; /* by the mutex */
static _Atomic(int64_t) adds;
static pthread_mutex_t post_lock = PTHREAD_MUTEX_INITIALIZER;
static struct post *posts; /* by post_lock: events that plain threads set */
static _Atomic(bool) over;
static filch_runtime *runtime;

static uint64_t dice(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t child_seed(uint64_t *state)
{
    return dice(state) * 0x9e3779b97f4a7c15u | 1;
}

static int node_main(void *arg);

static bool afford(struct node *node)
{
    return node->depth < DEEP && sub_relaxed(&budget, 1) > 0; /* counter */
}

static int set_event(void *arg)
{
    filch_event_set(arg);
    return 0;
}

static void add_guarded(struct node *node)
{
    FILCH_GUARD(&mutex);
    int64_t seen = guarded;
    if (dice(&node->state) % 16 == 0)
        filch_yield();
    guarded = seen + 1;
    add_relaxed(&adds, 1); /* counter */
}

static void wait_for_a_task(void)
{
    filch_event event = {0};
    FILCH_SCOPE(scope);
    fl_panic_if(filch_spawn(&scope, set_event, &event) != 0, "spawn");
    fl_panic_if(filch_event_wait(&event) != 0, "event");
    fl_panic_if(filch_join(&scope) != 0, "join");
}

static void wait_for_a_thread(void)
{
    filch_event event = {0};
    struct post post = {.event = &event};
    pthread_mutex_lock(&post_lock);
    post.next = posts;
    posts = &post;
    pthread_mutex_unlock(&post_lock);
    fl_panic_if(filch_event_wait(&event) != 0, "event");
}

static int sleep_long(void *arg)
{
    int *ended_flag = arg;
    int r = filch_sleep(FILCH_SEC(1000));
    *ended_flag = 1;
    return r;
}

/* Leaves with a child asleep: it must be cancelled and have ended. */
static void leave_early(void)
{
    int flag = 0;
    {
        FILCH_SCOPE(scope);
        fl_panic_if(filch_spawn(&scope, sleep_long, &flag) != 0, "spawn");
        filch_yield();
    }
    fl_panic_if(flag != 1, "a scope ended before its child");
}

/* In functions of their own: compilers keep the address of errno across calls, and after a call that parks it may be that of another thread's. */
static FL_NOINLINE void set_errno(int err)
{
    int *place = &errno;
    __asm__ volatile("" : "+r"(place));
    *place = err;
}

static FL_NOINLINE int get_errno(void)
{
    int *place = &errno;
    __asm__ volatile("" : "+r"(place));
    return *place;
}

static void do_something(struct node *node)
{
    volatile int spin;
    int err = (int)(node->state % 100) + 1;
    set_errno(err);
    switch (dice(&node->state) % 16) {
    case 0:
    case 1:
        filch_yield();
        fl_panic_if(get_errno() != err, "errno was %d before a yield and is %d", err, get_errno());
        break;
    case 2:
        fl_panic_if(filch_sleep((int64_t)(dice(&node->state) % 200000)) != 0, "sleep");
        fl_panic_if(get_errno() != err, "errno was %d before a sleep and is %d", err, get_errno());
        break;
    case 3:
    case 4:
        add_guarded(node);
        break;
    case 5:
        wait_for_a_task();
        break;
    case 6:
        wait_for_a_thread();
        fl_panic_if(get_errno() != err, "errno was %d before a wait and is %d", err, get_errno());
        break;
    case 7:
        leave_early();
        break;
    default:
        for (spin = 0; spin < (int)(dice(&node->state) % 100); spin++)
            ;
    }
}

static int64_t in_scope(struct node *node)
{
    struct node children[CHILDREN];
    int n = 0, wanted = 1 + (int)(dice(&node->state) % CHILDREN);
    int64_t count = 0;
    {
        FILCH_SCOPE(scope);
        for (; n < wanted && afford(node); n++) {
            filch_scope *outer = node->outer && dice(&node->state) % 2 ? node->outer : &scope;
            children[n] = (struct node){.outer = outer, .state = child_seed(&node->state), .depth = node->depth + 1};
            filch_task_options options = {.name = "named", .stack_size = dice(&node->state) % 4 == 0 ? 128 * 1024 : 0};
            int r = dice(&node->state) % 8 == 0 ? filch_spawn_with(&scope, &options, node_main, &children[n])
                                                : filch_spawn(&scope, node_main, &children[n]);
            fl_panic_if(r != 0, "spawn: %d", r);
            if (dice(&node->state) % 8 == 0)
                do_something(node);
        }
        int r = filch_join(&scope);
        fl_panic_if(r != 0, "join: %d", r);
        for (int i = 0; i < n; i++) {
            fl_panic_if(children[i].runs != 1, "a child ran %d times", children[i].runs);
            count += children[i].count;
        }
    }
    return count;
}

static int adopted_main(void *arg)
{
    struct node *node = arg;
    node_main(node);
    add_relaxed(&adopted, node->count); /* counter */
    free(node);
    return 0;
}

/* A child that the ancestor's scope will wait for. */
static void give_away(struct node *node)
{
    if (!node->outer || !afford(node))
        return;
    struct node *child = malloc(sizeof *child);
    *child = (struct node){.outer = node->outer, .state = child_seed(&node->state), .depth = node->depth + 1};
    fl_panic_if(filch_spawn(node->outer, adopted_main, child) != 0, "spawn");
}

static int64_t in_frames(struct node *node)
{
    if (!afford(node))
        return 0;
    struct node left = {.outer = node->outer, .state = child_seed(&node->state), .depth = node->depth + 1};
    struct node right = {.outer = node->outer, .state = child_seed(&node->state), .depth = node->depth + 1};
    filch_frame frame;
    filch_fork(&frame, node_main, &right);
    if (afford(node))
        node_main(&left);
    if (dice(&node->state) % 4 == 0)
        do_something(node);
    int r = filch_meet(&frame);
    fl_panic_if(r != 0 || right.runs != 1, "meet: %d, ran %d times", r, right.runs);
    return left.count + right.count;
}

/* Frames below a scope that is left at once: nothing of the fork may refer to it any more. */
static int64_t frames_in_a_short_scope(struct node *node)
{
    FILCH_SCOPE(scope);
    return in_frames(node);
}

struct parts {
    _Atomic(int64_t) count;
    struct node *node;
};

static int part(void *arg, int64_t begin, int64_t end)
{
    struct parts *parts = arg;
    for (int64_t i = begin; i < end; i++) {
        struct node node = {.state = ((uint64_t)i + 1) * 0x9e3779b97f4a7c15u, .depth = parts->node->depth + 3};
        if (!afford(&node))
            continue;
        node_main(&node);
        add_relaxed(&parts->count, node.count); /* counter */
    }
    return 0;
}

static int64_t in_a_loop(struct node *node)
{
    struct parts parts = {.node = node};
    fl_panic_if(filch_for(0, 1 + (int64_t)(dice(&node->state) % 20), 1 + (int64_t)(dice(&node->state) % 3), part, &parts) != 0, "for");
    return load_relaxed(&parts.count); /* counter */
}

/* Fills some of the stack below the caller, as whatever it calls next will. */
static FL_NOINLINE void scribble(void)
{
    volatile char dirt[600];
    for (size_t i = 0; i < sizeof dirt; i++)
        dirt[i] = (char)0x5a;
}

static int node_main(void *arg)
{
    struct node *node = arg;
    volatile uint64_t canary[32];
    for (int i = 0; i < 32; i++)
        canary[i] = (uint64_t)(uintptr_t)node + (uint64_t)i;
    node->runs++;
    node->count = 1;
    do_something(node);
    scribble();
    for (int kind = (int)(dice(&node->state) % 6); kind < 6; kind += 3) {
        switch (kind) {
        case 0:
        case 1:
            node->count += in_scope(node);
            break;
        case 2:
            give_away(node);
            break;
        case 3:
            node->count += in_frames(node);
            break;
        case 4:
            node->count += frames_in_a_short_scope(node);
            break;
        default:
            node->count += in_a_loop(node);
        }
        do_something(node);
    }
    for (int i = 0; i < 32; i++)
        fl_panic_if(canary[i] != (uint64_t)(uintptr_t)node + (uint64_t)i, "somebody wrote to a frame that is not his");
    add_relaxed(&ended, 1); /* counter */
    return 0;
}

static int submitted_main(void *arg)
{
    struct node *node = arg;
    filch_yield();
    node_main(node);
    add_relaxed(&submitted, node->count); /* counter */
    free(node);
    sub_release(&outstanding, 1); /* counter */
    return 0;
}

static void *outside(void *arg)
{
    uint64_t state = (uint64_t)(uintptr_t)arg;
    bool closing;
    do {
        closing = load_acquire(&over); /* hint: a round more does no harm */
        pthread_mutex_lock(&post_lock);
        struct post *post = posts;
        posts = NULL;
        pthread_mutex_unlock(&post_lock);
        while (post) {
            struct post *next = post->next;
            filch_event_set(post->event); /* the post is gone from here on */
            post = next;
        }
        switch (dice(&state) % 4) {
        case 0: {
            FILCH_GUARD(&mutex);
            guarded++;
            add_relaxed(&adds, 1); /* counter */
            break;
        }
        case 1: {
            if (closing)
                break;
            struct node *node = malloc(sizeof *node);
            *node = (struct node){.state = child_seed(&state), .depth = DEEP - 4};
            add_relaxed(&outstanding, 1); /* counter */
            fl_panic_if(filch_submit(runtime, submitted_main, node) != 0, "submit");
            break;
        }
        default:
            nanosleep(&(struct timespec){.tv_nsec = (long)(dice(&state) % 200000)}, NULL);
        }
    } while (!closing || load_acquire(&outstanding) != 0); /* counter */
    return NULL;
}

static int64_t play(uint64_t *state, int64_t nodes)
{
    filch_config config = {.workers = 1 + (unsigned)(dice(state) % 8)};
    store_relaxed(&budget, nodes); /* counter */
    store_relaxed(&ended, 0);      /* counter */
    store_relaxed(&adopted, 0);    /* counter */
    store_relaxed(&submitted, 0);  /* counter */
    store_relaxed(&adds, 0);       /* counter */
    store_relaxed(&over, false);   /* init: no thread yet */
    guarded = 0;
    fl_panic_if(filch_start(&config, &runtime) != 0, "start");
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, outside, (void *)(uintptr_t)child_seed(state));
    struct node root = {.state = child_seed(state)};
    int r = filch_call(runtime, node_main, &root);
    fl_panic_if(r != 0, "call: %d", r);
    store_release(&over, true); /* hint: seen soon */
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    r = filch_stop(runtime, FILCH_NEVER);
    fl_panic_if(r != 0, "stop: %d", r);
    int64_t total = root.count + load_relaxed(&adopted) + load_relaxed(&submitted); /* counter */
    fl_panic_if(root.runs != 1 || total != load_relaxed(&ended), "counted %lld nodes, %lld ended", (long long)total,
                (long long)load_relaxed(&ended)); /* counter */
    fl_panic_if(guarded != load_relaxed(&adds), "%lld additions under the mutex, %lld are there", (long long)load_relaxed(&adds),
                (long long)guarded); /* counter */
    return total;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)fl_clock();
    double seconds = argc > 2 ? atof(argv[2]) : 5;
    printf("stress_tasks: seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    uint64_t state = seed * 2 + 1;
    int64_t trees = 0, nodes = 0;
    for (int64_t end = fl_clock() + (int64_t)(seconds * 1e9); fl_clock() < end; trees++)
        nodes += play(&state, (int64_t)(dice(&state) % (1u << dice(&state) % 15)));
    printf("stress_tasks: %lld trees, %lld nodes\n", (long long)trees, (long long)nodes);
    return 0;
}
