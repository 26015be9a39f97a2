/* SPDX-License-Identifier: MIT */
/* The laws of the choice between io_uring and epoll: what the environment says goes before what the program says, who asks for io_uring gets it or an error, and who
 * doesn't ask always gets something that works, with a reason.
 *
 * Each case runs in a child, whose environment and system calls are its own. What is not tested here: programs with more rights than their user, for which the
 * environment doesn't count. */
#include "api.h"
#include "../deny.h"

#include <dirent.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static int count_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    must(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static int receive(void *arg)
{
    char byte = 0;
    must(filch_recv(*(int *)arg, &byte, 1, 0) == 1 && byte == 'x');
    return 0;
}

static int exchange(void *arg)
{
    int ends[2];
    (void)arg;
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, receive, &ends[0]) == 0);
    must(filch_sleep(FILCH_MSEC(1)) == 0);
    must(filch_send(ends[1], "x", 1, 0) == 1);
    must(filch_join(&s) == 0);
    return filch_close(ends[0]) | filch_close(ends[1]);
}

/* Starts a runtime with FILCH_IO=said, NULL for none. @return 0, and it is `got` because of `why`; or why it can't be started */
static int starts(const char *said, filch_io wanted, filch_io got, const char *why)
{
    filch_runtime *runtime = NULL;
    const char *reason = NULL;
    int before = count_descriptors();
    must((said ? setenv("FILCH_IO", said, 1) : unsetenv("FILCH_IO")) == 0);
    int r = filch_start(&(filch_config){.workers = 2, .io = wanted}, &runtime);
    if (r == 0) {
        must(filch_io_backend(runtime, NULL) == got && filch_io_backend(runtime, &reason) == got);
        fprintf(stderr, "FILCH_IO=%s, %u: %s\n", said, wanted, reason);
        must(reason && strstr(reason, why));
        must(filch_call(runtime, exchange, NULL) == 0 && filch_stop(runtime, FILCH_NEVER) == 0);
    }
    must((r == 0) == (runtime != NULL) && count_descriptors() == before);
    return r;
}

/* ---- where io_uring is forbidden ---- */

static int choose_without_uring(void)
{
    must(deny(SYS_io_uring_setup, EPERM));
    must(starts(NULL, FILCH_IO_AUTO, FILCH_IO_EPOLL, "io_uring_setup: Operation not permitted") == 0);
    must(starts("", FILCH_IO_AUTO, FILCH_IO_EPOLL, "io_uring_setup") == 0);
    must(starts(NULL, FILCH_IO_EPOLL, FILCH_IO_EPOLL, "as the program asked") == 0);
    must(starts("epoll", FILCH_IO_AUTO, FILCH_IO_EPOLL, "as FILCH_IO says") == 0);
    must(starts("epoll", FILCH_IO_URING, FILCH_IO_EPOLL, "as FILCH_IO says") == 0);
    must(starts("auto", FILCH_IO_URING, FILCH_IO_EPOLL, "io_uring_setup") == 0);
    must(starts(NULL, FILCH_IO_URING, FILCH_IO_URING, "") == -EPERM);
    must(starts("uring", FILCH_IO_AUTO, FILCH_IO_URING, "") == -EPERM);
    must(starts("uring", FILCH_IO_EPOLL, FILCH_IO_URING, "") == -EPERM);
    must(filch_run(NULL, exchange, NULL) == -EPERM); /* the environment still says so */
    return 0;
}

Test(backend, where_io_uring_is_forbidden_it_is_epoll_unless_io_uring_was_asked_for)
{
    must(in_child(choose_without_uring) == 0);
}

static int choose_without_enter(void)
{
    must(deny(SYS_io_uring_enter, EPERM));
    must(starts(NULL, FILCH_IO_AUTO, FILCH_IO_EPOLL, "io_uring_") ==
         0); /* which of its calls is that: it may be denied as a whole already */
    return starts(NULL, FILCH_IO_URING, FILCH_IO_URING, "") == -EPERM ? 0 : 1;
}

static int choose_without_register(void)
{
    must(deny(SYS_io_uring_register, EACCES));
    must(starts(NULL, FILCH_IO_AUTO, FILCH_IO_EPOLL, "io_uring_") == 0);
    return starts(NULL, FILCH_IO_URING, FILCH_IO_URING, "") < 0 ? 0 : 1;
}

static int choose_on_an_old_kernel(void)
{
    must(deny(SYS_io_uring_setup, ENOSYS));
    must(starts(NULL, FILCH_IO_AUTO, FILCH_IO_EPOLL, "io_uring_setup: Function not implemented") == 0);
    return starts(NULL, FILCH_IO_URING, FILCH_IO_URING, "") == -ENOSYS ? 0 : 1;
}

Test(backend, one_call_of_the_three_that_is_forbidden_is_enough)
{
    must(in_child(choose_without_enter) == 0);
    must(in_child(choose_without_register) == 0);
    must(in_child(choose_on_an_old_kernel) == 0);
}

/* ---- anywhere ---- */

static int choose_nonsense(void)
{
    static const char *const nonsense[] = {"nonsense", "URING", "uring ", "1"};
    for (size_t i = 0; i < LENGTH(nonsense); i++)
        for (filch_io wanted = FILCH_IO_AUTO; wanted <= FILCH_IO_EPOLL; wanted++)
            must(starts(nonsense[i], wanted, wanted, "") == -EINVAL);
    must(starts(NULL, FILCH_IO_EPOLL + 1, 0, "") == -EINVAL && starts(NULL, (filch_io)-1, 0, "") == -EINVAL);
    return 0;
}

Test(backend, nonsense_is_EINVAL)
{
    must(in_child(choose_nonsense) == 0);
}

static int choose_with_uring(void)
{
    if (starts(NULL, FILCH_IO_AUTO, FILCH_IO_URING, "io_uring, ") != 0)
        return 1;
    must(starts(NULL, FILCH_IO_URING, FILCH_IO_URING, "as the program asked") == 0);
    must(starts("uring", FILCH_IO_EPOLL, FILCH_IO_URING, "as FILCH_IO says") == 0);
    must(starts("auto", FILCH_IO_EPOLL, FILCH_IO_URING, "io_uring, ") == 0);
    must(starts(NULL, FILCH_IO_EPOLL, FILCH_IO_EPOLL, "as the program asked") == 0);
    must(starts("epoll", FILCH_IO_URING, FILCH_IO_EPOLL, "as FILCH_IO says") == 0);
    return 0;
}

/* Whether the kernel lets this process use io_uring, asked without the library. */
static bool has_uring(void)
{
    return syscall(SYS_io_uring_setup, 0, NULL) < 0 && errno != EPERM && errno != ENOSYS;
}

Test(backend, where_io_uring_is_allowed_it_is_used_unless_epoll_was_asked_for)
{
    if (has_uring())
        must(in_child(choose_with_uring) == 0);
    else
        cr_log_info("io_uring is forbidden here");
}

Test(backend, the_launcher_has_denied_it)
{
    if (!getenv("API_DENIED"))
        return;
    filch_runtime *runtime;
    must(!has_uring());
    must(filch_start(NULL, &runtime) == 0 && filch_io_backend(runtime, NULL) == FILCH_IO_EPOLL);
    must(filch_stop(runtime, FILCH_NEVER) == 0);
}
