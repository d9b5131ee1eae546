/*
 * Bytes in a fixed order.
 */
#include "base/bytes.h"

#include <criterion/criterion.h>

Test(bytes, the_low_byte_comes_first)
{
    le16 a;
    le32 b;
    le64 c;

    le16_put(&a, 0x0102);
    le32_put(&b, 0x01020304);
    le64_put(&c, UINT64_C(0x0102030405060708));
    cr_assert_arr_eq(a.b, ((uint8_t[]){2, 1}), 2);
    cr_assert_arr_eq(b.b, ((uint8_t[]){4, 3, 2, 1}), 4);
    cr_assert_arr_eq(c.b, ((uint8_t[]){8, 7, 6, 5, 4, 3, 2, 1}), 8);
}

Test(bytes, what_was_put_is_got)
{
    le16 a;
    le32 b;
    le64 c;

    le16_put(&a, UINT16_MAX - 1);
    le32_put(&b, UINT32_MAX - 1);
    le64_put(&c, UINT64_MAX - 1);
    cr_assert_eq(le16_get(&a), UINT16_MAX - 1);
    cr_assert_eq(le32_get(&b), UINT32_MAX - 1);
    cr_assert_eq(le64_get(&c), UINT64_MAX - 1);
}

Test(bytes, they_may_lie_anywhere)
{
    struct {
        uint8_t one;
        le64 value;
    } odd;

    cr_assert_eq(sizeof(odd), 9);
    le64_put(&odd.value, 42);
    cr_assert_eq(le64_get(&odd.value), 42);
}

Test(align_up, reaches_the_next_multiple_and_no_further)
{
    cr_assert_eq(align_up(0, 32), 0);
    cr_assert_eq(align_up(1, 32), 32);
    cr_assert_eq(align_up(31, 32), 32);
    cr_assert_eq(align_up(32, 32), 32);
    cr_assert_eq(align_up(33, 32), 64);
    cr_assert_eq(align_up(5, 1), 5);
    cr_assert_eq(align_up((UINT64_C(1) << 63) - 1, 4096), UINT64_C(1) << 63);
}

Test(is_power_of_two, holds_for_one_bit)
{
    for (int bit = 0; bit < 64; bit++) {
        cr_assert(is_power_of_two(UINT64_C(1) << bit), "bit %d", bit);
        cr_assert(bit < 2 || !is_power_of_two((UINT64_C(1) << bit) - 1), "bit %d", bit);
        cr_assert(bit == 0 || !is_power_of_two((UINT64_C(1) << bit) + 1), "bit %d", bit);
    }
    cr_assert(!is_power_of_two(0));
}

Test(bytes_are_zero, sees_a_single_one_wherever_it_is)
{
    uint8_t b[40] = {0};

    cr_assert(bytes_are_zero(b, 0));
    cr_assert(bytes_are_zero(b, sizeof(b)));
    for (size_t i = 0; i < sizeof(b); i++) {
        b[i] = 0x80;
        cr_assert(!bytes_are_zero(b, sizeof(b)), "at %zu", i);
        cr_assert(bytes_are_zero(b, i), "before %zu", i);
        b[i] = 0;
    }
}
