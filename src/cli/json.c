/*
 * Records from JSON: the objects that `cat -o json` prints.
 *
 * Payload and tag are taken; sequence number and time too where a log is made anew, and else they
 * belong to the log that is appended to. Length, and names that are unknown and may come from later
 * releases, are passed over.
 */
#include "json.h"

#include "parse.h"
#include "text.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int refuse(char *problem, size_t size, const char *why, ...)
    __attribute__((format(printf, 3, 4)));

static int refuse(char *problem, size_t size, const char *why, ...)
{
    va_list args;

    va_start(args, why);
    vsnprintf(problem, size, why, args);
    va_end(args);
    return -EBADMSG;
}

/* A whole number of at most max. */
static int take_number(const json_t *object, const char *name, uint64_t max, uint64_t *out,
                       char *problem, size_t size)
{
    const json_t *number = json_object_get(object, name);
    const json_int_t value = json_is_integer(number) ? json_integer_value(number) : -1;

    if (!number)
        return 0;
    if (value < 0 || (uint64_t)value > max)
        return refuse(problem, size, "\"%s\" is not a number from 0 to %llu", name,
                      (unsigned long long)max);
    *out = (uint64_t)value;
    return 0;
}

static int take_time(const json_t *object, uint64_t *out, char *problem, size_t size)
{
    const json_t *time = json_object_get(object, "time");

    if (!time)
        return 0;
    if (!json_is_string(time) || *json_string_value(time) == '-' ||
        parse_time(json_string_value(time), 0, out))
        return refuse(problem, size, "\"time\" is not a time");
    return 0;
}

static int take_facts(const json_t *object, bool whole, struct json_facts *facts, char *problem,
                      size_t size)
{
    uint64_t tag = facts->tag;
    int rc = take_number(object, "tag", UINT32_MAX, &tag, problem, size);

    if (rc < 0)
        return rc;
    facts->tag = (uint32_t)tag;
    if (!whole)
        return 0;
    rc = take_number(object, "seq", INT64_MAX, &facts->seq, problem, size);
    return rc < 0 ? rc : take_time(object, &facts->time_ns, problem, size);
}

static int take_payload(const json_t *object, unsigned char *out, size_t *len, char *problem,
                        size_t size)
{
    const json_t *text = json_object_get(object, "text");
    const json_t *base64 = json_object_get(object, "base64");
    const json_t *payload = text ? text : base64;
    const char *bytes;
    size_t count;

    if (text && base64)
        return refuse(problem, size, "both \"text\" and \"base64\" are there");
    if (!payload)
        return refuse(problem, size, "neither \"text\" nor \"base64\" is there");
    if (!json_is_string(payload))
        return refuse(problem, size, "\"%s\" is not a string", text ? "text" : "base64");
    bytes = json_string_value(payload);
    count = json_string_length(payload);
    if (text) {
        memcpy(out, bytes, count);
        *len = count;
        return 0;
    }
    if (!text_from_base64(bytes, count, out, len))
        return refuse(problem, size, "\"base64\" is not base64");
    return 0;
}

int json_take_record(unsigned char *line, size_t *len, bool whole, struct json_facts *facts,
                     char *problem, size_t problem_size)
{
    json_error_t error;
    json_t *value;
    size_t blank = 0;
    int rc;

    while (blank < *len && strchr(" \t\r", line[blank]) && line[blank])
        blank++;
    if (blank == *len)
        return JSON_BLANK;
    value = json_loadb((const char *)line, *len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (!value)
        return refuse(problem, problem_size, "not JSON: %s, column %d", error.text, error.column);
    rc = json_is_object(value) ? take_facts(value, whole, facts, problem, problem_size)
                               : refuse(problem, problem_size, "not a JSON object");
    if (rc == 0)
        rc = take_payload(value, line, len, problem, problem_size);
    json_decref(value);
    return rc;
}
