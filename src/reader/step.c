/*
 * One frame forward, whatever it is. The hot loop takes plain records; all else comes here: voids,
 * padding, open claims, ends of segments, ends of the log, and damage.
 *
 * The hard part is the end of an unsealed segment: an empty word, a claim or a bad frame means "not
 * yet", "void", "the log ends here" or "damage", and only system calls tell which. They are made when
 * such a place is met first, and then every few milliseconds, so that polling stays cheap and the
 * dead are passed in time.
 */
#include "reader/handle.h"

#include <errno.h>
#include <stdio.h>

#include "sys/clock.h"
#include "sys/wait.h"

#define PROBE_NS   UINT64_C(10000000)
#define CLAIM_SPIN 24 /* looks at a new claim, about as long as asking who owns it */

/* ---- asking the system, but not too often --------------------------------------------------- */

bool probe_is_late(struct seglog_reader *r)
{
    const uint64_t now = clock_wall_coarse_ns();

    if (now - r->probed_ns < PROBE_NS) /* a clock set back gives a large difference, too */
        return false;
    r->probed_ns = now;
    return true;
}

bool probe_is_due(struct seglog_reader *r)
{
    const uint64_t at = r->place.held ? r->place.at : r->place.number;

    if (r->probed_held == r->place.held && r->probed_at == at)
        return probe_is_late(r);
    r->probed_held = r->place.held;
    r->probed_at = at;
    r->probed_ns = clock_wall_coarse_ns();
    return true;
}

void probe_reset(struct seglog_reader *r)
{
    r->probed_held = NULL;
    r->probed_at = UINT64_MAX;
    r->probed_ns = 0;
}

int reader_blocked(struct seglog_reader *r, enum block block)
{
    r->block = block;
    return -EAGAIN;
}

int reader_report(struct seglog_reader *r, int status, uint64_t segment, uint64_t offset,
                  uint64_t first_seq, uint64_t last_seq, const char *cause)
{
    r->damage = (struct seglog_damage){
        .segment = segment,
        .offset = offset,
        .first_seq = first_seq,
        .last_seq = last_seq,
        .status = status,
    };
    snprintf(r->damage.cause, sizeof(r->damage.cause), "%s", cause ? cause : "unreadable");
    r->has_damage = true;
    return status;
}

int reader_failed(struct seglog_reader *r, int rc, uint64_t segment, uint64_t offset)
{
    const uint64_t seq = place_seq(&r->place);

    probe_reset(r);
    if (rc == -ENODATA)
        rc = -EIO;
    if (rc != -EIO)
        return rc;
    /* No number is given up: the next call tries again. */
    return reader_report(r, rc, segment, offset, seq, seq - 1, "reading failed");
}

static int held_failed(struct seglog_reader *r, int rc)
{
    return reader_failed(r, rc, r->place.held->seg->facts.number, r->place.at);
}

/* ---- damage --------------------------------------------------------------------------------- */

/* Where the segment after begins, if it has an activation block to say so. */
static bool next_base(struct seglog_reader *r, const struct held *held, uint64_t *base)
{
    struct activation_facts act;

    if (held->seg->facts.number == UINT64_MAX ||
        path_peek(r, held->seg->facts.number + 1, &act, NULL, NULL) != 0)
        return false;
    *base = act.base_seq;
    return true;
}

/* Nothing good is behind: say so once, and stay in case something comes. */
static int damage_stays(struct seglog_reader *r, const char *cause)
{
    struct held *held = r->place.held;
    const uint64_t seq = place_seq(&r->place);

    if (r->reported_held == held && r->reported_at == r->place.at)
        return reader_blocked(r, BLOCK_OTHER);
    r->reported_held = held;
    r->reported_at = r->place.at;
    r->reported_to = seq + 1; /* at least the one that should be here */
    return reader_report(r, SEGLOG_ECORRUPT, held->seg->facts.number, r->place.at, seq, seq, cause);
}

/* To the next good frame, or as far as numbers are known; reports what lies between. */
static int damage_pass(struct seglog_reader *r, struct scan *scan)
{
    struct held *held = r->place.held;
    const uint64_t number = held->seg->facts.number, offset = r->place.at;
    uint64_t first = place_seq(&r->place);
    const uint64_t seq = first;
    const char *cause = held->src.has_hole ? "the medium does not give these bytes" : scan->why;
    uint64_t lost, base;
    const int rc = held_resync(held, scan, &lost);

    if (rc < 0)
        return held_failed(r, rc);
    if (r->reported_held == held && r->reported_at == offset)
        first = r->reported_to;
    if (rc == 1) {
        r->place.at = scan->at;
        r->place.seq_rel = scan->seq_rel;
    } else if (held->sealed) {
        place_at_end(&r->place, held);
    } else if (next_base(r, held, &base) && base >= seq) {
        r->place = (struct place){.number = number + 1, .seq = base, .epoch = held->epoch};
    } else {
        return damage_stays(r, cause);
    }
    probe_reset(r); /* we may come back here and must find it as quickly */
    if (first != seq && first >= place_seq(&r->place))
        return 0; /* all of it was reported while the end was open */
    return reader_report(r, SEGLOG_ECORRUPT, number, offset, first, place_seq(&r->place) - 1,
                         cause);
}

static int step_bad(struct seglog_reader *r, struct scan *scan)
{
    struct held *held = r->place.held;
    int rc;

    if (!held->sealed) {
        if (!probe_is_due(r))
            return reader_blocked(r, BLOCK_OTHER);
        /* A recovery may have cut here, and what lies behind the cut was never ours. */
        rc = held_look_sealed(r, held, r->place.at);
        if (rc != 0)
            return rc == 1 ? 0 : held_failed(r, rc);
        log_view_refresh(&r->view);
        if (!held->src.has_hole && log_view_bad(&r->view, held->seg, r->place.at) == BAD_END)
            return reader_blocked(r, BLOCK_OTHER);
    }
    return damage_pass(r, scan);
}

/* ---- claims --------------------------------------------------------------------------------- */

/* The word at our place, as it is now. */
static int word_again(struct held *held, uint64_t at, uint64_t *word)
{
    const uint8_t *bytes;
    int rc;

    if (held->seg->base) {
        *word = word_load(&segment_frame(held->seg, at)->word, memory_order_acquire);
        return 0;
    }
    source_forget(&held->src);
    held->src.window_want = PAGE_BYTES;
    rc = source_get(&held->src, at, sizeof(*word), &bytes);
    if (rc == 0)
        *word = le64_get((const le64 *)(const void *)bytes);
    return rc;
}

/* Is the word at a place still what we saw? A mark that was read after it may speak of what has been
 * stored, and synced, since. */
static bool word_stands(struct held *held, uint64_t at, uint64_t seen)
{
    uint64_t word = seen;

    return word_again(held, at, &word) < 0 || word == seen;
}

static bool claim_resolves_soon(struct held *held, const struct scan_frame *frame)
{
    uint64_t word = frame->word;

    if (!held->seg->base)
        return false;
    for (int i = 0; i < CLAIM_SPIN && word == frame->word; i++) {
        cpu_pause();
        (void)word_again(held, frame->offset, &word);
    }
    return word != frame->word;
}

/*
 * Its producer is dead. It may have committed before it died, after we looked: whoever may write
 * settles that by compare-and-swap, others by looking again now that nobody is left to change it.
 */
static int claim_pass(struct seglog_reader *r, const struct scan *behind,
                      const struct scan_frame *frame)
{
    struct held *held = r->place.held;
    uint64_t word = 0;
    int rc;

    if (log_view_is_live(&r->view) &&
        segment_boot_relation(held->seg, &r->view.boot) == BOOT_SAME &&
        segment_abort_claim(r->view.dirfd, held->seg, frame->offset, frame->word) == 0)
        return 0; /* resolved: look again */
    rc = word_again(held, frame->offset, &word);
    if (rc < 0)
        return held_failed(r, rc);
    if (word != frame->word)
        return 0;
    r->place.at = behind->at;
    r->place.seq_rel = behind->seq_rel;
    probe_reset(r);
    return 0;
}

static int step_claim(struct seglog_reader *r, struct scan *behind, const struct scan_frame *frame)
{
    struct held *held = r->place.held;
    const bool is_new = r->probed_held != held || r->probed_at != frame->offset;
    enum claim_verdict verdict;
    int rc;

    if (held->sealed) {
        behind->at = r->place.at;
        behind->seq_rel = r->place.seq_rel;
        behind->why = "an open claim in a sealed segment";
        return step_bad(r, behind);
    }
    if (is_new && claim_resolves_soon(held, frame))
        return 0;
    if (!probe_is_due(r))
        return reader_blocked(r, BLOCK_CLAIM);
    /* Without `owners` nobody could be proved alive: they may have come after we opened. */
    log_view_refresh(&r->view);
    verdict = log_view_claim(&r->view, held->seg, r->place.at, &frame->facts);
    if (verdict == CLAIM_WAIT)
        return reader_blocked(r, BLOCK_CLAIM);
    rc = held_look_sealed(r, held, r->place.at);
    if (rc != 0)
        return rc == 1 ? 0 : held_failed(r, rc);
    if (verdict == CLAIM_ROT) {
        if (!word_stands(held, r->place.at, frame->word))
            return 0;
        behind->at = r->place.at;
        behind->seq_rel = r->place.seq_rel;
        behind->why = "an open claim where frames were durable";
        return damage_pass(r, behind);
    }
    if (verdict == CLAIM_END)
        return reader_blocked(r, BLOCK_OTHER);
    return claim_pass(r, behind, frame);
}

/* ---- ends ----------------------------------------------------------------------------------- */

/* The frames of a sealed segment are all passed. */
static int step_sealed_end(struct seglog_reader *r)
{
    struct held *held = r->place.held;
    const struct footer_facts *footer = &held->footer;
    const uint64_t seq = place_seq(&r->place);
    const struct onward to = {
        .number = held->seg->facts.number + 1,
        .seq = footer->next_seq > seq ? footer->next_seq : seq,
        .epoch = held->epoch,
        .generation = held->seg->facts.generation,
        .must_be_active = (footer->flags & FOOTER_TORN) != 0,
    };

    if (r->place.at > held->end)
        return SEGLOG_EREWOUND;
    if (footer->next_seq > seq) {
        place_at_end(&r->place, held);
        return reader_report(r, SEGLOG_ECORRUPT, held->seg->facts.number, r->place.at, seq,
                             footer->next_seq - 1, "records are missing before the seal");
    }
    if (to.number == 0)
        return reader_blocked(r, BLOCK_OTHER);
    return path_forward(r, &to);
}

static int step_roll(struct seglog_reader *r)
{
    struct held *held = r->place.held;
    const struct onward to = {
        .number = held->seg->facts.number + 1,
        .seq = place_seq(&r->place),
        .epoch = held->epoch,
        .generation = held->seg->facts.generation,
    };

    if (held->sealed)
        return step_sealed_end(r);
    if (to.number == 0)
        return reader_blocked(r, BLOCK_OTHER);
    return path_forward(r, &to);
}

static int step_empty(struct seglog_reader *r, struct scan *scan)
{
    struct held *held = r->place.held;
    struct mark_facts mark;
    int rc;

    if (held->sealed) {
        if (r->place.at >= held->end)
            return step_sealed_end(r);
        scan->why = "nothing was written where frames should be";
        return step_bad(r, scan);
    }
    if (held_look_gate(held))
        return 0;
    /* Only a recovery ends a segment without ROLL; of a cold one it may have, long ago. */
    if (held->is_cold ? !probe_is_due(r) : !probe_is_late(r))
        return reader_blocked(r, BLOCK_EMPTY);
    rc = held_look_sealed(r, held, r->place.at);
    if (rc != 0)
        return rc == 1 ? 0 : held_failed(r, rc);
    if (segment_mark(held->seg, &mark) == 0 && r->place.at < mark.offset) {
        if (!word_stands(held, r->place.at, 0))
            return 0;
        scan->why = "nothing is left where frames were durable";
        return damage_pass(r, scan);
    }
    return reader_blocked(r, BLOCK_EMPTY);
}

/* ---- the step ------------------------------------------------------------------------------- */

/* A place without a segment: the one to enter is known by number only. */
static int step_enter(struct seglog_reader *r)
{
    const struct onward to = {
        .number = r->place.number,
        .seq = r->place.seq,
        .epoch = r->place.epoch,
        .must_be_active = true,
    };

    return path_forward(r, &to);
}

int step(struct seglog_reader *r, struct scan_frame *frame)
{
    struct held *held = r->place.held;
    struct scan scan;
    int rc;

    if (!held)
        return step_enter(r);
    rc = held_look_at(r, held, &r->place, &scan, frame);
    if (rc == SEGLOG_ECORRUPT)
        return step_bad(r, &scan);
    if (rc < 0)
        return held_failed(r, rc);
    if (rc == 0)
        return frame->facts.state == WORD_ROLL ? step_roll(r) : step_empty(r, &scan);
    if (frame->facts.state == WORD_CLAIMED)
        return step_claim(r, &scan, frame);
    r->place.at = scan.at;
    r->place.seq_rel = scan.seq_rel;
    return frame->facts.state == WORD_DATA ? 1 : 0;
}

int step_record(struct seglog_reader *r, struct scan_frame *frame)
{
    struct held *began = r->place.held;

    for (;;) {
        struct held *held = r->place.held;
        int rc;

        if (held && r->place.at == OFF_FRAMES && !held_may_have_tag(r, held)) {
            place_at_end(&r->place, held);
            if (began)
                began->lent = true; /* the caller may go back to it */
            held_release(r, false); /* a long way may lie before us */
        }
        rc = step(r, frame);
        if (rc == 1 && (r->flags & SEGLOG_READER_TAG) && frame->frame.tag != r->tag)
            continue;
        if (rc != 0)
            return rc;
    }
}

int step_view(struct seglog_reader *r, const struct scan_frame *frame, struct seglog_view *out)
{
    struct held *held = r->place.held;
    const void *data = frame->payload;

    if (!held->seg->base) {
        data = arena_copy(r, frame->payload, frame->facts.len);
        if (!data)
            return -ENOMEM;
    }
    held->lent = true;
    *out = (struct seglog_view){
        .data = data,
        .len = frame->facts.len,
        .seq = held->base_seq + frame->frame.seq_rel,
        .time_ns = frame->frame.time_ns,
        .tag = frame->frame.tag,
    };
    return 0;
}
