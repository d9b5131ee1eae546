/*
 * Claims by compare-and-swap, and the way to room for both kinds of appender. See claim.h.
 */
#include "log/claim.h"

#include <errno.h>

/* Somebody else's header is in our way: step over it, after checking its span. */
static int claim_step(struct seglog_appender *ap, uint64_t seen)
{
    struct word_facts facts;

    if (word_decode(&ap->space, ap->at, seen, &facts) < 0)
        return SEGLOG_ECORRUPT;
    if (facts.state == WORD_ROLL)
        return log_follow_roll(ap);
    ap->at += facts.span;
    ap->seq_rel += facts.count;
    return 0;
}

int claim_shared(struct seglog_appender *ap, uint64_t span, uint32_t count)
{
    const uint64_t word = claim_word(ap, span, count);
    const uint64_t hint = word_load(&ap->tail->tail, memory_order_relaxed);
    unsigned losses = 0;

    /* The shared hint may be ahead of what we remember, or behind: take the farther place. */
    if (tail_offset(hint) > ap->at && span_fits(&ap->space, tail_offset(hint), 0)) {
        ap->at = tail_offset(hint);
        ap->seq_rel = tail_seq_rel(hint);
    }
    for (;;) {
        uint64_t seen;
        int rc;

        if (ap->at + span > ap->soft_end) {
            rc = claim_make_room(ap, span);
            if (rc < 0)
                return rc;
        }
        /* Look before the swap: a lost swap takes the line from its owner all the same. */
        seen = word_load(word_at(ap, ap->at), memory_order_acquire);
        if (seen == 0 && word_claim(word_at(ap, ap->at), word, &seen)) {
            claim_won(ap, ap->at, ap->seq_rel, span, count);
            return 0;
        }
        rc = claim_step(ap, seen);
        if (rc < 0)
            return rc;
        if (++losses % 16 == 0)
            cpu_pause();
    }
}

int claim_make_room(struct seglog_appender *ap, uint64_t span)
{
    while (ap->at + span > ap->soft_end) {
        const int rc = log_make_room(ap, span);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int claim_wake(struct seglog_appender *ap, int rc)
{
    sleep_wake(ap->live);
    return rc;
}

int claim_check_level(const struct seglog_log *log, uint32_t level)
{
    if (level > SEGLOG_SYNC_RECORD)
        return -EINVAL;
    return level >= SEGLOG_SYNC_INTERVAL && log->view.fs.is_volatile ? SEGLOG_EVOLATILE : 0;
}

int claim_settle(struct seglog_appender *ap, uint32_t level, uint64_t seq, int rc)
{
    if (rc < 0 || level < SEGLOG_SYNC_INTERVAL)
        return rc;
    if (level == SEGLOG_SYNC_RECORD)
        return log_commit_wait(ap->log, seq, UINT64_MAX);
    if (ap->sync != SEGLOG_SYNC_INTERVAL) /* else its pacer runs since it was opened */
        log_pace(ap->log, 0);
    return 0;
}
