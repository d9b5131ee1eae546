/*
 * Retention: the rules. See plan.h.
 */
#include "retention/plan.h"

uint32_t retention_why(const struct retention_rules *rules, const struct retention_left *left,
                       const struct retention_oldest *oldest, uint64_t now_ns)
{
    uint32_t why = 0;

    if (rules->keep_size != 0 && left->bytes > rules->keep_size)
        why |= SEGLOG_TRIM_BY_SIZE;
    if (rules->keep_segments != 0 && left->segments > rules->keep_segments)
        why |= SEGLOG_TRIM_BY_SEGMENTS;
    /* A clock that was set back makes nothing old. */
    if (rules->keep_age_ns != 0 && oldest->sealed_ns != 0 && now_ns > oldest->sealed_ns &&
        now_ns - oldest->sealed_ns > rules->keep_age_ns)
        why |= SEGLOG_TRIM_BY_AGE;
    if (rules->has_before && oldest->next_seq <= rules->before_seq)
        why |= SEGLOG_TRIM_BY_PLACE;
    return why;
}
