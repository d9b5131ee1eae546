/*
 * A new log that gets records with numbers of their own.
 *
 * An exclusive appender gives numbers in order, so a number is had by having all before it: those that
 * nobody has are claimed and given up, as many at a time as one claim may take. Each takes 32 bytes,
 * and no more than the smallest record would have.
 */
#include "copier.h"

#include "fail.h"
#include "framing.h"
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES  ((uint64_t)256 << 10)
#define SEAL_WAIT_NS UINT64_C(10000000000)

static int log_make(struct copier *copier, struct seglog_log_options options)
{
    int rc = seglog_log_create(copier->dir, &options);

    if (rc == SEGLOG_EVOLATILE) {
        options.sync = SEGLOG_SYNC_SEALED;
        options.sync_interval_ns = 0;
        rc = seglog_log_create(copier->dir, &options);
    }
    return rc;
}

int copier_begin(struct copier *copier, const struct cli *cli, const char *dir,
                 const struct seglog_log_options *options)
{
    const struct seglog_appender_options exclusive = {.mode = SEGLOG_EXCLUSIVE,
                                                      .sync = SEGLOG_SYNC_SEALED};
    const struct seglog_log_options open = {.flags = options->flags};
    struct cli creating = *cli;
    struct seglog_log_settings settings;
    int rc;

    *copier = (struct copier){.cli = cli, .dir = dir};
    copier->first_seq = copier->next_seq = options->first_seq;
    creating.creates = true; /* what is missing is made */
    rc = log_make(copier, *options);
    if (rc < 0)
        return fail_status(&creating, dir, rc);
    rc = seglog_log_open(dir, &open, &copier->log);
    if (rc < 0)
        return fail_open(&creating, dir, rc);
    seglog_log_settings(copier->log, &settings);
    copier->max_record = settings.max_record;
    copier->room =
        settings.segment_size / 4 < BATCH_BYTES ? settings.segment_size / 4 : BATCH_BYTES;
    rc = seglog_appender_open(copier->log, &exclusive, &copier->appender);
    return rc < 0 ? fail_status(cli, dir, rc) : 0;
}

int copier_begin_like(struct copier *copier, const struct cli *cli, const char *dir,
                      const struct seglog_log_settings *settings, uint64_t first_seq,
                      uint32_t flags)
{
    const struct seglog_log_options like = {.segment_size = settings->segment_size,
                                            .sync = settings->sync,
                                            .sync_interval_ns = settings->sync_interval_ns,
                                            .mode = settings->mode | 0600,
                                            .first_seq = first_seq,
                                            .flags = flags};

    return copier_begin(copier, cli, dir, &like);
}

bool copier_lies_inside(const char *dir, const char *out)
{
    char *inside = realpath(dir, NULL);
    char *up = realpath(out, NULL);
    size_t n;
    bool is_inside;

    if (!up) { /* missing: where it would be made */
        const char *slash = strrchr(out, '/');
        char *parent = strndup(slash ? out : ".", slash ? (size_t)(slash - out) + 1 : 1);

        up = parent ? realpath(parent, NULL) : NULL;
        free(parent);
    }
    n = inside ? strlen(inside) : 0;
    is_inside = inside && up && strncmp(up, inside, n) == 0 && (up[n] == '/' || !up[n]);
    free(inside);
    free(up);
    return is_inside;
}

int copier_flush(struct copier *copier)
{
    const int n = copier->count;
    uint64_t seq;
    int rc;

    if (n == 0)
        return 0;
    copier->count = 0;
    copier->taken = 0;
    rc = seglog_appender_append_batch(copier->appender, copier->waiting, (size_t)n, &seq);
    if (rc < 0)
        return rc;
    if (seq + (uint64_t)n != copier->next_seq)
        return -EBUSY; /* not ours alone */
    for (int i = 0; i < n; i++)
        copier->bytes += copier->waiting[i].len;
    copier->records += (uint64_t)n;
    return 0;
}

/* Give n numbers up; n is at most what one claim takes. */
static int numbers_void(struct copier *copier, size_t n)
{
    static const size_t lens[SEGLOG_BATCH_MAX];
    struct seglog_claim claims[SEGLOG_BATCH_MAX];
    int rc = seglog_appender_claim_batch(copier->appender, lens, n, claims);

    if (rc < 0)
        return rc;
    if (claims[0].seq != copier->next_seq)
        rc = -EBUSY;
    else
        copier->next_seq += n;
    copier->voids += n;
    return rc < 0 ? rc : seglog_appender_abort(copier->appender);
}

int copier_skip(struct copier *copier, uint64_t next_seq)
{
    const uint64_t fit = copier->room / framing_span(0);
    const uint64_t most = fit < SEGLOG_BATCH_MAX ? fit : SEGLOG_BATCH_MAX;
    int rc = copier_flush(copier);

    while (rc == 0 && copier->next_seq < next_seq) {
        const uint64_t left = next_seq - copier->next_seq;

        rc = numbers_void(copier, (size_t)(left < most ? left : most));
    }
    return rc;
}

int copier_put(struct copier *copier, uint64_t seq, const struct seglog_record *record)
{
    struct seglog_record *slot;
    const uint64_t span = framing_span(record->len);
    int rc = 0;

    if (seq < copier->next_seq)
        return -EBADMSG;
    if (record->len > copier->max_record)
        return -EMSGSIZE;
    if (seq > copier->next_seq)
        rc = copier_skip(copier, seq);
    else if (copier->count == COPIER_RECORDS || copier->taken + span > copier->room)
        rc = copier_flush(copier);
    if (rc < 0)
        return rc;
    slot = &copier->waiting[copier->count++];
    *slot = *record;
    slot->sync = SEGLOG_SYNC_SEALED; /* one sync at the end */
    if (slot->time_ns == 0)
        slot->time_ns = 1; /* 0 would be the clock's time */
    copier->taken += span;
    copier->next_seq = seq + 1;
    return 0;
}

json_t *copier_report(const struct copier *copier)
{
    json_t *object = json_object();

    report_number(object, "records", copier->records);
    report_number(object, "bytes", copier->bytes);
    report_number(object, "first_seq", copier->first_seq);
    report_number(object, "next_seq", copier->next_seq);
    return object;
}

int copier_failed(const struct copier *copier, int status)
{
    return fail_status(copier->cli, copier->dir, status);
}

int copier_end(struct copier *copier, int exit_status)
{
    int rc = 0, closed;

    seglog_appender_close(copier->appender);
    if (copier->log && exit_status == 0)
        rc = seglog_log_seal(copier->log, SEAL_WAIT_NS);
    closed = seglog_log_close(copier->log);
    copier->log = NULL;
    copier->appender = NULL;
    if (rc >= 0)
        rc = closed;
    return rc < 0 && exit_status == 0 ? copier_failed(copier, rc) : exit_status;
}
