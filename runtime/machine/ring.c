/* SPDX-License-Identifier: MIT */
/* What both kinds of rings share: the eventfd that ends a sleep.
 *
 * It is never read: io_uring's multishot poll posts a completion for each write to it, and epoll, told of edges, an event. */
#include "machine/ring.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int fl_ring_init(struct fl_ring *ring, const struct fl_backend *backend)
{
    *ring = (struct fl_ring){.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .backend = backend};
    if (ring->wake_fd < 0)
        return -errno;
    int r = fl_ring_polls(ring) ? fl_epoll_init(ring) : fl_uring_init(ring);
    if (r < 0) {
        close(ring->wake_fd);
        ring->wake_fd = -1;
    }
    return r;
}

void fl_ring_fini(struct fl_ring *ring)
{
    if (ring->wake_fd < 0)
        return;
    if (fl_ring_polls(ring))
        fl_epoll_fini(ring);
    else
        fl_uring_fini(ring);
    close(ring->wake_fd);
    ring->wake_fd = -1;
}

void fl_ring_wake(struct fl_ring *ring)
{
    uint64_t one = 1;
    ssize_t ignored = write(ring->wake_fd, &one, sizeof one); /* EAGAIN: 2^64 - 2 wakes unread, and it stands signalled */
    (void)ignored;
}

void fl_ring_cancelled(struct fl_ring *ring, struct fl_ring_op *op)
{
    add_relaxed(&ring->ended, 1); /* counter: first, since whoever is told may end the runtime */
    op->done(op, -ECANCELED, 0);
}

int fl_ring_cancel(struct fl_ring *ring, struct fl_ring_op *op)
{
    fl_lock_take(&ring->lock);
    int r = fl_ring_cancel_locked(ring, op, true);
    fl_lock_give(&ring->lock);
    if (r > 0)
        fl_ring_cancelled(ring, op);
    return r < 0 ? r : 0;
}
