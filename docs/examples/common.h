/* SPDX-License-Identifier: MIT */
/* What the examples share: options, complaints, the end by a signal, and for those that serve, the listener and the loop that accepts. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <filch.h>

/* Exit statuses. */
enum { DONE = 0, FAILED = 1, USAGE = 2 };

/** Writes "PROGRAM: ..." and a newline to stderr. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- options ---- */

/** One option: a number with bounds, a word, or a flag; one of the three pointers is set. */
struct setting {
    const char *name;
    long *number, least, most;
    const char **word;
    bool *flag;
};

/** Takes the options out of argv. Prints `help` and ends the program if asked to; complains and ends it with status 2 if one is wrong, or the number of operands.
 * @return the index of the first operand */
int take_options(int argc, char **argv, const struct setting *settings, int count, const char *help, int operands_least, int operands_most);

/* ---- the runtime ---- */

extern long workers; /* of --workers */

#define WORKERS_SETTING                                                  \
    {                                                                    \
        .name = "workers", .number = &workers, .least = 0, .most = 1024, \
    }
#define WORKERS_HELP "  --workers N       kernel threads that run tasks; 0: one a core (default)\n"

/** Runs fn(arg) as the first task of a runtime. SIGINT and SIGTERM cancel it.
 * @param ret_signal the signal that came, or 0
 * @return what fn returned, an exit status; FAILED, with a complaint, if there is no runtime to be had */
int run(filch_fn *fn, void *arg, int *ret_signal);

/** As run, for tools: after a signal the program ends by that signal, so that a shell sees it. */
int run_tool(filch_fn *fn, void *arg);

/** Ends the program as `signal` would have. */
void die_by(int signal);

/* ---- what several need ---- */

/** What a system call said: r, or -errno if that is less than 0. A function of its own, because errno has another address once a call has parked. */
int or_error(int r);

/** Makes close(2) reset a connection, so that the other end knows that it wasn't whole. */
void reset_at_close(int fd);

/* ---- servers ---- */

/* Of the options of the same names. */
extern const char *server_address;
extern long server_port, server_connections;

#define SERVER_SETTINGS                                                                                                                 \
    WORKERS_SETTING, {.name = "address", .word = &server_address}, {.name = "port", .number = &server_port, .least = 0, .most = 65535}, \
    {                                                                                                                                   \
        .name = "connections", .number = &server_connections, .least = 1, .most = 10 * 1000000,                                         \
    }
#define SERVER_HELP                                                                                   \
    "  --port N          listen on this port; 0: any (default). The port is printed, as \"port N\"\n" \
    "  --address ADDR    listen on this address; default: all, IPv6 and IPv4\n"                       \
    "  --connections N   at most so many at a time, others wait; default: 10000\n" WORKERS_HELP

/** Listens, and calls connection(fd) in a task of its own for each connection, until SIGINT or SIGTERM comes. The descriptor is closed when it returns; what it
 * returns, 0 or -errno, is nobody's business but its own.
 * @param descriptors how many a connection may need, its own included @return an exit status */
int serve(int (*connection)(int fd), int descriptors);

#endif
