/* SPDX-License-Identifier: MIT */
/* State Threads: the N:1 model for network servers. A task is st_thread_create and st_thread_join with a stack of 32 KiB; waiting is st_mutex
 * and st_cond, a yield st_usleep(0), a sleep st_usleep.
 *
 * One kernel thread whatever --workers is, so sort, matmul, strassen, cholesky, nbody, wavefront and histogram would be the serial code
 * and are left out. It has no semaphore, no lock for readers and writers, and no waiting for one of several conditions: so no sem,
 * rwlock and select. */
#include "peer.h"

#include <errno.h>
#include <st.h>
#include <stdio.h>
#include <stdlib.h>

static st_thread_t spawn(void *(*fn)(void *arg), void *arg)
{
    st_thread_t thread = st_thread_create(fn, arg, 1, 32768);
    if (!thread)
        peer_fail("st_thread_create");
    return thread;
}

static void join(st_thread_t thread)
{
    st_thread_join(thread, NULL);
}

static void *make(int64_t count, size_t size)
{
    void *array = calloc((size_t)count, size);
    if (!array)
        peer_fail("calloc");
    return array;
}

/* ---- fork-join ---- */

struct part {
    int64_t n, fib;
};

static void *fib(void *arg)
{
    struct part *part = arg, left = {.n = part->n - 1}, right = {.n = part->n - 2};
    if (part->n < 2) {
        part->fib = part->n;
        return NULL;
    }
    st_thread_t child = spawn(fib, &left);
    fib(&right);
    join(child);
    part->fib = left.fib + right.fib;
    return NULL;
}

static void run_fork(void)
{
    struct part root = {.n = peer_number("n", 20)};
    peer_start();
    fib(&root);
    peer_stop(peer_fibonacci(root.n + 1) - 1);
    peer_check_fork(root.n, root.fib);
}

static void *integrate(void *arg)
{
    struct integrate_piece half[2];
    if (!integrate_halve(arg, peer_epsilon, half))
        return NULL;
    st_thread_t child = spawn(integrate, &half[1]);
    integrate(&half[0]);
    join(child);
    integrate_add_up(arg, half);
    return NULL;
}

static void run_integrate(void)
{
    struct integrate_piece all = peer_integrate_set();
    peer_start();
    integrate(&all);
    peer_stop(0);
    peer_check_integrate(&all);
}

static void *touch(void *arg)
{
    ++*(uint8_t *)arg;
    return NULL;
}

static void run_flat(void)
{
    int64_t tasks = peer_number("tasks", 10000), once = 0;
    st_thread_t *threads = make(tasks, sizeof *threads);
    uint8_t *touched = make(tasks, 1);
    peer_start();
    for (int64_t i = 0; i < tasks; i++)
        threads[i] = spawn(touch, &touched[i]);
    for (int64_t i = 0; i < tasks; i++)
        join(threads[i]);
    peer_stop(tasks);
    for (int64_t i = 0; i < tasks; i++)
        once += touched[i] == 1;
    peer_check("ran", once, tasks);
    free(threads);
    free(touched);
}

static void *count_up(void *arg)
{
    ++*(uint32_t *)arg;
    return NULL;
}

static void run_batch(void)
{
    int64_t batches = peer_number("batches", 100), tasks = peer_number("tasks", 1000), ran = 0;
    st_thread_t *threads = make(tasks, sizeof *threads);
    uint32_t *counts = make(tasks, sizeof *counts);
    peer_start();
    for (int64_t k = 0; k < batches; k++) {
        for (int64_t i = 0; i < tasks; i++)
            threads[i] = spawn(count_up, &counts[i]);
        for (int64_t i = 0; i < tasks; i++)
            join(threads[i]);
    }
    peer_stop(batches * tasks);
    for (int64_t i = 0; i < tasks; i++)
        ran += counts[i];
    peer_check("ran", ran, batches * tasks);
    free(threads);
    free(counts);
}

struct range {
    int64_t first, length, sum;
};

static void *add_up(void *arg)
{
    struct range *range = arg, parts[10];
    st_thread_t threads[10];
    if (range->length == 1) {
        range->sum = range->first;
        return NULL;
    }
    int64_t length = range->length / 10;
    for (int i = 0; i < 10; i++) {
        parts[i] = (struct range){.first = range->first + i * length, .length = length};
        threads[i] = spawn(add_up, &parts[i]);
    }
    range->sum = 0;
    for (int i = 0; i < 10; i++) {
        join(threads[i]);
        range->sum += parts[i].sum;
    }
    return NULL;
}

static void run_skynet(void)
{
    struct range root = {.length = peer_skynet_leaves()};
    peer_start();
    add_up(&root);
    peer_stop(0);
    peer_check_skynet(root.length, root.sum);
}

struct visit {
    struct uts_node node;
    struct uts_count below;
};

static void *visit(void *arg)
{
    struct visit *self = arg;
    int children = uts_children(&peer_tree, &self->node);
    self->below = uts_count_of(&self->node, children);
    if (children == 0)
        return NULL;
    struct visit *child = make(children, sizeof *child);
    st_thread_t *threads = make(children, sizeof *threads);
    for (int i = 0; i < children; i++) {
        uts_child(&self->node, i, &child[i].node);
        threads[i] = spawn(visit, &child[i]);
    }
    for (int i = 0; i < children; i++) {
        join(threads[i]);
        uts_count_add(&self->below, &child[i].below);
    }
    free(threads);
    free(child);
    return NULL;
}

static void run_uts(void)
{
    struct visit root;
    peer_tree_set();
    peer_start();
    uts_root(&peer_tree, &root.node);
    visit(&root);
    peer_stop(0);
    peer_check_tree(root.below);
}

static int64_t queens;

struct placement {
    struct peer_board board;
    int64_t solutions;
};

static void *place(void *arg)
{
    struct placement *self = arg, next[QUEENS_MOST];
    st_thread_t threads[QUEENS_MOST];
    int count = 0;
    self->solutions = self->board.row == queens;
    for (int column = 0; column < queens && self->board.row < queens; column++) {
        if (!peer_safe(&self->board, self->board.row, column))
            continue;
        next[count].board = self->board;
        next[count].board.column[next[count].board.row++] = (uint8_t)column;
        threads[count] = spawn(place, &next[count]);
        count++;
    }
    while (count-- > 0) {
        join(threads[count]);
        self->solutions += next[count].solutions;
    }
    return NULL;
}

static void run_queens(void)
{
    struct placement empty = {.solutions = 0};
    queens = peer_queens_set();
    peer_start();
    place(&empty);
    peer_stop(0);
    peer_check_queens(empty.solutions);
}

/* ---- threads that wait. One runs at a time and gives way only where it waits, so counters need no lock. ---- */

/* A door that opens once; how many stand before it. */
struct door {
    st_cond_t opened;
    bool open;
    int64_t waiting, passed, rounds;
};

static void door_init(struct door *door)
{
    *door = (struct door){.opened = st_cond_new()};
}

static void wait_before(struct door *door)
{
    door->waiting++;
    while (!door->open)
        st_cond_wait(door->opened);
    door->passed++;
}

static void open_up(struct door *door)
{
    door->open = true;
    st_cond_broadcast(door->opened);
}

static void give_way(void)
{
    st_usleep(0);
}

/* Its clock stands still while threads run, so a sleep may be over early: then the rest of it. */
static void nap_for(int64_t us)
{
    int64_t end = peer_now() + us * 1000;
    for (int64_t left; (left = end - peer_now()) > 0;)
        st_usleep((st_utime_t)((left + 999) / 1000));
}

static void *member(void *arg)
{
    struct door *door = arg;
    wait_before(door);
    for (int64_t i = 0; i < door->rounds; i++)
        give_way();
    return NULL;
}

static void *guest(void *arg)
{
    wait_before(arg);
    return NULL;
}

/* Spawns them and lets them go until all stand before the door. */
static st_thread_t *gather(struct door *door, int64_t tasks, void *(*fn)(void *arg))
{
    st_thread_t *threads = make(tasks, sizeof *threads);
    for (int64_t i = 0; i < tasks; i++)
        threads[i] = spawn(fn, door);
    while (door->waiting < tasks)
        give_way();
    return threads;
}

static void open_and_join(struct door *door, st_thread_t *threads, int64_t tasks)
{
    open_up(door);
    for (int64_t i = 0; i < tasks; i++)
        join(threads[i]);
    free(threads);
}

static void run_yield(void)
{
    int64_t tasks = peer_number("tasks", 1000), switches = peer_number("switches", 1000000);
    struct door door;
    door_init(&door);
    door.rounds = switches / tasks ? switches / tasks : 1;
    st_thread_t *threads = gather(&door, tasks, member);
    peer_start();
    open_and_join(&door, threads, tasks);
    peer_stop(door.rounds * tasks);
    peer_check("yields", door.rounds * door.passed, door.rounds * tasks);
}

static void run_park(void)
{
    int64_t tasks = peer_number("tasks", 10000), before = peer_resident();
    struct door door;
    door_init(&door);
    peer_start();
    st_thread_t *threads = gather(&door, tasks, guest);
    peer_stop(0);
    peer_more("memory", "bytes/task", (double)(peer_resident() - before) / (double)tasks);
    int64_t start = peer_now();
    open_and_join(&door, threads, tasks);
    peer_more("wake", "ms", (double)(peer_now() - start) / 1e6);
    peer_check("woken", door.passed, tasks);
}

/* Rung once, it lets one go on. */
struct bell {
    st_cond_t rung;
    bool rings;
};

static void bell_init(struct bell *bell)
{
    *bell = (struct bell){.rung = st_cond_new()};
}

static void ring_bell(struct bell *bell)
{
    bell->rings = true;
    st_cond_signal(bell->rung);
}

static void await_bell(struct bell *bell)
{
    while (!bell->rings)
        st_cond_wait(bell->rung);
    bell->rings = false;
}

/* The token lies in common memory; who has been rung for has it. */
struct ring {
    int64_t token, name;
};

struct station {
    struct ring *ring;
    struct station *next;
    struct bell bell;
    int64_t name, passed;
    bool ended;
};

static void *pass_on(void *arg)
{
    struct station *self = arg;
    struct ring *ring = self->ring;
    for (await_bell(&self->bell); ring->name == 0 && ring->token > 0; await_bell(&self->bell)) {
        ring->token--;
        self->passed++;
        ring_bell(&self->next->bell);
    }
    if (ring->name == 0)
        ring->name = self->name;
    self->ended = true;
    ring_bell(&self->next->bell);
    return NULL;
}

static void run_threadring(void)
{
    int64_t passes = peer_number("passes", 5000000), tasks = peer_number("tasks", 503), passed = 0, ended = 0;
    struct station *stations = make(tasks, sizeof *stations);
    st_thread_t *threads = make(tasks, sizeof *threads);
    struct ring ring = {.token = passes};
    for (int64_t i = 0; i < tasks; i++) {
        stations[i] = (struct station){.ring = &ring, .next = &stations[(i + 1) % tasks], .name = i + 1};
        bell_init(&stations[i].bell);
    }
    peer_start();
    for (int64_t i = 0; i < tasks; i++)
        threads[i] = spawn(pass_on, &stations[i]);
    ring_bell(&stations[0].bell);
    for (int64_t i = 0; i < tasks; i++)
        join(threads[i]);
    peer_stop(passes);
    for (int64_t i = 0; i < tasks; i++) {
        passed += stations[i].passed;
        ended += stations[i].ended;
    }
    peer_check_ring(ring.name, passed, ended);
    free(threads);
    free(stations);
}

struct creature {
    struct place *place;
    struct bell met_one;
    struct chameneos self;
};

struct place {
    struct creature *waiting;
    int64_t left; /* meetings */
};

static void *live(void *arg)
{
    struct creature *self = arg;
    struct place *place = self->place;
    while (place->left > 0) {
        struct creature *other = place->waiting;
        place->waiting = other ? NULL : self;
        if (other) {
            place->left--;
            chameneos_meet(&self->self, &other->self);
            ring_bell(&other->met_one);
        } else {
            await_bell(&self->met_one);
        }
    }
    return NULL;
}

static void run_chameneos(void)
{
    int64_t creatures = peer_number("creatures", 10), meetings = peer_number("meetings", 2000000);
    struct place place = {.left = meetings};
    struct creature *all = make(creatures, sizeof *all);
    st_thread_t *threads = make(creatures, sizeof *threads);
    struct chameneos sum = {.met = 0};
    for (int64_t i = 0; i < creatures; i++) {
        all[i] = (struct creature){.place = &place, .self = chameneos_begin(i)};
        bell_init(&all[i].met_one);
    }
    peer_start();
    for (int64_t i = 0; i < creatures; i++)
        threads[i] = spawn(live, &all[i]);
    for (int64_t i = 0; i < creatures; i++)
        join(threads[i]);
    peer_stop(meetings);
    for (int64_t i = 0; i < creatures; i++)
        chameneos_add(&sum, &all[i].self);
    peer_check_chameneos(&sum, creatures, meetings);
    free(threads);
    free(all);
}

/* A bounded queue. */
struct queue {
    st_cond_t more, room;
    int64_t *items, capacity, head, length, senders, each, sum, count;
};

static void queue_init(struct queue *queue)
{
    queue->more = st_cond_new();
    queue->room = st_cond_new();
}

static void put(struct queue *queue, int64_t item)
{
    while (queue->length == queue->capacity)
        st_cond_wait(queue->room);
    queue->items[(queue->head + queue->length++) % queue->capacity] = item;
    st_cond_signal(queue->more);
}

/* @return false when it is empty and nobody sends any more */
static bool take(struct queue *queue, int64_t *ret_item)
{
    while (queue->length == 0 && queue->senders > 0)
        st_cond_wait(queue->more);
    if (queue->length == 0)
        return false;
    *ret_item = queue->items[queue->head];
    queue->head = (queue->head + 1) % queue->capacity;
    queue->length--;
    st_cond_signal(queue->room);
    return true;
}

static void wake_receivers(struct queue *queue)
{
    st_cond_broadcast(queue->more);
}

static void *sender(void *arg)
{
    struct queue *queue = arg;
    for (int64_t i = 1; i <= queue->each; i++)
        put(queue, i);
    if (--queue->senders == 0)
        wake_receivers(queue);
    return NULL;
}

static void *receiver(void *arg)
{
    struct queue *queue = arg;
    for (int64_t item; take(queue, &item); queue->count++)
        queue->sum += item;
    return NULL;
}

static void run_chan(void)
{
    int64_t senders = peer_number("senders", 1), receivers = peer_number("receivers", 1), capacity = peer_number("capacity", 256);
    int64_t items = peer_number("items", 4000000);
    struct queue queue = {.capacity = capacity, .senders = senders};
    if (capacity == 0)
        peer_cannot("a queue with conditions is no rendezvous");
    queue_init(&queue);
    queue.items = make(capacity, sizeof *queue.items);
    queue.each = items / senders ? items / senders : 1;
    st_thread_t *threads = make(senders + receivers, sizeof *threads);
    peer_start();
    for (int64_t i = 0; i < senders + receivers; i++)
        threads[i] = spawn(i < receivers ? receiver : sender, &queue);
    for (int64_t i = 0; i < senders + receivers; i++)
        join(threads[i]);
    peer_stop(queue.each * senders);
    peer_check("items", queue.count, queue.each * senders);
    peer_check("sum", queue.sum, senders * (queue.each * (queue.each + 1) / 2));
    free(queue.items);
    free(threads);
}

/* ---- a tree of queues ---- */

struct node {
    const struct peer_tree_of_channels *tree;
    int64_t level;
    struct queue in; /* not of the root, which makes the numbers */
    struct prodcons_sums sums;
};

static bool next_number(struct node *node, int64_t *number)
{
    return node->level > 0 ? take(&node->in, number) : ++*number <= node->tree->items;
}

static void close_queue(struct queue *queue)
{
    queue->senders = 0;
    wake_receivers(queue);
}

static void *produce(void *arg)
{
    struct node *self = arg, *child;
    const struct peer_tree_of_channels *tree = self->tree;
    st_thread_t threads[PRODCONS_MOST_FAN];
    int64_t number = 0, count = 0, sum = 0;
    if (self->level == tree->levels) {
        for (; next_number(self, &number); count++)
            sum += number;
        self->sums = prodcons_leaf(count, sum);
        return NULL;
    }
    child = make(tree->fan, sizeof *child);
    for (int64_t i = 0; i < tree->fan; i++) {
        child[i] = (struct node){.tree = tree, .level = self->level + 1, .in = {.capacity = tree->capacity, .senders = 1}};
        queue_init(&child[i].in);
        child[i].in.items = make(tree->capacity, sizeof *child[i].in.items);
        threads[i] = spawn(produce, &child[i]);
    }
    for (int64_t turn = 0; next_number(self, &number); turn = turn + 1 == tree->fan ? 0 : turn + 1)
        put(&child[turn].in, number);
    for (int64_t i = 0; i < tree->fan; i++)
        close_queue(&child[i].in);
    for (int64_t i = 0; i < tree->fan; i++) {
        join(threads[i]);
        if (i == 0)
            self->sums = child[0].sums;
        else
            prodcons_add(&self->sums, &child[i].sums);
        free(child[i].in.items);
    }
    free(child);
    return NULL;
}

static void run_prodcons(void)
{
    struct peer_tree_of_channels tree = peer_prodcons_set();
    struct node root = {.tree = &tree};
    if (tree.capacity == 0)
        peer_cannot("a queue with conditions is no rendezvous");
    peer_start();
    produce(&root);
    peer_stop(tree.items * tree.levels);
    peer_check_prodcons(&tree, &root.sums);
}

/* There and back, with room for the one ball. */
static struct queue there, back;
static int64_t rounds, pings, pongs;

static void *serve(void *arg)
{
    int64_t ball = -1;
    for (int64_t i = 0; i < rounds; i++) {
        put(&there, i);
        pings += take(&back, &ball) && ball == i;
    }
    return arg;
}

static void *give_back(void *arg)
{
    for (int64_t ball; pongs < rounds && take(&there, &ball); pongs++)
        put(&back, ball);
    return arg;
}

static void run_pingpong(void)
{
    int64_t one[2];
    there = (struct queue){.capacity = 1, .senders = 1, .items = &one[0]};
    back = (struct queue){.capacity = 1, .senders = 1, .items = &one[1]};
    queue_init(&there);
    queue_init(&back);
    rounds = peer_number("rounds", 2000000);
    pings = pongs = 0;
    peer_start();
    st_thread_t second = spawn(give_back, NULL), first = spawn(serve, NULL);
    join(first);
    join(second);
    peer_stop(rounds);
    peer_check("pings", pings, rounds);
    peer_check("pongs", pongs, rounds);
}

static void *sleeper(void *arg)
{
    struct peer_nap *nap = arg;
    int64_t start = peer_now();
    nap_for((nap->ns + 999) / 1000);
    nap->late = peer_now() - start - nap->ns;
    return NULL;
}

static void run_timers(void)
{
    int64_t count;
    struct peer_nap *naps = peer_naps_set(&count);
    st_thread_t *threads = make(count, sizeof *threads);
    peer_start();
    for (int64_t i = 0; i < count; i++)
        threads[i] = spawn(sleeper, &naps[i]);
    for (int64_t i = 0; i < count; i++)
        join(threads[i]);
    peer_stop(0);
    peer_check_naps(naps, count);
    free(threads);
}

static struct peer_mix mix;
static bool units_done;
static int64_t asleep;

static void *unit(void *arg)
{
    peer_compute(&mix, arg);
    return NULL;
}

static void *sleep_on(void *arg)
{
    asleep++;
    while (!units_done) {
        nap_for((peer_falls_asleep(&mix, arg) + 999) / 1000);
        peer_wakes_up(arg);
    }
    return NULL;
}

static int64_t all_units(st_thread_t *threads)
{
    int64_t start = peer_now();
    for (int64_t i = 0; i < mix.units; i++)
        threads[i] = spawn(unit, &mix.unit[i]);
    for (int64_t i = 0; i < mix.units; i++)
        join(threads[i]);
    return peer_now() - start;
}

static void run_mix(void)
{
    peer_mix_set(&mix);
    st_thread_t *threads = make(mix.units, sizeof *threads), *sleepers = make(mix.sleepers + 1, sizeof *sleepers);
    units_done = false;
    asleep = 0;
    peer_start();
    mix.alone = all_units(threads);
    peer_mix_again(&mix);
    for (int64_t i = 0; i < mix.sleepers; i++)
        sleepers[i] = spawn(sleep_on, &mix.sleeper[i]);
    while (asleep < mix.sleepers)
        give_way();
    mix.beside = all_units(threads);
    units_done = true;
    for (int64_t i = 0; i < mix.sleepers; i++)
        join(sleepers[i]);
    peer_stop(0);
    peer_check_mix(&mix);
    free(sleepers);
    free(threads);
}

static st_mutex_t mutex;
static int64_t counter, longest;

static void *visitor(void *arg)
{
    for (int64_t i = *(int64_t *)arg; i > 0; i--) {
        st_mutex_lock(mutex);
        counter++;
        st_mutex_unlock(mutex);
    }
    return NULL;
}

static void *watching_visitor(void *arg)
{
    for (int64_t i = *(int64_t *)arg; i > 0; i--) {
        int64_t wait = peer_now();
        st_mutex_lock(mutex);
        wait = peer_now() - wait;
        longest = wait > longest ? wait : longest;
        counter++;
        st_mutex_unlock(mutex);
    }
    return NULL;
}

static void pass(int64_t tasks, void *(*fn)(void *arg), int64_t *turns)
{
    st_thread_t *threads = make(tasks, sizeof *threads);
    for (int64_t i = 0; i < tasks; i++)
        threads[i] = spawn(fn, turns);
    for (int64_t i = 0; i < tasks; i++)
        join(threads[i]);
    free(threads);
}

/* The call that blocks is the C library's, of which State Threads knows nothing. */
static void *held_up(void *arg)
{
    peer_hold_sleep(arg, nap_for);
    return NULL;
}

static void *blocker(void *arg)
{
    peer_hold_block(arg, nap_for);
    return NULL;
}

static void run_stuck(void)
{
    struct peer_hold hold = peer_hold_set();
    st_thread_t *threads = make(hold.tasks + 1, sizeof *threads);
    peer_start();
    for (int64_t i = 0; i <= hold.tasks; i++)
        threads[i] = spawn(i < hold.tasks ? held_up : blocker, &hold);
    for (int64_t i = 0; i <= hold.tasks; i++)
        join(threads[i]);
    peer_stop(0);
    peer_check_hold(&hold);
    free(threads);
}

static void run_mutex(void)
{
    struct peer_turns turns = peer_turns_set();
    counter = longest = 0;
    mutex = st_mutex_new();
    peer_start();
    pass(turns.tasks, visitor, &turns.turns);
    peer_stop(turns.turns * turns.tasks);
    pass(turns.tasks, watching_visitor, &turns.fewer);
    peer_check_turns(&turns, counter, longest);
}

/* Who waits for the flag, and when the last of them has gone through. */
struct hall {
    struct door door;
    int64_t count, last;
};

static void *go_through(void *arg)
{
    struct hall *hall = arg;
    wait_before(&hall->door);
    if (hall->door.passed == hall->count)
        hall->last = peer_now();
    return NULL;
}

static void run_cond(void)
{
    int64_t waiters = peer_number("waiters", 10000), broadcasts = peer_number("rounds", 5), through = 0, sum = 0;
    peer_start();
    for (int64_t i = 0; i < broadcasts; i++) {
        struct hall hall = {.count = waiters};
        door_init(&hall.door);
        st_thread_t *threads = gather(&hall.door, waiters, go_through);
        int64_t start = peer_now();
        open_and_join(&hall.door, threads, waiters);
        sum += hall.last - start;
        through += hall.door.passed;
    }
    peer_stop(0);
    peer_check_cond(waiters, broadcasts, through, sum);
}

static st_cond_t never;
static int64_t arrived, cancelled;

static void *wait_for_ever(void *arg)
{
    arrived++;
    if (st_cond_wait(never) < 0 && errno == EINTR)
        cancelled++;
    return arg;
}

static void run_cancel(void)
{
    int64_t tasks = peer_number("tasks", 1000000);
    st_thread_t *threads = make(tasks, sizeof *threads);
    never = st_cond_new();
    arrived = cancelled = 0;
    for (int64_t i = 0; i < tasks; i++)
        threads[i] = spawn(wait_for_ever, NULL);
    while (arrived < tasks)
        give_way();
    peer_start();
    for (int64_t i = 0; i < tasks; i++)
        st_thread_interrupt(threads[i]);
    for (int64_t i = 0; i < tasks; i++)
        join(threads[i]);
    peer_stop(0);
    peer_check("cancelled", cancelled, tasks);
    free(threads);
}

static const struct peer_workload workloads[] = {
    {"fork", run_fork, "\"n\": 20"},
    {"integrate", run_integrate, "\"n\": 8"},
    {"stuck", run_stuck, NULL},
    {"flat", run_flat, "\"tasks\": 20000"},
    {"batch", run_batch, "\"batches\": 200"},
    {"skynet", run_skynet, "\"levels\": 4"},
    {"uts", run_uts, "\"tree\": \"default\""},
    {"queens", run_queens, "\"n\": 9"},
    {"yield", run_yield, NULL},
    {"pingpong", run_pingpong, NULL},
    {"threadring", run_threadring, NULL},
    {"chameneos", run_chameneos, NULL},
    {"chan", run_chan, NULL},
    {"prodcons", run_prodcons, NULL},
    {"park", run_park, "\"tasks\": 50000"},
    {"cancel", run_cancel, "\"tasks\": 50000"},
    {"timers", run_timers, "\"tasks\": 20000"},
    {"mix", run_mix, NULL},
    {"mutex", run_mutex, NULL},
    {"cond", run_cond, NULL},
    {0},
};

int main(int argc, char **argv)
{
    struct peer peer = {.name = "st", .version = "State Threads " ST_VERSION, .workloads = workloads, .single = 1};
    if (st_init() < 0)
        peer_fail("st_init");
    return peer_main(&peer, argc, argv);
}
