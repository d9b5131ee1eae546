/*
 * seglog import: a log from what `export` wrote, or from the JSON lines of `cat`.
 */
#include "args.h"
#include "copier.h"
#include "fail.h"
#include "framing.h"
#include "level.h"
#include "meter.h"
#include "parse.h"
#include "portable.h"
#include "report.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_JSON = ARGS_KEY_FIRST, KEY_FORCE, KEY_SEGMENT_SIZE, KEY_SYNC };

struct importing {
    const struct cli *cli;
    const char *dir;
    const char *file; /* NULL: standard input */
    bool json;        /* the report */
    struct seglog_log_options options;
    int fd;
    uint64_t file_size; /* 0: nobody knows how much comes */
    struct copier copier;
    struct portable_reader stream;
    struct framing lines;
    struct meter meter;
};

static const struct argp_option options[] = {
    {"segment-size", KEY_SEGMENT_SIZE, "SIZE", 0,
     "Size of a segment, instead of that of the log that was exported (64M for JSON lines)", 1},
    {"sync", KEY_SYNC, "LEVEL", 0, "As of seglog create, instead of that of the log", 1},
    {"json", KEY_JSON, NULL, 0, "Report as one JSON object", 1},
    {"force", KEY_FORCE, NULL, 0, "Accept a network file system", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct importing *m = state->input;
    struct seglog_log_options *log = &m->options;

    switch (key) {
    case KEY_SEGMENT_SIZE:
        return args_check(m->cli, "--segment-size", arg,
                          parse_segment_size(arg, &log->segment_size));
    case KEY_SYNC:
        return args_check(m->cli, "--sync", arg,
                          level_parse(arg, &log->sync, &log->sync_interval_ns));
    case KEY_JSON:
        m->json = true;
        return 0;
    case KEY_FORCE:
        log->flags |= SEGLOG_LOG_FORCE_FS;
        return 0;
    case ARGP_KEY_ARG:
        return args_take_place(m->cli, m->dir && !m->file ? &m->file : &m->dir, arg);
    case ARGP_KEY_END:
        return m->dir ? 0 : args_no_place(m->cli, "DIR");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "DIR [FILE]",
    .doc = "Make a log from a stream that seglog export wrote, keeping numbers, times and tags."
           "\v"
           "DIR is a missing or empty directory. The stream comes from FILE or standard input. "
           "JSON lines, "
           "as cat -o json and export --json print them, are taken as well; their numbers must "
           "ascend. "
           "Numbers that are left out become void.\n"
           "\n"
           "Exit status: 0 done, 65 the stream is damaged or was cut off (what came before is in "
           "DIR), "
           "66 no such FILE, 73 DIR is not empty, or there is no room, 77 permission.\n"
           "\n"
           "Examples:\n"
           "  zstd -d <events.slx.zst | seglog import events\n"
           "  seglog cat old --tag 7 -o json | seglog import sevens",
};

static const char *source_name(const struct importing *m)
{
    return m->file ? m->file : "standard input";
}

/* ---- records ---------------------------------------------------------------------------------- */

/* What copier_put() has against a record. returns an exit status, having said why */
static int put_failed(const struct importing *m, int status, uint64_t seq, uint64_t len)
{
    if (status == -EBADMSG)
        return fail_text(m->cli, EX_DATAERR, source_name(m),
                         "record %" PRIu64 " comes behind record %" PRIu64, seq,
                         m->copier.next_seq - 1);
    if (status == -EMSGSIZE)
        return fail_text(m->cli, EX_DATAERR, source_name(m),
                         "record %" PRIu64 ": %" PRIu64
                         " bytes, but a record here holds at most %" PRIu64 "; see --segment-size",
                         seq, len, m->copier.max_record);
    return copier_failed(&m->copier, status);
}

/* ---- a stream --------------------------------------------------------------------------------- */

static int stream_failed(const struct importing *m, int status)
{
    if (status == -EBADMSG)
        return fail_text(m->cli, EX_DATAERR, source_name(m), "byte %" PRIu64 ": %s",
                         m->stream.offset, m->stream.problem);
    return fail_text(m->cli, fail_exit_of(m->cli, status), source_name(m), "%s",
                     seglog_strerror(status));
}

static int stream_begin(struct importing *m)
{
    struct portable_head head;

    portable_head_take(&m->stream, &head);
    if (m->options.segment_size == 0)
        m->options.segment_size = head.segment_size;
    if (m->options.sync == 0) {
        m->options.sync = head.sync;
        m->options.sync_interval_ns = head.sync_interval_ns;
    }
    m->options.mode = head.mode | 0600;
    m->options.first_seq = head.first_seq;
    return copier_begin(&m->copier, m->cli, m->dir, &m->options);
}

static int stream_records(struct importing *m)
{
    struct seglog_record record;
    uint64_t seq = 0;
    int rc, put = 0;

    while ((rc = portable_record_take(&m->stream, &seq, &record)) == 1) {
        put = copier_put(&m->copier, seq, &record);
        if (put < 0)
            return put_failed(m, put, seq, record.len);
    }
    if (rc < 0)
        return stream_failed(m, rc);
    put = copier_flush(&m->copier);
    if (m->file_size)
        meter_show(&m->meter, m->stream.offset, m->file_size);
    return put < 0 ? copier_failed(&m->copier, put) : 0;
}

static int stream_end(struct importing *m)
{
    struct portable_end end;
    int rc;

    portable_end_take(&m->stream, &end);
    if (end.records != m->copier.records || end.bytes != m->copier.bytes ||
        end.next_seq < m->copier.next_seq)
        return fail_text(m->cli, EX_DATAERR, source_name(m),
                         "it says that it has %" PRIu64 " records, and has %" PRIu64, end.records,
                         m->copier.records);
    rc = copier_skip(&m->copier, end.next_seq);
    return rc < 0 ? copier_failed(&m->copier, rc) : 0;
}

static int import_stream(struct importing *m, const void *first, size_t n)
{
    int rc, exit_status = 0;

    portable_open(&m->stream, m->fd, first, n);
    do {
        rc = portable_next(&m->stream);
        meter_clear(&m->meter);
        if (rc == -EINTR)
            return 0;
        if (rc < 0)
            return stream_failed(m, rc);
        exit_status = rc == PORTABLE_HEAD      ? stream_begin(m)
                      : rc == PORTABLE_RECORDS ? stream_records(m)
                                               : stream_end(m);
    } while (exit_status == 0 && rc != PORTABLE_END);
    meter_clear(&m->meter);
    return exit_status;
}

/* ---- lines ------------------------------------------------------------------------------------ */

static int line_failed(const struct importing *m, int status)
{
    if (status == -EBADMSG || status == -EMSGSIZE)
        return fail_text(m->cli, EX_DATAERR, source_name(m), "line %" PRIu64 ": %s", m->lines.count,
                         m->lines.problem);
    return fail_text(m->cli, fail_exit_of(m->cli, status), source_name(m), "%s",
                     seglog_strerror(status));
}

/* One line. returns an exit status, having said why, or 0 */
static int line_put(struct importing *m, const struct seglog_record *record)
{
    int rc;

    if (!m->copier.log) {
        m->options.first_seq = m->lines.next_seq;
        rc = copier_begin(&m->copier, m->cli, m->dir, &m->options);
        if (rc != 0)
            return rc;
    }
    rc = copier_put(&m->copier, m->lines.next_seq, record);
    return rc < 0 ? put_failed(m, rc, m->lines.next_seq, record->len) : 0;
}

/* All that is complete in the buffer. returns an exit status, having said why, or 0 */
static int lines_put(struct importing *m)
{
    struct seglog_record record;
    int n, exit_status = 0;

    do {
        m->lines.next_seq = m->copier.next_seq;
        n = framing_take(&m->lines, &record, 1, SIZE_MAX);
        if (n == 1)
            exit_status = line_put(m, &record);
    } while (n == 1 && exit_status == 0);
    if (exit_status == 0 && m->copier.log) {
        const int rc = copier_flush(&m->copier);

        exit_status = rc < 0 ? copier_failed(&m->copier, rc) : 0;
    }
    return exit_status == 0 && n < 0 ? line_failed(m, n) : exit_status;
}

static int import_lines(struct importing *m, const void *first, size_t n)
{
    const uint64_t size =
        m->options.segment_size ? m->options.segment_size : SEGLOG_SEGMENT_SIZE_DEFAULT;
    int exit_status = 0, rc;

    m->lines = (struct framing){.kind = FRAMING_JSON,
                                .is_whole = true,
                                .max_record = size / 4 - 32,
                                .larger = "see --segment-size"};
    rc = framing_open(&m->lines, m->fd);
    if (rc < 0)
        return fail_status(m->cli, NULL, rc);
    memcpy(m->lines.buf, first, n);
    m->lines.end = n;
    while (exit_status == 0 && !m->lines.ended) {
        rc = framing_fill(&m->lines);
        if (rc == -EINTR)
            return 0;
        exit_status = rc < 0 ? line_failed(m, rc) : lines_put(m);
    }
    return exit_status;
}

/* ---- the whole -------------------------------------------------------------------------------- */

/* The first bytes tell what it is. Fewer than asked for: all there is. */
static ssize_t peek(const struct importing *m, unsigned char *to, size_t len)
{
    size_t have = 0;

    while (have < len) {
        const int rc = signals_wait_readable(m->fd, -1);
        const ssize_t got = rc < 0 ? -1 : rc == 0 ? 0 : read(m->fd, to + have, len - have);

        if (rc < 0)
            return rc;
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (got == 0 && rc > 0)
            break;
        have += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)have;
}

static int import_all(struct importing *m)
{
    unsigned char first[8];
    const ssize_t n = peek(m, first, sizeof(first));
    size_t blank = 0;

    if (n == -EINTR)
        return 0;
    if (n < 0)
        return line_failed(m, (int)n);
    if (n == 0)
        return fail_text(m->cli, EX_DATAERR, source_name(m), "nothing is there");
    while (blank < (size_t)n && memchr(" \t\r\n", first[blank], 4))
        blank++;
    if (blank == (size_t)n || first[blank] == '{')
        return import_lines(m, first, (size_t)n);
    return import_stream(m, first, (size_t)n);
}

static int print_report(const struct importing *m)
{
    const struct copier *c = &m->copier;
    char size[REPORT_SIZE_LEN];
    json_t *object;

    if (m->json) {
        object = copier_report(c);
        report_number(object, "void", c->voids);
        return report_print(m->cli, object);
    }
    report_size(c->bytes, size);
    printf("imported %" PRIu64 " records, %s, numbers %" PRIu64 " to %" PRIu64 " (the next)\n",
           c->records, size, c->first_seq, c->next_seq);
    return 0;
}

static int import_run(struct importing *m)
{
    int printed, exit_status = import_all(m);

    if (signals_stopped())
        note(m->cli, "stopped before the end");
    if (!m->copier.log)
        return exit_status;
    exit_status = copier_end(&m->copier, exit_status);
    printed = print_report(m);
    if (printed == 0)
        printed = flush_stdout(m->cli);
    return exit_status ? exit_status : printed;
}

static int source_open(struct importing *m)
{
    struct stat st;

    m->fd = m->file ? open(m->file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (m->fd < 0)
        return fail_text(m->cli, errno == EACCES ? EX_NOPERM : EX_NOINPUT, m->file, "%s",
                         seglog_strerror(-errno));
    if (fstat(m->fd, &st) == 0 && S_ISREG(st.st_mode))
        m->file_size = (uint64_t)st.st_size;
    return 0;
}

static int import_from(struct importing *m)
{
    int exit_status = source_open(m);

    if (exit_status != 0)
        return exit_status;
    m->meter = meter_begin(m->cli, "importing", source_name(m));
    exit_status = import_run(m);
    portable_stop(&m->stream);
    framing_close(&m->lines);
    if (m->file)
        close(m->fd);
    return exit_status;
}

int cmd_import(struct cli *cli, int argc, char **argv)
{
    struct importing *m = calloc(1, sizeof(*m));
    int rc;

    if (!m)
        return fail_status(cli, NULL, -ENOMEM);
    m->cli = cli;
    rc = args_parse(cli, &argp, argc, argv, m);
    if (rc == ARGS_RUN) {
        signals_catch();
        rc = import_from(m);
    }
    free(m);
    return rc;
}
