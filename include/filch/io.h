/* SPDX-License-Identifier: MIT */
/* Blocking calls that park: POSIX names and argument order, 0 or a count or a descriptor, else -errno.
 *
 * The buffer is the caller's again when the call returns, whatever it returns: a cancelled call waits for the kernel's last word first. Bytes that
 * were moved before a cancel took hold are reported, not lost. A short count is not an error. From a plain thread each is the plain system call.
 * Every function may also return -ECANCELED or -ETIMEDOUT (a scope around it was cancelled) and -ENOMEM (no ring space). */
#ifndef FILCH_IO_H
#define FILCH_IO_H

#include <filch/version.h>
#include <sys/socket.h>
#include <sys/types.h>

/** open(2). @return a descriptor, which the caller closes. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_open(const char *path, int flags, mode_t mode);

/** openat(2). @return a descriptor, which the caller closes. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_openat(int dir_fd, const char *path, int flags, mode_t mode);

/** close(2). Never cancelled: the descriptor is closed in any case. @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_close(int fd);

/** read(2), at the file's position. @return bytes, 0 at the end. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_read(int fd, void *buf, size_t count);

/** write(2), at the file's position. @return bytes. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_write(int fd, const void *buf, size_t count);

/** pread(2). @return bytes, 0 at the end. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_pread(int fd, void *buf, size_t count, off_t offset);

/** pwrite(2). @return bytes. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_pwrite(int fd, const void *buf, size_t count, off_t offset);

/** accept4(2). @param flags SOCK_NONBLOCK, SOCK_CLOEXEC
 * @return a descriptor, which the caller closes; one that arrived as the call was cancelled is returned. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_accept(int fd, struct sockaddr *addr, socklen_t *addr_len, int flags);

/** connect(2). @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_connect(int fd, const struct sockaddr *addr, socklen_t addr_len);

/** recv(2). @return bytes, 0 when the peer has shut down. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_recv(int fd, void *buf, size_t len, int flags);

/** send(2). MSG_NOSIGNAL is always set. @return bytes. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_send(int fd, const void *buf, size_t len, int flags);

#endif
