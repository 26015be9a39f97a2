/* SPDX-License-Identifier: MIT */
/* echo: what does a message cost a server that sends back what it receives?
 *
 * --connections connections on the loopback device, of which --active send a message of --size bytes, wait until they have it back, and
 * send the next, for --seconds. Server and client are two processes on different CPUs (serve.c); the client is the same for all (load.c).
 * The figure is CPU time of the server's process a message. The client's latencies come with it, and by how much the server's resident
 * memory has grown once every connection has had one message, divided by them: with --active 1, that of an idle connection.
 *
 * `filch` is a task a connection, `go` a goroutine (peers/serve.go). `epoll` and `uring` are the floors: a loop in one thread. Measure them
 * in turns: --vs all.
 *
 * With --hog the server of form `filch` has two workers, and each run is one without and one with a task that computes all the time beside
 * those of the connections. The figures are those without, and "hog" what they are with it. Where there are but two CPUs, client and hog
 * are on the server's; the client sleeps then when it has nothing to do.
 *
 * Checked: every byte of every echo, and that both sides have counted the same bytes. The first byte's place in a random pattern
 * differs between neighbours in time and among connections, so that one connection's message is no answer to another. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "util.h"

#define VARIETY 4093

static int64_t size = 64, connections = 1000, active;
static double seconds = 2;
static bool hog;
static char *pattern;

static void begin(struct serve_state *state)
{
    (void)state;
}

static struct serve_reply answer(struct serve_state *state, const char *data, size_t length)
{
    (void)state;
    return (struct serve_reply){.data = data, .length = length, .count = length};
}

static const struct serve_protocol long_messages = {begin, answer, .little = false, .in_go = "echo"},
                                   short_messages = {begin, answer, .little = true, .in_go = "echo"};

static int talk(struct bench_run *run, const filch_config *config, serve_fn *fn, struct load *load)
{
    struct server server;
    *load = (struct load){
        .connections = connections,
        .active = active && active < connections ? active : connections,
        .seconds = seconds,
        .request = pattern,
        .reply = pattern,
        .request_length = (size_t)size,
        .reply_length = (size_t)size,
        .variety = VARIETY,
    };
    int r = server_start(&server, fn, size <= SERVE_LITTLE ? &short_messages : &long_messages, config, 0);
    if (r >= 0) {
        r = load_run(load, &server);
        if (r >= 0)
            bench_check(run, fn == serve_filch_hog ? "lost beside the hog" : "lost", load->all * size - (int64_t)atomic_load(server.count),
                        0);
        server_stop(&server);
    }
    return r;
}

static int echo(struct bench_run *run, serve_fn *fn)
{
    struct load *load = calloc(1, sizeof *load);
    if (!load)
        return -ENOMEM;
    int r = talk(run, bench_config(run), fn, load);
    if (r >= 0)
        load_report(run, load);
    free(load);
    return r;
}

static int beside_hog(struct bench_run *run)
{
    filch_config config = *bench_config(run);
    struct load *loads = calloc(2, sizeof *loads);
    if (!loads)
        return -ENOMEM;
    if (!bench_given("workers"))
        config.workers = 2;
    bench_workers(run, config.workers);
    int r = talk(run, &config, serve_filch, &loads[0]);
    if (r >= 0)
        r = talk(run, &config, serve_filch_hog, &loads[1]);
    if (r >= 0) {
        double p99 = load_latency(&loads[1], 99);
        load_report(run, &loads[0]);
        bench_more(run, "hog.rate", "requests/s", (double)loads[1].requests / ((double)loads[1].ns / 1e9));
        bench_more(run, "hog_us.p50", "us", load_latency(&loads[1], 50));
        bench_more(run, "hog_us.p99", "us", p99);
        bench_more(run, "hog_us.p99 / latency_us.p99", "", p99 / load_latency(&loads[0], 99));
    }
    free(loads);
    return r;
}

static int echo_filch(struct bench_run *run)
{
    return hog ? beside_hog(run) : echo(run, serve_filch);
}

static int echo_epoll(struct bench_run *run)
{
    return echo(run, serve_epoll);
}

static int echo_uring(struct bench_run *run)
{
    return echo(run, serve_uring);
}

static int echo_go(struct bench_run *run)
{
    return echo(run, serve_go);
}

static int prepare(void)
{
    uint64_t seed = 1;
    int r = server_room(connections);
    if (r < 0)
        return r;
    pattern = malloc((size_t)size + VARIETY);
    for (size_t i = 0; pattern && i < (size_t)size + VARIETY; i++)
        pattern[i] = (char)bench_random(&seed);
    return pattern ? 0 : -ENOMEM;
}

static void finish(void)
{
    free(pattern);
    pattern = NULL;
}

const struct bench bench_echo = {
    .name = "echo",
    .what = "a TCP server sends back what it receives: its CPU time a message",
    .unit = "us CPU/message",
    .workers = 1,
    .go_program = SERVE_GO,
    .prepare = prepare,
    .finish = finish,
    .forms = {{"filch", echo_filch, BENCH_APART},
              {"epoll", echo_epoll, BENCH_ALONE},
              {"uring", echo_uring, BENCH_ALONE},
              {"go", echo_go, BENCH_GO}},
    .params =
        {
            BENCH_INT("size", size, 1, 1 << 16, "bytes of a message"),
            BENCH_INT("connections", connections, 1, 1e6, "how many"),
            BENCH_INT("active", active, 0, 1e6, "how many of them talk; 0: all"),
            BENCH_REAL("seconds", seconds, 0.01, 3600, "of talk"),
            BENCH_FLAG("hog", hog, "measure form filch again beside a task that computes; the server has 2 workers unless told otherwise"),
        },
};
