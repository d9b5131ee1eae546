/*
 * A segment as a reader holds it: opened once, kept until release() because views may point into
 * it, and looked at again when it could have been sealed meanwhile.
 */
#include "reader/handle.h"

#include <errno.h>
#include <stdlib.h>

#include "sys/file.h"
#include "sys/map.h"

/* ---- the list ------------------------------------------------------------------------------- */

static void held_close(struct seglog_reader *r, struct held *held)
{
    if ((r->flags & SEGLOG_READER_DROP_BEHIND) && held->settled && held->sealed)
        segment_drop_pages(held->seg);
    source_free(&held->src);
    segment_close(held->seg);
    sparse_free(&held->sparse);
    free(held);
}

/* Unsealed also when the footer does not check out: it may be half written. */
static int held_read_footer(struct held *held)
{
    const int rc = segment_footer(held->seg, &held->footer, NULL);

    if (rc < 0 && rc != -EAGAIN && rc != SEGLOG_ECORRUPT)
        return rc;
    held->sealed = rc == 0;
    return rc;
}

int held_open(struct seglog_reader *r, uint64_t number, struct held **out, const char **why)
{
    const enum segment_access access = r->flags & SEGLOG_READER_COPY ? SEGMENT_PREAD : SEGMENT_READ;
    struct held *held;
    int rc;

    for (held = r->segments; held; held = held->older) {
        if (held->seg->facts.number == number && !held->is_stale) {
            *out = held;
            return 0;
        }
    }
    held = calloc(1, sizeof(*held));
    if (!held)
        return -ENOMEM;
    rc = segment_open(r->view.dirfd, number, r->view.settings.uuid, access, &held->seg, why);
    if (rc < 0) {
        free(held);
        return rc;
    }
    source_init(&held->src, held->seg);
    held->src.fills_holes = (r->flags & SEGLOG_READER_SKIP_BAD) != 0;
    rc = held_read_footer(held);
    if (rc < 0 && rc != -EAGAIN && rc != SEGLOG_ECORRUPT) {
        held_close(r, held);
        return rc;
    }
    held->data_low = (uint32_t)word_data(&held->seg->facts.space, 0);
    held->older = r->segments;
    r->segments = held;
    *out = held;
    return 0;
}

static void forget_held(struct seglog_reader *r, const struct held *held)
{
    if (r->probed_held == held)
        r->probed_held = NULL;
    if (r->reported_held == held)
        r->reported_held = NULL;
    if (r->gap_held == held)
        r->gap_held = NULL;
    if (r->trail.held == held)
        r->trail.held = NULL;
    if (r->newest == held)
        r->newest = NULL;
}

/* Is it kept, though we do not stand in it? */
static bool held_is_wanted(const struct seglog_reader *r, const struct held *held, bool all)
{
    if (held == r->newest && !held->sealed && !held->is_stale)
        return true;
    return held->lent && !all;
}

void held_release(struct seglog_reader *r, bool all)
{
    struct held **link = &r->segments;

    while (*link) {
        struct held *held = *link;

        if (held == r->place.held || held_is_wanted(r, held, all)) {
            link = &held->older;
            continue;
        }
        *link = held->older;
        forget_held(r, held);
        held_close(r, held);
    }
    for (struct held *kept = r->segments; all && kept; kept = kept->older)
        kept->lent = false;
}

void held_close_all(struct seglog_reader *r)
{
    r->place.held = NULL;
    r->newest = NULL;
    held_release(r, true);
}

/* ---- what is known of it -------------------------------------------------------------------- */

static void held_limits(struct held *held)
{
    const struct segment_facts *facts = &held->seg->facts;

    held->end = held->sealed ? held->footer.frames_end : facts->shape.frames_end;
    held->gate = held->gated ? 0 : held->end;
    held->limit = facts->space.frames_end - FRAME_ALIGN;
    if (held->gate < held->limit)
        held->limit = held->gate;
    if (held->gated)
        (void)held_look_gate(held);
}

/*
 * A footer that does not check out, though mark and successor say that the segment was sealed at a
 * cut: what lies behind the cut must not come back.
 */
static void held_seal_by_mark(struct seglog_reader *r, struct held *held)
{
    struct activation_facts next;
    struct footer_facts footer = {0};
    struct mark_facts mark;

    if (segment_mark(held->seg, &mark) != 0 || held->seg->facts.number == UINT64_MAX)
        return;
    if (path_peek(r, held->seg->facts.number + 1, &next, NULL, NULL) != 0)
        return;
    if (next.epoch <= held->epoch || next.base_seq != held->base_seq + mark.seq_rel)
        return;
    footer.base_seq = held->base_seq;
    footer.next_seq = next.base_seq;
    footer.frames_end = mark.offset;
    footer.flags = FOOTER_TORN;
    footer.max_time = footer.log_max_time = UINT64_MAX;
    held->footer = footer;
    held->footer_lost = true;
    held->sealed = true;
}

int held_settle(struct seglog_reader *r, struct held *held, uint64_t base_seq, uint64_t epoch)
{
    struct segment *seg = held->seg;
    struct footer_facts page;

    if (held->settled && held->base_seq == base_seq)
        return 0;
    if (base_seq > UINT64_MAX - seg->facts.size)
        return SEGLOG_ECORRUPT; /* no log has come that far; sums of numbers cannot wrap now */
    held->base_seq = base_seq;
    held->epoch = epoch;
    if (held->sealed && held->footer.base_seq != base_seq)
        held->sealed = false;
    if (!held->sealed && segment_footer(seg, &page, NULL) == SEGLOG_ECORRUPT)
        held_seal_by_mark(r, held);
    held->is_cold = !held->sealed && segment_boot_relation(seg, &r->view.boot) != BOOT_SAME;
    held->gated = !held->sealed && !held->is_cold && seg->facts.discipline == DISCIPLINE_GATED;
    held_limits(held);
    sparse_reset(&held->sparse);
    held->settled = true;
    return 0;
}

/* A recovery set this file aside and put a new one in its place. */
static bool held_is_replaced(struct seglog_reader *r, struct held *held)
{
    struct activation_facts act;
    struct segment *seg;

    if (!held->is_cold || segment_open(r->view.dirfd, held->seg->facts.number,
                                       r->view.settings.uuid, SEGMENT_PREAD, &seg, NULL) != 0)
        return false;
    held->is_stale =
        seg->facts.generation != held->seg->facts.generation && segment_activation(seg, &act) == 0;
    segment_close(seg);
    return held->is_stale;
}

int held_look_sealed(struct seglog_reader *r, struct held *held, uint64_t at)
{
    struct footer_facts footer;
    int rc;

    if (held->sealed)
        return 0;
    if (held->is_stale || held_is_replaced(r, held))
        return SEGLOG_EREWOUND;
    if (held->is_cold) /* a recovery that cut nothing makes it this boot's */
        held->is_cold = segment_boot_relation(held->seg, &r->view.boot) != BOOT_SAME;
    rc = segment_footer(held->seg, &footer, NULL);
    if (rc == 0 && footer.base_seq == held->base_seq) {
        held->footer = footer;
        held->sealed = true;
    } else if (rc == SEGLOG_ECORRUPT) {
        held_seal_by_mark(r, held);
    } else if (rc < 0 && rc != -EAGAIN) {
        return rc;
    }
    if (!held->sealed)
        return 0;
    probe_reset(r); /* all is new from here on */
    held->gated = held->is_cold = false;
    sparse_reset(&held->sparse);
    held_limits(held);
    return at > held->end ? SEGLOG_EREWOUND : 1;
}

/* ORDER published.release (the leader's) -> published.observe: whole frames below it. */
bool held_look_gate(struct held *held)
{
    const uint64_t was = held->gate;
    const uint64_t last = held->seg->facts.space.frames_end - FRAME_ALIGN;
    uint64_t published;
    le64 bytes;

    if (!held->gated)
        return false;
    if (held->seg->base) {
        published = word_load(&segment_tail(held->seg)->published, memory_order_acquire);
    } else {
        if (file_pread(held->seg->fd, &bytes, sizeof(bytes),
                       OFF_TAIL + offsetof(struct tail_page, published)) < 0)
            return false;
        published = le64_get(&bytes);
    }
    held->gate = published < held->end ? published : held->end;
    held->limit = held->gate < last ? held->gate : last;
    return held->gate != was;
}

bool held_may_have_tag(const struct seglog_reader *r, const struct held *held)
{
    if (!(r->flags & SEGLOG_READER_TAG) || !held->sealed || held->footer_lost)
        return true;
    return tag_filter_may_have(held->footer.tag_filter, r->tag);
}

/* ---- walking -------------------------------------------------------------------------------- */

struct scan held_scan(struct held *held, uint64_t at, uint64_t seq_rel, bool check_payload)
{
    struct scan scan;

    scan_begin(&scan, &held->src, check_payload);
    scan.at = at;
    scan.seq_rel = seq_rel;
    scan.end = held->gate;
    return scan;
}

/* Read by pread while somebody writes: what is not a whole record is asked for again. */
static bool may_be_stale(const struct scan_frame *frame, int rc)
{
    if (rc == 1)
        return frame->facts.state == WORD_CLAIMED;
    return rc == SEGLOG_ECORRUPT || (rc == 0 && frame->facts.state == WORD_EMPTY);
}

int held_scan_next(struct held *held, struct scan *scan, struct scan_frame *frame)
{
    const struct scan before = *scan;
    int fresh = held->src.window_len == 0;
    int rc;

    for (;; fresh++) {
        rc = scan_next(scan, frame);
        if (held->seg->base)
            return rc;
        if (rc == -EIO || rc == -ENODATA) {
            if (fresh > 3) /* the window may reach into bad blocks that this frame does not */
                return -EIO;
        } else if (held->sealed || !may_be_stale(frame, rc)) {
            return rc;
        } else if (rc != SEGLOG_ECORRUPT ? fresh > 0 : fresh > 3) {
            source_forget(&held->src);
            held->src.window_want = PAGE_BYTES;
            return rc;
        }
        source_forget(&held->src);
        held->src.window_want = PAGE_BYTES;
        *scan = before;
    }
}

int held_look_at(const struct seglog_reader *r, struct held *held, const struct place *place,
                 struct scan *scan, struct scan_frame *frame)
{
    bool is_checked;
    int rc;

    /* Again, if the block of an archive turned out to be bad when it was unpacked for this frame. */
    do {
        is_checked = held_is_checked(r, held);
        *scan = held_scan(held, place->at, place->seq_rel, is_checked);
        rc = held_scan_next(held, scan, frame);
    } while (rc == 1 && !is_checked && held_is_checked(r, held));
    return rc;
}

int held_resync(struct held *held, struct scan *scan, uint64_t *lost)
{
    const uint64_t from = scan->at, seq_rel = scan->seq_rel;

    for (;;) {
        const int rc = scan_resync(scan, lost);

        if (rc != 1)
            return rc == -ENODATA ? -EIO : rc;
        *lost = scan->seq_rel - seq_rel;
        if (*lost <= (scan->at - from) / FRAME_ALIGN &&
            (!held->sealed || scan->seq_rel <= held->footer.next_seq - held->base_seq))
            return 1;
        scan->seq_rel = seq_rel;
        scan->bad_span = 0;
    }
}
