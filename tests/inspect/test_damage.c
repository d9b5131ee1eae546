/*
 * Verify on damaged logs: each damage found, each told once, each range exact.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inspect/collect.h"
#include "support/build_log.h"
#include "support/check.h"
#include "support/tmpdir.h"

#define N 3

static struct build_log log_;
static struct build_segment seg[N];
static uint64_t offset[N * 10]; /* of each record's frame */

/* Three segments of 10 records of 64 bytes; the first two sealed. Same boot. */
static void build(void)
{
    build_log_make(&log_);
    for (unsigned i = 0; i < N; i++) {
        build_begin(&log_, i ? &seg[i - 1] : NULL, &seg[i]);
        for (unsigned k = 0; k < 10; k++)
            offset[10 * i + k] = build_record(&seg[i], "some 20 bytes of text", 10 * i + k, k);
        if (i + 1 < N) {
            build_roll(&seg[i]);
            build_seal(&seg[i], i ? &seg[i - 1] : NULL);
        }
    }
}

static void drop(void)
{
    for (unsigned i = 0; i < N; i++)
        build_close(&seg[i]);
    build_log_remove(&log_);
}

TestSuite(damage, .init = build, .fini = drop);

Test(damage, a_payload_costs_one_record)
{
    build_damage(&seg[0], offset[4] + 40);
    expect_one(log_.dir, 0, offset[4], 4, 4, SEGLOG_ECORRUPT);
    cr_assert_eq(collect(log_.dir, 0).report.records, 29);
}

Test(damage, a_header_costs_one_record)
{
    build_damage(&seg[1], offset[15] + 20);
    expect_one(log_.dir, 1, offset[15], 15, 15, SEGLOG_ECORRUPT);
}

Test(damage, a_first_word_costs_one_record)
{
    build_damage(&seg[1], offset[15] + 2);
    expect_one(log_.dir, 1, offset[15], 15, 15, SEGLOG_ECORRUPT);
}

Test(damage, zeros_cost_what_they_cover)
{
    memset(seg[1].seg->base + offset[13], 0, 5 * 64);
    expect_one(log_.dir, 1, offset[13], 13, 17, SEGLOG_ECORRUPT);
}

Test(damage, the_last_record_of_a_sealed_segment)
{
    build_damage(&seg[0], offset[9] + 17);
    expect_one(log_.dir, 0, offset[9], 9, 9, SEGLOG_ECORRUPT);
    cr_assert_eq(collect(log_.dir, 0).report.records, 29);
}

Test(damage, the_first_record)
{
    build_damage(&seg[0], offset[0]);
    expect_one(log_.dir, 0, offset[0], 0, 0, SEGLOG_ECORRUPT);
}

Test(damage, void_numbers_behind_it_are_not_lost)
{
    struct build_segment more;
    uint64_t at;

    build_log_live(&log_);
    build_roll(&seg[2]);
    build_seal(&seg[2], &seg[1]);
    build_begin(&log_, &seg[2], &more);
    at = build_record(&more, "data", 1, 1);
    build_abort(&more, 3, 96);
    build_record(&more, "data", 1, 1);
    build_damage(&more, at + 12);
    expect_one(log_.dir, 3, at, 30, 30, SEGLOG_ECORRUPT);
    cr_assert_eq(collect(log_.dir, 0).report.void_count, 3);
    build_close(&more);
}

Test(damage, a_roll_costs_nothing)
{
    build_damage(&seg[0], seg[0].at + 3);
    expect_one(log_.dir, 0, seg[0].at, LOSES_NOTHING, SEGLOG_ECORRUPT);
}

Test(damage, each_place_is_told)
{
    struct collected c;

    build_log_live(&log_);
    build_damage(&seg[0], offset[2] + 20);
    build_damage(&seg[0], offset[5] + 40);
    build_damage(&seg[1], offset[11] + 5);
    build_damage(&seg[2], offset[27] + 33);
    c = collect(log_.dir, 0);
    cr_assert_status(c.rc, 1);
    cr_assert_eq(c.count, 4);
    cr_assert_eq(c.damage[0].first_seq, 2);
    cr_assert_eq(c.damage[1].first_seq, 5);
    cr_assert_eq(c.damage[2].first_seq, 11);
    cr_assert_eq(c.damage[3].first_seq, 27);
    cr_assert_eq(c.report.records, 26);
}

Test(damage, a_claim_in_a_sealed_segment)
{
    const uint64_t word = word_claimed(3, 3, 1, 64);

    word_store(&segment_frame(seg[0].seg, offset[3])->word, word, memory_order_relaxed);
    expect_one(log_.dir, 0, offset[3], 3, 3, SEGLOG_ECORRUPT);
}

/* Every checksum checks out, and yet it is not what was sealed. */
Test(damage, a_frame_exchanged_for_a_good_one)
{
    seg[0].at = offset[3];
    seg[0].seq_rel = 3;
    build_record(&seg[0], "some XX bytes of text", 3, 3);
    expect_one(log_.dir, 0, seg[0].seg->facts.shape.footer_off, LOSES_NOTHING, SEGLOG_ECORRUPT);
    cr_assert_eq(collect(log_.dir, 0).report.records, 30);
}

Test(damage, in_the_active_segment_of_this_boot)
{
    build_log_live(&log_);
    build_damage(&seg[2], offset[24] + 40);
    expect_one(log_.dir, 2, offset[24], 24, 24, SEGLOG_ECORRUPT);
    cr_assert_eq(collect(log_.dir, 0).report.torn_tail, 0);
}

Test(damage, zeros_in_the_active_segment_of_this_boot)
{
    build_log_live(&log_);
    memset(seg[2].seg->base + offset[24], 0, 3 * 64);
    expect_one(log_.dir, 2, offset[24], 24, 26, SEGLOG_ECORRUPT);
}

Test(damage, the_end_of_the_active_segment)
{
    build_log_live(&log_);
    word_store(&segment_tail(seg[2].seg)->tail, tail_word(10, seg[2].at), memory_order_relaxed);
    build_damage(&seg[2], offset[29] + 16);
    expect_one(log_.dir, 2, offset[29], 29, 29, SEGLOG_ECORRUPT);
}

Test(damage, below_the_mark_after_a_reboot)
{
    struct build_segment more;
    struct build_log *log = &log_;
    uint64_t at, end;
    struct collected c;

    /* Roll over to a segment of another boot. */
    build_roll(&seg[2]);
    build_seal(&seg[2], &seg[1]);
    build_log_reboot(log);
    build_begin(log, &seg[2], &more);
    build_records(&more, 2);
    at = more.at;
    build_records(&more, 3);
    build_mark(&more);
    build_records(&more, 1);
    end = more.at;
    build_records(&more, 2);
    build_damage(&more, at + 20);
    build_damage(&more, end + 20);
    expect_one(log->dir, 3, at, 32, 32, SEGLOG_ECORRUPT);
    c = collect(log->dir, 0);
    cr_assert_eq(c.report.torn_tail, 1);
    cr_assert_eq(c.report.torn_offset, end);
    build_close(&more);
}

Test(damage, a_header_page_costs_the_segment)
{
    build_damage(&seg[1], 60);
    expect_one(log_.dir, 1, 0, 10, 19, SEGLOG_ECORRUPT);
    cr_assert_eq(collect(log_.dir, 0).report.records, 20);
}

Test(damage, the_header_page_of_the_last_segment)
{
    build_log_live(&log_);
    build_damage(&seg[2], 60);
    expect_one(log_.dir, 2, 0, 20, 29, SEGLOG_ECORRUPT);
}

Test(damage, a_missing_segment)
{
    build_log_unlink(&log_, 1);
    expect_one(log_.dir, 1, 0, 10, 19, SEGLOG_EMISSING);
}

Test(damage, the_first_segment_missing)
{
    build_log_unlink(&log_, 0);
    expect_one(log_.dir, 0, 0, 0, 9, SEGLOG_EMISSING);
}

Test(damage, two_segments_missing)
{
    build_log_unlink(&log_, 0);
    build_log_unlink(&log_, 1);
    expect_one(log_.dir, 0, 0, 0, 19, SEGLOG_EMISSING);
}

Test(damage, the_active_segment_missing)
{
    build_log_live(&log_);
    build_log_unlink(&log_, 2);
    expect_one(log_.dir, 2, 0, LOSES_NOTHING, SEGLOG_EMISSING);
}

Test(damage, a_truncated_segment)
{
    char *path = tmpdir_path(log_.dir, "0000000000000001.seg");

    cr_assert_eq(truncate(path, 30000), 0);
    free(path);
    expect_one(log_.dir, 1, 0, 10, 19, SEGLOG_ECORRUPT);
}

Test(damage, a_footer)
{
    build_damage(&seg[0], seg[0].seg->facts.shape.footer_off + 100);
    expect_one(log_.dir, 0, seg[0].seg->facts.shape.footer_off, LOSES_NOTHING, SEGLOG_ECORRUPT);
    cr_assert_eq(collect(log_.dir, 0).report.records, 30);
}

Test(damage, a_footer_wiped_out)
{
    memset(seg[0].seg->base + seg[0].seg->facts.shape.footer_off, 0, PAGE_BYTES);
    expect_one(log_.dir, 0, seg[0].seg->facts.shape.footer_off, LOSES_NOTHING, SEGLOG_ECORRUPT);
}

Test(damage, the_newest_footer)
{
    build_damage(&seg[1], seg[1].seg->facts.shape.footer_off + 100);
    expect_one(log_.dir, 1, seg[1].seg->facts.shape.footer_off, LOSES_NOTHING, SEGLOG_ECORRUPT);
}

Test(damage, an_index)
{
    build_damage(&seg[1], seg[1].footer.index_off + 4);
    expect_one(log_.dir, 1, seg[1].footer.index_off, LOSES_NOTHING, SEGLOG_ECORRUPT);
}

Test(damage, an_activation_block)
{
    build_damage(&seg[1], OFF_ACTIVATION + 2);
    expect_one(log_.dir, 1, OFF_ACTIVATION, LOSES_NOTHING, SEGLOG_ECORRUPT);
    build_damage(&seg[1], OFF_ACTIVATION + 2);
    build_damage(&seg[2], OFF_ACTIVATION + 2);
    expect_one(log_.dir, 2, OFF_ACTIVATION, LOSES_NOTHING, SEGLOG_ECORRUPT);
}

Test(damage, the_chain_of_seals)
{
    struct build_segment stranger = {0};

    memset(stranger.footer.seal_hash, 1, 16);
    build_seal(&seg[1], &stranger);
    expect_one(log_.dir, 1, seg[1].seg->facts.shape.footer_off, LOSES_NOTHING, SEGLOG_ECORRUPT);
}

Test(damage, numbers_missing_between_segments)
{
    build_activate(&seg[2], 25, 0, seg[1].seg->facts.generation);
    build_mark(&seg[2]);
    expect_one(log_.dir, 2, OFF_ACTIVATION, 20, 24, SEGLOG_ECORRUPT);
}

Test(damage, numbers_used_twice)
{
    build_activate(&seg[2], 15, 0, seg[1].seg->facts.generation);
    build_mark(&seg[2]);
    expect_one(log_.dir, 2, OFF_ACTIVATION, LOSES_NOTHING, SEGLOG_ECORRUPT);
}

Test(damage, a_segment_of_another_history)
{
    build_activate(&seg[2], 20, 0, 77);
    build_mark(&seg[2]);
    expect_one(log_.dir, 2, OFF_ACTIVATION, LOSES_NOTHING, SEGLOG_ECORRUPT);
}

Test(damage, a_segment_under_anothers_name)
{
    char *from = tmpdir_path(log_.dir, "0000000000000000.seg");
    char *to = tmpdir_path(log_.dir, "0000000000000001.seg");

    cr_assert_eq(rename(from, to), 0);
    free(from);
    free(to);
    cr_assert_eq(collect(log_.dir, 0).rc, 1);
    cr_assert_eq(collect(log_.dir, 0).count, 2);
}

Test(damage, both_floor_slots)
{
    char *path = tmpdir_path(log_.dir, NAME_FLOOR);
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file);
    for (int i = 0; i < 8192; i++)
        fputc('x', file);
    fclose(file);
    free(path);
    expect_one(log_.dir, 0, 0, LOSES_NOTHING, SEGLOG_ECORRUPT);
    cr_assert_eq(collect(log_.dir, 0).report.records, 30);
}

Test(damage, sealed_around)
{
    struct build_segment more;

    build_damage(&seg[2], offset[24] + 20);
    build_roll(&seg[2]);
    seg[2].at = seg[2].seg->facts.space.frames_end;
    build_seal_damaged(&seg[2], &seg[1]);
    build_begin(&log_, &seg[2], &more);
    build_records(&more, 1);
    expect_one(log_.dir, 2, offset[24], 24, 24, SEGLOG_ECORRUPT);
    cr_assert_eq(collect(log_.dir, 0).report.records, 30);
    build_close(&more);
}

Test(damage, sealed_before_it)
{
    struct build_segment more;

    build_damage(&seg[2], offset[29] + 16);
    seg[2].at = offset[29];
    build_seal_damaged(&seg[2], &seg[1]);
    build_begin(&log_, &seg[2], &more);
    build_records(&more, 1);
    expect_one(log_.dir, 2, offset[29], 29, 29, SEGLOG_ECORRUPT);
    build_close(&more);
}

/* A torn seal whose footer is lost: what lies beyond the cut does not come back. */
Test(damage, the_footer_of_a_cut)
{
    struct build_segment more;

    seg[2].at = offset[26];
    seg[2].seq_rel = 6;
    build_cut(&seg[2], &seg[1]);
    build_begin(&log_, &seg[2], &more);
    build_records(&more, 2);
    build_damage(&seg[2], seg[2].seg->facts.shape.footer_off + 50);
    expect_one(log_.dir, 2, seg[2].seg->facts.shape.footer_off, LOSES_NOTHING, SEGLOG_ECORRUPT);
    cr_assert_eq(collect(log_.dir, 0).report.records, 28);
    build_close(&more);
}

/* ---- media that fail ------------------------------------------------------------------------ */

static uint64_t bad_from, bad_to; /* offsets of which reads fail, in every file */

/* In the place of the C library's. */
ssize_t pread(int fd, void *buf, size_t n, off_t at)
{
    if ((uint64_t)at < bad_to && (uint64_t)at + n > bad_from) {
        errno = EIO;
        return -1;
    }
    return (ssize_t)syscall(SYS_pread64, fd, buf, n, at);
}

Test(damage, a_medium_that_fails)
{
    struct collected c;
    const uint64_t page = align_up(seg[0].at, PAGE_BYTES);
    struct build_segment big;

    /* Some pages of records. */
    build_roll(&seg[2]);
    build_seal(&seg[2], &seg[1]);
    build_begin(&log_, &seg[2], &big);
    build_records(&big, 300);
    bad_from = page;
    bad_to = page + PAGE_BYTES;
    c = collect(log_.dir, 0);
    bad_from = bad_to = 0;
    cr_assert_status(c.rc, 1);
    cr_assert_eq(c.count, 1);
    cr_assert_eq(c.damage[0].segment, 3);
    cr_assert_eq(c.damage[0].status, -EIO);
    cr_assert_eq(c.damage[0].offset, page);
    cr_assert_eq(c.damage[0].first_seq, 30 + (page - OFF_FRAMES) / 64);
    cr_assert_eq(c.damage[0].last_seq, c.damage[0].first_seq + 63, "%llu to %llu: %s",
                 (unsigned long long)c.damage[0].first_seq,
                 (unsigned long long)c.damage[0].last_seq, c.damage[0].cause);
    cr_assert_eq(c.report.records, 330 - 64);
    build_close(&big);
}
