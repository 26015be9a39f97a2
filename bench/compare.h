/* SPDX-License-Identifier: MIT */
/* What `filch-bench compare` is made of: the command (compare.c), who takes part (compare_peers.c), one process (compare_run.c), and
 * what came of it (compare_report.c). docs/concepts/bench.md says what all of it is for.
 *
 * A system is filch, a peer, or an external program. A trial is a workload with a number of workers; in it, an entry is a system with its
 * parameters. Each round runs every entry of the trial once. A ratio is taken against the filch entry that has the same parameters:
 * where peers cannot stand the full size there are several of those. */
#ifndef FILCH_BENCH_COMPARE_H
#define FILCH_BENCH_COMPARE_H

#include <jansson.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#define COMPARE_SYSTEMS 32
#define COMPARE_ENTRIES (2 * COMPARE_SYSTEMS)

enum compare_status { COMPARE_OK, COMPARE_CANNOT, COMPARE_WRONG, COMPARE_FAILED, COMPARE_TIMEOUT };

struct compare_system {
    char name[48], *program; /* path, or for the shell */
    bool shell;
    char *version;
    json_t *workloads; /* name: what it can stand; NULL: not known, ask for each */
};

/** The systems; the first is filch itself. */
struct compare_systems {
    struct compare_system all[COMPARE_SYSTEMS];
    unsigned count;
};

struct compare_summary {
    double median, min, max;
};

struct compare_entry {
    const struct compare_system *system;
    json_t *params, *command, *runs;
    char unit[16];
    enum compare_status status;
    char why[200];    /* unless it is COMPARE_OK */
    unsigned against; /* the filch entry with the same parameters; its own index for that */
    double last;      /* seconds, the latest run with start and warm-up; 0: none yet */
    json_t *ratios;   /* a round each */
    struct compare_summary ratio;
    const char *verdict;
};

struct compare_trial {
    char workload[32];
    json_t *params;
    unsigned workers;
    cpu_set_t cpus;
    struct compare_entry entries[COMPARE_ENTRIES];
    unsigned count;
    double others, time; /* CPU time of processes that are none of ours on these CPUs, and all there was, in seconds */
};

/** One process that has ended. The texts belong to the caller. */
struct compare_process {
    int status; /* as wait4(2) gives it */
    bool timeout;
    double wall, cpu, others; /* seconds; others: CPU time of all else on these CPUs */
    double peak_rss;
    char *out, *err;
};

/** Runs a program bound to `cpus`, without input, for at most `limit` seconds.
 * @return 0, or -errno when it could not be started */
int compare_run(char *const argv[], const cpu_set_t *cpus, double limit, struct compare_process *ret_process);

void compare_process_fini(struct compare_process *process);

/** The last line of a text that is a JSON object, or NULL. */
json_t *compare_line(const char *text);

/** Finds filch itself and the peers in the folder beside this program.
 * @param wanted "a,b,…", or NULL for all; -EINVAL once it has said which is not there and which are */
int compare_find(struct compare_systems *systems, const char *wanted);

/** Adds 'name=command'. */
int compare_add_external(struct compare_systems *systems, const char *definition);

void compare_systems_fini(struct compare_systems *systems);

/** Fills in the entries of trials[index]: everybody who can express the workload, and a filch for each set of parameters. Who can stand no
 * more than what it does in a trial before this one is left out. */
void compare_plan(struct compare_trial *trials, unsigned index, const struct compare_systems *systems);

/** The arguments of an entry, for compare_run. @return to be freed, the words in it belong to entry->command */
char **compare_argv(const struct compare_entry *entry);

void compare_trial_fini(struct compare_trial *trial);

/** Ratios, spread and verdicts, after the last round. */
void compare_judge(struct compare_trial *trial);

struct compare_summary compare_summarize(const json_t *runs, const char *key);

/** How much the same programs differed, and how busy the CPUs were with others: medians and parts of one. */
struct compare_noise {
    double spread, others;
    bool noisy, known;
};

struct compare_noise compare_noise_of(const struct compare_trial *trials, unsigned count);

/** "n=32 grain=10" */
void compare_params_text(const json_t *params, char *text, size_t size);

void compare_table(const struct compare_trial *trial);
void compare_conclusion(const struct compare_trial *trials, unsigned count);
json_t *compare_json(const struct compare_systems *systems, const struct compare_trial *trials, unsigned count);

/** Processor, kernel, memory. */
json_t *compare_machine(void);

#endif
