/*
 * The log of a table's changes: what is appended to it, and when that is waited for.
 *
 * A change is appended with its shard locked and everything ready, so the log has the changes of each
 * shard in the order in which they are made, and at most the last of them is not made yet. Before that
 * the shard gets an *intent*, a number that the record cannot be below; once the change is made it is
 * taken away. So after a death the next one to lock the shard knows that it may be behind, and from
 * where on to look (table_replay.c).
 *
 * Nobody waits for the disk with a lock: the wait comes after it was given back, and whoever waits at
 * that time shares one sync.
 */
#include "state/table.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <seglog/log.h>

#include "base/bytes.h"

/* Appenders are for one thread at a time; shards take turns at these. */
#define LANES 16u

struct lane {
    pthread_mutex_t lock;
    struct seglog_appender *appender; /* NULL until it is needed */
};

struct table_log {
    struct seglog_log *log;
    bool is_waited_for;    /* SEGLOG_SYNC_RECORD */
    _Atomic uint64_t seen; /* a number that the log had reached */
    struct seglog_log_settings settings;
    struct lane lanes[LANES];
    char dir[];
};

/* ---- opening --------------------------------------------------------------------------------- */

static int log_make(const char *dir, uint32_t flags)
{
    struct seglog_log_options o = {.sync = SEGLOG_SYNC_RECORD, .flags = flags};
    int rc = seglog_log_create(dir, &o);

    if (rc == SEGLOG_EVOLATILE) {
        o.sync = SEGLOG_SYNC_SEALED;
        rc = seglog_log_create(dir, &o);
    }
    return rc == -EEXIST ? 0 : rc;
}

int table_log_open(const char *dir, bool create, bool force_fs, struct table_log **out)
{
    const struct seglog_log_options o = {.flags = force_fs ? SEGLOG_LOG_FORCE_FS : 0};
    struct table_log *log = calloc(1, sizeof(*log) + strlen(dir) + 1);
    uint64_t seen;
    int rc;

    if (!log)
        return -ENOMEM;
    strcpy(log->dir, dir);
    rc = create ? log_make(dir, o.flags) : 0;
    if (rc == 0)
        rc = seglog_log_open(dir, &o, &log->log);
    if (rc < 0) {
        free(log);
        return rc;
    }
    for (uint32_t i = 0; i < LANES; i++)
        (void)pthread_mutex_init(&log->lanes[i].lock, NULL);
    rc = seglog_log_settings(log->log, &log->settings);
    if (rc == 0)
        rc = table_log_end(log, &seen);
    if (rc < 0) {
        table_log_close(log);
        return rc;
    }
    log->is_waited_for = log->settings.sync == SEGLOG_SYNC_RECORD;
    atomic_store(&log->seen, seen);
    *out = log;
    return 0;
}

void table_log_close(struct table_log *log)
{
    if (!log)
        return;
    for (uint32_t i = 0; i < LANES; i++) {
        seglog_appender_close(log->lanes[i].appender);
        (void)pthread_mutex_destroy(&log->lanes[i].lock);
    }
    seglog_log_close(log->log);
    free(log);
}

const uint8_t *table_log_uuid(const struct table_log *log)
{
    return log->settings.uuid;
}

const char *table_log_dir(const struct table_log *log)
{
    return log->dir;
}

int table_log_end(struct table_log *log, uint64_t *seq)
{
    return seglog_log_progress(log->log, NULL, seq);
}

/* ---- appending ------------------------------------------------------------------------------- */

static int append(struct table_log *log, uint32_t lane, enum table_record kind,
                  const struct iovec *pieces, int n, uint64_t *seq)
{
    /* What is waited for is waited for by us, later. */
    const struct seglog_appender_options o = {.clock = SEGLOG_CLOCK_COARSE,
                                              .sync = log->is_waited_for ? SEGLOG_SYNC_SEALED : 0};
    struct lane *l = &log->lanes[lane % LANES];
    uint64_t seen;
    int rc = 0;

    (void)pthread_mutex_lock(&l->lock);
    if (!l->appender)
        rc = seglog_appender_open(log->log, &o, &l->appender);
    if (rc == 0)
        rc = seglog_appender_appendv(l->appender, pieces, n, 0, kind, seq);
    (void)pthread_mutex_unlock(&l->lock);
    if (rc < 0)
        return rc;
    seen = atomic_load(&log->seen);
    while (seen <= *seq && !atomic_compare_exchange_weak(&log->seen, &seen, *seq + 1))
        continue;
    return 0;
}

static void intend(struct seglog_table *t, struct table_shard *shard)
{
    shard->intent = atomic_load(&t->log->seen) + 1;
    atomic_signal_fence(
        memory_order_seq_cst); /* of a killed process, no later store is there without */
}

void table_log_done(struct table_shard *shard)
{
    atomic_signal_fence(memory_order_seq_cst);
    shard->intent = 0;
}

static int change(struct seglog_table *t, struct table_shard *shard, enum table_record kind,
                  const struct iovec *pieces, int n, uint64_t *seq)
{
    int rc;

    intend(t, shard);
    rc = append(t->log, (uint32_t)(shard - t->shards), kind, pieces, n, seq);
    if (rc < 0)
        table_log_done(shard); /* it is not in the log */
    return rc;
}

static struct iovec piece(const void *data, size_t len)
{
    return (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = len};
}

int table_log_put(struct seglog_table *t, struct table_shard *shard, const struct table_key *key,
                  const void *value, size_t len, uint64_t *seq)
{
    le32 key_len = {0};
    const struct iovec pieces[] = {piece(&key_len, sizeof(key_len)), piece(key->data, key->len),
                                   piece(value, len)};

    le32_put(&key_len, (uint32_t)key->len);
    return change(t, shard, TABLE_PUT, pieces, 3, seq);
}

int table_log_remove(struct seglog_table *t, struct table_shard *shard, const struct table_key *key,
                     uint64_t *seq)
{
    const struct iovec pieces[] = {piece(key->data, key->len)};

    return change(t, shard, TABLE_REMOVE, pieces, 1, seq);
}

int table_log_clear(struct seglog_table *t, uint64_t *seq)
{
    int rc;

    for (uint32_t s = 0; s < t->facts.parts; s++)
        intend(t, &t->shards[s]);
    rc = append(t->log, 0, TABLE_CLEAR, NULL, 0, seq);
    for (uint32_t s = 0; rc < 0 && s < t->facts.parts; s++)
        table_log_done(&t->shards[s]);
    return rc;
}

int table_log_settle(struct table_log *log, uint64_t seq)
{
    return log->is_waited_for ? seglog_log_wait_durable(log->log, seq, UINT64_MAX) : 0;
}

int table_log_sync(struct table_log *log)
{
    return seglog_log_sync(log->log, NULL);
}

/* ---- checkpoints ------------------------------------------------------------------------------- */

struct copying {
    struct table_log *log;
    uint32_t lane;
    uint64_t *seq;
};

static int append_entry(void *context, const struct table_found *found)
{
    const struct copying *to = context;
    le32 key_len = {0};
    const struct iovec pieces[] = {
        piece(&key_len, sizeof(key_len)),
        piece(found->entry + sizeof(struct table_entry), (size_t)found->key_len),
        piece(found->entry + table_value_offset(found->key_len), (size_t)found->len)};

    le32_put(&key_len, (uint32_t)found->key_len);
    return append(to->log, to->lane, TABLE_PUT, pieces, 3, to->seq);
}

/* No change to a shard comes between its entries, so what they say is true at their place in the log. */
static int append_all(struct seglog_table *t, uint64_t from, uint64_t *seq)
{
    struct copying copying = {.log = t->log, .seq = seq};
    struct iovec pieces[1];
    le64 begin;
    int rc = 0;

    for (uint32_t s = 0; s < t->facts.parts && rc == 0; s++) {
        rc = table_lock_whole(t, &t->shards[s]);
        if (rc < 0)
            break;
        copying.lane = s;
        rc = table_outcome(t, table_each(t, &t->shards[s], append_entry, &copying));
        table_unlock(&t->shards[s]);
    }
    if (rc < 0)
        return rc;
    le64_put(&begin, from);
    pieces[0] = piece(&begin, sizeof(begin));
    return append(t->log, 0, TABLE_CHECKPOINT, pieces, 1, seq);
}

int seglog_table_checkpoint(struct seglog_table *table, struct seglog_trim_report *report)
{
    struct seglog_trim_options o = {.flags = SEGLOG_TRIM_BEFORE};
    uint64_t seq;
    int rc;

    if (table_is_forked(table))
        return SEGLOG_EFORKED;
    if (!table->log)
        return table->is_writable ? -EINVAL : -EPERM;
    /* What is below it was made before any shard is looked at, or is made by whoever locks it. */
    rc = table_log_end(table->log, &o.before_seq);
    if (rc == 0)
        rc = append_all(table, o.before_seq, &seq);
    if (rc == 0)
        rc = seglog_log_wait_durable(table->log->log, seq, UINT64_MAX);
    if (rc == SEGLOG_EVOLATILE)
        rc = 0; /* nothing there outlives the machine anyway */
    return rc == 0 ? seglog_log_trim(table->log->log, &o, report) : rc;
}
