/*
 * The life of a table with its log. See table.h.
 */
#include "faults/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/tmpdir.h"

#define KEYS 24u
#define LEN  3000u /* so that the log rolls */

/* What a key has: the number of the try that was acknowledged, 0: none; or that of one that failed, or of
 * one that was refused by a poisoned log: that may have been poisoned by others before the try, or after
 * it was made and before it was durable. */
struct key {
    uint32_t sure, perhaps;
    uint32_t refused; /* + 1; 0: none was */
};

static struct story {
    struct life *life;
    char *path, *log, *view;
    struct seglog_table *table;
    struct seglog_keyed *keyed;
    struct key keys[KEYS];
    uint32_t tries;
} story;

static const void *bytes_of(uint32_t try)
{
    static uint8_t bytes[LEN];

    memset(bytes, (int)(try % 251), sizeof(bytes));
    memcpy(bytes, &try, sizeof(try));
    return bytes;
}

/* ---- calls --------------------------------------------------------------------------------------- */

static int make_log(void)
{
    static const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                                      .sync = SEGLOG_SYNC_RECORD};
    const int rc = seglog_log_create(story.log, &options);

    /* It failed in its last sync: the log is there. */
    return rc == -EEXIST && story.life->is_told ? 0 : rc;
}

static int open_table(uint32_t flags)
{
    const struct seglog_table_options options = {
        .flags = flags, .shards = 2, .log = flags ? story.log : NULL};

    return seglog_table_open(story.path, &options, &story.table);
}

static void close_table(void)
{
    seglog_table_close(story.table);
    story.table = NULL;
}

static int tried(uint32_t key, uint32_t try, int rc)
{
    if (rc == SEGLOG_EPOISONED)
        story.keys[key].refused = try + 1;
    else
        story.keys[key].perhaps = try;
    if (rc >= 0)
        story.keys[key].sure = try;
    return rc;
}

static int put(uint32_t key)
{
    const uint32_t try = ++story.tries;

    return tried(key, try, seglog_table_put(story.table, &key, sizeof(key), bytes_of(try), LEN));
}

static int replace(void *context, const void **value, size_t *len)
{
    *value = bytes_of(*(uint32_t *)context);
    *len = LEN;
    return SEGLOG_TABLE_SET;
}

static int update(uint32_t key)
{
    uint32_t try = ++story.tries;

    return tried(key, try, seglog_table_update(story.table, &key, sizeof(key), replace, &try));
}

static int take_away(uint32_t key)
{
    const int rc = seglog_table_remove(story.table, &key, sizeof(key));

    /* It was made and could not be synced: then there is no such key, and the log is poisoned. */
    return tried(key, 0, rc == -ENOENT && story.life->is_told ? 0 : rc);
}

static int walk_over(void)
{
    struct seglog_table_walk *walk;
    struct seglog_table_entry entry;
    int rc = seglog_table_walk_open(story.table, &walk);

    if (rc < 0)
        return rc;
    do {
        rc = seglog_table_walk_next(walk, &entry);
    } while (rc == 1);
    seglog_table_walk_close(walk);
    return rc;
}

/* ---- what is there ------------------------------------------------------------------------------- */

static void expect_all(const char *when)
{
    for (uint32_t key = 0; key < KEYS; key++) {
        const struct key *k = &story.keys[key];
        uint8_t value[LEN];
        uint32_t try = 0;
        size_t len;
        const int rc = seglog_table_get(story.table, &key, sizeof(key), value, sizeof(value), &len);

        cr_assert(rc == 0 || rc == -ENOENT, "%s: key %u: %s", when, key, seglog_status_name(rc));
        if (rc == 0) {
            memcpy(&try, value, sizeof(try));
            cr_assert(len == LEN && memcmp(value, bytes_of(try), LEN) == 0);
        }
        cr_assert(try == k->sure ||
                      (story.life->is_poisoned && (try == k->perhaps || try + 1 == k->refused)),
                  "%s: key %u has %u and not %u", when, key, try, k->sure);
    }
}

/* ---- the life ------------------------------------------------------------------------------------ */

static bool fill(struct life *life)
{
    for (uint32_t key = 0; key < KEYS; key++)
        life_must(life, put(key));
    life_must(life, update(3));
    life_must(life, take_away(4));
    life_must(life, put(5));
    life_must(life, seglog_table_flush(story.table));
    life_must(life, seglog_table_checkpoint(story.table, NULL));
    life_must(life, put(6));
    life_must(life, take_away(7));
    life_must(life, walk_over());
    return true;
}

static bool view_by_keys(struct life *life)
{
    const uint32_t put_tag = 1;
    struct seglog_keyed_stat stat;
    struct seglog_view view;

    life_must(life, seglog_keyed_open(story.log, story.view, NULL, &story.keyed));
    life_must(life, seglog_keyed_update(story.keyed));
    life_must(life, seglog_keyed_get(story.keyed, &put_tag, sizeof(put_tag), &view));
    cr_assert_eq(view.tag, put_tag);
    life_must(life, seglog_keyed_stat(story.keyed, &stat));
    seglog_keyed_close(story.keyed);
    story.keyed = NULL;
    return true;
}

static bool tell_all(struct life *life)
{
    life_must(life, make_log());
    life_must(life, open_table(SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE));
    if (!fill(life))
        return false;
    close_table();
    life_must(life, open_table(SEGLOG_TABLE_WRITE));
    life_must(life, put(8));
    close_table();
    life_must(life, open_table(SEGLOG_TABLE_WRITE | SEGLOG_TABLE_REBUILD));
    expect_all("made anew in it");
    life_must(life, put(9));
    close_table();
    return view_by_keys(life);
}

/* ---- afterwards ---------------------------------------------------------------------------------- */

static void go_on(struct life *life)
{
    int rc = open_table(SEGLOG_TABLE_WRITE);

    if (life->is_poisoned) {
        cr_assert_status(rc, SEGLOG_EPOISONED);
        rc = open_table(0);
        if (rc == 0)
            expect_all("read though poisoned");
        close_table();
        return;
    }
    cr_assert_ok(rc);
    expect_all("afterwards");
    cr_assert_ok(put(10));
    close_table();
    cr_assert_ok(open_table(SEGLOG_TABLE_WRITE | SEGLOG_TABLE_REBUILD));
    expect_all("made anew afterwards");
    close_table();
}

bool table_tell(struct life *life)
{
    const struct calls_plan plain = {.pretends = life->calls.pretends};
    const unsigned before = life_descriptors();
    bool met;

    story = (struct story){.life = life,
                           .path = tmpdir_path(life->dir, "table"),
                           .log = tmpdir_path(life->dir, "log"),
                           .view = tmpdir_path(life->dir, "view")};
    life->calls.only = CALL_ANY;
    calls_arm(&life->calls);
    (void)tell_all(life);
    close_table();
    seglog_keyed_close(story.keyed);
    calls_rest();
    met = calls_met() != CALL_ANY;
    life_holds_nothing(life, before);
    calls_arm(&plain);
    go_on(life);
    calls_rest();
    free(story.path);
    free(story.log);
    free(story.view);
    return met;
}
