/*
 * Producers' places: a slot, its generation, and the lock that proves the holder alive.
 *
 * A CLAIMED word names slot and generation. The claimer is dead when the slot has another generation
 * now, or when nobody holds the slot's lock. So a slot may be handed on only with a new generation,
 * moved while its lock is held; and since generations have 15 bits and come round again, a slot whose
 * holder died without cleaning up is taken only when no clean one is left, and then the frames of the
 * dead holder are made void first.
 */
#include "log/handle.h"

#include <errno.h>
#include <unistd.h>

#include "sys/clock.h"

/* Make void whatever the dead holder of a slot had claimed in segments that are not sealed. */
static int slot_clean_segment(struct seglog_log *log, uint64_t number, uint32_t slot, uint32_t gen)
{
    struct segment *seg;
    struct source src;
    struct scan scan;
    struct scan_frame frame;
    int rc =
        segment_open(log->view.dirfd, number, log->view.settings.uuid, SEGMENT_PREAD, &seg, NULL);

    if (rc < 0)
        return rc;
    source_init(&src, seg);
    scan_begin(&scan, &src, false);
    while ((rc = scan_next(&scan, &frame)) != 0) {
        uint64_t lost;

        if (rc == SEGLOG_ECORRUPT && scan_resync(&scan, &lost) == 1)
            continue;
        if (rc < 0)
            break;
        if (frame.facts.state == WORD_CLAIMED && frame.facts.slot == slot &&
            frame.facts.gen == gen) {
            const int done = segment_abort_claim(log->view.dirfd, seg, frame.offset, frame.word);
            if (done < 0) {
                rc = done;
                break;
            }
        }
    }
    source_free(&src);
    segment_close(seg);
    return rc == SEGLOG_ECORRUPT ? 0 : rc;
}

static int slot_clean(struct seglog_log *log, uint32_t slot, uint32_t gen)
{
    uint64_t from, to;
    int rc = 0;

    pthread_mutex_lock(&log->seal_lock);
    from = log->seal_next;
    pthread_mutex_unlock(&log->seal_lock);
    pthread_mutex_lock(&log->lock);
    to = log->active->seg->facts.number;
    pthread_mutex_unlock(&log->lock);
    /* Others may have gone on since we last looked: up to the last segment there is. */
    for (uint64_t n = from; rc == 0; n++) {
        rc = slot_clean_segment(log, n, slot, gen);
        if (rc == -ENOENT && n > to)
            return 0;
        if (rc == -ENOENT) /* removed by retention */
            rc = 0;
    }
    return rc;
}

static void slot_hold(struct live_slot *s, uint32_t state)
{
    const uint32_t gen = atomic_load_explicit(&s->generation, memory_order_relaxed);

    /* ORDER slot.generation -> log_view_owner_is_dead: before any claim with it. */
    atomic_store_explicit(&s->generation, gen % SLOT_GEN_MAX + 1, memory_order_seq_cst);
    atomic_store_explicit(&s->pid, (uint32_t)getpid(), memory_order_relaxed);
    atomic_store_explicit(&s->since_ns, clock_wall_ns(), memory_order_relaxed);
    atomic_store_explicit(&s->state, state, memory_order_release);
}

/* Try one slot. 0 taken; -EAGAIN held, or not clean while `clean` is asked for. */
static int slot_try(struct seglog_log *log, uint32_t slot, bool clean, uint32_t kind,
                    struct owner *owner)
{
    struct live_slot *s = &log->view.live->slots[slot];
    uint32_t state = atomic_load_explicit(&s->state, memory_order_acquire);
    int rc;

    if (clean != (state == SLOT_FREE))
        return -EAGAIN;
    rc = owner_lock(owner, OWNERS_BYTE_SLOT0 + slot, true);
    if (rc < 0)
        return rc;
    state = atomic_load_explicit(&s->state, memory_order_acquire);
    if (clean != (state == SLOT_FREE))
        rc = -EAGAIN; /* somebody came and went in between */
    if (rc == 0 && state != SLOT_FREE)
        rc = slot_clean(log, slot, atomic_load_explicit(&s->generation, memory_order_relaxed));
    if (rc < 0) {
        owner_unlock(owner, OWNERS_BYTE_SLOT0 + slot);
        return rc;
    }
    slot_hold(s, kind);
    return 0;
}

int log_place_take(struct seglog_log *log, uint32_t kind, struct place_held *out)
{
    struct owner owner = OWNER_NONE;
    int rc = owner_open(log->view.dirfd, NAME_OWNERS, &owner);

    if (rc < 0)
        return rc;
    if (kind != SLOT_SYNCER)
        rc = owner_lock(&owner, OWNERS_BYTE_MODE, kind == SLOT_EXCLUSIVE);
    if (rc < 0) {
        owner_close(&owner);
        return rc == -EAGAIN ? -EBUSY : rc;
    }
    for (int clean = 1; clean >= 0; clean--) {
        for (uint32_t slot = 0; slot < LIVE_SLOTS; slot++) {
            rc = slot_try(log, slot, clean == 1, kind, &owner);
            if (rc == -EAGAIN)
                continue;
            if (rc < 0) {
                owner_close(&owner);
                return rc;
            }
            owner_settle(&owner);
            *out = (struct place_held){
                .owner = owner,
                .slot = slot,
                .gen = atomic_load_explicit(&log->view.live->slots[slot].generation,
                                            memory_order_relaxed),
            };
            return 0;
        }
    }
    owner_close(&owner);
    return -EUSERS;
}

void log_place_give(struct seglog_log *log, struct place_held *place)
{
    if (place->gen == 0)
        return;
    atomic_store_explicit(&log->view.live->slots[place->slot].state, SLOT_FREE,
                          memory_order_release);
    owner_close(&place->owner);
    place->gen = 0;
}
