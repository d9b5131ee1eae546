/*
 * Sealing: turning a full segment into one that never changes again.
 *
 * The hard part is being killed half way. A footer is valid only as a whole, and only behind a sync
 * of everything it speaks of; until then the segment is simply full, and the next sealer begins anew.
 * So a seal is first worked out, and then written by one linked chain of operations, of which each
 * begins only when the one before has succeeded. ARCHITECTURE, "Crash table", rows S1 to S4.
 */
#include "segment/build.h"

#include <errno.h>
#include <stdlib.h>

#include "sys/clock.h"

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

static int seal_compute(struct segment *seg, const struct seal_order *order, struct seal_builder *b,
                        struct seal_trouble *trouble)
{
    struct source src;
    struct scan scan;
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
    return 0;
}

static struct io_op write_op(int fd, const void *from, uint64_t len, uint64_t offset)
{
    return (struct io_op){.kind = IO_WRITE, .fd = fd, .from = from, .len = len, .offset = offset};
}

/* What is to be done, in order. Where it stops, or is cut, the state is that of the line above. */
static void seal_plan(struct seal_work *work, const struct segment *seg,
                      const struct seal_order *order)
{
    struct footer_facts *facts = &work->builder->facts;
    const uint64_t index_bytes = (uint64_t)facts->index_count * INDEX_ENTRY_BYTES;
    const struct io_op sync = {.kind = IO_DATASYNC,
                               .fd = order->opened_before ? order->opened_before->fd : seg->fd};
    struct mark_facts last, next;
    const bool marked = segment_mark(seg, &last) == 0;
    uint64_t mark_at;

    footer_encode(work->page, seg->facts.generation, facts);
    segment_mark_next(seg, marked ? &last : NULL, facts->frames_end,
                      facts->next_seq - facts->base_seq, &next, &work->mark, &mark_at);
    work->ops[SEAL_WRITE_INDEX] = write_op(seg->fd, work->index, index_bytes, facts->index_off);
    work->ops[SEAL_SYNC_FRAMES] = sync;
    /* S1: frames and index durable, no footer. The segment is full; its marks may lag. The index
     * belongs before this sync: a footer may reach the disk before what was written with it. */
    work->ops[SEAL_WRITE_FOOTER] =
        write_op(seg->fd, work->page, sizeof(*work->page), seg->facts.shape.footer_off);
    /* S2: the footer is perhaps torn: its checksum says so, and the next sealer writes it again. */
    work->ops[SEAL_SYNC_FOOTER] = sync;
    /* S3: sealed. The mark below lets a later bad footer be told from an unfinished one. */
    work->ops[SEAL_WRITE_MARK] = write_op(seg->fd, &work->mark, sizeof(work->mark), mark_at);
    /* S4 */
    work->chain = (struct io_chain){.ops = work->ops, .count = SEAL_STEPS, .linked = true};
}

static void work_free(struct seal_work *work)
{
    if (!work)
        return;
    free(work->index);
    free(work->page);
    free(work->builder);
    free(work);
}

static struct seal_work *work_new(const struct segment *seg)
{
    struct seal_work *work = calloc(1, sizeof(*work));

    if (!work)
        return NULL;
    work->builder = aligned_alloc(64, align_up(sizeof(*work->builder), 64));
    work->page = malloc(sizeof(*work->page));
    work->index = calloc(seg->facts.shape.index_max, INDEX_ENTRY_BYTES);
    if (!work->builder || !work->page || !work->index) {
        work_free(work);
        return NULL;
    }
    work->builder->index = work->index;
    return work;
}

int segment_seal_begin(struct segment *seg, const struct seal_order *order, struct seal_work **out,
                       struct seal_trouble *trouble)
{
    struct seal_work *work = work_new(seg);
    int rc;

    *trouble = (struct seal_trouble){0};
    if (!work)
        return -ENOMEM;
    rc = seal_compute(seg, order, work->builder, trouble);
    if (rc < 0) {
        work_free(work);
        return rc;
    }
    seal_plan(work, seg, order);
    *out = work;
    return 0;
}

int segment_seal_end(struct seal_work *work, struct footer_facts *facts,
                     struct seal_trouble *trouble)
{
    const bool was_run = work->chain.is_done;
    const int rc = was_run ? work->chain.status : -ECANCELED;

    trouble->sync_failed = was_run && rc < 0;
    if (rc == 0)
        *facts = work->builder->facts;
    work_free(work);
    return rc;
}

int segment_seal(struct segment *seg, const struct seal_order *order, struct footer_facts *out,
                 struct seal_trouble *trouble)
{
    struct seal_work *work;
    const int rc = segment_seal_begin(seg, order, &work, trouble);

    if (rc < 0)
        return rc;
    (void)io_run_here(NULL, &work->chain);
    return segment_seal_end(work, out, trouble);
}
