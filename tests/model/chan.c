/* SPDX-License-Identifier: MIT */
/* runtime/sync/chan.c and runtime/sync/waitq.h: a value that was sent is received once, in the order of the sends, and whoever receives it sees what its
 * sender did before; one that was not sent is not received; nobody waits for ever; whoever has received may free the channel, if nobody else is to use it.
 *
 * A value says who sent it: at gift[value] the sender left something plain. Who waits for ever, and what cancel() does: waits.h. Everything goes by
 * the public functions.
 *
 * Scenarios
 *   1  a rendezvous of two threads
 *   2  a rendezvous of two tasks
 *   3  room for one, two senders, one receiver
 *   4  room for one, a sender sends three
 *   5  the receiver is cancelled while a sender hands over
 *   6  the sender is cancelled while a receiver takes its value
 *   7  the same where there is room for one, which is full: the value goes to the ring or nowhere
 *   8  two receivers wait, one of them is cancelled: the value is the other's
 *   9  closing while a receiver waits
 *   10 closing while a sender waits
 *   11 closing while a receiver waits, who is cancelled too
 *   12 closing while a sender waits, who is cancelled too
 *   13 a rendezvous, after which the receiver frees the channel
 *   14 room for one; who has received frees the channel
 *   15 the receiver finds no memory for a stack while a sender hands over
 *   16 5 again: what is done from the next stack may go on for longer than the wait
 *   17 6 again, likewise
 *   18 5 again, where there is room: the value goes to the receiver or to the ring
 *   19 8 again, likewise
 *   20 9 again, likewise: what was sent before is received
 *   21 10 again, where there is room, which is full
 *   22 11 again, where there is room
 *   23 12 again, where there is room, which is full
 *   24 no bound, and room for one: it grows while a receiver is at it */
#define NO_STACK (SCENARIO == 15)
#define NEXT_STACK (SCENARIO == 16 || SCENARIO == 17)
#include "waits.h"

#include <filch/chan.h>

/* A line would be so many bytes more to be written. */
#undef FL_APART
#define FL_APART(name)
/* A value is an int. */
#undef memcpy
#define memcpy(to, from, size) copy_value((to), (from), (size))
static inline void copy_value(void *to, const void *from, size_t size)
{
    assert(size == sizeof(int));
    *(int *)to = *(const int *)from;
}

#define UNBOUNDED_FIRST 1
#include "sync/chan.c"

/* What the compiler calls for a structure that is assigned: a new channel. The checker takes that apart only where it sees the type: of an array's element. */
#undef memcpy
void *memcpy(void *to, const void *from, size_t size)
{
    static volatile size_t first;
    assert(size == sizeof(filch_chan));
    ((filch_chan *)to)[first] = ((const filch_chan *)from)[first];
    return to;
}

#define VALUES 4

static filch_chan *chan;
static int gift[VALUES]; /* plain */
static struct once received[VALUES];
static bool spared;       /* plain: a receiver was not cancelled */
static bool sent[VALUES]; /* plain: the sender's, for whoever has joined it */

static int send(int value)
{
    gift[value] = value + 1;
    int r = filch_chan_send(chan, &value);
    sent[value] = r == 0;
    return r;
}

static void took(int value)
{
    assert(0 <= value && value < VALUES);
    once(&received[value]);
    assert(gift[value] == value + 1);
}

/* @return the value, or the error */
static int receive(void)
{
    int value = -1, r = filch_chan_recv(chan, &value);
    if (r != 0)
        return r;
    took(value);
    return value;
}

/* When all have ended: what is left is taken, and what was sent was received. */
static void settle(void)
{
    int value = -1;
    while (filch_chan_try_recv(chan, &value) == 0)
        took(value);
    assert(filch_chan_length(chan) == 0);
    for (int i = 0; i < VALUES; i++)
        assert(happened(&received[i]) == sent[i]);
    filch_chan_free(chan);
}

static void *sender(void *arg)
{
    int r = send((int)(intptr_t)arg);
    assert(r == 0);
    return NULL;
}

static void *receiver(void *arg)
{
    (void)arg;
    int r = receive();
    assert(r >= 0);
    return NULL;
}

static void *canceller(void *arg)
{
    (void)arg;
    cancel();
    return NULL;
}

static void *closer(void *arg)
{
    (void)arg;
    filch_chan_close(chan);
    return NULL;
}

static void *task_sender(void *arg)
{
    begin_task();
    sender(arg);
    end_task();
    return NULL;
}

static void *victim_receiver(void *arg)
{
    (void)arg;
    begin_victim();
    int r = receive();
    end_victim();
    spared = r >= 0;
    assert(r >= 0 || r == (NO_STACK ? -ENOMEM : -ECANCELED) || ((SCENARIO == 11 || SCENARIO == 22) && r == -EPIPE));
    return NULL;
}

static void *victim_sender(void *arg)
{
    begin_victim();
    int r = send((int)(intptr_t)arg);
    end_victim();
    assert(r == 0 || r == -ECANCELED || ((SCENARIO == 12 || SCENARIO == 23) && r == -EPIPE));
    return NULL;
}

/* Hands over if somebody waits, and can be sure of that. */
static void try_send(int value)
{
    gift[value] = value + 1;
    int r = filch_chan_try_send(chan, &value);
    assert(r == 0 || r == -EAGAIN);
    sent[value] = r == 0;
}

static void try_receive(void)
{
    int value = -1, r = filch_chan_try_recv(chan, &value);
    assert(r == 0 || r == -EAGAIN);
    if (r == 0)
        took(value);
}

static void *receive_or_closed(void *arg)
{
    (void)arg;
    int r = receive();
    assert(r >= 0 || r == -EPIPE);
    return NULL;
}

static void *send_or_closed(void *arg)
{
    int r = send((int)(intptr_t)arg);
    assert(r == 0 || r == -EPIPE);
    return NULL;
}

static void *in_order(void *arg)
{
    (void)arg;
    int r = receive();
    assert(r == 0);
    r = receive();
    assert(r == 1);
    return NULL;
}

static void *receives_and_frees(void *arg)
{
    receiver(arg);
    filch_chan_free(chan);
    return NULL;
}

#define WITH_ROOM (SCENARIO == 3 || SCENARIO == 4 || SCENARIO == 7 || SCENARIO == 14 || SCENARIO >= 18)
#define FULL (SCENARIO == 7 || SCENARIO == 21 || SCENARIO == 23)

int main(void)
{
    int r = filch_chan_new(sizeof(int), SCENARIO == 24 ? FILCH_UNBOUNDED : WITH_ROOM, &chan);
    assert(r == 0);
    if (FULL)
        sender((void *)2);
#if SCENARIO == 1
    pthread_t a = start(sender, (void *)0);
    receiver(NULL);
    join(a);
#elif SCENARIO == 2
    pthread_t a = start(task_sender, (void *)0);
    begin_task();
    receiver(NULL);
    end_task();
    join(a);
#elif SCENARIO == 3
    pthread_t a = start(sender, (void *)0), b = start(sender, (void *)1);
    receiver(NULL);
    receiver(NULL);
    join(a);
    join(b);
#elif SCENARIO == 4 || SCENARIO == 24
    pthread_t a = start(in_order, NULL);
    sender((void *)0);
    sender((void *)1);
    sender((void *)2);
    join(a);
#elif SCENARIO == 5 || SCENARIO == 16 || SCENARIO == 18
    pthread_t a = start(victim_receiver, NULL), b = start(canceller, NULL);
    try_send(0);
    join(a);
    join(b);
#elif SCENARIO == 6 || SCENARIO == 17
    pthread_t a = start(victim_sender, (void *)0), b = start(canceller, NULL);
    try_receive();
    join(a);
    join(b);
#elif SCENARIO == 7
    pthread_t a = start(victim_sender, (void *)1), b = start(canceller, NULL);
    r = receive();
    assert(r == 2);
    join(a);
    join(b);
#elif SCENARIO == 8 || SCENARIO == 19
    pthread_t a = start(victim_receiver, NULL), b = start(receiver, NULL);
    cancel();
    sender((void *)0);
    join(a);
    if (spared)
        sender((void *)1);
    join(b);
#elif SCENARIO == 9 || SCENARIO == 20
    pthread_t a = start(receive_or_closed, NULL), b = start(closer, NULL);
    send_or_closed((void *)0);
    join(a);
    join(b);
#elif SCENARIO == 10 || SCENARIO == 21
    pthread_t a = start(send_or_closed, (void *)0);
    closer(NULL);
    join(a);
#elif SCENARIO == 11 || SCENARIO == 22
    pthread_t a = start(victim_receiver, NULL), b = start(canceller, NULL);
    closer(NULL);
    join(a);
    join(b);
#elif SCENARIO == 12 || SCENARIO == 23
    pthread_t a = start(victim_sender, (void *)0), b = start(canceller, NULL);
    closer(NULL);
    join(a);
    join(b);
#elif SCENARIO == 13 || SCENARIO == 14
    pthread_t a = start(sender, (void *)0);
    receives_and_frees(NULL);
    join(a);
    return 0;
#elif SCENARIO == 15
    pthread_t a = start(victim_receiver, NULL);
    try_send(0);
    join(a);
#endif
    settle();
    return 0;
}
