/* SPDX-License-Identifier: MIT */
/* Requests: what is asked of the kernel, written down as an entry of a submission queue, whoever carries it out. See request.c. */
#ifndef FL_MACHINE_REQUEST_H
#define FL_MACHINE_REQUEST_H

#include "base/attr.h"

#include <liburing.h>

/** Operations that kernels know and our headers do not (linux/io_uring.h of Linux 6.9) ... */
#define FL_REQUEST_WAITID 50     /**< Linux 6.7: fd the id, len its type, addr2 the siginfo_t, file_index the options */
#define FL_REQUEST_FUTEX_WAIT 51 /**< Linux 6.7: addr the word, addr2 the value, addr3 the mask, fd FL_FUTEX_* */
#define FL_REQUEST_FTRUNCATE 55  /**< Linux 6.9: fd, off the length */
#define FL_REQUEST_RING_END 128  /**< from here on such as no ring knows */
/** ... and such as no ring knows. */
#define FL_REQUEST_FADVISE 200    /**< as IORING_OP_FADVISE, with its length, 64 bits wide, in addr */
#define FL_REQUEST_SYNC_RANGE 201 /**< as IORING_OP_SYNC_FILE_RANGE, the same */
#define FL_REQUEST_CALL 202       /**< calls the function at addr with the argument at addr2 */
#define FL_REQUEST_LONG_CALL 203  /**< the same, and nobody knows how long it takes */

/** Flags of the futex2 calls (linux/futex.h of Linux 6.7). */
#define FL_FUTEX_U32 2
#define FL_FUTEX_PRIVATE 128

/** Prepares a request of which only the descriptor and an address matter. */
void fl_request_prep(struct io_uring_sqe *sqe, int opcode, int fd, const void *addr, uint64_t addr2, unsigned len);

/** Carries a request out by plain system calls; waits as these do. @return what the completion would say: a result, or -errno */
int32_t fl_request_do(const struct io_uring_sqe *sqe);

#define FL_REQUEST_UNKNOWN (INT32_MIN + 2) /* neither a result nor -errno */

/** Carries it out if that can be done without waiting.
 * @return a result, or -errno; -EAGAIN: not now, ask again when the descriptor is ready (fl_request_awaits); FL_REQUEST_UNKNOWN: it cannot be known, only done */
int32_t fl_request_try(const struct io_uring_sqe *sqe);

/** Whether it would wait inside the kernel with something locked that others need there: a splice with a socket keeps the pipe, and who reads or writes that, or
 * submits as much to a ring, is held up with it. */
bool fl_request_hogs(const struct io_uring_sqe *sqe);

/** Whether it may keep a thread for longer than a disk does: a function of the program's, a close that lingers. */
bool fl_request_lasts(const struct io_uring_sqe *sqe);

/** Sets a descriptor to non-blocking, for whoever has it. */
void fl_request_never_wait(int fd);

/** What a request waits for. @return events of poll(2) on *ret_fd; 0: nothing that can be polled, only done */
short fl_request_awaits(const struct io_uring_sqe *sqe, int *ret_fd);

#endif
