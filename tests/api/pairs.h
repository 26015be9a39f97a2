/* SPDX-License-Identifier: MIT */
/* What the laws of sockets, pipes and files share: two ends of everything, bytes that tell where they belong, and dice for races. */
#ifndef PAIRS_H
#define PAIRS_H

#include "api.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { KIB = 1 << 10, MIB = 1 << 20 };

static unsigned char much[24 * MIB]; /* more than the queues of any socket hold */

static inline void in_tasks(filch_fn *fn, void *arg)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, fn, arg) == 0);
}

static inline void everywhere(filch_fn *fn, void *arg)
{
    must(fn(arg) == 0);
    in_tasks(fn, arg);
}

static inline unsigned char byte_at(int64_t at)
{
    return (unsigned char)(at * 31 >> 3 ^ at >> 13);
}

static inline void fill(unsigned char *buf, size_t len, int64_t from)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = byte_at(from + (int64_t)i);
}

static inline bool is_filled(const unsigned char *buf, size_t len, int64_t from)
{
    size_t i = 0;
    while (i < len && buf[i] == byte_at(from + (int64_t)i))
        i++;
    return i == len;
}

/* None was left open. A thread that is about to end may look into /proc for malloc's sake, so it is not told at once. */
static inline void descriptors_are(int before)
{
    for (int64_t end = filch_after(FILCH_SEC(5)); descriptors() != before;)
        must(filch_now() < end);
}

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

static inline socklen_t loopback(int family, union address *ret_address)
{
    *ret_address = (union address){.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    if (family == AF_INET)
        return sizeof ret_address->in;
    *ret_address = (union address){.in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}};
    return sizeof ret_address->in6;
}

/* A socket on a port of its own. @return -1: there is no such family here */
static inline int bound(int family, int type, union address *ret_address, socklen_t *ret_len)
{
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    *ret_len = loopback(family, ret_address);
    if (fd >= 0 && bind(fd, &ret_address->any, *ret_len) == 0 && getsockname(fd, &ret_address->any, ret_len) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static inline void tcp_pair(int ends[2])
{
    union address address;
    socklen_t len;
    int listener = bound(AF_INET, SOCK_STREAM, &address, &len);
    must(listener >= 0 && listen(listener, 1) == 0);
    ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(ends[0] >= 0 && connect(ends[0], &address.any, len) == 0);
    ends[1] = accept(listener, NULL, NULL);
    must(ends[1] >= 0);
    close(listener);
}

static inline void unix_pair(int ends[2])
{
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
}

/* The second end is written to. */
static inline void pipe_pair(int ends[2])
{
    must(pipe2(ends, O_CLOEXEC) == 0);
}

typedef void make_pair(int ends[2]);
static make_pair *const every_stream[] = {tcp_pair, unix_pair};
static make_pair *const every_pair[] = {tcp_pair, unix_pair, pipe_pair};

static inline void close_pair(const int ends[2])
{
    must(close(ends[0]) == 0 && close(ends[1]) == 0);
}

/* The first bytes of `much`, which is filled. */
static inline int file_of(size_t size)
{
    int fd = memfd_create("filch-api", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, much, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

enum { RACES = 300 };

/* For up to 60 us, which is what a cancel takes. */
static inline void wait_at_random(unsigned *dice)
{
    *dice = *dice * 1103515245 + 12345;
    for (int64_t end = filch_after((*dice >> 16) % 60000); filch_now() < end;)
        if (*dice >> 31)
            filch_yield();
}

#endif
