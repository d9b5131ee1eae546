/*
 * Batches: one claim for many records.
 *
 * The frames behind the first are complete before the first one's word 0 is stored, so that one
 * store publishes all of them, and whoever walks over the claim or over its frames comes out at the
 * same place.
 */
#include "log/claim.h"

#include <errno.h>

#include "sys/clock.h"

/* Why no batch of n can begin now, or 0. */
static int batch_refused(const struct seglog_appender *ap, size_t n)
{
    if (n == 0)
        return -EINVAL;
    return n > SEGLOG_BATCH_MAX ? -EMSGSIZE : claim_refused(ap);
}

/* The strictest level of a batch's records, each of which may name one. */
static inline uint32_t strictest(const struct seglog_appender *ap, uint32_t sofar, uint32_t sync)
{
    const uint32_t level = claim_level(ap, sync);

    return level > sofar ? level : sofar;
}

/* Add a record to the bytes that a batch takes. 0 or -EMSGSIZE. */
static int batch_span(const struct seglog_appender *ap, uint64_t *span, uint64_t len)
{
    if (len > ap->len_max || *span + frame_span(len) > ap->space.span_max)
        return -EMSGSIZE;
    *span += frame_span(len);
    return 0;
}

/* Complete the frame of one record; all but the first of a batch get their word at once. */
static inline uint64_t batch_frame(struct seglog_appender *ap, bool first, uint64_t at,
                                   uint64_t seq_rel, uint64_t len, const struct frame_facts *facts)
{
    struct frame_header *header = (struct frame_header *)(void *)(ap->base + at);
    const uint64_t word = word_data(&ap->space, len);
    struct frame_facts f = *facts;

    f.seq_rel = (uint32_t)seq_rel;
    frame_fill(&ap->space, at, header, word, &f);
    if (!first)
        word_store(&header->word, word, memory_order_relaxed);
    return word;
}

static uint64_t batch_now(const struct seglog_appender *ap)
{
    return ap->clock == SEGLOG_CLOCK_COARSE ? clock_wall_coarse_ns() : clock_wall_ns();
}

/* Copy the records into the claim. The word to publish. */
static uint64_t batch_copy(struct seglog_appender *ap, const struct open_claim *c,
                           const struct seglog_record *records, size_t n, uint64_t now)
{
    uint64_t first_word = 0, at = c->at;

    for (size_t i = 0; i < n; i++) {
        const struct seglog_record *r = &records[i];
        struct frame_facts facts = {.time_ns = r->time_ns ? r->time_ns : now, .tag = r->tag};
        uint64_t word;

        facts.pcrc = ~crc32c_copy_hot(ap->space.fast, frame_seed(&ap->space, at),
                                      ap->base + at + FRAME_HEADER, r->data, r->len);
        word = batch_frame(ap, i == 0, at, c->seq_rel + i, r->len, &facts);
        if (i == 0)
            first_word = word;
        at += frame_span(r->len);
    }
    return first_word;
}

/* What a batch takes and waits for. 0, or why it cannot be. */
static int batch_size_up(const struct seglog_appender *ap, const struct seglog_record *records,
                         size_t n, uint64_t *span, uint32_t *level, bool *needs_time)
{
    *span = 0;
    *level = 0;
    *needs_time = false;
    for (size_t i = 0; i < n; i++) {
        const int rc = batch_span(ap, span, records[i].len);

        if (rc < 0)
            return rc;
        *level = strictest(ap, *level, records[i].sync);
        *needs_time = *needs_time || records[i].time_ns == 0;
    }
    return claim_check_level(ap->log, *level);
}

/*
 * Move the checkpoint over a batch that was published right behind it, so that the commit which
 * makes it durable need not look at each of its frames.
 */
static void batch_checkpoint(const struct seglog_appender *ap, const struct open_claim *c)
{
    const uint64_t seen = checkpoint_load(ap->tail, &ap->space);

    if (tail_offset(seen) == c->at)
        checkpoint_store(ap->tail, &ap->space, tail_word(c->seq_rel + c->count, c->at + c->span));
}

int seglog_appender_append_batch(struct seglog_appender *ap, const struct seglog_record *records,
                                 size_t n, uint64_t *first_seq)
{
    uint64_t span, first_word, now;
    uint32_t level;
    bool needs_time;
    struct open_claim c;
    int rc = batch_refused(ap, n), written = 0;

    if (rc < 0)
        return rc;
    rc = batch_size_up(ap, records, n, &span, &level, &needs_time);
    if (rc < 0)
        return rc;
    rc = claim_take(ap, span, (uint32_t)n, &c);
    if (rc < 0)
        return rc;
    now = needs_time ? batch_now(ap) : 0;
    if (level == SEGLOG_SYNC_RECORD && span >= BULK_MIN)
        written = log_bulk_write(ap, &c, records, n, now, &first_word);
    else
        first_word = batch_copy(ap, &c, records, n, now);
    if (written < 0)
        first_word = word_checked(&ap->space, c.at, WORD_ABORTED, c.count, c.span);
    if (first_seq && written == 0)
        *first_seq = ap->base_seq + c.seq_rel;
    rc = claim_publish(ap, &c, first_word);
    if (written < 0)
        return written;
    if (rc == 0 && level == SEGLOG_SYNC_RECORD)
        batch_checkpoint(ap, &c);
    return claim_settle(ap, level, ap->base_seq + c.seq_rel + n - 1, rc);
}

int seglog_appender_claim_batch(struct seglog_appender *ap, const size_t *lens, size_t n,
                                struct seglog_claim *claims)
{
    uint64_t span = 0, at;
    int rc = batch_refused(ap, n);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n; i++) {
        rc = batch_span(ap, &span, lens[i]);
        if (rc < 0)
            return rc;
    }
    rc = claim_take(ap, span, (uint32_t)n, &ap->claim);
    if (rc < 0)
        return rc;
    at = ap->claim.at;
    for (size_t i = 0; i < n; i++) {
        claims[i] = (struct seglog_claim){.data = ap->base + at + FRAME_HEADER,
                                          .len = lens[i],
                                          .seq = ap->base_seq + ap->claim.seq_rel + i};
        at += frame_span(lens[i]);
    }
    return 0;
}

/* Do these claims describe the open one, the first k in their order? Gives the end of the k-th. */
static int batch_check(const struct seglog_appender *ap, const struct seglog_claim *claims,
                       size_t k, uint64_t *end)
{
    uint64_t at = ap->claim.at;

    if (ap->claim.count == 0 || k > ap->claim.count)
        return -EINVAL;
    for (size_t i = 0; i < k; i++) {
        if (claims[i].data != ap->base + at + FRAME_HEADER || claims[i].len > ap->len_max ||
            at + frame_span(claims[i].len) > ap->claim.at + ap->claim.span)
            return -EINVAL;
        at += frame_span(claims[i].len);
    }
    /* Nothing may be left over that no frame accounts for. */
    if (k == ap->claim.count && at != ap->claim.at + ap->claim.span)
        return -EINVAL;
    *end = at;
    return 0;
}

int seglog_appender_commit_batch(struct seglog_appender *ap, const struct seglog_claim *claims,
                                 size_t k)
{
    const struct open_claim open = ap->claim;
    const uint64_t base = ap->base_seq + open.seq_rel;
    uint64_t end, first_word = 0, at = open.at, now = 0;
    uint32_t level = 0;
    int rc;

    if (*ap->guard != 1)
        return SEGLOG_EFORKED;
    rc = batch_check(ap, claims, k, &end);
    if (rc < 0)
        return rc;
    if (k == 0)
        return seglog_appender_abort(ap);
    for (size_t i = 0; i < k; i++)
        level = strictest(ap, level, claims[i].sync);
    rc = claim_check_level(ap->log, level);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < k; i++) {
        const struct seglog_claim *c = &claims[i];
        struct frame_facts facts = {.time_ns = c->time_ns, .tag = c->tag};
        uint64_t word;

        if (facts.time_ns == 0)
            facts.time_ns = now ? now : (now = batch_now(ap));
        facts.pcrc = ~crc32c(frame_seed(&ap->space, at), c->data, c->len);
        word = batch_frame(ap, i == 0, at, open.seq_rel + i, c->len, &facts);
        if (i == 0)
            first_word = word;
        at += frame_span(c->len);
    }
    /* What is not committed: one ABORTED frame with the numbers that are left. */
    if (k < open.count)
        word_store(word_at(ap, end),
                   word_checked(&ap->space, end, WORD_ABORTED, open.count - (uint32_t)k,
                                open.at + open.span - end),
                   memory_order_relaxed);
    rc = claim_close(ap, first_word);
    return claim_settle(ap, level, base + k - 1, rc);
}
