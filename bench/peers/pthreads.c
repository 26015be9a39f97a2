/* SPDX-License-Identifier: MIT */
/* Plain POSIX threads: the 1:1 model. A task is a kernel thread with a stack of 64 KiB, pthread_create and pthread_join; waiting is a mutex and
 * conditions, or a semaphore. No pool: one would be a runtime of its own, and the question here is what the kernel's threads cost. So
 * sizes are small. A loop is shared out to --workers threads, which take the next part when they are done with one. Where the system
 * gives no further thread the work is done on the spot, as one would write it.
 *
 * There is no waiting for one of several queues, so no select. */
#include "peer.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BODIES_AT_A_TIME 64

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

/* A loop that threads share: each takes the next part. */
struct loop {
    void (*body)(void *arg, int64_t begin, int64_t end);
    void *arg;
    int64_t count, grain;
    atomic_int_fast64_t next;
};

static void *take_parts(void *arg)
{
    struct loop *loop = arg;
    for (int64_t begin; (begin = atomic_fetch_add(&loop->next, loop->grain)) < loop->count;)
        loop->body(loop->arg, begin, loop->count - begin < loop->grain ? loop->count : begin + loop->grain);
    return NULL;
}

static void share_out(int64_t count, int64_t grain, void (*body)(void *arg, int64_t begin, int64_t end), void *arg)
{
    struct loop loop = {.body = body, .arg = arg, .count = count, .grain = grain};
    struct thread threads[64];
    int64_t others = peer_workers - 1;
    others = others < 64 ? others : 64;
    for (int64_t i = 0; i < others; i++)
        spawn(&threads[i], take_parts, &loop);
    take_parts(&loop);
    join_all(threads, others);
}

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

static void *integrate(void *arg)
{
    struct integrate_piece half[2];
    struct thread thread;
    if (!integrate_halve(arg, peer_epsilon, half))
        return NULL;
    spawn(&thread, integrate, &half[1]);
    integrate(&half[0]);
    join(&thread);
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
    struct thread *threads = make(children, sizeof *threads);
    for (int i = 0; i < children; i++) {
        uts_child(&self->node, i, &child[i].node);
        spawn(&threads[i], visit, &child[i]);
    }
    join_all(threads, children);
    for (int i = 0; i < children; i++)
        uts_count_add(&self->below, &child[i].below);
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
    struct thread threads[QUEENS_MOST];
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
        sort_merge(w.a, w.m, w.b, w.k, w.out);
        return NULL;
    }
    int64_t i = w.m / 2, j = sort_place_of(w.a[i], w.b, w.k);
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
        sort_serial(w->a, w->b, w->length, w->over);
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
    sort(&(struct sorting){peer_sort.data, peer_sort.spare, peer_sort.n, false});
    peer_stop(0);
    peer_check_sort();
}

static void *multiply(void *arg)
{
    struct matmul_block half[2];
    struct thread thread;
    enum matmul_cut cut = matmul_halve(arg, half);
    if (cut == MATMUL_CUT_NONE) {
        matmul_leaf(arg);
    } else if (cut == MATMUL_CUT_COMMON) {
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
    struct matmul_block all = peer_matmul_set();
    peer_start();
    multiply(&all);
    peer_stop(0);
    peer_check_matmul();
}

static void before(void *arg, int64_t begin, int64_t end)
{
    strassen_before(arg, begin, end);
}

static void after(void *arg, int64_t begin, int64_t end)
{
    strassen_after(arg, begin, end);
}

static void *multiply_seven(void *arg)
{
    struct strassen_product *p = arg;
    struct strassen_branch w;
    struct thread threads[STRASSEN_PARTS];
    if (p->size <= peer_strassen.cutoff) {
        strassen_leaf(p);
        return NULL;
    }
    if (strassen_branch_make(&w, p) < 0)
        peer_fail("malloc");
    share_out(w.half, STRASSEN_GRAIN, before, &w);
    for (int i = 1; i < STRASSEN_PARTS; i++)
        spawn(&threads[i], multiply_seven, &w.parts[i]);
    multiply_seven(&w.parts[0]);
    join_all(threads + 1, STRASSEN_PARTS - 1);
    share_out(w.half, STRASSEN_GRAIN, after, &w);
    strassen_branch_free(&w);
    return NULL;
}

static void run_strassen(void)
{
    struct strassen_product all = peer_strassen_set();
    peer_start();
    multiply_seven(&all);
    peer_stop(0);
    peer_check_strassen();
}

static void kick(void *arg, int64_t begin, int64_t end)
{
    nbody_kick(arg, begin, end);
}

static void run_nbody(void)
{
    struct nbody_world world;
    peer_nbody_set(&world);
    peer_start();
    for (int64_t step = 0; step < peer_steps; step++) {
        nbody_begin_step(&world);
        share_out(peer_bodies, BODIES_AT_A_TIME, kick, &world);
        nbody_end_step(&world);
    }
    peer_stop(0);
    peer_check_nbody(&world);
}

static void count_bytes(void *arg, int64_t begin, int64_t end)
{
    atomic_int_fast64_t *common = arg;
    uint32_t bins[HISTOGRAM_BINS];
    histogram_count(peer_histogram.data + begin, end - begin, bins);
    for (int bin = 0; bin < HISTOGRAM_BINS; bin++)
        if (bins[bin])
            atomic_fetch_add(&common[bin], bins[bin]);
}

static void run_histogram(void)
{
    int64_t grain = peer_histogram_set(), bins[HISTOGRAM_BINS];
    atomic_int_fast64_t common[HISTOGRAM_BINS] = {0};
    peer_start();
    share_out(peer_histogram.bytes, grain, count_bytes, common);
    peer_stop(0);
    for (int bin = 0; bin < HISTOGRAM_BINS; bin++)
        bins[bin] = atomic_load(&common[bin]);
    peer_check_histogram(bins);
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

static void nap_us(int64_t us)
{
    struct timespec time = {.tv_nsec = us * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static void *held_up(void *arg)
{
    peer_hold_sleep(arg, nap_us);
    return NULL;
}

static void *blocker(void *arg)
{
    peer_hold_block(arg, nap_us);
    return NULL;
}

static void run_stuck(void)
{
    struct peer_hold hold = peer_hold_set();
    struct thread *threads = make(hold.tasks + 1, sizeof *threads);
    peer_start();
    spawn_all(threads, hold.tasks, held_up, &hold, 0);
    spawn_all(threads + hold.tasks, 1, blocker, &hold, 0);
    join_all(threads, hold.tasks + 1);
    peer_stop(0);
    peer_check_hold(&hold);
    free(threads);
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

/* ---- threads that wait for parts of the work ---- */

/* A thread a tile, which does all calls for it one after the other. They are there from the beginning. */
struct work {
    struct work *all;
    int64_t i, j;
    pthread_mutex_t mutex;
    pthread_cond_t finished;
    bool final;
};

static void await_final(struct work *work)
{
    pthread_mutex_lock(&work->mutex);
    while (!work->final)
        pthread_cond_wait(&work->finished, &work->mutex);
    pthread_mutex_unlock(&work->mutex);
}

static void *factor(void *arg)
{
    struct work *self = arg, *row = &self->all[cholesky_place(self->i, 0)], *other = &self->all[cholesky_place(self->j, 0)];
    for (int64_t k = 0; k < self->j; k++) {
        await_final(&row[k]);
        await_final(&other[k]);
        cholesky_update(&peer_cholesky, self->i, self->j, k);
    }
    if (self->i != self->j)
        await_final(&other[self->j]);
    cholesky_end(&peer_cholesky, self->i, self->j);
    pthread_mutex_lock(&self->mutex);
    self->final = true;
    pthread_cond_broadcast(&self->finished);
    pthread_mutex_unlock(&self->mutex);
    return NULL;
}

static void run_cholesky(void)
{
    peer_cholesky_set();
    int64_t count = cholesky_tiles(&peer_cholesky);
    struct work *all = make(count, sizeof *all);
    struct thread *threads = make(count, sizeof *threads);
    peer_start();
    for (int64_t i = 0; i < peer_cholesky.edge; i++)
        for (int64_t j = 0; j <= i; j++)
            all[cholesky_place(i, j)] =
                (struct work){.all = all, .i = i, .j = j, .mutex = PTHREAD_MUTEX_INITIALIZER, .finished = PTHREAD_COND_INITIALIZER};
    spawn_all(threads, count, factor, all, sizeof *all);
    join_all(threads, count);
    peer_stop(0);
    peer_check_cholesky();
    free(threads);
    free(all);
}

struct tile {
    const struct wavefront_cells *cells;
    struct tile *below, *right;
    int64_t i, j;
    sem_t ready; /* one unit from above, one from the left */
};

static void *fill(void *arg)
{
    struct tile *self = arg;
    for (int64_t from = (self->i > 0) + (self->j > 0); from > 0; from--)
        sem_wait(&self->ready);
    wavefront_compute(self->cells, self->i, self->j);
    if (self->below)
        sem_post(&self->below->ready);
    if (self->right)
        sem_post(&self->right->ready);
    return NULL;
}

static void run_wavefront(void)
{
    struct wavefront_cells cells;
    int64_t edge = peer_wavefront_set(&cells), count = edge * edge;
    struct tile *tiles = make(count, sizeof *tiles);
    struct thread *threads = make(count, sizeof *threads);
    peer_start();
    for (int64_t at = 0; at < count; at++) {
        int64_t i = at / edge, j = at % edge;
        tiles[at] = (struct tile){&cells, i + 1 < edge ? &tiles[at + edge] : NULL, j + 1 < edge ? &tiles[at + 1] : NULL, i, j, {{0}}};
        sem_init(&tiles[at].ready, 0, 0);
    }
    spawn_all(threads, count, fill, tiles, sizeof *tiles);
    join_all(threads, count);
    peer_stop(0);
    peer_check_wavefront(&cells);
    free(threads);
    free(tiles);
}

/* ---- threads that wait for each other ---- */

/* The token lies in common memory; who has been posted to has it. */
struct ring {
    int64_t token, name;
};

struct station {
    struct ring *ring;
    struct station *next;
    sem_t come;
    int64_t name, passed;
    bool ended;
};

static void *pass_on(void *arg)
{
    struct station *self = arg;
    struct ring *ring = self->ring;
    while (sem_wait(&self->come) == 0 && ring->name == 0 && ring->token > 0) {
        ring->token--;
        self->passed++;
        sem_post(&self->next->come);
    }
    if (ring->name == 0)
        ring->name = self->name;
    self->ended = true;
    sem_post(&self->next->come);
    return NULL;
}

static void run_threadring(void)
{
    int64_t passes = peer_number("passes", 5000000), tasks = peer_number("tasks", 503), passed = 0, ended = 0;
    struct station *stations = make(tasks, sizeof *stations);
    struct thread *threads = make(tasks, sizeof *threads);
    struct ring ring = {.token = passes};
    for (int64_t i = 0; i < tasks; i++) {
        stations[i] = (struct station){.ring = &ring, .next = &stations[(i + 1) % tasks], .name = i + 1};
        sem_init(&stations[i].come, 0, 0);
    }
    peer_start();
    spawn_all(threads, tasks, pass_on, stations, sizeof *stations);
    sem_post(&stations[0].come);
    join_all(threads, tasks);
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
    sem_t met_one;
    struct chameneos self;
};

struct place {
    pthread_mutex_t mutex;
    struct creature *waiting;
    int64_t left; /* meetings */
};

static void *live(void *arg)
{
    struct creature *self = arg;
    struct place *place = self->place;
    for (;;) {
        pthread_mutex_lock(&place->mutex);
        struct creature *other = place->waiting;
        bool open = place->left > 0;
        if (open)
            place->waiting = other ? NULL : self;
        if (open && other) {
            place->left--;
            chameneos_meet(&self->self, &other->self);
            sem_post(&other->met_one);
        }
        pthread_mutex_unlock(&place->mutex);
        if (!open)
            return NULL;
        if (!other)
            sem_wait(&self->met_one);
    }
}

static void run_chameneos(void)
{
    int64_t creatures = peer_number("creatures", 10), meetings = peer_number("meetings", 2000000);
    struct place place = {.mutex = PTHREAD_MUTEX_INITIALIZER, .left = meetings};
    struct creature *all = make(creatures, sizeof *all);
    struct thread *threads = make(creatures, sizeof *threads);
    struct chameneos sum = {.met = 0};
    for (int64_t i = 0; i < creatures; i++) {
        all[i] = (struct creature){.place = &place, .self = chameneos_begin(i)};
        sem_init(&all[i].met_one, 0, 0);
    }
    peer_start();
    spawn_all(threads, creatures, live, all, sizeof *all);
    join_all(threads, creatures);
    peer_stop(meetings);
    for (int64_t i = 0; i < creatures; i++)
        chameneos_add(&sum, &all[i].self);
    peer_check_chameneos(&sum, creatures, meetings);
    free(threads);
    free(all);
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

/* ---- a tree of them ---- */

static void close_queue(struct queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->senders = 0;
    pthread_cond_broadcast(&queue->more);
    pthread_mutex_unlock(&queue->mutex);
}

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

static void *produce(void *arg)
{
    struct node *self = arg, *child;
    const struct peer_tree_of_channels *tree = self->tree;
    struct thread threads[PRODCONS_MOST_FAN];
    int64_t number = 0, count = 0, sum = 0;
    if (self->level == tree->levels) {
        for (; next_number(self, &number); count++)
            sum += number;
        self->sums = prodcons_leaf(count, sum);
        return NULL;
    }
    child = make(tree->fan, sizeof *child);
    for (int64_t i = 0; i < tree->fan; i++) {
        child[i].tree = tree;
        child[i].level = self->level + 1;
        queue_init(&child[i].in, tree->capacity);
        child[i].in.senders = 1;
    }
    spawn_all(threads, tree->fan, produce, child, sizeof *child);
    for (int64_t turn = 0; next_number(self, &number); turn = turn + 1 == tree->fan ? 0 : turn + 1)
        put(&child[turn].in, number);
    for (int64_t i = 0; i < tree->fan; i++)
        close_queue(&child[i].in);
    join_all(threads, tree->fan);
    self->sums = child[0].sums;
    for (int64_t i = 0; i < tree->fan; i++) {
        if (i > 0)
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
        peer_cannot("a queue of mutex and conditions is no rendezvous");
    peer_start();
    produce(&root);
    peer_stop(tree.items * tree.levels);
    peer_check_prodcons(&tree, &root.sums);
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

static struct peer_mix mix;
static atomic_bool units_done;
static atomic_int_fast64_t asleep;

static void *unit(void *arg)
{
    peer_compute(&mix, arg);
    return NULL;
}

static void *sleep_on(void *arg)
{
    struct peer_sleeper *self = arg;
    atomic_fetch_add(&asleep, 1);
    while (!atomic_load(&units_done)) {
        int64_t ns = peer_falls_asleep(&mix, self);
        struct timespec time = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
        while (clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &time) == EINTR)
            ;
        peer_wakes_up(self);
    }
    return NULL;
}

static int64_t all_units(struct thread *threads)
{
    int64_t start = peer_now();
    for (int64_t i = 0; i < mix.units; i++)
        spawn(&threads[i], unit, &mix.unit[i]);
    join_all(threads, mix.units);
    return peer_now() - start;
}

static void run_mix(void)
{
    peer_mix_set(&mix);
    struct thread *threads = make(mix.units, sizeof *threads), *sleepers = make(mix.sleepers + 1, sizeof *sleepers);
    atomic_store(&units_done, false);
    atomic_store(&asleep, 0);
    peer_start();
    mix.alone = all_units(threads);
    peer_mix_again(&mix);
    spawn_all(sleepers, mix.sleepers, sleep_on, mix.sleeper, sizeof *mix.sleeper);
    while (atomic_load(&asleep) < mix.sleepers)
        sched_yield();
    mix.beside = all_units(threads);
    atomic_store(&units_done, true);
    join_all(sleepers, mix.sleepers);
    peer_stop(0);
    peer_check_mix(&mix);
    free(sleepers);
    free(threads);
}

/* ---- locks ---- */

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

static struct peer_visits visits;
static pthread_rwlock_t rwlock;

static void *visit_often(void *arg)
{
    struct peer_visitor self = *(struct peer_visitor *)arg;
    for (int64_t i = 0; i < visits.rounds; i++) {
        if (peer_reads(&visits, &self)) {
            pthread_rwlock_rdlock(&rwlock);
            peer_look(&visits, &self);
        } else {
            pthread_rwlock_wrlock(&rwlock);
            peer_change(&visits, &self);
        }
        pthread_rwlock_unlock(&rwlock);
    }
    *(struct peer_visitor *)arg = self;
    return NULL;
}

static void run_rwlock(void)
{
    peer_visits_set(&visits);
    struct thread *threads = make(visits.tasks, sizeof *threads);
    pthread_rwlock_init(&rwlock, NULL);
    peer_start();
    spawn_all(threads, visits.tasks, visit_often, visits.visitor, sizeof *visits.visitor);
    join_all(threads, visits.tasks);
    peer_stop(visits.tasks * visits.rounds);
    peer_check_visits(&visits);
    free(threads);
}

static struct {
    sem_t sem;
    int64_t units, turns;
    bool watch;
    atomic_int_fast64_t inside, beyond, done;
} hut;

static void *go_inside(void *arg)
{
    for (int64_t i = 0; i < hut.turns; i++) {
        while (sem_wait(&hut.sem) != 0)
            ; /* a signal */
        if (hut.watch) {
            if (atomic_fetch_add(&hut.inside, 1) >= hut.units)
                atomic_fetch_add(&hut.beyond, 1);
            atomic_fetch_sub(&hut.inside, 1);
        }
        sem_post(&hut.sem);
    }
    atomic_fetch_add(&hut.done, hut.turns);
    return arg;
}

static void run_sem(void)
{
    struct peer_units units = peer_units_set();
    struct thread *threads = make(units.tasks, sizeof *threads);
    int left = 0;
    hut.units = units.units;
    hut.turns = units.turns;
    hut.watch = false;
    atomic_store(&hut.inside, 0);
    atomic_store(&hut.beyond, 0);
    atomic_store(&hut.done, 0);
    sem_init(&hut.sem, 0, (unsigned)units.units);
    peer_start();
    spawn_all(threads, units.tasks, go_inside, NULL, 0);
    join_all(threads, units.tasks);
    peer_stop(units.turns * units.tasks);
    hut.turns = units.fewer;
    hut.watch = true;
    spawn_all(threads, units.tasks, go_inside, NULL, 0);
    join_all(threads, units.tasks);
    sem_getvalue(&hut.sem, &left);
    peer_check_units(&units, atomic_load(&hut.done), atomic_load(&hut.beyond), left);
    free(threads);
}

/* ---- waking many ---- */

/* Who waits for the flag, and when the last of them has gone through. */
struct hall {
    struct door door;
    int64_t count, last;
};

static void *go_through(void *arg)
{
    struct hall *hall = arg;
    struct door *door = &hall->door;
    pthread_mutex_lock(&door->mutex);
    door->waiting++;
    pthread_cond_signal(&door->arrived);
    while (!door->open)
        pthread_cond_wait(&door->opened, &door->mutex);
    if (++door->passed == hall->count)
        hall->last = peer_now();
    pthread_mutex_unlock(&door->mutex);
    return NULL;
}

static void run_cond(void)
{
    int64_t waiters = peer_number("waiters", 10000), rounds = peer_number("rounds", 5), through = 0, sum = 0;
    struct thread *threads = make(waiters, sizeof *threads);
    peer_start();
    for (int64_t i = 0; i < rounds; i++) {
        struct hall hall = {.door = DOOR, .count = waiters};
        spawn_all(threads, waiters, go_through, &hall, 0);
        wait_until_all(&hall.door, waiters);
        pthread_mutex_lock(&hall.door.mutex);
        hall.door.open = true;
        pthread_mutex_unlock(&hall.door.mutex);
        int64_t start = peer_now();
        pthread_cond_broadcast(&hall.door.opened);
        join_all(threads, waiters);
        sum += hall.last - start;
        through += hall.door.passed;
    }
    peer_stop(0);
    peer_check_cond(waiters, rounds, through, sum);
    free(threads);
}

static atomic_int_fast64_t arrived;
static sem_t never;

static void *wait_for_ever(void *arg)
{
    atomic_fetch_add(&arrived, 1);
    while (sem_wait(&never) != 0)
        ; /* a signal; here it is cancelled */
    return arg;
}

static void run_cancel(void)
{
    int64_t tasks = peer_number("tasks", 1000000), cancelled = 0;
    struct thread *threads = make(tasks, sizeof *threads);
    atomic_store(&arrived, 0);
    sem_init(&never, 0, 0);
    spawn_all(threads, tasks, wait_for_ever, NULL, 0);
    while (atomic_load(&arrived) < tasks)
        sched_yield();
    peer_start();
    for (int64_t i = 0; i < tasks; i++)
        pthread_cancel(threads[i].id);
    for (int64_t i = 0; i < tasks; i++) {
        void *result = NULL;
        pthread_join(threads[i].id, &result);
        cancelled += result == PTHREAD_CANCELED;
    }
    peer_stop(0);
    peer_check("cancelled", cancelled, tasks);
    free(threads);
}

static const struct peer_workload workloads[] = {
    {"fork", run_fork, "\"n\": 20"},
    {"integrate", run_integrate, "\"n\": 8"},
    {"stuck", run_stuck, NULL},
    {"flat", run_flat, "\"tasks\": 10000"},
    {"batch", run_batch, "\"batches\": 20"},
    {"skynet", run_skynet, "\"levels\": 4"},
    {"uts", run_uts, "\"tree\": \"default\""},
    {"queens", run_queens, "\"n\": 8"},
    {"sort", run_sort, NULL},
    {"matmul", run_matmul, NULL},
    {"strassen", run_strassen, NULL},
    {"cholesky", run_cholesky, NULL},
    {"nbody", run_nbody, NULL},
    {"wavefront", run_wavefront, NULL},
    {"histogram", run_histogram, NULL},
    {"yield", run_yield, "\"tasks\": 1000, \"switches\": 200000"},
    {"pingpong", run_pingpong, "\"rounds\": 200000"},
    {"threadring", run_threadring, "\"passes\": 200000"},
    {"chameneos", run_chameneos, "\"meetings\": 200000"},
    {"chan", run_chan, NULL},
    {"prodcons", run_prodcons, NULL},
    {"park", run_park, "\"tasks\": 10000"},
    {"cancel", run_cancel, "\"tasks\": 10000"},
    {"timers", run_timers, "\"tasks\": 5000"},
    {"mix", run_mix, NULL},
    {"mutex", run_mutex, NULL},
    {"rwlock", run_rwlock, NULL},
    {"sem", run_sem, NULL},
    {"cond", run_cond, NULL},
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
