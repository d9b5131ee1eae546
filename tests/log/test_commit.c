/*
 * Levels, group commit and who leads it: an append at level `record` returns durable, whoever synced;
 * a leader that dies or stands still holds nobody up; intervals pass; watchers hear of it.
 */
#include "log/logs.h"
#include "log/steps.h"
#include "support/child.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/clock.h"

#define FOREVER UINT64_C(60000000000)

static uint64_t durable_of(struct seglog_log *log)
{
    uint64_t durable;

    cr_assert_ok(seglog_log_progress(log, &durable, NULL));
    return durable;
}

/* ---- levels --------------------------------------------------------------------------------- */

Test(commit, at_level_record_every_way_of_appending_returns_durable)
{
    char *dir = log_dir_make(SEGLOG_SYNC_RECORD);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    const struct seglog_record records[3] = {
        {.data = "a", .len = 1}, {.data = "bb", .len = 2}, {.data = "", .len = 0}};
    const size_t lens[2] = {5, 6};
    struct iovec iov = {.iov_base = (void *)(uintptr_t) "gather", .iov_len = 6};
    struct seglog_claim claims[2];
    uint64_t seq;

    cr_assert_ok(seglog_appender_append(ap, "one", 3, &seq));
    cr_assert_eq(durable_of(log), seq + 1);
    cr_assert_ok(seglog_appender_append_record(ap, &records[0], &seq));
    cr_assert_eq(durable_of(log), seq + 1);
    cr_assert_ok(seglog_appender_appendv(ap, &iov, 1, 0, 0, &seq));
    cr_assert_eq(durable_of(log), seq + 1);
    cr_assert_ok(seglog_appender_append_batch(ap, records, 3, &seq));
    cr_assert_eq(durable_of(log), seq + 3);
    cr_assert_ok(seglog_appender_claim(ap, 4, &claims[0]));
    memcpy(claims[0].data, "four", 4);
    cr_assert_ok(seglog_appender_commit(ap, &claims[0], 4));
    cr_assert_eq(durable_of(log), seq + 4);
    cr_assert_ok(seglog_appender_claim_batch(ap, lens, 2, claims));
    memset(claims[0].data, 'c', 5);
    memset(claims[1].data, 'd', 6);
    cr_assert_ok(seglog_appender_commit_batch(ap, claims, 2));
    cr_assert_eq(durable_of(log), seq + 6);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

Test(commit, an_appender_and_a_record_may_ask_for_more_than_their_log)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    const struct seglog_appender_options strict = {.sync = SEGLOG_SYNC_RECORD};
    struct seglog_appender *plain = log_appender(log, SEGLOG_SHARED), *ap;
    struct seglog_record record = {.data = "x", .len = 1, .time_ns = 1};
    uint64_t seq;

    cr_assert_ok(seglog_appender_append_record(plain, &record, &seq));
    cr_assert_eq(durable_of(log), 0);
    record.sync = SEGLOG_SYNC_RECORD;
    cr_assert_ok(seglog_appender_append_record(plain, &record, &seq));
    cr_assert_eq(durable_of(log), seq + 1);
    cr_assert_ok(seglog_appender_open(log, &strict, &ap));
    cr_assert_ok(seglog_appender_append(ap, "y", 1, &seq));
    cr_assert_eq(durable_of(log), seq + 1);
    record.sync = SEGLOG_SYNC_NONE; /* and for less than its appender */
    cr_assert_ok(seglog_appender_append_record(ap, &record, &seq));
    cr_assert_eq(durable_of(log), seq);
    record.sync = 5;
    cr_assert_status(seglog_appender_append_record(ap, &record, &seq), -EINVAL);
    cr_assert_ok(seglog_appender_close(plain));
    log_detach(log, ap);
    tmpdir_remove(dir);
}

Test(commit, an_exclusive_appender_waits_too)
{
    char *dir = log_dir_make(SEGLOG_SYNC_RECORD);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_EXCLUSIVE);
    const struct seglog_record record = {.data = "x", .len = 1, .time_ns = 1};
    uint64_t seq;

    for (int i = 0; i < 20; i++) {
        cr_assert_ok(seglog_appender_append_record(ap, &record, &seq));
        cr_assert_eq(durable_of(log), seq + 1);
    }
    log_detach(log, ap);
    tmpdir_remove(dir);
}

Test(commit, options_that_cannot_be_meant_are_refused)
{
    static const struct seglog_appender_options bad[] = {
        {.sync = 5},
        {.reserved = 1},
        {.sync_interval_ns = SEGLOG_SYNC_INTERVAL_DEFAULT},
        {.sync = SEGLOG_SYNC_RECORD, .sync_interval_ns = SEGLOG_SYNC_INTERVAL_DEFAULT},
        {.sync = SEGLOG_SYNC_INTERVAL, .sync_interval_ns = 1},
    };
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        cr_assert_status(seglog_appender_open(log, &bad[i], &ap), -EINVAL);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

Test(commit, where_nothing_lasts_nothing_is_called_durable)
{
    char dir[] = "/dev/shm/seglog-test-XXXXXX";
    const struct seglog_log_options strict = {.sync = SEGLOG_SYNC_RECORD};
    const struct seglog_log_options plain = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                             .flags = SEGLOG_LOG_CREATE | SEGLOG_LOG_NO_HELPER};
    const struct seglog_appender_options paced = {.sync = SEGLOG_SYNC_INTERVAL};
    const struct seglog_record record = {.data = "x", .len = 1, .sync = SEGLOG_SYNC_RECORD};
    struct seglog_appender *ap;
    struct seglog_log *log;
    uint64_t next;

    cr_assert_not_null(mkdtemp(dir));
    cr_assert_status(seglog_log_create(dir, &strict), SEGLOG_EVOLATILE);
    cr_assert_ok(seglog_log_open(dir, &plain, &log));
    cr_assert_status(seglog_appender_open(log, &paced, &ap), SEGLOG_EVOLATILE);
    ap = log_appender(log, SEGLOG_SHARED);
    cr_assert_status(seglog_appender_append_record(ap, &record, NULL), SEGLOG_EVOLATILE);
    cr_assert_status(seglog_appender_append_batch(ap, &record, 1, NULL), SEGLOG_EVOLATILE);
    cr_assert_status(seglog_log_wait_durable(log, 0, 0), SEGLOG_EVOLATILE);
    cr_assert_status(seglog_log_durable_fd(log), SEGLOG_EVOLATILE);
    cr_assert_ok(seglog_log_progress(log, NULL, &next));
    cr_assert_eq(next, 0, "what was refused took a number");
    log_detach(log, ap);
    tmpdir_remove(strdup(dir));
}

/* ---- waiting -------------------------------------------------------------------------------- */

Test(commit, an_open_claim_holds_up_what_comes_after_it)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED),
                           *other = log_appender(log, SEGLOG_SHARED);
    struct seglog_claim claim;

    log_append(ap, 3);
    cr_assert_ok(seglog_appender_claim(other, 8, &claim));
    log_append(ap, 3);
    cr_assert_ok(seglog_log_wait_durable(log, 2, FOREVER));
    cr_assert_status(seglog_log_wait_durable(log, 3, 0), -ETIMEDOUT);
    cr_assert_status(seglog_log_wait_durable(log, 6, 20000000), -ETIMEDOUT);
    cr_assert_eq(durable_of(log), 3);
    cr_assert_ok(seglog_appender_abort(other));
    cr_assert_ok(seglog_log_wait_durable(log, 6, FOREVER));
    cr_assert_eq(durable_of(log), 7);
    cr_assert_status(seglog_log_wait_durable(log, 7, 10000000), -ETIMEDOUT);
    cr_assert_ok(seglog_appender_close(other));
    log_detach(log, ap);
    tmpdir_remove(dir);
}

struct waiting_batch {
    struct seglog_appender *ap;
    _Atomic bool returned;
};

static void *batch_that_waits(void *arg)
{
    struct waiting_batch *b = arg;
    const struct seglog_record records[2] = {{.data = "a", .len = 1, .sync = SEGLOG_SYNC_RECORD},
                                             {.data = "bb", .len = 2}};

    cr_assert_ok(seglog_appender_append_batch(b->ap, records, 2, NULL));
    b->returned = true;
    return NULL;
}

/* A batch moves the checkpoint only from its own beginning: never over somebody's claim. */
Test(commit, a_batch_behind_an_open_claim_waits_for_it)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct waiting_batch batch = {.ap = log_appender(log, SEGLOG_SHARED)};
    struct seglog_appender *other = log_appender(log, SEGLOG_SHARED);
    struct seglog_claim claim;
    uint64_t next = 0;
    pthread_t thread;

    log_append(batch.ap, 3);
    cr_assert_ok(seglog_log_wait_durable(log, 2, FOREVER));
    cr_assert_ok(seglog_appender_claim(other, 8, &claim));
    cr_assert_eq(pthread_create(&thread, NULL, batch_that_waits, &batch), 0);
    while (next < 6) {
        cr_assert_ok(seglog_log_progress(log, NULL, &next));
        clock_sleep_ns(1000000);
    }
    clock_sleep_ns(20000000); /* published, and walked over to no avail */
    cr_assert_eq(durable_of(log), 3);
    cr_assert_not(batch.returned);
    cr_assert_ok(seglog_appender_abort(other));
    pthread_join(thread, NULL);
    cr_assert_eq(durable_of(log), 6);
    cr_assert_ok(seglog_appender_close(other));
    log_detach(log, batch.ap);
    tmpdir_remove(dir);
}

static int claims_and_waits(struct child *parent, void *arg)
{
    struct seglog_log *log;
    struct seglog_appender *ap;
    struct seglog_claim claim;
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};

    child_must(seglog_log_open(arg, &options, &log));
    child_must(seglog_appender_open(log, NULL, &ap));
    child_must(seglog_appender_claim(ap, 8, &claim));
    child_say(parent, 'c');
    return child_hear(parent);
}

Test(commit, a_dead_producers_claim_holds_nobody_up)
{
    char *dir = log_dir_make(SEGLOG_SYNC_RECORD);
    struct child child;
    struct seglog_log *log;
    struct seglog_appender *ap;
    uint64_t seq;

    child_start(&child, claims_and_waits, dir);
    cr_assert_eq(child_hear(&child), 'c');
    child_kill(&child);
    log = log_attach(dir); /* no first opener's recovery is needed: it may be one all the same */
    ap = log_appender(log, SEGLOG_SHARED);
    cr_assert_ok(seglog_appender_append(ap, "x", 1, &seq));
    cr_assert_eq(durable_of(log), seq + 1);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

/* ---- together ------------------------------------------------------------------------------- */

#define THREADS 8
#define EACH    60

struct worker {
    struct seglog_log *log;
    struct seglog_appender *ap;
    int bad;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    uint64_t seq = 0, durable = 0;

    for (int i = 0; i < EACH && w->bad == 0; i++) {
        w->bad = seglog_appender_append(w->ap, &i, sizeof(i), &seq);
        if (w->bad == 0)
            w->bad = seglog_log_progress(w->log, &durable, NULL);
        if (w->bad == 0 && durable <= seq)
            w->bad = -EPROTO;
    }
    return NULL;
}

static int threads_that_commit(const char *dir)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    struct worker workers[THREADS] = {0};
    pthread_t threads[THREADS];
    struct seglog_log *log;
    int bad = 0;

    child_must(seglog_log_open(dir, &options, &log));
    for (int i = 0; i < THREADS; i++) {
        workers[i].log = log;
        child_must(seglog_appender_open(log, NULL, &workers[i].ap));
        child_must(-pthread_create(&threads[i], NULL, work, &workers[i]));
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        bad = bad ? bad : workers[i].bad;
        child_must(seglog_appender_close(workers[i].ap));
    }
    child_must(seglog_log_close(log));
    return bad;
}

static int process_that_commits(struct child *parent, void *arg)
{
    (void)parent;
    child_must(threads_that_commit(arg));
    return 0;
}

Test(commit, threads_of_several_processes_each_return_durable, .timeout = 120)
{
    char *dir = log_dir_make(SEGLOG_SYNC_RECORD);
    struct child children[3];
    struct seglog_log *log;
    uint64_t next;

    for (int i = 0; i < 3; i++)
        child_start(&children[i], process_that_commits, dir);
    for (int i = 0; i < 3; i++)
        child_end(&children[i]);
    log = log_attach(dir);
    cr_assert_ok(seglog_log_progress(log, NULL, &next));
    cr_assert_eq(next, 3 * THREADS * EACH);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

/* ---- leaders that fail ---------------------------------------------------------------------- */

struct failing_leader {
    const char *dir;
    int signal; /* what it sends itself in the middle of its sync */
};

static int leader_that_fails(struct child *parent, void *arg)
{
    const struct failing_leader *f = arg;
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_log *log;
    struct seglog_appender *ap;

    child_must(seglog_log_open(f->dir, &options, &log));
    child_must(seglog_appender_open(log, NULL, &ap));
    child_must(seglog_appender_append(ap, "1", 1, NULL));
    child_say(parent, 'r');
    child_assert(child_hear(parent) == 'g');
    steps_reset();
    atomic_store(&steps.die_signal, f->signal);
    atomic_store(&steps.die_at, 1); /* the msync */
    child_must(seglog_appender_append(ap, "2", 1, NULL));
    return 0;
}

static void others_commit_though_a_leader(int signal)
{
    char *dir = log_dir_make(SEGLOG_SYNC_RECORD);
    struct failing_leader failing = {.dir = dir, .signal = signal};
    struct child child;
    struct seglog_log *log;
    struct seglog_appender *ap;
    uint64_t seq, leader;

    child_start(&child, leader_that_fails, &failing);
    cr_assert_eq(child_hear(&child), 'r');
    log = log_attach(dir);
    ap = log_appender(log, SEGLOG_SHARED);
    cr_assert_ok(seglog_appender_append(ap, "before", 6, &seq));
    child_say(&child, 'g');
    do { /* until it leads, and its record is there */
        clock_sleep_ns(1000000);
        leader = word_load(&log->view.live->sync_leader, memory_order_acquire);
        cr_assert_ok(seglog_log_progress(log, NULL, &seq));
    } while (leader == 0 || seq < 3);
    cr_assert_ok(seglog_appender_append(ap, "after", 5, &seq));
    cr_assert_eq(durable_of(log), seq + 1);
    if (signal == SIGSTOP) {
        child_continue(&child);
        child_end(&child); /* it finds its record durable and the lead not its own any more */
    } else {
        cr_assert_eq(child_status(&child), 256 + signal);
    }
    cr_assert_ok(seglog_appender_append(ap, "on", 2, &seq));
    cr_assert_eq(durable_of(log), seq + 1);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

Test(commit, a_leader_that_is_killed_in_its_sync_is_replaced)
{
    others_commit_though_a_leader(SIGKILL);
}

Test(commit, a_leader_that_stands_still_is_passed_over)
{
    others_commit_though_a_leader(SIGSTOP);
}

/* ---- large ones ----------------------------------------------------------------------------- */

Test(commit, large_batches_are_written_as_they_were_given)
{
    char *dir = log_dir_make(SEGLOG_SYNC_RECORD);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    static uint8_t bytes[16000];
    static const size_t lens[] = {0, 1, 31, 32, 33, 300, 2047, 2048, 2049, 5000, 100};
    struct seglog_record records[sizeof(lens) / sizeof(*lens)] = {0};
    const size_t n = sizeof(lens) / sizeof(*lens);
    uint64_t first, seq = 0, s = 0;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    for (size_t i = 0; i < n; i++)
        records[i] = (struct seglog_record){
            .data = bytes + i, .len = lens[i], .tag = (uint32_t)i, .time_ns = i % 2 ? i : 0};
    for (int round = 0; round < 12; round++) { /* over a roll or two */
        cr_assert_ok(seglog_appender_append_batch(ap, records, n, &first));
        cr_assert_eq(first, seq);
        cr_assert_eq(durable_of(log), first + n);
        cr_assert_ok(seglog_appender_append(ap, bytes, 15000, &seq)); /* one alone */
        cr_assert_eq(durable_of(log), ++seq);
    }
    for (uint64_t number = 0; s < seq; number++) {
        struct segment *seg;
        struct source src;
        struct scan scan;
        struct scan_frame frame;

        cr_assert_ok(segment_open(log->view.dirfd, number, log->view.settings.uuid, SEGMENT_READ,
                                  &seg, NULL));
        source_init(&src, seg);
        scan_begin(&scan, &src, true);
        while (scan_next(&scan, &frame) == 1) {
            const size_t i = s++ % (n + 1);

            cr_assert_eq(frame.facts.state, WORD_DATA);
            cr_assert_eq(frame.facts.len, i == n ? 15000 : lens[i]);
            cr_assert_eq(memcmp(frame.payload, i == n ? bytes : bytes + i, frame.facts.len), 0);
            cr_assert_eq(frame.frame.tag, i == n ? 0 : i);
            if (i < n && i % 2)
                cr_assert_eq(frame.frame.time_ns, i);
        }
        source_free(&src);
        segment_close(seg);
    }
    cr_assert_eq(s, seq);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

Test(commit, a_large_batch_that_cannot_be_written_leaves_void_numbers)
{
    char *dir = log_dir_make(SEGLOG_SYNC_RECORD);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    static uint8_t bytes[8000];
    const struct seglog_record records[2] = {{.data = bytes, .len = 8000},
                                             {.data = bytes, .len = 7000}};
    uint64_t seq;

    cr_assert_ok(seglog_appender_append(ap, "x", 1, &seq));
    steps_reset();
    atomic_store(&steps.fail_errno, EIO);
    atomic_store(&steps.fail, STEP_PWRITE);
    cr_assert_status(seglog_appender_append_batch(ap, records, 2, &seq), -EIO);
    atomic_store(&steps.fail, STEP_NONE);
    cr_assert_ok(seglog_appender_append(ap, "y", 1, &seq));
    cr_assert_eq(seq, 3);
    cr_assert_eq(durable_of(log), 4);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

/* ---- by the clock --------------------------------------------------------------------------- */

static void wait_for_durable(struct seglog_log *log, uint64_t next)
{
    const uint64_t deadline = clock_monotonic_ns() + FOREVER;

    while (durable_of(log) < next) {
        cr_assert(clock_monotonic_ns() < deadline, "never durable");
        clock_sleep_ns(1000000);
    }
}

Test(pace, what_is_published_becomes_durable_by_itself)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    const struct seglog_log_options options = {0};
    const struct seglog_appender_options paced = {.sync = SEGLOG_SYNC_INTERVAL,
                                                  .sync_interval_ns = SEGLOG_SYNC_INTERVAL_MIN};
    struct seglog_appender *ap;
    struct seglog_log *log;
    uint64_t seq;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_appender_open(log, &paced, &ap));
    for (int i = 0; i < 5; i++) {
        cr_assert_ok(seglog_appender_append(ap, "x", 1, &seq));
        wait_for_durable(log, seq + 1);
        clock_sleep_ns(3000000); /* let it fall asleep */
    }
    log_detach(log, ap);
    tmpdir_remove(dir);
}

Test(pace, a_logs_own_interval_is_stored_and_close_syncs_the_rest)
{
    char *top = tmpdir_make(), *dir = tmpdir_path(top, "log");
    const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                               .sync = SEGLOG_SYNC_INTERVAL,
                                               .sync_interval_ns = SEGLOG_SYNC_INTERVAL_MAX,
                                               .flags = SEGLOG_LOG_CREATE};
    const struct seglog_log_options other = {.sync = SEGLOG_SYNC_INTERVAL,
                                             .sync_interval_ns = SEGLOG_SYNC_INTERVAL_MIN};
    struct seglog_log_settings settings;
    struct seglog_appender *ap;
    struct seglog_log *log, *second;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_log_settings(log, &settings));
    cr_assert_eq(settings.sync, SEGLOG_SYNC_INTERVAL);
    cr_assert_eq(settings.sync_interval_ns, SEGLOG_SYNC_INTERVAL_MAX);
    cr_assert_status(seglog_log_open(dir, &other, &second), SEGLOG_EMISMATCH);
    second = log_attach(dir);
    ap = log_appender(log, SEGLOG_SHARED);
    log_append(ap, 5);
    cr_assert_eq(durable_of(log), 0);
    log_detach(log, ap);
    cr_assert_eq(durable_of(second), 5);
    cr_assert_ok(seglog_log_close(second));
    free(dir);
    tmpdir_remove(top);
}

Test(pace, without_a_helper_tending_does_it)
{
    char *dir = log_dir_make(SEGLOG_SYNC_INTERVAL);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);

    log_append(ap, 5);
    cr_assert_eq(durable_of(log), 0);
    cr_assert_ok(seglog_log_tend(log));
    cr_assert_eq(durable_of(log), 5);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

Test(pace, a_descriptor_tells_whenever_more_is_durable)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir), *other = log_attach(dir);
    struct seglog_appender *ap = log_appender(other, SEGLOG_SHARED);
    struct pollfd fd = {.fd = seglog_log_durable_fd(log), .events = POLLIN};
    uint64_t count;

    cr_assert_ok(fd.fd);
    cr_assert_eq(seglog_log_durable_fd(log), fd.fd);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(poll(&fd, 1, 0), 0);
        log_append(ap, 1);
        cr_assert_ok(seglog_log_sync(other, NULL));
        cr_assert_eq(poll(&fd, 1, 60000), 1);
        cr_assert_eq(read(fd.fd, &count, sizeof(count)), sizeof(count));
        cr_assert_eq(durable_of(log), i + 1);
    }
    cr_assert_ok(seglog_log_close(log));
    log_detach(other, ap);
    tmpdir_remove(dir);
}

/* ---- fork and poison ------------------------------------------------------------------------ */

Test(commit, a_forked_child_is_refused)
{
    char *dir = log_dir_make(SEGLOG_SYNC_RECORD);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    uint64_t seq;
    int status;

    cr_assert_ok(seglog_appender_append(ap, "x", 1, &seq));
    if (fork() == 0) {
        const bool refused = seglog_log_wait_durable(log, 0, 0) == SEGLOG_EFORKED &&
                             seglog_log_durable_fd(log) == SEGLOG_EFORKED;

        seglog_appender_close(ap);
        seglog_log_close(log);
        _exit(refused ? 0 : 1);
    }
    cr_assert(wait(&status) > 0 && status == 0);
    cr_assert_ok(seglog_appender_append(ap, "y", 1, &seq));
    log_detach(log, ap);
    tmpdir_remove(dir);
}

static void note_event(void *context, const struct seglog_event *event)
{
    *(struct seglog_event *)context = *event;
}

Test(commit, a_sync_that_fails_reaches_every_waiter_and_the_user)
{
    char *dir = log_dir_make(SEGLOG_SYNC_RECORD);
    struct seglog_event event = {0};
    const struct seglog_log_options options = {
        .flags = SEGLOG_LOG_NO_HELPER, .notify = note_event, .notify_context = &event};
    struct seglog_appender *ap;
    struct seglog_log *log;
    uint64_t seq = 7;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    ap = log_appender(log, SEGLOG_SHARED);
    cr_assert_ok(seglog_appender_append(ap, "x", 1, &seq));
    steps_reset();
    atomic_store(&steps.fail_errno, EIO);
    atomic_store(&steps.fail, STEP_SYNC);
    cr_assert_status(seglog_appender_append(ap, "y", 1, &seq), -EIO);
    atomic_store(&steps.fail, STEP_NONE);
    cr_assert_eq(seq, 1);
    cr_assert_eq(event.kind, SEGLOG_EVENT_POISONED);
    cr_assert_eq(event.status, -EIO);
    cr_assert_status(seglog_appender_append(ap, "z", 1, &seq), SEGLOG_EPOISONED);
    cr_assert_status(seglog_log_wait_durable(log, 0, 0), SEGLOG_EPOISONED);
    cr_assert_eq(durable_of(log), 1);
    log_detach(log, ap);
    tmpdir_remove(dir);
}
