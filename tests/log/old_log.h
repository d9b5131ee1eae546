/*
 * Logs of another boot, built by hand with what a disk may have lost of them, and what recovery says.
 */
#ifndef TEST_LOG_OLD_LOG_H
#define TEST_LOG_OLD_LOG_H

#include "log/logs.h"

/* Records of 1 to 3 digits take one unit of header and one of payload. */
#define SPAN 64u

/* A log of another boot; segment i holds fill[i] records. */
struct old_log {
    struct build_log log;
    struct build_segment seg[4];
    size_t n;
};

void old_begin(struct old_log *o);

/* One more segment behind the others, with so many records; `rolled`: it ends in ROLL. */
struct build_segment *old_segment(struct old_log *o, unsigned records, bool rolled);

/* Attach, and give what recovery says; the log is walked, and one more record appended. */
struct seglog_recovery old_recover(struct old_log *o, struct tally *t);

void expect_no_cut(const struct seglog_recovery *r, const struct tally *t);

/* Cut in segment `number` behind `records` of its records. */
void expect_cut(const struct seglog_recovery *r, const struct tally *t, uint64_t number,
                uint64_t records, uint64_t frames_dropped, uint64_t bytes_dropped);

#endif
