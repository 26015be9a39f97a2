/* SPDX-License-Identifier: MIT */
/* nbody: how well does filch_for balance iterations of which some cost a hundred times as much as others?
 *
 * --bodies soft spheres in a cluster, --steps steps of molecular dynamics. Two bodies nearer than --radius repel each other, by a
 * force of radius - distance; others do not know of each other. The cluster is a sphere after Plummer ("On the problem of distribution
 * in globular star clusters", 1911), as programs for gravity are given: with 20,000 bodies, one in the middle has three hundred
 * neighbours, most of those far outside have none. A step sorts bodies into cells as wide as the radius (Hockney and Eastwood,
 * "Computer Simulation Using Particles", 1988), and a filch_for over bodies looks for the neighbours of each in the 27 cells around
 * it. Bodies are moved into the order of their cells first, so the dear ones lie side by side: who cuts the range into equal parts
 * beforehand gives all the work to a few. Each pair is seen from both sides, so that an iteration writes to nothing but its own body.
 *
 * Forms: `for`, with parts of at most --grain bodies (0: filch_for chooses); `serial`, a loop. Sorting into cells, a small part of the
 * work, is serial in both.
 *
 * What proves the work: neighbours of a sample of bodies, counted in the first step by comparing them with all others before the runs;
 * energy, which leapfrog keeps to a part in a thousand; momentum, which is none. Which bodies act on one and in which order does not
 * depend on who computes it: so all forms come to the same bits, and the energy at the end and the number of pairs must be the same in
 * all runs. The runtime is started once for all runs. */
#include "bench.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define REACH 7.0 /* bodies begin nearer than this to the middle */
#define SAMPLES 500

static int64_t bodies = 20000, steps = 20, grain, seed = 1;
static double radius = 0.25, dt = 0.01;

struct vector {
    double x, y, z;
};

struct body {
    struct vector at, speed;
    int64_t id;
};

static struct body *initial;
static int64_t stride; /* every so many bodies are in the sample */
static int64_t sampled_pairs;

/* What a step works on. */
struct world {
    struct body *now, *next; /* in the order of cells; to be sorted into */
    int32_t *cell;           /* of each body, before sorting */
    int32_t *first;          /* the first body of each cell, and one place more */
    double *energy;          /* of each body */
    int64_t *near;           /* how many act on it */
    int64_t width;           /* cells along an edge of the box */
};

/* ---- cells ---- */

static int64_t along(const struct world *world, double x)
{
    double cell = floor(x / radius) + (double)(world->width / 2);
    return cell < 0 ? 0 : cell < (double)world->width ? (int64_t)cell : world->width - 1;
}

/* Counting sort. Who has left the box counts as in its outermost cells: neighbours are in neighbouring cells all the same. */
static void sort_into_cells(struct world *world)
{
    int64_t width = world->width, cells = width * width * width;
    memset(world->first, 0, (size_t)(cells + 1) * sizeof *world->first);
    for (int64_t i = 0; i < bodies; i++) {
        const struct vector *at = &world->now[i].at;
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
    struct body *sorted = world->next;
    world->next = world->now;
    world->now = sorted;
}

/* ---- forces ---- */

/* What acts on a body: the sum of forces, potential energy, and from how many. */
struct action {
    struct vector force;
    double potential;
    int64_t near;
};

static inline void add(struct action *action, const struct vector *self, const struct vector *other)
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

static struct action look_around(const struct world *world, const struct vector *at)
{
    int64_t width = world->width, cx = along(world, at->x), cy = along(world, at->y), cz = along(world, at->z);
    int64_t left = cx > 0 ? cx - 1 : 0, right = cx + 1 < width ? cx + 1 : cx;
    struct action action = {0};
    for (int64_t z = cz > 0 ? cz - 1 : 0; z <= cz + 1 && z < width; z++)
        for (int64_t y = cy > 0 ? cy - 1 : 0; y <= cy + 1 && y < width; y++) {
            const int32_t *row = world->first + (z * width + y) * width;
            for (int32_t i = row[left]; i < row[right + 1]; i++)
                add(&action, at, &world->now[i].at);
        }
    return action;
}

static inline void drift(struct body *body)
{
    body->at.x += body->speed.x * dt / 2;
    body->at.y += body->speed.y * dt / 2;
    body->at.z += body->speed.z * dt / 2;
}

static inline double square_of(const struct vector *v)
{
    return v->x * v->x + v->y * v->y + v->z * v->z;
}

/* Speeds of bodies [begin, end) after this step. Positions stay: others look at them. */
static int kick(void *arg, int64_t begin, int64_t end)
{
    struct world *world = arg;
    for (int64_t i = begin; i < end; i++) {
        struct body *body = &world->now[i];
        struct action action = look_around(world, &body->at);
        struct vector middle = {body->speed.x + action.force.x * dt / 2, body->speed.y + action.force.y * dt / 2,
                                body->speed.z + action.force.z * dt / 2};
        body->speed.x += action.force.x * dt;
        body->speed.y += action.force.y * dt;
        body->speed.z += action.force.z * dt;
        world->energy[i] = square_of(&middle) / 2 + action.potential / 2;
        world->near[i] = action.near;
    }
    return 0;
}

/* ---- steps ---- */

struct outcome {
    double first_energy, energy;
    int64_t pairs, sampled;
};

static void take_down(const struct world *world, int64_t step, struct outcome *outcome)
{
    outcome->energy = 0;
    for (int64_t i = 0; i < bodies; i++) {
        outcome->energy += world->energy[i];
        outcome->pairs += world->near[i];
        if (step == 0 && world->now[i].id % stride == 0)
            outcome->sampled += world->near[i];
    }
    if (step == 0)
        outcome->first_energy = outcome->energy;
}

static void drift_all(struct world *world)
{
    for (int64_t i = 0; i < bodies; i++)
        drift(&world->now[i]);
}

static int simulate(struct world *world, bool parallel, struct outcome *ret_outcome)
{
    struct outcome outcome = {0};
    int r = 0;
    for (int64_t step = 0; r == 0 && step < steps; step++) {
        drift_all(world);
        sort_into_cells(world);
        r = parallel ? filch_for(0, bodies, grain, kick, world) : kick(world, 0, bodies);
        take_down(world, step, &outcome);
        drift_all(world);
    }
    *ret_outcome = outcome;
    return r;
}

/* ---- one run ---- */

static bool stands_still(const struct world *world)
{
    struct vector sum = {0};
    for (int64_t i = 0; i < bodies; i++) {
        sum.x += world->now[i].speed.x;
        sum.y += world->now[i].speed.y;
        sum.z += world->now[i].speed.z;
    }
    return square_of(&sum) < 1e-16 * (double)bodies * (double)bodies;
}

static void world_free(struct world *world)
{
    free(world->now);
    free(world->next);
    free(world->cell);
    free(world->first);
    free(world->energy);
    free(world->near);
}

static int world_make(struct world *world)
{
    size_t count = (size_t)bodies;
    int64_t width = 2 * (int64_t)ceil(REACH / radius + 1);
    *world = (struct world){
        .now = calloc(count, sizeof *world->now),
        .next = calloc(count, sizeof *world->next),
        .cell = calloc(count, sizeof *world->cell),
        .first = calloc((size_t)(width * width * width + 1), sizeof *world->first),
        .energy = calloc(count, sizeof *world->energy),
        .near = calloc(count, sizeof *world->near),
        .width = width,
    };
    if (!world->now || !world->next || !world->cell || !world->first || !world->energy || !world->near) {
        world_free(world);
        return -ENOMEM;
    }
    memcpy(world->now, initial, count * sizeof *initial);
    return 0;
}

static int nbody(struct bench_run *run, bool parallel)
{
    struct world world;
    struct outcome outcome;
    char text[64];
    int r = world_make(&world);
    if (r < 0)
        return r;
    int64_t start = filch_now();
    r = simulate(&world, parallel, &outcome);
    bench_result(run, (double)(filch_now() - start) / 1e6);
    snprintf(text, sizeof text, "%.12g", outcome.energy);
    bench_check_text(run, "energy", text);
    bench_check(run, "energy_kept", fabs(outcome.energy - outcome.first_energy) <= outcome.first_energy / 1000, 1);
    bench_check(run, "stands_still", stands_still(&world), 1);
    bench_check(run, "pairs", outcome.pairs, outcome.pairs);
    bench_check(run, "sampled_pairs", outcome.sampled, sampled_pairs);
    world_free(&world);
    return r;
}

static int for_(struct bench_run *run)
{
    return nbody(run, true);
}

static int serial(struct bench_run *run)
{
    return nbody(run, false);
}

/* ---- the cluster ---- */

static double uniform(uint64_t *state)
{
    return (double)(bench_random(state) >> 11) / 9007199254740992.0; /* 2^53 */
}

static struct vector somewhere(uint64_t *state)
{
    struct vector at;
    do {
        double far = 1 / sqrt(pow(uniform(state), -2.0 / 3) - 1), up = 2 * uniform(state) - 1, round = 2 * acos(-1) * uniform(state);
        double flat = far * sqrt(1 - up * up);
        at = (struct vector){flat * cos(round), flat * sin(round), far * up};
    } while (!(square_of(&at) < REACH * REACH));
    return at;
}

/* By comparing with all others, as they stand in the first step. */
static void count_sample(void)
{
    sampled_pairs = 0;
    for (int64_t i = 0; i < bodies; i += stride) {
        struct body self = initial[i];
        struct action action = {0};
        drift(&self);
        for (int64_t j = 0; j < bodies; j++) {
            struct body other = initial[j];
            drift(&other);
            add(&action, &self.at, &other.at);
        }
        sampled_pairs += action.near;
    }
}

static int prepare(void)
{
    uint64_t state = (uint64_t)seed;
    initial = calloc((size_t)bodies, sizeof *initial);
    if (!initial) {
        bench_say("nbody: no memory for %lld bodies", (long long)bodies);
        return -ENOMEM;
    }
    struct vector mean = {0};
    for (int64_t i = 0; i < bodies; i++) {
        struct vector at = somewhere(&state), speed = {uniform(&state), uniform(&state), uniform(&state)};
        initial[i] = (struct body){at, speed, i};
        mean.x += speed.x / (double)bodies;
        mean.y += speed.y / (double)bodies;
        mean.z += speed.z / (double)bodies;
    }
    for (int64_t i = 0; i < bodies; i++) {
        initial[i].speed.x -= mean.x;
        initial[i].speed.y -= mean.y;
        initial[i].speed.z -= mean.z;
    }
    stride = bodies / SAMPLES + 1;
    count_sample();
    return 0;
}

static void finish(void)
{
    free(initial);
}

const struct bench bench_nbody = {
    .name = "nbody",
    .what = "a parallel loop over bodies of a cluster, of very unequal cost",
    .unit = "ms",
    .prepare = prepare,
    .finish = finish,
    .forms = {{"for", for_, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params =
        {
            BENCH_INT("bodies", bodies, 1, 1e6, "how many"),
            BENCH_INT("steps", steps, 1, 1e6, "in time"),
            BENCH_REAL("radius", radius, 0.05, 2, "nearer than this bodies repel each other"),
            BENCH_REAL("dt", dt, 1e-6, 0.1, "time of a step"),
            BENCH_INT("grain", grain, 0, 1e6, "bodies in a part that is not split; 0: chosen"),
            BENCH_INT("seed", seed, 0, INT32_MAX, "of the cluster"),
        },
};
