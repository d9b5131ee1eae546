/*
 * The rest of a frame's header: sequence, time, tag, and the two checksums.
 *
 * The header checksum covers the final word 0 and all other fields, the payload's checksum among
 * them; both are seeded with the segment's generation and the frame's offset, so bytes that are
 * stale or in the wrong place do not check out. A good header with a bad payload costs one record;
 * a bad header costs the way to the next good one.
 */
#ifndef FORMAT_FRAME_H
#define FORMAT_FRAME_H

#include "base/crc32c_hot.h"
#include "format/word.h"

/* What a reader gets to know of a record besides its payload. */
struct frame_facts {
    uint64_t time_ns;
    uint32_t seq_rel;
    uint32_t pcrc;
    uint32_t tag;
};

/* Read a DATA header without checking it. */
static inline void frame_peek(const struct frame_header *header, struct frame_facts *out)
{
    out->time_ns = le64_get(&header->time_ns);
    out->seq_rel = le32_get(&header->seq_rel);
    out->pcrc = le32_get(&header->pcrc);
    out->tag = le32_get(&header->tag);
}

/* Bytes 0..7 (word), 16..31 (time, payload checksum, tag), 8..11 (sequence), in that order. */
static inline uint32_t frame_header_crc(const struct frame_space *space, uint64_t offset,
                                        uint64_t word, const struct frame_facts *f)
{
    return ~crc32c_words(space->fast, frame_seed(space, offset), word, f->time_ns,
                         (uint64_t)f->tag << 32 | f->pcrc, f->seq_rel);
}

/*
 * Fill a header for a DATA word, all but word 0 itself, which the caller stores last. The payload's
 * checksum is that of the caller: ~crc32c(frame_seed(), payload). What is
 * combined for the header's checksum is stored that way.
 */
static inline void frame_fill(const struct frame_space *space, uint64_t offset,
                              struct frame_header *header, uint64_t word,
                              const struct frame_facts *facts)
{
    const uint64_t pcrc_and_tag = (uint64_t)facts->tag << 32 | facts->pcrc;

    static_assert(offsetof(struct frame_header, tag) == offsetof(struct frame_header, pcrc) + 4,
                  "one store");
    le64_put(&header->time_ns, facts->time_ns);
    le64_put((le64 *)(void *)((uint8_t *)header + offsetof(struct frame_header, pcrc)),
             pcrc_and_tag);
    le32_put(&header->seq_rel, facts->seq_rel);
    le32_put(&header->hcrc, frame_header_crc(space, offset, word, facts));
}

/* Check a DATA header against its word. 0 and *out, or SEGLOG_ECORRUPT. */
static inline int frame_check(const struct frame_space *space, uint64_t offset, uint64_t word,
                              const struct frame_header *header, struct frame_facts *out)
{
    frame_peek(header, out);
    return frame_header_crc(space, offset, word, out) == le32_get(&header->hcrc) ? 0
                                                                                 : SEGLOG_ECORRUPT;
}

/* 0, or SEGLOG_ECORRUPT when the payload is not what was appended here. */
static inline int frame_check_payload(const struct frame_space *space, uint64_t offset,
                                      const void *payload, uint64_t len, uint32_t pcrc)
{
    return ~crc32c_check_hot(space->fast, frame_seed(space, offset), payload, len) == pcrc
               ? 0
               : SEGLOG_ECORRUPT;
}

#endif
