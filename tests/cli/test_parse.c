/*
 * What users write for sizes, durations, times, places and levels: what is understood, to the last
 * digit, and what is refused.
 */
#include "cli/level.h"
#include "cli/parse.h"
#include "cli/place.h"

#include <seglog/log.h>

#include <criterion/criterion.h>
#include <stdlib.h>

#define NS  UINT64_C(1000000000)
#define NOW (UINT64_C(1700000000) * NS) /* 2023-11-14T22:13:20Z */

/* What stands in *out before a call, to see that a refusal leaves it alone. */
#define UNTOUCHED UINT64_C(0x5eed5eed5eed5eed)

struct number_case {
    const char *text;
    uint64_t value;
};

typedef const char *(*number_parser)(const char *text, uint64_t *out);

static const char *time_parser(const char *text, uint64_t *out)
{
    return parse_time(text, NOW, out);
}

static void check_taken(number_parser parse, const struct number_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value = UNTOUCHED;
        const char *why = parse(cases[i].text, &value);

        cr_expect(why == NULL, "'%s' is refused: %s", cases[i].text, why);
        cr_expect(value == cases[i].value, "'%s' is %llu, not %llu", cases[i].text,
                  (unsigned long long)value, (unsigned long long)cases[i].value);
    }
}

static void check_refused(number_parser parse, const char *const *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value = UNTOUCHED;
        const char *why = parse(texts[i], &value);

        cr_expect(why != NULL && *why, "'%s' is taken as %llu", texts[i],
                  (unsigned long long)value);
        cr_expect(value == UNTOUCHED, "'%s' is refused, but *out is changed", texts[i]);
    }
}

#define COUNT(array_)                  (sizeof(array_) / sizeof((array_)[0]))
#define CHECK_TAKEN(parser_, cases_)   check_taken((parser_), (cases_), COUNT(cases_))
#define CHECK_REFUSED(parser_, texts_) check_refused((parser_), (texts_), COUNT(texts_))

Test(parse, sizes_take_powers_of_1024)
{
    static const struct number_case cases[] = {
        {"0", 0},
        {"1", 1},
        {"4096", 4096},
        {"64K", UINT64_C(64) << 10},
        {"64k", UINT64_C(64) << 10},
        {"1M", UINT64_C(1) << 20},
        {"2G", UINT64_C(2) << 30},
        {"007", 7},
        {"18446744073709551615", UINT64_MAX},
        {"17179869183G", UINT64_C(17179869183) << 30},
    };

    CHECK_TAKEN(parse_size, cases);
}

Test(parse, sizes_that_are_none_are_refused)
{
    static const char *const texts[] = {
        "",
        "K",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1KB",
        "1KiB",
        "1T",
        "1.5M",
        "0x10",
        "1e3",
        "18446744073709551616",
        "17179869184G",
        "99999999999999999999999999",
        "1K1",
        "1\n",
        "\xff",
    };

    CHECK_REFUSED(parse_size, texts);
}

Test(parse, durations_have_a_unit)
{
    static const struct number_case cases[] = {
        {"0", 0},
        {"0s", 0},
        {"1ns", 1},
        {"1us", 1000},
        {"250ms", 250000000},
        {"10s", 10 * NS},
        {"5m", 300 * NS},
        {"2h", 7200 * NS},
        {"7d", 7 * 86400 * NS},
        {"1.5s", 1500000000},
        {"0.5m", 30 * NS},
        {"0.000000001s", 1},
        {"0.0000000019s", 1},
        {"0.25d", 21600 * NS},
        {"1.5us", 1500},
        {"0.9ns", 0},
        {"213503d", UINT64_C(213503) * 86400 * NS},
        {"18446744073709551615ns", UINT64_MAX},
    };

    CHECK_TAKEN(parse_duration, cases);
}

Test(parse, durations_that_are_none_are_refused)
{
    static const char *const texts[] = {
        "",
        "s",
        "5",
        "1.5",
        "0.5",
        "-1s",
        "+1s",
        "1S",
        "1sec",
        "1 s",
        " 1s",
        "1s ",
        "1h30m",
        ".5s",
        "1.s",
        "1e3s",
        "1..5s",
        "213504d",
        "18446744073709551616ns",
        "18446744073710s",
        "18446744073709.551616s",
    };

    CHECK_REFUSED(parse_duration, texts);
}

Test(parse, times_are_rfc3339)
{
    static const struct number_case cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.000000001Z", 1},
        {"2023-11-14T22:13:20Z", NOW},
        {"2023-11-14t22:13:20z", NOW},
        {"2023-11-14 22:13:20Z", NOW},
        {"2023-11-14T22:13:20.5Z", NOW + NS / 2},
        {"2023-11-14T22:13:20.123456789Z", NOW + 123456789},
        {"2023-11-14T22:13:20.1234567899999Z", NOW + 123456789},
        {"2023-11-15T00:13:20+02:00", NOW},
        {"2023-11-14T16:43:20-05:30", NOW},
        {"2023-11-14T22:13:20-00:00", NOW},
        {"2000-02-29T00:00:00Z", UINT64_C(951782400) * NS},
        {"2016-12-31T23:59:60Z", UINT64_C(1483228800) * NS},
        {"1970-01-01T01:00:00+01:00", 0},
        {"1969-12-31T23:00:00-01:00", 0},
        {"2554-07-21T23:34:33.709551615Z", UINT64_MAX},
    };

    CHECK_TAKEN(time_parser, cases);
}

Test(parse, times_are_seconds_or_ago)
{
    static const struct number_case cases[] = {
        {"0", 0},
        {"1700000000", NOW},
        {"1700000000.000000001", NOW + 1},
        {"1.5", NS + NS / 2},
        {"18446744073.709551615", UINT64_MAX},
        {"-0", NOW},
        {"-10m", NOW - 600 * NS},
        {"-1.5s", NOW - NS - NS / 2},
        {"-250ms", NOW - 250000000},
        {"-36500d", 0}, /* before the epoch is the epoch */
    };

    CHECK_TAKEN(time_parser, cases);
}

Test(parse, times_that_are_none_are_refused)
{
    static const char *const texts[] = {
        "",
        "now",
        "-",
        "--1s",
        "-5",
        "-10",
        "+5",
        "1e9",
        "1.",
        ".5",
        "1700000000s",
        " 0",
        "0 ",
        "18446744073.709551616",
        "18446744074",
        "99999999999999999999",
        "2023-11-14",
        "2023-11-14T22:13Z",
        "2023-11-14T22:13:20",
        "2023-11-14T22:13:20.Z",
        "2023-11-14T22:13:20Zx",
        "2023-11-14T22:13:20+0200",
        "2023-11-14T22:13:20+02",
        "2023-11-14T22:13:20+24:00",
        "2023-11-14T22:13:20+02:60",
        "2023-1-14T22:13:20Z",
        "2023-11-14X22:13:20Z",
        "2023/11/14T22:13:20Z",
        "20231114T221320Z",
        "2023-00-14T22:13:20Z",
        "2023-13-14T22:13:20Z",
        "2023-11-00T22:13:20Z",
        "2023-11-31T22:13:20Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2023-11-14T24:00:00Z",
        "2023-11-14T22:60:00Z",
        "2023-11-14T22:13:61Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:59:59+01:00",
        "0000-01-01T00:00:00Z",
        "2554-07-21T23:34:33.709551616Z",
        "9999-12-31T23:59:59Z",
        "12023-11-14T22:13:20Z",
        "2023-11-14T22:13:20Z\n",
        "2023-11-",
        "2023-",
    };

    CHECK_REFUSED(time_parser, texts);
}

Test(parse, places_are_of_six_kinds)
{
    static const struct {
        const char *text;
        uint32_t kind;
        uint64_t value;
    } cases[] = {
        {"first", SEGLOG_PLACE_FIRST, 0},
        {"last", SEGLOG_PLACE_LAST, 0},
        {"end", SEGLOG_PLACE_END, 0},
        {"0", SEGLOG_PLACE_SEQ, 0},
        {"42", SEGLOG_PLACE_SEQ, 42},
        {"18446744073709551615", SEGLOG_PLACE_SEQ, UINT64_MAX},
        {"-1", SEGLOG_PLACE_BACK, 1},
        {"-10", SEGLOG_PLACE_BACK, 10},
        {"-0", SEGLOG_PLACE_END, 0},
        {"@0", SEGLOG_PLACE_TIME, 0},
        {"@1700000000", SEGLOG_PLACE_TIME, NOW},
        {"@-10m", SEGLOG_PLACE_TIME, NOW - 600 * NS},
        {"@2023-11-14T22:13:20Z", SEGLOG_PLACE_TIME, NOW},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct seglog_place place = {.kind = 99, .check_epoch = 99, .epoch = 99};
        const char *why = parse_place(cases[i].text, NOW, &place);

        cr_expect(why == NULL, "'%s' is refused: %s", cases[i].text, why);
        cr_expect(place.kind == cases[i].kind, "'%s' is of kind %u", cases[i].text, place.kind);
        cr_expect(place.value == cases[i].value, "'%s' is %llu", cases[i].text,
                  (unsigned long long)place.value);
        cr_expect(place.check_epoch == 0 && place.epoch == 0, "'%s' leaves odd fields",
                  cases[i].text);
    }
}

Test(parse, places_that_are_none_are_refused)
{
    static const char *const texts[] = {
        "",
        "First",
        "first ",
        " first",
        "firstly",
        "beginning",
        "+1",
        "1x",
        "1.5",
        "-",
        "--1",
        "-1x",
        "-first",
        "@",
        "@@0",
        "@first",
        "@-",
        "@-5",
        "18446744073709551616",
        "1,2",
        "0x10",
        "\xff",
    };

    for (size_t i = 0; i < COUNT(texts); i++) {
        struct seglog_place place = {.kind = 99};

        cr_expect(parse_place(texts[i], NOW, &place) != NULL, "'%s' is taken", texts[i]);
        cr_expect(place.kind == 99, "'%s' is refused, but *out is changed", texts[i]);
    }
}

Test(parse, cursors_are_places_by_name)
{
    struct seglog_place place = {.kind = 99};
    const char *name = NULL;

    cr_assert(place_parse("cursor:mailer", &place, &name) == NULL);
    cr_assert_str_eq(name, "mailer");
    cr_assert(place.kind == 99);
    cr_assert(place_parse("42", &place, &name) == NULL);
    cr_assert(name == NULL && place.kind == SEGLOG_PLACE_SEQ && place.value == 42);
    cr_assert(place_parse("cursor:", &place, &name) != NULL);
    cr_assert(place_parse("cursor", &place, &name) != NULL);
}

Test(parse, tags_are_32_bits)
{
    uint32_t tag = 5;

    cr_assert(parse_tag("4294967295", &tag) == NULL);
    cr_assert_eq(tag, UINT32_MAX);
    cr_assert(parse_tag("0", &tag) == NULL);
    cr_assert_eq(tag, 0);
    tag = 5;
    cr_assert(parse_tag("4294967296", &tag) != NULL);
    cr_assert(parse_tag("-1", &tag) != NULL);
    cr_assert(parse_tag("", &tag) != NULL);
    cr_assert(parse_tag("1 ", &tag) != NULL);
    cr_assert_eq(tag, 5);
}

Test(parse, rates_are_thousandths_of_a_record_per_second)
{
    static const struct number_case cases[] = {
        {"1", 1000},        {"1/s", 1000},       {"0.5/s", 500},
        {"0.001", 1},       {"1000/s", 1000000}, {"1000000000/s", UINT64_C(1000000000000)},
        {"2.0009/s", 2000},
    };
    static const char *const texts[] = {
        "",
        "0",
        "0/s",
        "0.0009",
        "-1",
        "1/m",
        "1/",
        "1 /s",
        "/s",
        "1000000001",
        "x",
        "1K/s",
        "99999999999999999999/s",
    };

    CHECK_TAKEN(parse_rate, cases);
    CHECK_REFUSED(parse_rate, texts);
}

Test(parse, a_byte_is_one_byte)
{
    static const struct {
        const char *text;
        unsigned char byte;
    } cases[] = {
        {",", ','},      {"\\n", '\n'},  {"\\t", '\t'}, {"\\r", '\r'},
        {"\\0", '\0'},   {"\\\\", '\\'}, {"\\", '\\'},  {"\\x1e", 0x1e},
        {"\\xFF", 0xff}, {"\xff", 0xff}, {" ", ' '},
    };
    static const char *const texts[] = {
        "",      "ab",     "\\q",  "\\x",  "\\x1",     "\\xg1",
        "\\x1g", "\\x123", "\\nn", "\\00", "\xc3\xa9", ",,",
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        unsigned char byte = 'z';

        cr_expect(parse_byte(cases[i].text, &byte) == NULL, "'%s' is refused", cases[i].text);
        cr_expect(byte == cases[i].byte, "'%s' is %u", cases[i].text, byte);
    }
    for (size_t i = 0; i < COUNT(texts); i++) {
        unsigned char byte = 'z';

        cr_expect(parse_byte(texts[i], &byte) != NULL, "'%s' is taken as %u", texts[i], byte);
        cr_expect(byte == 'z', "'%s' is refused, but *out is changed", texts[i]);
    }
}

Test(parse, modes_are_octal)
{
    static const char *const texts[] = {"",      "0",  "000", "8",   "0888", "1777",
                                        "06400", "-1", "rw",  "0x1", " 640"};
    uint32_t mode = 5;

    cr_assert(parse_mode("0640", &mode) == NULL);
    cr_assert_eq(mode, 0640);
    cr_assert(parse_mode("777", &mode) == NULL);
    cr_assert_eq(mode, 0777);
    for (size_t i = 0; i < COUNT(texts); i++) {
        mode = 5;
        cr_expect(parse_mode(texts[i], &mode) != NULL, "'%s' is taken", texts[i]);
        cr_expect(mode == 5, "'%s' is refused, but *out is changed", texts[i]);
    }
}

/* Every short text over a nasty alphabet: whatever it is, it is taken or refused within its bytes. */
Test(parse, any_text_is_safe)
{
    static const char alphabet[] = {'0', '9', '-', '.',  ':', '@',   'T',
                                    'Z', 's', 'K', '\\', 'x', '\xff'};
    const size_t letters = sizeof(alphabet);
    size_t total = 1;

    for (int len = 0; len <= 4; len++, total *= letters) {
        for (size_t n = 0; n < total; n++) {
            char *text =
                calloc((size_t)len + 1, 1); /* its own block, so that sanitizers see its end */
            size_t rest = n;
            uint64_t value;
            uint32_t small;
            unsigned char byte;
            struct seglog_place place;

            for (int i = 0; i < len; i++, rest /= letters)
                text[i] = alphabet[rest % letters];
            (void)parse_size(text, &value);
            (void)parse_duration(text, &value);
            (void)parse_time(text, NOW, &value);
            (void)parse_place(text, NOW, &place);
            (void)parse_rate(text, &value);
            (void)parse_tag(text, &small);
            (void)parse_mode(text, &small);
            (void)parse_byte(text, &byte);
            free(text);
        }
    }
}

/* ---- levels --------------------------------------------------------------------------------- */

Test(level, each_is_written_as_it_is_read)
{
    static const char *const texts[] = {"none",           "sealed",      "record",
                                        "interval:1ms",   "interval:1s", "interval:1500us",
                                        "interval:100ms", "interval:2m", "interval:1h"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char text[LEVEL_LEN];
        uint32_t sync = 0;
        uint64_t ns = 0;

        cr_assert_null(level_parse(texts[i], &sync, &ns), "'%s'", texts[i]);
        level_format(sync, ns, text);
        cr_expect_str_eq(text, texts[i]);
    }
}

Test(level, what_is_none_is_refused_and_changes_nothing)
{
    static const char *const texts[] = {"",           "None",        "interval",
                                        "interval:",  "interval:5",  "interval:999999ns",
                                        "interval:0", "interval:2h", "record:1s"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint32_t sync = 77;
        uint64_t ns = UNTOUCHED;

        cr_expect_not_null(level_parse(texts[i], &sync, &ns), "'%s' is taken", texts[i]);
        cr_expect(sync == 77 && ns == UNTOUCHED, "'%s' changed something", texts[i]);
    }
}

Test(level, one_of_a_later_release_is_shown_as_unknown)
{
    char text[LEVEL_LEN];

    level_format(SEGLOG_SYNC_RECORD + 1, 0, text);
    cr_expect_str_eq(text, "unknown");
    level_format(SEGLOG_SYNC_DEFAULT, 0, text);
    cr_expect_str_eq(text, "unknown");
}
