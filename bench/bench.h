/* SPDX-License-Identifier: MIT */
/* A workload as the harness sees it, and the harness as a workload sees it.
 *
 * A workload is one file that answers one question. It exports one `struct bench`: name, parameters, and the forms it can run in. A
 * form is a function that does the work once, reads the clock itself (so that nothing but the work is timed), hands over the figure by
 * bench_result, and proves by bench_check that the work was done. It returns 0, or -errno when it could not be done at all.
 *
 * Where a form runs
 *   BENCH_TASK    as a task of a runtime that the harness started: what most do
 *   BENCH_BESIDE  on a plain thread, while a runtime is there: a host's view
 *   BENCH_ALONE   on a plain thread: serial code, to compare with
 *   BENCH_APART   on a plain thread; it starts its own runtime, by bench_config, in another process
 *   BENCH_GO      as BENCH_APART, but what runs there is a program in Go, `go_program`, which is not always there
 *
 * The runtime is started once for the warm-up and all runs, or, where `fresh` is set, for each of them. Starting and stopping are never
 * timed. Everything here is called from the form itself, by one task or thread at a time. */
#ifndef FILCH_BENCH_H
#define FILCH_BENCH_H

#include <filch.h>

struct bench_run;

enum bench_place { BENCH_TASK, BENCH_BESIDE, BENCH_ALONE, BENCH_APART, BENCH_GO };

/** One way to do the work. The first form of a workload is its default; with more than one, `--form` and `--vs` choose. */
struct bench_form {
    const char *name;
    int (*run)(struct bench_run *run);
    enum bench_place place;
};

enum bench_kind { BENCH_NONE, BENCH_INT, BENCH_REAL, BENCH_CHOICE, BENCH_TEXT, BENCH_FLAG };

/** A parameter, `--key value`. Its variable holds the default until an argument replaces it. */
struct bench_param {
    const char *key, *help;
    enum bench_kind kind;
    bool operand;        /* may be given without its key */
    double min, max;     /* of a number */
    const char *choices; /* "mn|n1|11": the variable gets the index */
    union {
        int64_t *number;
        double *real;
        unsigned *choice;
        const char **text;
        bool *flag;
    } at;
};

#define BENCH_INT(key_, variable, min_, max_, help_)                                                      \
    {                                                                                                     \
        .key = key_, .help = help_, .kind = BENCH_INT, .min = min_, .max = max_, .at.number = &(variable) \
    }
#define BENCH_REAL(key_, variable, min_, max_, help_)                                                    \
    {                                                                                                    \
        .key = key_, .help = help_, .kind = BENCH_REAL, .min = min_, .max = max_, .at.real = &(variable) \
    }
#define BENCH_CHOICE(key_, variable, choices_, help_)                                                   \
    {                                                                                                   \
        .key = key_, .help = help_, .kind = BENCH_CHOICE, .choices = choices_, .at.choice = &(variable) \
    }
#define BENCH_TEXT(key_, variable, help_)                                      \
    {                                                                          \
        .key = key_, .help = help_, .kind = BENCH_TEXT, .at.text = &(variable) \
    }
#define BENCH_OPERAND(key_, variable, help_)                                                    \
    {                                                                                           \
        .key = key_, .help = help_, .kind = BENCH_TEXT, .operand = true, .at.text = &(variable) \
    }
#define BENCH_FLAG(key_, variable, help_)                                      \
    {                                                                          \
        .key = key_, .help = help_, .kind = BENCH_FLAG, .at.flag = &(variable) \
    }

#define BENCH_FORMS 6
#define BENCH_PARAMS 12

struct bench {
    const char *name;
    const char *what;                        /* one line: what is measured */
    const char *unit;                        /* of bench_result */
    int64_t workers;                         /* the default of --workers; 0: one per allowed core */
    bool fresh;                              /* a runtime for each run */
    const char *go_program;                  /* of BENCH_GO, beside this one: bench_beside in util.h */
    int (*prepare)(void);                    /* after the arguments are read, before the warm-up; -EINVAL once it has said what is wrong */
    void (*finish)(void);                    /* after the last run */
    struct bench_form forms[BENCH_FORMS];    /* the last stays empty */
    struct bench_param params[BENCH_PARAMS]; /* the last stays empty */
};

/** The runtime of this run; NULL for BENCH_ALONE and BENCH_APART. */
filch_runtime *bench_runtime(const struct bench_run *run);

/** What the user wants a runtime to be. */
const filch_config *bench_config(const struct bench_run *run);

/** Says how many workers a BENCH_APART has started, where that is not what bench_config says. */
void bench_workers(struct bench_run *run, unsigned workers);

/** Hands over the figure of this run, in the workload's unit. Once a run. */
void bench_result(struct bench_run *run, double value);

/** Hands over a further figure. */
void bench_more(struct bench_run *run, const char *name, const char *unit, double value);

/** Hands over how many samples are spread: p50, p99 and maximum. Sorts them.
 * @param name with the unit at its end, "lateness_us" */
void bench_spread(struct bench_run *run, const char *name, double *samples, size_t count);

/** The percentiles that describe a distribution, from the smallest sample to the largest. */
#define BENCH_POINTS 18
extern const double bench_points[BENCH_POINTS];

/** Hands over how samples are distributed, for the JSON only: the value at each of bench_points. bench_spread does so by itself.
 * @param name with the unit at its end
 * @param samples how many there were */
void bench_distribution(struct bench_run *run, const char *name, const double at[BENCH_POINTS], size_t samples);

/** Proof of work: `got` is reported; if it is not `expected`, or differs between runs, the result counts as wrong. */
void bench_check(struct bench_run *run, const char *name, int64_t got, int64_t expected);

/** Proof of work without a known answer: only compared between runs. */
void bench_check_text(struct bench_run *run, const char *name, const char *text);

/** Whether the user gave `--key`. */
bool bench_given(const char *key);

/** One line on stderr: "filch-bench: NAME: …". */
__attribute__((format(printf, 1, 2))) void bench_say(const char *format, ...);

extern const struct bench bench_fork, bench_flat, bench_batch, bench_skynet, bench_uts, bench_queens, bench_sort_integers, bench_matmul;
extern const struct bench bench_yield, bench_pingpong, bench_chan, bench_select, bench_park, bench_cancel, bench_timers, bench_server;
extern const struct bench bench_mutex, bench_rwlock, bench_sem, bench_cond, bench_idle, bench_tree, bench_echo, bench_http, bench_pread;
extern const struct bench bench_stranded, bench_stall;
extern const struct bench bench_integrate, bench_strassen, bench_cholesky, bench_nbody, bench_wavefront, bench_histogram;
extern const struct bench bench_threadring, bench_chameneos, bench_prodcons, bench_mix, bench_stuck;

int bench_run_command(int argc, char **argv);

/** The workload of that name, or NULL. */
const struct bench *bench_named(const char *name);
int bench_tour(int argc, char **argv);
int bench_sim(int argc, char **argv);
int bench_compare(int argc, char **argv);
int bench_report(int argc, char **argv);

#endif
