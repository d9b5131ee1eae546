/*
 * Cursors, cells and tables: see beside.h. Values follow from a mark, as records do.
 */
#include "fscut/beside.h"

#include <seglog/cell.h>
#include <seglog/cursor.h>
#include <seglog/table.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void path_of(const char *dir, const char *what, uint32_t worker, char out[WORK_PATH])
{
    snprintf(out, WORK_PATH, "%s/%s-%u", dir, what, worker);
}

static void cursor_name(uint32_t worker, char out[16])
{
    snprintf(out, 16, "follower-%u", worker);
}

/* ---- the cursor ----------------------------------------------------------------------------- */

/* Durable when the call has returned. */
static void cursor_make(struct worker *w, const char *name)
{
    const struct seglog_place first = {.kind = SEGLOG_PLACE_FIRST};
    struct seglog_cursor_info info = {0};
    struct tape_note *note = tape_may(w->tape, TAPE_CURSOR + w->number, TAPE_UNKNOWN, true);
    const int rc = seglog_cursor_set(w->dir, name, &first, 0, &info);

    WORK_MUST(rc == 0 || rc == -EBUSY, "cursor set: %s", seglog_status_name(rc));
    if (rc == 0)
        tape_is(w->tape, note, info.seq + 1);
}

static void cursor_remove(struct worker *w, const char *name)
{
    struct tape_note *note = tape_may(w->tape, TAPE_CURSOR + w->number, 0, true);

    WORK_OK(seglog_cursor_remove(w->dir, name));
    tape_is(w->tape, note, 0);
}

/* Store the place behind the last record read; the same place again is stored, too. */
static void cursor_commit(struct worker *w, struct seglog_cursor *cursor, bool durable)
{
    struct tape_note *note;
    struct seglog_view view;
    uint64_t next;

    WORK_OK(seglog_reader_position(seglog_cursor_reader(cursor), &next, NULL));
    for (uint64_t n = dice_below(&w->dice, 400); n > 0; n--) {
        const int rc = seglog_cursor_next(cursor, &view);

        WORK_MUST(rc == 0 || rc == -EAGAIN || rc == SEGLOG_ETRIMMED, "cursor: %s",
                  seglog_status_name(rc));
        if (rc < 0)
            break;
        next = view.seq + 1;
        seglog_reader_release(seglog_cursor_reader(cursor));
    }
    note = tape_may(w->tape, TAPE_CURSOR + w->number, next + 1, durable);
    WORK_OK(seglog_cursor_commit(cursor, next));
    tape_is(w->tape, note, next + 1);
}

static void cursor_work(struct worker *w)
{
    const bool durable = dice_below(&w->dice, 2) == 0;
    const struct seglog_cursor_options options = {.flags = SEGLOG_CURSOR_SKIP |
                                                           (durable ? SEGLOG_CURSOR_DURABLE : 0)};
    struct seglog_cursor *cursor;
    char name[16];
    int rc;

    cursor_name(w->number, name);
    rc = seglog_cursor_open(w->dir, name, &options, &cursor);
    if (rc == -ENODATA) {
        cursor_make(w, name);
        return;
    }
    WORK_MUST(rc == 0 || rc == SEGLOG_ETRIMMED, "cursor open: %s", seglog_status_name(rc));
    if (rc < 0) /* trimmed meanwhile */
        return;
    for (uint64_t n = 1 + dice_below(&w->dice, 3); n > 0; n--)
        cursor_commit(w, cursor, durable);
    WORK_OK(seglog_cursor_close(cursor));
    if (dice_below(&w->dice, 12) == 0)
        cursor_remove(w, name);
}

/* ---- the cell ------------------------------------------------------------------------------- */

static void cell_work(struct worker *w)
{
    const struct seglog_cell_options options = {
        .flags = SEGLOG_CELL_WRITE | SEGLOG_CELL_CREATE | SEGLOG_CELL_DURABLE, .slots = 2};
    uint8_t value[DICE_BYTES];
    struct seglog_cell *cell;
    char path[WORK_PATH];

    path_of(w->dir, "cell", w->number, path);
    WORK_OK(seglog_cell_open(path, &options, &cell));
    for (uint64_t n = 1 + dice_below(&w->dice, 4); n > 0; n--) {
        const uint64_t mark = work_mark(w);
        struct tape_note *note = tape_may(w->tape, TAPE_CELL + w->number, mark, true);

        WORK_OK(seglog_cell_publish(cell, value, dice_payload(mark, value)));
        tape_is(w->tape, note, mark);
    }
    seglog_cell_close(cell);
}

/* ---- the table ------------------------------------------------------------------------------ */

static uint32_t key_object(uint32_t worker, uint64_t key)
{
    return TAPE_KEY + worker * TAPE_KEYS + (uint32_t)key;
}

/* The mark of these bytes; 0: they are nobody's. */
static uint64_t mark_of(const uint8_t *value, size_t len)
{
    uint8_t want[DICE_BYTES];
    uint64_t mark = 0;

    memcpy(&mark, value, len < 8 ? len : 8);
    return dice_payload(mark, want) == len && memcmp(value, want, len) == 0 ? mark : 0;
}

/* Whoever died here may have left either of two values: what the table has now is what is flushed. */
static void table_flush(struct worker *w, struct seglog_table *table)
{
    struct tape_note *notes[TAPE_KEYS];
    uint64_t now[TAPE_KEYS];

    for (uint64_t key = 0; key < TAPE_KEYS; key++) {
        uint8_t value[DICE_BYTES];
        size_t len;
        const int rc = seglog_table_get(table, &key, sizeof(key), value, sizeof(value), &len);

        WORK_MUST(rc == 0 || rc == -ENOENT, "table get: %s", seglog_status_name(rc));
        now[key] = rc == 0 ? mark_of(value, len) : 0;
        WORK_MUST(rc != 0 || now[key] != 0, "a value that nobody put there");
        notes[key] = tape_may(w->tape, key_object(w->number, key), now[key], true);
    }
    WORK_OK(seglog_table_flush(table));
    for (uint64_t key = 0; key < TAPE_KEYS; key++)
        tape_is(w->tape, notes[key], now[key]);
}

static void table_change(struct worker *w, struct seglog_table *table)
{
    const uint64_t key = dice_below(&w->dice, TAPE_KEYS);
    const uint64_t mark = dice_below(&w->dice, 3) == 0 ? 0 : work_mark(w);
    struct tape_note *note = tape_may(w->tape, key_object(w->number, key), mark, false);
    uint8_t value[DICE_BYTES];
    int rc;

    if (mark == 0) {
        rc = seglog_table_remove(table, &key, sizeof(key));
        WORK_MUST(rc == 0 || rc == -ENOENT, "table remove: %s", seglog_status_name(rc));
    } else {
        WORK_OK(seglog_table_put(table, &key, sizeof(key), value, dice_payload(mark, value)));
    }
    tape_is(w->tape, note, mark);
}

static void table_work(struct worker *w)
{
    const struct seglog_table_options options = {.flags = SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE,
                                                 .shards = 2};
    struct seglog_table *table;
    char path[WORK_PATH];

    path_of(w->dir, "table", w->number, path);
    WORK_OK(seglog_table_open(path, &options, &table));
    for (uint64_t n = 1 + dice_below(&w->dice, 30); n > 0; n--) {
        if (dice_below(&w->dice, 12) == 0)
            table_flush(w, table);
        else
            table_change(w, table);
    }
    seglog_table_close(table);
}

void beside_work(struct worker *w)
{
    const uint64_t what = dice_below(&w->dice, 8);

    if (w->calm && dice_below(&w->dice, 4) != 0)
        return;
    if (what < 4)
        cursor_work(w);
    else if (what < 6)
        cell_work(w);
    else
        table_work(w);
}

/* ---- afterwards ----------------------------------------------------------------------------- */

static void check_cursor(const struct beside_cut *c, uint32_t worker)
{
    struct seglog_cursor_info info = {0};
    char name[16];
    uint64_t at;
    int rc;

    cursor_name(worker, name);
    rc = seglog_cursor_info_read(c->dir, name, &info);
    if (rc == 0)
        rc = info.status;
    WORK_MUST(rc == 0 || rc == -ENODATA || rc == SEGLOG_ETRIMMED || rc == SEGLOG_EREWOUND,
              "%s: %s: %s", c->when, name, seglog_status_name(rc));
    at = rc == -ENODATA ? 0 : info.seq + 1;
    WORK_MUST(tape_allows(c->tape, TAPE_CURSOR + worker, c->cut, at, false),
              "%s: %s stands at %llu - 1", c->when, name, (unsigned long long)at);
    WORK_MUST(rc != SEGLOG_ETRIMMED || at - 1 < c->first,
              "%s: %s at %llu is called trimmed, the log begins at %llu", c->when, name,
              (unsigned long long)at - 1, (unsigned long long)c->first);
    WORK_MUST(rc != 0 || info.resume_seq >= info.seq, "%s: %s at %llu goes on at %llu", c->when,
              name, (unsigned long long)info.seq, (unsigned long long)info.resume_seq);
}

static void check_cell(const struct beside_cut *c, uint32_t worker)
{
    const struct seglog_cell_options options = {.flags = c->writes ? SEGLOG_CELL_WRITE : 0};
    uint8_t value[DICE_BYTES];
    struct seglog_cell *cell;
    char path[WORK_PATH];
    uint64_t mark = 0;
    size_t len;
    int rc;

    path_of(c->dir, "cell", worker, path);
    rc = seglog_cell_open(path, &options, &cell);
    if (rc == 0) {
        rc = seglog_cell_read(cell, value, sizeof(value), &len, NULL);
        seglog_cell_close(cell);
        if (rc == 0)
            mark = mark_of(value, len);
        WORK_MUST(rc != 0 || mark != 0, "%s: cell %u has a value that nobody put there", c->when,
                  worker);
    }
    WORK_MUST(rc == 0 || rc == -ENOENT || rc == -ENODATA, "%s: cell %u: %s", c->when, worker,
              seglog_status_name(rc));
    WORK_MUST(tape_allows(c->tape, TAPE_CELL + worker, c->cut, mark, false),
              "%s: cell %u has value %llu", c->when, worker, (unsigned long long)mark);
}

static void check_key(const struct beside_cut *c, uint32_t worker, struct seglog_table *table,
                      uint64_t key)
{
    const uint32_t object = key_object(worker, key);
    uint8_t value[DICE_BYTES];
    uint64_t mark = 0;
    size_t len;
    int rc = -ENOENT;

    if (table)
        rc = seglog_table_get(table, &key, sizeof(key), value, sizeof(value), &len);
    if (rc == 0)
        mark = mark_of(value, len);
    WORK_MUST(rc != 0 || mark != 0, "%s: table %u, key %llu has a value that nobody put there",
              c->when, worker, (unsigned long long)key);
    /* To a reader, a key that may not be there may be spoiled. */
    WORK_MUST(rc == 0 || rc == -ENOENT || (rc == SEGLOG_ECORRUPT && !c->writes),
              "%s: table %u, key %llu: %s", c->when, worker, (unsigned long long)key,
              seglog_status_name(rc));
    WORK_MUST(tape_allows(c->tape, object, c->cut, mark, true),
              "%s: table %u, key %llu has value %llu, rc %d", c->when, worker,
              (unsigned long long)key, (unsigned long long)mark, rc);
}

static void check_table(const struct beside_cut *c, uint32_t worker)
{
    const struct seglog_table_options options = {.flags = c->writes ? SEGLOG_TABLE_WRITE : 0};
    struct seglog_table *table = NULL;
    char path[WORK_PATH];
    int rc;

    path_of(c->dir, "table", worker, path);
    rc = seglog_table_open(path, &options, &table);
    WORK_MUST(rc == 0 || rc == -ENOENT, "%s: table %u: %s", c->when, worker,
              seglog_status_name(rc));
    for (uint64_t key = 0; key < TAPE_KEYS; key++)
        check_key(c, worker, table, key);
    seglog_table_close(table);
}

void beside_check(const struct beside_cut *c)
{
    for (uint32_t worker = 0; worker < TAPE_WORK; worker++) {
        check_cursor(c, worker);
        check_cell(c, worker);
        check_table(c, worker);
    }
}
