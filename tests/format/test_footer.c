/*
 * Footers: what a seal says of a segment, its index, its chain, its tag filter.
 */
#include "format/footer.h"

#include "bits.h"

#define FRAMES_MAX 4096

/* A segment's frames in memory, and the seal over them. */
struct sealed {
    struct segment_facts seg;
    struct activation_facts act;
    uint8_t *base; /* the file, as far as the frames reach */
    uint64_t at;
    uint64_t seq_rel;
    struct {
        uint64_t offset;
        uint64_t word;
        struct word_facts facts;
    } frames[FRAMES_MAX];
    size_t count;
    struct index_entry *index;
    struct footer_facts footer;
    struct segment_footer page;
};

static struct sealed *sealed_new(uint64_t size)
{
    struct sealed *s = calloc(1, sizeof(*s));

    cr_assert(s != NULL);
    s->seg = segment_of(size);
    s->act = (struct activation_facts){.base_seq = 1000, .epoch = 2, .pred_generation = 5};
    s->base = aligned_alloc(4096, size);
    s->index = calloc(s->seg.shape.index_max, sizeof(*s->index));
    cr_assert(s->base && s->index);
    memset(s->base, 0, size);
    s->at = OFF_FRAMES;
    return s;
}

static void sealed_free(struct sealed *s)
{
    free(s->base);
    free(s->index);
    free(s);
}

static struct frame_header *frame_of(struct sealed *s, uint64_t offset)
{
    return (struct frame_header *)(void *)(s->base + offset);
}

static void put(struct sealed *s, uint64_t word)
{
    struct word_facts facts;

    cr_assert_ok(word_decode(&s->seg.space, s->at, word, &facts));
    cr_assert_lt(s->count, FRAMES_MAX);
    word_store(&frame_of(s, s->at)->word, word, memory_order_relaxed);
    s->frames[s->count].offset = s->at;
    s->frames[s->count].word = word;
    s->frames[s->count].facts = facts;
    s->count++;
    s->at += facts.span;
    s->seq_rel += facts.count;
}

static void put_data(struct sealed *s, uint64_t len, uint64_t time_ns, uint32_t tag)
{
    struct frame_header *header = frame_of(s, s->at);
    struct frame_facts facts = {.time_ns = time_ns, .seq_rel = (uint32_t)s->seq_rel, .tag = tag};
    const uint64_t word = word_data(&s->seg.space, len);

    memset(header + 1, (int)(s->seq_rel % 251 + 1), len);
    facts.pcrc = ~crc32c(frame_seed(&s->seg.space, s->at), header + 1, len);
    frame_fill(&s->seg.space, s->at, header, word, &facts);
    put(s, word);
}

static void put_void(struct sealed *s, enum word_state state, uint32_t count, uint64_t span)
{
    put(s, word_checked(&s->seg.space, s->at, state, count, span));
}

static void seal(struct sealed *s, const struct footer_facts *prev, uint32_t flags)
{
    struct seal_builder *b = aligned_alloc(64, align_up(sizeof(*b), 64));

    cr_assert(b != NULL);
    seal_begin(b, &s->seg, &s->act, prev, s->index);
    b->index = s->index;
    b->index_max = s->seg.shape.index_max;
    for (size_t i = 0; i < s->count; i++)
        seal_add(b, s->frames[i].offset, s->frames[i].word, &s->frames[i].facts,
                 s->frames[i].facts.state == WORD_DATA ? frame_of(s, s->frames[i].offset) : NULL);
    seal_finish(b, s->at, flags);
    b->facts.sealed_ns = 99;
    footer_encode(&s->page, s->seg.generation, &b->facts);
    s->footer = b->facts;
    free(b);
}

/* A bit of everything. */
static struct sealed *some_sealed(void)
{
    struct sealed *s = sealed_new(SEGMENT_SIZE_MIN);

    put_data(s, 10, 500, 1);
    put_data(s, 100, 300, 2);
    put_void(s, WORD_ABORTED, 3, 128);
    put_void(s, WORD_PAD, 0, 64);
    put_data(s, 0, 900, UINT32_MAX);
    put_data(s, 33, 700, 2);
    put_void(s, WORD_ROLL, 0, 0);
    seal(s, NULL, 0);
    return s;
}

/* ---- what it says --------------------------------------------------------------------------- */

Test(footer, counts_and_ranges_are_those_of_the_frames)
{
    struct sealed *s = some_sealed();
    struct footer_facts f;

    cr_assert_ok(footer_decode(&s->page, &s->seg, &f, NULL));
    cr_assert_eq(f.number, s->seg.number);
    cr_assert_eq(f.base_seq, 1000);
    cr_assert_eq(f.next_seq, 1007);
    cr_assert_eq(f.epoch, 2);
    cr_assert_eq(f.frames_end, s->seg.shape.frames_end);
    cr_assert_eq(f.frame_count, 7);
    cr_assert_eq(f.record_count, 4);
    cr_assert_eq(f.void_count, 3);
    cr_assert_eq(f.payload_bytes, 143);
    cr_assert_eq(f.min_time, 300);
    cr_assert_eq(f.max_time, 900);
    cr_assert_eq(f.first_time, 500);
    cr_assert_eq(f.last_time, 700);
    cr_assert_eq(f.log_max_time, 900);
    cr_assert_eq(f.sealed_ns, 99);
    cr_assert_eq(f.index_count, 1);
    cr_assert_eq(f.index_off, s->seg.shape.index_off);
    cr_assert(bytes_are_zero(f.prev_seal, 16));
    cr_assert(!bytes_are_zero(f.seal_hash, 16));
    cr_assert_arr_eq(f.seal_hash, s->footer.seal_hash, 16);
    cr_assert(tag_filter_may_have(f.tag_filter, 1) && tag_filter_may_have(f.tag_filter, 2) &&
              tag_filter_may_have(f.tag_filter, UINT32_MAX));
    cr_assert_ok(index_check(s->index, &f, &s->seg));
    sealed_free(s);
}

Test(footer, of_no_records_has_no_times)
{
    struct sealed *s = sealed_new(SEGMENT_SIZE_MIN);
    const struct footer_facts prev = {.log_max_time = 42};
    struct footer_facts f;

    put_void(s, WORD_ABORTED, 2, 64);
    put_void(s, WORD_ROLL, 0, 0);
    seal(s, &prev, 0);
    cr_assert_ok(footer_decode(&s->page, &s->seg, &f, NULL));
    cr_assert(f.min_time == 0 && f.max_time == 0 && f.record_count == 0 && f.void_count == 2);
    cr_assert_eq(f.log_max_time, 42);
    sealed_free(s);
}

Test(footer, of_no_frames_at_all_is_possible)
{
    struct sealed *s = sealed_new(SEGMENT_SIZE_MIN);
    struct footer_facts f;

    seal(s, NULL, FOOTER_TORN);
    cr_assert_ok(footer_decode(&s->page, &s->seg, &f, NULL));
    cr_assert(f.frames_end == OFF_FRAMES && f.index_count == 0 && f.next_seq == 1000);
    cr_assert_eq(f.flags, FOOTER_TORN);
    cr_assert_ok(index_check(s->index, &f, &s->seg));
    sealed_free(s);
}

Test(footer, seals_are_a_chain)
{
    struct sealed *a = some_sealed(), *b = sealed_new(SEGMENT_SIZE_MIN);
    struct footer_facts f;
    uint8_t with_prev[16];

    put_data(b, 1, 100, 0);
    seal(b, &a->footer, 0);
    cr_assert_ok(footer_decode(&b->page, &b->seg, &f, NULL));
    cr_assert_arr_eq(f.prev_seal, a->footer.seal_hash, 16);
    cr_assert_eq(f.log_max_time, 900, "the largest so far is in the segment before");
    memcpy(with_prev, f.seal_hash, 16);
    seal(b, NULL, 0);
    cr_assert(memcmp(with_prev, b->footer.seal_hash, 16) != 0);
    sealed_free(a);
    sealed_free(b);
}

/* ---- the hash ------------------------------------------------------------------------------- */

/* Word 0 of each frame, and all of a record; nothing of the insides of ABORTED, PAD and ROLL. */
Test(footer, the_content_hash_covers_records_and_words_and_no_more)
{
    struct sealed *s = some_sealed();
    uint8_t was[16];

    memcpy(was, s->footer.content_hash, 16);
    for (size_t i = 0; i < s->count; i++) {
        const uint64_t span = s->frames[i].facts.span < 256 ? s->frames[i].facts.span : 256;
        const bool is_data = s->frames[i].facts.state == WORD_DATA;
        uint8_t *frame = s->base + s->frames[i].offset;

        /* Word 0 is passed by value: it is turned in frames[]. */
        for (size_t bit = 0; bit < 64; bit++) {
            flip(&s->frames[i].word, bit);
            seal(s, NULL, 0);
            cr_assert(memcmp(was, s->footer.content_hash, 16) != 0, "frame %zu word bit %zu", i,
                      bit);
            flip(&s->frames[i].word, bit);
        }
        for (size_t bit = 64; bit < 8 * span; bit++) {
            const bool covered = is_data && bit / 8 < FRAME_HEADER + s->frames[i].facts.len;

            flip(frame, bit);
            seal(s, NULL, 0);
            cr_assert((memcmp(was, s->footer.content_hash, 16) != 0) == covered,
                      "frame %zu bit %zu", i, bit);
            flip(frame, bit);
        }
    }
    sealed_free(s);
}

/* ---- damage --------------------------------------------------------------------------------- */

Test(footer, a_turned_bit_is_seen)
{
    struct sealed *s = some_sealed();

    for (size_t bit = 0; bit < 8 * sizeof(s->page); bit++) {
        struct footer_facts f;
        const char *why = NULL;

        flip(&s->page, bit);
        cr_assert(footer_decode(&s->page, &s->seg, &f, &why) == SEGLOG_ECORRUPT && why, "bit %zu",
                  bit);
        flip(&s->page, bit);
    }
    sealed_free(s);
}

Test(footer, that_was_never_written_is_absent_and_a_single_bit_is_damage)
{
    const struct segment_facts seg = segment_of(SEGMENT_SIZE_MIN);
    struct segment_footer page;
    struct footer_facts f;

    memset(&page, 0, sizeof(page));
    cr_assert_status(footer_decode(&page, &seg, &f, NULL), -EAGAIN);
    for (size_t bit = 0; bit < 8 * sizeof(page); bit += 13) {
        flip(&page, bit);
        assert_refused(footer_decode(&page, &seg, &f, NULL), "bit %zu", bit);
        flip(&page, bit);
    }
}

Test(footer, of_another_segment_is_refused)
{
    struct sealed *s = some_sealed();
    struct segment_facts other = s->seg;
    struct footer_facts f;

    other.generation ^= UINT64_C(1) << 63;
    cr_assert_status(footer_decode(&s->page, &other, &f, NULL), SEGLOG_ECORRUPT);
    other = s->seg;
    other.number++;
    cr_assert_status(footer_decode(&s->page, &other, &f, NULL), SEGLOG_ECORRUPT);
    other = segment_of(SEGMENT_SIZE_MIN * 2);
    cr_assert_status(footer_decode(&s->page, &other, &f, NULL), SEGLOG_ECORRUPT);
    sealed_free(s);
}

/* A page whose checksum is right and whose seal hash is not: somebody repaired the one alone. */
Test(footer, the_seal_hash_is_checked_beside_the_checksum)
{
    struct sealed *s = some_sealed();
    struct footer_facts f;
    const char *why = NULL;

    le64_put(&s->page.record_count, 3);
    le32_put(&s->page.crc, ~crc32c(~0u, &s->page, offsetof(struct segment_footer, crc)));
    cr_assert_status(footer_decode(&s->page, &s->seg, &f, &why), SEGLOG_ECORRUPT);
    cr_assert_str_eq(why, "footer: seal hash");
    sealed_free(s);
}

Test(footer, numbers_that_cannot_be_are_refused)
{
    const struct segment_facts seg = segment_of(SEGMENT_SIZE_MIN);
    const struct footer_facts good = {
        .number = seg.number,
        .base_seq = 10,
        .next_seq = 20,
        .frames_end = OFF_FRAMES + 3200,
        .record_count = 10,
        .index_off = (uint32_t)seg.shape.index_off,
    };
    struct footer_facts bad[10], f;
    struct segment_footer page;
    size_t n = 0;

    f = good;
    footer_encode(&page, seg.generation, &f);
    cr_assert_ok(footer_decode(&page, &seg, &f, NULL));
    for (size_t i = 0; i < 10; i++)
        bad[i] = good;
    bad[n++].number = 8;
    bad[n++].index_off = 0xd000;
    bad[n++].frames_end = OFF_FRAMES - 32;
    bad[n++].frames_end = seg.shape.frames_end + 32;
    bad[n++].frames_end = OFF_FRAMES + 1;
    bad[n++].next_seq = 9;
    bad[n++].next_seq = 10 + seg.size + 1;
    bad[n++].record_count = 11;
    bad[n++].void_count = 11;
    bad[n++].index_count = 2;
    for (size_t i = 0; i < n; i++) {
        footer_encode(&page, seg.generation, &bad[i]);
        assert_refused(footer_decode(&page, &seg, &f, NULL), "case %zu", i);
    }
}

/* ---- index ---------------------------------------------------------------------------------- */

/* Frames of a fixed span over the whole segment: every stride's entry is its first frame. */
Test(index, has_an_entry_for_each_stride_a_frame_begins_in)
{
    static const uint64_t sizes[] = {SEGMENT_SIZE_MIN, SEGMENT_SIZE_MIN * 2, SEGMENT_SIZE_MIN * 16};

    for (size_t i = 0; i < 3; i++) {
        struct sealed *s = sealed_new(sizes[i]);
        size_t entry = 0;

        while (span_fits(&s->seg.space, s->at, frame_span(3000)))
            put_data(s, 3000, 1000 + s->seq_rel, 0);
        put_void(s, WORD_ROLL, 0, 0);
        seal(s, NULL, 0);
        cr_assert_ok(index_check(s->index, &s->footer, &s->seg));
        cr_assert_leq(s->footer.index_count, s->seg.shape.index_max);
        for (size_t n = 0; n < s->count; n++) {
            const uint64_t stride = (s->frames[n].offset - OFF_FRAMES) / INDEX_STRIDE;

            if (n > 0 && stride == (s->frames[n - 1].offset - OFF_FRAMES) / INDEX_STRIDE)
                continue;
            cr_assert_eq(le32_get(&s->index[entry].offset), s->frames[n].offset);
            cr_assert_eq(le32_get(&s->index[entry].seq_rel), n);
            cr_assert_eq(le64_get(&s->index[entry].max_time), n == 0 ? 0 : 1000 + n - 1);
            entry++;
        }
        cr_assert_eq(entry, s->footer.index_count);
        sealed_free(s);
    }
}

/* A frame as long as several strides leaves those without an entry. */
Test(index, skips_strides_in_which_no_frame_begins)
{
    struct sealed *s = sealed_new(SEGMENT_SIZE_MIN * 16);

    put_data(s, 1, 1, 0);
    put_void(s, WORD_PAD, 0, s->seg.space.span_max);
    put_data(s, 1, 2, 0);
    put_void(s, WORD_ROLL, 0, 0);
    seal(s, NULL, 0);
    cr_assert_eq(s->footer.index_count, 2);
    cr_assert_eq(le32_get(&s->index[1].offset), OFF_FRAMES + 64 + s->seg.space.span_max);
    cr_assert_ok(index_check(s->index, &s->footer, &s->seg));
    sealed_free(s);
}

static void index_reseal(const struct index_entry *index, struct footer_facts *f)
{
    f->index_crc = ~crc32c(~0u, index, f->index_count * sizeof(*index));
}

Test(index, a_turned_bit_is_seen)
{
    struct sealed *s = sealed_new(SEGMENT_SIZE_MIN * 4);

    while (span_fits(&s->seg.space, s->at, frame_span(1000)))
        put_data(s, 1000, 7, 0);
    seal(s, NULL, 0);
    cr_assert_geq(s->footer.index_count, 3);
    for (size_t bit = 0; bit < 8 * sizeof(*s->index) * s->footer.index_count; bit++) {
        flip(s->index, bit);
        assert_refused(index_check(s->index, &s->footer, &s->seg), "bit %zu", bit);
        flip(s->index, bit);
    }
    cr_assert_ok(index_check(s->index, &s->footer, &s->seg));
    sealed_free(s);
}

Test(index, out_of_order_or_out_of_range_is_refused_though_its_checksum_is_right)
{
    static const struct {
        uint32_t entry, offset, seq_rel;
    } cases[] = {
        {0, OFF_FRAMES - 32, 0},   /* before the frames */
        {0, OFF_FRAMES + 1, 0},    /* not on a boundary */
        {1, OFF_FRAMES, 60},       /* the same place twice */
        {2, OFF_FRAMES + 32, 200}, /* backward */
        {2, 0x30000, 3},           /* numbers backward */
        {2, 0x3a000, 200},         /* behind the frames */
        {2, UINT32_MAX - 31, 200}, /* far behind */
        {2, 0x30000, UINT32_MAX},  /* more numbers than there are */
    };
    const struct segment_facts seg = segment_of(SEGMENT_SIZE_MIN * 4);
    struct footer_facts f = {.next_seq = 300, .frames_end = 0x3a000, .index_count = 3};
    struct index_entry good[3], bad[3];

    for (uint32_t i = 0; i < 3; i++) {
        le32_put(&good[i].offset, OFF_FRAMES + i * 0x10000);
        le32_put(&good[i].seq_rel, i * 60);
        le64_put(&good[i].max_time, i);
    }
    index_reseal(good, &f);
    cr_assert_ok(index_check(good, &f, &seg));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memcpy(bad, good, sizeof(bad));
        le32_put(&bad[cases[i].entry].offset, cases[i].offset);
        le32_put(&bad[cases[i].entry].seq_rel, cases[i].seq_rel);
        index_reseal(bad, &f);
        assert_refused(index_check(bad, &f, &seg), "case %zu", i);
    }
    f.index_count = (uint32_t)seg.shape.index_max + 1; /* nothing behind the third is looked at */
    cr_assert_status(index_check(good, &f, &seg), SEGLOG_ECORRUPT);
}

/* ---- tags ----------------------------------------------------------------------------------- */

Test(tag_filter, never_denies_what_was_added)
{
    static const uint32_t steps[] = {1, 3, 65537, 0x9E3779B1, UINT32_MAX};

    for (size_t s = 0; s < 5; s++) {
        uint8_t filter[TAG_FILTER_BYTES] = {0};

        for (uint32_t i = 0; i < 5000; i++) {
            tag_filter_add(filter, i * steps[s]);
            cr_assert(tag_filter_may_have(filter, i * steps[s]), "tag %u", i * steps[s]);
        }
        for (uint32_t i = 0; i < 5000; i++) /* nor does anything added later take it away */
            cr_assert(tag_filter_may_have(filter, i * steps[s]), "tag %u", i * steps[s]);
    }
}

Test(tag_filter, denies_most_of_what_was_not_added)
{
    uint8_t filter[TAG_FILTER_BYTES] = {0};
    unsigned wrong = 0;

    cr_assert(!tag_filter_may_have(filter, 0));
    for (uint32_t tag = 0; tag < 100; tag++)
        tag_filter_add(filter, tag);
    for (uint32_t tag = 100; tag < 10100; tag++)
        wrong += tag_filter_may_have(filter, tag);
    /* 3 of 2048 bits each, 100 tags: about 14 in 1000 by chance. */
    cr_assert_lt(wrong, 100, "%u of 10000", wrong);
}
