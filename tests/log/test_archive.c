/*
 * Archiving, killed and refused at each of its steps: one of the two files is whole at any time, and
 * the next archiver finishes.
 */
#include <seglog/archive.h>
#include <seglog/log.h>

#include "log/logs.h"
#include "log/steps.h"
#include "segment/archive.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Three sealed segments and an active one. */
static char *sealed_log(void)
{
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED);

    for (int i = 0; i < 3; i++) {
        struct seglog_log *log = log_attach(dir);

        log_append_alone(dir, 200);
        cr_assert_geq(seglog_log_seal(log, 0), 1);
        cr_assert_ok(seglog_log_close(log));
    }
    return dir;
}

static bool has(const char *dir, uint64_t number, bool archive)
{
    char name[SEGMENT_NAME_BYTES];

    if (archive)
        segment_archive_name(number, name);
    else
        segment_name(number, name);
    return log_has_file(dir, name);
}

static void expect_archived(const char *dir)
{
    for (uint64_t n = 0; n < 3; n++)
        cr_assert(has(dir, n, true) && !has(dir, n, false), "segment %llu", (unsigned long long)n);
}

struct attempt {
    const char *dir;
    uint64_t die_at;
    _Atomic uint64_t steps;
};

static int attempt_main(struct child *parent, void *arg)
{
    struct attempt *a = arg;
    static const struct seglog_archive_options plain;
    struct seglog_archive_report report = {0};
    struct log_view view;

    (void)parent;
    child_must(log_view_open(a->dir, false, &view));
    steps_reset();
    atomic_store(&steps.die_at, a->die_at);
    child_must(log_archive(&view, NULL, &plain, &report)); /* no engine: every step is here */
    atomic_store(&a->steps, atomic_load(&steps.count));
    return 0;
}

static bool attempt(struct attempt *a, const char *dir, uint64_t die_at)
{
    struct child child;
    int status;

    a->dir = dir;
    a->die_at = die_at;
    child_start(&child, attempt_main, a);
    status = child_status(&child);
    cr_assert(status == 0 || status == 256 + SIGKILL, "step %llu: status %d",
              (unsigned long long)die_at, status);
    return status != 0;
}

Test(archive, killed_before_any_step_leaves_one_of_the_two_whole)
{
    char *from = sealed_log(), *dir = log_copy(from);
    struct attempt *a = child_shared(sizeof(*a));
    uint64_t all;

    cr_assert_not(attempt(a, dir, 0));
    all = atomic_load(&a->steps);
    cr_assert_gt(all, 12);
    expect_archived(dir);
    for (uint64_t die_at = 1; die_at <= all; die_at++) {
        struct tally t;

        log_copy_over(from, dir);
        cr_assert(attempt(a, dir, die_at));
        t = tally_dir(dir, false);
        cr_assert(t.records == 600 && t.sealed == 3, "killed before step %llu: %llu records",
                  (unsigned long long)die_at, (unsigned long long)t.records);
        cr_assert_ok(seglog_archive(dir, NULL, NULL));
        expect_archived(dir);
        t = tally_dir(dir, false);
        cr_assert_eq(t.records, 600);
        log_append_alone(dir, 1); /* and it can be attached to */
    }
    tmpdir_remove(dir);
    tmpdir_remove(from);
}

Test(archive, a_failing_step_leaves_one_of_the_two_whole)
{
    static const enum step kinds[] = {STEP_PWRITE, STEP_SYNC, STEP_NAME};
    char *from = sealed_log(), *dir = log_copy(from);
    static const struct seglog_archive_options plain;
    struct seglog_archive_report report;

    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (uint32_t skip = 0; skip < 12; skip++) {
            struct log_view view;
            int rc;

            log_copy_over(from, dir);
            cr_assert_ok(log_view_open(dir, false, &view));
            steps_reset();
            atomic_store(&steps.skip, skip);
            atomic_store(&steps.fail_errno, ENOSPC);
            atomic_store(&steps.fail, kinds[k]);
            report = (struct seglog_archive_report){0};
            rc = log_archive(&view, NULL, &plain, &report);
            steps_reset();
            log_view_close(&view);
            cr_assert(rc == -ENOSPC || rc == 0);
            cr_assert_eq(tally_dir(dir, false).records, 600);
            cr_assert_ok(seglog_archive(dir, NULL, NULL));
            expect_archived(dir);
            cr_assert_eq(tally_dir(dir, false).records, 600);
        }
    }
    tmpdir_remove(dir);
    tmpdir_remove(from);
}

/* ---- who, which, how -------------------------------------------------------------------------- */

Test(archive, one_at_a_time)
{
    char *dir = sealed_log();
    struct owner owner;
    struct log_view view;

    cr_assert_ok(log_view_open(dir, false, &view));
    cr_assert_ok(owner_open(view.dirfd, NAME_OWNERS, &owner));
    cr_assert_ok(owner_lock(&owner, OWNERS_BYTE_ARCHIVE, true));
    cr_assert_eq(seglog_archive(dir, NULL, NULL), -EBUSY);
    owner_close(&owner);
    cr_assert_ok(seglog_archive(dir, NULL, NULL));
    log_view_close(&view);
    tmpdir_remove(dir);
}

Test(archive, keeps_the_newest_and_the_young)
{
    char *dir = sealed_log();
    struct seglog_archive_options options = {.older_than_ns = UINT64_C(3600) * 1000 * MS};
    struct seglog_archive_report report;

    cr_assert_ok(seglog_archive(dir, &options, &report));
    cr_assert_eq(report.segments, 0);
    options = (struct seglog_archive_options){.keep = 2};
    cr_assert_ok(seglog_archive(dir, &options, &report));
    cr_assert_eq(report.segments, 1);
    cr_assert(has(dir, 0, true) && has(dir, 1, false) && has(dir, 2, false));
    options.keep = 1;
    cr_assert_ok(seglog_archive(dir, &options, &report));
    cr_assert_eq(report.segments, 1);
    cr_assert(has(dir, 1, true) && has(dir, 2, false));
    tmpdir_remove(dir);
}

Test(archive, every_level_gives_the_same_records)
{
    for (uint32_t level = 1; level <= SEGLOG_ARCHIVE_LEVEL_MAX; level++) {
        char *dir = sealed_log();
        const struct seglog_archive_options options = {.level = level};
        struct seglog_archive_report report;

        cr_assert_ok(seglog_archive(dir, &options, &report));
        cr_assert_eq(report.segments, 3);
        cr_assert_lt(report.archive_bytes, report.segment_bytes / 2);
        cr_assert_eq(tally_dir(dir, false).records, 600);
        tmpdir_remove(dir);
    }
}

Test(archive, refuses_what_it_does_not_know)
{
    char *dir = sealed_log();
    const struct seglog_archive_options level = {.level = SEGLOG_ARCHIVE_LEVEL_MAX + 1};
    const struct seglog_archive_options reserved = {.reserved = 1};

    cr_assert_eq(seglog_archive(dir, &level, NULL), -EINVAL);
    cr_assert_eq(seglog_archive(dir, &reserved, NULL), -EINVAL);
    cr_assert_eq(seglog_archive("/nowhere/at/all", NULL, NULL), -ENOENT);
    cr_assert(has(dir, 0, false));
    tmpdir_remove(dir);
}

/* A power cut may take the size of a file that was never synced. */
Test(archive, does_not_care_how_long_the_file_of_locks_is)
{
    char *dir = sealed_log(), *owners = tmpdir_path(dir, "owners");

    cr_assert_eq(truncate(owners, 512), 0);
    cr_assert_ok(seglog_archive(dir, NULL, NULL));
    expect_archived(dir);
    free(owners);
    tmpdir_remove(dir);
}

static int stop(void *context, const struct seglog_archived *archived)
{
    *(uint64_t *)context = archived->number;
    return 1;
}

Test(archive, stops_when_asked_to)
{
    char *dir = sealed_log();
    uint64_t number = UINT64_MAX;
    const struct seglog_archive_options options = {.on_segment = stop, .context = &number};

    cr_assert_eq(seglog_archive(dir, &options, NULL), -ECANCELED);
    cr_assert_eq(number, 0);
    cr_assert(has(dir, 0, true) && has(dir, 1, false));
    tmpdir_remove(dir);
}

/* A process that slept through roll, seal and archiving must not make the segment again. */
Test(archive, an_appender_that_slept_goes_on_behind_archives)
{
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
    struct seglog_log *sleeper = log_attach(dir), *other;
    struct seglog_appender *ap = log_appender(sleeper, SEGLOG_SHARED);

    log_append(ap, 10);
    other = log_attach(dir);
    for (int i = 0; i < 3; i++) {
        cr_assert_geq(seglog_log_seal(other, 0), 1);
        log_append_alone(dir, 5);
    }
    cr_assert_geq(seglog_log_seal(other, 0), 1);
    cr_assert_ok(seglog_archive(dir, NULL, NULL));
    log_append(ap, 10);
    cr_assert_ok(seglog_log_sync(sleeper, NULL));
    cr_assert_eq(tally_dir(dir, false).records, 10 + 15 + 10);
    log_detach(sleeper, ap);
    cr_assert_ok(seglog_log_close(other));
    tmpdir_remove(dir);
}
