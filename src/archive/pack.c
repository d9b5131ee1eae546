/*
 * Packing: the image of a sealed segment, in LZ4 blocks that are checked before they are written.
 *
 * The walk over the frames decides what is in the image: records whole, of everything else the first
 * word, and zeros. What it hands on is hashed as the seal hashed it, so that an archive whose hash is
 * the footer's is the segment. While one buffer of blocks is being written the next is filled; and
 * while one block is compressed and checked (press.h) the next is made.
 */
#include "archive/archive.h"

#include <errno.h>
#include <stdlib.h>

#include "archive/press.h"
#include "sys/clock.h"
#include "sys/file.h"

#define OUT_BYTES   (UINT64_C(1) << 20)
#define OUT_BUFFERS 2

struct outgoing {
    uint8_t *bytes; /* OUT_BYTES, and room for one more block */
    struct io_op op;
    struct io_chain chain;
    bool is_flying;
};

struct packer {
    const struct segment *seg;
    const struct archive_order *order;
    int fd;
    struct archive_facts facts;
    struct footer_facts footer;

    struct press press;
    uint32_t fill;   /* of the block being filled */
    uint32_t block;  /* its number */
    uint32_t packed; /* the first block that is not in a buffer */
    XXH32_state_t content;
    struct archive_entry *table;

    struct outgoing out[OUT_BUFFERS];
    unsigned filling; /* which */
    uint64_t filled;
    uint64_t at; /* of the file, where the filling one begins */

    struct seal_builder *seal;
    struct index_entry *index;
};

/* ---- writing -------------------------------------------------------------------------------- */

static int out_wait(struct packer *p, struct outgoing *out)
{
    if (!out->is_flying)
        return 0;
    out->is_flying = false;
    return io_wait(p->order->io, &out->chain);
}

/* Write what is filled, and go on in the other buffer. */
static int out_flush(struct packer *p)
{
    struct outgoing *out = &p->out[p->filling];
    int rc;

    if (p->filled == 0)
        return 0;
    out->op = (struct io_op){
        .kind = IO_WRITE, .fd = p->fd, .from = out->bytes, .len = p->filled, .offset = p->at};
    out->chain = (struct io_chain){.ops = &out->op, .count = 1};
    p->at += p->filled;
    p->filled = 0;
    if (!p->order->io)
        return io_run_here(NULL, &out->chain);
    rc = io_submit(p->order->io, &out->chain);
    if (rc < 0)
        return rc;
    out->is_flying = true;
    p->filling = (p->filling + 1) % OUT_BUFFERS;
    return out_wait(p, &p->out[p->filling]);
}

static int out_put(struct packer *p, const void *bytes, uint64_t n)
{
    const uint8_t *from = bytes;

    while (n > 0) {
        const uint64_t room = OUT_BYTES - p->filled, part = n < room ? n : room;

        memcpy(p->out[p->filling].bytes + p->filled, from, part);
        p->filled += part;
        from += part;
        n -= part;
        if (p->filled >= OUT_BYTES) {
            const int rc = out_flush(p);

            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* The oldest block of the press, into the buffer. */
static int block_take(struct packer *p)
{
    const struct press_block *block = press_take(&p->press);
    const uint32_t n = archive_stored(&block->entry);
    uint8_t *to = p->out[p->filling].bytes + p->filled;

    if (!block->is_good)
        return -EIO; /* not what was put in: memory, or the library */
    p->table[p->packed] = block->entry;
    memcpy(to, &block->entry.stored, 4);
    memcpy(to + 4, block->packed, n);
    memcpy(to + 4 + n, &block->entry.check, 4);
    p->filled += n + LZ4F_BLOCK_MORE;
    p->packed++;
    if (p->order->tick &&
        p->order->tick(p->order->context, (uint64_t)p->packed * p->facts.block_bytes))
        return -ECANCELED;
    return p->filled >= OUT_BYTES ? out_flush(p) : 0;
}

/* The block that was filled is full. */
static int block_end(struct packer *p)
{
    int rc = 0;

    XXH32_update(&p->content, press_filling(&p->press)->raw, p->fill);
    press_put(&p->press, p->fill);
    p->block++;
    p->fill = 0;
    while (rc == 0 && press_is_full(&p->press))
        rc = block_take(p);
    return rc;
}

static int blocks_finish(struct packer *p)
{
    int rc = 0;

    while (rc == 0 && !press_is_empty(&p->press))
        rc = block_take(p);
    return rc;
}

/* n bytes of the image; NULL: zeros. */
static int image_put(struct packer *p, const void *bytes, uint64_t n)
{
    const uint8_t *from = bytes;
    int rc = 0;

    while (n > 0 && rc == 0) {
        const uint32_t room = archive_block_len(&p->facts, p->block) - p->fill;
        const uint32_t part = n < room ? (uint32_t)n : room;

        uint8_t *to = press_filling(&p->press)->raw + p->fill;

        if (from)
            memcpy(to, from, part);
        else
            memset(to, 0, part);
        from = from ? from + part : NULL;
        p->fill += part;
        n -= part;
        if (part == room)
            rc = block_end(p);
    }
    return rc;
}

/* Where in the image we are. */
static uint64_t image_at(const struct packer *p)
{
    return (uint64_t)p->block * p->facts.block_bytes + p->fill;
}

static int image_zeros_to(struct packer *p, uint64_t offset)
{
    return image_put(p, NULL, offset - image_at(p));
}

/* Bytes as they are in the segment. */
static int image_copy_to(struct packer *p, uint64_t offset)
{
    uint8_t bytes[PAGE_BYTES];
    int rc = 0;

    while (rc == 0 && image_at(p) < offset) {
        const uint64_t rest = offset - image_at(p);
        const uint64_t n = rest < sizeof(bytes) ? rest : sizeof(bytes);

        rc = segment_pread(p->seg, bytes, n, image_at(p));
        if (rc == 0)
            rc = image_put(p, bytes, n);
    }
    return rc;
}

/* ---- frames --------------------------------------------------------------------------------- */

static int frame_put(struct packer *p, const struct scan_frame *frame, uint64_t end)
{
    le64 word;
    int rc;

    le64_put(&word, frame->word);
    if (frame->facts.state == WORD_DATA)
        rc = image_put(p, frame->header, FRAME_HEADER + frame->facts.len);
    else
        rc = image_put(p, &word, sizeof(word));
    return rc < 0 ? rc : image_zeros_to(p, end);
}

/* Sealed around damage: the bad stretch stays as it is, as evidence. 1: on behind it; 0: none is. */
static int damage_put(struct packer *p, struct scan *scan)
{
    uint64_t lost;
    int rc, found = scan_resync(scan, &lost);

    if (found < 0)
        return found;
    rc = image_copy_to(p, found == 1 ? scan->at : scan->end);
    p->seal->facts.next_seq += lost;
    return rc < 0 ? rc : found;
}

/* As the seal's own pass went: what it took for bad is bad here. */
static int frames_walk(struct packer *p, struct scan *scan)
{
    const bool is_damaged = (p->footer.flags & FOOTER_DAMAGED) != 0;

    for (;;) {
        struct scan_frame frame;
        int rc = scan_next(scan, &frame);

        if (rc == 0 && frame.facts.state == WORD_EMPTY && scan->at < scan->end && is_damaged) {
            scan->bad_span = 0;
            rc = SEGLOG_ECORRUPT;
        }
        if (rc == SEGLOG_ECORRUPT && is_damaged) {
            rc = damage_put(p, scan);
            if (rc <= 0)
                return rc;
            continue;
        }
        if (rc < 0)
            return rc;
        if (rc == 0) {
            if (frame.facts.state != WORD_ROLL)
                return 0;
            seal_add(p->seal, frame.offset, frame.word, &frame.facts, NULL);
            return frame_put(p, &frame, p->seg->facts.space.frames_end);
        }
        if (frame.facts.state == WORD_CLAIMED && !is_damaged)
            return SEGLOG_ECORRUPT;
        if (frame.facts.state == WORD_CLAIMED)
            p->seal->facts.next_seq += frame.facts.count;
        else
            seal_add(p->seal, frame.offset, frame.word, &frame.facts, frame.header);
        rc = frame_put(p, &frame, scan->at);
        if (rc < 0)
            return rc;
    }
}

static int frames_put(struct packer *p)
{
    const struct activation_facts act = {.base_seq = p->footer.base_seq, .epoch = p->footer.epoch};
    struct source src;
    struct scan scan;
    int rc;

    source_init(&src, p->seg);
    /* The hash over all of it tells more than the payloads' own checksums; but around damage it was
     * those that decided. */
    scan_begin(&scan, &src, (p->footer.flags & FOOTER_DAMAGED) != 0);
    scan.end = p->footer.frames_end;
    seal_begin(p->seal, &p->seg->facts, &act, NULL, p->index);
    rc = frames_walk(p, &scan);
    source_free(&src);
    if (rc < 0)
        return rc;
    seal_finish(p->seal, p->footer.frames_end, p->footer.flags);
    if (memcmp(p->seal->facts.content_hash, p->footer.content_hash, 16) != 0 ||
        p->seal->facts.index_count != p->footer.index_count ||
        p->seal->facts.index_crc != p->footer.index_crc)
        return SEGLOG_ECORRUPT;
    return 0;
}

/* ---- the file ------------------------------------------------------------------------------- */

/* From the beginning of the file to the first frame's offset in the image. */
static int head_put(struct packer *p)
{
    union {
        struct segment_header header;
        struct archive_header outer;
        uint8_t bytes[PAGE_BYTES];
    } page;
    uint8_t head[LZ4F_HEAD_BYTES], activation[sizeof(struct activation_block)];
    int rc = segment_pread(p->seg, activation, sizeof(activation), OFF_ACTIVATION);

    if (rc < 0)
        return rc;
    archive_header_encode(&page.outer, &p->facts, activation);
    archive_lz4_head(head, &p->facts);
    rc = out_put(p, &page, sizeof(page));
    if (rc == 0)
        rc = out_put(p, head, sizeof(head));
    if (rc == 0)
        rc = segment_pread(p->seg, &page, sizeof(page), OFF_HEADER);
    if (rc == 0)
        rc = image_put(p, &page, sizeof(page));
    if (rc == 0)
        rc = image_put(p, activation, sizeof(activation));
    return rc < 0 ? rc : image_zeros_to(p, OFF_FRAMES);
}

/* The image's end, and what lies behind the LZ4 frame. */
static int tail_put(struct packer *p)
{
    const uint64_t index_bytes = (uint64_t)p->footer.index_count * INDEX_ENTRY_BYTES;
    uint8_t head[LZ4F_SKIP_BYTES];
    le32 end_mark[2] = {{{0}}};
    struct segment_footer footer;
    struct archive_end end;
    int rc = image_zeros_to(p, p->seg->facts.shape.index_off);

    if (rc == 0)
        rc = image_put(p, p->index, index_bytes);
    if (rc == 0)
        rc = image_zeros_to(p, p->seg->facts.shape.footer_off);
    if (rc == 0)
        rc = segment_pread(p->seg, &footer, sizeof(footer), p->seg->facts.shape.footer_off);
    if (rc == 0)
        rc = image_put(p, &footer, sizeof(footer));
    if (rc == 0)
        rc = blocks_finish(p);
    static_assert(sizeof(end_mark) == LZ4F_END_BYTES, "a size of zero, a checksum");
    le32_put(&end_mark[1], XXH32_digest(&p->content));
    if (rc == 0)
        rc = out_put(p, end_mark, sizeof(end_mark));
    if (rc < 0)
        return rc;
    p->facts.table_off = p->at + p->filled;
    p->facts.index_count = p->footer.index_count;
    p->facts.table_crc = ~crc32c(~0u, p->table, p->facts.block_count * sizeof(*p->table));
    p->facts.file_size = archive_end_at(&p->facts) + sizeof(end);
    archive_tail_head(head, &p->facts);
    archive_end_encode(&end, &p->facts);
    rc = out_put(p, head, sizeof(head));
    if (rc == 0)
        rc = out_put(p, p->table, p->facts.block_count * sizeof(*p->table));
    if (rc == 0)
        rc = out_put(p, p->index, index_bytes);
    if (rc == 0)
        rc = out_put(p, &footer, sizeof(footer));
    return rc < 0 ? rc : out_put(p, &end, sizeof(end));
}

/* Everything is with the kernel: let it be on the disk. */
static int file_finish(struct packer *p)
{
    struct io_op sync = {.kind = IO_DATASYNC, .fd = p->fd};
    struct io_chain chain = {.ops = &sync, .count = 1};
    int rc = out_flush(p);

    for (unsigned i = 0; i < OUT_BUFFERS; i++) {
        const int waited = out_wait(p, &p->out[i]);

        rc = rc < 0 ? rc : waited;
    }
    if (rc < 0)
        return rc;
    return p->order->io ? io_run(p->order->io, &chain) : io_run_here(NULL, &chain);
}

static int pack_all(struct packer *p)
{
    int rc = head_put(p);

    if (rc == 0)
        rc = frames_put(p);
    if (rc == 0)
        rc = tail_put(p);
    return rc < 0 ? rc : file_finish(p);
}

/* ---- memory --------------------------------------------------------------------------------- */

static void packer_free(struct packer *p)
{
    press_stop(&p->press);
    for (unsigned i = 0; i < OUT_BUFFERS; i++) {
        (void)out_wait(p, &p->out[i]);
        free(p->out[i].bytes);
    }
    free(p->table);
    free(p->seal);
    free(p->index);
}

static int packer_make(struct packer *p)
{
    const uint32_t block = p->facts.block_bytes;
    bool is_made = true;

    for (unsigned i = 0; i < OUT_BUFFERS; i++) {
        p->out[i].bytes = malloc(OUT_BYTES + block + LZ4F_BLOCK_MORE);
        is_made = is_made && p->out[i].bytes;
    }
    p->table = calloc(p->facts.block_count, sizeof(*p->table));
    p->seal = aligned_alloc(64, align_up(sizeof(*p->seal), 64));
    p->index = calloc(p->seg->facts.shape.index_max, sizeof(*p->index));
    if (!is_made || !p->table || !p->seal || !p->index)
        return -ENOMEM;
    return press_start(&p->press, p->order->level, block);
}

int archive_pack(const struct segment *seg, const struct archive_order *order, int fd,
                 struct archive_result *out)
{
    struct packer p = {.seg = seg, .order = order, .fd = fd};
    int rc = segment_footer(seg, &p.footer, NULL);

    if (rc < 0)
        return rc;
    XXH32_reset(&p.content, 0);
    p.facts.segment = seg->facts;
    p.facts.archived_ns = clock_wall_ns();
    p.facts.block_bytes = archive_block_bytes(seg->facts.size, order->level >= ARCHIVE_LEVEL_HC);
    p.facts.block_count = archive_block_count(&p.facts);
    rc = packer_make(&p);
    if (rc == 0)
        rc = pack_all(&p);
    packer_free(&p);
    if (rc < 0)
        return rc;
    *out = (struct archive_result){.file_size = p.facts.file_size, .segment_size = seg->facts.size};
    return 0;
}
