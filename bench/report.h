/* SPDX-License-Identifier: MIT */
/* What `filch-bench report` is made of: the command (report_page.c), what is measured and in which order (report_measure.c), and how often
 * runtimes enter the kernel (report_entries.c). The drawing is done in Python, by bench/report/. */
#ifndef FILCH_BENCH_REPORT_H
#define FILCH_BENCH_REPORT_H

#include <jansson.h>
#include <stdbool.h>

#include "compare.h"

enum { REPORT_MODELS = 1, REPORT_COMPARE = 2, REPORT_LATENCY = 4, REPORT_ALL = 7 };

struct report_options {
    unsigned what;                 /* is measured: of the above */
    const char *peers, *workloads; /* as the user says them; NULL: our choice */
    unsigned rounds;
    bool quick;
};

/** Measures, and says on stderr what and how long it still takes.
 * @return 0; -EINVAL once it has said what is wrong; another -errno */
int report_measure(const struct report_options *options, json_t **ret_report);

/** How often a system enters the kernel for an operation.
 * @param model of filch; NULL for a peer
 * @return an array of objects: system, model of filch, workload, per, command, and value or why there is none */
json_t *report_entries(const struct compare_system *system, const char *model, bool quick);

/** The last CPU that we may use. */
int report_last_cpu(void);

#define REPORT_WORDS 64

/** Takes `text` apart at its blanks; the words go into argv from `count` on, and NULL behind them. @return how many there are then */
unsigned report_words(char *argv[REPORT_WORDS], unsigned count, char *text);

#endif
