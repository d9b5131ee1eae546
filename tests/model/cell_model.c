/*
 * Does a reader of a cell ever get a value that nobody published?
 *
 *   writer (holds the place)             reader
 *     v = highest number met + 1           v = current
 *     (not into the slot of current)       slot[v].seq == v, finished?  else look at current again:
 *     slot[v].seq = v, begun                   the same: damage; another: begin anew
 *     slot[v].words ...                    copy slot[v].words ...
 *     slot[v].seq = v, finished            slot[v].seq == v, finished still?  else begin anew
 *     current = v
 *
 * A writer dies at any step and the kernel gives its place to the next, who finds slots half written
 * and numbers that were given and never published. Version 1 is published at the start. A value's words
 * are all the number of its version and the writer's publication, so a mixture shows, also one of two
 * publications under the same number.
 *
 * Under sequential consistency; what the accesses need beyond that is written at each of them in
 * state/cell_order.h.
 */
#include "model/cell_model.h"

#include <string.h>

enum { ACTORS = CELL_WRITERS_MAX + CELL_READERS_MAX };

enum writer_pc { W_PLACE, W_NUMBER, W_BEGIN, W_WORD, W_FINISH, W_CURRENT, W_LEAVE, W_DONE, W_DEAD };
enum reader_pc { R_CURRENT, R_SLOT, R_AGAIN, R_WORD, R_RECHECK, R_DONE };

struct cell_state {
    uint8_t current;
    uint8_t seq[CELL_SLOTS]; /* version << 1 | begun */
    uint8_t words[CELL_SLOTS][CELL_WORDS];
    uint8_t place; /* writer + 1 that holds it */
    uint8_t stamp; /* publications begun, ever: what words are made of */
    uint8_t crashes;
    uint8_t whole[16]; /* by version: the stamp that was published; 0: none */

    uint8_t pc[ACTORS];
    uint8_t version[ACTORS];
    uint8_t word[ACTORS]; /* the next one */
    uint8_t mine[ACTORS]; /* writer: stamp; reader: unused */
    uint8_t left[ACTORS]; /* publications, reads */
    uint8_t got[ACTORS][CELL_WORDS];
    uint8_t taken[ACTORS]; /* reader: version of the last read */
    uint8_t verdict;
};

static bool twisted(const struct cell_variant *v, uint32_t twist)
{
    return (v->twists & twist) != 0;
}

static void model_init(const void *variant, void *state)
{
    const struct cell_variant *v = variant;
    struct cell_state *st = state;

    memset(st, 0, sizeof(*st));
    st->current = 1;
    st->stamp = 1;
    st->whole[1] = 1;
    st->seq[1 % v->slots] = 1 << 1;
    memset(st->words[1 % v->slots], 1, CELL_WORDS);
    st->crashes = v->crashes;
    for (unsigned i = 0; i < ACTORS; i++) {
        const bool is_writer = i < CELL_WRITERS_MAX;
        const bool plays = is_writer ? i < v->writers : i - CELL_WRITERS_MAX < v->readers;

        st->left[i] = is_writer ? v->publishes : v->reads;
        st->pc[i] = plays ? 0 : (is_writer ? W_DONE : R_DONE);
        if (!plays)
            st->left[i] = 0;
    }
}

static uint8_t number(const struct cell_variant *v, const struct cell_state *st)
{
    uint8_t last = st->current;

    for (unsigned s = 0; s < v->slots; s++) {
        if (st->seq[s] >> 1 > last)
            last = st->seq[s] >> 1;
    }
    last++;
    if (last % v->slots == st->current % v->slots && !twisted(v, CELL_NO_SKIP))
        last++;
    return last;
}

static bool writer_step(const struct cell_variant *v, struct cell_state *st, unsigned i)
{
    const unsigned slot = st->version[i] % v->slots;
    const bool early = twisted(v, CELL_EARLY_CURRENT);

    switch ((enum writer_pc)st->pc[i]) {
    case W_PLACE:
        if (st->place != 0 && !twisted(v, CELL_STEAL_PLACE))
            return false;
        st->place = (uint8_t)(i + 1);
        st->pc[i] = W_NUMBER;
        return true;
    case W_NUMBER:
        st->version[i] = number(v, st);
        st->mine[i] = ++st->stamp;
        st->pc[i] = twisted(v, CELL_NO_BEGIN) ? W_WORD : W_BEGIN;
        st->word[i] = 0;
        return true;
    case W_BEGIN:
        st->seq[slot] = (uint8_t)(st->version[i] << 1 | 1);
        st->pc[i] = W_WORD;
        return true;
    case W_WORD:
        st->words[slot][st->word[i]++] = st->mine[i];
        if (st->word[i] == CELL_WORDS)
            st->pc[i] = early ? W_CURRENT : W_FINISH;
        return true;
    case W_FINISH:
        st->seq[slot] = (uint8_t)(st->version[i] << 1);
        st->pc[i] = early ? W_LEAVE : W_CURRENT;
        return true;
    case W_CURRENT:
        st->current = st->version[i];
        st->whole[st->version[i]] = st->mine[i];
        st->pc[i] = early ? W_FINISH : W_LEAVE;
        return true;
    case W_LEAVE:
        st->place = 0;
        st->version[i] = st->mine[i] = st->word[i] = 0;
        st->pc[i] = --st->left[i] ? W_PLACE : W_DONE;
        return true;
    default:
        return false;
    }
}

/* What it has copied is taken. */
static void reader_take(struct cell_state *st, unsigned i)
{
    const uint8_t version = st->version[i];

    for (unsigned k = 0; k < CELL_WORDS; k++) {
        if (st->got[i][k] != st->whole[version])
            st->verdict = CELL_TORN;
    }
    if (version < st->taken[i])
        st->verdict = CELL_BACKWARD;
    st->taken[i] = version;
    st->pc[i] = --st->left[i] ? R_CURRENT : R_DONE;
}

static void reader_anew(struct cell_state *st, unsigned i)
{
    memset(st->got[i], 0, CELL_WORDS);
    st->word[i] = 0;
    st->version[i] = 0;
}

static bool reader_step(const struct cell_variant *v, struct cell_state *st, unsigned i)
{
    const unsigned slot = st->version[i] % v->slots;
    const bool is_there = st->seq[slot] == st->version[i] << 1;

    switch ((enum reader_pc)st->pc[i]) {
    case R_CURRENT:
        st->version[i] = st->current;
        st->pc[i] = R_SLOT;
        return true;
    case R_SLOT:
        st->pc[i] = is_there ? R_WORD : R_AGAIN;
        return true;
    case R_AGAIN:
        if (st->current == st->version[i])
            st->verdict = CELL_FALSE_ALARM;
        reader_anew(st, i);
        st->pc[i] = R_CURRENT;
        return true;
    case R_WORD:
        st->got[i][st->word[i]] = st->words[slot][st->word[i]];
        if (++st->word[i] == CELL_WORDS)
            st->pc[i] = R_RECHECK;
        return true;
    case R_RECHECK:
        if (is_there || twisted(v, CELL_NO_RECHECK))
            reader_take(st, i);
        else
            st->pc[i] = R_CURRENT;
        reader_anew(st, i);
        return true;
    default:
        return false;
    }
}

static bool model_step(const void *variant, void *state, unsigned actor,
                       enum explorer_choice choice)
{
    struct cell_state *st = state;
    const bool is_writer = actor < CELL_WRITERS_MAX;

    if (choice == EXPLORER_CRASH) {
        if (!is_writer || st->crashes == 0 || st->pc[actor] >= W_DONE)
            return false;
        st->crashes--;
        if (st->place == actor + 1)
            st->place = 0; /* the kernel drops its lock */
        st->version[actor] = st->mine[actor] = st->word[actor] = st->left[actor] = 0;
        st->pc[actor] = W_DEAD;
        return true;
    }
    if (choice != EXPLORER_STEP)
        return false;
    return is_writer ? writer_step(variant, st, actor) : reader_step(variant, st, actor);
}

static int model_check(const void *variant, const void *before, const void *after)
{
    const struct cell_variant *v = variant;
    const struct cell_state *st = after;
    const unsigned slot = st->current % v->slots;

    (void)before;
    if (st->verdict)
        return st->verdict;
    /* Whoever dies now: what readers are sent to is whole. */
    if (st->seq[slot] != st->current << 1)
        return CELL_LOST;
    for (unsigned k = 0; k < CELL_WORDS; k++) {
        if (st->words[slot][k] != st->whole[st->current])
            return CELL_LOST;
    }
    return CELL_ALLOWED;
}

static int model_check_end(const void *variant, const void *state)
{
    const struct cell_state *st = state;

    (void)variant;
    /* Readers are never kept waiting: all of them came to their end. */
    for (unsigned i = CELL_WRITERS_MAX; i < ACTORS; i++) {
        if (st->pc[i] != R_DONE)
            return CELL_LOST;
    }
    return CELL_ALLOWED;
}

static void model_describe(const void *variant, const void *before, const void *after,
                           unsigned actor, enum explorer_choice choice, FILE *out)
{
    static const char *const writer[] = {"place",   "number", "begin", "word", "finish",
                                         "current", "leave",  "done",  "dead"};
    static const char *const reader[] = {"current", "slot", "again", "word", "recheck", "done"};
    const struct cell_state *a = before, *b = after;
    const bool is_writer = actor < CELL_WRITERS_MAX;

    (void)variant;
    fprintf(out, "%s %u %s: current %u, seq %u %u %u", is_writer ? "writer" : "reader", actor,
            choice == EXPLORER_CRASH ? "dies"
            : is_writer              ? writer[a->pc[actor]]
                                     : reader[a->pc[actor]],
            b->current, b->seq[0], b->seq[1], b->seq[2]);
}

static const char *model_verdict(int verdict)
{
    static const char *const names[CELL_VERDICTS] = {"allowed", "torn", "backward", "lost",
                                                     "false alarm"};

    return names[verdict];
}

struct explorer_model cell_model(const struct cell_variant *variant)
{
    return (struct explorer_model){
        .name = variant->name,
        .variant = variant,
        .state_size = sizeof(struct cell_state),
        .actors = ACTORS,
        .init = model_init,
        .step = model_step,
        .check = model_check,
        .check_end = model_check_end,
        .describe = model_describe,
        .verdict_name = model_verdict,
    };
}
