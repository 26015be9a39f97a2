/* SPDX-License-Identifier: MIT */
/* Every macro of the public headers, as a program writes it. Compiled only, as C11 and as C++14. */
#include <filch.h>

static filch_mutex mutex;

static filch_event automatic = FILCH_EVENT_AUTO;

FILCH_MUTEX_OF(counter, int);
FILCH_CHAN_OF(numbers, int);

static counter counted = FILCH_MUTEX_OF_INIT(3);

static int child(void *arg)
{
    FILCH_LOCKED(counter, count, &counted);
    FILCH_TRY_LOCKED(counter, none, &counted);
    *count += none ? 1 : 2;

    FILCH_GUARD(&mutex);
    *(int *)arg += 1;
    filch_event_set(&automatic);
    return filch_sleep(FILCH_NSEC(1) + FILCH_USEC(1) + FILCH_MSEC(1) + FILCH_SEC(0));
}

static int parent(void *arg)
{
    FILCH_SCOPE_UNTIL(outer, filch_after(FILCH_SEC(5)));
    filch_spawn(&outer, child, arg);
    {
        FILCH_SCOPE_UNTIL(inner, FILCH_NEVER);
        FILCH_SHIELD(shield);
        FILCH_SHIELD_UNTIL(shorter, filch_after(FILCH_SEC(1)));
        FILCH_SCOPE(innermost);
        filch_spawn(&inner, child, arg);
        filch_spawn(&innermost, child, arg);
    }
    return filch_join(&outer);
}

int main(void)
{
    int count = 0;
    return FILCH_VERSION_MAJOR + FILCH_VERSION_MINOR + FILCH_VERSION_PATCH < 0 || !FILCH_VERSION[0] ? 1 : filch_run(NULL, parent, &count);
}
