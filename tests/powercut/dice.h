/* Repeatable random numbers, and the bytes of a record that follow from its mark. */
#ifndef TEST_POWERCUT_DICE_H
#define TEST_POWERCUT_DICE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct dice {
    uint64_t state; /* never 0 */
};

static inline struct dice dice_of(uint64_t seed)
{
    return (struct dice){seed * UINT64_C(0x9E3779B97F4A7C15) | 1};
}

static inline uint64_t dice_roll(struct dice *d)
{
    d->state ^= d->state << 13;
    d->state ^= d->state >> 7;
    d->state ^= d->state << 17;
    return d->state * UINT64_C(0x2545F4914F6CDD1D);
}

/* 0 .. n-1 */
static inline uint64_t dice_below(struct dice *d, uint64_t n)
{
    return (dice_roll(d) >> 16) % n;
}

#define DICE_BYTES 8192u /* of a record or value, at most */

/* The bytes that follow from a mark, which begins them: out has DICE_BYTES. Gives their length. */
static inline size_t dice_payload(uint64_t mark, uint8_t *out)
{
    struct dice d = dice_of(mark);
    const size_t len = 8 + dice_below(&d, dice_below(&d, 10) == 0 ? 6000 : 300);

    memcpy(out, &mark, 8);
    for (size_t i = 8; i < len; i += 8) {
        const uint64_t word = dice_roll(&d);

        memcpy(out + i, &word, len - i < 8 ? len - i : 8);
    }
    return len;
}

#endif
