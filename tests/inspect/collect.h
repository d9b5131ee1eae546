/*
 * What verify says of a log, collected.
 */
#ifndef TEST_INSPECT_COLLECT_H
#define TEST_INSPECT_COLLECT_H

#include <seglog/inspect.h>

#define COLLECT_MAX 64u

struct collected {
    int rc;
    struct seglog_verify_report report;
    struct seglog_damage damage[COLLECT_MAX];
    unsigned count; /* of damage[]; report.damage_count may be larger */
};

/* Verify dir; the result belongs to the caller's stack. */
struct collected collect(const char *dir, uint32_t flags);

/* Fail unless the log is sound, and has this many records. */
void expect_sound(const char *dir, uint64_t records);

/* Fail unless exactly this one damage is found. Nothing lost: first > last, whatever they are. */
void expect_one(const char *dir, uint64_t segment, uint64_t offset, uint64_t first, uint64_t last,
                int status);

#define LOSES_NOTHING UINT64_C(1), UINT64_C(0)

#endif
