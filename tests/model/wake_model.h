/*
 * Sleeping and waking as a model to explore, with a store buffer for every processor.
 */
#ifndef SEGLOG_TEST_WAKE_MODEL_H
#define SEGLOG_TEST_WAKE_MODEL_H

#include "model/explorer.h"

enum {
    WAKE_PRODUCERS_MAX = 2,
    WAKE_SLEEPERS_MAX = 2,
};

enum wake_commit {
    WAKE_COMMIT_SWAP,         /* compare-and-swap: a full fence by itself (shared appenders) */
    WAKE_COMMIT_STORE_FENCED, /* store, then a fence (the kernel knows no membarrier) */
    WAKE_COMMIT_STORE,        /* store alone (exclusive appender) */
};

/* How a sleeper says that it sleeps, and who takes that back. */
enum wake_announce {
    WAKE_COUNT,      /* a counter; each sleeper takes itself off */
    WAKE_FLAG,       /* one flag; the waker clears it, then wakes */
    WAKE_FLAG_LATE,  /* one flag; the waker wakes, then clears it */
    WAKE_REGISTERED, /* a growing counter; the waker wakes, then stores what it had read */
};

enum wake_twist {
    WAKE_NO_MEMBARRIER = 1 << 0, /* the sleeper fences its own processor only */
    WAKE_NO_RECHECK = 1 << 1,    /* ... does not look at word 0 after it has announced itself */
    WAKE_LATE_TICKET = 1 << 2,   /* ... reads the futex word after that look, not before */
    WAKE_NO_TICKET = 1 << 3,     /* the waker wakes without changing the futex word */
};

enum wake_verdict {
    WAKE_ALLOWED = 0,
    WAKE_LOST, /* asleep for ever beside a committed record */
    WAKE_VERDICTS,
};

struct wake_variant {
    const char *name;
    uint8_t producers; /* each commits one record */
    uint8_t sleepers;  /* each wants to see all of them, in order */
    enum wake_commit commit;
    enum wake_announce announce;
    uint8_t crashes; /* of a producer, at any step */
    uint32_t twists; /* of enum wake_twist */
};

/* The variant must outlive the model. */
struct explorer_model wake_model(const struct wake_variant *variant);

#endif
