/* SPDX-License-Identifier: MIT */
/* without_uring PROGRAM ARGUMENT...: runs a program that may not use io_uring, as in most containers. It finds API_DENIED in its environment. Status 77: this kernel has
 * no seccomp. */
#include "../deny.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 2 || !deny(SYS_io_uring_setup, EPERM))
        return 77;
    unsetenv("FILCH_IO");
    setenv("API_DENIED", "1", 1);
    execv(argv[1], argv + 1);
    perror(argv[1]);
    return 127;
}
