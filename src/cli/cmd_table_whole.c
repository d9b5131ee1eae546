/*
 * seglog table ls, stat, checkpoint, rebuild: what is about a table as a whole.
 */
#include "cmd_table.h"

#include "fail.h"
#include "report.h"
#include "signals.h"

#include <seglog/log.h>

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* ---- ls --------------------------------------------------------------------------------------- */

static const struct argp_option ls_options[] = {
    {"keys", KEY_KEYS, NULL, 0, "The keys alone", 1},
    {"log", KEY_LOG, "DIR", 0, "The log of its changes, if it has one", 1},
    {0},
};

static const struct argp ls_argp = {
    .options = ls_options,
    .parser = table_parse,
    .children = value_print_children,
    .args_doc = "PATH",
    .doc =
        "Print all entries, in no order: a key, a TAB and a value a line (raw: without the line's "
        "end)."
        "\v"
        "The locks of the table are taken, so permission to write is needed.\n"
        "\n"
        "Exit status: 0 done, 1 it is empty, 65 damaged, 66 no table there, 77 permission.\n"
        "\n"
        "Examples:\n"
        "  seglog table ls /var/tmp/ages | sort\n"
        "  seglog table ls /var/tmp/ages -o json | jq -r .key",
};

static void put_entry(struct table_run *run, const struct seglog_table_entry *entry)
{
    struct sink *sink = &run->sink;

    if (run->args.form == VALUE_JSON) {
        table_put_json(sink, entry, run->keys_only);
        return;
    }
    value_put(sink, run->args.form, entry->key, entry->key_len);
    if (!run->keys_only) {
        sink_put_byte(sink, '\t');
        value_put(sink, run->args.form, entry->value, entry->len);
    }
    if (run->args.form != VALUE_RAW)
        sink_put_byte(sink, '\n');
}

int cmd_table_ls(struct cli *cli, int argc, char **argv)
{
    struct table_run run = {.args = {.cli = cli}};
    struct seglog_table_walk *walk = NULL;
    struct seglog_table_entry entry;
    uint64_t count = 0;
    int rc = value_args_parse(&run.args, &ls_argp, argc, argv, &run, 1, 1);

    if (rc != ARGS_RUN)
        return table_end(&run, rc);
    signals_catch();
    rc = sink_open(&run.sink, STDOUT_FILENO);
    if (rc == 0)
        rc = table_open(&run, SEGLOG_TABLE_WRITE);
    if (rc == 0)
        rc = seglog_table_walk_open(run.table, &walk);
    while (rc == 0 && !run.sink.error && !signals_stopped()) {
        rc = seglog_table_walk_next(walk, &entry);
        if (rc != 1)
            break;
        put_entry(&run, &entry);
        count++;
        rc = 0;
    }
    seglog_table_walk_close(walk);
    if (rc < 0)
        return table_end(&run, table_fail(&run, rc));
    return table_end(&run, count > 0 ? 0 : EXIT_NOTHING);
}

/* ---- checkpoint, rebuild ---------------------------------------------------------------------- */

static const struct argp_option log_options[] = {
    {"log", KEY_LOG, "DIR", 0, "The log of its changes", 1},
    {0},
};

static const struct argp checkpoint_argp = {
    .options = log_options,
    .parser = table_parse,
    .children = value_children,
    .args_doc = "PATH",
    .doc =
        "Put what is in a table into its log once more, and remove what of the log is not needed "
        "any more."
        "\v"
        "Segments that a cursor has still to read stay.\n"
        "\n"
        "Exit status: 0 done, 65 damaged, 66 no table there, 77 permission.\n"
        "\n"
        "Example:\n"
        "  seglog table checkpoint /var/tmp/sure --log /var/tmp/sure.log",
};

static const struct argp rebuild_argp = {
    .options = log_options,
    .parser = table_parse,
    .children = value_children,
    .args_doc = "PATH",
    .doc =
        "Make a table anew from its log, whatever its file is now."
        "\v"
        "After a power cut that is done by whoever changes it first. This is for a file that is "
        "damaged, or gone.\n"
        "\n"
        "Exit status: 0 done, 65 the log is damaged, or lacks what is needed, 66 no log there, 75 "
        "somebody has it open for writing, 77 permission.\n"
        "\n"
        "Example:\n"
        "  seglog table rebuild /var/tmp/sure --log /var/tmp/sure.log",
};

/* Parse and open. 0, or an exit status, all being closed. */
static int log_begin(struct table_run *run, const struct argp *argp, int argc, char **argv,
                     uint32_t flags)
{
    int rc = value_args_parse(&run->args, argp, argc, argv, run, 1, 1);

    if (rc != ARGS_RUN)
        return table_end(run, rc);
    if (!run->log)
        return table_end(run, fail_usage(run->args.cli, "--log", "it is missing"));
    rc = table_open(run, flags);
    return rc < 0 ? table_end(run, table_fail(run, rc)) : ARGS_RUN;
}

int cmd_table_checkpoint(struct cli *cli, int argc, char **argv)
{
    struct table_run run = {.args = {.cli = cli}};
    struct seglog_trim_report report;
    int rc = log_begin(&run, &checkpoint_argp, argc, argv, SEGLOG_TABLE_WRITE);

    if (rc != ARGS_RUN)
        return rc;
    rc = seglog_table_checkpoint(run.table, &report);
    if (rc < 0)
        return table_end(&run, table_fail(&run, rc));
    detail(cli, "%s: %" PRIu64 " segments removed, %" PRIu64 " left", run.log, report.segments,
           report.left_segments);
    return table_end(&run, 0);
}

int cmd_table_rebuild(struct cli *cli, int argc, char **argv)
{
    struct table_run run = {.args = {.cli = cli}};
    struct seglog_table_stat stat;
    int rc = log_begin(&run, &rebuild_argp, argc, argv, SEGLOG_TABLE_WRITE | SEGLOG_TABLE_REBUILD);

    if (rc != ARGS_RUN)
        return rc;
    rc = seglog_table_stat(run.table, &stat);
    if (rc < 0)
        return table_end(&run, table_fail(&run, rc));
    detail(cli, "%s: %" PRIu64 " keys, from %" PRIu64 " records", run.args.words[0], stat.keys,
           stat.replayed);
    return table_end(&run, 0);
}

/* ---- stat ------------------------------------------------------------------------------------- */

static const struct argp_option stat_options[] = {
    {"json", KEY_JSON, NULL, 0, "One JSON object", 1},
    {0},
};

static const struct argp stat_argp = {
    .options = stat_options,
    .parser = table_parse,
    .children = value_children,
    .args_doc = "PATH",
    .doc = "Say how large a table is and how far its keys are from where they belong."
           "\v"
           "Exit status: 0 done, 65 damaged, 66 no table there, 77 permission.\n"
           "\n"
           "Examples:\n"
           "  seglog table stat /var/tmp/ages\n"
           "  seglog table stat --json /var/tmp/ages | jq .keys",
};

static void stat_print(const struct seglog_table_stat *stat)
{
    char size[REPORT_SIZE_LEN];

    report_size(stat->file_size, size);
    printf("%-12s %" PRIu64 " in %" PRIu64 " slots of %" PRIu32 " shards\n", "keys", stat->keys,
           stat->slots, stat->shards);
    printf("%-12s %.2f on average, %" PRIu64 " at most\n", "probes",
           stat->keys ? (double)stat->probes_sum / (double)stat->keys : 0.0, stat->probes_max);
    printf("%-12s %s%s\n", "file", size,
           stat->is_volatile ? ", and this file system keeps nothing across a power cut" : "");
    if (stat->is_logged)
        printf("%-12s %s\n", "log", "has one of its changes");
}

static json_t *stat_json(const struct seglog_table_stat *stat)
{
    json_t *o = json_object();

    report_number(o, "keys", stat->keys);
    report_number(o, "slots", stat->slots);
    report_number(o, "shards", stat->shards);
    report_number(o, "probes_sum", stat->probes_sum);
    report_number(o, "probes_max", stat->probes_max);
    report_number(o, "file_size", stat->file_size);
    report_flag(o, "volatile", stat->is_volatile);
    report_flag(o, "logged", stat->is_logged);
    return o;
}

int cmd_table_stat(struct cli *cli, int argc, char **argv)
{
    struct table_run run = {.args = {.cli = cli}};
    struct seglog_table_stat stat;
    int rc = value_args_parse(&run.args, &stat_argp, argc, argv, &run, 1, 1);

    if (rc != ARGS_RUN)
        return table_end(&run, rc);
    rc = table_open(&run, 0);
    if (rc == 0)
        rc = seglog_table_stat(run.table, &stat);
    if (rc < 0)
        return table_end(&run, table_fail(&run, rc));
    if (run.json)
        return table_end(&run, report_print(cli, stat_json(&stat)));
    stat_print(&stat);
    return table_end(&run, flush_stdout(cli));
}
