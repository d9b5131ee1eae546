/*
 * What a log promises about power cuts, against thousands of them.
 *
 * A workload runs on a simulated disk (disk.h). At random moments the power fails: images of what may
 * be left are built, each is read as it lies, recovered, read again, appended to. The oracle knows
 * every record that was appended and how far durability was acknowledged:
 *
 *   - everything acknowledged is there;
 *   - what survives is a prefix in sequence order, each record as it was appended;
 *   - a reader without write permission sees the same before the recovery as all see after it;
 *   - the log goes on, and survives the next cut too.
 *
 * SEGLOG_SEED=N replays one seed; SEGLOG_CUTS=N sets how many images (default 600, or 60 with SEGLOG_TEST_QUICK).
 */
#include "disk.h"

#include "log/handle.h"
#include "support/check.h"
#include "support/tmpdir.h"

#include <seglog/seglog.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define SEQ_MAX 200000

/* What record number seq holds: 0 void, else its mark, from which its payload follows. */
struct oracle {
    uint64_t marks[SEQ_MAX];
    uint64_t next;    /* one past the last number that was claimed */
    uint64_t durable; /* acknowledged */
    uint64_t floor;   /* numbers below were dropped on purpose */
    uint64_t last_mark;
};

struct bed {
    struct oracle *o;
    struct dice dice;
    struct seglog_log *log;
    struct seglog_appender *ap;
    char *dir;
    uint64_t seed;
    uint64_t recycled; /* segments, summed up over all cuts */
};

static size_t payload_of(uint64_t mark, uint8_t *out)
{
    struct dice d = {mark * UINT64_C(0x9E3779B97F4A7C15) | 1};
    const size_t len = 8 + dice_below(&d, dice_below(&d, 10) == 0 ? 6000 : 300);

    memcpy(out, &mark, 8);
    for (size_t i = 8; i < len; i++)
        out[i] = (uint8_t)dice_roll(&d);
    return len;
}

/* ---- workload ------------------------------------------------------------------------------- */

static void note(struct bed *b, uint64_t seq, uint64_t mark)
{
    cr_assert(seq < SEQ_MAX && seq == b->o->next, "seed %llu: number %llu, expected %llu",
              (unsigned long long)b->seed, (unsigned long long)seq, (unsigned long long)b->o->next);
    b->o->marks[seq] = mark;
    b->o->next = seq + 1;
}

/* An append at this level has returned: that says that everything before `next` is durable. */
static void note_durable(struct bed *b, uint32_t sync, uint64_t next)
{
    struct seglog_log_settings settings;

    cr_assert_ok(seglog_log_settings(b->log, &settings));
    if ((sync ? sync : settings.sync) == SEGLOG_SYNC_RECORD && next > b->o->durable)
        b->o->durable = next;
}

static void append_some(struct bed *b)
{
    static uint8_t payloads[8][8192];
    struct seglog_record records[8] = {0};
    uint64_t seq, marks[8];
    const size_t n = 1 + dice_below(&b->dice, 8);

    for (size_t i = 0; i < n; i++) {
        marks[i] = ++b->o->last_mark;
        records[i].data = payloads[i];
        records[i].len = payload_of(marks[i], payloads[i]);
        records[i].tag = (uint32_t)marks[i];
    }
    records[0].sync = dice_below(&b->dice, 12) == 0 ? SEGLOG_SYNC_RECORD : SEGLOG_SYNC_DEFAULT;
    if (n > 1 && dice_below(&b->dice, 2)) {
        const int rc = seglog_appender_append_batch(b->ap, records, n, &seq);

        if (rc == -EMSGSIZE)
            return;
        cr_assert_ok(rc);
        for (size_t i = 0; i < n; i++)
            note(b, seq + i, marks[i]);
        note_durable(b, records[0].sync, seq + n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        cr_assert_ok(seglog_appender_append_record(b->ap, &records[i], &seq));
        note(b, seq, marks[i]);
        note_durable(b, records[i].sync, seq + 1);
    }
}

static void claim_and_abort(struct bed *b)
{
    struct seglog_claim claim;

    cr_assert_ok(seglog_appender_claim(b->ap, 1 + dice_below(&b->dice, 500), &claim));
    memset(claim.data, 0x5A, claim.len);
    note(b, claim.seq, 0);
    cr_assert_ok(seglog_appender_abort(b->ap));
}

static void sync_or_seal(struct bed *b)
{
    const uint64_t what = dice_below(&b->dice, 4);
    uint64_t durable = 0;

    if (what == 0)
        cr_assert_ok(seglog_log_seal(b->log, 1000000000));
    else if (what == 1)
        cr_assert_ok(seglog_log_tend(b->log));
    else
        cr_assert_ok(seglog_log_sync(b->log, &durable));
    cr_assert_ok(seglog_log_progress(b->log, &durable, NULL));
    if (durable > b->o->durable)
        b->o->durable = durable;
}

/* Segments that are made of removed ones' files just now. */
static uint64_t count_recycled(const struct bed *b)
{
    const struct log_view *view = &b->log->view;
    struct segment_list list;
    uint64_t count = 0;

    cr_assert_ok(segment_list_read(view->dirfd, &list));
    for (size_t i = 0; i < list.count; i++) {
        struct segment *seg;

        if (segment_open(view->dirfd, list.numbers[i], view->settings.uuid, SEGMENT_PREAD, &seg,
                         NULL) < 0)
            continue;
        count += seg->facts.recycled;
        segment_close(seg);
    }
    segment_list_free(&list);
    return count;
}

/* The power may fail while a claim is open. */
static void leave_claim_open(struct bed *b)
{
    struct seglog_claim claim;

    if (dice_below(&b->dice, 3) != 0)
        return;
    cr_assert_ok(seglog_appender_claim(b->ap, 1 + dice_below(&b->dice, 500), &claim));
    memset(claim.data, 0xA5, claim.len);
    note(b, claim.seq, 0);
}

static void open_bed(struct bed *b)
{
    /* Threads: the disk sees the calls of this program, not what the kernel does for io_uring. The
     * order of a chain is the same, see tests/io. */
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER,
                                               .io = SEGLOG_IO_THREADS};

    cr_assert_ok(seglog_log_open(b->dir, &options, &b->log));
    cr_assert_ok(seglog_appender_open(b->log, NULL, &b->ap));
}

static void close_bed(struct bed *b)
{
    cr_assert_ok(seglog_appender_close(b->ap));
    cr_assert_ok(seglog_log_close(b->log));
}

static void drop(struct bed *b)
{
    struct floor_facts floor;
    const int rc = log_drop_oldest(b->log);

    if (rc == -EBUSY || rc == -ENOENT)
        return;
    cr_assert_ok(rc);
    cr_assert_ok(log_view_floor(&b->log->view, &floor));
    b->o->floor = floor.first_seq;
}

static void work(struct bed *b)
{
    for (uint64_t n = 1 + dice_below(&b->dice, 60); n > 0; n--) {
        const uint64_t what = dice_below(&b->dice, 40);

        if (what == 0) {
            close_bed(b);
            open_bed(b);
        } else if (what == 1) {
            for (uint64_t k = dice_below(&b->dice, 4); k > 0; k--)
                drop(b);
            cr_assert_ok(seglog_log_tend(b->log)); /* their files may be recycled */
        } else if (what < 5) {
            sync_or_seal(b);
        } else if (what < 8) {
            claim_and_abort(b);
        } else {
            append_some(b);
        }
    }
}

/* ---- oracle --------------------------------------------------------------------------------- */

/* Read the log at dir from `from` on: every record as appended, none skipped. Gives the number after
 * the last record, void ones before it included. */
static uint64_t read_all(const struct bed *b, const char *dir, uint64_t from, const char *when)
{
    static uint8_t want[8192];
    const unsigned long long seed = b->seed;
    struct seglog_reader *reader;
    struct seglog_view view;
    uint64_t seq = from;
    int rc;

    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    while ((rc = seglog_reader_next(reader, &view)) == 0) {
        size_t len;

        while (seq < b->o->next && b->o->marks[seq] == 0)
            seq++;
        cr_assert(view.seq == seq && seq < b->o->next,
                  "seed %llu, %s: record %llu where %llu was due (of %llu)", seed, when,
                  (unsigned long long)view.seq, (unsigned long long)seq,
                  (unsigned long long)b->o->next);
        len = payload_of(b->o->marks[seq], want);
        cr_assert(view.len == len && memcmp(view.data, want, len) == 0,
                  "seed %llu, %s: record %llu is not what was appended", seed, when,
                  (unsigned long long)seq);
        seglog_reader_release(reader);
        seq++;
    }
    cr_assert(rc == -EAGAIN, "seed %llu, %s: %s at %llu", seed, when, seglog_status_name(rc),
              (unsigned long long)seq);
    seglog_reader_close(reader);
    return seq;
}

static void check_durable(const struct bed *b, uint64_t seq, const char *when)
{
    for (uint64_t s = seq; s < b->o->durable; s++)
        cr_assert(b->o->marks[s] == 0,
                  "seed %llu, %s: durable record %llu is gone (end %llu, durable %llu)",
                  (unsigned long long)b->seed, when, (unsigned long long)s, (unsigned long long)seq,
                  (unsigned long long)b->o->durable);
}

/* The first number kept: a drop whose floor had been made durable may have been at work. */
static uint64_t first_of(const char *dir)
{
    struct seglog_reader *reader;
    uint64_t first = 0;

    cr_assert_ok(seglog_reader_open(dir, NULL, &reader));
    cr_assert_ok(seglog_reader_bounds(reader, &first, NULL));
    seglog_reader_close(reader);
    return first;
}

/* One image: read, recover, read, append, verify. The bed moves to it. */
static void survive(struct bed *b, char *image)
{
    struct seglog_recovery recovery;
    struct seglog_verify_report report;
    const uint64_t first = first_of(image);
    uint64_t before, after, next = 0;

    cr_assert(first <= b->o->floor || first <= b->o->durable, "seed %llu: the floor moved",
              (unsigned long long)b->seed);
    before = read_all(b, image, first, "before recovery");
    check_durable(b, before, "before recovery");
    b->dir = image;
    open_bed(b);
    cr_assert_ok(seglog_log_recovery(b->log, &recovery));
    after = read_all(b, image, first, "after recovery");
    cr_assert(after == before, "seed %llu: read to %llu before, to %llu after recovery",
              (unsigned long long)b->seed, (unsigned long long)before, (unsigned long long)after);
    cr_assert_ok(seglog_log_progress(b->log, NULL, &next));
    cr_assert(next >= after && next <= b->o->next);
    b->o->next = next;
    for (int i = 0; i < 5; i++)
        append_some(b);
    read_all(b, image, first, "after appending");
    cr_assert_eq(seglog_verify(image, NULL, &report), 0, "seed %llu: verify finds damage",
                 (unsigned long long)b->seed);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* Gives how many recycled segments the cuts met. */
static uint64_t one_seed(uint64_t seed, unsigned cuts)
{
    static const uint32_t levels[] = {SEGLOG_SYNC_NONE, SEGLOG_SYNC_SEALED, SEGLOG_SYNC_RECORD};
    const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                               .sync = levels[seed % 3]};
    char *top = tmpdir_make();
    struct bed b = {.o = calloc(1, sizeof(*b.o)), .seed = seed};

    cr_assert_not_null(b.o);
    b.dice.state = seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
    b.dir = tmpdir_path(top, "log");
    cr_assert_ok(seglog_log_create(b.dir, &options));
    disk_watch(b.dir);
    open_bed(&b);
    for (unsigned cut = 0; cut < cuts; cut++) {
        char name[32], *image, *past = b.dir;

        work(&b);
        leave_claim_open(&b);
        b.recycled += count_recycled(&b);
        snprintf(name, sizeof(name), "cut%u", cut);
        image = tmpdir_path(top, name);
        cr_assert_eq(mkdir(image, 0750), 0);
        disk_cut(image, &b.dice);
        close_bed(&b);
        disk_watch(image);
        survive(&b, image);
        free(past);
    }
    close_bed(&b);
    disk_watch(NULL);
    free(b.dir);
    free(b.o);
    tmpdir_remove(top);
    return b.recycled;
}

Test(powercut, what_was_acknowledged_survives_and_nothing_is_invented, .timeout = 900)
{
    const uint64_t only = setting("SEGLOG_SEED", 0);
    const unsigned cuts = 6;
    uint64_t recycled = 0;
    const uint64_t images = setting("SEGLOG_CUTS", getenv("SEGLOG_TEST_QUICK") ? 60 : 600);

    if (only) {
        one_seed(only, cuts);
        return;
    }
    for (uint64_t seed = 1; seed <= images / cuts; seed++)
        recycled += one_seed(seed, cuts);
    cr_assert_gt(recycled, 0);
    printf("power cuts: %llu images, %llu units lost, %llu kept, %llu recycled segments\n",
           (unsigned long long)images, (unsigned long long)disk_units_old,
           (unsigned long long)disk_units_new, (unsigned long long)recycled);
}
