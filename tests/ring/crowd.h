/*
 * A crowd on a ring: producers that put messages in by every call there is, consumers that check every
 * one they get, in processes of their own that may be killed.
 *
 * Each life of a producer has a number of its own, and counts its messages from 0. A message says who and
 * which, and the rest of its bytes follows from that. What was seen is counted in shared memory.
 */
#ifndef TEST_RING_CROWD_H
#define TEST_RING_CROWD_H

#include "ring/rings.h"

#include <stdatomic.h>

#define CROWD_LIVES    96u
#define CROWD_MESSAGES 20000u /* of one life */
#define CROWD_AT_ONCE  16u    /* in one batch */

struct crowd {
    char path[4096];
    uint32_t kind;
    uint32_t overload;
    _Atomic bool done;
    _Atomic uint32_t lives;                /* numbers given out */
    _Atomic uint32_t acked[CROWD_LIVES];   /* messages that a life knows to be in the ring */
    _Atomic uint32_t dropped[CROWD_LIVES]; /* DROP: how many of its calls said so */
    _Atomic uint64_t seen_total;           /* by consumers that were not killed */
    _Atomic uint64_t lost_total;           /* OVERWRITE */
    /* How often each was seen: first time, and again as redelivered. */
    _Atomic uint8_t seen[CROWD_LIVES][CROWD_MESSAGES];
    _Atomic uint8_t again[CROWD_LIVES][CROWD_MESSAGES];
};

struct crowd_producer {
    struct crowd *crowd;
    uint32_t messages; /* and then it ends */
    bool dawdles;      /* with claims open, so that it is killed there */
};

struct crowd_consumer {
    struct crowd *crowd;
    bool counts; /* its sightings go into `seen` */
    bool dawdles;
};

/* For child_start(). */
int crowd_produce(struct child *parent, void *producer);
int crowd_consume(struct child *parent, void *consumer);
/* The same on handles that are open, for threads. 0 or a status. */
int crowd_produce_on(struct seglog_ring *ring, const struct crowd_producer *how);
int crowd_consume_on(struct seglog_ring *ring, const struct crowd_consumer *how);

#endif
