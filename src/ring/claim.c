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

static int batch_refused(const struct seglog_producer *p, size_t n)
{
    if (n == 0)
        return -EINVAL;
    if (n > SEGLOG_RING_BATCH_MAX)
        return -EMSGSIZE;
    return ring_refused(p, 0, false);
}

static bool is_stamped(const struct seglog_record *r)
{
    return r->time_ns != 0 || r->tag != 0;
}

int seglog_producer_put_batch(struct seglog_producer *p, const struct seglog_record *records,
                              size_t n, uint64_t timeout_ns)
{
    uint64_t span = 0, pos, at;
    int rc = batch_refused(p, n);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n; i++) {
        if (records[i].len > p->max_len)
            return -EMSGSIZE;
        span += ring_span(records[i].len, is_stamped(&records[i]));
    }
    if (span > p->size / 2)
        return -EMSGSIZE;
    rc = ring_claim_take(p, span, (uint32_t)n, timeout_ns, &pos);
    if (rc < 0)
        return rc;
    at = pos;
    for (size_t i = 0; i < n; i++) {
        const struct seglog_record *r = &records[i];
        const bool stamped = is_stamped(r);

        if (i > 0)
            word_prepare(ring_word_at(p->data, p->mask, at), ring_word_data(r->len, stamped));
        ring_fill(p, at, r->data, r->len, stamped, r->time_ns, r->tag);
        at += ring_span(r->len, stamped);
    }
    ring_publish(p, pos, span, ring_word_data(records[0].len, is_stamped(&records[0])));
    return 0;
}

int seglog_producer_claim_batch(struct seglog_producer *p, const size_t *lens, size_t n,
                                struct seglog_claim *claims, uint64_t timeout_ns)
{
    struct ring_claim c = {.count = (uint32_t)n};
    uint64_t at;
    int rc = batch_refused(p, n);

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
