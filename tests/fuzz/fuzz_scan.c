/*
 * Walking the frames of a segment: scan_next() and scan_resync() always come to an end, never look
 * outside the file, never go back, and a seal over what they found is one that is believed.
 *
 * Input: mode, then either the frames as they are (mode even) or orders of four bytes, each of which
 * writes a frame with good checksums, skips, or spoils what was written.
 */
#include "fuzz/fuzz.h"
#include "segment/scan.h"

#define SIZE SEGMENT_SIZE_MIN

/* ---- making a segment ----------------------------------------------------------------------- */

struct writer {
    const struct frame_space *space;
    uint8_t *base;
    uint64_t at;
    uint64_t seq_rel;
};

static void put_word(struct writer *w, uint64_t word)
{
    struct frame_header *header = (struct frame_header *)(void *)(w->base + w->at);
    struct word_facts facts;

    if (word_decode(w->space, w->at, word, &facts) < 0)
        return;
    word_store(&header->word, word, memory_order_relaxed);
    w->at += facts.state == WORD_ROLL ? FRAME_ALIGN : facts.span;
    w->seq_rel += facts.count;
}

static void put_data(struct writer *w, uint64_t len, uint8_t odd)
{
    struct frame_header *header = (struct frame_header *)(void *)(w->base + w->at);
    const uint64_t word = word_data(w->space, len);
    struct frame_facts facts = {.time_ns = odd, .seq_rel = (uint32_t)w->seq_rel, .tag = odd};
    struct word_facts known;

    if (word_decode(w->space, w->at, word, &known) < 0)
        return;
    if (odd == 255) /* a number far ahead of what may be */
        facts.seq_rel = UINT32_MAX;
    else if (odd > 240)
        facts.seq_rel += odd - 240;
    memset(header + 1, odd, len);
    facts.pcrc = ~crc32c(frame_seed(w->space, w->at), header + 1, len);
    frame_fill(w->space, w->at, header, word, &facts);
    put_word(w, word);
}

static void order(struct writer *w, uint64_t what, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t span = (1 + (a & 63)) * FRAME_ALIGN;

    if (w->at >= w->space->frames_end)
        return;
    switch (what % 8) {
    case 0:
    case 1:
        put_data(w, a | (b & 0xf) << 8, (uint8_t)c);
        break;
    case 2:
        put_word(w, word_claimed((uint32_t)b, 1 + (uint32_t)c, 1 + (uint32_t)(c & 3), span));
        break;
    case 3:
        put_word(w, word_checked(w->space, w->at, WORD_ABORTED, 1 + (uint32_t)(c & 3), span));
        break;
    case 4:
        put_word(w, word_checked(w->space, w->at, WORD_PAD, 0, span));
        break;
    case 5:
        put_word(w, word_checked(w->space, w->at, WORD_ROLL, 0, 0));
        break;
    case 6: /* leave a gap, as a block that never reached the disk */
        w->at += (1 + (a | b << 8) % 256) * FRAME_ALIGN;
        break;
    case 7: /* spoil something written */
        w->base[OFF_FRAMES + (a | b << 8) % (w->space->frames_end - OFF_FRAMES)] ^= (uint8_t)c;
        break;
    }
}

static void write_frames(struct segment *seg, struct input *in, uint64_t mode)
{
    struct writer w = {.space = &seg->facts.space, .base = seg->base, .at = OFF_FRAMES};

    if (!(mode & MODE_REPAIR)) {
        take(in, seg->base + OFF_FRAMES, seg->facts.shape.frames_end - OFF_FRAMES);
        return;
    }
    while (in->left >= 4) {
        uint8_t o[4];

        take(in, o, 4);
        order(&w, o[0], o[1], o[2], o[3]);
    }
}

/* ---- walking it ----------------------------------------------------------------------------- */

struct walk {
    uint64_t records;
    uint64_t voids;
    uint64_t damages;
};

static struct walk walk(struct segment *seg, bool check_payload, struct seal_builder *b)
{
    const struct frame_space *space = &seg->facts.space;
    uint64_t steps = 0, was_at;
    struct walk found = {0};
    struct source src;
    struct scan scan;

    source_init(&src, seg);
    scan_begin(&scan, &src, check_payload);
    for (;; steps++) {
        struct scan_frame frame;
        uint64_t lost;
        int rc;

        must(steps <= 2 * SIZE / FRAME_ALIGN);
        must(scan.at >= OFF_FRAMES && scan.at <= space->frames_end && scan.at % FRAME_ALIGN == 0);
        was_at = scan.at;
        rc = scan_next(&scan, &frame);
        if (rc == SEGLOG_ECORRUPT) {
            found.damages++;
            must(scan.at == was_at && scan.why != NULL);
            rc = scan_resync(&scan, &lost);
            must(rc == 0 || rc == 1);
            if (rc == 0)
                break;
            must(scan.at > was_at);
            if (b)
                b->facts.next_seq += lost;
            continue;
        }
        must(rc == 0 || rc == 1);
        if (rc == 0)
            break;
        must(scan.at > was_at);
        if (frame.facts.state == WORD_DATA) {
            must(frame.payload + frame.facts.len <= seg->base + space->frames_end);
            found.records++;
        } else {
            found.voids += frame.facts.count;
        }
        if (b && frame.facts.state != WORD_CLAIMED)
            seal_add(b, frame.offset, frame.word, &frame.facts, frame.header);
    }
    if (b)
        seal_finish(b, scan.at, 0);
    source_free(&src);
    return found;
}

static void check_seal(const struct segment *seg, struct seal_builder *b, const struct walk *found)
{
    struct segment_footer page;
    struct footer_facts f;

    must(b->facts.record_count == found->records);
    footer_encode(&page, seg->facts.generation, &b->facts);
    /* Numbers far ahead make an honest footer impossible: it must then be refused, not believed. */
    if (b->facts.next_seq - b->facts.base_seq > seg->facts.size) {
        must(footer_decode(&page, &seg->facts, &f, NULL) == SEGLOG_ECORRUPT);
        return;
    }
    must(footer_decode(&page, &seg->facts, &f, NULL) == 0);
    must(index_check(b->index, &f, &seg->facts) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);
    const struct activation_facts act = {0};
    struct segment seg = {.facts = fuzz_segment(SIZE), .access = SEGMENT_READ, .fd = -1};
    struct seal_builder *b = aligned_alloc(64, align_up(sizeof(*b), 64));
    struct index_entry index[1];
    struct walk with, without;

    must(seg.facts.shape.index_max == 1 && b != NULL);
    seg.base = calloc(1, SIZE); /* exactly the file: what is read behind it is seen */
    must(seg.base != NULL);
    write_frames(&seg, &in, mode);
    without = walk(&seg, false, NULL);
    seal_begin(b, &seg.facts, &act, NULL, index);
    b->index = index;
    b->index_max = 1;
    with = walk(&seg, true, b);
    must(with.records <= without.records);
    check_seal(&seg, b, &with);
    free(seg.base);
    free(b);
    return 0;
}
