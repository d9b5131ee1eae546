/*
 * Waking sleepers that are in other processes, at no cost while nobody sleeps.
 *
 * Whoever changes something publishes it, then looks whether anybody is registered. A sleeper
 * registers, makes that visible to all, looks for a change once more, and only then sleeps. `waiters`
 * counts registrations, `served` follows it after a wake-up call: one that dies between the two leaves
 * the sleepers to the next (tests/model/wake_model.c, WAKE_REGISTERED).
 */
#ifndef SYS_BELL_H
#define SYS_BELL_H

#include "base/bell.h"
#include "sys/wait.h"

/*
 * ORDER bell.check <-> bell.announce
 * A store (what was published) followed by a load (is anybody asleep?), which even x86 reorders.
 * fence: this process is not registered for the sleepers' membarrier, so it fences itself.
 */
static inline bool bell_is_awaited(const struct bell *bell, bool fence)
{
    if (fence)
        atomic_thread_fence(memory_order_seq_cst);
    else
        atomic_signal_fence(memory_order_seq_cst);
    return atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)&bell->waiters,
                                memory_order_relaxed) !=
           atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)&bell->served, memory_order_relaxed);
}

static inline void bell_ring(struct bell *bell)
{
    const uint32_t waiters = atomic_load_explicit(&bell->waiters, memory_order_acquire);

    if (waiters == atomic_load_explicit(&bell->served, memory_order_relaxed))
        return;
    atomic_fetch_add_explicit(&bell->wake, 1, memory_order_release);
    futex_wake_shared(&bell->wake);
    atomic_store_explicit(&bell->served, waiters, memory_order_release);
}

/* What to sleep on; before bell_announce(). */
static inline uint32_t bell_ticket(const struct bell *bell)
{
    return atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)&bell->wake, memory_order_acquire);
}

/* Register, before the last look. true: whoever publishes from now on will wake us; false: only those
 * who fence by themselves will, so sleep for a short time. */
static inline bool bell_announce(struct bell *bell)
{
    atomic_fetch_add_explicit(&bell->waiters, 1, memory_order_seq_cst);
    if (barrier_all())
        return true;
    atomic_thread_fence(memory_order_seq_cst);
    return false;
}

#endif
