/*
 * The cell and the table: see state.h. Values follow from a mark, as records do.
 */
#include "powercut/state.h"

#include <seglog/cell.h>
#include <seglog/table.h>

#include <errno.h>
#include <string.h>

#define PATH_BYTES 600

static void path_of(const char *dir, const char *name, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%s/%s", dir, name);
}

/* ---- at work -------------------------------------------------------------------------------- */

static void publish(struct bed *b, struct seglog_cell *cell)
{
    uint8_t value[DICE_BYTES];
    const uint64_t mark = ++b->o->last_mark;
    const size_t len = dice_payload(mark, value);
    void *at;

    if (dice_below(&b->dice, 4) == 0) { /* begun, and given up */
        ORACLE_OK(b->o, seglog_cell_reserve(cell, len, &at));
        memcpy(at, value, len);
        ORACLE_OK(b->o, seglog_cell_abort(cell));
        return;
    }
    kept_may(&b->o->cell, mark);
    ORACLE_OK(b->o, seglog_cell_publish(cell, value, len));
    kept_is(&b->o->cell, mark);
}

static void cell_work(struct bed *b)
{
    const struct seglog_cell_options options = {
        .flags = SEGLOG_CELL_WRITE | SEGLOG_CELL_CREATE | SEGLOG_CELL_DURABLE, .slots = 2};
    struct seglog_cell *cell;
    char path[PATH_BYTES];

    path_of(b->dir, "cell", path);
    ORACLE_OK(b->o, seglog_cell_open(path, &options, &cell));
    for (uint64_t n = 1 + dice_below(&b->dice, 4); n > 0; n--)
        publish(b, cell);
    seglog_cell_close(cell);
}

static void table_flush(struct bed *b, struct seglog_table *table)
{
    ORACLE_OK(b->o, seglog_table_flush(table));
    for (uint64_t key = 0; key < ORACLE_KEYS; key++)
        kept_is(&b->o->table[key], kept_now(&b->o->table[key]));
}

static void table_change(struct bed *b, struct seglog_table *table)
{
    const uint64_t key = dice_below(&b->dice, ORACLE_KEYS);
    struct kept *kept = &b->o->table[key];
    uint8_t value[DICE_BYTES];
    uint64_t mark;
    int rc;

    if (kept_is_full(kept))
        table_flush(b, table);
    if (dice_below(&b->dice, 3) == 0) {
        const bool is_there = kept_now(kept) != 0;

        kept_may(kept, 0);
        rc = seglog_table_remove(table, &key, sizeof(key));
        ORACLE_MUST(b->o, rc == (is_there ? 0 : -ENOENT), "remove: %s", seglog_status_name(rc));
        return;
    }
    mark = ++b->o->last_mark;
    kept_may(kept, mark);
    ORACLE_OK(b->o, seglog_table_put(table, &key, sizeof(key), value, dice_payload(mark, value)));
}

static void table_work(struct bed *b)
{
    const struct seglog_table_options options = {.flags = SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE,
                                                 .shards = 2};
    struct seglog_table *table;
    char path[PATH_BYTES];

    path_of(b->dir, "table", path);
    ORACLE_OK(b->o, seglog_table_open(path, &options, &table));
    for (uint64_t n = 1 + dice_below(&b->dice, 30); n > 0; n--) {
        if (dice_below(&b->dice, 12) == 0)
            table_flush(b, table);
        else
            table_change(b, table);
    }
    seglog_table_close(table);
}

void state_work(struct bed *b)
{
    if (dice_below(&b->dice, 2))
        cell_work(b);
    else
        table_work(b);
}

/* ---- afterwards ----------------------------------------------------------------------------- */

/* The mark of these bytes. */
static uint64_t mark_of(const struct oracle *o, const uint8_t *value, size_t len, const char *what,
                        const char *when)
{
    uint8_t want[DICE_BYTES];
    uint64_t mark = 0;

    memcpy(&mark, value, len < 8 ? len : 8);
    ORACLE_MUST(o,
                mark != 0 && mark <= o->last_mark && dice_payload(mark, want) == len &&
                    memcmp(value, want, len) == 0,
                "%s: %s has a value that nobody put there", when, what);
    return mark;
}

static void check_cell(struct oracle *o, const char *dir, bool writes, const char *when)
{
    const struct seglog_cell_options options = {.flags = writes ? SEGLOG_CELL_WRITE : 0};
    uint8_t value[DICE_BYTES];
    struct seglog_cell *cell;
    char path[PATH_BYTES];
    uint64_t mark = 0;
    size_t len;
    int rc;

    path_of(dir, "cell", path);
    rc = seglog_cell_open(path, &options, &cell);
    if (rc == 0) {
        rc = seglog_cell_read(cell, value, sizeof(value), &len, NULL);
        seglog_cell_close(cell);
        if (rc == 0)
            mark = mark_of(o, value, len, "the cell", when);
    }
    ORACLE_MUST(o, rc == 0 || rc == -ENOENT || rc == -ENODATA, "%s: cell: %s", when,
                seglog_status_name(rc));
    ORACLE_MUST(o, kept_allows(&o->cell, mark), "%s: the cell has value %llu; durable is %llu",
                when, (unsigned long long)mark, (unsigned long long)o->cell.durable);
    kept_is(&o->cell, mark);
}

static void check_key(struct oracle *o, struct seglog_table *table, uint64_t key, bool writes,
                      const char *when)
{
    struct kept *kept = &o->table[key];
    uint8_t value[DICE_BYTES];
    uint64_t mark = 0;
    size_t len;
    const int rc =
        table ? seglog_table_get(table, &key, sizeof(key), value, sizeof(value), &len) : -ENOENT;

    if (rc == 0)
        mark = mark_of(o, value, len, "the table", when);
    /* A key that is not there may be told of as spoiled: another one was under way into its slot. */
    ORACLE_MUST(o,
                rc == 0 || rc == -ENOENT ||
                    (rc == SEGLOG_ECORRUPT && !writes && (kept->count > 0 || kept->durable == 0)),
                "%s: key %llu, durable %llu: %s", when, (unsigned long long)key,
                (unsigned long long)kept->durable, seglog_status_name(rc));
    ORACLE_MUST(o, kept_allows(kept, mark) || (mark == 0 && kept->count > 0),
                "%s: key %llu has value %llu; durable is %llu, %u more", when,
                (unsigned long long)key, (unsigned long long)mark,
                (unsigned long long)kept->durable, kept->count);
    if (writes)
        kept_is(kept, mark);
}

static void check_table(struct oracle *o, const char *dir, bool writes, const char *when)
{
    const struct seglog_table_options options = {.flags = writes ? SEGLOG_TABLE_WRITE : 0};
    struct seglog_table *table = NULL;
    char path[PATH_BYTES];
    int rc;

    path_of(dir, "table", path);
    rc = seglog_table_open(path, &options, &table);
    ORACLE_MUST(o, rc == 0 || rc == -ENOENT, "%s: table: %s", when, seglog_status_name(rc));
    for (uint64_t key = 0; key < ORACLE_KEYS; key++)
        check_key(o, rc == 0 ? table : NULL, key, writes, when);
    if (rc == 0)
        seglog_table_close(table);
}

void state_check(struct oracle *o, const char *dir, bool writes, const char *when)
{
    if (!o->has_state)
        return;
    check_cell(o, dir, writes, when);
    check_table(o, dir, writes, when);
}
