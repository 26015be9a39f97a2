/* SPDX-License-Identifier: MIT */
/* Back-end: what carries out the blocking calls of a runtime. See backend.c for how it is chosen. */
#ifndef FL_MACHINE_BACKEND_H
#define FL_MACHINE_BACKEND_H

#include "base/attr.h"

#include <filch/runtime.h>
#include <stdint.h>

struct fl_backend {
    bool epoll;        /**< rings are epoll instances */
    bool coop;         /**< the kernel need not interrupt the owner of a ring: we do, when it matters */
    uint64_t knows[4]; /**< a bit an operation of io_uring that the kernel carries out */
    bool remarkable;   /**< not what was to be expected, or the environment asked for it: worth a line at start */
    char why[160];     /**< for people */
};

/** Chooses. What the environment says goes before `wanted`.
 * @return 0; or why what was wanted can't be had: -EPERM, -ENOSYS, -EOPNOTSUPP an operation is missing, -ENOMEM, -EMFILE, -ENFILE; -EINVAL FILCH_IO is neither. */
int fl_backend_choose(struct fl_backend *backend, filch_io wanted);

/** Whether a ring carries out the operation. */
FL_INLINE bool fl_backend_knows(const struct fl_backend *backend, unsigned opcode)
{
    return backend->knows[opcode >> 6 & 3] >> (opcode & 63) & 1;
}

#endif
