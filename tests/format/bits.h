/*
 * What the tests of the format share: one bit turned at a time, and a frame space to work in.
 */
#ifndef TEST_FORMAT_BITS_H
#define TEST_FORMAT_BITS_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "format/footer.h"
#include "support/check.h"

#define GENERATION UINT64_C(0x1122334455667788)

/* The call must find damage; the rest says where. */
#define assert_refused(call, ...) cr_assert((call) == SEGLOG_ECORRUPT, __VA_ARGS__)

static inline void flip(void *bytes, size_t bit)
{
    uint8_t *b = bytes;

    b[bit / 8] = (uint8_t)(b[bit / 8] ^ 1u << bit % 8);
}

static inline struct frame_space space_of(uint64_t size, uint64_t generation)
{
    struct frame_space space;

    frame_space_init(&space, size, generation);
    return space;
}

static inline struct segment_facts segment_of(uint64_t size)
{
    struct segment_facts facts = {
        .uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
        .number = 7,
        .generation = GENERATION,
        .size = size,
        .created_ns = 1700000000000000000u,
        .discipline = DISCIPLINE_MAPPED,
    };

    segment_shape(size, &facts.shape);
    frame_space_init(&facts.space, size, facts.generation);
    return facts;
}

#endif
