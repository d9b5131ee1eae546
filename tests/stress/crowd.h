/*
 * A crowd: producers that append by every call there is, and followers that check what they read.
 *
 * Every record says who wrote it and as his how manyth. A follower sees each one once, in its
 * writer's order; numbers that no record has are void, and producers count the ones they gave up.
 */
#ifndef TEST_STRESS_CROWD_H
#define TEST_STRESS_CROWD_H

#include <seglog/log.h>
#include <seglog/reader.h>

#include <stdatomic.h>
#include <stdbool.h>

#include "support/child.h"

#define CROWD_WRITERS   1024u /* over a whole test, each life of a killed one anew */
#define CROWD_FOLLOWERS 4u
#define CROWD_NUMBERS   (1u << 20) /* that a test may use up */

/* What all of them share. */
struct crowd {
    char dir[4096];
    uint32_t segments_kept;   /* 0: nobody drops any */
    _Atomic uint64_t aborted; /* numbers given up */
    _Atomic uint64_t durable; /* below it all was called durable */
    _Atomic bool done;        /* no more producers; `end` is the number after the last one */
    _Atomic uint64_t end;
    _Atomic uint64_t dropped;              /* segments removed */
    _Atomic uint32_t count[CROWD_WRITERS]; /* records that each writer knows to be published */
    /* By number: writer << 32 | index + 1, set by the writer once its append returned. */
    _Atomic uint64_t written[CROWD_NUMBERS];
    struct {
        _Atomic uint64_t records;
        _Atomic uint64_t voids;
        _Atomic uint64_t trimmed; /* times that retention was faster */
    } seen[CROWD_FOLLOWERS];
};

struct crowd_writer {
    struct crowd *crowd;
    uint32_t id;
    uint32_t records; /* to append */
    uint32_t flags;   /* of the log's handle */
    uint32_t mode;    /* of the appender */
    uint32_t sync;    /* of the appender */
    bool dawdles;     /* now and then with a claim open */
};

struct crowd_follower {
    struct crowd *crowd;
    uint32_t id;
    struct seglog_reader_options options;
};

/* For child_start(). */
int crowd_write(struct child *parent, void *writer);
int crowd_follow(struct child *parent, void *follower);
/* Removes old segments until the crowd is done. */
int crowd_drop(struct child *parent, void *crowd);

/* The same on a handle that is open; in a thread, say. 0 or a status. */
int crowd_write_on(struct seglog_log *log, const struct crowd_writer *w);

/* Is the record as its writer made it? Then who that was, and his how manyth it is. */
bool crowd_record(const struct seglog_view *view, uint32_t *writer, uint32_t *index);

#endif
