/*
 * The ordered accesses of appending, each once, each with its partner.
 */
#ifndef LOG_ORDER_H
#define LOG_ORDER_H

#include "format/blocks.h"
#include "sys/wait.h"

/*
 * ORDER word.publish -> word.observe (scan.c, reader/)
 * Makes visible: header and payload of the frame, and of the frames inside a batch.
 * Without it:    a reader on a weakly ordered processor sees DATA and reads the old bytes.
 * Exclusive appenders only: nobody else ever changes this word.
 */
static inline void word_publish(_Atomic uint64_t *word, uint64_t value)
{
    word_store(word, value, memory_order_release);
}

/*
 * ORDER word.resolve -> word.observe
 * As word.publish, for shared appenders and whoever aborts. A compare-and-swap, so that a producer
 * that was evicted or taken for dead changes nothing when it wakes up.
 */
static inline bool word_resolve(_Atomic uint64_t *word, uint64_t claimed, uint64_t value)
{
    uint64_t expected = le_swap64(claimed);

    return atomic_compare_exchange_strong_explicit(word, &expected, le_swap64(value),
                                                   memory_order_acq_rel, memory_order_acquire);
}

/*
 * ORDER word.claim: before the payload stores of the winner
 * acq_rel, not relaxed: on a processor with LL/SC the payload could otherwise become visible before
 * CLAIMED, and be taken for headers. *seen gets the word that was in the way.
 */
static inline bool word_claim(_Atomic uint64_t *word, uint64_t value, uint64_t *seen)
{
    uint64_t expected = 0;
    const bool won = atomic_compare_exchange_strong_explicit(
        word, &expected, le_swap64(value), memory_order_acq_rel, memory_order_acquire);

    *seen = le_swap64(expected);
    return won;
}

/*
 * word.mark: CLAIMED by the exclusive appender. A plain store: readers stop at it or at zero alike.
 * The compiler must not move payload stores above it: if this process is killed between the two,
 * what follows an empty word must be empty.
 */
static inline void word_mark(_Atomic uint64_t *word, uint64_t value)
{
    word_store(word, value, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

/*
 * tail.hint: where the next claimer begins to walk. Nothing is ordered by it: whoever reads an old
 * value walks over headers. It is not moved back on purpose, and when two stores race it does not
 * matter which is seen.
 */
static inline void tail_hint(struct tail_page *tail, uint64_t word)
{
    if (word_load(&tail->tail, memory_order_relaxed) < word)
        word_store(&tail->tail, word, memory_order_relaxed);
}

/*
 * ORDER sleep.check <-> sleep.announce (reader/wait.c)
 * A store (the published word) followed by a load (is anybody asleep?), which even x86 reorders.
 * The sleeper announces, then fences every appender by membarrier, then looks at the word again. So
 * the load here either sees the announcement or comes before the fence, and then the sleeper sees
 * the word. Where membarrier is missing we fence ourselves.
 */
static inline bool sleep_check(const struct live_file *live, bool fence)
{
    if (fence)
        atomic_thread_fence(memory_order_seq_cst);
    else
        atomic_signal_fence(memory_order_seq_cst);
    return atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)&live->waiters,
                                memory_order_relaxed) !=
           atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)&live->served, memory_order_relaxed);
}

/*
 * Wake all who sleep. `served` follows only after the wake: a waker that is killed in between leaves
 * the sleepers to the next one, and one that was slow sets it back, which costs a useless wake. A
 * sleeper that was killed costs one such call, not one for each append.
 */
static inline void sleep_wake(struct live_file *live)
{
    const uint32_t waiters = atomic_load_explicit(&live->waiters, memory_order_acquire);

    if (waiters == atomic_load_explicit(&live->served, memory_order_relaxed))
        return;
    atomic_fetch_add_explicit(&live->wake, 1, memory_order_release);
    futex_wake_shared(&live->wake);
    atomic_store_explicit(&live->served, waiters, memory_order_release);
}

/*
 * sleep.announce: before the last look at the log. true: who publishes from now on will wake us;
 * false: only those who fence by themselves will, so sleep for a short time.
 */
static inline bool sleep_announce(struct live_file *live)
{
    atomic_fetch_add_explicit(&live->waiters, 1, memory_order_seq_cst);
    if (barrier_all())
        return true;
    atomic_thread_fence(memory_order_seq_cst);
    return false;
}

/*
 * ORDER durable.raise <-> durable.watch (pace.c)
 * The number grows, then the watchers are looked at; a watcher counts itself, then looks at the
 * number. Both sequentially consistent: one of the two sees the other.
 */
static inline void durable_wake(struct live_file *live)
{
    if (atomic_load_explicit(&live->durable_watchers, memory_order_seq_cst) == 0)
        return;
    atomic_fetch_add_explicit(&live->durable_wake, 1, memory_order_release);
    futex_wake_shared(&live->durable_wake);
}

#endif
