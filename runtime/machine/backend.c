/* SPDX-License-Identifier: MIT */
/* Which back-end: io_uring, or epoll where that is forbidden or too old.
 *
 * io_uring is often forbidden: by the seccomp profiles of container engines, which deny io_uring_setup(2) or only one of the other two calls, and by
 * kernel.io_uring_disabled. So it is tried: a small ring is made, asked which operations it carries out, and a no-op is sent through it. What it must have is what the worker's
 * sleep and every wait stand on; any other operation that is missing is carried out as with epoll, one by one (io/op.c).
 *
 * Sources: io_uring_setup(2), io_uring_register(2), IORING_REGISTER_PROBE; sysctl kernel.io_uring_disabled (Linux 6.6). */
#include "machine/backend.h"

#include "base/barrier.h"
#include "machine/request.h"
#include "machine/ring.h"
#include "machine/sanitizer.h"

#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* IORING_FEAT_NODROP: completions that find no room are kept; IORING_FEAT_EXT_ARG: a wait with a time limit that touches nothing else (Linux 5.11). */
#define FEATURES (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_SUBMIT_STABLE)

static void know(struct fl_backend *backend, unsigned opcode)
{
    backend->knows[opcode >> 6 & 3] |= UINT64_C(1) << (opcode & 63);
}

/* @return 0 or -errno, with *ret_call the call that said it */
static int send_a_nop(struct io_uring *ring, const char **ret_call)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    struct io_uring_cqe *cqe;
    io_uring_prep_nop(sqe);
    int r = io_uring_submit_and_wait(ring, 1);
    *ret_call = "io_uring_enter";
    return r < 0 ? r : io_uring_peek_cqe(ring, &cqe);
}

static void leave(struct io_uring *ring)
{
    fl_sanitizer_release(&fl_uring_maps);
    io_uring_queue_exit(ring);
}

/* Whether rings can be made in the mode that needs somebody to interrupt who spins (machine/uring.c). */
static bool can_coop(void)
{
    struct io_uring ring;
    bool can = load_relaxed(&fl_barrier_asymmetric) && /* init: chosen before */
               io_uring_queue_init(8, &ring, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG) == 0;
    if (can)
        leave(&ring);
    return can;
}

static int ask(struct fl_backend *backend, struct io_uring *ring, const char **ret_call)
{
    static const uint8_t needed[] = {IORING_OP_NOP, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL};
    int r = send_a_nop(ring, ret_call);
    if (r < 0)
        return r;
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    *ret_call = "io_uring_register";
    if (!probe)
        return -EOPNOTSUPP;
    for (unsigned i = 0; i < 256 && i < FL_REQUEST_RING_END; i++)
        if (io_uring_opcode_supported(probe, (int)i))
            know(backend, i);
    io_uring_free_probe(probe);
    *ret_call = "an operation";
    for (unsigned i = 0; i < sizeof needed; i++)
        if (!fl_backend_knows(backend, needed[i]))
            return -EOPNOTSUPP;
    return 0;
}

/* Fills `knows`. @return 0 or -errno, with *ret_call as above */
static int try_uring(struct fl_backend *backend, const char **ret_call)
{
    struct io_uring ring;
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE, .cq_entries = 16};
    *ret_call = "io_uring_setup";
    int r = io_uring_queue_init_params(8, &ring, &params);
    if (r < 0)
        return r;
    fl_sanitizer_acquire(&fl_uring_maps);
    if ((params.features & FEATURES) == FEATURES) {
        r = ask(backend, &ring, ret_call);
    } else {
        *ret_call = "a feature of Linux 5.11";
        r = -EOPNOTSUPP;
    }
    leave(&ring);
    return r;
}

static const char *hint(int error)
{
    switch (error) {
    case -EPERM:
    case -EACCES:
        return " (a container's seccomp profile, or sysctl kernel.io_uring_disabled)";
    case -ENOSYS:
        return " (a kernel without io_uring)";
    case -ENOMEM:
        return " (on old kernels its memory counts against RLIMIT_MEMLOCK)";
    default:
        return "";
    }
}

static void be_epoll(struct fl_backend *backend)
{
    backend->epoll = true;
    memset(backend->knows, 0, sizeof backend->knows);
    know(backend, IORING_OP_POLL_ADD);
}

int fl_backend_choose(struct fl_backend *backend, filch_io wanted)
{
    const char *said = secure_getenv("FILCH_IO"), *call = "", *who = "as the program asked";
    *backend = (struct fl_backend){0};
    if (said && *said) {
        wanted = strcmp(said, "uring") == 0 ? FILCH_IO_URING : strcmp(said, "epoll") == 0 ? FILCH_IO_EPOLL : FILCH_IO_AUTO;
        who = "as FILCH_IO says";
        backend->remarkable = true;
        if (wanted == FILCH_IO_AUTO && strcmp(said, "auto") != 0) {
            fprintf(stderr, "filch: FILCH_IO=%s: it must be uring, epoll or auto\n", said);
            return -EINVAL;
        }
    }
    if (wanted == FILCH_IO_EPOLL) {
        be_epoll(backend);
        snprintf(backend->why, sizeof backend->why, "epoll, %s", who);
        return 0;
    }
    if (wanted == FILCH_IO_AUTO && RUNNING_ON_VALGRIND) { /* while one thread waits in io_uring_enter(2) it keeps all others from running */
        be_epoll(backend);
        snprintf(backend->why, sizeof backend->why, "epoll, because this runs under Valgrind");
        return 0;
    }
    int r = try_uring(backend, &call);
    if (r == 0) {
        unsigned count = 0;
        backend->coop = can_coop();
        for (unsigned i = 0; i < 4; i++)
            count += (unsigned)__builtin_popcountll(backend->knows[i]);
        snprintf(backend->why, sizeof backend->why, "io_uring, %u operations%s%s", count, wanted ? ", " : "", wanted ? who : "");
        return 0;
    }
    if (wanted == FILCH_IO_URING || r == -EMFILE || r == -ENFILE)
        return r;
    be_epoll(backend);
    backend->remarkable = true;
    snprintf(backend->why, sizeof backend->why, "epoll, because %s: %s%s", call, strerrordesc_np(-r), hint(r));
    return 0;
}
