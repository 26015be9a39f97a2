/* SPDX-License-Identifier: MIT */
/* Select: waits for several things at once, of which exactly one happens.
 *
 *     filch_case cases[] = {
 *         filch_case_recv(jobs, &job),
 *         filch_case_event(&stop),
 *         filch_case_until(filch_after(FILCH_SEC(1))),
 *     };
 *     switch (filch_select(cases, 3)) {
 *     case 0: ... cases[0].result is what filch_chan_recv would have returned
 *
 * The array lies in the caller's frame and may be used again for the next select. */
#ifndef FILCH_SELECT_H
#define FILCH_SELECT_H

#include <filch/version.h>

struct filch_chan;
struct filch_event;
struct filch_sem;
struct filch_scope;

enum filch_case_kind_ {
    FILCH_CASE_NONE_ = 0,
    FILCH_CASE_SEND_ = 1,
    FILCH_CASE_RECV_ = 2,
    FILCH_CASE_EVENT_ = 3,
    FILCH_CASE_SEM_ = 4,
    FILCH_CASE_FD_ = 5,
    FILCH_CASE_UNTIL_ = 6,
    FILCH_CASE_SCOPE_ = 7,
    FILCH_CASE_DEFAULT_ = 8,
};

/** One of the things to wait for. Made by the functions below; an all-zero one never happens, so a case is switched off by `= (filch_case){0}`. */
typedef struct filch_case {
    int result; /**< of the case that happened, as its function says; undefined in the others */
    unsigned kind_;
    void *object_, *value_;
    int64_t when_;
    int fd_;
    short events_;
    bool ready_;
    uintptr_t room_[10]; /* where it stands in line */
} filch_case;

/** Waits until one of `count` cases can happen, and lets it happen: a value is sent, or received, a unit is taken, an event of the kind that resets itself is
 * reset. Of several that can happen at once one is drawn by lot. The others have not happened: nothing was sent, received or taken.
 * From a plain thread at most 255 cases may be descriptors, and none a scope.
 * @param cases in the caller's frame; `result` of the one that happened is set
 * @return the index of the case that happened; -ECANCELED or -ETIMEDOUT when a scope around the call was cancelled; -EINVAL more than 2^20 cases, or one that
 * makes no sense here; -ENOMEM no stack to go on with, or no ring space; -EMFILE, -ENFILE no descriptor for a plain thread, or an error of its poll(2):
 * nothing happened.
 * Context: task or any thread, parks (not with a default case). */
FILCH_API FILCH_PARKS int filch_select(filch_case *cases, size_t count);

static inline filch_case filch_case_(unsigned kind)
{
    filch_case c;
    __builtin_memset(&c, 0, sizeof c);
    c.kind_ = kind;
    return c;
}

/** Sends the value at `element`, which is read when it happens; with NULL for a channel that never happens. Its result is that of filch_chan_send. */
static inline filch_case filch_case_send(struct filch_chan *chan, const void *element)
{
    filch_case c = filch_case_(chan ? FILCH_CASE_SEND_ : FILCH_CASE_NONE_);
    c.object_ = chan;
    c.value_ = (void *)(uintptr_t)element;
    return c;
}

/** Receives into `ret_element`; with NULL for a channel that never happens. Several cases may receive into the same place; its content is undefined when none of them happens. Its result is that of filch_chan_recv. */
static inline filch_case filch_case_recv(struct filch_chan *chan, void *ret_element)
{
    filch_case c = filch_case_(chan ? FILCH_CASE_RECV_ : FILCH_CASE_NONE_);
    c.object_ = chan;
    c.value_ = ret_element;
    return c;
}

/** The event is set. Its result is 0. */
static inline filch_case filch_case_event(struct filch_event *event)
{
    filch_case c = filch_case_(FILCH_CASE_EVENT_);
    c.object_ = event;
    return c;
}

/** Takes a unit of the semaphore. Its result is 0. */
static inline filch_case filch_case_sem(struct filch_sem *sem)
{
    filch_case c = filch_case_(FILCH_CASE_SEM_);
    c.object_ = sem;
    return c;
}

/** The descriptor, if it isn't negative, is ready for `events` of poll(2), POLLIN or POLLOUT, say. Its result is what poll says in `revents`, POLLERR, POLLHUP and POLLNVAL
 * included; or -errno of the poll. Each look costs a system call. The descriptor must not be closed meanwhile. */
static inline filch_case filch_case_fd(int fd, short events)
{
    filch_case c = filch_case_(FILCH_CASE_FD_);
    c.fd_ = fd;
    c.events_ = events;
    return c;
}

/** The point in time `deadline` (absolute, see filch_after) has come. Its result is 0. */
static inline filch_case filch_case_until(int64_t deadline)
{
    filch_case c = filch_case_(FILCH_CASE_UNTIL_);
    c.when_ = deadline;
    return c;
}

/** Every child of the scope has ended; filch_join then returns at once. Its result is 0. Only for the task that opened it, in at most one case of a select. A
 * cancel of the scope, also by the failure of a child, ends a select in its block like any other wait. */
static inline filch_case filch_case_scope(struct filch_scope *scope)
{
    filch_case c = filch_case_(FILCH_CASE_SCOPE_);
    c.object_ = scope;
    return c;
}

/** Happens if nothing else can at once. Its result is 0. */
static inline filch_case filch_case_default(void)
{
    return filch_case_(FILCH_CASE_DEFAULT_);
}

#endif
