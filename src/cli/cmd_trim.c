/*
 * seglog trim: remove the oldest segments.
 */
#include "args.h"
#include "fail.h"
#include "parse.h"
#include "place.h"
#include "report.h"

#include <seglog/log.h>

#include <inttypes.h>
#include <stdio.h>

enum {
    KEY_KEEP_SIZE = ARGS_KEY_FIRST,
    KEY_KEEP_AGE,
    KEY_KEEP_SEGMENTS,
    KEY_BEFORE,
    KEY_DRY_RUN,
    KEY_FORCE,
};

struct trim {
    const struct cli *cli;
    const char *dir;
    struct seglog_place before;
    const char *before_cursor; /* the cursor whose place it is, or NULL */
    struct seglog_trim_options options;
};

static const struct argp_option options[] = {
    {"keep-size", KEY_KEEP_SIZE, "SIZE", 0, "Until the segment files take at most SIZE", 1},
    {"keep-age", KEY_KEEP_AGE, "DURATION", 0, "Those sealed longer ago than DURATION", 1},
    {"keep-segments", KEY_KEEP_SEGMENTS, "N", 0, "Until there are at most N", 1},
    {"before", KEY_BEFORE, "PLACE", 0, "Those that lie wholly before PLACE", 1},
    {"dry-run", KEY_DRY_RUN, NULL, 0, "Only say what would go, and why", 2},
    {"force", KEY_FORCE, NULL, 0, "Also what cursors have still to read", 2},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct trim *trim = state->input;
    const struct cli *cli = trim->cli;
    struct seglog_trim_options *o = &trim->options;

    switch (key) {
    case KEY_KEEP_SIZE:
        return args_check(cli, "--keep-size", arg, parse_size(arg, &o->keep_size));
    case KEY_KEEP_AGE:
        return args_check(cli, "--keep-age", arg, parse_duration(arg, &o->keep_age_ns));
    case KEY_KEEP_SEGMENTS:
        return args_check(cli, "--keep-segments", arg, parse_count(arg, &o->keep_segments));
    case KEY_BEFORE:
        o->flags |= SEGLOG_TRIM_BEFORE;
        return args_check(cli, "--before", arg,
                          place_parse(arg, &trim->before, &trim->before_cursor));
    case KEY_DRY_RUN:
        o->flags |= SEGLOG_TRIM_DRY_RUN;
        return 0;
    case KEY_FORCE:
        o->flags |= SEGLOG_TRIM_FORCE;
        return 0;
    default:
        return args_parse_dir(cli, &trim->dir, key, arg);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "DIR",
    .doc =
        "Remove the oldest segments, while any of the rules wants that."
        "\v"
        "Without a rule those stored in the log count (seglog config). The active segment and the "
        "newest sealed one stay. Ages count from the seal.\n"
        "\n"
        "Exit status: 0 done, also when a cursor or nothing held it back, which is said, 66 no log "
        "there, 75 others are trimming, 77 permission.\n"
        "\n"
        "Examples:\n"
        "  seglog trim --dry-run --keep-size 10G /var/tmp/events\n"
        "  seglog trim --before @-7d /var/tmp/events\n"
        "  seglog trim --before cursor:mailer /var/tmp/events",
};

static void say_why(uint32_t why)
{
    static const struct {
        uint32_t bit;
        const char *text;
    } reasons[] = {
        {SEGLOG_TRIM_BY_SIZE, "size"},
        {SEGLOG_TRIM_BY_AGE, "age"},
        {SEGLOG_TRIM_BY_SEGMENTS, "segments"},
        {SEGLOG_TRIM_BY_PLACE, "place"},
    };
    const char *comma = "";

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (why & reasons[i].bit) {
            printf("%s%s", comma, reasons[i].text);
            comma = ",";
        }
    }
}

/* One line of a dry run. */
static void say_segment(void *context, const struct seglog_trim_segment *segment)
{
    char size[REPORT_SIZE_LEN];
    char sealed[STAMP_LEN + 1] = "-";

    (void)context;
    report_size(segment->bytes, size);
    if (segment->sealed_ns)
        stamp_format(segment->sealed_ns, sealed);
    printf("segment %" PRIu64 "  records %" PRIu64 " to %" PRIu64 "  %s  sealed %s  by ",
           segment->number, segment->first_seq, segment->next_seq - 1, size, sealed);
    say_why(segment->why);
    putchar('\n');
}

static void say_end(const struct trim *trim, const struct seglog_trim_report *report)
{
    const bool dry = (trim->options.flags & SEGLOG_TRIM_DRY_RUN) != 0;
    char size[REPORT_SIZE_LEN];

    report_size(report->bytes, size);
    note(trim->cli, "%s: %s %" PRIu64 " segments, %s; the first record left is %" PRIu64, trim->dir,
         dry ? "would remove" : "removed", report->segments, size, report->first_seq);
    if (report->stopped == SEGLOG_TRIM_CURSOR && report->cursor_status < 0)
        note(trim->cli, "%s: held back by cursor %s, which cannot be read: seglog cursor set or rm",
             trim->dir, report->cursor);
    else if (report->stopped == SEGLOG_TRIM_CURSOR)
        note(trim->cli, "%s: held back by cursor %s, which has still to read record %" PRIu64,
             trim->dir, report->cursor, report->cursor_seq);
    else if (report->stopped == SEGLOG_TRIM_IN_USE)
        note(trim->cli, "%s: the segments left are in use, or not sealed", trim->dir);
}

static int trim_log(const struct trim *trim, struct seglog_trim_report *report)
{
    const struct seglog_log_options attach = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_log *log;
    int rc = seglog_log_open(trim->dir, &attach, &log);

    if (rc < 0)
        return rc;
    rc = seglog_log_trim(log, &trim->options, report);
    seglog_log_close(log);
    return rc;
}

int cmd_trim(struct cli *cli, int argc, char **argv)
{
    struct trim trim = {.cli = cli};
    struct seglog_trim_report report;
    int rc = args_parse(cli, &argp, argc, argv, &trim);

    if (rc != ARGS_RUN)
        return rc;
    rc = place_of_cursor(cli, trim.dir, "--before", trim.before_cursor, &trim.before);
    if (rc != 0)
        return rc;
    if (trim.options.flags & SEGLOG_TRIM_BEFORE)
        rc = place_number(trim.dir, &trim.before, &trim.options.before_seq);
    if (rc == 0 && (trim.options.flags & SEGLOG_TRIM_DRY_RUN)) {
        trim.options.on_segment = say_segment;
        rc = seglog_trim_plan(trim.dir, &trim.options, &report);
    } else if (rc == 0) {
        rc = trim_log(&trim, &report);
    }
    if (rc < 0)
        return fail_status(cli, trim.dir, rc);
    rc = flush_stdout(cli);
    say_end(&trim, &report);
    return rc;
}
