/* SPDX-License-Identifier: MIT */
/* How often does a runtime enter the kernel, for a task, a switch, a message there and back?
 *
 * strace -f -c counts the system calls of a whole process, with all its threads and children. Each system does the work in two sizes;
 * the difference of the counts, divided by that of the operations, leaves out what starting takes, and a fraction is a call that is needed
 * now and then. A process does the work twice, as for `compare` (docs/concepts/bench.md), so an operation counts twice. All is bound to
 * one CPU: a trace makes system calls slow, and on two CPUs that would change who waits for whom.
 *
 * What is counted are system calls. Page faults and interrupts enter the kernel, too, and are not seen. */
#include "report.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "util.h"

#define LIMIT 120.0 /* seconds */
#define TIMES 2     /* that a process does the work */

static const struct operation {
    const char *workload, *per;
    const char *key; /* its size */
    int few, many;
    const char *more;
} operations[] = {
    {"flat", "task", "tasks", 1000, 4000, ""},
    {"yield", "switch", "switches", 4000, 20000, " --tasks 10"},
    {"pingpong", "round", "rounds", 1000, 5000, ""},
};

unsigned report_words(char *argv[REPORT_WORDS], unsigned count, char *text)
{
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word && count + 1 < REPORT_WORDS; word = strtok_r(NULL, " ", &rest))
        argv[count++] = word;
    argv[count] = NULL;
    return count;
}

static bool find_strace(char path[PATH_MAX])
{
    const char *folders = getenv("PATH");
    for (const char *at = folders ? folders : "/usr/bin:/bin"; *at; at += strcspn(at, ":"), at += *at == ':') {
        snprintf(path, PATH_MAX, "%.*s/strace", (int)strcspn(at, ":"), at);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

int report_last_cpu(void)
{
    cpu_set_t allowed;
    int cpu = CPU_SETSIZE - 1;
    sched_getaffinity(0, sizeof allowed, &allowed);
    while (cpu > 0 && !CPU_ISSET(cpu, &allowed))
        cpu--;
    return cpu;
}

/* Of the table that strace has left in a file: "CALLS total". -1 if there is none. */
static double total_of(int fd)
{
    char text[1 << 14], *rest = NULL, name[32];
    double calls, total = -1;
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    text[length < 0 ? 0 : length] = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (sscanf(line, "%lf %31s", &calls, name) == 2 && strcmp(name, "total") == 0)
            total = calls;
    return total;
}

/* The arguments of a system's program. */
static void arguments_of(const char *model, const struct operation *operation, int size, char text[160])
{
    snprintf(text, 160, "%s%s --workers 1 --%s %d%s%s%s%s", model ? "run " : "", operation->workload, operation->key, size, operation->more,
             model ? " --model " : "", model ? model : "", model ? " --runs 1 --json" : "");
}

/* System calls of one process. @return NULL, or what went wrong, in `why` */
static const char *count(const struct compare_system *system, const char *model, const struct operation *operation, int size,
                         double *ret_calls, char why[200])
{
    char strace[PATH_MAX], words[160], file[32], tail[160], *argv[REPORT_WORDS] = {strace};
    struct compare_process process;
    if (!find_strace(strace))
        return "strace is not installed";
    int fd = memfd_create("calls", 0); /* strace opens it again, by the number that it inherits */
    if (fd < 0)
        return "no memory for a file";
    snprintf(file, sizeof file, "/proc/self/fd/%d", fd);
    snprintf(words, sizeof words, "-f -c -U calls,name -o %s --", file);
    unsigned used = report_words(argv, 1, words);
    argv[used++] = system->program;
    arguments_of(model, operation, size, tail);
    report_words(argv, used, tail);
    cpu_set_t cpu;
    CPU_ZERO(&cpu);
    CPU_SET(report_last_cpu(), &cpu);
    int r = compare_run(argv, &cpu, LIMIT, &process);
    *ret_calls = total_of(fd);
    close(fd);
    size_t line = r < 0 ? 0 : strcspn(process.err, "\n");
    if (r < 0)
        snprintf(why, 200, "%s", strerror(-r));
    else
        snprintf(why, 200, "%s%.*s", process.timeout ? "not done in time; " : "", (int)(line < 150 ? line : 150), process.err);
    bool good = r == 0 && !process.timeout && process.status == 0 && *ret_calls >= 0;
    compare_process_fini(&process);
    return good ? NULL : why[0] ? why : "strace has counted nothing";
}

static bool expressed(const struct compare_system *system, const struct operation *operation)
{
    const json_t *most = json_object_get(system->workloads, operation->workload), *limit = json_object_get(most, operation->key);
    return most && (!json_is_number(limit) || json_number_value(limit) >= operation->many);
}

json_t *report_entries(const struct compare_system *system, const char *model, bool quick)
{
    json_t *figures = json_array();
    for (unsigned i = 0; i < BENCH_COUNT(operations); i++) {
        const struct operation *operation = &operations[i];
        const int few = quick ? operation->few / 4 : operation->few, many = quick ? operation->many / 4 : operation->many;
        char text[200], arguments[160], *command;
        double calls[2];
        if (!model && !expressed(system, operation))
            continue;
        json_t *figure = json_pack("{s:s, s:s, s:s, s:[i,i]}", "system", system->name, "workload", operation->workload, "per",
                                   operation->per, "sizes", few, many);
        if (model)
            json_object_set_new(figure, "model", json_string(model));
        arguments_of(model, operation, many, arguments);
        if (asprintf(&command, "taskset -c %d strace -f -c %s %s", report_last_cpu(), basename(system->program), arguments) > 0) {
            json_object_set_new(figure, "command", json_string(command));
            free(command);
        }
        const char *why = count(system, model, operation, few, &calls[0], text);
        if (!why)
            why = count(system, model, operation, many, &calls[1], text);
        if (why)
            json_object_set_new(figure, "why", json_string(why));
        else
            json_object_update_new(
                figure, json_pack("{s:[f,f], s:f}", "calls", calls[0], calls[1], "value", (calls[1] - calls[0]) / (TIMES * (many - few))));
        json_array_append_new(figures, figure);
    }
    return figures;
}
