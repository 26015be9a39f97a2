/* SPDX-License-Identifier: MIT */
/* All of it: the loops around short counts, and files read and written as a whole.
 *
 * They are made of the public calls, so a cancel ends them wherever it finds them, and what was moved before is told. What they open they
 * close, whatever happens in between: a close is never cancelled.
 *
 * A file is read until a read says that it ends. Its size is asked for only when FIRST bytes did not suffice, and is a guess: /proc says
 * 0, and a file may grow meanwhile. Most files are small, and opening, reading and closing one from the cache does not park at all; asking
 * for its size would. */
#include <filch/io.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/* ---- short counts ---- */

struct transfer {
    int fd, flags;
    char *buf;
    off_t offset;
    ssize_t (*move)(const struct transfer *transfer, size_t done, size_t left);
    int nothing; /* what it means when nothing was moved */
};

static int move_all(const struct transfer *transfer, size_t count, size_t *ret_done)
{
    size_t done = 0;
    ssize_t r = 1;
    while (done < count && (r > 0 || r == -EINTR)) {
        r = transfer->move(transfer, done, count - done);
        done += r > 0 ? (size_t)r : 0;
    }
    if (ret_done)
        *ret_done = done;
    return r < 0 ? (int)r : r == 0 ? transfer->nothing : 0;
}

static ssize_t read_some(const struct transfer *transfer, size_t done, size_t left)
{
    return filch_read(transfer->fd, transfer->buf + done, left);
}

static ssize_t write_some(const struct transfer *transfer, size_t done, size_t left)
{
    return filch_write(transfer->fd, transfer->buf + done, left);
}

static ssize_t pread_some(const struct transfer *transfer, size_t done, size_t left)
{
    return filch_pread(transfer->fd, transfer->buf + done, left, transfer->offset + (off_t)done);
}

static ssize_t pwrite_some(const struct transfer *transfer, size_t done, size_t left)
{
    return filch_pwrite(transfer->fd, transfer->buf + done, left, transfer->offset + (off_t)done);
}

/* The ring need not wake the task for every piece, then. */
static ssize_t recv_some(const struct transfer *transfer, size_t done, size_t left)
{
    return filch_recv(transfer->fd, transfer->buf + done, left, transfer->flags | MSG_WAITALL);
}

static ssize_t send_some(const struct transfer *transfer, size_t done, size_t left)
{
    return filch_send(transfer->fd, transfer->buf + done, left, transfer->flags | MSG_WAITALL);
}

int filch_read_all(int fd, void *buf, size_t count, size_t *ret_done)
{
    return move_all(&(struct transfer){.fd = fd, .buf = buf, .move = read_some}, count, ret_done);
}

int filch_write_all(int fd, const void *buf, size_t count, size_t *ret_done)
{
    return move_all(&(struct transfer){.fd = fd, .buf = (char *)buf, .move = write_some, .nothing = -EIO}, count, ret_done);
}

int filch_pread_all(int fd, void *buf, size_t count, off_t offset, size_t *ret_done)
{
    return move_all(&(struct transfer){.fd = fd, .buf = buf, .offset = offset, .move = pread_some}, count, ret_done);
}

int filch_pwrite_all(int fd, const void *buf, size_t count, off_t offset, size_t *ret_done)
{
    struct transfer transfer = {.fd = fd, .buf = (char *)buf, .offset = offset, .move = pwrite_some, .nothing = -EIO};
    return move_all(&transfer, count, ret_done);
}

/* What was seen once is seen again by the next look, which therefore begins where the first one did. */
static int peek_all(int fd, void *buf, size_t len, int flags, size_t *ret_done)
{
    ssize_t r;
    do
        r = filch_recv(fd, buf, len, flags | MSG_WAITALL);
    while (r == -EINTR);
    if (ret_done)
        *ret_done = r > 0 ? (size_t)r : 0;
    return r < 0 ? (int)r : 0;
}

int filch_recv_all(int fd, void *buf, size_t len, int flags, size_t *ret_done)
{
    if (flags & MSG_PEEK)
        return peek_all(fd, buf, len, flags, ret_done);
    return move_all(&(struct transfer){.fd = fd, .flags = flags, .buf = buf, .move = recv_some}, len, ret_done);
}

int filch_send_all(int fd, const void *buf, size_t len, int flags, size_t *ret_done)
{
    struct transfer transfer = {.fd = fd, .flags = flags, .buf = (char *)buf, .move = send_some, .nothing = -EIO};
    return move_all(&transfer, len, ret_done);
}

/* ---- whole files ---- */

enum { FIRST = 16384 };

struct content {
    char *data;
    size_t size, room; /* room has one byte more than may be read, for the zero */
};

static int resize(struct content *content, size_t room)
{
    char *data = room <= PTRDIFF_MAX ? realloc(content->data, room) : NULL;
    if (!data)
        return -EFBIG;
    content->data = data;
    content->room = room;
    return 0;
}

/* Twice as much, or as much as the file seems to need: its size, the zero, and a byte to see that it ends. */
static int grow(int fd, struct content *content)
{
    struct statx statx;
    size_t room = content->room ? 2 * content->room : FIRST;
    if (content->room == FIRST && filch_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &statx) == 0 && statx.stx_size + 2 > room)
        room = statx.stx_size + 2;
    return resize(content, room);
}

static int read_to_end(int fd, struct content *content)
{
    for (ssize_t r = 1; r > 0 || r == -EINTR;) {
        int failed = content->room - content->size < 2 ? grow(fd, content) : 0;
        if (failed)
            return failed;
        r = filch_read(fd, content->data + content->size, content->room - content->size - 1);
        if (r < 0 && r != -EINTR)
            return (int)r;
        content->size += r > 0 ? (size_t)r : 0;
    }
    content->data[content->size] = 0;
    resize(content, content->size + 1); /* smaller: if that is refused, it stays as it is */
    return 0;
}

int filch_read_file(const char *path, void **ret_data, size_t *ret_size)
{
    struct content content = {0};
    int fd = filch_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    int r = read_to_end(fd, &content);
    filch_close(fd);
    if (r < 0) {
        free(content.data);
        return r;
    }
    *ret_data = content.data;
    *ret_size = content.size;
    return 0;
}

int filch_write_file(const char *path, const void *data, size_t size, mode_t mode)
{
    int fd = filch_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return fd;
    int r = filch_write_all(fd, data, size, NULL);
    int closed = filch_close(fd); /* which tells of what could not be written back */
    return r < 0 ? r : closed;
}
