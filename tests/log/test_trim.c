/*
 * Retention: what goes, what holds it back, and being killed or refused at every step.
 */
#include "log/logs.h"
#include "log/steps.h"
#include "log/stored.h"

#include <signal.h>
#include <string.h>

#define EACH 10u

/* n sealed segments of EACH records, and an active one with as many. */
static char *make_log(uint64_t n)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);

    for (uint64_t i = 0; i < n; i++) {
        log_append(ap, EACH);
        cr_assert_eq(seglog_log_seal(log, PATIENCE), 1);
    }
    log_append(ap, EACH);
    log_detach(log, ap);
    return dir;
}

static struct seglog_trim_report trim(const char *dir, struct seglog_trim_options options)
{
    struct seglog_log *log = log_attach(dir);
    struct seglog_trim_report report;

    cr_assert_ok(seglog_log_trim(log, &options, &report));
    cr_assert_ok(seglog_log_close(log));
    return report;
}

static void put_cursor(const char *dir, const char *name, uint64_t seq)
{
    const struct cursor_facts facts = {.seq = seq};
    struct log_view view;

    cr_assert_ok(log_view_open(dir, false, &view));
    cr_assert_ok(stored_create(&view, name, &facts));
    log_view_close(&view);
}

static struct floor_facts floor_of(const char *dir)
{
    struct floor_facts floor;
    struct log_view view;

    cr_assert_ok(log_view_open(dir, false, &view));
    cr_assert_ok(log_view_floor(&view, &floor));
    log_view_close(&view);
    return floor;
}

static void expect_first(const char *dir, uint64_t first_seq, uint64_t next_seq)
{
    const struct tally tally = tally_dir(dir, false);

    cr_assert_eq(tally.first_seq, first_seq, "begins with %llu, not %llu",
                 (unsigned long long)tally.first_seq, (unsigned long long)first_seq);
    cr_assert_eq(tally.next_seq, next_seq);
}

Test(trim, by_count_size_place_and_age)
{
    char *dir = make_log(20);
    const uint64_t size = SEGLOG_SEGMENT_SIZE_MIN;
    struct seglog_trim_report report;

    report = trim(dir, (struct seglog_trim_options){.keep_segments = 18});
    cr_assert_eq(report.segments, 3);
    cr_assert_eq(report.stopped, SEGLOG_TRIM_DONE);
    cr_assert_eq(report.first_seq, 3 * EACH);
    cr_assert_eq(report.left_segments, 18);
    expect_first(dir, 3 * EACH, 21 * EACH);
    report = trim(dir, (struct seglog_trim_options){.keep_size = 16 * size + 1});
    cr_assert_eq(report.segments, 2);
    cr_assert_eq(report.bytes, 2 * size);
    cr_assert_eq(report.left_bytes, 16 * size);
    report = trim(
        dir, (struct seglog_trim_options){.flags = SEGLOG_TRIM_BEFORE, .before_seq = 8 * EACH - 1});
    cr_assert_eq(report.segments, 2, "not the one that has the place in it");
    expect_first(dir, 7 * EACH, 21 * EACH);
    report = trim(dir, (struct seglog_trim_options){.keep_age_ns = UINT64_C(3600000000000)});
    cr_assert_eq(report.segments, 0);
    report = trim(dir, (struct seglog_trim_options){.keep_age_ns = 1});
    cr_assert_eq(report.stopped, SEGLOG_TRIM_IN_USE, "the newest sealed one stays");
    expect_first(dir, 19 * EACH, 21 * EACH);
    report = trim(dir, (struct seglog_trim_options){.keep_segments = 1});
    cr_assert_eq(report.segments, 0);
    cr_assert_eq(report.stopped, SEGLOG_TRIM_IN_USE);
    log_append_alone(dir, EACH);
    expect_first(dir, 19 * EACH, 22 * EACH);
    tmpdir_remove(dir);
}

struct seen {
    unsigned count;
    uint64_t next;
    uint32_t why;
};

static void see(void *context, const struct seglog_trim_segment *segment)
{
    struct seen *seen = context;

    cr_assert_eq(segment->number, seen->next, "oldest first");
    cr_assert_eq(segment->first_seq, seen->next * EACH);
    cr_assert_eq(segment->next_seq, (seen->next + 1) * EACH);
    seen->count++;
    seen->next++;
    seen->why |= segment->why;
}

Test(trim, a_dry_run_says_what_and_why_and_does_nothing)
{
    char *dir = make_log(6);
    struct seen seen = {0};
    struct seglog_trim_options options = {
        .keep_segments = 4, .on_segment = see, .context = &seen, .flags = SEGLOG_TRIM_DRY_RUN};
    struct seglog_trim_report report;

    cr_assert_ok(seglog_trim_plan(dir, &options, &report));
    cr_assert_eq(report.segments, 3);
    cr_assert_eq(report.first_seq, 3 * EACH);
    cr_assert_eq(seen.count, 3);
    cr_assert_eq(seen.why, SEGLOG_TRIM_BY_SEGMENTS);
    seen = (struct seen){0};
    cr_assert_eq(trim(dir, options).segments, 3);
    expect_first(dir, 0, 7 * EACH);
    options.flags = 1u << 30;
    cr_assert_status(seglog_trim_plan(dir, &options, &report), -EINVAL);
    tmpdir_remove(dir);
}

Test(trim, stops_at_the_cursor_that_is_farthest_behind_unless_forced)
{
    char *dir = make_log(8);
    const struct seglog_trim_options most = {.keep_segments = 2};
    struct seglog_trim_report report;

    put_cursor(dir, "ahead", 60);
    put_cursor(dir, "behind", 4 * EACH + 5);
    report = trim(dir, most);
    cr_assert_eq(report.segments, 4);
    cr_assert_eq(report.stopped, SEGLOG_TRIM_CURSOR);
    cr_assert_str_eq(report.cursor, "behind");
    cr_assert_eq(report.cursor_seq, 4 * EACH + 5);
    expect_first(dir, 4 * EACH, 9 * EACH);
    report =
        trim(dir, (struct seglog_trim_options){.keep_segments = 2, .flags = SEGLOG_TRIM_FORCE});
    cr_assert_eq(report.segments, 3);
    expect_first(dir, 7 * EACH, 9 * EACH);
    tmpdir_remove(dir);
}

Test(trim, one_that_cannot_be_read_holds_everything)
{
    char *dir = make_log(4), *path = tmpdir_path(dir, "cursor-odd");
    FILE *file = fopen(path, "w");
    struct seglog_trim_report report;

    cr_assert_eq(fputs("no cursor", file) >= 0, true);
    fclose(file);
    report = trim(dir, (struct seglog_trim_options){.keep_segments = 2});
    cr_assert_eq(report.segments, 0);
    cr_assert_eq(report.stopped, SEGLOG_TRIM_CURSOR);
    cr_assert_status(report.cursor_status, SEGLOG_ECORRUPT);
    cr_assert_str_eq(report.cursor, "odd");
    free(path);
    tmpdir_remove(dir);
}

/* ---- killed, refused ------------------------------------------------------------------------ */

static int trim_and_die(struct child *parent, void *arg)
{
    const struct seglog_trim_options options = {.keep_segments = 3};
    struct seglog_log *log = log_attach(((void **)arg)[0]);
    const uint64_t *die_at = ((void **)arg)[1];

    (void)parent;
    steps_reset();
    atomic_store(&steps.die_at, *die_at);
    child_must(seglog_log_trim(log, &options, NULL));
    atomic_store(&steps.die_at, 0);
    child_must(seglog_log_close(log));
    return 0;
}

Test(trim, killed_before_any_step_leaves_a_whole_log_and_is_finished_by_the_next)
{
    char *from = make_log(8), *dir = log_copy(from);
    bool killed = true;

    for (uint64_t die_at = 1; killed; die_at++) {
        void *arg[2] = {dir, &die_at};
        struct child child;
        struct floor_facts floor;

        log_copy_over(from, dir);
        child_start(&child, trim_and_die, arg);
        killed = child_status(&child) == 256 + SIGKILL;
        cr_assert(killed || die_at > 5, "it has more steps than that");
        floor = floor_of(dir);
        cr_assert(floor.first_seq == 0 || floor.first_seq == 6 * EACH);
        cr_assert_eq(tally_dir(dir, false).next_seq, 9 * EACH);
        trim(dir, (struct seglog_trim_options){.keep_segments = 3});
        expect_first(dir, 6 * EACH, 9 * EACH);
        for (uint64_t number = 0; number < 6; number++) {
            char name[SEGMENT_NAME_BYTES];

            segment_name(number, name);
            cr_assert_not(log_has_file(dir, name), "%s is left", name);
        }
    }
    tmpdir_remove(dir);
    tmpdir_remove(from);
}

Test(trim, a_floor_that_cannot_be_stored_removes_nothing)
{
    static const int errors[] = {EIO, ENOSPC};

    for (size_t i = 0; i < 2; i++) {
        char *dir = make_log(6);
        struct seglog_log *log = log_attach(dir);
        const struct seglog_trim_options options = {.keep_segments = 3};

        steps_reset();
        atomic_store(&steps.fail, STEP_SYNC);
        atomic_store(&steps.fail_errno, errors[i]);
        cr_assert_status(seglog_log_trim(log, &options, NULL), -errors[i]);
        steps_reset();
        atomic_store(&steps.fail, STEP_NONE);
        for (uint64_t number = 0; number < 6; number++) {
            char name[SEGMENT_NAME_BYTES];

            segment_name(number, name);
            cr_assert(log_has_file(dir, name));
        }
        cr_assert_ok(seglog_log_trim(log, &options, NULL));
        cr_assert_ok(seglog_log_close(log));
        expect_first(dir, 4 * EACH, 7 * EACH);
        tmpdir_remove(dir);
    }
}

static int trim_bit_by_bit(struct child *parent, void *arg)
{
    struct seglog_log *log = log_attach(arg);

    (void)parent;
    for (uint64_t keep = 30; keep >= 3; keep--) {
        const struct seglog_trim_options options = {.keep_segments = keep};

        child_must(seglog_log_trim(log, &options, NULL));
    }
    child_must(seglog_log_close(log));
    return 0;
}

Test(trim, by_several_processes_at_once_ends_as_by_one)
{
    char *dir = make_log(30);
    struct child children[3];

    for (int i = 0; i < 3; i++)
        child_start(&children[i], trim_bit_by_bit, dir);
    for (int i = 0; i < 3; i++)
        child_end(&children[i]);
    expect_first(dir, 28 * EACH, 31 * EACH);
    tmpdir_remove(dir);
}

Test(trim, a_damaged_oldest_segment_is_not_in_the_way_for_ever)
{
    char *dir = make_log(6);

    log_segment_zero(dir, 0, 0, 4096);
    cr_assert_eq(trim(dir, (struct seglog_trim_options){.keep_segments = 4}).segments, 3);
    expect_first(dir, 3 * EACH, 7 * EACH);
    tmpdir_remove(dir);
}

/* ---- settings ------------------------------------------------------------------------------- */

Test(trim, the_logs_own_rules_are_kept_by_whoever_tends_it_and_may_change)
{
    char *dir = tmpdir_make();
    const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                               .sync = SEGLOG_SYNC_SEALED,
                                               .keep_segments = 4,
                                               .flags = SEGLOG_LOG_CREATE | SEGLOG_LOG_NO_HELPER};
    struct seglog_log_settings settings;
    struct seglog_log *log;
    struct seglog_appender *ap;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    ap = log_appender(log, SEGLOG_SHARED);
    for (int i = 0; i < 8; i++) {
        log_append(ap, EACH);
        cr_assert_ok(seglog_log_seal(log, PATIENCE));
        cr_assert_ok(seglog_log_tend(log));
    }
    cr_assert_eq(tally_dir(dir, false).first_seq, 5 * EACH);
    cr_assert_ok(seglog_settings_read(dir, &settings));
    cr_assert_eq(settings.keep_segments, 4);
    settings.keep_segments = 3;
    settings.sync = SEGLOG_SYNC_NONE;
    cr_assert_ok(seglog_log_configure(log, &settings));
    cr_assert_ok(seglog_log_tend(log));
    cr_assert_eq(tally_dir(dir, false).first_seq, 6 * EACH);
    settings.sync = SEGLOG_SYNC_DEFAULT;
    cr_assert_status(seglog_log_configure(log, &settings), -EINVAL);
    cr_assert_ok(seglog_settings_read(dir, &settings));
    cr_assert_eq(settings.sync, SEGLOG_SYNC_NONE);
    cr_assert_eq(settings.keep_segments, 3);
    log_detach(log, ap);
    cr_assert_status(seglog_log_open(dir, &options, &log), SEGLOG_EMISMATCH);
    cr_assert_status(seglog_settings_read("/nonexistent/log", &settings), -ENOENT);
    tmpdir_remove(dir);
}

Test(trim, the_helper_does_it_by_itself)
{
    char *dir = tmpdir_make();
    const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                               .sync = SEGLOG_SYNC_SEALED,
                                               .keep_size = 3 * SEGLOG_SEGMENT_SIZE_MIN,
                                               .flags = SEGLOG_LOG_CREATE};
    struct seglog_log *log;
    struct seglog_appender *ap;
    uint64_t first = 0;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    ap = log_appender(log, SEGLOG_SHARED);
    log_append(ap, 6000); /* about seven segments */
    for (int i = 0; i < 6000 && first == 0; i++) {
        first = floor_of(dir).first_seq;
        clock_sleep_ns(10 * MS);
    }
    cr_assert_gt(first, 0);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

static int configure_and_die(struct child *parent, void *arg)
{
    struct seglog_log *log = log_attach(((void **)arg)[0]);
    const uint64_t *die_at = ((void **)arg)[1];
    struct seglog_log_settings settings;

    (void)parent;
    child_must(seglog_log_settings(log, &settings));
    settings.keep_segments = 77;
    steps_reset();
    atomic_store(&steps.die_at, *die_at);
    child_must(seglog_log_configure(log, &settings));
    atomic_store(&steps.die_at, 0);
    child_must(seglog_log_close(log));
    return 0;
}

Test(trim, settings_changed_by_one_who_is_killed_are_the_old_or_the_new)
{
    char *dir = make_log(1);
    bool killed = true;

    for (uint64_t die_at = 1; killed; die_at++) {
        void *arg[2] = {dir, &die_at};
        struct seglog_log_settings settings;
        struct child child;

        child_start(&child, configure_and_die, arg);
        killed = child_status(&child) == 256 + SIGKILL;
        cr_assert_ok(seglog_settings_read(dir, &settings));
        cr_assert(settings.keep_segments == 0 || settings.keep_segments == 77);
        cr_assert(killed || settings.keep_segments == 77);
    }
    expect_first(dir, 0, 2 * EACH);
    tmpdir_remove(dir);
}
