/*
 * The first to attach after a power cut: where the log ends then, and what is never given up.
 *
 * Logs are built by hand as another boot's, with what a disk may have lost of them.
 */
#include "log/logs.h"

/* Records of 1 to 3 digits take one unit of header and one of payload. */
#define SPAN 64u

/* A log of another boot; segment i holds fill[i] records. */
struct old_log {
    struct build_log log;
    struct build_segment seg[4];
    size_t n;
};

static void old_begin(struct old_log *o)
{
    *o = (struct old_log){0};
    build_log_make(&o->log);
    build_log_reboot(&o->log);
}

/* One more segment behind the others, with so many records; `rolled`: it ends in ROLL. */
static struct build_segment *old_segment(struct old_log *o, unsigned records, bool rolled)
{
    struct build_segment *seg = &o->seg[o->n];

    build_begin(&o->log, o->n ? &o->seg[o->n - 1] : NULL, seg);
    build_records(seg, records);
    if (rolled)
        build_roll(seg);
    o->n++;
    return seg;
}

/* Attach, and give what recovery says; the log is walked, and one more record appended. */
static struct seglog_recovery old_recover(struct old_log *o, struct tally *t)
{
    struct seglog_recovery r;
    struct seglog_log *log;
    struct seglog_appender *ap;

    for (size_t i = 0; i < o->n; i++)
        build_close(&o->seg[i]);
    log = log_attach_recovered(o->log.dir, &r);
    *t = tally_dir(o->log.dir, false);
    cr_assert_eq(r.next_seq, t->next_seq, "recovery says %llu, the files %llu",
                 (unsigned long long)r.next_seq, (unsigned long long)t->next_seq);
    cr_assert_eq(r.epoch, t->epoch);
    cr_assert_eq(t->claims, 0);
    cr_assert_eq(r.files_aside, t->asides);
    ap = log_appender(log, SEGLOG_SHARED);
    log_append(ap, 1);
    log_detach(log, ap);
    cr_assert_eq(tally_dir(o->log.dir, false).next_seq, r.next_seq + 1);
    return r;
}

static void expect_no_cut(const struct seglog_recovery *r, const struct tally *t)
{
    cr_assert_eq(r->bytes_dropped, 0);
    cr_assert_eq(r->frames_dropped, 0);
    cr_assert_eq(t->torn, 0);
    cr_assert_eq(r->epoch, 0);
}

/* Cut in segment `number` behind `records` of its records. */
static void expect_cut(const struct seglog_recovery *r, const struct tally *t, uint64_t number,
                       uint64_t records, uint64_t frames_dropped, uint64_t bytes_dropped)
{
    cr_assert_eq(r->cut_segment, number);
    cr_assert_eq(r->cut_offset, OFF_FRAMES + records * SPAN, "cut at 0x%llx",
                 (unsigned long long)r->cut_offset);
    cr_assert_eq(r->frames_dropped, frames_dropped, "%llu frames",
                 (unsigned long long)r->frames_dropped);
    cr_assert_eq(r->bytes_dropped, bytes_dropped, "%llu bytes",
                 (unsigned long long)r->bytes_dropped);
    cr_assert_eq(t->torn, 1);
    cr_assert_eq(r->epoch, 1);
    cr_assert_eq(t->segments, number + 2);
}

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
