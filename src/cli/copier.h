/*
 * A new log that gets records with numbers, times and tags of their own: for `salvage`, `compact` and `import`.
 *
 * Numbers that are left out become void. Records are appended in batches, and wait in the copier, by
 * reference, until copier_flush().
 */
#ifndef CLI_COPIER_H
#define CLI_COPIER_H

#include "cli.h"

#include <jansson.h>
#include <seglog/log.h>

#define COPIER_RECORDS 512

struct copier {
    const struct cli *cli;
    const char *dir;

    /* What has come so far. */
    uint64_t first_seq;
    uint64_t next_seq;
    uint64_t records;
    uint64_t bytes; /* payload */
    uint64_t voids;

    struct seglog_log *log; /* NULL: not begun */
    struct seglog_appender *appender;
    uint64_t max_record;
    uint64_t room; /* bytes that one batch may take */
    struct seglog_record waiting[COPIER_RECORDS];
    int count;
    uint64_t taken;
};

/*
 * Make the log, whose first number is options->first_seq; where its file system keeps nothing, at a
 * level that such a one can have. dir must be missing or empty.
 *
 * returns  0 or an exit status, having said why; copier_end() in both cases
 */
int copier_begin(struct copier *copier, const struct cli *cli, const char *dir,
                 const struct seglog_log_options *options);

/* The same for a log like another one, of these settings. */
int copier_begin_like(struct copier *copier, const struct cli *cli, const char *dir,
                      const struct seglog_log_settings *settings, uint64_t first_seq,
                      uint32_t flags);

/* Would a log at `out` lie in the one at `dir`, which is not to be written to? */
bool copier_lies_inside(const char *dir, const char *out);

/* Take a record; its bytes must stay until copier_flush(). returns 0; -EBADMSG: numbers do not ascend;
 * -EMSGSIZE; or a status of the library */
int copier_put(struct copier *copier, uint64_t seq, const struct seglog_record *record);

/* Append what waits. returns 0 or a status */
int copier_flush(struct copier *copier);

/* Make numbers void up to next_seq. returns 0 or a status */
int copier_skip(struct copier *copier, uint64_t next_seq);

/* Seal what was appended and close the log. returns exit_status, unless that is 0 and this fails: then
 * another one, having said why */
int copier_end(struct copier *copier, int exit_status);

/* What has come, as a new object: records, bytes, first_seq, next_seq. */
json_t *copier_report(const struct copier *copier);

/* Say what went wrong with the new log. returns an exit status */
int copier_failed(const struct copier *copier, int status);

#endif
