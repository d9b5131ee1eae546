/*
 * Files that are missing, trimmed, unreadable, or not part of the log; and logs that were cut.
 */
#include "reading.h"

#include <fcntl.h>
#include <unistd.h>

#include "sys/owner.h"

Test(files, a_missing_segment_is_reported_with_its_numbers)
{
    struct build_log log;
    struct build_segment segs[4];
    struct seglog_reader *reader;

    build_log_make(&log);
    build_many(&log, segs, 4, 3, 10);
    build_log_unlink(&log, 1);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 10);
    expect_damage(reader, SEGLOG_EMISSING, 1, 10, 19);
    expect_all(reader, 20, 40);
    expect_end(reader);
    expect_all_back(reader, 40, 20);
    expect_damage_back(reader, SEGLOG_EMISSING, 1, 10, 19);
    expect_all_back(reader, 10, 0);
    seglog_reader_close(reader);
    close_many(segs, 4);
    build_log_remove(&log);
}

Test(files, a_segment_with_a_bad_header_is_reported_with_its_numbers)
{
    struct build_log log;
    struct build_segment segs[4];
    struct seglog_reader *reader;

    build_log_make(&log);
    build_many(&log, segs, 4, 3, 10);
    build_damage(&segs[1], 60);
    build_damage(&segs[2], 0);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 10);
    expect_damage(reader, SEGLOG_ECORRUPT, 1, 10, 29);
    expect_all(reader, 30, 40);
    expect_all_back(reader, 40, 30);
    expect_damage_back(reader, SEGLOG_ECORRUPT, 2, 10, 29);
    expect_all_back(reader, 10, 0);
    seglog_reader_close(reader);
    close_many(segs, 4);
    build_log_remove(&log);
}

Test(files, the_first_segment_may_be_the_one_that_is_missing)
{
    struct build_log log;
    struct build_segment segs[3];
    struct seglog_reader *reader;
    struct seglog_view view;

    build_log_make(&log);
    build_many(&log, segs, 3, 2, 10);
    build_log_unlink(&log, 0);
    reader = reader_on(&log, 0);
    expect_position(reader, 0, 0);
    expect_damage(reader, SEGLOG_EMISSING, 0, 0, 9);
    expect_all(reader, 10, 30);
    expect_all_back(reader, 30, 10);
    expect_damage_back(reader, SEGLOG_EMISSING, 0, 0, 9);
    cr_assert_status(seglog_reader_prev(reader, &view), -ENODATA);
    seglog_reader_close(reader);
    close_many(segs, 3);
    build_log_remove(&log);
}

Test(files, truncated_and_swapped_files_are_not_believed)
{
    struct build_log log;
    struct build_segment segs[5];
    struct seglog_reader *reader;

    build_log_make(&log);
    build_many(&log, segs, 5, 4, 10);
    cr_assert_eq(renameat(log.dirfd, "0000000000000001.seg", log.dirfd, "x"), 0);
    cr_assert_eq(renameat(log.dirfd, "0000000000000002.seg", log.dirfd, "0000000000000001.seg"), 0);
    cr_assert_eq(renameat(log.dirfd, "x", log.dirfd, "0000000000000002.seg"), 0);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 10);
    expect_damage(reader, SEGLOG_ECORRUPT, 1, 10, 29);
    expect_all(reader, 30, 50);
    seglog_reader_close(reader);
    cr_assert_eq(ftruncate(segs[3].seg->fd, 4096), 0);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 10);
    expect_damage(reader, SEGLOG_ECORRUPT, 1, 10, 39);
    expect_all(reader, 40, 50);
    seglog_reader_close(reader);
    close_many(segs, 5);
    build_log_remove(&log);
}

Test(files, names_with_huge_gaps_are_not_walked)
{
    struct build_log log;
    struct build_segment segs[2], last;
    struct seglog_reader *reader;

    build_log_make(&log);
    build_many(&log, segs, 2, 1, 10);
    build_roll(&segs[1]);
    build_spare(&log, UINT64_MAX, &last);
    build_activate(&last, 50, 0, 1);
    build_records(&last, 5);
    build_roll(&last);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 20);
    expect_damage(reader, SEGLOG_EMISSING, 2, 20, 49);
    expect_all(reader, 50, 55);
    expect_end(reader);
    expect_all_back(reader, 55, 50);
    expect_damage_back(reader, SEGLOG_EMISSING, UINT64_MAX - 1, 20, 49);
    expect_all_back(reader, 20, 0);
    seglog_reader_close(reader);
    close_many(segs, 2);
    build_close(&last);
    build_log_remove(&log);
}

Test(files, while_somebody_appends_the_next_segment_must_be_there)
{
    struct build_log log;
    struct build_segment seg;
    struct owner owner;
    struct seglog_reader *reader;

    build_log_make(&log);
    build_log_live(&log);
    build_begin(&log, NULL, &seg);
    build_records(&seg, 3);
    build_roll(&seg);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 3);
    expect_end(reader); /* nobody is attached: the end of the log */
    cr_assert_ok(owner_open(log.dirfd, NAME_OWNERS, &owner));
    cr_assert_ok(owner_lock(&owner, OWNERS_BYTE_ATTACH, false));
    seek_to(reader, SEGLOG_PLACE_SEQ, 3);
    expect_damage(reader, SEGLOG_EMISSING, 1, 3, 2);
    expect_end(reader);
    owner_close(&owner);
    seglog_reader_close(reader);
    build_close(&seg);
    build_log_remove(&log);
}

/* ---- trimmed -------------------------------------------------------------------------------- */

Test(files, a_reader_that_retention_overtook_is_told)
{
    struct build_log log;
    struct build_segment segs[4];
    struct seglog_reader *reader;
    struct seglog_view view;
    uint64_t first, end;

    build_log_make(&log);
    build_many(&log, segs, 4, 3, 10);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 5);
    build_log_floor(&log, 2, 20);
    build_log_unlink(&log, 0);
    build_log_unlink(&log, 1);
    expect_all(reader, 5, 10); /* what is mapped stays readable */
    cr_assert_status(seglog_reader_next(reader, &view), SEGLOG_ETRIMMED);
    cr_assert_status(seglog_reader_next(reader, &view), SEGLOG_ETRIMMED);
    expect_all_back(reader, 10, 0);
    cr_assert_status(seglog_reader_prev(reader, &view), SEGLOG_ETRIMMED);
    cr_assert_ok(seglog_reader_bounds(reader, &first, &end));
    cr_assert_eq(first, 20);
    cr_assert_eq(end, 40);
    seek_to(reader, SEGLOG_PLACE_FIRST, 0);
    expect_all(reader, 20, 40);
    expect_all_back(reader, 40, 20);
    cr_assert_status(seglog_reader_prev(reader, &view), -ENODATA);
    seglog_reader_close(reader);
    close_many(segs, 4);
    build_log_remove(&log);
}

Test(files, what_lies_below_the_floor_is_trimmed_even_if_its_file_is_there)
{
    struct build_log log;
    struct build_segment segs[3];
    const struct seglog_reader_options options = {.from = {.kind = SEGLOG_PLACE_SEQ, .value = 9}};
    struct seglog_reader *reader;
    struct seglog_view view;

    build_log_make(&log);
    build_many(&log, segs, 3, 2, 10);
    build_log_floor(&log, 1, 10);
    cr_assert_status(seglog_reader_open(log.dir, &options, &reader), SEGLOG_ETRIMMED);
    reader = reader_on(&log, 0);
    expect_all(reader, 10, 30);
    expect_all_back(reader, 30, 10);
    cr_assert_status(seglog_reader_prev(reader, &view), -ENODATA);
    seglog_reader_close(reader);
    close_many(segs, 3);
    build_log_remove(&log);
}

/* ---- cuts ----------------------------------------------------------------------------------- */

static void past_a_cut(bool footer_is_bad)
{
    struct build_log log;
    struct build_segment a, b;
    struct seglog_reader *reader;

    build_log_make(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 10);
    build_cut(&a, NULL);
    build_begin(&log, &a, &b);
    build_records(&b, 5);
    a.seq_rel = 10;
    build_records(&a, 7); /* what lies behind the cut */
    if (footer_is_bad)
        build_damage(&a, a.seg->facts.shape.footer_off + 100);
    reader = reader_on(&log, 0);
    expect_position(reader, 0, 0);
    expect_all(reader, 0, 15);
    expect_position(reader, 15, 1);
    expect_end(reader);
    expect_all_back(reader, 15, 0);
    seek_to(reader, SEGLOG_PLACE_SEQ, 12);
    expect_next(reader, 12);
    expect_all_back(reader, 13, 0);
    seglog_reader_close(reader);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(files, what_a_recovery_cut_off_is_not_shown)
{
    past_a_cut(false);
    past_a_cut(true);
}

Test(files, a_reader_that_waits_at_a_cut_goes_on_behind_it)
{
    struct build_log log;
    struct build_segment a, b;
    struct seglog_reader *reader;

    build_log_make(&log);
    build_log_reboot(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 10);
    build_claim(&a, 1, 1, 1, 64);
    build_records(&a, 5);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 10);
    expect_end(reader);
    cr_assert_status(seglog_reader_wait(reader, 30000000), -ETIMEDOUT);
    /* The claim and five records of one and two digits lie behind the cut. */
    a.at -= 64 + 5 * 64;
    a.seq_rel = 10;
    build_cut(&a, NULL);
    cr_assert_status(seglog_reader_wait(reader, 30000000), -ETIMEDOUT);
    build_begin(&log, &a, &b);
    build_records(&b, 3);
    cr_assert_ok(seglog_reader_wait(reader, PATIENCE_NS));
    expect_all(reader, 10, 13);
    expect_position(reader, 13, 1);
    seglog_reader_close(reader);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(files, a_reader_beyond_a_cut_is_told)
{
    struct build_log log;
    struct build_segment a, b;
    struct seglog_reader *reader;
    struct seglog_view view;
    const struct seglog_place old = {.kind = SEGLOG_PLACE_SEQ, .value = 10, .epoch = 0};
    uint64_t cut;

    build_log_make(&log);
    log.boot.known = false;
    build_begin(&log, NULL, &a);
    build_records(&a, 6);
    cut = a.at;
    build_records(&a, 4);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 10);
    a.at = cut;
    a.seq_rel = 6;
    build_cut(&a, NULL);
    build_begin(&log, &a, &b);
    build_records(&b, 3);
    while (seglog_reader_next(reader, &view) == -EAGAIN)
        continue;
    cr_assert_status(seglog_reader_next(reader, &view), SEGLOG_EREWOUND);
    cr_assert_status(seglog_reader_seek(reader, &old), -ERANGE);
    seek_to(reader, SEGLOG_PLACE_SEQ, 5);
    expect_all(reader, 5, 9);
    seglog_reader_close(reader);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(files, a_reader_in_a_segment_that_was_set_aside_is_told)
{
    struct build_log log;
    struct build_segment a, b, c;
    struct seglog_reader *reader;
    struct seglog_view view;

    build_log_make(&log);
    log.boot.known = false;
    build_begin(&log, NULL, &a);
    build_records(&a, 6);
    build_roll(&a);
    build_begin(&log, &a, &b);
    build_records(&b, 6);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 12);
    cr_assert_eq(renameat(log.dirfd, "0000000000000001.seg", log.dirfd, "1.aside"), 0);
    build_cut(&a, NULL);
    build_begin(&log, &a, &c);
    build_records(&c, 3);
    while (seglog_reader_next(reader, &view) == -EAGAIN)
        continue;
    cr_assert_status(seglog_reader_next(reader, &view), SEGLOG_EREWOUND);
    seek_to(reader, SEGLOG_PLACE_SEQ, 4);
    expect_all(reader, 4, 9);
    expect_position(reader, 9, 1);
    seglog_reader_close(reader);
    build_close(&a);
    build_close(&b);
    build_close(&c);
    build_log_remove(&log);
}

Test(files, leftovers_from_beyond_a_cut_are_no_part_of_the_log)
{
    struct build_log log;
    struct build_segment a, b;
    struct seglog_reader *reader;

    build_log_make(&log);
    build_log_reboot(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 10);
    build_cut(&a, NULL);
    build_spare(&log, 1, &b);
    build_activate(&b, 25, 0, a.seg->facts.generation); /* of before the cut */
    b.seq_rel = 0;
    build_records(&b, 5);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 10);
    expect_end(reader);
    seek_to(reader, SEGLOG_PLACE_END, 0);
    expect_position(reader, 10, 0);
    seglog_reader_close(reader);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

Test(files, after_a_power_cut_a_hole_before_unsynced_segments_ends_the_log)
{
    struct build_log log;
    struct build_segment segs[3];
    struct seglog_reader *reader;

    build_log_make(&log);
    build_log_reboot(&log);
    build_many(&log, segs, 3, 1, 10);
    build_log_unlink(&log, 1);
    reader = reader_on(&log, 0);
    expect_all(reader, 0, 10);
    expect_end(reader);
    seglog_reader_close(reader);
    close_many(segs, 3);
    build_log_remove(&log);
}
