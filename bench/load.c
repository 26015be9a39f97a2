/* SPDX-License-Identifier: MIT */
/* The client's side: one thread on one io_uring, as cheap as it can be made, so that it is the server that is short of CPU.
 *
 * First all connections are made, in groups, and each carries one request, so that what a server needs for a connection is there; one more
 * comes before them and stays, so that what the first of all makes a server grow by is not in the figure of memory. Then
 * the active ones are started, and each sends the next request when it has the reply. Every byte of a reply is compared. At the end no
 * more is sent, and what is under way is waited for, so that requests and replies can be counted on both sides.
 *
 * Where it has a CPU of its own, the client never sleeps. Else a server that is slower than it would have to wake it for every reply, and
 * one that is not would not: the same send would cost one of them far more.
 *
 * Latency is counted from the submission that a request goes out with to the moment at which its reply is found in the ring, in
 * buckets a sixty-fourth of their value wide. The clock is read once a round.
 *
 * Connections are closed by a reset (SO_LINGER), so that none lingers in TIME_WAIT. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "util.h"

#define GROUP 256
#define ENTRIES 4096
#define BATCH 64
#define BUFFERS 512 /* a power of two */
#define BUFFER_SIZE 4096
#define PATIENCE 10 /* seconds without a reply: something hangs */

struct connection {
    int fd;
    uint32_t got; /* of the reply */
    uint64_t sequence;
    int64_t sent;
};

struct client {
    struct load *load;
    struct io_uring uring;
    struct io_uring_buf_ring *buffer_ring;
    char *buffers;
    struct connection *connections;
    int64_t count; /* of connections: the first is nobody's */
    int64_t under_way, now, heard;
    bool spins, over;
};

static const struct __kernel_timespec patience = {.tv_sec = PATIENCE};

/* ---- buckets ---- */

#define SUB_BITS 6

static unsigned bucket_of(int64_t ns)
{
    unsigned bits = 63 - (unsigned)__builtin_clzll((uint64_t)ns | 1);
    unsigned shift = bits > SUB_BITS ? bits - SUB_BITS : 0;
    return (shift << SUB_BITS) + (unsigned)((uint64_t)ns >> shift);
}

static double value_of(unsigned bucket)
{
    unsigned shift = bucket >> SUB_BITS ? (bucket >> SUB_BITS) - 1 : 0;
    return ((double)(bucket - (shift << SUB_BITS)) + 0.5) * (double)((uint64_t)1 << shift);
}

double load_latency(const struct load *load, double percent)
{
    uint64_t total = 0, sum = 0;
    for (unsigned i = 0; i < LOAD_BUCKETS; i++)
        total += load->late[i];
    for (unsigned i = 0; i < LOAD_BUCKETS; i++) {
        sum += load->late[i];
        if (total && (double)sum >= (double)total * percent / 100)
            return value_of(i) / 1e3;
    }
    return 0;
}

/* ---- one request after the other, while connections are made ---- */

static size_t shift_of(const struct load *load, const struct connection *connection)
{
    return (size_t)(connection->sequence % load->variety);
}

static int open_connection(struct connection *connection, const struct sockaddr_in *address)
{
    int one = 1;
    struct linger reset = {.l_onoff = 1};
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        return -errno;
    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = PATIENCE}, sizeof(struct timeval));
    return connect(connection->fd, (const struct sockaddr *)address, sizeof *address) < 0 ? -errno : 0;
}

static int plain_send(const struct load *load, const struct connection *connection)
{
    ssize_t sent = send(connection->fd, load->request + shift_of(load, connection), load->request_length, MSG_NOSIGNAL);
    return sent < 0 ? -errno : (size_t)sent < load->request_length ? -EIO : 0;
}

static int plain_recv(const struct load *load, struct connection *connection, char *buffer)
{
    for (size_t got = 0; got < load->reply_length;) {
        ssize_t part = recv(connection->fd, buffer + got, load->reply_length - got, 0);
        if (part < 0 && errno == EINTR)
            continue; /* the end of an earlier ring: who waits with a limit is not put back to sleep */
        if (part <= 0)
            return part == 0 ? -EPIPE : errno == EAGAIN ? -ETIME : -errno;
        got += (size_t)part;
    }
    if (memcmp(buffer, load->reply + shift_of(load, connection), load->reply_length) != 0)
        return -EBADMSG;
    connection->sequence++;
    return 0;
}

/* Those from `first` up to, and without, `end`. */
static int connect_all(struct client *client, const struct server *server, int64_t first, int64_t end)
{
    struct load *load = client->load;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)server->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char *buffer = malloc(load->reply_length);
    int r = buffer ? 0 : -ENOMEM;
    for (int64_t last; r == 0 && first < end; first = last) {
        last = first + GROUP < end ? first + GROUP : end;
        for (int64_t i = first; r == 0 && i < last; i++)
            r = open_connection(&client->connections[i], &address);
        for (int64_t i = first; r == 0 && i < last; i++)
            r = plain_send(load, &client->connections[i]);
        for (int64_t i = first; r == 0 && i < last; i++, load->all += r == 0)
            r = plain_recv(load, &client->connections[i], buffer);
    }
    free(buffer);
    return r;
}

/* ---- the ring ---- */

static struct io_uring_sqe *entry(struct client *client)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&client->uring);
    if (!sqe) {
        io_uring_submit(&client->uring);
        sqe = io_uring_get_sqe(&client->uring);
    }
    return sqe;
}

static int queue_recv(struct client *client, struct connection *connection)
{
    struct io_uring_sqe *sqe = entry(client);
    if (!sqe)
        return -EAGAIN;
    io_uring_prep_recv_multishot(sqe, connection->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    io_uring_sqe_set_data(sqe, connection);
    return 0;
}

/* Only a failure completes. */
static int queue_send(struct client *client, struct connection *connection)
{
    const struct load *load = client->load;
    struct io_uring_sqe *sqe = entry(client);
    if (!sqe)
        return -EAGAIN;
    io_uring_prep_send(sqe, connection->fd, load->request + shift_of(load, connection), load->request_length, MSG_WAITALL | MSG_NOSIGNAL);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data(sqe, NULL);
    connection->sent = client->now;
    client->under_way++;
    return 0;
}

static char *buffer_at(struct client *client, unsigned id)
{
    return client->buffers + (size_t)id * BUFFER_SIZE;
}

static void give_buffer(struct client *client, unsigned id)
{
    io_uring_buf_ring_add(client->buffer_ring, buffer_at(client, id), BUFFER_SIZE, (uint16_t)id, io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(client->buffer_ring, 1);
}

static int got_some(struct client *client, struct connection *connection, const char *data, size_t length)
{
    struct load *load = client->load;
    if (connection->got + length > load->reply_length ||
        memcmp(data, load->reply + shift_of(load, connection) + connection->got, length) != 0)
        return -EBADMSG;
    connection->got += (uint32_t)length;
    if (connection->got < load->reply_length)
        return 0;
    connection->got = 0;
    connection->sequence++;
    client->under_way--;
    load->all++;
    if (client->over)
        return 0;
    load->requests++;
    load->late[bucket_of(client->now - connection->sent)]++;
    return queue_send(client, connection);
}

static int completed(struct client *client, const struct io_uring_cqe *cqe)
{
    struct connection *connection = io_uring_cqe_get_data(cqe);
    int r = 0;
    if (!connection || (cqe->res < 0 && cqe->res != -ENOBUFS))
        return cqe->res;
    if (cqe->res == 0)
        return -EPIPE;
    if (cqe->res > 0) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        r = got_some(client, connection, buffer_at(client, id), (size_t)cqe->res);
        give_buffer(client, id);
    }
    return r < 0 || cqe->flags & IORING_CQE_F_MORE ? r : queue_recv(client, connection);
}

static int one_round(struct client *client)
{
    struct io_uring_cqe *cqes[BATCH], *first;
    int r = client->spins ? io_uring_submit_and_get_events(&client->uring)
                          : io_uring_submit_and_wait_timeout(&client->uring, &first, 1, (struct __kernel_timespec *)&patience, NULL);
    if (r < 0)
        return r == -EINTR ? 0 : r;
    unsigned count = io_uring_peek_batch_cqe(&client->uring, cqes, BATCH);
    client->now = filch_now();
    if (count)
        client->heard = client->now;
    else if (client->now - client->heard > FILCH_SEC(PATIENCE))
        return -ETIME;
    for (unsigned i = 0; i < count; i++) {
        r = completed(client, cqes[i]);
        if (r < 0)
            return r;
    }
    io_uring_cq_advance(&client->uring, count);
    return 0;
}

static int talk(struct client *client, const struct server *server)
{
    struct load *load = client->load;
    int64_t cpu = server_cpu(server), start = client->now = client->heard = filch_now(), end = start + (int64_t)(load->seconds * 1e9);
    int r = 0;
    for (int64_t i = 0; r == 0 && i < load->active; i++) {
        struct connection *connection = &client->connections[1 + i * (load->connections / load->active)];
        r = queue_recv(client, connection);
        if (r == 0)
            r = queue_send(client, connection);
    }
    while (r == 0 && client->now < end)
        r = one_round(client);
    load->cpu = server_cpu(server) - cpu;
    load->ns = client->now - start;
    client->over = true;
    if (r == 0 && load->requests == 0) {
        bench_say("there was no reply within %g s; please give it more --seconds", load->seconds);
        return -ETIME;
    }
    while (r == 0 && client->under_way)
        r = one_round(client);
    return r;
}

static int ring_init(struct client *client)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
                                     .cq_entries = 16384};
    size_t ring_size = BUFFERS * sizeof(struct io_uring_buf), size = ring_size + (size_t)BUFFERS * BUFFER_SIZE;
    int r = io_uring_queue_init_params(ENTRIES, &client->uring, &params);
    if (r < 0)
        return r;
    client->buffer_ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (client->buffer_ring == MAP_FAILED) {
        io_uring_queue_exit(&client->uring);
        return -ENOMEM;
    }
    client->buffers = (char *)client->buffer_ring + ring_size;
    io_uring_buf_ring_init(client->buffer_ring);
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)client->buffer_ring, .ring_entries = BUFFERS};
    r = io_uring_register_buf_ring(&client->uring, &reg, 0);
    for (unsigned id = 0; r == 0 && id < BUFFERS; id++)
        give_buffer(client, id);
    return r;
}

static void ring_fini(struct client *client)
{
    io_uring_queue_exit(&client->uring);
    munmap(client->buffer_ring, BUFFERS * (sizeof(struct io_uring_buf) + BUFFER_SIZE));
}

int load_run(struct load *load, const struct server *server)
{
    struct client client = {.load = load, .count = load->connections + 1, .spins = server->apart};
    client.connections = calloc((size_t)client.count, sizeof(struct connection));
    if (!client.connections)
        return -ENOMEM;
    for (int64_t i = 0; i < client.count; i++)
        client.connections[i] = (struct connection){.fd = -1, .sequence = (uint64_t)i};
    int r = connect_all(&client, server, 0, 1);
    int64_t before = (int64_t)bench_memory_of(server->pid, "VmRSS:");
    if (r == 0)
        r = connect_all(&client, server, 1, client.count);
    load->memory = (int64_t)bench_memory_of(server->pid, "VmRSS:") - before;
    if (r == 0)
        r = ring_init(&client);
    if (r == 0) {
        r = talk(&client, server);
        ring_fini(&client);
    }
    for (int64_t i = 0; i < client.count; i++)
        if (client.connections[i].fd >= 0)
            close(client.connections[i].fd);
    free(client.connections);
    return r;
}

void load_report(struct bench_run *run, const struct load *load)
{
    double at[BENCH_POINTS];
    for (unsigned i = 0; i < BENCH_POINTS; i++)
        at[i] = load_latency(load, bench_points[i]);
    bench_result(run, (double)load->cpu / 1e3 / (double)load->requests);
    bench_more(run, "rate", "requests/s", (double)load->requests / ((double)load->ns / 1e9));
    bench_more(run, "latency_us.p50", "us", load_latency(load, 50));
    bench_more(run, "latency_us.p99", "us", load_latency(load, 99));
    bench_distribution(run, "latency_us", at, (size_t)load->requests);
    bench_more(run, "busy", "% CPU", 100 * (double)load->cpu / (double)load->ns);
    bench_more(run, "memory", "bytes/connection", (double)load->memory / (double)load->connections);
}
