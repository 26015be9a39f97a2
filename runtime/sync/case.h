/* SPDX-License-Identifier: MIT */
/* What an object gives to be waited for among others: four functions, beside the object's own. See select.c for who calls them when. */
#ifndef FL_SYNC_CASE_H
#define FL_SYNC_CASE_H

#include "sync/waitq.h"

#include <filch/select.h>

#include <errno.h>

/** What a wait that the case `index` has ended returns: below every -errno. */
#define FL_CASE_FIRST 4096
#define FL_CASE_WON(index) (-(int32_t)(index)-FL_CASE_FIRST)

struct fl_case_kind {
    /** Whether it seems that the case can happen. Takes no lock. */
    bool (*ready)(filch_case *c);
    /** Lets it happen if it can, and sets c->result; takes a lock only if it seems that it can. @return whether it did */
    bool (*take)(filch_case *c);
    /** Stands in line for `task`, whose wait is armed. @param won what the claim of its wait is to say
     * @return 0; -EAGAIN: it can happen by now, also by another task of the same line; another error */
    int (*stand)(filch_case *c, struct fl_task *task, int32_t won);
    /** The wait is over: nobody knows of the case when this returns. @param won it was this case that ended it, and c->result is set */
    void (*leave)(filch_case *c, bool won);
};

/** The waiter of a case, in its room. */
FL_INLINE struct fl_waiter *fl_case_waiter(filch_case *c)
{
    return (struct fl_waiter *)(void *)c->room_;
}

_Static_assert(sizeof(struct fl_waiter) <= sizeof(((filch_case *)0)->room_), "the public header leaves room for a waiter");

extern const struct fl_case_kind fl_case_send, fl_case_recv; /* chan.c */
extern const struct fl_case_kind fl_case_event;              /* event.c */
extern const struct fl_case_kind fl_case_sem;                /* sem.c */
extern const struct fl_case_kind fl_case_scope;              /* scope.c */
extern const struct fl_case_kind fl_case_until, fl_case_fd;  /* case_time.c, case_fd.c */

#endif
