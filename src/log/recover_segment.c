/*
 * Recovery of one segment: what its frames say, and where they end.
 *
 * Same boot: only processes died. Memory is what it was, so nothing published is dropped; claims of
 * the dead (everybody is: we are alone) become void; a bad frame is damage, and is gone around. So is
 * an empty word that frames lie behind: to append there would write over them.
 *
 * Cold (after a reboot, or a copy): pages reached the disk in any order. Up to the durable mark a bad
 * frame is damage, to be kept and reported; from there on the first bad frame is the ordinary end of
 * a log after a power cut, whatever good frames follow. Nothing is zeroed in place: the segment is
 * sealed at the cut and the log goes on in a new one.
 */
#include "log/recover.h"
#include "log/order.h"

#include <errno.h>
#include <stdlib.h>

/* How far behind an empty word to look for frames that nobody's tail word speaks of. */
#define BEYOND_BYTES (UINT64_C(64) << 10)

/* Read everything once; `payload`: check it all. `at` may start late. */
struct reading {
    struct source src;
    struct scan scan;
    struct scan_frame frame;
    bool damaged;
};

static void reading_begin(struct reading *rd, const struct segment *seg, bool payload)
{
    source_init(&rd->src, seg);
    scan_begin(&rd->scan, &rd->src, payload);
    rd->damaged = false;
}

int recover_is_zero(const struct segment *seg, uint64_t from, uint64_t to)
{
    struct source src;
    int rc = 0;

    source_init(&src, seg);
    while (rc == 0 && from < to) {
        const uint64_t n = to - from < 65536 ? to - from : 65536;
        const uint8_t *bytes;

        rc = source_get(&src, from, n, &bytes);
        if (rc == 0 && !bytes_are_zero(bytes, n)) {
            source_free(&src);
            return 0;
        }
        from += n;
    }
    source_free(&src);
    return rc < 0 ? rc : 1;
}

/* ---- same boot ------------------------------------------------------------------------------ */

/*
 * Damage with nothing good behind it: the log goes on in the next segment, as far as anybody knows
 * the numbers. The seal comes in its turn, and takes the last number from there.
 */
static int same_boot_dead_end(struct recovering *r, struct segment *seg, const struct scan *scan)
{
    const uint64_t hint = word_load(&segment_tail(seg)->tail, memory_order_relaxed);
    uint64_t seq_rel = scan->seq_rel;

    if (tail_offset(hint) > scan->at && tail_seq_rel(hint) > seq_rel)
        seq_rel = tail_seq_rel(hint);
    r->act.base_seq += seq_rel;
    return RECOVER_ROLLED;
}

/*
 * The walk stands at an empty word. What was there once? Frames up to the tail word, which moves only
 * behind a claim; and perhaps some that were published just before everybody died.
 * SEGLOG_ECORRUPT: this is no end, but a place that was wiped; 0: the end.
 */
static int same_boot_end(const struct segment *seg, const struct scan *scan)
{
    const uint64_t hint = word_load(&segment_tail(seg)->tail, memory_order_relaxed);
    struct scan beyond = *scan;
    uint64_t lost;
    int rc;

    if (tail_offset(hint) > scan->at && span_fits(&seg->facts.space, tail_offset(hint), 0))
        return SEGLOG_ECORRUPT;
    if (scan->end - scan->at > BEYOND_BYTES)
        beyond.end = scan->at + BEYOND_BYTES;
    beyond.bad_span = 0;
    rc = scan_resync(&beyond, &lost);
    return rc == 1 ? SEGLOG_ECORRUPT : rc;
}

int recover_segment_same_boot(struct recovering *r, struct segment *seg)
{
    const uint64_t checkpoint = checkpoint_load(segment_tail(seg), &seg->facts.space);
    struct reading rd;

    reading_begin(&rd, seg, false);
    if (checkpoint != 0) {
        rd.scan.at = tail_offset(checkpoint);
        rd.scan.seq_rel = tail_seq_rel(checkpoint);
    }
    for (;;) {
        uint64_t lost;
        int rc = scan_next(&rd.scan, &rd.frame);

        if (rc == 0 && rd.frame.facts.state == WORD_EMPTY && rd.scan.at < rd.scan.end) {
            rc = same_boot_end(seg, &rd.scan);
            rd.scan.bad_span = 0;
        }
        if (rc == SEGLOG_ECORRUPT) {
            rc = scan_resync(&rd.scan, &lost);
            if (rc == 0)
                return same_boot_dead_end(r, seg, &rd.scan);
            if (rc == 1)
                continue;
        }
        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        if (rd.frame.facts.state == WORD_CLAIMED) {
            word_resolve(&segment_frame(seg, rd.frame.offset)->word, rd.frame.word,
                         word_checked(&seg->facts.space, rd.frame.offset, WORD_ABORTED,
                                      rd.frame.facts.count, rd.frame.facts.span));
            r->log->recovery.claims_aborted++;
        }
    }
    word_store(&segment_tail(seg)->tail, tail_word(rd.scan.seq_rel, rd.scan.at),
               memory_order_relaxed);
    checkpoint_store(segment_tail(seg), &seg->facts.space, tail_word(rd.scan.seq_rel, rd.scan.at));
    r->act.base_seq += rd.scan.seq_rel;
    return rd.frame.facts.state == WORD_ROLL ? RECOVER_ROLLED : RECOVER_ACTIVE;
}

/* ---- cold ----------------------------------------------------------------------------------- */

int recover_count_frames(const struct segment *seg, uint64_t from, uint64_t seq_rel, uint64_t *last)
{
    struct reading rd;
    uint64_t lost;
    int rc = 0, frames = 0;

    *last = from;
    reading_begin(&rd, seg, true);
    rd.scan.at = from;
    rd.scan.seq_rel = seq_rel;
    while (rd.scan.at < rd.scan.end) {
        rc = scan_next(&rd.scan, &rd.frame);
        if (rc == 1 && rd.frame.facts.state == WORD_DATA) {
            frames++;
            *last = rd.scan.at;
        }
        if (rc == 1)
            continue;
        if (rc == SEGLOG_ECORRUPT || rc == 0)
            rc = scan_resync(&rd.scan, &lost);
        if (rc <= 0)
            break;
    }
    source_free(&rd.src);
    return rc < 0 ? rc : frames;
}

/* Behind *last, the frame units where there are bytes at all: *last becomes the end of the last one.
 * Backwards in large steps: a cut may leave most of a segment empty. */
static int find_last_byte(const struct segment *seg, uint64_t *last)
{
    static const uint64_t step = UINT64_C(1) << 16;
    uint64_t to = seg->facts.shape.frames_end;
    struct source src;
    int rc = 0;

    source_init(&src, seg);
    while (rc == 0 && to > *last) {
        const uint64_t from = to - *last > step ? to - step : *last;
        const uint8_t *bytes;

        src.window_want = to - from; /* and nothing of what was looked at already */
        rc = source_get(&src, from, to - from, &bytes);
        if (rc == 0 && bytes_are_zero(bytes, to - from)) {
            to = from;
            continue;
        }
        while (rc == 0 && bytes_are_zero(bytes + (to - from) - FRAME_ALIGN, FRAME_ALIGN))
            to -= FRAME_ALIGN;
        break;
    }
    source_free(&src);
    *last = to;
    return rc;
}

/* What lies beyond a cut, for the report: good frames, and up to where there are bytes at all. Of a
 * recycled file only what is its own counts. */
static int count_dropped(struct segment *seg, uint64_t cut, uint64_t seq_rel, uint64_t *bytes,
                         uint64_t *frames)
{
    uint64_t last;
    int rc = recover_count_frames(seg, cut, seq_rel, &last);

    if (rc > 0)
        *frames += (uint64_t)rc;
    if (rc >= 0 && !seg->facts.recycled)
        rc = find_last_byte(seg, &last);
    *bytes = last - cut;
    return rc < 0 ? rc : 0;
}

static int cold_seal(struct recovering *r, struct segment *seg, struct seal_order *order)
{
    struct footer_facts prev, footer;
    struct seal_trouble trouble = {.sync_failed =
                                       true}; /* that of the directory, until the seal's */
    struct segment *before;
    int rc = -ENOENT;

    order->activation = &r->act;
    order->cold = true;
    if (seg->facts.number > 0)
        rc = segment_open(r->log->view.dirfd, seg->facts.number - 1, seg->facts.uuid, SEGMENT_PREAD,
                          &before, NULL);
    if (rc == 0) {
        rc = segment_footer(before, &prev, NULL);
        segment_close(before);
        order->prev = rc == 0 ? &prev : NULL;
    }
    rc = dir_sync(r->log->view.dirfd);
    if (rc == 0)
        rc = segment_seal(seg, order, &footer, &trouble);
    if (rc < 0) {
        /* A second try could find in the page cache what never reached the disk. */
        if (trouble.sync_failed)
            log_poison(r->log, rc);
        return rc;
    }
    r->act.base_seq = footer.next_seq;
    r->act.pred_generation = seg->facts.generation;
    r->durable_seq = footer.next_seq;
    return 0;
}

static int cold_cut(struct recovering *r, struct segment *seg, struct reading *rd)
{
    struct seglog_recovery *report = &r->log->recovery;
    struct seal_order order = {.end = rd->scan.at,
                               .flags = FOOTER_TORN | (rd->damaged ? FOOTER_DAMAGED : 0)};
    int rc = count_dropped(seg, rd->scan.at, rd->scan.seq_rel, &order.bytes_dropped,
                           &order.frames_dropped);

    if (rc < 0)
        return rc;
    report->bytes_dropped = order.bytes_dropped;
    report->frames_dropped = order.frames_dropped;
    report->cut_segment = seg->facts.number;
    report->cut_offset = rd->scan.at;
    rc = cold_seal(r, seg, &order);
    return rc < 0 ? rc : RECOVER_CUT;
}

/* The frames end in nothing. Is that the end of the log, or only of what reached the disk? */
static int cold_end(struct recovering *r, struct segment *seg, struct reading *rd)
{
    struct boot_mark mark;
    struct boot_facts now = r->log->view.boot;
    le64 tail;
    int rc = recover_is_zero(seg, rd->scan.at, seg->facts.shape.footer_off + PAGE_BYTES);

    if (rc < 0)
        return rc;
    if (rc == 0 || rd->damaged || recover_has_later(r, seg->facts.number))
        return cold_cut(r, seg, rd);
    now.dev = seg->dev;
    now.ino = seg->ino;
    boot_mark_encode(&mark, &now);
    le64_put(&tail, tail_word(rd->scan.seq_rel, rd->scan.at));
    /* The hot words first: the boot mark is what makes them believed. */
    rc = file_pwrite(seg->fd, &tail, sizeof(tail), OFF_TAIL + offsetof(struct tail_page, tail));
    if (rc == 0) {
        static const uint8_t zero[16];
        rc = file_pwrite(seg->fd, zero, sizeof(zero),
                         OFF_TAIL + offsetof(struct tail_page, checkpoint));
    }
    if (rc == 0)
        rc = file_pwrite(seg->fd, &mark, sizeof(mark), OFF_TAIL + offsetof(struct tail_page, boot));
    r->act.base_seq += rd->scan.seq_rel;
    return rc < 0 ? rc : RECOVER_ACTIVE;
}

/* One step of the reading. 1 go on; 0 the end (rd->frame tells which); 2 cut here. */
static int cold_step(struct recovering *r, struct segment *seg, struct reading *rd,
                     enum boot_relation relation, uint64_t durable)
{
    uint64_t lost;
    const uint64_t at = rd->scan.at, seq_rel = rd->scan.seq_rel;
    int rc = scan_next(&rd->scan, &rd->frame);

    if (rc == SEGLOG_ECORRUPT || (rc == 0 && rd->frame.facts.state == WORD_EMPTY)) {
        if (rd->scan.at >= durable)
            return rc == 0 ? 0 : 2;
        /* It was durable once: damage. Keep what is good behind it. */
        rd->damaged = true;
        rd->scan.bad_span = rc == 0 ? 0 : rd->scan.bad_span;
        rc = scan_resync(&rd->scan, &lost);
        return rc == 0 ? 2 : rc;
    }
    if (rc == 1 && rd->frame.facts.state == WORD_CLAIMED) {
        if (relation == BOOT_UNKNOWN) {
            rc = segment_abort_claim(r->log->view.dirfd, seg, rd->frame.offset, rd->frame.word);
            source_forget(&rd->src);
            r->log->recovery.claims_aborted++;
            return rc < 0 ? rc : 1;
        }
        if (at < durable) {
            /* A mark lies behind no open claim: one turned bit makes this of an ABORTED word. What it
             * says of its length is tried, and what comes next is checked as always. */
            rd->damaged = true;
            return 1;
        }
        rd->scan.at = at;
        rd->scan.seq_rel = seq_rel;
        return 2;
    }
    return rc;
}

/*
 * Damage below what was once durable, and nothing good behind it in this segment. Nothing durable is
 * cut off: the numbers up to the mark (or the next segment) are lost and said to be.
 */
static int cold_dead_end(struct recovering *r, struct segment *seg, const struct mark_facts *mark)
{
    struct seal_order order = {.end = mark->offset, .flags = FOOTER_DAMAGED};
    struct activation_facts next;
    int rc = recover_next_activation(r, seg, &next);

    if (rc < 0)
        return rc;
    if (rc == 0) { /* where what is durable goes on cannot be told: no place to cut, nor to go on */
        const int durable = recover_later_is_durable(r, seg->facts.number);
        if (durable != 0)
            return durable < 0 ? durable : SEGLOG_ECORRUPT;
    }
    order.next_seq = rc == 1 ? next.base_seq : r->act.base_seq + mark->seq_rel;
    if (rc == 0)
        order.flags |= FOOTER_TORN;
    rc = cold_seal(r, seg, &order);
    return rc < 0 ? rc : (order.flags & FOOTER_TORN) ? RECOVER_CUT : RECOVER_ROLLED;
}

/* How far frames of this segment were once durable: its mark, or, if a later segment has one, all. */
static int cold_durable(struct recovering *r, struct segment *seg, struct mark_facts *mark)
{
    int rc = segment_mark(seg, mark);

    if (rc == -EAGAIN) {
        *mark = (struct mark_facts){0};
        rc = 0;
    }
    if (rc < 0)
        return rc;
    rc = recover_later_is_durable(r, seg->facts.number);
    if (rc == 1)
        mark->offset = seg->facts.space.frames_end;
    return rc < 0 ? rc : 0;
}

int recover_segment_cold(struct recovering *r, struct segment *seg, enum boot_relation relation)
{
    struct mark_facts mark;
    struct reading rd;
    int rc = cold_durable(r, seg, &mark);

    if (rc < 0)
        return rc;
    reading_begin(&rd, seg, true);
    do {
        rc = cold_step(r, seg, &rd, relation, mark.offset);
    } while (rc == 1);
    if (rc == 2 && rd.scan.at < mark.offset) {
        rc = cold_dead_end(r, seg, &mark);
    } else if (rc == 2) {
        rc = cold_cut(r, seg, &rd);
    } else if (rc == 0 && rd.frame.facts.state == WORD_ROLL) {
        struct seal_order order = {.flags = rd.damaged ? FOOTER_DAMAGED : 0};

        if (rd.damaged)
            order.next_seq = r->act.base_seq + rd.scan.seq_rel;
        rc = cold_seal(r, seg, &order);
        rc = rc < 0 ? rc : RECOVER_ROLLED;
    } else if (rc == 0) {
        rc = cold_end(r, seg, &rd);
    }
    source_free(&rd.src);
    return rc;
}
