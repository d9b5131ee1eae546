/*
 * Does a reader that goes to sleep ever miss the commit it waits for?
 *
 *   producer                          sleeper
 *     word 0 = COMMITTED                ticket = load(futex word)
 *     [fence]                           waiters += 1
 *     load(waiters)                     membarrier: a fence on every appender's processor
 *     if not 0:                         load(word 0): committed after all? then do not sleep
 *       futex word += 1                 futex_wait(futex word, ticket)
 *       futex_wake                      waiters -= 1, look again
 *
 * Each side stores one thing, then loads the other's. Sequential consistency would make one of the
 * two see the other; x86 does not, because a store waits in the processor's buffer while a later
 * load passes it. So here every actor has a store buffer, drained in order, at any time, one store
 * a step, and a load looks into the own buffer first (TSO). Read-modify-writes, fences and system
 * calls drain the own buffer before they act. membarrier drains the buffers of the others one after
 * another, in steps of its own: it promises no common moment.
 *
 * How the announcement is taken back matters when a producer dies. With the counter above nothing
 * is: a sleeper that is killed leaves it raised, and every append from then on makes a useless
 * call.
 * A flag that the waker clears costs one such call, but a waker that dies between clearing it and
 * waking leaves a sleeper whom no later append can see. The third way has neither fault: sleepers
 * count up `waiters`, the waker compares it with `served`, wakes, and only then stores to `served`
 * what it had compared. Whoever registered before that load is woken; whoever came later is still
 * unserved; a waker that dies has served nobody, and the next append does it again.
 *
 * A producer that dies between its commit and its wake-up wakes nobody, whatever the protocol: its
 * record is found at the next append that lives, or at a time-out. So with deaths the rule is that
 * no sleeper misses an append that began after it had announced itself and ran to its end.
 *
 * Left out: weaker machines. There the same two fences are needed for the same reason; what else is
 * needed (release of the record before word 0) is an order of two stores, which TSO keeps.
 */
#include "model/wake_model.h"

#include <assert.h>
#include <string.h>

enum { ACTORS = WAKE_PRODUCERS_MAX + WAKE_SLEEPERS_MAX };

enum producer_pc { P_COMMIT, P_FENCE, P_LOOK, P_CLEAR, P_RING, P_WAKE, P_SERVED, P_DONE, P_DEAD };

enum sleeper_pc {
    S_READ,
    S_TICKET,
    S_ANNOUNCE,
    S_BARRIER,
    S_RECHECK,
    S_LATE_TICKET,
    S_WAIT,
    S_ASLEEP,
    S_RETRACT,
    S_DONE,
};

/* The only plain stores are of word 0, one by each producer: a buffer is one bit. */
struct wake_state {
    uint8_t word[WAKE_PRODUCERS_MAX];     /* memory: record n is committed */
    uint8_t buffered[WAKE_PRODUCERS_MAX]; /* producer n's store of word n is in its buffer */
    uint8_t waiters;
    uint8_t served;
    uint8_t futex;
    uint8_t crashes;                    /* left */
    uint8_t looked[WAKE_PRODUCERS_MAX]; /* `waiters` as it compared it */
    uint8_t pc[ACTORS];
    uint8_t next[WAKE_SLEEPERS_MAX];    /* record it waits for */
    uint8_t ticket[WAKE_SLEEPERS_MAX];  /* the futex word as it read it */
    uint8_t barrier[WAKE_SLEEPERS_MAX]; /* processors its membarrier has been to */
    uint8_t owed[WAKE_SLEEPERS_MAX]; /* note: producers that committed since it announced itself */
};

static bool twisted(const struct wake_variant *v, uint32_t twist)
{
    return (v->twists & twist) != 0;
}

static void drain(struct wake_state *st, unsigned producer)
{
    if (st->buffered[producer])
        st->word[producer] = 1;
    st->buffered[producer] = 0;
}

static bool producer_step(const struct wake_variant *v, struct wake_state *st, unsigned i)
{
    uint8_t *pc = &st->pc[i];

    switch ((enum producer_pc)st->pc[i]) {
    case P_COMMIT:
        if (v->commit == WAKE_COMMIT_SWAP)
            st->word[i] = 1;
        else
            st->buffered[i] = 1;
        for (unsigned s = 0; s < WAKE_SLEEPERS_MAX; s++)
            if (v->crashes > 0 && st->pc[WAKE_PRODUCERS_MAX + s] != S_DONE)
                st->owed[s] |= (uint8_t)(1u << i);
        *pc = v->commit == WAKE_COMMIT_STORE_FENCED ? P_FENCE : P_LOOK;
        return true;
    case P_FENCE:
        drain(st, i);
        *pc = P_LOOK;
        return true;
    case P_LOOK:
        if (st->waiters == st->served) {
            *pc = P_DONE;
            return true;
        }
        if (v->announce == WAKE_REGISTERED)
            st->looked[i] = st->waiters;
        *pc = v->announce == WAKE_FLAG ? P_CLEAR : P_RING;
        return true;
    case P_CLEAR: /* this and the next are read-modify-writes */
        drain(st, i);
        st->waiters = 0;
        *pc = P_RING;
        return true;
    case P_RING:
        drain(st, i);
        if (!twisted(v, WAKE_NO_TICKET))
            st->futex++;
        *pc = P_WAKE;
        return true;
    case P_WAKE:
        for (unsigned s = WAKE_PRODUCERS_MAX; s < ACTORS; s++)
            if (st->pc[s] == S_ASLEEP)
                st->pc[s] = S_RETRACT;
        *pc = v->announce == WAKE_COUNT || v->announce == WAKE_FLAG ? P_DONE : P_SERVED;
        return true;
    case P_SERVED:
        if (v->announce == WAKE_REGISTERED)
            st->served = st->looked[i];
        else
            st->waiters = 0;
        st->looked[i] = 0;
        *pc = P_DONE;
        return true;
    case P_DONE:
    case P_DEAD:
        return false;
    }
    return false;
}

/* One processor after the other; a sleeper has nothing of its own in a buffer. */
static void sleeper_barrier(const struct wake_variant *v, struct wake_state *st, unsigned s)
{
    if (!twisted(v, WAKE_NO_MEMBARRIER) && st->barrier[s] < WAKE_PRODUCERS_MAX) {
        drain(st, st->barrier[s]);
        st->barrier[s]++;
        return;
    }
    st->barrier[s] = 0;
    st->pc[WAKE_PRODUCERS_MAX + s] = twisted(v, WAKE_NO_RECHECK) ? S_WAIT : S_RECHECK;
}

static bool sleeper_step(const struct wake_variant *v, struct wake_state *st, unsigned s)
{
    uint8_t *pc = &st->pc[WAKE_PRODUCERS_MAX + s];

    switch ((enum sleeper_pc)st->pc[WAKE_PRODUCERS_MAX + s]) {
    case S_READ:
        if (!st->word[st->next[s]]) {
            *pc = S_TICKET;
            return true;
        }
        st->next[s]++;
        if (st->next[s] == v->producers) {
            st->next[s] = 0;
            st->owed[s] = 0;
            *pc = S_DONE;
        }
        return true;
    case S_TICKET:
        if (!twisted(v, WAKE_LATE_TICKET))
            st->ticket[s] = st->futex;
        *pc = S_ANNOUNCE;
        return true;
    case S_ANNOUNCE: /* a read-modify-write */
        if (v->announce == WAKE_COUNT || v->announce == WAKE_REGISTERED)
            st->waiters++;
        else
            st->waiters = 1;
        st->owed[s] = 0;
        *pc = S_BARRIER;
        return true;
    case S_BARRIER:
        sleeper_barrier(v, st, s);
        return true;
    case S_RECHECK:
        *pc = st->word[st->next[s]] ? S_RETRACT : S_WAIT;
        if (*pc == S_WAIT && twisted(v, WAKE_LATE_TICKET))
            *pc = S_LATE_TICKET;
        return true;
    case S_LATE_TICKET:
        st->ticket[s] = st->futex;
        *pc = S_WAIT;
        return true;
    case S_WAIT: /* the kernel compares and queues in one step */
        *pc = st->futex == st->ticket[s] ? S_ASLEEP : S_RETRACT;
        return true;
    case S_RETRACT:
        if (v->announce == WAKE_COUNT)
            st->waiters--;
        st->ticket[s] = 0;
        *pc = S_READ;
        return true;
    case S_ASLEEP:
    case S_DONE:
        return false;
    }
    return false;
}

/* The other choice of a producer is its processor's: a buffered store reaches memory. */
static bool wake_step(const void *variant, void *state, unsigned actor, enum explorer_choice choice)
{
    struct wake_state *st = state;

    if (choice == EXPLORER_CRASH) {
        if (actor >= WAKE_PRODUCERS_MAX || st->crashes == 0 || st->pc[actor] >= P_DONE)
            return false;
        st->crashes--;
        st->looked[actor] = 0;
        st->pc[actor] = P_DEAD; /* what it has stored still reaches memory */
        return true;
    }
    if (choice == EXPLORER_OTHER) {
        if (actor >= WAKE_PRODUCERS_MAX || !st->buffered[actor])
            return false;
        drain(st, actor);
        return true;
    }
    if (actor < WAKE_PRODUCERS_MAX)
        return producer_step(variant, st, actor);
    return sleeper_step(variant, st, actor - WAKE_PRODUCERS_MAX);
}

static int wake_check(const void *variant, const void *before, const void *after)
{
    (void)variant;
    (void)before;
    (void)after;
    return WAKE_ALLOWED; /* nothing can go wrong before the end */
}

/* Asleep at the end, beside a record (or, with deaths, past an append that ran to its end)? */
static int wake_check_end(const void *variant, const void *state)
{
    const struct wake_variant *v = variant;
    const struct wake_state *st = state;

    for (unsigned s = 0; s < WAKE_SLEEPERS_MAX; s++) {
        if (st->pc[WAKE_PRODUCERS_MAX + s] == S_DONE)
            continue;
        if (v->crashes == 0)
            return WAKE_LOST;
        for (unsigned i = 0; i < v->producers; i++)
            if (st->pc[i] == P_DONE && st->owed[s] >> i & 1)
                return WAKE_LOST;
    }
    return WAKE_ALLOWED;
}

static void wake_init(const void *variant, void *state)
{
    const struct wake_variant *v = variant;
    struct wake_state *st = state;

    assert(v->producers <= WAKE_PRODUCERS_MAX && v->sleepers <= WAKE_SLEEPERS_MAX);
    memset(st, 0, sizeof(*st));
    st->crashes = v->crashes;
    for (unsigned i = v->producers; i < WAKE_PRODUCERS_MAX; i++)
        st->pc[i] = P_DONE;
    for (unsigned s = v->sleepers; s < WAKE_SLEEPERS_MAX; s++)
        st->pc[WAKE_PRODUCERS_MAX + s] = S_DONE;
}

static void wake_describe(const void *variant, const void *before, const void *after,
                          unsigned actor, enum explorer_choice choice, FILE *out)
{
    static const char *const produced[] = {
        "commit",
        "fence",
        "load waiters",
        "clear the flag",
        "bump the futex word",
        "futex_wake",
        "take the announcement back",
        "rest",
        "be dead",
    };
    static const char *const slept[] = {
        "load word 0",       "load the futex word",
        "announce itself",   "membarrier",
        "load word 0 again", "load the futex word, late",
        "futex_wait",        "sleep",
        "retract",           "rest",
    };
    const struct wake_state *old = before;
    const struct wake_state *st = after;

    (void)variant;
    if (actor < WAKE_PRODUCERS_MAX)
        fprintf(out, "producer %u %-26s", actor,
                choice == EXPLORER_OTHER   ? "(its buffer drains)"
                : choice == EXPLORER_CRASH ? "dies"
                                           : produced[old->pc[actor]]);
    else
        fprintf(out, "sleeper  %u %-26s", actor - WAKE_PRODUCERS_MAX, slept[old->pc[actor]]);
    fprintf(out, " | committed %u%u, in a buffer %u%u, waiters %u, served %u, futex word %u",
            st->word[0], st->word[1], st->buffered[0], st->buffered[1], st->waiters, st->served,
            st->futex);
}

static const char *wake_verdict_name(int verdict)
{
    return verdict == WAKE_LOST ? "a sleeper was not woken" : "allowed";
}

struct explorer_model wake_model(const struct wake_variant *variant)
{
    return (struct explorer_model){
        .name = variant->name,
        .variant = variant,
        .state_size = sizeof(struct wake_state),
        .actors = ACTORS,
        .init = wake_init,
        .step = wake_step,
        .check = wake_check,
        .check_end = wake_check_end,
        .describe = wake_describe,
        .verdict_name = wake_verdict_name,
    };
}
