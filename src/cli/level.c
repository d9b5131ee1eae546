/*
 * Durability levels as users write them.
 */
#include "level.h"

#include "parse.h"

#include <seglog/log.h>

#include <stdio.h>
#include <string.h>

static const char interval_prefix[] = "interval:";

static const char *const names[] = {
    [SEGLOG_SYNC_NONE] = "none",
    [SEGLOG_SYNC_SEALED] = "sealed",
    [SEGLOG_SYNC_RECORD] = "record",
};

static const char *interval_parse(const char *text, uint64_t *out)
{
    uint64_t ns;
    const char *why = parse_duration(text, &ns);

    if (why)
        return why;
    if (ns < SEGLOG_SYNC_INTERVAL_MIN || ns > SEGLOG_SYNC_INTERVAL_MAX)
        return "an interval is from 1ms to 1h";
    *out = ns;
    return NULL;
}

const char *level_parse(const char *text, uint32_t *sync, uint64_t *interval_ns)
{
    const size_t prefix = sizeof(interval_prefix) - 1;

    if (strncmp(text, interval_prefix, prefix) == 0) {
        const char *why = interval_parse(text + prefix, interval_ns);

        if (!why)
            *sync = SEGLOG_SYNC_INTERVAL;
        return why;
    }
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i] && strcmp(text, names[i]) == 0) {
            *sync = i;
            *interval_ns = 0;
            return NULL;
        }
    }
    return "known are none, sealed, interval:DURATION and record";
}

static void interval_format(uint64_t ns, char out[LEVEL_LEN])
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {
        {"h", UINT64_C(3600000000000)}, {"m", UINT64_C(60000000000)}, {"s", UINT64_C(1000000000)},
        {"ms", UINT64_C(1000000)},      {"us", UINT64_C(1000)},       {"ns", UINT64_C(1)},
    };
    unsigned i = 0;

    while (ns % units[i].ns != 0)
        i++; /* everything is so many whole ns */
    snprintf(out, LEVEL_LEN, "%s%llu%s", interval_prefix, (unsigned long long)(ns / units[i].ns),
             units[i].name);
}

void level_format(uint32_t sync, uint64_t interval_ns, char out[LEVEL_LEN])
{
    if (sync == SEGLOG_SYNC_INTERVAL)
        interval_format(interval_ns, out);
    else if (sync < sizeof(names) / sizeof(names[0]) && names[sync])
        snprintf(out, LEVEL_LEN, "%s", names[sync]);
    else
        snprintf(out, LEVEL_LEN, "unknown");
}
