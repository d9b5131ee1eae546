/*
 * The whole life of a log, told while one system call of it fails.
 *
 * Whatever fails: the call that meets it says so by a negative status; the same call again succeeds,
 * or the log is poisoned and says that from then on; what was acknowledged is read; nothing is held on
 * to; and once there is no more trouble the log goes on.
 */
#ifndef TEST_FAULTS_LIFE_H
#define TEST_FAULTS_LIFE_H

#include <seglog/seglog.h>

#include <stdbool.h>
#include <stdint.h>

#include "io/io.h"
#include "support/calls.h"

#define LIFE_RECORDS 64u

struct life {
    const char *dir;
    struct calls_plan calls; /* what is to fail, and how */
    struct io_fault fault;   /* or this, put into the engine of the log's handle; kind -2: not */
    uint32_t io;             /* enum seglog_io */
    uint32_t log_flags;

    struct seglog_log *log;
    struct seglog_appender *ap;
    struct seglog_reader *reader;
    struct seglog_cursor *cursor;
    uint64_t cursor_seq;         /* behind what it handed out last */
    uint64_t cursor_done;        /* what was committed last */
    bool may_trim;               /* segments wholly below that may be gone */
    uint64_t seqs[LIFE_RECORDS]; /* of what was acknowledged */
    uint32_t indices[LIFE_RECORDS];
    uint32_t acked;
    uint32_t tries; /* appends so far: the index of the next one */
    bool is_told;
    bool is_poisoned;
    int status; /* that it was told by */
    const char *what;
};

/* ---- for those who tell one ---------------------------------------------------------------------- */

enum life_next {
    LIFE_ON,
    LIFE_AGAIN,
    LIFE_END, /* poisoned */
};

/* After a call of a life: what its status means for it. */
enum life_next life_after(struct life *life, int rc, const char *what);

/* Make the call, once more if it fails; leave with false if the log is poisoned. */
#define life_must(life_, call_)                                                \
    do {                                                                       \
        enum life_next must_next_ = life_after((life_), (int)(call_), #call_); \
        if (must_next_ == LIFE_AGAIN)                                          \
            must_next_ = life_after((life_), (int)(call_), #call_);            \
        if (must_next_ == LIFE_END)                                            \
            return false;                                                      \
    } while (0)

/* Descriptors of this process; and afterwards there are no more, and nothing in life->dir is mapped. */
unsigned life_descriptors(void);
void life_holds_nothing(const struct life *life, unsigned before);

/* ---- telling one --------------------------------------------------------------------------------- */

typedef bool life_story(struct life *life);

/* A log's. Tell it; then check all of what stands above. false: nothing failed, all of it has been told. */
bool life_tell(struct life *life);

#endif
