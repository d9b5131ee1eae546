/*
 * The append protocol as a model to explore: who takes part, what they do, which rule is broken
 * on purpose. The argument is at the top of append_model.c.
 */
#ifndef SEGLOG_TEST_APPEND_MODEL_H
#define SEGLOG_TEST_APPEND_MODEL_H

#include "model/explorer.h"

enum {
    APPEND_UNITS_MAX = 6,
    APPEND_SEGMENTS_MAX = 3,
    APPEND_PRODUCERS_MAX = 3,
    APPEND_SLOTS_MAX = 3,
    APPEND_PARTS_MAX = 3, /* records of one batch */
    APPEND_OPS_MAX = 3,
};

/* One append: claim all parts at once, write, give back, commit. Sizes are in units. */
struct append_op {
    uint8_t part[APPEND_PARTS_MAX]; /* span of each record; 0 ends the list */
    uint8_t abort;                  /* so many of the last records are not committed */
    uint8_t trim;                   /* units given back at commit, of a single record */
};

struct append_producer {
    uint8_t slot;
    uint8_t attached;  /* starts with its slot held; otherwise it has to take it first */
    uint8_t exclusive; /* plain stores; never evicted */
    uint8_t leaves;    /* lets go of its slot when it is done */
    uint8_t after;     /* attaches only when producer after - 1 is gone; 0: at once */
    struct append_op op[APPEND_OPS_MAX]; /* a part[0] of 0 ends the list */
};

/* Departures from the protocol. Most are mistakes; a few are sound in the right company. */
enum append_twist {
    TWIST_COMMIT_BY_STORE = 1 << 0,    /* sound as long as death is proved */
    TWIST_NO_PAD = 1 << 1,             /* trim without PAD */
    TWIST_FINISH_LATE = 1 << 2,        /* PAD and inner headers written after the commit */
    TWIST_FETCH_ADD = 1 << 3,          /* claim by fetch_add on the tail; holes padded at once */
    TWIST_SLOT_NO_RENEW = 1 << 4,      /* taking a slot does not bump its generation */
    TWIST_SLOT_NO_RESOLVE = 1 << 5,    /* taking a slot does not resolve its old frames */
    TWIST_ROLL_FIRST = 1 << 6,         /* ROLL stored, then the next segment created */
    TWIST_TRUST_SPANS = 1 << 7,        /* spans followed unchecked */
    TWIST_ABORT_BY_REWIND = 1 << 8,    /* abort zeroes word 0 */
    TWIST_BASE_FROM_HINT = 1 << 9,     /* activation base taken from the tail word */
    TWIST_DEATH_BY_TIMER = 1 << 10,    /* a slow owner is taken for dead, its slot taken over */
    TWIST_RECYCLE = 1 << 11,           /* a sealed, read segment's memory serves again */
    TWIST_RECYCLE_UNGATED = 1 << 12,   /* ... although a producer still stands in it */
    TWIST_READER_STEPS_OVER = 1 << 13, /* the reader may not write: it steps over the dead */
    TWIST_STEP_OVER_BLINDLY = 1 << 14, /* ... without looking again after the proof of death */
    TWIST_TAIL_AT_COMMIT =
        1 << 15, /* the tail word moves after the commit; as sound as before it */
};

enum append_verdict {
    APPEND_ALLOWED = 0,
    APPEND_LANDS_IN_PAYLOAD,
    APPEND_BEYOND_END,
    APPEND_AHEAD_NOT_ZERO,
    APPEND_WENT_BACK,
    APPEND_VERDICT_CHANGED,
    APPEND_CONTENT_CHANGED,
    APPEND_INCOMPLETE,
    APPEND_LOST,
    APPEND_TWICE,
    APPEND_ORDER,
    APPEND_CLAIM_SWALLOWED,
    APPEND_WRONG_NUMBER,
    APPEND_OFF_CHAIN,
    APPEND_MISREAD,
    APPEND_ROLL_NOWHERE,
    APPEND_BASE,
    APPEND_HINT,
    APPEND_SEAL,
    APPEND_NO_SPACE_CHANGED,
    APPEND_STUCK,
    APPEND_BLOCKED,
    APPEND_BEHIND,
    APPEND_VERDICTS,
};

struct append_variant {
    const char *name;
    uint8_t units;     /* of a segment */
    uint8_t segments;  /* there are no more than these */
    uint8_t crashes;   /* of any actor, at any step */
    uint8_t evictions; /* living owners whose deadline passes (timer twist: taken for dead) */
    uint8_t no_space;  /* creations of a segment that fail with ENOSPC */
    uint8_t reader;
    uint8_t sealer;
    uint8_t junk_at;   /* a non-zero word left at this unit of segment 0; 0: none */
    uint32_t twists;   /* of enum append_twist */
    uint32_t tolerate; /* 1 << verdict: early signs to ignore, so that the harm itself is seen */
    struct append_producer producer[APPEND_PRODUCERS_MAX]; /* without an op: not there */
};

/* The variant must outlive the model. */
struct explorer_model append_model(const struct append_variant *variant);

#endif
