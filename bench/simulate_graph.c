/* SPDX-License-Identifier: MIT */
/* Graphs by name, graphs from files, and machines for them.
 *
 * A file is text; what it says is in docs/concepts/bench.md. It is read strictly: a graph that could not run to its end is refused as far as that can be seen
 * without running it. Only tasks that wait for each other in a circle are found later, since they never run. */
#include "simulate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "util.h"

#define MOST_TASKS 100000000

/* ---- by name ---- */

static const struct kind {
    const char *name, *size, *defaults;
    enum sim_kind kind;
    double min, max;
} kinds[] = {
    {"fork", "n", "fork:n=34", SIM_FORK, 2, 46},
    {"uts", "", "uts:tree=T1", SIM_UTS, 0, 0},
    {"wavefront", "tiles", "wavefront:tiles=64", SIM_WAVEFRONT, 1, 4096},
    {"flat", "tasks", "flat:tasks=1000000", SIM_FLAT, 1, 1e8},
};

static int64_t fibonacci(int64_t number)
{
    int64_t a = 0, b = 1;
    while (number--) {
        int64_t sum = a + b;
        a = b;
        b = sum;
    }
    return a;
}

/* What a run must come to. */
static void expect(struct simulate_graph *graph, const struct uts_sample *sample)
{
    int64_t n = graph->graph.n;
    graph->check[0] = graph->check[1] = graph->check[2] = 0;
    switch (graph->graph.kind) {
    case SIM_FORK:
        graph->check[0] = fibonacci(n);
        graph->tasks = (uint64_t)fibonacci(n + 1) - 1;
        break;
    case SIM_UTS:
        graph->check[0] = sample ? sample->count.nodes : -1;
        graph->check[1] = sample ? sample->count.leaves : -1;
        graph->check[2] = sample ? (int64_t)sample->count.depth : -1;
        graph->tasks = sample ? (uint64_t)sample->count.nodes : 0;
        break;
    case SIM_WAVEFRONT:
        graph->check[0] = n * n;
        graph->tasks = (uint64_t)(n * n);
        break;
    case SIM_FLAT:
        graph->check[0] = n;
        graph->tasks = (uint64_t)n;
        break;
    case SIM_RECORDED:
        graph->check[0] = graph->graph.recorded->count;
        graph->tasks = graph->graph.recorded->count;
        break;
    }
}

static const struct uts_sample *sample_named(const char *name, size_t length)
{
    for (const struct uts_sample *sample = uts_samples; sample->name; sample++)
        if (strlen(sample->name) == length && strncmp(sample->name, name, length) == 0)
            return sample;
    return NULL;
}

static int bad_value(const char *definition, const char *what)
{
    bench_say("sim: '%s': %s", definition, what);
    return -EINVAL;
}

static int read_param(struct simulate_graph *graph, const struct kind *kind, const struct uts_sample **sample, const char *key,
                      const char *value)
{
    struct uts_tree *tree = &graph->graph.tree;
    size_t length = strcspn(value, ",");
    char *end;
    double number = strtod(value, &end);
    bool is_number = end == value + length && length > 0;
    if (kind->kind == SIM_UTS && strncmp(key, "tree=", 5) == 0) {
        *sample = sample_named(value, length);
        if (!*sample)
            return bad_value(key, "tree is one of " UTS_SAMPLES);
        *tree = (*sample)->tree;
        return 0;
    }
    if (!is_number || number < 0)
        return bad_value(key, "a number is expected");
    if (strncmp(key, "work=", 5) == 0) {
        graph->graph.work = number;
        graph->work_given = true;
        return 0;
    }
    if (strncmp(key, "spawn=", 6) == 0) {
        graph->graph.spawn = number;
        graph->spawn_given = true;
        return 0;
    }
    if (kind->kind == SIM_UTS && (strncmp(key, "depth=", 6) == 0 || strncmp(key, "seed=", 5) == 0)) {
        *(key[0] == 'd' ? &tree->depth : &tree->seed) = (int64_t)number;
        *sample = NULL; /* nobody has published that one */
        return 0;
    }
    size_t name = strlen(kind->size);
    if (kind->kind != SIM_UTS && strncmp(key, kind->size, name) == 0 && key[name] == '=') {
        if (number < kind->min || number > kind->max || number != (double)(int64_t)number)
            return bad_value(key, "that size is not possible; `filch-bench sim --list` says which are");
        graph->graph.n = (int64_t)number;
        return 0;
    }
    return bad_value(key, "there is no such parameter; `filch-bench sim --list` names them");
}

static int read_params(struct simulate_graph *graph, const struct kind *kind, const struct uts_sample **sample, const char *text)
{
    for (int r; *text; text += strcspn(text, ","), text += *text == ',') {
        const char *value = strchr(text, '=');
        if (!value || value > text + strcspn(text, ","))
            return bad_value(text, "parameters are KEY=VALUE,KEY=VALUE");
        r = read_param(graph, kind, sample, text, value + 1);
        if (r < 0)
            return r;
    }
    return 0;
}

int simulate_read_graph(struct simulate_graph *graph, const char *definition)
{
    size_t length = strcspn(definition, ":");
    const struct kind *kind = NULL;
    const struct uts_sample *sample = NULL;
    for (unsigned i = 0; i < BENCH_COUNT(kinds); i++)
        if (strlen(kinds[i].name) == length && strncmp(kinds[i].name, definition, length) == 0)
            kind = &kinds[i];
    if (!kind) {
        bench_say("sim: there is no graph '%.*s'; possible are fork, uts, wavefront, flat, and --graph FILE", (int)length, definition);
        return -EINVAL;
    }
    *graph = (struct simulate_graph){.graph.kind = kind->kind};
    snprintf(graph->name, sizeof graph->name, "%s", kind->name);
    int r = read_params(graph, kind, &sample, kind->defaults + length + 1);
    if (r == 0)
        r = read_params(graph, kind, &sample, definition + length + (definition[length] == ':'));
    const char *params = definition[length] ? definition + length + 1 : kind->defaults + length + 1;
    snprintf(graph->params, sizeof graph->params, "%s", params);
    if (r == 0)
        expect(graph, sample);
    return r;
}

/* ---- from a file ---- */

struct reader {
    const char *name;
    FILE *file;
    char *line;
    size_t room;
    unsigned number;
    struct sim_recorded *recorded;
    size_t task_room, step_room;
    uint32_t *asked; /* how often each is spawned or released; grows as they are named */
    size_t asked_room;
};

static int complain(const struct reader *reader, const char *what)
{
    bench_say("sim: %s:%u: %s", reader->name, reader->number, what);
    return -EINVAL;
}

static int grow(void **array, size_t *room, size_t wanted, size_t size)
{
    if (wanted <= *room)
        return 0;
    size_t larger = wanted > 2 * *room ? wanted + 64 : 2 * *room;
    char *moved = realloc(*array, larger * size);
    if (!moved)
        return -ENOMEM;
    memset(moved + *room * size, 0, (larger - *room) * size);
    *array = moved;
    *room = larger;
    return 0;
}

static int add_task(struct reader *reader, long long id, long long after)
{
    struct sim_recorded *recorded = reader->recorded;
    if (id != recorded->count)
        return complain(reader, "tasks are numbered from 0, in order");
    if (id >= MOST_TASKS || after < 0 || after > MOST_TASKS || (id == 0 && after))
        return complain(reader, id == 0 && after ? "task 0 begins and waits for nobody" : "too many tasks");
    if (grow((void **)&recorded->tasks, &reader->task_room, (size_t)id + 1, sizeof *recorded->tasks) < 0)
        return -ENOMEM;
    recorded->tasks[recorded->count++] = (struct sim_task){.steps = recorded->step_count, .after = (uint32_t)after};
    return 0;
}

static int add_step(struct reader *reader, struct sim_step step)
{
    struct sim_recorded *recorded = reader->recorded;
    if (recorded->count == 0)
        return complain(reader, "a step before the first task");
    if (recorded->step_count == UINT32_MAX)
        return complain(reader, "too many steps");
    if (grow((void **)&recorded->steps, &reader->step_room, (size_t)recorded->step_count + 1, sizeof *recorded->steps) < 0)
        return -ENOMEM;
    recorded->steps[recorded->step_count++] = step;
    recorded->tasks[recorded->count - 1].count++;
    return 0;
}

static int add_asking(struct reader *reader, int kind, long long id)
{
    if (id <= 0 || id >= MOST_TASKS)
        return complain(reader, "no task has that number, or it is the first one");
    if (grow((void **)&reader->asked, &reader->asked_room, (size_t)id + 1, sizeof *reader->asked) < 0)
        return -ENOMEM;
    reader->asked[id]++;
    struct sim_step step = {.task = (uint32_t)id};
    step.kind = kind;
    return add_step(reader, step);
}

static int read_line(struct reader *reader)
{
    char word[16] = "", more[16] = "", rest[2] = "";
    long long number = 0, after = 0;
    char *text = reader->line;
    text[strcspn(text, "#\n")] = 0;
    int count = sscanf(text, "%15s %lld %15s %lld %1s", word, &number, more, &after, rest);
    if (count <= 0)
        return 0;
    if (strcmp(word, "task") == 0 && (count == 2 || (count == 4 && strcmp(more, "after") == 0)))
        return add_task(reader, number, after);
    if (strcmp(word, "work") == 0 && count == 2 && number >= 0 && number <= INT64_MAX / (1000 * 1000))
        return add_step(reader, (struct sim_step){.kind = SIM_STEP_WORK, .work = number});
    if (strcmp(word, "spawn") == 0 && count == 2)
        return add_asking(reader, SIM_STEP_SPAWN, number);
    if (strcmp(word, "release") == 0 && count == 2)
        return add_asking(reader, SIM_STEP_RELEASE, number);
    if (strcmp(word, "join") == 0 && count == 1)
        return add_step(reader, (struct sim_step){.kind = SIM_STEP_JOIN});
    return complain(reader, "expected is one of: task ID, task ID after COUNT, work NS, spawn ID, release ID, join");
}

/* Every task but the first is spawned once, or waits for just as many as release it. */
static int verify(struct reader *reader)
{
    const struct sim_recorded *recorded = reader->recorded;
    char what[96];
    if (recorded->count == 0)
        return complain(reader, "there is no task");
    for (uint32_t i = 0; i < recorded->step_count; i++) {
        const struct sim_step *step = &recorded->steps[i];
        if (step->kind != SIM_STEP_SPAWN && step->kind != SIM_STEP_RELEASE)
            continue;
        bool waits = step->task < recorded->count && recorded->tasks[step->task].after > 0;
        if (step->task >= recorded->count || waits != (step->kind == SIM_STEP_RELEASE)) {
            snprintf(what, sizeof what, "task %u %s", step->task,
                     step->task >= recorded->count ? "is asked for and not there"
                     : waits                       ? "waits for others, and is spawned"
                                                   : "waits for nobody, and is released");
            return complain(reader, what);
        }
    }
    for (uint32_t i = 1; i < recorded->count; i++) {
        uint32_t wanted = recorded->tasks[i].after ? recorded->tasks[i].after : 1, asked = i < reader->asked_room ? reader->asked[i] : 0;
        if (asked == wanted)
            continue;
        snprintf(what, sizeof what, "task %u is %s %u times, not %u", i, recorded->tasks[i].after ? "released" : "spawned", asked, wanted);
        return complain(reader, what);
    }
    return 0;
}

int simulate_load_graph(struct simulate_graph *graph, const char *definition)
{
    char name[4096];
    const char *spawn = strstr(definition, ",spawn=");
    snprintf(name, sizeof name, "%.*s", spawn ? (int)(spawn - definition) : (int)strlen(definition), definition);
    struct reader reader = {.name = name, .file = fopen(name, "re"), .recorded = calloc(1, sizeof *reader.recorded)};
    int r = reader.file && reader.recorded ? 0 : reader.file ? -ENOMEM : -errno;
    *graph = (struct simulate_graph){.graph = {.kind = SIM_RECORDED, .recorded = reader.recorded}};
    if (r < 0) {
        bench_say("sim: %s: %s", name, strerror(-r));
        goto out;
    }
    snprintf(graph->name, sizeof graph->name, "recorded");
    snprintf(graph->params, sizeof graph->params, "%.*s", (int)sizeof graph->params - 1, name);
    if (spawn) {
        char *end;
        graph->graph.spawn = strtod(spawn + 7, &end);
        graph->spawn_given = true;
        if (end == spawn + 7 || *end || !(graph->graph.spawn >= 0)) {
            r = bad_value(definition, "spawn is a number of ns");
            goto out;
        }
    }
    while (r == 0 && getline(&reader.line, &reader.room, reader.file) >= 0) {
        reader.number++;
        r = read_line(&reader);
    }
    if (r == 0)
        r = verify(&reader);
    if (r == 0)
        expect(graph, NULL);
    if (r == -ENOMEM)
        bench_say("sim: %s: no memory for a graph of that size", name);
out:
    free(reader.line);
    free(reader.asked);
    if (reader.file)
        fclose(reader.file);
    return r;
}

void simulate_graph_fini(struct simulate_graph *graph)
{
    if (!graph->graph.recorded)
        return;
    free(graph->graph.recorded->tasks);
    free(graph->graph.recorded->steps);
    free(graph->graph.recorded);
    graph->graph.recorded = NULL;
}

/* ---- machines ---- */

void simulate_topology(unsigned workers, char *text, size_t size)
{
    unsigned caches = (workers + 7) / 8, packages = (caches + 7) / 8;
    if (caches <= 1)
        snprintf(text, size, "pack:1 l3:1 core:%u pu:1", workers);
    else
        snprintf(text, size, "pack:%u l3:%u core:8 pu:1", packages, (caches + packages - 1) / packages);
}
