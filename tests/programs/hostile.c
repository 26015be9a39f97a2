/* SPDX-License-Identifier: MIT */
/* hostile PORT SECONDS SLOW ABORTING PATH: clients that nobody wants, for a web server on this machine.
 *
 *   slow      sends a request header by header, and never comes to the end of it; once it is let go it comes again
 *   aborting  connects, sends nothing, half a request, or a request for PATH of which it reads a part, and resets the connection; again and again
 *
 * One thread, one poll(2), no library. Prints what it has done; status 1 if there was nobody to talk to. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 10000
#define TICK 10 /* ms */

enum kind { SLOW, SILENT, HALF, READING, KINDS };

struct client {
    bool slow;
    int fd; /* -1: none */
    enum kind kind;
    bool asked;
    int64_t next; /* ms; when it does something again */
};

static struct client clients[CLIENTS_MAX];
static struct pollfd polls[CLIENTS_MAX];
static struct sockaddr_in address = {.sin_family = AF_INET};
static const char *path;
static long connected, refused, let_go, aborted;
static uint64_t dice = 88172645463325252;

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static int64_t roll(int64_t sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (int64_t)(dice % (uint64_t)sides);
}

static void drop(struct client *client, bool reset)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (reset)
        setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(client->fd);
    client->fd = -1;
    client->next = now() + 50 + roll(300);
}

static void begin(struct client *client)
{
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    client->next = now() + 500;
    if (client->fd < 0)
        return;
    client->kind = client->slow ? SLOW : (enum kind)(1 + roll(KINDS - 1));
    client->asked = false;
    if (connect(client->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        refused++;
        drop(client, false);
        return;
    }
    client->next = now() + roll(200);
    connected++;
}

static void say(struct client *client, const char *text)
{
    if (send(client->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN && errno != ENOTCONN) {
        let_go += client->slow;
        drop(client, true);
    }
}

/* Its time has come. */
static void act(struct client *client)
{
    char request[512];
    if (client->fd < 0) {
        begin(client);
    } else if (client->kind == SLOW) {
        client->next = now() + 200 + roll(800);
        say(client, client->asked ? "X-Header: and one more\r\n" : "GET / HTTP/1.1\r\nHost: localhost\r\n");
        client->asked = true;
    } else if (client->asked || client->kind == SILENT) {
        aborted++;
        drop(client, true);
    } else {
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s", path, client->kind == HALF ? "X-Half: a he" : "\r\n");
        client->next = now() + roll(300);
        client->asked = true;
        say(client, request);
    }
}

/* Something has come in, or the end. */
static void hear(struct client *client)
{
    char bytes[4096];
    ssize_t n = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n > 0 || (n < 0 && errno == EAGAIN)) {
        if (client->kind == READING && roll(50) == 0)
            client->next = 0; /* enough */
        return;
    }
    let_go += client->slow;
    drop(client, false);
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    if (argc != 6) {
        fprintf(stderr, "Usage: hostile PORT SECONDS SLOW ABORTING PATH\n");
        return 2;
    }
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int64_t end = now() + (int64_t)(atof(argv[2]) * 1000);
    int slow = atoi(argv[3]), count = slow + atoi(argv[4]);
    path = argv[5];
    if (count > CLIENTS_MAX)
        return 2;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    for (int i = 0; i < count; i++)
        clients[i] = (struct client){.slow = i < slow, .fd = -1, .next = now() + roll(500)};
    while (now() < end) {
        for (int i = 0; i < count; i++) {
            if (clients[i].next <= now())
                act(&clients[i]);
            polls[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
        }
        if (poll(polls, (nfds_t)count, TICK) > 0)
            for (int i = 0; i < count; i++)
                if (polls[i].revents)
                    hear(&clients[i]);
    }
    printf("connected %ld, refused %ld, slow ones let go %ld, aborted %ld\n", connected, refused, let_go, aborted);
    return connected > 0 && refused == 0 ? 0 : 1;
}
