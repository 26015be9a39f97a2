/* SPDX-License-Identifier: MIT */
/* The trees of the UTS benchmark: "UTS: An Unbalanced Tree Search Benchmark", Olivier, Huan, Liu, Prins, Dinan, Sadayappan, Tseng, LCPC
 * 2006; the definition below is that of its published program, version 2.1, so that counts agree to the last node.
 *
 * A tree exists only as a rule. A node is 20 bytes of state and a depth; everything follows from these by SHA-1 (FIPS 180-4):
 *
 *     root         state = SHA1(16 zero bytes, seed as 4 bytes big-endian)
 *     child i      state = SHA1(parent's state, i as 4 bytes big-endian), i from 0
 *     random u     the last 4 bytes of the state, big-endian, their lowest 31 bits, divided by 2^31: 0 <= u < 1
 *
 * How many children, by type (the published program's letters: -t type, -a shape, -b b0, -d depth, -q q, -m m, -r seed, -f shift):
 *
 *     binomial     the root floor(b0); any other node m if u < q, else none
 *     geometric    floor(log(1 - u) / log(1 - p)) with p = 1 / (1 + b), the expected number b at this depth by shape (b0 at the root):
 *                    linear   b0 (1 - d / depth)             expdec   b0 d^(-log b0 / log depth)
 *                    fixed    b0 if d < depth, else 0        cyclic   b0^sin(2 pi d / depth), 0 below 5 depth
 *     hybrid       geometric where d < shift * depth, else binomial
 *     balanced     floor(b0) where d < depth, else none
 *
 * and never more than 100, except in a balanced tree and at the root of a binomial one. */
#ifndef FILCH_BENCH_UTS_TREE_H
#define FILCH_BENCH_UTS_TREE_H

#include <stdint.h>

#define UTS_SAMPLES "T1|T2|T3|T4|T5|T1L|T2L|T3L|default|B1|B2|B3|deep|chains"
#define UTS_TYPES "binomial|geometric|hybrid|balanced"
#define UTS_SHAPES "linear|expdec|cyclic|fixed"

enum uts_type { UTS_BINOMIAL, UTS_GEOMETRIC, UTS_HYBRID, UTS_BALANCED };
enum uts_shape { UTS_LINEAR, UTS_EXPDEC, UTS_CYCLIC, UTS_FIXED };

struct uts_tree {
    unsigned type, shape;
    double b0, q, shift;
    int64_t depth, m, seed;
};

struct uts_node {
    uint8_t state[20];
    uint32_t depth;
};

struct uts_count {
    int64_t nodes, leaves;
    uint32_t depth;
};

/* Trees whose counts are known; bench/uts.c says whose they are. */
struct uts_sample {
    const char *name;
    struct uts_tree tree;
    struct uts_count count;
};

extern const struct uts_sample uts_samples[]; /* in the order of UTS_SAMPLES; the last has no name */

void uts_root(const struct uts_tree *tree, struct uts_node *ret_root);
int uts_children(const struct uts_tree *tree, const struct uts_node *node);
void uts_child(const struct uts_node *parent, int index, struct uts_node *ret_child);

/** Of this node alone. */
static inline struct uts_count uts_count_of(const struct uts_node *node, int children)
{
    struct uts_count count = {1, children == 0, node->depth};
    return count;
}

static inline void uts_count_add(struct uts_count *sum, const struct uts_count *below)
{
    sum->nodes += below->nodes;
    sum->leaves += below->leaves;
    sum->depth = below->depth > sum->depth ? below->depth : sum->depth;
}

#endif
