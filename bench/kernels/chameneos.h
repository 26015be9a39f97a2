/* SPDX-License-Identifier: MIT */
/* The colours of bench/chameneos.c: who begins with which, and what two become that meet. */
#ifndef FILCH_BENCH_KERNELS_CHAMENEOS_H
#define FILCH_BENCH_KERNELS_CHAMENEOS_H

#include <stdint.h>

enum { CHAMENEOS_BLUE, CHAMENEOS_RED, CHAMENEOS_YELLOW, CHAMENEOS_COLOURS };

struct chameneos {
    unsigned colour;
    int64_t met, met_itself;
};

/** The row of ten with which the game begins, and on from its start. */
static inline struct chameneos chameneos_begin(int64_t creature)
{
    static const unsigned row[] = {CHAMENEOS_BLUE, CHAMENEOS_RED, CHAMENEOS_YELLOW, CHAMENEOS_RED, CHAMENEOS_YELLOW,
                                   CHAMENEOS_BLUE, CHAMENEOS_RED, CHAMENEOS_YELLOW, CHAMENEOS_RED, CHAMENEOS_BLUE};
    struct chameneos self = {row[creature % 10], 0, 0};
    return self;
}

/** The complement: their own if they are of the same colour, else the third. */
static inline void chameneos_meet(struct chameneos *one, struct chameneos *other)
{
    one->colour = other->colour = (2 * CHAMENEOS_COLOURS - one->colour - other->colour) % CHAMENEOS_COLOURS;
    one->met++;
    other->met++;
    one->met_itself += one == other;
}

/** What all add up to; colours modulo 3, which no meeting changes. */
static inline void chameneos_add(struct chameneos *sum, const struct chameneos *one)
{
    sum->colour = (sum->colour + one->colour) % CHAMENEOS_COLOURS;
    sum->met += one->met;
    sum->met_itself += one->met_itself;
}

#endif
