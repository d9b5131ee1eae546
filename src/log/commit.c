/*
 * Group commit: many wait, one syncs, and everybody whose record it covers is released at once.
 *
 * Whoever waits for a record tries to become the leader by writing its name into live.sync_leader.
 * The leader samples how far the log is resolved, syncs (sync.c), raises the durable number and lets
 * go. The others sleep in one of two beds: those that the round in flight covers, and those that it
 * came too late for. At the end of a round all of the first are woken, and one of the second, which
 * leads the next round; so nobody is woken to find that it must sleep again.
 *
 * Leading is an election for speed, not a lock that anything depends on: two leaders at once sync
 * twice and raise the same number. So a leader that is proved dead is replaced at once, and one that
 * was stopped is passed over after a while. ARCHITECTURE, "Group commit".
 */
#include "log/handle.h"
#include "log/order.h"

#include <errno.h>

#include "sys/clock.h"

#define LOOK_NS    UINT64_C(50000000)   /* how often a sleeper looks whether the leader lives */
#define STOPPED_NS UINT64_C(2000000000) /* a round this long is taken from a leader that lives */
#define OPEN_MIN   UINT64_C(20000)      /* pauses while an open claim stands before the record */
#define OPEN_MAX   UINT64_C(5000000)

/* What a waiter remembers from one look at the leader to the next. */
struct leader_seen {
    uint64_t leader;
    uint32_t round;
    uint64_t since_ns;
};

static bool is_poisoned(const struct live_file *live)
{
    return (atomic_load_explicit((_Atomic uint32_t *)(uintptr_t)&live->attention,
                                 memory_order_relaxed) &
            ATTENTION_POISON) != 0;
}

static uint64_t durable_now(const struct live_file *live)
{
    return word_load(&live->durable_seq, memory_order_acquire);
}

/* ---- leading -------------------------------------------------------------------------------- */

static uint64_t leader_name(const struct place_held *place)
{
    return (uint64_t)place->slot + 1 + ((uint64_t)place->gen << 32);
}

/* This handle's own place, by which others can tell that it died. Taken at its first wait. */
static int leader_place(struct seglog_log *log, uint64_t *name)
{
    int rc = 0;

    pthread_mutex_lock(&log->place_lock);
    if (log->place.gen == 0)
        rc = log_place_take(log, SLOT_SYNCER, &log->place);
    if (rc == 0)
        *name = leader_name(&log->place);
    pthread_mutex_unlock(&log->place_lock);
    return rc;
}

static bool lead(struct live_file *live, uint64_t from, uint64_t name)
{
    uint64_t expected = le_swap64(from);

    /* ORDER commit.lead <-> commit.release: what the last leader noted in the segment is seen. */
    return atomic_compare_exchange_strong_explicit(&live->sync_leader, &expected, le_swap64(name),
                                                   memory_order_acq_rel, memory_order_acquire);
}

/* May this leader be passed over? It is dead, or has not moved for very long. */
static bool leader_is_gone(const struct seglog_log *log, uint64_t leader, struct leader_seen *seen)
{
    const uint32_t slot = (uint32_t)leader - 1, gen = (uint32_t)(leader >> 32);
    const uint32_t round = atomic_load_explicit(&log->view.live->sync_round, memory_order_relaxed);
    const uint64_t now = clock_monotonic_ns();

    if (slot >= LIVE_SLOTS || log_view_owner_is_dead(&log->view, slot, gen))
        return true;
    if (seen->leader != leader || seen->round != round) {
        *seen = (struct leader_seen){.leader = leader, .round = round, .since_ns = now};
        return false;
    }
    return now - seen->since_ns >= STOPPED_NS;
}

/* ---- the two beds --------------------------------------------------------------------------- */

/*
 * After a round, or when all must look up. `round` is the one that ended.
 *
 * Both words move before anybody is woken: a waiter that is about to lie down read them before it
 * tried to lead, so it cannot miss this.
 */
static void beds_wake(struct live_file *live, uint32_t round, bool everybody)
{
    _Atomic uint32_t *covered = &live->sync_wake[round % 2],
                     *others = &live->sync_wake[1 - round % 2];

    atomic_fetch_add_explicit(covered, 1, memory_order_release);
    atomic_fetch_add_explicit(others, 1, memory_order_release);
    if (everybody)
        futex_wake_shared(others);
    else
        futex_wake_one_shared(others); /* first, so that the next round begins meanwhile */
    futex_wake_shared(covered);
}

void log_commit_wake_all(struct live_file *live)
{
    beds_wake(live, 0, true);
}

/* Which bed is for a waiter for seq, with the words as they were read before. */
static _Atomic uint32_t *bed_for(struct live_file *live, uint64_t seq, const uint32_t words[2],
                                 uint32_t *seen)
{
    const uint32_t round = atomic_load_explicit(&live->sync_round, memory_order_acquire);
    const bool covered = seq < word_load(&live->sync_sample, memory_order_acquire);
    const uint32_t bed = covered ? round % 2 : 1 - round % 2;

    /* A round that begins between the two loads puts us into the wrong bed: we are woken a round
     * late, or look up by ourselves. Never wrong, only late. */
    *seen = words[bed];
    return &live->sync_wake[bed];
}

/* ---- rounds --------------------------------------------------------------------------------- */

/* We lead: one round, then let go. */
static int lead_round(struct seglog_log *log, uint64_t name, unsigned flags)
{
    struct live_file *live = log->view.live;
    uint64_t expected = le_swap64(name);
    const uint32_t before = atomic_load_explicit(&live->sync_round, memory_order_relaxed);
    const int rc = log_sync_round(log, flags);
    const uint32_t round = atomic_load_explicit(&live->sync_round, memory_order_relaxed);

    /* Fails when somebody took it from us; then it is theirs to let go. */
    atomic_compare_exchange_strong_explicit(&live->sync_leader, &expected, 0, memory_order_acq_rel,
                                            memory_order_relaxed);
    beds_wake(live, round, rc < 0 || round == before);
    return rc;
}

int log_commit_lead(struct seglog_log *log, unsigned flags)
{
    struct live_file *live = log->view.live;
    struct leader_seen seen = {0};
    uint64_t name = 0;
    int rc = leader_place(log, &name);

    while (rc == 0) {
        const uint32_t words[2] = {atomic_load_explicit(&live->sync_wake[0], memory_order_acquire),
                                   atomic_load_explicit(&live->sync_wake[1], memory_order_acquire)};
        const uint64_t leader = word_load(&live->sync_leader, memory_order_acquire);
        uint32_t word;
        const _Atomic uint32_t *bed;

        if (is_poisoned(live))
            return SEGLOG_EPOISONED;
        if ((leader == 0 || leader_is_gone(log, leader, &seen)) && lead(live, leader, name))
            return lead_round(log, name, flags);
        bed = bed_for(live, UINT64_MAX, words, &word);
        futex_wait_shared(bed, word, clock_monotonic_ns() + LOOK_NS);
    }
    return rc;
}

/* One turn of waiting: lead, or sleep until something may have changed. 1: a claim is in the way. */
static int commit_turn(struct seglog_log *log, uint64_t seq, uint64_t name, unsigned flags,
                       uint64_t deadline_ns, struct leader_seen *seen)
{
    struct live_file *live = log->view.live;
    const uint32_t words[2] = {atomic_load_explicit(&live->sync_wake[0], memory_order_acquire),
                               atomic_load_explicit(&live->sync_wake[1], memory_order_acquire)};
    const uint64_t leader = word_load(&live->sync_leader, memory_order_acquire);
    uint64_t until = clock_monotonic_ns() + LOOK_NS;
    const _Atomic uint32_t *bed;
    uint32_t word;
    int rc;

    if (is_poisoned(live))
        return SEGLOG_EPOISONED;
    if (durable_now(live) > seq)
        return 0;
    if (leader == 0 && lead(live, 0, name)) {
        rc = lead_round(log, name, flags);
        return rc < 0 ? rc : durable_now(live) <= seq;
    }
    bed = bed_for(live, seq, words, &word);
    if (until > deadline_ns)
        until = deadline_ns;
    if (futex_wait_shared(bed, word, until) == -ETIMEDOUT && leader != 0 &&
        leader_is_gone(log, leader, seen) && lead(live, leader, name))
        return lead_round(log, name, flags);
    return 0;
}

int log_commit_wait(struct seglog_log *log, uint64_t seq, uint64_t timeout_ns)
{
    struct live_file *live = log->view.live;
    struct leader_seen seen = {0};
    uint64_t deadline = UINT64_MAX, pause = OPEN_MIN, name = 0;
    unsigned flags = 0;
    int rc;

    if (durable_now(live) > seq)
        return 0;
    rc = leader_place(log, &name);
    if (timeout_ns < UINT64_MAX - clock_monotonic_ns())
        deadline = clock_monotonic_ns() + timeout_ns;
    while (rc >= 0) {
        rc = commit_turn(log, seq, name, flags, deadline, &seen);
        if (rc < 0)
            break;
        if (durable_now(live) > seq)
            return 0;
        if (clock_monotonic_ns() >= deadline)
            return -ETIMEDOUT;
        if (rc == 1) { /* an open claim, or nothing of that number yet */
            flags = SYNC_REAP;
            clock_sleep_ns(pause);
            pause = pause * 2 < OPEN_MAX ? pause * 2 : OPEN_MAX;
        }
    }
    return rc;
}
