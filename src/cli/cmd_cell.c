/*
 * seglog cell: one value, printed, replaced, watched.
 */
#include "family.h"
#include "fail.h"
#include "parse.h"
#include "signals.h"
#include "text.h"
#include "value.h"

#include <seglog/cell.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define WAIT_NS UINT64_C(200000000) /* how late the end of the output's reader is noticed */

enum { KEY_DURABLE = ARGS_KEY_FIRST, KEY_TIMEOUT, KEY_NEW };

struct cell_run {
    struct value_args args;
    struct seglog_cell *cell;
    bool durable;
    bool is_new;
    bool has_count;
    uint64_t count;
    uint64_t timeout_ns;
    struct sink sink;
    char *buf;
    size_t size;
    size_t len;
    uint64_t version;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct cell_run *run = state->input;
    const struct cli *cli = run->args.cli;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &run->args;
        return 0;
    case KEY_DURABLE:
        run->durable = true;
        return 0;
    case KEY_TIMEOUT:
        return args_check(cli, "--timeout", arg, parse_duration(arg, &run->timeout_ns));
    case KEY_NEW:
        run->is_new = true;
        return 0;
    case 'n':
        run->has_count = true;
        return args_check(cli, "-n", arg, parse_count(arg, &run->count));
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int cell_open(struct cell_run *run, uint32_t flags)
{
    const struct seglog_cell_options o = {
        .flags = flags | (run->args.force ? SEGLOG_CELL_FORCE_FS : 0),
        .schema = run->args.schema,
        .file_mode = run->args.mode,
        .timeout_ns = run->timeout_ns,
    };

    return seglog_cell_open(run->args.words[0], &o, &run->cell);
}

/* The value into run->buf. 0 or a status */
static int cell_load(struct cell_run *run)
{
    int rc;

    while ((rc = seglog_cell_read(run->cell, run->buf, run->size, &run->len, &run->version)) ==
           -EMSGSIZE) {
        char *more = realloc(run->buf, run->len);

        if (!more)
            return -ENOMEM;
        run->buf = more;
        run->size = run->len;
    }
    return rc;
}

static void cell_print(struct cell_run *run)
{
    struct sink *sink = &run->sink;

    if (run->args.form == VALUE_JSON) {
        sink_put_byte(sink, '{');
        value_put_number(sink, "version", run->version);
        sink_put_byte(sink, ',');
        value_put_number(sink, "len", run->len);
        sink_put_byte(sink, ',');
        text_put_json_bytes(sink, "text", "base64", run->buf, run->len);
        sink_put_byte(sink, '}');
    } else {
        value_put(sink, run->args.form, run->buf, run->len);
    }
    if (run->args.form != VALUE_RAW)
        sink_put_byte(sink, '\n');
}

static int cell_end(struct cell_run *run, int exit_status)
{
    const int rc = run->sink.buf ? value_end(run->args.cli, &run->sink) : 0;

    seglog_cell_close(run->cell);
    free(run->buf);
    free(run->args.words);
    return exit_status ? exit_status : rc;
}

/* ---- get -------------------------------------------------------------------------------------- */

static const struct argp get_argp = {
    .parser = parse,
    .children = value_print_children,
    .args_doc = "PATH",
    .doc = "Print the value of a cell."
           "\v"
           "Exit status: 0 done, 1 nothing was set yet, 65 damaged, 66 no cell there, 77 "
           "permission.\n"
           "\n"
           "Examples:\n"
           "  seglog cell get /dev/shm/config\n"
           "  seglog cell get /dev/shm/config -o json | jq .version",
};

static int cmd_cell_get(struct cli *cli, int argc, char **argv)
{
    struct cell_run run = {.args = {.cli = cli}};
    int rc = value_args_parse(&run.args, &get_argp, argc, argv, &run, 1, 1);

    if (rc != ARGS_RUN)
        return cell_end(&run, rc);
    rc = sink_open(&run.sink, STDOUT_FILENO);
    if (rc == 0)
        rc = cell_open(&run, 0);
    if (rc == 0)
        rc = cell_load(&run);
    if (rc == -ENODATA)
        return cell_end(&run, EXIT_NOTHING);
    if (rc < 0)
        return cell_end(&run, fail_status(cli, run.args.words[0], rc));
    cell_print(&run);
    return cell_end(&run, 0);
}

/* ---- set -------------------------------------------------------------------------------------- */

static const struct argp_option set_options[] = {
    {"durable", KEY_DURABLE, NULL, 0, "Sync it before anybody sees it", 1},
    {"timeout", KEY_TIMEOUT, "DURATION", 0, "Wait so long for another writer to end (for ever)", 1},
    {0},
};

static const struct argp set_argp = {
    .options = set_options,
    .parser = parse,
    .children = value_make_children,
    .args_doc = "PATH [VALUE]",
    .doc = "Replace the value of a cell, making the cell if need be. Without VALUE it is all of "
           "standard input, byte by byte."
           "\v"
           "Exit status: 0 done, 2 usage or another schema, 69 --durable where nothing is kept, 73 "
           "no room or no such directory, 74 the disk failed, 75 another process is the writer, 77 "
           "permission.\n"
           "\n"
           "Examples:\n"
           "  seglog cell set /dev/shm/level debug\n"
           "  seglog cell set --durable /var/lib/app/config < config.json",
};

static int cmd_cell_set(struct cli *cli, int argc, char **argv)
{
    struct cell_run run = {.args = {.cli = cli}};
    void *input = NULL;
    const void *value;
    size_t len = 0;
    int rc = value_args_parse(&run.args, &set_argp, argc, argv, &run, 1, 2);

    if (rc != ARGS_RUN)
        return cell_end(&run, rc);
    value = run.args.words[1];
    if (value) {
        len = strlen(value);
    } else {
        rc = value_read(cli, &input, &len);
        if (rc)
            return cell_end(&run, rc);
        value = input;
    }
    rc = cell_open(&run, SEGLOG_CELL_WRITE | SEGLOG_CELL_CREATE |
                             (run.durable ? SEGLOG_CELL_DURABLE : 0));
    if (rc == 0)
        rc = seglog_cell_publish(run.cell, value, len);
    free(input);
    if (rc < 0)
        return cell_end(&run, fail_status(cli, run.args.words[0], rc));
    if (seglog_cell_version(run.cell, &run.version) == 0)
        detail(cli, "%s: version %llu", run.args.words[0], (unsigned long long)run.version);
    return cell_end(&run, 0);
}

/* ---- watch ------------------------------------------------------------------------------------ */

static const struct argp_option watch_options[] = {
    {"count", 'n', "COUNT", 0, "End after COUNT values", 1},
    {"new", KEY_NEW, NULL, 0, "Leave out the value that is there already", 1},
    {0},
};

static const struct argp watch_argp = {
    .options = watch_options,
    .parser = parse,
    .children = value_print_children,
    .args_doc = "PATH",
    .doc = "Print the value of a cell, and again whenever it changes, until stopped."
           "\v"
           "Of changes in quick succession the last one is printed for certain.\n"
           "\n"
           "Exit status: 0 done, 65 damaged, 66 no cell there, 77 permission.\n"
           "\n"
           "Examples:\n"
           "  seglog cell watch /dev/shm/level\n"
           "  seglog cell watch --new -n 1 /dev/shm/config && reload",
};

/* 0 or a status */
static int watch(struct cell_run *run)
{
    uint64_t left = run->has_count ? run->count : UINT64_MAX;
    uint64_t seen = 0;
    int rc = run->is_new ? seglog_cell_version(run->cell, &seen) : 0;

    while (rc == 0 && left > 0 && !signals_stopped() && !run->sink.error) {
        rc = seglog_cell_wait(run->cell, seen, WAIT_NS);
        if (rc == -ETIMEDOUT || rc == -EINTR) {
            rc = 0;
            if (sink_is_gone(&run->sink))
                return 0;
            continue;
        }
        if (rc == 0)
            rc = cell_load(run);
        if (rc < 0)
            return rc == -ENODATA ? 0 : rc;
        seen = run->version;
        cell_print(run);
        (void)sink_flush(&run->sink);
        left--;
    }
    return rc;
}

static int cmd_cell_watch(struct cli *cli, int argc, char **argv)
{
    struct cell_run run = {.args = {.cli = cli}};
    int rc = value_args_parse(&run.args, &watch_argp, argc, argv, &run, 1, 1);

    if (rc != ARGS_RUN)
        return cell_end(&run, rc);
    signals_catch();
    rc = sink_open(&run.sink, STDOUT_FILENO);
    if (rc == 0)
        rc = cell_open(&run, 0);
    if (rc == 0)
        rc = watch(&run);
    return cell_end(&run, rc < 0 ? fail_status(cli, run.args.words[0], rc) : 0);
}

/* ---- all of them ------------------------------------------------------------------------------ */

static const struct family_command commands[] = {
    {"get", "cell get", cmd_cell_get, false, "print the value"},
    {"set", "cell set", cmd_cell_set, true, "replace the value"},
    {"watch", "cell watch", cmd_cell_watch, false, "print it whenever it changes"},
};

static const struct family family = {
    .name = "cell",
    .what = "One value in a mapped file, replaced by one process at a time and read by any number.",
    .commands = commands,
    .count = sizeof(commands) / sizeof(commands[0]),
    .examples = "  seglog cell set /dev/shm/level debug\n"
                "  seglog cell get /dev/shm/level\n"
                "  seglog cell watch /dev/shm/level\n",
};

int cmd_cell(struct cli *cli, int argc, char **argv)
{
    cli->place = CLI_STATE;
    return family_run(cli, &family, argc, argv);
}
