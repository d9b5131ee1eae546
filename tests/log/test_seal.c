/*
 * Sealing and syncing: footers say what a recount says, seals chain, and what was called durable is.
 */
#include "log/logs.h"
#include "log/steps.h"

#include <string.h>

#include "io/forbid.h"

#define SPAN 64u

/* ---- what a footer says ----------------------------------------------------------------------- */

/* A recount of one sealed segment, frame by frame. */
struct recount {
    uint64_t frames, records, voids, bytes, min_time, max_time, first_time, last_time;
    uint64_t seq_rel, end;
    uint8_t filter[TAG_FILTER_BYTES];
    struct index_entry index[64];
    uint32_t index_count;
};

static void recount_time(struct recount *c, uint64_t time_ns)
{
    if (c->records == 0)
        c->first_time = c->min_time = c->max_time = time_ns;
    c->last_time = time_ns;
    c->min_time = time_ns < c->min_time ? time_ns : c->min_time;
    c->max_time = time_ns > c->max_time ? time_ns : c->max_time;
}

/* An entry for the first frame in each stride. */
static void recount_index(struct recount *c, uint64_t offset)
{
    struct index_entry *e = &c->index[c->index_count];

    if (c->index_count > 0 && (offset - OFF_FRAMES) / INDEX_STRIDE ==
                                  (le32_get(&e[-1].offset) - OFF_FRAMES) / INDEX_STRIDE)
        return;
    le32_put(&e->offset, (uint32_t)offset);
    le32_put(&e->seq_rel, (uint32_t)c->seq_rel);
    le64_put(&e->max_time, c->records ? c->max_time : 0);
    c->index_count++;
}

static void recount(const struct segment *seg, struct recount *c)
{
    struct source src;
    struct scan scan;
    struct scan_frame frame;

    memset(c, 0, sizeof(*c));
    source_init(&src, seg);
    scan_begin(&scan, &src, true);
    while (scan_next(&scan, &frame) == 1) {
        recount_index(c, frame.offset);
        if (frame.facts.state == WORD_DATA) {
            recount_time(c, frame.frame.time_ns);
            tag_filter_add(c->filter, frame.frame.tag);
            c->records++;
            c->bytes += frame.facts.len;
        }
        if (frame.facts.state == WORD_ABORTED)
            c->voids += frame.facts.count;
        c->frames++;
        c->seq_rel += frame.facts.count;
    }
    cr_assert_eq(frame.facts.state, WORD_ROLL);
    recount_index(c, frame.offset);
    c->frames++;
    source_free(&src);
}

static void expect_footer(const struct segment *seg, const struct footer_facts *f)
{
    struct index_entry index[64];
    struct recount c;

    recount(seg, &c);
    cr_assert_eq(f->number, seg->facts.number);
    cr_assert_eq(f->next_seq - f->base_seq, c.seq_rel);
    cr_assert_eq(f->frame_count, c.frames, "%llu frames, counted %llu",
                 (unsigned long long)f->frame_count, (unsigned long long)c.frames);
    cr_assert_eq(f->record_count, c.records);
    cr_assert_eq(f->void_count, c.voids);
    cr_assert_eq(f->payload_bytes, c.bytes);
    cr_assert_eq(f->min_time, c.min_time);
    cr_assert_eq(f->max_time, c.max_time);
    cr_assert_eq(f->first_time, c.first_time);
    cr_assert_eq(f->last_time, c.last_time);
    cr_assert_eq(f->flags, 0);
    cr_assert_arr_eq(f->tag_filter, c.filter, TAG_FILTER_BYTES);
    cr_assert_ok(segment_index(seg, f, index));
    cr_assert_eq(f->index_count, c.index_count, "%u entries, counted %u", f->index_count,
                 c.index_count);
    cr_assert_arr_eq(index, c.index, c.index_count * sizeof(index[0]));
}

/* Sealed segments of a log, first to last, checked one by one. */
static unsigned expect_footers(const char *dir)
{
    struct footer_facts before = {0};
    uint64_t max_time = 0, seq = 0;
    unsigned sealed = 0;

    for (;;) {
        struct segment *seg = log_segment_open(dir, sealed);
        struct footer_facts f;

        if (segment_footer(seg, &f, NULL) != 0) {
            segment_close(seg);
            return sealed;
        }
        expect_footer(seg, &f);
        cr_assert_eq(f.base_seq, seq);
        cr_assert_arr_eq(f.prev_seal, before.seal_hash, 16);
        max_time = f.max_time > max_time ? f.max_time : max_time;
        cr_assert_eq(f.log_max_time, max_time);
        seq = f.next_seq;
        before = f;
        segment_close(seg);
        sealed++;
    }
}

static void append_mixed(struct seglog_appender *ap, unsigned n)
{
    static const char bytes[5000];

    for (unsigned i = 0; i < n; i++) {
        const struct seglog_record r = {.data = bytes,
                                        .len = i * 37 % 5000,
                                        .time_ns = 1000000 + (i * 7919) % 10007,
                                        .tag = i * i};
        struct seglog_claim claim;

        cr_assert_ok(seglog_appender_append_record(ap, &r, NULL));
        if (i % 7 == 0) {
            cr_assert_ok(seglog_appender_claim(ap, 100, &claim));
            if (i % 2)
                cr_assert_ok(seglog_appender_abort(ap));
            else
                cr_assert_ok(seglog_appender_commit(ap, &claim, 10));
        }
    }
}

static void footers_of(uint64_t segment_size, unsigned records, unsigned sealed_min)
{
    const struct seglog_log_options options = {.segment_size = segment_size,
                                               .sync = SEGLOG_SYNC_SEALED,
                                               .flags = SEGLOG_LOG_CREATE | SEGLOG_LOG_NO_HELPER};
    char *dir = tmpdir_make();
    struct seglog_log *log;
    struct seglog_appender *ap;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    ap = log_appender(log, SEGLOG_SHARED);
    append_mixed(ap, records);
    cr_assert_geq(seglog_log_seal(log, PATIENCE), (int)sealed_min);
    cr_assert_geq(expect_footers(dir), sealed_min);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

Test(seal, a_footer_says_what_a_recount_says)
{
    footers_of(SEGLOG_SEGMENT_SIZE_MIN, 200, 5);
}

Test(seal, an_index_has_an_entry_for_each_stride)
{
    footers_of(UINT64_C(1) << 20, 700, 1);
}

Test(seal, a_segment_of_voids_alone_can_be_sealed)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    struct seglog_claim claim;

    cr_assert_ok(seglog_appender_claim(ap, 100, &claim));
    cr_assert_ok(seglog_appender_abort(ap));
    cr_assert_eq(seglog_log_seal(log, PATIENCE), 1);
    cr_assert_eq(expect_footers(dir), 1);
    log_append(ap, 1);
    cr_assert_eq(tally_dir(dir, false).next_seq, 2);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

/* ---- when seals happen ------------------------------------------------------------------------ */

Test(seal, of_an_empty_log_there_is_nothing_to_do)
{
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
    struct seglog_log *log = log_attach(dir);

    cr_assert_eq(seglog_log_seal(log, 0), 0);
    cr_assert_eq(seglog_log_seal(log, 0), 0);
    cr_assert_eq(tally_dir(dir, false).segments, 1);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

Test(seal, twice_in_a_row_makes_one_segment)
{
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);

    log_append(ap, 3);
    cr_assert_eq(seglog_log_seal(log, PATIENCE), 1);
    cr_assert_eq(seglog_log_seal(log, PATIENCE), 0);
    log_append(ap, 3);
    cr_assert_eq(seglog_log_seal(log, PATIENCE), 1);
    cr_assert_eq(tally_dir(dir, false).sealed, 2);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

Test(seal, not_beside_an_exclusive_appender)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir), *other = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_EXCLUSIVE);

    log_append(ap, 3);
    cr_assert_status(seglog_log_seal(log, 0), -EBUSY);
    cr_assert_status(seglog_log_seal(other, 0), -EBUSY);
    log_append(ap, 3);
    cr_assert_ok(seglog_appender_close(ap));
    cr_assert_eq(seglog_log_seal(other, PATIENCE), 1);
    cr_assert_ok(seglog_log_close(other));
    cr_assert_ok(seglog_log_close(log));
    cr_assert_eq(tally_dir(dir, false).records, 6);
    tmpdir_remove(dir);
}

/* More than a segment, so that some are full. */
static void fill_some(const char *dir, uint32_t flags)
{
    const struct seglog_log_options options = {.flags = flags};
    struct seglog_log *log;
    struct seglog_appender *ap;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    ap = log_appender(log, SEGLOG_SHARED);
    log_append(ap, 2000);
    log_detach(log, ap);
}

Test(seal, level_none_seals_only_when_told)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log;

    fill_some(dir, 0);
    fill_some(dir, SEGLOG_LOG_NO_HELPER);
    log = log_attach(dir);
    cr_assert_ok(seglog_log_tend(log));
    cr_assert_eq(tally_dir(dir, false).sealed, 0);
    cr_assert_gt(seglog_log_seal(log, PATIENCE), 4);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

Test(seal, level_sealed_seals_what_is_full)
{
    static const uint32_t flags[] = {0, SEGLOG_LOG_NO_HELPER};

    for (size_t i = 0; i < 2; i++) {
        char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
        struct tally t;

        fill_some(dir, flags[i]);
        t = tally_dir(dir, false);
        cr_assert_eq(t.sealed, t.segments - 1);
        expect_footers(dir);
        tmpdir_remove(dir);
    }
}

/* The handle that tends need not be the one that appends. */
Test(seal, a_log_can_be_tended_from_elsewhere)
{
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
    struct seglog_log *tender = log_attach(dir), *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    struct tally t;

    log_append(ap, 2000);
    cr_assert_eq(tally_dir(dir, false).sealed, 0);
    cr_assert_ok(seglog_log_tend(tender));
    t = tally_dir(dir, false);
    cr_assert_gt(t.sealed, 1);
    cr_assert_eq(t.sealed, t.segments - 1);
    log_detach(log, ap);
    cr_assert_ok(seglog_log_close(tender));
    tmpdir_remove(dir);
}

/* ---- by which engine -------------------------------------------------------------------------- */

static void sealing_by(uint32_t io, enum io_choice want)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER, .io = io};
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_appender *ap;
    struct seglog_log *log;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    ap = log_appender(log, SEGLOG_SHARED);
    log_append(ap, 100);
    cr_assert_eq(seglog_log_seal(log, PATIENCE), 1);
    cr_assert_eq(io_engine_choice(log->io), want);
    cr_assert_eq(atomic_load(&log->view.live->io_engine), (uint32_t)want);
    cr_assert_eq(io_performed(log->io, IO_DATASYNC), 2);
    cr_assert_eq(io_performed(log->io, IO_WRITE), 3);
    log_detach(log, ap);
    cr_assert_eq(expect_footers(dir), 1);
    tmpdir_remove(dir);
}

Test(seal, goes_through_io_uring_where_that_is_allowed)
{
    struct io_facts facts;

    unsetenv("SEGLOG_IO");
    io_probe(&facts);
    if (facts.status < 0) {
        sealing_by(SEGLOG_IO_AUTO, IO_THREADS);
        cr_skip("this machine forbids io_uring\n");
    }
    sealing_by(SEGLOG_IO_AUTO, IO_URING);
    sealing_by(SEGLOG_IO_URING, IO_URING);
}

Test(seal, goes_through_threads_when_told)
{
    sealing_by(SEGLOG_IO_THREADS, IO_THREADS);
    setenv("SEGLOG_IO", "threads", 1);
    sealing_by(SEGLOG_IO_AUTO, IO_THREADS);
}

static int heir_main(struct child *parent, void *arg)
{
    struct seglog_log *log = arg;

    (void)parent;
    child_must_be(seglog_log_seal(log, 0), SEGLOG_EFORKED);
    child_must_be(seglog_log_tend(log), SEGLOG_EFORKED);
    child_must(seglog_log_close(log));
    return 0;
}

/* The engine runs already: its ring, or its threads, are the parent's alone. */
static void sealing_beside_a_child(uint32_t io)
{
    const struct seglog_log_options options = {.io = io};
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_appender *ap;
    struct seglog_log *log;
    struct child child;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    ap = log_appender(log, SEGLOG_SHARED);
    for (int i = 1; i <= 3; i++) {
        log_append(ap, 10);
        cr_assert_eq(seglog_log_seal(log, PATIENCE), 1);
        child_start(&child, heir_main, log);
        child_end(&child);
    }
    log_detach(log, ap);
    cr_assert_eq(expect_footers(dir), 3);
    tmpdir_remove(dir);
}

Test(seal, goes_on_when_a_child_closes_its_copy_of_the_log)
{
    sealing_beside_a_child(SEGLOG_IO_AUTO);
    sealing_beside_a_child(SEGLOG_IO_THREADS);
}

static int forbidden_main(struct child *parent, void *arg)
{
    struct seglog_log_options options = {.io = SEGLOG_IO_URING};
    struct seglog_log *log = NULL;

    (void)parent;
    unsetenv("SEGLOG_IO");
    child_must(forbid_io_uring());
    child_must_be(seglog_log_open(arg, &options, &log), -EPERM);
    child_assert(log == NULL);
    options.io = SEGLOG_IO_AUTO;
    child_must(seglog_log_open(arg, &options, &log));
    child_must_be(io_engine_choice(log->io), IO_THREADS);
    child_must(seglog_log_close(log));
    setenv("SEGLOG_IO", "uring", 1);
    child_must_be(seglog_log_open(arg, &options, &log), -EPERM);
    setenv("SEGLOG_IO", "both", 1);
    child_must_be(seglog_log_open(arg, &options, &log), -EINVAL);
    return 0;
}

Test(seal, opening_says_when_what_was_demanded_is_forbidden)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct child child;

    child_start(&child, forbidden_main, dir);
    child_end(&child);
    tmpdir_remove(dir);
}

/* ---- sync ------------------------------------------------------------------------------------- */

Test(sync, makes_everything_durable_and_says_so)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    uint64_t durable, next;

    cr_assert_ok(seglog_log_sync(log, &durable));
    cr_assert_eq(durable, 0);
    /* Again and again, over several segments, none of them sealed. */
    for (unsigned i = 1; i <= 20; i++) {
        log_append(ap, 150);
        cr_assert_ok(seglog_log_sync(log, &durable));
        cr_assert_ok(seglog_log_progress(log, NULL, &next));
        cr_assert_eq(next, i * 150);
        cr_assert_eq(durable, next, "round %u: %llu of %llu", i, (unsigned long long)durable,
                     (unsigned long long)next);
        cr_assert_ok(seglog_log_progress(log, &durable, NULL));
        cr_assert_eq(durable, next);
    }
    cr_assert_gt(tally_dir(dir, false).segments, 3);
    cr_assert_eq(tally_dir(dir, false).sealed, 0);
    cr_assert_ok(seglog_log_sync(log, NULL));
    log_detach(log, ap);
    tmpdir_remove(dir);
}

Test(sync, goes_past_what_others_sealed_and_removed)
{
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
    struct seglog_log *idle = log_attach(dir), *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    uint64_t durable;

    log_append(ap, 2000);
    cr_assert_geq(seglog_log_seal(log, PATIENCE), 3);
    log_append(ap, 10);
    cr_assert_ok(seglog_log_sync(idle, &durable));
    cr_assert_eq(durable, 2010);
    log_append(ap, 10);
    cr_assert_ok(log_drop_oldest(log));
    cr_assert_ok(log_drop_oldest(log));
    cr_assert_ok(seglog_log_sync(idle, &durable));
    cr_assert_eq(durable, 2020);
    log_detach(log, ap);
    cr_assert_ok(seglog_log_close(idle));
    tmpdir_remove(dir);
}

Test(sync, stops_before_an_open_claim)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED),
                           *other = log_appender(log, SEGLOG_SHARED);
    struct seglog_claim claim;
    uint64_t durable;

    log_append(ap, 10);
    cr_assert_ok(seglog_appender_claim(other, 2, &claim));
    log_append(ap, 1000);
    cr_assert_ok(seglog_log_sync(log, &durable));
    cr_assert_eq(durable, 10);
    memcpy(claim.data, "10", 2);
    cr_assert_ok(seglog_appender_commit(other, &claim, 2));
    cr_assert_ok(seglog_log_sync(log, &durable));
    cr_assert_eq(durable, 1011);
    cr_assert_ok(seglog_appender_close(other));
    log_detach(log, ap);
    tmpdir_remove(dir);
}

/* Records that were synced are there after a reboot, whatever is lost behind them. */
Test(sync, what_was_synced_is_never_cut)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    struct seglog_recovery r;
    uint64_t durable;

    log_append(ap, 700);
    cr_assert_ok(seglog_log_sync(log, &durable));
    log_append(ap, 30);
    log_detach(log, ap);
    log_reboot(dir);
    log = log_attach(dir);
    cr_assert_ok(seglog_log_close(log));
    log_reboot(dir);
    {
        const struct tally t = tally_dir(dir, false);
        struct segment *seg = log_segment_open(dir, t.segments - 1);
        struct activation_facts act;

        cr_assert_ok(segment_activation(seg, &act));
        cr_assert(act.base_seq < 700);
        /* Damage below the mark, and a page beyond it that was never written. */
        seg->base[OFF_FRAMES + (650 - act.base_seq) * SPAN + 8] ^= 0xff;
        memset(seg->base + OFF_FRAMES + (710 - act.base_seq) * SPAN, 0, 20 * SPAN);
        segment_close(seg);
    }
    log = log_attach_recovered(dir, &r);
    cr_assert_geq(r.next_seq, durable);
    cr_assert_eq(r.next_seq, 710);
    cr_assert_ok(seglog_log_close(log));
    cr_assert_eq(tally_dir(dir, false).lost, 1);
    tmpdir_remove(dir);
}

Test(sync, in_memory_nothing_is_durable)
{
    struct seglog_log *log;
    struct seglog_appender *ap;
    uint64_t durable = 7;
    char *dir;

    cr_assert(setenv("TMPDIR", "/dev/shm", 1) == 0);
    dir = log_dir_make(SEGLOG_SYNC_SEALED);
    log = log_attach(dir);
    if (!log->view.fs.is_volatile) {
        cr_assert_ok(seglog_log_close(log));
        tmpdir_remove(dir);
        cr_skip("/dev/shm is not in memory\n");
    }
    ap = log_appender(log, SEGLOG_SHARED);
    log_append(ap, 5);
    cr_assert_status(seglog_log_sync(log, NULL), SEGLOG_EVOLATILE);
    cr_assert_eq(seglog_log_seal(log, PATIENCE), 1);
    cr_assert_ok(seglog_log_progress(log, &durable, NULL));
    cr_assert_eq(durable, 0);
    log_detach(log, ap);
    tmpdir_remove(dir);
}

/* ---- a sync that fails ------------------------------------------------------------------------ */

static void expect_poisoned(const char *dir, struct seglog_log *log, struct seglog_appender *ap,
                            uint64_t durable_before)
{
    struct seglog_claim claim;
    uint64_t durable;

    atomic_store(&steps.fail, STEP_NONE); /* too late */
    cr_assert_status(seglog_appender_append(ap, "x", 1, NULL), SEGLOG_EPOISONED);
    cr_assert_status(seglog_appender_claim(ap, 1, &claim), SEGLOG_EPOISONED);
    cr_assert_status(seglog_log_sync(log, NULL), SEGLOG_EPOISONED);
    cr_assert_status(seglog_log_seal(log, 0), SEGLOG_EPOISONED);
    cr_assert_ok(seglog_log_progress(log, &durable, NULL));
    cr_assert_eq(durable, durable_before);
    log_detach(log, ap);
    cr_assert_status(seglog_log_open(dir, NULL, &log), SEGLOG_EPOISONED);
    log_reboot(dir);
    log_append_alone(dir, 1);
}

/* fresh: nothing of the segment was synced before, so that the directory and all of it are. */
static void failing_sync(enum step kind, int error, uint32_t skip, bool fresh, bool seal)
{
    char *dir = log_dir_make(SEGLOG_SYNC_NONE);
    struct seglog_log *log = log_attach(dir), *other = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    uint64_t durable = 0;

    log_append(ap, 10);
    if (!fresh)
        cr_assert_ok(seglog_log_sync(log, &durable));
    log_append(ap, 10);
    atomic_store(&steps.fail_errno, error);
    atomic_store(&steps.skip, skip);
    atomic_store(&steps.fail, kind);
    if (seal) {
        /* The next segment is there already: what fails is the seal. */
        cr_assert_status(seglog_log_seal(log, 0), -error);
    } else {
        cr_assert_status(seglog_log_sync(log, NULL), -error);
    }
    cr_assert_ok(seglog_log_close(other));
    expect_poisoned(dir, log, ap, durable);
    tmpdir_remove(dir);
}

Test(sync, one_that_fails_poisons_the_log_for_everybody)
{
    static const int errors[] = {EIO, ENOSPC, EDQUOT};

    for (size_t i = 0; i < 3; i++) {
        failing_sync(STEP_SYNC, errors[i], 0, true, false);   /* the directory's */
        failing_sync(STEP_SYNC, errors[i], 1, true, false);   /* the segment's first */
        failing_sync(STEP_SYNC, errors[i], 0, false, false);  /* that of a range */
        failing_sync(STEP_PWRITE, errors[i], 0, true, false); /* the mark, behind them */
    }
}

Test(seal, a_sync_that_fails_in_a_seal_poisons_the_log)
{
    setenv("SEGLOG_IO", "threads",
           1); /* whose calls can be caught; tests/poison has io_uring too */
    for (uint32_t skip = 0; skip < 3; skip++) /* the directory's, before and behind the footer */
        failing_sync(STEP_SYNC, EIO, skip, false, true);
}
