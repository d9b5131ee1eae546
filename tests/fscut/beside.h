/*
 * What lies beside a log's records while the power may fail: each worker's cursor, cell and table.
 */
#ifndef TEST_FSCUT_BESIDE_H
#define TEST_FSCUT_BESIDE_H

#include "fscut/work.h"

struct seglog_log;
struct seglog_appender;

struct worker {
    struct tape *tape;
    const char *dir;
    uint32_t number;
    struct dice dice;
    struct seglog_log *log;
    struct seglog_appender *ap;
    uint32_t level;         /* of what it appends */
    bool calm;              /* asks seldom that anything be durable: much lies in the cache then */
    uint64_t marks;         /* how many it has had */
    uint64_t next, durable; /* as it last saw them */
};

/* A mark that is under way from now on. */
uint64_t work_mark(struct worker *w);

/* Do something with one of the three. */
void beside_work(struct worker *w);

/* Where a log lies that a cut behind event `cut` has left. */
struct beside_cut {
    const struct tape *tape;
    uint64_t cut;
    const char *dir;
    uint64_t first, end; /* its records */
    bool writes;         /* open what can be opened for writing: recovery is over */
    const char *when;    /* for messages */
};

/*
 * Hold all of them against the tape. A cursor stands where its last durable commit put it or a later one;
 * a cell, whose versions are durable, has the last one or the one under way; a key of a table that was
 * not changed since the last flush has its value, another one has its new, an older, or none.
 */
void beside_check(const struct beside_cut *c);

#endif
