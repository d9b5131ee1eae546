/*
 * A cell as a model to explore: writers that may die, and readers that nobody waits for.
 */
#ifndef SEGLOG_TEST_CELL_MODEL_H
#define SEGLOG_TEST_CELL_MODEL_H

#include "model/explorer.h"

enum {
    CELL_WRITERS_MAX = 2,
    CELL_READERS_MAX = 2,
    CELL_SLOTS = 3,
    CELL_WORDS = 2, /* of a value: enough to be torn */
};

enum cell_twist {
    CELL_NO_RECHECK = 1 << 0, /* the reader does not look at the slot again */
    CELL_NO_BEGIN = 1 << 1,   /* the writer does not say that it has begun */
    CELL_NO_SKIP = 1 << 2, /* ... goes into the slot of the current version if its turn is there */
    CELL_EARLY_CURRENT = 1 << 3, /* ... sends readers there before the slot is finished */
    CELL_STEAL_PLACE = 1 << 4,   /* a writer does not wait for the place of one that lives */
};

enum cell_verdict {
    CELL_ALLOWED = 0,
    CELL_TORN,        /* a reader took words of two versions, or those of none */
    CELL_BACKWARD,    /* a reader went back to an older version */
    CELL_LOST,        /* nothing whole is there, though something had been published */
    CELL_FALSE_ALARM, /* a reader took what it met for damage */
    CELL_VERDICTS,
};

struct cell_variant {
    const char *name;
    uint8_t slots;
    uint8_t writers;
    uint8_t readers;
    uint8_t publishes; /* by each writer */
    uint8_t reads;     /* by each reader that succeed */
    uint8_t crashes;   /* of writers, at any step */
    uint32_t twists;   /* of enum cell_twist */
};

/* The variant must outlive the model. */
struct explorer_model cell_model(const struct cell_variant *variant);

#endif
