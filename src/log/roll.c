/*
 * The way from one segment to the next.
 *
 * The hard part is that nobody may wait for it and nobody may lose by it: ROLL is stored only when
 * the next segment exists, so a full disk is met before anything has changed; and everything that the
 * next segment must know follows from the frames, so whoever sees ROLL can write it, twice or half
 * way, with the same result.
 */
#include "log/claim.h"

#include <errno.h>
#include <stdlib.h>

int log_walk(const struct segment *seg, uint64_t *at, uint64_t *seq_rel)
{
    for (;;) {
        struct word_facts facts;
        const uint64_t word = word_load(&segment_frame(seg, *at)->word, memory_order_acquire);

        if (word == 0)
            return 0;
        if (word_decode(&seg->facts.space, *at, word, &facts) < 0)
            return SEGLOG_ECORRUPT;
        if (facts.state == WORD_ROLL)
            return 1;
        *at += facts.span;
        *seq_rel += facts.count;
    }
}

void log_walk_start(const struct segment *seg, uint64_t *at, uint64_t *seq_rel)
{
    const uint64_t hint = word_load(&segment_tail(seg)->tail, memory_order_relaxed);

    *at = OFF_FRAMES;
    *seq_rel = 0;
    if (tail_offset(hint) >= OFF_FRAMES && span_fits(&seg->facts.space, tail_offset(hint), 0)) {
        *at = tail_offset(hint);
        *seq_rel = tail_seq_rel(hint);
    }
}

/* Past this offset the next segment is asked for: early once this appender has shown that it fills
 * segments, never for one that adds a line now and then. */
static uint64_t soft_end(const struct seglog_appender *ap)
{
    const struct frame_space *space = &ap->space;
    const uint64_t hard = space->frames_end - FRAME_ALIGN;
    const uint64_t region = space->frames_end - space->frames_off;
    const uint64_t own = ap->rolled ? ap->entered_at : ap->entered_at + region / 8;
    const uint64_t early = space->frames_off + region / (ap->rolled ? 16 : 4);
    const uint64_t ask = own > early ? own : early;

    return ask < hard ? ask : hard;
}

/* Stand in a segment that is active. Takes over the caller's reference. */
static int appender_stand(struct seglog_appender *ap, struct log_segment *ls)
{
    struct activation_facts act;
    int rc = segment_activation(ls->seg, &act);

    if (rc < 0) {
        log_table_put(ap->log, ls);
        return rc == -EAGAIN ? SEGLOG_ECORRUPT : rc;
    }
    if (ap->in)
        log_table_put(ap->log, ap->in);
    ap->in = ls;
    ap->base = ls->seg->base;
    ap->tail = segment_tail(ls->seg);
    ap->space = ls->seg->facts.space;
    ap->base_seq = act.base_seq;
    log_walk_start(ls->seg, &ap->at, &ap->seq_rel);
    ap->entered_at = ap->at;
    ap->soft_end = soft_end(ap);
    log_table_activate(ap->log, ls);
    return 0;
}

/*
 * Make the successor of `seg` active: ROLL stands at relative number seq_rel. Idempotent: processes
 * may write the same bytes at once; within this one log->lock keeps the threads apart.
 */
static int activate_next(const struct segment *seg, uint64_t seq_rel, struct segment *next)
{
    struct activation_facts act, have;
    int rc = segment_activation(seg, &act);

    if (rc < 0)
        return rc == -EAGAIN ? SEGLOG_ECORRUPT : rc;
    if (act.base_seq > UINT64_MAX - seq_rel - seg->facts.size)
        return -EOVERFLOW;
    act.base_seq += seq_rel;
    act.pred_generation = seg->facts.generation;
    rc = segment_activation(next, &have);
    if (rc == 0)
        return have.base_seq == act.base_seq && have.pred_generation == act.pred_generation
                   ? 0
                   : SEGLOG_ECORRUPT;
    if (rc != -EAGAIN)
        return rc;
    activation_store(segment_activation_block(next), next->facts.generation, &act);
    return 0;
}

/* What came behind our segment was removed while we slept: go on at the end of the log. */
static int follow_removed(struct seglog_appender *ap)
{
    struct log_segment *active;
    int rc = log_find_active(ap->log);

    if (rc < 0)
        return rc;
    active = log_table_active(ap->log);
    if (active->seg->facts.number <= ap->in->seg->facts.number) {
        log_table_put(ap->log, active);
        return SEGLOG_EMISSING;
    }
    ap->rolled = true;
    return appender_stand(ap, active);
}

int log_follow_roll(struct seglog_appender *ap)
{
    const uint64_t number = ap->in->seg->facts.number + 1;
    struct activation_facts act;
    struct log_segment *next;
    int rc = log_table_get(ap->log, number, true, &next);

    if (rc == -ESTALE)
        return follow_removed(ap);
    if (rc < 0)
        return rc;
    /* One that nobody made active may be one that should not have been made: see make(). */
    if (segment_activation(next->seg, &act) == -EAGAIN) {
        rc = log_view_is_removed(&ap->log->view, number);
        if (rc != 0) {
            log_table_put(ap->log, next);
            return rc < 0 ? rc : follow_removed(ap);
        }
    }
    pthread_mutex_lock(&ap->log->lock);
    rc = activate_next(ap->in->seg, ap->seq_rel, next->seg);
    pthread_mutex_unlock(&ap->log->lock);
    if (rc < 0) {
        log_table_put(ap->log, next);
        return rc;
    }
    ap->rolled = true;
    rc = appender_stand(ap, next);
    if (rc == 0)
        log_ask(ap->log, 0, true);
    return rc;
}

/* Store ROLL at the end of `seg`, from (*at, *seq_rel) on. 0: it stands at (*at, *seq_rel). */
static int roll_store(const struct segment *seg, uint64_t *at, uint64_t *seq_rel)
{
    for (;;) {
        uint64_t seen;
        const int rc = log_walk(seg, at, seq_rel);

        if (rc != 0)
            return rc < 0 ? rc : 0;
        if (word_claim(&segment_frame(seg, *at)->word,
                       word_checked(&seg->facts.space, *at, WORD_ROLL, 0, 0), &seen))
            return 0;
    }
}

int log_make_room(struct seglog_appender *ap, uint64_t span)
{
    const uint64_t number = ap->in->seg->facts.number;
    struct log_segment *next;
    int rc;

    if (span_fits(&ap->space, ap->at, span)) {
        /* Only the soft end: ask once, and be quick from now on. */
        ap->soft_end = ap->space.frames_end - FRAME_ALIGN;
        log_ask(ap->log, number + 1, false);
        return 0;
    }
    /* Nothing is changed before the next segment is there. */
    rc = log_table_get(ap->log, number + 1, true, &next);
    if (rc == -ESTALE)
        return follow_removed(ap);
    if (rc < 0)
        return rc;
    /* Others may have put smaller frames here meanwhile, or the ROLL; all the same to us. */
    rc = roll_store(ap->in->seg, &ap->at, &ap->seq_rel);
    if (rc == 0)
        rc = log_follow_roll(ap);
    if (rc == 0 && sleep_check(ap->live, ap->fence))
        sleep_wake(ap->live);
    log_table_put(ap->log, next);
    return rc;
}

int log_enter(struct seglog_appender *ap)
{
    int rc = appender_stand(ap, log_table_active(ap->log));

    /* Other processes may have gone on since. */
    while (rc == 0 && (rc = log_walk(ap->in->seg, &ap->at, &ap->seq_rel)) == 1)
        rc = log_follow_roll(ap);
    ap->rolled = false;
    ap->entered_at = ap->at;
    ap->soft_end = soft_end(ap);
    return rc;
}

int log_catch_up(struct seglog_log *log)
{
    for (;;) {
        struct log_segment *ls = log_table_active(log), *next;
        const uint64_t number = ls->seg->facts.number;
        struct activation_facts act;
        uint64_t at, seq_rel;
        int rc;

        log_walk_start(ls->seg, &at, &seq_rel);
        rc = log_walk(ls->seg, &at, &seq_rel);
        log_table_put(log, ls);
        if (rc != 1)
            return rc;
        rc = log_table_get(log, number + 1, false, &next);
        if (rc == -ENOENT || rc == -ESTALE) /* removed or archived, as others behind it may be */
            return log_find_active(log);
        if (rc < 0)
            return rc;
        rc = segment_activation(next->seg, &act);
        if (rc == 0)
            log_table_activate(log, next);
        log_table_put(log, next);
        if (rc < 0)
            return rc == -EAGAIN ? 0 : rc; /* whoever rolls is not there yet */
    }
}

int log_roll_active(struct seglog_log *log)
{
    struct seglog_appender *ap = calloc(1, sizeof(*ap));
    struct log_segment *next = NULL;
    int rc = -ENOMEM;

    if (!ap)
        return rc;
    /* A passer-by that only rolls: it needs no slot, since it claims nothing. */
    ap->log = log;
    ap->live = log->view.live;
    ap->fence = log->fence;
    rc = log_enter(ap);
    if (rc == 0 && ap->at == OFF_FRAMES)
        rc = 1;
    if (rc == 0)
        rc = log_table_get(log, ap->in->seg->facts.number + 1, true, &next);
    if (rc == -ESTALE)
        rc = 0; /* ended by others, and long past */
    if (rc == 0)
        rc = roll_store(ap->in->seg, &ap->at, &ap->seq_rel);
    if (rc == 0)
        rc = log_follow_roll(ap);
    if (rc == 0 && sleep_check(ap->live, ap->fence))
        sleep_wake(ap->live);
    if (next)
        log_table_put(log, next);
    if (ap->in)
        log_table_put(log, ap->in);
    free(ap);
    return rc;
}
