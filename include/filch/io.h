/* SPDX-License-Identifier: MIT */
/* Blocking calls that park: POSIX names and argument order, 0 or a count or a descriptor, else -errno.
 *
 * The buffer, and everything else that is pointed to, is the caller's again when the call returns, whatever it returns: a cancelled call waits for the
 * kernel's last word first. Bytes that were moved before a cancel took hold are reported, not lost; a descriptor that was made is returned. A short count is not
 * an error. From a plain thread each is the plain system call.
 *
 * Every function may also return -ECANCELED or -ETIMEDOUT (a scope around it was cancelled), -ENOMEM (no stack to go on with, no ring space), and where no
 * operation of the kernel does the work, -EAGAIN (no kernel thread to do it). O_NONBLOCK on a descriptor makes no difference to a task: who
 * doesn't want to wait says MSG_DONTWAIT, or asks poll(2). A descriptor that is ready, but not for what a call wants (an eventfd with room,
 * but for less), is looked at again and again, with pauses of up to 5 ms.
 *
 * What carries it out is io_uring, or where that is forbidden epoll and a few kernel threads (filch_io_backend). Both behave alike, but with epoll sockets given
 * to accept, connect, splice and sendfile, and devices, are left in non-blocking mode. */
#ifndef FILCH_IO_H
#define FILCH_IO_H

#include <filch/runtime.h>

#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>

struct addrinfo; /* <netdb.h> */
struct statx;    /* <sys/stat.h> with _GNU_SOURCE */

/* ---- descriptors ---- */

/** open(2). @return a descriptor, which the caller closes. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_open(const char *path, int flags, mode_t mode);

/** openat(2). @return a descriptor, which the caller closes. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_openat(int dir_fd, const char *path, int flags, mode_t mode);

/** close(2). Never cancelled: the descriptor is closed in any case. Tasks of the same runtime that wait for it: with epoll they come back
 * with -EBADF (a case of a select with POLLNVAL). With io_uring they keep the file that they wait for, which is open until something
 * happens there, or they are cancelled. So who wants to end their wait calls filch_shutdown first, or cancels them. What a task of the
 * runtime has begun to receive, send, read, write, accept or poll there is with the file that has the number now, not with the next one; of
 * other calls, as fsync or splice, and where a plain thread closes it, or close(2) does, that is not sure. io_uring lets go of a file that was written some
 * microseconds later: flock(2), or execve(2) of it, may meet it until then. @return 0 or -errno.
 * Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_close(int fd);

/** read(2), at the file's position. Who shares a position with others at the same time uses filch_pread or a lock. @return bytes, 0 at the end. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_read(int fd, void *buf, size_t count);

/** write(2), at the file's position. Who shares a position with others at the same time uses O_APPEND, filch_pwrite or a lock: unlike write(2) it may be
 * the same for both. @return bytes. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_write(int fd, const void *buf, size_t count);

/** pread(2). @return bytes, 0 at the end. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_pread(int fd, void *buf, size_t count, off_t offset);

/** pwrite(2). @return bytes; of what has no position -ESPIPE, or as filch_write. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_pwrite(int fd, const void *buf, size_t count, off_t offset);

/** readv(2). @return bytes, 0 at the end; -EINVAL more than IOV_MAX (1024) parts. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_readv(int fd, const struct iovec *parts, int count);

/** writev(2). @return bytes; -EINVAL as above. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_writev(int fd, const struct iovec *parts, int count);

/** preadv(2). @return bytes, 0 at the end; -EINVAL as above. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_preadv(int fd, const struct iovec *parts, int count, off_t offset);

/** pwritev(2). @return bytes; -EINVAL as above. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_pwritev(int fd, const struct iovec *parts, int count, off_t offset);

/** splice(2): moves bytes between two descriptors of which one is a pipe. @param flags SPLICE_F_*
 * @return bytes, 0 at the end. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_splice(int fd_in, off_t *off_in, int fd_out, off_t *off_out, size_t len, unsigned flags);

/** poll(2) of one descriptor. @param events POLLIN, POLLOUT, POLLPRI, POLLRDHUP
 * @return which of them have happened, with POLLERR and POLLHUP. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_poll(int fd, int events);

/* ---- all of it ---- */

/** Reads until `count` bytes are there or the file ends. @param ret_done how many were read, also when it fails; NULL is allowed
 * @return 0, also at the end; -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_read_all(int fd, void *buf, size_t count, size_t *ret_done);

/** Writes `count` bytes. @param ret_done how many were written, also when it fails; NULL is allowed
 * @return 0; -EIO nothing was written and no error told; -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_write_all(int fd, const void *buf, size_t count, size_t *ret_done);

/** As filch_read_all, from `offset` on. @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_pread_all(int fd, void *buf, size_t count, off_t offset, size_t *ret_done);

/** As filch_write_all, from `offset` on. @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_pwrite_all(int fd, const void *buf, size_t count, off_t offset, size_t *ret_done);

/** Sends `len` bytes on a stream socket. @param ret_done as above
 * @return 0, or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_send_all(int fd, const void *buf, size_t len, int flags, size_t *ret_done);

/** Receives until `len` bytes are there or the peer has shut down. @param ret_done as above
 * @return 0, also at the end; -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_recv_all(int fd, void *buf, size_t len, int flags, size_t *ret_done);

/** Reads a whole file, also one whose size is not known (/proc). A zero byte, not counted, follows the content.
 * @param ret_data from malloc(3), the caller frees it; untouched on failure
 * @return 0; -EFBIG it does not fit in memory; -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_read_file(const char *path, void **ret_data, size_t *ret_size);

/** Makes a file hold just this: created with `mode`, or cut to nothing first. What was written when it fails stays.
 * @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_write_file(const char *path, const void *data, size_t size, mode_t mode);

/* ---- files ---- */

/** fsync(2). @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_fsync(int fd);

/** fdatasync(2). @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_fdatasync(int fd);

/** sync_file_range(2). @param flags SYNC_FILE_RANGE_* @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_sync_file_range(int fd, off_t offset, off_t count, unsigned flags);

/** ftruncate(2). @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_ftruncate(int fd, off_t length);

/** fallocate(2). @param mode FALLOC_FL_* or 0 @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_fallocate(int fd, int mode, off_t offset, off_t len);

/** posix_fadvise(2). @param advice POSIX_FADV_* @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_fadvise(int fd, off_t offset, off_t len, int advice);

/** statx(2). @param mask STATX_* @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_statx(int dir_fd, const char *path, int flags, unsigned mask, struct statx *ret_statx);

/** rename(2). @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_rename(const char *from, const char *to);

/** renameat2(2). @param flags RENAME_* or 0 @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_renameat(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);

/** unlink(2). @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_unlink(const char *path);

/** unlinkat(2). @param flags AT_REMOVEDIR or 0 @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_unlinkat(int dir_fd, const char *path, int flags);

/** mkdir(2). @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_mkdir(const char *path, mode_t mode);

/** mkdirat(2). @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_mkdirat(int dir_fd, const char *path, mode_t mode);

/** link(2). @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_link(const char *from, const char *to);

/** linkat(2). @param flags AT_SYMLINK_FOLLOW, AT_EMPTY_PATH or 0 @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);

/** symlink(2). @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_symlink(const char *target, const char *path);

/** symlinkat(2). @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_symlinkat(const char *target, int dir_fd, const char *path);

/* ---- sockets: socket(2), bind(2) and listen(2) do not wait, and are called as they are ---- */

/** accept4(2). @param flags SOCK_NONBLOCK, SOCK_CLOEXEC
 * @return a descriptor, which the caller closes; one that arrived as the call was cancelled is returned. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_accept(int fd, struct sockaddr *addr, socklen_t *addr_len, int flags);

/** connect(2). @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_connect(int fd, const struct sockaddr *addr, socklen_t addr_len);

/** recv(2). @return bytes, 0 when the peer has shut down. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_recv(int fd, void *buf, size_t len, int flags);

/** send(2). MSG_NOSIGNAL is always set. MSG_ZEROCOPY: the kernel may take the pages instead of copying them, and the call returns when it has let go of them, which may
 * be after a deadline; worth it from some 10 KiB on, to other machines; nothing comes through the error queue.
 * @return bytes. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_send(int fd, const void *buf, size_t len, int flags);

/** recvfrom(2). @return bytes. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr, socklen_t *addr_len);

/** sendto(2). MSG_NOSIGNAL is always set. @return bytes. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr, socklen_t addr_len);

/** recvmsg(2). @return bytes, 0 when the peer has shut down. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_recvmsg(int fd, struct msghdr *msg, int flags);

/** sendmsg(2). MSG_NOSIGNAL is always set. @return bytes. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_sendmsg(int fd, const struct msghdr *msg, int flags);

/** shutdown(2). @param how SHUT_RD, SHUT_WR, SHUT_RDWR @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_shutdown(int fd, int how);

/** sendfile(2): from a file to a stream socket, or to anything else that is written to; a large file is spliced, not copied. Goes on until `count` bytes are
 * sent, the file ends, or something fails after which nothing can be sent.
 * @param offset where to read, and moved by what was sent; NULL: at the file's position, which moves
 * @return bytes, 0 at the end; -errno if nothing was sent. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS ssize_t filch_sendfile(int fd_out, int fd_in, off_t *offset, size_t count);

/** getaddrinfo(3). A cancelled call returns at once; the look-up goes on alone, frees what it finds, and filch_stop waits for it, past its
 * deadline if need be. It takes its turn as filch_blocking does.
 * @param ret_list the caller calls freeaddrinfo(3); untouched on failure
 * @return 0; -ENOENT no such name or no address of that kind, -EAGAIN try again, -EIO the name server failed for good, -EINVAL bad hints, or a service that is not
 * there for them, -EAFNOSUPPORT, -ENOMEM, or another -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                                            struct addrinfo **ret_list);

/* ---- processes, memory, everything else ---- */

#if defined(_POSIX_C_SOURCE) && _POSIX_C_SOURCE >= 200809L /* else the system's headers have no siginfo_t */
/** waitid(2). @param options WEXITED, WSTOPPED, WCONTINUED, WNOWAIT, WNOHANG @return 0 or -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_waitid(idtype_t type, id_t id, siginfo_t *ret_info, int options);
#endif

/** posix_spawnp(3), for a child that begins as from a shell: no signal blocked or ignored, and of the descriptors only these three (and what else lacks FD_CLOEXEC).
 * A worker blocks all signals, so a plain posix_spawn or fork from a task makes a child that cannot be interrupted.
 * @param fds what become its 0, 1 and 2; -1: the caller's own; NULL: all three. They stay open here
 * @param envp NULL: the caller's environment
 * @param ret_pid wait for it by filch_waitid(P_PID, pid, ...)
 * @return 0; -ENOENT no such program; another -errno. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_posix_spawnp(pid_t *ret_pid, const char *file, char *const argv[], char *const envp[], const int fds[3]);

/** futex(2), FUTEX_WAIT: parks while `word`, 32 bits, holds `expected`, until FUTEX_WAKE. For words that other programs or plain threads know; tasks among themselves
 * use filch_event. @param shared in memory that other processes map
 * @return 0 woken, also for no reason; -EAGAIN it did not hold it. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_futex_wait(const volatile void *word, uint32_t expected, bool shared);

/** Runs `fn(arg)`, which may block, on a kernel thread kept for such calls, and parks until it has returned. There are config.helpers of
 * them at most, of which a quarter is kept for files; further calls wait for their turn, and only while it waits is one cancelled. `fn` is
 * no task: what parks there blocks that thread.
 * @return what `fn` returned; -ECANCELED, -ETIMEDOUT, -EAGAIN: it was not called. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_blocking(filch_fn *fn, void *arg);

/* ---- what carries it out ---- */

/** What carries out a runtime's I/O, as chosen when it was started. @param ret_why one line for people, which lives as long as the runtime; NULL is allowed
 * @return FILCH_IO_URING or FILCH_IO_EPOLL. Context: any thread, never parks. */
FILCH_API filch_io filch_io_backend(const filch_runtime *runtime, const char **ret_why);

#endif
