/*
 * The log that `seglog append` writes to.
 */
#include "writer.h"

#include "fail.h"
#include "signals.h"
#include "stamp.h"

#include <seglog/archive.h>

#include <errno.h>
#include <stdio.h>

#define BATCH_BYTES ((uint64_t)256 << 10)

/* How long a stop is put off by waiting for what was appended to be durable. */
#define STOP_PATIENCE_MS 1000
#define SETTLE_SLICE_MS  100
#define NS_PER_MS        UINT64_C(1000000)

/* After so long the turn of archiving below ends with the segment under way. */
#define ARCHIVE_TURN_MS 1000

/* Called by a helper thread of the library. */
static void on_event(void *context, const struct seglog_event *event)
{
    const struct writer *writer = context;

    if (event->kind == SEGLOG_EVENT_PREPARE_FAILED)
        note(writer->cli,
             "%s: warning: the next segment cannot be prepared: %s; appending goes on until this "
             "one is full",
             writer->dir, seglog_strerror(event->status));
}

/* A log that exists keeps its level, whatever is asked for now. */
static int log_open(struct writer *writer)
{
    struct seglog_log_options options = {
        .sync = writer->sync,
        .sync_interval_ns = writer->sync_interval_ns,
        .flags = SEGLOG_LOG_CREATE | (writer->force_fs ? SEGLOG_LOG_FORCE_FS : 0),
        .notify = on_event,
        .notify_context = writer,
    };
    int rc = seglog_log_open(writer->dir, &options, &writer->log);

    if (rc == SEGLOG_EMISMATCH) {
        options.sync = SEGLOG_SYNC_DEFAULT;
        options.sync_interval_ns = 0;
        rc = seglog_log_open(writer->dir, &options, &writer->log);
    }
    return rc;
}

int writer_open(struct writer *writer, const struct cli *cli)
{
    const struct seglog_appender_options options = {
        .mode = writer->exclusive ? SEGLOG_EXCLUSIVE : SEGLOG_SHARED,
        .sync = writer->sync,
        .sync_interval_ns = writer->sync_interval_ns,
    };
    struct seglog_log_settings settings;
    int rc;

    writer->cli = cli;
    rc = log_open(writer);
    if (rc < 0)
        return fail_open(cli, writer->dir, rc);
    seglog_log_settings(writer->log, &settings);
    writer->max_record = settings.max_record;
    writer->batch_bytes =
        settings.segment_size / 4 < BATCH_BYTES ? settings.segment_size / 4 : BATCH_BYTES;
    writer->waits = (writer->sync ? writer->sync : settings.sync) == SEGLOG_SYNC_RECORD;
    rc = seglog_appender_open(writer->log, &options, &writer->appender);
    if (rc == -EBUSY)
        return fail_text(cli, EX_TEMPFAIL, writer->dir,
                         writer->exclusive ? "other appenders are attached; try again without "
                                             "--exclusive, or when they have ended"
                                           : "an exclusive appender is attached; try again when it "
                                             "has ended");
    return rc < 0 ? fail_status(cli, writer->dir, rc) : 0;
}

int writer_append(struct writer *writer, struct seglog_record *records, int n)
{
    uint64_t bytes = 0;
    uint64_t seq = 0;
    int rc;

    for (int i = 0; i < n; i++) {
        /* The appender's level is record, and would wait for every batch. */
        records[i].sync = writer->waits ? SEGLOG_SYNC_SEALED : SEGLOG_SYNC_DEFAULT;
        bytes += records[i].len;
    }
    do {
        rc = seglog_appender_append_batch(writer->appender, records, (size_t)n, &seq);
    } while (rc == SEGLOG_EEVICTED); /* we were stopped in mid-batch; none of it is in the log */
    if (rc < 0)
        return rc;
    if (writer->records == 0)
        writer->first_seq = seq;
    writer->last_seq = seq + (uint64_t)n - 1;
    writer->records += (uint64_t)n;
    writer->bytes += bytes;
    return 0;
}

int writer_settle(struct writer *writer)
{
    int patience_ms = STOP_PATIENCE_MS;

    if (!writer->waits || writer->settled == writer->records)
        return 0;
    for (;;) {
        const int rc =
            seglog_log_wait_durable(writer->log, writer->last_seq, SETTLE_SLICE_MS * NS_PER_MS);

        if (rc != -ETIMEDOUT) {
            if (rc == 0)
                writer->settled = writer->records;
            return rc;
        }
        if (!signals_stopped())
            continue;
        patience_ms -= SETTLE_SLICE_MS;
        if (patience_ms <= 0)
            return -ETIMEDOUT;
    }
}

int writer_failed(const struct writer *writer, int status)
{
    if (status == -ETIMEDOUT)
        return fail_text(writer->cli, EX_TEMPFAIL, writer->dir,
                         "stopped before the last records were durable: somebody's unfinished one "
                         "holds them up; seglog info tells whose");
    return fail_status(writer->cli, writer->dir, status);
}

void writer_print_totals(const struct writer *writer)
{
    char first[24] = "-";
    char last[24] = "-";

    if (writer->records) {
        snprintf(first, sizeof(first), "%llu", (unsigned long long)writer->first_seq);
        snprintf(last, sizeof(last), "%llu", (unsigned long long)writer->last_seq);
    }
    fprintf(stderr, "appended %llu records, %llu bytes, first %s, last %s\n",
            (unsigned long long)writer->records, (unsigned long long)writer->bytes, first, last);
}

/* ---- a turn of archiving ---------------------------------------------------------------------- */

static int turn_is_over(void *context, const struct seglog_archived *archived)
{
    const uint64_t *end_ns = context;

    (void)archived;
    return stamp_steady_ns() >= *end_ns;
}

static int turn_is_stopped(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    (void)done;
    (void)total;
    return signals_stopped();
}

/*
 * The log's own rule about archives is carried out by whoever is attached, and stopped when that one
 * closes the log. So that a log which only short commands append to comes to be archived at all, each
 * takes a turn before it ends.
 */
static void take_archive_turn(const struct writer *writer)
{
    struct seglog_log_settings settings;
    struct seglog_archive_options options;
    uint64_t end_ns;
    int rc = seglog_settings_read(writer->dir, &settings);

    if (rc < 0 || settings.archive_after_ns == 0 || signals_stopped())
        return;
    end_ns = stamp_steady_ns() + ARCHIVE_TURN_MS * NS_PER_MS;
    options = (struct seglog_archive_options){.older_than_ns = settings.archive_after_ns,
                                              .level = settings.archive_level,
                                              .on_segment = turn_is_over,
                                              .on_progress = turn_is_stopped,
                                              .context = &end_ns};
    rc = seglog_archive(writer->dir, &options, NULL);
    if (rc < 0 && rc != -EBUSY && rc != -ECANCELED && rc != SEGLOG_ECORRUPT && rc != SEGLOG_EFS)
        note(writer->cli, "%s: warning: segments wait to be archived: %s", writer->dir,
             seglog_strerror(rc));
}

int writer_close(struct writer *writer, int exit_status)
{
    int rc;

    seglog_appender_close(writer->appender);
    rc = seglog_log_close(writer->log);
    if (rc < 0 && exit_status == 0)
        return fail_status(writer->cli, writer->dir, rc);
    if (exit_status == 0)
        take_archive_turn(writer);
    return exit_status;
}
