/*
 * Verify on logs that are sound, in all the states a log may be left in.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "inspect/collect.h"
#include "support/build_log.h"
#include "support/check.h"
#include "support/tmpdir.h"

#define N 3

/* Three segments of 10 records: two sealed, the last one active. */
static void build_three(struct build_log *log, struct build_segment seg[N])
{
    build_log_make(log);
    for (unsigned i = 0; i < N; i++) {
        build_begin(log, i ? &seg[i - 1] : NULL, &seg[i]);
        build_records(&seg[i], 10);
        if (i + 1 < N) {
            build_roll(&seg[i]);
            build_seal(&seg[i], i ? &seg[i - 1] : NULL);
        }
    }
}

static void drop_three(struct build_log *log, struct build_segment seg[N])
{
    for (unsigned i = 0; i < N; i++)
        build_close(&seg[i]);
    build_log_remove(log);
}

Test(verify, a_log_without_segments_is_sound)
{
    struct build_log log;

    build_log_make(&log);
    expect_sound(log.dir, 0);
    build_log_remove(&log);
}

Test(verify, sealed_and_active_segments_are_sound)
{
    struct build_log log;
    struct build_segment seg[N];
    struct collected c;

    build_three(&log, seg);
    expect_sound(log.dir, 30);
    c = collect(log.dir, 0);
    cr_assert_eq(c.report.segments, 3);
    cr_assert_eq(c.report.torn_tail, 0);
    cr_assert_eq(c.report.bytes, 10 + 20 * 2);
    drop_three(&log, seg);
}

Test(verify, fast_counts_what_is_sealed)
{
    struct build_log log;
    struct build_segment seg[N];
    struct collected c;

    build_three(&log, seg);
    c = collect(log.dir, SEGLOG_VERIFY_FAST);
    cr_assert_status(c.rc, 0);
    cr_assert_eq(c.report.records, 20);
    build_damage(&seg[0], OFF_FRAMES + 32);
    cr_assert_status(collect(log.dir, SEGLOG_VERIFY_FAST).rc, 0);
    cr_assert_status(collect(log.dir, 0).rc, 1);
    build_damage(&seg[0], seg[0].seg->facts.shape.footer_off + 30);
    cr_assert_status(collect(log.dir, SEGLOG_VERIFY_FAST).rc, 1);
    drop_three(&log, seg);
}

Test(verify, pads_and_void_numbers_are_sound)
{
    struct build_log log;
    struct build_segment a, b;
    struct collected c;

    build_log_make(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 3);
    build_abort(&a, 4, 512);
    build_pad(&a, 64);
    build_records(&a, 3);
    build_roll(&a);
    build_seal(&a, NULL);
    build_begin(&log, &a, &b);
    build_abort(&b, 1, 64);
    build_records(&b, 1);
    expect_sound(log.dir, 7);
    c = collect(log.dir, 0);
    cr_assert_eq(c.report.void_count, 5);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(verify, spares_are_sound)
{
    struct build_log log;
    struct build_segment a, spare;

    build_log_make(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 3);
    build_spare(&log, 1, &spare);
    expect_sound(log.dir, 3);
    /* Rolled, and nobody has come to activate it yet. */
    build_roll(&a);
    expect_sound(log.dir, 3);
    build_close(&a);
    build_close(&spare);
    build_log_remove(&log);
}

Test(verify, an_open_claim_is_unfinished_and_sound)
{
    struct build_log log;
    struct build_segment a;
    struct collected c;
    uint64_t at;

    build_log_make(&log);
    build_log_live(&log);
    build_log_slot(&log, 5, 7);
    build_begin(&log, NULL, &a);
    build_records(&a, 3);
    at = build_claim(&a, 5, 7, 2, 128);
    c = collect(log.dir, 0);
    cr_assert_status(c.rc, 0);
    cr_assert_eq(c.report.records, 3);
    cr_assert_eq(c.report.torn_tail, 1);
    cr_assert_eq(c.report.torn_segment, 0);
    cr_assert_eq(c.report.torn_offset, at);
    /* Records behind it: the log does not end there. */
    build_records(&a, 2);
    c = collect(log.dir, 0);
    cr_assert_status(c.rc, 0);
    cr_assert_eq(c.report.records, 5);
    cr_assert_eq(c.report.torn_tail, 0);
    build_close(&a);
    build_log_remove(&log);
}

Test(verify, a_claim_open_in_a_full_segment_is_sound)
{
    struct build_log log;
    struct build_segment a, b;

    build_log_make(&log);
    build_log_live(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 3);
    build_claim(&a, 5, 7, 2, 128);
    build_records(&a, 3);
    build_roll(&a);
    build_begin(&log, &a, &b);
    build_records(&b, 4);
    expect_sound(log.dir, 10);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(verify, a_bad_frame_after_a_reboot_is_the_end)
{
    struct build_log log;
    struct build_segment a;
    struct collected c;
    uint64_t at;

    build_log_make(&log);
    build_log_reboot(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 5);
    at = a.at;
    build_records(&a, 5);
    build_damage(&a, at + 20);
    c = collect(log.dir, 0);
    cr_assert_status(c.rc, 0);
    cr_assert_eq(c.report.records, 5);
    cr_assert_eq(c.report.torn_tail, 1);
    cr_assert_eq(c.report.torn_offset, at);
    build_close(&a);
    build_log_remove(&log);
}

Test(verify, a_hole_after_a_reboot_is_the_end)
{
    struct build_log log;
    struct build_segment a, b;
    struct collected c;
    uint64_t at;

    build_log_make(&log);
    build_log_reboot(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 5);
    at = a.at;
    build_records(&a, 5);
    build_roll(&a);
    memset(a.seg->base + at, 0, 32);
    build_begin(&log, &a, &b);
    build_records(&b, 5);
    c = collect(log.dir, 0);
    cr_assert_status(c.rc, 0);
    cr_assert_eq(c.report.records, 5);
    cr_assert_eq(c.report.torn_tail, 1);
    cr_assert_eq(c.report.torn_segment, 0);
    cr_assert_eq(c.report.torn_offset, at);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(verify, a_claim_after_a_reboot_is_the_end)
{
    struct build_log log;
    struct build_segment a;
    struct collected c;
    uint64_t at;

    build_log_make(&log);
    build_log_reboot(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 5);
    at = build_claim(&a, 1, 1, 1, 64);
    build_records(&a, 5);
    c = collect(log.dir, 0);
    cr_assert_status(c.rc, 0);
    cr_assert_eq(c.report.records, 5);
    cr_assert_eq(c.report.torn_tail, 1);
    cr_assert_eq(c.report.torn_offset, at);
    build_close(&a);
    build_log_remove(&log);
}

Test(verify, a_log_cut_by_a_recovery_is_sound)
{
    struct build_log log;
    struct build_segment a, b;
    struct collected c;

    build_log_make(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 5);
    build_cut(&a, NULL);
    build_records(&a, 5); /* beyond the cut, and no part of the log */
    c = collect(log.dir, 0);
    cr_assert_status(c.rc, 0);
    cr_assert_eq(c.report.torn_tail, 1);
    a.seq_rel -= 5;
    build_begin(&log, &a, &b);
    c = collect(log.dir, 0);
    cr_assert_status(c.rc, 0);
    cr_assert_eq(c.report.torn_tail, 1);
    cr_assert_eq(c.report.torn_segment, 0);
    cr_assert_eq(c.report.torn_offset, a.footer.frames_end);
    /* With the first record behind it the log no longer ends there. */
    build_records(&b, 1);
    expect_sound(log.dir, 6);
    cr_assert_eq(collect(log.dir, 0).report.torn_tail, 0);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

/* Killed between the seal at the cut and the setting aside. */
Test(verify, what_lies_behind_a_fresh_cut_is_no_part_of_the_log)
{
    struct build_log log;
    struct build_segment a, b;

    build_log_make(&log);
    build_log_reboot(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 5);
    build_begin(&log, &a, &b);
    build_records(&b, 5);
    a.at -= 64;
    a.seq_rel -= 1;
    build_cut(&a, NULL);
    expect_sound(log.dir, 4);
    cr_assert_eq(collect(log.dir, 0).report.torn_tail, 1);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(verify, a_file_that_a_power_cut_left_unwritten_is_the_end)
{
    struct build_log log;
    struct build_segment a, b;

    build_log_make(&log);
    build_log_reboot(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 5);
    build_roll(&a);
    build_seal(&a, NULL);
    build_begin(&log, &a, &b);
    build_records(&b, 5);
    memset(b.seg->base, 0, PAGE_BYTES);
    expect_sound(log.dir, 5);
    cr_assert_eq(collect(log.dir, 0).report.torn_tail, 1);
    build_log_unlink(&log, 1);
    expect_sound(log.dir, 5);
    cr_assert_eq(collect(log.dir, 0).report.torn_tail, 1);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(verify, a_seal_cut_short_is_sound)
{
    struct build_log log;
    struct build_segment a, b;

    build_log_make(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 5);
    build_roll(&a);
    memset(a.seg->base + a.seg->facts.shape.footer_off, 0x5a, 512);
    build_begin(&log, &a, &b);
    build_records(&b, 5);
    expect_sound(log.dir, 10);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(verify, removed_segments_are_no_damage)
{
    struct build_log log;
    struct build_segment seg[N];

    build_three(&log, seg);
    build_log_floor(&log, 1, 10);
    expect_sound(log.dir, 20); /* not unlinked yet */
    build_log_unlink(&log, 0);
    expect_sound(log.dir, 20);
    drop_three(&log, seg);
}

Test(verify, one_floor_slot_is_enough)
{
    struct build_log log;
    struct build_segment seg[N];
    char *path;
    FILE *file;

    build_three(&log, seg);
    build_log_floor(&log, 1, 10);
    build_log_unlink(&log, 0);
    path = tmpdir_path(log.dir, NAME_FLOOR);
    file = fopen(path, "r+");
    cr_assert_not_null(file);
    fseek(file, 4096, SEEK_SET);
    fputs("torn", file);
    fclose(file);
    free(path);
    expect_sound(log.dir, 20);
    drop_three(&log, seg);
}

static int stop_it(void *context, const struct seglog_damage *damage)
{
    (void)damage;
    ++*(int *)context;
    return 1;
}

Test(verify, the_caller_may_stop_it)
{
    struct build_log log;
    struct build_segment seg[N];
    int calls = 0;
    struct seglog_verify_report report;
    const struct seglog_verify_options options = {.on_damage = stop_it, .context = &calls};

    build_three(&log, seg);
    build_damage(&seg[0], OFF_FRAMES + 32);
    build_damage(&seg[1], OFF_FRAMES + 32);
    cr_assert_status(seglog_verify(log.dir, &options, &report), -ECANCELED);
    cr_assert_eq(calls, 1);
    cr_assert_eq(report.damage_count, 1);
    drop_three(&log, seg);
}

struct progress {
    uint64_t done;
    uint64_t total;
    bool went_back;
};

static void note_progress(void *context, uint64_t done, uint64_t total)
{
    struct progress *p = context;

    p->went_back |= done < p->done || done > total;
    p->done = done;
    p->total = total;
}

Test(verify, progress_ends_at_the_total)
{
    struct build_log log;
    struct build_segment seg[N];
    struct progress progress = {0};
    const struct seglog_verify_options options = {.on_progress = note_progress,
                                                  .context = &progress};

    build_three(&log, seg);
    build_damage(&seg[1], OFF_FRAMES + 32);
    cr_assert_status(seglog_verify(log.dir, &options, NULL), 1);
    cr_assert_eq(progress.done, progress.total);
    cr_assert_gt(progress.total, 0);
    cr_assert_not(progress.went_back);
    drop_three(&log, seg);
}

Test(verify, what_is_no_log_is_refused)
{
    char *dir = tmpdir_make();
    char *path = tmpdir_path(dir, "letter");
    FILE *file;

    cr_assert_status(seglog_verify("/nonexistent/log", NULL, NULL), -ENOENT);
    cr_assert_status(seglog_verify(dir, NULL, NULL), -ENOENT);
    file = fopen(path, "w");
    cr_assert_not_null(file);
    fclose(file);
    cr_assert_status(seglog_verify(dir, NULL, NULL), SEGLOG_ENOTLOG);
    free(path);
    path = tmpdir_path(dir, NAME_SETTINGS);
    file = fopen(path, "w");
    for (int i = 0; i < 4096; i++)
        fputc('x', file);
    fclose(file);
    cr_assert_lt(seglog_verify(dir, NULL, NULL), 0);
    free(path);
    tmpdir_remove(dir);
}
