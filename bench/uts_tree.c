/* SPDX-License-Identifier: MIT */
/* See uts_tree.h. SHA-1 is nettle's. */
#include "uts_tree.h"

#include <endian.h>
#include <math.h>
#include <nettle/sha1.h>
#include <string.h>

#define MOST_CHILDREN 100

const struct uts_sample uts_samples[] = {
    {"T1", {UTS_GEOMETRIC, UTS_FIXED, 4, 15.0 / 64, 0.5, 10, 4, 19}, {4130071, 3305118, 10}},
    {"T2", {UTS_GEOMETRIC, UTS_CYCLIC, 6, 15.0 / 64, 0.5, 16, 4, 502}, {4117769, 2342762, 81}},
    {"T3", {UTS_BINOMIAL, UTS_LINEAR, 2000, 0.124875, 0.5, 6, 8, 42}, {4112897, 3599034, 1572}},
    {"T4", {UTS_HYBRID, UTS_LINEAR, 6, 0.234375, 0.5, 16, 4, 1}, {4132453, 3108986, 134}},
    {"T5", {UTS_GEOMETRIC, UTS_LINEAR, 4, 15.0 / 64, 0.5, 20, 4, 34}, {4147582, 2181318, 20}},
    {"T1L", {UTS_GEOMETRIC, UTS_FIXED, 4, 15.0 / 64, 0.5, 13, 4, 29}, {102181082, 81746377, 13}},
    {"T2L", {UTS_GEOMETRIC, UTS_CYCLIC, 7, 15.0 / 64, 0.5, 23, 4, 220}, {96793510, 53791152, 67}},
    {"T3L", {UTS_BINOMIAL, UTS_LINEAR, 2000, 0.200014, 0.5, 6, 5, 7}, {111345631, 89076904, 17844}},
    {"default", {UTS_GEOMETRIC, UTS_LINEAR, 4, 15.0 / 64, 0.5, 6, 4, 0}, {1732, 1050, 6}}, /* the published program's defaults */
    {"B1", {UTS_BINOMIAL, UTS_LINEAR, 2000, 0.499995, 0.5, 6, 2, 38}, {4996491, 2499245, 3472}},
    {"B2", {UTS_BINOMIAL, UTS_LINEAR, 2000, 0.499995, 0.5, 6, 2, 30}, {51747899, 25874949, 16604}},
    {"B3", {UTS_BINOMIAL, UTS_LINEAR, 2000, 0.499995, 0.5, 6, 2, 55}, {514989317, 257495658, 53013}},
    {"deep", {UTS_BINOMIAL, UTS_LINEAR, 1, 0.5, 0.5, 6, 2, 75665}, {13715006, 6857503, 12251}},
    {"chains", {UTS_BINOMIAL, UTS_LINEAR, 500, 0.9999, 0.5, 6, 1, 5}, {4766123, 500, 101071}},
    {.name = NULL},
};

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
