/*
 * Bytes that others may be changing while they are copied: word by word, each word whole.
 *
 * A copy that overlaps a change is a mixture of old and new words. Whoever copies must have another
 * way to know (a version that is the same before and after); what these functions give is that the
 * attempt is defined: no compiler may tear, repeat or invent an access.
 */
#ifndef BASE_WORDS_H
#define BASE_WORDS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* src is aligned to 8, and its last word may be read whole. */
static inline void words_load(void *dst, const void *src, size_t n)
{
    const _Atomic uint64_t *from = (const _Atomic uint64_t *)src;
    uint8_t *to = dst;
    uint64_t word;

    for (; n >= 8; n -= 8, to += 8) {
        word = atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)from++, memory_order_relaxed);
        memcpy(to, &word, 8);
    }
    if (n > 0) {
        word = atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)from, memory_order_relaxed);
        memcpy(to, &word, n);
    }
}

/* dst is aligned to 8, and its last word is written whole, filled up with zeros. */
static inline void words_store(void *dst, const void *src, size_t n)
{
    _Atomic uint64_t *to = dst;
    const uint8_t *from = src;
    uint64_t word;

    for (; n >= 8; n -= 8, from += 8) {
        memcpy(&word, from, 8);
        atomic_store_explicit(to++, word, memory_order_relaxed);
    }
    if (n > 0) {
        word = 0;
        memcpy(&word, from, n);
        atomic_store_explicit(to, word, memory_order_relaxed);
    }
}

#endif
