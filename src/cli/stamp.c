/*
 * Times as text.
 *
 * Records come in order of time, or nearly, so the date and the time of day are worked out once for
 * each second and only the fraction for each record.
 */
#include "stamp.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

void stamp_format(uint64_t time_ns, char out[STAMP_LEN + 1])
{
    static uint64_t last_second = UINT64_MAX;
    static char last_text[32]; /* "2026-11-21T04:05:06." */
    const uint64_t second = time_ns / NS_PER_S;
    uint32_t fraction = (uint32_t)(time_ns % NS_PER_S);

    if (second != last_second) {
        const time_t clock = (time_t)second; /* below 2554: 64 bits of nanoseconds hold no more */
        struct tm tm;

        (void)gmtime_r(&clock, &tm);
        (void)strftime(last_text, sizeof(last_text), "%Y-%m-%dT%H:%M:%S.", &tm);
        last_second = second;
    }
    memcpy(out, last_text, 20);
    for (int i = 28; i >= 20; i--) {
        out[i] = (char)('0' + fraction % 10);
        fraction /= 10;
    }
    out[29] = 'Z';
    out[30] = '\0';
}

unsigned stamp_decimal(uint64_t value, char *out)
{
    char digits[20];
    unsigned n = 0;

    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    for (unsigned i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t stamp_now_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

uint64_t stamp_steady_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}
