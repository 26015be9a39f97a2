/* SPDX-License-Identifier: MIT */
/* The laws of select: exactly one case happens, and nothing of the others; what is possible at once is drawn by lot; a loser is missed by nobody; each kind of
 * case wakes a task, and a plain thread where that has a meaning. And of the event that resets itself.
 *
 * What is not tested here: selects among themselves under random cancels, which is stress_select. */
#include "api.h"

#include <poll.h>
#include <sys/eventfd.h>

FILCH_CHAN_OF(ints, int);

static ints *new_ints(size_t capacity)
{
    ints *chan;
    must(ints_new(capacity, &chan) == 0);
    return chan;
}

/* ---- at once ---- */

static int at_once(void *arg)
{
    (void)arg;
    ints *empty = new_ints(0), *full = new_ints(1), *closed = new_ints(1);
    int in = 7, out = 0;
    filch_event never = {0}, set = {0};
    filch_sem none = {0}, one = FILCH_SEM(1);
    filch_event_set(&set);
    must(ints_send(full, 1) == 0);
    ints_close(closed);
    filch_case nothing[] = {ints_case_recv(empty, &out), ints_case_send(empty, &in), ints_case_send(full, &in),
                            filch_case_event(&never),    filch_case_sem(&none),      (filch_case){0},
                            filch_case_recv(NULL, &out), filch_case_fd(-1, POLLIN),  filch_case_default()};
    int pair[2];
    must(pipe(pair) == 0);
    nothing[7] = filch_case_fd(pair[0], POLLIN);
    must(filch_select(nothing, LENGTH(nothing)) == 8);
    filch_case some[] = {ints_case_recv(full, &out),      filch_case_event(&set),      filch_case_sem(&one),
                         ints_case_recv(closed, &out),    ints_case_send(closed, &in), filch_case_until(filch_now()),
                         filch_case_fd(pair[1], POLLOUT), filch_case_fd(-1, POLLIN)};
    static const int results[] = {0, 0, 0, -EPIPE, -EPIPE, 0, POLLOUT, POLLNVAL};
    for (size_t i = 0; i < LENGTH(some); i++) {
        nothing[5] = some[i];
        if (i == 7)
            nothing[5] = filch_case_fd(1000000, POLLIN);
        out = 0;
        must(filch_select(nothing, LENGTH(nothing)) == 5 && nothing[5].result == results[i]);
        must(out == (i == 0));
        must(i != 0 || ints_send(full, 1) == 0);
    }
    must(!filch_sem_try(&one) && filch_event_is_set(&set) && ints_length(full) == 1);
    close(pair[0]), close(pair[1]);
    ints_free(empty), ints_free(full), ints_free(closed);
    return 0;
}

static void *thread_at_once(void *arg)
{
    at_once(arg);
    return NULL;
}

Test(select, what_can_happen_at_once_does)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, at_once, NULL) == 0);
    thread_join(thread_start(thread_at_once, NULL));
}

static int odds(void *arg)
{
    enum { CASES = 8, DRAWS = 8000 };
    (void)arg;
    for (unsigned ready = 1; ready < 1u << CASES; ready += 29) { /* several patterns */
        filch_event events[CASES] = {0};
        filch_case cases[CASES];
        int drawn[CASES] = {0};
        for (int i = 0; i < CASES; i++) {
            cases[i] = filch_case_event(&events[i]);
            if (ready >> i & 1)
                filch_event_set(&events[i]);
        }
        for (int i = 0; i < DRAWS; i++)
            drawn[filch_select(cases, CASES)]++;
        int fair = DRAWS / __builtin_popcount(ready);
        for (int i = 0; i < CASES; i++)
            must(ready >> i & 1 ? drawn[i] > fair * 3 / 4 && drawn[i] < fair * 5 / 4 + 1 : drawn[i] == 0);
    }
    return 0;
}

Test(select, several_that_can_happen_have_even_odds)
{
    must(filch_run(NULL, odds, NULL) == 0);
    must(odds(NULL) == 0);
}

/* ---- later ---- */

struct later {
    ints *in, *out, *other;
    filch_event event, automatic;
    filch_sem sem;
    int pipe[2];
    int kind; /* which of the cases is to happen */
    atomic_int waits;
};

enum { RECV, SEND, EVENT, AUTOMATIC, UNIT, READABLE, CLOSE_RECV, CLOSE_SEND, KINDS };

/* Does what makes one case possible, after the select has had time to park. */
static int make_possible(void *arg)
{
    struct later *later = arg;
    int value = 0;
    while (!atomic_load(&later->waits))
        sched_yield();
    usleep(2000);
    switch (later->kind) {
    case RECV:
        return ints_send(later->in, 5);
    case SEND:
        must(ints_recv(later->out, &value) == 0 && value == 6);
        return 0;
    case EVENT:
        filch_event_set(&later->event);
        return 0;
    case AUTOMATIC:
        filch_event_set(&later->automatic);
        return 0;
    case UNIT:
        filch_sem_release(&later->sem);
        return 0;
    case READABLE:
        return write(later->pipe[1], "x", 1) == 1 ? 0 : -errno;
    case CLOSE_RECV:
        ints_close(later->in);
        return 0;
    default:
        ints_close(later->out);
        return 0;
    }
}

static void *thread_makes_possible(void *arg)
{
    must(make_possible(arg) == 0);
    return NULL;
}

static int select_later(void *arg)
{
    struct later *later = arg;
    int value = 0, six = 6;
    filch_case cases[] = {ints_case_recv(later->in, &value),    ints_case_send(later->out, &six),
                          filch_case_event(&later->event),      filch_case_event(&later->automatic),
                          filch_case_sem(&later->sem),          filch_case_fd(later->pipe[0], POLLIN),
                          ints_case_recv(later->other, &value), filch_case_until(filch_after(FILCH_SEC(20)))};
    static const int which[] = {0, 1, 2, 3, 4, 5, 0, 1}, result[] = {0, 0, 0, 0, 0, POLLIN, -EPIPE, -EPIPE};
    atomic_store(&later->waits, 1);
    must(filch_select(cases, LENGTH(cases)) == which[later->kind]);
    must(cases[which[later->kind]].result == result[later->kind]);
    must(value == (later->kind == RECV ? 5 : 0));
    /* nobody misses the others */
    must(ints_try_send(later->other, 1) == -EAGAIN);
    must(later->kind == CLOSE_RECV || ints_try_send(later->in, 1) == -EAGAIN);
    must(later->kind == CLOSE_SEND || ints_try_recv(later->out, &value) == -EAGAIN);
    filch_sem_release(&later->sem);
    must(filch_sem_try(&later->sem) && !filch_sem_try(&later->sem));
    filch_event_set(&later->automatic);
    must(filch_event_wait(&later->automatic) == 0 && !filch_event_is_set(&later->automatic));
    return 0;
}

static struct later new_later(int kind)
{
    struct later later = {.in = new_ints(0), .out = new_ints(0), .other = new_ints(0), .automatic = FILCH_EVENT_AUTO, .kind = kind};
    must(pipe(later.pipe) == 0);
    return later;
}

static void free_later(struct later *later)
{
    ints_free(later->in), ints_free(later->out), ints_free(later->other);
    close(later->pipe[0]), close(later->pipe[1]);
}

Test(select, each_kind_of_case_wakes_a_task)
{
    FOR_EACH_CONFIG(config, every_config)
    for (int kind = 0; kind < KINDS; kind++) {
        struct later later = new_later(kind);
        pthread_t thread = thread_start(thread_makes_possible, &later);
        must(filch_run(config, select_later, &later) == 0);
        thread_join(thread);
        free_later(&later);
    }
}

static void *thread_selects(void *arg)
{
    must(select_later(arg) == 0);
    return NULL;
}

Test(select, each_kind_of_case_wakes_a_plain_thread)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct later later = new_later(kind);
        pthread_t thread = thread_start(thread_selects, &later);
        must(filch_run(NULL, make_possible, &later) == 0);
        thread_join(thread);
        free_later(&later);
    }
}

static int time_comes(void *arg)
{
    filch_event never = {0};
    int pair[2];
    (void)arg;
    must(pipe(pair) == 0);
    for (int with_fd = 0; with_fd < 2; with_fd++) {
        int64_t soon = filch_after(FILCH_MSEC(5));
        filch_case cases[] = {filch_case_event(&never), filch_case_until(filch_after(FILCH_SEC(20))), filch_case_until(soon),
                              with_fd ? filch_case_fd(pair[0], POLLIN) : (filch_case){0}};
        must(filch_select(cases, LENGTH(cases)) == 2 && cases[2].result == 0);
        must(filch_now() >= soon && filch_now() < soon + FILCH_SEC(5));
    }
    close(pair[0]), close(pair[1]);
    return 0;
}

Test(select, time_comes)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, time_comes, NULL) == 0);
    must(time_comes(NULL) == 0);
}

/* ---- its frame ---- */

struct lines {
    ints *chan;
    filch_event event;
    filch_sem sem;
};

static __attribute__((noinline)) int select_in_a_frame(struct lines *lines)
{
    int value;
    filch_case cases[] = {ints_case_recv(lines->chan, &value), filch_case_event(&lines->event), filch_case_sem(&lines->sem),
                          filch_case_until(filch_after(FILCH_MSEC(1)))};
    return filch_select(cases, LENGTH(cases));
}

/* Lies where the cases lay. */
static __attribute__((noinline)) void overwrite(void)
{
    volatile unsigned char frame[2048];
    for (size_t i = 0; i < sizeof frame; i++)
        frame[i] = 0x55;
}

static int forget_frames(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++) {
        struct lines lines = {.chan = new_ints(0)};
        must(select_in_a_frame(&lines) == 3);
        overwrite();
        must(ints_try_send(lines.chan, 1) == -EAGAIN); /* whoever still stood in line would be looked at now */
        filch_event_set(&lines.event);
        filch_sem_release(&lines.sem);
        must(filch_sem_try(&lines.sem));
        ints_free(lines.chan);
    }
    return 0;
}

static void *thread_forgets_frames(void *arg)
{
    forget_frames(arg);
    return NULL;
}

Test(select, nobody_knows_of_a_case_once_it_has_returned)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, forget_frames, NULL) == 0);
    thread_join(thread_start(thread_forgets_frames, NULL));
}

/* ---- scopes ---- */

static int sleep_a_little(void *arg)
{
    return filch_sleep(*(int64_t *)arg);
}

static int fail(void *arg)
{
    (void)arg;
    return -EDOM;
}

static int scope_ends(void *arg)
{
    int64_t little = FILCH_MSEC(3), long_time = FILCH_MSEC(30);
    filch_event event = {0};
    (void)arg;
    FILCH_SCOPE(s);
    filch_case cases[] = {filch_case_event(&event), filch_case_scope(&s), filch_case_until(filch_after(FILCH_MSEC(8)))};
    must(filch_select(cases, 2) == 1); /* nobody in it */
    for (int i = 0; i < 10; i++)
        must(filch_spawn(&s, sleep_a_little, &little) == 0);
    must(filch_select(cases, 2) == 1);
    must(filch_join(&s) == 0);
    must(filch_spawn(&s, sleep_a_little, &long_time) == 0);
    int won = filch_select(cases, 3); /* the time comes first, and the scope can be waited for again */
    must(won == 2);
    must(filch_select(cases, 2) == 1 && filch_join(&s) == 0);
    must(filch_spawn(&s, sleep_a_little, &little) == 0 && filch_spawn(&s, fail, NULL) == 0);
    int r = filch_select(cases, 2); /* the failure cancels the scope, and a select in its block with it */
    must((r == 1 || r == -ECANCELED) && filch_join(&s) == -EDOM);
    return 0;
}

Test(select, a_scope_ends)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, scope_ends, NULL) == 0);
}

static int cut_short(void *arg)
{
    ints *chan = arg;
    int value;
    filch_event event = {0};
    filch_case cases[] = {ints_case_recv(chan, &value), filch_case_event(&event), filch_case_until(FILCH_NEVER)};
    {
        FILCH_SCOPE_UNTIL(s, filch_after(FILCH_MSEC(2)));
        must(filch_select(cases, LENGTH(cases)) == -ETIMEDOUT);
        must(filch_select(cases, LENGTH(cases)) == -ETIMEDOUT);
        must(ints_try_send(chan, 1) == -EAGAIN);
        filch_event_set(&event);
        must(filch_select(cases, LENGTH(cases)) == 1); /* what needs no waiting happens all the same */
        filch_event_reset(&event);
    }
    FILCH_SCOPE(s);
    filch_cancel(&s);
    must(filch_select(cases, LENGTH(cases)) == -ECANCELED);
    must(filch_select(NULL, 0) == -ECANCELED);
    return 0;
}

Test(select, a_cancel_ends_it_and_nothing_has_happened)
{
    ints *chan = new_ints(0);
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, cut_short, chan) == 0);
    ints_free(chan);
}

/* ---- selects among themselves ---- */

struct meeting {
    ints *left, *right;
    int64_t rounds;
    atomic_long next, sent, received, sent_sum, received_sum;
};

/* Sends on either and receives on either, whatever comes; never to itself. */
static int meet(void *arg)
{
    struct meeting *meeting = arg;
    while (atomic_load(&meeting->sent) < meeting->rounds) {
        int in = 0, i = (int)atomic_fetch_add(&meeting->next, 1);
        filch_case cases[] = {ints_case_send(meeting->left, &i), ints_case_recv(meeting->right, &in), ints_case_send(meeting->right, &i),
                              ints_case_recv(meeting->left, &in), filch_case_until(filch_after(FILCH_MSEC(20)))};
        int won = filch_select(cases, LENGTH(cases));
        if (won == 4)
            continue; /* nobody else is left */
        must(won >= 0 && cases[won].result == 0);
        must(won % 2 == 0 || in > 0);
        atomic_fetch_add(won % 2 ? &meeting->received : &meeting->sent, 1);
        atomic_fetch_add(won % 2 ? &meeting->received_sum : &meeting->sent_sum, won % 2 ? in : i);
    }
    return 0;
}

static int meet_all(void *arg)
{
    FILCH_SCOPE(s);
    for (int i = 0; i < 5; i++)
        must(filch_spawn(&s, meet, arg) == 0);
    return filch_join(&s);
}

Test(select, selects_meet_on_two_channels)
{
    FOR_EACH_CONFIG(config, every_config)
    {
        struct meeting meeting = {.left = new_ints(0), .right = new_ints(0), .rounds = SANITIZED ? 400 : 2000, .next = 1};
        must(filch_run(config, meet_all, &meeting) == 0);
        must(atomic_load(&meeting.sent) == atomic_load(&meeting.received) && atomic_load(&meeting.sent) > 0);
        must(atomic_load(&meeting.sent_sum) == atomic_load(&meeting.received_sum));
        ints_free(meeting.left), ints_free(meeting.right);
    }
}

/* ---- who has received may free the channel ---- */

struct parcel {
    filch_chan *chan;
    int64_t value;
};

static int send_by_select(void *arg)
{
    struct parcel *parcel = arg;
    int64_t value = parcel->value;
    filch_case c = filch_case_send(parcel->chan, &value);
    must(filch_select(&c, 1) == 0);
    return c.result;
}

static int receive_and_free(void *arg)
{
    int64_t got;
    (void)arg;
    for (int i = 0; i < 2000; i++) {
        struct parcel parcel = {.value = i};
        size_t room = i % 2;
        must(filch_chan_new(sizeof got, room, &parcel.chan) == 0);
        if (room)
            must(filch_chan_send(parcel.chan, &parcel.value) == 0);
        FILCH_SCOPE(s);
        must(filch_spawn(&s, send_by_select, &parcel) == 0);
        if (i % 3)
            filch_yield();
        for (size_t n = 0; n < 1 + room; n++)
            must(filch_chan_recv(parcel.chan, &got) == 0 && got == i);
        filch_chan_free(parcel.chan);
        must(filch_join(&s) == 0);
    }
    return 0;
}

/* The sender, who may run later, touches it no more: what it would touch is seen by a sanitizer. */
Test(select, a_send_that_won_leaves_the_channel_alone)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, receive_and_free, NULL) == 0);
}

/* ---- the event that resets itself ---- */

struct turnstile {
    filch_event event;
    atomic_int through;
};

static int pass(void *arg)
{
    struct turnstile *turnstile = arg;
    int r = filch_event_wait(&turnstile->event);
    if (r == 0)
        atomic_fetch_add(&turnstile->through, 1);
    return r;
}

static int let_one_through(void *arg)
{
    struct turnstile turnstile = {.event = FILCH_EVENT_AUTO};
    (void)arg;
    filch_event_set(&turnstile.event);
    filch_event_set(&turnstile.event);
    must(pass(&turnstile) == 0 && !filch_event_is_set(&turnstile.event));
    FILCH_SCOPE(s);
    for (int i = 0; i < 5; i++)
        must(filch_spawn(&s, pass, &turnstile) == 0);
    filch_sleep(FILCH_MSEC(5));
    for (int i = 0; i < 3; i++) {
        int before = atomic_load(&turnstile.through);
        filch_event_set(&turnstile.event);
        while (atomic_load(&turnstile.through) == before)
            filch_yield();
        filch_sleep(FILCH_MSEC(1));
        must(atomic_load(&turnstile.through) == before + 1 && !filch_event_is_set(&turnstile.event));
    }
    filch_cancel(&s);
    must(filch_join(&s) == -ECANCELED);
    filch_event_set(&turnstile.event); /* those who were cancelled have taken nothing with them */
    must(filch_event_is_set(&turnstile.event));
    filch_event_reset(&turnstile.event);
    must(!filch_event_is_set(&turnstile.event));
    return 0;
}

Test(select, an_automatic_event_lets_one_through)
{
    FOR_EACH_CONFIG(config, every_config)
    must(filch_run(config, let_one_through, NULL) == 0);
}
