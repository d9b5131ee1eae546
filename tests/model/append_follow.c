/*
 * The reader and the sealer: both walk the log from its start, one word 0 at a time, and both make
 * a frame void whose owner is proved dead. The sealer also seals full segments and recycles them.
 *
 * A follower that finds nothing, or a living owner's claim, waits: it is not able to step.
 * A crashed follower is started again, and begins anew: it owns nothing in the log.
 */
#include "model/append_state.h"

#include <string.h>

/* Proof of death: the slot's lock is free, or the slot has another generation. */
static bool owner_is_dead(const struct state *st, uint16_t claimed)
{
    const struct slot *slot = &st->slot[word_slot(claimed)];

    return slot->holder == 0 || slot->gen != word_gen(claimed);
}

static bool owner_is_exclusive(const struct append_variant *v, const struct state *st,
                               uint16_t claimed)
{
    const uint8_t holder = st->slot[word_slot(claimed)].holder;

    return holder != 0 && v->producer[holder - 1].exclusive;
}

static void follower_advance(struct follower *f, uint16_t word)
{
    f->sum = seal_sum_add(f->sum, f->off, word);
    f->seq = u8(f->seq + word_count(word));
    f->off = u8(f->off + word_span(word));
    f->seen = 0;
    f->pc = F_READ;
}

/* Past ROLL: the next segment exists, its base is the number we have counted to. */
static bool follower_roll(const struct state *st, struct follower *f)
{
    if (!st->segment[f->seg + 1].exists)
        return false;
    f->seg++;
    f->off = 0;
    f->sum = 0;
    f->pc = F_READ;
    return true;
}

static bool follower_read(const struct append_variant *v, struct state *st, struct follower *f,
                          bool sealer)
{
    const struct memory *memory = memory_of(v, st, f->seg);
    const uint16_t word = memory->word[f->off];

    switch (word_kind(word)) {
    case FREE:
        if (!sealer || !has_twist(v, TWIST_FETCH_ADD) || memory->tail_off <= f->off)
            return false;
        for (f->seen = 1; f->off + f->seen < memory->tail_off; f->seen++)
            if (memory->word[f->off + f->seen] != 0)
                break;
        f->pc = F_PAD_HOLE;
        return true;
    case CLAIMED:
        f->seen = word;
        f->pc = F_PROBE;
        return true;
    case ROLL:
        if (!sealer)
            return follower_roll(st, f);
        f->pc = F_SEAL;
        return true;
    default:
        if (!span_is_sound(v, f->off, word))
            return false; /* damage: reported, and the log ends here */
        follower_advance(f, word);
        return true;
    }
}

/* Waiting at a claim until it changes, its owner is dead, or the deadline passes. */
static bool follower_probe(const struct append_variant *v, struct state *st, struct follower *f,
                           bool may_write, enum explorer_choice choice)
{
    const uint16_t word = memory_of(v, st, f->seg)->word[f->off];

    if (choice == EXPLORER_OTHER) {
        if (st->evictions == 0 || !may_write || owner_is_exclusive(v, st, f->seen))
            return false;
        st->evictions--;
        f->pc = F_KILL;
        return true;
    }
    if (owner_is_dead(st, f->seen)) {
        f->pc = F_KILL;
        return true;
    }
    if (word == f->seen)
        return false;
    f->seen = 0;
    f->pc = F_READ;
    return true;
}

/*
 * The owner is dead, so the word will not change any more, but it may have changed between our load
 * and the proof: the owner committed, then died. A reader that may not write has to look again too.
 */
static bool follower_kill(const struct append_variant *v, struct state *st, struct follower *f,
                          bool may_write)
{
    uint16_t *word = &memory_of(v, st, f->seg)->word[f->off];

    if (!may_write && (*word == f->seen || has_twist(v, TWIST_STEP_OVER_BLINDLY))) {
        follower_advance(f, word_aborted(f->seen));
        return true;
    }
    if (may_write && *word == f->seen)
        *word = word_aborted(f->seen);
    f->seen = 0;
    f->pc = F_READ;
    return true;
}

static bool follower_pad_hole(const struct append_variant *v, struct state *st, struct follower *f)
{
    uint16_t *word = &memory_of(v, st, f->seg)->word[f->off];

    if (*word == FREE)
        *word = word_make(PAD, f->seen, 0);
    f->seen = 0;
    f->pc = F_READ;
    return true;
}

static bool follower_seal(struct state *st, struct follower *f)
{
    if (!st->segment[f->seg + 1].exists)
        return false;
    st->segment[f->seg].sealed = 1;
    st->segment[f->seg].sum = f->sum;
    return follower_roll(st, f);
}

static bool producer_stands_in(const struct state *st, unsigned seg)
{
    for (unsigned i = 0; i < APPEND_PRODUCERS_MAX; i++) {
        const uint8_t pc = st->producer[i].pc;

        if (pc > P_OPEN && pc != P_GONE && st->producer[i].seg == seg)
            return true;
    }
    return false;
}

/* The first segment's memory becomes a new one: sealed, read by everybody, and behind the gate. */
static bool recycle(const struct append_variant *v, struct state *st)
{
    const unsigned old = st->first;
    const unsigned new = old + memories(v);

    if (!has_twist(v, TWIST_RECYCLE) || new >= v->segments || st->segment[new].exists)
        return false;
    if (!st->segment[old].sealed)
        return false;
    if (st->follower[READER].seg <= old || st->follower[SEALER].seg <= old)
        return false; /* a restarted sealer stands at the start again: it too is behind the gate */
    if (!has_twist(v, TWIST_RECYCLE_UNGATED) && producer_stands_in(st, old))
        return false;

    for (unsigned off = 0; word_kind(st->memory[old].word[off]) != ROLL;) {
        const uint16_t word = st->memory[old].word[off];

        if (word_kind(word) == COMMITTED)
            st->retired |= (uint16_t)(1u << word_record(word));
        st->first_seq = u8(st->first_seq + word_count(word));
        off += word_span(word);
    }
    memset(&st->memory[old], 0, sizeof(st->memory[old]));
    st->segment[new].exists = 1;
    st->first++;
    return true;
}

void follower_restart(const struct state *st, struct follower *f)
{
    *f = (struct follower){.pc = F_READ, .seg = st->first, .seq = st->first_seq};
}

static bool follower_crash(struct state *st, struct follower *f)
{
    struct follower fresh;

    follower_restart(st, &fresh);
    if (st->crashes == 0 || memcmp(&fresh, f, sizeof(fresh)) == 0)
        return false;
    st->crashes--;
    *f = fresh;
    return true;
}

bool follower_step(const struct append_variant *v, struct state *st, unsigned i,
                   enum explorer_choice choice)
{
    struct follower *f = &st->follower[i];
    const bool may_write = i == SEALER || !has_twist(v, TWIST_READER_STEPS_OVER);

    if (i == READER ? !v->reader : !v->sealer)
        return false;
    if (choice == EXPLORER_CRASH)
        return follower_crash(st, f);
    if (choice == EXPLORER_OTHER && f->pc == F_READ)
        return i == SEALER && recycle(v, st);
    if (choice == EXPLORER_OTHER && f->pc != F_PROBE)
        return false;

    switch ((enum follower_pc)f->pc) {
    case F_READ:
        return follower_read(v, st, f, i == SEALER);
    case F_PROBE:
        return follower_probe(v, st, f, may_write, choice);
    case F_KILL:
        return follower_kill(v, st, f, may_write);
    case F_SEAL:
        return follower_seal(st, f);
    case F_PAD_HOLE:
        return follower_pad_hole(v, st, f);
    }
    return false;
}
