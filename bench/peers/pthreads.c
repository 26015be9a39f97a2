/* SPDX-License-Identifier: MIT */
/* Plain POSIX threads: the 1:1 model. A task is a kernel thread with a stack of 64 KiB, pthread_create and pthread_join; waiting is a mutex and
 * conditions. No pool: one would be a runtime of its own, and the question here is what the kernel's threads cost. So sizes are small.
 * Where the system gives no further thread the work is done on the spot, as one would write it. */
#include "peer.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pthread_attr_t small;

struct thread {
    pthread_t id;
    bool started;
};

static void spawn(struct thread *thread, void *(*fn)(void *arg), void *arg)
{
    thread->started = pthread_create(&thread->id, &small, fn, arg) == 0;
    if (!thread->started)
        fn(arg);
}

static void join(struct thread *thread)
{
    if (thread->started)
        pthread_join(thread->id, NULL);
}

/* For tasks that wait for each other: here a thread that is not there is a failure. */
static void spawn_all(struct thread *threads, int64_t count, void *(*fn)(void *arg), void *args, size_t size)
{
    for (int64_t i = 0; i < count; i++) {
        errno = pthread_create(&threads[i].id, &small, fn, (char *)args + (size_t)i * size);
        if (errno)
            peer_fail("pthread_create");
        threads[i].started = true;
    }
}

static void join_all(struct thread *threads, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        join(&threads[i]);
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
    struct thread thread;
    if (part->n < 2) {
        part->fib = part->n;
        return NULL;
    }
    spawn(&thread, fib, &left);
    fib(&right);
    join(&thread);
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
    struct thread *threads = make(tasks, sizeof *threads);
    uint8_t *touched = make(tasks, 1);
    peer_start();
    for (int64_t i = 0; i < tasks; i++)
        spawn(&threads[i], touch, &touched[i]);
    join_all(threads, tasks);
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
    int64_t batches = peer_number("batches", 10), tasks = peer_number("tasks", 1000), ran = 0;
    struct thread *threads = make(tasks, sizeof *threads);
    uint32_t *counts = make(tasks, sizeof *counts);
    peer_start();
    for (int64_t k = 0; k < batches; k++) {
        for (int64_t i = 0; i < tasks; i++)
            spawn(&threads[i], count_up, &counts[i]);
        join_all(threads, tasks);
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
    struct thread threads[10];
    if (range->length == 1) {
        range->sum = range->first;
        return NULL;
    }
    int64_t length = range->length / 10;
    for (int i = 0; i < 10; i++) {
        parts[i] = (struct range){.first = range->first + i * length, .length = length};
        spawn(&threads[i], add_up, &parts[i]);
    }
    join_all(threads, 10);
    range->sum = 0;
    for (int i = 0; i < 10; i++)
        range->sum += parts[i].sum;
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
    struct peer_count below;
};

static void *visit(void *arg)
{
    struct visit *self = arg;
    int children = uts_children(&peer_tree, &self->node);
    peer_count_node(&self->below, &self->node, children);
    if (children == 0)
        return NULL;
    struct visit *child = make(children, sizeof *child);
    struct thread *threads = make(children, sizeof *threads);
    for (int i = 0; i < children; i++) {
        uts_child(&self->node, i, &child[i].node);
        spawn(&threads[i], visit, &child[i]);
    }
    join_all(threads, children);
    for (int i = 0; i < children; i++)
        peer_count_add(&self->below, &child[i].below);
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
    struct thread threads[PEER_QUEENS];
    int count = 0;
    self->solutions = self->board.row == queens;
    for (int column = 0; column < queens && self->board.row < queens; column++) {
        if (!peer_safe(&self->board, self->board.row, column))
            continue;
        next[count].board = self->board;
        next[count].board.column[next[count].board.row++] = (uint8_t)column;
        spawn(&threads[count], place, &next[count]);
        count++;
    }
    while (count-- > 0) {
        join(&threads[count]);
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

struct merging {
    const uint32_t *a, *b;
    int64_t m, k;
    uint32_t *out;
};

static void *merge(void *arg)
{
    struct merging w = *(struct merging *)arg;
    struct thread thread;
    if (w.m < w.k)
        w = (struct merging){w.b, w.a, w.k, w.m, w.out};
    if (w.m + w.k <= peer_grain) {
        peer_merge(w.a, w.m, w.b, w.k, w.out);
        return NULL;
    }
    int64_t i = w.m / 2, j = peer_place_of(w.a[i], w.b, w.k);
    struct merging low = {w.a, w.b, i, j, w.out}, high = {w.a + i, w.b + j, w.m - i, w.k - j, w.out + i + j};
    spawn(&thread, merge, &low);
    merge(&high);
    join(&thread);
    return NULL;
}

struct sorting {
    uint32_t *a, *b;
    int64_t length;
    bool over;
};

static void *sort(void *arg)
{
    const struct sorting *w = arg;
    struct thread thread;
    if (w->length <= peer_grain) {
        peer_sort_serial(w->a, w->b, w->length, w->over);
        return NULL;
    }
    int64_t half = w->length / 2;
    struct sorting low = {w->a, w->b, half, !w->over}, high = {w->a + half, w->b + half, w->length - half, !w->over};
    spawn(&thread, sort, &low);
    sort(&high);
    join(&thread);
    uint32_t *from = w->over ? w->a : w->b, *to = w->over ? w->b : w->a;
    return merge(&(struct merging){from, from + half, half, w->length - half, to});
}

static void run_sort(void)
{
    peer_sort_set();
    peer_start();
    sort(&(struct sorting){peer_data, peer_spare, peer_sort_n, false});
    peer_stop(0);
    peer_check_sort();
}

static void *multiply(void *arg)
{
    struct peer_block half[2];
    struct thread thread;
    enum peer_cut cut = peer_halve(arg, half);
    if (cut == PEER_CUT_NONE) {
        peer_multiply(arg);
    } else if (cut == PEER_CUT_COMMON) {
        multiply(&half[0]);
        multiply(&half[1]);
    } else {
        spawn(&thread, multiply, &half[1]);
        multiply(&half[0]);
        join(&thread);
    }
    return NULL;
}

static void run_matmul(void)
{
    struct peer_block all = peer_matmul_set();
    peer_start();
    multiply(&all);
    peer_stop(0);
    peer_check_matmul();
}

/* ---- threads that wait ---- */

/* A door that opens once; how many stand before it. */
struct door {
    pthread_mutex_t mutex;
    pthread_cond_t opened, arrived;
    bool open;
    int64_t waiting, passed, rounds;
};

static void wait_before(struct door *door)
{
    pthread_mutex_lock(&door->mutex);
    door->waiting++;
    pthread_cond_signal(&door->arrived);
    while (!door->open)
        pthread_cond_wait(&door->opened, &door->mutex);
    door->passed++;
    pthread_mutex_unlock(&door->mutex);
}

static void wait_until_all(struct door *door, int64_t count)
{
    pthread_mutex_lock(&door->mutex);
    while (door->waiting < count)
        pthread_cond_wait(&door->arrived, &door->mutex);
    pthread_mutex_unlock(&door->mutex);
}

static void open_up(struct door *door)
{
    pthread_mutex_lock(&door->mutex);
    door->open = true;
    pthread_cond_broadcast(&door->opened);
    pthread_mutex_unlock(&door->mutex);
}

#define DOOR                                                                                                        \
    {                                                                                                               \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER, .arrived = PTHREAD_COND_INITIALIZER \
    }

static void *member(void *arg)
{
    struct door *door = arg;
    wait_before(door);
    for (int64_t i = 0; i < door->rounds; i++)
        sched_yield();
    return NULL;
}

static void run_yield(void)
{
    int64_t tasks = peer_number("tasks", 1000), switches = peer_number("switches", 1000000);
    struct door door = DOOR;
    struct thread *threads = make(tasks, sizeof *threads);
    door.rounds = switches / tasks ? switches / tasks : 1;
    spawn_all(threads, tasks, member, &door, 0);
    wait_until_all(&door, tasks);
    peer_start();
    open_up(&door);
    join_all(threads, tasks);
    peer_stop(door.rounds * tasks);
    peer_check("yields", door.rounds * door.passed, door.rounds * tasks);
    free(threads);
}

static void *guest(void *arg)
{
    wait_before(arg);
    return NULL;
}

static void run_park(void)
{
    int64_t tasks = peer_number("tasks", 10000), before = peer_resident();
    struct door door = DOOR;
    struct thread *threads = make(tasks, sizeof *threads);
    peer_start();
    spawn_all(threads, tasks, guest, &door, 0);
    wait_until_all(&door, tasks);
    peer_stop(0);
    peer_more("memory", "bytes/task", (double)(peer_resident() - before) / (double)tasks);
    int64_t start = peer_now();
    open_up(&door);
    join_all(threads, tasks);
    peer_more("wake", "ms", (double)(peer_now() - start) / 1e6);
    peer_check("woken", door.passed, tasks);
    free(threads);
}

/* A bounded queue. */
struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t more, room;
    int64_t *items, capacity, head, length, senders, each, sum, count;
};

static void queue_init(struct queue *queue, int64_t capacity)
{
    *queue = (struct queue){.mutex = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER, .room = PTHREAD_COND_INITIALIZER};
    queue->capacity = capacity;
    queue->items = make(capacity, sizeof *queue->items);
}

static void put(struct queue *queue, int64_t item)
{
    pthread_mutex_lock(&queue->mutex);
    while (queue->length == queue->capacity)
        pthread_cond_wait(&queue->room, &queue->mutex);
    queue->items[(queue->head + queue->length++) % queue->capacity] = item;
    pthread_cond_signal(&queue->more);
    pthread_mutex_unlock(&queue->mutex);
}

/* @return false when it is empty and nobody sends any more */
static bool take(struct queue *queue, int64_t *ret_item)
{
    pthread_mutex_lock(&queue->mutex);
    while (queue->length == 0 && queue->senders > 0)
        pthread_cond_wait(&queue->more, &queue->mutex);
    bool got = queue->length > 0;
    if (got) {
        *ret_item = queue->items[queue->head];
        queue->head = (queue->head + 1) % queue->capacity;
        queue->length--;
        pthread_cond_signal(&queue->room);
    }
    pthread_mutex_unlock(&queue->mutex);
    return got;
}

static void *sender(void *arg)
{
    struct queue *queue = arg;
    for (int64_t i = 1; i <= queue->each; i++)
        put(queue, i);
    pthread_mutex_lock(&queue->mutex);
    if (--queue->senders == 0)
        pthread_cond_broadcast(&queue->more);
    pthread_mutex_unlock(&queue->mutex);
    return NULL;
}

static void *receiver(void *arg)
{
    struct queue *queue = arg;
    int64_t item, sum = 0, count = 0;
    for (; take(queue, &item); count++)
        sum += item;
    pthread_mutex_lock(&queue->mutex);
    queue->sum += sum;
    queue->count += count;
    pthread_mutex_unlock(&queue->mutex);
    return NULL;
}

static void run_chan(void)
{
    int64_t senders = peer_number("senders", 1), receivers = peer_number("receivers", 1), capacity = peer_number("capacity", 256);
    int64_t items = peer_number("items", 4000000);
    struct queue queue;
    if (capacity == 0)
        peer_cannot("a queue of mutex and conditions is no rendezvous");
    queue_init(&queue, capacity);
    queue.senders = senders;
    queue.each = items / senders ? items / senders : 1;
    struct thread *threads = make(senders + receivers, sizeof *threads);
    peer_start();
    spawn_all(threads, receivers, receiver, &queue, 0);
    spawn_all(threads + receivers, senders, sender, &queue, 0);
    join_all(threads, senders + receivers);
    peer_stop(queue.each * senders);
    peer_check("items", queue.count, queue.each * senders);
    peer_check("sum", queue.sum, senders * (queue.each * (queue.each + 1) / 2));
    free(queue.items);
    free(threads);
}

/* One ball, and whose turn it is. */
static struct court {
    pthread_mutex_t mutex;
    pthread_cond_t turned[2];
    int turn;
    int64_t ball, rounds, hits[2];
} court;

static void *player(void *arg)
{
    int self = *(int *)arg;
    pthread_mutex_lock(&court.mutex);
    for (int64_t i = 0; i < court.rounds; i++) {
        while (court.turn != self)
            pthread_cond_wait(&court.turned[self], &court.mutex);
        court.hits[self] += court.ball == i;
        court.ball += self;
        court.turn = !self;
        pthread_cond_signal(&court.turned[!self]);
    }
    pthread_mutex_unlock(&court.mutex);
    return NULL;
}

static void run_pingpong(void)
{
    struct thread threads[2];
    int players[2] = {0, 1};
    court = (struct court){.mutex = PTHREAD_MUTEX_INITIALIZER, .turned = {PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER}};
    court.rounds = peer_number("rounds", 2000000);
    peer_start();
    spawn_all(threads, 2, player, players, sizeof *players);
    join_all(threads, 2);
    peer_stop(court.rounds);
    peer_check("pings", court.hits[0], court.rounds);
    peer_check("pongs", court.hits[1], court.rounds);
}

static void *sleeper(void *arg)
{
    struct peer_nap *nap = arg;
    struct timespec time = {.tv_sec = nap->ns / 1000000000, .tv_nsec = nap->ns % 1000000000};
    int64_t start = peer_now();
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &time) == EINTR)
        ;
    nap->late = peer_now() - start - nap->ns;
    return NULL;
}

static void run_timers(void)
{
    int64_t count;
    struct peer_nap *naps = peer_naps_set(&count);
    struct thread *threads = make(count, sizeof *threads);
    peer_start();
    spawn_all(threads, count, sleeper, naps, sizeof *naps);
    join_all(threads, count);
    peer_stop(0);
    peer_check_naps(naps, count);
    free(threads);
}

static struct {
    pthread_mutex_t mutex;
    int64_t counter;
} shared;

struct visitor {
    int64_t turns, longest;
    bool watch;
};

static void *visitor(void *arg)
{
    struct visitor *self = arg;
    for (int64_t i = 0; i < self->turns; i++) {
        int64_t wait = self->watch ? peer_now() : 0;
        pthread_mutex_lock(&shared.mutex);
        wait = self->watch ? peer_now() - wait : 0;
        shared.counter++;
        pthread_mutex_unlock(&shared.mutex);
        self->longest = wait > self->longest ? wait : self->longest;
    }
    return NULL;
}

static void run_mutex(void)
{
    struct peer_turns turns = peer_turns_set();
    struct visitor *visitors = make(turns.tasks, sizeof *visitors);
    struct thread *threads = make(turns.tasks, sizeof *threads);
    int64_t longest = 0;
    pthread_mutex_init(&shared.mutex, NULL);
    shared.counter = 0;
    for (int64_t i = 0; i < turns.tasks; i++)
        visitors[i] = (struct visitor){.turns = turns.turns};
    peer_start();
    spawn_all(threads, turns.tasks, visitor, visitors, sizeof *visitors);
    join_all(threads, turns.tasks);
    peer_stop(turns.turns * turns.tasks);
    for (int64_t i = 0; i < turns.tasks; i++)
        visitors[i] = (struct visitor){.turns = turns.fewer, .watch = true};
    spawn_all(threads, turns.tasks, visitor, visitors, sizeof *visitors);
    join_all(threads, turns.tasks);
    for (int64_t i = 0; i < turns.tasks; i++)
        longest = visitors[i].longest > longest ? visitors[i].longest : longest;
    peer_check_turns(&turns, shared.counter, longest);
    free(visitors);
    free(threads);
}

static const struct peer_workload workloads[] = {
    {"fork", run_fork, "\"n\": 20"},
    {"flat", run_flat, "\"tasks\": 10000"},
    {"batch", run_batch, "\"batches\": 20"},
    {"skynet", run_skynet, "\"levels\": 4"},
    {"uts", run_uts, "\"tree\": \"default\""},
    {"queens", run_queens, "\"n\": 8"},
    {"sort", run_sort, NULL},
    {"matmul", run_matmul, NULL},
    {"yield", run_yield, "\"tasks\": 1000, \"switches\": 200000"},
    {"pingpong", run_pingpong, "\"rounds\": 200000"},
    {"chan", run_chan, NULL},
    {"park", run_park, "\"tasks\": 10000"},
    {"timers", run_timers, "\"tasks\": 5000"},
    {"mutex", run_mutex, NULL},
    {0},
};

int main(int argc, char **argv)
{
    char version[64];
    snprintf(version, sizeof version, "glibc %s", gnu_get_libc_version());
    if (pthread_attr_init(&small) != 0 || pthread_attr_setstacksize(&small, 65536) != 0)
        peer_fail("pthread_attr_setstacksize");
    return peer_main(&(struct peer){.name = "pthreads", .version = version, .workloads = workloads}, argc, argv);
}
