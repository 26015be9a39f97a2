/* SPDX-License-Identifier: MIT */
/* A load on a server: connections that each send a request, wait for the reply, and send the next. See load.c. */
#ifndef FILCH_BENCH_LOAD_H
#define FILCH_BENCH_LOAD_H

#include "bench.h"
#include "serve.h"

#define LOAD_BUCKETS 4096

struct load {
    int64_t connections, active; /* the others only send one request, before the clock starts */
    double seconds;
    const char *request, *reply; /* the i-th request is `request + i % variety`, its reply is `reply + i % variety` */
    size_t request_length, reply_length, variety;

    /* what came of it */
    int64_t all;                 /* requests with a reply, those before and after the time included */
    int64_t requests;            /* those in time */
    int64_t ns, cpu;             /* time, and the server's CPU time meanwhile */
    int64_t memory;              /* bytes that all connections together made the server grow by */
    uint64_t late[LOAD_BUCKETS]; /* how many took how long */
};

/** @return 0; -EBADMSG a reply was wrong; -EPIPE the server closed a connection; -ETIME no reply came in time; another -errno */
int load_run(struct load *load, const struct server *server);

/** The latency that `percent` percent of the requests did not exceed, in us. */
double load_latency(const struct load *load, double percent);

/** Hands over what every server is judged by. */
void load_report(struct bench_run *run, const struct load *load);

#endif
