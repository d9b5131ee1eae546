/*
 * The producer: take a slot, walk to the end, claim, write, commit; roll when the segment is full.
 *
 * One function is one atomic step, named after what it does to shared memory. What a process keeps
 * to itself (where it stands, which write is next) changes in the same step.
 */
#include "model/append_state.h"

/* Compare-and-swap of a word of the log. */
static bool word_swap(uint16_t *word, uint16_t expected, uint16_t desired)
{
    if (*word != expected)
        return false;
    *word = desired;
    return true;
}

static uint16_t *word_here(const struct append_variant *v, struct state *st,
                           const struct producer *p, unsigned unit)
{
    return &memory_of(v, st, p->seg)->word[p->off + unit];
}

/* Which list of writes is next; an empty list takes no step. */
static void writes_begin(const struct append_variant *v, unsigned i, struct producer *p)
{
    struct write unused;

    if (p->pc < P_FILL || p->pc > P_FINISH) {
        p->pc = P_FILL;
        p->k = 0;
        if (fill_write(v, i, p, &unused))
            return;
    }
    if (p->pc == P_FILL) {
        p->pc = P_FINISH;
        p->k = 0;
        if (!has_twist(v, TWIST_FINISH_LATE) && finish_write(v, i, p, &unused))
            return;
    }
    p->pc = P_COMMIT;
    p->k = 0;
}

/* The append is over; `off` and `seq` are the producer's own idea of where the log ends. */
static void op_end(const struct append_variant *v, unsigned i, struct producer *p)
{
    p->op++;
    p->k = 0;
    p->wrote = 0;
    if (op_parts(op_of(v, i, p->op)) > 0) {
        p->pc = has_twist(v, TWIST_FETCH_ADD) ? P_ADD : P_HINT;
        return;
    }
    p->pc = v->producer[i].leaves ? P_LEAVE : P_DONE;
    p->op = 0;
    p->off = 0;
    p->seq = 0;
    if (!has_twist(v, TWIST_RECYCLE))
        p->seg = 0;
}

/* The same, and our place is behind the claim, whatever became of it. */
static void op_passed(const struct append_variant *v, unsigned i, struct producer *p)
{
    const struct append_op *op = op_of(v, i, p->op);

    p->off = u8(p->off + op_span(op));
    p->seq = u8(p->seq + op_parts(op));
    op_end(v, i, p);
}

/* An append that fails must have changed nothing. */
static void op_no_space(const struct append_variant *v, struct state *st, unsigned i)
{
    struct producer *p = &st->producer[i];

    if (p->wrote)
        st->fault = APPEND_NO_SPACE_CHANGED;
    op_end(v, i, p);
}

static bool step_attach(const struct append_variant *v, struct state *st, unsigned i,
                        enum explorer_choice choice)
{
    const struct append_producer *role = &v->producer[i];
    struct producer *p = &st->producer[i];
    struct slot *slot = &st->slot[role->slot];

    if (role->after && st->producer[role->after - 1].pc != P_GONE)
        return false;
    if (choice == EXPLORER_OTHER) {
        if (!has_twist(v, TWIST_DEATH_BY_TIMER) || slot->holder == 0 || st->evictions == 0)
            return false;
        st->evictions--;
    } else if (slot->holder != 0) {
        return false;
    }
    slot->holder = u8(i + 1);
    p->pc = slot->clean || has_twist(v, TWIST_SLOT_NO_RESOLVE) ? P_RENEW : P_RESOLVE;
    p->seg = st->first;
    return true;
}

/* Walk the whole log once: what the slot's last owner left claimed becomes void. */
static bool step_resolve(const struct append_variant *v, struct state *st, unsigned i)
{
    struct producer *p = &st->producer[i];
    const struct slot *slot = &st->slot[v->producer[i].slot];
    uint16_t *word = word_here(v, st, p, 0);

    switch (word_kind(*word)) {
    case FREE:
    case JUNK:
        p->pc = P_RENEW;
        return true;
    case ROLL:
        p->seg++;
        p->off = 0;
        return true;
    case CLAIMED:
        if (word_slot(*word) == v->producer[i].slot && word_gen(*word) == slot->gen)
            *word = word_aborted(*word);
        break;
    default:
        break;
    }
    p->off = u8(p->off + word_span(*word));
    return true;
}

static bool step_renew(const struct append_variant *v, struct state *st, unsigned i)
{
    struct producer *p = &st->producer[i];
    struct slot *slot = &st->slot[v->producer[i].slot];

    if (!has_twist(v, TWIST_SLOT_NO_RENEW))
        slot->gen = (slot->gen + 1u) & 3u;
    slot->clean = 0;
    p->gen = slot->gen;
    p->off = 0;
    p->pc = P_OPEN;
    return true;
}

/* Begin in the newest segment whose activation block is written. */
static bool step_open(const struct append_variant *v, struct state *st, unsigned i)
{
    struct producer *p = &st->producer[i];

    p->seg = st->first;
    while (p->seg + 1u < v->segments && st->segment[p->seg + 1].active)
        p->seg++;
    p->seq = st->segment[p->seg].base;
    p->pc = has_twist(v, TWIST_FETCH_ADD) ? P_ADD : P_HINT;
    return true;
}

/* The tail word is a hint: the further one of it and our own cache is where we start to walk. */
static bool step_hint(const struct append_variant *v, struct state *st, unsigned i)
{
    struct producer *p = &st->producer[i];
    const struct memory *memory = memory_of(v, st, p->seg);

    if (memory->tail_off > p->off) {
        p->off = memory->tail_off;
        p->seq = memory->tail_seq;
    }
    p->pc = P_WALK;
    return true;
}

/* Load and compare-and-swap are one step; append_model.c, "Joined steps". */
static bool step_walk(const struct append_variant *v, struct state *st, unsigned i)
{
    struct producer *p = &st->producer[i];
    const struct append_op *op = op_of(v, i, p->op);
    uint16_t *word = word_here(v, st, p, 0);

    if (*word == 0) {
        if (p->off + op_span(op) > v->units - 1u) {
            p->pc = has_twist(v, TWIST_ROLL_FIRST) ? P_ROLL : P_CREATE;
            return true;
        }
        *word = claim_word(v, st, i);
        p->wrote = 1;
        p->pc = P_TAIL_LOOK;
        if (has_twist(v, TWIST_TAIL_AT_COMMIT))
            writes_begin(v, i, p);
        return true;
    }
    if (word_kind(*word) == ROLL) {
        p->pc = P_ACTIVATE;
        return true;
    }
    if (!has_twist(v, TWIST_TRUST_SPANS) && !span_is_sound(v, p->off, *word)) {
        p->op = APPEND_OPS_MAX; /* the log is damaged: every append fails from here on */
        op_end(v, i, p);
        return true;
    }
    p->seq = u8(p->seq + word_count(*word));
    p->off = u8(p->off + word_span(*word));
    return true;
}

/* Renaming without replacing: the first one creates it, the others find it there. */
static bool step_create(const struct append_variant *v, struct state *st, unsigned i,
                        enum explorer_choice choice)
{
    struct producer *p = &st->producer[i];
    const unsigned next = p->seg + 1u;

    if (choice == EXPLORER_OTHER) {
        if (st->no_space == 0)
            return false;
        st->no_space--;
        op_no_space(v, st, i);
        return true;
    }
    if (next >= v->segments || (next >= memories(v) && !st->segment[next].exists)) {
        op_no_space(v, st, i);
        return true;
    }
    st->segment[next].exists = 1;
    p->pc = has_twist(v, TWIST_ROLL_FIRST) ? P_ACTIVATE : P_ROLL;
    return true;
}

static bool step_roll(const struct append_variant *v, struct state *st, unsigned i)
{
    struct producer *p = &st->producer[i];

    if (!word_swap(word_here(v, st, p, 0), FREE, word_make(ROLL, 0, 0))) {
        p->pc = P_WALK;
        return true;
    }
    p->wrote = 1;
    p->pc = has_twist(v, TWIST_ROLL_FIRST) ? P_CREATE : P_ACTIVATE;
    return true;
}

/* Whoever has seen ROLL writes the same block: all of them counted up to it. */
static bool step_activate(const struct append_variant *v, struct state *st, unsigned i)
{
    struct producer *p = &st->producer[i];
    struct segment *next = &st->segment[p->seg + 1];

    next->active = 1;
    next->base = has_twist(v, TWIST_BASE_FROM_HINT) ? memory_of(v, st, p->seg)->tail_seq : p->seq;
    next->pred = u8(p->seg + 1u);
    p->seg++;
    p->off = 0;
    p->wrote = 0; /* ROLL was due; it is no part of the record that may still fail */
    p->pc = P_HINT;
    return true;
}

/* Moving the hint on: a load, a comparison, a plain store. It may be lost or go back. */
static bool step_tail(const struct append_variant *v, struct state *st, unsigned i)
{
    struct producer *p = &st->producer[i];
    const struct append_op *op = op_of(v, i, p->op);
    struct memory *memory = memory_of(v, st, p->seg);
    const unsigned end = p->off + op_span(op);

    if (p->pc == P_TAIL_LOOK && memory->tail_off < end) {
        p->pc = P_TAIL_MOVE;
        return true;
    }
    if (p->pc == P_TAIL_MOVE) {
        memory->tail_off = u8(end);
        memory->tail_seq = u8(p->seq + op_parts(op));
    }
    if (has_twist(v, TWIST_TAIL_AT_COMMIT))
        op_passed(v, i, p);
    else
        writes_begin(v, i, p);
    return true;
}

static bool step_write(const struct append_variant *v, struct state *st, unsigned i)
{
    struct producer *p = &st->producer[i];
    struct write write;
    bool more;

    if (p->pc == P_FILL)
        more = fill_write(v, i, p, &write);
    else
        more = finish_write(v, i, p, &write);
    assert(more);
    *word_here(v, st, p, write.unit) = write.word;

    p->k++;
    more = p->pc == P_FILL ? fill_write(v, i, p, &write) : finish_write(v, i, p, &write);
    if (!more && p->pc != P_LATE)
        writes_begin(v, i, p);
    if (!more && p->pc == P_LATE)
        op_passed(v, i, p);
    return true;
}

/* The one step that makes records visible, or void; an evicted owner's finds another word. */
static bool step_commit(const struct append_variant *v, struct state *st, unsigned i)
{
    struct producer *p = &st->producer[i];
    const struct append_op *op = op_of(v, i, p->op);
    const bool by_store = v->producer[i].exclusive || has_twist(v, TWIST_COMMIT_BY_STORE);
    const unsigned commits = op_parts(op) - op->abort;
    const uint16_t claimed = claim_word(v, st, i);
    uint16_t *word = word_here(v, st, p, 0);
    uint16_t desired = word_aborted(claimed);
    struct write unused;

    if (commits == 0 && has_twist(v, TWIST_ABORT_BY_REWIND)) {
        *word = FREE;
        memory_of(v, st, p->seg)->tail_off = p->off;
        memory_of(v, st, p->seg)->tail_seq = p->seq;
        op_end(v, i, p);
        return true;
    }
    if (commits > 0)
        desired = word_make(COMMITTED, op->part[0] - (unsigned)op->trim, record_of(v, i, p->op, 0));
    if (by_store)
        *word = desired;
    if (by_store || word_swap(word, claimed, desired)) {
        for (unsigned part = 0; part < commits; part++)
            st->done |= (uint16_t)(1u << record_of(v, i, p->op, part));
        if (has_twist(v, TWIST_FINISH_LATE) && finish_write(v, i, p, &unused)) {
            p->pc = P_LATE;
            return true;
        }
    }
    if (has_twist(v, TWIST_TAIL_AT_COMMIT)) {
        p->pc = P_TAIL_LOOK;
        p->k = 1;
        return true;
    }
    op_passed(v, i, p);
    return true;
}

/* Claiming by fetch_add: the tail is the authority, the header follows a step later. */
static bool step_fetch_add(const struct append_variant *v, struct state *st, unsigned i)
{
    struct producer *p = &st->producer[i];
    const struct append_op *op = op_of(v, i, p->op);
    struct memory *memory = memory_of(v, st, p->seg);

    if (p->pc == P_ADDED) {
        if (word_swap(word_here(v, st, p, 0), FREE, claim_word(v, st, i)))
            writes_begin(v, i, p);
        else
            op_end(v, i, p);
        return true;
    }
    if (memory->tail_off + op_span(op) > v->units - 1u) {
        op_end(v, i, p);
        return true;
    }
    p->off = memory->tail_off;
    p->seq = memory->tail_seq;
    memory->tail_off = u8(memory->tail_off + op_span(op));
    memory->tail_seq = u8(memory->tail_seq + op_parts(op));
    p->pc = P_ADDED;
    return true;
}

static bool step_leave(const struct append_variant *v, struct state *st, unsigned i)
{
    struct slot *slot = &st->slot[v->producer[i].slot];

    if (slot->holder == i + 1) {
        slot->holder = 0;
        slot->clean = 1;
    }
    st->producer[i] = (struct producer){.pc = P_GONE};
    return true;
}

/* The kernel drops the lock; what the process knew is gone. */
static bool step_crash(const struct append_variant *v, struct state *st, unsigned i)
{
    struct slot *slot = &st->slot[v->producer[i].slot];

    if (st->crashes == 0 || st->producer[i].pc == P_ATTACH || st->producer[i].pc == P_GONE)
        return false;
    st->crashes--;
    if (slot->holder == i + 1)
        slot->holder = 0;
    st->producer[i] = (struct producer){.pc = P_GONE};
    return true;
}

bool producer_step(const struct append_variant *v, struct state *st, unsigned i,
                   enum explorer_choice choice)
{
    const enum producer_pc pc = (enum producer_pc)st->producer[i].pc;

    if (choice == EXPLORER_CRASH)
        return step_crash(v, st, i);
    if (choice == EXPLORER_OTHER && pc != P_ATTACH && pc != P_CREATE)
        return false;

    switch (pc) {
    case P_ATTACH:
        return step_attach(v, st, i, choice);
    case P_RESOLVE:
        return step_resolve(v, st, i);
    case P_RENEW:
        return step_renew(v, st, i);
    case P_OPEN:
        return step_open(v, st, i);
    case P_HINT:
        return step_hint(v, st, i);
    case P_WALK:
        return step_walk(v, st, i);
    case P_CREATE:
        return step_create(v, st, i, choice);
    case P_ROLL:
        return step_roll(v, st, i);
    case P_ACTIVATE:
        return step_activate(v, st, i);
    case P_TAIL_LOOK:
    case P_TAIL_MOVE:
        return step_tail(v, st, i);
    case P_FILL:
    case P_FINISH:
    case P_LATE:
        return step_write(v, st, i);
    case P_COMMIT:
        return step_commit(v, st, i);
    case P_LEAVE:
        return step_leave(v, st, i);
    case P_ADD:
    case P_ADDED:
        return step_fetch_add(v, st, i);
    case P_DONE:
    case P_GONE:
        return false;
    }
    return false;
}
