/* SPDX-License-Identifier: MIT */
/* Molecular dynamics of soft spheres in a cluster, as bench/nbody.c has it, but for the loop over bodies: the cluster, cells, forces, and
 * what must come out.
 *
 *     nbody_begin_step    moves all bodies and sorts them into cells; serial
 *     nbody_kick          speeds of bodies [begin, end), from the bodies around each; writes to nothing but these
 *     nbody_end_step      moves them again and adds up; serial */
#ifndef FILCH_BENCH_KERNELS_NBODY_H
#define FILCH_BENCH_KERNELS_NBODY_H

#include <stdbool.h>
#include <stdint.h>

struct nbody_vector {
    double x, y, z;
};

struct nbody_body {
    struct nbody_vector at, speed;
    int64_t id;
};

struct nbody {
    int64_t bodies, seed; /* set by the caller */
    double radius, dt;
    struct nbody_body *initial;
    int64_t stride; /* every so many bodies are in the sample */
    int64_t sampled_pairs;
};

/* What a step works on, and what has come of the steps so far. */
struct nbody_world {
    const struct nbody *cluster;
    struct nbody_body *now, *next; /* in the order of cells; to be sorted into */
    int32_t *cell;                 /* of each body, before sorting */
    int32_t *first;                /* the first body of each cell, and one place more */
    double *energy;                /* of each body */
    int64_t *near;                 /* how many act on it */
    int64_t width;                 /* cells along an edge of the box */
    int64_t steps;
    double first_energy, last_energy;
    int64_t pairs, sampled_pairs;
};

/** @return 0 or -ENOMEM */
int nbody_make(struct nbody *cluster);
void nbody_free(struct nbody *cluster);

/** The cluster as it begins. @return 0 or -ENOMEM */
int nbody_world_make(struct nbody_world *world, const struct nbody *cluster);
void nbody_world_free(struct nbody_world *world);

void nbody_begin_step(struct nbody_world *world);
void nbody_kick(const struct nbody_world *world, int64_t begin, int64_t end);
void nbody_end_step(struct nbody_world *world);

/** Leapfrog keeps it to a part in a thousand. */
bool nbody_energy_kept(const struct nbody_world *world);

/** Momentum is none. */
bool nbody_stands_still(const struct nbody_world *world);

#endif
