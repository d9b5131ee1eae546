/*
 * Locks that name their holder: for the few stores by which one of many producers claims, or one of
 * many consumers takes.
 *
 * Everything that the holder does leaves the ring sound after each store, so whoever finds it dead
 * (by proof) takes the lock over and goes on. A holder that was only stopped is waited for: between
 * its claim and its commit it would stop the consumers just as well.
 */
#include "ring/handle.h"
#include "ring/order.h"

#include "sys/clock.h"

#include <errno.h>
#include <sched.h>

#define SPINS  64u
#define YIELDS 64u /* each lets a holder that was preempted run */
#define NAPS   20u
#define NAP_NS UINT64_C(50000)

/* 1: its holder was dead, and it is ours. 0: not dead. */
static int lock_break(struct seglog_ring *ring, _Atomic uint64_t *lock, uint64_t mine,
                      uint32_t *dead)
{
    uint64_t seen = atomic_load_explicit(lock, memory_order_acquire);
    const uint64_t place = (seen & UINT32_MAX) - 1;

    if (seen == 0)
        return 0;
    if (place >= RING_PLACES)
        return SEGLOG_ECORRUPT;
    if (!ring_is_dead(ring, (uint32_t)place, (uint32_t)(seen >> 32)))
        return 0;
    if (!atomic_compare_exchange_strong_explicit(lock, &seen, mine, memory_order_acquire,
                                                 memory_order_relaxed))
        return 0;
    *dead = (uint32_t)place;
    return 1;
}

static int lock_slow(struct seglog_ring *ring, _Atomic uint64_t *lock, uint64_t mine,
                     uint32_t *dead)
{
    for (unsigned i = 0; i < SPINS + YIELDS + NAPS; i++) {
        if (i < SPINS)
            cpu_pause();
        else if (i < SPINS + YIELDS)
            sched_yield();
        else
            clock_sleep_ns(NAP_NS);
        if (ring_lock_try(lock, mine))
            return 0;
        if (i == SPINS + YIELDS || i == SPINS + YIELDS + NAPS - 1) {
            const int rc = lock_break(ring, lock, mine, dead);

            if (rc != 0)
                return rc;
        }
    }
    return -EAGAIN;
}

int ring_lock(struct seglog_ring *ring, _Atomic uint64_t *lock, const struct ring_seat *seat,
              uint32_t *dead)
{
    const uint64_t mine = ring_lock_word(seat);

    if (__builtin_expect(ring_lock_try(lock, mine), 1))
        return 0;
    return lock_slow(ring, lock, mine, dead);
}
