/* SPDX-License-Identifier: MIT */
/* GNU Pth: the N:1 model, threads in user space with one scheduler that looks at the events that threads wait for. A task is pth_spawn and
 * pth_join with a stack of 32 KiB; waiting is pth_mutex and pth_cond, a yield pth_yield, a sleep pth_nap.
 *
 * One kernel thread whatever --workers is, so sort, matmul, strassen, cholesky, nbody, wavefront and histogram would be the serial code
 * and are left out. It has no semaphore, and none of its message ports is bounded: so no sem and select. Its scheduler goes through all
 * threads that wait each time it looks, so sizes are small where many wait. */
#include "peer.h"

#include <pth.h>
#include <stdio.h>
#include <stdlib.h>

static pth_attr_t small;

static pth_t spawn(void *(*fn)(void *arg), void *arg)
{
    pth_t thread = pth_spawn(small, fn, arg);
    if (!thread)
        peer_fail("pth_spawn");
    return thread;
}

static void join(pth_t thread)
{
    pth_join(thread, NULL);
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
    pth_t child = spawn(fib, &left);
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
    pth_t child = spawn(integrate, &half[1]);
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
    pth_t *threads = make(tasks, sizeof *threads);
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
    pth_t *threads = make(tasks, sizeof *threads);
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
    pth_t threads[10];
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
    pth_t *threads = make(children, sizeof *threads);
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
    pth_t threads[QUEENS_MOST];
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
    pth_mutex_t mutex;
    pth_cond_t opened;
    bool open;
    int64_t waiting, passed, rounds;
};

static void door_init(struct door *door)
{
    *door = (struct door){.open = false};
    pth_mutex_init(&door->mutex);
    pth_cond_init(&door->opened);
}

static void wait_before(struct door *door)
{
    pth_mutex_acquire(&door->mutex, FALSE, NULL);
    door->waiting++;
    while (!door->open)
        pth_cond_await(&door->opened, &door->mutex, NULL);
    door->passed++;
    pth_mutex_release(&door->mutex);
}

static void open_up(struct door *door)
{
    pth_mutex_acquire(&door->mutex, FALSE, NULL);
    door->open = true;
    pth_cond_notify(&door->opened, TRUE);
    pth_mutex_release(&door->mutex);
}

static void give_way(void)
{
    pth_yield(NULL);
}

static void nap_for(int64_t us)
{
    pth_nap(pth_time(us / 1000000, us % 1000000));
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
static pth_t *gather(struct door *door, int64_t tasks, void *(*fn)(void *arg))
{
    pth_t *threads = make(tasks, sizeof *threads);
    for (int64_t i = 0; i < tasks; i++)
        threads[i] = spawn(fn, door);
    while (door->waiting < tasks)
        give_way();
    return threads;
}

static void open_and_join(struct door *door, pth_t *threads, int64_t tasks)
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
    pth_t *threads = gather(&door, tasks, member);
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
    pth_t *threads = gather(&door, tasks, guest);
    peer_stop(0);
    peer_more("memory", "bytes/task", (double)(peer_resident() - before) / (double)tasks);
    int64_t start = peer_now();
    open_and_join(&door, threads, tasks);
    peer_more("wake", "ms", (double)(peer_now() - start) / 1e6);
    peer_check("woken", door.passed, tasks);
}

/* Rung once, it lets one go on. */
struct bell {
    pth_mutex_t mutex;
    pth_cond_t rung;
    bool rings;
};

static void bell_init(struct bell *bell)
{
    *bell = (struct bell){.rings = false};
    pth_mutex_init(&bell->mutex);
    pth_cond_init(&bell->rung);
}

static void ring_bell(struct bell *bell)
{
    pth_mutex_acquire(&bell->mutex, FALSE, NULL);
    bell->rings = true;
    pth_cond_notify(&bell->rung, FALSE);
    pth_mutex_release(&bell->mutex);
}

static void await_bell(struct bell *bell)
{
    pth_mutex_acquire(&bell->mutex, FALSE, NULL);
    while (!bell->rings)
        pth_cond_await(&bell->rung, &bell->mutex, NULL);
    bell->rings = false;
    pth_mutex_release(&bell->mutex);
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
    pth_t *threads = make(tasks, sizeof *threads);
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
    pth_t *threads = make(creatures, sizeof *threads);
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
    pth_mutex_t mutex;
    pth_cond_t more, room;
    int64_t *items, capacity, head, length, senders, each, sum, count;
};

static void queue_init(struct queue *queue)
{
    pth_mutex_init(&queue->mutex);
    pth_cond_init(&queue->more);
    pth_cond_init(&queue->room);
}

static void put(struct queue *queue, int64_t item)
{
    pth_mutex_acquire(&queue->mutex, FALSE, NULL);
    while (queue->length == queue->capacity)
        pth_cond_await(&queue->room, &queue->mutex, NULL);
    queue->items[(queue->head + queue->length++) % queue->capacity] = item;
    pth_cond_notify(&queue->more, FALSE);
    pth_mutex_release(&queue->mutex);
}

/* @return false when it is empty and nobody sends any more */
static bool take(struct queue *queue, int64_t *ret_item)
{
    pth_mutex_acquire(&queue->mutex, FALSE, NULL);
    while (queue->length == 0 && queue->senders > 0)
        pth_cond_await(&queue->more, &queue->mutex, NULL);
    bool got = queue->length > 0;
    if (got) {
        *ret_item = queue->items[queue->head];
        queue->head = (queue->head + 1) % queue->capacity;
        queue->length--;
        pth_cond_notify(&queue->room, FALSE);
    }
    pth_mutex_release(&queue->mutex);
    return got;
}

static void wake_receivers(struct queue *queue)
{
    pth_mutex_acquire(&queue->mutex, FALSE, NULL);
    pth_cond_notify(&queue->more, TRUE);
    pth_mutex_release(&queue->mutex);
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
    pth_t *threads = make(senders + receivers, sizeof *threads);
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
    pth_t threads[PRODCONS_MOST_FAN];
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
    pth_t second = spawn(give_back, NULL), first = spawn(serve, NULL);
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
    pth_t *threads = make(count, sizeof *threads);
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

static int64_t all_units(pth_t *threads)
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
    pth_t *threads = make(mix.units, sizeof *threads), *sleepers = make(mix.sleepers + 1, sizeof *sleepers);
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

static pth_mutex_t mutex;
static int64_t counter, longest;

static void *visitor(void *arg)
{
    for (int64_t i = *(int64_t *)arg; i > 0; i--) {
        pth_mutex_acquire(&mutex, FALSE, NULL);
        counter++;
        pth_mutex_release(&mutex);
    }
    return NULL;
}

static void *watching_visitor(void *arg)
{
    for (int64_t i = *(int64_t *)arg; i > 0; i--) {
        int64_t wait = peer_now();
        pth_mutex_acquire(&mutex, FALSE, NULL);
        wait = peer_now() - wait;
        longest = wait > longest ? wait : longest;
        counter++;
        pth_mutex_release(&mutex);
    }
    return NULL;
}

static void pass(int64_t tasks, void *(*fn)(void *arg), int64_t *turns)
{
    pth_t *threads = make(tasks, sizeof *threads);
    for (int64_t i = 0; i < tasks; i++)
        threads[i] = spawn(fn, turns);
    for (int64_t i = 0; i < tasks; i++)
        join(threads[i]);
    free(threads);
}

/* The call that blocks is the C library's, of which Pth knows nothing. */
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
    pth_t *threads = make(hold.tasks + 1, sizeof *threads);
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
    pth_mutex_init(&mutex);
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
        pth_t *threads = gather(&hall.door, waiters, go_through);
        int64_t start = peer_now();
        open_and_join(&hall.door, threads, waiters);
        sum += hall.last - start;
        through += hall.door.passed;
    }
    peer_stop(0);
    peer_check_cond(waiters, broadcasts, through, sum);
}

static struct {
    pth_mutex_t mutex;
    pth_cond_t never;
    int64_t arrived;
} hole;

static void *wait_for_ever(void *arg)
{
    pth_mutex_acquire(&hole.mutex, FALSE, NULL);
    hole.arrived++;
    for (;;)
        pth_cond_await(&hole.never, &hole.mutex, NULL);
    return arg;
}

static void run_cancel(void)
{
    int64_t tasks = peer_number("tasks", 1000000), cancelled = 0;
    pth_t *threads = make(tasks, sizeof *threads);
    pth_mutex_init(&hole.mutex);
    pth_cond_init(&hole.never);
    hole.arrived = 0;
    for (int64_t i = 0; i < tasks; i++)
        threads[i] = spawn(wait_for_ever, NULL);
    while (hole.arrived < tasks)
        give_way();
    peer_start();
    for (int64_t i = 0; i < tasks; i++)
        pth_cancel(threads[i]);
    for (int64_t i = 0; i < tasks; i++) {
        void *result = NULL;
        pth_join(threads[i], &result);
        cancelled += result == PTH_CANCELED;
    }
    peer_stop(0);
    peer_check("cancelled", cancelled, tasks);
    free(threads);
}

static struct peer_visits visits;
static pth_rwlock_t rwlock;

static void *visit_often(void *arg)
{
    struct peer_visitor *self = arg;
    for (int64_t i = 0; i < visits.rounds; i++) {
        bool reads = peer_reads(&visits, self);
        pth_rwlock_acquire(&rwlock, reads ? PTH_RWLOCK_RD : PTH_RWLOCK_RW, FALSE, NULL);
        if (reads)
            peer_look(&visits, self);
        else
            peer_change(&visits, self);
        pth_rwlock_release(&rwlock);
    }
    return NULL;
}

static void run_rwlock(void)
{
    peer_visits_set(&visits);
    pth_t *threads = make(visits.tasks, sizeof *threads);
    pth_rwlock_init(&rwlock);
    peer_start();
    for (int64_t i = 0; i < visits.tasks; i++)
        threads[i] = spawn(visit_often, &visits.visitor[i]);
    for (int64_t i = 0; i < visits.tasks; i++)
        join(threads[i]);
    peer_stop(visits.tasks * visits.rounds);
    peer_check_visits(&visits);
    free(threads);
}

static const struct peer_workload workloads[] = {
    {"fork", run_fork, "\"n\": 14"},
    {"integrate", run_integrate, "\"n\": 1"},
    {"stuck", run_stuck, NULL},
    {"flat", run_flat, "\"tasks\": 5000"},
    {"batch", run_batch, "\"batches\": 10"},
    {"skynet", run_skynet, "\"levels\": 3"},
    {"uts", run_uts, "\"tree\": \"default\""},
    {"queens", run_queens, "\"n\": 7"},
    {"yield", run_yield, "\"switches\": 200000"},
    {"pingpong", run_pingpong, "\"rounds\": 20000"},
    {"threadring", run_threadring, "\"passes\": 2000"},
    {"chameneos", run_chameneos, "\"meetings\": 50000"},
    {"chan", run_chan, "\"items\": 100000"},
    {"prodcons", run_prodcons, "\"items\": 500"},
    {"park", run_park, "\"tasks\": 2000"},
    {"cancel", run_cancel, "\"tasks\": 2000"},
    {"timers", run_timers, "\"tasks\": 1000"},
    {"mix", run_mix, "\"units\": 1000"},
    {"mutex", run_mutex, NULL},
    {"rwlock", run_rwlock, NULL},
    {"cond", run_cond, "\"waiters\": 500"},
    {0},
};

int main(int argc, char **argv)
{
    struct peer peer = {.name = "pth", .version = "GNU Pth " PTH_VERSION_STR, .workloads = workloads, .single = 1};
    if (!pth_init())
        peer_fail("pth_init");
    small = pth_attr_new();
    pth_attr_set(small, PTH_ATTR_STACK_SIZE, 32768);
    return peer_main(&peer, argc, argv);
}
