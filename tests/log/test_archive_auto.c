/*
 * Archiving by itself: a rule of the log, carried out beside appending, killed at any step.
 */
#include <seglog/archive.h>
#include <seglog/log.h>

#include "log/logs.h"
#include "log/steps.h"
#include "segment/archive.h"

#include <signal.h>
#include <stdatomic.h>

#define PER_SEGMENT 870 /* records, about */

static char *log_with_rule(uint64_t after_ns, uint64_t keep_segments)
{
    char *dir = tmpdir_make();
    const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                               .sync = SEGLOG_SYNC_SEALED,
                                               .keep_segments = keep_segments,
                                               .archive_after_ns = after_ns};

    cr_assert_ok(seglog_log_create(dir, &options));
    return dir;
}

static struct seglog_log *attach_with_threads(const char *dir)
{
    struct seglog_log *log;

    cr_assert_ok(seglog_log_open(dir, NULL, &log));
    return log;
}

static bool is_archived(const char *dir, uint64_t number)
{
    char name[SEGMENT_NAME_BYTES], archive[SEGMENT_NAME_BYTES];

    segment_name(number, name);
    segment_archive_name(number, archive);
    return log_has_file(dir, archive) && !log_has_file(dir, name);
}

static void expect_soon(const char *dir, uint64_t number)
{
    const uint64_t end = clock_monotonic_ns() + PATIENCE;

    while (!is_archived(dir, number) && clock_monotonic_ns() < end)
        clock_sleep_ns(2 * MS);
    cr_assert(is_archived(dir, number), "segment %llu is not archived after a minute",
              (unsigned long long)number);
}

Test(archive_auto, sealed_segments_are_archived_while_appending_goes_on)
{
    char *dir = log_with_rule(1, 0);
    struct seglog_log *log = attach_with_threads(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);

    for (uint64_t number = 0; number < 5; number++) {
        log_append(ap, PER_SEGMENT);
        log_append(ap, PER_SEGMENT);
        expect_soon(dir, number);
    }
    log_detach(log, ap);
    cr_assert_eq(tally_dir(dir, false).records, 10 * PER_SEGMENT);
    tmpdir_remove(dir);
}

Test(archive_auto, a_segment_comes_of_age_without_anybody_appending)
{
    char *dir = log_with_rule(50 * MS, 0);
    struct seglog_log *log = attach_with_threads(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);

    log_append(ap, 2 * PER_SEGMENT);
    expect_soon(dir, 0);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

Test(archive_auto, young_ones_stay)
{
    char *dir = log_with_rule(UINT64_C(3600000) * MS, 0);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);

    log_append(ap, 2 * PER_SEGMENT);
    cr_assert_ok(seglog_log_tend(log));
    cr_assert_not(is_archived(dir, 0));
    log_detach(log, ap);
    tmpdir_remove(dir);
}

Test(archive_auto, without_threads_tending_does_it)
{
    char *dir = log_with_rule(1, 0);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);

    log_append(ap, 2 * PER_SEGMENT);
    cr_assert_ok(seglog_log_tend(log));
    cr_assert(is_archived(dir, 0));
    log_append(ap, PER_SEGMENT);
    log_append(ap, PER_SEGMENT);
    cr_assert_ok(seglog_log_tend(log));
    cr_assert(is_archived(dir, 1));
    log_detach(log, ap);
    cr_assert_eq(tally_dir(dir, false).records, 4 * PER_SEGMENT);
    tmpdir_remove(dir);
}

Test(archive_auto, is_a_setting_that_may_change)
{
    char *dir = log_with_rule(0, 0);
    struct seglog_log *log = attach_with_threads(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    struct seglog_log_options options = {.archive_level = SEGLOG_ARCHIVE_LEVEL_MAX + 1};
    struct seglog_log_settings settings;
    struct seglog_log *other;

    log_append(ap, 2 * PER_SEGMENT);
    cr_assert_ok(seglog_log_settings(log, &settings));
    cr_assert(settings.archive_after_ns == 0 && settings.archive_level == 0);
    settings.archive_level = SEGLOG_ARCHIVE_LEVEL_MAX + 1;
    cr_assert_status(seglog_log_configure(log, &settings), -EINVAL);
    settings.archive_level = 9;
    settings.archive_after_ns = 1;
    cr_assert_ok(seglog_log_configure(log, &settings));
    expect_soon(dir, 0);
    cr_assert_ok(seglog_settings_read(dir, &settings));
    cr_assert(settings.archive_after_ns == 1 && settings.archive_level == 9);
    log_detach(log, ap);
    cr_assert_status(seglog_log_open(dir, &options, &other), -EINVAL);
    options.archive_level = 8;
    cr_assert_status(seglog_log_open(dir, &options, &other), SEGLOG_EMISMATCH);
    options = (struct seglog_log_options){.archive_after_ns = 2};
    cr_assert_status(seglog_log_open(dir, &options, &other), SEGLOG_EMISMATCH);
    options = (struct seglog_log_options){.reserved = 1};
    cr_assert_status(seglog_log_open(dir, &options, &other), -EINVAL);
    tmpdir_remove(dir);
}

Test(archive_auto, what_fails_is_tried_again_later_and_later)
{
    char *dir = log_with_rule(1, 0);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    uint64_t begin;

    log_append(ap, PER_SEGMENT / 2);
    cr_assert_geq(seglog_log_seal(log, 0), 1);
    atomic_store(&steps.fail_errno, ENOSPC);
    for (int i = 0; i < 4; i++) {
        begin = clock_monotonic_ns();
        atomic_store(&steps.fail, STEP_NAME);
        cr_assert_status(log_archive_auto(log), -ENOSPC);
        steps_reset();
        cr_assert_not(is_archived(dir, 0));
        /* Twice as long each time, from the end of the call on: a second at first. */
        cr_assert_geq(log->archive_due_ns - begin, (1000 * MS) << i);
    }
    cr_assert_ok(log_archive_auto(log));
    cr_assert(is_archived(dir, 0));
    cr_assert_eq(log->archive_due_ns, 0); /* the next seal calls */
    log_detach(log, ap);
    cr_assert_eq(tally_dir(dir, false).records, PER_SEGMENT / 2);
    tmpdir_remove(dir);
}

Test(archive_auto, archives_are_trimmed_like_segments)
{
    char *dir = log_with_rule(1, 3);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    struct tally t;

    for (int i = 0; i < 8; i++) {
        log_append(ap, PER_SEGMENT);
        cr_assert_ok(seglog_log_tend(log));
    }
    t = tally_dir(dir, false);
    cr_assert_gt(t.first_seq, 0);
    cr_assert_eq(t.next_seq, 8 * PER_SEGMENT);
    cr_assert_leq(t.segments, 4);
    cr_assert_not(is_archived(dir, 0));
    log_detach(log, ap);
    tmpdir_remove(dir);
}

/* ---- killed ----------------------------------------------------------------------------------- */

struct victim {
    const char *dir;
    uint64_t die_at;
    _Atomic uint64_t appended;
    _Atomic uint64_t steps;
};

static int victim_main(struct child *parent, void *arg)
{
    struct victim *v = arg;
    struct seglog_log *log;
    struct seglog_appender *ap;

    (void)parent;
    steps_reset();
    atomic_store(&steps.die_at, v->die_at);
    child_must(seglog_log_open(v->dir, NULL, &log));
    child_must(seglog_appender_open(log, NULL, &ap));
    for (unsigned i = 0; i < 4 * PER_SEGMENT; i++) {
        char text[24];
        const int len = snprintf(text, sizeof(text), "%u", i);

        child_must(seglog_appender_append(ap, text, (uint64_t)len, NULL));
        atomic_store(&v->appended, i + 1);
    }
    for (int i = 0; i < 60000 && !is_archived(v->dir, 2); i++)
        clock_sleep_ns(MS);
    atomic_store(&v->steps, atomic_load(&steps.count));
    return 0;
}

Test(archive_auto, killed_at_any_step_beside_an_appender_nothing_is_lost)
{
    const uint64_t rounds = getenv("SEGLOG_TEST_QUICK") ? 12 : 60;
    char *from = log_with_rule(1, 0), *dir = log_copy(from);
    struct victim *v = child_shared(sizeof(*v));
    struct child child;
    uint64_t all;

    v->dir = dir;
    child_start(&child, victim_main, v);
    child_end(&child);
    all = atomic_load(&v->steps);
    cr_assert_gt(all, 30);
    for (uint64_t round = 0; round < rounds; round++) {
        struct tally t;
        int status;

        log_copy_over(from, dir);
        v->die_at = 1 + all * round / rounds;
        atomic_store(&v->appended, 0);
        child_start(&child, victim_main, v);
        status = child_status(&child);
        cr_assert(status == 0 || status == 256 + SIGKILL, "step %llu: status %d",
                  (unsigned long long)v->die_at, status);
        log_append_alone(dir, 0); /* whoever attaches next finishes it */
        t = tally_dir(dir, false);
        cr_assert_geq(t.records, atomic_load(&v->appended), "killed before step %llu",
                      (unsigned long long)v->die_at);
        cr_assert_ok(seglog_archive(dir, NULL, NULL));
        cr_assert_eq(tally_dir(dir, false).records, t.records);
    }
    tmpdir_remove(dir);
    tmpdir_remove(from);
}
