/* SPDX-License-Identifier: MIT */
/* What the laws of files share: each runs in an empty folder, which it leaves empty, from a plain thread and under every configuration, and leaves no
 * descriptor open. */
#ifndef FILES_H
#define FILES_H

#include "api.h"

#include <fcntl.h>

/* config NULL: from a plain thread. */
static inline void hold(const filch_config *config, filch_fn *law)
{
    char folder[] = "/tmp/filch-api-XXXXXX";
    int before = descriptors();
    must(mkdtemp(folder) && chdir(folder) == 0);
    must((config ? filch_run(config, law, NULL) : law(NULL)) == 0);
    must(chdir("/") == 0 && rmdir(folder) == 0);
    must(descriptors() == before);
}

static inline void in_tasks(filch_fn *law)
{
    FOR_EACH_CONFIG(config, every_config)
    hold(config, law);
}

static inline void everywhere(filch_fn *law)
{
    hold(NULL, law);
    in_tasks(law);
}

static inline int make(const char *name, int flags)
{
    int fd = filch_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0600);
    must(fd >= 0);
    return fd;
}

/* Closes `fd` and takes the file away. */
static inline void unmake(const char *name, int fd)
{
    must(filch_close(fd) == 0 && filch_unlink(name) == 0);
}

static inline uint64_t size_of(int fd)
{
    struct statx statx;
    must(filch_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &statx) == 0);
    return statx.stx_size;
}

#endif
