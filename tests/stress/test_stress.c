/*
 * Everything at once, many times over, in small segments: nothing is lost, doubled or out of order.
 *
 * SEGLOG_TEST_QUICK=1 does less of it.
 */
#include "stress/crowd.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <seglog/inspect.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log/view.h"
#include "support/check.h"
#include "support/tmpdir.h"
#include "sys/clock.h"

#define MS        UINT64_C(1000000)
#define PRODUCERS 4u
#define FOLLOWERS 2u

static bool is_quick(void)
{
    const char *quick = getenv("SEGLOG_TEST_QUICK");

    return quick && *quick && *quick != '0';
}

static uint32_t amount(uint32_t full)
{
    return is_quick() ? full / 8 : full;
}

/* ---- beginning and end ------------------------------------------------------------------------ */

struct setting {
    const char *where; /* TMPDIR for this one; NULL: as it is */
    uint32_t sync;
    uint32_t flags; /* of the handles, for producers with an odd id */
    bool dawdles;
    uint32_t segments_kept;
};

static struct crowd *crowd_make(const struct setting *s)
{
    const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                               .sync = s->sync};
    struct crowd *crowd = child_shared(sizeof(*crowd));
    char *dir;

    if (s->where)
        cr_assert(setenv("TMPDIR", s->where, 1) == 0);
    dir = tmpdir_make();
    cr_assert(strlen(dir) < sizeof(crowd->dir));
    strcpy(crowd->dir, dir);
    free(dir);
    crowd->segments_kept = s->segments_kept;
    cr_assert_ok(seglog_log_create(crowd->dir, &options));
    return crowd;
}

static void followers_start(struct crowd *crowd, struct child *children,
                            struct crowd_follower *followers)
{
    static const struct seglog_reader_options kinds[FOLLOWERS] = {
        {.wait = SEGLOG_WAIT_AUTO}, {.wait = SEGLOG_WAIT_SLEEP, .flags = SEGLOG_READER_COPY}};

    for (uint32_t i = 0; i < FOLLOWERS; i++) {
        followers[i] = (struct crowd_follower){.crowd = crowd, .id = i, .options = kinds[i]};
        child_start(&children[i], crowd_follow, &followers[i]);
        cr_assert_eq(child_hear(&children[i]), 'r');
    }
}

static void dropper_start(struct crowd *crowd, struct child *dropper)
{
    child_start(dropper, crowd_drop, crowd);
    cr_assert_eq(child_hear(dropper), 'r');
}

static void followers_end(struct crowd *crowd, struct child *children)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_log *log;
    uint64_t end;

    cr_assert_ok(seglog_log_open(crowd->dir, &options, &log));
    cr_assert_ok(seglog_log_progress(log, NULL, &end));
    cr_assert(end < CROWD_NUMBERS, "make CROWD_NUMBERS larger: %llu", (unsigned long long)end);
    atomic_store(&crowd->end, end);
    atomic_store(&crowd->done, true);
    for (uint32_t i = 0; i < FOLLOWERS; i++)
        child_end(&children[i]);
    cr_assert_ok(seglog_log_close(log));
}

/* What followers saw is what was written: all of it, and nothing else is void. */
static void expect_all(struct crowd *crowd, uint64_t records_min, uint64_t records_max)
{
    for (uint32_t i = 0; i < FOLLOWERS; i++) {
        const uint64_t records = atomic_load(&crowd->seen[i].records);
        const uint64_t voids = atomic_load(&crowd->seen[i].voids);

        if (atomic_load(&crowd->seen[i].trimmed) != 0)
            continue;
        cr_assert(records >= records_min && records <= records_max, "follower %u saw %llu", i,
                  (unsigned long long)records);
        cr_assert_eq(records + voids, atomic_load(&crowd->end));
    }
}

/* Read it all once more from the beginning: each number that a writer got has its record. */
static void expect_stored(struct crowd *crowd)
{
    struct seglog_verify_report report;
    struct seglog_reader *reader;
    struct seglog_view view;
    uint64_t seq;
    int rc;

    cr_assert_ok(seglog_reader_open(crowd->dir, NULL, &reader));
    cr_assert_ok(seglog_reader_bounds(reader, &seq, NULL));
    while ((rc = seglog_reader_next(reader, &view)) == 0) {
        const uint64_t writer = atomic_load(&crowd->written[view.seq]);
        uint32_t stamp[2];

        for (; seq < view.seq; seq++)
            cr_assert_eq(atomic_load(&crowd->written[seq]), 0, "number %llu is lost",
                         (unsigned long long)seq);
        memcpy(stamp, view.data, sizeof(stamp));
        /* Killed before it could say so: written is 0. */
        cr_assert(writer == 0 || writer == ((uint64_t)stamp[0] << 32 | (stamp[1] + 1)));
        seq = view.seq + 1;
    }
    cr_assert_status(rc, -EAGAIN);
    for (; seq < CROWD_NUMBERS; seq++)
        cr_assert_eq(atomic_load(&crowd->written[seq]), 0, "number %llu is lost",
                     (unsigned long long)seq);
    seglog_reader_close(reader);
    cr_assert_status(seglog_verify(crowd->dir, NULL, &report), 0);
}

static void crowd_remove(struct crowd *crowd)
{
    tmpdir_remove(strdup(crowd->dir));
}

/* ---- producers that live ---------------------------------------------------------------------- */

static void run_together(const struct setting *s)
{
    const uint32_t records = amount(16000);
    struct crowd *crowd = crowd_make(s);
    struct child producers[PRODUCERS], children[FOLLOWERS], dropper;
    struct crowd_writer writers[PRODUCERS];
    struct crowd_follower followers[FOLLOWERS];
    uint64_t total = 0;

    followers_start(crowd, children, followers);
    if (s->segments_kept)
        dropper_start(crowd, &dropper);
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        writers[i] = (struct crowd_writer){.crowd = crowd,
                                           .id = i,
                                           .records = records,
                                           .flags = i % 2 ? s->flags : 0,
                                           .dawdles = s->dawdles};
        child_start(&producers[i], crowd_write, &writers[i]);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        child_end(&producers[i]);
        cr_assert_geq(atomic_load(&crowd->count[i]), records);
        total += atomic_load(&crowd->count[i]);
    }
    followers_end(crowd, children);
    if (s->segments_kept) {
        child_end(&dropper);
        cr_assert_gt(atomic_load(&crowd->dropped), 0);
    }
    expect_all(crowd, total, total);
    cr_assert_eq(total + atomic_load(&crowd->aborted), atomic_load(&crowd->end));
    expect_stored(crowd);
    crowd_remove(crowd);
}

Test(stress, processes_together_on_disk)
{
    run_together(&(struct setting){.sync = SEGLOG_SYNC_SEALED, .flags = SEGLOG_LOG_NO_HELPER});
}

Test(stress, processes_together_without_seals)
{
    run_together(&(struct setting){.sync = SEGLOG_SYNC_NONE, .dawdles = true});
}

Test(stress, processes_together_in_memory)
{
    run_together(&(struct setting){.where = "/dev/shm", .sync = SEGLOG_SYNC_SEALED});
}

Test(stress, processes_together_while_segments_are_removed)
{
    run_together(&(struct setting){.sync = SEGLOG_SYNC_SEALED, .segments_kept = 4});
}

Test(stress, processes_together_while_segments_are_removed_in_memory)
{
    run_together(&(struct setting){.where = "/dev/shm",
                                   .sync = SEGLOG_SYNC_SEALED,
                                   .flags = SEGLOG_LOG_NO_HELPER,
                                   .dawdles = true,
                                   .segments_kept = 4});
}

/* ---- producers that are killed ---------------------------------------------------------------- */

/* One place in the crowd: whoever holds it is killed and followed by the next. */
struct seat {
    struct crowd_writer writer;
    struct child child;
};

static void seat_fill(struct seat *seat, struct crowd *crowd, uint32_t id, const struct setting *s)
{
    seat->writer = (struct crowd_writer){.crowd = crowd,
                                         .id = id,
                                         .records = UINT32_MAX,
                                         .flags = id % 2 ? s->flags : 0,
                                         .dawdles = s->dawdles};
    child_start(&seat->child, crowd_write, &seat->writer);
}

static void run_with_kills(const struct setting *s)
{
    const uint32_t kills = amount(240);
    struct crowd *crowd = crowd_make(s);
    struct child children[FOLLOWERS], dropper;
    struct crowd_follower followers[FOLLOWERS];
    struct seat seats[PRODUCERS];
    uint64_t published = 0;

    followers_start(crowd, children, followers);
    if (s->segments_kept)
        dropper_start(crowd, &dropper);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        seat_fill(&seats[i], crowd, i, s);
    for (uint32_t i = 0; i < kills; i++) {
        struct seat *seat = &seats[(uint32_t)random() % PRODUCERS];
        int status;

        clock_sleep_ns((uint64_t)random() % (6 * MS));
        cr_assert_eq(waitpid(seat->child.pid, &status, WNOHANG), 0, "a producer gave up");
        child_kill(&seat->child);
        seat_fill(seat, crowd, PRODUCERS + i, s);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++)
        child_kill(&seats[i].child);
    followers_end(crowd, children);
    if (s->segments_kept)
        child_end(&dropper);
    for (uint32_t i = 0; i < PRODUCERS + kills; i++)
        published += atomic_load(&crowd->count[i]);
    /* Each killed one may have published one more batch than it could count. */
    expect_all(crowd, published, published + 8 * (PRODUCERS + kills));
    expect_stored(crowd);
    crowd_remove(crowd);
}

Test(stress, killed_producers_take_nothing_with_them)
{
    run_with_kills(&(struct setting){
        .sync = SEGLOG_SYNC_SEALED, .flags = SEGLOG_LOG_NO_HELPER, .dawdles = true});
}

Test(stress, killed_producers_take_nothing_with_them_in_memory)
{
    run_with_kills(
        &(struct setting){.where = "/dev/shm", .sync = SEGLOG_SYNC_SEALED, .dawdles = true});
}

Test(stress, killed_producers_while_segments_are_removed)
{
    run_with_kills(
        &(struct setting){.sync = SEGLOG_SYNC_SEALED, .dawdles = true, .segments_kept = 4});
}

/* ---- threads ---------------------------------------------------------------------------------- */

struct thread {
    pthread_t id;
    struct seglog_log *log;
    struct crowd_writer writer;
    int rc;
};

static void *thread_main(void *arg)
{
    struct thread *t = arg;

    t->rc = crowd_write_on(t->log, &t->writer);
    return NULL;
}

static int write_in_threads(struct child *parent, void *arg)
{
    struct crowd *crowd = arg;
    const struct seglog_log_options options = {0};
    struct thread threads[PRODUCERS];
    struct seglog_log *log;

    (void)parent;
    child_must(seglog_log_open(crowd->dir, &options, &log));
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        threads[i] = (struct thread){
            .log = log,
            .writer = {.crowd = crowd, .id = i, .records = amount(16000), .dawdles = true}};
        child_assert(pthread_create(&threads[i].id, NULL, thread_main, &threads[i]) == 0);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        pthread_join(threads[i].id, NULL);
        child_must(threads[i].rc);
    }
    child_must(seglog_log_close(log));
    return 0;
}

static void run_threads(const struct setting *s)
{
    struct crowd *crowd = crowd_make(s);
    struct child children[FOLLOWERS], producer;
    struct crowd_follower followers[FOLLOWERS];
    uint64_t total = 0;

    followers_start(crowd, children, followers);
    child_start(&producer, write_in_threads, crowd);
    child_end(&producer);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        total += atomic_load(&crowd->count[i]);
    followers_end(crowd, children);
    expect_all(crowd, total, total);
    cr_assert_eq(total + atomic_load(&crowd->aborted), atomic_load(&crowd->end));
    expect_stored(crowd);
    crowd_remove(crowd);
}

Test(stress, threads_together)
{
    run_threads(&(struct setting){.sync = SEGLOG_SYNC_SEALED});
}

Test(stress, threads_together_in_memory)
{
    run_threads(&(struct setting){.where = "/dev/shm", .sync = SEGLOG_SYNC_NONE});
}

/* ---- one exclusive producer ------------------------------------------------------------------- */

Test(stress, an_exclusive_producer_and_its_followers)
{
    const struct setting s = {.sync = SEGLOG_SYNC_SEALED};
    struct crowd *crowd = crowd_make(&s);
    struct child children[FOLLOWERS], producer;
    struct crowd_follower followers[FOLLOWERS];
    struct crowd_writer writer = {
        .crowd = crowd, .records = amount(60000), .mode = SEGLOG_EXCLUSIVE};

    followers_start(crowd, children, followers);
    child_start(&producer, crowd_write, &writer);
    child_end(&producer);
    followers_end(crowd, children);
    expect_all(crowd, atomic_load(&crowd->count[0]), atomic_load(&crowd->count[0]));
    cr_assert_eq(atomic_load(&crowd->count[0]) + atomic_load(&crowd->aborted),
                 atomic_load(&crowd->end));
    expect_stored(crowd);
    crowd_remove(crowd);
}
