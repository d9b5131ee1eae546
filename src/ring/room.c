/*
 * Room: which of the messages may give way, and the walk over them.
 *
 * The floor is where what is kept begins. With one consumer that nobody overwrites, the floor is
 * that consumer's mark, and room is a subtraction. Otherwise it is the producers' to move, message
 * by message: up to the slowest reader, over what is done, or over whatever is oldest. Only the one
 * producer, or the holder of put_lock, does so. Every step is checked before it is taken and is at
 * least 8 bytes, and no walk goes further than the ring is long.
 */
#include "ring/handle.h"
#include "ring/order.h"

#include <errno.h>

/* Moved on by a part of the ring at a time: others look at the floor's line less often. */
#define FLOOR_PART 16u

struct floor_walk {
    const struct seglog_ring *ring;
    struct ring_tally count;
    uint64_t limit; /* the floor may not pass it */
    bool probe;
};

/* One message gives way. 0; -EAGAIN: it may not; SEGLOG_ECORRUPT */
static int floor_step(struct floor_walk *w)
{
    const struct seglog_ring *ring = w->ring;
    const uint64_t size = ring->facts.size;
    const uint64_t pos = w->count.pos;
    struct ring_word_facts facts;

    if (pos == w->limit)
        return -EAGAIN;
    if (ring_word_decode(word_observe(ring->data, size - 1, pos), size, &facts) < 0)
        return SEGLOG_ECORRUPT;
    switch (facts.state) {
    case RING_DATA:
        if (ring->floor == FLOOR_DONE)
            return -EAGAIN;
        break;
    case RING_DONE:
        if (ring->floor != FLOOR_DONE)
            return SEGLOG_ECORRUPT;
        break;
    case RING_CLAIMED:
        /* Those before `limit` of work were passed on proof already. */
        if (ring->floor != FLOOR_DONE && !(w->probe && ring_claim_is_dead(ring, &facts)))
            return -EAGAIN;
        break;
    case RING_PAD:
        break;
    default:
        return SEGLOG_ECORRUPT; /* nothing here, and yet before the end */
    }
    if (facts.span > w->limit - pos)
        return facts.span > size ? SEGLOG_ECORRUPT : -EAGAIN;
    w->count.pos += facts.span;
    if (facts.state == RING_DATA || facts.state == RING_DONE) {
        w->count.records++;
        w->count.bytes += facts.len;
    }
    return 0;
}

/* How far the slowest living reader is, at most `at`. */
static uint64_t readers_slowest(const struct seglog_ring *ring, uint64_t at, bool probe)
{
    const uint32_t n = atomic_load_explicit(&ring->ctrl->shared.places, memory_order_seq_cst);
    uint64_t slowest = at;

    for (uint32_t i = 0; i < n && i < RING_PLACES; i++) {
        struct ring_place *place = &ring->ctrl->places[i];
        uint64_t hold = atomic_load_explicit(&place->hold, memory_order_acquire);
        uint64_t from;

        if ((hold & 3) != RING_PLACE_CONSUMER)
            continue;
        from = place_passed(place);
        if (at - from <= at - slowest)
            continue;
        if (probe && ring_is_dead(ring, i, (uint32_t)(hold >> 2))) {
            /* Free, unless somebody has it already. */
            (void)atomic_compare_exchange_strong_explicit(
                &place->hold, &hold, (hold & ~UINT64_C(3)) | RING_PLACE_FREE, memory_order_acq_rel,
                memory_order_relaxed);
            continue;
        }
        slowest = from;
    }
    return slowest;
}

static bool fits(uint64_t at, uint64_t span, uint64_t floor, uint64_t size)
{
    return at - floor <= size && at - floor + span + RING_WORD <= size;
}

/* Move the floor until span fits, and a part of the ring more. */
static int floor_move(struct floor_walk *w, uint64_t at, uint64_t span)
{
    const uint64_t size = w->ring->facts.size;
    struct ring_mark *mark = &w->ring->ctrl->shared.floor;
    const uint64_t before = w->count.pos;
    int rc = 0;

    while (rc == 0 && !fits(at, span + size / FLOOR_PART, w->count.pos, size))
        rc = floor_step(w);
    if (w->count.pos != before) {
        uint64_t turn = mark_turn(mark);

        mark_store(mark, &turn, w->count.pos, w->count.records, w->count.bytes);
    }
    return rc == SEGLOG_ECORRUPT ? rc : 0;
}

static int room_readers(struct floor_walk *w, uint64_t at, uint64_t span, uint64_t *floor_seen)
{
    const uint64_t size = w->ring->facts.size;
    uint64_t slowest = readers_slowest(w->ring, at, w->probe);
    int rc;

    /* A reader that has just come in may stand behind the floor; it will see that. */
    w->limit = at - slowest > at - w->count.pos ? w->count.pos : slowest;
    rc = floor_move(w, at, span);
    if (rc < 0)
        return rc;
    floor_close();
    slowest = readers_slowest(w->ring, at, w->probe);
    if (at - slowest > at - w->count.pos || !fits(at, span, w->count.pos, size))
        return -EAGAIN;
    *floor_seen = w->count.pos;
    return 0;
}

int ring_room(struct seglog_ring *ring, uint64_t at, uint64_t span, bool probe,
              uint64_t *floor_seen)
{
    struct ring_shared *shared = &ring->ctrl->shared;
    const uint64_t size = ring->facts.size;
    struct floor_walk w = {.ring = ring, .limit = at, .probe = probe};
    int rc;

    if (ring->floor == FLOOR_CONSUMER) {
        const uint64_t floor = mark_pos(&shared->consumer);

        if (at - floor > size || floor % RING_ALIGN != 0)
            return SEGLOG_ECORRUPT;
        *floor_seen = floor;
        return fits(at, span, floor, size) ? 0 : -EAGAIN;
    }
    if (!mark_load(&shared->floor, &w.count))
        return SEGLOG_ECORRUPT;
    if (at - w.count.pos > size || w.count.pos % RING_ALIGN != 0)
        return SEGLOG_ECORRUPT;
    if (ring->floor == FLOOR_READERS)
        return room_readers(&w, at, span, floor_seen);
    if (ring->floor == FLOOR_DONE) {
        w.limit = atomic_load_explicit(&shared->take, memory_order_acquire);
        if (w.limit - w.count.pos > size)
            return SEGLOG_ECORRUPT;
    }
    rc = floor_move(&w, at, span);
    if (rc < 0)
        return rc;
    floor_raised();
    *floor_seen = w.count.pos;
    return fits(at, span, w.count.pos, size) ? 0 : -EAGAIN;
}

/* ---- from the floor to the end -------------------------------------------------------------- */

/*
 * word.observe for whoever walks where the floor may pass him: what he reads may be a payload that
 * is being written, and counts only if copy.check finds the floor still below it. That is a race by
 * design, which ThreadSanitizer is not shown.
 */
#if defined(__SANITIZE_THREAD__)
__attribute__((noinline, no_sanitize_thread))
#endif
static uint64_t
word_look(const struct seglog_ring *ring, uint64_t pos)
{
    const uint64_t mask = ring->facts.size - 1;

    return atomic_load_explicit(ring_word_at(ring->data, mask, pos), memory_order_acquire);
}

/* One walk. 0; -EAGAIN: the floor passed us; SEGLOG_ECORRUPT */
static int walk_once(const struct seglog_ring *ring, const struct ring_mark *mark,
                     const struct ring_tally *floor, struct ring_tally *end)
{
    const uint64_t size = ring->facts.size;
    struct ring_tally at = *floor;

    for (;;) {
        struct ring_word_facts facts;
        const int rc = ring_word_decode(word_look(ring, at.pos), size, &facts);
        uint64_t now;

        if (floor_passed(mark, at.pos, &now))
            return -EAGAIN;
        if (rc < 0 || at.pos % RING_ALIGN != 0)
            return SEGLOG_ECORRUPT;
        if (facts.state == RING_EMPTY || at.pos - floor->pos >= size)
            break;
        at.pos += facts.span;
        if (facts.state == RING_DATA) {
            at.records++;
            at.bytes += facts.len;
        }
    }
    *end = at;
    return 0;
}

int ring_walk_to_end(const struct seglog_ring *ring, struct ring_tally *floor,
                     struct ring_tally *end)
{
    const struct ring_mark *mark =
        ring->floor == FLOOR_CONSUMER ? &ring->ctrl->shared.consumer : &ring->ctrl->shared.floor;
    int rc = -EAGAIN;

    for (int tries = 0; tries < 1000 && rc == -EAGAIN; tries++) {
        if (!mark_load(mark, floor))
            break;
        rc = walk_once(ring, mark, floor, end);
    }
    if (rc == -EAGAIN) {
        /* Written over faster than we can walk: all that we know is where the floor is. */
        *end = *floor;
        rc = 0;
    }
    return rc;
}
