/*
 * What a log does while its power may fail: appends of every kind, syncs, seals, rolls, drops, on two
 * handles with an appender each, at every level; what is done to it besides (keep.h), and what lies
 * beside it (state.h).
 */
#ifndef TEST_POWERCUT_WORK_H
#define TEST_POWERCUT_WORK_H

#include "powercut/oracle.h"

#define WORK_HANDLES 2u

/* A log at work. */
struct bed {
    struct oracle *o;
    struct dice dice;
    char dir[512];
    struct seglog_log *logs[WORK_HANDLES];
    struct seglog_appender *aps[WORK_HANDLES];
    uint32_t level; /* the log's */
    bool is_open;   /* the second handle has an open claim */
    struct seglog_claim claim;
    uint64_t claim_mark;
    uint64_t archived; /* segments */
};

/* Attach to dir with the first handle: recovers. Then, perhaps, with the second. */
void work_attach(struct bed *b);
void work_attach_second(struct bed *b);
void work_detach(struct bed *b);

/* Do a number of things, and perhaps leave a claim open at the end. */
void work(struct bed *b);
void work_end(struct bed *b);

/* How many segments are made of removed ones' files just now. */
uint64_t work_recycled(const struct bed *b);

/* One append of 1 to 8 records. */
void work_append(struct bed *b);

#endif
