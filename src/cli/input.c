/*
 * Records from FILEs or from standard input: the options that say what a record is, and the way
 * through the files. What is done with the records is the caller's.
 *
 * Whatever one read brings is handed on before the next one may wait, in batches: so a full pipe
 * costs one call for some hundred records, and a slow one is passed on line by line.
 */
#include "input.h"

#include "fail.h"
#include "parse.h"
#include "signals.h"
#include "stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_RECORDS 512

enum { KEY_WHOLE = 0x1800, KEY_JSON, KEY_TAG, KEY_RATE, KEY_PCAP };

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
    {"pcap", KEY_PCAP, NULL, OPTION_HIDDEN, NULL, 2},
    {0},
};

static int take_framing(struct input *input, const char *option, enum framing_kind kind,
                        unsigned char delimiter)
{
    if (input->framing_option && strcmp(input->framing_option, option) != 0) {
        fail_usage(input->cli, option, "does not go with %s", input->framing_option);
        return ARGS_SAID;
    }
    input->framing_option = option;
    input->framing.kind = kind;
    input->framing.delimiter = delimiter;
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct input *input = state->input;
    const struct cli *cli = input ? input->cli : NULL;
    unsigned char byte = 0;
    int rc;

    switch (key) {
    case '0':
        return take_framing(input, "-0", FRAMING_DELIMITED, '\0');
    case 'D':
        rc = args_check(cli, "-D", arg, parse_byte(arg, &byte));
        return rc ? rc : take_framing(input, "-D", FRAMING_DELIMITED, byte);
    case 'p':
        return take_framing(input, "-p", FRAMING_PREFIXED, 0);
    case KEY_WHOLE:
        return take_framing(input, "--whole", FRAMING_WHOLE, 0);
    case KEY_JSON:
        return take_framing(input, "--json", FRAMING_JSON, '\n');
    case KEY_TAG:
        input->framing.has_tag = true;
        return args_check(cli, "--tag", arg, parse_tag(arg, &input->framing.tag));
    case KEY_RATE:
        return args_check(cli, "--rate", arg, parse_rate(arg, &input->rate));
    case KEY_PCAP:
        fail_later(cli, "--pcap");
        return ARGS_SAID;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp input_argp = {.options = options, .parser = parse};

const struct argp_child input_children[] = {{.argp = &input_argp}, {0}};

int input_init(struct input *input, const struct cli *cli, int argc)
{
    *input = (struct input){.cli = cli, .framing = {.delimiter = '\n'}};
    input->files = calloc((size_t)argc + 1, sizeof(*input->files));
    return input->files ? 0 : -ENOMEM;
}

void input_free(struct input *input)
{
    framing_close(&input->framing);
    free(input->files);
}

error_t input_take_argument(struct input *input, const char **place, char *arg)
{
    if (!*place)
        return args_take_place(input->cli, place, arg);
    input->files[input->file_count++] = arg;
    return 0;
}

/* ---- handing on -------------------------------------------------------------------------------- */

/* How many records may go now; waits until it is one at least. -EINTR when asked to stop. */
static int rate_allows(struct input *input)
{
    while (!signals_stopped()) {
        const uint64_t elapsed_us = (stamp_steady_ns() - input->start_ns) / 1000;
        const double due = 1 + (double)elapsed_us * (double)input->rate / 1e9;
        const double ready = due - (double)input->records;
        int rc;

        if (ready >= 1)
            return ready < BATCH_RECORDS ? (int)ready : BATCH_RECORDS;
        rc = input->settle(input->context);
        if (rc < 0)
            return rc;
        const double wait_ms = (1 - ready) * 1e6 / (double)input->rate;
        (void)signals_wait_readable(-1, wait_ms < 1     ? 1
                                        : wait_ms < 1e6 ? (int)wait_ms + 1
                                                        : 1000000);
    }
    return -EINTR;
}

/* Hand on all that is complete in the buffer. returns 0, or what framing or the place has against
 * it */
static int input_complete(struct input *input)
{
    struct seglog_record records[BATCH_RECORDS];

    for (;;) {
        const int max = input->rate ? rate_allows(input) : BATCH_RECORDS;
        int n;
        int rc;

        if (max < 0)
            return max;
        n = framing_take(&input->framing, records, max, input->batch_bytes);
        if (n <= 0)
            return n;
        rc = input->put(input->context, records, n);
        if (rc < 0)
            return rc;
        input->records += (uint64_t)n;
    }
}

static int say_bad_data(struct input *input, const char *name)
{
    const bool lines = input->framing.kind == FRAMING_JSON ||
                       (input->framing.kind == FRAMING_DELIMITED && !input->framing_option);
    char *what = NULL;

    if (input->framing.kind == FRAMING_WHOLE ||
        asprintf(&what, "%s: %s %llu", name, lines ? "line" : "record",
                 (unsigned long long)input->framing.count) < 0)
        what = NULL;
    fail_text(input->cli, EX_DATAERR, what ? what : name, "%s", input->framing.problem);
    free(what);
    return EX_DATAERR;
}

/* Asked to stop: what has begun is read to its end, the rest is left where it is. */
static int input_last(struct input *input, const char *name)
{
    int rc = 0;

    if (!input->rate) {
        framing_finish(&input->framing);
        rc = input_complete(input);
    }
    if (framing_leftover(&input->framing) > 0 && rc == 0)
        note(input->cli, "%s: %zu bytes of unfinished records were read and not appended", name,
             framing_leftover(&input->framing));
    return rc;
}

/* One file. returns an exit status */
static int input_file(struct input *input, int fd, const char *name)
{
    struct framing *framing = &input->framing;
    int settled = 0;
    int rc = framing_open(framing, fd);

    while (rc == 0) {
        rc = input_complete(input);
        if (rc == 0)
            rc = input->settle(input->context);
        if (rc < 0 || framing->ended)
            break;
        rc = framing_fill(framing);
        if (rc == -EINTR && !signals_stopped())
            rc = 0;
        if (rc < 0 && rc != -EINTR)
            return fail_text(input->cli, fail_exit_of(input->cli, rc), name, "%s",
                             seglog_strerror(rc));
    }
    if (rc == -EINTR)
        rc = input_last(input, name);
    if (rc != -ETIMEDOUT)
        settled = input->settle(input->context);
    if (settled < 0)
        return input->failed(input->context, settled);
    if (rc == -EBADMSG || rc == -EMSGSIZE)
        return say_bad_data(input, name);
    return rc < 0 && rc != -EINTR ? input->failed(input->context, rc) : 0;
}

/* ---- files ------------------------------------------------------------------------------------ */

static bool is_stdin(const char *name)
{
    return strcmp(name, "-") == 0;
}

static int file_failed(const struct input *input, const char *name, int error)
{
    int exit_status = EX_NOINPUT;

    if (error == EACCES || error == EPERM)
        exit_status = EX_NOPERM;
    else if (error == EIO)
        exit_status = EX_IOERR;
    return fail_text(input->cli, exit_status, name, "%s", seglog_strerror(-error));
}

/* All FILEs are looked at before anything is appended. */
int input_check_files(const struct input *input)
{
    for (int i = 0; i < input->file_count; i++) {
        const char *name = input->files[i];
        struct stat st;

        if (is_stdin(name))
            continue;
        if (stat(name, &st) < 0 || faccessat(AT_FDCWD, name, R_OK, AT_EACCESS) < 0)
            return file_failed(input, name, errno);
        if (S_ISDIR(st.st_mode))
            return file_failed(input, name, EISDIR);
    }
    return 0;
}

int input_run(struct input *input)
{
    int exit_status = 0;

    input->start_ns = stamp_steady_ns();

    if (input->file_count == 0)
        return input_file(input, STDIN_FILENO, "standard input");
    for (int i = 0; i < input->file_count && exit_status == 0 && !signals_stopped(); i++) {
        const char *name = input->files[i];
        int fd = STDIN_FILENO;

        if (is_stdin(name)) {
            exit_status = input_file(input, fd, "standard input");
            continue;
        }
        fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && errno == EINTR)
            break;
        if (fd < 0)
            return file_failed(input, name, errno);
        exit_status = input_file(input, fd, name);
        close(fd);
    }
    return exit_status;
}
