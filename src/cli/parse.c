/*
 * What users write for sizes, durations, times, places and the like.
 *
 * Numbers are read digit by digit with a check before each step, since strtoull() accepts blanks,
 * signs and wraps, and knows nothing of fractions in nanoseconds.
 */
#include "parse.h"

#include <seglog/archive.h>
#include <seglog/log.h>

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

const char parse_later[] = "not in this release";

static const char too_large[] = "the number is too large";

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The digits at *at, at least one; *at moves behind them. */
static const char *digits_take(const char **at, uint64_t *out)
{
    const char *text = *at;
    uint64_t value = 0;

    if (!is_digit(*text))
        return "a number is expected";
    for (; is_digit(*text); text++) {
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return too_large;
    }
    *at = text;
    *out = value;
    return NULL;
}

/* The digits after a point as billionths; those after the ninth are dropped. */
static const char *fraction_take(const char **at, uint64_t *out)
{
    const char *text = *at;
    uint64_t value = 0;
    uint64_t weight = NS_PER_S / 10;

    if (!is_digit(*text))
        return "digits are expected after the point";
    for (; is_digit(*text); text++) {
        value += weight * (uint64_t)(*text - '0');
        weight /= 10;
    }
    *at = text;
    *out = value;
    return NULL;
}

/* whole.billionths times unit, rounded down. A unit of a second or more is of whole seconds. */
static const char *scale(uint64_t whole, uint64_t billionths, uint64_t unit, uint64_t *out)
{
    uint64_t value;
    uint64_t part;

    if (__builtin_mul_overflow(whole, unit, &value))
        return too_large;
    part = unit < NS_PER_S ? billionths * unit / NS_PER_S : billionths * (unit / NS_PER_S);
    if (__builtin_add_overflow(value, part, &value))
        return too_large;
    *out = value;
    return NULL;
}

const char *parse_size(const char *text, uint64_t *out)
{
    uint64_t value;
    unsigned shift = 0;
    const char *why = digits_take(&text, &value);

    if (why)
        return why;
    switch (*text) {
    case 'K':
    case 'k':
        shift = 10;
        break;
    case 'M':
    case 'm':
        shift = 20;
        break;
    case 'G':
    case 'g':
        shift = 30;
        break;
    default:
        break;
    }
    if (shift)
        text++;
    if (*text)
        return "a size is a number of bytes with K, M or G or nothing behind it";
    if (value > UINT64_MAX >> shift)
        return too_large;
    *out = value << shift;
    return NULL;
}

const char *parse_segment_size(const char *text, uint64_t *out)
{
    uint64_t size;
    const char *why = parse_size(text, &size);

    if (why)
        return why;
    if (size < SEGLOG_SEGMENT_SIZE_MIN || size > SEGLOG_SEGMENT_SIZE_MAX || (size & (size - 1)))
        return "a segment is a power of two from 64K to 1G";
    *out = size;
    return NULL;
}

const char *parse_duration(const char *text, uint64_t *out)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {
        {"ns", 1},
        {"us", 1000},
        {"ms", 1000000},
        {"s", NS_PER_S},
        {"m", 60 * NS_PER_S},
        {"h", 3600 * NS_PER_S},
        {"d", 86400 * NS_PER_S},
    };
    uint64_t whole;
    uint64_t billionths = 0;
    const char *why = digits_take(&text, &whole);

    if (!why && *text == '.') {
        text++;
        why = fraction_take(&text, &billionths);
    }
    if (why)
        return why;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text, units[i].name) == 0)
            return scale(whole, billionths, units[i].ns, out);
    }
    if (*text || whole || billionths)
        return "a duration is a number and ns, us, ms, s, m, h or d, such as 250ms";
    *out = 0;
    return NULL;
}

const char *parse_archive_after(const char *text, uint64_t *out)
{
    const char *why = parse_duration(text, out);

    if (!why && *out == 0)
        *out = 1; /* 0 in the settings is never */
    return why;
}

const char *parse_archive_level(const char *text, uint32_t *out)
{
    uint64_t level;
    const char *why = parse_count(text, &level);

    if (why)
        return why;
    if (level < 1 || level > SEGLOG_ARCHIVE_LEVEL_MAX)
        return "a level is from 1 (fast) to 12 (small)";
    *out = (uint32_t)level;
    return NULL;
}

/* Exactly n digits. */
static bool field_take(const char **at, int n, int *out)
{
    int value = 0;

    for (int i = 0; i < n; i++) {
        if (!is_digit((*at)[i]))
            return false;
        value = value * 10 + ((*at)[i] - '0');
    }
    *at += n;
    *out = value;
    return true;
}

static bool char_take(const char **at, const char *choices)
{
    if (!**at || !strchr(choices, **at))
        return false;
    (*at)++;
    return true;
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

static const char *rfc3339_take(const char *text, uint64_t *out)
{
    static const char form[] = "a time is such as 2026-11-21T04:05:06.5Z, @seconds, or -10m";
    int year, month, day, hour, minute, second;
    int zone_hour = 0, zone_minute = 0;
    uint64_t billionths = 0;
    bool west = false;
    struct tm tm = {0};
    int64_t seconds;

    if (!field_take(&text, 4, &year) || !char_take(&text, "-") || !field_take(&text, 2, &month) ||
        !char_take(&text, "-") || !field_take(&text, 2, &day) || !char_take(&text, "Tt ") ||
        !field_take(&text, 2, &hour) || !char_take(&text, ":") || !field_take(&text, 2, &minute) ||
        !char_take(&text, ":") || !field_take(&text, 2, &second))
        return form;
    if (char_take(&text, ".") && fraction_take(&text, &billionths))
        return form;
    if (!char_take(&text, "Zz")) {
        west = *text == '-';
        if (!char_take(&text, "+-") || !field_take(&text, 2, &zone_hour) ||
            !char_take(&text, ":") || !field_take(&text, 2, &zone_minute))
            return "a time needs its zone: Z or an offset such as +02:00";
    }
    if (*text)
        return form;
    if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, month))
        return "there is no such day";
    /* Second 60 is a leap second; it is counted as the first of the next minute. */
    if (hour > 23 || minute > 59 || second > 60 || zone_hour > 23 || zone_minute > 59)
        return "there is no such time of day";

    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;
    tm.tm_hour = hour;
    tm.tm_min = minute;
    tm.tm_sec = second;
    seconds = (int64_t)timegm(&tm);
    seconds -= (west ? -1 : 1) * (zone_hour * 3600 + zone_minute * 60);
    if (seconds < 0)
        return "times before 1970 are not kept";
    return scale((uint64_t)seconds, billionths, NS_PER_S, out);
}

const char *parse_time(const char *text, uint64_t now_ns, uint64_t *out)
{
    const char *at = text;
    uint64_t whole = 0;
    uint64_t billionths = 0;
    const char *why;

    if (*text == '-') {
        uint64_t ago;

        why = parse_duration(text + 1, &ago);
        if (why)
            return why;
        *out = ago < now_ns ? now_ns - ago : 0;
        return NULL;
    }
    why = digits_take(&at, &whole);
    if (!why && *at == '-')
        return rfc3339_take(text, out);
    if (!why && *at == '.') {
        at++;
        why = fraction_take(&at, &billionths);
    }
    if (why)
        return why;
    if (*at)
        return "a time is such as 2026-11-21T04:05:06.5Z, seconds since 1970, or -10m";
    return scale(whole, billionths, NS_PER_S, out);
}

const char *parse_place(const char *text, uint64_t now_ns, struct seglog_place *out)
{
    static const struct {
        const char *name;
        uint32_t kind;
    } names[] = {
        {"first", SEGLOG_PLACE_FIRST},
        {"last", SEGLOG_PLACE_LAST},
        {"end", SEGLOG_PLACE_END},
    };
    struct seglog_place place = {.kind = SEGLOG_PLACE_SEQ};
    const char *why = NULL;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i].name) == 0) {
            *out = (struct seglog_place){.kind = names[i].kind};
            return NULL;
        }
    }
    if (*text == '@') {
        place.kind = SEGLOG_PLACE_TIME;
        why = parse_time(text + 1, now_ns, &place.value);
    } else if (*text == '-' || is_digit(*text)) {
        place.kind = *text == '-' ? SEGLOG_PLACE_BACK : SEGLOG_PLACE_SEQ;
        why = parse_count(text + (*text == '-'), &place.value);
        if (place.kind == SEGLOG_PLACE_BACK && place.value == 0)
            place.kind = SEGLOG_PLACE_END;
    } else {
        why = "a place is first, last, end, N, -N, @TIME or cursor:NAME";
    }
    if (why)
        return why;
    *out = place;
    return NULL;
}

const char *parse_count(const char *text, uint64_t *out)
{
    uint64_t value;
    const char *why = digits_take(&text, &value);

    if (why)
        return why;
    if (*text)
        return "a plain number is expected";
    *out = value;
    return NULL;
}

const char *parse_tag(const char *text, uint32_t *out)
{
    uint64_t value;
    const char *why = parse_count(text, &value);

    if (why)
        return why;
    if (value > UINT32_MAX)
        return "a tag is at most 4294967295";
    *out = (uint32_t)value;
    return NULL;
}

const char *parse_rate(const char *text, uint64_t *out)
{
    uint64_t whole;
    uint64_t billionths = 0;
    uint64_t value;
    const char *why = digits_take(&text, &whole);

    if (!why && *text == '.') {
        text++;
        why = fraction_take(&text, &billionths);
    }
    if (why)
        return why;
    if (*text && strcmp(text, "/s") != 0)
        return "a rate is records per second, such as 1000/s";
    why = scale(whole, billionths, 1000, &value);
    if (why)
        return why;
    if (value == 0)
        return "a rate is more than 0";
    if (value > UINT64_C(1000000000000))
        return too_large;
    *out = value;
    return NULL;
}

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

const char *parse_escape(const char *text, unsigned char *out, unsigned *used)
{
    static const char letters[] = "ntr0\\";
    static const unsigned char bytes[] = {'\n', '\t', '\r', '\0', '\\'};
    const char *found;

    if (*text == 'x') {
        const int high = hex_digit(text[1]);
        const int low = high < 0 ? -1 : hex_digit(text[2]);

        if (low < 0)
            return "two hexadecimal digits are expected after \\x";
        *out = (unsigned char)(high * 16 + low);
        *used = 3;
        return NULL;
    }
    found = *text ? strchr(letters, *text) : NULL;
    if (!found)
        return "known after a backslash are n, t, r, 0, \\ and xHH";
    *out = bytes[found - letters];
    *used = 1;
    return NULL;
}

const char *parse_byte(const char *text, unsigned char *out)
{
    unsigned char value;
    unsigned used = 0;

    if (*text == '\\' && text[1]) {
        const char *why = parse_escape(text + 1, &value, &used);

        if (why)
            return why;
        used++;
    } else {
        value = (unsigned char)*text;
        used = *text != '\0';
    }
    if (used == 0 || text[used])
        return "one byte is expected, such as , or \\t or \\x1e";
    *out = value;
    return NULL;
}

const char *parse_mode(const char *text, uint32_t *out)
{
    uint32_t value = 0;

    if (!*text || strlen(text) > 4)
        return "permission bits are three octal digits, such as 0640";
    for (; *text; text++) {
        if (*text < '0' || *text > '7')
            return "permission bits are three octal digits, such as 0640";
        value = value * 8 + (uint32_t)(*text - '0');
    }
    if (value == 0 || value > 0777)
        return "permission bits are from 0001 to 0777";
    *out = value;
    return NULL;
}
