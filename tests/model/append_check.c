/*
 * What must hold: after every step, between the two sides of every step, and when nobody can step.
 *
 * All of it follows from one walk over word 0 from the log's start, the same that a reader does,
 * except that the walk also goes over claims that are still open.
 */
#include "model/append_state.h"

#include <string.h>

struct chain {
    uint8_t seq_at[APPEND_SEGMENTS_MAX][APPEND_UNITS_MAX];  /* + 1; 0: no frame begins here */
    uint16_t sum_at[APPEND_SEGMENTS_MAX][APPEND_UNITS_MAX]; /* of all frames before, per segment */
    unsigned seg;                                           /* where the chain ends */
    unsigned off;
    unsigned seq;
    uint16_t records; /* committed ones met */
    uint16_t open;    /* claims met */
    int verdict;
};

uint16_t seal_sum_add(uint16_t sum, unsigned off, uint16_t word)
{
    return (uint16_t)(sum * 251u + word * 7u + off + 1u);
}

/* A committed record is whole from the moment it is visible, and numbered in its owner's order. */
static int check_record(const struct memory *memory, const struct chain *c, unsigned off)
{
    const uint16_t word = memory->word[off];
    const unsigned record = word_record(word);
    const unsigned later_of_same = (0xfu << (record & ~3u)) & ~((2u << record) - 1u);

    for (unsigned unit = 1; unit < word_span(word); unit++)
        if (memory->word[off + unit] != word_make(PAYLOAD, 0, record))
            return APPEND_INCOMPLETE;
    if (c->records >> record & 1u)
        return APPEND_TWICE;
    if (c->records & later_of_same)
        return APPEND_ORDER;
    return APPEND_ALLOWED;
}

/* Behind the end nothing has ever been written: that is what makes "zero: never written" true. */
static int check_ahead(const struct append_variant *v, const struct state *st,
                       const struct chain *c)
{
    for (unsigned off = c->off; off < v->units; off++)
        if (memory_seen(v, st, c->seg)->word[off] != 0)
            return APPEND_AHEAD_NOT_ZERO;
    for (unsigned seg = c->seg + 1; seg < v->segments; seg++) {
        if (st->segment[seg].active)
            return APPEND_BASE;
        if (!st->segment[seg].exists)
            continue;
        for (unsigned off = 0; off < v->units; off++)
            if (memory_seen(v, st, seg)->word[off] != 0)
                return APPEND_AHEAD_NOT_ZERO;
    }
    return APPEND_ALLOWED;
}

/* Fetch_add: the owner that will put a header here; no actor could know. 0: nobody. */
static unsigned hole_span(const struct append_variant *v, const struct state *st,
                          const struct chain *c)
{
    for (unsigned i = 0; i < APPEND_PRODUCERS_MAX; i++) {
        const struct producer *p = &st->producer[i];

        if (p->pc == P_ADDED && p->seg == c->seg && p->off == c->off)
            return op_span(op_of(v, i, p->op));
    }
    return 0;
}

static int chain_roll(const struct append_variant *v, const struct state *st, struct chain *c,
                      uint16_t sum)
{
    const struct segment *seg = &st->segment[c->seg];
    const struct segment *next = seg + 1;

    if (c->seg + 1 >= APPEND_SEGMENTS_MAX || !next->exists)
        return APPEND_ROLL_NOWHERE;
    if (next->active && (next->base != c->seq || next->pred != c->seg + 1) &&
        !(v->tolerate >> APPEND_BASE & 1u))
        return APPEND_BASE;
    if (seg->sealed && seg->sum != sum)
        return APPEND_SEAL;
    c->seg++;
    c->off = 0;
    return APPEND_ALLOWED;
}

/* Step over one frame; false: the chain ends here, or breaks (c->verdict). */
static bool chain_next(const struct append_variant *v, const struct state *st, struct chain *c,
                       uint16_t *sum)
{
    const struct memory *memory = memory_seen(v, st, c->seg);
    const uint16_t word = memory->word[c->off];

    switch (word_kind(word)) {
    case FREE:
        c->off += hole_span(v, st, c);
        return word_kind(memory->word[c->off]) != FREE || hole_span(v, st, c) > 0;
    case JUNK:
        return false;
    case PAYLOAD:
        c->verdict = APPEND_LANDS_IN_PAYLOAD;
        return false;
    case ROLL:
        c->verdict = chain_roll(v, st, c, *sum);
        *sum = 0;
        return c->verdict == 0;
    case COMMITTED:
        c->verdict = check_record(memory, c, c->off);
        c->records |= (uint16_t)(1u << word_record(word));
        break;
    case CLAIMED:
        c->open++;
        break;
    case ABORTED:
    case PAD:
        break;
    }
    if (!span_is_sound(v, c->off, word) || c->off + word_span(word) >= v->units)
        c->verdict = APPEND_BEYOND_END;
    *sum = seal_sum_add(*sum, c->off, word_kind(word) == CLAIMED ? word_aborted(word) : word);
    c->seq += word_count(word);
    c->off += word_span(word);
    return c->verdict == 0;
}

static int chain_walk(const struct append_variant *v, const struct state *st, struct chain *c)
{
    uint16_t sum = 0;

    memset(c, 0, sizeof(*c));
    c->seg = st->first;
    c->seq = st->first_seq;
    c->records = st->retired;
    do {
        c->seq_at[c->seg][c->off] = u8(c->seq + 1);
        c->sum_at[c->seg][c->off] = sum;
    } while (chain_next(v, st, c, &sum));
    if (c->verdict == 0 && !v->junk_at)
        c->verdict = check_ahead(v, st, c);
    return c->verdict;
}

/* Does a frame begin here, or the free space? And has it this number? */
static int check_place(const struct append_variant *v, const struct state *st,
                       const struct chain *c, unsigned seg, unsigned off, unsigned seq)
{
    if (off >= v->units)
        return APPEND_BEYOND_END;
    if (seg < st->first)
        return APPEND_ALLOWED; /* recycled behind its back; harmless until it writes */
    if (c->seq_at[seg][off] == 0)
        return APPEND_OFF_CHAIN;
    return c->seq_at[seg][off] == seq + 1 ? APPEND_ALLOWED : APPEND_WRONG_NUMBER;
}

/* An open claim is in the chain, its owner's or made void, and nobody else's frame overlaps it. */
static int check_claim(const struct append_variant *v, const struct state *st,
                       const struct chain *c, unsigned i)
{
    const struct producer *p = &st->producer[i];
    const uint16_t claimed = claim_word(v, st, i);
    const uint16_t word = memory_seen(v, st, p->seg)->word[p->off];

    if (p->seg < st->first || c->seq_at[p->seg][p->off] == 0)
        return APPEND_CLAIM_SWALLOWED;
    if (word != claimed && word != word_aborted(claimed))
        return APPEND_CLAIM_SWALLOWED;
    return check_place(v, st, c, p->seg, p->off, p->seq);
}

static int check_actors(const struct append_variant *v, const struct state *st,
                        const struct chain *c)
{
    int verdict = APPEND_ALLOWED;

    for (unsigned i = 0; i < APPEND_PRODUCERS_MAX && verdict == 0; i++) {
        const struct producer *p = &st->producer[i];

        if (has_claim(p))
            verdict = check_claim(v, st, c, i);
        else if (p->pc >= P_HINT && p->pc <= P_ACTIVATE)
            verdict = check_place(v, st, c, p->seg, p->off, p->seq);
    }
    for (unsigned i = 0; i < FOLLOWERS && verdict == 0; i++) {
        const struct follower *f = &st->follower[i];

        verdict = check_place(v, st, c, f->seg, f->off, f->seq);
        if (verdict == 0 && f->seg >= st->first && c->sum_at[f->seg][f->off] != f->sum)
            verdict = APPEND_MISREAD;
    }
    for (unsigned seg = st->first; seg <= c->seg && verdict == 0; seg++) {
        const struct memory *memory = memory_seen(v, st, seg);

        if (memory->tail_off != 0 && !has_twist(v, TWIST_FETCH_ADD) &&
            check_place(v, st, c, seg, memory->tail_off, memory->tail_seq) != 0)
            verdict = APPEND_HINT;
    }
    return verdict;
}

/* Which word 0 may follow which. */
static int check_change(uint16_t old, uint16_t new)
{
    if (old == new || old == 0)
        return APPEND_ALLOWED;
    if (new == 0)
        return APPEND_WENT_BACK;
    if (word_kind(old) != CLAIMED)
        return APPEND_VERDICT_CHANGED;
    if (word_kind(new) == COMMITTED || new == word_aborted(old))
        return APPEND_ALLOWED;
    return APPEND_VERDICT_CHANGED;
}

/* From one state to the next: frames change only as allowed, committed ones not by a bit. */
static int check_step(const struct append_variant *v, const struct state *before,
                      const struct state *after)
{
    struct chain c;

    if (memcmp(before->memory, after->memory, sizeof(before->memory)) == 0)
        return APPEND_ALLOWED;
    chain_walk(v, before, &c);
    for (unsigned seg = after->first; seg <= c.seg; seg++) {
        const uint16_t *old = memory_seen(v, before, seg)->word;
        const uint16_t *new = memory_seen(v, after, seg)->word;

        for (unsigned off = 0; off < v->units; off++) {
            const unsigned span = word_kind(old[off]) == COMMITTED ? word_span(old[off]) : 1;

            if (c.seq_at[seg][off] == 0)
                continue;
            if (check_change(old[off], new[off]) != 0)
                return check_change(old[off], new[off]);
            if (memcmp(&old[off], &new[off], span * sizeof(*old)) != 0 && span > 1)
                return APPEND_CONTENT_CHANGED;
        }
    }
    return APPEND_ALLOWED;
}

int append_check(const void *variant, const void *before, const void *after)
{
    const struct append_variant *v = variant;
    const struct state *st = after;
    struct chain c;
    int verdict = st->fault;

    if (verdict == 0)
        verdict = check_step(v, before, st);
    if (verdict == 0 || v->tolerate >> verdict & 1u)
        verdict = chain_walk(v, st, &c);
    else
        return verdict;
    if (verdict != 0 && !(v->tolerate >> verdict & 1u))
        return verdict;
    if (c.records != st->done)
        return APPEND_LOST;
    verdict = check_actors(v, st, &c);
    return v->tolerate >> verdict & 1u ? APPEND_ALLOWED : verdict;
}

/*
 * Nobody can step. Then every living producer has done all its appends (one that could not get its
 * slot never came), no claim is open, and the followers stand at the end.
 */
int append_check_end(const void *variant, const void *state)
{
    const struct append_variant *v = variant;
    const struct state *st = state;
    struct chain c;

    chain_walk(v, st, &c);
    for (unsigned i = 0; i < APPEND_PRODUCERS_MAX; i++) {
        const uint8_t pc = st->producer[i].pc;

        if (pc != P_DONE && pc != P_GONE && pc != P_ATTACH)
            return APPEND_BLOCKED;
    }
    if (c.open > 0)
        return APPEND_STUCK;
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        const struct follower *f = &st->follower[i];

        if ((i == READER ? v->reader : v->sealer) && (f->seg != c.seg || f->off != c.off))
            return APPEND_BEHIND;
    }
    for (unsigned seg = st->first; seg < c.seg && v->sealer; seg++)
        if (!st->segment[seg].sealed)
            return APPEND_BEHIND;
    return APPEND_ALLOWED;
}
