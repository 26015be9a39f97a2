/* SPDX-License-Identifier: MIT */
/* A server on epoll(7): one thread, one buffer, every descriptor registered once, level-triggered.
 *
 * What is ready is received once and answered at once. A short receive needs no second one to learn that there is no more; if there is,
 * epoll says so again. Where the peer takes no more, the rest of a reply is kept, and the descriptor waits for EPOLLOUT instead. */
#include "serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256

struct connection {
    int fd;
    bool close;
    char *rest; /* of a reply; NULL: nothing */
    size_t rest_length, rest_sent;
    struct serve_state state;
};

static void end(struct connection *connection)
{
    close(connection->fd);
    free(connection->rest);
    free(connection);
}

static int accept_one(const struct serve *serve, int epoll)
{
    int fd = accept4(serve->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return errno == EAGAIN || errno == ECONNABORTED ? 0 : -errno;
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return -ENOMEM;
    connection->fd = fd;
    serve->protocol->begin(&connection->state);
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = connection}) < 0 ? -errno : 0;
}

static int wait_for(int epoll, struct connection *connection, uint32_t events)
{
    return epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &(struct epoll_event){.events = events, .data.ptr = connection}) < 0 ? -errno
                                                                                                                                : 0;
}

/* @return 0, or less if the connection is over */
static int keep_rest(int epoll, struct connection *connection, const char *data, size_t length)
{
    connection->rest = malloc(length);
    if (!connection->rest)
        return -ENOMEM;
    memcpy(connection->rest, data, length);
    connection->rest_length = length;
    connection->rest_sent = 0;
    return wait_for(epoll, connection, EPOLLOUT);
}

static int go_on_sending(int epoll, struct connection *connection)
{
    size_t left = connection->rest_length - connection->rest_sent;
    ssize_t sent = send(connection->fd, connection->rest + connection->rest_sent, left, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN ? 0 : -errno;
    connection->rest_sent += (size_t)sent;
    if ((size_t)sent < left)
        return 0;
    free(connection->rest);
    connection->rest = NULL;
    return connection->close ? -EPIPE : wait_for(epoll, connection, EPOLLIN);
}

static int answer(const struct serve *serve, int epoll, struct connection *connection)
{
    char buffer[SERVE_BUFFER];
    ssize_t got = recv(connection->fd, buffer, sizeof buffer, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN ? 0 : -EPIPE;
    struct serve_reply reply = serve->protocol->answer(&connection->state, buffer, (size_t)got);
    serve_count(serve, reply.count);
    connection->close = reply.close;
    ssize_t sent = reply.length ? send(connection->fd, reply.data, reply.length, MSG_NOSIGNAL) : 0;
    if (sent < 0 && errno != EAGAIN)
        return -errno;
    sent = sent < 0 ? 0 : sent;
    if ((size_t)sent < reply.length)
        return keep_rest(epoll, connection, reply.data + sent, reply.length - (size_t)sent);
    return reply.close ? -EPIPE : 0;
}

int serve_epoll(const struct serve *serve)
{
    struct epoll_event events[EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC), r = 0;
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, serve->fd, &(struct epoll_event){.events = EPOLLIN}) < 0)
        return -errno;
    while (r >= 0) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        if (count < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; r >= 0 && i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection)
                r = accept_one(serve, epoll);
            else if ((connection->rest ? go_on_sending(epoll, connection) : answer(serve, epoll, connection)) < 0)
                end(connection);
        }
    }
    return r;
}
