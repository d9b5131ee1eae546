/* Repeatable random numbers. */
#ifndef TEST_POWERCUT_DICE_H
#define TEST_POWERCUT_DICE_H

#include <stdint.h>

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

#endif
