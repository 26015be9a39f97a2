/* SPDX-License-Identifier: MIT */
/* The laws of the deadlock report: it comes when nothing can wake a task any more but a task, once, and names who waits for what; it doesn't come while anything else
 * could: a timer, an operation, a thread that holds the runtime or a lock.
 *
 * Every deadlock here is resolved by the report itself, which cancels the scope or sets the event that all wait for. */
#include "api.h"

static struct {
    char text[4096];
    atomic_int count;
    filch_scope *scope; /* cancelled by the report */
    filch_event *event; /* set by it */
} told;

static void hear(filch_runtime *runtime, const char *report)
{
    (void)runtime;
    snprintf(told.text, sizeof told.text, "%s", report);
    atomic_fetch_add(&told.count, 1);
    if (told.scope)
        filch_cancel(told.scope);
    if (told.event)
        filch_event_set(told.event);
}

static filch_config asking(const filch_config *config)
{
    filch_config asks = *config;
    asks.on_deadlock = hear;
    memset(&told, 0, sizeof told);
    return asks;
}

static void must_say(const char *words)
{
    if (!strstr(told.text, words))
        fprintf(stderr, "\"%s\" is missing in:\n%s", words, told.text);
    must(strstr(told.text, words));
}

static void must_name(const char *before, const void *object)
{
    char words[128];
    snprintf(words, sizeof words, "%s %p", before, object);
    must_say(words);
}

/* ---- cycles ---- */

struct table {
    filch_mutex left, right;
    filch_event both;
    atomic_int seated;
    filch_event last_resort;
};

/* The classic: each has one and wants the other's. The second lock is tried in a way that the report can end. */
static int dine(struct table *table, filch_mutex *mine, filch_mutex *other)
{
    FILCH_GUARD(mine);
    if (atomic_fetch_add(&table->seated, 1) == 1)
        filch_event_set(&table->both);
    must(filch_event_wait(&table->both) == 0);
    if (mine == &table->left) { /* waits for what the other holds, who waits for the end of a child, which waits for this one */
        filch_mutex_lock(other);
        filch_mutex_unlock(other);
        return 0;
    }
    return 1;
}

static int want_right(void *arg)
{
    struct table *table = arg;
    return dine(table, &table->left, &table->right);
}

static int want_left_or_last_resort(void *arg)
{
    struct table *table = arg;
    filch_case cases[] = {filch_case_event(&table->last_resort)};
    return filch_select(cases, 1); /* in the name of a lock that could not be given up */
}

/* Holds `right`, joins a child that needs `left`'s holder to end: a cycle through a lock and a join, but for the last resort. */
static int join_with_right(void *arg)
{
    struct table *table = arg;
    FILCH_GUARD(&table->right);
    if (atomic_fetch_add(&table->seated, 1) == 1)
        filch_event_set(&table->both);
    must(filch_event_wait(&table->both) == 0);
    FILCH_SCOPE(s);
    must(filch_spawn_with(&s, &(filch_task_options){.name = "child"}, want_left_or_last_resort, table) == 0);
    return filch_join(&s);
}

static int nobody_goes_on(void *arg)
{
    struct table *table = arg;
    told.event = &table->last_resort;
    FILCH_SCOPE(s);
    must(filch_spawn_with(&s, &(filch_task_options){.name = "alice"}, want_right, table) == 0);
    must(filch_spawn_with(&s, &(filch_task_options){.name = "bob"}, join_with_right, table) == 0);
    return filch_join(&s);
}

Test(deadlock, it_is_told_once_with_names_objects_and_holders)
{
    FOR_EACH_CONFIG(config, every_loop)
    {
        filch_config asks = asking(config);
        struct table table = {0};
        must(filch_run(&asks, nobody_goes_on, &table) == 0);
        must(atomic_load(&told.count) == 1);
        must_say("deadlock in runtime filch: 4 tasks");
        must_say("(alice) waits: mutex");
        must_name("mutex", &table.right);
        must_say("held by");
        must_say("(bob) waits: join");
        must_say("(child) waits: select");
        must_say("nobody holds");
    }
}

/* A true cycle cannot be undone, and the process ends by it. */
static int lock_other(void *arg)
{
    struct table *table = arg;
    filch_mutex *mine = filch_name()[0] == 'a' ? &table->left : &table->right, *other = mine == &table->left ? &table->right : &table->left;
    filch_mutex_lock(mine);
    if (atomic_fetch_add(&table->seated, 1) == 1)
        filch_event_set(&table->both);
    must(filch_event_wait(&table->both) == 0);
    filch_mutex_lock(other);
    return 0;
}

static int philosophers(void *arg)
{
    FILCH_SCOPE(s);
    must(filch_spawn_with(&s, &(filch_task_options){.name = "alice"}, lock_other, arg) == 0);
    must(filch_spawn_with(&s, &(filch_task_options){.name = "bob"}, lock_other, arg) == 0);
    return filch_join(&s);
}

static void show_and_exit(filch_runtime *runtime, const char *report)
{
    (void)runtime;
    (void)!write(3, report, strlen(report));
    _exit(7);
}

#include <sys/wait.h>

static struct table dinner;

static int join_what_waits_for_me(void *arg)
{
    (void)arg;
    filch_mutex_lock(&dinner.left);
    filch_mutex_unlock(&dinner.left);
    return 0;
}

static int hold_and_join(void *arg)
{
    (void)arg;
    filch_set_name("alice");
    FILCH_GUARD(&dinner.left);
    FILCH_SCOPE(s);
    filch_spawn_with(&s, &(filch_task_options){.name = "bob", .stack_size = 1 << 20}, join_what_waits_for_me, NULL);
    return filch_join(&s);
}

/* What a process says that runs `fn` into a deadlock. */
static void last_words(const filch_config *config, filch_fn *fn)
{
    filch_config asks = asking(config);
    asks.on_deadlock = show_and_exit;
    int pair[2], status;
    must(pipe(pair) == 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(pair[1], 3);
        alarm(20);
        filch_run(&asks, fn, &dinner);
        _exit(0);
    }
    close(pair[1]);
    ssize_t n, length = 0;
    while ((n = read(pair[0], told.text + length, sizeof told.text - 1 - (size_t)length)) > 0)
        length += n;
    told.text[length] = '\0';
    close(pair[0]);
    must(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

Test(deadlock, a_cycle_of_locks_and_joins_is_shown)
{
    FOR_EACH_CONFIG(config, every_loop)
    {
        last_words(config, philosophers);
        must_say("a cycle of 2, each waits for the next");
        must_say("(alice) waits: mutex");
        must_say("(bob) waits: mutex");
        must_name("mutex", &dinner.left);
        must_name("mutex", &dinner.right);
        must_say("besides:\n");
        must_say("waits: join");
        last_words(config, hold_and_join);
        must_say("a cycle of 2");
        must_say("(alice) waits: join");
        must_say("(bob) waits: mutex");
        must_name("mutex", &dinner.left);
    }
}

/* ---- no cycle, but nobody left ---- */

static int wait_forever(void *arg)
{
    return filch_event_wait(arg);
}

static int look_at(void *arg)
{
    return filch_event_is_set(arg);
}

static int receive(void *arg)
{
    int64_t value;
    return filch_chan_recv(arg, &value);
}

static int all_receive(void *arg)
{
    FILCH_SCOPE(s);
    told.scope = &s;
    for (int i = 0; i < 30; i++)
        must(filch_spawn(&s, receive, arg) == 0);
    must(filch_join(&s) == -ECANCELED);
    told.scope = NULL;
    return 0;
}

static int twice(void *arg)
{
    must(all_receive(arg) == 0 && all_receive(arg) == 0);
    return 0;
}

Test(deadlock, it_is_told_each_time_that_it_comes_to_that)
{
    filch_chan *chan;
    must(filch_chan_new(8, 0, &chan) == 0);
    FOR_EACH_CONFIG(config, every_loop)
    {
        filch_config asks = asking(config);
        must(filch_run(&asks, twice, chan) == 0);
        must(atomic_load(&told.count) == 2);
        must_say("tasks are parked, and nothing is left"); /* the first task perhaps runs a child in place */
        must_say("nobody holds what another waits for");
        must_name("waits: receive", chan);
        must_say("more (filch_dump has all)");
    }
    filch_chan_free(chan);
}

static int free_one_each_time(void *arg)
{
    filch_event *events = arg;
    FILCH_SCOPE(s);
    for (int i = 0; i < 3; i++)
        must(filch_spawn(&s, wait_forever, &events[i]) == 0);
    return filch_join(&s);
}

static void free_next(filch_runtime *runtime, const char *report)
{
    (void)runtime, (void)report;
    filch_event_set(told.event + atomic_fetch_add(&told.count, 1));
}

/* Also when whoever was woken ends, and parks no more; and not once more because somebody came by who needed nothing. */
Test(deadlock, it_is_told_again_when_others_are_left)
{
    FOR_EACH_CONFIG(config, every_loop)
    {
        filch_event events[3] = {0};
        filch_config asks = asking(config);
        asks.on_deadlock = free_next;
        told.event = events;
        must(filch_run(&asks, free_one_each_time, events) == 0);
        must(atomic_load(&told.count) == 3);
        filch_runtime *runtime;
        filch_event event = {0};
        asks = asking(config);
        must(filch_start(&asks, &runtime) == 0 && filch_submit(runtime, wait_forever, &event) == 0);
        await_count(&told.count, 1);
        for (int i = 0; i < 10; i++) {
            must(filch_call(runtime, look_at, &event) == 0);
            usleep(2000);
        }
        filch_event_set(&event);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
        must(atomic_load(&told.count) == 1);
    }
}

/* ---- what is none ---- */

struct peace {
    filch_event event;
    filch_mutex mutex;
    filch_runtime *runtime;
    int pipe[2];
    atomic_int begun;
};

static int wait_for_event(void *arg)
{
    struct peace *peace = arg;
    atomic_fetch_add(&peace->begun, 1);
    return filch_event_wait(&peace->event);
}

static int wait_for_mutex(void *arg)
{
    struct peace *peace = arg;
    atomic_fetch_add(&peace->begun, 1);
    FILCH_GUARD(&peace->mutex);
    return 0;
}

static int sleep_then_set(void *arg)
{
    struct peace *peace = arg;
    must(filch_sleep(FILCH_MSEC(30)) == 0);
    filch_event_set(&peace->event);
    return 0;
}

static int read_then_set(void *arg)
{
    struct peace *peace = arg;
    char byte;
    must(filch_read(peace->pipe[0], &byte, 1) == 1);
    filch_event_set(&peace->event);
    return 0;
}

static int poll_then_set(void *arg)
{
    struct peace *peace = arg;
    char byte;
    filch_case c = filch_case_fd(peace->pipe[0], 1 /* POLLIN */);
    must(filch_select(&c, 1) == 0 && filch_read(peace->pipe[0], &byte, 1) == 1);
    filch_event_set(&peace->event);
    return 0;
}

static int with(struct peace *peace, filch_fn *fn)
{
    FILCH_SCOPE(s);
    for (int i = 0; i < 3; i++)
        must(filch_spawn(&s, wait_for_event, peace) == 0);
    must(filch_spawn(&s, fn, peace) == 0);
    return filch_join(&s);
}

static int with_a_sleeper(void *arg)
{
    return with(arg, sleep_then_set);
}

static int with_a_reader(void *arg)
{
    return with(arg, read_then_set);
}

static int with_a_poller(void *arg)
{
    return with(arg, poll_then_set);
}

static void *write_later(void *arg)
{
    struct peace *peace = arg;
    usleep(30000);
    must(write(peace->pipe[1], "x", 1) == 1);
    return NULL;
}

Test(deadlock, while_something_can_still_happen_there_is_none)
{
    FOR_EACH_CONFIG(config, every_loop)
    {
        filch_config asks = asking(config);
        struct peace peace = {0};
        must(pipe(peace.pipe) == 0);
        must(filch_run(&asks, with_a_sleeper, &peace) == 0);
        filch_fn *const ones[] = {with_a_reader, with_a_poller};
        for (int i = 0; i < 2; i++) {
            filch_event_reset(&peace.event);
            pthread_t thread = thread_start(write_later, &peace);
            must(filch_run(&asks, ones[i], &peace) == 0);
            thread_join(thread);
        }
        must(atomic_load(&told.count) == 0);
        close(peace.pipe[0]), close(peace.pipe[1]);
    }
}

static void *let_go_later(void *arg)
{
    usleep(50000);
    filch_let_go(arg);
    return NULL;
}

Test(deadlock, who_holds_the_runtime_or_a_lock_may_still_act)
{
    FOR_EACH_CONFIG(config, every_loop)
    {
        filch_config asks = asking(config);
        struct peace peace = {0};
        must(filch_start(&asks, &peace.runtime) == 0);
        usleep(20000); /* a runtime without tasks is none */
        filch_mutex_lock(&peace.mutex);
        must(filch_submit(peace.runtime, wait_for_mutex, &peace) == 0);
        await_count(&peace.begun, 1);
        usleep(30000);
        filch_mutex_unlock(&peace.mutex);
        filch_hold(peace.runtime);
        must(filch_submit(peace.runtime, wait_for_event, &peace) == 0);
        await_count(&peace.begun, 2);
        usleep(30000);
        must(atomic_load(&told.count) == 0);
        told.event = &peace.event;
        filch_let_go(peace.runtime);
        must(filch_stop(peace.runtime, FILCH_NEVER) == 0);
        must(atomic_load(&told.count) == 1);
        must_name("waits: event", &peace.event);
    }
}

static int write_it(void *arg)
{
    filch_rwlock_write(arg);
    filch_rwlock_unlock(arg);
    return 0;
}

Test(deadlock, a_thread_that_reads_may_still_act)
{
    FOR_EACH_CONFIG(config, every_loop)
    {
        filch_config asks = asking(config);
        filch_runtime *runtime;
        filch_rwlock lock = {0};
        must(filch_start(&asks, &runtime) == 0);
        filch_rwlock_read(&lock);
        must(filch_submit(runtime, write_it, &lock) == 0);
        usleep(30000);
        filch_rwlock_unlock(&lock);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
        must(atomic_load(&told.count) == 0);
    }
}

/* A lock whose holder changes all the time, now a thread and now a task: nobody may be named who does not hold it, and nothing be read of who was woken meanwhile. */
struct shared {
    bool rwlock;
    filch_mutex mutex;
    filch_rwlock both;
    atomic_int over;
};

static void use(struct shared *shared, bool read)
{
    if (!shared->rwlock)
        filch_mutex_lock(&shared->mutex);
    else if (read)
        filch_rwlock_read(&shared->both);
    else
        filch_rwlock_write(&shared->both);
    for (volatile int i = 0; i < 1000; i++)
        ;
    if (shared->rwlock)
        filch_rwlock_unlock(&shared->both);
    else
        filch_mutex_unlock(&shared->mutex);
}

static void *use_as_thread(void *arg)
{
    struct shared *shared = arg;
    for (unsigned i = 0; !atomic_load(&shared->over); i++)
        use(shared, i % 3 == 0);
    return NULL;
}

static int use_as_task(void *arg)
{
    for (unsigned i = 0; i < (SANITIZED ? 500 : 5000); i++)
        use(arg, i % 2 == 0);
    return 0;
}

Test(deadlock, a_lock_that_threads_and_tasks_share_is_none, .timeout = 60)
{
    FOR_EACH_CONFIG(config, every_loop)
    for (int rwlock = 0; rwlock < 2; rwlock++) {
        filch_config asks = asking(config);
        filch_runtime *runtime;
        struct shared shared = {.rwlock = rwlock};
        pthread_t threads[3];
        must(filch_start(&asks, &runtime) == 0);
        for (int i = 0; i < 3; i++)
            threads[i] = thread_start(use_as_thread, &shared);
        must(filch_submit(runtime, use_as_task, &shared) == 0 && filch_submit(runtime, use_as_task, &shared) == 0);
        must(filch_stop(runtime, FILCH_NEVER) == 0);
        atomic_store(&shared.over, 1);
        for (int i = 0; i < 3; i++)
            thread_join(threads[i]);
        must(atomic_load(&told.count) == 0);
    }
}

Test(deadlock, who_is_about_to_cancel_acts)
{
    FOR_EACH_CONFIG(config, every_loop)
    {
        filch_config asks = asking(config);
        struct peace peace = {0};
        must(filch_start(&asks, &peace.runtime) == 0);
        filch_hold(peace.runtime);
        must(filch_submit(peace.runtime, wait_for_event, &peace) == 0);
        await_count(&peace.begun, 1);
        pthread_t thread = thread_start(let_go_later, peace.runtime);
        must(filch_stop(peace.runtime, filch_after(FILCH_MSEC(30))) == 0); /* waits for who holds it, too */
        thread_join(thread);
        must(atomic_load(&told.count) == 0);
    }
}

/* ---- a look is of one moment ---- */

static int pause_a_little(void *arg)
{
    filch_yield();
    return filch_event_is_set(arg);
}

static void *give_work(void *arg)
{
    struct peace *peace = arg;
    for (int i = 0; i < (SANITIZED ? 50 : 500); i++) {
        filch_hold(peace->runtime);
        must(filch_call(peace->runtime, pause_a_little, &peace->event) == 0);
        filch_let_go(peace->runtime);
        if (i % 16 == 0)
            usleep(3000); /* so that all of them go to sleep in between */
    }
    return NULL;
}

/* One task waits all the time, held by a thread that wakes it in the end; other threads come and go. */
Test(deadlock, work_that_comes_while_it_looks_is_seen)
{
    FOR_EACH_CONFIG(config, every_loop)
    {
        filch_config asks = asking(config);
        struct peace peace = {0};
        must(filch_start(&asks, &peace.runtime) == 0);
        pthread_t threads[2];
        filch_event wait = {0};
        filch_hold(peace.runtime);
        must(filch_submit(peace.runtime, wait_forever, &wait) == 0);
        for (int i = 0; i < 2; i++)
            threads[i] = thread_start(give_work, &peace);
        for (int i = 0; i < 2; i++)
            thread_join(threads[i]);
        filch_event_set(&wait);
        filch_let_go(peace.runtime);
        must(filch_stop(peace.runtime, FILCH_NEVER) == 0);
        must(atomic_load(&told.count) == 0);
    }
}

/* ---- who has ended gives nothing back ---- */

static int end_with_the_lock(void *arg)
{
    struct peace *peace = arg;
    filch_mutex_lock(&peace->mutex);
    return 0;
}

static int lock_what_nobody_gives_back(void *arg)
{
    struct peace *peace = arg;
    {
        FILCH_SCOPE(s);
        must(filch_spawn_with(&s, &(filch_task_options){.name = "careless"}, end_with_the_lock, peace) == 0 && filch_join(&s) == 0);
    }
    filch_mutex_lock(&peace->mutex);
    return 0;
}

static int careless_dinner(void *arg)
{
    (void)arg;
    static struct peace peace;
    return lock_what_nobody_gives_back(&peace);
}

Test(deadlock, a_lock_whose_holder_has_ended_is_one)
{
    last_words(&(filch_config){.workers = 1}, careless_dinner);
    must_say("waits: mutex");
    must_say("a task that has ended");
}
