/* SPDX-License-Identifier: MIT */
/* Ring: in which a worker sleeps and through which its tasks wait for the kernel. It is an io_uring (uring.c), or where that is forbidden an epoll instance
 * (epoll.c), which knows one operation alone, the poll of a descriptor. It knows no task: completions call back. Which of the two is chosen in backend.c. */
#ifndef FL_MACHINE_RING_H
#define FL_MACHINE_RING_H

#include "base/atomic.h"
#include "base/attr.h"
#include "base/list.h"
#include "base/lock.h"
#include "machine/backend.h"
#include "machine/clock.h"
#include "machine/late.h"

#include <liburing.h>
#include <sys/epoll.h>

/** What a completion calls. Lives until `done` was called for its last completion. */
struct fl_ring_op {
    /** Called once a completion, on the thread that reaped it, without the ring's lock. It reaps nothing itself. */
    void (*done)(struct fl_ring_op *op, int32_t res, uint32_t flags);
    struct fl_ring_op *next, **link; /**< epoll: in line at a descriptor; link NULL: not any more */
    int fd;                          /**< epoll */
    uint32_t events;                 /**< epoll: which ones it waits for */
};

/** A completion that was copied out of an io_uring's queue. */
struct fl_completion {
    struct fl_ring_op *op;
    int32_t res;
    uint32_t flags;
};

#define FL_RING_BATCH 64 /* completions copied out a time under the lock */

#define FL_EPOLL_FETCHED 64 /* events fetched a time */

/** In poll32_events of an entry, for epoll alone: who waits has found the socket empty, and tries again after an event. The kernel may be told by edges, */
#define FL_EPOLL_EDGE (1u << 31)
/** and need not be told anew if it was: who waits has emptied this very socket since it waited here last. The entry's addr names who waits, whoever that is. */
#define FL_EPOLL_TRUST (1u << 30)

/** Who waits for a descriptor. */
struct fl_epoll_line {
    struct fl_ring_op *first;
    struct fl_list trusting; /**< among the lines in which somebody trusts, or did; all-zero: not yet */
    uint64_t last;           /**< names who stood in it last */
    uint32_t telling;        /**< how often the kernel was told of it */
    uint32_t closes;         /**< how often the descriptor was closed, as far as the ring was told */
    uint8_t kind;            /**< whether edges tell all of it: 0 not known */
    bool armed;              /**< the last telling was by edges, and nothing else has been said since */
    bool edges;              /**< the last telling was by edges, and more may come */
    bool missed;             /**< an edge came while nobody was in line */
};

/** An epoll instance. Guarded by the ring's lock, but fd and coarse. */
struct fl_epoll {
    int fd;
    unsigned chunk_count;
    struct fl_epoll_line **chunks; /**< by descriptor */
    bool coarse;                   /**< no epoll_pwait2(2) here; own: the owner */
    struct fl_list young, old;     /**< lines in which somebody trusts: since the last verification, and since before */
    _Atomic(int64_t) verify_at;    /**< when the old ones are due, ns; INT64_MAX: nobody trusts */
    _Atomic(uint32_t) fetched;     /**< events that ended a sleep and have not been dealt with */
    struct epoll_event events[FL_EPOLL_FETCHED];
};

struct fl_ring {
    struct fl_lock lock;          /**< guards the submission side; epoll: everything */
    struct fl_lock reaping;       /**< guards the completion side; inside of no other, and none inside of it */
    _Atomic(uint32_t) queued;     /**< entries in the submission queue that the kernel has not been told of */
    _Atomic(bool) refused;        /**< the kernel did not take all of them the last time */
    _Atomic(uint64_t) operations; /**< counter: ever queued by callers; written under `lock` */
    _Atomic(uint64_t) ended;      /**< counter: of these, told of */
    _Atomic(uint64_t) helped;     /**< counter: that the helpers carried out instead */
    const struct fl_backend *backend;
    int wake_fd;            /**< eventfd on which a multishot poll stands */
    _Atomic(int32_t) polls; /**< such polls that the kernel was told of, and whose end nobody has taken yet */
    bool arming;            /**< one more is queued; guarded by `lock` */
    struct fl_late late;    /**< how late its owner's sleeps end */
    struct fl_ring_op wake_op;
    union {
        struct io_uring uring;
        struct fl_epoll epoll;
    };
    struct io_uring_cqe *seen[FL_RING_BATCH]; /**< guarded by `reaping` */
    struct fl_completion
        batch[FL_RING_BATCH]; /**< own: the owner's, so that a reap touches little of the stack of the task that it happens on */
};

/** One more operation is queued; the lock is held. */
FL_INLINE void fl_ring_begun(struct fl_ring *ring)
{
    store_relaxed(&ring->operations, load_relaxed(&ring->operations) + 1); /* counter: the lock orders those who write */
}

/** How many operations of callers have not been told of yet, queued ones included. Any thread: a hint, since two sums are read one after the other; sure for who knows
 * that its owner sleeps and nobody else reaps. */
FL_INLINE uint64_t fl_ring_inflight(struct fl_ring *ring)
{
    uint64_t ended = load_relaxed(&ring->ended);    /* hint: read first, it is the one that follows */
    return load_relaxed(&ring->operations) - ended; /* hint: as above */
}

#define FL_RING_SHORTEST 1000 /* ns: what is worth while to ask the kernel for */
#define FL_RING_SPIN 20000    /* ns: how long its owner may wait awake for what is due sooner than a sleep would end */

/** Stands for what liburing maps: whoever maps the same addresses next comes after whoever had them (fl_sanitizer_acquire and release). */
extern __attribute__((visibility("hidden"))) char fl_uring_maps;

int fl_uring_init(struct fl_ring *ring);
void fl_uring_fini(struct fl_ring *ring);
int fl_uring_queue_locked(struct fl_ring *ring, const struct io_uring_sqe *sqe, struct fl_ring_op *op);
int fl_uring_cancel_locked(struct fl_ring *ring, struct fl_ring_op *op, bool may_submit);
/** The descriptor is about to be closed: the kernel is told of what is queued and names it first. Waits for nobody. @return 0, or -errno: not of all, ask again */
int fl_uring_closing(struct fl_ring *ring, int fd);
int fl_uring_flush(struct fl_ring *ring);
void fl_uring_flush_try(struct fl_ring *ring);
unsigned fl_uring_reap(struct fl_ring *ring, bool owner);
void fl_uring_sleep(struct fl_ring *ring, int64_t timeout);

int fl_epoll_init(struct fl_ring *ring);
void fl_epoll_fini(struct fl_ring *ring);
/** @param events of poll(2), and FL_EPOLL_EDGE, FL_EPOLL_TRUST @param who names who waits, whoever that is @return as fl_ring_queue_locked */
int fl_epoll_queue_locked(struct fl_ring *ring, int fd, uint32_t events, uint64_t who, struct fl_ring_op *op);
bool fl_epoll_cancel_locked(struct fl_ring *ring, struct fl_ring_op *op);
/** Whoever waits for a descriptor that is about to be closed is told -EBADF. */
void fl_epoll_closing(struct fl_ring *ring, int fd);
/** So is who began to wait since; the descriptor has been closed. */
void fl_epoll_closed(struct fl_ring *ring, int fd);
/** How often it was closed, for who waits for it; the lock is held. */
uint32_t fl_epoll_closes_locked(struct fl_ring *ring, int fd);
/** A descriptor has been made: nothing that was known of its number holds. */
void fl_epoll_made(struct fl_ring *ring, int fd);
unsigned fl_epoll_reap(struct fl_ring *ring, bool owner);
void fl_epoll_sleep(struct fl_ring *ring, int64_t timeout);

/** @param backend chosen by fl_backend_choose; outlives the ring
 * @return 0 or -errno: -ENOMEM; -EMFILE, -ENFILE. */
int fl_ring_init(struct fl_ring *ring, const struct fl_backend *backend);
void fl_ring_fini(struct fl_ring *ring);

/** Whether it is the kind that only polls. */
FL_INLINE bool fl_ring_polls(const struct fl_ring *ring)
{
    return ring->backend->epoll;
}

/** Queues one operation under the ring's lock, which the caller holds. Tells the kernel only when the queue is full.
 * @param sqe prepared by io_uring_prep_*, of a kind that fl_backend_knows; copied
 * @param op called back; its address is what a cancel names
 * @return 0; -EBUSY, -EAGAIN, -ENOMEM the kernel takes no more now; epoll: -EPERM the descriptor cannot be polled, -EBADF: nothing was queued. */
FL_INLINE int fl_ring_queue_locked(struct fl_ring *ring, const struct io_uring_sqe *sqe, struct fl_ring_op *op)
{
    return unlikely(fl_ring_polls(ring)) ? fl_epoll_queue_locked(ring, sqe->fd, sqe->poll32_events, sqe->addr, op)
                                         : fl_uring_queue_locked(ring, sqe, op);
}

/** Asks for the end of `op`; the lock is held. With io_uring it may have ended, and its own completion tells what came of it; with epoll it must not have been
 * given back to its owner.
 * @param may_submit whether the calling thread may be the one that carries out what else is queued (uring.c)
 * @return 0: the kernel is asked, or will be; 1: it has ended by this, and the caller calls fl_ring_cancelled when it has given the lock back; else as above:
 * ask again. */
FL_INLINE int fl_ring_cancel_locked(struct fl_ring *ring, struct fl_ring_op *op, bool may_submit)
{
    return unlikely(fl_ring_polls(ring)) ? (int)fl_epoll_cancel_locked(ring, op) : fl_uring_cancel_locked(ring, op, may_submit);
}

/** Calls back for an operation that was cancelled without the kernel's help. */
void fl_ring_cancelled(struct fl_ring *ring, struct fl_ring_op *op);

/** All three for an operation that certainly has not been given back, on a thread that may submit. @return 0, or as above: ask again. */
int fl_ring_cancel(struct fl_ring *ring, struct fl_ring_op *op);

/** Tells the kernel of what is queued. Any thread. @return 0 or -errno, what is queued stays so. */
FL_INLINE int fl_ring_flush(struct fl_ring *ring)
{
    return load_relaxed(&ring->queued) == 0 ? 0 : fl_uring_flush(ring); /* hint: the owner sees its own; another thread looks again soon */
}

/** How many operations the kernel has not been told of, roughly. */
FL_INLINE uint32_t fl_ring_queued(const struct fl_ring *ring)
{
    return load_relaxed(&((struct fl_ring *)(uintptr_t)ring)->queued); /* hint: the owner sees its own */
}

/** Whether the kernel takes operations, as far as the last time tells. */
FL_INLINE bool fl_ring_accepts(const struct fl_ring *ring)
{
    return !load_relaxed(&((struct fl_ring *)(uintptr_t)ring)->refused); /* hint: asked again at the next flush */
}

/** The same as fl_ring_flush for another thread than the owner: does nothing while somebody is inside. */
FL_INLINE void fl_ring_flush_try(struct fl_ring *ring)
{
    if (load_relaxed(&ring->queued) != 0) /* hint: it looks again soon */
        fl_uring_flush_try(ring);
}

/** Calls back for every completion that is there. Any thread; `owner`: the caller is the one who sleeps in it. @return how many. */
FL_INLINE unsigned fl_ring_reap(struct fl_ring *ring, bool owner)
{
    return unlikely(fl_ring_polls(ring)) ? fl_epoll_reap(ring, owner) : fl_uring_reap(ring, owner);
}

/** Sleeps until a completion is there, fl_ring_wake was called since the last reap, or `timeout` nanoseconds have passed (FILCH_NEVER: never; 0: looks only).
 * Flushes first. The owner alone. */
FL_INLINE void fl_ring_sleep(struct fl_ring *ring, int64_t timeout)
{
    if (unlikely(fl_ring_polls(ring)))
        fl_epoll_sleep(ring, timeout);
    else
        fl_uring_sleep(ring, timeout);
}

/** Ends the owner's sleep, present or next. Any thread, any number of times. */
void fl_ring_wake(struct fl_ring *ring);

/** Whether somebody has trusted for long enough: whoever reaps verifies it. */
FL_INLINE bool fl_epoll_overdue(struct fl_ring *ring)
{
    int64_t at = load_relaxed(&ring->epoll.verify_at); /* hint: it is looked at again under the lock */
    return unlikely(at != INT64_MAX) && at <= fl_clock();
}

/** Whether completions are there: a sleep would not begin. Those that found no room in the queue count too: the kernel keeps them, and all
 * later ones behind them, until somebody asks, as fl_ring_reap does when it finds the queue empty. */
FL_INLINE bool fl_ring_ready(struct fl_ring *ring)
{
    if (unlikely(fl_ring_polls(ring)))
        return load_acquire(&ring->epoll.fetched) != 0 || fl_epoll_overdue(ring); /* own: the lock */
    _Atomic(unsigned) *head = fl_atomic(unsigned, ring->uring.cq.khead), *tail = fl_atomic(unsigned, ring->uring.cq.ktail);
    return load_relaxed(head) != load_acquire(tail) || /* hint: whoever reaps looks again under the lock */
           unlikely(load_relaxed(fl_atomic(unsigned, ring->uring.sq.kflags)) & IORING_SQ_CQ_OVERFLOW); /* hint: as above */
}

/** Whether completions may come out only when the owner enters the kernel. */
FL_INLINE bool fl_ring_wants_kick(struct fl_ring *ring)
{
    if (unlikely(fl_ring_polls(ring)))
        return false;
    return load_relaxed(fl_atomic(unsigned, ring->uring.sq.kflags)) & IORING_SQ_TASKRUN; /* hint: looked at again and again */
}

/** The same as fl_ring_sleep for who wants to be awake when the time is over, neither later nor much earlier: asks for as much less as the kernel has
 * been late. May return a little too soon. */
FL_INLINE void fl_ring_sleep_punctually(struct fl_ring *ring, int64_t timeout)
{
    if (timeout == INT64_MAX) {
        fl_ring_sleep(ring, timeout);
        return;
    }
    int64_t began = fl_clock(), ask = fl_late_ask(&ring->late, timeout);
    if (timeout > FL_RING_SPIN && ask < FL_RING_SHORTEST)
        ask = FL_RING_SHORTEST;
    if (ask >= FL_RING_SHORTEST) {
        fl_ring_sleep(ring, ask);
        int64_t over = fl_clock() - began - ask;
        if (over >= 0 && !fl_ring_ready(ring)) /* else something has ended it */
            fl_late_learn(&ring->late, timeout, over);
        return;
    }
    fl_ring_flush(ring);
    while (!fl_ring_ready(ring) && !fl_ring_wants_kick(ring) && fl_clock() - began < timeout)
        fl_relax();
}

/** Whether it is worth while for the owner to reap: epoll does not tell, so whenever anybody waits. */
FL_INLINE bool fl_ring_promising(struct fl_ring *ring)
{
    if (unlikely(fl_ring_polls(ring)))
        return fl_ring_inflight(ring) || fl_ring_ready(ring);
    return fl_ring_ready(ring) || fl_ring_wants_kick(ring);
}

#endif
