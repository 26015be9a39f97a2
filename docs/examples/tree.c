/* SPDX-License-Identifier: MIT */
/* tree: the SHA-256 of every file below a directory.
 *
 * Prints the same as
 *
 *     find DIR -type f -print0 | xargs -0 sha256sum | LC_ALL=C sort -k 2
 *
 * A task a directory and a task a file; a directory's scope owns the tasks of what is in it, so the join at the top is the end of the walk. Open
 * descriptors are bounded by a semaphore: a unit is taken before the task of a file is spawned, which gives it back. Taken by the task itself it would bound them as
 * well, but a million tasks would wait, each with a stack.
 *
 * There is no call of filch for listing a directory, and a disk may take its time over it: filch_blocking lends a kernel thread. */
#include "common.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PIECE (64 << 10)
#define HEX (2 * SHA256_DIGEST_SIZE)

struct entry {
    struct entry *next;
    bool directory;
    char hex[HEX + 1];
    char path[];
};

static filch_sem descriptors;
static long at_once = 256;

static struct {
    filch_mutex mutex;
    struct entry *files;
    size_t count;
    bool failed; /* something was left out */
} found;

static void fail(const char *path, int error)
{
    if (error == -ECANCELED)
        return;
    complain("%s: %s", path, strerror(-error));
    FILCH_GUARD(&found.mutex);
    found.failed = true;
}

/* ---- a file ---- */

static int hash(int fd, char *hex)
{
    struct sha256_ctx context;
    uint8_t digest[SHA256_DIGEST_SIZE], *bytes = malloc(PIECE);
    ssize_t n;
    if (!bytes)
        return -ENOMEM;
    sha256_init(&context);
    while ((n = filch_read(fd, bytes, PIECE)) > 0)
        sha256_update(&context, (size_t)n, bytes);
    free(bytes);
    sha256_digest(&context, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return (int)n;
}

static int file_task(void *arg)
{
    struct entry *file = arg;
    int fd = filch_open(file->path, O_RDONLY | O_CLOEXEC, 0), r = fd < 0 ? fd : hash(fd, file->hex);
    if (fd >= 0)
        filch_close(fd);
    filch_sem_release(&descriptors);
    if (r < 0) {
        fail(file->path, r);
        free(file);
        return 0; /* the others go on */
    }
    FILCH_GUARD(&found.mutex);
    file->next = found.files;
    found.files = file;
    found.count++;
    return 0;
}

/* ---- a directory ---- */

struct listing {
    const char *path;
    struct entry *entries;
};

static struct entry *entry_new(const char *parent, const char *name, bool directory)
{
    size_t size = strlen(parent) + strlen(name) + 2;
    struct entry *entry = calloc(1, sizeof *entry + size);
    if (!entry)
        return NULL;
    entry->directory = directory;
    snprintf(entry->path, size, "%s%s%s", parent, *name && parent[strlen(parent) - 1] != '/' ? "/" : "", name);
    return entry;
}

static mode_t type_of(DIR *stream, const struct dirent *item)
{
    struct stat status;
    if (item->d_type != DT_UNKNOWN)
        return DTTOIF(item->d_type);
    return fstatat(dirfd(stream), item->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_mode & S_IFMT : 0;
}

/* On a kernel thread of its own: nothing here may park, and nothing needs to. */
static int list(void *arg)
{
    struct listing *listing = arg;
    DIR *stream = opendir(listing->path);
    if (!stream)
        return -errno;
    int r = 0;
    errno = 0;
    for (struct dirent *item; r == 0 && (item = readdir(stream));) {
        mode_t type = type_of(stream, item);
        if ((type != S_IFDIR && type != S_IFREG) || strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        struct entry *entry = entry_new(listing->path, item->d_name, type == S_IFDIR);
        if (!entry) {
            r = -ENOMEM;
        } else {
            entry->next = listing->entries;
            listing->entries = entry;
        }
        errno = 0;
    }
    r = r ? r : -errno;
    closedir(stream);
    return r;
}

static int list_bounded(struct listing *listing)
{
    int r = filch_sem_acquire(&descriptors);
    if (r < 0)
        return r;
    r = filch_blocking(list, listing);
    filch_sem_release(&descriptors);
    return r;
}

static int directory_task(void *arg);

static void spawn(filch_scope *scope, struct entry *entry)
{
    int r = entry->directory ? 0 : filch_sem_acquire(&descriptors);
    if (r == 0) {
        r = filch_spawn(scope, entry->directory ? directory_task : file_task, entry);
        if (r == 0)
            return;
        if (!entry->directory)
            filch_sem_release(&descriptors);
    }
    fail(entry->path, r);
    free(entry);
}

static int directory_task(void *arg)
{
    struct entry *directory = arg;
    struct listing listing = {.path = directory->path};
    int r = list_bounded(&listing);
    if (r < 0)
        fail(directory->path, r);
    {
        FILCH_SCOPE(scope);
        for (struct entry *entry = listing.entries, *next; entry; entry = next) {
            next = entry->next;
            spawn(&scope, entry);
        }
        filch_join(&scope);
    }
    free(directory);
    return 0;
}

/* ---- what is printed ---- */

static int by_path(const void *left, const void *right)
{
    return strcmp((*(struct entry *const *)left)->path, (*(struct entry *const *)right)->path);
}

/* A line as sha256sum(1) writes it: one that begins with a backslash has an escaped name. */
static void print_line(const struct entry *file)
{
    static const char special[] = "\\\n\r", letter[] = "\\nr";
    bool escape = file->path[strcspn(file->path, special)] != 0;
    printf("%s%s  ", escape ? "\\" : "", file->hex);
    for (const char *c = file->path; *c; c++) {
        const char *at = strchr(special, *c);
        if (at)
            printf("\\%c", letter[at - special]);
        else
            putchar(*c);
    }
    putchar('\n');
}

static int print(void)
{
    struct entry **files = calloc(found.count + 1, sizeof *files), *file = found.files;
    if (!files) {
        complain("no memory for a list of %zu files", found.count);
        return FAILED;
    }
    for (size_t i = 0; i < found.count; i++, file = file->next)
        files[i] = file;
    qsort(files, found.count, sizeof *files, by_path);
    for (size_t i = 0; i < found.count; i++) {
        print_line(files[i]);
        free(files[i]);
    }
    free(files);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return DONE;
    complain("cannot write: %s", strerror(errno));
    return FAILED;
}

static int tree(void *arg)
{
    struct entry *root = entry_new(arg, "", true);
    struct stat status;
    if (!root || !*root->path || lstat(root->path, &status) < 0 || !S_ISDIR(status.st_mode)) {
        complain("'%s' is not a directory (links are not followed)", (const char *)arg);
        free(root);
        return FAILED;
    }
    directory_task(root);
    return DONE;
}

static const char help[] =
    "Usage: tree [OPTION]... [DIR]\n"
    "Prints the SHA-256 of every file below DIR (default: the current directory), sorted by path, as sha256sum does.\n\n"
    "  --open N          at most so many descriptors at a time; default: 256\n" WORKERS_HELP;

int main(int argc, char **argv)
{
    const struct setting settings[] = {WORKERS_SETTING, {.name = "open", .number = &at_once, .least = 1, .most = 100000}};
    int operands = take_options(argc, argv, settings, sizeof settings / sizeof *settings, help, 0, 1);
    descriptors = (filch_sem)FILCH_SEM(at_once);
    int status = run_tool(tree, argv[operands] ? argv[operands] : ".");
    if (status == DONE)
        status = print();
    return found.failed ? FAILED : status;
}
