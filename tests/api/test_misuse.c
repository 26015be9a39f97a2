/* SPDX-License-Identifier: MIT */
/* The laws of misuse: a programming mistake ends the process at once, with a line that names what was done, to which object, by whom.
 *
 * Each mistake is made by a process of its own. What is not tested here: overflowing a stack, which is test_limits. */
#include "api.h"

#include <sys/wait.h>

FILCH_CHAN_OF(ints, int);

static filch_mutex mutex;
static filch_rwlock rwlock;
static ints *chan;
static filch_event begun, over;

/* What a process that runs `mistake` as a named task, or plainly, writes to stderr before it aborts. */
static void last_words(filch_fn *mistake, bool as_task, char *ret_text, size_t size)
{
    int pair[2];
    size_t length = 0;
    ssize_t n;
    must(pipe(pair) == 0);
    pid_t child = fork();
    must(child >= 0);
    if (child == 0) {
        alarm(20);
        dup2(pair[1], 2);
        if (as_task)
            filch_run(NULL, mistake, NULL);
        else
            mistake(NULL);
        _exit(0);
    }
    close(pair[1]);
    while ((n = read(pair[0], ret_text + length, size - 1 - length)) > 0)
        length += (size_t)n;
    ret_text[length] = '\0';
    close(pair[0]);
    int status;
    must(waitpid(child, &status, 0) == child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        fprintf(stderr, "status %x, it wrote: %s\n", (unsigned)status, ret_text);
    must(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void must_say(const char *text, const char *words)
{
    if (!strstr(text, words))
        fprintf(stderr, "\"%s\" is missing in:\n%s", words, text);
    must(strstr(text, words));
}

/* @param object NULL: any */
static void must_panic(filch_fn *mistake, bool as_task, const char *what, const void *object)
{
    char text[8192], address[32];
    last_words(mistake, as_task, text, sizeof text);
    must_say(text, "filch: panic: ");
    must_say(text, what);
    snprintf(address, sizeof address, "%p", object);
    if (object)
        must_say(text, address);
    if (object)
        must_say(text, as_task ? "(culprit)" : "called by thread");
}

static int unlock_free(void *arg)
{
    (void)arg;
    filch_set_name("culprit");
    filch_mutex_unlock(&mutex);
    return 0;
}

static int hold(void *arg)
{
    (void)arg;
    FILCH_GUARD(&mutex);
    filch_event_set(&begun);
    return filch_event_wait(&over);
}

static int unlock_of_another(void *arg)
{
    (void)arg;
    filch_set_name("culprit");
    FILCH_SCOPE(s);
    filch_spawn_with(&s, &(filch_task_options){.name = "holder"}, hold, NULL);
    filch_event_wait(&begun);
    filch_mutex_unlock(&mutex);
    return 0;
}

static int lock_twice(void *arg)
{
    (void)arg;
    filch_set_name("culprit");
    filch_mutex_lock(&mutex);
    filch_mutex_lock(&mutex);
    return 0;
}

static int write_twice(void *arg)
{
    (void)arg;
    filch_set_name("culprit");
    filch_rwlock_write(&rwlock);
    filch_rwlock_read(&rwlock);
    return 0;
}

static int give_back_nothing(void *arg)
{
    (void)arg;
    filch_set_name("culprit");
    filch_rwlock_unlock(&rwlock);
    return 0;
}

static int receive(void *arg)
{
    int value;
    (void)arg;
    filch_event_set(&begun);
    return ints_recv(chan, &value);
}

static int free_under_a_waiter(void *arg)
{
    (void)arg;
    filch_set_name("culprit");
    FILCH_SCOPE(s);
    filch_spawn(&s, receive, NULL);
    filch_event_wait(&begun);
    filch_sleep(FILCH_MSEC(1));
    ints_free(chan);
    return 0;
}

static filch_scope *lent;

static int join_of_another(void *arg)
{
    (void)arg;
    filch_set_name("culprit");
    return filch_join(lent);
}

static int lend_a_scope(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    lent = &s;
    FILCH_SCOPE(inner);
    filch_spawn_with(&inner, &(filch_task_options){.name = "culprit"}, join_of_another, NULL);
    filch_sleep(FILCH_SEC(1)); /* so that it does not run in place, as this very task */
    return 0;
}

static int select_of_another(void *arg)
{
    filch_case c = filch_case_scope(lent);
    (void)arg;
    filch_set_name("culprit");
    return filch_select(&c, 1);
}

static int lend_a_scope_to_select(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    lent = &s;
    filch_spawn_with(&s, &(filch_task_options){.name = "culprit"}, select_of_another, NULL);
    filch_sleep(FILCH_SEC(1));
    return 0;
}

static int scope_nowhere(void *arg)
{
    (void)arg;
    FILCH_SCOPE(s);
    return 0;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int fork_nowhere(void *arg)
{
    filch_frame frame;
    (void)arg;
    filch_fork(&frame, nothing, NULL);
    return filch_meet(&frame);
}

static int let_go_of_nothing(void *arg)
{
    filch_runtime *runtime = filch_current();
    (void)arg;
    must(runtime || filch_start(NULL, &runtime) == 0);
    filch_hold(runtime);
    filch_let_go(runtime);
    filch_let_go(runtime);
    return 0;
}

Test(misuse, what_is_not_held_is_not_given_back)
{
    for (int task = 0; task < 2; task++) {
        must_panic(unlock_free, task, "filch_mutex_unlock: the caller does not hold this mutex", &mutex);
        must_panic(give_back_nothing, task, "filch_rwlock_unlock", &rwlock);
        must_panic(let_go_of_nothing, task, "filch_let_go without filch_hold", NULL);
    }
    must_panic(unlock_of_another, true, "held by 0x", &mutex);
}

Test(misuse, what_is_held_is_not_taken_again)
{
    for (int task = 0; task < 2; task++) {
        must_panic(lock_twice, task, "filch_mutex_lock: the caller holds this mutex already", &mutex);
        must_panic(write_twice, task, "filch_rwlock: the caller writes under this lock already", &rwlock);
    }
}

Test(misuse, a_channel_that_somebody_waits_at_is_not_freed)
{
    must(ints_new(0, &chan) == 0);
    must_panic(free_under_a_waiter, true, "filch_chan_free: somebody waits at this channel", chan);
    ints_free(chan);
}

Test(misuse, a_scope_belongs_to_the_task_that_opened_it)
{
    must_panic(lend_a_scope, true, "filch_join by a task that did not open the scope", NULL);
    must_panic(lend_a_scope_to_select, true, "filch_case_scope of a scope that the caller did not open", NULL);
}

Test(misuse, scopes_and_forks_are_for_tasks)
{
    must_panic(scope_nowhere, false, "a scope outside a task", NULL);
    must_panic(fork_nowhere, false, "filch_fork outside a task", NULL);
}
