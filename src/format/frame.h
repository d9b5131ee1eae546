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

#include "format/word.h"

/* What a reader gets to know of a record besides its payload. */
struct frame_facts {
    uint64_t time_ns;
    uint32_t seq_rel;
    uint32_t pcrc;
    uint32_t tag;
};

/*
 * Fill a header for a DATA word, all but word 0 itself, which the caller stores last. The payload's
 * checksum is that of the caller: ~crc32c(frame_seed(), payload).
 */
void frame_fill(const struct frame_space *space, uint64_t offset, struct frame_header *header,
                uint64_t word, const struct frame_facts *facts);

/* Check a DATA header against its word. 0 and *out, or SEGLOG_ECORRUPT. */
int frame_check(const struct frame_space *space, uint64_t offset, uint64_t word,
                const struct frame_header *header, struct frame_facts *out);

/* Read a DATA header without checking it. */
static inline void frame_peek(const struct frame_header *header, struct frame_facts *out)
{
    out->time_ns = le64_get(&header->time_ns);
    out->seq_rel = le32_get(&header->seq_rel);
    out->pcrc = le32_get(&header->pcrc);
    out->tag = le32_get(&header->tag);
}

/* 0, or SEGLOG_ECORRUPT when the payload is not what was appended here. */
int frame_check_payload(const struct frame_space *space, uint64_t offset, const void *payload,
                        uint64_t len, uint32_t pcrc);

#endif
