/*
 * seglog table: keys and values, printed, put and removed one by one. cmd_table_whole.c has the commands
 * for all of them.
 */
#include "cmd_table.h"

#include "fail.h"
#include "family.h"
#include "parse.h"
#include "signals.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *check_shards(const char *text, uint64_t *out)
{
    uint64_t n;
    const char *why = parse_count(text, &n);

    if (why)
        return why;
    if (n < 1 || n > SEGLOG_TABLE_SHARDS_MAX || (n & (n - 1)))
        return "a power of two up to 256";
    *out = n;
    return NULL;
}

error_t table_parse(int key, char *arg, struct argp_state *state)
{
    struct table_run *run = state->input;
    const struct cli *cli = run->args.cli;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &run->args;
        return 0;
    case KEY_SYNC:
        run->sync = true;
        return 0;
    case KEY_NEW:
        run->is_new = true;
        return 0;
    case KEY_JSON:
        run->json = true;
        return 0;
    case KEY_KEYS:
        run->keys_only = true;
        return 0;
    case KEY_LOG:
        run->log = arg;
        return 0;
    case KEY_SHARDS:
        return args_check(cli, "--shards", arg, check_shards(arg, &run->shards));
    case KEY_ROOM:
        return args_check(cli, "--room", arg, parse_count(arg, &run->room));
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int table_open(struct table_run *run, uint32_t flags)
{
    const struct seglog_table_options o = {
        .flags = flags | (run->args.force ? SEGLOG_TABLE_FORCE_FS : 0),
        .shards = (uint32_t)run->shards,
        .keys = run->room,
        .schema = run->args.schema,
        .file_mode = run->args.mode,
        .log = run->log,
    };

    return seglog_table_open(run->args.words[0], &o, &run->table);
}

int table_fail(const struct table_run *run, int rc)
{
    return fail_status(run->args.cli, run->args.words[0], rc);
}

int table_end(struct table_run *run, int exit_status)
{
    if (run->sink.buf) {
        const int rc = value_end(run->args.cli, &run->sink);

        exit_status = exit_status ? exit_status : rc;
    }
    if (run->table && run->sync && exit_status == 0) {
        const int rc = seglog_table_flush(run->table);

        exit_status = rc < 0 ? table_fail(run, rc) : 0;
    }
    seglog_table_close(run->table);
    free(run->args.words);
    return exit_status;
}

/* ---- get -------------------------------------------------------------------------------------- */

static const struct argp get_argp = {
    .parser = table_parse,
    .children = value_print_children,
    .args_doc = "PATH KEY",
    .doc = "Print the value of a key."
           "\v"
           "Exit status: 0 done, 1 there is no such key, 65 damaged, 66 no table there, 77 "
           "permission.\n"
           "\n"
           "Example:\n"
           "  seglog table get /var/tmp/ages alice",
};

void table_put_json(struct sink *sink, const struct seglog_table_entry *entry, bool key_only)
{
    sink_put_byte(sink, '{');
    text_put_json_bytes(sink, "key", "key_base64", entry->key, entry->key_len);
    if (!key_only) {
        sink_put_byte(sink, ',');
        value_put_number(sink, "len", entry->len);
        sink_put_byte(sink, ',');
        text_put_json_bytes(sink, "text", "base64", entry->value, entry->len);
    }
    sink_put(sink, "}\n", 2);
}

/* The value into *out, which the caller frees. 0 or a status */
static int table_load(struct table_run *run, const char *key, void **out, size_t *len)
{
    void *buf = NULL;
    size_t size = 0;
    int rc;

    while ((rc = seglog_table_get(run->table, key, strlen(key), buf, size, len)) == -EMSGSIZE) {
        void *more = realloc(buf, *len);

        if (!more) {
            free(buf);
            return -ENOMEM;
        }
        buf = more;
        size = *len;
    }
    *out = buf;
    return rc;
}

static int cmd_table_get(struct cli *cli, int argc, char **argv)
{
    struct table_run run = {.args = {.cli = cli}};
    struct seglog_table_entry entry = {0};
    void *value = NULL;
    int rc = value_args_parse(&run.args, &get_argp, argc, argv, &run, 2, 2);

    if (rc != ARGS_RUN)
        return table_end(&run, rc);
    rc = sink_open(&run.sink, STDOUT_FILENO);
    if (rc == 0)
        rc = table_open(&run, 0);
    if (rc < 0)
        return table_end(&run, table_fail(&run, rc));
    entry.key = run.args.words[1];
    entry.key_len = strlen(run.args.words[1]);
    rc = table_load(&run, run.args.words[1], &value, &entry.len);
    entry.value = value;
    if (rc == 0 && run.args.form == VALUE_JSON) {
        table_put_json(&run.sink, &entry, false);
    } else if (rc == 0) {
        value_put(&run.sink, run.args.form, value, entry.len);
        if (run.args.form != VALUE_RAW)
            sink_put_byte(&run.sink, '\n');
    }
    free(value);
    if (rc == -ENOENT)
        return table_end(&run, EXIT_NOTHING);
    return table_end(&run, rc < 0 ? table_fail(&run, rc) : 0);
}

/* ---- put -------------------------------------------------------------------------------------- */

static const struct argp_option put_options[] = {
    {"new", KEY_NEW, NULL, 0, "Only keys that are not there; with KEY, 1 if it is", 1},
    {"log", KEY_LOG, "DIR", 0, "The log of its changes; a new table gets one there", 1},
    {"sync", KEY_SYNC, NULL, 0, "Make everything in the table durable at the end", 1},
    {"shards", KEY_SHARDS, "N", 0, "Of a new table: parts that are locked one by one (64)", 1},
    {"room", KEY_ROOM, "KEYS", 0, "Of a new table: for so many keys from the start (0)", 1},
    {0},
};

static const struct argp put_argp = {
    .options = put_options,
    .parser = table_parse,
    .children = value_make_children,
    .args_doc = "PATH [KEY [VALUE]]",
    .doc =
        "Set the value of a key, making the table if need be. Without VALUE it is all of standard "
        "input; without KEY, standard input is lines, each a key, a TAB and a value."
        "\v"
        "With --log each change is a record of that log first; in a log that is made here it is "
        "durable before the next one. All that changes or lists the table must name it then.\n"
        "\n"
        "Exit status: 0 done, 1 --new and the key is there, 2 usage or another schema, 65 a line "
        "without a TAB, or too large, 69 --sync where nothing is kept, 73 no room or no such "
        "directory, 74 the disk failed, 77 permission.\n"
        "\n"
        "Examples:\n"
        "  seglog table put /var/tmp/ages alice 42\n"
        "  seglog table put /var/tmp/sure --log /var/tmp/sure.log alice 42\n"
        "  seglog table ls /var/tmp/ages | seglog table put --sync /var/tmp/packed",
};

/* 0: --new, and it is there; 1: set; or a status */
static int put_one(struct table_run *run, const void *key, size_t key_len, const void *value,
                   size_t len)
{
    int rc;

    if (run->is_new)
        return seglog_table_add(run->table, key, key_len, value, len);
    rc = seglog_table_put(run->table, key, key_len, value, len);
    return rc == 0 ? 1 : rc;
}

static int put_lines(void *context, struct seglog_record *records, int n)
{
    struct table_run *run = context;
    struct framing *framing = &run->input.framing;

    for (int i = 0; i < n; i++) {
        const char *line = records[i].data;
        const char *tab = memchr(line, '\t', records[i].len);
        int rc = -EBADMSG;

        if (tab) {
            const size_t key_len = (size_t)(tab - line);

            rc = put_one(run, line, key_len, tab + 1, records[i].len - key_len - 1);
        } else {
            snprintf(framing->problem, sizeof(framing->problem), "no TAB behind a key");
        }
        if (rc < 0) {
            framing->count -= (uint64_t)(n - i - 1);
            return rc;
        }
    }
    return 0;
}

static int put_settle(void *context)
{
    (void)context;
    return 0; /* what was put is there */
}

static int put_failed(void *context, int rc)
{
    return table_fail(context, rc);
}

static int put_input(struct table_run *run)
{
    int rc = input_init(&run->input, run->args.cli, 0);

    if (rc < 0)
        return table_fail(run, rc);
    signals_catch();
    run->input.framing.max_record = SEGLOG_TABLE_ENTRY_MAX;
    run->input.framing.larger = "a table takes no larger ones";
    run->input.batch_bytes = SEGLOG_TABLE_ENTRY_MAX;
    run->input.context = run;
    run->input.put = put_lines;
    run->input.settle = put_settle;
    run->input.failed = put_failed;
    rc = input_run(&run->input);
    input_free(&run->input);
    return rc;
}

static int cmd_table_put(struct cli *cli, int argc, char **argv)
{
    struct table_run run = {.args = {.cli = cli}};
    void *input = NULL;
    const char *key, *value;
    size_t len;
    int rc = value_args_parse(&run.args, &put_argp, argc, argv, &run, 1, 3);

    if (rc != ARGS_RUN)
        return table_end(&run, rc);
    key = run.args.words[1];
    value = key ? run.args.words[2] : NULL;
    len = value ? strlen(value) : 0;
    if (key && !value) {
        rc = value_read(cli, &input, &len);
        if (rc)
            return table_end(&run, rc);
        value = input;
    }
    rc = table_open(&run, SEGLOG_TABLE_WRITE | SEGLOG_TABLE_CREATE);
    if (rc == 0 && !key)
        return table_end(&run, put_input(&run));
    if (rc == 0)
        rc = put_one(&run, key, strlen(key), value, len);
    free(input);
    if (rc < 0)
        return table_end(&run, table_fail(&run, rc));
    return table_end(&run, rc == 1 ? 0 : EXIT_NOTHING);
}

/* ---- del -------------------------------------------------------------------------------------- */

static const struct argp_option del_options[] = {
    {"log", KEY_LOG, "DIR", 0, "The log of its changes, if it has one", 1},
    {"sync", KEY_SYNC, NULL, 0, "Make everything in the table durable at the end", 1},
    {0},
};

static const struct argp del_argp = {
    .options = del_options,
    .parser = table_parse,
    .children = value_children,
    .args_doc = "PATH KEY...",
    .doc = "Remove keys."
           "\v"
           "Exit status: 0 done, 1 none of them was there, 66 no table there, 69 --sync where "
           "nothing is kept, 77 permission.\n"
           "\n"
           "Example:\n"
           "  seglog table del /var/tmp/ages alice bob",
};

static int cmd_table_del(struct cli *cli, int argc, char **argv)
{
    struct table_run run = {.args = {.cli = cli}};
    unsigned removed = 0;
    int rc = value_args_parse(&run.args, &del_argp, argc, argv, &run, 2, UINT32_MAX);

    if (rc != ARGS_RUN)
        return table_end(&run, rc);
    rc = table_open(&run, SEGLOG_TABLE_WRITE);
    for (unsigned i = 1; i < run.args.count && rc == 0; i++) {
        rc = seglog_table_remove(run.table, run.args.words[i], strlen(run.args.words[i]));
        removed += rc == 0;
        rc = rc == -ENOENT ? 0 : rc;
    }
    if (rc < 0)
        return table_end(&run, table_fail(&run, rc));
    detail(cli, "%s: %u of %u removed", run.args.words[0], removed, run.args.count - 1);
    return table_end(&run, removed > 0 ? 0 : EXIT_NOTHING);
}

/* ---- all of them ------------------------------------------------------------------------------ */

static const struct family_command commands[] = {
    {"get", "table get", cmd_table_get, false, "print the value of a key"},
    {"put", "table put", cmd_table_put, true, "set the value of a key, or of many"},
    {"del", "table del", cmd_table_del, false, "remove keys"},
    {"ls", "table ls", cmd_table_ls, false, "print all keys and values"},
    {"stat", "table stat", cmd_table_stat, false, "how large it is"},
    {"checkpoint", "table checkpoint", cmd_table_checkpoint, false,
     "shorten the log of its changes"},
    {"rebuild", "table rebuild", cmd_table_rebuild, false, "make it anew from that log"},
};

static const struct family family = {
    .name = "table",
    .what = "Keys and values in a mapped file, read and changed by any number of processes.",
    .commands = commands,
    .count = sizeof(commands) / sizeof(commands[0]),
    .examples = "  seglog table put /var/tmp/ages alice 42\n"
                "  seglog table get /var/tmp/ages alice\n"
                "  seglog table ls /var/tmp/ages\n",
};

int cmd_table(struct cli *cli, int argc, char **argv)
{
    cli->place = CLI_STATE;
    return family_run(cli, &family, argc, argv);
}
