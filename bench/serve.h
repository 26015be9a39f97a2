/* SPDX-License-Identifier: MIT */
/* A TCP server in a process of its own: one protocol, some ways to serve it. See serve.c. */
#ifndef FILCH_BENCH_SERVE_H
#define FILCH_BENCH_SERVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sched.h>
#include <sys/types.h>

#include <filch.h>

#define SERVE_BUFFER 4096 /* bytes that are received at a time */
#define SERVE_LITTLE 512  /* the same, of short messages, where a connection has a buffer of its own on a stack */
#define SERVE_STATE 64    /* what a protocol may keep of a connection */

/** What to send for what was received. */
struct serve_reply {
    const char *data; /* the buffer received, or static */
    size_t length;
    uint64_t count; /* of what the protocol counts: requests, bytes */
    bool close;     /* after it was sent */
};

struct serve_state {
    _Alignas(16) char bytes[SERVE_STATE];
};

/** Both are called by one thread at a time for a connection. */
struct serve_protocol {
    void (*begin)(struct serve_state *state);
    struct serve_reply (*answer)(struct serve_state *state, const char *data, size_t length);
    bool little;       /**< messages are seldom longer than SERVE_LITTLE */
    const char *in_go; /**< what SERVE_GO calls the protocol */
};

/** What a way of serving gets. */
struct serve {
    const struct serve_protocol *protocol;
    const filch_config *config;
    atomic_uint_fast64_t *count; /* all replies' */
    int count_fd;                /* its memory */
    int fd;                      /* listens, and does not block */
};

#define SERVE_GO "serve-go" /* beside this program: peers/serve.go */

/** Serves until the process is killed. @return -errno */
typedef int serve_fn(const struct serve *serve);

int serve_filch(const struct serve *serve);       /* a task a connection */
int serve_filch_hog(const struct serve *serve);   /* the same, and a task that computes all the time */
int serve_epoll(const struct serve *serve);       /* one loop over ready descriptors */
int serve_uring(const struct serve *serve);       /* one loop over completions */
int serve_go(const struct serve *serve);          /* a goroutine a connection */
int serve_go_net_http(const struct serve *serve); /* HTTP by Go's standard library */

struct server {
    pid_t pid;
    clockid_t clock;
    int port;
    bool apart; /* the client has a CPU of its own */
    atomic_uint_fast64_t *count;
    cpu_set_t allowed; /* this process's before the start */
};

/** Starts a server on `port` (0: any), on the last of the allowed CPUs, as many as there are workers; the caller is moved to the first. @return 0 or -errno */
int server_start(struct server *server, serve_fn *fn, const struct serve_protocol *protocol, const filch_config *config, int port);

/** Kills it, and gives the caller all its CPUs back. */
void server_stop(struct server *server);

/** CPU time that it has used, all threads, user and system, in nanoseconds. */
int64_t server_cpu(const struct server *server);

/** @return 0; -EMFILE once it has said that so many connections are not possible here. */
int server_room(int64_t connections);

static inline void serve_count(const struct serve *serve, uint64_t count)
{
    atomic_fetch_add_explicit(serve->count, count, memory_order_relaxed);
}

#endif
