/*
 * Producers that die, stop or dawdle while they have a claim open, and what others make of it.
 *
 * The dead are passed within 100 ms, by readers that may write and by those that may not; the living
 * are waited for, unless the log's user set a deadline.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <seglog/log.h>
#include <seglog/reader.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log/handle.h"
#include "support/check.h"
#include "support/child.h"
#include "support/tmpdir.h"
#include "sys/clock.h"

#define MS       UINT64_C(1000000)
#define PATIENCE (60000 * MS)
#define PROMISE  (100 * MS)
#define TRIES    5

/* A producer that opens a claim after an "a" and does as it is told:
 * 'c' commit, 'w' the same after a while, 'a' append "after", 'q' close everything and end. */
struct producer {
    const char *dir;
    uint32_t mode; /* of the appender */
    int commit_gives;
};

static int produce(struct child *parent, void *arg)
{
    const struct producer *p = arg;
    const struct seglog_log_options no_helper = {.flags = SEGLOG_LOG_NO_HELPER};
    const struct seglog_appender_options options = {.mode = p->mode};
    struct seglog_log *log;
    struct seglog_appender *ap;
    struct seglog_claim claim;
    int order;

    child_must(seglog_log_open(p->dir, &no_helper, &log));
    child_must(seglog_appender_open(log, &options, &ap));
    child_must(seglog_appender_append(ap, "a", 1, NULL));
    child_must(seglog_appender_claim(ap, 100, &claim));
    memset(claim.data, 'x', 50);
    child_say(parent, 'r');
    while ((order = child_hear(parent)) != 'q') {
        if (order == 'w')
            clock_sleep_ns(100 * MS);
        if (order == 'c' || order == 'w') {
            memcpy(claim.data, "late", 4);
            child_must_be(seglog_appender_commit(ap, &claim, 4), p->commit_gives);
        } else if (order == 'a') {
            child_must(seglog_appender_append(ap, "after", 5, NULL));
        } else {
            return 1;
        }
        child_say(parent, 'd');
    }
    child_must(seglog_appender_close(ap));
    child_must(seglog_log_close(log));
    return 0;
}

static void command(const struct child *child, char order)
{
    child_say(child, order);
    cr_assert_eq(child_hear(child), 'd');
}

static char *log_make(uint32_t sync)
{
    const struct seglog_log_options options = {
        .segment_size = SEGLOG_SEGMENT_SIZE_MIN, .sync = sync, .mode = 0644};
    char *dir = tmpdir_make();

    cr_assert(chmod(dir, 0755) == 0);
    cr_assert_ok(seglog_log_create(dir, &options));
    return dir;
}

/* One record, appended by this process through handles of its own. */
static void append_text(const char *dir, const char *text)
{
    const struct seglog_log_options no_helper = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_log *log;
    struct seglog_appender *ap;

    cr_assert_ok(seglog_log_open(dir, &no_helper, &log));
    cr_assert_ok(seglog_appender_open(log, NULL, &ap));
    cr_assert_ok(seglog_appender_append(ap, text, strlen(text), NULL));
    cr_assert_ok(seglog_appender_close(ap));
    cr_assert_ok(seglog_log_close(log));
}

/* End the active segment, and seal nothing. */
static void end_segment(const char *dir)
{
    const struct seglog_log_options no_helper = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_log *log;

    cr_assert_ok(seglog_log_open(dir, &no_helper, &log));
    cr_assert_ok(log_roll_active(log));
    cr_assert_ok(seglog_log_close(log));
}

static void expect_text(struct seglog_reader *reader, const char *text, uint64_t seq)
{
    struct seglog_view view;

    cr_assert_ok(seglog_reader_wait(reader, PATIENCE));
    cr_assert_ok(seglog_reader_next(reader, &view));
    cr_assert(view.len == strlen(text) && memcmp(view.data, text, view.len) == 0,
              "record %llu is \"%.*s\", not \"%s\"", (unsigned long long)view.seq, (int)view.len,
              (const char *)view.data, text);
    cr_assert_eq(view.seq, seq);
}

static void expect_blocked(struct seglog_reader *reader, uint64_t ns)
{
    struct seglog_view view;

    cr_assert_status(seglog_reader_wait(reader, ns), -ETIMEDOUT);
    cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
}

/* What word 0 of the segment's second frame says: the claim behind "a". */
static enum word_state second_frame(const char *dir, uint64_t number)
{
    struct log_view view;
    struct segment *seg;
    struct word_facts facts;

    cr_assert_ok(log_view_open(dir, false, &view));
    cr_assert_ok(segment_open(view.dirfd, number, view.settings.uuid, SEGMENT_READ, &seg, NULL));
    cr_assert_ok(word_decode(
        &seg->facts.space, OFF_FRAMES + 64,
        word_load(&segment_frame(seg, OFF_FRAMES + 64)->word, memory_order_acquire), &facts));
    segment_close(seg);
    log_view_close(&view);
    return facts.state;
}

/* ---- the dead --------------------------------------------------------------------------------- */

/* How long from the kill until a reader that may write stands behind the claim. */
static uint64_t pass_the_dead(uint32_t wait, uint32_t mode)
{
    char *dir = log_make(SEGLOG_SYNC_NONE);
    struct producer dying = {.dir = dir, .mode = mode};
    const struct seglog_reader_options options = {.wait = wait};
    struct seglog_reader *reader;
    struct child child;
    uint64_t start, took;

    child_start(&child, produce, &dying);
    cr_assert_eq(child_hear(&child), 'r');
    if (mode == SEGLOG_SHARED)
        append_text(dir, "b");
    cr_assert_ok(seglog_reader_open(dir, &options, &reader));
    expect_text(reader, "a", 0);
    expect_blocked(reader, 30 * MS);
    start = clock_monotonic_ns();
    child_kill(&child);
    if (mode == SEGLOG_EXCLUSIVE)
        append_text(dir, "b");
    expect_text(reader, "b", 2);
    took = clock_monotonic_ns() - start;
    cr_assert_eq(second_frame(dir, 0), WORD_ABORTED);
    seglog_reader_close(reader);
    tmpdir_remove(dir);
    return took;
}

Test(death, a_reader_passes_the_dead_within_100_ms)
{
    static const uint32_t waits[] = {SEGLOG_WAIT_AUTO, SEGLOG_WAIT_SPIN, SEGLOG_WAIT_YIELD,
                                     SEGLOG_WAIT_SLEEP};

    for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
        uint64_t best = UINT64_MAX;

        for (int tries = 0; tries < TRIES && best >= PROMISE; tries++) {
            const uint64_t took = pass_the_dead(waits[i], SEGLOG_SHARED);
            best = took < best ? took : best;
        }
        cr_assert(best < PROMISE, "wait kind %u: %llu ns", waits[i], (unsigned long long)best);
    }
}

Test(death, a_dead_exclusive_producer_is_passed_too)
{
    pass_the_dead(SEGLOG_WAIT_AUTO, SEGLOG_EXCLUSIVE);
}

struct onlooker {
    const char *dir;
    _Atomic uint64_t killed_ns;
    _Atomic uint64_t passed_ns;
};

/* A reader that may write nothing. */
static int look_on(struct child *parent, void *arg)
{
    struct onlooker *o = arg;
    struct seglog_reader *reader;
    struct seglog_view view;

    child_assert(setgid(65534) == 0 && setuid(65534) == 0);
    child_must(seglog_reader_open(o->dir, NULL, &reader));
    child_must(seglog_reader_next(reader, &view));
    child_must_be(seglog_reader_wait(reader, 30 * MS), -ETIMEDOUT);
    child_say(parent, 'r');
    child_must(seglog_reader_wait(reader, PATIENCE));
    atomic_store(&o->passed_ns, clock_monotonic_ns());
    child_must(seglog_reader_next(reader, &view));
    child_assert(view.len == 1 && *(const char *)view.data == 'b' && view.seq == 2);
    seglog_reader_close(reader);
    return 0;
}

static uint64_t pass_as_onlooker(struct onlooker *o)
{
    char *dir = log_make(SEGLOG_SYNC_NONE);
    struct producer dying = {.dir = dir};
    struct child producer, onlooker;
    static const char *const names[] = {"live", "owners", "settings", "0000000000000000.seg"};

    o->dir = dir;
    child_start(&producer, produce, &dying);
    cr_assert_eq(child_hear(&producer), 'r');
    append_text(dir, "b");
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char *path = tmpdir_path(dir, names[i]);
        cr_assert(chmod(path, 0444) == 0, "%s", path);
        free(path);
    }
    child_start(&onlooker, look_on, o);
    cr_assert_eq(child_hear(&onlooker), 'r');
    atomic_store(&o->killed_ns, clock_monotonic_ns());
    child_kill(&producer);
    child_end(&onlooker);
    cr_assert_eq(second_frame(dir, 0), WORD_CLAIMED, "the onlooker wrote");
    tmpdir_remove(dir);
    return atomic_load(&o->passed_ns) - atomic_load(&o->killed_ns);
}

Test(death, a_reader_that_may_not_write_steps_over_the_dead_within_100_ms)
{
    struct onlooker *o = child_shared(sizeof(*o));
    uint64_t best = UINT64_MAX;

    if (geteuid() != 0)
        cr_skip("needs root to become somebody who may not write\n");
    for (int tries = 0; tries < TRIES && best >= PROMISE; tries++) {
        const uint64_t took = pass_as_onlooker(o);
        best = took < best ? took : best;
    }
    cr_assert(best < PROMISE, "%llu ns", (unsigned long long)best);
}

Test(death, the_place_of_the_dead_taken_again_does_not_revive_their_claims)
{
    char *dir = log_make(SEGLOG_SYNC_NONE);
    struct producer dying = {.dir = dir};
    static struct seglog_appender *aps[SEGLOG_APPENDERS_MAX];
    struct seglog_appender *one_more;
    struct seglog_reader *reader;
    struct seglog_log *log;
    struct child child;
    uint32_t dead_slot;

    child_start(&child, produce, &dying);
    cr_assert_eq(child_hear(&child), 'r');
    cr_assert_ok(seglog_log_open(dir, NULL, &log));
    cr_assert_ok(seglog_appender_open(log, NULL, &aps[0]));
    cr_assert_ok(seglog_appender_append(aps[0], "b", 1, NULL));
    dead_slot = 0;
    child_kill(&child);

    /* Clean places are taken first; the last one is that of the dead. */
    for (size_t i = 1; i < SEGLOG_APPENDERS_MAX - 1; i++) {
        cr_assert_ok(seglog_appender_open(log, NULL, &aps[i]));
        cr_assert_neq(aps[i]->place.slot, dead_slot);
    }
    cr_assert_eq(second_frame(dir, 0), WORD_CLAIMED);
    cr_assert_ok(seglog_appender_open(log, NULL, &one_more));
    cr_assert_eq(one_more->place.slot, dead_slot);
    cr_assert_eq(second_frame(dir, 0), WORD_ABORTED);
    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    expect_text(reader, "a", 0);
    expect_text(reader, "b", 2);
    seglog_reader_close(reader);
    cr_assert_ok(seglog_appender_close(one_more));
    for (size_t i = 0; i < SEGLOG_APPENDERS_MAX - 1; i++)
        cr_assert_ok(seglog_appender_close(aps[i]));
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

/* ---- the stopped ------------------------------------------------------------------------------ */

Test(death, a_stopped_producer_is_waited_for)
{
    char *dir = log_make(SEGLOG_SYNC_NONE);
    struct producer slow = {.dir = dir};
    struct seglog_reader *reader;
    struct seglog_log *log;
    struct child child;

    child_start(&child, produce, &slow);
    cr_assert_eq(child_hear(&child), 'r');
    append_text(dir, "b");
    child_stop(&child);
    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    expect_text(reader, "a", 0);
    cr_assert_ok(seglog_log_open(dir, NULL, &log));
    cr_assert_ok(seglog_log_tend(log));
    expect_blocked(reader, 300 * MS);
    child_continue(&child);
    command(&child, 'c');
    expect_text(reader, "late", 1);
    expect_text(reader, "b", 2);
    child_say(&child, 'q');
    child_end(&child);
    seglog_reader_close(reader);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

static void evict(uint32_t flags)
{
    const struct seglog_log_options options = {.flags = flags, .evict_after_ns = 40 * MS};
    char *dir = log_make(SEGLOG_SYNC_NONE);
    struct producer slow = {.dir = dir, .commit_gives = SEGLOG_EEVICTED};
    struct seglog_reader *reader;
    struct seglog_log *log;
    struct child child;

    child_start(&child, produce, &slow);
    cr_assert_eq(child_hear(&child), 'r');
    append_text(dir, "b");
    child_stop(&child);
    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    expect_text(reader, "a", 0);
    while ((flags & SEGLOG_LOG_NO_HELPER) && second_frame(dir, 0) == WORD_CLAIMED) {
        cr_assert_ok(seglog_log_tend(log));
        clock_sleep_ns(5 * MS);
    }
    expect_text(reader, "b", 2);
    child_continue(&child);
    command(&child, 'c');
    command(&child, 'a');
    expect_text(reader, "after", 3);
    child_say(&child, 'q');
    child_end(&child);
    seglog_reader_close(reader);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

Test(death, a_deadline_takes_claims_away_from_the_living)
{
    evict(0);
}

Test(death, a_deadline_works_without_a_helper_when_the_log_is_tended)
{
    evict(SEGLOG_LOG_NO_HELPER);
}

Test(death, a_deadline_takes_two_claims_away_one_of_them_in_a_full_segment)
{
    const struct seglog_log_options options = {.evict_after_ns = 60 * MS};
    char *dir = log_make(SEGLOG_SYNC_SEALED);
    struct producer slow = {.dir = dir, .commit_gives = SEGLOG_EEVICTED};
    struct child children[2];
    struct seglog_reader *reader;
    struct seglog_log *log;

    for (int i = 0; i < 2; i++) {
        child_start(&children[i], produce, &slow);
        cr_assert_eq(child_hear(&children[i]), 'r');
        child_stop(&children[i]);
        if (i == 0)
            end_segment(dir);
    }
    append_text(dir, "b");
    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    expect_text(reader, "a", 0);
    expect_text(reader, "a", 2);
    expect_text(reader, "b", 4);
    for (int i = 0; i < 2; i++) {
        child_continue(&children[i]);
        command(&children[i], 'c');
        child_say(&children[i], 'q');
        child_end(&children[i]);
    }
    seglog_reader_close(reader);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

Test(death, an_exclusive_producer_is_never_evicted)
{
    const struct seglog_log_options options = {.evict_after_ns = 10 * MS};
    char *dir = log_make(SEGLOG_SYNC_NONE);
    struct producer slow = {.dir = dir, .mode = SEGLOG_EXCLUSIVE};
    struct seglog_reader *reader;
    struct seglog_log *log;
    struct child child;

    child_start(&child, produce, &slow);
    cr_assert_eq(child_hear(&child), 'r');
    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    expect_text(reader, "a", 0);
    child_stop(&child);
    for (int i = 0; i < 10; i++) {
        cr_assert_ok(seglog_log_tend(log));
        expect_blocked(reader, 30 * MS);
    }
    child_continue(&child);
    command(&child, 'c');
    expect_text(reader, "late", 1);
    child_say(&child, 'q');
    child_end(&child);
    seglog_reader_close(reader);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

/* ---- threads ---------------------------------------------------------------------------------- */

static void *claim_and_leave(void *arg)
{
    struct seglog_appender *ap = arg;
    struct seglog_claim claim;

    cr_assert_ok(seglog_appender_claim(ap, 10, &claim));
    return NULL;
}

Test(death, a_claim_outlives_its_thread_until_the_appender_is_closed)
{
    char *dir = log_make(SEGLOG_SYNC_NONE);
    struct seglog_appender *ap, *other;
    struct seglog_reader *reader;
    struct seglog_log *log;
    pthread_t thread;

    cr_assert_ok(seglog_log_open(dir, NULL, &log));
    cr_assert_ok(seglog_appender_open(log, NULL, &ap));
    cr_assert_ok(seglog_appender_open(log, NULL, &other));
    cr_assert(pthread_create(&thread, NULL, claim_and_leave, ap) == 0);
    pthread_join(thread, NULL);
    cr_assert_ok(seglog_appender_append(other, "b", 1, NULL));
    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    expect_blocked(reader, 200 * MS);
    cr_assert_ok(seglog_appender_close(ap));
    expect_text(reader, "b", 1);
    seglog_reader_close(reader);
    cr_assert_ok(seglog_appender_close(other));
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

/* ---- seals ------------------------------------------------------------------------------------ */

Test(death, a_seal_waits_for_the_living_and_not_for_the_dead)
{
    char *dir = log_make(SEGLOG_SYNC_NONE);
    struct producer slow = {.dir = dir};
    struct seglog_log *log;
    struct child living, dead;

    child_start(&living, produce, &slow);
    cr_assert_eq(child_hear(&living), 'r');
    child_start(&dead, produce, &slow);
    cr_assert_eq(child_hear(&dead), 'r');
    cr_assert_ok(seglog_log_open(dir, NULL, &log));
    child_kill(&dead);
    cr_assert_status(seglog_log_seal(log, 50 * MS), -ETIMEDOUT);
    /* The segment is full all the same: there is nothing more to end. */
    cr_assert_status(seglog_log_seal(log, 0), -ETIMEDOUT);
    command(&living, 'c');
    cr_assert_eq(seglog_log_seal(log, PATIENCE), 1);
    command(&living, 'a');
    child_say(&living, 'q');
    child_end(&living);

    child_start(&dead, produce, &slow);
    cr_assert_eq(child_hear(&dead), 'r');
    child_kill(&dead);
    cr_assert_eq(seglog_log_seal(log, PATIENCE), 1);
    cr_assert_eq(seglog_log_seal(log, 0), 0);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

Test(death, a_seal_counts_what_it_sealed_before_it_had_to_wait)
{
    char *dir = log_make(SEGLOG_SYNC_NONE);
    struct producer slow = {.dir = dir};
    struct seglog_log *log;
    struct child child;
    int rc;

    append_text(dir, "b");
    end_segment(dir);
    child_start(&child, produce, &slow);
    cr_assert_eq(child_hear(&child), 'r');
    cr_assert_ok(seglog_log_open(dir, NULL, &log));
    child_say(&child, 'w');
    rc = seglog_log_seal(log, PATIENCE);
    cr_assert_eq(rc, 2, "%d", rc);
    cr_assert_eq(child_hear(&child), 'd');
    child_say(&child, 'q');
    child_end(&child);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}
