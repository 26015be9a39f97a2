/* SPDX-License-Identifier: MIT */
/* The trials of the tour's second chapter: first tasks for filch_run, which know nothing of the model they run under. See tour_trials.c. */
#ifndef FILCH_BENCH_TOUR_TRIALS_H
#define FILCH_BENCH_TOUR_TRIALS_H

#include <filch.h>

/** What a trial is given, and what it finds. */
struct trial {
    int64_t window; /* ns it may take; of `stuck` and `parked_io`: how long one task is blocked */
    int64_t tasks;  /* of `memory` */
    unsigned cpus;  /* that we may use */
    double figure;
    double count;  /* what was done in the window */
    double second; /* a further figure */
};

/** Each gets a struct trial. @return 0 or -errno. */
int trial_spawn(void *arg);
int trial_handover(void *arg);
int trial_yield(void *arg);
int trial_stuck(void *arg);
int trial_parked_io(void *arg);
int trial_processors(void *arg);
int trial_memory(void *arg);

#endif
