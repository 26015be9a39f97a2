/* SPDX-License-Identifier: MIT */
/* What the harness keeps between its parts: arguments in (options.c), runs (measure.c), what the runs said (record.c), and out again
 * (report.c). No workload includes this.
 *
 * A series is one figure over all runs. Series 0 is the workload's own, the one that minimum, median and maximum at the top of a report
 * speak of; the others are `more`. */
#ifndef FILCH_BENCH_HARNESS_H
#define FILCH_BENCH_HARNESS_H

#include <jansson.h>

#include "bench.h"

#define BENCH_SERIES 16
#define BENCH_DISTRIBUTIONS 4
#define BENCH_COMMON 9

/** What one command asks for. */
struct bench_settings {
    const struct bench *bench;
    const struct bench_form *form, *versus[BENCH_FORMS]; /* versus: empty without --vs */
    unsigned versus_count;
    int64_t workers, runs, stack_size;
    unsigned model, pin, form_index, versus_index;
    bool json, help;
    char forms[64], versus_forms[64];            /* what --form and --vs may be */
    struct bench_param common[BENCH_COMMON + 1]; /* the parameters every workload has; the last stays empty */
};

extern const char bench_models[], bench_pins[]; /* choices, in the order of filch_model and filch_pinning */

struct bench_series {
    char name[48];
    const char *unit;
    double *values;
    size_t count;
};

/** How samples are distributed: the value at each of bench_points, a run each. */
struct bench_shape {
    char name[48];
    double (*values)[BENCH_POINTS];
    size_t count, samples; /* runs; samples in all of them */
};

struct bench_record {
    struct bench_series series[BENCH_SERIES];
    struct bench_shape shapes[BENCH_DISTRIBUTIONS];
    unsigned used, shapes_used;
    size_t runs;
    json_t *check; /* of the first run */
    bool wrong;
    unsigned workers; /* of a BENCH_APART; 0: as many as the settings say */
    double wall, cpu; /* ns, of all runs, from the beginning of the form until it had its result */
};

struct bench_run {
    const struct bench_form *form;
    filch_runtime *runtime;
    struct bench_record *record;
    filch_config config;
    json_t *check;
    bool keep;          /* false in the warm-up */
    int64_t start, cpu; /* when the form began */
};

/** What is known after the runs. */
struct bench_outcome {
    struct bench_record main, versus[BENCH_FORMS];
    unsigned workers;
    uint64_t peak_rss;
};

/** Puts defaults into `settings`, before the arguments and for the help. */
void bench_settings_init(struct bench_settings *settings, const struct bench *bench);

/** Reads the arguments after the workload's name. @return 0, or -EINVAL once it has said what is wrong and what is possible. */
int bench_parse(struct bench_settings *settings, int argc, char **argv);

/** @return 0, or -ENOENT once it has said which program `form` runs, and why it is not there */
int bench_form_possible(const struct bench *bench, const struct bench_form *form);

/** The entry `index` of "a|b|c" into `buffer`. */
const char *bench_choice(const char *choices, unsigned index, char buffer[32]);

void bench_record_init(struct bench_record *record, const char *unit, size_t runs);
void bench_record_fini(struct bench_record *record);

/** Ends a run: its check is compared with that of the first. */
void bench_run_end(struct bench_run *run);

/** Warm-up and all runs. @return 0 or -errno, once it has said what failed. */
int bench_measure(const struct bench_settings *settings, struct bench_outcome *ret_outcome);

void bench_report_text(const struct bench_settings *settings, const struct bench_outcome *outcome);
void bench_report_json(const struct bench_settings *settings, const struct bench_outcome *outcome);

#endif
