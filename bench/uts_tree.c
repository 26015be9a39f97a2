/* SPDX-License-Identifier: MIT */
/* See uts_tree.h. SHA-1 is nettle's. */
#include "uts_tree.h"

#include <endian.h>
#include <math.h>
#include <nettle/sha1.h>
#include <string.h>

#define MOST_CHILDREN 100

static void digest(uint8_t ret_state[20], const uint8_t *prefix, size_t length, uint32_t number)
{
    struct sha1_ctx context;
    uint32_t bytes = htobe32(number);
    sha1_init(&context);
    sha1_update(&context, length, prefix);
    sha1_update(&context, sizeof bytes, (const uint8_t *)&bytes);
    sha1_digest(&context, 20, ret_state);
}

void uts_root(const struct uts_tree *tree, struct uts_node *ret_root)
{
    static const uint8_t zeros[16];
    ret_root->depth = 0;
    digest(ret_root->state, zeros, sizeof zeros, (uint32_t)tree->seed);
}

void uts_child(const struct uts_node *parent, int index, struct uts_node *ret_child)
{
    ret_child->depth = parent->depth + 1;
    digest(ret_child->state, parent->state, sizeof parent->state, (uint32_t)index);
}

static double uniform(const struct uts_node *node)
{
    uint32_t last;
    memcpy(&last, node->state + 16, sizeof last);
    return (double)(be32toh(last) & 0x7fffffff) / 2147483648.0;
}

static double expected(const struct uts_tree *tree, double d)
{
    double depth = (double)tree->depth;
    if (d == 0)
        return tree->b0;
    switch ((enum uts_shape)tree->shape) {
    case UTS_LINEAR:
        return tree->b0 * (1.0 - d / depth);
    case UTS_EXPDEC:
        return tree->b0 * pow(d, -log(tree->b0) / log(depth));
    case UTS_CYCLIC:
        return d > 5 * depth ? 0 : pow(tree->b0, sin(2.0 * 3.141592653589793 * d / depth));
    case UTS_FIXED:
        return d < depth ? tree->b0 : 0;
    }
    return 0;
}

static int geometric(const struct uts_tree *tree, const struct uts_node *node)
{
    double p = 1.0 / (1.0 + expected(tree, node->depth));
    double children = floor(log(1 - uniform(node)) / log(1 - p));
    if (!(children > 0)) /* nor when a shape went below 0 and this is not a number */
        return 0;
    return children < MOST_CHILDREN ? (int)children : MOST_CHILDREN;
}

static int binomial(const struct uts_tree *tree, const struct uts_node *node)
{
    int m = tree->m < MOST_CHILDREN ? (int)tree->m : MOST_CHILDREN;
    return uniform(node) < tree->q ? m : 0;
}

int uts_children(const struct uts_tree *tree, const struct uts_node *node)
{
    double d = node->depth, depth = (double)tree->depth;
    switch ((enum uts_type)tree->type) {
    case UTS_BINOMIAL:
        return node->depth == 0 ? (int)tree->b0 : binomial(tree, node);
    case UTS_GEOMETRIC:
        return geometric(tree, node);
    case UTS_HYBRID:
        return d < tree->shift * depth ? geometric(tree, node) : binomial(tree, node);
    case UTS_BALANCED:
        return d < depth ? (int)tree->b0 : 0;
    }
    return 0;
}
