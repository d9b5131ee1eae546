/*
 * word_decode(): whatever 64 bits say, at whatever offset, the span that is believed stays among the
 * frames, and a word that is believed is one that this library writes.
 */
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);
    const struct segment_facts seg = fuzz_segment(SEGMENT_SIZE_MIN << (mode >> 2) % 15);
    const struct frame_space *space = &seg.space;
    uint64_t offset = take_int(&in, 4);
    uint64_t word = take_int(&in, 8);
    struct word_facts facts;

    if (mode & 2) /* some place where a frame may be */
        offset = OFF_FRAMES + offset % ((space->frames_end - OFF_FRAMES) / FRAME_ALIGN) * 32;
    if ((mode & MODE_REPAIR) && (word & 7) == WORD_DATA)
        word = word_data(space, word >> 32);
    else if ((mode & MODE_REPAIR) && (word & 7) > WORD_DATA)
        word = word_checked(space, offset, (enum word_state)(word & 7), word >> 28 & COUNT_MAX,
                            (word >> 40) * FRAME_ALIGN);
    if (word_decode(space, offset, word, &facts) < 0)
        return 0;
    must(offset >= OFF_FRAMES && offset < space->frames_end && offset % FRAME_ALIGN == 0);
    switch (facts.state) {
    case WORD_EMPTY:
        must(word == 0);
        return 0;
    case WORD_CLAIMED:
        must(word == word_claimed(facts.slot, facts.gen, facts.count, facts.span));
        must(facts.slot < LIVE_SLOTS && facts.gen >= 1 && facts.gen <= SLOT_GEN_MAX);
        break;
    case WORD_DATA:
        must(word == word_data(space, facts.len));
        must(facts.span == frame_span(facts.len) && facts.count == 1);
        break;
    default:
        must(word == word_checked(space, offset, facts.state, facts.count, facts.span));
    }
    must(facts.span >= FRAME_ALIGN && facts.span % FRAME_ALIGN == 0);
    must(facts.span / FRAME_ALIGN >= facts.count);
    if (facts.state == WORD_ROLL) {
        must(offset + facts.span == space->frames_end && facts.count == 0);
        return 0;
    }
    must(facts.span <= space->span_max);
    must(offset + facts.span <= space->frames_end - FRAME_ALIGN);
    must((facts.count == 0) == (facts.state == WORD_PAD));
    return 0;
}
