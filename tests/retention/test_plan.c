/*
 * Which rule wants the oldest segment gone.
 */
#include <criterion/criterion.h>

#include "retention/plan.h"

static const struct retention_left left = {.bytes = 1000, .segments = 10};
static const struct retention_oldest oldest = {.next_seq = 500, .sealed_ns = 1000000};

static uint32_t why(struct retention_rules rules, uint64_t now_ns)
{
    return retention_why(&rules, &left, &oldest, now_ns);
}

Test(retention, without_a_rule_nothing_goes)
{
    cr_assert_eq(why((struct retention_rules){0}, UINT64_MAX), 0);
}

Test(retention, each_rule_ends_exactly_where_it_says)
{
    cr_assert_eq(why((struct retention_rules){.keep_size = 999}, 0), SEGLOG_TRIM_BY_SIZE);
    cr_assert_eq(why((struct retention_rules){.keep_size = 1000}, 0), 0);
    cr_assert_eq(why((struct retention_rules){.keep_segments = 9}, 0), SEGLOG_TRIM_BY_SEGMENTS);
    cr_assert_eq(why((struct retention_rules){.keep_segments = 10}, 0), 0);
    cr_assert_eq(why((struct retention_rules){.keep_age_ns = 99}, 1000100), SEGLOG_TRIM_BY_AGE);
    cr_assert_eq(why((struct retention_rules){.keep_age_ns = 100}, 1000100), 0);
    cr_assert_eq(why((struct retention_rules){.has_before = true, .before_seq = 500}, 0),
                 SEGLOG_TRIM_BY_PLACE);
    cr_assert_eq(why((struct retention_rules){.has_before = true, .before_seq = 499}, 0), 0);
}

Test(retention, a_clock_set_back_or_a_segment_never_sealed_makes_nothing_old)
{
    const struct retention_rules rules = {.keep_age_ns = 1};
    const struct retention_oldest unsealed = {.next_seq = 500};

    cr_assert_eq(why(rules, 999999), 0);
    cr_assert_eq(retention_why(&rules, &left, &unsealed, UINT64_MAX), 0);
}

Test(retention, several_reasons_are_all_told)
{
    cr_assert_eq(why((struct retention_rules){.keep_size = 1, .keep_segments = 1, .keep_age_ns = 1},
                     UINT64_MAX),
                 SEGLOG_TRIM_BY_SIZE | SEGLOG_TRIM_BY_SEGMENTS | SEGLOG_TRIM_BY_AGE);
}
