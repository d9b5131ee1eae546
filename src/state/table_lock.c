/*
 * The locks of a table's shards, and what becomes of one whose holder is dead.
 *
 * A lock word names the place of its holder among the writers, and how often that place had changed
 * hands. Whoever has a place holds a lock on a byte of its own that the kernel drops with the process
 * (sys/owner.h). So a holder is dead when its place has another count now, or when nobody holds the
 * byte; whoever finds that out swaps itself in, and only one can. All that a holder does to a shard is
 * whole at each of its stores (table_change.c) but for two counts, which the next one works out again.
 */
#include "state/table.h"

#include <errno.h>

#include "sys/clock.h"
#include "sys/wait.h"

/* Bytes far beyond any file. */
#define BYTE_ATTACH ((UINT64_C(1) << 62) + 16)
#define BYTE_PLACE  ((UINT64_C(1) << 62) + 32)

#define WAITED     (UINT32_C(1) << 31)
#define PLACE_BITS 9 /* place + 1 */
#define COUNT_MASK (WAITED - 1)

#define SPINS       200
#define PATIENCE_NS UINT64_C(2000000)
#define NAP_NS      UINT64_C(1000000)

int table_attach(struct seglog_table *t, bool *alone)
{
    int rc = owner_open_again(t->fd, true, &t->owner);

    if (rc < 0)
        return rc;
    rc = owner_lock(&t->owner, BYTE_ATTACH, true);
    *alone = rc == 0;
    while (rc == -EAGAIN) {
        rc = owner_lock(&t->owner, BYTE_ATTACH, false);
        if (rc == -EAGAIN)
            clock_sleep_ns(NAP_NS); /* somebody checks the entries */
    }
    if (rc < 0)
        return rc;
    for (uint32_t place = 0; place < TABLE_OWNERS; place++) {
        uint32_t count;

        rc = owner_lock(&t->owner, BYTE_PLACE + place, true);
        if (rc == -EAGAIN)
            continue;
        if (rc < 0)
            return rc;
        count = (atomic_fetch_add(&t->hot->owners[place], 1) + 1) << PLACE_BITS;
        t->me = (count & COUNT_MASK) | (place + 1);
        return 0;
    }
    return -EUSERS;
}

int table_lock_alone(struct owner *owner)
{
    return owner_lock(owner, BYTE_ATTACH, true);
}

int table_share(struct seglog_table *t)
{
    const int rc = owner_lock(&t->owner, BYTE_ATTACH, false);

    if (rc == 0)
        owner_settle(&t->owner);
    return rc;
}

static bool is_dead(struct seglog_table *t, uint32_t holder)
{
    const uint32_t place = (holder & ((1u << PLACE_BITS) - 1)) - 1;
    const uint32_t count = holder & COUNT_MASK & ~((1u << PLACE_BITS) - 1);

    if (place >= TABLE_OWNERS)
        return true; /* nobody ever was that */
    if (((atomic_load(&t->hot->owners[place]) << PLACE_BITS) & COUNT_MASK) != count)
        return true;
    return owner_probe(t->fd, BYTE_PLACE + place) == 0;
}

int table_lock(struct seglog_table *t, struct table_shard *shard)
{
    for (unsigned tries = 0;; tries++) {
        uint32_t seen = 0;

        if (atomic_compare_exchange_strong_explicit(&shard->lock, &seen, t->me,
                                                    memory_order_acquire, memory_order_relaxed))
            return 0;
        if (tries < SPINS) {
            cpu_pause();
            continue;
        }
        if (!(seen & WAITED) && !atomic_compare_exchange_strong(&shard->lock, &seen, seen | WAITED))
            continue;
        seen |= WAITED;
        if (futex_wait_shared(&shard->lock, seen, clock_monotonic_ns() + PATIENCE_NS) ==
                -ETIMEDOUT &&
            is_dead(t, seen) && atomic_compare_exchange_strong(&shard->lock, &seen, t->me | WAITED))
            return 1;
    }
}

int table_lock_whole(struct seglog_table *t, struct table_shard *shard)
{
    int rc = 0;

    if (table_lock(t, shard) == 1)
        table_recount(t, shard);
    if (atomic_load_explicit(&shard->slots, memory_order_relaxed) == 0)
        rc = table_blank(t, shard);
    /* Whoever finds this mends it, also when the one that took the lock over could not. */
    if (rc == 0 && t->log && shard->intent != 0)
        rc = table_mend(t, shard);
    if (rc < 0)
        table_unlock(shard);
    return rc;
}

void table_unlock(struct table_shard *shard)
{
    if (atomic_exchange_explicit(&shard->lock, 0, memory_order_release) & WAITED)
        futex_wake_shared(&shard->lock);
}
