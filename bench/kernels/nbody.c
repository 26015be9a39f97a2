/* SPDX-License-Identifier: MIT */
/* See nbody.h. */
#include "nbody.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../util.h"

#define REACH 7.0 /* bodies begin nearer than this to the middle */
#define SAMPLES 500

/* ---- cells ---- */

static int64_t along(const struct nbody_world *world, double x)
{
    double cell = floor(x / world->cluster->radius) + (double)(world->width / 2);
    return cell < 0 ? 0 : cell < (double)world->width ? (int64_t)cell : world->width - 1;
}

/* Counting sort. Who has left the box counts as in its outermost cells: neighbours are in neighbouring cells all the same. */
static void sort_into_cells(struct nbody_world *world)
{
    int64_t width = world->width, cells = width * width * width, bodies = world->cluster->bodies;
    memset(world->first, 0, (size_t)(cells + 1) * sizeof *world->first);
    for (int64_t i = 0; i < bodies; i++) {
        const struct nbody_vector *at = &world->now[i].at;
        int64_t cell = (along(world, at->z) * width + along(world, at->y)) * width + along(world, at->x);
        world->cell[i] = (int32_t)cell;
        world->first[cell + 1]++;
    }
    for (int64_t i = 0; i < cells; i++)
        world->first[i + 1] += world->first[i];
    for (int64_t i = bodies - 1; i >= 0; i--) /* from the ends of cells down; afterwards first[i + 1] is where cell i begins */
        world->next[--world->first[world->cell[i] + 1]] = world->now[i];
    memmove(world->first, world->first + 1, (size_t)cells * sizeof *world->first);
    world->first[cells] = (int32_t)bodies;
    struct nbody_body *sorted = world->next;
    world->next = world->now;
    world->now = sorted;
}

/* ---- forces ---- */

/* What acts on a body: the sum of forces, potential energy, and from how many. */
struct action {
    struct nbody_vector force;
    double potential;
    int64_t near;
};

static inline void add(struct action *action, double radius, const struct nbody_vector *self, const struct nbody_vector *other)
{
    double x = self->x - other->x, y = self->y - other->y, z = self->z - other->z, squared = x * x + y * y + z * z;
    if (squared >= radius * radius || squared == 0)
        return;
    double distance = sqrt(squared), depth = radius - distance, factor = depth / distance;
    action->force.x += factor * x;
    action->force.y += factor * y;
    action->force.z += factor * z;
    action->potential += depth * depth / 2;
    action->near++;
}

static struct action look_around(const struct nbody_world *world, const struct nbody_vector *at)
{
    int64_t width = world->width, cx = along(world, at->x), cy = along(world, at->y), cz = along(world, at->z);
    int64_t left = cx > 0 ? cx - 1 : 0, right = cx + 1 < width ? cx + 1 : cx;
    double radius = world->cluster->radius;
    struct action action = {.near = 0};
    for (int64_t z = cz > 0 ? cz - 1 : 0; z <= cz + 1 && z < width; z++)
        for (int64_t y = cy > 0 ? cy - 1 : 0; y <= cy + 1 && y < width; y++) {
            const int32_t *row = world->first + (z * width + y) * width;
            for (int32_t i = row[left]; i < row[right + 1]; i++)
                add(&action, radius, at, &world->now[i].at);
        }
    return action;
}

static inline void drift(struct nbody_body *body, double dt)
{
    body->at.x += body->speed.x * dt / 2;
    body->at.y += body->speed.y * dt / 2;
    body->at.z += body->speed.z * dt / 2;
}

static inline double square_of(const struct nbody_vector *v)
{
    return v->x * v->x + v->y * v->y + v->z * v->z;
}

/* Positions stay: others look at them. */
void nbody_kick(const struct nbody_world *world, int64_t begin, int64_t end)
{
    double dt = world->cluster->dt;
    for (int64_t i = begin; i < end; i++) {
        struct nbody_body *body = &world->now[i];
        struct action action = look_around(world, &body->at);
        struct nbody_vector middle = {body->speed.x + action.force.x * dt / 2, body->speed.y + action.force.y * dt / 2,
                                      body->speed.z + action.force.z * dt / 2};
        body->speed.x += action.force.x * dt;
        body->speed.y += action.force.y * dt;
        body->speed.z += action.force.z * dt;
        world->energy[i] = square_of(&middle) / 2 + action.potential / 2;
        world->near[i] = action.near;
    }
}

/* ---- steps ---- */

static void drift_all(const struct nbody_world *world)
{
    for (int64_t i = 0; i < world->cluster->bodies; i++)
        drift(&world->now[i], world->cluster->dt);
}

void nbody_begin_step(struct nbody_world *world)
{
    drift_all(world);
    sort_into_cells(world);
}

void nbody_end_step(struct nbody_world *world)
{
    bool first = world->steps++ == 0;
    double energy = 0;
    for (int64_t i = 0; i < world->cluster->bodies; i++) {
        energy += world->energy[i];
        world->pairs += world->near[i];
        if (first && world->now[i].id % world->cluster->stride == 0)
            world->sampled_pairs += world->near[i];
    }
    world->last_energy = energy;
    if (first)
        world->first_energy = energy;
    drift_all(world);
}

bool nbody_energy_kept(const struct nbody_world *world)
{
    return fabs(world->last_energy - world->first_energy) <= world->first_energy / 1000;
}

bool nbody_stands_still(const struct nbody_world *world)
{
    double bodies = (double)world->cluster->bodies;
    struct nbody_vector sum = {0};
    for (int64_t i = 0; i < world->cluster->bodies; i++) {
        sum.x += world->now[i].speed.x;
        sum.y += world->now[i].speed.y;
        sum.z += world->now[i].speed.z;
    }
    return square_of(&sum) < 1e-16 * bodies * bodies;
}

void nbody_world_free(struct nbody_world *world)
{
    free(world->now);
    free(world->next);
    free(world->cell);
    free(world->first);
    free(world->energy);
    free(world->near);
}

int nbody_world_make(struct nbody_world *world, const struct nbody *cluster)
{
    size_t count = (size_t)cluster->bodies;
    int64_t width = 2 * (int64_t)ceil(REACH / cluster->radius + 1);
    *world = (struct nbody_world){
        .cluster = cluster,
        .now = calloc(count, sizeof *world->now),
        .next = calloc(count, sizeof *world->next),
        .cell = calloc(count, sizeof *world->cell),
        .first = calloc((size_t)(width * width * width + 1), sizeof *world->first),
        .energy = calloc(count, sizeof *world->energy),
        .near = calloc(count, sizeof *world->near),
        .width = width,
    };
    if (!world->now || !world->next || !world->cell || !world->first || !world->energy || !world->near) {
        nbody_world_free(world);
        return -ENOMEM;
    }
    memcpy(world->now, cluster->initial, count * sizeof *cluster->initial);
    return 0;
}

/* ---- the cluster ---- */

static double uniform(uint64_t *state)
{
    return (double)(bench_random(state) >> 11) / 9007199254740992.0; /* 2^53 */
}

static struct nbody_vector somewhere(uint64_t *state)
{
    struct nbody_vector at;
    do {
        double far = 1 / sqrt(pow(uniform(state), -2.0 / 3) - 1), up = 2 * uniform(state) - 1, round = 2 * acos(-1) * uniform(state);
        double flat = far * sqrt(1 - up * up);
        at = (struct nbody_vector){flat * cos(round), flat * sin(round), far * up};
    } while (!(square_of(&at) < REACH * REACH));
    return at;
}

/* By comparing with all others, as they stand in the first step. */
static int64_t count_sample(const struct nbody *cluster)
{
    int64_t pairs = 0;
    for (int64_t i = 0; i < cluster->bodies; i += cluster->stride) {
        struct nbody_body self = cluster->initial[i];
        struct action action = {.near = 0};
        drift(&self, cluster->dt);
        for (int64_t j = 0; j < cluster->bodies; j++) {
            struct nbody_body other = cluster->initial[j];
            drift(&other, cluster->dt);
            add(&action, cluster->radius, &self.at, &other.at);
        }
        pairs += action.near;
    }
    return pairs;
}

int nbody_make(struct nbody *cluster)
{
    uint64_t state = (uint64_t)cluster->seed;
    int64_t bodies = cluster->bodies;
    struct nbody_body *initial = cluster->initial = calloc((size_t)bodies, sizeof *initial);
    struct nbody_vector mean = {0};
    if (!initial)
        return -ENOMEM;
    for (int64_t i = 0; i < bodies; i++) {
        struct nbody_vector at = somewhere(&state), speed;
        speed.x = uniform(&state);
        speed.y = uniform(&state);
        speed.z = uniform(&state);
        initial[i] = (struct nbody_body){at, speed, i};
        mean.x += speed.x / (double)bodies;
        mean.y += speed.y / (double)bodies;
        mean.z += speed.z / (double)bodies;
    }
    for (int64_t i = 0; i < bodies; i++) {
        initial[i].speed.x -= mean.x;
        initial[i].speed.y -= mean.y;
        initial[i].speed.z -= mean.z;
    }
    cluster->stride = bodies / SAMPLES + 1;
    cluster->sampled_pairs = count_sample(cluster);
    return 0;
}

void nbody_free(struct nbody *cluster)
{
    free(cluster->initial);
}
