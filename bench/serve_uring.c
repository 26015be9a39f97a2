/* SPDX-License-Identifier: MIT */
/* A server on io_uring: one thread, one ring (single issuer, deferred task work), one multishot accept, a buffer a connection.
 *
 * A connection has one chain in flight: a send, and linked to it the next receive, which alone completes, and which waits first
 * (IORING_RECVSEND_POLL_FIRST), since nothing can be there so soon. So a request is two entries, one completion and a share of a system
 * call. The kernel sends all of a reply, however long the peer takes; if it cannot, the receive is cancelled.
 *
 * Tried and not faster: multishot receives into provided buffers (slower with more connections at once than buffers), registered
 * descriptors, no links, larger rounds. */
#include "serve.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ENTRIES 4096
#define COMPLETIONS 16384
#define BATCH 64

struct connection {
    int fd;
    bool close;
    struct serve_state state;
    char buffer[SERVE_BUFFER];
};

static const struct serve *server;
static struct io_uring uring;
static char failed_send; /* its address stands for one: the receive linked to it tells */

static int queue_accept(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring);
    if (!sqe)
        return -EAGAIN;
    io_uring_prep_multishot_accept(sqe, server->fd, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data(sqe, NULL);
    return 0;
}

static void queue_recv(struct connection *connection, unsigned short how)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring);
    io_uring_prep_recv(sqe, connection->fd, connection->buffer, sizeof connection->buffer, 0);
    sqe->ioprio |= how;
    io_uring_sqe_set_data(sqe, connection);
}

static void queue_send(struct connection *connection, const struct serve_reply *reply)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring);
    io_uring_prep_send(sqe, connection->fd, reply->data, reply->length, MSG_WAITALL | MSG_NOSIGNAL);
    io_uring_sqe_set_data(sqe, connection);
    connection->close = reply->close;
    if (reply->close)
        return;
    sqe->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data(sqe, &failed_send);
    queue_recv(connection, IORING_RECVSEND_POLL_FIRST);
}

static int accepted(const struct io_uring_cqe *cqe)
{
    int r = cqe->flags & IORING_CQE_F_MORE ? 0 : queue_accept();
    if (cqe->res < 0)
        return cqe->res == -ECONNABORTED ? r : cqe->res;
    struct connection *connection = malloc(sizeof *connection);
    if (!connection)
        return -ENOMEM;
    connection->fd = cqe->res;
    connection->close = false;
    server->protocol->begin(&connection->state);
    queue_recv(connection, 0);
    return r;
}

static void received(struct connection *connection, int length)
{
    struct serve_reply reply = {.close = true};
    if (length > 0 && !connection->close) {
        reply = server->protocol->answer(&connection->state, connection->buffer, (size_t)length);
        serve_count(server, reply.count);
    }
    if (reply.length) {
        queue_send(connection, &reply);
    } else if (!reply.close) {
        queue_recv(connection, 0);
    } else {
        close(connection->fd);
        free(connection);
    }
}

static int loop(void)
{
    struct io_uring_cqe *cqes[BATCH];
    for (int r = 0; r >= 0;) {
        r = io_uring_submit_and_wait(&uring, 1);
        if (r == -EINTR)
            r = 0;
        unsigned count = io_uring_peek_batch_cqe(&uring, cqes, BATCH);
        for (unsigned i = 0; r >= 0 && i < count; i++) {
            void *data = io_uring_cqe_get_data(cqes[i]);
            if (!data)
                r = accepted(cqes[i]);
            else if (data != &failed_send)
                received(data, cqes[i]->res);
        }
        io_uring_cq_advance(&uring, count);
        if (r < 0)
            return r;
    }
    return 0;
}

int serve_uring(const struct serve *serve)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
                                     .cq_entries = COMPLETIONS};
    server = serve;
    int r = io_uring_queue_init_params(ENTRIES, &uring, &params);
    if (r == 0)
        r = queue_accept();
    return r < 0 ? r : loop();
}
