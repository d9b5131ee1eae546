/*
 * Reading forward: what is there is read, what is void is passed, and where nothing is yet the reader
 * stays.
 */
#include <seglog/log.h>
#include <seglog/reader.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/build_log.h"
#include "support/check.h"
#include "support/tmpdir.h"

static struct seglog_reader *reader_on(const struct build_log *log, uint32_t flags)
{
    const struct seglog_reader_options options = {.flags = flags};
    struct seglog_reader *reader = NULL;

    cr_assert_ok(seglog_reader_open(log->dir, &options, &reader));
    return reader;
}

/* The next record is number seq, and says so. */
static void expect(struct seglog_reader *reader, uint64_t seq)
{
    struct seglog_view view;
    char text[32];

    cr_assert_ok(seglog_reader_next(reader, &view));
    cr_assert_eq(view.seq, seq, "%llu is not %llu", (unsigned long long)view.seq,
                 (unsigned long long)seq);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)seq);
    cr_assert_eq(view.len, strlen(text));
    cr_assert_arr_eq(view.data, text, view.len);
    cr_assert_eq(view.time_ns, seq);
    cr_assert_eq(view.tag, seq % 10);
}

static void expect_all(struct seglog_reader *reader, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq < to; seq++)
        expect(reader, seq);
}

static void expect_end(struct seglog_reader *reader)
{
    struct seglog_view view;

    cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
    cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
}

Test(forward, an_appended_record_is_read)
{
    char *dir = tmpdir_make();
    const struct seglog_log_options options = {.segment_size = 65536, .flags = SEGLOG_LOG_CREATE};
    struct seglog_log *log;
    struct seglog_appender *appender;
    struct seglog_reader *reader;
    struct seglog_view view;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_appender_open(log, NULL, &appender));
    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
    for (uint64_t i = 0; i < 5000; i++) {
        uint64_t seq;

        cr_assert_ok(seglog_appender_append(appender, &i, sizeof(i), &seq));
        cr_assert_eq(seq, i);
        if (i % 3 == 0)
            continue;
        cr_assert_ok(seglog_reader_next(reader, &view));
        if (i % 3 == 2)
            cr_assert_ok(seglog_reader_next(reader, &view));
        cr_assert_eq(view.len, sizeof(i));
    }
    seglog_reader_close(reader);
    cr_assert_ok(seglog_appender_close(appender));
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

static void full_sealed_and_active(uint32_t flags)
{
    struct build_log log;
    struct build_segment a, b, c;
    struct seglog_reader *reader;

    build_log_make(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 500);
    build_roll(&a);
    build_seal(&a, NULL);
    build_begin(&log, &a, &b);
    build_records(&b, 300);
    build_roll(&b);
    build_begin(&log, &b, &c);
    build_records(&c, 10);

    reader = reader_on(&log, flags);
    expect_all(reader, 0, 810);
    expect_end(reader);
    build_records(&c, 5);
    expect_all(reader, 810, 815);
    expect_end(reader);
    seglog_reader_close(reader);
    build_log_remove(&log);
}

Test(forward, sealed_full_and_active_segments_read_as_one)
{
    full_sealed_and_active(0);
    full_sealed_and_active(SEGLOG_READER_NO_VERIFY);
    full_sealed_and_active(SEGLOG_READER_COPY);
}
