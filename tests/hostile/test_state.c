/*
 * Damage in every place of the files of cells, structs and tables, as test_sweep.c has it for logs: each
 * bit of what the library goes by, a part of the bits of values and filling, lengths, pages. Headers must
 * be told of; a table must tell of everything, at the latest to who walks over it; and what no checksum
 * covers is where STATE ("Damage") says it is.
 *
 *     SEGLOG_SWEEP=n          one in n of the cases; 1: all, every bit of structure; takes minutes
 *     SEGLOG_SWEEP_SEED=n     the part drawn in an earlier run; it prints its seed
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/state.h"
#include "hostile/state.h"
#include "hostile/workers.h"
#include "support/child.h"
#include "support/number.h"
#include "sys/clock.h"

#define SHOWN_MAX 20u
/* One in so many of the cases is tried; of tables fewer, each takes longer. */
#define PART       6u
#define PART_QUICK 24u
/* Of the bits of values and of filling fewer still, and of lengths. */
#define REST    50u
#define LENGTHS 30u
#define CASE_S  100u /* far more than one takes under any sanitizer */

TestSuite(state_sweep, .timeout = 7200);

static const char *const kinds[] = {"cell", "struct", "table", "table with a log"};
static const char *const boots[] = {"same boot", "rebooted"};

struct sweep;
typedef void spoil(struct sweep *sweep);

struct tally {
    _Atomic uint64_t verdicts[STATE_VERDICTS];
    _Atomic uint64_t shown;
    _Atomic uint64_t failed;
    enum state_kind kind;
    spoil *spoil;
    uint64_t seed;
    uint64_t part; /* 0: as said above */
};

struct sweep {
    struct tally *tally;
    const struct worker *worker;
    struct state_stage stage;
    uint64_t count;
};

/* Is the next case this worker's, and drawn? One that is like so many others is `rare`. */
static bool mine(struct sweep *sweep, uint64_t rare)
{
    static const uint64_t slower[STATE_KINDS] = {1, 1, 3, 20};
    const uint64_t n = sweep->count++;
    const uint64_t part =
        sweep->tally->part
            ? sweep->tally->part
            : slower[sweep->stage.kind] * (getenv("SEGLOG_TEST_QUICK") ? PART_QUICK : PART);

    return workers_mix(n) % sweep->worker->count == sweep->worker->number &&
           workers_mix(sweep->tally->seed ^ workers_mix(n)) % (part * rare) == 0;
}

/* strict: it must be told of. mute: nothing need be said of it. */
static void judge(struct sweep *sweep, bool strict, bool mute)
{
    struct tally *tally = sweep->tally;
    enum state_verdict verdict;
    bool is_bad;

    (void)alarm(CASE_S);
    verdict = state_judge(&sweep->stage);
    is_bad = verdict == STATE_WRONG || (strict && verdict != STATE_TOLD) ||
             (!mute && verdict == STATE_OTHER);
    atomic_fetch_add(&tally->verdicts[verdict], 1);
    if (!is_bad)
        return;
    atomic_fetch_add(&tally->failed, 1);
    if (atomic_fetch_add(&tally->shown, 1) < SHOWN_MAX)
        fprintf(stderr, "%s: verdict %d %s\n", sweep->worker->now, verdict, sweep->stage.why);
}

static void say(struct sweep *sweep, const char *what, size_t at, size_t other)
{
    snprintf(sweep->worker->now, WORKER_NOW, "%s, %s: %s %zu %zu", kinds[sweep->stage.kind],
             boots[sweep->stage.boot], what, at, other);
}

static void each_bit(struct sweep *sweep)
{
    struct state_stage *stage = &sweep->stage;

    for (size_t at = 0; at < stage->size; at++) {
        const bool is_structure = state_is_structure(stage, at);

        for (unsigned bit = 0; bit < 8; bit++) {
            if (!mine(sweep, is_structure ? 1 : REST))
                continue;
            say(sweep, "bit", at, bit);
            stage->bytes[at] ^= (uint8_t)(1u << bit);
            judge(sweep, at < STATE_OFF_HOT, state_may_be_other(stage, at));
        }
    }
}

static void each_length(struct sweep *sweep)
{
    struct state_stage *stage = &sweep->stage;

    for (size_t len = 0; len < stage->size; len++) {
        if (!mine(sweep, len % PAGE_BYTES < 2 ? 1 : LENGTHS))
            continue;
        say(sweep, "length", len, 0);
        stage->left = len;
        judge(sweep, len < STATE_OFF_DATA, state_may_be_other(stage, len));
    }
}

static void each_page(struct sweep *sweep)
{
    static const char *const ways[] = {"zeroed", "doubled to", "swapped with"};
    struct state_stage *stage = &sweep->stage;
    const size_t pages = stage->size / PAGE_BYTES;

    for (size_t a = 0; a < pages; a++) {
        for (size_t b = 0; b < pages; b++) {
            for (unsigned way = a == b ? 0 : 1; way < (a == b ? 1 : a < b ? 3 : 2); way++) {
                uint8_t *from = stage->bytes + a * PAGE_BYTES, *to = stage->bytes + b * PAGE_BYTES;
                uint8_t old[PAGE_BYTES];

                if ((way > 0 && memcmp(from, to, PAGE_BYTES) == 0) || !mine(sweep, 1))
                    continue;
                say(sweep, ways[way], a, b);
                memcpy(old, to, PAGE_BYTES);
                if (way == 0)
                    memset(from, 0, PAGE_BYTES);
                else
                    memcpy(to, from, PAGE_BYTES);
                if (way == 2)
                    memcpy(from, old, PAGE_BYTES);
                judge(sweep, (way != 1 && a == 0) || b == 0,
                      stage->kind == STATE_CELL || state_may_be_other(stage, b * PAGE_BYTES) ||
                          (way == 2 && state_may_be_other(stage, a * PAGE_BYTES)));
            }
        }
    }
}

static void work(const struct worker *worker, void *context)
{
    struct tally *tally = context;

    for (int boot = STATE_SAME_BOOT; boot < STATE_BOOTS; boot++) {
        struct sweep sweep = {.tally = tally, .worker = worker};

        if (boot == STATE_REBOOTED && tally->kind == STATE_STRUCT)
            continue; /* it does not know of boots */
        state_stage_open(&sweep.stage, tally->kind, (enum state_boot)boot);
        say(&sweep, "magic", 0, 0); /* one that is sure, whatever is drawn */
        sweep.stage.bytes[0] ^= 1;
        judge(&sweep, true, false);
        tally->spoil(&sweep);
        state_stage_close(&sweep.stage);
    }
}

static void run(enum state_kind kind, spoil *how)
{
    struct tally *tally = child_shared(sizeof(*tally));
    bool good;

    tally->kind = kind;
    tally->spoil = how;
    tally->seed = number_from("SEGLOG_SWEEP_SEED", clock_monotonic_ns());
    tally->part = number_from("SEGLOG_SWEEP", 0);
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 1); /* this is not about disks */
    good = workers_run(2, work, tally);
    fprintf(stderr,
            "%s (seed %" PRIu64 "): %" PRIu64 " told, %" PRIu64 " harmless, %" PRIu64
            " other, %" PRIu64 " wrong\n",
            kinds[kind], tally->seed, tally->verdicts[STATE_TOLD], tally->verdicts[STATE_HARMLESS],
            tally->verdicts[STATE_OTHER], tally->verdicts[STATE_WRONG]);
    cr_assert(good, "a worker ended badly; seed %" PRIu64, tally->seed);
    cr_assert_eq(tally->failed, 0, "seed %" PRIu64, tally->seed);
    cr_assert_gt(tally->verdicts[STATE_TOLD], 0);
}

#define SWEEP(kind, what, spoil)          \
    Test(state_sweep, what##_of_a_##kind) \
    {                                     \
        run(STATE_OF_##kind, spoil);      \
    }
#define STATE_OF_cell         STATE_CELL
#define STATE_OF_struct       STATE_STRUCT
#define STATE_OF_table        STATE_TABLE
#define STATE_OF_logged_table STATE_WITH_LOG

SWEEP(cell, bits, each_bit)
SWEEP(cell, lengths, each_length)
SWEEP(cell, pages, each_page)
SWEEP(struct, bits, each_bit)
SWEEP(struct, lengths, each_length)
SWEEP(struct, pages, each_page)
SWEEP(table, bits, each_bit)
SWEEP(table, lengths, each_length)
SWEEP(table, pages, each_page)
SWEEP(logged_table, bits, each_bit)
SWEEP(logged_table, lengths, each_length)
SWEEP(logged_table, pages, each_page)
