/*
 * Places: who is attached, and the lock that proves the holder alive.
 *
 * A place is named with its generation wherever somebody may have to ask later whether the one who
 * wrote it has died: in claims, in locks. The generation is moved on by every new holder, under the
 * place's lock, and never comes round: a place that has used up all of them is left alone until the
 * ring is emptied.
 */
#include "ring/handle.h"
#include "ring/order.h"

#include "sys/clock.h"

#include <errno.h>
#include <unistd.h>

static void places_raise(struct ring_shared *shared, uint32_t count)
{
    uint32_t seen = atomic_load_explicit(&shared->places, memory_order_relaxed);

    while (seen < count &&
           !atomic_compare_exchange_weak_explicit(&shared->places, &seen, count,
                                                  memory_order_seq_cst, memory_order_relaxed))
        continue;
}

/* Work that a dead consumer had taken stays named until another has it. */
static bool is_takeable(const struct seglog_ring *ring, const struct ring_place *place,
                        uint64_t hold)
{
    if (hold >> 2 >= RING_GEN_MAX)
        return false;
    if ((hold & 3) == RING_PLACE_FREE || ring->facts.kind != SEGLOG_RING_WORK)
        return true;
    return atomic_load_explicit(&place->from, memory_order_acquire) ==
           atomic_load_explicit(&place->to, memory_order_acquire);
}

static int place_try(struct seglog_ring *ring, uint32_t index, bool clean, uint32_t role,
                     uint64_t from, struct ring_seat *seat)
{
    struct ring_place *place = &ring->ctrl->places[index];
    uint64_t hold = atomic_load_explicit(&place->hold, memory_order_acquire);
    int rc;

    if (clean != ((hold & 3) == RING_PLACE_FREE) || !is_takeable(ring, place, hold))
        return -EAGAIN;
    rc = owner_lock(&seat->owner, RING_LOCK_PLACE0 + index, true);
    if (rc < 0)
        return rc;
    hold = atomic_load_explicit(&place->hold, memory_order_acquire);
    if (clean != ((hold & 3) == RING_PLACE_FREE) || !is_takeable(ring, place, hold)) {
        owner_unlock(&seat->owner, RING_LOCK_PLACE0 + index);
        return -EAGAIN; /* somebody came and went in between */
    }
    places_raise(&ring->ctrl->shared, index + 1);
    seat->place = place;
    seat->index = index;
    seat->gen = (uint32_t)(hold >> 2) + 1;
    atomic_store_explicit(&place->from, from, memory_order_relaxed);
    atomic_store_explicit(&place->to, from, memory_order_relaxed);
    atomic_store_explicit(&place->again, 0, memory_order_relaxed);
    atomic_store_explicit(&place->pid, (uint32_t)getpid(), memory_order_relaxed);
    atomic_store_explicit(&place->since_ns, clock_wall_ns(), memory_order_relaxed);
    /* ORDER place.hold -> ring_is_dead(): before any word that names this generation. */
    atomic_store_explicit(&place->hold, (uint64_t)seat->gen << 2 | role, memory_order_seq_cst);
    return 0;
}

int ring_seat_take(struct seglog_ring *ring, uint32_t role, uint64_t sole, uint64_t from,
                   struct ring_seat *out)
{
    struct ring_seat seat = {.owner = OWNER_NONE};
    int rc = owner_open_again(ring->fd, true, &seat.owner);

    if (rc < 0)
        return rc;
    if (sole != 0) {
        rc = owner_lock(&seat.owner, sole, true);
        if (rc < 0) {
            owner_close(&seat.owner);
            return rc == -EAGAIN ? -EBUSY : rc;
        }
    }
    for (int clean = 1; clean >= 0; clean--) {
        for (uint32_t i = 0; i < RING_PLACES; i++) {
            rc = place_try(ring, i, clean == 1, role, from, &seat);
            if (rc == -EAGAIN)
                continue;
            if (rc < 0) {
                owner_close(&seat.owner);
                return rc;
            }
            owner_settle(&seat.owner);
            *out = seat;
            return 0;
        }
    }
    owner_close(&seat.owner);
    return -EUSERS;
}

void ring_seat_give(struct ring_seat *seat, bool dirty)
{
    if (!seat->place)
        return;
    if (!dirty)
        atomic_store_explicit(&seat->place->hold, (uint64_t)seat->gen << 2 | RING_PLACE_FREE,
                              memory_order_release);
    owner_close(&seat->owner);
    seat->place = NULL;
}

bool ring_is_dead(const struct seglog_ring *ring, uint32_t index, uint32_t gen)
{
    const _Atomic uint64_t *hold = &ring->ctrl->places[index].hold;
    _Atomic uint64_t *h = (_Atomic uint64_t *)(uintptr_t)hold;

    if (atomic_load_explicit(h, memory_order_acquire) >> 2 != gen)
        return true;
    if (owner_probe(ring->fd, RING_LOCK_PLACE0 + index) != 0)
        return atomic_load_explicit(h, memory_order_acquire) >> 2 != gen;
    return true;
}
