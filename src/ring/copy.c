/*
 * Taking messages out where they may be written over meanwhile: copy, then look whether what was
 * copied was still there.
 *
 * Nothing read from the ring is believed before that look, words included: behind the floor there
 * may be anybody's payload. What was lost is exact, because the floor's mark counts messages and
 * bytes as they give way, and the consumer counts them as it reads.
 */
#include "ring/handle.h"
#include "ring/order.h"

#include <errno.h>

static const struct ring_mark *floor_mark(const struct seglog_consumer *c)
{
    const struct ring_shared *shared = c->shared;

    return c->ring->floor == FLOOR_CONSUMER ? &shared->consumer : &shared->floor;
}

/* Has what lies at pos given way? */
static bool is_lapped(const struct seglog_consumer *c)
{
    uint64_t floor;

    return floor_passed(floor_mark(c), c->pos, &floor);
}

/* Go on at the floor. */
static int lapped(struct seglog_consumer *c)
{
    struct ring_tally floor;

    if (!mark_load(floor_mark(c), &floor) || floor.pos % RING_ALIGN != 0)
        return SEGLOG_ECORRUPT;
    c->loss.records = floor.records - c->records;
    c->loss.bytes = floor.bytes - c->bytes;
    c->loss.records_total += c->loss.records;
    c->loss.bytes_total += c->loss.bytes;
    c->pos = floor.pos;
    c->records = floor.records;
    c->bytes = floor.bytes;
    /* Only what is no message gave way: nothing was lost. */
    return c->loss.records == 0 ? 0 : SEGLOG_ELAPPED;
}

/*
 * The word of the message at pos, stepping over what is none. first: nothing was handed out by this
 * call, so that it can say what was lost. 0; -EAGAIN: nothing; SEGLOG_ELAPPED, SEGLOG_ECORRUPT
 */
static int find(struct seglog_consumer *c, bool first, bool probe, uint64_t *word,
                struct ring_word_facts *facts)
{
    for (uint64_t walked = 0; walked <= c->size;) {
        const uint64_t seen = word_observe(c->data, c->mask, c->pos);
        const int rc = ring_word_decode(seen, c->size, facts);

        if (is_lapped(c)) {
            const int gone = first ? lapped(c) : -EAGAIN; /* the next call says so */

            if (gone < 0)
                return gone;
            walked += RING_ALIGN;
            continue;
        }
        if (rc < 0)
            return rc;
        if (facts->state == RING_EMPTY)
            return -EAGAIN;
        if (facts->state == RING_DATA) {
            *word = seen;
            return 0;
        }
        if (facts->state == RING_CLAIMED) {
            if (!probe || c->ring->stale || !ring_probe_is_due(&c->probe_ns) ||
                !ring_claim_is_dead(c->ring, facts))
                return -EAGAIN;
            c->probe_ns = 0;
            if (word_observe(c->data, c->mask, c->pos) != seen)
                continue;
        }
        if (facts->state == RING_DONE) { /* an observer's: it counts as the floor will */
            c->records++;
            c->bytes += facts->len;
        }
        c->pos += facts->span;
        walked += facts->span;
    }
    return SEGLOG_ECORRUPT;
}

int ring_look_copy(struct seglog_consumer *c, bool probe)
{
    const struct ring_tally at = {.pos = c->pos, .records = c->records, .bytes = c->bytes};
    const struct seglog_ring_loss loss = c->loss;
    struct ring_word_facts facts;
    uint64_t word;
    const int rc = find(c, true, probe, &word, &facts);

    if (rc == SEGLOG_ELAPPED) { /* next() will say so */
        c->pos = at.pos;
        c->records = at.records;
        c->bytes = at.bytes;
        c->loss = loss;
    }
    return rc == -EAGAIN ? rc : 0;
}

int ring_next_copy(struct seglog_consumer *c, struct seglog_view *out, int max, bool alike)
{
    uint64_t first = 0, next = 0;
    int n = 0, rc = 0;

    while (n < max) {
        struct ring_word_facts facts;
        uint8_t *to = c->arena + c->arena_used;
        uint64_t word;

        rc = find(c, n == 0, n == 0, &word, &facts);
        if (rc < 0)
            break;
        if (alike && n > 0 && (!ring_is_alike(first, word) || c->pos != next))
            break;
        if (facts.span > c->size / 2 - c->arena_used) {
            rc = -EBUSY; /* no room for copies until those handed out are released */
            break;
        }
        memcpy(to, c->data + (c->pos & c->mask), facts.span);
        if (is_lapped(c))
            continue; /* find() tells */
        if (n == 0 || !alike)
            ring_view(&out[n], word, to,
                      c->ring->facts.kind == SEGLOG_RING_WORK ? c->pos : c->records);
        if (n == 0)
            first = word;
        c->arena_used += facts.span;
        c->pos += facts.span;
        next = c->pos;
        c->records++;
        c->bytes += facts.len;
        n++;
    }
    c->out += (uint64_t)n;
    return n > 0 ? n : rc;
}
