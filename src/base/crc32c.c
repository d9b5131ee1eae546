/*
 * CRC-32C, alone and together with a copy: the hot path of appending and of reading.
 *
 * The instruction takes 8 bytes, starts once a cycle and answers after three, so one chain of it runs
 * at a third of its speed. Short data is one chain anyway: records are independent, and the
 * processor overlaps the chain of one with whatever surrounds it. Long data is cut into three
 * neighbouring streams that run interleaved and are joined with a carry-less multiplication.
 *
 * Copying rides along: each word is loaded once, stored once and checksummed from the register, so
 * that the checksum is of the very bytes that were stored, even if somebody writes to the source.
 */
#include "base/crc32c.h"

#include "base/bytes.h"
#include "base/crc32c_table.h"

#include <assert.h>
#include <string.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Where in memory order matters: the bytes of a word, the first in the low bits. */
ALWAYS_INLINE uint64_t word_load(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return le_swap64(v);
}

ALWAYS_INLINE void word_store(uint8_t *p, uint64_t v)
{
    v = le_swap64(v);
    memcpy(p, &v, sizeof(v));
}

/* ---- tables --------------------------------------------------------------------------------- */

/* dst NULL: only the checksum. Always inlined with a constant NULL or a pointer. */
ALWAYS_INLINE uint32_t portable_run(uint32_t state, uint8_t *restrict dst,
                                    const uint8_t *restrict src, size_t n, bool copies)
{
    for (; n >= 8; n -= 8, src += 8) {
        uint64_t v = word_load(src);
        if (copies) {
            word_store(dst, v);
            dst += 8;
        }
        v ^= state;
        state = crc_table[7][v & 0xff] ^ crc_table[6][v >> 8 & 0xff] ^
                crc_table[5][v >> 16 & 0xff] ^ crc_table[4][v >> 24 & 0xff] ^
                crc_table[3][v >> 32 & 0xff] ^ crc_table[2][v >> 40 & 0xff] ^
                crc_table[1][v >> 48 & 0xff] ^ crc_table[0][v >> 56];
    }
    for (; n > 0; n--, src++) {
        const uint8_t b = *src;
        if (copies)
            *dst++ = b;
        state = state >> 8 ^ crc_table[0][(state ^ b) & 0xff];
    }
    return state;
}

uint32_t crc32c_portable(uint32_t state, const void *data, size_t n)
{
    return portable_run(state, NULL, data, n, false);
}

/* ---- instructions --------------------------------------------------------------------------- */

#if defined(__x86_64__)

#include <nmmintrin.h>
#include <wmmintrin.h>

#define CRC_TARGET     __attribute__((target("sse4.2")))
#define STREAMS_TARGET __attribute__((target("sse4.2,pclmul")))
#define CRC_INLINE     ALWAYS_INLINE CRC_TARGET
#define STREAMS_INLINE ALWAYS_INLINE STREAMS_TARGET
#define HAVE_CRC       1

/* Both read a word that the compiler's runtime fills before main(): cheap, and no race. */
ALWAYS_INLINE bool have_crc(void)
{
#ifdef __SSE4_2__
    return true;
#else
    return __builtin_cpu_supports("sse4.2");
#endif
}

ALWAYS_INLINE bool have_streams(void)
{
#ifdef __PCLMUL__
    return true;
#else
    return __builtin_cpu_supports("pclmul");
#endif
}

CRC_INLINE uint64_t crc_u64(uint64_t state, uint64_t v)
{
    return _mm_crc32_u64(state, v);
}

CRC_INLINE uint32_t crc_u32(uint32_t state, uint32_t v)
{
    return _mm_crc32_u32(state, v);
}

CRC_INLINE uint32_t crc_u16(uint32_t state, uint16_t v)
{
    return _mm_crc32_u16(state, v);
}

CRC_INLINE uint32_t crc_u8(uint32_t state, uint8_t v)
{
    return _mm_crc32_u8(state, v);
}

STREAMS_INLINE uint64_t carryless_product(uint32_t a, uint32_t b)
{
    return (uint64_t)_mm_cvtsi128_si64(
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)a), _mm_cvtsi64_si128((long long)b), 0));
}

#elif defined(__aarch64__) && defined(__linux__)

#include <arm_acle.h>
#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>

#ifdef __clang__
#define CRC_TARGET     __attribute__((target("crc")))
#define STREAMS_TARGET __attribute__((target("crc,aes")))
#else
#define CRC_TARGET     __attribute__((target("+crc")))
#define STREAMS_TARGET __attribute__((target("+crc+crypto")))
#endif
#define CRC_INLINE     ALWAYS_INLINE CRC_TARGET
#define STREAMS_INLINE ALWAYS_INLINE STREAMS_TARGET
#define HAVE_CRC       1

/* getauxval() reads what the kernel passed at exec; it is not a system call. */
ALWAYS_INLINE bool have_crc(void)
{
#ifdef __ARM_FEATURE_CRC32
    return true;
#else
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#endif
}

ALWAYS_INLINE bool have_streams(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_PMULL) != 0;
}

CRC_INLINE uint64_t crc_u64(uint64_t state, uint64_t v)
{
    return __crc32cd((uint32_t)state, v);
}

CRC_INLINE uint32_t crc_u32(uint32_t state, uint32_t v)
{
    return __crc32cw(state, v);
}

CRC_INLINE uint32_t crc_u16(uint32_t state, uint16_t v)
{
    return __crc32ch(state, v);
}

CRC_INLINE uint32_t crc_u8(uint32_t state, uint8_t v)
{
    return __crc32cb(state, v);
}

STREAMS_INLINE uint64_t carryless_product(uint32_t a, uint32_t b)
{
    return (uint64_t)vmull_p64((poly64_t)a, (poly64_t)b);
}

#else
#define HAVE_CRC 0
#endif

#if HAVE_CRC

/* Words in each of the three streams of one round; the shift table reaches twice as far. */
#define STREAM_WORDS_MAX 128
static_assert(sizeof(crc_shift_by) / sizeof(crc_shift_by[0]) > 2 * STREAM_WORDS_MAX,
              "the first stream moves over the other two");

/* From here on three streams win over one. */
#define STREAMS_FROM 192

/* One word at `at`, on from state. */
CRC_INLINE uint64_t word_step(uint64_t state, uint8_t *dst, const uint8_t *src, size_t at,
                              bool copies)
{
    const uint64_t v = word_load(src + at);

    if (copies)
        word_store(dst + at, v);
    return crc_u64(state, v);
}

/* One chain. */
CRC_INLINE uint32_t chain_run(uint32_t state32, uint8_t *dst, const uint8_t *src, size_t n,
                              bool copies)
{
    uint64_t state = state32;
    size_t at = 0;

    for (; n - at >= 32; at += 32) {
        state = word_step(state, dst, src, at, copies);
        state = word_step(state, dst, src, at + 8, copies);
        state = word_step(state, dst, src, at + 16, copies);
        state = word_step(state, dst, src, at + 24, copies);
    }
    for (; n - at >= 8; at += 8)
        state = word_step(state, dst, src, at, copies);

    state32 = (uint32_t)state;
    if (n & 4) {
        uint32_t v;
        memcpy(&v, src + at, sizeof(v));
        if (copies)
            memcpy(dst + at, &v, sizeof(v));
        state32 = crc_u32(state32, le_swap32(v));
        at += 4;
    }
    if (n & 2) {
        uint16_t v;
        memcpy(&v, src + at, sizeof(v));
        if (copies)
            memcpy(dst + at, &v, sizeof(v));
        state32 = crc_u16(state32, le_swap16(v));
        at += 2;
    }
    if (n & 1) {
        const uint8_t v = src[at];
        if (copies)
            dst[at] = v;
        state32 = crc_u8(state32, v);
    }
    return state32;
}

/*
 * Three streams side by side, each `words` long, joined at the end of each round: the registers of the
 * first two are moved on over the zero bytes that stand for what follows them. What is left
 * over, less than three words, goes to the chain.
 */
STREAMS_INLINE uint32_t streams_run(uint32_t state, uint8_t *dst, const uint8_t *src, size_t n,
                                    bool copies)
{
    while (n >= STREAMS_FROM) {
        const size_t words = n / 24 < STREAM_WORDS_MAX ? n / 24 : STREAM_WORDS_MAX;
        const size_t span = 8 * words;
        uint64_t a = state;
        uint64_t b = 0;
        uint64_t c = 0;

        for (size_t at = 0; at < span; at += 8) {
            a = word_step(a, dst, src, at, copies);
            b = word_step(b, dst, src, at + span, copies);
            c = word_step(c, dst, src, at + 2 * span, copies);
        }
        const uint64_t moved = carryless_product((uint32_t)a, crc_shift_by[2 * words]) ^
                               carryless_product((uint32_t)b, crc_shift_by[words]);
        state = (uint32_t)(crc_u64(0, moved) ^ c);

        src += 3 * span;
        n -= 3 * span;
        if (copies)
            dst += 3 * span;
    }
    return chain_run(state, dst, src, n, copies);
}

CRC_TARGET static uint32_t crc_chain(uint32_t state, const uint8_t *src, size_t n)
{
    return chain_run(state, NULL, src, n, false);
}

STREAMS_TARGET static uint32_t crc_streams(uint32_t state, const uint8_t *src, size_t n)
{
    return streams_run(state, NULL, src, n, false);
}

CRC_TARGET static uint32_t copy_chain(uint32_t state, uint8_t *restrict dst,
                                      const uint8_t *restrict src, size_t n)
{
    return chain_run(state, dst, src, n, true);
}

STREAMS_TARGET static uint32_t copy_streams(uint32_t state, uint8_t *restrict dst,
                                            const uint8_t *restrict src, size_t n)
{
    return streams_run(state, dst, src, n, true);
}

#endif /* HAVE_CRC */

/* ---- choice --------------------------------------------------------------------------------- */

uint32_t crc32c(uint32_t state, const void *data, size_t n)
{
#if HAVE_CRC
    if (have_crc()) {
        if (n >= STREAMS_FROM && have_streams())
            return crc_streams(state, data, n);
        return crc_chain(state, data, n);
    }
#endif
    return crc32c_portable(state, data, n);
}

uint32_t crc32c_copy(uint32_t state, void *restrict dst, const void *restrict src, size_t n)
{
#if HAVE_CRC
    if (have_crc()) {
        if (n >= STREAMS_FROM && have_streams())
            return copy_streams(state, dst, src, n);
        return copy_chain(state, dst, src, n);
    }
#endif
    return portable_run(state, dst, src, n, true);
}

bool crc32c_is_hardware(void)
{
#if HAVE_CRC
    return have_crc();
#else
    return false;
#endif
}
