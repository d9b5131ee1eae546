/*
 * Word 0: every kind comes back as it went in, nothing is believed that does not fit, and a turned
 * bit is seen wherever the word carries a check.
 */
#include "format/frame.h"

#include "bits.h"

#define SIZE SEGMENT_SIZE_MIN

static int decode(uint64_t offset, uint64_t word, struct word_facts *out)
{
    const struct frame_space space = space_of(SIZE, GENERATION);

    return word_decode(&space, offset, word, out);
}

/* ---- round trips ---------------------------------------------------------------------------- */

Test(word, zero_is_empty)
{
    struct word_facts facts = {.state = WORD_ROLL, .span = 1, .count = 1};

    cr_assert_ok(decode(OFF_FRAMES, 0, &facts));
    cr_assert_eq(facts.state, WORD_EMPTY);
    cr_assert_eq(facts.span, 0);
    cr_assert_eq(facts.count, 0);
}

Test(word, data_of_every_length_comes_back)
{
    const struct frame_space space = space_of(SIZE, GENERATION);

    for (uint64_t len = 0; len <= space.span_max - FRAME_HEADER; len++) {
        struct word_facts facts;

        cr_assert_ok(word_decode(&space, OFF_FRAMES, word_data(&space, len), &facts));
        cr_assert(facts.state == WORD_DATA && facts.len == len && facts.count == 1 &&
                      facts.flags == 0,
                  "length %llu", (unsigned long long)len);
        cr_assert_eq(facts.span, frame_span(len));
        cr_assert(facts.span % FRAME_ALIGN == 0 && facts.span >= FRAME_HEADER + len &&
                  facts.span < FRAME_HEADER + len + FRAME_ALIGN);
    }
}

Test(word, claims_come_back_at_the_ends_of_each_field)
{
    static const uint32_t slots[] = {0, 1, 511, LIVE_SLOTS - 1};
    static const uint32_t gens[] = {1, 2, SLOT_GEN_MAX};
    static const uint32_t counts[] = {1, 2, COUNT_MAX};
    const struct frame_space space = space_of(SEGMENT_SIZE_MAX, GENERATION);

    for (size_t s = 0; s < 4; s++) {
        for (size_t g = 0; g < 3; g++) {
            for (size_t c = 0; c < 3; c++) {
                const uint64_t spans[] = {(uint64_t)counts[c] * FRAME_ALIGN, space.span_max};

                for (size_t n = 0; n < 2; n++) {
                    struct word_facts facts;
                    const uint64_t word = word_claimed(slots[s], gens[g], counts[c], spans[n]);

                    cr_assert_ok(word_decode(&space, OFF_FRAMES, word, &facts));
                    cr_assert_eq(facts.state, WORD_CLAIMED);
                    cr_assert_eq(facts.slot, slots[s]);
                    cr_assert_eq(facts.gen, gens[g]);
                    cr_assert_eq(facts.count, counts[c]);
                    cr_assert_eq(facts.span, spans[n]);
                }
            }
        }
    }
}

Test(word, aborted_and_pad_come_back)
{
    const struct frame_space space = space_of(SEGMENT_SIZE_MAX, GENERATION);

    for (uint64_t span = FRAME_ALIGN; span <= space.span_max; span *= 2) {
        const uint64_t units = span / FRAME_ALIGN;
        const uint32_t count = units < COUNT_MAX ? (uint32_t)units : COUNT_MAX;
        struct word_facts facts;

        cr_assert_ok(word_decode(&space, OFF_FRAMES,
                                 word_checked(&space, OFF_FRAMES, WORD_ABORTED, count, span),
                                 &facts));
        cr_assert(facts.state == WORD_ABORTED && facts.count == count && facts.span == span);
        cr_assert_ok(word_decode(&space, OFF_FRAMES,
                                 word_checked(&space, OFF_FRAMES, WORD_PAD, 0, span), &facts));
        cr_assert(facts.state == WORD_PAD && facts.count == 0 && facts.span == span);
    }
}

Test(word, roll_takes_all_that_is_left)
{
    const struct frame_space space = space_of(SIZE, GENERATION);

    for (uint64_t at = OFF_FRAMES; at < space.frames_end; at += FRAME_ALIGN) {
        struct word_facts facts;

        /* Whatever span the caller gives. */
        cr_assert_ok(
            word_decode(&space, at, word_checked(&space, at, WORD_ROLL, 0, 12345), &facts));
        cr_assert(facts.state == WORD_ROLL && facts.span == space.frames_end - at &&
                  facts.count == 0);
    }
}

/* ---- limits --------------------------------------------------------------------------------- */

Test(word, nothing_is_believed_outside_the_frames)
{
    const struct frame_space space = space_of(SIZE, GENERATION);
    const uint64_t word = word_data(&space, 0);
    struct word_facts facts;

    cr_assert_ok(word_decode(&space, OFF_FRAMES, word, &facts));
    cr_assert_status(word_decode(&space, 0, word, &facts), SEGLOG_ECORRUPT);
    cr_assert_status(word_decode(&space, OFF_FRAMES - FRAME_ALIGN, word, &facts), SEGLOG_ECORRUPT);
    cr_assert_status(word_decode(&space, space.frames_end, word, &facts), SEGLOG_ECORRUPT);
    cr_assert_status(word_decode(&space, UINT64_MAX - 31, word, &facts), SEGLOG_ECORRUPT);
    for (uint64_t odd = 1; odd < FRAME_ALIGN; odd++)
        cr_assert_status(word_decode(&space, OFF_FRAMES + odd, word, &facts), SEGLOG_ECORRUPT);
    /* Not even an empty word: there is no frame to be. */
    cr_assert_status(word_decode(&space, space.frames_end, 0, &facts), SEGLOG_ECORRUPT);
}

Test(word, the_last_unit_is_kept_for_roll)
{
    const struct frame_space space = space_of(SIZE, GENERATION);
    const uint64_t last = space.frames_end - FRAME_ALIGN;
    const uint64_t before = last - FRAME_ALIGN;
    struct word_facts facts;

    cr_assert_ok(word_decode(&space, before, word_data(&space, 0), &facts));
    cr_assert_status(word_decode(&space, before, word_data(&space, 1), &facts), SEGLOG_ECORRUPT);
    cr_assert_status(word_decode(&space, last, word_data(&space, 0), &facts), SEGLOG_ECORRUPT);
    cr_assert_ok(word_decode(&space, before, word_claimed(0, 1, 1, 32), &facts));
    cr_assert_status(word_decode(&space, before, word_claimed(0, 1, 1, 64), &facts),
                     SEGLOG_ECORRUPT);
    cr_assert_status(word_decode(&space, last, word_claimed(0, 1, 1, 32), &facts), SEGLOG_ECORRUPT);
    cr_assert_ok(
        word_decode(&space, before, word_checked(&space, before, WORD_PAD, 0, 32), &facts));
    cr_assert_status(word_decode(&space, last, word_checked(&space, last, WORD_PAD, 0, 32), &facts),
                     SEGLOG_ECORRUPT);
    cr_assert_status(
        word_decode(&space, last, word_checked(&space, last, WORD_ABORTED, 1, 32), &facts),
        SEGLOG_ECORRUPT);
    cr_assert_ok(word_decode(&space, last, word_checked(&space, last, WORD_ROLL, 0, 0), &facts));
}

Test(word, a_span_is_at_most_a_quarter_of_the_segment)
{
    for (uint64_t size = SEGMENT_SIZE_MIN; size <= SEGMENT_SIZE_MAX; size *= 2) {
        const struct frame_space space = space_of(size, GENERATION);
        const uint64_t max = size / 4;
        struct word_facts facts;

        cr_assert_ok(word_decode(&space, OFF_FRAMES, word_data(&space, max - 32), &facts));
        cr_assert_status(word_decode(&space, OFF_FRAMES, word_data(&space, max - 31), &facts),
                         SEGLOG_ECORRUPT);
        cr_assert_status(word_decode(&space, OFF_FRAMES, word_data(&space, UINT32_MAX), &facts),
                         SEGLOG_ECORRUPT);
        cr_assert_ok(word_decode(&space, OFF_FRAMES, word_claimed(0, 1, 1, max), &facts));
        cr_assert_status(word_decode(&space, OFF_FRAMES, word_claimed(0, 1, 1, max + 32), &facts),
                         SEGLOG_ECORRUPT);
        cr_assert_status(word_decode(&space, OFF_FRAMES,
                                     word_checked(&space, OFF_FRAMES, WORD_ABORTED, 1, max + 32),
                                     &facts),
                         SEGLOG_ECORRUPT);
        cr_assert_status(word_decode(&space, OFF_FRAMES,
                                     word_checked(&space, OFF_FRAMES, WORD_PAD, 0, max + 32),
                                     &facts),
                         SEGLOG_ECORRUPT);
    }
}

Test(word, impossible_counts_are_refused)
{
    const struct frame_space space = space_of(SIZE, GENERATION);
    const uint64_t at = OFF_FRAMES;
    struct word_facts facts;

    /* No number, or more numbers than headers have room. */
    cr_assert_status(decode(at, word_claimed(0, 1, 0, 64), &facts), SEGLOG_ECORRUPT);
    cr_assert_status(decode(at, word_claimed(0, 1, 3, 64), &facts), SEGLOG_ECORRUPT);
    cr_assert_status(decode(at, word_claimed(0, 1, 1, 0), &facts), SEGLOG_ECORRUPT);
    cr_assert_status(decode(at, word_claimed(0, 0, 1, 64), &facts), SEGLOG_ECORRUPT);
    cr_assert_status(decode(at, word_checked(&space, at, WORD_ABORTED, 0, 64), &facts),
                     SEGLOG_ECORRUPT);
    cr_assert_status(decode(at, word_checked(&space, at, WORD_ABORTED, 3, 64), &facts),
                     SEGLOG_ECORRUPT);
    cr_assert_status(decode(at, word_checked(&space, at, WORD_PAD, 1, 64), &facts),
                     SEGLOG_ECORRUPT);
    cr_assert_status(decode(at, word_checked(&space, at, WORD_PAD, 0, 0), &facts), SEGLOG_ECORRUPT);
    cr_assert_status(decode(at, word_checked(&space, at, WORD_ROLL, 1, 0), &facts),
                     SEGLOG_ECORRUPT);
}

Test(word, unknown_states_types_and_flags_are_refused)
{
    const struct frame_space space = space_of(SIZE, GENERATION);
    const uint64_t data = word_data(&space, 10);
    struct word_facts facts;

    for (uint64_t type = 0; type < 32; type++) {
        const uint64_t word = (data & ~(UINT64_C(0x1f) << 3)) | type << 3;

        if (type != FRAME_TYPE_DATA)
            cr_assert_status(decode(OFF_FRAMES, word, &facts), SEGLOG_ECORRUPT);
    }
    for (unsigned bit = 8; bit < 16; bit++)
        cr_assert_status(decode(OFF_FRAMES, data | UINT64_C(1) << bit, &facts), SEGLOG_ECORRUPT);
    cr_assert_status(decode(OFF_FRAMES, (data & ~UINT64_C(7)) | 0, &facts), SEGLOG_ECORRUPT);
    cr_assert_status(decode(OFF_FRAMES, (data & ~UINT64_C(7)) | 6, &facts), SEGLOG_ECORRUPT);
    cr_assert_status(decode(OFF_FRAMES, (data & ~UINT64_C(7)) | 7, &facts), SEGLOG_ECORRUPT);
    cr_assert_status(decode(OFF_FRAMES, UINT64_MAX, &facts), SEGLOG_ECORRUPT);
}

/* ---- words in the wrong place --------------------------------------------------------------- */

Test(word, a_checked_word_belongs_to_one_offset_and_one_generation)
{
    static const enum word_state states[] = {WORD_ABORTED, WORD_PAD, WORD_ROLL};
    const struct frame_space space = space_of(SIZE, GENERATION);

    for (size_t s = 0; s < 3; s++) {
        const uint32_t count = states[s] == WORD_ABORTED ? 1 : 0;
        const uint64_t word = word_checked(&space, OFF_FRAMES, states[s], count, 64);
        struct word_facts facts;

        for (uint64_t at = OFF_FRAMES + FRAME_ALIGN; at < space.frames_end; at += FRAME_ALIGN)
            cr_assert_status(word_decode(&space, at, word, &facts), SEGLOG_ECORRUPT);
        for (unsigned bit = 0; bit < 64; bit++) {
            const struct frame_space other = space_of(SIZE, GENERATION ^ UINT64_C(1) << bit);

            assert_refused(word_decode(&other, OFF_FRAMES, word, &facts), "generation bit %u", bit);
        }
    }
}

Test(word, data_of_another_generation_is_seen_by_its_low_bits)
{
    const struct frame_space space = space_of(SIZE, GENERATION);
    struct word_facts facts;

    /* The others are seen by the header's checksum: test_frame.c. */
    for (unsigned bit = 0; bit < 16; bit++) {
        const struct frame_space other = space_of(SIZE, GENERATION ^ UINT64_C(1) << bit);

        cr_assert_status(word_decode(&other, OFF_FRAMES, word_data(&space, 5), &facts),
                         SEGLOG_ECORRUPT);
    }
}

/* ---- bits ----------------------------------------------------------------------------------- */

/* DATA: bits 0..31 are seen here. The length is under the header's checksum: test_frame.c. */
Test(word, a_turned_bit_in_data_is_seen_but_for_its_length)
{
    const struct frame_space space = space_of(SIZE, GENERATION);

    for (uint64_t len = 0; len <= space.span_max - FRAME_HEADER; len += 37) {
        const uint64_t word = word_data(&space, len);
        struct word_facts facts;

        for (unsigned bit = 0; bit < 32; bit++)
            cr_assert_status(decode(OFF_FRAMES, word ^ UINT64_C(1) << bit, &facts),
                             SEGLOG_ECORRUPT);
        for (unsigned bit = 32; bit < 64; bit++) {
            if (decode(OFF_FRAMES, word ^ UINT64_C(1) << bit, &facts) == 0)
                cr_assert_eq(facts.len, len ^ UINT64_C(1) << (bit - 32));
        }
    }
}

/*
 * CLAIMED carries no check: it is believed only in the boot that wrote it. What a turned bit does is
 * to change its own field and no other; the state's bits are seen.
 */
Test(word, a_turned_bit_in_a_claim_changes_one_field)
{
    const uint64_t word = word_claimed(0x155, 0x2aaa, 0x55, 0x1555 * FRAME_ALIGN / 16);
    struct word_facts was, facts;

    cr_assert_ok(decode(OFF_FRAMES, word, &was));
    for (unsigned bit = 0; bit < 64; bit++) {
        const int rc = decode(OFF_FRAMES, word ^ UINT64_C(1) << bit, &facts);

        if (bit < 3) {
            cr_assert_status(rc, SEGLOG_ECORRUPT);
            continue;
        }
        if (rc < 0) { /* a count or span that cannot be */
            cr_assert(bit >= 28);
            continue;
        }
        cr_assert_eq(facts.state, WORD_CLAIMED);
        cr_assert_eq(facts.slot != was.slot, bit >= 3 && bit < 13);
        cr_assert_eq(facts.gen != was.gen, bit >= 13 && bit < 28);
        cr_assert_eq(facts.count != was.count, bit >= 28 && bit < 40);
        cr_assert_eq(facts.span != was.span, bit >= 40);
    }
}

/*
 * ABORTED, PAD and ROLL: every bit is under the check. One turned bit is out of its reach: bit 1 of
 * ABORTED makes a CLAIMED of the same span and count, which has no check. It still takes the same
 * bytes and numbers and delivers nothing; where claims cannot be (sealed, below a mark) it is damage.
 */
Test(word, a_turned_bit_in_a_checked_word_is_seen)
{
    const struct frame_space space = space_of(SIZE, GENERATION);

    for (uint64_t at = OFF_FRAMES; at < space.frames_end - 4096; at += 7 * FRAME_ALIGN) {
        const uint64_t words[] = {
            word_checked(&space, at, WORD_ABORTED, 3, 256),
            word_checked(&space, at, WORD_PAD, 0, 256),
            word_checked(&space, at, WORD_ROLL, 0, 0),
        };

        for (size_t w = 0; w < 3; w++) {
            for (unsigned bit = 0; bit < 64; bit++) {
                struct word_facts facts;
                const int rc = decode(at, words[w] ^ UINT64_C(1) << bit, &facts);

                if (w == 0 && bit == 1 && rc == 0) {
                    cr_assert(facts.state == WORD_CLAIMED && facts.count == 3 && facts.span == 256);
                    continue;
                }
                assert_refused(rc, "word %zu bit %u", w, bit);
            }
        }
    }
}

/* Two bits, too: the check is 25 bits of a CRC whose distance over so few bits is more than two. */
Test(word, two_turned_bits_in_a_checked_word_are_seen)
{
    const struct frame_space space = space_of(SIZE, GENERATION);
    const uint64_t word = word_checked(&space, OFF_FRAMES, WORD_PAD, 0, 4096);

    for (unsigned a = 3; a < 64; a++) {
        for (unsigned b = a + 1; b < 64; b++) {
            struct word_facts facts;

            cr_assert_status(decode(OFF_FRAMES, word ^ UINT64_C(1) << a ^ UINT64_C(1) << b, &facts),
                             SEGLOG_ECORRUPT);
        }
    }
}

/* Whatever 64 bits say, what is believed stays inside the segment. */
Test(word, no_word_leads_out_of_the_segment)
{
    const struct frame_space space = space_of(SIZE, GENERATION);
    uint64_t random = 88172645463325252u; /* xorshift64 */

    for (unsigned i = 0; i < 2000000; i++) {
        struct word_facts facts;
        uint64_t at, word;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        at = OFF_FRAMES + random % ((space.frames_end - OFF_FRAMES) / FRAME_ALIGN) * FRAME_ALIGN;
        word = random;
        if (i % 4 == 1) /* claims, of spans that may fit */
            word = (word & UINT64_C(0x0003fffffffffff8)) | WORD_CLAIMED;
        if (i % 4 == 2) /* data, of lengths that may fit */
            word = word_data(&space, word & 0x7fff);
        if (i % 4 == 3) /* the others, with a good check */
            word = word_checked(&space, at, (enum word_state)(3 + word % 3), word >> 8 & 0x3ff,
                                (word >> 20 & 0x3ff) * FRAME_ALIGN);
        if (word_decode(&space, at, word, &facts) < 0 || facts.state == WORD_EMPTY)
            continue;
        cr_assert_geq(facts.span, FRAME_ALIGN);
        cr_assert_eq(facts.span % FRAME_ALIGN, 0);
        cr_assert_leq(at + facts.span, space.frames_end);
        if (facts.state != WORD_ROLL)
            cr_assert(facts.span <= space.span_max && span_fits(&space, at, facts.span));
    }
}
