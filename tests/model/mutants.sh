# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by run.sh: the mistakes that must be noticed. notices HARNESS SCENARIO MODELS WHAT ERROR HEADER SED...
#
# An error is a pattern for what GenMC says: its own words, or the assertion of the harness that fails.
race='Non-atomic race' memory='(uninitialized|non-allocated|freed) memory'
twice='before == 0'                                           # done twice
stale='item->arg == i'                                        # a thief sees the item but not what it points to
order='number > last'                                         # not in the order they came
asleep='word == 0 .. !visible'                                # work is left, and somebody sleeps
field='fl_idle_(searching|sleeping|napping|lingering).* <= '  # a field of the word has wrapped
unwatched='monitor.asleep. .. fl_monitor_needless'             # the monitor sleeps, and nobody keeps the watch
watching='doing.me. == WATCHES'                                  # a worker is stalled, and nobody keeps the watch
word='idle.word. == word'                                     # the word ends as something else than what the workers do
never='claimed. == happened'                                  # claimed and not made ready
unsaved='stack == 1'                                          # the task goes on without what it wrote before it left its stack
ungiven='gift == 1'                                           # the task does not see what the claimer did
forgotten='Liveness violation'                                # somebody waits for ever
lost='count == '                                              # two were inside
left='mutex->word_ == 0'                                      # nobody has it or waits, and it says otherwise
stolen='does not hold this mutex'                              # somebody else has taken it, too
unordered='Unordered writes'                                  # two write, and nothing orders them
twofold='received.i. == sent.i.|happened|before == 0'           # a value that was sent is not received, or one that was not is
queued='somebody waits at this channel'                        # who has gone on still stands in the line
unseen='did.i. == i'                                          # the joiner does not see what a child did

# ---- deque ----
d=runtime/sched/deque.h h=include/filch/hot_.h
notices deque 1 'rc11 imm' 'a put does not release' "$race|$stale" $h \
    '/^static inline int64_t filch_deque_put_(/,/^}/s/__ATOMIC_RELEASE/__ATOMIC_RELAXED/'
notices deque 2 'rc11 imm' 'a claim does not release what lies below it' "$race|$stale" $h \
    '/^static inline void filch_deque_lower_/,/^}/s/__ATOMIC_RELEASE/__ATOMIC_RELAXED/'
notices deque 2 'rc11 imm' 'no store-load barrier in a pop' "$memory" $d \
    '/^    fl_barrier_light();/d'
notices deque 15 'rc11 imm' 'no store-load barrier in an inline claim' "$twice|$memory" $h \
    '/^static inline bool filch_deque_claim_/,/^}/s/filch_barrier_();//'
notices deque 2 'rc11 imm' 'no store-load barrier in a steal' "$twice" $d \
    '/^    fl_barrier_heavy();/d'
notices deque 1 'rc11 imm' 'a steal does not acquire bottom' "$memory" $d \
    '/fl_deque_steal(struct/,/^}/s/int64_t b = load_acquire/int64_t b = load_relaxed/'
notices deque 6 'rc11 imm' 'the new buffer is published relaxed' "$memory|item->whose" $d \
    '/fl_deque_room(struct/,/^}/s/store_release/store_relaxed/'
notices deque 6 'rc11 imm' 'a steal does not acquire the buffer' "$memory|item->whose" $d \
    '/fl_deque_steal(struct/,/^}/s/buffer = load_acquire/buffer = load_relaxed/'
notices deque 6 'rc11' 'the old buffer is freed under a thief' "$memory" $d \
    's/store_release(FL_DEQUE_BUFFER(d), wide);/& wide->older_ = NULL; free(old);/'
notices deque 7 'rc11 imm' 'a steal loads the buffer before bottom' "$twice" $d \
    '/struct filch_buffer_ \*buffer = load_acquire/d' \
    's/^    fl_barrier_heavy();.*/& struct filch_buffer_ *buffer = load_acquire(FL_DEQUE_BUFFER(d));/'
notices deque 1 'rc11 imm' 'the owner takes the last item without a swap' "$twice" $h \
    '/^static inline bool filch_deque_lowered_/,/^}/s/__atomic_compare_exchange_n/store_for_compare_exchange/'
notices deque 2 'rc11 imm' 'a thief takes without a swap' "$twice" $d \
    '/fl_deque_steal(struct/,/^}/s/cas_seq_cst/store_for_cas/'
notices deque 5 'rc11 imm' 'unsigned indices: an owner at bottom 0' "$memory" $h \
    's/FILCH_LIKELY_(t < b)/(uint64_t)t < (uint64_t)b/'
notices deque 5 'rc11 imm' 'unsigned indices: a thief at bottom 0' "$race|$stale" $d \
    's/if (t >= b)/if ((uint64_t)t >= (uint64_t)b)/'
notices deque 6 'rc11 imm' 'growth forgets the newest item' "$memory" $d \
    's/i < b; i += FILCH_STEP_/i < b - FILCH_STEP_; i += FILCH_STEP_/'
notices deque 6 'rc11 imm' 'the limit is one too high' "$twice" $d \
    's/first + FL_DEQUE_FIRST_CAPACITY \* FILCH_STEP_/& + FILCH_STEP_/'
notices deque 11 'rc11 imm' 'what is taken back is not looked at' '!wrong' $h \
    '/^static inline bool filch_deque_take_back_/,/^}/s/ == whose)/ | 1)/'
notices deque 13 'rc11 imm' 'the owner gives away without a swap' "$twice" $d \
    '/fl_deque_give(struct/,/^}/s/cas_seq_cst/store_for_cas/'
notices deque 13 'rc11 imm' 'the owner gives away more than top tells' "$twice" $d \
    '/fl_deque_give(struct/,/^}/s/, t + n \* FILCH_STEP_)/, t + FILCH_STEP_)/'

notices deque 16 'rc11 imm' 'the loop leaves no graves' 'tokens.i. == 0' $d \
    's/ret_item->whose & FL_WHOSE_MOVED ||/true ||/'
notices deque 16 'rc11 imm' 'it leaves one' 'tokens.i. == 0' $d \
    's/^    fl_deque_push(d, &grave);$//'
notices deque 16 'rc11 imm' 'a grave is popped' "$race|$memory|i >= 0" $d \
    's/    if (likely(ret_item->whose != FL_WHOSE_GRAVE))$/    if (true)/'
notices deque 17 'rc11 imm' 'a fork that goes back to another place forgets its token' 'item->token == tokens' $d \
    's/^        whose |= FL_WHOSE_MOVED;//'

# ---- ready ----
r=runtime/sched/ready.h l=runtime/base/lock.h
notices ready 1 'rc11 imm' 'no bias barrier in a pop' "$twice" $r \
    '/fl_ready_pop_fast(struct/,/^}/s/fl_barrier_try_light()/true/'
notices ready 4 'rc11 imm' 'no bias barrier in a push' "$race|$order|$twice|happened" $r \
    '/fl_ready_push_fast(struct/,/^}/s/fl_barrier_try_light()/true/'
notices ready 1 'rc11 imm' 'no bias barrier at the thief' "$twice" $r \
    '/^    fl_barrier_heavy();/d'
notices ready 3 'rc11 imm' 'wants is loaded relaxed' "$twice" $r \
    '/fl_ready_pop_fast(struct/,/^}/s/load_acquire/load_relaxed/'
notices ready 3 'rc11 imm' 'wants is counted down relaxed' "$twice" $r \
    '/fl_ready_take_half(struct/,/^}/s/sub_release/sub_relaxed/'
notices ready 1 'rc11 imm' 'inside is cleared relaxed on leaving' "$twice" $r \
    '/fl_ready_pop_fast(struct/,/^}/s/store_release/store_relaxed/'
notices ready 1 'rc11 imm' 'inside is looked at relaxed' "$race|$twice" $r \
    '/fl_ready_take_half(struct/,/^}/s/load_acquire/load_relaxed/'
notices ready 1 'rc11 imm' 'a thief does not wait for who is inside' "$race|$twice" $r \
    's/while (load_acquire(&q->inside) != 0 && ++spins < FL_READY_SPINS)/while (false)/'
notices ready 1 'rc11 imm' 'the owner goes in while thieves are at the door' "$race|$order|$twice" $r \
    '/fl_ready_pop_fast(struct/,/^}/s/ == 0)/ < 9)/'
notices ready 1 'rc11 imm' 'the lock is given back relaxed' "$twice|$order" $l \
    '/fl_lock_give(struct/,/^}/s/store_release/store_relaxed/'
notices ready 6 'rc11 imm' 'the newest stays in the queue' "$twice" $r \
    's/q->slots\[--tail & q->mask\]/q->slots[(tail - 1) \& q->mask]/'
notices ready 3 'rc11 imm' 'growth keeps the old mask' "$order" $r \
    's/q->mask = 2 \* capacity - 1;//'

# ---- idle ----
i=runtime/sched/idle.h
notices idle 1 'rc11 imm' 'no barrier in doze' "$asleep" $i \
    '/^    fl_barrier_heavy();/d'
notices idle 1 'rc11 imm' 'no barrier before wanted' "$asleep" $i \
    '/^    fl_barrier_light();/d'
notices idle 2 'rc11 imm' 'no barrier before the inline look' "$asleep" $h \
    '/filch_sleepers_(struct/,/^}/s/filch_barrier_();//'
notices idle 16 'rc11 imm' 'the state is set before the count' "$field" $i \
    '/^FL_INLINE bool fl_idle_doze/,/^}/s/^    do$/    store_release(\&sleeper->state, FL_ASLEEP);\n    do/' \
    '/^FL_INLINE bool fl_idle_doze/,/^}/s/^    store_release(&sleeper->state, linger.*//'
notices idle 4 'rc11 imm' 'who found work wakes nobody' "$asleep" $i \
    's/return (word & (0xffff \* FL_SEARCHING)) == 0 && .*/return word == ~word;/'
notices idle 7 'rc11 imm' 'found is no seq_cst subtraction' "$asleep" $i \
    '/^FL_INLINE bool fl_idle_found/,/^}/s/add_seq_cst/add_acq_rel/'
notices idle 7 'rc11 imm' 'a claim looks at the state without seq_cst' "$asleep" $i \
    '/^FL_INLINE bool fl_idle_claim/,/^}/s/load_seq_cst/load_acquire/'
notices idle 3 'rc11 imm' 'a claimed sleeper goes on before it is counted as searching' "$asleep" $i \
    's/cas_acq_rel(&sleeper->state, &state, FL_CLAIMED)/cas_acq_rel(\&sleeper->state, \&state, FL_AWAKE)/' \
    's/^    store_release(&sleeper->state, FL_AWAKE);//'
notices idle 12 'rc11 imm' 'the same, and somebody looks at the word' "$field" $i \
    's/cas_acq_rel(&sleeper->state, &state, FL_CLAIMED)/cas_acq_rel(\&sleeper->state, \&state, FL_AWAKE)/' \
    's/^    store_release(&sleeper->state, FL_AWAKE);//'
notices idle 13 'rc11 imm' 'who is claimed does not wait until it is counted' "$field" $i \
    's/load_acquire(&sleeper->state) != FL_AWAKE;/false;/'
notices idle 9 'rc11 imm' 'two linger' "$field" $i \
    's/linger = linger && fl_idle_lingering(word) == 0/linger = linger \&\& word != 0/'
notices idle 14 'rc11 imm' 'two nap' "$field" $i \
    's/while (fl_idle_napping(word) == 0)/while (true)/'
notices idle 17 'rc11 imm' 'who pauses still counts as searching' "$word" $i \
    's/^    add_seq_cst(&idle->word, -FL_SEARCHING);//'
notices idle 11 'rc11 imm' 'a claim leaves lingering behind' "$word" $i \
    's/(state == FL_LINGER ? FL_LINGERING : 0));/0);/'
notices idle 10 'rc11 imm' 'a claim without a swap' "$word" $i \
    '/^FL_INLINE bool fl_idle_claim/,/^}/s/cas_acq_rel/store_for_cas/'
notices idle 18 'rc11 imm' 'a relief that leaves answers for nobody' "$asleep" $i \
    's/^    return fl_idle_found(idle);/    fl_idle_pause(idle);\n    return false;/'
notices idle 19 'rc11 imm' 'a relief that leaves does not hand on the wake-up that it was given' "$asleep" $i \
    's/^    return fl_idle_found(idle);/    fl_idle_pause(idle);\n    return false;/'
notices idle 20 'rc11 imm' 'a relief that leaves still counts as searching' "$word|$asleep" $i \
    's/^    return fl_idle_found(idle);/    return false;/'
notices idle 23 'rc11 imm' 'who takes part looks who sleeps before it counts itself' "$watching" $i \
    '/^FL_INLINE bool fl_idle_take_part/,/^}/s/^    add_seq_cst.*/    bool wanted = fl_idle_wanted(idle);\n    add_relaxed(\&idle->active, 1);\n    return wanted;/'
notices idle 23 'rc11 imm' 'no barrier between the count and the look' "$watching" $i \
    's/^    fl_barrier_light();.*//'
notices idle 23 'rc11 imm' 'who begins while all sleep wakes nobody' "$watching" $i \
    '/^FL_INLINE bool fl_idle_take_part/,/^}/s/return fl_idle_wanted(idle)/return false/'
notices idle 23 'rc11 imm' 'a sleeper does not ask whether somebody works' "$watching" $i \
    '/^FL_INLINE bool fl_idle_unwatched/,/^}/s/return fl_idle_napping/return false \&\& fl_idle_napping/'
notices idle 24 'rc11 imm' 'the same, after a nap' "$watching" $i \
    '/^FL_INLINE bool fl_idle_unwatched/,/^}/s/return fl_idle_napping/return false \&\& fl_idle_napping/'
notices idle 25 'rc11 imm' 'the same, beside a relief that steps aside' "$watching" $i \
    '/^FL_INLINE bool fl_idle_unwatched/,/^}/s/return fl_idle_napping/return false \&\& fl_idle_napping/'

# ---- watch ----
m=runtime/sched/monitor.h
notices watch 1 'rc11 imm' 'who ceases to be idle does not look who sleeps' "$unwatched" $m \
    's/if (unlikely(load_seq_cst(&monitor->asleep) == FL_MONITOR_SLEEPS))/if (false)/'
notices watch 1 'rc11 imm' 'it looks relaxed' "$unwatched" $m \
    's/load_seq_cst(&monitor->asleep)/load_relaxed(\&monitor->asleep)/'
notices watch 1 'rc11 imm' 'the monitor only releases that it sleeps' "$unwatched" $m \
    's/store_seq_cst(&monitor->asleep, /store_release(\&monitor->asleep, /'
notices watch 1 'rc11 imm' 'the monitor does not look who is idle' "$unwatched" $m \
    's/if (fl_monitor_needless(load_seq_cst(&idle->word), enough))/if (true)/'
notices watch 2 'rc11 imm' 'the monitor looks who is idle, and sleeps afterwards' "$unwatched" $m \
    's/^    store_seq_cst(&monitor->asleep, FL_MONITOR_SLEEPS);.*//' \
    's/^        return true;/        return store_seq_cst(\&monitor->asleep, FL_MONITOR_SLEEPS), true;/'
notices watch 1 'rc11 imm' 'the monitor looks relaxed' "$unwatched" $m \
    's/load_seq_cst(&idle->word)/load_relaxed(\&idle->word)/'
notices watch 1 'rc11 imm' 'work that is found is told of by an acquire and a release' "$unwatched" $i \
    '/^FL_INLINE bool fl_idle_found/,/^}/s/add_seq_cst/add_acq_rel/'

# ---- wake ----
w=runtime/sched/wake.h
notices wake 1 'rc11 imm' 'save stores instead of swapping' "$never" $w \
    '/^FL_INLINE bool fl_wake_save/,/^}/s/cas_weak_acq_rel/store_for_cas/'
notices wake 1 'rc11 imm' 'save does not release' "$race|$unsaved" $w \
    '/^FL_INLINE bool fl_wake_save/,/^}/s/cas_weak_acq_rel/cas_acquire/'
notices wake 2 'rc11 imm' 'a claim stores instead of swapping' "$race|$twice" $w \
    '/^FL_INLINE bool fl_wake_swap/,/^}/s/cas_weak_acq_rel/store_for_cas/'
notices wake 1 'rc11 imm' 'a claim does not acquire' "$race|$unsaved" $w \
    '/^FL_INLINE bool fl_wake_swap/,/^}/s/cas_weak_acq_rel/cas_release/'
notices wake 1 'rc11 imm' 'a claim does not release' "$race|$ungiven" $w \
    '/^FL_INLINE bool fl_wake_swap/,/^}/s/cas_weak_acq_rel/cas_acquire/'
notices wake 3 'rc11 imm' 'a cancel claims what it must not' '!cancel' $w \
    's/(cancel ? FL_WAKE_CANCELLABLE : 0);/(cancel ? 0 : 0);/'
notices wake 4 'rc11 imm' 'disarm stores instead of swapping' "$never" $w \
    '/^FL_INLINE bool fl_wake_disarm/,/^}/s/cas_weak_acq_rel/store_for_cas/'
notices wake 7 'rc11 imm' 'who need not park does not acquire' "$race|$ungiven" $w \
    '/^FL_INLINE bool fl_wake_claimed/,/^}/s/load_acquire/load_relaxed/' \
    '/^FL_INLINE int fl_wake_finish/,/^}/s/load_acquire/load_relaxed/'
notices wake 2 'rc11 imm' 'the claimer always makes it ready' "$race|frame == 1" $w \
    's/\*ret_seen = seen;/*ret_seen = seen | FL_WAKE_SAVED;/'

# ---- join ----
j=runtime/sched/join.h t=include/filch/task.h
notices join 1 'rc11 imm' 'the subtraction is relaxed' "$race|$unseen" $j \
    '/fl_join_told(struct/,/^}/s/sub_acq_rel/sub_relaxed/'
notices join 1 'rc11 imm' 'the addition is relaxed' "$race|$unseen" $j \
    '/^FL_INLINE bool fl_join_wait/,/^}/s/add_acq_rel/add_relaxed/'
notices join 1 'rc11 imm' 'the joiner is woken by the first child' "$unseen" $j \
    's/return left == FL_JOINER_WAITS/return left >= FL_JOINER_WAITS/'
notices join 3 'rc11 imm' 'no bias: a zero need not mean that somebody waits' "$twice" $j \
    's/^#define FL_JOINER_WAITS .*/#define FL_JOINER_WAITS ((int64_t)0)/'
notices join 1 'rc11 imm' 'the joiner does not see that nothing is missing' 'happened.&resumed' $j \
    '/^FL_INLINE bool fl_join_wait/,/^}/s/ == FL_JOINER_WAITS/ == 1/'
notices join 1 'rc11' 'the owner is read after the subtraction' "$memory" $j \
    's/return left == FL_JOINER_WAITS ? owner : NULL;/owner = fl_container_of(scope->owner_, struct fl_task, head); &/'
notices join 2 'rc11 imm' 'what is missing is loaded relaxed' "$race|$unseen" $j \
    '/fl_join_missing(struct/,/^}/s/load_acquire/load_relaxed/'
notices join 5 'rc11 imm' 'the inline join does not acquire the count' "$race|$unseen" $t \
    '/int filch_join(filch_scope/,/^}/s/__ATOMIC_ACQUIRE/__ATOMIC_RELAXED/'
notices join 6 'rc11 imm' 'leaving does not acquire the count' "$race|$unseen" $t \
    '/void filch_scope_leave_(filch_scope/,/^}/s/__ATOMIC_ACQUIRE/__ATOMIC_RELAXED/'
notices join 7 'rc11 imm' 'a put does not release what the child needs' "$memory|item.whose" $h \
    '/^static inline int64_t filch_deque_put_(/,/^}/s/__ATOMIC_RELEASE/__ATOMIC_RELAXED/'

# ---- mutex ----
m=runtime/sync/mutex.c
notices mutex 1 'rc11 imm' 'taking it at once does not acquire' "$race|$lost" $m \
    '/^static bool grab/,/^}/s/or_acquire(word_of(mutex), HELD)/atomic_fetch_or_explicit(word_of(mutex), HELD, memory_order_relaxed)/'
notices mutex 6 'rc11 imm' 'trying does not acquire' "$race|$lost" $m \
    '/^static bool take/,/^}/s/cas_acquire/cas_relaxed/'
notices mutex 1 'rc11 imm' 'giving it back at once does not release' "$race|$lost" $m \
    '/^void filch_mutex_unlock/,/^}/s/cas_release/cas_relaxed/'
notices mutex 5 'rc11 imm' 'giving it back with others in line does not release' "$race|$unordered|$lost|$forgotten" $m \
    '/^static FL_NOINLINE void unlock_slow/,/^}/s/store_release(word_of(mutex), rest/store_relaxed(word_of(mutex), rest/'
notices mutex 5 'rc11 imm' 'the list is locked relaxed' "$race|$unordered|$lost|$memory|$forgotten" $m \
    '/^static uint32_t lock/,/^}/s/cas_acquire/cas_relaxed/'
notices mutex 1 'rc11 imm' 'unlock does not look who is queued' "$forgotten" $m \
    '/^static bool is_wanted/,/^}/s/(word & (QUEUED | WAKING)) == QUEUED/false/'
notices mutex 1 'rc11 imm' 'it is given back under the hands of who works on the list' "$forgotten|$left" $m \
    '/^void filch_mutex_unlock/,/^}/s/is_wanted(word)/is_wanted(word \& ~LOCKED)/'
notices mutex 3 'rc11 imm' 'who has locked the list takes it for his' "$race|$lost|$stolen" $m \
    's/!(word & HELD) && grab(mutex)/!(word \& HELD) \&\& (grab(mutex), true)/'
notices mutex 1 'rc11 imm' 'it is armed again once others know of the wait' "$forgotten" $m \
    's/^        fl_wait(task, &locks/        fl_wake_arm(task, false);\n&/'
notices mutex 1 'rc11 imm' 'it is free by now, and waited for all the same' "$forgotten" $m \
    '/^static FL_NOINLINE void lock_slow/,/^}/s/!(word & HELD) && grab(mutex)/false/'
notices mutex 5 'rc11 imm' 'who was woken takes it and is still on its way' "$forgotten|$left" $m \
    's/if (take(mutex, WAKING))/if (take(mutex, 0))/'
notices mutex 3 'rc11 imm' 'who goes back into the list is still on its way' "$forgotten" $m \
    's/store_release(word_of(mutex), (word | QUEUED) & ~clear)/store_release(word_of(mutex), word | QUEUED)/'
notices mutex 3 'rc11 imm' 'what is handed over is free too' "$race|$lost" $m \
    's/woken->given ? word : rest | WAKING/woken->given ? rest : rest | WAKING/'
notices mutex 3 'rc11 imm' 'what was promised is not taken' "$forgotten" $m \
    's/^        if (w.given)$/        if (false)/'
notices mutex 5 'rc11 imm' 'the list keeps only who came last' "$forgotten" $m \
    's/((struct waiter \*)mutex->tail_)->next = &w;/mutex->head_ = \&w;/'
notices mutex 1 'rc11 imm' 'the list is empty and says it is not' "$memory|$left" $m \
    's/(mutex->head_ ? ~0u : ~QUEUED)/~0u/'
notices mutex 7 'rc11' 'the owner is cleared behind the last touch' "$memory" $m \
    '/^void filch_mutex_unlock/,/^}/s/^    store_relaxed(owner_of(mutex), NULL);.*//' \
    's/^        unlock_slow(mutex);/&\n    store_relaxed(owner_of(mutex), NULL);/'
notices mutex 3 'rc11' 'the promise is written once it was claimed' "$memory|$race" $m \
    's/^    struct waiter \*woken = NULL;$/&\n    struct waiter *promised = NULL;/' \
    's/^    first->given = first->tries > 1;$//' 's/^        woken = call_waiters(mutex);$/&\n        promised = woken->tries > 1 ? woken : NULL;/' \
    's/woken->given ? word/promised ? word/' \
    's/^        fl_wake(task, 0, false);/&\n        if (promised)\n            promised->given = true;/'
notices mutex 9 'rc11 imm' 'whoever is woken with a pinned one is forgotten' "$forgotten" $m \
    's/^        woken = woken->next;$/        woken = NULL;/'
notices mutex 9 'rc11' 'who is next is read of one that has gone on' "$memory" $m \
    's/^        woken = woken->next;$//' 's/^        fl_wake(task, 0, false);/&\n        woken = woken->next;/'

# ---- chan ----
c=runtime/sync/chan.c q=runtime/sync/waitq.h
notices chan 1 'rc11 imm' 'a receiver that waits is not woken' "$forgotten" $c \
    's/if (fl_waitq_wake(w))/if (w)/'
notices chan 1 'rc11 imm' 'the lock is given back relaxed' "$race|$unordered|$forgotten|gift.value|value < |$memory" $l \
    '/fl_lock_give(struct/,/^}/s/store_release/store_relaxed/'
notices chan 2 'rc11 imm' 'a sender is claimed and not made ready' "$forgotten" $c \
    '/^FL_INLINE void deliver/,/^}/s/if (woken->task)/if (false)/'
notices chan 5 'rc11 imm' 'a receiver that was cancelled counts as one that has it' 'received.i. == sent.i.|happened' $c \
    's/if (fl_waitq_wake(w))/if (fl_waitq_wake(w) || true)/'
notices chan 5 'rc11 imm' 'who comes too late does not say so' "$forgotten" $q \
    's/^    store_release(&w->done, true);.*//'
notices chan 5 'rc11 imm' 'a receiver that was cancelled does not leave' "$memory|$queued" $c \
    '/^static FL_NOINLINE int waited_in_vain/,/^}/s/ leave(chan, .*);/ ;/'
notices chan 6 'rc11' 'a sender that was cancelled does not leave' "$memory" $c \
    '/^static FL_NOINLINE int waited_in_vain/,/^}/s/ leave(chan, .*);/ ;/'
notices chan 1 'rc11' 'the value is copied once the receiver was claimed' "$memory|$race|0 <= value" $c \
    '/^FL_INLINE int send_now/,/^}/s/^        copy(w->data, element, chan->size);//' \
    's/^        if (fl_waitq_wake(w)).*/        bool woke = fl_waitq_wake(w);\n        copy(w->data, element, chan->size);\n        if (woke) {/'
notices chan 6 'rc11 imm' 'the value of a sender that was cancelled is received' 'received.i. == sent.i.|happened' $c \
    '/^FL_INLINE int recv_now/,/^}/s/^        ret_woken->task = NULL;$/& return 0;/'
notices chan 7 'rc11 imm' 'the value of a sender that was cancelled counts' 'received.i. == sent.i.|happened' $c \
    '/^FL_INLINE int recv_now/,/^}/s/^            ret_woken->task = NULL;$/& chan->tail++;/'
notices chan 8 'rc11 imm' 'only the first receiver is looked at' "$forgotten" $c \
    '/^FL_INLINE int send_now/,/^}/s/^        take_locks(chan, both);$/&\n        break;/'
notices chan 9 'rc11 imm' 'closing wakes no receiver' "$forgotten" $c \
    '/^void filch_chan_close/,/^}/s/side = 0;/side = 1;/'
notices chan 10 'rc11 imm' 'closing wakes no sender' "$forgotten" $c \
    '/^void filch_chan_close/,/^}/s/side < 2;/side < 1;/'
notices chan 9 'rc11 imm' 'who would wait does not see that it is closed' "$forgotten" $c \
    's/return is_closed(chan) ? -EPIPE : -EAGAIN;/return -EAGAIN;/'
notices chan 11 'rc11 imm' 'closing does not let go of who was cancelled' "$forgotten" $c \
    '/^void filch_chan_close/,/^}/s/store_release(&w->done, true);/;/'
notices chan 14 'rc11' 'the channel is touched behind the lock' "$memory" $c \
    '/^static FL_NOINLINE int send_with_room/,/^}/s/^    give_locks(chan, false);$/&\n    (void)*(volatile bool *)\&chan->closed;/'
notices chan 4 'rc11 imm' 'a send into the ring passes by a receiver that waits' "$forgotten|r == 0" $c \
    '/^static FL_NOINLINE int send_with_room/,/^}/s/is_met_in(chan, &chan->receivers)/is_closed(chan)/'
notices chan 4 'rc11 imm' 'a send into the ring does not look for room' "$race|received|r == |gift|happened" $c \
    '/^static FL_NOINLINE int send_with_room/,/^}/s/ || unlikely(tail - chan->head_seen >= chan->limit)//'
notices chan 14 'rc11' 'freeing does not wait for who is inside' "$memory" $c \
    '/^void filch_chan_free/,/^}/s/^    take_all(chan);.*//' '/^void filch_chan_free/,/^}/s/^    give_all(chan);//'
notices chan 4 'rc11 imm' 'the tail is moved before the value is there' "$race|received|r == |gift" $c \
    '/^FL_INLINE void put_value/,/^}/s/store_release/store_relaxed/'
notices chan 4 'rc11 imm' 'a receiver does not acquire the tail' "$race|received|r == |gift" $c \
    '/^FL_INLINE size_t tail_of/,/^}/s/load_acquire/load_relaxed/'
notices chan 4 'rc11 imm' 'the head is moved before the value is out' "$race|received|r == |gift" $c \
    '/^FL_INLINE int take_value/,/^}/s/store_release/store_relaxed/'
notices chan 4 'rc11' 'a sender does not acquire the head' "$race|received|r == |gift" $c \
    '/^FL_INLINE size_t head_of/,/^}/s/load_acquire/load_relaxed/'
notices chan 4 'rc11 imm' 'who would wait takes the lock of its own end alone' "$forgotten" $c \
    '/^static FL_NOINLINE int look_and_wait_to/,/^}/s/take_locks(chan, both)/fl_lock_take(send ? \&chan->send_lock : \&chan->recv_lock)/' \
    '/^static FL_NOINLINE int look_and_wait_to/,/^}/s/give_locks(chan, both)/fl_lock_give(send ? \&chan->send_lock : \&chan->recv_lock)/'
notices chan 4 'rc11 imm' 'a receiver with both locks does not say how far it has seen' "$twice" $c \
    '/^FL_INLINE int recv_now/,/^}/s/(chan->tail_seen = tail_of(chan))/tail_of(chan)/'
notices chan 4 'rc11 imm' 'a receiver passes by who waits to send' "$forgotten" $c \
    '/^FL_INLINE int take_value/,/^}/s/if (unlikely(fl_waitq_first(&chan->senders)))/if (false)/' \
    '/^FL_INLINE int recv_from_room/,/^}/s/bool alone = r == 0 .*/bool alone = r == 0;/'
notices chan 24 'rc11 imm' 'it grows under the lock of one end' "$race|$memory|r == |received|gift" $c \
    '/^FL_INLINE int send_now/,/^}/s/} else if (!both || chan->limit/} else if (chan->limit/'
notices chan 18 'rc11' 'a receiver leaves under the lock of its own end' "$race|$forgotten|$unordered|$memory|$twofold|!ready" $c \
    '/^static void leave(/,/^}/s/fl_waitq_leave(q, &chan->send_lock, w)/fl_waitq_leave(q, \&chan->recv_lock, w)/'
notices chan 15 'rc11 imm' 'who found no stack leaves a line it never stood in' "$forgotten" $c \
    '/^static FL_NOINLINE int waited_in_vain/,/^}/s/if (r != -ENOMEM)/if (true)/'
notices chan 2 'rc11 imm' 'who stands in line late does not look again' "$forgotten" $c \
    '/^FL_INLINE struct fl_task .stand_late/,/^}/s/if (unlikely(is_met_in.*/if (false)/'
notices chan 5 'rc11 imm' 'who was cancelled before it stood in line waits to be let go of' "$forgotten" $c \
    '/^static FL_NOINLINE struct fl_task .cancelled_late/,/^}/s/store_relaxed(&stand->w.done, true);/;/'
notices chan 5 'rc11 imm' 'who was cancelled before it stood in line is made ready twice' '!ready' $c \
    '/^static FL_NOINLINE struct fl_task .cancelled_late/,/^}/s/return mine ? task : NULL;/return task;/'
notices chan 5 'rc11 imm' 'who was cancelled before it stood in line is not made ready' "$forgotten" $c \
    '/^static FL_NOINLINE struct fl_task .cancelled_late/,/^}/s/return mine ? task : NULL;/return NULL;/'
notices chan 2 'rc11 imm' 'who need not wait, once it is off its stack, is not made ready' "$forgotten" $c \
    '/^static FL_NOINLINE struct fl_task .meet_late/,/^}/s/return task;/return NULL;/'
notices chan 2 'rc11 imm' 'who need not wait, once it is off its stack, does not hear how it went' 'r == 0|r >= 0' $c \
    '/^static FL_NOINLINE struct fl_task .meet_late/,/^}/s/fl_wake_preempt(task, r);/fl_wake_preempt(task, -EPIPE);/'

# ---- select ----
S=runtime/sync/select.c v=runtime/sync/event.c m=runtime/sync/sem.c
notices select 1 'rc11 imm' 'two cases happen: a sender does not mind that it came too late' "$race|$unordered|$twofold" $c \
    '/^FL_INLINE int send_now/,/^}/s/if (!claim(w, 0, &woken)) {/if (!claim(w, 0, \&woken) \&\& (woken.saved = false)) {/'
notices select 14 'rc11 imm' 'two cases happen: a receiver does not mind that it came too late' "$twofold" $c \
    '/^FL_INLINE int recv_now/,/^}/s/if (claim(w, 0, ret_woken))/if (claim(w, 0, ret_woken) || !(ret_woken->saved = false))/'
notices select 1 'rc11' 'who has lost stays in line' "$memory" $S \
    's/kind_of(&cases\[i\])->leave(/if ((int)i == won) &/'
notices select 3 'rc11 imm' 'a sender that comes too late does not say so' "$forgotten" $c \
    '/^FL_INLINE int send_now/,/^}/s/store_release(&w->done, true);/;/'
notices select 11 'rc11 imm' 'closing comes too late and does not say so' "$forgotten" $c \
    '/^void filch_chan_close/,/^}/s/store_release(&w->done, true);/;/'
notices select 1 'rc11 imm' 'who stands in line at a channel does not look again' "$forgotten" $c \
    '/^static int stand(/,/^}/s/bool now = .*/bool now = false;/'
notices select 6 'rc11 imm' 'who stands in line at an event does not look again' "$forgotten" $v \
    '/^static bool stand(/,/^}/s/if (word & SET)/if (false)/'
notices select 5 'rc11 imm' 'who stands in line at a semaphore takes its units away' "$forgotten" $m \
    '/^static bool stand(/,/^}/s/< UNIT/< 2 * UNIT/'
notices select 1 'rc11 imm' 'who need not wait leaves the lines and is still armed' "$forgotten|$twofold" $S \
    's/ || !fl_wake_disarm(task))/)/'
notices select 1 'rc11 imm' 'a value is copied before it is known that the receiver takes it' "$race|$twofold|value == " $c \
    '/^FL_INLINE int send_now/,/^}/s/if (!claim(w, 0, &woken)) {/copy(w->data, element, chan->size);\n            &/'
notices select 1 'rc11 imm' 'the winner does not wait until the sender is out' "$race|$memory|value|$unordered" $c \
    '/^static void leave_case/,/^}/s/let_out(.*);/;/'
notices select 18 'rc11 imm' 'a set is lost with who was cancelled' 'is_set' $v \
    's/while (w && !fl_waitq_wake(w));/while (w \&\& !fl_waitq_wake(w) \&\& false);/'
notices select 15 'rc11 imm' 'a set is lost with a select that something else has ended' "$forgotten" $v \
    's/while (w && !fl_waitq_wake(w));/while (w \&\& !fl_waitq_wake(w) \&\& false);/'
notices select 18 'rc11' 'who was cancelled does not wait until a set lets go of it' "$memory" $v \
    '/^static void leave(/,/^}/s/^        fl_waitq_let_go(w);/        ;/'
notices select 14 'rc11' 'a set does not say that it took the line' "$memory" $v \
    '/^static void set_manual/,/^}/s/event->taken_++;//'
notices select 17 'rc11 imm' 'a unit is lost with who was cancelled' "s->word_ ==" $m \
    's/w ? fl_waitq_wake(w) :/w ? fl_waitq_wake(w) || true :/'
notices select 16 'rc11 imm' 'a unit is lost with a select that something else has ended' "$forgotten" $m \
    's/w ? fl_waitq_wake(w) :/w ? fl_waitq_wake(w) || true :/'
notices select 22 'rc11 imm' 'who leaves a semaphore as the last does not say so' 's->word_ ' $m \
    '/^static void leave(/,/^}/s/and_release(.*);/;/'
notices select 11 'rc11 imm' 'a case that is ended by closing says it went well' '0 <= value' $q \
    '/^FL_INLINE bool fl_waiter_claim/,/^}/s/w->error = error;//'
