/*
 * What is known of cursors, as lines and as JSON. See cursors.h.
 */
#include "cursors.h"

#include "report.h"
#include "stamp.h"

#include <inttypes.h>
#include <stdio.h>

static const char *state_of(const struct seglog_cursor_info *info)
{
    switch (info->status) {
    case 0:
        return info->held ? "held" : "free";
    case SEGLOG_ETRIMMED:
        return "trimmed";
    case SEGLOG_EREWOUND:
        return "rewound";
    default:
        return "damaged";
    }
}

json_t *cursors_json(const struct seglog_cursor_info *info)
{
    json_t *object = json_object();

    report_text(object, "name", info->name);
    report_text(object, "state", state_of(info));
    report_number(object, "seq", info->seq);
    report_number(object, "epoch", info->epoch);
    report_number(object, "resume_seq", info->resume_seq);
    report_flag(object, "held", info->held);
    if (info->held)
        report_number(object, "owner", info->pid);
    else
        json_object_set_new(object, "owner", json_null());
    report_number(object, "pid", info->pid);
    report_time(object, "stored", info->stored_ns, info->stored_ns != 0);
    report_number(object, "lag_records", info->lag_records);
    report_number(object, "lag_bytes", info->lag_bytes);
    report_number(object, "lag_ns", info->lag_ns);
    return object;
}

void cursors_print_head(const char *bold, const char *plain)
{
    printf("%s%-20s %-8s %12s %12s %10s %12s  %s%s\n", bold, "CURSOR", "STATE", "NEXT", "BEHIND",
           "BYTES", "AGE (s)", "STORED", plain);
}

void cursors_print(const struct seglog_cursor_info *info)
{
    char bytes[REPORT_SIZE_LEN];
    char stored[STAMP_LEN + 1] = "-";

    report_size(info->lag_bytes, bytes);
    if (info->stored_ns)
        stamp_format(info->stored_ns, stored);
    printf("%-20s %-8s %12" PRIu64 " %12" PRIu64 " %10s %12.3f  %s", info->name, state_of(info),
           info->seq, info->lag_records, bytes, (double)info->lag_ns / 1e9, stored);
    if (info->held)
        printf("  by process %" PRIu32, info->pid);
    putchar('\n');
}
