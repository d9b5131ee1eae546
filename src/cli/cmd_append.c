/*
 * seglog append: records from files or from standard input.
 */
#include "args.h"
#include "fail.h"
#include "input.h"
#include "level.h"
#include "parse.h"
#include "signals.h"
#include "writer.h"

#include <errno.h>

enum { KEY_SYNC = ARGS_KEY_FIRST, KEY_COUNT, KEY_EXCLUSIVE, KEY_FORCE };

struct append {
    struct cli *cli;
    struct input input;
    struct writer writer;
    bool count;
};

static const struct argp_option options[] = {
    {"count", KEY_COUNT, NULL, 0, "Say on stderr how many were appended", 2},
    {"exclusive", KEY_EXCLUSIVE, NULL, 0, "Be the only appender, or fail", 2},
    {"sync", KEY_SYNC, "LEVEL", 0,
     "none, sealed, interval:DURATION or record: of a log that is made here; with one that exists, "
     "of "
     "what is appended now. With record, whatever has arrived is on the disk before more is read",
     2},
    {"force", KEY_FORCE, NULL, 0, "Append on a network file system too", 2},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct append *append = state->input;
    struct cli *cli = append->cli;
    struct writer *writer = &append->writer;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &append->input;
        return 0;
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
    case ARGP_KEY_ARG:
        return input_take_argument(&append->input, &writer->dir, arg);
    case ARGP_KEY_END:
        return writer->dir ? 0 : args_no_place(cli, "DIR");
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .children = input_children,
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

static int put(void *append, struct seglog_record *records, int n)
{
    return writer_append(&((struct append *)append)->writer, records, n);
}

static int settle(void *append)
{
    return writer_settle(&((struct append *)append)->writer);
}

static int failed(void *append, int status)
{
    return writer_failed(&((struct append *)append)->writer, status);
}

static int append_run(struct append *append)
{
    struct input *input = &append->input;
    int exit_status = input_check_files(input);

    if (exit_status != 0)
        return exit_status;
    signals_catch();
    exit_status = writer_open(&append->writer, append->cli);
    if (exit_status == 0) {
        input->framing.max_record = append->writer.max_record;
        input->batch_bytes = append->writer.batch_bytes;
        input->context = append;
        input->put = put;
        input->settle = settle;
        input->failed = failed;
        exit_status = input_run(input);
        if (append->count || append->cli->verbose || (signals_stopped() && !append->cli->quiet))
            writer_print_totals(&append->writer);
    }
    return writer_close(&append->writer, exit_status);
}

int cmd_append(struct cli *cli, int argc, char **argv)
{
    struct append append = {.cli = cli};
    int rc = input_init(&append.input, cli, argc);

    rc = rc < 0 ? fail_status(cli, NULL, rc) : args_parse(cli, &argp, argc, argv, &append);
    if (rc == ARGS_RUN)
        rc = append_run(&append);
    input_free(&append.input);
    return rc;
}
