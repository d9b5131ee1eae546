/*
 * A process that runs out of memory or descriptors at any moment of a log's whole life.
 *
 * One story from creating to verifying, told again and again; each time something else cannot be
 * had. The call that meets it says so, the same call succeeds once there is enough, nothing is lost,
 * nothing is held on to, and nobody is told of damage that is none.
 */
#include <seglog/inspect.h>
#include <seglog/log.h>
#include <seglog/reader.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/scarce.h"
#include "support/build_log.h"
#include "support/check.h"
#include "support/tmpdir.h"

#define RECORDS  12
#define LEN      15000
#define PATIENCE UINT64_C(60000000000)

struct story {
    const char *dir;
    int scarce;  /* -ENOMEM, -EMFILE */
    unsigned n;  /* which one is not to be had */
    bool is_met; /* some call has said so */
};

static void relieve(void)
{
    scarce_memory(0);
    scarce_descriptors_end();
}

/* After a call that gave rc: has it met the want? Then there is enough from now on. */
static bool was_scarce(struct story *story, int rc)
{
    if (rc != story->scarce || story->is_met)
        return false;
    story->is_met = true;
    relieve();
    return true;
}

/* Once more, if it could not be had. */
#define must(story_, call_)                                                               \
    do {                                                                                  \
        int must_rc_ = (int)(call_);                                                      \
        if (was_scarce((story_), must_rc_))                                               \
            must_rc_ = (int)(call_);                                                      \
        cr_assert(must_rc_ >= 0, "%s gave %d %s, at the want of %s %u", #call_, must_rc_, \
                  seglog_status_name(must_rc_),                                           \
                  (story_)->scarce == -ENOMEM ? "memory" : "descriptor", (story_)->n);    \
    } while (0)

static void write_part(struct story *story)
{
    static const struct seglog_log_options create = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                                     .sync = SEGLOG_SYNC_NONE};
    static const struct seglog_log_options open = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_appender *ap = NULL;
    struct seglog_log *log = NULL;
    char payload[LEN];

    must(story, seglog_log_create(story->dir, &create));
    must(story, seglog_log_open(story->dir, &open, &log));
    must(story, seglog_appender_open(log, NULL, &ap));
    for (int i = 0; i < RECORDS; i++) {
        uint64_t seq;

        memset(payload, 'a' + i, sizeof(payload));
        must(story, seglog_appender_append(ap, payload, sizeof(payload), &seq));
        cr_assert_eq(seq, (uint64_t)i);
        if (i == RECORDS / 2)
            must(story, seglog_log_sync(log, NULL));
        if (i % 4 == 3)
            must(story, seglog_log_tend(log));
    }
    must(story, seglog_log_seal(log, PATIENCE));
    must(story, seglog_log_progress(log, NULL, &(uint64_t){0}));
    must(story, seglog_appender_append(ap, payload, 10, NULL));
    must(story, seglog_appender_close(ap));
    must(story, seglog_log_close(log));
}

static void expect(const struct seglog_view *view, uint64_t seq)
{
    const char *bytes = view->data;

    cr_assert_eq(view->seq, seq);
    if (seq < RECORDS)
        cr_assert(view->len == LEN && bytes[0] == 'a' + (int)seq && bytes[LEN - 1] == bytes[0]);
}

static void read_part(struct story *story, uint32_t flags)
{
    const struct seglog_reader_options options = {.flags = flags};
    const struct seglog_place middle = {.kind = SEGLOG_PLACE_SEQ, .value = RECORDS / 2};
    struct seglog_reader *reader = NULL;
    struct seglog_view view;

    must(story, seglog_reader_open(story->dir, &options, &reader));
    for (uint64_t seq = 0; seq <= RECORDS; seq++) {
        must(story, seglog_reader_next(reader, &view));
        expect(&view, seq);
    }
    cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
    for (uint64_t seq = RECORDS + 1; seq-- > 0;) {
        must(story, seglog_reader_prev(reader, &view));
        expect(&view, seq);
    }
    must(story, seglog_reader_seek(reader, &middle));
    must(story, seglog_reader_next(reader, &view));
    expect(&view, RECORDS / 2);
    must(story, seglog_reader_bounds(reader, NULL, &(uint64_t){0}));
    seglog_reader_close(reader);
}

static void inspect_part(struct story *story)
{
    struct seglog_verify_report report;
    struct seglog_info info = {0};

    must(story, seglog_info_read(story->dir, &info));
    cr_assert_eq(info.records, RECORDS + 1, "info counts %llu records at the want of %u",
                 (unsigned long long)info.records, story->n);
    seglog_info_free(&info);
    must(story, seglog_verify(story->dir, NULL, &report));
    cr_assert_eq(report.damage_count, 0, "damage is told at the want of %u", story->n);
    cr_assert_eq(report.records, RECORDS + 1);
}

static void tell(struct story *story)
{
    write_part(story);
    read_part(story, 0);
    read_part(story, SEGLOG_READER_COPY);
    inspect_part(story);
}

/* The story with enough of everything: what is kept for the process's life is kept from here on. */
static void warm_up(void)
{
    char *dir = tmpdir_make();
    struct story story = {.dir = dir, .is_met = true};

    tell(&story);
    tmpdir_remove(dir);
}

/* One story. false: there was enough for all of it. */
static bool tell_with(int scarce, unsigned n)
{
    char *dir = tmpdir_make();
    const struct holdings before = holdings_of(dir);
    struct story story = {.dir = dir, .scarce = scarce, .n = n};
    struct holdings after;
    bool is_met;

    if (scarce == -ENOMEM)
        scarce_memory(n);
    else
        scarce_descriptors(n);
    tell(&story);
    is_met = story.is_met || scarce_memory_met();
    relieve();
    after = holdings_of(dir);
    cr_assert_eq(after.descriptors, before.descriptors, "descriptors stay open at the want of %u",
                 n);
    cr_assert_eq(after.mappings, 0, "mappings stay at the want of %u", n);
    cr_assert_eq(after.blocks, before.blocks, "%zu blocks of memory stay at the want of %u",
                 after.blocks - before.blocks, n);
    tmpdir_remove(dir);
    return is_met;
}

Test(scarce, memory_at_every_single_allocation)
{
    unsigned n = 1;

    warm_up();
    while (tell_with(-ENOMEM, n))
        n++;
    cr_assert_gt(n, 40, "only %u allocations were met", n);
}

Test(scarce, descriptors_at_every_possible_count)
{
    unsigned n = 0;

    warm_up();
    while (tell_with(-EMFILE, n))
        n++;
    cr_assert_gt(n, 4, "only %u descriptors were met", n);
}

/* ---- beside damage that is there -------------------------------------------------------------- */

static struct seglog_damage damage_met(struct seglog_reader *reader, int rc, unsigned n)
{
    struct seglog_damage damage;

    cr_assert_eq(rc, SEGLOG_EMISSING, "%s at the want of %u", seglog_status_name(rc), n);
    cr_assert_ok(seglog_reader_damage(reader, &damage));
    return damage;
}

/* Segment 1 of four, each of 3 records, is missing: forward, then backward. */
static void read_around(struct story *story)
{
    struct seglog_reader *reader = NULL;
    struct seglog_damage damage;
    struct seglog_view view;
    int rc;

    must(story, seglog_reader_open(story->dir, NULL, &reader));
    for (uint64_t seq = 0; seq < 3; seq++)
        must(story, seglog_reader_next(reader, &view));
    rc = seglog_reader_next(reader, &view);
    if (was_scarce(story, rc))
        rc = seglog_reader_next(reader, &view);
    damage = damage_met(reader, rc, story->n);
    cr_assert(damage.first_seq == 3 && damage.last_seq == 5, "%llu to %llu at the want of %u",
              (unsigned long long)damage.first_seq, (unsigned long long)damage.last_seq, story->n);
    for (uint64_t seq = 6; seq < 12; seq++) {
        must(story, seglog_reader_next(reader, &view));
        cr_assert_eq(view.seq, seq);
    }
    seglog_reader_release(reader);
    for (uint64_t seq = 12; seq-- > 6;)
        must(story, seglog_reader_prev(reader, &view));
    seglog_reader_release(reader);
    rc = seglog_reader_prev(reader, &view);
    if (was_scarce(story, rc))
        rc = seglog_reader_prev(reader, &view);
    damage = damage_met(reader, rc, story->n);
    cr_assert(damage.first_seq == 3 && damage.last_seq == 5, "back: %llu to %llu at the want of %u",
              (unsigned long long)damage.first_seq, (unsigned long long)damage.last_seq, story->n);
    must(story, seglog_reader_prev(reader, &view));
    cr_assert_eq(view.seq, 2);
    seglog_reader_close(reader);
}

static void build_missing(struct build_log *log)
{
    struct build_segment segs[4];

    build_log_make(log);
    for (unsigned i = 0; i < 4; i++) {
        build_begin(log, i > 0 ? &segs[i - 1] : NULL, &segs[i]);
        build_records(&segs[i], 3);
        if (i < 3) {
            build_roll(&segs[i]);
            build_seal(&segs[i], i > 0 ? &segs[i - 1] : NULL);
        }
    }
    for (unsigned i = 0; i < 4; i++)
        build_close(&segs[i]);
    build_log_unlink(log, 1);
}

Test(scarce, no_more_is_called_lost_than_is)
{
    struct build_log log;
    bool is_met = true;

    build_missing(&log);
    for (unsigned n = 1; is_met; n++) {
        struct story story = {.dir = log.dir, .scarce = -ENOMEM, .n = n};

        scarce_memory(n);
        read_around(&story);
        is_met = story.is_met || scarce_memory_met();
        relieve();
    }
    is_met = true;
    for (unsigned n = 0; is_met; n++) {
        struct story story = {.dir = log.dir, .scarce = -EMFILE, .n = n};

        scarce_descriptors(n);
        read_around(&story);
        is_met = story.is_met;
        relieve();
    }
    build_log_remove(&log);
}
