/*
 * seglog append: records from files or from standard input.
 *
 * Whatever one read brings is appended before the next one may wait, in batches: so a full pipe costs
 * one claim for some hundred records, and a slow one is passed on line by line.
 */
#include "args.h"
#include "fail.h"
#include "framing.h"
#include "level.h"
#include "parse.h"
#include "signals.h"
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BATCH_RECORDS 512

enum {
    KEY_WHOLE = ARGS_KEY_FIRST,
    KEY_JSON,
    KEY_TAG,
    KEY_RATE,
    KEY_SYNC,
    KEY_COUNT,
    KEY_EXCLUSIVE,
    KEY_FORCE,
    KEY_PCAP,
};

struct append {
    struct cli *cli;
    char **files;
    int file_count;
    const char *framing_option; /* the one that was given */
    struct framing framing;
    struct writer writer;
    bool count;
    uint64_t rate;     /* thousandths of a record per second; 0: no limit */
    uint64_t start_ns; /* of the rate's clock */
};

static const struct argp_option options[] = {
    {0, 0, NULL, 0, "What a record is (a line, unless one of these is given):", 1},
    {"null", '0', NULL, 0, "NUL-separated", 1},
    {"delimiter", 'D', "CHAR", 0, "Separated by CHAR, such as , or \\t or \\x1e", 1},
    {"prefixed", 'p', NULL, 0, "Behind its length, 32 bits, little-endian", 1},
    {"whole", KEY_WHOLE, NULL, 0, "Each FILE is one record", 1},
    {"json", KEY_JSON, NULL, 0,
     "JSON lines as cat -o json prints them; text or base64, and tag, are taken", 1},
    {0, 0, NULL, 0, "How:", 2},
    {"tag", KEY_TAG, "N", 0, "Give every record this tag", 2},
    {"rate", KEY_RATE, "N/s", 0, "At most N records a second", 2},
    {"count", KEY_COUNT, NULL, 0, "Say on stderr how many were appended", 2},
    {"exclusive", KEY_EXCLUSIVE, NULL, 0, "Be the only appender, or fail", 2},
    {"sync", KEY_SYNC, "LEVEL", 0,
     "none, sealed, interval:DURATION or record: of a log that is made here; with one that exists, "
     "of "
     "what is appended now. With record, whatever has arrived is on the disk before more is read",
     2},
    {"force", KEY_FORCE, NULL, 0, "Append on a network file system too", 2},
    {"pcap", KEY_PCAP, NULL, OPTION_HIDDEN, NULL, 2},
    {0},
};

static int take_framing(struct append *append, const char *option, enum framing_kind kind,
                        unsigned char delimiter)
{
    if (append->framing_option && strcmp(append->framing_option, option) != 0) {
        fail_usage(append->cli, option, "does not go with %s", append->framing_option);
        return ARGS_SAID;
    }
    append->framing_option = option;
    append->framing.kind = kind;
    append->framing.delimiter = delimiter;
    return 0;
}

static int take_argument(struct append *append, char *arg)
{
    if (!append->writer.dir)
        return args_take_place(append->cli, &append->writer.dir, arg);
    append->files[append->file_count++] = arg;
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct append *append = state->input;
    struct cli *cli = append->cli;
    struct writer *writer = &append->writer;
    unsigned char byte = 0;
    int rc;

    switch (key) {
    case '0':
        return take_framing(append, "-0", FRAMING_DELIMITED, '\0');
    case 'D':
        rc = args_check(cli, "-D", arg, parse_byte(arg, &byte));
        return rc ? rc : take_framing(append, "-D", FRAMING_DELIMITED, byte);
    case 'p':
        return take_framing(append, "-p", FRAMING_PREFIXED, 0);
    case KEY_WHOLE:
        return take_framing(append, "--whole", FRAMING_WHOLE, 0);
    case KEY_JSON:
        return take_framing(append, "--json", FRAMING_JSON, '\n');
    case KEY_TAG:
        append->framing.has_tag = true;
        return args_check(cli, "--tag", arg, parse_tag(arg, &append->framing.tag));
    case KEY_RATE:
        return args_check(cli, "--rate", arg, parse_rate(arg, &append->rate));
    case KEY_SYNC:
        return args_check(cli, "--sync", arg,
                          level_parse(arg, &writer->sync, &writer->sync_interval_ns));
    case KEY_COUNT:
        append->count = true;
        return 0;
    case KEY_EXCLUSIVE:
        writer->exclusive = true;
        return 0;
    case KEY_FORCE:
        writer->force_fs = true;
        return 0;
    case KEY_PCAP:
        fail_later(cli, "--pcap");
        return ARGS_SAID;
    case ARGP_KEY_ARG:
        return take_argument(append, arg);
    case ARGP_KEY_END:
        return writer->dir ? 0 : args_no_place(cli, "DIR");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "DIR [FILE...]",
    .doc = "Append records from FILEs or from standard input, making the log if need be."
           "\v"
           "A line ends with one LF, which is not stored; a CR before it is. A last line without "
           "its end counts. FILE may be - for standard input.\n"
           "\n"
           "SIGINT or SIGTERM: the record at hand is finished, and the totals are printed. What "
           "was appended stays, whatever happens later.\n"
           "\n"
           "Exit status: 0 done, 2 usage, 65 a record is too large or not understood, 66 no such "
           "FILE (nothing is appended then), 69 the file system cannot keep what --sync promises, "
           "73 no room or no log can be made, 74 I/O error, 75 another appender is in the way.\n"
           "\n"
           "Examples:\n"
           "  dmesg -w | seglog append /var/tmp/events\n"
           "  find . -print0 | seglog append -0 /var/tmp/names\n"
           "  seglog append --whole --tag 7 /var/tmp/pages *.html\n"
           "  seglog append --sync record /var/tmp/orders order.json --whole\n"
           "  seglog cat OLD -o json | seglog append --json NEW",
};

/* ---- appending -------------------------------------------------------------------------------- */

static uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* How many records may go now; waits until it is one at least. -EINTR when asked to stop. */
static int rate_allows(struct append *append)
{
    while (!signals_stopped()) {
        const uint64_t elapsed_us = (clock_ns() - append->start_ns) / 1000;
        const double due = 1 + (double)elapsed_us * (double)append->rate / 1e9;
        const double ready = due - (double)append->writer.records;
        int rc;

        if (ready >= 1)
            return ready < BATCH_RECORDS ? (int)ready : BATCH_RECORDS;
        rc = writer_settle(&append->writer);
        if (rc < 0)
            return rc;
        const double wait_ms = (1 - ready) * 1e6 / (double)append->rate;
        (void)signals_wait_readable(-1, wait_ms < 1     ? 1
                                        : wait_ms < 1e6 ? (int)wait_ms + 1
                                                        : 1000000);
    }
    return -EINTR;
}

/* Append all that is complete in the buffer. returns 0, or what framing or the log has against it */
static int append_complete(struct append *append)
{
    struct seglog_record records[BATCH_RECORDS];

    for (;;) {
        const int max = append->rate ? rate_allows(append) : BATCH_RECORDS;
        int n;
        int rc;

        if (max < 0)
            return max;
        n = framing_take(&append->framing, records, max, append->writer.batch_bytes);
        if (n <= 0)
            return n;
        rc = writer_append(&append->writer, records, n);
        if (rc < 0)
            return rc;
    }
}

static int say_bad_data(struct append *append, const char *name)
{
    const bool lines = append->framing.kind == FRAMING_JSON ||
                       (append->framing.kind == FRAMING_DELIMITED && !append->framing_option);
    char *what = NULL;

    if (append->framing.kind == FRAMING_WHOLE ||
        asprintf(&what, "%s: %s %llu", name, lines ? "line" : "record",
                 (unsigned long long)append->framing.count) < 0)
        what = NULL;
    fail_text(append->cli, EX_DATAERR, what ? what : name, "%s", append->framing.problem);
    free(what);
    return EX_DATAERR;
}

/* Asked to stop: what has begun is read to its end, the rest is left where it is. */
static int append_last(struct append *append, const char *name)
{
    int rc = 0;

    if (!append->rate) {
        framing_finish(&append->framing);
        rc = append_complete(append);
    }
    if (framing_leftover(&append->framing) > 0 && rc == 0)
        note(append->cli, "%s: %zu bytes of unfinished records were read and not appended", name,
             framing_leftover(&append->framing));
    return rc;
}

/* Append one file. returns an exit status */
static int append_file(struct append *append, int fd, const char *name)
{
    struct framing *framing = &append->framing;
    int settled = 0;
    int rc = framing_open(framing, fd);

    while (rc == 0) {
        rc = append_complete(append);
        if (rc == 0)
            rc = writer_settle(&append->writer);
        if (rc < 0 || framing->ended)
            break;
        rc = framing_fill(framing);
        if (rc == -EINTR && !signals_stopped())
            rc = 0;
        if (rc < 0 && rc != -EINTR)
            return fail_text(append->cli, fail_exit_of(append->cli, rc), name, "%s",
                             seglog_strerror(rc));
    }
    if (rc == -EINTR)
        rc = append_last(append, name);
    if (rc != -ETIMEDOUT)
        settled = writer_settle(&append->writer);
    if (settled < 0)
        return writer_failed(&append->writer, settled);
    if (rc == -EBADMSG || rc == -EMSGSIZE)
        return say_bad_data(append, name);
    return rc < 0 && rc != -EINTR ? writer_failed(&append->writer, rc) : 0;
}

/* ---- files ------------------------------------------------------------------------------------ */

static bool is_stdin(const char *name)
{
    return strcmp(name, "-") == 0;
}

static int file_failed(const struct append *append, const char *name, int error)
{
    int exit_status = EX_NOINPUT;

    if (error == EACCES || error == EPERM)
        exit_status = EX_NOPERM;
    else if (error == EIO)
        exit_status = EX_IOERR;
    return fail_text(append->cli, exit_status, name, "%s", seglog_strerror(-error));
}

/* All FILEs are looked at before anything is appended. */
static int check_files(const struct append *append)
{
    for (int i = 0; i < append->file_count; i++) {
        const char *name = append->files[i];
        struct stat st;

        if (is_stdin(name))
            continue;
        if (stat(name, &st) < 0 || faccessat(AT_FDCWD, name, R_OK, AT_EACCESS) < 0)
            return file_failed(append, name, errno);
        if (S_ISDIR(st.st_mode))
            return file_failed(append, name, EISDIR);
    }
    return 0;
}

static int append_files(struct append *append)
{
    int exit_status = 0;

    if (append->file_count == 0)
        return append_file(append, STDIN_FILENO, "standard input");
    for (int i = 0; i < append->file_count && exit_status == 0 && !signals_stopped(); i++) {
        const char *name = append->files[i];
        int fd = STDIN_FILENO;

        if (is_stdin(name)) {
            exit_status = append_file(append, fd, "standard input");
            continue;
        }
        fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && errno == EINTR)
            break;
        if (fd < 0)
            return file_failed(append, name, errno);
        exit_status = append_file(append, fd, name);
        close(fd);
    }
    return exit_status;
}

static int append_run(struct append *append)
{
    int exit_status = check_files(append);

    if (exit_status != 0)
        return exit_status;
    signals_catch();
    exit_status = writer_open(&append->writer, append->cli);
    if (exit_status == 0) {
        append->framing.max_record = append->writer.max_record;
        append->start_ns = clock_ns();
        exit_status = append_files(append);
        if (append->count || append->cli->verbose || (signals_stopped() && !append->cli->quiet))
            writer_print_totals(&append->writer);
    }
    framing_close(&append->framing);
    return writer_close(&append->writer, exit_status);
}

int cmd_append(struct cli *cli, int argc, char **argv)
{
    struct append append = {.cli = cli, .framing = {.delimiter = '\n'}};
    int rc;

    append.files = calloc((size_t)argc + 1, sizeof(*append.files));
    if (!append.files)
        return fail_status(cli, NULL, -ENOMEM);
    rc = args_parse(cli, &argp, argc, argv, &append);
    if (rc == ARGS_RUN)
        rc = append_run(&append);
    free(append.files);
    return rc;
}
