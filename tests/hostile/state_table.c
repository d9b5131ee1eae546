/*
 * Spoiled tables. See state.h.
 *
 * A model says which values each key may have: more than one after a call that failed. A key may be
 * missing, and a walk must then say so; it may never have a value that it did not get, or an old one.
 */
#include "hostile/state.h"

#include <seglog/log.h>
#include <seglog/table.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "format/state.h"

#define KEYS       24u
#define KEYS_LATER 12u /* that are not there at first */
#define KEYS_ALL   (KEYS + KEYS_LATER)
#define KEY_MAX    40u
#define VALUE_MAX  80u
#define VALUES     3u /* of each key, from 1 on; 0: it is not there */

struct model {
    uint8_t may[KEYS_ALL]; /* bit v: value v */
};

static size_t key_of(unsigned n, char out[KEY_MAX])
{
    const size_t len = 4 + n * 5 % 24;

    memset(out, 'a' + (int)(n % 26), KEY_MAX);
    out[0] = (char)n;
    return len;
}

static size_t value_of(unsigned n, unsigned v, char out[VALUE_MAX])
{
    const size_t len = 1 + (n * 7 + v * 13) % 60;

    for (size_t i = 0; i < len; i++)
        out[i] = (char)(n * 3 + v * 101 + i);
    return len;
}

/* 0: none of its values */
static unsigned value_is(unsigned n, const void *data, size_t len)
{
    char want[VALUE_MAX];

    for (unsigned v = 1; v <= VALUES; v++)
        if (value_of(n, v, want) == len && memcmp(want, data, len) == 0)
            return v;
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------------- */

static bool wrong(struct state_stage *stage, const char *why)
{
    stage->why = why;
    return false;
}

static bool read_all(struct state_stage *stage, struct seglog_table *table,
                     const struct model *model)
{
    for (unsigned n = 0; n < KEYS_ALL; n++) {
        char key[KEY_MAX], value[VALUE_MAX];
        size_t len;
        const int rc = seglog_table_get(table, key, key_of(n, key), value, sizeof(value), &len);

        if (rc == -ENOENT)
            stage->gone += (model->may[n] & 1) == 0;
        else if (!state_told(stage, rc) && !(model->may[n] & ~1u & 1u << value_is(n, value, len)))
            return wrong(stage, "a value that this key does not have");
    }
    return true;
}

static bool walk_over(struct state_stage *stage, struct seglog_table *table,
                      const struct model *model)
{
    struct seglog_table_walk *walk;
    struct seglog_table_entry entry;
    bool seen[KEYS_ALL] = {false};
    int rc;

    must(seglog_table_walk_open(table, &walk) == 0);
    for (unsigned calls = 0; (rc = seglog_table_walk_next(walk, &entry)) == 1; calls++) {
        const unsigned n = entry.key_len > 0 ? *(const uint8_t *)entry.key : KEYS_ALL;
        char key[KEY_MAX];

        must(calls < 4 * KEYS_ALL);
        if (n >= KEYS_ALL || entry.key_len != key_of(n, key) ||
            memcmp(entry.key, key, entry.key_len) != 0 || seen[n] ||
            !(model->may[n] & ~1u & 1u << value_is(n, entry.value, entry.len))) {
            seglog_table_walk_close(walk);
            return wrong(stage, "an entry of a walk that is not of the table, or twice");
        }
        seen[n] = true;
    }
    seglog_table_walk_close(walk);
    if (state_told(stage, rc))
        return true;
    for (unsigned n = 0; n < KEYS_ALL; n++)
        stage->gone += !seen[n] && (model->may[n] & 1) == 0;
    return true;
}

/* ---- changing -------------------------------------------------------------------------------------- */

static void put(struct state_stage *stage, struct seglog_table *table, struct model *model,
                unsigned n, unsigned v)
{
    char key[KEY_MAX], value[VALUE_MAX];
    const size_t len = value_of(n, v, value);

    if (state_told(stage, seglog_table_put(table, key, key_of(n, key), value, len)))
        model->may[n] |= (uint8_t)(1u << v);
    else
        model->may[n] = (uint8_t)(1u << v);
}

static void take_away(struct state_stage *stage, struct seglog_table *table, struct model *model,
                      unsigned n)
{
    char key[KEY_MAX];
    const int rc = seglog_table_remove(table, key, key_of(n, key));

    if (rc == -ENOENT)
        stage->gone += (model->may[n] & 1) == 0;
    else if (state_told(stage, rc))
        model->may[n] |= 1;
    else
        model->may[n] = 1;
}

static void change(struct state_stage *stage, struct seglog_table *table, struct model *model)
{
    for (unsigned n = 0; n < KEYS; n += 3)
        put(stage, table, model, n, 2);
    for (unsigned n = 1; n < KEYS; n += 5)
        take_away(stage, table, model, n);
    for (unsigned n = KEYS; n < KEYS_ALL; n++) /* and it grows */
        put(stage, table, model, n, 1);
    for (unsigned n = 0; n < KEYS; n += 7)
        put(stage, table, model, n, 3);
}

/* ---- the whole ------------------------------------------------------------------------------------- */

static struct seglog_table_options options_of(const struct state_stage *stage, uint32_t flags)
{
    return (struct seglog_table_options){
        .flags = flags,
        .shards = 2,
        .log = stage->kind == STATE_WITH_LOG && flags != 0 ? stage->log : NULL};
}

static void model_first(struct model *model)
{
    for (unsigned n = 0; n < KEYS_ALL; n++)
        model->may[n] = n < KEYS ? 1u << 1 : 1;
    model->may[5] = 1;
    model->may[6] = 1u << 2;
}

void state_table_make(struct state_stage *stage)
{
    const struct seglog_table_options o =
        options_of(stage, SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE);
    const struct seglog_log_options log = {.segment_size = 65536, .sync = SEGLOG_SYNC_SEALED};
    struct seglog_table *table;
    struct model model = {{0}};

    if (stage->kind == STATE_WITH_LOG)
        must(seglog_log_create(stage->log, &log) == 0);
    must(seglog_table_open(stage->path, &o, &table) == 0);
    for (unsigned n = 0; n < KEYS; n++)
        put(stage, table, &model, n, 1);
    take_away(stage, table, &model, 5);
    put(stage, table, &model, 6, 2);
    must(stage->told == 0);
    seglog_table_close(table);
}

static bool look(struct state_stage *stage, const struct model *model)
{
    const struct seglog_table_options o = options_of(stage, 0);
    struct seglog_table *table;
    bool is_right;
    const int rc = seglog_table_open(stage->path, &o, &table);

    if (rc == -ESTALE && stage->kind == STATE_WITH_LOG && stage->boot == STATE_REBOOTED)
        return true; /* as it is without damage, until it is made anew */
    if (state_told(stage, rc))
        return true;
    is_right = read_all(stage, table, model);
    seglog_table_close(table);
    return is_right;
}

static bool use(struct state_stage *stage, struct model *model)
{
    const struct seglog_table_options o = options_of(stage, SEGLOG_TABLE_WRITE);
    struct seglog_table_stat stat;
    struct seglog_table *table;
    bool is_right;

    if (state_told(stage, seglog_table_open(stage->path, &o, &table)))
        return true;
    if (!state_told(stage, seglog_table_stat(table, &stat)))
        stage->told += stat.dropped;
    is_right = walk_over(stage, table, model);
    if (is_right) {
        change(stage, table, model);
        is_right = walk_over(stage, table, model) && read_all(stage, table, model);
    }
    if (is_right && stage->kind == STATE_WITH_LOG)
        (void)state_told(stage, seglog_table_checkpoint(table, NULL));
    seglog_table_close(table);
    return is_right;
}

/* Whatever became of the file, the log has every change that was acknowledged. */
static bool make_anew(struct state_stage *stage, const struct model *model)
{
    const struct seglog_table_options o =
        options_of(stage, SEGLOG_TABLE_WRITE | SEGLOG_TABLE_REBUILD);
    const uint64_t told = stage->told, gone = stage->gone;
    struct seglog_table *table;
    bool is_right;
    int rc = seglog_table_open(stage->path, &o, &table);

    if (rc == SEGLOG_EMISMATCH) { /* its header names another log, or none */
        stage->told++;
        return true;
    }
    must_status(rc, rc == 0);
    is_right = walk_over(stage, table, model) && read_all(stage, table, model);
    seglog_table_close(table);
    if (is_right && (stage->told != told || stage->gone != gone))
        return wrong(stage, "made anew from its log it is not what it was");
    return is_right;
}

enum state_verdict state_table_judge(struct state_stage *stage)
{
    struct model model;

    model_first(&model);
    if (!look(stage, &model) || !use(stage, &model) || !look(stage, &model))
        return STATE_WRONG;
    if (stage->kind == STATE_WITH_LOG && !make_anew(stage, &model))
        return STATE_WRONG;
    return STATE_HARMLESS;
}
