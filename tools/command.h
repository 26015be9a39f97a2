/* SPDX-License-Identifier: MIT */
/* A command of `filch`: a function, and what --help says of it. Each has a file of its own; filch.c has the table. */
#ifndef FILCH_TOOLS_COMMAND_H
#define FILCH_TOOLS_COMMAND_H

#include <jansson.h>
#include <stdbool.h>

enum { DONE = 0, FAILED = 1, USAGE = 2 };

struct command {
    const char *name;
    const char *summary;
    const char *help;
    int (*run)(const struct command *self, int argc, char **argv);
};

extern const struct command command_topo, command_io, command_version;

/** Says where to find help. @return USAGE */
int wrong_usage(const struct command *self);

/** Takes --help, and --json where ret_json is given; no further words. @return -1 to go on, else the exit status. */
int take_options(const struct command *self, int argc, char **argv, bool *ret_json);

/** Prints an object, which it takes over; NULL: there was no memory for it. @return exit status */
int print_json(const struct command *self, json_t *root);

#endif
