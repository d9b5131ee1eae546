/*
 * CRC-32C for short data, inlined into its caller: a record of 64 bytes takes fewer cycles to check
 * than a call with its choice of instruction costs.
 *
 * The instruction is written as assembly because the intrinsics may only be inlined into functions
 * that are compiled for it. The caller asks crc32c_is_hardware() once and passes the answer on as
 * `fast`; without the instruction, and for long data, this is crc32c.h.
 */
#ifndef BASE_CRC32C_HOT_H
#define BASE_CRC32C_HOT_H

#include "base/bytes.h"
#include "base/crc32c.h"

/* From here on the three streams of crc32c.c win. */
#define CRC_HOT_BELOW 160u

#if defined(__x86_64__) && defined(__GNUC__)
#define CRC_HOT 1
static inline uint64_t crc_hot64(uint64_t state, uint64_t v)
{
    __asm__("crc32q %1, %0" : "+r"(state) : "r"(v));
    return state;
}
static inline uint64_t crc_hot64_at(uint64_t state, const uint8_t *p)
{
    const struct crc_hot_bytes {
        uint8_t b[8];
    } *bytes = (const void *)p;

    __asm__("crc32q %1, %0" : "+r"(state) : "m"(*bytes));
    return state;
}
static inline uint32_t crc_hot32(uint32_t state, uint32_t v)
{
    __asm__("crc32l %1, %0" : "+r"(state) : "r"(v));
    return state;
}
static inline uint32_t crc_hot8(uint32_t state, uint8_t v)
{
    __asm__("crc32b %1, %0" : "+r"(state) : "r"(v));
    return state;
}
#elif defined(__aarch64__) && defined(__GNUC__)
#define CRC_HOT 1
static inline uint64_t crc_hot64(uint64_t state, uint64_t v)
{
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(state) : "r"(v));
    return state;
}
static inline uint64_t crc_hot64_at(uint64_t state, const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return crc_hot64(state, le_swap64(v));
}
static inline uint32_t crc_hot32(uint32_t state, uint32_t v)
{
    __asm__(".arch_extension crc\n\tcrc32cw %w0, %w0, %w1" : "+r"(state) : "r"(v));
    return state;
}
static inline uint32_t crc_hot8(uint32_t state, uint8_t v)
{
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(state) : "r"((uint32_t)v));
    return state;
}
#else
#define CRC_HOT 0
#endif

#if CRC_HOT

#define CRC_HOT_INLINE static inline __attribute__((always_inline))

/* Some multiple of 8 bytes, at most 32; n and copies are constants at each use. */
CRC_HOT_INLINE uint64_t crc_hot_step(uint64_t state, uint8_t *dst, const uint8_t *src, size_t n,
                                     bool copies)
{
    for (size_t at = 0; at < n; at += 8)
        state = crc_hot64_at(state, src + at);
    if (copies)
        memcpy(dst, src, n);
    return state;
}

/* copies is a constant at each use; without it dst is not looked at. */
CRC_HOT_INLINE uint32_t crc_hot_run(uint32_t state32, uint8_t *dst, const uint8_t *src, size_t n,
                                    bool copies)
{
    uint64_t state = state32;

    for (size_t blocks = n / 32; blocks > 0; blocks--, src += 32, dst += copies ? 32 : 0) {
        __asm__ volatile("" : "+r"(src)); /* or compilers gather the copies into one memcpy() */
        state = crc_hot_step(state, dst, src, 32, copies);
    }
    if (n % 32 == 0)
        return (uint32_t)state;
    if (n & 16) {
        state = crc_hot_step(state, dst, src, 16, copies);
        src += 16;
        dst += copies ? 16 : 0;
    }
    if (n & 8) {
        state = crc_hot_step(state, dst, src, 8, copies);
        src += 8;
        dst += copies ? 8 : 0;
    }
    if (n & 4) {
        uint32_t v;

        memcpy(&v, src, 4);
        if (copies)
            memcpy(dst, &v, 4);
        state = crc_hot32((uint32_t)state, le_swap32(v));
        src += 4;
        dst += copies ? 4 : 0;
    }
    for (n %= 4; n > 0; n--, src++, dst += copies ? 1 : 0) {
        if (copies)
            *dst = *src;
        state = crc_hot8((uint32_t)state, *src);
    }
    return (uint32_t)state;
}

#endif

/* crc32c_copy(), the short way if possible. */
static inline uint32_t crc32c_copy_hot(bool fast, uint32_t state, void *restrict dst,
                                       const void *restrict src, size_t n)
{
#if CRC_HOT
    if (fast && n < CRC_HOT_BELOW)
        return crc_hot_run(state, dst, src, n, true);
#endif
    (void)fast;
    return crc32c_copy(state, dst, src, n);
}

/* crc32c(), the short way if possible. */
static inline uint32_t crc32c_check_hot(bool fast, uint32_t state, const void *data, size_t n)
{
#if CRC_HOT
    /* Nothing is stored, but dst is counted along, which must not be done from NULL. */
    if (fast && n < CRC_HOT_BELOW)
        return crc_hot_run(state, (uint8_t *)(uintptr_t)data, data, n, false);
#endif
    (void)fast;
    return crc32c(state, data, n);
}

/*
 * The register moved over the 28 bytes of three 64-bit words and one of 32 bits, each little-endian:
 * values that lie in registers anyway need no way through memory.
 */
static inline uint32_t crc32c_words(bool fast, uint32_t state, uint64_t a, uint64_t b, uint64_t c,
                                    uint32_t d)
{
    struct {
        le64 words[3];
        le32 last;
    } bytes;

#if CRC_HOT
    if (fast)
        return crc_hot32((uint32_t)crc_hot64(crc_hot64(crc_hot64(state, a), b), c), d);
#endif
    (void)fast;
    le64_put(&bytes.words[0], a);
    le64_put(&bytes.words[1], b);
    le64_put(&bytes.words[2], c);
    le32_put(&bytes.last, d);
    return crc32c(state, &bytes, sizeof(bytes));
}

#endif
