/*
 * See ring_model.h. One step is one store or one atomic operation; sequentially consistent.
 *
 * Memory is RING_MODEL_UNITS units. A message of one unit is its word; one of two has a unit of payload,
 * which looks exactly like a message: whoever lands there takes it for one, and the model notices.
 */
#include "model/ring_model.h"

#include <assert.h>
#include <string.h>

enum { N = RING_MODEL_UNITS, P = RING_MODEL_PRODUCERS, CONSUMER = P, ACTORS = P + 1 };

enum cell_kind { EMPTY, CLAIM, DATA, PAYLOAD };

enum producer_pc {
    P_START,
    P_MEND,
    P_ROOM,
    P_ZERO,
    P_CLAIM,
    P_TAIL,
    P_UNLOCK,
    P_ZERO_LATE,
    P_FILL,
    P_COMMIT,
    P_END,
    P_DEAD
};
enum consumer_pc { C_LOOK, C_READ, C_RELEASE };

struct cell {
    uint8_t kind;
    uint8_t owner;
    uint8_t number;
    uint8_t span;
};

struct ring_state {
    struct cell cell[N];
    uint8_t lock; /* 0, or producer + 1 */
    uint8_t tail;
    uint8_t floor;
    uint8_t floor_count; /* messages that gave way */
    uint8_t crashes;     /* left */
    uint8_t sent[P];     /* committed */
    uint8_t pc[ACTORS];
    uint8_t at[P];   /* where its claim is */
    uint8_t pos;     /* the consumer's */
    uint8_t count;   /* messages before pos, seen or lost */
    uint8_t next[P]; /* of each producer, at least this comes next */
    uint8_t landed;  /* verdicts noted by a step */
    struct cell seen;
};

static bool twisted(const struct ring_variant *v, uint32_t twist)
{
    return (v->twists & twist) != 0;
}

static struct cell *at(struct ring_state *st, unsigned pos)
{
    return &st->cell[pos % N];
}

static uint8_t span_of(unsigned producer, unsigned number)
{
    return (uint8_t)(1 + (producer + number) % 2);
}

static bool is_dead(const struct ring_state *st, unsigned producer)
{
    return st->pc[producer] == P_DEAD;
}

static bool fits(const struct ring_variant *v, const struct ring_state *st, uint8_t span)
{
    const unsigned behind = twisted(v, RING_NO_WORD_BEHIND) ? 0 : 1;

    return (unsigned)(uint8_t)(st->tail - st->floor) + span + behind <= N;
}

/* Overwrite: can the oldest give way? */
static bool may_give_way(const struct ring_variant *v, struct ring_state *st)
{
    const struct cell *c = at(st, st->floor);

    if (!v->overwrite || st->floor == st->tail)
        return false;
    return c->kind != CLAIM || is_dead(st, c->owner) || twisted(v, RING_OVER_CLAIMS);
}

static void give_way(struct ring_state *st)
{
    const struct cell *c = at(st, st->floor);

    st->floor_count = (uint8_t)(st->floor_count + (c->kind == DATA));
    st->floor = (uint8_t)(st->floor + (c->span ? c->span : 1));
}

static bool producer_start(const struct ring_variant *v, struct ring_state *st, unsigned i)
{
    const uint8_t span = span_of(i, st->sent[i]);

    if (st->sent[i] == v->messages) {
        st->pc[i] = P_END;
        return true;
    }
    if (twisted(v, RING_NO_LOCK)) {
        if (!fits(v, st, span))
            return false;
        st->pc[i] = P_ROOM;
        return true;
    }
    if (st->lock != 0) {
        if (!is_dead(st, st->lock - 1u))
            return false;
        st->lock = (uint8_t)(i + 1);
        st->pc[i] = twisted(v, RING_NO_MEND) ? P_ROOM : P_MEND;
        return true;
    }
    /* Without room the lock would be given back at once: nothing to see. */
    if (!fits(v, st, span) && !may_give_way(v, st))
        return false;
    st->lock = (uint8_t)(i + 1);
    st->pc[i] = P_ROOM;
    return true;
}

static bool producer_room(const struct ring_variant *v, struct ring_state *st, unsigned i)
{
    const uint8_t span = span_of(i, st->sent[i]);

    if (fits(v, st, span) || (twisted(v, RING_FLOOR_LATE) && may_give_way(v, st))) {
        st->at[i] = st->tail;
        st->pc[i] = P_ZERO;
        return true;
    }
    if (!may_give_way(v, st))
        return false;
    give_way(st);
    return true;
}

static bool producer_step(const struct ring_variant *v, struct ring_state *st, unsigned i)
{
    const uint8_t span = span_of(i, st->sent[i]);
    uint8_t *pc = &st->pc[i];

    switch ((enum producer_pc) * pc) {
    case P_START:
        return producer_start(v, st, i);
    case P_MEND:
        if (at(st, st->tail)->kind == EMPTY)
            *pc = P_ROOM;
        else
            st->tail = (uint8_t)(st->tail + at(st, st->tail)->span);
        return true;
    case P_ROOM:
        return producer_room(v, st, i);
    case P_ZERO:
        if (!twisted(v, RING_NO_ZERO) && !twisted(v, RING_ZERO_LATE))
            *at(st, st->at[i] + span) = (struct cell){.kind = EMPTY};
        *pc = twisted(v, RING_TAIL_FIRST) ? P_TAIL : P_CLAIM;
        return true;
    case P_CLAIM:
        *at(st, st->at[i]) = (struct cell){.kind = CLAIM, .owner = (uint8_t)i, .span = span};
        *pc = twisted(v, RING_TAIL_FIRST) ? P_UNLOCK : P_TAIL;
        return true;
    case P_TAIL:
        st->tail = (uint8_t)(st->at[i] + span);
        *pc = twisted(v, RING_TAIL_FIRST) ? P_CLAIM : P_UNLOCK;
        return true;
    case P_UNLOCK:
        while (twisted(v, RING_FLOOR_LATE) && !fits(v, st, 0) && may_give_way(v, st))
            give_way(st);
        st->lock = 0;
        *pc = twisted(v, RING_ZERO_LATE) ? P_ZERO_LATE : P_FILL;
        return true;
    case P_ZERO_LATE:
        *at(st, st->at[i] + span) = (struct cell){.kind = EMPTY};
        *pc = P_FILL;
        return true;
    case P_FILL: /* payload that looks like a message that was never sent */
        if (span == 2)
            *at(st, st->at[i] + 1) = (struct cell){
                .kind = PAYLOAD, .owner = (uint8_t)i, .number = st->sent[i], .span = 1};
        *pc = P_COMMIT;
        return true;
    case P_COMMIT:
        *at(st, st->at[i]) =
            (struct cell){.kind = DATA, .owner = (uint8_t)i, .number = st->sent[i], .span = span};
        st->sent[i]++;
        st->at[i] = 0;
        *pc = P_START;
        return true;
    case P_END:
    case P_DEAD:
        return false;
    }
    return false;
}

static bool lapped(struct ring_state *st)
{
    if ((int8_t)(st->floor - st->pos) <= 0)
        return false;
    st->pos = st->floor;
    st->count = st->floor_count;
    memset(&st->seen, 0, sizeof(st->seen));
    st->pc[CONSUMER] = C_LOOK;
    return true;
}

/* Room is given back: where nothing is overwritten, the consumer's place is the floor. */
static void consumer_release(const struct ring_variant *v, struct ring_state *st)
{
    if (!v->overwrite)
        st->floor = st->pos;
}

static bool consumer_look(const struct ring_variant *v, struct ring_state *st, bool guess)
{
    const struct cell c = *at(st, st->pos);

    if (v->overwrite && !twisted(v, RING_NO_CHECK) && lapped(st))
        return true;
    switch ((enum cell_kind)c.kind) {
    case EMPTY:
        return false;
    case CLAIM:
        if (!is_dead(st, c.owner) && !guess)
            return false;
        st->pos = (uint8_t)(st->pos + c.span);
        consumer_release(v, st);
        return true;
    case PAYLOAD:
        st->landed = RING_LANDED;
        return true;
    case DATA:
        if (guess)
            return false;
        st->seen = c;
        st->pc[CONSUMER] = C_READ;
        if (twisted(v, RING_RELEASE_EARLY))
            st->floor = (uint8_t)(st->pos + c.span);
        return true;
    }
    return false;
}

static bool consumer_step(const struct ring_variant *v, struct ring_state *st, bool guess)
{
    const struct cell c = st->seen;
    const struct cell *word = at(st, st->pos), *payload = at(st, st->pos + 1u);

    switch ((enum consumer_pc)st->pc[CONSUMER]) {
    case C_LOOK:
        return consumer_look(v, st, guess);
    case C_READ:
        if (guess)
            return false;
        if (v->overwrite && !twisted(v, RING_NO_CHECK) && lapped(st))
            return true; /* whatever was copied is thrown away */
        if (memcmp(word, &c, sizeof(c)) != 0 ||
            (c.span == 2 && (payload->kind != PAYLOAD || payload->owner != c.owner ||
                             payload->number != c.number)))
            st->landed = RING_CHANGED;
        if (c.number < st->next[c.owner] || (!v->overwrite && c.number != st->next[c.owner]))
            st->landed = RING_ORDER;
        st->next[c.owner] = (uint8_t)(c.number + 1);
        st->pc[CONSUMER] = C_RELEASE;
        return true;
    case C_RELEASE:
        if (guess)
            return false;
        st->pos = (uint8_t)(st->pos + c.span);
        st->count++;
        consumer_release(v, st);
        memset(&st->seen, 0, sizeof(st->seen));
        st->pc[CONSUMER] = C_LOOK;
        return true;
    }
    return false;
}

static bool ring_step(const void *variant, void *state, unsigned actor, enum explorer_choice choice)
{
    const struct ring_variant *v = variant;
    struct ring_state *st = state;

    if (choice == EXPLORER_CRASH) {
        if (actor == CONSUMER || st->crashes == 0 || st->pc[actor] >= P_END)
            return false;
        st->crashes--;
        st->pc[actor] = P_DEAD;
        return true;
    }
    if (choice == EXPLORER_OTHER)
        return actor == CONSUMER && twisted(v, RING_GUESS) && consumer_step(v, st, true);
    return actor == CONSUMER ? consumer_step(v, st, false) : producer_step(v, st, actor);
}

static int ring_check(const void *variant, const void *before, const void *after)
{
    const struct ring_state *st = after;

    (void)variant;
    (void)before;
    return st->landed;
}

static int ring_check_end(const void *variant, const void *state)
{
    const struct ring_variant *v = variant;
    const struct ring_state *st = state;
    unsigned sent = 0;

    for (unsigned i = 0; i < v->producers; i++) {
        if (st->pc[i] != P_END && st->pc[i] != P_DEAD)
            return RING_STUCK;
        if (!v->overwrite && st->next[i] != st->sent[i])
            return RING_ORDER;
        sent += st->sent[i];
    }
    /* Seen or counted as lost: together exactly what was sent. */
    return st->count == sent ? RING_ALLOWED : RING_ORDER;
}

static void ring_init(const void *variant, void *state)
{
    const struct ring_variant *v = variant;
    struct ring_state *st = state;

    assert(v->producers <= P);
    memset(st, 0, sizeof(*st));
    /* Memory as a lap before has left it: nothing but what looks like messages. */
    for (unsigned i = 1; i < N; i++)
        st->cell[i] = (struct cell){.kind = PAYLOAD, .span = 1, .number = 99};
    st->crashes = v->crashes;
    for (unsigned i = v->producers; i < P; i++)
        st->pc[i] = P_END;
}

static void ring_describe(const void *variant, const void *before, const void *after,
                          unsigned actor, enum explorer_choice choice, FILE *out)
{
    const struct ring_state *old = before, *st = after;

    (void)variant;
    fprintf(out, "%s %u at step %2u%s | tail %u floor %u pos %u lock %u |",
            actor == CONSUMER ? "consumer" : "producer", actor, old->pc[actor],
            choice == EXPLORER_CRASH ? " dies" : "", st->tail, st->floor, st->pos, st->lock);
    for (unsigned i = 0; i < N; i++)
        fprintf(out, " %c%u", "-CD."[st->cell[i].kind], st -> cell[i].number);
}

static const char *ring_verdict_name(int verdict)
{
    static const char *const names[] = {"allowed", "landed in payload",
                                        "lost, twice or out of order", "changed while it was read",
                                        "stuck"};

    return names[verdict];
}

struct explorer_model ring_model(const struct ring_variant *variant)
{
    return (struct explorer_model){
        .name = variant->name,
        .variant = variant,
        .state_size = sizeof(struct ring_state),
        .actors = ACTORS,
        .init = ring_init,
        .step = ring_step,
        .check = ring_check,
        .check_end = ring_check_end,
        .describe = ring_describe,
        .verdict_name = ring_verdict_name,
    };
}
