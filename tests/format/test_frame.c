/*
 * Frames: header and payload come back as they went in, and no bit of either can turn unseen. What is
 * under no checksum is the padding behind a payload, and all of an ABORTED frame and of PAD and ROLL
 * but word 0: readers never look there.
 */
#include "format/frame.h"

#include "bits.h"

#define SIZE     SEGMENT_SIZE_MIN
#define LONGEST  600u /* payloads short and long enough for every way through the checksum */
#define SOME_OFF (OFF_FRAMES + 0x1e0)

struct frame {
    struct frame_header header;
    uint8_t payload[(LONGEST + FRAME_ALIGN - 1) & ~(FRAME_ALIGN - 1)];
};

static const struct frame_facts some = {
    .time_ns = UINT64_C(0x0123456789abcdef), .seq_rel = 0x89abcdef, .tag = 0xfedcba98};

/* A frame as it is stored, payload bytes 1, 2, 3 ... */
static void frame_make(const struct frame_space *space, uint64_t offset, uint64_t len,
                       struct frame *out)
{
    struct frame_facts facts = some;
    const uint64_t word = word_data(space, len);

    memset(out, 0, sizeof(*out));
    for (uint64_t i = 0; i < len; i++)
        out->payload[i] = (uint8_t)(i + 1);
    facts.pcrc = ~crc32c(frame_seed(space, offset), out->payload, len);
    frame_fill(space, offset, &out->header, word, &facts);
    word_store(&out->header.word, word, memory_order_relaxed);
}

/* As every reader does it: word, header, payload. */
static int frame_read(const struct frame_space *space, uint64_t offset, const struct frame *frame,
                      struct word_facts *word, struct frame_facts *facts)
{
    const uint64_t bits = word_load(&frame->header.word, memory_order_relaxed);
    int rc = word_decode(space, offset, bits, word);

    if (rc == 0 && word->state != WORD_DATA)
        return 1;
    if (rc == 0)
        rc = frame_check(space, offset, bits, &frame->header, facts);
    if (rc == 0 && word->len > LONGEST)
        return 2; /* longer than these tests have bytes for */
    if (rc == 0)
        rc = frame_check_payload(space, offset, frame->payload, word->len, facts->pcrc);
    return rc;
}

Test(frame, every_field_comes_back)
{
    const struct frame_space space = space_of(SIZE, GENERATION);

    for (uint64_t len = 0; len <= LONGEST; len++) {
        struct frame frame;
        struct word_facts word;
        struct frame_facts facts;

        frame_make(&space, SOME_OFF, len, &frame);
        cr_assert_ok(frame_read(&space, SOME_OFF, &frame, &word, &facts));
        cr_assert_eq(word.len, len);
        cr_assert_eq(facts.time_ns, some.time_ns);
        cr_assert_eq(facts.seq_rel, some.seq_rel);
        cr_assert_eq(facts.tag, some.tag);
    }
}

Test(frame, the_instruction_and_the_tables_agree)
{
    struct frame_space by_instruction = space_of(SIZE, GENERATION);
    struct frame_space by_tables = by_instruction;

    by_tables.fast = false;
    for (uint64_t len = 0; len <= LONGEST; len++) {
        struct frame a, b;
        struct word_facts word;
        struct frame_facts facts;

        frame_make(&by_instruction, SOME_OFF, len, &a);
        frame_make(&by_tables, SOME_OFF, len, &b);
        cr_assert_arr_eq(&a, &b, sizeof(a));
        cr_assert_ok(frame_read(&by_tables, SOME_OFF, &a, &word, &facts));
        cr_assert_ok(frame_read(&by_instruction, SOME_OFF, &b, &word, &facts));
    }
}

/* FORMAT: the checksum takes bytes 0..7, 16..31, 8..11 in that order; done here once byte by byte. */
Test(frame, the_header_checksum_is_that_of_the_bytes)
{
    const struct frame_space space = space_of(SIZE, GENERATION);
    struct frame frame;
    const uint8_t *bytes = (const uint8_t *)&frame;
    uint32_t crc = frame_seed(&space, SOME_OFF);

    frame_make(&space, SOME_OFF, 100, &frame);
    crc = crc32c_portable(crc, bytes, 8);
    crc = crc32c_portable(crc, bytes + 16, 16);
    crc = crc32c_portable(crc, bytes + 8, 4);
    cr_assert_eq(le32_get(&frame.header.hcrc), ~crc);
}

Test(frame, a_turned_bit_in_the_header_is_seen)
{
    const struct frame_space space = space_of(SIZE, GENERATION);

    for (uint64_t len = 0; len <= 128; len++) {
        struct frame frame;

        frame_make(&space, SOME_OFF, len, &frame);
        for (size_t bit = 0; bit < 8 * sizeof(frame.header); bit++) {
            struct word_facts word;
            struct frame_facts facts;

            flip(&frame, bit);
            assert_refused(frame_read(&space, SOME_OFF, &frame, &word, &facts),
                           "length %llu bit %zu", (unsigned long long)len, bit);
            flip(&frame, bit);
        }
    }
}

Test(frame, a_turned_bit_in_the_payload_is_seen_and_one_in_the_padding_is_without_effect)
{
    static const uint64_t lens[] = {0, 1, 7, 8, 31, 32, 33, 100, 159, 160, 161, 511, 512, 513, 600};
    const struct frame_space space = space_of(SIZE, GENERATION);

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        const uint64_t len = lens[i];
        struct frame frame;

        frame_make(&space, SOME_OFF, len, &frame);
        for (size_t bit = 0; bit < 8 * (frame_span(len) - FRAME_HEADER); bit++) {
            struct word_facts word;
            struct frame_facts facts;
            int rc;

            flip(frame.payload, bit);
            rc = frame_read(&space, SOME_OFF, &frame, &word, &facts);
            cr_assert(rc == (bit / 8 < len ? SEGLOG_ECORRUPT : 0), "length %llu bit %zu",
                      (unsigned long long)len, bit);
            flip(frame.payload, bit);
        }
    }
}

Test(frame, a_bad_payload_leaves_the_header_good)
{
    const struct frame_space space = space_of(SIZE, GENERATION);
    struct frame frame;
    struct frame_facts facts;

    frame_make(&space, SOME_OFF, 10, &frame);
    flip(frame.payload, 3);
    cr_assert_ok(frame_check(&space, SOME_OFF, word_data(&space, 10), &frame.header, &facts));
    cr_assert_eq(facts.seq_rel, some.seq_rel);
    cr_assert_status(frame_check_payload(&space, SOME_OFF, frame.payload, 10, facts.pcrc),
                     SEGLOG_ECORRUPT);
}

Test(frame, bytes_in_the_wrong_place_do_not_check_out)
{
    const struct frame_space space = space_of(SIZE, GENERATION);
    struct frame frame;
    struct word_facts word;
    struct frame_facts facts;

    frame_make(&space, SOME_OFF, 50, &frame);
    facts.pcrc = le32_get(&frame.header.pcrc);
    for (uint64_t at = OFF_FRAMES; at + 128 < space.frames_end; at += FRAME_ALIGN) {
        if (at == SOME_OFF)
            continue;
        assert_refused(frame_read(&space, at, &frame, &word, &facts), "at %llx",
                       (unsigned long long)at);
        /* The payload by itself, too. */
        assert_refused(
            frame_check_payload(&space, at, frame.payload, 50, le32_get(&frame.header.pcrc)),
            "at %llx", (unsigned long long)at);
    }
}

Test(frame, bytes_of_another_generation_do_not_check_out)
{
    const struct frame_space space = space_of(SIZE, GENERATION);
    struct frame frame;

    frame_make(&space, SOME_OFF, 50, &frame);
    for (unsigned bit = 0; bit < 64; bit++) {
        const struct frame_space other = space_of(SIZE, GENERATION ^ UINT64_C(1) << bit);
        struct word_facts word;
        struct frame_facts facts;

        assert_refused(frame_read(&other, SOME_OFF, &frame, &word, &facts), "bit %u", bit);
        assert_refused(
            frame_check_payload(&other, SOME_OFF, frame.payload, 50, le32_get(&frame.header.pcrc)),
            "bit %u", bit);
    }
}

/* The seed mixes generation and offset by exclusive or: one must not make good for the other. */
Test(frame, an_empty_payload_is_bound_to_its_place_too)
{
    const struct frame_space space = space_of(SIZE, GENERATION);

    for (uint64_t at = OFF_FRAMES; at < space.frames_end - 64; at += FRAME_ALIGN) {
        const uint32_t pcrc = ~crc32c(frame_seed(&space, at), NULL, 0);

        cr_assert_ok(frame_check_payload(&space, at, "", 0, pcrc));
        assert_refused(frame_check_payload(&space, at ^ FRAME_ALIGN, "", 0, pcrc), "at %llx",
                       (unsigned long long)at);
    }
}
