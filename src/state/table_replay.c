/*
 * Making a table from its log: all of it, or what a dead process had appended and not made yet.
 *
 * Changes of one key are in the log in their order, so made once more from any earlier place on, they
 * end where they ended before. A checkpoint says from where on there is everything: its entries stand in
 * the log beside changes that others made meanwhile, each shard's at one moment, and the record that
 * names the beginning comes last and is durable before anything below is trimmed.
 */
#include "state/table.h"

#include <errno.h>

#include <seglog/log.h>
#include <seglog/reader.h>

#include "base/bytes.h"

#define NAP_NS     UINT64_C(20000000)
#define NAPS       500u /* 10 s */
#define HELD_VIEWS 1024u

static int open_at(const struct seglog_table *t, uint32_t kind, uint64_t seq, uint32_t flags,
                   struct seglog_reader **out)
{
    const struct seglog_reader_options o = {
        .from = {.kind = kind, .value = seq}, .flags = flags, .tag = TABLE_CHECKPOINT};

    return seglog_reader_open(table_log_dir(t->log), &o, out);
}

/* ---- one change ------------------------------------------------------------------------------ */

static int put(struct seglog_table *t, const struct table_shard *only,
               const struct seglog_view *view)
{
    const uint8_t *data = view->data;
    struct table_found found;
    struct table_shard *shard;
    struct table_key key;
    uint64_t key_len;
    int rc;

    if (view->len < sizeof(le32))
        return SEGLOG_EMISMATCH;
    key_len = le32_get((const le32 *)view->data);
    if (key_len > view->len - sizeof(le32))
        return SEGLOG_EMISMATCH;
    key = table_key(t, data + sizeof(le32), (size_t)key_len);
    shard = table_shard_of(t, key.hash);
    if (only && shard != only)
        return 0;
    rc = table_look(t, shard, &key, &found);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    return table_store(t, shard, &key, rc == 0 ? &found : NULL, data + sizeof(le32) + key_len,
                       (size_t)(view->len - sizeof(le32) - key_len), NULL);
}

static int take_away(struct seglog_table *t, const struct table_shard *only,
                     const struct seglog_view *view)
{
    const struct table_key key = table_key(t, view->data, (size_t)view->len);
    struct table_shard *shard = table_shard_of(t, key.hash);
    struct table_found found;
    int rc;

    if (only && shard != only)
        return 0;
    rc = table_look(t, shard, &key, &found);
    if (rc == -ENOENT)
        return 0;
    return rc == 0 ? table_bury(t, shard, &key, &found, NULL) : rc;
}

/* only: a shard, others being none of our business; NULL: all of them. */
static int make(struct seglog_table *t, struct table_shard *only, const struct seglog_view *view)
{
    switch (view->tag) {
    case TABLE_PUT:
        return put(t, only, view);
    case TABLE_REMOVE:
        return take_away(t, only, view);
    case TABLE_CLEAR:
        for (uint32_t s = 0; s < t->facts.parts; s++) {
            if (!only || only == &t->shards[s])
                table_empty(t, &t->shards[s]);
        }
        return 0;
    case TABLE_CHECKPOINT:
        return 0;
    default:
        return SEGLOG_EMISMATCH; /* a log of something else */
    }
}

/* ---- many ------------------------------------------------------------------------------------ */

/* All that is in the log up to `end`, what is being appended there included. */
static int make_until(struct seglog_table *t, struct table_shard *only,
                      struct seglog_reader *reader, uint64_t end, uint64_t *count)
{
    struct seglog_view view;
    unsigned naps = 0, held = 0;
    uint64_t at;
    int rc;

    for (;;) {
        rc = seglog_reader_next(reader, &view);
        if (rc == 0 && view.seq < end) {
            rc = make(t, only, &view);
            if (rc < 0)
                return table_outcome(t, rc);
            ++*count;
            if (++held % HELD_VIEWS == 0)
                seglog_reader_release(reader);
            continue;
        }
        if (rc == 0)
            return table_outcome(t, 0);
        if (rc != -EAGAIN)
            return rc;
        /* A claim: of a dead one it is passed soon; a living one is about to publish. */
        (void)seglog_reader_position(reader, &at, NULL);
        if (at >= end)
            return table_outcome(t, 0);
        if (naps++ == NAPS)
            return -EBUSY;
        rc = seglog_reader_wait(reader, NAP_NS);
        if (rc < 0 && rc != -ETIMEDOUT && rc != -EINTR)
            return rc;
    }
}

/* The last checkpoint's beginning. -ENODATA: there is none */
static int find_checkpoint(struct seglog_table *t, uint64_t *begin)
{
    struct seglog_reader *reader;
    struct seglog_view view;
    int rc = open_at(t, SEGLOG_PLACE_END, 0, SEGLOG_READER_TAG, &reader);

    if (rc < 0)
        return rc;
    /* Damage between here and there is met again on the way forward, if it matters. */
    do {
        rc = seglog_reader_prev(reader, &view);
    } while (rc == SEGLOG_ECORRUPT || rc == SEGLOG_EMISSING);
    if (rc == 0) {
        if (view.len == sizeof(le64))
            *begin = le64_get((const le64 *)view.data);
        else
            rc = SEGLOG_EMISMATCH;
    }
    seglog_reader_close(reader);
    return rc;
}

int table_replay(struct seglog_table *t)
{
    struct seglog_reader *reader;
    uint64_t begin = 0, end;
    int rc = table_log_end(t->log, &end);

    if (rc < 0)
        return rc;
    rc = find_checkpoint(t, &begin);
    if (rc == 0 || rc == -ENODATA)
        /* Without a checkpoint all of it is needed, from number 0. */
        rc = open_at(t, SEGLOG_PLACE_SEQ, begin, 0, &reader);
    if (rc < 0)
        return rc;
    rc = make_until(t, NULL, reader, end, &t->replayed);
    seglog_reader_close(reader);
    return rc;
}

int table_mend(struct seglog_table *t, struct table_shard *shard)
{
    struct seglog_reader *reader;
    uint64_t end, count = 0;
    int rc = table_log_end(t->log, &end);

    if (rc < 0)
        return rc;
    rc = open_at(t, SEGLOG_PLACE_SEQ, shard->intent - 1, 0, &reader);
    if (rc == SEGLOG_ETRIMMED || rc == -ERANGE) /* long ago, or nonsense: more is as good */
        rc = open_at(t, SEGLOG_PLACE_FIRST, 0, 0, &reader);
    if (rc < 0)
        return rc;
    rc = make_until(t, shard, reader, end, &count);
    seglog_reader_close(reader);
    if (rc == 0)
        table_log_done(shard);
    return rc;
}
