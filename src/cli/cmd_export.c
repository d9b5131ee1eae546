/*
 * seglog export: a whole log as a portable stream.
 */
#include "args.h"
#include "fail.h"
#include "output.h"
#include "portable.h"
#include "report.h"
#include "signals.h"
#include "walk.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

enum { KEY_JSON = ARGS_KEY_FIRST, KEY_FORCE };

struct exporting {
    const struct cli *cli;
    const char *dir;
    bool json;
    uint32_t force; /* SEGLOG_READER_FORCE_FS */
    struct walk walk;
    struct output output; /* its sink; and its records, with --json */
    struct portable_writer writer;
    uint64_t places; /* where something is lost */
};

static const struct argp_option options[] = {
    {"json", KEY_JSON, NULL, 0, "JSON lines, as cat -o json prints them, instead of the stream", 1},
    {"force", KEY_FORCE, NULL, 0, "Read on a network file system too", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct exporting *x = state->input;

    switch (key) {
    case KEY_JSON:
        x->json = true;
        return 0;
    case KEY_FORCE:
        x->force = SEGLOG_READER_FORCE_FS;
        return 0;
    default:
        return args_parse_dir(x->cli, &x->dir, key, arg);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "DIR",
    .doc =
        "Write a whole log to standard output, as a stream that seglog import makes a log of."
        "\v"
        "Sequence numbers, times and tags go along, and what the log was created with. The stream "
        "is "
        "checked as it is read; it ends where the log ended when this began.\n"
        "\n"
        "Exit status: 0 done, 65 damage was met (the rest is written and the lost range is named "
        "on stderr), 66 no log there, 73 no room for the stream, 77 permission.\n"
        "\n"
        "Examples:\n"
        "  seglog export events | zstd > events.slx.zst\n"
        "  seglog export events | ssh other seglog import /var/tmp/events\n"
        "  seglog export --json events | jq .text",
};

static int put(void *context, const struct seglog_view *view)
{
    struct exporting *x = context;
    const struct seglog_record record = walk_record(view);

    if (x->json) {
        output_record(&x->output, view);
    } else {
        const int rc = portable_put(&x->writer, view->seq, &record);

        if (rc < 0)
            return rc;
        x->output.records++;
        x->output.bytes += view->len;
    }
    return x->output.sink.error;
}

static int settle(void *context)
{
    return ((struct exporting *)context)->output.sink.error;
}

static void lost(void *context, const struct seglog_damage *damage)
{
    struct exporting *x = context;

    report_damage(x->cli, x->dir, damage);
    x->places++;
}

/* Head and end are there for the stream only. */
static int begin(struct exporting *x)
{
    const struct seglog_log_settings *settings = &x->walk.settings;
    const struct portable_head head = {.segment_size = settings->segment_size,
                                       .sync_interval_ns = settings->sync_interval_ns,
                                       .first_seq = x->walk.first_seq,
                                       .sync = settings->sync,
                                       .mode = settings->mode};

    if (output_open(&x->output, STDOUT_FILENO, OUTPUT_JSON, NULL))
        return -ENOMEM;
    return x->json ? 0 : portable_begin(&x->writer, &x->output.sink, &head);
}

static int export_all(struct exporting *x)
{
    int rc = walk_run(&x->walk);

    if (rc == 0 && !x->json && !signals_stopped()) {
        const struct portable_end end = {
            .next_seq = x->walk.next_seq, .records = x->output.records, .bytes = x->output.bytes};

        portable_finish(&x->writer, &end);
    }
    if (rc == 0)
        rc = sink_flush(&x->output.sink);
    return rc;
}

static int export_run(struct exporting *x)
{
    int rc = walk_open(&x->walk, "exporting");

    if (rc < 0)
        return fail_status(x->cli, x->dir, rc);
    rc = begin(x);
    if (rc < 0)
        return fail_status(x->cli, NULL, rc);
    rc = export_all(x);
    if (x->output.sink.error == -EPIPE)
        return 0; /* whoever read has seen enough */
    if (x->output.sink.error)
        return fail_text(x->cli, fail_exit_of(x->cli, x->output.sink.error), "standard output",
                         "%s", seglog_strerror(x->output.sink.error));
    if (rc < 0)
        return fail_status(x->cli, x->dir, rc);
    if (signals_stopped())
        note(x->cli, "stopped: the stream has no end");
    detail(x->cli, "exported %" PRIu64 " records, %" PRIu64 " bytes", x->output.records,
           x->output.bytes);
    return x->places > 0 ? EX_DATAERR : 0;
}

int cmd_export(struct cli *cli, int argc, char **argv)
{
    struct exporting x = {.cli = cli};
    int rc = args_parse(cli, &argp, argc, argv, &x);

    if (rc != ARGS_RUN)
        return rc;
    if (!x.json && isatty(STDOUT_FILENO))
        return fail_usage(cli, "standard output",
                          "a terminal is no place for this; redirect it, or say --json");
    signals_catch();
    x.walk = (struct walk){.cli = cli,
                           .dir = x.dir,
                           .flags = x.force,
                           .context = &x,
                           .put = put,
                           .settle = settle,
                           .lost = lost};
    rc = export_run(&x);
    walk_close(&x.walk);
    portable_close(&x.writer);
    output_close(&x.output);
    return rc;
}
