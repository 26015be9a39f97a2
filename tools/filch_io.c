/* SPDX-License-Identifier: MIT */
/* `filch io`: what carries out blocking calls on this machine, and which of them this kernel's io_uring lacks. */
#define _GNU_SOURCE 1
#include "command.h"
#include "machine/request.h"
#include "machine/backend.h"

#include <stdio.h>
#include <string.h>

static const struct {
    unsigned opcode;
    const char *calls;
    bool polled; /* waits in a poll where no ring carries it out, not on a helper */
} operations[] = {
    {IORING_OP_READ, "read, pread", true},
    {IORING_OP_WRITE, "write, pwrite", true},
    {IORING_OP_READV, "readv, preadv", true},
    {IORING_OP_WRITEV, "writev, pwritev", true},
    {IORING_OP_RECV, "recv", true},
    {IORING_OP_SEND, "send", true},
    {IORING_OP_RECVMSG, "recvmsg, recvfrom", true},
    {IORING_OP_SENDMSG, "sendmsg, sendto", true},
    {IORING_OP_SEND_ZC, "send with MSG_ZEROCOPY", true},
    {IORING_OP_ACCEPT, "accept", true},
    {IORING_OP_CONNECT, "connect", true},
    {IORING_OP_SHUTDOWN, "shutdown", true},
    {IORING_OP_SPLICE, "splice, sendfile", true},
    {IORING_OP_POLL_ADD, "poll", true},
    {IORING_OP_OPENAT, "open, openat", false},
    {IORING_OP_CLOSE, "close", false},
    {IORING_OP_FSYNC, "fsync, fdatasync", false},
    {IORING_OP_SYNC_FILE_RANGE, "sync_file_range", false},
    {IORING_OP_FALLOCATE, "fallocate", false},
    {FL_REQUEST_FTRUNCATE, "ftruncate", false},
    {IORING_OP_FADVISE, "fadvise", false},
    {IORING_OP_STATX, "statx", false},
    {IORING_OP_RENAMEAT, "rename, renameat", false},
    {IORING_OP_UNLINKAT, "unlink, unlinkat", false},
    {IORING_OP_MKDIRAT, "mkdir, mkdirat", false},
    {IORING_OP_LINKAT, "link, linkat", false},
    {IORING_OP_SYMLINKAT, "symlink, symlinkat", false},
    {FL_REQUEST_WAITID, "waitid", true},
    {FL_REQUEST_FUTEX_WAIT, "futex_wait", true},
    {FL_REQUEST_CALL, "getaddrinfo, posix_spawnp, offload", false},
};

#define OPERATIONS (sizeof operations / sizeof *operations)

static const char *way(const struct fl_backend *backend, size_t i)
{
    return !backend->epoll && fl_backend_knows(backend, operations[i].opcode) ? "ring" : operations[i].polled ? "poll" : "helper";
}

static void print_text(const struct fl_backend *backend)
{
    printf("back-end  %s\n\n%-36s  %s\n", backend->why, "call", "carried out by");
    for (size_t i = 0; i < OPERATIONS; i++)
        printf("%-36s  %s\n", operations[i].calls, way(backend, i));
}

static json_t *as_json(const struct fl_backend *backend)
{
    json_t *calls = json_array();
    for (size_t i = 0; i < OPERATIONS; i++)
        json_array_append_new(calls, json_pack("{s:s, s:s}", "calls", operations[i].calls, "by", way(backend, i)));
    return json_pack("{s:s, s:s, s:o}", "backend", backend->epoll ? "epoll" : "uring", "why", backend->why, "calls", calls);
}

static int run_io(const struct command *self, int argc, char **argv)
{
    bool json = false;
    int status = take_options(self, argc, argv, &json);
    if (status >= 0)
        return status;
    struct fl_backend backend;
    int r = fl_backend_choose(&backend, FILCH_IO_AUTO);
    if (r < 0) {
        fprintf(stderr, "filch io: what FILCH_IO asks for cannot be had: %s\n", strerror(-r));
        return FAILED;
    }
    if (json)
        return print_json(self, as_json(&backend));
    print_text(&backend);
    return DONE;
}

const struct command command_io = {"io", "what carries out blocking calls on this machine, and why",
                                   "Usage: filch io [--json]\n"
                                   "\n"
                                   "Prints whether a runtime uses io_uring or epoll, why, and what carries out\n"
                                   "each call: the ring; tries between polls; or a helper, which is a kernel\n"
                                   "thread of a bounded pool.\n"
                                   "\n"
                                   "  --json      one JSON object instead of text\n"
                                   "  -h, --help  this text\n"
                                   "\n"
                                   "FILCH_IO=uring or FILCH_IO=epoll in the environment forces either.\n",
                                   run_io};
