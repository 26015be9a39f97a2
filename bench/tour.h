/* SPDX-License-Identifier: MIT */
/* The tour's parts: what the chapters share (tour.c), the chapters, and the page they are written on (tour_page.c). */
#ifndef FILCH_BENCH_TOUR_H
#define FILCH_BENCH_TOUR_H

#include "harness.h"

struct tour {
    unsigned workers; /* of M:N; 0: one per allowed core */
    bool quick, json;
    const char *dir;        /* whose files are hashed */
    unsigned cpus, started; /* CPUs that we may use, workers that M:N started: found by the first chapter */
    json_t *report;         /* every figure that is shown */
    bool wrong;             /* a check failed */
};

/** The chapters, in their order. @return 0, or -errno once it has said what failed. */
int tour_machine(struct tour *tour);
int tour_models(struct tour *tour);
int tour_million(struct tour *tour);
int tour_files(struct tour *tour);

/** One form of a workload, a warm-up and then `runs` runs, on a runtime as the workload asks for it.
 * @param what for the progress line
 * @param ret_record the caller ends it with bench_record_fini, also on failure
 * @return 0 or -errno, once it has said what failed. */
int tour_workload(struct tour *tour, const struct bench *bench, unsigned form, unsigned workers, unsigned runs, const char *what,
                  struct bench_record *ret_record);

/** A whole number of `bench` is set for this process. */
void tour_set(const struct bench *bench, const char *key, int64_t value);

/** The best (smallest) value of a series, by name; NULL: the workload's own figure. NAN if there is none. */
double tour_best(const struct bench_record *record, const char *series);

/* ---- the page ---- */

enum page_tone { PAGE_PLAIN, PAGE_STRONG, PAGE_FAINT, PAGE_GOOD, PAGE_BAD };

#define PAGE_COLUMNS 8

struct page_cell {
    char text[48];
    enum page_tone tone;
};

/** Looks at the terminal. @param silent nothing but progress and complaints is written */
void page_open(bool silent);

/** @return 0, or -EIO when the page could not be written. */
int page_close(void);

void page_title(const char *left, const char *right);
void page_chapter(int number, const char *title);

/** An empty line, unless there is one. */
void page_gap(void);

/** A paragraph, broken into lines that fit. */
__attribute__((format(printf, 1, 2))) void page_text(const char *format, ...);

/** The sentence under a row, and the space after it. */
__attribute__((format(printf, 1, 2))) void page_note(const char *format, ...);

/** A line as it stands. */
__attribute__((format(printf, 1, 2))) void page_line(const char *format, ...);

/** A word, and what there is to say about it. */
__attribute__((format(printf, 2, 3))) void page_pair(const char *word, const char *format, ...);

/** A command, and what it is for. */
void page_command(const char *command, const char *what);

/** A complaint, a line on stderr: "filch-bench: tour: …". */
__attribute__((format(printf, 1, 2))) void page_complain(const char *format, ...);

/** The rows that follow have `count` columns: the others have `width` characters where the page has 80, and stretch with it; the first, set
 * to the left, takes the rest. */
void page_layout(unsigned count, int width);
void page_row(const struct page_cell *cells);
void page_rule(void);

/** Puts text into a cell. */
__attribute__((format(printf, 3, 4))) void page_set(struct page_cell *cell, enum page_tone tone, const char *format, ...);

/* Numbers as people read them: three digits and a unit, with a space between that does not break. Each returns `text`. */

#define PAGE_NUMBER 32

char *page_time(char text[PAGE_NUMBER], double ns);
char *page_bytes(char text[PAGE_NUMBER], double bytes);
char *page_count(char text[PAGE_NUMBER], double count);   /* 1,111,111 */
char *page_roughly(char text[PAGE_NUMBER], double count); /* 119 million */
char *page_rate(char text[PAGE_NUMBER], double count);    /* 119 M */

/* ---- progress ---- */

/** The chapter that begins consists of `steps` steps. */
void progress_steps(unsigned steps);

/** The next step begins. On a terminal a bar says so; elsewhere a line on stderr, once it has taken a second. */
__attribute__((format(printf, 1, 2))) void progress_step(const char *format, ...);

/** The chapter's last step is over. */
void progress_end(void);

#endif
