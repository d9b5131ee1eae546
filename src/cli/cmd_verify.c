/*
 * seglog verify: check every checksum.
 */
#include "args.h"
#include "fail.h"
#include "meter.h"
#include "report.h"

#include <seglog/inspect.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { KEY_JSON = ARGS_KEY_FIRST, KEY_FAST };

struct verify {
    struct cli *cli;
    const char *dir;
    bool json;
    bool fast;
    json_t *damage; /* with --json */
    struct meter meter;
};

static const struct argp_option options[] = {
    {"json", KEY_JSON, NULL, 0, "One JSON object", 1},
    {"fast", KEY_FAST, NULL, 0, "Footers of sealed segments and their chain only", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct verify *verify = state->input;

    switch (key) {
    case KEY_JSON:
        verify->json = true;
        return 0;
    case KEY_FAST:
        verify->fast = true;
        return 0;
    default:
        return args_parse_dir(verify->cli, &verify->dir, key, arg);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "DIR",
    .doc = "Check every checksum of a log, reading all of it; nothing is changed."
           "\v"
           "A log that ends in an unfinished record, as after a power cut, is sound.\n"
           "\n"
           "Exit status: 0 sound, 1 damaged, 66 no log there, 74 I/O error, 77 permission.\n"
           "\n"
           "Examples:\n"
           "  seglog verify /var/tmp/events\n"
           "  seglog verify --json /var/tmp/events | jq '.damage[]'",
};

/* ---- while it runs ---------------------------------------------------------------------------- */

static void on_progress(void *context, uint64_t done, uint64_t total)
{
    struct verify *verify = context;

    meter_show(&verify->meter, done, total);
}

static void damage_json(struct verify *verify, const struct seglog_damage *damage)
{
    const bool lost = damage->first_seq <= damage->last_seq;
    json_t *object = json_object();
    char cause[sizeof(damage->cause) + 1];

    snprintf(cause, sizeof(cause), "%.*s", (int)sizeof(damage->cause), damage->cause);
    report_number(object, "segment", damage->segment);
    report_number(object, "offset", damage->offset);
    report_number(object, "first_seq", lost ? damage->first_seq : UINT64_MAX);
    report_number(object, "last_seq", lost ? damage->last_seq : UINT64_MAX);
    report_text(object, "cause", cause);
    json_array_append_new(verify->damage, object);
}

static int on_damage(void *context, const struct seglog_damage *damage)
{
    struct verify *verify = context;
    char lost[REPORT_LOST_LEN];

    meter_clear(&verify->meter);
    if (verify->json) {
        damage_json(verify, damage);
        return 0;
    }
    report_lost(damage, lost);
    printf("segment %" PRIu64 ", offset %" PRIu64 ": %.*s; %s\n", damage->segment, damage->offset,
           (int)sizeof(damage->cause), damage->cause, lost);
    return 0;
}

/* ---- the end ---------------------------------------------------------------------------------- */

static json_t *report_json(struct verify *verify, const struct seglog_verify_report *report,
                           bool ok)
{
    json_t *object = json_object();

    report_flag(object, "ok", ok);
    report_number(object, "records", report->records);
    report_number(object, "bytes", report->bytes);
    report_number(object, "void", report->void_count);
    report_number(object, "segments", report->segments);
    json_object_set(object, "damage", verify->damage);
    report_flag(object, "torn_tail", report->torn_tail);
    if (report->torn_tail) {
        report_number(object, "torn_segment", report->torn_segment);
        report_number(object, "torn_offset", report->torn_offset);
    }
    return object;
}

static void print_report(const struct verify *verify, const struct seglog_verify_report *report,
                         bool ok)
{
    const bool color = color_on(verify->cli, STDOUT_FILENO);
    char size[REPORT_SIZE_LEN];

    report_size(report->bytes, size);
    printf("%s%s%s: %" PRIu64 " records, %s in %" PRIu64 " segments%s",
           color ? (ok ? "\033[32m" : "\033[31m") : "", ok ? "sound" : "DAMAGED",
           color ? "\033[0m" : "", report->records, size, report->segments,
           verify->fast ? " (footers only)" : "");
    if (report->torn_tail)
        printf("; ends in an unfinished record (segment %" PRIu64 ", offset %" PRIu64 ")",
               report->torn_segment, report->torn_offset);
    if (!ok)
        printf("; %" PRIu64 " damaged place%s", report->damage_count,
               report->damage_count == 1 ? "" : "s");
    printf("\n");
}

static int verify_run(struct verify *verify)
{
    const struct seglog_verify_options verify_options = {
        .flags = verify->fast ? SEGLOG_VERIFY_FAST : 0,
        .on_damage = on_damage,
        .on_progress = on_progress,
        .context = verify,
    };
    struct seglog_verify_report report = {0};
    const int rc = seglog_verify(verify->dir, &verify_options, &report);
    int exit_status;

    meter_clear(&verify->meter);
    if (rc == SEGLOG_ECORRUPT || rc == SEGLOG_EMISSING) {
        /* So damaged that no report can be made. */
        struct seglog_damage damage = {.first_seq = 1};

        snprintf(damage.cause, sizeof(damage.cause), "%s", seglog_strerror(rc));
        if (verify->json) {
            damage_json(verify, &damage);
            (void)report_print(verify->cli, report_json(verify, &report, false));
            (void)flush_stdout(verify->cli);
        }
        fail_text(verify->cli, EXIT_NOTHING, verify->dir, "%s: the log's own settings or structure",
                  seglog_strerror(rc));
        return EXIT_NOTHING;
    }
    if (rc < 0 && rc != -ECANCELED)
        return fail_status(verify->cli, verify->dir, rc);
    if (verify->json) {
        exit_status = report_print(verify->cli, report_json(verify, &report, rc == 0));
        if (exit_status)
            return exit_status;
    } else {
        print_report(verify, &report, rc == 0);
    }
    exit_status = flush_stdout(verify->cli);
    return exit_status ? exit_status : rc == 0 ? 0 : EXIT_NOTHING;
}

int cmd_verify(struct cli *cli, int argc, char **argv)
{
    struct verify verify = {.cli = cli};
    int rc = args_parse(cli, &argp, argc, argv, &verify);

    if (rc != ARGS_RUN)
        return rc;
    verify.meter = meter_begin(cli, "verifying", verify.dir);
    verify.damage = json_array();
    rc = verify_run(&verify);
    json_decref(verify.damage);
    return rc;
}
