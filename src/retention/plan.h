/*
 * Retention: which rule, if any, wants the oldest segment to go. Facts in, verdict out.
 *
 * Ages count from the seal, so that a record of a future time pins nothing and one of the past takes
 * nothing with it.
 */
#ifndef RETENTION_PLAN_H
#define RETENTION_PLAN_H

#include <seglog/log.h>

#include <stdbool.h>

struct retention_rules {
    uint64_t keep_size; /* each 0: no such rule */
    uint64_t keep_age_ns;
    uint64_t keep_segments;
    bool has_before;
    uint64_t before_seq;
};

/* What is left of the log if all that was decided on goes. */
struct retention_left {
    uint64_t bytes;
    uint64_t segments;
};

struct retention_oldest {
    uint64_t next_seq;  /* the first number behind it */
    uint64_t sealed_ns; /* 0: not sealed */
};

/* The rules that want it gone: SEGLOG_TRIM_BY_*; 0: it stays. */
uint32_t retention_why(const struct retention_rules *rules, const struct retention_left *left,
                       const struct retention_oldest *oldest, uint64_t now_ns);

#endif
