/*
 * Word 0 of a frame: 64 bits that say what lies here, how long it is and how many numbers it takes.
 *
 *   bit   0..2   3..7      8..15   16..31        32..63
 *   DATA   2     type      flags   gen16         payload length          takes 1 number
 *
 *         0..2   3..12     13..27  28..39        40..63
 *   CLAIM  1     slot      gen     count         span / 32
 *
 *         0..2   3..27             28..39        40..63
 *   ABORT  3     check             count         span / 32
 *   PAD    4     check             0             span / 32
 *   ROLL   5     check             0             0: to the end of the frames
 *
 * Zero is "never written". The check is the low 25 bits of the CRC-32C of the word with a zero check,
 * seeded by generation and offset like every checksum in the segment; gen16 is the low 16 bits of
 * the generation. Everything is checked before a span is followed: any process may have written it.
 */
#ifndef FORMAT_WORD_H
#define FORMAT_WORD_H

#include "base/crc32c.h"
#include "format/layout.h"

#include <seglog/status.h>

#include <stdbool.h>

enum word_state {
    WORD_EMPTY = 0,
    WORD_CLAIMED = 1,
    WORD_DATA = 2,
    WORD_ABORTED = 3,
    WORD_PAD = 4,
    WORD_ROLL = 5,
};

#define FRAME_TYPE_DATA 1u
#define SLOT_GEN_MAX    0x7fffu
#define COUNT_MAX       0xfffu
#define UNITS_MAX       0xffffffu
#define CHECK_MASK      0x1ffffffu

/* Where frames may lie in a segment, and what seeds its checksums. */
struct frame_space {
    uint64_t frames_off;
    uint64_t frames_end; /* the last unit before it is kept for ROLL */
    uint64_t span_max;   /* of one claim: a quarter of the segment */
    uint32_t seed;       /* CRC-32C of the generation's 8 bytes */
    uint32_t gen16;
    bool fast; /* crc32c_is_hardware() */
};

/* What word 0 says. */
struct word_facts {
    enum word_state state;
    uint32_t count; /* sequence numbers taken */
    uint64_t span;  /* bytes taken, header and padding included */
    uint64_t len;   /* DATA: payload bytes */
    uint32_t slot;  /* CLAIMED */
    uint32_t gen;   /* CLAIMED */
    uint32_t flags; /* DATA */
};

/* Shared words are little-endian whatever the machine. */
static inline uint64_t word_load(const _Atomic uint64_t *p, memory_order order)
{
    return le_swap64(atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)p, order));
}

static inline void word_store(_Atomic uint64_t *p, uint64_t v, memory_order order)
{
    atomic_store_explicit(p, le_swap64(v), order);
}

/* The register that every checksum at this offset starts from. */
static inline uint32_t frame_seed(const struct frame_space *space, uint64_t offset)
{
    return ~(space->seed ^ (uint32_t)(offset / FRAME_ALIGN));
}

/* Bytes that a record of len payload bytes takes. */
static inline uint64_t frame_span(uint64_t len)
{
    return align_up(FRAME_HEADER + len, FRAME_ALIGN);
}

static inline uint64_t word_data(const struct frame_space *space, uint64_t len)
{
    return (uint64_t)WORD_DATA | FRAME_TYPE_DATA << 3 | (uint64_t)space->gen16 << 16 | len << 32;
}

static inline uint64_t word_claimed(uint32_t slot, uint32_t gen, uint32_t count, uint64_t span)
{
    return (uint64_t)WORD_CLAIMED | (uint64_t)slot << 3 | (uint64_t)gen << 13 |
           (uint64_t)count << 28 | span / FRAME_ALIGN << 40;
}

/* ABORTED, PAD or ROLL, with its check. */
uint64_t word_checked(const struct frame_space *space, uint64_t offset, enum word_state state,
                      uint32_t count, uint64_t span);

/*
 * Believe a word or not. 0 and *out filled, or SEGLOG_ECORRUPT. A span that is believed is at least
 * one unit and ends at or before frames_end (before its last unit for all but ROLL).
 */
int word_decode(const struct frame_space *space, uint64_t offset, uint64_t word,
                struct word_facts *out);

/* true when a span at offset leaves the unit for ROLL alone. Neither sum can wrap: both < 2^31. */
static inline bool span_fits(const struct frame_space *space, uint64_t offset, uint64_t span)
{
    return offset + span <= space->frames_end - FRAME_ALIGN;
}

#endif
