/*
 * What a seal says of a segment: counts, ranges, the sparse index, and the hashes that chain seals.
 *
 * A valid footer means that everything it speaks of was synced before it was written. It is computed
 * by one pass over the frames (seal_begin, seal_add for each, seal_finish): the same pass checks a
 * seal again (verify compares what it computes with what is stored).
 */
#ifndef FORMAT_FOOTER_H
#define FORMAT_FOOTER_H

#include "format/blocks.h"
#include "format/frame.h"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

struct footer_facts {
    uint64_t number;
    uint64_t base_seq;
    uint64_t next_seq;
    uint64_t epoch;
    uint64_t frames_end;
    uint64_t frame_count;
    uint64_t record_count;
    uint64_t void_count;
    uint64_t payload_bytes;
    uint64_t min_time;
    uint64_t max_time;
    uint64_t first_time;
    uint64_t last_time;
    uint64_t log_max_time;
    uint64_t sealed_ns;
    uint64_t bytes_dropped;
    uint64_t frames_dropped;
    uint32_t flags;
    uint32_t index_count;
    uint32_t index_off;
    uint32_t index_crc;
    uint8_t content_hash[16];
    uint8_t prev_seal[16];
    uint8_t seal_hash[16]; /* set by footer_encode() */
    uint8_t tag_filter[TAG_FILTER_BYTES];
};

/* A seal being computed. Large (the hash state): keep it off small stacks. */
struct seal_builder {
    XXH3_state_t hash;
    struct footer_facts facts;
    struct index_entry *index; /* the caller's, room for shape.index_max entries */
    uint64_t index_max;
};

/* prev: the footer of the segment before, NULL for the first of the log. */
void seal_begin(struct seal_builder *b, const struct segment_facts *seg,
                const struct activation_facts *act, const struct footer_facts *prev,
                struct index_entry *index);

/*
 * The next frame of any kind but CLAIMED and EMPTY. header: DATA only, header and payload as stored;
 * NULL for the others.
 */
void seal_add(struct seal_builder *b, uint64_t offset, uint64_t word,
              const struct word_facts *facts, const struct frame_header *header);

/* flags: FOOTER_*; end: first byte after the last frame. The caller may still set the dropped counts
 * and sealed_ns in b->facts before encoding. */
void seal_finish(struct seal_builder *b, uint64_t end, uint32_t flags);

/* Fills facts->seal_hash too. */
void footer_encode(struct segment_footer *page, uint64_t generation, struct footer_facts *facts);

/* 0; -EAGAIN: never sealed (all zero); SEGLOG_ECORRUPT with *why. */
int footer_decode(const struct segment_footer *page, const struct segment_facts *seg,
                  struct footer_facts *out, const char **why);

/* The index as stored: count entries. 0 or SEGLOG_ECORRUPT: checksum, order or range. */
int index_check(const struct index_entry *entries, const struct footer_facts *footer,
                const struct segment_facts *seg);

/* Bloom filter of tags: false: no record of this segment has the tag. */
bool tag_filter_may_have(const uint8_t filter[TAG_FILTER_BYTES], uint32_t tag);
void tag_filter_add(uint8_t filter[TAG_FILTER_BYTES], uint32_t tag);

#endif
