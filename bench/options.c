/* SPDX-License-Identifier: MIT */
/* `--key value` into variables.
 *
 * The options of a workload are its own table followed by the common one. Both are turned into one table for getopt_long(3), whose own
 * messages are switched off: ours say what would have been possible. Whole numbers may be written 1000000 or 1e6, sizes also 64K or 1M.
 * */
#include "harness.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

#define OPTIONS (BENCH_PARAMS + BENCH_COMMON + 1)

const char bench_models[] = "mn|n1|11", bench_pins[] = "auto|none|cores";

static bool given[OPTIONS];
static const struct bench_param *options[OPTIONS];

void bench_say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("filch-bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

bool bench_given(const char *key)
{
    for (unsigned i = 0; options[i]; i++)
        if (strcmp(options[i]->key, key) == 0)
            return given[i];
    return false;
}

const char *bench_choice(const char *choices, unsigned index, char buffer[32])
{
    while (index--)
        choices = strchr(choices, '|') + 1;
    size_t length = strcspn(choices, "|");
    if (length > 31)
        length = 31;
    memcpy(buffer, choices, length);
    buffer[length] = 0;
    return buffer;
}

void bench_settings_init(struct bench_settings *settings, const struct bench *bench)
{
    *settings = (struct bench_settings){.bench = bench, .runs = 5, .workers = bench->workers};
    strcpy(settings->versus_forms, "none");
    for (const struct bench_form *form = bench->forms; form->name; form++) {
        if (form != bench->forms)
            strcat(settings->forms, "|");
        strcat(settings->forms, form->name);
        strcat(strcat(settings->versus_forms, "|"), form->name);
    }
    if (bench->forms[1].name && bench->forms[2].name)
        strcat(settings->versus_forms, "|all");
    struct bench_param *next = settings->common;
    if (bench->forms[1].name) {
        *next++ = (struct bench_param)BENCH_CHOICE("form", settings->form_index, settings->forms, "how the work is written");
        *next++ = (struct bench_param)BENCH_CHOICE("vs", settings->versus_index, settings->versus_forms,
                                                   "a form to compare with, or all others, run for run in one process");
    }
    *next++ = (struct bench_param)BENCH_INT("workers", settings->workers, 0, 1024, "0: one per allowed core");
    *next++ = (struct bench_param)BENCH_CHOICE("model", settings->model, bench_models, "threading model");
    *next++ = (struct bench_param)BENCH_INT("stack-size", settings->stack_size, 0, 64 << 20, "bytes; 0: the runtime's own choice");
    *next++ = (struct bench_param)BENCH_CHOICE("pin", settings->pin, bench_pins, "pinning of workers");
    *next++ = (struct bench_param)BENCH_INT("runs", settings->runs, 1, 1000, "after a warm-up");
    *next++ = (struct bench_param)BENCH_FLAG("json", settings->json, "one object on one line");
    *next++ = (struct bench_param)BENCH_FLAG("help", settings->help, "this");
}

static int store_number(const struct bench_param *param, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end != text && param->kind == BENCH_INT && (*end == 'K' || *end == 'M' || *end == 'G')) {
        value *= *end == 'K' ? 1 << 10 : *end == 'M' ? 1 << 20 : 1 << 30;
        end++;
    }
    bool whole = param->kind != BENCH_INT || floor(value) == value;
    if (end == text || *end || !whole || !(value >= param->min && value <= param->max)) {
        bench_say("--%s takes a %snumber from %.10g to %.10g, not '%s'", param->key, param->kind == BENCH_INT ? "whole " : "", param->min,
                  param->max, text);
        return -EINVAL;
    }
    if (param->kind == BENCH_INT)
        *param->at.number = (int64_t)value;
    else
        *param->at.real = value;
    return 0;
}

static int store_choice(const struct bench_param *param, const char *text)
{
    size_t length = strlen(text);
    unsigned index = 0;
    for (const char *at = param->choices;; at += strcspn(at, "|") + 1, index++) {
        if (strcspn(at, "|") == length && strncmp(at, text, length) == 0) {
            *param->at.choice = index;
            return 0;
        }
        if (at[strcspn(at, "|")] == 0)
            break;
    }
    bench_say("--%s takes one of %s, not '%s'", param->key, param->choices, text);
    return -EINVAL;
}

static int store(const struct bench_param *param, const char *text)
{
    switch (param->kind) {
    case BENCH_INT:
    case BENCH_REAL:
        return store_number(param, text);
    case BENCH_CHOICE:
        return store_choice(param, text);
    case BENCH_TEXT:
        *param->at.text = text;
        return 0;
    case BENCH_FLAG:
        *param->at.flag = true;
        return 0;
    case BENCH_NONE:
        break;
    }
    return -EINVAL;
}

static int unknown(const char *what)
{
    char keys[512] = "";
    size_t length = 0;
    for (unsigned i = 0; options[i]; i++)
        length += (size_t)snprintf(keys + length, sizeof keys - length, " --%s", options[i]->key);
    bench_say("%s; possible are%s", what, keys);
    return -EINVAL;
}

static int operand(const char *text)
{
    char what[256];
    for (unsigned i = 0; options[i]; i++)
        if (options[i]->operand && !given[i]) {
            given[i] = true;
            return store(options[i], text);
        }
    snprintf(what, sizeof what, "no place for '%.200s'", text);
    return unknown(what);
}

int bench_form_possible(const struct bench *bench, const struct bench_form *form)
{
    char path[4096];
    if (form->place != BENCH_GO || bench_beside(bench->go_program, path, sizeof path) == 0)
        return 0;
    bench_say("no form %s: there is no %s beside filch-bench, since Go was not found when that was built (Debian's package is called "
              "golang-go)",
              form->name, bench->go_program);
    return -ENOENT;
}

static void choose_versus(struct bench_settings *settings)
{
    const struct bench_form *forms = settings->bench->forms;
    settings->versus_count = 0;
    if (settings->versus_index == 0)
        return;
    if (forms[settings->versus_index - 1].name) {
        settings->versus[settings->versus_count++] = &forms[settings->versus_index - 1];
        return;
    }
    for (const struct bench_form *form = forms; form->name; form++)
        if (form != settings->form && bench_form_possible(settings->bench, form) == 0)
            settings->versus[settings->versus_count++] = form;
}

int bench_parse(struct bench_settings *settings, int argc, char **argv)
{
    struct option table[OPTIONS + 1] = {{0}};
    char what[256];
    unsigned count = 0;
    memset(given, 0, sizeof given);
    memset(options, 0, sizeof options);
    for (const struct bench_param *param = settings->bench->params; param->key; param++)
        options[count++] = param;
    for (const struct bench_param *param = settings->common; param->key; param++)
        options[count++] = param;
    for (unsigned i = 0; i < count; i++)
        table[i] = (struct option){options[i]->key, options[i]->kind == BENCH_FLAG ? no_argument : required_argument, NULL, (int)(256 + i)};

    opterr = 0;
    optind = 0;
    for (int c, r; (c = getopt_long(argc, argv, ":", table, NULL)) != -1;) {
        if (c >= 256) {
            given[c - 256] = true;
            r = store(options[c - 256], optarg);
            if (r < 0)
                return r;
            continue;
        }
        snprintf(what, sizeof what, c == ':' ? "%.200s needs a value" : "no option '%.200s'", argv[optind - 1]);
        if (c == ':') {
            bench_say("%s", what);
            return -EINVAL;
        }
        return unknown(what);
    }
    for (; optind < argc; optind++)
        if (operand(argv[optind]) < 0)
            return -EINVAL;
    settings->form = &settings->bench->forms[settings->form_index];
    choose_versus(settings);
    return 0;
}
