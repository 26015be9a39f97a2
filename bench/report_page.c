/* SPDX-License-Identifier: MIT */
/* report: one page with pictures, to be opened in a browser and handed on, docs/concepts/bench.md.
 *
 * The figures come from files that `compare --json`, `run … --json` and `report --save` have written, or they are measured here
 * (report_measure.c). The page is made by a Python program, `report/draw` in the folder beside this program, where Meson puts it; it is
 * asked before anything is measured whether it has what it needs. */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "util.h"

extern char **environ;

static const char usage[] =
    "usage: filch-bench report OUT.html [FILE…] [--measure WHAT,…] [--rounds R] [--peers A,B,…] [--workloads 'A B …']\n"
    "                          [--quick] [--save FILE] [--pictures DIR]\n"
    "\n"
    "Makes one self-contained page of figures: three threading models side by side, filch beside other runtimes,\n"
    "speed-up, how late tasks wake, memory, and the machine with all versions and commands.\n"
    "\n"
    "  OUT.html         the page; it is written when it is complete\n"
    "  FILE             figures: what `compare --json`, `run NAME --json` or `report --save` has printed; `-`: from stdin\n"
    "  --measure        what is measured here and now: models, compare, latency, all of them with commas, or none;\n"
    "                   default: everything without a FILE, nothing with one\n"
    "  --rounds         of what is measured; default: 3\n"
    "  --peers          who takes part; default: all that were built; `none`: nobody\n"
    "  --workloads      for compare, in one word with blanks between them: 'fork sort:n=1000000'; default: a choice\n"
    "  --quick          small sizes and one round: to see a page in two minutes, not to measure\n"
    "  --save           what was measured, as JSON, to make the page again from\n"
    "  --pictures       also writes models.svg and stall.svg into this folder, for a README or a talk\n"
    "  -h, --help       this\n"
    "\n"
    "With all peers measuring takes about half an hour. Drawing needs Debian's python3-matplotlib, counting kernel\n"
    "entries strace; without that, they are missing from the page.\n"
    "Exit status: 0; 1 something failed; 2 the command line was not understood.\n";

struct command {
    struct report_options measure;
    const char *out, *save, *pictures;
    char **files;
    int file_count;
};

/* ---- the command line ---- */

static int read_what(const char *text, unsigned *ret_what)
{
    static const struct {
        const char *name;
        unsigned what;
    } words[] = {{"models", REPORT_MODELS}, {"compare", REPORT_COMPARE}, {"latency", REPORT_LATENCY}, {"all", REPORT_ALL}, {"none", 0}};
    unsigned what = 0;
    for (const char *at = text; *at; at += strcspn(at, ","), at += *at == ',') {
        size_t length = strcspn(at, ","), i = 0;
        while (i < BENCH_COUNT(words) && (strlen(words[i].name) != length || strncmp(words[i].name, at, length) != 0))
            i++;
        if (i == BENCH_COUNT(words)) {
            bench_say("report: --measure takes models, compare, latency, all, or none, not '%.*s'", (int)length, at);
            return -EINVAL;
        }
        what |= words[i].what;
    }
    *ret_what = what;
    return 0;
}

static int read_rounds(const char *text, unsigned *ret_rounds)
{
    char *end;
    long rounds = strtol(text, &end, 10);
    if (end == text || *end || rounds < 1 || rounds > 1000) {
        bench_say("report: --rounds takes a whole number from 1 to 1000, not '%s'", text);
        return -EINVAL;
    }
    *ret_rounds = (unsigned)rounds;
    return 0;
}

/* What can be found out before anything is measured. */
static int check_places(const struct command *command)
{
    char *folder = strdup(command->out), *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash)
        slash[slash == folder] = 0;
    int r = folder && access(slash ? folder : ".", W_OK) == 0 ? 0 : -errno;
    if (r < 0)
        bench_say("report: %s cannot be written: %s", command->out, strerror(-r));
    free(folder);
    for (int i = 0; r == 0 && i < command->file_count; i++)
        if (strcmp(command->files[i], "-") != 0 && access(command->files[i], R_OK) < 0) {
            r = -errno;
            bench_say("report: %s: %s", command->files[i], strerror(-r));
        }
    if (r == 0 && command->pictures && access(command->pictures, W_OK) < 0) {
        r = -errno;
        bench_say("report: no pictures can be written into %s: %s", command->pictures, strerror(-r));
    }
    return r < 0 ? -EINVAL : 0;
}

/* @return 0, 1 when it was --help, or -EINVAL once it has said what is wrong */
static int parse(struct command *command, int argc, char **argv)
{
    static const struct option table[] = {
        {"measure", required_argument, NULL, 'm'},   {"rounds", required_argument, NULL, 'r'}, {"peers", required_argument, NULL, 'p'},
        {"workloads", required_argument, NULL, 'w'}, {"quick", no_argument, NULL, 'q'},        {"save", required_argument, NULL, 's'},
        {"pictures", required_argument, NULL, 'd'},  {"help", no_argument, NULL, 'h'},         {0},
    };
    const char *what = NULL, *rounds = NULL;
    opterr = 0;
    optind = 0;
    for (int c; (c = getopt_long(argc, argv, ":h", table, NULL)) != -1;) {
        switch (c) {
        case 'm':
            what = optarg;
            break;
        case 'r':
            rounds = optarg;
            break;
        case 'p':
            command->measure.peers = optarg;
            break;
        case 'w':
            command->measure.workloads = optarg;
            break;
        case 'q':
            command->measure.quick = true;
            break;
        case 's':
            command->save = optarg;
            break;
        case 'd':
            command->pictures = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return 1;
        default:
            bench_say(c == ':' ? "report: %s needs a value" : "report: no option '%s'; see filch-bench report --help", argv[optind - 1]);
            return -EINVAL;
        }
    }
    if (optind == argc) {
        bench_say("report: where to? `filch-bench report OUT.html` measures and writes a page; see --help");
        return -EINVAL;
    }
    command->out = argv[optind];
    if (strlen(command->out) > 5 && strcmp(command->out + strlen(command->out) - 5, ".json") == 0) {
        bench_say("report: %s does not look like a page; `filch-bench report OUT.html %s` makes one of these figures", command->out,
                  command->out);
        return -EINVAL;
    }
    command->files = argv + optind + 1;
    command->file_count = argc - optind - 1;
    command->measure.rounds = command->measure.quick ? 1 : 3;
    command->measure.what = command->file_count ? 0 : REPORT_ALL;
    int r = rounds ? read_rounds(rounds, &command->measure.rounds) : 0;
    if (r == 0 && what)
        r = read_what(what, &command->measure.what);
    if (r == 0 && command->measure.what == 0 && command->file_count == 0) {
        bench_say("report: nothing is to be measured, and there is no FILE to take figures from");
        r = -EINVAL;
    }
    return r == 0 ? check_places(command) : r;
}

/* ---- the drawing program ---- */

static int drawing_program(char path[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - sizeof "report/draw");
    char *slash = length < 0 ? NULL : memrchr(path, '/', (size_t)length);
    if (!slash)
        return -ENOENT;
    strcpy(slash + 1, "report/draw");
    if (access(path, X_OK) == 0)
        return 0;
    bench_say("report: the program that draws is not at %s, where the build puts it; `ninja` in the build folder makes it", path);
    return -ENOENT;
}

/* Runs it with these arguments. @return its exit status, or -errno */
static int draw(char *argv[])
{
    char path[PATH_MAX];
    pid_t pid;
    int status, r = drawing_program(path);
    if (r < 0)
        return r;
    argv[0] = path;
    fflush(NULL);
    r = posix_spawn(&pid, path, NULL, NULL, argv, environ);
    if (r != 0) {
        bench_say("report: %s cannot be started: %s", path, strerror(r));
        return -r;
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* ---- the way through ---- */

/* The name of a file in memory that the drawing program inherits. */
static int keep(const json_t *report, char name[32])
{
    int fd = memfd_create("measured", 0);
    if (fd < 0 || json_dumpfd(report, fd, JSON_COMPACT | JSON_REAL_PRECISION(9)) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return -EIO;
    snprintf(name, 32, "/proc/self/fd/%d", fd);
    return 0;
}

static int save(const json_t *report, const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    int r = file && json_dumpf(report, file, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0 && fputc('\n', file) != EOF ? 0 : -errno;
    if (file && file != stdout && fclose(file) != 0 && r == 0)
        r = -errno;
    if (r < 0)
        bench_say("report: %s cannot be written: %s", path, strerror(-r));
    return r;
}

static int make(const struct command *command)
{
    char measured[32], **argv = calloc((size_t)command->file_count + 8, sizeof *argv);
    json_t *report = NULL;
    int count = 1, r = argv ? draw((char *[]){NULL, (char *)"--check", NULL}) : -ENOMEM;
    if (r == 0 && command->measure.what)
        r = report_measure(&command->measure, &report);
    if (r == 0 && report && command->save)
        r = save(report, command->save);
    if (r == 0) {
        if (command->pictures) {
            argv[count++] = (char *)"--pictures";
            argv[count++] = (char *)command->pictures;
        }
        argv[count++] = (char *)"--";
        argv[count++] = (char *)command->out;
        for (int i = 0; i < command->file_count; i++)
            argv[count++] = command->files[i];
        if (report && (r = keep(report, measured)) == 0)
            argv[count++] = measured;
    }
    if (r == 0)
        r = draw(argv);
    json_decref(report);
    free(argv);
    return r;
}

int bench_report(int argc, char **argv)
{
    struct command command = {0};
    int r = parse(&command, argc, argv);
    if (r != 0)
        return r < 0 ? 2 : 0;
    r = make(&command);
    return r == -EINVAL ? 2 : r != 0;
}
