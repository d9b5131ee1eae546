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

/* The ways of claim_take() that are not the common one. 0: ap->at is where to claim. */
int claim_shared(struct seglog_appender *ap, uint64_t span, uint32_t count, struct open_claim *out);
int claim_make_room(struct seglog_appender *ap, uint64_t span);

static inline uint64_t claim_word(const struct seglog_appender *ap, uint64_t span, uint32_t count)
{
    return ap->claim_word | (uint64_t)count << 28 | span / FRAME_ALIGN << 40;
}

/* The word at ap->at is ours: note it and stand behind it. */
static inline void claim_won(struct seglog_appender *ap, uint64_t word, uint64_t span,
                             uint32_t count, struct open_claim *out)
{
    *out = (struct open_claim){
        .at = ap->at, .span = span, .word = word, .seq_rel = ap->seq_rel, .count = count};
    ap->at += span;
    ap->seq_rel += count;
}

/*
 * Take `span` bytes and `count` numbers; *out tells where. 0, or nothing has changed and
 * -ENOSPC ..., SEGLOG_ECORRUPT.
 */
static inline int claim_take(struct seglog_appender *ap, uint64_t span, uint32_t count,
                             struct open_claim *out)
{
    uint64_t word;

    if (!ap->exclusive)
        return claim_shared(ap, span, count, out);
    if (__builtin_expect(ap->at + span > ap->soft_end, 0)) {
        const int rc = claim_make_room(ap, span);
        if (rc < 0)
            return rc;
    }
    if (__builtin_expect(word_load(word_at(ap, ap->at), memory_order_relaxed) != 0, 0))
        return SEGLOG_ECORRUPT; /* somebody wrote where only we may */
    word = claim_word(ap, span, count);
    word_mark(word_at(ap, ap->at), word);
    claim_won(ap, word, span, count, out);
    return 0;
}

/* Publish a claim with `value` as its first word. 0; SEGLOG_EEVICTED. */
static inline int claim_publish(struct seglog_appender *ap, const struct open_claim *c,
                                uint64_t value)
{
    _Atomic uint64_t *word = word_at(ap, c->at);
    int rc = 0;

    if (ap->exclusive) {
        word_publish(word, value);
        word_store(&ap->tail->tail, tail_word(ap->seq_rel, ap->at), memory_order_relaxed);
    } else {
        if (!word_resolve(word, c->word, value))
            rc = SEGLOG_EEVICTED;
        tail_hint(ap->tail, tail_word(ap->seq_rel, ap->at));
    }
    if (__builtin_expect(sleep_check(ap->live, ap->fence), 0))
        sleep_wake(ap->live);
    return rc;
}

/* The same for the claim that is open; it is closed whatever comes of it. */
static inline int claim_close(struct seglog_appender *ap, uint64_t value)
{
    const struct open_claim c = ap->claim;

    ap->claim.count = 0;
    return claim_publish(ap, &c, value);
}

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
