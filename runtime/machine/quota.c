/* SPDX-License-Identifier: MIT */
/* Quota: the CPU time that the cgroups leave this process.
 *
 * Invariant: the quota is the minimum over every cgroup from the process's own up to the root of each mount that shows it, both hierarchies, of quota / period. A file
 * that is missing, vanishes or makes no sense says nothing.
 *
 * A choice with a loser: every ancestor, not the process's own cgroup. In a Kubernetes pod or under a systemd slice the limit usually stands further up, and
 * what an ancestor allows is all that its descendants share.
 *
 * Sources: cgroup-v1/cgroup-v2 documentation of the kernel, proc(5) for mountinfo, cgroup_namespaces(7) for the "/.." in paths. */
#define _GNU_SOURCE 1
#include "machine/quota.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct quota {
    double cpus; /* 0: none yet */
    char *from;
    size_t from_size;
};

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return NULL;
    char *text = NULL;
    size_t size = 0;
    if (getdelim(&text, &size, '\0', file) < 0) {
        free(text);
        text = NULL;
    }
    fclose(file);
    return text;
}

/* A positive number at *text, which is moved behind it. */
static bool take_number(const char **text, double *ret_number)
{
    char *end;
    errno = 0;
    long long number = strtoll(*text, &end, 10);
    if (end == *text || errno || number <= 0)
        return false;
    *text = end;
    *ret_number = (double)number;
    return true;
}

static bool at_end(const char *text)
{
    return text[strspn(text, " \n")] == '\0';
}

static void limit(struct quota *quota, double cpus, const char *file)
{
    if (quota->cpus > 0 && cpus >= quota->cpus)
        return;
    quota->cpus = cpus;
    if (quota->from && quota->from_size)
        snprintf(quota->from, quota->from_size, "%s", file);
}

/* "50000 100000": quota and period in microseconds; "max 100000": none. */
static void look_v2(struct quota *quota, const char *dir)
{
    char *file;
    if (asprintf(&file, "%s/cpu.max", dir) < 0)
        return;
    char *text = read_text(file);
    const char *at = text;
    double time, period;
    if (text && take_number(&at, &time) && take_number(&at, &period) && at_end(at))
        limit(quota, time / period, file);
    free(text);
    free(file);
}

/* Two files of one number each; a quota of -1: none. */
static void look_v1(struct quota *quota, const char *dir)
{
    char *file, *file_period;
    if (asprintf(&file, "%s/cpu.cfs_quota_us", dir) < 0)
        return;
    if (asprintf(&file_period, "%s/cpu.cfs_period_us", dir) < 0) {
        free(file);
        return;
    }
    char *text = read_text(file), *text_period = text ? read_text(file_period) : NULL;
    const char *at = text, *at_period = text_period;
    double time, period;
    if (text_period && take_number(&at, &time) && at_end(at) && take_number(&at_period, &period) && at_end(at_period))
        limit(quota, time / period, file);
    free(text_period);
    free(text);
    free(file_period);
    free(file);
}

/* Looks at `top`/`below` and every directory between it and `top`, both included. `below` is "" or begins with a slash. */
static void look_at_ancestors(struct quota *quota, const char *root, const char *top, const char *below, bool v2)
{
    char *dir;
    size_t root_length = strlen(root);
    while (root_length && root[root_length - 1] == '/')
        root_length--;
    if (!strcmp(top, "/"))
        top = "";
    if (asprintf(&dir, "%.*s%s%s", (int)root_length, root, top, below) < 0)
        return;
    char *rest = dir + root_length + strlen(top), *slash;
    do {
        if (v2)
            look_v2(quota, dir);
        else
            look_v1(quota, dir);
        slash = strrchr(rest, '/');
        if (slash)
            *slash = '\0';
    } while (slash);
    free(dir);
}

/* How many "/.." a cgroup path begins with (it leads out of the cgroup namespace); moves *path behind them, "/" becoming "". */
static unsigned skip_ups(const char **path)
{
    unsigned ups = 0;
    while (!strncmp(*path, "/..", 3) && ((*path)[3] == '/' || !(*path)[3])) {
        *path += 3;
        ups++;
    }
    if (!strcmp(*path, "/"))
        (*path)++;
    return ups;
}

/* What of the cgroup `path` lies below the cgroup `top` that a mount shows, or NULL if `top` is not known to be an ancestor. When `top`
 * lies outside of the namespace, the names between are hidden from us, and only `top` itself can be looked at. */
static const char *below_mount(const char *top, const char *path)
{
    unsigned top_ups = skip_ups(&top), path_ups = skip_ups(&path);
    if (top_ups > path_ups)
        return *top ? NULL : "";
    if (top_ups < path_ups)
        return NULL;
    size_t length = strlen(top);
    if (strncmp(path, top, length) || (path[length] && path[length] != '/'))
        return NULL;
    return path + length;
}

static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (!strncmp(at, word, length) && (!at[length] || at[length] == ','))
            return true;
    }
    return false;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static char *unescape(char *text)
{
    char *to = text;
    for (const char *at = text; *at; to++) {
        if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' && at[3] >= '0' && at[3] <= '7') {
            *to = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
            at += 4;
        } else {
            *to = *at++;
        }
    }
    *to = '\0';
    return text;
}

/* One line of mountinfo: id parent dev root point options [tag...] - type source superoptions. */
static void look_at_mount(struct quota *quota, const char *root, char *line, const char *path_v1, const char *path_v2)
{
    char *field[5], *at = line;
    for (unsigned i = 0; i < 5; i++)
        field[i] = strsep(&at, " ");
    char *tail = at ? strstr(at, " - ") : NULL;
    if (!tail)
        return;
    tail += 3;
    const char *type = strsep(&tail, " ");
    strsep(&tail, " ");
    const char *options = tail;

    bool v2 = !strcmp(type, "cgroup2");
    if (!v2 && (strcmp(type, "cgroup") || !options || !has_word(options, "cpu")))
        return;
    const char *path = v2 ? path_v2 : path_v1;
    const char *below = path ? below_mount(unescape(field[3]), path) : NULL;
    if (below)
        look_at_ancestors(quota, root, unescape(field[4]), below, v2);
}

double fl_quota_of(const char *root, const char *self_cgroup, const char *mountinfo, char *ret_from, size_t from_size)
{
    struct quota quota = {0, ret_from, from_size};
    if (ret_from && from_size)
        *ret_from = '\0';
    char *cgroups = strdup(self_cgroup), *mounts = strdup(mountinfo);
    char *path_v1 = NULL, *path_v2 = NULL, *line;
    if (!cgroups || !mounts)
        goto out;

    /* hierarchy:controllers:path; the path may hold colons of its own */
    for (char *at = cgroups; (line = strsep(&at, "\n"));) {
        const char *hierarchy = strsep(&line, ":"), *controllers = strsep(&line, ":");
        if (!controllers || !line || *line != '/')
            continue;
        if (!strcmp(hierarchy, "0") && !*controllers)
            path_v2 = line;
        else if (has_word(controllers, "cpu"))
            path_v1 = line;
    }
    for (char *at = mounts; (line = strsep(&at, "\n"));)
        look_at_mount(&quota, root, line, path_v1, path_v2);
out:
    free(mounts);
    free(cgroups);
    return quota.cpus;
}

double fl_quota_here(char *ret_from, size_t from_size)
{
    double quota = 0;
    char *cgroup = read_text("/proc/self/cgroup"), *mountinfo = cgroup ? read_text("/proc/self/mountinfo") : NULL;
    if (mountinfo)
        quota = fl_quota_of("/", cgroup, mountinfo, ret_from, from_size);
    free(mountinfo);
    free(cgroup);
    return quota;
}
