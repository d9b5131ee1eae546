/*
 * seglog info: what is in a log, for people and for scripts.
 */
#include "args.h"
#include "cursors.h"
#include "fail.h"
#include "level.h"
#include "report.h"

#include <seglog/inspect.h>
#include <seglog/log.h>

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KEY_JSON = ARGS_KEY_FIRST };

struct info_args {
    const struct cli *cli;
    const char *dir;
    bool json;
};

struct cursors {
    struct seglog_cursor_info *all;
    int count; /* negative: why they are not known */
};

static const struct argp_option options[] = {
    {"json", KEY_JSON, NULL, 0, "One JSON object", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct info_args *args = state->input;

    switch (key) {
    case KEY_JSON:
        args->json = true;
        return 0;
    default:
        return args_parse_dir(args->cli, &args->dir, key, arg);
    }
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "DIR",
    .doc = "Say what is in a log: records, segments, what is durable, who holds it up, "
           "and how far its cursors are behind."
           "\v"
           "Exit status: 0 done, 65 the log's own files are damaged, 66 no log there, "
           "77 permission.\n"
           "\n"
           "Examples:\n"
           "  seglog info /var/tmp/events\n"
           "  seglog info --json /var/tmp/events | jq .next_seq",
};

static const char *state_name(uint32_t state)
{
    static const char *const names[] = {
        [SEGLOG_SEGMENT_SPARE] = "spare",     [SEGLOG_SEGMENT_ACTIVE] = "active",
        [SEGLOG_SEGMENT_FULL] = "full",       [SEGLOG_SEGMENT_SEALED] = "sealed",
        [SEGLOG_SEGMENT_DAMAGED] = "damaged", [SEGLOG_SEGMENT_ARCHIVED] = "archived",
    };

    return state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

static void uuid_format(const uint8_t uuid[16], char out[37])
{
    for (int i = 0, at = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[at++] = '-';
        at += snprintf(out + at, 3, "%02x", uuid[i]);
    }
}

/* ---- JSON ------------------------------------------------------------------------------------- */

static json_t *segment_json(const struct seglog_segment_info *seg)
{
    json_t *object = json_object();

    report_number(object, "number", seg->number);
    report_text(object, "state", state_name(seg->state));
    report_number(object, "first_seq", seg->first_seq);
    report_number(object, "next_seq", seg->next_seq);
    report_number(object, "records", seg->records);
    report_number(object, "void", seg->void_count);
    report_number(object, "bytes", seg->bytes);
    report_time(object, "min_time", seg->min_time_ns, seg->records > 0);
    report_time(object, "max_time", seg->max_time_ns, seg->records > 0);
    report_number(object, "epoch", seg->epoch);
    report_flag(object, "torn", seg->torn);
    return object;
}

static json_t *claim_json(const struct seglog_info *info)
{
    json_t *object;

    if (!info->has_waiting_claim)
        return json_null();
    object = json_object();
    report_number(object, "seq", info->waiting_seq);
    report_number(object, "segment", info->waiting_segment);
    report_number(object, "offset", info->waiting_offset);
    report_number(object, "pid", info->waiting_pid);
    report_number(object, "slot", info->waiting_slot);
    report_flag(object, "dead", info->waiting_dead);
    return object;
}

static json_t *cursors_array(const struct cursors *cursors)
{
    json_t *array;

    if (cursors->count < 0)
        return json_null();
    array = json_array();
    for (int i = 0; i < cursors->count; i++)
        json_array_append_new(array, cursors_json(&cursors->all[i]));
    return array;
}

static json_t *info_json(const struct seglog_info *info, const struct cursors *cursors)
{
    json_t *object = json_object();
    json_t *segments = json_array();
    char uuid[37];
    char level[LEVEL_LEN];

    uuid_format(info->uuid, uuid);
    level_format(info->sync, info->sync_interval_ns, level);
    report_number(object, "records", info->records);
    report_number(object, "first_seq", info->first_seq);
    report_number(object, "next_seq", info->next_seq);
    report_number(object, "durable_seq", info->durable_seq);
    report_number(object, "bytes", info->bytes);
    report_number(object, "void", info->void_count);
    report_number(object, "appenders", info->appenders);
    report_flag(object, "exclusive", info->exclusive);
    report_text(object, "sync", level);
    report_flag(object, "poisoned", info->poisoned);
    if (info->prepare_error)
        report_text(object, "prepare_error", seglog_status_name(info->prepare_error));
    else
        json_object_set_new(object, "prepare_error", json_null());
    report_flag(object, "volatile", info->volatile_fs);
    report_text(object, "io_engine", report_engine(info->io_engine));
    json_object_set_new(object, "waiting_claim", claim_json(info));
    report_text(object, "uuid", uuid);
    report_time(object, "created", info->created_ns, true);
    report_number(object, "epoch", info->epoch);
    report_number(object, "files_aside", info->files_aside);
    report_number(object, "segment_size", info->segment_size);
    report_number(object, "max_record", info->max_record);
    for (size_t i = 0; i < info->segment_count; i++)
        json_array_append_new(segments, segment_json(&info->segments[i]));
    json_object_set_new(object, "segments", segments);
    json_object_set_new(object, "cursors", cursors_array(cursors));
    return object;
}

/* ---- text ------------------------------------------------------------------------------------- */

static void print_segments(const struct seglog_info *info, const char *bold, const char *plain)
{
    printf("\n%s%-8s %-8s %12s %12s %10s  %-30s  %s%s\n", bold, "SEGMENT", "STATE", "FIRST",
           "RECORDS", "BYTES", "FIRST TIME", "LAST TIME", plain);
    for (size_t i = 0; i < info->segment_count; i++) {
        const struct seglog_segment_info *seg = &info->segments[i];
        char bytes[REPORT_SIZE_LEN];
        char from[STAMP_LEN + 1] = "-";
        char to[STAMP_LEN + 1] = "-";

        report_size(seg->bytes, bytes);
        if (seg->records) {
            stamp_format(seg->min_time_ns, from);
            stamp_format(seg->max_time_ns, to);
        }
        printf("%-8" PRIu64 " %-8s %12" PRIu64 " %12" PRIu64 " %10s  %-30s  %s%s\n", seg->number,
               state_name(seg->state), seg->first_seq, seg->records, bytes, from, to,
               seg->torn ? "  (ends where a crash cut it)" : "");
    }
}

static void print_claim(const struct seglog_info *info)
{
    if (!info->has_waiting_claim)
        return;
    printf("%-13s record %" PRIu64 " (segment %" PRIu64 ", offset %" PRIu64
           ") begun by process %" PRIu32 "%s: seal and durability wait for it\n",
           "waiting for", info->waiting_seq, info->waiting_segment, info->waiting_offset,
           info->waiting_pid, info->waiting_dead ? ", which is dead" : "");
}

static void print_cursors(const struct cursors *cursors, const char *bold, const char *plain)
{
    if (cursors->count <= 0)
        return;
    putchar('\n');
    cursors_print_head(bold, plain);
    for (int i = 0; i < cursors->count; i++)
        cursors_print(&cursors->all[i]);
}

static void print_info(const struct cli *cli, const char *dir, const struct seglog_info *info,
                       const struct cursors *cursors)
{
    const bool color = color_on(cli, STDOUT_FILENO);
    const char *bold = color ? "\033[1m" : "";
    const char *plain = color ? "\033[0m" : "";
    char size[REPORT_SIZE_LEN];
    char created[STAMP_LEN + 1];
    char uuid[37];
    char level[LEVEL_LEN];

    uuid_format(info->uuid, uuid);
    level_format(info->sync, info->sync_interval_ns, level);
    stamp_format(info->created_ns, created);
    printf("%s%s%s\n", bold, dir, plain);
    printf("%-13s %" PRIu64 ", numbers %" PRIu64 " to %" PRIu64 "%s\n", "records", info->records,
           info->first_seq, info->next_seq, " (the next)");
    if (info->void_count)
        printf("%-13s %" PRIu64 " numbers lost to records that were begun and given up\n", "void",
               info->void_count);
    report_size(info->bytes, size);
    printf("%-13s %s (%" PRIu64 " bytes)\n", "payload", size, info->bytes);
    printf("%-13s all numbers below %" PRIu64 "%s\n", "durable", info->durable_seq,
           info->volatile_fs ? ", but this file system keeps nothing across a power cut" : "");
    printf("%-13s %s%s\n", "sync", level,
           info->poisoned ? "; POISONED: a sync failed since this machine was started" : "");
    if (info->prepare_error)
        printf("%-13s the next segment could not be made: %s\n", "PREPARATION",
               seglog_strerror(info->prepare_error));
    printf("%-13s %" PRIu32 "%s\n", "appenders", info->appenders,
           info->exclusive ? ", exclusive" : "");
    printf("%-13s %s\n", "disk work", report_engine(info->io_engine));
    print_claim(info);
    if (info->files_aside)
        printf("%-13s %" PRIu64 " files *.aside-* that recoveries took out of the log\n", "aside",
               info->files_aside);
    report_size(info->segment_size, size);
    printf("%-13s %s, records up to %" PRIu64 " bytes\n", "segment size", size, info->max_record);
    printf("%-13s %s, epoch %" PRIu64 ", id %s\n", "created", created, info->epoch, uuid);
    print_segments(info, bold, plain);
    print_cursors(cursors, bold, plain);
}

int cmd_info(struct cli *cli, int argc, char **argv)
{
    struct info_args args = {.cli = cli};
    struct cursors cursors = {0};
    struct seglog_info info;
    int rc = args_parse(cli, &argp, argc, argv, &args);

    if (rc != ARGS_RUN)
        return rc;
    rc = seglog_info_read(args.dir, &info);
    if (rc < 0)
        return fail_status(cli, args.dir, rc);
    cursors.count = seglog_cursor_list(args.dir, &cursors.all);
    if (cursors.count < 0)
        note(cli, "%s: cursors: %s", args.dir, seglog_strerror(cursors.count));
    if (args.json)
        rc = report_print(cli, info_json(&info, &cursors));
    else
        print_info(cli, args.dir, &info, &cursors);
    seglog_info_free(&info);
    free(cursors.all);
    return rc ? rc : flush_stdout(cli);
}
