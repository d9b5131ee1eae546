/*
 * Damage: reported once with the exact numbers that are lost, and the rest is served.
 */
#include "reading.h"
#include "sys/clock.h"

#include <unistd.h>

/* One sealed segment of 100 records, one active behind it. at[i]: where record i lies. */
struct pair {
    struct build_log log;
    struct build_segment a, b;
    uint64_t at[100];
};

static void pair_make(struct pair *p, bool sealed)
{
    build_log_make(&p->log);
    build_log_live(&p->log);
    build_begin(&p->log, NULL, &p->a);
    for (int i = 0; i < 100; i++) {
        p->at[i] = p->a.at;
        build_records(&p->a, 1);
    }
    build_roll(&p->a);
    if (sealed)
        build_seal(&p->a, NULL);
    build_begin(&p->log, &p->a, &p->b);
    build_records(&p->b, 10);
}

static void pair_remove(struct pair *p)
{
    build_close(&p->a);
    build_close(&p->b);
    build_log_remove(&p->log);
}

static void one_is_lost(uint32_t flags, bool sealed, uint64_t byte)
{
    struct pair p;
    struct seglog_reader *reader;

    pair_make(&p, sealed);
    build_damage(&p.a, p.at[40] + byte);
    reader = reader_on(&p.log, flags);
    expect_all(reader, 0, 40);
    expect_damage(reader, SEGLOG_ECORRUPT, 0, 40, 40);
    expect_all(reader, 41, 110);
    expect_end(reader);
    expect_all_back(reader, 110, 41);
    expect_damage_back(reader, SEGLOG_ECORRUPT, 0, 40, 40);
    expect_all_back(reader, 40, 0);
    seglog_reader_close(reader);
    pair_remove(&p);
}

Test(damage, a_bad_word_header_or_payload_costs_one_record)
{
    static const uint64_t bytes[] = {0, 1, 2, 4, 7, 8, 12, 16, 24, 28, 32};

    for (size_t i = 0; i < sizeof(bytes) / sizeof(*bytes); i++) {
        one_is_lost(0, true, bytes[i]);
        one_is_lost(0, false, bytes[i]);
        one_is_lost(SEGLOG_READER_COPY, true, bytes[i]);
        one_is_lost(SEGLOG_READER_COPY | SEGLOG_READER_NO_VERIFY, false, bytes[i]);
    }
}

Test(damage, structure_is_checked_without_checksums)
{
    static const uint64_t bytes[] = {0, 1, 2, 7, 8};

    for (size_t i = 0; i < sizeof(bytes) / sizeof(*bytes); i++)
        one_is_lost(SEGLOG_READER_NO_VERIFY, true, bytes[i]);
}

Test(damage, an_overwritten_stretch_is_reported_as_one)
{
    for (int sealed = 0; sealed < 2; sealed++) {
        struct pair p;
        struct seglog_reader *reader;

        pair_make(&p, sealed);
        memset(p.a.seg->base + p.at[20], sealed ? 0 : 0xee, p.at[33] - p.at[20]);
        if (!sealed)
            build_mark(&p.a);
        reader = reader_on(&p.log, 0);
        expect_all(reader, 0, 20);
        expect_damage(reader, SEGLOG_ECORRUPT, 0, 20, 32);
        expect_all(reader, 33, 110);
        expect_end(reader);
        expect_all_back(reader, 110, 33);
        expect_damage_back(reader, SEGLOG_ECORRUPT, 0, 20, 32);
        expect_all_back(reader, 20, 0);
        seglog_reader_close(reader);
        pair_remove(&p);
    }
}

Test(damage, up_to_the_end_of_a_segment_the_next_one_tells_the_numbers)
{
    for (int sealed = 0; sealed < 2; sealed++) {
        struct pair p;
        struct seglog_reader *reader;

        pair_make(&p, sealed);
        memset(p.a.seg->base + p.at[90], 0xee, p.a.at + FRAME_ALIGN - p.at[90]);
        reader = reader_on(&p.log, 0);
        expect_all(reader, 0, 90);
        expect_damage(reader, SEGLOG_ECORRUPT, 0, 90, 99);
        expect_all(reader, 100, 110);
        expect_end(reader);
        expect_all_back(reader, 110, 100);
        expect_damage_back(reader, SEGLOG_ECORRUPT, 0, 90, 99);
        expect_all_back(reader, 90, 0);
        seglog_reader_close(reader);
        pair_remove(&p);
    }
}

Test(damage, durable_frames_that_are_zero_are_damage)
{
    struct build_log log;
    struct build_segment seg;
    struct seglog_reader *reader;
    uint64_t at;

    build_log_make(&log);
    build_log_reboot(&log);
    build_begin(&log, NULL, &seg);
    build_records(&seg, 10);
    at = seg.at;
    build_records(&seg, 5);
    build_mark(&seg);
    build_records(&seg, 5);
    memset(seg.seg->base + at, 0, 128);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 10);
    expect_damage(reader, SEGLOG_ECORRUPT, 0, 10, 11);
    expect_all(reader, 12, 20);
    expect_end(reader);
    seglog_reader_close(reader);
    build_close(&seg);
    build_log_remove(&log);
}

Test(damage, at_the_live_end_it_is_said_once_and_the_reader_goes_on_when_more_comes)
{
    struct build_log log;
    struct build_segment seg;
    struct seglog_reader *reader;
    uint64_t at;

    build_log_make(&log);
    build_log_live(&log);
    build_begin(&log, NULL, &seg);
    build_records(&seg, 3);
    at = seg.at;
    build_records(&seg, 2);
    memset(seg.seg->base + at, 0xee, 128);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 3);
    expect_damage(reader, SEGLOG_ECORRUPT, 0, 3, 3);
    expect_end(reader);
    cr_assert_status(seglog_reader_wait(reader, 50000000), -ETIMEDOUT);
    build_records(&seg, 2);
    cr_assert_ok(seglog_reader_wait(reader, PATIENCE_NS));
    expect_damage(reader, SEGLOG_ECORRUPT, 0, 4, 4); /* the rest of it is known now */
    expect_all(reader, 5, 7);
    expect_end(reader);
    seglog_reader_close(reader);
    build_close(&seg);
    build_log_remove(&log);
}

Test(damage, after_a_power_cut_the_first_bad_frame_ends_the_log)
{
    struct build_log log;
    struct build_segment seg, next;
    struct seglog_reader *reader;
    uint64_t at;

    build_log_make(&log);
    build_log_reboot(&log);
    build_begin(&log, NULL, &seg);
    build_records(&seg, 3);
    at = seg.at;
    build_records(&seg, 3);
    build_damage(&seg, at + FRAME_HEADER);
    build_roll(&seg);
    build_begin(&log, &seg, &next);
    build_records(&next, 3);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 3);
    expect_end(reader);
    seglog_reader_close(reader);
    reader = reader_on(&log, SEGLOG_READER_NO_VERIFY); /* the end is the same to all */
    expect_all(reader, 0, 3);
    expect_end(reader);
    seek_to(reader, SEGLOG_PLACE_LAST, 0);
    expect_next(reader, 2);
    seek_to(reader, SEGLOG_PLACE_END, 0);
    expect_position(reader, 3, 0);
    seglog_reader_close(reader);
    build_close(&seg);
    build_close(&next);
    build_log_remove(&log);
}

Test(damage, a_seal_around_damage_tells_how_many_numbers_are_gone)
{
    struct build_log log;
    struct build_segment a, b;
    struct seglog_reader *reader;
    uint64_t at;

    build_log_make(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 10);
    at = a.at;
    build_records(&a, 4);
    memset(a.seg->base + at, 0xee, a.at - at);
    a.seq_rel = 20; /* numbers that nobody finds any more */
    build_seal_damaged(&a, NULL);
    build_begin(&log, &a, &b);
    build_records(&b, 5);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 10);
    expect_damage(reader, SEGLOG_ECORRUPT, 0, 10, 19);
    expect_all(reader, 20, 25);
    expect_end(reader);
    expect_all_back(reader, 25, 20);
    expect_damage_back(reader, SEGLOG_ECORRUPT, 0, 10, 19);
    expect_all_back(reader, 10, 0);
    seglog_reader_close(reader);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(damage, a_bad_footer_costs_nothing)
{
    struct pair p;
    struct seglog_reader *reader;

    pair_make(&p, true);
    build_damage(&p.a, p.a.seg->facts.shape.footer_off + 100);
    build_damage(&p.a, p.a.seg->facts.shape.index_off);
    reader = reader_on(&p.log, 0);
    expect_all(reader, 0, 110);
    expect_end(reader);
    expect_all_back(reader, 110, 0);
    seek_to(reader, SEGLOG_PLACE_SEQ, 57);
    expect_next(reader, 57);
    seek_to(reader, SEGLOG_PLACE_TIME, 58);
    expect_next(reader, 58);
    seglog_reader_close(reader);
    pair_remove(&p);
}

Test(damage, a_bad_index_costs_nothing)
{
    struct pair p;
    struct seglog_reader *reader;

    pair_make(&p, true);
    build_damage(&p.a, p.a.seg->facts.shape.index_off);
    reader = reader_on(&p.log, 0);
    seek_to(reader, SEGLOG_PLACE_SEQ, 57);
    expect_next(reader, 57);
    seek_to(reader, SEGLOG_PLACE_TIME, 58);
    expect_next(reader, 58);
    expect_all_back(reader, 59, 0);
    seglog_reader_close(reader);
    pair_remove(&p);
}

Test(damage, a_bad_activation_block_costs_nothing)
{
    struct pair p;
    struct seglog_reader *reader;

    pair_make(&p, true);
    build_damage(&p.b, OFF_ACTIVATION);
    reader = reader_on(&p.log, 0);
    expect_all(reader, 0, 110);
    expect_all_back(reader, 110, 0);
    seglog_reader_close(reader);
    pair_remove(&p);
}

Test(damage, numbers_near_the_end_of_64_bits_are_refused)
{
    struct build_log log;
    struct build_segment a, b;
    struct seglog_reader *reader;
    struct seglog_view view;

    build_log_make(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 3);
    build_roll(&a);
    build_spare(&log, 1, &b);
    build_activate(&b, UINT64_MAX - 1, 0, a.seg->facts.generation);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 3);
    for (int i = 0; i < 4; i++)
        cr_assert_lt(seglog_reader_next(reader, &view), 0);
    expect_all_back(reader, 3, 0);
    seek_to(reader, SEGLOG_PLACE_END, 0);
    expect_position(reader, 3, 0);
    seek_to(reader, SEGLOG_PLACE_LAST, 0);
    expect_next(reader, 2);
    seek_to(reader, SEGLOG_PLACE_TIME, 5);
    seglog_reader_close(reader);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(damage, places_behind_damage_are_found)
{
    struct pair p;
    struct seglog_reader *reader;
    const struct seglog_place beyond = {.kind = SEGLOG_PLACE_SEQ, .value = 111};

    pair_make(&p, true);
    memset(p.a.seg->base + p.at[20], 0xee, p.at[33] - p.at[20]);
    reader = reader_on(&p.log, 0);
    seek_to(reader, SEGLOG_PLACE_SEQ, 50);
    expect_next(reader, 50);
    seek_to(reader, SEGLOG_PLACE_SEQ, 25); /* it is lost: next() tells */
    expect_damage(reader, SEGLOG_ECORRUPT, 0, 20, 32);
    expect_next(reader, 33);
    seek_to(reader, SEGLOG_PLACE_TIME, 25);
    expect_next(reader, 33);
    seek_to(reader, SEGLOG_PLACE_BACK, 200);
    expect_next(reader, 0);
    cr_assert_status(seglog_reader_seek(reader, &beyond), -ERANGE);
    seglog_reader_close(reader);
    pair_remove(&p);
}

Test(damage, a_medium_that_fails_is_never_the_end_of_the_log)
{
    struct pair p;
    struct seglog_reader *reader;
    struct seglog_view view;
    struct seglog_damage damage;
    int rc;
    uint64_t seq = 0;

    pair_make(&p, false);
    reader = reader_on(&p.log, SEGLOG_READER_COPY);
    cr_assert_status(seglog_reader_damage(reader, &damage), -ENODATA);
    cr_assert_eq(ftruncate(p.a.seg->fd, (off_t)p.at[40]), 0); /* as near as a test gets to it */
    while ((rc = seglog_reader_next(reader, &view)) == 0)
        expect_view(&view, seq++);
    cr_assert_eq(seq, 40);
    cr_assert_status(rc, -EIO);
    cr_assert_status(seglog_reader_next(reader, &view), -EIO);
    cr_assert_ok(seglog_reader_damage(reader, &damage));
    cr_assert_status(damage.status, -EIO);
    cr_assert_eq(damage.offset, p.at[40]);
    expect_position(reader, 40, 0);
    seglog_reader_close(reader);
    pair_remove(&p);
}

/* Any bytes at all: the reader ends, and shows nothing that was not appended. */
static void read_whatever(struct pair *p, uint32_t flags)
{
    struct seglog_reader *reader = reader_on(&p->log, flags);
    struct seglog_view view;
    uint64_t next = 0;
    int rc, damages = 0;

    while ((rc = seglog_reader_next(reader, &view)) != -EAGAIN && damages < 1000) {
        damages += rc < 0;
        if (rc < 0)
            continue;
        cr_assert_geq(view.seq, next);
        next = view.seq + 1;
        expect_view(&view, view.seq);
    }
    cr_assert_lt(damages, 1000, "the reader does not move on");
    for (damages = 0; (rc = seglog_reader_prev(reader, &view)) != -ENODATA && damages < 1000;) {
        damages += rc < 0;
        if (rc < 0)
            continue;
        cr_assert_lt(view.seq, next);
        next = view.seq;
        expect_view(&view, view.seq);
    }
    cr_assert_lt(damages, 1000, "the reader does not move back");
    seglog_reader_close(reader);
}

Test(damage, scribbled_segments_neither_hang_nor_lie)
{
    uint64_t state = 88172645463325252u;

    for (int round = 0; round < 150; round++) {
        struct pair p;

        pair_make(&p, round % 2);
        for (int i = 0; i < 1 + round % 20; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            const uint64_t offset = OFF_FRAMES + state % (p.a.at - OFF_FRAMES);
            if (state >> 60 < 4)
                memset(p.a.seg->base + offset, (int)(state >> 40 & 0xff), 40);
            else
                p.a.seg->base[offset] = (uint8_t)(state >> 40);
        }
        read_whatever(&p, 0);
        read_whatever(&p, SEGLOG_READER_COPY);
        pair_remove(&p);
    }
}

/* ---- what is no loss, and what is no claim ---------------------------------------------------- */

Test(damage, void_numbers_behind_a_bad_header_are_not_lost)
{
    static const uint32_t flags[] = {0, SEGLOG_READER_COPY};

    for (int sealed = 0; sealed < 2; sealed++) {
        for (size_t i = 0; i < 2; i++) {
            struct build_segment seg;
            struct build_log log;
            struct seglog_reader *reader;
            uint64_t at;

            build_log_make(&log);
            build_log_live(&log);
            build_begin(&log, NULL, &seg);
            build_records(&seg, 3);
            at = build_record(&seg, "3", 3, 3);
            build_abort(&seg, 4, 160);
            build_records(&seg, 2);
            if (sealed) {
                build_roll(&seg);
                build_seal(&seg, NULL);
            }
            build_damage(&seg, at + 12);
            reader = reader_on(&log, flags[i]);
            expect_all(reader, 0, 3);
            expect_damage(reader, SEGLOG_ECORRUPT, 0, 3, 3);
            expect_all(reader, 8, 10);
            expect_end(reader);
            seglog_reader_close(reader);
            build_close(&seg);
            build_log_remove(&log);
        }
    }
}

/* Whoever took `live` away took the proof along: a recovery would cut here, so the log ends here. */
Test(damage, without_live_a_bad_frame_is_the_end)
{
    struct build_segment seg;
    struct build_log log;
    struct seglog_reader *reader;
    uint64_t at;

    build_log_make(&log);
    build_begin(&log, NULL, &seg);
    build_records(&seg, 3);
    at = seg.at;
    build_records(&seg, 2);
    build_damage(&seg, at + 12);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 3);
    expect_end(reader);
    build_log_live(&log); /* as if it had never gone */
    clock_sleep_ns(20000000);
    expect_damage(reader, SEGLOG_ECORRUPT, 0, 3, 3);
    expect_next(reader, 4);
    seglog_reader_close(reader);
    build_close(&seg);
    build_log_remove(&log);
}

/* Below the durable mark nothing was open: a word that says so lies, whoever it names. */
Test(damage, a_claim_below_the_mark_is_none)
{
    struct build_segment seg;
    struct build_log log;
    struct seglog_reader *reader;
    uint64_t at;

    build_log_make(&log);
    build_log_live(&log);
    build_log_slot(&log, 3, 7);
    build_begin(&log, NULL, &seg);
    build_records(&seg, 3);
    at = build_claim(&seg, 3, 7, 1, 64);
    build_records(&seg, 3);
    build_mark(&seg);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 3);
    expect_damage(reader, SEGLOG_ECORRUPT, 0, 3, 3);
    expect_all(reader, 4, 7);
    cr_assert_eq(word_load(&segment_frame(seg.seg, at)->word, memory_order_relaxed),
                 word_claimed(3, 7, 1, 64), "the evidence is gone");
    seglog_reader_close(reader);
    build_close(&seg);
    build_log_remove(&log);
}
