/*
 * Frame headers: filling and checking. See frame.h for what covers what.
 */
#include "format/frame.h"

/* Bytes 0..7 (word), 16..31 (time, payload checksum, tag), 8..11 (sequence), in that order. */
static uint32_t header_crc(uint32_t seed, uint64_t word, const struct frame_header *header)
{
    uint8_t bytes[28];

    word = le_swap64(word);
    memcpy(bytes, &word, 8);
    memcpy(bytes + 8, &header->time_ns, 16);
    memcpy(bytes + 24, &header->seq_rel, 4);
    return ~crc32c(seed, bytes, sizeof(bytes));
}

void frame_fill(const struct frame_space *space, uint64_t offset, struct frame_header *header,
                uint64_t word, const struct frame_facts *facts)
{
    le64_put(&header->time_ns, facts->time_ns);
    le32_put(&header->pcrc, facts->pcrc);
    le32_put(&header->tag, facts->tag);
    le32_put(&header->seq_rel, facts->seq_rel);
    le32_put(&header->hcrc, header_crc(frame_seed(space, offset), word, header));
}

int frame_check(const struct frame_space *space, uint64_t offset, uint64_t word,
                const struct frame_header *header, struct frame_facts *out)
{
    if (header_crc(frame_seed(space, offset), word, header) != le32_get(&header->hcrc))
        return SEGLOG_ECORRUPT;
    frame_peek(header, out);
    return 0;
}

int frame_check_payload(const struct frame_space *space, uint64_t offset, const void *payload,
                        uint64_t len, uint32_t pcrc)
{
    if (~crc32c(frame_seed(space, offset), payload, len) != pcrc)
        return SEGLOG_ECORRUPT;
    return 0;
}
