/*
 * Inside the append model: the words, the state, and what its files share.
 *
 * Everything real is in memory[], segment[] and slot[]; producers and followers hold what a process
 * would keep in its own variables. The rest are notes of the model, which no actor looks at.
 */
#ifndef SEGLOG_TEST_APPEND_STATE_H
#define SEGLOG_TEST_APPEND_STATE_H

#include "model/append_model.h"

#include <assert.h>

/*
 *   bits 0..2  3..5   6..
 *        kind  span   CLAIMED: count 2, slot 2, gen 2    ABORTED: count 2
 *                     COMMITTED, PAYLOAD: record 4
 *
 * CLAIMED holds no more than the real word does, so that a comparison is fooled where the real one
 * would be. COMMITTED names its record, which stands for what the reader finds in it.
 */
enum word_kind { FREE, CLAIMED, COMMITTED, ABORTED, PAD, ROLL, PAYLOAD, JUNK };

enum producer_pc {
    P_ATTACH, /* take the slot's lock */
    P_RESOLVE,
    P_RENEW,
    P_OPEN,
    P_HINT,
    P_WALK,
    P_CREATE,
    P_ROLL,
    P_ACTIVATE,
    P_TAIL_LOOK,
    P_TAIL_MOVE,
    P_FILL,
    P_FINISH,
    P_COMMIT,
    P_LATE,
    P_LEAVE,
    P_ADD,
    P_ADDED,
    P_DONE,
    P_GONE,
};

enum follower_pc { F_READ, F_PROBE, F_KILL, F_SEAL, F_PAD_HOLE };

struct memory { /* what a recycled segment would inherit */
    uint16_t word[APPEND_UNITS_MAX];
    uint8_t tail_off;
    uint8_t tail_seq;
};

struct segment {
    uint8_t exists;
    uint8_t active; /* the activation block is written */
    uint8_t base;
    uint8_t pred; /* generation of the predecessor: its number + 1 */
    uint8_t sealed;
    uint8_t pad;
    uint16_t sum; /* the seal's content hash */
};

struct slot {
    uint8_t gen;
    uint8_t holder; /* producer + 1 whose life holds the lock, 0: free */
    uint8_t clean;  /* the last owner left in good order */
    uint8_t pad;
};

struct producer {
    uint8_t pc;
    uint8_t op;
    uint8_t k; /* next write of a list of writes; moving the tail: 1 after the commit */
    uint8_t seg;
    uint8_t off; /* own cache of the tail; the claim's place while there is one */
    uint8_t seq;
    uint8_t gen;
    uint8_t wrote; /* note: this op changed a word */
};

struct follower {
    uint16_t seen; /* the CLAIMED word it waits for */
    uint16_t sum;
    uint8_t pc;
    uint8_t seg;
    uint8_t off;
    uint8_t seq;
};

enum { READER, SEALER, FOLLOWERS };

struct state {
    struct memory memory[APPEND_SEGMENTS_MAX];
    struct segment segment[APPEND_SEGMENTS_MAX];
    struct slot slot[APPEND_SLOTS_MAX];
    struct producer producer[APPEND_PRODUCERS_MAX];
    struct follower follower[FOLLOWERS];
    uint16_t done;    /* note: records whose commit succeeded */
    uint16_t retired; /* note: of these, those in recycled segments */
    uint8_t first;    /* first segment not recycled */
    uint8_t first_seq;
    uint8_t crashes; /* left */
    uint8_t evictions;
    uint8_t no_space;
    uint8_t fault; /* note: enum append_verdict of a step that was wrong in itself */
};
static_assert(sizeof(struct state) == 128, "no padding");

static inline uint8_t u8(unsigned value)
{
    return (uint8_t)value;
}

static inline enum word_kind word_kind(uint16_t word)
{
    return (enum word_kind)(word & 7u);
}

static inline unsigned word_span(uint16_t word)
{
    return word >> 3 & 7u;
}

static inline unsigned word_record(uint16_t word)
{
    return word >> 6 & 15u;
}

static inline unsigned word_slot(uint16_t word)
{
    return word >> 8 & 3u;
}

static inline unsigned word_gen(uint16_t word)
{
    return word >> 10 & 3u;
}

static inline uint16_t word_make(enum word_kind kind, unsigned span, unsigned rest)
{
    return (uint16_t)((unsigned)kind | span << 3 | rest << 6);
}

/* How many numbers a frame takes: a function of word 0 alone. */
static inline unsigned word_count(uint16_t word)
{
    switch (word_kind(word)) {
    case COMMITTED:
        return 1;
    case CLAIMED:
    case ABORTED:
        return word >> 6 & 3u;
    default:
        return 0;
    }
}

static inline uint16_t word_aborted(uint16_t claimed)
{
    return word_make(ABORTED, word_span(claimed), word_count(claimed));
}

static inline bool has_twist(const struct append_variant *v, uint32_t twist)
{
    return (v->twists & twist) != 0;
}

/* Recycling: one segment's memory fewer than there are segments. */
static inline unsigned memories(const struct append_variant *v)
{
    return has_twist(v, TWIST_RECYCLE) ? v->segments - 1u : v->segments;
}

static inline struct memory *memory_of(const struct append_variant *v, struct state *st,
                                       unsigned seg)
{
    return &st->memory[seg % memories(v)];
}

static inline const struct memory *memory_seen(const struct append_variant *v,
                                               const struct state *st, unsigned seg)
{
    return &st->memory[seg % memories(v)];
}

/* What every walker checks before it follows a span. */
static inline bool span_is_sound(const struct append_variant *v, unsigned off, uint16_t word)
{
    return word_span(word) > 0 && off + word_span(word) <= v->units;
}

static inline const struct append_op *op_of(const struct append_variant *v, unsigned producer,
                                            unsigned op)
{
    static const struct append_op none;

    return op < APPEND_OPS_MAX ? &v->producer[producer].op[op] : &none;
}

static inline unsigned op_parts(const struct append_op *op)
{
    unsigned n = 0;

    while (n < APPEND_PARTS_MAX && op->part[n] != 0)
        n++;
    return n;
}

static inline unsigned op_span(const struct append_op *op)
{
    return (unsigned)op->part[0] + op->part[1] + op->part[2];
}

/* Word 0 of a producer's open claim. */
static inline uint16_t claim_word(const struct append_variant *v, const struct state *st,
                                  unsigned i)
{
    const struct append_op *op = op_of(v, i, st->producer[i].op);

    return word_make(CLAIMED, op_span(op),
                     op_parts(op) | (unsigned)v->producer[i].slot << 2 |
                         (unsigned)st->producer[i].gen << 4);
}

static inline bool has_claim(const struct producer *p)
{
    const bool resolved = p->pc <= P_TAIL_MOVE && p->k == 1;

    return p->pc >= P_TAIL_LOOK && p->pc <= P_COMMIT && !resolved;
}

/* append_claim.c */
struct write {
    unsigned unit; /* from the claim's start */
    uint16_t word;
};
unsigned record_of(const struct append_variant *v, unsigned i, unsigned op, unsigned part);
bool fill_write(const struct append_variant *v, unsigned i, const struct producer *p,
                struct write *out);
bool finish_write(const struct append_variant *v, unsigned i, const struct producer *p,
                  struct write *out);

/* append_produce.c */
bool producer_step(const struct append_variant *v, struct state *st, unsigned i,
                   enum explorer_choice choice);

/* append_follow.c */
bool follower_step(const struct append_variant *v, struct state *st, unsigned i,
                   enum explorer_choice choice);
void follower_restart(const struct state *st, struct follower *f);

/* append_check.c */
int append_check(const void *variant, const void *before, const void *after);
int append_check_end(const void *variant, const void *state);
uint16_t seal_sum_add(uint16_t sum, unsigned off, uint16_t word);

/* append_trace.c */
void append_describe(const void *variant, const void *before, const void *after, unsigned actor,
                     enum explorer_choice choice, FILE *out);
const char *append_verdict_name(int verdict);

#endif
