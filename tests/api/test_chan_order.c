/* SPDX-License-Identifier: MIT */
/* The laws that the Go language and its memory model state for channels, one by one, as far as they apply: a channel that isn't there, and panics, aside (sending on a
 * closed channel returns -EPIPE, closing one again does nothing).
 *
 * "Sees" is tested on plain memory, which a build with ThreadSanitizer watches in stress_wait and stress_select. What is not tested here: test_chan.c has the order
 * of many values, cancels and sizes. */
#include "api.h"

FILCH_CHAN_OF(ints, int);

struct pair {
    ints *chan, *back;
    int plain;
    atomic_int turn, order[32];
};

static struct pair new_pair(size_t capacity)
{
    struct pair pair = {0};
    must(ints_new(capacity, &pair.chan) == 0 && ints_new(0, &pair.back) == 0);
    return pair;
}

static void free_pair(struct pair *pair)
{
    ints_free(pair->chan), ints_free(pair->back);
}

/* Runs `body` with channels of `capacity`, in every way. */
static void in_every_way(filch_fn *body, size_t capacity)
{
    FOR_EACH_CONFIG(config, every_config)
    for (int i = 0; i < 20; i++) {
        struct pair pair = new_pair(capacity);
        must(filch_run(config, body, &pair) == 0);
        free_pair(&pair);
    }
}

static int with(struct pair *pair, filch_fn *a, filch_fn *b)
{
    FILCH_SCOPE(s);
    must(filch_spawn(&s, a, pair) == 0 && filch_spawn(&s, b, pair) == 0);
    return filch_join(&s);
}

/* ---- what happens before what ---- */

static int write_and_send(void *arg)
{
    struct pair *pair = arg;
    pair->plain = 42;
    return ints_send(pair->chan, 1);
}

static int receive_and_read(void *arg)
{
    struct pair *pair = arg;
    int value;
    must(ints_recv(pair->chan, &value) == 0 && value == 1 && pair->plain == 42);
    return 0;
}

static int send_before_receive(void *arg)
{
    return with(arg, receive_and_read, write_and_send);
}

Test(order, a_send_comes_before_the_end_of_its_receive)
{
    in_every_way(send_before_receive, 0);
    in_every_way(send_before_receive, 5);
    in_every_way(send_before_receive, FILCH_UNBOUNDED);
}

static int write_and_receive(void *arg)
{
    struct pair *pair = arg;
    int value;
    pair->plain = 43;
    return ints_recv(pair->chan, &value);
}

static int send_and_read(void *arg)
{
    struct pair *pair = arg;
    must(ints_send(pair->chan, 1) == 0 && pair->plain == 43);
    return 0;
}

static int receive_before_send(void *arg)
{
    return with(arg, write_and_receive, send_and_read);
}

Test(order, without_room_a_receive_comes_before_the_end_of_its_send)
{
    in_every_way(receive_before_send, 0);
}

enum { ROOM = 3 };

/* After k + ROOM sends have ended, k receives have begun. */
static int send_ahead(void *arg)
{
    struct pair *pair = arg;
    for (int i = 0; i < 20; i++) {
        must(ints_send(pair->chan, i) == 0);
        must(i < ROOM || atomic_load(&pair->order[i - ROOM]));
    }
    return 0;
}

static int receive_behind(void *arg)
{
    struct pair *pair = arg;
    for (int i = 0, value; i < 20; i++) {
        atomic_store(&pair->order[i], 1);
        must(ints_recv(pair->chan, &value) == 0 && value == i);
    }
    return 0;
}

static int receive_before_a_later_send(void *arg)
{
    return with(arg, receive_behind, send_ahead);
}

Test(order, a_receive_comes_before_the_end_of_the_send_that_takes_its_room)
{
    in_every_way(receive_before_a_later_send, ROOM);
}

static int write_and_close(void *arg)
{
    struct pair *pair = arg;
    pair->plain = 44;
    ints_close(pair->chan);
    return 0;
}

static int receive_until_closed(void *arg)
{
    struct pair *pair = arg;
    int value;
    must(ints_recv(pair->chan, &value) == -EPIPE && pair->plain == 44);
    return 0;
}

static int close_before_receive(void *arg)
{
    return with(arg, receive_until_closed, write_and_close);
}

Test(order, closing_comes_before_a_receive_that_notices_it)
{
    in_every_way(close_before_receive, 0);
    in_every_way(close_before_receive, 5);
}

/* ---- who goes first ---- */

static int stand_to_receive(void *arg)
{
    struct pair *pair = arg;
    int me = atomic_fetch_add(&pair->turn, 1), value;
    must(ints_recv(pair->chan, &value) == 0);
    atomic_store(&pair->order[value], me);
    return 0;
}

static int receivers_in_line(void *arg)
{
    struct pair *pair = arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 10; i++) {
        must(filch_spawn(&s, stand_to_receive, pair) == 0);
        filch_sleep(FILCH_USEC(500)); /* until it stands there */
    }
    for (int i = 0; i < 10; i++)
        must(ints_send(pair->chan, i) == 0);
    must(filch_join(&s) == 0);
    for (int i = 0; i < 10; i++)
        must(atomic_load(&pair->order[i]) == i);
    return 0;
}

static int stand_to_send(void *arg)
{
    struct pair *pair = arg;
    return ints_send(pair->chan, atomic_fetch_add(&pair->turn, 1));
}

static int senders_in_line(void *arg)
{
    struct pair *pair = arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 10; i++) {
        must(filch_spawn(&s, stand_to_send, pair) == 0);
        filch_sleep(FILCH_USEC(500));
    }
    for (int i = 0, value; i < 10; i++)
        must(ints_recv(pair->chan, &value) == 0 && value == i);
    return filch_join(&s);
}

Test(order, who_has_waited_longest_goes_first)
{
    filch_fn *const lines[] = {receivers_in_line, senders_in_line};
    for (size_t i = 0; i < LENGTH(lines); i++) {
        struct pair pair = new_pair(0);
        must(filch_run(&(filch_config){.workers = 1}, lines[i], &pair) == 0);
        free_pair(&pair);
    }
}

/* ---- closing ---- */

static int close_with_values(void *arg)
{
    struct pair *pair = arg;
    int value;
    must(ints_send(pair->chan, 1) == 0 && ints_send(pair->chan, 2) == 0);
    ints_close(pair->chan);
    ints_close(pair->chan); /* also again, and from whichever side */
    must(ints_length(pair->chan) == 2);
    must(ints_send(pair->chan, 3) == -EPIPE && ints_try_send(pair->chan, 3) == -EPIPE);
    must(ints_recv(pair->chan, &value) == 0 && value == 1 && ints_try_recv(pair->chan, &value) == 0 && value == 2);
    for (int i = 0; i < 3; i++) /* for ever after */
        must(ints_recv(pair->chan, &value) == -EPIPE && ints_try_recv(pair->chan, &value) == -EPIPE);
    return 0;
}

Test(order, what_is_in_a_closed_channel_can_be_received_and_nothing_more_sent)
{
    in_every_way(close_with_values, 2);
    in_every_way(close_with_values, FILCH_UNBOUNDED);
}

/* ---- without waiting ---- */

static int receive_slowly(void *arg)
{
    struct pair *pair = arg;
    int value;
    must(ints_recv(pair->chan, &value) == 0);
    return 0;
}

static int tries(void *arg)
{
    struct pair *pair = arg;
    int value;
    must(ints_try_recv(pair->chan, &value) == -EAGAIN && ints_try_send(pair->chan, 1) == -EAGAIN && ints_length(pair->chan) == 0);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, receive_slowly, pair) == 0);
    while (ints_try_send(pair->chan, 2) == -EAGAIN) /* until somebody is there to take it */
        filch_sleep(FILCH_USEC(200));
    must(ints_try_send(pair->chan, 3) == -EAGAIN);
    return filch_join(&s);
}

Test(order, without_room_a_send_that_does_not_wait_needs_a_receiver)
{
    in_every_way(tries, 0);
}

static int fill(void *arg)
{
    struct pair *pair = arg;
    int value;
    for (int i = 0; i < ROOM; i++)
        must(ints_length(pair->chan) == (size_t)i && ints_try_send(pair->chan, i) == 0);
    must(ints_try_send(pair->chan, 9) == -EAGAIN && ints_length(pair->chan) == ROOM);
    must(ints_try_recv(pair->chan, &value) == 0 && value == 0 && ints_try_send(pair->chan, 3) == 0);
    return 0;
}

Test(order, with_room_it_does_not_until_that_is_full)
{
    in_every_way(fill, ROOM);
}
