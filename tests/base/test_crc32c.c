/*
 * CRC-32C: the published values, the three implementations against each other, and what the copy
 * leaves in memory.
 */
#include "base/crc32c.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Long enough for two rounds of streams at their full length, and a rest. */
#define LONG_MAX 7000

static uint32_t checksum(const void *data, size_t n)
{
    return ~crc32c(~0u, data, n);
}

/* Bytes in which no stretch repeats. */
static void fill(uint8_t *p, size_t n)
{
    uint32_t x = 2463534242u;

    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        p[i] = (uint8_t)x;
    }
}

/* The definition, a bit at a time. */
static uint32_t by_definition(uint32_t state, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        state ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            state = state >> 1 ^ (state & 1 ? 0x82f63b78u : 0);
    }
    return state;
}

Test(crc32c, gives_the_published_check_value)
{
    cr_assert_eq(checksum("123456789", 9), 0xe3069283u);
    cr_assert_eq(~crc32c_portable(~0u, "123456789", 9), 0xe3069283u);
}

/* RFC 3720, appendix B.4 */
Test(crc32c, gives_the_values_of_rfc_3720)
{
    uint8_t b[32];

    memset(b, 0, sizeof(b));
    cr_assert_eq(checksum(b, sizeof(b)), 0x8a9136aau);
    memset(b, 0xff, sizeof(b));
    cr_assert_eq(checksum(b, sizeof(b)), 0x62a8ab43u);
    for (uint8_t i = 0; i < 32; i++)
        b[i] = i;
    cr_assert_eq(checksum(b, sizeof(b)), 0x46dd794eu);
    for (uint8_t i = 0; i < 32; i++)
        b[i] = (uint8_t)(31 - i);
    cr_assert_eq(checksum(b, sizeof(b)), 0x113fdb5cu);
}

Test(crc32c, nothing_leaves_the_register_as_it_is)
{
    cr_assert_eq(crc32c(0x12345678, "", 0), 0x12345678);
    cr_assert_eq(crc32c_portable(0x12345678, "", 0), 0x12345678);
}

Test(crc32c, tables_agree_with_the_definition)
{
    static uint8_t data[600];

    fill(data, sizeof(data));
    for (size_t n = 0; n <= sizeof(data); n++)
        cr_assert_eq(crc32c_portable((uint32_t)n, data, n), by_definition((uint32_t)n, data, n),
                     "n %zu", n);
}

Test(crc32c, every_length_agrees_with_the_tables)
{
    static uint8_t data[LONG_MAX];

    fill(data, sizeof(data));
    for (size_t n = 0; n <= sizeof(data); n++)
        cr_assert_eq(crc32c(~(uint32_t)n, data, n), crc32c_portable(~(uint32_t)n, data, n), "n %zu",
                     n);
}

Test(crc32c, goes_on_where_it_stopped)
{
    static uint8_t data[1000];

    fill(data, sizeof(data));
    const uint32_t whole = crc32c(7, data, sizeof(data));
    for (size_t cut = 0; cut <= sizeof(data); cut++) {
        const uint32_t first = crc32c(7, data, cut);
        cr_assert_eq(crc32c(first, data + cut, sizeof(data) - cut), whole, "cut %zu", cut);
    }
}

Test(crc32c, one_flipped_bit_shows)
{
    static uint8_t data[500];

    fill(data, sizeof(data));
    const uint32_t good = checksum(data, sizeof(data));
    for (size_t bit = 0; bit < 8 * sizeof(data); bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_neq(checksum(data, sizeof(data)), good, "bit %zu", bit);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* One copy between canaries; both blocks are exactly as long as what may be touched, for ASan. */
static void check_copy(const uint8_t *data, size_t n, size_t src_at, size_t dst_at)
{
    uint8_t *src = malloc(n + src_at + 1);
    uint8_t *dst = malloc(n + dst_at + 64);

    memcpy(src + src_at, data, n);
    memset(dst, 0xa5, n + dst_at + 64);
    const uint32_t got = crc32c_copy(0x89abcdefu, dst + dst_at, src + src_at, n);

    cr_assert_eq(got, crc32c_portable(0x89abcdefu, data, n), "n %zu src %zu dst %zu", n, src_at,
                 dst_at);
    cr_assert(memcmp(dst + dst_at, data, n) == 0, "n %zu src %zu dst %zu", n, src_at, dst_at);
    for (size_t i = 0; i < dst_at; i++)
        cr_assert_eq(dst[i], 0xa5, "before: n %zu src %zu dst %zu", n, src_at, dst_at);
    for (size_t i = dst_at + n; i < dst_at + n + 64; i++)
        cr_assert_eq(dst[i], 0xa5, "behind: n %zu src %zu dst %zu", n, src_at, dst_at);
    free(src);
    free(dst);
}

Test(crc32c_copy, writes_every_byte_and_no_other)
{
    static uint8_t data[600];

    fill(data, sizeof(data));
    for (size_t n = 0; n <= sizeof(data); n++) {
        for (size_t src_at = 0; src_at < 4; src_at++) {
            check_copy(data, n, src_at, 0);
            check_copy(data, n, src_at, 3);
            check_copy(data, n, src_at, 7);
        }
    }
}

Test(crc32c_copy, long_copies_are_exact)
{
    static uint8_t data[LONG_MAX];

    fill(data, sizeof(data));
    for (size_t n = 601; n <= sizeof(data); n += n < 3200 ? 1 : 37) {
        check_copy(data, n, n % 9, n % 5);
    }
}

Test(crc32c_copy, reads_nothing_beyond_the_source)
{
    /* The source ends with its allocation, where ASan looks. */
    for (size_t n = 1; n <= 600; n++) {
        uint8_t *src = malloc(n);
        uint8_t *dst = malloc(n);

        fill(src, n);
        cr_assert_eq(crc32c_copy(1, dst, src, n), crc32c(1, src, n));
        cr_assert(memcmp(src, dst, n) == 0);
        free(src);
        free(dst);
    }
}
