/*
 * The walk over one segment, with verdicts. See survey.h.
 */
#include "inspect/survey.h"

#include <errno.h>

#include "sys/clock.h"

/* A place in doubt is looked at this often, this far apart. */
#define LOOKS   4
#define LOOK_NS UINT64_C(500000)

/* More places than this cannot be in motion at once: each producer has one claim. */
#define PATIENCE (2 * LIVE_SLOTS)

void survey_begin(struct survey *s, const struct log_view *view, const struct segment *seg,
                  const struct survey_hooks *hooks, bool check_payload)
{
    struct mark_facts mark;

    *s = (struct survey){.view = view, .patience = PATIENCE};
    if (hooks)
        s->hooks = *hooks;
    source_init(&s->source, seg);
    scan_begin(&s->scan, &s->source, check_payload);
    if (segment_mark(seg, &mark) == 0)
        s->durable_end = s->must_reach = mark.offset;
}

void survey_end(struct survey *s)
{
    source_free(&s->source);
}

/* ---- looking again -------------------------------------------------------------------------- */

static bool is_open_claim(int rc, const struct scan_frame *frame)
{
    return rc == 1 && frame->facts.state == WORD_CLAIMED;
}

/* An unwritten place, or an open claim, below what was once complete. */
static bool is_impossible(const struct survey *s, int rc, const struct scan_frame *frame)
{
    if (is_open_claim(rc, frame))
        return s->is_durable || frame->offset < s->durable_end;
    return rc == 0 && frame->facts.state == WORD_EMPTY && frame->offset < s->must_reach &&
           frame->offset < s->scan.end;
}

/* The next frame, looked at until it is beyond doubt or has stayed doubtful. */
static int survey_look(struct survey *s, struct scan_frame *frame)
{
    const uint64_t at = s->scan.at;
    const uint64_t seq_rel = s->scan.seq_rel;
    int rc = scan_next(&s->scan, frame);

    for (int i = 0; i < LOOKS && !s->is_frozen && s->patience > 0; i++) {
        const bool is_doubtful = rc == SEGLOG_ECORRUPT || is_impossible(s, rc, frame);

        /* An open claim is no wonder; once more, to have it as it is now. */
        if (!is_doubtful && !(is_open_claim(rc, frame) && i == 0))
            break;
        if (i == 0)
            s->patience--;
        else
            clock_sleep_ns(LOOK_NS);
        source_forget(&s->source);
        s->scan.at = at;
        s->scan.seq_rel = seq_rel;
        rc = scan_next(&s->scan, frame);
    }
    return rc;
}

/* ---- damage --------------------------------------------------------------------------------- */

/* Search on; what the medium will not give is stepped over page by page. A search that fails leaves
 * the walk where it failed. */
static int survey_resync(struct survey *s, uint64_t *lost)
{
    int rc = scan_resync(&s->scan, lost);

    while (rc < 0 && rc != -ENOMEM) {
        const uint64_t next = align_up(s->scan.at + 1, PAGE_BYTES);

        if (next >= s->scan.end) {
            s->scan.bad_from = 0;
            *lost = 0;
            return 0;
        }
        s->scan.at = next - FRAME_ALIGN;
        s->scan.bad_span = 0;
        rc = scan_resync(&s->scan, lost);
    }
    return rc;
}

static int survey_tell(struct survey *s, const struct survey_damage *damage)
{
    s->damages++;
    return s->hooks.damage ? s->hooks.damage(s->hooks.context, damage) : 0;
}

/* 1: the walk goes on behind it; 0: it has ended; negative: stopped. */
static int survey_bad(struct survey *s, int status, const char *why)
{
    struct survey_damage damage = {
        .offset = s->scan.at, .seq_rel = s->scan.seq_rel, .status = status, .why = why};
    int found, rc;

    if (status == SEGLOG_ECORRUPT && !s->is_durable &&
        log_view_bad(s->view, s->source.seg, s->scan.at) == BAD_END) {
        s->end = SURVEY_CUT;
        return 0;
    }
    found = survey_resync(s, &damage.lost);
    if (found < 0)
        return found;
    damage.is_to_the_end = found == 0;
    rc = survey_tell(s, &damage);
    if (rc < 0)
        return rc;
    if (found == 0) {
        s->end = SURVEY_LOST;
        s->scan.at = damage.offset;
    }
    return found;
}

/* ---- frames --------------------------------------------------------------------------------- */

static void survey_count(struct survey *s, const struct scan_frame *frame)
{
    const uint64_t time = frame->frame.time_ns;

    if (frame->facts.state == WORD_PAD || frame->facts.state == WORD_ROLL)
        return;
    s->ends_in_claim = false;
    if (frame->facts.state == WORD_ABORTED) {
        s->void_count += frame->facts.count;
        return;
    }
    if (s->records == 0 || time < s->min_time)
        s->min_time = time;
    if (s->records == 0 || time > s->max_time)
        s->max_time = time;
    s->records++;
    s->bytes += frame->facts.len;
}

/* The walk has moved behind an open claim. As survey_bad(). */
static int survey_open_claim(struct survey *s, const struct scan_frame *frame)
{
    const uint64_t seq_rel = s->scan.seq_rel - frame->facts.count;
    enum claim_verdict verdict;

    if (s->is_durable || frame->offset < s->durable_end) {
        const int rc = survey_tell(s, &(struct survey_damage){
                                          .offset = frame->offset,
                                          .seq_rel = seq_rel,
                                          .lost = frame->facts.count,
                                          .status = SEGLOG_ECORRUPT,
                                          .why = "an open claim among finished frames",
                                      });
        return rc < 0 ? rc : 1;
    }
    verdict = log_view_claim(s->view, s->source.seg, frame->offset, &frame->facts);
    s->ends_in_claim = true;
    s->last_claim = frame->offset;
    if (verdict == CLAIM_END) {
        s->scan.at = frame->offset;
        s->scan.seq_rel = seq_rel;
        s->end = SURVEY_CUT;
        return 0;
    }
    if (verdict == CLAIM_DEAD)
        s->void_count += frame->facts.count;
    if (!s->has_claim) {
        s->has_claim = true;
        s->claim = (struct survey_claim){.offset = frame->offset,
                                         .seq_rel = seq_rel,
                                         .facts = frame->facts,
                                         .is_dead = verdict == CLAIM_DEAD};
    }
    return 1;
}

static int survey_good(struct survey *s, const struct scan_frame *frame)
{
    int rc = 1;

    survey_count(s, frame);
    if (s->hooks.frame)
        rc = s->hooks.frame(s->hooks.context, frame);
    return rc < 0 ? rc : 1;
}

/* ---- the end -------------------------------------------------------------------------------- */

/*
 * Is there a good frame behind this unwritten place? Places are claimed in order, so once one is
 * found and the place is still unwritten, something was wiped out there.
 */
static int survey_beyond(struct survey *s)
{
    const uint64_t at = s->scan.at;
    const uint64_t seq_rel = s->scan.seq_rel;
    uint64_t lost;
    int found;

    s->scan.bad_span = 0;
    found = survey_resync(s, &lost);
    s->scan.at = at;
    s->scan.seq_rel = seq_rel;
    if (found == 1)
        s->must_reach = at + FRAME_ALIGN;
    return found;
}

/* scan_next() has ended. As survey_bad(). */
static int survey_stop(struct survey *s, const struct scan_frame *frame)
{
    int rc;

    if (frame->facts.state == WORD_ROLL) {
        rc = survey_good(s, frame);
        s->end = SURVEY_ROLLED;
        return rc < 0 ? rc : 0;
    }
    if (frame->offset >= s->scan.end ||
        frame->offset > s->source.seg->facts.space.frames_end - FRAME_ALIGN) {
        s->end = SURVEY_STOP;
        return 0;
    }
    if (is_impossible(s, 0, frame)) {
        s->scan.bad_span = 0;
        return survey_bad(s, SEGLOG_ECORRUPT, "zeros where a frame was");
    }
    s->end = SURVEY_OPEN;
    if (!s->looks_beyond)
        return 0;
    source_forget(&s->source);
    return survey_beyond(s);
}

int survey_run(struct survey *s)
{
    int rc = 1;

    while (rc > 0) {
        struct scan_frame frame = {0};

        rc = survey_look(s, &frame);
        if (rc == SEGLOG_ECORRUPT) {
            rc = survey_bad(s, rc, s->scan.why);
        } else if (rc < 0 && rc != -ENOMEM) {
            s->scan.bad_span = 0;
            rc = survey_bad(s, rc, "the medium does not give these bytes");
        } else if (rc == 0) {
            rc = survey_stop(s, &frame);
        } else if (rc > 0 && frame.facts.state == WORD_CLAIMED) {
            rc = survey_open_claim(s, &frame);
        } else if (rc > 0) {
            rc = survey_good(s, &frame);
        }
    }
    return rc;
}

int survey_press(struct survey *s)
{
    source_forget(&s->source);
    s->must_reach = UINT64_MAX;
    return survey_run(s);
}
