/*
 * seglog archive: compress sealed segments in place of the originals.
 */
#include "args.h"
#include "fail.h"
#include "meter.h"
#include "parse.h"
#include "report.h"
#include "signals.h"

#include <seglog/archive.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { KEY_JSON = ARGS_KEY_FIRST, KEY_OLDER, KEY_KEEP, KEY_LEVEL };

struct archive {
    struct cli *cli;
    const char *dir;
    bool json;
    struct seglog_archive_options options;
    struct meter meter;
    json_t *segments; /* with --json */
};

static const struct argp_option options[] = {
    {"older-than", KEY_OLDER, "DURATION", 0, "Only what was sealed at least so long ago (30m, 2d)",
     1},
    {"keep", KEY_KEEP, "N", 0, "Leave the N newest sealed segments as they are", 1},
    {"level", KEY_LEVEL, "N", 0, "1: fast (default), 3 to 12: smaller and ever slower", 1},
    {"json", KEY_JSON, NULL, 0, "One JSON object", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct archive *archive = state->input;
    struct seglog_archive_options *o = &archive->options;

    switch (key) {
    case KEY_JSON:
        archive->json = true;
        return 0;
    case KEY_OLDER:
        return args_check(archive->cli, "--older-than", arg,
                          parse_duration(arg, &o->older_than_ns));
    case KEY_KEEP:
        return args_check(archive->cli, "--keep", arg, parse_count(arg, &o->keep));
    case KEY_LEVEL:
        return args_check(archive->cli, "--level", arg, parse_archive_level(arg, &o->level));
    default:
        return args_parse_dir(archive->cli, &archive->dir, key, arg);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "DIR",
    .doc = "Compress sealed segments with LZ4, in place of the originals."
           "\v"
           "Archived segments are read like others. Each *.arc is a file that `lz4 -d` unpacks.\n"
           "\n"
           "Exit status: 0 done, 65 a segment is damaged (and left as it is), 66 no log there, "
           "73 no room, 74 I/O error, 75 somebody else is archiving, 77 permission.\n"
           "\n"
           "Examples:\n"
           "  seglog archive /var/tmp/events\n"
           "  seglog archive --older-than 1d --keep 2 --level 9 /var/tmp/events",
};

static int on_progress(void *context, uint64_t done, uint64_t total)
{
    struct archive *archive = context;

    meter_show(&archive->meter, done, total);
    return signals_stopped();
}

static int on_segment(void *context, const struct seglog_archived *archived)
{
    struct archive *archive = context;
    char from[REPORT_SIZE_LEN], to[REPORT_SIZE_LEN];
    json_t *object;

    meter_clear(&archive->meter);
    if (archived->status < 0)
        note(archive->cli, "segment %" PRIu64 ": %s; left as it is", archived->number,
             seglog_strerror(archived->status));
    if (archive->json) {
        object = json_object();
        report_number(object, "number", archived->number);
        report_number(object, "segment_bytes", archived->segment_bytes);
        report_number(object, "archive_bytes", archived->archive_bytes);
        report_flag(object, "ok", archived->status == 0);
        json_array_append_new(archive->segments, object);
        return signals_stopped();
    }
    report_size(archived->segment_bytes, from);
    report_size(archived->archive_bytes, to);
    if (archived->status == 0)
        detail(archive->cli, "segment %" PRIu64 ": %s to %s", archived->number, from, to);
    return signals_stopped();
}

static int print_report(const struct archive *archive, const struct seglog_archive_report *report)
{
    char from[REPORT_SIZE_LEN], to[REPORT_SIZE_LEN];

    if (archive->json) {
        json_t *object = json_object();

        report_number(object, "archived", report->segments);
        report_number(object, "segment_bytes", report->segment_bytes);
        report_number(object, "archive_bytes", report->archive_bytes);
        report_number(object, "damaged", report->damaged);
        json_object_set(object, "segments", archive->segments);
        return report_print(archive->cli, object);
    }
    if (report->segments == 0) {
        note(archive->cli, "nothing to archive");
        return 0;
    }
    report_size(report->segment_bytes, from);
    report_size(report->archive_bytes, to);
    printf("archived %" PRIu64 " segment%s: %s to %s (%.2f times smaller)\n", report->segments,
           report->segments == 1 ? "" : "s", from, to,
           (double)report->segment_bytes / (double)report->archive_bytes);
    return 0;
}

int cmd_archive(struct cli *cli, int argc, char **argv)
{
    struct archive archive = {.cli = cli,
                              .options = {.on_segment = on_segment, .on_progress = on_progress}};
    struct seglog_archive_report report;
    int rc = args_parse(cli, &argp, argc, argv, &archive);
    int exit_status;

    if (rc != ARGS_RUN)
        return rc;
    signals_catch();
    archive.options.context = &archive;
    archive.meter = meter_begin(cli, "archiving", archive.dir);
    archive.segments = json_array();
    rc = seglog_archive(archive.dir, &archive.options, &report);
    meter_clear(&archive.meter);
    exit_status =
        rc == 0 || rc == SEGLOG_ECORRUPT || rc == -ECANCELED ? print_report(&archive, &report) : 0;
    json_decref(archive.segments);
    if (exit_status == 0)
        exit_status = flush_stdout(cli);
    if (exit_status != 0)
        return exit_status;
    if (rc == SEGLOG_ECORRUPT && report.damaged > 0)
        return fail_text(cli, EX_DATAERR, archive.dir,
                         "%" PRIu64 " damaged segment%s left as they were; see seglog verify",
                         report.damaged, report.damaged == 1 ? "" : "s");
    if (rc == -EBUSY)
        return fail_text(cli, EX_TEMPFAIL, archive.dir, "somebody else is archiving it");
    return rc < 0 && rc != -ECANCELED ? fail_status(cli, archive.dir, rc) : 0;
}
