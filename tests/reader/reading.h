/*
 * What the tests of readers share: logs whose record number n is the text "n" with time n and tag
 * n % 10, and the sentences to say about them.
 */
#ifndef TEST_READER_READING_H
#define TEST_READER_READING_H

#include <seglog/reader.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/build_log.h"
#include "support/check.h"

/* For what must come; a machine under load, or a disk, may take its time. */
#define PATIENCE_NS UINT64_C(60000000000)

static inline struct seglog_reader *reader_from(const struct build_log *log, uint32_t flags,
                                                struct seglog_place from)
{
    const struct seglog_reader_options options = {.flags = flags, .from = from};
    struct seglog_reader *reader = NULL;

    cr_assert_ok(seglog_reader_open(log->dir, &options, &reader));
    return reader;
}

static inline struct seglog_reader *reader_on(const struct build_log *log, uint32_t flags)
{
    return reader_from(log, flags, (struct seglog_place){0});
}

static inline void expect_view(const struct seglog_view *view, uint64_t seq)
{
    char text[32];

    cr_assert_eq(view->seq, seq, "%llu is not %llu", (unsigned long long)view->seq,
                 (unsigned long long)seq);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)seq);
    cr_assert_eq(view->len, strlen(text));
    cr_assert_arr_eq(view->data, text, view->len);
    cr_assert_eq(view->time_ns, seq);
    cr_assert_eq(view->tag, seq % 10);
}

static inline void expect_next(struct seglog_reader *reader, uint64_t seq)
{
    struct seglog_view view;

    cr_assert_ok(seglog_reader_next(reader, &view));
    expect_view(&view, seq);
}

static inline void expect_prev(struct seglog_reader *reader, uint64_t seq)
{
    struct seglog_view view;

    cr_assert_ok(seglog_reader_prev(reader, &view));
    expect_view(&view, seq);
}

/* Records from to to - 1, forward. */
static inline void expect_all(struct seglog_reader *reader, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq < to; seq++)
        expect_next(reader, seq);
}

/* Records from - 1 down to to. */
static inline void expect_all_back(struct seglog_reader *reader, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq-- > to;)
        expect_prev(reader, seq);
}

static inline void expect_end(struct seglog_reader *reader)
{
    struct seglog_view view;

    cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
    cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
}

static inline void expect_position(struct seglog_reader *reader, uint64_t seq, uint64_t epoch)
{
    uint64_t have_seq, have_epoch;

    cr_assert_ok(seglog_reader_position(reader, &have_seq, &have_epoch));
    cr_assert_eq(have_seq, seq, "stands at %llu, not %llu", (unsigned long long)have_seq,
                 (unsigned long long)seq);
    cr_assert_eq(have_epoch, epoch);
}

static inline void expect_lost(struct seglog_reader *reader, int status, uint64_t segment,
                               uint64_t first, uint64_t last)
{
    struct seglog_damage damage;

    cr_assert_ok(seglog_reader_damage(reader, &damage));
    cr_assert_status(damage.status, status);
    cr_assert_eq(damage.segment, segment);
    cr_assert(damage.first_seq == first && damage.last_seq == last,
              "%llu to %llu are lost, not %llu to %llu: %s", (unsigned long long)damage.first_seq,
              (unsigned long long)damage.last_seq, (unsigned long long)first,
              (unsigned long long)last, damage.cause);
    cr_assert_neq(damage.cause[0], 0);
}

/* next() reports that first to last are lost. */
static inline void expect_damage(struct seglog_reader *reader, int status, uint64_t segment,
                                 uint64_t first, uint64_t last)
{
    struct seglog_view view;

    cr_assert_status(seglog_reader_next(reader, &view), status);
    expect_lost(reader, status, segment, first, last);
}

static inline void expect_damage_back(struct seglog_reader *reader, int status, uint64_t segment,
                                      uint64_t first, uint64_t last)
{
    struct seglog_view view;

    cr_assert_status(seglog_reader_prev(reader, &view), status);
    expect_lost(reader, status, segment, first, last);
}

static inline void seek_to(struct seglog_reader *reader, uint32_t kind, uint64_t value)
{
    const struct seglog_place place = {.kind = kind, .value = value};

    cr_assert_ok(seglog_reader_seek(reader, &place));
}

/* n segments of `each` records, all rolled but the last, the first `sealed` of them sealed. */
static inline void build_many(struct build_log *log, struct build_segment *segs, unsigned n,
                              unsigned sealed, unsigned each)
{
    for (unsigned i = 0; i < n; i++) {
        build_begin(log, i > 0 ? &segs[i - 1] : NULL, &segs[i]);
        build_records(&segs[i], each);
        if (i + 1 < n)
            build_roll(&segs[i]);
        if (i < sealed)
            build_seal(&segs[i], i > 0 ? &segs[i - 1] : NULL);
    }
}

static inline void close_many(struct build_segment *segs, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        build_close(&segs[i]);
}

#endif
