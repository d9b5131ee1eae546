/*
 * The first to attach after a power cut: where a log of several segments ends then, and what is
 * never given up.
 *
 * Logs are built by hand as another boot's, with what a disk may have lost of them.
 */
#include "log/old_log.h"

/* ---- several segments ------------------------------------------------------------------------- */

Test(recover_cut, full_segments_that_are_whole_are_sealed)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;

    old_begin(&o);
    old_segment(&o, 100, true);
    old_segment(&o, 50, true);
    old_segment(&o, 7, false);
    build_spare(&o.log, 3, &o.seg[o.n++]);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 157);
    expect_no_cut(&r, &t);
    cr_assert_eq(t.sealed, 2);
    build_log_remove(&o.log);
}

Test(recover_cut, later_files_are_set_aside_and_unused_ones_removed)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;

    old_begin(&o);
    old_segment(&o, 100, true);
    old_segment(&o, 50, true);
    old_segment(&o, 7, false);
    build_spare(&o.log, 3, &o.seg[o.n++]);
    build_damage(&o.seg[0], OFF_FRAMES + 20 * SPAN);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 20);
    cr_assert_eq(r.files_aside, 2);
    /* 79 records, and the bytes up to the end of ROLL's unit's word */
    cr_assert_eq(r.frames_dropped, 79);
    cr_assert_eq(r.cut_offset, OFF_FRAMES + 20 * SPAN);
    cr_assert_eq(t.torn, 1);
    cr_assert_eq(t.spares, 0);
    cr_assert_eq(r.epoch, 1);
    build_log_remove(&o.log);
}

Test(recover_cut, a_lost_roll_ends_the_log_there)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;

    old_begin(&o);
    old_segment(&o, 100, false);
    old_segment(&o, 50, false);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 100);
    cr_assert_eq(r.files_aside, 1);
    expect_cut(&r, &t, 0, 100, 0, 0);
    build_log_remove(&o.log);
}

Test(recover_cut, a_lost_activation_follows_from_the_segment_before)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;

    old_begin(&o);
    old_segment(&o, 100, true);
    old_segment(&o, 50, false);
    memset(o.seg[1].seg->base + OFF_ACTIVATION, 0, PAGE_BYTES);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 150);
    expect_no_cut(&r, &t);
    build_log_remove(&o.log);
}

Test(recover_cut, a_lost_header_ends_the_log_before_that_segment)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;

    old_begin(&o);
    old_segment(&o, 100, true);
    old_segment(&o, 50, true);
    old_segment(&o, 50, false);
    memset(o.seg[1].seg->base, 0, PAGE_BYTES);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 100);
    cr_assert_eq(r.files_aside, 2);
    cr_assert_eq(r.epoch, 1);
    cr_assert_eq(t.torn, 0);
    cr_assert_eq(t.sealed, 1);
    build_log_remove(&o.log);
}

Test(recover_cut, a_lost_name_ends_the_log_before_that_segment)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;

    old_begin(&o);
    old_segment(&o, 100, true);
    old_segment(&o, 50, true);
    old_segment(&o, 50, false);
    build_log_unlink(&o.log, 1);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 100);
    cr_assert_eq(r.files_aside, 1);
    cr_assert_eq(r.epoch, 1);
    build_log_remove(&o.log);
}

Test(recover_cut, a_torn_footer_is_written_again)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;

    old_begin(&o);
    old_segment(&o, 100, true);
    build_seal(&o.seg[0], NULL);
    old_segment(&o, 50, false);
    build_damage(&o.seg[0], o.seg[0].seg->facts.shape.footer_off + 100);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 150);
    expect_no_cut(&r, &t);
    cr_assert_eq(t.sealed, 1);
    build_log_remove(&o.log);
}

Test(recover_cut, a_mark_in_a_later_segment_makes_all_before_it_durable)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;

    old_begin(&o);
    old_segment(&o, 100, true);
    old_segment(&o, 50, true);
    old_segment(&o, 7, false);
    build_mark(&o.seg[2]);
    build_damage(&o.seg[0], OFF_FRAMES + 20 * SPAN);
    /* and a page of the second one, up to its end */
    memset(o.seg[1].seg->base + OFF_FRAMES + 10 * SPAN, 0, 60 * SPAN);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 157);
    cr_assert_eq(r.epoch, 0);
    cr_assert_eq(r.files_aside, 0);
    cr_assert_eq(t.torn, 0);
    cr_assert_eq(t.damaged, 2);
    cr_assert_eq(t.lost, 41);
    build_log_remove(&o.log);
}

/* A page in the middle of a segment that ends in ROLL. */
Test(recover_cut, a_wiped_page_that_was_durable_is_gone_around)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;

    old_begin(&o);
    old_segment(&o, 200, true);
    old_segment(&o, 50, false);
    build_mark(&o.seg[1]);
    memset(o.seg[0].seg->base + OFF_FRAMES + 64 * SPAN, 0, 64 * SPAN);
    r = old_recover(&o, &t);
    cr_assert_eq(r.next_seq, 250);
    cr_assert_eq(r.epoch, 0);
    cr_assert_eq(t.torn, 0);
    cr_assert_eq(t.damaged, 1);
    build_log_remove(&o.log);
}

Test(recover_cut, a_missing_file_before_a_durable_one_is_not_passed_over)
{
    struct old_log o;
    struct seglog_log *log;

    old_begin(&o);
    old_segment(&o, 100, true);
    old_segment(&o, 50, true);
    old_segment(&o, 7, false);
    build_mark(&o.seg[2]);
    build_log_unlink(&o.log, 1);
    for (size_t i = 0; i < o.n; i++)
        build_close(&o.seg[i]);
    cr_assert_status(seglog_log_open(o.log.dir, NULL, &log), SEGLOG_EMISSING);
    build_log_remove(&o.log);
}

/* ---- headers that rotted ---------------------------------------------------------------------- */

Test(recover_cut, a_header_lost_from_a_durable_segment_is_written_anew)
{
    static const uint64_t places[] = {0, 8, 16, 40, 60, 70, 4092}; /* of every field, magic first */

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct old_log o;
        struct seglog_recovery r;
        struct tally t;

        old_begin(&o);
        old_segment(&o, 100, true);
        old_segment(&o, 50, false);
        build_mark(&o.seg[1]);
        build_damage(&o.seg[1], OFF_HEADER + places[i]);
        r = old_recover(&o, &t);
        cr_assert_eq(r.headers_mended, 1);
        cr_assert_eq(r.next_seq, 150);
        cr_assert_eq(r.files_aside, 0);
        expect_no_cut(&r, &t);
        build_log_remove(&o.log);
    }
}

/* Of three that lie behind one another, the first of the log among them; one is sealed. */
Test(recover_cut, all_headers_lost_are_written_anew)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;

    old_begin(&o);
    build_seal(old_segment(&o, 100, true), NULL);
    old_segment(&o, 50, true);
    old_segment(&o, 7, false);
    build_mark(&o.seg[2]);
    for (size_t i = 0; i < o.n; i++)
        memset(o.seg[i].seg->base + OFF_HEADER, 0, PAGE_BYTES);
    r = old_recover(&o, &t);
    cr_assert_eq(r.headers_mended, 3);
    cr_assert_eq(r.next_seq, 157);
    cr_assert_eq(r.files_aside, 0);
    expect_no_cut(&r, &t);
    build_log_remove(&o.log);
}

static void expect_refused(struct old_log *o)
{
    struct seglog_log *log;

    for (size_t i = 0; i < o->n; i++)
        build_close(&o->seg[i]);
    cr_assert_status(seglog_log_open(o->log.dir, NULL, &log), SEGLOG_ECORRUPT);
    cr_assert(log_has_file(o->log.dir, "0000000000000001.seg"));
    build_log_remove(&o->log);
}

Test(recover_cut, a_header_is_not_written_anew_without_the_activation_block)
{
    struct old_log o;

    old_begin(&o);
    old_segment(&o, 100, true);
    old_segment(&o, 50, false);
    build_mark(&o.seg[1]);
    build_damage(&o.seg[1], OFF_HEADER + 70);
    build_damage(&o.seg[1], OFF_ACTIVATION + 3);
    expect_refused(&o);
}

/* A file of another log, say, whose header rotted as well. */
Test(recover_cut, a_header_is_not_written_anew_in_what_does_not_continue_the_log)
{
    struct old_log o;

    old_begin(&o);
    old_segment(&o, 100, true);
    old_segment(&o, 50, false);
    build_activate(&o.seg[1], 100, 0, 77);
    build_mark(&o.seg[1]);
    build_damage(&o.seg[1], OFF_HEADER + 70);
    expect_refused(&o);
}

Test(recover_cut, a_header_that_checks_out_is_not_written_anew)
{
    struct old_log o;
    struct segment_facts other;

    old_begin(&o);
    old_segment(&o, 100, true);
    old_segment(&o, 50, false);
    build_mark(&o.seg[1]);
    other = o.seg[1].seg->facts;
    other.uuid[0] ^= 1; /* of another log */
    segment_header_encode((struct segment_header *)(void *)o.seg[1].seg->base, &other);
    expect_refused(&o);
}

/* Damage up to the end of one segment, the next one's header gone, the one after it durable. */
Test(recover_cut, damage_on_both_sides_of_a_roll_does_not_cut_off_what_is_durable)
{
    struct old_log o;
    struct seglog_recovery r;
    struct tally t;

    old_begin(&o);
    old_segment(&o, 100, true);
    old_segment(&o, 50, true);
    old_segment(&o, 7, false);
    build_mark(&o.seg[2]);
    memset(o.seg[0].seg->base + OFF_FRAMES + 64 * SPAN, 0, 64 * SPAN);
    build_damage(&o.seg[1], OFF_HEADER + 70);
    r = old_recover(&o, &t);
    cr_assert_eq(r.headers_mended, 1);
    cr_assert_eq(r.next_seq, 157);
    cr_assert_eq(t.lost, 36);
    cr_assert_eq(t.torn, 0);
    build_log_remove(&o.log);
}

/* The same, and who comes before the second one is lost, too. */
Test(recover_cut, what_is_durable_is_not_cut_off_where_nothing_leads_to_it)
{
    struct old_log o;
    struct seglog_log *log;

    old_begin(&o);
    old_segment(&o, 100, true);
    old_segment(&o, 50, true);
    old_segment(&o, 7, false);
    build_mark(&o.seg[2]);
    memset(o.seg[0].seg->base + OFF_FRAMES + 64 * SPAN, 0, 64 * SPAN);
    build_damage(&o.seg[1], OFF_HEADER + 70);
    build_damage(&o.seg[1], OFF_ACTIVATION + 3);
    for (size_t i = 0; i < o.n; i++)
        build_close(&o.seg[i]);
    cr_assert_status(seglog_log_open(o.log.dir, NULL, &log), SEGLOG_ECORRUPT);
    cr_assert(log_has_file(o.log.dir, "0000000000000001.seg"));
    cr_assert(log_has_file(o.log.dir, "0000000000000002.seg"));
    build_log_remove(&o.log);
}
