/*
 * The cursor, trims, archives: see keep.h. Whether archives hold what they should is not asked here:
 * every record is read, wherever it lies, and every file verified.
 */
#include "powercut/keep.h"

#include "log/handle.h"

#include <seglog/archive.h>
#include <seglog/cursor.h>

#include <errno.h>

#define CURSOR "follower"

/* ---- the cursor ----------------------------------------------------------------------------- */

static int follower_open(struct bed *b, uint32_t flags, struct seglog_cursor **out)
{
    const struct seglog_cursor_options options = {.flags = flags | SEGLOG_CURSOR_SKIP};

    return seglog_cursor_open(b->dir, CURSOR, &options, out);
}

/* Where the first record is. */
static uint64_t beginning(struct bed *b)
{
    struct seglog_reader *reader;
    uint64_t seq;

    ORACLE_OK(b->o, seglog_reader_open(b->dir, NULL, &reader));
    ORACLE_OK(b->o, seglog_reader_position(reader, &seq, NULL));
    seglog_reader_close(reader);
    return seq;
}

/* Durable when the call has returned. */
static void follower_make(struct bed *b)
{
    const struct seglog_place first = {.kind = SEGLOG_PLACE_FIRST};
    const uint64_t at = beginning(b) + 1;
    struct seglog_cursor *cursor;

    kept_may(&b->o->cursor, at);
    if (dice_below(&b->dice, 2)) {
        ORACLE_OK(b->o, seglog_cursor_set(b->dir, CURSOR, &first, 0, NULL));
    } else {
        ORACLE_OK(b->o, follower_open(b, SEGLOG_CURSOR_CREATE, &cursor));
        ORACLE_OK(b->o, seglog_cursor_close(cursor));
    }
    kept_is(&b->o->cursor, at);
}

static void follower_remove(struct bed *b)
{
    kept_may(&b->o->cursor, 0);
    ORACLE_OK(b->o, seglog_cursor_remove(b->dir, CURSOR));
    kept_is(&b->o->cursor, 0);
}

/* Store the place behind the last record read; the same place again is stored, too. */
static void follower_commit(struct bed *b, struct seglog_cursor *cursor, uint64_t next,
                            bool durable)
{
    struct seglog_view view;

    for (uint64_t n = dice_below(&b->dice, 20); n > 0; n--) {
        const int rc = seglog_cursor_next(cursor, &view);

        ORACLE_MUST(b->o, rc == 0 || rc == -EAGAIN, "cursor: %s", seglog_status_name(rc));
        if (rc == -EAGAIN)
            break;
        next = view.seq + 1;
        seglog_reader_release(seglog_cursor_reader(cursor));
    }
    kept_may(&b->o->cursor, next + 1);
    ORACLE_OK(b->o, seglog_cursor_commit(cursor, next));
    if (durable)
        kept_is(&b->o->cursor, next + 1);
}

static void follower_move(struct bed *b)
{
    const bool durable = dice_below(&b->dice, 2) == 0;
    struct seglog_cursor *cursor;
    uint64_t at;

    ORACLE_OK(b->o, follower_open(b, durable ? SEGLOG_CURSOR_DURABLE : 0, &cursor));
    for (uint64_t n = 1 + dice_below(&b->dice, 3); n > 0 && !kept_is_full(&b->o->cursor); n--) {
        ORACLE_OK(b->o, seglog_reader_position(seglog_cursor_reader(cursor), &at, NULL));
        follower_commit(b, cursor, at, durable);
    }
    ORACLE_OK(b->o, seglog_cursor_close(cursor));
}

static void follow(struct bed *b)
{
    if (kept_is_full(&b->o->cursor))
        follower_remove(b);
    else if (kept_now(&b->o->cursor) == 0)
        follower_make(b);
    else if (dice_below(&b->dice, 12) == 0)
        follower_remove(b);
    else
        follower_move(b);
}

/* ---- trims ---------------------------------------------------------------------------------- */

static void trim(struct bed *b)
{
    struct seglog_trim_options options = {0};
    struct seglog_trim_report plan, done;
    const uint64_t cursor = kept_now(&b->o->cursor);
    struct floor_facts floor;

    if (dice_below(&b->dice, 2) == 0) {
        options.flags = SEGLOG_TRIM_BEFORE;
        options.before_seq = dice_below(&b->dice, b->o->next + 1);
    } else {
        options.keep_segments = 1 + dice_below(&b->dice, 3);
    }
    if (dice_below(&b->dice, 4) == 0)
        options.flags |= SEGLOG_TRIM_FORCE;
    ORACLE_OK(b->o, seglog_trim_plan(b->dir, &options, &plan));
    ORACLE_MUST(b->o,
                plan.first_seq == b->o->floor || !(options.flags & SEGLOG_TRIM_BEFORE) ||
                    plan.first_seq <= options.before_seq,
                "a trim before %llu goes up to %llu", (unsigned long long)options.before_seq,
                (unsigned long long)plan.first_seq);
    ORACLE_MUST(b->o,
                plan.first_seq == b->o->floor || (options.flags & SEGLOG_TRIM_FORCE) ||
                    cursor == 0 || plan.first_seq <= cursor - 1,
                "a trim goes past the cursor at %llu, up to %llu", (unsigned long long)cursor - 1,
                (unsigned long long)plan.first_seq);
    b->o->floor_may = plan.first_seq;
    ORACLE_OK(b->o, seglog_log_trim(b->logs[0], &options, &done));
    ORACLE_OK(b->o, log_view_floor(&b->logs[0]->view, &floor));
    ORACLE_MUST(b->o, done.first_seq == plan.first_seq && floor.first_seq == plan.first_seq,
                "a trim was to go up to %llu, and went up to %llu",
                (unsigned long long)plan.first_seq, (unsigned long long)done.first_seq);
    b->o->floor = b->o->floor_may = plan.first_seq;
}

/* ---- archives ------------------------------------------------------------------------------- */

/* In this thread, as all else. */
static void archive(struct bed *b)
{
    const struct seglog_archive_options options = {.keep = dice_below(&b->dice, 3)};
    struct seglog_archive_report report = {0};

    ORACLE_OK(b->o, log_archive(&b->logs[0]->view, NULL, &options, &report));
    ORACLE_MUST(b->o, report.damaged == 0, "%llu segments could not be archived",
                (unsigned long long)report.damaged);
    b->archived += report.segments;
}

void keep_work(struct bed *b)
{
    const uint64_t what = dice_below(&b->dice, 8);

    if (what < 2)
        trim(b);
    else if (what < 4)
        archive(b);
    else
        follow(b);
}

/* ---- afterwards ----------------------------------------------------------------------------- */

void keep_check(struct oracle *o, const char *dir, struct found found, const char *when)
{
    struct seglog_cursor_info info = {0};
    int rc = seglog_cursor_info_read(dir, CURSOR, &info);
    uint64_t at;

    if (rc == 0)
        rc = info.status;
    ORACLE_MUST(o, rc == 0 || rc == -ENODATA || rc == SEGLOG_ETRIMMED || rc == SEGLOG_EREWOUND,
                "%s: cursor: %s", when, seglog_status_name(rc));
    at = rc == -ENODATA ? 0 : info.seq + 1;
    ORACLE_MUST(o, kept_allows(&o->cursor, at),
                "%s: the cursor stands at %llu - 1; durable is %llu, %u more, last %llu", when,
                (unsigned long long)at, (unsigned long long)o->cursor.durable, o->cursor.count,
                (unsigned long long)kept_now(&o->cursor));
    ORACLE_MUST(o, rc != SEGLOG_ETRIMMED || at - 1 < found.first,
                "%s: a cursor at %llu is called trimmed, the log begins at %llu", when,
                (unsigned long long)at - 1, (unsigned long long)found.first);
    ORACLE_MUST(o, rc != SEGLOG_EREWOUND || at - 1 > found.end || o->was_cut,
                "%s: a cursor at %llu is called rewound, the log ends at %llu", when,
                (unsigned long long)at - 1, (unsigned long long)found.end);
    ORACLE_MUST(o, rc != 0 || info.resume_seq >= info.seq, "%s: a cursor at %llu goes on at %llu",
                when, (unsigned long long)info.seq, (unsigned long long)info.resume_seq);
    kept_is(&o->cursor, at);
}
