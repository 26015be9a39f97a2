/* SPDX-License-Identifier: MIT */
/* The process around a server.
 *
 * A server is forked, so that its CPU time is the process's, whatever threads it uses, and the kernel's work in its system calls is in it.
 * What a packet costs on its way through the loopback device is paid by who sends it: the sender's system call carries it into the
 * receiver's socket, and so client and server share that in the same way under every form. Server and client have different CPUs where
 * there are enough: one more than the server has workers.
 *
 * The client reads the clock and counts from outside, and ends the server by SIGKILL, so nothing of that is in a server's own code. */
#include "serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define BACKLOG 4096

/* The socket of the server before may live on for a moment: the kernel takes io_urings apart after their process has ended. */
static int bind_in_time(int fd, const struct sockaddr_in *address)
{
    for (int i = 0; bind(fd, (const struct sockaddr *)address, sizeof *address) < 0; i++) {
        if (errno != EADDRINUSE || i == 200)
            return -1;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return 0;
}

static int listen_at(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* what is accepted inherits it */
    if (bind_in_time(fd, &address) < 0 || listen(fd, BACKLOG) < 0 || getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

/* The first CPU for the client, the last `workers` for the server; all the same CPU where there is but one. */
static void share_cpus(const cpu_set_t *allowed, unsigned workers, cpu_set_t *client, cpu_set_t *server)
{
    int count = CPU_COUNT(allowed), wanted = workers && (int)workers < count ? (int)workers : count > 1 ? count - 1 : 1, place = 0;
    CPU_ZERO(client);
    CPU_ZERO(server);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, allowed))
            continue;
        if (place == 0)
            CPU_SET(cpu, client);
        if (place >= count - wanted)
            CPU_SET(cpu, server);
        place++;
    }
}

static _Noreturn void child(serve_fn *fn, const struct serve *serve, const cpu_set_t *cpus)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sched_setaffinity(0, sizeof *cpus, cpus);
    int r = fn(serve);
    bench_say("the server failed: %s", strerror(-r));
    _exit(1);
}

/* Memory with a descriptor, for servers that are another program. */
static int make_count(struct server *server, int *ret_fd)
{
    server->count = MAP_FAILED;
    *ret_fd = memfd_create("count", MFD_CLOEXEC);
    if (*ret_fd < 0 || ftruncate(*ret_fd, sizeof *server->count) < 0)
        return -errno;
    server->count = mmap(NULL, sizeof *server->count, PROT_READ | PROT_WRITE, MAP_SHARED, *ret_fd, 0);
    return server->count == MAP_FAILED ? -errno : 0;
}

int server_start(struct server *server, serve_fn *fn, const struct serve_protocol *protocol, const filch_config *config, int port)
{
    cpu_set_t client, cpus, both;
    *server = (struct server){.pid = -1, .port = port};
    if (sched_getaffinity(0, sizeof server->allowed, &server->allowed) < 0)
        return -errno;
    share_cpus(&server->allowed, config->workers, &client, &cpus);
    CPU_AND(&both, &client, &cpus);
    server->apart = CPU_COUNT(&both) == 0;
    struct serve serve = {.protocol = protocol, .config = config, .fd = listen_at(&server->port)};
    if (serve.fd < 0)
        return serve.fd;
    int r = make_count(server, &serve.count_fd);
    serve.count = server->count;
    if (r == 0) {
        server->pid = fork();
        if (server->pid == 0)
            child(fn, &serve, &cpus);
        r = server->pid < 0 ? -errno : -clock_getcpuclockid(server->pid, &server->clock);
    }
    close(serve.fd);
    if (serve.count_fd >= 0)
        close(serve.count_fd);
    sched_setaffinity(0, sizeof client, &client);
    if (r < 0)
        server_stop(server);
    return r;
}

void server_stop(struct server *server)
{
    if (server->pid > 0) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
    }
    if (server->count != MAP_FAILED)
        munmap(server->count, sizeof *server->count);
    sched_setaffinity(0, sizeof server->allowed, &server->allowed);
}

int64_t server_cpu(const struct server *server)
{
    struct timespec t = {0};
    clock_gettime(server->clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int server_room(int64_t connections)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections + 64;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= wanted)
        return 0;
    bench_say("%lld connections need %llu descriptors in each of two processes; the hard limit is %llu (ulimit -Hn)",
              (long long)connections, (unsigned long long)wanted, (unsigned long long)limit.rlim_max);
    return -EINVAL;
}
