/* SPDX-License-Identifier: MIT */
/* A server of tasks: one accepts and spawns one for each connection, which receives and sends as if it were alone. A hog beside them
 * never parks, and keeps a worker for itself. */
#include "serve.h"

#include <errno.h>

static const struct serve *server;

static int send_all(int fd, const char *data, size_t length)
{
    while (length) {
        ssize_t sent = filch_send(fd, data, length, 0);
        if (sent < 0)
            return (int)sent;
        data += sent;
        length -= (size_t)sent;
    }
    return 0;
}

static int talk(int fd, char *buffer, size_t size)
{
    struct serve_state state;
    int r = 0;
    server->protocol->begin(&state);
    for (bool close = false; r >= 0 && !close;) {
        ssize_t got = filch_recv(fd, buffer, size, 0);
        if (got <= 0)
            break;
        struct serve_reply reply = server->protocol->answer(&state, buffer, (size_t)got);
        serve_count(server, reply.count);
        r = send_all(fd, reply.data, reply.length);
        close = reply.close;
    }
    filch_close(fd);
    return 0; /* a failure would end the others, too */
}

/* The frame lies between the loop's and those of the calls: with a page of buffer in it a connection that waits takes a page of stack more. */
static int with_little(void *arg)
{
    char buffer[SERVE_LITTLE];
    return talk((int)(intptr_t)arg, buffer, sizeof buffer);
}

static int with_much(void *arg)
{
    char buffer[SERVE_BUFFER];
    return talk((int)(intptr_t)arg, buffer, sizeof buffer);
}

static int accept_all(void *arg)
{
    (void)arg;
    filch_fn *connection = server->protocol->little ? with_little : with_much;
    FILCH_SCOPE(s);
    for (;;) {
        int fd = filch_accept(server->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd == -ECONNABORTED)
            continue;
        int r = fd < 0 ? fd : filch_spawn(&s, connection, (void *)(intptr_t)fd);
        if (r < 0)
            return r;
    }
}

static int hog(void *arg)
{
    (void)arg;
    for (volatile bool over = false; !over;)
        ;
    return 0;
}

static int accept_beside_hog(void *arg)
{
    FILCH_SCOPE(s);
    int r = filch_spawn(&s, hog, NULL);
    return r < 0 ? r : accept_all(arg);
}

int serve_filch(const struct serve *serve)
{
    server = serve;
    return filch_run(serve->config, accept_all, NULL);
}

int serve_filch_hog(const struct serve *serve)
{
    server = serve;
    return filch_run(serve->config, accept_beside_hog, NULL);
}
