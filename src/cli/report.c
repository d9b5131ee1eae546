/*
 * Reports: JSON objects and numbers for people.
 */
#include "report.h"

#include "fail.h"

#include <seglog/log.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void report_size(uint64_t bytes, char out[REPORT_SIZE_LEN])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes / 1024;
    unsigned i = 0;

    if (bytes < 1024) {
        snprintf(out, REPORT_SIZE_LEN, "%u B", (unsigned)bytes);
        return;
    }
    for (; value >= 1024 && i + 1 < sizeof(units) / sizeof(units[0]); i++)
        value /= 1024;
    snprintf(out, REPORT_SIZE_LEN, "%.1f %s", value, units[i]);
}

/* jansson's integers are signed: what is larger is no count of anything and becomes null. */
void report_number(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key,
                        value <= INT64_MAX ? json_integer((json_int_t)value) : json_null());
}

void report_flag(json_t *object, const char *key, uint32_t value)
{
    json_object_set_new(object, key, json_boolean(value != 0));
}

void report_text(json_t *object, const char *key, const char *value)
{
    json_object_set_new(object, key, json_string(value));
}

void report_time(json_t *object, const char *key, uint64_t time_ns, bool known)
{
    char text[STAMP_LEN + 1];

    stamp_format(time_ns, text);
    json_object_set_new(object, key, known ? json_string(text) : json_null());
}

int report_print(const struct cli *cli, json_t *object)
{
    const int indent = isatty(STDOUT_FILENO) ? 2 : 0;
    char *text = json_dumps(object, JSON_INDENT((size_t)indent) | JSON_PRESERVE_ORDER);

    json_decref(object);
    if (!text)
        return fail_status(cli, NULL, -ENOMEM);
    puts(text);
    free(text);
    return 0;
}

void report_lost(const struct seglog_damage *damage, char out[REPORT_LOST_LEN])
{
    if (damage->first_seq > damage->last_seq)
        snprintf(out, REPORT_LOST_LEN, "no record lost");
    else if (damage->first_seq == damage->last_seq)
        snprintf(out, REPORT_LOST_LEN, "record %" PRIu64 " lost", damage->first_seq);
    else
        snprintf(out, REPORT_LOST_LEN, "records %" PRIu64 " to %" PRIu64 " lost", damage->first_seq,
                 damage->last_seq);
}

int report_damage(const struct cli *cli, const char *dir, const struct seglog_damage *damage)
{
    char lost[REPORT_LOST_LEN];

    report_lost(damage, lost);
    return fail_text(cli, EX_DATAERR, dir, "segment %" PRIu64 ", offset %" PRIu64 ": %.*s; %s",
                     damage->segment, damage->offset, (int)sizeof(damage->cause), damage->cause,
                     lost);
}

const char *report_engine(uint32_t io_engine)
{
    return io_engine == SEGLOG_IO_URING     ? "io_uring"
           : io_engine == SEGLOG_IO_THREADS ? "threads"
                                            : "none";
}
