/* SPDX-License-Identifier: MIT */
/* The ring as an epoll instance, where io_uring is forbidden. It knows one operation, the poll of a descriptor: who wants more tries without waiting, polls, and tries again
 * (io/standin.c).
 *
 * A table by descriptor has the line of those who wait for it. A descriptor is told to the kernel with EPOLLONESHOT and the union of what its line wants; an event takes
 * whoever wanted it out of the line, and the kernel is told anew if others are left. So an event comes once, to one of the threads that ask. Each wait begins with
 * EPOLL_CTL_MOD, and EPOLL_CTL_ADD if the kernel knows the descriptor not: it may have been closed and made again by somebody else. Each telling has a number,
 * which comes back with the event; only the last one of a line is believed, so nothing is heard of a file that had the number of a descriptor before: of one that was
 * fetched then, or that lives on under another number.
 *
 * A wait that is cancelled leaves the kernel's mask as it is, which costs no system call, and most such descriptors are waited for again
 * soon. What comes of it is one event at most, since it comes once: it finds nobody in line who wants it, or is of an older telling than
 * theirs, and ends one sleep for nothing. (A number comes again after 2^32 tellings of one descriptor. An event would have to stay
 * unfetched for all of them, of a file that another number keeps open.)
 *
 * Edges. A task that receives, answers and receives again, as a server's does, would tell the kernel the same each time, for a tenth of what the round costs. So the wait of one that
 * has found a TCP socket empty (FL_EPOLL_EDGE) is told with EPOLLET instead, and stays told; when the task has received from it again, and less than it asked for, its next wait
 * is told nothing (FL_EPOLL_TRUST): what comes later is a new edge. That does not hold, and the wait is told as any other,
 *   - if the last event said more than that there is something to read: the peer's end or an error may lie behind what was received;
 *   - if an edge came while nobody was in line. The second time the kernel is told to be silent: the task may wait on another ring by now;
 *   - if another task has waited there since: what it was told of it may have left, and no edge tells of that again;
 *   - if the number was given to filch_close, or filch_accept has made it, since.
 * Nor for a plain thread, which waits in the ring of a worker: that one may sleep already, without a limit, and would verify nothing.
 * But descriptors are the program's, which may close one and make another of the same number behind our back; and a receive may end early though more is there (a mark of urgent data,
 * TLS in the kernel). So trust is verified: a wait that has lasted for TRUST to twice that is told after all, which costs three system calls, when it matters no more, and at worst
 * something is heard so late. Receives from TCP sockets alone, because other files have no edge for each thing that comes: a datagram behind another has none.
 *
 * What was told with EPOLLET goes on saying each edge, also when the descriptor is closed and the file lives on under another number or in another process. So filch_close silences
 * it first, unless the peer's end has come. (A plain close(2) cannot be helped: the ring is woken in vain then by each thing that comes.)
 *
 * The kernel forgets a descriptor that is closed, and says nothing to who waits for it. So who closes one tells the rings, before and after
 * (fl_epoll_closing, fl_epoll_closed): the first ends all that stand in line, whoever has the number next; the second those that came in
 * between, unless somebody has the number already, whose file they then wait for: as somebody who comes too late for any call does.
 *
 * Invariants
 *   1. An operation is in a line exactly while link is not NULL; link changes under the lock. Whoever takes it out calls back, without the lock.
 *   2. The kernel's mask of a descriptor has at least what its line wants, or an event of the last telling was fetched and not dealt with yet. If it can't be told,
 *      whoever stands in the line is told why.
 *      Or the one in it trusts: then the line is in a list of those, which is verified, until the kernel has been told.
 *   3. No system call under the lock waits, or touches memory of a user: epoll_ctl(2), epoll_wait(2) with no timeout, and getsockopt(2) of two options that need no lock of the socket.
 *   4. The owner sleeps without the lock, and keeps what ended its sleep in `events` until somebody reaps.
 *
 * Memory ordering: the lock orders everything but the sleep; what a waker did before it wrote the eventfd the kernel orders before the event.
 *
 * Rejected: edges with both directions told once and for all, as Go and Tokio have it, without verifying (it needs to be told of every descriptor that is made and closed, and these are
 * the program's); an attempt that finds the socket empty before each wait, as a better ground for trust (costs as much as the telling); one instance for all workers (all wake for one event, and nobody can be woken alone).
 *
 * Sources: epoll(7), epoll_ctl(2), epoll_pwait2(2). */
#include "machine/ring.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHUNK 256      /* descriptors a piece of the table */
#define TRUST 20000000 /* ns */

enum kind { UNKNOWN, EDGES, LEVELS };

int fl_epoll_init(struct fl_ring *ring)
{
    struct fl_epoll *epoll = &ring->epoll;
    fl_list_init(&epoll->young);
    fl_list_init(&epoll->old);
    store_relaxed(&epoll->verify_at, INT64_MAX); /* init: no other thread yet */
    epoll->fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll->fd < 0)
        return -errno;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = (uint32_t)ring->wake_fd};
    if (epoll_ctl(epoll->fd, EPOLL_CTL_ADD, ring->wake_fd, &event) < 0) {
        int error = errno;
        close(epoll->fd);
        return -error;
    }
    return 0;
}

void fl_epoll_fini(struct fl_ring *ring)
{
    struct fl_epoll *epoll = &ring->epoll;
    for (unsigned i = 0; i < epoll->chunk_count; i++)
        free(epoll->chunks[i]);
    free(epoll->chunks);
    close(epoll->fd);
}

/* ---- lines ---- */

/* The line of a descriptor, or NULL if nobody ever waited for it. */
static struct fl_epoll_line *line_of(struct fl_epoll *epoll, int fd)
{
    unsigned chunk = (unsigned)fd / CHUNK;
    return chunk < epoll->chunk_count && epoll->chunks[chunk] ? &epoll->chunks[chunk][fd % CHUNK] : NULL;
}

static struct fl_epoll_line *make_line(struct fl_epoll *epoll, int fd)
{
    unsigned chunk = (unsigned)fd / CHUNK;
    if (chunk >= epoll->chunk_count) {
        unsigned count = chunk + 1 > 2 * epoll->chunk_count ? chunk + 1 : 2 * epoll->chunk_count;
        struct fl_epoll_line **chunks = realloc(epoll->chunks, count * sizeof *chunks);
        if (!chunks)
            return NULL;
        for (unsigned i = epoll->chunk_count; i < count; i++)
            chunks[i] = NULL;
        epoll->chunks = chunks;
        epoll->chunk_count = count;
    }
    if (!epoll->chunks[chunk])
        epoll->chunks[chunk] = calloc(CHUNK, sizeof **epoll->chunks);
    return line_of(epoll, fd);
}

static uint32_t wanted(const struct fl_epoll_line *line)
{
    uint32_t events = 0;
    for (const struct fl_ring_op *op = line->first; op; op = op->next)
        events |= op->events;
    return events;
}

static int control(struct fl_epoll *epoll, int op, int fd, uint32_t events, uint32_t telling)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)telling << 32 | (uint32_t)fd};
    return epoll_ctl(epoll->fd, op, fd, &event) < 0 ? -errno : 0;
}

static int tell_flags(struct fl_epoll *epoll, struct fl_epoll_line *line, int fd, uint32_t events)
{
    uint32_t telling = line->telling + 1;
    line->armed = line->missed = false;
    int r = control(epoll, EPOLL_CTL_MOD, fd, events, telling);
    if (r == -ENOENT)
        r = control(epoll, EPOLL_CTL_ADD, fd, events, telling);
    if (r < 0)
        return r == -ENOSPC ? -ENOMEM : r;
    line->telling = telling;
    line->edges = events & EPOLLET;
    if (line->trusting.next)
        fl_list_remove(&line->trusting);
    return 0;
}

/* For one event. */
static int tell(struct fl_epoll *epoll, struct fl_epoll_line *line, int fd, uint32_t events)
{
    return tell_flags(epoll, line, fd, events | EPOLLONESHOT);
}

/* ---- edges ---- */

/* Whether each thing that comes is an edge: TCP, and nothing above it in the kernel. */
static bool has_edges(struct fl_epoll_line *line, int fd)
{
    int protocol = 0;
    char above[16];
    socklen_t length = sizeof protocol, above_length = sizeof above;
    if (line->kind == UNKNOWN) {
        bool is_tcp = getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 && protocol == IPPROTO_TCP;
        bool bare = is_tcp && (getsockopt(fd, IPPROTO_TCP, TCP_ULP, above, &above_length) < 0 || above_length == 0);
        line->kind = bare ? EDGES : LEVELS;
    }
    return line->kind == EDGES;
}

static int tell_edges(struct fl_epoll *epoll, struct fl_epoll_line *line, int fd, uint32_t events)
{
    int r = tell_flags(epoll, line, fd, events | EPOLLPRI | EPOLLRDHUP | EPOLLET);
    line->armed = r == 0;
    return r;
}

/* More of them mean nothing to anybody here. */
static void silence(struct fl_epoll *epoll, struct fl_epoll_line *line, int fd)
{
    control(epoll, EPOLL_CTL_MOD, fd, EPOLLONESHOT, line->telling);
    line->armed = line->edges = false;
}

static void trust(struct fl_epoll *epoll, struct fl_epoll_line *line)
{
    if (load_relaxed(&epoll->verify_at) == INT64_MAX)         /* own: the lock */
        store_relaxed(&epoll->verify_at, fl_clock() + TRUST); /* own: the lock; the owner is awake, or sees it before it sleeps */
    if (line->trusting.next)
        fl_list_remove(&line->trusting);
    fl_list_append(&epoll->young, &line->trusting);
}

static void enter(struct fl_epoll_line *line, struct fl_ring_op *op)
{
    op->next = line->first;
    op->link = &line->first;
    if (op->next)
        op->next->link = &op->next;
    line->first = op;
}

static void leave(struct fl_ring_op *op)
{
    *op->link = op->next;
    if (op->next)
        op->next->link = op->link;
    op->link = NULL;
}

int fl_epoll_queue_locked(struct fl_ring *ring, int fd, uint32_t events, uint64_t who, struct fl_ring_op *op)
{
    if (fd < 0)
        return -EBADF;
    struct fl_epoll_line *line = make_line(&ring->epoll, fd);
    if (!line)
        return -ENOMEM;
    op->fd = fd;
    op->events = events & 0xffff;
    bool edge = events & FL_EPOLL_EDGE && !line->first, again = line->last == who;
    line->last = who;
    if (edge && again && events & FL_EPOLL_TRUST && line->armed && !line->missed) {
        trust(&ring->epoll, line);
    } else {
        int r = edge && has_edges(line, op->fd) ? tell_edges(&ring->epoll, line, op->fd, op->events)
                                                : tell(&ring->epoll, line, op->fd, op->events | wanted(line));
        if (r < 0)
            return r;
    }
    enter(line, op);
    fl_ring_begun(ring);
    return 0;
}

bool fl_epoll_cancel_locked(struct fl_ring *ring, struct fl_ring_op *op)
{
    (void)ring;
    if (!op->link)
        return false;
    leave(op); /* the kernel may say an event too many, as above */
    return true;
}

/* ---- events ---- */

/* Takes an operation out of its line, with its result, and puts it before `out`. */
static struct fl_ring_op *end(struct fl_ring_op *op, int32_t res, struct fl_ring_op *out)
{
    leave(op);
    op->next = out;
    op->events = (uint32_t)res;
    return op;
}

static struct fl_ring_op *end_all(struct fl_epoll_line *line, int32_t res, struct fl_ring_op *out)
{
    while (line->first)
        out = end(line->first, res, out);
    return out;
}

/* Who is left in a line waits on, or is told why that can't be. */
static struct fl_ring_op *tell_again(struct fl_epoll *epoll, struct fl_epoll_line *line, int fd, struct fl_ring_op *out)
{
    int r = line->first ? tell(epoll, line, fd, wanted(line)) : 0;
    return r < 0 ? end_all(line, r, out) : out;
}

/* Ends whoever in a line wanted what has happened. */
static struct fl_ring_op *take(struct fl_epoll *epoll, struct fl_epoll_line *line, int fd, uint32_t happened, struct fl_ring_op *out)
{
    for (struct fl_ring_op *op = line->first, *next; op; op = next) {
        next = op->next;
        uint32_t events = happened & (op->events | EPOLLERR | EPOLLHUP);
        if (events)
            out = end(op, (int32_t)events, out);
    }
    return tell_again(epoll, line, fd, out);
}

/* The same for an event. */
static struct fl_ring_op *take_event(struct fl_epoll *epoll, const struct epoll_event *event, struct fl_ring_op *out)
{
    int fd = (int)(uint32_t)event->data.u64;
    struct fl_epoll_line *line = line_of(epoll, fd);
    if (!line || line->telling != event->data.u64 >> 32)
        return out;
    line->edges &= !(event->events & (EPOLLRDHUP | EPOLLHUP)); /* few will follow */
    if (line->first) {
        out = take(epoll, line, fd, event->events, out);
        line->armed &= event->events == EPOLLIN;
    } else if (line->armed && !line->missed) {
        line->missed = true;
    } else if (line->edges) {
        silence(epoll, line, fd);
    }
    return out;
}

/* Fetches what dealing with the i-th event and its successors will touch: lines, and frames of tasks that have long been away. */
static void fetch(struct fl_epoll *epoll, int i, int n)
{
    struct fl_epoll_line *near = i + 1 < n ? line_of(epoll, (int)(uint32_t)epoll->events[i + 1].data.u64) : NULL;
    struct fl_epoll_line *far = i + 2 < n ? line_of(epoll, (int)(uint32_t)epoll->events[i + 2].data.u64) : NULL;
    if (near)
        __builtin_prefetch(near->first, 1);
    if (far)
        __builtin_prefetch(far, 1);
}

/* Tells the kernel of those who have trusted for long. */
static struct fl_ring_op *verify(struct fl_ring *ring, struct fl_ring_op *out)
{
    struct fl_epoll *epoll = &ring->epoll;
    if (!fl_epoll_overdue(ring))
        return out;
    while (!fl_list_empty(&epoll->old)) {
        struct fl_epoll_line *line = fl_container_of(epoll->old.next, struct fl_epoll_line, trusting);
        struct fl_ring_op *op = line->first;
        fl_list_remove(&line->trusting);
        if (!op)
            continue;
        line->kind = UNKNOWN;
        int r = has_edges(line, op->fd) ? tell_edges(epoll, line, op->fd, op->events) : tell(epoll, line, op->fd, wanted(line));
        if (r < 0)
            out = end_all(line, r, out);
    }
    fl_list_splice(&epoll->old, &epoll->young);
    bool more = !fl_list_empty(&epoll->old);
    store_relaxed(&epoll->verify_at, more ? fl_clock() + TRUST : INT64_MAX); /* own: the lock */
    return out;
}

static unsigned call_back(struct fl_ring *ring, struct fl_ring_op *out)
{
    unsigned count = 0;
    for (struct fl_ring_op *next; out; out = next, count++) {
        next = out->next; /* it is gone when it has been told */
        out->done(out, (int32_t)out->events, 0);
    }
    add_relaxed(&ring->ended, count); /* counter */
    return count;
}

unsigned fl_epoll_reap(struct fl_ring *ring, bool owner)
{
    struct fl_epoll *epoll = &ring->epoll;
    unsigned total = 0;
    int n;
    bool wake = false;
    do {
        struct fl_ring_op *out = NULL;
        fl_lock_take(&ring->lock);
        out = verify(ring, out);
        n = (int)load_relaxed(&epoll->fetched); /* own: the lock */
        if (n == 0)
            n = epoll_wait(epoll->fd, epoll->events, FL_EPOLL_FETCHED, 0);
        for (int i = 0; i < n; i++) {
            fetch(epoll, i, n);
            if (epoll->events[i].data.u64 == (uint32_t)ring->wake_fd)
                wake = true;
            else
                out = take_event(epoll, &epoll->events[i], out);
        }
        store_relaxed(&epoll->fetched, 0); /* own: the lock */
        fl_lock_give(&ring->lock);
        total += call_back(ring, out);
    } while (n == FL_EPOLL_FETCHED);
    if (wake && !owner)
        fl_ring_wake(ring); /* it was meant for the owner, who may be about to sleep */
    return total + wake;
}

/* Its number is another file's. */
static void forget(struct fl_epoll_line *line)
{
    line->kind = UNKNOWN;
    line->armed = line->missed = line->edges = false;
}

void fl_epoll_closing(struct fl_ring *ring, int fd)
{
    fl_lock_take(&ring->lock);
    struct fl_epoll_line *line = fd < 0 ? NULL : line_of(&ring->epoll, fd);
    struct fl_ring_op *out = line ? end_all(line, -EBADF, NULL) : NULL;
    if (line && line->edges)
        silence(&ring->epoll, line, fd);
    if (line) {
        forget(line);
        line->closes++;
    }
    fl_lock_give(&ring->lock);
    call_back(ring, out);
}

uint32_t fl_epoll_closes_locked(struct fl_ring *ring, int fd)
{
    struct fl_epoll_line *line = fd < 0 ? NULL : line_of(&ring->epoll, fd);
    return line ? line->closes : 0;
}

void fl_epoll_made(struct fl_ring *ring, int fd)
{
    fl_lock_take(&ring->lock);
    struct fl_epoll_line *line = line_of(&ring->epoll, fd);
    if (line)
        forget(line);
    fl_lock_give(&ring->lock);
}

void fl_epoll_closed(struct fl_ring *ring, int fd)
{
    fl_lock_take(&ring->lock);
    struct fl_epoll_line *line = fd < 0 ? NULL : line_of(&ring->epoll, fd);
    struct fl_ring_op *out = line ? tell_again(&ring->epoll, line, fd, NULL) : NULL;
    fl_lock_give(&ring->lock);
    call_back(ring, out);
}

/* epoll_pwait2(2) where the kernel has it (Linux 5.11), else milliseconds, rounded up. */
static int await(struct fl_epoll *epoll, struct epoll_event *events, int64_t timeout)
{
    struct timespec ts = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};
    if (!epoll->coarse) {
        int n = epoll_pwait2(epoll->fd, events, FL_EPOLL_FETCHED, timeout == INT64_MAX ? NULL : &ts, NULL);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n;
        epoll->coarse = true;
    }
    int64_t ms = timeout / 1000000 + (timeout % 1000000 != 0);
    return epoll_wait(epoll->fd, events, FL_EPOLL_FETCHED, timeout == INT64_MAX ? -1 : ms > INT32_MAX ? INT32_MAX : (int)ms);
}

void fl_epoll_sleep(struct fl_ring *ring, int64_t timeout)
{
    struct fl_epoll *epoll = &ring->epoll;
    struct epoll_event events[FL_EPOLL_FETCHED];
    if (timeout == 0 || fl_ring_ready(ring))
        return;
    int64_t verify_at = load_relaxed(&epoll->verify_at); /* own: only the owner's tasks, and who reaps, change it */
    if (verify_at != INT64_MAX) {
        int64_t left = verify_at - fl_clock();
        timeout = left < 0 ? 0 : left < timeout ? left : timeout;
    }
    int n = await(epoll, events, timeout);
    if (n <= 0)
        return;
    fl_lock_take(&ring->lock);
    for (int i = 0; i < n; i++)
        epoll->events[i] = events[i];
    store_release(&epoll->fetched, (uint32_t)n); /* own: the lock */
    fl_lock_give(&ring->lock);
}
