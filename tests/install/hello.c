/* SPDX-License-Identifier: MIT */
/* The smallest whole program: what a stranger builds first. Two children write into their parent's frame. */
#include <filch.h>
#include <stdio.h>

static int square(void *arg)
{
    *(int *)arg *= *(int *)arg;
    return filch_sleep(FILCH_MSEC(1));
}

static int first(void *arg)
{
    (void)arg;
    int a = 3, b = 4;
    FILCH_SCOPE(s);
    filch_spawn(&s, square, &a);
    filch_spawn(&s, square, &b);
    int r = filch_join(&s);
    printf("filch %s: 3 * 3 + 4 * 4 = %d\n", filch_version(), a + b);
    return r;
}

int main(void)
{
    return filch_run(NULL, first, NULL);
}
