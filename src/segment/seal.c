/*
 * Sealing: turning a full segment into one that never changes again.
 *
 * The hard part is being killed half way. A footer is valid only as a whole, and only behind a sync
 * of everything it speaks of; until then the segment is simply full, and the next sealer begins anew.
 * ARCHITECTURE, "Crash table", rows S1 to S4.
 */
#include "segment/build.h"

#include <errno.h>
#include <stdlib.h>

#include "sys/clock.h"
#include "sys/file.h"

/* One pass over the frames. 0, or what stopped it. */
static int seal_pass(struct seal_builder *b, struct scan *scan, const struct seal_order *order,
                     struct seal_trouble *trouble)
{
    for (;;) {
        struct scan_frame frame;
        uint64_t lost;
        int rc = scan_next(scan, &frame);

        if (rc == 0 && frame.facts.state == WORD_EMPTY && scan->at < scan->end &&
            (order->flags & FOOTER_DAMAGED)) {
            scan->bad_span = 0;
            rc = SEGLOG_ECORRUPT; /* wiped */
        }
        if (rc == SEGLOG_ECORRUPT && (order->flags & FOOTER_DAMAGED)) {
            rc = scan_resync(scan, &lost);
            if (rc < 0)
                return rc;
            b->facts.next_seq += lost;
            if (rc == 0)
                return 0;
            continue;
        }
        if (rc < 0)
            return rc;
        if (rc == 0) {
            if (frame.facts.state == WORD_ROLL) {
                seal_add(b, frame.offset, frame.word, &frame.facts, NULL);
                return 0;
            }
            return order->end ? 0 : -EINVAL; /* neither rolled nor cut */
        }
        if (frame.facts.state == WORD_CLAIMED && order->cold && (order->flags & FOOTER_DAMAGED)) {
            b->facts.next_seq += frame.facts.count;
            continue;
        }
        if (frame.facts.state == WORD_CLAIMED) {
            trouble->busy = frame.offset;
            return -EBUSY;
        }
        seal_add(b, frame.offset, frame.word, &frame.facts, frame.header);
    }
}

/* Index, then footer; neither is believed before the sync that follows. */
static int seal_write(struct segment *seg, struct seal_builder *b, struct segment_footer *page)
{
    const uint64_t bytes = (uint64_t)b->facts.index_count * INDEX_ENTRY_BYTES;
    int rc;

    footer_encode(page, seg->facts.generation, &b->facts);
    rc = file_pwrite(seg->fd, b->index, bytes, b->facts.index_off);
    if (rc < 0)
        return rc;
    return file_pwrite(seg->fd, page, sizeof(*page), seg->facts.shape.footer_off);
}

static int seal_steps(struct segment *seg, const struct seal_order *order, struct seal_builder *b,
                      struct segment_footer *page, struct seal_trouble *trouble)
{
    struct source src;
    struct scan scan;
    struct mark_facts mark;
    int rc;

    source_init(&src, seg);
    scan_begin(&scan, &src, true);
    if (order->end)
        scan.end = order->end;
    seal_begin(b, &seg->facts, order->activation, order->prev, b->index);
    rc = seal_pass(b, &scan, order, trouble);
    source_free(&src);
    if (rc < 0)
        return rc;
    if ((order->flags & FOOTER_DAMAGED) && order->next_seq > b->facts.next_seq)
        b->facts.next_seq = order->next_seq;
    seal_finish(b, order->end ? order->end : seg->facts.space.frames_end, order->flags);
    b->facts.bytes_dropped = order->bytes_dropped;
    b->facts.frames_dropped = order->frames_dropped;
    b->facts.sealed_ns = clock_wall_ns();

    trouble->sync_failed = true; /* unless all goes well */
    rc = file_datasync(seg->fd);
    if (rc < 0)
        return rc;
    /* S1: frames durable, no footer. The segment is full; its marks may lag. */
    rc = seal_write(seg, b, page);
    if (rc < 0)
        return rc;
    /* S2: the footer is perhaps torn: its checksum says so, and the next sealer writes it again. */
    rc = file_datasync(seg->fd);
    if (rc < 0)
        return rc;
    /* S3: sealed. The mark below lets a later bad footer be told from an unfinished one. */
    rc = segment_mark(seg, &mark);
    rc = segment_mark_write(seg, rc == 0 ? &mark : NULL, b->facts.frames_end,
                            b->facts.next_seq - b->facts.base_seq, NULL);
    /* S4 */
    trouble->sync_failed = rc < 0;
    return rc;
}

int segment_seal(struct segment *seg, const struct seal_order *order, struct footer_facts *out,
                 struct seal_trouble *trouble)
{
    const size_t index_bytes = (size_t)seg->facts.shape.index_max * INDEX_ENTRY_BYTES;
    struct seal_builder *b = aligned_alloc(64, align_up(sizeof(*b), 64));
    struct segment_footer *page = malloc(sizeof(*page));
    struct index_entry *index = calloc(1, index_bytes);
    int rc = -ENOMEM;

    *trouble = (struct seal_trouble){0};

    if (b && page && index) {
        b->index = index;
        rc = seal_steps(seg, order, b, page, trouble);
        if (rc == 0)
            *out = b->facts;
    }
    free(index);
    free(page);
    free(b);
    return rc;
}
