/*
 * seglog create: make a new log.
 */
#include "args.h"
#include "fail.h"
#include "level.h"
#include "parse.h"

#include <seglog/log.h>

#include <errno.h>

enum {
    KEY_SEGMENT_SIZE = ARGS_KEY_FIRST,
    KEY_SYNC,
    KEY_MODE,
    KEY_FORCE,
    KEY_KEEP_SIZE,
    KEY_KEEP_AGE,
    KEY_KEEP_SEGMENTS,
    KEY_ARCHIVE_AFTER,
    KEY_ARCHIVE_LEVEL
};

struct create {
    const struct cli *cli;
    const char *dir;
    struct seglog_log_options options;
};

static const struct argp_option options[] = {
    {"segment-size", KEY_SEGMENT_SIZE, "SIZE", 0,
     "Size of a segment: a power of two from 64K to 1G (64M). A record is at most a quarter of it",
     1},
    {"sync", KEY_SYNC, "LEVEL", 0,
     "What survives a power cut unasked: none (nothing until seglog seal), sealed (every full "
     "segment), interval:DURATION (and every record that long after it was appended), record "
     "(every record whose append returned). (sealed)",
     1},
    {"mode", KEY_MODE, "BITS", 0, "Permissions of the files (0640)", 1},
    {"keep-size", KEY_KEEP_SIZE, "SIZE", 0,
     "Remove the oldest segments while the files take more than this", 1},
    {"keep-age", KEY_KEEP_AGE, "DURATION", 0, "... that were sealed longer ago than this", 1},
    {"keep-segments", KEY_KEEP_SEGMENTS, "N", 0, "... while there are more than this", 1},
    {"archive-after", KEY_ARCHIVE_AFTER, "DURATION", 0,
     "Compress segments that were sealed at least so long ago (0: at once)", 1},
    {"archive-level", KEY_ARCHIVE_LEVEL, "N", 0, "How: 1 (fast) to 12 (small). (1)", 1},
    {"force", KEY_FORCE, NULL, 0, "Accept a network file system", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct create *create = state->input;
    const struct cli *cli = create->cli;
    struct seglog_log_options *log = &create->options;

    switch (key) {
    case KEY_SEGMENT_SIZE:
        return args_check(cli, "--segment-size", arg, parse_segment_size(arg, &log->segment_size));
    case KEY_SYNC:
        return args_check(cli, "--sync", arg, level_parse(arg, &log->sync, &log->sync_interval_ns));
    case KEY_MODE:
        return args_check(cli, "--mode", arg, parse_mode(arg, &log->mode));
    case KEY_KEEP_SIZE:
        return args_check(cli, "--keep-size", arg, parse_size(arg, &log->keep_size));
    case KEY_KEEP_AGE:
        return args_check(cli, "--keep-age", arg, parse_duration(arg, &log->keep_age_ns));
    case KEY_KEEP_SEGMENTS:
        return args_check(cli, "--keep-segments", arg, parse_count(arg, &log->keep_segments));
    case KEY_ARCHIVE_AFTER:
        return args_check(cli, "--archive-after", arg,
                          parse_archive_after(arg, &log->archive_after_ns));
    case KEY_ARCHIVE_LEVEL:
        return args_check(cli, "--archive-level", arg,
                          parse_archive_level(arg, &log->archive_level));
    case KEY_FORCE:
        log->flags |= SEGLOG_LOG_FORCE_FS;
        return 0;
    default:
        return args_parse_dir(cli, &create->dir, key, arg);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "DIR",
    .doc = "Make a new log in a directory that is missing or empty."
           "\v"
           "Cut half way it is as if never begun, and may be called again.\n"
           "\n"
           "Exit status: 0 done, 2 usage, 69 a network file system, or one that cannot keep what "
           "--sync promises, 73 a log or other files lie there, or there is no room, 77 "
           "permission.\n"
           "\n"
           "Examples:\n"
           "  seglog create /var/tmp/events\n"
           "  seglog create /var/tmp/frames --segment-size 1G --sync none\n"
           "  seglog create /var/tmp/orders --sync record\n"
           "  seglog create /var/tmp/kernel --archive-after 1h --keep-size 10G",
};

int cmd_create(struct cli *cli, int argc, char **argv)
{
    struct create create = {.cli = cli};
    int rc = args_parse(cli, &argp, argc, argv, &create);

    if (rc != ARGS_RUN)
        return rc;
    rc = seglog_log_create(create.dir, &create.options);
    if (rc < 0)
        return fail_status(cli, create.dir, rc);
    detail(cli, "%s: created", create.dir);
    return 0;
}
