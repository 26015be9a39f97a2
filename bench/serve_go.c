/* SPDX-License-Identifier: MIT */
/* Servers in Go: another program, peers/serve.go, takes the place of the process. It is on the same CPUs, inherits the socket and the
 * counter, in the descriptors 3 and 4, and may use as many processors as filch's would have workers. */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "util.h"

enum { SOCKET_FD = 3, COUNT_FD };

/* Without FD_CLOEXEC. First out of the way of each other. */
static int place(int socket, int count)
{
    socket = fcntl(socket, F_DUPFD_CLOEXEC, COUNT_FD + 1);
    count = fcntl(count, F_DUPFD_CLOEXEC, COUNT_FD + 1);
    return socket < 0 || count < 0 || dup2(socket, SOCKET_FD) < 0 || dup2(count, COUNT_FD) < 0 ? -errno : 0;
}

static int become(const struct serve *serve, const char *protocol)
{
    char path[4096], workers[16], buffer[16];
    cpu_set_t cpus;
    int r = bench_beside(SERVE_GO, path, sizeof path);
    if (r == 0)
        r = place(serve->fd, serve->count_fd);
    if (r < 0 || sched_getaffinity(0, sizeof cpus, &cpus) < 0)
        return r < 0 ? r : -errno;
    snprintf(workers, sizeof workers, "%u", serve->config->workers ? serve->config->workers : (unsigned)CPU_COUNT(&cpus));
    snprintf(buffer, sizeof buffer, "%d", serve->protocol->little ? SERVE_LITTLE : SERVE_BUFFER);
    execl(path, SERVE_GO, protocol, workers, buffer, NULL);
    return -errno;
}

int serve_go(const struct serve *serve)
{
    return become(serve, serve->protocol->in_go);
}

int serve_go_net_http(const struct serve *serve)
{
    return become(serve, "net/http");
}
