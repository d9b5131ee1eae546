/*
 * Archived segments are read like others: every record, from every place, in both directions.
 */
#include "archived/logs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS 3000u

static struct seglog_info info_of(const char *dir)
{
    struct seglog_info info;

    cr_assert_ok(seglog_info_read(dir, &info));
    return info;
}

static uint64_t voids_below(uint64_t seq)
{
    uint64_t n = 0;

    for (uint64_t s = 0; s < seq; s++)
        n += archived_is_void(s);
    return n;
}

/* Every second one of the older half: so that readers cross both ways. */
static char *mixed_log(void)
{
    char *dir = archived_log(RECORDS, SEGLOG_SEGMENT_SIZE_MIN);
    const struct seglog_archive_options options = {.keep = 3};
    struct seglog_archive_report report;

    cr_assert_ok(seglog_archive(dir, &options, &report));
    cr_assert_gt(report.segments, 2);
    cr_assert_lt(report.archive_bytes, report.segment_bytes);
    return dir;
}

Test(archived_read, all_of_it_as_before)
{
    static const uint32_t flags[] = {0, SEGLOG_READER_COPY, SEGLOG_READER_NO_VERIFY};
    char *dir = mixed_log();
    struct seglog_verify_report report;
    unsigned damages;

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        cr_assert_eq(archived_read(dir, flags[i], &damages), RECORDS - voids_below(RECORDS));
        cr_assert_eq(damages, 0);
    }
    cr_assert_ok(seglog_verify(dir, NULL, &report));
    cr_assert_eq(report.records, RECORDS - voids_below(RECORDS));
    cr_assert_eq(report.void_count, voids_below(RECORDS));
    tmpdir_remove(dir);
}

Test(archived_read, info_says_which_are_archived)
{
    char *dir = mixed_log();
    struct seglog_info info = info_of(dir);
    size_t archived = 0, sealed = 0;

    for (size_t i = 0; i < info.segment_count; i++) {
        const struct seglog_segment_info *seg = &info.segments[i];

        archived += seg->state == SEGLOG_SEGMENT_ARCHIVED;
        sealed += seg->state == SEGLOG_SEGMENT_SEALED;
        cr_assert_eq(archived_has(dir, seg->number, "arc"), seg->state == SEGLOG_SEGMENT_ARCHIVED);
        cr_assert_eq(archived_has(dir, seg->number, "seg"), seg->state != SEGLOG_SEGMENT_ARCHIVED);
    }
    cr_assert_gt(archived, 2);
    cr_assert_eq(sealed, 3);
    cr_assert_eq(info.records, RECORDS - voids_below(RECORDS));
    cr_assert_eq(info.void_count, voids_below(RECORDS));
    cr_assert_eq(info.durable_seq, info.volatile_fs ? info.durable_seq : RECORDS);
    seglog_info_free(&info);
    tmpdir_remove(dir);
}

Test(archived_read, backward_from_the_end_to_the_beginning)
{
    const struct seglog_reader_options options = {.from = {.kind = SEGLOG_PLACE_END}};
    char *dir = mixed_log();
    struct seglog_reader *reader;
    struct seglog_view view;
    uint64_t next = RECORDS, count = 0;

    cr_assert_ok(seglog_reader_open(dir, &options, &reader));
    while (seglog_reader_prev(reader, &view) == 0) {
        cr_assert_lt(view.seq, next);
        next = view.seq;
        archived_expect(&view);
        seglog_reader_release(reader);
        count++;
    }
    cr_assert_eq(next, 0);
    cr_assert_eq(count, RECORDS - voids_below(RECORDS));
    seglog_reader_close(reader);
    tmpdir_remove(dir);
}

Test(archived_read, by_number_from_every_place)
{
    char *dir = mixed_log();
    struct seglog_reader *reader;
    struct seglog_view view;

    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    for (uint64_t i = 0; i < RECORDS; i += 7) {
        const uint64_t seq = i * 1009 % RECORDS;
        const struct seglog_place place = {.kind = SEGLOG_PLACE_SEQ, .value = seq};

        cr_assert_ok(seglog_reader_seek(reader, &place));
        cr_assert_ok(seglog_reader_next(reader, &view));
        cr_assert_eq(view.seq, seq + archived_is_void(seq));
        archived_expect(&view);
        cr_assert_ok(seglog_reader_prev(reader, &view));
        cr_assert_eq(view.seq, seq + archived_is_void(seq));
        archived_expect(&view);
    }
    seglog_reader_close(reader);
    tmpdir_remove(dir);
}

static uint64_t first_from(uint64_t time_ns)
{
    for (uint64_t seq = 0; seq < RECORDS; seq++)
        if (!archived_is_void(seq) && archived_time(seq) >= time_ns)
            return seq;
    return RECORDS;
}

Test(archived_read, by_time_and_by_count)
{
    char *dir = mixed_log();
    struct seglog_reader *reader;
    struct seglog_view view;

    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    for (uint64_t seq = 0; seq < RECORDS - 20; seq += 173) {
        const struct seglog_place time = {.kind = SEGLOG_PLACE_TIME, .value = TIME0 + seq * 1000};

        cr_assert_ok(seglog_reader_seek(reader, &time));
        cr_assert_ok(seglog_reader_next(reader, &view));
        cr_assert_eq(view.seq, first_from(time.value));
    }
    for (uint64_t n = 1; n < RECORDS - voids_below(RECORDS); n += 397) {
        const struct seglog_place back = {.kind = SEGLOG_PLACE_BACK, .value = n};

        cr_assert_ok(seglog_reader_seek(reader, &back));
        cr_assert_ok(seglog_reader_next(reader, &view));
        cr_assert_eq(RECORDS - view.seq - (voids_below(RECORDS) - voids_below(view.seq)), n);
    }
    seglog_reader_close(reader);
    tmpdir_remove(dir);
}

Test(archived_read, by_tag)
{
    char *dir = mixed_log();

    for (uint32_t tag = 0; tag <= RECORDS / 200; tag++) {
        const struct seglog_reader_options options = {.flags = SEGLOG_READER_TAG, .tag = tag};
        struct seglog_reader *reader;
        struct seglog_view view;
        uint64_t n = 0;

        cr_assert_ok(seglog_reader_open(dir, &options, &reader));
        while (seglog_reader_next(reader, &view) == 0) {
            archived_expect(&view);
            n += view.tag == tag;
        }
        cr_assert_eq(n, tag < RECORDS / 200 ? 196 : 0);
        seglog_reader_close(reader);
    }
    tmpdir_remove(dir);
}

Test(archived_read, a_reader_goes_on_when_its_segment_is_archived)
{
    char *dir = archived_log(RECORDS, SEGLOG_SEGMENT_SIZE_MIN);
    struct seglog_reader *reader;
    struct seglog_view view;
    uint64_t count = 0;

    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    while (seglog_reader_next(reader, &view) == 0) {
        archived_expect(&view);
        count++;
        if (count == 100)
            cr_assert_ok(seglog_archive(dir, NULL, NULL));
    }
    cr_assert_eq(count, RECORDS - voids_below(RECORDS));
    seglog_reader_close(reader);
    tmpdir_remove(dir);
}

Test(archived_read, views_stay_until_release_across_blocks)
{
    const uint64_t records = 30000; /* several blocks a segment */
    char *dir = archived_log(records, UINT64_C(4) << 20);
    static struct seglog_view views[30000];
    struct seglog_reader *reader;
    struct seglog_archive_report report;
    int n = 0, got;

    cr_assert_ok(seglog_archive(dir, NULL, &report));
    cr_assert_geq(report.segments, 1);
    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    while ((got = seglog_reader_batch(reader, views + n, 30000 - n)) > 0)
        n += got;
    cr_assert_eq((uint64_t)n, records - voids_below(records));
    for (int i = 0; i < n; i++)
        archived_expect(&views[i]);
    seglog_reader_close(reader);
    tmpdir_remove(dir);
}

Test(archived_read, the_log_goes_on_behind_archives)
{
    char *dir = archived_log(500, SEGLOG_SEGMENT_SIZE_MIN);
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_verify_report report;
    struct seglog_appender *ap;
    struct seglog_log *log;
    uint64_t seq;

    for (int round = 0; round < 3; round++) {
        cr_assert_ok(seglog_archive(dir, NULL, NULL));
        cr_assert_ok(seglog_log_open(dir, &options, &log));
        cr_assert_ok(seglog_appender_open(log, NULL, &ap));
        cr_assert_ok(seglog_appender_append(ap, "more", 4, &seq));
        cr_assert_eq(seq, 500 + (uint64_t)round);
        cr_assert_ok(seglog_appender_close(ap));
        cr_assert_geq(seglog_log_seal(log, 0), 1);
        cr_assert_ok(seglog_log_close(log));
    }
    cr_assert_ok(seglog_verify(dir, NULL, &report));
    cr_assert_eq(report.records, 490 + 3);
    tmpdir_remove(dir);
}
