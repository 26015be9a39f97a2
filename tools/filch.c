/* SPDX-License-Identifier: MIT */
/* The `filch` command: what the runtime would choose on this machine, and why.
 *
 *   1. Results go to stdout, complaints to stderr. Exit status: 0 done, 1 it failed (a full disk counts), 2 wrong usage.
 *   2. --help works everywhere and is a result. A word that is no command, or one too many, is wrong usage.
 *   3. --json prints one object and nothing else; a text layout may change, names in the object only grow.
 *   4. It decides nothing: every number comes from the same functions that a runtime calls when it starts.
 *
 * A command is a file, and a line in `commands`. The program is linked with the internal library, so it may look into any floor.
 *
 * Rejected: argp, which prints its own usage texts, exits with 64 and cannot share a table of sub-commands with them. */
#define _GNU_SOURCE 1
#include "command.h"

#include <errno.h>
#include <filch/version.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

int wrong_usage(const struct command *self)
{
    fprintf(stderr, "Try 'filch%s%s --help'.\n", self ? " " : "", self ? self->name : "");
    return USAGE;
}

int take_options(const struct command *self, int argc, char **argv, bool *ret_json)
{
    static const struct option with_json[] = {{"help", no_argument, NULL, 'h'}, {"json", no_argument, NULL, 'j'}, {0}};
    static const struct option without_json[] = {{"help", no_argument, NULL, 'h'}, {0}};
    char title[32];
    snprintf(title, sizeof title, "filch %s", self->name);
    argv[0] = title;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, "h", ret_json ? with_json : without_json, NULL)) != -1;) {
        switch (option) {
        case 'h':
            fputs(self->help, stdout);
            return DONE;
        case 'j':
            *ret_json = true;
            break;
        default:
            return wrong_usage(self);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "filch %s: unexpected argument '%s'\n", self->name, argv[optind]);
        return wrong_usage(self);
    }
    return -1;
}

int print_json(const struct command *self, json_t *root)
{
    if (!root) {
        fprintf(stderr, "filch %s: cannot build the JSON object\n", self->name);
        return FAILED;
    }
    int rc = json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    json_decref(root);
    putchar('\n');
    return rc ? FAILED : DONE;
}

/* ---- version ---- */

static int run_version(const struct command *self, int argc, char **argv)
{
    int status = take_options(self, argc, argv, NULL);
    if (status >= 0)
        return status;
    printf("filch %s\n", filch_version());
    return DONE;
}

const struct command command_version = {"version", "the version of the library",
                                        "Usage: filch version\n"
                                        "\n"
                                        "Prints the version of the library that this command is linked with.\n"
                                        "\n"
                                        "  -h, --help  this text\n",
                                        run_version};

/* ---- main ---- */

static const struct command *const commands[] = {&command_topo, &command_io, &command_version};

static void print_help(FILE *out)
{
    fputs("Usage: filch COMMAND [OPTION...]\n\nCommands:\n", out);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(out, "  %-10s  %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n'filch COMMAND --help' says more about one of them.\n", out);
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return USAGE;
    }
    const char *name = argv[1];
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        print_help(stdout);
        return DONE;
    }
    if (!strcmp(name, "--version"))
        name = "version";
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(name, commands[i]->name))
            return commands[i]->run(commands[i], argc - 1, argv + 1);
    fprintf(stderr, "filch: unknown %s '%s'\n", *name == '-' ? "option" : "command", name);
    return wrong_usage(NULL);
}

int main(int argc, char **argv)
{
    int status = run(argc, argv);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "filch: cannot write the result: %s\n", strerror(errno));
        return FAILED;
    }
    return status;
}
