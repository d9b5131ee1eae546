/*
 * The first to attach after a power cut: where the log ends then, in one segment, and after cuts before.
 *
 * Logs are built by hand as another boot's, with what a disk may have lost of them.
 */
#include "log/old_log.h"

Test(recover_cut, a_whole_tail_is_kept_and_appended_to)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;

    old_begin(&o);
    old_segment(&o, 100, false);
    r = old_recover(&o, &t);
    cr_assert_eq(r.boot, 1);
    cr_assert_eq(r.next_seq, 100);
    expect_no_cut(&r, &t);
    cr_assert_eq(t.segments, 1);
    cr_assert_eq(t.sealed, 0);
    build_log_remove(&o.log);
}

Test(recover_cut, an_empty_log_of_another_boot_goes_on)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;

    old_begin(&o);
    old_segment(&o, 0, false);
    build_spare(&o.log, 1, &o.seg[o.n++]);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 0);
    expect_no_cut(&r, &t);
    build_log_remove(&o.log);
}

/* Its name reached the disk and its header did not, which is what a file system may do with a file
 * that nobody synced; the tail page may be there or not. */
Test(recover_cut, a_spare_that_lost_its_header_is_no_reason_to_cut)
{
    for (int tail = 0; tail < 2; tail++) {
        for (int rolled = 0; rolled < 2; rolled++) {
            struct old_log o;
            struct seglog_recovery r;
            struct tally t;

            old_begin(&o);
            old_segment(&o, 100, rolled);
            build_spare(&o.log, 1, &o.seg[o.n++]);
            memset(o.seg[1].seg->base, 0, tail ? OFF_TAIL : OFF_FRAMES);
            r = old_recover(&o, &t);
            cr_assert_eq(r.next_seq, 100);
            cr_assert_eq(r.files_aside, 0);
            expect_no_cut(&r, &t);
            build_log_remove(&o.log);
        }
    }
}

Test(recover_cut, the_log_ends_at_the_first_bad_frame)
{
    /* word 0, sequence, header checksum, time, payload checksum, tag, payload */
    static const uint64_t bytes[] = {0, 4, 8, 12, 16, 24, 28, 32};

    for (size_t i = 0; i < sizeof(bytes) / sizeof(*bytes); i++) {
        struct old_log o;
        struct seglog_recovery r;
        struct tally t;

        old_begin(&o);
        old_segment(&o, 100, false);
        build_damage(&o.seg[0], OFF_FRAMES + 70 * SPAN + bytes[i]);
        r = old_recover(&o, &t);
        cr_assert_eq(r.next_seq, 70);
        expect_cut(&r, &t, 0, 70, 29, 30 * SPAN);
        build_log_remove(&o.log);
    }
}

/* What this process has asked the system to read, bytes; 0: not to be known here. */
static uint64_t bytes_read(void)
{
    FILE *file = fopen("/proc/self/io", "re");
    unsigned long long n = 0;

    if (!file)
        return 0;
    if (fscanf(file, "rchar: %llu", &n) != 1)
        n = 0;
    fclose(file);
    return n;
}

Test(recover_cut, what_lies_behind_a_cut_is_not_read_over_and_over)
{
    struct old_log o;
    struct seglog_recovery r;
    struct seglog_log *log;
    uint64_t before;

    old_begin(&o);
    old_segment(&o, 10, false);
    build_damage(&o.seg[0], OFF_FRAMES + 9 * SPAN);
    build_close(&o.seg[0]);
    before = bytes_read();
    if (before == 0)
        cr_skip("no /proc/self/io here\n");
    log = log_attach_recovered(o.log.dir, &r);
    cr_assert_lt(bytes_read() - before, 32 * SEGLOG_SEGMENT_SIZE_MIN);
    cr_assert_eq(r.bytes_dropped, SPAN);
    cr_assert_ok(seglog_log_close(log));
    build_log_remove(&o.log);
}

Test(recover_cut, a_page_that_was_never_written_ends_the_log)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;

    old_begin(&o);
    old_segment(&o, 200, false);
    memset(o.seg[0].seg->base + OFF_FRAMES + PAGE_BYTES, 0, PAGE_BYTES);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 64);
    expect_cut(&r, &t, 0, 64, 200 - 128, (200 - 64) * SPAN);
    build_log_remove(&o.log);
}

Test(recover_cut, a_claim_of_another_boot_ends_the_log)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;
    struct build_segment *seg;

    old_begin(&o);
    seg = old_segment(&o, 10, false);
    build_claim(seg, 3, 1, 2, 4 * SPAN);
    build_records(seg, 5);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 10);
    cr_assert_eq(r.claims_aborted, 0);
    expect_cut(&r, &t, 0, 10, 5, 9 * SPAN);
    build_log_remove(&o.log);
}

Test(recover_cut, aborted_frames_and_padding_do_not_end_it)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;
    struct build_segment *seg;

    old_begin(&o);
    seg = old_segment(&o, 10, false);
    build_abort(seg, 5, 4 * SPAN);
    build_pad(seg, 96);
    build_records(seg, 5);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 20);
    cr_assert_eq(t.voids, 5);
    expect_no_cut(&r, &t);
    build_log_remove(&o.log);
}

Test(recover_cut, what_lies_below_the_mark_is_never_cut)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;
    struct build_segment *seg;

    old_begin(&o);
    seg = old_segment(&o, 80, false);
    build_mark(seg);
    build_records(seg, 20);
    build_damage(seg, OFF_FRAMES + 30 * SPAN + 8);
    build_damage(seg, OFF_FRAMES + 50 * SPAN + 32);
    build_damage(seg, OFF_FRAMES + 90 * SPAN);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 90);
    expect_cut(&r, &t, 0, 90, 9, 10 * SPAN);
    cr_assert_eq(t.lost, 2);
    cr_assert_eq(t.damaged, 1);
    cr_assert_eq(t.records, 88);
    build_log_remove(&o.log);
}

Test(recover_cut, the_mark_stands_when_all_below_it_is_gone)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;
    struct build_segment *seg;

    old_begin(&o);
    seg = old_segment(&o, 80, false);
    build_mark(seg);
    memset(seg->seg->base + OFF_FRAMES + 64 * SPAN, 0, PAGE_BYTES);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 80);
    cr_assert_eq(t.records, 64);
    cr_assert_eq(t.lost, 16);
    cr_assert_eq(t.damaged, 1);
    build_log_remove(&o.log);
}

Test(recover_cut, one_bad_mark_of_two_leaves_the_other)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;
    struct build_segment *seg;

    old_begin(&o);
    seg = old_segment(&o, 40, false);
    build_mark(seg);
    build_records(seg, 40);
    build_mark(seg); /* the second: in slot 0 */
    build_damage(seg, OFF_MARK0 + 30);
    build_damage(seg, OFF_FRAMES + 20 * SPAN);
    build_damage(seg, OFF_FRAMES + 60 * SPAN);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 60);
    cr_assert_eq(t.lost, 1);
    expect_cut(&r, &t, 0, 60, 19, 20 * SPAN);
    build_log_remove(&o.log);
}

/* ---- cuts behind cuts ------------------------------------------------------------------------- */

Test(recover_cut, what_was_cut_off_never_comes_back)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;
    struct seglog_log *log;

    old_begin(&o);
    old_segment(&o, 100, true);
    old_segment(&o, 50, false);
    build_damage(&o.seg[0], OFF_FRAMES + 70 * SPAN);
    r = old_recover(&o, &t); /* appends number 70 */
    cr_assert_eq(r.next_seq, 70);
    for (uint64_t reboots = 1; reboots <= 3; reboots++) {
        log_append_alone(o.log.dir, 40);
        log_reboot(o.log.dir);
        log = log_attach_recovered(o.log.dir, &r);
        cr_assert_eq(r.boot, 1);
        cr_assert_eq(r.next_seq, 71 + 40 * reboots);
        cr_assert_eq(r.epoch, 1);
        cr_assert_eq(r.bytes_dropped, 0);
        cr_assert_ok(seglog_log_close(log));
        t = tally_dir(o.log.dir, false);
        cr_assert_eq(t.next_seq, r.next_seq);
        cr_assert_eq(t.asides, 1);
    }
    build_log_remove(&o.log);
}

Test(recover_cut, a_footer_that_rots_after_a_cut_does_not_undo_it)
{
    struct old_log o;
    struct seglog_recovery r;
    struct segment *seg;
    struct seglog_log *log;
    struct tally t;

    old_begin(&o);
    old_segment(&o, 100, false);
    build_damage(&o.seg[0], OFF_FRAMES + 70 * SPAN);
    r = old_recover(&o, &t); /* appends number 70, in segment 1 */
    cr_assert_eq(r.next_seq, 70);
    log_append_alone(o.log.dir, 20);
    log_reboot(o.log.dir);
    seg = log_segment_open(o.log.dir, 0);
    seg->base[seg->facts.shape.footer_off + 100] ^= 1;
    segment_close(seg);
    log = log_attach_recovered(o.log.dir, &r);
    cr_assert_eq(r.next_seq, 91);
    cr_assert_eq(r.epoch, 1);
    cr_assert_eq(r.files_aside, 0);
    cr_assert_ok(seglog_log_seal(log, 0)); /* a footer that is no chain to seal to stops no seal */
    cr_assert_ok(seglog_log_close(log));
    build_log_remove(&o.log);
}

Test(recover_cut, each_cut_begins_an_epoch)
{
    struct old_log o;
    struct seglog_recovery r;
    struct seglog_log *log;
    struct segment *seg;
    struct tally t;

    old_begin(&o);
    old_segment(&o, 100, false);
    build_damage(&o.seg[0], OFF_FRAMES + 70 * SPAN);
    r = old_recover(&o, &t); /* 71 records; the last one is in segment 1 */
    for (uint64_t cuts = 2; cuts <= 4; cuts++) {
        log_append_alone(o.log.dir, 10);
        log_reboot(o.log.dir);
        seg = log_segment_open(o.log.dir, cuts - 1);
        seg->base[OFF_FRAMES + 5 * SPAN] ^= 0xff;
        segment_close(seg);
        log = log_attach_recovered(o.log.dir, &r);
        cr_assert_eq(r.epoch, cuts);
        cr_assert_eq(r.cut_segment, cuts - 1);
        cr_assert_eq(r.next_seq, 70 + 5 * (cuts - 1));
        cr_assert_ok(seglog_log_close(log));
    }
    t = tally_dir(o.log.dir, false);
    cr_assert_eq(t.torn, 4);
    cr_assert_eq(t.next_seq, 85);
    build_log_remove(&o.log);
}

/* The new segment's name did not reach the disk, and the old one of that number is back. */
Test(recover_cut, a_file_from_before_the_cut_is_told_by_its_epoch)
{
    struct old_log o;
    struct seglog_recovery r;
    struct seglog_log *log;
    struct tally t;
    char *segment, *aside;

    old_begin(&o);
    old_segment(&o, 100, true);
    old_segment(&o, 50, false);
    build_damage(&o.seg[0], OFF_FRAMES + 70 * SPAN);
    r = old_recover(&o, &t);
    segment = tmpdir_path(o.log.dir, "0000000000000001.seg");
    aside = tmpdir_path(o.log.dir, "0000000000000001.aside-0-0");
    cr_assert(rename(aside, segment) == 0);
    log_reboot(o.log.dir);
    log = log_attach_recovered(o.log.dir, &r);
    cr_assert_eq(r.next_seq, 70);
    cr_assert_eq(r.epoch, 1);
    cr_assert_eq(r.files_aside, 1);
    cr_assert_ok(seglog_log_close(log));
    cr_assert_eq(tally_dir(o.log.dir, false).next_seq, 70);
    free(segment);
    free(aside);
    build_log_remove(&o.log);
}
