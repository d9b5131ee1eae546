/*
 * Messages of one length: many in and many out, described once.
 *
 * In the ring they are messages like any others, each behind its word. What is saved is all that
 * describes them outside of it: a record for each that the caller fills in, a length to be looked at
 * and branched on for each, a view for each. Of common lengths each has a loop of its own.
 */
#include "ring/produce.h"

/* ---- in --------------------------------------------------------------------------------------- */

/* All from the second one on. */
static inline __attribute__((always_inline)) void fill(struct seglog_producer *p, uint64_t pos,
                                                       const uint8_t *src, size_t len, size_t n)
{
    const uint64_t word = ring_word_data(len, false), span = ring_span(len, false);
    uint8_t *const to = p->data + (pos & p->mask) + RING_WORD; /* twice in a row: nothing wraps */

    for (size_t i = 1; i < n; i++) {
        word_prepare(ring_word_at(p->data, p->mask, pos + i * span), word);
        memcpy(to + i * span, src + i * len, len);
    }
}

int seglog_producer_put_array(struct seglog_producer *p, const void *data, size_t len, size_t n,
                              uint64_t timeout_ns)
{
    uint64_t span, pos;
    int rc = ring_batch_refused(p, n);

    if (rc < 0)
        return rc;
    if (len > p->max_len || ring_span(len, false) > p->size / 2 / n)
        return -EMSGSIZE;
    span = ring_span(len, false) * n;
    rc = ring_claim_take(p, span, (uint32_t)n, timeout_ns, &pos);
    if (rc < 0)
        return rc;
    switch (len) {
    case 0: /* data may be NULL */
        fill(p, pos, (const uint8_t *)"", 0, n);
        break;
    case 8:
        fill(p, pos, data, 8, n);
        break;
    case 16:
        fill(p, pos, data, 16, n);
        break;
    case 32:
        fill(p, pos, data, 32, n);
        break;
    case 64:
        fill(p, pos, data, 64, n);
        break;
    default:
        fill(p, pos, data, len, n);
        break;
    }
    /* The line with the first one's word is what a consumer asks for: so that comes last. */
    ring_fill(p, pos, data, len, false, 0, 0);
    ring_publish(p, pos, span, ring_word_data(len, false));
    return 0;
}

/* ---- out -------------------------------------------------------------------------------------- */

int ring_run_direct(struct seglog_consumer *c, struct seglog_view *out, int max)
{
    uint64_t word = word_observe(c->data, c->mask, c->pos), span, room, used;
    int n = 1;

    if (__builtin_expect(!ring_word_is_data(word), 0)) {
        const int rc = ring_find_direct(c, &word);

        if (rc < 0)
            return rc;
    }
    span = ring_word_span(word);
    room = c->size - (c->pos - c->released);
    if (!ring_word_is_data(word) || span > c->size / 2 || span > room)
        return SEGLOG_ECORRUPT;
    ring_view(out, word, c->data + (c->pos & c->mask), c->records);
    used = span;
    /* What was checked of the first word holds for all that are the same. */
    while (n < max && span <= room - used &&
           ring_is_alike(word, word_observe(c->data, c->mask, c->pos + used))) {
        used += span;
        n++;
    }
    c->pos += used;
    c->records += (uint64_t)n;
    c->bytes += (word >> 32) * (uint64_t)n;
    c->out += (uint64_t)n;
    return n;
}

int seglog_consumer_run(struct seglog_consumer *c, struct seglog_run *out, int max)
{
    const int n = ring_take(c, &out->first, max, true);

    if (n > 0) {
        out->stride = ring_span(out->first.len, false);
        out->count = (size_t)n;
    }
    return n;
}
