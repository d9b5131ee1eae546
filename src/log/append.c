/*
 * The public appending calls. Each is: refuse what cannot be, claim, copy, check, publish.
 *
 * The last step of each is the one store that makes the record exist; being killed before it leaves a
 * claim that others make void.
 */
#include "log/claim.h"

#include <errno.h>
#include <stdlib.h>

#include "sys/clock.h"
#include "sys/map.h"

/* ---- opening and closing -------------------------------------------------------------------- */

static int appender_start(struct seglog_log *log, struct seglog_appender *ap,
                          const struct seglog_appender_options *options)
{
    int rc;

    ap->log = log;
    ap->guard = log->guard;
    ap->live = log->view.live;
    ap->fence = log->fence;
    ap->exclusive = options->mode == SEGLOG_EXCLUSIVE;
    ap->clock = options->clock;
    ap->sync = options->sync ? options->sync : log->view.settings.sync;
    rc = claim_check_level(log, ap->sync);
    if (rc < 0)
        return rc;
    ap->len_max = log->view.settings.segment_size / 4 - FRAME_HEADER;
    rc = log_place_take(log, ap->exclusive ? SLOT_EXCLUSIVE : SLOT_SHARED, &ap->place);
    if (rc < 0)
        return rc;
    ap->claim_word = word_claimed(ap->place.slot, ap->place.gen, 0, 0);
    rc = log_enter(ap);
    if (rc < 0) {
        if (ap->in)
            log_table_put(log, ap->in);
        log_place_give(log, &ap->place);
        return rc;
    }
    ap->plain = ap->exclusive && ap->space.fast && !ap->fence && ap->sync < SEGLOG_SYNC_RECORD;
    if (ap->sync == SEGLOG_SYNC_INTERVAL)
        log_pace(log, options->sync_interval_ns);
    pthread_mutex_lock(&log->lock);
    log->appenders++;
    pthread_mutex_unlock(&log->lock);
    return 0;
}

int seglog_appender_open(struct seglog_log *log, const struct seglog_appender_options *options,
                         struct seglog_appender **out)
{
    static const struct seglog_appender_options plain;
    struct seglog_appender *ap;
    int rc;

    if (!options)
        options = &plain;
    if (options->mode > SEGLOG_EXCLUSIVE || options->clock > SEGLOG_CLOCK_COARSE ||
        options->sync > SEGLOG_SYNC_RECORD || options->reserved != 0)
        return -EINVAL;
    if (options->sync_interval_ns != 0 && (options->sync != SEGLOG_SYNC_INTERVAL ||
                                           options->sync_interval_ns < SEGLOG_SYNC_INTERVAL_MIN ||
                                           options->sync_interval_ns > SEGLOG_SYNC_INTERVAL_MAX))
        return -EINVAL;
    if (*log->guard != 1)
        return SEGLOG_EFORKED;
    if (atomic_load_explicit(&log->view.live->attention, memory_order_relaxed) & ATTENTION_POISON)
        return SEGLOG_EPOISONED;
    ap = aligned_alloc(64, align_up(sizeof(*ap), 64));
    if (!ap)
        return -ENOMEM;
    memset(ap, 0, sizeof(*ap));
    rc = appender_start(log, ap, options);
    if (rc < 0) {
        free(ap);
        return rc;
    }
    *out = ap;
    return 0;
}

int seglog_appender_close(struct seglog_appender *ap)
{
    if (!ap)
        return 0;
    if (*ap->guard != 1) { /* in a forked child: the slot is the parent's */
        free(ap->stage);
        free(ap);
        return 0;
    }
    if (ap->claim.count != 0)
        seglog_appender_abort(ap);
    log_place_give(ap->log, &ap->place);
    pthread_mutex_lock(&ap->log->lock);
    ap->log->appenders--;
    pthread_mutex_unlock(&ap->log->lock);
    log_table_put(ap->log, ap->in);
    free(ap->stage);
    free(ap);
    return 0;
}

/* ---- filling and publishing ----------------------------------------------------------------- */

static inline uint64_t append_time(const struct seglog_appender *ap, uint64_t time_ns)
{
    if (time_ns != 0)
        return time_ns;
    return ap->clock == SEGLOG_CLOCK_COARSE ? clock_wall_coarse_ns() : clock_wall_ns();
}

/* What a frame at `at` gets besides its payload: all of it known but the payload's checksum. */
struct filling {
    uint64_t at;
    uint64_t seq_rel;
    uint64_t len;
    uint64_t time_ns;
    uint32_t tag;
    uint32_t pcrc;
};

static inline uint64_t fill(struct seglog_appender *ap, const struct filling *f)
{
    const uint64_t word = word_data(&ap->space, f->len);
    const struct frame_facts facts = {.time_ns = append_time(ap, f->time_ns),
                                      .seq_rel = (uint32_t)f->seq_rel,
                                      .pcrc = f->pcrc,
                                      .tag = f->tag};

    frame_fill(&ap->space, f->at, (struct frame_header *)(void *)(ap->base + f->at), word, &facts);
    return word;
}

/* plain: the appender is. A constant at each use, so that this becomes two functions. */
static inline __attribute__((always_inline)) int append_one(struct seglog_appender *ap, bool plain,
                                                            struct seglog_record r, uint64_t *seq)
{
    const bool exclusive = plain || ap->exclusive, fence = !plain && ap->fence;
    struct frame_space space;
    struct frame_facts facts;
    struct open_claim c;
    uint8_t *base;
    uint64_t word;
    const int rc = claim_take_as(ap, exclusive, frame_span(r.len), 1, &c);

    if (__builtin_expect(rc < 0, 0))
        return rc;
    /* Copies: whatever is read after the payload was stored would have to be read again. */
    base = ap->base;
    space = ap->space;
    space.fast = space.fast || plain;
    facts = (struct frame_facts){
        .time_ns = append_time(ap, r.time_ns), .seq_rel = (uint32_t)c.seq_rel, .tag = r.tag};
    if (seq)
        *seq = ap->base_seq + c.seq_rel;
    word = word_data(&space, r.len);
    facts.pcrc = ~crc32c_copy_hot(space.fast, frame_seed(&space, c.at), base + c.at + FRAME_HEADER,
                                  r.data, r.len);
    frame_fill(&space, c.at, (struct frame_header *)(void *)(base + c.at), word, &facts);
    return claim_publish_as(ap, exclusive, fence, &c, word);
}

/* Any record, by any appender. */
static __attribute__((noinline)) int append_any(struct seglog_appender *ap,
                                                const struct seglog_record *r, uint64_t *seq)
{
    const uint32_t level = claim_level(ap, r->sync);
    uint64_t mine = 0;
    int rc = claim_refused(ap);

    if (rc < 0)
        return rc;
    if (r->len > ap->len_max)
        return -EMSGSIZE;
    if (__builtin_expect(level < SEGLOG_SYNC_INTERVAL, 1))
        return append_one(ap, false, *r, seq);
    if (level == SEGLOG_SYNC_RECORD && r->len >= BULK_MIN)
        return seglog_appender_append_batch(ap, r, 1, seq);
    rc = claim_check_level(ap->log, level);
    if (rc < 0)
        return rc;
    rc = append_one(ap, false, *r, &mine);
    if (seq && (rc == 0 || rc == SEGLOG_EEVICTED))
        *seq = mine;
    return claim_settle(ap, level, mine, rc);
}

int seglog_appender_append_record(struct seglog_appender *ap, const struct seglog_record *record,
                                  uint64_t *seq)
{
    const struct seglog_record r = *record;

    /* The most common case by itself: it calls nothing, so all of it stays in registers. */
    if (__builtin_expect(r.len < CRC_HOT_BELOW, 1) && __builtin_expect(r.time_ns != 0, 1) &&
        r.sync == 0 && ap->plain && claim_refused(ap) == 0 &&
        ap->at + frame_span(r.len) <= ap->soft_end)
        return append_one(ap, true, r, seq);
    return append_any(ap, record, seq);
}

int seglog_appender_append(struct seglog_appender *ap, const void *data, size_t len, uint64_t *seq)
{
    const struct seglog_record record = {.data = data, .len = len};

    return append_any(ap, &record, seq);
}

int seglog_appender_appendv(struct seglog_appender *ap, const struct iovec *iov, int n,
                            uint64_t time_ns, uint32_t tag, uint64_t *seq)
{
    int rc = claim_refused(ap);
    struct filling f = {.time_ns = time_ns, .tag = tag};
    struct open_claim c;
    uint8_t *to;
    uint32_t crc;

    if (rc < 0)
        return rc;
    if (n < 0)
        return -EINVAL;
    for (int i = 0; i < n; i++) {
        if (iov[i].iov_len > ap->len_max - f.len)
            return -EMSGSIZE;
        f.len += iov[i].iov_len;
    }
    rc = claim_take(ap, frame_span(f.len), 1, &c);
    if (rc < 0)
        return rc;
    f.at = c.at;
    f.seq_rel = c.seq_rel;
    to = ap->base + f.at + FRAME_HEADER;
    crc = frame_seed(&ap->space, f.at);
    for (int i = 0; i < n; i++) {
        crc = crc32c_copy(crc, to, iov[i].iov_base, iov[i].iov_len);
        to += iov[i].iov_len;
    }
    f.pcrc = ~crc;
    if (seq)
        *seq = ap->base_seq + f.seq_rel;
    rc = claim_publish(ap, &c, fill(ap, &f));
    return claim_settle(ap, ap->sync, ap->base_seq + f.seq_rel, rc);
}

/* ---- in place ------------------------------------------------------------------------------- */

int seglog_appender_claim(struct seglog_appender *ap, size_t len, struct seglog_claim *out)
{
    int rc = claim_refused(ap);

    if (rc < 0)
        return rc;
    if (len > ap->len_max)
        return -EMSGSIZE;
    rc = claim_take(ap, frame_span(len), 1, &ap->claim);
    if (rc < 0)
        return rc;
    *out = (struct seglog_claim){
        .data = ap->base + ap->claim.at + FRAME_HEADER,
        .len = len,
        .seq = ap->base_seq + ap->claim.seq_rel,
    };
    return 0;
}

int seglog_appender_commit(struct seglog_appender *ap, const struct seglog_claim *claim, size_t len)
{
    const uint64_t span = frame_span(len < ap->len_max ? len : ap->len_max);
    struct filling f = {.at = ap->claim.at,
                        .seq_rel = ap->claim.seq_rel,
                        .len = len,
                        .time_ns = claim->time_ns,
                        .tag = claim->tag};

    const uint64_t seq = ap->base_seq + f.seq_rel;
    const uint32_t level = claim_level(ap, claim->sync);
    int rc;

    if (*ap->guard != 1)
        return SEGLOG_EFORKED;
    rc = claim_check_level(ap->log, level);
    if (rc < 0)
        return rc;
    if (ap->claim.count != 1 || len > claim->len || span > ap->claim.span ||
        claim->data != ap->base + f.at + FRAME_HEADER)
        return -EINVAL;
    /* Before the commit, and inside our own span: nobody looks there until word 0 is stored. */
    if (span < ap->claim.span)
        word_store(word_at(ap, f.at + span),
                   word_checked(&ap->space, f.at + span, WORD_PAD, 0, ap->claim.span - span),
                   memory_order_relaxed);
    f.pcrc = ~crc32c(frame_seed(&ap->space, f.at), claim->data, len);
    rc = claim_close(ap, fill(ap, &f));
    return claim_settle(ap, level, seq, rc);
}

int seglog_appender_abort(struct seglog_appender *ap)
{
    const struct open_claim *c = &ap->claim;

    if (*ap->guard != 1)
        return SEGLOG_EFORKED;
    if (c->count == 0)
        return -EINVAL;
    return claim_close(ap, word_checked(&ap->space, c->at, WORD_ABORTED, c->count, c->span));
}
