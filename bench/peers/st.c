/* SPDX-License-Identifier: MIT */
/* State Threads: the N:1 model for network servers. A task is st_thread_create and st_thread_join with a stack of 32 KiB; waiting is st_mutex
 * and st_cond, a yield st_usleep(0), a sleep st_usleep.
 *
 * One kernel thread whatever --workers is, so sort and matmul would be the serial code and are left out. */
#include "peer.h"

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
    struct placement *self = arg, next[PEER_QUEENS];
    st_thread_t threads[PEER_QUEENS];
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

static const struct peer_workload workloads[] = {
    {"fork", run_fork, "\"n\": 20"},
    {"flat", run_flat, "\"tasks\": 20000"},
    {"batch", run_batch, "\"batches\": 200"},
    {"skynet", run_skynet, "\"levels\": 4"},
    {"uts", run_uts, "\"tree\": \"default\""},
    {"queens", run_queens, "\"n\": 9"},
    {"yield", run_yield, NULL},
    {"pingpong", run_pingpong, NULL},
    {"chan", run_chan, NULL},
    {"park", run_park, "\"tasks\": 50000"},
    {"timers", run_timers, "\"tasks\": 20000"},
    {"mutex", run_mutex, NULL},
    {0},
};

int main(int argc, char **argv)
{
    struct peer peer = {.name = "st", .version = "State Threads " ST_VERSION, .workloads = workloads, .single = 1};
    if (st_init() < 0)
        peer_fail("st_init");
    return peer_main(&peer, argc, argv);
}
