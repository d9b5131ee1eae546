/*
 * See old_log.h.
 */
#include "log/old_log.h"

void old_begin(struct old_log *o)
{
    *o = (struct old_log){0};
    build_log_make(&o->log);
    build_log_reboot(&o->log);
}

struct build_segment *old_segment(struct old_log *o, unsigned records, bool rolled)
{
    struct build_segment *seg = &o->seg[o->n];

    build_begin(&o->log, o->n ? &o->seg[o->n - 1] : NULL, seg);
    build_records(seg, records);
    if (rolled)
        build_roll(seg);
    o->n++;
    return seg;
}

struct seglog_recovery old_recover(struct old_log *o, struct tally *t)
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

void expect_no_cut(const struct seglog_recovery *r, const struct tally *t)
{
    cr_assert_eq(r->bytes_dropped, 0);
    cr_assert_eq(r->frames_dropped, 0);
    cr_assert_eq(t->torn, 0);
    cr_assert_eq(r->epoch, 0);
}

void expect_cut(const struct seglog_recovery *r, const struct tally *t, uint64_t number,
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
