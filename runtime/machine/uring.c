/* SPDX-License-Identifier: MIT */
/* The ring as an io_uring.
 *
 * Completions must be seen by others while the owner is stuck in user code or in a system call. The kernel finishes most operations in the context of the thread that submitted
 * them (task work), and the modes differ in how it gets that thread's attention:
 *   - by default it interrupts it. Another thread sees a completion after 16-34 us, but each small batch of arrivals costs an interrupt between CPUs, 12 us here.
 *   - with IORING_SETUP_COOP_TASKRUN it waits until the thread enters the kernel for whatever reason, or wakes it from an interruptible wait; while the thread spins in user
 *     code that is at the next tick, 4 ms. A flag in the ring says that work waits.
 *   - with IORING_SETUP_DEFER_TASKRUN it waits until the thread asks for it. Then nothing is ever seen of a stalled one.
 * Ours is the second: a busy worker enters the kernel all the time. For one that spins, whoever looks after it sees the flag and interrupts it with a membarrier(2), which it
 * has at hand anyway (fl_ring_wants_kick, sched/steal.c). Without membarrier, or before Linux 5.19, it is the first.
 * The price of both: task work can make a foreign blocking call on that carrier return EINTR.
 *
 * Invariants
 *   1. The submission queue's tail is moved under `lock`, the completion queue's head under `reaping`. There are two, because who submits may be held up in the
 *      kernel, by a page fault on a buffer of somebody's, and completions must be seen meanwhile.
 *   2. The owner sleeps without the lock. Before that it flushes, so nothing that is queued waits for somebody who sleeps.
 *   3. A multishot poll on wake_fd stands whenever the owner sleeps, or its end is in the queue. The eventfd is never read: each write to it posts a completion anyway.
 *   4. A ring is not closed before every operation of a caller has been told of (fl_ring_inflight; a carrier that
 *      exits with operations in flight has them cancelled by the kernel).
 *   5. What is queued is submitted by threads of the runtime, which block all signals. Its completions come out on the thread that has submitted it, and so do the signals that it
 *      raises (SIGPIPE, SIGXFSZ): a thread of the program would be killed by what it never did, or keep others waiting for as long as it does not enter the kernel. Such a thread cancels
 *      by a call of its own, or leaves the request to the owner; only where the queue is full it submits, too.
 *   6. Nobody but the owner takes the last wake poll's end: another thread first sees a new one stand, or leaves the end, and what came after it, where it is. There it
 *      ends the owner's sleep, who arms a new one before the next.
 *
 * Memory ordering: each lock orders its side; the kernel orders a completion, seen with acquire (liburing), after the submission. So it does for the sleep: a waker's
 * write(2) to the eventfd comes after what it published, and the completion of the poll after the write.
 *
 * Sources: io_uring(7), io_uring_enter(2), io_uring_register(2). */
#include "machine/ring.h"

#include "machine/sanitizer.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#define ENTRIES 256      /* of the submission queue: one flush takes so many */
#define COMPLETIONS 4096 /* more in flight overflow into the kernel's list, which costs a system call, not a loss */
#define SOON 1000000     /* ns after which a kernel that takes nothing is asked again */
#define FLAGS (IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP)
#define COOP (IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG)

char
    fl_uring_maps; /* stands for the addresses that liburing maps by system calls of its own: whoever maps the same ones next comes after whoever had them */

/* Its coming is all there is to know. */
static void woken(struct fl_ring_op *op, int32_t res, uint32_t flags)
{
    (void)op, (void)res, (void)flags;
}

int fl_uring_init(struct fl_ring *ring)
{
    int r = -ENOMEM;
    ring->wake_op.done = woken;
    for (unsigned entries = ENTRIES, completions = COMPLETIONS; r == -ENOMEM && entries >= 8; entries /= 2, completions /= 2) {
        struct io_uring_params params = {.flags = FLAGS | (ring->backend->coop ? COOP : 0), .cq_entries = completions};
        r = io_uring_queue_init_params(entries, &ring->uring, &params);
    }
    if (r < 0)
        return r;
    fl_sanitizer_acquire(&fl_uring_maps);
    io_uring_ring_dontfork(&ring->uring);
    return 0;
}

void fl_uring_fini(struct fl_ring *ring)
{
    fl_sanitizer_release(&fl_uring_maps);
    io_uring_queue_exit(&ring->uring);
}

/* Tells the kernel of all that is queued; the lock is held. @return 0: it knows of everything */
static int submit_locked(struct fl_ring *ring)
{
    int r = 1;
    unsigned left;
    while ((left = io_uring_sq_ready(&ring->uring)) != 0 && (r > 0 || r == -EINTR)) /* it stops behind an entry that the kernel rejects */
        r = io_uring_submit(&ring->uring);
    store_relaxed(&ring->queued, left);       /* hint: others only look whether a flush is due */
    store_relaxed(&ring->refused, left != 0); /* hint: it may take them the next time */
    if (left == 0 && ring->arming) {
        ring->arming = false;
        add_acq_rel(&ring->polls, 1); /* [polls] pairs with whoever takes an end */
    }
    return left == 0 ? 0 : r < 0 ? r : -EAGAIN;
}

static struct io_uring_sqe *entry_locked(struct fl_ring *ring, int *ret_error)
{
    struct io_uring_sqe *slot = io_uring_get_sqe(&ring->uring);
    if (!slot) {
        *ret_error = submit_locked(ring);
        if (*ret_error == 0)
            slot = io_uring_get_sqe(&ring->uring);
        if (!slot && *ret_error == 0)
            *ret_error = -EAGAIN;
    }
    return slot;
}

int fl_uring_queue_locked(struct fl_ring *ring, const struct io_uring_sqe *sqe, struct fl_ring_op *op)
{
    int error = 0;
    struct io_uring_sqe *slot = entry_locked(ring, &error);
    if (!slot)
        return error;
    *slot = *sqe;
    io_uring_sqe_set_data(slot, op);
    fl_sanitizer_release(op);
    store_relaxed(&ring->queued, io_uring_sq_ready(&ring->uring)); /* hint: as above */
    fl_ring_begun(ring);
    return 0;
}

/* The i-th entry that the kernel has not taken. */
static struct io_uring_sqe *queued_locked(struct fl_ring *ring, unsigned i)
{
    struct io_uring_sq *sq = &ring->uring.sq;
    return &sq->sqes[(sq->sqe_tail - io_uring_sq_ready(&ring->uring) + i) & (*sq->kring_entries - 1)];
}

static bool is_queued_locked(struct fl_ring *ring, const struct fl_ring_op *op)
{
    for (unsigned i = 0; i < io_uring_sq_ready(&ring->uring); i++)
        if (queued_locked(ring, i)->user_data == (uint64_t)(uintptr_t)op)
            return true;
    return false;
}

/* Asks without an entry. @return 0, or -errno: before Linux 6.0 that cannot be done */
static int cancel_at_once(struct fl_ring *ring, struct fl_ring_op *op)
{
    struct io_uring_sync_cancel_reg reg = {.addr = (uint64_t)(uintptr_t)op, .fd = -1}; /* timeout 0: asks, doesn't wait */
    int r = io_uring_register_sync_cancel(&ring->uring, &reg);
    return r == 0 || r == -ETIME || r == -ENOENT || r == -EALREADY ? 0 : r;
}

int fl_uring_cancel_locked(struct fl_ring *ring, struct fl_ring_op *op, bool may_submit)
{
    int error = 0;
    if (!may_submit && !is_queued_locked(ring, op) && cancel_at_once(ring, op) == 0)
        return 0;
    struct io_uring_sqe *slot = may_submit ? NULL : io_uring_get_sqe(&ring->uring);
    bool leave = slot != NULL; /* to the owner */
    if (!slot && !(slot = entry_locked(ring, &error)))
        return is_queued_locked(ring, op) || cancel_at_once(ring, op) < 0 ? error : 0; /* the kernel takes no more entries now */
    io_uring_prep_cancel(slot, op, 0);
    io_uring_sqe_set_data(slot, NULL);
    store_relaxed(&ring->queued, io_uring_sq_ready(&ring->uring)); /* hint: as above */
    if (leave || submit_locked(ring) < 0)
        fl_ring_wake(ring); /* if it is asleep */
    return 0;
}

int fl_uring_closing(struct fl_ring *ring, int fd)
{
    bool named = false;
    int r = 0;
    if (!fl_lock_try(&ring->lock))
        return -EBUSY; /* somebody submits, and may be held up in the kernel */
    for (unsigned i = 0; i < io_uring_sq_ready(&ring->uring) && !named; i++)
        named = queued_locked(ring, i)->fd == fd;
    if (named)
        r = submit_locked(ring);
    fl_lock_give(&ring->lock);
    return r;
}

void fl_uring_flush_try(struct fl_ring *ring)
{
    if (!fl_lock_try(&ring->lock))
        return;
    submit_locked(ring);
    fl_lock_give(&ring->lock);
}

int fl_uring_flush(struct fl_ring *ring)
{
    fl_lock_take(&ring->lock);
    int r = submit_locked(ring);
    fl_lock_give(&ring->lock);
    return r;
}

/* Queues a wake poll; the lock is held. @return whether one is queued */
static bool arm_locked(struct fl_ring *ring)
{
    int error = 0;
    if (ring->arming)
        return true;
    struct io_uring_sqe *slot = entry_locked(ring, &error);
    if (!slot)
        return false;
    io_uring_prep_poll_multishot(slot, ring->wake_fd, POLLIN);
    io_uring_sqe_set_data(slot, &ring->wake_op);
    store_relaxed(&ring->queued, io_uring_sq_ready(&ring->uring)); /* hint: as above */
    ring->arming = true;
    return true;
}

/* Whether only the owner may take an end of a wake poll, because no other stands. */
static bool is_last_poll(struct fl_ring *ring)
{
    return load_acquire(&ring->polls) <= 1; /* [polls] pairs with the submission of another */
}

/* The wake poll has ended, and its owner may be asleep. Waits for nobody who is held up in the kernel with the lock. @return whether another one stands */
static bool rearm(struct fl_ring *ring)
{
    if (!fl_lock_try(&ring->lock))
        return false;
    bool stands = !is_last_poll(ring) || (arm_locked(ring) && submit_locked(ring) == 0);
    fl_lock_give(&ring->lock);
    return stands;
}

/* Takes up to FL_RING_BATCH completions out of the queue. *ret_stopped: before the end of the last wake poll, which is not for others than the owner. */
static unsigned take_batch(struct fl_ring *ring, bool owner, struct fl_completion *batch, bool *ret_stopped)
{
    struct io_uring_cqe **cqes = ring->seen;
    fl_lock_take(&ring->reaping);
    unsigned n = io_uring_peek_batch_cqe(&ring->uring, cqes, FL_RING_BATCH), i = 0; /* also fetches what overflowed */
    for (*ret_stopped = false; i < n; i++) {
        struct fl_completion c = {.op = io_uring_cqe_get_data(cqes[i]), .res = cqes[i]->res, .flags = cqes[i]->flags};
        if (c.op == &ring->wake_op && !(c.flags & IORING_CQE_F_MORE)) {
            if (!owner && is_last_poll(ring)) {
                *ret_stopped = true;
                break;
            }
            sub_acq_rel(&ring->polls, 1); /* [polls] the owner arms one before it sleeps */
        }
        __builtin_prefetch(c.op, 1); /* it lies in the frame of a task that has long been away */
        batch[i] = c;
    }
    io_uring_cq_advance(&ring->uring, i);
    fl_lock_give(&ring->reaping);
    return i;
}

static unsigned reap(struct fl_ring *ring, bool owner, struct fl_completion *batch)
{
    unsigned total = 0, n;
    bool wake = false, stopped, again, tried = false;
    do {
        n = take_batch(ring, owner, batch, &stopped);
        unsigned ended = 0;
        for (unsigned i = 0; i < n; i++) {
            struct fl_ring_op *op = batch[i].op;
            if (!op)
                continue; /* the answer to a cancel: the operation's own completion tells */
            fl_sanitizer_acquire(op);
            ended += op != &ring->wake_op && !(batch[i].flags & IORING_CQE_F_MORE);
            wake |= op == &ring->wake_op;
            op->done(op, batch[i].res, batch[i].flags);
        }
        if (ended)
            add_relaxed(&ring->ended, ended); /* counter */
        total += n;
        again = stopped ? !tried && rearm(ring) : n == FL_RING_BATCH;
        tried = tried || stopped; /* one that ends at once would do so again */
    } while (again);
    if (wake && !owner)
        fl_ring_wake(ring); /* it was meant for the owner, who may be about to sleep */
    return total;
}

static FL_NOINLINE unsigned reap_by_another(struct fl_ring *ring)
{
    struct fl_completion batch[FL_RING_BATCH];
    return reap(ring, false, batch);
}

unsigned fl_uring_reap(struct fl_ring *ring, bool owner)
{
    return owner ? reap(ring, true, ring->batch) : reap_by_another(ring);
}

void fl_uring_sleep(struct fl_ring *ring, int64_t timeout)
{
    if (load_acquire(&ring->polls) < 1 || load_relaxed(&ring->queued)) { /* [polls] nobody else takes the last; hint: its own entries */
        fl_lock_take(&ring->lock);
        bool armed = load_acquire(&ring->polls) > 0 || arm_locked(ring); /* [polls] as above */
        int r = submit_locked(ring);
        fl_lock_give(&ring->lock);
        if (r < 0 || !armed)
            timeout = timeout < SOON ? timeout : SOON; /* the kernel takes nothing now */
    }
    if (timeout == 0)
        return;
    struct __kernel_timespec ts = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};
    struct io_uring_getevents_arg arg = {.ts = timeout == INT64_MAX ? 0 : (uint64_t)(uintptr_t)&ts};
    io_uring_enter2((unsigned)ring->uring.ring_fd, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, (sigset_t *)&arg, sizeof arg);
}
