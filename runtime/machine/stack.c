/* SPDX-License-Identifier: MIT */
/* Task stacks: cut from big arenas, guarded, coloured, kept in a LIFO cache a worker and a pool a runtime, and given back to the kernel
 * when they lie idle.
 *
 * A stack of class c is one slot of a guard page and 2^(14+c) bytes:
 *
 *   slot                                                                                  the next slot
 *   | guard page | usable, grows down ...                     <- top | struct fl_stack | colour |
 *                ^ low                                                 64 bytes          0..31 lines
 *
 * Invariants
 *   1. top == (uintptr_t)stack, 64-byte aligned; at least 2,048 bytes of the slot's last 4 KiB are below it, so that the header, the
 *      first frames and the task's first locals share one page: a task that parks early costs one page.
 *   2. colour == slot index % 32. Without it the hot words of all stacks would fall into one set of the L1 cache (4-9 ns a visit against 1-2).
 *   3. A slot is an odd number of pages, where a class is more than one. Slots of 16 pages would have their hot pages in 8 of the 128 sets of a TLB (Zen 4: 10 ns a visit of
 *      256 stacks, 17 of 512, against 3 and 6).
 *   4. A slot is in exactly one of these states:
 *        fresh   index >= arena->made                 never handed out
 *        live    its bit in arena->live is set        its header is valid; in use, or in one cache, or in one chain of the pool
 *        spare   its bit in arena->spare is set       no header, no memory; kinds[] says whether its guard stands (UNMADE: no)
 *        held    none of these                        one thread is about to make it live or spare
 *   5. sum over arenas of (slots not fresh, kind != UNMADE) == stacks->made.
 *   6. Arenas are never unmapped before fl_stacks_free, so that whoever looks at a slot reads at worst zeroes.
 *
 * Guards, best first; which one a stack has is in its header, what new ones get is in fl_stacks_info:
 *   marker     MADV_GUARD_INSTALL (Linux 6.13): costs no mapping. Believed only after a test page has been seen to fault, since some
 *              emulators answer 0 to advice that they ignore. It survives MADV_DONTNEED and fork.
 *   mprotect   PROT_NONE splits the mapping, two more a stack; so at most a quarter of vm.max_map_count stacks, counted over the process.
 *   canary     the lowest page must still be all zero, as the kernel gave it. A pattern would have to be written, which costs 4 KiB a stack for
 *              nothing; reading a page that was never written maps the shared page of zeroes. All of the page is looked at, so that a
 *              chain of calls cannot step over it without leaving a return address there.
 *
 * Fresh stacks are made in batches of 1, 2, 4 ... 64 while a cache keeps asking, with one system call for all guards and one for all first
 * pages: process_madvise(PIDFD_SELF). Measured a stack: guard 0.75 us singly, 0.43 in a batch; first page 2.6-3.9 us by fault, 1.5
 * populated in a batch. A batch of one isn't populated: it is about to be touched anyway. PIDFD_SELF is a number, no descriptor: nothing to
 * close, nothing that would mean the parent in a forked child. Kernels without it (before 6.15) or without process_madvise for
 * arbitrary advice get single calls.
 *
 * Trimming gives back whole pages including the header's, hence the bitmaps: a spare stack is a bit, nothing else. The TSan fiber and the
 * Valgrind id must outlive that; they stand in a side table that exists only under such a tool. When all of an arena is spare, its
 * guard markers go too: they are what keeps its page tables (136 bytes a 64-KiB stack) alive.
 *
 * Memory ordering
 *   [lock]    base/lock.h: a class's chains, arena lists, `made`, `spare`. A chain's headers travel with it.
 *   [arena]   an arena is filled in before it is published in stacks->arenas.
 *   [live]    a header is written before its live bit is set; who sees the bit sees the header.
 *   [look]    stacks->lookers, only by read-modify-writes: a trimmer clears live bits, then looks at lookers; a looker counts itself,
 *             then looks at live bits. All operations on one word are totally ordered, so either the trimmer sees the looker
 *             (and puts the bits back) or the looker sees the cleared bits. The looker's leaving is a release, so that the trimmer's
 *             MADV_DONTNEED and the next writing of the header come after the looker's last read.
 *   [trim]    stacks->trimming: one trimmer at a time; what it leaves in arena->cold and ->touched is seen by the next.
 *
 * Who may call: fl_stack_get, put, trim: the cache's owner. fl_stacks_each, info: any thread. No call parks. errno survives get, put and trim.
 *
 * Rejected: munmap of idle stacks (a system call and a VMA split each, and an mmap later); huge pages (one byte touched in each of 4,096
 * stacks took 256 MiB, hence MADV_NOHUGEPAGE); MADV_FREE for trimming (the memory stays counted until there is pressure, so an idle runtime
 * looks big); headers in a separate table (a second cache line and a second page a visit); a tree of free ranges (stacks of a class are
 * all alike); walking 2,048 cold headers to find the half to spill (the cache keeps two lists instead, and the older one goes at once). */
#include "machine/stack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/list.h"
#include "base/lock.h"
#include <filch/debug.h>
#include "machine/sanitizer.h"

/* Newer than the headers of Debian 12. */
#define ADVICE_POPULATE_READ 22  /* Linux 5.14 */
#define ADVICE_POPULATE_WRITE 23 /* Linux 5.14 */
#define ADVICE_GUARD_INSTALL 102 /* Linux 6.13 */
#define ADVICE_GUARD_REMOVE 103  /* Linux 6.13 */
#define PIDFD_SELF_THREAD_ (-10000)
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

#define ARENA_FIRST_SHIFT 20 /* bytes of a class's first arena without guards, or one slot: a small runtime stays small */
#define ARENA_MAX_SHIFT 28   /* they double up to this, without guards: 4,096 stacks of 64 KiB */
#define UNMADE 0xff          /* in kinds[]: no guard stands */
#define WORD 64

static const unsigned batch_max = FL_TSAN ? 4 : FL_STACK_BATCH_MAX; /* TSan has about 8,000 fibers to give */

struct side {
    void *fiber;
    unsigned valgrind_id;
};

struct fl_stack_arena {
    struct fl_stack_arena *next; /* in stacks->arenas; constant once published, as are: */
    uintptr_t base;
    size_t slot; /* bytes */
    unsigned slots, words;
    uint8_t cls;
    struct side *sides;        /* per slot, or NULL; who holds the slot */
    uint8_t *kinds;            /* per slot: enum filch_guard_kind or UNMADE; who holds the slot */
    _Atomic(uint64_t) *live;   /* bitmap */
    uint64_t *spare;           /* bitmap; [lock] */
    uint64_t *cold;            /* bitmap, all zero between trims; [trim] */
    struct fl_list fresh_link; /* [lock] in class->fresh while made < slots */
    struct fl_list spare_link; /* [lock] in class->spare while spares > 0 and nobody takes its guards down */
    struct fl_list touched;    /* [trim] */
    unsigned made, spares;     /* [lock] */
    bool closed;               /* [lock] its guards are being taken down: no spares from here */
};

struct size_class {
    struct fl_lock lock;
    struct fl_stack *chains;     /* [lock] the pool of live stacks: a LIFO of chains */
    _Atomic(uint64_t) pooled;    /* stacks in them; written under the lock */
    struct fl_list fresh, spare; /* [lock] */
    unsigned arena_slots;        /* [lock] of the next one */
} FL_ALIGN_LINE;

struct fl_stacks {
    struct size_class classes[FL_STACK_CLASSES];
    _Atomic(struct fl_stack_arena *) arenas;
    _Atomic(uint64_t) made, guarded, bytes;
    _Atomic(uint32_t) lookers, trimming;
    _Atomic(int) kind;      /* enum filch_guard_kind of new stacks */
    _Atomic(bool) populate; /* the kernel knows MADV_POPULATE_WRITE */
    bool bulk;              /* process_madvise on ourselves takes any advice */
    bool tool;              /* fibers or ids must be remembered */
    size_t page;
};

/* What mprotect may still take is a property of the process, not of a runtime. */
static _Atomic(uint64_t) protected_stacks;

static size_t class_size(unsigned cls)
{
    return (size_t)1 << (FL_STACK_MIN_SHIFT + cls);
}

static unsigned slot_index(const struct fl_stack *stack)
{
    return (unsigned)(((uintptr_t)stack - stack->arena->base) / stack->arena->slot);
}

static uintptr_t slot_address(const struct fl_stack_arena *arena, unsigned index)
{
    return arena->base + index * arena->slot;
}

static struct fl_stack *slot_stack(const struct fl_stack_arena *arena, unsigned index)
{
    _Static_assert(sizeof(struct fl_stack) == FL_LINE, "the header is one line");
    return (struct fl_stack *)(slot_address(arena, index + 1) - sizeof(struct fl_stack) - (index % FL_STACK_COLOURS) * FL_LINE);
}

int fl_stack_class(size_t size)
{
    size_t least = (size_t)sysconf(_SC_PAGESIZE); /* where pages are 64 KiB */
    if (size < least)
        size = least;
    for (unsigned cls = 0; cls < FL_STACK_CLASSES; cls++)
        if (class_size(cls) >= size)
            return (int)cls;
    return -EINVAL;
}

/* madvise for many ranges. Returns how many of them, from the first, are done; *error says what stopped it. */
static unsigned advise(const struct fl_stacks *stacks, const struct iovec *ranges, unsigned n, int advice, int *error)
{
    unsigned done = 0;
    if (n > 1 && stacks->bulk) {
        long bytes = syscall(SYS_process_madvise, PIDFD_SELF_THREAD_, ranges, (size_t)n, advice, 0u);
        for (; done < n && bytes >= (long)ranges[done].iov_len; done++)
            bytes -= (long)ranges[done].iov_len;
    }
    for (; done < n; done++) {
        if (madvise(ranges[done].iov_base, ranges[done].iov_len, advice)) {
            *error = errno;
            break;
        }
    }
    return done;
}

/* The pool */

static struct fl_stack *pool_take(struct size_class *class)
{
    if (!load_relaxed(&class->pooled)) /* hint: a chain that arrives just now is found next time */
        return NULL;
    fl_lock_take(&class->lock);
    struct fl_stack *chain = class->chains;
    if (chain) {
        class->chains = chain->chain;
        sub_relaxed(&class->pooled, chain->run); /* own: under the lock */
    }
    fl_lock_give(&class->lock);
    return chain;
}

static void pool_put(struct size_class *class, struct fl_stack *chain)
{
    fl_lock_take(&class->lock);
    chain->chain = class->chains;
    class->chains = chain;
    add_relaxed(&class->pooled, chain->run); /* own: under the lock */
    fl_lock_give(&class->lock);
}

/* Arenas */

static struct fl_stack_arena *arena_new(struct fl_stacks *stacks, unsigned cls, unsigned slots)
{
    size_t words = (slots + WORD - 1) / WORD, slot = class_size(cls) + stacks->page, bytes = slots * slot;
    struct fl_stack_arena *arena = calloc(1, sizeof(*arena) + 3 * words * sizeof(uint64_t) + slots);
    if (!arena)
        return NULL;
    arena->slot = slot;
    arena->slots = slots;
    arena->words = (unsigned)words;
    arena->cls = (uint8_t)cls;
    arena->live = (_Atomic(uint64_t) *)(arena + 1);
    arena->spare = (uint64_t *)(arena + 1) + words;
    arena->cold = arena->spare + words;
    arena->kinds = (uint8_t *)(arena->cold + words);
    memset(arena->kinds, UNMADE, slots);
    fl_list_init(&arena->fresh_link);
    fl_list_init(&arena->spare_link);
    fl_list_init(&arena->touched);
    if (stacks->tool && !(arena->sides = calloc(slots, sizeof(*arena->sides)))) {
        free(arena);
        return NULL;
    }
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        free(arena->sides);
        free(arena);
        return NULL;
    }
    madvise(at, bytes, MADV_NOHUGEPAGE); /* fails where there are no huge pages: just as well */
    arena->base = (uintptr_t)at;
    add_relaxed(&stacks->bytes, bytes); /* counter */
    return arena;
}

static void arena_free(struct fl_stack_arena *arena)
{
    size_t bytes = arena->slots * arena->slot;
    for (unsigned i = 0; i < arena->slots; i++) {
        if (arena->kinds[i] == FILCH_GUARD_MPROTECT)
            sub_relaxed(&protected_stacks, 1); /* counter */
        if (arena->sides) {
            fl_sanitizer_free(arena->sides[i].fiber);
            if (arena->sides[i].valgrind_id)
                VALGRIND_STACK_DEREGISTER(arena->sides[i].valgrind_id);
        }
    }
    fl_sanitizer_clean(arena->base, arena->base + bytes); /* the next mapping here must not inherit poison */
    munmap((void *)arena->base, bytes);
    free(arena->sides);
    free(arena);
}

static unsigned slots_in(unsigned cls, unsigned shift)
{
    unsigned stack = FL_STACK_MIN_SHIFT + cls;
    return shift > stack ? 1u << (shift - stack) : 1;
}

/* A new arena of the class, its first *n slots (or fewer, then *n says so) held by the caller. Big ones are tried first. Two workers may come
 * here at once; then there are two arenas, and both get used. */
static struct fl_stack_arena *grow(struct fl_stacks *stacks, unsigned cls, unsigned *n)
{
    struct size_class *class = &stacks->classes[cls];
    struct fl_stack_arena *arena;
    fl_lock_take(&class->lock);
    unsigned slots = class->arena_slots;
    fl_lock_give(&class->lock);
    while (!(arena = arena_new(stacks, cls, slots))) {
        if (slots == 1)
            return NULL;
        slots /= 2;
    }
    if (*n > arena->slots)
        *n = arena->slots;
    arena->made = *n;

    struct fl_stack_arena *head = load_relaxed(&stacks->arenas); /* hint: the exchange finds out */
    do
        arena->next = head;
    while (!cas_weak_acq_rel(&stacks->arenas, &head, arena)); /* [arena] pairs with fl_stacks_each */

    fl_lock_take(&class->lock);
    class->arena_slots = slots < slots_in(cls, ARENA_MAX_SHIFT) ? 2 * slots : slots;
    if (arena->made < arena->slots)
        fl_list_append(&class->fresh, &arena->fresh_link);
    fl_lock_give(&class->lock);
    return arena;
}

/* Up to *n slots of one arena, spare ones before fresh ones; from then on the caller holds them. NULL: nothing to be had. */
static struct fl_stack_arena *claim(struct fl_stacks *stacks, unsigned cls, unsigned *slots, unsigned *n)
{
    struct size_class *class = &stacks->classes[cls];
    struct fl_stack_arena *arena = NULL;
    unsigned want = *n, got = 0;
    fl_lock_take(&class->lock);
    if (!fl_list_empty(&class->spare)) {
        arena = fl_container_of(class->spare.next, struct fl_stack_arena, spare_link);
        for (unsigned w = 0; w < arena->words && got < want; w++) {
            while (arena->spare[w] && got < want) {
                slots[got++] = w * WORD + (unsigned)__builtin_ctzll(arena->spare[w]);
                arena->spare[w] &= arena->spare[w] - 1;
            }
        }
        arena->spares -= got;
        if (!arena->spares)
            fl_list_remove(&arena->spare_link);
    } else if (!fl_list_empty(&class->fresh)) {
        arena = fl_container_of(class->fresh.next, struct fl_stack_arena, fresh_link);
        while (got < want && arena->made < arena->slots)
            slots[got++] = arena->made++;
        if (arena->made == arena->slots)
            fl_list_remove(&arena->fresh_link);
    }
    fl_lock_give(&class->lock);
    if (!arena) {
        got = want;
        arena = grow(stacks, cls, &got);
        for (unsigned i = 0; arena && i < got; i++)
            slots[i] = i;
    }
    *n = got;
    return arena;
}

/* Slots that could not be made live become spare, whatever guard they have. */
static void unclaim(struct fl_stacks *stacks, struct fl_stack_arena *arena, const unsigned *slots, unsigned n)
{
    struct size_class *class = &stacks->classes[arena->cls];
    if (!n)
        return;
    fl_lock_take(&class->lock);
    for (unsigned i = 0; i < n; i++)
        arena->spare[slots[i] / WORD] |= 1ull << slots[i] % WORD;
    arena->spares += n;
    if (arena->spares == n && !arena->closed)
        fl_list_append(&class->spare, &arena->spare_link);
    fl_lock_give(&class->lock);
}

/* Guards */

/* A quarter of vm.max_map_count: each takes two mappings, and the host wants some too. */
static uint64_t protected_max(void)
{
    static _Atomic(uint64_t) known;
    uint64_t max = load_relaxed(&known); /* hint: whoever finds 0 reads the file again */
    if (max)
        return max;
    char text[32] = "";
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t got = read(fd, text, sizeof(text) - 1);
        (void)got;
        close(fd);
    }
    max = strtoull(text, NULL, 10);
    max = (max ? max : 65530) / 4;
    store_relaxed(&known, max); /* hint: all who read the file write about the same */
    return max;
}

static bool protect(struct fl_stacks *stacks, uintptr_t page)
{
    if (add_relaxed(&protected_stacks, 1) < protected_max() && /* counter */
        mprotect((void *)page, stacks->page, PROT_NONE) == 0)
        return true;
    sub_relaxed(&protected_stacks, 1); /* counter */
    return false;
}

static void guarded(struct fl_stacks *stacks, struct fl_stack_arena *arena, unsigned slot, int kind)
{
    arena->kinds[slot] = (uint8_t)kind;
    add_relaxed(&stacks->made, 1); /* counter */
    if (kind == FILCH_GUARD_MARKER || kind == FILCH_GUARD_MPROTECT)
        add_relaxed(&stacks->guarded, 1); /* counter */
}

/* Sees to it that the held slots are guarded. Those that can't be, for want of memory, go to the end; returns how many are. */
static unsigned guard(struct fl_stacks *stacks, struct fl_stack_arena *arena, unsigned *slots, unsigned n)
{
    struct iovec pages[FL_STACK_BATCH_MAX];
    unsigned bare[FL_STACK_BATCH_MAX], count = 0, done = 0, good = 0;
    int error = 0;
    for (unsigned i = 0; i < n; i++) {
        if (arena->kinds[slots[i]] == UNMADE) {
            pages[count] = (struct iovec){(void *)slot_address(arena, slots[i]), stacks->page};
            bare[count++] = slots[i];
        } else {
            slots[good++] = slots[i];
        }
    }
    if (count && load_relaxed(&stacks->kind) == FILCH_GUARD_MARKER) { /* hint: the kernel says if it isn't so */
        done = advise(stacks, pages, count, ADVICE_GUARD_INSTALL, &error);
        for (unsigned i = 0; i < done; i++)
            guarded(stacks, arena, bare[i], FILCH_GUARD_MARKER);
        if (done < count && error == EINVAL) /* locked memory (mlockall) takes no markers */
            fl_stacks_limit_guard(stacks, FILCH_GUARD_MPROTECT);
    }
    if (error == 0 || error == EINVAL) {
        int kind = load_relaxed(&stacks->kind); /* hint: either kind would do */
        for (; done < count; done++) {
            if (kind == FILCH_GUARD_MPROTECT && protect(stacks, (uintptr_t)pages[done].iov_base))
                guarded(stacks, arena, bare[done], FILCH_GUARD_MPROTECT);
            else
                guarded(stacks, arena, bare[done], kind == FILCH_GUARD_NONE ? kind : FILCH_GUARD_CANARY);
        }
    }
    memcpy(slots + good, bare, count * sizeof(*bare));
    return good + done;
}

/* Touches the last page of the held slots, all at once. Returns for how many, from the first, there is memory. */
static unsigned populate(struct fl_stacks *stacks, struct fl_stack_arena *arena, const unsigned *slots, unsigned n)
{
    struct iovec pages[FL_STACK_BATCH_MAX];
    int error = 0;
    for (unsigned i = 0; i < n; i++)
        pages[i] = (struct iovec){(void *)(slot_address(arena, slots[i] + 1) - stacks->page), stacks->page};
    unsigned done = advise(stacks, pages, n, ADVICE_POPULATE_WRITE, &error);
    if (done < n && error == EINVAL) {
        store_relaxed(&stacks->populate, false); /* hint: an old kernel; who still tries is told so too */
        return n;
    }
    return done;
}

static struct fl_stack *build(struct fl_stacks *stacks, struct fl_stack_arena *arena, unsigned slot)
{
    struct fl_stack *stack = slot_stack(arena, slot);
    *stack = (struct fl_stack){
        .low = slot_address(arena, slot) + stacks->page,
        .top = (uintptr_t)stack,
        .arena = arena,
        .cls = arena->cls,
        .guard = arena->kinds[slot],
    };
    if (arena->sides) {
        struct side *side = &arena->sides[slot];
        if (!side->fiber)
            side->fiber = fl_sanitizer_new();
        if (!side->valgrind_id)
            side->valgrind_id = VALGRIND_STACK_REGISTER(stack->low, stack->top);
        stack->sanitizer = side->fiber;
        stack->valgrind_id = side->valgrind_id;
    }
    or_acq_rel(&arena->live[slot / WORD], 1ull << slot % WORD); /* [live] pairs with fl_stacks_each */
    return stack;
}

/* A chain of up to `want` stacks that nobody has used since they were made or trimmed; NULL: not even one. */
static struct fl_stack *make(struct fl_stacks *stacks, unsigned cls, unsigned want)
{
    unsigned slots[FL_STACK_BATCH_MAX], n = want;
    struct fl_stack_arena *arena = claim(stacks, cls, slots, &n);
    if (!arena)
        return NULL;
    unsigned good = guard(stacks, arena, slots, n);
    if (good > 1 && load_relaxed(&stacks->populate)) /* hint: populate() finds out */
        good = populate(stacks, arena, slots, good);
    struct fl_stack *chain = NULL;
    for (unsigned i = good; i-- > 0;) {
        struct fl_stack *stack = build(stacks, arena, slots[i]);
        stack->next = chain;
        chain = stack;
    }
    if (chain)
        chain->run = (uint16_t)good;
    unclaim(stacks, arena, slots + good, n - good);
    return chain;
}

/* Caches */

void fl_stack_cache_init(struct fl_stack_cache *cache, struct fl_stacks *stacks)
{
    *cache = (struct fl_stack_cache){.stacks = stacks};
    for (unsigned cls = 0; cls < FL_STACK_CLASSES; cls++)
        cache->batch[cls] = 1;
}

void fl_stack_cache_fini(struct fl_stack_cache *cache)
{
    for (unsigned cls = 0; cls < FL_STACK_CLASSES; cls++) {
        struct size_class *class = &cache->stacks->classes[cls];
        if (cache->full[cls])
            pool_put(class, cache->full[cls]);
        if (cache->free[cls]) {
            cache->free[cls]->run = (uint16_t)cache->count[cls];
            pool_put(class, cache->free[cls]);
        }
    }
    fl_stack_cache_init(cache, cache->stacks);
}

FL_NOINLINE struct fl_stack *fl_stack_get_slow(struct fl_stack_cache *cache, unsigned cls)
{
    int saved = errno;
    struct fl_stack *chain = cache->full[cls];
    if (chain)
        cache->full[cls] = NULL;
    else
        chain = pool_take(&cache->stacks->classes[cls]);
    if (!chain) {
        unsigned batch = cache->batch[cls];
        chain = make(cache->stacks, cls, batch < batch_max ? batch : batch_max);
        cache->batch[cls] = !chain ? 1 : batch < batch_max ? 2 * batch : batch;
    }
    if (chain) {
        cache->free[cls] = chain->next;
        cache->count[cls] = chain->run - 1u;
    }
    errno = saved;
    return chain;
}

FL_NOINLINE void fl_stack_put_slow(struct fl_stack_cache *cache, unsigned cls)
{
    struct fl_stack *last = cache->free[cls], *chain = last->next;
    if (cache->full[cls])
        pool_put(&cache->stacks->classes[cls], cache->full[cls]);
    chain->run = (uint16_t)(cache->count[cls] - 1);
    cache->full[cls] = chain;
    last->next = NULL;
    cache->count[cls] = 1;
}

__attribute__((no_sanitize("address"))) /* what ran over may have left poison */
bool fl_stack_intact(const struct fl_stack *stack)
{
    if (stack->guard != FILCH_GUARD_CANARY)
        return true;
    const uint64_t *word = (const uint64_t *)slot_address(stack->arena, slot_index(stack)), *end = (const uint64_t *)stack->low;
    uint64_t all = 0;
    while (word < end)
        all |= *word++;
    return !all;
}

/* Trimming */

/* Gives [first, last) slots back, as many ranges at once as fit. */
struct ranges {
    struct iovec range[FL_STACK_BATCH_MAX];
    unsigned n;
};

static void flush(const struct fl_stacks *stacks, struct ranges *ranges)
{
    int ignored; /* locked memory stays: the stack is spare all the same */
    advise(stacks, ranges->range, ranges->n, MADV_DONTNEED, &ignored);
    ranges->n = 0;
}

static void discard(const struct fl_stacks *stacks, struct fl_stack_arena *arena)
{
    struct ranges ranges;
    ranges.n = 0;
    for (unsigned i = 0; i < arena->slots;) {
        uint64_t word = arena->cold[i / WORD] >> i % WORD;
        if (!word) {
            i = (i / WORD + 1) * WORD;
            continue;
        }
        i += (unsigned)__builtin_ctzll(word);
        unsigned first = i;
        while (i < arena->slots && arena->cold[i / WORD] >> i % WORD & 1)
            i++;
        ranges.range[ranges.n++] = (struct iovec){(void *)slot_address(arena, first), slot_address(arena, i) - slot_address(arena, first)};
        if (ranges.n == FL_STACK_BATCH_MAX)
            flush(stacks, &ranges);
    }
    if (ranges.n)
        flush(stacks, &ranges);
}

/* All `made` slots of a closed arena are spare: without their markers, its page tables can go too. */
static void take_guards_down(struct fl_stacks *stacks, struct fl_stack_arena *arena, unsigned made)
{
    size_t bytes = made * arena->slot;
    uint64_t down = 0;
    if (madvise((void *)arena->base, bytes, ADVICE_GUARD_REMOVE) == 0) {
        for (unsigned i = 0; i < made; i++) {
            if (arena->kinds[i] == FILCH_GUARD_MARKER) {
                arena->kinds[i] = UNMADE;
                down++;
            }
        }
        madvise((void *)arena->base, bytes, MADV_DONTNEED); /* frees page tables that have become empty, from Linux 6.14 on */
        sub_relaxed(&stacks->made, down);                   /* counter */
        sub_relaxed(&stacks->guarded, down);                /* counter */
    }
}

/* The slots in arena->cold, discarded, become spare. */
static void make_spare(struct fl_stacks *stacks, struct fl_stack_arena *arena)
{
    struct size_class *class = &stacks->classes[arena->cls];
    unsigned n = 0;
    fl_lock_take(&class->lock);
    for (unsigned w = 0; w < arena->words; w++) {
        n += (unsigned)__builtin_popcountll(arena->cold[w]);
        arena->spare[w] |= arena->cold[w];
        arena->cold[w] = 0;
    }
    arena->spares += n;
    if (arena->spares == n)
        fl_list_append(&class->spare, &arena->spare_link);
    unsigned made = arena->made;
    /* hint: if there are no markers, none are taken down */
    bool all = arena->spares == made && load_relaxed(&stacks->kind) == FILCH_GUARD_MARKER;
    if (all) {
        arena->closed = true;
        fl_list_remove(&arena->spare_link);
    }
    fl_lock_give(&class->lock);
    if (!all)
        return;
    take_guards_down(stacks, arena, made);
    fl_lock_take(&class->lock);
    arena->closed = false;
    fl_list_append(&class->spare, &arena->spare_link);
    fl_lock_give(&class->lock);
}

/* Makes a chain of live stacks spare, unless somebody is looking at stacks. */
static bool trim_chain(struct fl_stacks *stacks, struct fl_stack *chain)
{
    struct fl_list touched;
    fl_list_init(&touched);
    for (struct fl_stack *stack = chain; stack; stack = stack->next) {
        struct fl_stack_arena *arena = stack->arena;
        unsigned slot = slot_index(stack);
        uint64_t bit = 1ull << slot % WORD;
        and_acq_rel(&arena->live[slot / WORD], ~bit); /* [look] pairs with fl_stacks_each */
        arena->cold[slot / WORD] |= bit;
        if (fl_list_empty(&arena->touched))
            fl_list_append(&touched, &arena->touched);
    }
    bool looked_at = add_acq_rel(&stacks->lookers, 0) != 0; /* [look] pairs with fl_stacks_each */
    if (looked_at) {
        for (struct fl_stack *stack = chain; stack; stack = stack->next) {
            unsigned slot = slot_index(stack);
            stack->arena->cold[slot / WORD] = 0;
            or_acq_rel(&stack->arena->live[slot / WORD], 1ull << slot % WORD); /* [live] pairs with fl_stacks_each */
        }
    }
    while (!fl_list_empty(&touched)) {
        struct fl_stack_arena *arena = fl_container_of(touched.next, struct fl_stack_arena, touched);
        fl_list_remove(&arena->touched);
        if (!looked_at) {
            discard(stacks, arena);
            make_spare(stacks, arena);
        }
    }
    return !looked_at;
}

/* Cuts a chain of `run` stacks after the first `keep` (at least one) and returns the rest, itself a chain. */
static struct fl_stack *cut(struct fl_stack *chain, unsigned run, unsigned keep)
{
    struct fl_stack *last = chain;
    for (unsigned i = 1; i < keep; i++)
        last = last->next;
    struct fl_stack *rest = last->next;
    last->next = NULL;
    chain->run = (uint16_t)keep;
    rest->run = (uint16_t)(run - keep);
    return rest;
}

static unsigned cached(const struct fl_stack_cache *cache, unsigned cls)
{
    return cache->count[cls] + (cache->full[cls] ? cache->full[cls]->run : 0);
}

/* The next chain to trim of a class, so that `keep` stacks remain: the cache's older list, the end of its newer one, then the pool's chains. */
static struct fl_stack *surplus(struct fl_stack_cache *cache, unsigned cls, unsigned keep)
{
    struct size_class *class = &cache->stacks->classes[cls];
    unsigned have = cached(cache, cls);
    struct fl_stack *chain = cache->full[cls];
    if (have > keep && chain) {
        unsigned keep_full = keep > cache->count[cls] ? keep - cache->count[cls] : 0;
        if (keep_full)
            return cut(chain, chain->run, keep_full);
        cache->full[cls] = NULL;
        return chain;
    }
    chain = cache->free[cls];
    if (have > keep) {
        cache->count[cls] = keep;
        if (keep)
            return cut(chain, have, keep);
        cache->free[cls] = NULL;
        chain->run = (uint16_t)have;
        return chain;
    }
    /* hint: if others take some meanwhile, more of the rest is trimmed */
    uint64_t keep_pool = keep - have, pooled = load_relaxed(&class->pooled);
    if (pooled <= keep_pool || !(chain = pool_take(class)))
        return NULL;
    if (chain->run > pooled - keep_pool) {
        struct fl_stack *rest = cut(chain, chain->run, (unsigned)(chain->run - (pooled - keep_pool)));
        pool_put(class, chain);
        chain = rest;
    }
    return chain;
}

size_t fl_stack_trim_some(struct fl_stack_cache *cache, unsigned keep, size_t most)
{
    struct fl_stacks *stacks = cache->stacks;
    size_t trimmed = 0;
    int saved = errno;
    if (exchange_acquire(&stacks->trimming, 1)) /* [trim] pairs with the store below */
        return 0;
    for (unsigned cls = 0; cls < FL_STACK_CLASSES && trimmed < most; cls++) {
        struct fl_stack *chain;
        while (trimmed < most && (chain = surplus(cache, cls, keep))) {
            size_t run = chain->run;
            cache->batch[cls] = 1;
            if (!trim_chain(stacks, chain)) {
                pool_put(&stacks->classes[cls], chain);
                most = 0;
                break;
            }
            trimmed += run;
        }
    }
    store_release(&stacks->trimming, 0); /* [trim] pairs with the exchange above */
    errno = saved;
    return trimmed;
}

size_t fl_stack_trim(struct fl_stack_cache *cache, unsigned keep)
{
    return fl_stack_trim_some(cache, keep, SIZE_MAX);
}

bool fl_stack_trim_wanted(const struct fl_stack_cache *cache, unsigned keep)
{
    for (unsigned cls = 0; cls < FL_STACK_CLASSES; cls++)
        if (cached(cache, cls) + load_relaxed(&cache->stacks->classes[cls].pooled) > keep) /* hint: trimming counts again */
            return true;
    return false;
}

/* All stacks */

int fl_stacks_new(struct fl_stacks **ret_stacks)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct fl_stacks *stacks = aligned_alloc(_Alignof(struct fl_stacks), sizeof(*stacks));
    if (!stacks)
        return -ENOMEM;
    memset(stacks, 0, sizeof(*stacks));
    for (unsigned cls = 0; cls < FL_STACK_CLASSES; cls++) {
        fl_list_init(&stacks->classes[cls].fresh);
        fl_list_init(&stacks->classes[cls].spare);
        stacks->classes[cls].arena_slots = slots_in(cls, ARENA_FIRST_SHIFT);
    }
    stacks->page = page;
    stacks->tool = FL_TSAN || RUNNING_ON_VALGRIND;
    store_relaxed(&stacks->populate, true);             /* own: not yet shared */
    store_relaxed(&stacks->kind, FILCH_GUARD_MPROTECT); /* own: not yet shared */

    /* What can this kernel do? */
    void *probe = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED) {
        free(stacks);
        return -ENOMEM;
    }
    struct iovec range = {probe, page};
    stacks->bulk =
        !RUNNING_ON_VALGRIND && syscall(SYS_process_madvise, PIDFD_SELF_THREAD_, &range, (size_t)1, MADV_DONTNEED, 0u) == (long)page;
    if (madvise(probe, page, ADVICE_GUARD_INSTALL) == 0 && madvise(probe, page, ADVICE_POPULATE_READ) != 0 && errno == EFAULT)
        store_relaxed(&stacks->kind, FILCH_GUARD_MARKER); /* own: not yet shared */
    munmap(probe, page);
    *ret_stacks = stacks;
    return 0;
}

void fl_stacks_free(struct fl_stacks *stacks)
{
    if (!stacks)
        return;
    struct fl_stack_arena *arena = load_acquire(&stacks->arenas), *next; /* [arena] pairs with grow */
    for (; arena; arena = next) {
        next = arena->next;
        arena_free(arena);
    }
    free(stacks);
}

void fl_stacks_each(struct fl_stacks *stacks, void (*see)(struct fl_stack *stack, void *arg), void *arg)
{
    uintptr_t after = 0;
    add_acq_rel(&stacks->lookers, 1); /* [look] pairs with trim_chain */
    for (;;) {
        /* No memory to sort in: this may run in a panic. The next arena by address is looked for in the list, a few hundred long at most. */
        struct fl_stack_arena *least = NULL;
        for (struct fl_stack_arena *arena = load_acquire(&stacks->arenas); arena; arena = arena->next) /* [arena] pairs with grow */
            if (arena->base > after && (!least || arena->base < least->base))
                least = arena;
        if (!least)
            break;
        after = least->base;
        for (unsigned w = 0; w < least->words; w++)
            for (uint64_t live = load_acquire(&least->live[w]); live; live &= live - 1) /* [live] pairs with build */
                see(slot_stack(least, w * WORD + (unsigned)__builtin_ctzll(live)), arg);
    }
    sub_acq_rel(&stacks->lookers, 1); /* [look] pairs with trim_chain */
}

void fl_stacks_info(struct fl_stacks *stacks, struct fl_stacks_info *ret_info)
{
    int kind = load_relaxed(&stacks->kind);                                                 /* hint: it may get worse any time */
    if (kind == FILCH_GUARD_MPROTECT && load_relaxed(&protected_stacks) >= protected_max()) /* counter */
        kind = FILCH_GUARD_CANARY;
    *ret_info = (struct fl_stacks_info){
        .stacks = load_relaxed(&stacks->made),     /* counter */
        .guarded = load_relaxed(&stacks->guarded), /* counter */
        .bytes = load_relaxed(&stacks->bytes),     /* counter */
        .guard = kind,
    };
}

void fl_stacks_limit_guard(struct fl_stacks *stacks, int kind)
{
    int now = load_relaxed(&stacks->kind); /* hint: the exchange finds out */
    while (now != FILCH_GUARD_NONE && (kind == FILCH_GUARD_NONE || kind > now) &&
           !cas_relaxed(&stacks->kind, &now, kind)) /* hint: see guard */
        ;
}
