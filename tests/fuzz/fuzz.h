/*
 * What the fuzz targets share: taking an input apart, saying what must hold, and making checksums
 * right so that what lies behind them is reached.
 *
 * The first byte of an input chooses: bit 0 set, and the target puts right checksums (and the few
 * fields that bind a block to its place) before it decodes.
 */
#ifndef TEST_FUZZ_FUZZ_H
#define TEST_FUZZ_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "format/footer.h"

#define MODE_REPAIR 1u

#define FUZZ_GENERATION UINT64_C(0x1122334455667788)

/* What must hold whatever the input is. */
#define must(fact)                                                             \
    do {                                                                       \
        if (!(fact)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact); \
            abort();                                                           \
        }                                                                      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct input {
    const uint8_t *at;
    size_t left;
};

static inline struct input input_of(const uint8_t *data, size_t len)
{
    return (struct input){.at = data, .left = len};
}

/* The next n bytes; zeros where the input is at its end. */
static inline void take(struct input *in, void *out, size_t n)
{
    const size_t have = in->left < n ? in->left : n;

    memset(out, 0, n);
    if (have > 0)
        memcpy(out, in->at, have);
    in->at += have;
    in->left -= have;
}

static inline uint64_t take_int(struct input *in, size_t bytes)
{
    le64 v = {{0}};

    take(in, &v, bytes);
    return le64_get(&v);
}

static inline uint32_t crc_of(const void *bytes, size_t n)
{
    return ~crc32c(~0u, bytes, n);
}

/* A segment that blocks may belong to; small, so that offsets are often good. */
static inline struct segment_facts fuzz_segment(uint64_t size)
{
    struct segment_facts facts = {
        .uuid = {0x5e, 0x61},
        .number = 7,
        .generation = FUZZ_GENERATION,
        .size = size,
        .discipline = DISCIPLINE_MAPPED,
    };

    segment_shape(size, &facts.shape);
    frame_space_init(&facts.space, size, facts.generation);
    return facts;
}

#endif
