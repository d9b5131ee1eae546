/*
 * seglog config: show or change the settings of a log that may change.
 */
#include "args.h"
#include "fail.h"
#include "level.h"
#include "parse.h"

#include <seglog/archive.h>
#include <seglog/log.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CHANGES_MAX 16

struct config {
    const struct cli *cli;
    const char *dir;
    const char *changes[CHANGES_MAX];
    unsigned count;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct config *config = state->input;

    if (key == ARGP_KEY_ARG && config->dir && config->count < CHANGES_MAX) {
        config->changes[config->count++] = arg;
        return 0;
    }
    return args_parse_dir(config->cli, &config->dir, key, arg);
}

static const struct argp argp = {
    .parser = parse,
    .args_doc = "DIR [KEY=VALUE...]",
    .doc =
        "Show the settings of a log that may change, or change them."
        "\v"
        "sync           what survives a power cut unasked (see seglog create); processes that are "
        "attached keep theirs until they attach anew\n"
        "keep-size      remove the oldest segments while the files take more than this\n"
        "keep-age       ... that were sealed longer ago than this\n"
        "keep-segments  ... while there are more than this\n"
        "archive-after  compress segments that were sealed at least so long ago (0: at once)\n"
        "archive-level  how: 1 (fast) to 12 (small)\n"
        "Rules may be 'off', and are carried out by whoever is attached.\n"
        "\n"
        "Exit status: 0 done, 2 usage, 66 no log there, 69 the file system cannot keep what sync "
        "promises, 77 permission.\n"
        "\n"
        "Examples:\n"
        "  seglog config /var/tmp/events\n"
        "  seglog config /var/tmp/events keep-size=10G keep-age=7d archive-after=1h",
};

static const char *off_or(const char *text, const char *(*parse_value)(const char *, uint64_t *),
                          uint64_t *out)
{
    if (strcmp(text, "off") != 0)
        return parse_value(text, out);
    *out = 0;
    return NULL;
}

/* returns NULL, or why not */
static const char *change(const char *text, struct seglog_log_settings *s)
{
    const char *value = strchr(text, '=');
    const size_t n = value ? (size_t)(value - text) : 0;

    if (!value)
        return "KEY=VALUE is expected";
    value++;
#define IS(key_) (n == strlen(key_) && strncmp(text, key_, n) == 0)
    if (IS("sync")) {
        s->sync_interval_ns = 0;
        return level_parse(value, &s->sync, &s->sync_interval_ns);
    }
    if (IS("keep-size"))
        return off_or(value, parse_size, &s->keep_size);
    if (IS("keep-age"))
        return off_or(value, parse_duration, &s->keep_age_ns);
    if (IS("keep-segments"))
        return off_or(value, parse_count, &s->keep_segments);
    if (IS("archive-after"))
        return off_or(value, parse_archive_after, &s->archive_after_ns);
    if (IS("archive-level"))
        return parse_archive_level(value, &s->archive_level);
#undef IS
    return "the keys are sync, keep-size, keep-age, keep-segments, archive-after and archive-level";
}

static void show(const char *key, uint64_t value, const char *unit)
{
    if (value == 0)
        printf("%s=off\n", key);
    else
        printf("%s=%" PRIu64 "%s\n", key, value, unit);
}

static int show_all(const struct cli *cli, const struct seglog_log_settings *s)
{
    char level[LEVEL_LEN];

    level_format(s->sync, s->sync_interval_ns, level);
    printf("sync=%s\n", level);
    show("keep-size", s->keep_size, "");
    show("keep-age", s->keep_age_ns, "ns");
    show("keep-segments", s->keep_segments, "");
    show("archive-after", s->archive_after_ns, "ns");
    show("archive-level", s->archive_level ? s->archive_level : SEGLOG_ARCHIVE_LEVEL_DEFAULT, "");
    return flush_stdout(cli);
}

int cmd_config(struct cli *cli, int argc, char **argv)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    struct config config = {.cli = cli};
    struct seglog_log_settings settings;
    struct seglog_log *log;
    int rc = args_parse(cli, &argp, argc, argv, &config);

    if (rc != ARGS_RUN)
        return rc;
    rc = seglog_settings_read(config.dir, &settings);
    if (rc < 0)
        return fail_status(cli, config.dir, rc);
    for (unsigned i = 0; i < config.count; i++) {
        const char *why = change(config.changes[i], &settings);

        if (why)
            return fail_usage(cli, config.changes[i], "%s", why);
    }
    if (config.count == 0)
        return show_all(cli, &settings);
    rc = seglog_log_open(config.dir, &options, &log);
    if (rc < 0)
        return fail_open(cli, config.dir, rc);
    rc = seglog_log_configure(log, &settings);
    seglog_log_close(log);
    return rc < 0 ? fail_status(cli, config.dir, rc) : 0;
}
