/*
 * Blocks: settings, segment header, activation, mark, floor, boot mark, checkpoint. Each comes back
 * as it went in; each of its bits is under a checksum; what a newer release or another byte order
 * wrote is told from damage.
 *
 * Under no checksum at all are, in the tail page, `tail` and `published` and what pads them: hints of
 * one boot, checked by the frames they point at.
 */
#include "format/blocks.h"

#include "bits.h"

static const struct settings_facts settings = {
    .uuid = {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad,
             0xae, 0xaf},
    .segment_size = SEGMENT_SIZE_DEFAULT,
    .created_ns = UINT64_C(1700000000123456789),
    .sync = 2,
    .mode = 0640,
    .discipline = DISCIPLINE_MAPPED,
};

static void settings_reseal(struct settings_page *page)
{
    le32_put(&page->crc, ~crc32c(~0u, page, offsetof(struct settings_page, crc)));
}

static void header_reseal(struct segment_header *page)
{
    le32_put(&page->crc, ~crc32c(~0u, page, offsetof(struct segment_header, crc)));
}

/* ---- settings ------------------------------------------------------------------------------- */

Test(settings, every_field_comes_back)
{
    struct settings_page page;
    struct settings_facts out;

    settings_encode(&page, &settings);
    cr_assert_ok(settings_decode(&page, &out, NULL));
    cr_assert_arr_eq(out.uuid, settings.uuid, 16);
    cr_assert_eq(out.segment_size, settings.segment_size);
    cr_assert_eq(out.created_ns, settings.created_ns);
    cr_assert_eq(out.sync, settings.sync);
    cr_assert_eq(out.mode, settings.mode);
    cr_assert_eq(out.discipline, settings.discipline);
    cr_assert(!out.read_only);
}

Test(settings, a_turned_bit_is_seen_and_never_taken_for_a_newer_release)
{
    struct settings_page page;
    struct settings_facts out;

    settings_encode(&page, &settings);
    for (size_t bit = 0; bit < 8 * sizeof(page); bit++) {
        const char *why = NULL;
        const int want = bit < 64 ? SEGLOG_ENOTLOG : SEGLOG_ECORRUPT;
        int rc;

        flip(&page, bit);
        rc = settings_decode(&page, &out, &why);
        cr_assert(rc == want && why != NULL, "bit %zu: %s", bit, seglog_status_name(rc));
        flip(&page, bit);
    }
    cr_assert_ok(settings_decode(&page, &out, NULL));
}

Test(settings, a_newer_version_is_refused_and_a_newer_minor_is_not)
{
    struct settings_page page;
    struct settings_facts out;

    settings_encode(&page, &settings);
    le16_put(&page.head.minor, FORMAT_MINOR + 7);
    settings_reseal(&page);
    cr_assert_ok(settings_decode(&page, &out, NULL));
    cr_assert(!out.read_only);
    le16_put(&page.head.major, FORMAT_MAJOR + 1);
    settings_reseal(&page);
    cr_assert_status(settings_decode(&page, &out, NULL), SEGLOG_EVERSION);
    le16_put(&page.head.major, 0);
    settings_reseal(&page);
    cr_assert_status(settings_decode(&page, &out, NULL), SEGLOG_EVERSION);
}

Test(settings, unknown_features_refuse_or_restrict_or_are_ignored)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        struct settings_page page;
        struct settings_facts out;

        settings_encode(&page, &settings);
        le64_put(&page.head.compat, UINT64_C(1) << bit);
        settings_reseal(&page);
        cr_assert_ok(settings_decode(&page, &out, NULL));
        cr_assert(!out.read_only);
        le64_put(&page.head.ro_compat, UINT64_C(1) << bit);
        settings_reseal(&page);
        cr_assert_ok(settings_decode(&page, &out, NULL));
        cr_assert(out.read_only);
        le64_put(&page.head.incompat, UINT64_C(1) << bit);
        settings_reseal(&page);
        cr_assert_status(settings_decode(&page, &out, NULL), SEGLOG_EVERSION);
    }
}

/* A machine of the other order would write every integer, checksums too, the other way round. */
Test(settings, the_other_byte_order_is_told_from_damage)
{
    struct settings_page page;
    struct settings_facts out;

    settings_encode(&page, &settings);
    le32_put(&page.head.endian, __builtin_bswap32(ENDIAN_MARK));
    cr_assert_status(settings_decode(&page, &out, NULL), SEGLOG_EENDIAN);
    settings_reseal(&page);
    cr_assert_status(settings_decode(&page, &out, NULL), SEGLOG_EENDIAN);
    le32_put(&page.head.endian, 0x02010403);
    settings_reseal(&page);
    cr_assert_status(settings_decode(&page, &out, NULL), SEGLOG_ECORRUPT);
}

Test(settings, values_that_cannot_be_are_refused)
{
    static const uint64_t sizes[] = {0,
                                     1,
                                     4096,
                                     SEGMENT_SIZE_MIN / 2,
                                     SEGMENT_SIZE_MIN - 1,
                                     SEGMENT_SIZE_MIN + 4096,
                                     SEGMENT_SIZE_MAX * 2,
                                     UINT64_C(1) << 63,
                                     UINT64_MAX};
    struct settings_page page;
    struct settings_facts out, odd = settings;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        odd.segment_size = sizes[i];
        settings_encode(&page, &odd);
        assert_refused(settings_decode(&page, &out, NULL), "%llu", (unsigned long long)sizes[i]);
    }
    odd = settings;
    odd.mode = 01000;
    settings_encode(&page, &odd);
    cr_assert_status(settings_decode(&page, &out, NULL), SEGLOG_ECORRUPT);
}

Test(settings, what_a_later_release_may_promise_can_still_be_read)
{
    struct settings_page page;
    struct settings_facts out, odd = settings;

    odd.sync = 5;
    settings_encode(&page, &odd);
    cr_assert_ok(settings_decode(&page, &out, NULL));
    cr_assert(out.read_only);
    odd = settings;
    odd.discipline = DISCIPLINE_GATED;
    settings_encode(&page, &odd);
    cr_assert_ok(settings_decode(&page, &out, NULL));
    cr_assert(out.read_only);
}

/* ---- shapes --------------------------------------------------------------------------------- */

Test(shape, the_parts_of_a_segment_lie_side_by_side)
{
    for (uint64_t size = SEGMENT_SIZE_MIN; size <= SEGMENT_SIZE_MAX; size *= 2) {
        struct segment_shape s;
        const struct frame_space space = space_of(size, GENERATION);

        segment_shape(size, &s);
        cr_assert_eq(s.footer_off, size - PAGE_BYTES);
        cr_assert_eq(s.index_off % PAGE_BYTES, 0);
        cr_assert_eq(s.frames_end, s.index_off);
        cr_assert_leq(s.index_off + s.index_max * INDEX_ENTRY_BYTES, s.footer_off);
        cr_assert_gt(s.frames_end, OFF_FRAMES);
        cr_assert_eq(s.frames_end % FRAME_ALIGN, 0);
        /* An entry for each stride that a frame can begin in. */
        cr_assert_geq(s.index_max, (s.frames_end - FRAME_ALIGN - OFF_FRAMES) / INDEX_STRIDE + 1);
        /* The largest claim fits into an empty segment, and a few more. */
        cr_assert_leq(OFF_FRAMES + s.span_max + FRAME_ALIGN, s.frames_end);
        cr_assert_eq(space.frames_end, s.frames_end);
        cr_assert_eq(space.frames_off, OFF_FRAMES);
        cr_assert_eq(space.span_max, s.span_max);
        /* The tail word has room for every place and number. */
        cr_assert_lt(s.frames_end / FRAME_ALIGN, UINT64_C(1) << 32);
        cr_assert_eq(tail_offset(tail_word(UINT32_MAX, s.frames_end)), s.frames_end);
        cr_assert_eq(tail_seq_rel(tail_word(UINT32_MAX, s.frames_end)), UINT32_MAX);
        /* A claim's span has room in 24 bits. */
        cr_assert_leq(s.span_max / FRAME_ALIGN, UNITS_MAX);
    }
}

Test(shape, the_smallest_and_the_largest)
{
    struct segment_shape s;

    segment_shape(SEGMENT_SIZE_MIN, &s);
    cr_assert_eq(s.frames_end, 0xe000);
    cr_assert_eq(s.index_off, 0xe000);
    cr_assert_eq(s.footer_off, 0xf000);
    cr_assert_eq(s.index_max, 1);
    cr_assert_eq(s.span_max, 16384);
    segment_shape(SEGMENT_SIZE_MAX, &s);
    cr_assert_eq(s.footer_off, 0x3ffff000);
    cr_assert_eq(s.index_max, 16384);
    cr_assert_eq(s.index_off, 0x3ffff000 - 16384 * 16);
    cr_assert_eq(s.span_max, UINT64_C(1) << 28);
}

Test(shape, only_powers_of_two_within_the_limits_are_legal)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        const uint64_t size = UINT64_C(1) << bit;

        cr_assert_eq(segment_size_is_legal(size), bit >= 16 && bit <= 30);
        cr_assert(!segment_size_is_legal(size + 4096) || size == 4096);
        cr_assert(size < 4 || !segment_size_is_legal(size - 1));
    }
    cr_assert(!segment_size_is_legal(0));
}

/* ---- segment header ------------------------------------------------------------------------- */

Test(segment_header, every_field_comes_back)
{
    for (uint64_t size = SEGMENT_SIZE_MIN; size <= SEGMENT_SIZE_MAX; size *= 2) {
        const struct segment_facts facts = segment_of(size);
        struct segment_header page;
        struct segment_facts out;

        segment_header_encode(&page, &facts);
        cr_assert_ok(segment_header_decode(&page, &out, NULL));
        cr_assert_arr_eq(out.uuid, facts.uuid, 16);
        cr_assert_eq(out.number, facts.number);
        cr_assert_eq(out.generation, facts.generation);
        cr_assert_eq(out.size, size);
        cr_assert_eq(out.created_ns, facts.created_ns);
        cr_assert_eq(out.discipline, facts.discipline);
        cr_assert(!out.read_only);
        cr_assert_eq(out.shape.frames_end, facts.shape.frames_end);
        cr_assert_eq(out.space.seed, facts.space.seed);
        cr_assert_eq(out.space.gen16, GENERATION & 0xffff);
    }
}

Test(segment_header, a_turned_bit_is_seen_and_never_taken_for_a_newer_release)
{
    const struct segment_facts facts = segment_of(SEGMENT_SIZE_MIN);
    struct segment_header page;
    struct segment_facts out;

    segment_header_encode(&page, &facts);
    for (size_t bit = 0; bit < 8 * sizeof(page); bit++) {
        const char *why = NULL;
        const int want = bit < 64 ? SEGLOG_ENOTLOG : SEGLOG_ECORRUPT;
        int rc;

        flip(&page, bit);
        rc = segment_header_decode(&page, &out, &why);
        cr_assert(rc == want && why != NULL, "bit %zu: %s", bit, seglog_status_name(rc));
        flip(&page, bit);
    }
}

Test(segment_header, versions_features_and_byte_order_are_told_apart)
{
    const struct segment_facts facts = segment_of(SEGMENT_SIZE_MIN);
    struct segment_header page;
    struct segment_facts out;

    segment_header_encode(&page, &facts);
    le64_put(&page.head.compat, UINT64_MAX);
    le16_put(&page.head.minor, UINT16_MAX);
    header_reseal(&page);
    cr_assert_ok(segment_header_decode(&page, &out, NULL));
    cr_assert(!out.read_only);
    le64_put(&page.head.ro_compat, 1);
    header_reseal(&page);
    cr_assert_ok(segment_header_decode(&page, &out, NULL));
    cr_assert(out.read_only);
    le64_put(&page.head.incompat, UINT64_C(1) << 63);
    header_reseal(&page);
    cr_assert_status(segment_header_decode(&page, &out, NULL), SEGLOG_EVERSION);
    segment_header_encode(&page, &facts);
    le16_put(&page.head.major, 2);
    header_reseal(&page);
    cr_assert_status(segment_header_decode(&page, &out, NULL), SEGLOG_EVERSION);
    segment_header_encode(&page, &facts);
    le32_put(&page.head.endian, __builtin_bswap32(ENDIAN_MARK));
    cr_assert_status(segment_header_decode(&page, &out, NULL), SEGLOG_EENDIAN);
    segment_header_encode(&page, &facts);
    memcpy(page.head.magic, MAGIC_SETTINGS, 8);
    header_reseal(&page);
    cr_assert_status(segment_header_decode(&page, &out, NULL), SEGLOG_ENOTLOG);
    segment_header_encode(&page, &facts);
    le32_put(&page.discipline, 3);
    header_reseal(&page);
    cr_assert_status(segment_header_decode(&page, &out, NULL), SEGLOG_EVERSION);
}

Test(segment_header, another_layout_is_refused)
{
    const struct segment_facts facts = segment_of(SEGMENT_SIZE_MIN);
    struct segment_header page;
    struct segment_facts out;

    segment_header_encode(&page, &facts);
    le64_put(&page.size, SEGMENT_SIZE_MIN * 2); /* frames_end is no longer that of the size */
    header_reseal(&page);
    cr_assert_status(segment_header_decode(&page, &out, NULL), SEGLOG_ECORRUPT);
    segment_header_encode(&page, &facts);
    le64_put(&page.size, UINT64_MAX);
    header_reseal(&page);
    cr_assert_status(segment_header_decode(&page, &out, NULL), SEGLOG_ECORRUPT);
    segment_header_encode(&page, &facts);
    le64_put(&page.frames_end, UINT64_MAX);
    header_reseal(&page);
    cr_assert_status(segment_header_decode(&page, &out, NULL), SEGLOG_ECORRUPT);
    segment_header_encode(&page, &facts);
    le32_put(&page.frames_off, OFF_FRAMES + 32);
    header_reseal(&page);
    cr_assert_status(segment_header_decode(&page, &out, NULL), SEGLOG_ECORRUPT);
    segment_header_encode(&page, &facts);
    le64_put(&page.generation, 0);
    header_reseal(&page);
    cr_assert_status(segment_header_decode(&page, &out, NULL), SEGLOG_ECORRUPT);
}

/* ---- activation ----------------------------------------------------------------------------- */

Test(activation, comes_back_and_is_absent_before)
{
    static const struct activation_facts facts = {
        .base_seq = UINT64_MAX - 5, .epoch = 3, .pred_generation = UINT64_C(0x99) << 56};
    struct activation_block block;
    struct activation_facts out;

    memset(&block, 0, sizeof(block));
    cr_assert_status(activation_load(&block, GENERATION, &out), -EAGAIN);
    activation_store(&block, GENERATION, &facts);
    cr_assert_ok(activation_load(&block, GENERATION, &out));
    cr_assert_eq(out.base_seq, facts.base_seq);
    cr_assert_eq(out.epoch, facts.epoch);
    cr_assert_eq(out.pred_generation, facts.pred_generation);
}

Test(activation, is_the_same_whoever_writes_it)
{
    static const struct activation_facts facts = {.base_seq = 100, .epoch = 1};
    struct activation_block a, b;

    memset(&a, 0, sizeof(a));
    memset(&b, 0xff, sizeof(b));
    activation_store(&a, GENERATION, &facts);
    activation_store(&b, GENERATION, &facts);
    cr_assert_arr_eq(&a, &b, sizeof(a));
}

Test(activation, a_turned_bit_is_seen)
{
    static const struct activation_facts facts = {.base_seq = 1, .epoch = 2, .pred_generation = 3};
    struct activation_block block;
    struct activation_facts out;

    memset(&block, 0, sizeof(block));
    activation_store(&block, GENERATION, &facts);
    for (size_t bit = 0; bit < 8 * sizeof(block); bit++) {
        flip(&block, bit);
        assert_refused(activation_load(&block, GENERATION, &out), "bit %zu", bit);
        flip(&block, bit);
    }
    for (unsigned bit = 0; bit < 64; bit++)
        assert_refused(activation_load(&block, GENERATION ^ UINT64_C(1) << bit, &out),
                       "generation bit %u", bit);
}

/* The magic comes last: as long as it is not there, nothing is. */
Test(activation, half_written_is_absent)
{
    static const struct activation_facts facts = {.base_seq = 1};
    struct activation_block block;
    struct activation_facts out;

    memset(&block, 0, sizeof(block));
    activation_store(&block, GENERATION, &facts);
    word_store(&block.magic, 0, memory_order_relaxed);
    cr_assert_status(activation_load(&block, GENERATION, &out), -EAGAIN);
}

/* ---- mark ----------------------------------------------------------------------------------- */

Test(mark, comes_back_and_is_absent_before)
{
    const struct segment_facts seg = segment_of(SEGMENT_SIZE_MIN);
    const struct mark_facts facts = {
        .counter = 9, .offset = OFF_FRAMES + 320, .seq_rel = 10, .wall_ns = 77};
    struct mark_slot slot;
    struct mark_facts out;

    memset(&slot, 0, sizeof(slot));
    cr_assert_status(mark_decode(&slot, &seg, &out), -EAGAIN);
    mark_encode(&slot, seg.generation, &facts);
    cr_assert_ok(mark_decode(&slot, &seg, &out));
    cr_assert_eq(out.counter, 9);
    cr_assert_eq(out.offset, facts.offset);
    cr_assert_eq(out.seq_rel, 10);
    cr_assert_eq(out.wall_ns, 77);
}

Test(mark, a_turned_bit_is_seen)
{
    const struct segment_facts seg = segment_of(SEGMENT_SIZE_MIN);
    const struct mark_facts facts = {.counter = 1, .offset = OFF_FRAMES};
    struct segment_facts other = seg;
    struct mark_slot slot;
    struct mark_facts out;

    mark_encode(&slot, seg.generation, &facts);
    for (size_t bit = 0; bit < 8 * sizeof(slot); bit++) {
        flip(&slot, bit);
        assert_refused(mark_decode(&slot, &seg, &out), "bit %zu", bit);
        flip(&slot, bit);
    }
    other.generation ^= 1;
    cr_assert_status(mark_decode(&slot, &other, &out), SEGLOG_ECORRUPT);
    memset(&slot, 0, sizeof(slot));
    for (size_t bit = 0; bit < 8 * sizeof(slot); bit++) { /* damage to a slot never written */
        flip(&slot, bit);
        assert_refused(mark_decode(&slot, &seg, &out), "bit %zu", bit);
        flip(&slot, bit);
    }
}

Test(mark, only_a_place_among_the_frames_is_believed)
{
    const struct segment_facts seg = segment_of(SEGMENT_SIZE_MIN);
    static const struct {
        uint64_t offset, seq_rel;
        int want;
    } cases[] = {
        {OFF_FRAMES, 0, 0},
        {0xe000, UINT32_MAX, 0},
        {OFF_FRAMES - 32, 0, SEGLOG_ECORRUPT},
        {OFF_FRAMES + 16, 0, SEGLOG_ECORRUPT},
        {0xe020, 0, SEGLOG_ECORRUPT},
        {UINT64_MAX - 31, 0, SEGLOG_ECORRUPT},
        {OFF_FRAMES, UINT64_C(1) << 32, SEGLOG_ECORRUPT},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct mark_facts facts = {
            .counter = 1, .offset = cases[i].offset, .seq_rel = cases[i].seq_rel};
        struct mark_slot slot;
        struct mark_facts out;

        mark_encode(&slot, seg.generation, &facts);
        cr_assert(mark_decode(&slot, &seg, &out) == cases[i].want, "case %zu", i);
    }
}

/* ---- floor ---------------------------------------------------------------------------------- */

Test(floor, comes_back_and_is_absent_before)
{
    const struct floor_facts facts = {.counter = 5, .number = 12, .first_seq = 3456};
    struct floor_slot slot;
    struct floor_facts out;

    memset(&slot, 0, sizeof(slot));
    cr_assert_status(floor_decode(&slot, settings.uuid, &out), -EAGAIN);
    floor_encode(&slot, settings.uuid, &facts);
    cr_assert_ok(floor_decode(&slot, settings.uuid, &out));
    cr_assert_eq(out.counter, 5);
    cr_assert_eq(out.number, 12);
    cr_assert_eq(out.first_seq, 3456);
}

Test(floor, a_turned_bit_is_seen)
{
    const struct floor_facts facts = {.counter = 5, .number = 12, .first_seq = 3456};
    uint8_t other[16];
    struct floor_slot slot;
    struct floor_facts out;

    floor_encode(&slot, settings.uuid, &facts);
    for (size_t bit = 0; bit < 8 * sizeof(slot); bit++) {
        flip(&slot, bit);
        assert_refused(floor_decode(&slot, settings.uuid, &out), "bit %zu", bit);
        flip(&slot, bit);
    }
    memcpy(other, settings.uuid, 16);
    other[15] ^= 1;
    cr_assert_status(floor_decode(&slot, other, &out), SEGLOG_ECORRUPT);
}

/* ---- boot mark ------------------------------------------------------------------------------ */

static const struct boot_facts boot = {
    .boot_id = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
    .dev = 2049,
    .ino = 123456,
    .known = true,
};

Test(boot_mark, only_the_same_boot_and_inode_are_the_same)
{
    struct boot_facts now = boot;
    struct boot_mark mark;

    boot_mark_encode(&mark, &boot);
    cr_assert_eq(boot_mark_relation(&mark, &now), BOOT_SAME);
    now.ino++;
    cr_assert_eq(boot_mark_relation(&mark, &now), BOOT_UNKNOWN);
    now = boot;
    now.dev++;
    cr_assert_eq(boot_mark_relation(&mark, &now), BOOT_UNKNOWN);
    now = boot;
    now.boot_id[3] ^= 4;
    cr_assert_eq(boot_mark_relation(&mark, &now), BOOT_OTHER);
    now.ino++;
    cr_assert_eq(boot_mark_relation(&mark, &now), BOOT_OTHER);
    now = boot;
    now.known = false;
    cr_assert_eq(boot_mark_relation(&mark, &now), BOOT_UNKNOWN);
}

Test(boot_mark, of_an_unknown_boot_is_never_the_same)
{
    struct boot_facts unknown = boot;
    struct boot_mark mark;

    unknown.known = false;
    boot_mark_encode(&mark, &unknown);
    cr_assert_eq(boot_mark_relation(&mark, &boot), BOOT_UNKNOWN);
    cr_assert_eq(boot_mark_relation(&mark, &unknown), BOOT_UNKNOWN);
}

/* A page of zeros, as in a file made by others, must not pass for this boot. */
Test(boot_mark, a_turned_bit_or_nothing_is_never_the_same)
{
    struct boot_mark mark;

    memset(&mark, 0, sizeof(mark));
    cr_assert_neq(boot_mark_relation(&mark, &boot), BOOT_SAME);
    boot_mark_encode(&mark, &boot);
    for (size_t bit = 0; bit < 8 * sizeof(mark); bit++) {
        flip(&mark, bit);
        cr_assert(boot_mark_relation(&mark, &boot) == BOOT_OTHER, "bit %zu", bit);
        flip(&mark, bit);
    }
}

/* ---- checkpoint ----------------------------------------------------------------------------- */

Test(checkpoint, comes_back_and_is_absent_before)
{
    const struct frame_space space = space_of(SEGMENT_SIZE_MIN, GENERATION);
    struct tail_page tail;

    memset(&tail, 0, sizeof(tail));
    cr_assert_eq(checkpoint_load(&tail, &space), 0);
    for (uint64_t at = OFF_FRAMES; at < space.frames_end; at += FRAME_ALIGN) {
        const uint64_t word = tail_word(at % 777, at);

        checkpoint_store(&tail, &space, word);
        cr_assert_eq(checkpoint_load(&tail, &space), word);
    }
}

/* Two words are two stores: whatever is torn between them must count as nothing. */
Test(checkpoint, a_torn_pair_is_nothing)
{
    const struct frame_space space = space_of(SEGMENT_SIZE_MIN, GENERATION);
    const uint64_t words[] = {tail_word(0, OFF_FRAMES), tail_word(1, OFF_FRAMES + 32),
                              tail_word(1, OFF_FRAMES + 64), tail_word(900, 0x9000)};

    for (size_t a = 0; a < 4; a++) {
        for (size_t b = 0; b < 4; b++) {
            struct tail_page tail;

            memset(&tail, 0, sizeof(tail));
            checkpoint_store(&tail, &space, words[a]);
            word_store(&tail.checkpoint, words[b], memory_order_relaxed);
            cr_assert_eq(checkpoint_load(&tail, &space), a == b ? words[a] : 0);
        }
    }
}

Test(checkpoint, a_turned_bit_or_another_generation_is_nothing)
{
    const struct frame_space space = space_of(SEGMENT_SIZE_MIN, GENERATION);
    const struct frame_space other = space_of(SEGMENT_SIZE_MIN, GENERATION ^ 1);
    struct tail_page tail;

    memset(&tail, 0, sizeof(tail));
    checkpoint_store(&tail, &space, tail_word(5, OFF_FRAMES + 320));
    cr_assert_eq(checkpoint_load(&tail, &other), 0);
    for (size_t bit = 0; bit < 128; bit++) {
        flip((uint8_t *)&tail + offsetof(struct tail_page, checkpoint), bit);
        cr_assert(checkpoint_load(&tail, &space) == 0, "bit %zu", bit);
        flip((uint8_t *)&tail + offsetof(struct tail_page, checkpoint), bit);
    }
}

/* The check is right, and still the place is none. */
Test(checkpoint, a_place_outside_the_frames_is_nothing)
{
    const struct frame_space space = space_of(SEGMENT_SIZE_MIN, GENERATION);
    const uint64_t offsets[] = {0, 32, OFF_FRAMES - 32, space.frames_end,
                                UINT64_C(32) * UINT32_MAX};
    struct tail_page tail;

    memset(&tail, 0, sizeof(tail));
    for (size_t i = 0; i < 5; i++) {
        checkpoint_store(&tail, &space, tail_word(1, offsets[i]));
        cr_assert_eq(checkpoint_load(&tail, &space), 0);
    }
}
