/*
 * A ring's header and its words: what is accepted is in range, and encodes to what was decoded.
 */
#include "fuzz/fuzz.h"

#include "format/ring.h"

static void header(struct input *in, uint64_t mode)
{
    struct ring_header page, again;
    struct ring_facts facts, same;
    const char *why = NULL;
    int rc;

    take(in, &page, sizeof(page));
    if (mode & MODE_REPAIR) {
        memcpy(page.head.magic, MAGIC_RING, 8);
        le32_put(&page.crc, crc_of(&page, offsetof(struct ring_header, crc)));
    }
    rc = ring_header_decode(&page, &facts, &why);
    if (rc < 0) {
        must(why != NULL);
        must(rc == SEGLOG_ENOTLOG || rc == SEGLOG_EENDIAN || rc == SEGLOG_ECORRUPT ||
             rc == SEGLOG_EVERSION);
        return;
    }
    must(facts.size >= RING_SIZE_MIN && facts.size <= RING_SIZE_MAX);
    must(facts.data_off >= RING_CTRL_BYTES && facts.data_off % PAGE_BYTES == 0);
    must(facts.start % RING_ALIGN == 0);
    must(ring_pair_refusal(facts.kind, facts.overload) == NULL);
    ring_header_encode(&again, &facts);
    must(ring_header_decode(&again, &same, &why) == 0);
    must(memcmp(&again.size, &page.size, offsetof(struct ring_header, zero) - 56) == 0);
}

static uint64_t encoded(const struct ring_word_facts *facts)
{
    switch (facts->state) {
    case RING_CLAIMED:
        return ring_word_claimed(facts->place, facts->gen, facts->span);
    case RING_DATA:
        return ring_word_data(facts->len, facts->stamped);
    case RING_DONE:
        return ring_word_data(facts->len, facts->stamped) - RING_DATA + RING_DONE;
    case RING_PAD:
        return ring_word_pad(facts->span);
    default:
        return 0;
    }
}

static void word(uint64_t bits, uint64_t size)
{
    struct ring_word_facts facts;
    const int rc = ring_word_decode(bits, size, &facts);

    must(rc == 0 || rc == SEGLOG_ECORRUPT);
    if (rc < 0)
        return;
    must(encoded(&facts) == bits);
    if (facts.state == RING_EMPTY)
        return;
    must(facts.span > 0 && facts.span <= size / 2 && facts.span % RING_ALIGN == 0);
    must(ring_word_is_data(bits) == (facts.state == RING_DATA));
    if (facts.state == RING_DATA)
        must(ring_word_span(bits) == facts.span && facts.len < facts.span);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);
    const uint64_t size = RING_SIZE_MIN << take_int(&in, 1) % 19;

    for (int i = 0; i < 8; i++)
        word(take_int(&in, 8), size);
    header(&in, mode);
    return 0;
}
