/*
 * Places: by number, count and time, at the ends; and going backward from them.
 */
#include "reading.h"

#define N      6u
#define EACH   400u
#define SEALED 4u

struct many {
    struct build_log log;
    struct build_segment segs[N];
};

static void many_make(struct many *m)
{
    build_log_make(&m->log);
    build_many(&m->log, m->segs, N, SEALED, EACH);
}

static void many_remove(struct many *m)
{
    close_many(m->segs, N);
    build_log_remove(&m->log);
}

static void all_places(uint32_t flags)
{
    static const uint64_t seqs[] = {0,    1,    399,  400,  401,  799,  800,  1234, 1599,
                                    1600, 1601, 1999, 2000, 2001, 2222, 2398, 2399};
    struct many m;
    struct seglog_reader *reader;

    many_make(&m);
    reader = reader_on(&m.log, flags);
    for (size_t i = 0; i < sizeof(seqs) / sizeof(*seqs); i++) {
        const uint64_t seq = seqs[i];

        seek_to(reader, SEGLOG_PLACE_SEQ, seq);
        expect_position(reader, seq, 0);
        expect_next(reader, seq);
        expect_prev(reader, seq);
        if (seq > 0)
            expect_prev(reader, seq - 1);
        seek_to(reader, SEGLOG_PLACE_TIME, seq);
        expect_next(reader, seq);
        seek_to(reader, SEGLOG_PLACE_BACK, N * EACH - seq);
        expect_next(reader, seq);
    }
    seek_to(reader, SEGLOG_PLACE_LAST, 0);
    expect_next(reader, N * EACH - 1);
    expect_end(reader);
    seek_to(reader, SEGLOG_PLACE_END, 0);
    expect_end(reader);
    expect_prev(reader, N * EACH - 1);
    seek_to(reader, SEGLOG_PLACE_SEQ, N * EACH);
    expect_end(reader);
    seek_to(reader, SEGLOG_PLACE_TIME, N * EACH);
    expect_end(reader);
    seek_to(reader, SEGLOG_PLACE_BACK, 0);
    expect_end(reader);
    seek_to(reader, SEGLOG_PLACE_BACK, UINT64_MAX);
    expect_next(reader, 0);
    seek_to(reader, SEGLOG_PLACE_FIRST, 0);
    expect_all(reader, 0, N * EACH);
    seglog_reader_release(reader);
    expect_all_back(reader, N * EACH, 0);
    seglog_reader_close(reader);
    many_remove(&m);
}

Test(seek, every_place_is_found_from_everywhere)
{
    all_places(0);
    all_places(SEGLOG_READER_NO_VERIFY);
    all_places(SEGLOG_READER_COPY);
}

Test(seek, nothing_is_before_the_first_record)
{
    struct many m;
    struct seglog_reader *reader;
    struct seglog_view view;

    many_make(&m);
    reader = reader_on(&m.log, 0);
    cr_assert_status(seglog_reader_prev(reader, &view), -ENODATA);
    expect_next(reader, 0);
    expect_prev(reader, 0);
    cr_assert_status(seglog_reader_prev(reader, &view), -ENODATA);
    cr_assert_status(seglog_reader_prev(reader, &view), -ENODATA);
    expect_next(reader, 0);
    seglog_reader_close(reader);
    many_remove(&m);
}

Test(seek, every_place_in_an_empty_log_is_its_end)
{
    for (int with_segment = 0; with_segment < 2; with_segment++) {
        struct build_log log;
        struct build_segment seg;
        struct seglog_reader *reader;
        struct seglog_view view;
        uint64_t first, end;

        build_log_make(&log);
        if (with_segment)
            build_begin(&log, NULL, &seg);
        reader = reader_on(&log, 0);
        for (uint32_t kind = SEGLOG_PLACE_FIRST; kind <= SEGLOG_PLACE_TIME; kind++) {
            seek_to(reader, kind, 0);
            expect_position(reader, 0, 0);
            expect_end(reader);
            cr_assert_status(seglog_reader_prev(reader, &view), -ENODATA);
        }
        cr_assert_ok(seglog_reader_bounds(reader, &first, &end));
        cr_assert(first == 0 && end == 0);
        seglog_reader_close(reader);
        if (with_segment)
            build_close(&seg);
        build_log_remove(&log);
    }
}

Test(seek, a_number_not_reached_leaves_the_reader_where_it_is)
{
    struct many m;
    struct seglog_reader *reader;
    const struct seglog_place beyond = {.kind = SEGLOG_PLACE_SEQ, .value = N * EACH + 1};
    const struct seglog_place far = {.kind = SEGLOG_PLACE_SEQ, .value = UINT64_MAX};
    const struct seglog_place unknown = {.kind = 17};
    const struct seglog_reader_options options = {.from = beyond};
    struct seglog_reader *other;

    many_make(&m);
    reader = reader_on(&m.log, 0);
    expect_all(reader, 0, 500);
    cr_assert_status(seglog_reader_seek(reader, &beyond), -ERANGE);
    cr_assert_status(seglog_reader_seek(reader, &far), -ERANGE);
    cr_assert_status(seglog_reader_seek(reader, &unknown), -EINVAL);
    expect_position(reader, 500, 0);
    expect_all(reader, 500, N * EACH);
    cr_assert_status(seglog_reader_open(m.log.dir, &options, &other), -ERANGE);
    seglog_reader_close(reader);
    many_remove(&m);
}

Test(seek, a_void_number_is_the_next_record)
{
    struct build_log log;
    struct build_segment seg;
    struct seglog_reader *reader;

    build_log_make(&log);
    build_begin(&log, NULL, &seg);
    build_records(&seg, 3);
    build_abort(&seg, 4, 128);
    build_records(&seg, 2);
    reader = reader_on(&log, 0);
    for (uint64_t seq = 3; seq < 8; seq++) {
        seek_to(reader, SEGLOG_PLACE_SEQ, seq);
        expect_next(reader, 7);
    }
    expect_next(reader, 8);
    expect_all_back(reader, 9, 7);
    expect_all_back(reader, 3, 0);
    seek_to(reader, SEGLOG_PLACE_BACK, 3); /* records are counted, not numbers */
    expect_next(reader, 2);
    seglog_reader_close(reader);
    build_close(&seg);
    build_log_remove(&log);
}

Test(seek, a_time_is_found_though_clocks_are_not_in_order)
{
    static const uint64_t times[] = {10, 50, 20, 30, 60, 55, 40, 90, 70, 100};
    struct build_log log;
    struct build_segment segs[5];
    struct seglog_reader *reader;

    build_log_make(&log);
    for (unsigned i = 0; i < 5; i++) {
        build_begin(&log, i > 0 ? &segs[i - 1] : NULL, &segs[i]);
        build_record(&segs[i], "x", times[2 * i], 0);
        build_record(&segs[i], "y", times[2 * i + 1], 0);
        if (i < 4) {
            build_roll(&segs[i]);
            build_seal(&segs[i], i > 0 ? &segs[i - 1] : NULL);
        }
    }
    reader = reader_on(&log, 0);
    for (uint64_t time = 0; time <= 100; time++) {
        struct seglog_view view;
        uint64_t want = 0;

        while (times[want] < time)
            want++;
        seek_to(reader, SEGLOG_PLACE_TIME, time);
        cr_assert_ok(seglog_reader_next(reader, &view));
        cr_assert_eq(view.seq, want);
    }
    seek_to(reader, SEGLOG_PLACE_TIME, 101);
    expect_end(reader);
    seglog_reader_close(reader);
    close_many(segs, 5);
    build_log_remove(&log);
}

Test(seek, times_of_trimmed_segments_do_not_mislead)
{
    struct build_log log;
    struct build_segment segs[4];
    struct seglog_reader *reader;
    struct seglog_view view;

    build_log_make(&log);
    for (unsigned i = 0; i < 4; i++) {
        build_begin(&log, i > 0 ? &segs[i - 1] : NULL, &segs[i]);
        build_record(&segs[i], "x", i == 0 ? 1000 : i, 0);
        build_roll(&segs[i]);
        build_seal(&segs[i], i > 0 ? &segs[i - 1] : NULL);
    }
    build_log_floor(&log, 1, 1);
    build_log_unlink(&log, 0);
    reader = reader_on(&log, 0);
    seek_to(reader, SEGLOG_PLACE_TIME, 3);
    cr_assert_ok(seglog_reader_next(reader, &view));
    cr_assert_eq(view.seq, 3);
    seek_to(reader, SEGLOG_PLACE_TIME, 4);
    expect_end(reader);
    seglog_reader_close(reader);
    close_many(segs, 4);
    build_log_remove(&log);
}

Test(seek, with_a_tag_only_its_records_count)
{
    struct many m;
    const struct seglog_reader_options options = {
        .flags = SEGLOG_READER_TAG, .tag = 3, .from = {.kind = SEGLOG_PLACE_LAST}};
    const struct seglog_reader_options none = {
        .flags = SEGLOG_READER_TAG, .tag = 33, .from = {.kind = SEGLOG_PLACE_END}};
    struct seglog_reader *reader;
    struct seglog_view view;

    many_make(&m);
    cr_assert_ok(seglog_reader_open(m.log.dir, &options, &reader));
    expect_next(reader, N * EACH - 7);
    seek_to(reader, SEGLOG_PLACE_BACK, 60);
    expect_next(reader, N * EACH - 597);
    expect_prev(reader, N * EACH - 597);
    expect_prev(reader, N * EACH - 607);
    seglog_reader_close(reader);
    cr_assert_ok(seglog_reader_open(m.log.dir, &none, &reader));
    cr_assert_status(seglog_reader_prev(reader, &view), -ENODATA);
    seek_to(reader, SEGLOG_PLACE_LAST, 0);
    cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
    seglog_reader_close(reader);
    many_remove(&m);
}

Test(seek, a_number_of_an_epoch_that_was_cut_is_told)
{
    struct build_log log;
    struct build_segment segs[4];
    struct seglog_reader *reader;
    struct seglog_place place = {
        .kind = SEGLOG_PLACE_SEQ, .check_epoch = 1, .value = 15, .epoch = 1};

    build_log_make(&log);
    build_begin(&log, NULL, &segs[0]);
    build_records(&segs[0], 5);
    build_cut(&segs[0], NULL);
    build_begin(&log, &segs[0], &segs[1]); /* epoch 1 from number 5 */
    build_records(&segs[1], 5);
    build_cut(&segs[1], &segs[0]);
    build_begin(&log, &segs[1], &segs[2]); /* epoch 2 from number 10 */
    build_records(&segs[2], 10);
    build_roll(&segs[2]);
    build_begin(&log, &segs[2], &segs[3]);
    build_records(&segs[3], 10);
    reader = reader_on(&log, 0);
    cr_assert_status(seglog_reader_seek(reader, &place), SEGLOG_EREWOUND);
    place.value = 11;
    cr_assert_status(seglog_reader_seek(reader, &place), SEGLOG_EREWOUND);
    place.value = 10; /* all that was read is still there */
    cr_assert_ok(seglog_reader_seek(reader, &place));
    expect_next(reader, 10);
    expect_position(reader, 11, 2);
    place = (struct seglog_place){.kind = SEGLOG_PLACE_SEQ, .check_epoch = 1, .value = 6};
    cr_assert_status(seglog_reader_seek(reader, &place),
                     SEGLOG_EREWOUND); /* the first epoch is 0 */
    place.value = 25;
    place.epoch = 2;
    cr_assert_ok(seglog_reader_seek(reader, &place));
    expect_next(reader, 25);
    place = (struct seglog_place){.kind = SEGLOG_PLACE_SEQ, .value = 25};
    cr_assert_ok(seglog_reader_seek(reader, &place));
    seglog_reader_close(reader);
    close_many(segs, 4);
    build_log_remove(&log);
}

Test(seek, bounds_are_the_first_number_and_the_one_after_the_last)
{
    struct many m;
    struct seglog_reader *reader;
    uint64_t first, end;

    many_make(&m);
    reader = reader_on(&m.log, 0);
    expect_all(reader, 0, 3);
    cr_assert_ok(seglog_reader_bounds(reader, &first, &end));
    cr_assert_eq(first, 0);
    cr_assert_eq(end, N * EACH);
    build_records(&m.segs[N - 1], 1);
    cr_assert_ok(seglog_reader_bounds(reader, NULL, &end));
    cr_assert_eq(end, N * EACH + 1);
    cr_assert_ok(seglog_reader_bounds(reader, NULL, NULL));
    expect_all(reader, 3, N * EACH + 1);
    seglog_reader_close(reader);
    many_remove(&m);
}

/* Forward and backward by turns, over strides and segments, against what must come. */
static void zigzag(uint32_t flags)
{
    struct many m;
    struct seglog_reader *reader;
    uint64_t state = 88172645463325252u, at = 0;

    many_make(&m);
    reader = reader_on(&m.log, flags);
    for (int i = 0; i < 300; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        for (uint64_t steps = state >> 32 & 127; steps > 0; steps--) {
            if (state & 1 && at < N * EACH)
                expect_next(reader, at++);
            if (!(state & 1) && at > 0)
                expect_prev(reader, --at);
        }
        if ((state >> 20) % 8 == 0)
            seglog_reader_release(reader);
        if ((state >> 40) % 8 == 0) {
            at = state >> 8 & 2047;
            seek_to(reader, SEGLOG_PLACE_SEQ, at);
        }
    }
    seglog_reader_close(reader);
    many_remove(&m);
}

Test(seek, forward_and_backward_agree)
{
    zigzag(0);
    zigzag(SEGLOG_READER_COPY);
}

Test(seek, backward_goes_over_many_strides_of_a_large_segment)
{
    struct build_log log;
    struct build_segment seg;
    struct seglog_reader *reader;
    char big[3000];
    unsigned n = 0;

    build_log_make(&log);
    log.settings.segment_size = 1 << 20;
    build_begin(&log, NULL, &seg);
    memset(big, 'b', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    while (build_has_room(&seg, sizeof(big))) {
        build_record(&seg, big, n, n);
        if (n % 50 == 0)
            build_abort(&seg, 1, 100 * 1024 / 32 * 32);
        n++;
        if (!build_has_room(&seg, 100 * 1024 + sizeof(big)))
            break;
    }
    for (int sealed = 0; sealed < 2; sealed++) {
        if (sealed) {
            build_roll(&seg);
            build_seal(&seg, NULL);
        }
        reader = reader_from(&log, 0, (struct seglog_place){.kind = SEGLOG_PLACE_END});
        for (unsigned i = n; i-- > 0;) {
            struct seglog_view view;

            cr_assert_ok(seglog_reader_prev(reader, &view));
            cr_assert_eq(view.tag, i);
            cr_assert_eq(view.len, sizeof(big) - 1);
        }
        seglog_reader_close(reader);
    }
    build_close(&seg);
    build_log_remove(&log);
}

/* ---- the index ------------------------------------------------------------------------------ */

/* One segment of 1 MiB, that is of 15 strides, not sealed. */
static void wide_make(struct build_log *log, struct build_segment *seg)
{
    build_log_make(log);
    log->settings.segment_size = UINT64_C(1) << 20;
    build_begin(log, NULL, seg);
}

/* Times run backward within each hundred, so that only the largest so far is in order. */
static uint64_t jagged(uint64_t seq)
{
    return 1000 * (seq / 100 + 1) - seq % 100;
}

Test(seek, in_a_segment_that_still_grows_by_number_and_by_jagged_time)
{
    struct build_log log;
    struct build_segment seg;
    struct seglog_reader *reader;
    struct seglog_view view;

    wide_make(&log, &seg);
    build_log_live(&log);
    reader = reader_on(&log, 0);
    for (uint64_t seq = 0; seq < 12000; seq++) {
        char text[32];

        snprintf(text, sizeof(text), "%llu", (unsigned long long)seq);
        build_record(&seg, text, jagged(seq), 0);
        if (seq % 997 != 0)
            continue;
        /* The index in memory follows the segment. */
        for (uint64_t back = 0; back <= seq; back += 331) {
            seek_to(reader, SEGLOG_PLACE_SEQ, seq - back);
            cr_assert_ok(seglog_reader_next(reader, &view));
            cr_assert_eq(view.seq, seq - back);
            /* The first of its hundred has the largest time of all up to it. */
            seek_to(reader, SEGLOG_PLACE_TIME, jagged(seq - back));
            cr_assert_ok(seglog_reader_next(reader, &view));
            cr_assert_eq(view.seq, (seq - back) / 100 * 100);
        }
        seglog_reader_release(reader);
    }
    seglog_reader_close(reader);
    build_close(&seg);
    build_log_remove(&log);
}

Test(seek, a_damaged_index_is_gathered_anew_with_its_times)
{
    struct build_log log;
    struct build_segment segs[2];
    struct seglog_reader *reader;

    wide_make(&log, &segs[0]);
    build_records(&segs[0], 12000);
    build_roll(&segs[0]);
    build_seal(&segs[0], NULL);
    build_begin(&log, &segs[0], &segs[1]);
    build_records(&segs[1], 10);
    build_damage(&segs[0], segs[0].footer.index_off + 40);
    reader = reader_on(&log, 0);
    for (uint64_t seq = 1; seq < 12000; seq += 1117) {
        seek_to(reader, SEGLOG_PLACE_TIME, seq);
        expect_next(reader, seq);
        seek_to(reader, SEGLOG_PLACE_SEQ, seq);
        expect_next(reader, seq);
        expect_prev(reader, seq);
    }
    seglog_reader_close(reader);
    close_many(segs, 2);
    build_log_remove(&log);
}

Test(seek, what_comes_after_the_first_seek_is_found_by_the_next)
{
    struct many m;
    struct build_segment more[3];
    struct seglog_reader *reader;

    many_make(&m);
    reader = reader_on(&m.log, 0);
    seek_to(reader, SEGLOG_PLACE_SEQ, 100);
    build_roll(&m.segs[N - 1]);
    build_seal(&m.segs[N - 2], &m.segs[N - 3]);
    build_seal(&m.segs[N - 1], &m.segs[N - 2]);
    for (unsigned i = 0; i < 3; i++) {
        build_begin(&m.log, i > 0 ? &more[i - 1] : &m.segs[N - 1], &more[i]);
        build_records(&more[i], EACH);
        build_roll(&more[i]);
        build_seal(&more[i], i > 0 ? &more[i - 1] : &m.segs[N - 1]);
        seek_to(reader, SEGLOG_PLACE_TIME, (N + i) * EACH + 7);
        expect_next(reader, (N + i) * EACH + 7);
    }
    seek_to(reader, SEGLOG_PLACE_SEQ, (N + 2) * EACH + 5);
    expect_next(reader, (N + 2) * EACH + 5);
    build_log_floor(&m.log, 2, 2 * EACH);
    cr_assert_status(seglog_reader_seek(reader, &(struct seglog_place){.kind = SEGLOG_PLACE_SEQ,
                                                                       .value = 2 * EACH - 1}),
                     SEGLOG_ETRIMMED);
    seek_to(reader, SEGLOG_PLACE_TIME, 5);
    expect_next(reader, 2 * EACH);
    seglog_reader_close(reader);
    close_many(more, 3);
    many_remove(&m);
}
