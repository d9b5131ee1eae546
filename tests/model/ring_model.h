/*
 * Putting into a ring and taking out of it, as a model to explore: many producers under put_lock, one
 * consumer, memory that is used again, deaths at every step; waiting or overwriting.
 */
#ifndef SEGLOG_TEST_RING_MODEL_H
#define SEGLOG_TEST_RING_MODEL_H

#include "model/explorer.h"

enum { RING_MODEL_PRODUCERS = 2, RING_MODEL_UNITS = 6 };

enum ring_twist {
    RING_NO_ZERO = 1 << 0,    /* no zero word is stored behind a claim */
    RING_ZERO_LATE = 1 << 1,  /* ... it is stored after the lock is given back */
    RING_TAIL_FIRST = 1 << 2, /* the tail is moved before CLAIMED is stored */
    RING_NO_MEND = 1 << 3,    /* who takes a dead one's lock over goes on at the tail as it is */
    RING_NO_WORD_BEHIND = 1 << 4, /* room is counted without the word behind */
    RING_RELEASE_EARLY = 1 << 5,  /* the consumer gives room back before it has read */
    RING_GUESS = 1 << 6,          /* a claim may be passed though its producer lives */
    RING_NO_LOCK = 1 << 7,        /* producers do not exclude each other */
    RING_NO_CHECK = 1 << 8,       /* overwrite: a copy is not checked afterwards */
    RING_FLOOR_LATE = 1 << 9,     /* overwrite: the floor is moved after what lies there is gone */
    RING_OVER_CLAIMS = 1 << 10,   /* overwrite: open claims give way, too */
};

enum ring_verdict {
    RING_ALLOWED = 0,
    RING_LANDED,  /* the consumer took for a message what is none */
    RING_ORDER,   /* a message twice, or out of its producer's order, or never */
    RING_CHANGED, /* a message changed while the consumer had it */
    RING_STUCK,   /* somebody living waits for ever */
};

struct ring_variant {
    const char *name;
    uint8_t producers;
    uint8_t messages; /* of each; one or two units long in turn */
    uint8_t crashes;
    bool overwrite;
    uint32_t twists; /* of enum ring_twist */
};

/* The variant must outlive the model. */
struct explorer_model ring_model(const struct ring_variant *variant);

#endif
