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

/*
 * Take `span` bytes and `count` numbers; ap->claim tells where. 0, or nothing has changed and
 * -ENOSPC ..., SEGLOG_ECORRUPT.
 */
int claim_shared(struct seglog_appender *ap, uint64_t span, uint32_t count);
int claim_exclusive_slow(struct seglog_appender *ap, uint64_t span);

static inline void claim_note(struct seglog_appender *ap, uint64_t word, uint64_t span,
                              uint32_t count)
{
    ap->claim = (struct open_claim){
        .at = ap->at, .span = span, .word = word, .seq_rel = ap->seq_rel, .count = count};
    ap->at += span;
    ap->seq_rel += count;
}

static inline uint64_t claim_word(const struct seglog_appender *ap, uint64_t span, uint32_t count)
{
    return ap->claim_word | (uint64_t)count << 28 | span / FRAME_ALIGN << 40;
}

static inline int claim_take(struct seglog_appender *ap, uint64_t span, uint32_t count)
{
    uint64_t word;

    if (!ap->exclusive)
        return claim_shared(ap, span, count);
    if (ap->at + span > ap->soft_end) {
        const int rc = claim_exclusive_slow(ap, span);
        if (rc < 0)
            return rc;
    }
    if (word_load(word_at(ap, ap->at), memory_order_relaxed) != 0)
        return SEGLOG_ECORRUPT; /* somebody wrote where only we may */
    word = claim_word(ap, span, count);
    word_mark(word_at(ap, ap->at), word);
    claim_note(ap, word, span, count);
    return 0;
}

/* Publish the claim with `value` as its first word. 0; SEGLOG_EEVICTED. The claim is closed. */
static inline int claim_publish(struct seglog_appender *ap, uint64_t value)
{
    _Atomic uint64_t *word = word_at(ap, ap->claim.at);
    int rc = 0;

    if (ap->exclusive)
        word_publish(word, value);
    else if (!word_resolve(word, ap->claim.word, value))
        rc = SEGLOG_EEVICTED;
    tail_hint(ap->tail, tail_word(ap->seq_rel, ap->at));
    ap->claim.count = 0;
    if (sleep_check(ap->live, ap->fence) & ATTENTION_SLEEPER)
        sleep_wake(ap->live);
    return rc;
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
