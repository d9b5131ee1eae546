/*
 * The inlined CRC-32C gives what the tables give, with the instruction and without.
 */
#include "base/crc32c_hot.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define LEN_MAX 400

static uint8_t data[LEN_MAX];

static void setup(void)
{
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * i * 7 + i / 3 + 1);
}

TestSuite(crc32c_hot, .init = setup);

Test(crc32c_hot, every_length_agrees_with_the_tables)
{
    for (int way = 0; way < 2; way++) {
        const bool fast = way == 1 && crc32c_is_hardware();

        for (size_t n = 0; n <= sizeof(data); n++)
            cr_assert_eq(crc32c_check_hot(fast, ~(uint32_t)n, data, n),
                         crc32c_portable(~(uint32_t)n, data, n), "fast %d n %zu", fast, n);
    }
}

Test(crc32c_hot, the_copy_writes_every_byte_and_no_other)
{
    for (int way = 0; way < 2; way++) {
        const bool fast = way == 1 && crc32c_is_hardware();

        for (size_t n = 0; n <= sizeof(data); n++) {
            uint8_t *src = malloc(n + 1);
            uint8_t *dst = malloc(n + 8 + 3);

            memcpy(src, data, n);
            memset(dst, 0xa5, n + 11);
            cr_assert_eq(crc32c_copy_hot(fast, 5, dst + 3, src, n), crc32c_portable(5, data, n));
            cr_assert(memcmp(dst + 3, data, n) == 0, "fast %d n %zu", fast, n);
            for (size_t i = 0; i < 3; i++)
                cr_assert_eq(dst[i], 0xa5, "before: fast %d n %zu", fast, n);
            for (size_t i = n + 3; i < n + 11; i++)
                cr_assert_eq(dst[i], 0xa5, "behind: fast %d n %zu", fast, n);
            free(src);
            free(dst);
        }
    }
}

Test(crc32c_hot, words_are_the_bytes_they_stand_for)
{
    const uint8_t bytes[28] = {8,  7,  6,  5,  4,  3,  2,  1,  18, 17, 16, 15, 14, 13,
                               12, 11, 28, 27, 26, 25, 24, 23, 22, 21, 34, 33, 32, 31};

    for (int way = 0; way < 2; way++) {
        const bool fast = way == 1 && crc32c_is_hardware();

        cr_assert_eq(crc32c_words(fast, 9, 0x0102030405060708, 0x0b0c0d0e0f101112,
                                  0x15161718191a1b1c, 0x1f202122),
                     crc32c_portable(9, bytes, sizeof(bytes)), "fast %d", fast);
    }
}
