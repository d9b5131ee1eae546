/*
 * One value that a power cut may take back to what it was when it was last durable, or to anything it
 * has been since, and to nothing else: a cursor's place, a cell's value, a value in a table.
 */
#ifndef TEST_POWERCUT_KEPT_H
#define TEST_POWERCUT_KEPT_H

#include <stdbool.h>
#include <stdint.h>

#define KEPT_SINCE 12u

/* 0: there is none. */
struct kept {
    uint64_t durable;
    uint64_t since[KEPT_SINCE + 1]; /* in this order; the last may be under way */
    uint32_t count;
};

static inline bool kept_is_full(const struct kept *k)
{
    return k->count >= KEPT_SINCE;
}

/* As who uses it sees it. */
static inline uint64_t kept_now(const struct kept *k)
{
    return k->count > 0 ? k->since[k->count - 1] : k->durable;
}

/* From now on it may be this. Room is kept for one more when it is full: for what makes it durable. */
static inline void kept_may(struct kept *k, uint64_t value)
{
    k->since[k->count++] = value;
}

/* It is this, and stays. */
static inline void kept_is(struct kept *k, uint64_t value)
{
    k->durable = value;
    k->count = 0;
}

static inline bool kept_allows(const struct kept *k, uint64_t value)
{
    bool allows = value == k->durable;

    for (uint32_t i = 0; i < k->count; i++)
        allows = allows || value == k->since[i];
    return allows;
}

#endif
