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

#include <stdio.h>

#include "kernels/nbody.h"

static struct nbody cluster = {.bodies = 20000, .seed = 1, .radius = 0.25, .dt = 0.01};
static int64_t steps = 20, grain;

static int kick(void *arg, int64_t begin, int64_t end)
{
    nbody_kick(arg, begin, end);
    return 0;
}

static int simulate(struct nbody_world *world, bool parallel)
{
    int r = 0;
    for (int64_t step = 0; r == 0 && step < steps; step++) {
        nbody_begin_step(world);
        r = parallel ? filch_for(0, cluster.bodies, grain, kick, world) : kick(world, 0, cluster.bodies);
        nbody_end_step(world);
    }
    return r;
}

static int nbody(struct bench_run *run, bool parallel)
{
    struct nbody_world world;
    char text[64];
    int r = nbody_world_make(&world, &cluster);
    if (r < 0)
        return r;
    int64_t start = filch_now();
    r = simulate(&world, parallel);
    bench_result(run, (double)(filch_now() - start) / 1e6);
    snprintf(text, sizeof text, "%.12g", world.last_energy);
    bench_check_text(run, "energy", text);
    bench_check(run, "energy_kept", nbody_energy_kept(&world), 1);
    bench_check(run, "stands_still", nbody_stands_still(&world), 1);
    bench_check(run, "pairs", world.pairs, world.pairs);
    bench_check(run, "sampled_pairs", world.sampled_pairs, cluster.sampled_pairs);
    nbody_world_free(&world);
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

static int prepare(void)
{
    int r = nbody_make(&cluster);
    if (r < 0)
        bench_say("nbody: no memory for %lld bodies", (long long)cluster.bodies);
    return r;
}

static void finish(void)
{
    nbody_free(&cluster);
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
            BENCH_INT("bodies", cluster.bodies, 1, 1e6, "how many"),
            BENCH_INT("steps", steps, 1, 1e6, "in time"),
            BENCH_REAL("radius", cluster.radius, 0.05, 2, "nearer than this bodies repel each other"),
            BENCH_REAL("dt", cluster.dt, 1e-6, 0.1, "time of a step"),
            BENCH_INT("grain", grain, 0, 1e6, "bodies in a part that is not split; 0: chosen"),
            BENCH_INT("seed", cluster.seed, 0, INT32_MAX, "of the cluster"),
        },
};
