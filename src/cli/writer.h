/*
 * The log that `seglog append` writes to: made if need be, appended to in batches, waited for.
 *
 * At level record the waiting is done here, once for all batches since the last time, and not by the
 * library for each of them: whoever is about to wait for input settles first. So what arrives
 * together is synced together, a line that comes alone is durable at once, and a pipe fills up while
 * the disk is busy.
 */
#ifndef CLI_WRITER_H
#define CLI_WRITER_H

#include "cli.h"

#include <seglog/log.h>

#include <stdbool.h>
#include <stdint.h>

struct writer {
    /* What is asked for. */
    const char *dir;
    uint32_t sync; /* enum seglog_sync; 0: the log's */
    uint64_t sync_interval_ns;
    bool exclusive;
    bool force_fs;

    /* Limits, known once it is open. */
    uint64_t max_record;
    uint64_t batch_bytes; /* as stored */

    /* What has been appended. */
    uint64_t records;
    uint64_t bytes;
    uint64_t first_seq;
    uint64_t last_seq;

    const struct cli *cli;
    struct seglog_log *log;
    struct seglog_appender *appender;
    bool waits;       /* level record: settle() waits */
    uint64_t settled; /* records that were waited for */
};

/* Open the log at dir, and an appender. returns 0 or an exit status, having said why */
int writer_open(struct writer *writer, const struct cli *cli);

/* Append n records at once; their `sync` is set here. returns 0 or a status */
int writer_append(struct writer *writer, struct seglog_record *records, int n);

/*
 * Wait until all that was appended is as durable as was asked for.
 *
 * returns  0; -ETIMEDOUT: asked to stop while somebody else's open record holds it up; or a status
 */
int writer_settle(struct writer *writer);

/* Say what went wrong with the log. returns an exit status */
int writer_failed(const struct writer *writer, int status);

/* `appended N records, ...` on stderr. */
void writer_print_totals(const struct writer *writer);

/* Close the log, then archive what its rule wants archived, for a second and a segment at most. returns
 * exit_status, unless that is 0 and closing fails: then another one, having said why */
int writer_close(struct writer *writer, int exit_status);

#endif
