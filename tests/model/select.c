/* SPDX-License-Identifier: MIT */
/* runtime/sync/select.c with chan.c, event.c and sem.c (and waitq.h under them): of the cases of a select exactly one happens, also when several are made possible
 * at once, when it is cancelled, and when two selects meet. What was meant for a select that something else has ended is not lost: the value stays with its sender
 * or goes to the next receiver, the unit and the set likewise. Nobody knows of a case any more when filch_select returns: cases lie in the frame of the call.
 *
 * Files are compiled as they are; a case of a descriptor, a point in time or a scope is left out. Nothing is drawn before all cases were asked (DRAWS), and of those that
 * seem possible then the first is tried first. Who waits for ever, and what cancel() does: waits.h.
 *
 * Scenarios; A and B are channels, a rendezvous each if nothing else is said, E is an event, S a semaphore
 *   1  receives from A or B into the same place, both of which are sent to; then from the other
 *   2  the same of a task
 *   3  receives from A or B, is cancelled, somebody sends to A
 *   4  the same, somebody sends to B
 *   5  receives from A or takes a unit of S; then the other
 *   6  receives from A or waits for E, which resets itself; then the other
 *   7  two selects: one sends to A or receives from B, the other receives from A or sends to B
 *   8  sends to A or receives from A, while somebody else receives from it
 *   9  the same, while somebody else sends
 *   10 receives from A or waits for E, while a plain receiver waits at A: a value finds one of them
 *   11 receives from A or B, while A is closed and somebody sends to B
 *   12 sends to A or receives from B, while A is closed and somebody sends to B
 *   13 sends to A, which has room for one and is full, or waits for E; A is received from
 *   14 sends to A or waits for E; A is received from
 *   15 E, which resets itself, has a waiter and a select that may also take a unit of S
 *   16 S has a waiter and a select that may also wait for E
 *   17 takes a unit of S or waits for E, and is cancelled, while a unit is given
 *   18 receives from A or waits for E, which resets itself, and is cancelled, while E is set
 *   19 finds no memory for a stack, while somebody sends to A
 *   20 receives from A and frees it
 *   21 takes a unit of S and frees it
 *   22 waits for E, of the kind that stays set, or for a unit of S, and frees E */
#define NO_STACK (SCENARIO == 19)
#define DRAWS 0
#include "waits.h"

#include <filch/chan.h>
#include <filch/select.h>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- what stands in for the machine, and the worker ---- */

#define FL_MACHINE_CLOCK_H
#define FL_MACHINE_FUTEX_H

FL_INLINE int64_t fl_clock(void)
{
    return 0;
}

FL_INLINE bool fl_futex_wait(_Atomic(uint32_t) *word, uint32_t value, int64_t deadline)
{
    (void)word, (void)value, (void)deadline;
    return true; /* for no reason: who waits looks again */
}

struct fl_worker {
    struct {
        int kind_;
    } hot;
    uint32_t random;
};

#define FL_KIND_WORKER 1
#define __builtin_frame_address(level) ((void *)0) /* all that a plain thread draws by is the same for all */
static struct fl_worker worker;

FL_INLINE struct fl_worker *fl_self(void)
{
    return &worker;
}

#undef read
#undef close
#define ppoll(...) (0)
#define eventfd(...) (-1)
#define read(...) (0)
#define close(...) ((void)0)

/* A line would be so many bytes more to be written. */
#undef FL_APART
#define FL_APART(name)
static void *made; /* the channel that is being made */
#include <stdlib.h>
#define malloc(size) ((size) > 64 ? (made = (malloc)(size)) : (malloc)(size)) /* the ring of a channel is smaller */
/* A value is an int. */
#undef memcpy
#define memcpy(to, from, size) copy_value((to), (from), (size))
static inline void copy_value(void *to, const void *from, size_t size)
{
    assert(size == sizeof(int));
    *(int *)to = *(const int *)from;
}

#include "sync/chan.c"

#define stand stand_at_event
#define leave leave_event
#define leave_case leave_event_case
#define waits event_waits
#include "sync/event.c"
#undef stand
#undef leave
#undef leave_case
#undef waits

#define word_of sem_word_of
#define stand stand_at_sem
#define leave leave_sem
#define leave_case leave_sem_case
#define waits sem_waits
#include "sync/sem.c"

#undef stand
#undef leave
#undef leave_case

#define wait wait_for_any
#include "sync/select.c"
#undef wait

const struct fl_case_kind fl_case_scope, fl_case_until, fl_case_fd;

/* What the compiler calls for a structure that is assigned. The checker takes that apart only where it sees the type: of an array's element. */
#undef memcpy
void *memcpy(void *to, const void *from, size_t size)
{
    static volatile size_t first;
    if (size == sizeof(struct fl_waiter)) {
        ((struct fl_waiter *)to)[first] = ((const struct fl_waiter *)from)[first];
    } else if (to == made) {
        assert(size == sizeof(filch_chan));
        ((filch_chan *)to)[first] = ((const filch_chan *)from)[first];
    } else {
        assert(size == sizeof(filch_case));
        ((filch_case *)to)[first] = ((const filch_case *)from)[first];
    }
    return to;
}

/* The inline functions of the public header clear a case's room, by another size than what is put there, which the checker does not follow. */
static void set_case(filch_case *c, unsigned kind, void *object, void *value)
{
    c->kind_ = kind;
    c->object_ = object;
    c->value_ = value;
}

#define VALUES 2

static filch_chan *a, *b;
static filch_event *e;
static filch_sem *s;
static int gift[VALUES]; /* plain */
static struct once received[VALUES];
static bool sent[VALUES]; /* plain: the sender's, for whoever has joined it */
static int won;           /* plain: the select's, likewise */

/* ---- what is waited for ---- */

static void receive(filch_case *c, filch_chan *chan, int *ret_value)
{
    set_case(c, FILCH_CASE_RECV_, chan, ret_value);
}

static void give_gift(int value)
{
    gift[value] = value + 1;
}

static void send(filch_case *c, filch_chan *chan, int *value)
{
    give_gift(*value);
    set_case(c, FILCH_CASE_SEND_, chan, value);
}

static void await(filch_case *c)
{
    set_case(c, FILCH_CASE_EVENT_, e, NULL);
}

static void acquire(filch_case *c)
{
    set_case(c, FILCH_CASE_SEM_, s, NULL);
}

static int select_of(filch_case *cases, size_t count)
{
    int r = filch_select(cases, count);
    assert(r < 0 || r < (int)count);
    return won = r;
}

/* ---- what others do ---- */

static void took(int value)
{
    assert(0 <= value && value < VALUES);
    once(&received[value]);
    assert(gift[value] == value + 1);
}

static void take(filch_chan *chan)
{
    int value = -1, r = filch_chan_recv(chan, &value);
    assert(r == 0);
    took(value);
}

static void put(filch_chan *chan, int value)
{
    give_gift(value);
    int r = filch_chan_send(chan, &value);
    assert(r == 0);
    sent[value] = true;
}

static void try_put(filch_chan *chan, int value)
{
    give_gift(value);
    sent[value] = filch_chan_try_send(chan, &value) == 0;
}

static void try_take(filch_chan *chan)
{
    int value = -1;
    if (filch_chan_try_recv(chan, &value) == 0)
        took(value);
}

static void await_event(void)
{
    int r = filch_event_wait(e);
    assert(r == 0);
}

static void acquire_unit(void)
{
    int r = filch_sem_acquire(s);
    assert(r == 0);
}

static void *puts_in_a(void *arg)
{
    (void)arg;
    put(a, 0);
    return NULL;
}

static void *puts_in_b(void *arg)
{
    (void)arg;
    put(b, 1);
    return NULL;
}

static void *tries_to_put_in_b(void *arg)
{
    (void)arg;
    try_put(b, 1);
    return NULL;
}

static void *takes_from_a(void *arg)
{
    (void)arg;
    take(a);
    return NULL;
}

static void *releases(void *arg)
{
    (void)arg;
    filch_sem_release(s);
    return NULL;
}

static void *sets(void *arg)
{
    (void)arg;
    filch_event_set(e);
    return NULL;
}

static void *awaits(void *arg)
{
    (void)arg;
    await_event();
    return NULL;
}

static void *acquires(void *arg)
{
    (void)arg;
    acquire_unit();
    return NULL;
}

static void *canceller(void *arg)
{
    (void)arg;
    cancel();
    return NULL;
}

/* ---- who selects ---- */

/* @return which has happened */
static int receive_a_or_b(void)
{
    filch_case cases[2];
    int value = -1;
    receive(&cases[0], a, &value);
    receive(&cases[1], b, &value);
    int i = select_of(cases, 2);
    if (i >= 0 && cases[i].result == 0)
        took(value);
    assert(i < 0 || cases[i].result != 0 || value == i);
    return i < 0 || cases[i].result == 0 ? i : cases[i].result;
}

static int receive_a_or_wait(void)
{
    filch_case cases[2];
    int value = -1;
    receive(&cases[0], a, &value);
    await(&cases[1]);
    int i = select_of(cases, 2);
    assert(i < 0 || cases[i].result == 0);
    if (i == 0)
        took(value);
    return i;
}

static int send_a_or_wait(int value)
{
    filch_case cases[2];
    send(&cases[0], a, &value);
    await(&cases[1]);
    int i = select_of(cases, 2);
    assert(i < 0 || cases[i].result == 0);
    sent[value] = i == 0;
    return i;
}

static int acquire_or_wait(void)
{
    filch_case cases[2];
    acquire(&cases[0]);
    await(&cases[1]);
    int i = select_of(cases, 2);
    assert(i < 0 || cases[i].result == 0);
    return i;
}

static void *receives_both(void *arg)
{
    (void)arg;
    int i = receive_a_or_b();
    assert(i == 0 || i == 1);
    take(i == 0 ? b : a);
    return NULL;
}

static void *task_receives_both(void *arg)
{
    begin_task();
    receives_both(arg);
    end_task();
    return NULL;
}

static void *victim_receives(void *arg)
{
    (void)arg;
    begin_victim();
    int i = receive_a_or_b();
    end_victim();
    assert(i == 0 || i == 1 || i == (NO_STACK ? -ENOMEM : -ECANCELED));
    return NULL;
}

static void *receives_and_acquires(void *arg)
{
    (void)arg;
    filch_case cases[2];
    int value = -1;
    receive(&cases[0], a, &value);
    acquire(&cases[1]);
    int i = select_of(cases, 2);
    assert(i == 0 || i == 1);
    assert(cases[i].result == 0);
    if (i == 0) {
        took(value);
        acquire_unit();
    } else {
        take(a);
    }
    return NULL;
}

static void *receives_and_awaits(void *arg)
{
    (void)arg;
    int i = receive_a_or_wait();
    assert(i == 0 || i == 1);
    if (i == 0)
        await_event();
    else
        take(a);
    return NULL;
}

static void *receives_or_awaits(void *arg)
{
    (void)arg;
    int i = receive_a_or_wait();
    assert(i == 0 || i == 1);
    return NULL;
}

/* Sends `value` to `there`, or receives from `here`. @return which */
static int meet(filch_chan *there, int value, filch_chan *here, bool sends_first)
{
    filch_case cases[2];
    int got = -1, to = sends_first ? 0 : 1;
    send(&cases[to], there, &value);
    receive(&cases[1 - to], here, &got);
    int i = filch_select(cases, 2);
    assert(i == 0 || i == 1);
    assert(cases[i].result == 0);
    sent[value] = i == to;
    if (i != to)
        took(got);
    return i;
}

static void *sends_a_or_receives_b(void *arg)
{
    (void)arg;
    won = meet(a, 0, b, true);
    return NULL;
}

static void *sends_or_receives_a(void *arg)
{
    (void)arg;
    won = meet(a, 0, a, true);
    return NULL;
}

/* A set is for somebody who waits only for that, if need be; the unit likewise. */
static void *awaits_or_passes_on(void *arg)
{
    (void)arg;
    int i = acquire_or_wait();
    assert(i == 0 || i == 1);
    if (i == 1)
        filch_event_set(e);
    return NULL;
}

static void *acquires_or_passes_on(void *arg)
{
    (void)arg;
    int i = acquire_or_wait();
    assert(i == 0 || i == 1);
    if (i == 0)
        filch_sem_release(s);
    return NULL;
}

static void *victim_acquires(void *arg)
{
    (void)arg;
    begin_victim();
    int i = acquire_or_wait();
    end_victim();
    assert(i == 0 || i == -ECANCELED);
    return NULL;
}

static void *victim_awaits(void *arg)
{
    (void)arg;
    begin_victim();
    int i = receive_a_or_wait();
    end_victim();
    assert(i == 1 || i == -ECANCELED);
    return NULL;
}

static void *receives_or_is_told(void *arg)
{
    (void)arg;
    int i = receive_a_or_b();
    assert(i == -EPIPE ? won == 0 : i == 1);
    return NULL;
}

static void *sends_or_is_told(void *arg)
{
    (void)arg;
    filch_case cases[2];
    int value = 0, got = -1;
    send(&cases[0], a, &value);
    receive(&cases[1], b, &got);
    int i = select_of(cases, 2);
    assert(i == 0 || i == 1);
    assert(cases[i].result == (i == 0 ? -EPIPE : 0));
    if (i == 1)
        took(got);
    return NULL;
}

static void *sends_or_awaits(void *arg)
{
    int i = send_a_or_wait((int)(intptr_t)arg);
    assert(i == 0 || i == 1);
    return NULL;
}

/* Of one thing; then it is freed. */
static void *receives_and_frees(void *arg)
{
    (void)arg;
    filch_case c;
    int value = -1;
    receive(&c, a, &value);
    int i = filch_select(&c, 1);
    assert(i == 0 && c.result == 0);
    took(value);
    filch_chan_free(a);
    return NULL;
}

static void *acquires_and_frees(void *arg)
{
    (void)arg;
    filch_case c;
    acquire(&c);
    int i = filch_select(&c, 1);
    assert(i == 0 && c.result == 0);
    free(s);
    return NULL;
}

static void *awaits_and_frees(void *arg)
{
    (void)arg;
    int i = acquire_or_wait();
    assert(i == 1);
    free(e);
    return NULL;
}

/* When all have ended: what was sent was received, and nobody stands in a line. */
static void settle(void)
{
    for (int i = 0; i < VALUES; i++)
        assert(happened(&received[i]) == sent[i]);
    filch_chan_free(a);
    filch_chan_free(b);
    assert(!e->first_ && !(e->word_ & (LOCKED | QUEUED)));
    assert(!s->first_ && !(s->word_ & WAITERS));
    free(e);
    free(s);
}

#define ROOM (SCENARIO == 13)
#define RESETS (SCENARIO == 6 || SCENARIO == 15 || SCENARIO == 18)

int main(void)
{
    int r = filch_chan_new(sizeof(int), ROOM, &a);
    assert(r == 0);
    r = filch_chan_new(sizeof(int), 0, &b);
    assert(r == 0);
    e = malloc(sizeof *e);
    e->word_ = RESETS ? AUTO : 0;
    e->taken_ = 0;
    e->first_ = e->last_ = NULL;
    s = malloc(sizeof *s);
    s->word_ = 0;
    s->lock_ = 0;
    s->first_ = s->last_ = NULL;
#if SCENARIO == 1
    pthread_t x = start(receives_both, NULL), y = start(puts_in_b, NULL);
    put(a, 0);
    join(x);
    join(y);
#elif SCENARIO == 2
    pthread_t x = start(task_receives_both, NULL), y = start(puts_in_b, NULL);
    put(a, 0);
    join(x);
    join(y);
#elif SCENARIO == 3 || SCENARIO == 4
    pthread_t x = start(victim_receives, NULL), y = start(canceller, NULL);
    if (SCENARIO == 3)
        try_put(a, 0);
    else
        try_put(b, 1);
    join(x);
    join(y);
    assert(won >= 0 ? sent[won] : !sent[0] && !sent[1]);
#elif SCENARIO == 5
    pthread_t x = start(receives_and_acquires, NULL), y = start(releases, NULL);
    put(a, 0);
    join(x);
    join(y);
#elif SCENARIO == 6
    pthread_t x = start(receives_and_awaits, NULL), y = start(sets, NULL);
    put(a, 0);
    join(x);
    join(y);
    assert(!filch_event_is_set(e));
#elif SCENARIO == 7
    pthread_t x = start(sends_a_or_receives_b, NULL);
    int mine = meet(b, 1, a, false);
    join(x);
    assert(mine == won);
#elif SCENARIO == 8
    pthread_t x = start(sends_or_receives_a, NULL);
    take(a);
    join(x);
    assert(won == 0);
#elif SCENARIO == 9
    pthread_t x = start(sends_or_receives_a, NULL);
    put(a, 1);
    join(x);
    assert(won == 1);
#elif SCENARIO == 10
    pthread_t x = start(receives_or_awaits, NULL), y = start(takes_from_a, NULL);
    filch_event_set(e);
    put(a, 0);
    join(x);
    if (won == 0)
        put(a, 1);
    join(y);
#elif SCENARIO == 11 || SCENARIO == 12
    pthread_t x = start(SCENARIO == 11 ? receives_or_is_told : sends_or_is_told, NULL), y = start(tries_to_put_in_b, NULL);
    filch_chan_close(a);
    join(x);
    join(y);
    assert(sent[1] == (won == 1));
#elif SCENARIO == 13
    put(a, 0);
    pthread_t x = start(sends_or_awaits, (void *)1), y = start(sets, NULL);
    take(a);
    join(x);
    join(y);
    try_take(a);
#elif SCENARIO == 14
    pthread_t x = start(sends_or_awaits, (void *)0), y = start(sets, NULL);
    try_take(a);
    join(x);
    join(y);
#elif SCENARIO == 15
    pthread_t x = start(awaits_or_passes_on, NULL), y = start(awaits, NULL);
    filch_sem_release(s);
    filch_event_set(e);
    join(x);
    join(y);
#elif SCENARIO == 16
    pthread_t x = start(acquires_or_passes_on, NULL), y = start(acquires, NULL);
    filch_event_set(e);
    filch_sem_release(s);
    join(x);
    join(y);
    assert(s->word_ == 0);
#elif SCENARIO == 17
    pthread_t x = start(victim_acquires, NULL), y = start(canceller, NULL);
    filch_sem_release(s);
    join(x);
    join(y);
    assert(s->word_ == (won == 0 ? 0 : UNIT));
#elif SCENARIO == 18
    pthread_t x = start(victim_awaits, NULL), y = start(canceller, NULL);
    filch_event_set(e);
    join(x);
    join(y);
    assert(filch_event_is_set(e) == (won != 1));
#elif SCENARIO == 19
    pthread_t x = start(victim_receives, NULL);
    try_put(a, 0);
    join(x);
#elif SCENARIO == 20
    pthread_t x = start(receives_and_frees, NULL);
    put(a, 0);
    join(x);
    return 0;
#elif SCENARIO == 21
    pthread_t x = start(acquires_and_frees, NULL);
    filch_sem_release(s);
    join(x);
    return 0;
#elif SCENARIO == 22
    pthread_t x = start(awaits_and_frees, NULL);
    filch_event_set(e);
    join(x);
    assert(s->word_ == 0);
    return 0;
#endif
    settle();
    return 0;
}
