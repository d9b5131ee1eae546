/*
 * CRC-32C, alone and together with a copy: the hot path of appending and of reading.
 *
 * The instruction takes 8 bytes, starts once a cycle and answers after three, so one chain of it runs
 * at a third of its speed. Short data is one chain anyway: records are independent, and the
 * processor overlaps the chain of one with whatever surrounds it. Long data is cut into three
 * neighbouring streams that run interleaved and are joined with a carry-less multiplication.
 *
 * Copying rides along. In the chain each word is stored from the register that was checksummed.
 * Beside the three streams the copy is a fourth one, straight through memory: storing each stream's
 * own words is as fast within the cache, but a log writes to memory that is not cached yet, and there
 * writing in three places at once takes nearly twice the time.
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

/*
 * Hide where a value comes from. Compilers otherwise split a loop that copies and checksums into a
 * call of memcpy() and a second pass over the source.
 */
#define PINNED(v) __asm__("" : "+r"(v))

ALWAYS_INLINE void word_store(uint8_t *p, uint64_t v)
{
    v = le_swap64(v);
    memcpy(p, &v, sizeof(v));
}

/* ---- tables --------------------------------------------------------------------------------- */

/* copies is a constant at each use; without it dst is not looked at. */
ALWAYS_INLINE uint32_t portable_run(uint32_t state, uint8_t *dst, const uint8_t *src, size_t n,
                                    bool copies)
{
    size_t at = 0;

    for (; n - at >= 8; at += 8) {
        uint64_t v = word_load(src + at);

        PINNED(v);
        if (copies)
            word_store(dst + at, v);
        v ^= state;
        state = crc_table[7][v & 0xff] ^ crc_table[6][v >> 8 & 0xff] ^
                crc_table[5][v >> 16 & 0xff] ^ crc_table[4][v >> 24 & 0xff] ^
                crc_table[3][v >> 32 & 0xff] ^ crc_table[2][v >> 40 & 0xff] ^
                crc_table[1][v >> 48 & 0xff] ^ crc_table[0][v >> 56];
    }
    for (; at < n; at++) {
        uint8_t b = src[at];

        PINNED(b);
        if (copies)
            dst[at] = b;
        state = state >> 8 ^ crc_table[0][(state ^ b) & 0xff];
    }
    return state;
}

uint32_t crc32c_portable(uint32_t state, const void *data, size_t n)
{
    return portable_run(state, NULL, data, n, false);
}

/* Not inlined: its many registers would have to be saved on the way to the fast twin. */
__attribute__((noinline)) static uint32_t copy_portable(uint32_t state, uint8_t *restrict dst,
                                                        const uint8_t *restrict src, size_t n)
{
    return portable_run(state, dst, src, n, true);
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

#include <asm/hwcap.h>
#include <sys/auxv.h>

/*
 * By inline assembly, because compilers declare the intrinsics only where the whole file may use the
 * instructions.
 */
#define CRC_TARGET
#define STREAMS_TARGET
#define CRC_INLINE     ALWAYS_INLINE
#define STREAMS_INLINE ALWAYS_INLINE
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
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(state) : "r"(v));
    return state;
}

CRC_INLINE uint32_t crc_u32(uint32_t state, uint32_t v)
{
    __asm__(".arch_extension crc\n\tcrc32cw %w0, %w0, %w1" : "+r"(state) : "r"(v));
    return state;
}

CRC_INLINE uint32_t crc_u16(uint32_t state, uint16_t v)
{
    __asm__(".arch_extension crc\n\tcrc32ch %w0, %w0, %w1" : "+r"(state) : "r"((uint32_t)v));
    return state;
}

CRC_INLINE uint32_t crc_u8(uint32_t state, uint8_t v)
{
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(state) : "r"((uint32_t)v));
    return state;
}

STREAMS_INLINE uint64_t carryless_product(uint32_t a, uint32_t b)
{
    const uint64_t wide_a = a;
    const uint64_t wide_b = b;
    uint64_t product;

    __asm__(".arch_extension aes\n\tpmull %0.1q, %1.1d, %2.1d"
            : "=w"(product)
            : "w"(wide_a), "w"(wide_b));
    return product;
}

#else
#define HAVE_CRC 0
#endif

#if HAVE_CRC

/* Words in each of the three streams of one round; the shift table reaches twice as far. */
#define STREAM_WORDS_MAX 128
static_assert(sizeof(crc_shift_by) / sizeof(crc_shift_by[0]) > 2 * STREAM_WORDS_MAX,
              "the first stream moves over the other two");

/* From here on three streams win over one when the answer is waited for; when it is not, from 224. */
#define STREAMS_FROM 160

/* One word at `at`, on from state. */
CRC_INLINE uint64_t word_step(uint64_t state, uint8_t *dst, const uint8_t *src, size_t at,
                              bool copies)
{
    uint64_t v = word_load(src + at);

    if (copies) {
        PINNED(v);
        word_store(dst + at, v);
    }
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
 * first two are moved on over the zero bytes that stand for what follows them. What is left over goes
 * to the chain.
 */
STREAMS_INLINE uint32_t streams_run(uint32_t state, uint8_t *dst, const uint8_t *src, size_t n,
                                    bool copies)
{
    while (n >= STREAMS_FROM) {
        /* An even number, because a step takes two words of each. */
        const size_t words = n / 48 * 2 < STREAM_WORDS_MAX ? n / 48 * 2 : STREAM_WORDS_MAX;
        const size_t span = 8 * words;
        const uint8_t *from = src;
        uint64_t a = state;
        uint64_t b = 0;
        uint64_t c = 0;

        for (size_t at = 0; at < span; at += 16) {
            a = crc_u64(a, word_load(src + at));
            b = crc_u64(b, word_load(src + at + span));
            c = crc_u64(c, word_load(src + at + 2 * span));
            a = crc_u64(a, word_load(src + at + 8));
            b = crc_u64(b, word_load(src + at + 8 + span));
            c = crc_u64(c, word_load(src + at + 8 + 2 * span));
            if (copies) {
                PINNED(from);
                memcpy(dst, from, 16);
                memcpy(dst + 16, from + 16, 16);
                memcpy(dst + 32, from + 32, 16);
                from += 48;
                dst += 48;
            }
        }
        const uint64_t moved = carryless_product((uint32_t)a, crc_shift_by[2 * words]) ^
                               carryless_product((uint32_t)b, crc_shift_by[words]);
        state = (uint32_t)(crc_u64(0, moved) ^ c);

        src += 3 * span;
        n -= 3 * span;
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
    return copy_portable(state, dst, src, n);
}

bool crc32c_is_hardware(void)
{
#if HAVE_CRC
    return have_crc();
#else
    return false;
#endif
}
