/*
 * Claiming room in the log and publishing it: the hot path of every append.
 *
 * Everything here is called by the appender's own thread. See ARCHITECTURE, "Appending", for who may
 * change which word when.
 */
#ifndef LOG_CLAIM_H
#define LOG_CLAIM_H

#include "log/handle.h"
#include "log/order.h"

#include <errno.h>

static inline _Atomic uint64_t *word_at(const struct seglog_appender *ap, uint64_t offset)
{
    return (_Atomic uint64_t *)(void *)(ap->base + offset);
}

/* The ways of claim_take() that are not the common one. 0: as claim_mine() has it. */
int claim_shared(struct seglog_appender *ap, uint64_t span, uint32_t count);
int claim_make_room(struct seglog_appender *ap, uint64_t span);
/* Wake who sleeps; gives rc back, so that it can be called last. */
int claim_wake(struct seglog_appender *ap, int rc);

static inline uint64_t claim_word(const struct seglog_appender *ap, uint64_t span, uint32_t count)
{
    return ap->claim_word | (uint64_t)count << 28 | span / FRAME_ALIGN << 40;
}

/* The word at `at`, where we stand with seq_rel, is ours: stand behind it. */
static inline void claim_won(struct seglog_appender *ap, uint64_t at, uint64_t seq_rel,
                             uint64_t span, uint32_t count)
{
    ap->at = at + span;
    ap->seq_rel = seq_rel + count;
}

/* claim_take() by the exclusive appender. */
static inline __attribute__((always_inline)) int
claim_mine(struct seglog_appender *ap, uint64_t span, uint32_t count, struct open_claim *out)
{
    uint64_t at, seq_rel, word;

    if (__builtin_expect(ap->at + span > ap->soft_end, 0)) {
        const int rc = claim_make_room(ap, span);
        if (rc < 0)
            return rc;
    }
    at = ap->at;
    seq_rel = ap->seq_rel;
    if (__builtin_expect(word_load(word_at(ap, at), memory_order_relaxed) != 0, 0))
        return SEGLOG_ECORRUPT; /* somebody wrote where only we may */
    word = claim_word(ap, span, count);
    word_mark(word_at(ap, at), word);
    claim_won(ap, at, seq_rel, span, count);
    *out = (struct open_claim){
        .at = at, .span = span, .word = word, .seq_rel = seq_rel, .count = count};
    return 0;
}

/*
 * Take `span` bytes and `count` numbers; *out tells where. 0, or nothing has changed and
 * -ENOSPC ..., SEGLOG_ECORRUPT.
 *
 * *out is filled here and not by a function that is called, so that it can live in registers.
 */
static inline __attribute__((always_inline)) int claim_take_as(struct seglog_appender *ap,
                                                               bool exclusive, uint64_t span,
                                                               uint32_t count,
                                                               struct open_claim *out)
{
    int rc;

    if (exclusive)
        return claim_mine(ap, span, count, out);
    rc = claim_shared(ap, span, count);
    if (__builtin_expect(rc < 0, 0))
        return rc;
    *out = (struct open_claim){.at = ap->at - span,
                               .span = span,
                               .word = claim_word(ap, span, count),
                               .seq_rel = ap->seq_rel - count,
                               .count = count};
    return 0;
}

static inline int claim_take(struct seglog_appender *ap, uint64_t span, uint32_t count,
                             struct open_claim *out)
{
    return claim_take_as(ap, ap->exclusive, span, count, out);
}

/* Publish a claim with `value` as its first word. 0; SEGLOG_EEVICTED. */
static inline __attribute__((always_inline)) int claim_publish_as(struct seglog_appender *ap,
                                                                  bool exclusive, bool fence,
                                                                  const struct open_claim *c,
                                                                  uint64_t value)
{
    _Atomic uint64_t *word = word_at(ap, c->at);
    const uint64_t tail = tail_word(c->seq_rel + c->count, c->at + c->span);
    int rc = 0;

    if (exclusive) {
        word_publish(word, value);
        word_store(&ap->tail->tail, tail, memory_order_relaxed);
    } else {
        if (!word_resolve(word, c->word, value))
            rc = SEGLOG_EEVICTED;
        tail_hint(ap->tail, tail);
    }
    if (__builtin_expect(sleep_check(ap->live, fence), 0))
        return claim_wake(ap, rc);
    return rc;
}

static inline int claim_publish(struct seglog_appender *ap, const struct open_claim *c,
                                uint64_t value)
{
    return claim_publish_as(ap, ap->exclusive, ap->fence, c, value);
}

/* The same for the claim that is open; it is closed whatever comes of it. */
static inline int claim_close(struct seglog_appender *ap, uint64_t value)
{
    const struct open_claim c = ap->claim;

    ap->claim.count = 0;
    return claim_publish(ap, &c, value);
}

/* Appends that wait for the disk and take at least so much are written by log_bulk_write(). */
#define BULK_MIN (UINT64_C(12) << 10)

/*
 * Put the frames of a claim in place, all but its word 0, by pwrite. now: the time of records that
 * have none. 0 and the word to publish; -EIO, -ENOMEM ...: the claim is to be aborted.
 */
int log_bulk_write(struct seglog_appender *ap, const struct open_claim *c,
                   const struct seglog_record *records, size_t n, uint64_t now,
                   uint64_t *first_word);

/* The level of an append that asks for `sync` itself (0: it does not). */
static inline uint32_t claim_level(const struct seglog_appender *ap, uint32_t sync)
{
    return sync ? sync : ap->sync;
}

/* After a record was published: what its level asks for beyond that. rc: how publishing went. */
int claim_settle(struct seglog_appender *ap, uint32_t level, uint64_t seq, int rc);

/* Can the level be honoured? 0, -EINVAL, SEGLOG_EVOLATILE. Called before anything is claimed. */
int claim_check_level(const struct seglog_log *log, uint32_t level);

/* Why no append can begin now, or 0. */
static inline int claim_refused(const struct seglog_appender *ap)
{
    if (*ap->guard != 1)
        return SEGLOG_EFORKED;
    if (ap->claim.count != 0)
        return -EBUSY;
    if (atomic_load_explicit(&ap->live->attention, memory_order_relaxed) & ATTENTION_POISON)
        return SEGLOG_EPOISONED;
    return 0;
}

#endif
