/* SPDX-License-Identifier: MIT */
/* Other programs: starting one, waiting for one, waiting for a word that one changes.
 *
 * A helper starts it, not the worker: posix_spawn(3) blocks until the child has called execve(2), and the child inherits the caller's CPU mask and signal mask. A worker
 * is pinned and blocks all signals. */
#include "io/op.h"

#include <filch/io.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

/* The ring takes the mode of such a descriptor for a wish not to wait, and says nothing of it. */
static bool is_non_blocking(idtype_t type, id_t id)
{
    int flags = type == P_PIDFD ? fcntl((int)id, F_GETFL) : 0;
    return flags > 0 && flags & O_NONBLOCK;
}

int filch_waitid(idtype_t type, id_t id, siginfo_t *ret_info, int options)
{
    struct io_uring_sqe sqe;
    fl_request_prep(&sqe, FL_REQUEST_WAITID, (int)id, NULL, (uint64_t)(uintptr_t)ret_info, type);
    sqe.file_index = (uint32_t)options;
    struct fl_task *task = fl_current();
    int r = task ? fl_scope_cancelled(task) : -EAGAIN;
    if (r == 0)
        r = fl_request_try(&sqe);
    if (r != -EAGAIN)
        return r;
    return task && is_non_blocking(type, id) ? fl_standin_run(task, &sqe, true) : fl_op_run(task, &sqe, true);
}

int filch_futex_wait(const volatile void *word, uint32_t expected, bool shared)
{
    struct io_uring_sqe sqe;
    fl_request_prep(&sqe, FL_REQUEST_FUTEX_WAIT, FL_FUTEX_U32 | (shared ? 0 : FL_FUTEX_PRIVATE), (const void *)(uintptr_t)word, expected,
                    0);
    sqe.addr3 = UINT32_MAX; /* any waker's mask */
    return fl_op_run(fl_current(), &sqe, true);
}

/* ---- starting ---- */

struct start {
    pid_t pid;
    const char *file;
    char *const *argv, *const *envp;
    const int *fds;
};

/* Free ones of this process, by way of which they go, because one may stand in the place of another, and no other number is to be lost. */
static int reserve(const int fds[3], int ret_free[3])
{
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0 && (ret_free[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3)) < 0)
            return errno;
    return 0;
}

static void give_back(const int reserved[3])
{
    for (int i = 0; i < 3; i++)
        if (reserved[i] >= 0)
            close(reserved[i]);
}

static int place(posix_spawn_file_actions_t *actions, const int fds[3])
{
    int r = 0;
    for (int i = 0; i < 3 && r == 0; i++)
        if (fds[i] >= 0)
            r = posix_spawn_file_actions_adddup2(actions, fds[i], i);
    return r;
}

static int from_a_shell(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int r = posix_spawnattr_setsigmask(attr, &none);
    if (r == 0)
        r = posix_spawnattr_setsigdefault(attr, &all);
    return r ? r : posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int start(void *arg)
{
    struct start *it = arg;
    int reserved[3] = {-1, -1, -1};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int r = posix_spawn_file_actions_init(&actions);
    if (r)
        return -r;
    r = posix_spawnattr_init(&attr);
    if (r == 0) {
        r = from_a_shell(&attr);
        if (r == 0 && it->fds)
            r = reserve(it->fds, reserved);
        if (r == 0)
            r = place(&actions, reserved);
        if (r == 0)
            r = posix_spawnp(&it->pid, it->file, &actions, &attr, it->argv, it->envp);
        give_back(reserved);
        posix_spawnattr_destroy(&attr);
    }
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

int filch_posix_spawnp(pid_t *ret_pid, const char *file, char *const argv[], char *const envp[], const int fds[3])
{
    struct start it = {.file = file, .argv = argv, .envp = envp ? envp : environ, .fds = fds};
    struct io_uring_sqe sqe;
    fl_request_prep(&sqe, FL_REQUEST_CALL, -1, (const void *)(uintptr_t)start, (uint64_t)(uintptr_t)&it, 0);
    int r = fl_op_run(fl_current(), &sqe, true);
    if (r == 0)
        *ret_pid = it.pid;
    return r;
}
