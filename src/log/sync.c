/*
 * What one round of a commit does, and the public calls about durability.
 *
 * What becomes durable is the resolved prefix, sampled before the sync is asked for. Only the pages
 * of those frames are written (msync of the range is an fdatasync of the range), not the hot words
 * beside them: a commit of one record writes one block. The first sync in a segment, and one a
 * second, is of the whole file: it carries the activation block, and the mark that says how far an
 * earlier sync came. So the mark lags, and never leads.
 */
#include "log/handle.h"
#include "log/order.h"

#include <errno.h>
#include <sched.h>

#include "sys/clock.h"
#include "sys/map.h"

#define WHOLE_NS UINT64_C(1000000000) /* how often the marks ride along */
#define MARK_NS  UINT64_C(10000000)   /* how often one is written */

#define GATHER_MAX   64 /* looks for others before a round */
#define ALONE_ROUNDS 16 /* rounds without a look after one that found nobody */

/* ---- how far the log is resolved ------------------------------------------------------------ */

/* Where to begin walking: what this handle saw last, or what somebody noted in the segment. */
static void resolve_start(struct log_sync *s, const struct segment *seg)
{
    const uint64_t checkpoint = checkpoint_load(segment_tail(seg), &seg->facts.space);

    if (s->at == 0) {
        s->at = OFF_FRAMES;
        s->seq_rel = 0;
    }
    if (checkpoint != 0 && tail_offset(checkpoint) > s->at) {
        s->at = tail_offset(checkpoint);
        s->seq_rel = tail_seq_rel(checkpoint);
    }
}

/* Walk to the first frame that is not resolved. 0; 1: to ROLL; SEGLOG_ECORRUPT, -EIO */
static int resolve(struct seglog_log *log, struct log_sync *s, const struct segment *seg, bool reap)
{
    const struct frame_space *space = &seg->facts.space;
    uint64_t at, seq_rel;
    int rc = 0;

    resolve_start(s, seg);
    at = s->at;
    seq_rel = s->seq_rel;
    for (;;) {
        struct word_facts facts;
        const uint64_t word = word_load(&segment_frame(seg, at)->word, memory_order_acquire);

        rc = word_decode(space, at, word, &facts);
        if (rc < 0 || facts.state == WORD_EMPTY)
            break;
        if (facts.state == WORD_ROLL) {
            rc = 1;
            break;
        }
        if (facts.state == WORD_CLAIMED) {
            rc = reap ? log_reap_claim(log, seg, at, &log->stuck_sync) : 0;
            if (rc != 1)
                break;
            continue;
        }
        at += facts.span;
        seq_rel += facts.count;
    }
    if (at > s->at)
        checkpoint_store(segment_tail(seg), space, tail_word(seq_rel, at));
    s->at = at;
    s->seq_rel = seq_rel;
    return rc;
}

/* ---- one segment ---------------------------------------------------------------------------- */

/* Note how far a sync came, unless that was done a moment ago. */
static int mark(struct log_sync *s, const struct segment *seg, uint64_t at, uint64_t now, bool due)
{
    struct mark_facts last;
    int rc;

    if (s->marked_at == at || (!due && now - s->mark_ns < MARK_NS))
        return 0;
    rc = segment_mark(seg, &last);
    if (rc < 0 && rc != -EAGAIN)
        return rc;
    if (rc == 0 && last.offset >= at) {
        s->marked_at = at; /* others were here */
        return 0;
    }
    rc = segment_mark_write(seg, rc == 0 ? &last : NULL, at, s->seq_rel, NULL);
    if (rc == 0) {
        s->marked_at = at;
        s->mark_ns = now;
    }
    return rc;
}

/*
 * Sync the frames below s->at. The first time everything: name, activation block, frames. `whole`:
 * everything again, so that the mark goes along.
 */
static int sync_frames(struct seglog_log *log, struct log_sync *s, const struct segment *seg,
                       bool whole)
{
    const uint64_t from = s->synced_at ? s->synced_at : OFF_FRAMES;
    int rc = 0;

    if (s->synced_at == 0)
        rc = dir_sync(log->view.dirfd);
    if (rc < 0)
        return rc;
    if (s->synced_at == 0 || whole)
        return file_datasync(seg->fd);
    return map_sync(seg->base, from, s->at);
}

/* Make the resolved part of the segment durable. `rolled`: that is all of it. */
static int sync_segment(struct seglog_log *log, struct log_sync *s, const struct segment *seg,
                        bool rolled, unsigned flags)
{
    const uint64_t end = rolled ? seg->facts.space.frames_end : s->at;
    const uint64_t now = clock_monotonic_ns();
    bool whole = rolled;
    int rc = 0;

    if (now - s->whole_ns >= WHOLE_NS)
        whole = true;
    if (s->synced_at < end) {
        rc = sync_frames(log, s, seg, whole);
        if (rc == 0 && (whole || s->synced_at == 0))
            s->whole_ns = now;
    }
    if (rc == 0)
        rc = mark(s, seg, end, now, whole || s->synced_at == 0 || (flags & SYNC_MARK));
    if (rc < 0) {
        log_poison(log, rc);
        return rc;
    }
    s->synced_at = end;
    return 0;
}

/* ---- a round -------------------------------------------------------------------------------- */

/* The next segment becomes the one to be synced. */
static void sync_step(struct log_sync *s, uint64_t number)
{
    *s = (struct log_sync){.next = number, .alone = s->alone};
}

/*
 * Let those who are about to publish do so before the sample is taken: who was released by the last
 * round is on its way to the next record. One turn of the processor for each look that finds more;
 * where that brings nobody (one appender alone), seldom at all.
 */
static int gather(struct seglog_log *log, struct log_sync *s, const struct segment *seg)
{
    int rolled = 0;
    bool came = false;

    if (s->alone > 0) {
        s->alone--;
        return 0;
    }
    for (int i = 0; i < GATHER_MAX && rolled == 0; i++) {
        const uint64_t before = s->seq_rel;

        sched_yield();
        rolled = resolve(log, s, seg, false);
        if (s->seq_rel == before)
            break;
        came = true;
    }
    if (!came)
        s->alone = ALONE_ROUNDS;
    return rolled;
}

/* Say what this round covers, so that those it comes too late for go into the other bed. */
static void announce(struct live_file *live, uint64_t sample)
{
    word_store(&live->sync_sample, sample, memory_order_release);
    atomic_fetch_add_explicit(&live->sync_round, 1, memory_order_release);
}

/* Sync one segment. 1: all of it is durable, go on with the next; 0: this is as far as it goes. */
static int round_segment(struct seglog_log *log, struct segment *seg, unsigned flags)
{
    struct log_sync *s = &log->sync;
    struct live_file *live = log->view.live;
    struct activation_facts act;
    struct footer_facts footer;
    int rc, rolled;

    rc = segment_activation(seg, &act);
    if (rc < 0)
        return rc == -EAGAIN ? 0 : rc; /* a spare */
    rolled = resolve(log, s, seg, (flags & SYNC_REAP) != 0);
    if (rolled == 0)
        rolled = gather(log, s, seg);
    if (rolled < 0)
        return rolled;
    if (rolled == 1 && segment_footer(seg, &footer, NULL) == 0) { /* sealed by others */
        log_durable_raise(log, footer.next_seq);
        return 1;
    }
    if (rolled == 0)
        announce(live, act.base_seq + s->seq_rel);
    rc = sync_segment(log, s, seg, rolled == 1, flags);
    if (rc < 0)
        return rc;
    log_durable_raise(log, act.base_seq + s->seq_rel);
    return rolled;
}

static int round_in_order(struct seglog_log *log, unsigned flags)
{
    struct log_sync *s = &log->sync;
    const uint64_t sealed = log->seal_next;
    struct floor_facts floor = {0};
    int rc = 1;

    if (sealed > s->next)
        sync_step(s, sealed);
    while (rc == 1) {
        struct log_segment *ls;

        rc = log_table_get(log, s->next, false, &ls);
        if (rc == -ENOENT) {
            /* Sealed by others and removed since; or there is nothing yet behind ROLL. */
            rc = log_view_floor(&log->view, &floor);
            if (rc < 0 || s->next >= floor.number)
                return rc;
            sync_step(s, floor.number);
            rc = 1;
            continue;
        }
        if (rc == -ESTALE) { /* sealed by others, and in an archive by now */
            sync_step(s, s->next + 1);
            rc = 1;
            continue;
        }
        if (rc < 0)
            return rc;
        rc = round_segment(log, ls->seg, flags);
        log_table_put(log, ls);
        if (rc == 1)
            sync_step(s, s->next + 1);
    }
    return rc;
}

int log_sync_round(struct seglog_log *log, unsigned flags)
{
    int rc;

    pthread_mutex_lock(&log->sync_lock);
    rc = round_in_order(log, flags);
    pthread_mutex_unlock(&log->sync_lock);
    return rc;
}

/* ---- public --------------------------------------------------------------------------------- */

static int durable_refused(const struct seglog_log *log)
{
    if (*log->guard != 1)
        return SEGLOG_EFORKED;
    if (atomic_load_explicit(&log->view.live->attention, memory_order_relaxed) & ATTENTION_POISON)
        return SEGLOG_EPOISONED;
    return log->view.fs.is_volatile ? SEGLOG_EVOLATILE : 0;
}

int seglog_log_sync(struct seglog_log *log, uint64_t *durable_seq)
{
    int rc = durable_refused(log);

    if (rc == 0)
        rc = log_commit_lead(log, SYNC_MARK | SYNC_REAP);
    if (rc == 0 && durable_seq)
        *durable_seq = word_load(&log->view.live->durable_seq, memory_order_acquire);
    return rc;
}

int seglog_log_wait_durable(struct seglog_log *log, uint64_t seq, uint64_t timeout_ns)
{
    const int rc = durable_refused(log);

    return rc < 0 ? rc : log_commit_wait(log, seq, timeout_ns);
}

/* The number of the next record: walk to the end, following others who rolled. */
static int find_next_seq(struct seglog_log *log, uint64_t *next_seq)
{
    struct activation_facts act;
    struct log_segment *ls;
    uint64_t at, seq_rel;
    int rc = log_catch_up(log);

    if (rc < 0)
        return rc;
    ls = log_table_active(log);
    rc = segment_activation(ls->seg, &act);
    if (rc == 0) {
        log_walk_start(ls->seg, &at, &seq_rel);
        rc = log_walk(ls->seg, &at, &seq_rel);
    }
    if (rc >= 0)
        *next_seq = act.base_seq + seq_rel;
    log_table_put(log, ls);
    return rc < 0 ? rc : 0;
}

int seglog_log_progress(struct seglog_log *log, uint64_t *durable_seq, uint64_t *next_seq)
{
    if (*log->guard != 1)
        return SEGLOG_EFORKED;
    if (durable_seq)
        *durable_seq = word_load(&log->view.live->durable_seq, memory_order_acquire);
    return next_seq ? find_next_seq(log, next_seq) : 0;
}
