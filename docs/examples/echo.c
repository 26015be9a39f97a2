/* SPDX-License-Identifier: MIT */
/* echo: sends everybody back what they send (RFC 862).
 *
 * The smallest server there is: a task a connection, written as if it were alone. The idle limit is a scope around one turn, receive and send back. It
 * holds for both: who sends nothing, and who doesn't read what comes back, is let go.
 *
 * What is ready is received and sent without parking, so a client that is never done would have a worker to itself: now and then the others go first. */
#include "common.h"

#define IN_A_ROW 64

static long idle = 60;

static int echo(int fd)
{
    char bytes[8192]; /* half of what a task may count on */
    ssize_t n;
    int r = 0;
    unsigned turns = 0;
    do {
        if (++turns % IN_A_ROW == 0)
            filch_yield();
        FILCH_SCOPE_UNTIL(patience, filch_after(FILCH_SEC(idle)));
        n = filch_recv(fd, bytes, sizeof bytes, 0);
        if (n > 0)
            r = filch_send_all(fd, bytes, (size_t)n, 0, NULL);
    } while (n > 0 && r == 0);
    return r ? r : (int)n;
}

static const char help[] = "Usage: echo [OPTION]...\n"
                           "Sends everybody who connects by TCP back what they send.\n\n" SERVER_HELP
                           "  --idle SECONDS    close a connection that is silent for so long; default: 60\n";

int main(int argc, char **argv)
{
    const struct setting settings[] = {SERVER_SETTINGS, {.name = "idle", .number = &idle, .least = 1, .most = 1000000}};
    take_options(argc, argv, settings, sizeof settings / sizeof *settings, help, 0, 0);
    return serve(echo, 1);
}
