/* SPDX-License-Identifier: MIT */
/* The laws of channels: values come in the order they were sent, once; a rendezvous is one; close lets out what is in and nothing more; a wait that is cut
 * short neither sends nor receives.
 *
 * What is not tested here: many senders and receivers under random cancels, which is stress_wait. */
#include "api.h"

FILCH_CHAN_OF(ints, int);

enum { MANY = 2000 };

struct line {
    ints *chan;
    atomic_int sent;
};

static int send_all(void *arg)
{
    struct line *line = arg;
    for (int i = 0; i < MANY; i++) {
        must(ints_send(line->chan, i) == 0);
        atomic_store(&line->sent, i + 1);
    }
    ints_close(line->chan);
    return 0;
}

static int recv_all(void *arg)
{
    struct line *line = arg;
    int value, next = 0;
    while (ints_recv(line->chan, &value) == 0)
        must(value == next++);
    must(next == MANY && ints_recv(line->chan, &value) == -EPIPE && ints_try_recv(line->chan, &value) == -EPIPE);
    return 0;
}

static int both(void *arg)
{
    FILCH_SCOPE(s);
    must(filch_spawn(&s, recv_all, arg) == 0);
    must(filch_spawn(&s, send_all, arg) == 0);
    return filch_join(&s);
}

static void *thread_sends(void *arg)
{
    send_all(arg);
    return NULL;
}

static const size_t capacities[] = {0, 1, 3, 256, FILCH_UNBOUNDED};

Test(chan, values_come_in_order_and_once)
{
    FOR_EACH_CONFIG(config, every_config)
    for (size_t i = 0; i < LENGTH(capacities); i++) {
        struct line line = {0};
        must(ints_new(capacities[i], &line.chan) == 0);
        must(filch_run(config, both, &line) == 0);
        ints_free(line.chan);
        must(ints_new(capacities[i], &line.chan) == 0); /* from a plain thread to a task */
        pthread_t thread = thread_start(thread_sends, &line);
        must(filch_run(config, recv_all, &line) == 0);
        thread_join(thread);
        ints_free(line.chan);
    }
}

static int send_to_nobody(void *arg)
{
    struct line *line = arg;
    FILCH_SCOPE_UNTIL(s, filch_after(FILCH_MSEC(2)));
    for (int i = 0;; i++) {
        int r = ints_send(line->chan, i);
        if (r == -ETIMEDOUT)
            return 0;
        must(r == 0);
        atomic_store(&line->sent, i + 1);
    }
}

static int receive_what_is_in(void *arg)
{
    struct line *line = arg;
    int value, got = 0;
    must(send_to_nobody(line) == 0);
    must(ints_length(line->chan) == (size_t)atomic_load(&line->sent) && ints_try_send(line->chan, 1) == -EAGAIN);
    ints_close(line->chan);
    ints_close(line->chan);
    must(ints_send(line->chan, 1) == -EPIPE && ints_try_send(line->chan, 1) == -EPIPE);
    while (ints_recv(line->chan, &value) == 0)
        must(value == got++);
    must(got == atomic_load(&line->sent)); /* the send that was cut short sent nothing */
    return 0;
}

Test(chan, a_full_one_makes_senders_wait_and_a_closed_one_lets_out_what_is_in)
{
    FOR_EACH_CONFIG(config, every_config)
    for (size_t i = 0; i < 4; i++) {
        struct line line = {0};
        must(ints_new(capacities[i], &line.chan) == 0);
        must(filch_run(config, receive_what_is_in, &line) == 0);
        must((size_t)atomic_load(&line.sent) == capacities[i]);
        ints_free(line.chan);
    }
}

static int send_third(void *arg)
{
    struct line *line = arg;
    atomic_store(&line->sent, 1);
    must(ints_send(line->chan, 3) == 0);
    return 0;
}

static int room_is_for_who_waits(void *arg)
{
    struct line *line = arg;
    int value;
    FILCH_SCOPE(s);
    must(ints_send(line->chan, 1) == 0 && ints_send(line->chan, 2) == 0);
    must(filch_spawn(&s, send_third, line) == 0);
    while (!atomic_load(&line->sent))
        filch_yield(); /* the only worker comes back here once that one waits */
    for (int i = 1; i <= 3; i++) {
        must(ints_try_recv(line->chan, &value) == 0 && value == i);
        must(ints_try_send(line->chan, 3 + i) == (i == 1 ? -EAGAIN : 0)); /* the room was the third's, before anybody came */
    }
    must(filch_join(&s) == 0);
    for (int i = 5; i <= 6; i++)
        must(ints_try_recv(line->chan, &value) == 0 && value == i);
    must(ints_try_recv(line->chan, &value) == -EAGAIN && ints_length(line->chan) == 0);
    return 0;
}

Test(chan, room_is_for_who_waits_before_who_comes)
{
    struct line line = {0};
    must(ints_new(2, &line.chan) == 0);
    must(filch_run(&(filch_config){.workers = 1, .relief = FILCH_RELIEF_NONE}, room_is_for_who_waits, &line) == 0);
    ints_free(line.chan);
}

static int wait_in_vain(void *arg)
{
    struct line *line = arg;
    int value = 7, r = ints_recv(line->chan, &value);
    atomic_fetch_add(&line->sent, 1);
    return r == -EPIPE ? 0 : -EINVAL;
}

static int send_in_vain(void *arg)
{
    struct line *line = arg;
    int r = ints_send(line->chan, 1);
    atomic_fetch_add(&line->sent, 1);
    return r == -EPIPE ? 0 : -EINVAL;
}

static int close_over(void *arg)
{
    filch_fn *fn = *(filch_fn **)arg;
    struct line line = {0};
    must(ints_new(0, &line.chan) == 0);
    FILCH_SCOPE(s);
    for (int i = 0; i < 10; i++)
        must(filch_spawn(&s, fn, &line) == 0);
    filch_sleep(FILCH_MSEC(1));
    ints_close(line.chan);
    must(filch_join(&s) == 0 && atomic_load(&line.sent) == 10);
    ints_free(line.chan);
    return 0;
}

Test(chan, closing_wakes_all_that_wait_on_either_side)
{
    filch_fn *sides[] = {wait_in_vain, send_in_vain};
    FOR_EACH_CONFIG(config, every_config)
    for (size_t i = 0; i < LENGTH(sides); i++)
        must(filch_run(config, close_over, &sides[i]) == 0);
}

static int nobody_is_there(void *arg)
{
    struct line *line = arg;
    int value;
    must(ints_try_send(line->chan, 1) == -EAGAIN && ints_try_recv(line->chan, &value) == -EAGAIN);
    FILCH_SCOPE(s);
    must(filch_spawn(&s, send_all, line) == 0);
    filch_sleep(FILCH_MSEC(1));
    must(atomic_load(&line->sent) == 0);                 /* nobody has received */
    while (ints_try_recv(line->chan, &value) == -EAGAIN) /* until the sender stands there */
        filch_yield();
    must(value == 0);
    for (int i = 1; i < MANY; i++)
        must(ints_recv(line->chan, &value) == 0 && value == i && atomic_load(&line->sent) >= i - 1);
    return filch_join(&s);
}

Test(chan, a_rendezvous_ends_for_both_at_once)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct line line = {0};
        must(ints_new(0, &line.chan) == 0);
        must(filch_run(config, nobody_is_there, &line) == 0);
        ints_free(line.chan);
    }
}

struct large {
    char bytes[1000];
};
FILCH_CHAN_OF(larges, struct large);

Test(chan, values_of_any_size_and_sizes_that_cannot_be)
{
    filch_chan *chan;
    must(filch_chan_new(0, 1, &chan) == -EINVAL && filch_chan_new(65537, 1, &chan) == -EINVAL);
    must(filch_chan_new(8, SIZE_MAX - 1, &chan) == -ENOMEM);
    filch_chan_free(NULL);
    larges *l;
    struct large in = {{0}}, out;
    must(larges_new(FILCH_UNBOUNDED, &l) == 0);
    for (int i = 0; i < 300; i++) {
        memset(in.bytes, i, sizeof in.bytes);
        must(larges_send(l, in) == 0); /* a plain thread may */
    }
    for (int i = 0; i < 300; i++)
        must(larges_recv(l, &out) == 0 && out.bytes[0] == (char)i && out.bytes[999] == (char)i);
    larges_free(l);
}
