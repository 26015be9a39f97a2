/* SPDX-License-Identifier: MIT */
/* The kernel's refusals, to order: the few calls by which the library asks for rings, descriptors and threads go through here, and fail as `shim` says. */
#ifndef SHIM_H
#define SHIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A call that fails: from the `after`-th on, every `every`-th time. Zero: it works. */
struct fault {
    _Atomic(int) error; /* positive */
    _Atomic(unsigned) every, after, calls;
};

extern struct shim {
    struct fault submit, cancel, sleep, init, probe, eventfd, epoll_create, epoll_ctl, thread;
    _Atomic(unsigned) some;         /* entries that one submission takes at most; 0: all */
    _Atomic(int64_t) busy;          /* CPU time that one submission takes, ns */
    _Atomic(unsigned) completions;  /* room for so many in the queue; 0: as asked */
    _Atomic(int) missing;           /* an operation that the kernel says it does not know; 0: none */
    _Atomic(bool) deaf;             /* no name server says anything */
    _Atomic(unsigned) lookups;      /* how many asked one */
    _Atomic(bool) swap;             /* such notices are seen before the results */
    _Atomic(unsigned) swaps;        /* how often that was so */
    _Atomic(unsigned long) faults;  /* how often a call failed */
    _Atomic(unsigned long) notices; /* completions that said: the kernel has let go of a buffer that was sent without copying */
} shim;

#endif
