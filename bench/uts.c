/* SPDX-License-Identifier: MIT */
/* uts: how well is a tree balanced that nobody can foresee?
 *
 * Counts the nodes and leaves of a tree of the UTS benchmark (uts_tree.h has its definition and source) and finds its depth; a task a
 * node. A node costs about one SHA-1 block, a hundred nanoseconds, so what spawn and join add is seen at once; and below two nodes of
 * the same depth there may be nothing, or half of the tree, so nothing but stealing balances it. --tree names one of the published
 * trees; any of their parameters can be replaced, and giving parameters without --tree starts from the published program's defaults
 * (geometric, linear, b0 4, depth 6, q 15/64, m 4, seed 0, shift 0.5).
 *
 * Deep trees: T3L is 17,844 deep. B1, B2 and B3, in which a node has two children or none, are 3,472, 16,604 and 53,013 deep, with
 * five, 52 and 515 million nodes: samples of the UTS in Chapel of Helbecque and others (P3D-DFS), whose counts leave the root out.
 * Ours are `deep`, a single one of such trees, 12,251 deep with 13,715,006 nodes, and `chains`, 500 chains below the root, of
 * 4,766,122 nodes in all, the longest of 101,071: there nothing is to be had but depth. The counts of these two are those of a program
 * that walks a tree with a stack of its own.
 *
 * How it is written: a node makes its children in an array in its frame, spawns all, joins, and adds up; a child's place holds the
 * node first and its counts afterwards, 24 bytes. Recursion goes only through tasks, never through a direct call: so all these depths
 * are reached on stacks of 64 KiB, because a join goes on on a fresh stack when its own is short. That is why frames are kept small:
 * leaves have no array, nodes with up to eight children one in the frame, others one from malloc.
 *
 * Forms: `scope`; `frame`; `serial`, the recursion of the published program, which makes a child and visits it at once, on a thread
 * with a stack of a gigabyte. The other two make all children of a node first, and the CPU overlaps their SHA-1; so with one worker
 * they can be faster than `serial`. The counts are known for the published trees and checked to the last node. The runtime is started
 * once for all runs. */
#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "uts_tree.h"
#include "util.h"

#define FEW 8     /* children whose array is in the frame */
#define DEFAULT 8 /* of uts_samples */

static struct uts_tree tree = {UTS_GEOMETRIC, UTS_FIXED, 4, 15.0 / 64, 0.5, 10, 4, 19}; /* T1 */
static unsigned which;                                                                  /* of uts_samples */

/* A node on its way down, and what was found below it, itself included, on the way up. */
union visit {
    struct uts_node node;
    struct uts_count below;
};

/* ---- scope ---- */

static int visit_scope(void *arg);

static inline __attribute__((always_inline)) int children_scope(const struct uts_node *node, int children, union visit *child,
                                                                struct uts_count *sum)
{
    FILCH_SCOPE(s);
    for (int i = 0; i < children; i++) {
        uts_child(node, i, &child[i].node);
        int r = filch_spawn(&s, visit_scope, &child[i]);
        if (r < 0)
            return r;
    }
    int r = filch_join(&s);
    for (int i = 0; i < children; i++)
        uts_count_add(sum, &child[i].below);
    return r;
}

static __attribute__((noinline)) int few_scope(const struct uts_node *node, int children, struct uts_count *sum)
{
    union visit child[FEW];
    return children_scope(node, children, child, sum);
}

static __attribute__((noinline)) int many_scope(const struct uts_node *node, int children, struct uts_count *sum)
{
    union visit *child = malloc((size_t)children * sizeof *child);
    int r = child ? children_scope(node, children, child, sum) : -ENOMEM;
    free(child);
    return r;
}

static int visit_scope(void *arg)
{
    union visit *visit = arg;
    int children = uts_children(&tree, &visit->node), r = 0;
    struct uts_count sum = uts_count_of(&visit->node, children);
    if (children > 0)
        r = (children <= FEW ? few_scope : many_scope)(&visit->node, children, &sum);
    visit->below = sum;
    return r;
}

/* ---- frame ---- */

static int visit_frame(void *arg);

static inline __attribute__((always_inline)) int children_frame(const struct uts_node *node, int children, union visit *child,
                                                                filch_frame *frame, struct uts_count *sum)
{
    int r = 0;
    for (int i = 0; i < children; i++) {
        uts_child(node, i, &child[i].node);
        filch_fork(&frame[i], visit_frame, &child[i]);
    }
    for (int i = children - 1; i >= 0; i--) {
        r |= filch_meet(&frame[i]);
        uts_count_add(sum, &child[i].below);
    }
    return r;
}

static __attribute__((noinline)) int few_frame(const struct uts_node *node, int children, struct uts_count *sum)
{
    union visit child[FEW];
    filch_frame frame[FEW];
    return children_frame(node, children, child, frame, sum);
}

static __attribute__((noinline)) int many_frame(const struct uts_node *node, int children, struct uts_count *sum)
{
    union visit *child = malloc((size_t)children * sizeof *child);
    filch_frame *frame = malloc((size_t)children * sizeof *frame);
    int r = child && frame ? children_frame(node, children, child, frame, sum) : -ENOMEM;
    free(child);
    free(frame);
    return r;
}

static int visit_frame(void *arg)
{
    union visit *visit = arg;
    int children = uts_children(&tree, &visit->node), r = 0;
    struct uts_count sum = uts_count_of(&visit->node, children);
    if (children > 0)
        r = (children <= FEW ? few_frame : many_frame)(&visit->node, children, &sum);
    visit->below = sum;
    return r;
}

/* ---- serial ---- */

static void visit_serial(const struct uts_node *node, struct uts_count *sum)
{
    int children = uts_children(&tree, node);
    struct uts_count self = uts_count_of(node, children);
    uts_count_add(sum, &self);
    for (int i = 0; i < children; i++) {
        struct uts_node child;
        uts_child(node, i, &child);
        visit_serial(&child, sum);
    }
}

/* ---- one run ---- */

static bool published; /* the tree is one whose counts are known */

static void report(struct bench_run *run, int64_t start, struct uts_count got)
{
    bench_result(run, (double)(filch_now() - start) / 1e6);
    struct uts_count expected = published ? uts_samples[which].count : got;
    bench_check(run, "nodes", got.nodes, expected.nodes);
    bench_check(run, "depth", got.depth, expected.depth);
    bench_check(run, "leaves", got.leaves, expected.leaves);
}

static int scope(struct bench_run *run)
{
    int64_t start = filch_now();
    union visit root;
    uts_root(&tree, &root.node);
    int r = visit_scope(&root);
    report(run, start, root.below);
    return r;
}

static int frame(struct bench_run *run)
{
    int64_t start = filch_now();
    union visit root;
    uts_root(&tree, &root.node);
    int r = visit_frame(&root);
    report(run, start, root.below);
    return r < 0 ? -ENOMEM : 0;
}

static void *visit_all(void *arg)
{
    struct bench_run *run = arg;
    int64_t start = filch_now();
    struct uts_node root;
    uts_root(&tree, &root);
    struct uts_count sum = {0};
    visit_serial(&root, &sum);
    report(run, start, sum);
    return NULL;
}

static int serial(struct bench_run *run)
{
    pthread_attr_t deep;
    pthread_t thread;
    int error = pthread_attr_init(&deep);
    if (error)
        return -error;
    pthread_attr_setstacksize(&deep, (size_t)1 << 30);
    error = pthread_create(&thread, &deep, visit_all, run);
    pthread_attr_destroy(&deep);
    if (error == 0)
        pthread_join(thread, NULL);
    return -error;
}

static int prepare(void)
{
    static const char *const keys[] = {"type", "shape", "b0", "q", "shift", "depth", "m", "seed"};
    bool own = false;
    for (unsigned i = 0; i < BENCH_COUNT(keys); i++)
        own |= bench_given(keys[i]);
    if (own && !bench_given("tree"))
        which = DEFAULT;
    const struct uts_tree *base = &uts_samples[which].tree;
    tree.type = bench_given("type") ? tree.type : base->type;
    tree.shape = bench_given("shape") ? tree.shape : base->shape;
    tree.b0 = bench_given("b0") ? tree.b0 : base->b0;
    tree.q = bench_given("q") ? tree.q : base->q;
    tree.shift = bench_given("shift") ? tree.shift : base->shift;
    tree.depth = bench_given("depth") ? tree.depth : base->depth;
    tree.m = bench_given("m") ? tree.m : base->m;
    tree.seed = bench_given("seed") ? tree.seed : base->seed;
    published = !own;
    return 0;
}

const struct bench bench_uts = {
    .name = "uts",
    .what = "an unforeseeable tree, a task a node (Unbalanced Tree Search)",
    .unit = "ms",
    .prepare = prepare,
    .forms = {{"scope", scope, BENCH_TASK}, {"frame", frame, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params =
        {
            BENCH_CHOICE("tree", which, UTS_SAMPLES, "a published tree, or one of the two deep ones"),
            BENCH_CHOICE("type", tree.type, UTS_TYPES, "distribution of children"),
            BENCH_CHOICE("shape", tree.shape, UTS_SHAPES, "geometric: how the expected number of children goes with depth"),
            BENCH_REAL("b0", tree.b0, 0, 1e6, "children of the root, or expected there"),
            BENCH_INT("depth", tree.depth, 0, 1e6, "geometric, balanced: depth where it ends"),
            BENCH_REAL("q", tree.q, 0, 1, "binomial: probability of having children"),
            BENCH_INT("m", tree.m, 0, 100, "binomial: how many then"),
            BENCH_INT("seed", tree.seed, 0, INT32_MAX, "of the root"),
            BENCH_REAL("shift", tree.shift, 0, 1, "hybrid: where it turns binomial, as a part of depth"),
        },
};
