/*
 * Putting messages in by hand: claim, commit, abort, and batches of them.
 *
 * A batch is one claim. Its inner words are stored first, its first word last: consumers see all of
 * it or nothing. What is claimed and not used becomes a pad (many producers), or was never there
 * (one).
 */
#include "ring/produce.h"

#include <errno.h>

/* ---- in place ------------------------------------------------------------------------------- */

static int claim_one(struct seglog_producer *p, size_t len, bool stamped, struct seglog_claim *out,
                     uint64_t timeout_ns)
{
    struct ring_claim c = {.count = 1, .stamped = stamped};
    int rc = ring_refused(p, len, stamped);

    if (rc < 0)
        return rc;
    c.span = ring_span(len, stamped);
    rc = ring_claim_take(p, c.span, 1, timeout_ns, &c.pos);
    if (rc < 0)
        return rc;
    p->claim = c;
    *out = (struct seglog_claim){
        .data = p->data + (c.pos & p->mask) + RING_WORD + (stamped ? RING_STAMP : 0),
        .len = len,
        .seq = UINT64_MAX,
    };
    return 0;
}

int seglog_producer_claim(struct seglog_producer *p, size_t len, struct seglog_claim *out,
                          uint64_t timeout_ns)
{
    return claim_one(p, len, false, out, timeout_ns);
}

int seglog_producer_claim_stamped(struct seglog_producer *p, size_t len, struct seglog_claim *out,
                                  uint64_t timeout_ns)
{
    return claim_one(p, len, true, out, timeout_ns);
}

/* Publish the claim with `word` as its first, of which only `used` bytes are wanted. */
static void claim_close(struct seglog_producer *p, uint64_t used, uint64_t word)
{
    const struct ring_claim c = p->claim;

    p->claim.count = 0;
    if (p->many && used < c.span)
        word_prepare(ring_word_at(p->data, p->mask, c.pos + used), ring_word_pad(c.span - used));
    ring_publish(p, c.pos, used, word);
}

int seglog_producer_commit(struct seglog_producer *p, const struct seglog_claim *claim, size_t len)
{
    const struct ring_claim c = p->claim;

    if (ring_is_forked(p->guard))
        return SEGLOG_EFORKED;
    if (c.count != 1 || len > c.span || ring_span(len, c.stamped) > c.span || len > claim->len)
        return -EINVAL;
    if (c.stamped)
        ring_fill(p, c.pos, NULL, 0, true, claim->time_ns, claim->tag);
    claim_close(p, ring_span(len, c.stamped), ring_word_data(len, c.stamped));
    return 0;
}

int seglog_producer_abort(struct seglog_producer *p)
{
    if (ring_is_forked(p->guard))
        return SEGLOG_EFORKED;
    if (p->claim.count == 0)
        return -EINVAL;
    if (p->many)
        claim_close(p, p->claim.span, ring_word_pad(p->claim.span));
    p->claim.count = 0; /* of one producer nothing was stored */
    return 0;
}

/* ---- batches -------------------------------------------------------------------------------- */

static bool is_stamped(const struct seglog_record *r)
{
    return r->time_ns != 0 || r->tag != 0;
}

/* How much room they take together; 0: more than they may, or one of them does. */
static uint64_t batch_span(const struct seglog_producer *p, const struct seglog_record *records,
                           size_t n)
{
    uint64_t span = 0, lens = 0;

    for (size_t i = 0; i < n; i++) {
        span += ring_span(records[i].len, is_stamped(&records[i]));
        lens |= records[i].len;
    }
    /* That none is huge keeps the sum from wrapping; that the sum is small, all else. */
    return lens > RING_SIZE_MAX || span > p->size / 2 ? 0 : span;
}

/*
 * Fill [pos, pos + room) with messages, but for the word of the first; that one itself comes last,
 * because its line is the one that a consumer asks for. Where they end; 0: they do not fit, and what
 * was stored is nothing yet.
 */
static uint64_t batch_fill(struct seglog_producer *p, uint64_t pos, uint64_t room,
                           const struct seglog_record *records, size_t n, uint64_t *first)
{
    uint8_t *const base = p->data + (pos & p->mask); /* twice in a row: nothing wraps */
    const bool stamped0 = is_stamped(&records[0]);
    uint64_t at = ring_span(records[0].len, stamped0);

    if (records[0].len > p->max_len || at > room)
        return 0;
    for (size_t i = 1; i < n; i++) {
        const struct seglog_record *r = &records[i];
        const bool stamped = is_stamped(r);
        const uint64_t span = ring_span(r->len, stamped);
        uint8_t *to = base + at;

        if (__builtin_expect(r->len > p->max_len || span > room - at, 0))
            return 0;
        word_prepare(ring_word_at(p->data, p->mask, pos + at), ring_word_data(r->len, stamped));
        if (__builtin_expect(stamped, 0))
            ring_fill(p, pos + at, r->data, r->len, true, r->time_ns, r->tag);
        else
            ring_copy_in(to + RING_WORD, r->data, r->len);
        at += span;
    }
    ring_fill(p, pos, records[0].data, records[0].len, stamped0, records[0].time_ns,
              records[0].tag);
    *first = ring_word_data(records[0].len, stamped0);
    return at;
}

int seglog_producer_put_batch(struct seglog_producer *p, const struct seglog_record *records,
                              size_t n, uint64_t timeout_ns)
{
    uint64_t room, span, pos, first;
    int rc = ring_batch_refused(p, n);

    if (rc < 0)
        return rc;
    /* The only producer need not know how long they are before it begins. */
    room = p->soft_end - p->tail;
    if (room > p->size / 2)
        room = p->size / 2;
    span = room == 0 ? 0 : batch_fill(p, p->tail, room, records, n, &first);
    if (span != 0) {
        ring_publish(p, p->tail, span, first);
        return 0;
    }
    span = batch_span(p, records, n);
    if (span == 0)
        return -EMSGSIZE;
    rc = ring_claim_take(p, span, (uint32_t)n, timeout_ns, &pos);
    if (rc < 0)
        return rc;
    batch_fill(p, pos, span, records, n, &first);
    ring_publish(p, pos, span, first);
    return 0;
}

int seglog_producer_claim_batch(struct seglog_producer *p, const size_t *lens, size_t n,
                                struct seglog_claim *claims, uint64_t timeout_ns)
{
    struct ring_claim c = {.count = (uint32_t)n};
    uint64_t at;
    int rc = ring_batch_refused(p, n);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n; i++) {
        if (lens[i] > p->max_len)
            return -EMSGSIZE;
        c.span += ring_span(lens[i], false);
    }
    if (c.span > p->size / 2)
        return -EMSGSIZE;
    rc = ring_claim_take(p, c.span, (uint32_t)n, timeout_ns, &c.pos);
    if (rc < 0)
        return rc;
    p->claim = c;
    at = c.pos;
    for (size_t i = 0; i < n; i++) {
        claims[i] = (struct seglog_claim){
            .data = p->data + (at & p->mask) + RING_WORD, .len = lens[i], .seq = UINT64_MAX};
        at += ring_span(lens[i], false);
    }
    return 0;
}

int seglog_producer_commit_batch(struct seglog_producer *p, const struct seglog_claim *claims,
                                 size_t k)
{
    const struct ring_claim c = p->claim;
    uint64_t used = 0;

    if (ring_is_forked(p->guard))
        return SEGLOG_EFORKED;
    if (c.count == 0 || k > c.count)
        return -EINVAL;
    if (k == 0)
        return seglog_producer_abort(p);
    /* The claims went through the caller's hands. */
    for (size_t i = 0; i < k; i++) {
        if (claims[i].len > p->max_len ||
            claims[i].data != p->data + ((c.pos + used) & p->mask) + RING_WORD)
            return -EINVAL;
        used += ring_span(claims[i].len, false);
        if (used > c.span)
            return -EINVAL;
    }
    used = ring_span(claims[0].len, false);
    for (size_t i = 1; i < k; i++) {
        word_prepare(ring_word_at(p->data, p->mask, c.pos + used),
                     ring_word_data(claims[i].len, false));
        used += ring_span(claims[i].len, false);
    }
    claim_close(p, used, ring_word_data(claims[0].len, false));
    return 0;
}
