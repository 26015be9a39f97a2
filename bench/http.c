/* SPDX-License-Identifier: MIT */
/* http: what does a request cost a web server?
 *
 * HTTP/1.1 with connections that are kept, on the loopback device: --connections clients ask for "/", wait for the reply, 13 bytes of
 * text, and ask again, for --seconds. Server, client and figures as in echo.c: CPU time of the server's process a request, `filch` is a
 * task a connection, `go` a goroutine that does the same, `epoll` and `uring` are the floors. `net-http` is what a program in Go would
 * serve with, the server of its standard library; it does more than the others, see peers/serve.go.
 *
 * Requests are parsed by http_parser(3), as they come: in pieces, or several at once. Whatever is asked for, the answer is the same; to
 * what is not HTTP it is 400, and the end of the connection.
 *
 * Others may be the client. With --generator wrk it is wrk(1), with one thread, for whole seconds; its latencies are those of its own
 * report. Not to be run under SCHED_FIFO: wrk's main thread and its worker then wait for each other on the client's one CPU. With
 * --generator none the server's port is said on stderr, and it serves for --seconds whoever comes; --port makes it the same port in the
 * warm-up and all runs. Requests are then counted by the server.
 *
 * Checked: every byte of every reply of our own client, and that both sides have counted the same requests. */
#include "bench.h"

#include <errno.h>
#include <http_parser.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "load.h"

#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"
#define REFUSAL "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
#define RESPONSE_LENGTH (sizeof RESPONSE - 1)
#define SHORTEST 18 /* bytes of a request: "GET / HTTP/1.1", twice CR LF */
#define AT_ONCE (SERVE_BUFFER / SHORTEST + 1)

static int64_t connections = 256, port;
static double seconds = 2;
static unsigned generator;
static char responses[AT_ONCE * RESPONSE_LENGTH];

/* ---- the server's side ---- */

struct parse {
    http_parser parser;
    unsigned requests; /* in what is being parsed */
    bool close;
};

_Static_assert(sizeof(struct parse) <= SERVE_STATE, "fits");

static int on_message_complete(http_parser *parser)
{
    struct parse *parse = parser->data;
    parse->requests++;
    parse->close = !http_should_keep_alive(parser);
    if (parse->close)
        http_parser_pause(parser, 1); /* what comes after it is not answered */
    return 0;
}

static const http_parser_settings callbacks = {.on_message_complete = on_message_complete};

static void begin(struct serve_state *state)
{
    struct parse *parse = (struct parse *)state->bytes;
    *parse = (struct parse){.close = false};
    http_parser_init(&parse->parser, HTTP_REQUEST);
}

static struct serve_reply answer(struct serve_state *state, const char *data, size_t length)
{
    struct parse *parse = (struct parse *)state->bytes;
    parse->requests = 0;
    parse->parser.data = parse;
    bool whole = http_parser_execute(&parse->parser, &callbacks, data, length) == length && !parse->parser.upgrade;
    if (parse->requests == 0 && !whole)
        return (struct serve_reply){.data = REFUSAL, .length = sizeof REFUSAL - 1, .close = true};
    return (struct serve_reply){
        .data = responses,
        .length = parse->requests * RESPONSE_LENGTH,
        .count = parse->requests,
        .close = parse->close || !whole,
    };
}

static const struct serve_protocol protocol = {begin, answer, .little = true, .in_go = "http"};

/* ---- clients ---- */

static int own(struct bench_run *run, const struct server *server)
{
    char request[64];
    struct load *load = calloc(1, sizeof *load);
    if (!load)
        return -ENOMEM;
    *load = (struct load){
        .connections = connections,
        .active = connections,
        .seconds = seconds,
        .request = request,
        .request_length = (size_t)snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", server->port),
        .reply = responses,
        .reply_length = RESPONSE_LENGTH,
        .variety = 1,
    };
    int r = load_run(load, server);
    if (r >= 0) {
        load_report(run, load);
        bench_check(run, "lost", load->all - (int64_t)atomic_load(server->count), 0);
    }
    free(load);
    return r;
}

static void report(struct bench_run *run, const struct server *server, int64_t cpu, int64_t start)
{
    double requests = (double)atomic_load(server->count), ns = (double)(filch_now() - start);
    cpu = server_cpu(server) - cpu;
    bench_result(run, requests > 0 ? (double)cpu / 1e3 / requests : 0);
    bench_more(run, "rate", "requests/s", requests / ns * 1e9);
    bench_more(run, "busy", "% CPU", 100 * (double)cpu / ns);
}

static int nobody(struct bench_run *run, const struct server *server)
{
    int64_t cpu = server_cpu(server), start = filch_now();
    bench_say("http: http://127.0.0.1:%d/ for %g s", server->port, seconds);
    nanosleep(&(struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = (long)(fmod(seconds, 1) * 1e9)}, NULL);
    report(run, server, cpu, start);
    return 0;
}

/* "  50%    1.08ms" */
static void read_latency(struct bench_run *run, const char *line)
{
    unsigned percent;
    double value;
    char unit[4], name[32];
    if (sscanf(line, " %u%% %lf%3s", &percent, &value, unit) != 3 || (percent != 50 && percent != 99))
        return;
    snprintf(name, sizeof name, "latency_us.p%u", percent);
    bench_more(run, name, "us", value * (strcmp(unit, "us") == 0 ? 1 : strcmp(unit, "ms") == 0 ? 1e3 : 1e6));
}

static int wrk(struct bench_run *run, const struct server *server)
{
    char command[160], line[256];
    int64_t cpu = server_cpu(server), start = filch_now(), errors = 0;
    snprintf(command, sizeof command, "wrk -t1 -c%" PRId64 " -d%.0fs --latency http://127.0.0.1:%d/ 2>&1", connections, ceil(seconds),
             server->port);
    FILE *output = popen(command, "re");
    if (!output)
        return -errno;
    while (fgets(line, sizeof line, output)) {
        read_latency(run, line);
        errors += strstr(line, "Socket errors") || strstr(line, "Non-2xx");
    }
    int status = pclose(output);
    report(run, server, cpu, start);
    bench_check(run, "errors", errors, 0);
    if (status != 0)
        bench_say("http: wrk is needed for --generator wrk, and in the PATH (Debian's package is called wrk)");
    return status == 0 ? 0 : -ENOENT;
}

static int (*const generators[])(struct bench_run *run, const struct server *server) = {own, wrk, nobody};

static int http(struct bench_run *run, serve_fn *fn)
{
    struct server server;
    int r = server_start(&server, fn, &protocol, bench_config(run), (int)port);
    if (r < 0)
        return r;
    r = generators[generator](run, &server);
    server_stop(&server);
    return r;
}

static int http_filch(struct bench_run *run)
{
    return http(run, serve_filch);
}

static int http_epoll(struct bench_run *run)
{
    return http(run, serve_epoll);
}

static int http_uring(struct bench_run *run)
{
    return http(run, serve_uring);
}

static int http_go(struct bench_run *run)
{
    return http(run, serve_go);
}

static int http_net_http(struct bench_run *run)
{
    return http(run, serve_go_net_http);
}

static int prepare(void)
{
    for (unsigned i = 0; i < AT_ONCE; i++)
        memcpy(responses + i * RESPONSE_LENGTH, RESPONSE, RESPONSE_LENGTH);
    return server_room(connections);
}

const struct bench bench_http = {
    .name = "http",
    .what = "a web server with one small page: its CPU time a request",
    .unit = "us CPU/request",
    .workers = 1,
    .go_program = SERVE_GO,
    .prepare = prepare,
    .forms = {{"filch", http_filch, BENCH_APART},
              {"epoll", http_epoll, BENCH_ALONE},
              {"uring", http_uring, BENCH_ALONE},
              {"go", http_go, BENCH_GO},
              {"net-http", http_net_http, BENCH_GO}},
    .params =
        {
            BENCH_INT("connections", connections, 1, 1e6, "how many clients"),
            BENCH_REAL("seconds", seconds, 0.01, 3600, "of requests"),
            BENCH_CHOICE("generator", generator, "own|wrk|none", "who the clients are"),
            BENCH_INT("port", port, 0, 65535, "to listen at; 0: any"),
        },
};
