/*
 * What must be true of a log whose power was cut.
 *
 * The oracle knows every record that was appended, how far durability was acknowledged, and what was
 * under way:
 *
 *   - everything acknowledged is there;
 *   - what survives is a prefix in sequence order, each record as it was appended, nothing else;
 *   - a reader without write permission sees the same before the recovery as all see after it;
 *   - damage in what was once durable is reported, with the numbers lost, and nothing is cut for it;
 *   - the log goes on, verifies, and survives the next cut, too: also one in the middle of recovery.
 */
#ifndef TEST_POWERCUT_ORACLE_H
#define TEST_POWERCUT_ORACLE_H

#include "powercut/dice.h"
#include "powercut/kept.h"
#include "powercut/maps_known.h"

#include <seglog/seglog.h>

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define ORACLE_SEQS 8192 /* numbers of one seed */
#define ORACLE_KEYS 24   /* of the table */

struct oracle {
    uint64_t
        marks[ORACLE_SEQS]; /* what a number holds: 0 void, else that from which its bytes follow */
    uint64_t next;          /* one past the last number that an append has returned */
    uint64_t limit;         /* one past the last that an append under way may have */
    uint64_t durable;       /* acknowledged */
    uint64_t floor;         /* numbers below were dropped on purpose */
    uint64_t floor_may;     /* at most these */
    bool was_cut;           /* by a recovery: the same number may have been another record */
    struct kept cursor;     /* its place + 1 */
    bool has_state;         /* a cell and a table lie beside the log: */
    struct kept cell;       /* the mark that its value follows from */
    struct kept table[ORACLE_KEYS];
    bool has_maps; /* or a mapped file and a struct do: */
    struct map_known map;
    struct struct_known structure;
    uint64_t last_mark;
    uint64_t seed; /* for messages */
    uint64_t image;
};

/* What an image holds: the first number kept, and the number after the last record or void before it. */
struct found {
    uint64_t first, end;
};

/* One number whose bytes were damaged on purpose; NULL: none was. */
struct harmed {
    uint64_t seq;
    bool reported;
};

/* Read all of dir, and hold it against the oracle. `when` is for messages. */
struct found oracle_read(const struct oracle *o, const char *dir, struct harmed *harmed,
                         const char *when);

/* All that was acknowledged is among what was found. */
void oracle_check_durable(const struct oracle *o, struct found found, const char *when);

#define ORACLE_MUST(o, ok, ...)                                                          \
    do {                                                                                 \
        if (!(ok)) {                                                                     \
            fprintf(stderr, "seed %llu, image %llu: ", (unsigned long long)(o)->seed,    \
                    (unsigned long long)(o)->image);                                     \
            fprintf(stderr, __VA_ARGS__);                                                \
            fprintf(stderr, " (%s:%d)\n  again: SEGLOG_SEED=%llu\n", __FILE__, __LINE__, \
                    (unsigned long long)(o)->seed);                                      \
            _exit(1);                                                                    \
        }                                                                                \
    } while (0)

#define ORACLE_OK(o, call)                                              \
    do {                                                                \
        const int must_rc_ = (int)(call);                               \
        ORACLE_MUST(o, must_rc_ >= 0, "%s gave %d %s", #call, must_rc_, \
                    seglog_status_name(must_rc_));                      \
    } while (0)

#endif
