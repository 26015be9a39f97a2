/* SPDX-License-Identifier: MIT */
/* Reading memory that may be gone.
 *
 * process_vm_readv(2) on ourselves fails where a load would fault. Where it is forbidden (seccomp profiles, kernels without
 * CONFIG_CROSS_MEMORY_ATTACH), write(2) into a pipe does the same, more slowly. Both are called without their wrappers, because a sanitizer
 * takes those for accesses by this thread. */
#include "machine/peek.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096 /* none is smaller */

static bool peek_by_pipe(char *to, const char *from, size_t size)
{
    int fds[2];
    bool good = true;
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    while (good && size > 0) {
        long part = size < PAGE ? (long)size : PAGE;
        good = syscall(SYS_write, (long)fds[1], from, part) == part && syscall(SYS_read, (long)fds[0], to, part) == part;
        to += part;
        from += part;
        size -= (size_t)part;
    }
    close(fds[0]);
    close(fds[1]);
    return good;
}

bool fl_peek(void *to, const void *from, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};
    long n = syscall(SYS_process_vm_readv, (long)getpid(), &local, 1L, &remote, 1L,
                     0L); /* an int on the stack would have half a word of garbage above it */
    return n == (long)size || (n < 0 && (errno == EPERM || errno == ENOSYS) && peek_by_pipe(to, from, size));
}

/* A page may be there and the next one not, so none is gone beyond at a time. */
size_t fl_peek_string(char *to, size_t size, const char *from)
{
    size_t count = 0, read = 0;
    while (from && count == read && read < size - 1) {
        size_t rest = PAGE - (uintptr_t)(from + read) % PAGE, part = rest < size - 1 - read ? rest : size - 1 - read;
        if (!fl_peek(&to[read], from + read, part))
            break;
        read += part;
        count += strnlen(&to[count], part);
    }
    to[count] = '\0';
    return count;
}
