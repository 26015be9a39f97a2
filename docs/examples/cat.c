/* SPDX-License-Identifier: MIT */
/* cat: files, or what comes in, one after the other to standard output.
 *
 * filch_read and filch_write_all wait for pipes, terminals and sockets in the same way, whether they are in non-blocking mode or not, and write what a
 * short write has left. A reader that has gone ends the program as it ends others: workers block all signals, so what comes is EPIPE, and
 * main ends by SIGPIPE then. */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE (128 << 10)

struct cat {
    char **names;
    char *bytes;
    bool broken_pipe;
};

/* What is written to a file that is read never ends. */
static bool is_output(int fd)
{
    struct stat in, out;
    return fstat(fd, &in) == 0 && fstat(STDOUT_FILENO, &out) == 0 && S_ISREG(in.st_mode) && in.st_dev == out.st_dev &&
           in.st_ino == out.st_ino && lseek(fd, 0, SEEK_CUR) < in.st_size;
}

/* @return 0, or -errno of standard output: nothing more can be done; *ret_status: FAILED if `name` could not be read */
static int copy(const char *name, int fd, char *bytes, int *ret_status)
{
    for (;;) {
        ssize_t n = filch_read(fd, bytes, PIECE);
        if (n < 0 && n != -ECANCELED) {
            complain("%s: %s", name, strerror((int)-n));
            *ret_status = FAILED;
        }
        if (n <= 0)
            return n == -ECANCELED ? -ECANCELED : 0;
        int r = filch_write_all(STDOUT_FILENO, bytes, (size_t)n, NULL);
        if (r < 0)
            return r;
    }
}

static int cat_one(const char *name, char *bytes, int *ret_status)
{
    bool standard = strcmp(name, "-") == 0;
    int fd = standard ? STDIN_FILENO : filch_open(name, O_RDONLY | O_CLOEXEC, 0), r = 0;
    if (fd < 0) {
        complain("%s: %s", name, strerror(-fd));
        *ret_status = FAILED;
        return 0;
    }
    if (is_output(fd)) {
        complain("%s: is where the output goes", name);
        *ret_status = FAILED;
    } else {
        r = copy(name, fd, bytes, ret_status);
    }
    if (!standard)
        filch_close(fd);
    return r;
}

static int cat(void *arg)
{
    struct cat *cat = arg;
    int status = DONE, r = 0;
    for (char **name = cat->names; r == 0 && *name; name++)
        r = cat_one(*name, cat->bytes, &status);
    cat->broken_pipe = r == -EPIPE;
    if (r == 0 || cat->broken_pipe || r == -ECANCELED)
        return r == 0 ? status : FAILED;
    complain("standard output: %s", strerror(-r));
    return FAILED;
}

static const char help[] =
    "Usage: cat [OPTION]... [FILE]...\n"
    "Writes files one after the other to standard output. Without a FILE, or where it is -, standard input.\n\n" WORKERS_HELP;

int main(int argc, char **argv)
{
    const struct setting settings[] = {WORKERS_SETTING};
    static char *const standard_input[] = {"-", NULL};
    int operands = take_options(argc, argv, settings, sizeof settings / sizeof *settings, help, 0, argc);
    struct cat all = {.names = argv[operands] ? argv + operands : (char **)standard_input, .bytes = malloc(PIECE)};
    if (!all.bytes) {
        complain("no memory");
        return FAILED;
    }
    int status = run_tool(cat, &all);
    free(all.bytes);
    if (all.broken_pipe)
        die_by(SIGPIPE);
    return status;
}
