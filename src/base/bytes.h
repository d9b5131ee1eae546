/*
 * Bytes in a fixed order, and the small arithmetic that goes with them.
 *
 * le16, le32 and le64 are structs, so that forgetting to convert does not compile; their alignment is
 * 1, so that no struct on disk needs packing.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint8_t b[2];
} le16;
typedef struct {
    uint8_t b[4];
} le32;
typedef struct {
    uint8_t b[8];
} le64;

/* Host to little-endian and back; free on little-endian machines. */
static inline uint16_t le_swap16(uint16_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return v;
#else
    return __builtin_bswap16(v);
#endif
}

static inline uint32_t le_swap32(uint32_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return v;
#else
    return __builtin_bswap32(v);
#endif
}

static inline uint64_t le_swap64(uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return v;
#else
    return __builtin_bswap64(v);
#endif
}

static inline uint16_t le16_get(const le16 *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return le_swap16(v);
}

static inline uint32_t le32_get(const le32 *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return le_swap32(v);
}

static inline uint64_t le64_get(const le64 *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return le_swap64(v);
}

static inline void le16_put(le16 *p, uint16_t v)
{
    v = le_swap16(v);
    memcpy(p, &v, sizeof(v));
}

static inline void le32_put(le32 *p, uint32_t v)
{
    v = le_swap32(v);
    memcpy(p, &v, sizeof(v));
}

static inline void le64_put(le64 *p, uint64_t v)
{
    v = le_swap64(v);
    memcpy(p, &v, sizeof(v));
}

/* align must be a power of two; the caller knows that v + align does not wrap. */
static inline uint64_t align_up(uint64_t v, uint64_t align)
{
    return (v + align - 1) & ~(align - 1);
}

static inline bool is_power_of_two(uint64_t v)
{
    return v != 0 && (v & (v - 1)) == 0;
}

/* true when all n bytes are zero. */
static inline bool bytes_are_zero(const void *p, size_t n)
{
    const uint8_t *b = p;

    if (n == 0)
        return true;
    return b[0] == 0 && memcmp(b, b + 1, n - 1) == 0;
}

#endif
