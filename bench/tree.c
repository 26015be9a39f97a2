/* SPDX-License-Identifier: MIT */
/* tree: how fast is a directory tree read and hashed, when all blocking calls go through filch?
 *
 * Every regular file below --dir is read and hashed by a task of its own, in pieces of 128 KiB, with filch_open, filch_read and
 * filch_close; every directory is listed by a task of its own. Symbolic links are not followed. No more than --at-once files are open:
 * a task that lists a directory takes a permit before it spawns the task of a file, and waits when all are taken. A file's task takes a
 * buffer when it starts, the one that was given back last, so that buffers stay in the cache. Listing itself is readdir(3), which
 * io_uring has no operation for; it blocks its worker shortly.
 *
 * What is computed: a line for each file, as the tool of --hash prints it; the lines sorted by path, byte by byte; and SHA-256 of
 * these. Anybody can compare (paths are as `find` prints them, so give the same DIR):
 *
 *     find DIR -type f -print0 | xargs -0 sha256sum | LC_ALL=C sort -k2 | sha256sum
 *
 * or xxhsum in place of the first sha256sum. As sha256sum does, a line is begun by a backslash where a backslash, a newline or a
 * carriage return in the name had to be escaped; xxhsum 0.8.1 does not do so. A file that cannot be read is left out, as by the tool,
 * with a line on stderr.
 *
 * The figure is the wall time until the last file is hashed, in ms: the same work as
 *
 *     find DIR -type f -print0 | xargs -0 -P2 -n64 sha256sum
 *
 * Sorting and the last digest come after it ("sort"). The warm-up brings the files into the page cache, as far as they fit. Checked:
 * digest, files and bytes are the same in every run. `serial` is one plain thread with the plain calls. The runtime is started once for
 * all runs. */
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "digest.h"

#define PIECE (128 << 10)

static const char *dir = "/usr/include";
static unsigned hash;
static int64_t at_once = 64;

/* What is found in a directory: a file, and then what became of it, or a directory. */
struct entry {
    struct entry *next;
    bool directory;
    int error;
    int64_t bytes;
    char hex[DIGEST_HEX];
    char path[];
};

/* ---- permits and buffers: how many files may be open ---- */

struct buffer {
    struct buffer *next;
    uint8_t bytes[PIECE];
};

struct waiter {
    struct waiter *next;
    filch_event served;
};

static struct {
    filch_mutex mutex;
    int64_t permits;
    struct waiter *waiting, **waiting_end; /* for a permit; the first to come is served first */
    struct buffer *buffers;                /* free ones, at least as many as tasks with a permit; the last given back is on top */
} gate;

static void gate_fini(void)
{
    for (struct buffer *buffer = gate.buffers, *next; buffer; buffer = next) {
        next = buffer->next;
        free(buffer);
    }
    gate.buffers = NULL;
}

static int gate_init(void)
{
    gate.permits = at_once;
    gate.waiting_end = &gate.waiting;
    for (int64_t i = 0; i < at_once; i++) {
        struct buffer *buffer = malloc(sizeof *buffer);
        if (!buffer) {
            gate_fini();
            return -ENOMEM;
        }
        buffer->next = gate.buffers;
        gate.buffers = buffer;
    }
    return 0;
}

/* Takes a permit for a file's task, as soon as there is one. */
static void permit_take(void)
{
    struct waiter me = {.next = NULL};
    filch_mutex_lock(&gate.mutex);
    bool wait = gate.permits == 0;
    if (wait) {
        *gate.waiting_end = &me;
        gate.waiting_end = &me.next;
    } else {
        gate.permits--;
    }
    filch_mutex_unlock(&gate.mutex);
    if (wait)
        filch_event_wait(&me.served); /* cannot fail: no task here returns a failure, so no scope is ever cancelled */
}

static struct buffer *buffer_take(void)
{
    FILCH_GUARD(&gate.mutex);
    struct buffer *buffer = gate.buffers;
    gate.buffers = buffer->next;
    return buffer;
}

/* Gives the buffer back, and the permit to the first who waits for one. */
static void buffer_and_permit_give(struct buffer *buffer)
{
    filch_mutex_lock(&gate.mutex);
    struct waiter *first = gate.waiting;
    buffer->next = gate.buffers;
    gate.buffers = buffer;
    if (!first) {
        gate.permits++;
    } else {
        gate.waiting = first->next;
        if (!gate.waiting)
            gate.waiting_end = &gate.waiting;
    }
    filch_mutex_unlock(&gate.mutex);
    if (first)
        filch_event_set(&first->served);
}

/* ---- a directory's entries ---- */

static struct entry *entry_new(const char *parent, const char *name, bool directory)
{
    size_t length = strlen(parent), name_length = strlen(name);
    bool slash = length && name_length && parent[length - 1] != '/';
    struct entry *entry = calloc(1, sizeof *entry + length + slash + name_length + 1);
    if (!entry)
        return NULL;
    memcpy(entry->path, parent, length);
    if (slash)
        entry->path[length] = '/';
    memcpy(entry->path + length + slash, name, name_length);
    entry->directory = directory;
    return entry;
}

static mode_t type_of(int fd, const struct dirent *entry)
{
    struct stat status;
    if (entry->d_type != DT_UNKNOWN)
        return DTTOIF(entry->d_type);
    return fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_mode & S_IFMT : 0;
}

/* The files and directories in `path`; directories come first, so that thieves, who take the oldest task, take the largest. */
static int list(const char *path, struct entry **ret_entries)
{
    struct entry *files = NULL, *directories = NULL, **end = &directories;
    DIR *stream = opendir(path);
    int r = 0;
    if (!stream)
        return -errno;
    for (struct dirent *found; (found = readdir(stream));) {
        mode_t type = type_of(dirfd(stream), found);
        bool directory = type == S_IFDIR;
        if (!(directory || type == S_IFREG) || strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
            continue;
        struct entry *entry = entry_new(path, found->d_name, directory);
        if (!entry) {
            r = -ENOMEM;
            break;
        }
        if (directory) {
            *end = entry;
            end = &entry->next;
        } else {
            entry->next = files;
            files = entry;
        }
    }
    closedir(stream);
    *end = files;
    *ret_entries = directories;
    return r;
}

/* ---- what has been hashed ---- */

static struct {
    filch_mutex mutex;
    struct entry *files;
    int64_t count, bytes;
} done;

/* Moves a directory's files to `done`; frees the rest. */
static void collect(struct entry *entries)
{
    FILCH_GUARD(&done.mutex);
    for (struct entry *entry = entries, *next; entry; entry = next) {
        next = entry->next;
        if (entry->error < 0)
            bench_say("tree: %s: %s", entry->path, strerror(-entry->error));
        if (entry->directory || entry->error < 0) {
            free(entry);
            continue;
        }
        entry->next = done.files;
        done.files = entry;
        done.count++;
        done.bytes += entry->bytes;
    }
}

/* ---- a file ---- */

static int read_all(struct entry *file, int fd, uint8_t *buffer)
{
    struct digest digest;
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    digest_init(&digest, hash);
    for (;;) {
        ssize_t got = filch_read(fd, buffer, PIECE);
        if (got < 0)
            return (int)got;
        digest_update(&digest, buffer, (size_t)got);
        file->bytes += got;
        if (got == 0 || file->bytes == status.st_size) /* the size known, there is no need to read the end of file */
            break;
    }
    digest_end(&digest, file->hex);
    return 0;
}

static void hash_file(struct entry *file, uint8_t *buffer)
{
    int fd = filch_open(file->path, O_RDONLY | O_CLOEXEC, 0);
    file->error = fd;
    if (fd < 0)
        return;
    file->error = read_all(file, fd, buffer);
    filch_close(fd);
}

/* ---- tasks ---- */

static int file_task(void *arg)
{
    struct buffer *buffer = buffer_take();
    hash_file(arg, buffer->bytes);
    buffer_and_permit_give(buffer);
    return 0;
}

static int directory_task(void *arg);

static void spawn_all(struct entry *entries)
{
    FILCH_SCOPE(s);
    for (struct entry *entry = entries; entry; entry = entry->next) {
        filch_fn *fn = entry->directory ? directory_task : file_task;
        if (!entry->directory)
            permit_take();
        if (filch_spawn(&s, fn, entry) < 0)
            fn(entry); /* no memory for a task: it is done here */
    }
    filch_join(&s);
}

static int directory_task(void *arg)
{
    struct entry *directory = arg, *entries = NULL;
    directory->error = list(directory->path, &entries);
    spawn_all(entries);
    collect(entries);
    return 0;
}

static void directory_serial(struct entry *directory, uint8_t *buffer)
{
    struct entry *entries = NULL;
    directory->error = list(directory->path, &entries);
    for (struct entry *entry = entries; entry; entry = entry->next)
        if (entry->directory)
            directory_serial(entry, buffer);
        else
            hash_file(entry, buffer);
    collect(entries);
}

/* ---- the list of all files, and its digest ---- */

/* The path as sha256sum(1) prints it, or NULL if that is the path itself. */
static char *escaped(const char *path)
{
    static const char special[] = "\\\n\r", letter[] = "\\nr";
    if (hash != DIGEST_SHA256 || !path[strcspn(path, special)])
        return NULL;
    char *text = calloc(2, strlen(path) + 1), *out = text;
    for (; text && *path; path++) {
        const char *found = strchr(special, *path);
        if (found)
            *out++ = '\\';
        *out++ = found ? letter[found - special] : *path;
    }
    return text;
}

struct line {
    const char *hex, *path;
    char *escaped;
};

static int by_path(const void *left, const void *right)
{
    return strcmp(((const struct line *)left)->path, ((const struct line *)right)->path);
}

static int digest_of_all(char hex[DIGEST_HEX])
{
    struct digest digest;
    struct line *lines = calloc((size_t)done.count + 1, sizeof *lines);
    int64_t count = 0;
    if (!lines)
        return -ENOMEM;
    for (struct entry *file = done.files; file; file = file->next) {
        struct line *line = &lines[count++];
        line->escaped = escaped(file->path);
        line->hex = file->hex;
        line->path = line->escaped ? line->escaped : file->path;
    }
    qsort(lines, (size_t)count, sizeof *lines, by_path);
    digest_init(&digest, DIGEST_SHA256);
    for (int64_t i = 0; i < count; i++) {
        if (lines[i].escaped)
            digest_update(&digest, "\\", 1);
        digest_update(&digest, lines[i].hex, strlen(lines[i].hex));
        digest_update(&digest, "  ", 2);
        digest_update(&digest, lines[i].path, strlen(lines[i].path));
        digest_update(&digest, "\n", 1);
        free(lines[i].escaped);
    }
    digest_end(&digest, hex);
    free(lines);
    return 0;
}

/* ---- one run ---- */

static int report(struct bench_run *run, int64_t start)
{
    char hex[DIGEST_HEX];
    int64_t hashed = filch_now();
    int r = digest_of_all(hex);
    double ms = (double)(hashed - start) / 1e6;
    bench_result(run, ms);
    bench_more(run, "rate", "MB/s", (double)done.bytes / 1e3 / ms);
    bench_more(run, "sort", "ms", (double)(filch_now() - hashed) / 1e6);
    bench_check(run, "files", done.count, done.count);
    bench_check(run, "bytes", done.bytes, done.bytes);
    bench_check_text(run, "digest", r < 0 ? "" : hex);
    for (struct entry *file = done.files, *next; file; file = next) {
        next = file->next;
        free(file);
    }
    done.files = NULL;
    done.count = done.bytes = 0;
    return r;
}

static void walk_tasks(struct entry *root)
{
    directory_task(root);
}

static void walk_serial(struct entry *root)
{
    directory_serial(root, gate.buffers->bytes);
}

static int whole(struct bench_run *run, void (*walk)(struct entry *root))
{
    struct entry *root = entry_new(dir, "", true);
    int64_t start = filch_now();
    if (!root)
        return -ENOMEM;
    walk(root);
    int r = root->error, r_report = report(run, start);
    free(root);
    return r < 0 ? r : r_report;
}

static int tasks(struct bench_run *run)
{
    return whole(run, walk_tasks);
}

static int serial(struct bench_run *run)
{
    return whole(run, walk_serial);
}

static int prepare(void)
{
    struct stat status;
    if (lstat(dir, &status) < 0 || !S_ISDIR(status.st_mode)) {
        bench_say("tree: '%s' is not a directory (links are not followed)", dir);
        return -EINVAL;
    }
    int r = gate_init();
    if (r < 0)
        bench_say("tree: no memory for %lld buffers", (long long)at_once);
    return r;
}

const struct bench bench_tree = {
    .name = "tree",
    .what = "every file below a directory read and hashed by tasks",
    .unit = "ms",
    .prepare = prepare,
    .finish = gate_fini,
    .forms = {{"tasks", tasks, BENCH_TASK}, {"serial", serial, BENCH_ALONE}},
    .params =
        {
            BENCH_OPERAND("dir", dir, "the directory"),
            BENCH_CHOICE("hash", hash, "sha256sum|xxhsum", "the tool that prints the same"),
            BENCH_INT("at-once", at_once, 1, 10000, "how many files may be open"),
        },
};
