/*
 * Word 0: the checked kinds, and the one place where a word is believed or not.
 */
#include "format/word.h"

static uint32_t word_check(const struct frame_space *space, uint64_t offset, uint64_t word)
{
    le64 bytes;

    le64_put(&bytes, word & ~((uint64_t)CHECK_MASK << 3));
    return ~crc32c(frame_seed(space, offset), &bytes, sizeof(bytes)) & CHECK_MASK;
}

uint64_t word_checked(const struct frame_space *space, uint64_t offset, enum word_state state,
                      uint32_t count, uint64_t span)
{
    const uint64_t units = state == WORD_ROLL ? 0 : span / FRAME_ALIGN;
    const uint64_t word = (uint64_t)state | (uint64_t)count << 28 | units << 40;

    return word | (uint64_t)word_check(space, offset, word) << 3;
}

static int decode_data(const struct frame_space *space, uint64_t offset, uint64_t word,
                       struct word_facts *out)
{
    const uint64_t len = word >> 32;

    if ((word >> 3 & 0x1f) != FRAME_TYPE_DATA || (word >> 8 & 0xff) != 0)
        return SEGLOG_ECORRUPT;
    if ((word >> 16 & 0xffff) != space->gen16 || frame_span(len) > space->span_max)
        return SEGLOG_ECORRUPT;
    if (!span_fits(space, offset, frame_span(len)))
        return SEGLOG_ECORRUPT;
    *out = (struct word_facts){.state = WORD_DATA, .count = 1, .span = frame_span(len), .len = len};
    return 0;
}

static int decode_claimed(const struct frame_space *space, uint64_t offset, uint64_t word,
                          struct word_facts *out)
{
    const struct word_facts facts = {
        .state = WORD_CLAIMED,
        .count = word >> 28 & COUNT_MAX,
        .span = (word >> 40) * FRAME_ALIGN,
        .slot = word >> 3 & (LIVE_SLOTS - 1),
        .gen = word >> 13 & SLOT_GEN_MAX,
    };

    /* Each number needs at least a header. */
    if (facts.count == 0 || facts.gen == 0 || facts.span / FRAME_ALIGN < facts.count)
        return SEGLOG_ECORRUPT;
    if (facts.span > space->span_max || !span_fits(space, offset, facts.span))
        return SEGLOG_ECORRUPT;
    *out = facts;
    return 0;
}

static int decode_checked(const struct frame_space *space, uint64_t offset, uint64_t word,
                          struct word_facts *out)
{
    struct word_facts facts = {
        .state = (enum word_state)(word & 7),
        .count = word >> 28 & COUNT_MAX,
        .span = (word >> 40) * FRAME_ALIGN,
    };

    if ((word >> 3 & CHECK_MASK) != word_check(space, offset, word))
        return SEGLOG_ECORRUPT;
    if (facts.state == WORD_ROLL) {
        if (facts.count != 0 || facts.span != 0)
            return SEGLOG_ECORRUPT;
        facts.span = space->frames_end - offset;
        *out = facts;
        return 0;
    }
    /* An aborted claim has numbers, a pad has none. */
    if ((facts.count == 0) != (facts.state == WORD_PAD))
        return SEGLOG_ECORRUPT;
    if (facts.span / FRAME_ALIGN < facts.count || facts.span == 0)
        return SEGLOG_ECORRUPT;
    if (facts.span > space->span_max || !span_fits(space, offset, facts.span))
        return SEGLOG_ECORRUPT;
    *out = facts;
    return 0;
}

int word_decode(const struct frame_space *space, uint64_t offset, uint64_t word,
                struct word_facts *out)
{
    if (offset < space->frames_off || offset % FRAME_ALIGN != 0 ||
        offset > space->frames_end - FRAME_ALIGN)
        return SEGLOG_ECORRUPT;
    if (word == 0) {
        *out = (struct word_facts){.state = WORD_EMPTY};
        return 0;
    }
    switch (word & 7) {
    case WORD_CLAIMED:
        return decode_claimed(space, offset, word, out);
    case WORD_DATA:
        return decode_data(space, offset, word, out);
    case WORD_ABORTED:
    case WORD_PAD:
    case WORD_ROLL:
        return decode_checked(space, offset, word, out);
    default:
        return SEGLOG_ECORRUPT;
    }
}
