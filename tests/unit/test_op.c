/* SPDX-License-Identifier: MIT */
/* The laws of io/op: an operation that is interrupted though nobody cancelled it goes on, and its caller notices nothing.
 *
 * The kernel cancels what a thread has submitted when that thread exits, and a request to cancel may find a later operation at the same address. Here the test asks
 * the kernel itself. What is not tested here: cancels that are meant, which is tests/api/test_cancel.c. */
#include "io/op.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <filch/io.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static filch_runtime *runtime;
static struct sockaddr_in address = {.sin_family = AF_INET};
static _Atomic(struct fl_task *) caller;
static _Atomic(bool) over;
static int result;

static void init(void)
{
    cr_assert_eq(filch_start(&(filch_config){.workers = 2}, &runtime), 0);
}

static void fini(void)
{
    cr_assert_eq(filch_stop(runtime, FILCH_NEVER), 0);
}

TestSuite(op, .init = init, .fini = fini, .timeout = 20);

/* Submits `fn`, and interrupts whatever it is parked in, `times` times. */
static void interrupt(filch_fn *fn, void *arg, int times)
{
    cr_assert_eq(filch_submit(runtime, fn, arg), 0);
    for (int i = 0; i < times && !load_acquire(&over); i++) { /* [over] pairs with finish */
        usleep(5000);
        struct fl_task *task = load_acquire(&caller);           /* [over] its caller */
        uint64_t waits = task ? load_acquire(&task->waits) : 0; /* [waits] */
        if (waits)
            fl_op_cancel(task, waits);
    }
}

static void finish(int r)
{
    result = r;
    store_release(&over, true); /* [over] pairs with await */
}

static void await(void)
{
    while (!load_acquire(&over)) /* [over] pairs with finish */
        usleep(1000);
}

static int connect_to(void *arg)
{
    store_release(&caller, fl_current()); /* [over] */
    finish(filch_connect(*(int *)arg, (struct sockaddr *)&address, sizeof address));
    return 0;
}

Test(op, a_connect_that_is_interrupted_connects)
{
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), fd = socket(AF_INET, SOCK_STREAM, 0), fillers[4];
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 0) == 0);
    cr_assert(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    for (int i = 0; i < 4; i++) { /* until the listener's queue is full, and whoever comes next waits */
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fillers[i], (struct sockaddr *)&address, sizeof address);
    }
    interrupt(connect_to, &fd, 20);
    cr_assert(!load_acquire(&over), "it did not wait: %d", result); /* [over] pairs with finish */
    for (int i = 0; i < 4; i++) /* no competition for the place that is free soon; the kernel asks again after a second or three */
        close(fillers[i]);
    while (!load_acquire(&over)) { /* [over] pairs with finish */
        int accepted = accept(listener, NULL, NULL);
        if (accepted >= 0)
            close(accepted);
        usleep(1000);
    }
    await();
    cr_assert_eq(result, 0);
    close(fd);
    close(listener);
}

static int receive(void *arg)
{
    char byte;
    store_release(&caller, fl_current()); /* [over] */
    finish((int)filch_recv(*(int *)arg, &byte, 1, 0));
    return 0;
}

Test(op, a_receive_that_is_interrupted_receives)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    interrupt(receive, &ends[0], 20);
    cr_assert(!load_acquire(&over)); /* [over] pairs with finish */
    cr_assert_eq(write(ends[1], "x", 1), 1);
    await();
    cr_assert_eq(result, 1);
    close(ends[0]);
    close(ends[1]);
}
