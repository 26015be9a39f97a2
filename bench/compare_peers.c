/* SPDX-License-Identifier: MIT */
/* Who takes part in a comparison. Peers are the programs peer-NAME in the folder `peers` beside this program, where Meson puts them. Each
 * is asked with --list what it can express. What it says under a workload there is the most that it can stand: the comparison then
 * takes place at that size, with a filch of the same size. */
#include "compare.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define LIST_LIMIT 30.0 /* seconds; a virtual machine may have to start first */

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* ---- who is there ---- */

static int own_folder(char path[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (length < 0)
        return -errno;
    path[length] = 0;
    return 0;
}

static int by_name(const void *left, const void *right)
{
    const struct compare_system *a = left, *b = right;
    return strcmp(a->name, b->name);
}

/* Takes over `program`. */
static struct compare_system *add(struct compare_systems *systems, const char *name, size_t length, char *program)
{
    if (systems->count == COMPARE_SYSTEMS || !program) {
        bench_say("no room for '%.*s'", (int)length, name);
        free(program);
        return NULL;
    }
    struct compare_system *system = &systems->all[systems->count++];
    *system = (struct compare_system){.program = program};
    snprintf(system->name, sizeof system->name, "%.*s", (int)length, name);
    return system;
}

/* "a" is one of "b,a,c" */
static bool listed(const char *name, const char *list)
{
    size_t length = strlen(name);
    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == length && strncmp(at, name, length) == 0)
            return true;
    return false;
}

static void look_into(struct compare_systems *systems, const char *folder)
{
    DIR *directory = opendir(folder);
    for (struct dirent *file; directory && (file = readdir(directory));) {
        char *path;
        if (strncmp(file->d_name, "peer-", 5) != 0 || strchr(file->d_name, '.') || asprintf(&path, "%s/%s", folder, file->d_name) < 0)
            continue;
        if (access(path, X_OK) == 0)
            add(systems, file->d_name + 5, strlen(file->d_name + 5), path);
        else
            free(path);
    }
    if (directory)
        closedir(directory);
    qsort(systems->all + 1, systems->count - 1, sizeof systems->all[0], by_name);
}

static void fini(struct compare_system *system)
{
    free(system->program);
    free(system->version);
    json_decref(system->workloads);
}

void compare_systems_fini(struct compare_systems *systems)
{
    while (systems->count)
        fini(&systems->all[--systems->count]);
}

/* What it says of itself. A peer of ours that says nothing is left out; who is plugged in may be silent. */
static bool ask(struct compare_system *system)
{
    struct compare_process process;
    char *shell = NULL, *argv[] = {system->program, (char *)"--list", NULL, NULL, NULL, NULL};
    cpu_set_t all;
    sched_getaffinity(0, sizeof all, &all);
    if (system->shell) {
        if (asprintf(&shell, "%s \"$@\"", system->program) < 0)
            return false;
        memcpy(argv, (char *[]){(char *)"/bin/sh", (char *)"-c", shell, system->name, (char *)"--list"}, 5 * sizeof *argv);
    }
    int r = compare_run(argv, &all, LIST_LIMIT, &process);
    json_t *line = r < 0 || process.status != 0 ? NULL : compare_line(process.out);
    const char *version = json_string_value(json_object_get(line, "version"));
    json_t *workloads = json_object_get(line, "workloads");
    system->version = strdup(version ? version : "?");
    system->workloads = json_is_object(workloads) ? json_incref(workloads) : NULL;
    if (!workloads && !system->shell)
        bench_say("peer-%s does not say what it can do and is left out: %.200s", system->name, r < 0 ? strerror(-r) : process.err);
    json_decref(line);
    compare_process_fini(&process);
    free(shell);
    return workloads || system->shell;
}

/* Leaves in those that are wanted and answer. */
static void keep(struct compare_systems *systems, const char *wanted)
{
    unsigned kept = 1;
    for (unsigned i = 1; i < systems->count; i++) {
        struct compare_system system = systems->all[i];
        if ((!wanted || listed(system.name, wanted)) && ask(&system))
            systems->all[kept++] = system;
        else
            fini(&system);
    }
    systems->count = kept;
}

static int all_there(const struct compare_systems *systems, const char *wanted)
{
    for (const char *at = wanted; *at; at += strcspn(at, ","), at += *at == ',') {
        size_t length = strcspn(at, ",");
        bool there = length == 4 && strncmp(at, "none", 4) == 0;
        for (unsigned i = 1; i < systems->count; i++)
            there |= strlen(systems->all[i].name) == length && strncmp(systems->all[i].name, at, length) == 0;
        if (there)
            continue;
        char names[1024] = "";
        for (unsigned i = 1; i < systems->count; i++)
            strcat(strcat(names, " "), systems->all[i].name);
        bench_say("there is no peer '%.*s'; built are%s, and `none`", (int)length, at, systems->count > 1 ? names : " none");
        return -EINVAL;
    }
    return 0;
}

int compare_find(struct compare_systems *systems, const char *wanted)
{
    char path[PATH_MAX];
    *systems = (struct compare_systems){0};
    int r = own_folder(path);
    if (r < 0)
        return r;
    struct compare_system *self = add(systems, "filch", 5, strdup(path));
    if (!self)
        return -ENOMEM;
    if (asprintf(&self->version, "%s, " COMPILER, filch_version()) < 0)
        self->version = NULL;
    *strrchr(path, '/') = 0;
    strncat(path, "/peers", sizeof path - strlen(path) - 1);
    look_into(systems, path);
    r = wanted ? all_there(systems, wanted) : 0;
    if (r == 0)
        keep(systems, wanted);
    return r;
}

int compare_add_external(struct compare_systems *systems, const char *definition)
{
    size_t length = strcspn(definition, "=");
    if (length == 0 || length > 40 || !definition[length] || !definition[length + 1]) {
        bench_say("--external takes 'name=command', not '%s'", definition);
        return -EINVAL;
    }
    for (unsigned i = 0; i < systems->count; i++)
        if (strlen(systems->all[i].name) == length && strncmp(systems->all[i].name, definition, length) == 0) {
            bench_say("there is a '%s' already", systems->all[i].name);
            return -EINVAL;
        }
    struct compare_system *system = add(systems, definition, length, strdup(definition + length + 1));
    if (!system)
        return -ENOMEM;
    system->shell = true;
    ask(system);
    return 0;
}

/* ---- a trial's entries ---- */

/* Whether `wanted` is what a limit allows. @return NULL, or what takes its place: the limit, of several texts the first */
static json_t *replaced(const json_t *wanted, json_t *limit)
{
    if (json_is_number(limit))
        return json_is_number(wanted) && json_number_value(wanted) <= json_number_value(limit) ? NULL : json_incref(limit);
    const char *texts = json_string_value(limit), *text = json_string_value(wanted);
    size_t length = text ? strlen(text) : 0;
    for (const char *at = texts; at && text && *at; at += strcspn(at, "|"), at += *at == '|')
        if (strcspn(at, "|") == length && strncmp(at, text, length) == 0)
            return NULL;
    return texts ? json_stringn(texts, strcspn(texts, "|")) : json_incref(limit);
}

static json_t *limited(const json_t *params, const json_t *most)
{
    json_t *mine = json_deep_copy(params), *limit;
    const char *key;
    json_object_foreach((json_t *)most, key, limit)
    {
        json_t *instead = replaced(json_object_get(mine, key), limit);
        if (instead)
            json_object_set_new(mine, key, instead);
    }
    return mine;
}

static void append(json_t *command, const char *text)
{
    json_array_append_new(command, json_string(text));
}

static void append_params(json_t *command, const json_t *params, bool with_form)
{
    const char *key;
    json_t *value;
    char text[64];
    json_object_foreach((json_t *)params, key, value)
    {
        if (!with_form && strcmp(key, "form") == 0)
            continue;
        snprintf(text, sizeof text, "--%.60s", key);
        append(command, text);
        if (json_is_integer(value))
            snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else if (json_is_real(value))
            snprintf(text, sizeof text, "%.15g", json_real_value(value));
        append(command, json_is_string(value) ? json_string_value(value) : text);
    }
}

static json_t *command_of(const struct compare_trial *trial, const struct compare_system *system, const json_t *params)
{
    char workers[16], *shell = NULL;
    json_t *command = json_array();
    bool filch = !system->workloads && !system->shell;
    snprintf(workers, sizeof workers, "%u", trial->workers);
    if (system->shell && asprintf(&shell, "%s \"$@\"", system->program) > 0) {
        append(command, "/bin/sh");
        append(command, "-c");
        append(command, shell);
        append(command, system->name);
    } else {
        append(command, system->program);
    }
    if (filch)
        append(command, "run");
    append(command, trial->workload);
    append(command, "--workers");
    append(command, workers);
    append_params(command, params, filch);
    if (filch) {
        append(command, "--runs");
        append(command, "1");
        append(command, "--json");
    }
    free(shell);
    return command;
}

/* Takes over `params`. @return its index */
static unsigned enter(struct compare_trial *trial, const struct compare_system *system, json_t *params, unsigned against)
{
    unsigned index = trial->count++;
    trial->entries[index] = (struct compare_entry){
        .system = system,
        .params = params,
        .command = command_of(trial, system, params),
        .runs = json_array(),
        .against = against,
    };
    return index;
}

/* Whether the peer does just this in an earlier trial. */
static bool done_before(const struct compare_trial *trials, unsigned index, const struct compare_system *system, const json_t *params)
{
    const struct compare_trial *trial = &trials[index];
    for (unsigned t = 0; t < index; t++)
        for (unsigned i = 0; i < trials[t].count && trials[t].workers == trial->workers; i++)
            if (strcmp(trials[t].workload, trial->workload) == 0 && trials[t].entries[i].system == system &&
                json_equal(trials[t].entries[i].params, params))
                return true;
    return false;
}

void compare_plan(struct compare_trial *trials, unsigned index, const struct compare_systems *systems)
{
    struct compare_trial *trial = &trials[index];
    enter(trial, &systems->all[0], json_deep_copy(trial->params), 0);
    for (unsigned i = 1; i < systems->count; i++) {
        const struct compare_system *system = &systems->all[i];
        json_t *most = json_object_get(system->workloads, trial->workload);
        if (system->workloads && !most)
            continue;
        json_t *params = limited(trial->params, most);
        if (!json_equal(params, trial->params) && done_before(trials, index, system, params)) {
            json_decref(params);
            continue;
        }
        unsigned against = 0;
        while (against < trial->count &&
               (trial->entries[against].system != &systems->all[0] || !json_equal(trial->entries[against].params, params)))
            against++;
        if (against == trial->count)
            enter(trial, &systems->all[0], json_deep_copy(params), against);
        enter(trial, system, params, against);
    }
}

char **compare_argv(const struct compare_entry *entry)
{
    size_t count = json_array_size(entry->command);
    char **argv = calloc(count + 1, sizeof *argv);
    for (size_t i = 0; argv && i < count; i++)
        argv[i] = (char *)json_string_value(json_array_get(entry->command, i));
    return argv;
}

void compare_trial_fini(struct compare_trial *trial)
{
    for (unsigned i = 0; i < trial->count; i++) {
        json_decref(trial->entries[i].params);
        json_decref(trial->entries[i].command);
        json_decref(trial->entries[i].runs);
        json_decref(trial->entries[i].ratios);
    }
    json_decref(trial->params);
    trial->count = 0;
}
