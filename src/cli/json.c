/*
 * Records from JSON: the objects that `cat -o json` prints.
 *
 * Payload and tag are taken. Sequence number, time and length belong to the log that is appended to,
 * and names that are unknown may come from later releases: all of them are passed over.
 */
#include "json.h"

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

static int take_fields(const json_t *object, unsigned char *out, size_t *len, uint32_t *tag,
                       char *problem, size_t size)
{
    const json_t *text = json_object_get(object, "text");
    const json_t *base64 = json_object_get(object, "base64");
    const json_t *number = json_object_get(object, "tag");
    const json_t *payload = text ? text : base64;
    const char *bytes;
    size_t count;

    if (number) {
        const json_int_t value = json_is_integer(number) ? json_integer_value(number) : -1;

        if (value < 0 || value > (json_int_t)UINT32_MAX)
            return refuse(problem, size, "\"tag\" is not a number from 0 to 4294967295");
        *tag = (uint32_t)value;
    }
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

int json_take_record(unsigned char *line, size_t *len, uint32_t *tag, char *problem,
                     size_t problem_size)
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
    if (json_is_object(value))
        rc = take_fields(value, line, len, tag, problem, problem_size);
    else
        rc = refuse(problem, problem_size, "not a JSON object");
    json_decref(value);
    return rc;
}
